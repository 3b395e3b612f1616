"""
Instance refreshes: how many at once, when they end, and that each instance is drained on its way.

Whether a refresh waits for terminating hooks AWS does not say: what a drain needs holds with both.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from drainer.simulation.aws import Aws
from drainer.simulation.protocol.client import service_model
from drainer.simulation.records import ApiError
from drainer.simulation.scenario.client_requests import Mix, Requests
from drainer.simulation.services.auto_scaling.api import AutoScalingApi
from drainer.simulation.services.auto_scaling.lifecycle import LAUNCHING, LifecycleHook
from tests.simulation.conftest import CLUSTER, GROUP

if TYPE_CHECKING:
    from collections.abc import Callable

    from drainer.simulation.services.auto_scaling.model import Group, Instance
    from tests.simulation.conftest import World

START = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
TEMPLATE = {"LaunchTemplateId": "lt-1", "Version": "2"}
NEW = "lt-1:2"
WaitsOrNot = pytest.mark.parametrize("waits", [True, False], ids=["waits", "goes on"])


@pytest.fixture
def account() -> Aws:
    account = Aws(now=START)
    account.auto_scaling.create_group(
        GROUP, cluster=CLUSTER, desired=4, maximum=10, launch_seconds=60
    )
    return account


@pytest.fixture
def group(account: Aws) -> Group:
    return account.auto_scaling.groups[GROUP]


def api(account: Aws) -> AutoScalingApi:
    """
    Return the operations, past the gate that stands before the function's calls.
    """
    found = account.apis["autoscaling"]
    assert isinstance(found, AutoScalingApi)
    return found


def start(account: Aws, strategy: str = "Rolling", **preferences: Any) -> None:
    api(account).start_instance_refresh(
        {
            "AutoScalingGroupName": GROUP,
            "Strategy": strategy,
            "DesiredConfiguration": {"LaunchTemplate": TEMPLATE},
            "Preferences": preferences,
        }
    )


def cancel(account: Aws, *, wait: bool = True) -> None:
    api(account).cancel_instance_refresh(
        {"AutoScalingGroupName": GROUP, "WaitForTransitioningInstances": wait}
    )


def described(account: Aws) -> dict[str, Any]:
    answer = api(account).describe_instance_refreshes({"AutoScalingGroupName": GROUP})
    newest: dict[str, Any] = answer["InstanceRefreshes"][0]
    return newest


def until_over(account: Aws, hours: float = 3) -> dict[str, Any]:
    account.run_until(lambda: "EndTime" in described(account), timedelta(hours=hours))
    return described(account)


def in_service(group: Group) -> list[Instance]:
    return [one for one in group.instances.values() if one.lifecycle_state == "InService"]


def bounds(account: Aws, group: Group) -> tuple[int, int]:
    """
    Run the refresh to its end; return the fewest in service, and the most that there were.
    """
    seen: list[tuple[int, int]] = []

    def look() -> bool:
        alive = [one for one in group.instances.values() if "Terminat" not in one.lifecycle_state]
        seen.append((len(in_service(group)), len(alive)))
        return "EndTime" in described(account)

    account.run_until(look, timedelta(hours=3))
    return min(few for few, _ in seen), max(many for _, many in seen)


@pytest.mark.parametrize(
    ("least", "most", "expected"),
    [
        # Launch first, two at a time.
        (100, 150, (4, 6)),
        # Both bounds leave no room: one more for a while.
        (100, 100, (4, 5)),
        # Nothing is launched first where no maximum is given.
        (50, None, (2, 4)),
        (90, None, (3, 4)),
        (0, None, (0, 4)),
    ],
)
def test_a_refresh_keeps_within_its_bounds(
    account: Aws, group: Group, least: int, most: int | None, expected: tuple[int, int]
) -> None:
    # A simulation that replaces all at once would show drains that no refresh begins.
    maximum: dict[str, Any] = {} if most is None else {"MaxHealthyPercentage": most}
    start(account, MinHealthyPercentage=least, InstanceWarmup=30, **maximum)

    assert bounds(account, group) == expected
    assert described(account)["Status"] == "Successful"
    assert described(account)["PercentageComplete"] == 100
    account.run_for(60)
    assert {one.launch_template for one in group.instances.values()} == {NEW}
    assert len(group.instances) == group.desired


def test_a_new_instance_counts_after_its_warmup(account: Aws, group: Group) -> None:
    # One that counts at once lets the old one go before its agent has joined.
    start(account, MinHealthyPercentage=100, MaxHealthyPercentage=125, InstanceWarmup=300)
    account.run_for(60 + 299)
    assert described(account)["PercentageComplete"] == 0
    assert len(in_service(group)) == 5

    account.run_for(2)

    assert described(account)["PercentageComplete"] == 25
    assert len(in_service(group)) == 4


def test_what_matches_already_is_skipped(account: Aws, group: Group) -> None:
    start(account, MinHealthyPercentage=0)
    until_over(account)
    before = set(group.instances)

    start(account, MinHealthyPercentage=0, SkipMatching=True)

    assert until_over(account)["Status"] == "Successful"
    assert set(group.instances) == before


@WaitsOrNot
def test_the_hook_holds_the_next_instances_back_or_does_not(
    account: Aws, group: Group, *, waits: bool
) -> None:
    # The two readings of AWS's silence: one drain after the other, or a new one with each warm-up.
    account.auto_scaling.refreshes.waits_for_hooks = waits
    account.auto_scaling.put_hook(LifecycleHook("drainer", GROUP, heartbeat_timeout_seconds=7_200))
    start(account, MinHealthyPercentage=100, MaxHealthyPercentage=125, InstanceWarmup=30)

    account.run_for(3_600)

    leaving = [one for one in group.instances.values() if one.waits_to_leave]
    assert len(leaving) == (1 if waits else 4)
    # A long drain fails no refresh: it is not among the reasons that AWS names.
    assert described(account)["Status"] == ("InProgress" if waits else "Successful")


def test_a_launch_that_never_ends_fails_the_refresh_after_an_hour(
    account: Aws, group: Group
) -> None:
    account.auto_scaling.put_hook(
        LifecycleHook("warm-up", GROUP, LAUNCHING, heartbeat_timeout_seconds=7_200)
    )
    old = set(group.instances)
    start(account, MinHealthyPercentage=100, MaxHealthyPercentage=125)

    assert until_over(account)["Status"] == "Failed"
    assert old <= set(group.instances)
    assert described(account)["EndTime"] - START == timedelta(hours=1)


@pytest.mark.parametrize("wait", [True, False])
def test_a_refresh_that_is_cancelled_begins_nothing_more(
    account: Aws, group: Group, *, wait: bool
) -> None:
    # "true": until what has begun is over, for groups with long drains "false".
    account.auto_scaling.put_hook(LifecycleHook("drainer", GROUP, heartbeat_timeout_seconds=600))
    start(account, MinHealthyPercentage=75)
    account.run_for(1)
    cancel(account, wait=wait)
    account.run_for(1)

    assert described(account)["Status"] == ("Cancelling" if wait else "Cancelled")
    assert until_over(account)["StatusReason"] == "Cancelled due to user request."
    account.run_for(3_600)
    assert [one.launch_template for one in group.instances.values()].count(NEW) == 1


def test_one_refresh_at_a_time(account: Aws) -> None:
    start(account)
    with pytest.raises(ApiError) as second:
        start(account)
    until_over(account)
    with pytest.raises(ApiError) as none:
        cancel(account)

    assert (second.value.code, none.value.code) == (
        "InstanceRefreshInProgress",
        "ActiveInstanceRefreshNotFound",
    )


@pytest.mark.parametrize(
    "preferences",
    [
        {"MaxHealthyPercentage": 150},
        {"MinHealthyPercentage": 20, "MaxHealthyPercentage": 150},
        {"BakeTime": 60},
    ],
)
def test_what_aws_refuses_or_the_simulation_has_not_is_refused(
    account: Aws, preferences: dict[str, Any]
) -> None:
    # A preference that is ignored makes a refresh look safer than it was.
    with pytest.raises(ApiError, match=r"Healthy|does not know"):
        start(account, **preferences)


def test_event_bridge_is_told_of_begin_and_end(account: Aws) -> None:
    events: list[dict[str, Any]] = []
    account.on_event.append(events.append)
    start(account, MinHealthyPercentage=0)
    until_over(account)

    words = [
        one["detail-type"].rpartition(" ")[2] for one in events if "Refresh" in one["detail-type"]
    ]
    assert words == ["Started", "Succeeded"]


def test_the_answers_have_awss_shape(account: Aws) -> None:
    start(account, MinHealthyPercentage=100, MaxHealthyPercentage=110)
    until_over(account)
    shape = service_model("autoscaling").shape_for("InstanceRefresh")

    assert set(described(account)) <= set(shape.members)
    assert described(account)["Status"] in shape.members["Status"].enum


# -- with the drainer


def refreshed(world: World, strategy: str, *, waits: bool, **preferences: Any) -> Requests:
    """
    Refresh a group with a service and a daemon under requests, to the end of its last drain.
    """
    world.group(4, launch_seconds=60)
    world.account.auto_scaling.refreshes.waits_for_hooks = waits
    world.service(8, deregistration_delay_seconds=60)
    world.account.ecs.create_daemon(CLUSTER, "agent")
    (service,) = (
        one for one in world.account.ecs.clusters[CLUSTER].services.values() if one.balanced
    )
    stream = Requests(world.account, service.balanced[0].target_group, Mix())
    stream.start()
    world.run(60)
    start(world.account, strategy, InstanceWarmup=60, **preferences)
    until_over(world.account, hours=12)
    world.until_answered()
    # A sweep interval and a pass.
    world.run(330)
    stream.stop()
    world.run(60)
    return stream


@WaitsOrNot
def test_a_rolled_group_cuts_no_request_and_every_instance_is_new(
    world: World, *, waits: bool
) -> None:
    # What a stack update with a newer image comes to; the promise must hold with both readings.
    stream = refreshed(
        world, "Rolling", waits=waits, MinHealthyPercentage=100, MaxHealthyPercentage=150
    )
    group = world.account.auto_scaling.groups[GROUP]
    actions = list(world.account.auto_scaling.actions)

    assert described(world.account)["Status"] == "Successful"
    assert [one.launch_template for one in group.instances.values()] == [NEW] * 4
    assert [(one.ended_by, one.result) for one in actions] == [("completed", "CONTINUE")] * 4
    assert world.left_behind == []
    assert world.killed == []
    assert (stream.cut, stream.unserved) == ([], 0)
    assert stream.served > 300


@pytest.mark.parametrize("forgets", [True, False], ids=["forgets", "keeps"])
def test_new_root_volumes_are_drained_for_and_serve_again(
    make_world: Callable[..., World], *, forgets: bool
) -> None:
    # An instance that comes back DRAINING serves nothing, and the group gets smaller with each.
    # What comes back as it was, DRAINING, the sweep sets ACTIVE.
    world = make_world(sweep_interval_seconds=300)
    world.account.auto_scaling.refreshes.volumes_forget_agents = forgets
    stream = refreshed(world, "ReplaceRootVolume", waits=True, MinHealthyPercentage=75)
    group = world.account.auto_scaling.groups[GROUP]
    serving = [
        one.status
        for one in world.account.ecs.clusters[CLUSTER].container_instances.values()
        if one.agent_connected
    ]

    assert described(world.account)["Status"] == "Successful"
    assert [one.launch_template for one in group.instances.values()] == [NEW] * 4
    assert len(world.account.auto_scaling.actions) == 4
    assert serving == ["ACTIVE"] * 4
    assert world.left_behind == []
    assert (stream.cut, stream.unserved) == ([], 0)
