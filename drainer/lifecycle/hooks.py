"""
Lifecycle states and hooks: which instance may wait, and which hook is ours to answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from drainer.config import is_own_metadata
from drainer.fields import ECS_OWN_HOOK

if TYPE_CHECKING:
    from collections.abc import Sequence

    from drainer.drain.model import Hook, LifecycleAction

# A terminating hook waits in an instance's last moments, in a warm pool, on the way back to it
# ("pauses ... at the Warmed:Pending:Wait state for the EC2_INSTANCE_TERMINATING lifecycle action"),
# and before a root volume is replaced. A state that a later version of Auto Scaling adds is taken
# for one as well; whether an action of our hook is open is said by the heartbeat.
# https://docs.aws.amazon.com/autoscaling/ec2/userguide/lifecycle-hooks-overview.html
# https://docs.aws.amazon.com/autoscaling/ec2/userguide/warm-pool-instance-lifecycle.html
# https://docs.aws.amazon.com/autoscaling/ec2/userguide/replace-root-volume.html
WAIT_STATE_SUFFIX = ":Wait"
# The one state in which only a launching hook waits.
LAUNCH_WAIT_STATE = "Pending:Wait"
# The states after the last answer. Not so Terminating:Retained, Warmed:Pending:Proceed or
# ReplacingRootVolume:Proceed, after which an instance may wait at the same hook again: such an
# answer may be an old one.
LATER_STATES = frozenset(
    {
        "Terminating:Proceed",
        "Terminated",
        "Warmed:Terminating:Proceed",
        "Warmed:Terminated",
    }
)


def is_waiting(lifecycle_state: str) -> bool:
    """Whether an instance in this state may wait at a terminating hook."""
    return lifecycle_state.endswith(WAIT_STATE_SUFFIX) and lifecycle_state != LAUNCH_WAIT_STATE


class LifecycleStates(Protocol):
    """Reads lifecycle states; may raise a DrainerError."""

    def lifecycle_states(self, ec2_instance_ids: Sequence[str]) -> dict[str, tuple[str, str]]:
        """Return group name and lifecycle state of each instance that is in a group."""


class AutoScalingReads(LifecycleStates, Protocol):
    """What is read of Auto Scaling; every method may raise a DrainerError."""

    def group_names(self) -> list[str]:
        """Return the names of all groups."""

    def states_in_groups(
        self, auto_scaling_group_names: Sequence[str]
    ) -> tuple[dict[str, tuple[str, str]], list[str]]:
        """Return group and lifecycle state of the groups' instances, and who has a warm pool."""

    def states_in_warm_pool(self, auto_scaling_group_name: str) -> dict[str, tuple[str, str]]:
        """Return group name and lifecycle state of each instance of a group's warm pool."""

    def lifecycle_hooks(self, auto_scaling_group_name: str) -> dict[str, Hook]:
        """Return the group's hooks by name."""


class Hooks:
    """
    The hooks of groups, each group's read once in a pass.

    Args:
        topic_arn: Where the notifications of our hooks go.
    """

    def __init__(self, auto_scaling: AutoScalingReads, topic_arn: str) -> None:
        self._auto_scaling = auto_scaling
        self._topic_arn = topic_arn
        self._hooks: dict[str, dict[str, Hook]] = {}

    def has_read(self, auto_scaling_group_name: str) -> bool:
        """Whether a group's hooks are known in this pass without another call."""
        return auto_scaling_group_name in self._hooks

    def of_group(self, auto_scaling_group_name: str) -> dict[str, Hook]:
        """
        Return a group's hooks by name.

        Raises:
            DrainerError: They could not be read.
        """
        if auto_scaling_group_name not in self._hooks:
            hooks = self._auto_scaling.lifecycle_hooks(auto_scaling_group_name)
            self._hooks[auto_scaling_group_name] = hooks
        return self._hooks[auto_scaling_group_name]

    def ours_beside(self, action: LifecycleAction) -> list[Hook]:
        """Return the other hooks of ours that hold the instance too, as far as they were read."""
        known = self._hooks.get(action.auto_scaling_group_name, {}).values()
        return [
            one for one in known if one.name != action.lifecycle_hook_name and self.is_found(one)
        ]

    def is_found(self, hook: Hook) -> bool:
        """
        Whether what waits at a hook without a notification is ours to look after.

        A hook without a target is anybody's who listens to EventBridge: it is ours if its metadata
        is what only our hooks have.
        """
        if not hook.notification_target_arn and not is_own_metadata(hook.notification_metadata):
            return False
        return not self.refusal(hook, by_event_bridge=True)

    def refusal(self, hook: Hook, *, by_event_bridge: bool) -> str:
        """Say why the hook is not ours to answer; empty where it is."""
        target = hook.notification_target_arn
        if hook.name == ECS_OWN_HOOK:
            return f"Hook {hook.name!r} is ECS's own"
        if not hook.terminating:
            return f"Hook {hook.name!r} is for instances that are launched"
        if target and target != self._topic_arn:
            return f"Hook {hook.name!r} notifies {target}, not this drainer"
        if not target and not (by_event_bridge and hook.notification_metadata):
            return f"Hook {hook.name!r} has no target and no metadata for the drainer"
        return ""
