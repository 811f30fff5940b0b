"""Counts of what was asked and answered, for tests that hold a client to a budget."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any, Final

_KEPT: Final = 1000


class Stats:
    """Everything that GET /_stats tells."""

    def __init__(self) -> None:
        self.calls = 0
        self.requests = 0
        """HTTP requests to the API: a batch is one, each chunk of a resumable upload is one."""
        self.by_user: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self.by_method: Counter[str] = Counter()
        self.batches = 0
        self.batched: Counter[str] = Counter()
        self.units: Counter[str] = Counter()
        self.statuses: Counter[str] = Counter()
        self.bytes_in: Counter[str] = Counter()
        self.bytes_out: Counter[str] = Counter()
        self.client_violations: list[str] = []
        self.server_violations: list[str] = []

    def called(self, user: str, method_id: str, in_batch: bool) -> None:
        """One method call, whether or not it succeeds."""
        self.calls += 1
        self.by_user[user][method_id] += 1
        self.by_method[method_id] += 1
        if in_batch:
            self.batched[method_id] += 1

    def violated(self, by_client: bool, what: str) -> None:
        """Something that the discovery document does not allow."""
        kept = self.client_violations if by_client else self.server_violations
        if len(kept) < _KEPT:
            kept.append(what)

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "calls": self.calls,
            "requests": self.requests,
            "by_user": {user: dict(methods) for user, methods in self.by_user.items()},
            "by_method": dict(self.by_method),
            "batch": {"requests": self.batches, "parts": sum(self.batched.values()), "by_method": dict(self.batched)},
            "units": dict(self.units),
            "statuses": dict(self.statuses),
            "bytes_in": sum(self.bytes_in.values()),
            "bytes_out": sum(self.bytes_out.values()),
            "bytes_in_by_user": dict(self.bytes_in),
            "bytes_out_by_user": dict(self.bytes_out),
            "violations": {"client": list(self.client_violations), "emulator": list(self.server_violations)},
        }
