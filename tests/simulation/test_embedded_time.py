"""The embedded account's time: fast while nothing is at work, and never backwards."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from drainer.simulation.embedded.compressed_time import EmbeddedTime
from drainer.simulation.embedded.warp.shared_time import SharedTime

if TYPE_CHECKING:
    from pathlib import Path

ORIGIN = 1_000.0
FACTOR = 60.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "time"


@pytest.fixture
def table(path: Path) -> SharedTime:
    return SharedTime.create(path, origin=ORIGIN, factor=FACTOR)


# A busy machine's second would be a minute of a function that has thirty seconds.
def test_a_held_second_is_one_second(table: SharedTime) -> None:
    table.hold(lambda: ORIGIN + 1)
    table.release(lambda: ORIGIN + 5)

    assert [table.at(ORIGIN + real) for real in (0, 1, 3, 5, 6)] == [
        ORIGIN + instant for instant in (0, 60, 62, 64, 124)
    ]


# Two functions at work: the first that ends must not let time run away under the second.
def test_time_is_held_until_the_last_lets_go(table: SharedTime) -> None:
    table.hold(lambda: ORIGIN)
    table.hold(lambda: ORIGIN + 1)
    table.release(lambda: ORIGIN + 2)

    assert table.at(ORIGIN + 10) == ORIGIN + 10

    table.release(lambda: ORIGIN + 10)

    assert table.at(ORIGIN + 11) == ORIGIN + 10 + FACTOR


# The function's process and the account's must agree: who holds and who reads are different ones.
def test_all_who_have_mapped_the_file_see_the_same(table: SharedTime, path: Path) -> None:
    other = SharedTime(path)

    other.hold(lambda: ORIGIN + 1)

    assert table.at(ORIGIN + 4) == other.at(ORIGIN + 4) == ORIGIN + 63

    table.release(lambda: ORIGIN + 4)

    assert other.at(ORIGIN + 5) == ORIGIN + 123


# An instant that was read must stay true: the account's timers have gone off by it.
def test_what_was_read_does_not_change_and_time_never_goes_back(table: SharedTime) -> None:
    read = {}
    for real in range(1, 40):
        read[real] = table.at(ORIGIN + real)
        change = table.hold if real % 4 == 1 else table.release if real % 4 == 3 else None
        if change:
            change(lambda real=real: ORIGIN + real)  # type: ignore[misc]

    assert {real: table.at(ORIGIN + real) for real in read} == read
    assert list(read.values()) == sorted(read.values())
    # The wall clock is set back, under a hold and without one.
    table.hold(lambda: ORIGIN)
    assert table.at(ORIGIN + 41) >= read[39]


# A wait in the account's seconds ends by the account's clock, however fast that one goes.
def test_a_sleep_lasts_as_long_as_the_account_says(path: Path) -> None:
    time = EmbeddedTime(FACTOR)
    time.share(path)
    began = time.unix()

    with time.held():
        time.sleep(0.05)
    time.sleep(3.0)

    assert time.unix() - began >= 3.05
    assert time.at(datetime.fromtimestamp(began, UTC)) >= datetime.fromtimestamp(began, UTC)
