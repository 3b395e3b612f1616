"""
What ECS's scheduler may do: the limits of a service, and which instances have room for a task.

https://docs.aws.amazon.com/AmazonECS/latest/developerguide/container-instance-draining.html
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from drainer.cli.explain.causes import Cause

if TYPE_CHECKING:
    from drainer.cli.explain.facts import ContainerInstance, Service, TaskDefinition

PERCENT = 100
DISTINCT = "distinctInstance"


class Limits(NamedTuple):
    """Between how many tasks of a service ECS keeps running."""

    lowest: int
    highest: int


def limits(service: Service) -> Limits:
    """
    Return the limits; the lowest is rounded up and the highest down.

    https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DeploymentConfiguration.html
    """
    return Limits(
        math.ceil(service.desired * service.minimum_percent / PERCENT),
        math.floor(service.desired * service.maximum_percent / PERCENT),
    )


def is_deadlocked(service: Service) -> bool:
    """Whether ECS can neither stop nor start a task of the service, however long it waits."""
    found = limits(service)
    # With more tasks than it wants, ECS can stop one without starting one.
    surplus = service.running > service.desired
    return not surplus and found.highest <= service.running <= found.lowest


def lacks(definition: TaskDefinition, instance: ContainerInstance) -> frozenset[Cause]:
    """Return why a task has no place on an instance; empty where it would fit."""
    needs, free = definition.needs, instance.remaining
    found = {
        Cause.NO_MEMORY: needs.memory > free.memory,
        Cause.NO_CPU: needs.cpu > free.cpu,
        Cause.NO_GPU: needs.gpus > free.gpus,
        Cause.PORT_TAKEN: bool(needs.ports & free.ports),
        Cause.MISSING_ATTRIBUTE: any(
            one not in instance.attributes for one in definition.attributes
        ),
    }
    return frozenset(cause for cause, is_lacking in found.items() if is_lacking)
