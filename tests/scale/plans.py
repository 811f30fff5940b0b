"""How SQLite carries out the statements that an engine executed: which of them read a whole table."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable
from typing import Final

GROWING: Final = frozenset(
    {"file", "view", "event", "outbox", "outbox_path", "told", "message", "record", "trash", "cut", "chunk"}
)
"""Tables with a row for each file, version, message or line: no statement of a change or of a poll reads all of one."""

_SCAN = re.compile(r"SCAN (?:TABLE )?(\w+)(?:.* INDEX (\w+))?")


def whole_reads(connection: sqlite3.Connection, statements: Iterable[str]) -> dict[str, list[str]]:
    """The statements that read a growing table, or an index of it, from end to end, each with what SQLite says. A partial
    index holds just what is asked for, so that reading all of it is no whole read."""
    indexes = "SELECT name FROM sqlite_master WHERE type = 'index' AND sql LIKE '% WHERE %'"
    partial = {row[0] for row in connection.execute(indexes)}
    found: dict[str, list[str]] = {}
    for statement in statements:
        if statement.split(None, 1)[0] not in ("SELECT", "INSERT", "UPDATE", "DELETE", "WITH"):
            continue
        steps = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}")]
        scans = [
            step
            for step in steps
            if (match := _SCAN.match(step)) and match[1] in GROWING and match[2] not in partial
        ]
        if scans:
            found[statement] = scans
    return found
