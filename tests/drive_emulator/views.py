"""How files and people look to the one who asks."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import UTC, datetime
from typing import Any

from tests.drive_emulator.item import ANYONE, FOLDER, RANK, Content, Grant, Item, permission_id, timestamp
from tests.drive_emulator.store import Store


def user_resource(address: str, me: str) -> dict[str, Any]:
    """A person."""
    return {
        "kind": "drive#user",
        "displayName": address.partition("@")[0],
        "me": address == me,
        "permissionId": permission_id(address),
        "emailAddress": address,
    }


def permission_resource(found: list[tuple[Grant, bool]], item: Item) -> dict[str, Any]:
    """What somebody may do to a file, from the grants on it and above it."""
    strongest = max((grant for grant, _ in found), key=lambda grant: RANK[grant.role])
    details = [
        {"permissionType": "member" if item.drive_id and inherited else "file", "role": grant.role, "inherited": inherited}
        | ({"inheritedFrom": item.drive_id} if inherited and item.drive_id else {})
        for grant, inherited in found
    ]
    resource: dict[str, Any] = {
        "kind": "drive#permission",
        "id": strongest.id,
        "type": "user" if strongest.address else "anyone",
        "role": strongest.role,
        "permissionDetails": details,
    }
    if strongest.address:
        resource |= {
            "emailAddress": strongest.address,
            "displayName": strongest.address.partition("@")[0],
            "deleted": False,
            "pendingOwner": False,
        }
        if strongest.expires is not None:
            resource["expirationTime"] = timestamp(strongest.expires)
    else:
        resource["allowFileDiscovery"] = strongest.discoverable
    return resource


class FileView:
    """A file as one person sees it: what queries ask about, and the resource that answers carry."""

    def __init__(self, store: Store, item: Item, user: str) -> None:
        self._store = store
        self._item = item
        self._user = user
        self.name = item.name
        self.mime_type = item.mime_type

    @property
    def trashed(self) -> bool:
        return self._store.is_trashed(self._item)

    @property
    def starred(self) -> bool:
        return self._user in self._item.starred_by

    @property
    def shared_with_me(self) -> bool:
        """Whether the person is named on this very item by somebody else."""
        grant = self._my_grant()
        return grant is not None and grant.role != "owner" and not self._item.drive_id

    @property
    def visibility(self) -> str:
        grant = next((found[0][0] for key, found in self._store.grants(self._item).items() if key == ANYONE), None)
        if grant is None:
            return "limited"
        return "anyoneCanFind" if grant.discoverable else "anyoneWithLink"

    @property
    def text(self) -> str:
        """What fullText searches: the name, the description, and content that is text."""
        item = self._item
        content = item.content.data.decode("utf-8", "replace") if item.content and item.mime_type.startswith("text/") else ""
        return f"{item.name}\n{item.plain.get('description', '')}\n{content}"

    def time(self, field: str) -> datetime | None:
        item = self._item
        seconds = {
            "createdTime": item.created,
            "modifiedTime": item.modified,
            "viewedByMeTime": item.viewed_by.get(self._user),
        }[field]
        # Compared as written, that is to the millisecond.
        return None if seconds is None else datetime.fromisoformat(timestamp(seconds)).astimezone(UTC)

    def has_property(self, field: str, key: str, value: str) -> bool:
        have = self._item.properties if field == "properties" else self._item.app_properties
        return have.get(key) == value

    def members(self, collection: str) -> Collection[str]:
        item = self._item
        if collection == "parents":
            return self._parents()
        if collection == "owners":
            return [item.owner] if item.owner else []
        least = RANK["writer" if collection == "writers" else "reader"]
        return [
            grant.address
            for found in self._store.grants(item).values()
            for grant, _ in found
            if RANK[grant.role] >= least and grant.address
        ]

    def is_me(self, address: str) -> str:
        """The address or id that a query's word stands for."""
        if address == "me":
            return self._user
        if address == "root":
            return self._store.root(self._user).id
        return address.lower() if "@" in address else address

    def resource(self, wanted: Collection[str] | None = None) -> dict[str, Any]:
        """The file resource; only the fields `wanted`, when given, of those that this file has."""
        made: dict[str, Any] = {}
        for name, build in _FIELDS.items():
            if wanted is None or name in wanted:
                value = build(self)
                if value is not None:
                    made[name] = value
        for name, value in self._item.plain.items():
            if wanted is None or name in wanted:
                made[name] = value
        return made

    def _parents(self) -> list[str]:
        """The folder, when the person can see it."""
        parent = self._store.items.get(self._item.parent or "")
        if parent is None or self._store.rank(parent, self._user) < RANK["reader"]:
            return []
        return [parent.id]

    def _my_grant(self) -> Grant | None:
        return self._item.grants.get(permission_id(self._user))

    def _rank(self) -> int:
        return self._store.rank(self._item, self._user)

    def _may_share(self) -> bool:
        if self._item.drive_id:
            return self._rank() >= RANK["organizer" if self._item.is_root else "fileOrganizer"]
        least = "writer" if self._item.writers_can_share else "owner"
        return self._rank() >= RANK[least] and not self._item.is_root

    def _capabilities(self) -> dict[str, bool]:
        item, rank, root = self._item, self._rank(), self._item.is_root
        writes = rank >= RANK["writer"]
        owns = not root and rank >= (RANK["organizer"] if item.drive_id else RANK["owner"])
        trashes = not root and rank >= (RANK["fileOrganizer"] if item.drive_id else RANK["owner"])
        return {
            "canAddChildren": writes and item.is_folder,
            "canComment": rank >= RANK["commenter"],
            "canCopy": not item.is_folder,
            "canDelete": owns,
            "canDownload": not item.is_folder,
            "canEdit": writes,
            "canListChildren": item.is_folder,
            "canModifyContent": writes,
            "canReadRevisions": writes,
            "canRemoveChildren": writes and item.is_folder,
            "canRename": writes and not root,
            "canShare": self._may_share(),
            "canTrash": trashes,
            "canUntrash": trashes,
        }

    def _shared(self) -> bool | None:
        if self._item.drive_id:
            return None
        grants = self._store.grants(self._item)
        return any(grant.address != self._item.owner for found in grants.values() for grant, _ in found)

    def _permissions(self) -> list[dict[str, Any]] | None:
        if self._item.drive_id or not self._may_share():
            return None
        return [permission_resource(found, self._item) for found in self._store.grants(self._item).values()]

    def _permission_ids(self) -> list[str] | None:
        return sorted(self._store.grants(self._item)) if self._may_share() else None

    def _sharing_user(self) -> dict[str, Any] | None:
        grant = self._my_grant()
        return user_resource(grant.by, self._user) if grant and self.shared_with_me else None

    def _shared_with_me_time(self) -> str | None:
        grant = self._my_grant()
        return timestamp(grant.created) if grant and self.shared_with_me else None

    def _extension(self, full: bool) -> str | None:
        if self._item.content is None:
            return None
        stem, dot, last = self._item.name.rpartition(".")
        if not dot:
            return ""
        if full and stem.endswith(".tar"):
            return f"tar.{last}"
        return last

    def _viewed(self) -> str | None:
        seconds = self._item.viewed_by.get(self._user)
        return None if seconds is None else timestamp(seconds)

    def _modified_by_me(self) -> str | None:
        seconds = self._item.modified_by.get(self._user)
        return None if seconds is None else timestamp(seconds)

    def _download_link(self) -> str | None:
        item = self._item
        return None if item.content is None else f"https://drive.google.com/uc?id={item.id}&export=download"

    def _link(self) -> str:
        item = self._item
        place = f"drive/folders/{item.id}" if item.mime_type == FOLDER else f"file/d/{item.id}/view?usp=drivesdk"
        return f"https://drive.google.com/{place}"


