"""What is there, and what has changed: one cheap poll for everybody, and now and then the whole truth.

The cursor is Drive's page token with the circle of peers for whom it was asked. A whole listing goes on from the token
that was held before, so that what a late listing leaves out still comes with the changes. Without a token from before
(the first listing of a process) the boxes are listed a few times more in the minutes that follow.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, Final

from syftd.errors import Gone, Permanent, Refused, Transient
from syftd.names import Digest, Email
from syftd.seams import Clock
from syftd.transport.drive import layout as names
from syftd.transport.drive.contents import Contents
from syftd.transport.drive.files import Item, item_of
from syftd.transport.drive.folders import Folders
from syftd.transport.drive.service import Service
from syftd.transport.layout import BOX_PREFIX
from syftd.transport.mailbox import Box, Listing, Opened, Ref

MAX_BOX_OBJECTS: Final = 20_000
"""More than this in one group of boxes is not read in one poll; the listing then says whose mail is not all there."""

MAX_CHANGE_PAGES: Final = 50
"""So many pages of changes are read in one poll; the next one goes on where it ended."""

AGAIN_AFTER: Final = (5.0, 20.0, 60.0, 180.0)
"""Seconds after the first listing of a process at which the boxes are listed again; see above."""


@dataclass
class _Changes:
    """What the feed told: by file, the latest; and where it goes on."""

    token: str
    told: dict[str, Item | None] = field(default_factory=dict)


class Lister:
    """Lists boxes. One thread at a time; what it learns goes into `contents` and `folders`."""

    def __init__(self, service: Service, folders: Folders, contents: Contents, me: Email, name: str, clock: Clock) -> None:
        self.taken: list[Item] = []
        """Objects of ours that their readers have taken out of their boxes; only we, who own them, can remove them."""
        self._service = service
        self._folders = folders
        self._contents = contents
        self._me = me
        self._name = name
        self._clock = clock
        self._lock = Lock()
        self._held = ""
        self._again: list[float] = []

    def list(self, cursor: str, peers: frozenset[Email]) -> Listing:
        """See `Mailbox.list`."""
        circle = Digest.of("\n".join(sorted(peers)).encode())[:16]
        token, _, of = cursor.rpartition("@")
        with self._lock:
            if token and of == circle:
                try:
                    return self._since(token, peers, circle)
                except (Gone, Permanent):
                    self._held = ""  # Drive does not know this token (any more): begin anew.
            return self._whole(peers, circle)

    # -- the whole -------------------------------------------------------------------------------------------------

    def _whole(self, peers: frozenset[Email], circle: str) -> Listing:
        first = not self._held
        token = self._held or self._start()
        self._look()
        boxes = self._boxes(peers)
        incomplete = self._list_boxes(boxes)
        after = _Changes(token)
        if first:
            now = self._clock.monotonic()
            self._again = [now + seconds for seconds in AGAIN_AFTER]
        else:
            try:
                after = self._feed(token)
                self._take(after, peers)
            except (Gone, Permanent):
                after = _Changes(self._start())
        self._held = after.token
        return Listing(
            self._refs(self._boxes(peers)), self._opened(), f"{after.token}@{circle}", True, frozenset(incomplete)
        )

    def _look(self) -> None:
        """Looks at the folders anew, and forgets what lay in those that are there no more."""
        self._folders.look()
        for box in self._contents.boxes():
            if box.kind in ("inbox", "outbox"):
                there = self._folders.folders(box)
                for item in self._contents.in_box(box):
                    if not any(parent in there for parent in item.parents):
                        self._contents.forget(item.id)

    def _list_boxes(self, boxes: Iterable[Box]) -> set[Email]:
        """Lists what lies in some boxes; returns the parties of whom that does not tell everything."""
        folders = [(folder, box) for box in boxes for folder in self._folders.folders(box)]
        incomplete: set[Email] = set()
        for begin in range(0, len(folders), names.MOST_PARENTS):
            group = folders[begin : begin + names.MOST_PARENTS]
            try:
                self._list_folders(group)
            except (Gone, Refused, Permanent):
                # One of them cannot be read: who that is shows when each is asked for by itself.
                for one in group:
                    try:
                        self._list_folders([one])
                    except (Gone, Refused, Permanent):
                        incomplete.add(one[1].other(self._me))
        return incomplete

    def _list_folders(self, group: Sequence[tuple[str, Box]]) -> None:
        known = dict(group)
        found = self._folders.find(names.contents_query(list(known)), "listing boxes", MAX_BOX_OBJECTS)
        listed = {item.id for item in found}
        for item in found:
            box = next((known[parent] for parent in item.parents if parent in known), None)
            if box is not None:
                self._take_up(box, item)
        # Absence in a listing proves nothing, since it may be late; asked for by its id, Drive knows.
        missing = [item for box in set(known.values()) for item in self._contents.in_box(box) if item.id not in listed]
        missing = [item for item in missing if any(parent in known for parent in item.parents)]
        there = {item.id: item for item in self._folders.still(missing)}
        for item in missing:
            now = there.get(item.id)
            if now is None or not any(parent in known for parent in now.parents):
                key = self._contents.key(item.id)
                self._contents.forget(item.id)
                if key is not None:
                    self._left(key[0], item, now)
        for folder in known:
            self._contents.learn(folder)

    # -- changes ---------------------------------------------------------------------------------------------------

    def _since(self, token: str, peers: frozenset[Email], circle: str) -> Listing:
        self._folders.ready()
        after = self._feed(token)
        refs, opened, gone = self._take(after, peers)
        incomplete: set[Email] = set()
        now = self._clock.monotonic()
        if self._again and now >= self._again[0]:
            self._again = [at for at in self._again if at > now]
            self._look()
            boxes = self._boxes(peers)
            incomplete = self._list_boxes(boxes)
            refs, opened = self._refs(boxes), self._opened()
        self._held = after.token
        return Listing(refs, opened, f"{after.token}@{circle}", False, frozenset(incomplete), gone)

    def _feed(self, token: str) -> _Changes:
        """All that changed since `token`."""
        found = _Changes(token)
        fields = f"nextPageToken,newStartPageToken,changes(fileId,removed,file({names.SHARED_FIELDS}))"

        begin = token
        within = {"driveId": self._folders.drive} if self._folders.drive else {}

        def build(service: Any, token: str | None) -> Any:
            return service.changes().list(
                pageToken=token or begin, pageSize=names.PAGE, spaces="drive", includeRemoved=True, supportsAllDrives=True,
                includeItemsFromAllDrives=True, fields=fields, **within,
            )  # fmt: skip

        for number, (page, answer) in enumerate(self._service.pages("asking for changes", "changes", build), start=1):
            for change in page:
                id = str(change.get("fileId", ""))
                item = None if change.get("removed") else item_of(change.get("file") or {})
                found.told[id] = item if item is not None and not item.trashed else None
            found.token = str(answer.get("newStartPageToken") or answer.get("nextPageToken") or found.token)
            if number >= MAX_CHANGE_PAGES:
                break
        return found

    def _take(
        self, after: _Changes, peers: frozenset[Email]
    ) -> tuple[tuple[Ref, ...], tuple[Opened, ...], tuple[Ref, ...]]:
        """Takes up what changed; returns the objects and boxes that are new, and the objects that left their boxes."""
        opened: list[Opened] = []
        new: list[Box] = []
        for id, item in after.told.items():
            before = self._folders.by_id.get(id)
            box = None
            if item is not None and item.is_folder:
                self._folders.note(item)
            if item is not None and item.is_folder and item.name.startswith(BOX_PREFIX):
                box = self._folders.add(item)
            if before is not None and box != before:
                self._folders.drop(id)
                for inside in self._contents.in_box(before):
                    if id in inside.parents:
                        self._contents.forget(inside.id)
            if box is not None and box.owner != self._me:
                opened.append(Opened(box, self._folders.folder(box)))
            if box is not None and box != before and box.other(self._me) in peers:
                new.append(box)
        # What was put into a box before it was opened to us may never show among the changes.
        self._list_boxes(new)
        refs = {(ref.box, ref.name): ref for ref in self._refs(new)}
        gone: list[Ref] = []
        for id, item in after.told.items():
            box = None
            if item is not None and not item.is_folder:
                box = next((self._folders.by_id[p] for p in item.parents if p in self._folders.by_id), None)
            if box is not None and item is not None:
                if self._take_up(box, item) and box.other(self._me) in peers:
                    refs[(box, item.name)] = self._ref(box, self._contents.get(box, item.name) or item)
                continue
            key = self._contents.key(id)
            known = self._contents.forget(id)
            if key is None or known is None:
                continue
            self._left(key[0], known, item)
            is_mail = key[0].kind in ("inbox", "outbox") and key[0].other(self._me) in peers
            if is_mail and self._contents.get(*key) is None:
                gone.append(Ref(key[0], key[1], known.size, self._name))
        return tuple(refs.values()), tuple(opened), tuple(gone)

    def _left(self, box: Box, item: Item, now: Item | None) -> None:
        """Something is in its box no more. What we have told, and what is now nowhere that we can see, was taken by its
        reader. What was proposed stays: its receiver keeps it in an archive, as the network does."""
        if box.kind == "outbox" and item.owner == self._me and now is not None and not now.parents:
            self.taken.append(now)

    # -- pieces ----------------------------------------------------------------------------------------------------

    def _take_up(self, box: Box, item: Item) -> bool:
        return self._folders.belongs(item, box) and self._contents.put(box, item)

    def _boxes(self, peers: frozenset[Email]) -> tuple[Box, ...]:
        """The boxes between us and some peers."""
        return tuple(box for box in tuple(self._folders.boxes) if box.other(self._me) in peers)

    def _refs(self, boxes: Iterable[Box]) -> tuple[Ref, ...]:
        return tuple(self._ref(box, item) for box, item in self._contents.counting(boxes))

    def _ref(self, box: Box, item: Item) -> Ref:
        return Ref(box, item.name, item.size, self._name)

    def _opened(self) -> tuple[Opened, ...]:
        """The boxes of others; a box is known by the folder that counts."""
        boxes = dict(self._folders.boxes)
        return tuple(Opened(box, items[0].id) for box, items in boxes.items() if box.owner != self._me)

    def _start(self) -> str:
        within = {"driveId": self._folders.drive} if self._folders.drive else {}
        answer = self._service.call(
            "read", "asking where changes begin", lambda s: s.changes().getStartPageToken(supportsAllDrives=True, **within)
        )
        try:
            return str(answer["startPageToken"])
        except (KeyError, TypeError):
            raise Transient("Drive does not say where changes begin") from None


