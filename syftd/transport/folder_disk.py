"""What the folder transport does to a disk that others write too: open without following links, place once, read.

Everything goes through directory descriptors, so that a folder swapped for a link between two calls changes nothing.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from syftd.errors import Gone, Permanent, Quota, Transient, TransportError

TEMP_PREFIX: Final = ".syftd-"
"""Unfinished files and folders of ours begin with this; names beginning with a dot are never objects."""

STALE_CLAIM_SECONDS: Final = 60.0

_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_NOT_A_FOLDER: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})
_NO_HARD_LINKS: Final = frozenset(
    {errno.EPERM, errno.EACCES, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV, errno.EINVAL, errno.ENOENT}
)
_NO_SUCH_CALL: Final = frozenset({errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS, errno.EBADF})
_READ_BYTES: Final = 1024 * 1024


def transport_error(error: OSError, path: str) -> TransportError:
    """The transport error that an operating system error on `path` means."""
    said = f"{path}: {error.strerror or error}"
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            return Quota(said, "Free some space there, or raise the quota; syftd tries again in a minute.", after=60.0)
        case errno.EACCES | errno.EPERM:
            return Permanent(said, f"Give your user the right to read and write below {path}.")
        case errno.EROFS:
            return Transient(said, "Mount it writable; syftd keeps what it has to send and tries again.")
        case errno.ELOOP:
            return Permanent(f"{path}: a symbolic link, which is never followed in a shared folder", "Remove the link.")
        case errno.ENAMETOOLONG | errno.EILSEQ | errno.EINVAL:
            return Permanent(said, "The file system there cannot hold this name; use another folder or transport.")
        case errno.EFBIG | errno.EISDIR | errno.EEXIST | errno.ENOTEMPTY:
            return Permanent(said, "Look at what lies there and move it away.")
        case errno.ENOENT | errno.ENOTDIR:
            return Gone(said)
        case _:
            return Transient(said, "Check that the disk or share is connected; syftd tries again.")


@contextmanager
def errors_for(path: str) -> Iterator[None]:
    """Turns every OSError of the block into the transport error it means."""
    try:
        yield
    except OSError as error:
        raise transport_error(error, path) from error


@contextmanager
def opened_folder(parent: int, name: str) -> Iterator[int | None]:
    """A descriptor of the folder `name`, or None when there is none or it is a link. Other OSErrors come through."""
    try:
        folder = os.open(name, _DIRECTORY, dir_fd=parent)
    except OSError as error:
        if error.errno not in _NOT_A_FOLDER:
            raise
        yield None
        return
    try:
        yield folder
    finally:
        os.close(folder)


def make_folder(parent: int, name: str, mode: int) -> None:
    """Creates a folder with exactly `mode`, whatever the umask; one that is there already stays as it is."""
    try:
        os.mkdir(name, 0o700, dir_fd=parent)
    except FileExistsError:
        return
    with opened_folder(parent, name) as made:
        if made is not None:
            set_mode(made, mode)
    sync_folder(parent)


def set_mode(descriptor: int, mode: int) -> None:
    """Sets the permission bits; a file system that has none (exFAT, some shares) keeps what it shows."""
    try:
        os.fchmod(descriptor, mode)
    except OSError as error:
        if error.errno not in (_NO_SUCH_CALL | {errno.EPERM}):
            raise


def sync_folder(folder: int) -> None:
    """Makes names in `folder` durable, where the file system knows how."""
    try:
        os.fsync(folder)
    except OSError as error:
        if error.errno not in _NO_SUCH_CALL:
            raise


def place(
    folder: int, staging: int, name: str, content: bytes | memoryview, mode: int, token: Callable[[], str]
) -> None:
    """Creates the file `name` whole or not at all, durably. Raises FileExistsError when the name is taken.

    `staging` is a folder of the same file system for a file under construction. Three ways, best first: a nameless
    file that gets its name when it is whole (nothing to sweep after a crash, one event for a watcher); a temporary
    name and a hard link; and, where there are no hard links, a claim that serialises the writers and a rename.
    """
    if _place_nameless(folder, name, content, mode):
        sync_folder(folder)
        return
    temp = f"{TEMP_PREFIX}{token()}.tmp"
    descriptor = os.open(temp, _NEW_FILE, 0o600, dir_fd=staging)
    try:
        _fill(descriptor, content, mode)
        try:
            os.link(temp, name, src_dir_fd=staging, dst_dir_fd=folder, follow_symlinks=False)
        except OSError as error:
            if error.errno not in _NO_HARD_LINKS:
                raise
            _claim_and_rename(folder, staging, temp, name)
    finally:
        os.close(descriptor)
        remove_file(staging, temp)
    sync_folder(folder)


def replace(folder: int, name: str, content: bytes | memoryview, mode: int, token: Callable[[], str]) -> None:
    """Puts `content` in the place of whatever file is called `name`, atomically and durably."""
    temp = f"{TEMP_PREFIX}{token()}.tmp"
    descriptor = os.open(temp, _NEW_FILE, 0o600, dir_fd=folder)
    try:
        _fill(descriptor, content, mode)
        os.rename(temp, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        remove_file(folder, temp)
        raise
    finally:
        os.close(descriptor)
    sync_folder(folder)


def exists(folder: int, name: str) -> bool:
    """Whether anything at all, a dangling link included, has that name."""
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def remove_file(folder: int, name: str) -> None:
    """Removes a name; one that is gone already is success."""
    try:
        os.unlink(name, dir_fd=folder)
    except FileNotFoundError:
        pass  # Removing twice is how an interrupted removal is repeated.


@contextmanager
def opened_file(folder: int, name: str) -> Iterator[tuple[int, int]]:
    """A descriptor of the regular file `name` and its size. A link raises ELOOP, a pipe, device or folder EISDIR."""
    # Without O_NONBLOCK a pipe that somebody put there would hold this thread for ever.
    descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EISDIR, "not a regular file")
        yield descriptor, found.st_size
    finally:
        os.close(descriptor)


def read_range(descriptor: int, offset: int, length: int) -> bytes:
    """Up to `length` bytes from `offset`; fewer at the end of the file."""
    parts: list[bytes] = []
    while length > 0:
        part = os.pread(descriptor, min(length, _READ_BYTES), offset)
        if not part:
            break
        parts.append(part)
        offset += len(part)
        length -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def holds(folder: int, name: str, content: bytes | memoryview) -> bool:
    """Whether the regular file `name` holds exactly these bytes."""
    with opened_file(folder, name) as (descriptor, size):
        if size != len(content):
            return False
        wanted = memoryview(content)
        for offset in range(0, size, _READ_BYTES):
            part = wanted[offset : offset + _READ_BYTES]
            if read_range(descriptor, offset, len(part)) != part:
                return False
    return True


def _place_nameless(folder: int, name: str, content: bytes | memoryview, mode: int) -> bool:
    """Whether this file system and system can do it; if so the file is there now. Raises FileExistsError."""
    if not hasattr(os, "O_TMPFILE"):
        return False
    try:
        descriptor = os.open(".", os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o600, dir_fd=folder)
    except OSError as error:
        if error.errno in _NO_SUCH_CALL or error.errno in (errno.EISDIR, errno.ENOENT):
            return False
        raise
    try:
        _fill(descriptor, content, mode)
        try:
            os.link(f"/proc/self/fd/{descriptor}", name, dst_dir_fd=folder, follow_symlinks=True)
        except OSError as error:
            if error.errno not in _NO_HARD_LINKS:
                raise
            return False
        return True
    finally:
        os.close(descriptor)


def _fill(descriptor: int, content: bytes | memoryview, mode: int) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
    set_mode(descriptor, mode)
    # The bytes must be down before the name is: a name that survives a power cut must not stand for half a file.
    os.fsync(descriptor)


def _claim_and_rename(folder: int, staging: int, temp: str, name: str) -> None:
    claim = f"{TEMP_PREFIX}{name}.claim"
    try:
        os.close(os.open(claim, _NEW_FILE, 0o600, dir_fd=folder))
    except FileExistsError:
        if exists(folder, name):
            raise
        _drop_stale_claim(folder, staging, temp, claim)
        raise OSError(errno.EAGAIN, "another writer is placing this object right now") from None
    try:
        if exists(folder, name):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), name)
        os.rename(temp, name, src_dir_fd=staging, dst_dir_fd=folder)
    finally:
        remove_file(folder, claim)


def _drop_stale_claim(folder: int, staging: int, temp: str, claim: str) -> None:
    """Removes a claim whose writer must have died. Both times are the file server's, so our clock does not matter."""
    try:
        claimed = os.stat(claim, dir_fd=folder, follow_symlinks=False).st_mtime
    except FileNotFoundError:
        return
    if os.stat(temp, dir_fd=staging, follow_symlinks=False).st_mtime - claimed > STALE_CLAIM_SECONDS:
        remove_file(folder, claim)
