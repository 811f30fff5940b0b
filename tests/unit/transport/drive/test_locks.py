"""One thread at a time on one thing, several at a time on several, and no lock that stays behind."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from syftd.transport.drive.files import Locks


def test_one_thing_is_held_by_one_thread_and_different_things_by_several() -> None:
    locks = Locks()
    inside: list[int] = []
    most: list[int] = []
    count = threading.Lock()

    def work(number: int) -> None:
        with locks.hold("same"):
            with count:
                inside.append(number)
                most.append(len(inside))
            with count:
                inside.remove(number)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(200)))
    assert max(most) == 1
    meeting = threading.Barrier(2)

    def meet(thing: str) -> None:
        with locks.hold(thing):
            meeting.wait(timeout=20)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(meet, ["one", "other"]))
    assert locks._held == {}


def test_several_things_at_once_never_wait_for_each_other_in_a_ring() -> None:
    locks = Locks()

    def work(number: int) -> None:
        with locks.hold(*(["a", "b", "c"] if number % 2 else ["c", "b", "a", "a"])):
            pass

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(400), timeout=60))
    assert locks._held == {}
