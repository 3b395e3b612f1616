"""What one invocation serves, one thing after the other."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

from drainer.custom_resource.re_invocation import Continuation
from drainer.custom_resource.report import Report, Step
from drainer.dispatch import Controllers, Work, serve
from drainer.drain.model import Drain, LifecycleAction
from drainer.invocation import InvocationClock
from drainer.telemetry import Silent

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


class Slow:
    """A controller whose pass takes ten seconds, and requests that say how late it is."""

    def __init__(self) -> None:
        self.left = 30.0
        self.times: list[datetime] = []

    def run_pass(self, *_: Any, time: InvocationClock, **__: Any) -> Any:
        self.times.append(time.now())
        self.left -= 10.0
        return SimpleNamespace(outcomes=(), problems=())

    def requests(self) -> Any:
        def run_pass(one: Any, time: InvocationClock) -> Report:
            self.times.append(time.now())
            return Report(one.key, 1, step=Step.RE_INVOKE)

        return SimpleNamespace(run_pass=run_pass)


# Dated by the invocation's beginning, what a request sets DRAINING would count as set long before.
def test_what_is_served_second_is_dated_by_when_it_is_served() -> None:
    slow = Slow()
    drain = Drain(
        LifecycleAction("g", "drainer", "i-1", "token"), started_at=NOW, last_heartbeat_at=NOW
    )
    work = Work([drain], [], [], [Continuation("key", 1)], sweep=False)
    by = Controllers(slow, SimpleNamespace(), slow.requests, telemetry=Silent())  # type: ignore[arg-type]

    serve(work, by, InvocationClock(NOW, lambda: slow.left))

    assert slow.times == [NOW, NOW + timedelta(seconds=10)]
