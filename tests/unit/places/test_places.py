"""Where an instance keeps its things, and that nobody else can look in."""

import os
import stat
from pathlib import Path

import pytest

from syftd.errors import UserError
from syftd.places import Places, make_private


def test_a_home_holds_everything(tmp_path: Path) -> None:
    places = Places.at(tmp_path / "one", {})
    assert places.config_file == tmp_path / "one" / "config" / "syftd.toml"
    found = (places.state, places.cache, places.runtime, places.log, places.data_default)
    assert [p.name for p in found] == ["state", "cache", "run", "log", "SyftBox"]
    assert all(p.is_relative_to(tmp_path / "one") for p in found)


def test_the_flag_wins_over_the_variable(tmp_path: Path) -> None:
    assert Places.at(None, {"SYFTD_HOME": str(tmp_path)}).home == tmp_path
    assert Places.at(tmp_path / "flag", {"SYFTD_HOME": str(tmp_path)}).home == tmp_path / "flag"


def test_a_relative_home_becomes_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Places.at(Path("one"), {}).state == tmp_path / "one" / "state"


def test_without_a_home_the_platform_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME", "SYFTD_HOME"):
        monkeypatch.delenv(name, raising=False)
    places = Places.at(None)
    assert places.home is None
    assert places.data_default == tmp_path / "SyftBox"
    assert places.config_file.is_relative_to(tmp_path) and places.config_file.name == "syftd.toml"


def test_the_socket_is_never_where_others_could_be_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    session = tmp_path / "session"
    session.mkdir()
    assert Places.at(None, {"XDG_RUNTIME_DIR": str(session)}).runtime == session / "syftd"
    lost = Places.at(None, {"XDG_RUNTIME_DIR": str(tmp_path / "gone")})
    assert lost.runtime in (lost.state / "run", Path(f"/run/user/{os.getuid()}/syftd"))


def test_directories_are_private_even_when_they_were_not(tmp_path: Path) -> None:
    places = Places.at(tmp_path / "one", {})
    places.runtime.mkdir(parents=True)
    places.runtime.chmod(0o755)
    places.ensure()
    for directory in (places.config_file.parent, places.state, places.cache, places.runtime, places.log):
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700


def test_a_file_in_the_way_is_said(tmp_path: Path) -> None:
    (tmp_path / "one").write_text("")
    with pytest.raises(UserError, match=r"cannot create|not a directory"):
        make_private(tmp_path / "one")


@pytest.mark.skipif(os.getuid() != 0, reason="only root can make a directory of somebody else's")
def test_somebody_elses_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    os.chown(tmp_path / "theirs", 12345, 12345)
    with pytest.raises(UserError, match="not a directory of yours"):
        make_private(tmp_path / "theirs")
