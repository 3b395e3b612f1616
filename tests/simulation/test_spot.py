"""Spot takes back, and the production function answers: requests, calls, and what is left alone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from drainer.simulation.records import ApiError
from drainer.simulation.scenario.client_requests import Mix, Requests
from drainer.simulation.scenario.shipped import role_policy, shipped_stack, spot_policy
from drainer.simulation.services.ecs.definitions import CapacityProvider, TaskProfile
from drainer.simulation.services.iam.gate import Gate
from drainer.simulation.services.iam.policy import Policy

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from drainer.simulation.records import Call
    from drainer.simulation.services.ecs.model import Service, Task
    from drainer.simulation.services.elb.target_groups import TargetGroup
    from tests.simulation.conftest import World

CLUSTER = "payments"
TOPIC_ARN = "arn:aws:sns:us-east-1:123456789012:drainer"
WARNING = timedelta(seconds=120)
BEFORE_SECONDS = 60
# Longer than any request of the mix, and within the two minutes.
DELAY_SECONDS = 60
WRITES = {
    "UpdateContainerInstancesState",
    "PutAttributes",
    "StopTask",
    "DeregisterTargets",
    "CompleteLifecycleAction",
    "RecordLifecycleActionHeartbeat",
    "PublishBatch",
}
ON_FARGATE = (CapacityProvider("FARGATE", base=2), CapacityProvider("FARGATE_SPOT"))
# As infra/examples/fargate-spot.yaml has it: it goes on serving after SIGTERM.
PATIENT = TaskProfile(
    network_mode="awsvpc",
    stop_seconds=100.0,
    stop_timeout_seconds=120.0,
    accepts_after_signal_seconds=90.0,
)


@pytest.fixture
def make_spot_world(make_world: Callable[..., World]) -> Callable[..., World]:
    def make(**more: Any) -> World:
        world = make_world(spot=True, **more)
        account = world.account
        # What the function does about Spot, infra/spot.yaml's policy has to allow beside its own.
        role = role_policy(shipped_stack(account.account_id, account.region))
        spot = spot_policy(account.account_id, account.region)
        account.interceptors.remove(world.gate)
        world.gate = Gate(account, Policy([*role.statements, *spot.statements]))
        account.interceptors.append(world.gate)
        return world

    return make


@dataclass
class Watched:
    """A service behind two load balancers, and the requests to both."""

    world: World
    service: Service
    streams: list[Requests]
    warned_at: datetime | None = None

    @property
    def cut_needlessly(self) -> list[str]:
        """What the two minutes would have allowed to end, in words."""
        warned_at = self.warned_at or self.world.account.now
        return [
            f"{stream.group.name} +{(one.sent_at - warned_at).total_seconds():.1f} {one.why}"
            for stream in self.streams
            for one in stream.cut_needlessly(warned_at, warned_at + WARNING)
        ]

    def finish(self) -> None:
        """Let the two minutes pass, and whatever is under way come to its end."""
        self.world.run(150)
        for stream in self.streams:
            stream.stop()
        self.world.run(60)

    @property
    def draining(self) -> list[int]:
        """How many targets each group lets drain."""
        groups = [stream.group for stream in self.streams]
        return [sum(one.state == "draining" for one in g.targets.values()) for g in groups]


def target_groups(world: World, target_type: Any, delay: float) -> list[TargetGroup]:
    create = world.account.load_balancing.create_target_group
    return [
        create(
            f"web-{balancer}",
            target_type=target_type,
            balancer=balancer,
            deregistration_delay_seconds=delay,
        )
        for balancer in ("application", "network")
    ]


def watch(
    world: World, *, delay: float = DELAY_SECONDS, mix: Mix | None = None, **more: Any
) -> Watched:
    """Create a service behind two load balancers, and let it serve for a minute."""
    awsvpc = more.get("profile", TaskProfile()).network_mode == "awsvpc"
    groups = target_groups(world, "ip" if awsvpc else "instance", delay)
    service = world.account.ecs.create_service(
        CLUSTER, "web", target_groups=groups, **{"desired": 6, "start_seconds": 200, **more}
    )
    streams = [Requests(world.account, group, mix or Mix()) for group in groups]
    for stream in streams:
        stream.start()
    world.run(BEFORE_SECONDS)
    world.account.calls.clear()
    return Watched(world, service, streams)


def interrupt(watched: Watched) -> str:
    """Interrupt the instance that the group would let go next."""
    leaving = watched.world.oldest
    watched.warned_at = watched.world.account.now
    watched.world.account.spot.interrupt(leaving)
    return leaving


def on_spot(service: Service) -> Task:
    return next(one for one in service.tasks.values() if one.capacity_provider == "FARGATE_SPOT")


def interrupt_task(watched: Watched, code: str | None = "SpotInterruption") -> Task:
    """Interrupt a task on Fargate Spot."""
    task = on_spot(watched.service)
    watched.warned_at = watched.world.account.now
    watched.world.account.spot.interrupt_fargate(task, code)
    return task


def operations(world: World) -> list[str]:
    return [call.operation for call in world.account.calls]


def reads_before_the_first_write(world: World) -> list[str]:
    made = operations(world)
    first = next(index for index, name in enumerate(made) if name in WRITES)
    return made[:first]


# -- EC2: requests


def test_no_request_is_cut_that_the_two_minutes_allow(
    make_spot_world: Callable[..., World],
) -> None:
    world = make_spot_world()
    world.group()
    watched = watch(world)
    interrupt(watched)
    watched.finish()

    assert watched.cut_needlessly == []
    assert [stream.unserved for stream in watched.streams] == [0, 0]
    assert all(stream.served > 300 for stream in watched.streams)
    assert len(world.killed) == 2
    assert world.gate.denied == []


def test_left_to_ecs_requests_are_cut_for_no_replacement_is_there_in_time(
    make_spot_world: Callable[..., World],
) -> None:
    # Were none cut here, the test before would show nothing.
    world = make_spot_world(environ={"DRAINER_INTERRUPTED_TARGETS": "leave"})
    world.group()
    watched = watch(world)
    interrupt(watched)
    watched.finish()

    names = {line.split()[0] for line in watched.cut_needlessly}
    assert names == {"web-application", "web-network"}
    assert "DeregisterTargets" not in operations(world)
    assert operations(world)[:2] == ["ListContainerInstances", "UpdateContainerInstancesState"]


def test_without_the_drainer_requests_are_cut(make_world: Callable[..., World]) -> None:
    world = make_world()
    world.group()
    watched = watch(world)
    interrupt(watched)
    watched.finish()

    assert watched.cut_needlessly != []


def test_what_is_longer_than_the_two_minutes_is_cut_by_spot_alone(
    make_spot_world: Callable[..., World],
) -> None:
    # The judge must be able to tell these from those that the function could have saved.
    world = make_spot_world()
    world.group()
    watched = watch(world, delay=300, mix=Mix(long_every=20, long_seconds=170))
    interrupt(watched)
    watched.finish()

    assert watched.cut_needlessly == []
    assert sum(len(stream.cut) for stream in watched.streams) > 0


def test_instances_that_go_together_are_each_taken_out(
    make_spot_world: Callable[..., World],
) -> None:
    world = make_spot_world()
    world.group(desired=6)
    watched = watch(world, desired=12)
    first, second, *_ = world.account.auto_scaling.groups["payments-asg"].instances
    watched.warned_at = world.account.now
    for one in (first, second):
        world.account.spot.interrupt(one)
    world.run(1)

    assert watched.draining == [4, 4]
    watched.finish()
    assert watched.cut_needlessly == []


def test_tasks_with_addresses_of_their_own_are_taken_out_by_them(
    make_spot_world: Callable[..., World],
) -> None:
    world = make_spot_world()
    world.group()
    profile = TaskProfile(network_mode="awsvpc", start_seconds=200)
    watched = watch(world, profile=profile)
    leaving = interrupt(watched)
    world.run(1)

    tasks = world.account.ecs.remaining_tasks(leaving)
    drained = {
        target.target_id
        for stream in watched.streams
        for target in stream.group.targets.values()
        if target.state == "draining"
    }
    assert drained == {task.ip_address for task in tasks}
    watched.finish()
    assert watched.cut_needlessly == []


def test_what_will_not_make_it_is_reported(make_spot_world: Callable[..., World]) -> None:
    # An operator whose delay is AWS's default of 300 seconds learns it here or from the users.
    world = make_spot_world()
    world.group()
    interrupt(watch(world, delay=300))
    world.run(1)

    (report,) = world.reports.reports
    (late,) = report.late
    assert "web" in late
    assert "300" in late


# -- EC2: calls


def test_one_read_comes_before_the_first_write_where_the_cluster_is_configured(
    make_spot_world: Callable[..., World],
) -> None:
    world = make_spot_world()
    world.group()
    interrupt(watch(world))
    world.run(1)

    assert reads_before_the_first_write(world) == ["ListContainerInstances"]


def test_three_reads_come_before_it_where_only_the_hook_names_the_cluster(
    make_spot_world: Callable[..., World],
) -> None:
    world = make_spot_world(environ={"DRAINER_CLUSTERS": ""})
    world.group(metadata={"cluster": CLUSTER})
    watched = watch(world)
    leaving = interrupt(watched)
    world.run(1)

    assert reads_before_the_first_write(world) == [
        "DescribeAutoScalingInstances",
        "DescribeLifecycleHooks",
        "ListContainerInstances",
    ]
    instance = world.account.ecs.container_instance(leaving)
    assert instance
    assert instance.status == "DRAINING"
    watched.finish()
    assert watched.cut_needlessly == []


@pytest.mark.parametrize("clusters", [CLUSTER, ""], ids=["cluster configured", "none configured"])
def test_an_instance_in_no_cluster_is_one_quiet_line_and_no_write(
    make_spot_world: Callable[..., World], clusters: str
) -> None:
    # Every Spot instance of the account is told of, most of them none of ours.
    world = make_spot_world(environ={"DRAINER_CLUSTERS": clusters})
    world.group()
    world.account.calls.clear()
    world.account.spot.interrupt("i-0123456789abcdef0")
    world.run(300)

    # The group's hooks cannot be asked, as it is in no group; the clusters that there are can.
    assert len(operations(world)) <= 3
    assert set(operations(world)).isdisjoint(WRITES)
    assert [report.errors for report in world.reports.reports] == [()]
    assert world.reports.refusals == []
    assert list(world.installed.function.errors) == []
    assert world.installed.function.invocations == 1


def test_an_instance_that_is_gone_already_is_one_quiet_line(
    make_spot_world: Callable[..., World],
) -> None:
    # An event may come late, or again.
    world = make_spot_world()
    world.group()
    gone = world.oldest
    world.account.spot.interrupt(gone)
    world.run(400)
    world.account.calls.clear()
    world.account.spot.interrupt(gone)
    world.run(1)

    assert set(operations(world)) == {"ListContainerInstances", "DescribeAutoScalingInstances"}
    assert world.reports.reports[-1].errors == ()


# -- EC2: others at it too


def test_the_later_lifecycle_action_finds_the_work_done(
    make_spot_world: Callable[..., World],
) -> None:
    world = make_spot_world()
    world.group()
    watched = watch(world)
    leaving = interrupt(watched)
    world.run(120 + 30)
    action = world.until_answered(600)

    assert (action.ec2_instance_id, action.result) == (leaving, "CONTINUE")
    assert action.ended_by == "completed"
    assert world.calls("UpdateContainerInstancesState") == 1
    assert world.reports.crashes == []


def test_a_lifecycle_action_during_the_two_minutes_is_harmless(
    make_spot_world: Callable[..., World],
) -> None:
    # Capacity rebalancing lets the group terminate what Spot is about to take.
    world = make_spot_world()
    world.group()
    watched = watch(world)
    leaving = interrupt(watched)
    world.run(5)
    group = world.account.auto_scaling
    group.terminate(group.instances[leaving], decrement=False)
    watched.finish()
    action = world.until_answered(3600)

    assert watched.cut_needlessly == []
    assert (action.result, action.ended_by) == ("CONTINUE", "completed")
    assert world.reports.crashes == []
    assert list(world.installed.function.errors) == []


@pytest.mark.parametrize("delay", [0.0, 5.0], ids=["drainer first", "agent first"])
def test_the_agents_own_draining_at_the_same_time_is_harmless(
    make_spot_world: Callable[..., World], delay: float
) -> None:
    world = make_spot_world()
    world.group()
    world.account.spot.agents_drain = True
    world.installed.spot_rules["Interruptions"].faults.append(lambda _: (delay,))
    watched = watch(world)
    interrupt(watched)
    watched.finish()

    assert watched.cut_needlessly == []
    assert [report.errors for report in world.reports.reports] == [()]


def test_a_rebalance_recommendation_drains_without_urgency(
    make_spot_world: Callable[..., World],
) -> None:
    # It may live on for hours: its targets go as its tasks do, when ECS has replaced them.
    world = make_spot_world()
    world.group()
    watched = watch(world)
    leaving = world.oldest
    world.account.spot.recommend_rebalance(leaving)
    world.run(30)

    instance = world.account.ecs.container_instance(leaving)
    assert instance
    assert instance.status == "DRAINING"
    assert "DeregisterTargets" not in operations(world)
    world.run(1200)
    assert world.account.ecs.remaining_tasks(leaving) == []
    assert [stream.cut for stream in watched.streams] == [[], []]


def test_an_interruption_supersedes_a_rebalance_recommendation(
    make_spot_world: Callable[..., World],
) -> None:
    world = make_spot_world()
    world.group()
    watched = watch(world)
    world.account.spot.recommend_rebalance(world.oldest)
    world.run(20)
    assert watched.draining == [0, 0]
    interrupt(watched)
    world.run(1)

    assert watched.draining == [2, 2]
    watched.finish()
    assert watched.cut_needlessly == []


def test_an_event_that_comes_twice_does_no_harm(make_spot_world: Callable[..., World]) -> None:
    world = make_spot_world()
    world.group()
    world.installed.spot_rules["Interruptions"].faults.append(lambda _: (0.0, 7.0))
    watched = watch(world)
    interrupt(watched)
    watched.finish()

    assert len(world.reports.reports) == 2
    assert watched.cut_needlessly == []
    assert all(report.errors == () for report in world.reports.reports)


def test_a_throttled_interruption_is_done_again_within_the_two_minutes(
    make_spot_world: Callable[..., World],
) -> None:
    # The message comes back after half a minute: more than half of the time is left then.
    world = make_spot_world()
    world.group()
    watched = watch(world, mix=Mix(long_seconds=20.0))

    def throttle(call: Call) -> None:
        soon = world.account.now < (watched.warned_at or world.account.now) + timedelta(seconds=5)
        if call.operation == "ListTasks" and soon:
            raise ApiError("ThrottlingException", "Rate exceeded")

    world.account.interceptors.append(throttle)
    interrupt(watched)
    world.run(1)
    assert watched.draining == [0, 0]
    world.run(33)
    assert watched.draining == [2, 2]
    watched.finish()
    assert watched.cut_needlessly == []


# -- Fargate


def on_fargate(world: World, *, mix: Mix | None = None, **more: Any) -> Watched:
    # The cluster is read from the event, whatever the function is configured with.
    return watch(world, mix=mix, capacity_providers=ON_FARGATE, **{"profile": PATIENT, **more})


@pytest.mark.parametrize("after", [0.0, 45.0, None], ids=["at once", "late", "never"])
def test_no_request_to_a_fargate_task_is_cut_whenever_ecs_deregisters(
    make_spot_world: Callable[..., World], after: float | None
) -> None:
    world = make_spot_world()
    world.account.spot.deregister_after_seconds = after
    watched = on_fargate(world)
    interrupt_task(watched)
    world.run(1)

    assert watched.draining == [1, 1]
    watched.finish()
    assert [stream.cut for stream in watched.streams] == [[], []]
    assert world.gate.denied == []


@pytest.mark.parametrize("after", [95.0, None], ids=["late", "never"])
def test_without_the_drainer_ecss_own_deregistration_comes_too_late(
    make_world: Callable[..., World], after: float | None
) -> None:
    world = make_world()
    world.account.spot.deregister_after_seconds = after
    watched = on_fargate(world)
    interrupt_task(watched)
    watched.finish()

    names = {line.split()[0] for line in watched.cut_needlessly}
    assert names == {"web-application", "web-network"}


@pytest.mark.parametrize("code", ["SpotInterruption", "TerminationNotice", None])
def test_a_fargate_interruption_is_known_by_either_code_or_its_reason(
    make_spot_world: Callable[..., World], code: str | None
) -> None:
    world = make_spot_world()
    world.account.spot.deregister_after_seconds = None
    watched = on_fargate(world)
    interrupt_task(watched, code)
    world.run(1)

    assert watched.draining == [1, 1]


def test_one_read_comes_before_the_deregistration_of_a_fargate_task(
    make_spot_world: Callable[..., World],
) -> None:
    world = make_spot_world(environ={"DRAINER_CLUSTERS": ""})
    watched = on_fargate(world)
    interrupt_task(watched)
    world.run(1)

    assert reads_before_the_first_write(world) == ["DescribeServices"]


def test_the_target_groups_of_a_task_set_count_as_well(
    make_spot_world: Callable[..., World],
) -> None:
    # Blue/green services have theirs there alone.
    world = make_spot_world()
    world.account.spot.deregister_after_seconds = None
    watched = on_fargate(world)
    watched.service.in_task_sets = True
    interrupt_task(watched)
    world.run(1)

    assert watched.draining == [1, 1]


def test_both_families_of_addresses_are_taken_out(
    make_spot_world: Callable[..., World],
) -> None:
    world = make_spot_world()
    world.account.spot.deregister_after_seconds = None
    create = world.account.load_balancing.create_target_group
    four = create("web-4", target_type="ip")
    six = create("web-6", target_type="ip", ip_address_type="ipv6")
    service = world.account.ecs.create_service(
        CLUSTER,
        "web",
        desired=4,
        target_groups=[four, six],
        capacity_providers=ON_FARGATE,
        profile=PATIENT,
    )
    task = on_spot(service)
    world.account.spot.interrupt_fargate(task)
    world.run(1)

    assert four.targets[task.ip_address, 80].state == "draining"
    assert six.targets[task.ipv6_address or "", 80].state == "draining"
    assert sum(target.state == "draining" for target in four.targets.values()) == 1
    assert all(report.errors == () for report in world.reports.reports)


def test_a_task_that_scaling_in_stops_does_not_reach_the_function(
    make_spot_world: Callable[..., World],
) -> None:
    # ECS tells of every change of every task; each invocation for nothing costs money.
    world = make_spot_world()
    watched = on_fargate(world)
    watched.service.desired = 3
    world.account.ecs.disturb(watched.service.cluster)
    world.run(300)

    assert len(watched.service.tasks) == 3
    assert world.installed.function.invocations == 0


def test_a_kind_that_is_switched_off_does_not_reach_the_function(
    make_spot_world: Callable[..., World],
) -> None:
    world = make_spot_world(spot_rules=("Interruptions",))
    watched = on_fargate(world)
    interrupt_task(watched)
    world.run(200)

    assert world.installed.function.invocations == 0


def test_the_events_of_one_interruption_do_the_same_twice_without_harm(
    make_spot_world: Callable[..., World],
) -> None:
    # ECS tells of RUNNING and of STOPPING, EventBridge of each at least once.
    world = make_spot_world()
    world.installed.spot_rules["FargateSpot"].faults.append(lambda _: (0.0, 3.0))
    watched = on_fargate(world)
    interrupt_task(watched)
    watched.finish()

    # Two events, twice; those of one second come in one batch.
    assert [report.first for report in world.reports.reports] == [True, False]
    assert all(report.errors == () for report in world.reports.reports)
    assert [stream.cut for stream in watched.streams] == [[], []]


@pytest.mark.parametrize("late", [90.0, 110.0])
def test_a_late_event_does_not_take_out_the_next_task_at_the_same_address(
    make_spot_world: Callable[..., World], late: float
) -> None:
    # ECS had given the address of the task that had ended to a healthy one, which lost its target.
    world = make_spot_world()
    world.installed.spot_rules["FargateSpot"].faults.append(lambda _: (late,))
    balancing = world.account.load_balancing
    group = balancing.create_target_group(
        "web", target_type="ip", deregistration_delay_seconds=10.0
    )
    service = world.account.ecs.create_service(
        CLUSTER,
        "web",
        desired=4,
        target_groups=[group],
        capacity_providers=ON_FARGATE,
        profile=TaskProfile(stop_seconds=5.0, network_mode="awsvpc"),
    )
    world.run(BEFORE_SECONDS)
    task = on_spot(service)
    world.account.spot.interrupt_fargate(task)
    world.run(60)
    assert task.last_status == "STOPPED"
    balancing.register(group, task.ip_address, 80, healthy_after_seconds=0)
    world.run(55)

    assert world.reports.reports
    assert group.targets[task.ip_address, 80].state != "draining"


def test_a_late_event_takes_out_a_task_that_still_runs(
    make_spot_world: Callable[..., World],
) -> None:
    # Its requests are cut at the end of the two minutes all the same.
    world = make_spot_world()
    world.account.spot.deregister_after_seconds = None
    world.installed.spot_rules["FargateSpot"].faults.append(lambda _: (40.0,))
    watched = on_fargate(world)
    interrupt_task(watched)
    world.run(45)

    assert watched.draining == [1, 1]
    assert reads_before_the_first_write(world) == ["DescribeTasks", "DescribeServices"]
