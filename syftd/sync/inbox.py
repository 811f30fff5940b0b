"""From the transport to the rooms that decide: one poll for everybody, fair turns, hard limits, quarantine."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from contextlib import nullcontext

from syftd.errors import Denied, Gone, ItemError, Malformed, SyftdError, TooLarge
from syftd.names import Email
from syftd.seams import mutex
from syftd.state import contacts, messages, outbox
from syftd.sync.parts import Parts
from syftd.sync.work import Failed, Letter, Letters, Listed
from syftd.transport.mailbox import Listing, Ref
from syftd.wire import codec
from syftd.wire import names as wire_names
from syftd.wire.messages import Events, Proposal

_DAY = 86400.0
_STUMBLES = 5
_LARGE_BYTES = 4 * 1024 * 1024


class Inbox:
    """Polls, fetches in turns and decodes on the pool. No object can keep another one from being handled."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._cursors: dict[str, str] = {}
        self._down: set[str] = set()
        """The transports that could not be read when they were asked last."""
        self._whole_at = float("-inf")
        self._listing = False
        self._again = False
        self._known: dict[Email, dict[str, Ref]] = {}
        self._later: dict[Email, dict[str, Ref]] = {}
        self._turn: set[Email] = set()
        self._stumbles: dict[str, int] = {}
        self._kept: dict[Email, dict[str, Letter]] = {}
        self._large = mutex()
        self.last_poll = 0.0
        self.unread: Callable[[Email], None] = lambda owner: None
        """Told, inside a commit, that an envelope of an owner's stream was set aside: what it said must be told again."""

    def poll(self) -> None:
        """Asks every transport once; while an answer is awaited, one more poll is remembered and no more."""
        if self._listing:
            self._again = True
            return
        parts = self._parts
        self._listing = True
        peers = frozenset(contacts.in_state(parts.db, "accepted", "requested_by_me"))
        started = parts.clock.monotonic()
        # What is gone shows only in a whole listing: it tells that messages were read and that boxes were closed.
        whole = started - self._whole_at >= parts.tuning.whole_seconds
        waits = outbox.readers_wait(parts.db)
        if whole:
            self._whole_at = started

        def goes_on(transport: str) -> bool:
            return not whole and (not waits or parts.router.capabilities(transport).tells_removal)

        cursors = {transport: cursor for transport, cursor in self._cursors.items() if goes_on(transport)}

        def ask() -> Listed:
            answers = parts.router.list(peers, cursors)
            listings = {name: answer for name, answer in answers.items() if isinstance(answer, Listing)}
            errors = {name: answer for name, answer in answers.items() if not isinstance(answer, Listing)}
            return Listed(started, listings, {**errors})

        def done(listed: Listed | None, error: BaseException | None) -> None:
            parts.post(listed if listed is not None else Listed(started, {}, {"": error or OSError("no answer")}))

        parts.pool.submit(ask, done)

    def listed(self, work: Listed) -> None:
        """Takes the answer of a poll and starts a turn for every sender with something new."""
        parts = self._parts
        self._listing = False
        self.last_poll = parts.clock.now()
        for transport, error in work.errors.items():
            remedy = error.remedy if isinstance(error, SyftdError) else ""
            self._down.add(transport)
            parts.problem(
                "transport", transport, f"The transport {transport} cannot be read: {error}",
                remedy or "syftd goes on trying; see `syftd doctor`.",
            )  # fmt: skip
        for transport, listing in work.listings.items():
            parts.solved("transport", transport)
            if transport in self._down:
                # It answers again: what waited for that need not wait out its pause.
                self._down.discard(transport)
                with parts.db.commit():
                    outbox.wake(parts.db)
            self._cursors[transport] = listing.cursor
            self._sort(transport, listing)
        later, self._later = self._later, {}
        for sender, refs in later.items():
            self._known.setdefault(sender, {}).update(refs)
        for sender in list(self._known):
            self._take_turn(sender)
        if self._again:
            self._again = False
            self.poll()

    def _sort(self, transport: str, listing: Listing) -> None:
        me = self._parts.me
        for ref in listing.refs:
            kind, box = ref.box.kind, ref.box
            if kind == "inbox" and box.datasite == me:
                sender = box.peer
            elif kind == "outbox" and box.peer == me:
                sender = box.datasite
            else:
                continue
            if wire_names.parse(ref.name) is not None:
                self._known.setdefault(sender, {})[ref.name] = ref
        self._forget_gone(transport, listing)

    def _forget_gone(self, transport: str, listing: Listing) -> None:
        """Envelopes that wait and that their owner took back meanwhile are not waited with any more."""
        present = {ref.name for ref in listing.refs}
        for sender, kept in self._kept.items():
            if not listing.whole(sender):
                continue
            for name in [name for name, letter in kept.items() if letter.ref.transport == transport]:
                if name not in present:
                    del kept[name]
                    self._known.get(sender, {}).pop(name, None)

    def _take_turn(self, sender: Email) -> None:
        """Fetches and decodes the sender's oldest messages, up to a turn's worth, on the pool."""
        parts = self._parts
        waiting = self._known.get(sender)
        if not waiting or sender in self._turn:
            return
        kept = self._kept.get(sender, {})
        refs: list[Ref] = []
        acknowledged: list[Ref] = []
        size = 0
        more = False
        for ref in sorted(waiting.values(), key=_written_at):
            if messages.decided(parts.db, sender, ref.name) is not None:
                del waiting[ref.name]
                if not messages.ack_owed(parts.db, ref):
                    acknowledged.append(ref)
                continue
            if ref.name in kept:
                continue
            if len(refs) >= parts.tuning.turn_messages or (refs and size + max(0, ref.size) > parts.tuning.turn_bytes):
                more = True
                break
            refs.append(ref)
            size += max(0, ref.size)
        self.acknowledge(acknowledged)
        if not refs:
            if not waiting:
                self._known.pop(sender, None)
            return
        self._turn.add(sender)

        def fetch() -> Letters:
            return Letters(sender, tuple(self._fetch(sender, ref) for ref in refs), more)

        def done(letters: Letters | None, error: BaseException | None) -> None:
            if letters is None:
                parts.post(Failed(f"fetching from {sender}", error or OSError("no answer")))
                letters = Letters(sender, (), False)
            parts.post(letters)

        parts.pool.submit(fetch, done)

    def _fetch(self, sender: Email, ref: Ref) -> Letter:
        """Runs on the pool; every error belongs to this one object."""
        parts = self._parts
        payload = b""
        try:
            if ref.size > parts.limits.message_bytes:
                raise_too_large(ref)
            payload = parts.router.get([ref])
            decode: Callable[..., Proposal | Events] = (
                codec.decode_proposal if ref.box.kind == "inbox" else codec.decode_events
            )
            # What may grow large is decoded one at a time, whoever sent it: threads share the machine's memory.
            large = len(payload) * parts.limits.ratio > _LARGE_BYTES
            with self._large if large else nullcontext():
                message = decode(payload, parts.limits)
            if _needs_a_known_sender(message) and not parts.router.vouches(ref.transport):
                raise Denied(
                    f"it came through “{ref.transport}”, where anybody could have written it in the name of {sender}",
                    f"If everybody who can write there is trusted, set `trusted = true` for “{ref.transport}” in "
                    "syftd.toml, restart syftd, and have it sent again; otherwise use another transport.",
                )
            return Letter(ref, sender, payload, message, None)
        except Exception as error:  # noqa: BLE001 - the pool's border: whatever it is, it belongs to this one object.
            # The trace says where it happened and must not keep what was there: megabytes for each letter of the turn.
            traceback.clear_frames(error.__traceback__)
            return Letter(ref, sender, payload, None, error)

    def turn_ended(self, work: Letters) -> None:
        """Called when the letters of a turn have been handled: the next turn, if there is more."""
        self._turn.discard(work.sender)
        waiting = self._known.get(work.sender, {})
        moved = any(letter.ref.name not in waiting for letter in work.letters)
        if work.more and moved:
            self._take_turn(work.sender)
        # A turn that moved nothing (a gap is open) waits for the next poll instead of fetching the same again.

    def handled(self, letter: Letter) -> None:
        """The letter needs no second look in this process."""
        waiting = self._known.get(letter.sender)
        if waiting is not None:
            waiting.pop(letter.ref.name, None)
        self._kept.get(letter.sender, {}).pop(letter.ref.name, None)

    def retry(self, letter: Letter) -> None:
        """The letter could not be fetched or decided now; it is taken up again at the next poll, whether or not the
        transport lists it again, and until then it is in nobody's way."""
        self.handled(letter)
        if not isinstance(letter.error, Gone):
            self._later.setdefault(letter.sender, {})[letter.ref.name] = letter.ref

    def stumbled(self, letter: Letter, error: BaseException) -> None:
        """Handling the letter ended in an error of ours: it is tried again a few times, then set aside."""
        tries = self._stumbles.get(letter.ref.name, 0) + 1
        self._stumbles[letter.ref.name] = tries
        if tries < _STUMBLES:
            self.retry(letter)
            return
        del self._stumbles[letter.ref.name]
        self.quarantine(letter, Malformed(f"it could not be handled here: {type(error).__name__}: {error}"))

    def keep(self, letter: Letter) -> None:
        """An envelope whose turn in its stream has not come; kept in memory within bounds, else fetched again."""
        kept = self._kept.setdefault(letter.sender, {})
        if len(kept) < 64 and sum(len(item.payload) for item in kept.values()) < 8 * 1024 * 1024:
            kept[letter.ref.name] = letter

    def kept(self, sender: Email) -> list[Letter]:
        return sorted(self._kept.get(sender, {}).values(), key=lambda letter: _written_at(letter.ref))

    def acknowledge(self, refs: list[Ref]) -> None:
        """Removes handled objects from the transport: always after the commit that made their effect durable."""
        if not refs:
            return
        parts = self._parts

        def remove() -> None:
            for ref in refs:
                parts.router.remove([ref])

        def done(_: None, error: BaseException | None) -> None:
            # A failed removal is repeated when the next listing shows the object again.
            if error is not None and not isinstance(error, SyftdError):
                parts.post(Failed("acknowledging", error))

        parts.pool.submit(remove, done)

    def quarantine(self, letter: Letter, error: BaseException, verdict: str = "malformed") -> None:
        """Sets a bad message aside with its reason, so that it stops nobody; tells a person."""
        parts = self._parts
        now = parts.clock.now()
        if isinstance(error, Gone):
            self.handled(letter)
            return
        parts.quarantine(letter.sender, letter.ref.name, letter.payload)
        with parts.db.commit():
            messages.decide(parts.db, letter.sender, letter.ref.name, letter.ref.box.kind, now, verdict, str(error))
            self._answer(letter, error, verdict)
            if letter.ref.box.kind == "outbox":
                # No later number need ever come that would show a gap: it may have been the last one, or the first.
                self.unread(letter.sender)
            parts.note("quarantined", letter.sender, name=letter.ref.name, reason=str(error))
            count = messages.refused_since(parts.db, letter.sender, now - _DAY)
            parts.problem(
                "quarantine", letter.sender,
                f"{count} message(s) of {letter.sender} could not be accepted in the last day; the latest: {error}",
                getattr(error, "remedy", "")
                or "They are set aside in the state folder’s quarantine; ask the peer. Everything else goes on.",
            )  # fmt: skip
        self.handled(letter)
        self.acknowledge([letter.ref])

    def _answer(self, letter: Letter, error: BaseException, verdict: str) -> None:
        """Inside a commit: who sent a proposal that was set aside learns that; the object's name tells which it was."""
        parts, sender = self._parts, letter.sender
        name = wire_names.parse(letter.ref.name)
        peer = contacts.get(parts.db, sender)
        if letter.ref.box.kind != "inbox" or name is None or name.kind != "proposal":
            return
        if peer is None or peer.state != "accepted":
            return
        if not parts.router.vouches(letter.ref.transport):
            return  # Anybody may have written it, also to have an honest proposal of that id refused.
        if messages.decided(parts.db, sender, name.uid) is not None or messages.under_way(parts.db, sender, name.uid):
            return
        # What went wrong on our side says things about this machine, which are no business of theirs.
        theirs = error is letter.error or verdict == "forged"
        outcome = "too_large" if isinstance(error, TooLarge) else verdict
        messages.decide(
            parts.db, sender, name.uid, "proposal", parts.clock.now(), outcome,
            str(error) if theirs else "it could not be handled", tell=True,
        )  # fmt: skip

    def is_item_error(self, error: BaseException) -> bool:
        """Whether the letter itself is bad; transport errors are nobody's fault and are retried."""
        return isinstance(error, ItemError)


def _needs_a_known_sender(message: Proposal | Events) -> bool:
    """Whether a message does something in its sender's name here. What an owner makes public may come from anywhere that
    the reader chose to read, and to be told again everybody may ask."""
    return bool(message.standing) if isinstance(message, Events) else not message.resync


def raise_too_large(ref: Ref) -> None:
    from syftd.errors import TooLarge

    raise TooLarge(f"a message of {ref.size} bytes is over the limit")


def _written_at(ref: Ref) -> tuple[float, str]:
    parsed = wire_names.parse(ref.name)
    return (parsed.timestamp if parsed else 0.0, ref.name)
