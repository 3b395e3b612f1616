"""
What is known of the drainer's stack, as `facts.py` says it of the account.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from drainer.cli.account.reader import Unread


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic: its ARN and the KMS key that encrypts it, empty for none."""

    arn: str
    kms_key: str = ""


@dataclass(frozen=True, slots=True)
class Subscription:
    """One subscription of a topic."""

    protocol: str
    endpoint: str
    confirmed: bool
    scope: str | Unread = ""
    filter_policy: Mapping[str, Any] | Unread | None = None


@dataclass(frozen=True, slots=True)
class Queue:
    """A queue: its ARN, its delays in seconds, where failed messages go, and how many wait."""

    arn: str
    delay_seconds: int
    visibility_seconds: int
    has_dead_letters: bool
    visible: int


@dataclass(frozen=True, slots=True)
class Source:
    """What invokes the function with the messages of a queue (an event source mapping)."""

    queue_arn: str
    state: str
    reports_items: bool


@dataclass(frozen=True, slots=True)
class Function:
    """The function: its state, timeout in seconds, environment, and reserved concurrency."""

    name: str
    arn: str
    state: str
    update_status: str
    timeout_seconds: int
    environment: Mapping[str, str]
    reserved: int | Unread | None  # None: it shares the account's concurrency
    recursive_loop: str | Unread
    sources: tuple[Source, ...] | Unread


@dataclass(frozen=True, slots=True)
class Day:
    """What the function did in the last 24 hours."""

    invocations: int
    errors: int
    throttles: int


@dataclass(frozen=True, slots=True)
class Alarm:
    """An alarm: its state, whether its actions are on, and what they notify."""

    name: str
    state: str
    enabled: bool
    actions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of EventBridge: its logical id in the stack, its name and its state."""

    logical_id: str
    name: str
    state: str


@dataclass(frozen=True, slots=True)
class Attached:
    """A stack that imports the drainer's topic, and the group that its parameter names."""

    stack: str
    group: str


@dataclass(frozen=True, slots=True)
class Stack:
    """
    The drainer's stack.

    Attributes:
        name: Of the stack.
        region: Where it is.
        resources: Physical ids by logical id.
        topic_arn: Of its topic, whether that exists or not.
        topic: None where it is gone.
        queues: By logical id; None where one is gone.
        rules: By logical id; None where one is gone.
        alarms: Those of its alarms that exist.
        listeners: For each topic that an alarm notifies: its confirmed subscriptions.
        attached: The stacks that import its topic.
        attached_groups: The names of their groups that exist.
        table: The status of its table of records; None where it is gone.
    """

    name: str
    region: str
    resources: Mapping[str, str]
    topic_arn: str
    topic: Topic | Unread | None
    subscriptions: tuple[Subscription, ...] | Unread
    queues: Mapping[str, Queue | Unread | None]
    function: Function | Unread | None
    day: Day | Unread
    rules: Mapping[str, Rule | Unread | None]
    alarms: tuple[Alarm, ...] | Unread
    listeners: Mapping[str, int | Unread | None]
    attached: tuple[Attached, ...] | Unread
    attached_groups: frozenset[str] | Unread
    table: str | Unread | None
