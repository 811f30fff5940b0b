"""An owner's stream, followed: the next number only, gaps healed by asking, a new epoch replaces what was told before."""

from __future__ import annotations

from collections.abc import Callable

from syftd.errors import Forged, Malformed
from syftd.names import Digest, Email, RelPath
from syftd.plan.guard import judge_deletions
from syftd.state import contacts, messages, outbox, problems, streams
from syftd.sync.inbox import Inbox
from syftd.sync.mirror import Mirror
from syftd.sync.parts import Parts
from syftd.sync.propose import Propose
from syftd.sync.work import Letter
from syftd.transport import mailbox
from syftd.wire import codec
from syftd.wire import names as wire_names
from syftd.wire.messages import Change, Events, Proposal, StreamPosition

_EPOCHS = 16
_DAY = 86400.0
_FARTHEST_JUMP = 10_000
"""More numbers than this are never taken back at once; a stream that jumps farther is asked for anew."""


class Follow:
    """Takes envelopes of owners: one commit makes them durable, then the mirror follows."""

    def __init__(self, parts: Parts, inbox: Inbox, mirror: Mirror, propose: Propose) -> None:
        self._parts = parts
        self._inbox = inbox
        self._mirror = mirror
        self._propose = propose
        self._asks_at: dict[Email, float] = {}
        """When an owner with an open gap is asked (again), in monotonic seconds: wall time may step."""
        self.standing: Callable[[Email, str], None] = lambda owner, standing: None
        """Told, inside a commit, that a peer has said no or has ended the contact."""

    def take_kept(self, sender: Email) -> None:
        """Takes the sender's envelopes that had to wait and whose turn has come."""
        progress = True
        while progress:
            progress = False
            for letter in self._inbox.kept(sender):
                progress = self.take(letter) or progress

    def take(self, letter: Letter) -> bool:
        """Takes one envelope; True when it had its effect (or needs none), False when it must wait for others."""
        parts = self._parts
        events = letter.message
        assert isinstance(events, Events)
        owner = letter.ref.box.datasite
        if messages.decided(parts.db, owner, letter.ref.name) is not None:
            self._inbox.handled(letter)
            return True
        if events.owner != owner:
            self._inbox.quarantine(
                letter, Forged(f"the envelope speaks for {events.owner} in the channel of {owner}"), "forged"
            )
            return True
        if events.standing:
            self._standing(letter, owner, events)
            return True
        peer = contacts.get(parts.db, owner)
        if peer is None or peer.state != "accepted":
            return False
        if events.stream is None:
            self._accept(letter, owner, events, streams.stream(parts.db, owner))
            return True
        return self._in_order(letter, owner, events, events.stream)

    def _in_order(self, letter: Letter, owner: Email, events: Events, position: StreamPosition) -> bool:
        parts = self._parts
        row = streams.stream(parts.db, owner)
        if row is not None and position.epoch in row.earlier:
            self._done(letter, "superseded")
            return True
        if row is None or row.epoch != position.epoch:
            if position.sequence != 1 and not _voids_from_start(position):
                self._gap(owner, letter)
                return False
            earlier = self._earlier(owner, letter, position, row)
            row = streams.StreamRow(owner, position.epoch, position.sequence, None, False, None, 0, earlier)
        if position.sequence < row.next_seq:
            self._done(letter, "duplicate")
            return True
        # A sender chooses the number: how far it jumps is looked at before anything is made from it.
        if position.sequence - row.next_seq > _FARTHEST_JUMP:
            self._gap(owner, letter)
            return False
        missing = set(range(row.next_seq, position.sequence))
        if missing and not missing <= self._voided(owner, position):
            self._gap(owner, letter)
            return False
        if not missing and row.previous is not None and position.previous != row.previous:
            self._inbox.quarantine(
                letter, Forged(f"envelope {position.sequence} does not continue what {owner} sent before"), "forged"
            )
            return True
        row.next_seq = position.sequence + 1
        row.previous = Digest.of(letter.payload)
        row.gap_since, row.asked = None, 0
        self._asks_at.pop(owner, None)
        self._accept(letter, owner, events, row)
        return True

    def _earlier(
        self, owner: Email, letter: Letter, position: StreamPosition, row: streams.StreamRow | None
    ) -> tuple[str, ...]:
        """The epochs that end with this one: the one we followed, and those of envelopes that wait and were written
        before. They would wait for ever, since what they continue does not come any more."""
        epochs = [*row.earlier, row.epoch] if row is not None else []
        for other in self._inbox.kept(owner):
            if other.ref.name == letter.ref.name:
                break
            if isinstance(other.message, Events) and other.message.stream is not None:
                epochs.append(other.message.stream.epoch)
        return tuple(dict.fromkeys(epoch for epoch in epochs if epoch not in ("", position.epoch)))[-_EPOCHS:]

    def _voided(self, owner: Email, position: StreamPosition) -> set[int]:
        """Numbers that the owner took back, from this envelope and from those that wait."""
        voided = set(position.voided)
        for letter in self._inbox.kept(owner):
            other = letter.message.stream if isinstance(letter.message, Events) else None
            if other is not None and other.epoch == position.epoch:
                voided.update(other.voided)
        return voided

    def _accept(self, letter: Letter, owner: Email, events: Events, row: streams.StreamRow | None) -> None:
        """One commit: what was told, the small content, verdicts, the stream's position, and that this letter is done."""
        parts = self._parts
        epoch = row.epoch if row is not None else ""
        told: list[streams.Told] = []
        gone: list[RelPath] = []
        contents: dict[Digest, bytes] = {}
        large: list[Digest] = []
        for change in events.changes:
            if change.after is None:
                gone.append(change.path)
                continue
            told.append(_told(change))
            if change.content is not None:
                contents[change.after] = change.content
            else:
                large.append(change.after)
        leftovers: list[RelPath] = []
        with parts.db.commit():
            # Verdicts say what was true before the changes that come with them.
            refused = self._propose.verdicts(owner, events.verdicts, epoch)
            streams.tell(parts.db, owner, epoch, told)
            streams.untell(parts.db, owner, gone)
            messages.keep_content(parts.db, contents.items())
            if row is not None:
                if events.stream is not None and events.stream.complete:
                    leftovers = self._leftovers(owner, epoch)
                    row.completed = True
                streams.put_stream(parts.db, row)
            elif gone:
                leftovers = self._guarded(owner, gone)
            messages.decide(parts.db, owner, letter.ref.name, "outbox", parts.clock.now(), "followed")
            if large:
                messages.owe_ack(parts.db, letter.ref, large)
            parts.solved("gap", owner)
        self._inbox.handled(letter)
        paths = [*gone, *(item.path for item in told), *leftovers, *refused.paths]
        self._mirror.settle(owner, paths, contents, refused.reasons)
        if not messages.ack_owed(parts.db, letter.ref):
            self._inbox.acknowledge([letter.ref])

    def _leftovers(self, owner: Email, epoch: str) -> list[RelPath]:
        """With a complete new epoch, what only the old one told is gone."""
        return self._guarded(owner, streams.left_from_before(self._parts.db, owner, epoch), untell=True)

    def _guarded(self, owner: Email, gone: list[RelPath], *, untell: bool = False) -> list[RelPath]:
        """Deletions that no person on the owner's side has looked at need one on ours when they are too many."""
        parts = self._parts
        besides = 0 if untell else len(gone)
        reason = judge_deletions(
            len(gone), lambda most: streams.told_count(parts.db, owner, most) + besides, parts.deletion_limit
        )
        if untell:
            streams.untell(parts.db, owner, gone)
        if reason is None:
            return gone
        old = problems.halt_on(parts.db, "mirror", owner)
        plan = old.id if old else "h-" + parts.random.token(4)
        gone = sorted({*gone, *(RelPath(path) for path in old.paths)}) if old else gone
        problems.halt(parts.db, problems.Halt(plan, "mirror", owner, parts.clock.now(), reason, tuple(gone)))
        parts.problem(
            "halted", owner, f"Stopped before removing {len(gone)} of {owner}'s files here: {reason}.",
            f"If that is right: `syftd confirm {plan}`. To keep the files here: `syftd reject {plan}`.", plan,
        )  # fmt: skip
        return []

    def _standing(self, letter: Letter, owner: Email, events: Events) -> None:
        parts = self._parts
        with parts.db.commit():
            self.standing(owner, events.standing)
            messages.decide(parts.db, owner, letter.ref.name, "outbox", parts.clock.now(), "followed")
        self._inbox.handled(letter)
        self._inbox.acknowledge([letter.ref])

    def _done(self, letter: Letter, verdict: str) -> None:
        parts = self._parts
        with parts.db.commit():
            messages.decide(parts.db, letter.sender, letter.ref.name, letter.ref.box.kind, parts.clock.now(), verdict)
        self._inbox.handled(letter)
        self._inbox.acknowledge([letter.ref])

    # -- gaps ------------------------------------------------------------------------------------------------------

    def _gap(self, owner: Email, letter: Letter) -> None:
        parts = self._parts
        self._inbox.keep(letter)
        row = streams.stream(parts.db, owner)
        if row is None:
            row = streams.StreamRow(owner, "", 1, None, False, None, 0)
        if row.gap_since is None:
            row.gap_since = parts.clock.now()
            with parts.db.commit():
                streams.put_stream(parts.db, row)

    def heal(self) -> None:
        """Asks for a stream anew when a gap has stayed open for too long; called by a tick."""
        parts = self._parts
        gaps = streams.with_gap(parts.db)
        self._asks_at = {owner: at for owner, at in self._asks_at.items() if owner in gaps}
        for owner in gaps:
            row, peer = streams.stream(parts.db, owner), contacts.get(parts.db, owner)
            if row is None or row.gap_since is None or peer is None or peer.state != "accepted":
                continue
            if not self._inbox.kept(owner):
                with parts.db.commit():
                    row.gap_since, row.asked = None, 0
                    streams.put_stream(parts.db, row)
                continue
            now = parts.clock.monotonic()
            if now >= self._asks_at.setdefault(owner, now + parts.tuning.gap_seconds):
                # Each pause is twice the last, up to a day: who does not answer is not written to without end.
                self._asks_at[owner] = now + min(_DAY, parts.tuning.resync_seconds * 2 ** min(row.asked, 20))
                row.asked += 1
                with parts.db.commit():
                    streams.put_stream(parts.db, row)
                    parts.problem(
                        "gap", owner, f"A message of {owner} is missing; asked for everything anew ({row.asked}×).",
                        "Nothing to do unless it lasts.",
                    )  # fmt: skip
                self.ask_anew(owner)

    def ask_anew(self, owner: Email, paths: list[RelPath] | None = None) -> None:
        """Asks an owner to tell some paths again, or with none to start the whole stream anew."""
        ask_again(self._parts, owner, paths or [])


