"""Is this plan too terrible to carry out unasked?"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DeletionLimit:
    """A plan may delete `count` files or `percent` of the tree unasked, whichever is more."""

    count: int = 20
    percent: int = 30


def too_many_deletions(deleted: int, total: int, limit: DeletionLimit) -> str | None:
    """Why a person must confirm a plan that deletes `deleted` of `total` files, or None when it may go ahead.

    `deleted` counts what was deleted shortly before as well, so that a slow catastrophe is noticed like a fast one.
    """
    if deleted <= 0:
        return None
    if total > 1 and deleted >= total:
        return f"every one of the {total} files is gone"
    allowed = max(limit.count, total * limit.percent // 100)
    if deleted > allowed:
        return f"{deleted} of {total} files are gone; up to {allowed} may go unasked"
    return None
