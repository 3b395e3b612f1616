"""Spot Fleets, and CloudFormation that asks: their physics in the simulated account."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import ClientError

from drainer.simulation.aws import Aws
from drainer.simulation.protocol.server import Server
from drainer.simulation.protocol.wire import render_error
from drainer.simulation.records import ApiError, Call
from drainer.simulation.scenario.installation import Settings, install
from drainer.simulation.services.cloudformation.stacks import (
    ResponseRefusedError,
    ResponseUnavailableError,
)
from drainer.simulation.services.iam.gate import requests
from drainer.simulation.services.messaging.delivery import SnsApi
from drainer.simulation.services.messaging.functions import Function
from drainer.simulation.services.messaging.queues import Queue
from drainer.simulation.services.quotas import Quotas

if TYPE_CHECKING:
    from collections.abc import Callable

    from drainer.simulation.services.cloudformation.custom_resource import CustomResourceRequest
    from drainer.simulation.services.ec2.spot_fleet_model import Fleet

START = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
PLACE = "us-east-1:123456789012"
CONFIG = {
    "IamFleetRole": "arn:aws:iam::123456789012:role/fleet",
    "TargetCapacity": 2,
    "TagSpecifications": [
        {
            "ResourceType": "spot-fleet-request",
            "Tags": [{"Key": "team", "Value": "shop"}, {"Key": "cluster", "Value": "payments"}],
        }
    ],
    "LaunchTemplateConfigs": [
        {
            "LaunchTemplateSpecification": {"LaunchTemplateName": "image-2", "Version": "7"},
            "Overrides": [
                {"InstanceType": "m7g.large", "WeightedCapacity": 1.0},
                {"InstanceType": "m6g.large"},
            ],
        }
    ],
}


@pytest.fixture
def account() -> Aws:
    return Aws(now=START)


def registered(account: Aws) -> list[str]:
    """The EC2 instances that the cluster knows, in the order of their registration."""
    return [*account.ecs.clusters["payments"].by_ec2_instance_id]


def listed(account: Aws, fleet: Fleet) -> list[str]:
    answer = account.client("ec2").describe_spot_fleet_instances(SpotFleetRequestId=fleet.fleet_id)
    return [one["InstanceId"] for one in answer["ActiveInstances"]]


def state(account: Aws, fleet: Fleet) -> str:
    answer = account.client("ec2").describe_spot_fleet_requests(
        SpotFleetRequestIds=[fleet.fleet_id]
    )
    (described,) = answer["SpotFleetRequestConfigs"]
    told: str = described["SpotFleetRequestState"]
    return told


# -- what a fleet launches


def test_instances_are_in_the_fleet_at_once_and_in_the_cluster_once_they_have_booted(
    account: Aws,
) -> None:
    fleet = account.fleets.create("payments", 3, boot_seconds=90)

    assert len(listed(account, fleet)) == 3
    account.run_for(89)
    assert registered(account) == []
    account.run_for(1)
    assert registered(account) == listed(account, fleet)


def test_a_fleet_that_has_been_running_is_in_the_cluster_already(account: Aws) -> None:
    fleet = account.fleets.create("payments", 3, already_running=True, tasks_max=2)

    assert registered(account) == fleet.ec2_instance_ids
    account.ecs.create_service("payments", "web", desired=9)
    tasks = [len(account.ecs.remaining_tasks(one)) for one in registered(account)]
    assert tasks == [2, 2, 2]


def test_the_same_account_has_the_same_fleet() -> None:
    def made() -> list[str]:
        fleet = Aws(now=START, seed=7).fleets.create("payments", 2)
        return [fleet.fleet_id, *fleet.ec2_instance_ids]

    assert made() == made()


def test_what_ended_while_it_booted_joins_no_cluster(account: Aws) -> None:
    fleet = account.fleets.create("payments", 2, type="request")
    account.fleets.terminate(fleet.ec2_instance_ids[0])
    account.run_for(60)

    assert registered(account) == fleet.ec2_instance_ids
    assert len(registered(account)) == 1


# -- what it launches again


def test_a_maintained_fleet_replaces_what_is_terminated(account: Aws) -> None:
    fleet = account.fleets.create("payments", 3, already_running=True)
    (gone, *others) = fleet.ec2_instance_ids
    account.fleets.terminate(gone)
    assert listed(account, fleet) == others

    account.run_for(120 + 59)
    assert len(listed(account, fleet)) == 3
    assert set(registered(account)) == set(others)
    account.run_for(1)
    assert len(registered(account)) == 3


def test_a_maintained_fleet_replaces_what_is_interrupted(account: Aws) -> None:
    fleet = account.fleets.create("payments", 3, already_running=True)
    (gone, *others) = fleet.ec2_instance_ids
    account.spot.interrupt(gone)

    # It is the fleet's as long as it is there: who looks in the two minutes must still find it.
    account.run_for(119)
    assert listed(account, fleet) == [gone, *others]
    account.run_for(1)
    assert listed(account, fleet) == others
    account.run_for(120)
    assert len(listed(account, fleet)) == 3


# A drain that made its fleet grow would never come to an end.
def test_what_drains_is_not_replaced(account: Aws) -> None:
    fleet = account.fleets.create("payments", 3, already_running=True)
    for instance in [*account.ecs.clusters["payments"].container_instances.values()]:
        account.ecs.set_status(instance, "DRAINING")
    ids = listed(account, fleet)
    account.run_for(3_600)

    assert listed(account, fleet) == ids
    # And what is replaced for another reason does not replace those as well.
    account.fleets.terminate(ids[0])
    account.run_for(3_600)
    assert listed(account, fleet)[:2] == ids[1:]
    assert len(listed(account, fleet)) == 3


def test_a_fleet_of_one_request_replaces_nothing(account: Aws) -> None:
    fleet = account.fleets.create("payments", 2, type="request", already_running=True)
    account.fleets.terminate(fleet.ec2_instance_ids[0])
    account.run_for(3_600)

    assert len(listed(account, fleet)) == 1


def test_a_cancelled_fleet_replaces_nothing(account: Aws) -> None:
    fleet = account.fleets.create("payments", 2, already_running=True)
    first, second = fleet.ec2_instance_ids
    account.fleets.terminate(first)
    account.fleets.cancel(fleet, terminate_instances=False)
    account.run_for(3_600)

    assert listed(account, fleet) == [second]
    assert state(account, fleet) == "cancelled_running"
    account.spot.interrupt(second)
    account.run_for(3_600)
    assert listed(account, fleet) == []
    assert state(account, fleet) == "cancelled"


# -- what goes with it


def test_a_cancelled_fleet_takes_its_instances_and_what_runs_on_them(account: Aws) -> None:
    old = account.fleets.create("payments", 2, already_running=True)
    account.ecs.create_service("payments", "web", desired=4)
    new = account.fleets.create("payments", 2, already_running=True)
    account.fleets.cancel(old, terminate_instances=True)

    assert Counter(fact.about["ec2_instance_id"] for fact in account.facts("killed")) == (
        dict.fromkeys(old.rows, 2)
    )
    assert [fact.about["ec2_instance_id"] for fact in account.facts("terminated")] == [*old.rows]
    (cancelled,) = account.facts("fleet_cancelled", fleet_id=old.fleet_id)
    assert len(cancelled.about["remaining"]) == 4
    assert state(account, old) == "cancelled"
    account.run_for(60)
    assert registered(account) == new.ec2_instance_ids


def test_a_drained_fleet_goes_without_cutting_anything(account: Aws) -> None:
    fleet = account.fleets.create("payments", 2, already_running=True)
    account.fleets.cancel(fleet, terminate_instances=True)

    assert account.facts("killed") == []
    assert [fact.about["remaining"] for fact in account.facts("fleet_cancelled")] == [[]]
    assert [fact.about["count"] for fact in account.facts("fleet_requested")] == [2]


def test_a_fleet_that_is_over_is_forgotten_after_two_days(account: Aws) -> None:
    fleet = account.fleets.create("payments", 1, already_running=True)
    account.fleets.cancel(fleet, terminate_instances=True)

    account.run_for(timedelta(hours=47).total_seconds())
    assert listed(account, fleet) == []
    account.run_for(timedelta(hours=1).total_seconds())
    with pytest.raises(ClientError, match="does not exist"):
        listed(account, fleet)
    assert account.client("ec2").describe_spot_fleet_requests()["SpotFleetRequestConfigs"] == []


# -- what one is told of it


# Who takes an old list for the present one misses an instance, or waits for one that is gone.
def test_the_list_of_instances_may_be_out_of_date(account: Aws) -> None:
    account.fleets.describe_lag_seconds = 30.0
    fleet = account.fleets.create("payments", 2, already_running=True)
    first, second = fleet.ec2_instance_ids
    account.fleets.terminate(first)

    account.run_for(29)
    assert listed(account, fleet) == [first, second]
    account.run_for(1)
    assert listed(account, fleet) == [second]
    account.run_for(90 + 29)
    assert listed(account, fleet) == [second]
    assert len(fleet.instances) == 2
    account.run_for(1)
    assert listed(account, fleet) == fleet.ec2_instance_ids


@pytest.mark.parametrize("size", [0, 1_001])
def test_a_page_has_from_one_to_a_thousand_instances(account: Aws, size: int) -> None:
    fleet = account.fleets.create("payments", 1)
    perform = account.apis["ec2"].describe_spot_fleet_instances  # type: ignore[attr-defined]

    with pytest.raises(Exception, match="1 to 1000"):
        perform({"SpotFleetRequestId": fleet.fleet_id, "MaxResults": size})


def test_a_thousand_instances_are_one_page_unless_fewer_are_asked_for(account: Aws) -> None:
    fleet = account.fleets.create("payments", 1_001, already_running=True)
    first = account.client("ec2").describe_spot_fleet_instances(SpotFleetRequestId=fleet.fleet_id)

    assert len(first["ActiveInstances"]) == 1_000
    second = account.client("ec2").describe_spot_fleet_instances(
        SpotFleetRequestId=fleet.fleet_id, NextToken=first["NextToken"]
    )
    assert len(second["ActiveInstances"]) == 1


# -- requested by the API


def test_a_requested_fleet_joins_the_cluster_of_its_tag(account: Aws) -> None:
    ec2 = account.client("ec2")
    fleet_id = ec2.request_spot_fleet(SpotFleetRequestConfig=CONFIG)["SpotFleetRequestId"]
    account.run_for(60)

    (described,) = ec2.describe_spot_fleet_requests()["SpotFleetRequestConfigs"]
    assert described["SpotFleetRequestId"] == fleet_id
    assert described["SpotFleetRequestState"] == "active"
    assert (
        described["SpotFleetRequestConfig"]["LaunchTemplateConfigs"]
        == (CONFIG["LaunchTemplateConfigs"])
    )
    fleet = account.fleets.find(fleet_id)
    assert fleet is not None
    assert fleet.type == "maintain"
    assert registered(account) == fleet.ec2_instance_ids


def test_whoever_builds_the_account_says_which_cluster_a_request_joins(account: Aws) -> None:
    asked: list[dict[str, Any]] = []

    def cluster_of(config: dict[str, Any]) -> str:
        asked.append(config)
        return "orders"

    account.fleets.cluster_of_request = cluster_of
    account.fleets.boot_seconds = 5.0
    account.client("ec2").request_spot_fleet(SpotFleetRequestConfig=CONFIG)
    account.run_for(5)

    assert asked == [CONFIG]
    assert len(account.ecs.clusters["orders"].container_instances) == 2


def test_a_request_without_a_tag_joins_the_default_cluster(account: Aws) -> None:
    config = {name: CONFIG[name] for name in ("IamFleetRole", "TargetCapacity")}
    account.client("ec2").request_spot_fleet(SpotFleetRequestConfig=config)

    assert [*account.ecs.clusters] == ["default"]


@pytest.mark.parametrize("wrong", [{"Type": "instant"}, {"TargetCapacity": 10_001}])
def test_a_fleet_that_ec2_does_not_know_is_refused(account: Aws, wrong: Any) -> None:
    with pytest.raises(ClientError) as refused:
        account.client("ec2").request_spot_fleet(SpotFleetRequestConfig={**CONFIG, **wrong})

    assert refused.value.response["Error"]["Code"] == "InvalidSpotFleetRequestConfig"
    assert account.fleets.fleets == {}


# EC2 has a wire protocol of its own: names with a capital, flat lists, no Result around an answer.
def test_an_unmodified_boto3_finds_the_fleets_by_its_own_setting(
    account: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Server(account) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_EC2", server.url)
        ec2 = boto3.session.Session("local", "local", region_name="us-east-1").client("ec2")
        fleet_id = ec2.request_spot_fleet(SpotFleetRequestConfig=CONFIG)["SpotFleetRequestId"]
        (described,) = ec2.describe_spot_fleet_requests(SpotFleetRequestIds=[fleet_id])[
            "SpotFleetRequestConfigs"
        ]
        pages = ec2.get_paginator("describe_spot_fleet_instances").paginate(
            SpotFleetRequestId=fleet_id, PaginationConfig={"PageSize": 1}
        )
        instances = [one for page in pages for one in page["ActiveInstances"]]
        with pytest.raises(ClientError) as refused:
            ec2.describe_spot_fleet_instances(SpotFleetRequestId="payments")
        with pytest.raises(ClientError) as unknown:
            ec2.describe_vpcs()

    assert server.failures == []
    assert described["SpotFleetRequestConfig"] == {**CONFIG, "Type": "maintain"}
    assert described["CreateTime"] == START
    assert [one["InstanceId"] for one in instances] == (
        account.fleets.fleets[fleet_id].ec2_instance_ids
    )
    assert refused.value.response["Error"]["Code"] == "InvalidSpotFleetRequestId.Malformed"
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert unknown.value.response["Error"]["Code"] == "InvalidAction"


# boto3 is lenient about this; other readers of EC2's protocol are not.
def test_ec2_refuses_in_a_form_of_its_own() -> None:
    _, body = render_error("ec2", ApiError("InvalidNextToken", "why <not>"), "request")

    assert body.decode() == (
        "<Response><Errors><Error><Code>InvalidNextToken</Code>"
        "<Message>why &lt;not&gt;</Message></Error></Errors>"
        "<RequestID>request</RequestID></Response>"
    )


# -- quotas and permissions


def passes(call: Callable[[], object], attempts: int) -> int:
    codes = []
    for _ in range(attempts):
        try:
            call()
        except ClientError as error:
            codes.append(error.response["Error"]["Code"])
    assert set(codes) <= {"RequestLimitExceeded", "ThrottlingException"}
    return attempts - len(codes)


def test_each_kind_of_read_has_a_bucket_of_its_own(account: Aws) -> None:
    fleet = account.fleets.create("payments", 1, already_running=True)
    quotas = Quotas(account.clock)
    account.interceptors.append(quotas)
    ec2, ecs = account.client("ec2"), account.client("ecs")

    assert passes(lambda: listed(account, fleet), 120) == 100
    assert passes(ec2.describe_spot_fleet_requests, 120) == 100
    assert passes(ecs.describe_capacity_providers, 60) == 50
    assert passes(lambda: ecs.describe_clusters(clusters=["payments"]), 60) == 50
    account.run_for(1)
    assert passes(lambda: listed(account, fleet), 120) == 20
    assert passes(ecs.describe_capacity_providers, 60) == 20
    assert quotas.throttled["DescribeSpotFleetInstances"] == 20 + 100


def test_deleting_attributes_takes_from_the_bucket_of_putting_them(account: Aws) -> None:
    account.fleets.create("payments", 1, already_running=True)
    (arn,) = account.ecs.clusters["payments"].container_instances
    account.interceptors.append(Quotas(account.clock))
    ecs = account.client("ecs")
    named = {"cluster": "payments", "attributes": [{"name": "a", "targetId": arn}]}

    assert passes(lambda: ecs.put_attributes(**named), 60) == 60
    assert passes(lambda: ecs.delete_attributes(**named), 60) == 40


@pytest.mark.parametrize(
    ("service", "operation", "parameters", "resource"),
    [
        (
            "ec2",
            "DescribeSpotFleetInstances",
            {"SpotFleetRequestId": "sfr-1"},
            f"arn:aws:ec2:{PLACE}:spot-fleet-request/sfr-1",
        ),
        ("autoscaling", "DescribeAutoScalingGroups", {"AutoScalingGroupNames": ["a"]}, "*"),
        (
            "ecs",
            "DescribeClusters",
            {"clusters": ["payments"]},
            f"arn:aws:ecs:{PLACE}:cluster/payments",
        ),
        (
            "ecs",
            "DescribeCapacityProviders",
            {"capacityProviders": ["cp"]},
            f"arn:aws:ecs:{PLACE}:capacity-provider/cp",
        ),
        (
            "ecs",
            "DeleteAttributes",
            {"cluster": "payments", "attributes": [{"name": "a", "targetId": "0123"}]},
            f"arn:aws:ecs:{PLACE}:container-instance/payments/0123",
        ),
        (
            "dynamodb",
            "GetItem",
            {"TableName": "drainer-RequestsTable"},
            f"arn:aws:dynamodb:{PLACE}:table/drainer-RequestsTable",
        ),
        (
            "cloudformation",
            "DescribeStacks",
            {"StackName": f"arn:aws:cloudformation:{PLACE}:stack/shop/1"},
            f"arn:aws:cloudformation:{PLACE}:stack/shop/1",
        ),
        (
            "cloudformation",
            "DescribeStacks",
            {"StackName": "shop"},
            f"arn:aws:cloudformation:{PLACE}:stack/shop/*",
        ),
    ],
)
# What is not checked against its own resource would pass with a policy for another.
def test_iam_is_asked_about_the_very_resource(
    account: Aws, service: str, operation: str, parameters: dict[str, Any], resource: str
) -> None:
    asked = requests(Call(service, operation, parameters, START), account)

    assert [(one.action, one.resource) for one in asked] == [(f"{service}:{operation}", resource)]


# -- CloudFormation asks


PROPERTIES = {
    "Cluster": "payments",
    "InstanceIds": ["i-1", "i-2"],
    "DrainTimeoutSeconds": 900,
    "Guard": {"Enabled": True},
}


def answer_to(request: CustomResourceRequest, **more: Any) -> bytes:
    copied = {name: request.event[name] for name in ("StackId", "RequestId", "LogicalResourceId")}
    body = {"Status": "SUCCESS", "PhysicalResourceId": "sfr-1", **copied, **more}
    return json.dumps({name: it for name, it in body.items() if it is not None}).encode()


def test_a_request_is_what_cloudformation_sends_with_its_values_as_text(account: Aws) -> None:
    request = account.stacks.request(
        "Update", PROPERTIES, physical_id="sfr-1", old_properties={"Cluster": "old", "Grace": 5}
    )
    event = request.event

    assert event["RequestType"] == "Update"
    assert event["ResourceType"] == "Custom::ECSDrain"
    assert event["PhysicalResourceId"] == "sfr-1"
    assert event["StackId"].startswith(f"arn:aws:cloudformation:{PLACE}:stack/shop/")
    assert event["ResponseURL"].startswith("https://cloudformation-custom-resource-response-")
    assert event["ResourceProperties"] == {
        "Cluster": "payments",
        "InstanceIds": ["i-1", "i-2"],
        "DrainTimeoutSeconds": "900",
        "Guard": {"Enabled": "true"},
    }
    assert event["OldResourceProperties"] == {"Cluster": "old", "Grace": "5"}


def test_a_creation_has_no_physical_id_and_a_deletion_needs_one(account: Aws) -> None:
    created = account.stacks.request("Create", PROPERTIES).event

    assert {"PhysicalResourceId", "OldResourceProperties"} & set(created) == set()
    with pytest.raises(ValueError, match="physical id"):
        account.stacks.request("Delete", PROPERTIES)


def test_the_requests_of_a_stack_share_its_id_and_nothing_else(account: Aws) -> None:
    first, second, other = (
        account.stacks.request("Create", {}, stack=stack).event for stack in ("a", "a", "b")
    )

    assert first["StackId"] == second["StackId"] != other["StackId"]
    assert len({one["RequestId"] for one in (first, second, other)}) == 3
    assert len({one["ResponseURL"] for one in (first, second, other)}) == 3


def test_a_topic_gets_a_request_as_text_under_its_subject(account: Aws) -> None:
    topic = SnsApi(account).create_topic_named("drainer")
    queue = Queue(account, "requests")
    topic.subscribe(queue, {"RequestType": ["Create"]})
    request = account.stacks.request("Create", PROPERTIES)
    request.by_topic(topic)
    account.run_for(0)

    (message,) = queue.messages
    body = json.loads(message.body)
    sent = json.loads(body["Message"])
    assert body["Subject"] == "AWS CloudFormation custom resource request"
    assert sent == request.event
    assert sent["ServiceToken"] == sent["ResourceProperties"]["ServiceToken"] == topic.arn


def test_a_function_gets_a_request_as_its_event_and_again_if_it_fails(account: Aws) -> None:
    events: list[dict[str, Any]] = []

    def handler(event: dict[str, Any], _: Any) -> None:
        events.append(event)
        if len(events) == 1:
            raise RuntimeError

    function = Function(account, "drainer", handler)
    request = account.stacks.request("Create", PROPERTIES)
    request.by_function(function)
    account.run_for(60)

    assert events == [request.event, request.event]
    assert events[0]["ServiceToken"] == function.arn


def test_the_first_answer_counts_and_every_one_is_kept(account: Aws) -> None:
    request = account.stacks.request("Create", PROPERTIES)
    url = request.event["ResponseURL"]
    assert request.is_open
    account.run_for(10)
    account.stacks.respond(url, answer_to(request))
    account.stacks.respond(url, answer_to(request, Status="FAILED", Reason="too late"))

    assert request.answer == json.loads(answer_to(request))
    assert [body["Status"] for _, body in request.answers] == ["SUCCESS", "FAILED"]
    assert [at - START for at, _ in request.answers] == [timedelta(seconds=10)] * 2
    assert request.faults == []
    assert not request.is_open
    assert len(account.facts("request_answered", status="SUCCESS")) == 1
    account.run_for(3_600)
    assert not request.timed_out
    assert account.facts("request_timed_out") == []


def test_an_answer_after_the_timeout_does_not_count(account: Aws) -> None:
    request = account.stacks.request("Create", PROPERTIES, timeout_seconds=600)
    account.run_for(599)
    assert request.is_open
    account.run_for(1)
    account.stacks.respond(request.event["ResponseURL"], answer_to(request))

    assert request.timed_out
    assert (request.answer, len(request.answers)) == (None, 1)
    assert len(account.facts("request_timed_out")) == 1


@pytest.mark.parametrize(
    ("service_timeout", "seconds"), [("120", 120), (120, 120), ("many", 3_600), (None, 3_600)]
)
def test_the_service_timeout_is_the_stacks_patience(
    account: Aws, service_timeout: Any, seconds: int
) -> None:
    properties = {} if service_timeout is None else {"ServiceTimeout": service_timeout}
    request = account.stacks.request("Create", properties)

    assert request.times_out_at - START == timedelta(seconds=seconds)


# 503 twice, then 200: whoever gives up after the first leaves the stack without an answer.
def test_a_response_url_may_refuse_before_it_takes(account: Aws) -> None:
    request = account.stacks.request("Create", PROPERTIES)
    request.refusals = [503, 503, 403]
    url = request.event["ResponseURL"]

    for error in (ResponseUnavailableError, ResponseUnavailableError, ResponseRefusedError):
        with pytest.raises(error):
            account.stacks.respond(url, answer_to(request))
        assert request.answers == []
    account.stacks.respond(url, answer_to(request))

    assert [one.status for one in request.attempts] == [503, 503, 403, 200]
    assert request.answer is not None


def test_a_deaf_response_url_never_answers(account: Aws) -> None:
    request = account.stacks.request("Create", PROPERTIES)
    request.deaf = True
    account.stacks.unavailable = ConnectionError

    for _ in range(3):
        with pytest.raises(ConnectionError):
            account.stacks.respond(request.event["ResponseURL"], answer_to(request))

    assert [one.status for one in request.attempts] == [None] * 3
    assert (request.answers, request.is_open) == ([], True)


def test_a_url_that_cloudformation_did_not_make_is_refused(account: Aws) -> None:
    account.stacks.refused = PermissionError

    with pytest.raises(PermissionError):
        account.stacks.respond("https://example.com/", b"{}")


@pytest.mark.parametrize(
    ("wrong", "fault"),
    [
        ({"StackId": "another"}, "StackId is not copied"),
        ({"RequestId": None}, "RequestId is not copied"),
        ({"LogicalResourceId": "drain"}, "LogicalResourceId is not copied"),
        ({"Status": "OK"}, "Status is 'OK'"),
        ({"Status": "FAILED"}, "FAILED without a Reason"),
        ({"PhysicalResourceId": ""}, "PhysicalResourceId is missing or too long"),
        ({"PhysicalResourceId": "x" * 1_025}, "PhysicalResourceId is missing or too long"),
    ],
)
def test_an_answer_that_cloudformation_would_not_take_is_a_fault(
    account: Aws, wrong: dict[str, Any], fault: str
) -> None:
    request = account.stacks.request("Create", PROPERTIES)
    account.stacks.respond(request.event["ResponseURL"], answer_to(request, **wrong))

    assert request.faults == [fault]


def test_a_body_that_is_too_long_or_no_json_is_a_fault(account: Aws) -> None:
    request = account.stacks.request("Create", PROPERTIES)
    url = request.event["ResponseURL"]
    room = 4_096 - len(answer_to(request, Reason=""))
    account.stacks.respond(url, answer_to(request, Reason="x" * room))
    assert request.faults == []

    account.stacks.respond(url, answer_to(request, Reason="x" * (room + 1)))
    assert request.faults == ["the body has 4097 bytes"]
    account.stacks.respond(url, b"SUCCESS")
    assert "Status is None" in request.faults
    assert request.answers[-1][1] == {}


def test_the_answer_to_a_deletion_names_what_was_deleted(account: Aws) -> None:
    request = account.stacks.request("Delete", PROPERTIES, physical_id="sfr-2")
    account.stacks.respond(request.event["ResponseURL"], answer_to(request))

    assert request.faults == ["PhysicalResourceId is not that of what was deleted"]


# -- the installation


def test_the_switch_wires_requests_table_and_response(account: Aws) -> None:
    given: dict[str, Any] = {}
    received: list[dict[str, Any]] = []

    def build(environ: Any, client: Any, clock: Any, /, **more: Any) -> Any:
        del client, clock
        given.update(environ=environ, more=more)

        def function(event: dict[str, Any], _: Any) -> None:
            received.extend(json.loads(one["body"]) for one in event["Records"])

        return function

    installed = install(account, build=build, settings=Settings(custom_resources=True))
    for kind in ("Create", "Update", "Delete"):
        account.stacks.request(kind, {}, physical_id="sfr-1").by_topic(installed.topic)
    installed.topic.publish('{"RequestType": "Read"}')
    account.run_for(1)

    kinds = [json.loads(body["Message"])["RequestType"] for body in received]
    assert kinds == ["Create", "Update", "Delete"]
    assert given["more"] == {"respond": account.stacks.respond}
    assert given["environ"]["DRAINER_REQUESTS_TABLE"] == "drainer-RequestsTable"
    assert given["environ"]["DRAINER_VERIFY_STACKS"] == "true"
    assert installed.requests_table is account.tables.tables["drainer-RequestsTable"]


# A drainer that is deployed without it is the one that was there before, to the last setting.
def test_without_the_switch_nothing_is_wired(account: Aws) -> None:
    given: dict[str, Any] = {}

    def build(environ: Any, client: Any, clock: Any, /) -> Any:
        del client, clock
        given.update(environ)
        return lambda _, __: None

    installed = install(account, build=build)

    assert len(installed.topic.subscriptions) == 2
    assert set(given) == {
        "DRAINER_TOPIC_ARN",
        "DRAINER_PASS_INTERVAL_SECONDS",
        "DRAINER_USE_FAST_PATH",
        "DRAINER_RECORDS_TABLE",
    }
    assert (installed.requests_table, account.tables.tables) == (None, {})
