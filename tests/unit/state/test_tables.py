"""The tables, each by its own verbs."""

from __future__ import annotations

import pytest

from syftd.names import Digest, Email, RelPath
from syftd.state import contacts, events, files, jobs, outbox, problems, streams, views
from syftd.state.db import Db, in_memory
from syftd.transport import mailbox

ADA, BOB, CY = (Email(f"{name}@example.org") for name in ("ada", "bob", "cy"))
A, B, C = (Digest(letter * 64) for letter in "abc")


@pytest.fixture
def db() -> Db:
    return in_memory()


# -- file --------------------------------------------------------------------------------------------------------------


def row(path: str, sha256: Digest = A, size: int = 1) -> files.FileRow:
    return files.FileRow(RelPath(path), path, sha256, size, 1, 2, 3, False, True)


def test_files_are_kept_by_datasite_and_path(db: Db) -> None:
    files.put(db, ADA, [row("x"), row("y")])
    files.put(db, BOB, [row("x", B)])
    assert files.get(db, ADA, "x") == row("x")
    assert files.get(db, BOB, "x") == row("x", B)
    assert files.count(db, ADA) == 2
    files.put(db, ADA, [row("x", C)])
    assert files.get(db, ADA, "x") == row("x", C) and files.count(db, ADA) == 2
    files.drop(db, ADA, ["x", "never"])
    assert files.get(db, ADA, "x") is None and files.get(db, BOB, "x") is not None
    files.drop_site(db, ADA)
    assert (files.count(db, ADA), files.count(db, BOB)) == (0, 1)


def test_below_is_a_folder_and_not_a_prefix(db: Db) -> None:
    names = ["a", "a/b", "a/c/d", "a.txt", "a0", "ab/c", "b"]
    files.put(db, ADA, [row(name) for name in names])
    assert [str(found.path) for found in files.below(db, ADA, "a")] == ["a", "a/b", "a/c/d"]
    assert [str(found.path) for found in files.below(db, ADA, "")] == sorted(names)
    assert files.below(db, ADA, "a/c/d/e") == []


def test_a_pass_in_pieces_sees_each_row_once(db: Db) -> None:
    names = sorted(f"{number:03d}" for number in range(25))
    files.put(db, ADA, [row(name) for name in names])
    seen: list[str] = []
    while batch := files.after(db, ADA, seen[-1] if seen else "", 10):
        seen += [str(found.path) for found in batch]
    assert seen == names


def test_large_files_are_found_by_their_digest(db: Db) -> None:
    files.put(db, ADA, [row("small", A, 100), row("large", A, 300_000)])
    files.put(db, BOB, [row("other", A, 300_000)])
    assert set(files.with_digest(db, A)) == {(ADA, "large"), (BOB, "other")}


# -- view and reader ---------------------------------------------------------------------------------------------------


def test_a_view_remembers_what_was_shown(db: Db) -> None:
    views.show(db, BOB, [(RelPath("x"), A, False), (RelPath("d/y"), B, True)])
    assert views.shown(db, BOB, ["x", "z"]) == {RelPath("x"): views.Shown(A, False)}
    assert views.shown_below(db, BOB, "d") == ["d/y"]
    assert views.shown_below(db, BOB, "") == ["d/y", "x"]
    assert views.shown_after(db, BOB, "d/y", 5) == ["x"]
    assert views.shown(db, CY, ["x"]) == {}
    views.doubt(db, BOB, [RelPath("x"), RelPath("new")])
    assert {path: item.sha256 for path, item in views.shown(db, BOB, ["x", "new"]).items()} == {
        "x": views.UNKNOWN,
        "new": views.UNKNOWN,
    }
    views.unshow(db, BOB, ["x", "never"])
    assert views.shown(db, BOB, ["x"]) == {}


