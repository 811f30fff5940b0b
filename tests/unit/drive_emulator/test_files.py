from __future__ import annotations

import hashlib
import io
import threading
from collections.abc import Callable
from typing import Any

import pytest
from google.oauth2.credentials import Credentials
from googleapiclient.discovery import build_from_document
from googleapiclient.errors import HttpError
from googleapiclient.http import MediaIoBaseDownload

from tests.drive_emulator import DriveEmulator
from tests.unit.drive_emulator.conftest import OWNER, PEER
from tests.unit.drive_emulator.seam import FOLDER, FakeClock, Reply, make, media, names, refused, share

Send = Callable[..., Reply]


def test_a_file_has_what_the_service_tells_of_it(owner: Any) -> None:
    folder = make(owner, "box")
    content = b"\r\n--\x00\xff\n--boundary--\r\n"
    body = {"name": "a.tar.gz", "parents": [folder], "appProperties": {"k": "v"}, "properties": {"p": "q"}}
    file = owner.files().create(body=body, media_body=media(content), fields="*").execute()
    assert file["size"] == str(len(content))
    assert file["md5Checksum"] == hashlib.md5(content).hexdigest()
    assert file["sha256Checksum"] == hashlib.sha256(content).hexdigest()
    assert file["parents"] == [folder]
    assert file["owners"][0]["emailAddress"] == OWNER
    assert (file["ownedByMe"], file["shared"], file["trashed"]) == (True, False, False)
    assert (file["appProperties"], file["properties"]) == ({"k": "v"}, {"p": "q"})
    assert file["createdTime"] == file["modifiedTime"]
    assert (file["fullFileExtension"], file["fileExtension"]) == ("tar.gz", "gz")
    assert file["capabilities"]["canDelete"]
    assert int(file["version"]) > 0
    assert owner.files().get_media(fileId=file["id"]).execute() == content
    assert owner.files().get(fileId=file["id"], fields="*").execute()["viewedByMe"]


def test_without_fields_an_answer_is_short(owner: Any) -> None:
    made = owner.files().create(body={"name": "a"}).execute()
    assert set(made) == {"kind", "id", "name", "mimeType"}
    assert owner.files().get(fileId=made["id"]).execute() == made
    assert owner.files().list().execute() == {"kind": "drive#fileList", "incompleteSearch": False, "files": [made]}


def test_metadata_alone_makes_an_empty_file(owner: Any) -> None:
    made = owner.files().create(body={}, fields="id,name,size,mimeType,md5Checksum").execute()
    assert (made["name"], made["size"], made["mimeType"]) == ("Untitled", "0", "application/octet-stream")
    assert made["md5Checksum"] == hashlib.md5(b"").hexdigest()
    target = io.BytesIO()
    download = MediaIoBaseDownload(target, owner.files().get_media(fileId=made["id"]))
    assert download.next_chunk()[1] and target.getvalue() == b""


def test_names_need_not_be_unique(owner: Any) -> None:
    folder = make(owner, "box")
    assert make(owner, "same", b"1", folder) != make(owner, "same", b"2", folder)
    assert names(owner, f"'{folder}' in parents and name='same'") == ["same", "same"]


def test_a_generated_id_makes_one_file_only(owner: Any, peer: Any) -> None:
    ids = owner.files().generateIds(count=3, space="drive").execute()["ids"]
    assert len(set(ids)) == 3
    assert owner.files().create(body={"id": ids[0], "name": "a"}, fields="id").execute()["id"] == ids[0]
    with refused(409, "fileIdInUse"):
        owner.files().create(body={"id": ids[0], "name": "a"}).execute()
    with refused(409, "fileIdInUse"):
        owner.files().create(body={"id": ids[0], "name": "a"}, media_body=media(b"x")).execute()
    owner.files().delete(fileId=ids[0]).execute()
    with refused(409, "fileIdInUse"):
        owner.files().create(body={"id": ids[0], "name": "a"}).execute()
    with refused(400, "invalid"):
        owner.files().create(body={"id": "1madeUpByTheClient", "name": "a"}).execute()
    with refused(400, "invalid"):
        peer.files().create(body={"id": ids[1], "name": "a"}).execute()


