"""
Every call of the gateways: named in CALLS, valid by AWS's own model, its failures told apart.
"""

from __future__ import annotations

from inspect import isfunction
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError
from botocore.validate import ParamValidator

from drainer.aws import auto_scaling, calls, ecs, topic
from drainer.drain.model import LifecycleAction, LifecycleActionResult
from drainer.errors import (
    ClusterMissingError,
    LifecycleActionOverError,
    MisconfiguredError,
    RefusedError,
    ThrottledError,
    UnavailableError,
)
from drainer.simulation.protocol.client import service_model

if TYPE_CHECKING:
    from collections.abc import Callable

    from drainer.errors import DrainerError
    from tests.contract.faces import Face, SimulationFace

ARN = "arn:aws:ecs:us-east-1:123456789012:container-instance/payments/" + "0123456789abcdef" * 2
INSTANCE_ID = "i-0abcdef0123456789"
TOPIC_ARN = "arn:aws:sns:us-east-1:123456789012:drainer-Topic"
ACTION = LifecycleAction(
    "payments-asg", "drainer", INSTANCE_ID, "87654321-4321-4321-4321-210987654321"
)

# Every method of every gateway, with arguments of the kind that the controller gives it.
ASK: dict[str, Callable[[Face], object]] = {
    "lifecycle_states": lambda face: face.auto_scaling.lifecycle_states([INSTANCE_ID]),
    "group_names": lambda face: face.auto_scaling.group_names(),
    "states_in_groups": lambda face: face.auto_scaling.states_in_groups(["payments-asg"]),
    "retaining": lambda face: face.auto_scaling.retaining(["payments-asg"]),
    "states_in_warm_pool": lambda face: face.auto_scaling.states_in_warm_pool("payments-asg"),
    "lifecycle_hooks": lambda face: face.auto_scaling.lifecycle_hooks("payments-asg"),
    "record_heartbeat": lambda face: face.auto_scaling.record_heartbeat(ACTION),
    "complete": lambda face: face.auto_scaling.complete(ACTION, LifecycleActionResult.ABANDON),
    "clusters": lambda face: face.ecs.clusters(),
    "find": lambda face: face.ecs.find("payments", [INSTANCE_ID, "i-1234567890abcdef0"]),
    "describe": lambda face: face.ecs.describe("payments", [ARN]),
    "draining": lambda face: face.ecs.draining("payments"),
    "set_active": lambda face: face.ecs.set_active("payments", [ARN]),
    "deregister": lambda face: face.ecs.deregister("payments", ARN),
    "set_draining": lambda face: face.ecs.set_draining("payments", [ARN]),
    "put_attributes": lambda face: face.ecs.put_attributes(
        "payments", [(ARN, "drainer.pass.0badcafe", "-/7/1/2/3/4/0")]
    ),
    "task_ids": lambda face: face.ecs.task_ids("payments", ARN, desired_status="STOPPED"),
    "tasks": lambda face: face.ecs.tasks("payments", ["0123456789abcdef" * 2]),
    "stop_task": lambda face: face.ecs.stop_task("payments", "0123456789abcdef" * 2, "why"),
    "publish": lambda face: face.our_topic(TOPIC_ARN).publish(['{"drainer": "re-invocation"}']),
}
OPERATIONS = {
    "lifecycle_states": "DescribeAutoScalingInstances",
    "group_names": "DescribeAutoScalingGroups",
    "states_in_groups": "DescribeAutoScalingGroups",
    "retaining": "DescribeAutoScalingGroups",
    "states_in_warm_pool": "DescribeWarmPool",
    "lifecycle_hooks": "DescribeLifecycleHooks",
    "record_heartbeat": "RecordLifecycleActionHeartbeat",
    "complete": "CompleteLifecycleAction",
    "clusters": "ListClusters",
    "find": "ListContainerInstances",
    "describe": "DescribeContainerInstances",
    "draining": "ListContainerInstances",
    "set_active": "UpdateContainerInstancesState",
    "deregister": "DeregisterContainerInstance",
    "set_draining": "UpdateContainerInstancesState",
    "put_attributes": "PutAttributes",
    "task_ids": "ListTasks",
    "tasks": "DescribeTasks",
    "stop_task": "StopTask",
    "publish": "PublishBatch",
}
# How each service says it. ECS's JSON names the exception; the query services have shorter codes.
# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/CommonErrors.html
# https://docs.aws.amazon.com/autoscaling/ec2/APIReference/CommonErrors.html
THROTTLED = {"autoscaling": "Throttling", "ecs": "ThrottlingException", "sns": "Throttled"}
DENIED = {
    "autoscaling": "AccessDenied",
    "ecs": "AccessDeniedException",
    "sns": "AuthorizationError",
}
BROKEN = {"autoscaling": "InternalFailure", "ecs": "ServerException", "sns": "InternalError"}
METHODS = {name: service for service, names in calls.CALLS.items() for name in names}

EachMethod = pytest.mark.parametrize("method", ASK)


