"""
What `make simulate-explain` found wrong in `drainer explain`: one test for each defect.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from drainer.cli.demo.stuck.planted import BEGAN, MINUTE, NOW, SECOND
from drainer.cli.explain.causes import Cause
from drainer.cli.explain.drainers import MANAGED_HOOK, DrainState, Group, Hook
from drainer.cli.explain.estimate import LISTED_AFTER, MANAGED_LOOK, NEXT_LOOK, estimate_of
from drainer.cli.explain.facts import Resources, TargetGroup, Task, TaskDefinition
from drainer.cli.explain.judge import judge
from drainer.cli.explain.stops import measured_stop
from tests.operator.test_cause_rules import ARN, cause, facts, newer, other, service, task

if TYPE_CHECKING:
    from drainer.cli.explain.estimate import Estimate
    from drainer.cli.explain.facts import Facts

NEEDS = TaskDefinition(arn="d", needs=Resources(0, 512))
FULL, ROOMY = Resources(9_999, 64), Resources(9_999, 9_999)


def elsewhere(number: int, last: str = "RUNNING", ago: timedelta = 10 * MINUTE) -> Task:
    arn = f"{ARN}:task/c/{number:032x}"
    return newer(last, ago, arn=arn, instance_arn=f"{ARN}:container-instance/c/{number}")


def estimated(one: Facts) -> Estimate:
    return estimate_of(one, judge(one))


# -- places


def test_a_drain_by_hand_has_no_replacements_from_before_it() -> None:
    # Without a beginning each old task was one: it runs, so that no pull was said to fail.
    failed = replace(
        elsewhere(3, "STOPPED"),
        stop_code="TaskFailedToStart",
        stopped_reason="CannotPullContainerError: no such image",
        stopped_at=NOW - 9 * MINUTE,
    )
    found = cause(
        group=None,
        services={"web": service(desired=3)},
        elsewhere={"web": (elsewhere(2, ago=timedelta(days=3)), failed)},
        others=(other(2),),
        definitions={"d": NEEDS},
    )

    assert found == Cause.IMAGE_PULL


def test_one_replacement_that_was_placed_does_not_hide_the_next() -> None:
    # Two tasks leave, and the only place is taken by the first one's replacement.
    found = cause(
        tasks=(task(), task(arn=f"{ARN}:task/c/{'d' * 32}")),
        services={"web": service(desired=3, running=3, definition="d")},
        definitions={"d": NEEDS},
        elsewhere={"web": (elsewhere(2),)},
        others=(other(2, remaining=FULL),),
    )

    assert found == Cause.NO_MEMORY


@pytest.mark.parametrize("maximum", [100, 200])
def test_a_service_that_may_start_none_lacks_no_place(maximum: int) -> None:
    # Each task has its replacement, or one has to stop first: a full cluster is not why.
    staying = 2 if maximum > 100 else 1
    found = cause(
        services={"web": service(definition="d", maximum_percent=maximum, minimum_percent=50)},
        definitions={"d": NEEDS},
        elsewhere={"web": tuple(elsewhere(2 + number) for number in range(staying))},
        others=(other(2, remaining=FULL), other(3, remaining=FULL)),
    )

    assert found not in {Cause.NO_MEMORY, Cause.NO_PLACE}


def test_a_full_cluster_wins_over_an_earlier_crash() -> None:
    # The crash of half an hour ago is repaired by nobody who reads it: now there is no place.
    crashed = [
        replace(
            elsewhere(number, "STOPPED"),
            stop_code="EssentialContainerExited",
            stopped_at=NOW - 30 * MINUTE,
        )
        for number in (2, 3)
    ]
    given = {
        "services": {"web": service(definition="d")},
        "definitions": {"d": NEEDS},
        "elsewhere": {"web": tuple(crashed)},
    }

    assert cause(**given, others=(other(2, remaining=ROOMY),)) == Cause.CRASH_LOOP
    assert cause(**given, others=(other(2, remaining=FULL),)) == Cause.NO_MEMORY


@pytest.mark.parametrize("placed", [True, False])
def test_a_task_on_an_instance_waits_for_its_network_interface(*, placed: bool) -> None:
    # PROVISIONING is both: a capacity provider was blamed for each task in awsvpc mode.
    coming = elsewhere(2, "PROVISIONING")
    found = cause(
        services={"web": service(definition="d")},
        definitions={"d": NEEDS},
        elsewhere={"web": (coming if placed else replace(coming, instance_arn=""),)},
        others=(other(2, remaining=ROOMY),),
    )

    assert found == (Cause.STARTING if placed else Cause.CAPACITY_WAIT)


# -- the estimate


def stopped(seconds: float, number: int = 7) -> Task:
    return replace(
        elsewhere(number, "STOPPED"),
        stop_code="ServiceSchedulerInitiated",
        stopping_at=NOW - 20 * MINUTE,
        stopped_at=NOW - 20 * MINUTE + seconds * SECOND,
    )


STOPPING = task("STOPPING", stopping_at=NOW - SECOND)


def test_a_stop_takes_as_long_as_the_others_of_its_service_took() -> None:
    # The whole stop timeout was assumed for containers that exit in seconds.
    before = {"web": (stopped(4), stopped(6, 8), stopped(5, 9))}
    assumed, measured = (
        estimated(facts(tasks=(STOPPING,), elsewhere=found)) for found in ({}, before)
    )

    assert assumed.at == NOW + 29 * SECOND + MANAGED_LOOK
    assert measured.at == NOW + 4 * SECOND + MANAGED_LOOK
    assert "as measured" in measured.how


def test_a_stop_that_takes_longer_than_the_others_has_its_timeout() -> None:
    found = estimated(facts(tasks=(STOPPING,), elsewhere={"web": (stopped(0.5),)}))

    assert found.at == NOW + 29 * SECOND + MANAGED_LOOK


@pytest.mark.parametrize(("took", "expected"), [(5, 5), (305, 5)])
def test_a_measured_stop_does_not_count_the_deregistration(took: int, expected: int) -> None:
    # stoppingAt is before or after the delay: counted twice, each estimate is minutes too late.
    one = facts(
        services={"web": service(target_groups=("t",))},
        target_groups={"t": TargetGroup(arn="t", targets=(), delay_seconds=300)},
        elsewhere={"web": (stopped(took),)},
    )

    assert measured_stop(one, "web") == expected


@pytest.mark.parametrize(("ago", "known"), [(34, True), (36, False)])
def test_a_container_that_outlives_its_stop_timeout_has_no_known_end(
    ago: int, *, known: bool
) -> None:
    # "In one minute", said for two hours: the agent tries again, and nobody knows until when.
    one = facts(tasks=(task("STOPPING", stopping_at=NOW - ago * SECOND),))

    assert (estimated(one).at is not None) is known


def test_an_end_by_hand_waits_for_no_look() -> None:
    assert estimated(facts(tasks=(STOPPING,), group=None)).at == NOW + 29 * SECOND


def hooked(*names: str) -> Group:
    return Group(
        name="g",
        lifecycle_state="Terminating:Wait",
        terminating_since=BEGAN,
        hooks=tuple(Hook(name=name) for name in names),
    )


def test_the_global_timeout_of_a_hook_is_no_estimate() -> None:
    # "Released in 47 hours" for what ECS ends within a minute, and for what nobody can know.
    managed = estimated(facts(tasks=(), group=hooked(MANAGED_HOOK)))
    foreign = estimated(facts(tasks=(), group=hooked("backup-logs")))

    assert managed.at == NOW + MANAGED_LOOK
    assert foreign.at is None


def test_a_protected_task_without_a_replacement_has_no_known_end() -> None:
    # Its protection ends, and ECS keeps it: no other task runs that could take its place.
    held = {"tasks": (task(arn=f"{ARN}:task/c/{'d' * 32}"),), "protected": {"d" * 32: NOW + MINUTE}}
    alone = facts(**held, services={"web": service(desired=2, running=2)})
    replaced = facts(**held, services={"web": service(desired=2, running=3)})

    assert estimated(alone).at is None
    assert estimated(replaced).at == NOW + MINUTE + 30 * SECOND + MANAGED_LOOK


@pytest.mark.parametrize("seconds", [10, 300])
def test_the_drainer_releases_none_in_its_first_minute(seconds: int) -> None:
    # It lists the tasks several times: "in 8 s", and the release came after a minute.
    began = NOW - seconds * SECOND
    state = DrainState(
        hook="drainer",
        began_at=began,
        written_at=NOW,
        deadline_at=None,
        deadline_result="CONTINUE",
        draining_since=began,
        last_heartbeat_at=began,
        hop=1,
        phase="draining",
        reason="",
        silent=False,
        next_look_at=NOW,
    )
    one = facts(tasks=(task("STOPPING", stopping_at=NOW - 30 * SECOND),), drain=state)

    assert estimated(one).at == max(NOW + NEXT_LOOK, began + LISTED_AFTER)
