"""Uploads: a content is only ever told with its own chunks, removal and sending never cross, and what is lost heals."""

from __future__ import annotations

import os

import pytest

from syftd.errors import Transient
from syftd.names import Digest, RelPath
from syftd.plan.own import Content
from syftd.state import files, outbox
from syftd.sync.follow import ask_again
from syftd.transport.mailbox import blobs
from syftd.wire.messages import CHUNK_BYTES
from tests.sim.world import Site, World
from tests.unit.sync.letters import let_see, lying, pump_only

ONE = b"one large content " * 40_000
TWO = b"two large content " * 40_000


def in_place(site: Site, path: str, content: bytes, owner: Site | None = None) -> None:
    """Writes into a file as it lies there: same size, same time, same inode."""
    place = site.place(path, owner.email if owner else None)
    before = place.stat()
    assert before.st_size == len(content)
    with place.open("r+b") as file:
        file.write(content)
    os.utime(place, ns=(before.st_mtime_ns, before.st_mtime_ns))


def told(owner: Site, reader: Site, path: str) -> list[tuple[Digest, ...]]:
    """The chunks with which a path lies unread for a reader."""
    return [
        change.blob.chunks
        for events in lying(owner, reader)
        for change in events.changes
        if change.path == path and change.blob is not None
    ]


def chunks_there(owner: Site) -> set[str]:
    return set(owner.world.hub.contents(blobs(owner.email)))


def test_a_file_edited_in_place_never_makes_a_digest_stand_for_other_chunks(
    world: World, ada: Site, bob: Site
) -> None:
    bob.write("drop/big", ONE, ada.email)
    ready = bob.engine.upload.ready
    edits = 0

    def late(*args: object, **more: object) -> tuple[Digest, ...] | None:
        nonlocal edits
        if not edits:
            edits += 1
            in_place(bob, "drop/big", TWO, ada)
            # The observation that the digest was taken with is made to look as if it still held.
            more["stat"] = bob.disk.stat(ada.email, "drop/big")
        return ready(*args, **more)  # type: ignore[arg-type]

    bob.engine.upload.ready = late  # type: ignore[method-assign]
    world.settle()
    assert edits == 1
    assert outbox.cut(bob.db, Digest.of(ONE)) is None
    assert Digest.of(TWO) in chunks_there(bob) or ada.tree()["drop/big"] == TWO
    assert Digest.of(ONE) not in chunks_there(bob)


def test_a_digest_is_not_uploaded_from_a_file_with_another_observation(ada: Site, bob: Site, world: World) -> None:
    bob.write("drop/big", ONE, ada.email, hint=False)
    stat = bob.disk.stat(ada.email, "drop/big")
    assert stat is not None
    bob.write("drop/big", TWO, ada.email, hint=False)
    content = Content(Digest.of(ONE), len(ONE), False)
    upload = bob.engine.upload
    assert upload.ready(ada.email, RelPath("drop/big"), content, private=True, site=ada.email, stat=stat) is None
    assert not bob.pool.waiting and upload.progress() == [], "nothing is read for it"
    assert bob.next_due() is not None, "it is looked at again"


def test_an_own_file_whose_observation_lies_is_read_again_and_told_as_it_is(world: World, ada: Site, bob: Site) -> None:
    ada.rules("public", read=[])
    ada.write("public/big", ONE)
    world.settle()
    row = files.get(ada.db, ada.email, "public/big")
    assert row is not None
    in_place(ada, "public/big", TWO)
    stat = ada.disk.stat(ada.email, "public/big")
    assert stat is not None
    files.put(ada.db, ada.email, [row._replace(ctime_ns=stat.ctime_ns, mtime_ns=stat.mtime_ns, settled=True)])
    ada.rules("public", read=["*"])
    world.settle()
    assert bob.tree(ada.email)["public/big"] == TWO
    assert outbox.cut(ada.db, Digest.of(ONE)) is None


def test_a_file_of_many_chunks_is_cut_in_several_turns(world: World, ada: Site, bob: Site) -> None:
    content = b"".join(bytes([number]) * CHUNK_BYTES for number in range(17)) + b"end"
    ada.write("public/big", content)
    world.settle()
    assert bob.tree(ada.email)["public/big"] == content
    cut = outbox.cut(ada.db, Digest.of(content))
    assert cut is not None and len(cut) == 18 and cut[-1] == Digest.of(b"end")


def test_a_revoked_content_that_is_granted_again_while_its_chunks_are_removed_is_sent_again(
    world: World, ada: Site, bob: Site
) -> None:
    ada.write("public/big", ONE)
    let_see(ada)
    assert told(ada, bob, "public/big") == [(Digest.of(ONE),)]
    ada.rules("public", read=[])
    world.clock.advance(3.0)
    ada.due()
    pump_only(ada)
    assert told(ada, bob, "public/big") == []
    assert Digest.of(ONE) in chunks_there(ada)
    ada.engine.outbox.collect_chunks(grace=False)
    assert len(ada.pool.waiting) == 1, "the removal is on its way"
    ada.rules("public", read=["*"])
    held = ada.pool.waiting.popleft()
    let_see(ada)
    assert told(ada, bob, "public/big") == [], "nothing is told of chunks that are being removed"
    ada.pool.waiting.append(held)
    let_see(ada)
    assert told(ada, bob, "public/big") == [(Digest.of(ONE),)]
    assert Digest.of(ONE) in chunks_there(ada)
    world.settle()
    assert bob.tree(ada.email)["public/big"] == ONE


