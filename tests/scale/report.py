"""The measurements as a table and as curves, in text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import log10

from tests.scale.meter import Cost
from tests.scale.scenarios import ALL, IDLE, NAMES, ONE, Result

_WIDTH = 44


def table(results: Sequence[Result]) -> str:
    """One row for each kind of work and size, as a Markdown table."""
    lines = [
        "| work | peers | files | calls | rows | statements | steps | CPU ms | peak KiB | kept KiB |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for name in NAMES:
        for result in results:
            cost = result.costs[name]
            lines.append(
                f"| {name} | {result.peers:,} | {result.files:,} | {cost.calls:,} | {cost.rows:,} | {cost.statements:,} "
                f"| {cost.steps:,} | {cost.seconds * 1000:.1f} | {cost.peak / 1024:,.0f} | {cost.kept / 1024:,.0f} |"
            )
    return "\n".join(lines)


def curves(results: Sequence[Result]) -> str:
    """How the steps of SQLite grow with files and with peers; each # is a sixth of a power of ten."""

    def steps(cost: Cost) -> int:
        return cost.steps

    parts = []
    one_peer = [result for result in results if result.peers == 1]
    parts.append(_curve("steps of a save, by files, one peer", one_peer, ONE, lambda result: result.files, steps))
    parts.append(_curve("steps of an idle cycle, by files, one peer", one_peer, IDLE, lambda result: result.files, steps))
    most = _by_peers(results)
    parts.append(_curve("steps of a save that all may read, by peers", most, ALL, lambda result: result.peers, steps))
    parts.append(_curve("steps of a save that one may read, by peers", most, ONE, lambda result: result.peers, steps))
    parts.append(_curve("steps of an idle cycle, by peers", most, IDLE, lambda result: result.peers, steps))
    return "\n\n".join(parts)


def _by_peers(results: Sequence[Result]) -> list[Result]:
    """One result for each number of peers: the one with the most files."""
    best: dict[int, Result] = {}
    for result in results:
        if result.peers not in best or result.files > best[result.peers].files:
            best[result.peers] = result
    return [best[peers] for peers in sorted(best)]


def _curve(
    title: str, results: Sequence[Result], name: str, of: Callable[[Result], int], value: Callable[[Cost], int]
) -> str:
    lines = [title]
    for result in results:
        number = value(result.costs[name])
        bar = "#" * min(_WIDTH, round(6 * log10(max(1, number))))
        lines.append(f"{of(result):>11,} {bar} {number:,}")
    return "\n".join(lines)
