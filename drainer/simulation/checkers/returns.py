"""
Judge instances that come back into service: the container instance of each is ACTIVE again.

An instance that returns from a warm pool, or from a new root volume, was drained before. Within R
(as in `liveness`) and OVER_SECONDS of the instant at which its group says InService, or of C, it
must serve: its connected container instance is ACTIVE if it was the drainer that set it DRAINING,
and a registration that the drainer set DRAINING, and whose agent does not come back, is
deregistered. What the table of records cannot tell of is left out (`memory`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from drainer.simulation.aws import Aws
    from drainer.simulation.scenario.promises import Workload
    from drainer.simulation.services.auto_scaling.lifecycle import LifecycleAction
    from drainer.simulation.services.auto_scaling.model import Instance
    from drainer.simulation.services.ecs.model import ContainerInstance

# An agent that blinks just now is asked about again, so often and so much later.
LOOKS_MAX = 10
BETWEEN_LOOKS_SECONDS = 60.0

# What has been set DRAINING for an action that another hook's answer has ended is known to be over
# once the chain, or the sweep that begins it again, has heard so.
OVER_SECONDS = 400.0


@dataclass(eq=False)
class Returns:
    """
    Watches instances that have met a hook of ours and are in service again.

    Attributes:
        ceased_at: says when faults cease, which a mishap that begins later may put off.
        within: says until when what is possible from an instant on must have been done.
        drained: the container instances that the drainer has set DRAINING.
        tells: says of a container instance whether a record can tell that the drainer has set it
            DRAINING, for one of these actions.
        violated: is told of a broken promise.
        held_until: says until when ECS does not describe a registration of an instance.
        was_described: says whether a container instance has been described to the function.
        until: when the last of the judgements is due.
        returned: how many instances have come back.
    """

    account: Aws
    workload: Workload
    ceased_at: Callable[[], datetime]
    within: Callable[[datetime], datetime]
    drained: set[str]
    tells: Callable[[str, Sequence[LifecycleAction]], bool]
    violated: Callable[[str, str], None]
    held_until: Callable[[str], datetime | None] = lambda _: None
    was_described: Callable[[str], bool] = lambda _: True
    until: datetime = field(init=False)
    returned: int = 0
    _since: dict[str, datetime] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Begin to watch."""
        self.until = self.account.now
        self.account.auto_scaling.on_state.append(self._moved)

    def _moved(self, instance: Instance) -> None:
        if instance.lifecycle_state == "InService" and self._ours(instance):
            self.returned += 1
            self._since[instance.ec2_instance_id] = self.account.now
            self._look_at(instance, self.due_at(instance), LOOKS_MAX)

    def _ours(self, instance: Instance) -> list[LifecycleAction]:
        return [action for action in instance.past if self.workload.promise(action).ours]

    def due_at(self, instance: Instance) -> datetime:
        """Return when an instance must serve again, as far as is known by now."""
        since = max(self._since[instance.ec2_instance_id], self.ceased_at())
        # What ECS does not describe may be what is left of it.
        since = max(since, self.held_until(instance.ec2_instance_id) or since)
        return self.within(since) + timedelta(seconds=OVER_SECONDS)

    def watch_until(self, at: datetime) -> None:
        """Let the account live until an instant at least."""
        self.until = max(self.until, at)

    def _look_at(self, instance: Instance, at: datetime, looks_left: int) -> None:
        actions, since = len(instance.past), self._since[instance.ec2_instance_id]

        def look() -> None:
            # What has left since then, or meets a hook again, is judged elsewhere.
            gone = len(instance.past) != actions or instance.lifecycle_state != "InService"
            deleted = instance.group.name not in self.account.auto_scaling.groups
            # What has been in Standby meanwhile is looked at later.
            again = self._since[instance.ec2_instance_id] != since
            if gone or deleted or again:
                return
            due_at = self.due_at(instance)
            if self.account.now < due_at:
                # The table, say, has been read-only since: nothing could be written meanwhile.
                self._look_at(instance, due_at, looks_left)
            else:
                self._judge(instance, looks_left)

        self.watch_until(at)
        self.account.at(at, look)

    def _judge(self, instance: Instance, looks_left: int) -> None:
        if self.account.facts("drained_by_hand", ec2_instance_id=instance.ec2_instance_id):
            return  # what somebody has set DRAINING may stay so
        ours = [
            one
            for one in self._registrations(instance)
            if one.arn in self.drained
            and one.status == "DRAINING"
            and self.tells(one.arn, self._ours(instance))
        ]
        connected = [one for one in self._registrations(instance) if one.agent_connected]
        if not connected:
            if looks_left:
                at = self.account.now + timedelta(seconds=BETWEEN_LOOKS_SECONDS)
                self._look_at(instance, at, looks_left - 1)
            return
        found = any(self.was_described(one.arn) for one in connected)
        for one in ours:
            if one.agent_connected:
                self._say(instance, "is InService, and its container instance is still DRAINING")
            elif found and not one.remaining_tasks():
                # A known limit: what ECS counts a task on stays, and so does what is left of an
                # agent that is connected in a cluster that nothing names.
                self._say(instance, "is InService, and its old registration is left behind")

    def _registrations(self, instance: Instance) -> list[ContainerInstance]:
        # What was left over before the drainer came is its owner's to deregister.
        known = self.account.ecs.registrations(instance.ec2_instance_id)
        return [one for one in known if not one.always_left_over]

    def _say(self, instance: Instance, sentence: str) -> None:
        self.violated("liveness", f"{instance.ec2_instance_id} {sentence}")
