"""The outbox tables: messages on their way, the chunks they refer to, and the chunks that lie on a transport."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from syftd.names import Digest, Email, RelPath
from syftd.state.db import Db
from syftd.transport.mailbox import Box


class Row(NamedTuple):
    """One message. kind: events, proposal, standing. state: due, sent (unread on `transport`), void (to be removed)."""

    id: int
    peer: Email
    kind: str
    box: Box
    name: str
    seq: int | None
    payload: bytes | None
    bytes: int
    private: bool
    state: str
    transport: str | None
    due: float
    tries: int
    error: str
    voided: tuple[int, ...]
    """Numbers of the stream that this message tells to be void."""
    verdicts: tuple[str, ...]
    """Ids of the proposals whose verdicts it tells."""


_COLUMNS = "id, peer, kind, box, name, seq, {}, bytes, private, state, transport, due, tries, error, voided, verdicts"


def box_text(box: Box) -> str:
    return json.dumps([box.kind, box.datasite, box.peer])


def box_of(text: str) -> Box:
    kind, datasite, peer = json.loads(text)
    return Box(kind, Email(datasite), Email(peer))


def add(
    db: Db, peer: Email, kind: str, box: Box, name: str, payload: bytes, *,
    seq: int | None = None, private: bool, holds: Iterable[str] = (), names: Iterable[str] = (),
    chunks: Iterable[Digest] = (), voided: Sequence[int] = (), verdicts: Sequence[str] = (),
) -> int:  # fmt: skip
    """Queues a message. It `holds` the contents of some paths and only `names` others."""
    cursor = db.run(
        "INSERT INTO outbox (peer, kind, box, name, seq, payload, bytes, private, state, due, tries, voided, verdicts)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'due', 0, 0, ?, ?)",
        peer, kind, box_text(box), name, seq, payload, len(payload), int(private), json.dumps(voided),
        json.dumps(verdicts),
    )  # fmt: skip
    row = cursor.lastrowid
    assert row is not None
    db.run_many("INSERT OR IGNORE INTO outbox_path VALUES (?, ?, 1)", ((row, path) for path in holds))
    db.run_many("INSERT OR IGNORE INTO outbox_path VALUES (?, ?, 0)", ((row, path) for path in names))
    db.run_many("INSERT OR IGNORE INTO outbox_chunk VALUES (?, ?)", ((row, digest) for digest in chunks))
    return row


def due(db: Db, peer: Email, limit: int = 64) -> list[Row]:
    """The peer's unsent messages in order."""
    return _rows(db, "peer = ? AND state = 'due' ORDER BY id LIMIT ?", peer, limit, payload=True)


def peers_with(db: Db, state: str) -> list[Email]:
    return [Email(row[0]) for row in db.all("SELECT DISTINCT peer FROM outbox WHERE state = ?", state)]


def in_state(db: Db, state: str) -> list[Row]:
    return _rows(db, "state = ? ORDER BY id", state)


def unread(db: Db, peer: Email) -> tuple[int, int]:
    """How many event messages to a peer are due or unread, and their bytes."""
    row = db.one(
        "SELECT count(*), coalesce(sum(bytes), 0) FROM outbox WHERE peer = ? AND kind = 'events' AND state <> 'void'",
        peer,
    )
    return int(row[0]), int(row[1])


def readers_wait(db: Db) -> bool:
    """Whether a reader is behind while messages lie unread, so that what was read decides what may be told next."""
    return (
        db.one(
            "SELECT 1 FROM reader WHERE behind = 1 AND EXISTS"
            " (SELECT 1 FROM outbox WHERE outbox.peer = reader.email AND kind = 'events' AND state = 'sent') LIMIT 1"
        )
        is not None
    )


