"""
Every call of the function against the role that infra/drainer.yaml gives it.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from parliament import iam_definition

from drainer.simulation.policy import Gate, Policy, Request, requests, role_policy, shipped_stack

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable

    from tests.simulation.conftest import World

ACCOUNT_ID, REGION = "123456789012", "us-east-1"
SERVICES = ("autoscaling", "ecs", "sns")
WRITES = {"UpdateContainerInstancesState", "PutAttributes", "StopTask"}
STATEMENTS = [
    one
    for one in role_policy(shipped_stack(ACCOUNT_ID, REGION)).statements
    if one["Action"].partition(":")[0] in SERVICES
]


def drain_with_all_that_can_be(world: World) -> None:
    """Let one instance go that is in no cluster, and one that has a task of nobody's."""
    world.group(
        heartbeat_timeout_seconds=60,
        metadata={"standalone_tasks": "stop", "standalone_grace_seconds": 30},
    )
    ecs = world.account.ecs
    unregistered = ecs.container_instance(world.oldest)
    assert unregistered
    ecs.deregister(unregistered)
    world.service(2)
    _, leaving = world.scale_in(2)
    ecs.run_standalone("payments", leaving, seconds=None)
    world.until_answered()


@pytest.fixture
def make_free_world(make_world: Callable[..., World]) -> Callable[[Policy], tuple[World, Gate]]:
    """An account where a policy of the test's own stands before the function."""

    def make(policy: Policy) -> tuple[World, Gate]:
        world = make_world(sweep_interval_seconds=300)
        gate = Gate(world.account, policy)
        world.account.interceptors[:] = [gate]
        return world, gate

    return make


def unused(policy: Policy, passed: Counter[tuple[str, tuple[str, ...]]]) -> set[str]:
    """What the policy allows of the three services and nobody has called."""
    ours = {action for action in policy.actions if action.partition(":")[0] in SERVICES}
    return ours - {action for action, _ in passed}


def test_every_call_is_allowed_by_one_statement_and_nothing_is_allowed_in_vain(
    make_free_world: Callable[[Policy], tuple[World, Gate]],
) -> None:
    # One action too few and a drain is blind for ever; one too many is a gift to an attacker.
    policy = role_policy(shipped_stack(ACCOUNT_ID, REGION))
    world, gate = make_free_world(policy)

    drain_with_all_that_can_be(world)

    assert gate.denied == []
    assert {len(reasons) for _, reasons in gate.passed} == {1}
    assert unused(policy, gate.passed) == set()
    assert world.left_behind == []


@pytest.mark.parametrize("missing", STATEMENTS, ids=lambda one: one["Sid"])
def test_a_statement_that_is_missing_shows(
    make_free_world: Callable[[Policy], tuple[World, Gate]], missing: Any
) -> None:
    # The test above would be worth nothing if it could not fail.
    fewer = Policy(one for one in STATEMENTS if one is not missing)
    world, gate = make_free_world(fewer)

    drain_with_all_that_can_be(world)

    assert {request.action for request in gate.denied} == {missing["Action"]}


def test_an_action_that_nobody_calls_shows(
    make_free_world: Callable[[Policy], tuple[World, Gate]],
) -> None:
    extra = {"Sid": "Extra", "Effect": "Allow", "Action": "ecs:RunTask", "Resource": "*"}
    policy = Policy([*STATEMENTS, extra])
    world, gate = make_free_world(policy)

    drain_with_all_that_can_be(world)

    assert unused(policy, gate.passed) == {"ecs:RunTask"}


def resource_types() -> dict[str, list[str]]:
    """By action, the ARN formats of the resource types that AWS requires for it."""
    found = {}
    for service in iam_definition:
        if service["prefix"] in SERVICES:
            formats = {one["resource"]: one["arn"] for one in service["resources"]}
            for privilege in service["privileges"]:
                kinds = [one["resource_type"] for one in privilege["resource_types"]]
                required = [formats[kind.strip("*")] for kind in kinds if kind.endswith("*")]
                found[f"{service['prefix']}:{privilege['privilege']}"] = required
    return found


