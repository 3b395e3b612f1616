"""
Spot's templates beside the drainer's in ministack, which here is the whole account: the function
asks its ECS for the service, and takes targets out of its load balancers.

What stands in for AWS, and why. ministack does not know one resource type of the example, which is
left out; it starts no containers, so that the targets are registered by hand; and its PutEvents
refuses what pretends to come from AWS, as AWS's does, so that an event goes to the targets of those
deployed rules that ministack says it matches.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from drainer.simulation.embedded.compressed_time import EmbeddedTime
from drainer.simulation.embedded.deployment import Deployment
from drainer.simulation.embedded.gateway import Gateway
from drainer.simulation.template import DeployedStack, read_template

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PROJECT = Path(__file__).resolve().parents[2]
INFRA = PROJECT / "infra"
EVENTS = PROJECT / "tests" / "events"
ACCOUNT_ID = "123456789012"
REGION = "us-east-1"
# The one resource type of the example that ministack's CloudFormation does not know.
UNKNOWN_TYPE = "AWS::ECS::ClusterCapacityProviderAssociations"
RULES = ("Interruptions", "RebalanceRecommendations", "FargateSpot")
TARGET_GROUPS = ("HttpTargetGroup", "TcpTargetGroup")
PORT = 80
# Of the interrupted task, as the payloads have it, and of another task of the same service.
ADDRESS, OTHER_ADDRESS = "10.0.1.37", "10.0.1.38"
# Bounds a test that hangs, and nothing else; no test asserts real time.
REAL_SECONDS_MAX = 300.0


@dataclass
class Deployed:
    """
    The account, and the three stacks in it.
    """

    client: Callable[[str], Any]
    drainer: DeployedStack
    spot: DeployedStack
    example: DeployedStack
    log_tail: Callable[[], str]
    lines_read: int = field(default=0)

    def event(self, name: str) -> dict[str, Any]:
        """
        Return a payload, about the deployed service if it is about a task.
        """
        text = (EVENTS / f"{name}.json").read_text()
        event: dict[str, Any] = json.loads(text)
        # It has just happened: what is over is left alone.
        event["time"] = datetime.now(UTC).isoformat()
        if "stoppingAt" in event["detail"]:
            event["detail"]["stoppingAt"] = event["time"]
        if "clusterArn" in event["detail"]:
            cluster = self.example.outputs["ClusterName"]
            arn = f"arn:aws:ecs:{REGION}:{ACCOUNT_ID}:cluster/{cluster}"
            event["detail"]["clusterArn"] = arn
            if event["detail"]["group"].startswith("service:"):
                event["detail"]["group"] = f"service:{self.example.outputs['ServiceName']}"
        return event

    def rules_that_take(self, event: dict[str, Any]) -> list[str]:
        """
        Return those of the deployed rules whose pattern matches, as ministack sees it.
        """
        events = self.client("events")
        patterns = {
            name: events.describe_rule(Name=self.spot.physical_ids[name])["EventPattern"]
            for name in RULES
        }
        return [
            name
            for name, pattern in patterns.items()
            if events.test_event_pattern(EventPattern=pattern, Event=json.dumps(event))["Result"]
        ]

    def send(self, event: dict[str, Any]) -> None:
        """
        Do what the bus does: put the event into the queues of the rules that it matches.
        """
        for name in self.rules_that_take(event):
            rule = self.spot.physical_ids[name]
            for target in self.client("events").list_targets_by_rule(Rule=rule)["Targets"]:
                sqs, queue = self.client("sqs"), target["Arn"].rpartition(":")[2]
                url = sqs.get_queue_url(QueueName=queue)["QueueUrl"]
                sqs.send_message(QueueUrl=url, MessageBody=json.dumps(event))

    def lines_after(self, event: dict[str, Any]) -> list[dict[str, Any]]:
        """
        Send the event and return the function's log lines about it.
        """
        self.send(event)
        self.wait_until(lambda: bool(self.new_lines("interruption")))
        lines = self.new_lines()
        self.lines_read += len(lines)
        return lines

    def new_lines(self, message: str | None = None) -> list[dict[str, Any]]:
        """
        Return the function's own log lines since the last event, or only those with a message.
        """
        pages = self.client("logs").get_paginator("filter_log_events")
        texts = [
            event["message"]
            for page in pages.paginate(logGroupName=self.drainer.outputs["LogGroupName"])
            for event in page["events"]
        ]
        lines = [json.loads(text) for text in texts if text.startswith("{")]
        ours = [line for line in lines if "level" in line][self.lines_read :]
        return [line for line in ours if message in (None, line["message"])]

    def wait_until(self, done: Callable[[], bool]) -> None:
        """
        Wait for something that has to come to pass.
        """
        deadline = time.monotonic() + REAL_SECONDS_MAX
        while not done():
            assert time.monotonic() < deadline, self.log_tail()
            time.sleep(0.25)

    def register(self) -> None:
        """
        Register both tasks with both target groups, as ECS does.
        """
        for name in TARGET_GROUPS:
            self.client("elbv2").register_targets(
                TargetGroupArn=self.example.physical_ids[name],
                Targets=[{"Id": each, "Port": PORT} for each in (ADDRESS, OTHER_ADDRESS)],
            )

    def registered(self) -> dict[str, set[tuple[str, int]]]:
        """
        Return the targets of each target group.
        """
        found = {}
        for name in TARGET_GROUPS:
            answer = self.client("elbv2").describe_target_health(
                TargetGroupArn=self.example.physical_ids[name]
            )
            found[name] = {
                (item["Target"]["Id"], item["Target"]["Port"])
                for item in answer["TargetHealthDescriptions"]
                if item["TargetHealth"]["State"] != "draining"
            }
        return found


def example_without(resource_type: str) -> dict[str, Any]:
    """
    Return the example's template without one type of resource, and nothing else missing.
    """
    template = read_template(INFRA / "examples" / "fargate-spot.yaml")
    resources = template["Resources"]
    (name,) = (key for key, one in resources.items() if one["Type"] == resource_type)
    del resources[name]
    service = resources["Service"]
    service["DependsOn"].remove(name)
    # ministack computes with a parameter's value, which it leaves a text here.
    base = template["Parameters"]["OnDemandTaskCount"]["Default"]
    service["Properties"]["CapacityProviderStrategy"][0]["Base"] = base
    return template


@pytest.fixture(scope="module")
def deployed(embedded_zip: Path) -> Iterator[Deployed]:
    """
    All three templates, with every kind of event switched on.
    """
    with Gateway(
        EmbeddedTime(factor=1.0), account_id=ACCOUNT_ID, region=REGION, endpoints={}
    ) as gateway:

        @cache
        def client(service: str) -> Any:
            return boto3.client(
                service,
                endpoint_url=gateway.url,
                region_name=REGION,
                aws_access_key_id="embedded",
                aws_secret_access_key="embedded",
                config=Config(retries={"total_max_attempts": 1}),
            )

        deployment = Deployment(client, region=REGION, account_id=ACCOUNT_ID)
        deployment.upload(embedded_zip)
        drainer = deployment.create_stack("drainer", read_template(INFRA / "drainer.yaml"), {})
        spot = deployment.create_stack(
            "spot",
            read_template(INFRA / "spot.yaml"),
            {"DrainerStack": "drainer", "ServeRebalanceRecommendations": "true"},
        )
        example = deployment.create_stack("example", example_without(UNKNOWN_TYPE), {})
        yield Deployed(client, drainer, spot, example, gateway.log_tail)


def test_the_drainer_cannot_be_deleted_while_another_stack_imports_from_it(
    deployed: Deployed,
) -> None:
    # The rules would invoke a function that is gone, and hooks would publish to nothing.
    cloudformation = deployed.client("cloudformation")

    with pytest.raises(ClientError, match="is imported by stack spot"):
        cloudformation.delete_stack(StackName="drainer")

    (stack,) = cloudformation.describe_stacks(StackName="drainer")["Stacks"]
    assert stack["StackStatus"] == "CREATE_COMPLETE"


def test_the_emulator_refuses_the_example_for_the_one_type_that_is_left_out(
    deployed: Deployed,
) -> None:
    # The day it learns the type, the whole example is to be deployed.
    whole = read_template(INFRA / "examples" / "fargate-spot.yaml")

    with pytest.raises(ClientError, match=rf"Unrecognized resource types: \[{UNKNOWN_TYPE}\]"):
        deployed.client("cloudformation").create_stack(
            StackName="whole", TemplateBody=json.dumps(whole), Capabilities=["CAPABILITY_IAM"]
        )


def test_the_service_is_deployed_as_the_template_says(deployed: Deployed) -> None:
    # A service without its target groups would make every test here pass.
    answer = deployed.client("ecs").describe_services(
        cluster=deployed.example.outputs["ClusterName"],
        services=[deployed.example.outputs["ServiceName"]],
    )
    (service,) = answer["services"]
    groups = {deployed.example.physical_ids[name] for name in TARGET_GROUPS}

    assert {(one["targetGroupArn"], one["containerPort"]) for one in service["loadBalancers"]} == {
        (group, PORT) for group in groups
    }
    assert [one["capacityProvider"] for one in service["capacityProviderStrategy"]] == [
        "FARGATE",
        "FARGATE_SPOT",
    ]
    assert service["networkConfiguration"]["awsvpcConfiguration"]["assignPublicIp"] == "ENABLED"


@pytest.mark.parametrize("path", sorted(EVENTS.glob("*spot_*.json")), ids=lambda path: path.stem)
def test_the_deployed_rules_take_what_is_an_interruption_and_nothing_else(
    deployed: Deployed, path: Path
) -> None:
    # A second judge of the patterns: the first one is our own.
    kinds = {
        "spot_interruption_": ["Interruptions"],
        "spot_rebalance_": ["RebalanceRecommendations"],
        "fargate_spot_other_": [],
        "fargate_spot_of_no_service": [],
        "fargate_spot_": ["FargateSpot"],
        "spot_": [],
    }
    expected = next(taken for prefix, taken in kinds.items() if path.stem.startswith(prefix))

    assert deployed.rules_that_take(deployed.event(path.stem)) == expected


@pytest.mark.parametrize(
    "name",
    [
        "fargate_spot_interruption",
        "fargate_spot_termination_notice",
        "fargate_spot_without_stop_code",
        "fargate_spot_address_in_attachment",
        "fargate_spot_address_in_container",
        "fargate_spot_as_documented",
    ],
)
def test_an_interrupted_task_leaves_every_target_group_of_its_service_alone(
    deployed: Deployed, name: str
) -> None:
    # In one group forgotten it is still sent requests when it is killed; and the other tasks of
    # the service are all that is left to take them.
    deployed.register()

    (line,) = deployed.lines_after(deployed.event(name))

    assert deployed.registered() == {group: {(OTHER_ADDRESS, PORT)} for group in TARGET_GROUPS}
    assert line["message"] == "interruption"
    assert line["ecs_service"] == deployed.example.outputs["ServiceName"]
    assert (line["targets_deregistered"], line["target_groups"]) == (2, 2)


def test_the_same_event_twice_does_no_harm(deployed: Deployed) -> None:
    # EventBridge delivers at least once, and ECS deregisters as well.
    deployed.register()
    event = deployed.event("fargate_spot_interruption")
    lines = [*deployed.lines_after(event), *deployed.lines_after(event)]

    assert [line["message"] for line in lines] == ["interruption", "interruption"]
    assert deployed.registered() == {group: {(OTHER_ADDRESS, PORT)} for group in TARGET_GROUPS}


def test_an_instance_of_no_cluster_is_one_quiet_line(deployed: Deployed) -> None:
    # Most Spot instances of an account are no concern of the drainer's.
    deployed.register()

    (line,) = deployed.lines_after(deployed.event("spot_interruption_terminate"))

    assert (line["level"], line["message"], line["drained"]) == ("INFO", "interruption", False)
    assert all(len(targets) == 2 for targets in deployed.registered().values())


def test_defect_24_the_drainers_role_may_do_to_the_deployed_what_an_interruption_needs(
    deployed: Deployed,
) -> None:
    # A policy that names the wrong kind of ARN is found out by the first interruption.
    resources = {
        "ecs:DescribeServices": deployed.example.physical_ids["Service"],
        "elasticloadbalancing:DeregisterTargets": deployed.example.physical_ids["TcpTargetGroup"],
        "ecs:DescribeTaskDefinition": "*",
        "elasticloadbalancing:DescribeTargetHealth": "*",
        "elasticloadbalancing:DescribeTargetGroupAttributes": "*",
    }
    decisions = {}
    for action, resource in resources.items():
        answer = deployed.client("iam").simulate_principal_policy(
            PolicySourceArn=deployed.drainer.outputs["RoleArn"],
            ActionNames=[action],
            ResourceArns=[resource],
        )
        decisions[action] = answer["EvaluationResults"][0]["EvalDecision"]

    assert decisions == dict.fromkeys(resources, "allowed")


def test_nothing_is_left_in_the_dead_letters(deployed: Deployed) -> None:
    # A dead letter is an interruption that nobody followed.
    for url in (
        deployed.spot.outputs["DeadLetterQueueUrl"],
        deployed.drainer.outputs["DeadLetterQueueUrl"],
        deployed.spot.physical_ids["Queue"],
    ):
        answer = deployed.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
        assert answer["Attributes"]["ApproximateNumberOfMessages"] == "0"
