"""`syftd init`: writes a commented configuration and a private datasite with a ``public/`` folder; never overwrites."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from syftd.cli.render import visible
from syftd.cli.session import Command, Parser, Session
from syftd.errors import UserError
from syftd.names import PERMISSION_FILE, Email
from syftd.places import make_private
from syftd.seams import SystemClock, SystemRandom

MARKER: Final = ".syft/datasite.json"
_OUR_FOLDERS: Final = ("datasites", "inbox", "outbox")
_PLANNED: Final = ("s3", "webdav", "sftp", "dropbox", "onedrive", "mail")
_EMAIL_LINE: Final = 'email = "you@example.org"'
_DATA_LINE: Final = 'data = "~/SyftBox"'
_TRANSPORT_LINE: Final = "# No transport yet."
_PUBLIC_RULES: Final = """\
rules:
- pattern: '**'
  access:
    admin: []
    write: []
    read:
    - '*'
terminal: false
"""


@dataclass(frozen=True, slots=True)
class FolderChoice:
    """A transport as given on the command line."""

    path: Path
    trusted: bool


@dataclass(frozen=True, slots=True)
class DriveChoice:
    """Google Drive as given on the command line; `endpoint` '' is Google itself."""

    endpoint: str = ""


Choice = FolderChoice | DriveChoice


def _arguments(parser: Parser) -> None:
    parser.add_argument("--email", metavar="ME", required=True, help="who you are; names your datasite")
    parser.add_argument("--data", metavar="DIR", help="where datasites live (default: ~/SyftBox); new, empty or ours")
    parser.add_argument(
        "--transport", metavar="folder:PATH[,untrusted]|gdrive", action="append", default=[],
        help="a directory that you and your peers can reach, or Google Drive; repeatable",
    )  # fmt: skip
    parser.add_argument("--token-file", metavar="FILE", help="for gdrive: an authorised-user token that you have already")
    parser.add_argument("--drive-endpoint", metavar="URL", default="", help="for gdrive: another server than Google's")


def parse_transport(text: str, endpoint: str = "") -> Choice:
    """Understands ``folder:PATH``, ``folder:PATH,untrusted`` and ``gdrive``; raises UserError for anything else."""
    if text == "gdrive":
        return DriveChoice(endpoint)
    kind, found, rest = text.partition(":")
    if kind in _PLANNED:
        raise UserError(
            f"“{kind}” is not in this version of syftd yet", "Use --transport gdrive, or share a folder: folder:/mnt/shared/syft."
        )
    if kind != "folder" or not found or not rest:
        raise UserError(f"“{text}” is not a transport that syftd knows", "Write it like folder:/mnt/shared/syft, or gdrive.")
    path, comma, word = rest.rpartition(",")
    if comma and word in ("trusted", "untrusted"):
        return FolderChoice(_writable(path), word == "trusted")
    return FolderChoice(_writable(rest), True)


def _run(session: Session, args: argparse.Namespace) -> int:
    places = session.places
    email = Email.parse(args.email)
    data = _writable(args.data) if args.data else places.data_default
    transports = _choices(args)
    folders = [one for one in transports if isinstance(one, FolderChoice)]
    if places.config_file.exists():
        raise UserError(
            f"there is already a configuration at {places.config_file}",
            "Edit that file, or choose another instance with --home DIR. Nothing was changed.",
        )
    check_data_folder(data, email)
    content = configuration(email, data, transports)
    token = _token(args.token_file, transports, email, data)
    for folder in folders:
        _make(folder.path)
    places.ensure()
    make_datasite(data, email)
    _write_new(places.config_file, content.encode("utf-8"))
    if token is not None:
        from syftd.transport.drive.auth import save_token, token_file

        save_token(token_file(places.state, "gdrive"), token)
    _explain(session, transports, logged_in=token is not None)
    session.answer(
        {"email": str(email), "config": str(places.config_file), "data": str(data)},
        f"Configuration  {visible(places.config_file)}\nDatasite       {visible(data / 'datasites' / email)}\n\n"
        "Next: syftd run   (or: syftd service install)",
    )
    return 0


def _choices(args: argparse.Namespace) -> list[Choice]:
    """The transports that were asked for."""
    from syftd.config import endpoint

    transports = [parse_transport(text, endpoint(args.drive_endpoint)) for text in args.transport]
    drives = sum(isinstance(one, DriveChoice) for one in transports)
    if drives > 1:
        raise UserError("Google Drive is named twice", "One account has one Drive: write --transport gdrive once.")
    if (args.token_file or args.drive_endpoint) and not drives:
        raise UserError("--token-file and --drive-endpoint are for Google Drive", "Add --transport gdrive.")
    return transports


def _token(file: str | None, transports: list[Choice], email: Email, data: Path) -> dict[str, Any] | None:
    """The token that was given, when it works and is this person's; None when none was given."""
    if file is None:
        return None
    from syftd.cli.login import read_token, verify
    from syftd.config import Settings

    token = read_token(Path(file).expanduser())
    for one in transports:
        if isinstance(one, DriveChoice):
            verify(token, one.endpoint, Settings(email, data))
    return token


