"""
Reads of the drainer's stack: its resources, and the state of each.
"""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from drainer.cli.account import stack as stacks
from drainer.cli.account.reader import Unread, each, is_gone
from drainer.cli.doctor.stack_checks import DEAD_LETTERS, RULES, SOURCES
from drainer.cli.doctor.stack_facts import (
    Alarm,
    Attached,
    Day,
    Function,
    Queue,
    Rule,
    Source,
    Stack,
    Subscription,
    Topic,
)

if TYPE_CHECKING:
    from datetime import datetime

    from drainer.cli.account.reader import Reader

# https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_DescribeAlarms.html
ALARMS_MAX = 100
# Each is one call. doctor reads as many groups (read_groups.GROUPS_MAX).
ATTACHED_MAX = 500
HOUR_SECONDS = 3_600


def read_stack(reader: Reader, name: str, region: str, now: datetime) -> Stack | Unread:
    """Return what is known of a stack; Unread where it does not exist or has no topic."""
    resources = stacks.resources(reader, name)
    if isinstance(resources, Unread):
        gone = is_gone(resources)
        return replace(resources, why=f"{resources.why} in {region}") if gone else resources
    if "Topic" not in resources:
        return Unread(f"the stack {name} has no Topic: it is not the drainer's", "NotFound")
    topic_arn = resources["Topic"]
    alarms = _alarms(reader, [one for key, one in resources.items() if key.endswith("Alarm")])
    actions = () if isinstance(alarms, Unread) else [a for one in alarms for a in one.actions]
    attaching = attached(reader, name)
    return Stack(
        name=name,
        region=region,
        resources=resources,
        topic_arn=topic_arn,
        topic=topic(reader, topic_arn),
        subscriptions=subscriptions(reader, topic_arn, filters=True),
        queues={
            key: queue(reader, resources[key])
            for key in (*SOURCES, DEAD_LETTERS)
            if key in resources
        },
        function=_function(reader, resources["Function"]) if "Function" in resources else None,
        day=_day(reader, resources.get("Function", ""), now),
        rules={key: _rule(reader, key, resources[key]) for key in RULES if key in resources},
        alarms=alarms,
        listeners=each(
            (one for one in actions if ":sns:" in one), lambda arn: _listeners(reader, arn)
        ),
        attached=attaching,
        attached_groups=_existing(reader, attaching),
        table=_table(reader, resources["Records"]) if "Records" in resources else None,
    )


def topic(reader: Reader, arn: str) -> Topic | Unread | None:
    """Return a topic; None where it does not exist."""
    answer = reader.ask("sns", "get_topic_attributes", TopicArn=arn)
    if isinstance(answer, Unread):
        return None if is_gone(answer) else answer
    return Topic(arn, answer["Attributes"].get("KmsMasterKeyId", ""))


def subscriptions(
    reader: Reader, arn: str, *, filters: bool = False
) -> tuple[Subscription, ...] | Unread:
    """Return a topic's subscriptions, with what filters them where that is asked for."""
    listed = reader.pages("sns", "list_subscriptions_by_topic", "Subscriptions", TopicArn=arn)
    if isinstance(listed, Unread):
        return () if is_gone(listed) else listed
    return tuple(_subscription(reader, one, filters=filters) for one in listed)


def _subscription(reader: Reader, one: dict[str, str], *, filters: bool) -> Subscription:
    confirmed = one["SubscriptionArn"].startswith("arn:")
    scope: str | Unread = ""
    policy: Any = None
    if filters and confirmed:
        arn = one["SubscriptionArn"]
        answer = reader.ask("sns", "get_subscription_attributes", SubscriptionArn=arn)
        if isinstance(answer, Unread):
            scope = policy = answer
        else:
            attributes = answer["Attributes"]
            scope = attributes.get("FilterPolicyScope", "MessageAttributes")
            policy = json.loads(attributes.get("FilterPolicy") or "null")
    return Subscription(one["Protocol"], one["Endpoint"], confirmed, scope, policy)


def queue(reader: Reader, url: str) -> Queue | Unread | None:
    """Return a queue; None where it does not exist."""
    answer = reader.ask("sqs", "get_queue_attributes", QueueUrl=url, AttributeNames=["All"])
    if isinstance(answer, Unread):
        return None if is_gone(answer) else answer
    values = answer["Attributes"]
    return Queue(
        arn=values["QueueArn"],
        delay_seconds=int(values["DelaySeconds"]),
        visibility_seconds=int(values["VisibilityTimeout"]),
        has_dead_letters="deadLetterTargetArn" in values.get("RedrivePolicy", ""),
        visible=int(values["ApproximateNumberOfMessages"]),
    )


