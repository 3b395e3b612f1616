"""
ECS's cluster query language, as far as a look-up of container instances needs it.

https://docs.aws.amazon.com/AmazonECS/latest/developerguide/cluster-query-language.html
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from drainer.simulation.records import ApiError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from drainer.simulation.ecs_model import Cluster, ContainerInstance

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


def select(cluster: Cluster, query: str | None) -> Iterable[ContainerInstance]:
    """
    Return the container instances that a query selects.

    Raises:
        ApiError: the query is not one that is understood.
    """
    if not query:
        return cluster.container_instances.values()
    match = COMPARISON.fullmatch(query)
    if match is None:
        raise _invalid(query)
    subject, operator = match["subject"], match["operator"]
    values = _values(match["operand"], query)
    if (operator in ("in", "not_in", "!in")) != match["operand"].startswith("["):
        raise _invalid(query)
    if subject == "ec2InstanceId" and operator in ("==", "equals", "in"):
        # The look-up that the drainer makes; a crowd of them must not scan the cluster.
        found = (cluster.by_ec2_instance_id.get(value) for value in values)
        chosen = {instance.arn: instance for instance in found if instance is not None}
        return [*chosen.values()]
    read = _reader(subject, query)
    if operator in ("==", "equals", "in"):
        return [one for one in cluster.container_instances.values() if read(one) in values]
    if operator in ("!=", "not_in", "!in"):
        return [one for one in cluster.container_instances.values() if read(one) not in values]
    pattern = re.compile(values[0])
    return [one for one in cluster.container_instances.values() if pattern.match(read(one) or "")]


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
