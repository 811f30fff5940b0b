"""A job as its reviewer, or its author, should see it: every file, the script, what it asks for, what came of it.

Everything shown was written by somebody else, so nothing here is trusted and all work is bounded.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol

from syftd.errors import ItemError
from syftd.jobs import legible
from syftd.jobs.dataset import place_of
from syftd.jobs.parts import current_run, inbox_folder, requested, review_folder, run_name
from syftd.names import PERMISSION_FILE, Email
from syftd.state import files
from syftd.state.db import Db
from syftd.state.jobs import JobRow
from syftd.tree.contract import Kind
from syftd.tree.stat import Stat
from syftd.wire.submission import CONFIG_FILE, MAX_FILE_BYTES, STATE_FILE, Submission, parse_submission, time_text

ENDED: Final = frozenset({"done", "failed", "rejected", "cancelled"})
LARGE_BYTES: Final = 1024 * 1024
"""Of a larger file only so much is looked at."""
SCRIPT_BYTES: Final = 256 * 1024
LOG_BYTES: Final = 256 * 1024
"""The most of each log in one answer."""

MOST_FILES: Final = 10_000
READ_BYTES: Final = 32 * 1024 * 1024
"""The most that is read to describe one job; files beyond it are listed and flagged `not-examined`."""


class Entry(NamedTuple):
    """Something below a folder that is no directory; `stat` None unless it is an ordinary file."""

    path: str
    stat: Stat | None
    kind: Kind


class Files(Protocol):
    """A folder to look into: nothing is followed, nothing is changed. Absent things are None or empty."""

    def kind(self, path: str) -> Kind | None: ...

    def read(self, path: str, limit: int) -> bytes | None: ...

    def piece(self, path: str, offset: int, length: int) -> bytes | None: ...

    def names(self, path: str) -> list[str]: ...

    def below(self, path: str) -> Iterable[Entry]: ...


@dataclass(frozen=True)
class Sources:
    """What a job is looked at with. `sites` is the folder of all datasites, `kept` that of frozen copies and runs."""

    db: Db
    me: Email
    sites: Files
    kept: Files
    limits: Mapping[str, Any]
    """The limits that a job would have if it were approved now."""


def row(job: JobRow) -> dict[str, Any]:
    """A job in one line: the promised keys of `jobs list`. `shown_digest`: what its owner was last shown in detail."""
    return {
        "id": job.id, "state": job.state, "from": job.submitter, "to": job.owner, "name": job.name,
        "digest": job.digest, "submitted_at": time_text(job.submitted_at), "exit_code": job.exit_code,
        "reason": job.reason, "released": bool(job.facts.get("released")),
        "shown_digest": job.facts.get("shown_digest"),
    }  # fmt: skip


def describe(sources: Sources, job: JobRow) -> dict[str, Any]:
    """Everything about a job.

    `row` and: files [{path, size, sha256, text, flags}], size, script (run.sh, safe to show), requested (names for
    people), datasets [{name, exists}] (None where only the owner can tell), limits, results, released (paths), outputs
    (those of the results), mine (whether the decision is mine).
    """
    listed = _files(sources, job)
    submission, notes = _submission(sources, job)
    mine = job.owner == sources.me
    datasets = [
        {"name": name, "exists": _dataset_exists(sources, job.owner, name) if mine else None}
        for name in requested(submission, job.owner)
    ]
    results = _results(sources, job) if mine else _results_told(sources, job)
    return {
        **row(job),
        "mine": mine,
        "files": listed,
        "size": sum(file["size"] for file in listed),
        "script": _script(sources, job),
        "requested": [_asked(use) for use in datasets],
        "datasets": datasets,
        "limits": dict(job.facts.get("approved_limits") or sources.limits) if mine else {},
        "results": results,
        "outputs": results.get("outputs", []),
        "released": list(job.facts.get("released") or []),
        "releasing": list(job.facts.get("releasing") or []),
        "notes": notes,
        "approved_digest": job.facts.get("approved_digest") or None,
        "unsafe": bool(job.facts.get("unsafe")),
        "runs": int(job.facts.get("runs") or 0),
    }


# -- the job's own files -----------------------------------------------------------------------------------------------


def _files(sources: Sources, job: JobRow) -> list[dict[str, Any]]:
    folder = f"{job.owner}/{inbox_folder(job)}"
    accepted = {item.spelling: item for item in files.below(sources.db, job.owner, inbox_folder(job))}
    mine = job.owner == sources.me
    budget = READ_BYTES
    listed: list[dict[str, Any]] = []
    for entry in sources.sites.below(folder):
        if entry.path.rpartition("/")[2] == PERMISSION_FILE:
            continue
        if len(listed) >= MOST_FILES:
            break
        known = accepted.pop(f"{inbox_folder(job)}/{entry.path}", None)
        if entry.stat is None:
            listed.append(_file(entry.path, 0, "", [entry.kind, "not-part-of-the-job"]))
            continue
        wanted = min(entry.stat.size, LARGE_BYTES)
        content = sources.sites.piece(f"{folder}/{entry.path}", 0, wanted) if wanted <= budget else None
        budget -= len(content or b"")
        digest = known.sha256 if known is not None and entry.stat == _stat(known) else ""
        if not digest and content is not None and len(content) == entry.stat.size:
            digest = hashlib.sha256(content).hexdigest()
        flags = _flags(entry, content)
        if mine and (known is None or digest != known.sha256):
            # The digest that is approved is over what was accepted; this is something else for the moment.
            flags.append("not-accepted-yet")
        listed.append(_file(entry.path, entry.stat.size, digest, flags))
    for path, gone in accepted.items():
        if not gone.path.is_permission_file and len(listed) < MOST_FILES:
            listed.append(_file(path[len(inbox_folder(job)) + 1 :], gone.size, gone.sha256, ["missing"]))
    return listed


def _stat(known: files.FileRow) -> Stat:
    return Stat(known.size, known.mtime_ns, known.ctime_ns, known.inode, known.executable)


def _flags(entry: Entry, content: bytes | None) -> list[str]:
    assert entry.stat is not None
    flags = ["not-examined"] if content is None else legible.warnings(content, whole=len(content) == entry.stat.size)
    if legible.hides(entry.path) and "hidden-unicode" not in flags:
        flags.append("hidden-unicode")
    if entry.stat.executable:
        flags.append("executable")
    if entry.stat.size > LARGE_BYTES:
        flags.append("large")
    return flags


def _file(path: str, size: int, digest: str, flags: list[str]) -> dict[str, Any]:
    text = not {"binary", "symlink", "special"} & set(flags)
    return {"path": path, "size": size, "sha256": digest, "text": text, "flags": flags}


def _script(sources: Sources, job: JobRow) -> str | None:
    content = sources.sites.piece(f"{job.owner}/{inbox_folder(job)}/run.sh", 0, SCRIPT_BYTES + 1)
    if content is None:
        return None
    shown = legible.safe(legible.decoded(content[:SCRIPT_BYTES]))
    if len(content) > SCRIPT_BYTES:
        shown += f"\n… (run.sh is longer than the {SCRIPT_BYTES:,} bytes shown here)\n"
    return shown


def _submission(sources: Sources, job: JobRow) -> tuple[Submission, list[str]]:
    path = f"{job.owner}/{inbox_folder(job)}/{CONFIG_FILE}"
    try:
        content = sources.sites.read(path, MAX_FILE_BYTES)
        return (Submission() if content is None else parse_submission(content)), []
    except ItemError as error:
        return Submission(), [f"{CONFIG_FILE} is not used: {error}"]


def _dataset_exists(sources: Sources, owner: Email, name: str) -> bool:
    sites = sources.sites
    return place_of(name, lambda path: sites.kind(f"{owner}/{path}"), lambda path: sites.names(f"{owner}/{path}")) is not None


def _asked(use: Mapping[str, Any]) -> str:
    return f"{use['name']} (there is none of that name)" if use["exists"] is False else str(use["name"])


# -- what came of it ---------------------------------------------------------------------------------------------------


def _run_folder(job: JobRow) -> str | None:
    """The folder in `kept` of the run that would be released, which is the only one that may be shown."""
    run = current_run(job)
    return None if run is None else f"{job.id}/{run_name(run)}"


def _results(sources: Sources, job: JobRow) -> dict[str, Any]:
    """What the owner's latest run came to; empty while there is none or it goes on."""
    folder = _run_folder(job)
    content = sources.kept.read(f"{folder}/result.json", 16 * 1024 * 1024) if folder else None
    if content is None:
        return {}
    try:
        told = json.loads(content)
        outputs = [dict(zip(("path", "size", "sha256"), item, strict=True)) for item in told.get("outputs", [])]
        refused = [dict(zip(("name", "reason"), item, strict=True)) for item in told.get("refused", [])]
    except (ValueError, TypeError, AttributeError) as error:
        return {"outputs": [], "refused": [], "reason": f"the result of the run cannot be read: {error}"}
    return {**told, "outputs": outputs, "refused": refused}


