"""
What is read of an account about its terminating hooks, as plain values.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from drainer.cli.account.reader import Unread

if TYPE_CHECKING:
    from collections.abc import Mapping


class Route(StrEnum):
    """How a function comes to know of an instance that leaves."""

    TOPIC = "topic"
    QUEUE = "queue"
    RULE = "rule"
    DIRECT = "direct"


class Sign(StrEnum):
    """What the source of a function shows that it does."""

    DRAINS = "sets DRAINING"
    COMPLETES = "answers the hook"
    HEARTBEATS = "records heartbeats"
    PUBLISHES = "publishes to a topic"
    SLEEPS = "sleeps"
    RUNNING = "counts running tasks"
    PENDING = "counts pending tasks"
    TOKEN = "names the token"  # noqa: S105 - it says that one is named
    PAGES = "reads further pages"


@dataclass(frozen=True, slots=True)
class Function:
    """
    A Lambda function that is told of instances that leave.

    Attributes:
        variables: The names of its environment variables. Values may be secrets and are not read,
            except of the two below.
        cluster: The value of `CLUSTER`.
        draining_timeout: The value of `DRAINING_TIMEOUT`.
        actions: What its role's own policies allow.
        signs: What its source shows.
        recursive_loop: `Terminate` or `Allow`.
        stack: The CloudFormation stack that its tags name; empty for none.
    """

    name: str
    arn: str
    handler: str = ""
    runtime: str = ""
    timeout_seconds: int = 0
    variables: frozenset[str] = frozenset()
    cluster: str = ""
    draining_timeout: str = ""
    actions: frozenset[str] | Unread = frozenset()
    signs: frozenset[Sign] | Unread = frozenset()
    recursive_loop: str | Unread = "Terminate"
    stack: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """
    An EventBridge rule that matches lifecycle actions of terminating instances.

    Attributes:
        groups: The Auto Scaling groups that its pattern names; empty for all.
        without: The groups that its pattern leaves out.
        pattern: The pattern as it is, in JSON.
        functions: The ARNs of the functions among its targets.
    """

    name: str
    pattern: str
    groups: frozenset[str] = frozenset()
    without: frozenset[str] = frozenset()
    description: str = ""
    functions: tuple[str, ...] = ()

    def matches(self, group: str) -> bool:
        """Whether an event of this group may reach the rule's targets."""
        return group not in self.without and (not self.groups or group in self.groups)


@dataclass(frozen=True, slots=True)
class Listener:
    """
    A function, and how it is told.

    Attributes:
        by: The ARN of the topic or queue, or the name of the rule.
        rule: The rule, where one tells it.
    """

    route: Route
    by: str
    function: Function | Unread
    rule: Rule | None = None


@dataclass(frozen=True, slots=True)
class HookFacts:
    """
    A terminating hook of a group, with what listens to it.

    Attributes:
        settings: The hook as `DescribeLifecycleHooks` gives it.
        listeners: Functions that are told through its target, or by a rule.
        waiting: The EC2 instances that wait in the group now.
        stack: The CloudFormation stack that owns the hook; empty for none that is known.
        problems: What could not be read about it, in sentences.
    """

    group: str
    name: str
    settings: Mapping[str, Any]
    listeners: tuple[Listener, ...] = ()
    waiting: tuple[str, ...] = ()
    stack: str = ""
    problems: tuple[str, ...] = ()

    @property
    def target(self) -> str:
        """The ARN that it notifies; empty for EventBridge alone."""
        return str(self.settings.get("NotificationTargetARN") or "")

    @property
    def key(self) -> str:
        """What `--apply` calls it."""
        return f"{self.group}/{self.name}"


@dataclass(frozen=True, slots=True)
class Drainer:
    """
    The drainer that is installed in the account.

    Attributes:
        stack: The name of its stack.
        role_arn: The role with which Auto Scaling may notify the topic; empty for none that is
            known.
        role_unread: Why it is not known whether the role of the plan exists; empty if it is.
        kms_key: The topic's KMS key; empty for none.
    """

    stack: str
    topic_arn: str
    function_arn: str
    role_arn: str = ""
    role_unread: str = ""
    kms_key: str = ""


@dataclass(frozen=True, slots=True)
class AccountFacts:
    """
    The account as far as it was read.

    Attributes:
        drainer: The drainer, or why it was not found.
        hooks: Each terminating hook, but ECS's own.
        ecs_own: How many hooks are those of ECS managed draining.
        groups: How many groups there are.
        problems: What was not read at all, in sentences.
        rules_unread: The same of EventBridge's rules alone.
    """

    drainer: Drainer | Unread
    hooks: tuple[HookFacts, ...]
    ecs_own: int = 0
    groups: int = 0
    problems: tuple[str, ...] = ()
    rules_unread: tuple[str, ...] = ()

    @property
    def is_whole(self) -> bool:
        """Whether all was read; a stack that is not there hides no more."""
        is_hidden = isinstance(self.drainer, Unread) and bool(self.drainer.code)
        return not (is_hidden or self.problems or any(one.problems for one in self.hooks))
