"""What only a running daemon knows, as a value that the reading side is given."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """Times are in seconds since the epoch. `transports` are {name, state, error, remedy, notes}; `uploads` are {path, done,
    size} and `downloads` {from, done, size}, in bytes; `files_seen` counts those of the scan that goes on."""

    ready: bool
    since: float
    safe_mode: bool = False
    paused: bool = False
    watcher_mode: str = "off"
    watcher_problem: str = ""
    transports: Sequence[Mapping[str, Any]] = ()
    last_scan: float | None = None
    last_poll: float | None = None
    uploads: Sequence[Mapping[str, Any]] = ()
    downloads: Sequence[Mapping[str, Any]] = ()
    scanning: bool = False
    files_seen: int = 0
    pid: int = field(default_factory=os.getpid)
