"""The service files, and installing with stand-ins for systemctl, loginctl and launchctl on PATH."""

import configparser
import json
import plistlib
import sys
from pathlib import Path

import pytest

from syftd import service
from syftd.errors import SyftdError, UserError
from syftd.places import Places
from tests.cli.conftest import Call

FAKE = """#!/bin/sh
echo "$(basename "$0") $*" >> "{calls}"
case "$*" in
  *show-user*) [ -e "{linger}" ] && echo Linger=yes || echo Linger=no ;;
  enable-linger*) : > "{linger}" ;;
  disable-linger*) rm -f "{linger}" ;;
  *"show syftd.service"*) printf 'ActiveState=active\\nSubState=running\\nMainPID=42\\nNRestarts=0\\n' ;;
  print*) printf '\\tstate = running\\n\\tpid = 42\\n' ;;
esac
[ ! -e "{broken}" ] || {{ echo "Failed to connect to bus: No medium found" >&2; exit 1; }}
"""


class Fakes:
    def __init__(self, folder: Path) -> None:
        self.bin = folder / "bin"
        self.bin.mkdir()
        self.calls_file, self.linger, self.broken = folder / "calls", folder / "linger", folder / "broken"
        for name in ("systemctl", "loginctl", "launchctl", "journalctl"):
            text = FAKE.format(calls=self.calls_file, linger=self.linger, broken=self.broken)
            (self.bin / name).write_text(text)
            (self.bin / name).chmod(0o755)

    def calls(self) -> list[str]:
        return self.calls_file.read_text().splitlines() if self.calls_file.exists() else []


@pytest.fixture
def fakes(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch, syftd: Call) -> Fakes:
    found = Fakes(tmp_path)
    monkeypatch.setenv("PATH", f"{found.bin}:/usr/bin:/bin")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "user/.config"))
    monkeypatch.setattr(sys, "platform", "linux")
    assert syftd("init", "--email", "me@x.org").code == 0
    return found


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    return tmp_path / "user/.config/systemd/user/syftd.service"


def parsed(text: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, strict=True)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(text)
    return parser


def test_the_shipped_unit() -> None:
    found = parsed(service.template("syftd.service").decode())
    body = found["Service"]
    assert body["Type"] == "notify" and body["ExecStart"].endswith(" run") and body["KillMode"] == "mixed"
    assert body["RestartPreventExitStatus"].split() == ["2", "11", "14", "15"]
    assert "AF_NETLINK" in body["RestrictAddressFamilies"] and "RestrictNamespaces" not in body
    assert "network-online" not in service.template("syftd.service").decode()
    assert found["Install"]["WantedBy"] == "default.target"


def test_the_shipped_agent() -> None:
    found = plistlib.loads(service.template("org.openmined.syftd.plist"))
    assert found["Label"] == "org.openmined.syftd" and found["KeepAlive"] == {"SuccessfulExit": False}
    assert found["ProcessType"] == "Background" and found["Umask"] == 0o77


def test_install_writes_enables_and_starts(syftd: Call, fakes: Fakes, unit: Path, home: Path) -> None:
    found = syftd("service", "install")
    assert found.code == 0 and "--linger" in found.err
    assert fakes.calls()[:2] == ["systemctl --user daemon-reload", "systemctl --user enable --now syftd.service"]
    words = parsed(unit.read_text())["Service"]["ExecStart"].split()
    assert words[0].startswith("/") and words[-3:] == ["--home", str(home), "run"]
    assert not fakes.linger.exists()
    assert syftd("service", "install").code == 0


def test_linger_is_undone_only_when_it_was_ours(syftd: Call, fakes: Fakes, unit: Path, home: Path) -> None:
    syftd("service", "install", "--linger")
    assert fakes.linger.exists() and json.loads((home / "state/service.json").read_text()) == {"linger": True}
    assert syftd("service", "uninstall").code == 0
    assert not fakes.linger.exists() and not unit.exists() and not (home / "state/service.json").exists()
    fakes.linger.touch()
    syftd("service", "install", "--linger")
    syftd("service", "uninstall")
    assert fakes.linger.exists()
    assert (home / "SyftBox").is_dir() and (home / "config/syftd.toml").exists()


