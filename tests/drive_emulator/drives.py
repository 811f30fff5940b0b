"""The methods of drives: shared drives, whose content belongs to no single person."""

from __future__ import annotations

from typing import Any

from tests.drive_emulator import query
from tests.drive_emulator.call import Answer, Call, verb
from tests.drive_emulator.errors import DriveError, insufficient, invalid
from tests.drive_emulator.item import FOLDER, RANK, Grant, Item, permission_id, timestamp
from tests.drive_emulator.query_text import parse


@verb("drive.drives.create")
def create(call: Call) -> Answer:
    """Makes a shared drive with its creator as organizer. A request id that was used before is refused with 409."""
    store, user = call.service.store, call.user
    request = (user, call.params["requestId"])
    name = call.body.get("name")
    if not name:
        raise DriveError(400, "required", "The name field is required.", location="name")
    if request in store.drive_requests:
        raise DriveError(409, "alreadyExists", "A shared drive was already created with this request ID.")
    now = store.clock()
    root = Item(store.new_id(19), name, FOLDER, "", None, now, now, 0, is_root=True)
    root.drive_id = root.id
    key = permission_id(user)
    root.grants[key] = Grant(key, "organizer", user, now, user)
    store.drives[root.id] = root
    store.drive_requests[request] = root.id
    store.add(root, user)
    return _resource(call, root)


@verb("drive.drives.get")
def get(call: Call) -> Answer:
    """One shared drive that the person is a member of."""
    return _resource(call, _drive(call))


@verb("drive.drives.list")
def listing(call: Call) -> Answer:
    """The shared drives that the person is a member of."""
    store = call.service.store
    mine = [drive for drive in store.drives.values() if store.rank(drive, call.user, anyone=False)]
    text = call.params.get("q", "")
    if text.strip():
        node = parse(text)
        if not isinstance(node, query.Compare) or node.field != "name":
            raise invalid("Invalid Value", "q")
        mine = [drive for drive in mine if query.matches_name(node, drive.name)]
    shape = (call.user, "drives", text)
    left = sorted(drive.id for drive in mine)
    if token := call.params.get("pageToken"):
        kept = call.service.cursors.take(token, shape)
        if kept is None:
            raise invalid("Invalid Value", "pageToken")
        left = [drive_id for drive_id in kept if drive_id in store.drives]
    size = call.params["pageSize"]
    answer: dict[str, Any] = {
        "kind": "drive#driveList",
        "drives": [_resource(call, store.drives[drive_id]) for drive_id in left[:size]],
    }
    if len(left) > size:
        answer["nextPageToken"] = call.service.cursors.keep(shape, left[size:])
    return answer


@verb("drive.drives.update")
def update(call: Call) -> Answer:
    """Renames a shared drive."""
    drive = _drive(call, "organizer")
    drive.name = call.body.get("name", drive.name)
    call.service.store.touched(drive)
    return _resource(call, drive)


@verb("drive.drives.delete")
def delete(call: Call) -> Answer:
    """Deletes a shared drive without items in it."""
    store, drive = call.service.store, _drive(call, "organizer")
    if store.child_count(drive.id):
        raise DriveError(403, "cannotDeleteNonEmptyTeamDrive", "A shared drive with items in it cannot be deleted.")
    store.delete(drive, call.user)
    del store.drives[drive.id]
    return None


def _drive(call: Call, role: str = "reader") -> Item:
    store, drive_id = call.service.store, call.params["driveId"]
    drive = store.drives.get(drive_id)
    if drive is None or not store.rank(drive, call.user, anyone=False):
        raise DriveError(404, "notFound", f"Shared drive not found: {drive_id}", location="driveId")
    if store.rank(drive, call.user, anyone=False) < RANK[role]:
        raise insufficient(drive.id)
    return drive


def _resource(call: Call, drive: Item) -> dict[str, Any]:
    rank = call.service.store.rank(drive, call.user, anyone=False)
    organizes, writes = rank >= RANK["organizer"], rank >= RANK["writer"]
    return {
        "kind": "drive#drive",
        "id": drive.id,
        "name": drive.name,
        "createdTime": timestamp(drive.created),
        "hidden": False,
        "capabilities": {
            "canAddChildren": writes,
            "canEdit": writes,
            "canManageMembers": organizes,
            "canRenameDrive": organizes,
            "canDeleteDrive": organizes,
            "canListChildren": True,
            "canReadRevisions": True,
        },
    }
