"""
What Spot takes back, as of the latest look: its targets, its tasks, the requests and the clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING

from drainer.simulation.embedded.spot import WARNING
from drainer.simulation.embedded.watch import RequestCounts, counts_of, instances_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from drainer.simulation.account import Account
    from drainer.simulation.embedded.spot import Stage
    from drainer.simulation.embedded.watch import DrainTrack
    from drainer.simulation.scenario.client_requests import Requests
    from drainer.simulation.services.ecs.model import Task

# The operations that change something; what comes before the first of them are reads.
WRITES = frozenset({"DeregisterTargets", "UpdateContainerInstancesState"})


@dataclass(frozen=True, kw_only=True)
class GroupSnapshot(RequestCounts):
    """
    A target group and its requests.

    Attributes:
        balancer: application or network.
        leaving: the states of the targets that are being taken back.
        staying: how many other targets are healthy.
        needless: the requests that were cut although the two minutes allowed them to end.
    """

    name: str
    balancer: str
    leaving: tuple[str, ...]
    staying: int
    needless: tuple[str, ...]


@dataclass(frozen=True)
class SpotSnapshot:
    """
    One interruption.

    Attributes:
        subject: the EC2 instance's or the task's id.
        status: the container instance's status, or the task's last status.
        drained_after: when it was set DRAINING, in seconds; None for a task, and before.
        deregistered_after: when the last of its targets began to drain; None before.
        gone: whether it is.
        tasks: owner, id and last status of each task that goes with it.
        reads: the operations called before the first that changed something.
        drains: the lifecycle actions of the account.
    """

    subject: str
    warned_at: datetime
    now: datetime
    status: str
    drained_after: float | None
    deregistered_after: float | None
    gone: bool
    groups: tuple[GroupSnapshot, ...]
    tasks: tuple[tuple[str, str, str], ...]
    reads: tuple[str, ...]
    drains: tuple[DrainTrack, ...] = ()

    @property
    def seconds_left(self) -> float:
        """What is left of the two minutes."""
        return max(0.0, (self.warned_at + WARNING - self.now).total_seconds())


class SpotWatch:
    """Follows one interruption."""

    def __init__(
        self, stage: Stage, subject: str, tasks: Sequence[Task], warned_at: datetime
    ) -> None:
        self._stage = stage
        self._subject = subject
        self._tasks = tuple(tasks)
        self._warned_at = warned_at

    def look(self) -> SpotSnapshot:
        """Return it as it is now."""
        drains = self._stage.watch.look()
        with self._stage.embedded.catching_up() as account:
            groups = tuple(self._group(stream) for stream in self._stage.streams)
            if self._stage.leaving is None:
                (task,) = self._tasks
                status, draining_at, gone = str(task.last_status), None, not task.remains
            else:
                instance = instances_of(account.history)[self._subject]
                status, draining_at = instance.status, instance.draining_at
                gone = bool(account.facts("taken_back", ec2_instance_id=self._subject))
            return SpotSnapshot(
                self._subject,
                self._warned_at,
                account.now,
                status,
                self._seconds(draining_at) if draining_at else None,
                self._deregistered_after(account, groups),
                gone,
                groups,
                tuple((task.owner, task.task_id, task.last_status) for task in self._tasks),
                self._reads(account),
                tuple(drains),
            )

    def _deregistered_after(
        self, account: Account, groups: Sequence[GroupSnapshot]
    ) -> float | None:
        if any(state != "draining" for group in groups for state in group.leaving):
            return None
        targets = {task.target_id for task in self._tasks if task.balanced}
        instants = [
            fact.at
            for fact in account.facts("target", state="draining")
            if fact.about["target_id"] in targets and fact.at >= self._warned_at
        ]
        return self._seconds(max(instants)) if instants else None

    def _reads(self, account: Account) -> tuple[str, ...]:
        called = [call.operation for call in account.calls]
        reads = tuple(takewhile(lambda operation: operation not in WRITES, called))
        return reads if len(reads) < len(called) else ()

    def _group(self, stream: Requests) -> GroupSnapshot:
        targets = stream.group.targets.values()
        ours = [one for one in targets if one.behind in self._tasks]
        gone_at = self._warned_at + WARNING
        return GroupSnapshot(
            name=stream.group.name,
            balancer=stream.group.balancer,
            leaving=tuple(one.state for one in ours),
            staying=sum(one.state == "healthy" for one in targets if one.behind not in self._tasks),
            needless=tuple(
                f"sent {self._seconds(one.sent_at):+.1f} s, {one.why}"
                for one in stream.cut_needlessly(self._warned_at, gone_at)
            ),
            **counts_of(stream),
        )

    def _seconds(self, at: datetime) -> float:
        return (at - self._warned_at).total_seconds()
