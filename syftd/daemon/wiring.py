"""Wiring: real adapters into the engine, the loop round it, and the life of the process from READY to the last commit."""

from __future__ import annotations

import json
import sqlite3
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from syftd.config import Settings, TransportSettings
from syftd.daemon.engine import Engine
from syftd.daemon.lifecycle import Signals, notify, watchdog_interval
from syftd.daemon.loop import Do, Hint, Loop, Lost, Wake
from syftd.daemon.quarantine import Quarantine
from syftd.daemon.ticks import Tick, Ticks
from syftd.errors import DiskFull, RootMissing, StateCorrupt, SyftdError
from syftd.log import logger
from syftd.names import Email
from syftd.places import Places
from syftd.plan.guard import DeletionLimit
from syftd.rules.access import Access
from syftd.seams import SystemClock, SystemRandom, ThreadPool
from syftd.state import contacts, problems
from syftd.state.db import Db, open_reader, open_writer, set_aside
from syftd.sync.parts import Parts, Tuning
from syftd.sync.versions import Versions
from syftd.transport.folder import FolderMailbox
from syftd.transport.mailbox import Mailbox
from syftd.transport.router import Router
from syftd.tree.disk import RealDisk
from syftd.tree.ignore import Ignores
from syftd.tree.scanner import Scanner
from syftd.tree.settle import Settle
from syftd.tree.watcher import Watcher

if TYPE_CHECKING:
    from syftd.jobs.desk import JobDesk

_log = logger("daemon")
_TIDY_SECONDS = 3600.0
_BUSY_TURNS = 12
_ROOM_POLLS = 2
_M_ARENA_MAX = -8
_M_MMAP_THRESHOLD = -3
_ALONE_BYTES = 1024 * 1024


class Door(Protocol):
    """Where requests of people come in: the local API's server."""

    def start(self) -> None: ...

    def close(self) -> None: ...


