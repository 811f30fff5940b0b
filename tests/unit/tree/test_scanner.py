"""The scanner: finds what changed, and never takes “I cannot tell” for “it is gone”."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import pytest

from syftd.errors import Denied, RootMissing
from syftd.names import Digest, Email, RelPath
from syftd.seams import SystemClock
from syftd.tree.disk import Listing, RealDisk
from syftd.tree.ignore import Ignores
from syftd.tree.scanner import Findings, Known, Scanner, Seen
from tests.unit.tree.conftest import ME, HandClock

NFC, NFD = "caf\u00e9", "cafe\u0301"
TICK_NS = 10_000_000


class Rows(dict[str, Known]):
    def get(self, path: str, default: Known | None = None) -> Known | None:  # type: ignore[override]
        return super().get(path, default)

    def below(self, prefix: str) -> Iterable[tuple[RelPath, Known]]:
        return [(RelPath(k), v) for k, v in self.items() if not prefix or k == prefix or k.startswith(prefix + "/")]

    def take(self, findings: Iterable[Findings]) -> list[Findings]:
        kept = list(findings)
        for each in (seen for found in kept for seen in found.seen):
            if each.stat is None or each.digest is None:
                del self[each.path]
            else:
                self[each.path] = Known(each.stat, each.digest, each.settled)
        return kept


@pytest.fixture
def scanner(disk: RealDisk, clock: HandClock) -> Scanner:
    clock.at = time.time() + 60  # Whatever the tests write was written a minute ago.
    return Scanner(disk, Ignores(disk), clock, TICK_NS)


@pytest.fixture
def rows() -> Rows:
    return Rows()


def one(findings: list[Findings]) -> Findings:
    assert len(findings) == 1
    return findings[0]


def paths(found: Findings) -> dict[str, bool]:
    """Path to whether it is there."""
    return {seen.path: seen.stat is not None for seen in found.seen}


def test_walk_finds_what_differs(scanner: Scanner, site: Path, rows: Rows) -> None:
    (site / "d").mkdir()
    (site / "d/a").write_bytes(b"one")
    (site / "empty").write_bytes(b"")
    (site / "big").write_bytes(b"x" * 70_000)
    found = one(rows.take(scanner.walk(ME, rows)))
    assert paths(found) == {"d/a": True, "empty": True, "big": True}
    contents = {seen.path: seen.content for seen in found.seen}
    assert contents == {"d/a": b"one", "empty": b"", "big": None}
    assert rows["big"].digest == Digest.of(b"x" * 70_000)
    assert all(known.settled for known in rows.values())
    quiet = one(rows.take(scanner.walk(ME, rows)))
    assert quiet == Findings(checked=3)
    (site / "d/a").write_bytes(b"two")
    (site / "empty").unlink()
    (site / "big").chmod(0o755)
    assert paths(one(rows.take(scanner.walk(ME, rows)))) == {"d/a": True, "empty": False, "big": True}
    assert rows["big"].stat.executable


def test_a_rename_is_in_one_batch(scanner: Scanner, site: Path, rows: Rows) -> None:
    (site / "d").mkdir()
    (site / "d/a").write_bytes(b"one")
    rows.take(scanner.walk(ME, rows))
    (site / "d").rename(site / "e")
    assert paths(scanner.look(ME, ["d", "e"], rows)) == {"d/a": False, "e/a": True}
    assert paths(one(list(scanner.walk(ME, rows)))) == {"d/a": False, "e/a": True}


def test_nothing_old_is_read(
    scanner: Scanner, disk: RealDisk, site: Path, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    (site / "a").write_bytes(b"one")
    rows.take(scanner.walk(ME, rows))
    monkeypatch.setattr(disk, "read", None)
    monkeypatch.setattr(disk, "digest", None)
    assert one(list(scanner.walk(ME, rows))).seen == []
    assert scanner.look(ME, ["a"], rows).seen == []


def test_look_at_a_file_a_folder_and_what_is_gone(scanner: Scanner, site: Path, rows: Rows) -> None:
    (site / "d/e").mkdir(parents=True)
    (site / "d/e/a").write_bytes(b"1")
    (site / "d/b").write_bytes(b"2")
    (site / "c").write_bytes(b"3")
    found = scanner.look(ME, ["d/e/a", "d/e/a"], rows)
    assert paths(found) == {"d/e/a": True}
    rows.take([found])
    rows.take([scanner.look(ME, ["d"], rows)])
    assert set(rows) == {"d/e/a", "d/b"}
    shutil.rmtree(site / "d")
    assert paths(scanner.look(ME, ["d"], rows)) == {"d/e/a": False, "d/b": False}
    (site / "d").write_bytes(b"a file now")
    assert paths(scanner.look(ME, ["d"], rows)) == {"d": True, "d/e/a": False, "d/b": False}
    assert paths(scanner.look(ME, [""], rows)) == {"c": True, "d": True, "d/e/a": False, "d/b": False}
    rows.take([scanner.look(ME, [""], rows)])
    (site / "d").unlink()
    (site / "d").mkdir()
    assert paths(scanner.look(ME, ["d"], rows)) == {"d": False}


def test_a_rewrite_with_an_equal_observation_is_found_while_unsettled(
    scanner: Scanner, disk: RealDisk, clock: HandClock, site: Path, rows: Rows
) -> None:
    """The racy case: same size, and a disk whose clock did not tick between the two writes."""
    (site / "a").write_bytes(b"one")
    stat = disk.stat(ME, "a")
    assert stat is not None
    clock.at = stat.ctime_ns / 1e9 + 0.005
    found = scanner.look(ME, ["a"], rows)
    assert not found.seen[0].settled
    rows.take([found])
    (site / "a").write_bytes(b"two")
    now = disk.stat(ME, "a")
    assert now is not None
    rows["a"] = rows["a"]._replace(stat=now)
    clock.at = now.ctime_ns / 1e9 + 60
    again = one(rows.take(scanner.walk(ME, rows)))
    assert [(seen.digest, seen.settled) for seen in again.seen] == [(Digest.of(b"two"), True)]
    assert one(list(scanner.walk(ME, rows))).seen == []


def test_times_in_the_past_and_in_the_future(scanner: Scanner, disk: RealDisk, site: Path, rows: Rows) -> None:
    (site / "a").write_bytes(b"one")
    os.utime(site / "a", ns=(10**18, 5 * 10**18))
    rows.take(scanner.walk(ME, rows))
    assert rows["a"].settled, "a date in the far future alone must not have a file hashed for ever"
    (site / "a").write_bytes(b"two")
    os.utime(site / "a", ns=(10**18, 5 * 10**18))
    assert [seen.content for seen in one(list(scanner.walk(ME, rows))).seen] == [b"two"], "ctime tells"


def test_a_walk_leaves_fresh_changes_alone(disk: RealDisk, site: Path, rows: Rows) -> None:
    scanner = Scanner(disk, Ignores(disk), SystemClock(), TICK_NS, quiet=30)
    (site / "a").write_bytes(b"half")
    found = one(list(scanner.walk(ME, rows)))
    assert (found.seen, found.in_motion) == ([], ["a"])
    assert paths(scanner.look(ME, ["a"], rows)) == {"a": True}


def test_a_file_in_motion(
    scanner: Scanner, disk: RealDisk, site: Path, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    (site / "a").write_bytes(b"one")
    rows.take(scanner.walk(ME, rows))
    (site / "a").write_bytes(b"more")
    real = os.pread

    def pread(fd: int, length: int, offset: int) -> bytes:
        with (site / "a").open("ab") as file:
            file.write(b"more")
        return real(fd, length, offset)

    monkeypatch.setattr(os, "pread", pread)
    found = one(list(scanner.walk(ME, rows)))
    assert (found.seen, found.in_motion) == ([], ["a"])


def test_an_unreadable_folder_is_unknown(
    scanner: Scanner, disk: RealDisk, site: Path, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    (site / "d/e").mkdir(parents=True)
    (site / "d/e/a").write_bytes(b"1")
    (site / "b").write_bytes(b"2")
    rows.take(scanner.walk(ME, rows))
    real = disk.entries

    def entries(site: Email, path: str) -> Listing | None:
        if path == "d":
            raise Denied("not permitted")
        return real(site, path)

    monkeypatch.setattr(disk, "entries", entries)
    (site / "b").unlink()
    found = one(list(scanner.walk(ME, rows)))
    assert paths(found) == {"b": False}
    assert found.unknown == [("d", "not permitted")]
    assert paths(scanner.look(ME, ["d"], rows)) == {}


AS_ORDINARY_USER = """
import ctypes, json, os, sys  # The interpreter's own files may be out of reach afterwards.
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from syftd.seams import SystemClock, SystemRandom
from syftd.tree.disk import RealDisk
from syftd.tree.ignore import Ignores
from syftd.tree.scanner import Scanner
from tests.unit.tree.test_scanner import Rows
from tests.unit.tree.conftest import ME
os.setgroups([]); os.setegid(65534); os.seteuid(65534)
disk = RealDisk(Path(sys.argv[2]), SystemClock(), SystemRandom())
disk.make_private_dir(ME, "")
for path in ("d/a", "e", "f/g"):
    disk.write_own(ME, path, b"1")
