"""The bytes of messages that were set aside, kept for a person to look at; bounded for each peer."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from syftd.log import logger
from syftd.names import Email

_log = logger("quarantine")
MOST_BYTES: Final = 64 * 1024 * 1024
MOST_FILES: Final = 256
"""Of one peer. Beyond either only the reason is kept, in the record; so is it when the disk cannot take the bytes."""


class Quarantine:
    """The folder of bytes that were set aside, with one folder below it for each peer."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, sender: Email, name: str, payload: bytes) -> None:
        """Keeps a message's bytes if there is room. Never raises for want of it: setting a message aside must work on a
        full disk too, since what is not set aside is fetched again and again."""
        try:
            kept = self._room(sender, name, payload)
        except OSError as error:
            _log.warning("the bytes of a message could not be kept", peer=sender, name=name, reason=error.strerror)
            return
        if not kept:
            _log.warning("the quarantine of a peer is full; only the reason is kept", peer=sender)

    def _room(self, sender: Email, name: str, payload: bytes) -> bool:
        folder = self._folder / sender
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        names = os.listdir(folder)
        # The number is looked at first: who sends many costs a listing each time, and not a look at every file.
        if len(names) >= MOST_FILES:
            return False
        if sum((folder / each).stat().st_size for each in names) + len(payload) > MOST_BYTES:
            return False
        fd = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(payload)
        return True
