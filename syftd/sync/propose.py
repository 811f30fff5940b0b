"""Local edits in a mirror become proposals; a job folder is one proposal; verdicts end them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from syftd.errors import ItemError, RootMissing
from syftd.names import Digest, Email, RelPath
from syftd.plan.guard import judge_deletions
from syftd.plan.own import Content
from syftd.state import contacts, files, outbox, problems, streams
from syftd.sync.mirror import Edit
from syftd.sync.parts import Index, Parts
from syftd.sync.upload import Upload
from syftd.transport import mailbox
from syftd.wire import codec
from syftd.wire import names as wire_names
from syftd.wire.messages import BlobRef, Change, Proposal, Verdict

JOB_INBOX = "app_data/job/inbox"
_MANY_BYTES = 4 * 1024 * 1024
_SMALL = 16 * 1024


@dataclass
class Refusals:
    """Paths whose drafts have ended: all of them to look at again, and the reasons of those that were turned down."""

    paths: list[RelPath] = field(default_factory=list)
    reasons: dict[RelPath, str] = field(default_factory=dict)


class Propose:
    """Drafts of ours. At most one is open per path; what is edited meanwhile is proposed after the verdict."""

    def __init__(self, parts: Parts, upload: Upload, ask_again: Callable[[Email, list[RelPath]], None]) -> None:
        self._parts = parts
        self._ask_again = ask_again
        self._upload = upload
        self._waiting: dict[tuple[Email, str], tuple[list[Edit], bool]] = {}
        self._folders: dict[tuple[Email, str], float] = {}
        self.sent_folder: Callable[[Email, str], None] = lambda owner, name: None
        """Told the name of a job folder of ours that was just proposed to an owner."""

    def edited(self, owner: Email, edits: list[Edit]) -> None:
        """Takes edits that the planner found: a job folder waits until it is quiet, everything else goes at once."""
        parts = self._parts
        peer = contacts.get(parts.db, owner)
        if peer is None or peer.state != "accepted":
            parts.problem(
                "unknown-peer", owner, f"You changed files under datasites/{owner}, but {owner} is not an accepted peer.",
                f"`syftd peers add {owner}` asks them; nothing is sent before they accept.",
            )  # fmt: skip
            return
        edits = self._without_mass_deletion(owner, edits)
        moves = {edit.before: edit for edit in edits if edit.after is None and edit.before is not None}
        done: set[RelPath] = set()
        for edit in edits:
            folder = self.job_folder(edit.path)
            if folder is not None:
                self._folders[(owner, folder)] = parts.clock.monotonic()
            elif edit.path not in done and not (edit.after is None and self._is_move(edit, edits)):
                # A rename is one proposal, so that the owner never has the file in both places or in neither.
                partner = moves.get(edit.after) if edit.before is None and edit.after is not None else None
                group = [partner, edit] if partner is not None and partner.path not in done else [edit]
                done.update(item.path for item in group)
                self._propose(owner, group, whole=False)

    def _without_mass_deletion(self, owner: Email, edits: list[Edit]) -> list[Edit]:
        """Many files that vanish here at once are put back instead of being proposed for deletion."""
        parts = self._parts
        gone = _not_moved(edits)
        reason = judge_deletions(
            len(gone), lambda most: streams.told_count(parts.db, owner, most), parts.deletion_limit
        )
        if reason is None:
            return edits
        paths = [edit.path for edit in gone]
        with parts.db.commit():
            files.drop(parts.db, owner, paths)
            parts.problem(
                "put-back", owner, f"{len(gone)} files of {owner} vanished here at once ({reason}); they are put back.",
                "To ask for their deletion, delete fewer at a time.",
            )  # fmt: skip
        self._ask_again(owner, paths)
        return [edit for edit in edits if edit not in gone]

    def _is_move(self, edit: Edit, edits: list[Edit]) -> bool:
        return any(other.before is None and other.after == edit.before for other in edits)

    def job_folder(self, path: str) -> str | None:
        """The job folder below which one of my submissions lies, None for any other path."""
        prefix = f"{JOB_INBOX}/{self._parts.me}/"
        if not path.startswith(prefix):
            return None
        name, slash, _ = path[len(prefix) :].partition("/")
        return prefix + name if slash else None

    def tick(self) -> None:
        """Sends the job folders that have become quiet, and what waited for an upload."""
        now = self._parts.clock.monotonic()
        for (owner, folder), due in list(self._folders.items()):
            if now >= due:
                del self._folders[(owner, folder)]
                self.send_folder(owner, folder, quiet=self._parts.tuning.job_quiet_seconds)
        waiting, self._waiting = self._waiting, {}
        for (owner, _), (edits, whole) in waiting.items():
            self._propose(owner, edits, whole=whole)
        self._forget_taken_away()

    def _forget_taken_away(self) -> None:
        """A job folder that was never sent leaves no trace when it goes, so nothing else would notice."""
        for kind, subject in problems.subjects(self._parts.db, "job-without-run.sh"):
            site, _, folder = subject.partition("/")
            try:
                gone = self._parts.disk.kind(Email(site), folder) is None
            except (ItemError, RootMissing):
                gone = False  # A mirror that cannot be looked at proves nothing.
            if gone:
                self._parts.solved(kind, subject)

    @property
    def restless(self) -> bool:
        """Whether `tick` has something to wait for."""
        return bool(self._folders or self._waiting)

    @property
    def next_due(self) -> float | None:
        """When `tick` should be called for a job folder, in monotonic seconds."""
        return min(self._folders.values(), default=None)

    def send_folder(self, owner: Email, folder: str, *, quiet: float = 0.0) -> bool:
        """Proposes everything in a job folder that its owner does not have, as one proposal; False when it cannot yet.

        A folder in which a file changed less than `quiet` seconds ago is still being filled, and waits.
        """
        parts = self._parts
        findings = parts.scanner.look(owner, [folder], Index(parts.db, owner))
        changed = max((item.stat.ctime_ns / 1e9 for item in findings.seen if item.stat is not None), default=0.0)
        age = parts.clock.now() - changed
        if findings.in_motion or 0.0 <= age < quiet:
            self._folders[(owner, folder)] = parts.clock.monotonic() + max(0.05, quiet - age)
            return False
        # A folder without any file is a job taken back; its files are asked to be deleted.
        if parts.disk.stat(owner, f"{folder}/run.sh") is None and findings.checked:
            parts.problem(
                "job-without-run.sh", f"{owner}/{folder}",
                f"The job folder datasites/{owner}/{folder} has no run.sh, so it is not sent.",
                "Put a run.sh into it; it is what the owner runs.",
            )  # fmt: skip
            return False
        parts.solved("job-without-run.sh", f"{owner}/{folder}")
        edits: list[Edit] = []
        for item in findings.seen:
            told = streams.told(parts.db, owner, item.path)
            before = told.sha256 if told else None
            if item.digest != before:
                edits.append(Edit(item.path, item.spelling, before, item.digest, item.stat))
        if any(streams.draft(parts.db, owner, edit.path) is not None for edit in edits):
            self._folders[(owner, folder)] = parts.clock.monotonic() + 1.0
            return False
        if edits:
            self._propose(owner, edits, whole=True)
        return True

    def _propose(self, owner: Email, edits: list[Edit], *, whole: bool) -> None:
        """Writes drafts and message in one commit; waits for uploads of large content first."""
        parts = self._parts
        if not parts.router.carries_private(owner):
            self._waiting[(owner, edits[0].path)] = (edits, whole)
            parts.problem(
                "untrusted-folder", owner, f"Your changes and jobs for {owner} wait: the folder between you is not trusted.",
                "If only the two of you can read it, set `trusted = true` for it in syftd.toml and restart syftd.",
            )  # fmt: skip
            return
        changes: list[Change] = []
        total = sum(edit.stat.size for edit in edits if edit.stat is not None)
        limit = parts.tuning.inline_bytes if total <= _MANY_BYTES else _SMALL
        for edit in edits:
            if streams.draft(parts.db, owner, edit.path) is not None:
                return
            try:
                change = self._change(owner, edit, limit)
            except ItemError:
                # It moved on since it was seen; the scanner brings it again.
                parts.look_again(owner, edit.path)
                return
            if change is None:
                self._waiting[(owner, edit.path)] = (edits, whole)
                return
            changes.append(change)
        if not self._extended(owner) and any(change.after is None for change in changes):
            parts.problem(
                "cannot-propose", f"{owner}/{edits[0].path}",
                f"{owner}'s program does not take deletions, so yours is not proposed.",
                "Put the file back, or ask the owner to delete it.",
            )  # fmt: skip
            return
        id = parts.random.uuid()
        now = parts.clock.now()
        message = Proposal(id, parts.me, owner, now, tuple(changes))
        try:
            payload = codec.encode_proposal(message, extensions=self._extended(owner))
        except ItemError as error:
            parts.problem(
                "cannot-propose", f"{owner}/{edits[0].path}", f"Your change to {owner}'s {edits[0].path} cannot be sent: {error}",
                error.remedy or "Send less at once.",
            )  # fmt: skip
            return
        with parts.db.commit():
            streams.put_drafts(
                parts.db, (streams.Draft(owner, edit.path, edit.before, edit.after, id, now) for edit in edits)
            )
            outbox.add(
                parts.db, owner, "proposal", mailbox.inbox(owner, parts.me), wire_names.proposal_name(now, id), payload,
                private=True, chunks=[chunk for change in changes if change.blob for chunk in change.blob.chunks],
            )  # fmt: skip
            parts.note("proposed", owner, id=id, paths=[edit.path for edit in edits][:50], files=len(edits))
        folder = self.job_folder(edits[0].path)
        if folder is not None:
            self.sent_folder(owner, folder.rpartition("/")[2])

    def _extended(self, owner: Email) -> bool:
        peer = contacts.get(self._parts.db, owner)
        return peer is not None and bool(peer.extensions)

    def _change(self, owner: Email, edit: Edit, limit: int) -> Change | None:
        parts = self._parts
        if edit.after is None or edit.stat is None:
            return Change(edit.path, edit.before, None)
        if edit.stat.size <= limit or not self._extended(owner):
            content, _ = parts.disk.read(owner, edit.spelling, max(limit, parts.tuning.legacy_inline_bytes))
            if Digest.of(content) != edit.after:
                parts.look_again(owner, edit.path)
                raise ItemError(f"{edit.path} changed")
            return Change(edit.path, edit.before, edit.after, content)
        content_of = Content(edit.after, edit.stat.size, False)
        chunks = self._upload.ready(owner, edit.path, content_of, private=True, site=owner, stat=edit.stat)
        if chunks is None:
            return None
        return Change(edit.path, edit.before, edit.after, blob=BlobRef(edit.stat.size, chunks))

    # -- verdicts --------------------------------------------------------------------------------------------------

    def verdicts(self, owner: Email, verdicts: tuple[Verdict, ...], epoch: str) -> Refusals:
        """Inside the caller's transaction: ends the drafts that were answered in this epoch of the owner's stream."""
        parts = self._parts
        ended = Refusals()
        for verdict in verdicts:
            drafts = [draft for draft in streams.drafts_of(parts.db, verdict.proposal) if draft.owner == owner]
            for draft in drafts:
                streams.drop_draft(parts.db, owner, draft.path)
                ended.paths.append(draft.path)
                if verdict.outcome == "applied":
                    self._applied(draft, epoch)
                else:
                    ended.reasons[draft.path] = _words(owner, verdict)
            parts.note("verdict", owner, proposal=verdict.proposal, outcome=verdict.outcome, reason=verdict.reason)
        return ended

    def _applied(self, draft: streams.Draft, epoch: str) -> None:
        """What we proposed is now what the owner has; a later local edit is measured against it."""
        self._parts.solved("not-taken", f"{draft.owner}/{draft.path}")
        parts = self._parts
        if draft.after is None:
            streams.untell(parts.db, draft.owner, [draft.path])
            files.drop(parts.db, draft.owner, [draft.path])
            return
        told = streams.told(parts.db, draft.owner, draft.path)
        if told is None or told.sha256 != draft.after:
            found = parts.disk.stat(draft.owner, draft.path)
            told = streams.Told(draft.path, draft.after, False, found.size if found else 0, None)
        streams.tell(parts.db, draft.owner, epoch, [told])
        known = files.get(parts.db, draft.owner, draft.path)
        if known is None or known.sha256 != draft.after:
            unseen = files.FileRow(
                draft.path, known.spelling if known else draft.path, draft.after, -1, 0, 0, 0, False, False
            )
            files.put(parts.db, draft.owner, [unseen])


def _not_moved(edits: list[Edit]) -> list[Edit]:
    """The deletions among some edits that are not the first half of a rename; one arrival excuses one of them."""
    arrived = Counter(edit.after for edit in edits if edit.before is None)
    gone: list[Edit] = []
    for edit in edits:
        if edit.after is not None:
            continue
        if arrived[edit.before] > 0:
            arrived[edit.before] -= 1
        else:
            gone.append(edit)
    return gone


def _words(owner: Email, verdict: Verdict) -> str:
    if verdict.outcome == "stale":
        return f"{owner} has changed it meanwhile"
    if verdict.outcome == "denied":
        return f"{owner} does not allow it" + (f" ({verdict.reason})" if verdict.reason else "")
    return f"{owner} could not take it ({verdict.outcome}: {verdict.reason})"


__all__ = ["JOB_INBOX", "Propose", "Refusals"]
