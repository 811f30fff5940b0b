from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.drive_emulator import DriveEmulator
from tests.unit.drive_emulator.conftest import PEER
from tests.unit.drive_emulator.seam import FakeClock, make, refused, share


class Listener:
    """An address that channels can post to, and what they posted."""

    def __init__(self) -> None:
        self.messages: queue.Queue[dict[str, str]] = queue.Queue()
        messages = self.messages

        class Receiver(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                messages.put({name.lower(): value for name, value in self.headers.items()})
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
        self.address = f"http://127.0.0.1:{self.server.server_address[1]}/hook"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def next(self) -> dict[str, str]:
        return self.messages.get(timeout=5)


@pytest.fixture
def listener() -> Iterator[Listener]:
    listener = Listener()
    yield listener
    listener.server.shutdown()
    listener.server.server_close()


def watch(drive: Any, listener: Listener, identity: str = "c1", **body: Any) -> dict[str, Any]:
    token = drive.changes().getStartPageToken().execute()["startPageToken"]
    body = {"id": identity, "type": "web_hook", "address": listener.address} | body
    opened: dict[str, Any] = drive.changes().watch(pageToken=token, body=body).execute()
    return opened


def test_a_channel_tells_that_something_changed(owner: Any, listener: Listener) -> None:
    opened = watch(owner, listener, token="secret")
    assert opened["kind"] == "api#channel"
    hello = listener.next()
    assert (hello["x-goog-resource-state"], hello["x-goog-message-number"]) == ("sync", "1")
    assert (hello["x-goog-channel-id"], hello["x-goog-channel-token"]) == ("c1", "secret")
    assert hello["x-goog-resource-id"] == opened["resourceId"]
    assert hello["x-goog-resource-uri"] == opened["resourceUri"]
    make(owner, "a", b"")
    told = listener.next()
    assert (told["x-goog-resource-state"], told["x-goog-message-number"]) == ("change", "2")


def test_a_channel_tells_of_what_its_owner_may_see(owner: Any, peer: Any, listener: Listener) -> None:
    watch(peer, listener)
    assert listener.next()["x-goog-resource-state"] == "sync"
    folder = make(owner, "private")
    share(owner, folder, PEER, "reader")
    assert listener.next()["x-goog-message-number"] == "2"
    watch(owner, listener, "c2")
    # Messages go out in order, so nothing about the private folder came in between.
    assert listener.next()["x-goog-channel-id"] == "c2"


def test_a_stopped_channel_is_silent(owner: Any, peer: Any, listener: Listener) -> None:
    opened = watch(owner, listener)
    listener.next()
    body = {"id": "c1", "resourceId": opened["resourceId"]}
    with refused(404, "notFound"):
        peer.channels().stop(body=body).execute()
    assert owner.channels().stop(body=body).execute() in ("", b"")
    with refused(404, "notFound"):
        owner.channels().stop(body=body).execute()
    make(owner, "a", b"")
    watch(owner, listener, "c2")
    assert listener.next()["x-goog-channel-id"] == "c2"


def test_a_channel_expires(owner: Any, listener: Listener, clock: FakeClock) -> None:
    opened = watch(owner, listener, expiration=str(int((clock() + 60) * 1000)))
    assert int(opened["expiration"]) < (clock() + 61) * 1000
    listener.next()
    clock.advance(61)
    make(owner, "a", b"")
    watch(owner, listener, "c2", expiration=str(int((clock() + 365 * 86400) * 1000)))
    assert listener.next()["x-goog-channel-id"] == "c2"


def test_one_file_can_be_watched(owner: Any, listener: Listener) -> None:
    file, other = make(owner, "a", b""), make(owner, "b", b"")
    owner.files().watch(fileId=file, body={"id": "f1", "type": "web_hook", "address": listener.address}).execute()
    assert listener.next()["x-goog-resource-state"] == "sync"
    owner.files().update(fileId=other, body={"name": "c"}).execute()
    owner.files().update(fileId=file, body={"name": "d"}).execute()
    assert listener.next()["x-goog-resource-state"] == "update"
    owner.files().delete(fileId=file).execute()
    assert listener.next()["x-goog-resource-state"] == "remove"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"address": "http://example.org/hook"}, "push.webhookUrlNotHttps"),
        ({"type": "carrier_pigeon"}, "invalid"),
        ({"id": ""}, "required"),
        ({"id": "x" * 65}, "required"),
        ({"expiration": "1"}, "invalid"),
        ({"expiration": 5}, "invalidParameter"),
    ],
)
def test_a_channel_that_cannot_be_is_refused(owner: Any, listener: Listener, body: dict[str, Any], reason: str) -> None:
    with refused(400, reason):
        watch(owner, listener, **({"identity": "c1"} if "id" not in body else {"identity": body["id"]}), **_without_id(body))


def _without_id(body: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name != "id"}


def test_an_id_is_used_once(owner: Any, listener: Listener) -> None:
    watch(owner, listener)
    with refused(400, "channelIdNotUnique"):
        watch(owner, listener)


def test_what_could_not_be_delivered_is_told(owner: Any, send: Any, emulator: DriveEmulator) -> None:
    gone = Listener()
    gone.server.shutdown()
    gone.server.server_close()
    watch(owner, gone)
    # The emulator delivers in order, so once a later message arrived the earlier one has failed.
    after = Listener()
    watch(owner, after, "c2")
    after.next()
    failures = send("GET", "/_channels").json()
    assert list(failures) == ["c1"]
    after.server.shutdown()
    after.server.server_close()
