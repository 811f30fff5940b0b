"""The stream, told and draft tables: what owners tell us, and what we have asked of them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from syftd.names import Digest, Email, RelPath
from syftd.state.db import Db


@dataclass(slots=True)
class StreamRow:
    """Where the stream of an owner stands, seen from us. `completed`: everything has been told once in this epoch.
    `earlier`: the latest epochs that this one took the place of; what still lies there of them is of no use."""

    owner: Email
    epoch: str
    next_seq: int
    previous: Digest | None
    completed: bool
    gap_since: float | None
    asked: int
    earlier: tuple[str, ...] = ()


class Told(NamedTuple):
    """A path as its owner last told us. `chunks` is None for content that came inline."""

    path: RelPath
    sha256: Digest
    executable: bool
    size: int
    chunks: tuple[Digest, ...] | None


def stream(db: Db, owner: Email) -> StreamRow | None:
    row = db.one("SELECT * FROM stream WHERE owner = ?", owner)
    if row is None:
        return None
    previous = Digest(row[3]) if row[3] else None
    return StreamRow(
        Email(row[0]), row[1], row[2], previous, bool(row[4]), row[5], row[6], tuple(json.loads(row[7]))
    )


def with_gap(db: Db) -> list[Email]:
    """The owners in whose stream a gap is open."""
    return [Email(row[0]) for row in db.all("SELECT owner FROM stream WHERE gap_since IS NOT NULL")]


def put_stream(db: Db, row: StreamRow) -> None:
    db.run(
        "INSERT OR REPLACE INTO stream VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        row.owner, row.epoch, row.next_seq, row.previous, int(row.completed), row.gap_since, row.asked,
        json.dumps(row.earlier),
    )  # fmt: skip


def drop_owner(db: Db, owner: Email) -> None:
    """Forgets what an owner told us; the mirror's files stay where they are."""
    for table, column in (("stream", "owner"), ("told", "owner"), ("draft", "owner"), ("file", "site")):
        db.run(f"DELETE FROM {table} WHERE {column} = ?", owner)


def tell(db: Db, owner: Email, epoch: str, rows: Iterable[Told]) -> None:
    db.run_many(
        "INSERT OR REPLACE INTO told VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            (owner, row.path, row.sha256, int(row.executable), row.size, _chunks(row.chunks), epoch)
            for row in rows
        ),
    )  # fmt: skip


def untell(db: Db, owner: Email, paths: Iterable[str]) -> None:
    db.run_many("DELETE FROM told WHERE owner = ? AND path = ?", ((owner, path) for path in paths))


def left_from_before(db: Db, owner: Email, epoch: str) -> list[RelPath]:
    """Paths told in an earlier epoch and not in this one."""
    return [RelPath(row[0]) for row in db.all("SELECT path FROM told WHERE owner = ? AND epoch <> ?", owner, epoch)]


def told(db: Db, owner: Email, path: str) -> Told | None:
    row = db.one("SELECT path, sha256, executable, size, chunks FROM told WHERE owner = ? AND path = ?", owner, path)
    return _told(row) if row else None


def told_many(db: Db, owner: Email, paths: Iterable[str]) -> dict[RelPath, Told]:
    rows = db.all_in(
        "SELECT path, sha256, executable, size, chunks FROM told WHERE owner = ? AND path IN {}", owner, keys=paths
    )
    return {found.path: found for found in map(_told, rows)}


def told_after(db: Db, owner: Email, path: str, limit: int) -> list[Told]:
    rows = db.all(
        "SELECT path, sha256, executable, size, chunks FROM told WHERE owner = ? AND path > ? ORDER BY path LIMIT ?",
        owner, path, limit,
    )  # fmt: skip
    return [_told(row) for row in rows]


def told_paths_with(db: Db, sha256: Digest) -> list[tuple[Email, RelPath]]:
    rows = db.all("SELECT owner, path FROM told WHERE sha256 = ? AND chunks IS NOT NULL", sha256)
    return [(Email(row[0]), RelPath(row[1])) for row in rows]


