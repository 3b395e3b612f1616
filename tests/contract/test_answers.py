"""
Answers that are not what AWS documents: each is a look that failed, never one that saw nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.stub import Stubber

from drainer.aws.auto_scaling import AutoScalingGateway
from drainer.aws.calls import PAGES_MAX
from drainer.aws.ecs import EcsGateway
from drainer.aws.topic import TopicGateway
from drainer.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

INSTANCE_ID = "i-0abcdef0123456789"
ARN = "arn:aws:ecs:us-east-1:123456789012:container-instance/payments/" + "0123456789abcdef" * 2
TASK_ID = "fedcba9876543210" * 2
TOPIC_ARN = "arn:aws:sns:us-east-1:123456789012:drainer-Topic"

Read = tuple[str, str, "Callable[[Any], object]"]
LIFECYCLE_STATES: Read = (
    "autoscaling",
    "describe_auto_scaling_instances",
    lambda client: AutoScalingGateway(client).lifecycle_states([INSTANCE_ID]),
)
GROUP_NAMES: Read = (
    "autoscaling",
    "describe_auto_scaling_groups",
    lambda client: AutoScalingGateway(client).group_names(),
)
STATES_IN_GROUPS: Read = (
    "autoscaling",
    "describe_auto_scaling_groups",
    lambda client: AutoScalingGateway(client).states_in_groups(["payments-asg"]),
)
STATES_IN_WARM_POOL: Read = (
    "autoscaling",
    "describe_warm_pool",
    lambda client: AutoScalingGateway(client).states_in_warm_pool("payments-asg"),
)
HOOKS: Read = (
    "autoscaling",
    "describe_lifecycle_hooks",
    lambda client: AutoScalingGateway(client).lifecycle_hooks("payments-asg"),
)
CLUSTERS: Read = ("ecs", "list_clusters", lambda client: EcsGateway(client).clusters())
FIND: Read = (
    "ecs",
    "list_container_instances",
    lambda client: EcsGateway(client).find("payments", [INSTANCE_ID]),
)
DESCRIBE: Read = (
    "ecs",
    "describe_container_instances",
    lambda client: EcsGateway(client).describe("payments", [ARN]),
)
DRAINING: Read = (
    "ecs",
    "list_container_instances",
    lambda client: EcsGateway(client).draining("payments"),
)
TASK_IDS: Read = (
    "ecs",
    "list_tasks",
    lambda client: EcsGateway(client).task_ids("payments", ARN, desired_status="STOPPED"),
)
TASKS: Read = (
    "ecs",
    "describe_tasks",
    lambda client: EcsGateway(client).tasks("payments", [TASK_ID]),
)
PUBLISH: Read = (
    "sns",
    "publish_batch",
    lambda client: TopicGateway(client, TOPIC_ARN).publish(["{}"]),
)
TASK_ARN = f"arn:aws:ecs:us-east-1:123456789012:task/payments/{TASK_ID}"


class Answering:
    """
    A client that gives one answer to everything, and counts.
    """

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.asked = 0

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def ask(**_: Any) -> Any:
            self.asked += 1
            return self.answer

        return ask


def ask(read: Read, answer: dict[str, Any]) -> object:
    """
    Ask real boto3, which gets an answer that passes its own model.
    """
    service, method, look = read
    client = boto3.client(
        service,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    with Stubber(client) as stubber:
        stubber.add_response(method, answer)
        return look(client)


@pytest.mark.parametrize(
    "read",
    [
        pytest.param(LIFECYCLE_STATES, id="lifecycle_states"),
        pytest.param(STATES_IN_WARM_POOL, id="states_in_warm_pool"),
        pytest.param(HOOKS, id="lifecycle_hooks"),
        pytest.param(CLUSTERS, id="clusters"),
        pytest.param(FIND, id="find"),
        pytest.param(DESCRIBE, id="describe"),
        pytest.param(DRAINING, id="draining"),
        pytest.param(TASK_IDS, id="task_ids"),
        pytest.param(TASKS, id="tasks"),
    ],
)
# An empty answer read as "no container instance" or "no tasks" lets go what is in full service.
def test_defect_10_an_answer_without_its_list_is_a_failed_look(read: Read) -> None:
    with pytest.raises(UnavailableError):
        ask(read, {})


@pytest.mark.parametrize(
    ("read", "answer"),
    [
        pytest.param(
            LIFECYCLE_STATES,
            {"AutoScalingInstances": [{"InstanceId": INSTANCE_ID}]},
            id="an instance without a state",
        ),
        pytest.param(GROUP_NAMES, {}, id="no groups' names"),
        pytest.param(STATES_IN_GROUPS, {}, id="no groups"),
        pytest.param(
            STATES_IN_GROUPS,
            {"AutoScalingGroups": [{"AutoScalingGroupName": "payments-asg"}]},
            id="a group without instances",
        ),
        pytest.param(
            STATES_IN_WARM_POOL,
            {"Instances": [{"InstanceId": INSTANCE_ID}]},
            id="an instance of a warm pool without a state",
        ),
        pytest.param(
            HOOKS,
            {"LifecycleHooks": [{"LifecycleHookName": "drainer"}]},
            id="a hook without a heartbeat timeout",
        ),
        pytest.param(
            DESCRIBE,
            {"containerInstances": [{"containerInstanceArn": ARN, "status": "DRAINING"}]},
            id="a container instance without counts",
        ),
        pytest.param(
            DESCRIBE,
            {
                "containerInstances": [
                    {"containerInstanceArn": ARN, "runningTasksCount": 0, "pendingTasksCount": 0}
                ]
            },
            id="a container instance without a status",
        ),
        pytest.param(
            TASKS,
            {"tasks": [{"taskArn": TASK_ARN, "desiredStatus": "STOPPED"}]},
            id="a task without a last status",
        ),
    ],
)
def test_defect_10_a_thing_without_what_counts_is_a_failed_look(
    read: Read, answer: dict[str, Any]
) -> None:
    with pytest.raises(UnavailableError, match="unexpected answer"):
        read[2](Answering(answer))


# MISSING is an answer. Whatever else could not be described may be alive.
@pytest.mark.parametrize("reason", ["ACCESS_DENIED", "UNKNOWN", None])
@pytest.mark.parametrize(
    ("read", "key"),
    [
        pytest.param(DESCRIBE, "containerInstances", id="describe"),
        pytest.param(TASKS, "tasks", id="tasks"),
    ],
)
def test_defect_10_a_failure_other_than_missing_is_a_failed_look(
    read: Read, key: str, reason: str | None
) -> None:
    failure = {"arn": ARN, **({"reason": reason} if reason else {})}

    with pytest.raises(UnavailableError):
        ask(read, {key: [], "failures": [failure]})


# A re-invocation that AWS did not say it took is a chain that nobody goes on with.
@pytest.mark.parametrize(
    "answer",
    [
        pytest.param({"Successful": [], "Failed": []}, id="neither taken nor refused"),
        pytest.param({"Successful": [{"Id": "1", "MessageId": "m"}]}, id="another was taken"),
    ],
)
def test_defect_08_a_message_that_is_not_among_the_successful_is_refused(
    answer: dict[str, Any],
) -> None:
    refusals: Any = ask(PUBLISH, answer)

    assert list(refusals) == [0]


def test_defect_08_an_answer_that_names_no_message_confirms_none() -> None:
    try:
        refusals: Any = ask(PUBLISH, {})
    except UnavailableError:
        refusals = {0: "all of them"}

    assert list(refusals) == [0]


# An endless answer must not hold the invocation until Lambda ends it, undone.
@pytest.mark.parametrize(
    ("look", "answer"),
    [
        pytest.param(FIND[2], {"containerInstanceArns": [ARN], "nextToken": "on"}, id="find"),
        pytest.param(TASK_IDS[2], {"taskArns": [TASK_ARN], "nextToken": "on"}, id="task_ids"),
        pytest.param(CLUSTERS[2], {"clusterArns": [], "nextToken": "on"}, id="clusters"),
        pytest.param(
            LIFECYCLE_STATES[2],
            {"AutoScalingInstances": [], "NextToken": "on"},
            id="lifecycle_states",
        ),
        pytest.param(GROUP_NAMES[2], {"AutoScalingGroups": [], "NextToken": "on"}, id="groups"),
        pytest.param(
            STATES_IN_WARM_POOL[2], {"Instances": [], "NextToken": "on"}, id="a warm pool"
        ),
    ],
)
def test_pages_without_an_end_are_a_failed_look(
    look: Callable[[Any], object], answer: dict[str, Any]
) -> None:
    client = Answering(answer)

    with pytest.raises(UnavailableError, match=str(PAGES_MAX)):
        look(client)

    assert client.asked == PAGES_MAX


@pytest.mark.parametrize("answer", [None, [], "words", {"failures": 3}])
def test_an_answer_of_another_kind_is_a_failed_look(answer: Any) -> None:
    for _, _, look in (LIFECYCLE_STATES, HOOKS, FIND, DESCRIBE, TASK_IDS, TASKS):
        with pytest.raises(UnavailableError):
            look(Answering(answer))


# A forced deregistration leaves containers that run and that nobody knows of.
def test_a_container_instance_that_has_tasks_is_not_deregistered_by_force() -> None:
    asked: list[dict[str, Any]] = []

    class Client:
        def deregister_container_instance(self, **parameters: Any) -> dict[str, Any]:
            asked.append(parameters)
            return {"containerInstance": {}}

    EcsGateway(Client()).deregister("payments", ARN)

    assert [one["force"] for one in asked] == [False]


# Taken for connected, an instance whose agent reports nothing would be released on old answers.
def test_an_agent_of_which_ecs_says_nothing_is_not_connected() -> None:
    row = {
        "containerInstanceArn": ARN, "status": "DRAINING",
        "runningTasksCount": 0, "pendingTasksCount": 0,
    }  # fmt: skip

    found: Any = ask(DESCRIBE, {"containerInstances": [row], "failures": []})

    assert [one.agent_connected for one in found] == [False]


# Taken for free, an instance with a task that starts would be left out of the first listing.
@pytest.mark.parametrize(
    ("resources", "is_free"),
    [
        pytest.param([100, 100], True, id="all of it remains"),
        pytest.param([100, 99], False, id="some is taken"),
        pytest.param([None, None], False, id="it is not told"),
        pytest.param([100, None], False, id="what remains is not told"),
        pytest.param([None, 100], False, id="what is registered is not told"),
    ],
)
def test_memory_is_free_only_where_ecs_says_so(resources: list[int | None], is_free: bool) -> None:
    def shaped(mebibytes: int | None) -> list[dict[str, Any]]:
        cpu = {"name": "CPU", "type": "INTEGER", "integerValue": 2_048}
        memory = {"name": "MEMORY", "type": "INTEGER", "integerValue": mebibytes}
        return [cpu] if mebibytes is None else [cpu, memory]

    registered, remaining = map(shaped, resources)
    row = {
        "containerInstanceArn": ARN, "status": "DRAINING",
        "runningTasksCount": 0, "pendingTasksCount": 0,
        "registeredResources": registered, "remainingResources": remaining,
    }  # fmt: skip

    found: Any = ask(DESCRIBE, {"containerInstances": [row], "failures": []})

    assert [one.memory_is_free for one in found] == [is_free]
