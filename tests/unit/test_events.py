from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drainer import events
from drainer.drain import envelope
from drainer.drain.model import (
    REGISTRATIONS_MAX,
    UNFINISHED_MAX,
    Drain,
    LifecycleAction,
    LifecycleActionResult,
    Origin,
    Place,
    Policy,
    StandaloneTasks,
    Sweep,
    WakeUp,
)
from drainer.errors import MalformedEventError, NotForUsError, QuietError
from tests.loops import some

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
EVENTS = Path(__file__).parents[1] / "events"
ACTION = LifecycleAction(
    "example-asg", "dev-drain", "i-05629ab7d9287e205", "465e0162-e6af-4786-b4e8-bb544ae58790"
)


def payload(name: str) -> Any:
    return json.loads((EVENTS / f"{name}.json").read_text())


def contents(event: Any) -> list[events.Content]:
    return [received.content for received in events.receive(event, now=NOW)]


def notification(**changes: Any) -> dict[str, Any]:
    body = json.loads(payload("sns_terminating")["Records"][0]["Sns"]["Message"])
    return {key: value for key, value in {**body, **changes}.items() if value is not None}


def by_sns(body: Any, **changes: Any) -> dict[str, Any]:
    message = body if isinstance(body, str) else json.dumps(body)
    sns = {"Message": message, "Timestamp": "2024-03-23T03:26:43.990Z", **changes}
    return {"EventSource": "aws:sns", "Sns": sns}


def by_sqs(body: Any, message_id: str = "m-1") -> dict[str, Any]:
    sns = {"Type": "Notification", "Message": json.dumps(body), "Timestamp": "2024-03-23T03:26:44Z"}
    return {"eventSource": "aws:sqs", "messageId": message_id, "body": json.dumps(sns)}


def reinvocation(hop: int = 3) -> Drain:
    return Drain(ACTION, started_at=NOW, last_heartbeat_at=NOW, hop=hop)


def test_a_notification_by_sns_becomes_a_drain() -> None:
    [drain] = contents(payload("sns_terminating"))

    assert isinstance(drain, Drain)
    assert drain.action == ACTION
    # The later of Auto Scaling's and SNS's clocks counts.
    assert drain.started_at == datetime(2024, 3, 23, 3, 26, 43, 990_000, tzinfo=UTC)
    assert not drain.by_event_bridge


def test_a_notification_by_event_bridge_becomes_the_same_drain() -> None:
    [drain] = contents(payload("eventbridge_terminating"))

    assert isinstance(drain, Drain)
    assert drain.action == ACTION
    assert drain.started_at == datetime(2024, 3, 23, 3, 26, 44, tzinfo=UTC)
    assert drain.by_event_bridge


@pytest.mark.parametrize("name", ["sns_test_notification", "sns_launching"])
def test_defect_16_test_notification_and_launching_are_understood_and_ignored(name: str) -> None:
    # The first message of every new hook must not raise an alarm, nor a launch drain anything.
    [content] = contents(payload(name))

    assert isinstance(content, NotForUsError)


@pytest.mark.parametrize(
    "record",
    [
        pytest.param(by_sqs(notification()), id="SQS around SNS's JSON"),
        pytest.param(
            {"eventSource": "aws:sqs", "messageId": "m", "body": json.dumps(notification())},
            id="raw SQS",
        ),
    ],
)
def test_a_notification_by_sqs_becomes_a_drain(record: dict[str, Any]) -> None:
    [drain] = contents({"Records": [record]})

    assert isinstance(drain, Drain)
    assert drain.action == ACTION


@pytest.mark.parametrize("carry", [by_sns, by_sqs])
def test_a_re_invocation_comes_back_as_it_was_published(carry: Any) -> None:
    body = json.loads(envelope.encode(reinvocation()))

    assert contents({"Records": [carry(body)]}) == [reinvocation()]


