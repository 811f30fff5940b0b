"""Settling: when a path that stirs should be looked at. Pure bookkeeping; its owner brings the time and the hints.

A finished write is due at once. Other changes wait until the path has been quiet, but never longer than the ceiling, so
that a busy log cannot put itself off for ever. Deletions wait longest, and for each other: the delete and the create of
a move made by copying meet in one look, and whoever judges whether too much vanishes sees all of it at once.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from syftd.seams import Clock

FOLD_CHILDREN: Final = 128
FOLD_ALL: Final = 512
FOLD_FEW: Final = 16

_JOB: Final = re.compile(r"[^/]+/app_data/job/inbox/[^/]+/[^/]+").match


def job_folder(path: str) -> str | None:
    """The folder of the job that a path, relative to the folder of all datasites, belongs to; None for other paths."""
    matched = _JOB(path)
    return matched.group() if matched else None


class _Dirty:
    """One path: monotonic seconds of its first and last stir."""

    __slots__ = ("first", "last", "quick")

    def __init__(self, first: float, last: float, quick: bool) -> None:
        self.first, self.last, self.quick = first, last, quick


class Settle:
    """Collects hints and gives out the paths whose time has come. Not safe for several threads at once.

    `quiet`, `ceiling`, `deletions` (in addition to quiet) and `job_quiet` are seconds. The files of one job folder come
    out together, when the whole folder has been quiet: a folder that is dropped in is one proposal.
    """

    def __init__(
        self,
        clock: Clock,
        quiet: float = 0.5,
        ceiling: float = 10.0,
        deletions: float = 2.0,
        job_quiet: float = 1.0,
        job_of: Callable[[str], str | None] = job_folder,
    ) -> None:
        self._clock = clock
        self._quiet = quiet
        self._ceiling = ceiling
        self._deletions = deletions
        self._job_quiet = job_quiet
        self._job_of = job_of
        self._dirty: dict[str, _Dirty] = {}
        self._gone: set[str] = set()
        self._first_gone = self._last_gone = 0.0
        self._earliest: float | None = None

    def touch(self, path: str, quick: bool = False, gone: bool = False) -> None:
        """A path stirred. `quick`: it is complete. `gone`: it was removed; quick and gone together is half a rename."""
        now = self._clock.monotonic()
        job = self._job_of(path)
        if job is not None:
            path, quick, gone = job, False, False
        if gone and not quick:
            self._first_gone = self._first_gone if self._gone else now
            self._last_gone = now
            self._gone.add(path)
        else:
            self._gone.discard(path)
        known = self._dirty.get(path)
        if known is None:
            known = self._dirty[path] = _Dirty(now, now, quick)
        else:
            known.last, known.quick = now, quick
        due = self._due(path, known)
        if self._earliest is not None and due >= self._earliest and len(self._dirty) > 1:
            return
        # A path that stirs again may be due later than before; then this is a little early, which only costs a look.
        self._earliest = due if self._earliest is None or due < self._earliest else self._earliest

    @property
    def deleting(self) -> bool:
        """Whether deletions are waiting for others."""
        return bool(self._gone)

    def next_due(self) -> float | None:
        """The monotonic time at which `release` should be called; None when nothing stirs. May be early, never late."""
        return self._earliest

    def release(self, now: float) -> list[str]:
        """The paths that are due at `now`, each once, parents standing for many children; they are forgotten here."""
        if self._earliest is None or now < self._earliest:
            return []
        due: list[str] = []
        earliest: float | None = None
        for path, dirty in self._dirty.items():
            when = self._due(path, dirty)
            if when <= now:
                due.append(path)
            elif earliest is None or when < earliest:
                earliest = when
        for path in due:
            del self._dirty[path]
            self._gone.discard(path)
        self._earliest = earliest
        return fold(due)

    def _due(self, path: str, dirty: _Dirty) -> float:
        if dirty.quick:
            return dirty.last
        if self._job_of(path) is not None:
            return min(dirty.last + self._job_quiet, max(dirty.first + self._ceiling, dirty.last))
        if path in self._gone:
            return min(self._last_gone + self._quiet + self._deletions, self._first_gone + self._ceiling)
        return min(dirty.last + self._quiet, max(dirty.first + self._ceiling, dirty.last))


def fold(paths: list[str]) -> list[str]:
    """Names a directory instead of more than 128 paths in it, or of more than 16 when there are over 512 in all.

    A path below another one that is named is left out. Every path given is named or lies below a named one.
    """
    counts: dict[str, int] = {}
    for path in paths:
        above = path.rpartition("/")[0]
        counts[above] = counts.get(above, 0) + 1
    named: set[str] = set()
    for path in paths:
        above = path.rpartition("/")[0]
        # A whole datasite is named only when it must be: looking through it costs most.
        limit = FOLD_FEW if len(paths) > FOLD_ALL and "/" in above else FOLD_CHILDREN
        named.add(above if above and counts[above] > limit else path)
    return sorted(path for path in named if not _lies_below(path, named))


def _lies_below(path: str, named: set[str]) -> bool:
    above = path.rpartition("/")[0]
    while above:
        if above in named:
            return True
        above = above.rpartition("/")[0]
    return False
