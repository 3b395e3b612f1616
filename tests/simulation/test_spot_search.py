"""Where an interrupted instance is looked for, what is not tried again, and what comes back."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from drainer.simulation.records import ApiError
from drainer.simulation.scenario.client_requests import Mix, Requests
from drainer.simulation.scenario.shipped import role_policy, shipped_stack, spot_policy
from drainer.simulation.services.ecs.definitions import TaskProfile
from drainer.simulation.services.iam.gate import Gate
from drainer.simulation.services.iam.policy import Policy
from tests.simulation.conftest import CLUSTER

if TYPE_CHECKING:
    from collections.abc import Callable

    from drainer.simulation.records import Call
    from drainer.simulation.services.ecs.model import ContainerInstance
    from tests.simulation.conftest import World

# Three times 32 s, with the window of each.
THREE_TRIES_SECONDS = 110
FOREIGN = "i-0123456789abcdef0"
MARK = "drainer.interrupted"


@pytest.fixture
def make_spot_world(make_world: Callable[..., World]) -> Callable[..., World]:
    def make(parameters: dict[str, str] | None = None, **more: Any) -> World:
        world = make_world(spot=True, parameters=parameters, **more)
        account = world.account
        stack = shipped_stack(account.account_id, account.region, **(parameters or {}))
        spot = spot_policy(account.account_id, account.region)
        account.interceptors.remove(world.gate)
        world.gate = Gate(account, Policy([*role_policy(stack).statements, *spot.statements]))
        account.interceptors.append(world.gate)
        return world

    return make


def refuse(world: World, code: str, *operations: str) -> None:
    """Let operations fail from now on."""

    def fail(call: Call) -> None:
        if call.operation in operations:
            raise ApiError(code, "no", 403 if "Denied" in code else 400)

    world.account.interceptors.append(fail)


def counted(world: World) -> Counter[str]:
    return Counter(call.operation for call in world.account.calls)


def container_instance(world: World, ec2_instance_id: str) -> ContainerInstance:
    [found] = world.account.ecs.clusters[CLUSTER].by_ec2_instance_id[ec2_instance_id]
    return found


def interrupt(world: World, ec2_instance_id: str, action: Any = "terminate") -> None:
    world.account.calls.clear()
    world.account.spot.interrupt(ec2_instance_id, action)


# -- one look-up, that no single answer ends


def test_configured_clusters_are_searched_when_auto_scaling_is_throttled(
    make_spot_world: Callable[..., World],
) -> None:
    # In an avalanche Auto Scaling launches replacements and throttles everybody; the instance was
    # never set DRAINING then, though the cluster was configured.
    world = make_spot_world(environ={"DRAINER_CLUSTERS": f"default,{CLUSTER}"})
    world.group()
    world.account.ecs.create_cluster("default")
    refuse(world, "Throttling", "DescribeAutoScalingInstances")
    interrupt(world, world.oldest)
    world.run(2)

    assert container_instance(world, world.oldest).status == "DRAINING"
    assert [report.errors for report in world.reports.reports] == [()]


@pytest.mark.parametrize("clusters", ["old", f"old,{CLUSTER}", ""])
def test_a_disconnected_registration_is_not_drained_in_place_of_the_live_one(
    make_spot_world: Callable[..., World], clusters: str
) -> None:
    # What is left of an earlier registration ended the search: the tasks served on, and were cut.
    world = make_spot_world(environ={"DRAINER_CLUSTERS": clusters})
    world.account.ecs.create_cluster("old")
    world.group()
    leaving = world.oldest
    world.account.ecs.register("old", leaving).agent_connected = False
    interrupt(world, leaving)
    world.run(2)

    assert container_instance(world, leaving).status == "DRAINING"
    (report,) = world.reports.reports
    assert (report.cluster.rpartition("/")[2], report.drained) == (CLUSTER, True)


def test_a_throttled_search_is_not_ended_by_a_disconnected_registration(
    make_spot_world: Callable[..., World],
) -> None:
    # Settled on what was left over, the live one was not looked for again.
    world = make_spot_world(environ={"DRAINER_CLUSTERS": "old"})
    world.account.ecs.create_cluster("old")
    world.group()
    leaving = world.oldest
    world.account.ecs.register("old", leaving).agent_connected = False
    until = world.account.now.timestamp() + 10

    def throttle(call: Call) -> None:
        if call.operation == "ListClusters" and call.at.timestamp() < until:
            raise ApiError("ThrottlingException", "Rate exceeded")

    world.account.interceptors.append(throttle)
    interrupt(world, leaving)
    world.run(2)
    assert container_instance(world, leaving).status == "ACTIVE"
    world.run(35)

    assert container_instance(world, leaving).status == "DRAINING"


@pytest.mark.parametrize("clusters", ["", "default"])
def test_a_wrong_name_in_the_hook_does_not_end_the_search(
    make_spot_world: Callable[..., World], clusters: str
) -> None:
    # One letter in a hook's metadata, and every interruption of the group was without effect.
    world = make_spot_world(environ={"DRAINER_CLUSTERS": clusters})
    world.account.ecs.create_cluster("default")
    world.group(metadata={"cluster": "paymetns"})
    leaving = world.oldest
    interrupt(world, leaving)
    world.run(2)

    assert container_instance(world, leaving).status == "DRAINING"
    assert [report.denied for report in world.reports.reports] == [0]


def test_a_wrong_name_among_the_configured_clusters_does_not_end_the_search(
    make_spot_world: Callable[..., World],
) -> None:
    world = make_spot_world(environ={"DRAINER_CLUSTERS": "paymetns"})
    world.group()
    leaving = world.oldest
    interrupt(world, leaving)
    world.run(2)

    assert container_instance(world, leaving).status == "DRAINING"


# -- what is foreign, and what is denied


def test_a_foreign_interruption_with_narrowed_patterns_is_one_quiet_line(
    make_spot_world: Callable[..., World],
) -> None:
    # Every Spot instance of the account was tried three times and put into the dead letters.
    world = make_spot_world({"ClusterNamePattern": "pay*"}, environ={"DRAINER_CLUSTERS": ""})
    world.group()
    world.account.ecs.create_cluster("others")
    interrupt(world, FOREIGN)
    world.run(300)

    assert [(r.errors, r.retry_reason) for r in world.reports.reports] == [((), "")]
    assert world.installed.dead_letters == []
    assert list(world.installed.function.errors) == []


def test_a_denied_call_is_reported_once_and_not_tried_again(
    make_spot_world: Callable[..., World],
) -> None:
    # It will be denied as long as the role is what it is; a metric and its alarm tell of it.
    world = make_spot_world()
    world.group()
    world.service(desired=6, deregistration_delay_seconds=60.0)
    refuse(world, "AccessDenied", "DeregisterTargets")
    interrupt(world, world.oldest)
    world.run(THREE_TRIES_SECONDS)

    (report,) = world.reports.reports
    assert report.drained
    assert (report.denied, report.retry_reason) == (1, "")
    assert world.installed.dead_letters == []


def test_what_is_throttled_to_the_end_is_tried_three_times_and_kept(
    make_spot_world: Callable[..., World],
) -> None:
    world = make_spot_world()
    world.group()
    refuse(world, "ThrottlingException", "ListContainerInstances")
    interrupt(world, world.oldest)
    world.run(THREE_TRIES_SECONDS)

    assert len(world.reports.reports) == 3
    assert len(world.installed.dead_letters) == 1


def test_a_hundred_foreign_instances_cost_hardly_more_reads_than_one(
    make_spot_world: Callable[..., World],
) -> None:
    # Sixty reads each were six thousand, of which ECS grants the whole account 20 a second.
    world = make_spot_world(environ={"DRAINER_CLUSTERS": ""})
    world.group()
    for number in range(60):
        world.account.ecs.create_cluster(f"team-{number}")
    world.account.calls.clear()
    for number in range(100):
        world.account.spot.interrupt(f"i-{number:017x}")
    world.run(5)

    assert len(world.reports.reports) == 100
    assert counted(world).total() <= 64


def test_duplicates_of_an_event_about_an_instance_in_no_cluster_cost_one_search(
    make_spot_world: Callable[..., World],
) -> None:
    # EventBridge delivers at least once.
    world = make_spot_world(environ={"DRAINER_CLUSTERS": ""})
    world.group()
    interrupt(world, FOREIGN)
    world.run(5)
    interrupt(world, FOREIGN)
    world.run(5)
    assert counted(world).total() == 0

    # It may have registered since.
    world.run(20)
    interrupt(world, FOREIGN)
    world.run(5)
    assert counted(world)["ListContainerInstances"] == 1


@pytest.mark.parametrize("gap", [10, 100])
def test_an_instance_that_registers_after_its_recommendation_is_drained_when_it_is_interrupted(
    make_spot_world: Callable[..., World], gap: int
) -> None:
    # A recommendation found a new instance in no cluster, and for three minutes its interruption
    # was without effect: it took new tasks until Spot killed them.
    world = make_spot_world()
    world.group()
    world.account.spot.recommend_rebalance(FOREIGN)
    world.run(5)
    world.account.ecs.register(CLUSTER, FOREIGN)
    world.run(gap)
    interrupt(world, FOREIGN)
    world.run(5)

    assert container_instance(world, FOREIGN).status == "DRAINING"


def test_one_instance_that_is_throttled_is_the_only_one_that_comes_again(
    make_spot_world: Callable[..., World],
) -> None:
    # A batch that came back as a whole would repeat the calls of a hundred.
    world = make_spot_world()
    world.group()
    world.service(desired=6, deregistration_delay_seconds=60.0)
    first, second, _ = world.account.auto_scaling.groups["payments-asg"].instances
    slow = container_instance(world, second).arn

    def throttle(call: Call) -> None:
        if call.operation == "ListTasks" and call.parameters["containerInstance"] == slow:
            raise ApiError("ThrottlingException", "Rate exceeded")

    world.account.interceptors.append(throttle)
    interrupt(world, first)
    interrupt(world, second)
    world.run(40)

    assert [report.key for report in world.reports.reports] == [first, second, second]
    assert container_instance(world, second).status == "DRAINING"


# -- target groups


def test_tasks_in_the_alternate_target_group_of_blue_green_leave_it(
    make_spot_world: Callable[..., World],
) -> None:
    # After a deployment the tasks are in the group that the service names second: they stayed in.
    world = make_spot_world()
    world.group()
    create = world.account.load_balancing.create_target_group
    blue, green = create("blue"), create("green")
    service = world.account.ecs.create_service(
        CLUSTER, "web", desired=6, target_groups=[green], start_seconds=200.0
    )
    service.blue = blue
    leaving = world.oldest
    interrupt(world, leaving)
    world.run(2)

    states = {one.state for one in green.targets.values() if one.target_id == leaving}
    assert states == {"draining"}
    assert len([one for one in green.targets.values() if one.state == "healthy"]) == 4


@pytest.mark.parametrize(("start", "unserved"), [(5.0, False), (300.0, True)])
def test_the_last_healthy_target_stays_until_a_replacement_is_healthy(
    make_spot_world: Callable[..., World], start: float, unserved: bool
) -> None:
    # A service on one interrupted instance had no target at all for as long as its replacement
    # took to start, though the old one could have served for two minutes.
    world = make_spot_world()
    world.group()
    group = world.account.load_balancing.create_target_group(
        "web", deregistration_delay_seconds=30.0
    )
    profile = TaskProfile(start_seconds=start, healthy_after_seconds=10.0)
    world.account.ecs.create_service(
        CLUSTER, "web", desired=1, target_groups=[group], profile=profile
    )
    stream = Requests(world.account, group, Mix(long_seconds=20.0))
    stream.start()
    leaving = world.oldest
    (target,) = group.targets.values()
    assert target.target_id == leaving
    interrupt(world, leaving)
    world.run(10)
    assert [one.state for one in group.targets.values() if one is target] == ["healthy"]
    world.run(70)
    assert [one for one in group.targets.values() if one is target and one.state == "healthy"] == []
    world.run(35)

    assert bool(stream.unserved) is unserved
    assert stream.cut == []
    assert world.installed.dead_letters == []


def test_where_others_are_healthy_no_target_is_kept(
    make_spot_world: Callable[..., World],
) -> None:
    world = make_spot_world()
    world.group()
    world.service(desired=6, deregistration_delay_seconds=60.0, start_seconds=200.0)
    interrupt(world, world.oldest)
    world.run(2)

    assert [(r.deregistered, r.kept) for r in world.reports.reports] == [((2, 1), ())]


# -- one interruption counts once


def test_an_interruption_that_is_told_of_again_counts_once(
    make_spot_world: Callable[..., World],
) -> None:
    # A dashboard that triples what Spot does is a reason to leave Spot for nothing.
    world = make_spot_world()
    world.group()
    world.installed.spot_rules["Interruptions"].faults.append(lambda _: (0.0, 5.0, 20.0))
    interrupt(world, world.oldest)
    world.run(60)

    assert [report.first for report in world.reports.reports] == [True, False, False]


def test_a_foreign_interruption_does_not_count(make_spot_world: Callable[..., World]) -> None:
    world = make_spot_world()
    world.group()
    interrupt(world, FOREIGN)
    world.run(5)

    assert [report.first for report in world.reports.reports] == [False]


# -- what is stopped or hibernated comes back


def registered(world: World) -> str:
    """Register a container instance whose EC2 instance is in no group."""
    world.group()
    alone = "i-0aaaaaaaaaaaaaaaa"
    world.account.ecs.register(CLUSTER, alone)
    return alone


def stopped(world: World, action: str) -> str:
    """Let Spot stop an instance of no group, and two minutes pass."""
    alone = registered(world)
    interrupt(world, alone, action)
    world.run(2)
    assert container_instance(world, alone).status == "DRAINING"
    return alone


@pytest.mark.parametrize("action", ["stop", "hibernate"])
def test_an_instance_that_spot_gives_back_is_active_again(
    make_spot_world: Callable[..., World], action: str
) -> None:
    # It stayed DRAINING permanently: paid for, and without a task.
    world = make_spot_world(fast_path=True)
    alone = stopped(world, action)
    world.run(600)
    assert container_instance(world, alone).status == "DRAINING"
    world.account.spot.give_back(alone)
    world.run(5)

    instance = container_instance(world, alone)
    assert (instance.status, instance.attributes.get(MARK)) == ("ACTIVE", None)
    assert world.gate.denied == []
    assert [r.active for r in world.reports.reports][-1]


def test_an_instance_is_not_set_active_while_its_two_minutes_last(
    make_spot_world: Callable[..., World],
) -> None:
    # A blinking agent sends the very event of a comeback; new tasks would be killed in a minute.
    world = make_spot_world(fast_path=True)
    alone = stopped(world, "stop")
    for _ in range(3):
        world.run(20)
        world.account.ecs.connect_agent(alone, connected=False)
        world.account.ecs.connect_agent(alone, connected=True)

    world.run(5)
    assert container_instance(world, alone).status == "DRAINING"


def test_what_somebody_else_has_set_draining_stays_so(
    make_spot_world: Callable[..., World],
) -> None:
    world = make_spot_world(fast_path=True)
    alone = registered(world)
    world.account.ecs.set_status(container_instance(world, alone), "DRAINING")
    interrupt(world, alone, "stop")
    world.run(600)
    world.account.spot.give_back(alone)
    world.run(60)

    assert container_instance(world, alone).status == "DRAINING"


@pytest.mark.parametrize("advised", [1, 2])
def test_an_instance_that_was_drained_by_a_recommendation_comes_back_from_its_stop(
    make_spot_world: Callable[..., World], advised: int
) -> None:
    # The recommendation had set it DRAINING without a mark, so that the stop took it for somebody
    # else's: it came back DRAINING, paid for, and without a task.
    world = make_spot_world(fast_path=True)
    alone = registered(world)
    for _ in range(advised):
        world.account.spot.recommend_rebalance(alone)
        world.run(60)
    assert container_instance(world, alone).status == "DRAINING"
    interrupt(world, alone, "stop")
    world.run(600)
    world.account.spot.give_back(alone)
    world.run(5)

    instance = container_instance(world, alone)
    assert (instance.status, instance.attributes.get(MARK)) == ("ACTIVE", None)


def test_an_agent_that_connects_again_after_a_recommendation_changes_nothing(
    make_spot_world: Callable[..., World],
) -> None:
    # Spot may take it at any time: it must not get new tasks.
    world = make_spot_world(fast_path=True)
    alone = registered(world)
    world.account.spot.recommend_rebalance(alone)
    world.run(3600)
    world.account.ecs.connect_agent(alone, connected=False)
    world.account.ecs.connect_agent(alone, connected=True)
    world.run(60)

    assert container_instance(world, alone).status == "DRAINING"


def test_stopped_instances_whose_mark_was_throttled_come_back_all_the_same(
    make_spot_world: Callable[..., World],
) -> None:
    # PutAttributes had one try: ten instances for each throttle stayed DRAINING permanently.
    world = make_spot_world(fast_path=True)
    world.group()
    alone = [f"i-{number:017x}" for number in range(30)]
    for one in alone:
        world.account.ecs.register(CLUSTER, one)
    refusals = iter([True, False, True] + [False] * 100)

    def throttle(call: Call) -> None:
        if call.operation == "PutAttributes" and next(refusals):
            raise ApiError("ThrottlingException", "Rate exceeded")

    world.account.interceptors.append(throttle)
    for one in alone:
        interrupt(world, one, "stop")
    world.run(600)
    for one in alone:
        world.account.spot.give_back(one)
    world.run(60)

    assert {container_instance(world, one).status for one in alone} == {"ACTIVE"}


def test_marks_that_stay_throttled_do_not_keep_targets_in(
    make_spot_world: Callable[..., World],
) -> None:
    # What may return can be marked last; what serves requests cannot wait for it.
    world = make_spot_world()
    world.group()
    world.service(desired=6, deregistration_delay_seconds=60.0)
    refuse(world, "ThrottlingException", "PutAttributes")
    interrupt(world, world.oldest, "stop")
    world.run(2)

    assert container_instance(world, world.oldest).status == "DRAINING"
    assert [r.deregistered for r in world.reports.reports] == [(2, 1)]


def test_an_instance_that_takes_no_mark_does_not_keep_nine_others_without(
    make_spot_world: Callable[..., World],
) -> None:
    # ECS refuses the marks of ten for one that has ten attributes of its owner's already.
    world = make_spot_world(fast_path=True)
    world.group()
    alone = [f"i-{number:017x}" for number in range(5)]
    for one in alone:
        world.account.ecs.register(CLUSTER, one)
    full = container_instance(world, alone[2]).arn

    def refuse_full(call: Call) -> None:
        if call.operation == "PutAttributes" and any(
            row["targetId"] in full for row in call.parameters["attributes"]
        ):
            raise ApiError("AttributeLimitExceededException", "no", 400)

    world.account.interceptors.append(refuse_full)
    for one in alone:
        interrupt(world, one, "stop")
    world.run(2)

    marked = [MARK in container_instance(world, one).attributes for one in alone]
    assert marked == [True, True, False, True, True]


@pytest.mark.parametrize("code", ["AttributeLimitExceededException", "ThrottlingException"])
def test_an_instance_that_takes_no_mark_is_set_draining_all_the_same(
    make_spot_world: Callable[..., World], code: str
) -> None:
    # A container instance has ten attributes of its owner's at most.
    world = make_spot_world(fast_path=True)
    refuse(world, code, "PutAttributes")
    alone = stopped(world, "stop")

    assert MARK not in container_instance(world, alone).attributes
    assert [len(report.errors) for report in world.reports.reports] == [1]


def test_a_throttled_return_is_done_again(make_spot_world: Callable[..., World]) -> None:
    # The event of its return comes once.
    world = make_spot_world(fast_path=True)
    alone = stopped(world, "stop")
    world.run(600)
    until = world.account.now.timestamp() + 30

    def throttle(call: Call) -> None:
        if call.operation == "DeleteAttributes" and call.at.timestamp() < until:
            raise ApiError("ThrottlingException", "Rate exceeded")

    world.account.interceptors.append(throttle)
    world.account.spot.give_back(alone)
    world.run(400)

    instance = container_instance(world, alone)
    assert (instance.status, instance.attributes.get(MARK)) == ("ACTIVE", None)


def test_one_that_cannot_be_set_draining_does_not_keep_the_others_active(
    make_spot_world: Callable[..., World],
) -> None:
    # ECS refuses ten container instances for one of them that is being deregistered.
    world = make_spot_world()
    world.group()
    broken, *others = world.account.auto_scaling.groups["payments-asg"].instances
    container_instance(world, broken).status = "DEREGISTERING"
    for one in (broken, *others):
        interrupt(world, one)
    world.run(2)

    assert [container_instance(world, one).status for one in others] == ["DRAINING"] * 2
    assert {r.key: r.denied for r in world.reports.reports} == {
        broken: 1,
        **dict.fromkeys(others, 0),
    }


def test_a_bad_record_and_a_crash_spoil_no_other_interruption(
    make_spot_world: Callable[..., World],
) -> None:
    # A hundred come in one batch: what one of them stumbles over would cost all of them.
    world = make_spot_world()
    world.group()
    world.service(desired=6, deregistration_delay_seconds=60.0)
    first, second, _ = world.account.auto_scaling.groups["payments-asg"].instances
    odd = container_instance(world, second).arn

    def stumble(call: Call) -> None:
        if call.operation == "ListTasks" and call.parameters["containerInstance"] == odd:
            message = "unforeseen"
            raise ValueError(message)

    world.account.interceptors.append(stumble)
    spot = world.installed.spot
    assert spot is not None
    spot.queue.send("not JSON")
    interrupt(world, first)
    interrupt(world, second)
    world.run(5)

    assert [report.deregistered for report in world.reports.reports] == [(2, 1)]
    assert len(world.reports.refusals) == 1
    assert container_instance(world, second).status == "DRAINING"
    world.run(THREE_TRIES_SECONDS)
    # What crashed is kept for the developer, and only that.
    (letter,) = world.installed.dead_letters
    assert second in letter


def test_targets_leave_where_their_health_may_not_be_seen(
    make_spot_world: Callable[..., World],
) -> None:
    # A role of before the last target was kept may not ask; to keep them all would cut requests.
    world = make_spot_world()
    world.group()
    world.service(desired=6, deregistration_delay_seconds=60.0)
    refuse(world, "AccessDenied", "DescribeTargetHealth")
    interrupt(world, world.oldest)
    world.run(60)

    assert [(r.deregistered, r.denied) for r in world.reports.reports] == [((2, 1), 1)]
