"""The runner around the sandbox: refusals, cures, the unsafe mode, the command, other users; and the oracle bites."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest

from syftd.errors import UserError
from syftd.jobs.sandbox import Limits, SandboxUnavailable, Spec, diagnose, probe, run
from syftd.jobs.sandbox import run as run_function
from syftd.seams import sleep_until
from tests.hostile.worlds import SMALL, World, alive_with, command_as_user, plain_bwrap

REPOSITORY = Path(__file__).parents[2]


def as_user(world: World, *words: str) -> subprocess.CompletedProcess[str]:
    """`sandbox_run` as an ordinary user, whoever runs the tests."""
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(REPOSITORY), "TMPDIR": str(world.top), "HOME": "/"}
    command = command_as_user(["-m", "syftd.cli.sandbox_run", *words])
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=False)


def test_plain_bubblewrap_loses_what_the_runner_holds(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same attempts, judged the same way, succeed without the runner; so the tests can fail."""
    script = (
        "tr '\\0' '\\n' < /proc/1/environ; /usr/bin/python3 -c '\n"
        "import ctypes, socket\n"
        'l=ctypes.CDLL(None); print("memfd", l.memfd_create(b"x", 0) >= 0)\n'
        'try: socket.socket(40, 1); print("vsock True")\nexcept OSError: print("vsock False")\n\'\n'
        "touch /x && echo writable"
    )
    plain = plain_bwrap(world.job(script), world.rows.parent, {"SYFTD_TEST_SECRET": world.canary})
    monkeypatch.setenv("SYFTD_TEST_SECRET", world.canary)
    ours = world.run(script).stdout
    assert world.canary in plain and world.canary not in ours
    assert "memfd True" in plain and "memfd False" in ours
    assert "vsock False" in ours
    assert "writable" in plain and "writable" not in ours


def test_works_for_an_ordinary_user(open_world: World) -> None:
    world = open_world
    job = world.job("id -u; cat /data/named/rows.csv; echo kept > outputs/kept; ln -s /etc outputs/l; exit 6")
    done = as_user(world, str(job), "--data", str(world.rows.parent), "--collect", str(world.top / "got"))
    assert done.returncode == 6, done.stderr
    assert done.stdout == "1000\na,b\n1,2\n"
    assert [path.name for path in (world.top / "got").iterdir()] == ["kept"]
    assert "not collected: l: it is a symbolic link" in done.stderr


def test_limits_hold_for_an_ordinary_user(open_world: World) -> None:
    world = open_world
    hog = "import ctypes; ctypes.CDLL(None).prctl(4, 0); x = []\\nwhile True: x.append(bytearray(8 << 20))"
    job = world.job(f"printf '{hog}' | exec /usr/bin/python3 - {world.token}")
    done = as_user(world, str(job), "--memory", "150", "--wall", "20")
    assert done.returncode == 137 and "killed: memory 150 MB" in done.stderr, done.stderr
    assert not alive_with(world.token)


@pytest.mark.parametrize(
    ("script", "words", "code"),
    [("exit 3", [], 3), ("sleep 30", ["--wall", "0.5"], 124), ("exit 0", ["--data", "/nonexistent/x"], 125)],
)
def test_exit_codes_of_the_command(world: World, script: str, words: list[str], code: int) -> None:
    command = [sys.executable, "-m", "syftd.cli.sandbox_run", str(world.job(script)), *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=REPOSITORY)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr


def test_the_command_stops_in_order_when_nobody_reads(world: World) -> None:
    job = world.job(f"exec -a {world.token} yes")
    command = [sys.executable, "-m", "syftd.cli.sandbox_run", str(job)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=REPOSITORY) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.read(10)
        process.stdout.close()
        assert process.wait(20) == 137
        assert b"Traceback" not in process.stderr.read()
    assert not alive_with(world.token)


def test_probe_makes_a_real_sandbox() -> None:
    result = probe()
    assert result.ok, result.text
    assert result.version and not result.remedy
    result.require()