def test_chunks_are_not_removed_while_others_are_sent(world: World, ada: Site, bob: Site) -> None:
    outbox.chunk_up(ada.db, "memory", Digest.of(TWO), 0.0)
    ada.mailbox.put(blobs(ada.email), Digest.of(TWO), TWO, private=True)
    content = bytes(CHUNK_BYTES) + bytes([1]) * CHUNK_BYTES + bytes([2]) * CHUNK_BYTES
    ada.write("public/big", content)
    world.clock.advance(3.0)
    ada.due()
    while not any(row["done"] or chunks_there(ada) - {Digest.of(TWO)} for row in ada.engine.upload.progress()):
        ada.ready()[0]()
    ada.engine.outbox.collect_chunks(grace=False)
    assert not ada.engine.upload.pause(), "a chunk is still on its way"
    assert Digest.of(TWO) in chunks_there(ada)
    pump_only(ada)
    assert Digest.of(TWO) not in chunks_there(ada)
    world.settle()
    assert bob.tree(ada.email)["public/big"] == content


def test_a_removal_whose_answer_was_lost_does_not_count_as_not_made(world: World, ada: Site, bob: Site) -> None:
    digest = Digest.of(ONE)
    outbox.chunk_up(ada.db, "memory", digest, 0.0)
    ada.mailbox.put(blobs(ada.email), digest, ONE, private=True)

    def lost(seam: str) -> None:
        if seam.endswith(".remove.reply"):
            raise Transient("the line is down")

    ada.meet = lost
    ada.engine.outbox.collect_chunks(grace=False)
    pump_only(ada)
    ada.meet = lambda seam: None
    assert digest not in chunks_there(ada)
    assert outbox.chunks_up(ada.db, ["memory"], [digest]) == set()
    ada.write("public/big", ONE)
    world.settle()
    assert bob.tree(ada.email)["public/big"] == ONE


def test_an_upload_that_takes_long_keeps_its_first_chunks(world: World, ada: Site, bob: Site) -> None:
    content = bytes(CHUNK_BYTES) + bytes([1]) * CHUNK_BYTES + bytes([2]) * CHUNK_BYTES
    ada.write("public/big", content)
    world.clock.advance(3.0)
    ada.due()
    while not chunks_there(ada):
        ada.ready()[0]()
    while ada.queue:
        ada.ready()[0]()
    first = chunks_there(ada)
    world.clock.advance(10_000.0)
    ada.engine.outbox.collect_chunks()
    assert ada.engine.upload.progress(), "it is still on its way"
    pump_only(ada)
    assert first < chunks_there(ada)


@pytest.mark.parametrize("damage", ["gone", "other bytes"])
def test_chunks_that_are_lost_on_the_transport_are_sent_again_when_the_reader_asks(
    world: World, ada: Site, bob: Site, damage: str
) -> None:
    ada.write("public/big", ONE)
    let_see(ada)
    digest = Digest.of(ONE)
    folder = world.hub.folders[blobs(ada.email)]
    if damage == "gone":
        del folder.objects[digest]
    else:
        folder.objects[digest].content = TWO
    for _ in range(12):
        world.round(200.0)
    assert bob.tree(ada.email)["public/big"] == ONE
    assert not bob.problem_kinds() & {"cannot-fetch", "bad-content"}


def test_a_cut_that_is_wrong_is_made_anew_when_the_reader_asks(world: World, ada: Site, bob: Site) -> None:
    ada.rules("public", read=[])
    ada.write("public/big", ONE)
    world.settle()
    wrong = Digest.of(TWO)
    ada.mailbox.put(blobs(ada.email), wrong, TWO, private=True)
    with ada.db.commit():
        outbox.put_cut(ada.db, Digest.of(ONE), [wrong])
        outbox.chunk_up(ada.db, "memory", wrong, ada.world.clock.now())
    ada.rules("public", read=["*"])
    for _ in range(12):
        world.round(200.0)
    assert bob.tree(ada.email)["public/big"] == ONE
    assert outbox.cut(ada.db, Digest.of(ONE)) == (Digest.of(ONE),)


def test_a_reader_who_asks_all_the_time_does_not_make_the_owner_send_all_the_time(
    world: World, ada: Site, bob: Site
) -> None:
    ada.write("public/big", ONE)
    world.settle()
    puts = 0

    def count(seam: str) -> None:
        nonlocal puts
        puts += seam.endswith(".put")

    for number in range(5):
        ask_again(bob.parts, ada.email, [RelPath("public/big")])
        bob.engine.pump()
        pump_only(bob)
        if number == 1:
            ada.meet = count
        let_see(ada)
    ada.meet = lambda seam: None
    assert len(told(ada, bob, "public/big")) == 5
    assert puts == 4, "only the envelopes"
    ask_again(bob.parts, ada.email, [RelPath("public/unknown")])
    world.settle()
