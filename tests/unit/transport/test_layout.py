"""Folder names of the network, read strictly."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syftd.errors import Permanent
from syftd.names import Email
from syftd.transport import layout
from syftd.transport.mailbox import blobs, inbox, outbox, profile

OWNER, PEER = Email("owner@example.org"), Email("a-1.2.3+b@lab.example.org")


@pytest.mark.parametrize("box", [inbox(OWNER, PEER), outbox(OWNER, PEER), inbox(PEER, OWNER)])
def test_a_name_we_write_is_a_name_we_read(box) -> None:  # type: ignore[no-untyped-def]
    assert layout.box_of(layout.folder_name(box), box.owner) == box
    assert layout.box_of(layout.folder_name(box), box.datasite) is None


def test_the_version_is_a_field_and_not_looked_for_in_addresses() -> None:
    assert layout.box_of(f"syft_datasite#{OWNER}#0.1.117#inbox#{PEER}", PEER) is None
    assert layout.box_of(f"syft_datasite#0.1.1#{OWNER}#inbox#{PEER}", PEER) == inbox(OWNER, PEER)


def test_our_own_version_is_preferred_then_the_newest() -> None:
    names = [f"syft_datasite#0.1.{patch}#{OWNER}#inbox#{PEER}" for patch in (9, 120, 117, 90)]
    assert [name.split("#")[1] for name in sorted(names, key=layout.preference)] == [
        "0.1.117",
        "0.1.120",
        "0.1.90",
        "0.1.9",
    ]


@given(st.text(max_size=80))
def test_no_text_makes_the_parser_fall_over(text: str) -> None:
    box = layout.box_of("syft_datasite#" + text, PEER)
    assert box is None or box.owner == PEER
    if layout.is_object_name(text):
        assert "/" not in text
        assert not text.startswith(".")


def test_what_an_object_may_be_called_depends_on_the_box() -> None:
    layout.require_object_name(inbox(OWNER, PEER), "syft_anything")
    layout.require_object_name(profile(OWNER), "SYFT_version.json")
    layout.require_object_name(blobs(OWNER), "0" * 64)
    for box, name in [(profile(OWNER), "syft_blobs"), (blobs(OWNER), "SYFT_version.json"), (inbox(OWNER, PEER), "a\n")]:
        with pytest.raises(Permanent):
            layout.require_object_name(box, name)
