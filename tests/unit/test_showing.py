"""A demo shows what changes, ends when it is over, and does not go on for ever."""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING

import pytest
from rich.console import Console
from rich.text import Text

from drainer.cli.demo import runner
from drainer.cli.demo.run import SHOWS
from drainer.cli.demo.runner import DemoError, Frame
from drainer.cli.demo.scenarios import SCENARIOS, ScenarioName
from drainer.cli.demo.voice import Voice

if TYPE_CHECKING:
    from pathlib import Path


def follow(lines: list[str], until: float) -> tuple[Frame, str]:
    """
    Follow looks that see these lines; return the last frame and what was said.
    """
    output = io.StringIO()
    looks = iter(enumerate(lines, start=1))

    def look() -> Frame:
        number, line = next(looks)
        return Frame(number * 60.0, line, lambda: Text(line), is_last=number == len(lines))

    last = runner.follow(Voice(Console(file=output), as_json=False), look, until)
    return last, output.getvalue()


def test_a_line_is_said_when_it_changes() -> None:
    # One for each look would bury what matters.
    last, said = follow(["RUNNING", "RUNNING", "STOPPED"], math.inf)

    assert last.elapsed == 180.0
    assert said.splitlines() == ["+00:01:00 RUNNING", "+00:03:00 STOPPED"]


def test_what_is_over_at_the_last_moment_is_over() -> None:
    last, _ = follow(["STOPPED"], -math.inf)

    assert last.is_last


def test_what_takes_too_long_is_given_up() -> None:
    # Whoever waits for a demo that never ends learns nothing from it.
    with pytest.raises(DemoError, match="not done"):
        follow(["RUNNING", "STOPPED"], -math.inf)


def test_what_takes_longer_than_it_may_is_shown_no_longer() -> None:
    # A drain that never ends would take all of the real time, and then be blamed on the machine.
    output = Voice(Console(file=io.StringIO()), as_json=False)
    frame = Frame(901.0, "RUNNING", lambda: Text(""), is_last=False)

    assert runner.follow(output, lambda: frame, -math.inf, 900.0) is frame


def test_every_scenario_has_a_show() -> None:
    # Whoever types its name would be told of a KeyError.
    assert set(SCENARIOS) == set(ScenarioName)
    assert {scenario.kind for scenario in SCENARIOS.values()} == set(SHOWS)


def test_without_a_zip_nothing_is_started(tmp_path: Path) -> None:
    with (
        pytest.raises(DemoError, match="make package"),
        runner.account(12.0, tmp_path / "drainer.zip"),
    ):
        pass
