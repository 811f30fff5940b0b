"""What Drive costs, and what only Drive has: call budgets, whose a thing is, names that are there twice, late listings,
boxes that vanish, and the folders that the network's other programs expect."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from syftd.errors import AuthNeeded, Gone, Quota, Transient
from syftd.names import Digest, Email
from syftd.seams import SystemClock
from syftd.transport.drive.auth import save_token
from syftd.transport.drive.folders import Folders
from syftd.transport.drive.mailbox import DriveMailbox
from syftd.transport.layout import PROFILE_NAME
from syftd.transport.mailbox import Listing, Ref, blobs, inbox, outbox, profile
from tests.drive_emulator import DriveEmulator
from tests.mailbox.drive_storage import DriveStorage
from tests.mailbox.suite import CIRCLE, EVENTS, MESSAGE, OWNER, PROPOSALS, SCIENTIST, STRANGER, refs

EVENT = "syfteventsmessagev3_1795309352.{}_3f0c8a52-8d1e-4c9d-9a52-0c3a3f7c9d10.tar.gz"
PROPOSAL = "msgv2_1795309352.{}_3f0c8a52-8d1e-4c9d-9a52-0c3a3f7c9d10.tar.gz"


class Hand(SystemClock):
    """A clock whose monotonic time a test moves."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead


@pytest.fixture(scope="module")
def emulator() -> Iterator[DriveEmulator]:
    with DriveEmulator() as running:
        yield running


@pytest.fixture
def storage(emulator: DriveEmulator, tmp_path: Path) -> Iterator[DriveStorage]:
    emulator.reset()
    storage = DriveStorage(emulator, tmp_path)
    yield storage
    storage.close()
    assert storage.violations() == {"client": [], "emulator": []}


@pytest.fixture
def owner(storage: DriveStorage) -> DriveMailbox:
    return storage.open(OWNER)


@pytest.fixture
def scientist(storage: DriveStorage) -> DriveMailbox:
    mailbox = storage.open(SCIENTIST)
    mailbox.share(PROPOSALS)
    mailbox.share(EVENTS)
    return mailbox


class Spent:
    """The calls that one person makes inside a `with` block, by method."""

    def __init__(self, storage: DriveStorage, me: Email) -> None:
        self._storage, self._me = storage, me
        self.calls: dict[str, int] = {}

    def __enter__(self) -> Spent:
        self._before = self._storage.calls(self._me)
        return self

    def __exit__(self, *_: object) -> None:
        after = self._storage.calls(self._me)
        self.calls = {name: n - self._before.get(name, 0) for name, n in after.items() if n != self._before.get(name, 0)}


def raw(mailbox: DriveMailbox) -> Any:
    """Drive itself, signed in as the mailbox's owner: for what other programs would do."""
    return mailbox._service._client()


# -- calls --------------------------------------------------------------------------------------------------------------


def test_an_idle_poll_is_one_call_whatever_the_number_of_peers(storage: DriveStorage, owner: DriveMailbox) -> None:
    people = [Email(f"peer{number}@example.org") for number in range(12)]
    for peer in people:
        other = storage.open(peer)
        other.share(inbox(OWNER, peer))
        other.share(outbox(OWNER, peer))
        owner.share(inbox(peer, OWNER))
    cursor = owner.list("", frozenset(people)).cursor
    cursor = owner.list(cursor, frozenset(people)).cursor
    with Spent(storage, OWNER) as spent:
        for _ in range(3):
            cursor = owner.list(cursor, frozenset(people)).cursor
    assert spent.calls == {"changes.list": 3}
    with Spent(storage, OWNER) as spent:
        owner.list("", frozenset(people))
    assert sum(spent.calls.values()) <= 5, spent.calls


def test_a_put_is_one_call_after_the_first_and_a_get_too(
    storage: DriveStorage, owner: DriveMailbox, scientist: DriveMailbox
) -> None:
    owner.put(EVENTS, EVENT.format(0), b"first", private=True)
    with Spent(storage, OWNER) as spent:
        for number in range(1, 30):
            owner.put(EVENTS, EVENT.format(number), b"more", private=True)
    assert spent.calls == {"files.create": 29}
    cursor = scientist.list("", CIRCLE).cursor
    owner.put(EVENTS, EVENT.format(99), b"news", private=True)
    with Spent(storage, SCIENTIST) as spent:
        (ref,) = scientist.list(cursor, CIRCLE).refs
        assert scientist.get(ref) == b"news"
    assert spent.calls == {"changes.list": 1, "files.get": 1}


