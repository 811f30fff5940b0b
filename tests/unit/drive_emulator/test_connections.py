from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

from tests.drive_emulator import DriveEmulator
from tests.unit.drive_emulator.conftest import OWNER
from tests.unit.drive_emulator.seam import Reply, make, names

Send = Callable[..., Reply]
SIGNED = {"Authorization": f"Bearer {OWNER}"}


def connect(emulator: DriveEmulator) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(emulator.url.removeprefix("http://"), timeout=10)


def test_a_connection_stays_open_whatever_is_answered(emulator: DriveEmulator) -> None:
    connection = connect(emulator)
    connection.connect()
    first = connection.sock
    for method, target, status in (
        ("GET", "/drive/v3/files", 200),
        ("GET", "/drive/v3/files/none", 404),
        ("DELETE", "/drive/v3/files/trash", 204),
        ("GET", "/nowhere", 404),
        ("GET", "/_stats", 200),
        ("HEAD", "/drive/v3/files", 405),
        ("POST", "/drive/v3/files?colour=red", 400),
    ):
        connection.request(method, target, headers=SIGNED)
        answer = connection.getresponse()
        answer.read()
        assert (target, answer.status) == (target, status)
        assert connection.sock is first
    connection.close()


def test_a_body_may_come_in_chunks_of_unknown_number(emulator: DriveEmulator, owner: Any) -> None:
    def pieces() -> Iterator[bytes]:
        yield b'{"name":'
        yield b' "chunked"}'

    connection = connect(emulator)
    connection.request("POST", "/drive/v3/files", pieces(), SIGNED, encode_chunked=True)
    assert json.loads(connection.getresponse().read())["name"] == "chunked"
    connection.request("GET", "/drive/v3/files", headers=SIGNED)
    assert len(json.loads(connection.getresponse().read())["files"]) == 1
    connection.close()


def test_a_request_that_breaks_off_changes_nothing(emulator: DriveEmulator, owner: Any) -> None:
    port = int(emulator.url.rpartition(":")[2])
    head = f"POST /upload/drive/v3/files?uploadType=media HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {OWNER}\r\n"
    for rest in ("Content-Length: 100\r\n\r\nhalf", "Transfer-Encoding: chunked\r\n\r\n5\r\nhel", "Content-Length: many\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            connection.sendall((head + rest).encode())
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65536):
                pass
    assert names(owner) == []


def test_of_many_with_one_id_one_wins(emulator: DriveEmulator, owner: Any, send: Send) -> None:
    wanted = owner.files().generateIds(count=1).execute()["ids"][0]
    statuses: list[int] = []
    barrier = threading.Barrier(8)

    def race() -> None:
        barrier.wait(10)
        statuses.append(send("POST", "/drive/v3/files", {"id": wanted, "name": "a"}).status)

    threads = [threading.Thread(target=race) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200] + [409] * 7
    assert names(owner) == ["a"]


def test_one_slow_call_holds_up_no_other(emulator: DriveEmulator, send: Send, owner: Any) -> None:
    emulator.inject({"match": {"method": "drive.about.get"}, "action": {"stall_ms": 60_000}})
    connection = connect(emulator)
    connection.request("GET", "/drive/v3/about?fields=user", headers=SIGNED)
    make(owner, "a", b"")
    assert names(owner) == ["a"]
    connection.close()


def test_an_ended_emulator_frees_its_port() -> None:
    with DriveEmulator() as first:
        port = int(first.url.rpartition(":")[2])
    with DriveEmulator(port=port) as second:
        assert second.url == first.url
