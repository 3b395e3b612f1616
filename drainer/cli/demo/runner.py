"""
What every demo needs: an embedded account, and looks at it until it is over, or for too long.
"""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.live import Live

import drainer
from drainer.cli.demo.opening import DemoError
from drainer.simulation.embedded.account import EmbeddedAccount
from drainer.simulation.scenario.client_requests import Mix

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import ExitStack

    from rich.console import Console, RenderableType

    from drainer.cli.demo.scenarios import Scenario
    from drainer.cli.demo.voice import Voice

INFRA = Path(drainer.__file__).resolve().parent.parent / "infra"
# Of real time, for what hangs. A demo takes a minute; fifty drains at once take two where others
# use the processors too. What is stuck in the account is ended by the scenario's own limit.
WALL_SECONDS_MAX = 180.0
LOOK_EVERY_SECONDS = 0.2
# Requests before something happens, so that there is something under way; none takes as long as the
# deregistration delay, so that all can end.
BEFORE_SECONDS = 60.0
MIX = Mix(every_seconds=0.5, lasting_seconds=3.0, long_every=10, long_seconds=40.0)


@dataclass(frozen=True)
class Frame:
    """
    What one look has come to.

    Attributes:
        elapsed: since what is shown began, in seconds of the account's time.
        line: it in one line; two equal lines mean that nothing has changed.
        picture: draws it, for a terminal.
        is_last: whether there is nothing more to wait for.
        why: what is waited for, in a sentence of its own; empty for none.
        data: the same for programs.
    """

    elapsed: float
    line: str
    picture: Callable[[], RenderableType]
    is_last: bool
    why: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)


class Show(ABC):
    """
    One run of a scenario; the runner calls its methods in their order, `look` again and again.

    Args:
        scenario: what to show.
        embedded: where.
        voice: how to show it.
        closing: closes what has to be closed before the account.
    """

    def __init__(
        self, scenario: Scenario, embedded: EmbeddedAccount, voice: Voice, closing: ExitStack
    ) -> None:
        self.scenario = scenario
        self.embedded = embedded
        self.voice = voice
        self.closing = closing

    @abstractmethod
    def deploy(self, zip_file: Path) -> None:
        """Deploy what is shown, and wait until it can begin."""

    @abstractmethod
    def begin(self) -> None:
        """Let happen what is shown."""

    @abstractmethod
    def look(self) -> Frame:
        """Look at all of it once, and keep what is seen for what follows."""

    @abstractmethod
    def problems(self) -> list[str]:
        """Return what was wrong, in words; nothing if all was well."""

    def failures(self) -> list[BaseException]:
        """Return what failed in the simulation."""
        return self.embedded.failures

    def warnings(self) -> list[Mapping[str, Any]]:
        """Return the lines of the function's log that there should not be."""
        return []

    @abstractmethod
    def figures(self) -> dict[str, Any]:
        """Return what has come of it, for programs."""

    @abstractmethod
    def summarise(self, console: Console, found: list[str]) -> None:
        """Print what has come of it, for people."""


@contextmanager
def account(factor: float) -> Iterator[EmbeddedAccount]:
    """
    Open an embedded account; what fails in it carries the end of its log.
    """
    with EmbeddedAccount(factor=factor) as embedded:
        try:
            yield embedded
        except Exception as error:
            error.add_note(f"the end of ministack's log:\n{embedded.log_tail() or '(empty)'}")
            raise


def follow(
    voice: Voice, look: Callable[[], Frame], until: float, limit_seconds: float = math.inf
) -> Frame:
    """
    Show what each look comes to, and return the last one.

    Args:
        voice: how to show it.
        look: looks once.
        until: when to give up, by the monotonic clock.
        limit_seconds: after how many of the account's seconds there is nothing to wait for.

    Raises:
        DemoError: it was not over by then.
    """
    said = why = ""
    live = Live(console=voice.console, auto_refresh=False, transient=True) if voice.live else None
    with live or nullcontext():
        while True:
            frame = look()
            if live:
                live.update(frame.picture(), refresh=True)
            elif frame.line != said:
                said = frame.line
                voice.say(said, elapsed=frame.elapsed, event="look", **frame.data)
            if frame.why != why and not live:
                why = frame.why
                if why:
                    voice.say(f"waits for: {why}", elapsed=frame.elapsed)
            if frame.is_last or frame.elapsed > limit_seconds:
                return frame
            if time.monotonic() > until:
                raise DemoError(
                    f"not done after {WALL_SECONDS_MAX:.0f} seconds of real time: try again "
                    "when less runs on this machine, or with a --factor of 12 or more"
                )
            time.sleep(LOOK_EVERY_SECONDS)
