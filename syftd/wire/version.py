"""SYFT_version.json: which client a peer runs and, under our extension key, what it understands beyond the network."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Final

from syftd.errors import Malformed, TooLarge
from syftd.wire import bounded_json, fields
from syftd.wire.messages import Version

VERSION_FILE: Final = "SYFT_version.json"
MAX_VERSION_BYTES: Final = 64 * 1024

# The network publishes these and never compares them.
_MIN_SUPPORTED: Final = "0.1.93"
_PROTOCOL: Final = "1.0.0"
_MAX_EXTENSIONS: Final = 64


def encode_version(client_version: str, extensions: Iterable[str], updated_at: str) -> bytes:
    """The file that tells peers our client version and extensions; `updated_at` as `submission.time_text` writes it."""
    known = {
        "syft_client_version": client_version,
        "min_supported_syft_client_version": _MIN_SUPPORTED,
        "protocol_version": _PROTOCOL,
        "min_supported_protocol_version": _PROTOCOL,
        "updated_at": updated_at,
        "syftd": {"extensions": sorted(set(extensions))},
    }
    return json.dumps(known, indent=2).encode("utf-8")


def decode_version(content: bytes) -> Version:
    """What a peer's version file says. Only the client version must be there. Raises Malformed or TooLarge."""
    if len(content) > MAX_VERSION_BYTES:
        raise TooLarge(f"{VERSION_FILE} is {len(content)} bytes; the limit is {MAX_VERSION_BYTES}")
    value = bounded_json.parse(content, depth=8, values=1024, containers=128)
    if not isinstance(value, dict):
        raise Malformed(f"{VERSION_FILE} is not a JSON object: {fields.shown(value)}")
    told = fields.items(
        fields.record(value.get("syftd"), "syftd").get("extensions"), "syftd.extensions", _MAX_EXTENSIONS
    )
    updated_at = value.get("updated_at") or ""
    if not isinstance(updated_at, str):
        raise Malformed(f"updated_at of {VERSION_FILE} is not a string: {fields.shown(updated_at)}")
    return Version(
        client_version=fields.token(value.get("syft_client_version"), "syft_client_version"),
        extensions=frozenset(fields.token(extension, "an extension's name") for extension in told),
        updated_at=fields.prose(updated_at[:64]),
    )
