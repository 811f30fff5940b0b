"""Keeping to a share of what Google lets one account use, and to a budget of repetitions. No I/O."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from threading import Lock
from typing import Final, Literal

from syftd.errors import Quota
from syftd.seams import Clock, Random

Cost = Literal["read", "list", "download", "edit", "other"]

UNITS: Final[dict[Cost, int]] = {"read": 5, "list": 100, "download": 200, "edit": 50, "other": 5}
"""What one call of each kind costs, in quota units."""

UNITS_PER_MINUTE: Final = 325_000
"""What one account may use within a minute in one project."""

_MINUTE: Final = 60.0
BACKOFF_BASE: Final = 0.5
BACKOFF_CAP: Final = 4.0


class Governor:
    """Counts the units of the last minute and stops before `share` (0 to 1) of the account's is used up."""

    def __init__(self, clock: Clock, share: float = 0.5) -> None:
        self.limit = max(UNITS["download"], int(UNITS_PER_MINUTE * share))
        """The most units that are used within a minute."""
        self._clock = clock
        self._lock = Lock()
        self._spent: deque[tuple[float, int]] = deque()
        self._used = 0
        self._calls = 0
        self._units = 0
        self._closed_until = 0.0

    def spend(self, cost: Cost, calls: int = 1) -> None:
        """Takes the units of so many calls. Raises Quota with the seconds until there is room."""
        units = UNITS[cost] * calls
        now = self._clock.monotonic()
        with self._lock:
            self._forget(now)
            if now < self._closed_until:
                raise Quota("Drive asked us to wait", "", after=self._closed_until - now)
            if self._used and self._used + units > self.limit:
                raise Quota(
                    f"this minute's share of the Drive quota ({self.limit} units) is used up",
                    "syftd goes on by itself; `quota_share` in syftd.toml allows more.",
                    after=self._room_in(units, now),
                )
            self._spent.append((now, units))
            self._used += units
            self._calls += calls
            self._units += units

    def told_to_wait(self, seconds: float) -> None:
        """Google has said that the account used too much: nobody asks again before that."""
        with self._lock:
            self._closed_until = max(self._closed_until, self._clock.monotonic() + seconds)

    def used(self) -> tuple[int, int, int]:
        """Units of the last minute; calls and units since the start."""
        with self._lock:
            self._forget(self._clock.monotonic())
            return self._used, self._calls, self._units

    def words(self) -> str:
        """The use in one line, for `status`."""
        used, calls, units = self.used()
        return f"{used} of {self.limit} units this minute, {calls} calls and {units} units since the start"

    def _forget(self, now: float) -> None:
        while self._spent and self._spent[0][0] <= now - _MINUTE:
            self._used -= self._spent.popleft()[1]

    def _room_in(self, units: int, now: float) -> float:
        free = self.limit - self._used
        for at, spent in self._spent:
            free += spent
            if free >= units:
                return max(0.1, at + _MINUTE - now)
        return _MINUTE


class Retries:
    """A budget of repetitions for the whole account: each one takes a whole, each success gives a tenth back.

    While things go well every call may be repeated a few times; when nothing works, all calls together soon stop asking.
    """

    def __init__(self, random: Random, wait: Callable[[float], bool], size: float = 10.0) -> None:
        """`wait` waits so many seconds and says whether it was interrupted because the transport is being closed."""
        self._random = random
        self._wait = wait
        self._size = size
        self._left = size
        self._lock = Lock()

    def succeeded(self) -> None:
        """A call came back well."""
        with self._lock:
            self._left = min(self._size, self._left + 0.1)

    def again(self, attempt: int) -> bool:
        """Waits with full jitter after the failed `attempt` (from 0) and says whether to try once more."""
        with self._lock:
            if self._left < 1.0:
                return False
            self._left -= 1.0
        return not self._wait(self._random.uniform(0.0, min(BACKOFF_CAP, BACKOFF_BASE * 2.0**attempt)))
