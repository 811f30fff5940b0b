"""Running approved jobs: a queue, the frozen copy, the sandbox, and what it came to."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from syftd.errors import Stale, SyftdError, UserError
from syftd.jobs.dataset import place_of
from syftd.jobs.freeze import freeze
from syftd.jobs.parts import JobParts, requested, run_name
from syftd.state import jobs
from syftd.state.jobs import JobRow

if TYPE_CHECKING:
    from syftd.jobs.sandbox import Result


@dataclass(frozen=True, slots=True)
class RunEnded:
    """A run is over; `result` is None when it could not start."""

    job: str
    run: int
    result: Result | None
    error: BaseException | None


class _Flag:
    """Set once, read by the sandbox's watchdog."""

    def __init__(self) -> None:
        self._set = False

    def set(self) -> None:
        self._set = True

    def is_set(self) -> bool:
        return self._set


class Runner:
    """Starts approved jobs, oldest first, as many at once as the owner allows. A run that was interrupted by a crash is
    shown as such and never repeated by itself."""

    def __init__(self, parts: JobParts) -> None:
        self._parts = parts
        self._running: dict[str, _Flag] = {}

    @property
    def busy(self) -> bool:
        return bool(self._running)

    def interrupted(self) -> list[JobRow]:
        """At start: jobs that were running when the daemon stopped; they become failed, with the reason."""
        parts = self._parts
        found = jobs.in_state(parts.db, parts.me, "running")
        ended = []
        for job in found:
            job = job._replace(
                state="failed",
                exit_code=None,
                reason="interrupted: syftd stopped while it ran; run it again with `jobs rerun`",
            ).with_facts(completed_at=parts.clock.now(), interrupted=True)
            with parts.db.commit():
                parts.save(job)
                parts.note("interrupted", job)
            ended.append(job)
        return ended

    def start_next(self) -> None:
        """Starts what is approved and has a free place."""
        parts = self._parts
        for job in jobs.in_state(parts.db, parts.me, "approved"):
            if len(self._running) >= parts.limits.concurrency:
                return
            if job.id not in self._running:
                self._start(job)

    def cancel(self, job: JobRow) -> bool:
        """Ends a run; False when the job is not running."""
        flag = self._running.get(job.id)
        if flag is None:
            return False
        flag.set()
        return True

    def close(self) -> None:
        """The daemon stops: every run is ended."""
        for flag in self._running.values():
            flag.set()

    def datasets(self, job: JobRow) -> dict[str, Path]:
        """The host folders of the requested datasets; UserError names the first that does not exist."""
        found: dict[str, Path] = {}
        for name in requested(self._parts.submission(job), job.owner):
            place = find_dataset(self._parts, name)
            if place is None:
                raise UserError(
                    f"job {job.name} asks for the dataset “{name}”, and there is none of that name in private/",
                    f"Put it at private/{name}/, or deny the job: `syftd jobs deny {job.id} --reason …`.",
                )
            found[name] = place
        return found

    def _start(self, job: JobRow) -> None:
        parts = self._parts
        run = int(job.facts.get("runs", 0)) + 1
        folder = parts.runs_folder(job) / run_name(run)
        rows = parts.files_of(job)
        names = requested(parts.submission(job), job.owner)
        flag = _Flag()
        job = job._replace(state="running", exit_code=None, reason="").with_facts(
            runs=run, started_at=parts.clock.now(), completed_at=None, interrupted=False
        )
        with parts.db.commit():
            parts.save(job)
            parts.note("started", job, run=run, digest=job.digest, unsafe=bool(job.facts.get("unsafe")))
            parts.solved("job-not-run", job)
        approved = job

        def work() -> Result:
            return self._run(approved, rows, names, folder, flag)

        def done(result: Result | None, error: BaseException | None) -> None:
            parts.post(RunEnded(approved.id, run, result, error))

        # Only what is written down as running takes a place: had the writing failed, the place would never be free again.
        self._running[job.id] = flag
        try:
            parts.pool.submit(work, done)
        except BaseException:
            del self._running[job.id]
            raise

    def _run(self, job: JobRow, rows: list[Any], names: list[str], folder: Path, flag: _Flag) -> Result:
        """On a pool thread: freeze, confine, run, and write down what it came to."""
        from syftd.jobs import sandbox

        parts = self._parts
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(mode=0o700, parents=True)
        frozen = parts.runs_folder(job) / "approved"
        freeze(parts, job, rows, names, frozen)
        data: dict[str, Path] = {}
        for name in names:
            place = find_dataset(parts, name)
            if place is None:
                raise UserError(f"the dataset “{name}” is not there any more")
            data[name] = place
        limits = job.facts.get("approved_limits") or {}
        spec = sandbox.Spec(
            job=frozen, data=data,
            env={
                "SYFTBOX_FOLDER": "/syftbox", "SYFTBOX_EMAIL": job.owner, "SYFT_IS_IN_JOB": "true", "PYTHONUNBUFFERED": "1",
            },
            limits=sandbox.Limits(**limits), unsafe=bool(job.facts.get("unsafe")), owner=job.owner,
        )  # fmt: skip
        result = sandbox.run(spec, out=folder, cancel=flag)
        _write_json(folder / "result.json", summary(result))
        return result

    def ended(self, work: RunEnded) -> JobRow | None:
        """Takes the end of a run; returns the job as it is now. A frozen copy that was not the approved one sends the
        job back to review."""
        parts = self._parts
        self._running.pop(work.job, None)
        job = jobs.get(parts.db, work.job)
        if job is None or job.state != "running":
            return job
        now = parts.clock.now()
        if work.result is not None:
            result = work.result
            job = job._replace(
                state="done" if result.ok else "failed",
                exit_code=_exit(result),
                reason="" if result.ok else result.reason,
            ).with_facts(completed_at=now)
        elif isinstance(work.error, Stale):
            job = job._replace(state="pending", reason="its files changed after it was approved").with_facts(
                approved_at=None, approved_digest=None, started_at=None
            )
        else:
            reason = str(work.error)
            job = job._replace(state="failed", exit_code=None, reason=f"it could not be run: {reason}").with_facts(
                completed_at=now
            )
            remedy = work.error.remedy if isinstance(work.error, SyftdError) else ""
            parts.problem(
                "job-not-run",
                job,
                f"Job {job.name} of {job.submitter} could not be run: {reason}",
                remedy or "See `syftd doctor`.",
            )
        with parts.db.commit():
            jobs.put(parts.db, job)
            parts.note("ended", job, run=work.run, state=job.state, exit_code=job.exit_code, reason=job.reason)
        return job


def find_dataset(parts: JobParts, name: str) -> Path | None:
    """Where the private dataset of that name lies on this machine; None when there is none."""

    def names(path: str) -> list[str]:
        listing = parts.disk.entries(parts.me, path)
        return [name for name, _ in listing.files] if listing else []

    place = place_of(name, lambda path: parts.disk.kind(parts.me, path), names)
    return None if place is None else parts.data / "datasites" / parts.me / place


def summary(result: Result) -> dict[str, Any]:
    """What is kept of a run for people, as plain JSON."""
    facts = asdict(result)
    facts["outputs"] = [[item.path, item.size, item.sha256] for item in result.outputs]
    facts["refused"] = [[item.name, item.reason] for item in result.refused]
    return facts


def _exit(result: Result) -> int | None:
    if result.exit_code is not None:
        return result.exit_code
    return None if result.signal is None else 128 + result.signal


def _write_json(path: Path, value: Any) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(fd, "w", encoding="utf-8") as file:
        json.dump(value, file, indent=1)
