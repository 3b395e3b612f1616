"""
What is false changes nothing, and beside what is true it changes nothing for the worse.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from drainer.codec import COUNT_MAX
from drainer.custom_resource import re_invocation
from drainer.custom_resource import request as cloudformation
from drainer.custom_resource.progress import Member, RequestProgress, encode
from drainer.custom_resource.properties import Status
from drainer.custom_resource.re_invocation import Continuation
from drainer.custom_resource.record import STACK
from drainer.custom_resource.request import Answer, RequestType
from drainer.simulation.records import ApiError
from drainer.simulation.services.auto_scaling.lifecycle import LifecycleHook
from tests.security.forgeries import ENVELOPES, EVENTS, LONG_AGO, NOTIFICATIONS, enveloped

if TYPE_CHECKING:
    from collections.abc import Callable

    from drainer.drain.model import Drain
    from drainer.simulation.records import Call
    from drainer.simulation.services.cloudformation.custom_resource import CustomResourceRequest
    from drainer.simulation.services.ec2.spot_fleet_model import Fleet
    from tests.security.forgeries import Message
    from tests.simulation.conftest import World

FORGERIES = {**NOTIFICATIONS, **ENVELOPES, **EVENTS}
WRITES = {
    "CompleteLifecycleAction",
    "RecordLifecycleActionHeartbeat",
    "UpdateContainerInstancesState",
    "PutAttributes",
    "StopTask",
    "DeregisterTargets",
}
# Each false message comes within the first 400 seconds; a heartbeat left out shows at 1,000.
TIMEOUT_SECONDS, GRACE_SECONDS, HEARTBEAT_SECONDS = 1200, 600, 600
SWEEP_SECONDS, PASS_SECONDS, PASSES = 300, 15 + 1, 24
# The first look publishes one envelope, so that a second may agree that nothing waits.
PUBLISHED_MAX = 2


def stuck(make_world: Callable[..., World]) -> World:
    """A drain that takes until its deadline, beside a group whose hook is another's."""
    world = make_world(sweep_interval_seconds=SWEEP_SECONDS, fast_path=True)
    world.group(
        heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
        metadata={
            "drain_timeout_seconds": TIMEOUT_SECONDS,
            "standalone_tasks": "stop",
            "standalone_grace_seconds": GRACE_SECONDS,
        },
    )
    world.service(maximum_percent=100)
    world.account.ecs.run_standalone("payments", world.oldest, seconds=None)
    world.topic("another")
    scaling = world.account.auto_scaling
    scaling.create_group("search-asg", cluster="search", desired=2)
    target = world.account.arn("sns", "another")
    scaling.put_hook(LifecycleHook("backup", "search-asg", notification_target_arn=target))
    world.account.ecs.create_service("search", "index", desired=2)
    return world


def deliver(world: World, message: Message) -> None:
    """Let a message in by every door there is: the topic, and both queues."""
    text = json.dumps(message)
    world.installed.topic.publish(text)
    world.installed.notification_queue.send(text)
    world.installed.wait_queue.send(text)


def writes(world: World) -> list[Call]:
    return [call for call in world.account.calls if call.operation in WRITES]


@pytest.mark.parametrize("name", FORGERIES)
def test_what_is_false_about_an_instance_that_stays_changes_nothing(
    make_world: Callable[..., World], name: str
) -> None:
    # A message is a reason to look: nobody's word may drain an instance that is not leaving.
    world = stuck(make_world)

    deliver(world, FORGERIES[name](world, world.oldest))
    world.run(2 * SWEEP_SECONDS)

    assert writes(world) == []
    assert world.reports.crashes == []
    assert world.installed.dead_letters == []
    assert world.installed.wait_queue.messages == []
    assert world.calls("PublishBatch") <= PUBLISHED_MAX


@pytest.mark.parametrize("name", FORGERIES)
def test_what_is_false_about_an_instance_under_anothers_hook_changes_nothing(
    make_world: Callable[..., World], name: str
) -> None:
    # To answer another's hook is to cut what it protects.
    world = stuck(make_world)
    [leaving] = world.account.auto_scaling.scale_in("search-asg", 1)

    deliver(world, FORGERIES[name](world, leaving.ec2_instance_id))
    deliver(
        world,
        {**FORGERIES[name](world, leaving.ec2_instance_id), "AutoScalingGroupName": "search-asg"},
    )
    world.run(2 * SWEEP_SECONDS)

    assert writes(world) == []
    assert world.reports.crashes == []


