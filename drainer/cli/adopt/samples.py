"""
Recognise the five old drainers by what they are, not by what they are called.

Each is told by how it is notified, by the variables of its environment, by its runtime, by what its
role may do and by what its source does. Where neither role nor source could be read, those that
these tell apart are not recognised.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase

from drainer.cli.account.reader import Unread
from drainer.cli.adopt.facts import Function, HookFacts, Listener, Route, Sign

PUBLISH, COMPLETE = "sns:Publish", "autoscaling:CompleteLifecycleAction"
DRAIN = "ecs:UpdateContainerInstancesState"
# With this one a function reads the cluster's name in an instance's user data.
USER_DATA = "ec2:DescribeInstanceAttribute"
# "If your function is invoked approximately 16 times in the same chain of requests, Lambda
# automatically stops the next invocation in that chain".
# https://docs.aws.amazon.com/lambda/latest/dg/invocation-recursion.html
HOPS = 16
# What each waits between two looks, read in its published source.
SAMPLE_SECONDS, WIDDIX_SECONDS = 5, 60
ALLOWED = "Allow"


class Name(StrEnum):
    """The old drainers, by their repositories or constructs."""

    CID = "aws-samples/ecs-cid-sample"
    REFARCH = "aws-samples/ecs-refarch-cloudformation"
    CDK = "aws-cdk InstanceDrainHook"
    GETSOCIAL = "getsocial-rnd/ecs-drain-lambda"
    WIDDIX = "widdix/aws-cf-templates"


@dataclass(frozen=True, slots=True)
class Recognised:
    """
    A hook's old drainer.

    Attributes:
        why: The facts that it was told by, in words.
        wrong: What is wrong with it, in one line.
    """

    name: Name
    listener: Listener
    function: Function
    why: str
    wrong: str


def recognise(hook: HookFacts) -> Recognised | None:
    """
    Return the old drainer that serves a hook; None if none is recognised.

    Where the hook has a target, that is whom its owner means. A rule for all groups matches too.
    """
    found = (
        _recognised(hook, one)
        for one in hook.listeners
        if bool(hook.target) == (one.route != Route.RULE)
    )
    return next((one for one in found if one is not None), None)


def told_by_rules(hook: HookFacts) -> list[Recognised]:
    """Return the old drainers that EventBridge tells of a hook, whatever the hook's target is."""
    found = [_recognised(hook, one) for one in hook.listeners if one.route == Route.RULE]
    return [one for one in found if one is not None]


def _recognised(hook: HookFacts, listener: Listener) -> Recognised | None:
    function = listener.function
    if isinstance(function, Unread):
        return None
    found = (tell(hook, listener, function) for tell in (_widdix, _getsocial, _cdk, _sample))
    return next((one for one in found if one is not None), None)


def _widdix(hook: HookFacts, listener: Listener, function: Function) -> Recognised | None:
    variables = {"CLUSTER", "QUEUE_URL", "DRAINING_TIMEOUT"}
    if listener.route != Route.QUEUE or not variables <= function.variables:
        return None
    if not _does(function, DRAIN, Sign.DRAINS):
        return None
    wrong = "releases early: counts no task that is stopping, and ends drains after "
    wrong += f"{function.draining_timeout or 'DRAINING_TIMEOUT'} s" + _dies(
        function, HOPS * WIDDIX_SECONDS
    )
    return Recognised(Name.WIDDIX, listener, function, _why(hook, variables, function), wrong)


def _getsocial(hook: HookFacts, listener: Listener, function: Function) -> Recognised | None:
    # A program in Go is not read: its role tells it.
    native = function.runtime.startswith(("go", "provided"))
    if listener.route != Route.RULE or not native or isinstance(function.actions, Unread):
        return None
    if not all(allows(function.actions, one) for one in (COMPLETE, DRAIN, USER_DATA)):
        return None
    wrong = (
        "releases early: counts no task that is stopping or pending; "
        f"ends after {function.timeout_seconds} s; no heartbeat"
    )
    return Recognised(Name.GETSOCIAL, listener, function, _why(hook, {DRAIN}, function), wrong)


def _cdk(hook: HookFacts, listener: Listener, function: Function) -> Recognised | None:
    if not _is_python_behind_a_topic(listener, function) or "CLUSTER" not in function.variables:
        return None
    if _does(function, PUBLISH, Sign.PUBLISHES) is not False:
        return None
    if not _does(function, DRAIN, Sign.DRAINS):
        return None
    heartbeat = hook.settings.get("HeartbeatTimeout")
    wrong = (
        f"ends every drain after {heartbeat} s, tasks or not: no heartbeat, and Lambda's limit "
        "is 900 s; its retry releases early"
    )
    return Recognised(Name.CDK, listener, function, _why(hook, {"CLUSTER"}, function), wrong)


def _sample(hook: HookFacts, listener: Listener, function: Function) -> Recognised | None:
    if not _is_python_behind_a_topic(listener, function):
        return None
    if not _does(function, PUBLISH, Sign.PUBLISHES) or not _does(function, DRAIN, Sign.DRAINS):
        return None
    refarch = _is_refarch(function)
    wrong = "releases early: counts no task that is stopping" + ("" if refarch else " or pending")
    wrong += _dies(function, HOPS * SAMPLE_SECONDS) + "; no heartbeat"
    wrong += "; first 100 instances only" if refarch else "; no token"
    name = Name.REFARCH if refarch else Name.CID
    return Recognised(name, listener, function, _why(hook, {PUBLISH}, function), wrong)


def allows(actions: frozenset[str], action: str) -> bool:
    """Say whether a policy's actions, which may have wildcards, allow an action."""
    return any(fnmatchcase(action.lower(), one.lower()) for one in actions)


def _is_refarch(function: Function) -> bool:
    """Tell the two samples apart: the reference architecture counts what is pending."""
    if isinstance(function.signs, Unread):
        actions = function.actions
        return not isinstance(actions, Unread) and allows(actions, "ec2:DescribeHosts")
    return Sign.PENDING in function.signs and Sign.TOKEN in function.signs


def _is_python_behind_a_topic(listener: Listener, function: Function) -> bool:
    return listener.route == Route.TOPIC and function.runtime.startswith("python")


def _does(function: Function, action: str, sign: Sign) -> bool | None:
    """Say whether a function does something, by its source or its role; None if neither is read."""
    if not isinstance(function.signs, Unread):
        return sign in function.signs
    if not isinstance(function.actions, Unread):
        return allows(function.actions, action)
    return None


def _dies(function: Function, seconds: int) -> str:
    if function.recursive_loop == ALLOWED:
        return "; loops for ever (RecursiveLoop is Allow)"
    # An older release of ecs-cid-sample publishes again at once.
    sleeps = isinstance(function.signs, Unread) or Sign.SLEEPS in function.signs
    after = f" ({seconds} s)" if sleeps or seconds == HOPS * WIDDIX_SECONDS else ""
    return f"; dies after about {HOPS} hops{after}: Lambda stops its loop"


def _why(hook: HookFacts, told: set[str], function: Function) -> str:
    target = {"sns": "topic", "sqs": "queue"}.get(_service(hook.target), "EventBridge rule")
    facts = [f"{target}", f"{function.runtime}", *sorted(told)]
    if not isinstance(function.signs, Unread):
        facts += [sign.value for sign in Sign if sign in function.signs]
    return ", ".join(facts)


def _service(arn: str) -> str:
    return arn.split(":")[2] if arn.startswith("arn:") else ""
