"""
A hundred thousand events that are almost true: nothing crashes, and nothing is done.
"""

from __future__ import annotations

import json
from datetime import timedelta
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drainer import events, handler
from drainer.custom_resource.record import STACK
from drainer.errors import MalformedEventError, UnavailableError
from drainer.simulation.aws import Aws
from drainer.simulation.services.auto_scaling.lifecycle import LifecycleHook
from drainer.simulation.services.messaging.delivery import SnsApi
from drainer.simulation.services.messaging.functions import Context
from drainer.telemetry import Telemetry
from tests.fuzz.mutations import ACTION, DELETION, NOW, REQUEST, STRANGE, by_sqs, mutated, seeds
from tests.fuzz.reading import judge

RECEIVED, SERVED = 100_000, 10_000
TABLE = "drainer-requests"
# https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/crpg-ref-responses.html
RESPONSE_BYTES_MAX = 4_096
WRITES = {
    "CompleteLifecycleAction",
    "DeleteAttributes",
    "DeregisterTargets",
    "PutAttributes",
    "RecordLifecycleActionHeartbeat",
    "StopTask",
    "UpdateContainerInstancesState",
}


def test_a_hundred_thousand_events_are_read_or_refused_and_crash_nothing() -> None:
    # An event that crashes the reader comes back five times, and takes its batch with it.
    random, originals = Random(2026), seeds()  # noqa: S311 (seeded, not secret)
    kinds: dict[str, int] = {}

    for _ in range(RECEIVED):
        event = mutated(random.choice(originals), random)
        try:
            contents = judge(event)
        except Exception as error:
            error.add_note(f"event: {event!r:.2000}")
            raise
        for content in contents:
            name = type(content).__name__
            kinds[name] = kinds.get(name, 0) + 1

    # What a mutated event has in common with the true one, a reader that writes would change there.
    assert originals == seeds()
    # A mutator that only breaks, or breaks nothing, would test nothing.
    for name in ("Drain", "WakeUp", "MalformedEventError", "NotForUsError"):
        assert kinds[name] > RECEIVED / 200, kinds
    for name in ("Request", "Continuation"):
        assert kinds[name] > RECEIVED / 50, kinds


class Reports(Telemetry):
    """Of what the function reports, only crashes matter here."""

    def __init__(self) -> None:
        self.crashes: list[Exception] = []

    def crashed(self, error: Exception, ec2_instance_ids: list[str]) -> None:
        error.add_note(str(ec2_instance_ids))
        self.crashes.append(error)


class Setting:
    """
    An account that has the group, the hook and the fleet that the events name, and the function.

    Attributes:
        answers: What CloudFormation was told, by where it was put.
    """

    def __init__(self, *, leaving: bool) -> None:
        self.account, self.reports = Aws(now=NOW), Reports()
        self.answers: list[tuple[str, dict[str, Any]]] = []
        topic = SnsApi(self.account).create_topic_named("drainer")
        scaling = self.account.auto_scaling
        scaling.create_group("example-asg", cluster="payments", desired=2)
        scaling.put_hook(
            LifecycleHook("dev-drain", "example-asg", notification_target_arn=topic.arn)
        )
        self.account.ecs.create_service("payments", "web", desired=2, maximum_percent=100)
        self.account.tables.create(TABLE)
        self.table = self.account.record_tables.create("drainer-Records")
        environ = {
            "DRAINER_TOPIC_ARN": topic.arn,
            "DRAINER_CLUSTERS": "payments",
            "DRAINER_RECORDS_TABLE": self.table.name,
            "DRAINER_REQUESTS_TABLE": TABLE,
            "DRAINER_VERIFY_STACKS": "true",
        }
        client, clock = self.account.client, self.account.clock
        self.function = handler.build(environ, client, clock, self.reports, self.respond)
        self.named = next(iter(scaling.groups["example-asg"].instances))
        fleet = self.account.fleets.create("payments", 2, already_running=True)
        self.account.ecs.create_service("payments", "search", desired=4, maximum_percent=100)
        self.names = {ACTION.ec2_instance_id: self.named, REQUEST.physical_id: fleet.fleet_id}
        if leaving:
            scaling.scale_in("example-asg", 1)
            # CloudFormation is at work on the stack, and has asked for the fleet's drain.
            self.account.stacks.request("Delete", {}, physical_id=fleet.fleet_id)
            self.names[REQUEST.stack_id] = self.account.stacks.stack_id("shop")
            self.serve(self.of_this_account(DELETION))
        self.account.calls.clear()

    def respond(self, url: str, body: bytes) -> None:
        self.answers.append((url, json.loads(body)))

    def of_this_account(self, value: Any) -> Any:
        """The same with the names of this account."""
        text = json.dumps(value)
        for name, ours in self.names.items():
            text = text.replace(name, ours)
        return json.loads(text)

    def seeds(self) -> list[Any]:
        """The true events, about an instance and a stack of this account."""
        found: list[Any] = self.of_this_account(seeds())
        return found

    def is_true(self, key: str) -> bool:
        """Whether a key is that of the request which CloudFormation has made."""
        return key == f"{self.names[REQUEST.stack_id]}|{REQUEST.request_id}"

    def ends(self) -> dict[str, str]:
        """How each request has ended of which there is a record; empty for what is open."""
        return {
            f"{stack.removeprefix(STACK)}|{request_id}": row.item.get("end", {"S": ""})["S"]
            for (stack, request_id), row in self.table.rows.items()
            if stack.startswith(STACK)
        }

    def is_of_it(self, body: dict[str, Any]) -> bool:
        return self.is_true(f"{body['StackId']}|{body['RequestId']}")

    def serve(self, event: Any) -> Any:
        ends_at = self.account.now + timedelta(seconds=30)
        context = Context("drainer", "arn", "request", 512, self.account.clock, ends_at)
        return self.function(event, context)

    def serve_many(self, random: Random) -> None:
        originals = self.seeds()
        for _ in range(SERVED):
            event = as_lambda_writes_it(mutated(random.choice(originals), random))
            try:
                self.serve(event)
            except UnavailableError:
                continue  # how an asynchronous event asks to be retried
            except Exception as error:
                error.add_note(f"event: {event!r:.2000}")
                raise

    @property
    def writes(self) -> set[str]:
        """What was written with success."""
        return WRITES & {call.operation for call in self.account.calls if call.error is None}


