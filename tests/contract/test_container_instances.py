"""
Container instances: found by filter, described, set DRAINING, marked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from drainer.aws.ecs import ATTRIBUTES_MAX, DESCRIBE_MAX, UPDATE_STATE_MAX
from drainer.drain.attributes import DRAINED_FOR, INTERRUPTED, checksum
from drainer.errors import ClusterMissingError, MisconfiguredError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from drainer.aws.ecs import EcsGateway
    from tests.contract.faces import Face, SimulationFace

FILTER_IGNORED = pytest.mark.moto_fault(
    "list_container_instances `filter=` is ignored: it returns every instance"
)
ABSENT = "i-0abcdef0123456789"
STACK = checksum("arn:aws:cloudformation:us-east-1:123456789012:stack/shop/5b918d10")


def absent_arn(arn: str) -> str:
    return arn.rpartition("/")[0] + "/" + "0" * 32


@FILTER_IGNORED
def test_one_is_found_by_its_ec2_instance_id(face: Face) -> None:
    face.cluster("payments")
    wanted, _ = face.register("payments", 2)

    assert face.ecs.find("payments", [wanted.ec2_instance_id]) == [wanted.arn]


# Paging a cluster of hundreds at each pass empties the account's read bucket.
@FILTER_IGNORED
def test_defect_02_many_are_found_by_one_filtered_call_in_a_cluster_of_350(face: Face) -> None:
    face.cluster("payments")
    wanted = face.register("payments", 350)[200:300]

    found = face.ecs.find("payments", [one.ec2_instance_id for one in wanted])

    assert sorted(found) == sorted(one.arn for one in wanted)
    assert face.operations() == ["ListContainerInstances"]


# With the first page alone, the others would be "not in the cluster" and let go undrained.
@FILTER_IGNORED
def test_defect_02_more_than_a_hundred_are_found_whole(face: Face) -> None:
    face.cluster("payments")
    wanted = face.register("payments", 250)

    found = face.ecs.find("payments", [one.ec2_instance_id for one in wanted])

    assert sorted(found) == sorted(one.arn for one in wanted)
    assert [one.parameters["filter"].count("i-") for one in face.asked] == [100, 100, 50]


@FILTER_IGNORED
def test_what_is_in_no_cluster_is_found_in_none(face: Face) -> None:
    face.cluster("payments")
    (there,) = face.register("payments")

    assert face.ecs.find("payments", [ABSENT]) == []
    assert face.ecs.find("payments", [ABSENT, there.ec2_instance_id]) == [there.arn]


@FILTER_IGNORED
def test_what_is_in_another_cluster_is_not_found(face: Face) -> None:
    face.cluster("payments")
    face.cluster("orders")
    (elsewhere,) = face.register("orders")

    assert face.ecs.find("payments", [elsewhere.ec2_instance_id]) == []


# "Container instances cannot be empty": the sample Lambdas die of it on an empty cluster.
def test_defect_03_nothing_to_ask_about_asks_nothing(face: Face) -> None:
    assert face.ecs.find("payments", []) == []
    assert face.ecs.describe("payments", []) == []
    assert face.ecs.tasks("payments", []) == {}
    assert face.auto_scaling.lifecycle_states([]) == {}
    assert face.asked == []


@pytest.mark.parametrize(
    "ask",
    [
        pytest.param(
            lambda ecs: ecs.find("slip", [ABSENT]),
            id="find",
            marks=pytest.mark.moto_fault(
                "list_container_instances of an unknown cluster returns [] "
                "instead of ClusterNotFoundException"
            ),
        ),
        pytest.param(lambda ecs: ecs.describe("slip", ["0" * 32]), id="describe"),
        pytest.param(lambda ecs: ecs.set_draining("slip", ["0" * 32]), id="set_draining"),
        pytest.param(
            lambda ecs: ecs.put_attributes("slip", [("0" * 32, "name", "value")]),
            id="put_attributes",
        ),
        pytest.param(
            lambda ecs: ecs.task_ids("slip", "0" * 32, desired_status="RUNNING"), id="task_ids"
        ),
        pytest.param(lambda ecs: ecs.tasks("slip", ["0" * 32]), id="tasks"),
        pytest.param(lambda ecs: ecs.stop_task("slip", "0" * 32, "why"), id="stop_task"),
    ],
)
# A typo in the cluster's name taken for "not registered" lets go what is in full service.
def test_defect_10_a_missing_cluster_is_an_error_of_its_own(
    face: Face, ask: Callable[[EcsGateway], Any]
) -> None:
    face.cluster("payments")

    with pytest.raises(ClusterMissingError, match="Cluster"):
        ask(face.ecs)


def test_described_ones_say_who_they_are(face: Face) -> None:
    face.cluster("payments")
    made = face.register("payments", 3)

    described = face.ecs.describe("payments", [one.arn for one in made])

    assert {(one.ec2_instance_id, one.arn) for one in described} == {
        (one.ec2_instance_id, one.arn) for one in made
    }
    assert [
        (one.status, one.agent_connected, one.drained_for, one.interrupted) for one in described
    ] == [("ACTIVE", True, "", "")] * 3


# What is registered after a drain has not been set DRAINING by it.
def test_described_ones_say_when_they_were_registered(face: Face) -> None:
    face.cluster("payments")
    (there,) = face.register("payments")

    [described] = face.ecs.describe("payments", [there.arn])

    assert described.registered_at is not None
    assert described.registered_at.tzinfo is not None


def test_a_cluster_may_be_named_by_its_arn(face: Face) -> None:
    arn = face.cluster("payments")
    (there,) = face.register("payments")

    assert [one.arn for one in face.ecs.describe(arn, [there.arn])] == [there.arn]


# One that has gone must not spoil the look at the others.
def test_defect_10_a_missing_one_is_left_out_and_the_others_are_described(face: Face) -> None:
    face.cluster("payments")
    first, second = face.register("payments", 2)

    asked = [first.arn, absent_arn(first.arn), second.arn]

    assert {one.arn for one in face.ecs.describe("payments", asked)} == {first.arn, second.arn}
    assert face.ecs.describe("payments", [absent_arn(first.arn)]) == []


def test_defect_02_more_than_a_hundred_are_described_by_hundreds(face: Face) -> None:
    face.cluster("payments")
    made = face.register("payments", 130)

    described = face.ecs.describe("payments", [one.arn for one in made])

    assert {one.arn for one in described} == {one.arn for one in made}
    assert [len(one.parameters["containerInstances"]) for one in face.asked] == [DESCRIBE_MAX, 30]


def test_running_tasks_are_counted(face: Face) -> None:
    face.cluster("payments")
    busy, idle = face.register("payments", 2)
    face.tasks("payments", busy, 3)

    described = {one.arn: one for one in face.ecs.describe("payments", [busy.arn, idle.arn])}

    assert (described[busy.arn].running_tasks, described[busy.arn].pending_tasks) == (3, 0)
    assert (described[idle.arn].running_tasks, described[idle.arn].pending_tasks) == (0, 0)


# A pending task not counted is a task that starts on an instance which is let go.
@pytest.mark.moto_fault("pendingTasksCount is never anything but 0")
def test_defect_04_pending_tasks_are_counted_apart(face: Face) -> None:
    face.cluster("payments")
    (there,) = face.register("payments")
    face.tasks("payments", there, 2)
    face.tasks("payments", there, last_status="PENDING")

    (described,) = face.ecs.describe("payments", [there.arn])

    assert (described.running_tasks, described.pending_tasks) == (2, 1)


# Why counts alone never mean "drained": this task still serves requests.
@pytest.mark.moto_fault("a task is STOPPED as soon as it is desired to be")
def test_defect_01_a_stopping_task_is_in_no_count(face: Face) -> None:
    face.cluster("payments")
    (there,) = face.register("payments")
    face.tasks("payments", there, desired_status="STOPPED", last_status="DEACTIVATING")

    (described,) = face.ecs.describe("payments", [there.arn])

    assert (described.running_tasks, described.pending_tasks) == (0, 0)


# What is wanted and is in no counter yet would be listed too late, and cut.
def test_a_wanted_task_takes_memory(face: Face) -> None:
    face.cluster("payments")
    busy, idle = face.register("payments", 2)
    face.tasks("payments", busy)

    described = {one.arn: one for one in face.ecs.describe("payments", [busy.arn, idle.arn])}

    assert {arn: one.memory_is_free for arn, one in described.items()} == {
        busy.arn: False,
        idle.arn: True,
    }


def test_a_silent_agent_is_seen(simulation: SimulationFace) -> None:
    simulation.cluster("payments")
    (there,) = simulation.register("payments")
    simulation.account.ecs.connect_agent(there.ec2_instance_id, connected=False)

    (described,) = simulation.ecs.describe("payments", [there.arn])

    assert not described.agent_connected


def test_ten_are_set_draining_by_one_call(face: Face) -> None:
    face.cluster("payments")
    made = face.register("payments", UPDATE_STATE_MAX + 1)
    arns = [one.arn for one in made]

    refusals = face.ecs.set_draining("payments", arns[:UPDATE_STATE_MAX])

    assert refusals == {}
    assert face.operations() == ["UpdateContainerInstancesState"]
    statuses = {one.arn: one.status for one in face.ecs.describe("payments", arns)}
    assert statuses == {
        **dict.fromkeys(arns[:UPDATE_STATE_MAX], "DRAINING"),
        arns[UPDATE_STATE_MAX]: "ACTIVE",
    }


@pytest.mark.moto_fault("update_container_instances_state takes 11 ids (AWS: 10)")
def test_eleven_are_refused(face: Face) -> None:
    face.cluster("payments")
    made = face.register("payments", UPDATE_STATE_MAX + 1)

    with pytest.raises(RefusedError):
        face.ecs.set_draining("payments", [one.arn for one in made])


@pytest.mark.moto_fault("failures carry the ARN in its old form, without the cluster")
def test_defect_10_a_refusal_names_its_container_instance_and_holds_up_no_other(
    face: Face,
) -> None:
    face.cluster("payments")
    (there,) = face.register("payments")
    gone = absent_arn(there.arn)

    assert face.ecs.set_draining("payments", [gone, there.arn]) == {gone: "MISSING"}
    assert [one.status for one in face.ecs.describe("payments", [there.arn])] == ["DRAINING"]


def test_one_that_is_registering_is_refused(simulation: SimulationFace) -> None:
    simulation.cluster("payments")
    early = simulation.account.ecs.register("payments", ABSENT, status="REGISTERING")

    with pytest.raises(RefusedError, match="REGISTERING"):
        simulation.ecs.set_draining("payments", [early.arn])


def test_who_set_it_draining_is_read_back_as_it_was_written(face: Face) -> None:
    # What is not read as set DRAINING by us stays DRAINING once it is back in service.
    face.cluster("payments")
    stacks, spots, plain = face.register("payments", 3)

    face.ecs.put_attributes(
        "payments",
        [(stacks.arn, DRAINED_FOR, STACK), (spots.arn, INTERRUPTED, "stop/1795191296")],
    )

    described = face.ecs.describe("payments", [one.arn for one in (stacks, spots, plain)])
    assert {one.arn: (one.drained_for, one.interrupted) for one in described} == {
        stacks.arn: (STACK, ""),
        spots.arn: ("", "stop/1795191296"),
        plain.arn: ("", ""),
    }
    assert face.operations() == ["PutAttributes", "DescribeContainerInstances"]


def test_a_later_attribute_replaces_the_earlier(face: Face) -> None:
    face.cluster("payments")
    (there,) = face.register("payments")

    for value in ("stop/1795191296", "stop/1795191300"):
        face.ecs.put_attributes("payments", [(there.arn, INTERRUPTED, value)])

    [described] = face.ecs.describe("payments", [there.arn])
    assert described.interrupted == "stop/1795191300"


# Anyone may write attributes; a crash at each look would end the drain's chain permanently.
def test_an_attribute_without_a_value_is_as_good_as_none(face: Face) -> None:
    face.cluster("payments")
    (there,) = face.register("payments")
    attributes = [
        {"name": name, "targetType": "container-instance", "targetId": there.arn.split("/")[-1]}
        for name in (DRAINED_FOR, INTERRUPTED)
    ]
    face.client("ecs").put_attributes(cluster="payments", attributes=attributes)

    [described] = face.ecs.describe("payments", [there.arn])

    assert (described.drained_for, described.interrupted) == ("", "")


# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_PutAttributes.html
# A user may have used all ten: whom it was set DRAINING for cannot be noted then.
@pytest.mark.parametrize(("count", "refused"), [(9, False), (10, True)])
def test_an_eleventh_custom_attribute_is_refused(
    simulation: SimulationFace, count: int, refused: bool
) -> None:
    simulation.cluster("payments")
    (there,) = simulation.register("payments", 1)
    simulation.ecs.put_attributes(
        "payments", [(there.arn, f"team.{number}", "taken") for number in range(count)]
    )

    if refused:
        with pytest.raises(MisconfiguredError, match="AttributeLimitExceededException"):
            simulation.ecs.put_attributes("payments", [(there.arn, "drainer.a", "value")])
    else:
        simulation.ecs.put_attributes("payments", [(there.arn, "drainer.a", "value")])
    # One that is there already may have another value.
    simulation.ecs.put_attributes("payments", [(there.arn, "team.0", "other")])


def test_ten_attributes_are_put_by_one_call(face: Face) -> None:
    face.cluster("payments")
    made = face.register("payments", ATTRIBUTES_MAX)

    face.ecs.put_attributes("payments", [(one.arn, DRAINED_FOR, STACK) for one in made])

    described = face.ecs.describe("payments", [one.arn for one in made])
    assert [one.drained_for for one in described] == [STACK] * ATTRIBUTES_MAX


def test_an_attribute_of_one_that_has_gone_is_an_error(face: Face) -> None:
    face.cluster("payments")
    (there,) = face.register("payments")

    with pytest.raises(MisconfiguredError, match="TargetNotFound"):
        face.ecs.put_attributes("payments", [(absent_arn(there.arn), "name", "value")])


@pytest.mark.moto_fault("no pagination")
def test_defect_02_every_page_of_clusters_is_read(face: Face) -> None:
    made = {face.cluster(f"cluster-{number}") for number in range(230)}

    found = face.ecs.clusters()

    assert len(found) == len(made)
    assert set(found) == made
    assert face.operations() == ["ListClusters"] * 3


def test_an_account_without_clusters_has_none(face: Face) -> None:
    assert face.ecs.clusters() == []
