"""Messages to operators: a drain is told of once near its deadline, and once when it has passed."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from io import StringIO
from typing import TYPE_CHECKING, Any

import pytest

from drainer import handler, operator_messages
from drainer.aws.topic import OperatorTopicGateway
from drainer.errors import ThrottledError, UnavailableError
from drainer.invocation import InvocationClock
from drainer.operator_messages import MESSAGES_MAX, OperatorMessages
from drainer.simulation.aws import Aws
from drainer.simulation.services.auto_scaling.lifecycle import LifecycleHook
from drainer.simulation.services.messaging.delivery import SnsApi
from drainer.telemetry import Telemetry
from tests.unit.account import GROUP, HOOK, NOW, Account, notification, task
from tests.unit.test_handler import START, Context, Setting

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from drainer.drain.model import Drain
    from drainer.lifecycle.controller import PassReport

HOUR_HOOK = replace(HOOK, notification_metadata='{"drain_timeout_seconds": 3600}')
SECOND = timedelta(seconds=1)


class Topic:
    """Takes messages, or refuses them."""

    def __init__(self, error: Exception | None = None, refusals: Mapping[int, str] = {}) -> None:
        self.taken: list[tuple[str, Mapping[str, str]]] = []
        self.error, self.refusals = error, refusals
        self.calls = 0

    def publish(self, told: Sequence[tuple[str, Mapping[str, str]]]) -> dict[int, str]:
        self.calls += 1
        if self.error:
            raise self.error
        self.taken += told
        return dict(self.refusals)


class Groups:
    """Says which groups retain instances, or fails."""

    def __init__(self, *retaining: str, error: Exception | None = None) -> None:
        self.retain, self.error = set(retaining), error
        self.asked: list[Sequence[str]] = []

    def retaining(self, auto_scaling_group_names: Sequence[str]) -> set[str]:
        self.asked.append(auto_scaling_group_names)
        if self.error:
            raise self.error
        return self.retain


class Failures(Telemetry):
    """Keeps what failed."""

    def __init__(self) -> None:
        self.reasons: list[str] = []

    def failed(self, reason: str) -> None:
        self.reasons.append(reason)


def drain(account: Account, left: timedelta, number: int = 0, *tasks: Any) -> Drain:
    """A drain of an hour that has this long left until its deadline."""
    since = NOW + left - timedelta(hours=1)
    return account.follows(
        number, "DRAINING", *(tasks or [task(number)]), started_at=since,
        deadline_at=NOW + left, last_heartbeat_at=NOW,
    )  # fmt: skip


def passed(account: Account, *drains: Drain, now: datetime = NOW) -> PassReport:
    return account.run(*drains, now=now)


@pytest.mark.parametrize(
    ("minutes", "told"),
    [
        pytest.param(16, [], id="not near"),
        # The pass before this one was 15 s ago.
        pytest.param(15, ["drain-nears-deadline"], id="near"),
        pytest.param(14, [], id="told before"),
    ],
)
def test_a_drain_that_nears_its_deadline_is_told_of_once(minutes: int, told: list[str]) -> None:
    # Told in each pass, people would filter it out; told at the deadline, it is too late to act.
    account = Account(hooks=(HOUR_HOOK,))
    report = passed(account, drain(account, timedelta(minutes=minutes)))

    assert [one.event for one in operator_messages.of_pass(report, NOW)] == told


def test_of_two_passes_over_one_message_only_the_one_that_is_written_tells() -> None:
    # SQS delivers a message twice at times. Both passes have read the same record.
    account = Account(hooks=(HOUR_HOOK,))
    due = drain(account, timedelta(minutes=15))
    theirs = replace(account.record(), hop=due.hop + 1, pass_id="another", written_at=NOW)
    account.records.meanwhile[theirs.key] = theirs
    report = passed(account, due)

    assert report.outcomes[0].duplicate
    assert operator_messages.of_pass(report, NOW) == []


@pytest.mark.parametrize("unwritten", [False, True])
def test_what_is_delivered_again_is_told_of_once(unwritten: bool) -> None:
    # SNS refuses the re-invocation. The next pass goes by the record: where this one has written
    # that, no later pass would tell, and where it has not, both would.
    account = Account(hooks=(HOUR_HOOK,), unpublished={0})
    due = drain(account, timedelta(minutes=15))
    account.records.unmade = UnavailableError("timeout") if unwritten else None
    first = passed(account, due)
    account.unpublished.clear()
    account.records.unmade = None
    later = NOW + 181 * SECOND
    again = passed(account, due, now=later)

    assert first.outcomes[0].retry_reason
    assert first.outcomes[0].recorded != unwritten
    told = [operator_messages.of_pass(first, NOW), operator_messages.of_pass(again, later)]
    assert [len(one) for one in told] == [not unwritten, unwritten]


def test_what_begins_to_be_near_after_its_message_was_sent_is_told_of_by_the_next_pass() -> None:
    # A pass of a hundred drains goes on for seconds after that. The next one goes by when the
    # message was sent, so that both would tell.
    account = Account(hooks=(HOUR_HOOK,))
    left = timedelta(minutes=15, seconds=5)
    first = passed(account, drain(account, left))
    second = passed(account, account.published[-1], now=NOW + 15 * SECOND)

    assert operator_messages.of_pass(first, NOW + 10 * SECOND) == []
    assert len(operator_messages.of_pass(second, NOW + 16 * SECOND)) == 1


def test_a_message_that_auto_scaling_has_not_confirmed_is_not_told_of() -> None:
    # Whoever may publish to the topic could write to people: the instance waits, the rest is made
    # up.
    account = Account(hooks=(HOUR_HOOK,), fails={"heartbeat": ThrottledError("Rate exceeded")})
    account.has(0, "DRAINING", task(1))
    forged = notification(at=NOW - timedelta(minutes=45))
    report = passed(account, forged)

    assert report.outcomes[0].published
    assert operator_messages.of_pass(report, NOW) == []


def test_of_a_short_drain_not_more_than_its_last_quarter_counts_as_near() -> None:
    # Every drain of ten minutes would be told of from its beginning on.
    hook = replace(HOOK, notification_metadata='{"drain_timeout_seconds": 600}')
    told = []
    for seconds in (151, 150, 134):
        account = Account(hooks=(hook,))
        left = timedelta(seconds=seconds)
        due = account.follows(
            0, "DRAINING", task(), started_at=NOW + left - timedelta(seconds=600),
            deadline_at=NOW + left, last_heartbeat_at=NOW,
        )  # fmt: skip
        told.append(len(operator_messages.of_pass(passed(account, due), NOW)))

    assert told == [0, 1, 0]


def test_a_drain_that_has_missed_its_deadline_is_told_of_with_what_was_left() -> None:
    account = Account(hooks=(HOUR_HOOK,))
    report = passed(account, drain(account, -SECOND, 0, task(1), task(2)))

    [message] = operator_messages.of_pass(report, NOW)

    assert message.event == "drain-missed-deadline"
    assert "answered CONTINUE with 2 tasks left" in message.texts()["default"]


def test_a_drain_that_is_drained_in_time_is_not_told_of() -> None:
    account = Account(hooks=(HOUR_HOOK,))
    report = passed(account, drain(account, timedelta(minutes=15), 0, task(1, "STOPPED")))

    assert account.answered
    assert operator_messages.of_pass(report, NOW) == []


def test_a_look_at_an_event_leaves_it_to_the_next_pass() -> None:
    # The wake-up does not write the record, so that each further one would tell of it again.
    account = Account(hooks=(HOUR_HOOK,), fast_path=True)
    drain(account, timedelta(minutes=15))

    assert operator_messages.of_pass(account.run(stopped=["arn-0"]), NOW) == []


def test_a_message_names_the_drain_what_it_waits_for_and_the_command() -> None:
    account = Account(hooks=(HOUR_HOOK,))
    [message] = operator_messages.of_pass(
        passed(account, drain(account, timedelta(minutes=15))), NOW
    )

    texts = message.texts()

    assert texts["default"] == texts["email"]
    assert texts["default"].startswith("i-00000000000000000 nears its deadline.\n")
    assert "in 15 minutes. The hook is answered CONTINUE then" in texts["default"]
    assert "\nIt waits for: " in texts["default"]
    assert texts["default"].endswith("\nSee why: drainer explain i-00000000000000000")
    chat = json.loads(texts["https"])
    assert (chat["version"], chat["source"]) == ("1.0", "custom")
    assert chat["content"]["nextSteps"] == ["See why: drainer explain i-00000000000000000"]
    assert message.subject == "drainer: i-00000000000000000 nears its deadline"


def test_what_a_task_is_called_mentions_nobody_and_breaks_no_line() -> None:
    # Whoever names a task could call a whole channel, or write lines of a message of their own.
    account = Account(hooks=(HOUR_HOOK,))
    bad = replace(task(1), group="family:<!channel>\n@here `rm`")
    [message] = operator_messages.of_pass(
        passed(account, drain(account, timedelta(minutes=15), 0, bad)), NOW
    )

    [line] = [one for one in message.lines if one.startswith("Tasks: ")]
    assert "family:!channelhere rm" in line


def test_a_crowd_has_one_call_and_the_last_message_says_how_many_there_are() -> None:
    account = Account(hooks=(HOUR_HOOK,))
    crowd = [drain(account, timedelta(minutes=15), n) for n in range(MESSAGES_MAX + 3)]

    told = operator_messages.of_pass(passed(account, *crowd), NOW)

    assert len(told) == MESSAGES_MAX
    assert told[-1].lines[-1] == "3 other drains of the same pass have no message of their own."


def test_ten_messages_fit_into_one_call_in_any_script() -> None:
    # "BatchRequestTooLong": none of the ten would be published. Escaped, a character takes 12
    # bytes; whoever runs a task may name its group.
    account = Account(hooks=(HOUR_HOOK,))
    named = [replace(task(n), group="\N{GRINNING FACE}" * 255) for n in range(1, 6)]
    crowd = [drain(account, timedelta(minutes=15), n, *named) for n in range(MESSAGES_MAX)]
    told = operator_messages.of_pass(passed(account, *crowd), NOW)
    sent: list[Any] = []

    class Sns:
        def publish_batch(self, **parameters: Any) -> dict[str, Any]:
            sent.extend(parameters["PublishBatchRequestEntries"])
            return {"Successful": [{"Id": one["Id"]} for one in sent]}

    OperatorTopicGateway(Sns(), "arn").publish([(one.subject, one.texts()) for one in told])

    # https://docs.aws.amazon.com/sns/latest/api/API_PublishBatch.html
    assert sum(len(one["Message"].encode()) for one in sent) <= 262_144


@pytest.mark.parametrize(
    ("topic", "seconds_left", "reason"),
    [
        pytest.param(Topic(), 20.0, None, id="taken"),
        pytest.param(Topic(), 7.9, "No time was left in the invocation", id="no time"),
        pytest.param(Topic(ThrottledError("Rate exceeded")), 20.0, "Rate exceeded", id="throttled"),
        pytest.param(Topic(refusals={0: "InternalError"}), 20.0, "InternalError", id="refused"),
        # Let through, it would fail the batch: a hundred messages would come again, and requests of
        # CloudFormation would wait for three minutes.
        pytest.param(Topic(ValueError("odd")), 20.0, "ValueError: odd", id="not foreseen"),
    ],
)
def test_a_message_that_is_not_published_is_reported_and_ends_no_pass(
    topic: Topic, seconds_left: float, reason: str | None
) -> None:
    account, failures = Account(hooks=(HOUR_HOOK,)), Failures()
    report = passed(account, drain(account, timedelta(minutes=15)))

    messages = OperatorMessages(topic, Groups(), failures)
    messages.tell(report, InvocationClock(NOW, lambda: seconds_left))

    said = [f"A message to operators was not published: {reason}"] if reason else []
    assert failures.reasons == said


def test_a_pass_without_news_publishes_nothing() -> None:
    account, topic = Account(hooks=(HOUR_HOOK,)), Topic()
    report = passed(account, drain(account, timedelta(minutes=30)))

    messages = OperatorMessages(topic, Groups(), Failures())
    messages.tell(report, InvocationClock(NOW, lambda: 20.0))

    assert topic.calls == 0


ABANDON_HOOK = replace(
    HOOK,
    notification_metadata='{"drain_timeout_seconds": 3600, "deadline_result": "ABANDON"}',
)


@pytest.mark.parametrize(
    ("hook", "groups", "seconds_left", "subject", "reasons"),
    [
        pytest.param(ABANDON_HOOK, Groups(GROUP), 20.0, "is retained", [], id="retained"),
        pytest.param(ABANDON_HOOK, Groups(), 20.0, "deadline", [], id="terminated"),
        pytest.param(HOUR_HOOK, Groups(GROUP), 20.0, "deadline", [], id="answered CONTINUE"),
        pytest.param(ABANDON_HOOK, Groups(GROUP), 11.9, "deadline", [], id="no time to ask"),
        pytest.param(
            ABANDON_HOOK,
            Groups(error=ThrottledError("Rate exceeded")),
            20.0,
            "deadline",
            ["Whether groups retain instances was not read: Rate exceeded"],
            id="not read",
        ),
    ],
)
def test_one_message_says_that_an_instance_is_retained_and_no_other_says_so(
    hook: Any, groups: Groups, seconds_left: float, subject: str, reasons: list[str]
) -> None:
    # It is billed until somebody frees it, and nothing else tells of it.
    account, topic, failures = Account(hooks=(hook,)), Topic(), Failures()
    report = passed(account, drain(account, -SECOND, 0, task(1), task(2)))

    messages = OperatorMessages(topic, groups, failures)
    messages.tell(report, InvocationClock(NOW, lambda: seconds_left))

    [(said, texts)] = topic.taken
    assert said.endswith(subject)
    assert ("drainer retained free i-" in texts["default"]) == (subject == "is retained")
    assert "with 2 tasks left" in texts["default"]
    assert failures.reasons == reasons
    assert len(groups.asked) == int(hook == ABANDON_HOOK and seconds_left > 12)


def test_what_is_answered_continue_is_terminated_in_a_group_that_retains_others() -> None:
    # The hook's metadata was changed while two instances drained.
    account = Account(hooks=(HOUR_HOOK,))
    report = passed(account, drain(account, -SECOND))

    [message] = operator_messages.of_pass(report, NOW, {GROUP})

    assert message.event == "drain-missed-deadline"


def test_no_group_is_read_for_a_drain_that_goes_on_or_is_drained() -> None:
    # Each pass would take a call more than it needs.
    account, groups = Account(hooks=(ABANDON_HOOK,)), Groups(GROUP)
    report = passed(
        account,
        drain(account, timedelta(minutes=15)),
        drain(account, timedelta(minutes=30), 1, task(1, "STOPPED")),
    )

    messages = OperatorMessages(Topic(), groups, Failures())
    messages.tell(report, InvocationClock(NOW, lambda: 20.0))

    assert account.answered
    assert groups.asked == []


@pytest.mark.parametrize("retains", [True, False])
@pytest.mark.parametrize("has_topic", [True, False])
def test_the_function_tells_the_topic_of_its_setting_and_no_other(
    *, has_topic: bool, retains: bool
) -> None:
    account = Aws(now=START)
    sns = SnsApi(account)
    ours, ops = sns.create_topic_named("drainer"), sns.create_topic_named("ops")
    environ = {
        "DRAINER_TOPIC_ARN": ours.arn,
        "DRAINER_CLUSTERS": "payments",
        "DRAINER_RECORDS_TABLE": account.record_tables.create("drainer-Records").name,
        **({"DRAINER_OPERATOR_TOPIC_ARN": ops.arn} if has_topic else {}),
    }
    function = handler.build(environ, account.client, account.clock)
    setting = Setting(account, function, ours.arn, StringIO())
    account.on_notification.append(lambda one: setting.notifications.append(dict(one.message)))
    account.auto_scaling.create_group(
        "payments-asg", cluster="payments", desired=3, retain_on_abandon=retains
    )
    account.auto_scaling.put_hook(
        LifecycleHook(
            "drainer", "payments-asg", notification_target_arn=ours.arn,
            notification_metadata='{"drain_timeout_seconds": 60, "deadline_result": "ABANDON"}',
        )
    )  # fmt: skip
    account.ecs.create_service("payments", "web", desired=3)
    setting.notifications.clear()
    account.auto_scaling.scale_in("payments-asg", 1)
    account.run_for(61)

    function(setting.sqs(*setting.notifications), Context())

    assert ops.published == int(has_topic)
    # What the message says is what happens.
    [kept] = [one for one in account.auto_scaling.actions if one.result == "ABANDON"]
    state = account.auto_scaling.instances[kept.ec2_instance_id].lifecycle_state
    assert (state == "Terminating:Retained") == retains
    sent = [str(one.parameters) for one in account.calls if one.operation == "PublishBatch"]
    told = [one for one in sent if "instance-retained" in one]
    assert len(told) == int(has_topic and retains)
