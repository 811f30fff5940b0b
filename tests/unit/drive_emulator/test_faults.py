from __future__ import annotations

import contextlib
import http.client
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.drive_emulator import DriveEmulator, Settings
from tests.unit.drive_emulator.conftest import OWNER, PEER
from tests.unit.drive_emulator.seam import Reply, make, names, refused

Send = Callable[..., Reply]


@pytest.mark.parametrize(
    ("action", "status", "reason"),
    [
        ({"error": "rateLimitExceeded"}, 403, "rateLimitExceeded"),
        ({"error": "userRateLimitExceeded"}, 403, "userRateLimitExceeded"),
        ({"error": "storageQuotaExceeded"}, 403, "storageQuotaExceeded"),
        ({"error": "sharingRateLimitExceeded"}, 403, "sharingRateLimitExceeded"),
        ({"error": "notFound"}, 404, "notFound"),
        ({"error": "rateLimitExceeded", "status": 429}, 429, "rateLimitExceeded"),
        ({"error": "backendError"}, 500, "backendError"),
        ({"error": "serviceUnavailable"}, 503, "serviceUnavailable"),
        ({"error": "authError"}, 401, "authError"),
        ({"error": "unheardOf", "status": 418}, 418, "unheardOf"),
    ],
)
def test_a_call_is_refused_on_order(
    send: Send, emulator: DriveEmulator, action: dict[str, Any], status: int, reason: str
) -> None:
    emulator.inject({"match": {"method": "drive.files.create"}, "action": action | {"retry_after": 3}})
    reply = send("POST", "/drive/v3/files", {"name": "a"})
    assert (reply.status, reply.reason(), reply.headers["Retry-After"]) == (status, reason, "3")
    assert send("GET", "/drive/v3/files").json()["files"] == []


def test_a_call_may_fail_after_it_took_effect(owner: Any, emulator: DriveEmulator) -> None:
    wanted = owner.files().generateIds(count=1).execute()["ids"][0]
    emulator.inject({"match": {"method": "drive.files.create", "times": 1}, "action": {"error": "backendError", "when": "after"}})
    with refused(500, "backendError"):
        make(owner, "a", b"x", id=wanted)
    with refused(409, "fileIdInUse"):
        make(owner, "a", b"x", id=wanted)
    assert names(owner) == ["a"]


@pytest.mark.parametrize(("when", "found"), [("before", []), ("after", ["a"])])
def test_a_connection_breaks_before_or_after_the_call_took_effect(
    owner: Any, send: Send, emulator: DriveEmulator, when: str, found: list[str]
) -> None:
    emulator.inject({"match": {"http": "POST"}, "action": {"reset": True, "when": when}})
    with pytest.raises(ConnectionResetError):
        send("POST", "/drive/v3/files", {"name": "a"})
    emulator.inject()
    assert names(owner) == found


def test_silence_lasts_until_the_client_gives_up(send: Send, emulator: DriveEmulator) -> None:
    emulator.inject({"action": {"stall_ms": 60_000}})
    connection = http.client.HTTPConnection(emulator.url.removeprefix("http://"), timeout=0.2)
    connection.request("GET", "/drive/v3/files", headers={"Authorization": f"Bearer {OWNER}"})
    with pytest.raises(TimeoutError):
        connection.getresponse()
    connection.close()


def test_silence_ends_with_the_connection(send: Send, emulator: DriveEmulator) -> None:
    emulator.inject({"action": {"stall_ms": 50}})
    began = time.monotonic()
    with pytest.raises(ConnectionResetError):
        send("GET", "/drive/v3/files")
    assert time.monotonic() - began >= 0.05


def test_an_end_of_the_emulator_ends_every_silence() -> None:
    emulator = DriveEmulator(settings=Settings(latency_ms=60_000)).start()
    connection = socket.create_connection(("127.0.0.1", int(emulator.url.rpartition(":")[2])), timeout=10)
    connection.sendall(f"GET /drive/v3/files HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {OWNER}\r\n\r\n".encode())
    began = time.monotonic()
    emulator.close()
    with contextlib.suppress(ConnectionResetError):
        while connection.recv(65536):
            pass
    connection.close()
    assert time.monotonic() - began < 10


