"""A job as people read it. Every name, path and text in it was written by somebody else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from syftd.cli.render import size, style, table, visible, when

_NEXT: Final = {
    "pending": "Decide: syftd jobs approve {0}   or   syftd jobs deny {0} --reason TEXT",
    "running": "Watch it: syftd jobs logs {0} -f",
    "done": "Its results leave with: syftd jobs release {0}",
    "failed": "See why: syftd jobs logs {0}",
}
_NEXT_FOR_ITS_AUTHOR: Final = {
    "pending": "Wait for its owner's decision: syftd jobs wait {0}",
    "approved": "Wait for it: syftd jobs wait {0}",
    "running": "Wait for it: syftd jobs wait {0}",
    "done": "Its owner has not released its results.",
    "failed": "Its owner has not released what it printed.",
}


def list_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """One line for each job, '' for none."""
    cells = [
        (row["id"], row["state"], row.get("from", ""), row.get("to", ""), row.get("name", ""),
         when(row.get("submitted_at")), row.get("reason") or "")
        for row in rows
    ]  # fmt: skip
    return table(cells, ("ID", "STATE", "FROM", "TO", "NAME", "SUBMITTED", "REASON"))


def show_text(job: Mapping[str, Any]) -> str:
    """Everything a reviewer needs on one page, the script in full."""
    reason = job.get("reason")
    facts = [
        ("job", f"{job.get('name', '')}  ({job['id']})"),
        ("state", f"{job['state']}{f' – {reason}' if reason else ''}"),
        ("from", job.get("from")),
        ("to", job.get("to")),
        ("submitted", when(job.get("submitted_at"))),
        ("digest", job.get("digest")),
        ("asks for", ", ".join(map(str, job.get("requested") or [])) or "no dataset"),
        ("limits", ", ".join(f"{k} {v}" for k, v in (job.get("limits") or {}).items())),
        ("exit code", job.get("exit_code")),
    ]
    parts = [table([fact for fact in facts if fact[1] not in (None, "")])]
    files = job.get("files") or []
    if files:
        rows = [(f["path"], size(f.get("size")), str(f.get("sha256", ""))[:12], _flags(f)) for f in files]
        parts.append(_titled(f"Files ({size(job.get('size'))})", table(rows, indent="  ")))
    if job.get("script"):
        numbered = visible(job["script"], lines=True).rstrip("\n").split("\n")
        parts.append(_titled("run.sh", "\n".join(f"  {n:>3}  {line}" for n, line in enumerate(numbered, 1))))
    results = job.get("results") or {}
    outputs = [(o.get("path"), size(o.get("size"))) if isinstance(o, dict) else (o,)
               for o in results.get("outputs") or []]  # fmt: skip
    if outputs:
        parts.append(_titled("Outputs", table(outputs, indent="  ")))
    refused = [(r.get("path") or r.get("name"), r.get("reason")) if isinstance(r, dict) else r
               for r in results.get("refused") or []]  # fmt: skip
    if refused:
        parts.append(_titled("Refused", table(refused, indent="  ")))
    released = [(r.get("path") or r.get("name"),) if isinstance(r, dict) else (r,) for r in job.get("released") or []]
    if released:
        parts.append(_titled("Released", table(released, indent="  ")))
    step = (_NEXT if job.get("mine", True) else _NEXT_FOR_ITS_AUTHOR).get(job["state"])
    if step and not released:
        parts.append(step.format(visible(job["id"])))
    return "\n\n".join(parts)


def diff_text(found: Mapping[str, Any]) -> str:
    """A unified diff, coloured where the terminal wants it."""
    parts = []
    for file in found.get("files") or []:
        parts.append(style(f"{visible(file['path'])}: {visible(file.get('change', 'changed'))}", "bold"))
        for line in visible(file.get("diff") or "", lines=True).splitlines():
            parts.append(style(line, "green" if line[:1] == "+" else "red") if line[:1] in ("+", "-") else line)
    return "\n".join(parts) or "Nothing changed since the last approved version."


def _flags(file: Mapping[str, Any]) -> str:
    flags = [str(flag) for flag in file.get("flags") or []]
    return ", ".join(flags if file.get("text", True) else ["binary", *flags])


def _titled(title: str, text: str) -> str:
    return f"{style(title, 'bold')}\n{text}"
