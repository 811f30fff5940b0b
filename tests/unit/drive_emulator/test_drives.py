from __future__ import annotations

from typing import Any

import pytest

from tests.unit.drive_emulator.conftest import PEER, STRANGER
from tests.unit.drive_emulator.seam import media, names, refused

ALL = {"supportsAllDrives": True, "includeItemsFromAllDrives": True}


@pytest.fixture
def shared(owner: Any) -> str:
    return str(owner.drives().create(requestId="r1", body={"name": "Lab"}).execute()["id"])


def invite(drive: Any, drive_id: str, address: str, role: str) -> str:
    body = {"type": "user", "role": role, "emailAddress": address}
    return str(drive.permissions().create(fileId=drive_id, body=body, supportsAllDrives=True).execute()["id"])


def put(drive: Any, name: str, parent: str) -> str:
    body = {"name": name, "parents": [parent]}
    return str(drive.files().create(body=body, media_body=media(b"x"), supportsAllDrives=True).execute()["id"])


def test_a_request_id_makes_one_drive(owner: Any, shared: str) -> None:
    assert owner.drives().get(driveId=shared).execute()["name"] == "Lab"
    with refused(409, "alreadyExists"):
        owner.drives().create(requestId="r1", body={"name": "Lab"}).execute()
    with refused(400, "required"):
        owner.drives().create(requestId="r2", body={}).execute()


def test_members_see_a_drive_and_others_do_not(owner: Any, peer: Any, shared: str) -> None:
    assert peer.drives().list().execute()["drives"] == []
    with refused(404, "notFound"):
        peer.drives().get(driveId=shared).execute()
    invite(owner, shared, PEER, "writer")
    assert [each["id"] for each in peer.drives().list().execute()["drives"]] == [shared]
    assert not peer.drives().get(driveId=shared, fields="capabilities").execute()["capabilities"]["canManageMembers"]
    with refused(403, "insufficientFilePermissions"):
        invite(peer, shared, STRANGER, "reader")
    with refused(403, "ownerOnTeamDriveItemNotSupported"):
        invite(owner, shared, PEER, "owner")
    members = owner.permissions().list(fileId=shared, supportsAllDrives=True).execute()["permissions"]
    assert sorted(each["role"] for each in members) == ["organizer", "writer"]


def test_drives_come_in_pages_and_can_be_searched(owner: Any, shared: str) -> None:
    for number in range(2, 5):
        owner.drives().create(requestId=f"r{number}", body={"name": f"Drive {number}"}).execute()
    request, found = owner.drives().list(pageSize=3), []
    while request is not None:
        page = request.execute()
        found.append(len(page["drives"]))
        request = owner.drives().list_next(request, page)
    assert found == [3, 1]
    assert [each["name"] for each in owner.drives().list(q="name contains 'lab'").execute()["drives"]] == ["Lab"]
    with refused(400, "invalid"):
        owner.drives().list(q="trashed=false").execute()


def test_items_belong_to_the_drive(owner: Any, peer: Any, shared: str) -> None:
    invite(owner, shared, PEER, "writer")
    file = put(peer, "a", shared)
    view = owner.files().get(fileId=file, supportsAllDrives=True, fields="*").execute()
    assert (view["driveId"], view["parents"]) == (shared, [shared])
    assert "owners" not in view and "ownedByMe" not in view and "shared" not in view
    assert peer.about().get(fields="storageQuota").execute()["storageQuota"]["usage"] == "0"
    with refused(403, "insufficientFilePermissions"):
        peer.files().delete(fileId=file, supportsAllDrives=True).execute()
    owner.files().delete(fileId=file, supportsAllDrives=True).execute()
    assert names(owner, **ALL) == []


def test_items_show_only_to_clients_that_ask_for_them(owner: Any, shared: str) -> None:
    file = put(owner, "a", shared)
    with refused(404, "notFound"):
        owner.files().get(fileId=file).execute()
    assert names(owner) == []
    assert names(owner, includeItemsFromAllDrives=True) == []
    assert names(owner, **ALL) == ["a"]
    assert names(owner, corpora="drive", driveId=shared, **ALL) == ["a"]
    assert names(owner, corpora="allDrives", **ALL) == ["a"]
    with refused(400, "invalid"):
        owner.files().list(driveId=shared, **ALL).execute()
    with refused(400, "required"):
        owner.files().list(corpora="drive", **ALL).execute()
    with refused(403, "teamDriveItemsNotIncluded"):
        owner.files().list(corpora="allDrives", supportsAllDrives=True).execute()
    with refused(400, "invalid"):
        owner.files().list(corpora="everything").execute()
    with refused(403, "insufficientScopes"):
        owner.files().list(spaces="appDataFolder").execute()


def test_changes_in_drives_show_only_to_clients_that_ask_for_them(owner: Any, shared: str) -> None:
    token = owner.changes().getStartPageToken().execute()["startPageToken"]
    file = put(owner, "a", shared)
    assert owner.changes().list(pageToken=token).execute()["changes"] == []
    for params in ({}, {"driveId": shared}):
        changes = owner.changes().list(pageToken=token, **ALL, **params).execute()["changes"]
        assert [(each["fileId"], each["driveId"]) for each in changes] == [(file, shared)]


def test_a_drive_keeps_an_organizer_and_goes_only_empty(owner: Any, peer: Any, shared: str) -> None:
    mine = owner.permissions().list(fileId=shared, supportsAllDrives=True).execute()["permissions"][0]["id"]
    with refused(403, "cannotRemoveLastOrganizer"):
        owner.permissions().delete(fileId=shared, permissionId=mine, supportsAllDrives=True).execute()
    file = put(owner, "a", shared)
    with refused(403, "cannotDeleteNonEmptyTeamDrive"):
        owner.drives().delete(driveId=shared).execute()
    owner.files().delete(fileId=file, supportsAllDrives=True).execute()
    assert owner.drives().update(driveId=shared, body={"name": "Labs"}).execute()["name"] == "Labs"
    invite(owner, shared, PEER, "reader")
    with refused(403, "insufficientFilePermissions"):
        peer.drives().delete(driveId=shared).execute()
    owner.drives().delete(driveId=shared).execute()
    assert owner.drives().list().execute()["drives"] == []
