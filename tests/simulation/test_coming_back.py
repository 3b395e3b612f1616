"""Instances that leave their group and come back: warm pools, new root volumes, standby."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from drainer.simulation.aws import Aws
from drainer.simulation.checkers.returns import Returns
from drainer.simulation.checkers.safety import Safety
from drainer.simulation.scenario.promises import Promise
from drainer.simulation.services.auto_scaling import agents, standby
from drainer.simulation.services.auto_scaling.lifecycle import LAUNCHING, TERMINATING, LifecycleHook
from drainer.simulation.services.dynamodb.record_table import Version
from drainer.simulation.services.ecs.definitions import TaskProfile

if TYPE_CHECKING:
    from collections.abc import Callable

    from drainer.simulation.records import Notification
    from drainer.simulation.services.auto_scaling.model import Group, Instance

START = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
GROUP, CLUSTER = "payments-asg", "payments"


@pytest.fixture
def account() -> Aws:
    account = Aws(now=START)
    account.auto_scaling.create_group(GROUP, cluster=CLUSTER, desired=2, launch_seconds=60)
    return account


@pytest.fixture
def group(account: Aws) -> Group:
    return account.auto_scaling.groups[GROUP]


@pytest.fixture
def said(account: Aws) -> list[Notification]:
    """The notifications of lifecycle actions."""
    said: list[Notification] = []
    account.on_notification.append(said.append)
    return said


@pytest.fixture
def events(account: Aws) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = []
    account.on_event.append(events.append)
    return events


def hook(account: Aws, transition: str = TERMINATING, **given: Any) -> None:
    target = "arn:aws:sns:us-east-1:123456789012:drainer"
    name = transition.rpartition("_")[2].lower()
    account.auto_scaling.put_hook(
        LifecycleHook(name, GROUP, transition, notification_target_arn=target, **given)
    )


def answer(account: Aws, instance: Instance, result: Any = "CONTINUE") -> None:
    for action in [*instance.actions]:
        account.auto_scaling.lifecycle.end(action, result, "completed")


def states(account: Aws, instance: Instance) -> list[str]:
    """The states that an instance has gone through since it was in service."""
    facts = account.facts("lifecycle_state", ec2_instance_id=instance.ec2_instance_id)
    return [fact.about["state"] for fact in facts][1:]


def first(group: Group) -> Instance:
    return next(iter(group.instances.values()))


def registered(account: Aws, instance: Instance) -> list[tuple[str, bool]]:
    """The status of each registration of an EC2 instance, and whether its agent is connected."""
    return [
        (one.status, one.agent_connected)
        for one in account.ecs.clusters[CLUSTER].container_instances.values()
        if one.ec2_instance_id == instance.ec2_instance_id
    ]


def drain(account: Aws, instance: Instance) -> str:
    container_instance = account.ecs.container_instance(instance.ec2_instance_id)
    assert container_instance is not None
    account.ecs.set_status(container_instance, "DRAINING")
    return container_instance.arn


# https://docs.aws.amazon.com/autoscaling/ec2/userguide/lifecycle-hooks-overview.html
def test_a_launched_instance_waits_for_the_launching_hooks(
    account: Aws, group: Group, said: list[Notification], events: list[dict[str, Any]]
) -> None:
    hook(account, LAUNCHING)
    account.auto_scaling.set_desired(group, 3)
    account.run_for(61)
    *_, launched = group.instances.values()
    assert launched.lifecycle_state == "Pending:Wait"
    assert not launched.waits_to_leave
    # Its agent is up meanwhile.
    assert registered(account, launched) == [("ACTIVE", True)]

    answer(account, launched)

    assert states(account, launched) == ["Pending:Proceed", "InService"]
    assert said[-1].subject.startswith("Auto Scaling:  Lifecycle action 'LAUNCHING'")
    message = said[-1].message
    assert (message["Origin"], message["Destination"]) == ("EC2", "AutoScalingGroup")
    assert message["LifecycleTransition"] == LAUNCHING
    names = [event["detail-type"] for event in events if event["source"] == "aws.autoscaling"]
    assert names == ["EC2 Instance-launch Lifecycle Action"]


def test_an_abandoned_launch_ends_and_is_replaced(account: Aws, group: Group) -> None:
    hook(account, LAUNCHING)
    account.auto_scaling.set_desired(group, 3)
    account.run_for(61)
    *_, launched = group.instances.values()

    answer(account, launched, "ABANDON")
    account.run_for(10)

    assert launched.lifecycle_state == "Terminated"
    assert len(group.instances) == 3


# "ABANDON for launching instances, CONTINUE for terminating instances"
# https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_DeleteLifecycleHook.html
def test_deleting_a_launching_hook_abandons_its_actions(account: Aws, group: Group) -> None:
    hook(account, LAUNCHING)
    account.auto_scaling.set_desired(group, 3)
    account.run_for(61)
    *_, launched = group.instances.values()

    account.auto_scaling.delete_hook(group.hooks["launching"])

    assert [action.result for action in launched.past] == ["ABANDON"]


# Taken for no wait state, its tasks are cut when it stops, and it comes back DRAINING.
# https://docs.aws.amazon.com/autoscaling/ec2/userguide/warm-pool-instance-lifecycle.html
def test_an_instance_goes_back_to_its_pool_through_the_terminating_hooks(
    account: Aws, group: Group, said: list[Notification]
) -> None:
    hook(account)
    account.auto_scaling.warm_pools.create(group, minimum=0, reuse=True)
    task = account.ecs.run_standalone(CLUSTER, first(group).ec2_instance_id)
    (instance,) = account.auto_scaling.scale_in(GROUP)
    drain(account, instance)
    assert instance.waits_to_leave
    message = said[-1].message
    assert (message["Origin"], message["Destination"]) == ("AutoScalingGroup", "WarmPool")
    assert message["LifecycleTransition"] == TERMINATING

    answer(account, instance)
    account.run_for(10)

    assert states(account, instance) == [
        "Warmed:Pending",
        "Warmed:Pending:Wait",
        "Warmed:Pending:Proceed",
        "Warmed:Stopped",
    ]
    (released,) = account.facts("released")
    assert released.about["destination"] == "WarmPool"
    assert len(released.about["remaining"]) == 1
    assert [fact.about["task_id"] for fact in account.facts("killed")] == [task.task_id]
    assert registered(account, instance) == [("DRAINING", False)]


# It is DRAINING as it was: until somebody sets it ACTIVE it takes no task.
def test_an_instance_comes_out_of_its_pool_as_the_container_instance_that_it_was(
    account: Aws, group: Group, events: list[dict[str, Any]], said: list[Notification]
) -> None:
    hook(account)
    account.auto_scaling.warm_pools.create(group, minimum=0, reuse=True)
    (instance,) = account.auto_scaling.scale_in(GROUP)
    arn = drain(account, instance)
    answer(account, instance)
    account.run_for(10)
    events.clear()
    hook(account, LAUNCHING)

    account.auto_scaling.set_desired(group, 2)
    account.run_for(60)
    answer(account, instance)

    assert states(account, instance)[4:] == [
        "Pending",
        "Pending:Wait",
        "Pending:Proceed",
        "InService",
    ]
    assert said[-1].message["Origin"] == "WarmPool"
    assert registered(account, instance) == [("DRAINING", True)]
    (event,) = [one for one in events if "Container Instance" in one["detail-type"]]
    assert (event["resources"], event["detail"]["status"]) == ([arn], "DRAINING")
    assert event["detail"]["agentConnected"]


def test_a_pool_that_keeps_its_instances_running_kills_nothing(account: Aws, group: Group) -> None:
    account.auto_scaling.warm_pools.create(group, state="Running", minimum=0, reuse=True)
    task = account.ecs.run_standalone(CLUSTER, first(group).ec2_instance_id)
    (instance,) = account.auto_scaling.scale_in(GROUP)
    account.run_for(60)

    assert instance.lifecycle_state == "Warmed:Running"
    assert task.last_status == "RUNNING"


def test_without_reuse_an_instance_of_a_group_with_a_pool_terminates(
    account: Aws, group: Group
) -> None:
    account.auto_scaling.warm_pools.create(group, minimum=1)
    (instance,) = account.auto_scaling.scale_in(GROUP)
    account.run_for(60)

    assert states(account, instance) == ["Terminating:Proceed", "Terminated"]


def test_what_is_taken_from_the_pool_is_launched_into_it_again_behind_the_launching_hooks(
    account: Aws, group: Group, said: list[Notification]
) -> None:
    hook(account, LAUNCHING)
    account.auto_scaling.warm_pools.create(group, minimum=1)
    *_, pooled = group.instances.values()
    account.auto_scaling.set_desired(group, 3)
    account.run_for(61)
    *_, fresh = group.instances.values()

    assert pooled.lifecycle_state == "Pending:Wait"
    assert states(account, fresh)[-1] == "Warmed:Pending:Wait"
    # The same state as of an instance on its way back, and no reason to drain anything.
    assert not fresh.waits_to_leave
    assert said[-1].message["Destination"] == "WarmPool"
    answer(account, fresh)
    assert states(account, fresh)[-1] == "Warmed:Stopped"


def test_a_pooled_instance_terminates_through_states_of_its_own(
    account: Aws, group: Group, said: list[Notification]
) -> None:
    hook(account)
    account.auto_scaling.warm_pools.create(group, minimum=1)
    *_, pooled = group.instances.values()

    account.auto_scaling.terminate(pooled, decrement=False)
    assert pooled.waits_to_leave
    answer(account, pooled)
    account.run_for(10)

    message = said[-1].message
    assert (message["Origin"], message["Destination"]) == ("WarmPool", "EC2")
    assert states(account, pooled) == [
        "Warmed:Terminating:Wait",
        "Warmed:Terminating:Proceed",
        "Warmed:Terminated",
    ]


# https://docs.aws.amazon.com/autoscaling/ec2/userguide/instance-lifecycle-policy.html
def test_an_abandoned_return_is_retained_where_the_group_says_so(
    account: Aws, group: Group
) -> None:
    hook(account)
    group.retain_on_abandon = True
    account.auto_scaling.warm_pools.create(group, minimum=0, reuse=True)
    (instance,) = account.auto_scaling.scale_in(GROUP)
    answer(account, instance, "ABANDON")
    assert states(account, instance)[-1] == "Warmed:Pending:Retained"

    account.auto_scaling.terminate(instance, decrement=False)

    assert states(account, instance)[-1] == "Warmed:Terminating:Wait"
    assert len({action.token for action in instance.past}) == 2


# The answer to the description by group holds none of them; the one by instance does.
# https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_DescribeWarmPool.html
def test_a_group_s_description_leaves_out_its_pool(account: Aws, group: Group) -> None:
    hook(account)
    account.auto_scaling.warm_pools.create(group, minimum=1, reuse=True)
    (instance,) = account.auto_scaling.scale_in(GROUP)
    scaling = account.client("autoscaling")

    (described,) = scaling.describe_auto_scaling_groups()["AutoScalingGroups"]
    rows = scaling.describe_auto_scaling_instances()["AutoScalingInstances"]

    assert described["WarmPoolSize"] == 2
    assert len(described["Instances"]) == 1
    assert {row["InstanceId"]: row["LifecycleState"] for row in rows}[
        instance.ec2_instance_id
    ] == "Warmed:Pending:Wait"


# No wait state to a drainer that knows one only: the volume goes under running tasks.
# https://docs.aws.amazon.com/autoscaling/ec2/userguide/replace-root-volume.html
def test_a_root_volume_is_replaced_after_the_terminating_hooks(account: Aws, group: Group) -> None:
    hook(account)
    hook(account, LAUNCHING)
    instance = first(group)
    task = account.ecs.run_standalone(CLUSTER, instance.ec2_instance_id)
    drain(account, instance)

    account.auto_scaling.root_volumes.replace(instance, seconds=90)
    assert instance.lifecycle_state == "ReplacingRootVolume:Wait"
    assert instance.waits_to_leave
    answer(account, instance)
    account.run_for(91)
    answer(account, instance)

    assert states(account, instance) == [
        "ReplacingRootVolume",
        "ReplacingRootVolume:Wait",
        "ReplacingRootVolume:Proceed",
        "RootVolumeReplaced",
        "Pending",
        "Pending:Wait",
        "Pending:Proceed",
        "InService",
    ]
    (released,) = account.facts("released")
    assert released.about["destination"] == "AutoScalingGroup"
    assert [fact.about["task_id"] for fact in account.facts("killed")] == [task.task_id]
    assert len(group.instances) == 2


# https://docs.aws.amazon.com/autoscaling/ec2/userguide/instance-refresh-eventbridge-events.html
@pytest.mark.parametrize("told", [True, False])
def test_the_event_of_a_root_volume_says_so_and_the_notification_perhaps(
    account: Aws,
    group: Group,
    said: list[Notification],
    events: list[dict[str, Any]],
    told: bool,
) -> None:
    hook(account)

    account.auto_scaling.root_volumes.replace(first(group), told=told)

    assert said[-1].message.get("Action") == ("ReplaceRootVolume" if told else None)
    (detail,) = [e["detail"] for e in events if e["source"] == "aws.autoscaling"]
    assert detail["Action"] == "ReplaceRootVolume"
    assert (detail["Origin"], detail["Destination"]) == ("AutoScalingGroup", "AutoScalingGroup")


# Be right whether the agent's state goes with the volume or not: AWS does not say.
@pytest.mark.parametrize(
    ("forgets_agent", "expected"),
    [(True, [("DRAINING", False), ("ACTIVE", True)]), (False, [("DRAINING", True)])],
    ids=["registers anew", "reconnects"],
)
def test_the_same_instance_boots_from_its_new_volume(
    account: Aws, group: Group, forgets_agent: bool, expected: list[tuple[str, bool]]
) -> None:
    hook(account)
    instance = first(group)
    drain(account, instance)
    account.auto_scaling.root_volumes.replace(instance, forgets_agent=forgets_agent)
    answer(account, instance)
    account.run_for(91)

    assert instance.lifecycle_state == "InService"
    assert registered(account, instance) == expected


# Deregistering what is left over must not take the instance's new registration with it.
def test_the_old_registration_goes_alone(account: Aws, group: Group) -> None:
    instance = first(group)
    old = drain(account, instance)
    account.auto_scaling.root_volumes.replace(instance)
    account.run_for(91)

    account.client("ecs").deregister_container_instance(
        cluster=CLUSTER, containerInstance=old, force=True
    )

    assert registered(account, instance) == [("ACTIVE", True)]
    assert account.ecs.container_instance(instance.ec2_instance_id) is not None


# "If root volume replacement fails for an instance, Auto Scaling marks that instance for
# termination and replaces it": what answered the first token has to answer a second.
def test_a_replacement_that_fails_begins_a_second_action(account: Aws, group: Group) -> None:
    hook(account)
    instance = first(group)
    account.auto_scaling.root_volumes.replace(instance, fails=True)
    answer(account, instance)
    account.run_for(91)

    assert states(account, instance)[-1] == "Terminating:Wait"
    assert len({action.token for action in instance.past}) == 2
    assert [action.is_open for action in instance.past] == [False, True]
    assert sum(one.lifecycle_state == "Pending" for one in group.instances.values()) == 1


# https://docs.aws.amazon.com/autoscaling/ec2/userguide/as-enter-exit-standby.html
def test_standby_meets_no_hook_on_either_way(account: Aws, group: Group) -> None:
    hook(account)
    hook(account, LAUNCHING)
    instance = first(group)

    standby.enter(account.auto_scaling, instance)
    account.run_for(90)
    # Nothing is launched in its place where the desired capacity is lower meanwhile.
    assert (len(group.instances), group.desired) == (2, 1)
    standby.leave(account.auto_scaling, instance)
    account.run_for(60)

    assert states(account, instance) == ["EnteringStandby", "Standby", "Pending", "InService"]
    assert instance.past == []
    assert (len(group.instances), group.desired) == (2, 2)


def watched(
    account: Aws,
    drained: set[str],
    *,
    told: bool = True,
    ceased_at: Callable[[], datetime] = lambda: START,
) -> tuple[Returns, list[str]]:
    """Watch what comes back; return what it has to say, too."""
    violated: list[str] = []
    returns = Returns(
        account,
        SimpleNamespace(promise=lambda _: Promise(ours=True), pass_interval_seconds=0),  # type: ignore[arg-type]
        ceased_at,
        lambda at: at + timedelta(seconds=400),
        drained,
        lambda *_: told,
        lambda _, sentence: violated.append(sentence.partition(", and ")[2]),
    )
    return returns, violated


# A drainer that sets DRAINING, and nobody ACTIVE, leaves a group that takes no tasks.
@pytest.mark.parametrize(
    ("forgets_agent", "does", "told", "sentences"),
    [
        (False, "nothing", True, ["its container instance is still DRAINING"]),
        (False, "activates", True, []),
        (True, "nothing", True, ["its old registration is left behind"]),
        (True, "deregisters", True, []),
        # Nothing says that it was the drainer: the table was out of reach.
        (False, "nothing", False, []),
    ],
)
def test_what_comes_back_must_serve_again_within_a_sweep(
    account: Aws,
    group: Group,
    *,
    forgets_agent: bool,
    does: str,
    told: bool,
    sentences: list[str],
) -> None:
    hook(account)
    instance = first(group)
    drained = drain(account, instance)
    returns, violated = watched(account, {drained}, told=told)
    account.auto_scaling.root_volumes.replace(instance, forgets_agent=forgets_agent)
    answer(account, instance)
    account.run_for(91)
    container_instance = account.ecs.container_instance(instance.ec2_instance_id)
    assert container_instance is not None
    if does == "activates":
        account.ecs.set_status(container_instance, "ACTIVE")
    if does == "deregisters":
        account.ecs.deregister(account.ecs.clusters[CLUSTER].container_instances[drained])

    # A sweep of 400 s here, and 400 s until a drain that somebody else has ended is known as over.
    account.run_for(798)
    assert violated == []
    account.run_for(3)

    assert violated == sentences
    assert returns.returned == 1


# Seeds 1014 and 1347: ECS refuses to deregister what it counts a task on; and an agent in a cluster
# that nothing names is not known to be connected. What is left of it stays, as limits.md says.
@pytest.mark.parametrize(("task", "found"), [(True, True), (False, False), (False, True)])
def test_what_is_left_behind_may_stay_with_a_task_and_while_its_agent_is_not_found(
    account: Aws, group: Group, *, task: bool, found: bool
) -> None:
    hook(account)
    instance = first(group)
    returns, violated = watched(account, {drain(account, instance)})
    returns.was_described = lambda _: found
    account.auto_scaling.root_volumes.replace(instance, forgets_agent=True)
    answer(account, instance)
    account.run_for(91)
    [old] = [one for one in account.ecs.registrations(instance.ec2_instance_id) if one.agent_gone]
    if task:
        account.ecs.life.settle(
            account.ecs.make_task(old, "job", TaskProfile(), group="family:job")
        )

    account.run_for(801)

    assert violated == ["its old registration is left behind"] * (found and not task)


# Seed 1013: nobody could write the table for an hour that began after the watch.
def test_a_fault_that_begins_later_puts_off_what_must_serve_again_until_it_has_ceased(
    account: Aws, group: Group
) -> None:
    hook(account)
    ceased_at = [START]
    instance = first(group)
    returns, violated = watched(account, {drain(account, instance)}, ceased_at=lambda: ceased_at[0])
    account.auto_scaling.root_volumes.replace(instance, forgets_agent=False)
    answer(account, instance)
    account.run_for(91)
    assert instance.lifecycle_state == "InService"
    due_at = returns.until

    ceased_at[0] = due_at - timedelta(seconds=1)
    account.advance_to(due_at)
    assert violated == []
    assert returns.until == due_at + timedelta(seconds=799)

    account.advance_to(returns.until)
    assert violated == ["its container instance is still DRAINING"]


@pytest.fixture
def safety(account: Aws) -> Safety:
    workload = SimpleNamespace(pass_interval_seconds=15, promise=lambda _: Promise(ours=True))
    return Safety(account, workload, "arn", START)  # type: ignore[arg-type]


def update(safety: Safety, arn: str, status: str) -> list[str]:
    """Let the function set a status; return what is wrong with it."""
    safety.before("UpdateContainerInstancesState", {"containerInstances": [arn], "status": status})
    return [one.sentence.partition(" is ")[2] for one in safety.violations]


# Set ACTIVE too early, it gets the tasks that its volume or its end then takes.
def test_a_container_instance_may_be_set_active_once_its_group_says_in_service(
    account: Aws, group: Group, safety: Safety
) -> None:
    hook(account)
    instance = first(group)
    account.auto_scaling.root_volumes.replace(instance, forgets_agent=False)
    arn = drain(account, instance)
    assert update(safety, arn, "DRAINING") == []
    answer(account, instance)
    account.run_for(91)
    assert update(safety, arn, "ACTIVE") == []

    account.auto_scaling.terminate(instance, decrement=False)

    assert update(safety, arn, "ACTIVE") == ["set ACTIVE while it leaves"]


# A user may have set it DRAINING for reasons of their own.
def test_what_somebody_else_set_draining_is_not_ours_to_set_active(
    account: Aws, group: Group, safety: Safety
) -> None:
    arn = drain(account, first(group))

    assert update(safety, arn, "ACTIVE") == ["set ACTIVE, and was not drained by us"]


# Seed 7685: the one write of a drain came after its answer, and what it had found DRAINING was left
# behind. What is set DRAINING after the end is somebody else's, whatever is written then.
@pytest.mark.parametrize("before", [True, False])
def test_what_a_drain_has_found_draining_is_ours_though_its_record_is_written_at_its_end(
    account: Aws, group: Group, safety: Safety, *, before: bool
) -> None:
    hook(account)
    instance = first(group)
    key = {"instance": {"S": instance.ec2_instance_id}}
    arn = drain(account, instance) if before else ""
    account.auto_scaling.root_volumes.replace(instance, forgets_agent=False)
    account.run_for(60)
    answer(account, instance)
    account.run_for(91)
    arn = arn or drain(account, instance)

    safety.recorded(key)

    assert update(safety, arn, "ACTIVE") == (
        [] if before else ["set ACTIVE, and was not drained by us"]
    )


# No look has seen it in service before somebody set it DRAINING: the record says no more than that
# a drain is over. But ECS says when it was registered, and so that none has drained it.
@pytest.mark.parametrize(
    ("record_ended_at", "sentences"),
    [
        (START, ["set ACTIVE, and was not drained by us"]),
        (START + timedelta(seconds=71), []),
        (None, []),
    ],
)
def test_what_is_registered_after_every_drain_is_not_ours_to_set_active(
    account: Aws,
    group: Group,
    safety: Safety,
    record_ended_at: datetime | None,
    sentences: list[str],
) -> None:
    hook(account)
    instance = first(group)
    account.auto_scaling.root_volumes.replace(instance, forgets_agent=True)
    answer(account, instance)
    account.run_for(91)
    arn = drain(account, instance)
    account.record("drained_by_hand", ec2_instance_id=instance.ec2_instance_id)
    if record_ended_at:
        item = {"ended_at": {"N": str(record_ended_at.timestamp())}}
        key = (instance.ec2_instance_id, "payments-asg:drainer")
        account.record_tables.create("records").put(key, Version(item, {}, account.now))

    assert update(safety, arn, "ACTIVE") == sentences


# Seed 15383: a look at what is still on its way back shows nothing that has served. The next one
# finds it DRAINING and cannot tell by whom. A look that saw it back has closed the matter.
@pytest.mark.parametrize(
    ("seen", "sentences"),
    [
        ("ReplacingRootVolume:Proceed", []),
        ("InService", ["set ACTIVE, and was not drained by us"]),
    ],
)
def test_what_no_look_has_seen_back_may_be_taken_for_drained_by_us(
    account: Aws, group: Group, safety: Safety, seen: str, sentences: list[str]
) -> None:
    hook(account)
    instance = first(group)
    account.auto_scaling.root_volumes.replace(instance, forgets_agent=False)
    answer(account, instance)
    account.run_for(91)
    row = {"InstanceId": instance.ec2_instance_id, "LifecycleState": seen}
    safety.told("DescribeAutoScalingInstances", {}, {"AutoScalingInstances": [row]})
    arn = drain(account, instance)
    account.record("drained_by_hand", ec2_instance_id=instance.ec2_instance_id)

    assert update(safety, arn, "ACTIVE") == sentences


# A stopped host whose agent counted as connected would look like the live one beside its successor.
def test_no_agent_of_a_stopped_host_connects(account: Aws, group: Group) -> None:
    instance = first(group)
    connect = partial(account.ecs.connect_agent, instance.ec2_instance_id)
    known = account.ecs.container_instance(instance.ec2_instance_id)
    assert known is not None

    agents.stop(account.ecs, instance, "stopped")
    connect(connected=True)
    assert not known.agent_connected

    agents.boot(account.ecs, instance)
    connect(connected=False)
    connect(connected=True)
    assert known.agent_connected


# Deregistered with its agent alive, its containers run on and ECS knows nothing of them.
@pytest.mark.parametrize(
    ("connected", "violations"), [(True, ["deregistered, and alive"]), (False, [])]
)
def test_only_a_registration_that_is_left_behind_may_be_deregistered(
    account: Aws, group: Group, safety: Safety, connected: bool, violations: list[str]
) -> None:
    instance = first(group)
    arn = drain(account, instance)
    safety.drained.add(arn)
    account.ecs.connect_agent(instance.ec2_instance_id, connected=connected)

    safety.before("DeregisterContainerInstance", {"cluster": CLUSTER, "containerInstance": arn})

    assert [one.sentence.partition(" is ")[2] for one in safety.violations] == violations
