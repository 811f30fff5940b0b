"""What a job costs beside its own work: sent, listed, approved by command, run, released, visible at its author's."""

from __future__ import annotations

import time
from pathlib import Path

from tests.bench.peers import SyftdPair, syftd_pair
from tests.bench.report import Row, summary
from tests.journeys.daemons import wait_until

JOBS = 10
LATEST_SECONDS = 60.0


def measure(place: Path, *, quick: bool) -> list[Row]:
    """Sends jobs whose run.sh is `true`, one after another, each a different script so that nothing is answered from
    memory; the owner approves with --release as soon as the command line lists the job."""
    count = 3 if quick else JOBS
    whole: list[float] = []
    with syftd_pair(place / "syftd") as pair:
        for number in range(count):
            whole.append(_one(pair, place, number))
    middle, low, high = summary(whole)
    return [
        Row("jobs", "job round trip without its own work", middle, "s", count, low, high, limit=1.0,
            note="run.sh is `true`; four syftd commands are part of it")
    ]  # fmt: skip


def _one(pair: SyftdPair, place: Path, number: int) -> float:
    name = f"nothing-{number}"
    folder = place / "jobs" / name
    folder.mkdir(parents=True)
    (folder / "run.sh").write_text(f"#!/bin/sh\ntrue  # {number}\n")
    begin = time.perf_counter()
    pair.reader.cli("jobs", "submit", "--to", pair.owner.email, "--name", name, str(folder))
    arrived = pair.owner.data / "inbox" / pair.reader.email / name
    # The view of waiting jobs is watched as a person would glance at a folder; the list is then asked for the id.
    wait_until(arrived.exists, LATEST_SECONDS, f"the job {name} to arrive")
    listed = wait_until(lambda: pair.owner.job(name), LATEST_SECONDS, f"the job {name} to be listed")
    pair.owner.cli("jobs", "approve", listed["id"], "--release")
    result = pair.reader.data / "outbox" / pair.owner.email / name / "returncode.txt"
    wait_until(lambda: result.is_file() and result.read_text().strip() == "0", LATEST_SECONDS, f"the result of {name}")
    return time.perf_counter() - begin
