"""
How the demo speaks: lines for people, or one JSON object a line for programs.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from drainer.cli.demo.screen import duration

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True)
class Voice:
    """
    Where it speaks, and to whom.

    Attributes:
        console: where; it knows whether it is a terminal.
        as_json: to programs.
    """

    console: Console
    as_json: bool

    @property
    def live(self) -> bool:
        """Whether a picture that changes can be shown."""
        return self.console.is_terminal and not self.as_json

    def say(self, text: str, *, elapsed: float | None = None) -> None:
        """Say a line."""
        if self.as_json:
            self.tell({"message": text, "elapsed_seconds": elapsed})
            return
        prefix = "" if elapsed is None else f"+{duration(elapsed)} "
        # A pipe's reader takes whole lines; a terminal's reads words.
        wraps = not self.console.is_terminal
        self.console.print(f"{prefix}{text}", highlight=False, markup=False, soft_wrap=wraps)

    def tell(self, line: dict[str, Any]) -> None:
        """Print one JSON object."""
        self.console.file.write(json.dumps(line) + "\n")
        self.console.file.flush()
