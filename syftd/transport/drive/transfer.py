"""Bytes up and down: whole or not at all, continued where they broke off, and checked against Drive's own digests."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from typing import Any, Final

from syftd.errors import Exists, Gone, Permanent, Transient
from syftd.names import Digest
from syftd.transport.drive import layout as names
from syftd.transport.drive.errors import answer_error
from syftd.transport.drive.files import Item, item_of
from syftd.transport.drive.folders import getting
from syftd.transport.drive.service import Service

ONE_REQUEST: Final = 5 * 1024 * 1024
"""More than this goes up in pieces, so that a broken connection costs a piece and not the whole."""
PIECE: Final = 8 * 1024 * 1024
"""A multiple of 256 KiB, as Drive wants it."""
DOWN_PIECE: Final = 16 * 1024 * 1024


def create(
    service: Service, id: str, name: str, parent: str, content: bytes, mime: str, properties: Mapping[str, str]
) -> Item:
    """Makes a file with the reserved `id`, once however often it is tried. Raises Exists when something else has the id."""
    body = {"id": id, "name": name, "parents": [parent], "mimeType": mime}
    if properties:
        body["appProperties"] = dict(properties)  # type: ignore[assignment]

    def request(client: Any) -> Any:
        return client.files().create(
            body=body, media_body=_media(content, mime), fields=names.FIELDS, supportsAllDrives=True
        )

    try:
        told = _sent(service, f"storing {name}", request, len(content))
    except Exists:
        # The answer to an earlier try was lost on its way: what lies there decides.
        told = service.call("read", f"looking at {name}", getting(id))
    return _checked(service, told, name, content)


def replace(service: Service, id: str, name: str, content: bytes, mime: str) -> Item:
    """Gives a file of ours other bytes, in one step."""

    def request(client: Any) -> Any:
        return client.files().update(
            fileId=id, media_body=_media(content, mime), fields=names.SHARED_FIELDS, supportsAllDrives=True
        )

    return _checked(service, _sent(service, f"storing {name}", request, len(content)), name, content)


def _media(content: bytes, mime: str) -> Any:
    from googleapiclient.http import MediaIoBaseUpload

    # A stream of its own for each try: what read it before may have stopped anywhere.
    return MediaIoBaseUpload(io.BytesIO(content), mimetype=mime, chunksize=PIECE, resumable=len(content) > ONE_REQUEST)


def _sent(service: Service, what: str, request: Any, size: int) -> Any:
    if size <= ONE_REQUEST:
        return service.call("edit", what, request)
    upload: list[Any] = []

    def work(client: Any) -> Any:
        if not upload:
            upload.append(request(client))
        answer = None
        while answer is None:
            try:
                # After an error the library first asks how much has arrived, and continues there.
                _, answer = upload[0].next_chunk(http=client._http, num_retries=0)
            except Exception as error:
                if getattr(getattr(error, "resp", None), "status", 0) in (404, 410):
                    upload.clear()  # Drive has forgotten this upload; the next try begins anew, with the same id.
                    raise Transient(f"{what}: the upload had to begin anew") from error
                raise
        return answer

    return service.attempt("edit", what, work)


def _checked(service: Service, told: Any, name: str, content: bytes) -> Item:
    item = item_of(told) if isinstance(told, dict) else None
    if item is None:
        raise Transient(f"storing {name}: the answer was not Drive's")
    if not item.holds(Digest.of(content), hashlib.md5(content, usedforsecurity=False).hexdigest(), len(content)):
        if item.name == name:
            raise Exists(f"{name} on Google Drive holds other bytes already")
        raise Exists(f"the id reserved for {name} belongs to something else")
    return item


def download(service: Service, item: Item, offset: int, length: int | None) -> bytes:
    """The bytes of a file from `offset`, at most `length` of them; whole contents are checked against Drive's digest."""
    size = item.size
    if size >= 0:
        end = size if length is None else min(size, offset + length)
        if offset >= end:
            return b""
        whole = offset == 0 and end == size
    else:
        end, whole = (-1 if length is None else offset + length), offset == 0 and length is None
        if end == offset:
            return b""
    parts = bytearray()
    while True:
        begin = offset + len(parts)
        stop = begin + DOWN_PIECE if end < 0 else min(end, begin + DOWN_PIECE)
        piece, total = _piece(service, item, begin, None if begin == 0 and stop == size else stop, check=whole and stop == size)
        parts += piece
        if end < 0:
            end = total
        if offset + len(parts) >= end:
            break
        if not piece:
            raise Transient(f"{item.name} ended early on Google Drive")
    if whole:
        _require_intact(item, parts)
    return bytes(parts)


def _require_intact(item: Item, content: bytes | bytearray) -> None:
    """Raises Transient unless these are the bytes that Drive holds, by its own digests."""
    if item.sha256:
        intact = hashlib.sha256(content).hexdigest() == item.sha256
    else:
        intact = not item.md5 or hashlib.md5(content, usedforsecurity=False).hexdigest() == item.md5
    if not intact:
        raise Transient(f"{item.name} arrived damaged from Google Drive", "syftd fetches it again.")


def _piece(service: Service, item: Item, begin: int, stop: int | None, *, check: bool) -> tuple[bytes, int]:
    """One range of a file (the whole when `stop` is None), and how many bytes the file has in all. `check` a range that
    is the whole file: one that arrived damaged is fetched again."""

    def work(client: Any) -> tuple[bytes, int]:
        request = client.files().get_media(fileId=item.id, supportsAllDrives=True)
        headers = dict(request.headers)
        if stop is not None:
            headers["range"] = f"bytes={begin}-{stop - 1}"
        response, body = client._http.request(request.uri, method="GET", headers=headers)
        status = int(response.status)
        if status == 416:
            return b"", begin
        if status not in (200, 206):
            raise answer_error(status, dict(response), body, f"fetching {item.name}", 0.0)
        if status == 200:
            total = len(body)
            body = body[begin:] if stop is None else body[begin:stop]
        else:
            told = str(response.get("content-range", "")).rpartition("/")[2]
            total = int(told) if told.isdigit() else begin + len(body)
        if stop is not None and len(body) > stop - begin:
            raise Transient(f"fetching {item.name}: more arrived than was asked for")
        if check and begin == 0 and len(body) == total:
            _require_intact(item, body)
        return bytes(body), total

    found: tuple[bytes, int] = service.attempt("download", f"fetching {item.name}", work)
    return found


def gone(item: Item) -> Gone:
    """The error for a file that is not there any more."""
    return Gone(f"{item.name} is not on Google Drive any more")


def require_range(offset: int, length: int | None) -> None:
    """Raises Permanent for a range that cannot be."""
    if offset < 0 or (length is not None and length < 0):
        raise Permanent(f"no range begins at {offset} with {length} bytes")
