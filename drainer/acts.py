"""
What a pass does to ECS, and what comes of each drain: shared by all who call upon the machine.

Every act can be done twice; what fails is noted at its drain, and spoils no other.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from drainer import machine
from drainer.errors import DrainerError, RefusedError
from drainer.finder import EcsReads
from drainer.machine import Decision, Step

if TYPE_CHECKING:
    from collections.abc import Sequence

    from drainer.model import Drain, LifecycleActionResult
    from drainer.view import View

# UpdateContainerInstancesState, PutAttributes and PublishBatch each take ten; so ten drains are
# the unit that is acted upon, or goes back as a whole when time runs out.
# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_UpdateContainerInstancesState.html
TOGETHER_MAX = 10

# What a unit may need, should its calls be slow: a unit that could be cut in half is not begun.
UNIT_SECONDS = 5.0

# A container instance with hundreds of standalone tasks must not use up an invocation.
STOPS_MAX = 20

# Who stops a task says why: the task's owner reads this in its description.
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
    """
    What a pass did about one drain.

    Attributes:
        drain: As the look left it.
        view: What was seen, and when.
        decision: What it led to.
        answered: The answer that Auto Scaling took.
        drained_now: Whether the container instance was set DRAINING.
        heartbeat: Whether a heartbeat was recorded.
        stopped: Whether every standalone task that was to stop has been told to.
        over: Whether Auto Scaling said that it no longer waits.
        published: Whether the re-invocation went out.
        marked: Whether the mark on the container instance was renewed.
        troubles: What failed on the way and will be done again, in words for an operator.
        undone: Why the message must be delivered again; empty where the pass is complete.
    """

    drain: Drain
    view: View
    decision: Decision
    answered: LifecycleActionResult | None = None
    drained_now: bool = False
    heartbeat: bool = False
    stopped: bool = False
    over: bool = False
    published: bool = False
    marked: bool = False
    undone: str = ""
    troubles: tuple[str, ...] = ()

    def following(self) -> Drain:
        """Return the drain as the next pass gets it, after what this one has done so far."""
        return machine.carry_on(
            self.view,
            drained_now=self.drained_now,
            heartbeat=self.heartbeat,
            stopped=self.stopped,
        )

    @property
    def ended(self) -> bool:
        """Whether nothing of the drain goes round any more."""
        return self.over or self.answered is not None or self.decision.step == Step.STOP

    def trouble(self, what: str, error: object) -> None:
        """Note what failed; the next pass does it again."""
        self.troubles = (*self.troubles, f"{what}: {error}")

    @property
    def cluster(self) -> str:
        """The cluster of the container instance."""
        return self.drain.cluster or ""

    @property
    def container_instance_arn(self) -> str:
        """The ARN of the container instance."""
        return self.drain.container_instance_arn or ""


class EcsActs:
    """
    Acts on ECS for drains that have been decided about.

    Args:
        ecs: ECS.
    """

    def __init__(self, ecs: Ecs) -> None:
        self._ecs = ecs

    def set_draining(self, unit: Sequence[Outcome]) -> None:
        """Set up to TOGETHER_MAX container instances DRAINING, where that is what was decided."""
        by_cluster: dict[str, list[Outcome]] = defaultdict(list)
        for outcome in unit:
            if outcome.decision.step == Step.DRAIN_THEN_GO_ROUND:
                by_cluster[outcome.cluster].append(outcome)
        for cluster, members in by_cluster.items():
            self._set_draining_together(cluster, members)

    def _set_draining_together(self, cluster: str, members: Sequence[Outcome]) -> None:
        # Two hooks of one group have one container instance.
        arns = list(dict.fromkeys(outcome.container_instance_arn for outcome in members))
        try:
            refusals = self._ecs.set_draining(cluster, arns)
        except RefusedError as error:
            if len(members) > 1:
                # One container instance that has changed its status must not hold up the others.
                for outcome in members:
                    self._set_draining_together(cluster, [outcome])
            else:
                members[0].trouble("setting DRAINING", error)
            return
        except DrainerError as error:
            for outcome in members:
                outcome.trouble("setting DRAINING", error)
            return
        for outcome in members:
            refusal = refusals.get(outcome.container_instance_arn)
            if refusal is None:
                outcome.drained_now = True
            else:
                outcome.trouble("setting DRAINING", refusal)

    def stop_tasks(self, outcome: Outcome) -> None:
        """Stop the standalone tasks that were decided to be stopped, STOPS_MAX at most."""
        stopped = 0
        for task_id in outcome.decision.stop_tasks[:STOPS_MAX]:
            try:
                self._ecs.stop_task(outcome.cluster, task_id, STOP_REASON)
                stopped += 1
            except DrainerError as error:
                outcome.trouble(f"stopping task {task_id}", error)
                break  # the next pass lists them again; a throttle is not to be argued with
        all_of_them = stopped == len(outcome.decision.stop_tasks)
        outcome.stopped = all_of_them and machine.stops_standalone(outcome.view)