class Daemon:
    """One datasite's daemon: its parts, and what the loop does with each kind of work."""

    def __init__(self, places: Places, settings: Settings, safe_mode: bool) -> None:
        self.places = places
        self.settings = settings
        self.safe_mode = safe_mode
        self.clock = SystemClock()
        self.random = SystemRandom()
        self.since = self.clock.now()
        self.loop = Loop(self.clock)
        self.db = self._open_state()
        self.disk = RealDisk(settings.data, self.clock, self.random)
        self._know_datasite()
        self.settle = Settle(self.clock, quiet=settings.sync.quiet_seconds)
        self.pool = ThreadPool(settings.sync.workers, "io")
        self.router = self._router()
        ignores = Ignores(self.disk)
        self.parts = Parts(
            me=settings.email,
            db=self.db,
            disk=self.disk,
            scanner=Scanner(
                self.disk, ignores, self.clock, self.disk.probe_granularity(), quiet=settings.sync.quiet_seconds
            ),
            ignores=ignores,
            access=Access(settings.email),
            router=self.router,
            clock=self.clock,
            random=self.random,
            pool=self.pool,
            post=self.loop.post,
            look_again=lambda site, path: self.settle.touch(f"{site}/{path}"),
            reading=lambda: open_reader(self.db.path),
            quarantine=Quarantine(places.state / "quarantine").keep,
            tuning=Tuning(inline_bytes=settings.sync.inline_kb * 1024),
            deletion_limit=DeletionLimit(settings.sync.max_delete_count, settings.sync.max_delete_percent),
        )
        self.versions = Versions(places.state / "versions.db", settings.sync.history_mb * 1024 * 1024)
        self.engine = Engine(self.parts, self.settle, self.versions)
        self.engine.applying = not safe_mode
        self.watcher = Watcher(
            settings.data / "datasites",
            lambda path, quick, gone: self.loop.post(Hint(path, quick, gone)),
            lambda reason: self.loop.post(Lost(reason)),
        )
        self.jobs = self._jobs()
        self.engine.changed = self.jobs.changed
        self.engine.propose.sent_folder = self.jobs.proposed
        self.ticks = Ticks(self.loop.post)
        self.started = False
        self._resume_at: float | None = None
        self._watch_pause = 60.0
        self._watch_again: float | None = None
        self._turns = 0
        self._root_missing = False
        self._status = ""

    # -- building --------------------------------------------------------------------------------------------------

    def _open_state(self) -> Db:
        path = self.places.state / "state.db"
        try:
            return open_writer(path)
        except StateCorrupt as error:
            if error.remedy:
                raise
            stamp = datetime.fromtimestamp(self.clock.now(), UTC).strftime("%Y%m%dT%H%M%SZ")
            aside = set_aside(path, stamp)
            _log.error("the database was damaged and is rebuilt", kept=str(aside), reason=str(error))
            db = open_writer(path)
            problems.raise_problem(
                db, "rebuilt", str(aside),
                f"The database was damaged ({error}). It is set aside and rebuilt from your files and the transport.",
                "Add or accept your peers again (`syftd peers`), and look at jobs that waited.", self.clock.now(),
            )  # fmt: skip
            return db

    def _know_datasite(self) -> None:
        """Remembers the id of the datasite that this state belongs to; the marker on disk is compared with it."""
        marker = self.settings.datasite / ".syft" / "datasite.json"
        if self.db.meta("datasite_id") is None:
            try:
                id = str(json.loads(marker.read_text(encoding="utf-8"))["id"])
            except (OSError, ValueError, KeyError, TypeError):
                id = self.random.uuid()
                self.disk.ensure_marker(self.settings.email, id)
                self.disk.sync()
            self.db.set_meta("datasite_id", id)

    def _router(self) -> Router:
        mailboxes: list[Mailbox] = [_mailbox(item, self.settings.email, self.places) for item in self.settings.transport]
        by_name = {item.name: item for item in self.settings.transport}

        def order(peer: Email) -> list[str]:
            return [name for name, item in by_name.items() if not item.peers or peer in item.peers]

        return Router(mailboxes, self.clock, self.random, order)

    def _jobs(self) -> JobDesk:
        from syftd.jobs.desk import JobDesk

        return JobDesk(
            me=self.settings.email, db=self.db, disk=self.disk, data=self.settings.data,
            folder=self.places.state / "jobs", clock=self.clock, limits=self.settings.jobs,
            pool=ThreadPool(self.settings.jobs.concurrency, "job"), post=self.loop.post,
            stirred=lambda site, path: self.settle.touch(f"{site}/{path}", True),
            send_folder=self.engine.propose.send_folder, copying=self.pool,
        )  # fmt: skip

    # -- life ------------------------------------------------------------------------------------------------------

    def run(self, door: Door) -> int:
        """Serves until it is told to stop; returns the exit code. `door` lets requests in; it is opened first."""
        signals = Signals(lambda: self.loop.post(Wake()))
        signals.install()
        door.start()
        try:
            self._say_ready()
            self.loop.post(Do(self.start))
            interval = watchdog_interval()
            if interval is not None:
                self.ticks.every("watchdog", interval)
            self.loop.run(
                lambda work: self.handle(work, signals),
                next_due=self._next_due, due=self._due, turned=self._turned, failed=self._failed,
            )  # fmt: skip
        finally:
            notify("STOPPING=1")
            self.close(door)
            signals.restore()
        return 0

    def _say_ready(self) -> None:
        print(f"READY {self.settings.email} {self.places.socket}", flush=True)  # noqa: T201 - the promised line.
        notify("READY=1\nSTATUS=starting")
        _log.info("ready", email=self.settings.email, data=str(self.settings.data), safe_mode=self.safe_mode)

    def start(self) -> None:
        """What comes after READY: recovery, watching, the first scan and the first poll."""
        self.started = True
        self.db.keep_reserve()
        if self.safe_mode:
            problems.raise_problem(
                self.db, "safe-mode", self.settings.email,
                "syftd stopped unexpectedly three times in a row, so it only shows what is wrong.",
                "Look at `syftd problems` and the log, then restart it: `syftd service restart`, or stop and `syftd "
                "run`.",
                self.clock.now(),
            )  # fmt: skip
        else:
            problems.clear_problem(self.db, "safe-mode", self.settings.email)
        self._start_watcher()
        self.engine.start()
        self.jobs.start(running=not self.safe_mode)
        self.router.watch(lambda: self.loop.post(Wake()))
        sync = self.settings.sync
        self.ticks.every("poll", sync.poll_seconds)
        self.ticks.every("rescan", sync.rescan_seconds)
        self.ticks.every("tidy", _TIDY_SECONDS)
        self.ticks.every("keep", 2.0)
        self.ticks.start()

    def _start_watcher(self) -> None:
        try:
            self.watcher.start()
        except OSError as error:
            self._watch_again = self.clock.monotonic() + self._watch_pause
            self._watch_pause = min(3600.0, self._watch_pause * 2)
            self.parts.problem(
                "watching", self.settings.email, f"Changes are noticed late: {error}",
                "syftd tries to watch again by itself and scans meanwhile.",
            )  # fmt: skip
            return
        self._watch_again = None
        self._watch_pause = 60.0
        if self.watcher.problem:
            self.parts.problem("watching", self.settings.email, f"Changes are noticed late: {self.watcher.problem}", "")
        else:
            self.parts.solved("watching", self.settings.email)

    def close(self, door: Door) -> None:
        """Stops taking work, keeps what is committed, leaves nothing behind."""
        door.close()
        self.ticks.stop()
        self.watcher.stop()
        self.jobs.close()
        self.pool.close()
        self.router.close()
        self.versions.close()
        self.db.close()

    # -- the loop --------------------------------------------------------------------------------------------------

    def handle(self, work: object, signals: Signals) -> None:
        if signals.stop:
            self.loop.stop = True
            return
        if signals.take_reload():
            self.reload()
        match work:
            case None:
                pass
            case Hint(path, quick, gone):
                self.engine.hint(path, quick, gone)
            case Wake():
                if self.started and not self.engine.paused and self.engine.applying:
                    self.engine.inbox.poll()
            case Tick(name):
                self._tick(name)
            case Lost(reason):
                _log.warning("hints were lost; everything is scanned", reason=reason)
                self.engine.look.everything()
            case Do(action):
                action()
            case _:
                if not self.engine.handle(work) and not self.jobs.handle(work):
                    raise AssertionError(f"nobody takes {type(work).__name__}")

    def _tick(self, name: str) -> None:
        match name:
            case "poll":
                self._tidy_memory()
                self._say_status()
                self.engine.poll()
                self.jobs.retry()
                self._check_root()
                self._check_watcher()
                self._check_room()
                # What no commit waited for, such as a file that a command wrote, lasts from now on.
                self.disk.sync()
            case "rescan":
                self.engine.look.everything()
            case "tidy":
                sync = self.settings.sync
                self.engine.tidy(sync.trash_days * 86400.0, sync.trash_mb * 1024 * 1024)
                self.db.keep_reserve()
            case "keep":
                self.versions.turn(self.parts)
            case "watchdog":
                notify("WATCHDOG=1")
            case _:
                raise AssertionError(f"nobody knows the tick {name}")

    def _say_status(self) -> None:
        """One line for the service supervisor, when it differs from the last one."""
        count = self.db.value("SELECT count(*) FROM problem")
        due = self.db.value("SELECT count(*) FROM outbox WHERE state = 'due'")
        line = ("paused" if self.engine.paused else "serving") + f" · {due} messages to send · {count} problems"
        if line != self._status:
            self._status = line
            notify(f"STATUS={line}")

    def _tidy_memory(self) -> None:
        """After a busy time, what it needed goes back to the system."""
        if self._turns > _BUSY_TURNS:
            give_back_memory()
        self._turns = 0

    def _check_root(self) -> None:
        """A datasite that was unmounted or moved away tells nothing by itself, so it is asked for now and then."""
        try:
            self.disk.check_marker(self.settings.email, self.db.meta("datasite_id") or "")
        except RootMissing as error:
            self.engine.look.root_missing(error)
            self._root_missing = True
            return
        if self._root_missing:
            self._root_missing = False
            self.engine.look.everything()

    def _check_room(self) -> None:
        """A disk that was full and has taken everything for a while is not full any more; the reserve is set aside anew.
        What waits for large content of one peer has words of its own, which end when that content is there."""
        self.db.keep_reserve()
        quiet = self.clock.monotonic() - self.parts.full_at
        if quiet < _ROOM_POLLS * self.settings.sync.poll_seconds:
            return
        peers = {str(peer) for peer in contacts.in_state(self.db, "accepted")}
        for kind, subject in problems.subjects(self.db, "disk-full"):
            if subject not in peers:
                self.parts.solved(kind, subject)

    def _check_watcher(self) -> None:
        if self._watch_again is None and not self.watcher.alive:
            self._watch_again = self.clock.monotonic()
        if self._watch_again is not None and self.clock.monotonic() >= self._watch_again:
            self._start_watcher()
            self.engine.look.everything()

    def _next_due(self) -> float | None:
        folders = self.engine.propose.next_due if self.engine.applying else None
        return min((time for time in (self.settle.next_due(), self._resume_at, folders) if time is not None), default=None)

    def _due(self) -> None:
        if self._resume_at is not None and self.clock.monotonic() >= self._resume_at:
            self.resume()
        if self.started:
            self.engine.due()

    def _turned(self) -> None:
        """After each turn."""
        self._turns += 1

    def _failed(self, work: object, error: Exception) -> None:
        """An error that nobody expected becomes something a person can see; the loop goes on."""
        if isinstance(error, sqlite3.DatabaseError) and not isinstance(
            error, (sqlite3.OperationalError, sqlite3.IntegrityError)
        ):
            raise StateCorrupt(f"the database is damaged: {error}") from error
        what = type(work).__name__
        remedy = error.remedy if isinstance(error, SyftdError) else "This is a bug: please report it with `syftd log`."
        kind = "disk-full" if isinstance(error, DiskFull) else "error"
        if isinstance(error, DiskFull):
            self.parts.full_at = self.clock.monotonic()
        try:
            problems.raise_problem(self.db, kind, what, f"{what} failed: {error}", remedy, self.clock.now())
        except (sqlite3.OperationalError, DiskFull) as full:
            # With a full disk even this cannot be written down; the log has it, and the loop must go on.
            _log.error("a problem could not be written down", problem=str(error), reason=str(full))

    # -- what people ask for ---------------------------------------------------------------------------------------

    def pause(self, seconds: float | None) -> None:
        """Stops talking to the transports, for some seconds or until `resume`; local changes are still noticed."""
        self.engine.paused = True
        self._resume_at = None if seconds is None else self.clock.monotonic() + seconds
        self.parts.note("paused", self.settings.email, seconds=seconds)

    def resume(self) -> None:
        self.engine.paused = False
        self._resume_at = None
        self.parts.note("resumed", self.settings.email)
        self.engine.poll()

    def reload(self) -> None:
        """Takes a changed configuration into force; a broken one is refused and the old one stays."""
        from syftd import config

        try:
            fresh = config.load(self.places)
        except SyftdError as error:
            self.parts.problem(
                "config", str(self.places.config_file), f"The changed configuration is not used: {error}", error.remedy
            )
            return
        self.parts.solved("config", str(self.places.config_file))
        difference = config.difference(self.settings, fresh)
        self.settings = fresh
        self.parts.deletion_limit = DeletionLimit(fresh.sync.max_delete_count, fresh.sync.max_delete_percent)
        self.jobs.limits = fresh.jobs
        self.ticks.every("poll", fresh.sync.poll_seconds)
        self.ticks.every("rescan", fresh.sync.rescan_seconds)
        _log.info("configuration reloaded", changed=list(difference.changed), needs_restart=list(difference.restart))
        if difference.restart:
            self.parts.problem(
                "restart", str(self.places.config_file),
                f"These settings change at the next start: {', '.join(difference.restart)}.",
                "Restart syftd when it suits you.",
            )  # fmt: skip