def _of_content(read: Callable[[Content], Any]) -> Callable[[FileView], Any]:
    return lambda view: read(view._item.content) if view._item.content is not None else None


_FIELDS: dict[str, Callable[[FileView], Any]] = {
    "kind": lambda view: "drive#file",
    "id": lambda view: view._item.id,
    "name": lambda view: view._item.name,
    "mimeType": lambda view: view._item.mime_type,
    "starred": lambda view: view.starred,
    "trashed": lambda view: view.trashed,
    "explicitlyTrashed": lambda view: view._item.trashed,
    "parents": lambda view: view._parents() or None,
    "properties": lambda view: dict(view._item.properties) or None,
    "appProperties": lambda view: dict(view._item.app_properties) or None,
    "spaces": lambda view: ["drive"],
    "version": lambda view: str(view._item.version),
    "createdTime": lambda view: timestamp(view._item.created),
    "modifiedTime": lambda view: timestamp(view._item.modified),
    "modifiedByMe": lambda view: view._user in view._item.modified_by,
    "modifiedByMeTime": lambda view: view._modified_by_me(),
    "viewedByMe": lambda view: view._user in view._item.viewed_by,
    "viewedByMeTime": lambda view: view._viewed(),
    "sharedWithMeTime": lambda view: view._shared_with_me_time(),
    "sharingUser": lambda view: view._sharing_user(),
    "owners": lambda view: [user_resource(view._item.owner, view._user)] if view._item.owner else None,
    "ownedByMe": lambda view: view._item.owner == view._user if view._item.owner else None,
    "driveId": lambda view: view._item.drive_id or None,
    "teamDriveId": lambda view: view._item.drive_id or None,
    "lastModifyingUser": lambda view: (
        user_resource(view._item.last_modified_by, view._user) if view._item.last_modified_by else None
    ),
    "shared": lambda view: view._shared(),
    "capabilities": lambda view: view._capabilities(),
    "permissions": lambda view: view._permissions(),
    "permissionIds": lambda view: view._permission_ids(),
    "writersCanShare": lambda view: None if view._item.drive_id else view._item.writers_can_share,
    "copyRequiresWriterPermission": lambda view: False,
    "viewersCanCopyContent": lambda view: True,
    "isAppAuthorized": lambda view: True,
    "hasThumbnail": lambda view: False,
    "thumbnailVersion": lambda view: "0",
    "webViewLink": lambda view: view._link(),
    "iconLink": lambda view: f"https://drive-thirdparty.googleusercontent.com/16/type/{view._item.mime_type}",
    "webContentLink": lambda view: view._download_link(),
    "originalFilename": lambda view: view._item.name if view._item.content is not None else None,
    "fullFileExtension": lambda view: view._extension(full=True),
    "fileExtension": lambda view: view._extension(full=False),
    "md5Checksum": _of_content(lambda content: content.md5),
    "sha1Checksum": _of_content(lambda content: content.sha1),
    "sha256Checksum": _of_content(lambda content: content.sha256),
    "size": _of_content(lambda content: str(len(content.data))),
    "headRevisionId": _of_content(lambda content: content.revision),
    "quotaBytesUsed": lambda view: str(view._item.size),
}
"""How each field of the file resource is made; None leaves it out."""
