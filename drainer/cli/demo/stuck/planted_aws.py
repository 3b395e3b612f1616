"""
A small AWS account of planted answers: the one that the demo of stuck drains reads, and its tests.

Nothing happens in it. Its clients are real ones whose calls end here: botocore checks the
parameters of each call, and each answer is checked against AWS's own model. An operation that it
does not know is refused, and every write is.
"""

# ruff: noqa: N802, N803 (the methods and parameters have the names of AWS)

from __future__ import annotations

import re
from collections import Counter
from copy import copy
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from botocore.config import Config
from botocore.session import Session
from botocore.validate import ParamValidator

from drainer.aws.record_expressions import attributes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime

REGION, ACCOUNT = "eu-central-1", "123456789012"
READS = ("Describe", "List", "Get", "Query", "BatchGetItem")
HUNDRED = 100
EC2_INSTANCE_ID = re.compile(r"\bi-\w+")


@cache
def session() -> Session:
    """Return botocore's session, with credentials that are none."""
    made = Session()
    made.set_credentials("fake", "fake")
    return made


@cache
def first_client(service: str) -> Any:
    """Return the client that all others of a service are copied from; it is never called."""
    return session().create_client(
        service, region_name=REGION, config=Config(retries={"total_max_attempts": 1})
    )


def unanswered(service: str) -> Any:
    """
    Return a new client, whose handlers of events are its own.

    To make one takes ten times as long as to copy one, and each account has a client of each
    service: it was half of what the tests of `drainer explain` took.
    """
    first = first_client(service)
    made = object.__new__(type(first))
    made.__dict__.update(first.__dict__)
    made.meta = copy(first.meta)
    made.meta.events = copy(first.meta.events)
    return made


def arn(service: str, resource: str) -> str:
    """Return the ARN of a resource of this account."""
    return f"arn:aws:{service}:{REGION}:{ACCOUNT}:{resource}"


class Http:
    """
    As much of an HTTP response as botocore looks at.
    """

    def __init__(self, status: int) -> None:
        self.status_code = status
        self.headers: dict[str, str] = {}


class Refused(Exception):  # noqa: N818 - an answer, not a mistake
    """
    AWS's refusal of a call.
    """

    def __init__(self, code: str, message: str = "") -> None:
        super().__init__(code)
        self.code, self.message = code, message or code


def refusal(code: str, message: str) -> tuple[Http, dict[str, Any]]:
    """Return a refusal as botocore's parsers do."""
    error = {"Code": code, "Message": message}
    return Http(400), {"Error": error, "ResponseMetadata": {"HTTPStatusCode": 400}}


def bounded(items: list[Any], most: int) -> None:
    """Raise an AssertionError for a list that AWS would refuse."""
    if not 0 < len(items) <= most:
        raise AssertionError(f"{len(items)} items, not 1 to {most}")


@dataclass
class Cluster:
    """
    A cluster: what AWS would answer of it, by ARN or by name.
    """

    instances: dict[str, dict[str, Any]] = field(default_factory=dict)
    tasks: dict[str, dict[str, Any]] = field(default_factory=dict)
    services: dict[str, dict[str, Any]] = field(default_factory=dict)
    protected: dict[str, datetime | None] = field(default_factory=dict)


