"""Resumable uploads: a session that takes a file in chunks and makes it once, when the last byte is there."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from tests.drive_emulator.call import Call, Media
from tests.drive_emulator.errors import DriveError
from tests.drive_emulator.message import Response

GRAIN: Final = 256 * 1024
"""Every chunk but the last is a multiple of so many bytes."""
_RANGE: Final = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)")


@dataclass
class Session:
    """One upload under way. `answer` is what its end was answered with, to be told again when asked."""

    id: str
    method_id: str
    call: Call
    content_type: str
    announced: int | None
    received: bytearray = field(default_factory=bytearray)
    answer: Response | None = None

    def media(self) -> Media:
        """The whole content."""
        return Media(self.content_type, bytes(self.received))


@dataclass(frozen=True)
class Chunk:
    """What a request brings: where its bytes begin (None asks for the state only) and the size in all, if it says so."""

    start: int | None
    total: int | None


def chunk(header: str | None, length: int, received: int) -> Chunk:
    """Reads a Content-Range header over a body of `length` bytes. Raises DriveError (400) when they disagree."""
    if header is None:
        return Chunk(0, length)
    found = _RANGE.fullmatch(header.strip())
    if found is None:
        raise _refusal(f"Failed to parse Content-Range header: {header}")
    total = None if found[3] == "*" else int(found[3])
    if found[1] is None:
        # "bytes */0" is the whole of an empty file.
        return Chunk(received if length == 0 and total == 0 else None, total)
    start, end = int(found[1]), int(found[2])
    if end - start + 1 != length or (total is not None and end >= total):
        raise _refusal(f"Content-Range {header} does not fit a body of {length} bytes.")
    return Chunk(start, total)


def append(session: Session, piece: Chunk, body: bytes) -> bool:
    """Adds the bytes of a chunk; whether the content is complete now. Raises DriveError (400) for one that does not fit."""
    if session.announced is None and piece.total is not None:
        session.announced = piece.total
    if piece.total is not None and piece.total != session.announced:
        raise _refusal(f"The upload was announced with {session.announced} bytes, not {piece.total}.")
    if piece.start is None:
        return session.announced is not None and len(session.received) == session.announced
    known = len(session.received)
    if piece.start > known:
        raise _refusal(f"The chunk begins at byte {piece.start}; the next byte expected is {known}.")
    ends_it = session.announced is not None and piece.start + len(body) >= session.announced
    if not ends_it and len(body) % GRAIN:
        raise _refusal(f"Every chunk but the last must be a multiple of {GRAIN} bytes, not {len(body)}.")
    if session.announced is not None and piece.start + len(body) > session.announced:
        raise _refusal(f"The upload was announced with {session.announced} bytes.")
    # What was kept of an earlier try is not taken twice.
    session.received += body[known - piece.start :]
    return ends_it


def progress(session: Session) -> Response:
    """308, with the range kept so far."""
    headers = {"X-GUploader-UploadID": session.id}
    if session.received:
        headers["Range"] = f"bytes=0-{len(session.received) - 1}"
    return Response(308, b"", headers)


def _refusal(message: str) -> DriveError:
    return DriveError(400, "badRequest", message)
