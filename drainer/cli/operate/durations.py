"""
Read a duration as it is typed: `30m`, `1h30m`, `90s`.
"""

from __future__ import annotations

import re
from datetime import timedelta

TYPED = re.compile(r"(?:(\d{1,5})h)?(?:(\d{1,5})m)?(?:(\d{1,6})s)?")


class TypedWronglyError(ValueError):
    """An argument is none of what it is to be; the sentence says what to type."""


def parse(text: str) -> timedelta:
    """
    Return the duration.

    Raises:
        TypedWronglyError: It is none, or zero.
    """
    found = TYPED.fullmatch(text.strip())
    if found:
        hours, minutes, seconds = (int(one or 0) for one in found.groups())
        if length := timedelta(hours=hours, minutes=minutes, seconds=seconds):
            return length
    raise TypedWronglyError(f"{text!r} is no duration: write 30m, 1h30m or 90s")


def typed(length: timedelta) -> str:
    """Return a duration as `parse` takes it, in whole minutes: `44h10m`, `5m`; empty for none."""
    hours, minutes = divmod(max(0, int(length.total_seconds())) // 60, 60)
    return f"{hours}h" * (hours > 0) + f"{minutes}m" * (minutes > 0)
