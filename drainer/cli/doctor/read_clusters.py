"""
Reads of ECS clusters: which EC2 instances are registered where, and the services beside them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from drainer.cli.account.reader import Unread, UnreadError, attempt, each
from drainer.cli.doctor.facts import Cluster, Provider, Service

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from drainer.cli.account.reader import Reader

# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeContainerInstances.html
DESCRIBED_MAX = 100
# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeServices.html
SERVICES_IN_A_CALL = 10
CLUSTERS_MAX = 100
SERVICES_MAX = 500
# "If this parameter isn't specified, the default value of 30 seconds is used" (stopTimeout).
# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ContainerDefinition.html
STOP_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Found:
    """The clusters that were read, why others were not, and the capacity providers of all."""

    clusters: tuple[Cluster, ...]
    unread: Unread | None
    providers: Mapping[str, tuple[Provider, ...]] | Unread

    def of(self, instances: Iterable[str]) -> tuple[Cluster, ...] | Unread:
        """
        Return the clusters in which any of these EC2 instances is registered.

        An instance in none of those that were read may be in one that was not.
        """
        wanted = set(instances)
        found = tuple(one for one in self.clusters if wanted & one.registered)
        known = {id_ for one in found for id_ in one.registered}
        return self.unread if self.unread and wanted - known else found

    def providers_of(self, group: str) -> tuple[Provider, ...] | Unread:
        """Return the capacity providers of a group."""
        if isinstance(self.providers, Unread):
            return self.providers
        return self.providers.get(group, ())


def read_clusters(reader: Reader) -> Found:
    """Return all clusters, without their services."""
    arns = attempt(reader.pages, "ecs", "list_clusters", "clusterArns")
    if not isinstance(arns, Unread) and len(arns) > CLUSTERS_MAX:
        arns = Unread(f"there are {len(arns)} clusters, more than {CLUSTERS_MAX}")
    if isinstance(arns, Unread):
        return Found((), arns, arns)
    read = [attempt(_cluster, reader, arn.rpartition("/")[2]) for arn in arns]
    return Found(
        clusters=tuple(one for one in read if isinstance(one, Cluster)),
        unread=next((one for one in read if isinstance(one, Unread)), None),
        providers=attempt(_providers, reader, arns),
    )


def cluster_exists(reader: Reader, name: str) -> bool:
    """Whether a cluster that a hook's metadata names exists; raises an UnreadError."""
    answer = reader.ask("ecs", "describe_clusters", clusters=[name])
    return any(one.get("status") != "INACTIVE" for one in answer["clusters"])


def _cluster(reader: Reader, name: str) -> Cluster:
    arns = reader.pages("ecs", "list_container_instances", "containerInstanceArns", cluster=name)
    described = reader.batches(
        "ecs",
        "describe_container_instances",
        "containerInstances",
        by="containerInstances",
        values=arns,
        size=DESCRIBED_MAX,
        cluster=name,
    )
    ids = {one["ec2InstanceId"]: one["status"] for one in described if "ec2InstanceId" in one}
    active = frozenset(key for key, status in ids.items() if status == "ACTIVE")
    return Cluster(name, active, frozenset(ids))


def _providers(reader: Reader, arns: Sequence[str]) -> Mapping[str, tuple[Provider, ...]]:
    """Return the capacity providers of clusters by the name of their group."""
    clusters = reader.batches(
        "ecs", "describe_clusters", "clusters", by="clusters", values=arns, size=DESCRIBED_MAX
    )
    names = sorted({name for one in clusters for name in one.get("capacityProviders", ())})
    described = reader.batches(
        "ecs",
        "describe_capacity_providers",
        "capacityProviders",
        by="capacityProviders",
        values=[name for name in names if not name.startswith("FARGATE")],
        size=DESCRIBED_MAX,
    )
    found: dict[str, tuple[Provider, ...]] = {}
    for one in described:
        group = one.get("autoScalingGroupProvider") or {}
        # An ARN, or a name.
        name = group.get("autoScalingGroupArn", "").rpartition("autoScalingGroupName/")[2]
        provider = Provider(
            one["name"],
            group.get("managedDraining") == "ENABLED",
            group.get("managedTerminationProtection") == "ENABLED",
        )
        found[name] = (*found.get(name, ()), provider)
    return found