def test_a_stream_that_begins_anew_has_shown_nothing_and_keeps_its_last_time(db: Db) -> None:
    views.start_stream(db, BOB, "one")
    told = views.reader(db, BOB)
    assert told is not None
    told.next_seq, told.previous, told.last_made_at, told.voided, told.completed = 9, A, 123.5, (3, 4), True
    views.put_reader(db, told)
    assert views.reader(db, BOB) == told
    views.show(db, BOB, [(RelPath("x"), A, False)])
    views.start_stream(db, BOB, "two")
    fresh = views.reader(db, BOB)
    assert fresh == views.ReaderRow(BOB, "two", 1, None, 123.5, (), completed=False, behind=True)
    assert views.shown(db, BOB, ["x"]) == {}
    views.drop_reader(db, BOB)
    assert views.reader(db, BOB) is None


# -- stream, told and draft --------------------------------------------------------------------------------------------


def told(path: str, sha256: Digest = A, chunks: tuple[Digest, ...] | None = None) -> streams.Told:
    return streams.Told(RelPath(path), sha256, False, 7, chunks)


def test_a_stream_keeps_its_place(db: Db) -> None:
    place = streams.StreamRow(ADA, "e2", 5, A, True, 12.5, 2, ("e0", "e1"))
    streams.put_stream(db, place)
    assert streams.stream(db, ADA) == place
    assert streams.stream(db, BOB) is None


def test_what_was_told_is_kept_by_epoch(db: Db) -> None:
    streams.tell(db, ADA, "one", [told("x"), told("y", B, (B, C))])
    streams.tell(db, ADA, "two", [told("x", C)])
    assert streams.told(db, ADA, "x") == told("x", C)
    assert streams.told(db, ADA, "y") == told("y", B, (B, C))
    assert streams.left_from_before(db, ADA, "two") == ["y"]
    assert streams.told_count(db, ADA) == 2
    assert [item.path for item in streams.told_after(db, ADA, "x", 10)] == ["y"]
    assert streams.told_paths_with(db, B) == [(ADA, "y")]
    streams.untell(db, ADA, ["y"])
    assert streams.told_count(db, ADA) == 1


def test_large_content_is_wanted_until_it_is_in_place(db: Db) -> None:
    streams.tell(db, ADA, "one", [told("small"), told("large", B, (B,))])
    assert [(owner, item.path) for owner, item in streams.wanted(db)] == [(ADA, "large")]
    files.put(db, ADA, [row("large", A)])
    assert len(streams.wanted(db, ADA)) == 1
    files.put(db, ADA, [row("large", B)])
    assert streams.wanted(db) == []


def test_a_path_has_one_draft(db: Db) -> None:
    draft = streams.Draft(ADA, RelPath("x"), A, None, "m1", 1.0)
    streams.put_drafts(db, [draft, draft._replace(path=RelPath("y"))])
    assert streams.draft(db, ADA, "x") == draft
    assert [item.path for item in streams.drafts_of(db, "m1")] == ["x", "y"]
    streams.drop_draft(db, ADA, "x")
    assert [item.path for item in streams.drafts_to(db, ADA)] == ["y"]


def test_an_owner_can_be_forgotten_whole(db: Db) -> None:
    streams.put_stream(db, streams.StreamRow(ADA, "e", 1, None, False, None, 0))
    streams.tell(db, ADA, "e", [told("x")])
    streams.put_drafts(db, [streams.Draft(ADA, RelPath("x"), None, A, "m", 0.0)])
    files.put(db, ADA, [row("x")])
    files.put(db, BOB, [row("x")])
    streams.drop_owner(db, ADA)
    assert streams.stream(db, ADA) is None and streams.told_count(db, ADA) == 0
    assert streams.drafts_to(db, ADA) == [] and files.count(db, ADA) == 0
    assert files.count(db, BOB) == 1


# -- outbox ------------------------------------------------------------------------------------------------------------


def queue(db: Db, peer: Email = BOB, kind: str = "events", holds: tuple[str, ...] = (), **more: object) -> int:
    box = mailbox.outbox(ADA, peer) if kind == "events" else mailbox.inbox(peer, ADA)
    name = f"message-{outbox.peers_with(db, 'due')}-{db.value('SELECT count(*) FROM outbox')}"
    return outbox.add(db, peer, kind, box, name, b"12345", private=True, holds=holds, **more)  # type: ignore[arg-type]