def test_what_was_handled_is_moved_together_and_not_at_the_price_of_the_poll(storage: DriveStorage, owner: DriveMailbox) -> None:
    clock = Hand()
    reader = storage.open(SCIENTIST, clock=clock)
    reader.share(EVENTS)
    for number in range(7):
        owner.put(EVENTS, EVENT.format(number), b"x", private=True)
    found = reader.list("", CIRCLE)
    before = storage.emulator.stats()["batch"]["requests"]
    with Spent(storage, SCIENTIST) as spent:
        for ref in found.refs:
            reader.remove(ref)
        cursor = reader.list(found.cursor, CIRCLE).cursor
    assert spent.calls == {"changes.list": 1}
    assert refs_of(reader.list(cursor, CIRCLE)) == set()
    clock.ahead = 31.0
    reader.list(cursor, CIRCLE)
    assert storage.emulator.stats()["batch"]["requests"] == before + 1
    assert {file["name"] for file in files(reader, "'me' in owners and name contains '_archive'")} == {
        f"syft_{OWNER}_to_{SCIENTIST}_archive"
    }


def test_a_version_file_that_did_not_change_is_not_fetched_again(
    storage: DriveStorage, owner: DriveMailbox, scientist: DriveMailbox
) -> None:
    scientist.share(profile(SCIENTIST))
    ref = Ref(profile(SCIENTIST), PROFILE_NAME, -1, "gdrive")
    for content in (b'{"v": 1}', b'{"v": 22}'):
        scientist.put(profile(SCIENTIST), PROFILE_NAME, content, private=False, replace=True)
        assert owner.get(ref) == content
        with Spent(storage, OWNER) as spent:
            assert owner.get(ref) == content
        assert spent.calls == {"files.list": 1}


def test_at_a_restart_nothing_is_made_or_shared_again(storage: DriveStorage, scientist: DriveMailbox) -> None:
    scientist.share(profile(SCIENTIST))
    scientist.put(profile(SCIENTIST), PROFILE_NAME, b"{}", private=False, replace=True)
    again = storage.open(SCIENTIST)
    with Spent(storage, SCIENTIST) as spent:
        again.share(PROPOSALS)
        again.share(EVENTS)
        again.put(profile(SCIENTIST), PROFILE_NAME, b"{ }", private=False, replace=True)
    assert spent.calls == {"about.get": 1, "files.list": 3, "files.update": 1}


def test_the_share_of_the_quota_is_kept_to(storage: DriveStorage, scientist: DriveMailbox) -> None:
    frugal = storage.open(SCIENTIST, share=0.005)
    with pytest.raises(Quota) as full:
        for _ in range(40):
            frugal.list("", CIRCLE)
    assert 0 < full.value.after <= 60
    assert "quota_share" in full.value.remedy
    assert "of 1625 units" in frugal.notes[0]


# -- whose it is ---------------------------------------------------------------------------------------------------------


def test_the_network_finds_its_own_layout(owner: DriveMailbox, scientist: DriveMailbox) -> None:
    scientist.share(profile(SCIENTIST))
    scientist.put(profile(SCIENTIST), PROFILE_NAME, b"{}", private=False, replace=True)
    scientist.put(profile(SCIENTIST), "SYFT_peers.json", b"{}", private=True, replace=True)
    root = files(scientist, "name='SyftBox' and 'me' in owners and trashed=false")
    assert len(root) == 1
    mine = {file["name"]: file for file in files(scientist, f"'{root[0]['id']}' in parents and trashed=false")}
    assert set(mine) == {
        f"syft_datasite#0.1.117#{OWNER}#inbox#{SCIENTIST}", f"syft_datasite#0.1.117#{OWNER}#outbox#{SCIENTIST}",
        PROFILE_NAME, "SYFT_peers.json",
    }  # fmt: skip
    for name, file in mine.items():
        roles = {given["emailAddress"]: given["role"] for given in file["permissions"]}
        expected = {SCIENTIST: "owner"}
        if name == PROFILE_NAME:
            expected[OWNER] = "reader"
        elif "#" in name:
            expected[OWNER] = "writer"
        assert roles == expected, name
    # The very query with which the network's owner looks for requests.
    query = (
        f"name contains 'syft_datasite#' and name contains '#{OWNER}#' and trashed=false and "
        "mimeType = 'application/vnd.google-apps.folder' and not 'me' in owners"
    )
    assert len(files(owner, query)) == 2


