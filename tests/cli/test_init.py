"""`syftd init`: what it makes, and what it refuses to touch."""

import json
import os
import stat
from pathlib import Path

import pytest

from syftd import config
from syftd.cli.init import parse_transport
from syftd.errors import UserError
from syftd.places import Places
from tests.cli.conftest import Call


def test_it_makes_a_private_datasite_with_a_readable_public_folder(syftd: Call, home: Path) -> None:
    found = syftd("init", "--email", "Me@Example.org", json=True)
    assert found.code == 0
    data = home / "SyftBox"
    assert found.json == {"email": "me@example.org", "config": str(home / "config/syftd.toml"), "data": str(data)}
    site = data / "datasites" / "me@example.org"
    for folder in ("public", "private", "app_data/job/inbox", "app_data/job/review"):
        assert (site / folder).is_dir()
    assert sorted(os.listdir(data)) == ["datasites", "inbox", "outbox"]
    assert not (site / "syft.pub.yaml").exists()
    marker = json.loads((site / ".syft/datasite.json").read_text())
    assert marker["email"] == "me@example.org" and len(marker["id"]) == 36 and marker["created"] > 0
    assert stat.S_IMODE((home / "config/syftd.toml").stat().st_mode) == 0o600


def test_public_is_readable_by_everybody_and_writable_by_nobody(syftd: Call, home: Path) -> None:
    import yaml

    syftd("init", "--email", "me@example.org")
    text = (home / "SyftBox/datasites/me@example.org/public/syft.pub.yaml").read_text()
    assert yaml.safe_load(text) == {
        "rules": [{"pattern": "**", "access": {"admin": [], "write": [], "read": ["*"]}}], "terminal": False,
    }  # fmt: skip


def test_the_configuration_is_commented_and_loads(syftd: Call, home: Path, tmp_path: Path) -> None:
    odd = tmp_path / 'a "b" \\ ü'
    found = syftd(
        "init", "--email", "me@example.org", "--data", str(tmp_path / "d"),
        "--transport", f"folder:{odd}", "--transport", f"folder:{tmp_path / 'c'},untrusted",
    )  # fmt: skip
    assert found.code == 0 and "Whoever can read that folder" in found.err and "only carries" in found.err
    settings = config.load(Places.at(home, {}), env={})
    assert settings.data == tmp_path / "d"
    assert [(t.name, t.path, t.trusted) for t in settings.transport] == [
        ("folder", odd, True), ("folder2", tmp_path / "c", False),
    ]  # fmt: skip
    assert odd.is_dir() and (tmp_path / "c").is_dir()
    text = (home / "config/syftd.toml").read_text()
    assert "# poll_seconds = 5" in text and "whoever can read it" in text


def test_it_never_overwrites(syftd: Call, home: Path) -> None:
    syftd("init", "--email", "me@example.org")
    before = (home / "config/syftd.toml").read_bytes()
    again = syftd("init", "--email", "other@example.org")
    assert again.code == 2 and "already a configuration" in again.err
    assert (home / "config/syftd.toml").read_bytes() == before
    assert not (home / "SyftBox/datasites/other@example.org").exists()


def test_a_lost_configuration_is_made_again_beside_the_old_datasite(syftd: Call, home: Path) -> None:
    syftd("init", "--email", "me@example.org")
    site = home / "SyftBox/datasites/me@example.org"
    (site / "public/mine.txt").write_text("kept")
    (site / "public/syft.pub.yaml").write_text("rules: []\n")
    marker = (site / ".syft/datasite.json").read_bytes()
    (home / "config/syftd.toml").unlink()
    assert syftd("init", "--email", "me@example.org").code == 0
    assert (site / "public/mine.txt").read_text() == "kept"
    assert (site / "public/syft.pub.yaml").read_text() == "rules: []\n"
    assert (site / ".syft/datasite.json").read_bytes() == marker


def _snapshot(top: Path) -> list[str]:
    return sorted(str(path) for path in top.rglob("*"))


def test_foreign_content_is_refused_and_untouched(syftd: Call, tmp_path: Path, home: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/a.jpg").write_text("x")
    before = _snapshot(tmp_path)
    found = syftd("init", "--email", "me@example.org", "--data", str(tmp_path / "photos"))
    assert found.code == 2 and "a.jpg" in found.err
    assert _snapshot(tmp_path) == before


def test_a_datasite_that_syftd_did_not_make_is_refused(syftd: Call, tmp_path: Path) -> None:
    site = tmp_path / "old/datasites/me@example.org"
    site.mkdir(parents=True)
    (site / "thesis.txt").write_text("x")
    found = syftd("init", "--email", "me@example.org", "--data", str(tmp_path / "old"))
    assert found.code == 2 and "did not make" in found.err


def test_the_home_folder_or_one_above_is_refused(syftd: Call, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "user")
    for place in (tmp_path / "user", tmp_path / "link", tmp_path, Path("/")):
        found = syftd("init", "--email", "me@example.org", "--data", str(place))
        assert found.code == 2 and "whole home" in found.err


@pytest.mark.parametrize("email", ["nobody", "a/b@x.org", "../x@y.org", ""])
def test_what_is_not_an_address_is_refused(email: str, syftd: Call, home: Path) -> None:
    assert syftd("init", "--email", email).code == 2
    assert not home.exists()


@pytest.mark.parametrize("text", ["pigeon:/x", "folder", "folder:", "/x", "folder:/a\nb"])
def test_unknown_transports_are_refused(text: str) -> None:
    with pytest.raises(UserError):
        parse_transport(text)


def test_a_comma_in_a_path_is_kept() -> None:
    assert parse_transport("folder:/a,b").path == Path("/a,b")
    assert parse_transport("folder:/a,b,untrusted").path == Path("/a,b")
