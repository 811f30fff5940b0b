"""The peer table: who we know, and how we stand with each."""

from __future__ import annotations

from typing import Literal, NamedTuple, cast

from syftd.names import Email
from syftd.state.db import Db

PeerState = Literal["requested_by_me", "requested_by_peer", "accepted", "rejected", "removed"]


class Peer(NamedTuple):
    """One contact. `born` names the boxes the peer opened to us ('' while there are none); `removed` rows are hidden
    tombstones: the same boxes do not count as a new request."""

    email: Email
    state: PeerState
    since: float
    born: str
    client_version: str
    extensions: frozenset[str]
    note: str


def get(db: Db, email: str) -> Peer | None:
    row = db.one("SELECT * FROM peer WHERE email = ?", email)
    return _peer(row) if row else None


def all_peers(db: Db) -> list[Peer]:
    """Every contact except the tombstones."""
    return [_peer(row) for row in db.all("SELECT * FROM peer WHERE state <> 'removed' ORDER BY email")]


def states(db: Db) -> dict[str, PeerState]:
    """How we stand with everybody, the tombstones too."""
    return dict(db.all("SELECT email, state FROM peer"))


def in_state(db: Db, *states: PeerState) -> list[Email]:
    marks = ", ".join("?" * len(states))
    return [Email(row[0]) for row in db.all(f"SELECT email FROM peer WHERE state IN ({marks}) ORDER BY email", *states)]


def put(db: Db, peer: Peer) -> None:
    db.run(
        "INSERT OR REPLACE INTO peer VALUES (?, ?, ?, ?, ?, ?, ?)",
        peer.email, peer.state, peer.since, peer.born, peer.client_version, ",".join(sorted(peer.extensions)),
        peer.note,
    )  # fmt: skip


def _peer(row: tuple[str, str, float, str, str, str, str]) -> Peer:
    extensions = frozenset(word for word in row[5].split(",") if word)
    return Peer(Email(row[0]), cast(PeerState, row[1]), row[2], row[3], row[4], extensions, row[6])
