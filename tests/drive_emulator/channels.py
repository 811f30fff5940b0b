"""Push channels: an HTTP POST to whoever asked, whenever something changed. The message says that, not what."""

from __future__ import annotations

import http.client
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlsplit

from tests.drive_emulator.changes import Entry
from tests.drive_emulator.errors import DriveError, invalid

_DEFAULT_LIFE_MS: Final = {"changes": 7 * 86_400_000, "file": 86_400_000}
_TIMEOUT_SECONDS: Final = 5


@dataclass
class Channel:
    """One subscription. `file_id` is None for the whole feed of `user`."""

    id: str
    user: str
    address: str
    resource_id: str
    resource_uri: str
    expiration_ms: int
    token: str
    file_id: str | None
    numbers: int = 0
    failures: list[str] = field(default_factory=list)


class Channels:
    """All subscriptions, and the thread that serves them."""

    def __init__(self, clock: Callable[[], float], root_url: Callable[[], str], new_id: Callable[[], str]) -> None:
        self._clock = clock
        self._root_url = root_url
        self._new_id = new_id
        self._open: dict[str, Channel] = {}
        self._outgoing: queue.SimpleQueue[tuple[Channel, dict[str, str]] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._deliver, name="drive-emulator-push", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends the delivering thread after what it has begun."""
        self._outgoing.put(None)
        self._thread.join()

    def reset(self) -> None:
        """Forgets every subscription."""
        self._open.clear()

    def open(self, user: str, body: dict[str, Any], file_id: str | None) -> dict[str, Any]:
        """Subscribes; the first message says "sync". Raises DriveError for a request that the service would refuse."""
        identity, address = body.get("id", ""), body.get("address", "")
        if not identity or len(identity) > 64:
            raise DriveError(400, "required", "A channel needs an id of at most 64 characters.", location="id")
        if body.get("type") not in ("web_hook", "webhook"):
            raise invalid("Unsupported channel type; it must be web_hook.", "type")
        if identity in self._open:
            raise DriveError(400, "channelIdNotUnique", f"Channel id {identity} not unique")
        parts = urlsplit(address)
        if not (parts.scheme == "https" or (parts.scheme == "http" and parts.hostname == "127.0.0.1")):
            raise DriveError(400, "push.webhookUrlNotHttps", f"WebHook callback must be HTTPS: {address}")
        life = _DEFAULT_LIFE_MS["file" if file_id else "changes"]
        now = int(self._clock() * 1000)
        expiration = min(int(body.get("expiration") or now + life), now + life)
        if expiration <= now:
            raise invalid("The expiration of a channel must lie ahead.", "expiration")
        path = f"files/{file_id}" if file_id else "changes"
        channel = Channel(
            id=identity,
            user=user,
            address=address,
            resource_id=self._new_id(),
            resource_uri=f"{self._root_url()}drive/v3/{path}?alt=json",
            expiration_ms=expiration,
            token=body.get("token", ""),
            file_id=file_id,
        )
        self._open[identity] = channel
        self._send(channel, "sync")
        resource = {
            "kind": "api#channel",
            "id": identity,
            "resourceId": channel.resource_id,
            "resourceUri": channel.resource_uri,
            "expiration": str(expiration),
        }
        return resource | ({"token": channel.token} if channel.token else {})

    def stop(self, user: str, body: dict[str, Any]) -> None:
        """Ends a subscription. Raises DriveError (404) when the person has none by this id and resource."""
        channel = self._open.get(body.get("id", ""))
        if channel is None or channel.user != user or channel.resource_id != body.get("resourceId"):
            raise DriveError(404, "notFound", f"Channel '{body.get('id')}' not found for project")
        del self._open[channel.id]

    def changed(self, user: str, entry: Entry) -> None:
        """Tells the person's subscriptions of an entry in their feed."""
        now = self._clock() * 1000
        for channel in list(self._open.values()):
            if channel.user != user or channel.file_id not in (None, entry.file_id):
                continue
            if now >= channel.expiration_ms:
                del self._open[channel.id]
                continue
            state = "change" if channel.file_id is None else ("remove" if entry.removed else "update")
            self._send(channel, state)

    def failures(self) -> dict[str, list[str]]:
        """What could not be delivered, by channel."""
        return {channel.id: list(channel.failures) for channel in self._open.values() if channel.failures}

    def _send(self, channel: Channel, state: str) -> None:
        channel.numbers += 1
        expires = datetime.fromtimestamp(channel.expiration_ms / 1000, UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")
        headers = {
            "X-Goog-Channel-ID": channel.id,
            "X-Goog-Channel-Expiration": expires,
            "X-Goog-Resource-State": state,
            "X-Goog-Message-Number": str(channel.numbers),
            "X-Goog-Resource-ID": channel.resource_id,
            "X-Goog-Resource-URI": channel.resource_uri,
        }
        if channel.token:
            headers["X-Goog-Channel-Token"] = channel.token
        self._outgoing.put((channel, headers))

    def _deliver(self) -> None:
        while message := self._outgoing.get():
            channel, headers = message
            parts = urlsplit(channel.address)
            kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
            connection = kind(parts.hostname or "", parts.port, timeout=_TIMEOUT_SECONDS)
            try:
                target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
                connection.request("POST", target, b"", headers | {"Content-Length": "0"})
                status = connection.getresponse().status
                if not 200 <= status < 300:
                    channel.failures.append(f"answered {status}")
            except (OSError, http.client.HTTPException) as failure:
                channel.failures.append(str(failure))
            finally:
                connection.close()
