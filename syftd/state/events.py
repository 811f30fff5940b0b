"""The event table: what the owner made true, in order; and the record of decisions for people."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, NamedTuple

from syftd.log import logger
from syftd.names import Digest, RelPath
from syftd.state.db import Db

_log = logger("record")


class Event(NamedTuple):
    """One change the owner made true. `sha256` None is a deletion; `by` is who asked for it."""

    path: RelPath
    sha256: Digest | None
    size: int | None
    before: Digest | None
    by: str
    at: float


def append(db: Db, events: Iterable[Event]) -> None:
    db.run_many("INSERT INTO event (path, sha256, size, before, by, at) VALUES (?, ?, ?, ?, ?, ?)", events)


def history(db: Db, path: str) -> list[dict[str, Any]]:
    """The versions of a path, oldest first: {seq, sha256, size, at, by}."""
    rows = db.all("SELECT seq, sha256, size, at, by FROM event WHERE path = ? ORDER BY seq", path)
    return [dict(zip(("seq", "sha256", "size", "at", "by"), row, strict=True)) for row in rows]


def trim(db: Db, older_than: float) -> None:
    """Forgets events older than a time, but never the newest event of a path."""
    db.run("DELETE FROM event WHERE at < ? AND seq NOT IN (SELECT max(seq) FROM event GROUP BY path)", older_than)


def note(db: Db, at: float, kind: str, subject: str, **facts: Any) -> None:
    """Adds a line to the record, and to the log: what entered, left or was decided."""
    _log.info(kind, subject=subject, **facts)
    db.run("INSERT INTO record (at, kind, subject, text) VALUES (?, ?, ?, ?)", at, kind, subject, json.dumps(facts))


def record_after(db: Db, n: int, limit: int = 1000) -> list[dict[str, Any]]:
    rows = db.all("SELECT n, at, kind, subject, text FROM record WHERE n > ? ORDER BY n LIMIT ?", n, limit)
    return [{"n": row[0], "at": row[1], "kind": row[2], "subject": row[3], **json.loads(row[4])} for row in rows]
