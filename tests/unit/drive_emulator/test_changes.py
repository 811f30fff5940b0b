from __future__ import annotations

from typing import Any

import pytest

from tests.drive_emulator import DriveEmulator
from tests.unit.drive_emulator.conftest import PEER
from tests.unit.drive_emulator.seam import FakeClock, make, media, refused, share

FIELDS = "nextPageToken,newStartPageToken,changes(fileId,removed,file(name,trashed,parents))"


def start(drive: Any) -> str:
    return str(drive.changes().getStartPageToken().execute()["startPageToken"])


def since(drive: Any, token: str, **params: Any) -> tuple[list[dict[str, Any]], str]:
    """All changes since `token`, and the token that comes next."""
    changes: list[dict[str, Any]] = []
    while True:
        page = drive.changes().list(pageToken=token, fields=FIELDS, **params).execute()
        changes += page["changes"]
        if "newStartPageToken" in page:
            return changes, str(page["newStartPageToken"])
        token = page["nextPageToken"]


def test_the_feed_tells_of_everything_since_its_token(owner: Any) -> None:
    token = start(owner)
    assert since(owner, token) == ([], token)
    file = make(owner, "a", b"")
    changes, token = since(owner, token)
    assert [(each["fileId"], each["removed"], each["file"]["name"]) for each in changes] == [(file, False, "a")]
    owner.files().update(fileId=file, body={"name": "b"}).execute()
    owner.files().update(fileId=file, media_body=media(b"x")).execute()
    changes, token = since(owner, token)
    assert [each["file"]["name"] for each in changes] == ["b"]
    owner.files().update(fileId=file, body={"trashed": True}).execute()
    changes, token = since(owner, token)
    assert [(each["removed"], each["file"]["trashed"]) for each in changes] == [(False, True)]
    owner.files().delete(fileId=file).execute()
    changes, token = since(owner, token)
    assert changes == [{"fileId": file, "removed": True}]
    assert since(owner, token) == ([], token)


def test_an_old_token_never_expires(owner: Any, clock: FakeClock) -> None:
    token = start(owner)
    made = [make(owner, str(number), b"") for number in range(5)]
    clock.advance(400 * 86400)
    changes, _ = since(owner, token)
    assert [each["fileId"] for each in changes] == made
    assert [each["fileId"] for each in since(owner, "0")[0]] == made


def test_the_feed_comes_in_pages_oldest_first(owner: Any) -> None:
    token = start(owner)
    made = [make(owner, str(number), b"") for number in range(7)]
    changes, after = since(owner, token, pageSize=3)
    assert [each["fileId"] for each in changes] == made
    assert after == start(owner)


def test_each_person_has_a_feed_of_their_own(owner: Any, peer: Any) -> None:
    token = start(peer)
    folder = make(owner, "box")
    inside = make(owner, "a", b"", folder)
    make(owner, "private", b"")
    assert since(peer, token)[0] == []
    permission = share(owner, folder, PEER, "reader")
    changes, token = since(peer, token)
    assert {each["fileId"] for each in changes} == {folder, inside}
    late = make(owner, "b", b"", folder)
    changes, token = since(peer, token)
    assert [each["fileId"] for each in changes] == [late]
    owner.permissions().delete(fileId=folder, permissionId=permission).execute()
    changes, token = since(peer, token)
    assert {(each["fileId"], each["removed"]) for each in changes} == {(folder, True), (inside, True), (late, True)}
    owner.files().update(fileId=late, body={"name": "c"}).execute()
    assert since(peer, token)[0] == []


def test_moving_a_file_out_of_a_shared_folder_removes_it_for_the_others(owner: Any, peer: Any) -> None:
    box, drawer = make(owner, "box"), make(owner, "drawer")
    share(owner, box, PEER, "reader")
    file = make(owner, "a", b"", box)
    theirs, mine = start(peer), start(owner)
    owner.files().update(fileId=file, addParents=drawer, removeParents=box).execute()
    assert since(peer, theirs)[0] == [{"fileId": file, "removed": True}]
    assert [(each["removed"], each["file"]["parents"]) for each in since(owner, mine)[0]] == [(False, [drawer])]


def test_a_change_in_a_trashed_folder_is_one_of_everything_in_it(owner: Any) -> None:
    folder = make(owner, "box")
    file = make(owner, "a", b"", folder)
    token = start(owner)
    owner.files().update(fileId=folder, body={"trashed": True}).execute()
    assert {each["fileId"] for each in since(owner, token)[0]} == {folder, file}


def test_the_feed_can_be_narrowed(owner: Any, peer: Any) -> None:
    token = start(peer)
    folder = make(owner, "box")
    share(owner, folder, PEER, "writer")
    mine = make(peer, "mine", b"")
    gone = make(peer, "gone", b"")
    peer.files().delete(fileId=gone).execute()
    everything = [folder, mine, gone]
    assert [each["fileId"] for each in since(peer, token)[0]] == everything
    assert [each["fileId"] for each in since(peer, token, includeRemoved=False)[0]] == [folder, mine]
    assert [each["fileId"] for each in since(peer, token, restrictToMyDrive=True)[0]] == [mine, gone]


def test_the_feed_never_skips_what_is_late(owner: Any, emulator: DriveEmulator, clock: FakeClock) -> None:
    token = start(owner)
    emulator.configure(list_lag_ms=5000)
    first = make(owner, "late", b"")
    assert since(owner, token) == ([], token)
    # A start page token taken now must not lie beyond what no listing shows yet.
    assert start(owner) == token
    clock.advance(3)
    second = make(owner, "later", b"")
    clock.advance(3)
    changes, token = since(owner, token)
    assert [each["fileId"] for each in changes] == [first]
    clock.advance(3)
    assert [each["fileId"] for each in since(owner, token)[0]] == [second]


@pytest.mark.parametrize("token", ["", "x", "-1", "1.5", "9" * 30])
def test_a_token_that_is_none_is_refused(owner: Any, token: str) -> None:
    with refused(400, "invalid"):
        owner.changes().list(pageToken=token).execute()


def test_without_fields_a_change_is_short(owner: Any) -> None:
    token = start(owner)
    make(owner, "a", b"")
    change = owner.changes().list(pageToken=token).execute()["changes"][0]
    assert set(change) == {"kind", "type", "changeType", "time", "removed", "fileId", "file"}
    assert set(change["file"]) == {"kind", "id", "name", "mimeType"}