def told_count(db: Db, owner: Email, most: int = -1) -> int:
    """How many paths an owner has told; with `most` the counting ends there."""
    return int(db.value("SELECT count(*) FROM (SELECT 1 FROM told WHERE owner = ? LIMIT ?)", owner, most))


def wanted(db: Db, owner: Email | None = None) -> list[tuple[Email, Told]]:
    """Told paths with large content whose mirror does not hold it yet. Costs as much as there are of them."""
    rows = db.all(
        "SELECT told.owner, told.path, told.sha256, told.executable, told.size, told.chunks FROM wanting"
        " CROSS JOIN told USING (owner, path) WHERE ?1 IS NULL OR wanting.owner = ?1",
        owner,
    )
    return [(Email(row[0]), _told(row[1:])) for row in rows]


def is_wanted(db: Db, sha256: Digest, owner: Email | None = None) -> bool:
    """Whether this large content is told, by one owner or by any, under some path whose mirror does not hold it yet."""
    found = db.one(
        "SELECT 1 FROM told JOIN wanting USING (owner, path)"
        " WHERE told.sha256 = ?1 AND told.chunks IS NOT NULL AND (?2 IS NULL OR told.owner = ?2) LIMIT 1",
        sha256, owner,
    )  # fmt: skip
    return found is not None


def any_told_below(db: Db, owner: Email, path: str) -> bool:
    """Whether a path below `path`, taken as a folder, is told."""
    sql = "SELECT 1 FROM told WHERE owner = ? AND path > ? AND path < ? LIMIT 1"
    return db.one(sql, owner, path + "/", path + "0") is not None


def held_untold(db: Db, owner: Email) -> list[RelPath]:
    """Paths that the mirror of `owner` holds and that are not told (any more)."""
    rows = db.all(
        "SELECT file.path FROM file LEFT JOIN told ON told.owner = file.site AND told.path = file.path"
        " WHERE file.site = ? AND told.path IS NULL",
        owner,
    )
    return [RelPath(row[0]) for row in rows]


def _told(row: tuple[str, str, int, int, str | None]) -> Told:
    chunks = None if row[4] is None else tuple(Digest(chunk) for chunk in json.loads(row[4]))
    return Told(RelPath(row[0]), Digest(row[1]), bool(row[2]), row[3], chunks)


def _chunks(chunks: tuple[Digest, ...] | None) -> str | None:
    return None if chunks is None else json.dumps(chunks)


class Draft(NamedTuple):
    """A change of ours to another's datasite, proposed in `message` and not answered yet."""

    owner: Email
    path: RelPath
    before: Digest | None
    after: Digest | None
    message: str
    at: float


def draft(db: Db, owner: Email, path: str) -> Draft | None:
    row = db.one("SELECT * FROM draft WHERE owner = ? AND path = ?", owner, path)
    return _draft(row) if row else None


def drafted(db: Db, owner: Email, paths: Iterable[str]) -> dict[RelPath, Draft]:
    """Our open drafts for some paths of an owner."""
    rows = db.all_in("SELECT * FROM draft WHERE owner = ? AND path IN {}", owner, keys=paths)
    return {found.path: found for found in map(_draft, rows)}


def drafts_of(db: Db, message: str) -> list[Draft]:
    return [_draft(row) for row in db.all("SELECT * FROM draft WHERE message = ?", message)]


def drafts_to(db: Db, owner: Email) -> list[Draft]:
    return [_draft(row) for row in db.all("SELECT * FROM draft WHERE owner = ? ORDER BY path", owner)]


def put_drafts(db: Db, drafts: Iterable[Draft]) -> None:
    db.run_many("INSERT OR REPLACE INTO draft VALUES (?, ?, ?, ?, ?, ?)", drafts)


def drop_draft(db: Db, owner: Email, path: str) -> None:
    db.run("DELETE FROM draft WHERE owner = ? AND path = ?", owner, path)


def _draft(row: tuple[str, str, str | None, str | None, str, float]) -> Draft:
    return Draft(
        Email(row[0]), RelPath(row[1]), Digest(row[2]) if row[2] else None, Digest(row[3]) if row[3] else None,
        row[4], row[5],
    )  # fmt: skip
