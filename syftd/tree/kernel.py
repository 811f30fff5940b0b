"""The few system calls that Python lacks: openat2, renameat2, syncfs. Each says plainly when the machine has none."""

from __future__ import annotations

import errno
import os
import struct
import sys
from functools import cache
from typing import Any, Final

NO_REPLACE: Final = 0x4 if sys.platform == "darwin" else 0x1
EXCHANGE: Final = 0x2

_UNSUPPORTED: Final = frozenset({errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOTSUP})
_OPENAT2: Final = 437  # The same number on every architecture Linux still supports.
_NO_SYMLINKS: Final = 0x04 | 0x02  # RESOLVE_NO_SYMLINKS and RESOLVE_NO_MAGICLINKS.


@cache
def _call(name: str, kinds: str) -> Any:
    """The C function, None where the library has none. `kinds`: i int, l long, s bytes, u unsigned, z size."""
    import ctypes  # Commands that only read must not pay for it.

    function = getattr(ctypes.CDLL(None, use_errno=True), name, None)
    if function is not None:
        types = {"i": ctypes.c_int, "l": ctypes.c_long, "s": ctypes.c_char_p, "u": ctypes.c_uint, "z": ctypes.c_size_t}
        function.argtypes = [types[kind] for kind in kinds]
    return function


def _failure(name: str) -> OSError:
    import ctypes

    code = ctypes.get_errno()
    return OSError(code, os.strerror(code), name)


@cache
def _how(flags: int) -> bytes:
    """struct open_how: flags, mode, resolve."""
    return struct.pack("=QQQ", flags, 0, _NO_SYMLINKS)


def open_without_symlinks(root: int, path: str, flags: int) -> int:
    """Opens `path` below the open directory `root`; the kernel refuses (ELOOP) when any part of it is a symlink.

    Raises OSError; ENOSYS where the machine has no openat2. The caller has refused '..' and a leading '/'.
    """
    if not sys.platform.startswith("linux"):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    call = _call("syscall", "lissz")
    # Without O_NOFOLLOW, since with it and O_DIRECTORY a symlink at the end is called “not a directory”.
    how = _how((flags | os.O_CLOEXEC) & ~os.O_NOFOLLOW)
    while True:
        opened: int = call(_OPENAT2, root, os.fsencode(path), how, len(how))
        if opened >= 0:
            return opened
        failure = _failure(path)
        if failure.errno != errno.EINTR:
            raise failure


def rename(source: int, old: str, target: int, new: str, flags: int) -> bool:
    """Renames between open directories with NO_REPLACE or EXCHANGE. False when this system or disk cannot do that.

    Raises FileExistsError (NO_REPLACE) and any other OSError.
    """
    name = "renameatx_np" if sys.platform == "darwin" else "renameat2"
    call = _call(name, "isisu")
    if call is None:
        return False
    if call(source, os.fsencode(old), target, os.fsencode(new), flags) == 0:
        return True
    failure = _failure(new)
    if failure.errno in _UNSUPPORTED:
        return False
    raise failure


def can_sync_filesystem() -> bool:
    """Whether `sync_filesystem` exists here."""
    return _call("syncfs", "i") is not None


def sync_filesystem(fd: int) -> None:
    """Makes everything written so far to the file system that holds `fd` durable. Raises OSError."""
    if _call("syncfs", "i")(fd) != 0:
        raise _failure("syncfs")
