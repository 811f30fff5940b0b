"""Multipart bodies, read byte for byte and written. Both line ends occur: clients differ."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from email.message import Message
from email.parser import BytesHeaderParser
from typing import Final

from tests.drive_emulator.errors import DriveError

_MAX_PARTS: Final = 1000


@dataclass(frozen=True)
class Part:
    """One part: its headers (names in lower case) and its bytes."""

    headers: dict[str, str]
    data: bytes


def parameter(content_type: str, name: str) -> str:
    """A parameter of a Content-Type header, "" when it has none by this name."""
    message = Message()
    message["Content-Type"] = content_type
    value = message.get_param(name)
    return value if isinstance(value, str) else ""


def split(content_type: str, body: bytes) -> list[Part]:
    """The parts of a multipart body. Raises DriveError (400 badContent) for one that has no such form."""
    boundary = parameter(content_type, "boundary").encode()
    opening = re.search(rb"(?:^|\r?\n)--" + re.escape(boundary) + rb"[ \t]*(\r?\n)", body) if boundary else None
    if opening is None:
        raise _refusal("Missing or unused multipart boundary.")
    line_end = re.escape(opening[1])
    delimiter = re.compile(line_end + rb"--" + re.escape(boundary) + rb"(--)?[ \t]*(?:" + line_end + rb"|\Z)")
    parts: list[Part] = []
    start = opening.end()
    # The line end before a delimiter belongs to it, and an empty part has its delimiter right after the one before.
    while len(parts) < _MAX_PARTS:
        found = delimiter.search(body, start - len(opening[1]))
        if found is None:
            raise _refusal("The multipart body ends without its closing boundary.")
        parts.append(_part(body[start : max(start, found.start())]))
        if found[1]:
            return parts
        start = found.end()
    raise _refusal("Too many parts.")


def head_and_body(data: bytes) -> tuple[bytes, bytes]:
    """What stands before and after the first empty line."""
    if data.startswith((b"\r\n", b"\n")):
        return b"", data[data.index(b"\n") + 1 :]
    found = re.search(rb"\r?\n\r?\n", data)
    return (data, b"") if found is None else (data[: found.start()], data[found.end() :])


def headers(head: bytes) -> dict[str, str]:
    """The headers in a block of lines, names in lower case."""
    return {name.lower(): value for name, value in BytesHeaderParser().parsebytes(head + b"\r\n\r\n").items()}


def _part(data: bytes) -> Part:
    head, content = head_and_body(data)
    fields = headers(head)
    if fields.get("content-transfer-encoding", "").lower() == "base64":
        try:
            content = base64.b64decode(content, validate=False)
        except binascii.Error:
            raise _refusal("A part is not the base64 that it says it is.") from None
    return Part(fields, content)


def _refusal(message: str) -> DriveError:
    return DriveError(400, "badContent", f"Malformed multipart body. {message}")
