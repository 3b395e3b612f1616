"""
Every call of the function against the role that infra/drainer.yaml gives it.
"""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from parliament import iam_definition

from drainer.aws.records import RecordTable
from drainer.drain import record_codec
from drainer.drain.conditional_write import Condition, Demand, Write
from drainer.drain.model import Drain, LifecycleAction
from drainer.drain.record import DrainRecord, key_of
from drainer.errors import MisconfiguredError
from drainer.simulation.scenario.shipped import role_policy, shipped_stack
from drainer.simulation.services.iam.gate import Gate, requests
from drainer.simulation.services.iam.policy import Policy, Request
from tests.simulation.conftest import CLUSTER, GROUP

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Mapping

    from drainer.simulation.services.cloudformation.custom_resource import CustomResourceRequest
    from drainer.simulation.services.cloudformation.stack_model import RequestType
    from tests.simulation.conftest import World

ACCOUNT_ID, REGION = "123456789012", "us-east-1"
SERVICES = ("autoscaling", "cloudformation", "dynamodb", "ec2", "ecs", "sns")
WRITES = {"UpdateContainerInstancesState", "PutAttributes", "StopTask"}
STATEMENTS = [
    one
    for one in role_policy(shipped_stack(ACCOUNT_ID, REGION)).statements
    if one["Action"].partition(":")[0] in SERVICES
]
# What the two patterns bound; a capacity provider is of an account, and of no cluster.
BOUNDED = [
    one["Action"]
    for one in STATEMENTS
    if one["Action"].startswith(("autoscaling:", "ecs:"))
    and one["Resource"] != "*"
    and one["Action"] != "ecs:DescribeCapacityProviders"
]
SETTINGS = {"sweep_interval_seconds": 300, "custom_resources": True}


def do_all_that_can_be(world: World) -> None:
    """Let the function make every call that it knows."""
    drain_with_all_that_can_be(world)
    answer_all_that_can_be_asked(world)
    keep_a_record(world)


def drain_with_all_that_can_be(world: World) -> None:
    """Let one instance go that is in no cluster, and one that has a task of nobody's."""
    world.group(
        4,
        heartbeat_timeout_seconds=60,
        # What is refused keeps it until its deadline, and passes after the first few are alike.
        metadata={
            "drain_timeout_seconds": 900,
            "standalone_tasks": "stop",
            "standalone_grace_seconds": 30,
        },
    )
    ecs = world.account.ecs
    unregistered = ecs.container_instance(world.oldest)
    assert unregistered
    ecs.deregister(unregistered)
    world.service(2)
    _, leaving = world.scale_in(2)
    ecs.run_standalone("payments", leaving, seconds=None)
    world.until_answered()
    come_back_in_every_way(world)


def come_back_in_every_way(world: World) -> None:
    """Give an instance a new root volume, and another agent with it, beside a warm pool."""
    scaling = world.account.auto_scaling
    group = scaling.groups[GROUP]
    scaling.warm_pools.create(group, minimum=1)
    replaced = next(one for one in group.instances.values() if one.lifecycle_state == "InService")
    scaling.root_volumes.replace(replaced, forgets_agent=True)
    world.until_answered()
    world.run(1200)


def answer_all_that_can_be_asked(world: World) -> None:
    """Guard each kind of target; drain a fleet, and take that back."""
    fleet = world.account.fleets.create(CLUSTER, 2, already_running=True)
    arn = world.account.auto_scaling.groups[GROUP].arn
    world.account.ecs.create_capacity_provider("payments-provider", arn)
    ask(world, "Create", {"AutoScalingGroupName": GROUP})
    ask(world, "Create", {"CapacityProvider": "payments-provider"})
    guarded = {"SpotFleet": fleet.fleet_id}
    ask(world, "Delete", guarded, fleet.fleet_id)
    ask(world, "Update", guarded, fleet.fleet_id)
    world.run(600)


def keep_a_record(world: World) -> None:
    """Write a drain's record, and read it in every way."""
    account = world.account
    account.record_tables.create("drainer-Records")
    table = RecordTable(account.client, "drainer-Records", record_codec)
    action = LifecycleAction(GROUP, "drainer", "i-1", "")
    drain = Drain(action, account.now, account.now)
    record = DrainRecord(key_of(action), 1, 0, "pass", drain, written_at=account.now)
    table.write([Write(record, Condition(Demand.ABSENT))])
    table.read([record.key])
    table.of_instance(["i-1"])
    with suppress(MisconfiguredError):
        table.open_keys()


def ask(
    world: World,
    kind: RequestType,
    target: Mapping[str, str],
    physical_id: str | None = None,
    cluster: str = CLUSTER,
) -> CustomResourceRequest:
    """Ask as CloudFormation does, and wait for the answer as long as it does."""
    properties = {"Cluster": cluster, **target}
    request = world.account.stacks.request(kind, properties, physical_id=physical_id)
    request.by_topic(world.installed.topic)
    world.account.run_until(lambda: not request.is_open, timedelta(hours=2))
    return request


