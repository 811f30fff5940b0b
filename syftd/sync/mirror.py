"""Bringing a mirror to rest: for each path the planner's one step, carried out after a last look at the disk."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field

from syftd.errors import DiskFull, ItemError, NameClash, RootMissing, Stale
from syftd.names import Digest, Email, RelPath
from syftd.plan.mirror import Sides, Step, plan_mirror
from syftd.state import contacts, files, messages, problems, streams
from syftd.sync.earlier import LEFT_OVER, Earlier, Knowledge
from syftd.sync.fetch import Fetch
from syftd.sync.parts import Parts, row_of, stat_of
from syftd.tree.scanner import Findings, Seen
from syftd.tree.stage import Staged
from syftd.tree.stat import Stat

_HASH_HERE = 1024 * 1024
_MODE_BYTES = 16 * 1024 * 1024
"""A larger file is not written anew only because its owner made it executable."""
_ASKED_AT_ONCE = 512
_LONGEST_PAUSE = 86400.0


@dataclass(frozen=True, slots=True)
class Edit:
    """A local change in a mirror that its owner has not been asked about."""

    path: RelPath
    spelling: str
    before: Digest | None
    after: Digest | None
    stat: Stat | None


@dataclass
class _Batch:
    """What one pass over some paths did, to be committed together after one durability barrier."""

    rows: list[files.FileRow] = field(default_factory=list)
    gone: list[RelPath] = field(default_factory=list)
    trashed: list[problems.Trashed] = field(default_factory=list)
    placed: set[Digest] = field(default_factory=set)
    edits: list[Edit] = field(default_factory=list)
    missing: list[RelPath] = field(default_factory=list)
    """Paths whose small content is nowhere here; their owner is asked for it."""
    waiting: set[RelPath] = field(default_factory=set)
    """Paths that cannot be written before their content is here, be it small or large."""


@dataclass(frozen=True, slots=True)
class _Known:
    """What is remembered of the paths of one pass, read together."""

    told: dict[RelPath, streams.Told]
    rows: dict[RelPath, files.FileRow]
    drafts: dict[RelPath, streams.Draft]


def _new_names_first(paths: list[RelPath], told: Collection[RelPath]) -> list[RelPath]:
    """A renamed file appears under its new name before the old one goes, so that it is never in neither place.

    Only what stands in the way goes first: a file where a folder comes, and the files of a folder where a file comes.
    """
    if not told or len(told) == len(paths):
        return paths
    above = {path[:end] for path in told for end, char in enumerate(path) if char == "/"}

    def place(path: RelPath) -> int:
        if path in told:
            return 1
        in_the_way = path in above or any(path[:end] in told for end, char in enumerate(path) if char == "/")
        return 0 if in_the_way else 2

    return sorted(paths, key=place)


def has_root(parts: Parts, site: Email) -> bool:
    """Whether a datasite's folder is there."""
    try:
        return parts.disk.kind(site, "") == "directory"
    except RootMissing:
        return False


