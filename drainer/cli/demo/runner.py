"""
What every demo does: open an embedded account, look until it is over, and give up in time.
"""

from __future__ import annotations

import time
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from rich.live import Live

import drainer
from drainer.simulation.embedded.account import EmbeddedAccount

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import RenderableType

    from drainer.cli.demo.voice import Voice

Seen = TypeVar("Seen")

INFRA = Path(drainer.__file__).resolve().parent.parent / "infra"
# People wait two minutes for a demo; ten seconds of them are for starting and ending.
WALL_SECONDS_MAX = 110.0
LOOK_EVERY_SECONDS = 0.2


class DemoError(RuntimeError):
    """The demo could not be shown; the message says what to do."""


@dataclass(frozen=True)
class Frame(Generic[Seen]):
    """
    What one look has come to.

    Attributes:
        seen: what was seen.
        elapsed: since what is shown began, in seconds of the account's time.
        line: it in one line; two equal lines mean that nothing has changed.
        picture: draws it, for a terminal.
        is_last: whether there is nothing more to wait for.
    """

    seen: Seen
    elapsed: float
    line: str
    picture: Callable[[], RenderableType]
    is_last: bool


@contextmanager
def account(factor: float, zip_file: Path) -> Iterator[EmbeddedAccount]:
    """
    Open an embedded account; what fails in it carries the end of its log.

    Raises:
        DemoError: there is no zip to deploy.
    """
    if not zip_file.is_file():
        raise DemoError(f"there is no {zip_file}: `make package` builds it")
    with EmbeddedAccount(factor=factor) as embedded:
        try:
            yield embedded
        except Exception as error:
            error.add_note(f"the end of ministack's log:\n{embedded.log_tail() or '(empty)'}")
            raise


def stop_at() -> float:
    """Return when a demo that begins now is given up, by the monotonic clock."""
    return time.monotonic() + WALL_SECONDS_MAX


def follow(voice: Voice, look: Callable[[], Frame[Seen]], until: float) -> Frame[Seen]:
    """
    Show what each look comes to, and return the last one.

    Args:
        voice: how to show it.
        look: looks once.
        until: when to give up, by the monotonic clock.

    Raises:
        DemoError: it was not over by then.
    """
    said = ""
    live = Live(console=voice.console, auto_refresh=False, transient=True) if voice.live else None
    with live or nullcontext():
        while True:
            frame = look()
            if live:
                live.update(frame.picture(), refresh=True)
            elif frame.line != said:
                said = frame.line
                voice.say(said, elapsed=frame.elapsed)
            if frame.is_last:
                return frame
            if time.monotonic() > until:
                raise DemoError(
                    f"not done after {WALL_SECONDS_MAX:.0f} seconds of real time; is the "
                    "machine busy, or --factor below 6?"
                )
            time.sleep(LOOK_EVERY_SECONDS)
