"""The job table: both the jobs that others sent to us and those that we sent."""

from __future__ import annotations

import hashlib
import json
from typing import Any, NamedTuple

from syftd.names import Email
from syftd.state.db import Db


class JobRow(NamedTuple):
    """One job. `digest` is over its files as they are now. `facts` (what a person or a run added): received_at,
    shown_digest, approved_at, approved_digest, approved_limits, release, unsafe, rejected_at, runs, started_at (of the
    run that the state tells of), completed_at, interrupted, released and releasing (paths)."""

    id: str
    owner: Email
    submitter: Email
    name: str
    state: str
    digest: str
    submitted_at: float
    exit_code: int | None
    reason: str
    facts: dict[str, Any]

    def with_facts(self, **facts: Any) -> JobRow:
        return self._replace(facts={**self.facts, **facts})


def job_id(owner: str, submitter: str, name: str) -> str:
    """The same on both sides, since the place of a job is its identity."""
    return "j" + hashlib.sha256(f"{owner}\0{submitter}\0{name}".encode()).hexdigest()[:9]


def get(db: Db, id: str) -> JobRow | None:
    row = db.one("SELECT * FROM job WHERE id = ?", id)
    return _job(row) if row else None


def all_jobs(db: Db) -> list[JobRow]:
    """Every job, newest first."""
    return [_job(row) for row in db.all("SELECT * FROM job ORDER BY submitted_at DESC, id")]


def in_state(db: Db, owner: Email, *states: str) -> list[JobRow]:
    """An owner's jobs in any of the states, oldest first."""
    marks = ", ".join("?" * len(states))
    rows = db.all(f"SELECT * FROM job WHERE owner = ? AND state IN ({marks}) ORDER BY submitted_at, id", owner, *states)
    return [_job(row) for row in rows]


def put(db: Db, job: JobRow) -> None:
    db.run(
        "INSERT OR REPLACE INTO job VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        *job[:9], json.dumps(job.facts),
    )  # fmt: skip


def _job(row: tuple[Any, ...]) -> JobRow:
    return JobRow(
        row[0], Email(row[1]), Email(row[2]), row[3], row[4], row[5], row[6], row[7], row[8], json.loads(row[9])
    )
