"""
Write an attribute on what is set DRAINING for Spot and may come back, to set it ACTIVE then.

A recommendation writes it as well: the stop that follows it finds the instance DRAINING, and would
take it for one that was set so by hand.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from drainer.drain.actions import TOGETHER_MAX
from drainer.errors import DrainerError, MisconfiguredError
from drainer.spot import comeback_events
from drainer.spot.events import Interruption

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from drainer.drain.actions import Ecs
    from drainer.drain.model import ContainerInstance
    from drainer.spot.patience import Patience
    from drainer.spot.report import InterruptionReport

    # The report, the container instance's ARN, and the attribute's name and value.
    Mark = tuple[InterruptionReport, tuple[str, str, str]]


class SpotMarks:
    """
    The attributes that one invocation writes.

    Args:
        ecs: To put attributes.
        patience: The time of this invocation.
    """

    def __init__(self, ecs: Ecs, patience: Patience) -> None:
        self._ecs = ecs
        self._patience = patience
        self._waiting: list[tuple[str, list[Mark]]] = []

    def record(
        self,
        cluster: str,
        described: Iterable[ContainerInstance],
        sought: Mapping[str, InterruptionReport],
    ) -> None:
        """Mark what may come back, with one try: it is to be set DRAINING at once."""
        found = []
        for instance in described:
            report = sought.get(instance.ec2_instance_id)
            gone = report.interruption if report else None
            if report and isinstance(gone, Interruption) and _is_ours(instance, gone):
                found.append((report, (instance.arn, *comeback_events.mark(gone))))
        for start in range(0, len(found), TOGETHER_MAX):
            unit = found[start : start + TOGETHER_MAX]
            try:
                self._put(cluster, unit)
            except DrainerError:
                # Without DRAINING its tasks are killed; without the attribute it stays DRAINING.
                self._waiting.append((cluster, unit))

    def finish(self) -> None:
        """
        Try again what failed: last, for the attribute is needed only when the instance returns.
        """
        for cluster, unit in self._waiting:
            self._finish(cluster, unit)

    def _finish(self, cluster: str, unit: list[Mark]) -> None:
        try:
            self._patience.again(lambda: self._put(cluster, unit))
        except DrainerError as error:
            if isinstance(error, MisconfiguredError) and len(unit) > 1:
                # One with ten attributes of its owner's must not keep nine others without the
                # attribute.
                for one in unit:
                    self._finish(cluster, [one])
                return
            for report, _ in unit:
                report.add_error("The attribute for its return was not written", str(error))

    def _put(self, cluster: str, unit: Iterable[Mark]) -> None:
        self._ecs.put_attributes(cluster, [value for _, value in unit])


def may_return(report: InterruptionReport) -> bool:
    """Whether the instance may come back, or may yet be told to stop."""
    gone = report.interruption
    return isinstance(gone, Interruption) and (gone.returns or not gone.hasty)


def _is_ours(instance: ContainerInstance, gone: Interruption) -> bool:
    """Whether the drainer sets it DRAINING, or has by a recommendation; others' stays so."""
    if instance.status == "ACTIVE":
        return gone.returns or not gone.hasty
    return gone.returns and comeback_events.is_advised(instance.interrupted)
