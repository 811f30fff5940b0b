"""The desk: where everything about jobs comes in, from the engine, the pool and the API."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from syftd.config import JobSettings
from syftd.errors import DiskFull, ItemError, UserError
from syftd.jobs import show
from syftd.jobs.outcome import Outcome
from syftd.jobs.parts import INBOX, REVIEW, JobParts, job_of
from syftd.jobs.release import ResultsStaged
from syftd.jobs.review import Review
from syftd.jobs.run import RunEnded, Runner
from syftd.jobs.shelf import Shelf
from syftd.jobs.submit import Submit
from syftd.names import Email, RelPath
from syftd.seams import Clock, Pool
from syftd.state import jobs, problems
from syftd.state.db import Db
from syftd.state.jobs import JobRow
from syftd.tree.contract import Disk


class JobDesk:
    """The jobs of one datasite, both those that arrive and those that were sent."""

    def __init__(
        self, *, me: Email, db: Db, disk: Disk, data: Path, folder: Path, clock: Clock, limits: JobSettings, pool: Pool,
        post: Callable[[Any], None], stirred: Callable[[Email, str], None], send_folder: Callable[[Email, str], bool],
        copying: Pool,
    ) -> None:  # fmt: skip
        self._parts = JobParts(me, db, disk, data, folder, clock, limits, pool, post, stirred, copying)
        self._shelf = Shelf(data)
        self._runner = Runner(self._parts)
        self._outcome = Outcome(self._parts, self._shelf, self._runner.start_next)
        self._review = Review(self._parts, self._runner, self._shelf, self._outcome)
        self._submit = Submit(self._parts, self._shelf, send_folder)
        self._stirred: dict[tuple[Email, Email, str], None] = {}
        """(datasite, submitter, name) of job folders that are different and were not looked at yet."""
        self.submit = self._submit.submit
        self.shown = self._review.shown
        self.approve = self._review.approve
        self.deny = self._review.deny
        self.cancel = self._review.cancel
        self.release = self._review.release
        self.rerun = self._review.rerun

    @property
    def limits(self) -> JobSettings:
        return self._parts.limits

    @limits.setter
    def limits(self, limits: JobSettings) -> None:
        self._parts.limits = limits

    def start(self, *, running: bool) -> None:
        """At start: what a crash interrupted, what the folders hold, and (unless in safe mode) what is approved."""
        self._runner.interrupted()
        self._review.start()
        self._submit.start()
        if running:
            self._outcome.resume()
            self._runner.start_next()

    def changed(self, site: Email, paths: list[RelPath]) -> None:
        """Paths of a datasite are different now."""
        kinds = (INBOX,) if site == self._parts.me else (INBOX, REVIEW)
        for path in paths:
            for kind in kinds:
                found = job_of(path, kind)
                if found is not None and "@" in found[0]:
                    self._stirred[(site, Email(found[0]), found[1])] = None
        self._look()

    def retry(self) -> None:
        """Takes up again what could not be looked at or written down; called now and then."""
        for id in list(self._parts.untold):
            job = jobs.get(self._parts.db, id)
            if job is not None:
                self._parts.tell(job)
        self._outcome.retry()
        self._look()

    def _look(self) -> None:
        """Looks at the job folders that stirred; one that cannot be looked at now waits and stops no other."""
        parts = self._parts
        for key in list(self._stirred):
            site, submitter, name = key
            try:
                if site == parts.me:
                    self._review.look(submitter, name)
                elif submitter == parts.me:
                    self._submit.mirrored(site, name)
            except (ItemError, DiskFull) as error:
                problems.raise_problem(
                    parts.db, "job-not-seen", f"{site}/{submitter}/{name}",
                    f"The job {name} of {submitter} at {site} cannot be looked at: {error}",
                    error.remedy or "syftd tries again by itself.", parts.clock.now(),
                )  # fmt: skip
                continue
            del self._stirred[key]
            problems.clear_problem(parts.db, "job-not-seen", f"{site}/{submitter}/{name}")

    def proposed(self, owner: Email, name: str) -> None:
        """A job folder that was dropped into a mirror has been sent."""
        self._submit.sent(owner, name)

    def handle(self, work: object) -> bool:
        """Takes the end of a run, and staged results; False for other work."""
        match work:
            case RunEnded():
                job = self._runner.ended(work)
                if job is not None:
                    self._outcome.ended(job)
            case ResultsStaged():
                self._outcome.staged(work)
            case _:
                return False
        return True

    def find(self, id: str) -> JobRow:
        """The job of an id or of a prefix that only one job has; UserError names what is near."""
        rows = jobs.all_jobs(self._parts.db)
        found = [job for job in rows if job.id == id] or [job for job in rows if job.id.startswith(id) and len(id) >= 2]
        if len(found) == 1:
            return found[0]
        if found:
            raise UserError(f"“{id}” could be {', '.join(job.id for job in found[:5])}", "Give more of the id.")
        near = (
            ", ".join(f"{job.id} ({job.name})" for job in rows if job.name == id or id in job.name)
            or "see `syftd jobs list`"
        )
        raise UserError(f"there is no job {id}", f"Perhaps: {near}.")

    def row(self, job: JobRow) -> dict[str, Any]:
        """A job as commands show it."""
        return show.row(job)

    def close(self) -> None:
        """The daemon stops: running jobs are ended and shown as interrupted at the next start."""
        self._runner.close()
        self._parts.pool.close()