def holding(db: Db, peer: Email, paths: Sequence[str]) -> list[Row]:
    """Event messages to a peer, due or unread, that hold the content of any of the paths."""
    ids: set[int] = set()
    for path in paths:
        ids.update(
            row[0]
            for row in db.all(
                "SELECT outbox.id FROM outbox JOIN outbox_path ON outbox.id = outbox_path.outbox"
                " WHERE peer = ? AND path = ? AND content = 1 AND kind = 'events' AND state <> 'void'",
                peer,
                path,
            )
        )
    return [row for number in sorted(ids) for row in _rows(db, "id = ?", number)]


def paths_unread(db: Db, peer: Email) -> list[RelPath]:
    """The paths whose contents lie in event messages to a peer, due or unread."""
    rows = db.all(
        "SELECT DISTINCT path FROM outbox JOIN outbox_path ON outbox.id = outbox_path.outbox"
        " WHERE peer = ? AND content = 1 AND kind = 'events' AND state <> 'void' ORDER BY path",
        peer,
    )
    return [RelPath(row[0]) for row in rows]


def contents(db: Db, row: int) -> list[RelPath]:
    """The paths whose contents a message holds."""
    return [RelPath(found[0]) for found in db.all("SELECT path FROM outbox_path WHERE outbox = ? AND content = 1", row)]


def chunks_of(db: Db, row: int) -> list[Digest]:
    """The chunks that a message refers to."""
    return [Digest(found[0]) for found in db.all("SELECT digest FROM outbox_chunk WHERE outbox = ?", row)]


def chunks_revoked(db: Db, row: int) -> list[Digest]:
    """The chunks of a message that was taken back because its reader may not read them any more, and to which no other
    message to that reader refers."""
    rows = db.all(
        "SELECT mine.digest FROM outbox_chunk AS mine JOIN outbox AS taken ON taken.id = mine.outbox"
        " WHERE mine.outbox = ?1 AND EXISTS (SELECT 1 FROM chunk WHERE chunk.digest = mine.digest AND chunk.at = 0)"
        " AND NOT EXISTS (SELECT 1 FROM outbox_chunk AS other JOIN outbox AS kept ON kept.id = other.outbox"
        " WHERE other.digest = mine.digest AND kept.peer = taken.peer AND kept.state <> 'void')",
        row,
    )
    return [Digest(found[0]) for found in rows]


def paths(db: Db, row: int) -> list[str]:
    """Everything that a message speaks of."""
    return [found[0] for found in db.all("SELECT path FROM outbox_path WHERE outbox = ?", row)]


def sent(db: Db, row: int, transport: str) -> None:
    """Notes where a message lies. One that was taken back meanwhile stays void, and is removed from there."""
    db.run(
        "UPDATE outbox SET state = CASE state WHEN 'void' THEN 'void' ELSE 'sent' END, transport = ?, payload = NULL,"
        " error = '' WHERE id = ?",
        transport,
        row,
    )


def postpone(db: Db, row: int, due_at: float, error: str) -> None:
    """Notes a failure. `due_at` is wall time, for people; who sends measures the pause on a clock that never steps."""
    db.run("UPDATE outbox SET due = ?, tries = tries + 1, error = ? WHERE id = ?", due_at, error, row)


def wake(db: Db, peer: Email | None = None) -> None:
    """Ends the pauses of postponed messages."""
    db.run("UPDATE outbox SET due = 0 WHERE state = 'due' AND (?1 IS NULL OR peer = ?1)", peer)


def void(db: Db, row: int) -> None:
    db.run("UPDATE outbox SET state = 'void', payload = NULL WHERE id = ?", row)


def release_chunks(db: Db, row: int) -> None:
    """Lets the chunks of a message that is taken back go without the usual grace, as soon as nothing refers to them."""
    db.run("UPDATE chunk SET at = 0 WHERE at > 0 AND digest IN (SELECT digest FROM outbox_chunk WHERE outbox = ?)", row)


def drop(db: Db, row: int) -> None:
    db.run("DELETE FROM outbox WHERE id = ?", row)


