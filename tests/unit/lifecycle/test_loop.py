"""The control loop lets go of what was done before it waits for the next."""

from __future__ import annotations

import gc
import weakref

from syftd.daemon.loop import Loop
from syftd.seams import SystemClock, sleep_until, thread


class Heavy:
    """Work that somebody would notice in memory."""


def test_finished_work_is_not_held_while_the_loop_waits() -> None:
    loop = Loop(SystemClock())
    done: list[weakref.ref[object]] = []

    def handle(work: object) -> None:
        if isinstance(work, Heavy):
            done.append(weakref.ref(work))

    running = thread(
        "loop",
        lambda: loop.run(handle, next_due=lambda: None, due=lambda: None, turned=lambda: None, failed=lambda *_: None),
    )
    loop.post(Heavy())

    def let_go() -> bool:
        gc.collect()
        return bool(done) and done[0]() is None

    try:
        assert sleep_until(let_go, timeout=10.0)
    finally:
        loop.stop = True
        loop.post(None)
        running.join()
