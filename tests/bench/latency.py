"""From a file dropped at one end to the same bytes at the other: one 1 KB file at a time, by rename, spaced."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from tests.bench.peers import Pair, has_syncthing, syftd_pair, syncthing_pair
from tests.bench.report import Row, percentile, summary
from tests.journeys.daemons import drop, holds

DROPS = 30
POLL_SECONDS = 0.0015
LATEST_SECONDS = 30.0


def measure(place: Path, *, quick: bool) -> list[Row]:
    """Drops files at syftd and Syncthing in turn; the spacing differs from drop to drop so that no timer can be met."""
    drops = 8 if quick else DROPS
    ours: list[float] = []
    theirs: list[float] = []
    kicked: list[float] = []
    with ExitStack() as stack:
        syftd = stack.enter_context(syftd_pair(place / "syftd"))
        syncthing = stack.enter_context(syncthing_pair(place / "syncthing")) if has_syncthing() else None
        for number in range(drops):
            spacing = 0.3 + 0.2 * number / drops
            ours.append(_one(syftd, f"drop-{number}.bin", None))
            time.sleep(spacing)
            if syncthing is not None:
                theirs.append(_one(syncthing, f"drop-{number}.bin", None))
                time.sleep(spacing)
                kicked.append(_one(syncthing, f"kick-{number}.bin", syncthing.kick))
                time.sleep(spacing)
    p50, low, high = summary(ours)
    p95 = percentile(ours, 0.95)
    peer = "Syncthing" if theirs else ""
    return [
        Row("latency", "1 KB drop to visible, p50", p50 * 1e3, "ms", drops, low * 1e3, high * 1e3, peer,
            summary(theirs)[0] * 1e3 if theirs else None, ratio_limit=0.06 if theirs else None,
            note="Syncthing waits one second for more changes (fsWatcherDelayS=1, the smallest it has)"),
        Row("latency", "1 KB drop to visible, p95", p95 * 1e3, "ms", drops, low * 1e3, high * 1e3, peer,
            percentile(theirs, 0.95) * 1e3 if theirs else None, limit=200.0),
        *([Row("latency", "same, Syncthing told of each file", p50 * 1e3, "ms", drops, low * 1e3, high * 1e3, peer,
               summary(kicked)[0] * 1e3, note="without its watcher: a REST call names the file right after the drop; "
               "this is what its pipeline can do and no target")] if kicked else []),
    ]  # fmt: skip


def _one(pair: Pair, name: str, kick: Callable[[str], None] | None) -> float:
    content = os.urandom(1024)
    arrived = pair.receive / name
    begin = time.perf_counter()
    drop(pair.scratch / "drop", pair.send / name, content)
    if kick is not None:
        kick(name)
    while not holds(arrived, content):
        if time.perf_counter() - begin > LATEST_SECONDS:
            raise TimeoutError(f"{pair.name} did not bring {name} within {LATEST_SECONDS:.0f} s")
        time.sleep(POLL_SECONDS)
    return time.perf_counter() - begin
