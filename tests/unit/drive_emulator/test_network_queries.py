"""The searches of the existing network's clients, letter for letter as they send them, on folders named as they name them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.drive_emulator.conftest import OWNER, PEER
from tests.unit.drive_emulator.seam import make, names, share

KIND = "application/vnd.google-apps.folder"
VERSION = "0.1.117"
ME, THEM = OWNER, PEER


@pytest.fixture
def layout(owner: Any, peer: Any) -> dict[str, str]:
    """What both parties have after they accepted each other: `me` owns the datasite, `them` opened the boxes."""
    ids: dict[str, str] = {}
    for who, other, drive in ((ME, THEM, owner), (THEM, ME, peer)):
        box = ids[f"{who} box"] = make(drive, "SyftBox")
        ids[f"{who} personal"] = make(drive, f"{VERSION}#{who}", None, box)
        for direction in ("inbox", "outbox"):
            folder = make(drive, f"syft_datasite#{VERSION}#{other}#{direction}#{who}", None, box)
            share(drive, folder, other)
            ids[f"{who} {direction}"] = folder
        version = make(drive, "SYFT_version.json", b"{}", box)
        share(drive, version, other, "reader")
        make(drive, "SYFT_peers.json", b"{}", box)
        make(drive, f"{who}-{VERSION}-checkpoints", None, box)
        make(drive, f"{who}-{VERSION}-rolling-state", None, box)
        mock = {"appProperties": {"syft_shared_with_any": "true"}}
        shown = make(drive, "syft_datasetcollection_census_0123456789ab", None, box, **mock)
        share(drive, shown, other, "reader")
        make(drive, "syft_privatecollection_census_0123456789ab", None, box)
    return ids


SEARCHES: list[tuple[str, list[str]]] = [
    (f"name='SyftBox' and mimeType='{KIND}' and 'me' in owners and trashed=false", ["SyftBox"]),
    (
        f"mimeType='{KIND}' and trashed=false and name contains '#{ME}' and 'SYFTBOX' in parents and '{ME}' in owners",
        # The two folders with a dash match as well, since "#" and "-" only part words; clients tell them apart by name.
        [
            f"{VERSION}#{ME}",
            f"{ME}-{VERSION}-checkpoints",
            f"{ME}-{VERSION}-rolling-state",
            f"syft_datasite#{VERSION}#{THEM}#inbox#{ME}",
            f"syft_datasite#{VERSION}#{THEM}#outbox#{ME}",
        ],
    ),
    (
        f"mimeType='{KIND}' and trashed=false and name contains 'syft_datasite#' "
        f"and name contains '#{ME}#inbox#{THEM}' and '{THEM}' in owners",
        [f"syft_datasite#{VERSION}#{ME}#inbox#{THEM}"],
    ),
    (
        f"name contains 'syft_datasite#' and name contains '#{ME}#' and trashed=false "
        f"and mimeType = '{KIND}' and not 'me' in owners",
        [f"syft_datasite#{VERSION}#{ME}#inbox#{THEM}", f"syft_datasite#{VERSION}#{ME}#outbox#{THEM}"],
    ),
    ("name='SYFT_peers.json' and 'SYFTBOX' in parents and trashed=false", ["SYFT_peers.json"]),
    ("name='SYFT_version.json' and 'SYFTBOX' in parents and trashed=false", ["SYFT_version.json"]),
    (f"name='SYFT_version.json' and trashed=false and '{THEM}' in owners", ["SYFT_version.json"]),
    (f"name='syft_{THEM}_to_{ME}_archive' and mimeType='{KIND}' and 'me' in owners and trashed=false", []),
    (
        "name contains 'syft_datasetcollection_' and 'SYFTBOX' in parents and 'me' in owners "
        f"and trashed=false and mimeType='{KIND}'",
        ["syft_datasetcollection_census_0123456789ab"],
    ),
    (
        f"name contains 'syft_datasetcollection_' and not 'me' in owners and trashed=false and mimeType='{KIND}'",
        ["syft_datasetcollection_census_0123456789ab"],
    ),
    (
        "name='syft_datasetcollection_census_0123456789ab' and "
        f"mimeType='{KIND}' and trashed=false and '{THEM}' in owners  ",
        ["syft_datasetcollection_census_0123456789ab"],
    ),
    (
        "name='syft_datasetcollection_census_0123456789ab' and "
        f"mimeType='{KIND}' and trashed=false  and 'SYFTBOX' in parents",
        ["syft_datasetcollection_census_0123456789ab"],
    ),
    (
        "name contains 'syft_privatecollection_' and 'SYFTBOX' in parents and 'me' in owners "
        f"and trashed=false and mimeType='{KIND}'",
        ["syft_privatecollection_census_0123456789ab"],
    ),
    (
        f"mimeType='{KIND}' and trashed=false and name contains '{ME}-' and name contains '-checkpoints' "
        "and 'SYFTBOX' in parents",
        [f"{ME}-{VERSION}-checkpoints"],
    ),
    (
        f"mimeType='{KIND}' and trashed=false and name contains '{ME}-' and name contains '-rolling-state' "
        "and 'SYFTBOX' in parents",
        [f"{ME}-{VERSION}-rolling-state"],
    ),
    ("name contains 'syft_outbox_inbox' and 'me' in owners and trashed=false", []),
]


def test_the_networks_searches_find_what_they_are_for(owner: Any, layout: dict[str, str]) -> None:
    have = {query: sorted(names(owner, query.replace("SYFTBOX", layout[f"{ME} box"]))) for query, _ in SEARCHES}
    assert have == dict(SEARCHES)


def test_messages_are_listed_newest_name_first(owner: Any, peer: Any, layout: dict[str, str]) -> None:
    inbox = layout[f"{THEM} inbox"]
    for number in range(3):
        make(peer, f"msgv2_179530935{number}.5_x.tar.gz", b"message", inbox)
    params = {"fields": "files(id, name, size, mimeType, modifiedTime), nextPageToken", "pageSize": 2, "orderBy": "name desc"}
    first = owner.files().list(q=f"'{inbox}' in parents and trashed=false", **params).execute()
    assert [each["name"] for each in first["files"]] == ["msgv2_1795309352.5_x.tar.gz", "msgv2_1795309351.5_x.tar.gz"]
    token = first["nextPageToken"]
    last = owner.files().list(q=f"'{inbox}' in parents and trashed=false", pageToken=token, **params).execute()
    assert [each["name"] for each in last["files"]] == ["msgv2_1795309350.5_x.tar.gz"]
    assert "nextPageToken" not in last
    assert set(last["files"][0]) == {"id", "name", "size", "mimeType", "modifiedTime"}


def test_checkpoints_are_found_by_the_beginning_of_a_word(owner: Any, layout: dict[str, str]) -> None:
    folder = make(owner, "state")
    make(owner, "checkpoint_1795309352.5.tar.gz", b"", folder)
    make(owner, "incremental_checkpoint_3_1795309352.5.tar.gz", b"", folder)
    make(owner, "rolling_state_1795309352.5.tar.gz", b"", folder)
    lying = f"'{folder}' in parents and trashed=false and name contains "
    assert len(names(owner, lying + "'checkpoint'")) == 2
    assert len(names(owner, lying + "'incremental_checkpoint'")) == 1
    assert len(names(owner, lying + "'rolling_state'")) == 1


def test_a_handled_message_is_moved_to_the_archive(owner: Any, peer: Any, layout: dict[str, str]) -> None:
    inbox = layout[f"{THEM} inbox"]
    message = make(peer, "msgv2_1795309352.5_x.tar.gz", b"message", inbox)
    archive = make(owner, f"syft_{THEM}_to_{ME}_archive", None, layout[f"{ME} box"])
    parents = owner.files().get(fileId=message, fields="parents").execute()["parents"]
    moved = owner.files().update(
        fileId=message, addParents=archive, removeParents=",".join(parents), fields="id, parents"
    ).execute()  # fmt: skip
    assert moved["parents"] == [archive]
    assert names(peer, f"'{inbox}' in parents") == []