def _results_told(sources: Sources, job: JobRow) -> dict[str, Any]:
    """What the owner has released to us, as it lies in the mirror."""
    folder = review_folder(job)
    outputs = [
        {"path": entry.path[len("outputs/") :], "size": entry.stat.size, "sha256": known.sha256 if known else ""}
        for entry in sources.sites.below(f"{job.owner}/{folder}")
        if entry.stat is not None and entry.path.startswith("outputs/")
        for known in (files.get(sources.db, job.owner, f"{folder}/{entry.path}"),)
        if not entry.path.endswith((PERMISSION_FILE, STATE_FILE))
    ]
    if not outputs and job.exit_code is None:
        return {}
    return {"outputs": outputs, "refused": [], "reason": job.reason, "exit_code": job.exit_code}


def logs(sources: Sources, job: JobRow, stdout: int, stderr: int) -> dict[str, Any]:
    """What a job printed, from these offsets (bytes) on: {stdout, stderr, next: {stdout, stderr}, finished, released}.

    For the owner from the latest run, also while it goes on; for the author from what was released.
    """
    ended = job.state in ENDED
    if job.owner == sources.me:
        source, folder = sources.kept, _run_folder(job)
        released = "stdout.txt" in (job.facts.get("released") or [])
    else:
        source, folder = sources.sites, f"{job.owner}/{review_folder(job)}"
        released = sources.sites.kind(f"{folder}/stdout.txt") == "file"
    told: dict[str, str] = {}
    further: dict[str, int] = {}
    for name, offset in (("stdout", stdout), ("stderr", stderr)):
        path = f"{folder}/{name}.txt"
        content, offset = _log(source, path, offset) if folder else (b"", offset)
        if not ended or len(content) == LOG_BYTES:
            content = content[: _whole_characters(content)]
        told[name] = content.decode("utf-8", "replace")
        further[name] = offset + len(content)
    return {**told, "next": further, "finished": ended, "released": released, "id": job.id, "state": job.state}


def _log(source: Files, path: str, offset: int) -> tuple[bytes, int]:
    content = source.piece(path, offset, LOG_BYTES) or b""
    if not content and offset and source.piece(path, offset - 1, 1) == b"":
        # Shorter than where we were: it is the log of another run, to be read from its start.
        return source.piece(path, 0, LOG_BYTES) or b"", 0
    return content, offset


def _whole_characters(content: bytes) -> int:
    """How many bytes hold whole UTF-8 characters; the rest of the last one may still be written."""
    for back in range(1, min(4, len(content)) + 1):
        byte = content[-back]
        if byte >= 0xC0:
            needed = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return len(content) - back if back < needed else len(content)
        if byte < 0x80:
            break
    return len(content)
