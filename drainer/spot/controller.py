"""
Answer Spot interruptions: DRAINING at once, and the load balancers told before the two minutes end.

The interruptions of one invocation are served together. Nothing here answers a lifecycle hook;
ECS's agent, capacity rebalancing and a later lifecycle action may do the same once more, without
harm.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Protocol

from drainer.drain.attributes import INTERRUPTED
from drainer.drain.record import DrainRecord
from drainer.errors import DrainerError
from drainer.spot.comeback_events import Comeback, ended_at
from drainer.spot.draining import SpotDraining
from drainer.spot.events import Interruption, TaskInterruption
from drainer.spot.marks import SpotMarks
from drainer.spot.memory import Recollection
from drainer.spot.patience import Patience
from drainer.spot.report import InterruptionReport
from drainer.spot.targets import SpotTargets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from drainer.config import Config
    from drainer.drain.actions import Ecs
    from drainer.invocation import InvocationClock
    from drainer.spot.draining import AutoScalingReads
    from drainer.spot.report import SpotReads

    Event = Interruption | TaskInterruption | Comeback


class Sets(Protocol):
    """What is done for an instance that has come back; each may raise a DrainerError."""

    def set_active(self, cluster: str, arns: Sequence[str]) -> dict[str, str]:
        """Set up to TOGETHER_MAX container instances ACTIVE; return refusals by ARN."""

    def delete_attribute(self, cluster: str, arns: Sequence[str], name: str) -> None:
        """Take an attribute off up to TOGETHER_MAX container instances."""


class Drains(Protocol):
    """The store of the drains' records."""

    def of_instance(
        self, instances: Iterable[str]
    ) -> Mapping[str, Sequence[DrainRecord | DrainerError | None]]:
        """Return the records of each EC2 instance; an error where they were not read."""


class InterruptionController:
    """
    Acts on interruptions; made once for a warm function.

    Args:
        auto_scaling: To learn the cluster from the hooks of the instance's group.
        ecs: To find the container instance, set it DRAINING and list its tasks.
        spot: To find and deregister targets.
        sets: To set a container instance ACTIVE that has come back.
        drains: To learn whether it leaves by a lifecycle action.
        config: The function's settings.
        sleep: Waits between the tries of a throttled call; None makes one try.
    """

    def __init__(
        self,
        auto_scaling: AutoScalingReads,
        ecs: Ecs,
        spot: SpotReads,
        sets: Sets,
        config: Config,
        *,
        drains: Drains,
        sleep: Callable[[float], None] | None = None,
    ) -> None:
        self._auto_scaling = auto_scaling
        self._ecs = ecs
        self._spot = spot
        self._sets = sets
        self._drains = drains
        self._config = config
        self._sleep = sleep
        self._memory = Recollection()

    def act(self, events: Iterable[Event], time: InvocationClock) -> list[InterruptionReport]:
        """Act on each interruption once; what failed is in its report."""
        now = time.now()
        reports = [InterruptionReport(event) for event in collapse(events)]
        patience = Patience(time, self._sleep, reports[0].key if reports else "")
        instances = [one for one in reports if isinstance(one.interruption, Interruption)]
        marks = SpotMarks(self._ecs, patience)
        if instances:
            # All of them first: what is DRAINING gets no new tasks.
            search = SpotDraining(
                self._auto_scaling,
                self._ecs,
                self._config,
                marks=marks,
                memory=self._memory,
                patience=patience,
                now=now,
            )
            search.run(instances)
        targets = SpotTargets(self._ecs, self._spot, self._config, patience, now)
        by_cluster: dict[str, list[tuple[InterruptionReport, TaskInterruption]]] = defaultdict(list)
        for report in reports:
            if isinstance(report.interruption, TaskInterruption):
                report.cluster = report.interruption.cluster
                by_cluster[report.cluster].append((report, report.interruption))
        for cluster, gone in by_cluster.items():
            targets.take_tasks_out(gone, cluster)
        targets.take_out([one for one in instances if _hasty(one)])
        marks.finish()
        for report in reports:
            if isinstance(report.interruption, Comeback):
                self._welcome(report, report.interruption, now)
            else:
                report.first = self._is_first(report, now)
        return reports

    def _welcome(self, report: InterruptionReport, one: Comeback, now: datetime) -> None:
        """
        Set a container instance ACTIVE that the drainer set DRAINING, if ECS says the same.

        One that leaves by a lifecycle action or for a stack's update stays DRAINING.
        """
        report.first, report.cluster = False, one.cluster
        try:
            for instance in self._ecs.describe(one.cluster, [one.container_instance_arn]):
                ends_at = ended_at(instance.interrupted)
                if not instance.agent_connected or ends_at is None or now < ends_at:
                    continue
                leaves = instance.drained_for or self._is_draining(instance.ec2_instance_id)
                if instance.status == "DRAINING" and not leaves:
                    refused = self._sets.set_active(one.cluster, [instance.arn])
                    report.active = not refused
                    for reason in refused.values():
                        report.add_error("ACTIVE was not set", reason)
                # Last: without the attribute, another try would leave it DRAINING.
                self._sets.delete_attribute(one.cluster, [instance.arn], INTERRUPTED)
        except DrainerError as error:
            report.add_error("ACTIVE was not set", error)

    def _is_draining(self, ec2_instance_id: str) -> bool:
        """
        Whether it leaves by a lifecycle action.

        Raises:
            DrainerError: A record could not be read, and none of the others is open.
        """
        rows = self._drains.of_instance([ec2_instance_id])[ec2_instance_id]
        if any(isinstance(row, DrainRecord) and row.is_open for row in rows):
            return True
        for row in rows:
            if isinstance(row, DrainerError):
                # Taken for a drain, it would lose its attribute, and stay DRAINING permanently.
                raise row
        return False

    def _is_first(self, report: InterruptionReport, now: datetime) -> bool:
        """Whether it counts; a recommendation and the interruption after it count each."""
        gone = report.interruption
        if not report.cluster or (isinstance(gone, TaskInterruption) and not gone.warns):
            return False
        hasty = "interruption" if _hasty(report) else "recommendation"
        return self._memory.is_first(f"{hasty} of {report.key}", now)


def collapse(events: Iterable[Event]) -> Sequence[Event]:
    """Return one event for each instance, task and comeback: the most urgent, then the first."""
    chosen: dict[str, Event] = {}
    for event in events:
        known = chosen.get(event.key)
        if known is None or _urgency(event) > _urgency(known):
            chosen[event.key] = event
    return list(chosen.values())


def _urgency(event: Event) -> int:
    if isinstance(event, Interruption):
        return int(event.hasty)
    return int(event.warns) if isinstance(event, TaskInterruption) else 0


def _hasty(report: InterruptionReport) -> bool:
    return not isinstance(report.interruption, Interruption) or report.interruption.hasty
