"""The simulator by hand: ``python -m tests.sim --seeds 1000`` runs fresh seeds, ``--seed 17`` tells one again.

Ends with ``seeds=N failures=0 seeds_per_s=…`` and exit code 0 when nothing broke. A failure is shrunk and told.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any

_CHUNK = 10
_STORIES = 3


def main(words: Sequence[str] | None = None) -> int:
    """Runs what the command line says; returns the exit code."""
    options = _options(words)
    if os.environ.get("PYTHONHASHSEED") != "0":
        # The order of Python's sets is part of a run, so it is fixed like everything else.
        os.execve(sys.executable, [sys.executable, "-m", "tests.sim", *sys.argv[1:]], os.environ | {"PYTHONHASHSEED": "0"})
    from tests.sim import telling

    telling.quiet()
    if options.variants is not None:
        from tests.sim import variants

        return variants.report(options.variants, options.seeds or 60, options.workers)
    if options.seed is not None:
        return _again(options.seed)
    first = options.first if options.first is not None else secrets.randbelow(1 << 40)
    return _many(first, options.seeds or 200, options)


def _options(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.sim", description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seeds", type=int, help="how many seeds to run (200; 60 for each variant)")
    parser.add_argument("--first", type=int, help="the first seed (chosen by chance)")
    parser.add_argument("--seed", type=int, help="tell this seed again, as a story if it fails")
    parser.add_argument("--variants", nargs="*", metavar="NAME", help="run the broken variants, all or these; print a table")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes (one for each core)")
    parser.add_argument("--coverage", action="store_true", help="print how often each fault and each check happened")
    parser.add_argument("--json", metavar="FILE", help="write what was found to a file")
    return parser.parse_args(words)


def _again(seed: int) -> int:
    from tests.sim import telling

    told = telling.tell(seed)
    if told.broken is None:
        print("\n".join(told.trace))
        print(f"\nseed {seed} holds; fingerprint {told.fingerprint}")
        return 0
    steps, best = telling.shrink(seed, told.broken)
    print(telling.story(seed, steps, best))
    return 1


def chunk(first: int, count: int) -> dict[str, Any]:
    """Runs some seeds one after the other; for worker processes."""
    from tests.sim import telling

    telling.quiet()
    coverage: Counter[str] = Counter()
    checks: Counter[str] = Counter()
    failures = []
    for seed in range(first, first + count):
        told = telling.tell(seed)
        coverage.update(told.coverage)
        checks.update(told.checks)
        if told.broken is not None:
            failures.append({"seed": seed, "broken": told.broken, "text": told.text})
    return {"seeds": count, "failures": failures, "coverage": coverage, "checks": checks}


def _chunks(first: int, seeds: int) -> Iterator[tuple[int, int]]:
    for start in range(first, first + seeds, _CHUNK):
        yield start, min(_CHUNK, first + seeds - start)


def _many(first: int, seeds: int, options: argparse.Namespace) -> int:
    from tests.sim import telling

    began = time.monotonic()
    found: dict[str, Any] = {"first": first, "seeds": 0, "failures": [], "coverage": Counter(), "checks": Counter()}
    with ProcessPoolExecutor(options.workers) as pool:
        for part in pool.map(chunk, *zip(*_chunks(first, seeds), strict=True)):
            found["seeds"] += part["seeds"]
            found["failures"] += part["failures"]
            found["coverage"].update(part["coverage"])
            found["checks"].update(part["checks"])
    seconds = time.monotonic() - began
    for failure in found["failures"][:_STORIES]:
        steps, best = telling.shrink(failure["seed"], failure["broken"])
        failure["story"] = telling.story(failure["seed"], steps, best)
        print(failure["story"], end="\n\n")
    if options.coverage:
        for name in ("coverage", "checks"):
            print(f"{name}:")
            for what, count in sorted(found[name].items(), key=lambda item: -item[1]):
                print(f"  {count:10,}  {what}")
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(found, file, indent=1)
    print(f"first={first} seeds={found['seeds']} failures={len(found['failures'])} seeds_per_s={found['seeds'] / seconds:.1f}")
    return 1 if found["failures"] else 0


if __name__ == "__main__":
    sys.exit(main())
