"""
Messages that are false in one respect each, for an account in which something true goes on.
"""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from drainer.drain import envelope
from drainer.drain.model import (
    Drain,
    LifecycleAction,
    LifecycleActionResult,
    Place,
    Policy,
    StandaloneTasks,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.simulation.conftest import World

    Message = dict[str, Any]
    Forge = Callable[[World, str], Message]

MADE_UP = "00000000-dead-4bad-9bad-000000000000"
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
# As bad as a hook's policy can be: no time, no patience, no care.
CRUEL = Policy(
    cluster=None,
    drain_timeout_seconds=1,
    deadline_result=LifecycleActionResult.ABANDON,
    standalone_tasks=StandaloneTasks.STOP,
    standalone_grace_seconds=0,
)
CARELESS = replace(CRUEL, standalone_tasks=StandaloneTasks.IGNORE)


def action(ec2_instance_id: str, **changes: str) -> LifecycleAction:
    """What is known to everybody of an instance's lifecycle action: all but its token."""
    known = LifecycleAction("payments-asg", "drainer", ec2_instance_id, MADE_UP)
    return replace(known, **changes)


def notification(**changes: Any) -> Forge:
    """A notification of Auto Scaling's shape."""

    def forge(world: World, ec2_instance_id: str) -> Message:
        body = {
            "LifecycleHookName": "drainer",
            "AccountId": world.account.account_id,
            "LifecycleTransition": "autoscaling:EC2_INSTANCE_TERMINATING",
            "AutoScalingGroupName": "payments-asg",
            "Service": "AWS Auto Scaling",
            "Time": world.account.now.isoformat(),
            "EC2InstanceId": ec2_instance_id,
            "LifecycleActionToken": MADE_UP,
        }
        return {**body, **changes}

    return forge


def enveloped(
    change: Callable[[World, Drain], Drain] = lambda _world, drain: drain, **of_action: str
) -> Forge:
    """An envelope of ours, as if a chain had come this far."""

    def forge(world: World, ec2_instance_id: str) -> Message:
        now = world.account.now
        instance = world.account.ecs.container_instance(ec2_instance_id)
        drain = Drain(
            action(ec2_instance_id, **of_action),
            started_at=now,
            last_heartbeat_at=now,
            hop=4,
            heartbeat_timeout_seconds=600,
            cluster="payments",
            container_instance_arn=instance.arn if instance else None,
        )
        body: Message = json.loads(envelope.encode(change(world, drain)))
        return body

    return forge


def event(**changes: Any) -> Forge:
    """ECS's event of a container instance that is DRAINING and has nothing left on it."""

    def forge(world: World, ec2_instance_id: str) -> Message:
        detail = {
            "status": "DRAINING",
            "ec2InstanceId": ec2_instance_id,
            "runningTasksCount": 0,
            "pendingTasksCount": 0,
            "agentConnected": True,
            "clusterArn": world.account.arn("ecs", "cluster/payments"),
        }
        body = {
            "source": "aws.ecs",
            "detail-type": "ECS Container Instance State Change",
            "detail": detail,
        }
        return {**body, **changes}

    return forge


def all_at_once(world: World, drain: Drain) -> Drain:
    """Every claim that could make a release early, together."""
    return replace(
        drain,
        policy=CARELESS,
        started_at=LONG_AGO,
        draining_since=LONG_AGO,
        deadline_at=world.account.now - timedelta(seconds=1),
        listed_at=LONG_AGO,
        closed=True,
        missing_since=LONG_AGO,
        settled=True,
        searched_at=LONG_AGO,
        not_waiting_since=LONG_AGO,
        standalone_stopped=True,
    )


def other_instance(world: World, drain: Drain) -> Drain:
    """The ARN of a container instance that stays."""
    group = world.account.auto_scaling.groups["payments-asg"]
    staying = [one for one in group.instances if one != drain.action.ec2_instance_id][-1]
    instance = world.account.ecs.container_instance(staying)
    return replace(drain, container_instance_arn=instance.arn if instance else None)


def soon(world: World, drain: Drain) -> Drain:
    """A deadline that comes before the true one."""
    return replace(drain, deadline_at=world.account.now + timedelta(seconds=40))


# Each is false in what its name says.
NOTIFICATIONS: dict[str, Forge] = {
    "notification with a token made up": notification(),
    "notification from long ago": notification(Time=LONG_AGO.isoformat()),
    "notification from the future": notification(Time="2199-01-01T00:00:00Z"),
    "notification of another group": notification(AutoScalingGroupName="search-asg"),
    "notification of no group": notification(AutoScalingGroupName="nobodys-asg"),
    "notification of another account": notification(AccountId="999999999999"),
    "notification of a foreign hook": notification(LifecycleHookName="backup"),
    "notification of no hook": notification(LifecycleHookName="nobodys"),
    "notification with metadata of its own": notification(
        NotificationMetadata='{"drain_timeout_seconds": 1, "standalone_tasks": "stop"}'
    ),
}
CLAIMS: dict[str, Callable[[World, Drain], Drain]] = {
    "nothing else": lambda _, drain: drain,
    "a deadline that has passed": lambda _, drain: replace(drain, deadline_at=LONG_AGO),
    "a deadline that is near": soon,
    "a beginning long ago": lambda _, drain: replace(
        drain, started_at=LONG_AGO, draining_since=LONG_AGO, deadline_at=None
    ),
    "that it drains since long ago": lambda _, drain: replace(drain, draining_since=LONG_AGO),
    "a cruel policy": lambda _, drain: replace(drain, policy=CRUEL, draining_since=LONG_AGO),
    "a careless policy": lambda _, drain: replace(
        drain, policy=CARELESS, listed_at=LONG_AGO, draining_since=LONG_AGO
    ),
    "tasks that never were": lambda _, drain: replace(drain, unfinished=("0" * 32,)),
    "that all tasks are known": lambda _, drain: replace(
        drain, closed=True, settled=True, draining_since=LONG_AGO
    ),
    "that its tasks are missing since long ago": lambda _, drain: replace(
        drain, closed=True, unfinished=("0" * 32,), missing_since=LONG_AGO, draining_since=LONG_AGO
    ),
    "that the tasks were listed before": lambda _, drain: replace(
        drain, listed_at=LONG_AGO, draining_since=LONG_AGO, settled=True
    ),
    "that all clusters are searched": lambda world, drain: replace(
        drain, searched_to=world.account.arn("ecs", "cluster/zzz"), searched_at=LONG_AGO
    ),
    "registrations that never were": lambda _, drain: replace(
        drain, others=(Place("payments", "nonsense"), Place("nowhere", "at all"), Place("", ""))
    ),
    "that it was sent just now": lambda world, drain: replace(drain, sent_at=world.account.now),
    "that it will be sent": lambda world, drain: replace(
        drain, sent_at=world.account.now + timedelta(days=2)
    ),
    "that it is almost out of hops": lambda _, drain: replace(drain, hop=330),
    "a hop beyond all": lambda _, drain: replace(drain, hop=999_999),
    "that it was absent before": lambda _, drain: replace(drain, searched_at=LONG_AGO),
    "that it did not wait before": lambda _, drain: replace(drain, not_waiting_since=LONG_AGO),
    "another cluster": lambda _, drain: replace(drain, cluster="search"),
    "the container instance of another": other_instance,
    "that it came by EventBridge": lambda _, drain: replace(drain, by_event_bridge=True),
    "heartbeats in plenty": lambda world, drain: replace(
        drain, last_heartbeat_at=world.account.now + timedelta(days=2)
    ),
    "everything at once": all_at_once,
}
ENVELOPES: dict[str, Forge] = {
    **{
        f"envelope with a token made up and {claim}": enveloped(change)
        for claim, change in CLAIMS.items()
    },
    **{
        f"envelope without a token and {claim}": enveloped(change, lifecycle_action_token="")
        for claim, change in CLAIMS.items()
    },
    "envelope of a foreign hook": enveloped(lifecycle_hook_name="backup"),
    "envelope of a foreign hook without a token": enveloped(
        all_at_once, lifecycle_hook_name="backup", lifecycle_action_token=""
    ),
    "envelope of another group": enveloped(all_at_once, auto_scaling_group_name="search-asg"),
}
EVENTS: dict[str, Forge] = {
    "event of an instance with tasks": event(),
    "event of another source": event(source="custom.ecs"),
    "event of Auto Scaling's shape from ECS": event(
        **{"detail-type": "EC2 Instance-terminate Lifecycle Action"}
    ),
}
