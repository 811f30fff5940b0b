"""Being told by the operating system that something moved in a shared folder (inotify, FSEvents), as a hint only.

Network and user-space file systems do not tell what other machines do, so there polling is all there is.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Final

from syftd.transport.layout import BLOBS_FOLDER

if TYPE_CHECKING:
    from watchdog.events import FileSystemEvent
    from watchdog.observers.api import BaseObserver

_SILENT: Final = frozenset(
    {
        "9p", "afs", "beegfs", "ceph", "cifs", "coda", "davfs", "drvfs", "fuse", "gfs2", "glusterfs", "gpfs",
        "lustre", "ncpfs", "nfs", "nfs4", "ocfs2", "orangefs", "prl_fs", "smb3", "smbfs", "vboxsf", "virtiofs",
        "vmhgfs",
    }
)  # fmt: skip
_OCTAL = re.compile(r"\\([0-7]{3})")
_BURST: Final = 256
"""During a storm of events the waiting side is woken at least once per so many."""


def filesystem_type(path: Path, mounts: Path = Path("/proc/self/mountinfo")) -> str:
    """The type of the file system that holds `path` (``ext4``, ``nfs4``, ``fuse.sshfs``), '' when unknown."""
    try:
        lines = mounts.read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return ""  # No such table on this system (macOS): the caller then relies on polling beside the watch.
    real = os.path.realpath(path)
    best, found = -1, ""
    for line in lines:
        before, separator, after = line.partition(" - ")
        fields = before.split()
        if not separator or len(fields) < 5 or not after:
            continue
        point = _OCTAL.sub(lambda octal: chr(int(octal.group(1), 8)), fields[4])
        # A later mount on the same point hides the earlier one, hence >=.
        if len(point) >= best and (real == point or real.startswith(point.rstrip("/") + "/")):
            best, found = len(point), after.split()[0]
    return found


def tells_changes(filesystem: str) -> bool:
    """Whether the kernel hears of every change in a file system of this type, whoever makes it."""
    return filesystem not in _SILENT and not filesystem.startswith("fuse.")


class FolderWatch:
    """A running watch on one folder; restarts itself when told that another folder stands in its place."""

    def __init__(self, root: Path, me: str, wake: Callable[[], None]) -> None:
        """Starts watching. Raises OSError when the system has no watches left or the folder is not there."""
        self._root = root
        self._wake = wake
        self._own_blobs = f"{os.sep}{me}{os.sep}{BLOBS_FOLDER}{os.sep}"
        self._lock = Lock()
        self._closed = False
        self._identity = _identity(root)
        self._observer = self._started()
        # Whatever came between the caller's last look and now has sent no event.
        wake()

    def follow(self, identity: tuple[int, int]) -> None:
        """Watches anew when `identity` (device, inode) says that the folder was replaced. Raises OSError."""
        with self._lock:
            if self._closed or identity == self._identity:
                return
            self._observer.stop()
            self._observer = self._started()
            self._identity = identity
        self._wake()

    def close(self) -> None:
        """Ends the watch; no wake follows once the observer's thread has seen it."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._observer.stop()
        self._observer.join(timeout=5)

    def _started(self) -> BaseObserver:
        # watchdog is only loaded by processes that watch: commands never pay for it.
        from watchdog import events
        from watchdog.observers import Observer

        observer = Observer()
        observer.schedule(
            _Bell(self._wake, self._own_blobs, observer.event_queue.empty),  # type: ignore[arg-type]
            str(self._root),
            recursive=True,
            # Opening and reading must cause no events, or our own polling would keep waking us.
            event_filter=[
                events.FileCreatedEvent,
                events.FileClosedEvent,
                events.FileMovedEvent,
                events.FileDeletedEvent,
                events.DirCreatedEvent,
                events.DirMovedEvent,
                events.DirDeletedEvent,
            ],
        )
        observer.start()
        return observer


class _Bell:
    """Receives events on the observer's one thread and rings once for a run of them."""

    def __init__(self, wake: Callable[[], None], ignored: str, idle: Callable[[], bool]) -> None:
        self._wake = wake
        self._ignored = ignored
        self._idle = idle
        self._waiting = 0

    def dispatch(self, event: FileSystemEvent) -> None:
        if self._matters(os.fsdecode(event.src_path)) or self._matters(os.fsdecode(event.dest_path)):
            self._waiting += 1
        # While more events are queued a later call will ring for this one too; an empty queue means nobody else will.
        if self._waiting and (self._waiting >= _BURST or self._idle()):
            self._waiting = 0
            self._wake()

    def _matters(self, path: str) -> bool:
        return bool(path) and not os.path.basename(path).startswith(".") and self._ignored not in path


def why_not_watched(error: OSError, root: Path) -> str:
    """What to tell a person whose folder cannot be watched."""
    if error.errno == errno.ENOSPC:
        return f"{root} is polled, not watched: no inotify watches are left (raise fs.inotify.max_user_watches)"
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return (
            f"{root} is polled, not watched: too many inotify instances or open files "
            "(raise fs.inotify.max_user_instances or the limit of open files)"
        )
    return f"{root} is polled, not watched: {error.strerror or error}"


def _identity(root: Path) -> tuple[int, int]:
    found = os.stat(root)
    return (found.st_dev, found.st_ino)