@pytest.mark.parametrize(
    ("record", "sentence"),
    [
        pytest.param(by_sns("{nope"), "Not JSON", id="broken JSON"),
        pytest.param(by_sns("[1]"), "not an object", id="JSON, but a list"),
        pytest.param(by_sns({"hello": "world"}), "LifecycleTransition", id="another's message"),
        pytest.param(by_sns(notification(EC2InstanceId=None)), "EC2InstanceId", id="no instance"),
        pytest.param(
            by_sns(notification(EC2InstanceId="i-1] or x")), "EC2InstanceId", id="injection"
        ),
        pytest.param(by_sns(notification(EC2InstanceId=7)), "EC2InstanceId", id="a number"),
        pytest.param(by_sns(notification(LifecycleActionToken="x" * 37)), "Token", id="long token"),
        pytest.param(by_sns(notification(LifecycleHookName="h" * 256)), "HookName", id="long hook"),
        pytest.param(by_sns({"drainer": "re-invocation", "version": 4}), "version", id="future"),
        pytest.param(by_sns({"drainer": "re-invocation", "version": 1}), "envelope", id="empty"),
        pytest.param(by_sns({"drainer": "re-invocation", "version": 2}), "envelope", id="bare"),
        pytest.param(by_sns({"drainer": "re-invocation", "version": 3}), "action", id="no action"),
        pytest.param("text", "not a JSON object", id="no record at all"),
        pytest.param({"Sns": {}}, "Not JSON", id="SNS without a message"),
    ],
)
def test_defect_16_a_bad_record_is_refused_in_one_sentence_and_spoils_no_other(
    record: Any, sentence: str
) -> None:
    # One bad message must not hold up ninety-nine drains.
    good, bad, also_good = contents(
        {"Records": [by_sns(notification()), record, by_sqs(notification())]}
    )

    assert isinstance(good, Drain)
    assert isinstance(also_good, Drain)
    assert isinstance(bad, MalformedEventError)
    assert sentence in str(bad)
    assert len(str(bad)) < 500


@pytest.mark.parametrize("event", [None, 7, "x", [], {}, {"Records": 7}, {"a": 1}])
def test_what_is_no_event_at_all_is_refused(event: Any) -> None:
    [content] = contents(event)

    assert isinstance(content, MalformedEventError)


def test_other_events_of_event_bridge_are_ignored() -> None:
    [content] = contents({"detail-type": "Something Else", "source": "aws.ec2", "detail": {}})

    assert isinstance(content, NotForUsError)


# -- wake-ups and the sweep


WAKE_UP = WakeUp("i-0f3a8506b1c2d3e4f")


def change(**detail: Any) -> dict[str, Any]:
    event = payload("eventbridge_container_instance_draining")
    return {**event, "detail": {**event["detail"], **detail}}


def memory(integer: Any) -> list[dict[str, Any]]:
    return [{"name": "CPU", "integerValue": 1}, {"name": "MEMORY", "integerValue": integer}]


@pytest.mark.parametrize(
    "event",
    [
        pytest.param(change(), id="as documented, without counts"),
        pytest.param(change(runningTasksCount=0, pendingTasksCount=0), id="with counts"),
        pytest.param(change(somethingNew={"a": [1]}), id="unknown properties"),
        pytest.param(change(registeredResources=None, remainingResources="x"), id="odd resources"),
        pytest.param(change(runningTasksCount="2"), id="odd counts"),
        pytest.param(
            {"eventSource": "aws:sqs", "messageId": "m", "body": json.dumps(change())}, id="by SQS"
        ),
    ],
)
def test_a_draining_container_instance_is_a_wake_up(event: dict[str, Any]) -> None:
    [content] = contents({"Records": [event]})

    assert content == WAKE_UP


@pytest.mark.parametrize(
    "event",
    [
        pytest.param(change(attributes="x"), id="odd attributes"),
        pytest.param(change(attributes=[7, None, {}]), id="odd rows"),
        pytest.param(change(clusterArn="a b"), id="an odd cluster"),
        pytest.param(change(clusterArn=7), id="no cluster"),
        pytest.param(change(containerInstanceArn=None), id="no ARN"),
    ],
)
def test_a_wake_up_needs_nothing_but_the_instance(event: dict[str, Any]) -> None:
    # Refused over a field that nobody reads, what comes back from a warm pool would stay DRAINING
    # until the next sweep, and what is drained would wait for the next pass.
    assert contents({"Records": [event]}) == [WAKE_UP]


