"""
The drainer is updated while a stack waits: its request was begun by the release before this one.
"""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from drainer.custom_resource.report import Step
from drainer.simulation.services.ecs.definitions import NEVER_STOPS

if TYPE_CHECKING:
    from collections.abc import Callable

    from drainer.simulation.services.cloudformation.custom_resource import CustomResourceRequest
    from drainer.simulation.services.ec2.spot_fleet_model import Fleet
    from tests.simulation.conftest import World

CLUSTER = "payments"
HOUR_SECONDS = 3_600
SWEEP_SECONDS = 300
# Long enough for its instances to be DRAINING, and too short for their tasks to be STOPPED.
BEFORE_SECONDS = 50
# In so long one re-invocation is published.
PASS_SECONDS = 16


class Updated:
    """
    A stack that has asked for a Delete, and what the release before this one knew of it.

    What this release has come to is taken over into the other's table, in its words: the form of
    the state is the same (tests/contract/test_former_requests.py has one that the other wrote).

    Attributes:
        key: What a message calls the request.
        hop: The last pass that the other had begun.
    """

    def __init__(self, make_world: Callable[..., World], **properties: str) -> None:
        self.world = make_world(custom_resources=True, sweep_interval_seconds=SWEEP_SECONDS)
        self.fleet: Fleet = self.world.account.fleets.create(CLUSTER, 3, already_running=True)
        self.world.service(6)
        self.request: CustomResourceRequest = self.world.account.stacks.request(
            "Delete",
            {"Cluster": CLUSTER, "SpotFleet": self.fleet.fleet_id, **properties},
            physical_id=self.fleet.fleet_id,
        )
        self.request.by_topic(self.world.installed.topic)
        # Where the tasks go.
        self.world.account.fleets.create(CLUSTER, 3, already_running=True)
        self.key = f"{self.request.event['StackId']}|{self.request.event['RequestId']}"

    def run_before(self, *, alive: bool = True, served: bool = True, **state: Any) -> None:
        """Let the release before come so far; its chain goes on after the update if alive."""
        lost = self.world.installed.topic.subscriptions[1].channel.faults
        self.world.run(BEFORE_SECONDS - PASS_SECONDS)
        lost += [] if alive else [lambda _: ()]
        self.world.run(PASS_SECONDS)
        lost.clear()
        records = self.world.account.record_tables.tables[self.world.installed.records]
        [item] = records.items
        records.rows.clear()
        self.hop = int(item["hop"]["N"]) - 1
        began_at = float(item["began_at"]["N"])
        numbers = {
            "version": 3 * self.hop,
            "hop": self.hop,
            "served": int(served),
            "at": float(item["written_at"]["N"]),
            "deadline_at": float(item["deadline_at"]["N"]),
            "timeout_at": began_at + HOUR_SECONDS,
            "expires_at": int(began_at) + 432_000,
        }
        texts = {
            "request": self.key,
            "state": json.dumps({**json.loads(item["drain"]["S"]), **state}),
        }
        former = self.world.installed.requests_table
        assert former is not None
        former.put(
            {
                **{name: {"N": str(value)} for name, value in numbers.items()},
                **{name: {"S": value} for name, value in texts.items()},
            }
        )

    def deliver(self, hop: int, after_seconds: float = 0.0) -> None:
        """Let a message of the release before come."""
        body = {"drainer": "re-invocation", "version": 2, "request": self.key, "hop": hop}
        text = json.dumps(body)
        self.world.account.after(after_seconds, lambda: self.world.redrive(text))

    @property
    def steps(self) -> list[Step]:
        """What each pass came to."""
        return [report.step for report in self.world.reports.requests]

    def assert_answered_once(self, status: str = "SUCCESS") -> None:
        """In time, after the last task, and never again."""
        hours = timedelta(hours=2)
        self.world.account.run_until(lambda: bool(self.request.attempts), hours)
        ecs = self.world.account.ecs
        left = sum(len(ecs.remaining_tasks(one)) for one in self.fleet.ec2_instance_ids)
        self.world.run(hours.total_seconds())

        assert self.request.answer is not None
        assert (self.request.answer["Status"], self.request.faults) == (status, [])
        assert len(self.request.attempts) == 1
        assert status == "FAILED" or left == 0
        assert self.world.installed.dead_letters == []
        assert self.world.reports.crashes == []