def judge(world: World, leaving: str) -> None:
    """What holds of a drain that is stuck until its deadline, whatever was said about it."""
    [action] = [one for one in world.account.auto_scaling.actions if one.hook.name == "drainer"]
    answers = [one for one in writes(world) if one.operation == "CompleteLifecycleAction"]
    stops = [one for one in writes(world) if one.operation == "StopTask"]
    instance = world.account.ecs.container_instance(leaving)
    touched = {
        arn
        for one in writes(world)
        if one.operation == "UpdateContainerInstancesState"
        for arn in one.parameters["containerInstances"]
    }

    assert (action.result, action.ended_by) == ("CONTINUE", "completed")
    assert TIMEOUT_SECONDS <= world.seconds(action.ended_at) <= TIMEOUT_SECONDS + SWEEP_SECONDS
    assert all(world.seconds(one.at) >= GRACE_SECONDS for one in stops)
    assert {one.parameters["InstanceId"] for one in answers} == {leaving}
    assert instance is None or touched == {instance.arn}
    assert len(touched) == 1
    assert world.reports.crashes == []
    assert world.installed.dead_letters == []


@pytest.mark.parametrize("at_seconds", [1, 50, 400], ids=lambda at: f"after {at} s")
@pytest.mark.parametrize("name", FORGERIES)
def test_what_is_false_about_a_drain_makes_nothing_early_or_late(
    make_world: Callable[..., World], name: str, at_seconds: int
) -> None:
    # The true notification comes after ten seconds, so that the false one may be the first.
    world = stuck(make_world)
    for subscription in world.installed.topic.subscriptions:
        subscription.channel.faults.append(lambda _: (10.0,))
    [leaving] = world.scale_in()
    world.run(at_seconds)

    deliver(world, FORGERIES[name](world, leaving))
    world.until_answered()

    judge(world, leaving)


THROTTLED_SECONDS = 200


def hooks_cannot_be_read(world: World) -> None:
    def throttle(call: Call) -> None:
        hooks = call.operation == "DescribeLifecycleHooks"
        if hooks and world.seconds(call.at) < THROTTLED_SECONDS:
            raise ApiError("Throttling", "Rate exceeded")

    world.account.interceptors.append(throttle)


@pytest.mark.parametrize("name", ENVELOPES)
def test_a_throttle_on_hooks_makes_nobodys_word_good_for_stopping_tasks(
    make_world: Callable[..., World], name: str
) -> None:
    # Whoever may publish could else choose the moment of a throttle to have tasks stopped.
    world = stuck(make_world)
    [leaving] = world.scale_in()
    world.run(50)

    hooks_cannot_be_read(world)
    deliver(world, FORGERIES[name](world, leaving))
    world.until_answered()

    judge(world, leaving)


@pytest.mark.parametrize("name", ENVELOPES)
def test_a_throttle_on_hooks_makes_nobodys_word_good_for_a_release(
    make_world: Callable[..., World], name: str
) -> None:
    # The hook says to wait for the job; only while it cannot be read could an envelope say else.
    world = make_world(sweep_interval_seconds=SWEEP_SECONDS)
    world.group(metadata={"drain_timeout_seconds": 3000})
    [leaving] = world.scale_in()
    world.account.ecs.run_standalone("payments", leaving, seconds=1000)
    world.run(50)

    hooks_cannot_be_read(world)
    deliver(world, FORGERIES[name](world, leaving))
    action = world.until_answered()

    assert action.ended_by == "completed"
    assert world.left_behind == []


ELSEWHERE = "arn:aws:ecs:us-east-1:123456789012:container-instance/search/" + "0" * 32
# Each is refused by ECS together with all that is asked for in the same call.
POISONS: dict[str, Callable[[Drain], Drain]] = {
    "a container instance of another cluster": lambda drain: replace(
        drain, container_instance_arn=ELSEWHERE
    ),
    "no ARN": lambda drain: replace(drain, container_instance_arn="nonsense"),
    "no task": lambda drain: replace(drain, unfinished=("no task",)),
}


