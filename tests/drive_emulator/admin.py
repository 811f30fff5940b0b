"""What the real service does not have: counts, faults, settings and a way to start afresh. Paths begin with "/_"."""

from __future__ import annotations

import json
from typing import Any, Final

from tests.drive_emulator.message import Request, Response, json_response
from tests.drive_emulator.service import Service

ADMIN_PATHS: Final = ("/_stats", "/_reset", "/_faults", "/_settings", "/_revoke", "/_mail", "/_channels")


def administer(service: Service, request: Request) -> Response:
    """Answers a request to one of `ADMIN_PATHS`."""
    try:
        body: Any = json.loads(request.body) if request.body.strip() else {}
        with service.lock:
            return _done(service, request, body)
    except ValueError as wrong:
        return json_response({"error": str(wrong)}, 400)


def _done(service: Service, request: Request, body: Any) -> Response:
    match request.http, request.path:
        case "GET", "/_stats":
            return json_response(service.stats.document())
        case "POST", "/_reset":
            service.reset()
            return json_response({})
        case "GET", "/_faults":
            return json_response(service.faults.listed())
        case "POST", "/_faults":
            service.faults.replace(body)
            return json_response(service.faults.listed())
        case "DELETE", "/_faults":
            service.faults.replace([])
            return json_response([])
        case "GET", "/_settings":
            return json_response(vars(service.settings))
        case "POST", "/_settings":
            service.settings.update(_object(body))
            return json_response(vars(service.settings))
        case "POST", "/_revoke":
            return _revoke(service, _object(body))
        case "GET", "/_mail":
            return json_response(service.mail)
        case "GET", "/_channels":
            return json_response(service.channels.failures())
    return json_response({"error": f"{request.http} is nothing that {request.path} does"}, 405)


def _revoke(service: Service, body: dict[str, Any]) -> Response:
    """{"user": address, "only": "access"} ends access tokens only; {"user": address, "undo": true} lets in again."""
    user = str(body.get("user", "")).lower()
    if not user:
        raise ValueError("whose tokens? give a user")
    if body.get("undo"):
        service.oauth.allow(user)
    elif body.get("only") == "access":
        service.oauth.expire(user)
    else:
        service.oauth.revoke(user)
    return json_response({})


def _object(body: Any) -> dict[str, Any]:
    if not isinstance(body, dict):
        raise ValueError("a JSON object is expected")
    return body
