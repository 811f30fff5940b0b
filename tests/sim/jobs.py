"""Jobs in a world: the production desk, with a run that takes no time in place of the sandbox.

What a run leaves names the job and the run, so that whoever finds a byte of it knows where it came from.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from syftd.jobs import sandbox
from syftd.jobs.sandbox import Output, Result, SandboxUnavailable, Spec
from tests.sim.adversity import require

_LEFT = re.compile(rb"left by ([^ ]+) run (\d+)")


def digest_of(folder: Path, datasets: list[str]) -> str:
    """The digest of a job's files as docs/jobs.md describes it, taken without the code under test."""
    state = hashlib.sha256(b"syftd-job-1\n")
    for place in sorted(folder.rglob("*"), key=lambda place: str(place.relative_to(folder))):
        if place.is_file():
            mark = "x" if place.stat().st_mode & 0o100 else "-"
            content = hashlib.sha256(place.read_bytes()).hexdigest()
            state.update(f"{place.relative_to(folder)}\0{content}\0{mark}\n".encode())
    state.update(b"\n")
    for name in sorted(set(datasets)):
        state.update(f"{name}\n".encode())
    return state.hexdigest()


def left_in(content: bytes) -> tuple[str, int] | None:
    """The job and the run that left this content; None when none did."""
    found = _LEFT.search(content)
    return None if found is None else (found[1].decode(), int(found[2]))


class Runs:
    """Stands in for the sandbox. `yes` are the digests that owners said yes to, by job; `out` the runs of which an owner
    let results out."""

    def __init__(self, chance: Callable[[], random.Random], meet: Callable[[Path, str], None]) -> None:
        self.yes: dict[str, str] = {}
        self.out: set[tuple[str, int]] = set()
        self.started: list[tuple[str, int]] = []
        self._chance = chance
        self._meet = meet

    def run(self, spec: Spec, *, out: Path, cancel: Any = None, **_: Any) -> Result:
        """Runs nothing, and leaves what a run leaves."""
        job, number = out.parent.name, int(out.name.removeprefix("run-"))
        found = digest_of(spec.job, list(spec.data))
        require(found == self.yes.get(job), f"I16: job {job} ran with other files than its owner said yes to")
        require((job, number) not in self.started, f"I16: run {number} of job {job} was started twice")
        self.started.append((job, number))
        self._meet(out, "job.run")
        if self._chance().random() < 0.1:
            raise SandboxUnavailable("no sandbox just now", "Try again.")
        (out / "outputs").mkdir()
        content = f"left by {job} run {number}".encode()
        for name in ("outputs/result.txt", "stdout.txt", "stderr.txt"):
            (out / name).write_bytes(content + b" in " + name.encode())
            self._meet(out, "job.write")
        code = self._chance().choice((0, 0, 0, 1))
        (out / "returncode.txt").write_text(f"{code}\n")
        outputs = (Output("result.txt", len(content), hashlib.sha256(content).hexdigest()),)
        reason = f"exit {code}"
        return Result(code, None, reason, 0.0, 0.0, 0.0, len(content), False, outputs, (), (), "bubblewrap", 0.0)


@contextmanager
def simulated(by_job_folder: Mapping[str, Runs] | Callable[[Path], Runs]) -> Iterator[None]:
    """Puts simulated runs in the sandbox's place; `by_job_folder` tells whose run it is by where it leaves its results."""
    real = sandbox.run

    def run(spec: Spec, *, out: Path, **more: Any) -> Result:
        runs = by_job_folder(out) if callable(by_job_folder) else by_job_folder[str(out)]
        return runs.run(spec, out=out, **more)

    sandbox.run = run
    try:
        yield
    finally:
        sandbox.run = real
