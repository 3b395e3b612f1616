"""
Waits for a time or for a key: what `drainer status --watch` does between two looks.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import IO

    # Waits for so many seconds; returns whether the user wants no more.
    Wait = Callable[[float], bool]

QUITS = frozenset(b"qQ")
# More than a person types between two looks.
TYPED_MAX = 1_024
# A shell's code for a command ended by SIGTERM.
EXIT_TERMINATED = 143


@contextmanager
def waiting(stdin: IO[str], sleep: Callable[[float], None]) -> Iterator[tuple[Wait, str]]:
    """
    Yield what waits, and the key that ends it.

    A terminal passes on each key as it is typed, and shows none; it is as before at the end, also
    after SIGTERM. Ctrl-C remains what it is. What is no terminal, or is in the background, is not
    read.

    Args:
        stdin: Where keys are typed.
        sleep: Waits where there are no keys.
    """

    def asleep(seconds: float) -> bool:
        sleep(seconds)
        return False

    if not _takes_keys(stdin):
        yield asleep, "Ctrl-C"
        return
    # Not there on Windows, which has no such terminal either.
    import termios  # noqa: PLC0415 (see above)
    import tty  # noqa: PLC0415 (see above)

    file = stdin.fileno()
    before = termios.tcgetattr(file)
    ended_before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(EXIT_TERMINATED))
    try:
        tty.setcbreak(file)
        yield lambda seconds: _quits_within(file, seconds), "q"
    finally:
        with suppress(termios.error):  # the terminal may be gone
            termios.tcsetattr(file, termios.TCSADRAIN, before)
        signal.signal(signal.SIGTERM, ended_before)


def _takes_keys(stdin: IO[str]) -> bool:
    try:
        # A background process that changes its terminal is stopped by it.
        # https://pubs.opengroup.org/onlinepubs/9699919799/functions/tcsetattr.html
        return os.tcgetpgrp(stdin.fileno()) == os.getpgrp()
    except (AttributeError, OSError, ValueError):
        return False  # no terminal, a closed one, or Windows


def _quits_within(file: int, seconds: float) -> bool:
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        if select.select([file], [], [], left)[0]:
            typed = _typed(file)
            # Nothing to read where something was said to be: the terminal is gone.
            if not typed or QUITS & {*typed}:
                return True
    return False


def _typed(file: int) -> bytes:
    try:
        return os.read(file, TYPED_MAX)
    except OSError:
        return b""
