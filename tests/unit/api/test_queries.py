"""What `status`, `problems`, `peers`, `history` and `log` answer; and the small world that more tests here share."""

from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest

from syftd.api.queries import Live, Queries, locate, open_readonly
from syftd.api.server import NotFound
from syftd.config import Settings, TransportSettings
from syftd.errors import StateCorrupt, UserError
from syftd.names import Digest, Email, RelPath
from syftd.places import Places
from syftd.state import contacts, events, files, jobs, outbox, problems, streams, views
from syftd.state.contacts import PeerState
from syftd.state.db import in_memory, open_writer
from syftd.transport import mailbox
from syftd.tree import stat as facts

ME, PEER, OTHER = Email("me@x.org"), Email("peer@y.org"), Email("other@z.org")
NOON = 1_700_000_000.0
RULES = "rules:\n- pattern: '**'\n  access:\n    read: [peer@y.org]\n"


class World:
    """A datasite, a mirror and what is remembered of both, filled by the verbs that the engine uses."""

    def __init__(self, place: Path) -> None:
        self.db = in_memory()
        self.data = place / "SyftBox"
        self.state = place / "state"
        self.transports: tuple[TransportSettings, ...] = (
            TransportSettings("folder", place / "shared", trusted=True),
        )
        (self.data / "datasites" / ME).mkdir(parents=True)

    def queries(self, live: Live | None = None) -> Queries:
        settings = Settings(ME, self.data, self.transports)
        return Queries(self.db, ME, self.data, live=live, state=self.state, settings=settings)

    def get(self, path: str, live: Live | None = None, /, **query: str) -> Any:
        return self.queries(live).get(path, query)

    def why(self, path: str, live: Live | None = None) -> dict[str, Any]:
        found: dict[str, Any] = self.get("/v1/why", live, path=path)
        found["text"] = "\n".join(found["lines"])
        return found

    def write(self, site: Email, path: str, content: bytes | str) -> Digest:
        content = content.encode() if isinstance(content, str) else content
        place = self.data / "datasites" / site / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
        return Digest.of(content)

    def accept(self, site: Email, path: str, content: bytes | str = "content", by: str = ME) -> files.FileRow:
        """A file that is on the disk and known as it is; one of mine has an event too."""
        digest = self.write(site, path, content)
        found = facts.of((self.data / "datasites" / site / path).stat())
        row = files.FileRow(RelPath(path), path, digest, *found, settled=True)
        files.put(self.db, site, [row])
        if site == ME:
            events.append(self.db, [events.Event(RelPath(path), digest, found.size, None, by, NOON)])
        return row

    def peer(self, email: Email = PEER, state: PeerState = "accepted", version: str = "0.1.117") -> None:
        contacts.put(self.db, contacts.Peer(email, state, NOON, "born", version, frozenset({"blobs", "stream"}), ""))

    def letter(self, path: str, *, sent: bool = False, peer: Email = PEER) -> int:
        box = mailbox.outbox(ME, peer)
        id = outbox.add(self.db, peer, "events", box, f"m{path}", b"x" * 99, seq=1, private=True, holds=[path])
        if sent:
            outbox.sent(self.db, id, "shared")
        return id

    def tell(self, path: str, digest: Digest, size: int = 7, chunks: tuple[Digest, ...] | None = None) -> None:
        streams.tell(self.db, PEER, "e", [streams.Told(RelPath(path), digest, False, size, chunks)])

    def stream(self, *, completed: bool = True, gap: float | None = None) -> None:
        streams.put_stream(self.db, streams.StreamRow(PEER, "e", 5, None, completed, gap, 2 if gap else 0))


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def live(**facts: Any) -> Live:
    return Live(**{"ready": True, "since": NOON, **facts})