scanner, rows = Scanner(disk, Ignores(disk), SystemClock(), 0, quiet=0), Rows()
rows.take(scanner.walk(ME, rows))
assert set(rows) == {"d/a", "e", "f/g"}, rows
site = disk.data / "datasites" / ME
os.chmod(site / "d", 0); os.chmod(site / "e", 0); os.unlink(site / "f/g")
(found,) = scanner.walk(ME, rows)
assert [(seen.path, seen.stat) for seen in found.seen] == [("f/g", None)], found
assert sorted(path for path, _ in found.unknown) == ["d", "e"], found
found = scanner.look(ME, ["d", "d/a", "e"], rows)
assert found.seen == [] and len(found.unknown) == 3, found
os.chmod(site / "d", 0o700)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_an_unreadable_folder_as_an_ordinary_user(tmp_path_factory: pytest.TempPathFactory) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as place:
        os.chmod(place, 0o777)
        root = str(Path(__file__).parents[3])
        run = subprocess.run(
            [sys.executable, "-c", AS_ORDINARY_USER, root, f"{place}/data"], capture_output=True, text=True, cwd=root
        )
        assert run.returncode == 0, run.stderr


def test_a_missing_datasite_is_not_an_empty_one(scanner: Scanner, site: Path, rows: Rows) -> None:
    (site / "a").write_bytes(b"1")
    rows.take(scanner.walk(ME, rows))
    shutil.rmtree(site)
    with pytest.raises(RootMissing):
        list(scanner.walk(ME, rows))
    with pytest.raises(RootMissing):
        scanner.look(ME, ["a"], rows)