def test_a_body_is_cut_short(owner: Any, send: Send, emulator: DriveEmulator) -> None:
    file = make(owner, "a", b"0123456789")
    for part, kept in ((0.5, b"01234"), (3, b"012")):
        emulator.inject({"match": {"method": "drive.files.get"}, "action": {"truncate": part}})
        with pytest.raises(http.client.IncompleteRead) as cut:
            send("GET", f"/drive/v3/files/{file}?alt=media")
        assert cut.value.partial == kept


def test_a_body_is_wrong_by_a_byte(owner: Any, emulator: DriveEmulator) -> None:
    file = make(owner, "a", b"0123456789")
    emulator.inject({"match": {"path": r"alt=media"}, "action": {"corrupt": True}})
    wrong = owner.files().get_media(fileId=file).execute()
    assert sum(one != other for one, other in zip(wrong, b"0123456789", strict=True)) == 1


def test_a_call_takes_its_time(owner: Any, emulator: DriveEmulator) -> None:
    emulator.configure(latency_ms=20)
    emulator.inject({"match": {"user": OWNER}, "action": {"latency_ms": 30}}, {"action": {"latency_ms": 30}})
    began = time.monotonic()
    assert names(owner) == []
    assert time.monotonic() - began >= 0.08


def struck(drive: Any, calls: int) -> list[int]:
    """Which of so many listings failed, counted from 1."""
    failed = []
    for number in range(1, calls + 1):
        try:
            names(drive)
        except Exception:
            failed.append(number)
    return failed


@pytest.mark.parametrize(
    ("match", "expected"),
    [
        ({"nth": 3}, [3]),
        ({"every": 2}, [2, 4, 6]),
        ({"every": 2, "times": 1}, [2]),
        ({"times": 2}, [1, 2]),
        ({"user": PEER}, []),
        ({"method": "drive.files.get"}, []),
        ({"path": r"^/drive/v3/files\b", "http": "GET", "nth": 1}, [1]),
        ({"phase": "chunk"}, []),
    ],
)
def test_a_rule_strikes_where_it_says(owner: Any, emulator: DriveEmulator, match: dict[str, Any], expected: list[int]) -> None:
    emulator.inject({"match": match, "action": {"error": "backendError"}})
    assert struck(owner, 6) == expected


def test_chance_repeats_itself_with_its_seed(owner: Any, emulator: DriveEmulator) -> None:
    rule = {"match": {"probability": 0.5, "seed": 7}, "action": {"error": "backendError"}}
    emulator.inject(rule)
    first = struck(owner, 12)
    emulator.inject(rule)
    assert struck(owner, 12) == first
    assert 0 < len(first) < 12


def test_rules_come_and_go_over_http(send: Send, owner: Any) -> None:
    rule = {"match": {"method": "drive.files.list"}, "action": {"error": "backendError"}}
    assert send("POST", "/_faults", {"rules": [rule]}).status == 200
    assert send("GET", "/drive/v3/files").status == 500
    assert send("GET", "/_faults").json() == [rule | {"fitted": 1, "struck": 1}]
    assert send("DELETE", "/_faults").json() == []
    assert send("GET", "/drive/v3/files").status == 200


@pytest.mark.parametrize(
    "rule",
    [
        {}, {"match": {}}, {"action": {}}, {"action": {"explode": True}}, {"match": {"colour": 1}, "action": {"reset": True}},
        {"action": {"error": "unheardOf"}}, {"action": {"reset": "maybe"}}, {"action": {"latency_ms": "5"}},
        {"match": {"nth": 0}, "action": {"reset": True}}, {"match": {"path": "("}, "action": {"reset": True}},
        {"action": {"reset": True, "when": "later"}}, {"match": {"phase": "tail"}, "action": {"reset": True}}, "rule",
    ],
)  # fmt: skip
def test_what_is_no_rule_is_refused(send: Send, rule: Any) -> None:
    reply = send("POST", "/_faults", [rule])
    assert reply.status == 400
    assert reply.json()["error"]


def test_faults_reach_many_connections_at_once(emulator: DriveEmulator, send: Send) -> None:
    emulator.inject({"match": {"every": 2}, "action": {"error": "backendError"}})
    statuses: list[int] = []
    threads = [threading.Thread(target=lambda: statuses.append(send("GET", "/drive/v3/files").status)) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200] * 5 + [500] * 5
