"""
What Spot takes back, as of the latest look: its targets, its tasks, the requests and the clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from drainer.simulation.embedded.spot import WARNING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from drainer.simulation.aws import Aws
    from drainer.simulation.embedded.spot import Stage
    from drainer.simulation.scenario.client_requests import Requests
    from drainer.simulation.services.ecs.model import Task

# The operations that change something; what comes before the first of them are reads.
WRITES = frozenset({"DeregisterTargets", "UpdateContainerInstancesState"})


@dataclass(frozen=True)
class GroupView:
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
    sent: int
    served: int
    under_way: int
    unserved: int
    cut: int
    needless: tuple[str, ...]


@dataclass(frozen=True)
class SpotView:
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
    """

    subject: str
    warned_at: datetime
    now: datetime
    status: str
    drained_after: float | None
    deregistered_after: float | None
    gone: bool
    groups: tuple[GroupView, ...]
    tasks: tuple[tuple[str, str, str], ...]
    reads: tuple[str, ...]

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

    def look(self) -> SpotView:
        """Return it as it is now."""
        stage = self._stage
        with stage.embedded.catching_up() as account:
            instance = stage.leaving is not None
            groups = tuple(self._group(stream) for stream in stage.streams)
            return SpotView(
                self._subject,
                self._warned_at,
                account.now,
                self._status(account),
                self._drained_after(account) if instance else None,
                self._deregistered_after(account, groups),
                self._gone(account),
                groups,
                tuple((task.owner, task.task_id, task.last_status) for task in self._tasks),
                self._reads(account),
            )

    def _status(self, account: Aws) -> str:
        if self._stage.leaving is None:
            return self._tasks[0].last_status
        instance = account.ecs.container_instance(self._subject)
        return instance.status if instance else "INACTIVE"

    def _gone(self, account: Aws) -> bool:
        if self._stage.leaving is None:
            return not self._tasks[0].remains
        return bool(account.facts("taken_back", ec2_instance_id=self._subject))

    def _drained_after(self, account: Aws) -> float | None:
        about = {"ec2_instance_id": self._subject, "status": "DRAINING"}
        facts = account.facts("container_instance", **about)
        return self._seconds(facts[0].at) if facts else None

    def _deregistered_after(self, account: Aws, groups: Sequence[GroupView]) -> float | None:
        if any(state != "draining" for group in groups for state in group.leaving):
            return None
        targets = {task.target_id for task in self._tasks if task.balanced}
        instants = [
            fact.at
            for fact in account.facts("target", state="draining")
            if fact.about["target_id"] in targets and fact.at >= self._warned_at
        ]
        return self._seconds(max(instants)) if instants else None

    def _reads(self, account: Aws) -> tuple[str, ...]:
        reads: list[str] = []
        for call in account.calls:
            if call.operation in WRITES:
                return tuple(reads)
            reads.append(call.operation)
        return ()

    def _group(self, stream: Requests) -> GroupView:
        targets = stream.group.targets.values()
        ours = [one for one in targets if one.behind in self._tasks]
        gone_at = self._warned_at + WARNING
        return GroupView(
            stream.group.name,
            stream.group.balancer,
            tuple(one.state for one in ours),
            sum(one.state == "healthy" for one in targets if one.behind not in self._tasks),
            stream.sent,
            stream.served,
            stream.under_way,
            stream.unserved,
            len(stream.cut),
            tuple(
                f"sent {self._seconds(one.sent_at):+.1f} s, {one.why}"
                for one in stream.cut_needlessly(self._warned_at, gone_at)
            ),
        )

    def _seconds(self, at: datetime) -> float:
        return (at - self._warned_at).total_seconds()
