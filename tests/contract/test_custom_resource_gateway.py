"""
What a custom resource's target is, asked of each face of the account; and what a failed look is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.stub import Stubber

from drainer.aws.calls import PAGES_MAX
from drainer.aws.custom_resource import TargetGateway
from drainer.custom_resource.properties import DrainTarget, Status, TargetKind
from drainer.custom_resource.stack import Row, Stack
from drainer.drain.model import LifecycleActionResult, Policy, StandaloneTasks
from drainer.errors import MisconfiguredError, UnavailableError
from tests.contract.faces import START

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.contract.faces import Face, SimulationFace

UNKNOWN_FLEET = "sfr-00000000-0000-4000-8000-000000000000"
POLICY = Policy(None, 3600, LifecycleActionResult.CONTINUE, StandaloneTasks.WAIT, 300)
ATTRIBUTE = "drainer.custom-resource"
STACK_ID = "arn:aws:cloudformation:us-east-1:123456789012:stack/slip/" + UNKNOWN_FLEET[4:]


def target(kind: TargetKind, name: str) -> DrainTarget:
    return DrainTarget("payments", kind, name, POLICY, Status.FAILED)


def fleet(fleet_id: str = UNKNOWN_FLEET) -> DrainTarget:
    return target(TargetKind.SPOT_FLEET, fleet_id)


def gateway(face: Face) -> TargetGateway:
    return TargetGateway(face.client)


# -- whose instances they are


def test_a_fleets_instances_are_told(face: Face) -> None:
    fleet_id = face.fleet("payments", 3)
    face.fleet("payments", 2)
    rows = face.client("ec2").describe_spot_fleet_instances(SpotFleetRequestId=fleet_id)

    found = gateway(face).instances(fleet(fleet_id))

    assert found is not None
    assert len(found) == 3
    assert sorted(found) == sorted(row["InstanceId"] for row in rows["ActiveInstances"])


def test_a_fleet_that_is_cancelled_has_no_instances_but_is_no_typo(face: Face) -> None:
    fleet_id = face.fleet("payments", 2)
    face.client("ec2").cancel_spot_fleet_requests(
        SpotFleetRequestIds=[fleet_id], TerminateInstances=True
    )

    assert gateway(face).instances(fleet(fleet_id)) == []


@pytest.mark.moto_fault("an unknown fleet has no instances, instead of an error")
def test_a_fleet_that_is_not_there_is_no_target(face: Face) -> None:
    # To a Delete it is drained, to a Create it is a typo; no instances at all is neither.
    assert gateway(face).instances(fleet()) is None


def test_a_groups_instances_are_told(face: Face) -> None:
    ids = face.group("payments-asg", 3)
    face.group("orders-asg", 1)

    found = gateway(face).instances(target(TargetKind.AUTO_SCALING_GROUP, "payments-asg"))

    assert found is not None
    assert sorted(found) == sorted(ids)


def test_a_group_that_is_not_there_is_no_target(face: Face) -> None:
    face.group("payments-asg", 1)

    assert gateway(face).instances(target(TargetKind.AUTO_SCALING_GROUP, "payments")) is None


def test_a_group_without_instances_is_there(face: Face) -> None:
    face.group("payments-asg", 0)

    assert gateway(face).instances(target(TargetKind.AUTO_SCALING_GROUP, "payments-asg")) == []


def test_a_capacity_providers_instances_are_its_groups(face: Face) -> None:
    ids = face.group("payments-asg", 2)
    face.capacity_provider("payments-cp", "payments-asg")

    found = gateway(face).instances(target(TargetKind.CAPACITY_PROVIDER, "payments-cp"))

    assert found is not None
    assert sorted(found) == sorted(ids)


def test_a_capacity_provider_that_is_not_there_is_no_target(face: Face) -> None:
    assert gateway(face).instances(target(TargetKind.CAPACITY_PROVIDER, "slip")) is None


@pytest.mark.moto_fault("without the two of Fargate")
def test_a_capacity_provider_without_a_group_is_no_target(face: Face) -> None:
    # Fargate's have no instances that could be drained.
    assert gateway(face).instances(target(TargetKind.CAPACITY_PROVIDER, "FARGATE_SPOT")) is None


# -- the cluster, and the stack


@pytest.mark.parametrize("by", ["name", "ARN"])
def test_a_cluster_is_known_by_its_name_and_by_its_arn(face: Face, by: str) -> None:
    arn = face.cluster("payments")

    assert gateway(face).cluster_exists(arn if by == "ARN" else "payments")


def test_a_cluster_that_is_not_there_is_not(face: Face) -> None:
    face.cluster("payments")

    assert not gateway(face).cluster_exists("payment")


def test_a_cluster_that_was_deleted_is_not_there(simulation: SimulationFace) -> None:
    # ECS goes on describing it for a while.
    simulation.cluster("payments")
    simulation.account.ecs.clusters["payments"].status = "INACTIVE"

    assert not gateway(simulation).cluster_exists("payments")


@pytest.mark.moto_fault("CloudFormation does not start without openapi-spec-validator")
def test_a_stack_that_does_not_exist_has_no_status(face: Face) -> None:
    assert gateway(face).stack(STACK_ID) == Stack("")


def test_a_stack_is_at_work_while_it_waits_and_lists_who_is_asked(
    simulation: SimulationFace,
) -> None:
    request = simulation.account.stacks.request("Create", {}, timeout_seconds=60)
    look = gateway(simulation).stack
    asking = look(request.event["StackId"])
    simulation.account.run_for(60)
    at_rest = look(request.event["StackId"])

    row = Row("Drain", "", "Custom::ECSDrain", "CREATE_IN_PROGRESS", START)
    assert asking == Stack("UPDATE_IN_PROGRESS", START, (row,))
    assert at_rest.status == "UPDATE_COMPLETE"
    assert [one.status for one in at_rest.rows] == ["CREATE_FAILED"]


def test_a_group_is_known_by_the_tag_of_the_stack_that_has_made_it(
    simulation: SimulationFace,
) -> None:
    # Which of two groups goes when an update goes back, nothing else tells.
    simulation.group("payments-asg", 1)
    simulation.group("orders-asg", 1)
    groups = simulation.account.auto_scaling.groups
    groups["payments-asg"].tags = {"Name": "x", "aws:cloudformation:stack-id": STACK_ID}
    made_by = gateway(simulation).made_by

    assert made_by("payments-asg") == STACK_ID
    assert made_by("orders-asg") == made_by("no-such-asg") == ""


def test_a_capacity_provider_has_the_instances_of_its_group(face: Face) -> None:
    face.group("payments-asg", 1)
    face.capacity_provider("payments-cp", "payments-asg")
    group = gateway(face).group

    assert group(target(TargetKind.CAPACITY_PROVIDER, "payments-cp")) == "payments-asg"
    assert group(target(TargetKind.AUTO_SCALING_GROUP, "orders-asg")) == "orders-asg"
    assert group(target(TargetKind.CAPACITY_PROVIDER, "slip")) == group(fleet()) == ""


# -- back to ACTIVE


def test_what_was_draining_is_active_again(face: Face) -> None:
    face.cluster("payments")
    first, second = face.register("payments", 2)
    face.ecs.set_draining("payments", [first.arn, second.arn])

    assert gateway(face).set_active("payments", [first.arn]) == {}

    described = {one.arn: one.status for one in face.ecs.describe("payments", [first.arn])}
    assert described == {first.arn: "ACTIVE"}


@pytest.mark.moto_fault("the ARN of a failure lacks the cluster")
def test_one_that_has_gone_is_refused_by_its_arn(face: Face) -> None:
    face.cluster("payments")
    (there,) = face.register("payments")
    gone = there.arn.rpartition("/")[0] + "/" + "0" * 32

    refusals = gateway(face).set_active("payments", [gone])

    assert list(refusals) == [gone]
    assert refusals[gone]


@pytest.mark.moto_fault("an attribute that has a value is not deleted without it")
def test_the_attribute_of_each_is_deleted_and_no_other(face: Face) -> None:
    # One that stays would have a later rollback set ACTIVE what somebody else drains.
    face.cluster("payments")
    one, two, three = (instance.arn for instance in face.register("payments", 3))
    values = [(arn, ATTRIBUTE, "1a2b") for arn in (one, two, three)]
    face.ecs.put_attributes("payments", values)

    gateway(face).delete_attribute("payments", [one, two], ATTRIBUTE)

    drained_for = [instance.drained_for for instance in face.ecs.describe("payments", [one, two])]
    [other] = face.ecs.describe("payments", [three])
    assert (set(drained_for), other.drained_for) == ({""}, "1a2b")


# -- looks that fail


@dataclass(frozen=True)
class Look:
    """
    One question of a gateway, and the operation by which it is asked.
    """

    service: str
    operation: str
    ask: Callable[[TargetGateway], object]


LOOKS = {
    "a stack": Look("cloudformation", "describe_stacks", lambda one: one.stack(STACK_ID)),
    "a cluster": Look("ecs", "describe_clusters", lambda one: one.cluster_exists("payments")),
    "a fleet": Look("ec2", "describe_spot_fleet_instances", lambda one: one.instances(fleet())),
    "a group": Look(
        "autoscaling",
        "describe_auto_scaling_groups",
        lambda one: one.instances(target(TargetKind.AUTO_SCALING_GROUP, "payments-asg")),
    ),
    "a capacity provider": Look(
        "ecs",
        "describe_capacity_providers",
        lambda one: one.instances(target(TargetKind.CAPACITY_PROVIDER, "payments-cp")),
    ),
    "setting ACTIVE": Look(
        "ecs", "update_container_instances_state", lambda one: one.set_active("payments", ["arn"])
    ),
    "deleting an attribute": Look(
        "ecs",
        "delete_attributes",
        lambda one: one.delete_attribute("payments", ["arn"], ATTRIBUTE),
    ),
}
THROTTLES = {
    "autoscaling": "Throttling",
    "cloudformation": "Throttling",
    "dynamodb": "ProvisionedThroughputExceededException",
    "ec2": "RequestLimitExceeded",
    "ecs": "ThrottlingException",
}
DENIALS = {"ec2": "UnauthorizedOperation", "autoscaling": "AccessDenied"}


def stubbed(service: str) -> Stubber:
    return Stubber(
        boto3.client(
            service,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )
    )


@pytest.mark.parametrize("name", LOOKS)
def test_a_throttled_look_has_seen_nothing(name: str) -> None:
    # "No such fleet" for a throttle would be answered with SUCCESS, over running tasks.
    look = LOOKS[name]
    stub = stubbed(look.service)
    stub.add_client_error(look.operation, THROTTLES[look.service], "Rate exceeded")

    with stub, pytest.raises(UnavailableError, match="Rate exceeded"):
        look.ask(TargetGateway(lambda _: stub.client))


@pytest.mark.parametrize("name", LOOKS)
def test_a_fault_of_the_service_is_no_answer(name: str) -> None:
    look = LOOKS[name]
    stub = stubbed(look.service)
    stub.add_client_error(look.operation, "InternalFailure", "", http_status_code=500)

    with stub, pytest.raises(UnavailableError):
        look.ask(TargetGateway(lambda _: stub.client))


@pytest.mark.parametrize("name", LOOKS)
def test_a_denied_look_is_somebodys_to_fix(name: str) -> None:
    look = LOOKS[name]
    stub = stubbed(look.service)
    code = DENIALS.get(look.service, "AccessDeniedException")
    stub.add_client_error(look.operation, code, "not authorized")

    with stub, pytest.raises(MisconfiguredError, match="not authorized"):
        look.ask(TargetGateway(lambda _: stub.client))


class Odd:
    """
    A client that answers everything with nothing in particular.
    """

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return lambda **_: {"Message": "well"}


@pytest.mark.parametrize("name", [name for name in LOOKS if name.startswith("a ")])
def test_an_answer_that_lacks_what_is_documented_is_no_answer(name: str) -> None:
    # A proxy, or a change of the API: an empty list made of it would be "drained".
    def odd(_: str) -> Any:
        return Odd()

    with pytest.raises(UnavailableError, match="unexpected answer"):
        LOOKS[name].ask(TargetGateway(odd))


def ask_fleet(*answers: dict[str, Any] | str) -> list[str] | None:
    """Ask for a fleet's instances; the answers are pages, or codes of errors."""
    stub = stubbed("ec2")
    token: dict[str, str] = {}
    for answer in answers:
        expected = {"SpotFleetRequestId": UNKNOWN_FLEET, "MaxResults": 1000, **token}
        if isinstance(answer, str):
            stub.add_client_error("describe_spot_fleet_instances", answer, "", 400, None, expected)
        else:
            stub.add_response("describe_spot_fleet_instances", answer, expected)
            token = {"NextToken": answer.get("NextToken", "")}
    with stub:
        found = TargetGateway(lambda _: stub.client).instances(fleet())
        stub.assert_no_pending_responses()
    return found


