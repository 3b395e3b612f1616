"""
Five groups with five old drainers, as AWS describes them; read with real botocore clients.

The sources are not those of the old drainers: each only has the words that they are told by.
"""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import dataclass, field
from functools import cache
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import botocore.session

from drainer.simulation.records import ApiError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

REGION, ACCOUNT = "us-east-1", "123456789012"
STACK = "drainer"
TOPIC = f"arn:aws:sns:{REGION}:{ACCOUNT}:drainer"
FUNCTION = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:drainer"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/drainer-hooks-{REGION}"
TERMINATING = "autoscaling:EC2_INSTANCE_TERMINATING"
# What a reading may call; all else is a write, and refused.
READS = ("Describe", "Get", "List")

DRAINS = "ecs.update_container_instances_state()\nasg.complete_lifecycle_action()\n"
RULE_PATTERN = {
    "source": ["aws.autoscaling"],
    "detail-type": ["EC2 Instance-terminate Lifecycle Action"],
}
ECS_ACTIONS = ["ecs:ListContainerInstances", "ecs:DescribeContainerInstances"]
DRAIN_ACTIONS = [
    "autoscaling:CompleteLifecycleAction",
    "ecs:UpdateContainerInstancesState",
    *ECS_ACTIONS,
]


@dataclass(frozen=True, slots=True)
class Planted:
    """
    An old drainer, as its template or module makes it.

    Attributes:
        name: What its resources are called; nothing may be recognised by it.
        target: The service that its hook notifies; empty for EventBridge alone.
    """

    name: str
    old: str
    target: str
    runtime: str
    handler: str
    timeout_seconds: int
    heartbeat_seconds: int
    default_result: str
    source: Mapping[str, str] = field(default_factory=dict)
    code_bytes: int = 1_000
    variables: Mapping[str, str] = field(default_factory=dict)
    actions: tuple[str, ...] = ()

    @property
    def group(self) -> str:
        """Its group, with a cluster of the same name."""
        return f"{self.name}-asg"

    @property
    def hook(self) -> str:
        """The name of its hook."""
        return f"{self.name}-hook"

    @property
    def target_arn(self) -> str:
        """What its hook notifies."""
        return f"arn:aws:{self.target}:{REGION}:{ACCOUNT}:{self.name}" if self.target else ""

    @property
    def function_arn(self) -> str:
        """Its function."""
        return f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{self.name}"

    def settings(self) -> dict[str, Any]:
        """Return its hook as `DescribeLifecycleHooks` does."""
        target = {"NotificationTargetARN": self.target_arn, "RoleARN": f"{ROLE}-of-{self.name}"}
        return {
            "LifecycleHookName": self.hook,
            "AutoScalingGroupName": self.group,
            "LifecycleTransition": TERMINATING,
            "HeartbeatTimeout": self.heartbeat_seconds,
            "GlobalTimeout": 100 * self.heartbeat_seconds,
            "DefaultResult": self.default_result,
            **(target if self.target else {}),
        }


PLANTED = {
    one.name: one
    for one in (
        Planted(
            "alpha",
            "aws-samples/ecs-cid-sample",
            "sns",
            "python3.6",
            "index.lambda_handler",
            60,
            900,
            "ABANDON",
            {"index.py": DRAINS + "sns.publish()\ntime.sleep(5)\n'runningTasksCount'\n"},
            actions=(*DRAIN_ACTIONS, "sns:Publish"),
        ),
        Planted(
            "beta",
            "aws-samples/ecs-refarch-cloudformation",
            "sns",
            "python3.6",
            "index.lambda_handler",
            10,
            900,
            "ABANDON",
            {
                "index.py": DRAINS + "sns.publish()\ntime.sleep(5)\n"
                "'runningTasksCount', 'pendingTasksCount', 'LifecycleActionToken'\n"
            },
            actions=(*DRAIN_ACTIONS, "sns:Publish", "ec2:DescribeHosts"),
        ),
        Planted(
            "gamma",
            "aws-cdk InstanceDrainHook",
            "sns",
            "python3.13",
            "index.lambda_handler",
            310,
            300,
            "CONTINUE",
            {"index.py": DRAINS + "time.sleep(10)\n'pendingTasksCount', 'LifecycleActionToken'\n"},
            variables={"CLUSTER": "gamma", "SECRET": "hunter2"},
            actions=(*DRAIN_ACTIONS, "ecs:DescribeTasks", "ecs:ListTasks"),
        ),
        Planted(
            "delta",
            "getsocial-rnd/ecs-drain-lambda",
            "",
            "go1.x",
            "bin/drain",
            900,
            3_600,
            "ABANDON",
            code_bytes=8_000_000,
            actions=(*DRAIN_ACTIONS, "ec2:DescribeInstanceAttribute"),
        ),
        Planted(
            "epsilon",
            "widdix/aws-cf-templates",
            "sqs",
            "nodejs12.x",
            "index.handler",
            60,
            3_600,
            "CONTINUE",
            {
                "lib.js": "ecs.updateContainerInstancesState()\nasg.completeLifecycleAction()\n"
                "asg.recordLifecycleActionHeartbeat()\n'LifecycleActionToken'\n"
            },
            variables={"CLUSTER": "epsilon", "QUEUE_URL": "q", "DRAINING_TIMEOUT": "7200"},
            actions=(*DRAIN_ACTIONS, "sqs:SendMessage"),
        ),
    )
}


