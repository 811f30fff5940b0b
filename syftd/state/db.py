"""Opening, migrating, healing and committing the one database."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from syftd.errors import DiskFull, StateCorrupt

_KEYS_AT_ONCE = 400
_FREE_SPACE = "Free some space there; syftd continues by itself."
_RESERVE_BYTES = 8 * 1024 * 1024
MIGRATIONS = Path(__file__).parent / "migrations"


class Db:
    """The writing connection; used by the control thread alone. Reads of one's own uncommitted writes are seen."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection
        self._depth = 0
        self._reserve = path.with_name("reserve")

    @contextlib.contextmanager
    def commit(self) -> Iterator[None]:
        """One transaction: everything inside becomes durable together, or not at all. Nested use joins the outer one."""
        if self._depth:
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1
            return
        self._connection.execute("BEGIN IMMEDIATE")
        self._depth = 1
        try:
            yield
            self._connection.execute("COMMIT")
        except sqlite3.OperationalError as error:
            self._undo()
            if _is_full(error):
                self._give_way()
                raise DiskFull(f"the disk that holds {self.path.parent} is full", _FREE_SPACE) from error
            raise
        except BaseException:
            self._undo()
            raise
        finally:
            self._depth = 0

    @contextlib.contextmanager
    def attempt(self) -> Iterator[None]:
        """A part of a transaction that may fail alone: its writes are undone and the rest stands."""
        with self.commit():
            self._connection.execute("SAVEPOINT attempt")
            try:
                yield
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK TO attempt")
                    self._connection.execute("RELEASE attempt")
                raise
            self._connection.execute("RELEASE attempt")

    def _undo(self) -> None:
        if self._connection.in_transaction:
            self._connection.rollback()

    def _give_way(self) -> None:
        """Gives up the reserve, so that what must be written down while the disk is full still can be."""
        self._reserve.unlink(missing_ok=True)

    def keep_reserve(self) -> None:
        """Sets some bytes aside for the time when the disk is full; nothing happens when it is full now."""
        if self._reserve.exists():
            return
        try:
            fd = os.open(self._reserve, os.O_CREAT | os.O_WRONLY, 0o600)
        except OSError:
            return
        try:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(fd, 0, _RESERVE_BYTES)
        except OSError:
            self._reserve.unlink(missing_ok=True)
        finally:
            os.close(fd)

    def run(self, sql: str, *values: Any) -> sqlite3.Cursor:
        """Executes one statement; outside `commit` it is its own transaction. Raises DiskFull."""
        try:
            return self._connection.execute(sql, values)
        except sqlite3.OperationalError as error:
            if self._depth or not _is_full(error):
                raise  # Inside a transaction `commit` says it in words.
            self._give_way()
            raise DiskFull(f"the disk that holds {self.path.parent} is full", _FREE_SPACE) from error

    def run_many(self, sql: str, rows: Any) -> None:
        self._connection.executemany(sql, rows)

    def all(self, sql: str, *values: Any) -> list[Any]:
        return self._connection.execute(sql, values).fetchall()

    def all_in(self, sql: str, *values: Any, keys: Iterable[str]) -> list[Any]:
        """All rows for many keys, some hundred at a time; ``{}`` in the statement becomes their list."""
        wanted = list(keys)
        rows: list[Any] = []
        for start in range(0, len(wanted), _KEYS_AT_ONCE):
            part = wanted[start : start + _KEYS_AT_ONCE]
            marks = f"({', '.join('?' * len(part))})"
            rows += self._connection.execute(sql.format(marks), (*values, *part)).fetchall()
        return rows

    def one(self, sql: str, *values: Any) -> Any:
        """The first row, or None."""
        return self._connection.execute(sql, values).fetchone()

    def value(self, sql: str, *values: Any) -> Any:
        """The first column of the first row, or None."""
        row = self._connection.execute(sql, values).fetchone()
        return None if row is None else row[0]

    def meta(self, key: str) -> str | None:
        found: str | None = self.value("SELECT value FROM meta WHERE key = ?", key)
        return found

    def set_meta(self, key: str, value: str) -> None:
        self.run("INSERT INTO meta VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value", key, value)

    def close(self) -> None:
        with contextlib.suppress(sqlite3.Error):
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._connection.close()


def open_writer(path: Path) -> Db:
    """Opens the database for the daemon, migrating it forward; a copy is kept before each migration.

    Raises StateCorrupt when the file is damaged (see `set_aside`) or was written by a newer syftd.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not path.exists():
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
    try:
        connection = _connect(path)
        if connection.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
            raise sqlite3.DatabaseError("quick_check failed")
        _migrate(path, connection)
    except sqlite3.OperationalError as error:
        if _is_full(error):
            raise DiskFull(f"the disk that holds {path.parent} is full", "Free some space there.") from error
        raise StateCorrupt(f"the database {path} cannot be opened: {error}") from error
    except sqlite3.DatabaseError as error:
        raise StateCorrupt(f"the database {path} is damaged: {error}") from error
    return Db(path, connection)


def open_reader(path: Path) -> Db:
    """Opens the database read-only, for commands that run beside the daemon or without it."""
    address = path.absolute().as_uri() + "?mode=ro"
    connection = sqlite3.connect(address, uri=True, isolation_level=None, timeout=5.0, check_same_thread=False)
    return Db(path, connection)


def in_memory() -> Db:
    """A fresh database in memory, for tests."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.execute("PRAGMA foreign_keys = ON")
    _migrate(None, connection)
    return Db(Path(":memory:"), connection)


def set_aside(path: Path, stamp: str) -> Path:
    """Moves a damaged database out of the way; it is rebuilt from the disk and the transport. Returns where it is."""
    aside = path.with_name(f"{path.name}.corrupt-{stamp}")
    for suffix in ("", "-wal", "-shm"):
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(aside.with_name(aside.name + suffix))
    return aside


def _is_full(error: sqlite3.OperationalError) -> bool:
    return "full" in str(error) or "disk I/O error" in str(error)


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, timeout=10.0, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA cache_size = -4000")
    connection.execute("PRAGMA journal_size_limit = 8388608")
    return connection


def _migrate(path: Path | None, connection: sqlite3.Connection) -> None:
    have = connection.execute("PRAGMA user_version").fetchone()[0]
    steps = sorted(MIGRATIONS.glob("[0-9]*.sql"))
    if have > len(steps):
        raise StateCorrupt(
            f"the database {path} was written by a newer syftd (schema {have}, this one knows {len(steps)})",
            "Install the newer syftd again.",
        )
    for number, step in enumerate(steps[have:], start=have + 1):
        if have and path is not None:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            shutil.copy2(path, path.with_name(f"{path.name}.before-{number}"))
        script = step.read_text(encoding="utf-8")
        connection.executescript(f"BEGIN; {script} PRAGMA user_version = {number}; COMMIT;")
