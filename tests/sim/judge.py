"""What must hold in a world: some of it at every step, the rest when everything has come to rest.

The names I1 … I16 are those of the engine's invariants, with I17 (nothing leaves a job that was not let out) added; the
text of each failure begins with one. `checks` counts how often each was looked at, since a check that never runs holds.
"""

from __future__ import annotations

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any, TypeVar

from syftd.errors import ItemError
from syftd.names import Digest, Email
from syftd.plan.guard import too_many_deletions
from syftd.state import contacts, files, messages, outbox, streams, views
from syftd.transport.mailbox import Box
from syftd.wire import codec
from syftd.wire.messages import Limits
from tests.sim.adversity import require
from tests.sim.jobs import Runs, left_in
from tests.sim.kernel import passed_over
from tests.sim.world import Site, World, readable

INVARIANTS = {
    "I1": "convergence: a mirror is what its owner lets it be",
    "I2": "the index is what is on the disk",
    "I3": "one verdict for each proposal, and its proposer learns it",
    "I4": "each message takes effect at most once",
    "I5": "no file is replaced that is not what the change was made from",
    "I6": "no change that the rules did not allow, for the channel's sender",
    "I7": "no byte in a reader's channel that the reader may not read",
    "I8": "each reader's stream is numbered without gaps, and no number has two meanings",
    "I9": "no content that a person saved is lost",
    "I10": "progress: the world becomes quiet, and a bad message delays nobody",
    "I11": "starting again and again changes nothing",
    "I12": "nothing is written outside of the datasites",
    "I13": "a plan that deletes too much waits for a person",
    "I14": "queues, windows, memory and descriptors stay within their bounds",
    "I15": "an idle world writes nothing and asks once",
    "I16": "the files that ran are the files that were approved",
    "I17": "nothing that a job left gets out before its owner lets it",
}

T = TypeVar("T")
_LIMITS = Limits()
_QUEUE = 500
_DESCRIPTORS = 120
_KEPT = 64
_RECENT_SECONDS = 600.0
"""Deletions of so long ago count as one with those of now (docs/architecture.md)."""