def zipped(source: Mapping[str, str]) -> bytes:
    """Return sources as a function's zip."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, text in source.items():
            archive.writestr(name, text)
    return content.getvalue()


@cache
def botocore_client(service: str) -> Any:
    """Make a real client whose calls never leave this process."""
    session = botocore.session.Session()
    session.set_credentials("nobody", "nothing")
    return session.create_client(service, region_name=REGION)


class PlantedAccount:
    """
    AWS's answers about the five old drainers, at botocore's border.

    Attributes:
        hooks: The hooks of each group, by name; `PutLifecycleHook` changes them if it is admitted.
        states: The lifecycle states of each group's instances.
        roles: The roles that exist.
        forgets: Parameters of `PutLifecycleHook` that do not stay.
        recursive_loop: What each function is set to.
        denied: Operations that are refused.
        calls: The operations that were called.
        auto_scaling: Answers the calls of Auto Scaling instead, where it is given.
    """

    def __init__(self, *, may_write: bool = False) -> None:
        self.planted = dict(PLANTED)
        self.hooks = {one.group: {one.hook: one.settings()} for one in PLANTED.values()}
        self.states: dict[str, dict[str, str]] = {one.group: {} for one in PLANTED.values()}
        self.patterns: dict[str, Mapping[str, Any]] = {"delta": RULE_PATTERN}
        self.roles = {ROLE.rpartition("/")[2]}
        self.hook_stacks = {"alpha-hook": "alpha-stack"}
        self.recursive_loop = "Terminate"
        self.forgets: set[str] = set()
        self.denied: set[str] = set()
        self.calls: list[str] = []
        self.auto_scaling: Callable[[str, dict[str, Any]], dict[str, Any]] | None = None
        self._may_write = may_write

    def client(self, service: str) -> Any:
        """Make a client that calls this account; the one that was made last is in use."""
        client = botocore_client(service)
        events = client.meta.events
        events.unregister("before-parameter-build", unique_id="planted parameters")
        events.unregister("before-call", unique_id="planted answer")
        events.register_first("before-parameter-build", _keep, unique_id="planted parameters")
        events.register_first("before-call", self._answer, unique_id="planted answer")
        return client

    def fetch(self, address: str) -> bytes:
        """Return a function's zip."""
        return zipped(self.planted[address.rpartition("/")[2]].source)

    def _answer(self, model: Any, context: dict[str, Any], **_: Any) -> tuple[Any, dict[str, Any]]:
        operation, parameters = model.name, context["planted"]
        self.calls.append(operation)
        allowed = self._may_write and operation == "PutLifecycleHook"
        if not operation.startswith(READS) and not allowed:
            raise AssertionError(f"a reading calls {operation}")
        try:
            answer = self._perform(model.service_model.service_name, operation, parameters)
        except ApiError as error:
            said = {"Code": error.code, "Message": error.message}
            return SimpleNamespace(status_code=error.http_status), {"Error": said}
        return SimpleNamespace(status_code=200), answer

    def _perform(self, service: str, operation: str, parameters: dict[str, Any]) -> dict[str, Any]:
        if operation in self.denied:
            raise ApiError("AccessDenied", "not allowed", 403)
        if self.auto_scaling and service == "autoscaling":
            return self.auto_scaling(operation, parameters)
        answer: dict[str, Any] = getattr(self, f"_{operation}")(parameters)
        return answer

    # Auto Scaling

    def _DescribeAutoScalingGroups(self, _: Any) -> dict[str, Any]:  # noqa: N802 - AWS's names
        groups = [
            {
                "AutoScalingGroupName": group,
                "Instances": [
                    {"InstanceId": one, "LifecycleState": state} for one, state in states.items()
                ],
            }
            for group, states in self.states.items()
        ]
        return {"AutoScalingGroups": groups}

    def _DescribeLifecycleHooks(self, asked: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        hooks = self.hooks.get(asked["AutoScalingGroupName"], {})
        return {"LifecycleHooks": [dict(one) for one in hooks.values()]}

    def _PutLifecycleHook(self, given: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        hook = self.hooks[given["AutoScalingGroupName"]][given["LifecycleHookName"]]
        hook.update({name: one for name, one in given.items() if name not in self.forgets})
        if not hook.get("NotificationTargetARN"):
            hook.pop("NotificationTargetARN", None)
        return {}

    # What listens

    def _ListSubscriptionsByTopic(self, asked: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        found = [one for one in self.planted.values() if one.target_arn == asked["TopicArn"]]
        subscriptions = [{"Protocol": "lambda", "Endpoint": one.function_arn} for one in found]
        return {"Subscriptions": [{"Protocol": "email", "Endpoint": "a@b.example"}, *subscriptions]}

    def _ListEventSourceMappings(self, asked: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        found = [one for one in self.planted.values() if one.target_arn == asked["EventSourceArn"]]
        return {"EventSourceMappings": [{"FunctionArn": one.function_arn} for one in found]}

    def _ListRules(self, _: Any) -> dict[str, Any]:  # noqa: N802
        rules = [
            {"Name": f"{name}-rule", "State": "ENABLED", "EventPattern": json.dumps(pattern)}
            for name, pattern in self.patterns.items()
        ]
        other = {"Name": "nightly", "State": "ENABLED", "ScheduleExpression": "rate(1 day)"}
        return {"Rules": [other, *rules]}

    def _ListTargetsByRule(self, asked: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        name = asked["Rule"].removesuffix("-rule")
        return {"Targets": [{"Id": "1", "Arn": f"{self.planted[name].function_arn}:main"}]}

    # Functions

    def _GetFunction(self, asked: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        one = self.planted[asked["FunctionName"].split(":")[6]]
        configuration = {
            "FunctionName": one.name,
            "Handler": one.handler,
            "Runtime": one.runtime,
            "Timeout": one.timeout_seconds,
            "CodeSize": one.code_bytes,
            "Role": f"arn:aws:iam::{ACCOUNT}:role/service/{one.name}-role",
            "Environment": {"Variables": dict(one.variables)},
        }
        return {"Configuration": configuration, "Code": {"Location": f"https://code/{one.name}"}}

    def _GetFunctionRecursionConfig(self, _: Any) -> dict[str, Any]:  # noqa: N802
        return {"RecursiveLoop": self.recursive_loop}

    def _ListRolePolicies(self, _: Any) -> dict[str, Any]:  # noqa: N802
        return {"PolicyNames": ["inline"], "IsTruncated": False}

    def _GetRolePolicy(self, asked: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        one = self.planted[asked["RoleName"].removesuffix("-role")]
        statement = {"Effect": "Allow", "Action": list(one.actions), "Resource": "*"}
        return {"PolicyDocument": quote(json.dumps({"Statement": [statement]}))}

    # The drainer

    def _DescribeStacks(self, asked: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        if asked["StackName"] != STACK:
            raise ApiError("ValidationError", "Stack does not exist")
        outputs = {"TopicArn": TOPIC, "FunctionArn": FUNCTION}
        shown = [{"OutputKey": key, "OutputValue": value} for key, value in outputs.items()]
        return {"Stacks": [{"StackName": STACK, "Outputs": shown}]}

    def _DescribeStackResources(self, asked: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        hook = asked["PhysicalResourceId"]
        if hook not in self.hook_stacks:
            raise ApiError("ValidationError", "Stack does not exist")
        resource = {"PhysicalResourceId": hook, "ResourceType": "AWS::AutoScaling::LifecycleHook"}
        return {"StackResources": [{**resource, "StackName": self.hook_stacks[hook]}]}

    def _GetTopicAttributes(self, _: Any) -> dict[str, Any]:  # noqa: N802
        return {"Attributes": {}}

    def _GetRole(self, asked: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        if asked["RoleName"] not in self.roles:
            raise ApiError("NoSuchEntity", "no such role", 404)
        return {"Role": {"Arn": f"arn:aws:iam::{ACCOUNT}:role/{asked['RoleName']}"}}


def _keep(params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
    context["planted"] = params
