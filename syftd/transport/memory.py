"""A transport inside one process, for the simulator and for tests: deterministic, with faults on demand.

The hub is the service that both parties reach; it outlives the mailboxes, as storage outlives a crashed daemon.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from threading import RLock
from typing import Any, Final

from syftd.errors import Exists, Gone, Permanent, Refused
from syftd.names import Digest, Email
from syftd.transport import layout
from syftd.transport.mailbox import Box, Capabilities, Listing, Opened, Ref

Fault = Callable[[str, Box | None, str], None]
"""Called as ``fault(verb, box, name)`` before a verb works and as ``fault(verb + ".reply", …)`` after it has; what it
raises is what the caller sees. An error in the reply leaves the caller not knowing that the verb worked."""

PLENTY: Final = Capabilities(
    conditional_put=True,
    cursor=True,
    push=True,
    max_object=64 * 1024 * 1024,
    authenticates_sender=True,
    carries_private=True,
    creator_owns=False,
    min_poll=0.0,
)
"""What a memory mailbox can do unless told otherwise."""


@dataclass(slots=True)
class _Object:
    content: bytes
    since: int
    readers: set[Email] = field(default_factory=set)
    """Who beside its owner may read it, in a blobs box."""


@dataclass(slots=True)
class _Folder:
    born: str
    objects: dict[str, _Object] = field(default_factory=dict)
    removed: dict[str, int] = field(default_factory=dict)
    """When something of that name was last removed."""


class MemoryHub:
    """The storage that the memory mailboxes of several people share. Safe to use from any thread.

    With `admits` nobody reads a chunk of another's to which its owner has not let them; without it everybody reads all.
    """

    def __init__(self, *, admits: bool = False) -> None:
        self.admits = admits
        self.lock = RLock()
        self.folders: dict[Box, _Folder] = {}
        self.watchers: dict[int, tuple[Email, Callable[[], None]]] = {}
        self._steps = 0

    def step(self) -> int:
        """The number of the next thing that happens here; the caller holds the lock."""
        self._steps += 1
        return self._steps

    @property
    def position(self) -> int:
        """The number of the last thing that happened here."""
        return self._steps

    def contents(self, box: Box) -> dict[str, bytes]:
        """What lies in a box, for invariants; empty when there is no such box."""
        with self.lock:
            folder = self.folders.get(box)
            return {} if folder is None else {name: found.content for name, found in folder.objects.items()}

    def boxes(self) -> tuple[Box, ...]:
        """All boxes that are open, in the order of their making."""
        with self.lock:
            return tuple(self.folders)

    def wake(self, people: Iterable[Email]) -> None:
        """Wakes the watches of these people, in the caller's thread and in the order in which they were set."""
        chosen = frozenset(people)
        with self.lock:
            watchers = [wake for who, wake in self.watchers.values() if who in chosen]
        for wake in watchers:
            wake()


class MemoryWatch:
    """A running watch on a hub."""

    def __init__(self, hub: MemoryHub, me: Email, wake: Callable[[], None]) -> None:
        self._hub = hub
        with hub.lock:
            self._key = hub.step()
            hub.watchers[self._key] = (me, wake)

    def close(self) -> None:
        """Ends the watch; again is success."""
        with self._hub.lock:
            self._hub.watchers.pop(self._key, None)


