"""Several calls in one request: a multipart body of small HTTP requests, answered in the same form."""

from __future__ import annotations

import secrets
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from tests.drive_emulator.errors import DriveError
from tests.drive_emulator.faults import Occasion
from tests.drive_emulator.message import Request, Response, error_response
from tests.drive_emulator.mime import Part, head_and_body, headers, split

if TYPE_CHECKING:
    from tests.drive_emulator.service import Service

MAX_PARTS: Final = 100


def answer(service: Service, request: Request) -> Response:
    """Carries out the calls of a batch, in their order."""
    with service.lock:
        try:
            user = service.oauth.user(request)
        except DriveError:
            user = ""  # Each part may bring its own; those that do not are refused one by one.
        service.stats.batches += 1
        fault = service.faults.due(Occasion("batch", request.http, request.target, user))
    if fault.reset == "partial":
        fault.reset = "full"  # Only a chunk of an upload can be half kept.
    return service.with_fault(fault, lambda partial: _carried_out(service, request))


def _carried_out(service: Service, request: Request) -> Response:
    try:
        if request.http != "POST":
            raise DriveError(405, "httpMethodNotAllowed", "A batch is a POST.")
        parts = split(request.headers.get("content-type", ""), request.body)
        if len(parts) > MAX_PARTS:
            raise DriveError(400, "batchSizeTooLarge", f"A batch has at most {MAX_PARTS} calls, not {len(parts)}.")
        calls = [_call(request, part) for part in parts]
    except DriveError as error:
        return error_response(error)
    boundary = f"batch_{secrets.token_urlsafe(24)}"
    pieces: list[bytes] = []
    for part, call in zip(parts, calls, strict=True):
        response = service.answer_call(call.overridden(), in_batch=True)
        if response.broken:
            return response
        identity = part.headers.get("content-id", "")
        pieces.append(f"--{boundary}\r\nContent-Type: application/http\r\n".encode())
        if identity.startswith("<"):
            pieces.append(f"Content-ID: <response-{identity[1:]}\r\n".encode())
        pieces.append(b"\r\n" + _written(response) + b"\r\n")
    pieces.append(f"--{boundary}--\r\n".encode())
    return Response(200, b"".join(pieces), {"Content-Type": f"multipart/mixed; boundary={boundary}"})


def _call(outer: Request, part: Part) -> Request:
    if not part.headers.get("content-type", "").startswith("application/http"):
        raise DriveError(400, "badContent", "Every part of a batch must be application/http.")
    first, _, rest = part.data.lstrip(b"\r\n").partition(b"\n")
    words = first.decode("latin-1").split()
    if len(words) < 2:
        raise DriveError(400, "badContent", "A part of the batch does not begin with a request line.")
    head, body = head_and_body(rest)
    inner = headers(head)
    if "authorization" in outer.headers:
        inner.setdefault("authorization", outer.headers["authorization"])
    length = inner.get("content-length", "")
    body = body[: int(length)] if length.isdecimal() else body.strip()
    # A target may be whole; only its path and query count.
    target = words[1]
    if "://" in target:
        target = "/" + target.split("/", 3)[3]
    return Request(words[0].upper(), target, inner, body)


def _written(response: Response) -> bytes:
    lines = [f"HTTP/1.1 {response.status} {phrase(response.status)}"]
    lines += [f"{name}: {value}" for name, value in response.headers.items()]
    lines.append(f"Content-Length: {len(response.body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + response.body


def phrase(status: int) -> str:
    """The words that go with a status code."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Client Closed Request" if status == 499 else "Unknown"
