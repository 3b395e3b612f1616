"""
What ECS does that makes a drain harder: each unkindness once, with its source.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from drainer.simulation.scenario.stopped_crowd import add_stopped_tasks
from drainer.simulation.services.ecs.answer_lag import ANSWER_LAG_SECONDS_MAX
from drainer.simulation.services.ecs.definitions import DEAF, TaskProfile

if TYPE_CHECKING:
    from drainer.simulation.services.ecs.answer_lag import AnswerKind
    from drainer.simulation.services.ecs.model import ContainerInstance, Task
    from tests.contract.faces import SimulationFace

# Every view in turn lies behind, and the others do not.
LAG_SECONDS = 15.0
JOB = TaskProfile(start_seconds=5.0, run_seconds=100.0, stop_seconds=10.0)


class Shop:
    """
    A cluster with one container instance that has been there for long.
    """

    def __init__(self, face: SimulationFace) -> None:
        self.face = face
        self.account = face.account
        self.ecs = face.account.ecs
        self.client = face.client("ecs")
        self.ecs.create_cluster("payments")
        self.instance: ContainerInstance = self.ecs.register("payments", "i-0123456789abcdef0")
        self.account.run_for(3_600)

    def run(self, profile: TaskProfile = JOB, *, already_running: bool = True) -> Task:
        return self.ecs.run_standalone(
            "payments",
            self.instance.ec2_instance_id,
            profile=profile,
            already_running=already_running,
        )

    def listed(self, desired_status: str) -> list[str]:
        found: list[str] = []
        pages = self.client.get_paginator("list_tasks").paginate(
            cluster="payments", containerInstance=self.instance.arn, desiredStatus=desired_status
        )
        for page in pages:
            found += page["taskArns"]
        return found

    def described(self, arn: str) -> dict[str, Any] | None:
        answer = self.client.describe_tasks(cluster="payments", tasks=[arn])
        assert len(answer["tasks"]) + len(answer["failures"]) == 1
        return answer["tasks"][0] if answer["tasks"] else None

    def container_instance(self) -> dict[str, Any]:
        (described,) = self.client.describe_container_instances(
            cluster="payments", containerInstances=[self.instance.arn]
        )["containerInstances"]
        return dict(described)

    def free_mebibytes(self) -> tuple[int, int]:
        described = self.container_instance()
        (all_of_it,), (left,) = described["registeredResources"], described["remainingResources"]
        return all_of_it["integerValue"], left["integerValue"]

    def registered(self, ec2_instance_id: str, cluster: str = "payments") -> list[str]:
        found: list[str] = self.client.list_container_instances(
            cluster=cluster, filter=f"ec2InstanceId == {ec2_instance_id}"
        )["containerInstanceArns"]
        return found

    def behind(self, kind: AnswerKind, seconds: float = LAG_SECONDS) -> None:
        self.ecs.lags.set({kind: seconds})


@pytest.fixture
def shop(simulation: SimulationFace) -> Shop:
    return Shop(simulation)


# Who takes free memory for "no task is left" cuts a task that still serves its last requests.
# https://github.com/aws/containers-roadmap/issues/575
# https://github.com/aws/amazon-ecs-agent/issues/4106
def test_what_a_stopping_task_takes_counts_as_free_at_once(shop: Shop) -> None:
    task = shop.run()
    all_of_it, left = shop.free_mebibytes()
    assert left < all_of_it

    shop.client.stop_task(cluster="payments", task=task.arn)

    assert task.last_status == "STOPPING"
    assert shop.free_mebibytes() == (all_of_it, all_of_it)


# A task that changes from one listing to the other is in neither of them for a while: nothing is
# listed, and a container runs.
# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RunTask.html (eventual consistency)
def test_a_task_that_is_told_to_stop_can_be_in_neither_listing(shop: Shop) -> None:
    task = shop.run(TaskProfile(stop_seconds=60, stop_timeout_seconds=60))
    shop.behind("ListTasks STOPPED")

    shop.client.stop_task(cluster="payments", task=task.arn)

    assert shop.listed("RUNNING") + shop.listed("STOPPED") == []
    shop.account.run_for(LAG_SECONDS)
    assert task.remains
    assert shop.listed("STOPPED") == [task.arn]


# The other way round it is in both.
def test_a_task_that_is_told_to_stop_can_be_in_both_listings(shop: Shop) -> None:
    task = shop.run(TaskProfile(stop_seconds=60, stop_timeout_seconds=60))
    shop.behind("ListTasks RUNNING")

    shop.client.stop_task(cluster="payments", task=task.arn)

    assert shop.listed("RUNNING") == shop.listed("STOPPED") == [task.arn]


# Placed just before the instance began to drain, such a task starts on what seems to be empty.
def test_a_fresh_task_is_in_no_listing_and_missing(shop: Shop) -> None:
    seconds = {"ListTasks RUNNING": LAG_SECONDS, "DescribeTasks": LAG_SECONDS}
    shop.ecs.lags.set(seconds)  # type: ignore[arg-type]

    task = shop.run(already_running=False)

    assert shop.listed("RUNNING") == []
    assert shop.described(task.arn) is None
    shop.account.run_for(LAG_SECONDS)
    assert shop.listed("RUNNING") == [task.arn]
    assert shop.described(task.arn) is not None


def test_a_task_is_described_as_it_was(shop: Shop) -> None:
    task = shop.run(already_running=False)
    shop.account.run_for(60)
    shop.behind("DescribeTasks")

    shop.client.stop_task(cluster="payments", task=task.arn)

    was = shop.described(task.arn)
    assert was is not None
    assert (was["desiredStatus"], was["lastStatus"]) == ("RUNNING", "RUNNING")
    assert was["startedAt"]
    assert not {"stoppingAt", "stopCode", "stoppedReason"} & set(was)
    shop.account.run_for(LAG_SECONDS)
    now = shop.described(task.arn)
    assert now is not None
    assert (now["desiredStatus"], now["lastStatus"]) == ("STOPPED", "STOPPING")


# Who believes an ACTIVE that is old sets DRAINING again; who believes a DRAINING that is old lets
# go of what somebody has set ACTIVE.
def test_a_container_instance_is_described_as_it_was(shop: Shop) -> None:
    shop.behind("DescribeContainerInstances")

    shop.run()
    shop.client.update_container_instances_state(
        cluster="payments", containerInstances=[shop.instance.arn], status="DRAINING"
    )
    shop.ecs.connect_agent(shop.instance.ec2_instance_id, connected=False)

    was = shop.container_instance()
    assert (was["status"], was["agentConnected"]) == ("ACTIVE", True)
    shop.account.run_for(LAG_SECONDS)
    now = shop.container_instance()
    assert (now["status"], now["agentConnected"], now["runningTasksCount"]) == (
        "DRAINING",
        False,
        1,
    )


# Who takes DRAINING and a count of none in one answer for one state of things cuts what was placed
# just before.
def test_counts_are_old_by_themselves(shop: Shop) -> None:
    shop.behind("DescribeContainerInstances counts")
    shop.run(already_running=False)
    shop.account.run_for(7)
    shop.ecs.set_status(shop.instance, "DRAINING")

    was = shop.container_instance()
    assert (was["status"], was["runningTasksCount"]) == ("DRAINING", 0)
    shop.account.run_for(LAG_SECONDS)
    assert shop.container_instance()["runningTasksCount"] == 1


# "In no cluster" is what a fresh registration and one that was never there have in common.
def test_a_fresh_registration_is_neither_listed_nor_described(shop: Shop) -> None:
    seconds = {"ListContainerInstances": LAG_SECONDS, "DescribeContainerInstances": LAG_SECONDS}
    shop.ecs.lags.set(seconds)  # type: ignore[arg-type]

    fresh = shop.ecs.register("payments", "i-00000000000000001")

    described = shop.client.describe_container_instances(
        cluster="payments", containerInstances=[fresh.arn]
    )
    assert shop.registered(fresh.ec2_instance_id) == []
    assert [one["reason"] for one in described["failures"]] == ["MISSING"]
    assert fresh.arn not in shop.client.list_container_instances(cluster="payments").get(
        "containerInstanceArns"
    )
    shop.account.run_for(LAG_SECONDS)
    assert shop.registered(fresh.ec2_instance_id) == [fresh.arn]


def test_what_was_deregistered_is_still_listed_and_described(shop: Shop) -> None:
    seconds = {"ListContainerInstances": LAG_SECONDS, "DescribeContainerInstances": LAG_SECONDS}
    shop.ecs.lags.set(seconds)  # type: ignore[arg-type]

    shop.ecs.deregister(shop.instance)

    assert shop.registered(shop.instance.ec2_instance_id) == [shop.instance.arn]
    assert shop.container_instance()["status"] == "ACTIVE"
    shop.account.run_for(LAG_SECONDS)
    assert shop.registered(shop.instance.ec2_instance_id) == []


# What no view of AWS is known to do must not be demanded of the drainer.
def test_no_answer_lies_further_behind_than_the_most(shop: Shop) -> None:
    with pytest.raises(ValueError, match="lag"):
        shop.behind("DescribeTasks", ANSWER_LAG_SECONDS_MAX + 1)


# "Stopped tasks only appear in the returned results for at least one hour."
# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeTasks.html
def test_thousands_of_stopped_tasks_are_listed_and_described_for_an_hour(shop: Shop) -> None:
    add_stopped_tasks(shop.account, shop.instance, 3_000)

    listed = shop.listed("STOPPED")

    assert len(set(listed)) == 3_000
    answer = shop.client.describe_tasks(cluster="payments", tasks=listed[:100])
    assert {one["lastStatus"] for one in answer["tasks"]} == {"STOPPED"}
    assert shop.container_instance()["runningTasksCount"] == 0
    shop.account.run_for(1_800)
    assert len(shop.listed("STOPPED")) == 1_500
    shop.account.run_for(1_800)
    assert shop.listed("STOPPED") == []


# "The Amazon ECS container agent monitors the state of tasks on your container instances, and it
# reports any state changes": what is disconnected reports nothing.
# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs_container_instance_events.html
def test_a_disconnected_agent_does_not_report_the_end_of_a_container(shop: Shop) -> None:
    task = shop.run()
    shop.ecs.connect_agent(shop.instance.ec2_instance_id, connected=False)

    shop.account.run_for(200)

    assert task.ended_at is not None
    described = shop.described(task.arn)
    assert described is not None
    assert (described["desiredStatus"], described["lastStatus"]) == ("RUNNING", "RUNNING")
    assert shop.ecs.remaining_tasks(shop.instance.ec2_instance_id) == []
    shop.ecs.connect_agent(shop.instance.ec2_instance_id, connected=True)
    described = shop.described(task.arn)
    assert described is not None
    assert described["lastStatus"] == "STOPPED"


# Its containers are not told to stop either: they run for as long as it is disconnected.
def test_a_disconnected_agent_stops_nothing(shop: Shop) -> None:
    task = shop.run(TaskProfile(stop_seconds=10))
    shop.ecs.connect_agent(shop.instance.ec2_instance_id, connected=False)

    shop.client.stop_task(cluster="payments", task=task.arn)
    shop.account.run_for(600)

    described = shop.described(task.arn)
    assert described is not None
    assert (described["desiredStatus"], described["lastStatus"]) == ("STOPPED", "RUNNING")
    assert task.ended_at is None
    assert shop.ecs.remaining_tasks(shop.instance.ec2_instance_id) == [task]
    shop.ecs.connect_agent(shop.instance.ec2_instance_id, connected=True)
    shop.account.run_for(10)
    assert task.last_status == "STOPPED"


def test_a_disconnected_agent_starts_nothing(shop: Shop) -> None:
    task = shop.run(already_running=False)
    shop.ecs.connect_agent(shop.instance.ec2_instance_id, connected=False)
    shop.account.run_for(60)
    assert task.started_at is None

    shop.ecs.connect_agent(shop.instance.ec2_instance_id, connected=True)

    assert task.last_status == "RUNNING"


# "Stopped container instances or instances with disconnected agents aren't automatically
# deregistered when terminated": the next search finds what is no more.
# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DeregisterContainerInstance.html
def test_a_registration_whose_agent_was_disconnected_outlives_its_ec2_instance(shop: Shop) -> None:
    task = shop.run(TaskProfile())
    ec2_instance_id = shop.instance.ec2_instance_id
    shop.ecs.connect_agent(ec2_instance_id, connected=False)

    shop.ecs.lose_ec2_instance(ec2_instance_id)
    shop.account.run_for(7_200)
    shop.ecs.connect_agent(ec2_instance_id, connected=True)

    assert shop.registered(ec2_instance_id) == [shop.instance.arn]
    assert not shop.container_instance()["agentConnected"]
    described = shop.described(task.arn)
    assert described is not None
    assert described["lastStatus"] == "RUNNING"
    assert len(shop.account.facts("killed")) == 1


# Whoever takes the first that is found drains what is left over, and cuts what serves.
# https://github.com/aws/containers-roadmap/issues/1901
def test_one_ec2_instance_may_be_registered_several_times(shop: Shop) -> None:
    ec2_instance_id = shop.instance.ec2_instance_id
    beside = shop.ecs.register("payments", ec2_instance_id, agent_gone=True)
    elsewhere = shop.ecs.register("default", ec2_instance_id, status="DRAINING", agent_gone=True)

    assert sorted(shop.registered(ec2_instance_id)) == sorted([shop.instance.arn, beside.arn])
    assert shop.registered(ec2_instance_id, "default") == [elsewhere.arn]
    assert shop.ecs.container_instance(ec2_instance_id) is shop.instance
    described = shop.client.describe_container_instances(
        cluster="payments", containerInstances=[beside.arn]
    )["containerInstances"]
    assert [one["agentConnected"] for one in described] == [False]


# "These tasks remain running until you terminate the instance or the tasks stop through some other
# means, but they're orphaned (no longer monitored or accounted for by Amazon ECS)."
# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DeregisterContainerInstance.html
def test_a_forced_deregistration_leaves_containers_running(shop: Shop) -> None:
    task = shop.run(TaskProfile())
    with pytest.raises(ClientError, match="running tasks"):
        shop.client.deregister_container_instance(
            cluster="payments", containerInstance=shop.instance.arn
        )

    shop.client.deregister_container_instance(
        cluster="payments", containerInstance=shop.instance.arn, force=True
    )
    shop.account.run_for(600)

    assert task.ended_at is None
    assert shop.ecs.remaining_tasks(shop.instance.ec2_instance_id) == []
    assert len(shop.account.facts("orphaned", task_id=task.task_id)) == 1
    shop.ecs.lose_ec2_instance(shop.instance.ec2_instance_id)
    assert task.ended_at == shop.account.now


def events(shop: Shop) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    shop.account.on_event.append(found.append)
    return found


def of_instances(found: list[dict[str, Any]]) -> int:
    return sum("Container Instance" in event["detail-type"] for event in found)


# Sent when "the service scheduler starts or stops a task", and when the agent reports STOPPED "for
# a task with a desired status of RUNNING". Who waits for one at the end of a task that was told to
# stop may wait for the next pass.
# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs_container_instance_events.html
@pytest.mark.parametrize("comes", [False, True])
def test_a_container_instance_event_may_not_come_at_the_end(shop: Shop, comes: bool) -> None:
    shop.ecs.life.instance_event_at_end = comes
    task = shop.run(TaskProfile(stop_seconds=10))
    found = events(shop)

    shop.client.stop_task(cluster="payments", task=task.arn)
    assert of_instances(found) == 1
    found.clear()
    shop.account.run_for(60)

    assert of_instances(found) == int(comes)
    (last,) = [event["detail"] for event in found if "Task" in event["detail-type"]]
    assert last["lastStatus"] == "STOPPED"


def test_a_task_that_ends_by_itself_always_sends_one(shop: Shop) -> None:
    shop.run(JOB)
    found = events(shop)

    shop.account.run_for(200)

    assert of_instances(found) == 1


# That protection holds against DRAINING is documented nowhere; it is the harsh case.
# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-scale-in-protection.html
def test_a_protected_task_is_not_stopped_until_its_protection_expires(shop: Shop) -> None:
    shop.ecs.register("payments", "i-00000000000000001")
    service = shop.ecs.create_service(
        "payments", "web", desired=2, deregistration_delay_seconds=None
    )
    task = next(one for one in service.tasks.values() if one.container_instance is shop.instance)
    shop.client.update_task_protection(
        cluster="payments", tasks=[task.arn], protectionEnabled=True, expiresInMinutes=30
    )
    shop.client.update_container_instances_state(
        cluster="payments", containerInstances=[shop.instance.arn], status="DRAINING"
    )

    shop.account.run_for(29 * 60)
    (protected,) = shop.client.get_task_protection(cluster="payments", tasks=[task.arn])[
        "protectedTasks"
    ]
    assert protected["protectionEnabled"]
    assert task.desired_status == "RUNNING"
    shop.account.run_for(2 * 60)

    assert task.last_status == "STOPPED"


# "This operation is only supported for tasks belonging to an Amazon ECS service."
# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_UpdateTaskProtection.html
def test_a_standalone_task_cannot_be_protected(shop: Shop) -> None:
    task = shop.run()

    answer = shop.client.update_task_protection(
        cluster="payments", tasks=[task.arn], protectionEnabled=True
    )

    assert [one["reason"] for one in answer["failures"]] == ["TASK_NOT_VALID"]


# "Time duration (in seconds) to wait before the container is forcefully killed if it doesn't exit
# normally on its own."
# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ContainerDefinition.html
def test_a_container_that_ignores_the_signal_lives_until_its_stop_timeout(shop: Shop) -> None:
    task = shop.run(DEAF)

    shop.client.stop_task(cluster="payments", task=task.arn)
    shop.account.run_for(DEAF.stop_timeout_seconds - 1)
    assert task.remains
    shop.account.run_for(1)

    assert task.last_status == "STOPPED"