def test_ids_cannot_be_generated_without_end(owner: Any) -> None:
    with refused(400, "invalidParameter"):
        owner.files().generateIds(count=1001).execute()


@pytest.mark.parametrize(
    ("asked", "status", "body", "told"),
    [
        ("bytes=0-3", 206, b"0123", "bytes 0-3/10"),
        ("bytes=8-", 206, b"89", "bytes 8-9/10"),
        ("bytes=-3", 206, b"789", "bytes 7-9/10"),
        ("bytes=5-500", 206, b"56789", "bytes 5-9/10"),
        ("bytes=10-", 416, b"", "bytes */10"),
        ("bytes=-0", 416, b"", "bytes */10"),
        ("bytes=4-2", 200, b"0123456789", None),
        ("lines=1-2", 200, b"0123456789", None),
    ],
)
def test_a_download_may_be_a_range(owner: Any, send: Send, asked: str, status: int, body: bytes, told: str | None) -> None:
    file = make(owner, "digits", b"0123456789")
    reply = send("GET", f"/drive/v3/files/{file}?alt=media", Range=asked)
    assert (reply.status, reply.body, reply.headers.get("Content-Range")) == (status, body, told)


def test_the_clients_own_chunked_download_gets_every_byte(owner: Any) -> None:
    content = bytes(range(256)) * 1000
    file = make(owner, "big", content)
    target = io.BytesIO()
    download = MediaIoBaseDownload(target, owner.files().get_media(fileId=file), chunksize=100_000)
    steps = 0
    while not download.next_chunk()[1]:
        steps += 1
    assert (target.getvalue(), steps) == (content, 2)


def test_a_folder_has_no_content(owner: Any) -> None:
    folder = make(owner, "box")
    with refused(403, "fileNotDownloadable"):
        owner.files().get_media(fileId=folder).execute()
    with refused(400, "invalid"):
        owner.files().update(fileId=folder, media_body=media(b"x")).execute()
    with refused(400, "invalid"):
        owner.files().create(body={"mimeType": FOLDER}, media_body=media(b"x")).execute()


def test_a_listing_comes_in_pages_that_miss_nothing_and_repeat_nothing(owner: Any) -> None:
    folder = make(owner, "box")
    made = [make(owner, f"f{number}", b"", folder) for number in range(7)]
    request = owner.files().list(q=f"'{folder}' in parents", pageSize=3, fields="files(id),nextPageToken", orderBy="name")
    pages = []
    while request is not None:
        page = request.execute()
        pages.append([each["id"] for each in page["files"]])
        request = owner.files().list_next(request, page)
    assert [len(page) for page in pages] == [3, 3, 1]
    assert [each for page in pages for each in page] == made


def test_a_page_token_belongs_to_its_query(owner: Any, peer: Any) -> None:
    for number in range(3):
        make(owner, f"f{number}", b"")
    token = owner.files().list(pageSize=1, fields="nextPageToken").execute()["nextPageToken"]
    assert owner.files().list(pageSize=1, pageToken=token).execute()["files"]
    assert owner.files().list(pageSize=1, pageToken=token).execute()["files"]
    for drive, params in ((owner, {"q": "trashed=false"}), (peer, {})):
        with refused(400, "invalid"):
            drive.files().list(pageSize=1, pageToken=token, **params).execute()
    with refused(400, "invalid"):
        owner.files().list(pageToken="nonsense").execute()


