"""Auto Scaling groups: their hooks, their capacity, and who goes when it shrinks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from drainer.simulation.services.auto_scaling import agents
from drainer.simulation.services.auto_scaling.instance_refresh import InstanceRefreshes
from drainer.simulation.services.auto_scaling.lifecycle import LAUNCHING
from drainer.simulation.services.auto_scaling.model import COUNTED, Group
from drainer.simulation.services.auto_scaling.root_volume import RootVolumes
from drainer.simulation.services.auto_scaling.transitions import Transitions
from drainer.simulation.services.auto_scaling.warm_pool import WarmPools

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from drainer.simulation.account import Account
    from drainer.simulation.services.auto_scaling.lifecycle import LifecycleHook, Result
    from drainer.simulation.services.auto_scaling.model import Instance, LifecycleState
    from drainer.simulation.services.ecs.clusters import Ecs

# From where an instance may be told to terminate.
TERMINABLE: tuple[LifecycleState, ...] = (
    "InService",
    "Pending",
    "Standby",
    "Terminating:Retained",
    "Warmed:Pending:Retained",
    "Warmed:Stopped",
    "Warmed:Running",
    "Warmed:Hibernated",
    "Warmed:Terminating:Retained",
)
# Health checks are periodic; how often is not documented.
# https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-health-checks.html
HEALTH_CHECK_SECONDS = 30.0


class AutoScaling(Transitions):
    """The account's Auto Scaling groups."""

    def __init__(self, account: Account, ecs: Ecs) -> None:
        super().__init__(account, ecs)
        self.warm_pools = WarmPools(account, self)
        self.root_volumes = RootVolumes(account, self)
        self.refreshes = InstanceRefreshes(account, self, self.root_volumes)

    # Builders

    def create_group(
        self,
        name: str,
        *,
        desired: int,
        cluster: str | None = None,
        minimum: int = 0,
        maximum: int | None = None,
        launch_seconds: float = 60.0,
        terminate_seconds: float = 5.0,
        retain_on_abandon: bool = False,
        tasks_max: int | None = None,
        attributes: Mapping[str, str] | None = None,
    ) -> Group:
        """Create a group whose instances are in service and in their cluster already."""
        account = self._account
        group = Group(
            name,
            account.arn(
                "autoscaling", f"autoScalingGroup:{account.uuid()}:autoScalingGroupName/{name}"
            ),
            account.now,
            desired,
            minimum,
            maximum if maximum is not None else max(desired * 2, 1),
            cluster,
            launch_seconds,
            terminate_seconds,
            retain_on_abandon,
            tasks_max,
            [f"{account.region}{letter}" for letter in "abc"],
            attributes=dict(attributes or {}),
        )
        self.groups[name] = group
        if cluster is not None:
            self.ecs.create_cluster(cluster)
        for _ in range(desired):
            instance = self.launch(group)
            self.set_state(instance, "InService")
            agents.boot(self.ecs, instance)
        return group

    def put_hook(self, hook: LifecycleHook) -> LifecycleHook:
        """Create or replace a hook; its target gets the test notification."""
        group = self.groups[hook.auto_scaling_group_name]
        known = group.hooks.get(hook.name)
        group.hooks[hook.name] = hook
        if known is None or known.notification_target_arn != hook.notification_target_arn:
            self.lifecycle.test(hook, group.arn)
        return hook

    def delete_hook(self, hook: LifecycleHook) -> None:
        """
        Delete a hook.

        "If there are any outstanding lifecycle actions, they are completed first (ABANDON for
        launching instances, CONTINUE for terminating instances)."
        https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_DeleteLifecycleHook.html
        """
        for action in [*self.lifecycle.open.values()]:
            names = (action.hook.auto_scaling_group_name, action.hook.name)
            if names == (hook.auto_scaling_group_name, hook.name):
                launching = action.route.transition == LAUNCHING
                result: Result = "ABANDON" if launching else "CONTINUE"
                self.lifecycle.end(action, result, "hook_deleted")
        self.groups[hook.auto_scaling_group_name].hooks.pop(hook.name, None)

    # What happens to a group

    def set_desired(self, group: Group, desired: int) -> None:
        """Set the desired capacity; the group launches what is missing or lets the oldest go."""
        group.desired = desired
        surplus = sum(one.lifecycle_state in COUNTED for one in group.instances.values()) - desired
        in_service = [one for one in group.instances.values() if one.lifecycle_state == "InService"]
        for instance in in_service[: max(surplus, 0)]:
            self._scale_in(instance)
        self.fill(group)

    def scale_in(
        self, group_name: str, count: int = 1, *, ec2_instance_ids: Sequence[str] = ()
    ) -> list[Instance]:
        """Let instances go and lower the desired capacity: those named, or the oldest."""
        group = self.groups[group_name]
        in_service = [one for one in group.instances.values() if one.lifecycle_state == "InService"]
        chosen = [self.instances[one] for one in ec2_instance_ids] or in_service[:count]
        group.desired -= len(chosen)
        for instance in chosen:
            self._scale_in(instance)
        return chosen

    def _scale_in(self, instance: Instance) -> None:
        """Let an instance go back to its group's warm pool, where that takes it, or permanently."""
        pool = instance.group.warm_pool
        if pool is not None and pool.reuse:
            self.warm_pools.give_back(instance)
        else:
            self.begin_termination(instance)

    def terminate(self, instance: Instance, *, decrement: bool) -> None:
        """Let one instance go; without decrement the group launches another in its place."""
        if instance.lifecycle_state not in TERMINABLE:
            return
        if decrement:
            instance.group.desired -= 1
        self.replace(instance)

    def handle_loss(self, ec2_instance_id: str) -> None:
        """
        Replace an instance that is gone, as soon as its health check fails; its hooks still run.

        An unhealthy instance passes the group's hooks like any other that is replaced.
        https://docs.aws.amazon.com/autoscaling/ec2/userguide/gracefully-handle-instance-termination.html
        """
        instance = self.instances.get(ec2_instance_id)
        if instance is not None:
            self._account.after(
                HEALTH_CHECK_SECONDS, lambda: self.terminate(instance, decrement=False)
            )

    def fill(self, group: Group) -> None:
        """Launch what a group lacks, from its warm pool first."""
        counted = sum(one.lifecycle_state in COUNTED for one in group.instances.values())
        for _ in range(group.desired - counted):
            if self.warm_pools.take(group) is None:
                self.boot_after(self.launch(group), group.launch_seconds, "EC2")
