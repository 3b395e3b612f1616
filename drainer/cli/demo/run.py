"""
One run of a scenario, whatever its kind: deploy, begin, look until it is over, and judge.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

from drainer.cli.demo.drain import DrainShow
from drainer.cli.demo.fleet import FleetShow
from drainer.cli.demo.refresh import RefreshShow
from drainer.cli.demo.runner import WALL_SECONDS_MAX, Show, account, follow
from drainer.cli.demo.spot import SpotShow

if TYPE_CHECKING:
    from pathlib import Path

    from drainer.cli.demo.scenarios import Scenario
    from drainer.cli.demo.voice import Voice

SHOWS: dict[str, type[Show]] = {
    "drain": DrainShow,
    "spot": SpotShow,
    "fargate": SpotShow,
    "fleet": FleetShow,
    "refresh": RefreshShow,
}


def run(scenario: Scenario, factor: float, zip_file: Path, voice: Voice) -> list[str]:
    """
    Show a scenario and return what went wrong; nothing if the promise was kept.

    Args:
        scenario: what to show.
        factor: how many of the account's seconds pass in a real one.
        zip_file: what `make package` built.
        voice: how to show it.

    Raises:
        DemoError: it took too long.
    """
    until = time.monotonic() + WALL_SECONDS_MAX
    with ExitStack() as closing:
        with voice.working(f"deploying {scenario.deploys}"):
            embedded = closing.enter_context(account(factor))
            inner = closing.enter_context(ExitStack())
            show = SHOWS[scenario.kind](scenario, embedded, voice, inner)
            show.deploy(zip_file)
        show.begin()
        last = follow(voice, show.look, until, scenario.limit_seconds)
        if last.elapsed > scenario.limit_seconds:
            limit = scenario.limit_seconds
            voice.say(
                "this took longer than the limit",
                elapsed=last.elapsed,
                event="limit passed",
                limit_seconds=limit,
            )
        found = show.problems()
        found += [f"the simulation failed: {failure!r}" for failure in show.failures()]
        found += [f"the function reported: {line.get('reason')}" for line in show.warnings()]
        if voice.as_json:
            voice.tell({"event": "summary", "problems": found, **show.figures()})
        else:
            show.summarise(voice.console, found)
            if not found:
                # Before the account is deleted, which takes seconds.
                voice.console.print(scenario.kept, style="green")
    return found
