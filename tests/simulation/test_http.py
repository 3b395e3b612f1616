"""An unmodified boto3 finds the simulated account over AWS's own wire protocols."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from drainer.simulation.aws import Aws
from drainer.simulation.protocol.server import Server
from drainer.simulation.protocol.wire import render_answer
from drainer.simulation.services.messaging.delivery import SnsApi

if TYPE_CHECKING:
    from collections.abc import Iterator

START = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
NAMES = {"AutoScalingGroupName": "payments-asg", "LifecycleHookName": "drainer"}


@contextmanager
def serving(account: Aws, **given: Any) -> Iterator[Server]:
    server = Server(account, **given)
    with server:
        yield server
    # An exception inside the simulation is its own mistake, never part of a scenario.
    assert server.failures == []


@pytest.fixture
def account() -> Aws:
    account = Aws(now=START)
    account.auto_scaling.create_group("payments-asg", cluster="payments", desired=3)
    account.ecs.create_service("payments", "web", desired=3)
    return account


@pytest.fixture
def server(account: Aws) -> Iterator[Server]:
    with serving(account) as server:
        yield server


def client(server: Server, service: str) -> Any:
    return boto3.client(
        service,
        endpoint_url=server.url,
        region_name="us-east-1",
        aws_access_key_id="local",
        aws_secret_access_key="local",
        config=Config(retries={"total_max_attempts": 1}),
    )


def test_a_hook_and_its_action_go_there_and_back(account: Aws, server: Server) -> None:
    scaling = client(server, "autoscaling")
    scaling.put_lifecycle_hook(
        **NAMES,
        LifecycleTransition="autoscaling:EC2_INSTANCE_TERMINATING",
        HeartbeatTimeout=300,
        DefaultResult="CONTINUE",
        NotificationMetadata='{"cluster": "payments"} & <more>',
    )
    leaving = next(iter(account.auto_scaling.instances))
    activity = scaling.terminate_instance_in_auto_scaling_group(
        InstanceId=leaving, ShouldDecrementDesiredCapacity=True
    )["Activity"]

    (hook,) = scaling.describe_lifecycle_hooks(AutoScalingGroupName="payments-asg")[
        "LifecycleHooks"
    ]
    (instance,) = scaling.describe_auto_scaling_instances(InstanceIds=[leaving])[
        "AutoScalingInstances"
    ]
    scaling.record_lifecycle_action_heartbeat(**NAMES, InstanceId=leaving)
    scaling.complete_lifecycle_action(**NAMES, InstanceId=leaving, LifecycleActionResult="CONTINUE")

    assert activity["StartTime"] == START
    assert hook["NotificationMetadata"] == '{"cluster": "payments"} & <more>'
    assert hook["GlobalTimeout"] == 30_000
    assert instance["LifecycleState"] == "Terminating:Wait"
    assert instance["ProtectedFromScaleIn"] is False
    assert len(account.auto_scaling.actions[0].heartbeats) == 1
    assert account.auto_scaling.actions[0].result == "CONTINUE"


def test_groups_tell_their_instances(server: Server) -> None:
    (group,) = client(server, "autoscaling").describe_auto_scaling_groups(
        AutoScalingGroupNames=["payments-asg"]
    )["AutoScalingGroups"]

    assert (group["DesiredCapacity"], len(group["Instances"])) == (3, 3)
    assert group["CreatedTime"] == START


def test_container_instances_and_tasks_go_there_and_back(account: Aws, server: Server) -> None:
    ecs = client(server, "ecs")
    leaving = next(iter(account.auto_scaling.instances))

    arns = ecs.list_container_instances(
        cluster="payments", filter=f"ec2InstanceId in ['{leaving}']"
    )["containerInstanceArns"]
    ecs.update_container_instances_state(
        cluster="payments", containerInstances=arns, status="DRAINING"
    )
    (described,) = ecs.describe_container_instances(cluster="payments", containerInstances=arns)[
        "containerInstances"
    ]
    tasks = ecs.list_tasks(cluster="payments", containerInstance=arns[0])["taskArns"]
    (task,) = ecs.describe_tasks(cluster="payments", tasks=tasks)["tasks"]

    assert described["ec2InstanceId"] == leaving
    assert (described["status"], described["runningTasksCount"]) == ("DRAINING", 1)
    assert described["registeredAt"] == START - timedelta(days=1)
    assert (task["group"], task["lastStatus"]) == ("service:web", "RUNNING")


def test_targets_go_there_and_back(server: Server) -> None:
    balancing = client(server, "elbv2")
    (group,) = balancing.describe_target_groups()["TargetGroups"]

    health = balancing.describe_target_health(TargetGroupArn=group["TargetGroupArn"])

    assert [one["TargetHealth"]["State"] for one in health["TargetHealthDescriptions"]] == [
        "healthy"
    ] * 3


def test_messages_go_there_and_back(account: Aws, server: Server) -> None:
    topic = SnsApi(account).create_topic_named("drainer")
    sns = client(server, "sns")

    sns.publish(TopicArn=topic.arn, Message="{}", Subject="one")
    answer = sns.publish_batch(
        TopicArn=topic.arn,
        PublishBatchRequestEntries=[{"Id": "a", "Message": "x"}, {"Id": "b", "Message": ""}],
    )

    assert [one["Id"] for one in answer["Successful"]] == ["a"]
    assert [one["Code"] for one in answer["Failed"]] == ["InvalidParameter"]
    assert topic.published == 2


# Production matches errors by code and message; both must survive the wire, in both protocols.
def test_refusals_arrive_as_client_errors(server: Server) -> None:
    scaling, ecs = client(server, "autoscaling"), client(server, "ecs")
    scaling.put_lifecycle_hook(**NAMES, LifecycleTransition="autoscaling:EC2_INSTANCE_TERMINATING")

    with pytest.raises(ClientError) as over:
        scaling.complete_lifecycle_action(
            **NAMES, LifecycleActionToken="0" * 36, LifecycleActionResult="CONTINUE"
        )
    with pytest.raises(ecs.exceptions.ClusterNotFoundException) as missing:
        ecs.list_tasks(cluster="nobody")
    with pytest.raises(ClientError) as unknown:
        scaling.describe_policies()

    assert over.value.response["Error"]["Code"] == "ValidationError"
    assert over.value.response["Error"]["Message"].startswith("No active Lifecycle Action found")
    assert missing.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert unknown.value.response["Error"]["Code"] == "InvalidAction"


def test_pages_are_turned_by_boto3_s_own_paginators() -> None:
    account = Aws(now=START)
    account.auto_scaling.create_group("crowd", cluster="payments", desired=230)
    with serving(account) as server:
        arns = client(server, "ecs").get_paginator("list_container_instances")
        instances = client(server, "autoscaling").get_paginator("describe_auto_scaling_instances")
        pages = [len(page["containerInstanceArns"]) for page in arns.paginate(cluster="payments")]
        more = [len(page["AutoScalingInstances"]) for page in instances.paginate()]

    assert pages == [100, 100, 30]
    assert more == [50, 50, 50, 50, 30]


# The two faces are one account: what one answers the other must answer too.
@pytest.mark.parametrize(
    ("service", "operation", "parameters"),
    [
        ("ecs", "list_tasks", {"cluster": "payments"}),
        ("ecs", "describe_services", {"cluster": "payments", "services": ["web"]}),
        ("ecs", "describe_clusters", {"clusters": ["payments", "nobody"]}),
        ("autoscaling", "describe_auto_scaling_groups", {}),
        ("elbv2", "describe_target_groups", {}),
    ],
)
def test_both_faces_answer_alike(
    account: Aws, server: Server, service: str, operation: str, parameters: dict[str, Any]
) -> None:
    near = getattr(account.client(service), operation)(**parameters)
    far = getattr(client(server, service), operation)(**parameters)

    del near["ResponseMetadata"], far["ResponseMetadata"]
    # boto3 adds an empty NextToken to nothing, but empty members of XML may stay out.
    assert {name: value for name, value in far.items() if value} == {
        name: value for name, value in near.items() if value
    }


# Timers must fire although nobody calls: a hook times out in an account that is left alone.
def test_time_passes_between_calls(account: Aws) -> None:
    account.auto_scaling.scale_in("payments-asg", 1)
    clock = [START]
    terminated = threading.Event()

    def now() -> datetime:
        clock[0] += timedelta(seconds=1)
        if account.facts("terminated"):
            terminated.set()
        return clock[0]

    with serving(account, now=now):
        assert terminated.wait(10)


def test_a_call_sees_the_time_of_the_server_s_clock(account: Aws) -> None:
    account.auto_scaling.scale_in("payments-asg", 1)
    with serving(account, now=lambda: START + timedelta(minutes=5)) as server:
        (group,) = client(server, "autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]

    assert len(group["Instances"]) == 2


def test_calls_at_once_are_served_one_after_the_other(server: Server) -> None:
    ecs = client(server, "ecs")
    answers: list[int] = []

    def call() -> None:
        answers.extend(len(ecs.list_tasks(cluster="payments")["taskArns"]) for _ in range(20))

    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert answers == [3] * 160


def test_a_request_for_another_service_is_refused(server: Server) -> None:
    connection = HTTPConnection(urlsplit(server.url).netloc, timeout=5)

    connection.request("POST", "/", b"Action=DescribeRegions")
    answer = connection.getresponse()
    connection.close()

    assert answer.status == 400


# The models judge our answers, not only the requests: a misspelt member must not pass unseen.
def test_an_answer_with_a_member_that_aws_does_not_have_is_a_mistake() -> None:
    with pytest.raises(AssertionError, match="taskArn"):
        render_answer("ecs", "ListTasks", {"taskArn": []}, "request")


def test_nothing_listens_after_stop(account: Aws) -> None:
    with serving(account) as server:
        address = urlsplit(server.url).netloc
    server.stop()

    with pytest.raises(ConnectionRefusedError):
        HTTPConnection(address, timeout=2).connect()
