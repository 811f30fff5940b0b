from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.drive_emulator import DriveEmulator
from tests.unit.drive_emulator.conftest import OWNER, PEER
from tests.unit.drive_emulator.seam import FakeClock, Reply, make, media, names, refused, share


def test_each_kind_of_call_has_its_price(owner: Any, emulator: DriveEmulator) -> None:
    def cost(request: Any) -> int:
        before = emulator.stats()["units"].get(OWNER, 0)
        request.execute()
        return int(emulator.stats()["units"][OWNER] - before)

    file = make(owner, "a", b"x")
    permission = share(owner, file, PEER, "reader")
    files, permissions, changes = owner.files(), owner.permissions(), owner.changes()
    assert cost(files.get(fileId=file)) == 5
    assert cost(files.get_media(fileId=file)) == 200
    assert cost(files.list()) == 100
    assert cost(files.create(body={"name": "b"})) == 50
    assert cost(files.update(fileId=file, body={"name": "b"})) == 50
    assert cost(files.copy(fileId=file)) == 50
    assert cost(files.generateIds()) == 5
    assert cost(files.create(body={"name": "c"}, media_body=media(b"x" * 600_000, chunk=262_144))) == 50
    assert cost(permissions.list(fileId=file)) == 100
    assert cost(permissions.get(fileId=file, permissionId=permission)) == 5
    assert cost(permissions.delete(fileId=file, permissionId=permission)) == 50
    assert cost(changes.getStartPageToken()) == 5
    assert cost(changes.list(pageToken="0")) == 100
    assert cost(owner.about().get(fields="user")) == 5
    assert cost(owner.drives().list()) == 100
    assert cost(files.delete(fileId=file)) == 50


def test_a_person_has_so_many_units_a_minute(owner: Any, peer: Any, emulator: DriveEmulator, clock: FakeClock, send: Any) -> None:
    emulator.configure(user_units_per_minute=250, retry_after_seconds=7)
    assert [names(owner), names(owner)] == [[], []]
    with refused(403, "userRateLimitExceeded"):
        owner.files().list().execute()
    reply: Reply = send("GET", "/drive/v3/files")
    assert reply.headers["Retry-After"] == "7"
    assert reply.json()["error"]["errors"][0]["domain"] == "usageLimits"
    assert names(peer) == []
    assert owner.files().generateIds(count=1).execute()["ids"]
    clock.advance(61)
    assert names(owner) == []
    assert emulator.stats()["units"][OWNER] == 305


def test_the_project_has_so_many_units_a_minute(owner: Any, peer: Any, emulator: DriveEmulator) -> None:
    emulator.configure(project_units_per_minute=150)
    names(owner)
    with refused(403, "rateLimitExceeded"):
        peer.files().list().execute()


def test_storage_is_the_owners_and_has_an_end(owner: Any, peer: Any, emulator: DriveEmulator) -> None:
    emulator.configure(storage_limit=10)
    folder = make(owner, "box")
    share(owner, folder, PEER)
    make(peer, "a", b"12345678", folder)
    first = make(owner, "b", b"12345678", folder)
    with refused(403, "storageQuotaExceeded"):
        make(owner, "c", b"123")
    with refused(403, "storageQuotaExceeded"):
        owner.files().update(fileId=first, media_body=media(b"12345678901")).execute()
    with refused(403, "storageQuotaExceeded"):
        owner.files().create(body={"name": "d"}, media_body=media(b"12345", chunk=262_144)).execute()
    owner.files().update(fileId=first, body={"trashed": True}).execute()
    with refused(403, "storageQuotaExceeded"):
        make(owner, "c", b"123")
    owner.files().emptyTrash().execute()
    make(owner, "c", b"123")
    assert sorted(names(owner)) == ["a", "box", "c"]


def test_a_folder_holds_so_many_items(owner: Any, emulator: DriveEmulator) -> None:
    emulator.configure(max_children=2)
    folder = make(owner, "box")
    moved = make(owner, "0", b"", folder)
    make(owner, "1", b"", folder)
    with refused(403, "numChildrenInNonRootLimitExceeded"):
        make(owner, "2", b"", folder)
    other = make(owner, "other")
    owner.files().update(fileId=moved, addParents=other, removeParents=folder).execute()
    make(owner, "2", b"", folder)


def test_bytes_are_counted(owner: Any, emulator: DriveEmulator, send: Callable[..., Reply]) -> None:
    file = make(owner, "a", b"x" * 10_000)
    before = emulator.stats()
    assert before["bytes_in_by_user"][OWNER] > 10_000
    owner.files().get_media(fileId=file).execute()
    assert emulator.stats()["bytes_out"] - before["bytes_out"] == 10_000
    assert send("GET", "/_stats").json() == emulator.stats()
