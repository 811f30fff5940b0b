from __future__ import annotations

from typing import Any

import pytest

from tests.drive_emulator import DriveEmulator
from tests.drive_emulator.item import timestamp
from tests.unit.drive_emulator.conftest import OWNER, PEER, STRANGER
from tests.unit.drive_emulator.seam import FakeClock, Reply, make, media, names, refused, share


def test_nobody_sees_what_was_not_shared_with_them(owner: Any, peer: Any) -> None:
    file = make(owner, "a", b"secret")
    assert names(peer) == []
    for request in (
        peer.files().get(fileId=file),
        peer.files().get_media(fileId=file),
        peer.files().update(fileId=file, body={"name": "b"}),
        peer.files().delete(fileId=file),
        peer.files().copy(fileId=file),
        peer.permissions().list(fileId=file),
        peer.permissions().create(fileId=file, body={"type": "anyone", "role": "reader"}),
    ):
        with refused(404, "notFound"):
            request.execute()


def test_a_reader_reads_and_no_more(owner: Any, peer: Any) -> None:
    folder = make(owner, "box")
    file = make(owner, "a", b"content", folder)
    share(owner, file, PEER, "reader")
    assert peer.files().get_media(fileId=file).execute() == b"content"
    view = peer.files().get(fileId=file, fields="ownedByMe,shared,capabilities,owners,parents,permissions").execute()
    assert (view["ownedByMe"], view["shared"]) == (False, True)
    assert view["owners"][0]["emailAddress"] == OWNER
    assert "parents" not in view and "permissions" not in view
    assert not view["capabilities"]["canEdit"]
    for request in (
        peer.files().update(fileId=file, body={"name": "b"}),
        peer.files().update(fileId=file, media_body=media(b"x")),
        peer.files().delete(fileId=file),
        peer.permissions().list(fileId=file),
        peer.permissions().create(fileId=file, body={"type": "user", "role": "reader", "emailAddress": STRANGER}),
    ):
        with refused(403, "insufficientFilePermissions"):
            request.execute()
    with refused(404, "notFound"):
        peer.files().list(q=f"'{folder}' in parents").execute()


def test_a_writer_writes_but_neither_trashes_nor_deletes(owner: Any, peer: Any, stranger: Any) -> None:
    file = make(owner, "a", b"")
    share(owner, file, PEER, "writer")
    peer.files().update(fileId=file, body={"name": "b"}, media_body=media(b"new")).execute()
    assert owner.files().get(fileId=file, fields="lastModifyingUser").execute()["lastModifyingUser"]["emailAddress"] == PEER
    for request in (peer.files().delete(fileId=file), peer.files().update(fileId=file, body={"trashed": True})):
        with refused(403, "insufficientFilePermissions"):
            request.execute()
    share(peer, file, STRANGER, "reader")
    assert names(stranger, "sharedWithMe") == ["b"]
    owner.files().update(fileId=file, body={"writersCanShare": False}).execute()
    with refused(403, "insufficientFilePermissions"):
        share(peer, file, "other@x.org", "reader")


def test_a_shared_folder_shares_what_is_in_it(owner: Any, peer: Any) -> None:
    folder = make(owner, "box")
    inner = make(owner, "inner", None, folder)
    deep = make(owner, "deep", b"", inner)
    permission = share(owner, folder, PEER, "reader")
    assert sorted(names(peer)) == ["box", "deep", "inner"]
    assert names(peer, "sharedWithMe=true") == ["box"]
    assert names(peer, f"'{inner}' in parents") == ["deep"]
    assert peer.files().get(fileId=deep, fields="parents").execute()["parents"] == [inner]
    listed = owner.permissions().list(fileId=deep, fields="permissions(id,role,permissionDetails)").execute()["permissions"]
    assert {each["role"]: each["permissionDetails"][0]["inherited"] for each in listed} == {"owner": False, "reader": True}
    with refused(403, "cannotModifyInheritedPermission"):
        owner.permissions().delete(fileId=deep, permissionId=permission).execute()
    owner.permissions().delete(fileId=folder, permissionId=permission).execute()
    assert names(peer) == []
    with refused(404, "notFound"):
        peer.files().get(fileId=deep).execute()


