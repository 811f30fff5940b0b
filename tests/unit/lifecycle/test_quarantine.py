"""What is set aside is kept within bounds, at a cost that does not grow with what is kept, and never stops anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from syftd.daemon import quarantine
from syftd.daemon.quarantine import Quarantine
from syftd.names import Email

EVE = Email.parse("eve@example.org")
BOB = Email.parse("bob@example.org")


def names(folder: Path, of: Email) -> set[str]:
    return {path.name for path in (folder / of).iterdir()}


def test_the_bytes_are_kept_for_their_owner_alone(tmp_path: Path) -> None:
    Quarantine(tmp_path / "aside").keep(EVE, "m1", b"bad")
    kept = tmp_path / "aside" / EVE / "m1"
    assert kept.read_bytes() == b"bad"
    assert kept.stat().st_mode & 0o777 == 0o600
    assert kept.parent.stat().st_mode & 0o777 == 0o700


def test_the_number_of_files_is_bounded_for_each_peer(tmp_path: Path) -> None:
    aside = Quarantine(tmp_path)
    for number in range(quarantine.MOST_FILES + 5):
        aside.keep(EVE, f"m{number}", b"")
    assert len(names(tmp_path, EVE)) == quarantine.MOST_FILES
    aside.keep(BOB, "m", b"")
    assert names(tmp_path, BOB) == {"m"}


def test_the_bytes_are_bounded_for_each_peer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quarantine, "MOST_BYTES", 10)
    aside = Quarantine(tmp_path)
    for name, size in (("a", 6), ("b", 5), ("c", 4), ("d", 1)):
        aside.keep(EVE, name, bytes(size))
    assert names(tmp_path, EVE) == {"a", "c"}


def test_a_disk_that_cannot_take_the_bytes_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "aside").write_bytes(b"a file where the folder would be")
    Quarantine(tmp_path / "aside").keep(EVE, "m", b"bad")
    assert (tmp_path / "aside").is_file()
