"""What the tests of the emulator share: a clock that stands still, replies, and short ways to say common things."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from googleapiclient.errors import HttpError
from googleapiclient.http import MediaIoBaseUpload

FOLDER = "application/vnd.google-apps.folder"


class FakeClock:
    """A time that moves by a millisecond with each look, and otherwise when told."""

    def __init__(self) -> None:
        self._now = 1_795_309_352.0

    def __call__(self) -> float:
        self._now += 0.001
        return self._now

    def advance(self, seconds: float) -> None:
        self._now += seconds


@dataclass(frozen=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    def reason(self) -> str:
        return str(self.json()["error"]["errors"][0]["reason"])


@contextmanager
def refused(status: int, reason: str) -> Iterator[None]:
    """The call inside must fail with this status and reason."""
    with pytest.raises(HttpError) as caught:
        yield
    error = caught.value
    assert (error.resp.status, error.error_details[0]["reason"]) == (status, reason), error


def media(content: bytes, kind: str = "application/octet-stream", chunk: int | None = None) -> MediaIoBaseUpload:
    """Content for the Google client; resumable when a chunk size is given."""
    size = {} if chunk is None else {"chunksize": chunk}
    return MediaIoBaseUpload(io.BytesIO(content), mimetype=kind, resumable=chunk is not None, **size)


def make(drive: Any, name: str, content: bytes | None = None, parent: str | None = None, **body: Any) -> str:
    """Creates a file, or a folder when there is no content; its id."""
    body |= {"name": name} | ({"parents": [parent]} if parent else {})
    if content is None:
        body.setdefault("mimeType", FOLDER)
        return str(drive.files().create(body=body, fields="id").execute()["id"])
    return str(drive.files().create(body=body, media_body=media(content), fields="id").execute()["id"])


def share(drive: Any, file_id: str, address: str, role: str = "writer") -> str:
    """Gives a person a role; the permission's id."""
    body = {"type": "user", "role": role, "emailAddress": address}
    created = drive.permissions().create(fileId=file_id, body=body, sendNotificationEmail=False, fields="id").execute()
    return str(created["id"])


def names(drive: Any, q: str | None = None, **params: Any) -> list[str]:
    """The names that a listing finds."""
    found: list[str] = []
    request = drive.files().list(q=q, **params)
    while request is not None:
        page = request.execute()
        found += [each["name"] for each in page["files"]]
        request = drive.files().list_next(request, page)
    return found
