"""ECS's operations, in AWS's shapes; those on container instances are here."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from drainer.simulation.records import ApiError
from drainer.simulation.services.ecs.answer_lag import PRESENT, instance_as_of, left_since
from drainer.simulation.services.ecs.attributes import overfull, refusal
from drainer.simulation.services.ecs.cluster_api import ClusterApi
from drainer.simulation.services.ecs.cluster_query import select
from drainer.simulation.services.ecs.operations import (
    PAGE_MAX,
    check_count,
    find,
    find_cluster,
    invalid_parameter,
    list_page,
    missing,
)
from drainer.simulation.services.ecs.protection_api import ProtectionApi
from drainer.simulation.services.ecs.service_api import ServiceApi
from drainer.simulation.services.ecs.shapes import describe_container_instance
from drainer.simulation.services.ecs.task_api import TaskApi

if TYPE_CHECKING:
    from drainer.simulation.services.ecs.model import Cluster, ContainerInstance

# "A list of up to 10 container instance IDs or full ARN entries."
# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_UpdateContainerInstancesState.html
UPDATE_MAX = 10
# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Attribute.html
ATTRIBUTE_NAME = re.compile(r"[A-Za-z0-9_./\\-]{1,128}")
ATTRIBUTE_VALUE = re.compile(r"(?! )[A-Za-z0-9_.@/\\: -]{1,128}(?<! )")


class EcsApi(ClusterApi, ProtectionApi, ServiceApi, TaskApi):
    """One method for each operation; each takes and returns what AWS would."""

    def list_container_instances(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """
        List container instances by query and status.

        "If you don't specify this parameter, the default is to include container instances set to
        all states other than INACTIVE."
        https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ListContainerInstances.html
        """
        cluster = find_cluster(self._ecs, parameters.get("cluster"))
        status = parameters.get("status")
        at = self._ecs.lags.at("ListContainerInstances")
        arns = [
            instance.arn
            for instance in select(cluster, parameters.get("filter"), at)
            if status in (None, instance.status)
        ]
        found, token = list_page(arns, parameters)
        return {"containerInstanceArns": found, **token}

    def describe_container_instances(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """Describe up to 100 container instances; unknown ones are failures."""
        cluster = find_cluster(self._ecs, parameters.get("cluster"))
        references = parameters["containerInstances"]
        check_count("Container instances", references, PAGE_MAX)
        answer: dict[str, Any] = {"containerInstances": [], "failures": []}
        at = self._ecs.lags.at("DescribeContainerInstances")
        counted_at = self._ecs.lags.at("DescribeContainerInstances counts")
        left = {instance.arn: instance for instance in left_since(cluster, at)}
        for reference in references:
            instance = find(cluster.container_instances, reference, "container-instance") or find(
                left, reference, "container-instance"
            )
            if instance is not None and (at or counted_at):
                instance = instance_as_of(instance, at or PRESENT, counted_at or PRESENT)
            if instance is None:
                answer["failures"].append(missing(self._container_instance_arn(cluster, reference)))
            else:
                described = describe_container_instance(instance)
                if not self._ecs.counts_starting:
                    described["runningTasksCount"] = instance.started_tasks_count
                    described["pendingTasksCount"] = 0
                answer["containerInstances"].append(described)
        return answer

    def update_container_instances_state(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """
        Set up to ten container instances to ACTIVE or DRAINING.

        "A container instance can't be changed to DRAINING until it has reached an ACTIVE status.
        If the instance is in any other status, an error will be received."
        https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_UpdateContainerInstancesState.html
        """
        cluster = find_cluster(self._ecs, parameters.get("cluster"))
        references = parameters["containerInstances"]
        check_count("Container instances", references, UPDATE_MAX)
        status = parameters["status"]
        if status not in ("ACTIVE", "DRAINING"):
            raise invalid_parameter("Container instance status should be ACTIVE or DRAINING")
        answer: dict[str, Any] = {"containerInstances": [], "failures": []}
        found: list[ContainerInstance] = []
        for reference in references:
            instance = find(cluster.container_instances, reference, "container-instance")
            if instance is None:
                answer["failures"].append(missing(self._container_instance_arn(cluster, reference)))
            elif instance.status not in ("ACTIVE", "DRAINING"):
                raise invalid_parameter(
                    f"Container instance {instance.arn} is {instance.status} and cannot be updated"
                )
            else:
                found.append(instance)
        for instance in found:
            self._ecs.set_status(instance, status)
            answer["containerInstances"].append(describe_container_instance(instance))
        return answer

    def deregister_container_instance(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """Deregister a container instance; with tasks on it only by force, which orphans them."""
        cluster = find_cluster(self._ecs, parameters.get("cluster"))
        reference = parameters["containerInstance"]
        instance = find(cluster.container_instances, reference, "container-instance")
        if instance is None:
            raise invalid_parameter("Referenced container instance not found")
        if instance.running_tasks_count and not parameters.get("force"):
            raise invalid_parameter("Found running tasks on the instance")
        self._ecs.deregister(instance)
        return {"containerInstance": describe_container_instance(instance)}

    def put_attributes(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """
        Set up to ten attributes.

        "If the attribute doesn't exist, it's created. If the attribute exists, its value is
        replaced with the specified value."
        https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_PutAttributes.html
        """
        cluster = find_cluster(self._ecs, parameters.get("cluster"))
        attributes = parameters["attributes"]
        check_count("Attributes", attributes, UPDATE_MAX)
        changes = [(self._attribute_target(cluster, one), one) for one in attributes]
        if overfull(changes):
            raise refusal()
        for instance, attribute in changes:
            instance.attributes[attribute["name"]] = attribute.get("value")
            instance.version += 1
        return {"attributes": attributes}

    def delete_attributes(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """
        Delete up to ten attributes; one that is not there is none that was deleted.

        "For custom attributes, specify the attribute name and target ID, but don't specify the
        value."
        https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DeleteAttributes.html
        """
        cluster = find_cluster(self._ecs, parameters.get("cluster"))
        attributes = parameters["attributes"]
        check_count("Attributes", attributes, UPDATE_MAX)
        if any("value" in one for one in attributes):
            raise invalid_parameter("An attribute to delete has no value")
        targets = [(self._attribute_target(cluster, one), one) for one in attributes]
        deleted = []
        for instance, attribute in targets:
            if attribute["name"] in instance.attributes:
                del instance.attributes[attribute["name"]]
                instance.version += 1
                deleted.append(attribute)
        return {"attributes": deleted}

    def _attribute_target(self, cluster: Cluster, attribute: dict[str, Any]) -> ContainerInstance:
        if not ATTRIBUTE_NAME.fullmatch(attribute["name"]):
            raise invalid_parameter(f"Invalid attribute name: {attribute['name']}")
        value = attribute.get("value")
        if value is not None and not ATTRIBUTE_VALUE.fullmatch(value):
            raise invalid_parameter(f"Invalid attribute value: {value}")
        reference = attribute.get("targetId", "")
        # "This parameter is required if you use the short form ID for a resource instead of the
        # full ARN." https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Attribute.html
        if not reference.startswith("arn:") and attribute.get("targetType") is None:
            raise invalid_parameter("targetType is required with a short targetId")
        instance = find(cluster.container_instances, reference, "container-instance")
        if instance is None:
            raise ApiError("TargetNotFoundException", f"Unable to find target {reference}")
        return instance

    def _container_instance_arn(self, cluster: Cluster, reference: str) -> str:
        if reference.startswith("arn:"):
            return reference
        return self._arn("ecs", f"container-instance/{cluster.name}/{reference}")
