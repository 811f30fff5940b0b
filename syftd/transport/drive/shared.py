"""The same folders in a shared drive: for accounts that may not share from their own, or own no storage.

In a shared drive nothing belongs to anybody, so nobody vouches for who wrote what: every member could have. It is laid out
like a shared folder, with a place for each person, and it is trusted like one::

    <drive>/SyftBox/<address>/syft_datasite#<version>#<datasite>#inbox#<address>
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from syftd.names import Email
from syftd.transport.drive import layout as names
from syftd.transport.drive.files import Item
from syftd.transport.drive.folders import Folders
from syftd.transport.drive.ids import Ids
from syftd.transport.drive.permissions import Permissions
from syftd.transport.drive.service import BuildPage, Service
from syftd.transport.layout import address, is_object_name
from syftd.transport.mailbox import Box


class SharedFolders(Folders):
    """Where everything lies in the shared drive `drive`."""

    def __init__(
        self, service: Service, me: Email, ids: Ids, permissions: Permissions, patience: float, drive: str
    ) -> None:
        super().__init__(service, me, ids, permissions, patience)
        self.drive = drive
        self._top: Item | None = None
        self._people: dict[str, Email] = {}
        """Whose place a folder is, by its id."""

    def listing(self, query: str) -> BuildPage:
        """As in My Drive, within this drive only."""

        def build(service: Any, token: str | None) -> Any:
            return service.files().list(
                q=query, pageSize=names.PAGE, pageToken=token, spaces="drive", corpora="drive", driveId=self.drive,
                supportsAllDrives=True, includeItemsFromAllDrives=True,
                fields=f"nextPageToken,incompleteSearch,files({names.FIELDS})",
            )  # fmt: skip

        return build

    def owner_of(self, item: Item) -> Email | None:
        """Whose place a thing lies in."""
        return next((self._people[parent] for parent in item.parents if parent in self._people), None)

    def belongs(self, item: Item, box: Box) -> bool:
        """Whether a file can be an object of a box; in a shared drive nobody knows who wrote it."""
        return not item.is_folder and is_object_name(item.name)

    def look_at_people(self) -> None:
        """Finds everybody's place. Of several of one name the oldest counts."""
        top = self._find_top()
        if top is None:
            return
        places = self.find(names.contents_query([top.id]), "looking for the people of the shared drive", cut=True)
        for item in sorted(places, key=lambda item: item.age):
            self.note(item)

    def note(self, item: Item) -> None:
        """Takes up somebody's place."""
        person = address(item.name)
        if self._top is None or self._top.id not in item.parents or not item.is_folder or person is None:
            return
        if person not in self._people.values():
            self._people[item.id] = person

    def place(self, person: Email) -> str | None:
        """The id of somebody's place, None when there is none."""
        self.ready()
        return next((id for id, whose in self._people.items() if whose == person), None)

    def find_box(self, box: Box) -> list[Item]:
        """Looks through the place of the box's owner."""
        self.look_at_people()
        place = self.place(box.owner)
        return [] if place is None else self.find(names.contents_query([place]), f"listing the place of {box.owner}")

    def find_roots(self) -> list[Item]:
        """Our own place."""
        top = self._find_top()
        return [] if top is None else self.find(names.named_query(self._me, top.id), "looking for our place")

    def make_root(self) -> Item:
        """Makes our place, and the folder that all places lie in when it is missing."""
        top = self._find_top()
        if top is None:
            made = self.make(names.ROOT, self.drive)
            # Somebody else may have made one at the same time: the older one counts for both of us.
            top = self._find_top() or made
            self._top = top
        place = self.make(self._me, top.id)
        self.note(place)
        return place

    def removing(self, id: str) -> Callable[[Any], Any]:
        """Only managers of a shared drive can delete for good; everybody who writes can put into the trash."""
        return lambda service: service.files().update(
            fileId=id, body={"trashed": True}, supportsAllDrives=True, fields="id"
        )

    def _find_top(self) -> Item | None:
        if self._top is None:
            found = self.find(names.named_query(names.ROOT, self.drive), "looking for the folder SyftBox")
            self._top = min((item for item in found if item.is_folder), key=lambda item: item.age, default=None)
        return self._top
