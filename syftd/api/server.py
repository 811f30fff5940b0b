"""The local API: a little HTTP/1.1 over a unix socket, for this user only.

Whoever connects must be our own user (or root), told by the kernel and not by the request. One request per connection,
JSON both ways, hard limits before any work. What the answers are is decided by the `answer` function; this module only
carries them, and turns every error into one shape: ``{"error": {"kind", "text", "remedy", "exit_code"}}``.
"""

from __future__ import annotations

import json
import os
import socket
import stat
import struct
import sys
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, unquote

from syftd.errors import (
    ContentMissing,
    Denied,
    Exists,
    Gone,
    Halted,
    InMotion,
    LockHeld,
    Malformed,
    NameClash,
    Stale,
    SyftdError,
    TooLarge,
    UserError,
)
from syftd.log import logger
from syftd.seams import ThreadPool, thread

MAX_BODY: Final = 1024 * 1024
MAX_HEAD: Final = 16 * 1024
MAX_CONNECTIONS: Final = 16
PATIENCE_SECONDS: Final = 10.0
"""How long a client may take to say its request."""
DIRECT_PATH_BYTES: Final = 100
"""The kernel takes socket addresses of about 104 bytes; longer ones are reached through a descriptor."""

_WORDS: Final = {
    200: "OK", 400: "Bad Request", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed", 409: "Conflict",
    413: "Content Too Large", 500: "Internal Server Error",
}  # fmt: skip
_log = logger("api")


@dataclass(frozen=True, slots=True)
class Request:
    """One call. `path` is decoded; `query` keeps the last value of a name; `body` is None for GET."""

    method: str
    path: str
    query: dict[str, str]
    body: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Response:
    """One answer."""

    status: int
    body: dict[str, Any] | list[Any]


class NotFound(UserError):
    """There is nothing under that path or id."""


class _BadRequest(UserError):
    def __init__(self, status: int, text: str) -> None:
        super().__init__(text, "Use the syftd command, or see docs for the API.")
        self.status = status


@contextmanager
def reachable(path: Path) -> Any:
    """Yields an address the kernel takes for `path`, however long it is; to be used within the block."""
    direct = os.fsencode(path)
    if len(direct) <= DIRECT_PATH_BYTES:
        yield direct
        return
    if not Path("/proc/self/fd").exists():
        raise UserError(f"the path of the socket is too long: {path}", "Choose a shorter --home.")
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield b"/proc/self/fd/%d/%s" % (directory, os.fsencode(path.name))
    finally:
        os.close(directory)


class Server:
    """Serves `answer` on a socket with mode 0600 in a directory with mode 0700, in at most 16 threads.

    `answer` is called from those threads; it returns a `Response` or raises. Start it under the instance's lock: a
    socket file that is there already is taken for a dead daemon's and replaced.
    """

    def __init__(self, path: Path, answer: Callable[[Request], Response]) -> None:
        self._path = path
        self._answer = answer
        self._listener: socket.socket | None = None
        self._inode = 0
        self._pool: ThreadPool | None = None

    def start(self) -> None:
        """Binds and begins to answer; raises UserError when the directory is not ours alone."""
        directory = os.stat(self._path.parent)
        if directory.st_uid != os.getuid() or directory.st_mode & 0o077:
            raise UserError(
                f"{self._path.parent} is open to others, so the daemon will not listen there",
                f"Make it yours alone: chmod 700 {self._path.parent}",
            )
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            if self._path.is_socket():
                self._path.unlink()
            with reachable(self._path) as address:
                listener.bind(address)
            os.chmod(self._path, stat.S_IRUSR | stat.S_IWUSR)
            listener.listen(64)
        except OSError as error:
            listener.close()
            raise UserError(f"cannot listen on {self._path}: {error.strerror}", "Check that directory.") from error
        self._inode = os.stat(self._path).st_ino
        self._listener = listener
        self._pool = ThreadPool(MAX_CONNECTIONS, "api")
        thread("api-accept", self._accept)

    def close(self) -> None:
        """Stops listening and removes the socket if it is still ours; closing twice is success."""
        listener, self._listener = self._listener, None
        if listener is None:
            return
        try:
            listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # Not every system lets a listening socket be shut down; closing it is what counts.
        listener.close()
        try:
            if os.stat(self._path).st_ino == self._inode:
                self._path.unlink()
        except FileNotFoundError:
            pass  # Somebody tidied up before us.
        if self._pool is not None:
            self._pool.close()

    def _accept(self) -> None:
        while (listener := self._listener) is not None and (pool := self._pool) is not None:
            try:
                connection, _ = listener.accept()
            except OSError as error:
                if self._listener is not None:
                    _log.error("the local API stopped listening", reason=str(error))
                return
            try:
                pool.submit(lambda c=connection: self._serve(c), _report)  # type: ignore[misc]
            except RuntimeError:
                connection.close()  # The pool was closed between accepting and handing over.
                return

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            connection.settimeout(PATIENCE_SECONDS)
            try:
                if not same_user(connection):
                    raise _BadRequest(403, "this socket serves another user")
                response = self._answered(_read(connection))
            except _BadRequest as error:
                response = failure(error, error.status)
            except TimeoutError:
                return
            except OSError as error:
                _log.debug("a caller went away", reason=str(error))
                return
            connection.settimeout(None)
            try:
                connection.sendall(_written(response))
            except OSError as error:
                _log.debug("a caller did not wait for its answer", reason=str(error))

    def _answered(self, request: Request) -> Response:
        try:
            return self._answer(request)
        except SyftdError as error:
            return failure(error)
        except Exception as error:  # noqa: BLE001 - the border of the API: a bug becomes a 500 and a trace in the log.
            _log.exception("a bug in answering", method=request.method, route=request.path)
            return failure(SyftdError(f"internal error: {type(error).__name__}", "See `syftd service logs`."))


