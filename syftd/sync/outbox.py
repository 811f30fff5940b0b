"""From outbox rows to the transport: in order for each peer, retried with the same bytes, taken back when revoked."""

from __future__ import annotations

import itertools
from collections.abc import Callable

from syftd.errors import AuthNeeded, Gone, Permanent, Quota, Refused, SyftdError
from syftd.names import Digest, Email
from syftd.state import outbox
from syftd.sync.parts import Parts
from syftd.sync.upload import Upload
from syftd.sync.work import Failed, Removed, Sent
from syftd.transport.mailbox import Listing, Ref, blobs

_CHUNK_GRACE = 3600.0
_CHUNKS_AT_ONCE = 100


class Outbox:
    """Sends what is due. A row's bytes never change, so sending twice is harmless and losing a reply costs nothing."""

    def __init__(self, parts: Parts, upload: Upload) -> None:
        self._parts = parts
        self._upload = upload
        upload.quiet = lambda: self._collect(self._collects)
        self._collects = 0.0
        self._collecting = False
        self._busy: set[Email] = set()
        self._sent_at: dict[int, float] = {}
        self._rests: dict[int, float] = {}
        """Until when a message that could not be sent rests, in monotonic seconds; after a restart none does."""
        self._removing = False
        self._recalled: set[int] = set()
        self._taking_back: set[int] = set()
        self._failures = 0
        self._take_back_at = float("-inf")
        self.may_go: Callable[[outbox.Row], bool] = lambda row: True
        """Asked right before a message is sent; one that may not go yet holds back those behind it."""

    def recall(self, row: int) -> None:
        """A message was taken back: if it is about to be sent, it is not."""
        self._recalled.add(row)

    def pump(self, peer: Email | None = None) -> None:
        """Starts sending to one peer, or to every peer with due messages, unless that peer is being sent to already.

        When one peer's messages have become free to go that peer is named: looking at everybody's each time would cost
        the square of the number of readers of a change."""
        for each in outbox.peers_with(self._parts.db, "due") if peer is None else (peer,):
            self._send(each)
        self._take_back()

    def _send(self, peer: Email) -> None:
        parts = self._parts
        if peer in self._busy:
            return
        private = parts.router.carries_private(peer)
        due = outbox.due(parts.db, peer)
        if due and self._rests_still(due[0]):
            return  # Those behind it wait too, since the order within a peer is kept.
        rows = list(itertools.takewhile(self.may_go, (row for row in due if private or not row.private)))
        if rows:
            self._busy.add(peer)
            self._submit(peer, rows)

    def _rests_still(self, row: outbox.Row) -> bool:
        """Whether the pause after a failure goes on; `outbox.wake` ends it by setting `due` to 0."""
        return row.due > 0 and self._parts.clock.monotonic() < self._rests.get(row.id, float("-inf"))

    def _submit(self, peer: Email, rows: list[outbox.Row]) -> None:
        parts = self._parts
        chunks = {row.id: outbox.chunks_of(parts.db, row.id) for row in rows}

        def admit(needed: list[Digest]) -> None:
            """Nobody may read content before a message for them, judged by the rules, refers to it."""
            try:
                parts.router.admit(peer, parts.me, needed)
            except Gone:
                pass  # The reader will not find it either, and asks for it to be told anew.

        def send() -> tuple[tuple[int, str | None, BaseException | None], ...]:
            results: list[tuple[int, str | None, BaseException | None]] = []
            for row in rows:
                if row.id in self._recalled:
                    continue
                try:
                    if chunks[row.id]:
                        admit(chunks[row.id])
                    transport, _ = parts.router.put(peer, row.box, row.name, row.payload or b"", private=row.private)
                except SyftdError as error:
                    results.append((row.id, None, error))
                    break
                results.append((row.id, transport, None))
            return tuple(results)

        def done(
            results: tuple[tuple[int, str | None, BaseException | None], ...] | None, error: BaseException | None
        ) -> None:
            parts.post(Sent(peer, results if results is not None else ((rows[0].id, None, error),)))

        parts.pool.submit(send, done)

    def sent(self, work: Sent) -> None:
        """Notes what was sent; a failure postpones that peer's messages with growing pauses."""
        parts = self._parts
        self._busy.discard(work.peer)
        with parts.db.commit():
            for row, transport, error in work.results:
                if transport is not None:
                    outbox.sent(parts.db, row, transport)
                    self._rests.pop(row, None)
                    self._sent_at[row] = parts.clock.monotonic()
                elif error is not None:
                    self._postpone(work.peer, row, error)
            if all(error is None for _, _, error in work.results):
                for kind in ("cannot-send", "untrusted-folder"):
                    parts.solved(kind, work.peer)

    def _postpone(self, peer: Email, row: int, error: BaseException) -> None:
        parts = self._parts
        tries = parts.db.value("SELECT tries FROM outbox WHERE id = ?", row) or 0
        pause = parts.random.uniform(0.0, min(300.0, 2.0 ** min(tries, 9)))
        if isinstance(error, Quota):
            pause = max(pause, error.after)
        elif isinstance(error, Gone):
            pause = max(pause, min(15.0, 2.0**tries))  # A new peer may be about to open the box.
        elif isinstance(error, (AuthNeeded, Refused, Permanent)):
            pause = max(pause, 15.0)
        self._rests[row] = parts.clock.monotonic() + pause
        outbox.postpone(parts.db, row, parts.clock.now() + pause, str(error))
        if isinstance(error, AuthNeeded):
            return  # The transport itself says so with the next poll, once for everybody.
        kind = "untrusted-folder" if isinstance(error, Refused) else "cannot-send"
        remedy = error.remedy if isinstance(error, SyftdError) else ""
        parts.problem(
            kind, peer, f"Messages to {peer} wait: {error}",
            remedy or "Nothing to do unless it lasts; syftd tries again by itself.",
        )  # fmt: skip

    def acknowledged(self, transport: str, listing: Listing, started: float) -> set[Email]:
        """A sent message that has left its box has been read. Returns the peers whose window opened.

        That shows in the listing itself where the transport tells it, and otherwise by what a whole one does not list.
        A reader of the plain network leaves everything where it is: of such a message nobody learns that it was read.
        """
        parts = self._parts
        left = {(ref.box, ref.name) for ref in listing.gone}
        if not listing.complete and not left:
            return set()
        present = {ref.name for ref in listing.refs}

        def is_read(row: outbox.Row) -> bool:
            if (row.box, row.name) in left:
                return True
            missing = listing.complete and row.name not in present and listing.whole(row.peer)
            return missing and self._sent_at.get(row.id, 0.0) < started

        read = [
            row
            for row in outbox.in_state(parts.db, "sent")
            if row.transport == transport and is_read(row)
        ]
        if not read:
            return set()
        with parts.db.commit():
            for row in read:
                outbox.drop(parts.db, row.id)
                self._sent_at.pop(row.id, None)
        return {row.peer for row in read if row.kind == "events"}

    def _take_back(self) -> None:
        """Removes revoked envelopes from the transport, after the last moment at which they could still arrive there."""
        parts = self._parts
        if self._removing or parts.clock.monotonic() < self._take_back_at:
            return
        rows = [row for row in outbox.in_state(parts.db, "void") if row.peer not in self._busy]
        if not rows:
            return
        self._removing = True
        self._taking_back = {row.id for row in rows}
        self._recalled -= self._taking_back
        revoked = {row.id: outbox.chunks_revoked(parts.db, row.id) for row in rows}

        def remove() -> Removed:
            gone: list[int] = []
            for row in rows:
                if revoked[row.id] and parts.router.dismiss(row.peer, parts.me, revoked[row.id]):
                    continue
                # Without a transport's name the answer was lost, or never came: it may lie on any of the peer's.
                refs = parts.router.refs(row.peer, row.box, row.name)
                if row.transport:
                    refs = (Ref(row.box, row.name, -1, row.transport),)
                if not parts.router.remove(refs):
                    gone.append(row.id)
            return Removed(rows=tuple(gone))

        self._after(remove)

    def collect_chunks(self, *, grace: bool = True) -> None:
        """Removes chunks that no message on its way refers to; without `grace` only those of revoked messages."""
        self._collect(self._parts.clock.now() - _CHUNK_GRACE if grace else 1.0)

    def _collect(self, before: float) -> None:
        """Invariant: while chunks are removed none is sent, and what is removed does not count as being there. Else a
        chunk could be noted as sent after it was removed, and a message refer to it for ever."""
        parts = self._parts
        if self._removing:
            return
        unused = outbox.chunks_unused(parts.db, before)
        if unused:
            kept = self._upload.keeps()
            unused = [(transport, digest) for transport, digest in unused if digest not in kept][:_CHUNKS_AT_ONCE]
        if not unused:
            self._upload.resume()
            return
        if not self._upload.pause():
            self._collects = before
            return
        with parts.db.commit():
            outbox.chunks_leave(parts.db, unused)
        self._removing = self._collecting = True

        def remove() -> Removed:
            gone = [
                (transport, digest)
                for transport, digest in unused
                if not parts.router.remove([Ref(blobs(parts.me), digest, -1, transport)])
            ]
            return Removed(chunks=tuple(gone))

        self._after(remove)

    def _after(self, remove: object) -> None:
        parts = self._parts

        def done(result: Removed | None, error: BaseException | None) -> None:
            parts.post(result if result is not None else Removed())
            if error is not None:
                parts.post(Failed("taking messages back", error))

        parts.pool.submit(remove, done)  # type: ignore[arg-type]

    def removed(self, work: Removed) -> None:
        parts = self._parts
        self._removing = False
        failed = self._taking_back - set(work.rows)
        self._taking_back = set()
        self._failures = self._failures + 1 if failed else 0
        if failed:
            pause = parts.random.uniform(0.5, min(300.0, 2.0 ** min(self._failures, 9)))
            self._take_back_at = parts.clock.monotonic() + pause
        if work.rows or work.chunks:
            with parts.db.commit():
                for row in work.rows:
                    outbox.drop(parts.db, row)
                for transport, digest in work.chunks:
                    outbox.chunk_gone(parts.db, transport, digest)
        if self._collecting:
            self._collecting = False
            self._upload.resume()