class Judge:
    """Watches everything that is stored for others, and judges a world at rest."""

    def __init__(self, world: World, runs: dict[Email, Runs] | None = None, *, apart: frozenset[Email] = frozenset()) -> None:
        """`apart`: people who take part without an engine, and for whom nothing need come to rest."""
        self._world = world
        self._runs = {} if runs is None else runs
        self._apart = apart
        self._told: dict[tuple[Box, str], dict[int, Digest]] = defaultdict(dict)
        self._voided: dict[tuple[Box, str], set[int]] = defaultdict(set)
        self._verdicts: dict[tuple[Email, Email, str], str] = {}
        self._asked: dict[tuple[Email, Email, str | None], set[str]] = defaultdict(set)
        """The ids of the proposals that asked for something, by (datasite, sender of the channel, digest)."""
        self.checks: Counter[str] = Counter()
        self.sent: dict[tuple[Email, Email], set[bytes]] = defaultdict(set)
        """Every content that was put into the channel from an owner to a reader."""
        world.watchers.append(self.stored)

    # -- always ----------------------------------------------------------------------------------------------------

    def stored(self, site: Site, box: Box, name: str, payload: bytes) -> None:
        """I3, I7, I8 and I17, at the moment in which an object goes out."""
        if box.kind == "inbox":
            self._asks(box, payload)
            return
        if box.kind == "blobs":
            self._let_out(site, payload)
            return
        message = codec.decode_events(payload, _LIMITS)
        reader = box.peer
        require(message.owner == site.email == box.datasite, f"I7: {message.owner} speaks in {box}")
        self.checks.update(("I3", "I7", "I8", "I17"))
        for change in message.changes:
            if change.after is not None:
                require(site.parts.access.may_read(reader, change.path), f"I7: {reader} is told {change.path}")
                with passed_over():
                    require(site.parts.hidden(change.path) is None, f"I7: {change.path} never travels")
            if change.content is not None:
                self.sent[site.email, reader].add(change.content)
                self._let_out(site, change.content)
        for verdict in message.verdicts:
            known = self._verdicts.setdefault((site.email, reader, verdict.proposal), verdict.outcome)
            require(known == verdict.outcome, f"I3: proposal {verdict.proposal} was {known} and is {verdict.outcome}")
        if message.stream is not None:
            key = (box, message.stream.epoch)
            digest = Digest.of(payload)
            known_digest = self._told[key].setdefault(message.stream.sequence, digest)
            require(known_digest == digest, f"I8: number {message.stream.sequence} to {reader} is used twice")
            self._voided[key].update(message.stream.voided)

    def _asks(self, box: Box, payload: bytes) -> None:
        try:
            proposal = codec.decode_proposal(payload, _LIMITS)
        except ItemError:
            return  # Garbage asks for nothing.
        for change in proposal.changes:
            self._asked[box.datasite, box.peer, change.after].add(proposal.id)

    def asked(self, datasite: Email, sender: Email, digest: str) -> None:
        """Somebody without an engine asked for a content, in the own channel."""
        self._asked[datasite, sender, digest].add("by hand")

    def _let_out(self, site: Site, content: bytes) -> None:
        left = left_in(content)
        runs = self._runs.get(site.email)
        if left is None or runs is None:
            return
        require(left in runs.out, f"I17: what run {left[1]} of job {left[0]} left goes out, and nobody let it")

    def turned(self, site: Site) -> None:
        """I14, after a turn of a control thread."""
        self.checks["I14"] += 1
        assert len(site.queue) < _QUEUE, f"I14: {len(site.queue)} pieces of work wait at {site.email}"
        assert len(site.pool.waiting) < _QUEUE, f"I14: {len(site.pool.waiting)} pieces of work wait for {site.email}'s pool"
        if site.machine is not None:
            open_now = len(site.machine.descriptors)
            assert open_now < _DESCRIPTORS, f"I14: {site.email} has {open_now} files open"
        for peer, kept in site.engine.inbox._kept.items():
            assert len(kept) <= _KEPT, f"I14: {len(kept)} envelopes of {peer} wait at {site.email}"
        if site.alive:
            tuning = site.tuning
            for peer in contacts.in_state(site.db, "accepted"):
                count, size = outbox.unread(site.db, peer)
                assert count <= tuning.window_messages, f"I14: {count} messages for {peer} lie unread"
                assert size <= tuning.window_bytes + 2 * tuning.envelope_bytes + 100_000, f"I14: {size} bytes lie unread"

    # -- at rest ---------------------------------------------------------------------------------------------------

    def at_rest(self) -> None:
        """Everything that holds when no fault is left and nothing moves any more."""
        for site in self._world.sites.values():
            self._index_is_true(site)
            self._nothing_is_left(site)
            self._applied_once(site)
            self._all_was_asked_for(site)
            self._readers_are_told(site)
            self._stays_inside(site)
        self._streams_are_dense()

    def _index_is_true(self, site: Site) -> None:
        self.checks["I2"] += 1
        for owner in (site.email, *self._peers(site)):
            rows = {str(row.path): str(row.sha256) for row in files.below(site.db, owner, "")}
            tree = _composed(site.tree(owner))
            disk = {path: str(Digest.of(content)) for path, content in tree.items()}
            if owner != site.email:
                rows, disk = (_without_unsent(each, tree, site.email) for each in (rows, disk))
            assert rows == disk, f"I2: {site.email}'s index of {owner} is not what is on the disk: {_apart(rows, disk)}"
        told = dict(
            site.db.all("SELECT path, sha256 FROM event WHERE seq IN (SELECT max(seq) FROM event GROUP BY path)")
        )
        own = {str(row.path): str(row.sha256) for row in files.below(site.db, site.email, "")}
        assert {path: sha for path, sha in told.items() if sha is not None} == own, "I2: events and index differ"

    def _nothing_is_left(self, site: Site) -> None:
        self.checks.update(("I10", "I3"))
        for state in ("due", "void", "sent"):
            rows = [row for row in outbox.in_state(site.db, state) if row.peer not in self._apart]
            assert not rows, f"I10: {site.email} still has {len(rows)} messages in the state {state}"
        assert not messages.intents(site.db), "I10: an intent was never carried out"
        assert not messages.held(site.db), "I10: a proposal is still held"
        for peer in self._peers(site):
            drafts = streams.drafts_to(site.db, peer)
            assert not drafts, f"I3: {site.email} never learnt what became of {[draft.path for draft in drafts]}"
            row = streams.stream(site.db, peer)
            assert row is None or row.gap_since is None, "I10: a gap stays open"
            told = views.reader(site.db, peer)
            assert told is not None and not told.behind, f"I10: {peer} has not been told everything"
        for hub in self._world.hubs.values():
            for box in hub.boxes():
                apart = {box.datasite, box.peer} & self._apart
                # What somebody hostile sends is taken away like everything else.
                if (box.kind in ("inbox", "outbox") and not apart) or (box.kind == "inbox" and box.peer in apart):
                    assert not hub.contents(box), f"I10: objects are left in {box}: {list(hub.contents(box))}"

    def _applied_once(self, site: Site) -> None:
        self.checks["I4"] += 1
        applied = site.db.all(
            "SELECT path, sha256, by, count(*) FROM event WHERE sha256 IS NOT NULL AND by <> ? GROUP BY path, sha256, by",
            site.email,
        )
        for path, sha256, by, times in applied:
            asked = len(self._asked.get((site.email, by, sha256), ()))
            assert times <= max(1, asked), f"I4: {path} was applied {times} times, and asked for {asked} times"

    def _all_was_asked_for(self, site: Site) -> None:
        self.checks["I6"] += 1
        for path, sha256, by in site.db.all("SELECT path, sha256, by FROM event WHERE by <> ?", site.email):
            assert (site.email, by, sha256) in self._asked, f"I6: {path} was changed in the name of {by}, who never asked"

    def _readers_are_told(self, site: Site) -> None:
        self.checks["I1"] += 1
        for reader in self._peers(site):
            other = self._world.sites[reader]
            there = _composed(other.tree(site.email))
            has, should = (_without_unsent(each, there, reader) for each in (there, _composed(readable(site, reader))))
            if other.machine is not None and other.machine.volume.habits.folds_case:
                has, should = _without_clashes(has, should), _without_clashes(should, has)
            assert has == should, f"I1: {reader}'s mirror of {site.email}: {_apart(has, should)}"
            shown = {path for path in should if views.shown(site.db, reader, [path])}
            assert shown == set(should), "I1: the view is not what was shown"

    def _stays_inside(self, site: Site) -> None:
        self.checks["I12"] += 1
        known = {*self._world.sites, *self._apart}
        for path in site.hands.files(""):
            top, _, rest = path.partition("/")
            assert top in ("datasites", ".stage", ".trash", "inbox", "outbox"), f"I12: {path} is outside of every datasite"
            assert top != "datasites" or rest.partition("/")[0] in known, f"I12: {path} is in nobody's datasite"
        if site.machine is not None:
            beside = {name for name, _ in site.machine.volume.root.entries.values()} - {"SyftBox"}
            assert not beside, f"I12: {sorted(beside)} were made outside of the data folder"

    def _streams_are_dense(self) -> None:
        self.checks["I8"] += 1
        for key, numbers in self._told.items():
            there = set(numbers) | self._voided[key]
            assert there == set(range(1, max(there) + 1)), f"I8: {key[0]} has gaps: {sorted(numbers)}"

    def owed(self, owed: dict[Email, set[bytes]]) -> None:
        """I9: what people saved is somewhere: in a tree, in the trash, or kept as an earlier version."""
        for email, contents in owed.items():
            self.checks["I9"] += 1
            site = self._world.sites[email]
            there = {content for top in ("datasites", ".trash") for content in site.hands.files(top).values()}
            for content in sorted(contents - there):
                kept = site.versions.get(Digest.of(content))
                assert kept is not None, f"I9: {content[:60]!r} is nowhere at {email}"

    def _peers(self, site: Site) -> list[Email]:
        return [peer for peer in contacts.in_state(site.db, "accepted") if peer not in self._apart]


