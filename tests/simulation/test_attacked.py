"""What an attack with another fake AWS has broken once, each by its consequence."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from drainer.drain import envelope
from drainer.drain.model import Drain, LifecycleAction
from drainer.simulation.records import ApiError
from drainer.simulation.services.auto_scaling import agents
from drainer.simulation.services.auto_scaling.lifecycle import LAUNCHING, LifecycleHook
from drainer.simulation.services.ecs.definitions import TaskProfile

if TYPE_CHECKING:
    from collections.abc import Callable

    from drainer.simulation.records import Call
    from drainer.simulation.services.ecs.model import Task
    from tests.simulation.conftest import World

SWEEP_SECONDS = 300
PASS_SECONDS = 15 + 1
GROUP, CLUSTER = "payments-asg", "payments"
MADE_UP = "00000000-0000-4000-8000-000000000000"


def lose_notifications(world: World) -> None:
    """Let no notification arrive from now on; the sweep is what is left."""
    world.installed.topic.subscriptions[0].channel.faults.append(lambda _: ())


def refuse(world: World, operation: str, code: str) -> Callable[[], None]:
    """Let calls of an operation fail until what is returned is called."""

    def intercept(call: Call) -> None:
        if call.operation == operation:
            raise ApiError(code, "refused by the test")

    world.account.interceptors.append(intercept)
    return lambda: world.account.interceptors.remove(intercept)


def nameless(world: World, ec2_instance_id: str, **claims: Any) -> str:
    """An envelope without a token, which anybody can make up who may write to the queue."""
    now = world.account.now
    drain = Drain(LifecycleAction(GROUP, "drainer", ec2_instance_id, ""), now, now, hop=4)
    return json.dumps({**json.loads(envelope.encode(drain)), **claims})


# -- released over what runs


def test_f1_an_agent_that_is_away_does_not_make_one_empty_answer_an_absence(
    make_world: Callable[..., World],
) -> None:
    # Searches that had found it disconnected counted as searches that had found nothing: the next
    # answer without it released the instance as unregistered, with all that ran on it.
    world = make_world({"DRAINER_CLUSTERS": ""})
    world.group()
    world.hook("second")
    world.service()
    ecs = world.account.ecs
    [leaving] = [world.oldest]
    arn = ecs.registrations(leaving)[0].arn
    ecs.connect_agent(leaving, connected=False)
    world.account.after(90, lambda: ecs.connect_agent(leaving, connected=True))
    world.scale_in()
    api: Any = world.account.apis["ecs"]
    right = api.list_container_instances, api.describe_container_instances

    def is_late() -> bool:
        # Less long than answers are assumed to be late.
        return 50 <= world.seconds(world.account.now) < 68

    def listing(parameters: dict[str, Any]) -> dict[str, Any]:
        answer = right[0](parameters)
        arns = [one for one in answer["containerInstanceArns"] if not (is_late() and one == arn)]
        return {**answer, "containerInstanceArns": arns}

    def describing(parameters: dict[str, Any]) -> dict[str, Any]:
        answer = right[1](parameters)
        rows = answer["containerInstances"]
        shown = [row for row in rows if not (is_late() and row["containerInstanceArn"] == arn)]
        lacks = [{"arn": arn, "reason": "MISSING"}] if len(shown) < len(rows) else []
        return {**answer, "containerInstances": shown, "failures": answer["failures"] + lacks}

    api.list_container_instances, api.describe_container_instances = listing, describing

    action = world.until_answered()

    assert action.ended_by == "completed"
    assert "unregistered" not in world.reports.phases
    assert world.left_behind == []


def test_f1_an_agent_that_registers_anew_is_searched_for_from_the_first_cluster_on(
    make_world: Callable[..., World],
) -> None:
    # The search that had found the first registration was taken up where it had ended, behind the
    # cluster in which the second one was: one of the two looks that release it as unregistered.
    world = make_world({"DRAINER_CLUSTERS": ""})
    world.account.ecs.create_cluster("zzz")
    world.group()
    world.hook("second")
    ecs = world.account.ecs
    [leaving] = [world.oldest]
    [first] = ecs.registrations(leaving)
    ecs.run_standalone(CLUSTER, leaving)
    world.scale_in()
    world.run(2 * PASS_SECONDS)
    for task in first.remaining_tasks():
        ecs.life.kill(task, "the agent has lost its state")
    ecs.deregister(first)
    ecs.register(CLUSTER, leaving)
    job = ecs.run_standalone(CLUSTER, leaving, seconds=600)

    world.until_answered()

    assert {"unseen", "unregistered"} & set(world.reports.phases) == set()
    assert world.left_behind == []
    assert job.stopped_at


@pytest.mark.parametrize("apart_seconds", [3, 5, 10, 60])
def test_two_hooks_whose_notifications_come_apart_do_not_outdate_each_other(
    make_world: Callable[..., World], apart_seconds: int
) -> None:
    # What each hook's drain wrote down said that the instance had been ACTIVE since the other had
    # seen it DRAINING; so each began again at every pass, and an empty instance stayed for 48 h.
    world = make_world()
    world.group()
    world.hook("second")
    late = {"second": apart_seconds}
    world.installed.topic.subscriptions[0].channel.faults.append(
        lambda text: (late.get(json.loads(str(text.message)).get("LifecycleHookName", ""), 0),)
    )
    [leaving] = [world.oldest]
    world.account.ecs.run_standalone(CLUSTER, leaving, seconds=90)
    world.scale_in()

    world.until_answered(limit_seconds=400)

    actions = world.account.auto_scaling.actions
    assert [action.ended_by for action in actions] == ["completed", "completed"]
    assert world.left_behind == []


def test_what_an_agent_registers_anew_while_it_drains_is_drained_as_well(
    make_world: Callable[..., World],
) -> None:
    # One look at a connected agent settled permanently which registration counts: the old one was
    # empty, and the instance left with the task that had been placed on the new one.
    world = make_world({"DRAINER_CLUSTERS": ""})
    world.group()
    ecs = world.account.ecs
    [leaving] = [world.oldest]
    [first] = ecs.registrations(leaving)
    ecs.run_standalone(CLUSTER, leaving, seconds=35)
    world.scale_in()
    world.run(40)
    ecs.connect_agent(leaving, connected=False)
    first.agent_gone = True
    ecs.register(CLUSTER, leaving)
    job = ecs.run_standalone(CLUSTER, leaving, seconds=300)

    action = world.until_answered()

    assert action.ended_by == "completed"
    assert world.left_behind == []
    assert job.stopped_at


def test_what_an_agent_registers_anew_after_it_was_gone_for_minutes_is_drained_as_well(
    world: World,
) -> None:
    # Two searches had settled that one registration is all there is, and it was never searched for
    # again: the new one stayed ACTIVE, and the instance left with the task that was placed there.
    world.group()
    ecs = world.account.ecs
    [leaving] = [world.oldest]
    [first] = ecs.registrations(leaving)
    old = ecs.run_standalone(CLUSTER, leaving, seconds=3600)
    world.scale_in()
    world.run(40)
    ecs.connect_agent(leaving, connected=False)
    world.run(90)
    first.agent_gone = True
    new = ecs.register(CLUSTER, leaving)
    job = ecs.run_standalone(CLUSTER, leaving, seconds=300)
    world.run(60)
    status = new.status
    # ECS no longer knows of anything where the agent was registered before.
    ecs.life.kill(old, "The agent lost its state")

    action = world.until_answered()

    assert status == "DRAINING"
    assert action.ended_by == "completed"
    assert world.left_behind == []
    assert job.stopped_at


def test_an_earlier_registration_with_tasks_is_drained_beside_the_live_one(world: World) -> None:
    # ECS replaced none of its tasks: they were cut 66 s after the notification, by an orderly
    # scale-in.
    world.group()
    world.service(desired=1)
    ecs = world.account.ecs
    [leaving] = [world.oldest]
    [first] = ecs.registrations(leaving)
    ecs.connect_agent(leaving, connected=False)
    first.agent_gone = True
    live = ecs.register(CLUSTER, leaving)
    world.scale_in()

    world.run(60)

    assert [first.status, live.status] == ["DRAINING", "DRAINING"]


def loses_its_state(world: World, ec2_instance_id: str) -> list[Task]:
    """Let an agent that is away come back as a new container instance; return the earlier tasks."""
    ecs = world.account.ecs
    [first] = ecs.registrations(ec2_instance_id)
    first.agent_gone = True
    ecs.register(CLUSTER, ec2_instance_id)
    return first.remaining_tasks()


@pytest.mark.parametrize("reported", [True, False])
def test_what_ecs_has_told_to_stop_on_an_earlier_registration_is_waited_for_some_minutes(
    world: World, *, reported: bool
) -> None:
    # Seed 4495: told to stop while its agent was away, the task was in no count, and in no listing
    # before the agent registered again. It was RUNNING when the hook was answered.
    world.group()
    ecs = world.account.ecs
    ecs.create_daemon(CLUSTER, "agent")
    [leaving] = [world.oldest]
    ecs.connect_agent(leaving, connected=False)
    world.scale_in()
    world.run(30)
    again_at = world.account.now
    [old] = loses_its_state(world, leaving)
    world.run(200)
    assert (old.desired_status, old.last_status) == ("STOPPED", "RUNNING")
    if reported:
        ecs.life.kill(old, "The agent lost its state")

    action = world.until_answered()

    assert action.ended_by == "completed"
    assert (world.left_behind == []) is reported
    # Nothing may ever report its end: it does not hold the instance to its deadline.
    waited = world.seconds(action.ended_at) - world.seconds(again_at)
    assert waited < (250 if reported else 360)


def test_a_task_that_was_known_before_the_agent_lost_its_state_is_waited_for_some_minutes(
    world: World,
) -> None:
    # ECS described it as RUNNING for eight hours, and the hook was not answered.
    world.group()
    world.service(desired=1)
    [leaving] = [world.oldest]
    world.account.ecs.run_standalone(CLUSTER, leaving, seconds=100_000)
    world.scale_in()
    world.run(60)
    world.account.ecs.connect_agent(leaving, connected=False)
    again_at = world.account.now
    loses_its_state(world, leaving)

    action = world.until_answered()

    assert action.ended_by == "completed"
    assert 300 < world.seconds(action.ended_at) - world.seconds(again_at) < 420


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("kind", ["throttled", "missing"])
def test_an_earlier_registration_that_one_pass_could_not_describe_is_not_forgotten(
    make_world: Callable[..., World], kind: str, *, known: bool
) -> None:
    # A job that no listing had shown was cut four minutes early. One that was known held the
    # instance to its deadline, since the registration that it is on was no longer there for us.
    world = make_world({"DRAINER_CLUSTERS": ""})
    world.group()
    world.service(desired=1)
    ecs = world.account.ecs
    [leaving] = [world.oldest]
    ecs.run_standalone(CLUSTER, leaving, seconds=100_000)
    if known:
        world.scale_in()
        world.run(60)
    ecs.connect_agent(leaving, connected=False)
    if not known:
        world.scale_in()
        world.run(30)
    [first] = ecs.registrations(leaving)
    first.agent_gone = True
    again_at = world.account.now
    ecs.register("search", leaving)  # of another cluster, so that another call describes it
    lacks_once(world, first.arn, kind, at_seconds=world.seconds(again_at) + 60)

    action = world.until_answered()

    assert action.ended_by == "completed"
    assert 300 < world.seconds(action.ended_at) - world.seconds(again_at) < 420


def lacks_once(world: World, arn: str, kind: str, at_seconds: float) -> None:
    """Let one description of a container instance fail, or its answer lack it, from then on."""
    api: Any = world.account.apis["ecs"]
    right, left = api.describe_container_instances, [kind]

    def describing(parameters: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = right(parameters)
        late = world.seconds(world.account.now) >= at_seconds
        if not (left and late and arn in parameters["containerInstances"]):
            return answer
        if left.pop() == "throttled":
            raise ApiError("ThrottlingException", "refused by the test")
        rows = [one for one in answer["containerInstances"] if one["containerInstanceArn"] != arn]
        lacks = {"arn": arn, "reason": "MISSING"}
        return {"containerInstances": rows, "failures": [*answer["failures"], lacks]}

    api.describe_container_instances = describing


def test_what_could_not_be_registered_has_no_task_and_does_not_hold_its_instance(
    world: World,
) -> None:
    # It is never DRAINING, and stays so until its instance is terminated, which waited for it for
    # 48 hours.
    world.group()
    [leaving] = [world.oldest]
    [failed] = world.account.ecs.registrations(leaving)
    world.account.ecs.set_status(failed, "REGISTRATION_FAILED")
    world.account.ecs.connect_agent(leaving, connected=False)
    world.scale_in()

    action = world.until_answered()

    assert (action.result, action.ended_by) == ("CONTINUE", "completed")
    assert world.seconds(action.ended_at) < 120
    assert world.calls("UpdateContainerInstancesState") == 0


def test_an_earlier_registration_that_a_sweep_has_found_is_not_lost_with_its_next_write(
    make_world: Callable[..., World],
) -> None:
    # The record that it had created did not name it, and the next pass found a connected agent: the
    # instance went 73 s later, with all that ran there.
    world = make_world(sweep_interval_seconds=SWEEP_SECONDS)
    world.group()
    world.service(desired=1)
    lose_notifications(world)
    [leaving] = [world.oldest]
    world.scale_in()
    world.account.ecs.connect_agent(leaving, connected=False)
    world.run(100)
    [old] = loses_its_state(world, leaving)
    writes = 0

    def throttle(call: Call) -> None:
        nonlocal writes
        writes += call.operation == "UpdateItem"
        if call.operation == "UpdateItem" and writes == 2:
            raise ApiError("ThrottlingException", "refused by the test")

    world.account.interceptors.append(throttle)
    world.run(400)
    assert writes >= 2
    assert world.account.auto_scaling.actions[-1].is_open
    world.account.ecs.life.kill(old, "The agent lost its state")

    action = world.until_answered()

    assert action.ended_by == "completed"
    assert world.left_behind == []


def test_f4_what_a_failed_pass_saw_active_is_not_released_by_the_old_message(world: World) -> None:
    # It was set DRAINING again, the re-invocation that knew of that was lost, and the message from
    # before, whose set of tasks was closed, came again: it released the new task, which closed.
    world.group()
    world.service(desired=0)
    [leaving] = [world.oldest]
    old = world.account.ecs.run_standalone(CLUSTER, leaving, seconds=130)
    world.scale_in()
    world.run(100)
    instance = world.account.ecs.container_instance(leaving)
    assert instance
    allow = refuse(world, "PublishBatch", "InternalError")
    world.account.ecs.set_status(instance, "ACTIVE")
    job = world.account.ecs.run_standalone(
        CLUSTER, leaving, profile=TaskProfile(start_seconds=5.0, stop_seconds=60.0)
    )
    world.run(2 * PASS_SECONDS)
    allow()
    # The message comes again three minutes after; what closes is in neither of ECS's counters.
    world.run(150)
    world.account.call("ecs", "StopTask", {"cluster": CLUSTER, "task": job.arn})

    action = world.until_answered()

    assert old.last_status == "STOPPED"
    assert world.left_behind == []
    assert job.stopped_at
    assert action.ended_at
    assert action.ended_at >= job.stopped_at


@pytest.mark.parametrize("claims", [{}, {"absent_since": 1}])
def test_f6_a_search_that_a_nameless_message_claims_releases_nothing(
    make_world: Callable[..., World], claims: dict[str, Any]
) -> None:
    # Who may write to the queue said that all clusters had been searched, and in vain: no call was
    # made, and the instance was released with what ran on it.
    world = make_world({"DRAINER_CLUSTERS": ""})
    world.group()
    world.service()
    lose_notifications(world)
    [leaving] = world.scale_in()
    world.redrive(nameless(world, leaving, searched_to="~", searched_at=1, **claims))
    world.run(2 * PASS_SECONDS)

    assert world.calls("CompleteLifecycleAction") == 0
    assert world.left_behind == []


@pytest.mark.parametrize("apart_seconds", [0, 5])
@pytest.mark.parametrize(
    "claims",
    [
        {"hop": 999_999_999},
        {"hop": 999_999_999, "generation": 1},
        # The last hop that is re-invoked: the next one would not.
        {"hop": 2 * 3600 // 15 + 100 - 1, "generation": 1},
    ],
    ids=["no record's", "the record's", "the last"],
)
def test_f6_a_forged_hop_ends_no_chain(
    make_world: Callable[..., World], claims: dict[str, Any], apart_seconds: int
) -> None:
    # It was taken for the latest message of its chain, which had no hops left: the true message was
    # left as its duplicate, in the same batch or the next, and nothing was re-invoked any more.
    world = make_world(sweep_interval_seconds=SWEEP_SECONDS)
    world.group(metadata={"drain_timeout_seconds": 3600})
    world.service()
    lose_notifications(world)
    [leaving] = world.scale_in()
    world.run(SWEEP_SECONDS + 3 * PASS_SECONDS + apart_seconds)
    world.redrive(nameless(world, leaving, **claims))
    world.run(PASS_SECONDS)
    before = world.installed.function.invocations
    # Nobody begins the chain again.
    world.installed.schedule.faults.append(lambda _: ())

    action = world.until_answered()

    assert world.installed.function.invocations > before + 5
    assert action.ended_by == "completed"
    assert world.left_behind == []


@pytest.mark.parametrize("hooks_unreadable", [False, True])
def test_f9_a_made_up_token_beside_the_true_one_does_not_end_its_chain(
    make_world: Callable[..., World], *, hooks_unreadable: bool
) -> None:
    # Both were unproven, and the first of the batch went on alone: it was the made-up one, and the
    # instance waited for the hook's timeout, or for a sweep. So it was while hooks cannot be read.
    world = make_world(batch_window_seconds=1.0)
    fix = refuse(world, "DescribeLifecycleHooks", "InternalFailure")
    if not hooks_unreadable:
        fix()
    world.group()
    world.service()
    [leaving] = [world.oldest]
    world.say(
        {
            "LifecycleHookName": "drainer",
            "AccountId": world.account.account_id,
            "LifecycleTransition": "autoscaling:EC2_INSTANCE_TERMINATING",
            "AutoScalingGroupName": GROUP,
            "Service": "AWS Auto Scaling",
            "Time": world.account.now.isoformat(),
            "EC2InstanceId": leaving,
            "LifecycleActionToken": MADE_UP,
        }
    )
    assert world.scale_in() == [leaving]
    if hooks_unreadable:
        world.run(40)
        fix()

    action = world.until_answered()

    assert len(world.reports.passes[0].outcomes) == 2, "not the batch of this test"
    assert action.ended_by == "completed"
    assert world.left_behind == []


# -- held up, or kept


def test_f2_a_crowd_of_many_groups_and_slow_calls_gets_its_heartbeats(
    make_world: Callable[..., World],
) -> None:
    # What an invocation had no time for came again three minutes later, at the same place of the
    # same batch: hooks timed out, and what ran on their instances was cut.
    world = make_world({"DRAINER_CLUSTERS": ""}, call_seconds={"*": 0.2})
    scaling, ecs = world.account.auto_scaling, world.account.ecs
    for number in range(100):
        name = f"group-{number:02}"
        scaling.create_group(name, cluster=name, desired=2)
        scaling.put_hook(
            LifecycleHook(
                "drainer", name, heartbeat_timeout_seconds=900,
                notification_target_arn=world.installed.topic.arn,
            )
        )  # fmt: skip
        for ec2_instance_id in scaling.groups[name].instances:
            ecs.run_standalone(name, ec2_instance_id, seconds=1500)
    for name in list(scaling.groups):
        scaling.scale_in(name, 2)

    world.until_answered()

    assert {action.ended_by for action in scaling.actions} == {"completed"}
    assert world.left_behind == []
    assert world.killed == []


def test_a_typo_in_the_metadata_ends_no_drain_under_way(make_world: Callable[..., World]) -> None:
    # The function's default deadline was taken for the hook's, and nothing puts a deadline off
    # again: the instance was released over its task, though the typo was corrected a minute later.
    world = make_world({"DRAINER_DRAIN_TIMEOUT_SECONDS": "600"})
    world.group(desired=1, metadata={"drain_timeout_seconds": 7200})
    world.account.ecs.run_standalone(CLUSTER, world.oldest, seconds=3000)
    world.scale_in()
    world.run(1000)

    world.hook(metadata='{"drain_timeout_seconds": 7200,}')
    world.run(60)
    world.hook(metadata={"drain_timeout_seconds": 7200})
    answered = world.until_answered()

    assert world.killed == []
    assert (answered.ended_by, world.reports.phases[-1]) == ("completed", "drained")
    said = [one for report in world.reports.passes for one in report.problems]
    assert all("neither a JSON object" in one for one in said)
    assert said, "not the metadata of this test"


def test_drains_without_a_token_outlast_reads_of_ecs_that_hang(
    make_world: Callable[..., World],
) -> None:
    # Reads of three clusters used up each pass before its first heartbeat.
    slow: dict[str, float] = {}
    world = make_world(
        {"DRAINER_CLUSTERS": ""}, sweep_interval_seconds=SWEEP_SECONDS, call_seconds=slow
    )
    scaling, ecs = world.account.auto_scaling, world.account.ecs
    lose_notifications(world)
    for name in ("a", "b", "c"):
        scaling.create_group(name, cluster=name, desired=1)
        scaling.put_hook(
            LifecycleHook(
                "drainer", name, heartbeat_timeout_seconds=900,
                notification_target_arn=world.installed.topic.arn,
            )
        )  # fmt: skip
        ecs.run_standalone(name, next(iter(scaling.groups[name].instances)), seconds=4500)
        scaling.scale_in(name, 1)
    world.run(SWEEP_SECONDS + 60)

    slow["DescribeContainerInstances"] = 11.5
    allow = refuse(world, "DescribeContainerInstances", "RequestTimeout")
    world.run(1800)
    allow()
    slow.clear()
    world.until_answered()

    assert world.calls("DescribeContainerInstances", error="RequestTimeout") > 0
    assert {action.ended_by for action in scaling.actions} == {"completed"}
    assert world.killed == []


def test_f10_a_foreign_hook_that_cannot_be_read_gets_no_heartbeat(world: World) -> None:
    # EventBridge tells of everybody's hooks: each notification of one kept its instance waiting.
    world.account.auto_scaling.create_group(GROUP, cluster=CLUSTER, desired=3)
    world.hook("backup", target=None, heartbeat_timeout_seconds=300)
    world.service()
    refuse(world, "DescribeLifecycleHooks", "Throttling")

    def deliver(event: dict[str, Any]) -> None:
        if event["source"] == "aws.autoscaling":
            world.installed.function.invoke_asynchronously(event)

    world.account.on_event.append(deliver)
    world.scale_in()

    action = world.until_answered()

    assert world.reports.passes, "the notification did not come"
    assert action.heartbeats == []
    assert world.calls("RecordLifecycleActionHeartbeat", error=None) == 0


def test_f11_standalone_tasks_of_two_clusters_are_both_stopped(world: World) -> None:
    # The second was asked for in the first one's cluster, where ECS does not know it; it ran until
    # the deadline, which cut it.
    world.group(
        metadata={
            "standalone_tasks": "stop", "standalone_grace_seconds": 0,
            "drain_timeout_seconds": 1200,
        }
    )  # fmt: skip
    ecs = world.account.ecs
    [leaving] = [world.oldest]
    ecs.connect_agent(leaving, connected=False)
    ecs.create_cluster("search")
    ecs.register("search", leaving, agent_gone=True)
    jobs = [ecs.run_standalone(cluster, leaving) for cluster in (CLUSTER, "search")]
    world.scale_in()

    world.run(600)

    assert [job.desired_status for job in jobs] == ["STOPPED", "STOPPED"]


# -- what comes back, and what stays


def returned_to_its_pool(make_world: Callable[..., World]) -> tuple[World, str]:
    """
    A group with a warm pool, and its instance that has been drained and goes back to the pool.
    """
    world = make_world(sweep_interval_seconds=SWEEP_SECONDS)
    world.group(desired=2)
    scaling = world.account.auto_scaling
    scaling.warm_pools.create(scaling.groups[GROUP], minimum=0, reuse=True)
    [leaving] = world.scale_in()
    world.until_answered()
    return world, leaving


def test_f3_an_instance_back_from_its_pool_is_not_deregistered_for_a_stale_answer(
    make_world: Callable[..., World],
) -> None:
    # The first look saw its agent away, the second one connected: it was taken for the one that is
    # beside it, and deregistered, so that a running instance was in no cluster any more.
    world, leaving = returned_to_its_pool(make_world)
    scaling, ecs = world.account.auto_scaling, world.account.ecs
    group = scaling.groups[GROUP]
    world.run(SWEEP_SECONDS)
    [known] = ecs.registrations(leaving)
    assert (known.status, known.agent_connected) == ("DRAINING", False)
    scaling.set_desired(group, 2)
    api: Any = world.account.apis["ecs"]
    right = api.describe_container_instances
    stale: list[dict[str, Any]] = []

    def describing(parameters: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = right(parameters)
        if scaling.instances[leaving].lifecycle_state == "InService" and not stale:
            rows = [{**row, "agentConnected": False} for row in answer["containerInstances"]]
            stale.extend(row for row in rows if row["ec2InstanceId"] == leaving)
            return {**answer, "containerInstances": rows}
        return answer

    api.describe_container_instances = describing
    world.run(3 * SWEEP_SECONDS)

    assert stale, "not the answer of this test"
    assert world.calls("DeregisterContainerInstance") == 0
    assert [one.status for one in ecs.registrations(leaving)] == ["ACTIVE"]


def test_one_answer_that_lacks_an_instance_of_a_warm_pool_leaves_it_followed(
    make_world: Callable[..., World],
) -> None:
    # Stopped it has no agent at work that would tell: it came back DRAINING, and stayed so.
    world, leaving = returned_to_its_pool(make_world)
    scaling, ecs = world.account.auto_scaling, world.account.ecs
    group = scaling.groups[GROUP]
    api: Any = world.account.apis["autoscaling"]
    right, empty = api.describe_auto_scaling_instances, []

    def describing(parameters: dict[str, Any]) -> dict[str, Any]:
        if leaving in parameters["InstanceIds"]:
            empty.append(leaving)
            return {"AutoScalingInstances": []}
        answer: dict[str, Any] = right(parameters)
        return answer

    api.describe_auto_scaling_instances = describing
    world.run(2 * SWEEP_SECONDS)
    api.describe_auto_scaling_instances = right
    scaling.set_desired(group, 2)
    world.run(3 * SWEEP_SECONDS)

    assert empty, "no answer of this test"
    assert [one.status for one in ecs.registrations(leaving)] == ["ACTIVE"]


@pytest.mark.parametrize("job", [True, False])
@pytest.mark.parametrize("cluster", [CLUSTER, "search"])
def test_what_an_operator_drains_beside_an_earlier_registration_that_is_left_stays_so(
    make_world: Callable[..., World], cluster: str, *, job: bool
) -> None:
    # ECS counts a job for ever on the registration whose agent has lost its state. While that was
    # followed, each sweep made ACTIVE what an operator was taking out, and ECS placed tasks on it.
    # One without a job is gone by then, in another cluster too.
    world = make_world({"DRAINER_CLUSTERS": ""}, sweep_interval_seconds=SWEEP_SECONDS)
    world.group(desired=2)
    scaling, ecs = world.account.auto_scaling, world.account.ecs
    group = scaling.groups[GROUP]
    scaling.warm_pools.create(group, state="Running", minimum=0, reuse=True)
    if job:
        ecs.run_standalone(CLUSTER, world.oldest, seconds=1e9)
    [leaving] = world.scale_in()
    world.run(20)
    [first] = ecs.registrations(leaving)
    ecs.connect_agent(leaving, connected=False)
    first.agent_gone = True
    second = ecs.register(cluster, leaving)
    world.until_answered()
    assert [first.status, second.status] == ["DRAINING", "DRAINING"]
    world.run(SWEEP_SECONDS)
    scaling.set_desired(group, 2)
    world.run(4 * SWEEP_SECONDS)
    there = [first, second] if job else [second]
    assert ecs.registrations(leaving) == there
    assert (first.status, second.status) == ("DRAINING" if job else "INACTIVE", "ACTIVE")
    before = len(world.reports.returns)

    world.run(12 * SWEEP_SECONDS)
    ecs.set_status(second, "DRAINING")
    world.run(4 * SWEEP_SECONDS)

    assert second.status == "DRAINING"
    assert world.reports.returns[before:] == []


def test_f7_what_was_launched_into_a_pool_and_is_set_draining_by_hand_stays_so(
    make_world: Callable[..., World],
) -> None:
    # The sweep had taken it for one that leaves, and wrote down that its drain was over:
    # whoever set it DRAINING later found it ACTIVE again, and with new tasks on it.
    world = make_world(sweep_interval_seconds=SWEEP_SECONDS)
    world.group(desired=1)
    world.topic("another")
    scaling, ecs = world.account.auto_scaling, world.account.ecs
    group = scaling.groups[GROUP]
    scaling.put_hook(
        LifecycleHook(
            "launch", GROUP, transition=LAUNCHING, heartbeat_timeout_seconds=900,
            notification_target_arn="arn:aws:sns:us-east-1:123456789012:another",
        )
    )  # fmt: skip
    scaling.warm_pools.create(group, state="Running", minimum=1)
    scaling.set_desired(group, 2)
    world.run(group.launch_seconds + 1)
    [launched] = [
        one for one in group.instances.values() if one.lifecycle_state == "Warmed:Pending:Wait"
    ]
    # Its agent comes up while it waits.
    agents.boot(world.account.ecs, launched)
    world.run(SWEEP_SECONDS + 10)
    [known] = ecs.registrations(launched.ec2_instance_id)
    assert world.reports.passes, "no sweep came"
    for action in [one for one in scaling.actions if one.is_open]:
        scaling.lifecycle.end(action, "CONTINUE", "completed")
    scaling.set_desired(group, 3)
    world.run(SWEEP_SECONDS)
    for action in [one for one in scaling.actions if one.is_open]:
        scaling.lifecycle.end(action, "CONTINUE", "completed")
    world.run(10)
    assert launched.lifecycle_state == "InService"

    ecs.set_status(known, "DRAINING")
    world.run(4 * SWEEP_SECONDS)

    assert known.status == "DRAINING"
    assert world.reports.returns == []
