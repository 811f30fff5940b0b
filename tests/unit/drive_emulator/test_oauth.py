from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import google.auth.exceptions
import pytest
import requests
from google.auth.transport.requests import Request
from google.oauth2.credentials import Credentials
from google_auth_oauthlib.flow import Flow
from googleapiclient.discovery import build_from_document

from tests.drive_emulator import DriveEmulator
from tests.unit.drive_emulator.conftest import OWNER
from tests.unit.drive_emulator.seam import FakeClock, Reply

Send = Callable[..., Reply]
SCOPE = "https://www.googleapis.com/auth/drive"
HERE = "http://127.0.0.1:1/done"
VERIFIER = "v" * 64
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).decode().rstrip("=")


def consent(send: Send, **changes: str) -> dict[str, str]:
    """Visits the consent page; what comes back to the client."""
    query = {
        "client_id": "c", "redirect_uri": HERE, "response_type": "code", "scope": SCOPE, "state": "s", "login_hint": OWNER,
        "code_challenge": CHALLENGE, "code_challenge_method": "S256",
    } | changes  # fmt: skip
    reply = send("GET", f"/auth?{urlencode(query)}", user="")
    assert reply.status == 302, reply.body
    assert reply.headers["Location"].startswith(query["redirect_uri"])
    return {name: values[0] for name, values in parse_qs(urlsplit(reply.headers["Location"]).query).items()}


def token(send: Send, **form: str) -> Reply:
    kind = "application/x-www-form-urlencoded"
    return send("POST", "/token", urlencode(form).encode(), user="", Content_Type=kind)


def exchange(send: Send, issued: str, **changes: str) -> Reply:
    form = {"grant_type": "authorization_code", "client_id": "c", "redirect_uri": HERE, "code_verifier": VERIFIER, "code": issued}
    return token(send, **(form | changes))


def about(send: Send, bearer: str) -> Reply:
    return send("GET", "/drive/v3/about?fields=user(emailAddress)", user=bearer)


def test_googles_own_login_flow_signs_a_person_in(emulator: DriveEmulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")  # The loopback has no TLS.
    places = {"auth_uri": f"{emulator.url}/auth", "token_uri": f"{emulator.url}/token"}
    secrets = {"installed": places | {"client_id": "c", "client_secret": "s", "redirect_uris": [HERE]}}
    flow = Flow.from_client_config(secrets, scopes=[SCOPE], redirect_uri=HERE, autogenerate_code_verifier=True)
    address, _ = flow.authorization_url(access_type="offline", login_hint=OWNER)
    back = requests.get(address, allow_redirects=False, timeout=10).headers["Location"]
    flow.fetch_token(authorization_response=back)
    credentials = flow.credentials
    drive = build_from_document(emulator.document(), credentials=credentials)
    assert drive.about().get(fields="user").execute()["user"]["emailAddress"] == OWNER
    first = credentials.token
    credentials.refresh(Request())
    assert credentials.token != first
    assert drive.about().get(fields="user").execute()["user"]["emailAddress"] == OWNER
    emulator.service.oauth.revoke(OWNER)
    with pytest.raises(google.auth.exceptions.RefreshError, match="invalid_grant"):
        credentials.refresh(Request())


def test_a_code_is_exchanged_once(send: Send, owner: Any) -> None:
    back = consent(send)
    assert (back["state"], back["scope"]) == ("s", SCOPE)
    first = exchange(send, back["code"])
    assert first.json()["token_type"] == "Bearer"
    assert about(send, first.json()["access_token"]).json() == {"user": {"emailAddress": OWNER}}
    second = exchange(send, back["code"])
    assert (second.status, second.json()["error"]) == (400, "invalid_grant")


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"code_verifier": "w" * 64}, "invalid_grant"),
        ({"code_verifier": ""}, "invalid_grant"),
        ({"redirect_uri": "http://127.0.0.1:2/"}, "redirect_uri_mismatch"),
        ({"client_id": "d"}, "unauthorized_client"),
        ({"code": "4/guess"}, "invalid_grant"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
    ],
)
def test_a_code_is_good_only_for_the_one_who_asked_for_it(send: Send, owner: Any, changes: dict[str, str], error: str) -> None:
    reply = exchange(send, consent(send)["code"], **changes)
    assert (reply.status, reply.json()["error"]) == (400, error)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"login_hint": ""}, "access_denied"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"scope": ""}, "invalid_request"),
        ({"code_challenge_method": "rot13"}, "invalid_request"),
    ],
)
def test_a_refused_consent_comes_back_as_an_error(send: Send, owner: Any, changes: dict[str, str], error: str) -> None:
    back = consent(send, **changes)
    assert (back["error"], back["state"]) == (error, "s")
    assert "code" not in back


