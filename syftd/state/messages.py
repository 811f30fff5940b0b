"""Messages decided, proposals under way, and content that waits for its place on disk."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from syftd.names import Digest, Email, RelPath
from syftd.state.db import Db
from syftd.state.outbox import box_of, box_text
from syftd.transport.mailbox import Ref


class Decided(NamedTuple):
    """A message that has had its verdict. `current`: for a stale one what its paths hold, for an applied one what they
    came to hold."""

    id: str
    sender: Email
    verdict: str
    reason: str
    current: tuple[tuple[RelPath, Digest | None], ...]


def decide(
    db: Db, sender: Email, id: str, kind: str, at: float, verdict: str, reason: str = "", *,
    current: Sequence[tuple[str, str | None]] = (), tell: bool = False,
) -> None:  # fmt: skip
    """Records a message's one verdict; `tell` queues it for its sender's stream."""
    db.run(
        "INSERT OR REPLACE INTO message VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        sender, id, kind, at, verdict, reason, json.dumps(current), int(tell),
    )  # fmt: skip


def decided(db: Db, sender: Email, id: str) -> str | None:
    """The verdict of a message, None when it has none yet. An id means something only together with its sender: in a
    shared folder everybody sees the names of everybody's messages."""
    found: str | None = db.value("SELECT verdict FROM message WHERE sender = ? AND id = ?", sender, id)
    return found


def untold(db: Db, sender: Email, limit: int = 200) -> list[Decided]:
    rows = db.all(
        "SELECT id, sender, verdict, reason, current FROM message WHERE sender = ? AND untold = 1 ORDER BY at, id LIMIT ?",
        sender, limit,
    )  # fmt: skip
    return [
        Decided(
            row[0], Email(row[1]), row[2], row[3],
            tuple((RelPath(path), Digest(sha) if sha else None) for path, sha in json.loads(row[4])),
        )
        for row in rows
    ]  # fmt: skip


def with_untold(db: Db) -> list[Email]:
    return [Email(row[0]) for row in db.all("SELECT DISTINCT sender FROM message WHERE untold = 1")]


def told(db: Db, sender: Email, ids: Iterable[str]) -> None:
    db.run_many("UPDATE message SET untold = 0 WHERE sender = ? AND id = ?", ((sender, id) for id in ids))


def tell_again(db: Db, sender: Email, ids: Iterable[str]) -> None:
    """Queues verdicts for a sender anew whose message was taken back."""
    db.run_many("UPDATE message SET untold = 1 WHERE sender = ? AND id = ?", ((sender, id) for id in ids))


def tell_all_again(db: Db, sender: Email, since: float) -> None:
    """Queues every verdict for a sender since a time anew: nobody knows which of them arrived."""
    db.run("UPDATE message SET untold = 1 WHERE sender = ? AND kind = 'proposal' AND at >= ?", sender, since)


def refused_since(db: Db, sender: Email, since: float) -> int:
    """How many of a sender's messages were quarantined since a time; what they were told about it does not count."""
    return int(
        db.value(
            "SELECT count(*) FROM message WHERE sender = ? AND at >= ? AND verdict IN ('malformed', 'forged')"
            " AND kind <> 'proposal'",
            sender, since,
        )
    )  # fmt: skip


def forget_before(db: Db, at: float) -> None:
    db.run("DELETE FROM message WHERE at < ? AND untold = 0", at)


class Intent(NamedTuple):
    """One path of a proposal that was accepted and perhaps not carried out yet. `staged` names its large content."""

    message: str
    path: RelPath
    before: Digest | None
    after: Digest | None
    sender: Email
    staged: str = ""


def intend(db: Db, intents: Iterable[Intent]) -> None:
    """Makes an intent durable; the same once more changes nothing."""
    db.run_many(
        "INSERT OR REPLACE INTO intent (message, path, before, after, sender, staged) VALUES (?, ?, ?, ?, ?, ?)", intents
    )


def intents(db: Db) -> dict[tuple[Email, str], list[Intent]]:
    """What was accepted and is not known to be on disk, by sender and message."""
    grouped: dict[tuple[Email, str], list[Intent]] = {}
    for sender, message, path, before, after, staged in db.all("SELECT * FROM intent ORDER BY sender, message, path"):
        intent = Intent(
            message, RelPath(path), Digest(before) if before else None, Digest(after) if after else None,
            Email(sender), staged,
        )  # fmt: skip
        grouped.setdefault((intent.sender, message), []).append(intent)
    return grouped


def intended(db: Db, sender: Email, message: str) -> bool:
    """Whether a proposal was accepted and is perhaps carried out in part."""
    return db.one("SELECT 1 FROM intent WHERE sender = ? AND message = ? LIMIT 1", sender, message) is not None


def intent_done(db: Db, sender: Email, message: str) -> None:
    db.run("DELETE FROM intent WHERE sender = ? AND message = ?", sender, message)


def keep_content(db: Db, pieces: Iterable[tuple[Digest, bytes]]) -> None:
    db.run_many("INSERT OR IGNORE INTO content VALUES (?, ?)", pieces)


def content(db: Db, sha256: Digest) -> bytes | None:
    found: bytes | None = db.value("SELECT bytes FROM content WHERE sha256 = ?", sha256)
    return found


