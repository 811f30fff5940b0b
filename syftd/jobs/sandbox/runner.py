"""`run`: one job, from a frozen folder to a result, in the strongest sandbox this machine can make, or not at all."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from syftd.errors import SyftdError, UserError
from syftd.jobs.sandbox import diagnose, inside, launch, staging, view
from syftd.jobs.sandbox import filter as call_filter
from syftd.jobs.sandbox.course import Channels, Course, FailedStart
from syftd.jobs.sandbox.export import Export
from syftd.jobs.sandbox.joblog import JobLog, OnOutput
from syftd.jobs.sandbox.spec import MEGABYTE, NOBODY, Limits, Mode, Result, Spec, Stop
from syftd.jobs.sandbox.supervise import Supervision
from syftd.seams import Clock, SystemClock

_NO_BINDS: Final[Mapping[str, Path]] = MappingProxyType({})
_PIPE_BYTES: Final = 1024 * 1024


def run(
    spec: Spec, *, out: Path, cancel: Stop | None = None, on_output: OnOutput | None = None,
    extra_binds: Mapping[str, Path] = _NO_BINDS, clock: Clock | None = None,
) -> Result:  # fmt: skip
    """Runs `bash run.sh` of `spec.job` and fills `out` with stdout.txt, stderr.txt, returncode.txt and outputs/.

    `out` must be missing or empty. `cancel` ends the run early when set. `on_output(stream, bytes)` hears what is kept
    of the log. `extra_binds` shows host folders read-only at absolute places inside (prepared environments, for one).
    Blocks until nothing of the job lives. Raises UserError for a wrong spec, SandboxUnavailable when no sandbox can be
    had (nothing was run then), DiskFull when `out` cannot hold the outputs.
    """
    spec.check()
    clock = clock if clock is not None else SystemClock()
    _prepare_out(out)
    started_at = clock.now()
    notes: list[str] = []
    with contextlib.ExitStack() as stack:
        log = JobLog(out, spec.limits, on_output)
        stack.callback(log.close)
        limits = spec.limits
        export = Export(out / "outputs", most_bytes=limits.output_mb * MEGABYTE, most_entries=limits.output_files)
        mode: Mode = "unsafe" if spec.unsafe else "bubblewrap"
        if spec.unsafe:
            from syftd.jobs.sandbox import unsafe

            course = unsafe.run_unsafe(spec, log, export, notes, cancel=cancel, clock=clock)
        else:
            course = _run_confined(spec, log, export, notes, extra_binds, out, cancel, clock)
        outputs, refused = export.close()
    returncode = course.exit_code if course.exit_code is not None else 128 + signal.SIGKILL
    _write_returncode(out, returncode)
    if not course.collected and (outputs or course.exit_code is None):
        notes.append("the job was ended before all its outputs could be handed over")
    number = _signal_of(course.exit_code)
    return Result(
        exit_code=course.exit_code,
        signal=number,
        reason=course.ended_by or _in_words(course.exit_code, number),
        wall_seconds=course.wall_seconds,
        cpu_seconds=course.cpu_seconds,
        peak_memory_mb=course.peak_memory / MEGABYTE,
        log_bytes=log.kept_bytes,
        log_truncated=log.truncated,
        outputs=outputs,
        refused=refused,
        notes=tuple(notes),
        mode=mode,
        started_at=started_at,
    )


def find_bwrap() -> str:
    """The path of bubblewrap; raises SandboxUnavailable when it, or what a run needs beside it, is not installed."""
    for program in ("bash", "tar", "chmod", "env", "setsid"):
        if shutil.which(program, path=view.FIXED_ENVIRONMENT["PATH"]) is None:
            raise diagnose.missing(program)
    found = shutil.which("bwrap", path=os.environ.get("PATH", "") + os.pathsep + "/usr/bin:/usr/local/bin:/bin")
    if found is None or not sys.platform.startswith("linux"):
        raise diagnose.missing("bwrap")
    return found


def _prepare_out(out: Path) -> None:
    out.mkdir(mode=0o700, parents=True, exist_ok=True)
    if any(out.iterdir()):
        raise UserError(f"{out} is not empty", "Give an empty folder for the run's results.")


def _write_returncode(out: Path, returncode: int) -> None:
    descriptor = os.open(out / "returncode.txt", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(f"{returncode}\n")


def _signal_of(exit_code: int | None) -> int | None:
    """The shell's way of saying that a signal ended the script is 128 plus its number."""
    if exit_code is None or exit_code - 128 not in {int(number) for number in signal.Signals}:
        return None
    return exit_code - 128


