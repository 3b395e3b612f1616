"""
The calls of a pass that change ECS, and the outcome of each drain. Lifecycle actions and custom
resources share them.

Every action can be repeated. A failure is stored at its drain and does not stop the others.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from drainer.drain import may_leave, task_set
from drainer.drain.ecs_reads import EcsReads
from drainer.drain.may_leave import Act
from drainer.errors import DrainerError, RefusedError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime

    from drainer.drain.look import Look
    from drainer.drain.may_leave import Decision
    from drainer.drain.model import InstanceProgress

# UpdateContainerInstancesState, PutAttributes and PublishBatch each take ten; so ten drains are
# the unit that is acted upon, or goes back as a whole when time runs out.
# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_UpdateContainerInstancesState.html
TOGETHER_MAX = 10

# What a unit may need, should its calls be slow: a unit that could be cut in half is not begun.
UNIT_SECONDS = 5.0

# The time of one call of a slow API, and the time kept for the record's write and the publication.
# A pass that cannot make the next call in time does not begin it.
CALL_SECONDS = 4.0
NO_TIME = "No time was left in the invocation"

# A container instance with hundreds of standalone tasks must not use up an invocation.
STOPS_MAX = 20

ACTIVE = "ACTIVE"

# The reason for stopping a task, which its owner reads in the task's description.
STOP_REASON = "drainer: the EC2 instance leaves and the standalone grace period is over"


class Ecs(EcsReads, Protocol):
    """What a pass asks of ECS; every method may raise a DrainerError."""

    def set_draining(self, cluster: str, arns: Sequence[str]) -> dict[str, str]:
        """Set up to TOGETHER_MAX container instances DRAINING; return refusals by ARN."""

    def put_attributes(self, cluster: str, values: Sequence[tuple[str, str, str]]) -> None:
        """Put up to TOGETHER_MAX attributes: the container instance's ARN, name and value."""

    def stop_task(self, cluster: str, task_id: str, reason: str) -> None:
        """Stop a task."""


@dataclass(slots=True)
class Outcome:
    """What a pass did about one EC2 instance."""

    look: Look  # what was seen, and when
    decision: Decision  # what it led to
    # when the container instance had been set DRAINING; None if it was not
    drained_at: datetime | None = None
    stopped: bool = False  # whether every standalone task that was to stop has been told to
    # what failed on the way and will be done again, in words for an operator
    errors: tuple[str, ...] = ()

    @property
    def drain(self) -> InstanceProgress:
        """What is remembered of the instance, as the look left it."""
        return self.look.drain

    @property
    def drained_now(self) -> bool:
        """Whether this pass has set the container instance DRAINING."""
        return self.drained_at is not None

    @property
    def cluster(self) -> str:
        """The cluster of the container instance."""
        return self.drain.cluster or ""

    def following(self) -> InstanceProgress:
        """Return what the next pass needs to know, after what this one has done so far."""
        return may_leave.carry_on(
            self.look, self.drain, drained_at=self.drained_at, stopped=self.stopped
        )

    def drained(self, arn: str, at: datetime) -> None:
        """Note when a registration was set DRAINING; one that was left behind dates nothing."""
        if arn not in {one.arn for one in self.look.left_behind}:
            self.drained_at = at

    def add_error(self, what: str, error: object) -> None:
        """Note what failed; the next pass does it again."""
        self.errors = (*self.errors, f"{what}: {error}")


def failure_of(call: Callable[..., object], *args: Any) -> DrainerError | None:
    """Make a call; return why it did not succeed, or None."""
    try:
        call(*args)
    except DrainerError as error:
        return error
    return None


def reasons_of(telling: Callable[[], Iterable[str]]) -> list[str]:
    """Tell somebody of a pass that is made; return why that failed, each reason once."""
    try:
        return sorted(telling())
    except DrainerError as error:
        return [str(error)]
    except Exception as error:  # noqa: BLE001 (the pass must not come again for this)
        return [f"{type(error).__name__}: {error}"]


def together(
    arns: Sequence[str], call: Callable[[Sequence[str]], dict[str, str]]
) -> dict[str, str]:
    """
    Make one call for up to TOGETHER_MAX container instances; return refusals by ARN.

    Where ECS refuses the whole call, each is tried alone: one that has changed its status, or is
    gone, must not stop the others from being drained.
    """
    try:
        return call(arns)
    except RefusedError as error:
        if len(arns) > 1:
            return {arn: why for one in arns for arn, why in together([one], call).items()}
        return dict.fromkeys(arns, str(error))
    except DrainerError as error:
        return dict.fromkeys(arns, str(error))


class EcsActions:
    """Acts on ECS for drains that have been decided about."""

    def __init__(self, ecs: Ecs) -> None:
        self._ecs = ecs

    def set_draining(self, unit: Sequence[Outcome], clock: Callable[[], datetime]) -> None:
        """
        Set container instances DRAINING, where that is what was decided.

        Args:
            unit: Up to TOGETHER_MAX drains.
            clock: Says how late it is, which is later than the pass's instant.
        """
        by_cluster: dict[str, dict[str, list[Outcome]]] = defaultdict(lambda: defaultdict(list))
        for outcome in unit:
            if outcome.decision.act == Act.SET_DRAINING:
                for one in outcome.look.to_drain:
                    # Two hooks of one group have one container instance.
                    if one.status == ACTIVE:
                        by_cluster[one.cluster][one.arn].append(outcome)
        for cluster, members in by_cluster.items():
            for start in range(0, len(members), TOGETHER_MAX):
                arns = list(members)[start : start + TOGETHER_MAX]
                refusals = together(arns, partial(self._ecs.set_draining, cluster))
                for arn in arns:
                    for outcome in members[arn]:
                        if arn in refusals:
                            outcome.add_error("DRAINING was not set", refusals[arn])
                        else:
                            outcome.drained(arn, clock())

    def stop_tasks(self, outcome: Outcome, seconds_left: Callable[[], float]) -> None:
        """Stop the standalone tasks that were decided to be stopped, STOPS_MAX at most."""
        stopped = 0
        clusters = {task.id: task.cluster for task in outcome.look.tasks.values()}
        for task_id in outcome.decision.stop_tasks[:STOPS_MAX]:
            if seconds_left() < 2 * CALL_SECONDS:
                break  # the next pass stops the others
            cluster = clusters.get(task_id) or outcome.cluster
            error = failure_of(self._ecs.stop_task, cluster, task_id, STOP_REASON)
            stopped += error is None
            if error is not None:
                outcome.add_error(f"Task {task_id} was not stopped", error)
            if isinstance(error, UnavailableError):
                break  # the next pass stops it: a throttled API needs a pause
        all_of_them = stopped == len(outcome.decision.stop_tasks)
        outcome.stopped = all_of_them and task_set.stops_standalone(outcome.look)
