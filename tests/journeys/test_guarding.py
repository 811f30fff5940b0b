"""What must stop and ask, what must be shown, and what must not hold up anything else."""

from __future__ import annotations

import os
import shutil
import unicodedata

import pytest

from tests.journeys.boxes import lies_in
from tests.journeys.conftest import OWNER, Pair, Three
from tests.journeys.daemons import CommandFailed, Daemon

SECONDS = 30.0
MANY = 60


def many(three: Three, folder: str) -> list[str]:
    """Sixty files that ann sees; together they are far more than may vanish unasked."""
    paths = [f"{folder}/{number:02}.txt" for number in range(MANY)]
    for path in paths:
        three.owner.write(path, f"content of {path}")
    three.owner.cli("share", folder, "--with", three.ann.email)
    for path in paths:
        three.ann.sees(OWNER, path, f"content of {path}")
    return paths


def mirrored(three: Three, folder: str) -> int:
    return len(list((three.ann.mirror(OWNER) / folder).glob("*.txt")))


def test_a_mass_deletion_waits_and_is_carried_out_when_confirmed(three: Three) -> None:
    owner, ann = three.owner, three.ann
    many(three, "confirmed")
    shutil.rmtree(owner.own / "confirmed")
    problem = owner.troubled_by("halted")
    assert problem["plan"]
    assert "syftd confirm" in problem["remedy"]
    # The rest goes on meanwhile, and not one deletion has been told.
    ann.caught_up_with(owner)
    assert mirrored(three, "confirmed") == MANY
    assert owner.cli("status", ok=(3,))["problems"]
    owner.cli("confirm", problem["plan"])
    ann.lacks(OWNER, "confirmed")
    owner.healed_of("halted")


def test_a_mass_deletion_that_was_not_meant_is_brought_back(three: Three) -> None:
    owner, ann = three.owner, three.ann
    paths = many(three, "rejected")
    # Contents are kept for going back in turns while nothing else is to do.
    every = [*paths, "rejected/syft.pub.yaml"]
    owner.wait_for(lambda: all(_kept(owner, path) for path in every), SECONDS, "all files to be kept", 0.2)
    shutil.rmtree(owner.own / "rejected")
    problem = owner.troubled_by("halted")
    answer = owner.cli("reject", problem["plan"])
    assert answer["restored"] == MANY + 1  # The permission file among them.
    for path in paths:
        owner.holds(path, f"content of {path}")
    owner.healed_of("halted")
    ann.caught_up_with(owner)
    assert mirrored(three, "rejected") == MANY
    with pytest.raises(CommandFailed, match="no plan"):
        owner.cli("confirm", problem["plan"])


def test_files_that_come_back_by_themselves_need_no_word(three: Three) -> None:
    owner, ann = three.owner, three.ann
    many(three, "unplugged")
    aside = owner.own.parent.parent / ".aside"
    (owner.own / "unplugged").rename(aside)
    problem = owner.troubled_by("halted")
    aside.rename(owner.own / "unplugged")
    owner.healed_of("halted")
    with pytest.raises(CommandFailed, match="no plan"):
        owner.cli("confirm", problem["plan"])
    ann.caught_up_with(owner)
    assert mirrored(three, "unplugged") == MANY


def test_a_mirror_that_loses_many_files_is_filled_again_and_nothing_is_proposed(three: Three) -> None:
    owner, ann = three.owner, three.ann
    most = [f"both/{number:03}.txt" for number in range(150)]  # Also beside the files of the other tests.
    for path in most:
        owner.write(path, f"content of {path}")
    owner.cli("share", "both", "--with", ann.email, "--write")
    for path in most:
        ann.sees(OWNER, path, f"content of {path}")
    shutil.rmtree(ann.mirror(OWNER) / "both")
    ann.troubled_by("put-back", OWNER)
    for path in most:
        ann.sees(OWNER, path, f"content of {path}")
    assert len(list((owner.own / "both").glob("*.txt"))) == len(most)
    assert owner.problem("halted") is None


def test_a_mirror_that_vanishes_whole_is_filled_again(three: Three) -> None:
    owner, ann = three.owner, three.ann
    owner.write("whole/a.txt", "whole")
    owner.cli("share", "whole", "--with", ann.email, "--write")
    ann.sees(OWNER, "whole/a.txt", "whole")
    shutil.rmtree(ann.mirror(OWNER))
    ann.sees(OWNER, "whole/a.txt", "whole")
    assert (owner.own / "whole/a.txt").read_text() == "whole"


