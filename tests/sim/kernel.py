"""The system calls that syftd's tree uses, on volumes in memory: the code under test is the production code down to here.

`install` puts this module's `Os` in the place of `os` in the rooms of `syftd.tree`. Descriptors and paths that are not
virtual go on to the machine's own calls, so tests on a real disk are not disturbed.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import shutil
import stat as modes
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath
from types import TracebackType
from typing import Any, Self

from syftd.tree import beneath, disk, durability, filesystem, kernel, place, stage, stat, trash
from tests.sim.volume import Inode, Volume, failure, require_directory

TOP = "/sim/"
_FIRST = 1 << 20
_ROOMS = (beneath, disk, durability, filesystem, place, stage, stat, trash)


class _Open:
    """What a descriptor stands for."""

    __slots__ = ("inode", "position")

    def __init__(self, inode: Inode) -> None:
        self.inode = inode
        self.position = 0


class Machine:
    """One computer: a volume mounted at a path, perhaps others inside it, and the descriptors of its one process.

    `meet` is called before each call (``open``, ``rename``, …) and with the ending ``.after`` behind those that change
    something; whatever it raises ends the call just there.
    """

    def __init__(self, name: str, volume: Volume) -> None:
        self.path = TOP + name
        self.volume = volume
        self.meet: Callable[[str, str], None] = lambda call, name: None
        self.descriptors: set[int] = set()
        _machines[self.path] = self
        _by_device[volume.device] = self

    def mount(self, volume: Volume, directory: Inode, name: str) -> None:
        """Puts another volume at a name; it is there from the start and outlasts power cuts."""
        directory.entries[name] = directory.lasting_entries[name] = (name, volume.root)
        _by_device[volume.device] = self

    def reboot(self) -> None:
        """The process is gone and its descriptors with it."""
        for fd in self.descriptors:
            _descriptors.pop(fd, None)
        self.descriptors.clear()

    def switch_off(self) -> None:
        """The machine is gone for good."""
        self.reboot()
        del _machines[self.path]
        for device in [device for device, machine in _by_device.items() if machine is self]:
            del _by_device[device]


_machines: dict[str, Machine] = {}
_by_device: dict[int, Machine] = {}
_descriptors: dict[int, _Open] = {}
_next = _FIRST


def _machine_of(inode: Inode) -> Machine:
    return _by_device[inode.volume.device]


def _give(inode: Inode) -> int:
    global _next
    _next += 1
    _descriptors[_next] = _Open(inode)
    _machine_of(inode).descriptors.add(_next)
    return _next


def _at(fd: int) -> Inode:
    found = _descriptors.get(fd)
    if found is None:
        raise failure(errno.EBADF, str(fd))
    return found.inode


def _is_virtual(path: Any, dir_fd: int | None = None) -> bool:
    if dir_fd is not None:
        return dir_fd >= _FIRST
    if isinstance(path, int):
        return path >= _FIRST
    return os.fspath(path).startswith(TOP) if isinstance(path, (str, os.PathLike)) else False


def _start(path: Any, dir_fd: int | None) -> tuple[Inode, list[str]]:
    """The directory that a path begins at, and its parts."""
    text = os.fspath(path)
    if dir_fd is not None:
        return _at(dir_fd), [part for part in text.split("/") if part not in ("", ".")]
    parts = PurePosixPath(text).parts
    machine = _machines.get("/".join(("", *parts[1:3])))
    if machine is None:
        raise failure(errno.ENOENT, text)
    return machine.volume.root, list(parts[3:])


def _walk(here: Inode, parts: list[str], *, links: bool = False) -> Inode:
    """The inode at the end of `parts`; a symlink on the way is ELOOP (with `links`, the last part may be one)."""
    for position, part in enumerate(parts):
        require_directory(here, part)
        if not here.mode & 0o100:
            raise failure(errno.EACCES, part)
        below = here.volume.child(here, part)
        if below is None:
            raise failure(errno.ENOENT, part)
        if below.is_symlink and not (links and position == len(parts) - 1):
            raise failure(errno.ELOOP, part)
        here = below
    return here


def _parent(path: Any, dir_fd: int | None) -> tuple[Inode, str]:
    here, parts = _start(path, dir_fd)
    if not parts:
        raise failure(errno.EINVAL, os.fspath(path))
    return require_directory(_walk(here, parts[:-1]), os.fspath(path)), parts[-1]


def _may_change(directory: Inode, name: str) -> None:
    if not directory.mode & 0o200:
        raise failure(errno.EACCES, name)
    if len(name.encode("utf-8", "surrogateescape")) > 255:
        raise failure(errno.ENAMETOOLONG, name)


def _meet(inode: Inode, call: str, name: str = "") -> None:
    if not _quiet:
        _machine_of(inode).meet(call, name)


_quiet = 0


@contextlib.contextmanager
def passed_over() -> Iterator[None]:
    """Lets who watches a world use its disks without passing a seam."""
    global _quiet
    _quiet += 1
    try:
        yield
    finally:
        _quiet -= 1


def _open_inode(inode: Inode, flags: int, name: str) -> int:
    writing = flags & os.O_ACCMODE != os.O_RDONLY
    if inode.is_directory:
        if writing:
            raise failure(errno.EISDIR, name)
    elif flags & os.O_DIRECTORY:
        raise failure(errno.ENOTDIR, name)
    reading = flags & os.O_ACCMODE != os.O_WRONLY
    if (reading and not inode.mode & 0o400) or (writing and not inode.mode & 0o200):
        raise failure(errno.EACCES, name)
    if flags & os.O_TRUNC and inode.is_file:
        inode.volume.write(inode, b"")
    return _give(inode)


class _Entry:
    """An entry of a directory as scandir shows it."""

    __slots__ = ("_inode", "name")

    def __init__(self, name: str, inode: Inode) -> None:
        self.name = name
        self._inode = inode

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        return self._inode.is_directory

    def is_symlink(self) -> bool:
        return self._inode.is_symlink

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        return self._inode.found()


class _Scan:
    """The iterator that scandir returns."""

    def __init__(self, entries: list[_Entry]) -> None:
        self._entries = entries

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        return None

    def __iter__(self) -> Iterator[_Entry]:
        return iter(self._entries)


class Os:
    """Stands where `os` stood. What is not here is the machine's own."""

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    # -- descriptors -----------------------------------------------------------------------------------------------

    def open(self, path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if not _is_virtual(path, dir_fd):
            return os.open(path, flags, mode, dir_fd=dir_fd)
        here, parts = _start(path, dir_fd)
        if not parts:
            return _open_inode(here, flags, os.fspath(path))
        directory, name = require_directory(_walk(here, parts[:-1]), parts[-1]), parts[-1]
        _meet(directory, "open" if not flags & os.O_CREAT else "create", name)
        found = directory.volume.child(directory, name)
        if found is None:
            if not flags & os.O_CREAT:
                raise failure(errno.ENOENT, name)
            _may_change(directory, name)
            found = directory.volume.new(modes.S_IFREG | (mode & 0o777))
            directory.volume.change((directory, name, found))
            opened = _give(found)
            _meet(directory, "create.after", name)
            return opened
        if flags & os.O_CREAT and flags & os.O_EXCL:
            raise failure(errno.EEXIST, name)
        if found.is_symlink:
            raise failure(errno.ENOTDIR if flags & os.O_DIRECTORY else errno.ELOOP, name)
        return _open_inode(found, flags, name)

    def close(self, fd: int) -> None:
        if fd < _FIRST:
            os.close(fd)
            return
        opened = _descriptors.pop(fd, None)
        if opened is None:
            raise failure(errno.EBADF, str(fd))
        _machine_of(opened.inode).descriptors.discard(fd)

    def dup(self, fd: int) -> int:
        return _give(_at(fd)) if fd >= _FIRST else os.dup(fd)

    def fstat(self, fd: int) -> os.stat_result:
        return _at(fd).found() if fd >= _FIRST else os.fstat(fd)

    def fstatvfs(self, fd: int) -> Any:
        return os.statvfs_result((4096, 4096, 1 << 30, 1 << 30, 1 << 30, 0, 0, 0, 0, 255)) if fd >= _FIRST else os.fstatvfs(fd)

    def fchmod(self, fd: int, mode: int) -> None:
        if fd < _FIRST:
            os.fchmod(fd, mode)
            return
        inode = _at(fd)
        inode.mode = modes.S_IFMT(inode.mode) | mode
        inode.volume.touch(inode)

    def fsync(self, fd: int) -> None:
        if fd < _FIRST:
            os.fsync(fd)
            return
        inode = _at(fd)
        _meet(inode, "fsync")
        if inode.is_directory:
            inode.volume.sync_directory(inode)
        else:
            inode.volume.sync_file(inode)
        _meet(inode, "fsync.after")

    # -- bytes -----------------------------------------------------------------------------------------------------

    def pread(self, fd: int, length: int, offset: int) -> bytes:
        if fd < _FIRST:
            return os.pread(fd, length, offset)
        inode = _at(fd)
        _meet(inode, "pread")
        return inode.content[offset : offset + length]

    def read(self, fd: int, length: int) -> bytes:
        if fd < _FIRST:
            return os.read(fd, length)
        opened = _descriptors[fd]
        piece = self.pread(fd, length, opened.position)
        opened.position += len(piece)
        return piece

    def pwrite(self, fd: int, content: Any, offset: int) -> int:
        if fd < _FIRST:
            return os.pwrite(fd, content, offset)
        inode = _at(fd)
        _meet(inode, "write")
        old, new = inode.content, bytes(content)
        inode.volume.write(inode, old[:offset].ljust(offset, b"\0") + new + old[offset + len(new) :])
        _meet(inode, "write.after")
        return len(new)

    def write(self, fd: int, content: Any) -> int:
        if fd < _FIRST:
            return os.write(fd, content)
        opened = _descriptors[fd]
        count = self.pwrite(fd, content, opened.position)
        opened.position += count
        return count

    def ftruncate(self, fd: int, size: int) -> None:
        if fd < _FIRST:
            os.ftruncate(fd, size)
            return
        inode = _at(fd)
        _meet(inode, "write")
        inode.volume.write(inode, inode.content[:size].ljust(size, b"\0"))

    def posix_fadvise(self, fd: int, *words: int) -> None:
        if fd < _FIRST:
            os.posix_fadvise(fd, *words)

    # -- names -----------------------------------------------------------------------------------------------------

    def stat(self, path: Any, *, dir_fd: int | None = None, follow_symlinks: bool = True) -> os.stat_result:
        if not _is_virtual(path, dir_fd):
            return os.stat(path, dir_fd=dir_fd, follow_symlinks=follow_symlinks)
        here, parts = _start(path, dir_fd)
        _meet(here, "stat", parts[-1] if parts else "")
        return _walk(here, parts, links=not follow_symlinks).found()

    def scandir(self, fd: int) -> Any:
        if not isinstance(fd, int) or fd < _FIRST:
            return os.scandir(fd)
        inode = _at(fd)
        _meet(inode, "list")
        if not inode.mode & 0o400:
            raise failure(errno.EACCES, "")
        return _Scan([_Entry(spelling, below) for spelling, below in inode.entries.values()])

    def listdir(self, fd: int) -> list[str]:
        if not isinstance(fd, int) or fd < _FIRST:
            return os.listdir(fd)
        return [entry.name for entry in self.scandir(fd)]

    def mkdir(self, path: Any, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
        if not _is_virtual(path, dir_fd):
            os.mkdir(path, mode, dir_fd=dir_fd)
            return
        directory, name = _parent(path, dir_fd)
        _meet(directory, "mkdir", name)
        _may_change(directory, name)
        if directory.volume.child(directory, name) is not None:
            raise failure(errno.EEXIST, name)
        directory.volume.change((directory, name, directory.volume.new(modes.S_IFDIR | (mode & 0o777))))
        _meet(directory, "mkdir.after", name)

    def makedirs(self, path: Any, mode: int = 0o777, exist_ok: bool = False) -> None:
        if not _is_virtual(path):
            os.makedirs(path, mode, exist_ok)
            return
        here, parts = _start(path, None)
        for part in parts:
            below = here.volume.child(here, part)
            if below is None:
                below = here.volume.new(modes.S_IFDIR | (mode & 0o777))
                here.volume.change((here, part, below))
            here = require_directory(below, part)

    def rename(self, old: Any, new: Any, *, src_dir_fd: int | None = None, dst_dir_fd: int | None = None) -> None:
        if not _is_virtual(old, src_dir_fd):
            os.rename(old, new, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)
            return
        (source, name), (target, other) = _parent(old, src_dir_fd), _parent(new, dst_dir_fd)
        _meet(source, "rename", name)
        inode = _for_rename(source, name, target, other)
        there = target.volume.child(target, other)
        if there is not None and there.is_directory != inode.is_directory:
            raise failure(errno.EISDIR if there.is_directory else errno.ENOTDIR, other)
        if there is not None and there.is_directory and there.entries:
            raise failure(errno.ENOTEMPTY, other)
        source.volume.change((source, name, None), (target, other, inode))
        _meet(source, "rename.after", name)

    def link(
        self, old: Any, new: Any, *, src_dir_fd: int | None = None, dst_dir_fd: int | None = None,
        follow_symlinks: bool = True,
    ) -> None:  # fmt: skip
        if not _is_virtual(old, src_dir_fd):
            os.link(old, new, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd, follow_symlinks=follow_symlinks)
            return
        (source, name), (target, other) = _parent(old, src_dir_fd), _parent(new, dst_dir_fd)
        _meet(source, "link", name)
        inode = _for_rename(source, name, target, other)
        if target.volume.habits.granularity_ns >= 10**9:
            raise failure(errno.EPERM, other)  # FAT has no second names.
        if target.volume.child(target, other) is not None:
            raise failure(errno.EEXIST, other)
        target.volume.change((target, other, inode))
        _meet(source, "link.after", name)

    def unlink(self, path: Any, *, dir_fd: int | None = None) -> None:
        if not _is_virtual(path, dir_fd):
            os.unlink(path, dir_fd=dir_fd)
            return
        directory, name = _parent(path, dir_fd)
        _meet(directory, "unlink", name)
        _may_change(directory, name)
        found = directory.volume.child(directory, name)
        if found is None:
            raise failure(errno.ENOENT, name)
        if found.is_directory:
            raise failure(errno.EISDIR, name)
        directory.volume.change((directory, name, None))
        _meet(directory, "unlink.after", name)

    def rmdir(self, path: Any, *, dir_fd: int | None = None) -> None:
        if not _is_virtual(path, dir_fd):
            os.rmdir(path, dir_fd=dir_fd)
            return
        directory, name = _parent(path, dir_fd)
        _meet(directory, "rmdir", name)
        _may_change(directory, name)
        found = require_directory(directory.volume.child(directory, name), name)
        if found.entries:
            raise failure(errno.ENOTEMPTY, name)
        directory.volume.change((directory, name, None))
        _meet(directory, "rmdir.after", name)


def _for_rename(source: Inode, name: str, target: Inode, other: str) -> Inode:
    _may_change(source, name)
    _may_change(target, other)
    inode = source.volume.child(source, name)
    if inode is None:
        raise failure(errno.ENOENT, name)
    if source.volume is not target.volume:
        raise failure(errno.EXDEV, other)
    return inode


class _Shutil:
    """Stands where `shutil` stood in the trash."""

    def __getattr__(self, name: str) -> Any:
        return getattr(shutil, name)

    def rmtree(self, path: str, *, dir_fd: int | None = None) -> None:
        if not _is_virtual(path, dir_fd):
            shutil.rmtree(path, dir_fd=dir_fd)
            return
        directory, name = _parent(path, dir_fd)
        _meet(directory, "rmtree", name)
        require_directory(directory.volume.child(directory, name), name)
        directory.volume.change((directory, name, None))


def _reading(fd: int, mode: str) -> Any:
    """Stands where the built-in `open` stood, for descriptors."""
    if fd < _FIRST:
        return open(fd, mode)
    content = _at(fd).content
    simulated.close(fd)
    return io.BytesIO(content)


def _open_without_symlinks(root: int, path: str, flags: int) -> int:
    if root < _FIRST:
        return _real_open(root, path, flags)
    top = _at(root)
    _meet(top, "open", path)
    inode = _walk(top, [part for part in path.split("/") if part != "."])
    return _open_inode(inode, flags, path)


def _rename(source: int, old: str, target: int, new: str, flags: int) -> bool:
    if source < _FIRST:
        return _real_rename(source, old, target, new, flags)
    one, other = _at(source), _at(target)
    if not one.volume.habits.exchanges:
        return False
    _meet(one, "exchange" if flags == kernel.EXCHANGE else "rename", new)
    inode = _for_rename(one, old, other, new)
    there = other.volume.child(other, new)
    if flags == kernel.EXCHANGE:
        if there is None:
            raise failure(errno.ENOENT, new)
        one.volume.change((one, old, there), (other, new, inode))
    else:
        if there is not None:
            raise failure(errno.EEXIST, new)
        one.volume.change((one, old, None), (other, new, inode))
    _meet(one, "rename.after", new)
    return True


def _sync_filesystem(fd: int) -> None:
    if fd < _FIRST:
        _real_sync(fd)
        return
    inode = _at(fd)
    _meet(inode, "fsync")
    inode.volume.sync()
    _meet(inode, "fsync.after")


def _kind(path: str) -> str:
    if not path.startswith(TOP):
        return _real_kind(path)
    here, _ = _start(path, None)
    return here.volume.habits.kind


simulated = Os()
_real_open = kernel.open_without_symlinks
_real_rename = kernel.rename
_real_sync = kernel.sync_filesystem
_real_kind = filesystem.kind


def install() -> None:
    """Lets the rooms of the tree use simulated calls for what is virtual. Again is harmless."""
    for room in _ROOMS:
        room.os = simulated  # type: ignore[attr-defined]
    trash.shutil = _Shutil()  # type: ignore[attr-defined]
    trash.open = _reading  # type: ignore[attr-defined]
    kernel.open_without_symlinks = _open_without_symlinks
    kernel.rename = _rename
    kernel.sync_filesystem = _sync_filesystem
    filesystem.kind = _kind
