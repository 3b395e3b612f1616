"""
What is known of the Auto Scaling group, its hooks and the drainer, as plain values.

None means that it was not read. An empty value means that it was read and there is none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

MANAGED_HOOK = "ecs-managed-draining-termination-hook"
WAITING = frozenset({"Terminating:Wait", "Warmed:Terminating:Wait", "ReplacingRootVolume:Wait"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Hook:
    """A terminating hook of the group."""

    name: str
    heartbeat_seconds: int = 3_600
    global_seconds: int = 172_800
    default_result: str = "CONTINUE"
    target_arn: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The Auto Scaling group of the instance; None in a field means that it was not read."""

    name: str
    lifecycle_state: str
    desired: int | None = None
    maximum: int | None = None
    suspended: tuple[str, ...] = ()
    hooks: tuple[Hook, ...] | None = None
    retains: bool = False  # whether ABANDON keeps the instance
    simple_policies: tuple[str, ...] | None = None
    terminating_since: datetime | None = None
    failed_launch: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DrainState:
    """What the drainer's record says of this drain."""

    hook: str
    began_at: datetime
    written_at: datetime
    deadline_at: datetime | None
    deadline_result: str
    draining_since: datetime | None
    last_heartbeat_at: datetime
    hop: int
    phase: str
    reason: str
    silent: bool
    ended: str = ""
    running: int = 0
    pending: int = 0
    next_look_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """The drainer's stack; None in a field means that it was not read."""

    name: str
    topic_arn: str = ""
    function: str = ""
    dead_letters: int | None = None
    disabled: tuple[str, ...] | None = None
    errors: int | None = None
    throttles: int | None = None
    last_sweep: datetime | None = None
    sweep_minutes: int = 5
    alarms: tuple[str, ...] | None = None
