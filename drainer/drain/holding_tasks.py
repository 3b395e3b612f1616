"""
Which tasks hold the EC2 instance, by the drain's policy. Pure.

Tasks of services do, daemons' among them, and standalone tasks unless the policy ignores them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from drainer.drain.model import Owner, StandaloneTasks

if TYPE_CHECKING:
    from drainer.drain.look import Look
    from drainer.drain.model import Task


def blocking(look: Look) -> tuple[Task, ...]:
    """Return the known tasks that hold the instance."""
    held = tuple(task for task in look.remaining if not ignores(look, task))
    if look.may_hold_behind:
        return held
    own = {"", *(_id(one.arn) for one in look.candidates)}
    return tuple(task for task in held if _id(task.container_instance_arn) in own)


def _id(arn: str) -> str:
    """Return a container instance's id: ARNs are there in two formats."""
    return arn.rpartition("/")[2]


def unexplained(look: Look) -> int:
    """Return how many counted tasks are not among the ignored ones: they hold the instance too."""
    ignored = sum(task.wanted and ignores(look, task) for task in look.remaining)
    return max(0, look.counted - ignored)


def waits_behind(look: Look) -> bool:
    """Whether tasks of earlier registrations may hold the instance, which runs an agent."""
    behind = look.left_over or look.lacking
    return look.connected and bool(behind) and look.may_hold_behind


def ignores(look: Look, task: Task) -> bool:
    """Whether the task does not hold the instance."""
    return ignores_standalone(look) and is_standalone(task)


def ignores_standalone(look: Look) -> bool:
    """Whether standalone tasks do not hold the instance."""
    policy = look.drain.policy
    return policy is not None and policy.standalone_tasks == StandaloneTasks.IGNORE


def is_standalone(task: Task) -> bool:
    """Whether no service owns the task."""
    return task.owner == Owner.STANDALONE
