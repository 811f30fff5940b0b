"""Lock, supervisor notices, signals, crash count and ticks."""

import os
import queue
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from syftd.daemon.lifecycle import CrashCount, Lock, Signals, notify, watchdog_interval
from syftd.daemon.ticks import Tick, Ticks
from syftd.errors import LockHeld, UserError
from syftd.seams import SystemClock, sleep_until


@pytest.fixture
def state(tmp_path: Path) -> Path:
    (tmp_path / "state").mkdir()
    (tmp_path / "data").mkdir()
    return tmp_path / "state"


def lock(state: Path, data: Path | None = None) -> Lock:
    return Lock(state, data or state.parent / "data", SystemClock())


def test_a_second_start_is_told_who_holds_it(state: Path) -> None:
    with lock(state):
        with pytest.raises(LockHeld, match=rf"pid {os.getpid()} since \d{{4}}-") as caught:
            lock(state).acquire()
        assert caught.value.exit_code == 11
    with lock(state) as again:
        assert again.unguarded == ""


def test_another_instance_on_the_same_data_is_stopped(state: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    second = lock(tmp_path / "other", tmp_path / "data")
    with lock(state):
        with pytest.raises(LockHeld, match="data"):
            second.acquire()
        # The refused one holds nothing: its own state can be locked by somebody else.
        (tmp_path / "third").mkdir()
        with lock(tmp_path / "other", tmp_path / "third"):
            pass


def test_a_killed_holder_leaves_no_lock(state: Path) -> None:
    code = (
        "import sys\nfrom pathlib import Path\n"
        "from syftd.daemon.lifecycle import Lock\nfrom syftd.seams import SystemClock\n"
        "with Lock(Path(sys.argv[1]), Path(sys.argv[2]), SystemClock()):\n"
        "    print('held', flush=True)\n    sys.stdin.read()"
    )
    words = [sys.executable, "-c", code, str(state), str(state.parent / "data")]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None and child.stdout.readline() == "held\n"
        with pytest.raises(LockHeld, match=f"pid {child.pid}"):
            lock(state).acquire()
        child.kill()
    with lock(state):
        pass


def test_a_link_as_lock_is_refused(state: Path, tmp_path: Path) -> None:
    (state / "lock").symlink_to(tmp_path / "victim")
    with pytest.raises(UserError):
        lock(state).acquire()
    assert not (tmp_path / "victim").exists()


@pytest.mark.parametrize("abstract", [False, True])
def test_notify_reaches_the_supervisor(tmp_path: Path, abstract: bool) -> None:
    if abstract and not sys.platform.startswith("linux"):
        pytest.skip("abstract names are Linux's")
    name = f"syftd-test-{os.getpid()}" if abstract else str(tmp_path / "n")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind("\0" + name if abstract else name)
        assert notify("READY=1\nSTATUS=fine", {"NOTIFY_SOCKET": "@" + name if abstract else name})
        assert listener.recv(100) == b"READY=1\nSTATUS=fine"


def test_notify_without_a_listener_is_no_error(tmp_path: Path) -> None:
    assert not notify("READY=1", {})
    assert not notify("READY=1", {"NOTIFY_SOCKET": str(tmp_path / "gone")})
    assert not notify("READY=1", {"NOTIFY_SOCKET": "vsock:1:2"})


def test_watchdog_interval_is_half_of_what_is_allowed() -> None:
    assert watchdog_interval({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": str(os.getpid())}) == 30.0
    assert watchdog_interval({"WATCHDOG_USEC": "60000000"}) == 30.0
    assert watchdog_interval({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "1"}) is None
    assert watchdog_interval({}) is None


@pytest.fixture
def signals() -> Iterator[tuple[Signals, "queue.SimpleQueue[str]", list[int]]]:
    wakes: queue.SimpleQueue[str] = queue.SimpleQueue()
    left: list[int] = []
    found = Signals(lambda: wakes.put("woken"), left.append)
    found.install()
    yield found, wakes, left
    found.restore()


def test_a_signal_wakes_a_loop_that_waits(signals: tuple[Signals, "queue.SimpleQueue[str]", list[int]]) -> None:
    found, wakes, left = signals
    assert not found.stop
    os.kill(os.getpid(), signal.SIGTERM)
    assert wakes.get(timeout=5) == "woken" and found.stop
    os.kill(os.getpid(), signal.SIGTERM)
    assert wakes.get(timeout=5) == "woken"
    assert left == []


def test_the_second_interrupt_leaves_now(signals: tuple[Signals, "queue.SimpleQueue[str]", list[int]]) -> None:
    found, wakes, left = signals
    os.kill(os.getpid(), signal.SIGINT)
    wakes.get(timeout=5)
    assert found.stop and left == []
    os.kill(os.getpid(), signal.SIGINT)
    wakes.get(timeout=5)
    assert left == [130]


def test_hangup_asks_for_one_reload(signals: tuple[Signals, "queue.SimpleQueue[str]", list[int]]) -> None:
    found, wakes, _ = signals
    assert not found.take_reload()
    os.kill(os.getpid(), signal.SIGHUP)
    wakes.get(timeout=5)
    assert found.take_reload() and not found.take_reload() and not found.stop


def test_the_handlers_are_put_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    found = Signals(lambda: None)
    found.install()
    assert signal.getsignal(signal.SIGTERM) != before
    found.restore()
    assert signal.getsignal(signal.SIGTERM) == before


def test_usr1_writes_the_stacks(tmp_path: Path) -> None:
    found = Signals(lambda: None)
    with open(tmp_path / "dump", "w+") as dump:
        found.install(dump)
        os.kill(os.getpid(), signal.SIGUSR1)
        found.restore()
        dump.seek(0)
        assert "test_usr1_writes_the_stacks" in dump.read()


def test_three_short_lives_mean_safe_mode(state: Path) -> None:
    assert [CrashCount(state).begin() for _ in range(4)] == [False, False, False, True]


def test_a_long_life_or_a_clean_stop_forgives(state: Path) -> None:
    for forgive in (CrashCount.lived, CrashCount.ended):
        assert [CrashCount(state).begin() for _ in range(3)] == [False] * 3
        forgive(CrashCount(state))
        assert [CrashCount(state).begin() for _ in range(3)] == [False] * 3
        forgive(CrashCount(state))


def test_a_garbled_count_counts_from_nothing(state: Path) -> None:
    (state / "starts").write_bytes(b"\xff\xfe")
    assert CrashCount(state).begin() is False


def test_ticks_only_post_and_can_be_changed_and_stopped() -> None:
    posted: queue.SimpleQueue[Tick] = queue.SimpleQueue()
    ticks = Ticks(posted.put)
    ticks.every("poll", 0.05)
    ticks.every("slow", 3600)
    ticks.start()
    try:
        assert {posted.get(timeout=5) for _ in range(3)} == {Tick("poll")}
        ticks.every("slow", 0.05)
        assert sleep_until(lambda: posted.get(timeout=5) == Tick("slow"), timeout=5)
        ticks.stop_one("poll")
        ticks.stop_one("unknown")
    finally:
        ticks.stop()
        ticks.stop()
    while not posted.empty():
        posted.get()
    assert posted.empty()