def test_a_folder_that_names_another_owner_is_no_box(storage: DriveStorage, owner: DriveMailbox) -> None:
    liar = storage.open(STRANGER)
    liar.share(inbox(OWNER, STRANGER))
    client = raw(liar)
    forged = client.files().create(
        body={"name": f"syft_datasite#0.1.117#{OWNER}#inbox#{SCIENTIST}", "mimeType": "application/vnd.google-apps.folder"}
    ).execute()  # fmt: skip
    client.permissions().create(
        fileId=forged["id"], body={"type": "user", "role": "writer", "emailAddress": OWNER}, sendNotificationEmail=False
    ).execute()
    assert {opened.box for opened in owner.list("", CIRCLE).opened} == {inbox(OWNER, STRANGER)}
    with pytest.raises(Gone):
        owner.put(PROPOSALS, MESSAGE, b"x", private=True)


def test_a_folder_of_another_patch_version_is_used_and_none_is_made(storage: DriveStorage, owner: DriveMailbox) -> None:
    client = raw(owner)
    older = client.files().create(
        body={"name": f"syft_datasite#0.1.115#{SCIENTIST}#inbox#{OWNER}", "mimeType": "application/vnd.google-apps.folder"}
    ).execute()  # fmt: skip
    owner.share(inbox(SCIENTIST, OWNER))
    owner.put(inbox(SCIENTIST, OWNER), MESSAGE, b"x", private=True)
    assert [file["parents"] for file in files(owner, f"name='{MESSAGE}'")] == [[older["id"]]]
    assert len(files(owner, "name contains 'syft_datasite#'")) == 1


def test_nothing_is_touched_on_somebody_elses_drive(storage: DriveStorage) -> None:
    token = storage.folder / "wrong.json"
    save_token(token, {"token": str(STRANGER)})
    wrong = DriveMailbox(OWNER, token, endpoint=storage.emulator.url)
    with pytest.raises(AuthNeeded) as refused:
        wrong.share(profile(OWNER))
    assert STRANGER in str(refused.value) and OWNER in refused.value.remedy
    assert set(storage.calls(STRANGER)) == {"about.get"}


def test_a_chunk_is_read_by_those_who_were_let_and_by_nobody_else(storage: DriveStorage, owner: DriveMailbox) -> None:
    owner.share(blobs(OWNER))
    pieces = [b"piece %d" % number for number in range(3)]
    for piece in pieces:
        owner.put(blobs(OWNER), Digest.of(piece), piece, private=True)
    owner.admit(blobs(OWNER), [Digest.of(piece) for piece in pieces[:2]], SCIENTIST)
    reader, other = storage.open(SCIENTIST), storage.open(STRANGER)
    for piece in pieces[:2]:
        ref = Ref(blobs(OWNER), Digest.of(piece), -1, "gdrive")
        assert reader.get(ref) == piece
        with pytest.raises(Gone):
            other.get(ref)
    with pytest.raises(Gone):
        reader.get(Ref(blobs(OWNER), Digest.of(pieces[2]), -1, "gdrive"))
    with Spent(storage, OWNER) as spent:
        owner.admit(blobs(OWNER), [Digest.of(piece) for piece in pieces[:2]], SCIENTIST)
    assert spent.calls == {}
    with pytest.raises(Gone):
        owner.admit(blobs(OWNER), [Digest.of(b"never stored")], SCIENTIST)
    for mailbox in (owner, storage.open(OWNER)):
        mailbox.dismiss(blobs(OWNER), [Digest.of(pieces[0]), Digest.of(b"never stored")], SCIENTIST)
        with pytest.raises(Gone):
            reader.get(Ref(blobs(OWNER), Digest.of(pieces[0]), -1, "gdrive"))
    assert reader.get(Ref(blobs(OWNER), Digest.of(pieces[1]), -1, "gdrive")) == pieces[1]


def test_with_the_last_box_the_version_file_is_closed_too(owner: DriveMailbox, scientist: DriveMailbox) -> None:
    scientist.share(profile(SCIENTIST))
    scientist.put(profile(SCIENTIST), PROFILE_NAME, b"{}", private=False, replace=True)
    ref = Ref(profile(SCIENTIST), PROFILE_NAME, -1, "gdrive")
    scientist.unshare(PROPOSALS)
    assert owner.get(ref) == b"{}"
    scientist.unshare(EVENTS)
    with pytest.raises(Gone):
        owner.get(ref)


