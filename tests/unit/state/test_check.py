"""SQLite's own check, which decides at each start whether the database is damaged, likes every table with rows in it."""

from __future__ import annotations

from pathlib import Path

from syftd.state.db import open_writer

VALUES = {"TEXT": "x", "INTEGER": 1, "REAL": 1.0, "BLOB": b"x"}


def test_a_row_in_each_table_is_not_taken_for_damage(tmp_path: Path) -> None:
    db = open_writer(tmp_path / "state.db")
    db.run("PRAGMA foreign_keys = OFF")
    tables = [row[0] for row in db.all("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")]
    for table in tables:
        kinds = [row[2] for row in db.all(f"PRAGMA table_info({table})")]
        marks = ", ".join("?" * len(kinds))
        db.run(f"INSERT OR REPLACE INTO {table} VALUES ({marks})", *(VALUES[kind] for kind in kinds))
    assert len(tables) > 15
    assert db.all("PRAGMA quick_check") == [("ok",)]
    db.close()