class Mirror:
    """Keeps `datasites/<peer>/` equal to what the peer told, and turns local edits into drafts."""

    def __init__(self, parts: Parts, fetch: Fetch, ask_again: Callable[[Email, list[RelPath]], None]) -> None:
        self._parts = parts
        self._fetch = fetch
        self._ask_again = ask_again
        fetch.lost = self._content_lost
        self._kept: dict[Email, dict[RelPath, None]] = {}
        self._failed: dict[Email, dict[RelPath, None]] = {}
        """Files that their owner has removed and whose large content is still to appear under another name."""
        self._refused: dict[tuple[Email, RelPath], str] = {}
        """Why our change was turned down, until the file could be looked at; else it would be proposed for ever."""
        self._asked: dict[tuple[Email, RelPath], tuple[float, float]] = {}
        """When a missing content may be asked for again (monotonic seconds), and the pause after that."""
        self.earlier = Earlier(parts)
        self.edited: Callable[[Email, list[Edit]], None] = lambda owner, edits: None
        """Takes local edits; set by the wiring, because proposing knows the mirror too."""
        self.placed: Callable[[list[Digest]], None] = lambda digests: None
        """Told which contents are in place, so that their messages can be acknowledged."""
        self.changed: Callable[[Email, list[RelPath]], None] = lambda owner, paths: None
        """Told which paths of a mirror are different now."""

    def start(self) -> None:
        """After a restart: everything that is told and not in place is looked at again."""
        for owner in contacts.in_state(self._parts.db, "accepted"):
            cursor = ""
            while batch := streams.told_after(self._parts.db, owner, cursor, 512):
                cursor = batch[-1].path
                behind = [
                    item.path
                    for item in batch
                    if (row := files.get(self._parts.db, owner, item.path)) is None or row.sha256 != item.sha256
                ]
                if behind:
                    self.settle(owner, behind, {})
            # A crash between “its owner removed it” and the removal itself leaves files that nobody tells of any more.
            self.settle(owner, streams.held_untold(self._parts.db, owner), {})

    def ensure_root(self, owner: Email) -> None:
        """Makes the folder of a mirror. One that was there and has vanished is filled anew by its owner: a missing
        folder is never taken for the wish to delete what its owner has."""
        parts = self._parts
        if has_root(parts, owner):
            return
        parts.disk.check_marker(parts.me, parts.db.meta("datasite_id") or "")
        parts.disk.make_private_dir(owner, "")
        if files.count(parts.db, owner):
            with parts.db.commit():
                files.drop_site(parts.db, owner)
            self._ask_again(owner, [])

    def found(self, owner: Email, findings: Findings) -> None:
        """Takes what a scan saw in a mirror."""
        parts = self._parts
        for path in findings.in_motion:
            parts.look_again(owner, path)
        seen = {item.path: item for item in findings.seen}
        if seen:
            self._pass(owner, list(seen), {}, {}, seen)

    def settle(
        self, owner: Email, paths: Iterable[RelPath], contents: Mapping[Digest, bytes],
        refused: Mapping[RelPath, str] | None = None,
    ) -> None:  # fmt: skip
        """Takes one step for each path. `contents` is small content that is at hand; `refused` are paths whose draft
        was turned down, with the reason: what is there goes to the trash and the owner's word is put back."""
        unique = list(dict.fromkeys(paths))
        if unique:
            self._pass(owner, unique, contents, refused or {}, {})
        self._judge_earlier(owner)

    def walked(self, owner: Email) -> None:
        """The mirror has been looked at from top to bottom."""
        self.earlier.walked(owner)
        self._judge_earlier(owner)

    def _judge_earlier(self, owner: Email) -> None:
        """Takes up what had to wait until the owner has told everything, as soon as that is so."""
        waiting = self.earlier.take(owner)
        if waiting is None:
            return
        seen = {path: item for path, item in waiting.items() if item is not None}
        left_over = self._pass(owner, list(waiting), {}, {}, seen, judging=True)
        failed = [path for path in waiting if path in self._failed.get(owner, {})]
        for path in failed:
            self.earlier.wait(owner, path, seen.get(path))
        if failed:
            return  # They could not be moved now, and must not become wishes; the next retry comes back here.
        self.earlier.judged(owner, left_over)

    def content_ready(self, sha256: Digest) -> None:
        """Large content has arrived: put it into every place that waits for it."""
        for owner, path in streams.told_paths_with(self._parts.db, sha256):
            self.settle(owner, [path], {})
        self.retry_removals()

    def _content_lost(self, owner: Email, sha256: Digest) -> None:
        """The owner does not have the large content that it told of, or told it wrongly: it is asked to tell again."""
        told = streams.told_paths_with(self._parts.db, sha256)
        paths = [path for peer, path in told if peer == owner][:_ASKED_AT_ONCE]
        if paths:
            self._ask_again(owner, paths)

    def retry(self) -> None:
        """Takes up again what could not be put in its place: a full disk, a missing right, a name in the way."""
        failed, self._failed = self._failed, {}
        for owner, paths in failed.items():
            peer = contacts.get(self._parts.db, owner)
            if peer is not None and peer.state == "accepted":
                self.settle(owner, paths, {})

    def retry_removals(self) -> None:
        """Takes up again what was not removed yet because its content was still to appear under another name."""
        waiting, self._kept = self._kept, {}
        for owner, paths in waiting.items():
            self.settle(owner, paths, {})

    # -- one pass --------------------------------------------------------------------------------------------------

    def _pass(
        self, owner: Email, paths: list[RelPath], contents: Mapping[Digest, bytes], refused: Mapping[RelPath, str],
        seen: Mapping[RelPath, Seen], *, judging: bool = False,
    ) -> int:  # fmt: skip
        """Returns how many files of an earlier contact went to the trash."""
        parts = self._parts
        self.ensure_root(owner)
        knowledge = self.earlier.knowledge(owner, judging=judging)
        batch = _Batch()
        withheld = problems.withheld(parts.db, owner)
        known = _Known(
            streams.told_many(parts.db, owner, paths), files.get_many(parts.db, owner, paths),
            streams.drafted(parts.db, owner, paths),
        )  # fmt: skip
        ordered = _new_names_first(paths, known.told)
        self._refused.update({(owner, path): reason for path, reason in refused.items()})
        for number, path in enumerate(ordered):
            reason = self._refused.get((owner, path))
            try:
                self._step(owner, path, known, knowledge, contents, seen.get(path), withheld, batch)
                continue
            except Stale:
                # Somebody saved just now. If that goes away again before it is looked at, nothing else would bring this back.
                parts.look_again(owner, path)
                self._failed.setdefault(owner, {})[path] = None
                reason = None
            except DiskFull as error:
                self._failed.setdefault(owner, {}).update(dict.fromkeys(ordered[number:]))
                parts.problem("disk-full", owner, str(error), error.remedy or "Free some space; syftd continues by itself.")
                break
            except ItemError as error:
                self._failed.setdefault(owner, {})[path] = None
                kind = "name-clash" if isinstance(error, NameClash) else "cannot-write"
                parts.problem(
                    kind, f"{owner}/{path}", f"{owner}'s file {path} cannot be put here: {error}",
                    error.remedy or "syftd tries again by itself.",
                )  # fmt: skip
            finally:
                # What could not be done yet stays turned down, or it would be proposed once more.
                if reason is not None and (path in batch.waiting or path in self._failed.get(owner, {})):
                    self._refused[(owner, path)] = reason
        self._commit(owner, batch)
        return sum(item.why == LEFT_OVER for item in batch.trashed)

    def _step(
        self, owner: Email, path: RelPath, known: _Known, knowledge: Knowledge, contents: Mapping[Digest, bytes],
        seen: Seen | None, withheld: set[str], batch: _Batch,
    ) -> None:  # fmt: skip
        parts = self._parts
        told = known.told.get(path)
        row = known.rows.get(path)
        spelling = row.spelling if row else (seen.spelling if seen else path)
        stat, disk = self._observe(owner, path, spelling, row, seen)
        if stat is not None and disk is None:
            return  # Large or in motion: the scanner hashes it on the pool and comes back.
        draft = known.drafts.get(path)
        # A job of mine may be dropped here before its owner has accepted me or told anything.
        mine = path.startswith(f"app_data/job/inbox/{parts.me}/")
        sides = Sides(
            told.sha256 if told else None, row.sha256 if row else None, disk, draft is not None,
            complete=mine or knowledge.complete, earlier=not mine and row is None and knowledge.earlier(stat),
        )  # fmt: skip
        step = plan_mirror(sides)
        if step is Step.WAIT and draft is None:
            self.earlier.wait(owner, path, seen)
        refused = self._refused.pop((owner, path), None)
        if refused is not None and step in (Step.PROPOSE, Step.WAIT):
            step = Step.LOSE if disk is not None else Step.WRITE
        if step is Step.ADOPT or (
            step is Step.NOTHING
            and stat is not None
            and row is not None
            and (stat != stat_of(row) or (told is not None and told.executable != stat.executable))
        ):
            assert stat is not None and disk is not None
            stat = self._may_run(owner, spelling, disk, stat, told)
            batch.rows.append(row_of(path, spelling, disk, stat, seen.settled if seen else True))
            batch.placed.add(disk)
            if draft is not None and draft.after == disk:
                streams.drop_draft(parts.db, owner, path)
        elif step is Step.FORGET:
            batch.gone.append(path)
        elif step is Step.WRITE:
            assert told is not None
            self._write(owner, told, spelling, disk, stat, contents, "replaced by its owner", batch)
        elif step is Step.LOSE:
            self._lose(owner, path, told, spelling, disk, stat, contents, refused, batch)
        elif step is Step.REMOVE and path not in withheld:
            if row is not None and streams.is_wanted(parts.db, row.sha256, owner) and not self._in_the_way(owner, path):
                self._kept.setdefault(owner, {})[path] = None
                return
            why = LEFT_OVER if sides.earlier else "removed by its owner"
            self._remove(owner, path, spelling, disk, stat, why, batch)
        elif step is Step.PROPOSE:
            batch.edits.append(Edit(path, spelling, sides.told, disk, stat))

    def _may_run(self, owner: Email, spelling: str, disk: Digest, stat: Stat, told: streams.Told | None) -> Stat:
        """Gives a file that holds the right content the owner's word on whether it may be executed."""
        parts = self._parts
        if told is None or told.executable == stat.executable or stat.size > _MODE_BYTES:
            return stat
        content, _ = parts.disk.read(owner, spelling, _MODE_BYTES)
        placed, _ = parts.disk.replace(
            owner, spelling, content, executable=told.executable, expected=disk, known=stat
        )
        return placed

    def _in_the_way(self, owner: Email, path: RelPath) -> bool:
        """Whether something else is told where this file is: below it, or in place of a folder that it lies in."""
        parts = self._parts
        above = (path[:end] for end, char in enumerate(path) if char == "/")
        return streams.any_told_below(parts.db, owner, path) or any(
            streams.told(parts.db, owner, each) for each in above
        )

    def _observe(
        self, owner: Email, path: RelPath, spelling: str, row: files.FileRow | None, seen: Seen | None
    ) -> tuple[Stat | None, Digest | None]:
        parts = self._parts
        stat = parts.disk.stat(owner, spelling)
        if stat is None:
            return None, None
        if seen is not None and seen.stat == stat:
            return stat, seen.digest
        if row is not None and row.settled and stat == stat_of(row):
            return stat, row.sha256
        if stat.size > _HASH_HERE:
            parts.look_again(owner, path)
            return stat, None
        digest, stat = parts.disk.digest(owner, spelling)
        return stat, digest

    # -- steps -----------------------------------------------------------------------------------------------------

    def _content(
        self, owner: Email, told: streams.Told, contents: Mapping[Digest, bytes], batch: _Batch
    ) -> bytes | Staged | None:
        content = contents.get(told.sha256)
        if content is None and told.chunks is None:
            content = messages.content(self._parts.db, told.sha256)
        if content is None:
            content = self._elsewhere(told)
        if content is not None:
            return content
        if told.chunks is not None:
            staged = self._fetch.want(owner, told.sha256, told.size, told.chunks)
            if staged is None:
                batch.waiting.add(told.path)
            return staged
        batch.missing.append(told.path)
        batch.waiting.add(told.path)
        return None

    def _elsewhere(self, told: streams.Told) -> bytes | None:
        """Small content from the trash, verified; None when there is none."""
        parts = self._parts
        if told.size > _HASH_HERE:
            return None  # Large content is looked for locally, chunk by chunk, when it is fetched.
        for trashed in problems.trash_with(parts.db, told.sha256):
            try:
                content = parts.disk.restore(trashed.id)
            except ItemError:
                continue  # Swept or damaged; the next entry or the owner has it.
            if Digest.of(content) == told.sha256:
                return content
        return None

    def _write(
        self, owner: Email, told: streams.Told, spelling: str, disk: Digest | None, stat: Stat | None,
        contents: Mapping[Digest, bytes], why: str, batch: _Batch,
    ) -> bool:  # fmt: skip
        parts = self._parts
        content = self._content(owner, told, contents, batch)
        if content is None:
            return False
        placed, trash = parts.disk.replace(
            owner, spelling, content, executable=told.executable, expected=disk, known=stat
        )
        batch.rows.append(row_of(told.path, spelling, told.sha256, placed))
        batch.placed.add(told.sha256)
        if trash is not None and disk is not None:
            size = stat.size if stat else 0
            batch.trashed.append(problems.Trashed(trash, owner, told.path, disk, size, parts.clock.now(), why))
        if isinstance(content, Staged):
            self._fetch.taken(told.sha256)
        return True

    def _remove(
        self,
        owner: Email,
        path: RelPath,
        spelling: str,
        disk: Digest | None,
        stat: Stat | None,
        why: str,
        batch: _Batch,
    ) -> None:
        parts = self._parts
        trash = parts.disk.remove(owner, spelling, expected=disk, known=stat)
        batch.gone.append(path)
        if trash is not None and disk is not None:
            size = stat.size if stat else 0
            batch.trashed.append(problems.Trashed(trash, owner, path, disk, size, parts.clock.now(), why))

    def _lose(
        self, owner: Email, path: RelPath, told: streams.Told | None, spelling: str, disk: Digest | None,
        stat: Stat | None, contents: Mapping[Digest, bytes], refused: str | None, batch: _Batch,
    ) -> None:  # fmt: skip
        """The local content goes to the trash first; the owner's follows as soon as it is at hand."""
        parts = self._parts
        why = refused or f"{owner} changed it too"
        before = len(batch.trashed)
        if told is None or not self._write(owner, told, spelling, disk, stat, contents, why, batch):
            self._remove(owner, path, spelling, disk, stat, why, batch)
        if len(batch.trashed) > before:
            parts.problem(
                "not-taken", f"{owner}/{path}", f"Your change to {owner}'s {path} was not taken: {why}.",
                f"Your version is in the trash: `syftd restore datasites/{owner}/{path}` brings it back here, "
                "which proposes it again.",
            )  # fmt: skip
            parts.note("not-taken", path, owner=owner, reason=why)

    def _solved(self, owner: Email, batch: _Batch) -> None:
        """Paths that are in place now have no problem any more, except one that this very pass has raised."""
        parts = self._parts
        lost = {item.path for item in batch.trashed}
        # “not-taken” is not among them: that the owner's file is in place is what it tells of.
        kinds = ("cannot-write", "name-clash", "disk-full")
        shown = problems.subjects(parts.db, *kinds)
        if not shown:
            return
        for row in batch.rows:
            for kind, subject in ((kind, f"{owner}/{row.path}") for kind in kinds):
                if (kind, subject) in shown and row.path not in lost:
                    parts.solved(kind, subject)
        if ("disk-full", owner) in shown:
            parts.solved("disk-full", owner)

    def _may_ask(self, owner: Email, path: RelPath) -> bool:
        """Whether an owner is asked (again) for a content now: at once, then after pauses that double, up to a day."""
        now = self._parts.clock.monotonic()
        due, pause = self._asked.get((owner, path), (now, self._parts.tuning.resync_seconds))
        if now < due:
            return False
        self._asked[(owner, path)] = (now + pause, min(2 * pause, _LONGEST_PAUSE))
        return True

    def _commit(self, owner: Email, batch: _Batch) -> None:
        parts = self._parts
        if batch.rows or batch.gone or batch.trashed:
            parts.disk.sync()
            with parts.db.commit():
                files.put(parts.db, owner, batch.rows)
                files.drop(parts.db, owner, batch.gone)
                problems.trashed(parts.db, batch.trashed)
                messages.drop_content(parts.db, batch.placed)
            self._solved(owner, batch)
            for digest in batch.placed:
                self._fetch.drop(digest)
            self.placed(list(batch.placed))
            self.changed(owner, [*(row.path for row in batch.rows), *batch.gone])
        for row in batch.rows:
            self._asked.pop((owner, row.path), None)
        missing = [path for path in batch.missing if self._may_ask(owner, path)]
        if missing:
            self._ask_again(owner, missing)
        if batch.edits:
            self.edited(owner, batch.edits)
