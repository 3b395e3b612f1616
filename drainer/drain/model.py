"""
The words of the domain as plain values: what is asked, what was seen, what is carried along.

Nothing here acts, reads a clock or imports anything of ours; everything else imports it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from datetime import datetime

# "GlobalTimeout: ... 172800 seconds (48 hours) or 100 times the heartbeat timeout, whichever is
# smaller": no drain can take longer, whatever is asked.
# https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_LifecycleHook.html
DRAIN_TIMEOUT_SECONDS_MAX = 172_800


class LifecycleActionResult(StrEnum):
    """
    The two answers to a lifecycle action.

    On a terminating hook both let the instance go, but ABANDON skips the group's other hooks,
    and retains the instance where the group's instance lifecycle policy says so.
    https://docs.aws.amazon.com/autoscaling/ec2/userguide/lifecycle-hooks.html
    """

    CONTINUE = "CONTINUE"
    ABANDON = "ABANDON"


class StandaloneTasks(StrEnum):
    """
    What to do about tasks that no service owns; draining never touches them.

    https://docs.aws.amazon.com/AmazonECS/latest/developerguide/container-instance-draining.html
    """

    WAIT = "wait"
    STOP = "stop"
    IGNORE = "ignore"


class InterruptedTargets(StrEnum):
    """What to do about the load balancer targets of what Spot takes back."""

    DEREGISTER = "deregister"
    LEAVE = "leave"


class Origin(StrEnum):
    """
    Where a drain comes from, which decides what is believed of it and whether it is re-invoked.
    """

    CHAIN = "chain"  # a notification, or a re-invocation that follows from one
    WAKE_UP = "wake-up"  # an event that says that now is a good time to look; never is re-invoked
    SWEEP = "sweep"  # found waiting by the sweep; is re-invoked where no chain is alive


class Owner(StrEnum):
    """The owner of a task: a service (replica or daemon), or none (standalone)."""

    SERVICE = "service"
    STANDALONE = "standalone"


@dataclass(frozen=True, slots=True)
class LifecycleAction:
    """
    One EC2 instance passing one lifecycle hook once: the unit of work.

    The token names this one action, and is sent back wherever it is known. A drain that a wake-up
    or the sweep has found has no token: only the notification carries it.
    """

    auto_scaling_group_name: str
    lifecycle_hook_name: str
    ec2_instance_id: str
    lifecycle_action_token: str


@dataclass(frozen=True, slots=True)
class Policy:
    """What the hook's owner wants of a drain, read from its notification metadata."""

    cluster: str | None  # name or ARN of the ECS cluster; None where the metadata names none
    drain_timeout_seconds: int  # how long a drain may take, from the notification's time
    deadline_result: LifecycleActionResult  # the answer once the deadline has passed
    standalone_tasks: StandaloneTasks  # wait, stop after the grace period, or ignore
    standalone_grace_seconds: int  # how long they may go on before they are stopped


@dataclass(frozen=True, slots=True)
class Hook:
    """A lifecycle hook as Auto Scaling describes it."""

    name: str
    heartbeat_timeout_seconds: int  # what each heartbeat restarts
    global_timeout_seconds: int  # what no heartbeat gets past, from the notification's time
    notification_target_arn: str | None  # where its notifications go; None for EventBridge alone
    notification_metadata: str | None
    # whether it holds instances that leave, and not those that are launched
    terminating: bool = True


# All tasks of nearly every container instance; their ids fit into a message ten times over. Beyond
# it the set of tasks cannot be closed, so that the listings begin again once fewer are left.
UNFINISHED_MAX = 500

# How many registrations one EC2 instance may have in all clusters; each is described in every pass.
REGISTRATIONS_MAX = 5