def test_two_spellings_of_one_name(scanner: Scanner, site: Path, rows: Rows) -> None:
    (site / NFD).write_bytes(b"1")
    (site / f"{NFD}-dir").mkdir()
    (site / f"{NFD}-dir/x").write_bytes(b"1")
    rows.take(scanner.walk(ME, rows))
    assert set(rows) == {NFC, f"{NFC}-dir/x"}
    assert scanner.look(ME, [NFC, f"{NFC}-dir/x"], rows).seen == [], "a key is found by its spelling"
    (site / NFC).write_bytes(b"2")
    (site / f"{NFC}-dir").mkdir()
    (site / "other").write_bytes(b"3")
    found = one(list(scanner.walk(ME, rows)))
    assert paths(found) == {"other": True}
    assert sorted((key, sorted(spellings)) for key, spellings in found.clashes) == [
        (NFC, sorted([NFC, NFD])),
        (f"{NFC}-dir", sorted([f"{NFC}-dir", f"{NFD}-dir"])),
    ]
    for path in (NFC, NFD, f"{NFC}-dir/x"):
        looked = scanner.look(ME, [path], rows)
        assert looked.seen == [] and len(looked.clashes) == 1
    (site / NFD).unlink()
    assert paths(scanner.look(ME, [NFD], rows)) == {NFC: True}


def test_a_seen_name_tells_its_spelling(scanner: Scanner, site: Path, rows: Rows) -> None:
    (site / NFD).mkdir()
    (site / NFD / "x").write_bytes(b"1")
    seen = one(list(scanner.walk(ME, rows))).seen[0]
    assert (seen.path, seen.spelling) == (f"{NFC}/x", f"{NFD}/x")


