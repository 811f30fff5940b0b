"""The submitter's side: a folder becomes a job in the owner's inbox, and its fate is read from what the owner tells."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final

from syftd.errors import ItemError, UserError
from syftd.jobs.freeze import digest_now
from syftd.jobs.parts import INBOX, REVIEW, JobParts, inbox_folder, review_folder
from syftd.jobs.shelf import Shelf
from syftd.names import Email, RelPath
from syftd.state import contacts, files, jobs
from syftd.state.jobs import JobRow, job_id
from syftd.tree.ignore import LITTER
from syftd.wire.submission import (
    CONFIG_FILE,
    STATE_FILE,
    DatasetUse,
    Submission,
    parse_state,
    render_submission,
    time_text,
)

_MAX_FILES = 5_000
RUN_FILE: Final = "run.sh"
_INTO_CODE: Final = b"#!/bin/bash\ncd code\nexec bash ./run.sh\n"
MAX_BYTES: Final = 64 * 1024 * 1024
"""Of one job: it is code, and all of it is copied and hashed while the daemon waits."""
_PIECE = 1024 * 1024


class Submit:
    """Sends jobs, and keeps the rows of those that were sent."""

    def __init__(self, parts: JobParts, shelf: Shelf, send_folder: Callable[[Email, str], bool]) -> None:
        self._parts = parts
        self._shelf = shelf
        self._send_folder = send_folder

    def submit(self, owners: list[Email], folder: Path, name: str | None, datasets: list[str]) -> list[JobRow]:
        """Copies a folder into every owner's job inbox and proposes it. Everything is checked before anything is sent."""
        sources = self._sources(folder)
        wanted = self._name(name or folder.resolve().name)
        for dataset in datasets:
            if "/" in dataset or dataset in ("", ".", ".."):
                raise UserError(f"“{dataset}” is not a dataset's name", "Name it as its owner does, without slashes.")
        for owner in owners:
            self._reachable(owner)
        return [self._submit(owner, sources, self._free(owner, wanted, name), datasets) for owner in owners]

    def _reachable(self, owner: Email) -> None:
        peer = contacts.get(self._parts.db, owner)
        if owner == self._parts.me:
            raise UserError("a job is sent to somebody else", "To try it here: `syftd sandbox-run DIR`.")
        if peer is None or peer.state == "removed":
            raise UserError(f"{owner} is not a peer of yours", f"Ask them first: `syftd peers add {owner}`.")
        if peer.state != "accepted":
            raise UserError(
                f"{owner} has not accepted you as a peer yet" if peer.state == "requested_by_me" else f"{owner} is {peer.state}",
                "See `syftd peers list`.",
            )  # fmt: skip

    def _sources(self, folder: Path) -> dict[str, Path]:
        if not folder.is_dir():
            raise UserError(f"{folder} is not a folder", "Give the folder that holds run.sh.")
        if not (folder / "run.sh").is_file():
            raise UserError(
                f"{folder} has no run.sh", "Put a shell script named run.sh at its top; it is what the owner runs."
            )
        found: dict[str, Path] = {}
        size = 0
        for above, directories, names in os.walk(folder):
            directories[:] = sorted(entry for entry in directories if entry not in LITTER)
            for name in sorted(names):
                place = Path(above) / name
                kind = place.lstat()
                relative = str(place.relative_to(folder))
                if stat.S_ISLNK(kind.st_mode) or not stat.S_ISREG(kind.st_mode):
                    raise UserError(
                        f"{relative} is not an ordinary file", "Replace links by the files that they point to."
                    )
                if name in LITTER:
                    continue
                try:
                    found[RelPath.from_disk(relative)] = place
                except ItemError as error:
                    raise UserError(f"{relative!r} cannot be sent: {error}", "Rename it.") from None
                size += kind.st_size
                if len(found) > _MAX_FILES or size > MAX_BYTES:
                    raise UserError(
                        f"{folder} is too much for a job: it may have {_MAX_FILES:,} files and {MAX_BYTES >> 20} MiB",
                        "Send the code, not the data.",
                    )
        hidden = [path for path in found if any(part.startswith(".") for part in path.split("/"))]
        if hidden:
            raise UserError(
                f"{hidden[0]} begins with a dot, which the rules of a job folder never match",
                "Rename it, or leave it out.",
            )
        return found

    def _name(self, text: str) -> str:
        try:
            name = RelPath.from_disk(text)
        except ItemError as error:
            raise UserError(f"“{text}” cannot be a job's name: {error}", "Choose another with --name.") from None
        if "/" in name or name.startswith(".") or len(name) > 100:
            raise UserError(
                f"“{text}” cannot be a job's name", "Use a short name without slashes that does not begin with a dot."
            )
        return name

    def _free(self, owner: Email, wanted: str, given: str | None) -> str:
        """A name that is not taken at this owner; one that a person gave is never changed."""
        name, number = wanted, 2
        while self._taken(owner, name):
            if given:
                raise UserError(f"you have sent {owner} a job named “{name}” already", "Choose another with --name.")
            name, number = f"{wanted}-{number}", number + 1
        return name

    def _taken(self, owner: Email, name: str) -> bool:
        parts = self._parts
        folder = f"{INBOX}/{parts.me}/{name}"
        return (
            jobs.get(parts.db, job_id(owner, parts.me, name)) is not None or parts.disk.kind(owner, folder) is not None
        )

    def _submit(self, owner: Email, sources: dict[str, Path], name: str, datasets: list[str]) -> JobRow:
        parts = self._parts
        folder = f"{INBOX}/{parts.me}/{name}"
        inside = self._arranged(owner, sources)
        for path, source in sources.items():
            if path != CONFIG_FILE:
                self._copy(owner, source, f"{folder}/{inside}{path}")
            elif not datasets and not inside:
                self._copy(owner, source, f"{folder}/{path}")
        if inside:
            parts.disk.write_own(owner, f"{folder}/{RUN_FILE}", _INTO_CODE)
        if datasets or inside or CONFIG_FILE not in sources:
            listed = tuple(path for path in sources if path != CONFIG_FILE and (inside or path != RUN_FILE))
            told = Submission(
                name=name, type="bash", submitted_at=time_text(parts.clock.now()), files=listed, is_folder_submission=True,
                datasets=tuple(DatasetUse("", dataset) for dataset in datasets),
            )  # fmt: skip
            parts.disk.write_own(owner, f"{folder}/{CONFIG_FILE}", render_submission(told).encode())
        row = self.sent(owner, name)
        self._send_folder(owner, folder)
        return row

    def _arranged(self, owner: Email, sources: dict[str, Path]) -> str:
        """Below which folder of the job its files belong, '' for its top. Programs of the plain network refuse a job that
        holds anything but ``run.sh``, ``config.yaml`` and ``code/``, and collect outputs from ``code/outputs/``: for them
        the whole folder becomes ``code/``, and what is run goes there first."""
        peer = contacts.get(self._parts.db, owner)
        if peer is not None and "stream" in peer.extensions:
            return ""
        return "" if {path.partition("/")[0] for path in sources} - {CONFIG_FILE} == {"code", RUN_FILE} else "code/"

    def _copy(self, owner: Email, source: Path, path: str) -> None:
        size = source.stat().st_size
        if size <= _PIECE:
            self._parts.disk.write_own(owner, path, source.read_bytes())
            return
        filling = self._parts.disk.stage_file(f"submit {owner} {path}", size)
        with source.open("rb") as file:
            offset = 0
            while piece := file.read(_PIECE):
                filling.pwrite(offset, piece)
                offset += len(piece)
        self._parts.disk.replace(owner, path, filling.finish(), executable=False, expected=None, known=None)

    # -- rows of what was sent -------------------------------------------------------------------------------------

    def sent(self, owner: Email, name: str) -> JobRow:
        """The row of a job of ours, made when it is first seen, whether it was submitted or dropped as a folder."""
        parts = self._parts
        id = job_id(owner, parts.me, name)
        known = jobs.get(parts.db, id)
        if known is not None:
            return known
        job = JobRow(id, owner, parts.me, name, "pending", "", parts.clock.now(), None, "on its way to its owner", {})
        job = job._replace(digest=self._digest(job))
        with parts.db.commit():
            jobs.put(parts.db, job)
            parts.note("submitted", job, digest=job.digest)
        parts.disk.make_private_dir(owner, review_folder(job))
        self._shelf.sent(job, True)
        return job

    def _digest(self, job: JobRow) -> str:
        """Over the files on disk, since a new job is not in any table yet. '' for one that was dropped as a folder and is
        larger than may be hashed here; it has its digest when its owner tells of it."""
        from syftd.jobs.parts import job_digest, requested

        parts = self._parts
        contents = []
        left = MAX_BYTES
        waiting = [inbox_folder(job)]
        while waiting:
            directory = waiting.pop()
            listing = parts.disk.entries(job.owner, directory)
            if listing is None:
                continue
            waiting += [f"{directory}/{name}" for name in listing.directories]
            for name, seen in listing.files:
                left -= seen.size
                if left < 0:
                    return ""
                path = f"{directory}/{name}"
                contents.append((path[len(inbox_folder(job)) + 1 :], parts.disk.digest(job.owner, path)[0], False))
        return job_digest(contents, requested(parts.submission(job), job.owner))

    def mirrored(self, owner: Email, name: str) -> None:
        """The owner told something about a job of ours: take over what its state.yaml says."""
        parts = self._parts
        job = self.sent(owner, name)
        self._shelf.sent(job, True)
        try:
            content, _ = parts.disk.read(owner, f"{review_folder(job)}/{STATE_FILE}", 256 * 1024)
            state = parse_state(content)
        except ItemError:
            return
        released = sorted(
            row.path[len(review_folder(job)) + 1 :]
            for row in files.below(parts.db, owner, review_folder(job))
            if not row.path.endswith("/" + STATE_FILE)
        )
        fresh = job._replace(
            state=state.status,
            exit_code=state.return_code,
            reason=state.review_reason or "",
            digest=job.digest or digest_now(parts, job),
        ).with_facts(released=released)
        if fresh != job:
            with parts.db.commit():
                jobs.put(parts.db, fresh)
                if fresh.state != job.state:
                    parts.note("job", fresh, state=fresh.state, reason=fresh.reason)

    def start(self) -> None:
        """At start: every job of ours that the mirrors hold."""
        parts = self._parts
        for owner in contacts.in_state(parts.db, "accepted"):
            names = set()
            for kind in (INBOX, REVIEW):
                for row in files.below(parts.db, owner, f"{kind}/{parts.me}"):
                    rest = row.path[len(kind) + len(parts.me) + 2 :]
                    if "/" in rest:
                        names.add(rest.partition("/")[0])
            for name in names:
                self.mirrored(owner, name)
