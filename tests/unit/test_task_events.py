"""Tasks that stop on container instances: which events count, and at which drains to look."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from drainer import events
from drainer.drain.admission import Admission
from drainer.drain.listings import LISTINGS_A_SECOND, LISTINGS_MAX, LISTINGS_MIN, Listings
from drainer.drain.model import Origin, Place, StoppedTask
from drainer.drain.task_set import ANSWER_LAG
from drainer.errors import MalformedEventError, MisconfiguredError, QuietError
from drainer.lifecycle.open_drains import INDEX_KNOWN_FOR, KNOWN_FOR, OpenDrains
from drainer.lifecycle.task_events import DETAIL_TYPE
from tests.unit.account import NOW as PASS
from tests.unit.account import TOKEN, Account, action, drain, instance_id, record
from tests.unit.records import Records
from tests.unit.test_recorder import recorder

if TYPE_CHECKING:
    from collections.abc import Iterable

    from drainer.drain.record import DrainRecord, Key

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
ARN = f"arn:aws:ecs:us-east-1:123456789012:container-instance/payments/{32 * 'b'}"
CLOSED: dict[str, Any] = {"closed": True, "container_instance_arn": ARN, "cluster": "payments"}


def stopped(source: str = "aws.ecs", **detail: Any) -> dict[str, Any]:
    """An event, with what of its detail matters here."""
    known = {"lastStatus": "STOPPED", "desiredStatus": "STOPPED", "containerInstanceArn": ARN}
    return {"source": source, "detail-type": DETAIL_TYPE, "detail": known | detail}


def read(event: dict[str, Any]) -> Any:
    [received] = events.receive(event, now=NOW)
    return received.content


@pytest.mark.parametrize(
    "arn", [ARN, ARN.replace("payments/", ""), ARN.replace(":aws:", ":aws-us-gov:")]
)
def test_a_task_that_has_stopped_names_its_container_instance(arn: str) -> None:
    assert read(stopped(containerInstanceArn=arn)) == StoppedTask(arn)


@pytest.mark.parametrize("status", ["RUNNING", "DEACTIVATING", "STOPPING", "DEPROVISIONING", None])
def test_a_task_that_has_not_stopped_is_no_reason_to_look(status: str | None) -> None:
    # Each task changes ten times; looks would take the reads that drains need.
    assert isinstance(read(stopped(lastStatus=status)), QuietError)


@pytest.mark.parametrize(
    "event",
    [
        stopped(source="shop.orders"),
        stopped(containerInstanceArn="i-0123456789abcdef0"),
        stopped(containerInstanceArn=f"{ARN}\n"),
        stopped(containerInstanceArn=ARN.replace(":aws:", ":another:")),
        stopped(containerInstanceArn=ARN.replace("123456789012", "\u0661" * 12)),
        stopped(containerInstanceArn=ARN + 300 * "x"),
        stopped(containerInstanceArn=[ARN]),
    ],
)
def test_an_event_that_ecs_has_not_sent_is_refused(event: dict[str, Any]) -> None:
    assert isinstance(read(event), MalformedEventError)


def test_a_task_on_fargate_is_left_to_spot() -> None:
    # It has no container instance; read here, its interruption would be lost.
    assert not isinstance(read(stopped(containerInstanceArn=None)), StoppedTask)


# -- at which drains


def looked_at(*there: DrainRecord, arn: str = ARN) -> list[str]:
    records = Records()
    records.put(*there)
    found = recorder(records).stopped({arn}, OpenDrains())
    assert {one.admission for one in found} <= {Admission.LOOK}
    assert {one.drain.origin for one in found} <= {Origin.WAKE_UP}
    return [one.drain.action.ec2_instance_id for one in found]


def test_the_drain_of_the_container_instance_is_looked_at() -> None:
    other = record(drain(1, **CLOSED | {"container_instance_arn": ARN[:-1] + "0"}))

    assert looked_at(record(drain(0, **CLOSED)), other) == [instance_id(0)]


def test_so_is_one_that_has_it_among_its_registrations() -> None:
    known = CLOSED | {"container_instance_arn": "another", "others": (Place("payments", ARN),)}

    assert looked_at(record(drain(0, **known))) == [instance_id(0)]


def test_a_drain_whose_tasks_are_not_all_known_is_not_looked_at() -> None:
    # No single look can release it: a deployment would have each of its tasks looked at in vain.
    assert looked_at(record(drain(0, **CLOSED | {"closed": False}))) == []


def test_a_drain_without_a_token_that_is_silent_is_not_looked_at() -> None:
    # What is known of it may be of an action before this one.
    silent = record(drain(0, action=action(0, ""), **CLOSED), written_at=PASS - timedelta(hours=1))

    assert looked_at(silent) == []


def test_nothing_is_asked_where_no_task_has_stopped() -> None:
    called: list[str] = []

    assert recorder(Records(call=called.append)).stopped((), OpenDrains()) == []
    assert called == []


def test_the_last_tasks_end_is_answered_at_once() -> None:
    account = Account()
    account.follows(0, closed=True)
    arn = account.record().drain.container_instance_arn or ""
    assert account.record().token == TOKEN

    [outcome] = account.run(stopped=[arn]).outcomes

    assert outcome.answered
    assert not account.published


def test_a_message_of_the_same_drain_is_served_once() -> None:
    # Both would look, and one of them answer what the other has answered.
    account = Account()
    message = account.follows(0, closed=True)
    arn = account.record().drain.container_instance_arn or ""

    assert len(account.run(message, stopped=[arn]).outcomes) == 1


def test_a_sweep_and_an_event_of_one_drain_are_one_look() -> None:
    # Two looks would answer it twice, and the second answer is refused: an error in the log.
    account = Account()
    account.follows(0, closed=True)
    account.records.put(replace(account.record(), written_at=PASS - timedelta(hours=1)))
    arn = account.record().drain.container_instance_arn or ""

    assert len(account.run(sweep=True, stopped=[arn]).outcomes) == 1
    assert account.done.count("complete") == 1


def test_a_duplicate_message_hides_no_event() -> None:
    # A task has stopped; the message that is dropped beside it does not look.
    account = Account()
    old = replace(account.follows(0, closed=True), hop=0)
    arn = account.record().drain.container_instance_arn or ""

    [outcome] = account.run(old, stopped=[arn]).outcomes
    assert outcome.answered


def test_an_index_that_cannot_be_read_is_said_and_spoils_no_drain() -> None:
    account = Account()
    message = account.follows(0, closed=True)
    account.records.unindexed = MisconfiguredError("Query: AccessDeniedException")

    report = account.run(message, stopped=[ARN])

    assert len(report.outcomes) == 1
    assert report.problems == ("Open records could not be listed: Query: AccessDeniedException",)


def test_the_records_of_a_crowd_are_read_once_and_then_those_of_an_event() -> None:
    # For each batch of events a thousand records would be read, and the answers wait meanwhile.
    read: list[list[Key]] = []

    class Counted(Records):
        def read(self, keys: Iterable[Key]) -> dict[Key, Any]:
            read.append([*keys])
            return super().read(read[-1])

    records, drains = Counted(), OpenDrains()
    arns = [f"{ARN[:-1]}{number}" for number in range(3)]
    there = [record(drain(n, **CLOSED | {"container_instance_arn": a})) for n, a in enumerate(arns)]
    records.put(*there)

    assert drains.of([arns[1]], records, PASS) == [there[1]]
    assert drains.of([arns[2]], records, PASS) == [there[2]]
    assert drains.of(["another"], records, PASS) == []
    assert read == [[one.key for one in there], [there[2].key], []]


def test_a_drain_whose_container_instance_was_not_known_is_read_again() -> None:
    records, drains = Records(), OpenDrains()
    records.put(record(drain(0, container_instance_arn=None)))
    assert drains.of([ARN], records, PASS) == []

    records.put(found := record(drain(0, **CLOSED)))

    assert drains.of([ARN], records, PASS) == [found]


def test_the_index_is_read_again_after_seconds() -> None:
    # In a crowd each batch of events would read the keys of all its drains.
    listed: list[int] = []

    class Counted(Records):
        def open_keys(self) -> list[Key]:
            listed.append(1)
            return super().open_keys()

    records, drains = Counted(), OpenDrains()
    assert drains.of([ARN], records, PASS) == []
    records.put(found := record(drain(0, **CLOSED)))

    assert drains.of([ARN], records, PASS + INDEX_KNOWN_FOR - timedelta(seconds=1)) == []
    assert len(listed) == 1
    assert drains.of([ARN], records, PASS + INDEX_KNOWN_FOR) == [found]
    # A clock that was set back must not hide drains until it has come so far again.
    assert drains.of([ARN], records, PASS - timedelta(hours=1)) == [found]
    assert len(listed) == 3


def test_no_drain_is_hidden_from_its_events_once_its_set_can_be_closed() -> None:
    # Its last task's event would be dropped, and a quiet drain answered minutes later.
    assert INDEX_KNOWN_FOR < 2 * ANSWER_LAG


def test_an_agent_that_has_registered_again_is_known_by_its_events_after_minutes() -> None:
    # For the rest of a drain of hours each of its events would be dropped.
    records, drains = Records(), OpenDrains()
    records.put(record(drain(0, **CLOSED | {"container_instance_arn": "before"})))
    assert drains.of([ARN], records, PASS) == []
    records.put(found := record(drain(0, **CLOSED)))

    assert drains.of([ARN], records, PASS + KNOWN_FOR - timedelta(seconds=1)) == []
    assert drains.of([ARN], records, PASS + KNOWN_FOR) == [found]


# -- how many may be listed


def test_an_environment_that_was_idle_lists_more_at_once_than_one_that_lists_on() -> None:
    # With ten in 15 s the tasks of a hundred short drains were not known before they ended.
    listings = Listings()

    assert listings.grant(100, NOW) == LISTINGS_MAX
    assert listings.grant(100, NOW) == LISTINGS_MIN
    idle = timedelta(seconds=LISTINGS_MAX / LISTINGS_A_SECOND)
    assert listings.grant(100, NOW + idle / 2) == LISTINGS_MAX // 2
    assert listings.grant(100, NOW + idle / 2 + 10 * idle) == LISTINGS_MAX
    assert listings.grant(3, NOW + 12 * idle) == 3


def test_what_was_not_wanted_is_left_for_the_next_pass() -> None:
    listings = Listings()
    listings.grant(5, NOW)

    assert listings.grant(100, NOW) == LISTINGS_MAX - 5


def test_a_clock_that_goes_back_grants_no_more() -> None:
    listings = Listings()
    listings.grant(100, NOW)

    assert listings.grant(100, NOW - timedelta(hours=1)) == LISTINGS_MIN


def test_of_a_drain_all_container_instances_are_named() -> None:
    known = record(drain(0, **CLOSED, others=(Place("payments", "second"),)))

    assert known.container_instances == {ARN, "second"}
    assert replace(known, drain=drain(0, container_instance_arn=None)).container_instances == set()
