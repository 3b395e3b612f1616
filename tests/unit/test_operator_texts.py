"""What a message to operators says, and to the minute of which drain."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from drainer import operator_messages
from drainer.aws.topic import PUBLISH_MAX
from drainer.invocation import InvocationClock
from drainer.operator_messages import MESSAGES_MAX, OperatorMessages
from drainer.telemetry import Telemetry
from tests.unit.account import HOOK, NOW, Account, instance_id, task

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from drainer.drain.model import Drain
    from drainer.operator_messages import OperatorMessage

SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
INTERVAL = 15 * SECOND


def lasting(account: Account, hours: int, left: timedelta, *tasks: Any, **more: Any) -> Drain:
    """A drain that was given so many hours, of which this long is left."""
    since = NOW + left - timedelta(hours=hours)
    return account.follows(
        more.pop("number", 0), "DRAINING", *tasks, started_at=since,
        deadline_at=NOW + left, last_heartbeat_at=NOW, **more,
    )  # fmt: skip


def account_of(seconds: int, **metadata: str) -> Account:
    more = "".join(f', "{name}": "{value}"' for name, value in metadata.items())
    text = f'{{"drain_timeout_seconds": {seconds}{more}}}'
    return Account(hooks=(replace(HOOK, notification_metadata=text),))


def messages(account: Account, *drains: Drain) -> list[OperatorMessage]:
    return operator_messages.of_pass(account.run(*drains), NOW)


def test_of_a_long_drain_fifteen_minutes_count_as_near() -> None:
    # A quarter of two days is half a day: nobody acts on that.
    told = []
    for left in (15 * MINUTE + SECOND, 15 * MINUTE, 15 * MINUTE - INTERVAL):
        account = account_of(7200)
        told.append(len(messages(account, lasting(account, 2, left, task()))))

    # The last one's pass before this one was at the very instant, and has told of it.
    assert told == [0, 1, 0]


def test_a_message_says_which_answer_comes_and_in_which_cluster_and_no_empty_list() -> None:
    # Told CONTINUE, nobody looks for the instance that ABANDON has the group retain.
    account = account_of(3600, deadline_result="ABANDON")
    arn = "arn:aws:ecs:us-east-1:123456789012:cluster/payments"
    due = lasting(account, 1, 15 * MINUTE, cluster=arn, closed=False, listed_at=None)

    [message] = messages(account, due)

    assert message.lines[0] == "Group payments-asg, cluster payments."
    assert "The hook is answered ABANDON then" in message.lines[1]
    assert not [one for one in message.lines if one.startswith("Tasks")]


def test_a_missed_deadline_counts_the_tasks_that_are_stopping_too() -> None:
    # ECS's counters leave them out, and they are cut all the same.
    account = account_of(3600)
    due = lasting(account, 1, -SECOND, task(1), task(2, "DEACTIVATING"))

    [message] = messages(account, due)

    assert "answered CONTINUE with 2 tasks left" in message.texts()["default"]


def test_the_last_message_of_a_crowd_is_about_its_own_drain() -> None:
    # Its reader would look for the wrong instance.
    account = account_of(3600)
    crowd = [
        lasting(account, 1, 15 * MINUTE, task(number), number=number)
        for number in range(MESSAGES_MAX + 1)
    ]

    last = messages(account, *crowd)[-1]

    assert last.headline.startswith(instance_id(MESSAGES_MAX - 1))
    assert str(task(MESSAGES_MAX - 1)) in last.lines[-2]
    # SNS would reject the batch as a whole.
    assert MESSAGES_MAX == PUBLISH_MAX


def test_the_time_of_two_calls_is_enough_to_tell() -> None:
    class Topic:
        told = 0

        def publish(self, told: Sequence[tuple[str, Mapping[str, str]]]) -> dict[int, str]:
            self.told += len(told)
            return {}

    class Groups:
        def retaining(self, auto_scaling_group_names: Sequence[str]) -> set[str]:
            raise AssertionError("no drain was abandoned")

    account, topic = account_of(3600), Topic()
    report = account.run(lasting(account, 1, 15 * MINUTE, task()))

    OperatorMessages(topic, Groups(), Telemetry()).tell(report, InvocationClock(NOW, lambda: 8.0))

    assert topic.told == 1
