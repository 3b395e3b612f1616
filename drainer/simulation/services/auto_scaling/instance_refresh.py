"""
Instance refresh: every instance of a group replaced by one of its present launch template.

https://docs.aws.amazon.com/autoscaling/ec2/userguide/instance-refresh-overview.html
Checkpoints, bake time, alarms and rollbacks are not here, and are refused by the API.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal

from drainer.simulation.records import ApiError
from drainer.simulation.services.auto_scaling.model import COUNTED

if TYPE_CHECKING:
    from drainer.simulation.account import Account
    from drainer.simulation.services.auto_scaling.model import Group, Instance
    from drainer.simulation.services.auto_scaling.root_volume import RootVolumes
    from drainer.simulation.services.auto_scaling.transitions import Transitions

Strategy = Literal["Rolling", "ReplaceRootVolume"]
Status = Literal["Pending", "InProgress", "Successful", "Failed", "Cancelling", "Cancelled"]
ACTIVE: tuple[Status, ...] = ("Pending", "InProgress", "Cancelling")
# "keeps retrying for an hour ... If the problem persists after an hour, the operation fails"
# https://docs.aws.amazon.com/autoscaling/ec2/userguide/troubleshooting-instance-refresh.html
STUCK = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Preferences:
    """
    How a group is refreshed.

    Attributes:
        min_healthy_percent: how much of the desired capacity has to serve.
        max_healthy_percent: how much there may be, what boots included; None is "not given", with
            which an instance goes before its replacement comes.
        warmup_seconds: from InService until a new instance counts.
        skip_matching: leave instances of the present launch template as they are.
    """

    min_healthy_percent: int = 90
    max_healthy_percent: int | None = None
    warmup_seconds: float = 0.0
    skip_matching: bool = False


@dataclass(slots=True, eq=False)
class Refresh:
    """
    One refresh of one group.

    Attributes:
        old: the instances that are still to be replaced, in their order.
        leaving: those whose replacement, or new volume, has begun.
        warm_at: when each new instance counts.
        total: how many there were to replace.
        progressed_at: when an instance came or went last.
    """

    refresh_id: str
    group: Group
    strategy: Strategy
    preferences: Preferences
    started_at: datetime
    progressed_at: datetime
    old: list[Instance]
    total: int
    leaving: list[Instance] = field(default_factory=list)
    warm_at: dict[str, datetime] = field(default_factory=dict)
    status: Status = "Pending"
    reason: str = ""
    ended_at: datetime | None = None
    planned: bool = False

    @property
    def is_active(self) -> bool:
        """Whether it goes on."""
        return self.status in ACTIVE

    def percentage(self, now: datetime) -> int:
        """Return how much of it is done: a replacement counts when its warm-up is over."""
        warm = sum(at <= now for at in self.warm_at.values())
        return 100 * min(warm, self.total) // self.total if self.total else 100


class InstanceRefreshes:
    """
    The refreshes of the account's groups.

    Attributes:
        waits_for_hooks: whether the next instances are begun only when the ones before have passed
            the terminating hooks. AWS says so of launching hooks and is silent about these.
    """

    def __init__(
        self, account: Account, transitions: Transitions, root_volumes: RootVolumes
    ) -> None:
        self._account = account
        self._transitions = transitions
        self._root_volumes = root_volumes
        self.of_group: dict[str, list[Refresh]] = defaultdict(list)
        self.waits_for_hooks = True
        self.volumes_forget_agents = True
        transitions.on_state.append(self._moved)

    def start(
        self, group: Group, strategy: Strategy, preferences: Preferences, launch_template: str = ""
    ) -> Refresh:
        """
        Begin a refresh.

        Args:
            group: the group.
            strategy: replace instances, or their root volumes.
            preferences: how many at once.
            launch_template: what instances get from now on; empty for what they get already.

        Raises:
            ApiError: one is under way.
        """
        if self.active(group) is not None:
            raise ApiError(
                "InstanceRefreshInProgress", "An Instance Refresh is already in progress"
            )
        group.launch_template = launch_template or group.launch_template
        now = self._account.now
        old = [
            one
            for one in group.instances.values()
            if one.lifecycle_state == "InService"
            and not (preferences.skip_matching and one.launch_template == group.launch_template)
        ]
        refresh = Refresh(
            self._account.uuid(), group, strategy, preferences, now, now, old, len(old)
        )
        self.of_group[group.name].insert(0, refresh)
        self._plan(refresh)
        return refresh

    def active(self, group: Group) -> Refresh | None:
        """Return the refresh of a group that is under way; there is at most one."""
        return next((one for one in self.of_group[group.name] if one.is_active), None)

    def cancel(self, group: Group, *, wait: bool) -> Refresh:
        """
        Begin nothing more, and end at once or when what has begun is over; nothing is taken back.

        https://docs.aws.amazon.com/autoscaling/ec2/userguide/cancel-instance-refresh.html

        Raises:
            ApiError: none is under way.
        """
        refresh = self.active(group)
        if refresh is None:
            raise ApiError("ActiveInstanceRefreshNotFound", "No in progress Instance Refresh found")
        refresh.status, refresh.reason = "Cancelling", "Cancelled due to user request."
        if not wait:
            self._end(refresh, "Cancelled")
        self._plan(refresh)
        return refresh

    def _plan(self, refresh: Refresh, after_seconds: float = 0.0) -> None:
        """Look at a refresh soon: not here, where an instance is in the middle of a move."""
        if after_seconds:
            self._account.after(after_seconds, lambda: self._plan(refresh))
        elif not refresh.planned:
            refresh.planned = True
            self._account.after(0, lambda: self._step(refresh))

    def _moved(self, instance: Instance) -> None:
        refresh = self.active(instance.group)
        if refresh is None:
            return
        is_new = instance not in refresh.old
        if instance.lifecycle_state == "InService" and is_new:
            warmup = refresh.preferences.warmup_seconds
            refresh.progressed_at = self._account.now
            warm_at = self._account.now + timedelta(seconds=warmup)
            refresh.warm_at[instance.ec2_instance_id] = warm_at
            self._plan(refresh, warmup)
        self._plan(refresh)

    def _step(self, refresh: Refresh) -> None:
        refresh.planned = False
        if not refresh.is_active:
            return
        if refresh.status == "Pending":
            refresh.status = "InProgress"
            self._tell(refresh, "Started")
        # One that is gone, or going, for another reason need not be replaced.
        refresh.old = [one for one in refresh.old if one.lifecycle_state == "InService"]
        if refresh.status == "InProgress":
            self._replace(refresh)
        status = self._outcome(refresh)
        if status is not None:
            self._end(refresh, status)

    def _replace(self, refresh: Refresh) -> None:
        if refresh.strategy == "ReplaceRootVolume":
            self._replace_volumes(refresh)
        elif not (self.waits_for_hooks and _is_waiting(refresh)):
            self._roll(refresh)

    def _outcome(self, refresh: Refresh) -> Status | None:
        """Return what a refresh has come to; None while there is something to wait for."""
        counted = [one for one in refresh.group.instances.values() if _counts(one)]
        is_coming = any(one.lifecycle_state != "InService" for one in counted)
        if refresh.status == "Cancelling":
            return None if is_coming or _is_waiting(refresh) else "Cancelled"
        is_settled = all(self._is_warm(refresh, one) for one in counted)
        if is_settled and not refresh.old:
            return None if self.waits_for_hooks and _is_waiting(refresh) else "Successful"
        left = refresh.progressed_at + STUCK - self._account.now
        # A drain that takes longer is not among the reasons that AWS names.
        if is_coming and left <= timedelta() and not _is_waiting(refresh):
            return "Failed"
        if is_coming and left > timedelta():
            self._plan(refresh, left.total_seconds())
        return None

    def _roll(self, refresh: Refresh) -> None:
        """Launch as many as may be more, and let as many go as may be missing."""
        group, preferences = refresh.group, refresh.preferences
        counted = [one for one in group.instances.values() if _counts(one)]
        serving = [one for one in counted if self._is_warm(refresh, one)]
        # No current page says how AWS rounds; its older guide rounds the minimum up.
        fewest = math.ceil(group.desired * preferences.min_healthy_percent / 100)
        most = group.desired
        if preferences.max_healthy_percent is None:
            # One has to go, whatever the minimum is, for nothing may come before.
            fewest = min(fewest, group.desired - 1)
        else:
            most = group.desired * preferences.max_healthy_percent // 100
            if fewest >= group.desired:
                # Where both bounds leave no room, it exceeds the desired capacity for a while.
                most = max(most, group.desired + 1)
        spare = len(counted) - group.desired
        for _ in range(min(most - len(counted), len(refresh.old) - spare)):
            self._transitions.boot_after(
                self._transitions.launch(group), group.launch_seconds, "EC2"
            )
        # The termination policy chooses; here the oldest go first.
        for instance in refresh.old[: max(0, len(serving) - fewest)]:
            self._begin(refresh, instance)
            self._transitions.begin_termination(instance)
        self._transitions.fill(group)

    def _replace_volumes(self, refresh: Refresh) -> None:
        """Give as many a new volume as may be missing; how many AWS takes at once is inferred."""
        group = refresh.group
        fewest = math.ceil(group.desired * refresh.preferences.min_healthy_percent / 100)
        busy = [one for one in refresh.leaving if not self._is_warm(refresh, one)]
        for instance in refresh.old[: max(0, max(1, group.desired - fewest) - len(busy))]:
            self._begin(refresh, instance)
            self._root_volumes.replace(instance, forgets_agent=self.volumes_forget_agents)

    def _begin(self, refresh: Refresh, instance: Instance) -> None:
        refresh.old.remove(instance)
        refresh.leaving.append(instance)
        refresh.progressed_at = self._account.now

    def _is_warm(self, refresh: Refresh, instance: Instance) -> bool:
        if instance.lifecycle_state != "InService":
            # What has left keeps no refresh waiting.
            return not _counts(instance)
        # One without an instant was there before the refresh.
        warm_at = refresh.warm_at.get(instance.ec2_instance_id)
        return warm_at is None or warm_at <= self._account.now

    def _end(self, refresh: Refresh, status: Status) -> None:
        refresh.status, refresh.ended_at = status, self._account.now
        self._tell(refresh, {"Successful": "Succeeded"}.get(status, status))

    def _tell(self, refresh: Refresh, word: str) -> None:
        # https://docs.aws.amazon.com/autoscaling/ec2/userguide/instance-refresh-eventbridge-events.html
        group = refresh.group
        detail = {"InstanceRefreshId": refresh.refresh_id, "AutoScalingGroupName": group.name}
        detail_type = f"EC2 Auto Scaling Instance Refresh {word}"
        self._account.emit("aws.autoscaling", detail_type, [group.arn], detail)


def _counts(instance: Instance) -> bool:
    return instance.lifecycle_state in COUNTED


def _is_waiting(refresh: Refresh) -> bool:
    return any(one.waits_to_leave for one in refresh.leaving)
