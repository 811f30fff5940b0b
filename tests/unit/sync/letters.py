"""Messages as a peer could write them, put straight into a box, and a look at what lies there."""

from __future__ import annotations

from collections.abc import Iterable

from syftd.names import Digest, RelPath
from syftd.peers.pair import CLIENT_VERSION
from syftd.state import contacts
from syftd.transport import mailbox
from syftd.transport.layout import PROFILE_NAME
from syftd.wire import codec, version
from syftd.wire import names as wire_names
from syftd.wire.messages import Change, Events, Limits, Proposal, StreamPosition, Verdict
from tests.sim.world import Site


def put(path: str, content: bytes, before: bytes | None = None) -> Change:
    """A change that makes `path` hold `content`."""
    base = None if before is None else Digest.of(before)
    return Change(RelPath(path), base, Digest.of(content), content)


def gone(path: str, before: bytes | None = None) -> Change:
    """A change that removes `path`."""
    return Change(RelPath(path), None if before is None else Digest.of(before), None)


def propose(
    sender: Site, owner: Site, changes: Iterable[Change], *, claims: Site | None = None, meant_for: Site | None = None,
    id: str | None = None, resync: bool = False,
) -> str:  # fmt: skip
    """Lays a proposal into the inbox that `sender` opened to `owner`; returns its id."""
    world = sender.world
    id = id or world.random.uuid()
    made_at = world.stamp() / 1e9
    proposal = Proposal(
        id, (claims or sender).email, (meant_for or owner).email, made_at, tuple(changes), resync=resync
    )
    box = mailbox.inbox(owner.email, sender.email)
    payload = codec.encode_proposal(proposal, extensions=True)
    sender.mailbox.put(box, wire_names.proposal_name(made_at, id), payload, private=True)
    return id


def tell(
    owner: Site, reader: Site, changes: Iterable[Change] = (), *, stream: StreamPosition | None = None,
    verdicts: Iterable[Verdict] = (), claims: Site | None = None,
) -> bytes:  # fmt: skip
    """Lays an envelope into the outbox that `reader` opened to `owner`; returns its bytes."""
    world = owner.world
    id = world.random.uuid()
    made_at = world.stamp() / 1e9
    events = Events(id, (claims or owner).email, made_at, tuple(changes), tuple(verdicts), stream)
    payload = codec.encode_events(events, extensions=True)
    box = mailbox.outbox(owner.email, reader.email)
    # Straight from the owner's own mailbox class, past whoever watches what the owner's engine sends.
    super(type(owner.mailbox), owner.mailbox).put(box, wire_names.events_name(made_at, id), payload, private=True)
    return payload


def understands(reader: Site, owner: Site, *extensions: str) -> None:
    """Makes `owner` see in `reader` a program with only these extensions."""
    known = frozenset(extensions)
    text = version.encode_version(CLIENT_VERSION, known, "2030-01-01T00:00:00Z")
    reader.mailbox.put(mailbox.profile(reader.email), PROFILE_NAME, text, private=False, replace=True)
    peer = contacts.get(owner.db, reader.email)
    assert peer is not None
    contacts.put(owner.db, peer._replace(extensions=known))


def lying(owner: Site, reader: Site) -> list[Events]:
    """What lies unread for a reader, in the order of writing."""
    box = mailbox.outbox(owner.email, reader.email)
    found = sorted(owner.world.hub.contents(box).items(), key=lambda item: float(item[0].split("_")[1]))
    return [codec.decode_events(payload, Limits()) for _, payload in found]


def pump_only(owner: Site) -> None:
    """Lets the owner do everything that is ready, while nobody else does anything."""
    for _ in range(1000):
        ready = owner.ready()
        if not ready:
            return
        ready[0]()
    raise AssertionError("it does not become quiet")


def let_see(owner: Site, seconds: float = 3.0) -> None:
    """The owner's daemon alone: time passes, the disk is looked at, what is due goes out."""
    world = owner.world
    world.clock.advance(seconds)
    owner.due()
    owner.scan()
    pump_only(owner)
    owner.poll()
    pump_only(owner)
    owner.due()
    pump_only(owner)
