"""The methods of permissions: who may do what, on a file and, through folders, on everything below."""

from __future__ import annotations

from typing import Any, Final

from tests.drive_emulator.call import Answer, Call, verb
from tests.drive_emulator.errors import DriveError, insufficient, invalid
from tests.drive_emulator.item import ANYONE, RANK, Grant, Item, moment, permission_id
from tests.drive_emulator.views import permission_resource

_CREATABLE: Final = {"kind", "type", "role", "emailAddress", "allowFileDiscovery", "expirationTime", "pendingOwner", "domain"}
_CHANGEABLE: Final = {"kind", "role", "expirationTime"}
_ONLY_IN_DRIVES: Final = ("organizer", "fileOrganizer")


@verb("drive.permissions.create")
def create(call: Call) -> Answer:
    """Gives a person, or everybody, a role. A second grant to the same person replaces the first."""
    store, body = call.service.store, call.body
    item = _shareable(call)
    _check_fields(body, _CREATABLE)
    role, kind = _role(body, item), body.get("type")
    if kind not in ("user", "anyone", "group", "domain"):
        raise DriveError(400, "required", "The permission type field is required.", location="permission.type")
    if kind in ("group", "domain"):
        raise DriveError(501, "notImplemented", f"This emulator knows no permission of type {kind}.")
    address = str(body.get("emailAddress", "")).lower() if kind == "user" else ""
    if kind == "user" and address.count("@") != 1:
        raise invalid("The specified emailAddress is invalid or not applicable for the given permission type.", "emailAddress")
    if kind == "anyone" and ("emailAddress" in body or RANK[role] > RANK["writer"]):
        raise invalid("The specified role or address is invalid for the given permission type.", "permission.type")
    if role == "owner":
        return _transfer(call, item, address)
    key = permission_id(address) if address else ANYONE
    if address and address == item.owner:
        raise invalid("The owner of a file already has every permission on it.", "emailAddress")
    expires = moment(body["expirationTime"]) if "expirationTime" in body else None
    grant = Grant(key, role, address, store.clock(), call.user, bool(body.get("allowFileDiscovery")), expires)
    store.reshaped(item, lambda: item.grants.__setitem__(key, grant))
    if address and call.params.get("sendNotificationEmail", True):
        _notify(call, item, address, role)
    return _resource(call, item, key)


@verb("drive.permissions.list")
def listing(call: Call) -> Answer:
    """Everybody's role on a file, inherited ones included."""
    store = call.service.store
    item = store.find(call.user, call.params["fileId"], call.all_drives)
    if store.rank(item, call.user) < RANK["reader" if item.drive_id else "writer"]:
        raise insufficient(item.id)
    found = store.grants(item)
    shape = (call.user, "permissions", item.id)
    left = sorted(found)
    if token := call.params.get("pageToken"):
        kept = call.service.cursors.take(token, shape)
        if kept is None:
            raise invalid("Invalid Value", "pageToken")
        left = [key for key in kept if key in found]
    size = call.params.get("pageSize", 100)
    answer: dict[str, Any] = {
        "kind": "drive#permissionList",
        "permissions": [permission_resource(found[key], item) for key in left[:size]],
    }
    if len(left) > size:
        answer["nextPageToken"] = call.service.cursors.keep(shape, left[size:])
    return answer


@verb("drive.permissions.get")
def get(call: Call) -> Answer:
    """One person's role."""
    store = call.service.store
    item = store.find(call.user, call.params["fileId"], call.all_drives)
    key = call.params["permissionId"]
    if key != permission_id(call.user) and store.rank(item, call.user) < RANK["writer"]:
        raise insufficient(item.id)
    return _resource(call, item, key)


@verb("drive.permissions.update")
def update(call: Call) -> Answer:
    """Changes a role, or when it ends."""
    store, body = call.service.store, call.body
    item, key = _shareable(call), call.params["permissionId"]
    _check_fields(body, _CHANGEABLE)
    grant = _direct(call, item, key)
    role = _role(body, item) if "role" in body else grant.role
    if role == "owner" and grant.role != "owner":
        return _transfer(call, item, grant.address)
    if grant.role == "owner" and role != "owner":
        raise DriveError(403, "cannotModifyOwner", "The owner of a file keeps that role until ownership is transferred.")
    _keep_organizer(item, grant, role)
    expires = None if call.params.get("removeExpiration") else grant.expires
    if "expirationTime" in body:
        expires = moment(body["expirationTime"])
    changed = Grant(key, role, grant.address, grant.created, grant.by, grant.discoverable, expires)
    store.reshaped(item, lambda: item.grants.__setitem__(key, changed))
    return _resource(call, item, key)


