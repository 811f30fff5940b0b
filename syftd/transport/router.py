"""Chooses among a peer's transports: in the owner's order, past those that fail, and never the same object twice.

The router knows for a while which transport took an object, or may have taken it, and brings a repeated put there
first. That memory is a courtesy to the network; what makes an object count once is that receivers know it by its name.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import Final

from syftd.errors import AuthNeeded, Exists, Gone, Permanent, Quota, Transient, TransportError
from syftd.names import Email
from syftd.seams import Clock, Random
from syftd.transport.circuit import Circuit, State, try_order, verdict
from syftd.transport.layout import PROFILE_NAME
from syftd.transport.mailbox import Box, Capabilities, Listing, Mailbox, Ref, Watch, blobs, profile

REMEMBERED: Final = 10_000
"""For so many objects the router knows where they went."""

Key = tuple[Box, str]


@dataclass(frozen=True, slots=True)
class Health:
    """How a transport fares, for `status`. `next_try` is in seconds since the epoch, None when it is not paused; `notes`
    is what else people may want to know about it."""

    name: str
    state: State
    error: str
    remedy: str
    next_try: float | None
    notes: tuple[str, ...] = ()


class _Watches:
    """Several watches as one."""

    def __init__(self, watches: Sequence[Watch]) -> None:
        self._watches = watches

    def close(self) -> None:
        for watch in self._watches:
            watch.close()


class Router:
    """All transports of one owner behind one door; safe to use from any thread.

    `order` gives, for a peer, the names of the transports to use, best first. A transport that is not in a peer's order
    is not used for that peer in either direction: the owner may have had a reason to leave it out.
    """

    def __init__(
        self,
        mailboxes: Sequence[Mailbox],
        clock: Clock,
        random: Random,
        order: Callable[[Email], Sequence[str]],
    ) -> None:
        self._mailboxes = {mailbox.name: mailbox for mailbox in mailboxes}
        if len(self._mailboxes) != len(mailboxes):
            raise ValueError("two transports have the same name")
        self._clock = clock
        self._random = random
        self._order = order
        self._lock = Lock()
        self._circuits = {name: Circuit() for name in self._mailboxes}
        self._bound: OrderedDict[Key, str] = OrderedDict()
        """The transport that has an object, or may have it since its answer was lost."""

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all transports."""
        return tuple(self._mailboxes)

    def capabilities(self, name: str) -> Capabilities:
        """What the transport `name` can do."""
        return self._mailboxes[name].capabilities

    def transports(self, peer: Email) -> tuple[str, ...]:
        """The names of the peer's transports that exist here, best first, each once."""
        return tuple(name for name in dict.fromkeys(self._order(peer)) if name in self._mailboxes)

    def carries_private(self, peer: Email) -> bool:
        """Whether any of the peer's transports may carry what not everybody may read."""
        return any(self._mailboxes[name].capabilities.carries_private for name in self.transports(peer))

    def vouches(self, name: str) -> bool:
        """Whether what lies on the transport `name` was written by the person whose channel it lies in: the service says
        who wrote it, or the owner has declared that everybody who can write there is trusted."""
        mailbox = self._mailboxes.get(name)
        return mailbox is not None and (
            mailbox.capabilities.authenticates_sender or mailbox.capabilities.carries_private
        )

    # -- moving objects ---------------------------------------------------------------------------------------------

    def put(self, peer: Email, box: Box, name: str, content: bytes | memoryview, *, private: bool) -> tuple[str, Ref]:
        """Stores an object on the first of the peer's transports that takes it; returns that transport's name.

        Raises the most hopeful of their errors when none does: Transient or Quota mean that trying again makes sense,
        Exists that other bytes have the name already.
        """
        key = (box, name)
        with self._lock:
            bound = self._bound.get(key)

        def store(mailbox: Mailbox) -> Ref:
            most = mailbox.capabilities.max_object
            if len(content) > most:
                raise Permanent(f"{name} has {len(content)} bytes; {mailbox.name} takes {most} at most")
            try:
                ref = mailbox.put(box, name, content, private=private)
            except Transient:
                # It may be there all the same: the answer can be what was lost.
                self._bind(key, mailbox.name, sure=False)
                raise
            self._bind(key, mailbox.name, sure=True)
            return ref

        return self._first(peer, try_order(self.transports(peer), bound), store)

    def admit(self, peer: Email, me: Email, chunks: Sequence[str]) -> None:
        """Lets a peer read chunks of ours where that peer will look for them: on the first transport that has them all."""
        errors: list[TransportError] = []
        for name in self.transports(peer):
            try:
                with self._attempt(name) as mailbox:
                    mailbox.admit(blobs(me), chunks, peer)
                return
            except TransportError as error:
                errors.append(error)
        raise verdict(errors) if errors else Permanent(f"no transport is set up for {peer}")

    def dismiss(self, peer: Email, me: Email, chunks: Sequence[str]) -> dict[str, TransportError]:
        """Takes back from a peer what `admit` has given, wherever it lies; returns the errors of the transports where that
        failed."""
        errors: dict[str, TransportError] = {}
        for name in self._mailboxes:
            self._tried(name, lambda mailbox: mailbox.dismiss(blobs(me), chunks, peer), errors)
        return errors

    def list(self, peers: frozenset[Email], cursors: Mapping[str, str]) -> dict[str, Listing | TransportError]:
        """What every transport has for us, or why it does not say. `cursors` by transport, missing ones begin anew."""
        found: dict[str, Listing | TransportError] = {}
        for name in self._mailboxes:
            try:
                found[name] = self.poll(name, peers, cursors.get(name, ""))
            except TransportError as error:
                found[name] = error
        return found

    def poll(self, name: str, peers: frozenset[Email], cursor: str) -> Listing:
        """What one transport has for us from those of `peers` who use it, and the boxes opened to us there."""
        using = frozenset(peer for peer in peers if name in self.transports(peer))
        with self._attempt(name) as mailbox:
            return mailbox.list(cursor, using)

    def get(self, refs: Sequence[Ref], offset: int = 0, length: int | None = None) -> bytes:
        """The bytes of an object that lies at each of `refs`, from the first transport that gives them."""
        by_name = {ref.transport: ref for ref in refs if ref.transport in self._mailboxes}
        if not by_name:
            raise Permanent("none of the transports that hold this object is set up here")
        errors: list[TransportError] = []
        for name, ref in by_name.items():
            try:
                with self._attempt(name) as mailbox:
                    return mailbox.get(ref, offset, length)
            except TransportError as error:
                errors.append(error)
        raise verdict(errors)

    def refs(self, peer: Email, box: Box, name: str) -> tuple[Ref, ...]:
        """Where an object of known name would lie on the peer's transports: blobs and profiles are found like this."""
        return tuple(Ref(box, name, -1, transport) for transport in self.transports(peer))

    def remove(self, refs: Iterable[Ref]) -> dict[str, TransportError]:
        """Removes an object wherever it lies; returns the errors of the transports where that failed."""
        errors: dict[str, TransportError] = {}
        for ref in refs:
            if ref.transport not in self._mailboxes:
                continue  # Set up no more; what lies there is out of our reach and out of our listings.
            try:
                with self._attempt(ref.transport) as mailbox:
                    mailbox.remove(ref)
            except TransportError as error:
                errors[ref.transport] = error
        return errors

    # -- boxes and profiles -----------------------------------------------------------------------------------------

    def share(self, peer: Email, box: Box) -> dict[str, TransportError]:
        """Opens a box of ours on all of the peer's transports; returns the errors of those where that failed."""
        errors: dict[str, TransportError] = {}
        for name in self.transports(peer):
            self._tried(name, lambda mailbox: mailbox.share(box), errors)
        return errors

    def unshare(self, peer: Email, box: Box) -> dict[str, TransportError]:
        """Closes a box of ours on all of the peer's transports; returns the errors of those where that failed."""
        errors: dict[str, TransportError] = {}
        for name in self.transports(peer):
            self._tried(name, lambda mailbox: mailbox.unshare(box), errors)
        with self._lock:
            # What was in the box is gone: the same object put into a new box of that name is a new one.
            for key in [key for key in self._bound if key[0] == box]:
                del self._bound[key]
        return errors

    def profile(self, peer: Email) -> bytes:
        """The peer's version file. Raises Gone when there is none on any of the transports."""
        refs = self.refs(peer, profile(peer), PROFILE_NAME)
        return self.get(refs)

    def publish_profile(self, me: Email, content: bytes) -> dict[str, TransportError]:
        """Writes our version file to every transport; returns the errors of those where that failed."""
        errors: dict[str, TransportError] = {}

        def write(mailbox: Mailbox) -> None:
            mailbox.share(profile(me))
            mailbox.put(profile(me), PROFILE_NAME, content, private=False, replace=True)

        for name in self._mailboxes:
            self._tried(name, write, errors)
        return errors

    @property
    def keeps_contacts(self) -> bool:
        """Whether any transport keeps the list of contacts."""
        return any(mailbox.capabilities.keeps_contacts for mailbox in self._mailboxes.values())

    def publish_contacts(self, me: Email, name: str, fill: Callable[[bytes], bytes]) -> dict[str, TransportError]:
        """Writes our list of contacts where the network's programs keep it; `fill` makes it from what is there (b"" when
        nothing is). Returns the errors of the transports where that failed."""
        errors: dict[str, TransportError] = {}

        def write(mailbox: Mailbox) -> None:
            if not mailbox.capabilities.keeps_contacts:
                return
            try:
                before = mailbox.get(Ref(profile(me), name, -1, mailbox.name))
            except Gone:
                before = b""
            content = fill(before)
            if content != before:
                mailbox.share(profile(me))
                mailbox.put(profile(me), name, content, private=True, replace=True)

        for transport in self._mailboxes:
            self._tried(transport, write, errors)
        return errors

    # -- life -------------------------------------------------------------------------------------------------------

    def watch(self, wake: Callable[[], None]) -> Watch | None:
        """Starts every watch there is; None when no transport can push. Polling goes on in any case."""
        watches = []
        for name in self._mailboxes:
            try:
                with self._attempt(name) as mailbox:
                    started = mailbox.watch(wake)
            except TransportError:
                continue  # `health` has the error, and the polls, which go on, are what we rely on.
            if started is not None:
                watches.append(started)
        return _Watches(watches) if watches else None

    def health(self) -> tuple[Health, ...]:
        """How each transport fares, in the order in which they were given."""
        monotonic, now = self._clock.monotonic(), self._clock.now()
        with self._lock:
            circuits = dict(self._circuits)
        return tuple(
            Health(
                name,
                circuit.state,
                circuit.error,
                circuit.remedy,
                now + max(0.0, circuit.until - monotonic) if circuit.paused else None,
                self._mailboxes[name].notes,
            )
            for name, circuit in circuits.items()
        )

    def retry(self, name: str) -> None:
        """Ends the pause of a transport: a person has logged in or mounted it."""
        with self._lock:
            self._circuits[name] = self._circuits[name].hastened()

    def close(self) -> None:
        """Closes all transports."""
        for mailbox in self._mailboxes.values():
            mailbox.close()

    # -- attempts ---------------------------------------------------------------------------------------------------

    def _first(self, peer: Email, names: tuple[str, ...], store: Callable[[Mailbox], Ref]) -> tuple[str, Ref]:
        if not names:
            raise Permanent(
                f"no transport is set up for {peer}", f"Name one in syftd.toml, or use one that {peer} uses."
            )
        errors: list[TransportError] = []
        for name in names:
            try:
                with self._attempt(name) as mailbox:
                    return name, store(mailbox)
            except Exists:
                # The name is taken by other bytes: elsewhere they would become two messages of one name.
                raise
            except TransportError as error:
                errors.append(error)
        raise verdict(errors)

    def _tried(self, name: str, action: Callable[[Mailbox], None], errors: dict[str, TransportError]) -> None:
        try:
            with self._attempt(name) as mailbox:
                action(mailbox)
        except TransportError as error:
            errors[name] = error

    @contextmanager
    def _attempt(self, name: str) -> Iterator[Mailbox]:
        """Lets the block use a transport if its health permits, and learns from how the block ends."""
        now = self._clock.monotonic()
        with self._lock:
            circuit = self._circuits[name]
            permitted = circuit.permits(now)
            if permitted:
                self._circuits[name] = circuit.started()
        if not permitted:
            # The error that began the pause keeps its words; what is new is when to come again.
            if circuit.state == "login":
                raise AuthNeeded(circuit.error, circuit.remedy)
            raise Quota(f"{name} is paused: {circuit.error}", circuit.remedy, after=max(1.0, circuit.until - now))
        try:
            yield self._mailboxes[name]
        except TransportError as error:
            ended, chance = self._clock.monotonic(), self._random.uniform(0.0, 1.0)
            with self._lock:
                self._circuits[name] = self._circuits[name].failed(error, now, ended, chance)
            raise
        except BaseException:
            with self._lock:
                self._circuits[name] = self._circuits[name].abandoned(now)
            raise
        with self._lock:
            self._circuits[name] = self._circuits[name].succeeded(now)

    def _bind(self, key: Key, name: str, *, sure: bool) -> None:
        with self._lock:
            # Of several that may have it the first is asked first; one that certainly has it outweighs them all.
            if sure or key not in self._bound:
                self._bound[key] = name
            self._bound.move_to_end(key)
            while len(self._bound) > REMEMBERED:
                self._bound.popitem(last=False)
