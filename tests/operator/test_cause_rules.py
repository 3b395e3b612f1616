from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from drainer.cli.demo.stuck.planted import BEGAN, HERE, MINUTE, NOW, SECOND
from drainer.cli.explain import rules_host, rules_replacement, rules_tasks
from drainer.cli.explain.case import Case
from drainer.cli.explain.causes import Cause, Pace
from drainer.cli.explain.drainers import Group, Hook, Stack
from drainer.cli.explain.estimate import estimate_of
from drainer.cli.explain.facts import (
    Container,
    ContainerInstance,
    Deployment,
    Facts,
    Resources,
    Service,
    ServiceEvent,
    Target,
    TargetGroup,
    Task,
    TaskDefinition,
)
from drainer.cli.explain.finding import Finding, by_importance
from drainer.cli.explain.forecast import replaced
from drainer.cli.explain.judge import Verdict, judge
from drainer.cli.explain.scheduler import is_deadlocked, lacks, limits
from drainer.cli.explain.summary import Clock, several, waits_for

ARN = "arn:aws:ecs:eu-central-1:123456789012"


def instance(**more: Any) -> ContainerInstance:
    given: dict[str, Any] = {"arn": f"{ARN}:container-instance/c/1", "ec2_instance_id": HERE} | more
    return ContainerInstance(cluster="c", status="DRAINING", **given)


def other(number: int = 2, **more: Any) -> ContainerInstance:
    return instance(
        arn=f"{ARN}:container-instance/c/{number}", ec2_instance_id=f"i-{number}", **more
    )


def task(last: str = "RUNNING", **more: Any) -> Task:
    desired = "RUNNING" if last in {"RUNNING", "PENDING", "PROVISIONING"} else "STOPPED"
    given: dict[str, Any] = {
        "arn": f"{ARN}:task/c/{'a' * 32}",
        "group": "service:web",
        "desired": desired,
    } | more
    return Task(last=last, **given)


def newer(last: str = "RUNNING", ago: timedelta = 10 * MINUTE, **more: Any) -> Task:
    given: dict[str, Any] = {
        "created_at": NOW - ago,
        "started_at": NOW - ago,
        "arn": f"{ARN}:task/c/{'b' * 32}",
    }
    return task(last, **(given | more))


def service(**more: Any) -> Service:
    return Service(name="web", **({"desired": 2, "running": 2} | more))


def facts(**more: Any) -> Facts:
    group = Group(name="g", lifecycle_state="Terminating:Wait", terminating_since=BEGAN, hooks=())
    given: dict[str, Any] = {
        "tasks": (task(),),
        "services": {"web": service()},
        "group": group,
    } | more
    return Facts(now=NOW, instance=given.pop("instance", instance()), **given)


def case(**more: Any) -> Case:
    found = facts(**more)
    return Case(found, found.services["web"], found.remaining)


def cause(**more: Any) -> Cause:
    return judge(facts(**more)).main.cause


def said(text: str, ago: timedelta = MINUTE) -> ServiceEvent:
    return ServiceEvent(NOW - ago, f"(service web) {text}")


# -- what the scheduler may do: the table of AWS's rounding


@pytest.mark.parametrize(
    ("desired", "minimum", "maximum", "lowest", "highest", "deadlocked"),
    [
        (1, 100, 200, 1, 2, False),
        (1, 0, 100, 0, 1, False),
        (1, 50, 150, 1, 1, True),
        (1, 100, 100, 1, 1, True),
        (2, 50, 100, 1, 2, False),
        (2, 75, 125, 2, 2, True),
        (2, 100, 150, 2, 3, False),
        (3, 100, 125, 3, 3, True),
        (3, 66, 100, 2, 3, False),
        (4, 100, 125, 4, 5, False),
        (5, 100, 110, 5, 5, True),
        (10, 100, 110, 10, 11, False),
    ],
)
def test_the_limits_are_rounded_as_ecs_rounds_them(  # noqa: PLR0917 (pytest gives names)
    desired: int, minimum: int, maximum: int, lowest: int, highest: int, deadlocked: bool
) -> None:
    # 3 tasks at 100/125 % can never move, though the percentages look as if they could.
    one = service(
        desired=desired, running=desired, minimum_percent=minimum, maximum_percent=maximum
    )

    assert limits(one) == (lowest, highest)
    assert is_deadlocked(one) == deadlocked


