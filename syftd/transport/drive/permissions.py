"""Who may use what: every edit of one file's permissions waits for the one before, since Drive keeps only the last of
several at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from syftd.errors import Exists, Gone, TransportError
from syftd.names import Email
from syftd.transport.drive.files import Item, Locks
from syftd.transport.drive.service import Build, Service

Role = Literal["reader", "writer"]
_ENOUGH: Mapping[Role, tuple[str, ...]] = {
    "reader": ("reader", "commenter", "writer", "fileOrganizer", "organizer", "owner"),
    "writer": ("writer", "fileOrganizer", "organizer", "owner"),
}


class Permissions:
    """Grants and revokes on files and folders of ours."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._locks = Locks()

    def grant(self, item: Item, email: Email, role: Role, *, notify: bool = False) -> None:
        """Lets somebody use a thing; what they may already is left as it is."""
        if has(item, email, role):
            return
        with self._locks.hold(item.id):
            self._service.call("edit", f"sharing {item.name} with {email}", _granting(item.id, email, role, notify))

    def grant_each(self, items: Sequence[Item], email: Email, role: Role) -> list[TransportError | None]:
        """Lets somebody use many things, without a mail about any of them. For each: the error that it ended with."""
        lacking = [item for item in items if not has(item, email, role)]
        with self._locks.hold(*(item.id for item in lacking)):
            builds = [_granting(item.id, email, role, False) for item in lacking]
            answers = dict(
                zip((item.id for item in lacking), self._service.each("edit", f"sharing with {email}", builds), strict=True)
            )
        return [
            answer if isinstance(answer := answers.get(item.id), TransportError) else None for item in items
        ]  # fmt: skip

    def revoke(self, items: Sequence[Item], email: Email) -> None:
        """Takes back what somebody may do with things of ours; again is success. Raises the first error."""
        for item in items:
            with self._locks.hold(item.id):
                for permission in self._found(item, email):
                    try:
                        self._service.call(
                            "edit", f"no longer sharing {item.name} with {email}", _revoking(item.id, permission)
                        )
                    except (Gone, Exists):
                        continue

    def _found(self, item: Item, email: Email) -> list[str]:
        """The ids of a person's permissions on a thing: asked for, since we may not have been told of all."""
        found: list[str] = []

        def build(service: Any, token: str | None) -> Any:
            return service.permissions().list(
                fileId=item.id, pageToken=token, pageSize=100, supportsAllDrives=True,
                fields="nextPageToken,permissions(id,type,role,emailAddress)",
            )  # fmt: skip

        try:
            for page, _ in self._service.pages(f"asking who may use {item.name}", "permissions", build):
                for given in page:
                    mail = str(given.get("emailAddress", "")).lower()
                    if mail == email and given.get("role") != "owner":
                        found.append(str(given["id"]))
        except Gone:
            return []
        return found


def has(item: Item, email: Email, role: Role) -> bool:
    """Whether somebody may use a thing already, as far as we were told."""
    known = item.users.get(email)
    return known is not None and known[1] in _ENOUGH[role]


def _revoking(id: str, permission: str) -> Build:
    return lambda service: service.permissions().delete(fileId=id, permissionId=permission, supportsAllDrives=True)


def _granting(id: str, email: Email, role: Role, notify: bool) -> Build:
    body = {"type": "user", "role": role, "emailAddress": email}
    return lambda service: service.permissions().create(
        fileId=id, body=body, sendNotificationEmail=notify, supportsAllDrives=True, fields="id"
    )
