"""The daemon as a service of the user: a systemd user unit, or a launchd agent.

Installing writes one file, enables it and starts it. What was done beyond that (linger) is remembered in the state
directory, so that uninstalling undoes exactly that and nothing an administrator decided.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from syftd.errors import SyftdError, UserError
from syftd.places import Places

UNIT: Final = "syftd.service"
LABEL: Final = "org.openmined.syftd"
_MARK: Final = "`syftd service install`"
_BOOTED: Final = Path("/run/systemd/system")
"""There as long as systemd runs the system (sd_booted(3))."""
_PACKAGED: Final = Path(__file__).parent / "service_files"
_CHECKOUT: Final = Path(__file__).parent.parent


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that installing or uninstalling does: a file to write or remove, or a command to run."""

    what: str
    command: tuple[str, ...] = ()
    write: tuple[Path, bytes] | None = None
    remove: Path | None = None
    may_fail: bool = False


class Supervisor(Protocol):
    """What starts and watches the daemon."""

    file: Path

    def installing(self, program: Sequence[str], linger: bool) -> list[Step]:
        """What installing does, in order."""

    def uninstalling(self) -> list[Step]:
        """What uninstalling does, in order."""

    def status(self) -> dict[str, Any]:
        """{installed, active, pid, text}"""

    def log_command(self, follow: bool) -> list[str]:
        """The command that shows the daemon's log."""


def template(name: str) -> bytes:
    """A file that ships with syftd: from the wheel's package data, or from the checkout of an editable install."""
    folder = {".service": "systemd", ".plist": "launchd", ".toml": "config"}[Path(name).suffix]
    for path in (_PACKAGED / name, _CHECKOUT / folder / name):
        if path.is_file():
            return path.read_bytes()
    raise SyftdError(f"{name} is missing from this installation", "Install syftd again.")


def program(home: Path | None, argv0: str | None = None) -> list[str]:
    """The command that runs this daemon, with absolute paths."""
    started_as = sys.argv[0] if argv0 is None else argv0
    found = shutil.which(started_as) if Path(started_as).name == "syftd" else None
    words = [os.path.abspath(found)] if found else [sys.executable, "-m", "syftd"]
    return [*words, *(["--home", os.path.abspath(home)] if home else []), "run"]


def supervisor(places: Places, env: Mapping[str, str] | None = None, platform: str = sys.platform) -> Supervisor:
    """The one of this platform; raises UserError when there is none that we know."""
    environment = os.environ if env is None else env
    if platform == "darwin":
        return Launchd(places, environment)
    if shutil.which("systemctl", path=environment.get("PATH")) is None:
        raise UserError(
            "this system has no systemd", "Let your own supervisor run `syftd run`; it stays in the foreground."
        )
    return Systemd(places, environment)


def carry_out(steps: Sequence[Step]) -> None:
    """Does the steps in order; raises SyftdError for the first that fails and is not allowed to."""
    for step in steps:
        if step.write is not None:
            path, content = step.write
            path.parent.mkdir(parents=True, exist_ok=True)
            fresh = path.with_name(path.name + ".new")
            fresh.write_bytes(content)
            os.replace(fresh, path)
        elif step.remove is not None:
            step.remove.unlink(missing_ok=True)
        else:
            done = _run(step.command)
            if done.returncode != 0 and not step.may_fail:
                told = (done.stderr or done.stdout).strip()
                raise SyftdError(f"“{' '.join(step.command)}” failed: {told or f'exit {done.returncode}'}", _cure(told))


class Systemd:
    """The systemd of the user's own session."""

    def __init__(self, places: Places, env: Mapping[str, str]) -> None:
        config = Path(env.get("XDG_CONFIG_HOME") or Path(env.get("HOME") or Path.home()) / ".config")
        self.file = config / "systemd" / "user" / UNIT
        self._record = places.state / "service.json"

    def installing(self, program: Sequence[str], linger: bool) -> list[Step]:
        _ours(self.file)
        lines = []
        for line in template(UNIT).decode().splitlines():
            lines.append(f"ExecStart={' '.join(map(unit_quoted, program))}" if line.startswith("ExecStart=") else line)
        steps = [
            Step(f"write {self.file}", write=(self.file, ("\n".join(lines) + "\n").encode())),
            Step("make systemd read it", ("systemctl", "--user", "daemon-reload")),
            Step("start it now and at log-in", ("systemctl", "--user", "enable", "--now", UNIT)),
        ]
        if linger and not self.lingers():
            # First the deed, then the note: a failed command must not be undone later.
            steps.append(Step("keep it running after log-out", ("loginctl", "enable-linger")))
            note = json.dumps({"linger": True}).encode() + b"\n"
            steps.append(Step("remember that for uninstalling", write=(self._record, note)))
        return steps

    def uninstalling(self) -> list[Step]:
        _ours(self.file)
        steps = [
            Step("stop it", ("systemctl", "--user", "disable", "--now", UNIT), may_fail=True),
            Step(f"remove {self.file}", remove=self.file),
            Step("make systemd forget it", ("systemctl", "--user", "daemon-reload")),
        ]
        if self._record.is_file():
            steps.append(Step("end lingering, which was ours", ("loginctl", "disable-linger"), may_fail=True))
            steps.append(Step("forget that note", remove=self._record))
        return steps

    def lingers(self) -> bool:
        """Whether this user's services go on after log-out."""
        found = _run(("loginctl", "show-user", str(os.getuid()), "--property=Linger"))
        return found.stdout.strip() == "Linger=yes"

    def status(self) -> dict[str, Any]:
        names = ("ActiveState", "SubState", "MainPID", "StatusText", "Result", "NRestarts")
        found = _run(("systemctl", "--user", "show", UNIT, *(f"--property={name}" for name in names)))
        if found.returncode != 0:
            raise SyftdError(f"systemd does not answer: {found.stderr.strip()}", _cure(found.stderr))
        told = dict(line.partition("=")[::2] for line in found.stdout.splitlines())
        return {
            "installed": self.file.exists(),
            "active": told.get("ActiveState") == "active",
            "pid": int(told.get("MainPID") or 0) or None,
            "state": f"{told.get('ActiveState', 'unknown')} ({told.get('SubState', '')})",
            "text": told.get("StatusText", ""),
            "restarts": int(told.get("NRestarts") or 0),
            "linger": self.lingers(),
            "file": str(self.file),
        }

    def log_command(self, follow: bool) -> list[str]:
        return ["journalctl", "--user", "--unit", UNIT, "--lines", "200", *(["--follow"] if follow else [])]


