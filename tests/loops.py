"""
What a test loops over, which must be something: a loop that never runs asserts nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable

Item = TypeVar("Item")


def some(items: Iterable[Item]) -> list[Item]:
    """
    Return the items as a list, and fail if there are none.
    """
    found = list(items)
    assert found != [], "nothing to loop over"
    return found