@pytest.mark.parametrize(
    "event",
    [
        pytest.param(change(status="ACTIVE"), id="not draining"),
        pytest.param(change(runningTasksCount=1), id="a task runs"),
        pytest.param(change(pendingTasksCount=1), id="a task is pending"),
        pytest.param(
            change(registeredResources=memory(4096), remainingResources=memory(3968)),
            id="memory is still taken",
        ),
    ],
)
def test_an_event_that_shows_tasks_costs_no_call_and_no_log_line(event: dict[str, Any]) -> None:
    # ECS tells of every change of every container instance.
    [content] = contents(event)

    assert isinstance(content, QuietError)


@pytest.mark.parametrize(
    "event",
    [
        {**change(), "source": "my.app"},
        {**change(), "detail": None},
        change(ec2InstanceId="i-1 or true"),
        change(ec2InstanceId=None),
    ],
)
def test_a_strange_container_instance_event_is_refused(event: dict[str, Any]) -> None:
    [content] = contents(event)

    assert isinstance(content, MalformedEventError)


def test_the_schedule_asks_for_a_sweep() -> None:
    assert contents({"drainer": "sweep"}) == [Sweep()]


def test_a_lifecycle_event_that_does_not_come_from_auto_scaling_is_refused() -> None:
    [content] = contents({**payload("eventbridge_terminating"), "source": "my.app"})

    assert isinstance(content, MalformedEventError)


@pytest.mark.parametrize(
    ("time", "timestamp", "started_at"),
    [
        ("2026-11-20T11:00:00Z", "2026-11-20T11:00:01Z", NOW - timedelta(hours=1, seconds=-1)),
        ("2020-01-01T00:00:00Z", "2026-11-20T11:00:00Z", NOW - timedelta(hours=1)),
        ("2026-11-20T11:00:00Z", "1970-01-01T00:00:00Z", NOW - timedelta(hours=1)),
        ("2099-01-01T00:00:00Z", "2026-11-20T11:00:00Z", NOW),
        ("rubbish", None, NOW),
        ("9999-12-31T23:59:59Z", "2026-11-20T11:00:00", NOW - timedelta(hours=1)),
    ],
)
def test_a_wrong_clock_never_ends_a_drain_early(
    time: str, timestamp: str | None, started_at: datetime
) -> None:
    # A notification that claims to be hours old would be past its deadline at once.
    [drain] = contents({"Records": [by_sns(notification(Time=time), Timestamp=timestamp)]})

    assert isinstance(drain, Drain)
    assert drain.started_at == started_at


def test_defect_15_duplicates_in_a_batch_collapse_into_the_one_that_came_furthest() -> None:
    batch = [reinvocation(2), reinvocation(7), reinvocation(7), reinvocation(0)]

    assert events.collapse(batch) == [reinvocation(7)]


def test_two_hooks_of_one_group_are_two_drains() -> None:
    # One that collapsed into the other would never be answered.
    hooks = [replace(ACTION, lifecycle_hook_name=hook, lifecycle_action_token="") for hook in "ab"]
    batch = [Drain(action, started_at=NOW, last_heartbeat_at=NOW) for action in hooks]

    assert events.collapse(batch) == batch


def test_an_envelope_without_a_token_is_believed_to_say_when_it_ends_and_no_more() -> None:
    # While its record cannot be read, nothing but that deadline ends its heartbeats. What it says
    # of DRAINING would let whoever may publish to the topic answer any hook of ours.
    action = replace(ACTION, lifecycle_action_token="")
    long_ago, later = NOW - timedelta(days=1), NOW + timedelta(hours=1)
    forged = Drain(action, long_ago, NOW, hop=3, deadline_at=later, draining_since=long_ago)
    [drain] = contents({"Records": [by_sns(json.loads(envelope.encode(forged)))]})

    assert isinstance(drain, Drain)
    assert (drain.started_at, drain.deadline_at, drain.draining_since) == (long_ago, later, None)
    assert drain.last_heartbeat_at < NOW - timedelta(hours=1)


def test_an_envelope_without_a_token_is_not_believed_about_what_earlier_looks_saw() -> None:
    # Each claim would let one stale answer release an instance, or end its drain without one. Tasks
    # that it names are only looked for, since that can make nothing early.
    action = replace(ACTION, lifecycle_action_token="")
    long_ago = NOW - timedelta(days=1)
    claims = {
        "listed_at": long_ago,
        "closed": True,
        "missing_since": long_ago,
        "settled": True,
        "standalone_stopped": True,
    }
    forged = replace(Drain(action, long_ago, NOW, hop=3), **claims)  # type: ignore[arg-type]
    [drain] = contents({"Records": [by_sns(json.loads(envelope.encode(forged)))]})
    new = Drain(action, NOW, NOW)

    assert isinstance(drain, Drain)
    assert {name: getattr(drain, name) for name in claims} == {
        name: getattr(new, name) for name in claims
    }


