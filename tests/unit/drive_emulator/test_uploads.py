from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pytest
from googleapiclient.errors import HttpError

from tests.drive_emulator import DriveEmulator
from tests.drive_emulator.uploads import GRAIN
from tests.unit.drive_emulator.conftest import PEER
from tests.unit.drive_emulator.seam import Reply, make, media, names, refused, share

Send = Callable[..., Reply]
CONTENT = bytes(range(256)) * (GRAIN // 256) * 2 + b"the rest"


def begin(send: Send, body: dict[str, Any], **headers: str) -> str:
    """Opens an upload session; where it is."""
    reply = send("POST", "/upload/drive/v3/files?uploadType=resumable&fields=id,size,md5Checksum,name", body, **headers)
    assert reply.status == 200, reply.body
    return reply.headers["Location"]


def put(send: Send, session: str, start: int, end: int, total: int | str = len(CONTENT)) -> Reply:
    return send("PUT", session, CONTENT[start:end], Content_Range=f"bytes {start}-{end - 1}/{total}")


def ask(send: Send, session: str, total: int | str = len(CONTENT)) -> Reply:
    return send("PUT", session, b"", Content_Range=f"bytes */{total}")


@pytest.mark.parametrize("size", [0, 1, GRAIN - 1, GRAIN, GRAIN + 1, 3 * GRAIN])
def test_the_clients_resumable_upload_arrives_whole(owner: Any, size: int) -> None:
    content = (CONTENT * 2)[:size]
    wanted = owner.files().generateIds(count=1).execute()["ids"][0]
    body = {"name": "a", "id": wanted}
    made = owner.files().create(body=body, media_body=media(content, "text/x-log", GRAIN), fields="id,size,mimeType").execute()
    assert made == {"id": wanted, "size": str(size), "mimeType": "text/x-log"}
    assert owner.files().get_media(fileId=wanted).execute() == content


def test_a_file_is_there_only_when_its_last_byte_is(owner: Any, send: Send) -> None:
    session = begin(send, {"name": "a"}, X_Upload_Content_Length=str(len(CONTENT)))
    assert (ask(send, session).status, ask(send, session).headers.get("Range")) == (308, None)
    first = put(send, session, 0, GRAIN)
    assert (first.status, first.headers["Range"]) == (308, f"bytes=0-{GRAIN - 1}")
    assert ask(send, session).headers["Range"] == f"bytes=0-{GRAIN - 1}"
    assert names(owner) == []
    # The whole is sent again from the beginning: what was kept is not taken twice.
    last = put(send, session, 0, len(CONTENT))
    assert (last.status, last.json()["size"]) == (200, str(len(CONTENT)))
    # Whoever missed that answer may ask again, and gets the same one.
    assert ask(send, session).json() == last.json()
    assert names(owner) == ["a"]
    assert owner.files().get_media(fileId=last.json()["id"]).execute() == CONTENT


def test_an_interrupted_upload_goes_on_where_it_was(owner: Any, send: Send, emulator: DriveEmulator) -> None:
    emulator.inject({"match": {"phase": "chunk", "nth": 1}, "action": {"reset": "partial"}})
    session = begin(send, {"name": "a"})
    with pytest.raises(ConnectionError):
        put(send, session, 0, 2 * GRAIN)
    state = ask(send, session)
    assert (state.status, state.headers["Range"]) == (308, f"bytes=0-{GRAIN - 1}")
    assert put(send, session, GRAIN, len(CONTENT)).status == 200
    assert owner.files().get_media(fileId=ask(send, session).json()["id"]).execute() == CONTENT


def test_the_client_itself_survives_an_interruption(owner: Any, emulator: DriveEmulator) -> None:
    emulator.inject({"match": {"phase": "chunk", "nth": 2}, "action": {"error": "serviceUnavailable"}})
    upload = owner.files().create(body={"name": "a"}, media_body=media(CONTENT, chunk=GRAIN), fields="id")
    answer, failures = None, 0
    while answer is None:
        try:
            _, answer = upload.next_chunk()
        except HttpError as error:
            assert error.resp.status == 503
            failures += 1
    assert failures == 1
    assert owner.files().get_media(fileId=answer["id"]).execute() == CONTENT
    assert names(owner) == ["a"]


def test_the_size_may_become_known_only_at_the_end(owner: Any, send: Send) -> None:
    session = begin(send, {"name": "a"})
    assert put(send, session, 0, GRAIN, "*").status == 308
    assert ask(send, session, "*").status == 308
    assert put(send, session, GRAIN, 2 * GRAIN, 2 * GRAIN).status == 200


def test_one_request_without_a_range_is_the_whole_file(owner: Any, send: Send) -> None:
    assert send("PUT", begin(send, {"name": "a"}), CONTENT).json()["size"] == str(len(CONTENT))


@pytest.mark.parametrize(
    ("start", "end", "header"),
    [
        (0, 1000, f"bytes 0-999/{len(CONTENT)}"),
        (0, GRAIN, f"bytes 0-{GRAIN}/{len(CONTENT)}"),
        (GRAIN, 2 * GRAIN, f"bytes {GRAIN}-{2 * GRAIN - 1}/{len(CONTENT)}"),
        (0, GRAIN, f"bytes 0-{GRAIN - 1}/{GRAIN - 1}"),
        (0, GRAIN, f"bytes 0-{GRAIN - 1}/{GRAIN}"),
        (0, GRAIN, "bytes zero-one/two"),
        (0, GRAIN, "bytes 0-/*"),
    ],
)
def test_a_chunk_that_does_not_fit_is_refused(send: Send, owner: Any, start: int, end: int, header: str) -> None:
    session = begin(send, {"name": "a"}, X_Upload_Content_Length=str(len(CONTENT)))
    assert send("PUT", session, CONTENT[start:end], Content_Range=header).status == 400
    assert ask(send, session).headers.get("Range") is None
    assert names(owner) == []


def test_a_session_can_be_given_up(send: Send, owner: Any) -> None:
    session = begin(send, {"name": "a"})
    assert send("DELETE", session).status == 499
    assert send("PUT", session, CONTENT).status == 404
    assert send("PUT", "/upload/drive/v3/files?uploadType=resumable&upload_id=unknown", b"").status == 404


def test_an_id_that_is_taken_is_refused_before_and_after_the_bytes(owner: Any, send: Send) -> None:
    one, two = owner.files().generateIds(count=2).execute()["ids"]
    make(owner, "a", b"", id=one)
    reply = send("POST", "/upload/drive/v3/files?uploadType=resumable", {"id": one})
    assert (reply.status, reply.reason()) == (409, "fileIdInUse")
    session = begin(send, {"name": "b", "id": two})
    make(owner, "c", b"", id=two)
    reply = send("PUT", session, CONTENT)
    assert (reply.status, reply.reason()) == (409, "fileIdInUse")


def test_content_is_replaced_by_a_resumable_upload_too(owner: Any) -> None:
    file = make(owner, "a", b"old")
    content = media(CONTENT, chunk=GRAIN)
    updated = owner.files().update(fileId=file, body={"name": "b"}, media_body=content, fields="name").execute()
    assert updated == {"name": "b"}
    assert owner.files().get_media(fileId=file).execute() == CONTENT


def test_an_upload_needs_the_right_to_it_from_the_start(owner: Any, peer: Any) -> None:
    folder = make(owner, "box")
    with refused(404, "notFound"):
        peer.files().create(body={"parents": [folder]}, media_body=media(b"x", chunk=GRAIN)).execute()
    share(owner, folder, PEER, "reader")
    with refused(403, "insufficientFilePermissions"):
        peer.files().create(body={"parents": [folder]}, media_body=media(b"x", chunk=GRAIN)).execute()
    file = make(owner, "a", b"", folder)
    with refused(403, "insufficientFilePermissions"):
        peer.files().update(fileId=file, media_body=media(b"x", chunk=GRAIN)).execute()


def test_a_simple_upload_is_only_its_bytes(owner: Any, send: Send) -> None:
    reply = send("POST", "/upload/drive/v3/files?uploadType=media&fields=*", b'{"name": 1}', Content_Type="text/plain")
    assert (reply.json()["name"], reply.json()["mimeType"], reply.json()["size"]) == ("Untitled", "text/plain", "11")


@pytest.mark.parametrize("end", ["\r\n", "\n"])
@pytest.mark.parametrize("content", [b"", b"\r\n", b"\n", b"--b", b"\n--b\nx", b"ends in \r", b"\r\n\r\n--bb--\r\n"])
def test_multipart_bodies_keep_every_byte(send: Send, owner: Any, end: str, content: bytes) -> None:
    lines = ["--a b'c", "Content-Type: application/json", "", '{"name": "m"}', "--a b'c", "Content-Type: text/x", "", ""]
    body = end.join(lines).encode() + content + f"{end}--a b'c--{end}".encode()
    reply = send(
        "POST", "/upload/drive/v3/files?uploadType=multipart", body, Content_Type="multipart/related; boundary=\"a b'c\""
    )
    assert reply.status == 200, reply.body
    assert owner.files().get_media(fileId=reply.json()["id"]).execute() == content


def test_a_part_may_be_base64(send: Send, owner: Any) -> None:
    body = b"--b\r\nContent-Type: application/json\r\n\r\n{}\r\n--b\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    body += base64.encodebytes(CONTENT[:1000]) + b"\r\n--b--"
    reply = send("POST", "/upload/drive/v3/files?uploadType=multipart", body, Content_Type="multipart/related; boundary=b")
    assert owner.files().get_media(fileId=reply.json()["id"]).execute() == CONTENT[:1000]


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("multipart/related", b"--b\r\n\r\n{}\r\n--b--"),
        ("multipart/related; boundary=b", b""),
        ("multipart/related; boundary=b", b"--b\r\n\r\n{}\r\n--b\r\n\r\nx"),
        ("multipart/related; boundary=b", b"--b\r\n\r\n{}\r\n--b--"),
        ("multipart/related; boundary=b", b"--b\r\n\r\n{\r\n--b\r\n\r\nx\r\n--b--"),
        ("application/json", b"{}"),
    ],
)
def test_a_malformed_multipart_body_is_refused(send: Send, owner: Any, content_type: str, body: bytes) -> None:
    reply = send("POST", "/upload/drive/v3/files?uploadType=multipart", body, Content_Type=content_type)
    assert reply.status == 400
    assert names(owner) == []


def test_an_upload_must_say_how(send: Send) -> None:
    assert send("POST", "/upload/drive/v3/files", {}).status == 400
    assert send("POST", "/upload/drive/v3/files?uploadType=carrier-pigeon", {}).status == 400
    assert send("POST", "/upload/drive/v3/files/generateIds?uploadType=media", {}).status in (404, 405)