def test_messages_keep_their_order_and_remember_failures(db: Db) -> None:
    first, second, other = queue(db), queue(db), queue(db, CY)
    outbox.postpone(db, first, 50.0, "down")
    assert [(item.id, item.tries, item.due) for item in outbox.due(db, BOB)] == [(first, 1, 50.0), (second, 0, 0.0)]
    assert [item.id for item in outbox.due(db, CY)] == [other]
    outbox.wake(db, BOB)
    assert [item.due for item in outbox.due(db, BOB)] == [0.0, 0.0]


def test_a_message_is_due_then_sent_then_gone(db: Db) -> None:
    number = queue(db, seq=4, holds=("x",), chunks=(A,), voided=(2, 3), verdicts=("v",))
    [before] = outbox.due(db, BOB)
    assert (before.seq, before.payload, before.voided, before.verdicts) == (4, b"12345", (2, 3), ("v",))
    outbox.sent(db, number, "memory")
    [after] = outbox.in_state(db, "sent")
    assert (after.transport, after.payload, after.bytes) == ("memory", None, 5)
    assert outbox.unread(db, BOB) == (1, 5)
    outbox.drop(db, number)
    assert outbox.unread(db, BOB) == (0, 0)
    assert db.value("SELECT count(*) FROM outbox_path") == 0 == db.value("SELECT count(*) FROM outbox_chunk")


def test_a_message_that_was_taken_back_stays_so_when_it_turns_out_to_be_sent(db: Db) -> None:
    number = queue(db)
    outbox.void(db, number)
    assert outbox.unread(db, BOB) == (0, 0)
    outbox.sent(db, number, "memory")
    [found] = outbox.in_state(db, "void")
    assert (found.id, found.transport) == (number, "memory")
    assert outbox.in_state(db, "sent") == []


def test_contents_are_told_apart_from_names(db: Db) -> None:
    first = queue(db, holds=("x",), names=("x", "y"))
    second = queue(db, names=("x",))
    assert outbox.paths_unread(db, BOB) == ["x"]
    assert sorted(outbox.paths(db, first)) == ["x", "y"]
    assert outbox.contents(db, first) == ["x"]
    assert [item.id for item in outbox.holding(db, BOB, ["x", "y"])] == [first]
    assert outbox.paths(db, second) == ["x"]
    outbox.void(db, first)
    assert outbox.holding(db, BOB, ["x"]) == []


def test_proposals_do_not_fill_the_window(db: Db) -> None:
    queue(db, kind="proposal")
    assert outbox.unread(db, BOB) == (0, 0)
    assert outbox.events_to(db, BOB) == []


def test_a_reader_waits_only_when_behind_and_unread(db: Db) -> None:
    views.start_stream(db, BOB, "e")
    assert not outbox.readers_wait(db)
    number = queue(db)
    assert not outbox.readers_wait(db)
    outbox.sent(db, number, "memory")
    assert outbox.readers_wait(db)
    place = views.reader(db, BOB)
    assert place is not None
    place.behind = False
    views.put_reader(db, place)
    assert not outbox.readers_wait(db)


def test_chunks_are_unused_when_no_message_refers_to_them(db: Db) -> None:
    number = queue(db, chunks=(A,))
    for digest in (A, B):
        outbox.chunk_up(db, "memory", digest, 10.0)
    assert outbox.chunks_unused(db, 5.0) == []
    assert outbox.chunks_unused(db, 20.0) == [("memory", B)]
    outbox.drop(db, number)
    assert outbox.chunks_unused(db, 20.0) == [("memory", A), ("memory", B)]
    outbox.chunk_gone(db, "memory", A)
    assert outbox.chunks_up(db, ["memory"], [A, B]) == {B}


# -- peers, problems, halts, trash, events, jobs -----------------------------------------------------------------------


def test_peers_by_state_and_without_tombstones(db: Db) -> None:
    peer = contacts.Peer(BOB, "accepted", 1.0, "born", "0.1.117", frozenset({"blobs", "stream"}), "")
    contacts.put(db, peer)
    contacts.put(db, peer._replace(email=CY, state="removed", extensions=frozenset()))
    assert contacts.get(db, BOB) == peer
    assert [item.email for item in contacts.all_peers(db)] == [BOB]
    assert contacts.in_state(db, "accepted", "removed") == [BOB, CY]


