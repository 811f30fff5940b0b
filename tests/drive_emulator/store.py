"""Everything that the service remembers about files: the tree, who may do what, and what changed for whom.

The store is not thread-safe; the service holds one lock round it.
"""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Callable, Iterator

from tests.drive_emulator.changes import Feed
from tests.drive_emulator.errors import DriveError, insufficient, not_found
from tests.drive_emulator.item import FOLDER, RANK, Content, Grant, Item, permission_id
from tests.drive_emulator.settings import Settings


class Store:
    """All files of all people."""

    def __init__(self, settings: Settings, clock: Callable[[], float]) -> None:
        self.settings = settings
        self.clock = clock
        self.items: dict[str, Item] = {}
        self.feed = Feed()
        self.roots: dict[str, str] = {}
        """Each person's root folder."""
        self.drives: dict[str, Item] = {}
        """The root folders of shared drives, by drive id."""
        self.drive_requests: dict[tuple[str, str], str] = {}
        """Which drive a person's request id made."""
        self.listings: defaultdict[str, int] = defaultdict(int)
        self.generated: dict[str, str] = {}
        """Ids that were handed out and for whom."""
        self.used: set[str] = set()
        """Ids that name or once named a file."""
        self._children: defaultdict[str, set[str]] = defaultdict(set)
        self._made = 0

    def new_id(self, length: int = 33) -> str:
        """An id that nothing has, in the shape of the service's own."""
        return "1" + secrets.token_urlsafe(length)[: length - 1]

    def root(self, user: str) -> Item:
        """The person's root folder, made when they first come."""
        if user not in self.roots:
            now = self.clock()
            root = Item(self.new_id(19), "My Drive", FOLDER, user, None, now, now, 0, is_root=True)
            root.grants[permission_id(user)] = Grant(permission_id(user), "owner", user, now, user)
            self.items[root.id] = root
            self.used.add(root.id)
            self.roots[user] = root.id
        return self.items[self.roots[user]]

    # Looking

    def resolve(self, user: str, file_id: str) -> str:
        """The id itself, or the person's root folder for the alias "root"."""
        return self.root(user).id if file_id == "root" else file_id

    def find(self, user: str, file_id: str, all_drives: bool = True) -> Item:
        """The item, if the person may know of it. Raises DriveError (404 notFound) otherwise."""
        item = self.items.get(self.resolve(user, file_id))
        if item is None or self.rank(item, user) < RANK["reader"] or (item.drive_id and not all_drives):
            raise not_found(file_id)
        return item

    def require(self, user: str, file_id: str, role: str, all_drives: bool = True) -> Item:
        """The item, if the person has at least this role. Raises DriveError: 404 unseen, 403 seen but not permitted."""
        item = self.find(user, file_id, all_drives)
        if self.rank(item, user) < RANK[role]:
            raise insufficient(item.id)
        return item

    def chain(self, item: Item) -> Iterator[Item]:
        """The item and every folder above it."""
        node: Item | None = item
        while node is not None:
            yield node
            node = self.items.get(node.parent) if node.parent else None

    def grants(self, item: Item) -> dict[str, list[tuple[Grant, bool]]]:
        """Every grant in force on the item, by id, each with whether it is inherited.

        The owner of a folder is a writer of what others put into it.
        """
        found: defaultdict[str, list[tuple[Grant, bool]]] = defaultdict(list)
        now = self.clock()
        for node in self.chain(item):
            for grant in node.grants.values():
                if grant.expires is not None and grant.expires <= now:
                    continue
                inherited = node is not item
                if inherited and grant.role == "owner":
                    if grant.address == item.owner:
                        continue
                    grant = Grant(grant.id, "writer", grant.address, grant.created, grant.by)
                found[grant.id].append((grant, inherited))
        return dict(found)

    def rank(self, item: Item, user: str, anyone: bool = True) -> int:
        """The person's strongest role as a number, 0 for none; `anyone` counts what everybody may do."""
        best, now = 0, self.clock()
        for node in self.chain(item):
            for grant in node.grants.values():
                if not grant.holds(user, now) and not (anyone and grant.holds("", now)):
                    continue
                role = "writer" if grant.role == "owner" and node is not item else grant.role
                best = max(best, RANK[role])
        return best

    def audience(self, item: Item) -> frozenset[str]:
        """Everybody who is named, on the item or above it."""
        now = self.clock()
        return frozenset(
            grant.address
            for node in self.chain(item)
            for grant in node.grants.values()
            if grant.address and grant.holds(grant.address, now)
        )

    def is_trashed(self, item: Item) -> bool:
        """Whether it or a folder above it is in the trash."""
        return any(node.trashed for node in self.chain(item))

    def children(self, folder_id: str) -> list[Item]:
        """What lies directly in a folder, trashed or not."""
        return [self.items[child] for child in self._children.get(folder_id, ())]

    def child_count(self, folder_id: str) -> int:
        """How much lies directly in a folder."""
        return len(self._children.get(folder_id, ()))

    def subtree(self, item: Item) -> Iterator[Item]:
        """The item and everything below it."""
        waiting = [item]
        while waiting:
            node = waiting.pop()
            yield node
            waiting.extend(self.children(node.id))

    def lags(self, item: Item, user: str) -> bool:
        """Whether the item is still too new to show up in this person's listings."""
        settings = self.settings
        if settings.list_lag_ms and self.clock() - item.born < settings.list_lag_ms / 1000:
            return True
        seen = self.listings[user] - item.listings_at_birth.get(user, 0)
        return bool(settings.list_lag_listings) and not item.is_root and seen < settings.list_lag_listings

    def usage(self, user: str, trashed: bool | None = None) -> int:
        """Bytes that count against the person's storage; with `trashed`, only those in (or not in) the trash."""
        owned = (item for item in self.items.values() if item.owner == user and item.content)
        return sum(item.size for item in owned if trashed is None or self.is_trashed(item) == trashed)

    # Changing

    def check_room(self, user: str, more: int) -> None:
        """Raises DriveError (403 storageQuotaExceeded) when the person cannot store so many more bytes."""
        if more > 0 and self.usage(user) + more > self.settings.storage_limit:
            raise DriveError(403, "storageQuotaExceeded", "The user's Drive storage quota has been exceeded.")

    def check_children(self, parent: Item) -> None:
        """Raises DriveError when a folder cannot take another item."""
        if not parent.is_root and self.child_count(parent.id) >= self.settings.max_children:
            reason = "teamDriveFileLimitExceeded" if parent.drive_id else "numChildrenInNonRootLimitExceeded"
            raise DriveError(403, reason, "The limit for the number of children (files and folders) in a folder is exceeded.")

    def add(self, item: Item, user: str) -> None:
        """Puts a new item into the tree."""
        self._made += 1
        item.sequence = self._made
        item.born = self.clock()
        item.listings_at_birth = dict(self.listings)
        if item.owner:
            grant_id = permission_id(item.owner)
            item.grants[grant_id] = Grant(grant_id, "owner", item.owner, item.created, user)
        self.items[item.id] = item
        self.used.add(item.id)
        if item.parent:
            self._children[item.parent].add(item.id)
        item.last_modified_by = user
        item.modified_by[user] = item.modified
        self.touched(item)

    def set_content(self, item: Item, data: bytes) -> None:
        """Replaces the bytes of a file."""
        if item.owner:
            self.check_room(item.owner, len(data) - item.size)
        item.content = Content(data, self.new_id(44))

    def touched(self, item: Item) -> None:
        """Notes for everybody concerned that the item is no longer what it was."""
        item.version += 1
        self.feed.note(item.id, item.drive_id, self.audience(item), self.clock())

    def reshaped(self, item: Item, change: Callable[[], None]) -> None:
        """Carries out a change of place or of grants, and notes for whom anything below appeared or vanished."""
        before = {node.id: self.audience(node) for node in self.subtree(item)}
        change()
        now = self.clock()
        for node in list(self.subtree(item)):
            after = self.audience(node)
            self.feed.note(node.id, node.drive_id, after - before[node.id], now)
            self.feed.note(node.id, node.drive_id, before[node.id] - after, now, removed=True)
        item.version += 1
        self.feed.note(item.id, item.drive_id, self.audience(item) & before[item.id], now)

    def move(self, item: Item, parent: str | None) -> None:
        """Puts the item into another folder, or into none."""

        def change() -> None:
            if item.parent:
                self._children[item.parent].discard(item.id)
            item.parent = parent
            if parent:
                self._children[parent].add(item.id)

        self.reshaped(item, change)

    def delete(self, item: Item, user: str) -> None:
        """Deletes the item and what its owner has below it; what others own there is left without a folder."""
        doomed = [node for node in self.subtree(item) if node is item or node.drive_id or node.owner == item.owner]
        lost = {node.id for node in doomed}
        for node in list(self.subtree(item)):
            if node.id not in lost and node.parent in lost:
                self.move(node, None)
        now = self.clock()
        audiences = [(node, self.audience(node)) for node in doomed]
        for node, audience in audiences:
            self.feed.note(node.id, node.drive_id, audience, now, removed=True)
            if node.parent:
                self._children[node.parent].discard(node.id)
        for node in doomed:
            del self.items[node.id]
            self._children.pop(node.id, None)

