"""One started sandbox, from its first sign of life to its last: pipes, clock, limits, the end of every process in it.

The phases are starting → running → collecting → ended. Whatever goes wrong in them, leaving the `Supervision` kills the
namespace's first process by pidfd, with which the kernel ends all others.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
from collections.abc import Callable
from typing import Final

from syftd.jobs.sandbox.course import Channels, Course, FailedStart, Phase
from syftd.jobs.sandbox.export import Export, printable
from syftd.jobs.sandbox.joblog import JobLog
from syftd.jobs.sandbox.spec import MEGABYTE, Limits, Stop
from syftd.jobs.sandbox.watch import Watch
from syftd.seams import Clock

_START_SECONDS: Final = 30.0
_STOP_SECONDS: Final = 2.0
_COLLECT_SECONDS: Final = 5.0
_COLLECT_MB_PER_SECOND: Final = 20.0
_FAST_LOOK, _SLOW_LOOK = 0.02, 0.05
_PIECE: Final = 262_144
_MOST_TOLD_BYTES: Final = 65_536


class Supervision:
    """Runs the loop for one sandbox. `process` is bubblewrap (or what becomes it)."""

    def __init__(
        self, process: subprocess.Popen[bytes], channels: Channels, limits: Limits, log: JobLog, export: Export,
        cancel: Stop | None, clock: Clock,
    ) -> None:  # fmt: skip
        self._process, self._channels, self._limits = process, channels, limits
        self._log, self._export, self._cancel, self._clock = log, export, cancel, clock
        self._exit_stack = contextlib.ExitStack()
        for descriptor in (channels.stdout, channels.stderr, channels.export, channels.told, channels.info):
            self._exit_stack.callback(os.close, descriptor)
        self._gate = channels.gate
        self._outer = os.pidfd_open(process.pid)
        self._exit_stack.callback(os.close, self._outer)
        self._selector = self._exit_stack.enter_context(selectors.DefaultSelector())
        self._init: int | None = None
        self._init_pid = 0
        self._watch: Watch | None = None
        self._phase = Phase.STARTING
        self._deadline = clock.monotonic() + _START_SECONDS
        self._next_look = 0.0
        self._began = clock.monotonic()
        self._job_ended: float | None = None
        self._exit_code: int | None = None
        self._ended_by = ""
        self._told = bytearray()
        self._said = bytearray()
        self._collected = False
        self._peak = 0
        self._cpu_seconds = 0.0

    def run(self) -> Course:
        """Returns when nothing of the sandbox lives any more. Raises FailedStart when the job was never reached."""
        try:
            self._learn_init()
            self._loop()
        finally:
            self._end_everything()
        if self._phase is Phase.STARTING and not self._ended_by:
            raise FailedStart(self._said.decode("utf-8", "replace").strip())
        ended = self._job_ended if self._job_ended is not None else self._clock.monotonic()
        return Course(
            exit_code=None if self._ended_by else self._exit_code,
            ended_by=self._ended_by,
            wall_seconds=ended - self._began,
            cpu_seconds=self._cpu_seconds,
            peak_memory=self._peak,
            collected=self._collected,
        )

    # Start.

    def _learn_init(self) -> None:
        """Takes hold of process 1 while the gate still keeps it from running, so its pid means no other process."""
        told = bytearray()
        self._selector.register(self._channels.info, selectors.EVENT_READ)
        self._selector.register(self._channels.stderr, selectors.EVENT_READ)
        while True:
            ready = {key.fd for key, _ in self._selector.select(self._deadline - self._clock.monotonic())}
            if self._channels.stderr in ready:
                piece = os.read(self._channels.stderr, _PIECE)
                self._said += piece[:_MOST_TOLD_BYTES]
                if not piece:
                    self._selector.unregister(self._channels.stderr)
            if self._channels.info in ready:
                piece = os.read(self._channels.info, 4096)
                told += piece
                if not piece or len(told) > 65_536:
                    self._drain_said()
                    raise FailedStart(self._said.decode("utf-8", "replace").strip())
                with contextlib.suppress(ValueError):
                    # A part of the document is not JSON yet; the rest follows.
                    self._init_pid = int(json.loads(told)["child-pid"])
                    break
            if not ready:
                raise FailedStart(f"bubblewrap did not make the sandbox within {_START_SECONDS:.0f} s")
        self._selector.unregister(self._channels.info)
        try:
            self._init = os.pidfd_open(self._init_pid)
        except ProcessLookupError:
            raise FailedStart(self._said.decode("utf-8", "replace").strip()) from None
        self._exit_stack.callback(os.close, self._init)
        os.write(self._gate, b"g")

    def _drain_said(self) -> None:
        """Bubblewrap is ending; its last words are in the pipe, which ends with it."""
        while len(self._said) < _MOST_TOLD_BYTES and (piece := os.read(self._channels.stderr, _PIECE)):
            self._said += piece

    # The loop.

    def _loop(self) -> None:
        assert self._init is not None
        registered = self._selector.get_map()
        readers: dict[int, Callable[[bytes], None]] = {
            self._channels.stdout: lambda content: self._log.take("stdout", content),
            self._channels.stderr: self._hear_stderr,
            self._channels.export: self._export.feed,
            self._channels.told: self._hear_told,
        }
        for descriptor in (*readers, self._init, self._outer):
            if descriptor not in registered:
                self._selector.register(descriptor, selectors.EVENT_READ)
        alive = {self._init, self._outer}
        while alive or readers:
            timeout = max(0.0, self._next_event() - self._clock.monotonic())
            events = self._selector.select(timeout)
            for key, _ in events:
                if key.fd in alive:
                    alive.discard(key.fd)
                    self._selector.unregister(key.fd)
                elif key.fd in readers:
                    content = os.read(key.fd, _PIECE)
                    readers[key.fd](content)
                    if not content:
                        del readers[key.fd]
                        self._selector.unregister(key.fd)
            if not alive and not events:
                # Both processes are gone and the pipes are empty; an end that does not come is not waited for.
                break
            self._check()

    def _next_event(self) -> float:
        if self._phase is Phase.STARTING:
            return min(self._deadline, self._clock.monotonic() + _SLOW_LOOK)
        return min(self._deadline, self._next_look)

    def _check(self) -> None:
        """The clock, the person's word, and the watchdog."""
        now = self._clock.monotonic()
        if now >= self._deadline:
            self._deadline_passed(now)
        if self._cancel is not None and self._cancel.is_set() and not self._ended_by:
            self._stop("cancelled")
        if self._watch is not None and now >= self._next_look:
            self._look(now)

    def _deadline_passed(self, now: float) -> None:
        if self._phase is Phase.RUNNING and not self._ended_by:
            self._stop(f"killed: wall clock of {self._limits.wall_seconds:g} s")
        else:
            # It had its chance to end in order.
            self._kill()
            self._deadline = now + _START_SECONDS

    def _look(self, now: float) -> None:
        assert self._watch is not None
        usage = self._watch.look()
        self._peak = max(self._peak, usage.memory)
        limits = self._limits
        cost = self._clock.monotonic() - now
        near = usage.memory > limits.memory_mb * MEGABYTE // 4
        self._next_look = now + max(_FAST_LOOK if near else _SLOW_LOOK, 4 * cost)
        after = f"after {now - self._began:.0f} s"
        if self._ended_by or self._phase is not Phase.RUNNING:
            if usage.memory > 2 * limits.memory_mb * MEGABYTE:
                self._kill()
        elif usage.memory > limits.memory_mb * MEGABYTE:
            # Memory is taken faster than any orderly end; the outputs go with it.
            self._ended_by = f"killed: memory {limits.memory_mb} MB exceeded {after}"
            self._kill()
        elif usage.processes > 2 * limits.pids + 16:
            self._ended_by = f"killed: {usage.processes} processes {after}"
            self._kill()
        elif usage.output_files > max(2 * limits.output_files, limits.output_files + 5000):
            self._stop(f"killed: far more than {limits.output_files} files in outputs {after}")
        elif limits.cpu_seconds is not None and usage.cpu_seconds > limits.cpu_seconds:
            self._stop(f"killed: processor time of {limits.cpu_seconds} s used up {after}")

    # What comes through the pipes.

    def _hear_stderr(self, content: bytes) -> None:
        if self._phase is Phase.STARTING:
            self._said += content[: _MOST_TOLD_BYTES - len(self._said)]
        else:
            self._log.take("stderr", content)

    def _hear_told(self, content: bytes) -> None:
        """Lines of process 1, which is inside: believed no more than the job itself would be."""
        self._told += content
        while (end := self._told.find(b"\n")) >= 0:
            line = bytes(self._told[:end])
            del self._told[: end + 1]
            self._told_line(line)
        if len(self._told) > _MOST_TOLD_BYTES:
            self._told.clear()

    def _told_line(self, line: bytes) -> None:
        word, _, rest = line.partition(b" ")
        now = self._clock.monotonic()
        if word == b"ready" and self._phase is Phase.STARTING:
            self._began, self._phase = now, Phase.RUNNING
            self._deadline = now + self._limits.wall_seconds
            self._begin_watch()
        elif word == b"exit" and self._phase is Phase.RUNNING and rest.isdigit() and int(rest[:4]) < 256:
            self._exit_code, self._job_ended, self._phase = int(rest[:4]), now, Phase.COLLECTING
            self._deadline = now + _COLLECT_SECONDS + self._limits.output_mb / _COLLECT_MB_PER_SECOND
        elif word == b"collected" and self._phase is Phase.COLLECTING:
            self._collected = True
        elif word == b"fault" and self._phase is Phase.STARTING:
            self._said += rest
        elif self._phase is Phase.COLLECTING:
            self._complaint(line)

    def _complaint(self, line: bytes) -> None:
        """tar tells of entries that it passes over: sockets, and what it may not read."""
        name, found, reason = line.removeprefix(b"tar: ").rpartition(b": ")
        if found and not line.startswith((b"tar: Exiting", b"tar: Error")):
            self._export.refuse(name, "it is a socket" if reason == b"socket ignored" else printable(reason))

    def _begin_watch(self) -> None:
        try:
            self._watch = Watch(self._init_pid, self._limits)
        except (FileNotFoundError, ProcessLookupError):
            # It has ended already; the pidfd tells.
            return
        self._exit_stack.callback(self._watch.close)
        self._look(self._clock.monotonic())

    # The end.

    def _stop(self, why: str) -> None:
        """Asks process 1 to kill the job and still hand over what it has made; patience ends at `_deadline`."""
        self._ended_by = why
        now = self._clock.monotonic()
        if self._phase is Phase.RUNNING and self._init is not None:
            self._signal(self._init, signal.SIGTERM)
            self._deadline = now + _STOP_SECONDS
        else:
            self._kill()

    def _kill(self) -> None:
        if self._init is not None:
            self._signal(self._init, signal.SIGKILL)
        self._signal(self._outer, signal.SIGKILL)

    @staticmethod
    def _signal(pidfd: int, number: signal.Signals) -> None:
        # A process that has just ended needs no signal.
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(pidfd, number)

    def _end_everything(self) -> None:
        self._kill()
        if self._init is None:
            # The namespace's first process may be waiting at the gate; it is still in bubblewrap's process group.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        os.close(self._gate)
        for pidfd in (self._init, self._outer):
            if pidfd is not None:
                with selectors.DefaultSelector() as selector:
                    selector.register(pidfd, selectors.EVENT_READ)
                    selector.select()
        _, status, used = os.wait4(self._process.pid, 0)
        # Popen would otherwise look for a child that is no longer there.
        self._process.returncode = os.waitstatus_to_exitcode(status)
        self._cpu_seconds = used.ru_utime + used.ru_stime
        self._exit_stack.close()
