"""
Reads all facts of one draining container instance, drained by the drainer, by ECS or by hand.

First the instance is found, which takes one read for each cluster. The rest is 10 to 40 reads for
an instance with a few services, and never more than READS_MAX. A failed read leaves a gap that the
screen names.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from drainer.cli.explain.facts import Facts
from drainer.cli.explain.read_cluster import SERVICES_MAX, ClusterReader, needing
from drainer.cli.explain.read_group import read_group
from drainer.cli.explain.read_stack import (
    RECORD,
    Resources,
    drain_state,
    read_resources,
    read_stack,
    records_of,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from drainer.cli.explain.drainers import DrainState, Stack
    from drainer.cli.explain.facts import ContainerInstance, Service, Task, TaskDefinition
    from drainer.cli.explain.reads import Reads

# An account has 10,000 clusters at most; a search of more than these takes more than ten seconds.
CLUSTERS_MAX = 200
CLUSTER_PAGES_MAX = 20
ARN_PART = ":container-instance/"


class NotFoundError(LookupError):
    """
    The instance, or what was named, does not exist where it was searched.

    Attributes:
        unread: Why a part was not searched, in which it may be; None where all was.
    """

    def __init__(self, sentence: str, unread: Exception | None = None) -> None:
        super().__init__(sentence)
        self.unread = unread


@dataclass(frozen=True, slots=True)
class Installed:
    """The drainer's stack, and its record of the instance."""

    resources: Resources | None = None
    stack: Stack | None = None
    drain: DrainState | None = None
    cluster: str = ""
    is_record_read: bool = True


def explainable(
    reads: Reads, instance: str, cluster: str | None, stack: str, now: datetime
) -> Facts:
    """
    Read all facts of a container instance.

    Args:
        reads: Makes and counts the calls.
        instance: The EC2 instance's id, or the container instance's ARN.
        cluster: The cluster's name or ARN; None to search it.
        stack: The name of the drainer's stack.
        now: The present instant.

    Raises:
        NotFoundError: It is in no cluster that was read.
    """
    if ARN_PART in instance:
        found = find(reads, instance, None)
        installed = _installed(reads, found.ec2_instance_id, stack, now)
    else:
        installed = _installed(reads, instance, stack, now)
        found = find(reads, instance, cluster or installed.cluster or None)
    reader = ClusterReader(reads, found.cluster)
    tasks = reader.tasks_of(found.arn)
    group = read_group(reads, found.ec2_instance_id)
    remaining = [task for task in tasks or () if task.remains]
    services = reader.services(list(dict.fromkeys(one.service for one in remaining if one.service)))
    wanted = [one for one in remaining if one.wanted and one.service]
    protected = reader.protected(wanted) if wanted else {}
    held = _held(services, wanted, protected or {})
    # How long others of a service took to stop says when those that stop here have stopped.
    closing = {one.service for one in remaining if not one.wanted} - {one.name for one in held}
    read = [*held, *needing(one for name, one in services.items() if name in closing)]
    elsewhere = _elsewhere(reads, reader, read, found, now)
    stuck = [one for one in held if _lacks_some(one, wanted, elsewhere.get(one.name, ()))]
    return Facts(
        now=now,
        instance=found,
        tasks=tasks,
        services=services,
        definitions=_definitions(reader, services, held, remaining),
        elsewhere=elsewhere,
        others=_others(reader, found) if stuck else None,
        target_groups=reader.target_groups(_with_targets(services, held, remaining)),
        protected=protected,
        service_deployments=reader.service_deployments(held),
        group=group,
        stack=installed.stack,
        drain=installed.drain,
        is_record_read=installed.is_record_read,
        unread=tuple(reads.unread),
        reads=reads.total,
    )


def _installed(reads: Reads, instance: str, stack: str, now: datetime) -> Installed:
    resources = read_resources(reads, stack)
    if resources is None:
        return Installed()
    record = records_of(reads, resources, [instance]).get(instance)
    state = read_stack(reads, resources, now)
    if record is None:
        is_read = all(one.what != RECORD for one in reads.unread)
        return Installed(resources, state, is_record_read=is_read)
    drain = drain_state(record, resources, now)
    return Installed(resources, state, drain, record.drain.cluster or "")


