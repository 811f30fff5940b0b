"""One download: an announced content, its sources, and its digest, which is taken while its pieces arrive."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice

from syftd.errors import ItemError
from syftd.names import Digest, Email
from syftd.sync.parts import Parts
from syftd.sync.whole import Whole
from syftd.tree.contract import Filling

_PARALLEL_FILES = 2
LOOK_AHEAD = 64
"""Among so many downloads the next is chosen, so that one peer's many files do not hold up another's."""


@dataclass(eq=False)
class Pull:
    """One announced content on its way down. `sources` are asked in order; the one that failed goes to the end."""

    key: Digest
    sha256: Digest
    size: int
    chunks: tuple[Digest, ...]
    sources: list[Email] = field(default_factory=list)
    proposers: set[Email] = field(default_factory=set)
    lost: Counter[Email] = field(default_factory=Counter)
    asked: set[Email] = field(default_factory=set)
    filling: Filling | None = None
    whole: Whole = field(default_factory=Whole)
    next: int = 0
    flying: int = 0
    done: int = 0
    hashing: bool = False
    failed: bool = False
    blamed: Email | None = None
    """The source at which this attempt failed; `missed` when it does not have what was announced."""
    missed: bool = False
    ended: bool = False
    """Nobody wants it any more; it goes as soon as no thread writes into its stage file."""
    retry_at: float = 0.0
    tries: int = 0
    refuted: int = 0


def chosen(pulls: Iterable[Pull], now: float) -> list[Pull]:
    """The downloads whose turn it is: those that have begun, then the oldest, of another peer if there is one."""
    ready = (
        pull for pull in pulls if not pull.ended and not pull.hashing and not pull.failed and pull.retry_at <= now
    )
    ahead = list(islice(ready, LOOK_AHEAD))
    turn = [pull for pull in ahead if pull.flying][:_PARALLEL_FILES]
    while len(turn) < _PARALLEL_FILES:
        busy = {pull.sources[0] for pull in turn}
        rest = [pull for pull in ahead if pull not in turn]
        if not rest:
            break
        turn.append(next((pull for pull in rest if pull.sources[0] not in busy), rest[0]))
    return turn


def local_piece(parts: Parts, site: Email, spelling: str, offset: int, length: int) -> bytes | None:
    """A piece of a file on this disk; None when the file is not there any more. Its content is not to be trusted."""
    try:
        opened = parts.disk.open_at(site, spelling)
    except ItemError:
        return None
    try:
        return opened.pread(offset, length)
    finally:
        opened.close()
