"""The trash: whatever syftd replaces or deletes goes here by rename first, and stays for a while.

Layout: ``.trash/<date>/<random>/<name>``; the id of an entry is ``<date>/<random>``. Dates are UTC.
"""

from __future__ import annotations

import datetime
import errno
import os
import re
import shutil
from dataclasses import dataclass
from typing import Final

from syftd.errors import ContentMissing
from syftd.seams import Clock, Random
from syftd.tree import stat as facts
from syftd.tree.stage import write_all

_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_ID: Final = re.compile(r"(\d{4}-\d\d-\d\d)/([0-9a-f]{16})", re.ASCII)
_PIECE: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Slot:
    """An empty place in the trash, its directory open."""

    id: str
    directory: int


class Trash:
    """The folder ``.trash``. Methods raise OSError, which the disk explains with the path it was for."""

    def __init__(self, folder: int, clock: Clock, random: Random) -> None:
        """`folder` is the open trash directory; it stays the caller's."""
        self._folder = folder
        self._clock = clock
        self._random = random
        self._day = ("", -1)

    def close(self) -> None:
        """Closes the directory of the day; using the trash again opens it again."""
        day, self._day = self._day, ("", -1)
        if day[1] >= 0:
            os.close(day[1])

    @property
    def today(self) -> int:
        """The open directory that entries are added to now."""
        today = _day(self._clock.now())
        if self._day[0] != today:
            self.close()
            try:
                os.mkdir(today, 0o700, dir_fd=self._folder)
            except FileExistsError:
                pass  # Something was thrown away earlier today.
            self._day = (today, os.open(today, _DIRECTORY, dir_fd=self._folder))
        return self._day[1]

    def slot(self) -> Slot:
        """A new place; the caller renames a file into it and closes its directory."""
        day = self.today
        while True:
            name = self._random.token(8)
            try:
                os.mkdir(name, 0o700, dir_fd=day)
            except FileExistsError:
                continue  # Chance, or a Random that starts anew from its seed.
            break
        return Slot(f"{self._day[0]}/{name}", os.open(name, _DIRECTORY, dir_fd=day))

    def give_back(self, slot: Slot) -> None:
        """Closes and removes a slot that was not needed; one that holds something stays."""
        os.close(slot.directory)
        try:
            os.rmdir(slot.id.rpartition("/")[2], dir_fd=self.today)
        except OSError:
            # Not empty, or the day changed meanwhile: an empty slot is harmless and swept with its day.
            return

    def put(self, directory: int, name: str) -> str:
        """Moves a file out of an open directory into the trash and returns its id; copies between file systems."""
        slot = self.slot()
        try:
            try:
                os.rename(name, name, src_dir_fd=directory, dst_dir_fd=slot.directory)
            except OSError as error:
                if error.errno != errno.EXDEV:
                    raise
                copy(directory, name, slot.directory, name)
                os.unlink(name, dir_fd=directory)
        except BaseException:
            self.give_back(slot)
            raise
        os.close(slot.directory)
        return slot.id

    def open(self, id: str) -> tuple[str, int]:
        """The name and an open descriptor of an entry. Raises ContentMissing when it is not (any more) there."""
        matched = _ID.fullmatch(id)
        gone = ContentMissing(f"the trash holds nothing under {id!r:.60}", "Entries are kept for some days only.")
        if not matched:
            raise gone
        try:
            day = os.open(matched[1], _DIRECTORY, dir_fd=self._folder)
            try:
                place = os.open(matched[2], _DIRECTORY, dir_fd=day)
            finally:
                os.close(day)
        except FileNotFoundError:
            raise gone from None
        try:
            names = os.listdir(place)
            if len(names) != 1:
                raise gone
            return names[0], os.open(names[0], os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=place)
        finally:
            os.close(place)

    def read(self, id: str) -> bytes:
        """The whole content of an entry. Raises ContentMissing."""
        _, fd = self.open(id)
        with open(fd, "rb") as file:
            return file.read()

    def sweep(self, max_age: float, max_bytes: int) -> int:
        """Removes entries of days over `max_age` seconds ago, then the oldest until `max_bytes`; returns how many."""
        entries = self._entries()
        total = sum(size for _, _, size in entries)
        first_kept = _day(max(0.0, self._clock.now() - max_age))
        removed = 0
        for day, name, size in entries:
            if day >= first_kept and total <= max_bytes:
                break
            shutil.rmtree(f"{day}/{name}", dir_fd=self._folder)
            total -= size
            removed += 1
        for day in {day for day, _, _ in entries}:
            if day != self._day[0]:
                try:
                    os.rmdir(day, dir_fd=self._folder)
                except OSError:
                    continue  # It still holds entries.
        return removed

    def _entries(self) -> list[tuple[str, str, int]]:
        """(day, name, bytes) of every entry, oldest first."""
        found: list[tuple[str, int, str, int]] = []
        for day in sorted(os.listdir(self._folder)):
            directory = os.open(day, _DIRECTORY, dir_fd=self._folder)
            try:
                for name in os.listdir(directory):
                    made = os.stat(name, dir_fd=directory, follow_symlinks=False)
                    found.append((day, made.st_mtime_ns, name, _bytes_in(directory, name)))
            finally:
                os.close(directory)
        return [(day, name, size) for day, _, name, size in sorted(found)]


def _day(at: float) -> str:
    return datetime.datetime.fromtimestamp(at, datetime.UTC).date().isoformat()


def copy(source: int, old: str, target: int, new: str) -> None:
    """Copies a file between open directories into a new file of mode 0600. Raises OSError; then it leaves nothing."""
    reading = os.open(old, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=source)
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        writing = os.open(new, flags, 0o600, dir_fd=target)
        try:
            while piece := os.read(reading, _PIECE):
                write_all(writing, piece)
            os.fsync(writing)
        except BaseException:
            os.unlink(new, dir_fd=target)
            raise
        finally:
            os.close(writing)
    finally:
        os.close(reading)


def _bytes_in(day: int, name: str) -> int:
    place = os.open(name, _DIRECTORY, dir_fd=day)
    try:
        found = [facts.look(place, each) for each in os.listdir(place)]
    finally:
        os.close(place)
    return sum(each.st_size for each in found if each is not None)