def as_lambda_writes_it(event: Any) -> Any:
    """Fix what no sender can break: the batch around SQS's messages is written by Lambda."""
    if not events.is_sqs(event):
        return event
    whole = [one for one in event["Records"] if isinstance(one, dict)]
    return {"Records": [{**one, "messageId": f"m{n}"} for n, one in enumerate(whole)]}


@pytest.mark.parametrize("odd", ["text", None, {}, []])
def test_a_record_that_lambda_never_writes_spoils_no_other(odd: Any) -> None:
    [good] = by_sqs("{}")["Records"]

    assert Setting(leaving=False).serve({"Records": [good, odd]}) == {"batchItemFailures": []}


def test_what_is_almost_true_goes_through_the_whole_function_and_changes_nothing() -> None:
    # Whatever is left of a true event, it is about an instance that stays.
    setting = Setting(leaving=False)

    setting.serve_many(Random(1))  # noqa: S311 (seeded, not secret)

    assert setting.reports.crashes == []
    assert setting.writes == set()
    assert setting.answers == []
    # A request of no stack is written down and looked at again for two minutes; that is all.
    assert not any("answered" in end for end in setting.ends().values())
    assert len(setting.account.calls) > SERVED / 10


def test_what_is_almost_true_about_an_instance_that_leaves_never_answers_for_it() -> None:
    # The account stands still: before the deadline, with a task on it, there is no answer.
    setting = Setting(leaving=True)

    setting.serve_many(Random(2))  # noqa: S311 (seeded, not secret)

    assert setting.reports.crashes == []
    assert "UpdateContainerInstancesState" in setting.writes
    assert setting.writes & {"CompleteLifecycleAction", "StopTask"} == set()


def test_what_is_almost_true_about_a_request_never_ends_it() -> None:
    # The fleet's tasks still run: CloudFormation, told that they do not, would take it down.
    setting = Setting(leaving=True)

    setting.serve_many(Random(6))  # noqa: S311 (seeded, not secret)

    assert [end for key, end in setting.ends().items() if setting.is_true(key)] == [""]
    assert [body for _, body in setting.answers if setting.is_of_it(body)] == []
    assert setting.answers != []
    assert all(len(json.dumps(body)) <= RESPONSE_BYTES_MAX for _, body in setting.answers)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(STRANGE),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(VALUES)
@settings(max_examples=300)
def test_any_json_at_all_is_refused_or_read(value: Any) -> None:
    judge(value)


@given(st.sampled_from(seeds()), st.data())
@settings(max_examples=300)
def test_any_value_in_any_field_is_refused_or_read(event: Any, data: st.DataObject) -> None:
    inner, changed = event, data.draw(VALUES)
    if isinstance(inner.get("Records"), list):
        inner = inner["Records"][0]
    key = data.draw(st.sampled_from(sorted(inner)))

    judge({"Records": [{**inner, key: changed}]})


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "9" * 10_000, "\ud800"])
def test_json_that_is_made_to_hurt_is_refused(text: str) -> None:
    # Deep nesting ends the stack, and a long number the processor.
    records = [
        {"eventSource": "aws:sqs", "messageId": "m", "body": text},
        {"Sns": {"Message": text}},
        {
            "eventSource": "aws:sqs",
            "messageId": "n",
            "body": json.dumps({"Type": "Notification", "Message": text}),
        },
    ]

    contents = judge({"Records": records})

    assert [type(content) for content in contents] == [MalformedEventError] * 3
