"""
A drain and what a look has seen of it so far: what the looks of one pass fill in together.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from drainer import mark as marks
from drainer.errors import ClusterMissingError, UnavailableError
from drainer.model import Drain, Observation, Registration, Waiting
from drainer.view import View

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from drainer.config import Config
    from drainer.errors import DrainerError
    from drainer.model import ContainerInstance, Task


@dataclass(slots=True)
class Sight:
    """
    A drain and what has been seen of it.

    Attributes:
        sound: Whether every search for its container instance was of the right clusters.
        failed: Whether a call failed in a way that asking elsewhere cannot mend.
        denied: Whether a call failed for another reason than a cluster that does not exist.
        known: Whether an earlier pass has found the container instance already.
        elsewhere: Whether it is sought in other clusters than those that are named, too.
    """

    drain: Drain
    now: datetime
    waiting: Waiting = Waiting.UNSEEN
    registration: Registration = Registration.UNSEEN
    container_instance: ContainerInstance | None = None
    tasks: tuple[Task, ...] = ()
    exact: bool = False
    nowhere: bool = False
    deferred: bool = False
    reason: str = ""
    sound: bool = True
    failed: bool = False
    denied: bool = False
    known: bool = False
    elsewhere: bool = True

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
        """
        Whether its container instance is still to be found.

        One whose agent is disconnected may be what is left of an earlier registration, in another
        cluster than the one where the EC2 instance serves now.
        """
        found = self.container_instance
        settled = found is not None and (found.agent_connected or self.known)
        return self.waiting == Waiting.YES and not settled and not self.failed

    def found(self, cluster: str, instance: ContainerInstance) -> None:
        """Take a description that belongs to the drain; the connected one of two counts."""
        if self.container_instance and not instance.agent_connected:
            return
        self.container_instance = instance
        self.registration = Registration.FOUND
        drain = marks.restored(self.drain, marks.of(instance, self.drain, self.now))
        self.drain = replace(drain, cluster=cluster, container_instance_arn=instance.arn)

    def unseen(self, error: DrainerError) -> None:
        """Note that a part of the look has failed."""
        # A cluster in which it was found before, and which is no more, is no slip in a name.
        gone = self.known and isinstance(error, ClusterMissingError)
        self.sound = self.sound and gone
        self.failed = self.failed or isinstance(error, UnavailableError)
        self.denied = self.denied or not isinstance(error, ClusterMissingError)
        self.reason = self.reason or str(error)

    def view(self, config: Config) -> View:
        """Return it with all that is needed to judge it."""
        return View(
            drain=self.drain,
            seen=self.observation(),
            now=self.now,
            pass_interval_seconds=config.pass_interval_seconds,
            deadline_result=config.deadline_result,
        )

    def observation(self) -> Observation:
        """Return what was seen, as a value."""
        return Observation(
            waiting=self.waiting,
            registration=self.registration,
            container_instance=self.container_instance,
            tasks=self.tasks,
            exact=self.exact,
            nowhere=self.nowhere,
            deferred=self.deferred,
            reason=self.reason,
        )


def unseen(sights: Sequence[Sight], error: DrainerError) -> None:
    """Note for several drains that a part of the look has failed."""
    for sight in sights:
        sight.unseen(error)
