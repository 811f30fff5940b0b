"""SYFT_peers.json: the list of contacts as the network's programs keep it, for whichever of them its owner uses next."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from syftd.errors import ItemError
from syftd.names import Email
from syftd.wire import bounded_json

PEERS_FILE: Final = "SYFT_peers.json"
MAX_PEERS_BYTES: Final = 8 * 1024 * 1024


def encode_peers(states: Mapping[Email, str], ended: frozenset[Email], before: bytes) -> bytes:
    """The file with these states, without those whose contact has ended. What `before` says beyond that (keys that
    another program pinned, contacts that only it knows) stays as it is."""
    kept = {email: entry for email, entry in _entries(before).items() if email not in ended}
    for email, state in states.items():
        kept[email] = {**kept.get(email, {}), "state": state}
    return json.dumps(kept, indent=2).encode()


def _entries(content: bytes) -> dict[str, dict[str, Any]]:
    """What a file says; nothing when it is not such a file."""
    if not content or len(content) > MAX_PEERS_BYTES:
        return {}
    try:
        value = bounded_json.parse(content, depth=16, values=200_000, containers=50_000)
    except ItemError:
        return {}
    if not isinstance(value, dict):
        return {}
    return {str(email): entry for email, entry in value.items() if isinstance(entry, dict)}
