"""Carrying out a proposal that was accepted: intent, files, then one commit with effect and verdict. All of it or none.

The intent is durable before the first file is touched, so whatever cuts this short (a crash, a full disk, a data folder
that went away) leaves enough to finish it later. What only concerns the proposal, such as a name that cannot be had,
ends it: what it had changed is put back, and the verdict says why.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from syftd.errors import ContentMissing, ItemError, NameClash, ServiceError, Stale, Unfinished
from syftd.names import Digest, Email, RelPath
from syftd.plan.own import Content, OwnChange
from syftd.state import contacts, files, messages, problems
from syftd.sync.copies import Copies
from syftd.sync.inbox import Inbox
from syftd.sync.own import OwnTree
from syftd.sync.parts import Parts, row_of, stat_of
from syftd.sync.publish import Publish
from syftd.sync.undo import Ending, Step, Undo, trashed
from syftd.sync.verdicts import Current, Verdicts
from syftd.sync.versions import Versions
from syftd.tree.stage import Staged
from syftd.tree.stat import Stat
from syftd.wire.messages import Change, Proposal


class Apply:
    """Changes the owner's files as a proposal says."""

    def __init__(
        self, parts: Parts, inbox: Inbox, own: OwnTree, publish: Publish, copies: Copies, verdicts: Verdicts,
        versions: Versions,
    ) -> None:  # fmt: skip
        self._parts = parts
        self._inbox = inbox
        self._own = own
        self._publish = publish
        self._copies = copies
        self._verdicts = verdicts
        self._undo = Undo(parts, versions)

    def now(self, path: RelPath) -> tuple[Digest | None, Stat | None]:
        """What a path of the own datasite holds on disk, (None, None) for nothing. Raises ItemError, such as NameClash
        for what is no file."""
        parts = self._parts
        row = files.get(parts.db, parts.me, path)
        spelling = row.spelling if row else path
        kind = parts.disk.kind(parts.me, spelling)
        if kind is None:
            return None, None
        if kind != "file":
            raise NameClash(f"a {kind} is there")
        stat = parts.disk.stat(parts.me, spelling)
        if row is not None and row.settled and stat == stat_of(row):
            return row.sha256, stat
        return parts.disk.digest(parts.me, spelling)

    def carry_out(
        self, proposal: Proposal, found: Mapping[RelPath, tuple[Digest | None, Stat | None]],
        large: Mapping[RelPath, Staged],
    ) -> list[RelPath]:  # fmt: skip
        """Makes an accepted proposal true; `found` is what its paths hold now. Returns the paths that changed.

        Raises ServiceError when it was cut short: `finish` takes it up again."""
        parts = self._parts
        work = [change for change in proposal.changes if found[change.path][0] != change.after]
        with parts.db.commit():
            messages.intend(
                parts.db,
                (
                    messages.Intent(
                        proposal.id, change.path, change.before, change.after, proposal.sender,
                        large[change.path].name if change.path in large else "",
                    )
                    for change in work
                ),
            )  # fmt: skip
            messages.keep_content(
                parts.db,
                ((change.after, change.content) for change in work if change.after and change.content is not None),
            )
        rest = [Step(change, found[change.path][1], large.get(change.path)) for change in work]
        return self._end(proposal, rest, Ending())

    # -- after an interruption -------------------------------------------------------------------------------------

    def recover(self) -> list[RelPath]:
        """Finishes every proposal whose intent was durable; one that cannot be finished now waits and stops no other."""
        changed: list[RelPath] = []
        for sender, id in messages.intents(self._parts.db):
            try:
                changed += self.finish(sender, id)
            except ServiceError as error:
                self._verdicts.postpone(sender, id, error)
        return changed

    def finish(self, sender: Email, id: str) -> list[RelPath]:
        """Carries an intent forward from disk at the old content or the new; anything else means that somebody wrote
        meanwhile, and the proposal is stale. Returns the paths that changed. Raises ServiceError."""
        parts = self._parts
        intents = messages.intents(parts.db).get((sender, id), [])
        changes = tuple(Change(item.path, item.before, item.after, self._kept(item)) for item in intents)
        proposal = Proposal(id, sender, parts.me, parts.clock.now(), changes)
        ending = Ending()
        rest: list[Step] = []
        peer = contacts.get(parts.db, sender)
        if peer is None or peer.state != "accepted":
            ending.outcome, ending.reason = "denied", f"{sender} is no peer any more"
        for intent, change in zip(intents, changes, strict=True):
            try:
                digest, stat = self.now(change.path)
                if digest == change.after:
                    row = row_of(change.path, self._spelling(change.path), digest, stat) if digest and stat else None
                    ending.done.append(Step(change, row=row, placed=True))
                elif digest == change.before:
                    rest.append(Step(change, stat, self._found_again(intent)))
                else:
                    raise Stale("it is neither what it was nor what was proposed")
            except (Stale, NameClash, ContentMissing) as error:
                ending.fail(change.path, error)
            except ItemError as error:
                # What cannot even be looked at may be in place already, and half of a proposal must not stay.
                raise Unfinished(f"{change.path}: {error}", error.remedy) from error
        return self._end(proposal, rest, ending)

    def _kept(self, intent: messages.Intent) -> bytes | None:
        if intent.after is None or intent.staged:
            return None
        return messages.content(self._parts.db, intent.after)

    def _found_again(self, intent: messages.Intent) -> Staged | None:
        """Large content, where the intent says that it lies on the stage; None for what is small. Raises
        ContentMissing."""
        if not intent.staged:
            return None
        staged = self._parts.disk.staged(intent.staged)
        if staged is None or staged.digest != intent.after:
            raise ContentMissing("its content is not here any more")
        return staged

    # -- files -----------------------------------------------------------------------------------------------------

    def _end(self, proposal: Proposal, rest: list[Step], ending: Ending) -> list[RelPath]:
        """Does the rest unless it has failed already, puts everything back if it fails, and commits."""
        parts = self._parts
        try:
            if ending.outcome == "applied":
                self._do(proposal, rest, ending)
            if ending.outcome != "applied":
                self._undo.take_back(proposal, ending)
        except BaseException:
            # The large content is needed when this is taken up again; the small one lies in the database as well.
            self._discard(step for step in rest if step.change.content is not None)
            raise
        self._discard(rest)
        parts.disk.sync()
        self._commit(proposal, ending)
        return [step.change.path for step in ending.done]

    def _do(self, proposal: Proposal, rest: list[Step], ending: Ending) -> None:
        parts = self._parts
        for step in _loosening_last(rest):
            change = step.change
            if change.after is not None and change.content is not None:
                step.staged = parts.disk.stage(change.content)
        # New contents are durable before any name refers to them: after a power cut a path of the owner holds its old
        # content or its new one, never something that would look like an edit of the owner's.
        parts.disk.sync()
        for step in _loosening_last(rest):
            try:
                self._place(step)
            except ItemError as error:
                ending.fail(step.change.path, error)
                if ending.outcome == "stale":
                    ending.current = self._current(step.change.path)
                return
            ending.done.append(step)
            if step.trash is not None and step.change.before is not None:
                size = step.stat.size if step.stat else 0
                ending.trashed.append(
                    trashed(parts, step.trash, step.change.path, step.change.before, size, f"changed by {proposal.sender}")
                )

    def _place(self, step: Step) -> None:
        parts, change = self._parts, step.change
        known = files.get(parts.db, parts.me, change.path)
        spelling = known.spelling if known else change.path
        if change.after is None:
            step.trash = parts.disk.remove(parts.me, spelling, expected=change.before, known=step.stat)
        else:
            if step.staged is None:
                raise ContentMissing("its content is not here")
            stat, step.trash = parts.disk.replace(
                parts.me, spelling, step.staged, executable=known.executable if known else False,
                expected=change.before, known=step.stat,
            )  # fmt: skip
            if change.content is None:
                self._copies.taken(step.staged)
            step.row = row_of(change.path, spelling, change.after, stat)
        step.placed = True

    def _current(self, path: RelPath) -> Current:
        try:
            return ((path, self.now(path)[0]),)
        except ItemError:
            return ()

    def _spelling(self, path: RelPath) -> str:
        known = files.get(self._parts.db, self._parts.me, path)
        return known.spelling if known else path

    def _discard(self, steps: Iterable[Step]) -> None:
        for step in steps:
            if step.staged is not None and not step.placed:
                self._parts.disk.discard(step.staged)

    def _commit(self, proposal: Proposal, ending: Ending) -> None:
        parts = self._parts
        done = [(step.change, step.row) for step in ending.done]
        own = files.get_many(parts.db, parts.me, [change.path for change, _ in done])
        changes = [OwnChange(change.path, _content(own.get(change.path)), _content(row)) for change, row in done]
        changes = [change for change in changes if change.before != change.after]
        contents = {change.after: change.content for change, _ in done if change.after and change.content is not None}
        with parts.db.commit():
            problems.trashed(parts.db, ending.trashed)
            messages.intent_done(parts.db, proposal.sender, proposal.id)
            messages.drop_content(
                parts.db,
                (change.after for change in proposal.changes if change.after and change.content is not None),
            )
            rows = {change.path: row for change, row in done if row}
            files.put(parts.db, parts.me, (*rows.values(), *ending.put_back))
            files.drop(parts.db, parts.me, (change.path for change in changes if change.after is None))
            freed = self._verdicts.record(proposal, ending.outcome, ending.reason, ending.current)
            self._own.commit(changes, rows, proposal.sender, contents)
            self._publish.build_all(contents)
        self._inbox.acknowledge(freed)


def _content(row: files.FileRow | None) -> Content | None:
    return None if row is None else Content(row.sha256, row.size, row.executable)


def _loosening_last(steps: list[Step]) -> list[Step]:
    """Permission files come last; until then the old rules hold, which no proposal of theirs has widened."""
    return sorted(steps, key=lambda step: step.change.path.is_permission_file)