def _function(reader: Reader, name: str) -> Function | Unread | None:
    answer = reader.ask("lambda", "get_function_configuration", FunctionName=name)
    if isinstance(answer, Unread):
        return None if is_gone(answer) else answer
    reserved = reader.ask("lambda", "get_function_concurrency", FunctionName=name)
    loop = reader.ask("lambda", "get_function_recursion_config", FunctionName=name)
    sources = reader.pages(
        "lambda", "list_event_source_mappings", "EventSourceMappings", FunctionName=name
    )
    return Function(
        name=name,
        arn=answer["FunctionArn"],
        state=answer.get("State", "Active"),
        update_status=answer.get("LastUpdateStatus", "Successful"),
        timeout_seconds=answer["Timeout"],
        environment=answer.get("Environment", {}).get("Variables", {}),
        reserved=reserved
        if isinstance(reserved, Unread)
        else reserved.get("ReservedConcurrentExecutions"),
        recursive_loop=loop if isinstance(loop, Unread) else loop["RecursiveLoop"],
        sources=sources if isinstance(sources, Unread) else tuple(map(_source, sources)),
    )


def _source(one: dict[str, Any]) -> Source:
    kinds = one.get("FunctionResponseTypes", ())
    return Source(one["EventSourceArn"], one["State"], "ReportBatchItemFailures" in kinds)


def _day(reader: Reader, function: str, now: datetime) -> Day | Unread:
    queries = [
        {
            "Id": name.lower(),
            "MetricStat": {
                "Metric": {
                    "Namespace": "AWS/Lambda",
                    "MetricName": name,
                    "Dimensions": [{"Name": "FunctionName", "Value": function}],
                },
                "Period": HOUR_SECONDS,
                "Stat": "Sum",
            },
        }
        for name in ("Invocations", "Errors", "Throttles")
    ]
    found = reader.pages(
        "cloudwatch",
        "get_metric_data",
        "MetricDataResults",
        MetricDataQueries=queries,
        StartTime=now - timedelta(days=1),
        EndTime=now,
    )
    if isinstance(found, Unread):
        return found
    sums = dict.fromkeys(("invocations", "errors", "throttles"), 0)
    for one in found:
        sums[one["Id"]] += int(sum(one.get("Values", ())))
    return Day(**sums)


def _rule(reader: Reader, logical_id: str, physical_id: str) -> Rule | Unread | None:
    # A rule of another bus has "bus|name"; the stack's are on the default one.
    answer = reader.ask("events", "describe_rule", Name=physical_id)
    if isinstance(answer, Unread):
        return None if is_gone(answer) else answer
    return Rule(logical_id, answer["Name"], answer["State"])


def _alarms(reader: Reader, names: list[str]) -> tuple[Alarm, ...] | Unread:
    found = reader.batches(
        "cloudwatch",
        "describe_alarms",
        "MetricAlarms",
        by="AlarmNames",
        values=names,
        size=ALARMS_MAX,
    )
    if isinstance(found, Unread):
        return found
    return tuple(
        Alarm(
            one["AlarmName"],
            one.get("StateValue", ""),
            one.get("ActionsEnabled", False),
            tuple(one.get("AlarmActions", ())),
        )
        for one in found
    )


def _listeners(reader: Reader, arn: str) -> int | Unread | None:
    found = subscriptions(reader, arn)
    return found if isinstance(found, Unread) else sum(one.confirmed for one in found)


def attached(reader: Reader, stack: str) -> tuple[Attached, ...] | Unread:
    """Return the stacks that import the topic of the drainer's stack."""
    names = reader.pages(
        "cloudformation", "list_imports", "Imports", ExportName=f"{stack}-TopicArn"
    )
    if isinstance(names, Unread):
        # "Export 'drainer-TopicArn' is not imported by any stack." is a ValidationError.
        return () if is_gone(names) else names
    if len(names) > ATTACHED_MAX:
        # A group that is attached by one that was not read would seem to have no stack.
        return Unread(f"{len(names)} stacks import the topic, more than {ATTACHED_MAX}")
    found: list[Attached] = []
    for name in names:
        one = stacks.described(reader, name)
        if isinstance(one, Unread):
            return one
        found.append(Attached(name, stacks.parameters(one).get("AutoScalingGroupName", "")))
    return tuple(found)


def _existing(reader: Reader, there: tuple[Attached, ...] | Unread) -> frozenset[str] | Unread:
    if isinstance(there, Unread):
        return there
    names = sorted({one.group for one in there if one.group})
    # Without names AWS would describe every group.
    found = reader.batches(
        "autoscaling",
        "describe_auto_scaling_groups",
        "AutoScalingGroups",
        by="AutoScalingGroupNames",
        values=names,
        size=50,
        IncludeInstances=False,
    )
    if isinstance(found, Unread):
        return found
    return frozenset(one["AutoScalingGroupName"] for one in found)


def _table(reader: Reader, name: str) -> str | Unread | None:
    answer = reader.ask("dynamodb", "describe_table", TableName=name)
    if isinstance(answer, Unread):
        return None if is_gone(answer) else answer
    return str(answer["Table"]["TableStatus"])