def page(*ids: str, following: str = "") -> dict[str, Any]:
    rows: dict[str, Any] = {"ActiveInstances": [{"InstanceId": one} for one in ids]}
    return {**rows, "NextToken": following} if following else rows


def test_a_large_fleet_is_read_to_its_last_page() -> None:
    # An empty page in between is not the last.
    pages = page("i-1", following="a"), page(following="b"), page("i-2")

    assert ask_fleet(*pages) == ["i-1", "i-2"]


def test_a_fleet_whose_second_page_fails_has_not_been_seen() -> None:
    with pytest.raises(UnavailableError):
        ask_fleet(page("i-1", following="a"), "RequestLimitExceeded")


def test_a_fleet_without_end_is_not_read_for_ever() -> None:
    pages = [page("i-1", following="on") for _ in range(PAGES_MAX)]

    with pytest.raises(UnavailableError, match="more than 200 pages"):
        ask_fleet(*pages)


def test_a_fleet_that_is_gone_is_known_by_its_code() -> None:
    # moto knows no such error.
    assert ask_fleet("InvalidSpotFleetRequestId.NotFound") is None


@pytest.mark.parametrize("code", ["InvalidSpotFleetRequestId.Malformed", "InvalidParameterValue"])
def test_a_fleet_that_cannot_be_one_is_not_taken_for_gone(code: str) -> None:
    with pytest.raises(MisconfiguredError, match=code):
        ask_fleet(code)


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("a cluster", {"clusters": [], "failures": [{"arn": "payments", "reason": "THROTTLED"}]}),
        (
            "a capacity provider",
            {"capacityProviders": [], "failures": [{"arn": "cp", "reason": "INTERNAL"}]},
        ),
    ],
)
def test_a_failure_that_is_not_missing_is_a_failed_look(name: str, answer: dict[str, Any]) -> None:
    look = LOOKS[name]
    stub = stubbed("ecs")
    stub.add_response(look.operation, answer)

    with stub, pytest.raises(UnavailableError):
        look.ask(TargetGateway(lambda _: stub.client))


