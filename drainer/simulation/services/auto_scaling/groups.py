"""Auto Scaling groups: instances come, wait at the hooks, and go."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from drainer.simulation.services.auto_scaling import agents
from drainer.simulation.services.auto_scaling.lifecycle import (
    LAUNCHING,
    TERMINATING,
    TERMINATION,
    LifecycleActions,
    LifecycleHook,
    Route,
)
from drainer.simulation.services.auto_scaling.root_volume import RootVolumes
from drainer.simulation.services.auto_scaling.warm_pool import WarmPools

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from drainer.simulation.account import Account
    from drainer.simulation.services.auto_scaling.lifecycle import LifecycleAction, Result
    from drainer.simulation.services.auto_scaling.warm_pool import WarmPool

# https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_AutoScalingInstanceDetails.html
LifecycleState = Literal[
    "Pending",
    "Pending:Wait",
    "Pending:Proceed",
    "InService",
    "EnteringStandby",
    "Standby",
    "ReplacingRootVolume",
    "ReplacingRootVolume:Wait",
    "ReplacingRootVolume:Proceed",
    "RootVolumeReplaced",
    "Terminating:Wait",
    "Terminating:Proceed",
    "Terminating:Retained",
    "Terminated",
    "Warmed:Pending",
    "Warmed:Pending:Wait",
    "Warmed:Pending:Proceed",
    "Warmed:Pending:Retained",
    "Warmed:Stopped",
    "Warmed:Running",
    "Warmed:Hibernated",
    "Warmed:Terminating:Wait",
    "Warmed:Terminating:Proceed",
    "Warmed:Terminating:Retained",
    "Warmed:Terminated",
]
# What counts towards the desired capacity; an instance that is leaving or retained does not.
# https://docs.aws.amazon.com/autoscaling/ec2/userguide/instance-lifecycle-policy.html
COUNTED: tuple[LifecycleState, ...] = (
    "Pending",
    "Pending:Wait",
    "Pending:Proceed",
    "InService",
    "ReplacingRootVolume",
    "ReplacingRootVolume:Wait",
    "ReplacingRootVolume:Proceed",
    "RootVolumeReplaced",
)
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
PAST_ACTIONS_MAX = 100_000
# Health checks are periodic; how often is not documented.
# https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-health-checks.html
HEALTH_CHECK_SECONDS = 30.0


@dataclass(slots=True, eq=False)
class Instance:
    """
    An EC2 instance as its group knows it.

    Attributes:
        actions: those of the hooks that it met last.
        past: all that it ever met.
        waits_in: the state in which it waits for its hooks; None for not.
        then: what follows the hooks.
        forgets_agent: whether its next boot is from a volume that holds no agent's state.
    """

    ec2_instance_id: str
    group: Group
    availability_zone: str
    launched_at: datetime
    lifecycle_state: LifecycleState = "Pending"
    actions: list[LifecycleAction] = field(default_factory=list)
    past: list[LifecycleAction] = field(default_factory=list)
    waits_in: LifecycleState | None = None
    then: Callable[[Instance, Result], None] | None = None
    forgets_agent: bool = False

    @property
    def waits_to_leave(self) -> bool:
        """Whether it waits for terminating hooks, wherever it then goes."""
        return self.lifecycle_state == self.waits_in and any(
            action.route.transition == TERMINATING for action in self.actions
        )


@dataclass(slots=True, eq=False)
class Group:
    """
    An Auto Scaling group.

    Attributes:
        cluster: the ECS cluster that its instances register with; None for none.
        launch_seconds: from launch to InService.
        terminate_seconds: from Terminating:Proceed to the end of the instance.
        retain_on_abandon: the retention trigger `TerminateHookAbandon` is set to `retain`.
        tasks_max: the room for tasks on each instance; None is without limit.
        attributes: what its agents set on their container instances.
    """

    name: str
    arn: str
    created_at: datetime
    desired: int
    minimum: int
    maximum: int
    cluster: str | None
    launch_seconds: float
    terminate_seconds: float
    retain_on_abandon: bool
    tasks_max: int | None
    availability_zones: list[str]
    hooks: dict[str, LifecycleHook] = field(default_factory=dict)
    instances: dict[str, Instance] = field(default_factory=dict)
    launched: int = 0
    warm_pool: WarmPool | None = None
    attributes: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)


class AutoScaling:
    """The account's Auto Scaling groups."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self.groups: dict[str, Group] = {}
        self.instances: dict[str, Instance] = {}
        # All actions, ended ones included, for checkers and timelines.
        self.actions: deque[LifecycleAction] = deque(maxlen=PAST_ACTIONS_MAX)
        self.lifecycle = LifecycleActions(account, self._after_answer)
        self.warm_pools = WarmPools(account, self)
        self.root_volumes = RootVolumes(account, self)
        # Told of each instance whose state has changed, and of each action that begins.
        self.on_state: list[Callable[[Instance], None]] = []
        self.on_action: list[Callable[[LifecycleAction], None]] = []

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
            account.ecs.create_cluster(cluster)
        for _ in range(desired):
            instance = self.launch(group)
            self.set_state(instance, "InService")
            agents.boot(account, instance)
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
        self._fill(group)

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
        """Let an instance go back to its group's warm pool, where that takes it, or for good."""
        pool = instance.group.warm_pool
        if pool is not None and pool.reuse:
            self.warm_pools.give_back(instance)
        else:
            self._begin_termination(instance)

    def terminate(self, instance: Instance, *, decrement: bool) -> None:
        """Let one instance go; without decrement the group launches another in its place."""
        if instance.lifecycle_state not in TERMINABLE:
            return
        if decrement:
            instance.group.desired -= 1
        self.replace(instance)

    def replace(self, instance: Instance) -> None:
        """Let an instance go, and launch what its group then lacks."""
        self._begin_termination(instance)
        self._fill(instance.group)

    def notice_loss(self, ec2_instance_id: str) -> None:
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

    def _begin_termination(self, instance: Instance) -> None:
        warmed = instance.lifecycle_state.startswith("Warmed:")
        route = Route(origin="WarmPool") if warmed else TERMINATION
        state: LifecycleState = "Warmed:Terminating:Wait" if warmed else "Terminating:Wait"
        self.pause(instance, state, route, self._after_termination_hooks)

    def pause(
        self,
        instance: Instance,
        state: LifecycleState,
        route: Route,
        then: Callable[[Instance, Result], None],
    ) -> None:
        """
        Open the actions of all hooks of a transition at once, and wait for them in a state.

        Hooks of one group run in parallel, and the group waits for all of them.
        https://docs.aws.amazon.com/AmazonECS/latest/developerguide/managed-instance-draining.html
        """
        group = instance.group
        hooks = [hook for hook in group.hooks.values() if hook.transition == route.transition]
        # A group that is deleted by force takes its hooks with it.
        if not hooks or group.name not in self.groups:
            then(instance, "CONTINUE")
            return
        instance.waits_in, instance.then = state, then
        self.set_state(instance, state)
        begun = [self.lifecycle.begin(hook, instance.ec2_instance_id, route) for hook in hooks]
        instance.actions = begun
        instance.past.extend(begun)
        self.actions.extend(begun)
        for action in begun:
            for listen in self.on_action:
                listen(action)
        for action in begun:
            if action.is_open:
                self.lifecycle.announce(action, group.arn)

    def _after_answer(self, action: LifecycleAction) -> None:
        """
        Go on after the last answer, or after the first ABANDON, which skips the remaining hooks.

        "abandon stops any remaining actions, such as other lifecycle hooks"
        https://docs.aws.amazon.com/autoscaling/ec2/userguide/lifecycle-hooks.html
        """
        instance = self.instances.get(action.ec2_instance_id)
        if instance is None or instance.then is None or action not in instance.actions:
            return
        result: Result = action.result or "CONTINUE"
        if result == "CONTINUE" and any(other.is_open for other in instance.actions):
            return
        then, instance.then, instance.waits_in = instance.then, None, None
        for other in instance.actions:
            self.lifecycle.end(other, result, "skipped")
        then(instance, result)

    def _after_termination_hooks(self, instance: Instance, result: Result) -> None:
        if result == "CONTINUE":
            self.proceed(instance)
        else:
            warmed = instance.lifecycle_state.startswith("Warmed:")
            retained: LifecycleState = (
                "Warmed:Terminating:Retained" if warmed else "Terminating:Retained"
            )
            self.after_abandon(instance, retained)

    def after_abandon(self, instance: Instance, retained: LifecycleState) -> None:
        """Keep an instance whose group retains abandoned ones; let another go on."""
        if instance.group.retain_on_abandon:
            # https://docs.aws.amazon.com/autoscaling/ec2/userguide/instance-lifecycle-policy.html
            self.set_state(instance, retained)
        else:
            self.proceed(instance)
        self._fill(instance.group)

    def release(self, instance: Instance, destination: str) -> None:
        """Note the moment of truth: what is left on an instance now will be killed."""
        remaining = self._account.ecs.remaining_tasks(instance.ec2_instance_id)
        self._account.record(
            "released",
            ec2_instance_id=instance.ec2_instance_id,
            auto_scaling_group_name=instance.group.name,
            remaining=[f"{task.owner} {task.last_status} {task.task_id}" for task in remaining],
            destination=destination,
        )

    def proceed(self, instance: Instance) -> None:
        """Let an instance end, whatever is left on it."""
        self.release(instance, "EC2")
        warmed = instance.lifecycle_state.startswith("Warmed:")
        self.set_state(instance, "Warmed:Terminating:Proceed" if warmed else "Terminating:Proceed")
        self._account.after(instance.group.terminate_seconds, lambda: self._end_instance(instance))

    def _end_instance(self, instance: Instance) -> None:
        warmed = instance.lifecycle_state.startswith("Warmed:")
        self.set_state(instance, "Warmed:Terminated" if warmed else "Terminated")
        instance.group.instances.pop(instance.ec2_instance_id, None)
        self.instances.pop(instance.ec2_instance_id, None)
        self._account.record(
            "terminated",
            ec2_instance_id=instance.ec2_instance_id,
            auto_scaling_group_name=instance.group.name,
        )
        self._account.ecs.lose_ec2_instance(instance.ec2_instance_id)

    # Launching

    def _fill(self, group: Group) -> None:
        counted = sum(one.lifecycle_state in COUNTED for one in group.instances.values())
        for _ in range(group.desired - counted):
            if self.warm_pools.take(group) is None:
                self.boot_after(self.launch(group), group.launch_seconds, "EC2")

    def launch(self, group: Group) -> Instance:
        """Make an instance of a group; it has yet to boot."""
        zone = group.availability_zones[group.launched % len(group.availability_zones)]
        group.launched += 1
        instance = Instance(f"i-{self._account.hexadecimal(17)}", group, zone, self._account.now)
        group.instances[instance.ec2_instance_id] = instance
        self.instances[instance.ec2_instance_id] = instance
        self._account.record(
            "launched",
            ec2_instance_id=instance.ec2_instance_id,
            auto_scaling_group_name=group.name,
        )
        return instance

    def boot_after(self, instance: Instance, seconds: float, origin: str) -> None:
        """Let a pending instance boot and wait for the launching hooks; then it is in service."""

        def boot() -> None:
            if instance.lifecycle_state == "Pending":
                agents.boot(self._account, instance)
                route = Route(LAUNCHING, origin, "AutoScalingGroup")
                self.pause(instance, "Pending:Wait", route, self._serve)

        self._account.after(seconds, boot)

    def _serve(self, instance: Instance, result: Result) -> None:
        # "If the instance is launching, abandon ... terminates the instance"; the group's
        # terminating hooks run as for any other.
        # https://docs.aws.amazon.com/autoscaling/ec2/userguide/lifecycle-hooks.html
        if result == "ABANDON":
            self.replace(instance)
            return
        if instance.lifecycle_state == "Pending:Wait":
            self.set_state(instance, "Pending:Proceed")
        self.set_state(instance, "InService")

    def set_state(self, instance: Instance, state: LifecycleState) -> None:
        """Change an instance's state, and tell of it."""
        instance.lifecycle_state = state
        self._account.record(
            "lifecycle_state",
            ec2_instance_id=instance.ec2_instance_id,
            auto_scaling_group_name=instance.group.name,
            state=state,
        )
        for listen in self.on_state:
            listen(instance)
