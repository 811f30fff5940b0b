"""Many small files and one large file, from cold: never seen by either end, fresh random bytes in every round."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.peers import (
    Pair,
    forget_peak,
    has_rclone,
    has_syncthing,
    highest,
    rclone_copy,
    syftd_pair,
    syncthing_pair,
    total_cpu,
)
from tests.bench.report import Row, summary

SMALL_FILES = 10_000
FOLDERS = 100
LARGE_BYTES = 1 << 30
ROUNDS = 3
LATEST_SECONDS = 600.0
BLOCK = 1 << 20


@dataclass(slots=True)
class Taken:
    """What the rounds of one pair took: seconds on the wall, CPU seconds of both ends, highest memory in MB."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    peak: list[float] = field(default_factory=list)


def measure_small(place: Path, *, quick: bool) -> list[Row]:
    """10,000 files of 1 KB appear at once (one rename of their folder) until all are byte-equal at the other end."""
    count = 1_000 if quick else SMALL_FILES

    def make(folder: Path) -> None:
        for number in range(count):
            inside = folder / f"{number % FOLDERS:02d}"
            inside.mkdir(parents=True, exist_ok=True)
            (inside / f"{number:05d}.bin").write_bytes(os.urandom(1024))

    ours, theirs, copier = _rounds(place, 1 if quick else ROUNDS, make)
    return _rows("small", f"{count:,} x 1 KB", ours, theirs, copier, ratio_limit=0.4)


def measure_large(place: Path, *, quick: bool) -> list[Row]:
    """One file of 1 GiB appears at once until it is byte-equal at the other end; with the peak memory of the ends."""
    size = (64 << 20) if quick else LARGE_BYTES

    def make(folder: Path) -> None:
        folder.mkdir()
        with (folder / "large.bin").open("wb") as file:
            for _ in range(size // BLOCK):
                file.write(os.urandom(BLOCK))

    ours, theirs, copier = _rounds(place, 1 if quick else ROUNDS, make)
    name = f"1 x {size >> 20:,} MiB"
    rows = _rows("large", name, ours, theirs, copier, ratio_limit=1.0)
    peak, low, high = summary(ours.peak)
    peer = summary(theirs.peak)[0] if theirs.peak else None
    rows.append(
        Row("large", f"{name}, peak memory", peak, "MB", len(ours.peak), low, high, "Syncthing" if peer else "", peer,
            note="highest VmHWM of the two ends; Syncthing's likewise")
    )  # fmt: skip
    return rows


def _rounds(place: Path, rounds: int, make: Callable[[Path], None]) -> tuple[Taken, Taken, list[float]]:
    ours, theirs, copier = Taken(), Taken(), list[float]()
    with ExitStack() as stack:
        pairs: list[tuple[Pair, Taken]] = [(stack.enter_context(syftd_pair(place / "syftd")), ours)]
        if has_syncthing():
            pairs.append((stack.enter_context(syncthing_pair(place / "syncthing")), theirs))
        for number in range(rounds):
            for pair, taken in pairs:
                _one(pair, taken, f"round-{number}", make)
            if has_rclone():
                source, target = place / "source", place / "target"
                make(source)
                copier.append(rclone_copy(source, target))
                shutil.rmtree(source)
                shutil.rmtree(target)
    return ours, theirs, copier


def _one(pair: Pair, taken: Taken, name: str, make: Callable[[Path], None]) -> None:
    """One round. The clock stops when every file is there at its full size (both tools rename whole files into place);
    that the bytes are the same is checked after it, so that reading them back is not counted."""
    prepared = pair.scratch / name
    make(prepared)
    expected = _sizes(prepared)
    forget_peak(pair)
    cpu, begin = total_cpu(pair), time.perf_counter()
    prepared.rename(pair.send / name)
    while _sizes(pair.receive / name) != expected:
        if time.perf_counter() - begin > LATEST_SECONDS:
            there = len(_sizes(pair.receive / name))
            raise TimeoutError(f"{pair.name}: {there} of {len(expected)} files after {LATEST_SECONDS:.0f} s")
        time.sleep(0.1 if len(expected) > 1 else 0.01)
    taken.wall.append(time.perf_counter() - begin)
    taken.cpu.append(total_cpu(pair) - cpu)
    taken.peak.append(highest(pair, "VmHWM"))
    for path in expected:
        if not _same(pair.send / name / path, pair.receive / name / path):
            raise AssertionError(f"{pair.name} brought other bytes for {name}/{path}")


def _sizes(folder: Path) -> dict[str, int]:
    """The size of every file below a folder; names that begin with a dot are a tool's temporary files."""
    found = {}
    pending = [(str(folder), "")]
    while pending:
        where, prefix = pending.pop()
        try:
            with os.scandir(where) as entries:
                for entry in entries:
                    if entry.name.startswith("."):
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        pending.append((entry.path, f"{prefix}{entry.name}/"))
                    else:
                        found[prefix + entry.name] = entry.stat(follow_symlinks=False).st_size
        except FileNotFoundError:
            continue  # It has not arrived, or was a temporary name that has been renamed meanwhile.
    return found


def _same(one: Path, other: Path) -> bool:
    with one.open("rb") as left, other.open("rb") as right:
        while block := left.read(BLOCK):
            if block != right.read(BLOCK):
                return False
        return not right.read(1)


def _rows(group: str, name: str, ours: Taken, theirs: Taken, copier: list[float], ratio_limit: float) -> list[Row]:
    wall, low, high = summary(ours.wall)
    cpu, cpu_low, cpu_high = summary(ours.cpu)
    n, peer = len(ours.wall), "Syncthing" if theirs.wall else ""
    rows = [
        Row(group, name, wall, "s", n, low, high, peer, summary(theirs.wall)[0] if peer else None,
            ratio_limit=ratio_limit if peer else None),
        Row(group, f"{name}, CPU of both ends", cpu, "s", n, cpu_low, cpu_high, peer,
            summary(theirs.cpu)[0] if peer else None),
    ]  # fmt: skip
    if copier:
        rows.append(
            Row(group, f"{name}, beside rclone copy", wall, "s", n, low, high, "rclone", summary(copier)[0],
                note="a plain copy by one process that neither watches, indexes, encrypts nor records; for orientation")
        )  # fmt: skip
    return rows
