"""
Faults to plant in the healthy account, one at a time, by the check that finds each.
"""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from tests.doctor.healthy_group import INSTANCES, hook, instance, service
from tests.doctor.healthy_stack import subscription
from tests.doctor.names import (
    CLUSTER,
    GROUP,
    IMAGE,
    NOW,
    PAGER,
    ROLE_NAME,
    TEMPLATE,
    TOPIC,
    arn,
)
from tests.doctor.past import ended

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.doctor.healthy import Healthy

OTHER = arn("sns", "drainer-old-Topic-9Z8Y")


def own(account: Healthy) -> dict[str, Any]:
    """
    Return the group's hook.
    """
    return account.hooks[GROUP][0]


def metadata(**values: Any) -> Callable[[Healthy], None]:
    return lambda account: own(account).update(NotificationMetadata=json.dumps(values))


def of_hook(**values: Any) -> Callable[[Healthy], None]:
    return lambda account: own(account).update(values)


def of_group(**values: Any) -> Callable[[Healthy], None]:
    return lambda account: account.groups[0].update(values)


def beside(name: str, target: str) -> Callable[[Healthy], None]:
    """
    Put another hook beside the drainer's, with a topic that exists.
    """

    def plant(account: Healthy) -> None:
        account.topics[target] = {}
        account.hooks[GROUP].append(hook(name, target))

    return plant


def queue(name: str, **values: str) -> Callable[[Healthy], None]:
    return lambda account: account.queues[account.resources[name]].update(values)


def with_service(*services: dict[str, Any], ports: Any = None) -> Callable[[Healthy], None]:
    def plant(account: Healthy) -> None:
        account.services += services
        for one in services if ports else ():
            containers = [{"name": "main", "portMappings": ports}]
            task = {"networkMode": "bridge", "containerDefinitions": containers}
            account.tasks[one["serviceName"]] = task

    return plant


def spot(account: Healthy) -> None:
    account.groups[0].pop("LaunchTemplate")
    account.groups[0]["MixedInstancesPolicy"] = {
        "LaunchTemplate": {"LaunchTemplateSpecification": {"LaunchTemplateId": TEMPLATE}},
        "InstancesDistribution": {"OnDemandPercentageAboveBaseCapacity": 0},
    }


def spot_by_configuration(account: Healthy) -> None:
    account.groups[0].pop("LaunchTemplate")
    account.groups[0]["LaunchConfigurationName"] = "old"
    account.launch["SpotPrice"] = "0.05"


def topic_gone(account: Healthy) -> None:
    del account.topics[TOPIC]


def target_gone(account: Healthy) -> None:
    own(account)["NotificationTargetARN"] = OTHER


def target_elsewhere(account: Healthy) -> None:
    account.topics[OTHER] = {}
    target_gone(account)


def protected(account: Healthy) -> None:
    account.groups[0]["Instances"][1]["ProtectedFromScaleIn"] = True


def unmanaged(account: Healthy) -> None:
    protected(account)
    group = {"autoScalingGroupArn": GROUP, "managedTerminationProtection": "DISABLED"}
    account.providers.append({"name": "payments-cp", "autoScalingGroupProvider": group})


def kms_denied(account: Healthy) -> None:
    account.topics[TOPIC]["KmsMasterKeyId"] = arn("kms", "key/1")
    account.denied_actions.add("kms:Decrypt")


def old_image(account: Healthy) -> None:
    account.images[IMAGE] = NOW - timedelta(days=91)


def image_gone(account: Healthy) -> None:
    account.images.clear()


def filter_changed(account: Healthy) -> None:
    account.subscriptions[TOPIC][0]["attributes"]["FilterPolicy"] = '{"a": ["b"]}'


def scope_changed(account: Healthy) -> None:
    account.subscriptions[TOPIC][0]["attributes"]["FilterPolicyScope"] = "MessageAttributes"


def subscription_gone(account: Healthy) -> None:
    account.subscriptions[TOPIC].pop()


def subscriber_added(account: Healthy) -> None:
    account.subscriptions[TOPIC].append(subscription(TOPIC, "email", "someone@example.com"))


def queue_gone(account: Healthy) -> None:
    del account.queues[account.resources["QuietQueue"]]


def mapping(**values: Any) -> Callable[[Healthy], None]:
    return lambda account: account.mappings[1].update(values)


def mapping_gone(account: Healthy) -> None:
    account.mappings.pop()


def function(**values: Any) -> Callable[[Healthy], None]:
    return lambda account: account.function.update(values)


def variable(name: str, value: str) -> Callable[[Healthy], None]:
    return lambda account: account.variables.update({name: value})


def reserved(count: int) -> Callable[[Healthy], None]:
    return lambda account: account.concurrency.update(ReservedConcurrentExecutions=count)


def loop(account: Healthy) -> None:
    account.loop = "Terminate"


def metric(name: str, *values: float) -> Callable[[Healthy], None]:
    return lambda account: account.metrics.update({name: [*values]})


def rule(name: str) -> Callable[[Healthy], None]:
    return lambda account: account.rules[account.resources[name]].update(State="DISABLED")


