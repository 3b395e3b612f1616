"""
What can be planted in an account to hold its draining instance: one function for each cause.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from drainer.cli.demo.stuck.planted import (
    CLUSTER,
    GROUP,
    HERE,
    MINUTE,
    OTHERS,
    SECOND,
    STANDALONE_FAMILY,
    deployment,
    hook,
    instance_arn,
)
from drainer.cli.demo.stuck.planted_aws import arn
from drainer.cli.explain.causes import Cause

if TYPE_CHECKING:
    from collections.abc import Callable

    from drainer.cli.demo.stuck.planted import Account

NO_PLACE = "was unable to place a task because no container instance met all of its requirements. "
CLOSEST = "The closest matching (container-instance 79cac21ecdb44097a989744944e202d7) "


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
    account.held("kv", desiredCount=OTHERS + 1, placementConstraints=[{"type": "distinctInstance"}])
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
            stoppedAt=account.now - minutes * MINUTE,
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
    account.replacement("search", "RUNNING", startedAt=account.now - MINUTE)


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
                "expiresAt": account.now + timedelta(hours=19),
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
    account.task("service:worker", "STOPPING", stoppingAt=account.now - 20 * SECOND)


def _standalone(account: Account) -> None:
    account.task(
        f"family:{STANDALONE_FAMILY}", startedBy="airflow/etl", startedAt=account.now - 168 * MINUTE
    )


def _protected(account: Account) -> None:
    account.service("queue", desiredCount=1, runningCount=2)
    one = account.task("service:queue")
    name = str(one["taskArn"]).rpartition("/")[2]
    account.cluster.protected[name] = account.now + timedelta(minutes=98)


def _agent(account: Account) -> None:
    here = account.cluster.instances[instance_arn(HERE)]
    here["agentConnected"] = False
    heard = account.now - timedelta(minutes=91)
    here["healthStatus"] = {
        "overallStatus": "OK",
        "details": [{"type": "CONTAINER_RUNTIME", "status": "OK", "lastUpdated": heard}],
    }
    account.service("feed")
    account.task("service:feed", desiredStatus="STOPPED")


def _simple_scaling(account: Account) -> None:
    account.held("batch")
    account.replacement(
        "batch", "PROVISIONING", capacityProviderName="web-cp", containerInstanceArn=""
    )
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
    account.replacement(
        "batch", "PROVISIONING", capacityProviderName="web-cp", containerInstanceArn=""
    )
    account.aws.groups[GROUP]["MaxSize"] = 12


def _capacity_wait(account: Account) -> None:
    account.held("batch")
    account.replacement(
        "batch", "PROVISIONING", capacityProviderName="web-cp", containerInstanceArn=""
    )


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
    account.record(10 * MINUTE)


def _disabled(account: Account) -> None:
    _on_course(account)
    account.aws.concurrency = 0


def _throttled(account: Account) -> None:
    _silent(account)
    account.aws.metrics["Throttles"] = [(account.now - 3 * MINUTE, 40.0)]


def _failing(account: Account) -> None:
    _silent(account)
    account.aws.metrics["Errors"] = [(account.now - 3 * MINUTE, 4.0)]


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


# Every cause that can be planted.
EVERY = {**TOGETHER, **ALONE, **OURS}
