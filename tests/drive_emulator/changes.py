"""The feed of changes: for each person, the latest change of every file that they could see before or after it.

Page tokens are positions in one dense count, so they never expire. A file that changed twice appears once, at its
latest change, as in the service.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Entry:
    """The latest that happened to a file, from one person's side."""

    sequence: int
    file_id: str
    drive_id: str
    time: float
    removed: bool


class Feed:
    """Everybody's changes."""

    def __init__(self) -> None:
        self._sequence = 0
        # Kept in the order of `sequence`, for each person.
        self._entries: defaultdict[str, dict[str, Entry]] = defaultdict(dict)
        self.listeners: list[Callable[[str, Entry], None]] = []
        """Called with each person and entry as it is noted."""

    def note(self, file_id: str, drive_id: str, people: Iterable[str], time: float, removed: bool = False) -> None:
        """Tells `people` of a change."""
        people = sorted(people)
        if not people:
            return
        self._sequence += 1
        entry = Entry(self._sequence, file_id, drive_id, time, removed)
        for person in people:
            entries = self._entries[person]
            entries.pop(file_id, None)
            entries[file_id] = entry
            for listener in self.listeners:
                listener(person, entry)

    def head(self, person: str, lags: Callable[[Entry], bool] | None = None) -> int:
        """The position up to which the person's feed can be read now: before the first entry that lags."""
        if lags is not None:
            for entry in self._entries[person].values():
                if lags(entry):
                    return entry.sequence
        return self._sequence + 1

    def since(self, person: str, position: int, head: int) -> list[Entry]:
        """The person's entries from `position` up to, not including, `head`, oldest first."""
        found: list[Entry] = []
        for entry in reversed(self._entries[person].values()):
            if entry.sequence < position:
                break
            if entry.sequence < head:
                found.append(entry)
        return found[::-1]
