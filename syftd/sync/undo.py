"""Taking back what a proposal had changed before it failed, so that it is all or nothing."""

from __future__ import annotations

from dataclasses import dataclass, field

from syftd.errors import ContentMissing, ItemError, Stale
from syftd.log import logger
from syftd.names import Digest, RelPath
from syftd.state import files, problems
from syftd.sync.parts import Parts, row_of, stat_of
from syftd.sync.verdicts import Current
from syftd.sync.versions import Versions
from syftd.tree.stage import Staged
from syftd.tree.stat import Stat
from syftd.wire.messages import Change, Outcome, Proposal

_log = logger("undo")


@dataclass
class Step:
    """One path of a proposal. `stat`: the observation of its base; `row`: the index row once it is done, None for a
    deletion; `trash`: where the loser lies."""

    change: Change
    stat: Stat | None = None
    staged: Staged | None = None
    row: files.FileRow | None = None
    trash: str | None = None
    placed: bool = False


@dataclass
class Ending:
    """What one commit makes true."""

    outcome: Outcome = "applied"
    reason: str = ""
    current: Current = ()
    done: list[Step] = field(default_factory=list)
    put_back: list[files.FileRow] = field(default_factory=list)
    trashed: list[problems.Trashed] = field(default_factory=list)

    def fail(self, path: RelPath, error: ItemError) -> None:
        """The proposal cannot be carried out because of one path."""
        if isinstance(error, Stale | ContentMissing):
            self.outcome, self.reason = "stale", f"{path} changed while the proposal was carried out ({error})"
        else:
            self.outcome, self.reason = "denied", f"{path}: {error}"


class Undo:
    """Puts files of the own datasite back."""

    def __init__(self, parts: Parts, versions: Versions) -> None:
        self._parts = parts
        self._versions = versions

    def take_back(self, proposal: Proposal, ending: Ending) -> None:
        """Puts back what was done, the last first. If not all of it can be, nothing is: then the commit says so.

        Where somebody has written meanwhile, what they wrote stays; what it was made from lies in the trash."""
        old: dict[RelPath, Staged] = {}
        try:
            for step in ending.done:
                if step.change.before is None:
                    continue
                content = self._old(step)
                if content is None:
                    _log.warning("a proposal could not be taken back", proposal=proposal.id, path=step.change.path)
                    return
                old[step.change.path] = content
            self._parts.disk.sync()
            stays: list[Step] = []
            for step in reversed(ending.done):
                try:
                    self._put_back(proposal, step, old.get(step.change.path), ending)
                except ItemError as error:
                    _log.warning("a change could not be taken back", path=step.change.path, reason=str(error))
                    stays.append(step)
            ending.done = stays
        finally:
            for staged in old.values():
                self._parts.disk.discard(staged)

    def _put_back(self, proposal: Proposal, step: Step, old: Staged | None, ending: Ending) -> None:
        parts, change = self._parts, step.change
        known = files.get(parts.db, parts.me, change.path)
        spelling = known.spelling if known else change.path
        stat = stat_of(step.row) if step.row else None
        if old is None:
            trash = parts.disk.remove(parts.me, spelling, expected=change.after, known=stat)
        else:
            executable = known.executable if known else False
            made, trash = parts.disk.replace(
                parts.me, spelling, old, executable=executable, expected=change.after, known=stat
            )
            if known is not None and known.sha256 == old.digest:
                ending.put_back.append(row_of(change.path, spelling, old.digest, made))
        if trash is not None and change.after is not None:
            size = stat.size if stat else 0
            why = f"proposed by {proposal.sender} and taken back"
            ending.trashed.append(trashed(parts, trash, change.path, change.after, size, why))

    def _old(self, step: Step) -> Staged | None:
        """A copy on the stage of what a path held before; None when it is nowhere."""
        parts, before = self._parts, step.change.before
        assert before is not None
        ids = [step.trash] if step.trash else [row.id for row in problems.trash_with(parts.db, before)]
        for id in ids:
            try:
                staged = parts.disk.restage(id)
            except ContentMissing:
                continue
            if staged.digest == before:
                return staged
            parts.disk.discard(staged)
        content = self._versions.get(before)
        return None if content is None else parts.disk.stage(content)


def trashed(parts: Parts, id: str, path: RelPath, digest: Digest, size: int, why: str) -> problems.Trashed:
    """The row that tells what of the own datasite lies in the trash, from when on, and why."""
    return problems.Trashed(id, parts.me, path, digest, size, parts.clock.now(), why)
