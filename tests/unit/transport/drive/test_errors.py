"""Every reason that Drive gives becomes an error that says what to do next."""

from __future__ import annotations

import json
import ssl

import httplib2
import pytest
from google.auth import exceptions as auth
from googleapiclient.errors import HttpError

from syftd.errors import (
    AuthNeeded,
    Exists,
    Gone,
    Permanent,
    Quota,
    Refused,
    Transient,
    TransportError,
)
from syftd.transport.drive.errors import answer_error, login_error, raised, retry_after, told


def body(reason: str, message: str = "no") -> bytes:
    return json.dumps({"error": {"code": 400, "message": message, "errors": [{"reason": reason}]}}).encode()


@pytest.mark.parametrize(
    ("status", "reason", "kind"),
    [
        (403, "userRateLimitExceeded", Quota),
        (403, "rateLimitExceeded", Quota),
        (403, "sharingRateLimitExceeded", Quota),
        (403, "dailyLimitExceeded", Quota),
        (429, "", Quota),
        (500, "backendError", Transient),
        (503, "", Transient),
        (408, "", Transient),
        (401, "authError", AuthNeeded),
        (401, "", AuthNeeded),
        (403, "insufficientPermissions", AuthNeeded),
        (403, "accessNotConfigured", AuthNeeded),
        (404, "notFound", Gone),
        (410, "", Gone),
        (409, "fileIdInUse", Exists),
        (403, "insufficientFilePermissions", Refused),
        (403, "domainPolicy", Refused),
        (403, "", Refused),
        (403, "storageQuotaExceeded", Permanent),
        (403, "numChildrenInNonRootLimitExceeded", Permanent),
        (400, "badRequest", Permanent),
        (400, "invalidSharingRequest", Permanent),
    ],
)
def test_the_reason_decides_and_the_status_only_without_one(status: int, reason: str, kind: type[TransportError]) -> None:
    error = answer_error(status, {}, body(reason) if reason else b"<html>", "storing x", 0.0)
    assert type(error) is kind
    assert "storing x" in str(error) and str(status) in str(error)
    if kind in (AuthNeeded, Refused, Permanent) and reason != "badRequest":
        assert error.remedy


def test_a_wait_that_is_asked_for_is_honoured() -> None:
    busy = answer_error(429, {"Retry-After": "42"}, b"", "x", 0.0)
    assert isinstance(busy, Quota) and busy.after == 42
    down = answer_error(503, {"retry-after": "7"}, b"", "x", 0.0)
    assert isinstance(down, Quota) and down.after == 7
    sharing = answer_error(403, {}, body("sharingRateLimitExceeded"), "x", 0.0)
    assert isinstance(sharing, Quota) and sharing.after >= 60


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("5", 5.0), ("999999", 3600.0), ("Thu, 01 Jan 1970 00:01:40 GMT", 40.0), ("Thu, 01 Jan 1970 00:00:01 GMT", 0.0),
     ("soon", None), ("", None)],
)  # fmt: skip
def test_how_long_to_wait(text: str, seconds: float | None) -> None:
    assert retry_after({"retry-after": text} if text else {}, 60.0) == seconds


@pytest.mark.parametrize("content", [b"", b"<html>no</html>", b"[]", b'{"error": 3}', b'{"error": {"errors": "x"}}', b"\xff"])
def test_an_answer_that_is_none_of_drives_says_nothing(content: bytes) -> None:
    assert told(content) == ("", "")


def test_what_the_libraries_raise_is_understood_and_a_bug_is_not() -> None:
    refused = HttpError(httplib2.Response({"status": "404"}), body("notFound"))
    assert isinstance(raised(refused, "x", 0.0), Gone)
    for passing in (
        ConnectionResetError(), TimeoutError(), ssl.SSLError(), httplib2.ServerNotFoundError(), auth.TransportError(),
        json.JSONDecodeError("x", "y", 0), EOFError(),
    ):  # fmt: skip
        assert isinstance(raised(passing, "x", 0.0), Transient), passing
    own = Gone("x")
    assert raised(own, "x", 0.0) is own
    assert raised(KeyError("x"), "x", 0.0) is None


def test_a_login_that_cannot_be_renewed_is_one_clear_error_with_the_seven_day_trap() -> None:
    error = login_error(auth.RefreshError("invalid_grant: Token has been expired or revoked.", {"error": "invalid_grant"}))
    assert isinstance(error, AuthNeeded)
    assert "syftd login" in error.remedy and "seven days" in error.remedy and "Testing" in error.remedy
    gone = login_error(auth.RefreshError("invalid_client: The OAuth client was not found."))
    assert isinstance(gone, AuthNeeded) and "--client-secrets" in gone.remedy
    assert isinstance(login_error(auth.RefreshError("internal", retryable=True)), Transient)
    assert "1//secret" not in str(login_error(auth.RefreshError("bad token 1//secret")))