def watch_decisions(site: Site, judge: Judge) -> None:
    """I6 and I13: makes a site's engine show each proposal that it is about to carry out, with the channel it came
    through, and each change of its own tree that it is about to make true."""
    _watch_proposals(site, judge)
    _watch_deletions(site, judge)


def _watch_proposals(site: Site, judge: Judge) -> None:
    decide, apply = site.engine.decide, site.engine.apply
    take, carry_out = decide.take, apply.carry_out
    channel: list[Email] = []

    def taking(letter: Any) -> Any:
        channel[:] = [letter.ref.box.peer]
        try:
            return take(letter)
        finally:
            channel.clear()

    def carrying(proposal: Any, found: Any, large: Any) -> Any:
        judge.checks["I6"] += 1
        speaker = channel[0] if channel else proposal.sender  # One that waited for large content has lost its letter.
        require(proposal.sender == speaker, f"I6: {speaker} speaks as {proposal.sender}")
        for change in proposal.changes:
            may = site.parts.access.may_write(proposal.sender, change.path)
            require(may, f"I6: {proposal.sender} may not write {change.path}")
            with passed_over():
                hidden = site.parts.hidden(change.path)
            require(hidden is None, f"I6: {change.path} never travels")
        return carry_out(proposal, found, large)

    decide.take, apply.carry_out = taking, carrying  # type: ignore[method-assign]


