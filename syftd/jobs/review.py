"""The owner's decisions about jobs. Every decision is about a digest; changed files bring a job back to review."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Final

from syftd.errors import ItemError, UserError
from syftd.jobs.freeze import digest_now
from syftd.jobs.outcome import Outcome
from syftd.jobs.parts import INBOX, JobParts, inbox_folder
from syftd.jobs.release import take_back
from syftd.jobs.run import Runner
from syftd.jobs.shelf import Shelf
from syftd.names import Email
from syftd.state import contacts, files, jobs
from syftd.state.jobs import JobRow, job_id
from syftd.wire.submission import time_seconds

_FOR_LIFE: Final = ("runs", "released", "shown_digest")
"""Facts that a job keeps when its files change, and when they go and come again."""


class Review:
    """Jobs that others sent to this datasite: received and decided."""

    def __init__(self, parts: JobParts, runner: Runner, shelf: Shelf, outcome: Outcome) -> None:
        self._parts = parts
        self._runner = runner
        self._shelf = shelf
        self._outcome = outcome

    # -- what arrives ----------------------------------------------------------------------------------------------

    def look(self, submitter: Email, name: str) -> None:
        """Something changed in a job folder of this datasite: a new job, other files, or none any more."""
        parts = self._parts
        id = job_id(parts.me, submitter, name)
        known = jobs.get(parts.db, id)
        job = known or JobRow(id, parts.me, submitter, name, "pending", "", parts.clock.now(), None, "", {})
        if not parts.files_of(job):
            self._withdrawn(known)
            return
        digest = digest_now(parts, job)
        if known is not None and known.digest == digest:
            return
        if known is not None and (known.state == "running" or known.facts.get("releasing")):
            # The run goes on with its frozen copy, and its results on their way; `Outcome` brings the job back to review.
            with parts.db.commit():
                jobs.put(parts.db, known._replace(digest=digest))
            return
        self._received(job._replace(digest=digest), known)

    def _received(self, job: JobRow, known: JobRow | None) -> None:
        parts = self._parts
        now = parts.clock.now()
        job = job._replace(state="pending", exit_code=None, reason="", submitted_at=self._submitted_at(job))
        job = job._replace(
            facts={"received_at": now} | {key: job.facts[key] for key in _FOR_LIFE if key in job.facts}
        )
        if known is not None and known.state == "approved":
            job = job._replace(reason="its files changed after it was approved")
        if files.get(parts.db, parts.me, f"{inbox_folder(job)}/run.sh") is None:
            job = job._replace(
                state="rejected", reason="expected run.sh at the top of the job's folder; found " + self._found(job)
            ).with_facts(rejected_at=now)
        elif known is None and contacts.get(parts.db, job.submitter) is None:
            return  # A folder that no peer can have made; it is the owner's own business.
        with parts.db.commit():
            parts.save(job)
            parts.note("received", job, digest=job.digest, state=job.state, files=len(parts.files_of(job)))
        self._shelf.waiting(job, job.state == "pending")

    def _submitted_at(self, job: JobRow) -> float:
        """When its author says; for people only, and never in the future."""
        now = self._parts.clock.now()
        text = self._parts.submission(job).submitted_at
        try:
            return min(now, time_seconds(text)) if text else now
        except ItemError:
            return now

    def _found(self, job: JobRow) -> str:
        folder = inbox_folder(job)
        names = sorted({row.path[len(folder) + 1 :].partition("/")[0] for row in self._parts.files_of(job)})
        return ", ".join(names[:8]) + (" …" if len(names) > 8 else "")

    def _withdrawn(self, known: JobRow | None) -> None:
        if known is None:
            return
        parts = self._parts
        self._shelf.waiting(known, False)
        if known.state in ("pending", "approved"):
            # The row stays: a job of the same name that comes later goes on from its runs and what was released of them.
            job = known._replace(state="rejected", digest="", reason="its files were taken out of the inbox")
            with parts.db.commit():
                parts.save(job.with_facts(approved_at=None, approved_digest=None))
                parts.note("withdrawn", known)

    def start(self) -> None:
        """At start: every job folder, against what is remembered; and every state.yaml, against its row."""
        parts = self._parts
        prefix = f"{INBOX}/"
        seen: set[tuple[str, str]] = set()
        for row in files.below(parts.db, parts.me, INBOX):
            pieces = row.path[len(prefix) :].split("/")
            if len(pieces) >= 3 and "@" in pieces[0]:
                seen.add((pieces[0], pieces[1]))
        for submitter, name in seen:
            self.look(Email(submitter), name)
        for job in jobs.all_jobs(parts.db):
            if job.owner == parts.me:
                self._shelf.waiting(job, job.state == "pending")
                if (str(job.submitter), job.name) in seen:
                    parts.tell(job)

    def shown(self, id: str, digest: str) -> None:
        """The owner was shown a waiting job in detail, with this digest: an approval is about that, until the next look."""
        parts = self._parts
        job = jobs.get(parts.db, id)
        if job is None or job.owner != parts.me or job.state != "pending" or job.facts.get("shown_digest") == digest:
            return
        with parts.db.commit():
            jobs.put(parts.db, job.with_facts(shown_digest=digest))

    # -- what the owner says ---------------------------------------------------------------------------------------

    def approve(self, job: JobRow, *, release: bool, digest: str | None, unsafe: bool) -> JobRow:
        """Binds the approval to the files as they are now, under the limits as they are now, and queues the run.

        `digest` (or its beginning) is what the owner looked at; without it, what was last shown to them, if anything
        was. Raises UserError when the files are others by now.
        """
        parts = self._parts
        self._mine(job)
        if job.state != "pending":
            raise UserError(f"job {job.id} is {job.state}; only a pending job can be approved", _next_step(job))
        seen = digest or job.facts.get("shown_digest")
        if seen is not None and not job.digest.startswith(seen):
            raise UserError(
                f"job {job.id} is now {job.digest[:12]}…, not {seen[:12]}…: its files changed since you looked",
                f"Look again: `syftd jobs show {job.id}`.",
            )
        self._runner.datasets(job)
        take_back(parts, job)
        job = job._replace(state="approved", reason="").with_facts(
            approved_at=parts.clock.now(), approved_digest=job.digest, approved_limits=_limits(parts), release=release,
            unsafe=unsafe, rejected_at=None, started_at=None, completed_at=None, released=[],
        )  # fmt: skip
        with parts.db.commit():
            parts.save(job)
            parts.note("approved", job, digest=job.digest, release=release, unsafe=unsafe, limits=_limits(parts))
        self._shelf.waiting(job, False)
        self._runner.start_next()
        return jobs.get(parts.db, job.id) or job

    def deny(self, job: JobRow, reason: str) -> JobRow:
        """Says no, with a reason that the submitter reads."""
        parts = self._parts
        self._mine(job)
        if job.state not in ("pending", "approved"):
            raise UserError(f"job {job.id} is {job.state}; it can no longer be denied", _next_step(job))
        job = job._replace(state="rejected", reason=reason).with_facts(rejected_at=parts.clock.now(), approved_at=None)
        with parts.db.commit():
            parts.save(job)
            parts.note("denied", job, reason=reason)
        self._shelf.waiting(job, False)
        return job

    def cancel(self, job: JobRow) -> JobRow:
        """Ends a run, or takes an approval back."""
        parts = self._parts
        if job.owner != parts.me and job.state in ("pending", "approved"):
            raise UserError(
                f"job {job.id} is with {job.owner} already",
                f"To take it back, delete its folder: datasites/{job.owner}/{inbox_folder(job)}.",
            )
        self._mine(job)
        if job.state == "running":
            self._runner.cancel(job)
            parts.note("cancelled", job)
            return job
        if job.state != "approved":
            raise UserError(f"job {job.id} is {job.state}; there is nothing to cancel", _next_step(job))
        return self._save(
            job._replace(state="failed", reason="cancelled by its owner").with_facts(completed_at=parts.clock.now()),
            "cancelled",
        )

    def release(self, job: JobRow, only: str | None) -> JobRow:
        """Lets results of the latest run out, whole or by name. Many or large ones are in place a little later: as long
        as the fact `releasing` names some."""
        self._mine(job)
        if job.state not in ("done", "failed"):
            raise UserError(f"job {job.id} is {job.state}; there are no results to release yet", _next_step(job))
        return self._outcome.release(job, only)

    def rerun(self, job: JobRow, *, release: bool, unsafe: bool) -> JobRow:
        """Runs the same approved files again, under the limits of today. To release at once and to do without the
        sandbox are said for one run, so neither is taken over from the approval."""
        parts = self._parts
        self._mine(job)
        if job.state not in ("done", "failed"):
            raise UserError(f"job {job.id} is {job.state}; only a finished job can be run again", _next_step(job))
        if job.facts.get("approved_digest") != job.digest:
            raise UserError(
                f"the files of job {job.id} are not the ones that were approved", "It must be reviewed again."
            )
        self._outcome.not_releasing(job)
        take_back(parts, job)
        job = job._replace(state="approved", exit_code=None, reason="").with_facts(
            released=[], approved_limits=_limits(parts), started_at=None, completed_at=None, release=release,
            unsafe=unsafe,
        )  # fmt: skip
        job = self._save(job, "rerun", release=release, unsafe=unsafe, limits=_limits(parts))
        self._runner.start_next()
        return jobs.get(parts.db, job.id) or job

    def _save(self, job: JobRow, kind: str, **facts: Any) -> JobRow:
        with self._parts.db.commit():
            self._parts.save(job)
            self._parts.note(kind, job, **facts)
        return job

    def _mine(self, job: JobRow) -> None:
        if job.owner != self._parts.me:
            raise UserError(
                f"job {job.id} is decided by {job.owner}, not by you", "You can only wait for it: `syftd jobs wait`."
            )


def _limits(parts: JobParts) -> dict[str, int]:
    limits = asdict(parts.limits)
    limits.pop("concurrency")
    return limits


def _next_step(job: JobRow) -> str:
    return {
        "pending": f"`syftd jobs approve {job.id}` or `syftd jobs deny {job.id} --reason …`.",
        "approved": "It starts as soon as a place is free; see `syftd jobs list`.",
        "running": f"`syftd jobs logs {job.id} -f` follows it, `syftd jobs cancel {job.id}` ends it.",
        "done": f"`syftd jobs release {job.id}` lets the results out, `syftd jobs rerun {job.id}` runs it again.",
        "failed": f"`syftd jobs logs {job.id}` shows why, `syftd jobs rerun {job.id}` runs it again.",
        "rejected": "Its author may send it again.",
    }.get(job.state, "See `syftd jobs list`.")
