"""ECS's answers that others contradict: refused descriptions of tasks, and short listings."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest

from drainer.simulation.aws import Aws
from drainer.simulation.faults.faults import SEEN_SECONDS, Faults
from drainer.simulation.faults.intensity import INTENSITIES
from drainer.simulation.faults.odd_answers import OddAnswers, Refusal
from drainer.simulation.faults.undescribed import (
    CODES,
    DENIED,
    NEVER,
    REFUSED,
    Undescribed,
    UndescribedRegistrations,
)
from drainer.simulation.records import ApiError
from drainer.simulation.scenario.trace import Trace
from drainer.simulation.services.ecs.definitions import TaskProfile
from tests.simulation.test_unkind_seeds import Drain

START = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
IN_CLUSTER = {"cluster": "payments"}
LISTING = {"containerInstanceArns": ["arn-1", "arn-2"]}


@pytest.fixture
def odd() -> OddAnswers:
    account = Aws(now=START)
    faults = Faults(
        account,
        Random(0),  # noqa: S311
        Trace(account, START, on=False),
        lambda _: None,
        INTENSITIES["rough"],
        START + timedelta(hours=1),
    )
    return OddAnswers(faults, Random(0), Random(0))  # noqa: S311


def test_only_descriptions_of_tasks_are_refused_and_only_for_a_while(odd: OddAnswers) -> None:
    # Beside reads that fail, too, a drain is unseen anyway: nothing is shown about refusals.
    odd.refusals.append(Refusal("ClientException", START, START + timedelta(minutes=6), 1.0))

    odd.before_call("ListTasks", {})
    odd.before_call("DescribeContainerInstances", {"containerInstances": []})
    with pytest.raises(ApiError, match="refused"):
        odd.before_call("DescribeTasks", {})
    odd.faults.account.run_for(360)
    odd.before_call("DescribeTasks", {})
    assert odd.faults.injected == {"tasks not described": 1}


def test_a_container_instance_is_not_listed_at_one_instant_and_described_then(
    odd: OddAnswers,
) -> None:
    # Two searches in a row that lack the same one are no instant: it would rightly be released.
    odd.unlisted = 1.0
    lacking = []
    for _ in range(int(SEEN_SECONDS / 10)):
        listed = odd.without_one("ListContainerInstances", IN_CLUSTER, LISTING)[
            "containerInstanceArns"
        ]
        lacking += [arn for arn in LISTING["containerInstanceArns"] if arn not in listed]
        rows = [{"containerInstanceArn": arn} for arn in LISTING["containerInstanceArns"]]
        answer = {"containerInstances": rows, "failures": []}
        assert odd.faults.with_failures("DescribeContainerInstances", answer, "") == answer
        odd.faults.account.run_for(10)

    assert sorted(lacking) == ["arn-1", "arn-2"]


def test_what_one_description_lacked_is_listed_for_a_while(odd: OddAnswers) -> None:
    # Missing here and soon after there, it would count as absent, as it may.
    odd.unlisted = 1.0
    odd.faults.may_miss("arn-1")
    odd.faults.may_miss("arn-2")
    odd.faults.account.run_for(20)

    assert odd.without_one("ListContainerInstances", IN_CLUSTER, LISTING) == LISTING


# Released by one late answer and one wrong one, an instance is no fault of the drainer's.
@pytest.mark.parametrize(("registered_ago", "lacked_later"), [(19, False), (21, True)])
def test_what_one_listing_lacks_because_it_is_late_the_next_ones_have(
    odd: OddAnswers, registered_ago: int, lacked_later: bool
) -> None:
    account = odd.faults.account
    account.run_for(1)  # what is there at first has been there for long
    one = account.ecs.register("payments", "i-1")
    odd.unlisted = 1.0
    account.run_for(registered_ago)

    odd.without_one("ListContainerInstances", IN_CLUSTER, {"containerInstanceArns": []})
    account.run_for(60)

    listing = {"containerInstanceArns": [one.arn]}
    lacked = odd.without_one("ListContainerInstances", IN_CLUSTER, listing) != listing
    assert lacked == lacked_later


# -- registrations that are listed and never described


class Leaving(Drain):
    """A drain beside whose container instance another one is not described."""

    def __init__(self, kind: str, *, there: bool = True) -> None:
        super().__init__(TaskProfile(), heard=False)
        faults = self.world.faults
        faults.ceased_at = self.account.now + timedelta(hours=1)
        self.odd = UndescribedRegistrations(faults, Random(0), self.world.workload)  # noqa: S311
        self.cluster = self.task.cluster.name
        ec2_instance_id = self.instance.ec2_instance_id
        self.own = self.task.container_instance.arn
        self.other = self.own[:-4] + "0000"
        if there:
            self.other = self.account.ecs.register(
                self.cluster, ec2_instance_id, agent_gone=True
            ).arn
        ends_at = self.account.now + timedelta(minutes=10)
        self.odd.known.append(Undescribed(self.other, self.cluster, ec2_instance_id, kind, ends_at))
        self.world.undescribed = self.odd

    def listed(self, ec2_instance_id: str = "") -> list[str]:
        wanted = ec2_instance_id or self.instance.ec2_instance_id
        answer = self.asks("ListContainerInstances", filter=f"ec2InstanceId in [{wanted}]")
        return [*answer["containerInstanceArns"]]

    def described(self, *arns: str) -> list[str]:
        answer = self.asks("DescribeContainerInstances", containerInstances=[*arns])
        rows = [row["containerInstanceArn"] for row in answer["containerInstances"]]
        assert sorted(rows + [row["arn"] for row in answer["failures"]]) == sorted(arns)
        return rows

    def asks(self, operation: str, **parameters: Any) -> dict[str, Any]:
        return self.world.ask("ecs", operation, {"cluster": self.cluster, **parameters})


@pytest.mark.parametrize("there", [True, False])
def test_one_description_of_two_lacks_what_is_listed_and_no_other(there: bool) -> None:
    # If it were not listed, or all were lacking, no half of the instances would be held up alone.
    leaving = Leaving(NEVER, there=there)

    assert sorted(leaving.listed()) == sorted([leaving.own, leaving.other])
    assert leaving.described(leaving.own, leaving.other) == [leaving.own]
    assert leaving.other not in leaving.listed("i-another")
    assert leaving.world.faults.injected[f"registration {NEVER}"] == 1
    leaving.account.run_for(601)
    assert (leaving.other in leaving.listed()) == there
    assert (leaving.other in leaving.described(leaving.other)) == there


@pytest.mark.parametrize("kind", [REFUSED, DENIED])
def test_an_earlier_registration_is_refused_each_time_and_others_are_not(kind: str) -> None:
    # What is denied stays so until somebody corrects it: one refusal that passes shows nothing.
    leaving = Leaving(kind)

    for _ in range(2):
        with pytest.raises(ApiError, match=CODES[kind]):
            leaving.described(leaving.own, leaving.other)
        assert leaving.described(leaving.own) == [leaving.own]
    leaving.account.run_for(601)
    assert leaving.described(leaving.own, leaving.other) == [leaving.own, leaving.other]


# It holds its own instance, for five minutes of an agent's, and no longer than it lasts.
@pytest.mark.parametrize(("lasts_minutes", "held_seconds"), [(10, 300), (2, 120)])
def test_what_is_not_described_excuses_five_minutes_of_its_own_instance(
    lasts_minutes: int, held_seconds: int
) -> None:
    leaving = Leaving(NEVER, there=False)
    account, liveness = leaving.account, leaving.world.liveness()
    [known] = leaving.odd.known
    ends_at = account.now + timedelta(minutes=lasts_minutes)
    leaving.odd.known[:] = [replace(known, ends_at=ends_at)]
    leaving.world.faults.ceased_at = account.now
    account.ecs.set_status(leaving.task.container_instance, "DRAINING")
    for task in leaving.task.container_instance.remaining_tasks():
        account.ecs.life.kill(task, "test")
    idle_at = account.now

    def is_late(seconds: float) -> bool:
        at = liveness.within(idle_at) + timedelta(seconds=seconds)
        return bool(leaving.world.liveness()._judge_idle(leaving.action, at))

    assert not is_late(held_seconds - 1)
    assert is_late(held_seconds + 1)
    leaving.odd.known.clear()
    assert is_late(1)
