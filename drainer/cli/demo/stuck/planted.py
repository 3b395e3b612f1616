"""
An account with one draining instance, and what can be planted in it to hold that instance.

The demo of stuck drains shows it, the tests of `drainer explain` judge by it, and the pictures of
the documentation are made of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from drainer.cli.demo.stuck.planted_aws import Cluster, PlantedAws, arn
from drainer.cli.explain.drainers import MANAGED_HOOK
from drainer.drain import record_codec
from drainer.drain.model import (
    Drain,
    LifecycleAction,
    LifecycleActionResult,
    Policy,
    StandaloneTasks,
)
from drainer.drain.record import DrainRecord, End, key_of

NOW = datetime(2026, 11, 22, 14, 2, tzinfo=UTC)
AGO, TIMEOUT = timedelta(minutes=48), timedelta(hours=2)
BEGAN = NOW - AGO
HERE, CLUSTER, GROUP, STACK = "i-0a1f4c8e2b7d93650", "payments", "payments-asg", "drainer"
TOPIC = arn("sns", "drainer-Topic")
OTHERS = 3
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
STANDALONE_FAMILY = "etl-nightly"


def instance_arn(ec2_instance_id: str, cluster: str = CLUSTER) -> str:
    """Return the ARN of a container instance."""
    return arn("ecs", f"container-instance/{cluster}/{ec2_instance_id.removeprefix('i-')}")


def task_id(number: int) -> str:
    """Return the id of a task that was planted."""
    return f"{number:08x}" + "0" * 24


@dataclass
class Account:
    """
    An account in which one instance drains, with builders of what holds it.

    Attributes:
        aws: what answers for it.
        began: since when the instance drains.
        tasks: how many tasks were planted.
    """

    aws: PlantedAws
    began: datetime = BEGAN
    tasks: int = 0

    @property
    def now(self) -> datetime:
        """The present instant of the account."""
        return self.aws.now

    @property
    def cluster(self) -> Cluster:
        """The cluster of the instance."""
        return self.aws.clusters[CLUSTER]

    def instance(self, ec2_instance_id: str, status: str, **more: Any) -> dict[str, Any]:
        """Plant a container instance."""
        one = {
            "containerInstanceArn": instance_arn(ec2_instance_id),
            "ec2InstanceId": ec2_instance_id,
            "status": status,
            "agentConnected": True,
            "runningTasksCount": 1,
            "pendingTasksCount": 0,
            "versionInfo": {"agentVersion": "1.98.0"},
            "remainingResources": [
                {"name": "CPU", "type": "INTEGER", "integerValue": 1536},
                {"name": "MEMORY", "type": "INTEGER", "integerValue": 1657},
                {"name": "PORTS", "type": "STRINGSET", "stringSetValue": ["22", "2376", "51678"]},
            ],
            "attributes": [{"name": "ecs.availability-zone", "value": "eu-central-1a"}],
            **more,
        }
        self.cluster.instances[one["containerInstanceArn"]] = one
        return one

    def task(self, group: str, last: str = "RUNNING", **more: Any) -> dict[str, Any]:
        """Plant a task on the draining instance."""
        self.tasks += 1
        desired = "STOPPED" if last in STOPPING else "RUNNING"
        one = {
            "taskArn": arn("ecs", f"task/{CLUSTER}/{task_id(self.tasks)}"),
            "group": group,
            "desiredStatus": desired,
            "lastStatus": last,
            "taskDefinitionArn": definition_arn(group.partition(":")[2]),
            "containerInstanceArn": instance_arn(HERE),
            "createdAt": self.now - timedelta(days=2),
            "startedAt": self.now - timedelta(days=2),
            **more,
        }
        self.cluster.tasks[str(one["taskArn"])] = one
        return one

    def replacement(self, service: str, last: str, **more: Any) -> dict[str, Any]:
        """Plant a task of a service on another instance."""
        elsewhere = instance_arn("i-0ffeeddccbbaa0000")
        times = {"createdAt": self.now - 10 * MINUTE, "startedAt": self.now - 9 * MINUTE}
        if last == "STOPPED":
            times["stoppedAt"] = self.now - 5 * MINUTE
        named = {"containerInstanceArn": elsewhere, **times, **more}
        return self.task(f"service:{service}", last, **named)

    def service(
        self, name: str, events: tuple[tuple[timedelta, str], ...] = (), **more: Any
    ) -> dict[str, Any]:
        """Plant a service; its events are told by how long ago they came."""
        one = {
            "serviceName": name,
            "serviceArn": arn("ecs", f"service/{CLUSTER}/{name}"),
            "status": "ACTIVE",
            "desiredCount": 2,
            "runningCount": 2,
            "pendingCount": 0,
            "schedulingStrategy": "REPLICA",
            "taskDefinition": definition_arn(name),
            "deploymentConfiguration": {"maximumPercent": 200, "minimumHealthyPercent": 100},
            "deployments": [deployment("PRIMARY", "COMPLETED")],
            "events": [event(self.now - ago, f"(service {name}) {text}") for ago, text in events],
            **more,
        }
        self.cluster.services[name] = one
        self.definition(name)
        return one

    def definition(self, family: str, container: dict[str, Any] | None = None, **more: Any) -> None:
        """Plant a task definition with one container."""
        one = {"name": "app", "image": f"registry/{family}:v2", "cpu": 256, "memory": 512}
        self.aws.definitions[definition_arn(family)] = {
            "taskDefinitionArn": definition_arn(family),
            "family": family,
            "containerDefinitions": [one | (container or {})],
            **more,
        }

    def target_group(self, service: str, *states: str, delay: int = 300) -> str:
        """Plant a service's target group with targets in these states; return its ARN."""
        name = arn("elasticloadbalancing", f"targetgroup/{service}/0123456789abcdef")
        self.aws.target_groups[name] = [
            {
                "Target": {"Id": f"10.0.0.{number}", "Port": 8080},
                "TargetHealth": {"State": state},
            }
            for number, state in enumerate(states)
        ]
        self.aws.delays[name] = delay
        self.cluster.services[service]["loadBalancers"] = [{"targetGroupArn": name}]
        return name

    def held(self, name: str, *events: tuple[timedelta, str], **more: Any) -> None:
        """Plant a service with one task here that ECS still wants."""
        self.service(name, events, **more)
        self.task(f"service:{name}")

    def record(self, written: timedelta = 5 * SECOND) -> None:
        """Plant the drainer's record of the drain, written so long ago."""
        found = record(
            now=self.now,
            began=self.began,
            written=self.now - written,
            deadline=self.began + TIMEOUT - self.now,
        )
        self.aws.records = [found]