class Launchd:
    """The launchd of the user's own session."""

    def __init__(self, places: Places, env: Mapping[str, str]) -> None:
        self.file = Path(env.get("HOME") or Path.home()) / "Library" / "LaunchAgents" / f"{LABEL}.plist"
        self._log = places.log
        self._domain = f"gui/{os.getuid()}"

    def installing(self, program: Sequence[str], linger: bool) -> list[Step]:
        import plistlib

        agent = plistlib.loads(template(f"{LABEL}.plist"))
        agent["ProgramArguments"] = list(program)
        agent["StandardOutPath"] = str(self._log / "syftd.out.log")
        agent["StandardErrorPath"] = str(self._log / "syftd.err.log")
        self._log.mkdir(mode=0o700, parents=True, exist_ok=True)
        return [
            Step("stop an earlier one", ("launchctl", "bootout", f"{self._domain}/{LABEL}"), may_fail=True),
            Step(f"write {self.file}", write=(self.file, plistlib.dumps(agent))),
            Step("load and start it", ("launchctl", "bootstrap", self._domain, str(self.file))),
        ]

    def uninstalling(self) -> list[Step]:
        return [
            Step("stop it", ("launchctl", "bootout", f"{self._domain}/{LABEL}"), may_fail=True),
            Step(f"remove {self.file}", remove=self.file),
        ]

    def status(self) -> dict[str, Any]:
        found = _run(("launchctl", "print", f"{self._domain}/{LABEL}"))
        told = dict(line.strip().partition(" = ")[::2] for line in found.stdout.splitlines() if " = " in line)
        pid = told.get("pid", "")
        return {
            "installed": self.file.exists(),
            "active": found.returncode == 0 and pid.isdigit(),
            "pid": int(pid) if pid.isdigit() else None,
            "state": told.get("state", "not loaded"),
            "text": told.get("last exit code", ""),
            "file": str(self.file),
        }

    def log_command(self, follow: bool) -> list[str]:
        return ["tail", "-n", "200", *(["-F"] if follow else []), str(self._log / "syftd.err.log")]


def unit_quoted(word: str) -> str:
    """One word of ExecStart=: specifiers and variables doubled, quotes and backslashes escaped."""
    if any(ord(char) < 32 for char in word):
        raise UserError(f"{word!r} cannot be written into a service file", "Choose a path without control characters.")
    word = word.replace("%", "%%").replace("$", "$$").replace("\\", "\\\\").replace('"', '\\"')
    return f'"{word}"' if any(char in word for char in " \t'\"\\;") else word


def _ours(file: Path) -> None:
    """Refuses to touch a unit that somebody wrote by hand under our name."""
    if file.is_file() and _MARK not in file.read_text("utf-8", "replace"):
        raise UserError(f"{file} was not written by syftd", "Move it away first, or keep using it as it is.")


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(list(command), capture_output=True, text=True, check=False, timeout=120)
    except FileNotFoundError:
        return subprocess.CompletedProcess(list(command), 127, "", f"{command[0]}: not found")
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(list(command), 124, "", f"{command[0]} did not end within 120 s")


def _cure(told: str) -> str:
    if not _BOOTED.is_dir():
        return "systemd does not run this system; let your own supervisor run `syftd run`, which stays in the foreground."
    if "connect to bus" in told or "XDG_RUNTIME_DIR" in told:
        return "You have no session here: log in directly (not by su or sudo), or run `loginctl enable-linger`."
    return "See `syftd service logs`; the steps are shown by --dry-run."
