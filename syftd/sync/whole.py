"""The digest of a whole content, taken from its pieces while they are moved, so that nothing is read twice for it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from syftd.names import Digest
from syftd.seams import mutex


class Whole:
    """Takes pieces in whatever order they come; those that come early are read again when it is their turn."""

    def __init__(self) -> None:
        self._mutex = mutex()
        self._state = hashlib.sha256()
        self._next = 0
        self._early: set[int] = set()

    def arrived(self, index: int, piece: bytes, again: Callable[[int], bytes]) -> None:
        """A piece has been moved; `again(number)` reads an earlier one once more. Called from pool threads."""
        with self._mutex:
            if index != self._next:
                self._early.add(index)
                return
            self._state.update(piece)
            self._next += 1
            while self._next in self._early:
                self._early.remove(self._next)
                self._state.update(again(self._next))
                self._next += 1

    def digest(self, pieces: int) -> Digest | None:
        """The digest once all `pieces` have been taken in, None before."""
        with self._mutex:
            return Digest(self._state.hexdigest()) if self._next == pieces else None