STOPPING = frozenset({"DEACTIVATING", "STOPPING", "DEPROVISIONING", "STOPPED"})


def definition_arn(family: str) -> str:
    """Return the ARN of a task definition."""
    return arn("ecs", f"task-definition/{family}:7")


def event(at: datetime, message: str) -> dict[str, Any]:
    """Return a service event."""
    return {"id": "e", "createdAt": at, "message": message}


def deployment(status: str, rollout: str) -> dict[str, Any]:
    """Return a deployment of a service."""
    return {"id": "ecs-svc/1571272475813219068", "status": status, "rolloutState": rollout}


def draining(*, ours: bool, now: datetime = NOW, began: datetime | None = None) -> Account:
    """Return an account with a drain by the drainer, or by ECS and without the stack."""
    aws = PlantedAws(now, clusters={CLUSTER: Cluster(), "empty": Cluster()})
    account = Account(aws, began or now - AGO)
    provider = {} if ours else {"capacityProviderName": "web-cp"}
    account.instance(HERE, "DRAINING", **provider)
    for number in range(OTHERS):
        account.instance(f"i-0ffeeddccbbaa000{number}", "ACTIVE")
    aws.in_groups[HERE] = {
        "InstanceId": HERE,
        "AutoScalingGroupName": GROUP,
        "AvailabilityZone": "eu-central-1a",
        "LifecycleState": "Terminating:Wait",
        "HealthStatus": "HEALTHY",
        "ProtectedFromScaleIn": False,
    }
    aws.groups[GROUP] = {
        "AutoScalingGroupName": GROUP,
        "MinSize": 1,
        "MaxSize": 16,
        "DesiredCapacity": 12,
        "DefaultCooldown": 300,
        "AvailabilityZones": ["eu-central-1a"],
        "HealthCheckType": "EC2",
        "CreatedTime": now,
    }
    aws.activities[GROUP] = [activity(f"Terminating EC2 instance: {HERE}", account.began)]
    if ours:
        install(aws)
        account.record()
    else:
        aws.hooks[GROUP] = [hook(MANAGED_HOOK, 3_600)]
    return account


