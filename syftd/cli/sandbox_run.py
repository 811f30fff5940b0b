"""`syftd sandbox-run JOB`: runs one folder in the job sandbox, without a daemon: to try a job, or the sandbox itself.

The job's log goes to our stdout, its outputs to --collect. Exit codes: the job's own, 124 when its time was up, 137
when it was killed for another reason, 125 when it could not be run.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from syftd.jobs.sandbox import Result

TIME_UP = 124
NOT_RUN = 125
KILLED = 137


class _Asked:
    """Set by SIGTERM or SIGINT, or when nobody reads the log any more: the run shall end in order."""

    def __init__(self) -> None:
        self._set = False

    def is_set(self) -> bool:
        return self._set

    def set(self, *_: object) -> None:
        self._set = True

    def show(self, _stream: str, content: bytes) -> None:
        """Passes a piece of the log on to stdout."""
        try:
            left = memoryview(content)
            while left:
                left = left[os.write(1, left) :]
        except BrokenPipeError:
            self.set()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds this command's arguments to `parser`."""
    parser.add_argument("job", type=Path, metavar="JOB", help="folder with run.sh at its top")
    parser.add_argument(
        "--data", type=Path, action="append", default=[], metavar="DIR",
        help="folder or file the job may read, at /data/<its name>; repeatable; $DATA_DIR names the only one",
    )  # fmt: skip
    parser.add_argument("--collect", type=Path, metavar="DIR", help="empty folder that receives the job's outputs")
    parser.add_argument("--wall", type=float, default=300, metavar="S", help="seconds of real time")
    parser.add_argument("--memory", type=int, default=1024, metavar="MB", help="memory of all its processes together")
    parser.add_argument("--pids", type=int, default=256, metavar="N", help="processes and threads")
    parser.add_argument("--output", type=int, default=256, metavar="MB", help="size of all outputs together")
    parser.add_argument("--files", type=int, default=10_000, metavar="N", help="files and folders in the outputs")
    parser.add_argument("--log", type=int, default=1024, metavar="KB", help="how much of the log is kept")
    parser.add_argument("--run-as", type=int, metavar="UID", help="when root: the uid the job runs as")
    parser.add_argument("--unsafe-no-sandbox", action="store_true", help="run it with all your own rights")


def main(args: argparse.Namespace) -> int:
    """Runs the job and returns the exit code for the shell."""
    from syftd.errors import SyftdError

    try:
        return _run(args)
    except SyftdError as error:
        print(f"syftd: {error}", file=sys.stderr)
        if error.remedy:
            print(error.remedy, file=sys.stderr)
        return NOT_RUN


def _run(args: argparse.Namespace) -> int:
    from syftd.errors import UserError
    from syftd.jobs.sandbox import Limits, Spec, run

    names = {place.resolve().name: place.resolve() for place in args.data}
    if len(names) != len(args.data):
        raise UserError("two datasets have the same name", "Rename one of the folders.")
    collect: Path | None = args.collect.resolve() if args.collect is not None else None
    if collect is not None and collect.exists() and any(collect.iterdir()):
        raise UserError(f"{collect} is not empty", "Give an empty folder for the outputs.")
    spec = Spec(
        job=args.job.resolve(),
        data=names,
        env={"DATA_DIR": f"/data/{next(iter(names))}" if len(names) == 1 else "/data"},
        limits=Limits(args.wall, args.memory, args.pids, args.output, args.files, args.log),
        unsafe=args.unsafe_no_sandbox,
        run_as=args.run_as,
    )
    asked = _Asked()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, asked.set)
    if collect is not None:
        collect.mkdir(parents=True, exist_ok=True)
    # Inside the target folder, so that handing the outputs over is a rename.
    scratch = Path(tempfile.mkdtemp(prefix=".syftd-run-", dir=collect))
    try:
        result = run(spec, out=scratch / "out", cancel=asked, on_output=asked.show)
        if collect is not None:
            for entry in sorted((scratch / "out" / "outputs").iterdir()):
                os.rename(entry, collect / entry.name)
    finally:
        shutil.rmtree(scratch)
    return _tell(result)


def _tell(result: Result) -> int:
    """Says on stderr what is not plain success, and turns it into an exit code."""
    for refused in result.refused[:20]:
        print(f"syftd: not collected: {refused.name}: {refused.reason}", file=sys.stderr)
    for note in result.notes:
        print(f"syftd: {note}", file=sys.stderr)
    if result.reason.startswith("killed: wall clock"):
        print(f"syftd: {result.reason}", file=sys.stderr)
        return TIME_UP
    if result.exit_code is None or result.reason.startswith(("killed", "cancelled")):
        print(f"syftd: {result.reason}", file=sys.stderr)
        return KILLED
    return result.exit_code


if __name__ == "__main__":
    _parser = argparse.ArgumentParser(prog="syftd sandbox-run", description="Runs one folder in the job sandbox.")
    add_arguments(_parser)
    sys.exit(main(_parser.parse_args()))
