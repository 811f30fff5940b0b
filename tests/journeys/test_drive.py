"""Two people on Google Drive: real daemons against the emulator become peers, share, propose, run a job, and restart."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.drive_emulator import DriveEmulator
from tests.journeys.conftest import OWNER, RESEARCHER
from tests.journeys.daemons import Daemon, befriend, wait_until


class DriveDaemon(Daemon):
    """A daemon whose mail travels through Drive, as the emulator at `url` serves it."""

    def __init__(self, home: Path, email: str, url: str) -> None:
        super().__init__(home, email, home.parent)
        self.url = url

    def init(self) -> None:
        self.home.parent.mkdir(parents=True, exist_ok=True)
        token = self.home.with_name(f"{self.home.name}.token.json")
        token.write_text(json.dumps({"type": "authorized_user", "token": self.email}))
        self.say(
            "init", "--email", self.email, "--data", str(self.data), "--transport", "gdrive",
            "--drive-endpoint", self.url, "--token-file", str(token),
        )  # fmt: skip
        config = self.home / "config" / "syftd.toml"
        config.write_text(config.read_text().replace("# poll_seconds = 5 ", "poll_seconds = 0.5 "))


@pytest.fixture
def emulator() -> Iterator[DriveEmulator]:
    with DriveEmulator() as running:
        yield running


@pytest.fixture
def two(emulator: DriveEmulator, place: Path) -> Iterator[tuple[Daemon, Daemon]]:
    with (
        DriveDaemon(place / "owner", OWNER, emulator.url) as owner,
        DriveDaemon(place / "researcher", RESEARCHER, emulator.url) as researcher,
    ):
        befriend(researcher, owner)
        yield owner, researcher
    told = emulator.stats()
    assert told["violations"] == {"client": [], "emulator": []}


def test_two_people_share_propose_run_a_job_and_restart(two: tuple[Daemon, Daemon], place: Path) -> None:
    owner, researcher = two
    owner.write("public/table.csv", "a,b\n1,2\n")
    owner.write("public/large.bin", bytes(range(256)) * 4096)
    researcher.sees(OWNER, "public/table.csv", "a,b\n1,2\n")
    researcher.sees(OWNER, "public/large.bin", bytes(range(256)) * 4096)

    owner.write("public/notes/first.txt", "hello")
    owner.took_up("public/notes/first.txt")
    owner.cli("share", "public/notes", "--with", RESEARCHER, "--write")
    researcher.sees(OWNER, "public/notes/first.txt", "hello")
    (researcher.mirror(OWNER) / "public/notes/first.txt").write_text("hello, too")
    owner.holds("public/notes/first.txt", "hello, too")

    job = place / "sum"
    job.mkdir()
    (job / "run.sh").write_text("#!/bin/sh\nset -e\nmkdir -p outputs\necho 42 > outputs/sum.txt\necho computed\n")
    sent = researcher.cli("jobs", "submit", "--to", OWNER, str(job), "--name", "sum")
    owner.wait_for(lambda: owner.job("sum"), 30, "the job to arrive")
    waiting = owner.job("sum")
    assert waiting is not None
    owner.cli("jobs", "approve", str(waiting["id"]), "--release")
    researcher.wait_for(lambda: (researcher.job("sum") or {}).get("state") == "done", 30, "the job to be done")
    assert sent
    results = researcher.mirror(OWNER) / f"app_data/job/review/{RESEARCHER}/sum/outputs/sum.txt"
    researcher.wait_for(lambda: results.exists() and results.read_text() == "42\n", 30, "the result")

    owner.restart()
    researcher.restart()
    owner.write("public/after.txt", "after the restart")
    researcher.sees(OWNER, "public/after.txt", "after the restart")
    (status,) = owner.cli("status")["transports"]
    assert status["name"] == "gdrive"
    assert status["state"] == "ok"
    assert "units" in status["notes"][0]


def test_a_login_that_ends_is_one_problem_and_the_next_login_ends_it(
    two: tuple[Daemon, Daemon], emulator: DriveEmulator, place: Path
) -> None:
    owner, researcher = two
    researcher.caught_up_with(owner)
    owner.healed_of("cannot-send")  # The box that was not open yet when they met.
    with emulator.service.lock:
        emulator.service.oauth.revoke(OWNER)
    owner.write("public/waiting.txt", "sent after the next login")
    problem = owner.troubled_by("transport", "gdrive")
    assert "syftd login" in problem["remedy"]
    owner.took_up("public/waiting.txt")
    owner.wait_for(lambda: owner.cli("status", ok=(0, 3))["transports"][0]["state"] == "login", 20, "the pause")
    found = owner.cli("problems")
    assert [one["kind"] for one in found] == ["transport"], found
    with emulator.service.lock:
        emulator.service.oauth.allow(OWNER)
    owner.cli("login", "--token-file", str(place / "owner.token.json"))
    researcher.sees(OWNER, "public/waiting.txt", "sent after the next login", timeout=10)  # Not the pause of 15 s.
    owner.healed_of("transport", "gdrive")


def test_a_daemon_ends_at_once_while_drive_does_not_answer(emulator: DriveEmulator, place: Path) -> None:
    with DriveDaemon(place / "owner", OWNER, emulator.url) as owner:
        owner.wait_for(lambda: emulator.stats()["by_user"].get(OWNER, {}).get("drive.changes.list", 0) > 1, 30, "a poll")
        emulator.inject({"match": {"user": OWNER}, "action": {"stall_ms": 60_000}})
        before = emulator.stats()["requests"]
        wait_until(lambda: emulator.stats()["requests"] > before, 20, "a call that is not answered")
        assert owner.stop(timeout=10.0) == 0
        emulator.inject()
