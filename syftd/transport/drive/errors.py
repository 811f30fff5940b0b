"""What Drive's errors mean: every reason it gives becomes one of the errors that say what to do next.

Branching is on ``error.errors[].reason``; the HTTP status decides only where there is no reason or an unknown one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any, Final

from syftd.errors import (
    AuthNeeded,
    Exists,
    Gone,
    Permanent,
    Quota,
    Refused,
    SyftdError,
    Transient,
    TransportError,
)

LOG_IN: Final = "Run `syftd login`; the daemon goes on by itself afterwards."
_SEVEN_DAYS: Final = (
    " If it happens every seven days, your OAuth consent screen is still in “Testing”: publish it to “In production” "
    "(docs/google-drive.md)."
)
_ADMIN: Final = "Ask the administrator of your Google Workspace, or use another account or transport."

_WAIT: Final[dict[str, float]] = {
    "userRateLimitExceeded": 1.0,
    "rateLimitExceeded": 1.0,
    "sharingRateLimitExceeded": 900.0,
    "dailyLimitExceeded": 3600.0,
    "dailyLimitExceededUnreg": 3600.0,
    "quotaExceeded": 60.0,
    "downloadQuotaExceeded": 3600.0,
    "uploadQuotaExceeded": 3600.0,
}
"""Seconds to wait at least, when the answer does not say how long."""

_PERMANENT: Final[dict[str, str]] = {
    "storageQuotaExceeded": "Your Google storage is full: free some (one.google.com/storage), or get more.",
    "numChildrenInNonRootLimitExceeded": "A folder on Drive holds as many things as one may: empty its archive.",
    "teamDriveFileLimitExceeded": "The shared drive holds as many things as one may: remove some.",
    "activeItemCreationLimitExceeded": "This account owns as many things as one may: remove some.",
    "invalidSharingRequest": "Drive can only share with an address that has a Google account: ask your peer for theirs.",
    "cannotDownloadAbusiveFile": "Google holds this file to be harmful and lets only its owner read it.",
}
_REFUSED: Final = (
    "domainPolicy", "shareOutNotPermitted", "shareInNotPermitted", "publishOutNotPermitted",
    "targetUserRoleLimitedByLicenseRestriction", "teamDriveDomainUsersOnlyRestriction", "teamDriveTeamMembersOnlyRestriction",
)  # fmt: skip
_LOGIN: Final = ("authError", "expired", "required", "insufficientPermissions", "ACCESS_TOKEN_SCOPE_INSUFFICIENT")
_DISABLED: Final = ("accessNotConfigured", "SERVICE_DISABLED")
_NO_RIGHT: Final = ("insufficientFilePermissions", "insufficientParentPermissions", "forbidden", "appNotAuthorizedToFile")
_GONE: Final = ("notFound", "fileNotFound", "deleted")
_TAKEN: Final = ("fileIdInUse", "conflict", "duplicate", "alreadyExists")
_TRANSIENT: Final = ("backendError", "internalError", "transientError", "backendNotConnected")


def answer_error(status: int, headers: Mapping[str, str], body: bytes, what: str, now: float) -> TransportError:
    """The error that an HTTP answer stands for. `what` says what was tried; `now` is in seconds since the epoch.

    Gone, Exists and a missing right are answers about one thing; the caller knows what that was and may say it better.
    """
    reason, message = told(body)
    words = f"{what}: Drive says {message or reason or 'no more than'} (HTTP {status}{', ' + reason if reason else ''})"
    wait = retry_after(headers, now)
    if reason in _WAIT:
        return Quota(words, "syftd waits and goes on by itself.", after=max(wait or 0.0, _WAIT[reason]))
    if reason in _PERMANENT:
        return Permanent(words, _PERMANENT[reason])
    if reason in _REFUSED:
        return Refused(words, _ADMIN)
    if reason in _DISABLED:
        return AuthNeeded(words, "Switch on the Google Drive API for your project in the Google console (docs/google-drive.md).")
    if reason in _LOGIN or status == 401:
        return AuthNeeded(words, LOG_IN)
    if reason in _NO_RIGHT:
        return Refused(words, "Its owner does not let this account do that (any more).")
    if reason in _TAKEN or status == 409:
        return Exists(words)
    if reason in _GONE or status in (404, 410):
        return Gone(words)
    if status == 429:
        return Quota(words, "syftd waits and goes on by itself.", after=max(wait or 0.0, 1.0))
    if reason in _TRANSIENT or status in (408, 425) or status >= 500:
        # A service that says when to come again is believed; otherwise the usual back-off decides.
        return Quota(words, "", after=wait) if wait else Transient(words)
    if status == 403:
        return Refused(words, "Its owner, or your Google account's rules, do not allow that.")
    return Permanent(words)


def told(body: bytes) -> tuple[str, str]:
    """The reason and the message inside an error answer; empty where it is not one of Drive's."""
    try:
        error = json.loads(body[:65536])["error"]
        if isinstance(error, str):  # The token endpoint's form.
            return error[:80], ""
        details = error.get("errors") or error.get("details") or [{}]
        first = details[0] if isinstance(details, list) and details and isinstance(details[0], dict) else {}
        reason = first.get("reason") or error.get("status") or ""
        return str(reason)[:80], " ".join(str(error.get("message") or "").split())[:300]
    except (ValueError, KeyError, TypeError, AttributeError):
        return "", ""


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """The seconds that an answer asks us to wait, None when it does not; at most an hour."""
    text = next((value for key, value in headers.items() if key.lower() == "retry-after"), "")
    if text.strip().isdigit():
        return min(3600.0, float(text))
    try:
        return max(0.0, min(3600.0, parsedate_to_datetime(text).timestamp() - now)) if text else None
    except (ValueError, TypeError):
        return None


