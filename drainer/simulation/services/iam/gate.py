"""
A gate before each call: what IAM is asked when an operation is called, and how a denial reads.
"""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol

from drainer.simulation.records import ApiError
from drainer.simulation.services.iam.policy import Request

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from drainer.simulation.records import Call
    from drainer.simulation.services.auto_scaling.groups import AutoScaling
    from drainer.simulation.services.iam.policy import Policy

# Most services say AccessDenied; these have their own word for it.
# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/CommonErrors.html
# https://docs.aws.amazon.com/sns/latest/api/API_Publish.html
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html
# https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html
DENIED = {
    "dynamodb": "AccessDeniedException",
    "ec2": "UnauthorizedOperation",
    "ecs": "AccessDeniedException",
    "sns": "AuthorizationError",
}
# boto3's name for a service, where IAM has another.
# https://docs.aws.amazon.com/service-authorization/latest/reference/list_awselasticloadbalancingv2.html
IAM_NAMES = {"elbv2": "elasticloadbalancing"}
REQUESTS_KEPT_MAX = 10_000


class Account(Protocol):
    """An account, as far as IAM asks: what its resources are called."""

    auto_scaling: AutoScaling

    def arn(self, service: str, resource: str) -> str:
        """Make the ARN of a resource."""


def requests(call: Call, account: Account) -> list[Request]:
    """
    Return what IAM is asked when an operation is called.

    https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonelasticcontainerservice.html
    https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonec2autoscaling.html
    https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonsns.html
    https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonec2.html
    https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazondynamodb.html
    https://docs.aws.amazon.com/service-authorization/latest/reference/list_awscloudformation.html
    """
    # IAM knows one action for both of SNS's publishing calls.
    operation = "Publish" if call.operation == "PublishBatch" else call.operation
    find = RESOURCES.get(operation)
    resources = find(account, call.parameters) if find else ["*"]
    service = IAM_NAMES.get(call.service, call.service)
    return [_request(f"{service}:{operation}", one) for one in resources]


# A drain asks for the same again and again.
_request = lru_cache(REQUESTS_KEPT_MAX)(Request)


def _arn(account: Account, service: str, kind: str, reference: str) -> str:
    return (
        reference if reference.startswith("arn:") else account.arn(service, f"{kind}/{reference}")
    )


def _cluster_arn(account: Account, given: Mapping[str, Any]) -> str:
    return _arn(account, "ecs", "cluster", str(given.get("cluster") or "default"))


def _ecs_arn(
    account: Account, given: Mapping[str, Any], reference: str, kind: str = "container-instance"
) -> str:
    if reference.startswith("arn:"):
        return reference
    cluster = _cluster_arn(account, given).rpartition("/")[2]
    return account.arn("ecs", f"{kind}/{cluster}/{reference}")


def _group_arn(account: Account, name: str) -> str:
    group = account.auto_scaling.groups.get(name)
    unknown = f"autoScalingGroup:none:autoScalingGroupName/{name}"
    return group.arn if group else account.arn("autoscaling", unknown)


def _targets(account: Account, given: Mapping[str, Any]) -> list[str]:
    return [_ecs_arn(account, given, one["targetId"]) for one in given["attributes"]]


def _groups(account: Account, given: Mapping[str, Any]) -> list[str]:
    return [_group_arn(account, given["AutoScalingGroupName"])]


def _instances(account: Account, given: Mapping[str, Any]) -> list[str]:
    return [_ecs_arn(account, given, one) for one in given["containerInstances"]]


def _clusters(account: Account, given: Mapping[str, Any]) -> list[str]:
    names = given.get("clusters") or ["default"]
    return [_cluster_arn(account, {"cluster": one}) for one in names]


def _providers(account: Account, given: Mapping[str, Any]) -> list[str]:
    names = given.get("capacityProviders") or ["*"]
    return [_arn(account, "ecs", "capacity-provider", one) for one in names]


def _tables(account: Account, given: Mapping[str, Any]) -> list[str]:
    return [_arn(account, "dynamodb", "table", given["TableName"])]


def _queried(account: Account, given: Mapping[str, Any]) -> list[str]:
    (table,) = _tables(account, given)
    return [f"{table}/index/{given['IndexName']}" if "IndexName" in given else table]


def _stacks(account: Account, given: Mapping[str, Any]) -> list[str]:
    # By its name, a stack may be any of that name.
    name = str(given.get("StackName") or "*")
    return [_arn(account, "cloudformation", "stack", name if "/" in name else f"{name}/*")]


# What each operation is checked against; one that is not here has no resource type.
RESOURCES: dict[str, Callable[[Account, Mapping[str, Any]], list[str]]] = {
    "BatchGetItem": lambda account, given: [
        _arn(account, "dynamodb", "table", one) for one in given["RequestItems"]
    ],
    "CompleteLifecycleAction": _groups,
    "DeleteAttributes": _targets,
    "DeregisterTargets": lambda _, given: [given["TargetGroupArn"]],
    "DescribeCapacityProviders": _providers,
    "DescribeClusters": _clusters,
    "DescribeContainerInstances": _instances,
    "DescribeServices": lambda account, given: [
        _ecs_arn(account, given, one, "service") for one in given["services"]
    ],
    "DescribeSpotFleetInstances": lambda account, given: [
        _arn(account, "ec2", "spot-fleet-request", given["SpotFleetRequestId"])
    ],
    "DescribeStacks": _stacks,
    "ListStackResources": _stacks,
    "DescribeTasks": lambda account, given: [
        _ecs_arn(account, given, one, "task") for one in given["tasks"]
    ],
    "GetItem": _tables,
    "DeregisterContainerInstance": lambda account, given: [_cluster_arn(account, given)],
    "ListContainerInstances": lambda account, given: [_cluster_arn(account, given)],
    "ListTasks": lambda account, given: [_ecs_arn(account, given, given["containerInstance"])],
    "Publish": lambda _, given: [given["TopicArn"]],
    "PutAttributes": _targets,
    "Query": _queried,
    "RecordLifecycleActionHeartbeat": _groups,
    "Scan": _tables,
    "StopTask": lambda account, given: [_ecs_arn(account, given, given["task"], "task")],
    "UpdateContainerInstancesState": _instances,
    "UpdateItem": _tables,
}


class Gate:
    """
    Stands before every operation of an account and lets pass what the role may do.

    Attributes:
        passed: How often each action was allowed, by action and the statements that allowed it.
        denied: The requests that no statement allows.
    """

    def __init__(self, account: Account, policy: Policy) -> None:
        self._account = account
        self._policy = policy
        self._known: dict[tuple[str, str], tuple[str, ...]] = {}
        self.passed: Counter[tuple[str, tuple[str, ...]]] = Counter()
        self.denied: list[Request] = []

    def __call__(self, call: Call) -> None:
        """Refuse the call as AWS would, unless each of its requests is allowed."""
        for request in requests(call, self._account):
            key = (request.action, request.resource)
            if key not in self._known:
                self._known[key] = self._policy.allowing(request)
            if not self._known[key]:
                self.denied.append(request)
                sentence = f"is not authorized to perform: {request.action} on {request.resource}"
                raise ApiError(DENIED.get(call.service, "AccessDenied"), sentence, 403)
            self.passed[request.action, self._known[key]] += 1
