"""The control loop: one queue, one thread, one `match`. Everything that decides anything happens here, in turn."""

from __future__ import annotations

import queue
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from syftd.daemon.ticks import Tick
from syftd.errors import SyftdError
from syftd.log import logger
from syftd.seams import Clock

_log = logger("loop")
_LONGEST_WAIT = 30.0
_BURST = 4096


@dataclass(frozen=True, slots=True)
class Hint:
    """A path, relative to the folder of all datasites, stirred."""

    path: str
    quick: bool
    gone: bool


@dataclass(frozen=True, slots=True)
class Lost:
    """The watcher may have missed something."""

    reason: str


@dataclass(frozen=True, slots=True)
class Wake:
    """A transport may have something new."""


@dataclass(frozen=True, slots=True)
class Do:
    """Something to be done once on the control thread."""

    action: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Asked:
    """A request of the local API; the answer, or the error, goes into `answer`."""

    action: Callable[[], Any]
    answer: Future[Any] = field(default_factory=Future)


class Loop:
    """Takes work from the queue until `stop` is set. Errors of one piece of work become a line and a problem."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._queue: queue.SimpleQueue[object] = queue.SimpleQueue()
        self.stop = False
        self.turned = clock.monotonic()
        """When the loop last finished a turn; what the service watchdog and `status` call alive."""

    def post(self, work: object) -> None:
        """Adds work; safe from any thread and from signal handlers."""
        self._queue.put(work)

    def ask(self, action: Callable[[], Any], timeout: float) -> Any:
        """Runs `action` on the control thread and returns its result; called from other threads."""
        asked = Asked(action)
        self.post(asked)
        return asked.answer.result(timeout)

    def run(
        self,
        handle: Callable[[object], None],
        *,
        next_due: Callable[[], float | None],
        due: Callable[[], None],
        turned: Callable[[], None],
        failed: Callable[[object, Exception], None],
    ) -> None:
        """`handle` takes one piece of work; `due` is called when the time of `next_due` (monotonic seconds) has come;
        `turned` after each turn; `failed` is told of errors that nobody expected."""
        while not self.stop:
            work = self._next(next_due())
            self._guard(work, handle, failed)
            for _ in range(_BURST):
                # What has gathered meanwhile is taken together, so that a burst of hints becomes one look at the disk.
                try:
                    work = self._queue.get_nowait()
                except queue.Empty:
                    break
                self._guard(work, handle, failed)
                if self.stop or not isinstance(work, Hint):
                    break
            # What was done is let go before the next is waited for: it may hold a message of many megabytes.
            work = None
            when = next_due()
            if when is not None and when <= self._clock.monotonic():
                self._guard(None, lambda _: due(), failed)
            self.turned = self._clock.monotonic()
            turned()

    def _next(self, when: float | None) -> object:
        wait = _LONGEST_WAIT
        if when is not None:
            wait = min(wait, max(0.0, when - self._clock.monotonic()))
        try:
            return self._queue.get(timeout=wait) if wait > 0 else self._queue.get_nowait()
        except queue.Empty:
            return None

    def _guard(
        self, work: object, handle: Callable[[object], None], failed: Callable[[object, Exception], None]
    ) -> None:
        if isinstance(work, Asked):
            try:
                work.answer.set_result(work.action())
            except Exception as error:  # noqa: BLE001 - the asker gets it, whatever it is.
                work.answer.set_exception(error)
            return
        try:
            handle(work)
        except Exception as error:  # noqa: BLE001 - the one place where an error becomes a state that a person can see.
            _log.exception("work failed", work=type(work).__name__) if not isinstance(
                error, SyftdError
            ) else _log.error("work failed", work=type(work).__name__, reason=str(error))
            failed(work, error)


__all__ = ["Asked", "Do", "Hint", "Loop", "Lost", "Tick", "Wake"]
