"""Google Drive in the conformance suite, against the emulator: straight, and through faults; and what it may cost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest

from syftd.errors import Gone
from syftd.names import Email
from syftd.transport.drive.mailbox import DriveMailbox
from syftd.transport.mailbox import Ref, inbox
from tests.drive_emulator import DriveEmulator
from tests.mailbox.drive_storage import DriveStorage
from tests.mailbox.suite import CIRCLE, MESSAGE, OWNER, PROPOSALS, SCIENTIST, STRANGER, MailboxSuite


@pytest.fixture(scope="module")
def emulator() -> Iterator[DriveEmulator]:
    with DriveEmulator() as running:
        yield running


@pytest.fixture
def drive(emulator: DriveEmulator, tmp_path: Path) -> Iterator[DriveStorage]:
    emulator.reset()
    storage = DriveStorage(emulator, tmp_path)
    yield storage
    storage.close()
    assert storage.violations() == {"client": [], "emulator": []}


class DriveSuite(MailboxSuite):
    def test_a_party_that_cannot_be_read_makes_nobody_else_incomplete(  # type: ignore[override]
        self, storage: DriveStorage, owner: DriveMailbox, scientist: DriveMailbox, stranger: DriveMailbox
    ) -> None:
        """As everywhere, except that nobody looks into the boxes of people who are no peers: that would cost calls."""
        stranger.share(inbox(OWNER, STRANGER))
        scientist.put(PROPOSALS, MESSAGE, b"", private=True)
        storage.lock(owner, STRANGER)
        listing = owner.list("", CIRCLE | {STRANGER})
        assert [ref.name for ref in listing.refs] == [MESSAGE]
        assert listing.whole(SCIENTIST)
        assert not listing.whole(STRANGER)
        assert [ref.name for ref in owner.list("", CIRCLE).refs] == [MESSAGE]


class TestDrive(DriveSuite):
    @pytest.fixture
    def storage(self, drive: DriveStorage) -> DriveStorage:
        return drive


def faults(seed: int) -> list[dict[str, Any]]:
    """About one call in twelve goes wrong, in the ways that a network and a busy service know, and more of the downloads;
    no more, since a client that may repeat a tenth of its calls gives up, as it should, when more of them fail."""
    actions: list[dict[str, Any]] = [
        {"error": "backendError"},
        {"error": "transientError", "when": "after"},
        {"reset": True},
        {"reset": True, "when": "after"},
        {"truncate": 0.5},
    ]
    rules = [
        {"match": {"probability": 0.016, "seed": seed + number}, "action": action} for number, action in enumerate(actions)
    ]
    downloads = [{"corrupt": True}, {"truncate": 0.3}]
    rules += [{"match": {"every": 8 + 6 * n, "path": "alt=media"}, "action": action} for n, action in enumerate(downloads)]
    return [*rules, {"match": {"nth": 40 + seed % 100}, "action": {"error": "rateLimitExceeded"}}]


class TestDriveThroughFaults(DriveSuite):
    @pytest.fixture
    def storage(
        self, emulator: DriveEmulator, tmp_path: Path, request: pytest.FixtureRequest
    ) -> Iterator[DriveStorage]:
        emulator.reset()
        storage = DriveStorage(emulator, tmp_path, *faults(crc32(request.node.name.encode())), tries=8)
        yield storage
        storage.close()
        emulator.inject()
        assert storage.violations() == {"client": [], "emulator": []}


class Patient(DriveMailbox):
    """Somebody who asks once more for what was not found by its name, as the engine does with its next polls."""

    def get(self, ref: Ref, offset: int = 0, length: int | None = None) -> bytes:
        try:
            return super().get(ref, offset, length)
        except Gone:
            return super().get(ref, offset, length)


class TestLaggingDrive(DriveSuite):
    """Listings are late: what was just stored is left out of them for a while. Which of several who put other bytes under
    one name at the same time was the first is then known to nobody; names that carry a UUID have no such trouble."""

    test_of_racing_puts_exactly_one_wins = None  # type: ignore[assignment]

    @pytest.fixture
    def storage(self, emulator: DriveEmulator, tmp_path: Path) -> Iterator[DriveStorage]:
        emulator.reset()
        emulator.configure(list_lag_listings=1)
        storage = DriveStorage(emulator, tmp_path)
        storage.kind = Patient
        yield storage
        storage.close()
        emulator.configure(list_lag_listings=0)


class SharedDriveStorage(DriveStorage):
    """A shared drive of which everybody in the suite is a member."""

    drive = ""

    def open(self, me: Email, **more: Any) -> DriveMailbox:
        if not self.drive:
            self.drive = self._made()
        return super().open(me, drive=self.drive, **more)

    def _made(self) -> str:
        client = super().open(STRANGER)._service._client()
        drive: str = client.drives().create(requestId="one", body={"name": "Ours"}).execute()["id"]
        for member in (OWNER, SCIENTIST):
            given = {"type": "user", "role": "fileOrganizer", "emailAddress": member}
            client.permissions().create(
                fileId=drive, body=given, supportsAllDrives=True, sendNotificationEmail=False
            ).execute()
        return drive


class TestSharedDrive(DriveSuite):
    @pytest.fixture
    def storage(self, emulator: DriveEmulator, tmp_path: Path) -> Iterator[DriveStorage]:
        emulator.reset()
        storage = SharedDriveStorage(emulator, tmp_path)
        yield storage
        storage.close()
        assert storage.violations() == {"client": [], "emulator": []}


def test_a_shared_drive_vouches_for_nobody_and_members_remove_what_they_handled(emulator: DriveEmulator, tmp_path: Path) -> None:
    emulator.reset()
    storage = SharedDriveStorage(emulator, tmp_path)
    owner, scientist = storage.open(OWNER), storage.open(SCIENTIST)
    assert not owner.capabilities.authenticates_sender and not owner.capabilities.creator_owns
    scientist.share(PROPOSALS)
    cursor = scientist.list("", CIRCLE).cursor
    scientist.put(PROPOSALS, MESSAGE, b"x", private=True)
    cursor = scientist.list(cursor, CIRCLE).cursor
    (ref,) = owner.list("", CIRCLE).refs
    owner.remove(ref)
    assert [gone.name for gone in scientist.list(cursor, CIRCLE).gone] == [MESSAGE]
    storage.close()
    assert storage.violations() == {"client": [], "emulator": []}
