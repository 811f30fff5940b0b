"""How long it takes to look through a datasite in which nothing has changed, with the daemon's own parts."""

from __future__ import annotations

import time
from pathlib import Path

from syftd.names import Email
from syftd.seams import SystemClock, SystemRandom
from syftd.state import files
from syftd.state.db import Db, open_writer
from syftd.sync.parts import Index
from syftd.tree.disk import RealDisk
from syftd.tree.ignore import Ignore
from syftd.tree.scanner import Scanner, Seen
from tests.bench.report import Row, summary

SIZES = (10_000, 100_000)
PASSES = 5
FOLDERS = 200
LATEST_SECONDS = 600.0
SITE = Email("owner@hospital.example")


def measure(place: Path, *, quick: bool) -> list[Row]:
    """Fills a datasite twice, indexes it through the scanner, and times passes that find nothing."""
    smaller, larger = (size // 10 for size in SIZES) if quick else SIZES
    data = place / "data"
    site = data / "datasites" / SITE
    site.mkdir(parents=True)
    disk = RealDisk(data, SystemClock(), SystemRandom())
    db = open_writer(place / "state.db")
    taken: dict[int, list[float]] = {}
    cpu: dict[int, list[float]] = {}
    try:
        scanner = Scanner(disk, Ignore(), SystemClock(), disk.probe_granularity())
        index = Index(db, SITE)
        begin = 0
        for size in (smaller, larger):
            _fill(site, begin, size)
            begin = size
            _index(scanner, index, db, size)
            passes = [_pass(scanner, index, size) for _ in range(PASSES)]
            taken[size], cpu[size] = ([one[figure] for one in passes] for figure in (0, 1))
    finally:
        db.close()
        disk.close()
    rows = []
    for size, limit in ((smaller, None), (larger, larger / 100_000 * 2.0)):
        middle, low, high = summary(taken[size])
        rows.append(Row("rescan", f"rescan of {size:,} unchanged files", middle, "s", PASSES, low, high, limit=limit))
    growth = min(cpu[larger]) / min(cpu[smaller]) / (larger / smaller)
    rows.append(
        Row("rescan", "rescan time, growth beyond linear", growth, "x", PASSES, limit=1.5,
            note="CPU time per file with ten times the files, relative to before; 1 is linear")
    )  # fmt: skip
    return rows


def _fill(site: Path, begin: int, end: int) -> None:
    for number in range(begin, end):
        inside = site / f"{number % FOLDERS:03d}"
        inside.mkdir(exist_ok=True)
        (inside / f"{number:06d}.txt").write_bytes(b"%d\n" % number)


def _index(scanner: Scanner, index: Index, db: Db, expected: int) -> None:
    """Passes until one finds nothing new: a file written a moment ago is seen twice before it counts as settled."""
    deadline = time.monotonic() + LATEST_SECONDS
    while time.monotonic() < deadline:
        news = 0
        for found in scanner.walk(SITE, index):
            news += len(found.seen) + len(found.in_motion)
            with db.commit():
                files.put(db, SITE, [_row(seen) for seen in found.seen])
        if not news and files.count(db, SITE) == expected:
            return
        time.sleep(0.1)
    raise TimeoutError(f"the index did not come to rest: {files.count(db, SITE)} of {expected} files")


def _row(seen: Seen) -> files.FileRow:
    assert seen.stat is not None, f"{seen.path} vanished while nothing was deleted"
    assert seen.digest is not None
    return files.FileRow(seen.path, seen.spelling, seen.digest, *seen.stat, seen.settled)


def _pass(scanner: Scanner, index: Index, expected: int) -> tuple[float, float]:
    """Seconds on the wall and of CPU time."""
    begin, cpu = time.perf_counter(), time.process_time()
    findings = list(scanner.walk(SITE, index))
    taken = time.perf_counter() - begin, time.process_time() - cpu
    assert sum(found.checked for found in findings) == expected
    assert not any(found.seen for found in findings)
    return taken