def _in_words(exit_code: int | None, number: int | None) -> str:
    if exit_code is None:
        return "ended without an exit code"
    return f"exit {exit_code}" if number is None else f"exit {exit_code} ({signal.Signals(number).name})"


def _dropped_uid(spec: Spec) -> int | None:
    """The uid to run as, when we are root; None when we are an ordinary user and stay what we are."""
    mine = os.getuid()
    if mine == 0:
        return spec.run_as if spec.run_as is not None else NOBODY
    if spec.run_as not in (None, mine):
        raise UserError(f"only root can run jobs as uid {spec.run_as}", "Leave run_as out, or set it to your own uid.")
    return None


def _gid_of(uid: int) -> int:
    """The account's own group, or the number itself where the uid has no account; never root's group."""
    import pwd

    try:
        gid = pwd.getpwuid(uid).pw_gid
    except KeyError:
        gid = uid
    return gid if gid != 0 else NOBODY


class _Sources:
    """The host paths that a run needs, made reachable for whoever runs it; private copies vanish with `stack`."""

    def __init__(self, uid: int | None, near: Path, notes: list[str], stack: contextlib.ExitStack) -> None:
        self._uid, self._near, self._notes, self._stack = uid, near, notes, stack
        self._gid = _gid_of(uid) if uid is not None else 0
        self._known: dict[Path, Path] = {}
        self.staged: list[str] = []

    def place(self, source: Path, what: str) -> Path:
        """Where bubblewrap finds `source`."""
        real = source.resolve()
        if self._uid is None:
            return real
        if real not in self._known:
            reachable = real
            if not staging.readable_by(self._uid, self._gid, real):
                folder = Path(tempfile.mkdtemp(prefix=".syftd-copy-", dir=self._near))
                self._stack.callback(shutil.rmtree, folder)
                reachable = staging.private_copy(real, folder)
                self._notes.append(f"{what} was copied for this run, since uid {self._uid} may not read it where it is")
            self.staged.append(str(reachable))
            self._known[real] = Path(f"{launch.STAGE}/{len(self.staged) - 1}")
        return self._known[real]


def _run_confined(
    spec: Spec, log: JobLog, export: Export, notes: list[str], extra_binds: Mapping[str, Path], out: Path,
    cancel: Stop | None, clock: Clock,
) -> Course:  # fmt: skip
    bwrap = find_bwrap()
    program = call_filter.program(call_filter.machine_arch())
    uid = _dropped_uid(spec)
    with contextlib.ExitStack() as stack, contextlib.ExitStack() as theirs:
        sources = _Sources(uid, out.parent, notes, stack)
        size = staging.measure(spec.job)
        if size.odd:
            some = ", ".join(size.odd[:5])
            notes.append(f"{len(size.odd)} links or special files of the job's folder were left out: {some}")
        wanted = _all_binds(spec, extra_binds)
        binds = [view.Bind(sources.place(bind.source, _named(bind)), bind.place) for bind in wanted]
        archive = None
        if size.fits_in_memory:
            archive = _owned(theirs, staging.archive(spec.job))
        else:
            notes.append(f"the job is larger than {view.SCRATCH_MB} MB, so its own files are read-only while it runs")
            frozen = sources.place(spec.job, "the job's folder")
            names = sorted(entry.name for entry in os.scandir(spec.job) if not entry.is_symlink())
            binds += [view.Bind(frozen / name, f"/job/{name}") for name in names if name != "outputs"]
        seen = view.View(spec.limits, spec.env, tuple(binds), size.scratch_bytes)
        process, channels = _start(bwrap, program, seen, archive, uid, sources.staged, theirs, spec.limits)
        theirs.close()
        try:
            return Supervision(process, channels, spec.limits, log, export, cancel, clock).run()
        except FailedStart as failure:
            if failure.said.startswith(launch.FAULT):
                text = failure.said.removeprefix(launch.FAULT)
                raise SyftdError(f"the job was not started: {text}", "Run `syftd doctor`.") from failure
            raise diagnose.explain(failure.said) from failure


