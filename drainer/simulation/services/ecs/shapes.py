"""ECS's things in AWS's shapes, as botocore's model of ECS names their members."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from drainer.simulation.services.ecs.definitions import GroupProvider, TaskProfile
    from drainer.simulation.services.ecs.model import Cluster, ContainerInstance, Service, Task

# What each container instance has and each task takes; the scheduler counts tasks, not memory.
MEMORY_MEBIBYTES = 65_536
TASK_MEBIBYTES = 128


def describe_cluster(cluster: Cluster) -> dict[str, Any]:
    """Shape a cluster."""
    remaining = [task for task in cluster.tasks.values() if task.remains]
    return {
        "clusterArn": cluster.arn,
        "clusterName": cluster.name,
        "status": cluster.status,
        "registeredContainerInstancesCount": len(cluster.container_instances),
        "runningTasksCount": sum(task.last_status == "RUNNING" for task in remaining),
        "pendingTasksCount": sum(task.last_status == "PENDING" for task in remaining),
        "activeServicesCount": len(cluster.services),
    }


def describe_capacity_provider(
    name: str, arn: str, provider: GroupProvider | None
) -> dict[str, Any]:
    """Shape a capacity provider; without a group it is one of Fargate's."""
    answer: dict[str, Any] = {
        "capacityProviderArn": arn,
        "name": name,
        "status": "ACTIVE",
        "type": "EC2_AUTOSCALING" if provider else name,
    }
    if provider is not None:
        answer["autoScalingGroupProvider"] = {
            "autoScalingGroupArn": provider.auto_scaling_group_arn,
            "managedScaling": {"status": "DISABLED"},
            "managedTerminationProtection": "DISABLED",
            "managedDraining": "DISABLED",
        }
    return answer


def describe_container_instance(instance: ContainerInstance) -> dict[str, Any]:
    """Shape a container instance."""
    return {
        "containerInstanceArn": instance.arn,
        "ec2InstanceId": instance.ec2_instance_id,
        "version": instance.version,
        "versionInfo": {"agentVersion": "1.105.1", "dockerVersion": "DockerVersion: 25.0.8"},
        "status": instance.status,
        "agentConnected": instance.agent_connected,
        "runningTasksCount": instance.running_tasks_count,
        "pendingTasksCount": instance.pending_tasks_count,
        "attributes": describe_attributes(instance),
        "registeredAt": instance.registered_at,
        "registeredResources": [_memory(MEMORY_MEBIBYTES)],
        "remainingResources": [_memory(_memory_left(instance))],
        "attachments": [],
        "tags": [],
    }


def _memory(mebibytes: int) -> dict[str, Any]:
    return {
        "name": "MEMORY",
        "type": "INTEGER",
        "doubleValue": 0.0,
        "longValue": 0,
        "integerValue": mebibytes,
    }


def _memory_left(instance: ContainerInstance) -> int:
    return max(0, MEMORY_MEBIBYTES - TASK_MEBIBYTES * len(instance.wanted_tasks()))


def describe_attributes(instance: ContainerInstance) -> list[dict[str, str]]:
    """Shape a container instance's attributes; one without a value has only its name."""
    return [
        {"name": name} if value is None else {"name": name, "value": value}
        for name, value in instance.attributes.items()
    ]


def describe_task(task: Task) -> dict[str, Any]:
    """Shape a task; what it has not come to yet is absent."""
    answer: dict[str, Any] = {
        "taskArn": task.arn,
        "clusterArn": task.cluster.arn,
        "taskDefinitionArn": task_definition_arn(task),
        "group": task.group,
        "launchType": "FARGATE" if task.capacity_provider else "EC2",
        "availabilityZone": task.container_instance.availability_zone,
        "desiredStatus": task.desired_status,
        "lastStatus": task.last_status,
        "healthStatus": "HEALTHY" if task.healthy else "UNKNOWN",
        "connectivity": "CONNECTED",
        "createdAt": task.created_at,
        "version": task.version,
        "attachments": _attachments(task),
        "containers": [_container(task)],
        "overrides": {"containerOverrides": [{"name": task.family}]},
    }
    optional = {
        "containerInstanceArn": task.container_instance.arn or None,
        "capacityProviderName": task.capacity_provider,
        "platformVersion": "1.4.0" if task.capacity_provider else None,
        "startedBy": task.started_by,
        "startedAt": task.started_at,
        "stoppingAt": task.stopping_at,
        "stoppedAt": task.stopped_at,
        "stopCode": task.stop_code,
        "stoppedReason": task.stopped_reason,
    }
    return answer | {name: value for name, value in optional.items() if value is not None}


