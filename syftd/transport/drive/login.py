"""Logging in to Google Drive: the consent page in a browser, its answer on a port of this machine (or pasted), PKCE.

Every person brings an OAuth client of their own: one that came with syftd would share its quota among all its users.
"""

from __future__ import annotations

import html
import json
import os
import secrets
import selectors
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol, TextIO
from urllib.parse import parse_qs, urlsplit

from syftd.errors import UserError
from syftd.names import Email
from syftd.seams import Clock, Random
from syftd.transport.drive.auth import credentials_of, parse_token, require_scope
from syftd.transport.drive.layout import SCOPE
from syftd.transport.drive.service import Service

WAIT_SECONDS: Final = 600.0
_MOST_BYTES: Final = 64 * 1024
HOW: Final = (
    "Google wants every program that uses Drive to have an OAuth client. Make one of your own, once: in the Google console "
    "create a project, switch on the Google Drive API, set up the consent screen, create an OAuth client of the type "
    "“Desktop app”, download its JSON file, and run `syftd login --client-secrets FILE`. docs/google-drive.md shows every "
    "step."
)


@dataclass(frozen=True, slots=True)
class Client:
    """An OAuth client as Google's console writes it down."""

    config: dict[str, Any]

    @property
    def token_uri(self) -> str:
        """Where codes become tokens."""
        return str(next(iter(self.config.values()))["token_uri"])


def read_client(path: Path) -> Client:
    """The OAuth client in a file. Raises UserError that says what the file is instead."""
    try:
        content = path.read_bytes()[:_MOST_BYTES]
        found = json.loads(content)
    except FileNotFoundError:
        raise UserError(f"there is no OAuth client file at {path}", HOW) from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}", "Make it readable for you.") from error
    except ValueError:
        raise UserError(f"{path} is not an OAuth client file: it is not JSON", HOW) from None
    if isinstance(found, dict) and "web" in found:
        raise UserError(
            f"{path} is an OAuth client for web sites", "Create one of the type “Desktop app” in the Google console instead."
        )
    inner = found.get("installed") if isinstance(found, dict) else None
    if not isinstance(inner, dict) or not all(inner.get(key) for key in ("client_id", "auth_uri", "token_uri")):
        raise UserError(f"{path} is not an OAuth client file", HOW)
    return Client({"installed": inner})


class Browser(Protocol):
    """Opens a page for a person; False when there is no browser."""

    def __call__(self, address: str) -> bool: ...


def authorise(
    client: Client, email: Email, *, tell: Callable[[str], None], browser: Browser | None, paste: TextIO | None, port: int = 0,
    seconds: float = WAIT_SECONDS,
) -> dict[str, Any]:  # fmt: skip
    """Lets a person agree on Google's page and returns the token. `browser` None only shows the address; from `paste` a
    line with the address that the browser was sent to is taken as well. Raises UserError when it comes to nothing."""
    from google_auth_oauthlib.flow import Flow

    # The scopes that were granted are looked at here, with better words.
    os.environ.setdefault("OAUTHLIB_RELAX_TOKEN_SCOPE", "1")
    if urlsplit(client.token_uri).hostname in ("127.0.0.1", "localhost", "::1"):
        # A stand-in for Google on this machine; for every other host the library insists on https.
        os.environ.setdefault("OAUTHLIB_INSECURE_TRANSPORT", "1")
    state = secrets.token_urlsafe(24)
    with socket.create_server(("127.0.0.1", port)) as server:
        port = server.getsockname()[1]
        flow = Flow.from_client_config(
            client.config, scopes=[SCOPE], redirect_uri=f"http://127.0.0.1:{port}/", autogenerate_code_verifier=True
        )
        address, _ = flow.authorization_url(access_type="offline", prompt="consent", login_hint=str(email), state=state)
        opened = browser is not None and browser(address)
        tell(_instructions(address, port, opened=opened, paste=paste is not None))
        answer = _await(server, paste, seconds)
    code = _code(answer, state)
    try:
        flow.fetch_token(code=code)
    except Exception as error:  # noqa: BLE001 - several libraries raise what they like here; none of it may show a code.
        raise UserError(
            f"Google did not give a login for that answer ({type(error).__name__})", "Run `syftd login` again."
        ) from None
    granted = flow.oauth2session.token.get("scope") or []
    require_scope(granted.split() if isinstance(granted, str) else list(granted))
    token = parse_token(flow.credentials.to_json().encode(), "Google's answer")
    if "refresh_token" not in token:
        raise UserError(
            "Google gave a login that ends within the hour", "Remove syftd at myaccount.google.com/permissions, and try again."
        )
    return token


