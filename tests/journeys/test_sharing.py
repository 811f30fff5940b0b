"""What an owner shares appears at exactly those readers, whatever it is called and whatever becomes of it."""

from __future__ import annotations

import unicodedata

import pytest

from tests.journeys.boxes import carried, lies_in
from tests.journeys.conftest import BEN, OWNER, Three
from tests.journeys.daemons import Daemon, befriend, holds, wait_until

SECONDS = 30.0


def absent(three: Three, reader: Daemon, canary: bytes) -> None:
    """Asserts that the reader has nothing of the canary: neither in the data folder nor in the state, nor in a box."""
    reader.caught_up_with(three.owner)
    assert lies_in(reader.data, canary) == []
    assert lies_in(reader.home / "state", canary) == []
    assert carried(three.mailbox, canary, f"#outbox#{OWNER}") == [] or reader.email not in str(
        carried(three.mailbox, canary)
    )


def test_one_file_goes_to_one_reader_and_nowhere_else(three: Three) -> None:
    owner, ann, ben = three.owner, three.ann, three.ben
    owner.write("single/one.txt", "canary-one-file")
    owner.write("single/other.txt", "canary-other-file")
    owner.cli("share", "single/one.txt", "--with", ann.email)
    ann.sees(OWNER, "single/one.txt", "canary-one-file")
    owner.took_up("single/other.txt")
    ann.caught_up_with(owner)
    assert not (ann.mirror(OWNER) / "single/other.txt").exists()
    absent(three, ben, b"canary-one-file")
    absent(three, ben, b"single/one.txt")
    absent(three, ann, b"canary-other-file")
    assert carried(three.mailbox, b"canary-other-file") == []


def test_a_folder_is_shared_with_all_that_is_and_comes_below_it(three: Three) -> None:
    owner, ann, ben = three.owner, three.ann, three.ben
    owner.write("study/a.txt", "there before")
    owner.write("study/deep/er/b.txt", "deep canary-study")
    owner.cli("share", "study", "--with", ann.email)
    ann.sees(OWNER, "study/a.txt", "there before")
    ann.sees(OWNER, "study/deep/er/b.txt", "deep canary-study")
    owner.write("study/later/c.txt", "there after")
    ann.sees(OWNER, "study/later/c.txt", "there after")
    absent(three, ben, b"canary-study")
    assert not (ben.mirror(OWNER) / "study").exists()


def test_a_domain_and_everybody(three: Three) -> None:
    owner, ann, ben = three.owner, three.ann, three.ben
    owner.write("campus/a.txt", "canary-campus")
    owner.write("world/a.txt", "for all")
    owner.cli("share", "campus", "--with", "*@university.example")
    owner.cli("share", "world", "--with", "*")
    for reader in (ann, ben):
        reader.sees(OWNER, "world/a.txt", "for all")
    ann.sees(OWNER, "campus/a.txt", "canary-campus")
    absent(three, ben, b"canary-campus")


CONTENTS = {
    "empty.dat": b"",
    "nul.bin": b"\0" * 1000,
    "every-byte.bin": bytes(range(256)) * 40,
    "bad-utf8.txt": b"\xff\xfe latin \xe9\n",
    "crlf.txt": b"one\r\ntwo\r\n",
    "no suffix, a space & 'quotes'": b"odd name",
    "-n": b"looks like an option",
    "naïve café ü.txt": "in NFC: naïve".encode(),
    "日本語/資料.txt": "漢字".encode(),
    "👩‍🔬.txt": b"an emoji of three characters",
    "a/b/c/d/e/f/g/h/i/j/nested.txt": b"ten folders down",
    "x" * 200 + ".txt": b"a long name",
}


def test_names_and_contents_of_all_kinds_arrive_as_they_are(three: Three) -> None:
    owner, ann = three.owner, three.ann
    owner.write("kinds/first.txt", "first")
    owner.cli("share", "kinds", "--with", ann.email)
    for name, content in CONTENTS.items():
        assert unicodedata.is_normalized("NFC", name)
        owner.write(f"kinds/{name}", content)
    for name, content in CONTENTS.items():
        ann.sees(OWNER, f"kinds/{name}", content)
    names = {str(path.relative_to(ann.mirror(OWNER) / "kinds")) for path in (ann.mirror(OWNER) / "kinds").rglob("*")}
    assert set(CONTENTS) <= names


def test_a_decomposed_name_arrives_in_its_composed_form(three: Three) -> None:
    owner, ann = three.owner, three.ann
    composed = "forms/Zürich.txt"
    decomposed = unicodedata.normalize("NFD", composed)
    assert composed != decomposed
    owner.write(decomposed, "typed on another system")
    owner.cli("share", "forms", "--with", ann.email)
    ann.sees(OWNER, composed, "typed on another system")
    # The owner's file keeps the spelling that its owner gave it.
    assert [path.name for path in (owner.own / "forms").iterdir() if path.name != "syft.pub.yaml"] == [
        decomposed.rpartition("/")[2]
    ]


def test_dot_named_files_go_only_when_they_are_named(three: Three) -> None:
    owner, ann, ben = three.owner, three.ann, three.ben
    owner.write("dots/.settings", "canary-dot-settings")
    owner.write("dots/plain.txt", "plain")
    owner.cli("share", "dots", "--with", ann.email)
    ann.sees(OWNER, "dots/plain.txt", "plain")
    owner.took_up("dots/.settings")
    ann.caught_up_with(owner)
    assert not (ann.mirror(OWNER) / "dots/.settings").exists()  # No wildcard of the network matches a dot.
    owner.cli("share", "dots/.settings", "--with", ann.email)
    ann.sees(OWNER, "dots/.settings", "canary-dot-settings")
    absent(three, ben, b"canary-dot-settings")


