"""`why PATH`: the sentence that a person needs is among the lines, for each reason there can be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from syftd.names import Digest, RelPath
from syftd.state import files, jobs, outbox, problems, streams, views
from syftd.transport import mailbox
from syftd.transport.mailbox import Box
from tests.unit.api.test_queries import ME, NOON, OTHER, PEER, RULES, World, live

PATH = RelPath("public/a.csv")


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path)
    made.peer()
    made.accept(ME, "public/syft.pub.yaml", RULES)
    return made


def show(world: World, row: files.FileRow) -> None:
    views.show(world.db, PEER, [(row.path, row.sha256, row.executable)])


def reader(found: dict[str, Any], email: str = PEER) -> dict[str, Any]:
    return next(one for one in found["readers"] if one["email"] == email)


def test_a_file_that_everybody_has_is_up_to_date(world: World) -> None:
    show(world, world.accept(ME, PATH))
    found = world.why(PATH, live())
    assert (found["path"], found["site"], found["problems"]) == (PATH, ME, [])
    assert reader(found) == {
        "email": PEER, "allowed": True, "shown": "up to date",
        "rule": "rule 1 (“**”) in public/syft.pub.yaml decides",
    }  # fmt: skip
    assert "a file of 7 bytes" in found["text"]
    assert f"sha256 {Digest.of(b'content')[:12]}" in found["text"]
    assert "2023-11-14T22:13:20" in found["text"]
    assert "not running" not in found["text"]


def test_the_same_file_is_found_by_its_absolute_path(world: World) -> None:
    show(world, world.accept(ME, PATH))
    assert world.why(str(world.data / "datasites" / ME / PATH)) == world.why(PATH)


def test_a_peer_whom_no_rule_names_is_told_as_such(world: World) -> None:
    world.peer(OTHER)
    world.accept(ME, PATH)
    one = reader(world.why(PATH), OTHER)
    assert (one["allowed"], one["shown"]) == (False, "not allowed")
    assert "public/syft.pub.yaml" in one["rule"]
    world.accept(ME, "mine/b.csv")
    one = reader(world.why("mine/b.csv"))
    assert (one["allowed"], one["shown"]) == (False, "not allowed")
    assert "no syft.pub.yaml governs it" in one["rule"]


def test_a_right_that_was_taken_back_and_not_told_yet_is_said(world: World) -> None:
    world.peer(OTHER)
    row = world.accept(ME, PATH)
    views.show(world.db, OTHER, [(row.path, row.sha256, False)])
    assert "taking it back waits" in world.why(PATH)["text"]


@pytest.mark.parametrize("sent", [True, False])
def test_a_message_that_was_not_read_is_what_is_waited_for(world: World, sent: bool) -> None:
    show(world, world.accept(ME, PATH))
    id = world.letter(PATH, sent=sent)
    if not sent:
        outbox.postpone(world.db, id, NOON, "the folder is not mounted")
    found = world.why(PATH, live())
    assert reader(found)["shown"] == "waiting"
    assert ("have not read it yet" if sent else "the folder is not mounted") in found["text"]


def test_a_version_that_was_not_told_waits(world: World) -> None:
    row = world.accept(ME, PATH, "new")
    views.show(world.db, PEER, [(row.path, Digest.of(b"old"), False)])
    found = world.why(PATH, live())
    assert (reader(found)["shown"], "not been told of this version" in found["text"]) == ("waiting", True)


def test_a_full_window_is_named(world: World) -> None:
    world.accept(ME, PATH)
    for number in range(64):
        world.letter(f"other{number}", sent=True)
    assert "64 messages unread" in world.why(PATH, live())["text"]


def test_a_file_too_large_for_a_peer_is_named_with_what_to_do(world: World) -> None:
    world.accept(ME, PATH)
    problems.raise_problem(world.db, "too-large", f"{PEER}:{PATH}", "It is too large for them.", "Share less.", NOON)
    found = world.why(PATH, live())
    assert reader(found)["shown"] == "too large"
    assert [one["kind"] for one in found["problems"]] == ["too-large"]
    assert "Problem: It is too large for them. Share less." in found["text"]


def test_an_upload_is_shown_as_far_as_it_got(world: World) -> None:
    world.accept(ME, PATH)
    found = world.why(PATH, live(uploads=[{"path": PATH, "done": 5, "size": 7}]))
    assert "5 of 7 bytes are uploaded" in found["text"]


def test_a_transport_that_is_not_trusted_explains_what_it_leaves_out(world: World) -> None:
    world.transports = (world.transports[0].__class__("folder", Path("/x")),)
    world.accept(ME, PATH)
    assert "trusted with what not everybody may read" in world.why(PATH, live())["text"]
    world.write(ME, "public/syft.pub.yaml", RULES.replace("peer@y.org", "'*'"))
    assert "trusted with what" not in world.why(PATH, live())["text"]


def test_a_peer_whose_program_is_not_known_is_waited_for(world: World) -> None:
    world.peer(version="")
    world.accept(ME, PATH)
    assert "is not known yet" in world.why(PATH, live())["text"]


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("private/secret.csv", "it lies in private/"),
        ("public/.git/config", "made by tools"),
        ("public/notes.tmp", "temporary file"),
        ("public/big.bin", "public/syftignore says so"),
    ],
)
def test_what_never_travels_is_said_with_its_rule(world: World, path: str, reason: str) -> None:
    world.write(ME, "public/syftignore", "*.bin\n")
    world.write(ME, path, "x")
    found = world.why(path)
    (line,) = [line for line in found["lines"] if line.startswith("It never travels: ")]
    assert reason in line
    assert reader(found)["allowed"] is False
    assert reason in reader(found)["rule"]


def test_a_file_that_is_not_accepted_yet_is_told_from_one_that_is_absent(world: World) -> None:
    world.write(ME, PATH, "x")
    assert "Not accepted yet: a scan is going on." in world.why(PATH, live(scanning=True))["text"]
    assert "Not accepted yet" not in world.why("public/nothing")["text"]
    assert "Nothing is there" in world.why("public/nothing")["text"]


def test_a_change_that_was_not_looked_at_yet_is_seen(world: World) -> None:
    world.accept(ME, PATH)
    assert "touched since" not in world.why(PATH)["text"]
    world.write(ME, PATH, "something longer than before")
    assert "touched since" in world.why(PATH)["text"]


def test_a_symbolic_link_is_never_followed(world: World) -> None:
    (world.data / "datasites" / ME / "public" / "link").symlink_to("/etc/passwd")
    assert "symbolic link" in world.why("public/link")["text"]


def test_a_held_back_deletion_names_the_plan(world: World) -> None:
    world.accept(ME, PATH)
    (world.data / "datasites" / ME / PATH).unlink()
    problems.halt(world.db, problems.Halt("h-77", "own", ME, NOON, "many", (PATH,)))
    problems.raise_problem(world.db, "halted", ME, "Stopped.", "", NOON, "h-77")
    assert "syftd confirm h-77" in world.why(PATH)["text"]
    world.accept(ME, "public/other")
    assert "h-77" not in world.why("public/other")["text"]


def test_a_broken_permission_file_is_the_reason(world: World) -> None:
    world.accept(ME, PATH)
    world.write(ME, "public/syft.pub.yaml", "rules: [")
    found = world.why(PATH)
    assert "public/syft.pub.yaml cannot be used" in found["text"]
    assert reader(found)["allowed"] is False


def test_a_folder_counts_what_was_told(world: World) -> None:
    for name in ("a", "b"):
        show(world, world.accept(ME, f"public/d/{name}"))
    world.accept(ME, "public/d/c")
    found = world.why("public/d", live())
    assert "2 of 3 files below it" in found["text"]
    assert reader(found)["shown"] == "waiting"
    show(world, files.get(world.db, ME, "public/d/c"))  # type: ignore[arg-type]
    assert reader(world.why("public/d", live()))["shown"] == "up to date"


@pytest.mark.parametrize(
    ("how", "words"),
    [({"paused": True}, "syftd resume"), ({"safe_mode": True}, "safe mode"), (None, "not running")],
)
def test_a_standstill_is_said(world: World, how: dict[str, Any] | None, words: str) -> None:
    assert words in world.why(PATH, None if how is None else live(**how))["text"]


def test_problems_of_others_are_left_out(world: World) -> None:
    world.accept(ME, PATH)
    for subject in (PATH, "public", PEER, ME, "public/a.csvx", OTHER, "elsewhere", f"{OTHER}:{PATH}"):
        problems.raise_problem(world.db, "k", subject, f"about {subject}.", "", NOON)
    assert {one["subject"] for one in world.why(PATH)["problems"]} == {PATH, "public", PEER, ME}


# -- mirrors -----------------------------------------------------------------------------------------------------------

THEIRS = f"datasites/{PEER}/{PATH}"


def test_a_mirrored_file_in_place_is_up_to_date(world: World) -> None:
    world.stream()
    world.tell(PATH, world.accept(PEER, PATH).sha256)
    found = world.why(THEIRS, live())
    assert (found["site"], found["path"], found["readers"]) == (PEER, PATH, [])
    assert "up to date" in found["text"]


def test_a_path_that_nobody_told_is_said(world: World) -> None:
    world.stream()
    assert "shows you no such file" in world.why(THEIRS)["text"]


@pytest.mark.parametrize(("state", "words"), [("requested_by_me", "requested_by_me"), ("removed", "not a peer")])
def test_somebody_who_is_no_contact_sends_nothing(world: World, state: Any, words: str) -> None:
    world.peer(PEER, state)
    assert words in world.why(THEIRS)["text"]


def test_a_gap_in_the_stream_is_said(world: World) -> None:
    assert "Nothing has arrived" in world.why(THEIRS)["text"]
    world.stream(gap=NOON)
    assert "is missing since 2023-11-14" in world.why(THEIRS)["text"]
    world.stream(completed=False)
    assert "has not told everything yet" in world.why(THEIRS)["text"]


def test_large_content_that_is_still_coming_is_said(world: World) -> None:
    world.tell(PATH, Digest.of(b"huge"), 9_000_000, (Digest.of(b"1"), Digest.of(b"2"), Digest.of(b"3")))
    assert "large and not in place yet" in world.why(THEIRS, live())["text"]
    on = live(downloads=[{"from": PEER, "done": 4_194_304, "size": 9_000_000}])
    assert "4,194,304 of 9,000,000 bytes" in world.why(THEIRS, on)["text"]


@pytest.mark.parametrize(("sent", "words"), [(None, "they have the message"), (True, "unread"), (False, "not sent")])
def test_a_draft_waits_for_the_owners_word(world: World, sent: bool | None, words: str) -> None:
    world.accept(PEER, PATH, "mine")
    world.tell(PATH, Digest.of(b"theirs"))
    streams.put_drafts(world.db, [streams.Draft(PEER, PATH, None, Digest.of(b"mine"), "id-1", NOON)])
    if sent is not None:
        box: Box = mailbox.inbox(PEER, ME)
        id = outbox.add(world.db, PEER, "proposal", box, "msgv2_1.0_id-1.tar.gz", b"x", private=True)
        if sent:
            outbox.sent(world.db, id, "shared")
    text = world.why(THEIRS, live())["text"]
    assert f"waits for the word of {PEER}" in text
    assert words in text


def test_a_local_edit_that_was_not_proposed_yet_is_said(world: World) -> None:
    world.tell(PATH, world.accept(PEER, PATH).sha256)
    world.write(PEER, PATH, "my own words, longer")
    assert "proposed" in world.why(THEIRS, live())["text"]


def test_what_lies_in_the_trash_can_be_restored(world: World) -> None:
    for site in (PEER, ME):
        lost = problems.Trashed(f"t{site}", site, PATH, Digest.of(b""), 3, NOON, "they changed it too")
        problems.trashed(world.db, [lost])
    assert f"`syftd restore {THEIRS}`" in world.why(THEIRS)["text"]
    assert "they changed it too" in world.why(THEIRS)["text"]
    assert f"`syftd restore {PATH}`" in world.why(PATH)["text"]


def test_a_removal_that_waits_names_the_plan(world: World) -> None:
    world.accept(PEER, PATH)
    problems.halt(world.db, problems.Halt("h-9", "mirror", PEER, NOON, "many", (PATH,)))
    assert "syftd reject h-9" in world.why(THEIRS)["text"]


def test_a_path_of_a_job_tells_the_jobs_state(world: World) -> None:
    id = jobs.job_id(ME, PEER, "survival")
    jobs.put(world.db, jobs.JobRow(id, ME, PEER, "survival", "done", "d", NOON, 0, "", {}))
    problems.raise_problem(world.db, "not-released", id, "Not released.", "", NOON)
    found = world.why(f"app_data/job/inbox/{PEER}/survival/run.sh")
    assert f"the job {id}, which is done" in found["text"]
    assert [one["kind"] for one in found["problems"]] == ["not-released"]
    assert f"syftd jobs release {id}" in world.why(f"app_data/job/review/{PEER}/survival")["text"]
    assert "no job of that name" in world.why(f"app_data/job/inbox/{PEER}/other/run.sh")["text"]