def refusal(simulation: SimulationFace, method: str) -> BaseException:
    """
    Ask, and return what is raised.
    """
    with pytest.raises(Exception) as caught:  # noqa: PT011 - the test looks at it
        ASK[method](simulation)
    return caught.value


def test_every_method_of_every_gateway_is_asked_here() -> None:
    gateways = (auto_scaling.AutoScalingGateway, ecs.EcsGateway, topic.TopicGateway)
    methods = {
        name
        for gateway in gateways
        for name, value in vars(gateway).items()
        if isfunction(value) and not name.startswith("_")
    }

    assert set(ASK) == methods
    assert set(OPERATIONS) == methods


# The role grants CALLS: one that is missing there is denied in the field, and nowhere before.
def test_defect_24_the_program_makes_exactly_the_calls_it_names(
    in_process: SimulationFace,
) -> None:
    for ask in ASK.values():
        try:
            ask(in_process)
        except (MisconfiguredError, LifecycleActionOverError):
            continue

    asked = {(one.service, one.operation) for one in in_process.asked}
    assert asked == {(service, name) for service, names in calls.CALLS.items() for name in names}
    assert [one.operation for one in in_process.asked] == list(OPERATIONS.values())


@EachMethod
def test_every_request_is_valid_by_the_services_own_model(
    in_process: SimulationFace, method: str
) -> None:
    in_process.refuse(OPERATIONS[method], "ThrottlingException")
    refusal(in_process, method)

    (asked,) = in_process.asked
    shape = service_model(asked.service).operation_model(asked.operation).input_shape
    report = ParamValidator().validate(asked.parameters, shape)
    assert report.generate_report() == ""


# One throttle taken for an answer kills tasks.
@EachMethod
def test_defect_07_a_throttle_is_unavailable(simulation: SimulationFace, method: str) -> None:
    operation = OPERATIONS[method]
    simulation.refuse(operation, THROTTLED[METHODS[operation]], message="Rate exceeded")

    error = refusal(simulation, method)

    assert type(error) is ThrottledError
    assert operation in str(error)
    assert "Rate exceeded" in str(error)


@EachMethod
@pytest.mark.parametrize("status", [500, 503])
def test_defect_07_a_fault_of_the_service_is_unavailable(
    simulation: SimulationFace, method: str, status: int
) -> None:
    operation = OPERATIONS[method]
    simulation.refuse(operation, BROKEN[METHODS[operation]], status=status)

    assert type(refusal(simulation, method)) is UnavailableError


# Somebody has to fix it, and is told which permission; it is no refusal of one among many.
@EachMethod
def test_defect_10_a_denied_call_is_misconfigured_and_names_itself(
    simulation: SimulationFace, method: str
) -> None:
    operation = OPERATIONS[method]
    code = DENIED[METHODS[operation]]
    simulation.refuse(operation, code, message="not authorized", status=403)

    error = refusal(simulation, method)

    assert type(error) is MisconfiguredError
    assert f"{operation}: {code}" in str(error)


# ResourceContention, HTTP status 500: "You already have a pending update to a resource".
@pytest.mark.parametrize("method", ["record_heartbeat", "complete"])
def test_contention_is_unavailable(simulation: SimulationFace, method: str) -> None:
    simulation.refuse(OPERATIONS[method], "ResourceContention", status=500)

    assert type(refusal(simulation, method)) is UnavailableError


@pytest.mark.parametrize(
    ("code", "message", "status", "kind"),
    [
        ("ValidationError", "No active Lifecycle Action found with token 8765", 400, "over"),
        ("ValidationError", "No active Lifecycle Action found with instance ID i-1", 400, "over"),
        ("ValidationError", "AutoScalingGroup name not found - payments", 400, "refused"),
        ("ValidationError", "1 validation error detected", 400, "refused"),
        ("InternalFailure", "No active Lifecycle Action found with token 8765", 500, "unavailable"),
        ("InvalidParameterException", "No active Lifecycle Action found", 400, "refused"),
        ("ClientException", "", 400, "refused"),
        ("ClusterNotFoundException", "Cluster not found.", 400, "cluster missing"),
        ("ServiceUnavailable", "", 503, "unavailable"),
        ("RequestLimitExceeded", "", 400, "throttled"),
        ("TooManyRequestsException", "", 429, "throttled"),
        ("UnrecognizedClientException", "", 400, "misconfigured"),
        ("ExpiredTokenException", "", 400, "misconfigured"),
        ("", "", 0, "misconfigured"),
    ],
)
def test_defect_09_each_error_is_told_by_code_and_status(
    code: str, message: str, status: int, kind: str
) -> None:
    kinds: dict[str, type[DrainerError]] = {
        "over": LifecycleActionOverError,
        "refused": RefusedError,
        "throttled": ThrottledError,
        "unavailable": UnavailableError,
        "cluster missing": ClusterMissingError,
        "misconfigured": MisconfiguredError,
    }
    response: Any = {
        "Error": {"Code": code, "Message": message},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }

    error = calls.translated(ClientError(response, "SomeOperation"))

    assert type(error) is kinds[kind]
    assert str(error).startswith("SomeOperation")
