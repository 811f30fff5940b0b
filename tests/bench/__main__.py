"""`python -m tests.bench`: measures syftd, beside Syncthing and rclone where they are installed.

    python -m tests.bench [--only latency,jobs] [--quick] [--check]

BENCH_DIR is the folder to work in (both ends of every pair lie below it, on one filesystem), BENCH_JSON the file that
gets the JSON document as well. Exit code 1 when a row could not be measured, or with --check when a target is missed.
"""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path

from syftd import __version__
from tests.bench.peers import filesystem, has_rclone, has_syncthing
from tests.bench.report import Report, Row

ROWS = {
    "startup": ("startup", "measure"),
    "latency": ("latency", "measure"),
    "jobs": ("jobs", "measure"),
    "rescan": ("rescan", "measure"),
    "small": ("throughput", "measure_small"),
    "large": ("throughput", "measure_large"),
    "idle": ("idle", "measure"),
}
"""What can be chosen with --only, in the order in which it runs: the module and the function that measure it."""


def main() -> int:
    """Runs the chosen rows; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Measure speed and weight of syftd.")
    parser.add_argument("--only", metavar="NAMES", help=f"some of {', '.join(ROWS)}, separated by commas")
    parser.add_argument("--quick", action="store_true", help="fewer and smaller; the targets stay the same")
    parser.add_argument("--check", action="store_true", help="exit code 1 when a target is missed")
    options = parser.parse_args()
    chosen = options.only.split(",") if options.only else list(ROWS)
    if unknown := set(chosen) - set(ROWS):
        parser.error(f"no such row: {', '.join(sorted(unknown))}; there are {', '.join(ROWS)}")
    parent = Path(os.environ.get("BENCH_DIR") or tempfile.gettempdir()).resolve()
    parent.mkdir(parents=True, exist_ok=True)
    report = Report(_circumstances(parent, quick=options.quick))
    # A socket's path may hold about a hundred bytes only, hence the short prefix.
    place = Path(tempfile.mkdtemp(prefix="sb-", dir=parent))
    try:
        for name in chosen:
            print(f"measuring {name} …", file=sys.stderr, flush=True)
            _measure(report, name, place / name, quick=options.quick)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    print(report.table())
    print(report.document())
    if wanted := os.environ.get("BENCH_JSON"):
        report.write(Path(wanted))
    return 1 if report.failures or (options.check and report.missed) else 0


def _measure(report: Report, name: str, place: Path, *, quick: bool) -> None:
    module, function = ROWS[name]
    place.mkdir()
    try:
        measure: Callable[..., list[Row]] = getattr(importlib.import_module(f"tests.bench.{module}"), function)
        report.rows.extend(measure(place, quick=quick))
    except Exception as error:
        # One row that cannot be measured must not hide the others; it is named in the report and in the exit code.
        traceback.print_exc()
        report.failures[name] = f"{type(error).__name__}: {error}"
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _circumstances(parent: Path, *, quick: bool) -> dict[str, str]:
    return {
        "syftd": __version__,
        "Syncthing": _version("syncthing", "--version") if has_syncthing() else "not installed (make bench-peers)",
        "rclone": _version("rclone", "version") if has_rclone() else "not installed (make bench-peers)",
        "filesystem of both ends": filesystem(parent),
        "machine": f"{platform.system()} {platform.release()}, {os.cpu_count()} CPUs",
        "Python": platform.python_version(),
        "load at start": f"{os.getloadavg()[0]:.1f}",
        "size": "quick" if quick else "full",
    }


def _version(*command: str) -> str:
    said = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30).stdout
    return said.splitlines()[0].split(" (")[0][:60] if said else "unknown"


if __name__ == "__main__":
    sys.exit(main())