def test_names_that_cannot_be_keys(scanner: Scanner, site: Path, rows: Rows) -> None:
    for name in (b"bad\xff", b"new\nline", b"back\\slash", b"fine"):
        Path(os.fsdecode(os.fsencode(site) + b"/" + name)).write_bytes(b"1")
    Path(os.fsdecode(os.fsencode(site) + b"/dir\xff")).mkdir()
    Path(os.fsdecode(os.fsencode(site) + b"/dir\xff/x")).write_bytes(b"1")
    found = one(list(scanner.walk(ME, rows)))
    assert paths(found) == {"fine": True}
    assert len(found.invalid) == 4
    for path, reason in found.invalid:
        (path + reason).encode()  # A log can hold it.
    assert len(scanner.look(ME, [os.fsdecode(b"bad\xff")], rows).invalid) == 1
    os.unlink(os.fsencode(site) + b"/bad\xff")
    assert scanner.look(ME, [os.fsdecode(b"bad\xff")], rows).invalid == [], "what is gone is no trouble any more"


def test_links_and_special_files(scanner: Scanner, site: Path, rows: Rows, tmp_path: Path) -> None:
    (site / "d").mkdir()
    (site / "d/a").write_bytes(b"1")
    (site / "b").write_bytes(b"2")
    rows.take(scanner.walk(ME, rows))
    (site / "d").rename(tmp_path / "d")
    (site / "d").symlink_to(tmp_path / "d")
    (site / "b").unlink()
    (site / "b").symlink_to("/etc/passwd")
    os.mkfifo(site / "pipe")
    found = one(list(scanner.walk(ME, rows)))
    assert paths(found) == {"d/a": False, "b": False}
    assert sorted(found.symlinks) == ["b", "d"]
    assert found.special == ["pipe"]
    assert paths(scanner.look(ME, ["d/a", "b"], rows)) == {"d/a": False, "b": False}


def test_ignored_is_not_deleted(scanner: Scanner, site: Path, rows: Rows) -> None:
    for path in ("private/x", ".syft/y", "d/__pycache__/z", "d/a.swp", "keep.log", "d/b.log", "d/private/ok"):
        (site / path).parent.mkdir(parents=True, exist_ok=True)
        (site / path).write_bytes(b"1")
    rows.take(scanner.walk(ME, rows))
    assert set(rows) == {"keep.log", "d/b.log", "d/private/ok"}
    (site / "d/syftignore").write_text("*.log\n")
    (site / "d/b.log").write_bytes(b"changed")
    found = one(rows.take(scanner.walk(ME, rows)))
    assert paths(found) == {"d/syftignore": True}
    assert "d/b.log" in rows
    assert scanner.look(ME, ["d/b.log", "private/x", "private"], rows).seen == []
    (site / "d/b.log").unlink()
    assert paths(one(list(scanner.walk(ME, rows)))) == {}


def test_an_unreadable_ignore_file_publishes_nothing(
    scanner: Scanner, disk: RealDisk, site: Path, rows: Rows
) -> None:
    (site / "d").mkdir()
    (site / "d/secret").write_bytes(b"1")
    (site / "d/syftignore").write_bytes(b"x" * 300_000)
    found = one(list(scanner.walk(ME, rows)))
    assert found.seen == []
    assert [path for path, _ in found.unknown] == ["d"]


def test_a_file_that_was_away_for_a_moment(
    scanner: Scanner, disk: RealDisk, site: Path, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    (site / "a").write_bytes(b"1")
    rows.take(scanner.walk(ME, rows))
    real = disk.entries

    def entries(site: Email, path: str) -> Listing | None:
        listing = real(site, path)
        assert listing is not None
        listing.files.clear()
        return listing

    monkeypatch.setattr(disk, "entries", entries)
    found = one(list(scanner.walk(ME, rows)))
    assert (found.seen, found.in_motion) == ([], ["a"])


def test_batches_and_speed(scanner: Scanner, site: Path, rows: Rows) -> None:
    for folder in range(20):
        (site / f"d{folder}").mkdir()
        for number in range(100):
            (site / f"d{folder}/{number}").write_bytes(b"1")
    batches = rows.take(scanner.walk(ME, rows))
    assert len(batches) == 4
    assert max(len(found.seen) for found in batches) == 512
    assert sum(found.checked for found in batches) == 2000
    started = time.process_time()
    assert not any(found.seen for found in scanner.walk(ME, rows))
    assert time.process_time() - started < 0.2, "2,000 unchanged files take about 15 ms"


def test_seen_is_what_is_promised() -> None:
    assert Seen._fields == ("path", "spelling", "stat", "digest", "content", "settled")
