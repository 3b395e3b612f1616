"""
How the instances of Auto Scaling groups come, wait at the hooks, and go.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from typing import TYPE_CHECKING

from drainer.simulation.services.auto_scaling import agents
from drainer.simulation.services.auto_scaling.lifecycle import (
    LAUNCHING,
    TERMINATION,
    LifecycleActions,
    Route,
)
from drainer.simulation.services.auto_scaling.model import Instance

if TYPE_CHECKING:
    from collections.abc import Callable

    from drainer.simulation.account import Account
    from drainer.simulation.services.auto_scaling.lifecycle import LifecycleAction, Result
    from drainer.simulation.services.auto_scaling.model import Group, LifecycleState
    from drainer.simulation.services.ecs.clusters import Ecs

PAST_ACTIONS_MAX = 100_000


class Transitions(ABC):
    """
    Moves instances from one lifecycle state to the next.

    Attributes:
        actions: all of them, ended ones included, for checkers and timelines.
        on_state: told of each instance whose state has changed.
        on_action: told of each action that begins.
    """

    def __init__(self, account: Account, ecs: Ecs) -> None:
        self._account = account
        self.ecs = ecs
        self.groups: dict[str, Group] = {}
        self.instances: dict[str, Instance] = {}
        self.actions: deque[LifecycleAction] = deque(maxlen=PAST_ACTIONS_MAX)
        self.lifecycle = LifecycleActions(account, self._after_answer)
        self.on_state: list[Callable[[Instance], None]] = []
        self.on_action: list[Callable[[LifecycleAction], None]] = []

    @abstractmethod
    def fill(self, group: Group) -> None:
        """Launch what a group lacks."""

    # On the way out

    def replace(self, instance: Instance) -> None:
        """Let an instance go, and launch what its group then lacks."""
        self.begin_termination(instance)
        self.fill(instance.group)

    def begin_termination(self, instance: Instance) -> None:
        """Let an instance meet the terminating hooks; what follows them ends it."""
        state: LifecycleState = "Terminating:Wait"
        route = TERMINATION
        if instance.is_warm:
            state, route = "Warmed:Terminating:Wait", Route(origin="WarmPool")
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
            return
        retained: LifecycleState = "Terminating:Retained"
        self.after_abandon(
            instance, "Warmed:Terminating:Retained" if instance.is_warm else retained
        )

    def after_abandon(self, instance: Instance, retained: LifecycleState) -> None:
        """Keep an instance whose group retains abandoned ones; let another go on."""
        if instance.group.retain_on_abandon:
            # https://docs.aws.amazon.com/autoscaling/ec2/userguide/instance-lifecycle-policy.html
            self.set_state(instance, retained)
        else:
            self.proceed(instance)
        self.fill(instance.group)

    def release(self, instance: Instance, destination: str) -> None:
        """Note the moment of truth: what is left on an instance now will be killed."""
        remaining = self.ecs.remaining_tasks(instance.ec2_instance_id)
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
        self.set_state(
            instance, "Warmed:Terminating:Proceed" if instance.is_warm else "Terminating:Proceed"
        )
        self._account.after(instance.group.terminate_seconds, lambda: self._end_instance(instance))

    def _end_instance(self, instance: Instance) -> None:
        self.set_state(instance, "Warmed:Terminated" if instance.is_warm else "Terminated")
        instance.group.instances.pop(instance.ec2_instance_id, None)
        self.instances.pop(instance.ec2_instance_id, None)
        self._account.record(
            "terminated",
            ec2_instance_id=instance.ec2_instance_id,
            auto_scaling_group_name=instance.group.name,
        )
        self.ecs.lose_ec2_instance(instance.ec2_instance_id)

    # On the way in

    def launch(self, group: Group) -> Instance:
        """Make an instance of a group; it has yet to boot."""
        zone = group.availability_zones[group.launched % len(group.availability_zones)]
        group.launched += 1
        instance = Instance(
            f"i-{self._account.hexadecimal(17)}",
            group,
            zone,
            self._account.now,
            launch_template=group.launch_template,
        )
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
                agents.boot(self.ecs, instance)
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