def ask_again(parts: Parts, owner: Email, paths: list[RelPath]) -> None:
    """Queues the request that makes an owner tell `paths` again, or with none to start the whole stream anew."""
    peer = contacts.get(parts.db, owner)
    if peer is None or peer.state != "accepted" or "stream" not in peer.extensions:
        return  # A peer of the existing network tells everything once and cannot be asked again.
    id = parts.random.uuid()
    now = parts.clock.now()
    changes = tuple(Change(path, None, None) for path in paths)
    message = Proposal(id, parts.me, owner, now, changes, resync=True)
    payload = codec.encode_proposal(message, extensions=True)
    with parts.db.commit():
        outbox.add(
            parts.db, owner, "proposal", mailbox.inbox(owner, parts.me), wire_names.proposal_name(now, id), payload,
            private=False,
        )  # fmt: skip


def _voids_from_start(position: StreamPosition) -> bool:
    before = position.sequence - 1
    return before <= len(position.voided) and set(range(1, position.sequence)) <= set(position.voided)


def _told(change: Change) -> streams.Told:
    assert change.after is not None
    if change.blob is not None:
        return streams.Told(change.path, change.after, change.executable, change.blob.size, change.blob.chunks)
    if change.content is None:
        raise Malformed(f"{change.path} was told without its content")
    return streams.Told(change.path, change.after, change.executable, len(change.content), None)
