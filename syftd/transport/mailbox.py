"""The mailbox: what every transport must do, and what it may say about itself.

A *box* is a folder between two parties. Its name says everything: for a datasite and a peer there is an ``inbox`` (what
the peer proposes to the datasite) and an ``outbox`` (what the datasite tells the peer); both are created and owned by
the peer, never by the datasite's owner (the existing network's layout). A party's own ``blobs`` box holds content
chunks named by their digest, its ``profile`` box the one version file.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from syftd.names import Email

BoxKind = Literal["inbox", "outbox", "blobs", "profile"]


@dataclass(frozen=True, slots=True)
class Box:
    """One folder between two parties; `datasite` and `peer` are the same person for blobs and profile."""

    kind: BoxKind
    datasite: Email
    peer: Email

    @property
    def owner(self) -> Email:
        """Who creates the box, and therefore whom the channel speaks for when a box is found."""
        return self.peer

    def other(self, me: Email) -> Email:
        """The party at the other end, seen from `me`."""
        return self.peer if me == self.datasite else self.datasite


def inbox(datasite: Email, peer: Email) -> Box:
    return Box("inbox", datasite, peer)


def outbox(datasite: Email, peer: Email) -> Box:
    return Box("outbox", datasite, peer)


def blobs(owner: Email) -> Box:
    return Box("blobs", owner, owner)


def profile(owner: Email) -> Box:
    return Box("profile", owner, owner)


@dataclass(frozen=True, slots=True)
class Ref:
    """One object in a box. `size` in bytes, -1 when the transport does not tell. `transport` is the mailbox's name."""

    box: Box
    name: str
    size: int
    transport: str


@dataclass(frozen=True, slots=True)
class Opened:
    """A box that somebody else has opened to me. `born` changes when the box is removed and made anew."""

    box: Box
    born: str


@dataclass(frozen=True, slots=True)
class Listing:
    """What a poll found. `complete` means: everything there is, so what is missing here is gone.

    `incomplete` names the parties of whom even a complete listing does not tell everything, because a folder of theirs
    could not be read or holds too much: of them nothing is gone, and nobody else's mail is any the worse for it.
    `gone` is what has left its box since the cursor, where the transport tells that (`Capabilities.tells_removal`).
    """

    refs: tuple[Ref, ...]
    opened: tuple[Opened, ...]
    cursor: str
    complete: bool
    incomplete: frozenset[Email] = frozenset()
    gone: tuple[Ref, ...] = ()

    def whole(self, peer: Email) -> bool:
        """Whether everything between me and `peer` is here, so that what is missing is gone."""
        return self.complete and peer not in self.incomplete


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a transport can do. `max_object` in bytes; `min_poll` in seconds.

    `authenticates_sender`: the service vouches for who wrote an object. `carries_private`: content that not everybody
    may read may travel. `creator_owns`: what I put into another's box stays mine and counts as my storage; whoever else
    removes it only takes it out of the box. `tells_removal`: a listing with a cursor tells what left its box, so that no
    whole listing is needed to learn what was read. `keeps_contacts`: the owner's list of contacts is kept there too, for
    other programs of the network.
    """

    conditional_put: bool
    cursor: bool
    push: bool
    max_object: int
    authenticates_sender: bool
    carries_private: bool
    creator_owns: bool
    min_poll: float
    tells_removal: bool = False
    keeps_contacts: bool = False


class Watch(Protocol):
    """A running watch; `close` ends it."""

    def close(self) -> None: ...


class Mailbox(Protocol):
    """A transport. Every verb is safe to repeat, may be called from any thread, and raises only TransportError.

    Errors say what to do: Transient (again, with back-off), Quota (again after), AuthNeeded (a person), Gone, Exists,
    Refused, Permanent.
    """

    name: str
    me: Email

    @property
    def capabilities(self) -> Capabilities: ...

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person may want to know beside whether it works: use of a quota, several things of one name."""

    def put(self, box: Box, name: str, content: bytes | memoryview, *, private: bool, replace: bool = False) -> Ref:
        """Stores an object whole or not at all. Create-only: the same bytes under the same name again is success, other
        bytes raise Exists. `replace` (profile only) overwrites atomically. `private` says that not everybody may read
        the content: a transport that cannot keep it from others raises Refused. A box that is not there raises Gone.
        After Transient the object may be there or not: putting it again settles it."""

    def list(self, cursor: str, peers: frozenset[Email]) -> Listing:
        """Objects in all inboxes and outboxes between me and `peers`, both directions, and the boxes that anyone else
        opened to me. Blobs and profiles are not listed: their names are known. '' is the first cursor. With a cursor,
        what changed since; may repeat, must not miss, also not what lies there from before somebody became a peer."""

    def get(self, ref: Ref, offset: int = 0, length: int | None = None) -> bytes:
        """The object's bytes, or a range of them. Raises Gone when it is not there."""

    def remove(self, ref: Ref) -> None:
        """Removes an object; one that is gone already is success. From then on this mailbox does not list it; for others
        it may take until the next listings."""

    def admit(self, box: Box, names: Sequence[str], reader: Email) -> None:
        """Lets `reader` read these objects of my blobs box; again is success. Before that nobody need be able to. Raises
        Gone when one of them is not there. Where everybody reads everything there is nothing to do."""

    def dismiss(self, box: Box, names: Sequence[str], reader: Email) -> None:
        """Takes back what `admit` has given, as far as the objects are there; again is success."""

    def share(self, box: Box) -> None:
        """Creates a box of mine and opens it to its other party; again is success."""

    def unshare(self, box: Box) -> None:
        """Closes a box of mine with everything in it; a box that is gone already is success."""

    def watch(self, wake: Callable[[], None]) -> Watch | None:
        """Calls `wake` (from any thread, at any rate) when there may be something new; None when it cannot push.
        A wake carries no truth: polling goes on beside it."""

    def close(self) -> None: ...
