"""What a benchmark says: rows of figures, as a table for people and as JSON for scripts."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of syftd, the same figure of a peer measured in the same run, and the target it is held to."""

    group: str
    name: str
    value: float
    unit: str
    n: int = 1
    low: float | None = None
    high: float | None = None
    peer: str = ""
    peer_value: float | None = None
    limit: float | None = None
    """The highest `value` that meets the target, in the row's unit."""
    ratio_limit: float | None = None
    """The highest ratio to the peer that meets the target."""
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """How much of the peer's figure ours is; below 1 is better than the peer."""
        return self.value / self.peer_value if self.peer_value else None

    @property
    def target(self) -> str:
        """The target in words, '' when there is none."""
        if self.ratio_limit is not None:
            return f"≤ {self.ratio_limit:g} × {self.peer}"
        return f"≤ {self.limit:g} {self.unit}" if self.limit is not None else ""

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None when there is none, or no peer on this machine to compare with."""
        if self.ratio_limit is not None:
            return None if self.ratio is None else self.ratio <= self.ratio_limit
        return None if self.limit is None else self.value <= self.limit


def summary(values: Sequence[float]) -> tuple[float, float, float]:
    """Median, lowest and highest."""
    return statistics.median(values), min(values), max(values)


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` (0 to 1) of all values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


@dataclass(slots=True)
class Report:
    """The rows of one run and the circumstances under which they were taken."""

    circumstances: dict[str, str]
    rows: list[Row] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)

    def table(self) -> str:
        """The rows as aligned text."""
        head = ("what", "syftd", "n", "min - max", "peer", "ratio", "target", "")
        lines = [head, *(self._cells(row) for row in self.rows)]
        widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
        text = ["  ".join(map(str.ljust, line, widths)).rstrip() for line in lines]
        notes = [f"  {row.name}: {row.note}" for row in self.rows if row.note]
        failed = [f"  {group} could not be measured: {why}" for group, why in self.failures.items()]
        where = [f"  {name}: {value}" for name, value in self.circumstances.items()]
        return "\n".join([*text, "", *where, *notes, *failed])

    def document(self) -> str:
        """Everything as one JSON document."""
        rows = [
            {**asdict(row), "ratio": row.ratio, "target": row.target, "met": row.met}
            for row in self.rows
        ]  # fmt: skip
        whole = {"circumstances": self.circumstances, "rows": rows, "failures": self.failures}
        return json.dumps(whole, indent=2, ensure_ascii=False)

    def write(self, path: Path) -> None:
        """Writes the JSON document to a file."""
        path.write_text(self.document() + "\n", encoding="utf-8")

    @property
    def missed(self) -> list[Row]:
        """The rows whose target is not met."""
        return [row for row in self.rows if row.met is False]

    @staticmethod
    def _cells(row: Row) -> tuple[str, ...]:
        spread = f"{_number(row.low)} - {_number(row.high)}" if row.low is not None and row.high is not None else ""
        return (
            row.name,
            f"{_number(row.value)} {row.unit}",
            str(row.n),
            spread,
            f"{row.peer} {_number(row.peer_value)}" if row.peer_value is not None else "",
            f"{row.ratio:.3f}" if row.ratio is not None else "",
            row.target,
            {True: "met", False: "MISSED", None: ""}[row.met],
        )


def _number(value: float | None) -> str:
    if value is None:
        return ""
    if value and abs(value) < 1:
        return f"{value:.3f}"
    return f"{value:.2f}" if abs(value) < 100 else f"{value:,.0f}"
