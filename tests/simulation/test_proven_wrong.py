"""What was proven wrong on a fake AWS less kind than ours, each by its consequence."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from drainer.simulation.records import ApiError
from drainer.simulation.services.auto_scaling.lifecycle import LifecycleHook

if TYPE_CHECKING:
    from collections.abc import Callable

    from drainer.simulation.records import Call
    from tests.simulation.conftest import World

SWEEP_SECONDS = 300
PASS_SECONDS = 15 + 1


def lose_notifications(world: World) -> None:
    """Let no notification arrive from now on; the sweep is what is left."""
    world.installed.topic.subscriptions[0].channel.faults.append(lambda _: ())


def refuse(world: World, operation: str, code: str, *, unless: str = "") -> None:
    """Let calls of an operation fail from now on, but for those that mention something."""

    def intercept(call: Call) -> None:
        if call.operation == operation and not (unless and unless in str(call.parameters)):
            raise ApiError(code, "refused by the test")

    world.account.interceptors.append(intercept)


# -- B: released while a task still ran or closed


def test_b1_one_listing_that_lacks_a_closing_task_does_not_release(world: World) -> None:
    # Its memory counts as free, and neither listing has it for some seconds: it was cut.
    world.group()
    world.service(deregistration_delay_seconds=60.0)
    [leaving] = world.scale_in()
    api: Any = world.account.apis["ecs"]
    right = api.list_tasks

    def lacking(parameters: dict[str, Any]) -> dict[str, Any]:
        answer = right(parameters)
        # What is closing is in no listing between the first one's time and shortly before its end.
        blind = 70 <= world.seconds(world.account.now) <= 100
        return {**answer, "taskArns": [] if blind else answer["taskArns"]}

    api.list_tasks = lacking

    world.until_answered()

    assert world.left_behind == []
    assert world.last_stopped_seconds(leaving) >= 100


def test_b3_an_instance_in_the_last_of_250_clusters_is_drained_there(
    make_world: Callable[..., World],
) -> None:
    # "Empty means every cluster": from number 101 on none was searched, and the tasks were cut.
    world = make_world({"DRAINER_CLUSTERS": ""})
    for number in range(250):
        world.account.ecs.create_cluster(f"cluster-{number:03}")
    last = "cluster-249"
    world.account.auto_scaling.create_group("payments-asg", cluster=last, desired=2)
    world.hook(metadata={"drain_timeout_seconds": 3600})
    world.account.ecs.create_service(last, "web", desired=2)
    world.scale_in()

    action = world.until_answered()

    assert world.left_behind == []
    assert world.seconds(action.ended_at) < 3600
    # Nobody has named a cluster, so that nothing is misconfigured.
    assert [problem for report in world.reports.passes for problem in report.problems] == []


def test_b4_an_action_that_follows_one_abandoned_by_hand_has_its_own_deadline(
    make_world: Callable[..., World],
) -> None:
    # It was cut after ten minutes, by the deadline of the action before it.
    world = make_world(sweep_interval_seconds=SWEEP_SECONDS)
    world.group(
        metadata={"drain_timeout_seconds": 3600}, retain_on_abandon=True,
        heartbeat_timeout_seconds=7200,
    )  # fmt: skip
    world.service(maximum_percent=100)
    world.scale_in()
    world.run(3000)
    scaling = world.account.auto_scaling
    first = scaling.actions[-1]
    scaling.lifecycle.end(first, "ABANDON", "operator")
    world.run(100)
    lose_notifications(world)
    scaling.terminate(scaling.instances[first.ec2_instance_id], decrement=False)

    second = world.until_answered()

    assert second is not first
    assert second.ended_at
    assert (second.ended_at - second.started_at).total_seconds() >= 3600


def test_b5_what_was_listed_before_somebody_set_it_active_releases_nothing(world: World) -> None:
    # A task that is placed meanwhile was in no listing from before; one stale answer released it.
    world.group()
    world.service()
    [leaving] = world.scale_in()
    world.run(205)
    instance = world.account.ecs.container_instance(leaving)
    assert instance
    for task in instance.remaining_tasks():
        world.account.ecs.life.kill(task, "ended by itself")
    world.account.ecs.set_status(instance, "ACTIVE")
    job = world.account.ecs.run_standalone("payments", leaving, seconds=900)
    placed_at = world.account.now
    api: Any = world.account.apis["ecs"]
    right = api.list_tasks, api.describe_container_instances

    def is_late() -> bool:
        return world.account.now < placed_at + timedelta(seconds=20)

    def listing(parameters: dict[str, Any]) -> dict[str, Any]:
        answer = right[0](parameters)
        arns = [arn for arn in answer["taskArns"] if not (is_late() and arn == job.arn)]
        return {**answer, "taskArns": arns}

    def describing(parameters: dict[str, Any]) -> dict[str, Any]:
        answer = right[1](parameters)
        counts = {"runningTasksCount": 0, "pendingTasksCount": 0} if is_late() else {}
        rows = [{**row, **counts} for row in answer["containerInstances"]]
        return {**answer, "containerInstances": rows}

    api.list_tasks, api.describe_container_instances = listing, describing

    world.until_answered()

    assert job.ended_at
    assert world.left_behind == []


# -- C: held, or never drained


def test_c2_what_no_record_gives_a_deadline_gets_no_heartbeat(
    make_world: Callable[..., World],
) -> None:
    # It was kept waiting for 48 hours.
    world = make_world(sweep_interval_seconds=SWEEP_SECONDS)
    world.group(metadata={"drain_timeout_seconds": 3600})
    world.service(maximum_percent=100)
    refuse(world, "UpdateItem", "AccessDeniedException")
    lose_notifications(world)
    world.scale_in()

    action = world.until_answered()

    assert action.heartbeats == []
    assert world.seconds(action.ended_at) <= 3600 + SWEEP_SECONDS


def test_c2_ten_attributes_of_its_owner_s_cost_an_instance_nothing(
    make_world: Callable[..., World],
) -> None:
    # With its notification lost it had no place for a deadline, and was left to its hook's timeout,
    # which cut what ran on it.
    world = make_world(sweep_interval_seconds=SWEEP_SECONDS)
    world.group(heartbeat_timeout_seconds=600)
    world.service(deregistration_delay_seconds=900.0)
    instance = world.account.ecs.container_instance(world.oldest)
    assert instance
    instance.attributes.update({f"owner-{number}": "theirs" for number in range(10)})
    refuse(world, "PutAttributes", "AttributeLimitExceededException")
    lose_notifications(world)
    world.scale_in()

    action = world.until_answered()

    assert action.ended_by == "completed"
    assert world.left_behind == []
    assert world.calls("PutAttributes") == 0


def test_c3_a_sweep_over_6000_instances_finds_what_waits(
    make_world: Callable[..., World],
) -> None:
    # Fifty instances a page, it went blind, and the instance was never drained.
    world = make_world(sweep_interval_seconds=SWEEP_SECONDS)
    scaling = world.account.auto_scaling
    for number in range(120):
        scaling.create_group(f"other-{number:03}", desired=50)
    world.group()
    world.service()
    lose_notifications(world)
    world.scale_in()
    before = len(world.account.calls)

    world.until_answered(limit_seconds=3600)

    made = [call.operation for call in list(world.account.calls)[before:]]
    assert world.left_behind == []
    assert made.count("DescribeAutoScalingGroups") <= 6 * (SWEEP_SECONDS // 60)


def test_c4_the_sweep_sees_to_a_hook_that_only_event_bridge_serves(
    make_world: Callable[..., World],
) -> None:
    # One lost re-invocation, and nobody looked after the instance any more.
    world = make_world(sweep_interval_seconds=SWEEP_SECONDS)
    world.account.auto_scaling.create_group("payments-asg", cluster="payments", desired=3)
    world.hook(target=None, metadata={"cluster": "payments"})
    world.service()
    world.scale_in()

    action = world.until_answered()

    assert action.ended_by == "completed"
    assert world.left_behind == []


def test_c5_ten_duplicates_of_one_notification_are_one_chain_whatever_ecs_refuses(
    world: World,
) -> None:
    # Where nothing could be left on the container instance they were ten chains, and a thousand
    # invocations.
    world.group()
    world.service(deregistration_delay_seconds=900.0)
    refuse(world, "PutAttributes", "AccessDeniedException")
    world.installed.topic.subscriptions[0].channel.faults.append(
        lambda _: tuple(float(number) for number in range(10))
    )
    world.scale_in()

    world.until_answered()

    assert world.installed.function.invocations <= 120


# -- A9: what SNS delivers while its filter policies are not yet in force


def test_a9_without_filter_policies_messages_do_not_multiply(world: World) -> None:
    # Each re-invocation came twice, once past the delay: hops ran out in a minute, and the drain
    # was left to its hook's timeout.
    for subscription in world.installed.topic.subscriptions:
        subscription.filter_policy = None
    world.group()
    world.service()
    world.scale_in()

    action = world.until_answered()

    assert action.ended_by == "completed"
    assert world.left_behind == []
    passes = world.seconds(action.ended_at) / PASS_SECONDS
    assert world.installed.function.invocations <= 3 * passes + 5


def test_a_chain_that_has_run_out_of_hops_is_answered_at_its_deadline_by_the_sweep(
    make_world: Callable[..., World],
) -> None:
    # The sweep stopped at the hop limit, too, and the hook's timeout cut the tasks.
    world = make_world(sweep_interval_seconds=SWEEP_SECONDS)
    world.group(metadata={"drain_timeout_seconds": 1800}, heartbeat_timeout_seconds=900)
    world.service(maximum_percent=100)
    [leaving] = world.scale_in()
    world.run(30)
    world.installed.wait_queue.delete(world.installed.wait_queue.messages)
    [item] = world.account.record_tables.tables[world.installed.records].items
    assert item["instance"] == {"S": leaving}
    item["hop"] = {"N": "9999999"}

    action = world.until_answered()

    assert action.ended_by == "completed"
    assert 1800 <= world.seconds(action.ended_at) <= 1800 + SWEEP_SECONDS + PASS_SECONDS


def test_a_launching_hook_of_our_topic_is_never_answered(
    make_world: Callable[..., World],
) -> None:
    # What is launched into a warm pool waits in a state in which terminating hooks wait, too.
    world = make_world(sweep_interval_seconds=SWEEP_SECONDS)
    world.group()
    world.service()
    world.account.auto_scaling.put_hook(
        LifecycleHook(
            "launch",
            "payments-asg",
            transition="autoscaling:EC2_INSTANCE_LAUNCHING",
            notification_target_arn=world.installed.topic.arn,
        )
    )
    [leaving] = world.scale_in()
    world.account.run_for(timedelta(minutes=30).total_seconds())

    kept = [call for call in world.account.calls if "LifecycleAction" in call.operation]
    assert {call.parameters["LifecycleHookName"] for call in kept} == {"drainer"}
    assert world.account.auto_scaling.instances.get(leaving) is None
