"""
Durations and times on the screens of the account's commands.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from drainer.cli.account.screen import duration, short, time_of

# A Tuesday.
NOW = datetime(2026, 11, 3, 14, 2, 17, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "shown", "shortened"),
    [
        (-5, "0s", "0s"),
        (0, "0s", "0s"),
        (50.9, "50s", "50s"),
        (60, "1m00s", "1m"),
        (250, "4m10s", "4m10s"),
        (3_599, "59m59s", "59m59s"),
        (7_200, "2h00m", "2h"),
        (7_440, "2h04m", "2h04m"),
        (273_600, "3d04h", "3d04h"),
        (864_000, "10d00h", "10d"),
    ],
)
def test_a_duration_has_at_most_two_units(seconds: float, shown: str, shortened: str) -> None:
    assert (duration(seconds), short(seconds)) == (shown, shortened)


@pytest.mark.parametrize(
    ("instant", "shown"),
    [
        (NOW + timedelta(hours=2), "16:02"),
        (NOW - timedelta(days=1), "Mon 14:02"),
        # A weekday alone would name two days.
        (NOW + timedelta(days=7), "2026-11-10 14:02"),
    ],
)
def test_a_time_names_its_day_only_where_it_must(instant: datetime, shown: str) -> None:
    assert time_of(instant, NOW, UTC) == shown
