"""The file table: per datasite, the last accepted observation of each path."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from syftd.names import PERMISSION_FILE, Digest, Email, RelPath
from syftd.state.db import Db

_COLUMNS = "path, spelling, sha256, size, mtime_ns, ctime_ns, inode, executable, settled"


class FileRow(NamedTuple):
    """One path as last accepted."""

    path: RelPath
    spelling: str
    sha256: Digest
    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    executable: bool
    settled: bool


def get(db: Db, site: Email, path: str) -> FileRow | None:
    found = db.one(f"SELECT {_COLUMNS} FROM file WHERE site = ? AND path = ?", site, path)
    return _read(found) if found else None


def get_many(db: Db, site: Email, paths: Iterable[str]) -> dict[RelPath, FileRow]:
    rows = db.all_in(f"SELECT {_COLUMNS} FROM file WHERE site = ? AND path IN {{}}", site, keys=paths)
    return {found.path: found for found in map(_read, rows)}


def below(db: Db, site: Email, prefix: str) -> list[FileRow]:
    """All rows at or under `prefix` ('' for the whole datasite), in path order."""
    if not prefix:
        rows = db.all(f"SELECT {_COLUMNS} FROM file WHERE site = ? ORDER BY path", site)
    else:
        # Two look-ups in the key's order: one condition with OR would read the whole datasite.
        rows = db.all(f"SELECT {_COLUMNS} FROM file WHERE site = ? AND path = ?", site, prefix) + db.all(
            f"SELECT {_COLUMNS} FROM file WHERE site = ? AND path >= ? AND path < ? ORDER BY path",
            site,
            prefix + "/",
            prefix + "0",
        )
    return [_read(found) for found in rows]


def permission_files(db: Db, site: Email) -> list[RelPath]:
    """The paths of all permission files of a datasite, in order; only they are brought into memory."""
    rows = db.all(
        "SELECT path FROM file WHERE site = ? AND (path = ? OR path LIKE ?) ORDER BY path",
        site, PERMISSION_FILE, f"%/{PERMISSION_FILE}",
    )  # fmt: skip
    return [path for row in rows if (path := RelPath(row[0])).is_permission_file]


def after(db: Db, site: Email, path: str, limit: int) -> list[FileRow]:
    """The next `limit` rows after `path` in path order; how a full pass is taken in pieces."""
    rows = db.all(f"SELECT {_COLUMNS} FROM file WHERE site = ? AND path > ? ORDER BY path LIMIT ?", site, path, limit)
    return [_read(found) for found in rows]


def put(db: Db, site: Email, rows: Iterable[FileRow]) -> None:
    db.run_many(
        "INSERT OR REPLACE INTO file VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        ((site, *found[:7], int(found.executable), int(found.settled)) for found in rows),
    )


def drop(db: Db, site: Email, paths: Iterable[str]) -> None:
    db.run_many("DELETE FROM file WHERE site = ? AND path = ?", ((site, path) for path in paths))


def drop_site(db: Db, site: Email) -> None:
    db.run("DELETE FROM file WHERE site = ?", site)


def count(db: Db, site: Email, most: int = -1) -> int:
    """How many files a datasite has; with `most` the counting ends there."""
    return int(db.value("SELECT count(*) FROM (SELECT 1 FROM file WHERE site = ? LIMIT ?)", site, most))


def with_digest(db: Db, sha256: Digest) -> Iterator[tuple[Email, str]]:
    """(site, spelling) of large files believed to hold this content; the reader must verify."""
    for site, spelling in db.all("SELECT site, spelling FROM file WHERE sha256 = ? AND size > 262144 LIMIT 8", sha256):
        yield Email(site), spelling


def _read(found: tuple[Any, ...]) -> FileRow:
    path, spelling, sha256, size, mtime_ns, ctime_ns, inode, executable, settled = found
    return FileRow(
        RelPath(path), spelling, Digest(sha256), size, mtime_ns, ctime_ns, inode, bool(executable), bool(settled)
    )