@pytest.mark.parametrize("running", [1, 4])
def test_a_service_that_is_not_at_its_limit_is_not_deadlocked(running: int) -> None:
    # With one more ECS can stop one, with one fewer it can start one.
    one = service(desired=3, running=running, minimum_percent=100, maximum_percent=100)

    assert not is_deadlocked(one)


NEEDS = TaskDefinition(
    arn="d", needs=Resources(256, 512, 1, frozenset({8080})), attributes=("ecs.x",)
)
ROOM = Resources(1024, 1024, 1, frozenset({22}))


@pytest.mark.parametrize(
    ("free", "attributes", "expected"),
    [
        (ROOM, {"ecs.x": ""}, set()),
        (replace(ROOM, cpu=255), {"ecs.x": ""}, {Cause.NO_CPU}),
        (replace(ROOM, memory=511), {"ecs.x": ""}, {Cause.NO_MEMORY}),
        (replace(ROOM, gpus=0), {"ecs.x": ""}, {Cause.NO_GPU}),
        (replace(ROOM, ports=frozenset({22, 8080})), {"ecs.x": ""}, {Cause.PORT_TAKEN}),
        (ROOM, {}, {Cause.MISSING_ATTRIBUTE}),
    ],
)
def test_the_room_on_an_instance_is_computed(
    free: Resources, attributes: dict[str, str], expected: set[Cause]
) -> None:
    assert lacks(NEEDS, other(remaining=free, attributes=attributes)) == expected


# -- placement: ECS names one instance and one reason, and others may fail for another one


def test_a_reason_that_all_instances_share_wins_over_ecss_own() -> None:
    # ECS says "CPU" of the closest instance; memory is short on each of them.
    poor = Resources(64, 64, 0, frozenset())
    found = cause(
        services={"web": service(definition="d", events=(said(f"{PLACE}CPU units available."),))},
        definitions={"d": replace(NEEDS, attributes=(), needs=Resources(32, 512))},
        others=(other(2, remaining=poor), other(3, remaining=poor)),
    )

    assert found == Cause.NO_MEMORY


PLACE = "was unable to place a task because no container instance met. It has insufficient "


def test_mixed_reasons_keep_ecss_own() -> None:
    found = judge(
        facts(
            services={
                "web": service(definition="d", events=(said(f"{PLACE}CPU units available."),))
            },
            definitions={"d": replace(NEEDS, attributes=(), needs=Resources(128, 512))},
            others=(
                other(2, remaining=Resources(64, 9_999)),
                other(3, remaining=Resources(9_999, 64)),
            ),
        )
    ).main

    assert found.cause == Cause.NO_CPU
    assert "no-memory on 1 of 2 others" in [one.text for one in found.evidence]


def test_instances_that_are_full_for_several_reasons_are_no_place() -> None:
    # The event may be six hours old or suppressed: the computed room is enough.
    found = cause(
        services={"web": service(definition="d")},
        definitions={"d": replace(NEEDS, attributes=(), needs=Resources(128, 512))},
        others=(
            other(2, remaining=Resources(64, 9_999)),
            other(3, remaining=Resources(9_999, 64)),
        ),
    )

    assert found == Cause.NO_PLACE


@pytest.mark.parametrize("over", ["has started 1 tasks: (task a).", "has reached a steady state."])
def test_a_later_start_ends_unable_to_place(over: str) -> None:
    # Yesterday's full cluster is no reason today.
    events = (said(over), said(f"{PLACE}memory available.", 5 * MINUTE))

    assert cause(services={"web": service(events=events)}) != Cause.NO_MEMORY


def test_an_event_of_yesterday_says_nothing() -> None:
    events = (said(f"{PLACE}memory available.", timedelta(hours=7)),)

    assert cause(services={"web": service(events=events)}) == Cause.UNKNOWN


def test_an_event_five_hours_old_still_holds() -> None:
    # ECS repeats an event only after six hours.
    events = (said(f"{PLACE}memory available.", timedelta(hours=5)),)

    assert cause(services={"web": service(events=events)}) == Cause.NO_MEMORY


# -- replacements