def test_status_has_every_promised_key_with_and_without_a_daemon(world: World) -> None:
    world.peer()
    world.accept(ME, "public/a.csv")
    problems.raise_problem(world.db, "halted", ME, "Stopped.", "Decide.", NOON, "h-1")
    resting = world.get("/v1/status")
    running = world.get("/v1/status", live(watcher_mode="inotify", last_scan=NOON, pid=77))
    assert resting.keys() == running.keys()
    assert (resting["ready"], resting["pid"], resting["since"], resting["watcher"]) == (False, None, None, None)
    assert (running["ready"], running["pid"]) == (True, 77)
    assert running["since"] == "2023-11-14T22:13:20.000000Z"
    assert running["watcher"] == {"kind": "inotify", "problem": ""}
    same = ("email", "peers", "files", "jobs_waiting", "problems", "problems_list")
    assert {key: resting[key] for key in same} == {key: running[key] for key in same}
    assert (resting["email"], resting["files"], resting["problems"]) == (ME, 1, 1)
    assert {"id", "kind", "subject", "text", "remedy", "plan"} <= resting["problems_list"][0].keys()
    assert resting["problems_list"][0]["plan"] == "h-1"
    assert resting["transports"][0]["name"] == "folder"


def test_a_peer_that_has_everything_has_nothing_to_send_or_to_fetch(world: World) -> None:
    world.peer()
    world.tell("a", world.accept(PEER, "a").sha256)
    (told,) = world.get("/v1/status")["peers"]
    assert (told["email"], told["to_send"], told["to_fetch"], told["waiting_verdict"]) == (PEER, 0, 0, 0)


def test_what_is_on_its_way_is_counted_for_its_own_peer(world: World) -> None:
    world.peer()
    world.peer(OTHER)
    world.letter("a")
    world.letter("b", sent=True)
    views.start_stream(world.db, PEER, "e")
    world.tell("missing", Digest.of(b"1"))
    world.accept(PEER, "old", "old")
    world.tell("old", Digest.of(b"new"))
    draft = streams.Draft(PEER, RelPath("mine"), None, Digest.of(b"2"), "id", NOON)
    streams.put_drafts(world.db, [draft])
    told = {one["email"]: one for one in world.get("/v1/status")["peers"]}
    assert (told[PEER]["to_send"], told[PEER]["to_fetch"], told[PEER]["waiting_verdict"]) == (3, 2, 1)
    assert (told[OTHER]["to_send"], told[OTHER]["to_fetch"], told[OTHER]["waiting_verdict"]) == (0, 0, 0)


def test_what_a_reader_of_the_plain_network_was_sent_is_on_its_way_no_more(world: World) -> None:
    contacts.put(world.db, contacts.Peer(PEER, "accepted", NOON, "born", "0.1.117", frozenset(), ""))
    world.letter("a")
    world.letter("b", sent=True)
    (told,) = world.get("/v1/status")["peers"]
    assert told["to_send"] == 1


def test_only_jobs_that_wait_for_me_are_waiting(world: World) -> None:
    for number, (owner, state) in enumerate([(ME, "pending"), (ME, "done"), (PEER, "pending")]):
        jobs.put(world.db, jobs.JobRow(f"j{number}", owner, OTHER, "n", state, "", NOON, None, "", {}))
    assert world.get("/v1/status")["jobs_waiting"] == 1


@pytest.mark.parametrize(
    ("transports", "words"),
    [
        ([("a", True, ())], "none (trusted folder)"),
        ([("a", False, ())], "none (untrusted folder: only what is public)"),
        ([("a", True, (OTHER,))], "none (no transport reaches them)"),
        ([("a", False, ()), ("b", True, (PEER,))], "none (untrusted folder, trusted folder)"),
        ([], "unsealed"),
    ],
)
def test_protection_is_said_in_words(world: World, transports: list[Any], words: str) -> None:
    world.peer()
    world.transports = tuple(TransportSettings("folder", Path("/x"), *one) for one in transports)
    assert [one["protection"] for one in world.get("/v1/peers")] == [words]


def test_peers_that_were_removed_are_not_shown(world: World) -> None:
    world.peer(PEER, "removed")
    world.peer(OTHER, "requested_by_peer")
    assert [(one["email"], one["state"]) for one in world.get("/v1/peers")] == [(OTHER, "requested_by_peer")]


