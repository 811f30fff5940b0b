"""A proposal gets exactly one verdict: applied, stale, denied, or why it could not be taken."""

from __future__ import annotations

from collections.abc import Mapping

from syftd.errors import DiskFull, Forged, ItemError, ServiceError
from syftd.names import Digest, Email, RelPath
from syftd.state import contacts, messages, views
from syftd.sync.apply import Apply
from syftd.sync.copies import Copies
from syftd.sync.inbox import Inbox
from syftd.sync.parts import Parts
from syftd.sync.publish import Publish
from syftd.sync.verdicts import Current, Verdicts
from syftd.sync.work import Letter
from syftd.tree.stage import Staged
from syftd.tree.stat import Stat
from syftd.wire import codec
from syftd.wire.messages import Change, Outcome, Proposal

_RESTART_SECONDS = 30.0


class _Refusal(Exception):
    """The proposal gets this verdict and nothing else happens."""

    def __init__(self, outcome: Outcome, reason: str, current: Current = ()) -> None:
        super().__init__(reason)
        self.outcome = outcome
        self.reason = reason
        self.current = current


class Decide:
    """Judges proposals by the rules in force and by what is on disk now, and has those carried out that pass."""

    def __init__(
        self, parts: Parts, inbox: Inbox, publish: Publish, copies: Copies, apply: Apply, verdicts: Verdicts
    ) -> None:
        self._parts = parts
        self._inbox = inbox
        self._publish = publish
        self._copies = copies
        self._apply = apply
        self._verdicts = verdicts
        self._restarted: dict[Email, float] = {}
        self._awaited: dict[tuple[Email, str], tuple[Change, ...]] = {}
        """The large changes of the proposals that wait, which spares decoding them again and again."""

    def take(self, letter: Letter) -> list[RelPath]:
        """Decides one proposal; returns the paths that changed. The letter is acknowledged after the commit."""
        parts = self._parts
        proposal = letter.message
        assert isinstance(proposal, Proposal)
        sender = letter.ref.box.peer
        if (
            messages.decided(parts.db, sender, letter.ref.name) is not None
            or messages.decided(parts.db, sender, proposal.id) is not None
        ):
            self._finish(letter)
            return []
        if proposal.sender != sender:
            self._inbox.quarantine(
                letter, Forged(f"the proposal says it is from {proposal.sender}, in the channel of {sender}"), "forged"
            )
            return []
        if proposal.datasite != parts.me:
            self._inbox.quarantine(letter, Forged(f"the proposal is meant for {proposal.datasite}"), "forged")
            return []
        peer = contacts.get(parts.db, sender)
        if peer is None or peer.state != "accepted":
            return []
        if proposal.resync:
            self._tell_again(letter, sender, proposal)
            return []
        changed: list[RelPath] = []
        if messages.intended(parts.db, sender, proposal.id):
            # It was accepted before, and something like a full disk cut it short.
            try:
                changed = self._apply.finish(sender, proposal.id)
            except ServiceError as error:
                self._verdicts.postpone(sender, proposal.id, error)
                self._inbox.retry(letter)
                return []
        elif messages.held_payload(parts.db, sender, proposal.id) is None:
            if not self._rules_fresh(proposal):
                # A permission file above it was edited a moment ago; the next poll brings the letter again.
                self._inbox.retry(letter)
                return []
            large = self._gathered(letter, proposal)
            if large is None:
                return []
            changed = self._judge(proposal, large)
            self._copies.drop(proposal.changes)
        self._finish(letter)
        return changed

    def resume(self) -> list[RelPath]:
        """Judges held proposals whose large content has arrived; one that cannot be taken now stops no other."""
        parts = self._parts
        changed: list[RelPath] = []
        for item in messages.held(parts.db):
            try:
                changed += self._resume(item)
            except ServiceError as error:
                self._verdicts.postpone(item.sender, item.id, error)
            except ItemError as error:
                self._verdicts.give(self._nothing(item), "malformed", str(error))
        if self._awaited:
            waiting = {(item.sender, item.id) for item in messages.held(parts.db)}
            for key in self._awaited.keys() - waiting:
                self._copies.drop(self._awaited.pop(key))
        return changed

    def _resume(self, item: messages.Held) -> list[RelPath]:
        parts, key = self._parts, (item.sender, item.id)
        peer = contacts.get(parts.db, item.sender)
        if peer is None or peer.state != "accepted" or messages.decided(parts.db, *key) is not None:
            with parts.db.commit():
                freed = messages.release_held(parts.db, *key)
            self._inbox.acknowledge(freed)
            return []
        if messages.intended(parts.db, *key):
            return self._apply.finish(*key)
        if parts.clock.now() - item.at > parts.tuning.held_seconds:
            days = parts.tuning.held_seconds / 86400.0
            self._verdicts.give(self._nothing(item), "malformed", f"its content did not arrive within {days:g} days")
            return []
        if key not in self._awaited:
            self._awaited[key] = _large(self._message(item))
        large = self._copies.gather(item.sender, self._awaited[key])
        if large is None:
            return []
        proposal = self._message(item)
        # A permission file that is being edited is taken in first; this is asked again at the next poll.
        return self._judge(proposal, large) if self._rules_fresh(proposal) else []

    def _message(self, item: messages.Held) -> Proposal:
        payload = messages.held_payload(self._parts.db, item.sender, item.id)
        return codec.decode_proposal(payload or b"", self._parts.limits)

    def _nothing(self, item: messages.Held) -> Proposal:
        """Stands for a proposal of which only its verdict matters."""
        return Proposal(item.id, item.sender, self._parts.me, item.at, ())

    def _rules_fresh(self, proposal: Proposal) -> bool:
        """What never travels is refused whatever a permission file says; one that lies there is never taken in, so its
        proposals would wait for it for ever."""
        fresh: dict[str, bool] = {}
        return all(
            self._publish.rules_fresh(change.path, fresh)
            for change in proposal.changes
            if self._parts.hidden(change.path) is None
        )

    def _finish(self, letter: Letter) -> None:
        parts = self._parts
        with parts.db.commit():
            messages.decide(parts.db, letter.sender, letter.ref.name, "inbox", parts.clock.now(), "handled")
        self._inbox.handled(letter)
        if not messages.ack_owed(parts.db, letter.ref):
            self._inbox.acknowledge([letter.ref])

    def _tell_again(self, letter: Letter, sender: Email, proposal: Proposal) -> None:
        parts = self._parts
        paths = [change.path for change in proposal.changes]
        if paths:
            with parts.db.commit():
                # Only what was shown: a deletion that is still to be told must not be forgotten.
                shown = views.shown(parts.db, sender, paths)
                self._publish.doubt_content(shown)
                views.doubt(parts.db, sender, shown)
                self._publish.dirty(paths, also=sender)
                self._publish.build(sender)
        else:
            # A new start costs a full pass, so it is had once in a while however often it is asked for. Who asks too
            # soon is heard later: what was told last time may have been lost, and nothing else would bring it.
            now = parts.clock.monotonic()
            if now - self._restarted.get(sender, -_RESTART_SECONDS) < _RESTART_SECONDS:
                self._inbox.retry(letter)
                return
            self._restarted[sender] = now
            self._publish.restart(sender)
            self._publish.build(sender)
        self._finish(letter)

    # -- waiting for large content ---------------------------------------------------------------------------------

    def _gathered(self, letter: Letter, proposal: Proposal) -> Mapping[RelPath, Staged] | None:
        """The proposal's large content. None when it is not here: then the proposal is held until it is, or refused."""
        parts = self._parts
        changes = _large(proposal)
        if not changes:
            return {}
        try:
            # Nothing is fetched for a proposal that would not be allowed anyway.
            self._allowed(proposal)
            self._may_wait(proposal)
        except _Refusal as refusal:
            self._verdicts.give(proposal, refusal.outcome, refusal.reason)
            self._finish(letter)
            return None
        large = self._copies.gather(proposal.sender, changes)
        if large is not None:
            return large
        now = parts.clock.now()
        with parts.db.commit():
            messages.hold(
                parts.db, proposal.sender, proposal.id, letter.ref, letter.payload, _large_bytes(proposal), now
            )
            messages.owe_ack(parts.db, letter.ref, [change.after for change in changes if change.after is not None])
            messages.decide(parts.db, letter.sender, letter.ref.name, "inbox", now, "held")
        self._awaited[(proposal.sender, proposal.id)] = changes
        self._inbox.handled(letter)
        return None

    def _may_wait(self, proposal: Proposal) -> None:
        """One peer cannot fill the disk with content that is fetched and never used."""
        tuning = self._parts.tuning
        count, size = messages.held_for(self._parts.db, proposal.sender)
        if count >= tuning.held_proposals_per_peer:
            raise _Refusal("too_large", f"{count} proposals wait for their content already")
        wanted = size + _large_bytes(proposal)
        if wanted > tuning.held_bytes_per_peer:
            raise _Refusal("too_large", f"{wanted} bytes would wait here; the limit is {tuning.held_bytes_per_peer}")

    # -- judging ---------------------------------------------------------------------------------------------------

    def _judge(self, proposal: Proposal, large: Mapping[RelPath, Staged]) -> list[RelPath]:
        """The verdict by the rules and the disk as they are now; returns the paths that changed."""
        try:
            self._allowed(proposal)
            found = self._based(proposal)
            self._fits(proposal)
        except _Refusal as refusal:
            self._verdicts.give(proposal, refusal.outcome, refusal.reason, refusal.current)
            return []
        return self._apply.carry_out(proposal, found, large)

    def _allowed(self, proposal: Proposal) -> None:
        parts = self._parts
        for change in proposal.changes:
            path = change.path
            reason = parts.hidden(path)
            if reason is not None:
                raise _Refusal("denied", f"{path}: {reason}")
            if not parts.access.may_write(proposal.sender, path):
                raise _Refusal("denied", f"no write permission for {path}")
        size = _large_bytes(proposal)
        if size > parts.tuning.proposal_bytes:
            raise _Refusal("too_large", f"the proposal has {size} bytes")

    def _based(self, proposal: Proposal) -> dict[RelPath, tuple[Digest | None, Stat | None]]:
        """What each path holds on disk now; refuses when a base is another than that and the content differs too."""
        found: dict[RelPath, tuple[Digest | None, Stat | None]] = {}
        stale: list[tuple[RelPath, Digest | None]] = []
        for change in proposal.changes:
            try:
                found[change.path] = self._apply.now(change.path)
            except ItemError as error:
                raise _Refusal("denied", f"{change.path}: {error}") from None
            now = found[change.path][0]
            if now != change.before and now != change.after:
                stale.append((change.path, now))
        if stale:
            raise _Refusal("stale", f"{stale[0][0]} is not what the proposal was made from", tuple(stale))
        return found

    def _fits(self, proposal: Proposal) -> None:
        needed = sum(len(change.content) for change in proposal.changes if change.content is not None)
        if needed > self._parts.disk.free_bytes():
            # No verdict: nothing is wrong with the proposal, and it is taken up again when there is room.
            raise DiskFull(
                f"the disk has no room for {needed} bytes that {proposal.sender} proposes",
                "Free some space; syftd continues by itself.",
            )


def _large(proposal: Proposal) -> tuple[Change, ...]:
    return tuple(change for change in proposal.changes if change.blob is not None)


def _large_bytes(proposal: Proposal) -> int:
    return sum(change.blob.size for change in proposal.changes if change.blob is not None)