def as_strict_as_ecs(call: Call) -> None:
    """
    Refuse references as ECS does, which the simulated account takes for things it does not have.

    "Identifier is for cluster search. Your cluster is payments", and a task's id has a length.
    https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeContainerInstances.html
    """
    named = {
        "DescribeContainerInstances": call.parameters.get("containerInstances", ()),
        "DescribeTasks": call.parameters.get("tasks", ()),
    }.get(call.operation, ())
    for one in named:
        of_cluster = "/" not in one or one.split("/")[1] == call.parameters["cluster"]
        if not of_cluster or not re.fullmatch(r"[0-9a-f]{32}", one.rpartition("/")[2]):
            raise ApiError("InvalidParameterException", f"Invalid identifier: {one}")


@pytest.mark.parametrize("name", POISONS)
def test_a_reference_that_ecs_refuses_does_not_blind_the_drains_beside_it(
    make_world: Callable[..., World], name: str
) -> None:
    # One false envelope could else hold up every drain of the account until their deadlines.
    world = make_world()
    world.account.interceptors.append(as_strict_as_ecs)
    world.group(6)
    world.service(6)
    leaving, *_ = world.scale_in(3)

    def poison(number: int) -> None:
        change = POISONS[name]
        token = f"{number:036}"
        false = enveloped(lambda _, drain: change(drain), lifecycle_action_token=token)
        world.say(false(world, leaving))

    # Half a second after each pass, so that it shares the next batch with what is true.
    for number in range(PASSES):
        world.account.after(number * PASS_SECONDS + 0.5, partial(poison, number))
    world.until_answered()

    ends = [world.seconds(one.ended_at) for one in world.account.auto_scaling.actions]
    refused = world.calls("DescribeContainerInstances", error="InvalidParameterException")
    refused += world.calls("DescribeTasks", error="InvalidParameterException")
    assert refused >= PASSES
    assert max(ends) <= 390 + 2 * PASS_SECONDS
    assert world.left_behind == []


# -- requests of CloudFormation

WRITES_OF_REQUESTS = {*WRITES, "DeleteAttributes", "PublishBatch"}
KINDS = ("Create", "Update", "Delete")
MARGIN_SECONDS, HOUR_SECONDS, DRAIN_SECONDS = 420, 3600, 390
ELSEWHERE_IN_S3 = (
    "https://cloudformation-custom-resource-response-useast1.s3.us-east-1.amazonaws.com/elsewhere"
)
MADE_UP_STACK = "arn:aws:cloudformation:us-east-1:123456789012:stack/shop/00000000-dead-4bad-9bad"


def guarded(make_world: Callable[..., World]) -> tuple[World, Fleet]:
    """A fleet that serves and is guarded by a custom resource; another has room for its tasks."""
    world = make_world(sweep_interval_seconds=SWEEP_SECONDS, custom_resources=True)
    fleet = world.account.fleets.create("payments", 2, already_running=True)
    world.service(2)
    world.run(60)
    world.account.fleets.create("payments", 2, already_running=True)
    world.account.calls.clear()
    return world, fleet


def ask(world: World, kind: Any, fleet: Fleet, **more: Any) -> CustomResourceRequest:
    """Let CloudFormation make a request; it is at work on the stack until that is answered."""
    properties = {"Cluster": "payments", "SpotFleet": fleet.fleet_id}
    physical_id = None if kind == "Create" else fleet.fleet_id
    return world.account.stacks.request(kind, properties, physical_id=physical_id, **more)


def written(world: World) -> list[str]:
    return [one.operation for one in world.account.calls if one.operation in WRITES_OF_REQUESTS]


def entries(world: World) -> list[str]:
    table = world.account.record_tables.tables[world.installed.records]
    return [f"{one.removeprefix(STACK)}|{other}" for one, other in table.rows]


def nothing_was_touched(world: World) -> bool:
    """Whether no instance was touched, nobody was answered, and nothing is re-invoked any more."""
    attempts = [
        one for request in world.account.stacks.requests.values() for one in request.attempts
    ]
    clean = world.reports.crashes == [] and world.installed.dead_letters == []
    quiet = world.installed.wait_queue.messages == []
    return clean and quiet and attempts == [] and {*written(world)} <= {"PublishBatch"}


def nothing_has_happened(world: World) -> bool:
    """Whether no instance was touched, nobody was answered, and nothing is re-invoked."""
    attempts = [
        one for request in world.account.stacks.requests.values() for one in request.attempts
    ]
    clean = world.reports.crashes == [] and world.installed.dead_letters == []
    return clean and (written(world), attempts, entries(world)) == ([], [], [])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", ["every queue", "function"])
