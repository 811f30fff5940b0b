"""The problem, halt and trash tables: what a person should know, what waits for their word, what can be brought back."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any, NamedTuple

from syftd.log import logger
from syftd.names import Digest, Email
from syftd.state.db import Db

_log = logger("problem")


def problem_id(kind: str, subject: str) -> str:
    return "p-" + hashlib.sha256(f"{kind}\0{subject}".encode()).hexdigest()[:8]


def raise_problem(db: Db, kind: str, subject: str, text: str, remedy: str, at: float, plan: str | None = None) -> bool:
    """Notes a problem; the same kind and subject again only updates its words. Returns whether it is new."""
    id = problem_id(kind, subject)
    known = db.one("SELECT text, remedy, plan FROM problem WHERE id = ?", id)
    if known == (text, remedy, plan):
        return False
    _log.warning("problem", id=id, kind=kind, subject=subject, text=text, remedy=remedy)
    db.run(
        "INSERT INTO problem VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET"
        " text = excluded.text, remedy = excluded.remedy, plan = excluded.plan",
        id, kind, subject, text, remedy, at, plan,
    )  # fmt: skip
    return known is None


def clear_problem(db: Db, kind: str, subject: str) -> bool:
    """Takes a problem back because its cause is gone; returns whether there was one."""
    gone = db.run("DELETE FROM problem WHERE id = ?", problem_id(kind, subject)).rowcount > 0
    if gone:
        _log.info("problem solved", kind=kind, subject=subject)
    return gone


def expire(db: Db, kinds: Iterable[str], before: float) -> None:
    """Takes back problems of these kinds that are older than a time."""
    db.run_many("DELETE FROM problem WHERE kind = ? AND since < ?", ((kind, before) for kind in kinds))


def subjects(db: Db, *kinds: str) -> set[tuple[str, str]]:
    """(kind, subject) of every problem of these kinds."""
    marks = ", ".join("?" * len(kinds))
    return {(row[0], row[1]) for row in db.all(f"SELECT kind, subject FROM problem WHERE kind IN ({marks})", *kinds)}


def problems(db: Db) -> list[dict[str, Any]]:
    rows = db.all("SELECT id, kind, subject, text, remedy, since, plan FROM problem ORDER BY since, id")
    return [dict(zip(("id", "kind", "subject", "text", "remedy", "since", "plan"), row, strict=True)) for row in rows]


class Halt(NamedTuple):
    """A plan that waits for a person. kind: own (deletions of mine), mirror (deletions told by `site`), root."""

    id: str
    kind: str
    site: Email
    at: float
    reason: str
    paths: tuple[str, ...]


def halt(db: Db, row: Halt) -> None:
    db.run(
        "INSERT OR REPLACE INTO halt VALUES (?, ?, ?, ?, ?, ?)",
        row.id, row.kind, row.site, row.at, row.reason, json.dumps(row.paths),
    )  # fmt: skip


def halts(db: Db) -> list[Halt]:
    return [
        Halt(row[0], row[1], Email(row[2]), row[3], row[4], tuple(json.loads(row[5])))
        for row in db.all("SELECT * FROM halt ORDER BY at")
    ]


def keep(db: Db, row: Halt) -> None:
    """A person refused the deletions of a halt on a mirror: it asks nothing any more, and its files stay."""
    kept = next((item.paths for item in halts(db) if item.kind == "kept" and item.site == row.site), ())
    drop_halt(db, row.id)
    halt(db, row._replace(id=f"kept-{row.site}", kind="kept", paths=tuple(sorted({*kept, *row.paths}))))


def withheld(db: Db, site: Email) -> set[str]:
    """Paths of a mirror whose removal waits for a person, or was refused by one."""
    return {path for row in halts(db) if row.site == site and row.kind in ("mirror", "kept") for path in row.paths}


def drop_halts(db: Db, site: Email) -> None:
    """Forgets every halt about a datasite that is followed no longer."""
    db.run("DELETE FROM halt WHERE site = ?", site)


def halt_on(db: Db, kind: str, site: Email) -> Halt | None:
    return next((row for row in halts(db) if row.kind == kind and row.site == site), None)


def drop_halt(db: Db, id: str) -> None:
    db.run("DELETE FROM halt WHERE id = ?", id)


class Trashed(NamedTuple):
    """One content that syftd took out of a tree. `id` is the trash's own."""

    id: str
    site: Email
    path: str
    sha256: Digest
    size: int
    at: float
    why: str


def trashed(db: Db, rows: Iterable[Trashed]) -> None:
    db.run_many("INSERT OR REPLACE INTO trash VALUES (?, ?, ?, ?, ?, ?, ?)", rows)


def trash_of(db: Db, site: Email, path: str) -> list[Trashed]:
    rows = db.all("SELECT * FROM trash WHERE site = ? AND path = ? ORDER BY at DESC", site, path)
    return [_trashed(row) for row in rows]


def trash_with(db: Db, sha256: Digest) -> list[Trashed]:
    return [_trashed(row) for row in db.all("SELECT * FROM trash WHERE sha256 = ? ORDER BY at DESC", sha256)]


def forget_trash_before(db: Db, at: float) -> None:
    """Forgets what the trash itself has swept by now."""
    db.run("DELETE FROM trash WHERE at < ?", at)


def _trashed(row: tuple[str, str, str, str, int, float, str]) -> Trashed:
    return Trashed(row[0], Email(row[1]), row[2], Digest(row[3]), row[4], row[5], row[6])
