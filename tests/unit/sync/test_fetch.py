"""Downloads: one peer's announcement never stands in the way of another's, no thread writes where it may not, and what
cannot be had is asked for again."""

from __future__ import annotations

from dataclasses import replace

import pytest

from syftd.errors import Malformed
from syftd.names import Digest
from syftd.state import problems
from syftd.sync.fetch import Fetch
from syftd.sync.parts import Tuning
from syftd.sync.work import ChunkDown, WholeDown
from syftd.transport.mailbox import blobs
from syftd.tree.stage import Staged
from syftd.wire.messages import CHUNK_BYTES
from tests.sim.world import Site, World

WORDS = b"large content " * 60_000
"""One chunk's worth."""


@pytest.fixture
def cyd(world: World, bob: Site) -> Site:
    """Another peer of bob's, of whom nothing good is to be expected."""
    site = world.site("cyd")
    world.befriend(site, bob)
    return site


@pytest.fixture
def fetch(bob: Site) -> Fetch:
    """Bob's downloads, apart from the mirrors that would move what has arrived."""
    return Fetch(bob.parts)


def up(site: Site, content: bytes) -> tuple[Digest, ...]:
    """Lays a content into the blobs box of `site`; returns its chunks."""
    chunks = []
    for start in range(0, len(content), CHUNK_BYTES):
        piece = content[start : start + CHUNK_BYTES]
        chunks.append(Digest.of(piece))
        site.mailbox.put(blobs(site.email), chunks[-1], piece, private=True)
    return tuple(chunks)


def run(bob: Site, fetch: Fetch, steps: int = 1000) -> None:
    """Bob's pool works, and the results reach this `fetch`."""
    for _ in range(steps):
        if bob.pool.waiting:
            bob.pool.run(0)
        elif bob.queue:
            match work := bob.queue.popleft():
                case ChunkDown():
                    fetch.chunk_down(work)
                case WholeDown():
                    fetch.whole_down(work)
                case _:
                    assert bob.engine.handle(work)
        else:
            return
    raise AssertionError("it does not become quiet")


def content_of(bob: Site, staged: Staged | None) -> bytes:
    assert staged is not None
    return (bob.data / ".stage" / staged.name).read_bytes()


def test_a_false_announcement_of_one_peer_does_not_block_anothers(
    world: World, ada: Site, bob: Site, cyd: Site, fetch: Fetch
) -> None:
    sha256 = Digest.of(WORDS)
    bogus = Digest.of(b"nothing")
    assert fetch.want(cyd.email, sha256, len(WORDS), [bogus]) is None
    run(bob, fetch)
    assert fetch.want(ada.email, sha256, len(WORDS), up(ada, WORDS)) is None
    run(bob, fetch)
    assert content_of(bob, fetch.want(ada.email, sha256, len(WORDS), [])) == WORDS


def test_a_source_that_has_nothing_gives_way_to_the_next_at_once(
    world: World, ada: Site, bob: Site, cyd: Site, fetch: Fetch
) -> None:
    sha256, chunks = Digest.of(WORDS), up(ada, WORDS)
    fetch.want(cyd.email, sha256, len(WORDS), chunks)
    fetch.want(ada.email, sha256, len(WORDS), chunks)
    run(bob, fetch)
    assert content_of(bob, fetch.want(ada.email, sha256, len(WORDS), chunks)) == WORDS


def test_a_peer_that_leaves_takes_no_download_with_it(
    world: World, ada: Site, bob: Site, cyd: Site, fetch: Fetch
) -> None:
    sha256, chunks = Digest.of(WORDS), up(ada, WORDS)
    fetch.want(cyd.email, sha256, len(WORDS), chunks)
    fetch.want(ada.email, sha256, len(WORDS), chunks)
    fetch.forget(cyd.email)
    assert fetch.knows(sha256, ada.email)
    run(bob, fetch)
    assert fetch.want(ada.email, sha256, len(WORDS), chunks) is not None
    fetch.want(cyd.email, Digest.of(b"x"), 1, [Digest.of(b"x")])
    fetch.forget(cyd.email)
    run(bob, fetch)
    assert not fetch.knows(Digest.of(b"x"))


