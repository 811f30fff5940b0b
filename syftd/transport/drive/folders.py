"""The folders of the network on Drive: ours, and those that others opened to us. Found by query, kept by id.

Who speaks through a box is whoever *owns* its folder; a folder that only says another's name in its own is no box.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from threading import RLock
from typing import Any, Final

from syftd.errors import Exists, Gone, Permanent, TransportError
from syftd.log import logger
from syftd.names import Email
from syftd.transport import layout
from syftd.transport.drive import layout as names
from syftd.transport.drive.files import Item, Locks, item_of
from syftd.transport.drive.ids import Ids
from syftd.transport.drive.permissions import Permissions
from syftd.transport.drive.service import BuildPage, Service
from syftd.transport.mailbox import Box

MOST_FOLDERS: Final = 10_000
_log = logger("drive")


class Folders:
    """Where everything lies. `patience` in seconds: before something is made because a listing did not show it, the
    listing is made once more after that time, since listings on Drive may be late."""

    drive = ""
    """The id of the shared drive that everything lies in, '' for My Drive."""

    def __init__(self, service: Service, me: Email, ids: Ids, permissions: Permissions, patience: float) -> None:
        self.boxes: dict[Box, tuple[Item, ...]] = {}
        """The folders of every box that we know of, the one that counts first."""
        self.by_id: dict[str, Box] = {}
        self.own: dict[str, Item] = {}
        """What lies directly in our own folder, by name: of several of one name the oldest."""
        self.doubles: tuple[str, ...] = ()
        """In words: where there are several of one name."""
        self._service = service
        self._me = me
        self._ids = ids
        self._permissions = permissions
        self._patience = patience
        self._lock = RLock()
        self._making = Locks()
        self._root: Item | None = None
        self._looked = False

    # -- looking ---------------------------------------------------------------------------------------------------

    def ready(self) -> None:
        """Makes sure that there was a look at Drive in this process."""
        if not self._looked:
            with self._making.hold("look"):
                if not self._looked:
                    self.look()

    def look(self) -> None:
        """Finds our folder, what lies in it, and all boxes. What was known and is not listed is asked for by its id."""
        doubles: list[str] = []
        listed = self._listed_root()
        if listed is None and self._look_for_root(doubles):
            listed = self._listed_root()
        root = self._root
        self.look_at_people()
        # Anybody can share any number of folders with us: that must not keep us from those whom we know.
        boxes = self.find(names.boxes_query(), "looking for boxes", cut=True)
        found = {item.id: item for item in (*boxes, *(listed or ())) if not item.trashed}
        with self._lock:
            known = {item.id: item for items in self.boxes.values() for item in items}
            mine = dict(self.own)
        for item in self.still(item for item in (*known.values(), *mine.values()) if item.id not in found):
            found[item.id] = item
        grouped: dict[Box, list[Item]] = {}
        own: dict[str, Item] = {}
        for item in sorted(found.values(), key=lambda item: item.age):
            box = self.box_of(item)
            if box is not None:
                grouped.setdefault(box, []).append(item)
            elif root is not None and root.id in item.parents and self.owner_of(item) == self._me:
                if item.name in own:
                    doubles.append(f"there are several {item.name} in your folder SyftBox; the oldest is used")
                own.setdefault(item.name, item)
        with self._lock:
            # What other threads have made since it was asked for is there as well.
            added = [item for items in self.boxes.values() for item in items if item.id not in {**known, **found}]
            own = {**{name: item for name, item in self.own.items() if name not in mine}, **own}
        for item in added:
            box = self.box_of(item)
            if box is not None:
                grouped.setdefault(box, []).append(item)
        for box, items in grouped.items():
            items.sort(key=lambda item: (layout.preference(item.name), item.age))
            if len(items) > 1:
                doubles.append(f"{box.owner} has several {box.kind} folders for {box.datasite}; {items[0].name} is used")
        with self._lock:
            self.boxes = {box: tuple(items) for box, items in grouped.items()}
            self.by_id = {item.id: box for box, items in grouped.items() for item in items}
            self.own = own
            for words in set(doubles) - set(self.doubles):
                _log.warning("several things on Drive have one name", which=words)
            self.doubles = tuple(doubles)
            self._looked = True

    def find(self, query: str, what: str, most: int = MOST_FOLDERS, *, cut: bool = False) -> list[Item]:
        """Everything that a query finds, all pages of it. More than `most` things raise Permanent, or are `cut` off."""
        found: list[Item] = []
        for page, answer in self._service.pages(what, "files", self.listing(query)):
            found += [item for told in page if (item := item_of(told)) is not None]
            if answer.get("incompleteSearch"):
                _log.warning("Drive did not search everywhere", query=query)
            if len(found) > most and cut:
                _log.warning("more than is read", what=what, most=most)
                break
            if len(found) > most:
                raise Permanent(f"{what}: more than {most} things were found", "Remove what is not needed there.")
        return found

    def listing(self, query: str) -> BuildPage:
        """A request for one page of what a query finds."""

        def build(service: Any, token: str | None) -> Any:
            return service.files().list(
                q=query, pageSize=names.PAGE, pageToken=token, spaces="drive", supportsAllDrives=True,
                includeItemsFromAllDrives=True,
                fields=f"nextPageToken,incompleteSearch,files({names.SHARED_FIELDS})",
            )  # fmt: skip

        return build

    def still(self, items: Iterable[Item]) -> list[Item]:
        """Those of some things that are there although a listing did not show them, as they are now.

        A listing may be late, so absence in it proves nothing; asked for by id, Drive knows.
        """
        asked = list(items)
        found: list[Item] = []
        for item, answer in zip(asked, self._service.each("read", "looking again", [getting(i.id) for i in asked]), strict=True):
            if isinstance(answer, Gone):
                continue
            if isinstance(answer, TransportError):
                found.append(item)  # Nobody knows: it stays what it was.
                continue
            now = item_of(answer)
            if now is not None and not now.trashed:
                found.append(replace(now, users=now.users or item.users))
        return found

    def box_of(self, item: Item) -> Box | None:
        """The box of ours or for us that a folder is, None when it is none."""
        owner = self.owner_of(item)
        if not item.is_folder or item.trashed or owner is None:
            return None
        box = layout.box_of(item.name, owner)
        return box if box is not None and self._me in (box.datasite, box.peer) else None

    def owner_of(self, item: Item) -> Email | None:
        """Whose a thing is: whom it speaks for."""
        return item.owner

    def belongs(self, item: Item, box: Box) -> bool:
        """Whether a file can be an object of a box: written by the only person who writes there, as Google tells it."""
        return not item.is_folder and layout.is_object_name(item.name) and item.owner == layout.author(box)

    def look_at_people(self) -> None:
        """In My Drive everything says whose it is."""

    def note(self, item: Item) -> None:
        """Takes up a folder of which the changes tell, if it is one that says whose other things are."""

    # -- boxes -----------------------------------------------------------------------------------------------------

    def folder(self, box: Box) -> str:
        """The id of the folder to put into. Raises Gone when there is none."""
        self.ready()
        with self._lock:
            items = self.boxes.get(box)
        if not items:
            items = self._look_for(box)
        if not items:
            raise Gone(f"{box.owner} has not opened the {box.kind} box with {box.other(self._me)} on Google Drive")
        return items[0].id

    def folders(self, box: Box) -> tuple[str, ...]:
        """The ids of all folders of a box, the one that counts first; none when it is not known."""
        self.ready()
        with self._lock:
            return tuple(item.id for item in self.boxes.get(box, ()))

    def _look_for(self, box: Box) -> tuple[Item, ...]:
        for item in self.find_box(box):
            self.add(item)
        with self._lock:
            return self.boxes.get(box, ())

    def find_box(self, box: Box) -> list[Item]:
        """Asks Drive for the folders of a box."""
        return self.find(names.box_query(box.datasite, box.kind, box.peer), f"looking for the {box.kind} of {box.owner}")

    def add(self, item: Item) -> Box | None:
        """Takes up a folder that turned out to be there; the box that it is, if it is one."""
        box = self.box_of(item)
        if box is None:
            return None
        with self._lock:
            others = [known for known in self.boxes.get(box, ()) if known.id != item.id]
            items = sorted([*others, item], key=lambda item: (layout.preference(item.name), item.age))
            self.boxes[box] = tuple(items)
            self.by_id[item.id] = box
        return box

    def drop(self, folder: str) -> Box | None:
        """Forgets a folder that is gone; the box that it was, if it was one."""
        with self._lock:
            box = self.by_id.pop(folder, None)
            if box is not None:
                left = tuple(item for item in self.boxes.get(box, ()) if item.id != folder)
                if left:
                    self.boxes[box] = left
                else:
                    self.boxes.pop(box, None)
            self.own = {name: item for name, item in self.own.items() if item.id != folder}
            return box

    def open(self, box: Box) -> None:
        """Makes a box of ours, unless it is there, and lets its other party write into it."""
        other = box.other(self._me)
        with self._making.hold(box):
            self.ready()
            with self._lock:
                items = self.boxes.get(box, ())
            if not items:
                root = self.root()
                items = self._look_for(box) or (self.patiently(lambda: self._look_for(box)))
            if not items:
                item = self.make(layout.folder_name(box), root.id)
                self.add(item)
                items = (item,)
            # One mail tells the other party that we ask; more would only be noise.
            if not self.drive:
                self._permissions.grant(items[0], other, "writer", notify=box.kind == "inbox")
                self.add(_used_by(items[0], other, "writer"))

    def close(self, box: Box) -> None:
        """Removes a box of ours with everything of ours in it; one that is gone already is success."""
        with self._making.hold(box):
            self.ready()
            with self._lock:
                items = self.boxes.get(box, ())
            for item in items or self._look_for(box):
                self.delete(item.id, item.name)
                self.drop(item.id)

    def readers(self) -> frozenset[Email]:
        """Everybody for whom we have opened a box."""
        with self._lock:
            return frozenset(box.other(self._me) for box in self.boxes if box.owner == self._me)

    # -- our own folder --------------------------------------------------------------------------------------------

    def root(self) -> Item:
        """The folder that holds everything of ours; made when it is missing."""
        self.ready()
        with self._making.hold("root"):
            if self._root is None:
                self.patiently(self._look_for_root)
            if self._root is None:
                self._root = self.make_root()
            return self._root

    def make_root(self) -> Item:
        """Makes the folder that holds everything of ours. No parent is given, as the network does: it lies at the top."""
        return self.make(names.ROOT, "")

    def find_roots(self) -> list[Item]:
        """Asks Drive for the folder that holds everything of ours; there may be several."""
        return self.find(names.root_query(), "looking for the folder SyftBox")

    def _look_for_root(self, doubles: list[str] | None = None) -> bool:
        found = [item for item in self.find_roots() if item.is_folder]
        if found:
            self._root = min(found, key=lambda item: item.age)
        if len(found) > 1 and doubles is not None:
            doubles.append("there are several folders SyftBox in My Drive; the oldest is used")
        return bool(found)

    def _listed_root(self) -> list[Item] | None:
        """What lies directly in our folder, None while we have none or when it was removed."""
        if self._root is None:
            return None
        try:
            return self.find(names.contents_query([self._root.id]), "listing the folder SyftBox")
        except Gone:
            self._root = None
            return None

    def own_item(self, name: str) -> Item | None:
        """What of that name lies directly in our folder."""
        self.ready()
        with self._lock:
            return self.own.get(name)

    def keep(self, item: Item) -> None:
        """Notes something of ours that has been made or changed."""
        with self._lock:
            self.own[item.name] = item

    def own_folder(self, name: str) -> Item:
        """A folder of ours directly in our folder; made when it is missing."""
        with self._making.hold(("own", name)):
            found = self.own_item(name)
            if found is None:
                root = self.root()
                found = min(
                    self.find(names.named_query(name, root.id), f"looking for {name}"), key=lambda i: i.age, default=None
                )
                found = found or self.make(name, root.id)
                self.keep(found)
            return found

    def close_own(self, name: str) -> None:
        """Removes something that lies directly in our folder; again is success."""
        found = self.own_item(name)
        if found is not None:
            self.delete(found.id, name)
            with self._lock:
                self.own.pop(name, None)

    # -- making and removing ---------------------------------------------------------------------------------------

    def make(self, name: str, parent: str) -> Item:
        """Makes a folder, once however often it is tried."""
        id = self._ids.take()
        body: dict[str, Any] = {"id": id, "name": name, "mimeType": names.FOLDER}
        if parent:
            body["parents"] = [parent]
        try:
            told = self._service.call(
                "edit", f"making the folder {name}",
                lambda service: service.files().create(body=body, fields=names.FIELDS, supportsAllDrives=True),
            )  # fmt: skip
        except Exists:
            # The answer to an earlier try was lost on its way.
            told = self._service.call("read", f"looking at the folder {name}", getting(id))
        item = item_of(told)
        if item is None or item.name != name:
            raise Permanent(f"Drive made something else than the folder {name}")
        return item

    def delete(self, id: str, name: str) -> None:
        """Removes something of ours for good; gone already is success."""
        try:
            self._service.call("edit", f"removing {name}", self.removing(id))
        except Gone:
            pass  # That is what was wanted.

    def removing(self, id: str) -> Callable[[Any], Any]:
        """A request to remove something."""
        return deleting(id)

    def patiently(self, look: Callable[[], Any]) -> Any:
        """Looks once more after a while."""
        self._service.pause(self._patience)
        return look()


def _used_by(item: Item, email: Email, role: str) -> Item:
    return replace(item, users={**item.users, email: ("", role)})


def getting(id: str) -> Callable[[Any], Any]:
    """A request for what Drive tells of one file."""
    return lambda service: service.files().get(fileId=id, fields=names.SHARED_FIELDS, supportsAllDrives=True)


def deleting(id: str) -> Callable[[Any], Any]:
    """A request to remove something of ours for good."""
    return lambda service: service.files().delete(fileId=id, supportsAllDrives=True)
