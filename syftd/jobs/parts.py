"""What the rooms of the jobs package share."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from syftd.config import JobSettings
from syftd.errors import ContentMissing, DiskFull, ItemError
from syftd.names import Digest, Email, RelPath
from syftd.seams import Clock, Pool
from syftd.state import events, files, jobs, problems
from syftd.state.db import Db
from syftd.state.jobs import JobRow
from syftd.tree.contract import Disk
from syftd.wire.submission import (
    CONFIG_FILE,
    STATE_FILE,
    JobState,
    Submission,
    parse_submission,
    render_state,
    time_text,
)

INBOX = "app_data/job/inbox"
REVIEW = "app_data/job/review"


@dataclass
class JobParts:
    """The datasite as the jobs rooms see it. `folder` holds frozen copies and results, outside of every datasite."""

    me: Email
    db: Db
    disk: Disk
    data: Path
    folder: Path
    clock: Clock
    limits: JobSettings
    pool: Pool
    post: Callable[[Any], None]
    stirred: Callable[[Email, str], None]
    copying: Pool
    """Where large results are copied; `pool` may be full of runs for a long time."""
    untold: dict[str, None] = field(default_factory=dict)
    """Jobs whose state.yaml does not say yet what their row says."""

    def note(self, kind: str, job: JobRow, **facts: Any) -> None:
        events.note(
            self.db, self.clock.now(), kind, job.id, job=job.name, **{"from": job.submitter, "to": job.owner}, **facts
        )

    def problem(self, kind: str, job: JobRow, text: str, remedy: str) -> None:
        problems.raise_problem(self.db, kind, job.id, text, remedy, self.clock.now())

    def solved(self, kind: str, job: JobRow) -> None:
        problems.clear_problem(self.db, kind, job.id)

    def files_of(self, job: JobRow) -> list[files.FileRow]:
        """The submitted files, as accepted into (or told by) the owner's datasite; permission files do not count."""
        rows = files.below(self.db, job.owner, inbox_folder(job))
        return [row for row in rows if not row.path.is_permission_file]

    def submission(self, job: JobRow) -> Submission:
        """What the author's config.yaml says; nothing when there is none or it is garbage."""
        try:
            content, _ = self.disk.read(job.owner, f"{inbox_folder(job)}/{CONFIG_FILE}", 256 * 1024)
            return parse_submission(content)
        except ItemError:
            return Submission()

    def runs_folder(self, job: JobRow) -> Path:
        return self.folder / job.id

    def result_folder(self, job: JobRow) -> Path | None:
        """Where the run that the job's state tells of left its results; None when there was none (yet, or again)."""
        run = current_run(job)
        return None if run is None else self.runs_folder(job) / run_name(run)

    def save(self, job: JobRow) -> JobRow:
        """Writes the row, and for our own datasite the state.yaml that its submitter sees. Inside or outside a commit.

        The row is the truth and the file tells of it: a file that cannot be written now is written later."""
        jobs.put(self.db, job)
        if job.owner == self.me:
            self.tell(job)
        return job

    def tell(self, job: JobRow) -> None:
        """Makes state.yaml say what the row says, or notes that it does not yet."""
        try:
            self.write_state(job)
        except (ItemError, DiskFull) as error:
            self.untold[job.id] = None
            self.problem(
                "job-not-told", job, f"What became of job {job.name} cannot be written down for {job.submitter}: {error}",
                error.remedy or "syftd tries again by itself.",
            )  # fmt: skip
        else:
            if self.untold.pop(job.id, 0) is None:
                self.solved("job-not-told", job)

    def write_state(self, job: JobRow) -> None:
        """Makes state.yaml say what the row says; writes nothing when it does already."""
        path = f"{review_folder(job)}/{STATE_FILE}"
        content = render_state(_state(job)).encode()
        try:
            known, _ = self.disk.read(self.me, path, 256 * 1024)
        except ContentMissing:
            known = b""
        if known != content:
            self.disk.write_own(self.me, path, content)
            self.stirred(self.me, path)


def inbox_folder(job: JobRow) -> str:
    return f"{INBOX}/{job.submitter}/{job.name}"


def review_folder(job: JobRow) -> str:
    return f"{REVIEW}/{job.submitter}/{job.name}"


def current_run(job: JobRow) -> int | None:
    """The number of the run that the job's state tells of; None from a new approval, or new files, until it starts.

    Runs are numbered for the whole life of a job and no number is used twice, so that what an earlier run left is never
    taken for the results of a later one.
    """
    return int(job.facts["runs"]) if job.facts.get("started_at") and job.facts.get("runs") else None


def run_name(run: int) -> str:
    """The name of a run's folder below the job's own."""
    return f"run-{run}"


def job_of(path: str, kind: str) -> tuple[str, str] | None:
    """(submitter, job name) of a path below the inbox or review folder of a datasite; None for every other path."""
    if not path.startswith(kind + "/"):
        return None
    parts = path[len(kind) + 1 :].split("/")
    if len(parts) < 3 or not parts[1]:
        return None
    return parts[0], parts[1]


def job_digest(contents: Iterable[tuple[str, Digest, bool]], datasets: Iterable[str]) -> Digest:
    """Binds every file (path below the job's folder, content, executable) and the requested data.

    SHA-256 over lines ``path NUL digest NUL x|-`` in path order, an empty line, and the dataset names in order.
    """
    state = hashlib.sha256(b"syftd-job-1\n")
    for path, sha256, executable in sorted(contents):
        state.update(f"{path}\0{sha256}\0{'x' if executable else '-'}\n".encode())
    state.update(b"\n")
    for name in sorted(set(datasets)):
        state.update(f"{name}\n".encode())
    return Digest(state.hexdigest())


def requested(submission: Submission, owner: Email) -> list[str]:
    """Names of the owner's datasets that a job asks for."""
    return sorted({use.name for use in submission.datasets if use.owner in ("", owner)})


def below_folder(folder: str, path: RelPath) -> str:
    return path[len(folder) + 1 :]


def _state(job: JobRow) -> JobState:
    facts = job.facts

    def at(key: str) -> str | None:
        return time_text(facts[key]) if facts.get(key) else None

    return JobState(
        status=job.state,  # type: ignore[arg-type]
        received_at=at("received_at"),
        approved_by=job.owner if facts.get("approved_at") else None,
        approved_at=at("approved_at"),
        approval_method="manual" if facts.get("approved_at") else None,
        rejected_by=job.owner if facts.get("rejected_at") else None,
        rejected_at=at("rejected_at"),
        review_reason=job.reason or None,
        completed_at=at("completed_at"),
        return_code=job.exit_code,
    )
