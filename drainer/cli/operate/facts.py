"""
What a command knows before it acts: values without AWS.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from drainer.drain.attributes import DRAINED_BY, DRAINED_FOR, INTERRUPTED
from drainer.drain.model import ENDED_STATUSES
from drainer.lifecycle.hooks import is_waiting

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from drainer.drain.model import Hook
    from drainer.drain.record import DrainRecord

# What is kept of a drain by hand: its caller and time, and the reason. Attributes hold it, since a
# drain without a hook has no record, and every reader of a container instance gets its attributes
# in the same answer, with or without the drainer's stack. A container instance has at most ten.
# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_PutAttributes.html
DRAINED_WHY = "drainer.drained-why"
BY_HAND = (DRAINED_BY, DRAINED_WHY)

RETAINED_SUFFIX = ":Retained"


@dataclass(frozen=True, slots=True)
class SeenTask:
    """
    A task as ECS describes it.

    Attributes:
        id: The last part of its ARN.
        group: `service:NAME` or `family:NAME`.
        status: Its last status.
        started_at: Since when it runs; None if it does not.
    """

    id: str
    group: str
    status: str
    started_at: datetime | None = None

    @property
    def remains(self) -> bool:
        """Whether anything of the task may still be alive."""
        return self.status not in ENDED_STATUSES

    @property
    def owner(self) -> str:
        """Say whose it is: `service api`, or `job etl` for one that no service owns."""
        kind, _, name = self.group.partition(":")
        return f"service {name}" if kind == "service" else f"job {name or self.group}"


@dataclass(frozen=True, slots=True)
class Registration:
    """A container instance, as one cluster knows an EC2 instance."""

    cluster: str
    arn: str
    status: str
    agent_connected: bool = True
    attributes: Mapping[str, str] = field(default_factory=dict)
    tasks: tuple[SeenTask, ...] = ()

    @property
    def cluster_name(self) -> str:
        """The cluster's short name."""
        return self.cluster.rpartition("/")[2]

    @property
    def remaining(self) -> tuple[SeenTask, ...]:
        """Its tasks of which anything may be alive."""
        return tuple(one for one in self.tasks if one.remains)

    @property
    def is_for_a_stack(self) -> bool:
        """Whether a request of CloudFormation had it set DRAINING."""
        return DRAINED_FOR in self.attributes

    @property
    def is_interrupted(self) -> bool:
        """Whether Spot takes its EC2 instance back."""
        return INTERRUPTED in self.attributes


@dataclass(frozen=True, slots=True)
class Table:
    """The drainer's table, and the time between two passes."""

    name: str
    pass_interval_seconds: int


@dataclass(frozen=True, slots=True)
class Machine:
    """
    An EC2 instance: what ECS, Auto Scaling and the drainer's table say of it.

    Attributes:
        id: Its EC2 id.
        registrations: Its container instances, in all clusters that were read.
        group: Its Auto Scaling group; empty for none.
        state: Its lifecycle state there; empty for none.
        hooks: The terminating hooks of its group, if it waits.
        records: The drainer's records of it, if the table was read.
        clusters: How many clusters were searched.
        unread: What could not be read, each with its reason.
    """

    id: str
    registrations: tuple[Registration, ...] = ()
    group: str = ""
    state: str = ""
    hooks: tuple[Hook, ...] = ()
    records: tuple[DrainRecord, ...] = ()
    clusters: int = 0
    unread: tuple[str, ...] = ()

    @property
    def waits(self) -> bool:
        """Whether it waits at a terminating hook."""
        return is_waiting(self.state)

    @property
    def is_retained(self) -> bool:
        """Whether an ABANDON has kept it: it is billed, and its group does not count it."""
        return self.state.endswith(RETAINED_SUFFIX)

    @property
    def remaining(self) -> tuple[SeenTask, ...]:
        """Its tasks of which anything may be alive."""
        return tuple(task for one in self.registrations for task in one.remaining)

    @property
    def where(self) -> str:
        """Say where it is: `payments-asg, payments`."""
        names = [self.group, *dict.fromkeys(one.cluster_name for one in self.registrations)]
        return ", ".join(name for name in names if name) or "no group, no cluster"