@verb("drive.permissions.delete")
def delete(call: Call) -> Answer:
    """Takes a role away; everybody may give up their own."""
    store, key = call.service.store, call.params["permissionId"]
    item = store.find(call.user, call.params["fileId"], call.all_drives)
    if key != permission_id(call.user):
        item = _shareable(call)
    grant = _direct(call, item, key)
    if grant.role == "owner":
        raise DriveError(403, "cannotRemoveOwner", "The owner of a file cannot be removed.")
    _keep_organizer(item, grant, None)
    store.reshaped(item, lambda: item.grants.__delitem__(key))
    return None


def _shareable(call: Call) -> Item:
    """The item of the call, when the person may change its permissions."""
    store = call.service.store
    item = store.find(call.user, call.params["fileId"], call.all_drives)
    if item.drive_id:
        least = "organizer" if item.is_root else "fileOrganizer"
    else:
        least = "writer" if item.writers_can_share and not item.is_root else "owner"
    if (item.is_root and not item.drive_id) or store.rank(item, call.user) < RANK[least]:
        raise insufficient(item.id)
    return item


def _role(body: dict[str, Any], item: Item) -> str:
    role = body.get("role")
    if role is None:
        raise DriveError(400, "required", "The permission role field is required.", location="permission.role")
    if role not in RANK:
        raise invalid(f"The specified role is invalid: {role}.", "permission.role")
    if role in _ONLY_IN_DRIVES and not item.drive_id:
        raise DriveError(403, "organizerOnNonTeamDriveItemNotSupported", f"The role {role} exists only in shared drives.")
    if role == "owner" and item.drive_id:
        raise DriveError(403, "ownerOnTeamDriveItemNotSupported", "Items in shared drives have no owner.")
    return str(role)


def _check_fields(body: dict[str, Any], allowed: set[str]) -> None:
    for name in body:
        if name not in allowed:
            raise DriveError(
                403, "fieldNotWritable", f"The resource body includes fields which are not directly writable: {name}."
            )


def _direct(call: Call, item: Item, key: str) -> Grant:
    """The grant on the item itself. Raises DriveError: 404 when there is none, 403 when it lies on a folder above."""
    if key in item.grants:
        return item.grants[key]
    if key in call.service.store.grants(item):
        raise DriveError(
            403, "cannotModifyInheritedPermission", "An inherited permission can be changed only on the folder it is from."
        )
    raise DriveError(404, "notFound", f"Permission not found: {key}.", location="permissionId")


def _keep_organizer(item: Item, grant: Grant, role: str | None) -> None:
    """A shared drive must not lose its last organizer."""
    if not (item.is_root and item.drive_id and grant.role == "organizer") or role == "organizer":
        return
    if sum(other.role == "organizer" for other in item.grants.values()) == 1:
        raise DriveError(403, "cannotRemoveLastOrganizer", "A shared drive needs at least one organizer.")


def _transfer(call: Call, item: Item, address: str) -> Answer:
    """Makes another person the owner; the one before becomes a writer."""
    store = call.service.store
    if item.owner != call.user or item.is_root:
        raise insufficient(item.id)
    if not call.params.get("transferOwnership"):
        raise DriveError(
            403,
            "forbidden",
            "The transferOwnership parameter must be enabled when the permission role is 'owner'.",
            location="transferOwnership",
        )
    store.check_room(address, item.size)
    old, new, now = permission_id(item.owner), permission_id(address), store.clock()

    def change() -> None:
        item.grants[old] = Grant(old, "writer", item.owner, now, call.user)
        item.grants[new] = Grant(new, "owner", address, now, call.user)
        item.owner = address

    store.reshaped(item, change)
    _notify(call, item, address, "owner")
    return _resource(call, item, new)


def _notify(call: Call, item: Item, address: str, role: str) -> None:
    message = {"to": address, "from": call.user, "fileId": item.id, "name": item.name, "role": role}
    call.service.mail.append(message | {"message": call.params.get("emailMessage", "")})


def _resource(call: Call, item: Item, key: str) -> dict[str, Any]:
    found = call.service.store.grants(item).get(key)
    if found is None:
        raise DriveError(404, "notFound", f"Permission not found: {key}.", location="permissionId")
    return permission_resource(found, item)
