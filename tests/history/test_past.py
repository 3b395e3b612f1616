"""
What became of a drain, from its record and the lines of the log; and many drains in a few numbers.
"""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from drainer.cli.history.asked import since_of
from drainer.cli.history.past import EITHER, Pass, Span, past_of, percentile, summary_of
from drainer.cli.history.read_past import passes_in
from drainer.cli.history.read_records import seconds_by_group
from drainer.drain.model import Owner, Task
from drainer.drain.record import DrainRecord, End
from tests.doctor.names import GROUP, NOW
from tests.doctor.past import record

WEB, JOB = "service:web", "family:etl"


def passes(one: DrainRecord, *found: tuple[float, str, set[str]]) -> list[Pass]:
    """
    Return passes by their seconds after the notification.
    """
    began = one.drain.started_at
    return [
        Pass(began + timedelta(seconds=at), phase, frozenset(owners)) for at, phase, owners in found
    ]


def test_each_phase_lasts_from_the_pass_that_found_it_to_the_next() -> None:
    # DRAINING is set 4 s after the notification, by the pass that found the instance ACTIVE.
    one = record(seconds=420)
    found = passes(
        one,
        (3, "active", {WEB, JOB}),
        (20, "draining", {WEB, JOB}),
        (80, "closing", {WEB}),
        (95, "closing", {WEB}),
        (420, "drained", set()),
    )

    past = past_of(one, found, NOW)

    assert past.spans == (Span("active", 4), Span("draining", 76), Span("closing", 340))
    assert past.is_measured
    assert past.waits == {WEB: 420, JOB: 80}


def test_without_the_log_the_record_tells_two_phases() -> None:
    past = past_of(record(seconds=420), [], NOW)

    assert past.spans == (Span("active", 4), Span(EITHER, 416))
    assert not past.is_measured
    assert past.waits == {}


def test_the_phases_of_a_drain_are_as_long_as_the_drain() -> None:
    one = record(seconds=420)
    found = passes(one, (30, "unseen", set()), (60, "draining", {WEB}), (600, "over", set()))

    # The last pass is of the next action of the same instance.
    assert sum(span.seconds for span in past_of(one, found, NOW).spans) == 420


def test_a_log_that_has_only_the_answer_says_nothing_of_the_time_before() -> None:
    # Its lines are kept for less time than records.
    one = record(seconds=420)

    past = past_of(one, passes(one, (420, "drained", set())), NOW)

    assert past.spans == (Span("active", 4), Span(EITHER, 416))
    assert not past.is_measured


def test_an_instance_that_was_never_set_draining_was_active() -> None:
    one = record(seconds=40, phase="unregistered")
    one = replace(one, drain=replace(one.drain, draining_since=None))

    past = past_of(one, [], NOW)

    assert past.spans == (Span("active", 40),)
    assert past.decision == "in no cluster"


def test_two_passes_at_once_make_no_empty_phase() -> None:
    # A wake-up and a re-invocation may look in the same instant.
    one = record(seconds=420)
    found = passes(
        one,
        (0, "unseen", {WEB}),
        (200, "draining", {WEB}),
        (200, "unready", {WEB}),
        (201, "over", set()),
    )

    assert past_of(one, found, NOW).spans == (Span("unseen", 200), Span("unready", 220))


def test_a_cluster_is_shown_by_its_name() -> None:
    one = record()
    arn = "arn:aws:ecs:eu-central-1:123456789012:cluster/payments"

    assert past_of(one, [], NOW).cluster == "payments"
    assert (
        past_of(replace(one, drain=replace(one.drain, cluster=arn)), [], NOW).cluster == "payments"
    )
    assert past_of(replace(one, drain=replace(one.drain, cluster=None)), [], NOW).cluster == ""


def test_a_drain_that_is_open_lasts_until_now() -> None:
    one = record(seconds=420, end=End.OPEN, phase="closing", ended_at=NOW, tasks=("a", "b"))

    past = past_of(one, [], NOW + timedelta(seconds=60))

    assert (past.is_open, past.seconds, past.left) == (True, 480, 2)
    assert past.decision == "open: closing"


@pytest.mark.parametrize(
    ("end", "phase", "tasks", "decision", "left"),
    [
        (End.CONTINUE, "drained", (), "drained", 0),
        (End.CONTINUE, "drained", ("a",), "drained, rest", 1),
        (End.CONTINUE, "overdue", ("a", "b"), "deadline, CONTINUE", 2),
        (End.ABANDON, "overdue", ("a",), "deadline, ABANDON", 1),
        (End.OVER, "over", ("a",), "by hand, timeout", 1),
        (End.CONTINUE, "draining", (), "draining, CONTINUE", 0),
    ],
)
def test_a_drain_says_what_ended_it_and_what_was_left(
    end: End, phase: str, tasks: tuple[str, ...], decision: str, left: int
) -> None:
    past = past_of(record(end=end, phase=phase, tasks=tasks), [], NOW)

    assert (past.decision, past.left) == (decision, left)