def test_status_is_quick_with_ten_thousand_files(world: World, tmp_path: Path) -> None:
    world.db = open_writer(tmp_path / "state.db")
    world.peer()
    digest = Digest.of(b"")
    paths = [RelPath(f"d{n % 40}/f{n}") for n in range(10_000)]
    rows = [files.FileRow(path, path, digest, 1, 1, 1, 1, False, True) for path in paths]
    with world.db.commit():
        files.put(world.db, ME, rows)
        files.put(world.db, PEER, rows)
        streams.tell(world.db, PEER, "e", [streams.Told(row.path, digest, False, 1, None) for row in rows])
        views.show(world.db, PEER, ((row.path, digest, False) for row in rows))
    queries = world.queries(live())
    took = []
    for _ in range(5):
        begin = time.process_time()
        assert queries.get("/v1/status", {})["files"] == 10_000
        took.append(time.process_time() - begin)
    assert min(took) < 0.02, took  # 10 ms is meant; the machine may be shared.


def test_history_is_oldest_first_and_in_utc(world: World) -> None:
    path = RelPath("public/a")
    first, second = Digest.of(b"1"), Digest.of(b"2")
    changes = [
        events.Event(path, first, 1, None, ME, NOON), events.Event(path, second, 2, first, PEER, NOON + 1),
        events.Event(path, None, None, second, ME, NOON + 2),
    ]  # fmt: skip
    events.append(world.db, changes)
    told = world.get("/v1/history", path="public/a")
    versions = [(one["sha256"], one["size"], one["by"]) for one in told]
    assert versions == [(first, 1, ME), (second, 2, PEER), (None, None, ME)]
    assert [one["seq"] for one in told] == sorted(one["seq"] for one in told)
    assert told[0]["at"] == "2023-11-14T22:13:20.000000Z"


def test_history_of_a_mirrored_path_is_what_the_trash_holds(world: World) -> None:
    old, new = Digest.of(b"old"), Digest.of(b"new")
    for id, digest, at in [("2", new, NOON + 9), ("1", old, NOON)]:
        problems.trashed(world.db, [problems.Trashed(id, PEER, "a", digest, 3, at, "x")])
    told = world.get("/v1/history", path=f"datasites/{PEER}/a")
    assert [(one["seq"], one["sha256"]) for one in told] == [(None, old), (None, new)]


def test_the_record_is_paged_by_number(world: World) -> None:
    for number in range(3):
        events.note(world.db, NOON + number, "peer", PEER, state=f"s{number}")
    told = world.get("/v1/log")
    assert [(line["seq"], line["kind"], line["subject"], line["state"]) for line in told] == [
        (1, "peer", PEER, "s0"), (2, "peer", PEER, "s1"), (3, "peer", PEER, "s2"),
    ]  # fmt: skip
    assert [line["seq"] for line in world.get("/v1/log", after="2")] == [3]
    with pytest.raises(UserError, match="whole number"):
        world.get("/v1/log", after="-1")


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/nothing", "/v2/status", "/v1/status/x", "/v1/jobs/x"])
def test_what_is_not_there_is_said(world: World, path: str) -> None:
    with pytest.raises(NotFound):
        world.get(path)


@pytest.mark.parametrize("route", ["why", "history", "access"])
def test_a_question_about_no_path_is_refused(world: World, route: str) -> None:
    with pytest.raises(UserError, match="missing"):
        world.get(f"/v1/{route}")


# -- which path is meant -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("public/a", (ME, "public/a")),
        ("public/./b/../a/", (ME, "public/a")),
        (".", (ME, "")),
        (f"datasites/{PEER}/x/y", (PEER, "x/y")),
        (f"datasites/{PEER}", (PEER, "")),
        ("datasites/notes", (ME, "datasites/notes")),
        ("cafe\u0301", (ME, "café")),
        ("{data}/datasites/me@x.org/a b", (ME, "a b")),
        ("{data}/datasites/me@x.org", (ME, "")),
        ("{data}/inbox/peer@y.org/job/run.sh", (ME, "app_data/job/inbox/peer@y.org/job/run.sh")),
        ("{data}/outbox/peer@y.org/job/stdout.txt", (PEER, "app_data/job/review/me@x.org/job/stdout.txt")),
    ],
)
def test_a_path_is_understood(tmp_path: Path, text: str, found: tuple[Email, str]) -> None:
    assert locate(tmp_path, ME, text.format(data=tmp_path)) == found