def login_error(error: BaseException) -> TransportError:
    """What a failed renewal of the access token means. The words of the error carry no token."""
    retryable = bool(getattr(error, "retryable", False))
    if retryable:
        return Transient(f"Google's login service did not answer properly: {type(error).__name__}")
    words = str(error)
    if "invalid_grant" in words:
        return AuthNeeded("Google does not accept the stored login any more: it was revoked or has expired", LOG_IN + _SEVEN_DAYS)
    if "invalid_client" in words or "deleted_client" in words:
        return AuthNeeded(
            "Google does not know the OAuth client that this login was made with",
            "Make a new OAuth client in the Google console (docs/google-drive.md), then run "
            "`syftd login --client-secrets FILE`.",
        )
    return AuthNeeded("the stored Google login cannot be renewed", LOG_IN + _SEVEN_DAYS)


def raised(error: BaseException, what: str, now: float) -> SyftdError | None:
    """What an exception of Google's libraries, of HTTP or of the network means; None for a bug of ours."""
    import http.client
    import ssl

    import httplib2
    from google.auth import exceptions as auth
    from googleapiclient import errors as api

    if isinstance(error, SyftdError):
        return error
    if isinstance(error, api.HttpError):
        headers: dict[str, Any] = dict(error.resp)
        return answer_error(int(error.resp.status), headers, error.content or b"", what, now)
    if isinstance(error, auth.TransportError):
        return Transient(f"{what}: Google's login service cannot be reached")
    if isinstance(error, (auth.RefreshError, auth.GoogleAuthError)):
        return login_error(error)
    if isinstance(error, (api.Error, httplib2.HttpLib2Error, http.client.HTTPException, ssl.SSLError, OSError, EOFError)):
        return Transient(f"{what}: the connection to Drive failed ({type(error).__name__}: {str(error)[:200]})")
    if isinstance(error, ValueError):
        # What should have been JSON was not: something between us and Drive answered, or cut the answer.
        return Transient(f"{what}: the answer was not Drive's ({type(error).__name__})")
    return None
