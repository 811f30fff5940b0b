"""What is measured: each kind of change, and a cycle in which nothing happens, on one machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from typing import Final

from tests.scale.machine import Machine
from tests.scale.meter import Cost

ALL: Final = "save, all may read it"
ONE: Final = "save, one may read it"
DELETE: Final = "delete, all may read it"
RULES: Final = "edit the rules of a small folder"
PROPOSAL: Final = "take a proposal, one may read it"
HEAR: Final = "hear of a change of a peer's"
READ: Final = "learn that one has read"
IDLE: Final = "idle cycle"

NAMES: Final = (ALL, ONE, DELETE, RULES, PROPOSAL, HEAR, READ, IDLE)


@dataclass(frozen=True, slots=True)
class Result:
    """What each kind of work cost with so many peers and files."""

    peers: int
    files: int
    costs: dict[str, Cost]


def measured(machine: Machine, files: int) -> Result:
    """Every kind of work, each from rest."""
    costs: dict[str, Cost] = {}
    for name, work in kinds(machine):
        work()  # Once unmeasured: first times read modules, compile statements and fill what is remembered.
        machine.rest()
        costs[name] = machine.meter.cost(work)
        machine.rest()
    return Result(len(machine.peers), files, costs)


def kinds(machine: Machine) -> Iterator[tuple[str, Callable[[], None]]]:
    """The name of each kind of work and a function that does it once more."""
    numbers = count(1)
    held: dict[str, bytes | None] = {"drop/proposed.txt": None}

    def content() -> bytes:
        return b"number %06d" % next(numbers)

    yield ALL, lambda: machine.write("public/hot/one.txt", content())
    yield ONE, lambda: machine.write("drop/one.txt", content())

    doomed = [f"public/hot/doomed-{number}.txt" for number in range(4)]
    for path in doomed:
        machine.write(path, content())
    machine.rest()
    yield DELETE, lambda: machine.delete(doomed.pop())

    def edit_rules() -> None:
        reader = machine.peers[next(numbers) % len(machine.peers)]
        text = f"rules: [{{pattern: '**', access: {{write: [{machine.peers[0]}], read: ['{reader}']}}}}]\n# {content()!r}\n"
        machine.write("drop/syft.pub.yaml", text.encode())

    yield RULES, edit_rules

    def propose() -> None:
        new = content()
        machine.propose("drop/proposed.txt", held["drop/proposed.txt"], new)
        held["drop/proposed.txt"] = new

    yield PROPOSAL, propose
    yield HEAR, lambda: machine.hear([("public/hot/theirs.txt", content())])

    def read() -> None:
        machine.read_all()
        machine.clock.advance(601.0)
        machine.engine.poll()
        machine.drain()

    def told_and_read() -> None:
        machine.write("drop/one.txt", content())
        read()

    yield READ, told_and_read
    yield IDLE, machine.idle