@pytest.mark.parametrize("size", [0, 1001])
def test_a_page_has_one_to_a_thousand_files(owner: Any, size: int) -> None:
    with refused(400, "invalidParameter"):
        owner.files().list(pageSize=size).execute()


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("name", ["a2", "a10", "b", "folder"]),
        ("name desc", ["folder", "b", "a2", "a10"]),
        ("name_natural", ["a2", "a10", "b", "folder"]),
        ("createdTime desc", ["a10", "a2", "b", "folder"]),
        ("folder,quotaBytesUsed desc", ["folder", "a10", "b", "a2"]),
        ("starred,name", ["b", "a10", "a2", "folder"]),
        ("modifiedTime,name", ["folder", "b", "a2", "a10"]),
        ("recency desc", ["a10", "a2", "b", "folder"]),
        ("", ["a10", "a2", "b", "folder"]),
    ],
)
def test_a_listing_has_the_order_asked_for(owner: Any, order: str, expected: list[str]) -> None:
    make(owner, "folder")
    make(owner, "b", b"12", starred=True)
    make(owner, "a2", b"1")
    make(owner, "a10", b"1234")
    found = names(owner, orderBy=order) if order else names(owner)
    if order == "name":
        expected = sorted(expected)
    assert found == expected


@pytest.mark.parametrize("order", ["size", "name up", "name,,folder", "name desc desc"])
def test_an_unknown_order_is_refused(owner: Any, order: str) -> None:
    with refused(400, "invalid"):
        owner.files().list(orderBy=order).execute()


def test_a_query_that_cannot_be_read_is_never_a_listing_of_everything(owner: Any) -> None:
    make(owner, "a", b"")
    with refused(400, "invalid"):
        owner.files().list(q="name='a' and colour='red'").execute()


def test_a_folder_that_does_not_exist_cannot_be_listed(owner: Any) -> None:
    with refused(404, "notFound"):
        owner.files().list(q="'1nowhere' in parents").execute()


def test_the_root_folder_has_an_alias(owner: Any) -> None:
    root = owner.files().get(fileId="root", fields="id,name").execute()
    assert root["name"] == "My Drive"
    file = make(owner, "a", b"")
    assert owner.files().get(fileId=file, fields="parents").execute()["parents"] == [root["id"]]
    inside = make(owner, "b", b"", make(owner, "box"))
    assert names(owner, "'root' in parents") == ["box", "a"]
    with refused(403, "insufficientFilePermissions"):
        owner.files().delete(fileId="root").execute()
    owner.files().update(fileId=inside, addParents="root", removeParents=_parent(owner, inside)).execute()
    assert "b" in names(owner, "'root' in parents")


def _parent(drive: Any, file: str) -> str:
    return str(drive.files().get(fileId=file, fields="parents").execute()["parents"][0])


def test_metadata_and_content_change_apart(owner: Any, clock: FakeClock) -> None:
    file = make(owner, "a", b"old", properties={"p": "1", "q": "2"})
    before = owner.files().get(fileId=file, fields="*").execute()
    clock.advance(10)
    body = {"name": "b", "properties": {"p": None, "r": "3"}, "description": "d"}
    owner.files().update(fileId=file, body=body).execute()
    renamed = owner.files().get(fileId=file, fields="*").execute()
    assert (renamed["name"], renamed["properties"], renamed["description"]) == ("b", {"q": "2", "r": "3"}, "d")
    assert renamed["headRevisionId"] == before["headRevisionId"]
    assert renamed["modifiedTime"] > before["modifiedTime"]
    assert int(renamed["version"]) > int(before["version"])
    owner.files().update(fileId=file, media_body=media(b"new", "text/plain")).execute()
    rewritten = owner.files().get(fileId=file, fields="*").execute()
    assert rewritten["headRevisionId"] != before["headRevisionId"]
    assert (rewritten["mimeType"], rewritten["md5Checksum"]) == ("text/plain", hashlib.md5(b"new").hexdigest())
    fixed = owner.files().update(fileId=file, body={"modifiedTime": "2020-01-02T03:04:05.678Z"}, fields="modifiedTime").execute()
    assert fixed["modifiedTime"] == "2020-01-02T03:04:05.678Z"


