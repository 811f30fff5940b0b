"""Becoming peers: a request, an answer, an end. Nobody who was not added or accepted by a person is ever talked to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from syftd.errors import Gone, ItemError, TransportError, UserError
from syftd.names import Email
from syftd.peers.births import Births, Marks, asks_again, births_of, by_owner, joined, remade, text_of
from syftd.state import contacts, messages, outbox, problems, streams, views
from syftd.sync.earlier import contact_began
from syftd.sync.mirror import has_root
from syftd.sync.parts import Parts
from syftd.sync.work import Failed, ProfileRead
from syftd.transport import mailbox
from syftd.transport.mailbox import Listing, Ref
from syftd.wire import codec, peers_file, version
from syftd.wire import names as wire_names
from syftd.wire.messages import EXTENSIONS, Events, Version

CLIENT_VERSION = "0.1.117"
"""The version of the existing network's client whose protocol we speak; peers there insist on it (WIRE 3.3)."""

_VERSION_SECONDS = 3600.0
"""How long a peer's version is taken for granted while nothing comes from the peer, and …"""
_VERSION_SECONDS_BUSY = 600.0
"""… while something does: a peer may have been upgraded."""


@dataclass
class _Errand:
    """Something to be done at the transports; `state` is running, failed or done."""

    what: str
    work: Callable[[], None]
    wanted: Callable[[], bool]
    state: str = "running"