class MemoryMailbox:
    """The mailbox of `me` in a hub; keyword arguments override single capabilities of `PLENTY`.

    `fault` may raise anything at any verb (see `Fault`). `lag` hides a new object from its first so many listings by
    this mailbox. `arrange` may reorder or repeat the references of a listing. Boxes with a party in `unreadable` cannot
    be listed.
    """

    def __init__(self, hub: MemoryHub, me: Email, name: str = "memory", **overrides: Any) -> None:
        self.me = me
        self.name = name
        self.lag = 0
        self.fault: Fault | None = None
        self.arrange: Callable[[tuple[Ref, ...]], Iterable[Ref]] | None = None
        self.unreadable: frozenset[Email] = frozenset()
        self._hub = hub
        self._capabilities = replace(PLENTY, **overrides)
        self._hidden: dict[tuple[Box, str, int], int] = {}
        """How many more listings leave out an object that is still lagging, by box, name and number."""
        self._looked = 0
        """The hub's position at the last listing: what is older and not hidden has been shown."""

    @property
    def capabilities(self) -> Capabilities:
        """What this mailbox says of itself."""
        return self._capabilities

    @property
    def notes(self) -> tuple[str, ...]:
        """Nothing."""
        return ()

    def put(self, box: Box, name: str, content: bytes | memoryview, *, private: bool, replace: bool = False) -> Ref:
        """Stores an object whole or not at all. See `Mailbox.put`."""
        layout.require_writer(box, self.me)
        layout.require_object_name(box, name)
        if private and not self._capabilities.carries_private:
            raise Refused(f"{self.name} does not carry private content", "Use another transport for this peer.")
        if len(content) > self._capabilities.max_object:
            raise Permanent(f"{name} has {len(content)} bytes; {self.name} takes {self._capabilities.max_object}")
        if replace and box.kind != "profile":
            raise Permanent(f"{name} cannot be replaced: only the profile is ever overwritten")
        self._meet("put", box, name)
        with self._hub.lock:
            folder = self._folder(box)
            there = folder.objects.get(name)
            if there is None or replace:
                folder.objects[name] = _Object(bytes(content), self._hub.step())
            elif there.content != content:
                raise Exists(f"{name} in the {box.kind} box of {box.owner} holds other bytes already")
        self._hub.wake((box.datasite, box.peer))
        self._meet("put.reply", box, name)
        return Ref(box, name, len(content), self.name)

    def list(self, cursor: str, peers: frozenset[Email]) -> Listing:
        """See `Mailbox.list`. The cursor also names the peers, since another set of them makes old objects new."""
        self._meet("list", None, "")
        circle = Digest.of("\n".join(sorted(peers)).encode())[:16]
        seen, _, of = cursor.partition("@")
        since = int(seen) if self._capabilities.cursor and of == circle and seen.isdigit() else 0
        refs: list[Ref] = []
        gone: list[Ref] = []
        opened: list[Opened] = []
        incomplete = set(self.unreadable)
        with self._hub.lock:
            upto = self._hub.position
            for box, folder in self._hub.folders.items():
                if box.kind in ("blobs", "profile") or self.me not in (box.datasite, box.peer):
                    continue
                if box.other(self.me) in self.unreadable:
                    continue
                if box.owner != self.me:
                    opened.append(Opened(box, folder.born))
                if box.other(self.me) not in peers:
                    continue
                if since and self._capabilities.tells_removal:
                    left = (name for name, at in folder.removed.items() if at > since and name not in folder.objects)
                    gone += [Ref(box, name, -1, self.name) for name in left]
                for name, found in folder.objects.items():
                    if found.since <= since:
                        continue
                    if self._lags(box, name, found.since):
                        upto = min(upto, found.since - 1)
                        incomplete.add(box.other(self.me))
                    else:
                        refs.append(Ref(box, name, len(found.content), self.name))
            self._looked = self._hub.position
        listed = tuple(refs) if self.arrange is None else tuple(self.arrange(tuple(refs)))
        self._meet("list.reply", None, "")
        place = f"{upto}@{circle}" if self._capabilities.cursor else ""
        return Listing(listed, tuple(opened), place, since == 0, frozenset(incomplete), tuple(gone))

    def get(self, ref: Ref, offset: int = 0, length: int | None = None) -> bytes:
        """The object's bytes or a range of them."""
        layout.require_reader(ref.box, self.me)
        layout.require_object_name(ref.box, ref.name)
        if offset < 0 or (length is not None and length < 0):
            raise Permanent(f"no range begins at {offset} with {length} bytes")
        self._meet("get", ref.box, ref.name)
        with self._hub.lock:
            folder = self._hub.folders.get(ref.box)
            found = None if folder is None else folder.objects.get(ref.name)
            closed = self._hub.admits and ref.box.kind == "blobs"
            if found is not None and closed and self.me not in (ref.box.owner, *found.readers):
                found = None  # As on a service that shows nobody what they may not read.
        if found is None:
            raise Gone(f"{ref.name} is not in the {ref.box.kind} box of {ref.box.owner}")
        self._meet("get.reply", ref.box, ref.name)
        return found.content[offset:] if length is None else found.content[offset : offset + length]

    def remove(self, ref: Ref) -> None:
        """Removes an object; one that is gone already is success."""
        layout.require_writer(ref.box, self.me)
        layout.require_object_name(ref.box, ref.name)
        self._meet("remove", ref.box, ref.name)
        with self._hub.lock:
            folder = self._hub.folders.get(ref.box)
            removed = None if folder is None else folder.objects.pop(ref.name, None)
            if folder is not None and removed is not None and self._capabilities.tells_removal:
                folder.removed[ref.name] = self._hub.step()
            if removed is not None:
                self._hidden.pop((ref.box, ref.name, removed.since), None)
        self._meet("remove.reply", ref.box, ref.name)

    def admit(self, box: Box, names: Sequence[str], reader: Email) -> None:
        """Lets `reader` read these chunks of ours."""
        layout.require_owner(box, self.me)
        self._meet("admit", box, reader)
        with self._hub.lock:
            folder = self._folder(box)
            for name in names:
                found = folder.objects.get(name)
                if found is None:
                    raise Gone(f"{name} is not in the {box.kind} box of {box.owner}")
                found.readers.add(reader)
        self._meet("admit.reply", box, reader)

    def dismiss(self, box: Box, names: Sequence[str], reader: Email) -> None:
        """Takes back what `admit` has given."""
        layout.require_owner(box, self.me)
        self._meet("dismiss", box, reader)
        with self._hub.lock:
            folder = self._hub.folders.get(box)
            for name in names:
                if folder is not None and name in folder.objects:
                    folder.objects[name].readers.discard(reader)
        self._meet("dismiss.reply", box, reader)

    def share(self, box: Box) -> None:
        """Creates a box of mine and opens it to its other party; again is success."""
        layout.require_owner(box, self.me)
        self._meet("share", box, "")
        with self._hub.lock:
            if box not in self._hub.folders:
                self._hub.folders[box] = _Folder(born=str(self._hub.step()))
        self._hub.wake((box.datasite, box.peer))
        self._meet("share.reply", box, "")

    def unshare(self, box: Box) -> None:
        """Closes a box of mine with everything in it."""
        layout.require_owner(box, self.me)
        self._meet("unshare", box, "")
        with self._hub.lock:
            self._hub.folders.pop(box, None)
        self._hub.wake((box.datasite, box.peer))
        self._meet("unshare.reply", box, "")

    def watch(self, wake: Callable[[], None]) -> MemoryWatch | None:
        """Wakes in the thread of whoever changes something; None when the capability `push` was taken away."""
        return MemoryWatch(self._hub, self.me, wake) if self._capabilities.push else None

    def close(self) -> None:
        """Nothing is held open; the hub keeps what it has."""

    def _meet(self, verb: str, box: Box | None, name: str) -> None:
        if self.fault is not None:
            self.fault(verb, box, name)

    def _folder(self, box: Box) -> _Folder:
        folder = self._hub.folders.get(box)
        if folder is None:
            raise Gone(f"{box.owner} has not opened the {box.kind} box with {box.other(self.me)}")
        return folder

    def _lags(self, box: Box, name: str, since: int) -> bool:
        """Whether this listing still leaves the object out. An object that was shown once is never hidden again."""
        key = (box, name, since)
        times = self._hidden.get(key, self.lag if since > self._looked else 0)
        if times > 0:
            self._hidden[key] = times - 1
            return True
        self._hidden.pop(key, None)
        return False
