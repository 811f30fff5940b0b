"""A test of the tests: each broken variant of the production code must be noticed by the simulator."""

from __future__ import annotations

import pytest

from tests.sim import telling, variants

_MOST = 200
"""So many seeds are tried before a variant counts as one that nobody noticed."""


@pytest.mark.parametrize("name", [name for name in variants.VARIANTS if name not in variants.RARELY])
def test_a_broken_variant_is_noticed(name: str) -> None:
    run, failed, _ = variants.caught(name, _MOST, enough=1)
    assert failed, f"{variants.VARIANTS[name].__doc__} {run} seeds noticed nothing"


def test_the_whole_code_is_put_back_afterwards() -> None:
    with variants.broken("no_dedupe"):
        pass
    assert telling.tell(variants.FIRST).broken is None


def test_a_failing_seed_is_told_with_few_steps() -> None:
    telling.quiet()
    with variants.broken("loser_not_kept"):
        seed = next(seed for seed in range(variants.FIRST, variants.FIRST + _MOST) if telling.tell(seed).broken)
        before = telling.tell(seed)
        assert before.broken is not None
        steps, best = telling.shrink(seed, before.broken, tries=60)
        assert best.broken == before.broken
        assert len(steps) < 25
        told = telling.story(seed, steps, best)
    assert f"make sim SEED={seed}" in told and "and then" in told
