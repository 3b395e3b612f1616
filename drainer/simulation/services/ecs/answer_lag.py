"""
How old each kind of ECS's answers is, and what a task or a registration was then.

"The Amazon ECS API follows an eventual consistency model": what a command did "might not be
immediately visible to all subsequent commands you run".
https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RunTask.html
"""

from __future__ import annotations

from contextlib import contextmanager
from copy import copy
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal, TypeVar

from drainer.simulation.services.ecs.model import LONG_AGO

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from random import Random

    from drainer.simulation.account import Account
    from drainer.simulation.services.ecs.model import Cluster, ContainerInstance, Task

# AWS publishes no figure; delays of some seconds have been reported.
ANSWER_LAG_SECONDS_MAX = 20.0
# Half of the time an answer is up to date, and it keeps its lag for two minutes on average.
OTHER_REPLICA_SHARE = 0.2
UP_TO_DATE_SHARE = 0.5
# How often an answer that is old is as old as any is.
MOST_SHARE = 0.4
KEPT_SECONDS = 120.0
# As of when an answer is given that is up to date.
PRESENT = datetime.max.replace(tzinfo=UTC)

AnswerKind = Literal[
    "ListTasks RUNNING",
    "ListTasks STOPPED",
    "DescribeTasks",
    "DescribeContainerInstances",
    "DescribeContainerInstances counts",
    "ListContainerInstances",
]
State = TypeVar("State")


class AnswerLags:
    """Says for each kind of ECS's answers how old they are."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._seconds: dict[AnswerKind, float] = {}
        self._random: Random | None = None
        self._tell: Callable[[AnswerKind, float], None] | None = None
        self._until: dict[AnswerKind, datetime] = {}
        self._present = False

    def set(self, seconds: Mapping[AnswerKind, float]) -> None:
        """
        Let answers be so many seconds old from now on; kinds not named are up to date.

        Raises:
            ValueError: one would be older than any is.
        """
        if any(not 0 <= each <= ANSWER_LAG_SECONDS_MAX for each in seconds.values()):
            message = f"a view's lag is 0 to {ANSWER_LAG_SECONDS_MAX} s"
            raise ValueError(message)
        self._random = None
        self._seconds = dict(seconds)

    def vary(self, random: Random, tell: Callable[[AnswerKind, float], None]) -> None:
        """
        Let chance choose the lag of each kind, and choose again now and then.

        Args:
            random: chooses.
            tell: is told of each kind whose answers begin to be old, and by how many seconds.
        """
        self._random = random
        self._tell = tell

    def catch_up(self, kind: AnswerKind) -> None:
        """Let a kind be up to date until what is so now is seen however old its answers are."""
        self._seconds[kind] = 0.0
        self._until[kind] = self._account.now + timedelta(seconds=ANSWER_LAG_SECONDS_MAX)

    @contextmanager
    def present(self) -> Iterator[None]:
        """Answer what is so, for as long as this lasts."""
        self._present = True
        try:
            yield
        finally:
            self._present = False

    def at(self, kind: AnswerKind) -> datetime | None:
        """Return the instant as of which a kind is answered; None for the present."""
        if self._present:
            return None
        now = self._account.now
        if self._random is not None and self._until.get(kind, LONG_AGO) <= now:
            behind = self._random.random() >= UP_TO_DATE_SHARE
            self._seconds[kind] = self._lag_seconds() if behind else 0.0
            if behind and self._tell is not None:
                self._tell(kind, self._seconds[kind])
            kept_seconds = self._random.expovariate(1 / KEPT_SECONDS)
            self._until[kind] = now + timedelta(seconds=kept_seconds)
        seconds = self._seconds.get(kind, 0.0)
        if seconds and self._random is not None and self._random.random() < OTHER_REPLICA_SHARE:
            # Another replica answers, which is less far behind: two reads of one pass differ.
            seconds *= self._random.random()
        if not seconds:
            return None
        return now - timedelta(seconds=seconds)

    def _lag_seconds(self) -> float:
        if self._random is None or self._random.random() < MOST_SHARE:
            return ANSWER_LAG_SECONDS_MAX
        return self._random.uniform(0, ANSWER_LAG_SECONDS_MAX)


def remember(past: list[tuple[datetime, State]], now: datetime, state: State) -> None:
    """Add what is so from now on to a history, and drop what no answer reaches back to."""
    oldest = now - timedelta(seconds=ANSWER_LAG_SECONDS_MAX)
    while len(past) > 1 and past[1][0] <= oldest:
        del past[0]
    past.append((now, state))


def task_as_of(task: Task, at: datetime) -> Task | None:
    """Return a task as it was; None before it was there."""
    if not task.past or task.past[-1][0] <= at:
        return task
    state = _state_at(task.past, at)
    if state is None:
        return None
    was = copy(task)
    was.desired_status, was.last_status = state
    for name in ("started_at", "stopping_at", "stopped_at"):
        instant = getattr(task, name)
        if instant is not None and instant > at:
            setattr(was, name, None)
    if was.stopping_at is None:
        was.stop_code = was.stopped_reason = None
    return was


def tasks_as_of(tasks: Iterable[Task], at: datetime | None) -> Iterable[Task]:
    """Return those of some tasks that were there, as they were."""
    if at is None:
        return tasks
    return [was for task in tasks if (was := task_as_of(task, at)) is not None]


def instance_as_of(
    instance: ContainerInstance, at: datetime, tasks_at: datetime
) -> ContainerInstance | None:
    """
    Return a container instance as it was; None before it was registered.

    Args:
        instance: the container instance as it is.
        at: as of when its status is told.
        tasks_at: as of when its tasks are.
    """
    if instance.changed_at <= min(at, tasks_at):
        return instance
    state = _state_at(instance.past, at)
    if state is None:
        return None
    was = copy(instance)
    was.status, was.agent_connected = state
    was.tasks = {task.arn: task for task in tasks_as_of(instance.tasks.values(), tasks_at)}
    return was


def instances_as_of(
    instances: Iterable[ContainerInstance], at: datetime | None
) -> Iterable[ContainerInstance]:
    """Return those of some container instances that were registered, as they were."""
    if at is None:
        return instances
    return [was for one in instances if (was := instance_as_of(one, at, at)) is not None]


def left_since(cluster: Cluster, at: datetime | None) -> list[ContainerInstance]:
    """Return the container instances that have been deregistered since an instant."""
    if at is None:
        return []
    return [instance for left_at, instance in cluster.left if left_at > at]


def _state_at(past: list[tuple[datetime, State]], at: datetime) -> State | None:
    for since, state in reversed(past):
        if since <= at:
            return state
    return None