def services(reader: Reader, cluster: str, *, with_delays: bool) -> tuple[Service, ...]:
    """
    Return the services of a cluster whose tasks run on container instances.

    Raises:
        UnreadError: They were not read, or are too many.
    """
    arns = reader.pages("ecs", "list_services", "serviceArns", cluster=cluster)
    if len(arns) > SERVICES_MAX:
        why = f"there are {len(arns)} services in {cluster}, more than {SERVICES_MAX}"
        raise UnreadError(Unread(why))
    described = reader.batches(
        "ecs",
        "describe_services",
        "services",
        by="services",
        values=arns,
        size=SERVICES_IN_A_CALL,
        cluster=cluster,
    )
    bodies = [one for one in described if _runs_on_instances(one)]
    definitions = each((one["taskDefinition"] for one in bodies), lambda arn: _task(reader, arn))
    delays = each(
        (arn for one in bodies for arn in _target_groups(one) if with_delays),
        lambda arn: _delay(reader, arn),
    )
    return tuple(_service(cluster, one, definitions, delays) for one in bodies)


def _runs_on_instances(one: dict[str, Any]) -> bool:
    strategy = one.get("capacityProviderStrategy", ())
    on_fargate = any(each["capacityProvider"].startswith("FARGATE") for each in strategy)
    return one.get("launchType", "EC2") == "EC2" and not on_fargate


def _service(
    cluster: str,
    one: dict[str, Any],
    definitions: Mapping[str, tuple[tuple[int, ...], int] | Unread],
    delays: Mapping[str, int | Unread],
) -> Service:
    configuration = one.get("deploymentConfiguration", {})
    task = definitions[one["taskDefinition"]]
    read = [delays[arn] for arn in _target_groups(one) if arn in delays]
    unread = next((value for value in read if isinstance(value, Unread)), None)
    return Service(
        cluster=cluster,
        name=one["serviceName"],
        desired=one["desiredCount"],
        minimum=configuration.get("minimumHealthyPercent", 100),
        maximum=configuration.get("maximumPercent", 200),
        is_daemon=one.get("schedulingStrategy") == "DAEMON",
        ports=task if isinstance(task, Unread) else task[0],
        stop_seconds=task if isinstance(task, Unread) else task[1],
        delays=unread or tuple(value for value in read if not isinstance(value, Unread)),
    )


def _target_groups(one: dict[str, Any]) -> list[str]:
    balancers = one.get("loadBalancers", ())
    return [each["targetGroupArn"] for each in balancers if "targetGroupArn" in each]


def _task(reader: Reader, arn: str) -> tuple[tuple[int, ...], int]:
    """Return the host ports that a task always takes, and its longest stop timeout."""
    answer = reader.ask("ecs", "describe_task_definition", taskDefinition=arn)
    definition = answer["taskDefinition"]
    containers = definition.get("containerDefinitions", ())
    stop = max((one.get("stopTimeout", STOP_SECONDS) for one in containers), default=0)
    if definition.get("networkMode") in {"awsvpc", "none"}:
        return (), stop
    mappings = [mapping for one in containers for mapping in one.get("portMappings", ())]
    # In network mode host each container port is a port of the instance.
    fixed = "containerPort" if definition.get("networkMode") == "host" else "hostPort"
    ports = {mapping.get("hostPort") or mapping.get(fixed, 0) for mapping in mappings}
    return tuple(sorted(ports - {0})), stop


def _delay(reader: Reader, arn: str) -> int:
    answer = reader.ask("elbv2", "describe_target_group_attributes", TargetGroupArn=arn)
    values = {one["Key"]: one["Value"] for one in answer["Attributes"]}
    return int(values.get("deregistration_delay.timeout_seconds", 0))