def table(status: str) -> Callable[[Healthy], None]:
    return lambda account: setattr(account, "table_status", status)


def no_listener(account: Healthy) -> None:
    account.subscriptions[PAGER] = []


def unconfirmed(account: Healthy) -> None:
    account.subscriptions[PAGER][0]["SubscriptionArn"] = "PendingConfirmation"


def alarm(**values: Any) -> Callable[[Healthy], None]:
    return lambda account: account.alarms[2].update(values)


def alarm_gone(account: Healthy) -> None:
    account.alarms.pop()


def attached_to_none(account: Healthy) -> None:
    account.imports.append("drainer-orders")
    account.parameters["drainer-orders"] = "orders-asg"


def slow_drain(account: Healthy) -> None:
    own(account)["GlobalTimeout"] = 30_000
    own(account)["HeartbeatTimeout"] = 900
    account.records.append(ended(seconds=31_000))


def outlasted_deadline(account: Healthy) -> None:
    metadata(cluster=CLUSTER, drain_timeout_seconds=3_600)(account)
    account.records.append(ended(seconds=3_620))


def own_resource(account: Healthy) -> None:
    account.owned(
        ("AWS::AutoScaling::AutoScalingGroup", GROUP),
        ("AWS::AutoScaling::LifecycleHook", "drainer"),
    )


def no_cluster(account: Healthy) -> None:
    account.clusters[CLUSTER].pop(INSTANCES[2])


def role_gone(account: Healthy) -> None:
    account.roles.remove(ROLE_NAME)


def untrusted(account: Healthy) -> None:
    account.trust["Statement"][0]["Principal"] = {"Service": "ec2.amazonaws.com"}


def publish_denied(account: Healthy) -> None:
    account.denied_actions.add("sns:Publish")


def retained(account: Healthy) -> None:
    gone = {**instance("i-0e20d7a4c18f9b563"), "LifecycleState": "Terminating:Retained"}
    account.groups[0]["Instances"].append(gone)


def without_hook(account: Healthy) -> None:
    account.hooks[GROUP].clear()


def abandoning(account: Healthy) -> None:
    """
    Let the hook's default result skip another hook.
    """
    beside("log-shipper", arn("sns", "logs"))(account)
    own(account)["DefaultResult"] = "ABANDON"


def other_cluster(account: Healthy) -> None:
    """
    Let the metadata name a cluster that has none of the instances.
    """
    account.clusters["spare"] = {}
    metadata(cluster="spare")(account)


def all_unregistered(account: Healthy) -> None:
    account.clusters[CLUSTER].clear()