def drop_unused_content(db: Db) -> None:
    """Forgets content that nothing waits for."""
    db.run(
        "DELETE FROM content WHERE sha256 NOT IN (SELECT after FROM intent WHERE after IS NOT NULL)"
        " AND sha256 NOT IN (SELECT told.sha256 FROM told LEFT JOIN file ON file.site = told.owner"
        " AND file.path = told.path WHERE file.sha256 IS NOT told.sha256)"
    )


def drop_content(db: Db, digests: Iterable[Digest]) -> None:
    """Forgets content that is in its place, unless an intent still needs it."""
    db.run_many(
        "DELETE FROM content WHERE sha256 = ?1 AND NOT EXISTS (SELECT 1 FROM intent WHERE after = ?1)",
        ((digest,) for digest in digests),
    )


class Held(NamedTuple):
    """A proposal that waits for its large content; `at` is when it came, in seconds since the epoch."""

    id: str
    sender: Email
    at: float


def hold(db: Db, sender: Email, id: str, ref: Ref, payload: bytes, size: int, at: float) -> None:
    """Keeps a proposal whose large content, of `size` bytes in all, is still being fetched; `ref` is its object."""
    db.run(
        "INSERT OR REPLACE INTO held VALUES (?, ?, ?, ?, ?, ?, ?)",
        sender, id, ref.name, box_text(ref.box), at, size, payload,
    )  # fmt: skip


def held(db: Db) -> list[Held]:
    """Every proposal that waits, the oldest first."""
    return [Held(row[0], Email(row[1]), row[2]) for row in db.all("SELECT id, sender, at FROM held ORDER BY at, id")]


def under_way(db: Db, sender: Email, id: str) -> bool:
    """Whether a proposal is accepted or waits, so that its verdict is still to come."""
    return intended(db, sender, id) or held_payload(db, sender, id) is not None


def held_payload(db: Db, sender: Email, id: str) -> bytes | None:
    """The message of a proposal that waits, None when it does not (any more)."""
    found: bytes | None = db.value("SELECT payload FROM held WHERE sender = ? AND id = ?", sender, id)
    return found


def held_for(db: Db, sender: Email) -> tuple[int, int]:
    """How many proposals of a sender wait, and the bytes that they wait for."""
    row = db.one("SELECT count(*), coalesce(sum(bytes), 0) FROM held WHERE sender = ?", sender)
    return int(row[0]), int(row[1])


def release_held(db: Db, sender: Email, id: str) -> list[Ref]:
    """The proposal waits no longer; returns its objects, which can be removed once this is committed."""
    refs = [
        Ref(box_of(box), name, -1, transport)
        for name, box, transport in db.all(
            "SELECT DISTINCT held.name, held.box, transport FROM held JOIN unacked USING (name, box)"
            " WHERE sender = ? AND id = ?",
            sender, id,
        )
    ]  # fmt: skip
    for ref in refs:
        db.run("DELETE FROM unacked WHERE name = ? AND box = ?", ref.name, box_text(ref.box))
    db.run("DELETE FROM held WHERE sender = ? AND id = ?", sender, id)
    return refs


def drop_held(db: Db, sender: Email) -> None:
    """Forgets what a sender proposed and what still waits: nothing of it is carried out any more."""
    db.run("DELETE FROM unacked WHERE (name, box) IN (SELECT name, box FROM held WHERE sender = ?)", sender)
    db.run("DELETE FROM held WHERE sender = ?", sender)


def owe_ack(db: Db, ref: Ref, digests: Iterable[Digest]) -> None:
    """The object stays on the transport until all these contents are here."""
    db.run_many(
        "INSERT OR IGNORE INTO unacked (name, transport, box, sha256) VALUES (?, ?, ?, ?)",
        ((ref.name, ref.transport, box_text(ref.box), digest) for digest in digests),
    )


def ack_owed(db: Db, ref: Ref) -> bool:
    """Whether an object must stay on the transport for now."""
    return db.one("SELECT 1 FROM unacked WHERE box = ? AND name = ?", box_text(ref.box), ref.name) is not None


def arrived(db: Db, sha256: Digest) -> list[Ref]:
    """Notes that a content is here (or no longer wanted); returns the envelopes that can now be removed. What a
    proposal waits for is not meant: that ends with its verdict."""
    waits = "EXISTS (SELECT 1 FROM held WHERE held.name = unacked.name AND held.box = unacked.box)"
    rows = db.all(f"SELECT DISTINCT name, transport, box FROM unacked WHERE sha256 = ? AND NOT {waits}", sha256)
    db.run(f"DELETE FROM unacked WHERE sha256 = ? AND NOT {waits}", sha256)
    refs = [Ref(box_of(row[2]), row[0], -1, row[1]) for row in rows]
    return [ref for ref in refs if not ack_owed(db, ref)]


def owed_digests(db: Db, kind: str = "%") -> list[Digest]:
    """The contents that messages wait for; `kind` inbox or outbox narrows it to those of such boxes."""
    rows = db.all("SELECT DISTINCT sha256 FROM unacked WHERE box LIKE ?", f'["{kind}"%')
    return [Digest(row[0]) for row in rows]
