"""Is this plan too terrible to carry out unasked?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DeletionLimit:
    """A plan may delete `count` files or `percent` of the tree unasked, whichever is more."""

    count: int = 20
    percent: int = 30


def enough_to_judge(deleted: int, limit: DeletionLimit) -> int:
    """So many files are enough to know what `too_many_deletions` says of `deleted`: a larger total changes its words at
    the most, so nobody need count a whole tree to judge the loss of a few files."""
    enough = max(2, deleted + 1)
    if deleted > limit.count and limit.percent > 0:
        enough = max(enough, -(-100 * deleted // limit.percent))
    return enough


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


def judge_deletions(deleted: int, count: Callable[[int], int], limit: DeletionLimit) -> str | None:
    """What `too_many_deletions` says, when counting the tree has a price. `count(most)` counts its files and may stop at
    `most` (-1: it may not); all of them are counted only to say how many there are."""
    if deleted <= 0 or too_many_deletions(deleted, count(enough_to_judge(deleted, limit)), limit) is None:
        return None
    return too_many_deletions(deleted, count(-1), limit)
