"""The emulator on a socket: HTTP/1.1 with connections that stay open, one thread each, on 127.0.0.1 only."""

from __future__ import annotations

import contextlib
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import urlsplit

from tests.drive_emulator.admin import ADMIN_PATHS, administer
from tests.drive_emulator.batch import phrase
from tests.drive_emulator.errors import DriveError
from tests.drive_emulator.faults import Occasion
from tests.drive_emulator.message import Request, Response, error_response, json_response
from tests.drive_emulator.schema import document_for
from tests.drive_emulator.service import Service
from tests.drive_emulator.settings import Settings

_OAUTH: Final = {"/token": "oauth2.token", "/auth": "oauth2.auth", "/revoke": "oauth2.revoke"}


class DriveEmulator:
    """The service, listening. `url` ends without a slash; `close` ends every connection."""

    def __init__(
        self,
        port: int = 0,
        settings: Settings | None = None,
        faults: object = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Binds 127.0.0.1 on `port` (0 picks a free one). `faults` is a list of rules. Raises OSError or ValueError."""
        self.service = Service(settings or Settings(), clock)
        if faults is not None:
            self.service.faults.replace(faults)
        self._server = _Server(("127.0.0.1", port), self.service)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self.service.root_url = self.url + "/"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="drive-emulator", daemon=True)

    def start(self) -> DriveEmulator:
        """Begins to answer."""
        self._thread.start()
        return self

    def close(self) -> None:
        """Stops answering and frees the port."""
        self.service.closing.set()
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.end_connections()
        self._server.server_close()
        self.service.channels.close()

    def __enter__(self) -> DriveEmulator:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def document(self) -> dict[str, Any]:
        """The discovery document, for `googleapiclient.discovery.build_from_document`."""
        return document_for(self.url + "/")

    def stats(self) -> dict[str, Any]:
        """The same as GET /_stats."""
        with self.service.lock:
            return self.service.stats.document()

    def inject(self, *rules: dict[str, Any]) -> None:
        """Puts these fault rules in force instead of the ones before; without any, nothing goes wrong any more."""
        with self.service.lock:
            self.service.faults.replace(list(rules))

    def configure(self, **settings: int | str | None) -> None:
        """Changes settings while it runs."""
        with self.service.lock:
            self.service.settings.update(settings)

    def reset(self) -> None:
        """The same as POST /_reset."""
        self.service.reset()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], service: Service) -> None:
        super().__init__(address, _Connection)
        self.service = service
        self._connections: set[socket.socket] = set()
        self._lock = threading.Lock()

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        with self._lock:
            self._connections.add(connection)
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._connections.discard(request)
        super().shutdown_request(request)

    def end_connections(self) -> None:
        """Breaks off every connection, so that their threads end."""
        with self._lock:
            for connection in self._connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is no error of the emulator; anything else is, and is shown."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


class _Connection(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:
        """Silent; /_stats tells what was asked."""

    def _serve(self) -> None:
        body = self._read_body()
        if body is None:
            return
        fields = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.command, self.path, fields, body)
        try:
            response = _answered(self.server.service, request)
        except Exception as failure:
            # A fault of the emulator's own: tests must hear of it, wherever it happened.
            service = self.server.service
            with service.lock:
                service.stats.violated(False, f"{request.http} {request.target}: {type(failure).__name__}: {failure}")
            response = error_response(DriveError(500, "emulatorViolation", f"{type(failure).__name__}: {failure}"))
        self._send(response)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = _serve

    def _read_body(self) -> bytes | None:
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            return self._read_chunks()
        length = self.headers.get("Content-Length", "0")
        if not length.isdecimal():
            self.send_error(400, "Content-Length is no number")
            self.close_connection = True
            return None
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            # The client broke off; what arrived counts for nothing.
            self.close_connection = True
            return None
        return body

    def _read_chunks(self) -> bytes | None:
        pieces: list[bytes] = []
        while True:
            line = self.rfile.readline(1024)
            try:
                size = int(line.split(b";")[0], 16)
            except ValueError:
                self.close_connection = True
                return None
            if size == 0:
                while self.rfile.readline(65536) not in (b"\r\n", b"\n", b""):
                    pass
                return b"".join(pieces)
            piece = self.rfile.read(size)
            if len(piece) < size:
                self.close_connection = True
                return None
            pieces.append(piece)
            self.rfile.readline(16)

    def _send(self, response: Response) -> None:
        if response.broken:
            self._break()
            return
        self.send_response(response.status, phrase(response.status))
        for name, value in response.headers.items():
            self.send_header(name, value)
        if response.status != 204:
            self.send_header("Content-Length", str(len(response.body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if response.sent is not None and response.sent < len(response.body):
            self.wfile.write(response.body[: response.sent])
            self.wfile.flush()
            self.close_connection = True
            return
        self.wfile.write(response.body)

    def _break(self) -> None:
        """Closes with a reset, which a client cannot take for an answer."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        # All three share the descriptor, which goes only with the last; a shutdown would make it an orderly end.
        self.rfile.close()
        self.wfile.close()
        self.connection.close()
        raise ConnectionAbortedError("broken off on order")


def _answered(service: Service, request: Request) -> Response:
    path = urlsplit(request.target).path
    if path in ADMIN_PATHS:
        return administer(service, request)
    if path in _OAUTH:
        with service.lock:
            fault = service.faults.due(Occasion(_OAUTH[path], request.http, request.target, ""))
            service.stats.by_method[_OAUTH[path]] += 1
        return service.with_fault(fault, lambda partial: _signed_in(service, path, request))
    if path in ("/oauth2/v2/userinfo", "/oauth2/v3/userinfo"):
        with service.lock:
            try:
                return service.oauth.userinfo(service.oauth.user(request))
            except DriveError as error:
                return error_response(error)
    if path == "/discovery/v1/apis/drive/v3/rest":
        return json_response(document_for(service.root_url))
    if path == "/$discovery/rest":
        return json_response(document_for(service.root_url))
    return service.answer(request)


def _signed_in(service: Service, path: str, request: Request) -> Response:
    with service.lock:
        if path == "/auth":
            return service.oauth.authorize(request)
        return service.oauth.token(request) if path == "/token" else service.oauth.revoked(request)


__all__ = ["DriveEmulator"]