def test_more_tasks_were_left_than_a_record_names() -> None:
    # A record names ten tasks and counts all: "2 of 30 were cut" must not become 10.
    one = replace(record(end=End.CONTINUE, phase="overdue", tasks=("a",)), running=28, pending=2)

    assert past_of(one, [], NOW).left == 30


def test_what_was_counted_of_a_drained_instance_is_not_left() -> None:
    # ECS's counts may be late: the tasks were looked at one by one.
    one = replace(record(), running=3)

    assert past_of(one, [], NOW).left == 0


def test_many_drains_are_summed_up() -> None:
    drains = []
    for count in range(1, 21):
        one = record(seconds=count * 60.0, group=f"g{count % 2}", instance=f"i-{count}")
        found = passes(one, (1, "active", {WEB}), (count * 60.0, "drained", set()))
        drains.append(past_of(one, found, NOW))
    cut = record(seconds=9_000, end=End.CONTINUE, phase="overdue", tasks=("a", "b"))
    drains.append(past_of(cut, passes(cut, (9_000, "overdue", {JOB})), NOW))
    still = record(seconds=60_000, end=End.OPEN, phase="draining", tasks=("x",))
    drains.append(past_of(still, passes(still, (1, "draining", {"service:slow"})), NOW))

    sums = summary_of(drains)

    assert (sums.drains, sums.groups, sums.open) == (22, 3, 1)
    assert (sums.p50, sums.p95) == (660, 1_200)
    # What an open drain has left may still leave by itself.
    assert (sums.left, sums.left_in) == (2, 1)
    assert sums.slowest == ((JOB, 9_000), (WEB, 600))
    assert sum(sums.shares.values()) == pytest.approx(1)
    assert [*sums.shares] == ["active", "draining", EITHER]


def test_no_drains_have_no_percentiles() -> None:
    sums = summary_of([])

    assert (sums.p50, sums.p95, sums.shares, sums.slowest) == (None, None, {}, ())


@pytest.mark.parametrize(("percent", "value"), [(1, 1.0), (50, 2.0), (51, 3.0), (95, 4.0)])
def test_a_percentile_is_a_value_that_was_seen(percent: int, value: float) -> None:
    assert percentile([4.0, 1.0, 3.0, 2.0], percent) == value


def test_lines_of_the_log_that_are_no_passes_are_left_out() -> None:
    def event(**line: object) -> dict[str, object]:
        return {"timestamp": 1_700_000_000_000, "message": json.dumps(line)}

    task = Task("9f2e07b1", Owner.SERVICE, WEB, "STOPPED", "DEACTIVATING")
    good = event(ec2_instance_id="i-1", phase="closing", remaining=[str(task)])
    bad = [
        {"timestamp": 0, "message": "START RequestId"},
        event(phase="closing"),
        event(ec2_instance_id="i-2", phase="closing", remaining=["x"]),
        {"timestamp": 0, "message": "[]"},
    ]

    found = passes_in([*bad, good])

    at = datetime.fromtimestamp(1_700_000_000, UTC)
    assert found == {"i-1": [Pass(at, "closing", frozenset({WEB}))]}


def test_drains_that_somebody_ended_say_nothing_of_how_long_they_take() -> None:
    # A drain that was released by hand after a minute would hide those of an hour.
    records = [record(seconds=60, end=End.OVER), record(seconds=3_600), record(end=End.OPEN)]

    assert seconds_by_group(records) == {GROUP: (3_600.0,)}


@pytest.mark.parametrize(
    ("text", "since"),
    [
        ("30m", NOW - timedelta(minutes=30)),
        ("24h", NOW - timedelta(hours=24)),
        ("7d", NOW - timedelta(days=7)),
        ("2w", NOW - timedelta(days=14)),
        ("2026-11-02", datetime(2026, 11, 2, tzinfo=UTC)),
        ("2026-11-02T10:00:00+02:00", datetime(2026, 11, 2, 8, tzinfo=UTC)),
    ],
)
def test_a_time_is_typed_as_a_duration_or_a_date(text: str, since: datetime) -> None:
    assert since_of(text, NOW) == since


@pytest.mark.parametrize("text", ["", "7", "d", "0d", "-1d", "2027-01-01", "yesterday", "1.5h"])
def test_what_names_no_past_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"past|isoformat"):
        since_of(text, NOW)
