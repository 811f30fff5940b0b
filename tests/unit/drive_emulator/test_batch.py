from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.drive_emulator import DriveEmulator
from tests.unit.drive_emulator.conftest import OWNER, PEER
from tests.unit.drive_emulator.seam import Reply, make, names

Send = Callable[..., Reply]
TYPE = "multipart/mixed; boundary=b"


def together(drive: Any, *requests: Any) -> list[tuple[Any, Any]]:
    """Sends requests as one batch; each answer and error, in their order."""
    found: dict[str, tuple[Any, Any]] = {}
    batch = drive.new_batch_http_request(callback=lambda key, answer, error: found.update({key: (answer, error)}))
    for number, request in enumerate(requests):
        batch.add(request, request_id=str(number))
    batch.execute()
    return [found[str(number)] for number in range(len(requests))]


def part(line: str, body: str = "", identity: str = "<x+1>") -> str:
    head = f"--b\r\nContent-Type: application/http\r\nContent-ID: {identity}\r\n\r\n{line}\r\n"
    return f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}\r\n"


def test_calls_of_every_kind_go_together(owner: Any, emulator: DriveEmulator) -> None:
    file, doomed = make(owner, "a", b"x"), make(owner, "b", b"x")
    body = {"type": "user", "role": "reader", "emailAddress": PEER}
    results = together(
        owner,
        owner.files().get(fileId=file, fields="name"),
        owner.permissions().create(fileId=file, body=body, fields="role"),
        owner.files().update(fileId=file, body={"name": "c"}, fields="name"),
        owner.files().delete(fileId=doomed),
        owner.files().get(fileId="1nowhere"),
        owner.files().list(q="trashed=false", fields="files(name)"),
    )
    assert [answer for answer, _ in results[:3]] == [{"name": "a"}, {"role": "reader"}, {"name": "c"}]
    assert results[3][1] is None
    assert results[4][1].resp.status == 404
    assert results[5][0] == {"files": [{"name": "c"}]}
    stats = emulator.stats()
    assert stats["batch"]["requests"] == 1
    assert stats["batch"]["parts"] == 6
    assert stats["by_method"]["drive.files.get"] == 2
    assert stats["requests"] == 3  # Two creations and one batch.
    assert stats["units"][OWNER] == 2 * 50 + 5 + 50 + 50 + 50 + 5 + 100


def test_a_hundred_calls_and_no_more(owner: Any, send: Send, emulator: DriveEmulator) -> None:
    results = together(owner, *(owner.files().create(body={"name": f"f{number}"}) for number in range(100)))
    assert all(error is None for _, error in results)
    assert len(names(owner, pageSize=1000)) == 100
    reply = send("POST", "/batch/drive/v3", (part("GET /drive/v3/files") * 101 + "--b--").encode(), Content_Type=TYPE)
    assert (reply.status, reply.reason()) == (400, "batchSizeTooLarge")


def test_a_fault_may_strike_one_call_of_a_batch(owner: Any, emulator: DriveEmulator) -> None:
    emulator.inject({"match": {"method": "drive.files.create", "nth": 2}, "action": {"error": "userRateLimitExceeded"}})
    results = together(owner, *(owner.files().create(body={"name": f"f{number}"}) for number in range(3)))
    assert [error is None for _, error in results] == [True, False, True]
    assert results[1][1].error_details[0]["reason"] == "userRateLimitExceeded"
    assert sorted(names(owner)) == ["f0", "f2"]


def test_each_call_may_be_another_persons(send: Send, emulator: DriveEmulator) -> None:
    call = f"GET /drive/v3/about?fields=user HTTP/1.1\nAuthorization: Bearer {PEER}"
    text = f"--b\nContent-Type: application/http\n\n{call}\n\n--b--"
    reply = send("POST", "/batch/drive/v3", text.encode(), Content_Type=TYPE)
    assert f'"emailAddress": "{PEER}"' in reply.body.decode()
    nobody = (part("GET /drive/v3/about?fields=user") + "--b--").encode()
    reply = send("POST", "/batch/drive/v3", nobody, user="", Content_Type=TYPE)
    assert b"HTTP/1.1 401 Unauthorized" in reply.body
    assert b"Content-ID: <response-x+1>" in reply.body


@pytest.mark.parametrize(
    "line", ["POST /upload/drive/v3/files?uploadType=media", "GET /drive/v3/files/root?alt=media", "GET /nowhere", "BREW /tea"]
)
def test_content_does_not_travel_in_a_batch(send: Send, line: str) -> None:
    reply = send("POST", "/batch/drive/v3", (part(line) + "--b--").encode(), Content_Type=TYPE)
    assert reply.status == 200
    assert b"HTTP/1.1 40" in reply.body


@pytest.mark.parametrize("body", [b"", b"--b\r\n\r\nGET /\r\n--b--", b"--b\r\nContent-Type: application/http\r\n\r\n\r\n--b--"])
def test_a_malformed_batch_is_refused(send: Send, body: bytes) -> None:
    assert send("POST", "/batch/drive/v3", body, Content_Type=TYPE).status == 400
