"""ECS's operations on clusters and capacity providers, in AWS's shapes."""

from __future__ import annotations

from typing import Any

from drainer.simulation.services.ecs.operations import (
    PAGE_MAX,
    EcsOperations,
    check_count,
    invalid_parameter,
    known_cluster,
    list_page,
    missing,
)
from drainer.simulation.services.ecs.shapes import describe_capacity_provider, describe_cluster

# Every account has these, and they are no groups.
# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/fargate-capacity-providers.html
OF_FARGATE = ("FARGATE", "FARGATE_SPOT")


class ClusterApi(EcsOperations):
    """The part of ECS's operations that concerns clusters and what they run on."""

    def list_clusters(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """List the ARNs of all clusters that can be worked on."""
        known = self._ecs.clusters.values()
        arns = [cluster.arn for cluster in known if cluster.status != "INACTIVE"]
        found, token = list_page(arns, parameters)
        return {"clusterArns": found, **token}

    def describe_clusters(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """Describe up to 100 clusters by name or ARN; those that do not exist are failures."""
        references = parameters.get("clusters") or ["default"]
        check_count("Clusters", references, PAGE_MAX)
        answer: dict[str, Any] = {"clusters": [], "failures": []}
        for reference in references:
            cluster = known_cluster(self._ecs, reference)
            if cluster is None:
                arn = self._arn("ecs", f"cluster/{reference.rpartition('/')[2]}")
                answer["failures"].append(missing(arn))
            else:
                answer["clusters"].append(describe_cluster(cluster))
        return answer

    def describe_capacity_providers(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """Describe capacity providers, all or by name or ARN; unknown ones are failures."""
        if "cluster" in parameters:
            raise invalid_parameter("the capacity providers of one cluster are not simulated")
        known = self._ecs.capacity_providers
        references = parameters.get("capacityProviders") or [*OF_FARGATE, *known]
        check_count("Capacity providers", references, PAGE_MAX)
        answer: dict[str, Any] = {"capacityProviders": [], "failures": []}
        for reference in references:
            name = reference.rpartition("/")[2]
            arn = self._arn("ecs", f"capacity-provider/{name}")
            # An ARN names a Region and an account as well.
            foreign = reference.startswith("arn:") and reference != arn
            if foreign or (name not in OF_FARGATE and name not in known):
                answer["failures"].append(missing(reference if foreign else arn))
                continue
            described = describe_capacity_provider(name, arn, known.get(name))
            answer["capacityProviders"].append(described)
        return answer
