"""
Every example in one embedded account; and the hybrid one drained on both of its halves.

ministack's CloudFormation knows no Spot Fleets, capacity providers, Application Auto Scaling and
CodePipeline. A Spot Fleet has a stand-in with fleets of the simulation; the others are replaced by
a resource without effect (`drainer/simulation/embedded/unknown.py`).
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from drainer.cli.demo import refresh_verdict
from drainer.simulation.embedded.account import IMAGE_PARAMETER, EmbeddedAccount
from drainer.simulation.embedded.bus import Bus
from drainer.simulation.embedded.fleet import fleet_stage
from drainer.simulation.embedded.fleet_watch import FleetSnapshot, FleetWatch
from drainer.simulation.embedded.installation import install_cluster
from drainer.simulation.embedded.roll import RollSnapshot, RollStage, over
from drainer.simulation.embedded.shape import Physics
from drainer.simulation.embedded.spot import SPOT_RULES
from drainer.simulation.embedded.unknown import UNKNOWN_TYPES, without_unknown
from drainer.simulation.scenario.client_requests import Mix
from drainer.simulation.template import body, read_template, with_numbers
from tests.infra.conftest import REQUIRED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from drainer.simulation.embedded.fleet import FleetStage
    from drainer.simulation.embedded.watch import DrainTrack
    from drainer.simulation.template import DeployedStack

INFRA = Path(__file__).resolve().parents[2] / "infra"
FACTOR = 60.0
# None takes as long as the deregistration delay.
MIX = Mix(every_seconds=0.5, lasting_seconds=3.0, long_every=10, long_seconds=20.0)
PHYSICS = Physics(healthy_after_seconds=20.0, stop_seconds=10.0)
# Bounds a test that hangs, and nothing else; no test asserts real time.
REAL_SECONDS_MAX = 300.0
TASK_COUNT = 8
CLUSTER = {
    "InstanceCount": "2",
    "InstanceWarmupSeconds": "30",
    "TaskCount": "4",
    "ApiTaskCount": "2",
    "DeregistrationDelaySeconds": "30",
}
GUARDED = "examples/guarded-group.yaml"
CERTIFICATE_ARN = "arn:aws:acm:us-east-1:123456789012:certificate/1234abcd"


@dataclass(frozen=True)
class Story:
    """
    The hybrid example, of which an instance of the group and the whole fleet were replaced.

    Attributes:
        drained: the instance that left the group.
        rolled: the example cluster beside it, whose group a stack update has replaced meanwhile.
        interrupted: the instance of the new fleet that Spot took back, and how it was then.
    """

    stage: FleetStage
    before: FleetSnapshot
    after: FleetSnapshot
    drained: DrainTrack
    rolled: RollSnapshot
    interrupted: dict[str, Any]


def wait_until(stage: FleetStage, done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + REAL_SECONDS_MAX
    while not done():
        assert time.monotonic() < deadline, stage.embedded.log_tail()
        time.sleep(0.25)


@pytest.fixture(scope="module")
def story(drainer_zip: Path) -> Iterator[Story]:
    with EmbeddedAccount(factor=FACTOR) as embedded:
        stage = fleet_stage(
            embedded,
            infra=INFRA,
            zip_file=drainer_zip,
            parameters={
                **REQUIRED["examples/hybrid.yaml"],
                "DeregistrationDelaySeconds": "30",
                "TaskCount": str(TASK_COUNT),
            },
            physics=PHYSICS,
            mix=MIX,
            example_name="hybrid.yaml",
        )
        spot = embedded.deployment().create_stack("spot", read_template(INFRA / "spot.yaml"), {})
        watch = FleetWatch(stage)
        before = watch.look()
        (group,) = embedded.account.auto_scaling.groups.values()
        roll = roll_stage(stage)
        leaving = next(iter(group.instances))
        embedded.client("autoscaling").terminate_instance_in_auto_scaling_group(
            InstanceId=leaving, ShouldDecrementDesiredCapacity=False
        )
        assert group.name == stage.example.outputs["AutoScalingGroupName"]
        stage.change_image()
        roll.update()
        wait_until(stage, lambda: watch.look().stack_status == "UPDATE_COMPLETE")
        after = watch.look()
        wait_until(stage, lambda: over(roll.look()))
        roll.stop()
        wait_until(stage, lambda: not any(one.under_way for one in roll.look().streams))
        (drained,) = (one for one in stage.watch.look() if one.ec2_instance_id == leaving)
        with Bus(
            embedded.client, [spot.physical_ids[one] for one in SPOT_RULES], embedded.time
        ) as bus:
            interrupted = interrupt(stage, bus)
            assert bus.failures == []
        yield Story(stage, before, after, drained, roll.look(), interrupted)
        assert embedded.failures == []


def roll_stage(stage: FleetStage) -> RollStage:
    """
    Deploy the example cluster beside the drainer that is there, under requests.
    """
    installation = install_cluster(
        stage.embedded,
        infra=INFRA,
        drainer=stage.drainer,
        watch=stage.watch,
        parameters=CLUSTER,
        physics=PHYSICS,
    )
    return RollStage(stage.embedded, installation, CLUSTER, MIX)


def targets_on(stage: FleetStage, ec2_instance_id: str) -> list[str]:
    """
    Return the states of the load balancer's targets on an instance.
    """
    here = stage.embedded.account.ecs.remaining_tasks(ec2_instance_id)
    return [
        target.state
        for balanced in stage.service.balanced
        for target in balanced.target_group.targets.values()
        if target.behind in here
    ]


def interrupt(stage: FleetStage, bus: Bus) -> dict[str, Any]:
    """
    Let Spot take an instance of the new fleet, and say how it is drained before its end.
    """
    with stage.embedded.catching_up() as account:
        *_, fleet = account.fleets.fleets.values()
        taken = fleet.ec2_instance_ids[0]
    # Until its instances had joined, the group took the tasks of the old fleet. These go to it.
    stage.embedded.client("ecs").update_service(
        cluster=stage.cluster, service=stage.service.name, desiredCount=TASK_COUNT + 4
    )
    wait_until(stage, lambda: "healthy" in targets_on(stage, taken))
    with stage.embedded.catching_up() as account:
        account.on_event.append(bus.listen)
        account.spot.interrupt(taken)
        warned_at = account.now
    while True:
        with stage.embedded.catching_up() as account:
            found = account.ecs.container_instance(taken)
            status, targets = found.status if found else "", targets_on(stage, taken)
            assert account.now - warned_at < timedelta(seconds=120), (status, targets)
        if status == "DRAINING" and "healthy" not in targets:
            return {"status": status, "targets": targets}
        time.sleep(0.05)


def test_the_ratio_is_what_was_asked_for(story: Story) -> None:
    # CloudFormation does not compute: a wrong line of the mapping is half of the capacity.
    (fleet,) = story.before.fleets
    groups = story.stage.embedded.account.auto_scaling.groups
    group = groups[story.stage.example.outputs["AutoScalingGroupName"]]

    assert (len(fleet.instances), group.minimum) == (2, 2)


def test_an_instance_of_the_group_leaves_after_its_last_task(story: Story) -> None:
    drained = story.drained

    assert (drained.action.ended_by, drained.action.result) == ("completed", "CONTINUE")
    assert drained.killed == []
    assert drained.last_stopped_at is not None
    assert drained.answered_at is not None
    assert drained.last_stopped_at <= drained.answered_at


def test_the_fleet_is_cancelled_after_its_last_task(story: Story) -> None:
    # What drains the group's half says nothing of the other one.
    old, new = story.after.fleets

    assert (old.left, old.killed) == ((), [])
    assert old.tasks
    assert old.last_stopped_at is not None
    assert old.cancelled_at is not None
    assert old.last_stopped_at < old.cancelled_at
    assert new.state == "active"
    assert [line["request_type"] for line in story.after.answered] == ["Create", "Update", "Delete"]


def test_no_request_is_cut_while_both_halves_are_drained(story: Story) -> None:
    assert story.after.cut == ()
    assert story.after.unserved == 0
    assert story.after.served > 100


def test_an_instance_that_spot_takes_is_drained_within_its_two_minutes(story: Story) -> None:
    # A fleet has no hook: without spot.yaml its tasks serve until they are killed.
    assert story.interrupted["status"] == "DRAINING"
    assert story.interrupted["targets"]
    assert "healthy" not in story.interrupted["targets"]


def test_a_stack_update_with_a_newer_image_replaces_every_instance_of_the_cluster(
    story: Story,
) -> None:
    # The whole promise of cluster.yaml: an update, and no request is cut.
    assert refresh_verdict.problems(story.rolled, expected=2) == []
    assert [one.name.split("-")[1] for one in story.rolled.streams] == ["WebService", "ApiService"]
    assert story.rolled.wanted.endswith(":2")


# -- the others, in the same account


def deploy(story: Story, name: str, **parameters: str) -> DeployedStack:
    stage = story.stage
    template = without_unknown(read_template(INFRA / name))
    image = {"ImageId": IMAGE_PARAMETER} if "ImageId" in template["Parameters"] else {}
    stack_name = f"s{name.removesuffix('.yaml').replace('/', '-')}-{len(parameters)}"
    given = {**REQUIRED[name], **image, **parameters}
    return stage.deployment.create_stack(stack_name, template, given)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("attach.yaml", {}),
        ("dashboard.yaml", {}),
        ("pipeline.yaml", {}),
        ("examples/cluster.yaml", {}),
        (
            "examples/cluster.yaml",
            {"UseCapacityProvider": "true", "CertificateArn": CERTIFICATE_ARN},
        ),
        ("examples/group-with-hook.yaml", {}),
        ("examples/pipeline.yaml", {}),
        (
            "examples/pipeline.yaml",
            {"TaskRoleArn": "arn:aws:iam::123456789012:role/shop"},
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "with" * bool(value),
)
def test_an_example_deploys_whole(story: Story, name: str, parameters: dict[str, str]) -> None:
    # An unknown type, or a reference that leads nowhere, fails the first deployment of each user.
    stack = deploy(story, name, **parameters)
    template = read_template(INFRA / name)
    expected = {
        key
        for key, one in template["Resources"].items()
        if "Condition" not in one or stack.condition(one["Condition"])
    }

    assert set(stack.physical_ids) == expected
    assert set(stack.outputs) == set(template["Outputs"])
    # ministack passes over a reference that leads nowhere, and the reader of templates does not.
    made = {
        key for one in template["Resources"].values() for key, _ in stack.resources(one["Type"])
    }
    assert made == {
        key for key in expected if template["Resources"][key]["Type"] not in UNKNOWN_TYPES
    }


def test_the_guarded_group_deploys(story: Story) -> None:
    # The drainer looks for the group, which the simulation gets as soon as ministack has made it.
    stage = story.stage
    cloudformation = stage.embedded.client("cloudformation")
    name, template = "guarded", read_template(INFRA / GUARDED)
    # ministack's CloudFormation takes functions, no topics.
    token = {"DrainerServiceToken": stage.drainer.outputs["FunctionArn"]}
    given = {**REQUIRED[GUARDED], **token}
    cloudformation.create_stack(
        StackName=name,
        TemplateBody=body(with_numbers(template, given)),
        Parameters=[{"ParameterKey": key, "ParameterValue": one} for key, one in given.items()],
    )

    def made() -> dict[str, str]:
        answer = cloudformation.describe_stack_resources(StackName=name)["StackResources"]
        return {one["LogicalResourceId"]: one.get("PhysicalResourceId", "") for one in answer}

    wait_until(stage, lambda: bool(made().get("Group")))
    with stage.embedded.catching_up() as account:
        account.auto_scaling.create_group(made()["Group"], desired=2, cluster=given["ClusterName"])
    wait_until(stage, lambda: stage.deployment.status(name) != "CREATE_IN_PROGRESS")

    assert stage.deployment.status(name) == "CREATE_COMPLETE"
    # The guard is known by its group, so that it is replaced together with it.
    assert made()["Drain"] == made()["Group"]


@pytest.mark.parametrize("kind", sorted(UNKNOWN_TYPES))
def test_what_is_replaced_is_what_the_emulator_rejects(story: Story, kind: str) -> None:
    # Once it knows a type, the example is to be deployed with it.
    template = {"Resources": {"One": {"Type": kind, "Properties": {}}}}

    with pytest.raises(ClientError, match="Unrecognized resource types"):
        story.stage.embedded.client("cloudformation").create_stack(
            StackName=f"unknown-{kind.rpartition(':')[2]}", TemplateBody=json.dumps(template)
        )
