"""Which processes of a sandbox have memory of their own, and which are one memory under two pids.

Between vfork and exec a child lives in its parent's memory, and every count that goes by process counts it twice; on a
busy machine that moment is long enough to be seen. The kernel's own comparison tells such pairs apart from real copies.
"""

from __future__ import annotations

import os
from typing import Final

from syftd.jobs.sandbox.filter import machine_arch
from syftd.jobs.sandbox.syscalls import NUMBERS

_COMPARE_MEMORY: Final = 1
_EQUAL: Final = 0


class Kin:
    """The processes that live in the same process namespace as `init`, by the pids they have out here."""

    def __init__(self, init: int) -> None:
        import ctypes

        self._init = init
        self._namespace = os.readlink(f"/proc/{init}/ns/pid")
        self._system_call = ctypes.CDLL(None, use_errno=True).syscall
        self._number = NUMBERS[machine_arch()]["kcmp"]

    def with_distinct_memory(self) -> list[int]:
        """One pid for each memory. Where the kernel cannot compare, every process counts for itself."""
        distinct: list[int] = []
        for pid in self._members():
            if not any(self._same_memory(pid, other) for other in distinct):
                distinct.append(pid)
        return distinct

    def _members(self) -> list[int]:
        members = []
        for name in os.listdir("/proc"):
            if name.isdigit():
                try:
                    namespace = os.readlink(f"/proc/{name}/ns/pid")
                except (FileNotFoundError, ProcessLookupError, PermissionError):
                    # It has ended, or belongs to somebody whom we may not look at, and so not to this run.
                    continue
                if namespace == self._namespace:
                    members.append(int(name))
        return sorted(members)

    def _same_memory(self, one: int, other: int) -> bool:
        return int(self._system_call(self._number, one, other, _COMPARE_MEMORY, 0, 0)) == _EQUAL