def test_a_refused_update_changes_nothing(owner: Any, emulator: DriveEmulator) -> None:
    emulator.configure(storage_limit=10)
    one, two = make(owner, "one"), make(owner, "two")
    file = make(owner, "a", b"12345", one, appProperties={f"k{number}": "v" for number in range(30)})
    before = owner.files().get(fileId=file, fields="*").execute()
    token = owner.changes().getStartPageToken().execute()["startPageToken"]
    moved = {"addParents": two, "removeParents": one}
    for body, content, params in (
        ({"name": "b"}, b"12345678901", moved),
        ({"name": "b"}, b"123", {"addParents": "1nowhere", "removeParents": one}),
        ({"name": "b", "appProperties": {"k31": "v"}}, b"123", moved),
    ):
        with pytest.raises(HttpError):
            owner.files().update(fileId=file, body=body, media_body=media(content), **params).execute()
    assert owner.files().get(fileId=file, fields="*").execute() == before
    assert owner.changes().list(pageToken=token).execute()["changes"] == []


def test_what_the_service_decides_cannot_be_written(owner: Any) -> None:
    file = make(owner, "a", b"")
    for body in ({"parents": ["x"]}, {"size": "5"}, {"id": "x"}, {"md5Checksum": "0"}, {"shared": True}):
        with refused(403, "fieldNotWritable"):
            owner.files().update(fileId=file, body=body).execute()


def test_properties_have_their_limits(owner: Any) -> None:
    make(owner, "fits", b"", appProperties={"k" * 24: "v" * 100})
    with refused(400, "invalid"):
        make(owner, "long", b"", appProperties={"k" * 24: "ü" * 51})
    with refused(403, "tooManyProperties"):
        make(owner, "many", b"", appProperties={f"k{number}": "v" for number in range(31)})


def test_a_file_moves_from_folder_to_folder(owner: Any) -> None:
    one, two = make(owner, "one"), make(owner, "two")
    file = make(owner, "a", b"x", one)
    moved = owner.files().update(fileId=file, addParents=two, removeParents=one, fields="id, parents").execute()
    assert moved["parents"] == [two]
    assert names(owner, f"'{one}' in parents") == []
    assert names(owner, f"'{two}' in parents") == ["a"]
    with refused(403, "cannotAddParent"):
        owner.files().update(fileId=file, addParents=one).execute()
    with refused(404, "notFound"):
        owner.files().update(fileId=file, addParents="1nowhere", removeParents=two).execute()
    with refused(403, "parentNotAFolder"):
        owner.files().update(fileId=file, addParents=make(owner, "b", b""), removeParents=two).execute()
    inner = make(owner, "inner", None, two)
    with refused(403, "cyclicParent"):
        owner.files().update(fileId=two, addParents=inner, removeParents="root").execute()


def test_what_lies_in_a_trashed_folder_is_trashed(owner: Any) -> None:
    folder = make(owner, "box")
    file = make(owner, "a", b"", folder)
    owner.files().update(fileId=folder, body={"trashed": True}).execute()
    state = owner.files().get(fileId=file, fields="trashed,explicitlyTrashed").execute()
    assert state == {"trashed": True, "explicitlyTrashed": False}
    assert names(owner, "trashed=false") == []
    assert sorted(names(owner, "trashed=true")) == ["a", "box"]
    owner.files().update(fileId=folder, body={"trashed": False}).execute()
    assert sorted(names(owner, "trashed=false")) == ["a", "box"]
    owner.files().update(fileId=file, body={"trashed": True}).execute()
    owner.files().emptyTrash().execute()
    assert names(owner) == ["box"]


