"""
Lifecycle hooks and the lifecycle actions they open, with their timers.

https://docs.aws.amazon.com/autoscaling/ec2/userguide/lifecycle-hooks.html
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from drainer.simulation.records import ApiError, Notification, stamp

if TYPE_CHECKING:
    from collections.abc import Callable

    from drainer.simulation.account import Account

Result = Literal["CONTINUE", "ABANDON"]
TERMINATING = "autoscaling:EC2_INSTANCE_TERMINATING"
LAUNCHING = "autoscaling:EC2_INSTANCE_LAUNCHING"
# "EC2 Instance-launch Lifecycle Action", "EC2 Instance-terminate Lifecycle Action"
# https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-event-reference.html
EVENT_WORDS = {TERMINATING: "terminate", LAUNCHING: "launch"}


@dataclass(slots=True, eq=False)
class LifecycleHook:
    """The configured pause of a group."""

    name: str
    auto_scaling_group_name: str
    transition: str = TERMINATING
    # "The range is from 30 to 7200 seconds. The default value is 3600 seconds (1 hour)."
    # https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_PutLifecycleHook.html
    heartbeat_timeout_seconds: int = 3_600
    # "The default value is ABANDON." (same page)
    default_result: Result = "ABANDON"
    notification_metadata: str | None = None
    notification_target_arn: str | None = None
    role_arn: str | None = None

    @property
    def global_timeout_seconds(self) -> int:
        """
        The longest an instance can be kept waiting.

        "The global timeout is 48 hours or 100 times the heartbeat timeout, whichever is smaller."
        https://docs.aws.amazon.com/autoscaling/ec2/userguide/lifecycle-hooks.html
        """
        return min(172_800, 100 * self.heartbeat_timeout_seconds)


@dataclass(frozen=True, slots=True)
class Route:
    """
    From where to where an instance goes when it meets its hooks.

    https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-event-reference.html

    Attributes:
        transition: which hooks it meets.
        origin: `EC2`, `AutoScalingGroup` or `WarmPool`.
        destination: one of these.
        action: what else its event says, such as `ReplaceRootVolume`.
        told: whether the notification says that too.
    """

    transition: str = TERMINATING
    origin: str = "AutoScalingGroup"
    destination: str = "EC2"
    action: str = ""
    told: bool = True


TERMINATION = Route()


@dataclass(slots=True, eq=False)
class LifecycleAction:
    """
    One EC2 instance passing one hook once.

    Attributes:
        route: from where to where.
        ended_by: `completed`, `timeout`, `rejected` (its notification was), `hook_deleted` or
            `skipped` (another hook's action was abandoned).
    """

    token: str
    hook: LifecycleHook
    ec2_instance_id: str
    started_at: datetime
    timeout_at: datetime
    global_timeout_at: datetime
    route: Route = TERMINATION
    heartbeats: list[datetime] = field(default_factory=list)
    result: Result | None = None
    ended_at: datetime | None = None
    ended_by: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether it still waits for an answer."""
        return self.ended_at is None


class LifecycleActions:
    """Opens actions, extends them, and ends each exactly once."""

    def __init__(self, account: Account, ended: Callable[[LifecycleAction], None]) -> None:
        self._account = account
        self._ended = ended
        self.open: dict[str, LifecycleAction] = {}

    def begin(
        self, hook: LifecycleHook, ec2_instance_id: str, route: Route = TERMINATION
    ) -> LifecycleAction:
        """Open an action; its target is told of it only by `announce`."""
        now = self._account.now
        action = LifecycleAction(
            self._account.uuid(),
            hook,
            ec2_instance_id,
            now,
            now + timedelta(seconds=hook.heartbeat_timeout_seconds),
            now + timedelta(seconds=hook.global_timeout_seconds),
            route,
        )
        self.open[action.token] = action
        self._account.record("hook_opened", **_names(action))
        self._watch(action)
        return action

    def announce(self, action: LifecycleAction, group_arn: str) -> None:
        """
        Publish an action's notification and its EventBridge twin.

        A target that rejects the message makes the default result apply at once (measured on AWS
        by others; the documentation says "or if an unexpected failure occurs").
        https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_PutLifecycleHook.html
        """
        detail, route = _detail(action), action.route
        if self._account.on_event:
            self._account.emit(
                "aws.autoscaling",
                f"EC2 Instance-{EVENT_WORDS[route.transition]} Lifecycle Action",
                [group_arn],
                detail | ({"Action": route.action} if route.action else {}),
            )
        message = {
            **detail,
            **({"Action": route.action} if route.action and route.told else {}),
            "AccountId": self._account.account_id,
            "RequestId": self._account.uuid(),
            "Service": "AWS Auto Scaling",
            "Time": stamp(self._account.now),
        }
        subject = (
            f"Auto Scaling:  Lifecycle action '{route.transition.rpartition('_')[2]}' for instance "
            f"{action.ec2_instance_id} in progress."
        )
        try:
            self._publish(action.hook, subject, message)
        except ApiError:
            self.end(action, action.hook.default_result, "rejected")

    def test(self, hook: LifecycleHook, group_arn: str) -> None:
        """Publish the test notification of a new hook."""
        message = {
            "AccountId": self._account.account_id,
            "RequestId": self._account.uuid(),
            "AutoScalingGroupARN": group_arn,
            "AutoScalingGroupName": hook.auto_scaling_group_name,
            "Service": "AWS Auto Scaling",
            "Event": "autoscaling:TEST_NOTIFICATION",
            "Time": stamp(self._account.now),
        }
        subject = f'Auto Scaling: test notification for group "{hook.auto_scaling_group_name}"'
        self._publish(hook, subject, message)

    def heartbeat(self, action: LifecycleAction) -> None:
        """
        Restart an action's timeout, as far as its global timeout allows.

        https://docs.aws.amazon.com/autoscaling/ec2/userguide/completing-lifecycle-hooks.html
        """
        now = self._account.now
        action.heartbeats.append(now)
        renewed_until = now + timedelta(seconds=action.hook.heartbeat_timeout_seconds)
        action.timeout_at = min(renewed_until, action.global_timeout_at)
        self._account.record("heartbeat", **_names(action))
        self._watch(action)

    def end(self, action: LifecycleAction, result: Result, ended_by: str) -> None:
        """End an open action; one that has ended stays as it is."""
        if not action.is_open:
            return
        action.result = result
        action.ended_at = self._account.now
        action.ended_by = ended_by
        del self.open[action.token]
        self._account.record("answered", **_names(action), result=result, ended_by=ended_by)
        self._ended(action)

    def _publish(self, hook: LifecycleHook, subject: str, message: dict[str, Any]) -> None:
        if hook.notification_target_arn is not None:
            notification = Notification(hook.notification_target_arn, subject, message)
            for listen in self._account.on_notification:
                listen(notification)

    def _watch(self, action: LifecycleAction) -> None:
        def elapse() -> None:
            # A heartbeat since then has made a later watch.
            if action.is_open and action.timeout_at <= self._account.now:
                self.end(action, action.hook.default_result, "timeout")

        self._account.at(action.timeout_at, elapse)


def _names(action: LifecycleAction) -> dict[str, str]:
    return {
        "ec2_instance_id": action.ec2_instance_id,
        "auto_scaling_group_name": action.hook.auto_scaling_group_name,
        "lifecycle_hook_name": action.hook.name,
        "lifecycle_action_token": action.token,
    }


def _detail(action: LifecycleAction) -> dict[str, Any]:
    # https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-event-reference.html
    detail = {
        "LifecycleActionToken": action.token,
        "AutoScalingGroupName": action.hook.auto_scaling_group_name,
        "LifecycleHookName": action.hook.name,
        "EC2InstanceId": action.ec2_instance_id,
        "LifecycleTransition": action.hook.transition,
        "Origin": action.route.origin,
        "Destination": action.route.destination,
    }
    if action.hook.notification_metadata is not None:
        detail["NotificationMetadata"] = action.hook.notification_metadata
    return detail
