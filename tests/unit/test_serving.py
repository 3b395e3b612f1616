"""What one invocation serves, one thing after the other."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest

from drainer.custom_resource.re_invocation import Continuation
from drainer.custom_resource.report import Report, Step
from drainer.dispatch import Controllers, Work, serve
from drainer.drain.model import Drain, LifecycleAction, WakeUp
from drainer.invocation import InvocationClock
from drainer.telemetry import Telemetry

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
    by = Controllers(slow, SimpleNamespace(), slow.requests, telemetry=Telemetry())  # type: ignore[arg-type]

    serve(work, by, InvocationClock(NOW, lambda: slow.left))

    assert slow.times == [NOW, NOW + timedelta(seconds=10)]


def test_requests_whose_chain_is_lost_and_notifications_that_wait_are_reported_by_a_sweep() -> None:
    # Three sweeps in a row that find some raise an alarm: Lambda does not read a queue.
    told: list[dict[str, int]] = []

    class Reports(Telemetry):
        def impaired(self, causes: Any) -> None:
            told.append(dict(causes))

    def lost(_: datetime, *, former: bool) -> list[Continuation]:
        return [] if former else [Continuation("key", 1)]

    slow = Slow()
    recorder = SimpleNamespace(lost=lost)
    controller: Any = slow
    served: Any = SimpleNamespace(run_pass=slow.requests().run_pass, recorder=recorder)
    back: Any = SimpleNamespace(run=lambda *_, **__: [])
    by = Controllers(controller, back, lambda: served, Reports(), waiting=lambda: 7)

    serve(Work([], [], [], [], sweep=True), by, InvocationClock(NOW, lambda: slow.left))

    assert told == [{"chains_lost": 1}, {"messages_waiting": 7}]


def order_of(work: Work, now: datetime, error: Exception | None = None) -> list[str]:
    """What an invocation does about drains and about what is in service again, in which order."""
    done: list[str] = []

    class Reports(Telemetry):
        def crashed(self, error: Exception, ec2_instance_ids: list[str]) -> None:
            done.append(f"{error} {ec2_instance_ids}")

    def run_pass(*_: Any, **__: Any) -> Any:
        done.append("drains")
        return SimpleNamespace(outcomes=(), problems=())

    def run(*_: Any, **__: Any) -> list[Any]:
        done.append("returns")
        if error is not None:
            raise error
        return []

    controller: Any = SimpleNamespace(run_pass=run_pass)
    back: Any = SimpleNamespace(run=run)
    served: Any = SimpleNamespace(recorder=SimpleNamespace(lost=lambda *_, **__: []))
    by = Controllers(controller, back, lambda: served, Reports())
    serve(work, by, InvocationClock(now, lambda: 30.0))
    return done


@pytest.mark.parametrize("minutes", [2, 3, 4, 5])
def test_no_crowd_keeps_all_sweeps_from_what_is_in_service_again(minutes: int) -> None:
    # In seed 16727 ten instances waited at a hook of somebody else's, and what each sweep did about
    # them left no time: the old registration of one that had come back stayed for an hour.
    sweep = Work([], [], [], [], sweep=True)
    orders = [order_of(sweep, NOW + timedelta(minutes=minutes * n)) for n in range(100)]

    assert all(sorted(one) == ["drains", "returns"] for one in orders)
    first = [n for n, one in enumerate(orders) if one[0] == "returns"]
    assert first[0] <= 5
    assert all(after - before <= 6 for before, after in pairwise(first))
    # Drains have the shorter timeouts: most sweeps begin with them.
    assert 30 < len(first) < 50


def test_a_crash_over_what_is_in_service_again_keeps_no_sweep_from_its_drains() -> None:
    # It would crash in each sweep, and nothing would find a lost chain.
    sweep = Work([], [WakeUp("i-2")], [], [], sweep=True)

    for number in range(10):
        done = order_of(sweep, NOW + timedelta(minutes=5 * number), KeyError("status"))

        assert "drains" in done
        assert "'status' ['i-2']" in done


def test_a_wake_up_comes_after_drains_at_any_time() -> None:
    drain = Drain(
        LifecycleAction("g", "drainer", "i-1", "token"), started_at=NOW, last_heartbeat_at=NOW
    )
    work = Work([drain], [WakeUp("i-2")], [], [], sweep=False)

    for number in range(10):
        assert order_of(work, NOW + timedelta(minutes=5 * number)) == ["drains", "returns"]


def test_a_sweep_without_time_does_not_ask_for_what_waits() -> None:
    # A call that hangs for seconds would have the invocation killed, with the sweep's own work.
    slow = Slow()
    slow.left = 13.0
    served: Any = SimpleNamespace(recorder=SimpleNamespace(lost=lambda *_, **__: []))
    back: Any = SimpleNamespace(run=lambda *_, **__: [])
    controller: Any = slow
    asked: list[int] = []

    def waiting() -> int:
        asked.append(1)
        return 0

    by = Controllers(controller, back, lambda: served, Telemetry(), waiting=waiting)

    serve(Work([], [], [], [], sweep=True), by, InvocationClock(NOW, lambda: slow.left))

    assert asked == []
