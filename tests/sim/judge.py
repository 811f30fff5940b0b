"""What must hold in a world: some of it at every object that is sent, the rest when everything has come to rest.

The names I1 … I15 are those of the engine's invariants; the text of each failure begins with one.
"""

from __future__ import annotations

from collections import defaultdict

from syftd.names import Digest, Email
from syftd.state import contacts, events, files, messages, outbox, streams, views
from syftd.transport.mailbox import Box
from syftd.wire import codec
from syftd.wire.messages import Limits
from tests.sim.world import Site, World, readable

_LIMITS = Limits()


class Judge:
    """Watches everything that is stored for readers, and judges a world at rest."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._told: dict[tuple[Box, str], dict[int, Digest]] = defaultdict(dict)
        self._voided: dict[tuple[Box, str], set[int]] = defaultdict(set)
        self._verdicts: dict[tuple[Email, str], str] = {}
        self.sent: dict[tuple[Email, Email], set[bytes]] = defaultdict(set)
        """Every content that was put into the channel from an owner to a reader."""
        world.watchers.append(self.stored)

    def stored(self, site: Site, box: Box, name: str, payload: bytes) -> None:
        """I7 and I8, at the moment in which an object goes out."""
        message = codec.decode_events(payload, _LIMITS)
        reader = box.peer
        assert message.owner == site.email == box.datasite
        for change in message.changes:
            if change.after is not None:
                assert site.parts.access.may_read(reader, change.path), f"I7: {reader} is told {change.path}"
                assert site.parts.hidden(change.path) is None, f"I7: {change.path} never travels"
            if change.content is not None:
                self.sent[site.email, reader].add(change.content)
        for verdict in message.verdicts:
            known = self._verdicts.setdefault((reader, verdict.proposal), verdict.outcome)
            assert known == verdict.outcome, f"I3: proposal {verdict.proposal} was {known} and is {verdict.outcome}"
        if message.stream is not None:
            key = (box, message.stream.epoch)
            digest = Digest.of(payload)
            known_digest = self._told[key].setdefault(message.stream.sequence, digest)
            assert known_digest == digest, f"I8: number {message.stream.sequence} to {reader} is used twice"
            self._voided[key].update(message.stream.voided)

    def at_rest(self) -> None:
        """Everything that holds when no fault is left and nothing moves any more."""
        for site in self._world.sites.values():
            self._index_is_true(site)
            self._nothing_is_left(site)
            self._applied_once(site)
            self._readers_are_told(site)
        self._streams_are_dense()

    def _index_is_true(self, site: Site) -> None:
        for owner in (site.email, *contacts.in_state(site.db, "accepted")):
            rows = {str(row.path): str(row.sha256) for row in files.below(site.db, owner, "")}
            disk = {path: str(Digest.of(content)) for path, content in site.tree(owner).items()}
            assert rows == disk, f"I2: {site.email}'s index of {owner} is not what is on the disk"
        told = dict(
            site.db.all("SELECT path, sha256 FROM event WHERE seq IN (SELECT max(seq) FROM event GROUP BY path)")
        )
        own = {str(row.path): str(row.sha256) for row in files.below(site.db, site.email, "")}
        assert {path: sha for path, sha in told.items() if sha is not None} == own, "I2: events and index differ"

    def _nothing_is_left(self, site: Site) -> None:
        for state in ("due", "void", "sent"):
            rows = outbox.in_state(site.db, state)
            assert not rows, f"I10: {site.email} still has {len(rows)} messages in the state {state}"
        assert not messages.intents(site.db), "I10: an intent was never carried out"
        assert not messages.held(site.db), "I10: a proposal is still held"
        for peer in contacts.in_state(site.db, "accepted"):
            drafts = streams.drafts_to(site.db, peer)
            assert not drafts, f"I3: {site.email} never learnt what became of {[draft.path for draft in drafts]}"
            row = streams.stream(site.db, peer)
            assert row is None or row.gap_since is None, "I10: a gap stays open"
            told = views.reader(site.db, peer)
            assert told is not None and not told.behind, f"I10: {peer} has not been told everything"
        for box in self._world.hub.boxes():
            if box.kind in ("inbox", "outbox"):
                assert not self._world.hub.contents(box), f"I10: objects are left in {box}"

    def _applied_once(self, site: Site) -> None:
        doubled = site.db.all(
            "SELECT path, sha256 FROM event WHERE sha256 IS NOT NULL AND by <> ? GROUP BY path, sha256, by"
            " HAVING count(*) > 1",
            site.email,
        )
        assert not doubled, f"I4: applied more than once: {doubled}"

    def _readers_are_told(self, site: Site) -> None:
        for reader in contacts.in_state(site.db, "accepted"):
            other = self._world.sites[reader]
            has, should = other.tree(site.email), readable(site, reader)
            assert has == should, f"I1: {reader}'s mirror of {site.email}: {_difference(has, should)}"
            shown = {path for path in should if views.shown(site.db, reader, [path])}
            assert shown == set(should), "I1: the view is not what was shown"

    def _streams_are_dense(self) -> None:
        for key, numbers in self._told.items():
            there = set(numbers) | self._voided[key]
            assert there == set(range(1, max(there) + 1)), f"I8: {key[0]} has gaps: {sorted(numbers)}"


def history(site: Site, path: str) -> list[dict[str, object]]:
    return events.history(site.db, path)


def _difference(has: dict[str, bytes], should: dict[str, bytes]) -> str:
    return "; ".join(
        f"{path}: has {has.get(path)!r:.60}, should have {should.get(path)!r:.60}"
        for path in sorted(has.keys() | should.keys())
        if has.get(path) != should.get(path)
    )
