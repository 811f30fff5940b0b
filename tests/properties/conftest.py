"""The fixtures of the small worlds serve the properties as well."""

from __future__ import annotations

from tests.sim.conftest import quick_folder

__all__ = ["quick_folder"]
