"""
What the resources of a stack or of a module are in an account, as AWS's own calls describe them.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

# What differs between two resources that are the same: when they were made, and ids.
VARYING = {
    *(
        "AlarmArn",
        "Arn",
        "CodeSha256",
        "CodeSize",
        "CreateDate",
        "CreatedTimestamp",
        "EventBusName",
    ),
    *("EventSourceMappingArn", "FunctionArn", "LastModified", "LastModifiedTimestamp", "QueueArn"),
    *("ResponseMetadata", "RevisionId", "RoleId", "RoleLastUsed", "Sid", "SubscriptionArn", "UUID"),
    *("SubscriptionsConfirmed", "Tags", "Version", "arn", "creationTime", "logGroupArn"),
    *("storedBytes", "LastProcessingResult", "StateReason", "StateReasonData", "StateValue"),
}
# What ministack answers for resources of CloudFormation only, or for others only. Provider 5.100
# sets a queue's MaximumMessageSize to 256 KiB, the most that SNS takes; AWS's default is 1 MiB.
EMULATORS = {
    *("ConfirmationWasAuthenticated", "CreatedBy", "DisplayName", "KMSKeyArn", "StateReasonCode"),
    *("LastUpdateStatus", "LastUpdateStatusReason", "LastUpdateStatusReasonCode"),
    *("MaximumMessageSize", "PendingConfirmation", "RuntimeVersionConfig", "StartingPosition"),
    "VpcConfig",
}
# Those whose names differ at their beginning or their end alone.
ENDINGS = ("FeedbackSampleRate", "Timestamp")
# Attributes whose value is JSON in text.
JSON = {"EventPattern", "FilterPolicy", "Input", "Policy", "RedrivePolicy"}


class Described:
    """
    The resources of one installation, in words that are the same for two of them.

    Args:
        client: gives boto3's client of a service.
        names: what stands for each name of a resource, and for the installation's own.
    """

    def __init__(self, client: Callable[[str], Any], names: Mapping[str, str]) -> None:
        self._client = client
        # The longest first: a queue's name begins with the installation's.
        self._names = sorted(names.items(), key=lambda pair: -len(pair[0]))

    def of(self, resource_type: str, name: str) -> Any:
        """Return what AWS says of one resource."""
        return self.plain(READERS[resource_type](self._client, name))

    def plain(self, value: Any, key: str = "") -> Any:
        """Return a value without what differs, names replaced, lists of no order sorted."""
        if key in JSON and isinstance(value, str):
            value = json.loads(value)
        if isinstance(value, dict):
            # A Sid is an author's text in a role, and a generated one in Lambda's permissions.
            return {
                name: self.plain(one, name)
                for name, one in value.items()
                if name not in VARYING | EMULATORS
                and not name.startswith("ApproximateNumberOfMessages")
                and not name.endswith(ENDINGS)
            }
        if isinstance(value, list):
            return sorted((self.plain(one) for one in value), key=ordered)
        if isinstance(value, str):
            for name, instead in self._names:
                value = value.replace(name, instead)
            # An alarm's command names a stack where there is one.
            return value.partition(" Run: ")[0]
        return value if isinstance(value, int | float | bool | None) else str(value)


def ordered(value: Any) -> str:
    """
    Return what a list is sorted by.
    """
    return json.dumps(value, sort_keys=True)


def _queue(client: Callable[[str], Any], url: str) -> Any:
    return client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]


def _topic(client: Callable[[str], Any], arn: str) -> Any:
    sns = client("sns")
    found = sns.list_subscriptions_by_topic(TopicArn=arn)["Subscriptions"]
    return {
        "topic": sns.get_topic_attributes(TopicArn=arn)["Attributes"],
        "subscriptions": [
            one
            | sns.get_subscription_attributes(SubscriptionArn=one["SubscriptionArn"])["Attributes"]
            for one in found
        ],
    }


def _table(client: Callable[[str], Any], name: str) -> Any:
    table = client("dynamodb").describe_table(TableName=name)["Table"]
    kept = ("KeySchema", "AttributeDefinitions", "BillingModeSummary")
    return {
        **{key: table.get(key) for key in kept},
        "indexes": [
            {key: one[key] for key in ("IndexName", "KeySchema", "Projection")}
            for one in table.get("GlobalSecondaryIndexes", ())
        ],
    }


def _rule(client: Callable[[str], Any], name: str) -> Any:
    events = client("events")
    targets = events.list_targets_by_rule(Rule=name)["Targets"]
    return {**events.describe_rule(Name=name), "targets": targets}


def _role(client: Callable[[str], Any], name: str) -> Any:
    iam = client("iam")
    role = iam.get_role(RoleName=name)["Role"]
    policies = {
        policy: iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"]
        for policy in iam.list_role_policies(RoleName=name)["PolicyNames"]
    }
    return {**role, "policies": policies}


def _function(client: Callable[[str], Any], name: str) -> Any:
    functions = client("lambda")
    sources = functions.list_event_source_mappings(FunctionName=name)
    return {
        "configuration": functions.get_function_configuration(FunctionName=name),
        "asynchronous": functions.get_function_event_invoke_config(
            FunctionName=name, Qualifier="$LATEST"
        ),
        "Policy": functions.get_policy(FunctionName=name)["Policy"],
        "sources": sources["EventSourceMappings"],
    }


def _log_group(client: Callable[[str], Any], name: str) -> Any:
    found = client("logs").describe_log_groups(logGroupNamePrefix=name)["logGroups"]
    return next(one for one in found if one["logGroupName"] == name)


def _alarm(client: Callable[[str], Any], name: str) -> Any:
    (found,) = client("cloudwatch").describe_alarms(AlarmNames=[name])["MetricAlarms"]
    return found


READERS: Mapping[str, Callable[[Callable[[str], Any], str], Any]] = {
    "AWS::CloudWatch::Alarm": _alarm,
    "AWS::DynamoDB::Table": _table,
    "AWS::Events::Rule": _rule,
    "AWS::IAM::Role": _role,
    "AWS::Lambda::Function": _function,
    "AWS::Logs::LogGroup": _log_group,
    "AWS::SNS::Topic": _topic,
    "AWS::SQS::Queue": _queue,
}
