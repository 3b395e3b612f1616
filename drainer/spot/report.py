"""
What is asked for an interruption, and what was done about it: shared by the steps of the answer.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from drainer.errors import MisconfiguredError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from drainer.spot.comeback_events import Comeback
    from drainer.spot.events import (
        Interruption,
        LoadBalancer,
        Placed,
        Target,
        TaskInterruption,
    )


@dataclass(frozen=True, slots=True)
class Service:
    """
    A service, as far as its tasks' way out depends on it.

    Attributes:
        name: Its name.
        task_definition: What its tasks are made from; empty where task sets differ.
        load_balancers: Its own, and those of its task sets; alternates of blue/green included.
        running: How many tasks it has that run.
    """

    name: str
    task_definition: str
    load_balancers: tuple[LoadBalancer, ...]
    running: int = 0


class SpotReads(Protocol):
    """What is asked of ECS and Elastic Load Balancing; every method may raise a DrainerError."""

    def services(self, cluster: str, names: Sequence[str]) -> dict[str, Service]:
        """Return the services that there are, by name."""

    def placed(self, cluster: str, task_ids: Sequence[str]) -> list[Placed]:
        """Return where those of the tasks that are of services can be reached."""

    def deregister(self, target_group_arn: str, targets: Sequence[Target]) -> None:
        """Take up to a hundred targets out of a target group, or none of them."""

    def healthy(self, target_group_arn: str) -> set[Target]:
        """Return the healthy targets of a target group."""

    def deregistration_seconds(self, target_group_arn: str) -> int:
        """Return how long a target group lets its targets drain."""

    def stop_seconds(self, task_definition: str) -> int:
        """Return the longest time that a container may take to exit."""


@dataclass(slots=True)
class InterruptionReport:
    """
    What was done about one interruption.

    Attributes:
        interruption: What Spot took back, or has given back.
        cluster: Where the container instance was found; empty where in none.
        places: Cluster and ARN of each registration of the instance, and its running tasks.
        drained: Whether it was set DRAINING.
        active: Whether it was set ACTIVE again.
        first: Whether no earlier event told of the same; metrics count it then alone.
        deregistered: How many targets were taken out, in how many target groups.
        kept: Target groups whose last healthy target stays in until a replacement is healthy.
        late: What will not make it, in words for an operator.
        errors: What failed on the way.
        denied: How many of those another try would not change.
        retry_reason: Why the event must come again; empty where it must not.
    """

    interruption: Interruption | TaskInterruption | Comeback
    cluster: str = ""
    places: list[tuple[str, str, int]] = field(default_factory=list)
    drained: bool = False
    active: bool = False
    first: bool = True
    deregistered: tuple[int, int] = (0, 0)
    kept: tuple[str, ...] = ()
    late: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()
    denied: int = 0
    retry_reason: str = ""

    @property
    def key(self) -> str:
        """What tells the instance or the task from all others."""
        return self.interruption.key

    def comes_again(self, reason: str) -> None:
        """Let the event come again though no call failed."""
        self.retry_reason = self.retry_reason or reason

    def is_late(self, service: str, delay: int, stop: int, left_seconds: int) -> None:
        """Note that a service's tasks need longer than there is."""
        sentence = (
            f"{service}: deregistration delay {delay} s and stop timeout {stop} s, "
            f"{left_seconds} s are left"
        )
        self.late = (*self.late, sentence)

    def add_error(self, what: str, error: object) -> None:
        """
        Note what failed.

        A throttle is tried again with the event; a denied call would be denied again for hours.
        """
        sentence = f"{what}: {error}"
        if sentence in self.errors:
            return
        self.errors = (*self.errors, sentence)
        if isinstance(error, UnavailableError):
            self.retry_reason = self.retry_reason or sentence
        self.denied += isinstance(error, MisconfiguredError)

    def keeps(self, target_group_arn: str) -> None:
        """Note that the last healthy target of a target group stays in for now."""
        self.kept = (*self.kept, target_group_arn)
        self.comes_again(f"The last healthy target of {target_group_arn} stays registered")

    def took(self, targets: int, groups: int) -> None:
        """Add targets that were taken out."""
        self.deregistered = (self.deregistered[0] + targets, self.deregistered[1] + groups)