def _rows(db: Db, where: str, *values: object, payload: bool = False) -> list[Row]:
    """Rows without their payloads, unless these are wanted: they are what makes the table large."""
    columns = _COLUMNS.format("payload" if payload else "NULL")
    return [
        Row(
            row[0], Email(row[1]), row[2], box_of(row[3]), row[4], row[5], row[6], row[7], bool(row[8]), row[9],
            row[10], row[11], row[12], row[13], tuple(json.loads(row[14])),
            tuple(json.loads(row[15])),
        )
        for row in db.all(f"SELECT {columns} FROM outbox WHERE {where}", *values)
    ]  # fmt: skip


def drop_unused_cuts(db: Db) -> None:
    """Forgets how files were cut that no datasite here holds any more."""
    db.run("DELETE FROM cut WHERE sha256 NOT IN (SELECT sha256 FROM file WHERE size > 262144)")


def cut(db: Db, sha256: Digest) -> tuple[Digest, ...] | None:
    """The chunks of a large file, when it has been cut before."""
    found = db.value("SELECT chunks FROM cut WHERE sha256 = ?", sha256)
    return None if found is None else tuple(Digest(chunk) for chunk in json.loads(found))


def put_cut(db: Db, sha256: Digest, chunks: Sequence[Digest]) -> None:
    db.run("INSERT OR REPLACE INTO cut VALUES (?, ?)", sha256, json.dumps(chunks))


def chunk_up(db: Db, transport: str, digest: Digest, at: float) -> None:
    db.run("INSERT OR REPLACE INTO chunk VALUES (?, ?, ?)", transport, digest, at)


def chunks_up(db: Db, transports: Iterable[str], chunks: Iterable[Digest]) -> set[Digest]:
    """Which of some chunks certainly lie on one of the transports."""
    wanted = list(chunks)
    return {
        Digest(row[0])
        for transport in transports
        for row in db.all_in(
            "SELECT digest FROM chunk WHERE transport = ? AND at >= 0 AND digest IN {}", transport, keys=wanted
        )
    }


def all_up(db: Db, transports: Iterable[str]) -> frozenset[Digest]:
    """Every chunk that certainly lies on one of the transports."""
    rows = db.all_in("SELECT DISTINCT digest FROM chunk WHERE at >= 0 AND transport IN {}", keys=transports)
    return frozenset(Digest(row[0]) for row in rows)


def chunks_leave(db: Db, chunks: Iterable[tuple[str, Digest]]) -> None:
    """From now on nobody knows whether these (transport, digest) are still there: they are about to be removed."""
    db.run_many("UPDATE chunk SET at = -1 WHERE transport = ? AND digest = ? AND at >= 0", chunks)


def doubt_cut(db: Db, sha256: Digest) -> None:
    """Forgets how a content was cut and that its chunks lie anywhere; they are still collected when nobody needs them."""
    for chunk in cut(db, sha256) or ():
        db.run("UPDATE chunk SET at = -1 WHERE digest = ?", chunk)
    db.run("DELETE FROM cut WHERE sha256 = ?", sha256)


def chunks_unused(db: Db, older_than: float) -> list[tuple[str, Digest]]:
    """(transport, digest) of chunks that no message on its way refers to."""
    # Sorted here: asked for the order, SQLite reads the whole table in it instead of the few rows that qualify.
    rows = db.all(
        "SELECT transport, digest FROM chunk WHERE at < ? AND digest NOT IN (SELECT digest FROM outbox_chunk)",
        older_than,
    )
    return [(row[0], Digest(row[1])) for row in sorted(rows)]


def chunk_gone(db: Db, transport: str, digest: Digest) -> None:
    db.run("DELETE FROM chunk WHERE transport = ? AND digest = ?", transport, digest)


def events_to(db: Db, peer: Email) -> list[Row]:
    """Every event message to a peer that is due or unread."""
    return _rows(db, "peer = ? AND kind = 'events' AND state <> 'void' ORDER BY id", peer)
