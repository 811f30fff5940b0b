"""The frozen copy: exactly the approved bytes, outside of every place that a peer can write to."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from syftd.errors import Stale
from syftd.jobs.parts import JobParts, below_folder, inbox_folder, job_digest, requested
from syftd.names import Digest
from syftd.state.files import FileRow
from syftd.state.jobs import JobRow

_PIECE = 1024 * 1024


def freeze(parts: JobParts, job: JobRow, rows: list[FileRow], datasets: list[str], place: Path) -> None:
    """Copies the job into `place` and proves that the copy is what was approved; raises Stale when it is not.

    The digest is taken over the bytes that were written to the copy, so nothing that happens to the original between
    reading and running can matter. Runs on a pool thread.
    """
    if place.exists():
        shutil.rmtree(place)
    place.mkdir(mode=0o700, parents=True)
    folder = inbox_folder(job)
    contents: list[tuple[str, Digest, bool]] = []
    for row in rows:
        relative = below_folder(folder, row.path)
        target = place / relative
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        contents.append((relative, _copy(parts, job, row, target), row.executable))
    if job_digest(contents, datasets) != job.facts.get("approved_digest"):
        raise Stale("the files of the job are not the ones that were approved", "Review the job again.")


def _copy(parts: JobParts, job: JobRow, row: FileRow, target: Path) -> Digest:
    import hashlib

    state = hashlib.sha256()
    source = parts.disk.open_at(job.owner, row.spelling)
    try:
        fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o700 if row.executable else 0o600)
        with os.fdopen(fd, "wb") as copy:
            offset = 0
            while piece := source.pread(offset, _PIECE):
                state.update(piece)
                copy.write(piece)
                offset += len(piece)
    finally:
        source.close()
    return Digest(state.hexdigest())


def digest_now(parts: JobParts, job: JobRow) -> Digest:
    """The digest of the job's files as last accepted."""
    folder = inbox_folder(job)
    contents = [(below_folder(folder, row.path), row.sha256, row.executable) for row in parts.files_of(job)]
    return job_digest(contents, requested(parts.submission(job), job.owner))
