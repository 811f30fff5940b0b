"""What readers are told: in windows, by the rules on disk, never twice the same number, and taken back when revoked."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from syftd.names import Digest
from syftd.state import outbox, problems, views
from syftd.sync.parts import Tuning
from tests.sim.conftest import MakeWorld
from tests.sim.judge import Judge
from tests.sim.world import Site, World
from tests.unit.sync.letters import let_see, lying, propose, pump_only, put, understands


def paths(owner: Site, reader: Site) -> list[list[str]]:
    return [[str(change.path) for change in events.changes] for events in lying(owner, reader)]


@pytest.fixture
def narrow(make_world: MakeWorld) -> tuple[World, Judge, Site, Site]:
    """Ada and bob with a window of two messages of one change each."""
    world = make_world(tuning=Tuning(window_messages=2, envelope_changes=1))
    judge = Judge(world)
    ada = world.site("ada")
    ada.rules("public", read=["*"])
    ada.rules("drop", write=["bob@example.org"])
    ada.rules("team", read=["bob@example.org"])
    bob = world.site("bob")
    world.befriend(ada, bob)
    return world, judge, ada, bob


def test_a_reader_gets_what_they_may_read_and_the_permission_of_others_stays_closed(
    judge: Judge, world: World, ada: Site, bob: Site
) -> None:
    ada.write("public/a.txt", b"for all")
    ada.write("secret/b.txt", b"for nobody")
    ada.write("private/c.txt", b"never leaves")
    ada.rules("private", read=["*"])
    world.settle()
    assert bob.tree(ada.email) == {"public/a.txt": b"for all"}
    judge.at_rest()


def test_a_full_window_closes_and_opens_when_messages_are_read(narrow: tuple[World, Judge, Site, Site]) -> None:
    world, judge, ada, bob = narrow
    for name in "abcde":
        ada.write(f"public/{name}.txt", name.encode())
    let_see(ada)
    assert len(lying(ada, bob)) == 2, "no more than the window lies unread"
    row = views.reader(ada.db, bob.email)
    assert row is not None and row.behind
    world.settle()
    assert len(bob.tree(ada.email)) == 5
    judge.at_rest()


def test_what_changes_behind_a_closed_window_is_told_once_as_it_is_in_the_end(
    narrow: tuple[World, Judge, Site, Site],
) -> None:
    world, judge, ada, bob = narrow
    for name in "abc":
        ada.write(f"public/{name}.txt", name.encode())
    let_see(ada)
    for version in range(5):
        ada.write("public/c.txt", f"version {version}".encode())
        let_see(ada)
    world.settle()
    assert bob.tree(ada.email)["public/c.txt"] == b"version 4"
    assert not any(b"version 3" in content for content in judge.sent[ada.email, bob.email])
    judge.at_rest()


def test_the_first_round_is_marked_complete_once(narrow: tuple[World, Judge, Site, Site]) -> None:
    _world, _, ada, bob = narrow
    row = views.reader(ada.db, bob.email)
    assert row is not None and row.completed
    ada.write("public/a.txt", b"later")
    let_see(ada)
    assert [events.stream.complete for events in lying(ada, bob) if events.stream] == [False]


def test_the_state_of_a_job_is_told_after_what_it_is_about(world: World, ada: Site, bob: Site) -> None:
    folder = f"app_data/job/review/{bob.email}/one"
    for name in ("state.yaml", "stdout.txt", "zz.txt", "outputs/a.txt"):
        ada.write(f"{folder}/{name}", name.encode())
    let_see(ada)
    [told] = paths(ada, bob)
    assert told[-1] == f"{folder}/state.yaml"
    assert len(told) == 4


def test_rules_changed_on_disk_and_not_looked_at_yet_hold_everything_below_back(
    world: World, ada: Site, bob: Site
) -> None:
    ada.write("public/a.txt", b"written under the old rules")
    ada.rules("public", read=[], hint=False)
    ada.due()
    pump_only(ada)
    assert lying(ada, bob) == [], "nothing is told by rules that are not those on disk"
    world.settle()
    assert "public/a.txt" not in bob.tree(ada.email)


def test_a_queued_message_is_held_back_too_when_the_rules_on_disk_changed(
    judge: Judge, world: World, ada: Site, bob: Site
) -> None:
    ada.write("public/a.txt", b"a")
    ada.engine.paused = True
    let_see(ada)
    assert outbox.peers_with(ada.db, "due") == [bob.email]
    ada.rules("public", read=[], hint=False)
    ada.engine.paused = False
    ada.guarded(ada.engine.pump)
    pump_only(ada)
    assert lying(ada, bob) == []
    world.settle()
    assert judge.sent[ada.email, bob.email].isdisjoint({b"a"})
    judge.at_rest()


def test_an_unread_message_is_taken_back_when_its_content_may_no_longer_be_read(
    judge: Judge, world: World, ada: Site, bob: Site
) -> None:
    ada.write("public/a.txt", b"a")
    let_see(ada)
    assert paths(ada, bob) == [["public/a.txt"]]
    ada.rules("public", read=[])
    let_see(ada)
    assert all(change.after is None for events in lying(ada, bob) for change in events.changes)
    [events] = lying(ada, bob)
    assert events.stream is not None and events.stream.voided == (events.stream.sequence - 1,)
    world.settle()
    assert bob.tree(ada.email) == {}
    judge.at_rest()


def test_it_is_taken_back_through_a_closed_window(narrow: tuple[World, Judge, Site, Site]) -> None:
    world, judge, ada, bob = narrow
    for name in "abcde":
        ada.write(f"team/{name}.txt", name.encode())
    let_see(ada)
    assert len(lying(ada, bob)) == 2
    ada.rules("team", read=[])
    let_see(ada)
    assert not [change for events in lying(ada, bob) for change in events.changes if change.after is not None]
    world.settle()
    assert not any(path.startswith("team/") for path in bob.tree(ada.email))
    judge.at_rest()


def test_taking_back_a_message_that_told_a_deletion_does_not_lose_the_deletion(
    narrow: tuple[World, Judge, Site, Site], make_world: MakeWorld
) -> None:
    world = make_world(tuning=Tuning(window_messages=9))
    judge = Judge(world)
    ada, bob = world.site("ada"), world.site("bob")
    ada.rules("team", read=[bob.email])
    ada.write("team/old.txt", b"old")
    world.befriend(ada, bob)
    ada.rename("team/old.txt", "team/new.txt")
    let_see(ada)
    assert sorted(paths(ada, bob)[-1]) == ["team/new.txt", "team/old.txt"]
    ada.rules("team", read=[])
    world.settle()
    assert bob.tree(ada.email) == {}
    judge.at_rest()


def test_numbers_voided_in_a_voided_message_are_told_again(judge: Judge, world: World, ada: Site, bob: Site) -> None:
    ada.rules("one", read=[bob.email])
    world.settle()
    first = views.reader(ada.db, bob.email)
    assert first is not None
    ada.write("one/a.txt", b"a")
    let_see(ada)
    ada.rules("one", read=[])
    ada.write("public/b.txt", b"b")
    let_see(ada)
    [second] = lying(ada, bob)
    assert second.stream is not None and second.stream.voided == (first.next_seq,)
    ada.rules("public", read=[])
    let_see(ada)
    [third] = lying(ada, bob)
    assert third.stream is not None and third.stream.voided == (first.next_seq, first.next_seq + 1)
    world.settle()
    assert bob.tree(ada.email) == {}
    judge.at_rest()


def test_numbers_voided_twice_over_are_all_told(judge: Judge, world: World, ada: Site, bob: Site) -> None:
    for folder in ("one", "two", "three"):
        ada.rules(folder, read=[bob.email])
    world.settle()
    first = views.reader(ada.db, bob.email)
    assert first is not None
    for folder in ("one", "two", "three"):
        ada.write(f"{folder}/a.txt", folder.encode())
        let_see(ada)
    for folder in ("three", "one", "two"):
        ada.rules(folder, read=[])
        let_see(ada)
    voided = {number for events in lying(ada, bob) if events.stream for number in events.stream.voided}
    assert set(range(first.next_seq, first.next_seq + 3)) <= voided
    world.settle()
    assert bob.tree(ada.email) == {}
    judge.at_rest()


def test_a_verdict_in_a_withdrawn_message_is_told_again(judge: Judge, world: World, ada: Site, bob: Site) -> None:
    ada.rules("team", read=[bob.email])
    world.settle()
    # A refusal: that a change was taken could also be seen from the change itself.
    bob.write("public/x.txt", b"x", ada.email)
    ada.write("team/a.txt", b"a")
    world.clock.advance(1)
    bob.due()
    pump_only(bob)
    # The verdict waits behind the closed window of one message, then goes out together with the file.
    ada.parts.tuning = Tuning(window_messages=0)
    let_see(ada)
    ada.parts.tuning = Tuning()
    let_see(ada)
    assert any(events.verdicts and events.changes for events in lying(ada, bob))
    ada.rules("team", read=[])
    world.settle()
    judge.at_rest()
    assert "public/x.txt" not in bob.tree(ada.email) and b"x" in bob.trash()


def test_a_message_in_flight_is_recalled(judge: Judge, world: World, ada: Site, bob: Site) -> None:
    ada.write("public/a.txt", b"a")
    world.clock.advance(3)
    ada.due()
    assert ada.pool.waiting, "the message has been handed to the pool"
    ada.rules("public", read=[])
    ada.guarded(lambda: ada.engine.hint(f"{ada.email}/public/syft.pub.yaml", True, False))
    ada.due()
    pump_only(ada)
    assert b"a" not in judge.sent[ada.email, bob.email]
    world.settle()
    judge.at_rest()


def test_a_grant_shows_what_was_there_before(world: World, ada: Site, bob: Site) -> None:
    ada.write("team/a.txt", b"a")
    world.settle()
    assert bob.tree(ada.email) == {}
    ada.rules("team", read=[bob.email])
    world.settle()
    assert bob.tree(ada.email) == {"team/a.txt": b"a"}


def test_a_peer_without_extensions_gets_plain_messages_and_no_verdicts(world: World, ada: Site, bob: Site) -> None:
    understands(bob, ada)
    ada.write("public/a.txt", b"a")
    propose(bob, ada, [put("drop/x.txt", b"x")])
    let_see(ada)
    told = lying(ada, bob)
    assert all(events.stream is None and not events.verdicts for events in told)
    assert {str(change.path) for events in told for change in events.changes} >= {"public/a.txt", "drop/x.txt"}
    stamps = [events.made_at for events in told]
    assert stamps == sorted(set(stamps))


def test_for_a_reader_who_takes_nothing_out_of_the_box_many_small_messages_become_few(
    world: World, ada: Site, bob: Site
) -> None:
    understands(bob, ada)
    bob.crash()  # A program of the plain network reads and removes nothing.
    bob.restart = lambda: None  # type: ignore[method-assign]
    for number in range(90):
        ada.write(f"public/{number % 7}.txt", b"version %d" % number)
        ada.write("public/gone.txt", b"x") if number == 3 else None
        ada.delete("public/gone.txt") if number == 5 else None
        let_see(ada)
        assert len(lying(ada, bob)) <= 21, "the box does not only grow"
    let_see(ada)
    last: dict[str, Digest | None] = {}
    for events in lying(ada, bob):
        last.update({str(change.path): change.after for change in events.changes})
    assert last == {
        **{f"public/{number % 7}.txt": Digest.of(b"version %d" % number) for number in range(83, 90)}, "public/gone.txt": None
    }  # fmt: skip
    row = views.reader(ada.db, bob.email)
    assert row is not None and not row.behind


def test_where_removal_is_told_a_closed_window_opens_without_a_whole_listing(
    narrow: tuple[World, Judge, Site, Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    world, judge, ada, bob = narrow
    for site in (ada, bob):
        site.mailbox._capabilities = replace(site.mailbox.capabilities, tells_removal=True)
    world.settle()
    cursors: list[str] = []
    listing = ada.mailbox.list
    monkeypatch.setattr(ada.mailbox, "list", lambda cursor, peers: (cursors.append(cursor), listing(cursor, peers))[1])
    for name in "abcde":
        ada.write(f"public/{name}.txt", name.encode())
    let_see(ada)
    assert len(lying(ada, bob)) == 2
    for _ in range(6):
        world.round(3.0)
    assert len(bob.tree(ada.email)) == 5
    assert cursors and all(cursors)
    world.settle()
    judge.at_rest()


def test_too_large_for_a_peer_without_blobs_is_a_problem_and_stops_nothing(world: World, ada: Site, bob: Site) -> None:
    understands(bob, ada, "stream", "verdicts")
    ada.parts.tuning = Tuning(legacy_inline_bytes=100)
    ada.write("public/large.txt", b"l" * 101)
    ada.write("public/small.txt", b"small")
    let_see(ada)
    assert paths(ada, bob) == [["public/small.txt"]]
    assert "too-large" in ada.problem_kinds()


def test_a_name_that_is_no_text_is_told_and_holds_nothing_else_back(
    judge: Judge, world: World, ada: Site, bob: Site
) -> None:
    bad = os.fsdecode(b"public/bad\xff.txt")
    ada.write(bad, b"no text")
    ada.write("public/good.txt", b"good")
    ada.write(os.fsdecode(b"public/dir\xff/x.txt"), b"below no text")
    world.settle()
    assert bob.tree(ada.email)["public/good.txt"] == b"good"
    assert "error" not in ada.problem_kinds()
    assert "bad-name" in ada.problem_kinds()
    ada.delete(bad)
    world.settle()
    assert not any("bad" in str(row["subject"]) for row in problems.problems(ada.db))
    ada.rename(os.fsdecode(b"public/dir\xff"), "public/dir")
    ada.write("public/later.txt", b"later")
    world.settle()
    assert bob.tree(ada.email)["public/later.txt"] == b"later"
    assert bob.tree(ada.email)["public/dir/x.txt"] == b"below no text"
    assert ada.problem_kinds() == set()


def test_a_clash_of_names_that_is_over_is_no_problem_any_more(world: World, ada: Site, bob: Site) -> None:
    for name in ("public/caf\u00e9.txt", "public/cafe\u0301.txt"):
        ada.write(name, name.encode())
    world.settle()
    assert "name-clash" in ada.problem_kinds()
    for name in ("public/caf\u00e9.txt", "public/cafe\u0301.txt"):
        ada.delete(name)
    world.settle()
    assert ada.problem_kinds() == set()


def test_asking_again_for_a_path_brings_it_again(world: World, ada: Site, bob: Site) -> None:
    ada.write("public/a.txt", b"a")
    world.settle()
    propose(bob, ada, [put("public/a.txt", b"a")], resync=True)
    let_see(ada)
    [events] = lying(ada, bob)
    assert [(change.path, change.after) for change in events.changes] == [("public/a.txt", Digest.of(b"a"))]


def test_a_resync_begins_a_new_epoch_that_tells_everything(judge: Judge, world: World, ada: Site, bob: Site) -> None:
    ada.write("public/a.txt", b"a")
    world.settle()
    old = views.reader(ada.db, bob.email)
    propose(bob, ada, [], resync=True)
    let_see(ada)
    events = lying(ada, bob)
    assert events[0].stream is not None and old is not None
    assert events[0].stream.epoch != old.epoch and events[0].stream.sequence == 1
    assert [str(change.path) for change in events[0].changes] == ["public/a.txt"]
    world.settle()
    judge.at_rest()


def test_at_rest_nothing_is_written(world: World, ada: Site, bob: Site) -> None:
    ada.write("public/a.txt", b"a")
    world.settle()
    before = world.writes()
    for _ in range(3):
        world.round(60.0)
    assert world.writes() == before


def test_what_a_lost_transaction_took_from_memory_is_told_all_the_same(
    judge: Judge, world: World, ada: Site, bob: Site
) -> None:
    """The database says that the reader is behind and nobody remembers in what: everything is looked at again."""
    ada.write("public/a.txt", b"a")
    world.settle()
    with ada.db.commit():
        row = views.reader(ada.db, bob.email)
        assert row is not None
        views.unshow(ada.db, bob.email, ["public/a.txt"])
        row.behind = True
        views.put_reader(ada.db, row)
    ada.engine.publish.add_reader(bob.email)
    ada.engine.publish._pending[bob.email].passing = False
    ada.poll()
    assert views.shown(ada.db, bob.email, ["public/a.txt"])
    world.settle()
    judge.at_rest()


def test_a_change_that_a_peer_may_not_read_leaves_that_peer_at_rest(world: World, ada: Site, bob: Site) -> None:
    world.settle()
    ada.poll()
    ada.write("secret/a.txt", b"for nobody")
    let_see(ada)
    assert list(ada.engine.publish._restless) == []
    ada.write("public/a.txt", b"for all")
    world.clock.advance(3.0)
    ada.due()
    assert list(ada.engine.publish._restless) == [bob.email]
