"""Pages of a list, the way AWS hands them out: a bounded page and an opaque token."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from drainer.simulation.records import ApiError

Item = TypeVar("Item")


def page(
    items: Sequence[Item], *, token: str | None, size: int, invalid: ApiError
) -> tuple[list[Item], str | None]:
    """Return one page and the token of the next, or None at the end."""
    start = 0
    if token:
        try:
            start = int(base64.urlsafe_b64decode(token.encode()).decode())
        except (binascii.Error, UnicodeError, ValueError):
            raise invalid from None
    end = start + size
    following = None
    if end < len(items):
        following = base64.urlsafe_b64encode(str(end).encode()).decode()
    return list(items[start:end]), following
