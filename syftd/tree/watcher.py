"""Watching: “look at this path”, as soon as the system says so. Hints only; nothing is correct because one arrived.

On Linux watchdog's reader of inotify is driven directly: no dispatch thread, no half second in which moves are paired,
and one call of the kernel hands over a whole batch. Elsewhere watchdog's own observer is used. Where a folder cannot be
watched (a network file system, a limit reached) the watcher asks for a full look now and then, and says why.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal, Protocol

from syftd.seams import thread
from syftd.tree import filesystem
from syftd.tree.ignore import LITTER, TOP_ONLY

Hint = Callable[[str, bool, bool], None]
"""path relative to the watched folder · quick: it is complete, no quiet time is needed · gone: it was removed"""

Mode = Literal["off", "inotify", "system", "polling"]

POLL_SECONDS: Final = 15.0


class Source(Protocol):
    """Where hints come from."""

    problem: str | None

    @property
    def alive(self) -> bool: ...

    def stop(self) -> None: ...


def never_travels(path: str) -> bool:
    """Whether a directory, given relative to the folder of all datasites, is not worth a watch."""
    parts = path.split("/")
    return parts[-1] in LITTER or (len(parts) == 2 and parts[1] in TOP_ONLY)


class Watcher:
    """Watches a folder and all below it. The callbacks are called from another thread and must only post to the loop.

    `lost` says that hints may be missing, and why: everything should be scanned. Scan after every `start`, too. Whoever
    owns the watcher looks at `alive` and starts it again, with growing pauses.
    """

    def __init__(
        self,
        root: Path,
        hint: Hint,
        lost: Callable[[str], None],
        *,
        skips: Callable[[str], bool] = never_travels,
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        self.root = root
        self.mode: Mode = "off"
        self._hint = hint
        self._lost = lost
        self._skips = skips
        self._poll_seconds = poll_seconds
        self._source: Source | None = None
        self._polling: Polling | None = None
        self._trouble: str | None = None

    @property
    def problem(self) -> str | None:
        """Why changes are noticed late, in words, with what to do; None when all is watched."""
        return self._trouble or (self._source.problem if self._source is not None else None)

    @property
    def alive(self) -> bool:
        """False after `stop`, and when watching broke down."""
        parts = [part for part in (self._source, self._polling) if part is not None]
        return bool(parts) and all(part.alive for part in parts)

    def start(self) -> None:
        """Begins to watch. Raises OSError when the folder is not there. A limit or a remote disk means polling."""
        self.stop()
        self._trouble = None
        if not self.root.is_dir():
            raise FileNotFoundError(f"{self.root} is not there to be watched")
        kind = filesystem.kind(str(self.root))
        if filesystem.is_remote(kind):
            self._trouble = (
                f"{self.root} lies on {kind}, which does not tell of changes made elsewhere; "
                f"it is looked through every {self._poll_seconds:.0f} s"
            )
            self._poll()
            return
        try:
            if sys.platform.startswith("linux"):
                from syftd.tree.inotify import Inotify

                self._source, self.mode = Inotify(self.root, self._hint, self._lost, self._skips, self._poll), "inotify"
            else:
                from syftd.tree.observer import Observed

                self._source, self.mode = Observed(self.root, self._hint, self._skips), "system"
        except OSError as error:
            self._trouble = (
                f"the system refuses to watch {self.root} ({error.strerror}); it is looked through every "
                f"{self._poll_seconds:.0f} s. Raising fs.inotify.max_user_instances with sysctl helps"
            )
            self._poll()

    def stop(self) -> None:
        """Ends watching; again is harmless."""
        for part in (self._source, self._polling):
            if part is not None:
                part.stop()
        self._source = self._polling = None
        self.mode = "off"

    def _poll(self) -> None:
        if self._polling is None:
            self._polling = Polling(self._lost, self._poll_seconds)
        self.mode = "polling"


class Polling:
    """Asks for a full look at a steady pace."""

    def __init__(self, lost: Callable[[str], None], seconds: float) -> None:
        self.problem: str | None = None
        self._lost = lost
        self._seconds = seconds
        self._ended = threading.Event()
        self._thread: threading.Thread = thread("syftd-polling", self._run)

    @property
    def alive(self) -> bool:
        return self._thread.is_alive() and not self._ended.is_set()

    def stop(self) -> None:
        self._ended.set()

    def _run(self) -> None:
        while not self._ended.wait(self._seconds):
            self._lost("polling")
