"""
`drainer status --watch` ends on a key, in a real terminal, and leaves that as it was.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

# Long enough that a key that is not taken fails the test, and no longer.
SECONDS = 20
# The terminal becomes that of the process, as in a shell. `how` is what is done to it first.
PROGRAM = f"""
import fcntl, os, signal, sys, termios
how = sys.argv[1]
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
# A shell without job control starts background commands, such as a run of all tests, without it.
signal.signal(signal.SIGINT, signal.default_int_handler)
if how == "gone":
    # As nohup does.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
before = termios.tcgetattr(0)
from drainer.cli.status.keys import waiting
if how == "background" and (child := os.fork()):
    if os.WIFSTOPPED(os.waitpid(child, os.WUNTRACED)[1]):
        sys.stderr.write("stopped\\n")
        os.kill(child, signal.SIGKILL)
    sys.exit()
if how == "background":
    os.setpgid(0, 0)
try:
    with waiting(sys.stdin, lambda seconds: None) as (wait, quits):
        sys.stderr.write(f"by {{quits}}\\n")
        sys.stderr.flush()
        sys.stderr.write(f"quits {{wait(0.2 if how == 'nothing' else {SECONDS})}}\\n")
except SystemExit as ending:
    sys.stderr.write(f"as before {{termios.tcgetattr(0) == before}}\\nexit code {{ending.code}}\\n")
    raise
except KeyboardInterrupt:
    sys.stderr.write("interrupted\\n")
after = "done" if how == "gone" else f"as before {{termios.tcgetattr(0) == before}}"
sys.stderr.write(f"{{after}}\\n")
"""


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    """
    Return the two ends of a terminal: what a person types, and what a program reads.
    """
    ends = os.openpty()
    yield ends
    for end in ends:
        os.close(end)


def told(terminal: tuple[int, int], how: str, typed: bytes) -> list[str]:
    """
    Return what the program says after something was typed.
    """
    keyboard, screen = terminal
    with subprocess.Popen(  # noqa: S603 - our own program
        [sys.executable, "-c", PROGRAM, how],
        stdin=screen,
        stdout=screen,
        stderr=subprocess.PIPE,
        start_new_session=True,
        text=True,
    ) as program:
        assert program.stderr
        first = program.stderr.readline().strip()
        os.write(keyboard, typed)
        if how == "ended":
            program.terminate()
        if how == "gone":
            os.close(screen)
            os.close(keyboard)
        try:
            program.wait(2 * SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(program.pid, signal.SIGKILL)
            raise
        rest = program.stderr.read()
    return [first, *rest.splitlines()]


@pytest.mark.parametrize("typed", [b"q", b"Q", b"xyzq"])
def test_q_ends_the_watching_and_the_terminal_is_as_before(
    terminal: tuple[int, int], typed: bytes
) -> None:
    # Left as it is meanwhile, it shows nothing of what is typed into the shell afterwards.
    assert told(terminal, "foreground", typed) == ["by q", "quits True", "as before True"]


def test_ctrl_c_still_does_and_the_terminal_is_as_before(terminal: tuple[int, int]) -> None:
    assert told(terminal, "foreground", b"\x03") == ["by q", "interrupted", "as before True"]


def test_after_sigterm_the_terminal_is_as_before(terminal: tuple[int, int]) -> None:
    # Ended with `kill`, it left a shell that shows nothing of what is typed.
    assert told(terminal, "ended", b"") == ["by q", "as before True", "exit code 143"]


def test_another_key_does_not(terminal: tuple[int, int]) -> None:
    said = told(terminal, "nothing", b"x")

    assert said == ["by q", "quits False", "as before True"]


def test_in_the_background_no_key_is_waited_for(terminal: tuple[int, int]) -> None:
    # Its terminal is somebody else's then, and stops whoever changes it.
    said = told(terminal, "background", b"")

    assert said == ["by Ctrl-C", "quits False", "as before True"]


def test_a_terminal_that_goes_away_ends_the_watching() -> None:
    # Read again and again, it would take a whole processor, as long as the machine is up.
    assert told(os.openpty(), "gone", b"") == ["by q", "quits True", "done"]


def test_what_is_no_terminal_is_not_read() -> None:
    # `drainer status --watch --json` in a loop over the lines of a file would take them.
    program = (
        "import sys\n"
        "from drainer.cli.status.keys import waiting\n"
        "with waiting(sys.stdin, lambda seconds: None) as (wait, quits):\n"
        "    print(quits, wait(0.1), sys.stdin.read())\n"
    )
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", program],
        input="q",
        capture_output=True,
        text=True,
        check=True,
        timeout=SECONDS,
    )

    assert done.stdout == "Ctrl-C False q\n"
