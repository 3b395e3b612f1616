"""
What befalls an account while instances leave: things and people beside the drainer.

Each takes one thing at random that is there to be befallen, or does nothing.
"""

from __future__ import annotations

import json
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from drainer.simulation.services.auto_scaling import agents

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from drainer.simulation.faults.faults import Faults
    from drainer.simulation.scenario.installation import Installation
    from drainer.simulation.scenario.promises import Workload
    from drainer.simulation.services.auto_scaling.lifecycle import LifecycleAction
    from drainer.simulation.services.auto_scaling.model import Instance

    Mishap = Callable[[Faults, Workload, Installation], None]

GONE = "gone"
# When in a drain's time an operator loses patience, if it is long enough for that, and how often
# with one instance.
PATIENCE_SECONDS = 900
LATE_SHARES = (0.6, 0.98)
PATIENCE_MAX = 2
LONGEST_HEARTBEAT_SECONDS = 7_200
JOB_SECONDS = 5_400.0
# How long a task runs that is placed on what an agent has registered again.
NEW_TASK_SECONDS = (60.0, 900.0)
# Later than its registration is visible: the function could not know of it before.
PLACED_AFTER_SECONDS = (21.0, 60.0)
# How long an agent is gone that loses its state while tasks run: longer than a search for other
# registrations takes. And when ECS takes what ran for stopped, once tasks may have been placed.
GONE_SECONDS = (60.0, 300.0)
TAKEN_FOR_STOPPED_SECONDS = (60.0, 180.0)
# How often no notification comes through for a while after an operator has answered a hook by hand.
UNHEARD_PROBABILITY = 0.8
UNHEARD_SECONDS = 600.0


def agent_vanishes(faults: Faults, workload: Workload, installed: Installation) -> None:
    """Disconnect the agent of a leaving instance for a while."""
    del workload, installed
    ecs = faults.account.ecs
    for instance in _one_waiting(faults):
        faults.strike("agent disconnected", instance.ec2_instance_id)
        ecs.connect_agent(instance.ec2_instance_id, connected=False)
        faults.account.after(
            faults.random.uniform(30, 1_800),
            partial(ecs.connect_agent, instance.ec2_instance_id, connected=True),
        )


def agent_registers_anew(faults: Faults, workload: Workload, installed: Installation) -> None:
    """
    Let the agent of a leaving instance lose its state: it registers again.

    At once where its tasks are over, and else after it has been gone for a while. Tasks are placed
    on the new registration a little later. Inferred from
    https://github.com/aws/amazon-ecs-agent/issues; AWS's pages do not say it.
    """
    del workload, installed
    ecs = faults.account.ecs
    for instance in _one_waiting(faults):
        known = ecs.container_instance(instance.ec2_instance_id)
        if known is None or instance.group.cluster is None:
            continue
        if known.remaining_tasks():
            ecs.connect_agent(instance.ec2_instance_id, connected=False)
            seconds = faults.random.uniform(*GONE_SECONDS)
            faults.account.after(seconds, partial(_come_back_anew, faults, instance))
        else:
            register_again(faults, instance, faults.random)


def _come_back_anew(faults: Faults, instance: Instance) -> None:
    ecs = faults.account.ecs
    known = ecs.container_instance(instance.ec2_instance_id)
    if known is None or not (faults.going_on and instance.waits_to_leave):
        ecs.connect_agent(instance.ec2_instance_id, connected=True)
        return
    register_again(faults, instance, faults.random)
    seconds = faults.random.uniform(*TAKEN_FOR_STOPPED_SECONDS)
    for task in known.remaining_tasks():
        faults.account.after(seconds, partial(ecs.life.kill, task, "The agent lost its state"))


def register_again(faults: Faults, instance: Instance, random: Random) -> None:
    """Let an agent register again in its group's cluster; its earlier registration stays."""
    faults.strike("agent registered anew", instance.ec2_instance_id)
    faults.account.ecs.connect_agent(instance.ec2_instance_id, connected=False)
    instance.forgets_agent = True
    agents.boot(faults.account.ecs, instance)
    place(faults, instance, random)


def place(faults: Faults, instance: Instance, random: Random) -> None:
    """Place a task on what an agent has just registered, later than that is visible."""
    after = random.uniform(*PLACED_AFTER_SECONDS)
    faults.account.after(after, partial(_place, faults, instance, random))


def _place(faults: Faults, instance: Instance, random: Random) -> None:
    there = faults.account.ecs.container_instance(instance.ec2_instance_id)
    if there is not None and there.status == "ACTIVE" and instance.waits_to_leave:
        seconds = random.uniform(*NEW_TASK_SECONDS)
        faults.account.ecs.run_standalone(
            there.cluster.name, instance.ec2_instance_id, seconds=seconds, already_running=False
        )


