"""One person's machine with as many peers and files as wanted: the production engine, wired as the daemon wires it."""

from __future__ import annotations

import os
import random
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from syftd.daemon.engine import Engine
from syftd.names import Digest, Email, RelPath
from syftd.rules.access import Access
from syftd.rules.ruleset import Rule, Ruleset, render
from syftd.state import contacts
from syftd.state.db import open_reader, open_writer
from syftd.sync.parts import Parts
from syftd.sync.versions import Versions
from syftd.transport import mailbox
from syftd.transport.mailbox import Ref
from syftd.transport.memory import MemoryHub, MemoryMailbox
from syftd.transport.router import Router
from syftd.tree.disk import RealDisk
from syftd.tree.ignore import Ignores
from syftd.tree.scanner import Scanner
from syftd.tree.settle import Settle
from syftd.wire import codec, names
from syftd.wire.messages import CHUNK_BYTES, EXTENSIONS, Change, Events, Proposal, StreamPosition
from syftd.wire.version import encode_version
from tests.scale.meter import Meter
from tests.sim.adversity import QueuedPool, SeededRandom, WorldClock

ME: Final = Email("ada@example.org")
MOST_VIEWS: Final = 2_000_000
LARGE_EVERY: Final = 10
"""Every tenth file of a mirror is a large one, whose content came in chunks."""


def peer_name(number: int) -> Email:
    return Email(f"peer-{number:04d}@example.org")


