"""Sending a job: what is too much is refused before anything is written."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from syftd.errors import UserError
from syftd.jobs import submit
from syftd.state import contacts, jobs
from syftd.wire.submission import parse_submission
from tests.unit.jobs.desks import ME, PEER, Desk
from tests.unit.jobs.desks import desk as desk


@pytest.fixture(autouse=True)
def peer(desk: Desk) -> None:
    contacts.put(desk.db, contacts.Peer(PEER, "accepted", 1.0, "born", "0.1.117", frozenset({"blobs"}), ""))
    desk.disk.make_private_dir(PEER, "")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "analysis"
    made.mkdir()
    (made / "run.sh").write_text("true\n")
    return made


def test_a_job_over_the_limit_is_refused_with_the_limit(desk: Desk, folder: Path) -> None:
    (folder / "data.bin").touch()
    os.truncate(folder / "data.bin", submit.MAX_BYTES)
    with pytest.raises(UserError, match="64 MiB"):
        desk.desk.submit([PEER], folder, None, [])
    assert (jobs.all_jobs(desk.db), list((desk.data / "datasites" / PEER).iterdir())) == ([], [])
    os.truncate(folder / "data.bin", 1024)
    assert desk.desk.submit([PEER], folder, None, [])[0].digest


def test_a_folder_that_is_too_large_to_hash_is_not(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    place = desk.data / "datasites" / PEER / "app_data/job/inbox" / ME / "dropped"
    place.mkdir(parents=True)
    (place / "large").touch()
    os.truncate(place / "large", submit.MAX_BYTES + 1)
    monkeypatch.setattr(desk.disk, "digest", lambda *_: pytest.fail("64 MiB are hashed on the control thread"))
    desk.desk.proposed(PEER, "dropped")
    assert [(job.name, job.digest) for job in jobs.all_jobs(desk.db)] == [("dropped", "")]


def in_inbox(desk: Desk, name: str) -> dict[str, str]:
    place = desk.data / "datasites" / PEER / "app_data/job/inbox" / ME / name
    return {str(path.relative_to(place)): path.read_text() for path in place.rglob("*") if path.is_file()}


def test_for_an_owner_of_the_plain_network_the_folder_goes_where_that_owner_takes_it(desk: Desk, folder: Path) -> None:
    (folder / "analysis.py").write_text("print()\n")
    (folder / "lib").mkdir()
    (folder / "lib" / "more.py").write_text("x = 1\n")
    desk.desk.submit([PEER], folder, "plain", [])
    sent = in_inbox(desk, "plain")
    assert set(sent) == {"run.sh", "config.yaml", "code/run.sh", "code/analysis.py", "code/lib/more.py"}
    assert sent["code/run.sh"] == "true\n"
    assert "cd code" in sent["run.sh"]
    told = parse_submission(sent["config.yaml"].encode())
    assert sorted(told.files) == ["analysis.py", "lib/more.py", "run.sh"]


def test_a_folder_that_has_the_networks_shape_already_is_sent_as_it_is(desk: Desk, folder: Path) -> None:
    (folder / "code").mkdir()
    (folder / "code" / "script.sh").write_text("true\n")
    desk.desk.submit([PEER], folder, "shaped", [])
    assert set(in_inbox(desk, "shaped")) == {"run.sh", "config.yaml", "code/script.sh"}


def test_for_another_syftd_the_folder_stays_what_it_is(desk: Desk, folder: Path) -> None:
    known = contacts.get(desk.db, PEER)
    assert known is not None
    contacts.put(desk.db, known._replace(extensions=frozenset({"blobs", "stream", "verdicts"})))
    (folder / "analysis.py").write_text("print()\n")
    desk.desk.submit([PEER], folder, "own", [])
    assert set(in_inbox(desk, "own")) == {"run.sh", "config.yaml", "analysis.py"}