def check_data_folder(data: Path, email: Email) -> None:
    """Raises UserError unless `data` is absent, empty, or a data folder of this person's that syftd made."""
    real, home = Path(os.path.realpath(data)), Path(os.path.realpath(Path.home()))
    if real == home or real in home.parents:
        raise UserError(f"{data} holds your whole home, so it cannot be the data folder", f"Choose {home}/SyftBox.")
    if not data.exists():
        return
    if not data.is_dir():
        raise UserError(f"{data} is not a directory", "Choose another place with --data DIR.")
    foreign = sorted(n for n in os.listdir(data) if n not in _OUR_FOLDERS and not n.startswith("."))
    site = data / "datasites" / email
    if foreign:
        listed = ", ".join(visible(name) for name in foreign[:3])
        raise UserError(
            f"{data} holds things that are not syftd's ({listed}{', …' if len(foreign) > 3 else ''})",
            "Choose a new or empty folder with --data DIR, and move what you want to share into it afterwards.",
        )
    if not site.exists() or not os.listdir(site):
        return
    marker = _marker(site)
    if marker is None or marker.get("email", email) != email:
        raise UserError(
            f"{site} already holds files, and syftd did not make it",
            "Choose a new folder with --data DIR, and copy the files into the new datasite afterwards.",
        )


def make_datasite(data: Path, email: Email) -> None:
    """Creates what is missing of the data folder and the own datasite; leaves everything that is there alone."""
    _make(data)
    site = data / "datasites" / email
    for folder in (*(data / name for name in _OUR_FOLDERS), site, site / ".syft"):
        make_private(folder)
    if _marker(site) is None:
        made = {"id": SystemRandom().uuid(), "email": str(email), "created": SystemClock().now()}
        _write_new(site / MARKER, json.dumps(made, indent=1).encode() + b"\n")
    for name in ("public", "private", "app_data/job/inbox", "app_data/job/review"):
        (site / name).mkdir(parents=True, exist_ok=True)
    os.chmod(site / "private", 0o700)
    rules = site / "public" / PERMISSION_FILE
    if not rules.exists():
        _write_new(rules, _PUBLIC_RULES.encode())


def configuration(email: Email, data: Path, transports: Sequence[Choice]) -> str:
    """The commented default configuration with this person's values in it."""
    from syftd.service import template

    text = template("syftd.toml").decode("utf-8")
    blocks = []
    number = 0
    for folder in transports:
        if isinstance(folder, DriveChoice):
            block = '[[transport]]\nkind = "gdrive"\nname = "gdrive"'
            blocks.append(block + (f"\ndrive_endpoint = {_quoted(folder.endpoint)}" if folder.endpoint else ""))
            continue
        number += 1
        comment = (
            "# You trust this folder: whoever can read it can read what is sent through it until sealing is on."
            if folder.trusted
            else "# Not trusted: only content that everybody may read is put here."
        )
        blocks.append(
            f'[[transport]]\nkind = "folder"\nname = "folder{number if number > 1 else ""}"\n'
            f"path = {_quoted(str(folder.path))}\n{comment}\ntrusted = {'true' if folder.trusted else 'false'}"
        )
    filled = {_EMAIL_LINE: f"email = {_quoted(email)}", _DATA_LINE: f"data = {_quoted(str(data))}"}
    if blocks:
        filled[_TRANSPORT_LINE] = "\n\n".join(blocks)
    for line, value in filled.items():
        assert text.count(f"\n{line}\n") == 1, f"the template has lost its line {line!r}"
        text = text.replace(f"\n{line}\n", f"\n{value}\n")
    return text


def _explain(session: Session, transports: Sequence[Choice], *, logged_in: bool) -> None:
    for folder in transports:
        if isinstance(folder, DriveChoice):
            session.say(
                "Note: what travels through Google Drive can be read by Google until sealing is on."
                + ("" if logged_in else "\n  Log in before you start the daemon: syftd login --client-secrets FILE")
            )
        elif folder.trusted:
            session.say(
                f"Note: {visible(folder.path)} is trusted. Whoever can read that folder can read what is sent\n"
                "  through it until sealing is on. If that is too many, write `trusted = false` in the\n"
                "  configuration: then only content that everybody may read is carried."
            )
        else:
            session.say(f"Note: {visible(folder.path)} only carries content that everybody may read.")
    if not transports:
        session.say("Note: there is no transport yet, so nothing can reach your peers. Add one to the configuration.")


def _marker(site: Path) -> dict[str, Any] | None:
    try:
        found = json.loads((site / MARKER).read_bytes()[:4096])
    except (FileNotFoundError, ValueError):
        return None
    return found if isinstance(found, dict) and isinstance(found.get("id"), str) else None


def _make(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot create {path}: {error.strerror}", "Choose a place that you can write to.") from error


def _writable(text: str) -> Path:
    if not text or any(ord(char) < 32 or char == "\x7f" for char in text):
        raise UserError(f"{text!r} is not a path that syftd can use", "Write a path without control characters.")
    return Path(os.path.abspath(os.path.expanduser(text)))


def _quoted(text: str) -> str:
    """A TOML basic string; control characters were refused before."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _write_new(path: Path, content: bytes) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise UserError(f"{path} appeared just now", "Nothing was overwritten. Look at it, then try again.") from None
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


COMMANDS: Final = {"init": Command(_arguments, _run)}
