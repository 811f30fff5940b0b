"""The methods of files but list: create, get, update, copy, delete, generateIds, emptyTrash, export."""

from __future__ import annotations

import re
from typing import Any, Final

from tests.drive_emulator.call import Answer, Call, Download, Media, verb
from tests.drive_emulator.errors import DriveError, insufficient, invalid, not_found
from tests.drive_emulator.item import FOLDER, RANK, Item, moment
from tests.drive_emulator.views import FileView

_PLAIN: Final = ("description", "folderColorRgb", "contentRestrictions", "copyRequiresWriterPermission")
_WRITABLE: Final = {
    "name", "mimeType", "starred", "trashed", "properties", "appProperties", "createdTime", "modifiedTime",
    "viewedByMeTime", "writersCanShare", "contentHints", "originalFilename", *_PLAIN,
}  # fmt: skip
_IGNORED: Final = {"kind"}
_MAX_PROPERTY_BYTES: Final = 124
_MAX_PROPERTIES: Final = {"appProperties": 30, "properties": 100}
_MIME_TYPE: Final = re.compile(r"[\w.+!#$&^-]+/[\w.+!#$&^-]+(; ?[\x20-\x7e]*)?", re.ASCII)


@verb("drive.files.create")
def create(call: Call) -> Answer:
    """Makes a file or folder; it belongs to its creator, wherever it lies."""
    parent = check_create(call)
    store, body = call.service.store, call.body
    now = store.clock()
    mime_type = body.get("mimeType") or (call.media.content_type if call.media else "application/octet-stream")
    item = Item(
        id=body.get("id") or store.new_id(),
        name=body.get("name", "Untitled"),
        mime_type=mime_type,
        owner="" if parent.drive_id else call.user,
        parent=parent.id,
        created=moment(body["createdTime"]) if "createdTime" in body else now,
        modified=moment(body["modifiedTime"]) if "modifiedTime" in body else now,
        sequence=0,
        drive_id=parent.drive_id,
    )
    _describe(call, item)
    if item.has_content:
        store.set_content(item, call.media.data if call.media else b"")
    store.add(item, call.user)
    return FileView(store, item, call.user).resource(call.wanted())


def check_create(call: Call) -> Item:
    """Raises DriveError for whatever would make `create` fail but the size of the content. Returns the parent folder."""
    store, body = call.service.store, call.body
    _check_fields(body, {"id", "parents"})
    parents = body.get("parents") or [store.root(call.user).id]
    if len(parents) > 1:
        raise invalid("A shared drive item or a file in My Drive must have exactly one parent.", "parents")
    parent = store.require(call.user, parents[0], "writer", call.all_drives)
    if not parent.is_folder:
        raise DriveError(403, "parentNotAFolder", "The specified parent is not a folder.")
    store.check_children(parent)
    if wanted := body.get("id"):
        _check_id(call, wanted)
    if call.media is not None and not Item("", "", body.get("mimeType", ""), "", None, 0, 0, 0).has_content:
        raise invalid("Content of this kind of file cannot be uploaded; convert it from another type.", "mimeType")
    return parent


def _check_id(call: Call, wanted: str) -> None:
    store = call.service.store
    if wanted in store.used:
        raise DriveError(409, "fileIdInUse", "A file already exists with the provided ID.")
    if store.generated.get(wanted) != call.user:
        raise invalid("The provided file ID is not usable.", "id")


@verb("drive.files.get")
def get(call: Call) -> Answer:
    """A file's metadata, or its content with alt=media."""
    store = call.service.store
    item = store.find(call.user, call.params["fileId"], call.all_drives)
    view = FileView(store, item, call.user)
    if not call.wants_media:
        return view.resource(call.wanted())
    if item.content is None:
        raise DriveError(
            403,
            "fileNotDownloadable",
            "Only files with binary content can be downloaded. Use Export with Docs Editors files.",
            location="alt",
        )
    item.viewed_by[call.user] = store.clock()
    return Download(item.mime_type, item.content.data)


