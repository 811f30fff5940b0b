"""`syftd demo`: two people, two daemons, one reviewed job on a real table, in seconds.

An owner at a hospital shows a made-up sample and keeps the table of patients private; a researcher sends an analysis;
the owner reads it, approves exactly those bytes and releases the result. Both daemons are real processes that talk
through a shared folder, and every step is a command that a person could type.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from syftd.demo.daemon import Daemon
from syftd.demo.story import Story
from syftd.errors import SyftdError, UserError
from syftd.seams import SystemClock

OWNER = "owner@hospital.example"
RESEARCHER = "researcher@university.example"


def main(args: Sequence[str]) -> int:
    """Runs the demonstration; returns 0, or the exit code of what went wrong after cleaning up."""
    options = _parse(args)
    # Being told to end must end both daemons as well, so SIGTERM takes the way of Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return run(Path(options.home) if options.home else None, keep=options.keep)
    except SyftdError as error:
        print(f"\nsyftd demo: {error}", file=sys.stderr)
        if error.remedy:
            print(error.remedy, file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("\nsyftd demo: stopped; both daemons have ended.", file=sys.stderr)
        return 130


def run(home: Path | None, *, keep: bool) -> int:
    """Plays the story in `home` (a fresh temporary folder when None). `keep` leaves the folder and both daemons.

    A folder that was named stays, so that it can be looked at; a temporary one goes. Raises SyftdError when a step
    fails; the message then ends with the last lines that the daemons printed.
    """
    _need_sandbox()
    place = _empty_folder(home)
    # A socket's path may hold about a hundred bytes only, hence the short names.
    owner = Daemon(place / "owner", OWNER, place / "mailbox")
    researcher = Daemon(place / "researcher", RESEARCHER, place / "mailbox")
    with ExitStack() as cleanup:
        if home is None:
            cleanup.callback(shutil.rmtree, place, ignore_errors=True)
        cleanup.callback(owner.stop)
        cleanup.callback(researcher.stop)
        try:
            Story(owner, researcher, place, SystemClock(), print).tell()
        except SyftdError as error:
            words = [one.last_words() for one in (owner, researcher) if one.last_words() not in error.remedy]
            error.remedy = "\n".join(part for part in (error.remedy, *words) if part)
            raise
        if keep:
            cleanup.pop_all()
            _say_how_to_look_around(owner, researcher)
    return 0


def _parse(args: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="syftd demo", description=(__doc__ or "").split("\n\n")[1])
    parser.add_argument("--keep", action="store_true", help="leave both daemons running and say how to look around")
    parser.add_argument("--home", metavar="DIR", help="put everything into this new or empty folder and leave it")
    return parser.parse_args(list(args))


def _need_sandbox() -> None:
    if not sys.platform.startswith("linux"):
        raise UserError(
            f"the demonstration runs a job, and on {sys.platform} syftd has no sandbox that is strong enough",
            "Try it on a Linux machine or in a Linux virtual machine.",
        )
    if shutil.which("bwrap") is None:
        raise UserError(
            "the demonstration runs a job, jobs run only in a sandbox, and bubblewrap (bwrap) is not installed",
            "Install it and try again:  apt-get install bubblewrap  (Fedora: dnf install bubblewrap · Arch: pacman -S "
            "bubblewrap), as root; in a clone of the repository:  make bubblewrap",
        )


def _empty_folder(home: Path | None) -> Path:
    if home is None:
        return Path(tempfile.mkdtemp(prefix="syftd-demo-"))
    place = home.absolute()
    if place.exists() and (not place.is_dir() or any(place.iterdir())):
        raise UserError(f"{place} is not an empty folder", "Name one that is new or empty; the demo never overwrites.")
    place.mkdir(parents=True, exist_ok=True, mode=0o700)
    return place


def _say_how_to_look_around(owner: Daemon, researcher: Daemon) -> None:
    program = _program()
    print(
        f"""
Both daemons are still running. Look around:

  {program} --home {owner.home} status
  {program} --home {owner.home} jobs list
  {program} --home {owner.home} log
  {program} --home {researcher.home} status
  ls -R {researcher.data}

Everything lies in {owner.home.parent}. When you have seen enough:

  kill {owner.pid} {researcher.pid} && rm -r {owner.home.parent}"""
    )


def _program() -> str:
    beside = Path(sys.executable).with_name("syftd")
    if beside.exists():
        try:
            return os.path.relpath(beside) if beside.is_relative_to(Path.cwd()) else str(beside)
        except FileNotFoundError:
            return str(beside)  # The working directory has been removed; a full path always works.
    return f"{sys.executable} -m syftd"
