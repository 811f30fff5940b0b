"""Google Drive as a mailbox: the network's own folders and names, so that its other programs see one of theirs.

Identity is the owner of a folder, which Google vouches for, never a name. A file belongs to whoever wrote it, in
whosever folder it lies: only they can delete it; the owner of the folder can take it out.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import Final

from syftd.errors import AuthNeeded, Exists, Gone, Permanent, Refused, TransportError
from syftd.log import logger
from syftd.names import Digest, Email
from syftd.seams import Clock, Random, SystemClock, SystemRandom
from syftd.transport import layout
from syftd.transport.drive import layout as names
from syftd.transport.drive import transfer
from syftd.transport.drive.auth import Login
from syftd.transport.drive.broom import Broom
from syftd.transport.drive.contents import Contents, written_by
from syftd.transport.drive.files import Item, Locks, item_of
from syftd.transport.drive.folders import Folders, getting
from syftd.transport.drive.ids import Ids
from syftd.transport.drive.listing import Lister
from syftd.transport.drive.permissions import Permissions
from syftd.transport.drive.service import TRIES, Service
from syftd.transport.drive.shared import SharedFolders
from syftd.transport.mailbox import Box, Capabilities, Listing, Ref, Watch

MAX_OBJECT_BYTES: Final = 64 * 1024 * 1024
MAX_PROFILE_BYTES: Final = 256 * 1024
"""A peer's version file is kept in memory; it is a few lines."""
MIN_POLL_SECONDS: Final = 5.0
_log = logger("drive")


