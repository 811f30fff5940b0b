"""The views that people touch: ``inbox/<from>/<job>`` for what waits for me, ``outbox/<to>/<job>`` for what I sent."""

from __future__ import annotations

import os
from pathlib import Path

from syftd.jobs.parts import inbox_folder, review_folder
from syftd.state.jobs import JobRow


class Shelf:
    """Links, made and removed as jobs come and go; what they point to is ordinary files of a datasite."""

    def __init__(self, data: Path) -> None:
        self._data = data

    def waiting(self, job: JobRow, wanted: bool) -> None:
        """Shows or hides a job that waits for the owner of this datasite."""
        self._link(
            self._data / "inbox" / job.submitter / job.name, f"../../datasites/{job.owner}/{inbox_folder(job)}", wanted
        )

    def sent(self, job: JobRow, wanted: bool) -> None:
        """Shows or hides a job that we sent: the link leads to what its owner has released of it."""
        self._link(
            self._data / "outbox" / job.owner / job.name, f"../../datasites/{job.owner}/{review_folder(job)}", wanted
        )

    def _link(self, place: Path, target: str, wanted: bool) -> None:
        found = os.readlink(place) if place.is_symlink() else None
        if wanted and found != target:
            place.parent.mkdir(parents=True, exist_ok=True)
            if found is not None:
                place.unlink()
            if not place.exists():
                place.symlink_to(target)
        elif not wanted and found is not None:
            place.unlink()
            if not any(place.parent.iterdir()):
                place.parent.rmdir()
