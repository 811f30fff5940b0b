"""Refusals, in the shape in which the service writes them."""

from __future__ import annotations

from typing import Any, Final

_DOMAIN: Final = {
    "rateLimitExceeded": "usageLimits",
    "userRateLimitExceeded": "usageLimits",
    "dailyLimitExceeded": "usageLimits",
}
_STATUS: Final = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ALREADY_EXISTS",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
}


class DriveError(Exception):
    """An answer that is a refusal: an HTTP status and the reason that clients branch on."""

    def __init__(
        self,
        status: int,
        reason: str,
        message: str,
        *,
        location: str = "",
        location_type: str = "parameter",
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message
        self.location = location
        self.location_type = location_type
        self.retry_after = retry_after

    def document(self) -> dict[str, Any]:
        """The JSON body of the answer."""
        entry = {"message": self.message, "domain": _DOMAIN.get(self.reason, "global"), "reason": self.reason}
        if self.location:
            entry |= {"location": self.location, "locationType": self.location_type}
        return {
            "error": {
                "code": self.status,
                "message": self.message,
                "errors": [entry],
                "status": _STATUS.get(self.status, "UNKNOWN"),
            }
        }


def not_found(file_id: str) -> DriveError:
    """No such file, or none that the caller may know of."""
    return DriveError(404, "notFound", f"File not found: {file_id}.", location="fileId")


def invalid(message: str, location: str = "") -> DriveError:
    """A value that the service cannot make sense of."""
    return DriveError(400, "invalid", message, location=location)


def insufficient(name: str) -> DriveError:
    """The caller sees the file but may not do this to it."""
    return DriveError(
        403, "insufficientFilePermissions", f"The user does not have sufficient permissions for file {name}."
    )
