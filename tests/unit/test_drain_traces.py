"""A drain's trace: one id through all of its invocations, few documents, and no harm from X-Ray."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from io import StringIO
from typing import TYPE_CHECKING, Any

import pytest
from aws_lambda_powertools import Logger, Metrics

from drainer import handler
from drainer.drain.admission import Admission
from drainer.drain.record import End, key_of
from drainer.drain_traces import DrainTraces, Ids, documents_of, ids_of
from drainer.errors import LifecycleActionOverError, MisconfiguredError, UnavailableError
from drainer.invocation import InvocationClock
from drainer.simulation.aws import Aws
from drainer.simulation.services.auto_scaling.lifecycle import LifecycleHook
from drainer.simulation.services.messaging.delivery import SnsApi
from drainer.telemetry import Powertools, Telemetry
from tests.unit.account import (
    GROUP,
    NOW,
    OTHER_TOKEN,
    START,
    TOKEN,
    Account,
    action,
    drain,
    instance_id,
    notification,
    record,
    task,
)
from tests.unit.test_handler import Context, Setting

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from drainer.drain.model import Drain
    from drainer.lifecycle.controller import PassReport

HOUR, SECOND = timedelta(hours=1), timedelta(seconds=1)
ALL, SLOW_ONLY = 100, 0
INTERVAL = 15
# X-Ray takes 64 kB.
DOCUMENT_BYTES_MAX = 64_000
IDS = Ids("1-6b003640-703b4147a7fe0174fed2a43a", "50cc1bf7bbfedff5", 1)


class Xray:
    """Takes documents, or refuses them."""

    def __init__(self, error: Exception | None = None, refusals: Sequence[str] = ()) -> None:
        self.taken: list[str] = []
        self.error, self.refusals = error, [*refusals]
        self.calls = 0

    def put(self, documents: Sequence[str]) -> list[str]:
        self.calls += 1
        if self.error:
            raise self.error
        self.taken += documents
        return self.refusals


class Untraced(Telemetry):
    """Keeps what was not traced."""

    def __init__(self) -> None:
        self.reasons: list[str] = []

    def untraced(self, reason: str) -> None:
        self.reasons.append(reason)


def told(
    report: PassReport, now: datetime = NOW, percent: int = ALL, request_id: str = ""
) -> list[dict[str, Any]]:
    """What a pass adds to traces."""
    return [
        document
        for outcome in report.outcomes
        for document in documents_of(outcome, percent, HOUR, now, request_id)
    ]


def life() -> list[list[dict[str, Any]]]:
    """What each pass of a drain adds: ACTIVE, two looks at a task that runs, and its end."""
    account, found = Account(), []
    account.has(0, "ACTIVE", task())
    due: Drain = notification()
    statuses = [("ACTIVE", "RUNNING"), ("DRAINING", "RUNNING"), ("DRAINING", "RUNNING")]
    for number, (status, last) in enumerate([*statuses, *[("DRAINING", "STOPPED")] * 3]):
        at = NOW + timedelta(seconds=2 + number * INTERVAL)
        account.has(0, status, task(last=last))
        report = account.run(due, now=at)
        found.append(told(report, at + SECOND, request_id=f"request-{number}"))
        if account.answered:
            return found
        due = account.published[-1]
    raise AssertionError("the drain has not ended")


def test_the_passes_of_a_drain_make_one_trace_that_is_begun_and_completed() -> None:
    # A trace for each invocation says nothing of a drain: there are many drains in one of them.
    passes = life()
    documents = [one for each in passes for one in each]
    begun, completed = documents[0], documents[-1]
    parts = documents[1:-1]

    assert {one["trace_id"] for one in documents} == {ids_of(key_of(action()), NOW).trace}
    assert begun["in_progress"] is True
    assert "end_time" not in begun
    assert (completed["id"], completed["start_time"]) == (begun["id"], NOW.timestamp())
    assert "in_progress" not in completed
    assert {(one["parent_id"], one["type"]) for one in parts} == {(begun["id"], "subsegment")}
    assert len({one["id"] for one in documents}) == len(documents) - 1


def test_a_pass_that_finds_nothing_new_adds_nothing() -> None:
    # A drain of two hours has hundreds of passes, and X-Ray closes a slow trace at 14 KB.
    passes = life()

    assert [[one["name"] for one in each] for each in passes[:3]] == [
        ["drain", "active"],
        ["draining"],
        [],
    ]
    assert [one["name"] for one in passes[-1]] == ["drain"]


def test_each_part_names_its_invocation() -> None:
    # Without it nobody finds the invocation's lines in the log.
    parts = [one for each in life() for one in each if "metadata" in one]

    assert parts[0]["metadata"]["drainer"]["request_id"] == "request-0"
    assert parts[1]["metadata"]["drainer"]["request_id"] == "request-1"
    assert len({one["metadata"]["drainer"]["request_id"] for one in parts}) == len(parts)


def test_the_end_says_when_the_instance_was_draining() -> None:
    completed = life()[-1][-1]
    active, draining = completed["subsegments"]

    assert (active["name"], draining["name"]) == ("active", "draining")
    assert active["start_time"] == completed["start_time"] == NOW.timestamp()
    assert active["end_time"] == (NOW + 2 * SECOND).timestamp()
    assert active["end_time"] == draining["start_time"]
    assert draining["end_time"] == completed["end_time"]
    assert completed["annotations"] == {
        "ec2_instance_id": instance_id(),
        "auto_scaling_group_name": GROUP,
        "lifecycle_hook_name": "drainer",
        "cluster": "payments",
        "end": "answered CONTINUE",
        "tasks_left": 0,
    }
    assert completed["fault"] is False


def test_a_document_has_no_token() -> None:
    # Who has the token can answer the hook.
    assert TOKEN not in json.dumps(life())


@pytest.mark.parametrize(
    ("age", "names"),
    [
        pytest.param(HOUR - SECOND, [], id="not slow"),
        # The pass before this one was 15 s ago.
        pytest.param(HOUR, ["drain", "draining"], id="slow from now on"),
        pytest.param(HOUR + INTERVAL * SECOND, [], id="begun before"),
    ],
)
def test_a_slow_drain_that_was_not_sampled_is_traced_from_then_on(
    age: timedelta, names: list[str]
) -> None:
    # Which drain will be slow is not known when it begins, and it is the one to look at.
    account = Account()
    due = account.follows(0, "DRAINING", task(), started_at=NOW - age, last_heartbeat_at=NOW)
    account.records.put(replace(account.record(), phase="draining"))

    found = told(account.run(due), percent=SLOW_ONLY)

    assert [one["name"] for one in found] == names
    assert [one["start_time"] for one in found[:1]] == [(NOW - age).timestamp()] * bool(names)


def test_a_drain_that_misses_its_deadline_has_a_trace_at_its_end() -> None:
    # It may have been given ten minutes, and then it never counts as slow.
    account = Account()
    # The counters of ECS leave out the task that is stopping.
    tasks = [task(1), task(2, "DEACTIVATING")]
    due = account.follows(0, "DRAINING", *tasks, deadline_at=NOW, last_heartbeat_at=NOW)

    [cut] = told(account.run(due), percent=SLOW_ONLY)

    assert cut["fault"] is True
    assert cut["annotations"]["tasks_left"] == 2
    assert len(cut["metadata"]["drainer"]["remaining"]) == 2


def test_a_drain_that_is_neither_sampled_nor_slow_has_no_trace() -> None:
    account = Account()
    due = account.follows(0, "DRAINING", task(1, "STOPPED"))

    report = account.run(due)

    assert account.answered
    assert told(report, percent=SLOW_ONLY) == []


def test_each_pass_agrees_whether_a_drain_is_sampled_and_the_share_is_the_percentage() -> None:
    # Drawn in each pass, most drains would have some part of a trace, and none a whole one.
    ranks = [ids_of(key_of(action(number)), START).rank for number in range(2_000)]

    assert ids_of(key_of(action(7)), START + SECOND / 2).rank == ranks[7]
    assert 60 < sum(rank < 5 for rank in ranks) < 140
    assert max(ranks) == 99


def test_the_percentage_is_a_share_of_a_hundred_and_not_one_more() -> None:
    account = Account()
    report = account.run(account.follows(0, "DRAINING", task(1, "STOPPED")))
    rank = ids_of(key_of(action()), START).rank

    assert told(report, percent=rank) == []
    assert len(told(report, percent=rank + 1)) == 1


def test_the_ids_of_a_drain_are_these_in_each_version() -> None:
    # After an upgrade in the middle of a drain its later passes would go on with another trace.
    assert ids_of(key_of(action()), START) == IDS


def test_two_drains_of_one_instance_have_two_traces() -> None:
    # An instance that came back and leaves again would add to the trace of the week before.
    first, second = (ids_of(key_of(action()), at) for at in (START, START + HOUR))
    other_hook = ids_of(key_of(action(hook="other")), START)

    assert len({first.trace, second.trace, other_hook.trace}) == 3
    assert first.trace.startswith(f"1-{int(START.timestamp()):08x}-")
    assert [len(part) for part in first.trace.split("-")] == [1, 8, 24]


def test_each_segment_has_an_id_as_x_ray_takes_it() -> None:
    documents = [one for each in life() for one in each]
    parts = [*documents, *documents[-1]["subsegments"]]

    assert {len(one["id"]) for one in parts} == {16}
    assert all(int(one["id"], 16) for one in parts)


def test_a_drain_that_somebody_else_answers_ends_as_over() -> None:
    # Left in progress, its trace would look like a drain that goes on.
    account = Account(fails={"heartbeat": LifecycleActionOverError("answered by hand")})
    due = account.follows(0, "ACTIVE", task(), draining_since=None)

    [ended] = told(account.run(due), NOW + SECOND)

    assert ended["annotations"]["end"] == "over"
    assert [one["name"] for one in ended["subsegments"]] == ["active"]


def test_a_token_that_is_refused_at_once_has_no_trace() -> None:
    # Who may publish to the topic could have a million traces made, of drains that never were.
    account = Account(fails={"heartbeat": LifecycleActionOverError("no such token")})
    account.has(0, "ACTIVE", task())

    report = account.run(notification())

    assert report.outcomes[0].over
    assert told(report) == []


def test_a_look_that_finds_an_instance_gone_completes_no_trace() -> None:
    # The chain asks once more, and may find that it waits: the trace would have two ends.
    account = Account(fast_path=True)
    account.follows(0, "DRAINING", task(), not_waiting_since=NOW - HOUR / 4, last_heartbeat_at=NOW)
    account.states.clear()

    report = account.run(stopped=["arn-0"])

    assert report.outcomes[0].ended
    assert told(report) == []


def test_a_drain_that_replaces_the_record_of_the_one_before_has_a_trace_of_its_own() -> None:
    # Reused instances would all add to the trace of their first drain.
    account = Account()
    account.has(0, "ACTIVE", task())
    before = drain(action=action(token=OTHER_TOKEN), started_at=NOW - HOUR)
    account.records.put(record(before, phase="drained", end=End.CONTINUE, ended_at=NOW - HOUR / 2))

    begun, _ = told(account.run(notification()))

    assert begun["trace_id"] == ids_of(key_of(action()), NOW).trace


def test_a_token_that_joins_begins_the_trace_that_its_later_passes_go_on_with() -> None:
    # Its start is the record's from then on, so that all later passes go by it.
    account = Account()
    account.has(0, "DRAINING", task())
    found = drain(action=action(token=""), started_at=NOW - HOUR / 2, last_heartbeat_at=NOW)
    account.records.put(record(found, written_at=NOW - HOUR / 4))
    early = notification(at=NOW - HOUR / 2 - SECOND)

    report = account.run(early)

    assert report.outcomes[0].admitted.admission == Admission.JOIN
    begun, _ = told(report)
    assert begun["trace_id"] == ids_of(key_of(action()), early.started_at).trace
    assert begun["start_time"] == early.started_at.timestamp()


def test_a_look_at_an_event_leaves_it_to_the_next_pass() -> None:
    # The wake-up does not write the record, so that each further one would add the same part.
    account = Account(fast_path=True)
    account.follows(0, "DRAINING", task(), started_at=NOW - HOUR, last_heartbeat_at=NOW)

    report = account.run(stopped=["arn-0"])

    assert len(report.outcomes) == 1
    assert told(report) == []


def test_a_message_whose_hop_another_pass_has_served_adds_nothing() -> None:
    # Both would write the same end, with two instants.
    account = Account()
    due = account.follows(0, "DRAINING", task(), started_at=NOW - HOUR, last_heartbeat_at=NOW)
    [outcome] = account.run(due).outcomes
    outcome.duplicate = True

    assert documents_of(outcome, ALL, HOUR, NOW, "") == []


def test_while_the_table_cannot_be_read_only_the_first_pass_adds_a_part() -> None:
    # With no record each pass would take its phase for a new one.
    account = Account()
    account.has(0, "DRAINING", task())
    first, later = notification(), drain(started_at=NOW, last_heartbeat_at=NOW)

    assert len(told(Account(instances=account.instances, states=account.states).run(first))) == 2
    [outcome] = account.run(later).outcomes
    assert outcome.record is None
    assert told(account.run(later)) == []


def test_the_largest_document_is_below_x_rays_limit() -> None:
    # X-Ray would reject the end of the drain with the most to say.
    account = Account()
    tasks = [replace(task(number), group="service:" + "s" * 255) for number in range(400)]
    due = account.follows(0, "DRAINING", *tasks, deadline_at=NOW, last_heartbeat_at=NOW)
    due = replace(due, action=replace(due.action, auto_scaling_group_name="g" * 255))
    account.records.put(record(due))

    found = told(account.run(due))

    assert found
    assert max(len(json.dumps(one)) for one in found) < DOCUMENT_BYTES_MAX


@pytest.mark.parametrize(
    ("x_ray", "seconds_left", "reason"),
    [
        pytest.param(Xray(), 8.0, None, id="taken"),
        pytest.param(Xray(), 7.9, "No time was left in the invocation", id="no time"),
        pytest.param(Xray(MisconfiguredError("AccessDenied")), 20.0, "AccessDenied", id="denied"),
        pytest.param(Xray(refusals=["InvalidSegment"]), 20.0, "InvalidSegment", id="rejected"),
        pytest.param(Xray(ValueError("odd")), 20.0, "ValueError: odd", id="not foreseen"),
    ],
)
def test_a_trace_that_is_not_written_is_told_and_ends_no_pass(
    x_ray: Xray, seconds_left: float, reason: str | None
) -> None:
    # An exception would have Lambda deliver the messages of every drain of the pass again.
    account, untraced = Account(), Untraced()
    account.has(0, "ACTIVE", task())
    report = account.run(notification())

    clock = InvocationClock(NOW, lambda: seconds_left)
    DrainTraces(x_ray, untraced, ALL, HOUR).tell(report, clock)

    said = [f"The trace of a drain was not written: {reason}"] if reason else []
    assert untraced.reasons == said


def test_x_ray_is_left_alone_for_a_minute_after_it_has_not_answered() -> None:
    # A call that hangs takes a third of an invocation, and a crowd has documents in each pass: its
    # answers came minutes later.
    account, x_ray = Account(), Xray(UnavailableError("ReadTimeoutError"))
    account.has(0, "ACTIVE", task())
    report = account.run(notification())
    untraced = Untraced()
    traces = DrainTraces(x_ray, untraced, ALL, HOUR)
    calls = []
    for at in (NOW, NOW + 59 * SECOND, NOW - 30 * SECOND, NOW + 60 * SECOND):
        traces.tell(report, InvocationClock(at, lambda: 20.0))
        calls.append(x_ray.calls)

    assert calls == [1, 1, 1, 2]
    assert len(untraced.reasons) == 4


def test_a_pass_without_news_calls_nobody() -> None:
    # The first call makes a client, which takes a tenth of a second.
    account, x_ray = Account(), Xray()
    report = account.run(account.follows(0, "DRAINING", task(1, "STOPPED")))

    DrainTraces(x_ray, Untraced(), SLOW_ONLY, HOUR).tell(report, InvocationClock(NOW, lambda: 20.0))

    assert x_ray.calls == 0


def test_of_a_crowd_one_call_has_the_ends_and_the_rest_is_told() -> None:
    # A call for each would take the time that the next batch needs.
    account, untraced, x_ray = Account(), Untraced(), Xray()
    for number in range(25):
        account.has(number, "ACTIVE", task(number))
    begins, clock = [notification(number) for number in range(25)], lambda: 20.0
    traces = DrainTraces(x_ray, untraced, ALL, HOUR)
    traces.tell(account.run(*begins), InvocationClock(NOW, clock))
    assert (x_ray.calls, len(x_ray.taken), untraced.reasons) == (1, 50, [])
    account.records.rows.clear()
    ends = account.follows(25, "DRAINING", task(25, "STOPPED"))

    traces.tell(account.run(*begins, ends), InvocationClock(NOW, clock))

    assert (x_ray.calls, len(x_ray.taken)) == (2, 100)
    assert "subsegments" in json.loads(x_ray.taken[50])
    [reason] = untraced.reasons
    assert reason.endswith(": 1 documents of one pass were too many")


class Client:
    """X-Ray's client, or its refusal."""

    def __init__(self, made: list[str]) -> None:
        made.append("xray")
        self.taken: list[str] = []

    def put_trace_segments(self, **parameters: Any) -> dict[str, Any]:
        self.taken += parameters["TraceSegmentDocuments"]
        return {"UnprocessedTraceSegments": [{"Id": "1", "ErrorCode": "InvalidSegment"}]}


