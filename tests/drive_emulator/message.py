"""One HTTP request and its answer, apart from the connection they travel on."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.drive_emulator.errors import DriveError


@dataclass(frozen=True)
class Request:
    """What a client sent. Header names are in lower case."""

    http: str
    target: str
    headers: dict[str, str]
    body: bytes = b""

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, list[str]]:
        return parse_qs(urlsplit(self.target).query, keep_blank_values=True)

    def overridden(self) -> Request:
        """The request that is meant when a long GET travels as a POST with its query in the body."""
        meant = self.headers.get("x-http-method-override", "").upper()
        if self.http != "POST" or not meant:
            return self
        if self.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
            return Request(meant, f"{self.path}?{self.body.decode('utf-8', 'replace')}", self.headers)
        return Request(meant, self.target, self.headers, self.body)


@dataclass
class Response:
    """What the client gets. `broken` closes the connection without an answer, `sent` cuts the body short."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    broken: bool = False
    sent: int | None = None


def json_response(document: Any, status: int = 200, **headers: str) -> Response:
    """An answer that is a JSON document."""
    body = json.dumps(document, ensure_ascii=False).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(status, body, {"Content-Type": "application/json; charset=UTF-8"} | named)


def error_response(error: DriveError) -> Response:
    """A refusal."""
    headers = {} if error.retry_after is None else {"Retry_After": str(error.retry_after)}
    if error.status == 401:
        headers["WWW_Authenticate"] = 'Bearer realm="https://accounts.google.com/", error="invalid_token"'
    return json_response(error.document(), error.status, **headers)


def parsed_json(body: bytes) -> Any:
    """The document in a body. Raises DriveError (400 parseError)."""
    try:
        document = json.loads(body)
        # Half of a surrogate pair is JSON, but no text that could ever be sent back.
        json.dumps(document, ensure_ascii=False).encode()
        return document
    except (ValueError, RecursionError):
        raise DriveError(400, "parseError", "Parse Error") from None
