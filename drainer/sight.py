"""
A drain and what a look has seen of it so far: what the looks of one pass fill in together.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from drainer.errors import ClusterMissingError
from drainer.mark import restored
from drainer.model import Drain, Observation, Registration, Waiting

if TYPE_CHECKING:
    from collections.abc import Sequence

    from drainer.errors import DrainerError
    from drainer.model import ContainerInstance, Task


@dataclass(slots=True)
class Sight:
    """
    A drain and what has been seen of it.

    Attributes:
        sound: Whether every search for its container instance was of the right clusters.
        failed: Whether a call failed in a way that asking elsewhere cannot mend.
    """

    drain: Drain
    waiting: Waiting = Waiting.UNSEEN
    registration: Registration = Registration.UNSEEN
    container_instance: ContainerInstance | None = None
    tasks: tuple[Task, ...] = ()
    exact: bool = False
    deferred: bool = False
    reason: str = ""
    sound: bool = True
    failed: bool = False

    @property
    def id(self) -> str:
        """The EC2 instance's id."""
        return self.drain.action.ec2_instance_id

    @property
    def counted(self) -> int:
        """The tasks that ECS's two counters know of."""
        instance = self.container_instance
        return instance.running_tasks + instance.pending_tasks if instance else 0

    @property
    def sought(self) -> bool:
        """Whether its container instance is still to be found."""
        return self.waiting == Waiting.YES and self.container_instance is None and not self.failed

    def found(self, cluster: str, instance: ContainerInstance) -> None:
        """Take the description that belongs to the drain."""
        self.container_instance = instance
        self.registration = Registration.FOUND
        known = restored(self.drain, instance.mark)
        self.drain = replace(known, cluster=cluster, container_instance_arn=instance.arn)

    def unseen(self, error: DrainerError) -> None:
        """Note that a part of the look has failed."""
        self.sound = False
        self.failed = self.failed or not isinstance(error, ClusterMissingError)
        self.reason = self.reason or str(error)

    def observation(self) -> Observation:
        """Return what was seen, as a value."""
        return Observation(
            waiting=self.waiting,
            registration=self.registration,
            container_instance=self.container_instance,
            tasks=self.tasks,
            exact=self.exact,
            deferred=self.deferred,
            reason=self.reason,
        )


def unseen(sights: Sequence[Sight], error: DrainerError) -> None:
    """Note for several drains that a part of the look has failed."""
    for sight in sights:
        sight.unseen(error)
