"""Every proposal gets one verdict: applied, or a refusal that says why; and a crash in between changes neither."""

from __future__ import annotations

import os

import pytest

from syftd.errors import DiskFull
from syftd.names import Digest, RelPath
from syftd.state import contacts, events, messages, problems
from syftd.transport import mailbox
from syftd.wire.messages import Change, Verdict
from tests.sim.adversity import Crash
from tests.sim.world import Site, World
from tests.unit.sync.letters import gone, let_see, lying, propose, pump_only, put


@pytest.fixture(autouse=True)
def silent(world: World, ada: Site, bob: Site) -> None:
    """Bob's daemon does nothing; the test speaks for it."""
    ada.write("drop/there.txt", b"there")
    world.settle()


def verdict(ada: Site, bob: Site, proposal: str) -> Verdict:
    """The one verdict that lies for bob about a proposal."""
    [found] = [item for told in lying(ada, bob) for item in told.verdicts if item.proposal == proposal]
    return found


def judged(ada: Site, bob: Site, *changes: Change) -> Verdict:
    id = propose(bob, ada, changes)
    let_see(ada)
    return verdict(ada, bob, id)


def test_applied(ada: Site, bob: Site) -> None:
    found = judged(ada, bob, put("drop/new.txt", b"new"), put("drop/there.txt", b"other", b"there"))
    assert (found.outcome, found.reason, found.current) == ("applied", "", ())
    assert ada.tree()["drop/new.txt"] == b"new" and ada.tree()["drop/there.txt"] == b"other"
    assert b"there" in ada.trash()
    assert [row["by"] for row in events.history(ada.db, "drop/new.txt")] == [bob.email]


def test_a_deletion_is_applied_and_can_be_undone(ada: Site, bob: Site) -> None:
    assert judged(ada, bob, gone("drop/there.txt", b"there")).outcome == "applied"
    assert "drop/there.txt" not in ada.tree()
    assert b"there" in ada.trash()


def test_what_is_already_so_is_applied_and_changes_nothing(ada: Site, bob: Site) -> None:
    before = ada.place("drop/there.txt").stat().st_ino
    assert judged(ada, bob, put("drop/there.txt", b"there", b"some other base")).outcome == "applied"
    assert ada.place("drop/there.txt").stat().st_ino == before
    assert len(events.history(ada.db, "drop/there.txt")) == 1


def test_stale_tells_what_is_there(ada: Site, bob: Site) -> None:
    found = judged(ada, bob, put("drop/there.txt", b"mine", b"an older one"), put("drop/new.txt", b"n"))
    assert found.outcome == "stale"
    assert found.current == (("drop/there.txt", Digest.of(b"there")),)
    assert "drop/new.txt" not in ada.tree(), "all of it or none"


def test_stale_when_the_file_is_gone(ada: Site, bob: Site) -> None:
    found = judged(ada, bob, put("drop/never.txt", b"x", b"a base"))
    assert (found.outcome, found.current) == ("stale", (("drop/never.txt", None),))


@pytest.mark.parametrize("path", ["private/theirs/new.txt", "drop/.git/hooks/post-checkout"])
def test_a_permission_file_where_nothing_travels_keeps_no_answer_back(ada: Site, bob: Site, path: str) -> None:
    ada.write(f"{path.rpartition('/')[0]}/syft.pub.yaml", b"rules:\n- pattern: '**'\n  access:\n    write: ['*']\n")
    assert judged(ada, bob, put(path, b"new")).outcome == "denied"


def test_the_base_is_what_is_on_disk_not_what_was_indexed(ada: Site, bob: Site) -> None:
    ada.write("drop/there.txt", b"edited a moment ago", hint=False)
    id = propose(bob, ada, [put("drop/there.txt", b"from bob", b"there")])
    ada.poll()
    pump_only(ada)
    assert verdict(ada, bob, id).outcome == "stale"
    assert ada.tree()["drop/there.txt"] == b"edited a moment ago"


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("public/x.txt", "no write permission"),
        ("drop/syft.pub.yaml", "no write permission"),
        ("private/x.txt", "private"),
        ("drop/.git/hook", "tools"),
        ("elsewhere.txt", "no write permission"),
    ],
)
def test_denied(ada: Site, bob: Site, path: str, words: str) -> None:
    before = ada.tree()
    found = judged(ada, bob, put(path, b"x"), put("drop/fine.txt", b"y"))
    assert found.outcome == "denied" and words in found.reason
    assert ada.tree() == before


