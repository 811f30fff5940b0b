"""The service apart from its sockets: a request comes in, an answer goes out, and one lock keeps the store consistent."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from copy import copy
from typing import Any, Final

from tests.drive_emulator import batch, drives, feeds, files, listing, mask, permissions, uploads
from tests.drive_emulator.call import VERBS, Answer, Call, Download, Media
from tests.drive_emulator.channels import Channels
from tests.drive_emulator.cursors import Cursors
from tests.drive_emulator.errors import DriveError
from tests.drive_emulator.faults import Fault, Faults, Occasion
from tests.drive_emulator.message import Request, Response, error_response, json_response, parsed_json
from tests.drive_emulator.mime import parameter, split
from tests.drive_emulator.oauth import OAuth
from tests.drive_emulator.quota import Quota, units
from tests.drive_emulator.ranges import ranged
from tests.drive_emulator.schema import Discovery, Method, Mismatch
from tests.drive_emulator.settings import Settings
from tests.drive_emulator.stats import Stats
from tests.drive_emulator.store import Store

assert VERBS and drives and feeds and files and listing and permissions  # Importing them enters their verbs.

UPLOAD_PATHS: Final = ("/upload/", "/resumable/upload/")


class Service:
    """All state of the emulated service, and the way of a request through it."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.time) -> None:
        self.lock = threading.RLock()
        self.closing = threading.Event()
        self.root_url = ""
        self.discovery = Discovery()
        self.settings = settings
        self._first_settings = copy(settings)
        self._clock = clock
        self.channels = Channels(clock, lambda: self.root_url, lambda: self.store.new_id(27))
        self.faults = Faults()
        self._empty()

    def reset(self) -> None:
        """Back to the beginning: no files, no tokens, no faults, no counts, the settings of the start."""
        with self.lock:
            self.settings.update(vars(self._first_settings))
            self.faults.replace([])
            self.channels.reset()
            self._empty()

    def _empty(self) -> None:
        self.store = Store(self.settings, self._clock)
        self.store.feed.listeners.append(self.channels.changed)
        self.quota = Quota(self.settings, self._clock)
        self.oauth = OAuth(self.settings, self._clock)
        self.stats = Stats()
        self.cursors = Cursors()
        self.sessions: dict[str, uploads.Session] = {}
        self.mail: list[dict[str, str]] = []

    # The way of a request

    def answer(self, request: Request) -> Response:
        """Answers one HTTP request to the API, with whatever faults are due."""
        request = request.overridden()
        with self.lock:
            self.stats.requests += 1
        if request.path.lstrip("/") in (self.discovery.batch_path, "batch"):
            response = batch.answer(self, request)
        else:
            response = self.answer_call(request, in_batch=False)
        user = self._user_or_nobody(request)
        with self.lock:
            self.stats.statuses["broken" if response.broken else str(response.status)] += 1
            self.stats.bytes_in[user] += len(request.body)
            self.stats.bytes_out[user] += len(response.body)
        return response

    def answer_call(self, request: Request, in_batch: bool) -> Response:
        """Answers one method call, alone or out of a batch."""
        found = self._method(request)
        session = self._session(request)
        if session is not None:
            method_id, user = session.method_id, session.call.user
        else:
            method_id, user = found[0].id if found else "unknown", self._user_or_nobody(request)
        with self.lock:
            if session is None:
                self.stats.called(user, method_id, in_batch)
            phase = _phase(request)
            fault = self.faults.due(Occasion(method_id, request.http, request.target, user, phase))
        if fault.reset == "partial" and phase != "chunk":
            fault.reset = "full"
        return self.with_fault(fault, lambda partial: self._carried_out(request, found, session, in_batch, partial))

    def with_fault(self, fault: Fault, carry_out: Callable[[bool], Response]) -> Response:
        """Runs a call, and lets what is due go wrong. `carry_out` is told whether only half a chunk is to be kept."""
        if delay := max(self.settings.latency_ms, 0) + fault.latency_ms:
            self.closing.wait(delay / 1000)
        broken = Response(500, broken=True)
        spoilt = bool(fault.error or fault.stall_ms or fault.reset)
        if spoilt and not fault.after and fault.reset != "partial":
            if fault.stall_ms:
                self.closing.wait(fault.stall_ms / 1000)
            return error_response(fault.error) if fault.error else broken
        response = carry_out(fault.reset == "partial")
        if spoilt and fault.stall_ms:
            self.closing.wait(fault.stall_ms / 1000)
        if spoilt:
            return error_response(fault.error) if fault.error else broken
        if fault.corrupt and response.body:
            middle = len(response.body) // 2
            wrong = bytes([response.body[middle] ^ 0x55])
            response.body = response.body[:middle] + wrong + response.body[middle + 1 :]
        if fault.truncate is not None:
            part = fault.truncate
            response.sent = min(len(response.body), int(part if part >= 1 else part * len(response.body)))
        return response

    def _carried_out(
        self,
        request: Request,
        found: tuple[Method, dict[str, str]] | None,
        session: uploads.Session | None,
        in_batch: bool,
        partial: bool,
    ) -> Response:
        try:
            with self.lock:
                if session is not None:
                    return self._continued(request, session, partial)
                user = self.oauth.user(request)
                if "upload_id" in request.query:
                    raise DriveError(404, "notFound", "The upload session is not known, or over.")
                if found is None:
                    raise self._no_method(request)
                return self._called(request, user, *found, in_batch)
        except DriveError as error:
            return error_response(error)
        except Mismatch as mismatch:
            with self.lock:
                self.stats.violated(True, f"{request.http} {request.target}: {mismatch}")
            return error_response(DriveError(400, "invalidParameter", f"Not in the discovery document: {mismatch}."))

    def _called(self, request: Request, user: str, method: Method, path: dict[str, str], in_batch: bool) -> Response:
        query = request.query
        params = self.discovery.parsed(method, path, query)
        uploading = request.path.startswith(UPLOAD_PATHS)
        media_wanted = params.get("alt") == "media"
        if uploading and (in_batch or not method.takes_media):
            raise DriveError(400, "badRequest", "Media uploads are not possible here.")
        if media_wanted and (in_batch or method.id not in ("drive.files.get", "drive.files.export")):
            raise DriveError(400, "badRequest", "Media downloads are not possible here.")
        if params.get("alt") == "proto":
            raise DriveError(400, "badRequest", "This emulator answers in JSON only.")
        call = Call(user, params, self, wants_media=media_wanted)
        call.mask = self._mask(method, params)
        kind = params.get("uploadType", "")
        if uploading and kind not in ("media", "multipart", "resumable"):
            raise DriveError(400, "badRequest", f"uploadType must be media, multipart or resumable, not {kind!r}.")
        document = request.body
        if kind == "multipart" and uploading:
            document, call.media = _related(request)
        elif kind == "media" and uploading:
            call.media = Media(request.headers.get("content-type", "application/octet-stream"), request.body)
            document = b""
        call.body = self._body(method, document)
        if method.id not in VERBS:
            raise DriveError(501, "notImplemented", f"This emulator does not carry out {method.id}.")
        cost = units(method.id, media_wanted)
        self.quota.charge(user, cost)
        self.stats.units[user] += cost
        if kind == "resumable" and uploading:
            return self._begun(request, method, call)
        return self._performed(request, method, call)

    def _performed(self, request: Request, method: Method, call: Call) -> Response:
        result: Answer = VERBS[method.id](call)
        if isinstance(result, Download):
            return ranged(result, request.headers.get("range"))
        if result is None:
            return Response(204)
        if method.response:
            try:
                self.discovery.check(method.response, result)
            except Mismatch as mismatch:
                self.stats.violated(False, f"{method.id}: {mismatch}")
                raise DriveError(500, "emulatorViolation", f"The emulator's own answer is wrong: {mismatch}.") from mismatch
        if call.mask is not None:
            result = mask.apply(call.mask, result)
        return json_response(result)

    def _mask(self, method: Method, params: dict[str, Any]) -> mask.Mask | None:
        if method.response is None or params.get("alt") == "media":
            return None
        text = params.get("fields")
        if text is None:
            default = mask.DEFAULTS.get(method.id)
            return mask.parse(default) if default else None
        chosen = mask.parse(text)
        mask.validate(chosen, {"$ref": method.response}, self.discovery)
        return chosen

    def _body(self, method: Method, document: bytes) -> dict[str, Any]:
        if not document.strip():
            return {}
        if method.request is None:
            raise Mismatch(f"{method.id} takes no body")
        parsed = parsed_json(document)
        self.discovery.check(method.request, parsed)
        # A null says of a field that it is not set, which is how it is without it.
        return {name: value for name, value in parsed.items() if value is not None}

    # Resumable uploads

    def _begun(self, request: Request, method: Method, call: Call) -> Response:
        call.media = Media(request.headers.get("x-upload-content-type", "application/octet-stream"), b"")
        length = request.headers.get("x-upload-content-length")
        if length is not None and not length.isdecimal():
            raise DriveError(400, "badRequest", "X-Upload-Content-Length must be a number.")
        if method.id == "drive.files.create":
            files.check_create(call)
            self.store.check_room(call.user, int(length or 0))
        else:
            files.check_update(call)
        session = uploads.Session(
            id=secrets.token_urlsafe(48),
            method_id=method.id,
            call=call,
            content_type=call.media.content_type,
            announced=None if length is None else int(length),
        )
        self.sessions[session.id] = session
        location = f"{self.root_url}{request.path.lstrip('/')}?uploadType=resumable&upload_id={session.id}"
        return Response(200, b"", {"Location": location, "X-GUploader-UploadID": session.id})

    def _continued(self, request: Request, session: uploads.Session, partial: bool) -> Response:
        if request.http == "DELETE":
            del self.sessions[session.id]
            return Response(499)
        if request.http not in ("PUT", "POST"):
            raise DriveError(405, "httpMethodNotAllowed", "An upload session takes PUT.")
        if session.answer is not None:
            return session.answer
        piece = uploads.chunk(request.headers.get("content-range"), len(request.body), len(session.received))
        if partial:
            kept = len(request.body) // 2 // uploads.GRAIN * uploads.GRAIN
            uploads.append(session, uploads.Chunk(piece.start, None), request.body[:kept])
            return uploads.progress(session)
        if not uploads.append(session, piece, request.body):
            return uploads.progress(session)
        session.call.media = session.media()
        method = next(method for method in self.discovery.methods if method.id == session.method_id)
        session.answer = self._performed(request, method, session.call)
        session.received.clear()
        return session.answer

    def _session(self, request: Request) -> uploads.Session | None:
        asked = request.query.get("upload_id")
        if not asked or not request.path.startswith(UPLOAD_PATHS):
            return None
        with self.lock:
            return self.sessions.get(asked[0])

    # What a request is

    def _method(self, request: Request) -> tuple[Method, dict[str, str]] | None:
        path = request.path
        for prefix in UPLOAD_PATHS:
            if path.startswith(prefix):
                path = "/" + path.removeprefix(prefix)
        if not path.startswith("/" + self.discovery.service_path):
            return None
        return self.discovery.find(request.http, path.removeprefix("/" + self.discovery.service_path))

    def _no_method(self, request: Request) -> DriveError:
        self.stats.violated(True, f"{request.http} {request.target}: no such method")
        below = request.path.removeprefix("/" + self.discovery.service_path)
        if self.discovery.knows_path(below):
            return DriveError(405, "httpMethodNotAllowed", f"Not allowed here: {request.http}.")
        return DriveError(404, "notFound", f"The requested URL {request.path} was not found on this server.")

    def _user_or_nobody(self, request: Request) -> str:
        with self.lock:
            try:
                return self.oauth.user(request)
            except DriveError:
                return ""  # Counted under no name; the call itself is refused where it is carried out.


def _phase(request: Request) -> str:
    if not request.path.startswith(UPLOAD_PATHS):
        return "call"
    if "upload_id" in request.query:
        return "status" if request.headers.get("content-range", "").startswith("bytes */") else "chunk"
    return "start" if request.query.get("uploadType") == ["resumable"] else "call"


def _related(request: Request) -> tuple[bytes, Media]:
    content_type = request.headers.get("content-type", "")
    if not parameter(content_type, "boundary"):
        raise DriveError(400, "badContent", "A multipart upload needs a multipart/related body.")
    parts = split(content_type, request.body)
    if len(parts) != 2:
        raise DriveError(400, "badContent", f"A multipart upload has two parts, not {len(parts)}.")
    described, content = parts
    return described.data, Media(content.headers.get("content-type", "application/octet-stream"), content.data)
