"""The account of the virtual-time tests, where what is false comes in beside what is true."""

from __future__ import annotations

from tests.simulation.conftest import make_world, world

__all__ = ["make_world", "world"]