def test_a_chain_that_is_alive_goes_on(make_world: Callable[..., World]) -> None:
    # Its message is under way; without its record it would be for a request that nobody knows.
    updated = Updated(make_world)
    updated.run_before()

    updated.assert_answered_once()
    assert updated.steps.count(Step.REFUSED) == 0


def test_a_lost_chain_of_the_release_before_is_found_by_the_sweep(
    make_world: Callable[..., World],
) -> None:
    # An invocation of the other release was ended by the update, and nobody delivers again.
    updated = Updated(make_world)
    updated.run_before(alive=False)

    updated.assert_answered_once()


def test_a_pass_that_the_update_has_ended_is_taken_up_by_its_message(
    make_world: Callable[..., World],
) -> None:
    # It had written that it began, and was not allowed to write more: its message comes again.
    updated = Updated(make_world)
    updated.run_before(alive=False, served=False)
    updated.deliver(updated.hop, 180)

    updated.world.run(200)
    assert Step.RE_INVOKE in updated.steps[-2:]
    updated.assert_answered_once()


def test_duplicates_of_all_messages_begin_no_second_chain(make_world: Callable[..., World]) -> None:
    updated = Updated(make_world)
    updated.run_before()
    for after_seconds in (0, 1, 70, 200, 2_000):
        updated.world.account.after(
            after_seconds, lambda: updated.request.by_topic(updated.world.installed.topic)
        )
        for hop in range(1, updated.hop + 3):
            updated.deliver(hop, after_seconds)

    updated.assert_answered_once()


@pytest.mark.parametrize("alive", [True, False])
def test_an_answer_that_it_had_decided_is_the_one_that_is_given(
    make_world: Callable[..., World], alive: bool
) -> None:
    # FAILED at the deadline must not become SUCCESS because the next pass looks once more.
    updated = Updated(make_world)
    answer = {"status": "FAILED", "physical_id": updated.fleet.fleet_id, "reason": "too late"}
    updated.run_before(alive=alive, answer=answer)

    updated.assert_answered_once("FAILED")
    assert updated.request.answer is not None
    assert updated.request.answer["Reason"] == "too late"


def test_the_deadline_stays_where_it_was(make_world: Callable[..., World]) -> None:
    # Begun again at the update, it may lie after CloudFormation's timeout.
    updated = Updated(make_world, DrainTimeoutSeconds="600", OnTimeout="FAILED")
    updated.world.account.ecs.run_standalone(
        CLUSTER, updated.fleet.ec2_instance_ids[0], profile=NEVER_STOPS
    )
    updated.run_before()

    updated.assert_answered_once("FAILED")
    [(answered_at, _)] = updated.request.answers
    assert 600 <= (answered_at - updated.request.sent_at).total_seconds() < 600 + 30


def test_what_it_has_answered_stays_answered(make_world: Callable[..., World]) -> None:
    # SNS doubles what it likes, and a sweep reads the whole table.
    updated = Updated(make_world)
    updated.run_before(alive=False)
    former = updated.world.installed.requests_table
    assert former is not None
    del former.rows[updated.key]["state"]
    former.rows[updated.key]["answered"] = {"S": "answered SUCCESS"}
    updated.request.by_topic(updated.world.installed.topic)
    updated.deliver(updated.hop + 1, 100)

    updated.world.run(HOUR_SECONDS)

    assert updated.request.attempts == []
    assert set(updated.steps[-2:]) == {Step.OVER}


def test_a_request_after_the_update_is_not_written_to_the_former_table(
    make_world: Callable[..., World],
) -> None:
    # It may go with the next release.
    updated = Updated(make_world)

    updated.assert_answered_once()
    former = updated.world.installed.requests_table
    assert former is not None
    assert former.rows == {}