class Pairing:
    """The states of peers, and the boxes that make them true on the transport."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self.accepted: Callable[[Email], None] = lambda peer: None
        """Called when a peer has become accepted and its version is known: it is a reader from now on."""
        self.ended: Callable[[Email], None] = lambda peer: None
        """Called when a peer is accepted no longer."""
        self.renewed: Callable[[Email], None] = lambda peer: None
        """Called when what lay unread for an accepted peer is gone, or could not be understood: tell everything anew."""
        self._reading: set[Email] = set()
        self._read_at: dict[Email, float] = {}
        self._readers: set[Email] = set()
        """Accepted peers that were announced as readers in this process."""
        self._opened: dict[str, dict[Email, Marks]] = {}
        self._errands: dict[str, _Errand] = {}
        self._published: tuple[Mapping[Email, str], frozenset[Email]] | None = None
        self._whole: dict[str, frozenset[Email]] = {}
        """The transports that have been listed whole, with the parties of whom the latest such listing is uncertain."""
        self._remade: dict[tuple[str, Email], tuple[Marks, frozenset[str]]] = {}
        """Boxes of accepted peers that were made anew, with the names of the letters that may be older than they are."""

    # -- what people ask for ---------------------------------------------------------------------------------------

    def add(self, email: Email) -> contacts.Peer:
        """Asks somebody to be a peer; accepts when they have asked already."""
        parts = self._parts
        if email == parts.me:
            raise UserError("that is you", "Name somebody else’s address.")
        known = contacts.get(parts.db, email)
        if known is not None and known.state in ("accepted", "requested_by_me"):
            return known
        if not parts.router.transports(email):
            raise UserError(
                f"no transport is set up that could reach {email}",
                "Add a [[transport]] to syftd.toml, then restart syftd.",
            )
        if known is not None and known.state == "requested_by_peer":
            return self.accept(email)
        born = self._born(email)
        # The other side would take the boxes of the contact that it has ended for nothing new, so they are made anew.
        anew = known is not None and known.state == "rejected"
        return self._become(email, "requested_by_me" if not born else "accepted", born, anew=anew)

    def accept(self, email: Email) -> contacts.Peer:
        """Says yes to a request; UserError while none has arrived."""
        parts = self._parts
        known = contacts.get(parts.db, email)
        if known is not None and known.state == "accepted":
            return known
        born = self._born(email)
        if known is None or known.state == "removed" or not born:
            raise UserError(
                f"no request from {email} has arrived yet",
                f"Ask them to run `syftd peers add {parts.me}`, or ask them yourself: `syftd peers add {email}`.",
            )
        return self._become(email, "accepted", born)

    def reject(self, email: Email) -> contacts.Peer:
        """Says no to a request; the requester learns that it was a no, and nothing else."""
        known = contacts.get(self._parts.db, email)
        if known is None or known.state not in ("requested_by_peer", "rejected"):
            raise UserError(f"there is no request from {email} to reject", "See `syftd peers list`.")
        self._say(email, "rejected")
        return self._become(email, "rejected", known.born, share=False)

    def remove(self, email: Email) -> contacts.Peer:
        """Ends a contact: boxes closed, nothing more sent or taken. Files that came from them stay where they are."""
        known = contacts.get(self._parts.db, email)
        if known is None or known.state == "removed":
            raise UserError(f"{email} is not a peer of yours", "See `syftd peers list`.")
        if known.state == "accepted":
            self._say(email, "removed")
        return self._become(email, "removed", self._tombstone(known), share=False)

    def _become(
        self, email: Email, state: contacts.PeerState, born: str, *, share: bool = True, anew: bool = False
    ) -> contacts.Peer:
        parts = self._parts
        known = contacts.get(parts.db, email)
        peer = contacts.Peer(
            email, state, parts.clock.now(), born, known.client_version if known else "",
            known.extensions if known else frozenset(), "",
        )  # fmt: skip
        was_accepted = known is not None and known.state == "accepted"
        self._forget_remade(email)
        with parts.db.commit():
            contacts.put(parts.db, peer)
            parts.note("peer", email, state=state, by=parts.me)
            if was_accepted and state != "accepted":
                self._stop(email)
            if state == "accepted" and not was_accepted:
                parts.db.set_meta(job_rules_due(email), "yes")
                parts.db.set_meta(contact_began(email), str(peer.since) if has_root(parts, email) else "")
            if state in ("accepted", "requested_by_me"):
                self._unsay(email)
        if share:
            self.open_boxes(email, anew=anew)
            self.read_profile(email)
        elif state == "removed":
            self._close_boxes(email)
        return peer

    def _stop(self, email: Email) -> None:
        """Inside a commit: nothing that was on its way goes out any more, except the word that the contact has ended."""
        parts = self._parts
        for row in outbox.events_to(parts.db, email):
            outbox.void(parts.db, row.id)
        for row in outbox.in_state(parts.db, "due"):
            if row.peer == email and row.kind == "proposal":
                outbox.drop(parts.db, row.id)
        views.drop_reader(parts.db, email)
        streams.drop_owner(parts.db, email)
        messages.drop_held(parts.db, email)
        problems.drop_halts(parts.db, email)
        self._readers.discard(email)
        self.ended(email)

    def _say(self, email: Email, standing: str) -> None:
        """Leaves a last word in the box that the peer opened to us."""
        parts = self._parts
        now = parts.clock.now()
        id = parts.random.uuid()
        word = Events(id, parts.me, now, (), standing=standing)  # type: ignore[arg-type]
        payload = codec.encode_events(word, extensions=True)
        with parts.db.commit():
            outbox.add(
                parts.db, email, "standing", mailbox.outbox(parts.me, email), wire_names.events_name(now, id), payload,
                private=parts.router.carries_private(email),
            )  # fmt: skip

    def _unsay(self, email: Email) -> None:
        """Inside a commit: a last word that was not read yet is the last one no more."""
        parts = self._parts
        for row in [*outbox.in_state(parts.db, "due"), *outbox.in_state(parts.db, "sent")]:
            if row.peer == email and row.kind == "standing":
                outbox.void(parts.db, row.id)

    def standing(self, email: Email, standing: str) -> None:
        """Inside a commit: a peer has said no to our request, or has ended the contact."""
        parts = self._parts
        peer = contacts.get(parts.db, email)
        if peer is None or peer.state not in ("requested_by_me", "accepted"):
            return
        words = "did not accept your request" if standing == "rejected" else "ended the contact"
        contacts.put(parts.db, peer._replace(state="rejected", since=parts.clock.now(), note=words))
        parts.note("peer", email, state="rejected", by=email)
        self._forget_remade(email)
        if peer.state == "accepted":
            self._stop(email)

    # -- boxes -----------------------------------------------------------------------------------------------------

    def open_boxes(self, email: Email, *, anew: bool = False) -> None:
        """Makes sure that our boxes for a peer are there; repeated at every start. `anew` removes the old ones first."""
        parts = self._parts
        own = (mailbox.inbox(email, parts.me), mailbox.outbox(email, parts.me))
        boxes = (*own, mailbox.blobs(parts.me))
        old = list(own) if anew else []

        def share() -> None:
            while old:
                for error in parts.router.unshare(email, old[-1]).values():
                    raise error
                old.pop()
            for box in boxes:
                errors = parts.router.share(email, box)
                for error in errors.values():
                    raise error

        self._until_done(f"opening the boxes for {email}", share, lambda: self._in(email, "accepted", "requested_by_me"))

    def _close_boxes(self, email: Email) -> None:
        parts = self._parts
        boxes = (mailbox.inbox(email, parts.me), mailbox.outbox(email, parts.me))

        def unshare() -> None:
            for box in boxes:
                for error in parts.router.unshare(email, box).values():
                    raise error

        self._until_done(f"closing the boxes for {email}", unshare, lambda: self._in(email, "removed"))

    def publish_profile(self) -> None:
        """Writes our version file to every transport."""
        parts = self._parts
        stamp = datetime.fromtimestamp(parts.clock.now(), UTC).replace(tzinfo=None).isoformat() + "Z"
        content = version.encode_version(CLIENT_VERSION, EXTENSIONS, stamp)

        def write() -> None:
            for error in parts.router.publish_profile(parts.me, content).values():
                raise error

        self._until_done("publishing the version file", write, lambda: True)

    def _publish_contacts(self) -> None:
        """Writes the list of contacts to where the network's programs keep it, when it is another than before."""
        parts = self._parts
        if not parts.router.keeps_contacts:
            return
        peers = contacts.all_peers(parts.db)
        # Of those who only asked the network's programs write nothing down either.
        told = ("accepted", "rejected", "requested_by_me")
        states: dict[Email, str] = {peer.email: peer.state for peer in peers if peer.state in told}
        ended = frozenset(contacts.in_state(parts.db, "removed", "requested_by_peer"))
        if self._published == (states, ended):
            return
        self._published = (states, ended)

        def write() -> None:
            def fill(before: bytes) -> bytes:
                return peers_file.encode_peers(states, ended, before)

            for error in parts.router.publish_contacts(parts.me, peers_file.PEERS_FILE, fill).values():
                raise error

        self._until_done("publishing the list of contacts", write, lambda: self._published == (states, ended))

    def _in(self, email: Email, *states: contacts.PeerState) -> bool:
        peer = contacts.get(self._parts.db, email)
        return peer is not None and peer.state in states

    def _until_done(self, what: str, work: Callable[[], None], wanted: Callable[[], bool]) -> None:
        """Does `work` on the pool; when it fails, again at every tick until it succeeds or is not `wanted` any more."""
        errand = _Errand(what, work, wanted)
        self._errands[what] = errand
        self._run(errand)

    def _run(self, errand: _Errand) -> None:
        parts = self._parts
        errand.state = "running"

        def done(_: None, error: BaseException | None) -> None:
            errand.state = "done" if error is None else "failed"
            if error is not None:
                parts.post(Failed(errand.what, error))

        parts.pool.submit(errand.work, done)

    def _run_again(self) -> None:
        for errand in list(self._errands.values()):
            if errand.state == "done" or (errand.state == "failed" and not errand.wanted()):
                del self._errands[errand.what]
                self._parts.solved("failed", errand.what)
            elif errand.state == "failed":
                self._run(errand)

    def read_profile(self, email: Email) -> None:
        """Reads a peer's version file on the pool; the answer comes as ProfileRead."""
        parts = self._parts
        if email in self._reading:
            return
        self._reading.add(email)
        self._read_at[email] = parts.clock.monotonic()

        def read() -> Version | None:
            try:
                return version.decode_version(parts.router.profile(email))
            except (Gone, ItemError):
                return None

        def done(found: Version | None, error: BaseException | None) -> None:
            parts.post(ProfileRead(email, found))
            if error is not None and not isinstance(error, TransportError):
                parts.post(Failed(f"reading the version file of {email}", error))

        parts.pool.submit(read, done)

    def profile_read(self, work: ProfileRead) -> None:
        """Takes a peer's version; an accepted peer whose version is known becomes a reader."""
        parts = self._parts
        self._reading.discard(work.peer)
        peer = contacts.get(parts.db, work.peer)
        if peer is None or work.version is None:
            return
        known = (peer.client_version, peer.extensions)
        changed = known != (work.version.client_version, work.version.extensions)
        if changed:
            with parts.db.commit():
                contacts.put(
                    parts.db,
                    peer._replace(client_version=work.version.client_version, extensions=work.version.extensions),
                )
        if peer.state != "accepted":
            return
        if changed or peer.email not in self._readers or parts.db.meta(job_rules_due(peer.email)):
            self.accepted(peer.email)
            self._readers.add(peer.email)
        if peer.client_version and "stream" in work.version.extensions - peer.extensions:
            # What it was told before it was upgraded had no numbers; a stream begins with the first.
            self.renewed(peer.email)

    def refresh(self) -> None:
        """Asks for versions that are not known yet or were read long ago, and does again what failed; called by a tick."""
        self._run_again()
        self._publish_contacts()
        for peer in contacts.all_peers(self._parts.db):
            if peer.state == "accepted" and (not peer.client_version or self._is_old(peer.email, _VERSION_SECONDS)):
                self.read_profile(peer.email)

    def _is_old(self, email: Email, seconds: float) -> bool:
        """Whether a peer's version was read longer ago than that."""
        return self._parts.clock.monotonic() - self._read_at.get(email, float("-inf")) >= seconds

    # -- what the transports show ----------------------------------------------------------------------------------

    def listed(self, transport: str, listing: Listing) -> None:
        """Takes the boxes that others have opened to us: requests, answers, and (from a whole listing) ends."""
        parts = self._parts
        for email in {ref.box.other(parts.me) for ref in listing.refs if _for_me(ref, parts.me)}:
            if email in self._readers and self._is_old(email, _VERSION_SECONDS_BUSY):
                self.read_profile(email)
        opened = by_owner(listing.opened)
        if not listing.complete:
            self._opened_since(transport, opened)
            return
        # Of whom the listing does not tell everything, what was known before stays so.
        before = self._opened.get(transport, {})
        self._opened[transport] = {email: marks for email, marks in before.items() if email in listing.incomplete}
        self._opened_since(transport, {email: marks for email, marks in opened.items() if email in listing.incomplete})
        whole = {email: marks for email, marks in opened.items() if email not in listing.incomplete}
        self._opened[transport].update(whole)
        self._whole[transport] = listing.incomplete
        for email, marks in whole.items():
            self._seen(transport, email, marks, listing)
            if email in before and marks != before[email]:
                # A box that was missing is open now: what could not be put into it need not wait out its pause.
                outbox.wake(parts.db, email)
        for peer in contacts.all_peers(parts.db):
            if peer.state == "requested_by_peer" and self._closed(peer):
                with parts.db.commit():
                    contacts.put(parts.db, peer._replace(state="removed", born=""))

    def _seen(self, transport: str, email: Email, marks: Marks, listing: Listing) -> None:
        """Takes the boxes that one person has open to us on one transport, as a whole listing showed them."""
        peer = contacts.get(self._parts.db, email)
        if peer is None:
            self._asked(email)
            return
        births = births_of(peer.born, self._parts.router.names)
        if peer.state == "requested_by_me":
            self._become(email, "accepted", self._born(email))
            return
        if peer.state == "removed" or (peer.state == "rejected" and peer.note):
            if asks_again(births, transport, marks):
                self._asked(email)
                return
        elif peer.state == "rejected":
            return
        remade_now = peer.state == "accepted" and remade(births.get(transport, {}), marks)
        if remade_now and not self._had_its_effect(transport, peer, births, listing):
            return
        self._remember(peer, joined(births, transport, marks))

    def _had_its_effect(self, transport: str, peer: contacts.Peer, births: Births, listing: Listing) -> bool:
        """An accepted peer has made boxes anew. What lay unread in them is told again at once. The peer table keeps the
        old births until the letters that may be older than the new boxes are read: with a last word among them the
        contact has ended, and the new boxes are a new request."""
        key, marks = (transport, peer.email), self._opened[transport][peer.email]
        letters = frozenset(ref.name for ref in listing.refs if ref.box == mailbox.outbox(peer.email, self._parts.me))
        known = self._remade.get(key)
        if known is None or known[0] != marks:
            known = self._remade[key] = (marks, letters)
            if remade(births.get(transport, {}), marks, ("outbox",)):
                self.renewed(peer.email)
            outbox.wake(self._parts.db, peer.email)
        if known[1] & letters:
            return False
        del self._remade[key]
        return True

    def _remember(self, peer: contacts.Peer, births: Births) -> None:
        """Writes down the births that differ from what is written, and nothing otherwise."""
        born = text_of(births)
        if born != peer.born:
            with self._parts.db.commit():
                contacts.put(self._parts.db, peer._replace(born=born))

    def _forget_remade(self, email: Email) -> None:
        self._remade = {key: known for key, known in self._remade.items() if key[1] != email}

    def _opened_since(self, transport: str, opened: dict[Email, Marks]) -> None:
        """What has been opened since the last listing. It may be one box of two, so it says nothing about boxes that
        were closed and made anew: only strangers and those whom we asked are heard before the next whole listing."""
        known = self._opened.setdefault(transport, {})
        # Read together: a transport may list everybody's boxes at each poll.
        states = contacts.states(self._parts.db) if opened else {}
        for email, marks in opened.items():
            known.setdefault(email, marks)
            state = states.get(email)
            if state is None:
                self._asked(email)
            elif state == "requested_by_me":
                self._become(email, "accepted", self._born(email))

    def _asked(self, email: Email) -> None:
        parts = self._parts
        born = self._born(email)
        with parts.db.commit():
            contacts.put(
                parts.db, contacts.Peer(email, "requested_by_peer", parts.clock.now(), born, "", frozenset(), "")
            )
            parts.note("peer", email, state="requested_by_peer", by=email)

    def _born(self, email: Email) -> str:
        """What the peer's boxes are known by, '' when none is open to us."""
        return text_of({name: opened[email] for name, opened in self._opened.items() if email in opened})

    def _closed(self, peer: contacts.Peer) -> bool:
        """Whether none of the peer's boxes is open to us any more. A transport that could not be looked at since we
        started, or not at this peer's boxes, may still have them."""
        if any(peer.email in opened for opened in self._opened.values()):
            return False
        names = births_of(peer.born, self._parts.router.names) or self._parts.router.names
        return all(name in self._whole and peer.email not in self._whole[name] for name in names)

    def _tombstone(self, peer: contacts.Peer) -> str:
        """The births by which the boxes of an ended contact are told from those of a new request."""
        births = births_of(peer.born, self._parts.router.names)
        for name, uncertain in self._whole.items():
            if peer.email not in uncertain:
                births = joined(births, name, self._opened[name].get(peer.email, {}))
        return text_of(births)

    def start(self) -> None:
        """At start: our version file and our boxes, again, since both are safe to repeat."""
        self.publish_profile()
        for peer in contacts.all_peers(self._parts.db):
            if peer.state in ("accepted", "requested_by_me"):
                self.open_boxes(peer.email)
                self.read_profile(peer.email)


def _for_me(ref: Ref, me: Email) -> bool:
    """Whether an object was written by the other party."""
    return ref.box.datasite == me if ref.box.kind == "inbox" else ref.box.peer == me


def job_rules_due(email: Email) -> str:
    """Where the database notes that a peer was accepted by a person and that the permission files for its jobs are still
    to be written: once, since its owner may take them away again."""
    return f"job-rules-due:{email}"
