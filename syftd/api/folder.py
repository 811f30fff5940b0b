"""Looking into a folder without changing it, for questions that are asked beside the daemon or without it.

Nothing is ever followed: what lies behind a symbolic link is absent. A root that does not exist is an empty folder.
"""

from __future__ import annotations

import errno
import os
import stat as modes
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, TypeVar

from syftd.errors import TooLarge
from syftd.jobs.show import Entry
from syftd.tree import stat as facts
from syftd.tree.beneath import Beneath
from syftd.tree.contract import Kind
from syftd.tree.stat import Stat

_READ: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY
_ABSENT: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})

T = TypeVar("T")


class Folder:
    """A folder to be looked into; used in a `with` block. Paths are relative to `root`, '' is the root itself.

    Every method raises Malformed for a path that leads out, and another ItemError when the system forbids the look.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._beneath: Beneath | None = None

    def __enter__(self) -> Folder:
        try:
            self._beneath = Beneath(str(self._root))
        except OSError as error:
            if error.errno not in _ABSENT:
                raise facts.explained(error, "looking into", str(self._root)) from error
        return self

    def __exit__(self, *_: object) -> None:
        if self._beneath is not None:
            self._beneath.close()
            self._beneath = None

    def kind(self, path: str) -> Kind | None:
        """What stands there; None when nothing does."""
        found = self._look(path)
        return None if found is None else _kind(found)

    def stat(self, path: str) -> Stat | None:
        """The observation of an ordinary file; None for anything else."""
        found = self._look(path)
        return facts.of(found) if found is not None and facts.is_file(found) else None

    def read(self, path: str, limit: int) -> bytes | None:
        """The whole file, None when no ordinary file is there. Raises TooLarge over `limit` bytes."""
        content = self.piece(path, 0, limit + 1)
        if content is not None and len(content) > limit:
            raise TooLarge(f"{path} has more than {limit:,} bytes, which is the limit here")
        return content

    def piece(self, path: str, offset: int, length: int) -> bytes | None:
        """Up to `length` bytes at `offset`, None when no ordinary file is there."""

        def read(beneath: Beneath) -> bytes | None:
            fd = beneath.file(path, _READ)
            try:
                if not facts.is_file(os.fstat(fd)):
                    return None
                content = bytearray()
                while missing := length - len(content):
                    piece = os.pread(fd, missing, offset + len(content))
                    if not piece:
                        break
                    content += piece
                return bytes(content)
            finally:
                os.close(fd)

        return self._try("reading", path, read, None)

    def names(self, path: str) -> list[str]:
        """The names in a directory in order, none when there is no directory."""

        def names(beneath: Beneath) -> list[str]:
            directory = beneath.directory(path)
            try:
                return sorted(os.listdir(directory))
            finally:
                os.close(directory)

        return self._try("listing", path, names, [])

    def below(self, path: str) -> Iterator[Entry]:
        """Everything below a directory that is no directory itself, by paths relative to it, in order."""
        waiting = [""]
        while waiting:
            inside = waiting.pop()
            found: list[str] = []
            for name in self.names(_joined(path, inside)):
                relative = _joined(inside, name)
                seen = self._look(_joined(path, relative))
                if seen is None:
                    continue  # It went away between the listing and the look, as files do.
                if modes.S_ISDIR(seen.st_mode):
                    found.append(relative)
                else:
                    yield Entry(relative, facts.of(seen) if facts.is_file(seen) else None, _kind(seen))
            waiting.extend(reversed(found))

    def _look(self, path: str) -> os.stat_result | None:
        above, _, name = path.rpartition("/")

        def look(beneath: Beneath) -> os.stat_result | None:
            directory = beneath.directory(above)
            try:
                return facts.look(directory, name) if name else os.fstat(directory)
            finally:
                os.close(directory)

        return self._try("looking at", path, look, None)

    def _try(self, doing: str, path: str, action: Callable[[Beneath], T], absent: T) -> T:
        if self._beneath is None:
            return absent
        try:
            return action(self._beneath)
        except OSError as error:
            if error.errno in _ABSENT or error.errno == errno.ENXIO:
                return absent
            raise facts.explained(error, doing, path or str(self._root)) from error


def _joined(above: str, name: str) -> str:
    return f"{above}/{name}" if above and name else above or name


def _kind(found: os.stat_result) -> Kind:
    if facts.is_file(found):
        return "file"
    if modes.S_ISDIR(found.st_mode):
        return "directory"
    return "symlink" if modes.S_ISLNK(found.st_mode) else "special"