def test_a_browser_is_sent_nowhere_but_to_this_machine(send: Send, owner: Any) -> None:
    query = urlencode({"client_id": "c", "redirect_uri": "https://elsewhere.example.org/", "response_type": "code"})
    assert send("GET", f"/auth?{query}").status == 400
    assert send("GET", "/auth?response_type=code").status == 400


def test_the_one_who_consents_may_be_set(send: Send, emulator: DriveEmulator) -> None:
    emulator.configure(default_user="set@x.org")
    reply = exchange(send, consent(send, login_hint="")["code"])
    assert about(send, reply.json()["access_token"]).json()["user"]["emailAddress"] == "set@x.org"


def test_access_tokens_expire_and_are_refreshed(send: Send, owner: Any, clock: FakeClock) -> None:
    granted = exchange(send, consent(send)["code"]).json()
    clock.advance(granted["expires_in"] + 1)
    assert about(send, granted["access_token"]).status == 401
    again = token(send, grant_type="refresh_token", client_id="c", refresh_token=granted["refresh_token"])
    assert about(send, again.json()["access_token"]).status == 200
    assert "refresh_token" not in again.json()
    other = token(send, grant_type="refresh_token", client_id="d", refresh_token=granted["refresh_token"])
    assert other.json()["error"] == "unauthorized_client"


def test_tokens_are_revoked(send: Send, owner: Any) -> None:
    granted = exchange(send, consent(send)["code"]).json()
    assert send("POST", "/_revoke", {"user": OWNER, "only": "access"}).status == 200
    assert about(send, granted["access_token"]).status == 401
    assert about(send, OWNER).status == 200
    send("POST", "/_revoke", {"user": OWNER})
    assert about(send, OWNER).reason() == "authError"
    again = token(send, grant_type="refresh_token", client_id="c", refresh_token=granted["refresh_token"])
    assert again.json()["error"] == "invalid_grant"
    send("POST", "/_revoke", {"user": OWNER, "undo": True})
    assert about(send, OWNER).status == 200
    granted = exchange(send, consent(send)["code"]).json()
    form = urlencode({"token": granted["refresh_token"]}).encode()
    assert send("POST", "/revoke", form, user="").status == 200
    assert about(send, granted["access_token"]).status == 401
    assert send("POST", "/revoke", form, user="").json()["error"] == "invalid_token"


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Bearer nobody", "Basic " + OWNER, "Bearer a@b@c", "Bearer a b@c"])
def test_whoever_does_not_sign_in_is_refused(send: Send, owner: Any, header: str) -> None:
    reply = send("GET", "/drive/v3/files", user="", **({"Authorization": header} if header else {}))
    assert (reply.status, reply.reason()) == (401, "authError")
    assert reply.headers["WWW-Authenticate"].startswith("Bearer")


def test_an_expired_client_is_told_so(emulator: DriveEmulator) -> None:
    drive = build_from_document(emulator.document(), credentials=Credentials("expired"))
    with pytest.raises(google.auth.exceptions.RefreshError):
        drive.files().list().execute()


def test_a_token_tells_its_address(send: Send, owner: Any) -> None:
    for path in ("/oauth2/v2/userinfo", "/oauth2/v3/userinfo"):
        assert send("GET", path).json()["email"] == OWNER
        assert send("GET", path, user="").status == 401


def test_signing_in_may_fail_on_order(send: Send, emulator: DriveEmulator) -> None:
    emulator.inject({"match": {"method": "oauth2.token", "times": 1}, "action": {"error": "serviceUnavailable"}})
    assert exchange(send, "4/x").status == 503
    assert exchange(send, "4/x").json()["error"] == "invalid_grant"
