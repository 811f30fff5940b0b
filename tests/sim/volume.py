"""A disk in memory with two layers: what the programs see, and what a power cut would leave.

The model is a journalling file system of the less helpful kind. A change of names (create, rename, remove) is one journal
entry, whole or not at all; it lasts once one of its directories is synchronised. What is not synchronised may last or
not, in any combination that keeps the order within a directory. The bytes of a file last once the file is synchronised;
until then a power cut may leave the old ones, the new ones, a part of them, or the old ones with the new date.
"""

from __future__ import annotations

import errno
import os
import random
import stat as modes
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(eq=False, slots=True)
class Inode:
    """A file, directory or symlink. `lasting` is what a power cut leaves of its content, None while nothing does."""

    number: int
    volume: Volume
    mode: int
    mtime_ns: int
    ctime_ns: int
    content: bytes = b""
    entries: dict[str, tuple[str, Inode]] = field(default_factory=dict)
    """Of a directory: (spelling, inode) by key."""
    target: str = ""
    lasting: tuple[bytes, int, int, int] | None = None
    """(content, mode, mtime, ctime)"""
    lasting_entries: dict[str, tuple[str, Inode]] = field(default_factory=dict)

    @property
    def is_directory(self) -> bool:
        return modes.S_ISDIR(self.mode)

    @property
    def is_file(self) -> bool:
        return modes.S_ISREG(self.mode)

    @property
    def is_symlink(self) -> bool:
        return modes.S_ISLNK(self.mode)

    def found(self) -> os.stat_result:
        """What stat says of it."""
        size = len(self.content) if self.is_file else len(self.target)
        seconds = [time // 10**9 for time in (self.mtime_ns, self.mtime_ns, self.ctime_ns)]
        values = (self.mode, self.number, self.volume.device, 1, 1000, 1000, size, *seconds)
        more = {"st_mtime_ns": self.mtime_ns, "st_ctime_ns": self.ctime_ns, "st_atime_ns": self.mtime_ns}
        return os.stat_result(values, more)


Edge = tuple[Inode, str, tuple[str, Inode] | None, Inode | None]
"""A directory, the key of a name in it, what the name is for from now on (None: nothing), and what it was for."""


@dataclass(frozen=True, slots=True)
class Habits:
    """How a volume differs from the plainest one."""

    granularity_ns: int = 1
    folds_case: bool = False
    decomposes: bool = False
    """Names are kept in Unicode form NFD, as on the Macs of old."""
    exchanges: bool = True
    """Whether renameat2 can exchange two names, and refuse to replace one."""

    @property
    def kind(self) -> str:
        """The file-system type that its owner would see."""
        return "vfat" if self.granularity_ns >= 10**9 else "ext4"


class Volume:
    """One file system. Everything here is done at once and whole; who calls decides what may happen in between."""

    def __init__(self, device: int, now_ns: Callable[[], int], habits: Habits | None = None) -> None:
        self.device = device
        self.habits = habits or Habits()
        self._now_ns = now_ns
        self._count = 0
        self._journal: list[tuple[Edge, ...]] = []
        self._unsynced: dict[int, Inode] = {}
        """Files whose bytes a power cut may still take, by number."""
        self.root = self.new(modes.S_IFDIR | 0o755)

    # -- inodes ----------------------------------------------------------------------------------------------------

    def now_ns(self) -> int:
        now = self._now_ns()
        return now - now % self.habits.granularity_ns

    def new(self, mode: int) -> Inode:
        self._count += 1
        now = self.now_ns()
        return Inode(self._count, self, mode, now, now)

    def key(self, name: str) -> str:
        """Two names with one key are one name on this volume."""
        if name.isascii() and not self.habits.folds_case:
            return name
        key = unicodedata.normalize("NFD", name) if self.habits.decomposes else name
        return unicodedata.normalize("NFC", key).casefold() if self.habits.folds_case else key

    def spelling(self, name: str) -> str:
        return unicodedata.normalize("NFD", name) if self.habits.decomposes else name

    def child(self, directory: Inode, name: str) -> Inode | None:
        found = directory.entries.get(self.key(name))
        return None if found is None else found[1]

    # -- names -----------------------------------------------------------------------------------------------------

    def change(self, *edges: tuple[Inode, str, Inode | None]) -> None:
        """Changes names, all of them together."""
        now = self.now_ns()
        entry: list[Edge] = []
        for directory, name, inode in edges:
            key = self.key(name)
            there = None if inode is None else (self.spelling(name), inode)
            was = directory.entries.get(key)
            if there is None:
                directory.entries.pop(key, None)
            else:
                directory.entries[key] = there
                there[1].ctime_ns = now
            directory.mtime_ns = directory.ctime_ns = now
            entry.append((directory, key, there, None if was is None else was[1]))
        self._journal.append(tuple(entry))

    # -- bytes -----------------------------------------------------------------------------------------------------

    def write(self, inode: Inode, content: bytes) -> None:
        """The file holds `content` from now on, for those who look."""
        inode.content = content
        inode.mtime_ns = inode.ctime_ns = self.now_ns()
        self._unsynced[inode.number] = inode

    def touch(self, inode: Inode) -> None:
        """Mode or dates changed."""
        inode.ctime_ns = self.now_ns()
        self._unsynced[inode.number] = inode

    # -- what lasts ------------------------------------------------------------------------------------------------

    def sync_file(self, inode: Inode) -> None:
        inode.lasting = (inode.content, inode.mode, inode.mtime_ns, inode.ctime_ns)
        self._unsynced.pop(inode.number, None)

    def sync_directory(self, directory: Inode) -> None:
        """Makes the names of a directory last, with every earlier change that those of it depend on."""
        needed = {directory.number}
        lasting: set[int] = set()
        for position in range(len(self._journal) - 1, -1, -1):
            touched = _touched(self._journal[position])
            if touched & needed:
                needed |= touched
                lasting.add(position)
        for position in sorted(lasting):
            self._make_last(self._journal[position])
        self._journal = [entry for position, entry in enumerate(self._journal) if position not in lasting]

    def sync(self) -> None:
        """Makes everything last."""
        for entry in self._journal:
            self._make_last(entry)
        self._journal.clear()
        for inode in list(self._unsynced.values()):
            self.sync_file(inode)

    @staticmethod
    def _make_last(entry: tuple[Edge, ...]) -> None:
        for directory, key, there, _ in entry:
            if there is None:
                directory.lasting_entries.pop(key, None)
            else:
                directory.lasting_entries[key] = there

    def power_cut(self, chance: random.Random) -> None:
        """Only what lasts is left, and of the rest what chance leaves."""
        luck = chance.choice((0.0, 0.5, 0.9))
        broken: set[int] = set()
        for entry in self._journal:
            touched = _touched(entry)
            if touched & broken or chance.random() >= luck:
                broken |= touched
            else:
                self._make_last(entry)
        self._journal.clear()
        for inode in self._unsynced.values():
            self._fall_back(inode, chance)
        self._unsynced.clear()
        waiting = [self.root]
        seen: set[int] = set()
        while waiting:
            directory = waiting.pop()
            directory.entries = dict(directory.lasting_entries)
            for _, inode in directory.entries.values():
                if inode.is_directory and inode.number not in seen:
                    seen.add(inode.number)
                    waiting.append(inode)

    @staticmethod
    def _fall_back(inode: Inode, chance: random.Random) -> None:
        content, mode, mtime, ctime = inode.lasting or (b"", inode.mode, inode.mtime_ns, inode.ctime_ns)
        what = chance.choice(("old", "old", "new", "part", "dated"))
        if what == "old":
            inode.content, inode.mode, inode.mtime_ns, inode.ctime_ns = content, mode, mtime, ctime
        elif what == "part" and inode.content != content:
            inode.content = inode.content[: chance.randint(0, len(inode.content))]
        elif what == "dated" and len(content) == len(inode.content):
            inode.content = content
        inode.lasting = (inode.content, inode.mode, inode.mtime_ns, inode.ctime_ns)


def _touched(entry: tuple[Edge, ...]) -> set[int]:
    """The directories that a change is about: those whose names it changes, and those that it names or unnames."""
    touched = {edge[0].number for edge in entry}
    for _, _, there, was in entry:
        touched |= {inode.number for inode in (there and there[1], was) if inode is not None and inode.is_directory}
    return touched


def failure(code: int, name: str) -> OSError:
    """The system's error of that number, about a name."""
    return OSError(code, os.strerror(code), name)


def require_directory(inode: Inode | None, name: str) -> Inode:
    if inode is None:
        raise failure(errno.ENOENT, name)
    if not inode.is_directory:
        raise failure(errno.ENOTDIR, name)
    return inode
