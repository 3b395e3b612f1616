"""
What else a seed lets happen to groups: launching hooks, warm pools, standby, new root volumes.

None of it is a fault; it is what owners of groups do with instances that come back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from drainer.simulation.scenario.promises import FOREIGN_TARGET, Promise
from drainer.simulation.services.auto_scaling import standby
from drainer.simulation.services.auto_scaling.lifecycle import LAUNCHING, LifecycleHook

if TYPE_CHECKING:
    from collections.abc import Callable

    from drainer.simulation.scenario.promises import Workload
    from drainer.simulation.services.auto_scaling.lifecycle import LifecycleAction
    from drainer.simulation.services.auto_scaling.model import Group, Instance

LAUNCH_HOOK = "warm-up"
# Things begin within this time, and an instance that has gone back to its pool is wanted again.
BEGIN_SECONDS = 900.0
AGAIN_SECONDS_MAX = 1_500.0
STANDBY_SECONDS_MAX = 1_200.0
# Somebody frees a retained instance by hand: within seconds, soon, or much later.
FREED_SECONDS = (2.0, 900.0)
SOON_FREED_SECONDS = (60.0, 400.0)


def enrich(workload: Workload, group: Group, topic_arn: str) -> None:
    """Choose what a group has beside its terminating hooks, and enter it in the timetable."""
    random = workload.random
    if random.random() < 0.15:
        _launch_hook(workload, group, topic_arn)
    kind = random.choices(["plain", "pool", "volumes"], weights=[65, 20, 15])[0]
    if kind == "pool":
        # AWS refuses a refresh by root volumes for a group with a warm pool.
        workload.account.auto_scaling.warm_pools.create(
            group,
            state=random.choice(["Stopped", "Stopped", "Running", "Hibernated"]),
            minimum=random.randint(0, 2),
            reuse=random.random() < 0.75,
        )
        for _ in range(random.randint(1, 2)):
            _some_time(workload, AGAIN_SECONDS_MAX, lambda: _scale_out(workload, group))
    elif kind == "volumes":
        for _ in range(random.randint(1, 3)):
            _some_time(workload, BEGIN_SECONDS, lambda: _replace_volume(workload, group))
    if random.random() < 0.1:
        _some_time(workload, BEGIN_SECONDS, lambda: _stand_by(workload, group))


def attend(workload: Workload) -> None:
    """Let the owners of launching hooks answer them, and free what is retained, once each."""
    scaling, random = workload.account.auto_scaling, workload.random
    freed: set[str] = set()

    def begun(action: LifecycleAction) -> None:
        ours = workload.promise(action).ours
        other = action.route.transition == LAUNCHING or action.route.destination != "EC2"
        if not ours and other:
            result = "ABANDON" if random.random() < 0.05 else "CONTINUE"
            workload.account.after(
                random.uniform(2, 300),
                lambda: scaling.lifecycle.end(action, result, "owner"),  # type: ignore[arg-type]
            )

    def moved(instance: Instance) -> None:
        if instance.lifecycle_state == "InService":
            _keep_from_tasks(workload, instance)
        retained = instance.lifecycle_state.endswith(":Retained")
        if retained and instance.ec2_instance_id not in freed and random.random() < 0.7:
            freed.add(instance.ec2_instance_id)
            workload.account.after(
                random.choice(
                    [
                        random.uniform(*FREED_SECONDS),
                        random.uniform(*SOON_FREED_SECONDS),
                        FREED_SECONDS[0],
                    ]
                ),
                lambda: scaling.terminate(instance, decrement=False),
            )

    scaling.on_action.append(begun)
    scaling.on_state.append(moved)


def _keep_from_tasks(workload: Workload, instance: Instance) -> None:
    """
    Let an owner set DRAINING at once what comes out of a warm pool, where no hook of ours was met.

    A sweep may have taken the launching hook before the pool for one of ours, and made a record.
    """
    met = [workload.promise(action).ours for action in instance.past]
    if len(met) > 1 and not any(met):
        workload.account.after(1, lambda: _drain(workload, instance))


def _drain(workload: Workload, instance: Instance) -> None:
    ecs, ec2_instance_id = workload.account.ecs, instance.ec2_instance_id
    found = ecs.container_instance(ec2_instance_id)
    if found is not None and found.status == "ACTIVE":
        ecs.set_status(found, "DRAINING")
        workload.account.record("drained_by_hand", ec2_instance_id=ec2_instance_id)


def _some_time(workload: Workload, within_seconds: float, do: Callable[[], None]) -> None:
    workload.account.after(workload.random.uniform(1, within_seconds), do)


def _launch_hook(workload: Workload, group: Group, topic_arn: str) -> None:
    random = workload.random
    workload.promises[group.name, LAUNCH_HOOK] = Promise(ours=False)
    workload.account.auto_scaling.put_hook(
        LifecycleHook(
            LAUNCH_HOOK,
            group.name,
            LAUNCHING,
            heartbeat_timeout_seconds=random.choice([60, 300]),
            default_result=random.choice(["CONTINUE", "ABANDON"]),
            # One topic for all hooks of a group is what `CreateAutoScalingGroup` demands.
            notification_target_arn=random.choice([None, FOREIGN_TARGET, topic_arn]),
        )
    )


def _serving(group: Group) -> list[Instance]:
    return [one for one in group.instances.values() if one.lifecycle_state == "InService"]


def _scale_out(workload: Workload, group: Group) -> None:
    scaling = workload.account.auto_scaling
    if group.name in scaling.groups:
        scaling.set_desired(group, min(group.desired + 1, group.maximum))


def _replace_volume(workload: Workload, group: Group) -> None:
    random, serving = workload.random, _serving(group)
    if group.name in workload.account.auto_scaling.groups and serving:
        workload.account.auto_scaling.root_volumes.replace(
            random.choice(serving),
            forgets_agent=random.random() < 0.6,
            fails=random.random() < 0.2,
            told=random.random() < 0.5,
            seconds=random.uniform(30, 240),
        )


def _stand_by(workload: Workload, group: Group) -> None:
    scaling, serving = workload.account.auto_scaling, _serving(group)
    if serving:
        instance = serving[0]
        standby.enter(scaling, instance)
        _some_time(workload, STANDBY_SECONDS_MAX, lambda: standby.leave(scaling, instance))
