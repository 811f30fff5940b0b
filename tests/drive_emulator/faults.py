"""Faults on order: rules that say which calls go wrong, and how.

A rule is `{"match": {…}, "action": {…}}`; an empty match is every call.

match: `method` (id in the discovery document, or "batch", "oauth2.token", "oauth2.auth"), `path` (regular expression,
searched in path and query), `http` (verb), `user`, `phase` ("call", or of a resumable upload "start", "chunk", "status");
of the calls that fit so far, `nth` (only that one, counted from 1), `every` (each such), `probability` with `seed`; and
`times`, after which the rule is spent.

action, one or more of: `error` (a reason, see `_STATUS`) with optional `status`, `message`, `retry_after` in seconds;
`reset` (true, the connection breaks; "partial", half of an upload's chunk is kept first); `stall_ms` (silence, then the
connection closes); `truncate` (a number of bytes, or a part between 0 and 1, of the body that still arrives); `corrupt`
(true, one byte of the body is wrong); `latency_ms`. `when` is "before" (default) or "after" the call took effect, for
error, reset and stall.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from typing import Any, Final

from tests.drive_emulator.errors import DriveError

_STATUS: Final = {
    "rateLimitExceeded": 403,
    "userRateLimitExceeded": 403,
    "dailyLimitExceeded": 403,
    "sharingRateLimitExceeded": 403,
    "storageQuotaExceeded": 403,
    "numChildrenInNonRootLimitExceeded": 403,
    "insufficientFilePermissions": 403,
    "forbidden": 403,
    "authError": 401,
    "notFound": 404,
    "backendError": 500,
    "internalError": 500,
    "serviceUnavailable": 503,
    "transientError": 503,
    "badRequest": 400,
    "invalid_grant": 400,
}
_MATCH: Final[dict[str, tuple[type, ...]]] = {
    "method": (str,), "path": (str,), "http": (str,), "user": (str,), "phase": (str,), "nth": (int,), "every": (int,),
    "probability": (int, float), "seed": (int,), "times": (int,),
}  # fmt: skip
_ACTION: Final[dict[str, tuple[type, ...]]] = {
    "error": (str,), "status": (int,), "message": (str,), "retry_after": (int,), "reset": (bool, str), "stall_ms": (int,),
    "truncate": (int, float), "corrupt": (bool,), "latency_ms": (int,), "when": (str,),
}  # fmt: skip
_PHASES: Final = ("call", "start", "chunk", "status")


@dataclass(frozen=True)
class Occasion:
    """A call, as rules see it."""

    method: str
    http: str
    path: str
    user: str
    phase: str = "call"


@dataclass
class Fault:
    """What is to go wrong with one call."""

    error: DriveError | None = None
    reset: str = ""
    """"", "full" or "partial"."""
    stall_ms: int = 0
    truncate: float | None = None
    corrupt: bool = False
    latency_ms: int = 0
    after: bool = False


class Rule:
    """One rule, and how often it has been met."""

    def __init__(self, raw: object) -> None:
        """Raises ValueError, with a sentence, for what is not a rule."""
        if not isinstance(raw, dict) or set(raw) - {"match", "action"} or not raw.get("action"):
            raise ValueError(f"a rule has a match and an action, not {raw!r}")
        self.raw = raw
        self.match = _checked(raw.get("match", {}), _MATCH, "match")
        self.action = _checked(raw["action"], _ACTION, "action")
        if self.action.get("when", "before") not in ("before", "after"):
            raise ValueError(f"when is before or after, not {self.action['when']!r}")
        if self.action.get("reset", True) not in (True, "partial"):
            raise ValueError(f'reset is true or "partial", not {self.action["reset"]!r}')
        if self.match.get("phase", "call") not in _PHASES:
            raise ValueError(f"phase is one of {', '.join(_PHASES)}, not {self.match['phase']!r}")
        if "error" in self.action and "status" not in self.action and self.action["error"] not in _STATUS:
            raise ValueError(f"{self.action['error']!r} needs a status; without one there are {', '.join(_STATUS)}")
        if self.match.get("every", 1) < 1 or self.match.get("nth", 1) < 1:
            raise ValueError("nth and every are counted from 1")
        try:
            self._path = re.compile(self.match.get("path", ""))
        except re.error as wrong:
            raise ValueError(f"path is a regular expression; {wrong}") from None
        self._random = random.Random(self.match.get("seed", 0))
        self.fitted = 0
        self.struck = 0

    def strikes(self, occasion: Occasion) -> bool:
        """Whether this call goes wrong; counts it."""
        match = self.match
        if any(match.get(name, have) != have for name, have in vars(occasion).items() if name != "path"):
            return False
        if not self._path.search(occasion.path):
            return False
        self.fitted += 1
        if "nth" in match and self.fitted != match["nth"]:
            return False
        if "every" in match and self.fitted % match["every"]:
            return False
        if "probability" in match and self._random.random() >= match["probability"]:
            return False
        if "times" in match and self.struck >= match["times"]:
            return False
        self.struck += 1
        return True


class Faults:
    """The rules in force. Not thread-safe; the service holds its lock."""

    def __init__(self) -> None:
        self._rules: list[Rule] = []

    def replace(self, raw: object) -> None:
        """Puts these rules (a list, or {"rules": list}) in place of the ones before. Raises ValueError."""
        listed = raw.get("rules") if isinstance(raw, dict) else raw
        if not isinstance(listed, list):
            raise ValueError("faults are a list of rules")
        self._rules = [Rule(each) for each in listed]

    def listed(self) -> list[dict[str, Any]]:
        """The rules with how often each fitted and struck."""
        return [rule.raw | {"fitted": rule.fitted, "struck": rule.struck} for rule in self._rules]

    def due(self, occasion: Occasion) -> Fault:
        """What goes wrong with this call; of several rules the first decides each effect, latencies add up."""
        fault = Fault()
        for rule in self._rules:
            if rule.strikes(occasion):
                _add(fault, rule.action)
        return fault


def _add(fault: Fault, action: dict[str, Any]) -> None:
    fault.latency_ms += action.get("latency_ms", 0)
    fault.corrupt = fault.corrupt or action.get("corrupt", False)
    if fault.truncate is None:
        fault.truncate = action.get("truncate")
    if fault.error or fault.reset or fault.stall_ms:
        return
    fault.after = action.get("when") == "after"
    fault.stall_ms = action.get("stall_ms", 0)
    if action.get("reset"):
        fault.reset = "partial" if action["reset"] == "partial" else "full"
    if reason := action.get("error"):
        status = action.get("status", _STATUS.get(reason, 500))
        message = action.get("message", f"Fault on order: {reason}")
        fault.error = DriveError(status, reason, message, retry_after=action.get("retry_after"))


def _checked(raw: object, known: dict[str, tuple[type, ...]], where: str) -> dict[str, Any]:
    if not isinstance(raw, dict):
        raise ValueError(f"{where} is an object, not {raw!r}")
    for name, value in raw.items():
        if name not in known:
            raise ValueError(f"{where} has no {name!r}; there are {', '.join(known)}")
        if not isinstance(value, known[name]) or (isinstance(value, bool) and bool not in known[name]):
            raise ValueError(f"{value!r} is no value for {name}")
    return raw
