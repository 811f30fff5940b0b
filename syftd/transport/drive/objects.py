"""Single objects on Drive: found by query once and known by id from then on, stored once, and whose they are."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from threading import Lock
from typing import Final

from syftd.errors import Exists, Gone, Permanent, Refused
from syftd.names import Digest, Email
from syftd.transport import layout
from syftd.transport.drive import layout as names
from syftd.transport.drive import transfer
from syftd.transport.drive.contents import Contents
from syftd.transport.drive.files import Item, Locks, item_of
from syftd.transport.drive.folders import Folders, getting
from syftd.transport.drive.ids import Ids
from syftd.transport.drive.permissions import Permissions
from syftd.transport.drive.service import Service
from syftd.transport.drive.shared import SharedFolders
from syftd.transport.mailbox import Box, Ref

MAX_OBJECT_BYTES: Final = 64 * 1024 * 1024
MAX_PROFILE_BYTES: Final = 256 * 1024
"""A peer's version file is kept in memory; it is a few lines."""
MOST_OBJECTS: Final = 1_000_000


class Objects:
    """The objects of all boxes, for `me`. `name` is what the transport is called."""

    def __init__(
        self, service: Service, folders: Folders, contents: Contents, ids: Ids, permissions: Permissions, me: Email, name: str
    ) -> None:
        self.me = me
        self.name = name
        self._service = service
        self._folders = folders
        self._contents = contents
        self._ids = ids
        self._permissions = permissions
        self._locks = Locks()
        self._lock = Lock()
        self._profiles: dict[str, tuple[str, bytes]] = {}
        """Version files by id, with the digest that they had."""
        self._reserved: dict[tuple[Box, str, Digest], str] = {}
        """The ids of what is being stored, or may be stored since the answer was lost."""

    # -- putting ---------------------------------------------------------------------------------------------------

    def place(self, box: Box, name: str, content: bytes) -> None:
        """Stores an object once. The same bytes again are success, other bytes raise Exists, a missing box Gone."""
        digest = Digest.of(content)
        folder = self._folder(box)
        self._learn(box, folder)
        known = self._contents.get(box, name)
        if known is not None and self.still_there(known):
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

    def replace(self, box: Box, name: str, content: bytes) -> None:
        """Stores something directly in our folder, in place of what it held before."""
        known = self._folders.own_item(name)
        if known is not None:
            try:
                item = transfer.replace(self._service, known.id, name, content, names.JSON)
            except Gone:
                self._folders.drop(known.id)
                known = None
            else:
                self._folders.keep(with_users(item, item.users or known.users))
        if known is None:
            root = self._folders.root()
            found = self._folders.find(names.named_query(name, root.id), f"looking for {name}")
            if found:
                self._folders.keep(min(found, key=lambda item: item.age))
                self.replace(box, name, content)
                return
            self._folders.keep(transfer.create(self._service, self._ids.take(), name, root.id, content, names.JSON, {}))
        if name == layout.PROFILE_NAME:
            for reader in self._folders.readers():
                version = self._folders.own_item(name)
                if version is not None:
                    self.let_read(version, reader)

    def let_read(self, version: Item, reader: Email) -> None:
        """Lets somebody read our version file."""
        if self._folders.drive:
            return
        self._permissions.grant(version, reader, "reader")
        self._folders.keep(with_users(version, {**version.users, reader: ("", "reader")}))

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
                found = self._folders.find(names.contents_query([folder]), f"listing the {box.kind}", MOST_OBJECTS)
            except Gone:
                self._folders.drop(folder)
                raise Gone(f"the {box.kind} box of {box.owner} is not on Google Drive any more") from None
            for item in found:
                if self._folders.belongs(item, box):
                    self._contents.put(box, item)
            self._contents.learn(folder)

    def look_for(self, ref: Ref) -> Item | None:
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
            for item in self._folders.find(names.chunks_query(box.owner), f"looking for chunks of {box.owner}", MOST_OBJECTS):
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

    def profile_content(self, item: Item) -> bytes:
        """A version file, fetched only when it is another one than last time: every peer's is asked for now and then."""
        with self._lock:
            known = self._profiles.get(item.id)
        if known is not None and item.sha256 and known[0] == item.sha256:
            return known[1]
        if item.size > MAX_PROFILE_BYTES and item.owner != self.me:
            raise Permanent(f"{item.name} of {item.owner} has {item.size} bytes; {MAX_PROFILE_BYTES} is the most that is read")
        content = self.download(item, 0, None)
        with self._lock:
            self._profiles[item.id] = (item.sha256, content)
        return content

    def still_there(self, item: Item) -> bool:
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

    def download(self, item: Item, offset: int, length: int | None) -> bytes:
        """The bytes of a file, or a range. Raises Permanent for what is too large or no file."""
        if item.size > MAX_OBJECT_BYTES:
            raise Permanent(f"{item.name} has {item.size} bytes; {MAX_OBJECT_BYTES} is the most that is read")
        if item.mime.startswith("application/vnd.google-apps."):
            raise Permanent(f"{item.name} is a Google document, not a file")
        return transfer.download(self._service, item, offset, length)

    def unmake(self, ref: Ref) -> None:
        """Removes what a put may have stored whose answer was lost: nobody but us knows its id."""
        with self._lock:
            lost = [key for key in self._reserved if key[:2] == (ref.box, ref.name)]
        for key in lost:
            self._folders.delete(self._reserved[key], ref.name)
            with self._lock:
                self._contents.removed(self._reserved.pop(key))

    def search(self, ref: Ref) -> Sequence[Item]:
        """Looks for something of which this process does not know. Listings may be late, and what we wrote must not stay
        where it was to be removed: it is looked for twice."""
        if self.look_for(ref) is None and layout.author(ref.box) == self.me:
            self._folders.patiently(lambda: self.look_for(ref))
        return self._contents.all_of(ref.box, ref.name)


def with_users(item: Item, users: Mapping[Email, tuple[str, str]]) -> Item:
    """The thing with these users."""
    return dataclasses.replace(item, users=users)
