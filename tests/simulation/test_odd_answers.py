"""ECS's answers that others contradict: refused descriptions of tasks, and short listings."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from drainer.simulation.aws import Aws
from drainer.simulation.faults.faults import SEEN_SECONDS, Faults
from drainer.simulation.faults.intensity import INTENSITIES
from drainer.simulation.faults.odd_answers import OddAnswers, Refusal
from drainer.simulation.records import ApiError
from drainer.simulation.scenario.trace import Trace

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