class DriveMailbox:
    """The mailbox of `me` on Google Drive, with the login stored at `token`.

    `share` is the part of the account's quota that may be used; `endpoint` another server than Google's. Seconds:
    `patience` before something is made that a listing did not show, `archive_patience` for which moves into the archive
    may wait to be done together. `carries_private` False refuses what not everybody may read.

    With `drive`, the id of a shared drive, everything lies there: no service says then who wrote what, every member reads
    everything, and whoever handles an object may remove it.
    """

    def __init__(
        self,
        me: Email,
        token: Path,
        *,
        name: str = "gdrive",
        endpoint: str = "",
        drive: str = "",
        share: float = 0.5,
        carries_private: bool = True,
        patience: float = 1.0,
        archive_patience: float = 30.0,
        tries: int = TRIES,
        clock: Clock | None = None,
        random: Random | None = None,
    ) -> None:
        self.me = me
        self.name = name
        clock = clock or SystemClock()
        self._service = Service(
            Login(token), clock, random or SystemRandom(), endpoint=endpoint, share=share, tries=tries
        )
        self._ids = Ids(self._service)
        self._permissions = Permissions(self._service)
        self._folders: Folders = (
            SharedFolders(self._service, me, self._ids, self._permissions, patience, drive)
            if drive
            else Folders(self._service, me, self._ids, self._permissions, patience)
        )
        self._contents = Contents()
        self._lister = Lister(self._service, self._folders, self._contents, me, name, clock)
        self._broom = Broom(self._service, self._folders, self._contents, me, clock, archive_patience)
        self._locks = Locks()
        self._lock = Lock()
        self._profiles: dict[str, tuple[str, bytes]] = {}
        """Version files by id, with the digest that they had."""
        self._reserved: dict[tuple[Box, str, Digest], str] = {}
        self._capabilities = Capabilities(
            conditional_put=False,
            cursor=True,
            push=False,
            max_object=MAX_OBJECT_BYTES,
            authenticates_sender=not drive,
            carries_private=carries_private,
            creator_owns=not drive,
            min_poll=MIN_POLL_SECONDS,
            tells_removal=True,
            keeps_contacts=not drive,
        )

    @property
    def capabilities(self) -> Capabilities:
        """What Drive can do."""
        return self._capabilities

    @property
    def notes(self) -> tuple[str, ...]:
        """How much of the quota is used, and where several things have one name."""
        return (self._service.governor.words(), *self._folders.doubles, *self._contents.doubles())

    # -- objects ---------------------------------------------------------------------------------------------------

    def put(self, box: Box, name: str, content: bytes | memoryview, *, private: bool, replace: bool = False) -> Ref:
        """Stores an object whole or not at all. See `Mailbox.put`."""
        layout.require_writer(box, self.me)
        layout.require_object_name(box, name)
        if private and not self._capabilities.carries_private:
            raise Refused(f"{self.name} does not carry private content", "Use another transport for this peer.")
        if len(content) > MAX_OBJECT_BYTES:
            raise Permanent(f"{name} has {len(content)} bytes; Google Drive takes {MAX_OBJECT_BYTES} here at most")
        if replace and box.kind != "profile":
            raise Permanent(f"{name} cannot be replaced: only the profile is ever overwritten")
        self._require_account()
        whole = bytes(content)
        with self._locks.hold((box, name)):
            if replace:
                self._replace(box, name, whole)
            else:
                self._place(box, name, whole)
        return Ref(box, name, len(whole), self.name)

    def list(self, cursor: str, peers: frozenset[Email]) -> Listing:
        """With a cursor one call, however many peers there are. See `Mailbox.list`."""
        self._require_account()
        listing = self._lister.list(cursor, peers)
        taken, self._lister.taken = self._lister.taken, []
        try:
            if not cursor or self._broom.due():
                self._broom.work()
            if taken:
                self._broom.delete(taken)
            if listing.complete and not self._folders.drive:
                self._broom.sweep()
        except TransportError as error:
            # What could not be tidied up must not keep the mail away; it is tried again with a later poll.
            _log.warning("tidying up on Google Drive failed", reason=str(error))
        return listing

    def get(self, ref: Ref, offset: int = 0, length: int | None = None) -> bytes:
        """The object's bytes or a range of them; a whole object is checked against the digest that Drive tells."""
        layout.require_reader(ref.box, self.me)
        layout.require_object_name(ref.box, ref.name)
        transfer.require_range(offset, length)
        self._require_account()
        # A profile is replaced in place, so what was known of it may be an earlier one.
        known = None if ref.box.kind == "profile" else self._contents.get(ref.box, ref.name)
        if known is not None and self._folders.drive and not self._still_there(known):
            known = None  # In a shared drive what was removed lies in the trash, where it can be read.
        if known is not None:
            try:
                return self._download(known, offset, length)
            except Gone:
                # It was removed, or is another file by now.
                self._contents.forget(known.id)
        found = self._look_for(ref)
        if found is None:
            raise Gone(f"{ref.name} is not in the {ref.box.kind} box of {ref.box.owner} on Google Drive")
        if ref.box.kind == "profile":
            content = self._profile_content(found)
            return content[offset:] if length is None else content[offset : offset + length]
        return self._download(found, offset, length)

    def remove(self, ref: Ref) -> None:
        """Removes an object: what we wrote at once, what another wrote by moving it into our archive with the next
        polls; until then only we do not see it any more."""
        layout.require_writer(ref.box, self.me)
        layout.require_object_name(ref.box, ref.name)
        self._require_account()
        with self._locks.hold((ref.box, ref.name)):
            self._unmake(ref)
            items = self._contents.all_of(ref.box, ref.name) or self._search(ref)
            for item in items:
                if written_by(item, self.me) or self._folders.drive:
                    self._folders.delete(item.id, item.name)
                    self._contents.removed(item.id)
                else:
                    self._broom.move(ref.box, item)

    def _unmake(self, ref: Ref) -> None:
        """Removes what a put may have stored whose answer was lost: nobody but us knows its id."""
        with self._lock:
            lost = [key for key in self._reserved if key[:2] == (ref.box, ref.name)]
        for key in lost:
            self._folders.delete(self._reserved[key], ref.name)
            with self._lock:
                self._contents.removed(self._reserved.pop(key))

    def _search(self, ref: Ref) -> Sequence[Item]:
        """Looks for something of which this process does not know. Listings may be late, and what we wrote must not stay
        where it was to be removed: it is looked for twice."""
        if self._look_for(ref) is None and layout.author(ref.box) == self.me:
            self._folders.patiently(lambda: self._look_for(ref))
        return self._contents.all_of(ref.box, ref.name)

    def admit(self, box: Box, names: Sequence[str], reader: Email) -> None:
        """Lets `reader` read these chunks of ours. Nobody can read a chunk that no message for them refers to."""
        layout.require_owner(box, self.me)
        for name in names:
            layout.require_object_name(box, name)
        self._require_account()
        if self._folders.drive:
            return  # Every member reads everything.
        items: list[Item] = []
        for name in names:
            item = self._look_for(Ref(box, name, -1, self.name))
            if item is None:
                raise Gone(f"the chunk {name} is not on Google Drive any more")
            items.append(item)
        for item, error in zip(items, self._permissions.grant_each(items, reader, "reader"), strict=True):
            if error is not None:
                raise error
            users = {**item.users, reader: ("", "reader")}
            self._contents.put(box, _with_users(item, users))

    def dismiss(self, box: Box, names: Sequence[str], reader: Email) -> None:
        """Takes back what `admit` has given."""
        layout.require_owner(box, self.me)
        self._require_account()
        if self._folders.drive:
            return
        items = [item for name in names for item in self._contents.all_of(box, name)]
        missing = [name for name in names if self._contents.get(box, name) is None]
        items += [item for name in missing if (item := self._look_for(Ref(box, name, -1, self.name))) is not None]
        self._permissions.revoke(items, reader)
        for item in items:
            self._contents.put(box, _with_users(item, {who: how for who, how in item.users.items() if who != reader}))

    # -- boxes -----------------------------------------------------------------------------------------------------

    def share(self, box: Box) -> None:
        """Creates a box of mine and opens it to its other party, together with my version file."""
        layout.require_owner(box, self.me)
        self._require_account()
        if box.kind == "blobs":
            self._folders.own_folder(layout.BLOBS_FOLDER)
        elif box.kind == "profile":
            self._folders.root()
        else:
            self._folders.open(box)
            version = self._folders.own_item(layout.PROFILE_NAME)
            if version is not None:
                self._let_read(version, box.other(self.me))

    def unshare(self, box: Box) -> None:
        """Closes a box of mine with everything of mine in it; with the last box, the other party's way to my version
        file is closed too."""
        layout.require_owner(box, self.me)
        self._require_account()
        if box.kind == "blobs":
            self._folders.close_own(layout.BLOBS_FOLDER)
        elif box.kind == "profile":
            for name in (layout.PROFILE_NAME, names.PEERS_NAME):
                self._folders.close_own(name)
        else:
            self._folders.close(box)
            other = box.other(self.me)
            version = self._folders.own_item(layout.PROFILE_NAME)
            if version is not None and not self._folders.drive and other not in self._folders.readers():
                self._permissions.revoke([version], other)
                users = {email: given for email, given in version.users.items() if email != other}
                self._folders.keep(_with_users(version, users))
        self._contents.drop_box(box)

    def watch(self, wake: Callable[[], None]) -> Watch | None:
        """None: Drive is polled."""
        return None

    def close(self) -> None:
        """Ends all waiting and every call. What still waits to be moved stays in its box: it is shown again, and known
        again, after the next start."""
        self._service.close()

    # -- putting ---------------------------------------------------------------------------------------------------

    def _place(self, box: Box, name: str, content: bytes) -> None:
        digest = Digest.of(content)
        folder = self._folder(box)
        self._learn(box, folder)
        known = self._contents.get(box, name)
        if known is not None and self._still_there(known):
            if not known.holds(digest, hashlib.md5(content, usedforsecurity=False).hexdigest(), len(content)):
                raise Exists(f"{name} in the {box.kind} of {box.owner} holds other bytes already")
            return
        if self._folders.drive and not self._open(folder):
            self._folders.drop(folder)
            raise Gone(f"the {box.kind} box of {box.owner} is not on the shared drive any more")
        key = (box, name, digest)
        with self._lock:
            id = self._reserved.get(key)
        if id is None:
            id = self._ids.take()
            with self._lock:
                self._reserved[key] = id
        mime = names.CHUNK if box.kind == "blobs" else names.BYTES
        properties = {"syftd_box": folder} if box.kind == "outbox" else {}
        try:
            item = transfer.create(self._service, id, name, folder, content, mime, properties)
        except Exists:
            with self._lock:
                self._reserved.pop(key, None)
            raise
        except (Gone, Refused) as error:
            if isinstance(error, Refused) and box.owner == self.me:
                raise
            # The folder vanished, or was closed to us; whether there is another one is looked up anew at the next try.
            self._folders.drop(folder)
            with self._lock:
                self._reserved.pop(key, None)
            raise Gone(f"the {box.kind} box of {box.owner} is not open to us on Google Drive any more") from None
        with self._lock:
            self._reserved.pop(key, None)
        if not names.is_unique(name):
            self._settle(box, name, folder, item)
        self._contents.put(box, item)

    def _settle(self, box: Box, name: str, folder: str, item: Item) -> None:
        """Drive lets several files have one name. Of those who put at the same time the first one wins: whoever sees an
        older file than their own takes their own back."""
        found = self._folders.find(names.named_query(name, folder), f"looking for {name}")
        winner = min((*found, item), key=lambda other: other.age)
        if winner.id == item.id:
            return
        self._folders.delete(item.id, name)
        self._contents.removed(item.id)
        self._contents.put(box, winner)
        if winner.sha256 != item.sha256 or winner.size != item.size:
            raise Exists(f"{name} in the {box.kind} of {box.owner} holds other bytes already")

    def _replace(self, box: Box, name: str, content: bytes) -> None:
        known = self._folders.own_item(name)
        if known is not None:
            try:
                item = transfer.replace(self._service, known.id, name, content, names.JSON)
            except Gone:
                self._folders.drop(known.id)
                known = None
            else:
                self._folders.keep(_with_users(item, item.users or known.users))
        if known is None:
            root = self._folders.root()
            found = self._folders.find(names.named_query(name, root.id), f"looking for {name}")
            if found:
                self._folders.keep(min(found, key=lambda item: item.age))
                self._replace(box, name, content)
                return
            self._folders.keep(transfer.create(self._service, self._ids.take(), name, root.id, content, names.JSON, {}))
        if name == layout.PROFILE_NAME:
            for reader in self._folders.readers():
                version = self._folders.own_item(name)
                if version is not None:
                    self._let_read(version, reader)

    def _let_read(self, version: Item, reader: Email) -> None:
        if self._folders.drive:
            return
        self._permissions.grant(version, reader, "reader")
        self._folders.keep(_with_users(version, {**version.users, reader: ("", "reader")}))

    # -- finding ---------------------------------------------------------------------------------------------------

    def _folder(self, box: Box) -> str:
        """The id of the folder that objects of a box are put into. Raises Gone when there is none."""
        if box.kind == "profile":
            return self._folders.root().id
        if box.kind == "blobs":
            own = self._folders.own_item(layout.BLOBS_FOLDER)
            if own is None:
                raise Gone(f"{self.me} has no folder {layout.BLOBS_FOLDER} on Google Drive")
            return own.id
        return self._folders.folder(box)

    def _learn(self, box: Box, folder: str) -> None:
        """Lists once what lies in a folder of this box; from then on all that we put there is known."""
        with self._locks.hold(folder):
            if self._contents.learned(folder):
                return
            try:
                found = self._folders.find(names.contents_query([folder]), f"listing the {box.kind}", 1_000_000)
            except Gone:
                self._folders.drop(folder)
                raise Gone(f"the {box.kind} box of {box.owner} is not on Google Drive any more") from None
            for item in found:
                if self._folders.belongs(item, box):
                    self._contents.put(box, item)
            self._contents.learn(folder)

    def _look_for(self, ref: Ref) -> Item | None:
        """Looks on Drive for an object that this process does not know."""
        box, name = ref.box, ref.name
        found: Sequence[Item]
        if box.kind == "profile":
            self._contents.drop_box(box)  # It may have been closed to us, or replaced, since we were told of it.
        if self._folders.drive and box.kind in ("blobs", "profile"):
            found = self._in_place(box, name)
        elif box.kind == "profile":
            found = self._profile(box.owner, name)
        elif box.kind == "blobs":
            known = self._contents.get(box, name)
            if known is not None:
                return known
            # Chunks come in numbers: one listing finds all that this person lets us read.
            for item in self._folders.find(names.chunks_query(box.owner), f"looking for chunks of {box.owner}", 1_000_000):
                if self._folders.belongs(item, box):
                    self._contents.put(box, item)
            known = self._contents.get(box, name)
            if known is not None:
                return known
            found = self._folders.find(names.chunk_query(box.owner, name), f"looking for the chunk {name}")
        else:
            folders = self._folders.folders(box)
            if not folders:
                try:
                    folders = (self._folders.folder(box),)
                except Gone:
                    return None
            found = self._named(name, folders)
        for item in found:
            if self._folders.belongs(item, box):
                self._contents.put(box, item)
        return self._contents.get(box, name)

    def _named(self, name: str, folders: Sequence[str]) -> Sequence[Item]:
        """Everything of one name in some folders."""
        found: tuple[Item, ...] = ()
        for folder in folders:
            try:
                found += tuple(self._folders.find(names.named_query(name, folder), f"looking for {name}"))
            except Gone:
                self._folders.drop(folder)
        return found

    def _in_place(self, box: Box, name: str) -> Sequence[Item]:
        """A chunk or a version file in somebody's place on the shared drive."""
        assert isinstance(self._folders, SharedFolders)
        place = self._folders.place(box.owner)
        if place is None:
            self._folders.look_at_people()
            place = self._folders.place(box.owner)
        if place is None or box.kind == "profile":
            return () if place is None else self._named(name, (place,))
        folders = self._folders.find(names.named_query(layout.BLOBS_FOLDER, place), f"looking for chunks of {box.owner}")
        return self._named(name, tuple(folder.id for folder in folders if folder.is_folder))

    def _profile(self, owner: Email, name: str) -> Sequence[Item]:
        if owner == self.me:
            own = self._folders.own_item(name)
            return [] if own is None else [own]
        if name != layout.PROFILE_NAME:
            return []
        return self._folders.find(names.profile_query(owner), f"looking for the version file of {owner}")

    def _profile_content(self, item: Item) -> bytes:
        """A version file, fetched only when it is another one than last time: every peer's is asked for now and then."""
        with self._lock:
            known = self._profiles.get(item.id)
        if known is not None and item.sha256 and known[0] == item.sha256:
            return known[1]
        if item.size > MAX_PROFILE_BYTES and item.owner != self.me:
            raise Permanent(f"{item.name} of {item.owner} has {item.size} bytes; {MAX_PROFILE_BYTES} is the most that is read")
        content = self._download(item, 0, None)
        with self._lock:
            self._profiles[item.id] = (item.sha256, content)
        return content

    def _still_there(self, item: Item) -> bool:
        """Whether a file that we know lies where it lay; it may have been read and removed meanwhile."""
        try:
            now = item_of(self._service.call("read", f"looking at {item.name}", getting(item.id)))
        except Gone:
            now = None
        if now is None or now.trashed or not set(now.parents) & set(item.parents):
            self._contents.forget(item.id)
            return False
        return True

    def _open(self, folder: str) -> bool:
        """Whether a folder is not in the trash, where things could still be put into it."""
        try:
            now = item_of(self._service.call("read", "looking at a folder", getting(folder)))
        except Gone:
            return False
        return now is not None and not now.trashed

    def _download(self, item: Item, offset: int, length: int | None) -> bytes:
        if item.size > MAX_OBJECT_BYTES:
            raise Permanent(f"{item.name} has {item.size} bytes; {MAX_OBJECT_BYTES} is the most that is read")
        if item.mime.startswith("application/vnd.google-apps."):
            raise Permanent(f"{item.name} is a Google document, not a file")
        return transfer.download(self._service, item, offset, length)

    # -- the account -----------------------------------------------------------------------------------------------

    def _require_account(self) -> None:
        """Nothing is read from or written to the Drive of anybody but the datasite's owner."""
        account = self._service.account()
        if account != self.me:
            raise AuthNeeded(
                f"the Google login is for {account}, and this datasite is {self.me}'s",
                f"Log in as {self.me}: `syftd login`.",
            )


def _with_users(item: Item, users: Mapping[Email, tuple[str, str]]) -> Item:
    return dataclasses.replace(item, users=users)
