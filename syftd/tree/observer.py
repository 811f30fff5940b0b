"""Systems other than Linux: hints from watchdog's own observer."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from watchdog.events import (
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer

_KINDS: list[type[FileSystemEvent]] = [
    DirCreatedEvent, DirDeletedEvent, DirMovedEvent, FileClosedEvent, FileCreatedEvent, FileDeletedEvent,
    FileModifiedEvent, FileMovedEvent,
]  # fmt: skip


class Observed(FileSystemEventHandler):
    """One recursive watch. Outside of Linux nobody tells that a file was closed, so modifications count, unhurried."""

    def __init__(self, root: Path, hint: Callable[[str, bool, bool], None], skips: Callable[[str], bool]) -> None:
        """Raises OSError when the folder cannot be watched."""
        self.problem: str | None = None
        self._root = os.path.realpath(root)
        self._hint = hint
        self._skips = skips
        self._observer = Observer()
        self._observer.schedule(self, self._root, recursive=True, event_filter=_KINDS)
        self._observer.start()

    @property
    def alive(self) -> bool:
        return self._observer.is_alive() and all(emitter.is_alive() for emitter in self._observer.emitters)

    def stop(self) -> None:
        self._observer.stop()

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Called by watchdog in its thread."""
        if isinstance(event, FileMovedEvent | DirMovedEvent):
            self._tell(event.src_path, True, True)
            self._tell(event.dest_path, True, False)
        elif isinstance(event, FileDeletedEvent | DirDeletedEvent):
            self._tell(event.src_path, False, True)
        else:
            self._tell(event.src_path, isinstance(event, FileClosedEvent), False)

    def _tell(self, path: str | bytes, quick: bool, gone: bool) -> None:
        text = os.fsdecode(path)
        if not text.startswith(self._root + "/"):
            return
        below = text[len(self._root) + 1 :]
        parts = below.split("/")
        if not any(self._skips("/".join(parts[:count])) for count in range(1, len(parts) + 1)):
            self._hint(below, quick, gone)
