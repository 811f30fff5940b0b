"""The life of the daemon's process: one instance, the words for the service supervisor, signals, and crash loops."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import Any, Final, TextIO

from syftd.errors import LockHeld, UserError
from syftd.seams import Clock

CRASHES_BEFORE_SAFE_MODE: Final = 3
LIFE_SECONDS: Final = 60.0
"""A start that lives this long was not a crash."""


class Lock:
    """One daemon for one instance and one data folder.

    Two kernel locks, held as long as the descriptors are open: ``lock`` in the state directory (a second start) and
    ``.lock`` in the data folder (a second instance on the same tree). What the files say is for people only. Keep the
    object alive; use it as a context manager or call `release`.
    """

    def __init__(self, state: Path, data: Path, clock: Clock) -> None:
        self._paths = (state / "lock", data / ".lock")
        self._clock = clock
        self._descriptors: list[int] = []
        self.unguarded = ""
        """Why the data folder could not be locked (some network filesystems cannot), '' when it is."""

    def acquire(self) -> None:
        """Takes both locks or none; raises LockHeld that tells who holds one and since when."""
        try:
            for path in self._paths:
                self._take(path)
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        """Gives the locks back; the files stay, since removing a locked file would let two daemons lock two files."""
        while self._descriptors:
            os.close(self._descriptors.pop())

    def __enter__(self) -> Lock:
        self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def _take(self, path: Path) -> None:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise UserError(f"the lock {path} cannot be opened: {error.strerror}", "Check that directory.") from error
        self._descriptors.append(descriptor)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS) and path is self._paths[1]:
                self.unguarded = f"{path.parent} is on a filesystem that cannot lock; do not serve it twice"
                return
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise
            holder = os.pread(descriptor, 200, 0).decode("utf-8", "replace").strip() or "unknown"
            raise LockHeld(
                f"another syftd already serves {path.parent} ({holder})",
                "Use that one (`syftd status`), or stop it first.",
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"pid {os.getpid()} since {_utc(self._clock.now())}\n".encode(), 0)


def notify(state: str, env: Mapping[str, str] | None = None) -> bool:
    """Tells the service supervisor something (``READY=1``, ``STATUS=…``, ``WATCHDOG=1``); several lines may be sent.

    Returns False when nobody listens. Losing such a word must never stop the daemon, so errors only return False.
    """
    address = (os.environ if env is None else env).get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return False
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        try:
            sender.sendto(state.encode("utf-8"), address)
        except OSError:
            return False
    return True


def watchdog_interval(env: Mapping[str, str] | None = None) -> float | None:
    """Seconds between two ``WATCHDOG=1``: half of what the supervisor allows; None when it does not watch us."""
    environment = os.environ if env is None else env
    allowed = environment.get("WATCHDOG_USEC", "")
    if environment.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()) or not allowed.isdigit():
        return None
    return int(allowed) / 2_000_000 or None


class Signals:
    """Turns signals into flags. A handler does nothing but set its flag and wake the loop.

    `wake` is called inside a signal handler: it must be safe to enter again (``queue.SimpleQueue.put`` is,
    ``queue.Queue.put`` is not). A second interrupt leaves at once through `leave`, which a crash-safe daemon survives.
    """

    def __init__(self, wake: Callable[[], None], leave: Callable[[int], Any] = os._exit) -> None:
        self._wake = wake
        self._leave = leave
        self._before: dict[int, Any] = {}
        self.stop = False
        self._reload = False

    def install(self, dump: TextIO | None = None) -> None:
        """Takes the signals over; must be called in the main thread. USR1 writes every thread's stack to `dump`."""
        import faulthandler

        for number in (signal.SIGTERM, signal.SIGINT):
            self._before[number] = signal.signal(number, self._on_stop)
        self._before[signal.SIGHUP] = signal.signal(signal.SIGHUP, self._on_reload)
        self._before[signal.SIGPIPE] = signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        if dump is None:
            faulthandler.register(signal.SIGUSR1, all_threads=True)
        else:
            faulthandler.register(signal.SIGUSR1, file=dump, all_threads=True)

    def restore(self) -> None:
        """Puts the earlier handlers back."""
        import faulthandler

        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()
        faulthandler.unregister(signal.SIGUSR1)

    def take_reload(self) -> bool:
        """Whether a reload was asked for since the last call."""
        asked, self._reload = self._reload, False
        return asked

    def _on_stop(self, number: int, _: FrameType | None) -> None:
        if self.stop and number == signal.SIGINT:
            self._leave(128 + number)
        self.stop = True
        self._wake()

    def _on_reload(self, _: int, __: FrameType | None) -> None:
        self._reload = True
        self._wake()


class CrashCount:
    """Counts starts that did not live, so that a poison item cannot keep the user from seeing why.

    Call `begin` once at the start (under the lock), `lived` after `LIFE_SECONDS`, `ended` at a clean stop.
    """

    def __init__(self, state: Path) -> None:
        self._file = state / "starts"

    def begin(self) -> bool:
        """Counts this start; returns True (safe mode) when the last three did not live."""
        try:
            text = self._file.read_text("ascii").strip()
        except (FileNotFoundError, UnicodeDecodeError):
            text = ""
        failed = int(text) if text.isdigit() and len(text) < 6 else 0
        self._write(failed + 1)
        return failed >= CRASHES_BEFORE_SAFE_MODE

    def lived(self) -> None:
        """This start was not a crash."""
        self._write(0)

    def ended(self) -> None:
        """The daemon stopped because it was asked to."""
        self._write(0)

    def _write(self, count: int) -> None:
        fresh = self._file.with_name("starts.new")
        fresh.touch(0o600)
        fresh.write_text(f"{count}\n", "ascii")
        os.replace(fresh, self._file)


def _utc(seconds: float) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
