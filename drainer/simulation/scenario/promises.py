"""
What the owners of hooks have been promised, and the hooks that say so.

A seed chooses the promises; the checkers judge by them, and nothing here acts on them.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from drainer.simulation.services.auto_scaling.lifecycle import LifecycleHook

if TYPE_CHECKING:
    from random import Random

    from drainer.simulation.aws import Aws
    from drainer.simulation.services.auto_scaling.lifecycle import LifecycleAction, Result
    from drainer.simulation.services.auto_scaling.model import Group

Standalone = Literal["wait", "stop", "ignore"]

OUR_HOOK = "drainer"
FOREIGN_TARGET = "arn:aws:sns:us-east-1:123456789012:somebody-elses"
ECS_OWN_HOOK = "ecs-managed-draining-termination-hook"
DRAIN_TIMEOUT_SECONDS_MIN = 120
DRAIN_TIMEOUT_SECONDS_MAX = 10_800
PASSES_MAX = 120
# Pass intervals with which the shortest heartbeat timeout can be kept.
BRISK_SECONDS_MAX = 10
HEARTBEAT_TIMEOUTS = (30, 60, 120, 300, 900, 1_800, 3_600, 7_200)


@dataclass(frozen=True, slots=True)
class Promise:
    """
    What a hook's owner has been promised.

    Attributes:
        ours: whether the hook is the drainer's to answer.
        drain_timeout_seconds: how long a drain may take.
        deadline_result: the answer after that.
        standalone_tasks: what is done about tasks that no service owns.
        standalone_grace_seconds: how long those may go on, where they are stopped.
        clusters: what metadata or environment name.
    """

    ours: bool
    drain_timeout_seconds: int = 3_600
    deadline_result: Result = "CONTINUE"
    standalone_tasks: Standalone = "wait"
    standalone_grace_seconds: int = 300
    clusters: tuple[str, ...] = ()


@dataclass(slots=True)
class Workload:
    """
    A seed's account and what was promised in it.

    Attributes:
        environ: the function's settings.
        pass_interval_seconds: the time between two passes.
        promises: by group and hook name.
        hooks_name_clusters: whether a hook's metadata may name one.
        runs_jobs: whether there are short jobs only, and short timeouts.
    """

    account: Aws
    random: Random
    pass_interval_seconds: int
    environ: dict[str, str]
    defaults: Promise
    promises: dict[tuple[str, str], Promise] = field(default_factory=dict)
    clusters: list[str] = field(default_factory=list)
    hooks_name_clusters: bool = True
    runs_jobs: bool = False

    def promise(self, action: LifecycleAction) -> Promise:
        """Return what was promised for a lifecycle action."""
        hook = action.hook
        return self.promises[hook.auto_scaling_group_name, hook.name]


def put_hooks(workload: Workload, group: Group, cluster: str, topic_arn: str) -> None:
    """Put the drainer's hook on a group, and now and then another beside it."""
    _our_hook(workload, group, OUR_HOOK, cluster, topic_arn)
    if workload.random.random() < 0.2:
        _second_hook(workload, group, cluster, topic_arn)


def _our_hook(
    workload: Workload, group: Group, name: str, cluster: str, topic_arn: str
) -> LifecycleHook:
    random, defaults = workload.random, workload.defaults
    interval = workload.pass_interval_seconds
    # A hook whose heartbeat timeout is shorter than two passes cannot be kept open by passes.
    possible = [s for s in HEARTBEAT_TIMEOUTS if s >= 2 * interval + 4]
    heartbeat_timeout_seconds = random.choice(possible)
    timeout_min = DRAIN_TIMEOUT_SECONDS_MIN
    # So that no drain takes more passes than a run of thousands of seeds can bear.
    timeout_max = max(180, PASSES_MAX * interval)
    if interval <= BRISK_SECONDS_MAX and random.random() < 0.9:
        # The hook's global timeout is shorter than what is asked for.
        heartbeat_timeout_seconds = possible[0]
        timeout_min = 100 * possible[0]
        timeout_max = 2 * timeout_min
    policy: dict[str, Any] = {
        "cluster": random.choices([cluster, None, "no-such-cluster"], weights=[80, 15, 5])[0],
        "drain_timeout_seconds": log_uniform(
            random, timeout_min, min(DRAIN_TIMEOUT_SECONDS_MAX, timeout_max)
        ),
        "deadline_result": result(random),
        "standalone_tasks": standalone(random),
        "standalone_grace_seconds": random.choice([0, 30, 300]),
    }
    given = {key: value for key, value in policy.items() if value and random.random() < 0.8}
    if not workload.hooks_name_clusters:
        given.pop("cluster", None)
    metadata: str | None = json.dumps(given)
    broken = random.random()
    if broken < 0.1:
        metadata, given = random.choice([(cluster, {"cluster": cluster}), (None, {})])
        if not workload.hooks_name_clusters:
            metadata, given = None, {}
    hook = LifecycleHook(
        name,
        group.name,
        heartbeat_timeout_seconds=heartbeat_timeout_seconds,
        default_result=result(random),
        notification_metadata=metadata,
        notification_target_arn=topic_arn,
    )
    named = str(given.get("cluster") or workload.environ["DRAINER_CLUSTERS"])
    workload.promises[group.name, name] = Promise(
        ours=True,
        drain_timeout_seconds=given.get("drain_timeout_seconds", defaults.drain_timeout_seconds),
        deadline_result=given.get("deadline_result", defaults.deadline_result),
        standalone_tasks=given.get("standalone_tasks", defaults.standalone_tasks),
        standalone_grace_seconds=given.get(
            "standalone_grace_seconds", defaults.standalone_grace_seconds
        ),
        clusters=tuple(filter(None, named.split(","))),
    )
    return workload.account.auto_scaling.put_hook(hook)


def _second_hook(workload: Workload, group: Group, cluster: str, topic_arn: str) -> None:
    random = workload.random
    if random.random() < 0.3:
        _our_hook(workload, group, "drainer-too", cluster, topic_arn)
        return
    name = random.choice(["backup", ECS_OWN_HOOK])
    workload.promises[group.name, name] = Promise(ours=False)
    workload.account.auto_scaling.put_hook(
        LifecycleHook(
            name,
            group.name,
            heartbeat_timeout_seconds=random.choice([300, 3_600]),
            default_result="CONTINUE",
            notification_target_arn=None if name == ECS_OWN_HOOK else FOREIGN_TARGET,
        )
    )


def log_uniform(random: Random, low: float, high: float) -> int:
    """Choose a whole number whose logarithm is uniform."""
    return int(math.exp(random.uniform(math.log(low), math.log(max(low, high)))))


def result(random: Random) -> Result:
    """Choose an answer at the deadline."""
    return "ABANDON" if random.random() < 0.4 else "CONTINUE"


def standalone(random: Random) -> Standalone:
    """Choose what is done about standalone tasks."""
    choices: tuple[Standalone, ...] = ("wait", "stop", "ignore")
    return random.choices(choices, weights=[60, 25, 15])[0]
