"""What Drive tells of one file, as a value; and the locks that let one thread at a time work on one thing."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

from syftd.names import Digest, Email
from syftd.transport.drive.layout import FOLDER
from syftd.transport.layout import address


@dataclass(frozen=True, slots=True)
class Item:
    """A file or folder. `size` in bytes, -1 when unknown; `created` sorts as text; `users` are those we were told of,
    with the id of the permission and the role."""

    id: str
    name: str
    mime: str
    parents: tuple[str, ...]
    trashed: bool
    owner: Email | None
    size: int = -1
    sha256: str = ""
    md5: str = ""
    created: str = ""
    drive: str = ""
    users: Mapping[Email, tuple[str, str]] = field(default_factory=dict)

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder."""
        return self.mime == FOLDER

    @property
    def age(self) -> tuple[str, str]:
        """Sorts things of one name: the oldest is the one that counts, for everybody."""
        return (self.created, self.id)

    def holds(self, digest: Digest, md5: str, size: int) -> bool:
        """Whether its bytes are those with these digests, as far as Drive tells."""
        if self.sha256:
            return self.sha256 == digest
        return self.md5 == md5 and self.size == size


def item_of(told: Mapping[str, Any]) -> Item | None:
    """The file that an answer tells of, None when something is missing that every file has."""
    id, name = told.get("id"), told.get("name")
    if not isinstance(id, str) or not isinstance(name, str):
        return None
    owners = told.get("owners") or []
    size = str(told.get("size", ""))
    users = {
        email: (str(given.get("id", "")), str(given.get("role", "")))
        for given in told.get("permissions") or []
        if given.get("type") == "user" and (email := _email(given.get("emailAddress"))) is not None
    }
    return Item(
        id, name, str(told.get("mimeType", "")), tuple(str(parent) for parent in told.get("parents") or ()),
        bool(told.get("trashed")), _email(owners[0].get("emailAddress")) if owners else None,
        int(size) if size.isdigit() else -1, str(told.get("sha256Checksum", "")), str(told.get("md5Checksum", "")),
        str(told.get("createdTime", "")), str(told.get("driveId", "")), users,
    )  # fmt: skip


def _email(text: object) -> Email | None:
    """An account's address as we write addresses; Google keeps the capitals that its owner once typed."""
    return address(text.strip().lower()) if isinstance(text, str) else None


class Locks:
    """One lock for each thing that is being worked on."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._held: dict[Hashable, tuple[Lock, int]] = {}

    @contextmanager
    def hold(self, *things: Hashable) -> Iterator[None]:
        """Keeps every other thread away from these things; they are taken in one order, so that nobody waits for ever."""
        with ExitStack() as stack:
            for thing in sorted(set(things), key=repr):
                stack.enter_context(self._one(thing))
            yield

    @contextmanager
    def _one(self, thing: Hashable) -> Iterator[None]:
        with self._lock:
            lock, users = self._held.get(thing, (Lock(), 0))
            self._held[thing] = (lock, users + 1)
        try:
            with lock:
                yield
        finally:
            with self._lock:
                lock, users = self._held[thing]
                if users == 1:
                    del self._held[thing]
                else:
                    self._held[thing] = (lock, users - 1)
