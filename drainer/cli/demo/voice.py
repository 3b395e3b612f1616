"""
How the demo speaks: lines for people, or one JSON object a line for programs.
"""

from __future__ import annotations

import json
import re
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, cast

from rich.console import Console
from rich.live import Live
from rich.text import Text

from drainer.cli.demo.screen import duration

if TYPE_CHECKING:
    from collections.abc import Iterator

# Somebody who reads a pipe wants to know that it goes on, and not each second of it.
STILL_EVERY_SECONDS = 5.0


class Trimmed:
    """
    A file without the blanks that tables leave at the ends of their lines.

    Args:
        file: what is written to.
    """

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    def write(self, text: str) -> int:
        """Write the text; Rich writes whole lines."""
        return self._file.write(re.sub(r"[ \u00a0]+(?=\n)", "", text))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def console_of(file: IO[str]) -> Console:
    """Return a console; what is no terminal gets no blanks at the ends of lines."""
    return Console(file=file if file.isatty() else cast("IO[str]", Trimmed(file)))


class Elapsed:
    """A line that says for how long something has been going on, whenever it is drawn."""

    def __init__(self, text: str) -> None:
        self._text, self._began = text, time.monotonic()

    def __rich__(self) -> Text:
        return Text(f"{self._text} ... {self.seconds:.0f} s", style="dim")

    @property
    def seconds(self) -> float:
        """The seconds since it began, of real time."""
        return time.monotonic() - self._began


@dataclass(frozen=True)
class Voice:
    """
    Where it speaks, and to whom.

    Attributes:
        console: where; it knows whether it is a terminal.
        as_json: to programs.
        still_every_seconds: how often a pipe is told that something goes on.
    """

    console: Console
    as_json: bool
    still_every_seconds: float = STILL_EVERY_SECONDS

    @property
    def live(self) -> bool:
        """Whether a picture that changes can be shown."""
        terminal = self.console.is_terminal and not self.console.is_dumb_terminal
        return terminal and not self.as_json

    def say(self, text: str, *, elapsed: float | None = None, event: str = "", **data: Any) -> None:
        """Say a line to people, and to programs an event with its data, if there is one."""
        if self.as_json:
            if event:
                self.tell({"event": event, **_timed(elapsed), **data})
            return
        prefix = "" if elapsed is None else f"+{duration(elapsed)} "
        # A pipe's reader takes whole lines; a terminal's reads words.
        wraps = not self.console.is_terminal
        self.console.print(f"{prefix}{text}", highlight=False, markup=False, soft_wrap=wraps)

    def tell(self, line: dict[str, Any]) -> None:
        """Print one JSON object."""
        self.console.file.write(json.dumps(line) + "\n")
        self.console.file.flush()

    @contextmanager
    def working(self, text: str) -> Iterator[None]:
        """Say that something goes on, while it does."""
        if self.as_json:
            yield
            return
        elapsed = Elapsed(text)
        if self.live:
            with Live(elapsed, console=self.console, transient=True, refresh_per_second=2):
                yield
            return
        self.say(f"{text} ...")
        over = threading.Event()

        def still() -> None:
            while not over.wait(self.still_every_seconds):
                self.say(f"{text} ... {elapsed.seconds:.0f} s")

        thread = threading.Thread(target=still, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


def _timed(elapsed: float | None) -> dict[str, float]:
    return {} if elapsed is None else {"elapsed_seconds": round(elapsed, 1)}
