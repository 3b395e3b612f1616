"""
Numbers, durations and times as all screens of the account's commands show them.
"""

from __future__ import annotations

from datetime import datetime, timedelta, tzinfo

MINUTE, HOUR, DAY = 60, 3_600, 86_400
# "Mon 14:20" names one instant only within a week.
WEEK = timedelta(days=6)


def counted(count: int, noun: str) -> str:
    """Return a number of things: `1 task`, `2 tasks`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def duration(seconds: float) -> str:
    """Return seconds as at most two units: `50s`, `4m10s`, `2h04m`, `3d04h`."""
    whole = max(0, int(seconds))
    if whole < MINUTE:
        return f"{whole}s"
    if whole < HOUR:
        return f"{whole // MINUTE}m{whole % MINUTE:02d}s"
    if whole < DAY:
        return f"{whole // HOUR}h{whole % HOUR // MINUTE:02d}m"
    return f"{whole // DAY}d{whole % DAY // HOUR:02d}h"


def short(seconds: float) -> str:
    """Return seconds without a last unit of zero: `4m`, `2h`, `3d`."""
    shown = duration(seconds)
    for zero in ("00s", "00m", "00h"):
        if len(shown) > len(zero) + 1:
            shown = shown.removesuffix(zero)
    return shown


def time_of(instant: datetime, now: datetime, zone: tzinfo | None = None) -> str:
    """
    Return an instant as a person says it: `14:20`, `Mon 14:20`, `2026-11-02 14:20`.

    Both instants have a time zone. The result is in `zone`, or in the machine's own.
    """
    there, here = instant.astimezone(zone), now.astimezone(zone)
    if there.date() == here.date():
        return there.strftime("%H:%M")
    if abs(there - here) < WEEK:
        return there.strftime("%a %H:%M")
    return there.strftime("%Y-%m-%d %H:%M")