def unhealthy(**more: Any) -> Finding | None:
    target = TargetGroup(arn="t", targets=(Target("10.0.0.1", 80, "unhealthy"),))
    given: dict[str, Any] = {
        "services": {"web": service(target_groups=("t",), grace_seconds=60)},
        "target_groups": {"t": target},
        "elsewhere": {"web": (newer(),)},
    }
    return rules_replacement.unhealthy(case(**(given | more)))


def test_one_failed_check_names_no_cause() -> None:
    # 27 such events of 22 real services all healed by themselves.
    assert unhealthy() is None


def test_two_signs_are_an_unhealthy_replacement() -> None:
    event = said("(task b) is unhealthy in (target-group t) due to (reason Request timed out).")
    found = unhealthy(
        services={"web": service(target_groups=("t",), grace_seconds=60, events=(event,))}
    )

    assert found is not None
    assert "Request timed out" in found.actions[0].text


def test_a_crash_is_no_loop() -> None:
    once = newer("STOPPED", stop_code="EssentialContainerExited", stopped_at=NOW - MINUTE)
    again = replace(once, arn=f"{ARN}:task/c/{'c' * 32}")

    assert rules_replacement.crash_loop(case(elsewhere={"web": (once,)})) is None
    assert rules_replacement.crash_loop(case(elsewhere={"web": (once, again)})) is not None


def test_a_task_older_than_the_drain_is_no_replacement() -> None:
    # It failed for reasons of last night's deployment.
    old = newer("STOPPED", ago=timedelta(hours=2), stop_code="TaskFailedToStart")

    assert case(elsewhere={"web": (old,)}).replacements == ()


def test_a_long_pull_is_an_image_that_cannot_be_pulled_yet() -> None:
    pulling = newer("PENDING", started_at=None, pull_started_at=NOW - 12 * MINUTE)
    short = replace(pulling, pull_started_at=NOW - MINUTE)

    assert cause(elsewhere={"web": (pulling,)}) == Cause.IMAGE_PULL
    assert cause(elsewhere={"web": (short,)}) == Cause.STARTING


def test_a_replacement_that_runs_overrules_an_earlier_failed_pull() -> None:
    failed = newer(
        "STOPPED",
        stopped_at=NOW - 8 * MINUTE,
        containers=(Container(name="app", reason="CannotPullContainerError: once"),),
    )

    assert cause(elsewhere={"web": (newer(ago=20 * SECOND), failed)}) == Cause.STARTING


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("operations are being throttled. Will try again later.", Cause.SERVICE_THROTTLED),
        ("failed to launch a task with (error x).", Cause.START_ERROR),
        ("was unable to place a task. Reason: ResourceInitializationError: x.", Cause.START_ERROR),
        (
            "was unable to place a task. Reason: You've reached the limit on the number of x",
            Cause.QUOTA,
        ),
        ("ECS was unable to assume the role 'r'", Cause.SERVICE_ROLE),
        ("is unable to consistently start tasks successfully.", Cause.CRASH_LOOP),
        (
            "is not healthy in target-group (t) due to TARGET GROUP IS NOT FOUND.",
            Cause.TARGET_GROUP_MISSING,
        ),
    ],
)
def test_what_ecs_says_is_the_cause_where_no_task_tells_more(text: str, expected: Cause) -> None:
    assert cause(services={"web": service(events=(said(text),))}) == expected


def test_a_deployment_that_was_rolled_back_is_no_circuit_breaker() -> None:
    # The failed one is the former deployment, and the new one starts tasks.
    deployments = (
        Deployment(id="new", status="PRIMARY", rollout="IN_PROGRESS"),
        Deployment(id="old", status="ACTIVE", rollout="FAILED"),
    )
    found = cause(services={"web": service(deployments=deployments)})

    assert found == Cause.DEPLOYMENT_IN_PROGRESS


def test_a_service_that_is_deleted_stops_by_itself() -> None:
    assert cause(services={"web": service(status="DRAINING")}) == Cause.SERVICE_DELETING


def test_a_missing_target_group_is_named() -> None:
    gone = TargetGroup(arn="t", targets=(), exists=False)
    found = cause(services={"web": service(target_groups=("t",))}, target_groups={"t": gone})

    assert found == Cause.TARGET_GROUP_MISSING


# -- tasks that end


