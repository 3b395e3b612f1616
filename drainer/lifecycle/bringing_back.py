"""
Set ACTIVE what drains have left DRAINING, and deregister what is left of earlier registrations.

What an EC2 instance has in all of its clusters is judged together: its agent is connected to one
registration, wherever that is. An instance that has served since its drain is set ACTIVE no more:
what is DRAINING then was set so by somebody else.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Protocol

from drainer.drain.actions import TOGETHER_MAX, UNIT_SECONDS, failure_of, together
from drainer.drain.ecs_reads import EcsReads
from drainer.lifecycle.drained_by_us import is_known, stays_by_hand

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from drainer.drain.model import ContainerInstance
    from drainer.drain.record import DrainRecord
    from drainer.invocation import InvocationClock

ACTIVE = "active"


class Ecs(EcsReads, Protocol):
    """What is asked of ECS; every method may raise a DrainerError."""

    def set_active(self, cluster: str, arns: Sequence[str]) -> dict[str, str]:
        """Set up to TOGETHER_MAX container instances ACTIVE; return refusals by ARN."""

    def deregister(self, cluster: str, arn: str) -> None:
        """Take a container instance without tasks out of its cluster."""


@dataclass(frozen=True, slots=True)
class Returned:
    """What was done about one container instance: `active`, `deregistered`, or what failed."""

    ec2_instance_id: str
    cluster: str
    container_instance_arn: str
    done: str = ""
    error: str = ""


@dataclass(slots=True)
class Progress:
    """
    What came of it so far, by the ids of EC2 instances.

    Attributes:
        done: What was done, and what failed.
        gone: Those that may be in no group any more.
        serving: Those that have a known container instance connected and ACTIVE.
        settled: Those that are followed no longer, unless they are waiting.
        waiting: Those of which something was not read, or is left to be done.
    """

    done: list[Returned]
    gone: set[str]
    serving: set[str] = field(default_factory=set)
    settled: set[str] = field(default_factory=set)
    waiting: set[str] = field(default_factory=set)

    def unread(self, ids: Iterable[str]) -> None:
        """Forget none of these: the next sweep looks again."""
        self.gone.difference_update(ids)
        self.waiting.update(ids)


def bring_back(
    ecs: Ecs,
    found: Mapping[str, Sequence[ContainerInstance]],
    over: Mapping[str, Sequence[DrainRecord]],
    progress: Progress,
    time: InvocationClock,
) -> None:
    """
    Bring back what instances that are in service have in their clusters.

    Args:
        ecs: Changes it.
        found: The container instances by cluster; those of other instances are left alone.
        over: The followed records of these instances.
        progress: Is added to.
        time: The invocation's.
    """
    there = {
        cluster: [one for one in some if one.ec2_instance_id in over]
        for cluster, some in found.items()
    }
    ours = {
        cluster: [one for one in some if _is_ours(one, over[one.ec2_instance_id])]
        for cluster, some in there.items()
    }
    known = [one for some in there.values() for one in some]
    connected = {one.ec2_instance_id for one in known if one.agent_connected}
    for cluster, some in ours.items():
        _set_active(ecs, cluster, [one for one in some if one.agent_connected], progress, time)
    for cluster, some in ours.items():
        alive_elsewhere = [
            one for one in some if one.ec2_instance_id in connected and not one.agent_connected
        ]
        _deregister(ecs, cluster, alive_elsewhere, progress, time)
    made = {one.container_instance_arn for one in progress.done if one.done == ACTIVE}
    # An agent that is not connected yet will be. And where one left-over was found, an answer
    # of ECS's that is out of date may lack another: the next sweep looks once more.
    left = [one for some in ours.values() for one in some if one.arn not in made]
    # An ACTIVE one is done, agent or not: a later DRAINING was set by hand.
    active = [
        one
        for one in known
        if one.arn in made or (one.status == "ACTIVE" and is_known(one, over[one.ec2_instance_id]))
    ]
    progress.waiting |= {one.ec2_instance_id for one in left}
    progress.settled |= connected | {one.ec2_instance_id for one in active}
    # Until all that is connected is ACTIVE, that which is not would never be.
    progress.serving |= {one.ec2_instance_id for one in active if one.agent_connected} - {
        one.ec2_instance_id for one in left if one.agent_connected
    }


def _is_ours(one: ContainerInstance, records: Sequence[DrainRecord]) -> bool:
    """Whether a container instance is DRAINING because of a drain of these records."""
    # Spot, custom resources and operators set their own instances ACTIVE.
    if one.status != "DRAINING" or one.drained_for or one.interrupted:
        return False
    if one.agent_connected:
        records = [record for record in records if not record.served]
        # Its agent may have registered again: that is not what we have set DRAINING.
        if not is_known(one, records):
            return False
    return not (one.drained_by and stays_by_hand(one, records))


def _set_active(
    ecs: Ecs,
    cluster: str,
    draining: Sequence[ContainerInstance],
    progress: Progress,
    time: InvocationClock,
) -> None:
    for start in range(0, len(draining), TOGETHER_MAX):
        if time.seconds_left() < UNIT_SECONDS:
            return  # the next sweep goes on
        unit = draining[start : start + TOGETHER_MAX]
        refusals = together([one.arn for one in unit], partial(ecs.set_active, cluster))
        progress.done += [
            Returned(
                one.ec2_instance_id,
                cluster,
                one.arn,
                done="" if one.arn in refusals else ACTIVE,
                error=f"ACTIVE was not set: {refusals[one.arn]}" if one.arn in refusals else "",
            )
            for one in unit
        ]


def _deregister(
    ecs: Ecs,
    cluster: str,
    left_over: Sequence[ContainerInstance],
    progress: Progress,
    time: InvocationClock,
) -> None:
    """Deregister what has no task and whose EC2 instance has a connected agent elsewhere."""
    for one in left_over:
        if one.running_tasks or one.pending_tasks or time.seconds_left() < UNIT_SECONDS:
            continue
        error = failure_of(ecs.deregister, cluster, one.arn)
        said = f"The registration was not removed: {error}" if error else ""
        what = "" if error else "deregistered"
        progress.done.append(Returned(one.ec2_instance_id, cluster, one.arn, what, said))
