"""The process itself: one at a time, told to stop, told to reload, with a broken database, and in a crash loop."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess

from tests.journeys.conftest import OWNER, RESEARCHER, Pair
from tests.journeys.daemons import Daemon, wait_until

SECONDS = 30.0


def test_a_second_daemon_on_the_same_data_ends_with_11(pair: Pair) -> None:
    owner = pair.owner
    pid = owner.pid
    twice = subprocess.run(owner.command("run"), capture_output=True, text=True, timeout=30, check=False)
    assert twice.returncode == 11
    assert f"pid {pid}" in twice.stderr
    assert str(owner.home) in twice.stderr
    # Another home with the same data folder is no way round it.
    other = Daemon(owner.home.with_name("other"), OWNER, owner.folder, data=owner.data)
    other.init()
    twice = subprocess.run(other.command("run"), capture_output=True, text=True, timeout=30, check=False)
    assert twice.returncode == 11
    assert str(owner.data) in twice.stderr
    # The first one has noticed nothing.
    assert owner.cli("status", ok=(0, 3))["pid"] == pid
    pair.researcher.caught_up_with(owner)


def test_sigterm_ends_with_0_and_leaves_the_state_whole(pair: Pair) -> None:
    owner = pair.owner
    for number in range(300):
        owner.write(f"public/{number}.txt", f"{number}" * 100)
    assert owner.stop() == 0  # In the middle of taking them up.
    assert not (owner.home / "run" / "syftd.sock").exists()
    status = owner.cli("status", ok=(4,))
    assert status["ready"] is False
    assert status["pid"] is None
    with sqlite3.connect(owner.home / "state" / "state.db") as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    owner.start()
    for number in (0, 150, 299):
        pair.researcher.sees(OWNER, f"public/{number}.txt", f"{number}" * 100)


def test_reading_commands_work_without_the_daemon_and_changing_ones_say_what_to_do(pair: Pair) -> None:
    owner = pair.owner
    owner.write("public/a.txt", "a")
    pair.researcher.sees(OWNER, "public/a.txt", "a")
    owner.stop()
    assert [peer["email"] for peer in owner.cli("peers", "list")] == [RESEARCHER]
    assert [version["by"] for version in owner.cli("history", "public/a.txt")] == [OWNER]
    owner.cli("jobs", "list")
    owner.cli("problems")
    said = subprocess.run(
        owner.command("share", "public", "--with", "*"), capture_output=True, text=True, timeout=30, check=False
    )
    assert said.returncode == 4
    assert "syftd run" in said.stderr
    owner.start()


def test_sighup_takes_a_good_configuration_and_refuses_a_broken_one(pair: Pair) -> None:
    owner = pair.owner
    config = owner.home / "config" / "syftd.toml"
    good = config.read_text()
    config.write_text(good.replace("[sync]", "[sync]\nmax_delete_count = 1\nmax_delete_percent = 0\npoll_secnds = 1"))
    os.kill(owner.pid, signal.SIGHUP)
    problem = owner.troubled_by("config")
    assert "poll_secnds" in problem["text"]
    assert "poll_seconds" in problem["remedy"]
    # The old one is in force: two files may go unasked.
    for name in ("a", "b", "c", "d"):
        owner.write(f"public/{name}.txt", name)
    pair.researcher.sees(OWNER, "public/d.txt", "d")
    for name in ("a", "b"):
        (owner.own / f"public/{name}.txt").unlink()
    pair.researcher.lacks(OWNER, "public/b.txt")
    config.write_text(good.replace("[sync]", "[sync]\nmax_delete_count = 1\nmax_delete_percent = 0"))
    os.kill(owner.pid, signal.SIGHUP)
    owner.healed_of("config")
    for name in ("c", "d"):
        (owner.own / f"public/{name}.txt").unlink()
    owner.troubled_by("halted")
    assert (pair.researcher.mirror(OWNER) / "public/c.txt").exists()


def test_a_damaged_database_is_set_aside_and_everything_is_rebuilt(pair: Pair) -> None:
    owner, researcher = pair.owner, pair.researcher
    owner.write("shared/a.txt", "a")
    owner.cli("share", "shared", "--with", RESEARCHER)
    researcher.sees(OWNER, "shared/a.txt", "a")
    owner.stop()
    database = owner.home / "state" / "state.db"
    with database.open("r+b") as file:
        file.write(b"this is no database any more" * 200)
    owner.start()
    problem = owner.troubled_by("rebuilt")
    assert "peers" in problem["remedy"]
    assert len(list(database.parent.glob("state.db.corrupt-*"))) >= 1
    # Peers have to be named again; the files were never in the database.
    assert (owner.own / "shared/a.txt").read_text() == "a"
    owner.wait_for(lambda: owner.peer_state(RESEARCHER) == "requested_by_peer", SECONDS, "the old peer to ask", 0.1)
    owner.cli("peers", "accept", RESEARCHER)
    owner.write("shared/a.txt", "a, after the rebuilding")
    researcher.sees(OWNER, "shared/a.txt", "a, after the rebuilding")
    owner.write("shared/b.txt", "b")
    researcher.sees(OWNER, "shared/b.txt", "b")


def test_a_reader_with_a_damaged_database_gets_everything_again(pair: Pair) -> None:
    owner, researcher = pair.owner, pair.researcher
    owner.write("public/a.txt", "a")
    owner.write("public/b.txt", "b")
    researcher.sees(OWNER, "public/b.txt", "b")
    researcher.stop()
    with (researcher.home / "state" / "state.db").open("r+b") as file:
        file.write(b"\0" * 8192)
    (owner.own / "public/b.txt").unlink()
    owner.write("public/c.txt", "c")
    researcher.start()
    researcher.troubled_by("rebuilt")
    # The owner never stopped being a friend, so asking once more is enough.
    researcher.cli("peers", "add", OWNER)
    researcher.wait_for(lambda: researcher.peer_state(OWNER) == "accepted", SECONDS, "acceptance", 0.1)
    researcher.sees(OWNER, "public/c.txt", "c")
    researcher.sees(OWNER, "public/a.txt", "a")
    owner.write("public/a.txt", "a, second version")
    researcher.sees(OWNER, "public/a.txt", "a, second version")
    # What the owner deleted meanwhile is not proposed as new.
    researcher.caught_up_with(owner)
    assert not (owner.own / "public/b.txt").exists()
    assert (owner.own / "public/a.txt").read_text() == "a, second version"


def test_three_crashes_in_a_row_lead_to_safe_mode_and_a_restart_leads_out(pair: Pair) -> None:
    owner, researcher = pair.owner, pair.researcher
    for _ in range(3):
        owner.kill()
        owner.start()
    status = owner.cli("status", ok=(3,))
    assert status["safe_mode"] is True
    assert "safe" in owner.say("status", ok=(3,))
    assert owner.troubled_by("safe-mode")["remedy"]
    owner.write("public/while-safe.txt", "not sent yet")
    owner.cli("jobs", "list")
    assert not (researcher.mirror(OWNER) / "public/while-safe.txt").exists()
    owner.restart()
    assert owner.cli("status", ok=(0, 3))["safe_mode"] is False
    owner.healed_of("safe-mode")
    researcher.sees(OWNER, "public/while-safe.txt", "not sent yet")


def test_the_data_folder_and_the_home_hold_nothing_else(pair: Pair) -> None:
    owner = pair.owner
    pair.researcher.caught_up_with(owner)
    names = {path.name for path in owner.data.iterdir() if not path.name.startswith(".")}
    assert names == {"datasites", "inbox", "outbox"}
    assert {path.name for path in owner.home.iterdir()} == {"config", "state", "cache", "run", "log", "SyftBox"}
    # What only the owner may know is for the owner's eyes.
    loose = [
        str(path.relative_to(owner.home))
        for part in ("config", "state", "run")
        for path in (owner.home / part).rglob("*")
        if path.lstat().st_mode & 0o077 and not path.is_symlink()
    ]
    assert loose == []


def test_being_killed_leaves_a_socket_that_the_next_start_takes_over(pair: Pair) -> None:
    owner = pair.owner
    owner.kill()
    assert owner.cli("status", ok=(4,))["ready"] is False
    owner.start()
    assert owner.cli("status", ok=(0, 3))["ready"] is True
    wait_until(lambda: owner.peer_state(RESEARCHER) == "accepted", SECONDS, "the peers to be known again")
