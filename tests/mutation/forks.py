"""
Processes that run tests: forked, silent, with an end, and leaving nothing behind.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import tempfile
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

# What a test process has to say fits: a verdict and the name of a test.
ANSWER_BYTES_MAX = 4_096
TIMED_OUT = "timed out"
BROKEN = "error"


@dataclass(frozen=True)
class Fork:
    """
    The side of the child: it can answer once, which ends it.
    """

    pipe: int

    def answer(self, text: str) -> None:
        os.write(self.pipe, text.encode()[:ANSWER_BYTES_MAX])
        os._exit(0)


def waited(child: Callable[[Fork], None], seconds_max: float) -> str:
    """
    What the child answers; nothing if it ends without an answer; TIMED_OUT if it does not end.

    The child leads a process group of its own, which is killed with it.
    """
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.setpgid(0, 0)
        os.close(reading)
        _run(child, Fork(writing))
    os.close(writing)
    with contextlib.suppress(OSError):
        os.setpgid(pid, pid)
    # The pipe ends when the child does, even if the child says nothing.
    ready, _, _ = select.select([reading], [], [], seconds_max)
    answer = os.read(reading, ANSWER_BYTES_MAX).decode("utf-8", "replace") if ready else TIMED_OUT
    os.close(reading)
    if not ready or answer:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    if answer.startswith(BROKEN):
        raise RuntimeError(answer)
    return answer


def shared(jobs: int, work: Callable[[int], None]) -> None:
    """
    Let so many processes do their shares of a work, each told its number from 0 on.

    Raises SystemExit if one of them fails; it says why itself.
    """
    workers = []
    for job in range(jobs):
        pid = os.fork()
        if pid:
            workers.append(pid)
            continue
        status = 1
        try:
            work(job)
            status = 0
        except BaseException as error:  # noqa: BLE001 - the child must not go on as its parent
            sys.stderr.write(f"{error}\n")
            sys.stderr.flush()
        os._exit(status)
    if any([os.waitpid(pid, 0)[1] for pid in workers]):  # noqa: C419 - waits for all of them
        raise SystemExit(2)


def _run(child: Callable[[Fork], None], fork: Fork) -> None:
    try:
        child(fork)
        os._exit(0)
    except BaseException:  # noqa: BLE001 - the child must not go on as its parent
        fork.answer(f"{BROKEN}: {traceback.format_exc()[-ANSWER_BYTES_MAX // 2 :]}")


def silenced() -> None:
    """
    Let what tests and pytest print go nowhere.
    """
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
    os.close(nowhere)


def quiet() -> list[str]:
    """
    The arguments of every run of pytest here.

    The same seed each time: chance must not decide whether a mutant is killed.
    """
    silenced()
    from hypothesis import Phase, settings

    settings.register_profile(
        "mutation", database=None, deadline=None, phases=[Phase.explicit, Phase.generate]
    )
    where = tempfile.mkdtemp(prefix="mutation-")
    plugins = ("cacheprovider", "xdist")
    without = [word for plugin in plugins for word in ("-p", f"no:{plugin}")]
    chance = ["--hypothesis-profile=mutation", "--hypothesis-seed=0"]
    return [*without, *chance, "--capture=no", f"--basetemp={where}"]
