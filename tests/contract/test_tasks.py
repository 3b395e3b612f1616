"""
Tasks: listed by desired status, described, stopped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from drainer.aws.ecs import DESCRIBE_MAX
from drainer.drain.model import Owner
from drainer.errors import RefusedError

if TYPE_CHECKING:
    from tests.contract.faces import Face, SimulationFace

LAST_STATUSES = (
    "PROVISIONING",
    "PENDING",
    "ACTIVATING",
    "RUNNING",
    "DEACTIVATING",
    "STOPPING",
    "DEPROVISIONING",
    "STOPPED",
)


# Whoever lists one of them alone lets go over the tasks of the other.
def test_defect_01_both_desired_statuses_can_be_listed(face: Face) -> None:
    face.cluster("payments")
    (there,) = face.register("payments")
    wanted = face.tasks("payments", there, 3)
    unwanted = face.tasks("payments", there, 2, desired_status="STOPPED", last_status="STOPPED")

    running = face.ecs.task_ids("payments", there.arn, desired_status="RUNNING")
    stopped = face.ecs.task_ids("payments", there.arn, desired_status="STOPPED")

    assert sorted(running) == sorted(wanted)
    assert sorted(stopped) == sorted(unwanted)


# "The default status filter is RUNNING": this is the early answer of every sample Lambda.
@pytest.mark.moto_fault("list_tasks without desiredStatus returns STOPPED tasks too")
def test_defect_01_without_a_desired_status_a_stopping_task_would_be_hidden(face: Face) -> None:
    face.cluster("payments")
    (there,) = face.register("payments")
    stopping = face.tasks("payments", there, desired_status="STOPPED", last_status="DEACTIVATING")

    trap = face.client("ecs").list_tasks(cluster="payments", containerInstance=there.arn)
    listed = face.ecs.task_ids("payments", there.arn, desired_status="STOPPED")

    assert trap["taskArns"] == []
    assert listed == stopping
    assert [one.parameters["desiredStatus"] for one in face.asked] == ["STOPPED"]


def test_only_the_tasks_of_the_one_container_instance_are_listed(face: Face) -> None:
    face.cluster("payments")
    here, elsewhere = face.register("payments", 2)
    wanted = face.tasks("payments", here)
    face.tasks("payments", elsewhere)

    assert face.ecs.task_ids("payments", here.arn, desired_status="RUNNING") == wanted
    assert face.ecs.task_ids("payments", here.arn, desired_status="STOPPED") == []


# The task on the third page is as alive as the one on the first.
def test_defect_02_230_tasks_on_one_container_instance_are_all_listed(face: Face) -> None:
    face.cluster("payments")
    (there,) = face.register("payments")
    made = face.tasks("payments", there, 230)

    listed = face.ecs.task_ids("payments", there.arn, desired_status="RUNNING")

    assert len(listed) == len(made)
    assert set(listed) == set(made)


@pytest.mark.moto_fault("no pagination")
def test_defect_02_every_page_of_tasks_is_asked_for_once(face: Face) -> None:
    face.cluster("payments")
    (there,) = face.register("payments")
    face.tasks("payments", there, 200, desired_status="STOPPED", last_status="STOPPING")

    face.ecs.task_ids("payments", there.arn, desired_status="STOPPED")

    assert face.operations() == ["ListTasks"] * 2
    first, second = (one.parameters for one in face.asked)
    assert "nextToken" not in first
    assert second == {**first, "nextToken": second["nextToken"]}


def test_defect_02_tasks_are_described_by_hundreds(face: Face) -> None:
    face.cluster("payments")
    (there,) = face.register("payments")
    made = face.tasks("payments", there, 230)

    described = face.ecs.tasks("payments", made)

    assert set(described) == set(made)
    assert [len(one.parameters["tasks"]) for one in face.asked] == [DESCRIBE_MAX, DESCRIBE_MAX, 30]


def test_unknown_ids_are_left_out(face: Face) -> None:
    face.cluster("payments")
    (there,) = face.register("payments")
    (known,) = face.tasks("payments", there)

    assert set(face.ecs.tasks("payments", ["0" * 32, known])) == {known}
    assert face.ecs.tasks("payments", ["0" * 32]) == {}


def test_described_tasks_say_what_they_are(face: Face) -> None:
    face.cluster("payments")
    (there,) = face.register("payments")
    (task_id,) = face.tasks("payments", there, group="service:web")

    task = face.ecs.tasks("payments", [task_id])[task_id]

    assert (task.id, task.owner, task.group) == (task_id, Owner.SERVICE, "service:web")
    assert (task.desired_status, task.last_status) == ("RUNNING", "RUNNING")
    assert (task.wanted, task.remains) == (True, True)


@pytest.mark.parametrize(
    ("group", "started_by", "owner"),
    [
        pytest.param("service:web", "ecs-svc/123", Owner.SERVICE, id="a service's"),
        pytest.param("family:web", "ecs-svc/123", Owner.SERVICE, id="a service's by its starter"),
        pytest.param("service:web", "", Owner.SERVICE, id="a service's by its group"),
        pytest.param("family:report", "", Owner.STANDALONE, id="nobody's"),
        pytest.param("family:report", "a-person", Owner.STANDALONE, id="started by a person"),
    ],
)
# A service's task taken for standalone would be stopped by us, below its minimum.
def test_a_task_says_whose_it_is(face: Face, group: str, started_by: str, owner: Owner) -> None:
    face.cluster("payments")
    (there,) = face.register("payments")
    (task_id,) = face.tasks("payments", there, group=group, started_by=started_by)

    assert face.ecs.tasks("payments", [task_id])[task_id].owner == owner


# Only STOPPED means that nothing of a task is left.
@pytest.mark.moto_fault("task states are RUNNING and STOPPED, at once")
def test_defect_01_every_last_status_but_stopped_remains(face: Face) -> None:
    face.cluster("payments")
    (there,) = face.register("payments")
    made = {
        status: face.tasks("payments", there, desired_status="STOPPED", last_status=status)[0]
        for status in LAST_STATUSES
    }

    described = face.ecs.tasks("payments", list(made.values()))

    assert {status: described[made[status]].last_status for status in made} == {
        status: status for status in LAST_STATUSES
    }
    remaining = [status for status in LAST_STATUSES if described[made[status]].remains]
    assert remaining == list(LAST_STATUSES[:-1])
    assert not any(task.wanted for task in described.values())


def test_a_stopped_task_carries_the_reason(face: Face) -> None:
    face.cluster("payments")
    (there,) = face.register("payments")
    stopped, other = face.tasks("payments", there, 2)

    face.ecs.stop_task("payments", stopped, "the instance leaves")

    described = face.ecs.tasks("payments", [stopped, other])
    assert (described[stopped].wanted, described[other].wanted) == (False, True)
    answer = face.client("ecs").describe_tasks(cluster="payments", tasks=[stopped])
    assert answer["tasks"][0]["stoppedReason"] == "the instance leaves"


@pytest.mark.moto_fault("stop_task of an unknown task raises a bare Exception")
def test_stopping_a_task_that_is_not_there_is_refused(face: Face) -> None:
    face.cluster("payments")

    with pytest.raises(RefusedError):
        face.ecs.stop_task("payments", "0" * 32, "why")


def test_tasks_of_a_container_instance_that_has_gone_are_an_error(
    simulation: SimulationFace,
) -> None:
    simulation.cluster("payments")
    (there,) = simulation.register("payments")
    gone = there.arn.rpartition("/")[0] + "/" + "0" * 32

    # No tasks would mean "drained"; the look has failed instead.
    with pytest.raises(RefusedError):
        simulation.ecs.task_ids("payments", gone, desired_status="RUNNING")
