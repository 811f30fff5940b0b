"""The hostile peer. She was accepted like anybody else; now she writes her objects into the shared folder by hand.

In a shared folder a box is a directory, and whoever may write there may write anything: well-formed messages, garbage,
links, whole trees. Eve's honest daemon made the boxes and was stopped; this class has its place.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from syftd.names import Digest, Email
from syftd.transport import layout, mailbox
from syftd.wire import codec
from syftd.wire import names as wire_names
from syftd.wire.messages import Limits
from tests.unit.wire import forge

LIMITS = Limits()


@dataclass
class Eve:
    """Writes into the boxes of `email` in the folder `root`, and reads what `owner` answers."""

    root: Path
    email: str
    owner: str
    verdicts: dict[str, str] = field(default_factory=dict)
    """Outcomes that were told, by the id of the proposal."""
    asked_anew: int = 0
    """How often the owner has asked for Eve's whole stream."""
    epoch: str = field(default_factory=lambda: "eve-" + uuid.uuid4().hex[:8])
    sequence: int = 0
    previous: str | None = None
    _latest: float = 0.0

    # -- where ------------------------------------------------------------------------------------------------------

    @property
    def inbox(self) -> Path:
        """Where she proposes to the owner."""
        return self._box(mailbox.inbox(Email(self.owner), Email(self.email)))

    @property
    def outbox(self) -> Path:
        """Where she tells the owner of her own datasite."""
        return self._box(mailbox.outbox(Email(self.email), Email(self.owner)))

    @property
    def told(self) -> Path:
        """Where the owner tells her."""
        return self._box(mailbox.outbox(Email(self.owner), Email(self.email)))

    @property
    def asked(self) -> Path:
        """Where the owner proposes to her, and asks for her stream anew."""
        return self._box(mailbox.inbox(Email(self.email), Email(self.owner)))

    def _box(self, box: mailbox.Box) -> Path:
        return self.root / box.owner / layout.folder_name(box)

    # -- objects ----------------------------------------------------------------------------------------------------

    def now(self) -> float:
        """The time, never the same twice."""
        self._latest = max(time.time(), self._latest + 0.001)
        return self._latest

    def drop(self, folder: Path, name: str, content: bytes) -> Path:
        """Lets an object appear whole."""
        scratch = folder.parent / f".eve-{uuid.uuid4().hex}"
        scratch.write_bytes(content)
        return scratch.replace(folder / name)

    def raw(self, content: bytes, *, at: float | None = None) -> Path:
        """Bytes under the name of a proposal."""
        return self.drop(self.inbox, wire_names.proposal_name(at or self.now(), str(uuid.uuid4())), content)

    def raw_events(self, content: bytes) -> Path:
        """Bytes under the name of an events message."""
        return self.drop(self.outbox, wire_names.events_name(self.now(), str(uuid.uuid4())), content)

    def change(self, path: Any, content: Any = "eve was here", **fields: Any) -> dict[str, Any]:
        """One change of the owner's datasite, as JSON."""
        return forge.change_json(path, content, datasite_email=self.owner) | fields

    def proposal(self, *changes: Any, at: float | None = None, uid: str = "", **fields: Any) -> tuple[str, dict[str, Any]]:
        """A proposal's object name and its JSON; without `fields` it is one that an honest peer could have made."""
        at, uid = at or self.now(), uid or str(uuid.uuid4())
        message = forge.proposal_json(
            *changes, sender_email=self.email, id=uid, message_filename={"submitted_timestamp": at, "uid": uid}
        )
        return wire_names.proposal_name(at, uid), message | fields

    def propose(self, *changes: Any, at: float | None = None, uid: str = "", **fields: Any) -> Path:
        """Sends a proposal."""
        name, message = self.proposal(*changes, at=at, uid=uid, **fields)
        return self.drop(self.inbox, name, forge.packed(message))

    def submit(self, name: str, **contents: str) -> Path:
        """Proposes a job folder of hers; the names of its files are written with `_` for `.`."""
        folder = f"app_data/job/inbox/{self.email}/{name}"
        return self.propose(
            *(self.change(f"{folder}/{spelt.replace('_', '.')}", content) for spelt, content in contents.items())
        )

    def told_change(self, path: Any, content: Any = "eve's own", **fields: Any) -> dict[str, Any]:
        """One change of Eve's own datasite, as JSON."""
        return forge.change_json(path, content, datasite_email=self.email, timestamp=6.5) | fields

    def envelope(self, *changes: Any, sequence: int | None = None, at: float | None = None, **beyond: Any) -> Path:
        """Sends the next envelope of her stream, or the one that is said to be `sequence`; `beyond` replaces keys of
        the extension."""
        at, uid = at or self.now(), str(uuid.uuid4())
        number = self.sequence + 1 if sequence is None else sequence
        stream = {"epoch": self.epoch, "sequence": number, "previous": self.previous, "complete": number == 1}
        message = forge.events_json(*changes, message_filepath={"id": uid, "timestamp": at, "extension": ".tar.gz"})
        message["events"] = list(changes)
        message["syftd"] = {"owner": self.email, "stream": stream} | beyond
        content = forge.packed(message)
        if sequence is None:
            self.sequence, self.previous = number, str(Digest.of(content))
        return self.drop(self.outbox, wire_names.events_name(at, uid), content)

    def begin_anew(self) -> None:
        """A new epoch, as after a lost database: the next envelope is the first of its stream."""
        self.epoch, self.sequence, self.previous = "eve-" + uuid.uuid4().hex[:8], 0, None

    # -- answers ----------------------------------------------------------------------------------------------------

    def read(self) -> None:
        """Takes everything that the owner has told, as an honest reader does."""
        for path in sorted(self.told.glob("syfteventsmessagev3_*")):
            for verdict in codec.decode_events(path.read_bytes(), LIMITS).verdicts:
                assert self.verdicts.setdefault(verdict.proposal, verdict.outcome) == verdict.outcome, "two verdicts"
            path.unlink()
        for path in sorted(self.asked.glob("msgv2_*")):
            self.asked_anew += codec.decode_proposal(path.read_bytes(), LIMITS).resync
            path.unlink()

    def lying(self) -> Iterator[Path]:
        """Every object of hers that nobody has taken yet."""
        for folder in (self.inbox, self.outbox):
            yield from (path for path in folder.iterdir() if wire_names.parse(path.name) is not None)


def uid_of(path: Path) -> str:
    """The message id that an object's name gives."""
    parsed = wire_names.parse(path.name)
    assert parsed is not None
    return parsed.uid
