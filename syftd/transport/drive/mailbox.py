"""Google Drive as a mailbox: the network's own folders and names, so that its other programs see one of theirs.

Identity is the owner of a folder, which Google vouches for, never a name. A file belongs to whoever wrote it, in
whosever folder it lies: only they can delete it; the owner of the folder can take it out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from syftd.errors import AuthNeeded, Gone, Permanent, Refused, TransportError
from syftd.log import logger
from syftd.names import Email
from syftd.seams import Clock, Random, SystemClock, SystemRandom
from syftd.transport import layout
from syftd.transport.drive import layout as names
from syftd.transport.drive import transfer
from syftd.transport.drive.auth import Login
from syftd.transport.drive.broom import Broom
from syftd.transport.drive.contents import Contents, written_by
from syftd.transport.drive.files import Item, Locks
from syftd.transport.drive.folders import Folders
from syftd.transport.drive.ids import Ids
from syftd.transport.drive.listing import Lister
from syftd.transport.drive.objects import MAX_OBJECT_BYTES, Objects, with_users
from syftd.transport.drive.permissions import Permissions
from syftd.transport.drive.service import TRIES, Service
from syftd.transport.drive.shared import SharedFolders
from syftd.transport.mailbox import Box, Capabilities, Listing, Ref, Watch

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
        self._objects = Objects(
            self._service, self._folders, self._contents, self._ids, self._permissions, me, name
        )
        self._locks = Locks()
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
                self._objects.replace(box, name, whole)
            else:
                self._objects.place(box, name, whole)
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
        if known is not None and self._folders.drive and not self._objects.still_there(known):
            known = None  # In a shared drive what was removed lies in the trash, where it can be read.
        if known is not None:
            try:
                return self._objects.download(known, offset, length)
            except Gone:
                # It was removed, or is another file by now.
                self._contents.forget(known.id)
        found = self._objects.look_for(ref)
        if found is None:
            raise Gone(f"{ref.name} is not in the {ref.box.kind} box of {ref.box.owner} on Google Drive")
        if ref.box.kind == "profile":
            content = self._objects.profile_content(found)
            return content[offset:] if length is None else content[offset : offset + length]
        return self._objects.download(found, offset, length)

    def remove(self, ref: Ref) -> None:
        """Removes an object: what we wrote at once, what another wrote by moving it into our archive with the next
        polls; until then only we do not see it any more."""
        layout.require_writer(ref.box, self.me)
        layout.require_object_name(ref.box, ref.name)
        self._require_account()
        with self._locks.hold((ref.box, ref.name)):
            self._objects.unmake(ref)
            items = self._contents.all_of(ref.box, ref.name) or self._objects.search(ref)
            for item in items:
                if written_by(item, self.me) or self._folders.drive:
                    self._folders.delete(item.id, item.name)
                    self._contents.removed(item.id)
                else:
                    self._broom.move(ref.box, item)

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
            item = self._objects.look_for(Ref(box, name, -1, self.name))
            if item is None:
                raise Gone(f"the chunk {name} is not on Google Drive any more")
            items.append(item)
        for item, error in zip(items, self._permissions.grant_each(items, reader, "reader"), strict=True):
            if error is not None:
                raise error
            users = {**item.users, reader: ("", "reader")}
            self._contents.put(box, with_users(item, users))

    def dismiss(self, box: Box, names: Sequence[str], reader: Email) -> None:
        """Takes back what `admit` has given."""
        layout.require_owner(box, self.me)
        self._require_account()
        if self._folders.drive:
            return
        items = [item for name in names for item in self._contents.all_of(box, name)]
        missing = [name for name in names if self._contents.get(box, name) is None]
        items += [item for name in missing if (item := self._objects.look_for(Ref(box, name, -1, self.name))) is not None]
        self._permissions.revoke(items, reader)
        for item in items:
            self._contents.put(box, with_users(item, {who: how for who, how in item.users.items() if who != reader}))

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
                self._objects.let_read(version, box.other(self.me))

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
                self._folders.keep(with_users(version, users))
        self._contents.drop_box(box)

    def watch(self, wake: Callable[[], None]) -> Watch | None:
        """None: Drive is polled."""
        return None

    def close(self) -> None:
        """Ends all waiting and every call. What still waits to be moved stays in its box: it is shown again, and known
        again, after the next start."""
        self._service.close()

    # -- the account -----------------------------------------------------------------------------------------------

    def _require_account(self) -> None:
        """Nothing is read from or written to the Drive of anybody but the datasite's owner."""
        account = self._service.account()
        if account != self.me:
            raise AuthNeeded(
                f"the Google login is for {account}, and this datasite is {self.me}'s",
                f"Log in as {self.me}: `syftd login`.",
            )
