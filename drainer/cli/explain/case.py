"""
One service whose tasks on the instance ECS still wants to run, and its replacements elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING

from drainer.cli.explain.finding import Evidence
from drainer.cli.explain.messages import Failure, Kind, Matched, failure_of, matched
from drainer.cli.explain.scheduler import limits

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime

    from drainer.cli.explain.facts import (
        Facts,
        Service,
        ServiceEvent,
        TargetGroup,
        Task,
        TaskDefinition,
    )

# "The same event is not sent again until the cause ends or six hours pass".
# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-event-messages.html
EVENT_LASTS = timedelta(hours=6, minutes=30)
# Stopped tasks are shown for at least an hour, so that without the drain's beginning an older
# failure says nothing. https://docs.aws.amazon.com/AmazonECS/latest/developerguide/stopped-task-errors.html
FAILURE_LASTS = timedelta(hours=1)


@dataclass(frozen=True)
class Case:
    """
    What the rules about one service read.

    Attributes:
        facts: All that is known of the instance.
        service: The service.
        tasks: Its tasks on the instance that ECS still wants.
    """

    facts: Facts
    service: Service
    tasks: Sequence[Task]

    @property
    def now(self) -> datetime:
        """The present instant."""
        return self.facts.now

    @property
    def definition(self) -> TaskDefinition | None:
        """What the service's tasks need; None where it was not read."""
        definitions = self.facts.definitions
        return definitions.get(self.service.definition) or definitions.get(self.tasks[0].definition)

    @property
    def since(self) -> datetime:
        """Since when the instance drains; where nothing says so, an hour ago."""
        return self.facts.draining_since or self.now - FAILURE_LASTS

    @property
    def may_start(self) -> bool:
        """Whether ECS lacks a task of the service on ACTIVE instances, and may start one."""
        here = sum(
            task.service == self.service.name and task.wanted for task in self.facts.remaining
        )
        wanted = [
            task
            for task in self.facts.elsewhere.get(self.service.name, ())
            if task.wanted and task.remains
        ]
        others = self.facts.others
        staying = len(wanted)
        if others is not None:
            active = {one.arn for one in others}
            # One in PROVISIONING waits for an instance and is on none yet.
            staying = sum(not task.instance_arn or task.instance_arn in active for task in wanted)
        return staying < self.service.desired and here + len(wanted) < limits(self.service).highest

    @cached_property
    def replacements(self) -> tuple[Task, ...]:
        """The service's tasks elsewhere that are newer than the drain, the newest first."""
        found = [
            task
            for task in self.facts.elsewhere.get(self.service.name, ())
            if task.created_at and task.created_at >= self.since
        ]
        return tuple(sorted(found, key=lambda task: task.created_at or self.now, reverse=True))

    @cached_property
    def live(self) -> tuple[Task, ...]:
        """The replacements that ECS wants to run and that have not ended."""
        return tuple(task for task in self.replacements if task.wanted and task.remains)

    @cached_property
    def failed(self) -> tuple[tuple[Task, Failure], ...]:
        """The replacements that have ended and should not have, the newest first."""
        found = []
        for task in self.replacements:
            if task.remains or (task.stopped_at and self.now - task.stopped_at > FAILURE_LASTS):
                continue
            reasons = (task.stopped_reason, *(one.reason for one in task.containers))
            failure = failure_of(task.stop_code, reasons)
            if failure != Failure.NORMAL:
                found.append((task, failure))
        return tuple(found)

    @cached_property
    def events(self) -> tuple[tuple[ServiceEvent, Matched], ...]:
        """The service's events that may still hold, the newest first."""
        return tuple(
            (event, matched(event.message))
            for event in self.service.events
            if self.now - event.at <= EVENT_LASTS
        )

    def newest(
        self, kinds: Collection[Kind], unless: Collection[Kind] = ()
    ) -> tuple[ServiceEvent, Matched] | None:
        """Return the newest event of some kinds, if none of others is newer."""
        for event, found in self.events:
            if found.kind in kinds:
                return event, found
            if found.kind in unless:
                return None
        return None

    def since_drain(self, kinds: Collection[Kind]) -> list[tuple[ServiceEvent, Matched]]:
        """Return the events of some kinds since the drain began, or of the last hour."""
        return [one for one in self.events if one[1].kind in kinds and one[0].at >= self.since]

    @property
    def target_groups(self) -> list[TargetGroup]:
        """The service's target groups that were read."""
        groups = self.facts.target_groups
        return [groups[arn] for arn in self.service.target_groups if arn in groups]

    def target_states(self) -> dict[str, str]:
        """Return the states of the targets elsewhere, each with its reason."""
        here = self.facts.instance.ec2_instance_id
        return {
            one.state: one.description or one.reason
            for group in self.target_groups
            for one in group.targets or ()
            if one.id != here
        }

    def counts(self) -> Evidence:
        """Return the service's counts and percentages as evidence."""
        one = self.service
        return Evidence(
            f"{one.name}: desired {one.desired}, running {one.running}, pending {one.pending}, "
            f"{one.minimum_percent}/{one.maximum_percent} %",
            "DescribeServices",
        )

    def said(self, event: ServiceEvent, times: int = 1) -> Evidence:
        """Return an event as evidence, and how many there are like it."""
        often = f", {times} times" if times > 1 else ""
        return Evidence(f'"{event.message}"{often}', "service event", event.at)
