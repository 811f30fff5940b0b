"""Object names are the network's, and say the same thing both ways."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syftd.wire.names import LATEST_TIMESTAMP, MessageName, events_name, parse, proposal_name

UID = "5f0c7a52-1d0b-4a83-9a7e-2f5f0f6c9b10"


def test_names_as_the_network_writes_them() -> None:
    assert proposal_name(1795309352.0454535, UID) == f"msgv2_1795309352.0454535_{UID}.tar.gz"
    assert events_name(1795309352, UID) == f"syfteventsmessagev3_1795309352.0_{UID}.tar.gz"


@given(st.floats(0, LATEST_TIMESTAMP, exclude_max=True, allow_subnormal=False).map(abs), st.uuids().map(str))
def test_a_name_gives_its_parts_again(ts: float, uid: str) -> None:
    assert parse(proposal_name(ts, uid)) == MessageName("proposal", ts, uid)
    assert parse(events_name(ts, uid)) == MessageName("events", ts, uid)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "SYFT_version.json",
        f"msgv2_1.5_{UID}",
        f"msgv2_1.5_{UID}.tar.gz.part",
        f"msgv2_1.5_x_{UID}.tar.gz",
        f"msgv2_{UID}.tar.gz",
        f"other_1.5_{UID}.tar.gz",
        f"msgv2_nan_{UID}.tar.gz",
        f"msgv2_inf_{UID}.tar.gz",
        f"msgv2_-1.5_{UID}.tar.gz",
        f"msgv2_ 1.5_{UID}.tar.gz",
        f"msgv2_١٢_{UID}.tar.gz",
        f"msgv2_1e300_{UID}.tar.gz",
        f"msgv2_1.5_{UID.upper()}.tar.gz",
        "msgv2_1.5_../../etc/passwd.tar.gz",
        f"msgv2_{'9' * 10_000_000}_{UID}.tar.gz",
    ],
)
def test_other_objects_are_not_messages(name: str) -> None:
    assert parse(name) is None


@given(st.text())
def test_no_name_raises(name: str) -> None:
    parse(name)
