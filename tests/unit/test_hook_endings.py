"""What is the end of a drain for its pass and what is none, and what is told of each message."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from drainer.drain.actions import NO_TIME
from drainer.drain.admission import Admission, Admitted
from drainer.drain.conditional_write import Demand
from drainer.drain.record import End, Previous
from drainer.errors import RefusedError, UnavailableError
from drainer.lifecycle import record_writes
from drainer.lifecycle.record_writes import Stamp
from drainer.lifecycle.rules import Step
from tests.unit.account import NOW, START, Account, action, drain, instance_id, record, task

HOUR = timedelta(hours=1)
STAMP = Stamp("pass", NOW)
REFUSED = RefusedError("ValidationError: odd")


def test_a_heartbeat_that_is_refused_ends_no_drain_that_is_seen_to_wait() -> None:
    # Its chain would stop, and its hook time out with tasks that serve.
    account = Account(fails={"heartbeat": REFUSED})
    due = account.follows(0, "DRAINING", task(), last_heartbeat_at=NOW - HOUR)

    [outcome] = account.run(due).outcomes

    assert (outcome.over, outcome.ended) == (False, False)
    assert len(account.published) == 1


def test_a_heartbeat_that_fails_ends_no_drain_though_it_is_not_seen_to_wait() -> None:
    # A throttle says nothing about the action, and two answers of Auto Scaling may be stale.
    found = {}
    for error in (UnavailableError("Rate exceeded"), REFUSED):
        account = Account(fails={"heartbeat": error})
        due = account.follows(0, "DRAINING", task(), not_waiting_since=START)
        account.states.clear()
        [outcome] = account.run(due).outcomes
        found[type(error)] = outcome.over

    assert found == {UnavailableError: False, RefusedError: True}


def test_an_answer_for_which_no_time_is_left_comes_again() -> None:
    # At the deadline the hook is answered by the pass that has the time for it.
    account = Account(seconds_left=4.5)
    due = account.follows(0, "DRAINING", task(), deadline_at=NOW, last_heartbeat_at=NOW)

    [outcome] = account.run(due).outcomes

    assert (outcome.answered, outcome.retry_reason) == (None, NO_TIME)
    assert account.published == []


def test_each_drain_that_an_event_woke_is_hurried() -> None:
    # Of a crowd all but one would wait for more than a minute.
    account = Account(fast_path=True)
    for number in range(3):
        unfinished = (task(number).id,)
        account.follows(
            number, "DRAINING", task(number), quiet=True, unfinished=unfinished,
            last_heartbeat_at=NOW,
        )  # fmt: skip

    account.run(stopped=["arn-0", "arn-1", "arn-2"])

    hurried = {one.action.ec2_instance_id for one in account.published}
    assert hurried == {instance_id(number) for number in range(3)}


def test_what_is_over_is_written_over_nothing_but_what_is_open() -> None:
    # The end that another pass has written has the answer.
    account = Account()
    due = account.follows(0, "DRAINING", task(), last_heartbeat_at=NOW)
    [outcome] = account.run(due).outcomes
    outcome.over = True

    write = record_writes.end(outcome, STAMP)

    assert write is not None
    assert (write.condition.demand, write.record.end) == (Demand.OVER, End.OVER)


def test_what_was_not_seen_has_no_counts() -> None:
    # People would look for a task that is not there.
    account = Account()
    due = account.follows(0, "DRAINING", task(), last_heartbeat_at=NOW)
    account.instances.clear()
    account.run(due)

    assert (account.record().running, account.record().pending) == (0, 0)


def test_what_the_record_before_followed_is_followed_on() -> None:
    # The sweep has found it at somebody else's hook; the drain before had set it DRAINING, and so
    # it would stay.
    account = Account()
    account.has(0, "DRAINING", task())
    due = drain(action=action(token=""), started_at=NOW, last_heartbeat_at=NOW - HOUR)
    before = Previous("", START - HOUR, START, End.CONTINUE, followed=True)
    there = record(due, previous=before)
    account.records.put(there)
    [outcome] = account.run(due).outcomes
    outcome.admitted = Admitted(Admission.DUE, due, there)
    outcome.over, outcome.heartbeat = True, False

    write = record_writes.end(outcome, STAMP)
    without = replace(there, previous=None)
    outcome.admitted = Admitted(Admission.DUE, due, without)
    other = record_writes.end(outcome, STAMP)

    assert write is not None
    assert other is not None
    assert [getattr(one.record, "followed", None) for one in (write, other)] == [True, False]


def test_a_message_that_is_retried_is_the_drains_own_beside_a_duplicate() -> None:
    # Named by its neighbour, it would be deleted, and its drain would wait for the sweep.
    account = Account(unpublished={0})
    behind = account.follows(0, "DRAINING", task(0), last_heartbeat_at=NOW)
    due = account.follows(1, "DRAINING", task(1), last_heartbeat_at=NOW)

    report = account.run(replace(behind, hop=1), due)

    [outcome], [other] = report.outcomes, report.not_admitted
    assert outcome.retry_reason
    assert outcome.message == due.action
    assert (other.drain.action, other.admission) == (behind.action, Admission.DUPLICATE)


def test_a_record_that_cannot_be_read_is_told_at_its_drain() -> None:
    # A table that is denied would be seen by nobody, while drains go on without it.
    account = Account()
    due = account.follows(0, "DRAINING", task(), last_heartbeat_at=NOW)
    account.records.down = UnavailableError("the table is down")

    [outcome] = account.run(due).outcomes

    assert "The drain's record was not read: the table is down" in outcome.errors


def test_a_drain_without_token_and_record_stops_where_its_instance_has_gone_on() -> None:
    # Each pass would send the next one until the deadline, two days later.
    account = Account()
    account.has(0, "DRAINING", task())
    account.states[instance_id()] = "Terminating:Proceed"
    account.records.down = UnavailableError("the table is down")
    due = drain(action=action(token=""), last_heartbeat_at=NOW, sent_at=NOW - HOUR / 240)

    [outcome] = account.run(due).outcomes

    assert outcome.admitted.admission == Admission.UNREAD
    assert (outcome.decision.step, account.published) == (Step.STOP, [])


def test_a_drain_of_which_ecs_does_not_find_a_task_is_not_quiet() -> None:
    # No event tells of a task that ECS no longer knows: only a look can.
    account = Account(fast_path=True)
    for missing, quiet in (((), True), (("f" * 32,), False)):
        unfinished = (task(1).id, *missing)
        due = account.follows(
            0, "DRAINING", task(1), unfinished=unfinished, last_heartbeat_at=NOW,
            heartbeat_timeout_seconds=7_200, deadline_at=NOW + HOUR,
        )  # fmt: skip

        [outcome] = account.run(due).outcomes

        assert outcome.decision.quiet is quiet