def test_a_broken_permission_file_closes_its_folder_and_nothing_else(three: Three) -> None:
    owner, ann = three.owner, three.ann
    good = f"rules:\n- pattern: '**'\n  access:\n    read: ['{ann.email}']\n"
    owner.write("broken/sub/a.txt", "inside")
    owner.write("broken/syft.pub.yaml", good)
    owner.write("sound/a.txt", "outside")
    owner.cli("share", "sound", "--with", ann.email)
    ann.sees(OWNER, "broken/sub/a.txt", "inside")
    ann.sees(OWNER, "sound/a.txt", "outside")
    owner.write("broken/syft.pub.yaml", "rules: [}\n\tnot yaml")
    ann.lacks(OWNER, "broken/sub/a.txt")
    problem = owner.troubled_by("rules", "broken/syft.pub.yaml")
    assert problem["remedy"]
    owner.write("sound/a.txt", "outside, later")
    ann.sees(OWNER, "sound/a.txt", "outside, later")
    owner.write("broken/sub/a.txt", "canary-inside")
    ann.caught_up_with(owner)
    assert lies_in(ann.data, b"canary-inside") == []
    owner.write("broken/syft.pub.yaml", good)
    ann.sees(OWNER, "broken/sub/a.txt", "canary-inside")
    owner.healed_of("rules", "broken/syft.pub.yaml")


def test_a_permission_file_that_is_a_link_or_cannot_be_read_opens_nothing(three: Three) -> None:
    owner, ann = three.owner, three.ann
    owner.write("linked/a.txt", "canary-linked")
    rules = owner.home / "rules-elsewhere.yaml"
    rules.write_text("rules:\n- pattern: '**'\n  access:\n    read: ['*']\n")
    (owner.own / "linked/syft.pub.yaml").symlink_to(rules)
    owner.troubled_by("rules", "linked/syft.pub.yaml")
    owner.took_up("linked/a.txt")
    ann.caught_up_with(owner)
    assert lies_in(ann.data, b"canary-linked") == []


def test_links_are_never_followed(three: Three) -> None:
    owner, ann = three.owner, three.ann
    secret = owner.home / "diary.txt"
    secret.write_text("canary-diary")
    (owner.own / "public/diary.txt").symlink_to(secret)
    (owner.own / "public/home").symlink_to(owner.home)
    ann.caught_up_with(owner)
    assert lies_in(ann.data, b"canary-diary") == []
    assert not (ann.mirror(OWNER) / "public/diary.txt").exists()
    assert not (ann.mirror(OWNER) / "public/home").exists()


def test_two_spellings_of_one_name_are_shown_and_neither_is_sent(three: Three) -> None:
    owner, ann = three.owner, three.ann
    composed, decomposed = (unicodedata.normalize(form, "public/Übersicht.txt") for form in ("NFC", "NFD"))
    owner.write(composed, "first")
    ann.sees(OWNER, composed, "first")
    owner.write(decomposed, "second")
    problem = owner.troubled_by("name-clash", composed)
    assert problem["remedy"]
    ann.caught_up_with(owner)
    assert (ann.mirror(OWNER) / composed).read_text() == "first"
    (owner.own / composed).unlink()
    ann.sees(OWNER, composed, "second")
    owner.healed_of("name-clash", composed)