def test_denied_where_a_folder_or_a_link_is(ada: Site, bob: Site) -> None:
    ada.place("drop/folder").mkdir()
    ada.place("drop/link").symlink_to(ada.home)
    for change in (put("drop/folder", b"x"), put("drop/link", b"x"), put("drop/link/state.db", b"x")):
        assert judged(ada, bob, change).outcome == "denied"
    assert ada.place("drop/link").is_symlink()


def test_a_disk_without_room_is_no_verdict_and_the_proposal_is_taken_up_later(ada: Site, bob: Site) -> None:
    free = ada.disk.free_bytes
    ada.disk.free_bytes = lambda: 10  # type: ignore[method-assign]
    id = propose(bob, ada, [put("drop/x.txt", b"eleven byte")])
    let_see(ada)
    assert not any(told.verdicts for told in lying(ada, bob))
    assert ("disk-full", ada.email) in problems.subjects(ada.db, "disk-full")
    # What needs less is not held up by it.
    assert judged(ada, bob, put("drop/y.txt", b"little")).outcome == "applied"
    ada.disk.free_bytes = free  # type: ignore[method-assign]
    let_see(ada)
    assert verdict(ada, bob, id).outcome == "applied"
    assert ada.tree()["drop/x.txt"] == b"eleven byte"


def test_a_disk_that_fills_up_gives_a_verdict_too(ada: Site, bob: Site) -> None:
    def meet(seam: str) -> None:
        if seam == "stage":
            raise DiskFull("no space is left")

    ada.meet = meet
    id = propose(bob, ada, [put("drop/x.txt", b"x")])
    let_see(ada)
    ada.meet = lambda seam: None
    let_see(ada, 700)
    assert verdict(ada, bob, id).outcome in ("denied", "applied")
    assert not messages.intents(ada.db)


def test_a_proposal_in_somebody_elses_name_is_set_aside(world: World, ada: Site, bob: Site) -> None:
    cy = world.site("cy")
    propose(bob, ada, [put("drop/x.txt", b"x")], claims=cy)
    propose(bob, ada, [put("drop/y.txt", b"y")], claims=ada)
    propose(bob, ada, [put("drop/z.txt", b"z")], meant_for=cy)
    let_see(ada)
    assert len(ada.quarantined) == 3
    assert not {"drop/x.txt", "drop/y.txt", "drop/z.txt"} & ada.tree().keys()
    assert not world.hub.contents(mailbox.inbox(ada.email, bob.email))


def test_the_same_proposal_twice_is_applied_once(ada: Site, bob: Site) -> None:
    id = propose(bob, ada, [put("drop/x.txt", b"x")])
    let_see(ada)
    ada.delete("drop/x.txt")
    let_see(ada)
    propose(bob, ada, [put("drop/x.txt", b"x")], id=id)
    let_see(ada)
    assert "drop/x.txt" not in ada.tree()
    assert len([item for told in lying(ada, bob) for item in told.verdicts]) == 1


def test_a_proposal_of_somebody_who_is_no_peer_any_more_does_nothing(world: World, ada: Site, bob: Site) -> None:
    peer = contacts.get(ada.db, bob.email)
    assert peer is not None
    contacts.put(ada.db, peer._replace(state="rejected"))
    propose(bob, ada, [put("drop/x.txt", b"x")])
    let_see(ada)
    assert "drop/x.txt" not in ada.tree()


def test_rules_that_changed_on_disk_are_looked_at_before_a_verdict(ada: Site, bob: Site) -> None:
    id = propose(bob, ada, [put("drop/x.txt", b"x")])
    ada.rules("drop", write=[], hint=False)
    ada.poll()
    pump_only(ada)
    assert "drop/x.txt" not in ada.tree()
    let_see(ada)
    let_see(ada)
    assert verdict(ada, bob, id).outcome == "denied"