def test_deleting_a_folder_deletes_what_its_owner_has_in_it(owner: Any, peer: Any) -> None:
    folder = make(owner, "box")
    make(owner, "mine", b"", make(owner, "inner", None, folder))
    share(owner, folder, PEER)
    theirs = make(peer, "theirs", b"", folder)
    owner.files().delete(fileId=folder).execute()
    assert names(owner) == []
    assert names(peer) == ["theirs"]
    assert "parents" not in peer.files().get(fileId=theirs, fields="parents").execute()
    with refused(404, "notFound"):
        owner.files().delete(fileId=folder).execute()


def test_a_copy_belongs_to_the_one_who_copies(owner: Any, peer: Any) -> None:
    folder = make(owner, "box")
    file = make(owner, "a", b"content", folder, appProperties={"k": "v"})
    copied = owner.files().copy(fileId=file, fields="id,name,parents,appProperties,md5Checksum").execute()
    assert (copied["name"], copied["parents"], copied["appProperties"]) == ("Copy of a", [folder], {"k": "v"})
    assert copied["md5Checksum"] == hashlib.md5(b"content").hexdigest()
    share(owner, file, PEER, "reader")
    wanted = peer.files().generateIds(count=1).execute()["ids"][0]
    theirs = peer.files().copy(fileId=file, body={"name": "b", "id": wanted}, fields="id,ownedByMe,parents").execute()
    assert (theirs["id"], theirs["ownedByMe"]) == (wanted, True)
    assert theirs["parents"] == [peer.files().get(fileId="root", fields="id").execute()["id"]]
    with refused(403, "cannotCopyFile"):
        owner.files().copy(fileId=folder).execute()


def test_about_names_the_one_who_asks_and_counts_their_bytes(owner: Any, emulator: DriveEmulator) -> None:
    assert owner.about().get(fields="user(emailAddress)").execute() == {"user": {"emailAddress": OWNER}}
    make(owner, "a", b"12345")
    trashed = make(owner, "b", b"123")
    owner.files().update(fileId=trashed, body={"trashed": True}).execute()
    quota = owner.about().get(fields="storageQuota").execute()["storageQuota"]
    assert quota == {"limit": str(15 * 2**30), "usage": "8", "usageInDrive": "8", "usageInDriveTrash": "3"}
    with refused(400, "required"):
        owner.about().get().execute()


def test_new_files_may_show_up_late(owner: Any, peer: Any, emulator: DriveEmulator, clock: FakeClock) -> None:
    emulator.configure(list_lag_listings=2)
    folder = make(owner, "box")
    assert [names(owner), names(owner), names(owner)] == [[], [], ["box"]]
    share(owner, folder, PEER)
    assert [names(peer), names(peer), names(peer)] == [[], [], ["box"]]
    assert owner.files().get(fileId=folder).execute()["name"] == "box"
    clock.advance(5)
    emulator.configure(list_lag_listings=0, list_lag_ms=5000)
    make(owner, "late", b"")
    assert names(owner) == ["box"]
    clock.advance(5.1)
    assert names(owner) == ["late", "box"]


def test_a_very_long_query_travels_in_a_posted_body(owner: Any) -> None:
    make(owner, "f1999", b"")
    query = " or ".join(f"name='f{number}'" for number in range(1000, 2000))
    assert len(query) > 2048
    assert names(owner, query) == ["f1999"]


@pytest.mark.parametrize("kind", ["text/plain\r\nX: y", "texte", "tëxt/plain"])
def test_a_type_that_is_no_mime_type_is_refused(owner: Any, kind: str) -> None:
    with refused(400, "invalid"):
        make(owner, "a", b"", mimeType=kind)


def test_many_threads_lose_no_file(emulator: DriveEmulator) -> None:
    document = emulator.document()

    def work(number: int) -> None:
        drive = build_from_document(document, credentials=Credentials(OWNER))
        for each in range(10):
            make(drive, f"{number}-{each}", b"x")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    drive = build_from_document(document, credentials=Credentials(OWNER))
    assert sorted(names(drive)) == sorted(f"{number}-{each}" for number in range(6) for each in range(10))
    assert emulator.stats()["by_method"]["drive.files.create"] == 60
