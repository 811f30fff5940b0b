"""`python -m tests.scale`: prints what changes and idle cycles cost, for more and more peers and files."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from syftd import log
from tests.scale.grow import grown
from tests.scale.report import curves, table

FULL = [(1, 1), (1, 1_000), (1, 100_000), (1, 1_000_000), (10, 100_000), (100, 100_000), (1_000, 1), (1_000, 1_000_000)]
QUICK = [(1, 1), (1, 100_000), (10, 1_000), (100, 1_000)]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.scale", description="Measure what a change costs as things grow.")
    parser.add_argument("--quick", action="store_true", help="fewer peers and files")
    options = parser.parse_args()
    log.setup("error", "console")
    place = Path(tempfile.mkdtemp(prefix="syftd-scale-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
    try:
        results = grown(place, QUICK if options.quick else FULL)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    print(table(results))
    print(curves(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