def test_a_file_in_anothers_folder_belongs_to_its_creator(owner: Any, peer: Any, stranger: Any) -> None:
    folder = make(owner, "inbox")
    share(owner, folder, PEER, "writer")
    share(owner, folder, STRANGER, "reader")
    file = make(peer, "letter", b"x", folder)
    view = owner.files().get(fileId=file, fields="owners,ownedByMe,parents").execute()
    assert (view["owners"][0]["emailAddress"], view["ownedByMe"], view["parents"]) == (PEER, False, [folder])
    assert names(owner, f"'{PEER}' in owners") == ["letter"]
    assert names(owner, "not 'me' in owners") == ["letter"]
    assert stranger.files().get_media(fileId=file).execute() == b"x"
    with refused(403, "insufficientFilePermissions"):
        owner.files().delete(fileId=file).execute()
    with refused(403, "insufficientFilePermissions"):
        make(stranger, "no", b"", folder)
    assert peer.about().get(fields="storageQuota").execute()["storageQuota"]["usage"] == "1"
    archive = make(owner, "archive")
    owner.files().update(fileId=file, addParents=archive, removeParents=folder).execute()
    assert names(owner, f"'{archive}' in parents") == ["letter"]
    # It is still the sender's, who no longer sees where it lies; the other reader lost it.
    assert "parents" not in peer.files().get(fileId=file, fields="parents").execute()
    with refused(404, "notFound"):
        stranger.files().get(fileId=file).execute()
    peer.files().delete(fileId=file).execute()
    assert names(owner, f"'{archive}' in parents") == []


def test_everybody_may_read_what_is_open_to_anyone_but_must_know_it(owner: Any, peer: Any) -> None:
    folder = make(owner, "public")
    file = make(owner, "a", b"open", folder)
    permission = owner.permissions().create(fileId=folder, body={"type": "anyone", "role": "reader"}, fields="*").execute()
    assert (permission["id"], permission["allowFileDiscovery"]) == ("anyoneWithLink", False)
    assert peer.files().get_media(fileId=file).execute() == b"open"
    assert names(peer) == []
    assert names(peer, f"'{folder}' in parents") == ["a"]
    assert names(owner, "visibility = 'anyoneWithLink'") == ["a", "public"]
    owner.permissions().delete(fileId=folder, permissionId="anyoneWithLink").execute()
    with refused(404, "notFound"):
        peer.files().get(fileId=file).execute()


def test_permissions_are_read_changed_and_taken_away(owner: Any, peer: Any) -> None:
    file = make(owner, "a", b"")
    permission = share(owner, file, PEER.upper(), "reader")
    got = owner.permissions().get(fileId=file, permissionId=permission, fields="*").execute()
    assert (got["emailAddress"], got["role"], got["type"]) == (PEER, "reader", "user")
    assert peer.permissions().get(fileId=file, permissionId=permission).execute()["role"] == "reader"
    owner.permissions().update(fileId=file, permissionId=permission, body={"role": "writer"}).execute()
    peer.files().update(fileId=file, body={"name": "b"}).execute()
    listed = owner.permissions().list(fileId=file, fields="permissions(emailAddress)").execute()
    assert sorted(each["emailAddress"] for each in listed["permissions"]) == sorted([OWNER, PEER])
    assert share(owner, file, PEER, "reader") == permission
    assert owner.permissions().get(fileId=file, permissionId=permission).execute()["role"] == "reader"
    owner.permissions().delete(fileId=file, permissionId=permission).execute()
    with refused(404, "notFound"):
        owner.permissions().delete(fileId=file, permissionId=permission).execute()
    with refused(404, "notFound"):
        peer.files().get(fileId=file).execute()


