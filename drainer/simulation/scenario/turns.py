"""
Invocations that take time: each waits in a thread of its own, and only one thread runs at a time.

The account's timetable says whose turn it is, so that a run is the same every time. What waits are
the function's own pauses and its calls, which take as long as they are told to.
"""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING

from drainer.simulation.services.messaging.functions import EventSourceMapping

if TYPE_CHECKING:
    from collections.abc import Callable

    from drainer.simulation.aws import Aws
    from drainer.simulation.records import Call
    from drainer.simulation.services.messaging.queues import QueueMessage

# Bounds a test that hangs, and nothing else.
REAL_SECONDS_MAX = 60.0


class Turns:
    """
    Lets work wait in virtual time.

    Attributes:
        call_seconds: what each call of an operation takes; AWS answers most within 20 to 300 ms.
        slow: what the calls of a service take that is slower, by its name.
    """

    def __init__(self, account: Aws, call_seconds: float = 0.1) -> None:
        self._account = account
        self.call_seconds = call_seconds
        self.slow: dict[str, float] = {}
        self._own = threading.local()
        self._back = threading.Semaphore(0)

    def start(self, work: Callable[[], None]) -> None:
        """Run work until it waits or ends."""
        turn = threading.Semaphore(0)

        def run() -> None:
            self._take(turn)
            self._own.turn = turn
            try:
                work()
            finally:
                self._back.release()

        threading.Thread(target=run, daemon=True).start()
        self._give(turn)

    def sleep(self, seconds: float) -> None:
        """Let the others run until so many seconds have passed; work alone can wait."""
        turn = getattr(self._own, "turn", None)
        if turn is None:
            return
        self._account.after(seconds, lambda: self._give(turn))
        self._back.release()
        self._take(turn)

    def __call__(self, call: Call) -> None:
        """Let a call take its time: an interceptor of the account, after those that refuse."""
        self.sleep(self.slow.get(call.service, self.call_seconds))

    def _give(self, turn: threading.Semaphore) -> None:
        turn.release()
        self._take(self._back)

    @staticmethod
    def _take(turn: threading.Semaphore) -> None:
        if not turn.acquire(timeout=REAL_SECONDS_MAX):
            message = "a turn was not given back"
            raise AssertionError(message)


class TurnMapping(EventSourceMapping):
    """An event source mapping whose invocations take their time beside each other."""

    turns: Turns

    def _invoke(self, messages: list[QueueMessage]) -> None:
        self.turns.start(partial(super()._invoke, messages))
