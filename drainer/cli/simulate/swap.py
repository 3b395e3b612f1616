"""
How a deliberate bug gets into this process.
"""

from __future__ import annotations

from typing import Any


def swap(owner: Any, name: str, value: Any) -> Any:
    """Put a value in the place of another; return that other."""
    right = getattr(owner, name)
    setattr(owner, name, value)
    return right