def test_private_never_leaves_and_cannot_be_shared(three: Three) -> None:
    owner, ann = three.owner, three.ann
    owner.write("private/patients.csv", "canary-patients")
    owner.write("private/syft.pub.yaml", "rules:\n- pattern: '**'\n  access:\n    read: ['*']\n")
    answer = owner.say("share", "private/patients.csv", "--with", ann.email, ok=(2,))
    assert answer == ""
    owner.cli("share", ".", "--with", ann.email, ok=(0, 2))
    ann.caught_up_with(owner)
    assert carried(three.mailbox, b"canary-patients") == []
    assert not (ann.mirror(OWNER) / "private").exists()
    owner.cli("unshare", ".", "--with", ann.email, ok=(0, 2))


@pytest.mark.parametrize("way", ["file", "folder"])
def test_while_a_file_is_renamed_the_reader_always_has_it_somewhere(three: Three, way: str) -> None:
    owner, ann = three.owner, three.ann
    content = f"moved about: {way}".encode()
    owner.write(f"moves-{way}/from/a.txt", content)
    owner.cli("share", f"moves-{way}", "--with", ann.email)
    ann.sees(OWNER, f"moves-{way}/from/a.txt", content)
    mirror = ann.mirror(OWNER) / f"moves-{way}"

    def somewhere() -> bool:
        # Read twice, since the file may be moved between the look at one name and the look at the other.
        return any(holds(path, content) for _ in range(2) for path in (new, old, new))

    for number in range(6):
        here, there = ("from", "to") if number % 2 == 0 else ("to", "from")
        if way == "file":
            (owner.own / f"moves-{way}" / there).mkdir(exist_ok=True)
            (owner.own / f"moves-{way}" / here / "a.txt").rename(owner.own / f"moves-{way}" / there / "a.txt")
        else:
            (owner.own / f"moves-{way}" / here).rename(owner.own / f"moves-{way}" / there)
        old, new = mirror / here / "a.txt", mirror / there / "a.txt"

        def arrived(old=old, new=new) -> bool:  # type: ignore[no-untyped-def]
            assert somewhere()
            return holds(new, content) and not old.exists()

        ann.wait_for(arrived, SECONDS, f"the rename to {there}", 0.001)


def test_a_deleted_file_goes_and_an_edit_takes_its_place(three: Three) -> None:
    owner, ann, ben = three.owner, three.ann, three.ben
    owner.write("gone/a.txt", "a")
    owner.write("gone/b.txt", "b")
    owner.cli("share", "gone", "--with", "*")
    for reader in (ann, ben):
        reader.sees(OWNER, "gone/b.txt", "b")
    (owner.own / "gone/a.txt").unlink()
    owner.write("gone/b.txt", "b, second version")
    for reader in (ann, ben):
        reader.lacks(OWNER, "gone/a.txt")
        reader.sees(OWNER, "gone/b.txt", "b, second version")
    (owner.own / "gone/b.txt").unlink()
    ann.lacks(OWNER, "gone")  # A folder that we emptied goes with its last file.


def test_a_late_joiner_gets_everything_it_may_read_and_nothing_else(three: Three) -> None:
    owner = three.owner
    owner.write("late/for-carl.txt", "carl's")
    owner.write("late/for-ben.txt", "canary-for-ben-only")
    for number in range(40):
        owner.write(f"public/late/{number}.txt", f"number {number}")
    owner.cli("share", "late/for-ben.txt", "--with", BEN)
    three.ben.sees(OWNER, "late/for-ben.txt", "canary-for-ben-only")
    with Daemon(three.place / "carl", "carl@college.example", three.mailbox) as carl:
        owner.cli("share", "late/for-carl.txt", "--with", carl.email)  # Before it is even a peer.
        befriend(carl, owner)
        carl.sees(OWNER, "late/for-carl.txt", "carl's")
        for number in range(40):
            carl.sees(OWNER, f"public/late/{number}.txt", f"number {number}")
        absent(three, carl, b"canary-for-ben-only")
        shared = {
            str(path.relative_to(owner.own / "public"))
            for path in (owner.own / "public").rglob("*")
            if path.is_file() and path.name != "syft.pub.yaml"
        }
        public = carl.mirror(OWNER) / "public"
        wait_until(
            lambda: shared <= {str(path.relative_to(public)) for path in public.rglob("*")},
            SECONDS,
            "the whole public/",
        )
        owner.cli("peers", "remove", carl.email)


def test_whether_a_file_may_be_executed_follows_its_owner(three: Three) -> None:
    owner, ann = three.owner, three.ann
    script = owner.write("public/tool.sh", "#!/bin/sh\nexit 0\n")
    ann.sees(OWNER, "public/tool.sh", script.read_bytes())
    mirrored = ann.mirror(OWNER) / "public/tool.sh"
    assert not mirrored.stat().st_mode & 0o100
    script.chmod(0o755)
    wait_until(lambda: mirrored.stat().st_mode & 0o100, SECONDS, "the mirror to be executable too")
    script.chmod(0o644)
    wait_until(lambda: not mirrored.stat().st_mode & 0o100, SECONDS, "the mirror to be executable no more")
    assert mirrored.read_bytes() == script.read_bytes()
