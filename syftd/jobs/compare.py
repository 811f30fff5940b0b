"""What is new in a job since its owner last approved it, file by file, in lines that are safe to show."""

from __future__ import annotations

from typing import Any, Final

from syftd.errors import UserError
from syftd.jobs import legible
from syftd.jobs.parts import inbox_folder
from syftd.jobs.show import MOST_FILES, Files, Sources
from syftd.names import PERMISSION_FILE
from syftd.state.jobs import JobRow
from syftd.tree.stat import Stat

_MOST_TEXT: Final = 2 * 1024 * 1024
_MOST_READ: Final = 64 * 1024 * 1024
"""Both sides together; a job that is larger is compared by size from there on, and the answer says so."""
_PIECE: Final = 1024 * 1024


def differences(sources: Sources, job: JobRow) -> dict[str, Any]:
    """{id, files: [{path, change, diff}], since, digest}: against the files that were last approved and run; without such
    files everything is new and `since` is None. Raises UserError for a job that somebody else decides about."""
    if job.owner != sources.me:
        text = f"job {job.id} is reviewed by {job.owner}, not by you"
        raise UserError(text, "Only its owner can compare it with what was approved.")
    frozen = f"{job.id}/approved"
    found = _Comparison(sources.kept, frozen, sources.sites, f"{job.owner}/{inbox_folder(job)}").run()
    since = job.facts.get("approved_digest") if sources.kept.kind(frozen) == "directory" else None
    return {"id": job.id, "files": found, "since": since, "digest": job.digest}


class _Comparison:
    """Two folders side by side, within bounds for what is read and what is told."""

    def __init__(self, before: Files, old: str, after: Files, new: str) -> None:
        self._before, self._old, self._after, self._new = before, old, after, new
        self._room = _MOST_TEXT
        self._left = _MOST_READ

    def run(self) -> list[dict[str, Any]]:
        before, after = _ordinary(self._before, self._old), _ordinary(self._after, self._new)
        changed: list[dict[str, Any]] = []
        for path in sorted(before.keys() | after.keys()):
            old, new = before.get(path), after.get(path)
            text = self._difference(path, old, new)
            if text is None:
                continue
            if len(text) > self._room:
                text = "(not shown: the changes above are long already)"
            self._room -= len(text)
            change = "added" if old is None else "removed" if new is None else "changed"
            changed.append({"path": path, "change": change, "diff": text})
        return changed

    def _difference(self, path: str, old: Stat | None, new: Stat | None) -> str | None:
        """The difference of one file in words or lines; None when there is none."""
        mode = ""
        if old and new and old.executable != new.executable:
            mode = f"(it is {'now' if new.executable else 'no longer'} executable)"
        sizes = f"{_size(old)} before, {_size(new)} now"
        if old and new and self._same(path, old, new):
            return mode or None
        if self._left < 0:
            return f"{mode}(not compared, since the job is large: {sizes})"
        if max(old.size if old else 0, new.size if new else 0) > legible.DIFF_BYTES:
            return f"{mode}(too large to show: {sizes})"
        before = self._read(self._before, f"{self._old}/{path}") if old else b""
        after = self._read(self._after, f"{self._new}/{path}") if new else b""
        if "binary" in legible.warnings(before, whole=True) + legible.warnings(after, whole=True):
            return f"{mode}(binary: {sizes})"
        return (mode + "\n" if mode else "") + legible.unified(before.decode("utf-8"), after.decode("utf-8"))

    def _same(self, path: str, old: Stat, new: Stat) -> bool:
        """Whether both sides hold the same bytes, as far as the bound lets us read; in doubt, no."""
        if old.size != new.size:
            return False
        for offset in range(0, old.size, _PIECE):
            self._left -= 2 * min(_PIECE, old.size - offset)
            if self._left < 0:
                return False
            before = self._before.piece(f"{self._old}/{path}", offset, _PIECE)
            if before is None or before != self._after.piece(f"{self._new}/{path}", offset, _PIECE):
                return False
        return True

    def _read(self, source: Files, path: str) -> bytes:
        content = source.piece(path, 0, legible.DIFF_BYTES) or b""
        self._left -= len(content)
        return content


def _ordinary(source: Files, folder: str) -> dict[str, Stat]:
    found: dict[str, Stat] = {}
    for entry in source.below(folder):
        if entry.stat is not None and entry.path.rpartition("/")[2] != PERMISSION_FILE:
            found[entry.path] = entry.stat
        if len(found) >= MOST_FILES:
            break
    return found


def _size(stat: Stat | None) -> str:
    return "nothing" if stat is None else f"{stat.size:,} bytes"
