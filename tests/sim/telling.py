"""Running seeds, and telling a failure as a short story: the steps that have nothing to do with it are left out."""

from __future__ import annotations

import io
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from syftd import log
from tests.sim.adversity import Violated
from tests.sim.walk import Step, Walk, plan

_MEMORY = Path("/dev/shm")


@dataclass(slots=True)
class Told:
    """How one walk went. `broken` is the name of the invariant that did not hold, “bug” for an error nobody expected,
    None when everything held."""

    seed: int
    broken: str | None = None
    text: str = ""
    trace: list[str] = field(default_factory=list)
    fingerprint: str = ""
    coverage: Counter[str] = field(default_factory=Counter)
    checks: Counter[str] = field(default_factory=Counter)


def quiet() -> None:
    """Keeps the log of the engines away from the terminal."""
    log.setup("error", "json", stream=io.StringIO())


def tell(seed: int, steps: Sequence[Step] | None = None, *, around: Callable[[Walk], None] | None = None) -> Told:
    """Runs one walk. `around` may change the walk before it begins."""
    with tempfile.TemporaryDirectory(prefix="syftd-sim-", dir=_MEMORY if _MEMORY.is_dir() else None) as folder:
        walk: Walk | None = None
        told = Told(seed)
        try:
            walk = Walk(Path(folder), seed)
            if around is not None:
                around(walk)
            walk.run(steps)
        except (Exception, Violated) as error:
            told.broken, told.text = _named(error), f"{type(error).__name__}: {error}"
        finally:
            if walk is not None:
                told.trace = list(walk.trace)
                told.fingerprint = walk.fingerprint
                ran = Counter({"I16": sum(len(runs.started) for runs in walk.runs.values())})
                told.coverage, told.checks = walk.coverage, walk.judge.checks + walk.world.disk_checks + ran
                walk.world.close()
    return told


def _named(error: BaseException) -> str:
    found = re.match(r"(I\d+):", str(error)) if isinstance(error, (AssertionError, Violated)) else None
    return "bug" if found is None else found[1]


def shrink(seed: int, broken: str, tries: int = 200) -> tuple[list[Step], Told]:
    """The fewest steps of a failing seed that still break the same invariant, and how they went.

    Delta debugging over the steps. Each has its own chance, so that leaving one out changes no other by itself."""
    steps = plan(seed)
    best = tell(seed, steps)
    size = max(1, len(steps) // 2)
    while tries > 0:
        left_out = False
        at = 0
        while at < len(steps) and tries > 0:
            fewer = steps[:at] + steps[at + size :]
            tries -= 1
            told = tell(seed, fewer)
            if told.broken == broken:
                steps, best, left_out = fewer, told, True
            else:
                at += size
        if size == 1 and not left_out:
            break
        size = max(1, size // 2) if not left_out or size > len(steps) // 2 else size
    return steps, best


def story(seed: int, steps: Sequence[Step], told: Told) -> str:
    """A failure, for a person who wants to understand it."""
    lines = [f"Seed {seed}, {len(steps)} steps: {' '.join(f'{step.number}:{step.kind}' for step in steps)}", ""]
    lines += [f"  {number:3}. {line}" for number, line in enumerate(told.trace, start=1)]
    lines += ["", f"  and then {told.text}", "", f"Again:  make sim SEED={seed}"]
    return "\n".join(lines)
