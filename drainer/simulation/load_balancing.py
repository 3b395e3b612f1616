"""
Target groups whose targets become healthy, drain and vanish.

Requests are not simulated: what counts here is how long a target keeps its task alive.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from datetime import datetime

    from drainer.simulation.account import Account


@dataclass(slots=True, eq=False)
class Target:
    """One registration; registering again after draining makes a new one."""

    target_id: str
    port: int
    state: Literal["initial", "healthy", "draining"] = "initial"
    draining_since: datetime | None = None


@dataclass(slots=True, eq=False)
class TargetGroup:
    """A target group; `targets` are keyed by id and port, as a load balancer keys them."""

    name: str
    arn: str
    target_type: Literal["instance", "ip"]
    port: int
    deregistration_delay_seconds: float
    load_balancer_arns: list[str] = field(default_factory=list)
    targets: dict[tuple[str, int], Target] = field(default_factory=dict)


class LoadBalancing:
    """The account's target groups."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self.target_groups: dict[str, TargetGroup] = {}

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
        )
        self.target_groups[group.arn] = group
        return group

    def register(
        self, group: TargetGroup, target_id: str, port: int, *, healthy_after_seconds: float
    ) -> Target:
        """Register a target; it is healthy so many seconds later."""
        known = group.targets.get((target_id, port))
        if known is not None and known.state != "draining":
            return known
        target = Target(target_id, port)
        group.targets[target_id, port] = target
        self._note(group, target)
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
        for target in [*group.targets.values()]:
            if target.target_id != target_id or port not in (None, target.port):
                continue
            if target.state == "draining":
                continue
            target.state = "draining"
            target.draining_since = self._account.now
            self._note(group, target)
            self._account.after(
                group.deregistration_delay_seconds,
                lambda target=target: self._forget(group, target),  # type: ignore[misc]
            )

    def _pass_check(self, group: TargetGroup, target: Target) -> None:
        if target.state == "initial":
            target.state = "healthy"
            self._note(group, target)

    def _forget(self, group: TargetGroup, target: Target) -> None:
        # It may have been registered anew meanwhile.
        if group.targets.get((target.target_id, target.port)) is target:
            del group.targets[target.target_id, target.port]
        self._account.record(
            "target",
            target_group=group.name,
            target_id=target.target_id,
            port=target.port,
            state="unused",
        )

    def _note(self, group: TargetGroup, target: Target) -> None:
        self._account.record(
            "target",
            target_group=group.name,
            target_id=target.target_id,
            port=target.port,
            state=target.state,
        )
