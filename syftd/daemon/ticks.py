"""Ticks: APScheduler decides when, and does nothing but post to the loop's queue. All work happens in the loop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

JITTER: Final = 0.25
"""Each interval varies by up to this share, so that many daemons do not ask a shared service at the same moment."""


@dataclass(frozen=True, slots=True)
class Tick:
    """It is time for something; `name` says for what."""

    name: str


class Ticks:
    """Posts `Tick(name)` again and again. `post` is called from the scheduler's thread and must only put in a queue."""

    def __init__(self, post: Callable[[Tick], None]) -> None:
        from apscheduler.executors.pool import ThreadPoolExecutor
        from apscheduler.schedulers.background import BackgroundScheduler

        self._post = post
        # A run that comes late (after a sleep) still comes, once: missed ones are folded into it.
        self._scheduler: Any = BackgroundScheduler(
            timezone="UTC",
            executors={"default": ThreadPoolExecutor(1)},
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
        )

    def every(self, name: str, seconds: float) -> None:
        """Posts `Tick(name)` every `seconds`, give or take a quarter; the same name again changes the interval."""
        from apscheduler.triggers.interval import IntervalTrigger

        # The trigger counts in whole microseconds; its jitter may not reach back before the run itself.
        trigger = IntervalTrigger(seconds=seconds, jitter=seconds * JITTER, timezone="UTC")
        self._scheduler.add_job(self._post, trigger, args=(Tick(name),), id=name, replace_existing=True)

    def stop_one(self, name: str) -> None:
        """Ends the ticks called `name`; unknown is success."""
        if self._scheduler.get_job(name) is not None:
            self._scheduler.remove_job(name)

    def start(self) -> None:
        """Begins to tick; the first tick of each name comes after its interval."""
        self._scheduler.start()

    def pause(self) -> None:
        """No ticks until `resume`."""
        self._scheduler.pause()

    def resume(self) -> None:
        """Ticks go on."""
        self._scheduler.resume()

    def stop(self) -> None:
        """Ends all ticks without waiting for one that is being posted; stopping twice is success."""
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)
