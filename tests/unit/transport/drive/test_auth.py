"""The stored login: what is taken for one, who may read it, and when it is renewed."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from syftd.errors import AuthNeeded, UserError
from syftd.transport.drive.auth import Login, load_token, parse_token, save_token, token_file
from syftd.transport.drive.layout import SCOPE
from tests.drive_emulator import DriveEmulator

WHOLE = {"refresh_token": "1//r", "client_id": "id", "client_secret": "secret", "token": "t", "scopes": [SCOPE]}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"not json", "no JSON object"),
        (b"[]", "no JSON object"),
        (b"{}", "neither an access token"),
        (b'{"refresh_token": "x"}', "neither an access token"),
        (b'{"installed": {}}', "OAuth client file"),
        (b'{"type": "service_account", "private_key": "x"}', "service account"),
        (json.dumps({**WHOLE, "scopes": ["https://www.googleapis.com/auth/drive.file"]}).encode(), "does not allow"),
    ],
)
def test_what_is_not_a_token_is_refused_with_what_it_is_instead(content: bytes, words: str) -> None:
    with pytest.raises(UserError, match=words) as refused:
        parse_token(content, "file.json")
    assert refused.value.remedy


def test_a_token_is_for_its_owners_eyes_only(tmp_path: Path) -> None:
    path = token_file(tmp_path, "gdrive")
    with pytest.raises(AuthNeeded, match="nobody has logged in"):
        load_token(path)
    save_token(path, WHOLE)
    save_token(path, WHOLE)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert [entry.name for entry in path.parent.iterdir()] == ["gdrive-gdrive.json"]
    assert load_token(path) == WHOLE
    os.chmod(path, 0o640)
    with pytest.raises(AuthNeeded, match="others can read") as loose:
        load_token(path)
    assert "chmod 600" in loose.value.remedy


def test_a_link_is_no_token(tmp_path: Path) -> None:
    save_token(tmp_path / "real.json", WHOLE)
    (tmp_path / "link.json").symlink_to(tmp_path / "real.json")
    with pytest.raises(AuthNeeded):
        load_token(tmp_path / "link.json")


@pytest.fixture
def emulator() -> Iterator[DriveEmulator]:
    with DriveEmulator() as running:
        yield running


def test_a_login_without_an_end_is_used_as_it_is(tmp_path: Path) -> None:
    save_token(tmp_path / "t.json", {"token": "me@example.org"})
    assert Login(tmp_path / "t.json").credentials().token == "me@example.org"


def test_a_login_that_google_does_not_renew_names_the_remedy_and_shows_no_token(
    tmp_path: Path, emulator: DriveEmulator
) -> None:
    past = (datetime.now(UTC) - timedelta(hours=1)).replace(tzinfo=None).isoformat() + "Z"
    save_token(tmp_path / "t.json", {**WHOLE, "token_uri": f"{emulator.url}/token", "expiry": past})
    with pytest.raises(AuthNeeded) as refused:
        Login(tmp_path / "t.json").credentials()
    assert "syftd login" in refused.value.remedy
    assert "1//r" not in repr(refused.value) and refused.value.__cause__ is None


def test_a_new_login_is_noticed_at_the_next_use(tmp_path: Path) -> None:
    login = Login(tmp_path / "t.json")
    with pytest.raises(AuthNeeded):
        login.credentials()
    save_token(tmp_path / "t.json", {"token": "one@example.org"})
    first = login.credentials()
    assert login.credentials() is first
    save_token(tmp_path / "t.json", {"token": "two@example.org"})
    assert login.credentials().token == "two@example.org"
