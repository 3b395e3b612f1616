"""Calls take an invocation's time, Lambda ends what takes too long, and events come twice."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from drainer.simulation.aws import Aws
from drainer.simulation.production import FailedInvocationError
from drainer.simulation.scenario.installation import Settings, install
from drainer.simulation.services.messaging.call_time import CallTime, SeededSeconds, Slow, scripted
from drainer.simulation.services.messaging.functions import EventSourceMapping, Function
from drainer.simulation.services.messaging.queues import Queue

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from drainer.simulation.services.messaging.functions import Context

START = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
TIMEOUT_SECONDS = 30.0


class Caller:
    """A function's code that calls one operation again and again, and notes its time."""

    def __init__(self, account: Aws, seconds: float, *, arrived: bool = False) -> None:
        self._account = account
        self.call_time = CallTime(scripted({"ListClusters": seconds}), lambda: arrived)
        self.function = Function(
            account, "caller", self, timeout_seconds=TIMEOUT_SECONDS, call_time=self.call_time
        )
        self.calls = 1
        self.began: list[float] = []
        self.left: list[float] = []

    def __call__(self, _: Any, context: Context) -> None:
        self.began.append((self._account.now - START).total_seconds())
        for _ in range(self.calls):
            self.call_time.perform(self._account.call, "ecs", "ListClusters", {})
            self.left.append(context.get_remaining_time_in_millis() / 1000)


@pytest.fixture
def account() -> Aws:
    return Aws(now=START)


# Code that believes it has all its time left begins what Lambda will cut in half.
def test_each_call_takes_of_the_remaining_time(account: Aws) -> None:
    caller = Caller(account, 0.3)
    caller.calls = 4

    caller.function.invoke({})
    caller.function.invoke({})

    assert caller.left[:4] == [29.7, 29.4, 29.1, 28.8]
    assert caller.left[4] == 29.7
    assert account.now == START


# What was called before the end has happened: a second run finds it done.
@pytest.mark.parametrize("arrived", [False, True], ids=["the last is lost", "the last arrives"])
def test_lambda_ends_a_function_whose_time_is_up_within_a_call(account: Aws, arrived: bool) -> None:
    caller = Caller(account, 8.0, arrived=arrived)
    caller.calls = 9

    with pytest.raises(FailedInvocationError):
        caller.function.invoke({})

    assert caller.left == [22.0, 14.0, 6.0]
    assert len(account.calls) == 3 + arrived
    assert caller.function.latest_seconds == TIMEOUT_SECONDS
    assert caller.call_time.killed == 1


# Two invocations at a time, each as long as its calls: more work than that has to wait.
def test_an_invocation_lasts_as_long_as_its_calls(account: Aws) -> None:
    caller = Caller(account, 4.0)
    queue = Queue(account, "queue", visibility_timeout_seconds=360)
    EventSourceMapping(account, queue, caller.function, batch_size=1, concurrency_max=2)
    for _ in range(4):
        queue.send("{}")
    account.run_for(60)

    assert caller.began == [0, 0, 4, 4]


# https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html
def test_an_asynchronous_retry_waits_from_the_end_of_what_failed(account: Aws) -> None:
    caller = Caller(account, 20.0)
    caller.calls = 2

    caller.function.invoke_asynchronously({})
    account.run_for(1_000)

    assert caller.began == [0, TIMEOUT_SECONDS + 60, 2 * (TIMEOUT_SECONDS + 90)]


# https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html
def test_an_asynchronous_event_may_come_twice_though_it_was_served(account: Aws) -> None:
    caller = Caller(account, 0.1)
    later: list[float | None] = [40.0, None]
    caller.function.again.append(lambda: later.pop(0))

    caller.function.invoke_asynchronously({})
    account.run_for(1_000)

    assert caller.began == [0, 40]


def test_nobody_s_time_is_taken_outside_an_invocation(account: Aws) -> None:
    caller = Caller(account, 100.0)

    caller.call_time.perform(account.call, "ecs", "ListClusters", {})

    assert caller.call_time.spent == 0


def test_a_seed_s_calls_take_tens_of_milliseconds_and_seconds_while_slow(account: Aws) -> None:
    end = START + timedelta(minutes=5)
    seconds = SeededSeconds(
        account.clock, account.random, [Slow(frozenset({"ListTasks"}), START, end)]
    )

    slow = [seconds("ListTasks") for _ in range(100)]
    usual = [seconds("ListClusters") for _ in range(100)]
    account.run_for(300)
    after = [seconds("ListTasks") for _ in range(100)]

    assert all(1 <= one <= 4 for one in slow)
    assert all(0.02 <= one <= 0.3 for one in [*usual, *after])


def publishing(message: Mapping[str, Any]) -> Callable[..., Any]:
    """Build a function that publishes one message when invoked without records."""

    def build(environ: Mapping[str, str], client: Any, _: Any) -> Any:
        sns = client("sns")

        def function(event: dict[str, Any], __: Context) -> None:
            if "Records" not in event:
                sns.publish(TopicArn=environ["DRAINER_TOPIC_ARN"], Message=json.dumps(message))

        return function

    return build


def test_an_installation_s_calls_take_what_its_settings_say(account: Aws) -> None:
    settings = Settings(call_seconds={"Publish": 2.0, "*": 0.1})
    installed = install(account, build=publishing({}), settings=settings)

    installed.function.invoke({})

    assert installed.function.latest_seconds == 2.0


# "up to 15 minutes": a re-invocation that comes without its delay runs in circles meanwhile.
# https://docs.aws.amazon.com/sns/latest/dg/sns-message-filtering.html
def test_filter_policies_take_effect_only_some_time_after_deployment(account: Aws) -> None:
    installed = install(
        account,
        build=publishing({"drainer": "re-invocation"}),
        settings=Settings(filters_late_seconds=900),
    )

    installed.function.invoke({})
    account.run_for(899)
    assert (installed.notification_queue.sent, installed.wait_queue.sent) == (1, 1)
    account.run_for(1)
    installed.function.invoke({})
    account.run_for(60)

    assert (installed.notification_queue.sent, installed.wait_queue.sent) == (1, 2)