@pytest.fixture
def make_free_world(make_world: Callable[..., World]) -> Callable[[Policy], tuple[World, Gate]]:
    """An account where a policy of the test's own stands before the function."""

    def make(policy: Policy) -> tuple[World, Gate]:
        world = make_world(**SETTINGS)
        gate = Gate(world.account, policy)
        world.account.interceptors[:] = [gate]
        return world, gate

    return make


def unused(policy: Policy, passed: Counter[tuple[str, tuple[str, ...]]]) -> set[str]:
    """What the policy allows of these services and nobody has called."""
    ours = {action for action in policy.actions if action.partition(":")[0] in SERVICES}
    return ours - {action for action, _ in passed}


def test_every_call_is_allowed_by_one_statement_and_nothing_is_allowed_in_vain(
    make_free_world: Callable[[Policy], tuple[World, Gate]],
) -> None:
    # One action too few and a drain is blind for ever; one too many is a gift to an attacker.
    policy = role_policy(shipped_stack(ACCOUNT_ID, REGION))
    world, gate = make_free_world(policy)

    do_all_that_can_be(world)

    assert gate.denied == []
    assert {len(reasons) for _, reasons in gate.passed} == {1}
    assert unused(policy, gate.passed) == set()
    assert world.left_behind == []
    answers = [one.answer for one in world.account.stacks.requests.values()]
    assert [answer and answer["Status"] for answer in answers] == ["SUCCESS"] * 4


@pytest.mark.parametrize("missing", STATEMENTS, ids=lambda one: one["Sid"])
def test_a_statement_that_is_missing_shows(
    make_free_world: Callable[[Policy], tuple[World, Gate]], missing: Any
) -> None:
    # The test above would be worth nothing if it could not fail.
    fewer = Policy(one for one in STATEMENTS if one is not missing)
    world, gate = make_free_world(fewer)

    do_all_that_can_be(world)

    assert {request.action for request in gate.denied} == {missing["Action"]}


def test_an_action_that_nobody_calls_shows(
    make_free_world: Callable[[Policy], tuple[World, Gate]],
) -> None:
    extra = {"Sid": "Extra", "Effect": "Allow", "Action": "ecs:RunTask", "Resource": "*"}
    policy = Policy([*STATEMENTS, extra])
    world, gate = make_free_world(policy)

    do_all_that_can_be(world)

    assert unused(policy, gate.passed) == {"ecs:RunTask"}


def resource_types() -> dict[str, list[str]]:
    """By action, the ARN formats of the resource types that AWS requires for it, or knows."""
    found = {}
    for service in iam_definition:
        if service["prefix"] in SERVICES:
            formats = {one["resource"]: one["arn"] for one in service["resources"]}
            for privilege in service["privileges"]:
                kinds = [one["resource_type"] for one in privilege["resource_types"]]
                required = [kind for kind in kinds if kind.endswith("*")]
                # "If the resource types are optional, then you can choose to use one".
                # https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html
                found[f"{service['prefix']}:{privilege['privilege']}"] = [
                    formats[kind.strip("*")] for kind in required or filter(None, kinds)
                ]
    return found


def test_actions_are_checked_against_the_resources_that_aws_checks_them_against(
    make_world: Callable[..., World],
) -> None:
    # A gate that asks about another resource than AWS lets pass what AWS refuses.
    world = make_world(**SETTINGS)
    do_all_that_can_be(world)
    formats = resource_types()
    asked = [one for call in world.account.calls for one in requests(call, world.account)]

    assert len({request.action for request in asked}) == len(STATEMENTS)
    for request in asked:
        known = formats[request.action]
        if not known:
            assert request.resource == "*"
            continue
        patterns = [re.sub(r"\\\$\\\{.*?\\\}", "[^:]+", re.escape(one)) for one in known]
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


@pytest.mark.parametrize("kind", ["Create", "Delete"])
def test_a_role_for_one_cluster_is_not_led_into_another_by_a_request(
    make_world: Callable[..., World], kind: RequestType
) -> None:
    # Whoever may run a stack names the cluster; what may be drained is for the role to say.
    world = make_world(parameters={"ClusterNamePattern": "payments"}, **SETTINGS)
    fleet = world.account.fleets.create("search", 2, already_running=True)
    physical_id = None if kind == "Create" else fleet.fleet_id
    request = ask(world, kind, {"SpotFleet": fleet.fleet_id}, physical_id, "search")
    cluster = world.account.ecs.clusters["search"]

    assert request.answer is not None
    assert request.answer["Status"] == "FAILED"
    assert {one.status for one in cluster.container_instances.values()} == {"ACTIVE"}
    assert {one.resource.split("/")[1] for one in world.gate.denied} == {"search"}


@pytest.mark.parametrize("action", BOUNDED)
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
