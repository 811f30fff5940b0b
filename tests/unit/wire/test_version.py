"""The version file, both ways and from strangers."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syftd.errors import ItemError, Malformed, TooLarge
from syftd.wire.messages import EXTENSIONS, Version
from syftd.wire.version import MAX_VERSION_BYTES, decode_version, encode_version

STAMP = "2026-11-22T01:01:54.187048Z"


def test_the_file_has_the_networks_five_keys_and_ours() -> None:
    written = encode_version("0.1.117", EXTENSIONS, STAMP)
    assert json.loads(written) == {
        "syft_client_version": "0.1.117",
        "min_supported_syft_client_version": "0.1.93",
        "protocol_version": "1.0.0",
        "min_supported_protocol_version": "1.0.0",
        "updated_at": STAMP,
        "syftd": {"extensions": ["blobs", "stream", "verdicts"]},
    }
    assert written.startswith(b'{\n  "syft_client_version"')


@given(st.from_regex(r"\A[0-9a-z.+]{1,20}\Z"), st.frozensets(st.from_regex(r"\A[a-z]{1,9}\Z"), max_size=9))
def test_a_version_comes_back(client: str, extensions: frozenset[str]) -> None:
    assert decode_version(encode_version(client, extensions, STAMP)) == Version(client, extensions, STAMP)


def test_a_version_file_of_the_network_has_no_extensions() -> None:
    plain = {"syft_client_version": "0.1.117", "protocol_version": "1.0.0", "attestation_token": None}
    assert decode_version(json.dumps(plain).encode()) == Version("0.1.117")


@pytest.mark.parametrize(
    "content",
    [
        {},
        [],
        None,
        {"syft_client_version": None},
        {"syft_client_version": 1.17},
        {"syft_client_version": "0.1.117#me@example.org"},
        {"syft_client_version": "1" * 65},
        {"syft_client_version": "0.1.117", "updated_at": 5},
        {"syft_client_version": "0.1.117", "syftd": []},
        {"syft_client_version": "0.1.117", "syftd": {"extensions": "blobs"}},
        {"syft_client_version": "0.1.117", "syftd": {"extensions": [5]}},
        {"syft_client_version": "0.1.117", "syftd": {"extensions": ["a"] * 65}},
    ],
)
def test_wrong_types_are_refused(content: Any) -> None:
    with pytest.raises(Malformed):
        decode_version(json.dumps(content).encode())


def test_a_large_file_is_refused() -> None:
    with pytest.raises(TooLarge):
        decode_version(b" " * (MAX_VERSION_BYTES + 1))


@given(st.binary(max_size=200))
def test_random_bytes_raise_nothing_but_item_errors(content: bytes) -> None:
    with pytest.raises(ItemError):
        decode_version(content)
