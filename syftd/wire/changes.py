"""One change as the network's JSON: its content as text, as base64 or as a reference to chunks, and back again.

Our own keys sit under ``syftd`` in the change: ``blob`` for content in chunks, ``executable`` for the file's mode.
"""

from __future__ import annotations

import binascii
import uuid
from collections.abc import Iterable
from json.encoder import encode_basestring
from typing import Any, Final

from syftd.errors import ContentMissing, Malformed, TooLarge
from syftd.names import Digest, Email, RelPath
from syftd.wire import fields
from syftd.wire.messages import CHUNK_BYTES, BlobRef, Change, Limits

EXTENSION_KEY: Final = "syftd"
"""The one JSON key, in a message and in a change, under which everything beyond the network's format is kept."""

_ESCAPE_SLACK: Final = 64
_CHANGE_OVERHEAD: Final = 1024


def body_cost(change: Change) -> int:
    """An upper bound, in bytes, of what a change adds to a message before compression; for whoever fills messages up to
    `Limits.decompressed_bytes`."""
    inline = 0 if change.content is None else len(change.content) + len(change.content) // 3 + _ESCAPE_SLACK
    chunks = 0 if change.blob is None else len(change.blob.chunks)
    # Two quotes, a comma, a line end and the indent of a pretty-printed list come with each chunk's 64 digits.
    return _CHANGE_OVERHEAD + 2 * len(change.path.encode("utf-8")) + inline + 88 * chunks


def identity(message_id: str, path: RelPath) -> str:
    """The UUID that the network wants for each change; derived, so that encoding is a function of the value alone."""
    return str(uuid.uuid5(uuid.UUID(message_id), path))


def content_fields(change: Change, extensions: bool) -> tuple[str | None, str | None, dict[str, Any]]:
    """`content`, `content_type` and our own keys of one change. Raises ContentMissing, or TooLarge for content in
    chunks without the extensions."""
    beyond: dict[str, Any] = {}
    if extensions and change.executable:
        beyond["executable"] = True
    if change.after is None:
        return None, None, beyond
    if change.content is not None:
        return *_written(change.content), beyond
    if change.blob is None:
        raise ContentMissing(f"the content of {change.path} is not at hand", "It is read again from the disk.")
    if not extensions:
        raise TooLarge(
            f"{change.path} ({change.blob.size} bytes) is too large for a peer that cannot take content in chunks",
            "Send a smaller file, or ask the peer to use syftd.",
        )
    beyond["blob"] = {"size": change.blob.size, "chunks": change.blob.chunks}
    return None, None, beyond


def _written(content: bytes) -> tuple[str, str]:
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        pass  # Not an error: whatever is not UTF-8 travels in base64.
    else:
        # Text that is mostly control characters would grow sixfold in JSON; base64 grows by a third, whatever it holds.
        if len(encode_basestring(text)) - 2 - len(text) <= len(content) // 3 + _ESCAPE_SLACK:
            return text, "text"
    return binascii.b2a_base64(content, newline=False).decode("ascii"), "binary"


def read(value: object, what: str, told_site: object, limits: Limits) -> tuple[Email, list[Change]]:
    """The one datasite that the changes and `told_site`, the extension's word for it, speak of; and the changes in the
    JSON array `value`. Raises Malformed or TooLarge."""
    if not isinstance(value, list):
        raise Malformed(f"{what} is not a list: {fields.shown(value)}")
    if len(value) > limits.changes:
        raise TooLarge(f"the message has {len(value)} changes; the limit is {limits.changes}")
    site = None if told_site is None else fields.email(told_site, "the datasite in syftd")
    spelled: object = None
    changes = []
    for raw in value:
        if not isinstance(raw, dict):
            raise Malformed(f"an item of {what} is not a JSON object: {fields.shown(raw)}")
        address = raw.get("datasite_email")
        if spelled is None or address != spelled:
            named = fields.email(address, "datasite_email")
            if site is not None and named != site:
                raise Malformed(f"the message speaks of two datasites, {site} and {named}")
            site, spelled = named, address
        changes.append(_decode_change(raw, limits))
    if site is None:
        raise Malformed("the message has no changes and names no datasite")
    return site, changes