@dataclass
class PlantedAws:
    """
    An account.

    Attributes:
        now: The present instant.
        page_size: How many items a page of a listing has.
        denied: The codes with which operations are refused, by `service:Operation`.
        refuses: Says more finely what is refused, by operation and parameters.
        calls: The calls that were made, as `service:Operation`.
        writes: The calls that would have changed something.
    """

    now: datetime
    page_size: int = HUNDRED
    clusters: dict[str, Cluster] = field(default_factory=dict)
    definitions: dict[str, dict[str, Any]] = field(default_factory=dict)
    deployments: dict[str, dict[str, Any]] = field(default_factory=dict)
    target_groups: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    delays: dict[str, int] = field(default_factory=dict)
    groups: dict[str, dict[str, Any]] = field(default_factory=dict)
    in_groups: dict[str, dict[str, Any]] = field(default_factory=dict)
    hooks: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    policies: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    activities: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    stacks: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    records: list[dict[str, Any]] = field(default_factory=list)
    dead_letters: int = 0
    mappings: list[dict[str, Any]] = field(default_factory=list)
    concurrency: int | None = None
    rule_state: str = "ENABLED"
    metrics: dict[str, list[tuple[datetime, float]]] = field(default_factory=dict)
    alarms: list[str] = field(default_factory=list)
    denied: dict[str, str] = field(default_factory=dict)
    refuses: Callable[[str, Mapping[str, Any]], str] = lambda _name, _parameters: ""
    calls: list[str] = field(default_factory=list)
    writes: list[str] = field(default_factory=list)
    _clients: dict[str, Any] = field(default_factory=dict)

    def client(self, service: str) -> Any:
        """
        Return a real client, whose calls this account answers.
        """
        if service not in self._clients:
            made = unanswered(service)
            made.meta.events.register("provide-client-params.*.*", self._keep)
            made.meta.events.register("before-call.*.*", self._answer)
            self._clients[service] = made
        return self._clients[service]

    def counts(self) -> Counter[str]:
        """
        Return the number of calls of each service.
        """
        return Counter(one.partition(":")[0] for one in self.calls)

    @staticmethod
    def _keep(params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
        context["parameters"] = params

    def _answer(self, model: Any, context: dict[str, Any], **_: Any) -> tuple[Http, dict[str, Any]]:
        try:
            answer = self.answer(model, context["parameters"])
        except Refused as error:
            return refusal(error.code, error.message)
        return Http(200), {**answer, "ResponseMetadata": {"HTTPStatusCode": 200}}

    def answer(self, model: Any, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """
        Return the answer to a call, by botocore's model of the operation.

        Raises:
            Refused: AWS would refuse it.
            AssertionError: It is a write, or the answer is not one of AWS's.
        """
        service, operation = model.service_model.service_name, model.name
        name = f"{service}:{operation}"
        if not operation.startswith(READS):
            self.writes.append(name)
            raise AssertionError(f"{name} is a write, and each is refused")
        self.calls.append(name)
        if code := self.denied.get(name) or self.refuses(name, parameters):
            raise Refused(code)
        planted = getattr(self, f"_{service}_{operation}", None)
        if planted is None:
            raise AssertionError(f"{name} is not planted")
        answer: dict[str, Any] = planted(**parameters)
        report = ParamValidator().validate(answer, model.output_shape)
        if report.has_errors():
            raise AssertionError(f"{name}: {report.generate_report()}")
        return answer

    def _page(self, items: Iterable[Any], token: str | None) -> tuple[list[Any], str | None]:
        every = list(items)
        start = int(token or 0)
        end = start + self.page_size
        return every[start:end], str(end) if end < len(every) else None

    def _paged(self, key: str, items: Iterable[Any], token: str | None) -> dict[str, Any]:
        some, more = self._page(items, token)
        return {key: some} | ({"nextToken": more} if more else {})

    def _cluster(self, cluster: str) -> Cluster:
        name = cluster.rpartition("/")[2]
        if name not in self.clusters:
            raise Refused("ClusterNotFoundException", "Cluster not found.")
        return self.clusters[name]

    # -- ECS

    def _ecs_ListClusters(self, nextToken: str | None = None, **_: Any) -> dict[str, Any]:
        arns = [arn("ecs", f"cluster/{name}") for name in self.clusters]
        return self._paged("clusterArns", arns, nextToken)

    def _ecs_ListContainerInstances(
        self,
        cluster: str,
        status: str = "",
        filter: str = "",  # noqa: A002 (AWS calls it so)
        nextToken: str | None = None,
    ) -> dict[str, Any]:
        wanted = {*EC2_INSTANCE_ID.findall(filter)}
        arns = [
            name
            for name, one in self._cluster(cluster).instances.items()
            if status in {"", one["status"]} and (not wanted or one["ec2InstanceId"] in wanted)
        ]
        return self._paged("containerInstanceArns", arns, nextToken)

    def _ecs_DescribeContainerInstances(
        self,
        cluster: str,
        containerInstances: list[str],
        **_: Any,
    ) -> dict[str, Any]:
        bounded(containerInstances, HUNDRED)
        there = self._cluster(cluster).instances
        return {
            "containerInstances": [there[name] for name in containerInstances if name in there],
            "failures": [],
        }

    def _ecs_ListTasks(
        self,
        cluster: str,
        containerInstance: str = "",
        serviceName: str = "",
        desiredStatus: str = "RUNNING",
        nextToken: str | None = None,
    ) -> dict[str, Any]:
        arns = [
            name
            for name, one in self._cluster(cluster).tasks.items()
            if containerInstance in {"", one.get("containerInstanceArn")}
            and serviceName in {"", one["group"].removeprefix("service:")}
            and one["desiredStatus"] == desiredStatus
        ]
        return self._paged("taskArns", arns, nextToken)

    def _ecs_DescribeTasks(self, cluster: str, tasks: list[str], **_: Any) -> dict[str, Any]:
        bounded(tasks, HUNDRED)
        # A task may be named by its ARN or by its id.
        names = {one.rpartition("/")[2] for one in tasks}
        there = self._cluster(cluster).tasks.items()
        found = [one for name, one in there if name.rpartition("/")[2] in names]
        return {"tasks": found, "failures": []}

    def _ecs_DescribeServices(self, cluster: str, services: list[str], **_: Any) -> dict[str, Any]:
        bounded(services, 10)
        there = self._cluster(cluster).services
        return {"services": [there[name] for name in services if name in there], "failures": []}

    def _ecs_DescribeTaskDefinition(self, taskDefinition: str, **_: Any) -> dict[str, Any]:
        return {"taskDefinition": self.definitions[taskDefinition]}

    def _ecs_GetTaskProtection(self, cluster: str, tasks: list[str]) -> dict[str, Any]:
        there = self._cluster(cluster)
        protected = []
        for one in tasks:
            name = one.rpartition("/")[2]
            until = there.protected.get(name)
            found = {"taskArn": arn("ecs", f"task/{cluster}/{name}")}
            found["protectionEnabled"] = name in there.protected  # type: ignore[assignment]
            if until:
                found["expirationDate"] = until  # type: ignore[assignment]
            protected.append(found)
        return {"protectedTasks": protected, "failures": []}

    def _ecs_DescribeServiceDeployments(
        self,
        serviceDeploymentArns: list[str],
    ) -> dict[str, Any]:
        return {"serviceDeployments": [self.deployments[one] for one in serviceDeploymentArns]}

    # -- load balancers

    def _elbv2_DescribeTargetHealth(self, TargetGroupArn: str, **_: Any) -> dict[str, Any]:
        if TargetGroupArn not in self.target_groups:
            raise Refused("TargetGroupNotFound")
        return {"TargetHealthDescriptions": self.target_groups[TargetGroupArn]}

    def _elbv2_DescribeTargetGroupAttributes(self, TargetGroupArn: str) -> dict[str, Any]:
        delay = str(self.delays.get(TargetGroupArn, 300))
        return {"Attributes": [{"Key": "deregistration_delay.timeout_seconds", "Value": delay}]}

    # -- Auto Scaling

    def _autoscaling_DescribeAutoScalingInstances(
        self,
        InstanceIds: list[str],
        **_: Any,
    ) -> dict[str, Any]:
        found = [self.in_groups[one] for one in InstanceIds if one in self.in_groups]
        return {"AutoScalingInstances": found}

    def _autoscaling_DescribeAutoScalingGroups(
        self,
        AutoScalingGroupNames: list[str] | None = None,
        IncludeInstances: bool = True,
        **_: Any,
    ) -> dict[str, Any]:
        names = [*self.groups] if AutoScalingGroupNames is None else AutoScalingGroupNames
        found = [self.groups[one] for one in names if one in self.groups]
        if IncludeInstances:
            found = [one | {"Instances": self._members(one)} for one in found]
        return {"AutoScalingGroups": found}

    def _members(self, group: Mapping[str, Any]) -> list[dict[str, Any]]:
        return [
            {name: value for name, value in one.items() if name != "AutoScalingGroupName"}
            for one in self.in_groups.values()
            if one["AutoScalingGroupName"] == group["AutoScalingGroupName"]
        ]

    def _autoscaling_DescribeLifecycleHooks(self, AutoScalingGroupName: str) -> dict[str, Any]:
        return {"LifecycleHooks": self.hooks.get(AutoScalingGroupName, [])}

    def _autoscaling_DescribePolicies(self, AutoScalingGroupName: str, **_: Any) -> dict[str, Any]:
        return {"ScalingPolicies": self.policies.get(AutoScalingGroupName, [])}

    def _autoscaling_DescribeScalingActivities(
        self,
        AutoScalingGroupName: str,
        **_: Any,
    ) -> dict[str, Any]:
        return {"Activities": self.activities.get(AutoScalingGroupName, [])}

    # -- the drainer's stack

    def _cloudformation_DescribeStacks(self, StackName: str) -> dict[str, Any]:
        if StackName not in self.stacks:
            raise Refused("ValidationError", f"Stack with id {StackName} does not exist")
        return {
            "Stacks": [
                {
                    "StackName": StackName,
                    "CreationTime": self.now,
                    "StackStatus": "CREATE_COMPLETE",
                    "Parameters": [
                        {"ParameterKey": "PassIntervalSeconds", "ParameterValue": "15"},
                        {"ParameterKey": "SweepIntervalMinutes", "ParameterValue": "5"},
                    ],
                }
            ]
        }

    def _cloudformation_DescribeStackResource(
        self, StackName: str, LogicalResourceId: str
    ) -> dict[str, Any]:
        found = [
            one
            for one in self.stacks.get(StackName, [])
            if one["LogicalResourceId"] == LogicalResourceId
        ]
        if not found:
            raise Refused("ValidationError", f"{LogicalResourceId} does not exist in {StackName}")
        detail = {name: value for name, value in found[0].items() if name != "Timestamp"}
        return {"StackResourceDetail": {"LastUpdatedTimestamp": self.now, **detail}}

    def _cloudformation_DescribeStackResources(self, StackName: str) -> dict[str, Any]:
        return {"StackResources": self.stacks[StackName]}

    def _sts_GetCallerIdentity(self) -> dict[str, Any]:
        return {"Account": ACCOUNT, "Arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/demo/you"}

    def _sqs_GetQueueAttributes(self, **_: Any) -> dict[str, Any]:
        return {"Attributes": {"ApproximateNumberOfMessages": str(self.dead_letters)}}

    def _lambda_ListEventSourceMappings(self, **_: Any) -> dict[str, Any]:
        return {"EventSourceMappings": self.mappings}

    def _lambda_GetFunctionConcurrency(self, **_: Any) -> dict[str, Any]:
        if self.concurrency is None:
            return {}
        return {"ReservedConcurrentExecutions": self.concurrency}

    def _events_DescribeRule(self, Name: str) -> dict[str, Any]:
        return {"Name": Name, "State": self.rule_state}

    def _cloudwatch_GetMetricData(
        self,
        MetricDataQueries: list[dict[str, Any]],
        **_: Any,
    ) -> dict[str, Any]:
        results = []
        for one in MetricDataQueries:
            points = self.metrics.get(one["MetricStat"]["Metric"]["MetricName"], [])
            results.append(
                {
                    "Id": one["Id"],
                    "Timestamps": [at for at, _ in points],
                    "Values": [value for _, value in points],
                }
            )
        return {"MetricDataResults": results}

    def _cloudwatch_DescribeAlarms(self, AlarmNames: list[str], **_: Any) -> dict[str, Any]:
        return {"MetricAlarms": [{"AlarmName": one} for one in self.alarms if one in AlarmNames]}

    def _dynamodb_Query(
        self, ExpressionAttributeValues: dict[str, Any], **_: Any
    ) -> dict[str, Any]:
        ((name, value),) = ExpressionAttributeValues.items()
        field_name = name.removeprefix(":")
        found = [one for one in self.records if one.get(field_name) == value["S"]]
        return {"Items": [attributes(one) for one in found]}

    def _dynamodb_BatchGetItem(self, RequestItems: dict[str, Any]) -> dict[str, Any]:
        ((table, asked),) = RequestItems.items()
        bounded(asked["Keys"], HUNDRED)
        keys = [(one["instance"]["S"], one["subject"]["S"]) for one in asked["Keys"]]
        found = [one for one in self.records if (one["instance"], one["subject"]) in keys]
        return {"Responses": {table: [attributes(one) for one in found]}, "UnprocessedKeys": {}}
