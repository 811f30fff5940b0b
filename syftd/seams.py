"""The seams between the engine and the world: Clock, Random, Pool. The simulator replaces them; nothing else may touch them.

Only this module (and the real adapters it holds) imports time, random and thread pools.
"""

from __future__ import annotations

import os
import random
import secrets
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class Clock(Protocol):
    """Wall time is for people and names; only monotonic time measures."""

    def now(self) -> float:
        """Seconds since the epoch."""

    def monotonic(self) -> float:
        """Seconds on a clock that never steps."""


class Random(Protocol):
    """Randomness for identities and for jitter."""

    def uniform(self, low: float, high: float) -> float: ...

    def uuid(self) -> str:
        """A fresh UUID in its 36-character lower-case form."""

    def token(self, size: int) -> str:
        """`size` random bytes in hex."""


class Pool(Protocol):
    """Runs work off the control thread; `done(result, error)` is called from the worker and must only post to the loop."""

    def submit(self, work: Callable[[], T], done: Callable[[T | None, BaseException | None], None]) -> None: ...

    def close(self) -> None: ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()


class SystemRandom:
    """The machine's randomness."""

    def uniform(self, low: float, high: float) -> float:
        return random.uniform(low, high)

    def uuid(self) -> str:
        return str(uuid.UUID(bytes=os.urandom(16), version=4))

    def token(self, size: int) -> str:
        return secrets.token_hex(size)


class ThreadPool:
    """A bounded thread pool; threads are started when first needed."""

    def __init__(self, workers: int, name: str) -> None:
        self._executor = ThreadPoolExecutor(max_workers=workers, thread_name_prefix=name)

    def submit(self, work: Callable[[], T], done: Callable[[T | None, BaseException | None], None]) -> None:
        def run() -> None:
            try:
                result = work()
            except BaseException as error:  # noqa: BLE001 - the pool border: the error travels to the loop, which shows it.
                done(None, error)
            else:
                done(result, None)

        self._executor.submit(run)

    def close(self) -> None:
        """Stops taking work; running work is not waited for, since everything it does can be repeated."""
        self._executor.shutdown(wait=False, cancel_futures=True)


def mutex() -> AbstractContextManager[bool]:
    """A lock for the few values that pool threads share."""
    import threading

    return threading.Lock()


def sleep_until(condition: Callable[[], bool], *, timeout: float, every: float = 0.02) -> bool:
    """Waits for a condition by asking it; returns whether it came true within `timeout` seconds. For commands, not the loop."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(every)
    return True


def thread(name: str, body: Callable[[], Any]) -> Any:
    """Starts a daemon thread; for the few loops that block on the operating system (watchers, the API server)."""
    import threading

    started = threading.Thread(target=body, name=name, daemon=True)
    started.start()
    return started