@pytest.mark.parametrize("kind", ["inbox", "outbox"])
def test_garbage_in_a_box_is_set_aside_and_the_next_message_goes_through(three: Three, kind: str) -> None:
    owner, ann = three.owner, three.ann
    name = {
        "inbox": "msgv2_1700000000.000001_6f1f3a52-6f0c-4d0e-8a56-0f6a3a0c7b11.tar.gz",
        "outbox": "syfteventsmessagev3_1700000000.000001_6f1f3a52-6f0c-4d0e-8a56-0f6a3a0c7b11.tar.gz",
    }[kind]
    # What ann sends lies in her inbox at the owner; what the owner sends her lies in his outbox to her.
    victim, sender = (owner, ann) if kind == "inbox" else (ann, owner)
    box = next(three.mailbox.glob(f"{ann.email}/syft_datasite#*#{OWNER}#{kind}#{ann.email}"), None) or next(
        three.mailbox.glob(f"*/syft_datasite#*#{OWNER}#{kind}#*{ann.email}*")
    )
    (box / name).write_bytes(os.urandom(4000))
    victim.troubled_by("quarantine", sender.email)
    victim.wait_for(lambda: not (box / name).exists(), SECONDS, "the garbage to be taken away", 0.1)
    assert lies_in(victim.home / "state" / "quarantine", name.encode())
    if kind == "inbox":
        owner.write("after/a", "before the edit")
        owner.cli("share", "after", "--with", ann.email, "--write")
        ann.sees(OWNER, "after/a", "before the edit")
        (ann.mirror(OWNER) / "after/a").write_text("after the garbage")
        owner.holds("after/a", "after the garbage")
    else:
        ann.caught_up_with(owner)
        assert ann.problem("gap") is None


def test_files_that_are_no_messages_are_left_alone_in_a_box(three: Three) -> None:
    owner, ann = three.owner, three.ann
    box = next(three.mailbox.glob(f"*/syft_datasite#*#{OWNER}#outbox#*"))
    for name in ("README.txt", "desktop.ini", ".hidden", "msgv2_nonsense"):
        (box / name).write_text("not a message")
    (box / "a folder").mkdir()
    (box / "link").symlink_to("/etc/hostname")
    ann.caught_up_with(owner)
    three.ben.caught_up_with(owner)
    assert (box / "README.txt").read_text() == "not a message"


def test_an_emptied_datasite_halts_and_tells_nobody(pair: Pair) -> None:
    owner, researcher = pair.owner, pair.researcher
    for number in range(8):
        owner.write(f"public/{number}.txt", f"number {number}")
    for number in range(8):
        researcher.sees(owner.email, f"public/{number}.txt", f"number {number}")
    # An empty disk stands where the datasite was: even the marker is gone.
    aside = owner.home / "aside"
    owner.stop()
    owner.own.rename(aside)
    owner.own.mkdir(mode=0o700)
    owner.start()
    owner.wait_for(lambda: owner.problem("halted") or owner.problem("root-missing"), SECONDS, "a halt", 0.2)
    assert owner.cli("status", ok=(3,))["ready"]
    assert len(list((researcher.mirror(owner.email) / "public").glob("*.txt"))) == 8
    # The disk is back: nothing was lost, nothing needs to be done.
    owner.stop()
    owner.own.rmdir() if not any(owner.own.iterdir()) else shutil.rmtree(owner.own)
    aside.rename(owner.own)
    owner.start()
    researcher.caught_up_with(owner)
    owner.healed_of("halted")
    owner.healed_of("root-missing")
    assert len(list((researcher.mirror(owner.email) / "public").glob("[0-9].txt"))) == 8


def test_a_datasite_that_vanishes_while_it_is_served_is_a_problem_and_no_deletion(pair: Pair) -> None:
    owner, researcher = pair.owner, pair.researcher
    owner.write("public/a.txt", "stays")
    researcher.sees(owner.email, "public/a.txt", "stays")
    datasites, aside = owner.data / "datasites", owner.home / "aside"
    datasites.rename(aside)
    owner.wait_for(
        lambda: owner.problem("root-missing") or owner.problem("halted"), SECONDS, "a problem with the root", 0.2
    )
    assert (researcher.mirror(owner.email) / "public/a.txt").read_text() == "stays"
    if datasites.exists():
        shutil.rmtree(datasites)
    aside.rename(datasites)
    owner.restart()
    researcher.caught_up_with(owner)
    assert (researcher.mirror(owner.email) / "public/a.txt").read_text() == "stays"


def _kept(one: Daemon, path: str) -> bool:
    """Whether the daemon has had a turn to keep the contents of its files for going back."""
    import hashlib
    import sqlite3

    digest = hashlib.sha256((one.own / path).read_bytes()).hexdigest()
    with sqlite3.connect(f"file:{one.home / 'state' / 'versions.db'}?mode=ro", uri=True) as versions:
        return versions.execute("SELECT 1 FROM version WHERE sha256 = ?", (digest,)).fetchone() is not None
