"""How hard the properties are tried. By default each has a fixed number of examples, the same ones every time, so that
a failure is a failure everywhere. ``SYFTD_PROPERTIES=20`` tries twenty times as many, and other ones each time."""

from __future__ import annotations

import os
from typing import Final

from hypothesis import HealthCheck, settings

TIMES: Final = int(os.environ.get("SYFTD_PROPERTIES", "1"))


def examples(count: int) -> settings:
    """Settings with `count` examples. No deadline: this machine may be busy; what must be fast says so in processor
    time."""
    return settings(
        max_examples=count * TIMES,
        derandomize=TIMES == 1,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )
