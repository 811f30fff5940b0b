"""The real data folder: the only code that writes, renames or deletes inside a datasite.

A replacement goes: stage the content, take a slot in the trash, put the content into the slot, look at the target once
more, and exchange the two names in one step. The loser then lies in the slot, so at no moment is either content gone or
the path empty; and since the loser can be looked at after the exchange, a write that fell into the last gap is noticed
and undone. Where the disk cannot exchange names the loser gets a second name in the slot first.
"""

from __future__ import annotations

import errno
import json
import os
import stat as modes
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Concatenate, Final, ParamSpec, TypeVar

from syftd.errors import ContentMissing, InMotion, RootMissing, TooLarge
from syftd.names import Digest, Email
from syftd.seams import Clock, Random
from syftd.tree import filesystem
from syftd.tree import stat as facts
from syftd.tree.beneath import Beneath, parts_of
from syftd.tree.contract import Disk, Filling, Kind, Listing, OpenFile
from syftd.tree.durability import Unsynced
from syftd.tree.place import Place
from syftd.tree.stage import Stage, Staged, digest_of
from syftd.tree.stat import Stat
from syftd.tree.trash import Trash

__all__ = ["Disk", "Filling", "Kind", "Listing", "OpenFile", "RealDisk", "Staged", "Stat", "Trash"]

MARKER: Final = ".syft/datasite.json"
_PIECE: Final = 1024 * 1024
_READ: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY
_ABSENT: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})

P = ParamSpec("P")
T = TypeVar("T")


def _explained(
    doing: str,
) -> Callable[
    [Callable[Concatenate[RealDisk, Email, str, P], T]], Callable[Concatenate[RealDisk, Email, str, P], T]
]:
    """Turns an operating-system error of a method into a sentence that names the path."""

    def wrap(
        method: Callable[Concatenate[RealDisk, Email, str, P], T],
    ) -> Callable[Concatenate[RealDisk, Email, str, P], T]:
        def explaining(self: RealDisk, site: Email, path: str, /, *args: P.args, **more: P.kwargs) -> T:
            try:
                return method(self, site, path, *args, **more)
            except OSError as error:
                raise self.why(error, doing, site, path) from error

        explaining.__doc__ = method.__doc__
        return explaining

    return wrap


