"""
IAM, as far as our templates use it: what a policy document allows, and a gate before each call.

Deny statements, NotAction and the like are refused rather than ignored, for a policy that is read
wrongly shows nothing.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drainer.simulation.records import ApiError
from drainer.simulation.template import DeployedStack, TemplateError, read_template

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from drainer.simulation.account import Account
    from drainer.simulation.records import Call

INFRA = Path(__file__).resolve().parents[4] / "infra"
TEMPLATE = INFRA / "drainer.yaml"
SPOT_TEMPLATE = INFRA / "spot.yaml"
STATEMENT_KEYS = frozenset({"Sid", "Effect", "Principal", "Action", "Resource", "Condition"})
# "ArnEquals and ArnLike behave identically": both know wildcards.
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html
CONDITION_OPERATORS = frozenset({"ArnEquals", "ArnLike"})
ANYBODY = "*"
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
# What Ref gives where it is no plain name; of a queue only the ARN matters to a policy.
ARNS = {
    "AWS::Events::Rule": "arn:aws:events:{place}:rule/{name}",
    "AWS::Logs::LogGroup": "arn:aws:logs:{place}:log-group:{name}",
    "AWS::SNS::Topic": "arn:aws:sns:{place}:{name}",
    "AWS::SQS::Queue": "arn:aws:sqs:{place}:{name}",
}


@dataclass(frozen=True, slots=True)
class Request:
    """
    What somebody asks for.

    Attributes:
        action: `service:Operation`, by IAM's name.
        resource: The ARN that the action is checked against; `*` where it has no resource type.
        principal: A role's ARN, a service's name or nothing for nobody known; only policies of
            resources ask.
        context: The condition keys that the request carries.
    """

    action: str
    resource: str
    principal: str = ""
    context: Mapping[str, str] = field(default_factory=dict)


class Policy:
    """Statements that allow, as one policy document or several."""

    def __init__(self, statements: Iterable[Mapping[str, Any]]) -> None:
        self.statements = tuple(statements)
        for statement in self.statements:
            unknown = set(statement) - STATEMENT_KEYS
            operators = set(statement.get("Condition", ())) - CONDITION_OPERATORS
            if unknown or operators or statement["Effect"] != "Allow":
                name = statement.get("Sid", "a statement")
                raise TemplateError(f"{name} says what is not understood: {unknown or operators}")

    def allowing(self, request: Request) -> tuple[str, ...]:
        """Return the Sids of the statements that allow the request."""
        return tuple(
            statement["Sid"] for statement in self.statements if _allows(statement, request)
        )

    @property
    def actions(self) -> set[str]:
        """The actions that are allowed on anything at all."""
        return {action for one in self.statements for action in _list(one["Action"])}


def _allows(statement: Mapping[str, Any], request: Request) -> bool:
    # "The prefix and the action name are case insensitive."
    # https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_action.html
    action = request.action.lower()
    return (
        any(_matches(one.lower(), action) for one in _list(statement["Action"]))
        and any(_matches(one, request.resource) for one in _list(statement["Resource"]))
        and _admits(statement.get("Principal"), request.principal)
        and all(
            any(_matches(one, request.context.get(key, "")) for one in _list(wanted))
            for keys in statement.get("Condition", {}).values()
            for key, wanted in keys.items()
        )
    )


def _admits(principals: Any, asking: str) -> bool:
    """
    Judge a resource policy's principal; a role's own policy has none and admits its role.

    "When you specify an AWS account, you can use the account ARN (arn:aws:iam::account-ID:root)
    ...": it stands for every identity of that account whose own policy says so as well.
    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html
    """
    if principals in (None, ANYBODY):
        return True
    return any(
        named in (ANYBODY, asking)
        or (named.endswith(":root") and asking.startswith(named.removesuffix("root")))
        for kind in principals.values()
        for named in _list(kind)
    )


@cache
def _pattern(text: str) -> re.Pattern[str]:
    escaped = re.escape(text).replace(r"\*", ".*").replace(r"\?", ".")
    return re.compile(escaped, re.DOTALL)


def _matches(pattern: str, value: str) -> bool:
    return bool(_pattern(pattern).fullmatch(value))


def _list(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else [value]


@cache
def _template() -> dict[str, Any]:
    return read_template(TEMPLATE)


def shipped_stack(account_id: str, region: str, **parameters: str) -> DeployedStack:
    """Return infra/drainer.yaml as deployed under the name of `drainer`, with these parameters."""
    template, place = _template(), f"{region}:{account_id}"
    defaults = {
        name: str(parameter["Default"]) for name, parameter in template["Parameters"].items()
    }
    return DeployedStack(
        template=template,
        parameters={**defaults, **parameters},
        physical_ids={
            name: ARNS.get(one["Type"], "{name}").format(
                # The simulated installation calls the topic by the stack's own name.
                place=place,
                name="drainer" if name == "Topic" else f"drainer-{name}",
            )
            for name, one in template["Resources"].items()
        },
        outputs={},
        pseudo=_pseudo(account_id, region),
    )


def role_policy(stack: DeployedStack) -> Policy:
    """Return what the function's role may do."""
    role = dict(stack.resources("AWS::IAM::Role"))["Role"]
    documents = [one["PolicyDocument"] for one in role["Policies"]]
    return Policy(statement for document in documents for statement in document["Statement"])


def spot_patterns() -> dict[str, dict[str, Any]]:
    """Return the event patterns of infra/spot.yaml, by the logical names of their rules."""
    return {
        name: one["Properties"]["EventPattern"]
        for name, one in read_template(SPOT_TEMPLATE)["Resources"].items()
        if one["Type"] == "AWS::Events::Rule"
    }


def spot_policy(account_id: str, region: str) -> Policy:
    """Return what infra/spot.yaml adds to the role of the function, with its defaults."""
    template = read_template(SPOT_TEMPLATE)
    stack = DeployedStack(
        template=template,
        parameters={
            name: str(parameter.get("Default", "drainer"))
            for name, parameter in template["Parameters"].items()
        },
        physical_ids=dict.fromkeys(template["Resources"], "drainer-spot"),
        outputs={},
        pseudo=_pseudo(account_id, region),
        exports={
            "drainer-FunctionArn": f"arn:aws:lambda:{region}:{account_id}:function:drainer",
            "drainer-RoleName": "drainer",
        },
    )
    documents = [one["PolicyDocument"] for _, one in stack.resources("AWS::IAM::Policy")]
    return Policy(statement for document in documents for statement in document["Statement"])


def _pseudo(account_id: str, region: str) -> dict[str, str]:
    return {
        "AWS::Region": region,
        "AWS::AccountId": account_id,
        "AWS::Partition": "aws",
        "AWS::StackName": "drainer",
    }


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
    return [Request(f"{service}:{operation}", one) for one in resources]


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
    "PutItem": _tables,
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
