"""The owner's side: what the disk says against what was last accepted, and what a reader must be told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from syftd.names import Digest, RelPath


@dataclass(frozen=True, slots=True)
class Content:
    """What a path holds, as far as anybody else is concerned."""

    sha256: Digest
    size: int
    executable: bool


@dataclass(frozen=True, slots=True)
class OwnChange:
    """A path whose content differs from what was last accepted; None is absence."""

    path: RelPath
    before: Content | None
    after: Content | None


@dataclass(frozen=True, slots=True)
class OwnPlan:
    """`changes` become events. `deletions` counts those that are not the first half of a rename in the same plan."""

    changes: tuple[OwnChange, ...]
    deletions: int


def plan_own(seen: Mapping[RelPath, Content | None], accepted: Mapping[RelPath, Content]) -> OwnPlan:
    """The changes that make the accepted tree equal to what was seen, for the seen paths only."""
    changes = [OwnChange(path, accepted.get(path), now) for path, now in seen.items() if accepted.get(path) != now]
    arrived = Counter(change.after.sha256 for change in changes if change.after is not None and change.before is None)
    gone = Counter(change.before.sha256 for change in changes if change.after is None and change.before is not None)
    # One arrival is the second half of one rename: it does not excuse the loss of other files of the same content.
    return OwnPlan(tuple(changes), (gone - arrived).total())


@dataclass(frozen=True, slots=True)
class Telling:
    """What one reader must be told about one path: it now holds `after` (None: nothing that they may see)."""

    path: RelPath
    before: Digest | None
    after: Content | None


def plan_tellings(
    paths: Iterable[RelPath],
    accepted: Mapping[RelPath, Content],
    may_see: Callable[[RelPath], bool],
    shown: Mapping[RelPath, tuple[Digest, bool]],
) -> list[Telling]:
    """Level-triggered: the difference between what the reader may see and what the reader has been shown.

    A path that was deleted and one that the reader may no longer see give the same telling, so that neither is an
    oracle for the other.
    """
    tellings: list[Telling] = []
    for path in paths:
        content = accepted.get(path)
        if content is not None and not may_see(path):
            content = None
        before = shown.get(path)
        if content is None:
            if before is not None:
                tellings.append(Telling(path, before[0], None))
        elif before != (content.sha256, content.executable):
            tellings.append(Telling(path, before[0] if before else None, content))
    return tellings
