"""The one verdict of a proposal: recorded together with its effect, told to its proposer, and what waited for it let go."""

from __future__ import annotations

from syftd.errors import ServiceError
from syftd.names import Digest, Email, RelPath
from syftd.state import contacts, files, messages, views
from syftd.sync.inbox import Inbox
from syftd.sync.parts import Parts
from syftd.sync.publish import Publish
from syftd.transport.mailbox import Ref
from syftd.wire.messages import Outcome, Proposal

Current = tuple[tuple[RelPath, Digest | None], ...]
"""What paths hold here: the digest, or None where no file is."""

_CURRENT = 100


class Verdicts:
    """Records verdicts. A proposal has exactly one; it is found by its sender and its id."""

    def __init__(self, parts: Parts, inbox: Inbox, publish: Publish) -> None:
        self._parts = parts
        self._inbox = inbox
        self._publish = publish

    def give(self, proposal: Proposal, outcome: Outcome, reason: str, current: Current = ()) -> None:
        """A verdict without an effect, in one commit with the envelope that tells it."""
        with self._parts.db.commit():
            freed = self.record(proposal, outcome, reason, current)
            self._publish.build_all()
        self._inbox.acknowledge(freed)

    def record(self, proposal: Proposal, outcome: Outcome, reason: str, current: Current = ()) -> list[Ref]:
        """Inside a commit: the verdict, and for an applied proposal that its sender thereby knows what the paths hold.

        Returns the objects that need not lie on the transport once this is committed."""
        parts, sender = self._parts, proposal.sender
        current = current[:_CURRENT]
        if outcome == "applied":
            current = tuple((change.path, change.after) for change in proposal.changes)
            self._shown(sender, current)
        peer = contacts.get(parts.db, sender)
        messages.decide(
            parts.db, sender, proposal.id, "proposal", parts.clock.now(), outcome, reason,
            current=current, tell=peer is not None and peer.state == "accepted",
        )  # fmt: skip
        parts.note(
            "decided", sender, proposal=proposal.id, outcome=outcome, reason=reason,
            paths=[change.path for change in proposal.changes][:50],
        )  # fmt: skip
        parts.solved("unfinished", f"{sender}:{proposal.id}")
        return messages.release_held(parts.db, sender, proposal.id)

    def postpone(self, sender: Email, id: str, error: ServiceError) -> None:
        """Something that concerns the whole daemon keeps a proposal from its verdict; it is taken up again later."""
        self._parts.problem(
            "unfinished", f"{sender}:{id}", f"A change that {sender} asked for waits: {error}",
            error.remedy or "syftd tries again by itself.",
        )  # fmt: skip

    def _shown(self, sender: Email, current: Current) -> None:
        """The verdict itself tells the sender what the paths hold; whatever happens to them later is told after it."""
        parts = self._parts
        peer = contacts.get(parts.db, sender)
        knows = peer is not None and "verdicts" in peer.extensions
        rows = files.get_many(parts.db, parts.me, [path for path, _ in current])
        for path, after in current:
            row = rows.get(path)
            if not knows or (row.sha256 if row else None) != after:
                # It is not known yet, by them or (since the user wrote the same a moment ago) by us.
                views.doubt(parts.db, sender, [path])
            elif after is None:
                views.unshow(parts.db, sender, [path])
            else:
                views.show(parts.db, sender, [(path, after, False)])
        self._publish.dirty([path for path, _ in current], also=sender)
