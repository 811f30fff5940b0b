"""`syftd run`, the daemon in the foreground, and `syftd demo`."""

from __future__ import annotations

import argparse
from typing import Final

from syftd.cli.session import Command, Parser, Session
from syftd.errors import UserError


def _run_arguments(parser: Parser) -> None:
    parser.add_argument("--log-level", choices=("debug", "info", "warning", "error"), help="instead of the configured")
    parser.add_argument("--safe-mode", action="store_true", help="no jobs and no applying; only show what is wrong")


def _demo_arguments(parser: Parser) -> None:
    parser.add_argument("--keep", action="store_true", help="leave both daemons running and say how to look around")


def _run(session: Session, args: argparse.Namespace) -> int:
    from syftd import config, log
    from syftd.daemon.lifecycle import LIFE_SECONDS, CrashCount, Lock
    from syftd.seams import SystemClock, sleep_until, thread

    places = session.places
    settings = config.load(places, {"log.level": args.log_level} if args.log_level else None)
    places.ensure()
    try:
        log.setup(settings.log.level, settings.log.format, places.log_file if settings.log.file else None)
    except OSError as error:
        text = f"the log {places.log_file} cannot be written: {error.strerror}"
        raise UserError(text, "Make it writable, or set `file = false` in [log].") from error
    if not settings.data.is_dir():
        from syftd.errors import RootMissing

        raise RootMissing(
            f"the data folder {settings.data} is not there",
            "If it lies on another disk, mount that. A new one is made by `syftd init`.",
        )
    with Lock(places.state, settings.data, SystemClock()) as lock:
        if lock.unguarded:
            log.logger("lifecycle").warning("the data folder cannot be locked", reason=lock.unguarded)
        # Counted under the lock: a second start that finds it held is not a crash.
        crashes = CrashCount(places.state)
        safe_mode = crashes.begin() or args.safe_mode
        stopped: list[bool] = []

        def live() -> None:
            if not sleep_until(lambda: bool(stopped), timeout=LIFE_SECONDS, every=1.0):
                crashes.lived()

        from syftd.api.serve import serve

        thread("life", live)
        code = int(serve(places, settings, safe_mode))
        stopped.append(True)
        if code == 0:
            crashes.ended()
        return code


def _demo(session: Session, args: argparse.Namespace) -> int:
    from syftd import demo

    words = ["--keep"] if args.keep else []
    return int(demo.main([*words, "--home", str(session.home)] if session.home else words))


COMMANDS: Final = {"run": Command(_run_arguments, _run), "demo": Command(_demo_arguments, _demo)}
