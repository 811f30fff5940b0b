"""The stage: content that is on the disk but not yet in anybody's tree.

It lies in the data folder beside the datasites: on the same file system, so that a rename brings it into place, and
outside the watched tree, so that our own writing is not seen until then. Names are random, except partial downloads,
whose names follow from their key so that they are found again after a restart.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final

from syftd.errors import ContentMissing
from syftd.names import Digest
from syftd.seams import Clock, Random
from syftd.tree import stat as facts

_PIECE: Final = 1024 * 1024
_NEW: Final = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Staged:
    """Whole content on the stage. `name` finds it again after a restart (see `Stage.reopen`)."""

    name: str
    size: int
    digest: Digest


def write_all(fd: int, content: bytes | memoryview) -> None:
    """Writes all of it at the descriptor's position. Raises OSError."""
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(fd, rest) :]


def digest_of(fd: int) -> Digest:
    """The digest of an open file, up to the size it has at the start. Raises OSError.

    Only an equal observation before and after makes it the digest of the file. A big file leaves the page cache again.
    """
    size = os.fstat(fd).st_size
    state = hashlib.sha256()
    offset = 0
    # Never beyond the first size: a file that is appended to faster than it is hashed would not end.
    while offset < size and (piece := os.pread(fd, min(_PIECE, size - offset), offset)):
        state.update(piece)
        offset += len(piece)
    if size > 8 * _PIECE and hasattr(os, "posix_fadvise"):
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    return Digest(state.hexdigest())


class StagedFile:
    """A file on the stage that is filled piece by piece, in any order, from any thread."""

    def __init__(
        self, stage: int, name: str, size: int, fd: int, resumed: bool, wrote: Callable[[int], None]
    ) -> None:
        self.name = name
        self.size = size
        self.resumed = resumed
        """True when an interrupted attempt left this file; which pieces are good is for the caller to check."""
        self._stage = stage
        self._fd = fd
        self._wrote = wrote

    def pwrite(self, offset: int, content: bytes | memoryview) -> None:
        """Writes a piece. Raises DiskFull, and ValueError when it would reach beyond the size."""
        if offset < 0 or offset + len(content) > self.size:
            raise ValueError(f"a piece at {offset} of {len(content)} bytes is outside of {self.size} bytes")
        rest = memoryview(content)
        try:
            while rest:
                count = os.pwrite(self._fd, rest, offset)
                rest, offset = rest[count:], offset + count
        except OSError as error:
            raise facts.explained(error, "writing", f"the download {self.name}") from error

    def pread(self, offset: int, length: int) -> bytes:
        """A piece as it is now; holes read as zeros. Raises ItemError."""
        try:
            return os.pread(self._fd, length, offset)
        except OSError as error:
            raise facts.explained(error, "reading", f"the download {self.name}") from error

    def digest(self) -> Digest:
        """The digest of all bytes as they are now."""
        try:
            return digest_of(self._fd)
        except OSError as error:
            raise facts.explained(error, "reading", f"the download {self.name}") from error

    def finish(self, digest: Digest | None = None) -> Staged:
        """Hands it on as whole content; the disk's next sync() makes it durable. `digest` is for a caller who has taken
        it over the very bytes that were written; otherwise the file is read."""
        staged = Staged(self.name, self.size, digest if digest is not None else self.digest())
        fd, self._fd = self._fd, -1
        self._wrote(fd)
        return staged

    def close(self) -> None:
        """Closes it and leaves it for a later attempt."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def discard(self) -> None:
        """Closes and removes it."""
        self.close()
        try:
            os.unlink(self.name, dir_fd=self._stage)
        except FileNotFoundError:
            pass  # It was swept, or taken into place already.


class Stage:
    """The folder ``.stage``. Methods raise OSError, which the disk explains with the path it was for."""

    def __init__(self, folder: int, clock: Clock, random: Random) -> None:
        """`folder` is the open stage directory; it stays the caller's."""
        self.folder = folder
        self._clock = clock
        self._random = random

    def write(self, content: bytes | memoryview) -> tuple[str, int]:
        """Writes new content; returns its name and its open descriptor, which becomes the caller's."""
        while True:
            name = self._random.token(12)
            try:
                fd = os.open(name, _NEW, 0o600, dir_fd=self.folder)
            except FileExistsError:
                continue  # Chance, or a Random that starts anew from its seed.
            break
        try:
            write_all(fd, content)
        except BaseException:
            os.close(fd)
            os.unlink(name, dir_fd=self.folder)
            raise
        return name, fd

    def file(self, key: str, size: int, wrote: Callable[[int], None]) -> StagedFile:
        """Opens the partial file of `key`, or the one an interrupted attempt of the same size left.

        `wrote` takes over the descriptor of the finished file.
        """
        name = "part-" + hashlib.sha256(f"{size} {key}".encode()).hexdigest()[:32]
        try:
            fd, resumed = os.open(name, _NEW, 0o600, dir_fd=self.folder), False
        except FileExistsError:
            fd, resumed = os.open(name, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self.folder), True
        try:
            os.ftruncate(fd, size)
        except BaseException:
            os.close(fd)
            raise
        return StagedFile(self.folder, name, size, fd, resumed, wrote)

    def open(self, staged: Staged) -> int:
        """The descriptor of staged content. Raises ContentMissing when it is not there or not of that size."""
        try:
            fd = os.open(staged.name, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self.folder)
        except FileNotFoundError:
            raise ContentMissing(f"the staged content {staged.name} is gone", "It is fetched again.") from None
        if os.fstat(fd).st_size != staged.size:
            os.close(fd)
            raise ContentMissing(f"the staged content {staged.name} is not complete", "It is fetched again.")
        return fd

    def reopen(self, name: str) -> Staged | None:
        """The staged content of that name with its digest as it is on the disk now; None when there is none."""
        if "/" in name or name in ("", ".", ".."):
            return None
        try:
            fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self.folder)
        except FileNotFoundError:
            return None
        try:
            return Staged(name, os.fstat(fd).st_size, digest_of(fd))
        finally:
            os.close(fd)

    def discard(self, staged: Staged) -> None:
        """Removes staged content that nobody needs; one that is gone already is success."""
        try:
            os.unlink(staged.name, dir_fd=self.folder)
        except FileNotFoundError:
            pass  # It is in place already, or was swept.

    def sweep(self, keep: Collection[str], max_age: float) -> int:
        """Removes what was last written more than `max_age` seconds ago and is not in `keep`; returns how many."""
        oldest = (self._clock.now() - max_age) * 1e9
        removed = 0
        for name in os.listdir(self.folder):
            found = facts.look(self.folder, name)
            if name in keep or found is None or not facts.is_file(found) or found.st_mtime_ns > oldest:
                continue
            os.unlink(name, dir_fd=self.folder)
            removed += 1
        return removed
