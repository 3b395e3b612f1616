"""
The person at the terminal: what a command asks, and how its errors are said.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from drainer.cli.account.reader import UnreadError, failed
from drainer.cli.account.refusals import refused
from drainer.cli.account.session import AWS_ERRORS, EXIT_INTERRUPTED, EXIT_USAGE, fail

if TYPE_CHECKING:
    from collections.abc import Callable


def guarded(command: Callable[[], int], interrupted: str = "") -> int:
    """Run a command; return its exit code, with an error of AWS in one line."""
    try:
        return command()
    except UnreadError as error:
        return failed(error.value)
    except AWS_ERRORS as error:
        return refused(error)
    except KeyboardInterrupt:
        if interrupted:
            print(f"interrupted: {interrupted}", file=sys.stderr)
        return EXIT_INTERRUPTED


def asking() -> Callable[[str], str] | None:
    """Return what asks a question; None where there is no terminal to ask at."""
    return typed if sys.stdin.isatty() else None


def typed(question: str) -> str:
    """Ask, and return what is typed; the end of the input is no answer."""
    print(f"{question} ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline()


def not_asked() -> int:
    """Say that the command cannot ask; return the exit code."""
    return fail("there is no terminal to ask at", "add --yes", code=EXIT_USAGE)
