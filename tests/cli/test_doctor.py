"""`syftd doctor`: each thing that can be wrong is found and has a cure; nothing is changed."""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.cli.conftest import Call


@pytest.fixture
def look(syftd: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], dict[str, list[dict[str, str]]]]:
    from syftd.jobs import sandbox

    monkeypatch.setattr(sandbox, "probe", lambda: SimpleNamespace(ok=True, text="fine", remedy=""))
    assert syftd("init", "--email", "me@x.org", "--transport", f"folder:{tmp_path / 'mail'}").code == 0

    def run() -> dict[str, list[dict[str, str]]]:
        found = syftd("doctor", json=True)
        sorted_out: dict[str, list[dict[str, str]]] = {}
        for one in found.json["checks"]:
            sorted_out.setdefault(one["check"], []).append(one)
        failed = any(one["state"] == "fail" for one in found.json["checks"])
        assert (found.code, found.json["healthy"]) == ((3, False) if failed else (0, True))
        assert all(one["remedy"] for one in found.json["checks"] if one["state"] in ("warn", "fail"))
        return sorted_out

    return run


Look = Callable[[], dict[str, list[dict[str, str]]]]


def test_a_fresh_instance_is_well(look: Look, syftd: Call) -> None:
    found = look()
    assert [one["state"] for one in found["daemon"]] == ["warn"]
    assert [one["state"] for one in found["permissions"]] == ["note"]
    assert "me@x.org" in syftd("doctor").out


def test_a_damaged_database(look: Look, home: Path) -> None:
    connection = sqlite3.connect(home / "state/syftd.db")
    connection.execute("CREATE TABLE t (a TEXT)")
    connection.executemany("INSERT INTO t VALUES (?)", [("x" * 500,)] * 200)
    connection.commit()
    connection.close()
    assert look()["database"][0]["state"] == "ok"
    content = bytearray((home / "state/syftd.db").read_bytes())
    content[8192:16384] = b"\xff" * 8192
    (home / "state/syftd.db").write_bytes(content)
    assert look()["database"][0]["state"] == "fail"


def test_a_transport_that_is_not_mounted(look: Look, tmp_path: Path) -> None:
    (tmp_path / "mail").rmdir()
    assert look()["transports"][0]["state"] == "fail"


def test_permission_files(look: Look, home: Path) -> None:
    site = home / "SyftBox/datasites/me@x.org"
    (site / "a").mkdir()
    (site / "a/syft.pub.yaml").write_text("rules:\n- pattern: '**'\n  access: {write: ['*']}\n")
    (site / "b").mkdir()
    (site / "b/syft.pub.yaml").write_text("rules: [nonsense")
    states = sorted(one["state"] for one in look()["permissions"])
    assert states == ["fail", "note", "warn"]


def test_a_lost_datasite(look: Look, home: Path) -> None:
    (home / "SyftBox").rename(home / "moved")
    assert look()["datasite"][0]["state"] == "fail"


def test_keys_that_others_can_read(look: Look, home: Path) -> None:
    (home / "state/keys").mkdir(mode=0o700)
    (home / "state/keys/identity").write_text("x")
    (home / "state/keys/identity").chmod(0o644)
    assert look()["secrets"][0]["state"] == "fail"


def test_a_wrong_configuration_does_not_hide_the_rest(look: Look, home: Path) -> None:
    (home / "config/syftd.toml").write_text("emial = 1\n")
    found = look()
    assert found["configuration"][0]["state"] == "fail" and "sandbox" in found


def test_no_sandbox(look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    from syftd.jobs import sandbox

    monkeypatch.setattr(sandbox, "probe", lambda: SimpleNamespace(ok=False, text="no bwrap", remedy="install it"))
    assert look()["sandbox"][0]["state"] == "fail"
