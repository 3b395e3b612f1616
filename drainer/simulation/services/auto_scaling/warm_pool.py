"""
Warm pools: instances that wait beside their group, come into service, and go back.

https://docs.aws.amazon.com/autoscaling/ec2/userguide/warm-pool-instance-lifecycle.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from drainer.simulation.services.auto_scaling import agents
from drainer.simulation.services.auto_scaling.lifecycle import LAUNCHING, TERMINATING, Route
from drainer.simulation.services.auto_scaling.model import WarmPool

if TYPE_CHECKING:
    from drainer.simulation.account import Account
    from drainer.simulation.services.auto_scaling.lifecycle import Result
    from drainer.simulation.services.auto_scaling.model import (
        Group,
        Instance,
        LifecycleState,
        PoolState,
    )
    from drainer.simulation.services.auto_scaling.transitions import Transitions

RESTING: dict[PoolState, LifecycleState] = {
    "Stopped": "Warmed:Stopped",
    "Running": "Warmed:Running",
    "Hibernated": "Warmed:Hibernated",
}
# An instance from the pool need not be launched, only started.
START_SHARE = 0.3


class WarmPools:
    """The warm pools of the account's groups."""

    def __init__(self, account: Account, transitions: Transitions) -> None:
        self._account = account
        self._transitions = transitions

    def create(
        self,
        group: Group,
        *,
        state: PoolState = "Stopped",
        minimum: int = 1,
        reuse: bool = False,
    ) -> WarmPool:
        """Give a group a warm pool whose instances have rested in it for long."""
        group.warm_pool = WarmPool(state, minimum, reuse)
        for _ in range(minimum):
            self._transitions.set_state(self._transitions.launch(group), RESTING[state])
        return group.warm_pool

    def take(self, group: Group) -> Instance | None:
        """Start an instance of the pool, which will be in service; None where none is there."""
        pool = group.warm_pool
        if pool is None:
            return None
        for instance in group.instances.values():
            if instance.lifecycle_state == RESTING[pool.state]:
                self._transitions.set_state(instance, "Pending")
                self._transitions.boot_after(
                    instance, START_SHARE * group.launch_seconds, "WarmPool"
                )
                self._fill(group)
                return instance
        return None

    def give_back(self, instance: Instance) -> None:
        """
        Let an instance go back to the pool.

        It pauses "at the Warmed:Pending:Wait state for the EC2_INSTANCE_TERMINATING lifecycle
        action" (page above), and its notification has WarmPool for a destination.
        https://docs.aws.amazon.com/autoscaling/ec2/userguide/warm-pools-eventbridge-events.html
        """
        self._transitions.set_state(instance, "Warmed:Pending")
        route = Route(TERMINATING, "AutoScalingGroup", "WarmPool")
        self._transitions.pause(instance, "Warmed:Pending:Wait", route, self._after_return)

    def _after_return(self, instance: Instance, result: Result) -> None:
        group = instance.group
        if result == "ABANDON" or group.warm_pool is None:
            # What an ABANDON does here is not documented; "Warmed:Pending:Retained" is among the
            # states, so that it ends like that of a termination.
            self._transitions.after_abandon(instance, "Warmed:Pending:Retained")
            return
        self._transitions.release(instance, "WarmPool")
        self._transitions.set_state(instance, "Warmed:Pending:Proceed")
        self._account.after(group.terminate_seconds, lambda: self._rest(instance))

    def _fill(self, group: Group) -> None:
        """Launch into the pool what it lacks; such an instance waits for the launching hooks."""
        pool = group.warm_pool
        warm = sum(one.is_warm for one in group.instances.values())
        for _ in range((pool.minimum if pool else 0) - warm):
            instance = self._transitions.launch(group)
            self._transitions.set_state(instance, "Warmed:Pending")
            self._account.after(
                group.launch_seconds,
                lambda instance=instance: self._pause_launch(instance),  # type: ignore[misc]
            )

    def _pause_launch(self, instance: Instance) -> None:
        route = Route(LAUNCHING, "EC2", "WarmPool")
        if instance.lifecycle_state == "Warmed:Pending":
            self._transitions.pause(instance, "Warmed:Pending:Wait", route, self._after_launch)

    def _after_launch(self, instance: Instance, result: Result) -> None:
        if result == "ABANDON":
            self._transitions.proceed(instance)
            return
        self._transitions.set_state(instance, "Warmed:Pending:Proceed")
        self._rest(instance)

    def _rest(self, instance: Instance) -> None:
        pool = instance.group.warm_pool
        if pool is None or instance.lifecycle_state != "Warmed:Pending:Proceed":
            return
        if pool.state != "Running":
            # A hibernated instance would keep its containers; ECS takes them for lost all the same.
            agents.stop(self._transitions.ecs, instance, "stopped")
        self._transitions.set_state(instance, RESTING[pool.state])
