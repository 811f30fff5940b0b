"""The disk's contract: what one may ask of a data folder. `disk.RealDisk` keeps it, on the system calls that the
simulator puts underneath as on those of a machine."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Literal, Protocol

from syftd.names import Digest, Email
from syftd.tree.stage import Staged
from syftd.tree.stat import Stat

Kind = Literal["file", "directory", "symlink", "special"]


@dataclass(slots=True)
class Listing:
    """The entries of one directory, by their spelling on the disk."""

    directories: list[str] = field(default_factory=list)
    files: list[tuple[str, Stat]] = field(default_factory=list)
    symlinks: list[str] = field(default_factory=list)
    special: list[str] = field(default_factory=list)


class OpenFile(Protocol):
    """A file of a datasite opened for reading in pieces; it stays the same file when its name is given to another."""

    def pread(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes at `offset`. Raises ItemError."""

    def stat(self) -> Stat:
        """The observation now; unequal to an earlier one when somebody wrote meanwhile."""

    def close(self) -> None: ...


class Filling(Protocol):
    """A file on the stage that is filled piece by piece; see `stage.StagedFile`."""

    name: str
    size: int
    resumed: bool

    def pwrite(self, offset: int, content: bytes | memoryview) -> None: ...

    def pread(self, offset: int, length: int) -> bytes: ...

    def digest(self) -> Digest: ...

    def finish(self, digest: Digest | None = None) -> Staged: ...

    def close(self) -> None: ...

    def discard(self) -> None: ...


class Disk(Protocol):
    """The data folder. `path` is a RelPath or its spelling on the disk; nothing is ever followed out of the datasite.

    Every method raises Malformed for a path that leads elsewhere, Denied when a parent is a symlink or the system
    forbids it (the text names the path), NameClash when a name cannot be had, RootMissing when the datasite's folder is
    not there, DiskFull when nothing more fits. Reading methods are safe from any thread; one thread writes.
    """

    def kind(self, site: Email, path: str) -> Kind | None:
        """What stands there; None when nothing does (nothing does behind a symlink, either)."""

    def stat(self, site: Email, path: str) -> Stat | None:
        """The observation of an ordinary file; None for anything else."""

    def entries(self, site: Email, path: str) -> Listing | None:
        """The entries of a directory ('' for the datasite itself); None when it is no directory (any more)."""

    def read(self, site: Email, path: str, limit: int) -> tuple[bytes, Stat]:
        """The whole file. Raises InMotion when it changed meanwhile, TooLarge over `limit` bytes, ContentMissing when
        there is no file."""

    def digest(self, site: Email, path: str) -> tuple[Digest, Stat]:
        """The file's digest. Raises InMotion, ContentMissing."""

    def open_at(self, site: Email, path: str) -> OpenFile:
        """Opens a file for reading in pieces. Raises ContentMissing."""

    def stage(self, content: bytes | memoryview) -> Staged:
        """Puts content on the stage. To survive a power cut: stage, `sync`, then `replace`."""

    def stage_file(self, key: str, size: int) -> Filling:
        """Opens the stage file of `key`; an interrupted one of the same key and size is found again."""

    def staged(self, name: str) -> Staged | None:
        """Staged content by its name, after a restart, with its digest as it is now; None when it is not there."""

    def discard(self, staged: Staged) -> None:
        """Removes staged content that nobody needs."""

    def replace(
        self,
        site: Email,
        path: str,
        content: bytes | Staged,
        *,
        executable: bool,
        expected: Digest | None,
        known: Stat | None,
    ) -> tuple[Stat, str | None]:
        """Makes `content` the file's content, whole or not at all; returns the observation and the loser's trash id.

        `expected` is the digest that must be there now, None when no file may be. A `known` observation (of a settled
        file whose digest was `expected`) that still holds saves the reading. Raises Stale when the base is another; the
        staged content then stays on the stage.
        """

    def remove(self, site: Email, path: str, *, expected: Digest | None, known: Stat | None) -> str | None:
        """Moves the file to the trash and returns the id there; None when it is gone already. Directories that this
        leaves empty are removed. Raises Stale when the base is another."""

    def write_own(self, site: Email, path: str, content: bytes, *, executable: bool = False) -> tuple[Stat, str | None]:
        """Replaces whatever is there; for files that syftd itself keeps in the owner's tree."""

    def restore(self, id: str) -> bytes:
        """The content of a trash entry. Raises ContentMissing."""

    def duplicate(self, staged: Staged, number: int) -> Staged:
        """Puts a copy of staged content beside it, the `number`th. Safe from any thread. Raises ContentMissing."""

    def restage(self, id: str) -> Staged:
        """Puts a copy of a trash entry on the stage; the entry stays. Raises ContentMissing."""

    def sync(self) -> None:
        """Returns when everything done since the last call survives a power cut. Called once before each commit."""

    def make_private_dir(self, site: Email, path: str) -> None:
        """Makes a directory of mode 0700 and what leads to it; '' makes the datasite's own folder."""

    def ensure_marker(self, site: Email, id: str) -> None:
        """Writes the datasite's id into it if it has none; then as `check_marker`."""

    def check_marker(self, site: Email, id: str) -> None:
        """Raises RootMissing when the data folder or the datasite is not there or is another than `id`."""

    def sweep(self, *, keep: Collection[str], stage_age: float, trash_age: float, trash_bytes: int) -> tuple[int, int]:
        """Removes old stage files (but those named in `keep`) and trash beyond an age in seconds or a size; returns how
        many of each went."""

    def free_bytes(self) -> int: ...