def test_a_problem_is_told_once_until_its_words_change(db: Db) -> None:
    assert problems.raise_problem(db, "kind", "subject", "text", "remedy", 1.0) is True
    assert problems.raise_problem(db, "kind", "subject", "text", "remedy", 2.0) is False
    assert problems.raise_problem(db, "kind", "subject", "other text", "remedy", 3.0) is False
    [found] = problems.problems(db)
    assert (found["text"], found["since"]) == ("other text", 1.0)
    assert problems.subjects(db, "kind", "another") == {("kind", "subject")}
    assert problems.clear_problem(db, "kind", "subject") is True
    assert problems.clear_problem(db, "kind", "subject") is False


def test_halts_are_found_by_kind_and_site(db: Db) -> None:
    halt = problems.Halt("h1", "own", ADA, 1.0, "many", ("x", "y"))
    problems.halt(db, halt)
    assert problems.halt_on(db, "own", ADA) == halt
    assert problems.halt_on(db, "mirror", ADA) is None
    problems.halt(db, halt._replace(paths=("x",)))
    assert problems.halts(db) == [halt._replace(paths=("x",))]
    problems.drop_halt(db, "h1")
    assert problems.halts(db) == []


def test_the_trash_is_found_by_path_and_by_content(db: Db) -> None:
    first = problems.Trashed("t1", ADA, "x", A, 1, 1.0, "why")
    second = first._replace(id="t2", sha256=B, at=2.0)
    problems.trashed(db, [first, second])
    assert problems.trash_of(db, ADA, "x") == [second, first]
    assert problems.trash_with(db, A) == [first]
    problems.forget_trash_before(db, 1.5)
    assert problems.trash_of(db, ADA, "x") == [second]


def test_history_keeps_the_newest_of_each_path(db: Db) -> None:
    for number, path in enumerate(("x", "y", "x", "x"), start=1):
        events.append(db, [events.Event(RelPath(path), A, 1, None, ADA, float(number))])
    assert [found["at"] for found in events.history(db, "x")] == [1.0, 3.0, 4.0]
    events.trim(db, 3.5)
    assert [found["at"] for found in events.history(db, "x")] == [4.0]
    assert len(events.history(db, "y")) == 1, "the last word about a path is never forgotten"


def test_the_record_goes_on_where_it_was_read_to(db: Db) -> None:
    for number in range(5):
        events.note(db, float(number), "kind", "subject", fact=number)
    first = events.record_after(db, 0, 3)
    rest = events.record_after(db, first[-1]["n"])
    assert [line["fact"] for line in first + rest] == [0, 1, 2, 3, 4]


def test_a_job_is_the_same_on_both_sides(db: Db) -> None:
    id = jobs.job_id(ADA, BOB, "one")
    assert id == jobs.job_id(str(ADA), str(BOB), "one")
    assert len({id, jobs.job_id(BOB, ADA, "one"), jobs.job_id(ADA, BOB, "two"), jobs.job_id(ADA, CY, "one")}) == 4


def test_jobs_by_state_in_the_order_of_their_coming(db: Db) -> None:
    job = jobs.JobRow("j1", ADA, BOB, "one", "pending", "d", 2.0, None, "", {"runs": 1})
    for other in (job, job._replace(id="j2", submitted_at=1.0), job._replace(id="j3", state="done", exit_code=0)):
        jobs.put(db, other)
    assert jobs.get(db, "j1") == job
    assert [found.id for found in jobs.in_state(db, ADA, "pending", "approved")] == ["j2", "j1"]
    assert jobs.in_state(db, BOB, "pending") == []
    changed = job.with_facts(runs=2, released=["x"])
    jobs.put(db, changed)
    assert jobs.get(db, "j1") == changed and job.facts == {"runs": 1}
    assert len(jobs.all_jobs(db)) == 3
