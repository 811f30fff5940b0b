"""When a transport may be tried: the health of one transport as a value, and what each outcome makes of it.

No I/O, no clock of its own: times are monotonic seconds that the caller passes in, chance is a number in [0, 1).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal

from syftd.errors import AuthNeeded, Exists, Gone, Permanent, Quota, Refused, Transient, TransportError

OPEN_AFTER: Final = 5
"""So many transient failures in a row open the circuit: the transport is then left alone for a while."""

BACKOFF_BASE_SECONDS: Final = 1.0
BACKOFF_CAP_SECONDS: Final = 300.0
LOGIN_PROBE_SECONDS: Final = 300.0
"""A transport that needs a person is still asked this often, since the person may have logged in elsewhere."""

State = Literal["ok", "failing", "down", "quota", "login"]


@dataclass(frozen=True, slots=True)
class Circuit:
    """The health of one transport.

    `ok` and `failing` let everything through. `down`, `quota` and `login` let nothing through until `until`, and then
    one probe at a time; the probe's outcome decides. `changed` is when the present pause began.
    """

    state: State = "ok"
    failures: int = 0
    until: float = 0.0
    changed: float = 0.0
    probing: bool = False
    error: str = ""
    remedy: str = ""

    @property
    def paused(self) -> bool:
        """Whether only a probe may pass, and only after `until`."""
        return self.state in ("down", "quota", "login")

    def permits(self, now: float) -> bool:
        """Whether an attempt may start now."""
        return not self.paused or (not self.probing and now >= self.until)

    def started(self) -> Circuit:
        """An attempt that `permits` allowed has started."""
        return replace(self, probing=True) if self.paused else self

    def succeeded(self, since: float) -> Circuit:
        """An attempt that started at `since` came back well."""
        # One that set out before a pause began does not end it: a quota stays used up whatever still got through.
        return self if self._outdated(since) else Circuit()

    def failed(self, error: TransportError, since: float, now: float, chance: float) -> Circuit:
        """An attempt that started at `since` ended with `error`; `chance` spreads the pause (full jitter)."""
        if self._outdated(since):
            return self
        match error:
            case Exists() | Gone() | Refused():
                # An answer about one object: the transport itself works.
                return Circuit()
            case Permanent():
                # Nothing to wait for; but a person should see it, and a probe that got this far ends the pause.
                return Circuit(state="failing", error=str(error), remedy=error.remedy)
            case Quota():
                return self._pause("quota", error, now, max(0.0, error.after), failures=0)
            case AuthNeeded():
                return self._pause("login", error, now, LOGIN_PROBE_SECONDS, failures=0)
            case _:
                failures = self.failures + 1
                if failures < OPEN_AFTER:
                    return replace(
                        self,
                        state="failing",
                        failures=failures,
                        probing=False,
                        error=str(error),
                        remedy=error.remedy,
                    )
                return self._pause("down", error, now, chance * backoff_ceiling(failures - OPEN_AFTER), failures)

    def abandoned(self, since: float) -> Circuit:
        """An attempt that started at `since` ended without telling anything about the transport."""
        return self if self._outdated(since) else replace(self, probing=False)

    def hastened(self) -> Circuit:
        """A person says that it should be tried again now."""
        return replace(self, until=float("-inf"))

    def _outdated(self, since: float) -> bool:
        """Whether an attempt set out before the present pause began, so that the pause knows more than it does."""
        return self.paused and since < self.changed

    def _pause(self, state: State, error: TransportError, now: float, seconds: float, failures: int) -> Circuit:
        return Circuit(
            state=state,
            failures=failures,
            until=now + seconds,
            changed=now,
            probing=False,
            error=str(error),
            remedy=error.remedy,
        )


def backoff_ceiling(doublings: int) -> float:
    """The longest pause, in seconds, after so many probes that failed."""
    # Above 2^9 the cap has won already; the bound keeps the power from growing with the length of an outage.
    return min(BACKOFF_CAP_SECONDS, BACKOFF_BASE_SECONDS * 2.0 ** min(doublings, 16))


def try_order(preferred: tuple[str, ...], bound: str | None) -> tuple[str, ...]:
    """The transports to try for one object: the one that may hold it already comes first, then the owner's order."""
    if bound is None or bound not in preferred:
        return preferred
    return (bound, *(name for name in preferred if name != bound))


def verdict(errors: list[TransportError]) -> TransportError:
    """The one error that stands for the failures of several transports: the most hopeful, so that nothing is given up
    which another attempt may still send. Raises ValueError without errors."""
    for kind in (Transient, Quota, AuthNeeded, Exists, Refused, Permanent, Gone):
        matching = [error for error in errors if isinstance(error, kind)]
        if not matching:
            continue
        chosen = min(matching, key=lambda error: error.after if isinstance(error, Quota) else 0.0)
        if len(errors) == 1:
            return chosen
        text = "; ".join(str(error) for error in errors)
        if isinstance(chosen, Quota):
            return Quota(text, chosen.remedy, after=chosen.after)
        return kind(text, chosen.remedy)
    raise ValueError("no errors to judge")