# -- what was read -------------------------------------------------------------------------------------------------------


def test_a_poll_tells_what_its_reader_has_taken_and_its_author_removes_it(
    storage: DriveStorage, owner: DriveMailbox, scientist: DriveMailbox
) -> None:
    owner.put(EVENTS, EVENT.format(1), b"x", private=True)
    cursor = owner.list("", CIRCLE).cursor
    scientist.remove(refs(scientist)[0])
    scientist.list("", CIRCLE)
    listing = owner.list(cursor, CIRCLE)
    assert [(ref.box, ref.name) for ref in listing.gone] == [(EVENTS, EVENT.format(1))]
    assert files(owner, "name contains 'syfteventsmessagev3_'") == []


def test_what_was_taken_while_nobody_looked_is_removed_after_the_next_start(
    storage: DriveStorage, owner: DriveMailbox, scientist: DriveMailbox
) -> None:
    owner.put(EVENTS, EVENT.format(1), b"read", private=True)
    owner.put(EVENTS, EVENT.format(2), b"unread", private=True)
    owner.close()
    scientist.remove(refs(scientist)[0])
    scientist.list("", CIRCLE)
    again = storage.open(OWNER)
    assert refs_of(again.list("", CIRCLE)) == {EVENT.format(2)}
    assert [file["name"] for file in files(again, "name contains 'syfteventsmessagev3_'")] == [EVENT.format(2)]


def test_a_handled_proposal_goes_to_the_archive_and_stays_its_authors(
    storage: DriveStorage, owner: DriveMailbox, scientist: DriveMailbox
) -> None:
    cursor = scientist.list("", CIRCLE).cursor
    scientist.put(PROPOSALS, PROPOSAL.format(1), b"x", private=True)
    owner.remove(refs(owner)[0])
    owner.list("", CIRCLE)
    (archive,) = files(owner, f"name='syft_{SCIENTIST}_to_{OWNER}_archive'")
    (kept,) = files(owner, f"'{archive['id']}' in parents")
    assert kept["name"] == PROPOSAL.format(1)
    assert kept["owners"][0]["emailAddress"] == SCIENTIST
    assert [ref.name for ref in scientist.list(cursor, CIRCLE).gone] == [PROPOSAL.format(1)]
    assert len(files(scientist, f"name='{PROPOSAL.format(1)}'")) == 1


# -- a service as it is --------------------------------------------------------------------------------------------------


def test_of_two_files_of_one_name_the_older_counts_and_both_are_told(owner: DriveMailbox, scientist: DriveMailbox) -> None:
    scientist.put(PROPOSALS, MESSAGE, b"first", private=True)
    client = raw(scientist)
    from googleapiclient.http import MediaInMemoryUpload

    client.files().create(
        body={"name": MESSAGE, "parents": [scientist._folders.folder(PROPOSALS)]}, media_body=MediaInMemoryUpload(b"second")
    ).execute()
    (ref,) = refs(owner)
    assert owner.get(ref) == b"first"
    assert any(MESSAGE in note for note in owner.notes)


def test_of_two_folders_of_one_box_the_mail_of_both_is_read(owner: DriveMailbox, scientist: DriveMailbox) -> None:
    scientist.put(PROPOSALS, PROPOSAL.format(1), b"x", private=True)
    client = raw(scientist)
    double = client.files().create(
        body={"name": f"syft_datasite#0.1.117#{OWNER}#inbox#{SCIENTIST}", "mimeType": "application/vnd.google-apps.folder"}
    ).execute()  # fmt: skip
    client.permissions().create(
        fileId=double["id"], body={"type": "user", "role": "writer", "emailAddress": OWNER}, sendNotificationEmail=False
    ).execute()
    client.files().create(body={"name": PROPOSAL.format(2), "parents": [double["id"]]}).execute()
    born = {opened.box: opened.born for opened in owner.list("", CIRCLE).opened}
    assert refs_of(owner.list("", CIRCLE)) == {PROPOSAL.format(1), PROPOSAL.format(2)}
    assert born[PROPOSALS] != double["id"]
    assert any("several inbox folders" in note for note in owner.notes)


