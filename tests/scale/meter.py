"""Counting what an engine does: calls of the transport, statements, steps of SQLite's machine, rows, time and memory."""

from __future__ import annotations

import sqlite3
import tracemalloc
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from time import process_time

from syftd.state.db import Db
from syftd.transport.mailbox import Box
from syftd.transport.memory import MemoryMailbox


@dataclass(frozen=True, slots=True)
class Cost:
    """What one piece of work cost. `steps` are instructions of SQLite's virtual machine: a scan shows in them, however
    fast it is. Times in seconds of processor time, memory in bytes: `peak` above what was there before, `kept` after."""

    calls: int
    lists: int
    statements: int
    steps: int
    rows: int
    seconds: float
    peak: int
    kept: int


class Meter:
    """Measures one engine's work. The same work is done three times: counted, timed and weighed, each by itself, since
    counting takes time and weighing takes more."""

    def __init__(self, db: Db, mailbox: MemoryMailbox) -> None:
        self._connection: sqlite3.Connection = db._connection
        self._calls: Counter[str] = Counter()
        self.statements: Counter[str] = Counter()
        """Every statement that was executed while counting, with its values."""
        mailbox.fault = self._called

    def _called(self, verb: str, box: Box | None, name: str) -> None:
        if not verb.endswith(".reply"):
            self._calls[verb] += 1

    def cost(self, work: Callable[[], None]) -> Cost:
        """What `work` costs; it is done three times and must do the same each time."""
        calls, statements, steps, rows = self.count(work)
        begin = process_time()
        work()
        seconds = process_time() - begin
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            work()
            after, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        return Cost(calls.total(), calls["list"], statements, steps, rows, seconds, peak - before, after - before)

    def count(self, work: Callable[[], None]) -> tuple[Counter[str], int, int, int]:
        """Calls of the transport by verb, statements, steps and rows written while `work` is done once."""
        steps = 0

        def step() -> int:
            nonlocal steps
            steps += 1
            return 0

        self._calls.clear()
        self.statements.clear()
        rows = self._connection.total_changes
        self._connection.set_trace_callback(self._executed)
        self._connection.set_progress_handler(step, 1)
        try:
            work()
        finally:
            self._connection.set_progress_handler(None, 0)
            self._connection.set_trace_callback(None)
        return Counter(self._calls), self.statements.total(), steps, self._connection.total_changes - rows

    def _executed(self, statement: str) -> None:
        self.statements[statement] += 1