def test_permission_files_come_last_and_need_admin(ada: Site, bob: Site) -> None:
    text = b"rules:\n- pattern: '**'\n  access:\n    admin: [bob@example.org]\n    write: []\n    read: []\n"
    ada.write("drop/syft.pub.yaml", text)
    let_see(ada)
    order: list[str] = []
    replace = ada.disk.replace

    def watching(site: str, path: str, *args: object, **more: object) -> object:
        order.append(path)
        return replace(site, path, *args, **more)  # type: ignore[arg-type]

    ada.disk.replace = watching  # type: ignore[method-assign, assignment]
    rules = text.replace(b"admin: [bob@example.org]", b"admin: ['*']")
    found = judged(ada, bob, put("drop/syft.pub.yaml", rules, text), put("drop/zz.txt", b"z"))
    assert found.outcome == "applied"
    assert order == ["drop/zz.txt", "drop/syft.pub.yaml"]


def test_the_executable_bit_is_the_owners(ada: Site, bob: Site) -> None:
    ada.write("drop/run.sh", b"#!/bin/sh\n", executable=True)
    let_see(ada)
    new = Change(RelPath("drop/x.sh"), None, Digest.of(b"x"), b"x", executable=True)
    assert judged(ada, bob, new).outcome == "applied"
    assert judged(ada, bob, put("drop/run.sh", b"other", b"#!/bin/sh\n")).outcome == "applied"
    assert not os.access(ada.place("drop/x.sh"), os.X_OK)
    assert os.access(ada.place("drop/run.sh"), os.X_OK)


def test_one_bad_proposal_does_not_hold_up_the_next(ada: Site, bob: Site) -> None:
    box = mailbox.inbox(ada.email, bob.email)
    stamp = bob.world.stamp() / 1e9
    bob.mailbox.put(box, f"msgv2_{stamp!r}_{bob.world.random.uuid()}.tar.gz", b"garbage", private=True)
    stale = propose(bob, ada, [put("drop/there.txt", b"x", b"wrong base")])
    good = propose(bob, ada, [put("drop/good.txt", b"good")])
    let_see(ada)
    assert verdict(ada, bob, stale).outcome == "stale"
    assert verdict(ada, bob, good).outcome == "applied"
    assert "quarantine" in ada.problem_kinds()


@pytest.mark.parametrize("seam", ["commit.after", "stage", "sync", "sync.after", "replace", "replace.after", "commit"])
@pytest.mark.parametrize("times", [1, 2, 3])
def test_a_crash_at_any_point_gives_the_same_verdict_and_the_same_files(
    world: World, ada: Site, bob: Site, seam: str, times: int
) -> None:
    id = propose(bob, ada, [put("drop/a.txt", b"a"), put("drop/there.txt", b"new", b"there"), put("drop/z.txt", b"z")])
    left = times

    def meet(passed: str) -> None:
        nonlocal left
        if passed == seam and messages.intents(ada.db):
            left -= 1
            if left == 0:
                raise Crash(seam)

    ada.meet = meet
    ada.poll()
    pump_only(ada)
    ada.meet = lambda seam: None
    if not ada.alive:
        ada.restart()
    let_see(ada)
    assert verdict(ada, bob, id).outcome == "applied"
    tree = ada.tree()
    assert [tree[f"drop/{name}.txt"] for name in ("a", "there", "z")] == [b"a", b"new", b"z"]
    assert not messages.intents(ada.db)
    for name in ("a", "z"):
        assert len(events.history(ada.db, f"drop/{name}.txt")) == 1


def test_an_edit_while_the_daemon_was_down_in_the_middle_of_a_proposal_wins(ada: Site, bob: Site) -> None:
    id = propose(bob, ada, [put("drop/there.txt", b"from bob", b"there")])

    def meet(seam: str) -> None:
        if seam == "replace":
            raise Crash(seam)

    ada.meet = meet
    ada.poll()
    pump_only(ada)
    ada.meet = lambda seam: None
    assert not ada.alive
    ada.write("drop/there.txt", b"ada's word", hint=False)
    ada.restart()
    let_see(ada)
    assert verdict(ada, bob, id).outcome == "stale"
    assert ada.tree()["drop/there.txt"] == b"ada's word"