class Machine:
    """An engine at rest with `peers` and `files`. Everybody may read below ``public/``; only the first peer may read, and
    may write, below ``drop/``."""

    def __init__(self, folder: Path, peers: int) -> None:
        self.clock = WorldClock()
        self.random = SeededRandom(random.Random("scale"))
        self.hub = MemoryHub()
        self.peers = [peer_name(number) for number in range(peers)]
        self._others = {peer: MemoryMailbox(self.hub, peer) for peer in self.peers}
        self._data = folder / "SyftBox"
        self._own = self._data / "datasites" / ME
        self._sequence: dict[Email, tuple[int, Digest | None]] = {}
        folder.mkdir(parents=True)
        self.queue: deque[object] = deque()
        self.pool = QueuedPool()
        self.db = open_writer(folder / "state.db")
        self.disk = RealDisk(self._data, self.clock, self.random)
        self.disk.make_private_dir(ME, "")
        self.disk.ensure_marker(ME, "id-of-ada")
        self.db.set_meta("datasite_id", "id-of-ada")
        mine = MemoryMailbox(self.hub, ME)
        self.meter = Meter(self.db, mine)
        settling = Settle(self.clock)
        ignores = Ignores(self.disk)
        self.parts = Parts(
            me=ME,
            db=self.db,
            disk=self.disk,
            scanner=Scanner(self.disk, ignores, self.clock, 10_000_000),
            ignores=ignores,
            access=Access(ME),
            router=Router([mine], self.clock, self.random, lambda peer: ["memory"]),
            clock=self.clock,
            random=self.random,
            pool=self.pool,
            post=self.queue.append,
            look_again=lambda site, path: settling.touch(f"{site}/{path}"),
            reading=lambda: open_reader(self.db.path),
            quarantine=lambda sender, name, payload: None,
        )
        self.versions = Versions(folder / "versions.db", 16 * 1024 * 1024)
        self.engine = Engine(self.parts, settling, self.versions)
        # No walk from top to bottom: a million files are not on this disk.
        self.engine.look.everything = lambda: None  # type: ignore[method-assign]
        self._befriend()
        self.engine.start()
        self.drain()
        self.write("public/syft.pub.yaml", render(Ruleset((Rule("**", read=("*",)),))).encode())
        self.write("drop/syft.pub.yaml", render(Ruleset((Rule("**", write=(str(self.peers[0]),)),))).encode())
        self.rest()

    def _befriend(self) -> None:
        with self.db.commit():
            for peer in self.peers:
                contacts.put(
                    self.db, contacts.Peer(peer, "accepted", self.clock.now(), "", "0.1.117", EXTENSIONS, "")
                )
        version = encode_version("0.1.117", EXTENSIONS, "")
        for peer, box in self._others.items():
            for opened in (mailbox.inbox(ME, peer), mailbox.outbox(ME, peer), mailbox.blobs(peer), mailbox.profile(peer)):
                box.share(opened)
            box.put(mailbox.profile(peer), "SYFT_version.json", version, private=False, replace=True)

    # -- many files ------------------------------------------------------------------------------------------------

    def fill(self, files: int) -> None:
        """Adds files to the own datasite as if they had been there all along, and to the mirror of the first peer."""
        digest, connection = "a" * 64, self.db._connection
        shown = min(files, MOST_VIEWS // max(1, len(self.peers)))
        paths = [f"public/{number % 1000:03d}/{number:07d}.csv" for number in range(files)]
        row = (digest, 1000, 1, 1, 1, 0, 1)
        first = self.peers[0]
        with self.db.commit():
            for site in (ME, first):
                connection.executemany(
                    "INSERT INTO file VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    ((site, path, path, *self._mirrored(site, number, row)) for number, path in enumerate(paths)),
                )
            for peer in self.peers:
                connection.executemany(
                    "INSERT INTO view VALUES (?, ?, ?, 0)", ((peer, path, digest) for path in paths[:shown])
                )
            connection.executemany(
                "INSERT INTO told VALUES (?, ?, ?, 0, ?, ?, 'e')",
                (
                    (first, path, self._large(number), CHUNK_BYTES, f'["{digest}"]')
                    if number % LARGE_EVERY == 0
                    else (first, path, digest, 1000, None)
                    for number, path in enumerate(paths)
                ),
            )
            connection.executemany(
                "INSERT INTO event (path, sha256, size, before, by, at) VALUES (?, ?, 1000, NULL, ?, 0)",
                ((path, digest, ME) for path in paths),
            )

    def _mirrored(self, site: Email, number: int, row: tuple[object, ...]) -> tuple[object, ...]:
        if site == ME or number % LARGE_EVERY:
            return row
        return (self._large(number), CHUNK_BYTES, *row[2:])

    def _large(self, number: int) -> str:
        return f"{number:064x}"

    # -- time ------------------------------------------------------------------------------------------------------

    def drain(self) -> None:
        """Does all work that is queued, of the control thread and of the pools."""
        while self.queue or self.pool.waiting:
            if self.queue:
                assert self.engine.handle(self.queue.popleft())
            else:
                self.pool.run(0)

    def idle(self) -> None:
        """One cycle in which nothing happens: what the daemon's poll does, and what it hears."""
        self.clock.advance(10.0)
        self.engine.due()
        self.engine.poll()
        self.drain()

    def rest(self) -> None:
        """Everybody reads what lies for them, until nothing lies anywhere and a whole listing has shown that."""
        for _ in range(3):
            self.clock.advance(601.0)
            self.engine.due()
            self.drain()
            self.read_all()
            self.engine.poll()
            self.drain()

    def read_all(self) -> None:
        for peer, box in self._others.items():
            place = mailbox.outbox(ME, peer)
            for name in self.hub.contents(place):
                box.remove(Ref(place, name, -1, "memory"))

    # -- what happens ----------------------------------------------------------------------------------------------

    def write(self, path: str, content: bytes) -> None:
        """The owner saves a file; it is looked at, accepted, told and sent."""
        place = self._own / path
        place.parent.mkdir(parents=True, exist_ok=True)
        beside = place.with_name(place.name + ".tmp")
        beside.write_bytes(content)
        self._stamped(beside)
        beside.rename(place)
        self._looked_at(path, gone=False)

    def delete(self, path: str) -> None:
        """The owner deletes a file, and so on."""
        (self._own / path).unlink()
        self._looked_at(path, gone=True)

    def _stamped(self, place: Path) -> None:
        self.clock.advance(0.001)
        stamp = int(self.clock.at * 1e9) - 10**9
        os.utime(place, ns=(stamp, stamp))

    def _looked_at(self, path: str, *, gone: bool) -> None:
        self.engine.hint(f"{ME}/{path}", True, gone)
        self.clock.advance(5.0)
        self.engine.due()
        self.drain()

    def propose(self, path: str, before: bytes | None, after: bytes) -> None:
        """The first peer proposes a change; it is fetched, decided, applied, told to all readers and answered."""
        peer, uid = self.peers[0], self.random.uuid()
        base = None if before is None else Digest.of(before)
        change = Change(RelPath(path), base, Digest.of(after), after)
        message = codec.encode_proposal(
            Proposal(uid, peer, ME, self.clock.now(), (change,)), extensions=True
        )
        self._others[peer].put(mailbox.inbox(ME, peer), names.proposal_name(self.clock.now(), uid), message, private=True)
        self.engine.inbox.poll()
        self.drain()

    def hear(self, changes: Iterable[tuple[str, bytes]]) -> None:
        """The first peer tells of changes of theirs; they are followed and written into the mirror."""
        peer, uid = self.peers[0], self.random.uuid()
        sequence, previous = self._sequence.get(peer, (1, None))
        position = StreamPosition("e", sequence, previous, complete=False)
        told = tuple(Change(RelPath(path), None, Digest.of(content), content) for path, content in changes)
        message = codec.encode_events(Events(uid, peer, self.clock.now(), told, (), position), extensions=True)
        self._sequence[peer] = (sequence + 1, Digest.of(message))
        box = mailbox.outbox(peer, ME)
        self._others[peer].put(box, names.events_name(self.clock.now(), uid), message, private=True)
        self.engine.inbox.poll()
        self.drain()

    def close(self) -> None:
        self.pool.close()
        self.disk.close()
        self.versions.close()
        self.db.close()