def test_record_ids_are_what_sqs_wants_back() -> None:
    event = {"Records": [by_sqs(notification(), "one"), by_sqs({"bad": 1}, "two")]}

    assert [r.record_id for r in events.receive(event, now=NOW)] == ["one", "two"]
    assert events.is_sqs(event)
    assert not events.is_sqs(payload("sns_terminating"))


# -- the envelope


INSTANTS = st.datetimes(
    min_value=datetime(2020, 1, 1), max_value=datetime(2100, 1, 1), timezones=st.just(UTC)
).map(lambda at: at.replace(microsecond=at.microsecond // 1000 * 1000))
SECONDS = st.integers(0, 172_800)
NAMES = st.from_regex(r"[A-Za-z0-9\-_/]{1,255}", fullmatch=True)
DRAINS = st.builds(
    Drain,
    action=st.builds(
        LifecycleAction,
        auto_scaling_group_name=NAMES,
        lifecycle_hook_name=NAMES,
        ec2_instance_id=st.from_regex(r"i-[0-9a-f]{17}", fullmatch=True),
        lifecycle_action_token=st.uuids().map(str),
    ),
    started_at=INSTANTS,
    last_heartbeat_at=INSTANTS,
    hop=st.integers(0, 100_000),
    deadline_at=st.none() | INSTANTS,
    heartbeat_timeout_seconds=st.none() | st.integers(30, 7200),
    policy=st.none()
    | st.builds(
        Policy,
        cluster=st.none() | st.from_regex(r"[A-Za-z0-9_-]{1,255}", fullmatch=True),
        drain_timeout_seconds=SECONDS,
        deadline_result=st.sampled_from(LifecycleActionResult),
        standalone_tasks=st.sampled_from(StandaloneTasks),
        standalone_grace_seconds=SECONDS,
    ),
    draining_since=st.none() | INSTANTS,
    unfinished=st.lists(st.from_regex(r"[0-9a-f]{32}", fullmatch=True), max_size=10).map(tuple),
    listed_at=st.none() | INSTANTS,
    closed=st.booleans(),
    missing_since=st.none() | INSTANTS,
    standalone_stopped=st.booleans(),
    others=st.lists(st.just(Place("payments", "arn:other")), max_size=3).map(tuple),
    settled=st.booleans(),
    searched_to=st.sampled_from(["", "arn:aws:ecs:us-east-1:123456789012:cluster/payments"]),
    search_failed=st.booleans(),
    searched_at=st.none() | INSTANTS,
    not_waiting_since=st.none() | INSTANTS,
    sent_at=st.none() | INSTANTS,
    by_event_bridge=st.booleans(),
    generation=st.none() | st.integers(1, 1_000),
)


@given(DRAINS)
def test_defect_17_nothing_is_lost_by_a_re_invocation(drain: Drain) -> None:
    # A lost token or first-seen time answers the wrong action, or never.
    text = envelope.encode(drain)

    assert envelope.decode(json.loads(text)) == drain
    assert "LifecycleTransition" not in text


@pytest.mark.parametrize("origin", ["sweep", "wake-up"])
def test_no_message_passes_for_what_the_sweep_has_found(origin: str) -> None:
    # Found by the sweep and past its deadline, an instance is answered without a token: whoever
    # may publish to the topic could release it over its tasks.
    body = json.loads(envelope.encode(Drain(ACTION, NOW, NOW))) | {"origin": origin}

    assert envelope.decode(body).origin == Origin.CHAIN


def version_1() -> dict[str, Any]:
    """An envelope as the version before has written it, in the middle of a drain."""
    return {
        "drainer": "re-invocation",
        "version": 1,
        "action": {
            "auto_scaling_group_name": ACTION.auto_scaling_group_name,
            "lifecycle_hook_name": ACTION.lifecycle_hook_name,
            "ec2_instance_id": ACTION.ec2_instance_id,
            "lifecycle_action_token": ACTION.lifecycle_action_token,
        },
        "started_at": NOW.timestamp(),
        "last_heartbeat_at": NOW.timestamp() + 60,
        "hop": 9,
        "origin": "chain",
        "by_event_bridge": True,
        "deadline_at": NOW.timestamp() + 3600,
        "heartbeat_timeout_seconds": 1800,
        "policy": None,
        "cluster": "payments",
        "container_instance_arn": "arn",
        "draining_since": NOW.timestamp() + 1,
        "listed_before": True,
        "witnesses": ["0" * 32],
        "standalone_stopped": True,
        "absent_before": True,
        "not_waiting_before": True,
    }


def test_what_the_version_before_has_sent_goes_on_and_looks_again() -> None:
    # Every drain that is under way during an update of the function would else wait for the sweep,
    # or for its hook's timeout; and what the old version took for proof proves nothing any more.
    [drain] = contents({"Records": [by_sns(version_1())]})

    assert drain == Drain(
        ACTION,
        started_at=NOW,
        last_heartbeat_at=NOW + timedelta(seconds=60),
        hop=9,
        by_event_bridge=True,
        deadline_at=NOW + timedelta(hours=1),
        heartbeat_timeout_seconds=1800,
        cluster="payments",
        container_instance_arn="arn",
        draining_since=NOW + timedelta(seconds=1),
        unfinished=("0" * 32,),
        standalone_stopped=True,
    )


def fullest(name_characters: int) -> Drain:
    """A drain with as much in it as there can be, in clusters whose names have a length."""
    cluster = "arn:aws:ecs:us-east-1:123456789012:cluster/" + "c" * name_characters
    arn = "arn:aws:ecs:us-east-1:123456789012:container-instance/" + "c" * name_characters + "/"
    return replace(
        reinvocation(),
        cluster=cluster,
        container_instance_arn=arn + "0" * 32,
        unfinished=tuple(f"{number:032x}" for number in range(UNFINISHED_MAX)),
        others=tuple(
            Place(cluster, f"{arn}{number:032x}") for number in range(1, REGISTRATIONS_MAX)
        ),
        searched_to=cluster,
    )


@pytest.mark.parametrize("name_characters", [20, 255])
def test_an_instance_with_as_many_tasks_and_registrations_as_there_can_be_is_re_invoked(
    name_characters: int,
) -> None:
    # An envelope that cannot be written, or not be read again, ends its chain. A cluster's name
    # has up to 255 characters, and each other registration is named by its cluster and its ARN.
    drain = fullest(name_characters)

    assert envelope.decode(json.loads(envelope.encode(drain))) == drain


def test_ten_full_envelopes_fit_into_one_publish_batch() -> None:
    # "the sum of the individual lengths of all of the batched messages" is 262,144 bytes.
    assert 10 * envelope.ENVELOPE_BYTES_MAX <= 262_144


@given(
    st.sampled_from(sorted(json.loads(envelope.encode(reinvocation())))),
    st.none() | st.booleans() | st.floats() | st.text() | st.lists(st.integers()) | st.just({}),
)
@settings(max_examples=500)
def test_a_spoilt_envelope_is_refused_or_read_but_never_crashes(key: str, value: Any) -> None:
    body = {**json.loads(envelope.encode(reinvocation())), key: value}

    for content in some(contents({"Records": [by_sns(body)]})):
        assert isinstance(content, events.Content)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
SHAPES = st.one_of(
    JSON,
    JSON.map(lambda body: {"Records": [by_sns(body), by_sqs(body)]}),
    JSON.map(lambda record: {"Records": [record]}),
    st.dictionaries(st.sampled_from(sorted(notification())), JSON).map(
        lambda some: {"Records": [by_sns({**notification(), **some})]}
    ),
)


@given(SHAPES)
@settings(max_examples=500)
def test_whatever_arrives_is_read_ignored_or_refused(event: Any) -> None:
    # A batch of no records is none, so that there may be nothing to hold.
    assert all(isinstance(content, events.Content) for content in contents(event))


def test_json_nested_to_the_sky_is_refused() -> None:
    [content] = contents({"Records": [by_sns("[" * 100_000 + "]" * 100_000)]})

    assert isinstance(content, MalformedEventError)
