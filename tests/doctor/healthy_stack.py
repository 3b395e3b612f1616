"""
The drainer's stack as the shipped template makes it, in the words of AWS's answers.
"""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drainer.simulation.template import read_template
from tests.doctor.border import GoneError
from tests.doctor.names import (
    GROUP,
    NOW,
    PAGER,
    STACK,
    TOPIC,
    arn,
    physical,
    queue_arn,
)

if TYPE_CHECKING:
    from collections.abc import Callable

TEMPLATE = Path(__file__).resolve().parents[2] / "infra" / "drainer.yaml"
# Off by default: the notifications that Auto Scaling sends to EventBridge.
OFF = {"ServesEventBridge"}
Given = dict[str, Any]


class HealthyStack:
    """
    What AWS answers about the stack; a test changes one value of it.
    """

    def __init__(self) -> None:
        self.template = read_template(TEMPLATE)
        self.kinds = {
            name: one["Type"]
            for name, one in self.template["Resources"].items()
            if one.get("Condition") not in OFF
        }
        self.resources = {name: physical(name, kind) for name, kind in self.kinds.items()}
        self.exists = True
        self.topics = {TOPIC: dict[str, str](), PAGER: {}}
        self.subscriptions = {PAGER: [subscription(PAGER, "email", "ops@example.com")]}
        self.subscriptions[TOPIC] = [
            subscription(
                f"{TOPIC}:{name}",
                one["Protocol"],
                self.resolved(one["Endpoint"]),
                FilterPolicyScope=one["FilterPolicyScope"],
                FilterPolicy=json.dumps(self.resolved(one["FilterPolicy"])),
            )
            for name, one in self.of("AWS::SNS::Subscription").items()
        ]
        self.queues = {
            self.resources[name]: {
                "QueueArn": queue_arn(name),
                "DelaySeconds": str(self.resolved(one.get("DelaySeconds", 0))),
                "VisibilityTimeout": str(one.get("VisibilityTimeout", 30)),
                "ApproximateNumberOfMessages": "0",
                "RedrivePolicy": json.dumps(self.resolved(one.get("RedrivePolicy", {}))),
            }
            for name, one in self.of("AWS::SQS::Queue").items()
        }
        self.alarms = [
            {
                "AlarmName": self.resources[name],
                "StateValue": "OK",
                "ActionsEnabled": True,
                "AlarmActions": [PAGER],
            }
            for name in self.of("AWS::CloudWatch::Alarm")
        ]
        self.rules: dict[str, Given] = {
            self.resources[name]: {"Name": self.resources[name], "State": one["State"]}
            for name, one in self.of("AWS::Events::Rule").items()
        }
        self.imports = ["drainer-payments"]
        self.parameters = {"drainer-payments": GROUP}
        self.table_status = "ACTIVE"
        self.records: list[Given] = []
        self._function()

    def _function(self) -> None:
        properties = self.template["Resources"]["Function"]["Properties"]
        variables = self.resolved(properties["Environment"]["Variables"])
        self.variables = {key: str(value) for key, value in variables.items()}
        self.function: Given = {
            "FunctionName": self.resources["Function"],
            "FunctionArn": arn("lambda", f"function:{self.resources['Function']}"),
            "State": "Active",
            "LastUpdateStatus": "Successful",
            "Timeout": properties["Timeout"],
            "Environment": {"Variables": self.variables},
        }
        self.concurrency: Given = {}
        self.loop = properties["RecursiveLoop"]["Fn::If"][1]
        self.mappings: list[Given] = [
            {
                "EventSourceArn": self.resolved(one["EventSourceArn"]),
                "State": "Enabled",
                "FunctionResponseTypes": one["FunctionResponseTypes"],
            }
            for one in self.of("AWS::Lambda::EventSourceMapping").values()
        ]
        self.metrics = {"invocations": [12.0] * 24, "errors": [0.0], "throttles": []}

    def of(self, kind: str) -> dict[str, Given]:
        """
        Return the properties of the template's resources of a kind.
        """
        names = [name for name, one in self.kinds.items() if one == kind]
        return {name: self.template["Resources"][name].get("Properties", {}) for name in names}

    def resolved(self, value: Any) -> Any:
        """
        Return a value of the template as CloudFormation sets it, with the fast path and defaults.
        """
        if isinstance(value, list):
            return [self.resolved(one) for one in value]
        if not isinstance(value, dict):
            return value
        if "Ref" in value:
            parameter = self.template["Parameters"].get(value["Ref"], {"Default": STACK})
            return self.resources.get(value["Ref"], parameter.get("Default"))
        if "Fn::If" in value:
            name, yes, no = value["Fn::If"]
            return self.resolved(yes if name == "HasFastPath" else no)
        if "Fn::GetAtt" in value:
            return queue_arn(value["Fn::GetAtt"][0])
        return {name: self.resolved(one) for name, one in value.items()}

    def answers(self) -> dict[str, Callable[[Given], Given]]:
        """
        Return what answers each call about the stack.
        """
        return {
            "sns.get_topic_attributes": self._topic,
            "sns.list_subscriptions_by_topic": self._subscriptions,
            "sns.get_subscription_attributes": self._subscription,
            "sqs.get_queue_attributes": lambda given: {
                "Attributes": there(self.queues, given["QueueUrl"], "QueueDoesNotExist")
            },
            "lambda.get_function_configuration": lambda _: existing(self.function),
            "lambda.get_function_concurrency": lambda _: self.concurrency,
            "lambda.get_function_recursion_config": lambda _: {"RecursiveLoop": self.loop},
            "lambda.list_event_source_mappings": lambda _: {"EventSourceMappings": self.mappings},
            "cloudwatch.get_metric_data": self._metrics,
            "cloudwatch.describe_alarms": lambda given: {
                "MetricAlarms": [
                    one for one in self.alarms if one["AlarmName"] in given["AlarmNames"]
                ]
            },
            "events.describe_rule": lambda given: there(self.rules, given["Name"]),
            "cloudformation.list_imports": self._imports,
            "cloudformation.describe_stacks": self._stacks,
            "dynamodb.describe_table": lambda _: {
                "Table": existing({"TableStatus": self.table_status} if self.table_status else {})
            },
            "dynamodb.scan": lambda _: {"Items": self.records},
        }

    def summaries(self) -> list[Given]:
        """
        Return the stack's resources as CloudFormation lists them.
        """
        if not self.exists:
            raise GoneError("ValidationError")
        return [
            summary(name, kind, self.resources[name])
            for name, kind in self.kinds.items()
            if name in self.resources
        ]

    def _topic(self, given: Given) -> Given:
        return {"Attributes": there(self.topics, given["TopicArn"], "NotFound")}

    def _subscriptions(self, given: Given) -> Given:
        listed = there(self.subscriptions, given["TopicArn"], "NotFound")
        shown = ("SubscriptionArn", "Protocol", "Endpoint")
        return {"Subscriptions": [{key: one[key] for key in shown} for one in listed]}

    def _subscription(self, given: Given) -> Given:
        every = [one for listed in self.subscriptions.values() for one in listed]
        found = {one["SubscriptionArn"]: one["attributes"] for one in every}
        return {"Attributes": there(found, given["SubscriptionArn"], "NotFound")}

    def _metrics(self, given: Given) -> Given:
        assert given["EndTime"] - given["StartTime"] == timedelta(days=1)
        return {
            "MetricDataResults": [
                {"Id": one["Id"], "Values": self.metrics[one["Id"]]}
                for one in given["MetricDataQueries"]
            ]
        }

    def _imports(self, given: Given) -> Given:
        assert given["ExportName"] == "drainer-TopicArn"
        if not self.imports:
            raise GoneError("ValidationError")
        return {"Imports": self.imports}

    def _stacks(self, given: Given) -> Given:
        group = there(self.parameters, given["StackName"], "ValidationError")
        parameter = {"ParameterKey": "AutoScalingGroupName", "ParameterValue": group}
        stack = {
            "StackName": given["StackName"],
            "CreationTime": NOW,
            "StackStatus": "CREATE_COMPLETE",
            "Parameters": [parameter],
        }
        return {"Stacks": [stack]}


def subscription(arn_: str, protocol: str, endpoint: str, **attributes: str) -> Given:
    return {
        "SubscriptionArn": f"{arn_}:1",
        "Protocol": protocol,
        "Endpoint": endpoint,
        "attributes": attributes,
    }


def summary(logical_id: str, kind: str, physical_id: str) -> Given:
    return {
        "LogicalResourceId": logical_id,
        "PhysicalResourceId": physical_id,
        "ResourceType": kind,
        "ResourceStatus": "CREATE_COMPLETE",
        "LastUpdatedTimestamp": NOW,
    }


def there(found: dict[str, Any], key: str, code: str = "ResourceNotFoundException") -> Any:
    """
    Return what has a name, or refuse the call as AWS does for what does not exist.
    """
    if key not in found:
        raise GoneError(code)
    return found[key]


def existing(body: Given) -> Given:
    if not body:
        raise GoneError("ResourceNotFoundException")
    return body