def test_a_path_through_a_link_to_the_data_folder_is_understood(tmp_path: Path) -> None:
    (tmp_path / "real" / "datasites" / ME).mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    for data, given in [("link", "real"), ("real", "link")]:
        assert locate(tmp_path / data, ME, f"{tmp_path / given}/datasites/{ME}/a") == (ME, "a")


@pytest.mark.parametrize(
    "text",
    ["", "..", "../a", "a/../../b", "/etc/passwd", "{data}", "{data}/datasites", "{data}/.trash/x", "a\0b", "a\nb",
     "datasites/a@b@c/x", "{data}/datasites/../../x"],
)  # fmt: skip
def test_a_path_outside_the_datasites_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(UserError):
        locate(tmp_path, ME, text.format(data=tmp_path))


# -- without a daemon --------------------------------------------------------------------------------------------------


def test_before_the_first_start_everything_is_empty(tmp_path: Path) -> None:
    places = Places.at(tmp_path)
    queries = open_readonly(places, Settings(ME, tmp_path / "SyftBox"))
    found = queries.get("/v1/status", {})
    assert isinstance(found, dict)
    assert (found["email"], found["ready"], found["files"], found["peers"], found["problems"]) == (ME, False, 0, [], 0)
    for route in ("jobs", "problems", "peers", "log"):
        assert queries.get(f"/v1/{route}", {}) == []
    assert queries.get("/v1/why", {"path": "a"})
    assert not (tmp_path / "SyftBox").exists()


def test_a_database_that_the_daemon_uses_is_read_beside_it(tmp_path: Path) -> None:
    places = Places.at(tmp_path)
    db = open_writer(places.state / "state.db")
    problems.raise_problem(db, "k", "s", "t", "r", NOON)
    places.config_file.parent.mkdir(parents=True)
    places.config_file.write_text('email = "me@x.org"\n[[transport]]\nkind = "folder"\npath = "/x"\ntrusted = true\n')
    contacts.put(db, contacts.Peer(PEER, "accepted", NOON, "", "1", frozenset(), ""))
    glanced = Settings(ME, tmp_path / "SyftBox")
    found = open_readonly(places, glanced).get("/v1/status", {})
    assert isinstance(found, dict)
    assert (found["problems"], found["peers"][0]["protection"]) == (1, "none (trusted folder)")
    db.close()
    assert open_readonly(places, glanced).get("/v1/problems", {})


@pytest.mark.parametrize("content", [b"no database at all, and long" * 40, b"SQLite format 3\0" + b"\1" * 4096])
def test_a_damaged_database_is_told_in_words(tmp_path: Path, content: bytes) -> None:
    places = Places.at(tmp_path)
    places.state.mkdir()
    (places.state / "state.db").write_bytes(content)
    with pytest.raises(StateCorrupt, match=r"state\.db"):
        open_readonly(places, Settings(ME, tmp_path)).get("/v1/status", {})


@pytest.mark.parametrize(("version", "error"), [(99, StateCorrupt), (0, None)])
def test_the_database_of_another_version_is_left_alone(
    tmp_path: Path, version: int, error: type[Exception] | None
) -> None:
    places = Places.at(tmp_path)
    places.state.mkdir()
    connection = sqlite3.connect(places.state / "state.db")
    connection.execute(f"PRAGMA user_version = {version}")
    connection.close()
    before = os.stat(places.state / "state.db").st_mtime_ns
    settings = Settings(ME, tmp_path)
    if error is None:
        assert open_readonly(places, settings).get("/v1/problems", {}) == []
    else:
        with pytest.raises(error):
            open_readonly(places, settings)
    assert os.stat(places.state / "state.db").st_mtime_ns == before
