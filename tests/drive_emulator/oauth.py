"""Signing in: consent page, tokens, their revocation, and who a bearer token stands for."""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

from tests.drive_emulator.errors import DriveError
from tests.drive_emulator.item import permission_id
from tests.drive_emulator.message import Request, Response, json_response
from tests.drive_emulator.settings import Settings

_ADDRESS: Final = re.compile(r"[^\s@:/]+@[^\s@:/]+")


@dataclass(frozen=True)
class _Code:
    user: str
    client_id: str
    redirect_uri: str
    scope: str
    challenge: str
    method: str


@dataclass(frozen=True)
class _Access:
    user: str
    expires: float


@dataclass(frozen=True)
class _Refresh:
    user: str
    client_id: str
    scope: str


class OAuth:
    """Codes and tokens. Besides what it issues, a bare address is a valid bearer token for that person."""

    def __init__(self, settings: Settings, clock: Callable[[], float]) -> None:
        self._settings = settings
        self._clock = clock
        self._codes: dict[str, _Code] = {}
        self._access: dict[str, _Access] = {}
        self._refresh: dict[str, _Refresh] = {}
        self._barred: set[str] = set()

    def user(self, request: Request) -> str:
        """Whom the request's bearer token signs in. Raises DriveError (401 authError)."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if not token and (given := request.query.get("access_token")):
            scheme, token = "bearer", given[0]
        token = token.strip()
        if scheme.lower() != "bearer" or not token:
            raise _unauthorized("Login Required." if not token else "Invalid Credentials")
        issued = self._access.get(token)
        if issued is not None and self._clock() < issued.expires:
            return issued.user
        address = token.lower()
        if issued is not None or not _ADDRESS.fullmatch(address) or address in self._barred:
            raise _unauthorized("Invalid Credentials")
        return address

    def revoke(self, user: str, bar: bool = True) -> None:
        """Ends every token of a person; with `bar`, their bare address signs nobody in any more. Undone by `allow`."""
        self._access = {token: each for token, each in self._access.items() if each.user != user}
        self._refresh = {token: each for token, each in self._refresh.items() if each.user != user}
        if bar:
            self._barred.add(user)

    def allow(self, user: str) -> None:
        """Lets a bare address sign in again."""
        self._barred.discard(user)

    def expire(self, user: str) -> None:
        """Ends the access tokens of a person, but not the refresh tokens."""
        self._access = {token: each for token, each in self._access.items() if each.user != user}

    def authorize(self, request: Request) -> Response:
        """GET /auth: consents at once, and sends the browser back with a code."""
        query = {name: values[0] for name, values in request.query.items()}
        redirect, client = query.get("redirect_uri", ""), query.get("client_id", "")
        user = (query.get("login_hint") or self._settings.default_user).lower()
        if not redirect or not client:
            return Response(400, b"client_id and redirect_uri are required\n", {"Content-Type": "text/plain"})
        if urlsplit(redirect).hostname not in ("127.0.0.1", "localhost", "::1"):
            return Response(400, b"Error 400: redirect_uri_mismatch\n", {"Content-Type": "text/plain"})
        answer = {"state": query["state"]} if "state" in query else {}
        method = query.get("code_challenge_method", "plain")
        if query.get("response_type") != "code":
            answer["error"] = "unsupported_response_type"
        elif method not in ("plain", "S256") or not query.get("scope"):
            answer["error"] = "invalid_request"
        elif not _ADDRESS.fullmatch(user):
            answer["error"] = "access_denied"
        else:
            code = "4/" + secrets.token_urlsafe(32)
            self._codes[code] = _Code(user, client, redirect, query["scope"], query.get("code_challenge", ""), method)
            answer |= {"code": code, "scope": query["scope"]}
        joint = "&" if "?" in redirect else "?"
        return Response(302, b"", {"Location": redirect + joint + urlencode(answer)})

    def token(self, request: Request) -> Response:
        """POST /token: an authorization code or a refresh token for an access token."""
        form = {name: values[0] for name, values in parse_qs(request.body.decode("utf-8", "replace")).items()}
        form.setdefault("client_id", _basic_name(request.headers.get("authorization", "")))
        match form.get("grant_type"):
            case "authorization_code":
                return self._exchanged(form)
            case "refresh_token":
                return self._refreshed(form)
        return _refused("unsupported_grant_type", f"Invalid grant_type: {form.get('grant_type', '')}")

    def revoked(self, request: Request) -> Response:
        """POST /revoke: ends one token, and with it the whole grant."""
        form = parse_qs(request.body.decode("utf-8", "replace")) | request.query
        token = form.get("token", [""])[0]
        owner = self._refresh.get(token) or self._access.get(token)
        if owner is None:
            return _refused("invalid_token", "Token expired or revoked")
        self.revoke(owner.user, bar=False)
        return json_response({})

    def userinfo(self, user: str) -> Response:
        """GET /oauth2/v2/userinfo."""
        return json_response({"id": permission_id(user), "sub": permission_id(user), "email": user, "verified_email": True})

    def _exchanged(self, form: dict[str, str]) -> Response:
        # A code is good for one try, whether or not the try succeeds.
        code = self._codes.pop(form.get("code", ""), None)
        if code is None:
            return _refused("invalid_grant", "Malformed auth code.")
        if form.get("client_id") != code.client_id:
            return _refused("unauthorized_client", "Unauthorized")
        if form.get("redirect_uri") != code.redirect_uri:
            return _refused("redirect_uri_mismatch", "Bad Request")
        if not _verified(code, form.get("code_verifier", "")):
            return _refused("invalid_grant", "Invalid code verifier.")
        refresh = "1//" + secrets.token_urlsafe(48)
        self._refresh[refresh] = _Refresh(code.user, code.client_id, code.scope)
        return self._issued(code.user, code.scope, refresh)

    def _refreshed(self, form: dict[str, str]) -> Response:
        known = self._refresh.get(form.get("refresh_token", ""))
        if known is None:
            return _refused("invalid_grant", "Token has been expired or revoked.")
        if form.get("client_id") != known.client_id:
            return _refused("unauthorized_client", "Unauthorized")
        return self._issued(known.user, known.scope, "")

    def _issued(self, user: str, scope: str, refresh: str) -> Response:
        lifetime = self._settings.access_token_seconds
        token = "ya29." + secrets.token_urlsafe(48)
        self._access[token] = _Access(user, self._clock() + lifetime)
        answer: dict[str, Any] = {"access_token": token, "expires_in": lifetime, "scope": scope, "token_type": "Bearer"}
        return json_response(answer | ({"refresh_token": refresh} if refresh else {}))


def _basic_name(header: str) -> str:
    """The client id when it travels as HTTP Basic credentials, as some clients send it; "" otherwise."""
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return ""
    try:
        return unquote(base64.b64decode(encoded, validate=True).decode().partition(":")[0])
    except ValueError:
        return ""


def _verified(code: _Code, verifier: str) -> bool:
    """PKCE: whether the one who redeems the code is the one who asked for it."""
    if not code.challenge:
        return True
    if code.method == "S256":
        digest = hashlib.sha256(verifier.encode()).digest()
        verifier = base64.urlsafe_b64encode(digest).decode().rstrip("=")
    return secrets.compare_digest(verifier.encode(), code.challenge.encode())


def _refused(error: str, description: str) -> Response:
    return json_response({"error": error, "error_description": description}, 400)


def _unauthorized(message: str) -> DriveError:
    return DriveError(401, "authError", message, location="Authorization", location_type="header")
