"""A peer who was accepted and means harm: she writes whatever she likes into the boxes that are hers."""

from __future__ import annotations

import gzip
import random
from collections.abc import Callable
from typing import Any

from syftd.errors import TransportError
from syftd.names import Digest, Email
from syftd.transport.mailbox import Box, blobs, inbox, outbox, profile
from syftd.transport.memory import MemoryMailbox
from syftd.wire import names as wire_names
from syftd.wire.submission import time_text
from syftd.wire.version import VERSION_FILE, encode_version
from tests.sim.world import Site, World
from tests.unit.wire import forge

EVIL = b"mallory was here"


class Mallory:
    """Speaks to everybody through a mailbox of her own, and has no engine."""

    email = Email("mallory@example.org")

    def __init__(self, world: World) -> None:
        self.world = world
        self.mailbox = MemoryMailbox(world.hub, self.email)
        self.sent: set[tuple[Email, str]] = set()
        """(datasite, content digest) of what she proposed in earnest, in her own channel."""
        self.mailbox.share(profile(self.email))
        told = encode_version("0.1.117", ("blobs", "stream", "verdicts"), time_text(world.clock.now()))
        self.mailbox.put(profile(self.email), VERSION_FILE, told, private=False, replace=True)
        self.mailbox.share(blobs(self.email))

    def ask(self, site: Site) -> None:
        """Asks to be a peer of somebody."""
        self.mailbox.share(inbox(site.email, self.email))
        self.mailbox.share(outbox(site.email, self.email))

    def act(self, site: Site, chance: random.Random) -> str:
        """Does one thing to somebody; returns what."""
        tricks: list[Callable[[Site, random.Random], str]] = [
            self._forge, self._forge, self._forge, self._climb, self._garbage, self._bomb, self._repeat, self._steal,
            self._lie, self._junk_json, self._drop, self._speak_for_another, self._mislead,
        ]  # fmt: skip
        return chance.choice(tricks)(site, chance)

    # -- proposals -------------------------------------------------------------------------------------------------

    def _send(self, box: Box, name: str, payload: bytes) -> None:
        try:
            self.mailbox.put(box, name, payload, private=True)
        except TransportError:
            return  # Her boxes were closed, or the name is taken.

    def _propose(self, site: Site, chance: random.Random, path: str, content: str, **fields: Any) -> None:
        id = self.world.random.uuid()
        change = forge.change_json(
            path, content, id=id, datasite_email=str(site.email), new_hash=Digest.of(content.encode())
        ) | fields.pop("change", {})
        named = {"submitted_timestamp": self.world.clock.now(), "uid": id}
        ours = {"id": id, "sender_email": str(self.email), "message_filename": named}
        message = forge.proposal_json(change, **ours | fields)
        name = wire_names.proposal_name(self.world.clock.now(), id)
        self.sent.add((site.email, Digest.of(content.encode())))
        self._send(inbox(site.email, self.email), name, forge.packed(message))

    def _evil(self, chance: random.Random) -> str:
        return f"{EVIL.decode()} {chance.randrange(1 << 30)}"

    def _forge(self, site: Site, chance: random.Random) -> str:
        other = chance.choice(list(self.world.sites))
        path = chance.choice(("drop/a.txt", f"drop/forged-{chance.randrange(9)}.txt"))
        self._propose(site, chance, path, self._evil(chance), sender_email=str(other))
        return f"forges a proposal of {other}"

    def _climb(self, site: Site, chance: random.Random) -> str:
        path = chance.choice((
            "../../escaped.txt", "/escaped.txt", "drop/../../escaped.txt", "drop/./a.txt", "drop//a.txt", "private/a.txt",
            "drop\\..\\a.txt", "syft.pub.yaml", "drop/syft.pub.yaml", ".syft/datasite.json", "drop/a\x00.txt", "secret/a.txt",
        ))  # fmt: skip
        self._propose(site, chance, path, self._evil(chance))
        return f"proposes {path!r}"

    def _garbage(self, site: Site, chance: random.Random) -> str:
        box = inbox(site.email, self.email)
        name = wire_names.proposal_name(self.world.clock.now(), self.world.random.uuid())
        self._send(box, name, chance.randbytes(chance.randint(0, 200)))
        return "sends garbage"

    def _bomb(self, site: Site, chance: random.Random) -> str:
        name = wire_names.proposal_name(self.world.clock.now(), self.world.random.uuid())
        self._send(inbox(site.email, self.email), name, gzip.compress(b"\0" * 3_000_000, 1))
        return "sends a bomb"

    def _repeat(self, site: Site, chance: random.Random) -> str:
        """Repeats under other names what lay in any inbox."""
        for box in self.world.hub.boxes():
            for name, payload in self.world.hub.contents(box).items():
                if box.kind == "inbox" and box.peer != self.email:
                    self._send(inbox(site.email, self.email), name, payload)
                    return f"repeats {name} of {box.peer}"
        return "finds nothing to repeat"

    def _steal(self, site: Site, chance: random.Random) -> str:
        self._propose(site, chance, "team/a.txt", self._evil(chance), change={"old_hash": str(Digest.of(b"guess"))})
        return "proposes on a guessed base"

    def _lie(self, site: Site, chance: random.Random) -> str:
        self._propose(site, chance, "drop/a.txt", self._evil(chance), change={"new_hash": str(Digest.of(b"other"))})
        return "lies about a digest"

    def _junk_json(self, site: Site, chance: random.Random) -> str:
        name = wire_names.proposal_name(self.world.clock.now(), self.world.random.uuid())
        junk = chance.choice((b"[" * 5000, b'{"proposed_file_changes": 3}', b"null", b'{"id": 1}', b"\xff\xfe"))
        self._send(inbox(site.email, self.email), name, forge.packed(junk))
        return "sends junk"

    def _drop(self, site: Site, chance: random.Random) -> str:
        """Does what she may: nothing of it may be refused only because of who she is."""
        self._propose(site, chance, f"drop/m{chance.randrange(3)}.txt", self._evil(chance))
        return "proposes in earnest"

    # -- events ----------------------------------------------------------------------------------------------------

    def _events(self, site: Site, change: dict[str, Any], **fields: Any) -> None:
        id = self.world.random.uuid()
        now = self.world.clock.now()
        message = forge.events_json(
            change | {"timestamp": now}, message_filepath={"id": id, "timestamp": now, "extension": ".tar.gz"}, **fields
        )
        # The outbox of her datasite for somebody is theirs; she may write into it as the datasite's owner.
        self._send(outbox(self.email, site.email), wire_names.events_name(now, id), forge.packed(message))

    def _speak_for_another(self, site: Site, chance: random.Random) -> str:
        other = chance.choice(list(self.world.sites))
        content = self._evil(chance)
        self._events(
            site, forge.change_json("public/a.txt", content, datasite_email=str(other), new_hash=Digest.of(content.encode()))
        )
        return f"tells what {other} is said to have"

    def _mislead(self, site: Site, chance: random.Random) -> str:
        content = self._evil(chance)
        change = forge.change_json(
            "public/a.txt", content, datasite_email=str(self.email), new_hash=Digest.of(content.encode())
        )
        position = {
            "epoch": chance.choice(("e1", "e2")), "sequence": chance.choice((1, 2, 7, 10**6, 10**12)),
            "previous": None, "voided": chance.choice(([], [1, 2], [5])), "complete": chance.random() < 0.5,
        }  # fmt: skip
        self._events(site, change, syftd={"owner": str(self.email), "stream": position})
        return "tells a stream that does not fit"
