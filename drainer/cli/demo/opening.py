"""
What a demo does before the emulator is imported: it checks its arguments and says what it shows.
"""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from drainer.cli.demo.scenarios import Scenario
    from drainer.cli.demo.voice import Voice


class DemoError(RuntimeError):
    """The demo could not be shown; the message says what to do."""


def check(zip_file: Path) -> None:
    """
    Check that there is a zip to deploy.

    Raises:
        DemoError: there is none, or an interrupted build has left a part of one.
    """
    if not zip_file.is_file():
        raise DemoError(f"{zip_file} was not found: run `make package`")
    if not zipfile.is_zipfile(zip_file):
        raise DemoError(f"{zip_file} is no zip: delete it and run `make package`")


def announce(voice: Voice, scenario: Scenario, name: str, factor: float) -> None:
    """Say what is shown, and how fast."""
    voice.say(scenario.title, event="scenario", name=name, factor=factor)
    voice.say(f"time runs {factor:g} times as fast")