def failure(error: SyftdError, status: int | None = None) -> Response:
    """The answer that stands for an error; the status is chosen by its class unless given."""
    kind = next(k.__name__ for k in type(error).__mro__ if k.__module__ == SyftdError.__module__)
    body = {"kind": kind, "text": str(error), "remedy": error.remedy, "exit_code": error.exit_code}
    return Response(status or _status(error), {"error": body})


def _status(error: SyftdError) -> int:
    if isinstance(error, NotFound | Gone | ContentMissing):
        return 404
    if isinstance(error, Stale | NameClash | InMotion | Halted | LockHeld | Exists):
        return 409
    if isinstance(error, UserError | Denied | Malformed | TooLarge):
        return 400
    return 500


def same_user(connection: socket.socket) -> bool:
    """Whether the kernel says that the other end is our user or root."""
    if sys.platform == "linux":
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        uid = struct.unpack("3i", credentials)[1]
    else:
        local_level, local_peercred = 0, 1
        uid = struct.unpack_from("=II", connection.getsockopt(local_level, local_peercred, 76))[1]
    return uid in (0, os.getuid())


def _report(_: None, error: BaseException | None) -> None:
    if error is not None:
        _log.error("a bug in the local API", reason=f"{type(error).__name__}: {error}")


def _read(connection: socket.socket) -> Request:
    """Reads one request within the limits; raises _BadRequest with the status to answer."""
    received = bytearray()
    while b"\r\n\r\n" not in received:
        if len(received) > MAX_HEAD:
            raise _BadRequest(413, "the request's head is too large")
        more = connection.recv(65536)
        if not more:
            raise _BadRequest(400, "the request ended early")
        received += more
    head, _, body = bytes(received).partition(b"\r\n\r\n")
    if len(head) > MAX_HEAD:
        raise _BadRequest(413, "the request's head is too large")
    first, *lines = head.decode("latin-1").split("\r\n")
    words = first.split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1.") or not words[1].startswith("/"):
        raise _BadRequest(400, "not an HTTP/1.1 request")
    method, target = words[0], words[1]
    if method not in ("GET", "POST"):
        raise _BadRequest(405, f"the method {method:.20} is not known here")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    if "transfer-encoding" in headers:
        raise _BadRequest(400, "bodies are sent with Content-Length here")
    length = headers.get("content-length", "0")
    if not (length.isascii() and length.isdigit()):
        raise _BadRequest(400, "Content-Length is not a number")
    if len(length) > 8 or int(length) > MAX_BODY:
        raise _BadRequest(413, f"a body may have at most {MAX_BODY} bytes")
    while len(body) < int(length):
        more = connection.recv(min(65536, int(length) - len(body)))
        if not more:
            raise _BadRequest(400, "the request's body ended early")
        body += more
    path, _, query = target.partition("?")
    try:
        pairs = dict(parse_qsl(query, keep_blank_values=True, max_num_fields=32, errors="strict"))
        decoded = unquote(path, errors="strict")
    except ValueError as error:
        raise _BadRequest(400, "the path or query cannot be decoded") from error
    return Request(method, decoded, pairs, _parsed(body[: int(length)]) if method == "POST" else None)


def _parsed(body: bytes) -> dict[str, Any]:
    if not body:
        return {}
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise _BadRequest(400, "the body is not JSON") from error
    if not isinstance(parsed, dict):
        raise _BadRequest(400, "the body is not a JSON object")
    return parsed


def _written(response: Response) -> bytes:
    body = json.dumps(response.body).encode("ascii")
    head = (
        f"HTTP/1.1 {response.status} {_WORDS.get(response.status, 'Status')}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode("ascii") + body
