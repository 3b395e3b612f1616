"""
ECS's cluster query language, as far as a look-up of container instances needs it.

https://docs.aws.amazon.com/AmazonECS/latest/developerguide/cluster-query-language.html
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from drainer.simulation.records import ApiError
from drainer.simulation.services.ecs.answer_lag import instances_as_of, left_since

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from drainer.simulation.services.ecs.model import Cluster, ContainerInstance

COMPARISON = re.compile(
    r"""\s* (?P<subject>[A-Za-z][\w:./-]*) \s*
        (?P<operator> == | != | =~ | \bequals\b | \bin\b | \bnot_in\b | !in ) \s*
        (?P<operand> \[ [^\]]* \] | '[^']*' | "[^"]*" | [^\s\[\]]+ ) \s*""",
    re.VERBOSE,
)
# Written out, because a comparison that ECS would refuse must not pass here unnoticed.
SUBJECTS: dict[str, Callable[[ContainerInstance], str | None]] = {
    "ec2InstanceId": lambda instance: instance.ec2_instance_id,
    "agentConnected": lambda instance: str(instance.agent_connected).lower(),
    "runningTasksCount": lambda instance: str(instance.running_tasks_count),
    "pendingTasksCount": lambda instance: str(instance.pending_tasks_count),
}


def select(
    cluster: Cluster, query: str | None, at: datetime | None = None
) -> Iterable[ContainerInstance]:
    """
    Return the container instances that a query selects, all those of an EC2 instance among them.

    Args:
        cluster: where.
        query: selects.
        at: the instant as of which; None for the present.

    Raises:
        ApiError: the query is not one that is understood.
    """
    if not query:
        return _registered(cluster, at)
    match = COMPARISON.fullmatch(query)
    if match is None:
        raise _invalid(query)
    subject, operator = match["subject"], match["operator"]
    values = _values(match["operand"], query)
    if (operator in ("in", "not_in", "!in")) != match["operand"].startswith("["):
        raise _invalid(query)
    if subject == "ec2InstanceId" and operator in ("==", "equals", "in"):
        # The look-up that the drainer makes; a crowd of them must not scan the cluster.
        found = [
            instance
            for value in dict.fromkeys(values)
            for instance in cluster.by_ec2_instance_id.get(value, ())
        ]
        left = [one for one in left_since(cluster, at) if one.ec2_instance_id in values]
        return instances_as_of([*found, *left], at)
    read = _reader(subject, query)
    known = _registered(cluster, at)
    if operator in ("==", "equals", "in"):
        return [one for one in known if read(one) in values]
    if operator in ("!=", "not_in", "!in"):
        return [one for one in known if read(one) not in values]
    pattern = re.compile(values[0])
    return [one for one in known if pattern.match(read(one) or "")]


def _registered(cluster: Cluster, at: datetime | None) -> Iterable[ContainerInstance]:
    present = cluster.container_instances.values()
    return instances_as_of([*present, *left_since(cluster, at)], at)


def _values(operand: str, query: str) -> list[str]:
    parts = operand[1:-1].split(",") if operand.startswith("[") else [operand]
    values = [part.strip().strip("'\"") for part in parts]
    if not all(values):
        raise _invalid(query)
    return values


def _reader(subject: str, query: str) -> Callable[[ContainerInstance], str | None]:
    if subject.startswith("attribute:"):
        name = subject.partition(":")[2]
        return lambda instance: instance.attributes.get(name)
    if subject not in SUBJECTS:
        raise _invalid(query)
    return SUBJECTS[subject]


def _invalid(query: str) -> ApiError:
    return ApiError("InvalidParameterException", f"Invalid filter expression: {query}")
