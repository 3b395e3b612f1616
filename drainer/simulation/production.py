"""
What a simulated account asks of the production code that runs in it, and nothing about it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    Function = Callable[[Any, Any], dict[str, Any] | None]


class Build(Protocol):
    """Makes the function: `drainer.handler.build`."""

    def __call__(
        self,
        environ: Mapping[str, str],
        client: Callable[[str], Any],
        clock: Callable[[], datetime],
        telemetry: Any,
        /,
    ) -> Function:
        """Make the function on clients, a clock and telemetry."""


class Answering(Protocol):
    """Makes a function that answers custom resources too."""

    def __call__(
        self,
        environ: Mapping[str, str],
        client: Callable[[str], Any],
        clock: Callable[[], datetime],
        /,
        *,
        respond: Callable[[str, bytes], None],
    ) -> Function:
        """Make the function on clients, a clock and what puts a body to a response URL."""


class FailedInvocationError(Exception):
    """The function ended without an answer."""
