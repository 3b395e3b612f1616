"""
A drain and a look at it, with the instant and the settings to judge them by: pure arithmetic.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from drainer.drain.model import (
    DRAIN_TIMEOUT_SECONDS_MAX,
    Drain,
    LifecycleActionResult,
    Observation,
    Owner,
    Registration,
    StandaloneTasks,
    Task,
    Waiting,
)

GLOBAL_TIMEOUT_MARGIN_SECONDS = 120


class Settings(Protocol):
    """What of the function's settings a look is judged by."""

    @property
    def pass_interval_seconds(self) -> int:
        """The time between two passes, in seconds."""

    @property
    def deadline_result(self) -> LifecycleActionResult:
        """What is answered at the deadline."""


@dataclass(frozen=True, slots=True)
class View:
    """
    A drain, a look at it, and the instant and settings to judge them by.

    Attributes:
        drain: What is known of it.
        seen: What the look has seen.
        now: When the pass began.
        pass_interval_seconds: The time between two passes.
        deadline_result: What is answered at the deadline where the hook says nothing else.
        proven: Whether Auto Scaling has confirmed the action to an earlier pass.
    """

    drain: Drain
    seen: Observation
    now: datetime
    pass_interval_seconds: int
    deadline_result: LifecycleActionResult
    proven: bool = True

    @property
    def margin_seconds(self) -> int:
        """
        How long before the hook's global timeout a drain must end.

        The answer must be given before Auto Scaling gives it for us: four passes, an invocation
        that runs into its timeout, and the rest for a clock that differs.
        """
        return GLOBAL_TIMEOUT_MARGIN_SECONDS + 4 * self.pass_interval_seconds

    @property
    def deadline_at(self) -> datetime:
        """
        The deadline; until the hook has been read, the latest instant that it can grant.

        A read that failed must not end a drain to which the hook grants more time.
        """
        longest = timedelta(seconds=DRAIN_TIMEOUT_SECONDS_MAX - self.margin_seconds)
        return self.drain.deadline_at or self.drain.started_at + longest

    @property
    def status(self) -> str:
        """The container instance's status, empty where it was not seen."""
        instance = self.seen.container_instance
        return instance.status if instance and self.seen.registration == Registration.FOUND else ""

    @property
    def waiting(self) -> bool:
        """Whether Auto Scaling was seen to wait for an answer."""
        return self.seen.waiting == Waiting.YES

    @property
    def counted(self) -> int:
        """The tasks that ECS's two counters know of."""
        instance = self.seen.container_instance
        return instance.running_tasks + instance.pending_tasks if instance else 0

    def blocks(self, task: Task) -> bool:
        """Whether the task keeps the instance, by the drain's policy."""
        return task.remains and not (ignores_standalone(self.drain) and is_standalone(task))

    @property
    def blocking(self) -> tuple[Task, ...]:
        """The known tasks that keep the instance."""
        return tuple(task for task in self.seen.tasks if self.blocks(task))

    @property
    def unexplained(self) -> int:
        """How many counted tasks are not among the ignored ones: they keep the instance too."""
        ignored = sum(
            task.wanted and task.remains and not self.blocks(task) for task in self.seen.tasks
        )
        return max(0, self.counted - ignored)

    @property
    def hops_max(self) -> int:
        """Twice the passes that fit before the deadline: more means that nothing delays them."""
        span_seconds = (self.deadline_at - self.drain.started_at).total_seconds()
        return int(2 * span_seconds / self.pass_interval_seconds) + 100


def is_standalone(task: Task) -> bool:
    """Whether no service owns the task."""
    return task.owner == Owner.STANDALONE


def ignores_standalone(drain: Drain) -> bool:
    """Whether standalone tasks do not keep the instance, by the drain's policy."""
    return drain.policy is not None and drain.policy.standalone_tasks == StandaloneTasks.IGNORE
