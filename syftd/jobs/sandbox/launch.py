"""The step between root and bubblewrap: binds the sources where the job's uid can reach them, drops root, becomes it.

Run as a program of its own (`python -I -S launch.py PLAN-FD`), because a threaded daemon must not change namespaces or
uids between fork and exec. It imports nothing of syftd and next to nothing else: every module here is paid for by every
job's start.
"""

from __future__ import annotations

import ctypes
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final, NoReturn

STAGE: Final = "/tmp/s"
"""Where source number N is found afterwards, as STAGE/N; it lies in a mount namespace that only this process has."""

FAULT: Final = "syftd-launch: "
"""How a complaint of this step begins on stderr."""

_CLONE_NEWNS = 0x00020000
_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_REMOUNT = 0x1, 0x2, 0x4, 0x20
_MS_BIND, _MS_REC, _MS_PRIVATE = 0x1000, 0x4000, 0x40000


def _checked(result: int, what: str) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")


def _stage(sources: list[str]) -> None:
    """Leaves the host's mounts for a private view in which /tmp holds nothing but the sources, read-only."""
    libc = ctypes.CDLL(None, use_errno=True)
    mount = libc.mount
    mount.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p]
    _checked(libc.unshare(_CLONE_NEWNS), "unshare")
    _checked(mount(None, b"/", None, _MS_REC | _MS_PRIVATE, None), "make mounts private")
    # Opened in the new namespace, as a mount of another one cannot be bound, and before /tmp is covered.
    opened = [os.open(source, os.O_PATH | os.O_CLOEXEC) for source in sources]
    _checked(mount(b"tmpfs", b"/tmp", b"tmpfs", _MS_NOSUID | _MS_NODEV, b"size=1m,mode=755"), "mount the stage")
    os.mkdir(STAGE, 0o755)
    for place, descriptor in enumerate(opened):
        target = f"{STAGE}/{place}"
        source = f"/proc/self/fd/{descriptor}"
        if os.path.isdir(source):
            os.mkdir(target, 0o755)
        else:
            os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
        _checked(mount(source.encode(), target.encode(), None, _MS_BIND | _MS_REC, None), f"bind {sources[place]}")
        only_read = _MS_BIND | _MS_REMOUNT | _MS_RDONLY | _MS_NOSUID | _MS_NODEV
        _checked(mount(None, target.encode(), None, only_read, None), f"make {sources[place]} read-only")
        os.close(descriptor)


def _drop(uid: int, gid: int) -> None:
    os.chdir("/")
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    if 0 in os.getresuid() or 0 in os.getresgid():
        raise OSError("still root after dropping it")


def plan(uid: int, gid: int, sources: Sequence[str], bwrap: str, command: Sequence[str]) -> bytes:
    """What `launch` reads: uid, gid, bubblewrap's path, the number of sources, these, and its argument vector."""
    words = [str(uid), str(gid), bwrap, str(len(sources)), *sources, *command]
    return b"\0".join(os.fsencode(word) for word in words)


def launch(planned: bytes) -> NoReturn:
    """Does not return: the process becomes bubblewrap. Raises OSError when a step fails."""
    uid, gid, bwrap, count, *rest = (os.fsdecode(word) for word in planned.split(b"\0"))
    os.umask(0o022)
    # Raised while still root: where root has CAP_SYS_RESOURCE, this is also the floor, and the job cannot lower it.
    with open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
        file.write("1000")
    _stage(rest[: int(count)])
    _drop(int(uid), int(gid))
    os.execve(bwrap, rest[int(count) :], {})


def _main() -> NoReturn:
    with open(int(sys.argv[1]), "rb") as file:
        planned = file.read()
    try:
        launch(planned)
    except OSError as error:
        sys.stderr.write(f"{FAULT}{error}\n")
        sys.exit(125)


if __name__ == "__main__":
    _main()