def _named(bind: view.Bind) -> str:
    return f"dataset {bind.place.rpartition('/')[2]}" if bind.place.startswith(("/data/", "/syftbox/")) else bind.place


def _all_binds(spec: Spec, extra_binds: Mapping[str, Path]) -> list[view.Bind]:
    for place in extra_binds:
        top, *parts = place.split("/")
        if top or not parts or ".." in parts or parts[0] in ("", "job", "proc", "dev", "usr"):
            raise UserError(f"“{place}” cannot be a place inside a job", "Give an absolute path outside /job and /usr.")
    extra = [view.Bind(source, place) for place, source in extra_binds.items()]
    return view.dataset_binds(spec.data, spec.owner) + extra


def _owned(stack: contextlib.ExitStack, descriptor: int) -> int:
    stack.callback(os.close, descriptor)
    return descriptor


def _start(
    bwrap: str, program: bytes, seen: view.View, archive: int | None, uid: int | None, staged: list[str],
    theirs: contextlib.ExitStack, limits: Limits,
) -> tuple[subprocess.Popen[bytes], Channels]:  # fmt: skip
    """Starts bubblewrap with an empty environment and only the descriptors it is told of. `theirs` owns its ends."""
    with contextlib.ExitStack() as ours:

        def outward() -> tuple[int, int]:
            """A pipe from the sandbox to us: (our end, its end)."""
            read, write = os.pipe()
            ours.callback(os.close, read)
            return read, _owned(theirs, write)

        stdout, its_stdout = outward()
        stderr, its_stderr = outward()
        exported, its_export = outward()
        told, its_tell = outward()
        info, its_info = outward()
        its_gate, gate = os.pipe()
        _owned(theirs, its_gate)
        ours.callback(os.close, gate)
        # A larger pipe saves wake-ups; the kernel may refuse, and then the small one does.
        with contextlib.suppress(OSError):
            fcntl.fcntl(exported, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        if uid is not None:
            # A job opens /dev/stdout by name, which asks the pipe's owner.
            os.fchown(its_stdout, uid, -1)
            os.fchown(its_stderr, uid, -1)

        def held(name: str, content: bytes) -> int:
            return _owned(theirs, staging.memory_file(name, content))

        etc = {name: held(name, content) for name, content in view.etc_files().items()}
        seccomp = held("filter", program)
        words = view.arguments(seen, etc, seccomp, its_info, its_gate)
        options = held("options", b"".join(word.encode("utf-8", "surrogateescape") + b"\0" for word in words))
        inherited = [its_export, its_tell, its_info, its_gate, seccomp, options, *etc.values()]
        inherited += [archive] if archive is not None else []
        command = [bwrap, "--args", str(options), "--", *inside.command(archive, its_export, its_tell, limits)]
        if uid is not None:
            planned = held("plan", launch.plan(uid, _gid_of(uid), staged, bwrap, command))
            inherited.append(planned)
            command = [sys.executable, "-I", "-S", launch.__file__, str(planned)]
        process = subprocess.Popen(
            command, env={}, cwd="/", stdin=subprocess.DEVNULL, stdout=its_stdout, stderr=its_stderr,
            pass_fds=inherited, start_new_session=True,
        )  # fmt: skip
        ours.pop_all()
    return process, Channels(stdout, stderr, exported, told, info, gate)
