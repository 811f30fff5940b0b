"""The owner's tree: findings of the scanner become events, in one commit with what every reader must be told."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from syftd.errors import ItemError, Malformed, RootMissing
from syftd.names import PERMISSION_FILE, Digest, RelPath
from syftd.plan.guard import judge_deletions
from syftd.plan.own import Content, OwnChange, plan_own
from syftd.rules.ruleset import MAX_FILE_BYTES
from syftd.state import events, files, problems
from syftd.sync.parts import Parts, row_of
from syftd.sync.publish import Publish
from syftd.sync.versions import Versions
from syftd.tree.scanner import Findings, Seen

_RECENT_SECONDS = 600.0
_OF_NAMES = ("unreadable", "name-clash", "bad-name")
"""Kinds of problems that a scan finds about what it could not take in."""


class OwnTree:
    """Takes what was seen in the owner's datasite and makes it true: index, events and outbox rows in one commit."""

    def __init__(self, parts: Parts, publish: Publish, versions: Versions) -> None:
        self._parts = parts
        self._publish = publish
        self._versions = versions
        self._absent: dict[RelPath, Seen] = {}
        self._closed: set[RelPath] = set()
        """Permission files that could not be read. Whoever makes one readable again changes nothing else about it."""
        self._recent_deletions: deque[tuple[float, int]] = deque()
        self._found_again: set[tuple[str, str]] = set()
        """The problems that were found since the latest scan from top to bottom began."""

    def load_rules(self) -> None:
        """Compiles every permission file that the index knows; called once at start."""
        parts = self._parts
        for path in files.permission_files(parts.db, parts.me):
            self._compile(path)

    def take(self, findings: Findings, *, final: bool) -> list[RelPath]:
        """Accepts findings; deletions wait for the `final` batch of a scan so that the guard judges them together.

        Returns the paths that changed. Everything that cannot be taken now is looked at again later.
        """
        parts = self._parts
        self._tell_problems(findings)
        seen: dict[RelPath, Seen] = {}
        for item in findings.seen:
            if item.stat is None:
                self._absent[item.path] = item
            else:
                self._absent.pop(item.path, None)
                seen[item.path] = item
        if final:
            for path, item in self._absent.items():
                if parts.disk.stat(parts.me, path) is None:
                    seen[path] = item
            self._absent.clear()
        changed = self._accept(seen) if seen else []
        if final:
            self._relent()
            self._open_again()
        return changed

    def _accept(self, seen: dict[RelPath, Seen], *, confirmed: bool = False) -> list[RelPath]:
        parts = self._parts
        rows = files.get_many(parts.db, parts.me, seen)
        accepted = {path: Content(row.sha256, row.size, row.executable) for path, row in rows.items()}
        plan = plan_own({path: _content(item) for path, item in seen.items()}, accepted)
        changes = list(plan.changes)
        if plan.deletions and not confirmed:
            changes = self._guard(changes, plan.deletions)
        changed = {change.path for change in changes}
        touched = [item for path, item in seen.items() if item.stat is not None and path not in changed]
        contents = {
            item.digest: item.content for item in seen.values() if item.digest is not None and item.content is not None
        }
        with parts.db.commit():
            files.put(parts.db, parts.me, (_row(item) for item in touched))
            rules = [item.path for item in touched if item.path.is_permission_file]
            for path in rules:
                # What is in force may be from a moment in between, as when syftd started just then.
                self._compile(path)
                self._publish.rules_changed(path.parent)
            self.commit(changes, {path: _row(seen[path]) for path in changed if seen[path].stat}, parts.me, contents)
            if rules:
                self._publish.build_all(contents)
        for item in touched:
            if not item.settled:
                parts.look_again(parts.me, item.path)
        return [change.path for change in changes]

    def commit(
        self, changes: Sequence[OwnChange], rows: dict[RelPath, files.FileRow], by: str, contents: dict[Digest, bytes]
    ) -> None:
        """Inside the caller's transaction: the index, the events, the rules and what each reader must be told."""
        parts = self._parts
        if not changes:
            return
        now = parts.clock.now()
        files.put(parts.db, parts.me, rows.values())
        files.drop(parts.db, parts.me, (change.path for change in changes if change.after is None))
        events.append(
            parts.db,
            (
                events.Event(
                    change.path,
                    change.after.sha256 if change.after else None,
                    change.after.size if change.after else None,
                    change.before.sha256 if change.before else None,
                    by,
                    now,
                )
                for change in changes
            ),
        )
        for change in changes:
            if change.path.is_permission_file:
                self._compile(change.path)
                self._publish.rules_changed(change.path.parent)
        self._publish.dirty([change.path for change in changes])
        self._versions.accepted({change.path: change.after.sha256 for change in changes if change.after}, contents)
        self._publish.build_all(contents)

    def _compile(self, path: RelPath) -> None:
        """Puts the permission file on disk into force; one that cannot be read or understood closes its subtree."""
        parts = self._parts
        directory = path.parent
        try:
            if parts.disk.stat(parts.me, path) is None:
                parts.access.drop(directory)
                parts.solved("rules", path)
                return
            text, _ = parts.disk.read(parts.me, path, MAX_FILE_BYTES)
            parts.access.set(directory, text)
            reason = parts.access.problems().get(directory)
            if reason is not None:
                raise Malformed(reason)
        except ItemError as error:
            if not isinstance(error, Malformed):
                self._closed.add(path)
            parts.access.broken(directory, str(error))
            parts.problem(
                "rules", path, f"{path} cannot be used: {error}. Nobody but you can read or write below “{directory or '.'}”.",
                f"Correct {path}; `syftd access {directory or '.'}` shows what is in force.",
            )  # fmt: skip
        else:
            parts.solved("rules", path)

    def unreadable_rules(self, path: RelPath, reason: str) -> None:
        """A permission file that exists and cannot be read governs its subtree and grants nothing."""
        self._closed.add(path)
        self._publish.close(path.parent, reason)

    def _open_again(self) -> None:
        """Puts permission files into force that can be read again."""
        parts = self._parts
        for path in sorted(self._closed):
            row = files.get(parts.db, parts.me, path)
            try:
                readable = row is not None and parts.disk.read(parts.me, row.spelling, MAX_FILE_BYTES) is not None
            except ItemError:
                continue
            self._closed.discard(path)
            if readable:
                self._compile(path)
                with parts.db.commit():
                    self._publish.rules_changed(path.parent)
                    self._publish.build_all()

    # -- the guard -------------------------------------------------------------------------------------------------

    def _guard(self, changes: list[OwnChange], deletions: int) -> list[OwnChange]:
        parts = self._parts
        now = parts.clock.monotonic()
        while self._recent_deletions and self._recent_deletions[0][0] < now - _RECENT_SECONDS:
            self._recent_deletions.popleft()
        recent = sum(count for _, count in self._recent_deletions)
        halt = problems.halt_on(parts.db, "own", parts.me)
        reason = self._foreign_root() or judge_deletions(
            deletions + recent, lambda most: files.count(parts.db, parts.me, most) + recent, parts.deletion_limit
        )
        if reason is None and halt is None:
            self._recent_deletions.append((now, deletions))
            return changes
        gone = {change.path for change in changes if change.after is None}
        if halt is not None:
            gone |= {RelPath(path) for path in halt.paths}
        self.halt("own", reason or (halt.reason if halt else ""), sorted(gone))
        return [change for change in changes if change.after is not None]

    def _foreign_root(self) -> str | None:
        """Deletions are believed only in the folder that we know: an empty mount point has no marker."""
        parts = self._parts
        try:
            parts.disk.check_marker(parts.me, parts.db.meta("datasite_id") or "")
        except RootMissing as error:
            return str(error)
        return None

    def halt(self, kind: str, reason: str, paths: Sequence[str]) -> None:
        """Stops for a person; the same kind of halt again only takes in more paths."""
        parts = self._parts
        old = problems.halt_on(parts.db, kind, parts.me)
        if old is not None and tuple(old.paths) == tuple(paths):
            return  # Every scan finds the same files gone, and may word it in another way; at rest nothing is written.
        plan = old.id if old else "h-" + parts.random.token(4)
        with parts.db.commit():
            problems.halt(parts.db, problems.Halt(plan, kind, parts.me, parts.clock.now(), reason, tuple(paths)))
            parts.problem(
                "halted", parts.me,
                f"Stopped before telling anyone that {len(paths)} of your files are deleted: {reason}.",
                f"If you meant it: `syftd confirm {plan}`. If not: `syftd reject {plan}` brings back what history "
                "holds.",
                plan,
            )  # fmt: skip
            if old is None:
                parts.note("halted", plan, reason=reason, files=len(paths))

    def _relent(self) -> None:
        """Ends a halt whose files are all there again, as when a disk was mounted late: nothing is left to ask."""
        parts = self._parts
        halt = problems.halt_on(parts.db, "own", parts.me)
        if halt is None or any(parts.disk.stat(parts.me, path) is None for path in halt.paths):
            return
        with parts.db.commit():
            problems.drop_halt(parts.db, halt.id)
            parts.solved("halted", parts.me)
            parts.note("returned", halt.id, files=len(halt.paths))

    def confirm(self, halt: problems.Halt) -> int:
        """Carries out the deletions that were held back; those whose file is there again are left alone."""
        parts = self._parts
        parts.disk.ensure_marker(parts.me, parts.db.meta("datasite_id") or "")
        gone = {
            RelPath(path): Seen(RelPath(path), path, None, None, None, True)
            for path in halt.paths
            if parts.disk.stat(parts.me, path) is None
        }
        with parts.db.commit():
            problems.drop_halt(parts.db, halt.id)
            parts.solved("halted", parts.me)
            parts.note("confirmed", halt.id, files=len(gone))
            self._accept(gone, confirmed=True)
        return len(gone)

    # -- what people should know -----------------------------------------------------------------------------------

    @property
    def troubled(self) -> bool:
        """Whether something could not be taken in when it was last looked at."""
        return bool(self._standing())

    def walk_begins(self) -> None:
        """A scan from top to bottom begins: what it does not find again is solved."""
        self._found_again.clear()

    def walked(self) -> None:
        """That scan has ended."""
        for kind, subject in self._standing() - self._found_again:
            self._parts.solved(kind, subject)

    def _standing(self) -> set[tuple[str, str]]:
        # The same kinds are shown of mirrors, whose subjects begin with an address.
        shown = problems.subjects(self._parts.db, *_OF_NAMES)
        return {(kind, subject) for kind, subject in shown if "@" not in subject.partition("/")[0]}

    def _found(self, kind: str, subject: str, text: str, remedy: str) -> None:
        self._found_again.add((kind, subject))
        self._parts.problem(kind, subject, text, remedy)

    def _tell_problems(self, findings: Findings) -> None:
        parts = self._parts
        for path in findings.in_motion:
            parts.look_again(parts.me, path)
        for prefix, reason in findings.unknown:
            self._found(
                "unreadable", prefix or ".", f"{prefix or '.'} cannot be read: {reason}. Nothing below it counts as deleted.",
                "Make it readable for you, or put it into syftignore.",
            )  # fmt: skip
            if prefix == PERMISSION_FILE or prefix.endswith("/" + PERMISSION_FILE):
                self.unreadable_rules(RelPath(prefix), reason)
        for path, names in findings.clashes:
            self._found(
                "name-clash", path, f"{len(names)} names are the same path “{path}” to others: {', '.join(map(ascii, names))}.",
                "Rename all but one; none of them is shared until then.",
            )  # fmt: skip
        for name, reason in findings.invalid:
            self._found("bad-name", name, f"“{name}” cannot be shared: {reason}.", "Rename it to share it.")
        for link in findings.symlinks:
            if link == PERMISSION_FILE or link.endswith("/" + PERMISSION_FILE):
                self.unreadable_rules(RelPath(link), "it is a symbolic link, which is never followed")


def _content(item: Seen) -> Content | None:
    if item.stat is None or item.digest is None:
        return None
    return Content(item.digest, item.stat.size, item.stat.executable)


def _row(item: Seen) -> files.FileRow:
    assert item.stat is not None and item.digest is not None
    return row_of(item.path, item.spelling, item.digest, item.stat, item.settled)
