"""What comes after a run: its results leave if the owner said so, its end is told, and the next job starts."""

from __future__ import annotations

from collections.abc import Callable

from syftd.errors import SyftdError, UserError
from syftd.jobs.parts import JobParts, current_run
from syftd.jobs.release import Release, ResultsStaged
from syftd.jobs.shelf import Shelf
from syftd.state import jobs
from syftd.state.jobs import JobRow


class Outcome:
    """Releases results, at once or when they have been copied, and tells how runs ended."""

    def __init__(self, parts: JobParts, shelf: Shelf, start_next: Callable[[], None]) -> None:
        self._parts = parts
        self._shelf = shelf
        self._start_next = start_next
        self._release = Release(parts)
        self._again: set[str] = set()
        """Jobs whose promised results could not leave because of the disk."""

    def release(self, job: JobRow, only: str | None) -> JobRow:
        """Lets results of the latest run out, whole or by name. Raises SyftdError as `Release.begin` does, and UserError
        while an earlier release goes on."""
        self.not_releasing(job)
        job = self._release.begin(job, only)
        self._parts.solved("not-released", job)
        return job

    def ended(self, job: JobRow) -> None:
        """A run is over: release at once if the approval said so, and only then tell the new state, so that a
        submitter who sees “done” finds the results in place. Whatever fails, the next job starts."""
        try:
            if self._promised(job):
                job = self._release_now(job)
            self._tell(job)
        finally:
            self._start_next()

    def _promised(self, job: JobRow) -> bool:
        """Whether the owner said that the results of this run leave without another word, and there are some."""
        ended = job.state in ("done", "failed") and not job.facts.get("interrupted")
        place = self._parts.result_folder(job)
        return bool(job.facts.get("release")) and ended and place is not None and (place / "result.json").is_file()

    def _release_now(self, job: JobRow) -> JobRow:
        try:
            return self.release(job, None)
        except (SyftdError, OSError) as error:
            return self._not_released(job, error)

    def _not_released(self, job: JobRow, error: Exception) -> JobRow:
        """Tells the owner; the row keeps what did get out."""
        parts = self._parts
        remedy = error.remedy if isinstance(error, SyftdError) else ""
        if not isinstance(error, UserError) and self._promised(job):
            self._again.add(job.id)
        parts.problem(
            "not-released", job, f"Not all results of job {job.name} were released: {error}",
            remedy or f"Try again: `syftd jobs release {job.id}`.",
        )  # fmt: skip
        return (jobs.get(parts.db, job.id) or job).with_facts(releasing=[])

    def not_releasing(self, job: JobRow) -> None:
        """Raises UserError while results of a job are on their way out."""
        if job.facts.get("releasing"):
            raise UserError(
                f"results of job {job.id} are on their way out still", f"See `syftd jobs show {job.id}`, and try again."
            )

    def _tell(self, job: JobRow) -> None:
        """Writes down how a run ended, for its author too, once nothing is on its way out any more; changed files bring
        the job back to review."""
        parts = self._parts
        if job.facts.get("releasing"):
            return
        if job.state in ("done", "failed") and job.facts.get("approved_digest") != job.digest:
            # Results of other files than those that wait are not shown as theirs.
            job = job._replace(state="pending", exit_code=None, reason="its files changed while it ran")
            job = job.with_facts(started_at=None)
        with parts.db.commit():
            parts.save(job)
        self._shelf.waiting(job, job.state == "pending")

    def staged(self, work: ResultsStaged) -> None:
        """Results that take long to copy lie on the stage: the next of them go into place."""
        parts = self._parts
        job = jobs.get(parts.db, work.job)
        if job is None or not job.facts.get("releasing") or current_run(job) != work.run:
            self._release.discard(work)
            return
        try:
            if work.error is not None:
                raise work.error
            job = self._release.place(job, work)
        except Exception as error:  # noqa: BLE001 - whatever it is becomes a problem, and the end of the run is told.
            job = self._not_released(job, error)
        self._tell(job)

    def retry(self) -> None:
        """Takes up again the promised releases that the disk did not let happen."""
        again, self._again = self._again, set()
        for id in sorted(again):
            job = jobs.get(self._parts.db, id)
            if job is not None and self._promised(job) and not job.facts.get("releasing"):
                self._tell(self._release_now(job))

    def resume(self) -> None:
        """At start: goes on with releases that the last process did not end, or could not begin."""
        for job in jobs.in_state(self._parts.db, self._parts.me, "done", "failed"):
            if job.facts.get("releasing"):
                self._release.resume(job)
            elif self._promised(job) and not job.facts.get("released"):
                self._tell(self._release_now(job))
