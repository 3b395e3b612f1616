"""
Which resource of the AWS provider each type of the templates is, and where its properties go.

https://registry.terraform.io/providers/hashicorp/aws/latest/docs
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Json:
    """An attribute with the text of a JSON document."""

    attribute: str


@dataclass(frozen=True, slots=True)
class Only:
    """An attribute for the only item of a list."""

    attribute: str


@dataclass(frozen=True, slots=True)
class Pairs:
    """An attribute with an object, from a list of names and values."""

    attribute: str


@dataclass(frozen=True, slots=True)
class Keys:
    """The attributes `hash_key` and `range_key`, from a key schema."""


@dataclass(frozen=True, slots=True)
class Zip:
    """The attributes for the function's zip, from the module's own variable."""


@dataclass(frozen=True, slots=True)
class Block:
    """A block, or one for each item of a list."""

    name: str
    places: Places


@dataclass(frozen=True, slots=True)
class Apart:
    """
    A resource of its own, from the only item of a list or from one value.

    Attributes:
        type: its type.
        link: its attribute for the resource that it belongs to.
        places: where its properties go. One value has the name "" here.
    """

    type: str
    link: str
    places: Places


Place: TypeAlias = "str | Json | Only | Pairs | Keys | Zip | Block | Apart"
Places: TypeAlias = "Mapping[str, Place]"


@dataclass(frozen=True, slots=True)
class Kind:
    """
    What a type of resource is in a module.

    Attributes:
        type: the provider's type.
        places: where each property goes.
        named: the attribute for the name, and the name's text; empty if it has no name.
        attributes: what Ref and GetAtt stand for.
        suffixes: what CloudFormation's value ends with and the attribute does not.
    """

    type: str
    places: Places
    named: tuple[str, str] | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)
    suffixes: Mapping[str, str] = field(default_factory=dict)


BY_NAME = '"${var.name}-{logical_id}"'
RETRY = Block(
    "retry_policy",
    {
        "MaximumEventAgeInSeconds": "maximum_event_age_in_seconds",
        "MaximumRetryAttempts": "maximum_retry_attempts",
    },
)
POLICY_DOCUMENT: Places = {"PolicyName": "name", "PolicyDocument": Json("policy")}

KINDS = {
    "AWS::AutoScaling::LifecycleHook": Kind(
        "aws_autoscaling_lifecycle_hook",
        {
            "AutoScalingGroupName": "autoscaling_group_name",
            "LifecycleHookName": "name",
            "LifecycleTransition": "lifecycle_transition",
            "HeartbeatTimeout": "heartbeat_timeout",
            "DefaultResult": "default_result",
            "NotificationTargetARN": "notification_target_arn",
            "RoleARN": "role_arn",
            "NotificationMetadata": "notification_metadata",
        },
        attributes={"Ref": "name"},
    ),
    "AWS::CloudWatch::Alarm": Kind(
        "aws_cloudwatch_metric_alarm",
        {
            "AlarmDescription": "alarm_description",
            "Namespace": "namespace",
            "MetricName": "metric_name",
            "Dimensions": Pairs("dimensions"),
            "Statistic": "statistic",
            "Period": "period",
            "EvaluationPeriods": "evaluation_periods",
            "DatapointsToAlarm": "datapoints_to_alarm",
            "Threshold": "threshold",
            "ComparisonOperator": "comparison_operator",
            "TreatMissingData": "treat_missing_data",
            "AlarmActions": "alarm_actions",
        },
        named=("alarm_name", BY_NAME),
    ),
    "AWS::DynamoDB::Table": Kind(
        "aws_dynamodb_table",
        {
            "BillingMode": "billing_mode",
            "KeySchema": Keys(),
            "AttributeDefinitions": Block(
                "attribute", {"AttributeName": "name", "AttributeType": "type"}
            ),
            "GlobalSecondaryIndexes": Block(
                "global_secondary_index",
                {
                    "IndexName": "name",
                    "KeySchema": Keys(),
                    "Projection.ProjectionType": "projection_type",
                },
            ),
            "PointInTimeRecoverySpecification": Block(
                "point_in_time_recovery", {"PointInTimeRecoveryEnabled": "enabled"}
            ),
            "TimeToLiveSpecification": Block(
                "ttl", {"AttributeName": "attribute_name", "Enabled": "enabled"}
            ),
        },
        named=("name", BY_NAME),
        attributes={"Ref": "name", "Arn": "arn"},
    ),
    "AWS::Events::Rule": Kind(
        "aws_cloudwatch_event_rule",
        {
            "Description": "description",
            "State": "state",
            "EventPattern": Json("event_pattern"),
            "ScheduleExpression": "schedule_expression",
            "Targets": Apart(
                "aws_cloudwatch_event_target",
                "rule",
                {
                    "Id": "target_id",
                    "Arn": "arn",
                    "Input": "input",
                    "RetryPolicy": RETRY,
                    "DeadLetterConfig": Block("dead_letter_config", {"Arn": "arn"}),
                },
            ),
        },
        named=("name", BY_NAME),
        attributes={"Ref": "name", "Arn": "arn"},
    ),
    "AWS::IAM::Policy": Kind("aws_iam_role_policy", {**POLICY_DOCUMENT, "Roles": Only("role")}),
    "AWS::IAM::Role": Kind(
        "aws_iam_role",
        {
            "Description": "description",
            "AssumeRolePolicyDocument": Json("assume_role_policy"),
            "PermissionsBoundary": "permissions_boundary",
            "Policies": Apart("aws_iam_role_policy", "role", POLICY_DOCUMENT),
        },
        # A role's name is unique in all Regions of an account.
        named=("name_prefix", '"${var.name}-"'),
        attributes={"Ref": "name", "Arn": "arn"},
    ),
    "AWS::Lambda::EventInvokeConfig": Kind(
        "aws_lambda_function_event_invoke_config",
        {
            "FunctionName": "function_name",
            "Qualifier": "qualifier",
            "MaximumRetryAttempts": "maximum_retry_attempts",
            "MaximumEventAgeInSeconds": "maximum_event_age_in_seconds",
            "DestinationConfig": Block(
                "destination_config",
                {"OnFailure": Block("on_failure", {"Destination": "destination"})},
            ),
        },
    ),
    "AWS::Lambda::EventSourceMapping": Kind(
        "aws_lambda_event_source_mapping",
        {
            "FunctionName": "function_name",
            "EventSourceArn": "event_source_arn",
            "BatchSize": "batch_size",
            "MaximumBatchingWindowInSeconds": "maximum_batching_window_in_seconds",
            "FunctionResponseTypes": "function_response_types",
            "ScalingConfig": Block("scaling_config", {"MaximumConcurrency": "maximum_concurrency"}),
        },
    ),
    "AWS::Lambda::Function": Kind(
        "aws_lambda_function",
        {
            "Description": "description",
            "Runtime": "runtime",
            "Architectures": "architectures",
            "Handler": "handler",
            "Code": Zip(),
            "Role": "role",
            "MemorySize": "memory_size",
            "Timeout": "timeout",
            "RecursiveLoop": Apart(
                "aws_lambda_function_recursion_config", "function_name", {"": "recursive_loop"}
            ),
            "TracingConfig": Block("tracing_config", {"Mode": "mode"}),
            "LoggingConfig": Block(
                "logging_config",
                {
                    "LogFormat": "log_format",
                    "ApplicationLogLevel": "application_log_level",
                    "SystemLogLevel": "system_log_level",
                    "LogGroup": "log_group",
                },
            ),
            "Environment": Block("environment", {"Variables": "variables"}),
        },
        named=("function_name", BY_NAME),
        attributes={"Ref": "function_name", "Arn": "arn"},
    ),
    "AWS::Lambda::Permission": Kind(
        "aws_lambda_permission",
        {
            "FunctionName": "function_name",
            "Action": "action",
            "Principal": "principal",
            "SourceArn": "source_arn",
        },
    ),
    "AWS::Logs::LogGroup": Kind(
        "aws_cloudwatch_log_group",
        {"RetentionInDays": "retention_in_days"},
        named=("name", BY_NAME),
        attributes={"Ref": "name", "Arn": "arn"},
        # CloudFormation's ARN is that of the group's streams, the provider's that of the group.
        suffixes={"Arn": ":*"},
    ),
    "AWS::SNS::Subscription": Kind(
        "aws_sns_topic_subscription",
        {
            "TopicArn": "topic_arn",
            "Protocol": "protocol",
            "Endpoint": "endpoint",
            "FilterPolicyScope": "filter_policy_scope",
            "FilterPolicy": Json("filter_policy"),
            "RedrivePolicy": Json("redrive_policy"),
        },
    ),
    "AWS::SNS::Topic": Kind(
        "aws_sns_topic",
        {"KmsMasterKeyId": "kms_master_key_id"},
        named=("name", BY_NAME),
        attributes={"Ref": "arn"},
    ),
    "AWS::SNS::TopicPolicy": Kind(
        "aws_sns_topic_policy", {"Topics": Only("arn"), "PolicyDocument": Json("policy")}
    ),
    "AWS::SQS::Queue": Kind(
        "aws_sqs_queue",
        {
            "DelaySeconds": "delay_seconds",
            "VisibilityTimeout": "visibility_timeout_seconds",
            "MessageRetentionPeriod": "message_retention_seconds",
            "SqsManagedSseEnabled": "sqs_managed_sse_enabled",
            "RedrivePolicy": Json("redrive_policy"),
        },
        named=("name", BY_NAME),
        attributes={"Ref": "url", "Arn": "arn", "QueueName": "name"},
    ),
    "AWS::SQS::QueuePolicy": Kind(
        "aws_sqs_queue_policy", {"Queues": Only("queue_url"), "PolicyDocument": Json("policy")}
    ),
}
