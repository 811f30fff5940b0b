"""Google Drive as the emulator serves it, for the conformance suite: mailboxes, logins, and the faults it asks for."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from syftd.errors import Transient
from syftd.names import Email
from syftd.seams import SystemRandom
from syftd.transport.drive.auth import save_token
from syftd.transport.drive.mailbox import DriveMailbox
from syftd.transport.mailbox import Mailbox
from tests.drive_emulator import DriveEmulator


class Impatient(SystemRandom):
    """Chance that lets nobody wait long before a repetition."""

    def uniform(self, low: float, high: float) -> float:
        return low + super().uniform(0.0, (high - low) / 100)


class DriveStorage:
    """The service under test. `faults` are in force all the time, beside those that a test asks for."""

    def __init__(self, emulator: DriveEmulator, folder: Path, *faults: dict[str, Any], tries: int = 4) -> None:
        self.emulator = emulator
        self.folder = folder
        self.faults = faults
        self.tries = tries
        self.kind = DriveMailbox
        self.opened: list[DriveMailbox] = []
        emulator.inject(*faults)

    def token(self, me: Email) -> Path:
        """A login of `me` as the emulator understands it: the access token is the address."""
        path = self.folder / f"{me}.json"
        if not path.exists():
            save_token(path, {"token": str(me)})
        return path

    def open(self, me: Email, **more: Any) -> DriveMailbox:
        given: dict[str, Any] = {
            "endpoint": self.emulator.url, "share": 1.0, "patience": 0.0, "tries": self.tries, "random": Impatient(), **more
        }  # fmt: skip
        mailbox = self.kind(me, self.token(me), **given)
        self.opened.append(mailbox)
        return mailbox

    def open_untrusted(self, me: Email) -> DriveMailbox:
        return self.open(me, carries_private=False)

    def break_off(self, mailbox: Mailbox, put: Callable[[], object]) -> None:
        self._during(put, {"match": {"method": "drive.files.create"}, "action": {"reset": True}})

    def lose_reply(self, mailbox: Mailbox, put: Callable[[], object]) -> None:
        # Every answer is lost, also those to the repetitions, and whoever then asks for the file finds nobody.
        assert isinstance(mailbox, DriveMailbox)
        folders = "|".join(item.id for items in mailbox._folders.boxes.values() for item in items)
        self._during(
            put,
            {"match": {"method": "drive.files.create"}, "action": {"reset": True, "when": "after"}},
            {"match": {"method": "drive.files.get", "path": f"/files/(?!{folders})"}, "action": {"reset": True}},
        )

    def lock(self, mailbox: Mailbox, party: Email) -> None:
        stranger = self.open(party)
        stranger.list("", frozenset())
        rules = [
            {
                "match": {"method": "drive.files.list", "path": item.id, "user": str(mailbox.me)},
                "action": {"error": "insufficientFilePermissions"},
            }
            for items in stranger._folders.boxes.values()
            for item in items
            if stranger._folders.owner_of(item) == party
        ]
        self.emulator.inject(*self.faults, *rules)

    def close(self) -> None:
        for mailbox in self.opened:
            mailbox.close()

    def _during(self, put: Callable[[], object], *rules: dict[str, Any]) -> None:
        self.emulator.inject(*rules)
        try:
            with pytest.raises(Transient):
                put()
        finally:
            self.emulator.inject(*self.faults)

    def calls(self, me: Email) -> dict[str, int]:
        """How often this person has called what, without the prefix that all methods have."""
        told: dict[str, int] = self.emulator.stats()["by_user"].get(str(me), {})
        return {method.removeprefix("drive."): count for method, count in told.items()}

    def violations(self) -> dict[str, list[str]]:
        """What the discovery document does not allow, of ours and of the emulator's."""
        found: dict[str, list[str]] = json.loads(json.dumps(self.emulator.stats()["violations"]))
        return found
