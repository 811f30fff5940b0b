"""The view and reader tables: what each reader has been shown, and where our stream to that reader stands."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from syftd.names import Digest, Email, RelPath
from syftd.state.db import Db

UNKNOWN: Final = Digest("0" * 64)
"""Stands for what a reader holds of a path when a message about it was taken back: it may have been read or not."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A path as the reader was last told."""

    sha256: Digest
    executable: bool


@dataclass(slots=True)
class ReaderRow:
    """Where our stream to a reader stands; see wire.messages.StreamPosition for the words."""

    email: Email
    epoch: str
    next_seq: int
    previous: Digest | None
    last_made_at: float
    voided: tuple[int, ...]
    completed: bool
    behind: bool


def reader(db: Db, email: Email) -> ReaderRow | None:
    row = db.one("SELECT * FROM reader WHERE email = ?", email)
    if row is None:
        return None
    previous = Digest(row[3]) if row[3] else None
    return ReaderRow(
        Email(row[0]), row[1], row[2], previous, row[4], tuple(json.loads(row[5])), bool(row[6]), bool(row[7])
    )


def put_reader(db: Db, row: ReaderRow) -> None:
    db.run(
        "INSERT OR REPLACE INTO reader VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        row.email, row.epoch, row.next_seq, row.previous, row.last_made_at, json.dumps(row.voided),
        int(row.completed), int(row.behind),
    )  # fmt: skip


def start_stream(db: Db, email: Email, epoch: str) -> None:
    """Begins a new epoch towards a reader: nothing counts as shown any more, everything will be told again."""
    last = db.value("SELECT last_made_at FROM reader WHERE email = ?", email) or 0.0
    db.run("DELETE FROM view WHERE reader = ?", email)
    put_reader(db, ReaderRow(email, epoch, 1, None, last, (), completed=False, behind=True))


def drop_reader(db: Db, email: Email) -> None:
    db.run("DELETE FROM view WHERE reader = ?", email)
    db.run("DELETE FROM reader WHERE email = ?", email)


def shown(db: Db, email: Email, paths: Iterable[str]) -> dict[RelPath, Shown]:
    rows = db.all_in("SELECT path, sha256, executable FROM view WHERE reader = ? AND path IN {}", email, keys=paths)
    return {RelPath(row[0]): Shown(Digest(row[1]), bool(row[2])) for row in rows}


def shown_after(db: Db, email: Email, path: str, limit: int) -> list[RelPath]:
    """The next paths after `path` that the reader has been shown, in order."""
    rows = db.all("SELECT path FROM view WHERE reader = ? AND path > ? ORDER BY path LIMIT ?", email, path, limit)
    return [RelPath(row[0]) for row in rows]


def show(db: Db, email: Email, rows: Iterable[tuple[RelPath, Digest, bool]]) -> None:
    db.run_many(
        "INSERT OR REPLACE INTO view VALUES (?, ?, ?, ?)",
        ((email, path, sha256, int(executable)) for path, sha256, executable in rows),
    )


def unshow(db: Db, email: Email, paths: Iterable[str]) -> None:
    db.run_many("DELETE FROM view WHERE reader = ? AND path = ?", ((email, path) for path in paths))


def doubt(db: Db, email: Email, paths: Iterable[RelPath]) -> None:
    """Notes that nobody knows what the reader holds of these paths: whatever they may see of them will be told again,
    and of the others that they are gone."""
    show(db, email, ((path, UNKNOWN, False) for path in paths))


def shown_below(db: Db, email: Email, directory: str) -> list[RelPath]:
    """Paths below a directory ('' for all) that the reader has been shown."""
    if not directory:
        rows = db.all("SELECT path FROM view WHERE reader = ?", email)
    else:
        rows = db.all(
            "SELECT path FROM view WHERE reader = ? AND path >= ? AND path < ?", email, directory + "/", directory + "0"
        )
    return [RelPath(row[0]) for row in rows]