class RealDisk:
    """A data folder on this machine; see `Disk` for what its methods promise. Holds a few descriptors until `close`."""

    def __init__(self, data: Path, clock: Clock, random: Random) -> None:
        """Makes the folder and its parts when they are missing. Raises RootMissing when that cannot be done."""
        self.data = data
        self._clock = clock
        try:
            for part in ("", "datasites", ".stage", ".trash"):
                os.makedirs(data / part, mode=0o700, exist_ok=True)
            self._sites = Beneath(str(data / "datasites"))
            self._folders = Beneath(str(data))
            self._stage_folder = self._folders.directory(".stage")
            self._trash_folder = self._folders.directory(".trash")
        except OSError as error:
            raise RootMissing(
                f"the data folder {data} cannot be used: {error.strerror}", "Check the path and its permissions."
            ) from error
        self._stage = Stage(self._stage_folder, clock, random)
        self.trash = Trash(self._trash_folder, clock, random)
        self._unsynced = Unsynced()
        self._remember_folders()
        self._place = Place(self._sites, self._stage, self.trash, self._unsynced, random, self.case_insensitive())

    def _remember_folders(self) -> None:
        """The folders that were just made must last before anything in them is said to."""
        self._unsynced.changed(self._folders.root)
        try:
            above = os.open(self.data.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            return  # Where we may not look we have made nothing, either.
        try:
            self._unsynced.changed(above)
        finally:
            os.close(above)

    def close(self) -> None:
        """Gives the descriptors back; the disk cannot be used afterwards."""
        self._unsynced.close()
        self.trash.close()
        os.close(self._stage_folder)
        os.close(self._trash_folder)
        self._sites.close()
        self._folders.close()

    # Looking.

    @_explained("looking at")
    def kind(self, site: Email, path: str) -> Kind | None:
        found = self._look(site, path)
        if found is None:
            return None
        if modes.S_ISREG(found.st_mode):
            return "file"
        if modes.S_ISDIR(found.st_mode):
            return "directory"
        return "symlink" if modes.S_ISLNK(found.st_mode) else "special"

    @_explained("looking at")
    def stat(self, site: Email, path: str) -> Stat | None:
        found = self._look(site, path)
        return facts.of(found) if found is not None and facts.is_file(found) else None

    def _look(self, site: Email, path: str) -> os.stat_result | None:
        above, _, name = path.rpartition("/")
        try:
            directory = self._sites.directory(f"{site}/{above}" if above else site)
        except OSError as error:
            # Behind a symlink or a file nothing of ours can be. A datasite that is gone as a whole is another matter.
            if error.errno in _ABSENT and facts.look(self._sites.root, site) is not None:
                return None
            raise
        try:
            return facts.look(directory, name) if parts_of(path) else os.fstat(directory)
        finally:
            os.close(directory)

    @_explained("listing")
    def entries(self, site: Email, path: str) -> Listing | None:
        try:
            directory = self._sites.directory(f"{site}/{path}" if path else site)
        except OSError as error:
            if path and error.errno in _ABSENT:
                return None
            raise
        listing = Listing()
        files = listing.files
        try:
            with os.scandir(directory) as found:
                for entry in found:
                    if entry.is_dir(follow_symlinks=False):
                        listing.directories.append(entry.name)
                        continue
                    if entry.is_symlink():
                        listing.symlinks.append(entry.name)
                        continue
                    try:
                        seen = entry.stat(follow_symlinks=False)
                    except FileNotFoundError:
                        continue  # It went away between the listing and the look, as files do.
                    mode = seen.st_mode
                    if modes.S_ISREG(mode):
                        stat = Stat(seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns, seen.st_ino, mode & 0o111 != 0)
                        files.append((entry.name, stat))
                    else:
                        listing.special.append(entry.name)
        finally:
            os.close(directory)
        return listing

    # Reading.

    @_explained("reading")
    def read(self, site: Email, path: str, limit: int) -> tuple[bytes, Stat]:
        fd = self._open(site, path)
        try:
            before = facts.of(os.fstat(fd))
            if before.size > limit:
                raise TooLarge(f"{site}/{path} has {before.size:,} bytes; the limit here is {limit:,}")
            pieces: list[bytes] = []
            offset = 0
            while piece := os.pread(fd, min(before.size - offset + 1, 1 << 24), offset):
                pieces.append(piece)
                offset += len(piece)
                if offset > before.size:
                    break
            content = pieces[0] if len(pieces) == 1 else b"".join(pieces)
            if len(content) != before.size or facts.of(os.fstat(fd)) != before:
                raise InMotion(f"{site}/{path} was written while it was read", "It is looked at again by itself.")
            return content, before
        finally:
            os.close(fd)

    @_explained("reading")
    def digest(self, site: Email, path: str) -> tuple[Digest, Stat]:
        fd = self._open(site, path)
        try:
            before = facts.of(os.fstat(fd))
            digest = digest_of(fd)
            if facts.of(os.fstat(fd)) != before:
                raise InMotion(f"{site}/{path} was written while it was read", "It is looked at again by itself.")
            return digest, before
        finally:
            os.close(fd)

    @_explained("reading")
    def open_at(self, site: Email, path: str) -> OpenFile:
        return _Reading(self, site, path, self._open(site, path))

    def _open(self, site: Email, path: str) -> int:
        try:
            fd = self._sites.file(f"{site}/{path}", _READ)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ENXIO):
                raise ContentMissing(f"there is no file {site}/{path}") from None
            raise
        if not facts.is_file(os.fstat(fd)):
            os.close(fd)
            raise ContentMissing(f"{site}/{path} is not an ordinary file")
        return fd

    # The stage and the trash.

    def stage(self, content: bytes | memoryview) -> Staged:
        try:
            name, fd = self._stage.write(content)
            self._unsynced.wrote(fd)
            self._unsynced.changed(self._stage_folder)
        except OSError as error:
            raise facts.explained(error, "writing", str(self.data / ".stage")) from error
        return Staged(name, len(content), Digest.of(content))

    def stage_file(self, key: str, size: int) -> Filling:
        try:
            filling = self._stage.file(key, size, self._unsynced.wrote)
            self._unsynced.changed(self._stage_folder)
        except OSError as error:
            raise facts.explained(error, "writing", str(self.data / ".stage")) from error
        return filling

    def staged(self, name: str) -> Staged | None:
        try:
            return self._stage.reopen(name)
        except OSError as error:
            raise facts.explained(error, "reading", str(self.data / ".stage" / name)) from error

    def discard(self, staged: Staged) -> None:
        try:
            self._stage.discard(staged)
        except OSError as error:
            raise facts.explained(error, "removing", str(self.data / ".stage" / staged.name)) from error

    def restore(self, id: str) -> bytes:
        try:
            return self.trash.read(id)
        except OSError as error:
            raise facts.explained(error, "reading", str(self.data / ".trash" / id)) from error

    def duplicate(self, staged: Staged, number: int) -> Staged:
        try:
            return self._copied(self._stage.open(staged), f"copy {number} of {staged.name}")
        except OSError as error:
            raise facts.explained(error, "copying", str(self.data / ".stage" / staged.name)) from error

    def restage(self, id: str) -> Staged:
        try:
            return self._copied(self.trash.open(id)[1], f"trash {id}")
        except OSError as error:
            raise facts.explained(error, "copying", str(self.data / ".trash" / id)) from error

    def _copied(self, source: int, key: str) -> Staged:
        """A copy on the stage of an open file, which is closed."""
        try:
            copy = self._stage.file(key, os.fstat(source).st_size, self._unsynced.wrote)
            try:
                self._unsynced.changed(self._stage_folder)
                offset = 0
                while piece := os.pread(source, _PIECE, offset):
                    copy.pwrite(offset, piece)
                    offset += len(piece)
                return copy.finish()
            finally:
                copy.close()
        finally:
            os.close(source)

    def sweep(self, *, keep: Collection[str], stage_age: float, trash_age: float, trash_bytes: int) -> tuple[int, int]:
        """Removes what is too old: stage files not in `keep`, trash by age in seconds and by size; returns counts."""
        try:
            return self._stage.sweep(keep, stage_age), self.trash.sweep(trash_age, trash_bytes)
        except OSError as error:
            raise facts.explained(error, "sweeping", str(self.data)) from error

    # Changing.

    @_explained("writing")
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
        return self._place.replace(site, path, content, executable, expected, known)

    @_explained("removing")
    def remove(self, site: Email, path: str, *, expected: Digest | None, known: Stat | None) -> str | None:
        return self._place.remove(site, path, expected, known)

    def write_own(self, site: Email, path: str, content: bytes, *, executable: bool = False) -> tuple[Stat, str | None]:
        try:
            expected, known = self.digest(site, path)
        except ContentMissing:
            return self.replace(site, path, content, executable=executable, expected=None, known=None)
        return self.replace(site, path, content, executable=executable, expected=expected, known=known)

    def sync(self) -> None:
        try:
            self._unsynced.flush()
        except OSError as error:
            raise facts.explained(error, "writing", str(self.data)) from error

    @_explained("making")
    def make_private_dir(self, site: Email, path: str) -> None:
        os.close(self._place.directory(f"{site}/{path}" if path else site, 0o700, 1 if path else 0))

    # The folder as a whole.

    def ensure_marker(self, site: Email, id: str) -> None:
        if self.kind(site, MARKER) is None:
            self.make_private_dir(site, ".syft")
            self.write_own(site, MARKER, json.dumps({"datasite": site, "id": id}, indent=1).encode() + b"\n")
        self.check_marker(site, id)

    def check_marker(self, site: Email, id: str) -> None:
        try:
            found = os.stat(self.data / "datasites")
            same = os.path.samestat(found, os.fstat(self._sites.root))
        except OSError:
            same = False
        mount = "If it lies on another disk, mount that; if you moved it, move it back or run syftd init for a new one."
        if not same:
            raise RootMissing(f"the data folder {self.data} is not there, or is not the one syftd started with", mount)
        try:
            content, _ = self.read(site, MARKER, 4096)
            written = json.loads(content)
        except (ContentMissing, TooLarge, ValueError):
            raise RootMissing(f"the datasite {site} has lost its marker {MARKER}", mount) from None
        if not isinstance(written, dict) or written.get("id") != id:
            raise RootMissing(f"the folder of {site} is another datasite than the one this daemon knows", mount)

    def free_bytes(self) -> int:
        """Bytes that we may still write."""
        found = os.fstatvfs(self._stage_folder)
        return found.f_bavail * found.f_frsize

    def probe_granularity(self) -> int:
        """How far apart, in ns, two writes on this disk must be for their times to differ for certain. A disk that cannot
        be tried, because it is full for instance, is taken for one of the coarsest."""
        stamps: list[int] = []
        try:
            for content in (b"1", b"2", b"3"):
                name, fd = self._stage.write(content)
                stamps.append(os.fstat(fd).st_mtime_ns)
                os.close(fd)
                os.unlink(name, dir_fd=self._stage_folder)
        except OSError:
            return filesystem.COARSEST_NS
        return filesystem.granularity_ns(filesystem.kind(str(self.data)), stamps)

    def case_insensitive(self) -> bool:
        """Whether this disk takes “A” and “a” for one name. One that cannot be tried, because it is full for instance, is
        believed to: then every name is compared with those that are there, which is slower and never wrong."""
        try:
            name, fd = self._stage.write(b"")
            os.close(fd)
            # A random name without letters would say nothing, so give it some.
            os.rename(name, "case" + name, src_dir_fd=self._stage_folder, dst_dir_fd=self._stage_folder)
            found = facts.look(self._stage_folder, "CASE" + name.upper())
            os.unlink("case" + name, dir_fd=self._stage_folder)
        except OSError:
            return True
        return found is not None

    def why(self, error: OSError, doing: str, site: Email, path: str) -> Exception:
        """The error for people; when the datasite's own folder is what is missing, that is what it says."""
        if error.errno == errno.ENOENT and facts.look(self._sites.root, site) is None:
            return RootMissing(f"the folder of {site} is not in {self.data / 'datasites'}", "Mount or restore it.")
        where = f"{site}/{path}" if path else str(site)
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
            where = str(self.data / "datasites" / where)  # What is wrong is the disk, so a person must know which.
        return facts.explained(error, doing, where)


class _Reading:
    """An open file of a datasite."""

    def __init__(self, disk: RealDisk, site: Email, path: str, fd: int) -> None:
        self._disk, self._site, self._path, self._fd = disk, site, path, fd

    def pread(self, offset: int, length: int) -> bytes:
        try:
            return os.pread(self._fd, length, offset)
        except OSError as error:
            raise self._disk.why(error, "reading", self._site, self._path) from error

    def stat(self) -> Stat:
        return facts.of(os.fstat(self._fd))

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
