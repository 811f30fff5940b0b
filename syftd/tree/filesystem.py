"""What kind of file system a folder lies on, and what follows from that."""

from __future__ import annotations

import os
import sys
from typing import Final

REMOTE: Final = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "ceph", "9p", "virtiofs", "davfs", "lustre"})
"""File systems that other machines write to without this kernel being told, so that nothing can be watched on them."""

_COARSE: Final = REMOTE | {"vfat", "msdos", "exfat", "fuseblk", "ntfs", "ntfs3"}
_SECOND_NS: Final = 10**9
COARSEST_NS: Final = 2 * _SECOND_NS
"""No file system's times are coarser than FAT's."""


def kind(path: str) -> str:
    """The name of the file system, such as ``ext4`` or ``fuse.sshfs``; '' where the system does not tell."""
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
            lines = file.read().splitlines()
    except OSError:
        return ""  # No /proc: macOS, or a very small container.
    real = os.path.realpath(path)
    best, found = -1, ""
    for line in lines:
        left, _, right = line.partition(" - ")
        fields = left.split(" ")
        if len(fields) < 5 or not right:
            continue
        mounted = fields[4].replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
        inside = real == mounted or real.startswith(mounted.rstrip("/") + "/")
        # Of two mounts on one place the later one covers the earlier.
        if inside and len(mounted) >= best:
            best, found = len(mounted), right.split(" ", 1)[0]
    return found


def is_remote(kind: str) -> bool:
    """Whether changes made elsewhere can arrive there without an event."""
    return kind in REMOTE or (kind.startswith("fuse.") and kind not in ("fuse.mergerfs", "fuse.gocryptfs"))


def granularity_ns(kind: str, stamps: list[int]) -> int:
    """How far apart two writes must be for their times to differ for certain, from times seen on that disk."""
    if kind in _COARSE or kind.startswith("fuse"):
        return COARSEST_NS
    if kind == "hfs" or (stamps and all(stamp % _SECOND_NS == 0 for stamp in stamps)):
        return (2 if stamps and all(stamp % (2 * _SECOND_NS) == 0 for stamp in stamps) else 1) * _SECOND_NS
    if not kind and not sys.platform.startswith(("linux", "darwin")):
        return COARSEST_NS
    return 10_000_000
