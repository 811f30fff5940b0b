"""How answers look to people: aligned, calm, in local time, and never with a control character from a peer."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

_STYLES: Final = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33"}
_BIDI: Final = frozenset("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def visible(text: Any, *, lines: bool = False) -> str:
    """`text` with control and direction characters written out; `lines` keeps line ends and tabs."""
    kept = "\n\t" if lines else ""
    out = []
    for char in str(text):
        hidden = char < " " or "\x7f" <= char <= "\x9f" or char in _BIDI or "\ud800" <= char <= "\udfff"
        out.append(f"\\u{ord(char):04x}" if hidden and char not in kept else char)
    return "".join(out)


def coloured(stream: Any = None) -> bool:
    """Whether `stream` (default stdout) wants colours."""
    return (stream or sys.stdout).isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def style(text: str, name: str) -> str:
    """`text` in a style when stdout shows it."""
    return f"\x1b[{_STYLES[name]}m{text}\x1b[0m" if coloured() else text


def table(rows: Iterable[Sequence[Any]], head: Sequence[str] = (), indent: str = "") -> str:
    """Left-aligned columns without lines; '' when there are no rows."""
    cells = [[visible("" if cell is None else cell) for cell in row] for row in rows]
    if not cells:
        return ""
    width = max(len(row) for row in cells)
    widths = [max([len(row[i]) for row in [list(head), *cells] if i < len(row)], default=0) for i in range(width)]
    lines = []
    for number, row in enumerate([list(head), *cells] if head else cells):
        line = "  ".join(cell.ljust(widths[i]) for i, cell in enumerate(row)).rstrip()
        lines.append(indent + (style(line, "dim") if head and number == 0 else line))
    return "\n".join(lines)


def when(seconds: Any) -> str:
    """A moment, given in seconds since the epoch or as ISO text, in local time; '–' when there is none."""
    moment = _moment(seconds)
    return "–" if moment is None else moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def ago(seconds: Any) -> str:
    """How long ago a moment was, in words; '–' when there is none."""
    moment = _moment(seconds)
    if moment is None:
        return "–"
    past = (datetime.now(UTC) - moment).total_seconds()
    return "just now" if past < 1 else f"{span(past)} ago"


def span(seconds: float) -> str:
    """A length of time in its largest unit: ``3 s``, ``5 min``, ``2 h``, ``4 d``."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def size(count: Any) -> str:
    """Bytes for people: ``512 B``, ``3.4 MB``."""
    if not isinstance(count, int | float):
        return "–"
    amount = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" or amount >= 100 else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} TB"


def plural(count: Any, one: str, many: str = "") -> str:
    """``1 file``, ``3 files``."""
    return f"{count} {one if count == 1 else many or one + 's'}"


def _moment(value: Any) -> datetime | None:
    if isinstance(value, bool) or value is None or value == "":
        return None
    try:
        if isinstance(value, int | float):
            return datetime.fromtimestamp(value, UTC)
        parsed = datetime.fromisoformat(str(value))
    except (ValueError, OverflowError, OSError):
        return None
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
