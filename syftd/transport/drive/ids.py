"""Ids for things that are still to be made: fetched in batches, so that a repeated create makes nothing twice."""

from __future__ import annotations

from collections import deque
from threading import Lock
from typing import Final

from syftd.errors import Transient
from syftd.transport.drive.service import Service

_AT_ONCE: Final = 100


class Ids:
    """A stock of ids that Drive has generated for us."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._lock = Lock()
        self._stock: deque[str] = deque()

    def take(self) -> str:
        """An id that nothing has yet. Whoever takes it keeps it for every repetition of the same create."""
        with self._lock:
            if not self._stock:
                answer = self._service.call(
                    "other", "reserving ids",
                    lambda service: service.files().generateIds(count=_AT_ONCE, space="drive", type="files"),
                )  # fmt: skip
                found = answer.get("ids") if isinstance(answer, dict) else None
                if not isinstance(found, list) or not found:
                    raise Transient("Drive gives no ids")
                self._stock.extend(str(id) for id in found)
            return self._stock.popleft()
