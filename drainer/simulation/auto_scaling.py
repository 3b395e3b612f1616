"""Auto Scaling groups: instances come, wait at the hooks, and go."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from drainer.simulation.lifecycle import TERMINATING, LifecycleActions, LifecycleHook

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from drainer.simulation.account import Account
    from drainer.simulation.lifecycle import LifecycleAction, Result

LifecycleState = Literal[
    "Pending",
    "InService",
    "Terminating:Wait",
    "Terminating:Proceed",
    "Terminating:Retained",
    "Terminated",
]
# What counts towards the desired capacity; an instance that is leaving or retained does not.
# https://docs.aws.amazon.com/autoscaling/ec2/userguide/instance-lifecycle-policy.html
COUNTED: tuple[LifecycleState, ...] = ("Pending", "InService")
PAST_ACTIONS_MAX = 100_000
# Health checks are periodic; how often is not documented.
# https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-health-checks.html
HEALTH_CHECK_SECONDS = 30.0


@dataclass(slots=True, eq=False)
class Instance:
    """An EC2 instance as its group knows it."""

    ec2_instance_id: str
    group: Group
    availability_zone: str
    launched_at: datetime
    lifecycle_state: LifecycleState = "Pending"
    actions: list[LifecycleAction] = field(default_factory=list)


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
    attributes: dict[str, str] = field(default_factory=dict)


class AutoScaling:
    """The account's Auto Scaling groups."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self.groups: dict[str, Group] = {}
        self.instances: dict[str, Instance] = {}
        # All actions, ended ones included, for checkers and timelines.
        self.actions: deque[LifecycleAction] = deque(maxlen=PAST_ACTIONS_MAX)
        self.lifecycle = LifecycleActions(account, self._after_answer)

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
            self._serve(self._launch(group))
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
                self.lifecycle.end(action, "CONTINUE", "hook_deleted")
        self.groups[hook.auto_scaling_group_name].hooks.pop(hook.name, None)

    # What happens to a group

    def set_desired(self, group: Group, desired: int) -> None:
        """Set the desired capacity; the group launches what is missing or lets the oldest go."""
        group.desired = desired
        surplus = sum(one.lifecycle_state in COUNTED for one in group.instances.values()) - desired
        in_service = [one for one in group.instances.values() if one.lifecycle_state == "InService"]
        for instance in in_service[: max(surplus, 0)]:
            self._begin_termination(instance)
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
            self._begin_termination(instance)
        return chosen

    def terminate(self, instance: Instance, *, decrement: bool) -> None:
        """Let one instance go; without decrement the group launches another in its place."""
        if instance.lifecycle_state not in ("InService", "Pending", "Terminating:Retained"):
            return
        if decrement:
            instance.group.desired -= 1
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
        """
        Open the actions of all terminating hooks at once.

        Hooks of one group run in parallel, and the group waits for all of them.
        https://docs.aws.amazon.com/AmazonECS/latest/developerguide/managed-instance-draining.html
        """
        group = instance.group
        hooks = [hook for hook in group.hooks.values() if hook.transition == TERMINATING]
        if not hooks:
            self._proceed(instance)
            return
        self._set_state(instance, "Terminating:Wait")
        instance.actions = [self.lifecycle.begin(hook, instance.ec2_instance_id) for hook in hooks]
        self.actions.extend(instance.actions)
        for action in [*instance.actions]:
            if action.is_open:
                self.lifecycle.announce(action, group.arn)

    def _after_answer(self, action: LifecycleAction) -> None:
        instance = self.instances[action.ec2_instance_id]
        if instance.lifecycle_state != "Terminating:Wait":
            return
        if action.result == "ABANDON":
            self._abandon(instance)
        elif not any(other.is_open for other in instance.actions):
            self._proceed(instance)

    def _abandon(self, instance: Instance) -> None:
        """
        Skip the remaining hooks; keep the instance where its group retains abandoned ones.

        "abandon stops any remaining actions, such as other lifecycle hooks"
        https://docs.aws.amazon.com/autoscaling/ec2/userguide/lifecycle-hooks.html
        """
        result: Result = "ABANDON"
        if instance.group.retain_on_abandon:
            # https://docs.aws.amazon.com/autoscaling/ec2/userguide/instance-lifecycle-policy.html
            self._set_state(instance, "Terminating:Retained")
        else:
            self._proceed(instance)
        for other in instance.actions:
            self.lifecycle.end(other, result, "skipped")
        self._fill(instance.group)

    def _proceed(self, instance: Instance) -> None:
        remaining = self._account.ecs.remaining_tasks(instance.ec2_instance_id)
        # The moment of truth: what is left now will be killed.
        self._account.record(
            "released",
            ec2_instance_id=instance.ec2_instance_id,
            auto_scaling_group_name=instance.group.name,
            remaining=[f"{task.owner} {task.last_status} {task.task_id}" for task in remaining],
        )
        self._set_state(instance, "Terminating:Proceed")
        self._account.after(instance.group.terminate_seconds, lambda: self._end_instance(instance))

    def _end_instance(self, instance: Instance) -> None:
        self._set_state(instance, "Terminated")
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
            instance = self._launch(group)
            self._account.after(
                group.launch_seconds,
                lambda instance=instance: self._serve(instance),  # type: ignore[misc]
            )

    def _launch(self, group: Group) -> Instance:
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

    def _serve(self, instance: Instance) -> None:
        if instance.lifecycle_state != "Pending":
            return
        self._set_state(instance, "InService")
        if instance.group.cluster is not None:
            self._account.ecs.register(
                instance.group.cluster,
                instance.ec2_instance_id,
                availability_zone=instance.availability_zone,
                tasks_max=instance.group.tasks_max,
                attributes=instance.group.attributes,
            )

    def _set_state(self, instance: Instance, state: LifecycleState) -> None:
        instance.lifecycle_state = state
        self._account.record(
            "lifecycle_state",
            ec2_instance_id=instance.ec2_instance_id,
            auto_scaling_group_name=instance.group.name,
            state=state,
        )
