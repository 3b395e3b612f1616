"""The simulated ECS drains as the documentation of container instance draining says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from drainer.simulation.aws import Aws
from drainer.simulation.services.ecs.definitions import NEVER_STOPS, TaskProfile

if TYPE_CHECKING:
    from drainer.simulation.protocol.client import InProcessClient
    from drainer.simulation.services.ecs.model import ContainerInstance, Service, Task

START = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


@pytest.fixture
def account() -> Aws:
    account = Aws(now=START)
    account.auto_scaling.create_group("payments-asg", cluster="payments", desired=3)
    return account


@pytest.fixture
def ecs(account: Aws) -> InProcessClient:
    return account.client("ecs")


def instances(account: Aws) -> list[ContainerInstance]:
    return [*account.ecs.clusters["payments"].container_instances.values()]


def drain(account: Aws, instance: ContainerInstance) -> None:
    account.client("ecs").update_container_instances_state(
        cluster="payments", containerInstances=[instance.arn], status="DRAINING"
    )


def until_empty_seconds(account: Aws, instance: ContainerInstance) -> float:
    account.run_until(lambda: not instance.remaining_tasks(), timedelta(hours=48))
    return (account.now - START).total_seconds()


def task_on(instance: ContainerInstance, service: Service) -> Task:
    return next(task for task in instance.remaining_tasks() if task.service is service)


def statuses(account: Aws, task: Task) -> list[tuple[float, str]]:
    return [
        ((fact.at - START).total_seconds(), fact.about["last_status"])
        for fact in account.facts("task", task_id=task.task_id)
    ]


def counts(ecs: InProcessClient, instance: ContainerInstance) -> tuple[int, int]:
    (described,) = ecs.describe_container_instances(
        cluster="payments", containerInstances=[instance.arn]
    )["containerInstances"]
    return described["runningTasksCount"], described["pendingTasksCount"]


# The measured case of the defects' preamble: whoever answers before +390 s cuts requests.
def test_a_task_leaves_390_seconds_after_draining_began(account: Aws) -> None:
    web = account.ecs.create_service(
        "payments",
        "web",
        desired=3,
        start_seconds=10,
        healthy_after_seconds=50,
        deregistration_delay_seconds=300,
        stop_seconds=30,
    )
    instance = instances(account)[0]
    leaving = task_on(instance, web)
    drain(account, instance)

    assert until_empty_seconds(account, instance) == 390
    expected = [
        (0, "RUNNING"),
        (60, "DEACTIVATING"),
        (360, "STOPPING"),
        (390, "STOPPED"),
    ]
    assert expected == statuses(account, leaving)


def test_awsvpc_adds_provisioning_and_deprovisioning(account: Aws) -> None:
    web = account.ecs.create_service(
        "payments", "web", desired=3, profile=TaskProfile(network_mode="awsvpc")
    )
    instance = instances(account)[0]
    leaving = task_on(instance, web)
    drain(account, instance)
    account.run_for(600)

    replacement = next(task for task in web.tasks.values() if task.created_at == START)
    newest = [*web.tasks.values()][-1]
    assert [status for _, status in statuses(account, newest)] == [
        "PROVISIONING",
        "PENDING",
        "ACTIVATING",
        "RUNNING",
    ]
    assert [status for _, status in statuses(account, leaving)][-2:] == [
        "DEPROVISIONING",
        "STOPPED",
    ]
    assert replacement is not newest


# Minimum = maximum = 100 % is the classic stuck drain; a simulation that moved would hide it.
def test_minimum_and_maximum_of_100_percent_never_progress(account: Aws) -> None:
    web = account.ecs.create_service(
        "payments", "web", desired=3, minimum_healthy_percent=100, maximum_percent=100
    )
    instance = instances(account)[0]
    leaving = task_on(instance, web)
    drain(account, instance)
    account.run_for(48 * 3_600)

    assert leaving.last_status == "RUNNING"
    assert leaving.desired_status == "RUNNING"
    assert len(web.tasks) == 3


def test_half_of_the_tasks_may_stop_before_replacements_where_the_service_allows(
    account: Aws,
) -> None:
    account.ecs.create_service(
        "payments",
        "web",
        desired=2,
        minimum_healthy_percent=50,
        maximum_percent=100,
        deregistration_delay_seconds=None,
    )
    instance = instances(account)[0]
    drain(account, instance)

    assert until_empty_seconds(account, instance) == 30


def test_the_maximum_bounds_how_many_replacements_start_at_once(account: Aws) -> None:
    web = account.ecs.create_service(
        "payments", "web", desired=4, minimum_healthy_percent=100, maximum_percent=125
    )
    drain(account, instances(account)[0])
    drain(account, instances(account)[1])
    most = 0
    for _ in range(200):
        account.run_for(5)
        wanted = [task for task in web.tasks.values() if task.desired_status == "RUNNING"]
        most = max(most, len(wanted))

    assert most == 5
    assert all(task.container_instance is instances(account)[2] for task in web.tasks.values())


def test_a_replacement_needs_room_and_comes_when_there_is_some(account: Aws) -> None:
    for instance in instances(account):
        instance.tasks_max = 1
    web = account.ecs.create_service("payments", "web", desired=3)
    drain(account, instances(account)[0])
    account.run_for(600)
    assert task_on(instances(account)[0], web).last_status == "RUNNING"
    assert "unable to place a task" in web.events[-1][1]

    account.auto_scaling.set_desired(account.auto_scaling.groups["payments-asg"], 4)
    account.run_for(600)

    assert not instances(account)[0].remaining_tasks()


# "Service tasks ... in the PENDING state are stopped immediately."
def test_pending_service_tasks_stop_at_once_and_are_counted_until_they_have(
    account: Aws, ecs: InProcessClient
) -> None:
    account.ecs.create_service(
        "payments", "web", desired=3, start_seconds=120, already_running=False
    )
    account.run_for(1)
    instance = instances(account)[0]
    drain(account, instance)

    assert [task.desired_status for task in instance.remaining_tasks()] == ["STOPPED"]
    assert counts(ecs, instance) == (0, 1)
    account.run_for(5)
    assert counts(ecs, instance) == (0, 0)
    assert not instance.remaining_tasks()


def test_daemons_stop_last(account: Aws) -> None:
    account.ecs.create_service("payments", "web", desired=3)
    logs = account.ecs.create_daemon("payments", "logs")
    instance = instances(account)[0]
    daemon = task_on(instance, logs)
    drain(account, instance)
    account.run_for(389)
    assert daemon.desired_status == "RUNNING"

    assert until_empty_seconds(account, instance) == 395
    assert [task.owner for task in instances(account)[1].remaining_tasks()].count(
        "daemon:logs"
    ) == 1


# Draining does nothing about standalone tasks: the reason for the policy.
def test_standalone_tasks_are_left_alone_and_hold_the_drain(account: Aws) -> None:
    instance = instances(account)[0]
    job = account.ecs.run_standalone("payments", instance.ec2_instance_id)
    logs = account.ecs.create_daemon("payments", "logs")
    drain(account, instance)
    account.run_for(24 * 3_600)

    assert job.last_status == "RUNNING"
    assert task_on(instance, logs).desired_status == "RUNNING"


def test_a_standalone_task_with_an_end_ends_by_itself(account: Aws) -> None:
    instance = instances(account)[0]
    job = account.ecs.run_standalone("payments", instance.ec2_instance_id, seconds=200)
    drain(account, instance)

    assert until_empty_seconds(account, instance) == 200
    assert job.stop_code == "EssentialContainerExited"


def test_a_stopped_standalone_task_takes_its_stop_time(account: Aws, ecs: InProcessClient) -> None:
    instance = instances(account)[0]
    job = account.ecs.run_standalone("payments", instance.ec2_instance_id)

    ecs.stop_task(cluster="payments", task=job.arn, reason="drained")

    assert (job.desired_status, job.last_status) == ("STOPPED", "STOPPING")
    assert until_empty_seconds(account, instance) == 10
    assert (job.stop_code, job.stopped_reason) == ("UserInitiated", "drained")


def test_a_container_that_does_not_exit_is_killed_at_its_stop_timeout(account: Aws) -> None:
    instance = instances(account)[0]
    job = account.ecs.run_standalone(
        "payments",
        instance.ec2_instance_id,
        profile=TaskProfile(stop_seconds=3_600, stop_timeout_seconds=120),
    )
    account.ecs.life.stop(job, "UserInitiated", "")

    assert until_empty_seconds(account, instance) == 120


def test_a_task_can_be_made_that_never_leaves(account: Aws) -> None:
    instance = instances(account)[0]
    job = account.ecs.run_standalone("payments", instance.ec2_instance_id, profile=NEVER_STOPS)
    account.ecs.life.stop(job, "UserInitiated", "")
    account.run_for(48 * 3_600)

    assert job.last_status == "STOPPING"


# The central trap: both counts and the default listing say "empty" while requests are served.
def test_counts_and_the_default_listing_are_blind_to_what_is_stopping(
    account: Aws, ecs: InProcessClient
) -> None:
    account.ecs.create_service("payments", "web", desired=3)
    instance = instances(account)[0]
    drain(account, instance)
    account.run_for(61)
    where = {"cluster": "payments", "containerInstance": instance.arn}

    assert counts(ecs, instance) == (0, 0)
    assert ecs.list_tasks(**where)["taskArns"] == []
    (arn,) = ecs.list_tasks(**where, desiredStatus="STOPPED")["taskArns"]
    (task,) = ecs.describe_tasks(cluster="payments", tasks=[arn])["tasks"]
    assert (task["desiredStatus"], task["lastStatus"]) == ("STOPPED", "DEACTIVATING")


def test_activating_tasks_are_running_to_the_counts(account: Aws, ecs: InProcessClient) -> None:
    account.ecs.create_service(
        "payments",
        "web",
        desired=3,
        profile=TaskProfile(start_seconds=10, activate_seconds=20),
        already_running=False,
    )
    account.run_for(11)
    instance = instances(account)[0]

    assert [task.last_status for task in instance.remaining_tasks()] == ["ACTIVATING"]
    assert counts(ecs, instance) == (1, 0)


def test_stopped_tasks_stay_visible_for_an_hour(account: Aws, ecs: InProcessClient) -> None:
    instance = instances(account)[0]
    job = account.ecs.run_standalone("payments", instance.ec2_instance_id, seconds=10)
    account.run_for(10 + 3_599)
    assert ecs.describe_tasks(cluster="payments", tasks=[job.arn])["failures"] == []

    account.run_for(2)

    assert ecs.describe_tasks(cluster="payments", tasks=[job.arn])["failures"] == [
        {"arn": job.arn, "reason": "MISSING"}
    ]


def test_active_again_takes_tasks_again(account: Aws, ecs: InProcessClient) -> None:
    logs = account.ecs.create_daemon("payments", "logs")
    instance = instances(account)[0]
    drain(account, instance)
    account.run_for(60)
    assert not instance.remaining_tasks()

    ecs.update_container_instances_state(
        cluster="payments", containerInstances=[instance.arn], status="ACTIVE"
    )
    account.run_for(60)

    assert task_on(instance, logs).last_status == "RUNNING"


# What a released instance does to its tasks is the harm that the product prevents.
def test_a_service_recovers_from_a_lost_instance_and_the_loss_is_on_record(
    account: Aws,
) -> None:
    web = account.ecs.create_service("payments", "web", desired=3)
    lost = instances(account)[0]
    account.auto_scaling.scale_in("payments-asg", ec2_instance_ids=[lost.ec2_instance_id])
    account.run_for(120)

    (fact,) = account.facts("killed")
    assert fact.about["ec2_instance_id"] == lost.ec2_instance_id
    assert fact.about["owner"] == "service:web"
    assert sum(task.last_status == "RUNNING" for task in web.tasks.values()) == 3
    assert lost not in instances(account)


@pytest.mark.parametrize(
    "query",
    [
        "ec2InstanceId == {0}",
        "ec2InstanceId=={0}",
        "ec2InstanceId == '{0}'",
        "ec2InstanceId in [{0}]",
        "ec2InstanceId in ['{0}', \"i-00000000000000000\"]",
    ],
)
def test_a_container_instance_is_found_by_its_ec2_instance(
    account: Aws, ecs: InProcessClient, query: str
) -> None:
    wanted = instances(account)[1]

    found = ecs.list_container_instances(
        cluster="payments", filter=query.format(wanted.ec2_instance_id)
    )

    assert found["containerInstanceArns"] == [wanted.arn]


# moto answers every instance whatever the filter; a drainer proved on that would drain strangers.
def test_a_filter_that_matches_nothing_finds_nothing(ecs: InProcessClient) -> None:
    found = ecs.list_container_instances(cluster="payments", filter="ec2InstanceId == i-nobody")

    assert found["containerInstanceArns"] == []


def test_other_queries_select_as_well(account: Aws, ecs: InProcessClient) -> None:
    one, two, three = instances(account)
    ecs.put_attributes(
        cluster="payments",
        attributes=[{"name": "drainer.pass", "value": "12345678/3/1", "targetId": one.arn}],
    )
    account.ecs.connect_agent(two.ec2_instance_id, connected=False)

    def arns(query: str) -> list[str]:
        found: list[str] = ecs.list_container_instances(cluster="payments", filter=query)[
            "containerInstanceArns"
        ]
        return found

    assert arns("agentConnected == true") == [one.arn, three.arn]
    assert arns("attribute:drainer.pass == 12345678/3/1") == [one.arn]
    assert arns("attribute:drainer.pass =~ 12345678/.*") == [one.arn]
    assert arns(f"ec2InstanceId not_in [{one.ec2_instance_id}]") == [two.arn, three.arn]
    assert arns("runningTasksCount == 0") == [one.arn, two.arn, three.arn]


@pytest.mark.parametrize(
    "query", ["ec2InstanceId", "ec2InstanceId == ", "ec2InstanceId in i-1", "colour == red"]
)
def test_a_query_that_ecs_would_not_understand_is_refused(ecs: InProcessClient, query: str) -> None:
    with pytest.raises(ClientError, match="InvalidParameterException"):
        ecs.list_container_instances(cluster="payments", filter=query)


def test_the_listing_of_container_instances_takes_a_status(
    account: Aws, ecs: InProcessClient
) -> None:
    instance = instances(account)[0]
    drain(account, instance)

    found = ecs.list_container_instances(cluster="payments", status="DRAINING")

    assert found["containerInstanceArns"] == [instance.arn]
    assert len(ecs.list_container_instances(cluster="payments")["containerInstanceArns"]) == 3


@pytest.mark.parametrize(
    ("operation", "parameters"),
    [
        ("list_container_instances", {}),
        ("describe_container_instances", {"containerInstances": ["x"]}),
        ("list_tasks", {}),
        ("describe_tasks", {"tasks": ["x"]}),
        ("stop_task", {"task": "x"}),
        ("update_container_instances_state", {"containerInstances": ["x"], "status": "ACTIVE"}),
    ],
)
def test_an_unknown_cluster_is_an_error_and_not_an_empty_answer(
    ecs: InProcessClient, operation: str, parameters: dict[str, Any]
) -> None:
    with pytest.raises(ecs.exceptions.ClusterNotFoundException):
        getattr(ecs, operation)(cluster="nobody", **parameters)


# Describing an empty list raises on AWS; a simulation that allowed it would hide defect 3.
@pytest.mark.parametrize(
    ("operation", "parameters"),
    [
        ("describe_container_instances", {"containerInstances": []}),
        ("describe_container_instances", {"containerInstances": ["x"] * 101}),
        ("describe_tasks", {"tasks": []}),
        ("describe_tasks", {"tasks": ["x"] * 101}),
        (
            "update_container_instances_state",
            {"containerInstances": ["x"] * 11, "status": "DRAINING"},
        ),
        ("update_container_instances_state", {"containerInstances": [], "status": "DRAINING"}),
        ("update_container_instances_state", {"containerInstances": ["x"], "status": "INACTIVE"}),
        ("put_attributes", {"attributes": []}),
        ("put_attributes", {"attributes": [{"name": "a", "targetId": "x"}] * 11}),
        ("list_tasks", {"maxResults": 101}),
        ("list_tasks", {"nextToken": "not a token"}),
        ("stop_task", {"task": "x"}),
    ],
)
def test_requests_outside_the_limits_are_refused(
    ecs: InProcessClient, operation: str, parameters: dict[str, Any]
) -> None:
    with pytest.raises(ecs.exceptions.InvalidParameterException):
        getattr(ecs, operation)(cluster="payments", **parameters)


def test_unknown_things_are_failures_beside_the_known_ones(
    account: Aws, ecs: InProcessClient
) -> None:
    instance = instances(account)[0]

    for operation, more in (
        ("describe_container_instances", {}),
        ("update_container_instances_state", {"status": "DRAINING"}),
    ):
        answer = getattr(ecs, operation)(
            cluster="payments",
            containerInstances=[instance.container_instance_id, "0" * 32],
            **more,
        )
        assert [one["ec2InstanceId"] for one in answer["containerInstances"]] == [
            instance.ec2_instance_id
        ]
        assert [failure["reason"] for failure in answer["failures"]] == ["MISSING"]


def test_a_container_instance_that_is_registering_cannot_be_drained(
    account: Aws, ecs: InProcessClient
) -> None:
    early = account.ecs.register("payments", "i-0early", status="REGISTERING")

    with pytest.raises(ecs.exceptions.InvalidParameterException):
        ecs.update_container_instances_state(
            cluster="payments", containerInstances=[early.arn], status="DRAINING"
        )


@pytest.mark.parametrize("short", [True, False], ids=["by id", "by ARN"])
def test_attributes_are_put_and_described(
    account: Aws, ecs: InProcessClient, *, short: bool
) -> None:
    instance = instances(account)[0]
    attribute = {
        "name": "drainer.pass",
        "value": "12345678/3/1795176000",
        "targetType": "container-instance",
        "targetId": instance.container_instance_id if short else instance.arn,
    }
    version = instance.version

    ecs.put_attributes(cluster="payments", attributes=[attribute])

    (described,) = ecs.describe_container_instances(
        cluster="payments", containerInstances=[instance.arn]
    )["containerInstances"]
    assert {"name": attribute["name"], "value": attribute["value"]} in described["attributes"]
    assert described["version"] == version + 1


@pytest.mark.parametrize(
    "wrong",
    [{"name": "a b"}, {"value": " leading"}, {"value": "käse"}, {"value": "x" * 129}],
    ids=str,
)
def test_attributes_outside_the_character_sets_are_refused(
    account: Aws, ecs: InProcessClient, wrong: dict[str, str]
) -> None:
    attribute = {"name": "drainer.pass", "value": "1", "targetId": instances(account)[0].arn}

    with pytest.raises(ecs.exceptions.InvalidParameterException):
        ecs.put_attributes(cluster="payments", attributes=[{**attribute, **wrong}])


def test_230_tasks_and_350_container_instances_come_in_pages() -> None:
    account = Aws(now=START)
    account.auto_scaling.create_group("crowd", cluster="payments", desired=350)
    instance = instances(account)[0]
    for _ in range(230):
        account.ecs.run_standalone("payments", instance.ec2_instance_id)
    ecs = account.client("ecs")

    def pages(operation: str, **parameters: Any) -> list[list[str]]:
        paginator = ecs.get_paginator(operation)
        member = "taskArns" if operation == "list_tasks" else "containerInstanceArns"
        return [page[member] for page in paginator.paginate(cluster="payments", **parameters)]

    tasks = pages("list_tasks", containerInstance=instance.arn)
    assert [len(page) for page in tasks] == [100, 100, 30]
    assert len({arn for page in tasks for arn in page}) == 230
    assert [len(page) for page in pages("list_container_instances")] == [100, 100, 100, 50]
    assert counts(ecs, instance) == (230, 0)


def test_tasks_are_listed_by_service_and_family(account: Aws, ecs: InProcessClient) -> None:
    web = account.ecs.create_service("payments", "web", desired=2)
    job = account.ecs.run_standalone(
        "payments", instances(account)[0].ec2_instance_id, family="report"
    )

    by_service = ecs.list_tasks(cluster="payments", serviceName="web")["taskArns"]
    by_family = ecs.list_tasks(cluster="payments", family="report")["taskArns"]

    assert [*web.tasks] == by_service
    assert [job.arn] == by_family


# The group and startedBy tell whose a task is; the owner in a report hangs on them.
def test_tasks_say_whose_they_are(account: Aws, ecs: InProcessClient) -> None:
    account.ecs.create_service("payments", "web", desired=1)
    ecs.run_task(cluster="payments", taskDefinition="report", startedBy="me")
    account.run_for(60)
    arns = ecs.list_tasks(cluster="payments")["taskArns"]

    described = ecs.describe_tasks(cluster="payments", tasks=arns)["tasks"]

    assert [task["group"] for task in described] == ["service:web", "family:report"]
    assert described[0]["startedBy"].startswith("ecs-svc/")
    assert described[1]["startedBy"] == "me"


def test_run_task_avoids_what_drains_and_says_when_there_is_no_room(
    account: Aws, ecs: InProcessClient
) -> None:
    for instance in instances(account):
        drain(account, instance)

    answer = ecs.run_task(cluster="payments", taskDefinition="report", count=2)

    assert answer["tasks"] == []
    assert [failure["reason"] for failure in answer["failures"]] == ["RESOURCE:CPU"] * 2


def test_services_are_listed_described_and_scaled(account: Aws, ecs: InProcessClient) -> None:
    account.ecs.create_service("payments", "web", desired=3)
    account.ecs.create_daemon("payments", "logs")

    ecs.update_service(cluster="payments", service="web", desiredCount=1)
    account.run_for(600)

    assert len(ecs.list_services(cluster="payments")["serviceArns"]) == 2
    answer = ecs.describe_services(cluster="payments", services=["web", "nobody"])
    assert [failure["reason"] for failure in answer["failures"]] == ["MISSING"]
    (web,) = answer["services"]
    assert (web["desiredCount"], web["runningCount"], web["pendingCount"]) == (1, 1, 0)
    with pytest.raises(ecs.exceptions.ServiceNotFoundException):
        ecs.update_service(cluster="payments", service="nobody", desiredCount=1)


def test_clusters_are_listed_and_described(account: Aws, ecs: InProcessClient) -> None:
    arn = account.ecs.clusters["payments"].arn

    answer = ecs.describe_clusters(clusters=["payments", "nobody"])

    assert ecs.list_clusters()["clusterArns"] == [arn]
    assert [one["registeredContainerInstancesCount"] for one in answer["clusters"]] == [3]
    assert [failure["reason"] for failure in answer["failures"]] == ["MISSING"]


def test_a_cluster_s_arn_of_another_region_is_another_cluster(
    account: Aws, ecs: InProcessClient
) -> None:
    arn = account.ecs.clusters["payments"].arn
    assert len(ecs.list_container_instances(cluster=arn)["containerInstanceArns"]) == 3

    with pytest.raises(ecs.exceptions.ClusterNotFoundException):
        ecs.list_container_instances(cluster=arn.replace("us-east-1", "eu-west-1"))


def test_deregistering_by_force_ends_the_tasks(account: Aws, ecs: InProcessClient) -> None:
    account.ecs.create_service("payments", "web", desired=3)
    instance = instances(account)[0]
    with pytest.raises(ecs.exceptions.InvalidParameterException):
        ecs.deregister_container_instance(cluster="payments", containerInstance=instance.arn)

    ecs.deregister_container_instance(
        cluster="payments", containerInstance=instance.arn, force=True
    )

    assert instance.status == "INACTIVE"
    assert instance not in instances(account)


def test_state_changes_go_to_the_event_bus(account: Aws) -> None:
    account.ecs.create_service("payments", "web", desired=3)
    events: list[dict[str, Any]] = []
    account.on_event.append(events.append)
    drain(account, instances(account)[0])
    account.run_for(400)

    first = events[0]
    assert first["detail-type"] == "ECS Container Instance State Change"
    assert first["detail"]["status"] == "DRAINING"
    # The documented example has no counts.
    assert "runningTasksCount" not in first["detail"]
    tasks = [one for one in events if one["detail-type"] == "ECS Task State Change"]
    assert "DEACTIVATING" in {one["detail"]["lastStatus"] for one in tasks}
    versions = [
        one["detail"]["version"] for one in tasks if one["resources"] == tasks[-1]["resources"]
    ]
    assert versions == sorted(set(versions))