@pytest.mark.parametrize("stack", ["made up", "at rest"])
def test_a_request_for_a_stack_that_does_not_wait_changes_nothing(
    make_world: Callable[..., World], kind: str, way: str, stack: str
) -> None:
    # Who knows what a stack guards could else have it drained whenever he likes.
    world, fleet = guarded(make_world)
    true = ask(world, kind, fleet, timeout_seconds=1)
    world.run(2)
    known = world.account.stacks.stack_id("shop")
    false = {**true.event, "StackId": known if stack == "at rest" else MADE_UP_STACK}

    if way == "function":
        world.installed.function.invoke_asynchronously(false)
    else:
        deliver(world, false)
    world.run(2 * SWEEP_SECONDS)

    assert nothing_was_touched(world)


@pytest.mark.parametrize("kind", KINDS)
def test_a_throttle_on_stacks_makes_nobodys_word_good(
    make_world: Callable[..., World], kind: str
) -> None:
    # Whoever may publish could else choose the moment of a throttle.
    world, fleet = guarded(make_world)
    true = ask(world, kind, fleet, timeout_seconds=1)
    world.run(2)
    throttled_until = world.account.now + timedelta(seconds=THROTTLED_SECONDS)

    def throttle(call: Call) -> None:
        if call.operation == "DescribeStacks" and call.at < throttled_until:
            raise ApiError("Throttling", "Rate exceeded")

    world.account.interceptors.append(throttle)
    deliver(world, {**true.event, "StackId": MADE_UP_STACK})
    world.run(THROTTLED_SECONDS + 2 * SWEEP_SECONDS)

    assert world.calls("DescribeStacks", error="Throttling") > 0
    # It is re-invoked until CloudFormation can be asked, and touches nothing before.
    assert {*written(world)} <= {"PublishBatch"}
    assert true.attempts == []
    assert world.reports.crashes == []
    assert world.installed.wait_queue.messages == []


def test_a_request_that_was_answered_once_is_not_served_again(
    make_world: Callable[..., World],
) -> None:
    # The queue that keeps it for days is somebody's to read, and to send again.
    world, fleet = guarded(make_world)
    request = ask(world, "Delete", fleet)
    request.by_topic(world.installed.topic)
    world.run(2 * DRAIN_SECONDS)
    assert request.answer is not None
    for one in fleet.ec2_instance_ids:
        instance = world.account.ecs.container_instance(one)
        assert instance is not None
        world.account.ecs.set_status(instance, "ACTIVE")
    # CloudFormation is at work on the stack again, about something else.
    ask(world, "Create", fleet)
    world.account.calls.clear()

    deliver(world, request.event)
    world.run(SWEEP_SECONDS)

    assert written(world) == []
    assert len(request.attempts) == 1


def errand_of(request: CustomResourceRequest, change: Any = None) -> RequestProgress:
    """What is under way for a request, by somebody who has seen all of it."""
    read = cloudformation.read(request.event, request.sent_at, request.sent_at)
    progress = RequestProgress(read, looks=5)
    return change(progress) if change else progress


def reinvoked(key: str, hop: int, progress: RequestProgress | None) -> Message:
    message: Message = json.loads(re_invocation.encode(Continuation(key, hop)))
    # Where releases before this one had no table, a message carried it.
    return {**message, "state": encode(progress)} if progress else message


def drained_already(progress: RequestProgress) -> RequestProgress:
    """Every instance that might be asked about is said to be done."""
    note = Member(draining_since=progress.request.started_at, closed=True, settled=True, done=True)
    return replace(progress, history={f"i-{number:017x}": note for number in range(3)})


STATES: dict[str, Any] = {
    "nothing": lambda _: None,
    "that all is drained": drained_already,
    "that SUCCESS is decided": lambda progress: replace(
        progress, answer=Answer(Status.SUCCESS, progress.request.physical_id, "believe me")
    ),
    "that FAILED is decided": lambda progress: replace(
        progress, answer=Answer(Status.FAILED, progress.request.physical_id, "believe me")
    ),
    "that it began long ago": lambda progress: replace(
        progress, request=replace(progress.request, started_at=LONG_AGO)
    ),
    "that nothing is guarded": lambda progress: replace(
        progress, request=replace(progress.request, properties={})
    ),
    "that something else is guarded": lambda progress: replace(
        progress,
        request=replace(
            progress.request, properties={"Cluster": "payments", "AutoScalingGroupName": "another"}
        ),
    ),
    "a short timeout": lambda progress: replace(
        progress,
        request=replace(
            progress.request,
            properties={
                **progress.request.properties,
                "DrainTimeoutSeconds": "1",
                "OnTimeout": "SUCCESS",
            },
        ),
    ),
    "that a Create is meant": lambda progress: replace(
        progress, request=replace(progress.request, request_type=RequestType.CREATE)
    ),
    "another address": lambda progress: replace(
        progress,
        request=replace(progress.request, response_url=ELSEWHERE_IN_S3),
    ),
}
HOPS = {"the same hop": 0, "the next hop": 1}


