"""
Judge which tasks need not be waited for where an agent has registered its EC2 instance again.

Three known limits, and no more than they admit:

* In a cluster that neither the hook nor the settings name, and that has no other registration of
  the EC2 instance, what an agent registers is found within five minutes before the answer.
* Tasks on an earlier registration are waited for until another one has been DRAINING for five
  minutes: no agent is there that would report their end.
* An earlier registration in another cluster than that of a connected agent is found only if a look
  of this drain has seen it: one that follows another action of its hook begins with its heartbeat.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from drainer.simulation.checkers.memory import drained_at

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime
    from typing import Any

    from drainer.simulation.aws import Aws
    from drainer.simulation.scenario.promises import Workload
    from drainer.simulation.services.auto_scaling.lifecycle import LifecycleAction
    from drainer.simulation.services.ecs.model import ContainerInstance, Task

# How long all clusters are not searched again before an answer, how many times as long as a drain
# has lasted while it waits, and how long what is left behind is waited for.
SEARCHED_AGAIN = timedelta(seconds=300)
SEARCHED_AGAIN_TIMES = 3
LEFT_BEHIND = timedelta(seconds=300)


@dataclass(eq=False)
class EarlierRegistrations:
    """Knows which container instances were described to the function, and when last."""

    account: Aws
    workload: Workload
    _described_at: dict[str, datetime] = field(default_factory=dict)

    def described(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Note which container instances an answer describes."""
        for row in rows:
            self._described_at[row["containerInstanceArn"]] = self.account.now

    def was_described(self, arn: str) -> bool:
        """Whether the function has seen a container instance at all."""
        return arn in self._described_at

    def excuses(self, task: Task, action: LifecycleAction) -> bool:
        """Whether a task that runs does not count, as a limit of the drainer says."""
        one = task.container_instance
        known = self.account.ecs.registrations(action.ec2_instance_id)
        others = [other for other in known if other is not one]
        if not others:
            return False
        return self._is_hidden(one, others, action) or self._is_left(one, others, action)

    def _is_hidden(
        self, one: ContainerInstance, others: list[ContainerInstance], action: LifecycleAction
    ) -> bool:
        """Whether it is in a cluster where nothing leads to it, and not for five minutes yet."""
        places = {
            *self.workload.promise(action).clusters,
            *(other.cluster.name for other in others),
        }
        new = one.registered_at > max(action.started_at, self.account.now - SEARCHED_AGAIN)
        return new and one.cluster.name not in places

    def _is_left(
        self, one: ContainerInstance, others: list[ContainerInstance], action: LifecycleAction
    ) -> bool:
        """Whether it is an earlier registration that is waited for no longer, or was not found."""
        if not one.agent_gone:
            return False
        connected = [other for other in others if not other.agent_gone]
        seen_at = self._described_at.get(one.arn)
        unseen = seen_at is None or seen_at < self._begun_at(action)
        return any(
            (unseen and other.cluster is not one.cluster)
            or (
                other.status == "DRAINING"
                and self.account.now >= drained_at(self.account, other.arn) + LEFT_BEHIND
            )
            for other in connected
        )

    def _begun_at(self, action: LifecycleAction) -> datetime:
        """Return when the drain of an action began: another one may have been taken for it."""
        instance = self.account.auto_scaling.instances[action.ec2_instance_id]
        again = any(one.hook.name == action.hook.name for one in instance.past if one is not action)
        return min(action.heartbeats, default=action.started_at) if again else action.started_at