def test_without_bubblewrap_nothing_runs(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name, path=None: None if name == "bwrap" else f"/usr/bin/{name}")
    job = world.job("touch /job/ran")
    with pytest.raises(SandboxUnavailable) as caught:
        run(Spec(job=job, limits=SMALL), out=world.top / "out")
    assert "apt install bubblewrap" in caught.value.remedy
    assert not probe().ok
    with pytest.raises(SandboxUnavailable):
        probe().require()


def test_a_bubblewrap_that_fails_is_explained_and_nothing_runs(
    world: World, reachable: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = reachable / "bwrap"
    fake.write_text("#!/bin/sh\necho 'bwrap: setting up uid map: Permission denied' >&2\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setattr("syftd.jobs.sandbox.runner.find_bwrap", lambda: str(fake))
    monkeypatch.setattr(diagnose, "_switch", lambda path: "1" if "apparmor" in path.name else "")
    with pytest.raises(SandboxUnavailable) as caught:
        run(Spec(job=world.job("true"), limits=SMALL), out=world.top / "out")
    assert "uid map" in str(caught.value) and "bwrap-userns-restrict" in caught.value.remedy


def test_a_bubblewrap_that_hangs_before_the_gate_leaves_nothing(
    world: World, reachable: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = reachable / "bwrap"
    fake.write_text(f"#!/bin/bash\nbash -c 'exec -a {world.token} sleep 60' &\nwait\n")
    fake.chmod(0o755)
    monkeypatch.setattr("syftd.jobs.sandbox.runner.find_bwrap", lambda: str(fake))
    monkeypatch.setattr("syftd.jobs.sandbox.supervise._START_SECONDS", 0.7)
    with pytest.raises(SandboxUnavailable):
        run(Spec(job=world.job("true"), limits=SMALL), out=world.top / "out")
    # They were killed before `run` returned; that they are gone may take the kernel another moment.
    assert sleep_until(lambda: not alive_with(world.token), timeout=5)


def test_wrong_specs_are_refused_in_words(world: World) -> None:
    job = world.job("true")
    for wrong in (
        Spec(job=world.top / "none"), Spec(job=job, data={"../x": world.rows}),
        Spec(job=job, data={"gone": world.top / "no"}),
        Spec(job=job, env={"A=B": "x"}), Spec(job=job, owner="../../etc"),
    ):  # fmt: skip
        with pytest.raises(UserError) as caught:
            run(wrong, out=world.top / "out")
        assert caught.value.remedy
    with pytest.raises(UserError):
        Limits(memory_mb=0)
    (world.top / "full").mkdir()
    (world.top / "full" / "x").touch()
    with pytest.raises(UserError):
        run(Spec(job=job), out=world.top / "full")


def test_unsafe_is_named_limited_and_still_collects_strictly(world: World) -> None:
    script = (
        f"cat $DATA_DIR/rows.csv; echo x > outputs/x; ln -s {world.key} outputs/l; mkdir t; chmod 0 t; echo err >&2\n"
        f"bash -c 'exec -a {world.token} sleep 60' & exit 7"
    )
    ran = world.run(script, unsafe=True, env={"DATA_DIR": "/data/named"})
    assert ran.result.mode == "unsafe" and "no sandbox" in ran.result.notes[0]
    assert ran.result.exit_code == 7 and ran.stdout == "a,b\n1,2\n" and ran.stderr == "err\n"
    assert ran.kept() == ["x"] and "symbolic link" in ran.refused()["l"]
    assert not alive_with(world.token)
    assert world.run("sleep 60", Limits(wall_seconds=0.5), unsafe=True).result.reason == "killed: wall clock of 0.5 s"


def test_many_runs_leave_no_descriptors_behind(world: World) -> None:
    world.run("true")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        world.run("true")
    assert len(os.listdir("/proc/self/fd")) == before


def test_start_is_fast(world: World) -> None:
    """Prints the median; the bound is loose since the machine may be busy."""
    job = world.job("true")
    taken = []
    for number in range(15):
        began = time.perf_counter()
        assert run_function(Spec(job=job, limits=SMALL), out=world.top / f"s{number}").ok
        taken.append((time.perf_counter() - began) * 1000)
    print(f"sandbox start to end: median {statistics.median(taken):.1f} ms, least {min(taken):.1f} ms")
    assert min(taken) < 120