def test_many_files_of_one_peer_leave_a_place_for_another(ada: Site, bob: Site, cyd: Site, fetch: Fetch) -> None:
    for number in range(5):
        content = b"%d" % number * 300_000
        fetch.want(cyd.email, Digest.of(content), len(content), up(cyd, content))
    before = len(bob.pool.waiting)
    bob.pool.run(0)
    fetch.want(ada.email, Digest.of(WORDS), len(WORDS), up(ada, WORDS))
    work = bob.queue.popleft()
    assert isinstance(work, ChunkDown)
    fetch.chunk_down(work)
    bob.pool.run(0)
    while bob.queue:
        work = bob.queue.popleft()
        if isinstance(work, ChunkDown):
            fetch.chunk_down(work)
    assert before == 2
    flying = [row for row in fetch.progress() if row["from"] == ada.email]
    assert flying, "it is among those on their way"
    run(bob, fetch)
    assert fetch.want(ada.email, Digest.of(WORDS), len(WORDS), up(ada, WORDS)) is not None


def test_a_download_that_nobody_wants_keeps_its_file_until_no_thread_writes_into_it(
    ada: Site, bob: Site, fetch: Fetch
) -> None:
    content = bytes(CHUNK_BYTES) + b"end"
    sha256, chunks = Digest.of(content), up(ada, content)
    fetch.want(ada.email, sha256, len(content), chunks)
    (name,) = fetch.staged_names()
    fetch.drop(sha256)
    assert not fetch.knows(sha256)
    assert (bob.data / ".stage" / name).exists(), "two chunks are still flying into it"
    assert len(bob.pool.waiting) == 2
    while bob.pool.waiting:
        bob.pool.run(0)
    results = [work for work in bob.queue if isinstance(work, ChunkDown)]
    assert [work.error for work in results] == [None, None], "they ended in the file they began with"
    run(bob, fetch)
    assert not (bob.data / ".stage" / name).exists()
    assert fetch.staged_names() == set()


def test_what_is_wanted_again_while_it_leaves_goes_on(ada: Site, bob: Site, fetch: Fetch) -> None:
    sha256, chunks = Digest.of(WORDS), up(ada, WORDS)
    fetch.want(ada.email, sha256, len(WORDS), chunks)
    fetch.drop(sha256)
    fetch.want(ada.email, sha256, len(WORDS), chunks)
    run(bob, fetch)
    assert content_of(bob, fetch.want(ada.email, sha256, len(WORDS), chunks)) == WORDS


def test_nothing_is_known_here_before_the_loop_has_heard_of_it(ada: Site, bob: Site, fetch: Fetch) -> None:
    sha256, chunks = Digest.of(WORDS), up(ada, WORDS)
    fetch.want(ada.email, sha256, len(WORDS), chunks)
    bob.pool.run(0)
    work = bob.queue.popleft()
    assert isinstance(work, ChunkDown)
    fetch.chunk_down(work)
    bob.pool.run(0)
    assert fetch.want(ada.email, sha256, len(WORDS), chunks) is None, "only the worker knows that it is whole"
    fetch.drop(sha256)
    run(bob, fetch)
    assert fetch.want(ada.email, sha256, len(WORDS), chunks) is None, "it was dropped while it was hashed"
    assert not [place for place in (bob.data / ".stage").iterdir() if place.name not in fetch.staged_names()]


def test_chunks_that_are_gone_are_asked_for_again(world: World, ada: Site, bob: Site, fetch: Fetch) -> None:
    asked: list[tuple[str, Digest]] = []
    fetch.lost = lambda owner, sha256: asked.append((owner, sha256))
    sha256, chunks = Digest.of(WORDS), (Digest.of(WORDS),)
    for _ in range(3):
        assert not asked
        fetch.want(ada.email, sha256, len(WORDS), chunks)
        fetch.pump()
        run(bob, fetch)
        world.clock.advance(400.0)
    assert asked == [(ada.email, sha256)]
    up(ada, WORDS)
    fetch.want(ada.email, sha256, len(WORDS), chunks)
    run(bob, fetch)
    assert fetch.want(ada.email, sha256, len(WORDS), chunks) is not None, "what was told again is fetched at once"


