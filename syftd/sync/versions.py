"""Earlier contents of the owner's own small files, so that `history` can be gone back to and a mass deletion undone.

Losing this store loses no current file, so it is not synchronised to the disk at every write.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import zlib
from collections import deque
from collections.abc import Mapping
from pathlib import Path

from syftd.errors import ItemError
from syftd.names import Digest, RelPath
from syftd.state import files
from syftd.sync.parts import Parts

_LARGEST = 1024 * 1024
_AT_ONCE = 16
_TURN_FILES = 256
_TURN_BYTES = 4 * 1024 * 1024


class Versions:
    """Keeps contents by digest, compressed, up to `cap` bytes; the oldest go first."""

    def __init__(self, path: Path, cap: int) -> None:
        self._cap = cap
        self._queue: deque[tuple[RelPath, Digest]] = deque()
        if not path.exists():
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
        self._db = _open(path)
        self._bytes = int(self._db.execute("SELECT coalesce(sum(length(bytes)), 0) FROM version").fetchone()[0])

    def accepted(self, paths: Mapping[RelPath, Digest], contents: Mapping[Digest, bytes]) -> None:
        """New contents were accepted: few are kept at once, many in turns while nothing else is to do."""
        for path, digest in paths.items():
            content = contents.get(digest)
            if content is not None and len(paths) <= _AT_ONCE:
                self._keep(digest, content)
            else:
                self._queue.append((path, digest))

    @property
    def restless(self) -> bool:
        return bool(self._queue)

    def turn(self, parts: Parts) -> None:
        """Keeps some of what waits; what has changed meanwhile is passed over."""
        size = count = 0
        with self._db:
            while self._queue and count < _TURN_FILES and size < _TURN_BYTES:
                path, digest = self._queue.popleft()
                row = files.get(parts.db, parts.me, path)
                count += 1
                if row is None or row.sha256 != digest or row.size > _LARGEST:
                    continue
                try:
                    content, _ = parts.disk.read(parts.me, row.spelling, _LARGEST)
                except ItemError:
                    continue
                if Digest.of(content) == digest:
                    self._keep(digest, content)
                    size += len(content)

    def get(self, digest: Digest) -> bytes | None:
        """A kept content, verified; None when it is not (or no longer) kept."""
        row = self._db.execute("SELECT bytes FROM version WHERE sha256 = ?", (digest,)).fetchone()
        if row is None:
            return None
        content = zlib.decompress(row[0])
        return content if Digest.of(content) == digest else None

    def _keep(self, digest: Digest, content: bytes) -> None:
        if len(content) > _LARGEST or self._cap == 0:
            return
        packed = zlib.compress(content, 1)
        added = self._db.execute("INSERT OR IGNORE INTO version (sha256, bytes) VALUES (?, ?)", (digest, packed))
        if added.rowcount:
            self._bytes += len(packed)
        while self._bytes > self._cap:
            oldest = self._db.execute("SELECT n, length(bytes) FROM version ORDER BY n LIMIT 1").fetchone()
            self._db.execute("DELETE FROM version WHERE n = ?", (oldest[0],))
            self._bytes -= oldest[1]

    def close(self) -> None:
        with contextlib.suppress(sqlite3.Error):
            self._db.commit()
        self._db.close()


def _open(path: Path) -> sqlite3.Connection:
    """Opens the store; a damaged one is begun anew, since it holds no current file."""
    for attempt in (1, 2):
        db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        try:
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = OFF")
            db.execute(
                "CREATE TABLE IF NOT EXISTS version (n INTEGER PRIMARY KEY, sha256 TEXT NOT NULL UNIQUE, bytes BLOB "
                "NOT NULL) STRICT"
            )
            db.execute("SELECT count(*) FROM version").fetchone()
        except sqlite3.DatabaseError:
            db.close()
            if attempt == 2:
                raise
            path.rename(path.with_name(path.name + ".corrupt"))
        else:
            return db
    raise AssertionError("unreachable")
