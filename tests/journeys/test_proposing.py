"""A reader edits a mirror: allowed changes reach the owner, others are put back, and no version is ever lost."""

from __future__ import annotations

from tests.journeys.boxes import lies_in
from tests.journeys.conftest import OWNER, Three
from tests.journeys.daemons import CommandFailed, Daemon, drop

SECONDS = 30.0


def edit(one: Daemon, of: str, path: str, content: str) -> None:
    """Saves a file in the mirror of `of` as a careful editor does."""
    target = one.mirror(of) / path
    target.parent.mkdir(parents=True, exist_ok=True)
    drop(one.home.parent / f".{one.home.name}.edit", target, content.encode())


def writable(three: Three, folder: str, **contents: str) -> None:
    """A folder of the owner's that ann may write in, with these files in it, seen by ann."""
    for name, content in contents.items():
        three.owner.write(f"{folder}/{name}", content)
    three.owner.cli("share", folder, "--with", three.ann.email, "--write")
    for name, content in contents.items():
        three.ann.sees(OWNER, f"{folder}/{name}", content)


def test_an_edit_a_new_file_and_a_deletion_reach_the_owner_and_the_other_readers(three: Three) -> None:
    owner, ann, ben = three.owner, three.ann, three.ben
    writable(three, "joint", a="version 1", b="goes away")
    owner.cli("share", "joint", "--with", ben.email)
    ben.sees(OWNER, "joint/b", "goes away")
    edit(ann, OWNER, "joint/a", "version 2, by ann")
    owner.holds("joint/a", "version 2, by ann")
    edit(ann, OWNER, "joint/deep/er/new.txt", "new, by ann")
    owner.holds("joint/deep/er/new.txt", "new, by ann")
    (ann.mirror(OWNER) / "joint/b").unlink()
    owner.lacks(OWNER, "joint/b")
    ben.sees(OWNER, "joint/a", "version 2, by ann")
    ben.sees(OWNER, "joint/deep/er/new.txt", "new, by ann")
    ben.lacks(OWNER, "joint/b")
    by = [version["by"] for version in owner.cli("history", "joint/a")]
    assert sorted(by) == sorted([OWNER, ann.email])
    # What ann replaced is not lost: the owner can go back.
    owner.cli("restore", "joint/a")
    owner.holds("joint/a", "version 1")
    ann.sees(OWNER, "joint/a", "version 1")
    assert ann.problem("not-taken") is None


def test_a_file_renamed_in_the_mirror_is_renamed_at_the_owner(three: Three) -> None:
    owner, ann = three.owner, three.ann
    writable(three, "renamed", old="the same content")
    (ann.mirror(OWNER) / "renamed/old").rename(ann.mirror(OWNER) / "renamed/new")
    owner.holds("renamed/new", "the same content")
    owner.lacks(OWNER, "renamed/old")
    ann.caught_up_with(owner)
    assert (ann.mirror(OWNER) / "renamed/new").read_text() == "the same content"
    assert not (ann.mirror(OWNER) / "renamed/old").exists()


def test_many_quick_saves_end_with_the_last_one_everywhere(three: Three) -> None:
    owner, ann = three.owner, three.ann
    writable(three, "quick", f="0")
    for number in range(1, 40):
        edit(ann, OWNER, "quick/f", str(number))
    owner.holds("quick/f", "39")
    ann.caught_up_with(owner)
    assert (ann.mirror(OWNER) / "quick/f").read_text() == "39"
    assert ann.problem("not-taken") is None


def test_without_the_right_the_owners_file_is_put_back_and_the_edit_can_be_restored(three: Three) -> None:
    owner, ann = three.owner, three.ann
    owner.write("readonly/a.txt", "the owner's word")
    owner.cli("share", "readonly", "--with", ann.email)
    ann.sees(OWNER, "readonly/a.txt", "the owner's word")
    edit(ann, OWNER, "readonly/a.txt", "ann's own words")
    ann.wait_for(lambda: b"ann's own words" in ann.trash(), SECONDS, "the edit in the trash", 0.1)
    ann.sees(OWNER, "readonly/a.txt", "the owner's word")
    problem = ann.troubled_by("not-taken", "readonly/a.txt")
    assert OWNER in problem["text"]
    assert "restore" in problem["remedy"]
    assert (owner.own / "readonly/a.txt").read_text() == "the owner's word"
    path = f"{ann.data}/datasites/{OWNER}/readonly/a.txt"
    assert ann.cli("restore", path)["path"] == "readonly/a.txt"
    # It is an edit like any other, so it is refused again, and kept again.
    ann.sees(OWNER, "readonly/a.txt", "the owner's word")
    ann.wait_for(lambda: b"ann's own words" in ann.trash(), SECONDS, "the edit in the trash", 0.1)


