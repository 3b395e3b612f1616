"""
What both commands are asked for, and how far back that is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
DURATION = re.compile(r"([1-9][0-9]{0,3})([mhdw])")


@dataclass(frozen=True, slots=True)
class Asked:
    """What both commands take."""

    since: str
    group: str | None = None
    stack: str = "drainer"
    with_log: bool = True
    region: str | None = None
    profile: str | None = None


def since_of(text: str, now: datetime) -> datetime:
    """
    Return the instant that `30m`, `24h`, `7d`, `2w` or `2026-11-02` names; a date is in UTC.

    Raises:
        ValueError: It is none of these, or not in the past.
    """
    if match := DURATION.fullmatch(text):
        return now - timedelta(**{UNITS[match[2]]: int(match[1])})
    instant = datetime.fromisoformat(text)
    instant = instant if instant.tzinfo else instant.replace(tzinfo=UTC)
    if instant >= now:
        raise ValueError("it is not in the past")
    return instant
