"""What calls cost, and who has spent too much within a minute."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable
from typing import Final

from tests.drive_emulator.errors import DriveError
from tests.drive_emulator.settings import Settings

READ, LIST, DOWNLOAD, EDIT, OTHER = 5, 100, 200, 50, 5
_EDITS: Final = ("create", "update", "delete", "copy", "emptyTrash", "hide", "unhide")
_OTHER: Final = ("generateIds", "getStartPageToken", "watch", "stop")
_MINUTE: Final = 60.0


def units(method_id: str, wants_media: bool) -> int:
    """What one call of a method costs, in quota units."""
    verb = method_id.rpartition(".")[2]
    if wants_media or verb in ("export", "download"):
        return DOWNLOAD
    if verb == "list":
        return LIST
    if verb in _EDITS:
        return EDIT
    if verb in _OTHER or method_id == "drive.about.get":
        return OTHER
    return READ


class Quota:
    """The units spent within the last minute, by person and in all."""

    def __init__(self, settings: Settings, clock: Callable[[], float]) -> None:
        self._settings = settings
        self._clock = clock
        self._spent: defaultdict[str, deque[tuple[float, int]]] = defaultdict(deque)
        self._sums: defaultdict[str, int] = defaultdict(int)

    def charge(self, user: str, cost: int) -> None:
        """Spends the units. Raises DriveError (403), spending none, when the person or the project has too few left."""
        settings, after = self._settings, self._settings.retry_after_seconds
        if self._within_minute(user) + cost > settings.user_units_per_minute:
            raise DriveError(403, "userRateLimitExceeded", "User Rate Limit Exceeded", retry_after=after)
        if self._within_minute("") + cost > settings.project_units_per_minute:
            raise DriveError(403, "rateLimitExceeded", "Rate Limit Exceeded", retry_after=after)
        now = self._clock()
        for account in (user, ""):
            self._spent[account].append((now, cost))
            self._sums[account] += cost

    def _within_minute(self, account: str) -> int:
        spent, start = self._spent[account], self._clock() - _MINUTE
        while spent and spent[0][0] <= start:
            self._sums[account] -= spent.popleft()[1]
        return self._sums[account]
