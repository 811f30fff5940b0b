"""The watchdog: how much memory and processor time all processes of a run use together, and how many files it has made.

It stands in for a control group where there is none. Everything is read through descriptors opened as the job begins.
Memory is what processes hold privately plus what lies in the sandbox's memory file systems; the filter sees to it that
there is no other kind (a shared mapping without a file keeps pages that no process shows).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from syftd.jobs.sandbox.kin import Kin
from syftd.jobs.sandbox.spec import MEGABYTE, Limits

_PLACES_IN_MEMORY: Final = ("tmp", "dev/shm", "job")
_INODE_BYTES: Final = 1024
"""What an empty file in memory costs the kernel; charged so that a flood of empty files is memory, too."""

_PRIVATE: Final = (b"RssAnon:", b"VmSwap:", b"VmPTE:", b"HugetlbPages:")
_SHARE_OF_PRIVATE: Final = (b"Pss_Anon:", b"SwapPss:")
_NOT_IN_SHARE: Final = (b"VmPTE:", b"HugetlbPages:")

_TICKS: Final = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Usage:
    """One look. `memory` in bytes, `cpu_seconds` of all processes that live or were waited for (0.0 when unlimited)."""

    memory: int
    output_files: int
    cpu_seconds: float
    processes: int


class Watch:
    """Looks at the sandbox whose process 1 has `init` as its pid out here. Raises OSError when that is already gone."""

    def __init__(self, init: int, limits: Limits) -> None:
        self._limits = limits
        self._kin = Kin(init)
        self._descriptors: list[int] = []
        try:
            self._proc = self._open(f"/proc/{init}/root/proc")
            self._outputs = self._open(f"/proc/{init}/root/job/outputs")
            self._memory_places = [self._open(f"/proc/{init}/root/{place}") for place in _PLACES_IN_MEMORY]
            # A process 1 that has not changed its root yet would show us the host's own folders.
            if os.fstat(self._outputs).st_dev == Path("/tmp").stat().st_dev:
                raise FileNotFoundError("the sandbox's root is not set up")
        except BaseException:
            self.close()
            raise

    def _open(self, path: str) -> int:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        self._descriptors.append(descriptor)
        return descriptor

    def close(self) -> None:
        for descriptor in self._descriptors:
            os.close(descriptor)
        self._descriptors = []

    def look(self) -> Usage:
        """One look at everything; costs some 50 µs a process, more only near the memory limit."""
        # Read through the sandbox's own /proc, which lists exactly its processes.
        pids = [name for name in os.listdir(self._proc) if name.isdigit()]
        outputs = os.fstatvfs(self._outputs)
        return Usage(
            memory=self._memory(pids),
            output_files=outputs.f_files - outputs.f_ffree,
            cpu_seconds=self._cpu(pids) if self._limits.cpu_seconds is not None else 0.0,
            processes=len(pids),
        )

    def _memory(self, pids: list[str]) -> int:
        """A quick sum first, in which fork and vfork count pages twice; the exact one only if that is too much."""
        files = self._files_in_memory()
        quick = sum(sum(fields(read(f"{pid}/status", self._proc), _PRIVATE)) for pid in pids)
        if quick + files <= self._limits.memory_mb * MEGABYTE:
            return quick + files
        exact = 0
        for pid in self._kin.with_distinct_memory():
            exact += sum(fields(read(f"/proc/{pid}/smaps_rollup"), _SHARE_OF_PRIVATE))
            exact += sum(fields(read(f"/proc/{pid}/status"), _NOT_IN_SHARE))
        return exact + files

    def _files_in_memory(self) -> int:
        total = 0
        for place in self._memory_places:
            found = os.fstatvfs(place)
            total += (found.f_blocks - found.f_bfree) * found.f_frsize
            total += (found.f_files - found.f_ffree) * _INODE_BYTES
        return total

    def _cpu(self, pids: list[str]) -> float:
        ticks = 0
        for pid in pids:
            # The name in parentheses may hold anything; the numbers come after the last of them.
            _, _, rest = read(f"{pid}/stat", self._proc).rpartition(b")")
            ticks += sum(int(field) for field in rest.split()[11:15])
        return ticks / _TICKS


def fields(content: bytes, names: tuple[bytes, ...]) -> list[int]:
    """Numbers in kB by name, as bytes; 0 for what is missing, as for a process that has just ended."""
    values = [0] * len(names)
    for line in content.splitlines():
        for place, name in enumerate(names):
            if line.startswith(name):
                values[place] = int(line[len(name) :].split()[0]) * 1024
    return values


def read(path: str, folder: int | None = None) -> bytes:
    """A file of /proc; empty when its process has ended."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC, dir_fd=folder)
    except (FileNotFoundError, ProcessLookupError):
        return b""
    try:
        content = b""
        while piece := os.read(descriptor, 65_536):
            content += piece
        return content
    except ProcessLookupError:
        return b""
    finally:
        os.close(descriptor)
