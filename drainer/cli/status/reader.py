"""
Reads what `drainer status` shows: far less than `drainer explain` reads for one instance.

ECS is asked once for each cluster, twice for each cluster with drains, and twice for each of
the first DETAILED_MAX drains. What the others wait for is the drainer's record, or ECS's counters.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from drainer.cli.explain.drainers import Group
from drainer.cli.explain.facts import Facts
from drainer.cli.explain.read_cluster import ClusterReader
from drainer.cli.explain.read_group import read_activities, read_hooks, terminating_since
from drainer.cli.explain.read_stack import (
    drain_state,
    open_records,
    read_resources,
    read_stack,
)
from drainer.cli.explain.reader import clusters
from drainer.cli.explain.reads import Reads
from drainer.cli.status.rows import Status, arranged, row_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from drainer.cli.explain.drainers import DrainState, Stack
    from drainer.cli.explain.facts import ContainerInstance, Service, Task
    from drainer.cli.explain.summary import Clock

# Of how many drains the tasks are listed.
DETAILED_MAX = 20
READS_MAX = 1_000
# https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_DescribeAutoScalingInstances.html
INSTANCES_AT_ONCE = 50
# https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_DescribeAutoScalingGroups.html
GROUPS_AT_ONCE = 100
AUTO_SCALING = "autoscaling"
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


def look(
    client: Callable[[str], Any],
    *,
    cluster: str | None,
    group: str | None,
    stack: str,
    clock: Clock,
) -> Status:
    """
    Read an account's drains.

    Args:
        client: Returns boto3's client for a service's name.
        cluster: The only cluster to read; None for all.
        group: The only group to show; None for all.
        stack: The name of the drainer's stack.
        clock: The present instant.
    """
    reads = Reads(client, READS_MAX)
    names = [cluster] if cluster else clusters(reads)
    found = [_draining(reads, name) for name in names]
    instances = [one for some in found for one in some or ()]
    # Without any answer of ECS it cannot be said that nothing drains.
    is_blank = bool(reads.errors) and all(one is None for one in found)
    error = reads.errors[-1] if is_blank else None
    state, drains = _drainer(reads, stack, clock.now)
    failures = reads.failures
    groups, sizes = _groups(reads, instances, drains)
    named = {group}
    if group and reads.failures > failures:
        # An instance whose group was not read may be of this one.
        reads.missed(f"group {group}", reads.unread[-1].why)
        named.add("")
    shown = [one for one in instances if group is None or _name(groups, one) in named]
    chosen = {one.arn for one in _first(shown, drains)}
    bases = [
        Facts(
            now=clock.now,
            instance=one,
            group=groups.get(one.ec2_instance_id),
            stack=state,
            drain=drains.get(one.ec2_instance_id),
        )
        for one in shown
    ]
    detailed = _detailed(reads, [one for one in bases if one.instance.arn in chosen])
    rows = [row_of(one, clock, listed=True) for one in detailed]
    rows += [row_of(one, clock, listed=False) for one in bases if one.instance.arn not in chosen]
    return Status(
        now=clock.now,
        region=client("ecs").meta.region_name,
        rows=arranged(rows),
        clusters=len(names),
        sizes=sizes,
        stack=state,
        error=error,
        unread=tuple(reads.unread),
        reads=dict(reads.reader.counts),
    )


def _draining(reads: Reads, cluster: str) -> tuple[ContainerInstance, ...] | None:
    """Return the instances that drain in a cluster; None where it was not read."""
    before, failures = len(reads.unread), reads.failures
    found = ClusterReader(reads, cluster).instances("DRAINING")
    # Of a second page that failed, each instance would seem to have ended its drain.
    if found is None or reads.failures > failures:
        why = reads.unread[before].why if len(reads.unread) > before else "as others"
        reads.missed(f"cluster {cluster}", why)
    return found


def _drainer(
    reads: Reads, stack: str, now: datetime
) -> tuple[Stack | None, Mapping[str, DrainState]]:
    resources = read_resources(reads, stack)
    if resources is None:
        return None, {}
    state = read_stack(reads, resources, now, deep=False)
    records = open_records(reads, resources)
    return state, {name: drain_state(one, resources, now) for name, one in records.items()}


def _name(groups: Mapping[str, Group], instance: ContainerInstance) -> str:
    found = groups.get(instance.ec2_instance_id)
    return found.name if found else ""


def _groups(
    reads: Reads, instances: Sequence[ContainerInstance], drains: Mapping[str, DrainState]
) -> tuple[dict[str, Group], dict[str, int]]:
    """Return the group of each instance, and how many instances each group is to have."""
    ids = [one.ec2_instance_id for one in instances]
    answers = reads.batches(
        AUTO_SCALING,
        "describe_auto_scaling_instances",
        "AutoScalingInstances",
        by="InstanceIds",
        values=ids,
        size=INSTANCES_AT_ONCE,
    )
    members = {one["InstanceId"]: one for one in answers or ()}
    names = list(dict.fromkeys(one["AutoScalingGroupName"] for one in members.values()))
    described = reads.batches(
        AUTO_SCALING,
        "describe_auto_scaling_groups",
        "AutoScalingGroups",
        by="AutoScalingGroupNames",
        values=names,
        size=GROUPS_AT_ONCE,
        MaxRecords=GROUPS_AT_ONCE,
        IncludeInstances=False,
    )
    sizes = {one["AutoScalingGroupName"]: one["DesiredCapacity"] for one in described or ()}
    hooks = {name: read_hooks(reads, name) for name in names}
    # The record says since when an instance drains. For others the group's activities do.
    without = {one["AutoScalingGroupName"] for name, one in members.items() if name not in drains}
    activities = {name: read_activities(reads, name) for name in names if name in without}
    return {
        instance: Group(
            name=(name := one["AutoScalingGroupName"]),
            lifecycle_state=one["LifecycleState"],
            hooks=hooks[name],
            terminating_since=terminating_since(activities.get(name, ()), instance),
        )
        for instance, one in members.items()
    }, sizes


def _first(
    instances: Sequence[ContainerInstance], drains: Mapping[str, DrainState]
) -> Sequence[ContainerInstance]:
    """Return the drains whose tasks are listed: the lost first, then the nearest deadlines."""

    def order(one: ContainerInstance) -> tuple[bool, datetime, datetime, str]:
        drain = drains.get(one.ec2_instance_id)
        if drain is None:
            return False, LONG_AGO, LONG_AGO, one.ec2_instance_id
        return (
            not drain.silent,
            drain.deadline_at or LONG_AGO,
            drain.draining_since or LONG_AGO,
            one.ec2_instance_id,
        )

    return sorted(instances, key=order)[:DETAILED_MAX]


def _detailed(reads: Reads, bases: Sequence[Facts]) -> list[Facts]:
    """Return the facts with tasks, services and protection: batched for each cluster."""
    found: list[Facts] = []
    for cluster in dict.fromkeys(one.instance.cluster for one in bases):
        reader = ClusterReader(reads, cluster)
        here = [one for one in bases if one.instance.cluster == cluster]
        tasks = _tasks(reader, [one.instance.arn for one in here])
        remaining = [task for some in tasks.values() for task in some or () if task.remains]
        services = reader.services(_services(remaining))
        wanted = [task for task in remaining if task.service and task.wanted]
        protected = reader.protected(wanted) if wanted else {}
        found += [
            replace(
                one,
                tasks=tasks[one.instance.arn],
                services=_own(services, tasks[one.instance.arn] or ()),
                protected=protected,
                unread=tuple(reads.unread),
            )
            for one in here
        ]
    return found


def _tasks(reader: ClusterReader, instances: Sequence[str]) -> dict[str, tuple[Task, ...] | None]:
    """Return the tasks of each container instance, described together."""
    listed = {arn: reader.task_arns(arn) for arn in instances}
    described = reader.described(task for some in listed.values() for task in some or ())
    by_arn = {task.arn: task for task in described or ()}
    return {
        instance: None
        if arns is None or described is None
        else tuple(by_arn[arn] for arn in arns if arn in by_arn)
        for instance, arns in listed.items()
    }


def _services(tasks: Iterable[Task]) -> list[str]:
    return list(dict.fromkeys(task.service for task in tasks if task.service))


def _own(services: Mapping[str, Service], tasks: Sequence[Task]) -> dict[str, Service]:
    names = _services(tasks)
    return {name: one for name, one in services.items() if name in names}
