"""Removing what other people own, and what others have taken of ours: many at once, with the polls.

What another wrote into a box is theirs: it cannot be deleted by us, only moved out of the box, into the archive folder
where the network's owners keep what they have handled. That is how its author learns that it was read. It can wait a
little, since a message that is shown again after a crash is known again; so it is collected and done in one batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock
from typing import Any, Final

from syftd.errors import Gone, Quota, Transient, TransportError
from syftd.log import logger
from syftd.names import Email
from syftd.seams import Clock
from syftd.transport.drive.contents import Contents
from syftd.transport.drive.files import Item, item_of
from syftd.transport.drive.folders import Folders, deleting
from syftd.transport.drive.layout import archive_name, told_query
from syftd.transport.drive.service import Build, Service
from syftd.transport.mailbox import Box

AT_ONCE: Final = 20
"""So many are done without waiting longer."""
TOLD_PREFIX: Final = "syfteventsmessagev3_"
SWEEP_SECONDS: Final = 86400.0
_log = logger("drive")


@dataclass(frozen=True, slots=True)
class _Move:
    item: Item
    sender: Email
    since: float


class Broom:
    """What is still to be moved or deleted. `patience` in seconds: how long a move may wait for others."""

    def __init__(self, service: Service, folders: Folders, contents: Contents, me: Email, clock: Clock, patience: float) -> None:
        self._service = service
        self._folders = folders
        self._contents = contents
        self._me = me
        self._clock = clock
        self._patience = patience
        self._lock = Lock()
        self._working = Lock()
        self._moves: dict[str, _Move] = {}
        self._swept: float | None = None

    def move(self, box: Box, item: Item) -> None:
        """Takes an object of another's out of its box: at once as far as we list it, on Drive a little later."""
        self._contents.removed(item.id)
        with self._lock:
            self._moves.setdefault(item.id, _Move(item, box.other(self._me), self._clock.monotonic()))
            full = len(self._moves) >= AT_ONCE
        if full:
            self.work()

    def due(self) -> bool:
        """Whether the oldest move has waited long enough."""
        with self._lock:
            oldest = min((move.since for move in self._moves.values()), default=None)
        return oldest is not None and self._clock.monotonic() - oldest >= self._patience

    def work(self) -> None:
        """Carries out every move that waits. What fails for a moment is tried again at the next poll."""
        with self._working:
            with self._lock:
                moves = list(self._moves.values())
            if not moves:
                return
            archives = {move.sender: "" for move in moves}
            for sender in archives:
                archives[sender] = self._folders.own_folder(archive_name(sender, self._me)).id
            answers = self._service.each(
                "edit", "archiving handled messages", [_moving(move.item, archives[move.sender]) for move in moves]
            )
            with self._lock:
                for move, answer in zip(moves, answers, strict=True):
                    if isinstance(answer, (Transient, Quota)):
                        continue
                    del self._moves[move.item.id]
                    if isinstance(answer, TransportError) and not isinstance(answer, Gone):
                        _log.warning("a handled message stays in its box", name=move.item.name, reason=str(answer))

    def delete(self, taken: list[Item]) -> None:
        """Deletes what we told and its reader has taken out of the box: it is of no use to anybody any more."""
        for item in taken:
            self._contents.removed(item.id)
        answers = self._service.each("edit", "removing what was read", [deleting(item.id) for item in taken])
        for item, answer in zip(taken, answers, strict=True):
            if isinstance(answer, TransportError) and not isinstance(answer, Gone):
                # The daily sweep finds it again.
                _log.warning("a message that was read could not be removed", name=item.name, reason=str(answer))

    def sweep(self) -> None:
        """Once a day: what was taken while nobody here was looking. A message whose box cannot be seen any more is left
        alone, since that box may only be closed for a moment."""
        now = self._clock.monotonic()
        if self._swept is not None and now - self._swept < SWEEP_SECONDS:
            return
        self._swept = now
        taken: list[Item] = []

        def build(service: Any, token: str | None) -> Any:
            return service.files().list(
                q=told_query(TOLD_PREFIX), pageSize=1000, pageToken=token, spaces="drive",
                fields="nextPageToken,files(id,name,mimeType,parents,appProperties)",
            )  # fmt: skip

        for page, _ in self._service.pages("looking for messages that were read", "files", build):
            for told in page:
                item = item_of(told)
                box = (told.get("appProperties") or {}).get("syftd_box")
                if item is not None and not item.parents and box in self._folders.by_id:
                    taken.append(item)
        self.delete(taken)


def _moving(item: Item, archive: str) -> Build:
    return lambda service: service.files().update(
        fileId=item.id, addParents=archive, removeParents=",".join(item.parents), body={}, supportsAllDrives=True,
        fields="id",
    )  # fmt: skip
