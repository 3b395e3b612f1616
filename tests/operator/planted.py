"""
An account with one draining instance, and what can be planted in it to hold that instance.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from drainer.cli.explain.causes import Cause
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
from tests.operator.fake_aws import Cluster, FakeAws, arn

if TYPE_CHECKING:
    from collections.abc import Callable

NOW = datetime(2026, 11, 22, 14, 2, tzinfo=UTC)
BEGAN = NOW - timedelta(minutes=48)
HERE, CLUSTER, GROUP, STACK = "i-0a1f4c8e2b7d93650", "payments", "payments-asg", "drainer"
TOPIC = arn("sns", "drainer-Topic")
OTHERS = 3
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
STANDALONE_FAMILY = "etl-nightly"


def instance_arn(ec2_instance_id: str, cluster: str = CLUSTER) -> str:
    return arn("ecs", f"container-instance/{cluster}/{ec2_instance_id.removeprefix('i-')}")


def task_id(number: int) -> str:
    return f"{number:08x}" + "0" * 24


@dataclass
class Account:
    """
    A fake account in which one instance drains, with builders of what holds it.
    """

    aws: FakeAws
    tasks: int = 0

    @property
    def cluster(self) -> Cluster:
        return self.aws.clusters[CLUSTER]

    def instance(self, ec2_instance_id: str, status: str, **more: Any) -> dict[str, Any]:
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
        self.tasks += 1
        desired = "STOPPED" if last in STOPPING else "RUNNING"
        one = {
            "taskArn": arn("ecs", f"task/{CLUSTER}/{task_id(self.tasks)}"),
            "group": group,
            "desiredStatus": desired,
            "lastStatus": last,
            "taskDefinitionArn": definition_arn(group.partition(":")[2]),
            "containerInstanceArn": instance_arn(HERE),
            "createdAt": NOW - timedelta(days=2),
            "startedAt": NOW - timedelta(days=2),
            **more,
        }
        self.cluster.tasks[str(one["taskArn"])] = one
        return one

    def replacement(self, service: str, last: str, **more: Any) -> dict[str, Any]:
        elsewhere = instance_arn("i-0ffeeddccbbaa0000")
        times = {"createdAt": NOW - 10 * MINUTE, "startedAt": NOW - 9 * MINUTE}
        if last == "STOPPED":
            times["stoppedAt"] = NOW - 5 * MINUTE
        named = {"containerInstanceArn": elsewhere, **times, **more}
        return self.task(f"service:{service}", last, **named)

    def service(
        self, name: str, events: tuple[tuple[timedelta, str], ...] = (), **more: Any
    ) -> dict[str, Any]:
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
            "events": [event(NOW - ago, f"(service {name}) {text}") for ago, text in events],
            **more,
        }
        self.cluster.services[name] = one
        self.definition(name)
        return one

    def definition(self, family: str, container: dict[str, Any] | None = None, **more: Any) -> None:
        one = {"name": "app", "image": f"registry/{family}:v2", "cpu": 256, "memory": 512}
        self.aws.definitions[definition_arn(family)] = {
            "taskDefinitionArn": definition_arn(family),
            "family": family,
            "containerDefinitions": [one | (container or {})],
            **more,
        }

    def target_group(self, service: str, *states: str, delay: int = 300) -> str:
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
        """
        Plant a service with one task here that ECS still wants.
        """
        self.service(name, events, **more)
        self.task(f"service:{name}")


STOPPING = frozenset({"DEACTIVATING", "STOPPING", "DEPROVISIONING", "STOPPED"})
NO_PLACE = "was unable to place a task because no container instance met all of its requirements. "
CLOSEST = "The closest matching (container-instance 79cac21ecdb44097a989744944e202d7) "


def definition_arn(family: str) -> str:
    return arn("ecs", f"task-definition/{family}:7")


def event(at: datetime, message: str) -> dict[str, Any]:
    return {"id": "e", "createdAt": at, "message": message}


def deployment(status: str, rollout: str) -> dict[str, Any]:
    return {"id": "ecs-svc/1571272475813219068", "status": status, "rolloutState": rollout}


def draining(*, ours: bool) -> Account:
    """
    Return an account in which an instance drains: by the drainer, or by ECS without the stack.
    """
    account = Account(FakeAws(NOW, clusters={CLUSTER: Cluster(), "empty": Cluster()}))
    provider = {} if ours else {"capacityProviderName": "web-cp"}
    account.instance(HERE, "DRAINING", **provider)
    for number in range(OTHERS):
        account.instance(f"i-0ffeeddccbbaa000{number}", "ACTIVE")
    aws = account.aws
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
        "CreatedTime": NOW,
    }
    aws.activities[GROUP] = [activity(f"Terminating EC2 instance: {HERE}", BEGAN)]
    if ours:
        install(aws)
        aws.records.append(record())
    else:
        aws.hooks[GROUP] = [hook(MANAGED_HOOK, 3_600)]
    return account


def activity(description: str, at: datetime, status: str = "InProgress") -> dict[str, Any]:
    return {
        "ActivityId": "a",
        "AutoScalingGroupName": GROUP,
        "Description": description,
        "Cause": "-",
        "StartTime": at,
        "StatusCode": status,
    }


def hook(name: str, heartbeat: int, target: str = "") -> dict[str, Any]:
    one = {
        "LifecycleHookName": name,
        "AutoScalingGroupName": GROUP,
        "LifecycleTransition": "autoscaling:EC2_INSTANCE_TERMINATING",
        "HeartbeatTimeout": heartbeat,
        "GlobalTimeout": 172_800,
        "DefaultResult": "CONTINUE",
    }
    return one | ({"NotificationTargetARN": target} if target else {})


def install(aws: FakeAws) -> None:
    """
    Install the drainer's stack.
    """
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
            "Timestamp": NOW,
            "ResourceStatus": "CREATE_COMPLETE",
        }
        for name, (kind, physical) in kinds.items()
    ]
    aws.hooks[GROUP] = [hook("drainer", 1_800, TOPIC)]
    aws.metrics["Invocations"] = [(NOW - 2 * MINUTE, 1.0)]


def record(
    instance: str = HERE,
    *,
    group: str = GROUP,
    written: datetime = NOW - 5 * SECOND,
    end: End = End.OPEN,
    deadline: timedelta = timedelta(hours=1, minutes=12),
    **more: Any,
) -> dict[str, Any]:
    """
    Return the drainer's record of an instance, as it is in the table.
    """
    action = LifecycleAction(group, "drainer", instance, "0" * 36)
    drain = Drain(
        action=action,
        started_at=BEGAN,
        last_heartbeat_at=NOW - MINUTE,
        hop=100,
        deadline_at=NOW + deadline,
        draining_since=BEGAN,
        cluster=CLUSTER,
        container_instance_arn=instance_arn(instance),
        policy=Policy(CLUSTER, 7_200, LifecycleActionResult.CONTINUE, StandaloneTasks.WAIT, 300),
    )
    made = DrainRecord(
        key=key_of(action),
        generation=1,
        hop=100,
        pass_id="0123456789abcdef",
        drain=drain,
        written_at=written,
        **{"phase": "draining", "reason": "1 task is left.", "running": 1, **more},
        end=end,
        ended_at=NOW if end else None,
    )
    return record_codec.encode(made, timedelta(days=90))


def _no_memory(account: Account) -> None:
    text = NO_PLACE + CLOSEST + "has insufficient memory available."
    account.held("web", (MINUTE, text), (9 * MINUTE, text), (timedelta(hours=7), STEADY))
    account.definition("web", {"memory": 2048})


STEADY = "has reached a steady state."


def _no_cpu(account: Account) -> None:
    account.held("calc", (MINUTE, NO_PLACE + CLOSEST + "has insufficient CPU units available."))
    account.definition("calc", {"cpu": 4096})


def _port_taken(account: Account) -> None:
    text = NO_PLACE + CLOSEST + "is already using a port required by your task."
    account.held("api", (22 * SECOND, text))
    account.definition(
        "api", {"portMappings": [{"containerPort": 80, "hostPort": 8080, "protocol": "tcp"}]}
    )
    for one in account.cluster.instances.values():
        one["remainingResources"][2]["stringSetValue"].append("8080")


def _no_eni(account: Account) -> None:
    account.held("mesh", (MINUTE, NO_PLACE + CLOSEST + 'encountered error "RESOURCE:ENI".'))


RULE = 'encountered error "MemberOf placement constraint unsatisfied.".'
UNSATISFIED = NO_PLACE + CLOSEST + RULE


def _constraint(account: Account) -> None:
    expression = "attribute:ecs.instance-type =~ g4dn.*"
    constraints = [{"type": "memberOf", "expression": expression}]
    account.held("ml", (MINUTE, UNSATISFIED), placementConstraints=constraints)


def _zone(account: Account) -> None:
    expression = "attribute:ecs.availability-zone == eu-central-1c"
    constraints = [{"type": "memberOf", "expression": expression}]
    account.held("edge", (MINUTE, UNSATISFIED), placementConstraints=constraints)


def _distinct(account: Account) -> None:
    account.held("kv", placementConstraints=[{"type": "distinctInstance"}])
    for number in range(OTHERS):
        there = instance_arn(f"i-0ffeeddccbbaa000{number}")
        account.task("service:kv", containerInstanceArn=there)


def _attribute(account: Account) -> None:
    text = NO_PLACE + CLOSEST + "is missing an attribute required by your task."
    account.held("logs", (MINUTE, text))
    needs = [{"name": "ecs.capability.logging-driver.splunk"}]
    account.definition("logs", requiresAttributes=needs)


def _minimum_equals_maximum(account: Account) -> None:
    limits = {"maximumPercent": 100, "minimumHealthyPercent": 100}
    account.held("ledger", (timedelta(hours=8), STEADY), deploymentConfiguration=limits)


def _desired_one(account: Account) -> None:
    account.held("solo", (timedelta(hours=8), STEADY), desiredCount=1, runningCount=1)


def _image_pull(account: Account) -> None:
    account.held("shop")
    account.replacement(
        "shop",
        "STOPPED",
        stopCode="TaskFailedToStart",
        stoppedReason="Task failed to start",
        containers=[
            {
                "name": "app",
                "image": "registry/shop:v2.14",
                "reason": "CannotPullContainerError: pull image manifest was retried 7 times",
            }
        ],
    )


def _start_error(account: Account) -> None:
    account.held("auth")
    reason = "ResourceInitializationError: unable to pull secrets or registry auth"
    account.replacement("auth", "STOPPED", stopCode="TaskFailedToStart", stoppedReason=reason)


def _crash_loop(account: Account) -> None:
    account.held("cart")
    for minutes in (4, 2):
        account.replacement(
            "cart",
            "STOPPED",
            stopCode="EssentialContainerExited",
            stoppedReason="Essential container in task exited",
            stoppedAt=NOW - minutes * MINUTE,
            containers=[{"name": "app", "exitCode": 1}],
        )


def _unhealthy(account: Account) -> None:
    text = (
        "(task 9d85800c30b349039d104d52b506b930) (instance i-0ffeeddccbbaa0000) (port 32875) is "
        "unhealthy in (target-group arn:aws:elasticloadbalancing:x) due to (reason Health checks "
        "failed with these codes: [503])."
    )
    account.held("pay", (3 * MINUTE, text))
    account.target_group("pay", "healthy", "unhealthy")
    reason = "Task failed ELB health checks in (target-group arn:aws:elasticloadbalancing:x)"
    account.replacement(
        "pay", "STOPPED", stopCode="ServiceSchedulerInitiated", stoppedReason=reason
    )


def _grace(account: Account) -> None:
    account.held("search", healthCheckGracePeriodSeconds=600)
    account.target_group("search", "healthy", "unhealthy")
    account.replacement("search", "RUNNING", startedAt=NOW - MINUTE)


def _circuit_breaker(account: Account) -> None:
    text = "(deployment ecs-svc/1571272475813219068) deployment failed: tasks failed to start."
    account.held("front", (3 * MINUTE, text), deployments=[deployment("PRIMARY", "FAILED")])


def _blue_green(account: Account) -> None:
    name = arn("ecs", f"service-deployment/{CLUSTER}/store/NCWGC2ZR-taawPAYrIaU5")
    limits = {"maximumPercent": 200, "minimumHealthyPercent": 100, "strategy": "BLUE_GREEN"}
    account.held("store", currentServiceDeployment=name, deploymentConfiguration=limits)
    account.aws.deployments[name] = {
        "serviceDeploymentArn": name,
        "status": "IN_PROGRESS",
        "lifecycleStage": "POST_TEST_TRAFFIC_SHIFT",
        "lifecycleHookDetails": [
            {
                "hookId": "h-1",
                "targetType": "PAUSE",
                "status": "AWAITING_ACTION",
                "expiresAt": NOW + timedelta(hours=19),
                "timeoutAction": "ROLLBACK",
            }
        ],
    }


def _target_draining(account: Account) -> None:
    account.service("ui", ((252 * SECOND, "has begun draining connections on 1 tasks."),))
    account.target_group("ui", "healthy", "draining")
    account.task("service:ui", "DEACTIVATING", stopCode="ServiceSchedulerInitiated")


def _stop_timeout(account: Account) -> None:
    account.service("worker")
    account.definition("worker", {"stopTimeout": 120})
    account.task("service:worker", "STOPPING", stoppingAt=NOW - 20 * SECOND)


def _standalone(account: Account) -> None:
    account.task(
        f"family:{STANDALONE_FAMILY}", startedBy="airflow/etl", startedAt=NOW - 168 * MINUTE
    )


def _protected(account: Account) -> None:
    account.service("queue", desiredCount=1, runningCount=2)
    one = account.task("service:queue")
    name = str(one["taskArn"]).rpartition("/")[2]
    account.cluster.protected[name] = NOW + timedelta(minutes=98)


def _agent(account: Account) -> None:
    here = account.cluster.instances[instance_arn(HERE)]
    here["agentConnected"] = False
    heard = NOW - timedelta(minutes=91)
    here["healthStatus"] = {
        "overallStatus": "OK",
        "details": [{"type": "CONTAINER_RUNTIME", "status": "OK", "lastUpdated": heard}],
    }
    account.service("feed")
    account.task("service:feed", desiredStatus="STOPPED")


def _simple_scaling(account: Account) -> None:
    account.held("batch")
    account.replacement("batch", "PROVISIONING", capacityProviderName="web-cp")
    account.aws.policies[GROUP] = [
        {"PolicyName": "scale-out", "PolicyType": "SimpleScaling", "Enabled": True}
    ]


# What can hold one instance beside others: three of them at once are three causes.
TOGETHER: dict[Cause, Callable[[Account], None]] = {
    Cause.NO_MEMORY: _no_memory,
    Cause.NO_CPU: _no_cpu,
    Cause.PORT_TAKEN: _port_taken,
    Cause.NO_ENI: _no_eni,
    Cause.PLACEMENT_CONSTRAINT: _constraint,
    Cause.ZONE: _zone,
    Cause.DISTINCT_INSTANCE: _distinct,
    Cause.MISSING_ATTRIBUTE: _attribute,
    Cause.MINIMUM_EQUALS_MAXIMUM: _minimum_equals_maximum,
    Cause.DESIRED_ONE: _desired_one,
    Cause.IMAGE_PULL: _image_pull,
    Cause.START_ERROR: _start_error,
    Cause.CRASH_LOOP: _crash_loop,
    Cause.UNHEALTHY_REPLACEMENT: _unhealthy,
    Cause.GRACE_PERIOD: _grace,
    Cause.CIRCUIT_BREAKER: _circuit_breaker,
    Cause.BLUE_GREEN_HOLD: _blue_green,
    Cause.TARGET_DRAINING: _target_draining,
    Cause.STOP_TIMEOUT: _stop_timeout,
    Cause.STANDALONE_TASK: _standalone,
    Cause.TASK_PROTECTED: _protected,
    Cause.SIMPLE_SCALING: _simple_scaling,
}


def _group_cannot_grow(account: Account) -> None:
    account.held("batch")
    account.replacement("batch", "PROVISIONING", capacityProviderName="web-cp")
    account.aws.groups[GROUP]["MaxSize"] = 12


def _capacity_wait(account: Account) -> None:
    account.held("batch")
    account.replacement("batch", "PROVISIONING", capacityProviderName="web-cp")


def _no_instances(account: Account) -> None:
    _no_memory(account)
    for number in range(OTHERS):
        del account.cluster.instances[instance_arn(f"i-0ffeeddccbbaa000{number}")]


def _daemon(account: Account) -> None:
    limits = {"maximumPercent": 100, "minimumHealthyPercent": 0}
    account.held("log-router", schedulingStrategy="DAEMON", deploymentConfiguration=limits)


def _on_course(account: Account) -> None:
    account.held("web", (MINUTE, "has started 1 tasks: (task 6a127288b5fa4ad7b70e2b340d705cc0)."))


def _other_hook(account: Account) -> None:
    account.aws.hooks[GROUP] = [hook("backup-logs", 900)]


def _by_hand(account: Account) -> None:
    account.aws.in_groups.clear()


# What holds the instance alone, or changes what all services of the account meet.
ALONE: dict[Cause, Callable[[Account], None]] = {
    Cause.AGENT_DISCONNECTED: _agent,
    Cause.GROUP_CANNOT_GROW: _group_cannot_grow,
    Cause.CAPACITY_WAIT: _capacity_wait,
    Cause.NO_INSTANCES: _no_instances,
    Cause.DAEMON: _daemon,
    Cause.ON_COURSE: _on_course,
    Cause.OTHER_HOOK: _other_hook,
    Cause.FINISHED: _by_hand,
}


def _silent(account: Account) -> None:
    _on_course(account)
    account.aws.records = [record(written=NOW - 10 * MINUTE)]


def _disabled(account: Account) -> None:
    _on_course(account)
    account.aws.concurrency = 0


def _throttled(account: Account) -> None:
    _silent(account)
    account.aws.metrics["Throttles"] = [(NOW - 3 * MINUTE, 40.0)]


def _failing(account: Account) -> None:
    _silent(account)
    account.aws.metrics["Errors"] = [(NOW - 3 * MINUTE, 4.0)]


def _dead_letters(account: Account) -> None:
    _silent(account)
    account.aws.dead_letters = 2


# What only a drain by the drainer can wait for.
OURS: dict[Cause, Callable[[Account], None]] = {
    Cause.FUNCTION_DISABLED: _disabled,
    Cause.FUNCTION_THROTTLED: _throttled,
    Cause.FUNCTION_FAILING: _failing,
    Cause.DEAD_LETTERS: _dead_letters,
    Cause.CHAIN_LOST: _silent,
}
