"""Release: the one door. What the owner lets out becomes ordinary files in the review folder, and nothing else leaves."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from syftd.errors import ContentMissing, Malformed, TooLarge, UserError
from syftd.jobs.parts import JobParts, current_run, review_folder
from syftd.names import PERMISSION_FILE, Digest, RelPath
from syftd.rules.edit import escape
from syftd.rules.ruleset import MAX_FILE_BYTES, MAX_RULES, Rule, Ruleset, parse, render
from syftd.state import files, jobs
from syftd.state.jobs import JobRow
from syftd.tree.stage import Staged
from syftd.tree.stat import Stat, explained

LOGS = ("stdout.txt", "stderr.txt", "returncode.txt")
_PIECE = 1024 * 1024


AT_ONCE_BYTES: Final = 8 * 1024 * 1024
AT_ONCE_FILES: Final = 100
"""Up to so much is copied, and of staged results so many are put into place, in one turn of the control thread."""


@dataclass(frozen=True, slots=True)
class ResultsStaged:
    """Results of a run lie on the stage (or `error` is why not) and are to be put into place under these names."""

    job: str
    run: int
    staged: tuple[tuple[str, Staged], ...]
    error: BaseException | None


class Release:
    """Copies what the owner lets out into the review folder. A release that takes long is copied to the stage on a pool
    thread; the fact `releasing` names what is not in place yet, so that a restart can go on with it."""

    def __init__(self, parts: JobParts) -> None:
        self._parts = parts

    def begin(self, job: JobRow, only: str | None) -> JobRow:
        """Lets out the latest run's outputs and logs, or those whose name matches `only`.

        Names are relative to the review folder: ``outputs/…``, ``stdout.txt``, ``stderr.txt``, ``returncode.txt``. A
        pattern without ``outputs/`` is also tried below it. Raises UserError when nothing matches, and other
        SyftdErrors when it ends half-way; the fact `released` then has what is out.
        """
        parts = self._parts
        source = parts.result_folder(job)
        names = [name for name in _results(source) if only is None or _matches(name, only)] if source else []
        if source is None or not names:
            raise UserError(
                f"nothing that job {job.id} left matches “{only}”"
                if only
                else f"job {job.id} has left nothing to release",
                f"`syftd jobs show {job.id}` lists its results.",
            )
        _rules_for_dots(parts, job, names)
        size = sum((source / name).stat().st_size for name in names)
        if size <= AT_ONCE_BYTES and len(names) <= AT_ONCE_FILES:
            return self._place(job, ((name, _content(source / name)) for name in names), [])
        job = job.with_facts(releasing=names)
        with parts.db.commit():
            jobs.put(parts.db, job)
        self._stage(job, source, names)
        return job

    def resume(self, job: JobRow) -> None:
        """At start: goes on with what the last process began to release."""
        source = self._parts.result_folder(job)
        if source is not None:
            self._stage(job, source, list(job.facts["releasing"]))

    def place(self, job: JobRow, work: ResultsStaged) -> JobRow:
        """Puts the next staged results into place, and posts the rest as new work; `releasing` is empty after the last.
        Raises SyftdError when it ends half-way."""
        later = work.staged[AT_ONCE_FILES:]
        try:
            job = self._place(job, work.staged[:AT_ONCE_FILES], [name for name, _ in later])
        except BaseException:
            self.discard(work)
            raise
        if later:
            self._parts.post(replace(work, staged=later))
        return job

    def discard(self, work: ResultsStaged) -> None:
        """Forgets staged results that shall not leave (any more)."""
        for _, staged in work.staged:
            self._parts.disk.discard(staged)

    def _place(self, job: JobRow, contents: Iterable[tuple[str, bytes | Staged]], left: list[str]) -> JobRow:
        parts = self._parts
        placed: list[str] = []
        try:
            for name, content in contents:
                path = f"{review_folder(job)}/{name}"
                digest, stat = _base(parts, path)
                parts.disk.replace(parts.me, path, content, executable=False, expected=digest, known=stat)
                placed.append(name)
                parts.stirred(parts.me, path)
            parts.disk.sync()
        finally:
            # What is in place is out, also when something after it failed; the row and the record say so.
            job = job.with_facts(released=sorted({*job.facts.get("released", []), *placed}), releasing=left)
            with parts.db.commit():
                jobs.put(parts.db, job)
                if placed:
                    parts.note("released", job, files=placed)
        return job

    def _stage(self, job: JobRow, source: Path, names: list[str]) -> None:
        parts = self._parts
        run = current_run(job) or 0

        def copy() -> tuple[tuple[str, Staged], ...]:
            copied: list[tuple[str, Staged]] = []
            try:
                for name in names:
                    copied.append((name, _staged(parts, f"release {job.id} {run} {name}", source / name)))
            except BaseException:
                for _, staged in copied:
                    parts.disk.discard(staged)
                raise
            return tuple(copied)

        def done(copied: tuple[tuple[str, Staged], ...] | None, error: BaseException | None) -> None:
            parts.post(ResultsStaged(job.id, run, copied or (), error))

        parts.copying.submit(copy, done)


def take_back(parts: JobParts, job: JobRow) -> None:
    """Removes what earlier runs left in the review folder, so that it never shows two runs at once."""
    folder = review_folder(job)
    for name in job.facts.get("released", []):
        path = f"{folder}/{name}"
        digest, stat = _base(parts, path)
        if digest is not None:
            parts.disk.remove(parts.me, path, expected=digest, known=stat)
            parts.stirred(parts.me, path)


def _results(source: Path) -> list[str]:
    """What the runner collected: plain files only, by construction of the collector, checked once more here."""
    found = [name for name in LOGS if (source / name).is_file() and not (source / name).is_symlink()]
    outputs = source / "outputs"
    if outputs.is_dir():
        for path in sorted(outputs.rglob("*")):
            if path.is_file() and not path.is_symlink():
                found.append(RelPath.parse(str(path.relative_to(source))))
    return found


def _matches(name: str, pattern: str) -> bool:
    return fnmatch.fnmatchcase(name, pattern) or fnmatch.fnmatchcase(name, f"outputs/{pattern}")


def _rules_for_dots(parts: JobParts, job: JobRow, names: list[str]) -> None:
    """The network's wildcards never match names that begin with a dot; such results get rules of their own, beside
    whatever stands in the file already: rules of an earlier release, or the owner's, which are theirs to change."""
    hidden = [name for name in names if any(part.startswith(".") for part in name.split("/"))]
    if not hidden:
        return
    exact = tuple(Rule(escape(name), read=(str(job.submitter),)) for name in hidden)
    path = f"{review_folder(job)}/{PERMISSION_FILE}"
    try:
        ruleset = parse(parts.disk.read(parts.me, path, MAX_FILE_BYTES)[0])
    except ContentMissing:
        # A permission file here takes the place of the one above, so it also says what that one does.
        ruleset = Ruleset((Rule("**", read=(str(job.submitter),)),))
    except (Malformed, TooLarge) as error:
        raise UserError(f"{path} is broken, so {hidden[0]} could not be read: {error}", "Correct or remove it.") from error
    known = {rule.pattern for rule in ruleset.rules}
    fresh = tuple(rule for rule in exact if rule.pattern not in known)
    if not fresh:
        return
    content = render(replace(ruleset, rules=(*ruleset.rules, *fresh))).encode()
    if len(ruleset.rules) + len(fresh) > MAX_RULES or len(content) > MAX_FILE_BYTES:
        raise UserError(
            f"job {job.id} left {len(hidden)} results whose names begin with a dot, which is more than rules can be for",
            "Release the others with --only, or ask its author to pack them into one file.",
        )
    parts.disk.write_own(parts.me, path, content)
    parts.stirred(parts.me, path)


def _base(parts: JobParts, path: str) -> tuple[Digest | None, Stat | None]:
    """What lies there now; a file that is as it was last seen is not read again."""
    stat = parts.disk.stat(parts.me, path)
    if stat is None:
        return None, None
    known = files.get(parts.db, parts.me, path)
    if known is not None and known.settled and stat == Stat(*known[3:8]):
        return known.sha256, stat
    return parts.disk.digest(parts.me, path)


def _content(source: Path) -> bytes:
    try:
        return source.read_bytes()
    except OSError as error:
        raise explained(error, "reading", str(source)) from error


def _staged(parts: JobParts, key: str, source: Path) -> Staged:
    """A copy of a result on the stage; on a pool thread."""
    try:
        with source.open("rb") as file:
            filling = parts.disk.stage_file(key, os.fstat(file.fileno()).st_size)
            try:
                offset = 0
                while piece := file.read(_PIECE):
                    filling.pwrite(offset, piece)
                    offset += len(piece)
                return filling.finish()
            except BaseException:
                filling.discard()
                raise
    except OSError as error:
        raise explained(error, "reading", str(source)) from error