# -- a stack and its resources


def resource(logical_id: str, **changes: Any) -> dict[str, Any]:
    """A custom resource of ours, as its stack lists it."""
    return {
        "LogicalResourceId": logical_id,
        "PhysicalResourceId": "sfr-1",
        "ResourceType": "Custom::ECSDrain",
        "ResourceStatus": "CREATE_COMPLETE",
        "LastUpdatedTimestamp": START,
        **changes,
    }


def look_at(*pages_of_rows: list[dict[str, Any]] | str, **described: Any) -> Stack:
    """Look at a stack that lists these resources; a page may be the code of an error."""
    stub = stubbed("cloudformation")
    row = {"StackName": "shop", "CreationTime": START, "StackStatus": "UPDATE_IN_PROGRESS"}
    stub.add_response("describe_stacks", {"Stacks": [row | described]}, {"StackName": STACK_ID})
    token: dict[str, str] = {}
    for number, rows in enumerate(pages_of_rows, 1):
        if isinstance(rows, str):
            stub.add_client_error("list_stack_resources", rows, "for the test")
            break
        more = {"NextToken": f"{number}"} if number < len(pages_of_rows) else {}
        answer = {"StackResourceSummaries": rows, **more}
        stub.add_response("list_stack_resources", answer, {"StackName": STACK_ID, **token})
        token = more
    with stub:
        return TargetGateway(lambda _: stub.client).stack(STACK_ID)


def test_every_page_of_a_stacks_resources_is_read() -> None:
    # The row that makes a request true may stand on the last one.
    young = resource("Young")
    del young["PhysicalResourceId"]

    found = look_at([resource("Drain")], [], [young], LastUpdatedTime=START)

    rows = [(row.logical_id, row.physical_id, row.changed_at) for row in found.rows]
    assert rows == [("Drain", "sfr-1", START), ("Young", "", START)]
    assert (found.status, found.changed_at) == ("UPDATE_IN_PROGRESS", START)


def test_a_stack_whose_resources_could_not_be_read_has_not_been_seen() -> None:
    # Half of a look would make a true request look forged.
    with pytest.raises(UnavailableError):
        look_at([resource("Drain")], "Throttling")
    with pytest.raises(MisconfiguredError):
        look_at("AccessDenied")
