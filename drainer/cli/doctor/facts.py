"""
What is known of an account before anything is judged: plain values, each as AWS says it.

A value that could not be read is an `Unread` in its place. A value that does not exist is None.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from drainer.cli.account.reader import Unread

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from drainer.cli.doctor.stack_facts import Stack

Value = TypeVar("Value")


class NotReadError(Exception):
    """A check needs a value that could not be read."""


def known(value: Value | Unread) -> Value:
    """
    Return a value that has been read.

    Raises:
        NotReadError: It has not; says why.
    """
    if isinstance(value, Unread):
        raise NotReadError(value.why)
    return value


@dataclass(frozen=True, slots=True)
class Hook:
    """A lifecycle hook that holds terminating instances."""

    name: str
    target: str
    role: str
    metadata: str | None
    heartbeat_seconds: int
    global_seconds: int
    default_result: str


@dataclass(frozen=True, slots=True)
class Role:
    """
    What is known of a hook's role.

    Attributes:
        trusted: Whether Auto Scaling may assume it.
        denied: What it is not allowed, of what publishing to its hook's target takes.
        simulated: Whether IAM has evaluated it; otherwise only its policies were read.
    """

    trusted: bool
    denied: tuple[str, ...] | Unread
    simulated: bool = True


@dataclass(frozen=True, slots=True)
class Instance:
    """An EC2 instance of a group."""

    id: str
    state: str
    protected: bool


@dataclass(frozen=True, slots=True)
class Image:
    """The image that the group's next instance is launched from; None: it is gone."""

    id: str
    made_at: datetime | None


@dataclass(frozen=True, slots=True)
class Service:
    """
    A service whose tasks run on container instances.

    Attributes:
        ports: Host ports that its tasks always take.
        stop_seconds: The longest time from SIGTERM to SIGKILL of its containers.
        delays: The seconds of deregistration delay of its target groups.
    """

    cluster: str
    name: str
    desired: int
    minimum: int
    maximum: int
    is_daemon: bool
    ports: tuple[int, ...] | Unread = ()
    stop_seconds: int | Unread = 0
    delays: tuple[int, ...] | Unread = ()


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster: which EC2 instances are ACTIVE container instances in it, and its services."""

    name: str
    active: frozenset[str]
    registered: frozenset[str]
    services: tuple[Service, ...] | Unread = ()


@dataclass(frozen=True, slots=True)
class Provider:
    """A capacity provider of a group."""

    name: str
    managed_draining: bool
    managed_protection: bool


@dataclass(frozen=True, slots=True)
class OwnResource:
    """A resource of the stack that made the group."""

    type: str
    physical_id: str


@dataclass(frozen=True, slots=True)
class Group:
    """
    An Auto Scaling group and what its drains depend on.

    Attributes:
        hooks: Its terminating hooks.
        roles: What is known of the role of each hook, by the role's ARN; None where it is gone.
        targets: Whether each hook's target exists.
        maintenance: The least and most percentages of its maintenance policy; None without one.
        retains: Whether it retains an instance that a hook abandons.
        uses_spot: Whether its instances may be Spot instances.
        policies: Name and type of its scaling policies.
        image: None where its template names none.
        providers: Its capacity providers.
        clusters: Those in which its instances are registered.
        named_clusters: Whether each cluster that a hook's metadata names exists.
        own_stack: The resources of the stack that made it; None where no stack did.
        drain_seconds: How long its ended drains took, as the records say.
    """

    name: str
    hooks: tuple[Hook, ...] | Unread
    instances: tuple[Instance, ...] = ()
    new_protected: bool = False
    suspended: tuple[str, ...] = ()
    maintenance: tuple[int, int] | None = None
    retains: bool = False
    uses_spot: bool | Unread = False
    policies: tuple[tuple[str, str], ...] | Unread = ()
    image: Image | Unread | None = None
    providers: tuple[Provider, ...] | Unread = ()
    clusters: tuple[Cluster, ...] | Unread = ()
    roles: Mapping[str, Role | Unread | None] = field(default_factory=dict)
    targets: Mapping[str, bool | Unread] = field(default_factory=dict)
    named_clusters: Mapping[str, bool | Unread] = field(default_factory=dict)
    own_stack: tuple[OwnResource, ...] | Unread | None = None
    drain_seconds: tuple[float, ...] | Unread = ()


@dataclass(frozen=True, slots=True)
class Account:
    """
    All that the checks look at.

    Attributes:
        now: When it was read.
        groups: Those that are checked.
        unhooked: Names of further groups whose instances are in a cluster, without any hook.
    """

    now: datetime
    stack: Stack | Unread
    groups: tuple[Group, ...]
    unhooked: tuple[str, ...] | Unread = ()
