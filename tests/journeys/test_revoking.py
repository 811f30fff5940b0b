"""Taking a right back: what was shown goes, and what was still on its way never arrives."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.journeys.boxes import carried, lies_in
from tests.journeys.conftest import OWNER, Pair, Three
from tests.journeys.daemons import Daemon

SECONDS = 30.0


@pytest.fixture
def offline(three: Three) -> Iterator[Daemon]:
    """Ann, whose daemon is not running; it runs again afterwards."""
    three.ann.stop()
    yield three.ann
    if three.ann.process is None:
        three.ann.start()


def nothing_on_its_way(three: Three, needle: bytes) -> None:
    """Waits until no object in the shared folder holds `needle`."""
    three.owner.wait_for(lambda: not carried(three.mailbox, needle), SECONDS, f"{needle!r} to be taken back", 0.1)


def test_what_was_shown_is_taken_back_and_a_narrower_right_stays(three: Three) -> None:
    owner, ann, ben = three.owner, three.ann, three.ben
    owner.write("plans/a.txt", "plan a")
    owner.write("plans/b.txt", "plan b")
    owner.cli("share", "plans", "--with", ann.email)
    owner.cli("share", "plans", "--with", ben.email)
    for reader in (ann, ben):
        reader.sees(OWNER, "plans/b.txt", "plan b")
    owner.cli("unshare", "plans", "--with", ann.email)
    ann.lacks(OWNER, "plans/a.txt")
    ann.lacks(OWNER, "plans/b.txt")
    owner.write("plans/a.txt", "plan a, after ann")
    ben.sees(OWNER, "plans/a.txt", "plan a, after ann")
    ann.caught_up_with(owner)
    assert lies_in(ann.data, b"plan a, after ann") == []


def test_taking_back_by_hand_in_the_permission_file_works_as_well(three: Three) -> None:
    owner, ann = three.owner, three.ann
    owner.write("by-hand/a.txt", "by hand")
    owner.write("by-hand/syft.pub.yaml", f"rules:\n- pattern: '*.txt'\n  access:\n    read: ['{ann.email}']\n")
    ann.sees(OWNER, "by-hand/a.txt", "by hand")
    (owner.own / "by-hand/syft.pub.yaml").unlink()
    ann.lacks(OWNER, "by-hand/a.txt")


def test_unshare_says_when_a_wider_entry_still_lets_somebody_read(three: Three) -> None:
    owner, ann = three.owner, three.ann
    owner.write("wide/a.txt", "wide")
    owner.cli("share", "wide", "--with", "*@university.example")
    owner.cli("share", "wide", "--with", ann.email)
    ann.sees(OWNER, "wide/a.txt", "wide")
    assert owner.cli("unshare", "wide", "--with", ann.email)["still"] == ["*@university.example"]
    assert owner.cli("unshare", "wide", "--with", "*@university.example")["still"] == []
    ann.lacks(OWNER, "wide/a.txt")


def test_what_lies_unread_is_taken_out_of_the_box(three: Three, offline: Daemon) -> None:
    owner, ann = three.owner, offline
    owner.write("unread/a.txt", "canary-unread")
    owner.write("unread/keep.txt", "stays shared")
    owner.cli("share", "unread/keep.txt", "--with", ann.email)
    owner.cli("share", "unread/a.txt", "--with", ann.email)
    owner.wait_for(lambda: carried(three.mailbox, b"canary-unread"), SECONDS, "the message in the box", 0.1)
    owner.cli("unshare", "unread/a.txt", "--with", ann.email)
    nothing_on_its_way(three, b"canary-unread")
    ann.start()
    ann.sees(OWNER, "unread/keep.txt", "stays shared")
    ann.caught_up_with(owner)
    assert lies_in(ann.data, b"canary-unread") == []
    assert lies_in(ann.home / "state", b"canary-unread") == []
    assert ann.problem("gap") is None


def test_a_row_that_could_not_be_sent_yet_does_not_go_out_after_the_right_is_gone(three: Three) -> None:
    owner, ann = three.owner, three.ann
    owner.cli("pause")
    owner.write("queued/a.txt", "canary-queued")
    owner.cli("share", "queued", "--with", ann.email)
    # In the log of events, so accepted and written for every reader, and not sent: the owner has paused.
    owner.wait_for(lambda: owner.cli("history", "queued/a.txt"), SECONDS, "the file in history", 0.1)
    owner.wait_for(lambda: _to_send(owner, ann.email), SECONDS, "the row in the outbox", 0.1)
    assert carried(three.mailbox, b"canary-queued") == []
    owner.cli("unshare", "queued", "--with", ann.email)
    owner.cli("resume")
    ann.caught_up_with(owner)
    assert carried(three.mailbox, b"canary-queued") == []
    assert lies_in(ann.data, b"canary-queued") == []


def test_while_the_owner_was_stopped_a_right_was_taken_back_and_the_file_changed(three: Three) -> None:
    owner, ann = three.owner, three.ann
    owner.write("asleep/a.txt", "first")
    owner.cli("share", "asleep", "--with", ann.email)
    ann.sees(OWNER, "asleep/a.txt", "first")
    owner.stop()
    (owner.own / "asleep/a.txt").write_text("canary-asleep")
    (owner.own / "asleep/syft.pub.yaml").write_text("rules: []\n")
    owner.start()
    ann.lacks(OWNER, "asleep/a.txt")
    ann.caught_up_with(owner)
    assert carried(three.mailbox, b"canary-asleep") == []
    assert lies_in(ann.data, b"canary-asleep") == []


def test_the_permission_file_goes_to_nobody_and_an_edit_just_after_a_revocation_never_leaks(three: Three) -> None:
    owner, ann = three.owner, three.ann
    owner.write("race/a.txt", "open")
    owner.cli("share", "race", "--with", ann.email)
    ann.sees(OWNER, "race/a.txt", "open")
    for number in range(15):
        # The rules are tightened on disk, and the very next moment a secret is written below them.
        owner.write("race/syft.pub.yaml", "rules: []\n")
        owner.write("race/a.txt", f"canary-race {number}")
        ann.lacks(OWNER, "race/a.txt")
        assert carried(three.mailbox, b"canary-race") == []
        owner.write("race/a.txt", f"harmless {number}")
        owner.write("race/syft.pub.yaml", f"rules:\n- pattern: '**'\n  access:\n    read: ['{ann.email}']\n")
        ann.sees(OWNER, "race/a.txt", f"harmless {number}")
    assert lies_in(ann.data, b"canary-race") == []
    assert lies_in(ann.home / "state", b"canary-race") == []
    assert not (ann.mirror(OWNER) / "race/syft.pub.yaml").exists()


def test_large_content_that_nobody_has_fetched_is_of_no_use_after_the_revocation(pair: Pair) -> None:
    owner, researcher = pair.owner, pair.researcher
    researcher.stop()
    owner.write("big/scan.bin", b"canary-large" + bytes(3 * 1024 * 1024))
    owner.cli("share", "big", "--with", researcher.email)
    owner.wait_for(lambda: carried(owner.folder, b"big/scan.bin"), SECONDS, "the announcement in the box", 0.1)
    owner.cli("unshare", "big", "--with", researcher.email)
    # Neither the announcement nor the chunks stay where somebody could still fetch them.
    owner.wait_for(lambda: not carried(owner.folder, b"canary-large"), SECONDS, "the chunks to go", 0.1)
    researcher.start()
    researcher.caught_up_with(owner)
    assert not (researcher.mirror(owner.email) / "big").exists()
    assert lies_in(researcher.home, b"canary-large") == []


def _to_send(one: Daemon, peer: str) -> int:
    status = one.cli("status", ok=(0, 3))
    return next(int(each["to_send"]) for each in status["peers"] if each["email"] == peer)