def test_permissions_come_in_pages(owner: Any) -> None:
    file = make(owner, "a", b"")
    for number in range(4):
        share(owner, file, f"reader{number}@x.org", "reader")
    first = owner.permissions().list(fileId=file, pageSize=3).execute()
    second = owner.permissions().list(fileId=file, pageSize=3, pageToken=first["nextPageToken"]).execute()
    assert len({each["id"] for each in first["permissions"] + second["permissions"]}) == 5
    assert "nextPageToken" not in second


def test_whoever_has_a_role_may_give_it_up(owner: Any, peer: Any) -> None:
    file = make(owner, "a", b"")
    permission = share(owner, file, PEER, "reader")
    peer.permissions().delete(fileId=file, permissionId=permission).execute()
    assert names(peer) == []
    own = owner.permissions().list(fileId=file).execute()["permissions"][0]
    with refused(403, "cannotRemoveOwner"):
        owner.permissions().delete(fileId=file, permissionId=own["id"]).execute()
    with refused(403, "cannotModifyOwner"):
        owner.permissions().update(fileId=file, permissionId=own["id"], body={"role": "reader"}).execute()


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        ({"type": "user", "role": "reader"}, 400, "invalid"),
        ({"type": "user", "role": "reader", "emailAddress": "nobody"}, 400, "invalid"),
        ({"type": "user", "emailAddress": PEER}, 400, "required"),
        ({"role": "reader", "emailAddress": PEER}, 400, "required"),
        ({"type": "user", "role": "king", "emailAddress": PEER}, 400, "invalid"),
        ({"type": "user", "role": "organizer", "emailAddress": PEER}, 403, "organizerOnNonTeamDriveItemNotSupported"),
        ({"type": "user", "role": "owner", "emailAddress": PEER}, 403, "forbidden"),
        ({"type": "anyone", "role": "owner"}, 400, "invalid"),
        ({"type": "user", "role": "reader", "emailAddress": PEER, "displayName": "P"}, 403, "fieldNotWritable"),
        ({"type": "user", "role": "reader", "mail": PEER}, 400, "invalidParameter"),
    ],
)
def test_a_permission_that_makes_no_sense_is_refused(owner: Any, body: dict[str, str], status: int, reason: str) -> None:
    file = make(owner, "a", b"")
    with refused(status, reason):
        owner.permissions().create(fileId=file, body=body).execute()


def test_ownership_is_transferred_with_the_bytes_it_costs(owner: Any, peer: Any) -> None:
    file = make(owner, "a", b"12345")
    body = {"type": "user", "role": "owner", "emailAddress": PEER}
    owner.permissions().create(fileId=file, body=body, transferOwnership=True).execute()
    assert peer.files().get(fileId=file, fields="ownedByMe").execute()["ownedByMe"]
    assert owner.about().get(fields="storageQuota").execute()["storageQuota"]["usage"] == "0"
    owner.files().update(fileId=file, body={"name": "b"}).execute()
    with refused(403, "insufficientFilePermissions"):
        owner.files().delete(fileId=file).execute()


def test_a_permission_ends_when_it_says(owner: Any, peer: Any, clock: FakeClock) -> None:
    file = make(owner, "a", b"")
    permission = share(owner, file, PEER, "reader")
    owner.permissions().update(
        fileId=file, permissionId=permission, body={"role": "reader", "expirationTime": timestamp(clock() + 60)}
    ).execute()
    assert names(peer) == ["a"]
    clock.advance(60)
    assert names(peer) == []


def test_letters_go_out_unless_told_otherwise(owner: Any, emulator: DriveEmulator, send: Any) -> None:
    file = make(owner, "a", b"")
    body = {"type": "user", "role": "reader", "emailAddress": PEER}
    owner.permissions().create(fileId=file, body=body, sendNotificationEmail=False).execute()
    reply: Reply = send("GET", "/_mail")
    assert reply.json() == []
    owner.permissions().create(fileId=file, body=body, emailMessage="look").execute()
    reply = send("GET", "/_mail")
    assert [(each["to"], each["from"], each["message"]) for each in reply.json()] == [(PEER, OWNER, "look")]