def test_a_whole_that_is_not_what_was_announced_is_asked_for_and_what_is_told_then_counts(
    world: World, ada: Site, bob: Site, fetch: Fetch
) -> None:
    asked: list[tuple[str, Digest]] = []
    fetch.lost = lambda owner, sha256: asked.append((owner, sha256))
    sha256, wrong = Digest.of(WORDS), WORDS[::-1]
    fetch.want(ada.email, sha256, len(WORDS), up(ada, wrong))
    run(bob, fetch)
    assert asked == [(ada.email, sha256)]
    assert "bad-content" in bob.problem_kinds()
    fetch.want(ada.email, sha256, len(WORDS), up(ada, WORDS))
    run(bob, fetch)
    assert content_of(bob, fetch.want(ada.email, sha256, len(WORDS), [])) == WORDS
    assert fetch.progress() == [], "the refuted announcement has gone"


def test_a_full_disk_keeps_its_reserve_and_is_not_asked_all_the_time(world: World, ada: Site, bob: Site) -> None:
    fetch = Fetch(replace(bob.parts, tuning=Tuning(reserve_bytes=1 << 60)))
    asked = 0
    free = bob.disk.free_bytes

    def counted() -> int:
        nonlocal asked
        asked += 1
        return free()

    bob.disk.free_bytes = counted  # type: ignore[method-assign]
    sha256, chunks = Digest.of(WORDS), up(ada, WORDS)
    before = len(problems.problems(bob.db))
    for _ in range(50):
        assert fetch.want(ada.email, sha256, len(WORDS), chunks) is None
    assert asked == 1
    assert len(problems.problems(bob.db)) == before + 1
    assert fetch.knows(sha256, ada.email), "nobody needs to ask while it waits"
    written = bob.db.writes
    for _ in range(5):
        world.clock.advance(400.0)
        assert not fetch.knows(sha256, ada.email)
        assert fetch.want(ada.email, sha256, len(WORDS), chunks) is None
    assert bob.db.writes == written, "the same problem is not told twice"
    fetch._parts.tuning = Tuning()
    world.clock.advance(400.0)
    fetch.want(ada.email, sha256, len(WORDS), chunks)
    assert "disk-full" not in bob.problem_kinds()
    run(bob, fetch)
    assert fetch.want(ada.email, sha256, len(WORDS), chunks) is not None


def test_what_is_on_its_way_already_counts_as_taken(ada: Site, bob: Site) -> None:
    room = bob.disk.free_bytes() - len(WORDS) - len(WORDS) // 2
    fetch = Fetch(replace(bob.parts, tuning=Tuning(reserve_bytes=room)))
    other = WORDS[::-1]
    fetch.want(ada.email, Digest.of(WORDS), len(WORDS), up(ada, WORDS))
    fetch.want(ada.email, Digest.of(other), len(other), up(ada, other))
    assert len(fetch.progress()) == 1


def test_a_peers_proposals_do_not_fill_the_disk(world: World, ada: Site, bob: Site, cyd: Site) -> None:
    fetch = Fetch(replace(bob.parts, tuning=Tuning(held_bytes_per_peer=len(WORDS) + 10)))
    other = WORDS[::-1]
    fetch.want(cyd.email, Digest.of(WORDS), len(WORDS), up(cyd, WORDS), proposed=True)
    run(bob, fetch)
    assert fetch.want(cyd.email, Digest.of(other), len(other), up(cyd, other), proposed=True) is None
    run(bob, fetch)
    assert fetch.progress() == [] and "too-much-proposed" in bob.problem_kinds()
    assert fetch.want(ada.email, Digest.of(other), len(other), up(ada, other), proposed=True) is None
    run(bob, fetch)
    assert fetch.want(ada.email, Digest.of(other), len(other), (), proposed=True) is not None, (
        "another peer has their own"
    )
    fetch.drop(Digest.of(other))
    fetch.drop(Digest.of(WORDS))
    world.clock.advance(400.0)
    fetch.want(cyd.email, Digest.of(other), len(other), up(cyd, other), proposed=True)
    run(bob, fetch)
    assert fetch.want(cyd.email, Digest.of(other), len(other), (), proposed=True) is not None


@pytest.mark.parametrize(("size", "chunks"), [(0, 0), (1, 0), (1, 2), (CHUNK_BYTES + 1, 1), (-1, 0)])
def test_chunks_that_cannot_hold_the_size_are_malformed(ada: Site, fetch: Fetch, size: int, chunks: int) -> None:
    with pytest.raises(Malformed):
        fetch.want(ada.email, Digest.of(b"x"), size, [Digest.of(b"y")] * chunks)