def someone_activates(faults: Faults, workload: Workload, installed: Installation) -> None:
    """
    Set a draining container instance ACTIVE again.

    Not while answers are stale: a look at what was DRAINING some seconds ago cannot know. For the
    same reason its status is described as it is until then; tasks may be listed late all the same.
    """
    del workload, installed
    if any(window.kind == "stale" for window in faults.windows):
        return
    for instance in _one_waiting(faults):
        container_instance = faults.account.ecs.container_instance(instance.ec2_instance_id)
        if container_instance is not None and container_instance.status == "DRAINING":
            faults.strike("set ACTIVE by someone", instance.ec2_instance_id)
            faults.account.ecs.set_status(container_instance, "ACTIVE")
            faults.account.ecs.lags.catch_up("DescribeContainerInstances")


def someone_drains(faults: Faults, workload: Workload, installed: Installation) -> None:
    """Set a container instance DRAINING by hand whose EC2 instance is in service, and stays."""
    del workload, installed
    ecs = faults.account.ecs
    serving = [
        found
        for instance in faults.account.auto_scaling.instances.values()
        if instance.lifecycle_state == "InService"
        and (found := ecs.container_instance(instance.ec2_instance_id)) is not None
        and found.status == "ACTIVE"
    ]
    if serving:
        chosen = faults.random.choice(serving)
        faults.strike("set DRAINING by someone", chosen.ec2_instance_id)
        ecs.set_status(chosen, "DRAINING")
        faults.account.record("drained_by_hand", ec2_instance_id=chosen.ec2_instance_id)


def someone_deregisters(faults: Faults, workload: Workload, installed: Installation) -> None:
    """Deregister a leaving container instance by force."""
    del workload, installed
    for instance in _one_waiting(faults):
        container_instance = faults.account.ecs.container_instance(instance.ec2_instance_id)
        if container_instance is not None:
            faults.strike("container instance deregistered", instance.ec2_instance_id)
            faults.account.call(
                "ecs",
                "DeregisterContainerInstance",
                {
                    "cluster": container_instance.cluster.name,
                    "containerInstance": container_instance.arn,
                    "force": True,
                },
            )


def instance_dies(faults: Faults, workload: Workload, installed: Installation) -> None:
    """Terminate a leaving instance behind its hooks' back."""
    del workload, installed
    for instance in _one_waiting(faults):
        faults.strike("instance terminated half-way", instance.ec2_instance_id)
        _end_actions(faults, instance)


def hook_is_deleted(faults: Faults, workload: Workload, installed: Installation) -> None:
    """Delete one of our hooks half-way."""
    del workload, installed
    for instance in _one_waiting(faults):
        for action in instance.actions:
            if action.hook.name in instance.group.hooks:
                faults.strike("hook deleted half-way", action.hook.name)
                faults.account.auto_scaling.delete_hook(action.hook)
                return


def group_is_deleted(faults: Faults, workload: Workload, installed: Installation) -> None:
    """Delete a group by force, with all that is in it."""
    del workload, installed
    scaling = faults.account.auto_scaling
    for waiting in _one_waiting(faults):
        group = waiting.group
        faults.strike("group deleted by force", group.name)
        group.desired = 0
        for instance in [*group.instances.values()]:
            _end_actions(faults, instance)
        scaling.groups.pop(group.name, None)


def cluster_is_deleted(faults: Faults, workload: Workload, installed: Installation) -> None:
    """Delete a cluster; ECS demands that its container instances are deregistered before."""
    del workload, installed
    ecs = faults.account.ecs
    for waiting in _one_waiting(faults):
        container_instance = ecs.container_instance(waiting.ec2_instance_id)
        if container_instance is None or faults.random.random() < 0.5:
            continue
        cluster = container_instance.cluster
        faults.strike("cluster deleted half-way", cluster.name)
        cluster.services.clear()
        for member in [*cluster.container_instances.values()]:
            ecs.deregister(member)
        ecs.clusters.pop(cluster.name, None)


def forger_speaks(faults: Faults, workload: Workload, installed: Installation) -> None:
    """
    Publish a notification that Auto Scaling did not: an instance in service, a foreign hook, ...
    """
    instances = [*faults.account.auto_scaling.instances.values()]
    if not instances:
        return
    instance = faults.random.choice(_one_waiting(faults) or instances)
    names = [name for group, name in workload.promises if group == instance.group.name]
    body = {
        "LifecycleTransition": "autoscaling:EC2_INSTANCE_TERMINATING",
        "LifecycleHookName": faults.random.choice(names),
        "AutoScalingGroupName": instance.group.name,
        "EC2InstanceId": instance.ec2_instance_id,
        "LifecycleActionToken": faults.account.uuid(),
        "Time": faults.account.now.isoformat(),
    }
    real = [action for action in instance.actions if action.hook.name == body["LifecycleHookName"]]
    if real and faults.random.random() < 0.5:
        body["LifecycleActionToken"] = real[0].token
    faults.strike("notification forged", f"{instance.ec2_instance_id} {body['LifecycleHookName']}")
    installed.topic.publish(json.dumps(body))