def _mailbox(settings: TransportSettings, me: Email, places: Places) -> Mailbox:
    if settings.kind == "gdrive":
        # Google's libraries are large; only whoever uses Drive pays for them.
        from syftd.transport.drive.auth import token_file
        from syftd.transport.drive.mailbox import DriveMailbox

        return DriveMailbox(
            me, token_file(places.state, settings.name), name=settings.name, endpoint=settings.drive_endpoint,
            drive=settings.drive_id, share=settings.quota_share, carries_private=settings.carries_private,
        )  # fmt: skip
    return FolderMailbox(settings.path, me, trusted=settings.trusted, name=settings.name)


def few_arenas() -> None:
    """Lets all threads share one pool of memory: they hold buffers for a moment only, and each pool keeps what it had."""
    if sys.platform.startswith("linux"):
        import ctypes

        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        if mallopt is not None:
            mallopt(_M_ARENA_MAX, 1)
            # Left alone, the library keeps ever larger blocks once one was freed, and a few large messages in a row take
            # several times the memory of one. A large block of its own goes back to the system at once.
            mallopt(_M_MMAP_THRESHOLD, _ALONE_BYTES)


def give_back_memory() -> None:
    """Returns freed memory to the system; the C library keeps it otherwise."""
    if sys.platform.startswith("linux"):
        import ctypes

        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)