class Place(NamedTuple):
    """Where a container instance is: its cluster's name or ARN, and its own ARN."""

    cluster: str
    container_instance_arn: str


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceProgress:
    """What is remembered of one EC2 instance between two looks, as no look can see it again."""

    # what the hook's or the stack's owner wants; None until it has been read
    policy: Policy | None = None
    # name or ARN of the cluster in which the container instance was found
    cluster: str | None = None
    container_instance_arn: str | None = None  # the same machine, as its ECS cluster knows it
    # since when the container instance has been DRAINING, as far as is known
    draining_since: datetime | None = None
    # ids of the tasks that any look has seen and none has seen STOPPED
    unfinished: tuple[str, ...] = ()
    counted: bool = False  # whether ECS counted tasks on it, when it was found last
    # when, long enough after draining_since, the tasks were first listed, or none was wanted
    listed_at: datetime | None = None
    closed: bool = False  # whether a second listing has followed, so that `unfinished` has them all
    missing_since: datetime | None = None  # since when ECS has known none of the unfinished tasks
    standalone_stopped: bool = False  # whether the standalone tasks have been told to stop
    others: tuple[Place, ...] = ()  # further registrations of the same EC2 instance
    settled: bool = False  # whether its registrations are all known, so that none is searched for
    searched_to: str = ""  # the last cluster that a search under way has searched; empty for none
    search_failed: bool = False  # whether a cluster could not be searched in the search under way
    # when a search of all clusters first ended without a connected registration; the second, later
    searched_at: datetime | None = None
    # when a search of all clusters first ended without any registration
    absent_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Drain(InstanceProgress):
    """A lifecycle action under way, and what no look can see again: what an envelope carries."""

    action: LifecycleAction
    started_at: datetime  # when Auto Scaling began to wait; the deadline counts from here
    last_heartbeat_at: datetime  # when the hook's timeout was last restarted
    hop: int = 0  # how many re-invocations led here; 0 for a notification
    origin: Origin = Origin.CHAIN  # where this drain comes from
    # whether the notification came by EventBridge, which carries those of all hooks
    by_event_bridge: bool = False
    # fixed once the hook is known, then only ever tightened; an operator may extend it
    deadline_at: datetime | None = None
    extended_to: datetime | None = None  # what an operator has extended it to
    heartbeat_timeout_seconds: int | None = None  # of the hook; None until it has been looked up
    not_waiting_since: datetime | None = None  # since when Auto Scaling was found not to wait
    # the lifecycle state in which it was first seen to wait, where no token tells actions apart
    waits_in: str | None = None
    sent_at: datetime | None = None  # when its message was published; None for a notification
    generation: int | None = None  # of the record that the message follows; None if none is known
    quiet: bool = False  # whether the next pass comes QUIET_SECONDS later, and not at the interval
    was_active: bool = False  # whether a pass has found the container instance ACTIVE
    sought_at: datetime | None = None  # when it was last looked for; None if its agent is connected


@dataclass(frozen=True, slots=True)
class WakeUp:
    """An event about an EC2 instance, by its id, which may be back in service."""

    ec2_instance_id: str


@dataclass(frozen=True, slots=True)
class StoppedTask:
    """An event that says that a task on a container instance is STOPPED."""

    container_instance_arn: str


@dataclass(frozen=True, slots=True)
class Sweep:
    """The schedule's request to look for everything that waits."""


@dataclass(frozen=True, slots=True)
class ContainerInstance:
    """A container instance as ECS describes it."""

    arn: str
    ec2_instance_id: str  # the EC2 instance that it says it is
    status: str  # ACTIVE, DRAINING, REGISTERING, DEREGISTERING, REGISTRATION_FAILED, INACTIVE
    agent_connected: bool  # whether its agent can report anything at present
    running_tasks: int  # tasks whose *desired* status is RUNNING, not those that are stopping
    pending_tasks: int
    cluster: str = ""  # name or ARN of the cluster that was asked
    drained_for: str = ""  # checksum of the stack for which it was set DRAINING; empty for none
    interrupted: str = ""  # the same for Spot: what it did or recommended, and until when
    drained_by: str = ""  # the same for `drainer drain`: when, and which caller; empty for none
    memory_is_free: bool = False  # whether ECS shows no task that takes memory, as all wanted do
    registered_at: datetime | None = None  # when its agent registered it

    @property
    def counted_tasks(self) -> int:
        """The tasks that ECS's two counters know of."""
        return self.running_tasks + self.pending_tasks


# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-lifecycle-explanation.html
# names the last statuses; every other one means that a container or its network may be alive.
ENDED_STATUSES = frozenset({"STOPPED", "DELETED"})


@dataclass(frozen=True, slots=True)
class Task:
    """A task as ECS describes it."""

    id: str  # the last part of its ARN
    owner: Owner
    group: str  # `service:NAME` or `family:NAME`
    desired_status: str  # what ECS wants of it
    last_status: str  # where it is
    cluster: str = ""  # name or ARN of the cluster that was asked
    container_instance_arn: str = ""  # where it is; empty on Fargate

    @property
    def remains(self) -> bool:
        """Whether anything of the task may still be alive."""
        return self.last_status not in ENDED_STATUSES

    @property
    def wanted(self) -> bool:
        """Whether ECS still wants the task to run."""
        return self.desired_status not in ENDED_STATUSES

    def __str__(self) -> str:
        """Say whose the task is, how far it is and which one it is."""
        return f"{self.owner} {self.last_status} {self.group} {self.id}"