def test_more_than_a_page_of_boxes_and_of_objects_and_of_changes(
    storage: DriveStorage, owner: DriveMailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("syftd.transport.drive.layout.PAGE", 3)
    monkeypatch.setattr("syftd.transport.drive.layout.MOST_PARENTS", 4)
    people = [Email(f"peer{number}@example.org") for number in range(7)]
    cursor = owner.list("", frozenset(people)).cursor
    for peer in people:
        other = storage.open(peer)
        for box in (inbox(OWNER, peer), outbox(OWNER, peer)):
            other.share(box)
        for number in range(4):
            other.put(inbox(OWNER, peer), PROPOSAL.format(number), b"x", private=True)
    for listing in (owner.list(cursor, frozenset(people)), owner.list("", frozenset(people))):
        assert len({opened.box for opened in listing.opened}) == 14
        assert len({(ref.box, ref.name) for ref in listing.refs}) == 28


def test_a_flood_of_changes_is_read_in_pieces_and_nothing_of_it_is_lost(
    owner: DriveMailbox, scientist: DriveMailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("syftd.transport.drive.layout.PAGE", 2)
    monkeypatch.setattr("syftd.transport.drive.listing.MAX_CHANGE_PAGES", 2)
    cursor = owner.list("", CIRCLE).cursor
    for number in range(11):
        scientist.put(PROPOSALS, PROPOSAL.format(number), b"x", private=True)
    seen: list[set[str]] = []
    for _ in range(4):
        listing = owner.list(cursor, CIRCLE)
        cursor = listing.cursor
        seen.append(refs_of(listing))
    assert max(len(names) for names in seen) <= 4
    assert set().union(*seen) == {PROPOSAL.format(number) for number in range(11)}


def test_a_stranger_with_countless_boxes_keeps_nobody_elses_mail_away(
    storage: DriveStorage, owner: DriveMailbox, scientist: DriveMailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    scientist.put(PROPOSALS, PROPOSAL.format(1), b"x", private=True)
    owner.list("", CIRCLE)
    stranger = storage.open(STRANGER)
    client = raw(stranger)
    for number in range(9):
        name = f"syft_datasite#0.1.{number}#{OWNER}#inbox#{STRANGER}"
        double = client.files().create(body={"name": name, "mimeType": "application/vnd.google-apps.folder"}).execute()
        given = {"type": "user", "role": "writer", "emailAddress": OWNER}
        client.permissions().create(fileId=double["id"], body=given, sendNotificationEmail=False).execute()
    monkeypatch.setattr("syftd.transport.drive.layout.PAGE", 2)
    monkeypatch.setattr(Folders.find, "__defaults__", (4,))
    listing = owner.list("", CIRCLE)
    assert refs_of(listing) == {PROPOSAL.format(1)}
    assert {PROPOSALS, EVENTS} <= {opened.box for opened in listing.opened}


def test_a_box_that_is_unshared_is_gone_and_takes_nobody_elses_mail_with_it(
    storage: DriveStorage, owner: DriveMailbox, scientist: DriveMailbox
) -> None:
    stranger = storage.open(STRANGER)
    stranger.share(inbox(OWNER, STRANGER))
    scientist.put(PROPOSALS, PROPOSAL.format(1), b"x", private=True)
    stranger.put(inbox(OWNER, STRANGER), PROPOSAL.format(2), b"y", private=True)
    circle = frozenset({SCIENTIST, STRANGER})
    cursor = owner.list("", circle).cursor
    client = raw(stranger)
    folder = stranger._folders.folder(inbox(OWNER, STRANGER))
    for given in client.permissions().list(fileId=folder, fields="permissions(id,role)").execute()["permissions"]:
        if given["role"] != "owner":
            client.permissions().delete(fileId=folder, permissionId=given["id"]).execute()
    listing = owner.list(cursor, circle)
    with pytest.raises(Gone):
        owner.put(inbox(OWNER, STRANGER), MESSAGE, b"z", private=True)
    listing = owner.list("", circle)
    assert {opened.box for opened in listing.opened} == {PROPOSALS, EVENTS}
    assert refs_of(listing) == {PROPOSAL.format(1)}


def test_a_late_listing_hides_nothing_from_the_polls_that_follow(
    storage: DriveStorage, owner: DriveMailbox, scientist: DriveMailbox
) -> None:
    storage.emulator.configure(list_lag_listings=3)
    try:
        cursor = owner.list("", CIRCLE).cursor
        scientist.put(PROPOSALS, PROPOSAL.format(1), b"x", private=True)
        seen: set[str] = set()
        for number in range(8):
            # Whole listings in between must not make the feed skip what they did not show.
            listing = owner.list("" if number == 1 else cursor, CIRCLE)
            cursor = listing.cursor
            seen |= refs_of(listing)
        assert seen == {PROPOSAL.format(1)}
        assert PROPOSAL.format(1) in refs_of(scientist.list("", CIRCLE)), "what we put ourselves is asked for by its id"
    finally:
        storage.emulator.configure(list_lag_listings=0)


def test_a_large_upload_goes_on_where_it_broke_off(storage: DriveStorage, owner: DriveMailbox, scientist: DriveMailbox) -> None:
    content = bytes(range(256)) * (20 * 4096)
    storage.emulator.inject({"match": {"phase": "chunk", "nth": 2}, "action": {"reset": "partial"}})
    before = storage.emulator.stats()["bytes_in"]
    scientist.put(PROPOSALS, MESSAGE, content, private=True)
    sent = storage.emulator.stats()["bytes_in"] - before
    assert owner.get(refs(owner)[0]) == content
    assert sent < len(content) * 1.5, "it did not begin anew"


def test_a_large_download_goes_on_where_it_broke_off(
    storage: DriveStorage, owner: DriveMailbox, scientist: DriveMailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("syftd.transport.drive.transfer.DOWN_PIECE", 1024 * 1024)
    content = bytes(range(256)) * (6 * 4096)
    scientist.put(PROPOSALS, MESSAGE, content, private=True)
    (ref,) = refs(owner)
    storage.emulator.inject(
        {"match": {"path": "alt=media", "nth": 3}, "action": {"truncate": 0.5}},
        {"match": {"path": "alt=media", "nth": 5}, "action": {"reset": True}},
    )
    with Spent(storage, OWNER) as spent:
        assert owner.get(ref) == content
    assert spent.calls["files.get"] <= 6 + 2
    assert owner.get(ref, 1_500_000, 2_000_000) == content[1_500_000:3_500_000]


def test_edits_of_one_things_permissions_never_run_beside_each_other(
    storage: DriveStorage, scientist: DriveMailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    scientist.share(profile(SCIENTIST))
    scientist.put(profile(SCIENTIST), PROFILE_NAME, b"{}", private=False, replace=True)
    running, most, count = set[str](), list[int](), threading.Lock()
    call = scientist._service.call

    def counted(cost: Any, what: str, build: Any) -> Any:
        if PROFILE_NAME not in what or "sharing" not in what:
            return call(cost, what, build)
        with count:
            running.add(what)
            most.append(len(running))
        try:
            return call(cost, what, build)
        finally:
            with count:
                running.discard(what)

    monkeypatch.setattr(scientist._service, "call", counted)
    people = [Email(f"reader{number}@example.org") for number in range(6)]
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda one: scientist.share(outbox(one, SCIENTIST)), people))
    assert len(most) == 6 and max(most) == 1
    (version,) = files(scientist, f"name='{PROFILE_NAME}'")
    assert {given["emailAddress"] for given in version["permissions"]} == {SCIENTIST, OWNER, *people}


def test_what_was_stored_without_an_answer_is_removed_although_no_listing_shows_it(
    storage: DriveStorage, owner: DriveMailbox, scientist: DriveMailbox
) -> None:
    ref = Ref(PROPOSALS, MESSAGE, -1, "gdrive")
    scientist.put(PROPOSALS, PROPOSAL.format(0), b"so that the box is known", private=True)
    storage.lose_reply(scientist, lambda: scientist.put(PROPOSALS, MESSAGE, b"taken back", private=True))
    storage.emulator.configure(list_lag_listings=50)
    try:
        scientist.remove(ref)
    finally:
        storage.emulator.configure(list_lag_listings=0)
    assert files(scientist, f"name='{MESSAGE}'") == []
    assert refs_of(owner.list("", CIRCLE)) == {PROPOSAL.format(0)}


def test_a_full_storage_keeps_nobodys_mail_away(storage: DriveStorage, owner: DriveMailbox, scientist: DriveMailbox) -> None:
    scientist.put(PROPOSALS, PROPOSAL.format(1), b"x", private=True)
    storage.emulator.inject(
        {"match": {"user": OWNER, "http": "POST"}, "action": {"error": "storageQuotaExceeded"}},
        {"match": {"user": OWNER, "http": "PATCH"}, "action": {"error": "storageQuotaExceeded"}},
    )
    (ref,) = owner.list("", CIRCLE).refs
    assert owner.get(ref) == b"x"
    owner.remove(ref)
    scientist.put(PROPOSALS, PROPOSAL.format(2), b"y", private=True)
    assert refs_of(owner.list("", CIRCLE)) == {PROPOSAL.format(2)}


def test_what_a_third_person_lays_into_a_box_is_none_of_its_objects(
    storage: DriveStorage, owner: DriveMailbox, scientist: DriveMailbox
) -> None:
    folder = scientist._folders.folder(PROPOSALS)
    given = {"type": "user", "role": "writer", "emailAddress": STRANGER}
    raw(scientist).permissions().create(fileId=folder, body=given, sendNotificationEmail=False).execute()
    cursor = owner.list("", CIRCLE).cursor
    client = raw(storage.open(STRANGER))
    client.files().create(body={"name": PROPOSAL.format(1), "parents": [folder]}).execute()
    assert refs_of(owner.list(cursor, CIRCLE)) == refs_of(owner.list("", CIRCLE)) == set()
    with pytest.raises(Gone):
        owner.get(Ref(PROPOSALS, PROPOSAL.format(1), -1, "gdrive"))


def test_a_box_in_which_we_may_not_write_any_more_is_gone(owner: DriveMailbox, scientist: DriveMailbox) -> None:
    owner.put(EVENTS, EVENT.format(1), b"x", private=True)
    client, folder = raw(scientist), scientist._folders.folder(EVENTS)
    for given in client.permissions().list(fileId=folder, fields="permissions(id,role)").execute()["permissions"]:
        if given["role"] == "writer":
            client.permissions().update(fileId=folder, permissionId=given["id"], body={"role": "reader"}).execute()
    with pytest.raises(Gone, match="not open to us"):
        owner.put(EVENTS, EVENT.format(2), b"y", private=True)


def test_a_storm_of_refusals_is_met_with_few_calls(storage: DriveStorage, owner: DriveMailbox, scientist: DriveMailbox) -> None:
    owner.list("", CIRCLE)
    storage.emulator.inject({"match": {"user": OWNER}, "action": {"error": "userRateLimitExceeded", "retry_after": 20}})
    with Spent(storage, OWNER) as spent:
        for _ in range(50):
            with pytest.raises(Quota) as refused:
                owner.list("", CIRCLE)
            assert refused.value.after <= 20
    assert sum(spent.calls.values()) == 1


def test_a_service_that_is_down_is_not_asked_for_ever(storage: DriveStorage, owner: DriveMailbox) -> None:
    owner.list("", CIRCLE)
    storage.emulator.inject({"action": {"error": "backendError"}})
    with Spent(storage, OWNER) as spent:
        for _ in range(20):
            with pytest.raises(Transient):
                owner.list("", CIRCLE)
    assert sum(spent.calls.values()) <= 20 + 10, "beyond one call each, only the budget"


def test_a_login_that_ends_is_one_clear_error_and_a_new_one_is_noticed(storage: DriveStorage, owner: DriveMailbox) -> None:
    owner.list("", CIRCLE)
    token = storage.token(OWNER)
    save_token(token, {"token": "expired-access-token"})
    with pytest.raises(AuthNeeded) as ended:
        owner.list("", CIRCLE)
    assert "syftd login" in ended.value.remedy
    assert "expired-access-token" not in f"{ended.value} {ended.value.remedy} {ended.value.__cause__!r}"
    save_token(token, {"token": str(OWNER)})
    owner.list("", CIRCLE)


def files(mailbox: DriveMailbox, query: str) -> list[dict[str, Any]]:
    """What Drive itself answers to a query of the mailbox's owner."""
    fields = "files(id,name,parents,owners(emailAddress),permissions(emailAddress,role))"
    found: list[dict[str, Any]] = raw(mailbox).files().list(q=query, pageSize=1000, fields=fields).execute()["files"]
    return json.loads(json.dumps(found))  # type: ignore[no-any-return]


def refs_of(listing: Listing) -> set[str]:
    """The names that a listing shows."""
    return {ref.name for ref in listing.refs}
