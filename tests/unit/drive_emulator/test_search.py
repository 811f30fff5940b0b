"""What files.list finds and in which order, asked of the server with everything that a file can be searched by."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.drive_emulator.item import timestamp
from tests.unit.drive_emulator.conftest import OWNER, PEER, STRANGER
from tests.unit.drive_emulator.seam import FOLDER, FakeClock, Reply, make, media, names, refused, share

Send = Callable[..., Reply]


@pytest.fixture
def library(owner: Any, peer: Any, clock: FakeClock) -> dict[str, str]:
    """A few files, an hour apart; the name of each moment between them."""
    moments: dict[str, str] = {}
    folder = make(owner, "Box")
    clock.advance(3600)
    body = {"name": "notes.txt", "parents": [folder], "description": "minutes of the council", "starred": True}
    owner.files().create(body=body, media_body=media(b"The quick brown fox", "text/plain")).execute()
    moments["after notes"] = timestamp(clock())
    clock.advance(3600)
    make(owner, "census 2026.csv", b"fox,1", properties={"year": "2026"}, appProperties={"secret": "s"})
    clock.advance(3600)
    theirs = make(peer, "letter", b"dear")
    share(peer, theirs, OWNER, "reader")
    owner.files().get_media(fileId=theirs).execute()
    return moments


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("fullText contains 'fox'", ["notes.txt"]),
        ("fullText contains 'council'", ["notes.txt"]),
        ("fullText contains 'census'", ["census 2026.csv"]),
        ("""fullText contains '"quick brown"'""", ["notes.txt"]),
        ("""fullText contains '"quick fox"'""", []),
        ("starred = true", ["notes.txt"]),
        ("starred != true and mimeType != 'application/vnd.google-apps.folder'", ["census 2026.csv", "letter"]),
        ("properties has { key='year' and value='2026' }", ["census 2026.csv"]),
        ("properties has { key='secret' and value='s' }", []),
        ("appProperties has { key='secret' and value='s' }", ["census 2026.csv"]),
        ("mimeType contains 'text/'", ["notes.txt"]),
        (f"mimeType = '{FOLDER}'", ["Box"]),
        ("viewedByMeTime > '2000-01-01T00:00:00'", ["letter"]),
        ("sharedWithMe", ["letter"]),
        ("sharedWithMe = false and trashed = false", ["Box", "census 2026.csv", "notes.txt"]),
        (f"'{PEER}' in owners", ["letter"]),
        (f"'{PEER}' in writers", ["letter"]),
        (f"'{OWNER}' in writers", ["Box", "census 2026.csv", "notes.txt"]),
        (f"'{OWNER.upper()}' in readers and '{PEER}' in readers", ["letter"]),
        (f"'{STRANGER}' in readers", []),
        ("visibility = 'limited'", ["Box", "census 2026.csv", "letter", "notes.txt"]),
        ("createdTime <= 'AFTER NOTES' or sharedWithMe", ["Box", "letter", "notes.txt"]),
        ("modifiedTime > 'AFTER NOTES' and 'me' in owners", ["census 2026.csv"]),
        ("name = 'Notes.txt'", []),
        ("name contains 'notes'", ["notes.txt"]),
        ("name contains '2026'", ["census 2026.csv"]),
    ],
)
def test_a_file_is_found_by_what_it_is(owner: Any, library: dict[str, str], query: str, expected: list[str]) -> None:
    assert sorted(names(owner, query.replace("AFTER NOTES", library["after notes"]))) == expected


@pytest.mark.parametrize(
    ("order", "first"),
    [
        ("viewedByMeTime desc", "letter"),
        ("sharedWithMeTime desc", "letter"),
        ("modifiedByMeTime desc", "census 2026.csv"),
        ("createdTime", "Box"),
        ("starred", "notes.txt"),
        ("folder", "Box"),
        ("quotaBytesUsed desc", "notes.txt"),
    ],
)
def test_an_order_puts_the_right_file_first(owner: Any, library: dict[str, str], order: str, first: str) -> None:
    assert names(owner, orderBy=order)[0] == first


def test_an_empty_query_is_none(owner: Any, library: dict[str, str]) -> None:
    assert len(names(owner, " ")) == 4


def test_the_fields_of_sharing_are_told_to_the_one_shared_with(owner: Any, library: dict[str, str]) -> None:
    [letter] = owner.files().list(q="sharedWithMe", fields="files(sharedWithMeTime,sharingUser/emailAddress)").execute()["files"]
    assert letter["sharingUser"] == {"emailAddress": PEER}
    assert letter["sharedWithMeTime"] > library["after notes"]


def test_the_sort_of_file_decides_what_can_be_done(owner: Any, library: dict[str, str]) -> None:
    file = make(owner, "plain", b"")
    with refused(403, "fileNotExportable"):
        owner.files().export(fileId=file, mimeType="text/plain").execute()
    with refused(404, "notFound"):
        owner.files().export(fileId="1nowhere", mimeType="text/plain").execute()
    with refused(403, "parentNotAFolder"):
        make(owner, "inside", b"", file)
    with refused(400, "invalid"):
        owner.files().update(fileId=file, body={"mimeType": FOLDER}).execute()
    with refused(400, "invalid"):
        owner.files().create(body={"name": "two", "parents": ["root", file]}).execute()
    with refused(403, "insufficientFilePermissions"):
        owner.files().update(fileId="root", body={"name": "Mine"}).execute()
    with refused(403, "insufficientFilePermissions"):
        owner.files().update(fileId="root", addParents=make(owner, "box"), removeParents="root").execute()
    with refused(501, "notImplemented"):
        owner.permissions().create(fileId=file, body={"type": "domain", "role": "reader", "domain": "x.org"}).execute()


def test_whoever_only_reads_may_still_star(owner: Any, peer: Any) -> None:
    file = make(owner, "a", b"")
    share(owner, file, PEER, "reader")
    peer.files().update(fileId=file, body={"starred": True}).execute()
    assert names(peer, "starred=true") == ["a"]
    assert names(owner, "starred=true") == []
    assert owner.files().get(fileId=file, fields="lastModifyingUser").execute()["lastModifyingUser"]["emailAddress"] == OWNER


def test_another_verb_may_travel_in_a_header(owner: Any, send: Send) -> None:
    file = make(owner, "a", b"")
    reply = send("POST", f"/drive/v3/files/{file}", {"name": "b"}, X_HTTP_Method_Override="PATCH")
    assert (reply.status, reply.json()["name"]) == (200, "b")