@pytest.mark.parametrize("claim", STATES)
def test_a_re_invocation_for_a_request_that_nobody_made_changes_nothing(
    make_world: Callable[..., World], claim: str
) -> None:
    # What is published names its request; what it carries is nobody's word.
    world, fleet = guarded(make_world)
    true = ask(world, "Delete", fleet)
    progress = errand_of(true, STATES[claim])
    key = f"{true.event['StackId']}|{true.event['RequestId']}"

    for hop in (0, 1, 7):
        deliver(world, reinvoked(key, hop, progress))
    world.run(2 * SWEEP_SECONDS)

    assert nothing_has_happened(world)


@pytest.mark.parametrize("hop", HOPS)
@pytest.mark.parametrize("at_seconds", [1, 50, 300], ids=lambda at: f"after {at} s")
@pytest.mark.parametrize("claim", STATES)
def test_what_is_claimed_of_a_request_ends_it_neither_early_nor_twice(
    make_world: Callable[..., World], claim: str, at_seconds: int, hop: str
) -> None:
    # CloudFormation takes the fleet down at the first SUCCESS, with whatever runs on it.
    world, fleet = guarded(make_world)
    request = ask(world, "Delete", fleet)
    request.by_topic(world.installed.topic)
    world.run(at_seconds)
    [key] = entries(world)
    passes = world.reports.requests[-1].hop

    deliver(world, reinvoked(key, passes + HOPS[hop], errand_of(request, STATES[claim])))
    world.run(2 * DRAIN_SECONDS)

    [attempt] = request.attempts
    answered_seconds = (attempt.at - request.sent_at).total_seconds()
    last = max(world.last_stopped_seconds(one) for one in fleet.ec2_instance_ids)
    assert (request.faults, request.answer and request.answer["Status"]) == ([], "SUCCESS")
    assert last <= world.seconds(attempt.at)
    assert answered_seconds <= DRAIN_SECONDS + 3 * PASS_SECONDS
    assert world.reports.crashes == []
    assert world.installed.dead_letters == []


@pytest.mark.parametrize("hop", [2, 100, COUNT_MAX], ids=lambda hop: f"hop {hop}")
def test_a_hop_that_is_far_ahead_does_not_keep_a_request_from_its_answer(
    make_world: Callable[..., World], hop: int
) -> None:
    # What the true chain says then is of the past, and the sweep has to take it up.
    world, fleet = guarded(make_world)
    request = ask(world, "Delete", fleet)
    request.by_topic(world.installed.topic)
    world.run(20)
    [key] = entries(world)

    deliver(world, reinvoked(key, hop, None))
    world.run(HOUR_SECONDS)

    assert request.answer is not None
    assert len(request.attempts) == 1
    assert world.account.ecs.remaining_tasks(fleet.ec2_instance_ids[0]) == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_request_in_anothers_name_changes_nothing_of_what_is_written_of_it(
    make_world: Callable[..., World], kind: str
) -> None:
    # StackId and RequestId are in every log line: they must not do for another target.
    world, fleet = guarded(make_world)
    other = world.account.fleets.create("payments", 1, already_running=True)
    request = ask(world, "Delete", fleet)
    request.by_topic(world.installed.topic)
    world.run(20)
    properties = {"Cluster": "payments", "SpotFleet": other.fleet_id, "DrainTimeoutSeconds": "1"}
    false = {**request.event, "RequestType": kind, "ResponseURL": ELSEWHERE_IN_S3}

    deliver(world, {**false, "ResourceProperties": properties})
    world.run(2 * DRAIN_SECONDS)

    instance = world.account.ecs.container_instance(other.ec2_instance_ids[0])
    [attempt] = request.attempts
    last = max(world.last_stopped_seconds(one) for one in fleet.ec2_instance_ids)
    assert instance is not None
    assert instance.status == "ACTIVE"
    assert last <= world.seconds(attempt.at)
    assert request.answer is not None
    assert request.answer["Status"] == "SUCCESS"
