"""The methods of changes, channels and about: what happened since, being told of it, and who one is."""

from __future__ import annotations

from typing import Any

from tests.drive_emulator.call import Answer, Call, verb
from tests.drive_emulator.changes import Entry
from tests.drive_emulator.errors import DriveError, invalid
from tests.drive_emulator.item import timestamp
from tests.drive_emulator.listing import check_spaces
from tests.drive_emulator.views import FileView, user_resource


@verb("drive.changes.getStartPageToken")
def start_page_token(call: Call) -> Answer:
    """Where the feed of the person's changes stands."""
    return {"kind": "drive#startPageToken", "startPageToken": str(_head(call))}


@verb("drive.changes.list")
def listing(call: Call) -> Answer:
    """The person's changes from a page token on. `removed` says that the file is gone, or gone for this person."""
    store, params, user = call.service.store, call.params, call.user
    position = _position(params["pageToken"])
    check_spaces(params["spaces"])
    head = _head(call)
    entries = [entry for entry in store.feed.since(user, position, head) if _wanted(call, entry)]
    size = params["pageSize"]
    store.listings[user] += 1
    answer: dict[str, Any] = {"kind": "drive#changeList"}
    if len(entries) > size:
        answer["nextPageToken"] = str(entries[size].sequence)
    else:
        answer["newStartPageToken"] = str(max(position, head))
    below = call.wanted("changes", "file")
    answer["changes"] = [_resource(call, entry, below) for entry in entries[:size]]
    return answer


@verb("drive.changes.watch")
def watch(call: Call) -> Answer:
    """Opens a channel: an HTTP POST to the address given whenever the person's feed grows."""
    _position(call.params["pageToken"])
    return call.service.channels.open(call.user, call.body, None)


@verb("drive.files.watch")
def watch_file(call: Call) -> Answer:
    """Opens a channel for one file."""
    item = call.service.store.find(call.user, call.params["fileId"], call.all_drives)
    return call.service.channels.open(call.user, call.body, item.id)


@verb("drive.channels.stop")
def stop(call: Call) -> Answer:
    """Closes a channel."""
    call.service.channels.stop(call.user, call.body)
    return None


@verb("drive.about.get")
def about(call: Call) -> Answer:
    """Who is signed in, and how much they store."""
    if "fields" not in call.params:
        raise DriveError(400, "required", "The 'fields' parameter is required for this method.", location="fields")
    store, settings, user = call.service.store, call.service.settings, call.user
    used, trash = store.usage(user), store.usage(user, trashed=True)
    return {
        "kind": "drive#about",
        "user": user_resource(user, user),
        "storageQuota": {
            "limit": str(settings.storage_limit),
            "usage": str(used),
            "usageInDrive": str(used),
            "usageInDriveTrash": str(trash),
        },
        "maxUploadSize": str(settings.max_upload_size),
        "appInstalled": True,
        "canCreateDrives": True,
        "canCreateTeamDrives": True,
        "importFormats": {},
        "exportFormats": {},
        "maxImportSizes": {},
        "folderColorPalette": ["#ac725e", "#4986e7", "#16a765"],
    }


def _head(call: Call) -> int:
    store, user = call.service.store, call.user
    if not (store.settings.list_lag_listings or store.settings.list_lag_ms):
        return store.feed.head(user)

    def lags(entry: Entry) -> bool:
        item = store.items.get(entry.file_id)
        return item is not None and not entry.removed and store.lags(item, user)

    return store.feed.head(user, lags)


def _position(token: str) -> int:
    if not token.isascii() or not token.isdecimal() or len(token) > 18:
        raise invalid("Invalid Value", "pageToken")
    return int(token)


def _wanted(call: Call, entry: Entry) -> bool:
    params = call.params
    if entry.removed and not params["includeRemoved"]:
        return False
    drive = params.get("driveId") or params.get("teamDriveId")
    if drive:
        return entry.drive_id == drive and call.with_drive_items
    if entry.drive_id and not call.with_drive_items:
        return False
    if not params["restrictToMyDrive"]:
        return True
    store = call.service.store
    item = store.items.get(entry.file_id)
    if item is None or entry.removed:
        return not entry.drive_id
    *_, top = store.chain(item)
    return top is store.root(call.user)


def _resource(call: Call, entry: Entry, below: set[str] | None) -> dict[str, Any]:
    store = call.service.store
    resource: dict[str, Any] = {
        "kind": "drive#change",
        "type": "file",
        "changeType": "file",
        "time": timestamp(entry.time),
        "removed": entry.removed,
        "fileId": entry.file_id,
    }
    item = store.items.get(entry.file_id)
    if not entry.removed and item is not None:
        resource["file"] = FileView(store, item, call.user).resource(below)
    if entry.drive_id:
        resource["driveId"] = entry.drive_id
    return resource
