"""What page tokens stand for: the rest of a listing as it was when its first page was made."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from typing import Final

_KEPT: Final = 10_000


class Cursors:
    """Page tokens that were handed out. The oldest are forgotten, as the service's own expire after some hours."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, tuple[tuple[str, ...], list[str]]] = OrderedDict()

    def keep(self, shape: tuple[str, ...], left: list[str]) -> str:
        """A token for the ids that are `left` of the listing described by `shape`."""
        token = "~!!~" + secrets.token_urlsafe(32)
        self._kept[token] = (shape, left)
        if len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return token

    def take(self, token: str, shape: tuple[str, ...]) -> list[str] | None:
        """The ids that a token stands for; None when it is unknown or from another listing. It can be used again."""
        kept = self._kept.get(token)
        return None if kept is None or kept[0] != shape else list(kept[1])
