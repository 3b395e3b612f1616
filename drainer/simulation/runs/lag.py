"""
How long after its last task stopped an instance is released: one drain, measured many times.

Nothing goes wrong here; what differs from drain to drain is where in the pass interval a task ends.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random
from typing import TYPE_CHECKING, Any

from drainer.simulation.aws import Aws
from drainer.simulation.protocol.quick_client import QuickClient
from drainer.simulation.scenario.installation import Settings, install
from drainer.simulation.services.auto_scaling.lifecycle import LifecycleHook
from drainer.simulation.services.ecs.definitions import TaskProfile

if TYPE_CHECKING:
    from collections.abc import Callable

    from drainer.simulation.production import Function

GROUP, CLUSTER = "group", "payments"
DRAIN_SECONDS_MAX = 7_200.0
SWEEP_INTERVAL_SECONDS = 300.0
# What the function takes: a few calls of some tens of milliseconds.
DURATION_SECONDS = 0.3
# What an event takes through EventBridge and SQS: AWS says "typically about half a second".
EVENT_SECONDS = (0.3, 1.5)


def measure(
    seed: int, build: Callable[..., Function], *, fast_path: bool, event_at_end: bool = False
) -> float:
    """
    Drain one instance; return the seconds from its last task's end to its release.

    Args:
        seed: decides the tasks' lives.
        build: makes the function.
        fast_path: whether the rule of the fast path is there.
        event_at_end: whether the end of a task whose stop was requested before sends a container
            instance event; AWS's documentation leaves it open.
    """
    random = Random(f"lag {seed}")
    account = Aws(now=datetime(2026, 11, 20, 12, 0, tzinfo=UTC), seed=seed)

    account.ecs.life.instance_event_at_end = event_at_end

    def client(service: str) -> Any:
        return QuickClient(service, account.call)

    installed = install(
        account,
        build=build,
        environ={"DRAINER_CLUSTERS": CLUSTER},
        settings=Settings(
            function_duration_seconds=DURATION_SECONDS,
            fast_path=fast_path,
            sweep_interval_seconds=SWEEP_INTERVAL_SECONDS,
        ),
        client=client,
    )
    installed.rule.faults.append(lambda _: (random.uniform(*EVENT_SECONDS),))
    account.auto_scaling.create_group(GROUP, cluster=CLUSTER, desired=3)
    account.auto_scaling.put_hook(
        LifecycleHook(
            "drainer",
            GROUP,
            heartbeat_timeout_seconds=1_800,
            notification_target_arn=installed.topic.arn,
        )
    )
    account.ecs.create_service(
        CLUSTER,
        "web",
        desired=random.randint(3, 9),
        deregistration_delay_seconds=random.choice([0.0, 30.0, 300.0]),
        profile=TaskProfile(
            # No task ends before the set of tasks can be closed, which takes about a minute.
            healthy_after_seconds=random.uniform(70, 140),
            stop_seconds=random.uniform(1, 29),
        ),
    )
    account.run_for(random.uniform(0, SWEEP_INTERVAL_SECONDS))
    [leaving] = account.auto_scaling.scale_in(GROUP)
    [action] = leaving.actions
    account.run_until(lambda: not action.is_open, timedelta(seconds=DRAIN_SECONDS_MAX))
    ended = [
        fact.at
        for fact in account.facts("task", ec2_instance_id=leaving.ec2_instance_id)
        if fact.about["last_status"] == "STOPPED" and fact.at <= account.now
    ]
    return (account.now - max(ended)).total_seconds() + DURATION_SECONDS