@verb("drive.files.update")
def update(call: Call) -> Answer:
    """Changes metadata, content, or the folder that a file lies in."""
    store, body, user = call.service.store, call.body, call.user
    item = check_update(call)
    if _is_private(call):
        # A star, or having looked, is nobody else's business and changes nothing about the file.
        _describe(call, item)
        store.feed.note(item.id, item.drive_id, {user}, store.clock())
        return FileView(store, item, user).resource(call.wanted())
    # Whatever can be refused comes before the first change.
    target = _destination(call, item)
    if call.media is not None:
        store.set_content(item, call.media.data)
        item.mime_type = call.media.content_type
    if target is not None:
        store.move(item, target.id)
    if body.get("trashed", item.trashed) != item.trashed:
        item.trashed = body["trashed"]
        for below in store.subtree(item):
            store.touched(below)
    _describe(call, item)
    item.name = body.get("name", item.name)
    item.mime_type = body.get("mimeType", item.mime_type)
    if "modifiedTime" in body:
        item.modified = item.modified_by[user] = moment(body["modifiedTime"])
        item.last_modified_by = user
    elif set(body) - _IGNORED - {"trashed"} or call.media is not None:
        item.modified = store.clock()
        item.modified_by[user] = item.modified
        item.last_modified_by = user
    store.touched(item)
    return FileView(store, item, user).resource(call.wanted())


def check_update(call: Call) -> Item:
    """Raises DriveError for whatever would make `update` fail but the size of the content. Returns the item."""
    store, body, user = call.service.store, call.body, call.user
    if "parents" in body:
        raise DriveError(
            403,
            "fieldNotWritable",
            "The parents field is not directly writable in update requests. "
            "Use the addParents and removeParents parameters instead.",
        )
    _check_fields(body, set())
    least = "reader" if _is_private(call) else "writer"
    item = store.require(user, call.params["fileId"], least, call.all_drives)
    for kind, have in (("properties", item.properties), ("appProperties", item.app_properties)):
        after = have | (body.get(kind) or {})
        if sum(value is not None for value in after.values()) > _MAX_PROPERTIES[kind]:
            raise DriveError(403, "tooManyProperties", f"A file has at most {_MAX_PROPERTIES[kind]} {kind}.", location=kind)
    if "trashed" in body and body["trashed"] != item.trashed:
        _require_end(call, item, "fileOrganizer")
    if item.is_root and set(body) & {"name", "trashed", "mimeType"}:
        raise insufficient(item.id)
    if call.media is not None and not item.has_content:
        raise invalid("A folder has no content.", "uploadType")
    if item.is_folder != (body.get("mimeType", item.mime_type) == FOLDER):
        raise invalid("A file cannot become a folder, nor a folder a file.", "mimeType")
    return item


def _require_end(call: Call, item: Item, in_drive: str) -> None:
    """Raises DriveError unless the person may trash or delete the item: its owner, or this role in a shared drive."""
    least = RANK[in_drive] if item.drive_id else RANK["owner"]
    if item.is_root or call.service.store.rank(item, call.user) < least:
        raise insufficient(item.id)


def _is_private(call: Call) -> bool:
    """Whether an update concerns only what each person keeps for themselves."""
    body, params = set(call.body) - _IGNORED, call.params
    moves = params.get("addParents") or params.get("removeParents")
    return bool(body) and body <= {"starred", "viewedByMeTime"} and call.media is None and not moves


def _destination(call: Call, item: Item) -> Item | None:
    """The folder that an update moves the item to, None when it stays. Raises DriveError when it cannot go there."""
    store, user = call.service.store, call.user
    added = [store.resolve(user, text) for text in call.params.get("addParents", "").split(",") if text]
    removed = [store.resolve(user, text) for text in call.params.get("removeParents", "").split(",") if text]
    added = [parent for parent in added if parent != item.parent]
    removed = [parent for parent in removed if parent == item.parent]
    if not added and not removed:
        return None
    if item.is_root:
        raise insufficient(item.id)
    if len(added) > 1 or (added and item.parent and not removed):
        raise DriveError(403, "cannotAddParent", "Increasing the number of parents is not allowed")
    folder = store.items.get(item.parent or "")
    # Its owner may always take a file back out of a folder that belongs to somebody else.
    if folder is not None and item.owner != user and store.rank(folder, user) < RANK["writer"]:
        raise insufficient(folder.id)
    target = store.require(user, added[0], "writer", call.all_drives) if added else store.root(item.owner or user)
    if not target.is_folder:
        raise DriveError(403, "parentNotAFolder", "The specified parent is not a folder.")
    if any(node is item for node in store.chain(target)):
        raise DriveError(403, "cyclicParent", "A folder cannot be moved into itself or into a folder below it.")
    if target.drive_id != item.drive_id:
        raise DriveError(
            403, "teamDrivesFolderMoveInNotSupported", "This emulator moves nothing into, out of or between shared drives."
        )
    store.check_children(target)
    return target


