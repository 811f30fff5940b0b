"""The method files.list: what a query finds, in which order, page by page."""

from __future__ import annotations

import re
from typing import Any, Final

from tests.drive_emulator import query
from tests.drive_emulator.call import Answer, Call, verb
from tests.drive_emulator.errors import DriveError, invalid
from tests.drive_emulator.item import Item, permission_id
from tests.drive_emulator.query_text import parse
from tests.drive_emulator.store import Store
from tests.drive_emulator.views import FileView

_ORDERS: Final = {
    "createdTime", "folder", "modifiedByMeTime", "modifiedTime", "name", "name_natural", "quotaBytesUsed", "recency",
    "sharedWithMeTime", "starred", "viewedByMeTime",
}  # fmt: skip


@verb("drive.files.list")
def listing(call: Call) -> Answer:
    """The files that fit a query, page by page."""
    store, user, params = call.service.store, call.user, call.params
    order = _order(params.get("orderBy", ""))
    text = params.get("q", "")
    node = parse(text) if text.strip() else None
    _check_corpora(call)
    shape = (user, text, params.get("orderBy", ""), params.get("corpora", ""), params.get("driveId", ""))
    if token := params.get("pageToken"):
        left = call.service.cursors.take(token, shape)
        if left is None:
            raise invalid("Invalid Value", "pageToken")
    else:
        found = [item for item in _candidates(call, node) if not store.lags(item, user)]
        if node is not None:
            found = [item for item in found if query.matches(node, FileView(store, item, user))]
        found.sort(key=lambda item: item.sequence, reverse=True)
        for field, descending in reversed(order):
            found.sort(key=lambda item: _sort_key(store, item, user, field), reverse=descending)
        left = [item.id for item in found]
    size = params["pageSize"]
    page = [item for file_id in left[:size] if (item := store.items.get(file_id)) and store.rank(item, user)]
    store.listings[user] += 1
    wanted = call.wanted("files")
    answer: dict[str, Any] = {
        "kind": "drive#fileList",
        "incompleteSearch": False,
        "files": [FileView(store, item, user).resource(wanted) for item in page],
    }
    if len(left) > size:
        answer["nextPageToken"] = call.service.cursors.keep(shape, left[size:])
    return answer


def _candidates(call: Call, node: query.Node | None) -> list[Item]:
    """What the query may choose from: what the person owns or was given, and what is public in folders they name."""
    store, user = call.service.store, call.user
    named = {store.resolve(user, parent) for parent in query.parents_named(node)} if node else set()
    for parent in named:
        store.find(user, parent, call.all_drives)
    required = query.required_parent(node) if node else None
    pool = store.children(store.resolve(user, required)) if required else list(store.items.values())
    drive = call.params.get("driveId") or call.params.get("teamDriveId")
    found = []
    for item in pool:
        if item.is_root:
            continue
        if drive and item.drive_id != drive:
            continue
        if item.drive_id and not call.with_drive_items:
            continue
        if store.rank(item, user, anyone=item.parent in named):
            found.append(item)
    return found


def _check_corpora(call: Call) -> None:
    params = call.params
    corpora = params.get("corpora", "user")
    drive = params.get("driveId") or params.get("teamDriveId")
    if corpora not in ("user", "domain", "drive", "allDrives"):
        raise invalid("Invalid Value", "corpora")
    if corpora == "drive" and not drive:
        raise DriveError(400, "required", "The driveId parameter is required when corpora is drive.", location="driveId")
    if drive and corpora != "drive":
        raise invalid("The driveId parameter must be specified if and only if corpora is set to drive.", "driveId")
    if corpora in ("drive", "allDrives") and not call.with_drive_items:
        raise DriveError(
            403,
            "teamDrivesNotSupported" if not call.all_drives else "teamDriveItemsNotIncluded",
            f"With corpora {corpora}, supportsAllDrives and includeItemsFromAllDrives must be true.",
            location="includeItemsFromAllDrives",
        )
    if drive:
        call.service.store.find(call.user, drive)
    check_spaces(params["spaces"])


def check_spaces(spaces: str) -> None:
    """Raises DriveError for a space that does not exist or that the sign-in does not reach."""
    for space in spaces.split(","):
        if space.strip() == "appDataFolder":
            raise DriveError(
                403, "insufficientScopes", "The granted scopes do not give access to all of the requested spaces."
            )
        if space.strip() != "drive":
            raise invalid("Invalid Value", "spaces")


def _order(text: str) -> list[tuple[str, bool]]:
    order = []
    for part in text.split(",") if text.strip() else []:
        words = part.split()
        if not words or words[0] not in _ORDERS or len(words) > 2 or (len(words) == 2 and words[1] not in ("desc", "asc")):
            raise invalid("Invalid Value", "orderBy")
        order.append((words[0], len(words) == 2 and words[1] == "desc"))
    return order


def _sort_key(store: Store, item: Item, user: str, field: str) -> Any:
    """What `orderBy` compares for one of its words."""
    grant = item.grants.get(permission_id(user))
    match field:
        case "name":
            return item.name.casefold()
        case "name_natural":
            return _natural(item.name)
        case "folder":
            return 0 if item.is_folder else 1
        case "createdTime":
            return item.created
        case "modifiedTime":
            return item.modified
        case "modifiedByMeTime":
            return item.modified_by.get(user, 0.0)
        case "viewedByMeTime":
            return item.viewed_by.get(user, 0.0)
        case "sharedWithMeTime":
            return grant.created if grant and grant.role != "owner" else 0.0
        case "recency":
            return max(item.modified, item.viewed_by.get(user, 0.0))
        case "quotaBytesUsed":
            return item.size
        case "starred":
            return 0 if user in item.starred_by else 1
    raise KeyError(field)


def _natural(name: str) -> list[tuple[int, int, str]]:
    """Digits compare as numbers: "a2" before "a10"."""
    parts = re.findall(r"\d+|\D+", name.casefold())
    return [(0, int(part), "") if part[0].isdecimal() else (1, 0, part) for part in parts]