def task_definition_arn(task: Task) -> str:
    """Name the task definition of a task; a family has one revision here."""
    return _task_definition(task.cluster.arn, task.family)


def _task_definition(cluster_arn: str, family: str) -> str:
    return f"{cluster_arn.rpartition(':')[0]}:task-definition/{family}:1"


def describe_task_definition(arn: str, family: str, profile: TaskProfile) -> dict[str, Any]:
    """Shape a task definition, as far as the life of its tasks says what is in it."""
    container: dict[str, Any] = {"name": family, "essential": True}
    if profile.stop_timeout_seconds != math.inf:
        container["stopTimeout"] = int(profile.stop_timeout_seconds)
    return {
        "taskDefinitionArn": arn,
        "family": family,
        "revision": 1,
        "status": "ACTIVE",
        "networkMode": profile.network_mode,
        "containerDefinitions": [container],
    }


def _container(task: Task) -> dict[str, Any]:
    status = task.last_status if task.last_status in ("RUNNING", "STOPPED") else "PENDING"
    if task.last_status in ("DEACTIVATING", "STOPPING"):
        status = "RUNNING"
    if task.last_status == "DEPROVISIONING":
        status = "STOPPED"
    container: dict[str, Any] = {
        "containerArn": task.arn.replace(":task/", ":container/"),
        "name": task.family,
        "taskArn": task.arn,
        "lastStatus": status,
        "networkBindings": [],
        "networkInterfaces": [],
    }
    if task.profile.network_mode == "awsvpc":
        # Here the address is spelled privateIpv4Address, in the attachment privateIPv4Address.
        # https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs_task_events.html
        interface = {"attachmentId": task.task_id, "privateIpv4Address": task.ip_address}
        container["networkInterfaces"] = [{**interface, "ipv6Address": task.ipv6_address}]
    elif task.started_at is not None:
        container["networkBindings"] = [
            {
                "bindIP": "0.0.0.0",  # noqa: S104 - Docker's word for every address
                "containerPort": container_port,
                "hostPort": host_port,
                "protocol": "tcp",
            }
            for container_port, host_port in task.host_ports.items()
        ]
    return container


def _attachments(task: Task) -> list[dict[str, Any]]:
    if task.profile.network_mode != "awsvpc":
        return []
    return [
        {
            "id": task.task_id,
            "type": "ElasticNetworkInterface",
            "status": "ATTACHED" if task.last_status == "RUNNING" else "PRECREATED",
            "details": [
                {"name": "privateIPv4Address", "value": task.ip_address},
                {"name": "ipv6Address", "value": task.ipv6_address},
            ],
        }
    ]


def describe_service(service: Service) -> dict[str, Any]:
    """Shape a service."""
    wanted = [task for task in service.tasks.values() if task.desired_status == "RUNNING"]
    answer: dict[str, Any] = {
        "serviceArn": service.arn,
        "serviceName": service.name,
        "clusterArn": service.cluster.arn,
        "status": "ACTIVE",
        "schedulingStrategy": service.strategy,
        "desiredCount": service.desired,
        "runningCount": sum(task.last_status == "RUNNING" for task in wanted),
        "pendingCount": sum(task.last_status != "RUNNING" for task in wanted),
        "deploymentConfiguration": {
            "minimumHealthyPercent": service.minimum_healthy_percent,
            "maximumPercent": service.maximum_percent,
        },
        "taskDefinition": _task_definition(service.cluster.arn, service.family),
        "loadBalancers": [],
        "createdAt": service.created_at,
        "events": [
            {"id": f"{number}", "createdAt": at, "message": message}
            for number, (at, message) in enumerate(service.events)
        ],
    }
    balancers: list[dict[str, Any]] = [
        {
            "targetGroupArn": one.target_group.arn,
            "containerName": service.family,
            "containerPort": one.container_port,
        }
        for one in service.balanced
    ]
    if service.blue is not None:
        # https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_AdvancedConfiguration.html
        for one in balancers:
            one["advancedConfiguration"] = {"alternateTargetGroupArn": one["targetGroupArn"]}
            one["targetGroupArn"] = service.blue.arn
    if service.in_task_sets:
        # https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_TaskSet.html
        del answer["taskDefinition"]
        answer["taskSets"] = [{"id": service.deployment_id, "loadBalancers": balancers}]
    else:
        answer["loadBalancers"] = balancers
    if service.capacity_providers:
        answer["capacityProviderStrategy"] = [
            {"capacityProvider": one.name, "base": one.base, "weight": one.weight}
            for one in service.capacity_providers
        ]
    else:
        answer["launchType"] = "EC2"
    return answer
