"""What may not be judged yet in a mirror: nothing is proposed to an owner before the owner has told everything, and files
that lay there before the contact began are nobody's edits."""

from __future__ import annotations

from typing import NamedTuple

from syftd.names import Email, RelPath
from syftd.state import contacts, streams
from syftd.sync.parts import Parts
from syftd.tree.scanner import Seen
from syftd.tree.stat import Stat

LEFT_OVER = "left over from an earlier contact"
"""Why such a file is in the trash."""

Waiting = dict[RelPath, Seen | None]
"""Paths that wait, as a scan saw them; None for those that no scan brought."""


class Knowledge(NamedTuple):
    """What is known of an owner. `complete`: what the owner does not tell does not exist. `began`: seconds since the
    epoch at which the contact began, None once everything from before was judged."""

    complete: bool
    began: float | None

    def earlier(self, stat: Stat | None) -> bool:
        """Whether a file without a base lay here before the contact began. A file that was moved or copied here since
        has a younger change time."""
        return stat is not None and self.began is not None and max(stat.mtime_ns, stat.ctime_ns) < self.began * 1e9


class Earlier:
    """Remembers what waits, for each owner, until the owner's stream is complete and the mirror was walked once."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._waiting: dict[Email, Waiting] = {}
        self._walked: set[Email] = set()

    def knowledge(self, owner: Email, *, judging: bool = False) -> Knowledge:
        """What is known now. While files from before the contact are still to be judged nothing counts as complete,
        except to the pass that is `judging` them."""
        began = self._began(owner)
        return Knowledge(self._told_all(owner) and (judging or began is None), began)

    def wait(self, owner: Email, path: RelPath, seen: Seen | None) -> None:
        """This path is looked at again as soon as everything is known."""
        self._waiting.setdefault(owner, {})[path] = seen

    def walked(self, owner: Email) -> None:
        """The whole mirror has been looked at: what lies there waits or has a base."""
        self._walked.add(owner)

    def pending(self, owner: Email) -> bool:
        """Whether files from before the contact are still to be judged."""
        return self._began(owner) is not None

    def take(self, owner: Email) -> Waiting | None:
        """What can be judged now, None when there is nothing or it is too early."""
        pending = self.pending(owner)
        if (not pending and owner not in self._waiting) or not self._told_all(owner):
            return None
        if pending and owner not in self._walked:
            return None
        return self._waiting.pop(owner, {})

    def judged(self, owner: Email, left_over: int) -> None:
        """Everything from before the contact was judged; `left_over` files went to the trash."""
        parts = self._parts
        if not self.pending(owner):
            return
        with parts.db.commit():
            parts.db.set_meta(contact_began(owner), "")
            if left_over:
                parts.note("left-over", owner, files=left_over)
                parts.problem(
                    "left-over", owner,
                    f"{left_over} file(s) under datasites/{owner} were from before this contact, and {owner} does not "
                    "have them (any more); they are in the trash.",
                    f"`syftd restore datasites/{owner}/PATH` brings one back and proposes it to {owner}.",
                )  # fmt: skip

    def ended(self, owner: Email) -> None:
        """The contact has ended, or begins anew."""
        self._waiting.pop(owner, None)
        self._walked.discard(owner)

    def _began(self, owner: Email) -> float | None:
        text = self._parts.db.meta(contact_began(owner))
        return float(text) if text else None

    def _told_all(self, owner: Email) -> bool:
        peer = contacts.get(self._parts.db, owner)
        if peer is None or peer.state != "accepted":
            return True  # Nothing is proposed to them in any case; a person is told so.
        if "stream" not in peer.extensions:
            return bool(peer.client_version)  # Who does not number what they tell can never say that it was all.
        row = streams.stream(self._parts.db, owner)
        return row is not None and row.completed


def contact_began(owner: Email) -> str:
    """Where the database notes when a contact began whose mirror held files already; '' once they are judged."""
    return f"contact-began:{owner}"
