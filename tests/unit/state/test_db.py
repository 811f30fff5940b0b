"""The database: one commit is all or nothing, damage is noticed, and it only ever moves forward."""

from __future__ import annotations

import os
import sqlite3
import stat
from pathlib import Path

import pytest

from syftd.errors import StateCorrupt
from syftd.state import db as state_db
from syftd.state.db import Db, in_memory, open_reader, open_writer, set_aside


@pytest.fixture
def db() -> Db:
    return in_memory()


def test_a_commit_is_all_or_nothing(db: Db) -> None:
    with pytest.raises(RuntimeError), db.commit():
        db.set_meta("a", "1")
        raise RuntimeError
    assert db.meta("a") is None
    with db.commit():
        db.set_meta("a", "1")
        db.set_meta("b", "2")
    assert (db.meta("a"), db.meta("b")) == ("1", "2")


def test_an_inner_commit_belongs_to_the_outer_one(db: Db) -> None:
    with pytest.raises(RuntimeError), db.commit():
        with db.commit():
            db.set_meta("a", "1")
        raise RuntimeError
    assert db.meta("a") is None


def test_an_error_in_an_inner_commit_undoes_the_whole_even_when_nobody_meant_to(db: Db) -> None:
    with pytest.raises(RuntimeError), db.commit():
        db.set_meta("a", "1")
        with db.commit():
            raise RuntimeError
    assert db.meta("a") is None
    with db.commit():
        db.set_meta("c", "3")
    assert db.meta("c") == "3", "the next commit is not disturbed"


def test_an_attempt_fails_alone(db: Db) -> None:
    with db.commit():
        db.set_meta("a", "1")
        with pytest.raises(RuntimeError), db.attempt():
            db.set_meta("b", "2")
            raise RuntimeError
        db.set_meta("c", "3")
    assert (db.meta("a"), db.meta("b"), db.meta("c")) == ("1", None, "3")


def test_many_keys_are_asked_for_in_parts(db: Db) -> None:
    keys = [f"key-{number:04d}" for number in range(1000)]
    db.run_many("INSERT INTO meta VALUES (?, 'x')", ((key,) for key in keys))
    found = db.all_in("SELECT key FROM meta WHERE key IN {}", keys=[*keys, "another"])
    assert sorted(row[0] for row in found) == keys


def test_what_was_committed_is_there_after_a_crash(tmp_path: Path) -> None:
    path = tmp_path / "state" / "state.db"
    writer = open_writer(path)
    writer.set_meta("a", "1")
    writer._connection.execute("BEGIN")
    writer._connection.execute("INSERT INTO meta VALUES ('b', '2')")
    writer._connection.close()
    again = open_writer(path)
    assert (again.meta("a"), again.meta("b")) == ("1", None)
    again.close()


def test_only_the_owner_may_look_into_it(tmp_path: Path) -> None:
    path = tmp_path / "state" / "state.db"
    open_writer(path).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) & 0o077 == 0


def test_a_reader_sees_what_is_committed_and_cannot_write(tmp_path: Path) -> None:
    writer = open_writer(tmp_path / "state.db")
    reader = open_reader(tmp_path / "state.db")
    with writer.commit():
        writer.set_meta("a", "1")
        assert reader.meta("a") is None
    assert reader.meta("a") == "1"
    with pytest.raises(sqlite3.OperationalError):
        reader.set_meta("b", "2")
    reader.close()
    writer.close()


@pytest.mark.parametrize("damage", [b"not a database at all, but long enough to be looked at" * 20, b"\0" * 8192])
def test_damage_is_noticed_and_can_be_set_aside(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "state.db"
    path.write_bytes(damage)
    if damage.startswith(b"\0"):
        open_writer(path.with_name("good.db")).close()
        content = bytearray(path.with_name("good.db").read_bytes())
        content[100:4000] = os.urandom(3900)
        path.write_bytes(content)
    with pytest.raises(StateCorrupt) as failure:
        open_writer(path)
    assert str(path) in str(failure.value) and not failure.value.remedy
    aside = set_aside(path, "20330518T033320Z")
    assert aside.exists() and not path.exists()
    open_writer(path).close()


def test_a_database_of_a_newer_syftd_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    writer = open_writer(path)
    writer.run("PRAGMA user_version = 999")
    writer.close()
    with pytest.raises(StateCorrupt) as failure:
        open_writer(path)
    assert failure.value.remedy, "a person can do something about it, so it is not set aside"


def test_a_migration_keeps_a_copy_of_what_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "state.db"
    writer = open_writer(path)
    writer.set_meta("a", "1")
    count = writer.value("PRAGMA user_version")
    writer.close()
    steps = tmp_path / "migrations"
    steps.mkdir()
    for step in state_db.MIGRATIONS.glob("*.sql"):
        (steps / step.name).write_text(step.read_text(encoding="utf-8"), encoding="utf-8")
    (steps / f"{count + 1:04d}_more.sql").write_text("CREATE TABLE more (a TEXT) STRICT;", encoding="utf-8")
    monkeypatch.setattr(state_db, "MIGRATIONS", steps)
    again = open_writer(path)
    assert again.value("PRAGMA user_version") == count + 1
    assert again.meta("a") == "1"
    again.close()
    kept = path.with_name(f"state.db.before-{count + 1}")
    assert open_reader(kept).meta("a") == "1"


def test_a_migration_that_fails_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "state.db"
    open_writer(path).close()
    steps = tmp_path / "migrations"
    steps.mkdir()
    names = sorted(step.name for step in state_db.MIGRATIONS.glob("*.sql"))
    for name in names:
        (steps / name).write_text((state_db.MIGRATIONS / name).read_text(encoding="utf-8"), encoding="utf-8")
    broken = steps / f"{len(names) + 1:04d}_broken.sql"
    broken.write_text("CREATE TABLE half (a TEXT) STRICT; CREATE TABLE half (a TEXT) STRICT;", encoding="utf-8")
    monkeypatch.setattr(state_db, "MIGRATIONS", steps)
    with pytest.raises(StateCorrupt):
        open_writer(path)
    monkeypatch.undo()
    again = open_writer(path)
    assert again.value("SELECT count(*) FROM sqlite_master WHERE name = 'half'") == 0
    again.close()
