"""What the disk says about a file, and how an operating-system error becomes a sentence for people."""

from __future__ import annotations

import errno
import os
import stat as modes
from typing import Final, NamedTuple

from syftd.errors import Denied, DiskFull, DiskReadOnly, ItemError, NameClash, RootMissing, SyftdError, TooLarge

DAY_NS: Final = 86_400 * 10**9


class Stat(NamedTuple):
    """An observation of one ordinary file. Equal observations mean unchanged content, unless the file was unsettled.

    `size` in bytes, times in nanoseconds since the epoch. A tuple, not a dataclass: a walk makes 100,000 of them.
    """

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    executable: bool

    def settled(self, hashed_at_ns: int, granularity_ns: int) -> bool:
        """False when a write just after `hashed_at_ns` could leave an equal observation: then it must be hashed again.

        A write always moves ctime, and brings mtime back from the far future; such a date alone unsettles nothing.
        """
        newest = self.ctime_ns
        if newest < self.mtime_ns < hashed_at_ns + DAY_NS:
            newest = self.mtime_ns
        return newest < hashed_at_ns - granularity_ns


def of(found: os.stat_result) -> Stat:
    """The observation in an operating system's answer."""
    return Stat(found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino, bool(found.st_mode & 0o111))


def look(directory: int, name: str) -> os.stat_result | None:
    """What stands under `name` in an open directory, symlinks not followed; None when nothing does."""
    try:
        return os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return None


def is_file(found: os.stat_result) -> bool:
    return modes.S_ISREG(found.st_mode)


def explained(error: OSError, doing: str, where: str) -> SyftdError:
    """The error to raise for `error`, met while `doing` something (“reading”) to the path `where`."""
    code = error.errno
    if code in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull(f"no space is left on the disk for {doing} {where}", "Free some space; it goes on by itself.")
    if code == errno.EROFS:
        return DiskReadOnly(f"{where} is on a disk that is mounted read-only", "Mount it writable; it goes on by itself.")
    if code in (errno.EACCES, errno.EPERM):
        return Denied(f"the system does not permit {doing} {where}", "Check the owner and mode of it and its folder.")
    if code == errno.ELOOP:
        return Denied(f"{where} lies behind a symbolic link, which syftd never follows", "Put a real folder there.")
    if code in (errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENOTEMPTY):
        return NameClash(f"{where} cannot be a file: a file and a folder claim the same name", "Rename one of them.")
    if code in (errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL):
        return NameClash(f"this disk cannot hold the name {where}", "Ask for a shorter or simpler name.")
    if code == errno.EFBIG:
        return TooLarge(f"{where} is larger than this disk allows")
    if code in (errno.ENODEV, errno.ESTALE, errno.ENOTCONN):
        return RootMissing(f"the disk under {where} went away ({error.strerror})", "Mount it again, then resume.")
    return ItemError(f"{doing} {where} failed: {error.strerror or error}", "See the system's log about the disk.")
