"""
What `explain` reads of a simulated account, as AWS would answer it.

The simulated services answer for themselves. What they have no words for is added from the same
account: service events and scaling activities from its history, resources from its places, and the
state of the drainer's stack from what was done to it.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from drainer.cli.simulate.causes.story import CLUSTER, FULL, GROUP, START, SWEEP_SECONDS
from drainer.simulation.protocol.client import InProcessClient
from drainer.simulation.records import ApiError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime

    from drainer.cli.simulate.causes.story import Story
    from drainer.simulation.records import Fact

    Heard = Callable[[str, str, Mapping[str, Any]], None]

STACK, FUNCTION, SWEEP_RULE = "drainer", "drainer-Function", "drainer-Sweep"
DEAD_LETTERS = "https://sqs/123456789012/drainer-dead-letters"
# What a place for a task is made of, and what is never short.
PLACE_UNITS, PLENTY = 512, 1_000_000
EVENTS_MAX = 100
# Metrics arrive about so late.
METRICS_LATE = timedelta(seconds=90)
DAYS = timedelta(days=3)


class Answers:
    """
    Clients of one account.

    Args:
        story: the account.
        heard: told of each answer, with its service and operation.
    """

    def __init__(self, story: Story, heard: Heard) -> None:
        self._story = story
        self._heard = heard
        self._clients: dict[str, InProcessClient] = {}
        self._made: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
            "autoscaling:DescribePolicies": lambda _: {"ScalingPolicies": []},
            "autoscaling:DescribeScalingActivities": self._activities,
            "cloudformation:DescribeStacks": self._stacks,
            "cloudformation:DescribeStackResources": self._resources,
            "cloudwatch:DescribeAlarms": lambda _: {"MetricAlarms": []},
            "cloudwatch:GetMetricData": self._metrics,
            "events:DescribeRule": lambda _: {"Name": SWEEP_RULE, "State": "ENABLED"},
            "lambda:GetFunctionConcurrency": self._concurrency,
            "lambda:ListEventSourceMappings": lambda _: {"EventSourceMappings": []},
            "sqs:GetQueueAttributes": self._queue,
        }
        self._added: dict[str, Callable[[dict[str, Any]], None]] = {
            "ecs:DescribeContainerInstances": self._add_resources,
            "ecs:DescribeServices": self._add_events,
            "ecs:DescribeTaskDefinition": self._add_needs,
            "ecs:DescribeTasks": _make_old,
        }

    def client(self, service: str) -> InProcessClient:
        """Return what `boto3.client(service)` would."""
        if service not in self._clients:
            made = InProcessClient(service, self._perform, self._story.account.region)
            self._clients[service] = made
        return self._clients[service]

    def _perform(
        self, service: str, operation: str, parameters: dict[str, Any], /
    ) -> dict[str, Any]:
        name = f"{service}:{operation}"
        if name in self._made:
            answer = self._made[name](parameters)
        else:
            answer = self._story.account.call(service, operation, parameters)
            if name in self._added:
                self._added[name](answer)
        self._heard(service, operation, answer)
        return answer

    # Auto Scaling

    def _activities(self, _parameters: Mapping[str, Any]) -> dict[str, Any]:
        begun = [
            (action.started_at, instance.ec2_instance_id)
            for instance in self._story.group.instances.values()
            for action in instance.actions[:1]
        ]
        return {
            "Activities": [
                {
                    "ActivityId": "a",
                    "AutoScalingGroupName": GROUP,
                    "Description": f"Terminating EC2 instance: {ec2_instance_id}",
                    "Cause": "-",
                    "StartTime": at,
                    "StatusCode": "MidTerminatingLifecycleAction",
                }
                for at, ec2_instance_id in sorted(begun, reverse=True)
            ]
        }

    # ECS

    def _add_resources(self, answer: dict[str, Any]) -> None:
        story = self._story
        cluster = story.account.ecs.clusters[CLUSTER]
        for one in answer["containerInstances"]:
            instance = cluster.container_instances[one["containerInstanceArn"]]
            places = FULL - len(instance.wanted_tasks())
            left = {"MEMORY": PLENTY, "CPU": PLENTY}
            if story.unit:
                left[story.unit.upper()] = places * PLACE_UNITS
            one["remainingResources"] = [
                {"name": name, "type": "INTEGER", "integerValue": number}
                for name, number in left.items()
            ]
            at = story.disconnected_at.get(one["ec2InstanceId"])
            heard = at if at and not instance.agent_connected else story.now
            one["healthStatus"] = {
                "overallStatus": "OK",
                "details": [{"type": "CONTAINER_RUNTIME", "status": "OK", "lastUpdated": heard}],
            }

    def _add_needs(self, answer: dict[str, Any]) -> None:
        unit = self._story.unit
        for container in answer["taskDefinition"]["containerDefinitions"]:
            container |= {"memory": 64, "cpu": 64}
            if unit:
                container[unit] = PLACE_UNITS

    def _add_events(self, answer: dict[str, Any]) -> None:
        for one in answer["services"]:
            name = one["serviceName"]
            events = [*one["events"], *self._events(name)]
            events.sort(key=lambda event: event["createdAt"], reverse=True)
            one["events"] = events[:EVENTS_MAX]

    def _events(self, service: str) -> Iterator[dict[str, Any]]:
        last: dict[str, Fact] = {}
        for fact in self._story.account.facts("task", owner=f"service:{service}"):
            task = fact.about["task_id"]
            before, last[task] = last.get(task), fact
            for text in _told(before, fact):
                yield _event(fact.at, f"(service {service}) {text}")

    # The drainer's stack

    def _stacks(self, _parameters: Mapping[str, Any]) -> dict[str, Any]:
        if self._story.installed is None:
            raise ApiError("ValidationError", f"Stack with id {STACK} does not exist")
        given = {"PassIntervalSeconds": "15", "SweepIntervalMinutes": f"{SWEEP_SECONDS / 60:.0f}"}
        return {
            "Stacks": [
                {
                    "StackName": STACK,
                    "CreationTime": START,
                    "StackStatus": "CREATE_COMPLETE",
                    "Parameters": [
                        {"ParameterKey": name, "ParameterValue": value}
                        for name, value in given.items()
                    ],
                }
            ]
        }

    def _resources(self, _parameters: Mapping[str, Any]) -> dict[str, Any]:
        installed = self._story.installed
        if installed is None:
            raise ApiError("ValidationError", f"Stack with id {STACK} does not exist")
        names = {
            "Records": ("AWS::DynamoDB::Table", installed.records),
            "Function": ("AWS::Lambda::Function", FUNCTION),
            "Sweep": ("AWS::Events::Rule", SWEEP_RULE),
            "DeadLetterQueue": ("AWS::SQS::Queue", DEAD_LETTERS),
            "Topic": ("AWS::SNS::Topic", installed.topic.arn),
        }
        return {
            "StackResources": [
                {
                    "LogicalResourceId": name,
                    "PhysicalResourceId": physical,
                    "ResourceType": kind,
                    "Timestamp": START,
                    "ResourceStatus": "CREATE_COMPLETE",
                }
                for name, (kind, physical) in names.items()
            ]
        }

    def _metrics(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        story = self._story
        until = story.now - METRICS_LATE
        failed = [at for at in story.failed_at if at <= until]
        throttled = story.broken != "failing"
        sweeps = int((until - START).total_seconds() // SWEEP_SECONDS)
        points = {
            "errors": [] if throttled else failed,
            "throttles": failed if throttled else [],
            "sweeps": [START + timedelta(seconds=SWEEP_SECONDS * max(0, sweeps))] * (sweeps > 0),
        }
        return {
            "MetricDataResults": [
                {
                    "Id": one["Id"],
                    "Timestamps": [_minute(at) for at in points[one["Id"]]],
                    "Values": [1.0 for _ in points[one["Id"]]],
                }
                for one in parameters["MetricDataQueries"]
            ]
        }

    def _concurrency(self, _parameters: Mapping[str, Any]) -> dict[str, Any]:
        is_off = self._story.fails and self._story.broken == "disabled"
        return {"ReservedConcurrentExecutions": 0} if is_off else {}

    def _queue(self, _parameters: Mapping[str, Any]) -> dict[str, Any]:
        installed = self._story.installed
        number = len(installed.dead_letters) if installed else 0
        return {"Attributes": {"ApproximateNumberOfMessages": str(number)}}


def _make_old(answer: dict[str, Any]) -> None:
    """Let what was there at the beginning be some days old."""
    for task in answer["tasks"]:
        if task["createdAt"] == START:
            task |= {"createdAt": START - DAYS, "startedAt": START - DAYS}


def _minute(at: datetime) -> datetime:
    return at.replace(second=0, microsecond=0)


def _event(at: datetime, message: str) -> dict[str, Any]:
    return {"id": "e", "createdAt": at, "message": message}


def _told(before: Fact | None, fact: Fact) -> Iterator[str]:
    """Yield what ECS tells of a task's change as events of its service."""
    task, last = fact.about["task_id"], fact.about["last_status"]
    if before is None:
        if fact.at > START:
            yield f"has started 1 tasks: (task {task})."
        return
    is_new = before.about["desired_status"] == "RUNNING" != fact.about["desired_status"]
    # One that has ended by itself was not stopped by the scheduler.
    if is_new and last not in {"DEPROVISIONING", "STOPPED"}:
        if before.about["last_status"] in {"PROVISIONING", "PENDING"}:
            yield "stopped 1 pending tasks."
        else:
            yield f"has stopped 1 running tasks: (task {task})."
    if last == "DEACTIVATING":
        yield "has begun draining connections on 1 tasks."