def _decode_change(raw: dict[str, Any], limits: Limits) -> Change:
    path = fields.path(raw.get("path_in_datasite"), "path_in_datasite")
    if raw.get("id") is not None:
        fields.uuid_text(raw["id"], "id of a change")
    for moment in ("submitted_timestamp", "timestamp"):
        if raw.get(moment) is not None:
            fields.timestamp(raw[moment], moment)
    before = fields.digest(raw.get("old_hash"), "old_hash")
    after = fields.digest(raw.get("new_hash"), "new_hash")
    content = _decode_content(raw.get("content"), raw.get("content_type"), path)
    executable, blob = False, None
    if raw.get(EXTENSION_KEY) is not None:
        beyond = fields.record(raw[EXTENSION_KEY], EXTENSION_KEY)
        executable = fields.flag(beyond.get("executable"), "syftd.executable")
        if beyond.get("blob") is not None:
            blob = _decode_blob(beyond["blob"], path, limits)
    if fields.flag(raw.get("is_deleted"), "is_deleted"):
        if content is not None or blob is not None or after is not None:
            raise Malformed(f"{path} is deleted and has content at the same time")
        return Change(path, before, None, executable=executable)
    if blob is not None:
        if content is not None or after is None:
            raise Malformed(f"{path} refers to chunks but has its content inline or no digest")
        return Change(path, before, after, blob=blob, executable=executable)
    if content is None:
        raise Malformed(f"{path} is not deleted and has no content")
    actual = Digest.of(content)
    if after is not None and after != actual:
        raise Malformed(f"the content of {path} does not have the digest that the message gives")
    return Change(path, before, actual, content=content, executable=executable)


def _decode_content(content: object, content_type: object, path: RelPath) -> bytes | None:
    if content_type not in (None, "text", "binary"):
        raise Malformed(f"content_type of {path} is not known: {fields.shown(content_type)}")
    if content is None:
        return None
    if not isinstance(content, str):
        raise Malformed(f"content of {path} is not a string: {fields.shown(content)}")
    # The codecs' errors hold the whole content; they are replaced outside of their `except`, so that nothing keeps it.
    try:
        if content_type == "binary":
            return binascii.a2b_base64(content, strict_mode=True)
        return content.encode("utf-8")
    except UnicodeEncodeError:
        reason = "is not valid Unicode"
    except ValueError as error:
        reason = f"is not valid base64: {error}"
    raise Malformed(f"content of {path} {reason}")


def _decode_blob(value: object, path: RelPath, limits: Limits) -> BlobRef:
    raw = fields.record(value, "syftd.blob")
    size = fields.count(raw.get("size"), "size of a blob")
    if size > limits.blob_bytes:
        raise TooLarge(f"{path} is {size} bytes; the limit is {limits.blob_bytes}")
    expected = -(-size // CHUNK_BYTES)
    chunks = fields.items(raw.get("chunks"), "chunks of a blob", expected)
    if size == 0 or len(chunks) != expected:
        raise Malformed(f"{path} of {size} bytes has {len(chunks)} chunks; it must have {expected}")
    return BlobRef(size, tuple(_required_digest(chunk, "chunk of a blob") for chunk in chunks))


def _required_digest(value: object, what: str) -> Digest:
    digest = fields.digest(value, what)
    if digest is None:
        raise Malformed(f"{what} is missing")
    return digest


def each_path_once(changes: list[Change]) -> tuple[Change, ...]:
    """The same changes; raises Malformed when two of them name one path."""
    if len({change.path for change in changes}) != len(changes):
        seen: set[str] = set()
        for change in changes:
            if change.path in seen:
                raise Malformed(f"the message names {change.path} twice")
            seen.add(change.path)
    return tuple(changes)


def fold(changes: Iterable[Change]) -> tuple[Change, ...]:
    """One change per path: from what the first one expected to what the last one made of it."""
    folded: dict[RelPath, Change] = {}
    for change in changes:
        earlier = folded.pop(change.path, None)
        if earlier is not None:
            change = Change(
                change.path, earlier.before, change.after, change.content, change.blob, executable=change.executable
            )
        folded[change.path] = change
    return tuple(folded.values())
