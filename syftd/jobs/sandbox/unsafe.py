"""Running a job without any sandbox, because its owner asked for exactly that, for this one run.

The job can read and change what its owner can, use the network, and leave processes behind. What remains is order: a
throw-away copy of its folder, a clean environment, a process group of its own, the wall clock, the log limit, and the
strict collection.
"""

from __future__ import annotations

import os
import resource
import selectors
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from syftd.jobs.sandbox import inside, view
from syftd.jobs.sandbox.course import Course
from syftd.jobs.sandbox.export import Export
from syftd.jobs.sandbox.joblog import STREAMS, JobLog
from syftd.jobs.sandbox.spec import MEGABYTE, Spec, Stop
from syftd.seams import Clock

_LOOK_SECONDS: Final = 0.05
_PIECE: Final = 262_144


def run_unsafe(
    spec: Spec, log: JobLog, export: Export, notes: list[str], *, cancel: Stop | None, clock: Clock
) -> Course:
    """Runs the job as the daemon's own user; `notes` says so."""
    notes.append("this run had no sandbox: the job could read and change what its owner can, and use the network")
    folder = Path(tempfile.mkdtemp(prefix="syftd-unsafe-"))
    try:
        copy = folder / "job"
        shutil.copytree(spec.job, copy, symlinks=True)
        (copy / "outputs").mkdir(exist_ok=True)
        (folder / "tmp").mkdir()
        course = _supervise(spec, _environment(spec, folder), copy, log, cancel, clock)
        _collect(copy, export, clock)
        return course
    finally:
        # The job may have left folders that forbid their own removal.
        subprocess.run(["chmod", "-R", "u+rwX", str(folder)], check=False, stderr=subprocess.DEVNULL)
        shutil.rmtree(folder)


def _environment(spec: Spec, folder: Path) -> dict[str, str]:
    """The confined run's environment with its fixed places moved below `folder`."""
    shown = view.dataset_binds(spec.data, spec.owner)
    for bind in shown:
        place = folder / bind.place.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(bind.source.resolve())
    moved = {"HOME": str(folder / "tmp"), "TMPDIR": str(folder / "tmp")}
    for name in ("SYFTBOX_FOLDER", "DATA_DIR"):
        if name in spec.env:
            moved[name] = str(folder / spec.env[name].lstrip("/"))
    return {**view.FIXED_ENVIRONMENT, **spec.env, **moved}


def _supervise(
    spec: Spec, environment: dict[str, str], copy: Path, log: JobLog, cancel: Stop | None, clock: Clock
) -> Course:
    limits = spec.limits
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = clock.monotonic()
    ended_by = ""
    process = subprocess.Popen(
        [inside.BASH, "--norc", "--noprofile", "run.sh"], cwd=copy, env=environment, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None and process.stderr is not None
    try:
        with selectors.DefaultSelector() as selector:
            for stream, pipe in zip(STREAMS, (process.stdout, process.stderr), strict=True):
                selector.register(pipe, selectors.EVENT_READ, stream)
            while True:
                ended = process.poll() is not None
                events = selector.select(0 if ended else _LOOK_SECONDS)
                for key, _ in events:
                    content = os.read(key.fd, _PIECE)
                    log.take(key.data, content)
                    if not content:
                        selector.unregister(key.fileobj)
                if ended:
                    # A child that outlives the script holds the pipes open; it is killed, not waited for.
                    break
                if clock.monotonic() - began >= limits.wall_seconds:
                    ended_by = f"killed: wall clock of {limits.wall_seconds:g} s"
                    break
                if cancel is not None and cancel.is_set():
                    ended_by = "cancelled"
                    break
    finally:
        _kill_group(process.pid)
        process.wait()
        process.stdout.close()
        process.stderr.close()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
    code = process.returncode if process.returncode >= 0 else 128 - process.returncode
    return Course(None if ended_by else code, ended_by, clock.monotonic() - began, cpu, 0, True)


def _kill_group(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        # The whole group has ended by itself.
        return


def _collect(copy: Path, export: Export, clock: Clock) -> None:
    """The same archive and the same strict reading as for a confined run."""
    place = copy / "outputs"
    inner = copy / "code" / "outputs"
    if place.is_symlink() or not place.is_dir():
        export.refuse("outputs", "it is not a folder")
        return
    if not any(place.iterdir()) and inner.is_dir() and not inner.is_symlink():
        place = inner
    command = ["tar", "-cf", "-", "--format=gnu", "--sort=name", "-C", str(place), "."]
    environment = {"PATH": view.FIXED_ENVIRONMENT["PATH"], "LC_ALL": "C"}
    tar = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
    )
    assert tar.stdout is not None
    deadline = clock.monotonic() + 30
    try:
        while not export.ended and clock.monotonic() < deadline and (piece := os.read(tar.stdout.fileno(), MEGABYTE)):
            export.feed(piece)
    finally:
        tar.kill()
        tar.wait()
        tar.stdout.close()
