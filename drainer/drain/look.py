"""
One look at one EC2 instance: the finder and the task look fill it in, `may_leave.py` judges it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING
from zlib import crc32

from drainer.drain.model import REGISTRATIONS_MAX
from drainer.errors import ClusterMissingError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from drainer.drain.model import ContainerInstance, InstanceProgress, Place, Task
    from drainer.errors import DrainerError

# So long after a registration, earlier ones are sought twice: tasks may still run there.
REGISTERED_LATELY = timedelta(hours=1)

# How long tasks on what is left of an earlier registration are waited for. Once it is DRAINING, ECS
# replaces its services' tasks. What ECS still counts or has not seen STOPPED after that may be a
# standalone task, may have no room elsewhere, or may be over: no agent is there to report it.
# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/container-instance-draining.html
LEFT_BEHIND_FOR = timedelta(seconds=300)

# ECS places no task where the registration has failed, and does not set it DRAINING. That ends only
# with the EC2 instance, which waits for the drain.
# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ContainerInstance.html
AS_GOOD_AS = {"REGISTRATION_FAILED": "DRAINING"}


@dataclass(slots=True, eq=False)
class Look:
    """What one pass sees of one EC2 instance, beside what earlier passes have seen."""

    ec2_instance_id: str  # the machine
    drain: InstanceProgress  # what is remembered of it; the look keeps it up to date
    now: datetime  # when the pass began
    elsewhere: bool = True  # whether it is sought in other clusters than those that are named, too
    remembers: bool = True  # whether `drain` says which registrations earlier passes have found
    in_turns: bool = False  # whether a search of all clusters may be spread over several passes
    # whether what is STOPPED is listed once more before the instance may leave: for a time no look
    # has seen it DRAINING, so that it may have been ACTIVE
    confirms: bool = False
    to_report: bool = False  # whether every task that is left is to be named, as at a deadline
    # the container instances that were described, by ARN
    registrations: dict[str, ContainerInstance] = field(default_factory=dict)
    asked: tuple[Place, ...] = ()  # what earlier passes have found, and this one describes first
    inactive: set[str] = field(default_factory=set)  # the ARNs of what has been deregistered
    absent: bool = False  # whether a sound search of all clusters has found none
    settled: bool = False  # whether the registrations are all known
    searched: bool = False  # whether a search of all clusters has ended in this look
    seen_at: datetime | None = None  # when it had been described and searched for; None for `now`
    sound: bool = True  # whether every search for it was of the right clusters
    searched_on: bool = False  # whether a search of all clusters has come further
    nowhere: bool = False  # whether no cluster that exists has it, and a named one does not exist
    tasks: dict[str, Task] = field(default_factory=dict)  # the tasks that were described, by id
    missing: tuple[str, ...] = ()  # the unfinished tasks that ECS said it does not know
    behind: int | None = None  # how many tasks of earlier registrations keep it; None if unlisted
    described: bool = False  # whether each unfinished task was described or is missing
    # when its tasks had been listed, of the statuses that were due (task_set.py); None if not
    listed_at: datetime | None = None
    deferred: bool = False  # whether a part of the look was put off to a later pass
    failed: bool = False  # whether a call failed in a way that asking elsewhere cannot change
    denied: bool = False  # whether a call failed, but for a cluster that does not exist
    reason: str = ""  # why something was not seen, in words for an operator

    # Its registrations

    @property
    def connected(self) -> bool:
        """Whether any of them has a connected agent."""
        return any(one.agent_connected for one in self.registrations.values())

    @property
    def is_lone(self) -> bool:
        """Whether it is registered, and no agent of it is connected."""
        return bool(self.registrations) and not self.connected

    @property
    def candidates(self) -> tuple[ContainerInstance, ...]:
        """
        The registrations of which one runs the tasks, the one that the drain is about first.

        An EC2 instance has one agent. Where it is connected to one registration, the others are
        what is left of earlier ones; where it is connected to none, any may be the one.
        """
        found = self.registrations.values()
        if len(found) == 1:  # as nearly always, and each pass asks ten times
            return tuple(found)
        connected = [one for one in found if one.agent_connected]
        own = self.drain.container_instance_arn
        return tuple(sorted(connected or found, key=lambda one: (one.arn != own, one.arn)))

    @property
    def left_over(self) -> tuple[ContainerInstance, ...]:
        """What is left of earlier registrations, once an agent is connected to another one."""
        found = self.registrations.values() if self.connected else ()
        return tuple(one for one in found if not one.agent_connected)

    @property
    def left_behind(self) -> tuple[ContainerInstance, ...]:
        """Those of them on which ECS still counts tasks."""
        return tuple(one for one in self.left_over if one.counted_tasks)

    @property
    def lacking(self) -> tuple[Place, ...]:
        """What earlier passes have found, and this one has not described: no agent is known of."""
        over = {*self.registrations, *self.inactive}
        return tuple(one for one in self.asked if one.container_instance_arn not in over)

    @property
    def may_hold_behind(self) -> bool:
        """Whether tasks count that are on no registration of which an agent is connected."""
        since = self.drain.draining_since
        return not self.connected or since is None or self.now < since + LEFT_BEHIND_FOR

    @property
    def to_drain(self) -> tuple[ContainerInstance, ...]:
        """The registrations to set DRAINING, so that ECS replaces their services' tasks."""
        return (*self.candidates, *self.left_behind)

    @property
    def container_instance(self) -> ContainerInstance | None:
        """The one for all: ACTIVE while any of them is, DRAINING once all are, with all tasks."""
        candidates = self.candidates
        if not candidates:
            return None
        first, statuses = candidates[0], [one.status for one in candidates]
        if len(candidates) == 1:
            return first
        return replace(
            first,
            # Whatever is neither ACTIVE nor DRAINING is waited for.
            status=max(statuses, key=lambda one: (one == "ACTIVE", one != "DRAINING")),
            agent_connected=self.connected,
            running_tasks=sum(one.running_tasks for one in candidates),
            pending_tasks=sum(one.pending_tasks for one in candidates),
        )

    @property
    def status(self) -> str:
        """The container instance's status; empty where it was not seen."""
        instance = self.container_instance
        return instance.status if instance else ""

    @property
    def sought(self) -> bool:
        """Whether further registrations of it are still to be found."""
        return not (self.settled or self.failed)

    @property
    def sought_again(self) -> bool:
        """Whether its registrations, all of which seem known, are to be listed once more."""
        if self.failed or not self.settled:
            return False
        if self.is_lone or self.drain.closed or self.drain.draining_since is None:
            return self.is_lone
        if not self.may_hold_behind:
            return False  # what would be found is waited for no longer
        # The listing that found it may have lacked what an agent that lost its state was before.
        registered = [one.registered_at for one in self.candidates]
        return any(at is not None and at > self.now - REGISTERED_LATELY for at in registered)

    def named(self, configured: Sequence[str]) -> Sequence[str]:
        """Return the clusters that its policy names, or else those that are configured."""
        policy = self.drain.policy
        return (policy.cluster,) if policy and policy.cluster else configured

    @property
    def in_doubt(self) -> bool:
        """Whether a part of the look has failed."""
        return self.failed or self.denied

    def found(self, cluster: str, instance: ContainerInstance) -> None:
        """Take a description that belongs to the EC2 instance."""
        drain, is_new = self.drain, instance.arn not in self.known_arns()
        if is_new and not self._has_room(instance):
            return
        since, at = drain.draining_since, instance.registered_at
        if is_new and (self.remembers or (since and at and at > since)):
            # Earlier looks did not know of this registration.
            drain = replace(
                drain, searched_at=None, draining_since=None, listed_at=None, closed=False,
                settled=False,
            )  # fmt: skip
        status = AS_GOOD_AS.get(instance.status, instance.status)
        self.registrations[instance.arn] = replace(instance, cluster=cluster, status=status)
        first = self.candidates[0]
        self.drain = replace(drain, cluster=first.cluster, container_instance_arn=first.arn)
        # A drain that has stored no registration cannot tell that this is the one that it had
        # settled on. And an agent that was connected may have registered again, once it no longer
        # is.
        searched = drain.settled and drain.searched_at is not None and self.remembers
        self.settled = first.agent_connected or searched

    def _has_room(self, new: ContainerInstance) -> bool:
        """Return whether one more may be taken; where one is connected, a left-over is dropped."""
        if len(self.registrations) < REGISTRATIONS_MAX:
            return True
        crowd = [new, *self.registrations.values()]
        least = min(crowd, key=lambda one: (one.agent_connected, one.counted_tasks))
        if least.agent_connected or not (self.connected or new.agent_connected):
            # Any of them may run the tasks.
            self.denied, self.sound = True, False
            self.reason = f"The EC2 instance has more than {REGISTRATIONS_MAX} registrations"
            return False
        self.registrations.pop(least.arn, None)
        return least is not new

    def known_arns(self) -> set[str]:
        """Return the ARNs of the registrations that this look or an earlier one has found."""
        others = (one.container_instance_arn for one in (*self.asked, *self.drain.others))
        own = self.drain.container_instance_arn
        return {*self.registrations, *others, *([own] if own else [])}

    def unseen(self, error: DrainerError) -> None:
        """Note that a part of the look has failed."""
        # A cluster in which it was found before, and which is no more, is no typo in a name.
        gone = bool(self.asked) and isinstance(error, ClusterMissingError)
        self.sound = self.sound and gone
        self.failed = self.failed or isinstance(error, UnavailableError)
        self.denied = self.denied or not isinstance(error, ClusterMissingError)
        self.reason = self.reason or str(error)

    # Its tasks

    @property
    def counted(self) -> int:
        """The tasks that ECS's two counters know of."""
        return sum(one.counted_tasks for one in self.candidates)

    @property
    def wants_none(self) -> bool:
        """Whether ECS, by its counters and by the memory that is taken, wants no task to run."""
        found = self.candidates
        return bool(found) and all(not o.counted_tasks and o.memory_is_free for o in found)

    @property
    def remaining(self) -> tuple[Task, ...]:
        """The known tasks that are not STOPPED."""
        return tuple(task for task in self.tasks.values() if task.remains)


def cluster_name(cluster: str) -> str:
    """Return the name of a cluster, which may be named by its name or its ARN."""
    return cluster.rpartition("/")[2]


def turn(name: str, now: datetime) -> int:
    """Return the place of a name in an order that differs at each instant."""
    return crc32(f"{now.timestamp()} {name}".encode())


def unseen(looks: Iterable[Look], error: DrainerError) -> None:
    """Note for several looks that a part of them has failed."""
    for look in looks:
        look.unseen(error)
