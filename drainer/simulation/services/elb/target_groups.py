"""
Target groups whose targets become healthy, drain and vanish; the requests are in `requests`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from drainer.simulation.account import Account


class Answering(Protocol):
    """What answers at a target: the container of a task."""

    @property
    def refuses_since(self) -> datetime | None:
        """From when it takes no new requests, if that is known already."""

    def accepts(self, now: datetime) -> bool:
        """Say whether it takes new requests."""


@dataclass(slots=True, eq=False)
class Target:
    """
    One registration; registering again after draining makes a new one.

    Attributes:
        behind: what answers there; None for what was registered from outside ECS.
    """

    target_id: str
    port: int
    state: Literal["initial", "healthy", "draining"] = "initial"
    draining_since: datetime | None = None
    behind: Answering | None = None


@dataclass(slots=True, eq=False)
class TargetGroup:
    """
    A target group; `targets` are keyed by id and port, as a load balancer keys them.

    Attributes:
        balancer: whether an Application or a Network Load Balancer uses it.
        ip_address_type: of the targets that it takes, where their type is ip.
        connection_termination: whether a Network Load Balancer closes what is left at the end of
            the deregistration delay; an Application Load Balancer always does.
    """

    name: str
    arn: str
    target_type: Literal["instance", "ip"]
    port: int
    deregistration_delay_seconds: float
    balancer: Literal["application", "network"] = "application"
    ip_address_type: Literal["ipv4", "ipv6"] = "ipv4"
    connection_termination: bool = False
    load_balancer_arns: list[str] = field(default_factory=list)
    targets: dict[tuple[str, int], Target] = field(default_factory=dict)

    @property
    def closes_connections(self) -> bool:
        """
        Whether what is under way is cut at the end of the deregistration delay.

        The delay is what requests under way are given to complete. A Network Load Balancer lets
        them go on, unless it is told otherwise.
        https://docs.aws.amazon.com/elasticloadbalancing/latest/application/edit-target-group-attributes.html
        https://docs.aws.amazon.com/elasticloadbalancing/latest/network/edit-target-group-attributes.html
        """
        return self.balancer == "application" or self.connection_termination


class LoadBalancing:
    """The account's target groups."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self.target_groups: dict[str, TargetGroup] = {}
        # Told of each target whose deregistration delay is over.
        self.on_unused: list[Callable[[TargetGroup, Target], None]] = []

    def create_target_group(
        self,
        name: str,
        *,
        target_type: Literal["instance", "ip"] = "instance",
        port: int = 80,
        # "The default value is 300 seconds."
        # https://docs.aws.amazon.com/elasticloadbalancing/latest/application/edit-target-group-attributes.html
        deregistration_delay_seconds: float = 300.0,
        arn: str | None = None,
        balancer: Literal["application", "network"] = "application",
        ip_address_type: Literal["ipv4", "ipv6"] = "ipv4",
    ) -> TargetGroup:
        """Create a target group; `arn` lets it take the name of one deployed elsewhere."""
        account = self._account
        digits = account.hexadecimal(16)
        group = TargetGroup(
            name,
            arn or account.arn("elasticloadbalancing", f"targetgroup/{name}/{digits}"),
            target_type,
            port,
            deregistration_delay_seconds,
            balancer,
            ip_address_type,
        )
        self.target_groups[group.arn] = group
        return group

    def register(
        self,
        group: TargetGroup,
        target_id: str,
        port: int,
        *,
        healthy_after_seconds: float,
        behind: Answering | None = None,
    ) -> Target:
        """Register a target; it is healthy so many seconds later."""
        known = group.targets.get((target_id, port))
        if known is not None and known.state != "draining":
            return known
        target = Target(target_id, port, behind=behind)
        group.targets[target_id, port] = target
        self._remember(group, target)
        if healthy_after_seconds > 0:
            self._account.after(healthy_after_seconds, lambda: self._pass_check(group, target))
        else:
            self._pass_check(group, target)
        return target

    def deregister(self, group: TargetGroup, target_id: str, port: int | None = None) -> None:
        """
        Let a target drain, then forget it; an unknown target is no error.

        Args:
            group: the target group.
            target_id: the target.
            port: the port it was registered with; all its ports where none is given.
        """
        if port is not None:
            # A crowd deregisters thousands, each by its port.
            known = group.targets.get((target_id, port))
            targets = [known] if known else []
        else:
            targets = [one for one in group.targets.values() if one.target_id == target_id]
        for target in targets:
            if target.state == "draining":
                continue
            target.state = "draining"
            target.draining_since = self._account.now
            self._remember(group, target)
            self._account.after(
                group.deregistration_delay_seconds,
                lambda target=target: self._forget(group, target),  # type: ignore[misc]
            )

    def seconds_until_unused(self, group: TargetGroup, target_id: str, port: int) -> float:
        """Say how long a target that is draining goes on to; nothing for one that is gone."""
        target = group.targets.get((target_id, port))
        if target is None or target.draining_since is None:
            return 0.0
        drained = (self._account.now - target.draining_since).total_seconds()
        return max(0.0, group.deregistration_delay_seconds - drained)

    def _pass_check(self, group: TargetGroup, target: Target) -> None:
        if target.state == "initial":
            target.state = "healthy"
            self._remember(group, target)

    def _forget(self, group: TargetGroup, target: Target) -> None:
        # It may have been registered again meanwhile.
        if group.targets.get((target.target_id, target.port)) is target:
            del group.targets[target.target_id, target.port]
        for listen in self.on_unused:
            listen(group, target)
        self._account.record(
            "target",
            target_group=group.name,
            target_id=target.target_id,
            port=target.port,
            state="unused",
        )

    def _remember(self, group: TargetGroup, target: Target) -> None:
        self._account.record(
            "target",
            target_group=group.name,
            target_id=target.target_id,
            port=target.port,
            state=target.state,
        )
