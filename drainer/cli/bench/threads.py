"""
Code that sleeps, run in a simulated account's time: one thread at a time, each until it pauses.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from drainer.simulation.account import Account

# A thousand of them exist at a time, and none calls deeply.
STACK_BYTES = 512 * 1024


class EndedError(BaseException):
    """The thread is to end: its account's time is over. Not an `Exception`: no code catches it."""


class _Thread:
    def __init__(self, target: Callable[[], None]) -> None:
        self.turn = threading.Semaphore(0)
        self.thread = threading.Thread(target=target, daemon=True)


class VirtualThreads:
    """
    Threads that take turns: a thread that pauses is resumed by the account's timetable.

    The order is the timetable's, so that a run is the same each time.
    """

    def __init__(self, account: Account) -> None:
        self._account = account
        self._back = threading.Semaphore(0)
        self._own = threading.local()
        self._paused: set[_Thread] = set()
        self._ended = False

    def start(self, run: Callable[[], None]) -> None:
        """Run code until it pauses for the first time, or ends."""

        def target() -> None:
            self._own.thread = thread
            try:
                run()
            except EndedError:
                pass  # asked for by `end`
            finally:
                self._back.release()

        before = threading.stack_size(STACK_BYTES)
        thread = _Thread(target)
        thread.thread.start()
        self._back.acquire()
        threading.stack_size(before)

    def pause(self, seconds: float) -> None:
        """Let so many seconds of the account's time pass for the thread that calls."""
        thread: _Thread = self._own.thread
        self._paused.add(thread)
        self._account.after(seconds, lambda: self._resume(thread))
        self._back.release()
        thread.turn.acquire()
        if self._ended:
            raise EndedError

    def end(self) -> None:
        """End the threads that are still paused; their account's time stops here."""
        self._ended = True
        for thread in [*self._paused]:
            self._resume(thread)
            thread.thread.join()

    def _resume(self, thread: _Thread) -> None:
        if thread not in self._paused:
            return  # ended before its time came
        self._paused.remove(thread)
        thread.turn.release()
        self._back.acquire()
