"""Which objects lie in which box, as far as this process knows. A memory only: the truth is on Drive."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from threading import RLock
from typing import Final

from syftd.names import Email
from syftd.transport.drive.files import Item
from syftd.transport.mailbox import Box

REMEMBERED: Final = 20_000
"""So many removals are remembered; no listing is so late that more were needed."""

Key = tuple[Box, str]


class Contents:
    """Objects by box and name. Of several of one name the oldest counts, for everybody the same one."""

    def __init__(self) -> None:
        self.lock = RLock()
        self._items: dict[Key, dict[str, Item]] = {}
        self._keys: dict[str, Key] = {}
        self._removed: OrderedDict[str, None] = OrderedDict()
        """Ids of what we have removed, or are about to: a late listing must not bring them back."""
        self._learned: set[str] = set()
        """Ids of folders whose contents were listed in this process."""

    def get(self, box: Box, name: str) -> Item | None:
        """The object that counts."""
        with self.lock:
            found = self._items.get((box, name))
            return min(found.values(), key=lambda item: item.age) if found else None

    def all_of(self, box: Box, name: str) -> list[Item]:
        """Everything of that name, the one that counts first."""
        with self.lock:
            return sorted(self._items.get((box, name), {}).values(), key=lambda item: item.age)

    def put(self, box: Box, item: Item) -> bool:
        """Takes up an object; False for one that we have removed."""
        with self.lock:
            if item.id in self._removed:
                return False
            before = self._keys.get(item.id)
            if before is not None and before != (box, item.name):
                self._forget(item.id)
            self._items.setdefault((box, item.name), {})[item.id] = item
            self._keys[item.id] = (box, item.name)
            return True

    def key(self, id: str) -> Key | None:
        """Where an object lies, None when it is not known."""
        with self.lock:
            return self._keys.get(id)

    def forget(self, id: str) -> Item | None:
        """The object is not there any more."""
        with self.lock:
            return self._forget(id)

    def removed(self, id: str) -> None:
        """We have removed it, or are about to."""
        with self.lock:
            self._forget(id)
            self._removed[id] = None
            while len(self._removed) > REMEMBERED:
                self._removed.popitem(last=False)

    def in_box(self, box: Box) -> list[Item]:
        """Everything that is known to lie in a box."""
        with self.lock:
            return [item for key, found in self._items.items() if key[0] == box for item in found.values()]

    def boxes(self) -> set[Box]:
        """The boxes in which something is known to lie."""
        with self.lock:
            return {key[0] for key in self._items}

    def drop_box(self, box: Box) -> None:
        """The box is closed."""
        with self.lock:
            for item in self.in_box(box):
                self._forget(item.id)

    def counting(self, boxes: Iterable[Box]) -> list[tuple[Box, Item]]:
        """The objects that count in some boxes."""
        chosen = set(boxes)
        with self.lock:
            return [
                (key[0], min(found.values(), key=lambda item: item.age))
                for key, found in self._items.items()
                if key[0] in chosen and found
            ]

    def doubles(self) -> list[str]:
        """In words: of what there are several."""
        with self.lock:
            return [
                f"{len(found)} objects are called {key[1]} in the {key[0].kind} of {key[0].owner}; the oldest counts"
                for key, found in self._items.items()
                if len(found) > 1
            ]

    def learn(self, folder: str) -> None:
        """The contents of a folder were listed."""
        with self.lock:
            self._learned.add(folder)

    def learned(self, folder: str) -> bool:
        """Whether the contents of a folder were listed in this process: from then on, what we put is known."""
        with self.lock:
            return folder in self._learned

    def _forget(self, id: str) -> Item | None:
        key = self._keys.pop(id, None)
        if key is None:
            return None
        found = self._items[key]
        item = found.pop(id, None)
        if not found:
            del self._items[key]
        return item


def written_by(item: Item, me: Email) -> bool:
    """Whether an object is ours, so that only we can remove it for good."""
    return item.owner == me
