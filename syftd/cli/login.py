"""`syftd login` and `syftd logout`: the Google account that a transport uses."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from syftd.cli.session import Command, Parser, Session
from syftd.errors import AuthNeeded, NotRunning, SyftdError, UserError
from syftd.places import make_private

if TYPE_CHECKING:
    from syftd.config import Settings, TransportSettings


def _login_arguments(parser: Parser) -> None:
    parser.add_argument("--client-secrets", metavar="FILE", help="your OAuth client, as the Google console writes it")
    parser.add_argument("--token-file", metavar="FILE", help="take over the authorised-user token of another program")
    parser.add_argument("--no-browser", action="store_true", help="show the address instead of opening a browser")
    parser.add_argument("--port", type=int, default=0, help="where the browser's answer is awaited (default: any free one)")
    parser.add_argument("--transport", metavar="NAME", help="which transport, when there are several on Google Drive")


def _logout_arguments(parser: Parser) -> None:
    parser.add_argument("--transport", metavar="NAME", help="which transport, when there are several on Google Drive")


def _login(session: Session, args: argparse.Namespace) -> int:
    from syftd import config
    from syftd.transport.drive import auth

    settings = config.load(session.places)
    transport = _chosen(settings, args.transport)
    path = auth.token_file(session.places.state, transport.name)
    if args.token_file and args.client_secrets:
        raise UserError("--token-file and --client-secrets do not go together", "A token brings its client with it.")
    if args.token_file:
        token = read_token(Path(args.token_file))
    else:
        token = _agreed(session, args, settings, path)
    verify(token, transport.drive_endpoint, settings)
    make_private(session.places.state)
    auth.save_token(path, token)
    session.answer(
        {"email": str(settings.email), "transport": transport.name, "token": str(path), "daemon": _wake(session, transport.name)},
        f"Logged in to Google Drive as {settings.email}. The login is kept in {path}, for your eyes only.",
    )
    return 0


def _logout(session: Session, args: argparse.Namespace) -> int:
    from syftd import config
    from syftd.transport.drive import auth

    settings = config.load(session.places)
    transport = _chosen(settings, args.transport)
    path = auth.token_file(session.places.state, transport.name)
    there = path.exists()
    path.unlink(missing_ok=True)
    _wake(session, transport.name)
    session.answer(
        {"transport": transport.name, "removed": there},
        "The login is removed from this machine. What Google itself knows of it you can end at "
        "https://myaccount.google.com/permissions."
        if there
        else "Nobody was logged in.",
    )
    return 0


def read_token(path: Path) -> dict[str, Any]:
    """The authorised-user token in a file of another program."""
    from syftd.transport.drive.auth import parse_token

    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}", "Name an authorised-user token file.") from error
    return parse_token(content, str(path))


def verify(token: dict[str, Any], endpoint: str, settings: Settings) -> None:
    """Raises UserError unless the token works and is the datasite owner's."""
    from syftd.seams import SystemClock, SystemRandom
    from syftd.transport.drive import login

    try:
        found = login.account_of(token, endpoint, SystemClock(), SystemRandom())
    except AuthNeeded as error:
        raise UserError(f"that login does not work: {error}", error.remedy) from None
    login.require_account(found, settings.email)


def _agreed(session: Session, args: argparse.Namespace, settings: Settings, path: Path) -> dict[str, Any]:
    """The token that a person gets by agreeing on Google's page. The client that was used last is remembered."""
    import shutil

    from syftd.transport.drive import login

    kept = path.with_suffix(".client.json")
    if args.client_secrets:
        chosen = Path(args.client_secrets)
    elif kept.exists():
        chosen = kept
    else:
        raise UserError("syftd needs an OAuth client of yours to log in to Google Drive", login.HOW)
    client = login.read_client(chosen)
    token = login.authorise(
        client, settings.email, tell=session.say, browser=None if args.no_browser else _browse,
        paste=sys.stdin if args.no_browser or not sys.stdout.isatty() else None, port=args.port,
    )  # fmt: skip
    if chosen != kept:
        make_private(kept.parent)
        descriptor = os.open(kept, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file, chosen.open("rb") as source:
            shutil.copyfileobj(source, file)
    return token


def _browse(address: str) -> bool:
    import webbrowser

    try:
        return webbrowser.open(address)
    except webbrowser.Error:
        return False


def _chosen(settings: Settings, name: str | None) -> TransportSettings:
    """The transport that is meant."""
    found = [item for item in settings.transport if item.kind == "gdrive" and name in (None, item.name)]
    if not found:
        text = f"there is no transport “{name}” on Google Drive" if name else "no transport of yours is on Google Drive"
        raise UserError(text, 'Add to syftd.toml:  [[transport]]  kind = "gdrive"')
    if len(found) > 1:
        raise UserError(
            "several transports are on Google Drive", f"Name one: --transport {' or '.join(item.name for item in found)}."
        )
    return found[0]


def _wake(session: Session, name: str) -> bool:
    """Tells a running daemon that it can go on; whether there is one."""
    try:
        session.change(f"/v1/transports/{name}/retry")
    except NotRunning:
        return False
    except SyftdError as error:
        session.say(f"The daemon does not know this transport yet: {error}. Restart it.")
    return True


COMMANDS: Final = {"login": Command(_login_arguments, _login), "logout": Command(_logout_arguments, _logout)}
