"""What can be set about the emulated service."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any


@dataclass
class Settings:
    """Limits and habits of the service. Sizes in bytes, times in milliseconds unless the name says otherwise."""

    latency_ms: int = 0
    """Every API call takes at least this long."""
    list_lag_listings: int = 0
    """A new file stays out of a person's first so many files.list and changes.list answers."""
    list_lag_ms: int = 0
    """A new file stays out of files.list and changes.list for so long."""
    user_units_per_minute: int = 325_000
    project_units_per_minute: int = 1_000_000
    retry_after_seconds: int | None = None
    """When set, refusals for exceeded quota carry Retry-After."""
    storage_limit: int = 15 * 2**30
    """What each person may store."""
    max_upload_size: int = 5 * 2**40
    max_children: int = 500_000
    """Items per folder, the root folder apart."""
    default_user: str = ""
    """Whom /auth signs in when the request names nobody (login_hint)."""
    access_token_seconds: int = 3600

    def update(self, values: dict[str, Any]) -> None:
        """Changes the settings named in `values`. Raises ValueError for a name or type that is not one."""
        known = {field.name for field in fields(self)}
        for name, value in values.items():
            if name not in known:
                raise ValueError(f"no such setting: {name}; there are {', '.join(sorted(known))}")
            if name == "default_user":
                fits = isinstance(value, str)
            elif name == "retry_after_seconds" and value is None:
                fits = True
            else:
                fits = isinstance(value, int) and not isinstance(value, bool) and value >= 0
            if not fits:
                raise ValueError(f"{value!r} is no value for {name}")
            setattr(self, name, value)