@pytest.mark.parametrize("percent", [0, 100])
def test_the_function_traces_when_its_setting_says_so_and_an_alarm_stays_silent(
    percent: int,
) -> None:
    # A client of X-Ray that no drain needs would make each start longer; and an alarm that rings
    # for a trace says that drains take longer, which is not true.
    account, log, made = Aws(now=START), StringIO(), list[str]()
    topic = SnsApi(account).create_topic_named("drainer")
    environ = {
        "DRAINER_TOPIC_ARN": topic.arn,
        "DRAINER_CLUSTERS": "payments",
        "DRAINER_RECORDS_TABLE": account.record_tables.create("drainer-Records").name,
        "DRAINER_TRACED_DRAINS_PERCENT": str(percent),
    }
    metrics = Metrics(service="drainer", namespace="Drainer")
    telemetry = Powertools(Logger(service=f"traces-{percent}", stream=log), metrics)
    function = handler.build(
        environ,
        lambda service: Client(made) if service == "xray" else account.client(service),
        account.clock,
        telemetry,
    )
    setting = Setting(account, metrics.log_metrics(function), topic.arn, log)
    account.on_notification.append(lambda one: setting.notifications.append(dict(one.message)))
    account.auto_scaling.create_group(GROUP, cluster="payments", desired=3)
    hook = LifecycleHook("drainer", GROUP, notification_target_arn=topic.arn)
    late = '{"drain_timeout_seconds": 60}'
    account.auto_scaling.put_hook(replace(hook, notification_metadata=late))
    account.ecs.create_service("payments", "web", desired=3)
    setting.notifications.clear()
    account.auto_scaling.scale_in(GROUP, 1)
    account.run_for(61)

    assert made == []
    response = setting.function(setting.sqs(*setting.notifications), Context())

    assert response == {"batchItemFailures": []}
    assert made == ["xray"] * bool(percent)
    said = [one for one in setting.lines() if one.get("message") == "call failed"]
    assert ["InvalidSegment" in one["reason"] for one in said] == [True] * bool(percent)
    assert not [one for one in setting.lines() if one.get("message") == "impaired"]
