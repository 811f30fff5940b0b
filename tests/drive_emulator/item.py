"""One file or folder, and one grant on it, as the store keeps them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

FOLDER: Final = "application/vnd.google-apps.folder"
_GOOGLE: Final = "application/vnd.google-apps."

RANK: Final = {"reader": 1, "commenter": 2, "writer": 3, "fileOrganizer": 4, "organizer": 5, "owner": 6}
"""Roles, weakest first."""
ANYONE: Final = "anyoneWithLink"
"""The id of the grant to everybody."""


def permission_id(address: str) -> str:
    """The number by which the service names a person; the same on every file."""
    return str(int.from_bytes(hashlib.sha256(address.encode()).digest()[:8]) % 10**20).zfill(20)


def timestamp(moment: float) -> str:
    """Seconds since the epoch as the service writes times, to the millisecond."""
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def moment(text: str) -> float:
    """The inverse of `timestamp`, for any RFC 3339 time."""
    return datetime.fromisoformat(text).timestamp()


@dataclass
class Grant:
    """Somebody's role on an item. `address` is empty for everybody."""

    id: str
    role: str
    address: str
    created: float
    by: str
    discoverable: bool = False
    expires: float | None = None

    def holds(self, address: str, now: float) -> bool:
        """Whether it names this person, and still does."""
        return self.address == address and (self.expires is None or now < self.expires)


@dataclass
class Content:
    """The bytes of a file, and what is derived from them."""

    data: bytes
    revision: str
    md5: str = ""
    sha1: str = ""
    sha256: str = ""

    def __post_init__(self) -> None:
        self.md5 = hashlib.md5(self.data, usedforsecurity=False).hexdigest()
        self.sha1 = hashlib.sha1(self.data, usedforsecurity=False).hexdigest()
        self.sha256 = hashlib.sha256(self.data).hexdigest()


@dataclass
class Item:
    """A file or folder. `parent` is None for roots and for orphans; `owner` is empty inside a shared drive."""

    id: str
    name: str
    mime_type: str
    owner: str
    parent: str | None
    created: float
    modified: float
    sequence: int
    """Which creation this was, for the order of listings."""
    drive_id: str = ""
    content: Content | None = None
    version: int = 1
    trashed: bool = False
    grants: dict[str, Grant] = field(default_factory=dict)
    properties: dict[str, str] = field(default_factory=dict)
    app_properties: dict[str, str] = field(default_factory=dict)
    plain: dict[str, Any] = field(default_factory=dict)
    """Fields that people set and read, with no meaning to the service (description, folderColorRgb, …)."""
    starred_by: set[str] = field(default_factory=set)
    modified_by: dict[str, float] = field(default_factory=dict)
    viewed_by: dict[str, float] = field(default_factory=dict)
    last_modified_by: str = ""
    writers_can_share: bool = True
    born: float = 0.0
    """When it came into being here, whatever `created` says; list lag is counted from it."""
    listings_at_birth: dict[str, int] = field(default_factory=dict)
    """How many listings each person had had when it was made, which list lag is counted from."""
    is_root: bool = False

    @property
    def is_folder(self) -> bool:
        return self.mime_type == FOLDER

    @property
    def has_content(self) -> bool:
        """Whether its type is one that has bytes of its own."""
        return not self.mime_type.startswith(_GOOGLE)

    @property
    def size(self) -> int:
        return len(self.content.data) if self.content else 0
