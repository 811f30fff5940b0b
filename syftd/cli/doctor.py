"""`syftd doctor`: looks for what could be wrong, and says what to do about it. Changes nothing."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal

from syftd.cli.render import size, style, visible
from syftd.cli.session import Command, Session
from syftd.errors import NotRunning, SyftdError
from syftd.names import PERMISSION_FILE

LOW_BYTES: Final = 512 * 1024 * 1024
FEW_WATCHES: Final = 65_536
EXIT_TROUBLE: Final = 3
_MARKS: Final = {"ok": ("ok", "green"), "note": ("note", "dim"), "warn": ("warn", "yellow"), "fail": ("FAIL", "red")}


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check saw. `note` is worth knowing, `warn` will hurt one day, `fail` hurts now."""

    check: str
    state: Literal["ok", "note", "warn", "fail"]
    text: str
    remedy: str = ""


def _run(session: Session, _: argparse.Namespace) -> int:
    from syftd import config

    findings: list[Finding] = []
    settings: config.Settings | None = None
    try:
        settings = config.load(session.places)
        findings.append(Finding("configuration", "ok", str(session.places.config_file)))
    except SyftdError as error:
        findings.append(Finding("configuration", "fail", str(error), error.remedy))
    findings += _checked("daemon", lambda: _daemon(session))
    findings += _checked("sandbox", _sandbox)
    findings += _checked("watching", _watching)
    findings += _checked("database", lambda: _database(session.places.state))
    findings += _checked("secrets", lambda: _private(session.places.state))
    if settings is not None:
        findings += _checked("disk", lambda: _disk(settings.data, session.places.state))
        findings += _checked("datasite", lambda: _datasite(settings))
        findings += _checked("transports", lambda: _transports(settings, session.places.state))
        findings += _checked("permissions", lambda: _permissions(settings.datasite))
    healthy = all(finding.state != "fail" for finding in findings)
    session.answer({"healthy": healthy, "checks": [asdict(finding) for finding in findings]}, _text(findings))
    return 0 if healthy else EXIT_TROUBLE


def _checked(check: str, look: Callable[[], list[Finding]]) -> list[Finding]:
    """A check that cannot be made is a finding too."""
    try:
        return look()
    except SyftdError as error:
        return [Finding(check, "fail", str(error), error.remedy)]
    except OSError as error:
        return [Finding(check, "fail", f"could not look: {error}", "Check the permissions of that path.")]


def _daemon(session: Session) -> list[Finding]:
    try:
        found = session.client.get("/v1/status")
    except NotRunning as error:
        return [Finding("daemon", "warn", str(error), error.remedy)]
    text = f"running, pid {found.get('pid')}, {found.get('problems', 0)} problems"
    if found.get("safe_mode"):
        return [Finding("daemon", "fail", text + ", in safe mode", "See why: syftd service logs")]
    return [Finding("daemon", "ok", text)]


def _sandbox() -> list[Finding]:
    from syftd.jobs import sandbox

    probed = sandbox.probe()
    return [Finding("sandbox", "ok" if probed.ok else "fail", probed.text, probed.remedy)]


def _watching() -> list[Finding]:
    if not sys.platform.startswith("linux"):
        return [Finding("watching", "ok", "by the operating system's own events")]
    watches = int(Path("/proc/sys/fs/inotify/max_user_watches").read_text())
    instances = int(Path("/proc/sys/fs/inotify/max_user_instances").read_text())
    text = f"inotify: {watches} watches, {instances} instances for each user"
    if watches < FEW_WATCHES:
        cure = "echo fs.inotify.max_user_watches=524288 | sudo tee /etc/sysctl.d/60-syftd.conf && sudo sysctl --system"
        return [Finding("watching", "warn", text, f"Enough for small trees only. More: {cure}")]
    return [Finding("watching", "ok", text)]


def _database(state: Path) -> list[Finding]:
    import sqlite3

    found = sorted(state.glob("*.db")) if state.is_dir() else []
    if not found:
        return [Finding("database", "note", "there is none yet; the daemon makes it at its first start")]
    findings = []
    for path in found:
        try:
            connection = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=5)
            try:
                told = [str(row[0]) for row in connection.execute("PRAGMA quick_check(3)")]
            finally:
                connection.close()
        except sqlite3.DatabaseError as error:
            told = [str(error)]
        if told == ["ok"]:
            findings.append(Finding("database", "ok", f"{path} is sound"))
        else:
            cure = "Restart the daemon: it sets a damaged database aside and builds a new one from the files."
            findings.append(Finding("database", "fail", f"{path} is damaged: {'; '.join(told)}", cure))
    return findings


