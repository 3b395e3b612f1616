"""
The words of the domain as plain values: what is asked, what was seen, what is carried along.

Nothing here acts, reads a clock or imports anything of ours; everything else imports it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime


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
    """Where a drain comes from, which decides what is believed of it and whether it goes round."""

    CHAIN = "chain"  # a notice, or a re-invocation that follows from one
    HINT = "hint"  # an event that says that now is a good time to look; never goes round
    SWEEP = "sweep"  # found waiting by the sweep; goes round where no chain is alive


class Owner(StrEnum):
    """Whose a task is: a service's (replica or daemon), or nobody's."""

    SERVICE = "service"
    STANDALONE = "standalone"


@dataclass(frozen=True, slots=True)
class LifecycleAction:
    """
    One EC2 instance passing one lifecycle hook once: the unit of work.

    Attributes:
        auto_scaling_group_name: The group that the instance leaves.
        lifecycle_hook_name: The hook that holds it.
        ec2_instance_id: The machine, as Auto Scaling knows it.
        lifecycle_action_token: Names this one action; sent back wherever it is known. What a hint
            or the sweep has found has none: Auto Scaling tells it to the notice alone.
    """

    auto_scaling_group_name: str
    lifecycle_hook_name: str
    ec2_instance_id: str
    lifecycle_action_token: str


@dataclass(frozen=True, slots=True)
class Policy:
    """
    What the hook's owner wants of a drain, read from its notification metadata.

    Attributes:
        cluster: Name or ARN of the ECS cluster; None where the metadata names none.
        drain_timeout_seconds: How long a drain may take, from the notice's time.
        deadline_result: The answer once the deadline has passed.
        standalone_tasks: Wait for them, stop them after the grace period, or ignore them.
        standalone_grace_seconds: How long they may go on before they are stopped.
    """

    cluster: str | None
    drain_timeout_seconds: int
    deadline_result: LifecycleActionResult
    standalone_tasks: StandaloneTasks
    standalone_grace_seconds: int


@dataclass(frozen=True, slots=True)
class Hook:
    """
    A lifecycle hook as Auto Scaling describes it.

    Attributes:
        name: Its name within the group.
        heartbeat_timeout_seconds: What each heartbeat restarts.
        global_timeout_seconds: What no heartbeat gets past, from the notice's time.
        notification_target_arn: Where its notices go; None for EventBridge alone.
        notification_metadata: Its owner's free text; None where there is none.
    """

    name: str
    heartbeat_timeout_seconds: int
    global_timeout_seconds: int
    notification_target_arn: str | None
    notification_metadata: str | None


# A sample large enough to hold all tasks of most container instances, small enough for a message.
WITNESSES_MAX = 10


@dataclass(frozen=True, slots=True)
class Drain:
    """
    A lifecycle action under way, and what cannot be observed again; it travels in the envelope.

    Attributes:
        action: Which lifecycle action.
        started_at: When Auto Scaling began to wait; the deadline counts from here.
        last_heartbeat_at: When the hook's timeout was last restarted.
        hop: How many re-invocations led here; 0 for a notice.
        origin: Where this drain comes from.
        by_event_bridge: Whether the notice came by EventBridge, which carries those of all hooks.
        deadline_at: Fixed once the hook is known, then only ever tightened.
        heartbeat_timeout_seconds: Of the hook; None until it has been looked up.
        policy: Of the hook; None until it has been looked up.
        cluster: Name or ARN of the cluster in which the container instance was found.
        container_instance_arn: The same machine, as its ECS cluster knows it.
        draining_since: When a look first ended with the container instance DRAINING.
        witnesses: Ids of tasks not yet STOPPED at the last exact look, a bounded sample.
        standalone_stopped: Whether the standalone tasks have been told to stop.
        listed_before: Whether an earlier look has listed the tasks that ECS wants stopped.
        absent_before: Whether the last look found the container instance gone.
        not_waiting_before: Whether the last look found Auto Scaling not waiting.
    """

    action: LifecycleAction
    started_at: datetime
    last_heartbeat_at: datetime
    hop: int = 0
    origin: Origin = Origin.CHAIN
    by_event_bridge: bool = False
    deadline_at: datetime | None = None
    heartbeat_timeout_seconds: int | None = None
    policy: Policy | None = None
    cluster: str | None = None
    container_instance_arn: str | None = None
    draining_since: datetime | None = None
    witnesses: tuple[str, ...] = ()
    standalone_stopped: bool = False
    listed_before: bool = False
    absent_before: bool = False
    not_waiting_before: bool = False


@dataclass(frozen=True, slots=True)
class Hint:
    """An event that says that now is a good time to look at an EC2 instance."""

    ec2_instance_id: str


@dataclass(frozen=True, slots=True)
class Sweep:
    """The schedule's request to look for everything that waits."""


