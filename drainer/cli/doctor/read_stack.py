"""
Reads of the drainer's stack: its resources, and the state of each.
"""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from drainer.cli.account import stack as stacks
from drainer.cli.account.reader import Unread, UnreadError, attempt, each, existing, got, is_gone
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


def read_stack(reader: Reader, name: str, region: str, now: datetime) -> Stack:
    """
    Return what is known of a stack.

    Raises:
        UnreadError: It does not exist, or has no topic.
    """
    resources = stacks.resources(reader, name, region)
    if "Topic" not in resources:
        why = f"the stack {name} has no Topic: it is not the drainer's"
        raise UnreadError(Unread(why, "NotFound"))
    topic_arn = resources["Topic"]
    names = [one for key, one in resources.items() if key.endswith("Alarm")]
    alarms = attempt(_alarms, reader, names)
    actions = () if isinstance(alarms, Unread) else [a for one in alarms for a in one.actions]
    attaching = attempt(attached, reader, name)
    return Stack(
        name=name,
        region=region,
        resources=resources,
        topic_arn=topic_arn,
        topic=existing(topic, reader, topic_arn),
        subscriptions=attempt(subscriptions, reader, topic_arn, filters=True),
        queues={
            key: existing(queue, reader, resources[key])
            for key in (*SOURCES, DEAD_LETTERS)
            if key in resources
        },
        function=existing(_function, reader, resources["Function"])
        if "Function" in resources
        else None,
        day=attempt(_day, reader, resources.get("Function", ""), now),
        rules={
            key: existing(_rule, reader, key, resources[key]) for key in RULES if key in resources
        },
        alarms=alarms,
        listeners=each(
            (one for one in actions if ":sns:" in one), lambda arn: _listeners(reader, arn)
        ),
        attached=attaching,
        attached_groups=attempt(_existing, reader, attaching),
        table=existing(_table, reader, resources["Records"]) if "Records" in resources else None,
    )


def topic(reader: Reader, arn: str) -> Topic:
    """Return a topic; raises an UnreadError."""
    answer = reader.ask("sns", "get_topic_attributes", TopicArn=arn)
    return Topic(arn, answer["Attributes"].get("KmsMasterKeyId", ""))


def subscriptions(reader: Reader, arn: str, *, filters: bool = False) -> tuple[Subscription, ...]:
    """Return a topic's subscriptions, with what filters them where that is asked for."""
    try:
        listed = reader.pages("sns", "list_subscriptions_by_topic", "Subscriptions", TopicArn=arn)
    except UnreadError as error:
        if is_gone(error.value):
            return ()
        raise
    return tuple(_subscription(reader, one, filters=filters) for one in listed)


def _subscription(reader: Reader, one: dict[str, str], *, filters: bool) -> Subscription:
    confirmed = one["SubscriptionArn"].startswith("arn:")
    scope: str | Unread = ""
    policy: Any = None
    if filters and confirmed:
        arn = one["SubscriptionArn"]
        answer = attempt(reader.ask, "sns", "get_subscription_attributes", SubscriptionArn=arn)
        if isinstance(answer, Unread):
            scope = policy = answer
        else:
            attributes = answer["Attributes"]
            scope = attributes.get("FilterPolicyScope", "MessageAttributes")
            policy = json.loads(attributes.get("FilterPolicy") or "null")
    return Subscription(one["Protocol"], one["Endpoint"], confirmed, scope, policy)


def queue(reader: Reader, url: str) -> Queue:
    """Return a queue; raises an UnreadError."""
    answer = reader.ask("sqs", "get_queue_attributes", QueueUrl=url, AttributeNames=["All"])
    values = answer["Attributes"]
    return Queue(
        arn=values["QueueArn"],
        delay_seconds=int(values["DelaySeconds"]),
        visibility_seconds=int(values["VisibilityTimeout"]),
        has_dead_letters="deadLetterTargetArn" in values.get("RedrivePolicy", ""),
        visible=int(values["ApproximateNumberOfMessages"]),
    )


def _function(reader: Reader, name: str) -> Function:
    answer = reader.ask("lambda", "get_function_configuration", FunctionName=name)
    reserved = attempt(reader.ask, "lambda", "get_function_concurrency", FunctionName=name)
    loop = attempt(reader.ask, "lambda", "get_function_recursion_config", FunctionName=name)
    listed = "lambda", "list_event_source_mappings", "EventSourceMappings"
    sources = attempt(reader.pages, *listed, FunctionName=name)
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


def _day(reader: Reader, function: str, now: datetime) -> Day:
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
    sums = dict.fromkeys(("invocations", "errors", "throttles"), 0)
    for one in found:
        sums[one["Id"]] += int(sum(one.get("Values", ())))
    return Day(**sums)


def _rule(reader: Reader, logical_id: str, physical_id: str) -> Rule:
    # A rule of another bus has "bus|name"; the stack's are on the default one.
    answer = reader.ask("events", "describe_rule", Name=physical_id)
    return Rule(logical_id, answer["Name"], answer["State"])


def _alarms(reader: Reader, names: list[str]) -> tuple[Alarm, ...]:
    found = reader.batches(
        "cloudwatch",
        "describe_alarms",
        "MetricAlarms",
        by="AlarmNames",
        values=names,
        size=ALARMS_MAX,
    )
    return tuple(
        Alarm(
            one["AlarmName"],
            one.get("StateValue", ""),
            one.get("ActionsEnabled", False),
            tuple(one.get("AlarmActions", ())),
        )
        for one in found
    )


def _listeners(reader: Reader, arn: str) -> int:
    return sum(one.confirmed for one in subscriptions(reader, arn))


def attached(reader: Reader, stack: str) -> tuple[Attached, ...]:
    """Return the stacks that import the topic of the drainer's stack; raises an UnreadError."""
    try:
        names = reader.pages(
            "cloudformation", "list_imports", "Imports", ExportName=f"{stack}-TopicArn"
        )
    except UnreadError as error:
        # "Export 'drainer-TopicArn' is not imported by any stack." is a ValidationError.
        if is_gone(error.value):
            return ()
        raise
    if len(names) > ATTACHED_MAX:
        # A group that is attached by one that was not read would seem to have no stack.
        why = f"{len(names)} stacks import the topic, more than {ATTACHED_MAX}"
        raise UnreadError(Unread(why))
    given = {name: stacks.parameters(stacks.described(reader, name)) for name in names}
    return tuple(Attached(name, one.get("AutoScalingGroupName", "")) for name, one in given.items())


def _existing(reader: Reader, there: tuple[Attached, ...] | Unread) -> frozenset[str]:
    names = sorted({one.group for one in got(there) if one.group})
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
    return frozenset(one["AutoScalingGroupName"] for one in found)


def _table(reader: Reader, name: str) -> str:
    answer = reader.ask("dynamodb", "describe_table", TableName=name)
    return str(answer["Table"]["TableStatus"])