def test_a_container_that_does_not_stop_is_stuck() -> None:
    # Five tries of the stop timeout and two minutes each: what is later is not stopped any more.
    late = task("STOPPING", stopping_at=NOW - timedelta(seconds=5 * (30 + 120) + 1))
    early = replace(late, stopping_at=NOW - timedelta(seconds=5 * (30 + 120) - 1))

    assert cause(tasks=(late,)) == Cause.STUCK_STOPPING
    assert cause(tasks=(early,)) == Cause.STOP_TIMEOUT


def test_an_order_that_a_connected_agent_ignores_is_stuck() -> None:
    ordered = task("RUNNING", desired="STOPPED")
    events = (said("has stopped 1 running tasks: (task a).", 11 * MINUTE),)

    assert cause(tasks=(ordered,), services={"web": service(events=events)}) == (
        Cause.STUCK_STOPPING
    )
    assert cause(tasks=(ordered,)) == Cause.STOP_TIMEOUT


def test_network_removal_is_a_phase_of_its_own() -> None:
    assert cause(tasks=(task("DEPROVISIONING"),)) == Cause.DEPROVISIONING


def test_the_time_left_is_counted_from_the_deregistration() -> None:
    group = TargetGroup(arn="t", targets=(), delay_seconds=300)
    events = (said("has begun draining connections on 1 tasks.", 4 * MINUTE),)
    found = rules_tasks.closing(
        facts(
            tasks=(task("DEACTIVATING"),),
            services={"web": service(target_groups=("t",), events=events)},
            target_groups={"t": group},
        )
    )

    assert [one.until for one in found] == [NOW + MINUTE]


def test_only_protected_tasks_are_held_by_their_protection() -> None:
    # The other task of the same service is held by something else, which must be named too.
    both = (task(), task(arn=f"{ARN}:task/c/{'d' * 32}"))
    found = judge(facts(tasks=both, protected={"d" * 32: None}))

    assert {one.cause for one in found.findings} == {Cause.TASK_PROTECTED, Cause.UNKNOWN}


# -- the instance, its hooks and the drainer


def test_a_drain_of_others_is_not_the_drainers_to_lose() -> None:
    # The stack is there, and its function fails; this instance has another hook.
    stack = Stack(name="drainer", topic_arn="topic", errors=9, dead_letters=3)

    assert rules_host.drainer(facts(stack=stack)) == []


def test_a_notification_that_never_came_is_found() -> None:
    group = Group(
        name="g",
        lifecycle_state="Terminating:Wait",
        hooks=(Hook(name="drainer", target_arn="topic"),),
    )
    stack = Stack(name="drainer", topic_arn="topic", last_sweep=NOW - 2 * MINUTE)
    found = rules_host.drainer(facts(stack=stack, group=group))

    assert [one.cause for one in found] == [Cause.CHAIN_LOST]
    assert found[0].until == NOW + 3 * MINUTE
    assert "no notification" in found[0].evidence[-1].text


def test_a_drained_instance_without_a_hook_is_finished() -> None:
    # ECS leaves it DRAINING: to call that stuck sends somebody searching.
    assert cause(tasks=(), group=None) == Cause.FINISHED


# -- the estimate


def moving(**more: Any) -> Facts:
    """
    Return facts of a service with two tasks here, of which ECS replaces one in each round.
    """
    both = (task(), task(arn=f"{ARN}:task/c/{'d' * 32}"))
    one = service(desired=4, running=4, maximum_percent=125, **more)
    return facts(tasks=both, services={"web": one}, elsewhere={"web": ()})


def test_rounds_are_estimated_as_measured() -> None:
    # Start to stop took 100 s the last two times: two rounds, and the stop timeout.
    events = (
        said("has stopped 1 running tasks: (task a).", timedelta(hours=2)),
        said("has started 1 tasks: (task b).", timedelta(hours=2, seconds=110)),
        said("has stopped 1 running tasks: (task c).", timedelta(hours=3)),
        said("has started 1 tasks: (task d).", timedelta(hours=3, seconds=90)),
    )
    found = replaced(moving(events=events), "web")

    assert found is not None
    assert found.at == NOW + 200 * SECOND
    assert found.how == "web: 2 rounds of 100 s (as measured) for start and health check."


def test_rounds_are_estimated_by_the_starts_of_other_tasks() -> None:
    seen = newer(ago=timedelta(days=1), started_at=NOW - timedelta(days=1) + 20 * SECOND)
    found = replaced(replace(moving(), elsewhere={"web": (seen,)}), "web")

    assert found is not None
    assert found.at == NOW + 2 * 60 * SECOND


