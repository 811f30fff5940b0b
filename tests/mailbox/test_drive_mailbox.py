"""Google Drive in the conformance suite, against the emulator: straight, and through faults; and what it may cost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from syftd.transport.drive.mailbox import DriveMailbox
from syftd.transport.mailbox import inbox
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