def _watch_deletions(site: Site, judge: Judge) -> None:
    own = site.engine.own
    commit, confirm = own.commit, own.confirm
    confirmed: list[bool] = []
    recent: list[tuple[float, int]] = []

    def confirming(halt: Any) -> Any:
        confirmed.append(True)
        try:
            return confirm(halt)
        finally:
            confirmed.clear()

    def committing(changes: Any, rows: Any, by: str, contents: Any) -> Any:
        if by == site.email and not confirmed:
            judge.checks["I13"] += 1
            now = site.world.clock.monotonic()
            recent[:] = [(at, count) for at, count in recent if at >= now - _RECENT_SECONDS]
            before = sum(count for _, count in recent)
            deletions = _deletions(changes) + before if _deletions(changes) else 0
            total = files.count(site.db, site.email) + before
            reason = too_many_deletions(deletions, total, site.parts.deletion_limit)
            require(reason is None, f"I13: {deletions} of {total} files are given up unasked: {reason}")
            recent.append((now, _deletions(changes)))
        return commit(changes, rows, by, contents)

    own.commit, own.confirm = committing, confirming  # type: ignore[method-assign]


def _deletions(changes: Any) -> int:
    """How many files go that do not appear under another name in the same changes."""
    arrived = Counter(change.after.sha256 for change in changes if change.after is not None and change.before is None)
    gone = Counter(change.before.sha256 for change in changes if change.after is None and change.before is not None)
    return (gone - arrived).total()


def _composed(tree: dict[str, bytes]) -> dict[str, bytes]:
    """By path in Unicode form NFC, whatever form a disk keeps."""
    return {unicodedata.normalize("NFC", path): content for path, content in tree.items()}


def _without_unsent(paths: dict[str, T], mirror: dict[str, bytes], me: Email) -> dict[str, T]:
    """Without the job folders of `me` that hold files and no run.sh: they wait for their author, who is told so."""
    inbox = f"app_data/job/inbox/{me}/"
    folders = {path[len(inbox) :].partition("/")[0] for path in mirror if path.startswith(inbox)}
    waiting = tuple(f"{inbox}{name}/" for name in folders if f"{inbox}{name}/run.sh" not in mirror)
    return {path: what for path, what in paths.items() if not path.startswith(waiting)}


def _without_clashes(tree: dict[str, bytes], other: dict[str, bytes]) -> dict[str, bytes]:
    """Without the paths that a disk which folds case cannot hold side by side: there one of them waits."""
    keys = Counter(path.casefold() for path in {*tree, *other})
    return {path: content for path, content in tree.items() if keys[path.casefold()] == 1}


def _apart(has: Mapping[str, object], should: Mapping[str, object]) -> str:
    """How two trees differ, in a few words."""
    extra = sorted(set(has) - set(should))
    missing = sorted(set(should) - set(has))
    other = sorted(path for path in set(has) & set(should) if has[path] != should[path])
    return f"too many {extra}, missing {missing}, other content {other}"


