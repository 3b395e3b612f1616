"""
A drain and what a look has seen of it so far: what the looks of one pass fill in together.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING
from zlib import crc32

from drainer.drain.model import REGISTRATIONS_MAX, Drain, Observation, Registration, Waiting
from drainer.drain.view import View
from drainer.errors import ClusterMissingError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from drainer.drain.model import ContainerInstance, Task
    from drainer.drain.view import Settings
    from drainer.errors import DrainerError


@dataclass(slots=True)
class Sight:
    """
    A drain and what has been seen of it.

    Attributes:
        registrations: What has been described, by ARN.
        settled: Whether its registrations are all known.
        sound: Whether every search for its container instance was of the right clusters.
        failed: Whether a call failed in a way that asking elsewhere cannot mend.
        denied: Whether a call failed for another reason than a cluster that does not exist.
        known: Whether an earlier pass has found the container instance already.
        seen_at: When its registrations had been described and searched for.
        elsewhere: Whether it is sought in other clusters than those that are named, too.
        remembers: Whether the drain knows which registrations earlier passes have found.
        proven: Whether Auto Scaling has confirmed the action to an earlier pass.
        draining_again: Since when another drain of the EC2 instance has seen it DRAINING, which had
            seen it ACTIVE before; None where there is none.
    """

    drain: Drain
    now: datetime
    waiting: Waiting = Waiting.UNSEEN
    registration: Registration = Registration.UNSEEN
    registrations: dict[str, ContainerInstance] = field(default_factory=dict)
    tasks: dict[str, Task] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    described: bool = False
    listed_at: datetime | None = None
    settled: bool = False
    searched: bool = False
    nowhere: bool = False
    deferred: bool = False
    reason: str = ""
    sound: bool = True
    failed: bool = False
    denied: bool = False
    known: bool = False
    seen_at: datetime | None = None
    elsewhere: bool = True
    remembers: bool = True
    proven: bool = True
    draining_again: datetime | None = None

    @property
    def id(self) -> str:
        """The EC2 instance's id."""
        return self.drain.action.ec2_instance_id

    @property
    def key(self) -> tuple[str, str, str]:
        """What tells it from the others of a pass: two hooks may hold one EC2 instance."""
        action = self.drain.action
        return action.lifecycle_hook_name, self.id, action.lifecycle_action_token

    @property
    def candidates(self) -> tuple[ContainerInstance, ...]:
        """
        The registrations of which one runs the tasks, the one that the drain is about first.

        An EC2 instance has one agent. Where it is connected to one registration, the others are
        what is left of earlier ones; where it is connected to none, any may be the one.
        """
        found = self.registrations.values()
        connected = [one for one in found if one.agent_connected]
        own = self.drain.container_instance_arn
        return tuple(sorted(connected or found, key=lambda one: (one.arn != own, one.arn)))

    @property
    def container_instance(self) -> ContainerInstance | None:
        """What holds for all candidates together."""
        return merged(self.candidates)

    @property
    def counted(self) -> int:
        """The tasks that ECS's two counters know of."""
        return sum(one.running_tasks + one.pending_tasks for one in self.candidates)

    @property
    def sought(self) -> bool:
        """Whether further registrations of it are still to be found."""
        return self.waiting == Waiting.YES and not self.settled and not self.failed

    def found(self, cluster: str, instance: ContainerInstance) -> None:
        """Take a description that belongs to the drain."""
        drain, is_new = self.drain, instance.arn not in self.known_arns()
        if is_new and len(self.registrations) >= REGISTRATIONS_MAX:
            self.denied, self.sound = True, False
            self.reason = f"The EC2 instance has more than {REGISTRATIONS_MAX} registrations"
            return
        if is_new and self.remembers:
            # What was established before did not know of this one.
            drain = replace(
                drain, searched_at=None, draining_since=None, listed_at=None, closed=False,
                settled=False,
            )  # fmt: skip
        self.registrations[instance.arn] = replace(instance, cluster=cluster)
        self.registration = Registration.FOUND
        first = self.candidates[0]
        self.drain = replace(drain, cluster=first.cluster, container_instance_arn=first.arn)
        # What remembers no registration cannot tell that this one is what it had settled on; and an
        # agent that was connected may have registered anew, once it no longer is.
        searched = drain.settled and drain.searched_at is not None and self.remembers
        self.settled = first.agent_connected or searched

    def known_arns(self) -> set[str]:
        """Return the ARNs of the registrations that this look or an earlier one has found."""
        others = (one.container_instance_arn for one in self.drain.others)
        own = self.drain.container_instance_arn
        return {*self.registrations, *others, *([own] if own else [])}

    def restore(self) -> None:
        """
        Take what another drain of the same EC2 instance knows better, which a second hook began.

        It may have been ACTIVE again since this drain saw it DRAINING: tasks may have been placed
        then that no listing from before has. Both go by the later instant.
        """
        since, again = self.drain.draining_since, self.draining_again
        if since is not None and again is not None and again > since:
            self.drain = replace(
                self.drain,
                draining_since=again,
                listed_at=None,
                closed=False,
                standalone_stopped=False,
            )

    def unseen(self, error: DrainerError) -> None:
        """Note that a part of the look has failed."""
        # A cluster in which it was found before, and which is no more, is no slip in a name.
        gone = self.known and isinstance(error, ClusterMissingError)
        self.sound = self.sound and gone
        self.failed = self.failed or isinstance(error, UnavailableError)
        self.denied = self.denied or not isinstance(error, ClusterMissingError)
        self.reason = self.reason or str(error)

    def view(self, settings: Settings) -> View:
        """Return it with all that is needed to judge it."""
        return View(
            drain=self.drain,
            seen=self.observation(),
            now=self.now,
            pass_interval_seconds=settings.pass_interval_seconds,
            deadline_result=settings.deadline_result,
            proven=self.proven,
        )

    def observation(self) -> Observation:
        """Return what was seen, as a value."""
        return Observation(
            waiting=self.waiting,
            registration=self.registration,
            container_instance=self.container_instance,
            registrations=self.candidates,
            tasks=tuple(self.tasks.values()),
            missing=self.missing,
            described=self.described,
            listed_at=self.listed_at,
            settled=self.settled,
            searched_to=self.drain.searched_to,
            search_failed=self.drain.search_failed,
            searched=self.searched,
            seen_at=self.seen_at,
            nowhere=self.nowhere,
            deferred=self.deferred,
            failed=self.failed or self.denied,
            reason=self.reason,
        )


def merged(candidates: Sequence[ContainerInstance]) -> ContainerInstance | None:
    """
    Return the first of several registrations with what holds for all of them together.

    It is ACTIVE while any of them is, and DRAINING once all are; its tasks are those of all.
    """
    if not candidates:
        return None
    first, statuses = candidates[0], [one.status for one in candidates]
    # Whatever is neither ACTIVE nor DRAINING is waited for.
    status = max(statuses, key=lambda status: (status == "ACTIVE", status != "DRAINING"))
    return replace(
        first,
        status=status,
        agent_connected=any(one.agent_connected for one in candidates),
        running_tasks=sum(one.running_tasks for one in candidates),
        pending_tasks=sum(one.pending_tasks for one in candidates),
    )


def turn(name: str, now: datetime) -> int:
    """Return the place of a name in an order that differs at each instant."""
    return crc32(f"{now.timestamp()} {name}".encode())


def unseen(sights: Iterable[Sight], error: DrainerError) -> None:
    """Note for several drains that a part of the look has failed."""
    for sight in sights:
        sight.unseen(error)