@dataclass(frozen=True, slots=True)
class Mark:
    """
    The chain's footprint on the container instance: what cannot be observed, kept where we look.

    Attributes:
        token_checksum: Of the lifecycle action token; empty where the chain was begun without one.
        hop: The last hop whose re-invocation was published.
        at: When that was; long ago where nothing was published yet.
        started_at: When Auto Scaling began to wait.
        deadline_at: When the drain must be answered.
        last_heartbeat_at: When the hook's timeout was last restarted.
        draining_since: When a look first ended with the container instance DRAINING.
    """

    token_checksum: str
    hop: int
    at: datetime
    started_at: datetime
    deadline_at: datetime
    last_heartbeat_at: datetime
    draining_since: datetime | None


@dataclass(frozen=True, slots=True)
class ContainerInstance:
    """
    A container instance as ECS describes it.

    Attributes:
        arn: Its ARN.
        ec2_instance_id: The EC2 instance that it says it is.
        status: ACTIVE, DRAINING, REGISTERING, DEREGISTERING, REGISTRATION_FAILED, INACTIVE.
        agent_connected: Whether its agent can report anything at present.
        running_tasks: Tasks whose *desired* status is RUNNING; blind to tasks that are stopping.
        pending_tasks: Tasks that are PENDING.
        free: Whether no task holds memory of it; False where that cannot be told.
        marks: Ours, by the checksum of the lifecycle hook.
        drained_for: Checksum of the stack for which it was set DRAINING; empty for none.
        interrupted: What Spot did for which it was set DRAINING, and until when; empty for none.
    """

    arn: str
    ec2_instance_id: str
    status: str
    agent_connected: bool
    running_tasks: int
    pending_tasks: int
    free: bool = False
    marks: Mapping[str, Mark] = field(default_factory=dict)
    drained_for: str = ""
    interrupted: str = ""


# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-lifecycle-explanation.html
# names the last statuses; every other one means that a container or its network may be alive.
ENDED_STATUSES = frozenset({"STOPPED", "DELETED"})


@dataclass(frozen=True, slots=True)
class Task:
    """
    A task as ECS describes it.

    Attributes:
        id: The last part of its ARN.
        owner: A service, or nobody.
        group: `service:NAME` or `family:NAME`.
        desired_status: What ECS wants of it.
        last_status: Where it is.
    """

    id: str
    owner: Owner
    group: str
    desired_status: str
    last_status: str

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


class Waiting(StrEnum):
    """What a look at Auto Scaling says about the lifecycle action."""

    YES = "yes"  # the instance is in a wait state of the group
    NO = "no"  # it is in none; a stale answer says so too, hence the second look
    OVER = "over"  # it has gone on, or belongs to another group: never ours to answer
    UNSEEN = "unseen"  # the look failed


class Registration(StrEnum):
    """What a look at ECS says about the container instance."""

    FOUND = "found"
    ABSENT = "absent"  # a sound search of the right clusters found none
    UNSEEN = "unseen"  # the look failed, or the clusters are not the right ones


@dataclass(frozen=True, slots=True)
class Observation:
    """
    What one look saw of one drain.

    Attributes:
        waiting: Whether Auto Scaling still waits for an answer.
        registration: Whether ECS has the container instance.
        container_instance: Its description where it was found.
        tasks: What is known of its tasks: all of them if `exact`, else some.
        exact: Whether `tasks` are all tasks of both desired statuses.
        nowhere: Whether no cluster that there is has the container instance, though one that is
            named does not exist.
        deferred: Whether listing the tasks was put off to a later pass.
        reason: Why something was not seen, in words for an operator.
    """

    waiting: Waiting
    registration: Registration
    container_instance: ContainerInstance | None = None
    tasks: tuple[Task, ...] = ()
    exact: bool = False
    nowhere: bool = False
    deferred: bool = False
    reason: str = ""

    @property
    def remaining(self) -> tuple[Task, ...]:
        """The known tasks that are not STOPPED."""
        return tuple(task for task in self.tasks if task.remains)