def _private(state: Path) -> list[Finding]:
    """State holds keys and the database; nobody else may read it."""
    if not state.is_dir():
        return []
    loose = [state] if state.stat().st_mode & 0o077 else []
    if (keys := state / "keys").is_dir():
        loose += [path for path in keys.iterdir() if path.stat().st_mode & 0o077]
    if not loose:
        return [Finding("secrets", "ok", f"{state} is yours alone")]
    listed = " ".join(str(path) for path in loose)
    return [Finding("secrets", "fail", f"others can read {listed}", f"chmod go-rwx {listed}")]


def _disk(data: Path, state: Path) -> list[Finding]:
    findings = []
    for path in dict.fromkeys(place for place in (data, state) if place.is_dir()):
        found = os.statvfs(path)
        free = found.f_bavail * found.f_frsize
        state_word: Literal["ok", "warn"] = "ok" if free >= LOW_BYTES else "warn"
        cure = "" if state_word == "ok" else "Free some space there before it is full."
        findings.append(Finding("disk", state_word, f"{size(free)} free at {path}", cure))
    return findings


def _datasite(settings: Any) -> list[Finding]:
    from syftd.cli.init import MARKER

    site = settings.datasite
    if not (site / MARKER).is_file():
        text = f"{site} has no marker {MARKER}: it is not there, or not the one that syftd made"
        return [Finding("datasite", "fail", text, "Mount the disk that holds it, or run `syftd init` for a new one.")]
    return [Finding("datasite", "ok", str(site))]


def _drive(settings: Any, transport: Any, state: Path) -> Finding:
    """Whether the login works, and is the datasite owner's: one call to Drive."""
    from syftd.seams import SystemClock, SystemRandom
    from syftd.transport.drive import auth, login

    try:
        token = auth.load_token(auth.token_file(state, transport.name))
        found = login.account_of(token, transport.drive_endpoint, SystemClock(), SystemRandom())
    except SyftdError as error:
        return Finding("transports", "fail", f"{transport.name}: {error}", error.remedy)
    if found != settings.email:
        text = f"{transport.name}: the Google login is for {found}, and this datasite is {settings.email}'s"
        return Finding("transports", "fail", text, f"Log in as {settings.email}: syftd login")
    where = transport.drive_endpoint or "Google Drive"
    return Finding("transports", "ok", f"{transport.name}: logged in to {where} as {found}")


def _transports(settings: Any, state: Path) -> list[Finding]:
    if not settings.transport:
        return [Finding("transports", "warn", "there is none, so nothing reaches your peers", "Add a [[transport]].")]
    findings = []
    for one in settings.transport:
        if one.kind == "gdrive":
            findings.append(_drive(settings, one, state))
        elif not one.path.is_dir():
            text, cure = f"{one.name}: {one.path} is not there", "Mount it, or correct its path in the configuration."
            findings.append(Finding("transports", "fail", text, cure))
        elif not os.access(one.path, os.R_OK | os.W_OK | os.X_OK):
            text, cure = f"{one.name}: {one.path} cannot be written by you", "Ask its owner for write access."
            findings.append(Finding("transports", "fail", text, cure))
        else:
            trust = "trusted" if one.trusted else "not trusted: carries only what everybody may read, takes no changes or jobs"
            findings.append(Finding("transports", "ok", f"{one.name}: {one.path} ({trust})"))
    return findings


def _permissions(site: Path) -> list[Finding]:
    """Broken permission files, and those that let everybody in beyond the folder made for that."""
    from syftd.errors import Malformed
    from syftd.rules.ruleset import parse

    findings = []
    for folder, below, files in os.walk(site):
        below[:] = [name for name in below if not name.startswith(".") and Path(folder, name) != site / "private"]
        if PERMISSION_FILE not in files:
            continue
        path = Path(folder, PERMISSION_FILE)
        try:
            rules = parse(path.read_bytes()).rules
        except Malformed as error:
            findings.append(Finding("permissions", "fail", f"{path}: {error}", "Until then nobody gets in there."))
            continue
        writers = [rule.pattern for rule in rules if "*" in (*rule.write, *rule.admin)]
        readers = [rule.pattern for rule in rules if "*" in rule.read]
        if writers:
            text = f"{path} lets everybody write {', '.join(writers)}"
            findings.append(Finding("permissions", "warn", text, "Name the people instead: syftd share … --write"))
        elif readers:
            findings.append(Finding("permissions", "note", f"{path} lets everybody read {', '.join(readers)}"))
    return findings or [Finding("permissions", "ok", "nothing is open to everybody")]


def _text(findings: list[Finding]) -> str:
    lines = []
    width = max(len(finding.check) for finding in findings)
    for finding in findings:
        mark, colour = _MARKS[finding.state]
        lines.append(f"{style(mark.ljust(4), colour)}  {finding.check:<{width}}  {visible(finding.text)}")
        if finding.remedy:
            lines.append(" " * (width + 8) + visible(finding.remedy))
    return "\n".join(lines)


COMMANDS: Final = {"doctor": Command(lambda parser: None, _run)}
