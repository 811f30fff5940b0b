"""The demonstration as a stranger meets it: it ends well, leaves nothing behind, and says what is wrong."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from syftd.demo.daemon import clean_environment
from tests.journeys.daemons import wait_until

DEMO = Path(__file__).parents[2] / "syftd" / "demo"


def run_demo(*words: str, temporary: Path, path: str | None = None) -> subprocess.CompletedProcess[str]:
    environment = clean_environment() | {"TMPDIR": str(temporary)}
    if path is not None:
        environment["PATH"] = path
    return subprocess.run(
        [sys.executable, "-m", "syftd", "demo", *words],
        capture_output=True, text=True, timeout=180, env=environment, check=False,
    )  # fmt: skip


def daemons_below(folder: Path) -> list[int]:
    """The daemons (`syftd --home … run`) whose home is below `folder`, without what they have just forked themselves:
    a child bears its parent's command line until it has become another program."""
    parents: dict[int, int] = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
            if b"run" in words and any(word.startswith(os.fsencode(folder)) for word in words):
                fields = (process / "stat").read_text().rpartition(")")[2].split()
                parents[int(process.name)] = int(fields[1])
        except (FileNotFoundError, ProcessLookupError):
            continue  # It ended while we looked.
    return [pid for pid, parent in parents.items() if parent not in parents]


def test_the_main_job_ends_with_the_result_and_leaves_nothing(place: Path) -> None:
    ended = run_demo(temporary=place)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    result = json.loads(ended.stdout[ended.stdout.rindex("    {") : ended.stdout.rindex("    }") + 5])
    assert result["patients"] == 299
    assert result["deaths"] == 96
    assert "digest" in ended.stdout  # What the owner saw before approving.
    assert list(place.iterdir()) == []
    assert daemons_below(place) == []


def test_keep_leaves_both_daemons_and_says_how_to_end_them(place: Path) -> None:
    ended = run_demo("--keep", "--home", str(place / "kept"), temporary=place)
    try:
        assert ended.returncode == 0, ended.stdout + ended.stderr
        running = daemons_below(place)
        assert len(running) == 2
        assert all(str(pid) in ended.stdout.splitlines()[-1] for pid in running)
    finally:
        for pid in daemons_below(place):
            os.kill(pid, signal.SIGTERM)
        wait_until(lambda: not daemons_below(place), 60, "the kept daemons to end")


def test_without_bubblewrap_it_says_what_to_install(place: Path) -> None:
    ended = run_demo(temporary=place, path=str(place))
    assert ended.returncode == 2
    assert "bubblewrap" in ended.stderr
    assert "install" in ended.stderr
    assert list(place.iterdir()) == []


def test_a_folder_with_things_in_it_is_left_alone(place: Path) -> None:
    (place / "letter.txt").write_text("mine")
    ended = run_demo("--home", str(place), temporary=place)
    assert ended.returncode == 2
    assert str(place) in ended.stderr
    assert [path.name for path in place.iterdir()] == ["letter.txt"]


@pytest.mark.parametrize("name", ["heart_failure.csv", "sample.csv"])
def test_the_job_computes_on_both_tables_with_the_standard_library_alone(name: str, tmp_path: Path) -> None:
    table = DEMO / "clinic" / name
    with table.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    analysis = DEMO / "job" / "analysis.py"
    subprocess.run([sys.executable, "-I", "-S", str(analysis), str(table), str(tmp_path)], check=True, timeout=60)
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["patients"] == len(rows)
    assert result["deaths"] == sum(row["DEATH_EVENT"] == "1" for row in rows)


def test_no_row_of_the_sample_is_a_patient() -> None:
    patients = (DEMO / "clinic" / "heart_failure.csv").read_text().splitlines()[1:]
    shown = (DEMO / "clinic" / "sample.csv").read_text().splitlines()[1:]
    assert len(shown) == 40
    assert not set(shown) & set(patients)


def test_being_ended_halfway_ends_both_daemons_and_cleans_up(place: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "syftd", "demo"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=clean_environment() | {"TMPDIR": str(place)},
    )  # fmt: skip
    assert process.stdout is not None
    while "start a daemon" not in process.stdout.readline():
        assert process.poll() is None
    assert len(daemons_below(place)) == 2
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=120)
    assert process.returncode == 130
    assert daemons_below(place) == []
    assert list(place.iterdir()) == []