def test_what_goes_on_behind_a_cause_counts_in_the_estimate() -> None:
    # The job ends at once; the service behind it takes minutes more.
    one = moving(events=(said("has started 1 tasks: (task a)."),))
    verdict = judge(one)
    target = Finding(
        cause=Cause.TARGET_DRAINING, pace=Pace.MOVES, clauses=(), brief="", until=NOW + SECOND
    )
    alone = estimate_of(one, verdict)
    behind = estimate_of(one, Verdict((target,), verdict.findings))

    assert verdict.main.cause == Cause.ON_COURSE
    assert alone.at is not None
    assert behind.at == alone.at


def test_daemons_stop_after_the_others() -> None:
    daemon = task(group="service:logs", definition="d")
    alone = facts(tasks=(task("STOPPING", stopping_at=NOW),))
    both = replace(
        alone,
        tasks=(*(alone.tasks or ()), daemon),
        services={**alone.services, "logs": service(scheduling="DAEMON")},
        definitions={"d": TaskDefinition(arn="d", stop_seconds=45)},
    )
    first, second = (estimate_of(one, judge(one)).at for one in (alone, both))

    assert first is not None
    assert second == first + 45 * SECOND


@pytest.mark.parametrize(("ago", "left"), [(310, 20), (290, 30)])
def test_a_stop_that_was_ordered_with_the_deregistration_begins_after_its_delay(
    ago: int, left: int
) -> None:
    # Otherwise a task behind a load balancer would have 0 s left from its first second on.
    stopping = task("STOPPING", stopping_at=NOW - timedelta(seconds=ago))
    events = (said("has begun draining connections on 1 tasks.", timedelta(seconds=ago)),)
    found = rules_tasks.closing(
        facts(
            tasks=(stopping,),
            services={"web": service(target_groups=("t",), events=events)},
            target_groups={"t": TargetGroup(arn="t", targets=(), delay_seconds=300)},
        )
    )

    assert [one.until for one in found] == [NOW + timedelta(seconds=left)]


# -- sentences


def finding(cause: Cause, pace: Pace, name: str = "web", brief: str = "brief") -> Finding:
    return Finding(cause=cause, pace=pace, name=name, clauses=("{name}: a clause",), brief=brief)


def test_what_needs_a_person_comes_first() -> None:
    found = by_importance(
        [
            finding(Cause.TARGET_DRAINING, Pace.MOVES),
            finding(Cause.STANDALONE_TASK, Pace.WAITS),
            finding(Cause.IMAGE_PULL, Pace.STUCK),
            finding(Cause.NO_MEMORY, Pace.STUCK),
        ]
    )

    assert [one.cause for one in found] == [
        Cause.NO_MEMORY,
        Cause.IMAGE_PULL,
        Cause.STANDALONE_TASK,
        Cause.TARGET_DRAINING,
    ]


@pytest.mark.parametrize("length", [1, 20, 255])
@pytest.mark.parametrize("number", [1, 2, 3, 7])
def test_names_of_any_length_leave_room_for_each_cause(length: int, number: int) -> None:
    # A service may have a name of 255 characters; three of them must not hide what they wait for.
    found = [
        finding(Cause.NO_MEMORY, Pace.STUCK, "n" * length, f"brief {n}") for n in range(number)
    ]
    text = several(found, 47)

    assert len(text) <= 47
    assert all(f"brief {n}" in text for n in range(min(number, 3)))
    assert ("more" in text) == (number > 3)


def test_a_first_line_keeps_the_names_that_fit() -> None:
    found = [
        finding(Cause.PORT_TAKEN, Pace.STUCK, "api", "port 8080"),
        finding(Cause.IMAGE_PULL, Pace.STUCK, "web", "image pull"),
        finding(Cause.TASK_PROTECTED, Pace.WAITS, "queue", "1 protected"),
    ]

    assert several(found, 47) == "api (port 8080), web (image pull), 1 protected"
    assert several(found, 60).endswith("queue (1 protected)")


def test_a_long_name_is_cut_and_not_the_reason() -> None:
    one = finding(Cause.NO_MEMORY, Pace.STUCK, "n" * 255)

    assert waits_for(one, Clock(NOW), 20) == "nnnnnnnn..: a clause"
