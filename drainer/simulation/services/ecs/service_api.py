"""ECS's operations on services, in AWS's shapes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from drainer.simulation.records import ApiError
from drainer.simulation.services.ecs.operations import (
    EcsOperations,
    check_count,
    find,
    find_cluster,
    list_page,
    missing,
)
from drainer.simulation.services.ecs.shapes import describe_service

if TYPE_CHECKING:
    from drainer.simulation.services.ecs.model import Cluster, Service

# "You may specify up to 10 services to describe in a single operation."
# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeServices.html
DESCRIBE_SERVICES_MAX = 10
LIST_SERVICES_DEFAULT = 10


class ServiceApi(EcsOperations):
    """The part of ECS's operations that concerns services."""

    def list_services(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """List the ARNs of a cluster's services."""
        cluster = find_cluster(self._ecs, parameters.get("cluster"))
        strategy = parameters.get("schedulingStrategy")
        arns = [
            service.arn
            for service in cluster.services.values()
            if strategy in (None, service.strategy)
        ]
        found, token = list_page(arns, {"maxResults": LIST_SERVICES_DEFAULT, **parameters})
        return {"serviceArns": found, **token}

    def describe_services(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """Describe up to ten services; unknown ones are failures."""
        cluster = find_cluster(self._ecs, parameters.get("cluster"))
        check_count("Services", parameters["services"], DESCRIBE_SERVICES_MAX)
        answer: dict[str, Any] = {"services": [], "failures": []}
        for reference in parameters["services"]:
            service = _find_service(cluster, reference)
            if service is None:
                arn = self._arn("ecs", f"service/{cluster.name}/{reference.rpartition('/')[2]}")
                answer["failures"].append(missing(arn))
            else:
                answer["services"].append(describe_service(service))
        return answer

    def update_service(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """Change how many tasks a service is to have."""
        cluster = find_cluster(self._ecs, parameters.get("cluster"))
        service = _find_service(cluster, parameters["service"])
        if service is None:
            raise ApiError("ServiceNotFoundException", "Service not found.")
        service.desired = parameters.get("desiredCount", service.desired)
        self._ecs.disturb(cluster)
        return {"service": describe_service(service)}


def _find_service(cluster: Cluster, reference: str) -> Service | None:
    return find(
        {service.arn: service for service in cluster.services.values()}, reference, "service"
    )
