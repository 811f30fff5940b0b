"""Room for what peers send: the disk keeps a reserve, and nobody fills it with mere proposals."""

from __future__ import annotations

from dataclasses import dataclass

from syftd.names import Digest, Email
from syftd.sync.parts import Parts

_LONGEST = 300.0


@dataclass
class _Waiting:
    """A content for which there was no room; it is not looked at again before `until` (monotonic seconds)."""

    size: int
    tries: int
    until: float


class Room:
    """Says whether a download may begin. What does not fit waits, with growing pauses, and is told of once."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._waiting: dict[Email, dict[Digest, _Waiting]] = {}

    def admits(self, owner: Email, sha256: Digest, size: int, *, ahead: int, held: int | None) -> bool:
        """Whether there is room for `size` bytes from `owner` beside the `ahead` bytes that are on their way.

        `held` is what `owner` has here for proposals already, None for content that is no proposal's.
        """
        parts = self._parts
        waiting = self._waiting.get(owner, {}).get(sha256)
        now = parts.clock.monotonic()
        if waiting is not None and now < waiting.until:
            return False
        crowded = held is not None and held + size > parts.tuning.held_bytes_per_peer
        if not crowded and size + ahead + parts.tuning.reserve_bytes <= parts.disk.free_bytes():
            self.leave(owner, sha256)
            return True
        tries = waiting.tries + 1 if waiting is not None else 1
        pause = parts.random.uniform(0.5, 1.0) * min(_LONGEST, 5.0 * 2.0 ** min(tries, 8))
        others = self._waiting.setdefault(owner, {})
        others[sha256] = _Waiting(size, tries, now + pause)
        if crowded:
            parts.problem(
                "too-much-proposed", owner,
                f"{owner} proposes more than {parts.tuning.held_bytes_per_peer} bytes at once; the rest waits.",
                "Nothing to do: it goes on when what is here has been decided.",
            )  # fmt: skip
        else:
            # The first one's size, so that the words stay the same while others come to wait behind it.
            first = next(iter(others.values())).size
            parts.problem(
                "disk-full", owner, f"Large files from {owner} do not fit on the disk; the first has {first} bytes.",
                "Free some space; syftd continues by itself.",
            )  # fmt: skip
        return False

    def waits(self, sha256: Digest, owner: Email | None) -> bool:
        """Whether a content (of one owner, if given) waits, and is not to be tried again yet."""
        now = self._parts.clock.monotonic()
        lists = self._waiting.values() if owner is None else (self._waiting.get(owner, {}),)
        return any((found := waiting.get(sha256)) is not None and found.until > now for waiting in lists)

    def leave(self, owner: Email, sha256: Digest) -> None:
        """A content does not wait any more: it comes, or nobody wants it."""
        waiting = self._waiting.get(owner)
        if waiting is None or waiting.pop(sha256, None) is None or waiting:
            return
        del self._waiting[owner]
        for kind in ("disk-full", "too-much-proposed"):
            self._parts.solved(kind, owner)

    def drop(self, sha256: Digest) -> None:
        """Nobody waits for a content any more."""
        for owner in list(self._waiting):
            self.leave(owner, sha256)

    def forget(self, owner: Email) -> None:
        """Nothing of a peer waits any more."""
        for sha256 in list(self._waiting.get(owner, ())):
            self.leave(owner, sha256)