@verb("drive.files.delete")
def delete(call: Call) -> Answer:
    """Deletes a file for good; only its owner may, or an organizer in a shared drive."""
    store = call.service.store
    item = store.find(call.user, call.params["fileId"], call.all_drives)
    _require_end(call, item, "organizer")
    store.delete(item, call.user)
    return None


@verb("drive.files.copy")
def copy(call: Call) -> Answer:
    """A new file with the same content, owned by the one who copies."""
    store = call.service.store
    source = store.find(call.user, call.params["fileId"], call.all_drives)
    if source.is_folder:
        raise DriveError(403, "cannotCopyFile", "This file cannot be copied by the user.")
    body = {
        "name": f"Copy of {source.name}",
        "mimeType": source.mime_type,
        "properties": dict(source.properties),
        "appProperties": dict(source.app_properties),
    } | call.body
    folder = store.items.get(source.parent or "")
    if "parents" not in body and folder is not None and store.rank(folder, call.user) >= RANK["writer"]:
        body["parents"] = [folder.id]
    media = Media(source.mime_type, source.content.data) if source.content else None
    return create(Call(call.user, call.params, call.service, body, media, mask=call.mask))


@verb("drive.files.generateIds")
def generate_ids(call: Call) -> Answer:
    """Ids that the person may use in create and copy."""
    count, space = call.params["count"], call.params["space"]
    if space not in ("drive", "appDataFolder"):
        raise invalid("Invalid Value", "space")
    if call.params["type"] not in ("files", "shortcuts"):
        raise invalid("Invalid Value", "type")
    store = call.service.store
    ids = [store.new_id() for _ in range(count)]
    store.generated |= dict.fromkeys(ids, call.user)
    return {"kind": "drive#generatedIds", "space": space, "ids": ids}


@verb("drive.files.emptyTrash")
def empty_trash(call: Call) -> Answer:
    """Deletes for good whatever the person has in the trash."""
    store = call.service.store
    if "driveId" in call.params:
        drive = store.require(call.user, call.params["driveId"], "organizer")
        doomed = [item for item in store.items.values() if item.trashed and item.drive_id == drive.id]
    else:
        doomed = [item for item in store.items.values() if item.trashed and item.owner == call.user]
    for item in doomed:
        if item.id in store.items:
            store.delete(item, call.user)
    return None


@verb("drive.files.export")
def export(call: Call) -> Answer:
    """Only Docs Editors files can be exported, and the emulator has none."""
    store = call.service.store
    item = store.items.get(call.params["fileId"])
    if item is None or not store.rank(item, call.user):
        raise not_found(call.params["fileId"])
    raise DriveError(403, "fileNotExportable", "Export only supports Docs Editors files.")


def _check_fields(body: dict[str, Any], also: set[str]) -> None:
    for name in body:
        if name not in _WRITABLE | _IGNORED | also:
            raise DriveError(
                403, "fieldNotWritable", f"The resource body includes fields which are not directly writable: {name}."
            )
    if "mimeType" in body and not _MIME_TYPE.fullmatch(body["mimeType"]):
        raise invalid("Invalid MIME type provided.", "mimeType")
    for kind, most in _MAX_PROPERTIES.items():
        pairs: dict[str, str | None] = body.get(kind) or {}
        if len(pairs) > most:
            raise DriveError(403, "tooManyProperties", f"A file has at most {most} {kind}.", location=kind)
        for key, value in pairs.items():
            if len(key.encode()) + len((value or "").encode()) > _MAX_PROPERTY_BYTES:
                raise invalid(f"Key and value of a property have at most {_MAX_PROPERTY_BYTES} bytes together.", kind)


def _describe(call: Call, item: Item) -> None:
    """Takes over the fields of the body that mean the same when a file is made and when it is changed."""
    body = call.body
    for kind, have in (("properties", item.properties), ("appProperties", item.app_properties)):
        for key, value in (body.get(kind) or {}).items():
            if value is None:
                have.pop(key, None)
            else:
                have[key] = value
    for name in _PLAIN:
        if name in body:
            item.plain[name] = body[name]
    if "starred" in body:
        item.starred_by.add(call.user) if body["starred"] else item.starred_by.discard(call.user)
    if "viewedByMeTime" in body:
        item.viewed_by[call.user] = moment(body["viewedByMeTime"])
    if "writersCanShare" in body:
        item.writers_can_share = body["writersCanShare"]
