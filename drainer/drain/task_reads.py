"""
Describe tasks and list them, as far as ECS answers and the time of an invocation allows.

It changes nothing. What ECS refuses to describe is not missing.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from drainer.drain.ecs_reads import ACTING_SECONDS
from drainer.errors import RefusedError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from drainer.drain.ecs_reads import EcsReads
    from drainer.drain.model import ContainerInstance, Task
    from drainer.invocation import InvocationClock

# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeTasks.html
DESCRIBED_TOGETHER = 100

# A call that ECS refuses is repeated with half of its tasks, until it is known which are refused.
# With so many of them it is the call that is refused: a hundred tasks would take 200 reads.
REFUSED_MAX = 5

# What is left, beside that for acting, for describing the tasks that were listed: a listing of
# which no task is described is thrown away.
DESCRIBING_SECONDS = 5.0

# A task that is STOPPED stays so, and "stopped tasks ... appear in the returned results for at
# least one hour": a host of short jobs lists thousands, which need not be described again. Their
# ids take some five megabytes.
STOPPED_REMEMBERED_MAX = 50_000


class StoppedTasks:
    """The ids of tasks that were seen STOPPED, as many as are remembered; nothing else of them."""

    def __init__(self) -> None:
        self._ids: OrderedDict[str, None] = OrderedDict()

    def __contains__(self, task_id: str) -> bool:
        return task_id in self._ids

    def add(self, tasks: Iterable[Task]) -> None:
        """Remember those of the tasks that are STOPPED."""
        for task in tasks:
            if not task.remains:
                self._ids[task.id] = None
        for _ in range(len(self._ids) - STOPPED_REMEMBERED_MAX):
            self._ids.popitem(last=False)


class TaskReads:
    """
    One pass's reads of tasks; each raises a DrainerError, also where no time is left.
    """

    def __init__(self, ecs: EcsReads, time: InvocationClock) -> None:
        self._ecs = ecs
        self._time = time

    def tasks(
        self, cluster: str, ids: Sequence[str], refused: dict[str, RefusedError]
    ) -> dict[str, Task]:
        """Describe tasks, and note which of them ECS refuses to describe."""
        tasks: dict[str, Task] = {}
        for start in range(0, len(ids), DESCRIBED_TOGETHER):
            tasks.update(self._some(cluster, ids[start : start + DESCRIBED_TOGETHER], refused))
        return tasks

    def _some(
        self, cluster: str, ids: Sequence[str], refused: dict[str, RefusedError]
    ) -> dict[str, Task]:
        self._must_have_time()
        try:
            return self._ecs.tasks(cluster, ids)
        except RefusedError as error:
            if len(refused) >= REFUSED_MAX:
                raise
            if len(ids) == 1:
                # A refusal says nothing of the task: it is not missing.
                refused[ids[0]] = error
                return {}
            middle = len(ids) // 2
            first, second = ids[:middle], ids[middle:]
            return self._some(cluster, first, refused) | self._some(cluster, second, refused)

    def ids(self, instance: ContainerInstance, desired_status: str) -> list[str]:
        """Return the ids of a container instance's tasks of one desired status."""
        self._must_have_time(DESCRIBING_SECONDS)
        return self._ecs.task_ids(
            instance.cluster,
            instance.arn,
            desired_status=desired_status,
            go_on=self._has_time_to_list,
        )

    def _has_time_to_list(self) -> bool:
        return self._time.seconds_left() >= ACTING_SECONDS + DESCRIBING_SECONDS

    def _must_have_time(self, beside: float = 0.0) -> None:
        if self._time.seconds_left() < ACTING_SECONDS + beside:
            raise UnavailableError("No time was left to read tasks: the next pass does")
