"""Queries, word for word as the network asks them, with everything quoted that somebody else wrote."""

from __future__ import annotations

from syftd.names import Email
from syftd.transport.drive import layout
from syftd.transport.drive.files import item_of

ME, PEER = Email("me@example.org"), Email("o+x@example.org")


def test_the_networks_queries() -> None:
    folder = "mimeType='application/vnd.google-apps.folder'"
    assert layout.root_query() == f"name='SyftBox' and {folder} and 'me' in owners and trashed=false"
    assert layout.box_query(ME, "inbox", PEER) == (
        f"{folder} and trashed=false and name contains 'syft_datasite#' and name contains "
        "'#me@example.org#inbox#o+x@example.org' and 'o+x@example.org' in owners"
    )
    assert layout.contents_query(["id"]) == "'id' in parents and trashed=false"
    assert layout.contents_query(["a", "b"]) == "('a' in parents or 'b' in parents) and trashed=false"
    assert layout.profile_query(PEER) == "name='SYFT_version.json' and trashed=false and 'o+x@example.org' in owners"
    assert layout.archive_name(PEER, ME) == "syft_o+x@example.org_to_me@example.org_archive"


def test_what_others_wrote_cannot_leave_its_quotes() -> None:
    assert layout.named_query("a' or name contains '", "f\\") == (
        "name='a\\' or name contains \\'' and 'f\\\\' in parents and trashed=false"
    )


def test_names_that_nobody_else_can_mean() -> None:
    assert layout.is_unique("msgv2_1795309352.0454535_3f0c8a52-8d1e-4c9d-9a52-0c3a3f7c9d10.tar.gz")
    assert layout.is_unique("ab" * 32)
    for name in ("race-1", "msgv2_1_2.tar.gz", "ab" * 31, "msgv2_1_3f0c8a52-8d1e-4c9d-9a52-0c3a3f7c9d10.tar.gz/x"):
        assert not layout.is_unique(name)


def test_a_file_as_drive_tells_it_and_what_is_missing_is_unknown() -> None:
    item = item_of(
        {
            "id": "1", "name": "n", "mimeType": layout.FOLDER, "owners": [{"emailAddress": "Me@Example.ORG"}], "size": "12",
            "permissions": [{"id": "p", "type": "user", "role": "writer", "emailAddress": "O+x@example.org"},
                            {"id": "anyone", "type": "anyone", "role": "reader"}],
        }
    )  # fmt: skip
    assert item is not None
    assert (item.owner, item.size, item.is_folder, dict(item.users)) == (ME, 12, True, {PEER: ("p", "writer")})
    bare = item_of({"id": "1", "name": "n"})
    assert bare is not None and (bare.owner, bare.size, bare.parents) == (None, -1, ())
    assert item_of({"name": "n"}) is None
    evil = item_of({"id": "1", "name": "n", "owners": [{"emailAddress": "not an address"}], "size": "-5"})
    assert evil is not None and evil.owner is None and evil.size == -1
