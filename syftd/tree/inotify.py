"""Linux: hints straight from the kernel, a batch at a time, through watchdog's reader."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

from watchdog.observers.inotify_c import (
    CallbackId,
    InotifyConstants,
    InotifyEvent,
    InotifyFD,
    Mask,
    WatchDescriptor,
)

_C = InotifyConstants
_WRITTEN: Final = int(_C.IN_CLOSE_WRITE)
_FROM: Final = int(_C.IN_MOVED_FROM)
_TO: Final = int(_C.IN_MOVED_TO)
_CREATED: Final = int(_C.IN_CREATE)
_DELETED: Final = int(_C.IN_DELETE)
_ATTRIB: Final = int(_C.IN_ATTRIB)
_DIRECTORY: Final = int(_C.IN_ISDIR)
_LOST: Final = int(_C.IN_Q_OVERFLOW)
_ENDED: Final = int(_C.IN_IGNORED)
_UNMOUNTED: Final = int(_C.IN_UNMOUNT)

# Not opening, reading or modifying: a daemon that hashes files must not wake itself, and a write counts when closed.
# IN_ATTRIB is there for the executable bit, which travels.
_MASK: Final = Mask(
    _WRITTEN | _FROM | _TO | _CREATED | _DELETED | _ATTRIB | _C.IN_ONLYDIR | _C.IN_DONT_FOLLOW | _C.IN_EXCL_UNLINK
)
_SKIPPED: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.ELOOP})


class Inotify(InotifyFD):
    """Watches every directory below `root` and reads the events in its own thread."""

    def __init__(
        self,
        root: Path,
        hint: Callable[[str, bool, bool], None],
        lost: Callable[[str], None],
        skips: Callable[[str], bool],
        poll: Callable[[], None],
    ) -> None:
        """`poll` is called when the limit of watches is reached. Raises OSError when nothing can be watched."""
        super().__init__()
        self.name = "syftd-inotify"
        self.daemon = True
        self.problem: str | None = None
        self._root = os.path.realpath(root)
        self._hint = hint
        self._tell_lost = lost
        self._skips = skips
        self._poll = poll
        self._paths: dict[int, str] = {}
        self._places: dict[str, tuple[int, int]] = {}
        self._id = CallbackId(id(self))
        self._ended = False
        try:
            self._watch_below("")
        except BaseException:
            # watchdog closes the descriptors in its thread; that one has not begun, so tell it that nobody reads.
            self._is_reading = False
            self.close()
            raise
        self.start()

    @property
    def alive(self) -> bool:
        return self.is_alive() and not self._ended

    def stop(self) -> None:
        self._ended = True
        super().stop()
        if self is not threading.current_thread():
            self.join(timeout=2.0)

    # The callback's side of watchdog; events are taken in batches by `run` instead.

    def on_event(self, event: InotifyEvent) -> None:
        """Not used: `run` sees every event itself."""

    def on_watch_deleted(self, wd: WatchDescriptor) -> None:
        """The kernel, or we, gave up a watch."""
        path = self._paths.pop(wd, None)
        if path is not None and self._places.get(path, (-1, -1))[0] == wd:
            del self._places[path]

    def on_queue_overflow(self) -> None:
        """Not used: `run` sees it itself."""

    def run(self) -> None:
        try:
            while self.should_keep_running():
                self._take(self.read_events())
        except OSError as error:
            if not self._ended:
                self._ended = True
                self._tell_lost(f"watching broke down: {error.strerror}")

    def _take(self, events: list[InotifyEvent]) -> None:
        """One batch. Of several events of one path the last one counts."""
        hints: dict[str, tuple[bool, bool]] = {}
        left: dict[int, str] = {}
        arrived: set[str] = set()
        paths = self._paths
        for event in events:
            mask = int(event.mask)
            if mask & (_LOST | _UNMOUNTED):
                self._start_over()
                return
            above = paths.get(event.wd)
            if above is None:
                continue
            if mask & _ENDED:
                self.handle_event(event)
                if not above and not self._ended:
                    self._ended = True
                    self._tell_lost("the watched folder went away")
                    return
                continue
            if not event.name:
                continue  # Something about the directory itself, which its parent tells, too.
            name = os.fsdecode(event.name)
            path = f"{above}/{name}" if above else name
            directory = bool(mask & _DIRECTORY)
            if directory and self._skips(path):
                continue
            if mask & _FROM:
                left[event.cookie] = path
                hints[path] = (False, True)
                if directory:
                    self._forget_below(path)
            elif mask & _TO:
                came_from = left.pop(event.cookie, None)
                if came_from is not None:
                    # A rename: both names at once, so that the two halves become one batch.
                    hints[came_from] = (True, True)
                if directory:
                    self._watch_below(path)
                hints[path] = (True, False)
                arrived.add(path)
            elif mask & _WRITTEN:
                hints[path] = (True, False)
            elif mask & _DELETED:
                hints[path] = (False, True)
            elif mask & _CREATED:
                if directory:
                    # What was put into it before the watch stood is found by looking at the directory.
                    self._watch_below(path)
                hints[path] = (False, False)
            elif mask & _ATTRIB and not directory:
                hints.setdefault(path, (False, False))
        hint = self._hint
        for path, (quick, gone) in hints.items():
            if gone and not quick and os.path.lexists(f"{self._root}/{path}"):
                # Two files exchanged their names, as when we replace one; the arrival is told before the departure.
                quick, gone = path in arrived, False
            hint(path, quick, gone)

    def _start_over(self) -> None:
        """Events were dropped; directories may have come, gone and moved unseen: watch anew, have all looked at."""
        self.remove_callbacks([(WatchDescriptor(wd), self._id) for wd in self._paths])
        self._paths.clear()
        self._places.clear()
        self._watch_below("")
        self._tell_lost("more changed at once than the system's queue holds, or a disk was unmounted")

    def _forget_below(self, path: str) -> None:
        """Gives up the watches of a directory that moved away; if it moved within the tree it is watched anew there."""
        inside = path + "/"
        moved = [wd for wd, each in self._paths.items() if each == path or each.startswith(inside)]
        for wd in moved:
            self.on_watch_deleted(WatchDescriptor(wd))
        self.remove_callbacks([(WatchDescriptor(wd), self._id) for wd in moved])

    def _watch_below(self, path: str) -> None:
        """Watches a directory and all below it; each is watched before it is listed, so that nothing falls between."""
        waiting = [path]
        while waiting:
            here = waiting.pop()
            full = f"{self._root}/{here}" if here else self._root
            if not self._watch(here, full):
                continue
            try:
                with os.scandir(full) as entries:
                    names = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
            except OSError as error:
                if error.errno not in _SKIPPED:
                    raise
                continue  # It went away again, or is not readable, which the scan reports.
            for name in names:
                below = f"{here}/{name}" if here else name
                if not self._skips(below):
                    waiting.append(below)

    def _watch(self, path: str, full: str) -> bool:
        """Whether the directory is watched now and was not before."""
        try:
            inode = os.stat(full, follow_symlinks=False).st_ino
            known = self._places.get(path)
            if known is not None:
                if known[1] == inode:
                    return False  # It was found while its parent was listed; this is the event that tells of it.
                self.on_watch_deleted(WatchDescriptor(known[0]))
            found = inotify_watch(self, full, self._id)
        except OSError as error:
            if path and error.errno in _SKIPPED:
                return False
            if path and error.errno in (errno.ENOSPC, errno.EMFILE, errno.ENOMEM):
                if self.problem is None:
                    self.problem = (
                        f"only {len(self._paths)} folders could be watched; the rest is looked through now and then. "
                        "Raise the limit: sysctl fs.inotify.max_user_watches=524288"
                    )
                    self._poll()
                return False
            raise
        if found is None:
            return False
        self._paths[found] = path
        self._places[path] = (found, inode)
        return True


def inotify_watch(reader: Inotify, full: str, id: CallbackId) -> int | None:
    """Watches one directory; None when it may not be read. Raises OSError."""
    found = int(reader.add_callback(os.fsencode(full), _MASK, reader, id))
    if found < 0:
        # watchdog keeps quiet about EACCES and books the watch under -1.
        reader.remove_callbacks([(WatchDescriptor(found), id)])
        return None
    return found
