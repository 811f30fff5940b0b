"""The reader's side: one path of a mirror, from what its owner told, what we put there, and what is there now.

Invariant: a file is written or removed only when the disk still holds what we put there (`base`) or when what it holds
has lost against its owner's word; then it goes to the trash, so nothing the user wrote is ever gone.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from syftd.names import Digest


class Step(Enum):
    """What to do about one path of a mirror."""

    NOTHING = "nothing"
    ADOPT = "adopt"
    """The disk already holds what the owner told; only our memory of it is behind."""
    WRITE = "write"
    REMOVE = "remove"
    PROPOSE = "propose"
    """The user changed it here and nobody else did: ask the owner."""
    LOSE = "lose"
    """Both sides changed it: the local content goes to the trash and the owner's takes its place."""
    FORGET = "forget"
    """Gone on both sides; only our memory of it is left."""
    WAIT = "wait"
    """A draft of ours is not answered yet, or the owner has not told everything yet."""


@dataclass(frozen=True, slots=True)
class Sides:
    """The digests of one path: told by the owner, last put here by us, here now; None is absence.

    `complete`: the owner has told everything, so what is not told does not exist. `earlier`: what is here now lay here
    before the contact began, and no base of it is known: it is the owner's of then, and nobody's edit.
    """

    told: Digest | None
    base: Digest | None
    disk: Digest | None
    drafting: bool = False
    complete: bool = True
    earlier: bool = False


def plan_mirror(sides: Sides) -> Step:
    """The one step that brings a mirrored path closer to rest; pure, total, and NOTHING at rest."""
    if sides.disk == sides.told:
        if sides.base == sides.told:
            return Step.NOTHING
        return Step.ADOPT if sides.told is not None else Step.FORGET
    if sides.drafting:
        return Step.WAIT
    if sides.disk == sides.base:
        return Step.REMOVE if sides.told is None else Step.WRITE
    if sides.earlier and sides.base is None and sides.disk is not None:
        if sides.told is not None:
            return Step.WRITE
        return Step.REMOVE if sides.complete else Step.WAIT
    if sides.told == sides.base:
        return Step.PROPOSE if sides.complete else Step.WAIT
    # Both changed. A local deletion loses nothing when the owner's new content is written over the hole.
    if sides.disk is None:
        return Step.WRITE
    return Step.LOSE