def activity(description: str, at: datetime, status: str = "InProgress") -> dict[str, Any]:
    """Return a scaling activity of the group."""
    return {
        "ActivityId": "a",
        "AutoScalingGroupName": GROUP,
        "Description": description,
        "Cause": "-",
        "StartTime": at,
        "StatusCode": status,
    }


def hook(name: str, heartbeat: int, target: str = "") -> dict[str, Any]:
    """Return a terminating lifecycle hook of the group."""
    one = {
        "LifecycleHookName": name,
        "AutoScalingGroupName": GROUP,
        "LifecycleTransition": "autoscaling:EC2_INSTANCE_TERMINATING",
        "HeartbeatTimeout": heartbeat,
        "GlobalTimeout": 172_800,
        "DefaultResult": "CONTINUE",
    }
    return one | ({"NotificationTargetARN": target} if target else {})


def install(aws: PlantedAws) -> None:
    """Install the drainer's stack."""
    kinds = {
        "Records": ("AWS::DynamoDB::Table", "drainer-Records-1K2J"),
        "Function": ("AWS::Lambda::Function", "drainer-Function-1K2J"),
        "Sweep": ("AWS::Events::Rule", "drainer-Sweep-1K2J"),
        "DeadLetterQueue": ("AWS::SQS::Queue", "https://sqs/123456789012/drainer-dead"),
        "Topic": ("AWS::SNS::Topic", TOPIC),
        "ImpairedAlarm": ("AWS::CloudWatch::Alarm", "drainer-ImpairedAlarm-1K2J"),
    }
    aws.stacks[STACK] = [
        {
            "LogicalResourceId": name,
            "PhysicalResourceId": physical,
            "ResourceType": kind,
            "Timestamp": aws.now,
            "ResourceStatus": "CREATE_COMPLETE",
        }
        for name, (kind, physical) in kinds.items()
    ]
    aws.hooks[GROUP] = [hook("drainer", 1_800, TOPIC)]
    aws.metrics["Invocations"] = [(aws.now - 2 * MINUTE, 1.0)]


def record(
    instance: str = HERE,
    *,
    now: datetime = NOW,
    began: datetime = BEGAN,
    group: str = GROUP,
    written: datetime | None = None,
    end: End = End.OPEN,
    deadline: timedelta = timedelta(hours=1, minutes=12),
    **more: Any,
) -> dict[str, Any]:
    """Return the drainer's record of an instance, as it is in the table."""
    action = LifecycleAction(group, "drainer", instance, "0" * 36)
    drain = Drain(
        action=action,
        started_at=began,
        last_heartbeat_at=now - MINUTE,
        hop=100,
        deadline_at=now + deadline,
        draining_since=began,
        cluster=CLUSTER,
        container_instance_arn=instance_arn(instance),
        policy=Policy(CLUSTER, 7_200, LifecycleActionResult.CONTINUE, StandaloneTasks.WAIT, 300),
    )
    made = DrainRecord(
        key=key_of(action),
        generation=1,
        hop=100,
        pass_id="0123456789abcdef",  # noqa: S106 (names a write)
        drain=drain,
        written_at=written or now - 5 * SECOND,
        **{"phase": "draining", "reason": "1 task is left.", "running": 1, **more},
        end=end,
        ended_at=now if end else None,
    )
    return record_codec.encode(made, timedelta(days=90))
