"""The judge must be able to say no: each broken invariant is broken on purpose and must be noticed."""

from __future__ import annotations

import pytest

from syftd.names import Digest, RelPath
from syftd.rules.ruleset import Rule, Ruleset, render
from syftd.state import files, messages, streams, views
from tests.sim.adversity import Violated
from tests.sim.judge import Judge
from tests.sim.world import Site, World


@pytest.fixture
def judged(judge: Judge, world: World, ada: Site, bob: Site) -> Judge:
    ada.write("public/a.txt", b"a content")
    world.settle()
    judge.at_rest()
    return judge


def test_a_mirror_that_differs_is_noticed(judged: Judge, ada: Site, bob: Site) -> None:
    place = bob.place("public/a.txt", ada.email)
    place.write_bytes(b"something else")
    row = files.get(bob.db, ada.email, "public/a.txt")
    assert row is not None
    files.put(bob.db, ada.email, [row._replace(sha256=Digest.of(b"something else"))])
    with pytest.raises(AssertionError, match="I1"):
        judged.at_rest()


def test_an_index_that_lies_is_noticed(judged: Judge, ada: Site) -> None:
    files.drop(ada.db, ada.email, ["public/a.txt"])
    with pytest.raises(AssertionError, match="I2"):
        judged.at_rest()


def test_an_unanswered_draft_is_noticed(judged: Judge, ada: Site, bob: Site) -> None:
    draft = streams.Draft(ada.email, RelPath("drop/x"), None, None, "00000000-0000-4000-8000-000000000000", 0.0)
    streams.put_drafts(bob.db, [draft])
    with pytest.raises(AssertionError, match="I3"):
        judged.at_rest()


def test_an_intent_left_behind_is_noticed(judged: Judge, ada: Site, bob: Site) -> None:
    messages.intend(ada.db, [messages.Intent("m", RelPath("drop/x"), None, None, bob.email)])
    with pytest.raises(AssertionError, match="I10"):
        judged.at_rest()


def test_content_for_somebody_who_may_not_read_it_is_noticed_when_it_goes_out(
    judged: Judge, world: World, ada: Site, bob: Site
) -> None:
    ada.write("hidden/h.txt", b"not for bob")
    world.settle()
    honest = ada.parts.access.may_read
    # The publisher is lied to: it believes that everybody may read everything.
    ada.parts.access.may_read = lambda user, path: True  # type: ignore[method-assign]
    ada.engine.publish.dirty([RelPath("hidden/h.txt")], also=bob.email)
    ada.engine.publish.build_all()
    ada.parts.access.may_read = honest  # type: ignore[method-assign]
    ada.engine.publish.taken_back = lambda row: None
    ada.engine.outbox.may_go = lambda row: True
    with pytest.raises(Violated, match="I7"):
        ada.engine.pump()
        world.drain()


def test_a_number_that_is_used_twice_is_noticed(judged: Judge, world: World, ada: Site, bob: Site) -> None:
    row = views.reader(ada.db, bob.email)
    assert row is not None
    row.next_seq -= 1
    views.put_reader(ada.db, row)
    ada.write("public/a.txt", b"another content")
    with pytest.raises(Violated, match="I8"):
        world.settle()


def test_a_world_that_never_rests_is_noticed(world: World, ada: Site, bob: Site) -> None:
    count = iter(range(10_000))
    poll = ada.engine.poll

    def restless() -> None:
        ada.db.set_meta("restless", str(next(count)))
        poll()

    ada.engine.poll = restless  # type: ignore[method-assign]
    with pytest.raises(AssertionError, match="I15"):
        world.settle(10)


def test_rules_are_what_the_judge_goes_by(judged: Judge, world: World, ada: Site, bob: Site) -> None:
    ada.write("public/syft.pub.yaml", render(Ruleset((Rule("**", read=("someone@example.org",)),))).encode())
    world.settle()
    judged.at_rest()
    assert bob.tree(ada.email).keys() == set(), "what may no longer be read is gone from the mirror"
