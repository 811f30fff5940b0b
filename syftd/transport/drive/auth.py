"""The stored Google login of one instance: read, written and renewed. The token never appears in a text of ours."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from threading import Lock
from typing import Any, Final

from syftd.errors import AuthNeeded, UserError
from syftd.places import make_private
from syftd.seams import SystemRandom
from syftd.transport.drive.errors import LOG_IN, login_error
from syftd.transport.drive.layout import SCOPE

GOOGLE_TOKEN_URI: Final = "https://oauth2.googleapis.com/token"
_MOST_BYTES: Final = 64 * 1024
_TEXTS: Final = ("token", "refresh_token", "token_uri", "client_id", "client_secret", "expiry")


def token_file(state: Path, transport: str) -> Path:
    """Where the login of the transport `transport` is kept below the instance's state directory."""
    return state / "keys" / f"gdrive-{transport}.json"


def parse_token(content: bytes, source: str) -> dict[str, Any]:
    """An authorised-user token as Google's tools write it. Raises UserError that names `source` and what is missing."""
    remedy = "Make one with `syftd login`, or import the authorised-user JSON file of another program."
    try:
        found = json.loads(content)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise UserError(f"{source} is not a token file: it holds no JSON object", remedy)
    if "installed" in found or "web" in found:
        raise UserError(f"{source} is an OAuth client file, not a token", "Give it as `syftd login --client-secrets FILE`.")
    if found.get("type") == "service_account" or "private_key" in found:
        raise UserError(
            f"{source} is a service account's key", "A service account owns no Drive storage: log in as a person instead."
        )
    token: dict[str, Any] = {key: found[key] for key in _TEXTS if isinstance(found.get(key), str) and found[key]}
    if "token" not in token and "access_token" in found:
        token["token"] = str(found["access_token"])
    renewable = all(key in token for key in ("refresh_token", "client_id", "client_secret"))
    if "token" not in token and not renewable:
        raise UserError(f"{source} holds neither an access token nor all that is needed to get one", remedy)
    scopes = found.get("scopes") or found.get("scope") or []
    scopes = scopes.split() if isinstance(scopes, str) else [str(scope) for scope in scopes]
    if scopes:
        require_scope(scopes)
        token["scopes"] = scopes
    return token


def require_scope(granted: list[str]) -> None:
    """Raises UserError unless the whole-Drive scope was granted."""
    if SCOPE not in granted:
        raise UserError(
            "the login does not allow syftd to use Google Drive",
            "Log in again and tick “See, edit, create, and delete all of your Google Drive files”: without it the folders "
            "that peers share cannot be found.",
        )


def save_token(path: Path, token: Mapping[str, Any]) -> None:
    """Writes the token for its owner's eyes only, whole or not at all."""
    make_private(path.parent)
    content = json.dumps({"type": "authorized_user", **token}, indent=1).encode() + b"\n"
    temp = path.with_name(f".{path.name}.{SystemRandom().token(8)}")
    descriptor = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temp, path)
    except OSError:
        temp.unlink(missing_ok=True)
        raise


def load_token(path: Path) -> dict[str, Any]:
    """The stored token. Raises AuthNeeded when there is none, when others can read it, or when it is damaged."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        raise AuthNeeded("nobody has logged in to Google Drive yet", LOG_IN) from None
    except OSError as error:
        raise AuthNeeded(f"the Google login at {path} cannot be read: {error.strerror}", LOG_IN) from error
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(file.fileno())
        if stat.S_IMODE(found.st_mode) & 0o077:
            raise AuthNeeded(f"others can read the Google login at {path}", f"Take that away: chmod 600 {path}")
        content = file.read(_MOST_BYTES)
    try:
        return parse_token(content, str(path))
    except UserError as error:
        raise AuthNeeded(str(error), LOG_IN) from None


def credentials_of(token: Mapping[str, Any]) -> Any:
    """The token as google-auth's credentials. One without a time of expiry is used until Google refuses it."""
    from google.oauth2.credentials import Credentials

    expiry = None
    if isinstance(token.get("expiry"), str):
        try:
            # google-auth compares with UTC without a zone.
            expiry = datetime.fromisoformat(token["expiry"].rstrip("Z")).replace(tzinfo=None)
        except ValueError:
            expiry = datetime.fromtimestamp(0)
    return Credentials(
        token.get("token"),
        refresh_token=token.get("refresh_token"),
        token_uri=token.get("token_uri", GOOGLE_TOKEN_URI),
        client_id=token.get("client_id"),
        client_secret=token.get("client_secret"),
        scopes=token.get("scopes"),
        expiry=expiry,
    )


class Login:
    """The login in a file, for all threads; a new login by `syftd login` is noticed at the next use."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = Lock()
        self._seen: tuple[int, int, int] | None = None
        self._credentials: Any = None

    def credentials(self) -> Any:
        """Credentials that are valid now, renewed when need be. Raises AuthNeeded, or Transient when Google's login
        service cannot be reached."""
        with self._lock:
            stamp = self._stamp()
            if stamp is None or stamp != self._seen:
                self._credentials = credentials_of(load_token(self.path))
                self._seen = stamp
            found = self._credentials
            if found.refresh_token and (found.expired or not found.token):
                self._renew(found)
            return found

    def _renew(self, credentials: Any) -> None:
        from google.auth import exceptions
        from google_auth_httplib2 import Request
        from googleapiclient.http import build_http

        from syftd.transport.drive.errors import raised

        try:
            credentials.refresh(Request(build_http()))
        except exceptions.TransportError as error:
            mapped = raised(error, "renewing the Google login", 0.0)
            assert mapped is not None
            raise mapped from None
        except exceptions.GoogleAuthError as error:
            # Without its cause: what Google answered may hold more than people should find in a log.
            raise login_error(error) from None

    def _stamp(self) -> tuple[int, int, int] | None:
        try:
            found = os.stat(self.path, follow_symlinks=False)
        except OSError:
            return None
        return (found.st_mtime_ns, found.st_ino, found.st_mode)
