"""Logging: named loggers, one line for each change of state, secrets removed before anything is rendered.

`logger(name)` costs nothing until the first line; `setup` decides once where lines go: the journal with native fields
when stderr is the journal, else the console or JSON lines on stderr, and a rotated file of our own when asked for.

Levels: INFO is what a person did or would want to know, DEBUG is ticks, WARNING means that we cope, ERROR that somebody
must act. Log changes of state, not states.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import re
import socket
import struct
import sys
from collections.abc import Callable, Mapping, MutableMapping
from pathlib import Path
from typing import Any, Final, TextIO

JOURNAL_SOCKET: Final = "/run/systemd/journal/socket"
FILE_BYTES: Final = 10 * 1024 * 1024
FILES_KEPT: Final = 5

_SECRET_KEY: Final = re.compile(
    r"token|secret|passw|passphrase|authorization|cookie|credential|api_?key|(^|_)key$|private_key|signature",
    re.IGNORECASE,
)
_URL_SECRET: Final = re.compile(r"(://[^/\s:@]*:)[^/\s@]+@")
_PRIORITY: Final = {"critical": 2, "error": 3, "warning": 4, "info": 6, "debug": 7}
_LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40}

Event = MutableMapping[str, Any]
Sink = Callable[[Event], None]


class Logger:
    """A named logger. Keyword values become fields; `bind` makes a logger that adds the same fields to every line."""

    __slots__ = ("_name", "_values")

    def __init__(self, name: str, values: Mapping[str, Any] | None = None) -> None:
        self._name = name
        self._values = dict(values or {})

    def bind(self, **values: Any) -> Logger:
        """A logger that adds `values` to every line."""
        return Logger(self._name, {**self._values, **values})

    def debug(self, event: str, **values: Any) -> None:
        self._write("debug", event, values)

    def info(self, event: str, **values: Any) -> None:
        self._write("info", event, values)

    def warning(self, event: str, **values: Any) -> None:
        self._write("warning", event, values)

    def error(self, event: str, **values: Any) -> None:
        self._write("error", event, values)

    def exception(self, event: str, **values: Any) -> None:
        """An error with the trace of the exception that is being handled."""
        self._write("error", event, {"exc_info": True, **values})

    def _write(self, level: str, event: str, values: Mapping[str, Any]) -> None:
        structlog = _structlog()
        if not structlog.is_configured():
            # A command that never set up logging: stdout belongs to its answer, so only warnings, and to stderr.
            setup("warning", "console")
        getattr(structlog.get_logger(), level)(event, **{"logger": self._name, **self._values, **values})


def _structlog() -> Any:
    """Structlog, without the 8 MB of `rich` that it would load for tracebacks, which we never draw."""
    hidden = "rich" not in sys.modules
    if hidden:
        sys.modules["rich"] = None  # type: ignore[assignment]
    try:
        import structlog

        return structlog
    finally:
        if hidden:
            del sys.modules["rich"]


def logger(name: str) -> Logger:
    """The logger of one part of the daemon; safe to call at import."""
    return Logger(name)


def setup(
    level: str = "info",
    format: str = "auto",
    file: Path | None = None,
    *,
    env: Mapping[str, str] | None = None,
    stream: TextIO | None = None,
    journal: str = JOURNAL_SOCKET,
) -> None:
    """Sets up logging for the process; may be called again when the configuration changes.

    `file` adds a rotated file (10 MiB × 5, mode 0600). Raises OSError when that file cannot be opened.
    """
    structlog = _structlog()
    environment = os.environ if env is None else env
    out = sys.stderr if stream is None else stream
    sinks: list[Sink] = []
    if format == "journal" or (format == "auto" and goes_to_journal(environment, out)):
        sinks.append(JournalSink(journal, fallback=out))
    elif format == "json" or (format == "auto" and not out.isatty()):
        sinks.append(_LineSink(out))
    else:
        colours = out.isatty() and not environment.get("NO_COLOR")
        sinks.append(_ConsoleSink(out, structlog.dev.ConsoleRenderer(colors=colours, pad_event_to=0)))
    if file is not None:
        sinks.append(_FileSink(file))

    def deliver(_: Any, __: str, event: Event) -> Event:
        for sink in sinks:
            sink(dict(event))
        raise structlog.DropEvent

    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            redact,
            structlog.processors.format_exc_info,
            deliver,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers[:] = [_Bridge()]
    root.setLevel(logging.WARNING)


def redact(_: Any, __: str, event: Event) -> Event:
    """Replaces the values of secret-looking keys, at any depth, and passwords inside URLs."""
    return {key: value if key == "exc_info" else _clean(key, value) for key, value in event.items()}


def _clean(key: str, value: Any) -> Any:
    if _SECRET_KEY.search(key):
        return "[removed]"
    if isinstance(value, Mapping):
        return {str(k): _clean(str(k), v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_clean("", v) for v in value]
    if isinstance(value, bytes | bytearray | memoryview):
        return f"[{len(value)} bytes]"
    if isinstance(value, str) and "://" in value:
        return _URL_SECRET.sub(r"\1[removed]@", value)
    return value


def goes_to_journal(env: Mapping[str, str], stream: TextIO) -> bool:
    """Whether `stream` is the journal: ``JOURNAL_STREAM`` names its device and inode."""
    wanted = env.get("JOURNAL_STREAM", "")
    try:
        found = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return wanted == f"{found.st_dev}:{found.st_ino}"


def journal_fields(event: Event) -> bytes:
    """The native journal protocol: our fields carry the prefix ``SYFTD_``, the level is ``PRIORITY``."""
    fields = {
        "MESSAGE": str(event.pop("event", "")),
        "PRIORITY": str(_PRIORITY.get(str(event.pop("level", "info")), 6)),
        "SYSLOG_IDENTIFIER": "syftd",
    }
    event.pop("timestamp", None)
    if trace := event.pop("exception", None):
        fields["MESSAGE"] += f"\n{trace}"
    for key, value in event.items():
        name = "SYFTD_" + re.sub(r"[^A-Z0-9_]", "_", key.upper())
        fields[name[:64]] = value if isinstance(value, str) else json.dumps(value, default=str)
    out = bytearray()
    for name, text in fields.items():
        content = text.encode("utf-8", "replace")
        if b"\n" in content:
            out += name.encode() + b"\n" + struct.pack("<Q", len(content)) + content + b"\n"
        else:
            out += name.encode() + b"=" + content + b"\n"
    return bytes(out)


class JournalSink:
    """Sends each line as one datagram; one that is too large travels as a sealed file, as the protocol wants it."""

    def __init__(self, address: str, fallback: TextIO) -> None:
        self._address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | getattr(socket, "SOCK_CLOEXEC", 0))
        self._fallback = _LineSink(fallback)

    def __call__(self, event: Event) -> None:
        content = journal_fields(dict(event))
        try:
            try:
                self._socket.sendto(content, self._address)
            except OSError as error:
                if error.errno not in (errno.EMSGSIZE, errno.ENOBUFS):
                    raise
                self._send_file(content)
        except OSError:
            # The journal is gone (restarting, or never there); the line must not be lost with it.
            self._fallback(event)

    def _send_file(self, content: bytes) -> None:
        import fcntl

        descriptor = os.memfd_create("syftd-log", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.write(descriptor, content)
            fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, 0xF)
            # socket.send_fds forgets the address it is given, so the message is put together here.
            rights = struct.pack("@i", descriptor)
            self._socket.sendmsg([], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)], 0, self._address)
        finally:
            os.close(descriptor)


class _Stream:
    """Where lines go. When it cannot take one, because its disk is full, the daemon must go on: what is lost is counted,
    and told of as soon as lines can be written again."""

    def __init__(self, stream: TextIO, lost: Callable[[int], str]) -> None:
        self._stream = stream
        self._words = lost
        self._lost = 0

    def write(self, line: str) -> None:
        try:
            if self._lost:
                self._stream.write(self._words(self._lost) + "\n")
                self._stream.flush()
                self._lost = 0
            self._stream.write(line + "\n")
            self._stream.flush()
        except OSError:
            self._lost += 1


class _LineSink:
    """One JSON object on each line."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = _Stream(
            stream,
            lambda lost: _json_line({"level": "warning", "logger": "log", "event": "lines were lost", "lines": lost}),
        )

    def __call__(self, event: Event) -> None:
        self._stream.write(_json_line(event))