def test_a_dry_run_changes_nothing(syftd: Call, fakes: Fakes, unit: Path) -> None:
    shown = syftd("service", "install", "--linger", "--dry-run")
    assert shown.code == 0 and "ExecStart=" in shown.out and "enable-linger" in shown.out
    assert not unit.exists() and all("show-user" in call for call in fakes.calls())


def test_a_unit_written_by_hand_is_left_alone(syftd: Call, fakes: Fakes, unit: Path) -> None:
    unit.parent.mkdir(parents=True)
    unit.write_text("[Service]\nExecStart=/mine\n")
    for action in ("install", "uninstall"):
        found = syftd("service", action)
        assert found.code == 2 and "not written by syftd" in found.err
    assert unit.read_text() == "[Service]\nExecStart=/mine\n"


@pytest.mark.parametrize(("booted", "cure"), [(True, "enable-linger"), (False, "run `syftd run`")])
def test_without_a_session_the_cure_is_told(
    booted: bool, cure: str, syftd: Call, fakes: Fakes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fakes.broken.touch()
    monkeypatch.setattr(service, "_BOOTED", tmp_path if booted else tmp_path / "none")
    found = syftd("service", "install")
    assert found.code == 1 and "connect to bus" in found.err and cure in found.err


def test_status_and_logs(syftd: Call, fakes: Fakes) -> None:
    found = syftd("service", "status", json=True)
    assert found.code == 0 and (found.json["pid"], found.json["active"]) == (42, True)
    assert syftd("service", "logs", json=True).json == {"lines": []}
    assert fakes.calls()[-1] == "journalctl --user --unit syftd.service --lines 200"


def test_without_a_configuration_nothing_is_installed(fakes: Fakes, syftd: Call, home: Path) -> None:
    (home / "config/syftd.toml").unlink()
    found = syftd("service", "install")
    assert found.code == 2 and "syftd init" in found.err and fakes.calls() == []


def test_launchd(fakes: Fakes, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    places = Places.at(home, {})
    agent = service.supervisor(places, {"HOME": str(tmp_path / "user")}, "darwin")
    service.carry_out(agent.installing(["/opt/syftd", "run"], linger=False))
    written = plistlib.loads((tmp_path / "user/Library/LaunchAgents/org.openmined.syftd.plist").read_bytes())
    assert written["ProgramArguments"] == ["/opt/syftd", "run"]
    assert written["StandardErrorPath"] == str(places.log / "syftd.err.log")
    assert [call.split()[:2] for call in fakes.calls()] == [["launchctl", "bootout"], ["launchctl", "bootstrap"]]
    assert agent.status()["pid"] == 42
    service.carry_out(agent.uninstalling())
    assert not agent.file.exists()


def test_without_any_supervisor_the_way_out_is_told(home: Path) -> None:
    with pytest.raises(UserError, match="no systemd") as caught:
        service.supervisor(Places.at(home, {}), {"PATH": "/nowhere"}, "linux")
    assert "syftd run" in caught.value.remedy


@pytest.mark.parametrize(
    ("word", "quoted"),
    [("/a/b", "/a/b"), ("/a b", '"/a b"'), ("/50%$x", "/50%%$$x"), ('/a"b\\', '"/a\\"b\\\\"')],
)
def test_words_in_a_unit(word: str, quoted: str) -> None:
    assert service.unit_quoted(word) == quoted


def test_a_control_character_cannot_get_into_a_unit() -> None:
    with pytest.raises(UserError):
        service.unit_quoted("/a\nExecStart=/evil")


def test_a_missing_template_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(service, "_PACKAGED", tmp_path)
    monkeypatch.setattr(service, "_CHECKOUT", tmp_path)
    with pytest.raises(SyftdError, match="missing from this installation"):
        service.template("syftd.toml")