def account_of(token: dict[str, Any], endpoint: str, clock: Clock, random: Random) -> Email:
    """Whose login it is. Raises AuthNeeded, or Transient when Drive cannot be reached."""
    service = Service(_Given(token), clock, random, endpoint=endpoint)
    try:
        return service.account()
    finally:
        service.close()


def require_account(found: Email, email: Email) -> None:
    """Raises UserError unless the login is the datasite owner's."""
    if found != email:
        raise UserError(
            f"that login is for {found}, and this datasite is {email}'s",
            f"Choose the account {email} on Google's page, or make a datasite for {found} with --home DIR.",
        )


class _Given:
    """A token that is not stored yet."""

    def __init__(self, token: dict[str, Any]) -> None:
        self._credentials = credentials_of(token)

    def credentials(self) -> Any:
        return self._credentials


def _instructions(address: str, port: int, *, opened: bool, paste: bool) -> str:
    lines = ["A browser window opens for Google's consent page. If it does not, open this address:" if opened
             else "Open this address in a browser and agree:", "", f"  {address}", ""]  # fmt: skip
    if paste:
        lines += [
            "When you have agreed, the browser is sent to an address that begins with",
            f"  http://127.0.0.1:{port}/",
            "If that page cannot be shown because the browser runs on another machine, either copy the whole address from",
            "its address bar and paste it here, or forward the port first and load the page again:",
            f"  ssh -L {port}:127.0.0.1:{port} THIS-MACHINE",
        ]
    return "\n".join(lines)


def _await(server: socket.socket, paste: TextIO | None, seconds: float) -> str:
    """The address that the browser was sent to: from the browser itself, or pasted."""
    with selectors.DefaultSelector() as selector:
        selector.register(server, selectors.EVENT_READ)
        if paste is not None:
            try:
                selector.register(paste, selectors.EVENT_READ)
            except (ValueError, OSError, PermissionError):
                paste = None  # A file or nothing at all: only the browser can answer.
        typed = ""
        while True:
            ready = selector.select(seconds)
            if not ready:
                raise UserError(f"nobody agreed within {seconds:.0f} s", "Run `syftd login` again.")
            for key, _ in ready:
                if key.fileobj is server:
                    found = _take_request(server)
                else:
                    assert paste is not None
                    # Read past the stream's own buffer, which would keep lines from us that are here already.
                    more = os.read(paste.fileno(), _MOST_BYTES)
                    if not more:
                        selector.unregister(paste)
                    typed += more.decode("utf-8", "replace")
                    *lines, typed = typed.split("\n")
                    found = next((line.strip() for line in lines if _answers(line)), "")
                if _answers(found):
                    return found


def _answers(address: str) -> bool:
    """Whether that is where Google sends a browser after somebody has agreed, or has not."""
    return "code=" in address or "error=" in address


def _take_request(server: socket.socket) -> str:
    connection, _ = server.accept()
    with connection:
        connection.settimeout(5.0)
        received = b""
        try:
            while b"\r\n\r\n" not in received and len(received) < _MOST_BYTES:
                more = connection.recv(4096)
                if not more:
                    break
                received += more
            target = received.split(b" ", 2)[1].decode("ascii", "replace") if received.count(b" ") >= 2 else "/"
            done = "code=" in target
            words = "syftd has its answer. You can close this window." if done else "syftd waits for Google's answer."
            body = f"<!doctype html><meta charset=utf-8><title>syftd</title><p>{html.escape(words)}</p>".encode()
            connection.sendall(
                b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nConnection: close\r\n"
                b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
            )
        except OSError:
            return "/"  # A browser that opens connections in advance, and closes them again.
    return target


def _code(answer: str, state: str) -> str:
    given = parse_qs(urlsplit(answer).query)
    if "error" in given:
        raise UserError(f"Google says: {given['error'][0][:80]}", "Run `syftd login` again and agree to what is asked.")
    if not secrets.compare_digest(given.get("state", [""])[0], state):
        raise UserError("that answer belongs to another login", "Run `syftd login` again and paste the address it leads to.")
    return given["code"][0]