PORT = [{"containerPort": 80, "hostPort": 8_080}]
# What is planted, how it is told apart, and the checks that find it: one, but for what breaks more.
FAULTS: tuple[tuple[str, Callable[[Healthy], None], set[str]], ...] = (
    ("topic deleted", topic_gone, {"topic", "hook-target"}),
    ("subscription missing", subscription_gone, {"subscriptions"}),
    ("filter policy changed", filter_changed, {"subscriptions"}),
    ("filter policy reads attributes", scope_changed, {"subscriptions"}),
    ("someone else subscribed", subscriber_added, {"subscriptions"}),
    ("wait queue without a delay", queue("WaitQueue", DelaySeconds="0"), {"queues"}),
    ("visibility under six timeouts", queue("NoticeQueue", VisibilityTimeout="60"), {"queues"}),
    ("no redrive policy", queue("WaitQueue", RedrivePolicy="{}"), {"queues"}),
    ("queue deleted", queue_gone, {"queues"}),
    ("mapping disabled", mapping(State="Disabled"), {"mappings"}),
    ("mapping deleted", mapping_gone, {"mappings"}),
    ("mapping fails whole batches", mapping(FunctionResponseTypes=[]), {"mappings"}),
    ("function failed", function(State="Failed"), {"function"}),
    ("update failed", function(LastUpdateStatus="Failed"), {"function"}),
    ("function switched off", reserved(0), {"function"}),
    ("too little concurrency", reserved(4), {"function"}),
    ("setting out of range", variable("DRAINER_PASS_INTERVAL_SECONDS", "0"), {"settings"}),
    ("setting names another topic", variable("DRAINER_TOPIC_ARN", OTHER), {"settings"}),
    ("setting names another table", variable("DRAINER_RECORDS_TABLE", "other"), {"settings"}),
    ("loop detection on", loop, {"recursion"}),
    ("function errors", metric("errors", 0.0, 3.0), {"function-errors"}),
    ("throttles", metric("throttles", 2.0), {"function-errors"}),
    ("not invoked", metric("invocations"), {"sweep"}),
    ("sweep disabled", rule("Sweep"), {"sweep"}),
    ("fast path disabled", rule("StoppedTasks"), {"sweep"}),
    (
        "dead letters",
        queue("DeadLetterQueue", ApproximateNumberOfMessages="4"),
        {"dead-letters"},
    ),
    ("table missing", table(""), {"table"}),
    ("table archived", table("ARCHIVED"), {"table"}),
    ("alarms without an action", alarm(AlarmActions=[]), {"alarms"}),
    ("alarm actions off", alarm(ActionsEnabled=False), {"alarms"}),
    ("alarm topic without a listener", no_listener, {"alarms"}),
    ("listener not confirmed", unconfirmed, {"alarms"}),
    ("alarm deleted", alarm_gone, {"alarms"}),
    ("alarm rings", alarm(StateValue="ALARM"), {"alarms"}),
    ("hook outlives its group", attached_to_none, {"attached"}),
    ("target deleted", target_gone, {"hook-target"}),
    ("target is another topic", target_elsewhere, {"hook-target"}),
    ("role cannot publish", publish_denied, {"hook-role"}),
    ("role cannot use the key", kms_denied, {"hook-role"}),
    ("role not trusted", untrusted, {"hook-role"}),
    ("role deleted", role_gone, {"hook-role"}),
    ("metadata key misspelled", metadata(cluster=CLUSTER, drain_timeout=60), {"hook-metadata"}),
    ("metadata names no cluster", metadata(cluster="paymets"), {"hook-metadata"}),
    ("heartbeat under three passes", of_hook(HeartbeatTimeout=30), {"heartbeat"}),
    ("heartbeat under two sweeps", of_hook(HeartbeatTimeout=300), {"heartbeat"}),
    ("drains longer than the hook allows", slow_drain, {"heartbeat"}),
    ("drains longer than the deadline", outlasted_deadline, {"heartbeat"}),
    (
        "deadline above the hook's limit",
        of_hook(
            NotificationMetadata='{"drain_timeout_seconds": 90000}',
            HeartbeatTimeout=700,
            GlobalTimeout=70_000,
        ),
        {"heartbeat"},
    ),
    (
        "ABANDON at the deadline retains nothing",
        metadata(cluster=CLUSTER, deadline_result="ABANDON"),
        {"default-result"},
    ),
    ("hook is deleted before its group", own_resource, {"hook-lifetime"}),
    (
        "managed draining beside",
        lambda account: account.hooks[GROUP].append(
            hook("ecs-managed-draining-termination-hook", "")
        ),
        {"managed-draining"},
    ),
    (
        "aws-cdk's drain hook beside",
        beside("Shop-ASGLifecycleHookDrainHook1A2B-XYZ", arn("sns", "Shop-Topic")),
        {"second-drainer"},
    ),
    ("sample beside", beside("hook", arn("sns", "sample-ASGSNSTopic-1")), {"second-drainer"}),
    (
        "other hook's target deleted",
        lambda account: account.hooks[GROUP].append(hook("log-shipper", OTHER)),
        {"second-drainer"},
    ),
    ("hook missing", without_hook, {"hook"}),
    ("instance in no cluster", no_cluster, {"cluster"}),
    (
        "minimum and maximum 100 %",
        with_service(service("ledger", minimum=100, maximum=100)),
        {"service-cannot-drain"},
    ),
    (
        "desired 1, maximum 100 %",
        with_service(service("cron", desired=1, minimum=50, maximum=100)),
        {"service-cannot-drain"},
    ),
    (
        "rounding leaves no room",
        with_service(service("ledger", desired=3, maximum=125)),
        {"service-cannot-drain"},
    ),
    ("port on each instance", with_service(service("edge"), ports=PORT), {"static-ports"}),
    (
        "two services on one port",
        with_service(service("a", desired=1), service("b", desired=2), ports=PORT),
        {"static-ports"},
    ),
    ("slow to stop on Spot", spot, {"stop-time"}),
    ("the same by a launch configuration", spot_by_configuration, {"stop-time"}),
    (
        "simple scaling",
        lambda account: account.policies.append(
            {"PolicyName": "old", "PolicyType": "SimpleScaling"}
        ),
        {"scaling-policies"},
    ),
    ("protection of an unmanaged provider", unmanaged, {"scale-in-protection"}),
    ("scale-in protection left over", protected, {"scale-in-protection"}),
    (
        "new instances protected",
        of_group(NewInstancesProtectedFromScaleIn=True),
        {"scale-in-protection"},
    ),
    (
        "terminates first",
        lambda account: account.groups[0].pop("InstanceMaintenancePolicy"),
        {"launch-before-terminate"},
    ),
    (
        "terminates 10 % first",
        of_group(
            InstanceMaintenancePolicy={"MinHealthyPercentage": 90, "MaxHealthyPercentage": 110}
        ),
        {"launch-before-terminate"},
    ),
    (
        "terminating suspended",
        of_group(SuspendedProcesses=[{"ProcessName": "Terminate"}]),
        {"processes"},
    ),
    ("instance retained", retained, {"retained"}),
    ("image old", old_image, {"image"}),
    ("image deregistered", image_gone, {"image"}),
    ("ABANDON beside another hook", abandoning, {"default-result"}),
    ("metadata names another cluster", other_cluster, {"hook-metadata"}),
    ("no instance in a cluster", all_unregistered, {"cluster"}),
)