def find(reads: Reads, instance: str, cluster: str | None) -> ContainerInstance:
    """
    Return the container instance of an EC2 instance: 2 reads in a known cluster.

    Raises:
        NotFoundError: It is in no cluster that was read.
    """
    if ARN_PART in instance:
        # arn:aws:ecs:REGION:ACCOUNT:container-instance/CLUSTER/ID
        cluster = instance.split("/")[1]
    errors = len(reads.errors)
    names = [cluster] if cluster else clusters(reads)
    searched = names[:CLUSTERS_MAX]
    if not cluster:
        # What the search takes is not missing afterwards.
        reads.allow(len(searched))
    for name in searched:
        found = _in_cluster(reads, instance, name)
        if found:
            # One registration for each EC2 instance, but for one that has been registered again:
            # the one that drains is asked about.
            return min(found, key=lambda one: one.status != "DRAINING")
    where = f'not in cluster "{cluster}"' if cluster else f"in none of {len(searched)} clusters"
    if len(names) > CLUSTERS_MAX:
        where += f" of {len(names)}, the others were not searched (--cluster searches one)"
    raise NotFoundError(f"{instance} is {where}", next(iter(reads.errors[errors:]), None))


def clusters(reads: Reads) -> list[str]:
    """Return the names of all clusters: 1 read for each 100."""
    arns = reads.pages("ecs", "list_clusters", "clusterArns", most=CLUSTER_PAGES_MAX)
    return [arn.rpartition("/")[2] for arn in arns or ()]


def _in_cluster(reads: Reads, instance: str, cluster: str) -> Sequence[ContainerInstance]:
    if ARN_PART in instance:
        arns: list[str] | None = [instance]
    else:
        # https://docs.aws.amazon.com/AmazonECS/latest/developerguide/cluster-query-language.html
        arns = reads.pages(
            "ecs",
            "list_container_instances",
            "containerInstanceArns",
            cluster=cluster,
            filter=f"ec2InstanceId == {instance}",
        )
    if not arns:
        return ()
    found = ClusterReader(reads, cluster).described_instances(arns) or ()
    return [one for one in found if instance in {one.ec2_instance_id, one.arn}]


def _held(
    services: Mapping[str, Service], wanted: Sequence[Task], protected: Mapping[str, object]
) -> list[Service]:
    """Return the services that hold tasks here, whose replacements are to be read."""
    names = {one.service for one in wanted if one.id not in protected}
    return needing(one for name, one in services.items() if name in names)


def _elsewhere(
    reads: Reads,
    reader: ClusterReader,
    held: Sequence[Service],
    here: ContainerInstance,
    now: datetime,
) -> dict[str, tuple[Task, ...]]:
    for one in held[SERVICES_MAX:]:
        reads.missed("ListTasks", f"more than {SERVICES_MAX} services: {one.name}")
    found = {}
    for one in held[:SERVICES_MAX]:
        tasks = reader.tasks_of_service(one.name, now)
        if tasks is not None:
            found[one.name] = tuple(task for task in tasks if task.instance_arn != here.arn)
    return found


def _lacks_some(service: Service, here: Sequence[Task], elsewhere: Sequence[Task]) -> bool:
    """Whether fewer tasks of a service are on their way elsewhere than have to leave."""
    coming = sum(task.remains and task.wanted and task.last != "RUNNING" for task in elsewhere)
    return coming < sum(task.service == service.name for task in here)


def _definitions(
    reader: ClusterReader,
    services: Mapping[str, Service],
    held: Sequence[Service],
    tasks: Sequence[Task],
) -> dict[str, TaskDefinition]:
    """Return the definitions of replacements, of tasks that stop, and of daemons."""
    names = {one.name for one in held[:SERVICES_MAX] if one.definition}
    own = [
        one.definition
        for one in tasks
        if one.service in services and not (one.wanted and one.service in names)
    ]
    return reader.definitions([*(one.definition for one in held[:SERVICES_MAX]), *own])


def _others(reader: ClusterReader, here: ContainerInstance) -> tuple[ContainerInstance, ...] | None:
    found = reader.active_instances()
    return None if found is None else tuple(one for one in found if one.arn != here.arn)


def _with_targets(
    services: Mapping[str, Service], held: Sequence[Service], remaining: Sequence[Task]
) -> list[Service]:
    """Return the services whose targets tell: those that are held, and those that deregister."""
    names = {one.service for one in remaining if not one.wanted}
    names |= {one.name for one in held}
    return [one for name, one in services.items() if name in names]
