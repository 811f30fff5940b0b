"""What two ends cost when nothing happens: CPU and memory while they hold 10,000 files."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack
from pathlib import Path

from tests.bench.peers import Pair, has_syncthing, highest, syftd_pair, syncthing_pair
from tests.bench.report import Row
from tests.journeys.daemons import cpu_seconds, wait_until

FILES = 10_000
SECONDS = 30.0
WINDOW_SECONDS = 5.0
REST_CPU = 0.002
"""An end rests when it used less than this share of a CPU in a window; both tools finish work after files are there."""
LATEST_REST_SECONDS = 180.0


def measure(place: Path, *, quick: bool) -> list[Row]:
    """Fills both pairs, lets them come to rest and watches them for half a minute, all at the same time."""
    files, seconds = (1_000, 8.0) if quick else (FILES, SECONDS)
    with ExitStack() as stack:
        pairs: list[Pair] = [stack.enter_context(syftd_pair(place / "syftd"))]
        if has_syncthing():
            pairs.append(stack.enter_context(syncthing_pair(place / "syncthing")))
        for pair in pairs:
            _fill(pair, files)
        rested = _rest(pairs)
        before, begin = [_cpu(pair) for pair in pairs], time.monotonic()
        time.sleep(seconds)
        passed = time.monotonic() - begin
        # The busier end, since an end is what runs on one person's machine.
        percent = [
            max(now - then for now, then in zip(_cpu(pair), earlier, strict=True)) / passed * 100
            for pair, earlier in zip(pairs, before, strict=True)
        ]
        memory = [highest(pair, "VmRSS") for pair in pairs]
    peer = "Syncthing" if len(pairs) > 1 else ""
    holding = f"idle with {files:,} files"
    return [
        Row("idle", f"{holding}, CPU of the busier end", percent[0], "%", peer=peer,
            peer_value=percent[1] if peer else None,
            limit=0.5, note=f"over {passed:.0f} s, from {rested:.0f} s after the last file on, when the work after it was done"),
        Row("idle", f"{holding}, memory", memory[0], "MB", peer=peer, peer_value=memory[1] if peer else None,
            limit=70.0, note="VmRSS of the larger end"),
    ]  # fmt: skip


def _rest(pairs: list[Pair]) -> float:
    """Waits until nobody works any more, or three minutes: who has not come to rest then is measured as it is."""
    begin = time.monotonic()
    while time.monotonic() - begin < LATEST_REST_SECONDS:
        before = [cpu for pair in pairs for cpu in _cpu(pair)]
        time.sleep(WINDOW_SECONDS)
        after = [cpu for pair in pairs for cpu in _cpu(pair)]
        if all(now - then <= REST_CPU * WINDOW_SECONDS for then, now in zip(before, after, strict=True)):
            break
    return time.monotonic() - begin


def _cpu(pair: Pair) -> list[float]:
    return [cpu_seconds(pid) for pid in pair.pids]


def _fill(pair: Pair, files: int) -> None:
    prepared = pair.scratch / "held"
    for number in range(files):
        inside = prepared / f"{number % 100:02d}"
        inside.mkdir(parents=True, exist_ok=True)
        (inside / f"{number:05d}.bin").write_bytes(os.urandom(1024))
    prepared.rename(pair.send / "held")

    def there() -> bool:
        return sum(len(names) for _, _, names in os.walk(pair.receive / "held")) >= files

    wait_until(there, 600.0, f"{files:,} files at the other end of {pair.name}", every=0.2)
