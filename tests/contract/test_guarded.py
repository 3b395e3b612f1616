"""
What can be guarded by a custom resource: Spot Fleets, groups, clusters, capacity providers, stacks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.contract.faces import Face, SimulationFace

UNKNOWN_FLEET = "sfr-00000000-0000-4000-8000-000000000000"
ATTRIBUTE = "drainer.custom-resource"


def code_of(call: Callable[[], Any]) -> str:
    """
    Call, and return the code that it is refused with.
    """
    with pytest.raises(ClientError) as refused:
        call()
    code: str = refused.value.response["Error"]["Code"]
    return code


def pages_of(face: Face, service: str, operation: str, **parameters: Any) -> list[Any]:
    """
    Turn the pages with boto3's own paginator.
    """
    return list(face.client(service).get_paginator(operation).paginate(**parameters))


# -- Spot Fleets


def test_a_fleet_tells_its_instances(face: Face) -> None:
    fleet_id = face.fleet("payments", 3)

    answer = face.client("ec2").describe_spot_fleet_instances(SpotFleetRequestId=fleet_id)

    assert answer["SpotFleetRequestId"] == fleet_id
    assert len({one["InstanceId"] for one in answer["ActiveInstances"]}) == 3
    assert {one["InstanceId"][:2] for one in answer["ActiveInstances"]} == {"i-"}
    assert {one["SpotInstanceRequestId"][:4] for one in answer["ActiveInstances"]} == {"sir-"}
    assert "NextToken" not in answer


@pytest.mark.moto_fault("instances have no InstanceHealth")
def test_a_fleet_tells_that_its_instances_are_healthy(face: Face) -> None:
    fleet_id = face.fleet("payments", 2)

    answer = face.client("ec2").describe_spot_fleet_instances(SpotFleetRequestId=fleet_id)

    assert [one["InstanceHealth"] for one in answer["ActiveInstances"]] == ["healthy"] * 2


# With the first page alone, half a fleet would be taken for all of it, and the rest killed.
@pytest.mark.moto_fault("no pagination")
def test_a_large_fleet_is_told_page_by_page(face: Face) -> None:
    fleet_id = face.fleet("payments", 25)

    pages = pages_of(
        face,
        "ec2",
        "describe_spot_fleet_instances",
        SpotFleetRequestId=fleet_id,
        PaginationConfig={"PageSize": 10},
    )

    assert [len(page["ActiveInstances"]) for page in pages] == [10, 10, 5]
    assert len({one["InstanceId"] for page in pages for one in page["ActiveInstances"]}) == 25


# "Gone" is read from this very code: any other must not pass for it.
@pytest.mark.moto_fault("an unknown fleet has no instances, instead of an error")
def test_an_unknown_fleet_is_an_error_of_its_own(face: Face) -> None:
    ec2 = face.client("ec2")

    assert (
        code_of(lambda: ec2.describe_spot_fleet_instances(SpotFleetRequestId=UNKNOWN_FLEET))
        == "InvalidSpotFleetRequestId.NotFound"
    )
    assert (
        code_of(lambda: ec2.describe_spot_fleet_requests(SpotFleetRequestIds=[UNKNOWN_FLEET]))
        == "InvalidSpotFleetRequestId.NotFound"
    )
    assert (
        code_of(lambda: ec2.describe_spot_fleet_instances(SpotFleetRequestId="payments"))
        == "InvalidSpotFleetRequestId.Malformed"
    )


def test_a_fleet_that_is_cancelled_with_its_instances_has_none(face: Face) -> None:
    fleet_id, ec2 = face.fleet("payments", 2), face.client("ec2")

    answer = ec2.cancel_spot_fleet_requests(SpotFleetRequestIds=[fleet_id], TerminateInstances=True)

    (cancelled,) = answer["SuccessfulFleetRequests"]
    assert cancelled == {
        "SpotFleetRequestId": fleet_id,
        "CurrentSpotFleetRequestState": "cancelled_terminating",
        "PreviousSpotFleetRequestState": "active",
    }
    listed = ec2.describe_spot_fleet_instances(SpotFleetRequestId=fleet_id)
    assert listed.get("ActiveInstances", []) == []


@pytest.mark.moto_fault("the answer says cancelled_terminating whatever was asked for")
def test_a_fleet_that_is_cancelled_alone_leaves_its_instances(face: Face) -> None:
    fleet_id, ec2 = face.fleet("payments", 2), face.client("ec2")

    answer = ec2.cancel_spot_fleet_requests(
        SpotFleetRequestIds=[fleet_id], TerminateInstances=False
    )

    (cancelled,) = answer["SuccessfulFleetRequests"]
    assert cancelled["CurrentSpotFleetRequestState"] == "cancelled_running"
    listed = ec2.describe_spot_fleet_instances(SpotFleetRequestId=fleet_id)
    assert len(listed["ActiveInstances"]) == 2


@pytest.mark.moto_fault("an unknown fleet is a KeyError")
def test_each_fleet_is_cancelled_or_refused_for_itself(face: Face) -> None:
    fleet_id, ec2 = face.fleet("payments"), face.client("ec2")

    def cancel(*ids: str) -> Any:
        return ec2.cancel_spot_fleet_requests(SpotFleetRequestIds=ids, TerminateInstances=True)

    answer = cancel(fleet_id, UNKNOWN_FLEET, "payments")

    assert [one["SpotFleetRequestId"] for one in answer["SuccessfulFleetRequests"]] == [fleet_id]
    refused = {
        one["SpotFleetRequestId"]: one["Error"]["Code"]
        for one in answer["UnsuccessfulFleetRequests"]
    }
    assert refused == {
        UNKNOWN_FLEET: "fleetRequestIdDoesNotExist",
        "payments": "fleetRequestIdMalformed",
    }
    (again,) = cancel(fleet_id)["UnsuccessfulFleetRequests"]
    assert again["Error"]["Code"] == "fleetRequestNotInCancellableState"


# -- Auto Scaling groups


def test_groups_tell_their_instances_and_unknown_ones_are_left_out(face: Face) -> None:
    ids = face.group("payments-asg", 2)
    face.group("orders-asg", 1)

    answer = face.client("autoscaling").describe_auto_scaling_groups(
        AutoScalingGroupNames=["payments-asg", "slip"]
    )

    (group,) = answer["AutoScalingGroups"]
    assert group["AutoScalingGroupName"] == "payments-asg"
    assert group["AutoScalingGroupARN"].endswith(":autoScalingGroupName/payments-asg")
    assert sorted(one["InstanceId"] for one in group["Instances"]) == sorted(ids)
    assert {one["LifecycleState"] for one in group["Instances"]} == {"InService"}


def test_groups_are_told_page_by_page(face: Face) -> None:
    for number in range(5):
        face.group(f"group-{number}", 1)

    pages = pages_of(
        face, "autoscaling", "describe_auto_scaling_groups", PaginationConfig={"PageSize": 2}
    )

    assert [len(page["AutoScalingGroups"]) for page in pages] == [2, 2, 1]


def test_no_page_has_more_than_a_hundred_groups(face: Face) -> None:
    for number in range(101):
        face.group(f"group-{number}", 0)

    first, second = pages_of(
        face, "autoscaling", "describe_auto_scaling_groups", PaginationConfig={"PageSize": 100}
    )

    assert len(first["AutoScalingGroups"]) == 100
    assert len(second["AutoScalingGroups"]) == 1


# -- clusters


def test_clusters_tell_their_status_and_missing_ones_are_failures(face: Face) -> None:
    arn = face.cluster("payments")

    answer = face.client("ecs").describe_clusters(clusters=["payments", "slip"])

    (cluster,) = answer["clusters"]
    assert (cluster["clusterArn"], cluster["status"]) == (arn, "ACTIVE")
    (failure,) = answer["failures"]
    assert (failure["arn"], failure["reason"]) == (arn.replace("payments", "slip"), "MISSING")


def test_a_cluster_may_be_described_by_its_arn(face: Face) -> None:
    arn = face.cluster("payments")

    answer = face.client("ecs").describe_clusters(clusters=[arn])

    assert [one["clusterName"] for one in answer["clusters"]] == ["payments"]


@pytest.mark.moto_fault("describe_clusters takes any number of names (AWS: 100)")
def test_a_hundred_clusters_are_described_at_a_time(face: Face) -> None:
    names = [face.cluster(f"cluster-{number}").rpartition("/")[2] for number in range(101)]
    ecs = face.client("ecs")

    assert len(ecs.describe_clusters(clusters=names[:100])["clusters"]) == 100
    refused = code_of(lambda: ecs.describe_clusters(clusters=names))
    assert refused == "InvalidParameterException"


# A cluster that was deleted can be described for a while: its being found is not its being there.
def test_a_deleted_cluster_is_described_and_can_do_nothing(simulation: SimulationFace) -> None:
    simulation.cluster("payments")
    simulation.account.ecs.clusters["payments"].status = "INACTIVE"
    ecs = simulation.client("ecs")

    (described,) = ecs.describe_clusters(clusters=["payments"])["clusters"]
    assert described["status"] == "INACTIVE"
    assert ecs.list_clusters()["clusterArns"] == []
    refused = code_of(lambda: ecs.list_tasks(cluster="payments"))
    assert refused == "ClusterNotFoundException"


# -- capacity providers


def test_a_capacity_provider_tells_its_group(face: Face) -> None:
    face.group("payments-asg")
    arn = face.capacity_provider("payments-cp", "payments-asg")

    answer = face.client("ecs").describe_capacity_providers(capacityProviders=["payments-cp"])

    (provider,) = answer["capacityProviders"]
    assert (provider["capacityProviderArn"], provider["status"]) == (arn, "ACTIVE")
    group_arn = provider["autoScalingGroupProvider"]["autoScalingGroupArn"]
    assert group_arn.endswith(":autoScalingGroupName/payments-asg")
    assert answer["failures"] == []


def test_a_capacity_provider_may_be_described_by_its_arn(face: Face) -> None:
    face.group("payments-asg")
    arn = face.capacity_provider("payments-cp", "payments-asg")

    answer = face.client("ecs").describe_capacity_providers(capacityProviders=[arn])

    assert [one["name"] for one in answer["capacityProviders"]] == ["payments-cp"]


def test_a_missing_capacity_provider_is_a_failure(face: Face) -> None:
    answer = face.client("ecs").describe_capacity_providers(capacityProviders=["slip"])

    assert answer["capacityProviders"] == []
    (failure,) = answer["failures"]
    assert failure["reason"] == "MISSING"
    assert failure["arn"].endswith("/slip")


# Fargate's are there in every account, and have no group that could be drained.
@pytest.mark.moto_fault("to describe all of them is a TypeError")
def test_those_of_fargate_are_there_and_have_no_group(face: Face) -> None:
    answer = face.client("ecs").describe_capacity_providers()

    assert [one["name"] for one in answer["capacityProviders"]] == ["FARGATE", "FARGATE_SPOT"]
    assert not any("autoScalingGroupProvider" in one for one in answer["capacityProviders"])


# -- attributes


def attributes_of(face: Face, arn: str) -> dict[str, str | None]:
    answer = face.client("ecs").describe_container_instances(
        cluster="payments", containerInstances=[arn]
    )
    (described,) = answer["containerInstances"]
    return {one["name"]: one.get("value") for one in described["attributes"]}


def put(face: Face, arn: str, **attributes: str) -> None:
    short = {"targetType": "container-instance", "targetId": arn.rpartition("/")[2]}
    face.client("ecs").put_attributes(
        cluster="payments",
        attributes=[{"name": name, **short, "value": it} for name, it in attributes.items()],
    )


def delete(face: Face, *attributes: tuple[str, str]) -> Any:
    return face.client("ecs").delete_attributes(
        cluster="payments",
        attributes=[
            {
                "name": name,
                "targetType": "container-instance",
                "targetId": arn.rpartition("/")[2],
            }
            for arn, name in attributes
        ],
    )


@pytest.mark.moto_fault("an attribute with a value stays, and is among the deleted all the same")
def test_a_deleted_attribute_is_gone_and_the_others_stay(face: Face) -> None:
    face.cluster("payments")
    first, second = face.register("payments", 2)
    for one in (first, second):
        put(face, one.arn, one="1", two="2")

    answer = delete(face, (first.arn, "one"), (first.arn, "three"))

    assert [one["name"] for one in answer["attributes"]] == ["one"]
    assert attributes_of(face, first.arn).get("two") == "2"
    assert "one" not in attributes_of(face, first.arn)
    assert attributes_of(face, second.arn).get("one") == "1"


def test_an_attribute_without_a_value_is_deleted_by_its_name(face: Face) -> None:
    face.cluster("payments")
    (there,) = face.register("payments")
    short = {"targetType": "container-instance", "targetId": there.arn.rpartition("/")[2]}
    face.client("ecs").put_attributes(cluster="payments", attributes=[{"name": ATTRIBUTE, **short}])
    assert ATTRIBUTE in attributes_of(face, there.arn)

    delete(face, (there.arn, ATTRIBUTE))

    assert ATTRIBUTE not in attributes_of(face, there.arn)


@pytest.mark.moto_fault("delete_attributes takes 11 attributes (AWS: 10), and a value with each")
def test_eleven_attributes_and_values_are_refused(face: Face) -> None:
    face.cluster("payments")
    (there,) = face.register("payments")
    ecs = face.client("ecs")
    named = {"name": ATTRIBUTE, "targetId": there.arn}

    def deleting(*attributes: dict[str, str]) -> str:
        return code_of(
            lambda: ecs.delete_attributes(cluster="payments", attributes=list(attributes))
        )

    eleven = [{**named, "name": f"{ATTRIBUTE}.{number}"} for number in range(11)]
    assert deleting(*eleven) == "InvalidParameterException"
    assert deleting({**named, "value": "1"}) == "InvalidParameterException"


def test_deleting_from_one_that_has_gone_is_an_error(face: Face) -> None:
    face.cluster("payments")
    (there,) = face.register("payments")
    gone = there.arn.rpartition("/")[0] + "/" + "0" * 32

    assert code_of(lambda: delete(face, (gone, ATTRIBUTE))) == "TargetNotFoundException"


# -- stacks


# A request is believed or not by this answer.
@pytest.mark.moto_fault("CloudFormation does not start without openapi-spec-validator")
def test_a_stack_that_does_not_exist_is_an_error(face: Face) -> None:
    stack_id = "arn:aws:cloudformation:us-east-1:123456789012:stack/slip/" + UNKNOWN_FLEET[4:]

    with pytest.raises(ClientError, match="does not exist") as refused:
        face.client("cloudformation").describe_stacks(StackName=stack_id)

    assert refused.value.response["Error"]["Code"] == "ValidationError"
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400


def test_a_stack_is_at_work_while_a_request_of_it_is_open(simulation: SimulationFace) -> None:
    account = simulation.account
    cloudformation = simulation.client("cloudformation")
    request = account.stacks.request("Create", {}, timeout_seconds=60)
    account.stacks.stack_id("another")

    def statuses() -> dict[str, str]:
        stacks = cloudformation.describe_stacks()["Stacks"]
        return {one["StackName"]: one["StackStatus"] for one in stacks}

    (by_id,) = cloudformation.describe_stacks(StackName=request.event["StackId"])["Stacks"]
    assert (by_id["StackName"], by_id["StackStatus"]) == ("shop", "UPDATE_IN_PROGRESS")
    assert statuses() == {"shop": "UPDATE_IN_PROGRESS", "another": "UPDATE_COMPLETE"}
    account.run_for(60)
    assert statuses() == {"shop": "UPDATE_COMPLETE", "another": "UPDATE_COMPLETE"}