def test_without_the_right_a_deletion_and_a_new_file_are_undone(three: Three) -> None:
    owner, ann = three.owner, three.ann
    owner.write("kept/a.txt", "kept")
    owner.cli("share", "kept", "--with", ann.email)
    ann.sees(OWNER, "kept/a.txt", "kept")
    (ann.mirror(OWNER) / "kept/a.txt").unlink()
    ann.sees(OWNER, "kept/a.txt", "kept")
    edit(ann, OWNER, "kept/mine.txt", "where it does not belong")
    ann.wait_for(lambda: b"where it does not belong" in ann.trash(), SECONDS, "the new file in the trash", 0.1)
    ann.lacks(OWNER, "kept/mine.txt")
    assert lies_in(owner.data, b"where it does not belong") == []


def test_a_permission_file_cannot_be_proposed(three: Three) -> None:
    owner, ann = three.owner, three.ann
    writable(three, "rules", a="a")
    before = (owner.own / "rules/syft.pub.yaml").read_bytes()
    edit(ann, OWNER, "rules/syft.pub.yaml", "rules:\n- pattern: '**'\n  access:\n    admin: ['*']\n")
    edit(ann, OWNER, "rules/sub/syft.pub.yaml", "rules:\n- pattern: '**'\n  access:\n    admin: ['*']\n")
    edit(ann, OWNER, "rules/a", "b")
    owner.holds("rules/a", "b")
    ann.wait_for(lambda: ann.problem("not-taken", "rules/sub/syft.pub.yaml"), SECONDS, "the refusal", 0.1)
    assert (owner.own / "rules/syft.pub.yaml").read_bytes() == before
    assert not (owner.own / "rules/sub").exists()


def test_a_write_right_for_one_folder_is_none_for_another(three: Three) -> None:
    owner, ann = three.owner, three.ann
    writable(three, "mine", a="a")
    edit(ann, OWNER, "elsewhere/a.txt", "canary-elsewhere")
    edit(ann, OWNER, "private/a.txt", "canary-elsewhere")
    edit(ann, OWNER, "mine/a", "allowed")
    owner.holds("mine/a", "allowed")
    ann.wait_for(lambda: ann.problem("not-taken", "elsewhere/a.txt"), SECONDS, "the refusal", 0.1)
    assert lies_in(owner.own, b"canary-elsewhere") == []


def test_both_edit_while_the_reader_is_stopped_the_owner_wins_and_nothing_is_lost(three: Three) -> None:
    owner, ann = three.owner, three.ann
    writable(three, "clash", f="the common ground")
    ann.stop()
    edit(ann, OWNER, "clash/f", "ann's version")
    owner.write("clash/f", "the owner's version")
    ann.start()
    ann.sees(OWNER, "clash/f", "the owner's version")
    ann.wait_for(lambda: b"ann's version" in ann.trash(), SECONDS, "ann's version in the trash", 0.1)
    ann.troubled_by("not-taken", "clash/f")
    assert (owner.own / "clash/f").read_text() == "the owner's version"
    # Ann looks at it, decides for hers after all, and may do so.
    ann.cli("restore", f"{ann.data}/datasites/{OWNER}/clash/f")
    owner.holds("clash/f", "ann's version")
    ann.healed_of("not-taken", "clash/f")


def test_both_edit_while_the_owner_is_stopped_the_owner_wins_and_nothing_is_lost(three: Three) -> None:
    owner, ann = three.owner, three.ann
    writable(three, "clash2", f="the common ground")
    owner.stop()
    edit(ann, OWNER, "clash2/f", "ann's version, proposed")
    ann.wait_for(lambda: _waiting(ann), SECONDS, "the proposal on its way", 0.1)
    (owner.own / "clash2/f").write_text("the owner's version")
    owner.start()
    ann.sees(OWNER, "clash2/f", "the owner's version")
    ann.wait_for(lambda: b"ann's version, proposed" in ann.trash(), SECONDS, "ann's version in the trash", 0.1)
    assert (owner.own / "clash2/f").read_text() == "the owner's version"
    ann.wait_for(lambda: not _waiting(ann), SECONDS, "the verdict", 0.1)


def test_the_owner_deletes_what_the_reader_edits(three: Three) -> None:
    owner, ann = three.owner, three.ann
    writable(three, "clash3", f="the common ground", g="g")
    ann.stop()
    edit(ann, OWNER, "clash3/f", "ann's last edit")
    (owner.own / "clash3/f").unlink()
    owner.wait_for(lambda: len(owner.cli("history", "clash3/f")) == 2, SECONDS, "the deletion in history", 0.1)
    ann.start()
    ann.wait_for(lambda: b"ann's last edit" in ann.trash(), SECONDS, "ann's edit in the trash", 0.1)
    ann.lacks(OWNER, "clash3/f")
    assert not (owner.own / "clash3/f").exists()


def test_editing_the_files_of_somebody_who_is_no_peer_is_told_as_such(three: Three) -> None:
    ann = three.ann
    target = ann.data / "datasites" / "zoe@nowhere.example"
    try:
        ann.cli("share", str(target), "--with", OWNER)
    except CommandFailed as failed:
        assert failed.code == 2
    else:
        raise AssertionError("sharing what is not one's own must fail")


def _waiting(one: Daemon) -> int:
    status = one.cli("status", ok=(0, 3))
    return next(int(each["waiting_verdict"]) for each in status["peers"] if each["email"] == OWNER)
