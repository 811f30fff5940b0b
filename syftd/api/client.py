"""Speaks to the daemon's local API; by hand, since the general HTTP client costs more time than a command may take."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import Any, Final

from syftd import errors
from syftd.errors import NotRunning, SyftdError, UserError

MAX_ANSWER: Final = 64 * 1024 * 1024
START_IT: Final = "Start it with `syftd run`, or for good with `syftd service install`."
_SAFE: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/@")
_DIRECT_PATH_BYTES: Final = 100


class Client:
    """One daemon's API. `timeout` is in seconds for each call.

    Errors of the daemon are raised again as the SyftdError they were; NotRunning when nobody answers.
    """

    def __init__(self, socket_path: Path, timeout: float = 60.0) -> None:
        self._path = socket_path
        self._timeout = timeout

    def get(self, path: str, /, **query: Any) -> Any:
        """Reads `path` (plain text, it is encoded here); query values that are None are left out."""
        pairs = "&".join(f"{quote(k)}={quote(str(v))}" for k, v in query.items() if v is not None)
        return self._call("GET", quote(path) + (f"?{pairs}" if pairs else ""), None)

    def post(self, path: str, /, **body: Any) -> Any:
        """Does something; the keywords become the JSON body."""
        return self._call("POST", quote(path), body)

    def _call(self, method: str, target: str, body: dict[str, Any] | None) -> Any:
        content = b"" if body is None else json.dumps(body).encode("ascii")
        head = f"{method} {target} HTTP/1.1\r\nHost: syftd\r\nContent-Length: {len(content)}\r\n\r\n"
        status, answer = _split(self._exchange(head.encode("ascii") + content))
        try:
            parsed = json.loads(answer)
        except ValueError as error:
            raise SyftdError("the daemon's answer is not JSON", "Restart the daemon after an upgrade.") from error
        if status >= 400:
            raise _rebuilt(parsed)
        return parsed

    def _exchange(self, request: bytes) -> bytes:
        received = bytearray()
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(self._timeout)
            try:
                self._connect(connection)
                connection.sendall(request)
                while more := connection.recv(1 << 18):
                    received += more
                    if len(received) > MAX_ANSWER:
                        raise SyftdError("the daemon's answer is too large", "")
            except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
                raise NotRunning("syftd is not running", START_IT) from None
            except TimeoutError:
                raise NotRunning(
                    f"syftd did not answer within {self._timeout:g} s", "See what it does: `syftd service logs`."
                ) from None
            except PermissionError:
                raise UserError(f"{self._path} belongs to another user", "Run this command as that user.") from None
            except (ConnectionResetError, BrokenPipeError):
                # A refusal is sometimes sent before our request is read; only an empty answer is a lost daemon.
                if not received:
                    raise NotRunning("syftd went away while it was asked", START_IT) from None
        if not received:
            raise NotRunning("syftd went away while it was asked", START_IT)
        return bytes(received)

    def _connect(self, connection: socket.socket) -> None:
        if len(os.fsencode(self._path)) <= _DIRECT_PATH_BYTES:
            connection.connect(os.fsencode(self._path))
            return
        directory = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            connection.connect(f"/proc/self/fd/{directory}/{self._path.name}")
        finally:
            os.close(directory)


def quote(text: str) -> str:
    """Percent-encodes everything but letters, digits and ``-._~/@``."""
    return "".join(chr(b) if b in _SAFE else f"%{b:02X}" for b in text.encode("utf-8", "surrogateescape"))


def _split(answer: bytes) -> tuple[int, bytes]:
    head, found, body = answer.partition(b"\r\n\r\n")
    words = head.split(b" ", 2)
    if not found or len(words) < 2 or not words[0].startswith(b"HTTP/1.") or not words[1].isdigit():
        raise SyftdError("something else than syftd answers on its socket", "Stop it, or choose another --home.")
    return int(words[1]), body


def _rebuilt(parsed: Any) -> SyftdError:
    told = parsed.get("error", {}) if isinstance(parsed, dict) else {}
    text, remedy = str(told.get("text", "the daemon refused")), str(told.get("remedy", ""))
    kind = getattr(errors, str(told.get("kind", "")), None)
    known = isinstance(kind, type) and issubclass(kind, SyftdError)
    rebuilt: SyftdError = kind(text, remedy) if known and kind is not None else SyftdError(text, remedy)
    rebuilt.exit_code = int(told.get("exit_code", rebuilt.exit_code))
    return rebuilt