def test_actions_are_checked_against_the_resources_that_aws_checks_them_against(
    world: World,
) -> None:
    # A gate that asks about another resource than AWS lets pass what AWS refuses.
    drain_with_all_that_can_be(world)
    formats = resource_types()
    asked = [one for call in world.account.calls for one in requests(call, world.account)]

    assert len({request.action for request in asked}) == len(STATEMENTS)
    for request in asked:
        required = formats[request.action]
        if not required:
            assert request.resource == "*"
            continue
        patterns = [re.sub(r"\\\$\\\{.*?\\\}", "[^:]+", re.escape(one)) for one in required]
        assert any(re.fullmatch(pattern, request.resource) for pattern in patterns), request


def two_clusters(make_world: Callable[..., World], clusters: str) -> World:
    """An account whose role may touch cluster payments, and where search leaves as well."""
    world = make_world(
        {"DRAINER_CLUSTERS": clusters},
        parameters={"ClusterNamePattern": "payments"},
        sweep_interval_seconds=300,
        fast_path=True,
    )
    world.group(metadata={"drain_timeout_seconds": 3000})
    world.service()
    scaling = world.account.auto_scaling
    scaling.create_group("search-asg", cluster="search", desired=2)
    world.account.ecs.create_service("search", "index", desired=2)
    hook = world.hook()
    scaling.put_hook(
        type(hook)("drainer", "search-asg", notification_target_arn=world.installed.topic.arn)
    )
    scaling.scale_in("search-asg", 1)
    return world


@pytest.mark.parametrize("clusters", ["payments", "payments,search", ""])
def test_a_role_for_one_cluster_drains_there_and_touches_no_other(
    make_world: Callable[..., World], clusters: str
) -> None:
    # Who lets the drainer into one team's clusters has not let it into all.
    world = two_clusters(make_world, clusters)
    [leaving] = world.scale_in()
    action = next(
        one for one in world.account.auto_scaling.actions if one.ec2_instance_id == leaving
    )
    world.account.run_until(lambda: not action.is_open, timedelta(hours=2))

    assert (action.result, action.ended_by) == ("CONTINUE", "completed")
    assert world.last_stopped_seconds(leaving) <= world.seconds(action.ended_at)
    done = {
        call.parameters["cluster"].rpartition("/")[2]
        for call in world.account.calls
        if call.operation in WRITES and call.error is None
    }
    assert done == {"payments"}
    assert {request.resource.split("/")[1] for request in world.gate.denied} == {"search"}
    assert all(
        one.status == "ACTIVE"
        for one in world.account.ecs.clusters["search"].container_instances.values()
    )


@pytest.mark.parametrize(
    "action",
    [one["Action"] for one in STATEMENTS if one["Resource"] != "*" and "sns:" not in one["Action"]],
)
def test_patterns_bound_each_action_by_itself(action: str) -> None:
    # What one action cannot reach, another must not reach by an ARN from a false message.
    stack = shipped_stack(
        ACCOUNT_ID, REGION, ClusterNamePattern="payments", AutoScalingGroupNamePattern="payments"
    )
    policy = role_policy(stack)
    place = f"{REGION}:{ACCOUNT_ID}"
    of_groups = f"arn:aws:autoscaling:{place}:autoScalingGroup:1:autoScalingGroupName"
    kinds = ("cluster", "container-instance", "task")

    def reach(name: str) -> list[str]:
        places = [f"arn:aws:ecs:{place}:{kind}/{name}" for kind in kinds]
        places += [f"{one}/1" for one in places]
        return [
            one for one in [*places, f"{of_groups}/{name}"] if policy.allowing(Request(action, one))
        ]

    assert reach("payments")
    assert reach("search") == reach("payments-2") == reach("my-payments") == []
