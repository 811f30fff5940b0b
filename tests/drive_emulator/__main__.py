"""`python -m tests.drive_emulator`: starts the emulator by hand and prints its URL."""

from __future__ import annotations

import argparse
import json
import signal
import threading
from pathlib import Path

from tests.drive_emulator.server import DriveEmulator
from tests.drive_emulator.settings import Settings


def main() -> int:
    """Serves until interrupted; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.drive_emulator", description="A Google Drive v3 service, here.")
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; 0 picks a free one")
    parser.add_argument("--latency-ms", type=int, default=0, metavar="N", help="how long every call takes at least")
    parser.add_argument("--faults", metavar="FILE", help="JSON file with fault rules (see faults.py)")
    parser.add_argument("--settings", metavar="FILE", help="JSON file with settings (see settings.py)")
    options = parser.parse_args()
    settings = Settings()
    try:
        if options.settings:
            settings.update(json.loads(Path(options.settings).read_text("utf-8")))
        settings.update({"latency_ms": options.latency_ms} if options.latency_ms else {})
        faults = json.loads(Path(options.faults).read_text("utf-8")) if options.faults else None
        emulator = DriveEmulator(options.port, settings, faults)
    except (OSError, ValueError) as wrong:
        parser.error(str(wrong))
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with emulator:
        print(emulator.url, flush=True)
        stop.wait()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