def earlier_notification_comes_again(
    faults: Faults, workload: Workload, installed: Installation
) -> None:
    """
    Bring the notification of an action that has ended, while the next one waits at the same hook.

    Nothing bounds how late SNS and SQS may deliver once more; this one comes when it hurts most.
    """
    for instance in _one_waiting(faults):
        hooks = {one.hook.name for one in instance.actions if one.is_open}
        for action in instance.past:
            again = not action.is_open and action.hook.name in hooks
            if again and workload.promise(action).ours:
                faults.strike("notification of an earlier action", action.ec2_instance_id)
                publish_again(installed, action)
                return


def publish_again(installed: Installation, action: LifecycleAction) -> None:
    """Publish an action's notification once more."""
    body = {
        "LifecycleTransition": "autoscaling:EC2_INSTANCE_TERMINATING",
        "LifecycleHookName": action.hook.name,
        "AutoScalingGroupName": action.hook.auto_scaling_group_name,
        "EC2InstanceId": action.ec2_instance_id,
        "LifecycleActionToken": action.token,
        "Time": action.started_at.isoformat(),
    }
    installed.topic.publish(json.dumps(body))


def operator_answers(faults: Faults, workload: Workload, installed: Installation) -> None:
    """
    Answer one of our hooks by hand, as an operator does who has lost patience.

    Where the group retains what is abandoned, the workload frees the instance later: by a new
    action with a new token, sometimes seconds later.
    https://docs.aws.amazon.com/autoscaling/ec2/userguide/manage-retained-instances.html
    """
    del installed
    for instance in _one_waiting(faults):
        if faults.random.random() < 0.7:
            instance.group.retain_on_abandon = True
        for action in instance.actions:
            if action.is_open and workload.promise(action).ours:
                answer_by_hand(faults, action, next_is_lost=False)
                return


def lose_patience(faults: Faults, workload: Workload, installed: Installation) -> None:
    """
    Let an operator answer our hooks over long jobs, shortly before their deadlines.

    Then the next action's notification is often lost; but not after a chain that is lost itself or
    has no token, which nothing could tell from the next one's.
    """
    ecs = faults.account.ecs
    for group in faults.account.auto_scaling.groups.values():
        for hook in group.hooks.values():
            if workload.promises[group.name, hook.name].ours:
                # Whatever waits longer than a heartbeat timeout is of another action, as all know.
                hook.heartbeat_timeout_seconds = LONGEST_HEARTBEAT_SECONDS

    def begun(action: LifecycleAction) -> None:
        promise = workload.promise(action)
        instance = faults.account.auto_scaling.instances[action.ec2_instance_id]
        long = promise.drain_timeout_seconds >= PATIENCE_SECONDS
        if promise.ours and long and len(instance.past) < PATIENCE_MAX:
            instance.group.retain_on_abandon = True
            there = ecs.container_instance(instance.ec2_instance_id)
            if there is not None and len(instance.past) == 1:
                seconds = JOB_SECONDS
                ecs.run_standalone(there.cluster.name, instance.ec2_instance_id, seconds=seconds)
            at = faults.random.uniform(*LATE_SHARES) * promise.drain_timeout_seconds
            faults.account.after(at, partial(answer, action))

    def answer(action: LifecycleAction) -> None:
        answer_by_hand(faults, action, next_is_lost=installed.is_followed(action.token))

    faults.account.auto_scaling.on_action.append(begun)


def answer_by_hand(faults: Faults, action: LifecycleAction, *, next_is_lost: bool) -> None:
    """Answer an open action as an operator does; the next one's notification may be lost."""
    if not (action.is_open and faults.going_on):
        return
    faults.strike("answered by an operator", action.ec2_instance_id)
    if next_is_lost and faults.random.random() < UNHEARD_PROBABILITY:
        until = faults.account.now + timedelta(seconds=UNHEARD_SECONDS)
        faults.unheard.append((faults.account.now, min(until, faults.ceased_at)))
    faults.account.auto_scaling.lifecycle.end(action, "ABANDON", "operator")


MISHAPS: tuple[Mishap, ...] = (
    someone_drains,
    operator_answers,
    operator_answers,
    agent_vanishes,
    agent_vanishes,
    agent_registers_anew,
    someone_activates,
    someone_activates,
    someone_deregisters,
    instance_dies,
    hook_is_deleted,
    group_is_deleted,
    cluster_is_deleted,
    forger_speaks,
    forger_speaks,
    forger_speaks,
    earlier_notification_comes_again,
    earlier_notification_comes_again,
)


def _one_waiting(faults: Faults) -> list[Instance]:
    waiting = [
        instance
        for instance in faults.account.auto_scaling.instances.values()
        if instance.waits_to_leave
    ]
    return [faults.random.choice(waiting)] if waiting and faults.going_on else []


def _end_actions(faults: Faults, instance: Instance) -> None:
    for action in instance.actions:
        faults.account.auto_scaling.lifecycle.end(action, "CONTINUE", GONE)
