"""The quick version: how counts grow with files and with peers. Times are printed by `make scale` and never asserted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.scale.machine import Machine
from tests.scale.plans import whole_reads
from tests.scale.scenarios import ALL, DELETE, HEAR, IDLE, NAMES, ONE, PROPOSAL, READ, RULES, Result, kinds, measured
from tests.sim.conftest import quick_folder

__all__ = ["quick_folder"]

EMPTY, FILES, FEW, MANY = (1, 1), (1, 100_000), (10, 1_000), (100, 1_000)
SLACK = 1.3
"""A count may differ by that much for reasons of alignment: the depth of a tree, the length of a name."""
A_PEER = 60
"""Steps of SQLite that each peer may add to work that is not theirs: reading one row of a small table a few times."""


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[int, int], Result]:
    """The same measurements on four machines."""
    found = {}
    for peers, files in (EMPTY, FILES, FEW, MANY):
        machine = Machine(tmp_path_factory.mktemp("scale") / "ada", peers)
        try:
            machine.fill(files)
            found[peers, files] = measured(machine, files)
        finally:
            machine.close()
    return found


@pytest.mark.parametrize("name", NAMES)
def test_nothing_costs_more_with_more_files(results: dict[tuple[int, int], Result], name: str) -> None:
    empty, full = (results[size].costs[name] for size in (EMPTY, FILES))
    assert full.calls == empty.calls
    assert full.rows == empty.rows
    assert full.statements <= empty.statements + 2
    assert full.steps <= empty.steps * SLACK, "a table is read that grows with the files"


@pytest.mark.parametrize("name", [ALL, DELETE])
def test_what_all_may_read_costs_in_proportion_to_them(results: dict[tuple[int, int], Result], name: str) -> None:
    few, many = (results[size].costs[name] for size in (FEW, MANY))
    assert (few.calls, many.calls) == (10, 100), "one call of the transport for each reader, and no other"
    for less, more in ((few.rows, many.rows), (few.statements, many.statements), (few.steps, many.steps)):
        assert more <= less * 10 * SLACK


@pytest.mark.parametrize("name", [ONE, PROPOSAL, HEAR, READ])
def test_what_one_may_read_costs_next_to_nothing_for_the_others(
    results: dict[tuple[int, int], Result], name: str
) -> None:
    few, many = (results[size].costs[name] for size in (FEW, MANY))
    assert many.calls == few.calls
    assert many.rows == few.rows
    # The proposer's message is the one new thing on the transport; what a whole listing shows of each peer is one look.
    assert many.statements <= few.statements + (2 * 90 if name == READ else 3)
    assert many.steps <= few.steps * SLACK + 90 * (2 * A_PEER if name == READ else A_PEER)


def test_an_edit_of_the_rules_costs_one_look_for_each_peer(results: dict[tuple[int, int], Result]) -> None:
    few, many = (results[size].costs[RULES] for size in (FEW, MANY))
    assert many.calls == few.calls
    assert many.statements <= few.statements + 2 * 90
    assert many.steps <= few.steps * SLACK + 90 * A_PEER


def test_an_idle_cycle_is_one_call_and_no_write(results: dict[tuple[int, int], Result]) -> None:
    for size, result in results.items():
        idle = result.costs[IDLE]
        assert (idle.calls, idle.lists, idle.rows) == (1, 1, 0), size
    few, many = (results[size].costs[IDLE] for size in (FEW, MANY))
    assert many.statements == few.statements
    assert many.steps <= few.steps + 90 * A_PEER


def test_memory_for_a_change_does_not_grow_with_the_files(results: dict[tuple[int, int], Result]) -> None:
    for name in NAMES:
        empty, full = (results[size].costs[name] for size in (EMPTY, FILES))
        assert full.peak <= empty.peak + 64 * 1024, name


def test_no_statement_of_a_change_or_a_poll_reads_a_whole_growing_table(machine: Machine) -> None:
    executed: set[str] = set()
    for _, work in kinds(machine):
        for _ in range(2):
            machine.meter.count(work)
            executed |= machine.meter.statements.keys()
        machine.meter.count(machine.rest)
        executed |= machine.meter.statements.keys()
    assert len(executed) > 200
    assert whole_reads(machine.db._connection, executed) == {}


def test_a_whole_read_would_be_seen(machine: Machine) -> None:
    reads = ["SELECT count(*) FROM file WHERE size = 3", "SELECT path FROM event WHERE by = 'x'"]
    assert whole_reads(machine.db._connection, reads).keys() == set(reads)


@pytest.fixture
def machine(quick_folder: Path) -> Iterator[Machine]:
    machine = Machine(quick_folder / "ada", 3)
    machine.fill(50)
    yield machine
    machine.close()
