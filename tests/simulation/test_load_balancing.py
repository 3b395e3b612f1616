"""Targets drain for their deregistration delay, then vanish."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import ClientError

from drainer.simulation.aws import Aws
from drainer.simulation.services.ecs.definitions import TaskProfile

if TYPE_CHECKING:
    from drainer.simulation.protocol.client import InProcessClient
    from drainer.simulation.services.elb.target_groups import TargetGroup

START = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


@pytest.fixture
def account() -> Aws:
    return Aws(now=START)


@pytest.fixture
def group(account: Aws) -> TargetGroup:
    return account.load_balancing.create_target_group(
        "web", target_type="ip", port=8080, deregistration_delay_seconds=120
    )


@pytest.fixture
def balancing(account: Aws) -> InProcessClient:
    return account.client("elbv2")


def states(balancing: InProcessClient, group: TargetGroup) -> dict[str, str]:
    health = balancing.describe_target_health(TargetGroupArn=group.arn)
    return {
        one["Target"]["Id"]: one["TargetHealth"]["State"]
        for one in health["TargetHealthDescriptions"]
    }


def test_a_target_becomes_healthy_drains_for_the_delay_and_vanishes(
    account: Aws, balancing: InProcessClient, group: TargetGroup
) -> None:
    where = {"TargetGroupArn": group.arn, "Targets": [{"Id": "10.0.0.1"}]}
    balancing.register_targets(**where)
    assert states(balancing, group) == {"10.0.0.1": "initial"}
    account.run_for(10)
    assert states(balancing, group) == {"10.0.0.1": "healthy"}

    balancing.deregister_targets(**where)
    account.run_for(119)
    assert states(balancing, group) == {"10.0.0.1": "draining"}
    account.run_for(1)
    assert states(balancing, group) == {}


# moto and ministack forget a target at once; whoever waits for `draining` would never see it.
def test_a_target_that_is_gone_is_unused_when_asked_for(
    balancing: InProcessClient, group: TargetGroup
) -> None:
    answer = balancing.describe_target_health(
        TargetGroupArn=group.arn, Targets=[{"Id": "10.0.0.9"}]
    )

    (described,) = answer["TargetHealthDescriptions"]
    assert described["TargetHealth"]["State"] == "unused"
    assert described["TargetHealth"]["Reason"] == "Target.NotRegistered"


def test_deregistering_twice_does_not_begin_the_delay_again(
    account: Aws, balancing: InProcessClient, group: TargetGroup
) -> None:
    where = {"TargetGroupArn": group.arn, "Targets": [{"Id": "10.0.0.1", "Port": 9000}]}
    balancing.register_targets(**where)
    balancing.deregister_targets(**where)
    account.run_for(60)
    balancing.deregister_targets(**where)
    account.run_for(60)

    assert states(balancing, group) == {}


# A port override must be given again, or the wrong target, or none, is drained.
def test_the_port_is_part_of_a_target_s_name(
    account: Aws, balancing: InProcessClient, group: TargetGroup
) -> None:
    balancing.register_targets(TargetGroupArn=group.arn, Targets=[{"Id": "10.0.0.1", "Port": 9000}])
    balancing.deregister_targets(TargetGroupArn=group.arn, Targets=[{"Id": "10.0.0.1"}])
    account.run_for(300)

    assert states(balancing, group) == {"10.0.0.1": "healthy"}


def test_an_ip_registered_anew_while_draining_is_a_new_target(
    account: Aws, balancing: InProcessClient, group: TargetGroup
) -> None:
    where = {"TargetGroupArn": group.arn, "Targets": [{"Id": "10.0.0.1"}]}
    balancing.register_targets(**where)
    balancing.deregister_targets(**where)
    account.run_for(60)
    balancing.register_targets(**where)
    account.run_for(120)

    assert states(balancing, group) == {"10.0.0.1": "healthy"}


def test_target_groups_are_found_by_name_and_tell_their_delay(
    balancing: InProcessClient, group: TargetGroup
) -> None:
    (found,) = balancing.describe_target_groups(Names=["web"])["TargetGroups"]
    attributes = balancing.describe_target_group_attributes(TargetGroupArn=group.arn)

    assert found["TargetGroupArn"] == group.arn
    assert attributes["Attributes"] == [
        {"Key": "deregistration_delay.timeout_seconds", "Value": "120"}
    ]


@pytest.mark.parametrize(
    "wrong", [{"Names": ["nobody"]}, {"TargetGroupArns": ["arn:aws:nobody"]}], ids=str
)
def test_an_unknown_target_group_is_an_error(
    balancing: InProcessClient, wrong: dict[str, list[str]]
) -> None:
    with pytest.raises(ClientError, match="TargetGroupNotFound"):
        balancing.describe_target_groups(**wrong)


@pytest.mark.parametrize("mode", ["bridge", "awsvpc"])
def test_a_task_s_target_drains_exactly_while_the_task_is_deactivating(mode: str) -> None:
    account = Aws(now=START)
    account.auto_scaling.create_group("payments-asg", cluster="payments", desired=2)
    profile = TaskProfile(network_mode="awsvpc" if mode == "awsvpc" else "bridge")
    web = account.ecs.create_service("payments", "web", desired=2, profile=profile)
    instance = next(iter(account.ecs.clusters["payments"].container_instances.values()))
    (task,) = instance.remaining_tasks()
    account.ecs.set_status(instance, "DRAINING")
    account.run_until(lambda: task.last_status == "DEACTIVATING", timedelta(hours=1))
    assert web.target_group is not None
    target_states = [
        target.state
        for target in web.target_group.targets.values()
        if target.target_id == task.target_id
    ]
    assert target_states == ["draining"]

    account.run_until(lambda: task.last_status == "STOPPING", timedelta(hours=1))

    ids = [target.target_id for target in web.target_group.targets.values()]
    assert task.target_id not in ids
