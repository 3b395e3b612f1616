"""
All checks, in the order in which they are shown. `docs/doctor.md` explains each by its name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from drainer.cli.doctor import (
    function_checks,
    group_checks,
    hook_checks,
    service_checks,
    stack_checks,
)
from drainer.cli.doctor.verdicts import Check

if TYPE_CHECKING:
    from drainer.cli.doctor.group_checks import Checked
    from drainer.cli.doctor.hook_checks import OwnHook
    from drainer.cli.doctor.stack_facts import Stack

STACK: tuple[Check[Stack], ...] = (
    Check("topic", "the stack's topic", "It exists.", stack_checks.topic),
    Check(
        "subscriptions",
        "subscriptions of the topic and their filters",
        "Each kind of message has its queue.",
        stack_checks.subscriptions,
    ),
    Check(
        "queues",
        "delay, visibility timeout and redrive policy of the queues",
        "Delays and timeouts fit the function.",
        stack_checks.queues,
    ),
    Check(
        "mappings",
        "event source mappings of the function",
        "Each queue invokes the function.",
        stack_checks.sources,
    ),
    Check(
        "function",
        "state and reserved concurrency of the function",
        "It is active and may run.",
        function_checks.function_state,
    ),
    Check(
        "settings",
        "environment of the function",
        "The function accepts it.",
        function_checks.settings,
    ),
    Check(
        "recursion",
        "recursive-loop detection of the function",
        "RecursiveLoop is Allow.",
        function_checks.recursion,
    ),
    Check(
        "function-errors",
        "errors and throttles of the last 24 hours",
        "0 errors and 0 throttles in 24 hours.",
        function_checks.errors,
    ),
    Check(
        "sweep",
        "rules of EventBridge, and invocations of the last 24 hours",
        "The rules are enabled, and sweeps run.",
        function_checks.sweep,
    ),
    Check(
        "dead-letters",
        "messages in the dead-letter queue",
        "The dead-letter queue is empty.",
        stack_checks.dead_letters,
    ),
    Check("table", "status of the table of records", "It is active.", function_checks.table),
    Check(
        "alarms",
        "alarms of the stack and their listeners",
        "Each alarm has a listener, and none rings.",
        function_checks.alarms,
    ),
    Check(
        "attached",
        "stacks made from infra/attach.yaml",
        "Each attaches a group that exists.",
        function_checks.attached,
    ),
)

GROUP: tuple[Check[Checked], ...] = (
    Check("hook", "terminating hooks of the group", "It has one.", group_checks.hook),
    Check(
        "cluster",
        "container instances of the group's instances",
        "Each instance in service is in a cluster.",
        group_checks.cluster,
    ),
    Check(
        "service-cannot-drain",
        "desired count and percentages of services",
        "ECS can move the tasks of each service.",
        service_checks.cannot_drain,
    ),
    Check(
        "static-ports",
        "host ports of services against active instances",
        "Each port is free on another instance.",
        service_checks.static_ports,
    ),
    Check(
        "stop-time",
        "deregistration delay and stop timeout, where the group uses Spot",
        "No service takes longer to stop than Spot gives.",
        service_checks.stop_time,
    ),
    Check(
        "scaling-policies",
        "types of the group's scaling policies",
        "None is simple scaling.",
        group_checks.policies,
    ),
    Check(
        "scale-in-protection",
        "scale-in protection of instances",
        "None is left over.",
        group_checks.protection,
    ),
    Check(
        "launch-before-terminate",
        "instance maintenance policy of the group",
        "An instance leaves after its successor is in service.",
        group_checks.launch_first,
    ),
    Check(
        "processes",
        "suspended processes of the group",
        "Instances can leave and come.",
        group_checks.processes,
    ),
    Check(
        "retained",
        "instances in Terminating:Retained",
        "No instance is retained.",
        group_checks.retained,
    ),
    Check(
        "image",
        "age of the image in the launch template",
        f"It exists and is at most {group_checks.IMAGE_DAYS_MAX} days old.",
        group_checks.image,
    ),
)

HOOK: tuple[Check[OwnHook], ...] = (
    Check(
        "hook-target",
        "notification target of the hook",
        "It is the stack's topic.",
        hook_checks.target,
    ),
    Check(
        "hook-role",
        "role of the hook, by IAM's simulation or its policies",
        "Auto Scaling can publish with it.",
        hook_checks.role,
    ),
    Check(
        "hook-metadata",
        "NotificationMetadata of the hook",
        "The function follows each setting.",
        hook_checks.metadata,
    ),
    Check(
        "heartbeat",
        "heartbeat timeout against passes, sweeps and earlier drains",
        "It is long enough for the drains here.",
        hook_checks.heartbeat,
    ),
    Check(
        "default-result",
        "default result and deadline result of the hook",
        "They do what they say.",
        hook_checks.default_result,
    ),
    Check(
        "hook-lifetime",
        "stack that made the group",
        "The hook lives as long as its group.",
        hook_checks.lifetime,
    ),
    Check(
        "managed-draining",
        "hook of ECS managed instance draining",
        "Only the drainer holds the instances.",
        hook_checks.managed_draining,
    ),
    Check(
        "second-drainer",
        "other terminating hooks and their targets",
        "No second drainer was found.",
        hook_checks.second_drainer,
    ),
)

EVERY: tuple[Check[Any], ...] = (*STACK, *GROUP, *HOOK)
NAMES = tuple(check.name for check in EVERY)