class _ConsoleSink:
    def __init__(self, stream: TextIO, render: Callable[[Any, str, Event], str]) -> None:
        self._stream = _Stream(stream, lambda lost: f"({lost} lines of the log could not be written)")
        self._render = render

    def __call__(self, event: Event) -> None:
        # Names and texts come from peers: a control character must not reach the terminal as one.
        plain = {key: _visible(value) for key, value in event.items()}
        self._stream.write(self._render(None, "", plain))


class _FileSink:
    def __init__(self, path: Path) -> None:
        from logging.handlers import RotatingFileHandler

        class Private(RotatingFileHandler):
            def _open(self) -> Any:
                def private(name: str, flags: int) -> int:
                    return os.open(name, flags, 0o600)

                return open(self.baseFilename, self.mode, encoding="utf-8", opener=private)

        self._rotated = Private(path, maxBytes=FILE_BYTES, backupCount=FILES_KEPT, encoding="utf-8")

    def __call__(self, event: Event) -> None:
        self._rotated.handle(logging.makeLogRecord({"msg": _json_line(event)}))


class _Bridge(logging.Handler):
    """Carries what libraries log to the same places."""

    def emit(self, record: logging.LogRecord) -> None:
        level = "error" if record.levelno >= 40 else "warning" if record.levelno >= 30 else "info"
        values = {"exc_info": record.exc_info} if record.exc_info else {}
        getattr(logger(record.name), level)(record.getMessage(), **values)


def _json_line(event: Event) -> str:
    order = ("timestamp", "level", "logger", "event")
    return json.dumps(
        {key: event[key] for key in order if key in event} | {k: v for k, v in event.items() if k not in order},
        default=str,
    )


def _visible(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    return "".join(c if (c >= " " and not "\x7f" <= c <= "\x9f") or c in "\n\t" else f"\\x{ord(c):02x}" for c in value)
