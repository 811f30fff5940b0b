"""Reading across the tables for people: counts that stay cheap with many files, and the latest of what there is."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from syftd.names import Digest, Email
from syftd.state.db import Db


def on_their_way(db: Db) -> dict[Email, int]:
    """How many messages for each peer are due, unread or being taken back.

    Counted in the index alone: looking at a message's state would read past its payload.
    """
    counts = {Email(peer): int(count) for peer, count in db.all("SELECT peer, count(*) FROM outbox GROUP BY peer")}
    # Of what a reader of the plain network was sent nobody learns whether it was read: it is on its way no more.
    told = db.all(
        "SELECT outbox.peer, count(*) FROM outbox JOIN peer ON peer.email = outbox.peer"
        " WHERE outbox.state = 'sent' AND outbox.kind = 'events'"
        " AND ',' || peer.extensions || ',' NOT LIKE '%,stream,%' GROUP BY outbox.peer"
    )
    for peer, count in told:
        counts[Email(peer)] -= int(count)
    return counts


def readers_behind(db: Db) -> set[Email]:
    """Readers who have not been told everything that they may see."""
    return {Email(row[0]) for row in db.all("SELECT email FROM reader WHERE behind = 1")}


def to_fetch(db: Db) -> dict[Email, int]:
    """How many paths of each owner are told and not in place."""
    rows = db.all(
        "SELECT told.owner, count(*) FROM told LEFT JOIN file ON file.site = told.owner AND file.path = told.path"
        " WHERE file.sha256 IS NOT told.sha256 GROUP BY told.owner"
    )
    return {Email(owner): count for owner, count in rows}


def drafts_waiting(db: Db) -> dict[Email, int]:
    """How many of our changes wait for the verdict of each owner."""
    return {Email(owner): count for owner, count in db.all("SELECT owner, count(*) FROM draft GROUP BY owner")}


def jobs_waiting(db: Db, owner: Email) -> int:
    """How many jobs wait for the owner's word."""
    return int(db.value("SELECT count(*) FROM job WHERE owner = ? AND state = 'pending'", owner))


def files_below(db: Db, site: Email, directory: str) -> int:
    """How many files of a datasite lie below a directory ('' for all)."""
    if not directory:
        return int(db.value("SELECT count(*) FROM file WHERE site = ?", site))
    sql = "SELECT count(*) FROM file WHERE site = ? AND path >= ? AND path < ?"
    return int(db.value(sql, site, directory + "/", directory + "0"))


def up_to_date_below(db: Db, site: Email, reader: Email, directory: str) -> int:
    """How many files below a directory the reader has been shown as they are."""
    low, high = (directory + "/", directory + "0") if directory else ("", "\U0010ffff")
    sql = (
        "SELECT count(*) FROM view JOIN file ON file.site = ?1 AND file.path = view.path AND file.sha256 = view.sha256"
        " WHERE view.reader = ?2 AND view.path >= ?3 AND view.path < ?4"
    )
    return int(db.value(sql, site, reader, low, high))


def told_below(db: Db, owner: Email, directory: str) -> tuple[int, int]:
    """How many files below a directory an owner has told us, and how many of these are in place."""
    low, high = (directory + "/", directory + "0") if directory else ("", "\U0010ffff")
    row = db.one(
        "SELECT count(*), coalesce(sum(file.sha256 IS told.sha256), 0) FROM told"
        " LEFT JOIN file ON file.site = told.owner AND file.path = told.path"
        " WHERE told.owner = ? AND told.path >= ? AND told.path < ?",
        owner, low, high,
    )  # fmt: skip
    return int(row[0]), int(row[1])


class Latest(NamedTuple):
    """The newest event of a path; `sha256` None is a deletion. `at` in seconds since the epoch."""

    sha256: Digest | None
    by: str
    at: float


def newest_event(db: Db, path: str) -> Latest | None:
    row = db.one("SELECT sha256, by, at FROM event WHERE path = ? ORDER BY seq DESC LIMIT 1", path)
    return None if row is None else Latest(Digest(row[0]) if row[0] else None, row[1], row[2])


class Letter(NamedTuple):
    """A message on its way, without its payload. `state`: due, sent (unread on `transport`)."""

    state: str
    transport: str | None
    error: str


def carrying(db: Db, peer: Email, path: str) -> Letter | None:
    """The last message to a peer that holds a path and has not been read."""
    row = db.one(
        "SELECT state, transport, error FROM outbox JOIN outbox_path ON outbox.id = outbox_path.outbox"
        " WHERE peer = ? AND path = ? AND kind = 'events' AND state <> 'void' ORDER BY outbox.id DESC LIMIT 1",
        peer, path,
    )  # fmt: skip
    return Letter(*row) if row else None


def proposal(db: Db, owner: Email, message: str) -> Letter | None:
    """The message of a proposal of ours that its owner has not read."""
    row = db.one(
        "SELECT state, transport, error FROM outbox WHERE peer = ? AND kind = 'proposal' AND instr(name, ?) > 0"
        " AND state <> 'void' LIMIT 1",
        owner, message,
    )  # fmt: skip
    return Letter(*row) if row else None


def record_end(db: Db, limit: int) -> list[dict[str, Any]]:
    """The last lines of the record, oldest first; the shape is that of `events.record_after`."""
    rows = db.all("SELECT n, at, kind, subject, text FROM record ORDER BY n DESC LIMIT ?", limit)
    return [{"n": row[0], "at": row[1], "kind": row[2], "subject": row[3], **json.loads(row[4])} for row in rows[::-1]]
