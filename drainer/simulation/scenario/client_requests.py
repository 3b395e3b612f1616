"""
The requests that a load balancer sends to the targets of one group, and what becomes of them.

A request is cut when its container ends under it, when it is sent to a container that takes none
any more, and when the load balancer closes it at the end of the deregistration delay.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from drainer.simulation.aws import Aws
    from drainer.simulation.services.ecs.model import Task
    from drainer.simulation.services.elb.target_groups import Target, TargetGroup

    Concerns = Callable[[Target], bool]

# Two failed health checks, ten seconds apart, as the examples of infra/ have it.
# https://docs.aws.amazon.com/elasticloadbalancing/latest/application/target-group-health-checks.html
UNHEALTHY_AFTER = timedelta(seconds=20)
# How long after the warning a load balancer may learn that a target is leaving, at best: the event,
# the function's reads, and the load balancer's own nodes.
REACTION_SECONDS = 5.0
REQUESTS_MAX = 1_000_000

Reason = Literal["ended", "refused", "closed"]


@dataclass(frozen=True, slots=True)
class Mix:
    """
    What the clients ask for.

    Attributes:
        every_seconds: from one request to the next.
        lasting_seconds: what most of them take.
        long_every: each so many requests one takes longer.
        long_seconds: what that one takes.
    """

    every_seconds: float = 0.5
    lasting_seconds: float = 3.0
    long_every: int = 10
    long_seconds: float = 40.0


@dataclass(slots=True, eq=False)
class Request:
    """
    One request.

    Attributes:
        ends_at: when its answer is complete, if nothing cuts it.
        cut_at: when it was cut.
        why: its container `ended`; it was `refused`; the load balancer `closed` it.
    """

    sent_at: datetime
    ends_at: datetime
    target: Target
    cut_at: datetime | None = None
    why: Reason | None = None


@dataclass(slots=True, eq=False)
class Requests:
    """
    A steady stream of requests to one target group, the same at every run.

    Attributes:
        group: the target group.
        mix: what is asked for.
        unaware_seconds: how long the load balancer goes on sending to a target that has begun to
            drain; not documented, and never quite nothing.
        sent: how many were sent.
        served: how many were answered.
        cut: those that were cut.
        unserved: how many found no target at all.
    """

    account: Aws
    group: TargetGroup
    mix: Mix = field(default_factory=Mix)
    unaware_seconds: float = 1.0
    sent: int = 0
    served: int = 0
    unserved: int = 0
    cut: list[Request] = field(default_factory=list)
    _under_way: dict[int, Request] = field(default_factory=dict)
    _stopped: bool = False

    def __post_init__(self) -> None:
        self.account.ecs.life.on_end.append(self._end)
        self.account.load_balancing.on_unused.append(self._close)

    def start(self) -> None:
        """Begin to send."""
        self.account.after(0, self._send)

    def stop(self) -> None:
        """Send no more; what is under way goes on."""
        self._stopped = True

    @property
    def under_way(self) -> int:
        """How many are neither answered nor cut."""
        return len(self._under_way)

    def cut_needlessly(self, warned_at: datetime, gone_at: datetime) -> list[Request]:
        """
        Return the requests that were cut although the time between allowed them to end.

        That is those that would have ended before the target was gone, and those that were sent
        when the load balancer might long have known that it was leaving.
        """
        known_at = warned_at + timedelta(seconds=REACTION_SECONDS)
        return [one for one in self.cut if one.ends_at <= gone_at or one.sent_at >= known_at]

    def _send(self) -> None:
        if self._stopped or self.sent >= REQUESTS_MAX:
            return
        self.account.after(self.mix.every_seconds, self._send)
        self.sent += 1
        targets = [one for one in self.group.targets.values() if self._sends_to(one)]
        if not targets:
            self.unserved += 1
            return
        target = targets[self.sent % len(targets)]
        is_long = self.sent % self.mix.long_every == 0
        seconds = self.mix.long_seconds if is_long else self.mix.lasting_seconds
        now, number = self.account.now, self.sent
        request = Request(now, now + timedelta(seconds=seconds), target)
        if target.behind is not None and not target.behind.accepts(now):
            self._cut(request, "refused")
            return
        self._under_way[number] = request
        self.account.after(seconds, lambda: self._answer(number))

    def _sends_to(self, target: Target) -> bool:
        now = self.account.now
        if target.state == "draining" and target.draining_since is not None:
            return (now - target.draining_since).total_seconds() < self.unaware_seconds
        refuses_since = target.behind.refuses_since if target.behind is not None else None
        unhealthy = refuses_since is not None and now >= refuses_since + UNHEALTHY_AFTER
        return target.state == "healthy" and not unhealthy

    def _answer(self, number: int) -> None:
        if self._under_way.pop(number, None) is not None:
            self.served += 1

    def _end(self, task: Task) -> None:
        self._cut_where(lambda target: target.behind is task, "ended")

    def _close(self, group: TargetGroup, target: Target) -> None:
        if group is self.group and group.closes_connections:
            self._cut_where(lambda other: other is target, "closed")

    def _cut_where(self, concerns: Concerns, why: Reason) -> None:
        for number, request in [*self._under_way.items()]:
            if concerns(request.target):
                del self._under_way[number]
                self._cut(request, why)

    def _cut(self, request: Request, why: Reason) -> None:
        request.cut_at, request.why = self.account.now, why
        self.cut.append(request)
