"""
What an answer rests upon: listings of tasks that were made since its lifecycle action began.

Between two actions an instance may have been in service, with new tasks on it.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from drainer.simulation.aws import Aws
    from drainer.simulation.services.auto_scaling.lifecycle import LifecycleAction
    from drainer.simulation.services.ecs.model import ContainerInstance

# One listing alone may be late.
LISTINGS_MIN = 2
# A record that no pass has written for so long, and for a pass interval, is silent: a pass that
# goes on without a token has to look afresh. The rest is what an invocation takes.
SILENT_SECONDS = 75.0 + 35.0


@dataclass(eq=False)
class Evidence:
    """Watches when tasks are listed, and when records are written."""

    account: Aws
    pass_interval_seconds: int
    _listed_at: dict[str, set[datetime]] = field(default_factory=lambda: defaultdict(set))
    _shown_free_at: dict[str, set[datetime]] = field(default_factory=lambda: defaultdict(set))
    _recorded_at: dict[str, list[datetime]] = field(default_factory=lambda: defaultdict(list))

    def listed(self, container_instance: str) -> None:
        """Note that the tasks of a container instance were listed, by its ARN or id."""
        self._listed_at[container_instance.rpartition("/")[2]].add(self.account.now)

    def described(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Note which container instances an answer shows without a task that ECS wants to run."""
        for row in rows:
            counted = row["runningTasksCount"] + row["pendingTasksCount"]
            if not counted and row["remainingResources"] == row["registeredResources"]:
                of = row["containerInstanceArn"].rpartition("/")[2]
                self._shown_free_at[of].add(self.account.now)

    def recorded(self, ec2_instance_id: str) -> None:
        """Note that the record of a drain was written."""
        self._recorded_at[ec2_instance_id].append(self.account.now)

    def is_of_before(self, action: LifecycleAction, *, named: bool) -> bool:
        """
        Whether an action is answered as drained without two listings since it began.

        A known limit: where the token is not known, and no silence shows that there is another
        action, it is taken for the one before.

        Args:
            action: what is answered.
            named: whether the answer names the action's token.
        """
        if not (named or self._was_silent(action)):
            return False
        there = self.account.ecs.registrations(action.ec2_instance_id)
        if not any(one.agent_connected for one in there):
            return False
        # The function cannot know what an agent has registered a moment ago.
        return all(self._listings(one, action) < LISTINGS_MIN for one in there)

    def _listings(self, instance: ContainerInstance, action: LifecycleAction) -> int:
        of = instance.container_instance_id
        # A description without a task says as much as the first listing, not as the second.
        free = any(at >= action.started_at for at in self._shown_free_at[of])
        return free + sum(at >= action.started_at for at in self._listed_at[of])

    def _was_silent(self, action: LifecycleAction) -> bool:
        recorded = self._recorded_at[action.ec2_instance_id]
        before = [at for at in recorded if at <= action.started_at]
        after = [at for at in recorded if at > action.started_at]
        if not before:
            return True
        seconds = self.pass_interval_seconds + SILENT_SECONDS
        return (after or [self.account.now])[0] - before[-1] >= timedelta(seconds=seconds)
