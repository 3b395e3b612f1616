"""
Plan the change that makes the drainer answer a hook, and the way back from it.

A hook keeps its name: `PutLifecycleHook` changes it in one call, so that each instance that begins
to leave notifies either the former target or the drainer. Nothing here calls AWS.
"""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from drainer.cli.account.reader import Unread
from drainer.cli.adopt.facts import AccountFacts, Drainer, HookFacts, Rule
from drainer.cli.adopt.samples import Name, Recognised, recognise, told_by_rules

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

TERMINATING = "autoscaling:EC2_INSTANCE_TERMINATING"
# The defaults of infra/attach.yaml, which says why; a test holds both together.
HEARTBEAT_TIMEOUT_SECONDS, DEFAULT_RESULT = 1_800, "CONTINUE"
# What infra/attach.yaml admits for DrainTimeoutSeconds.
DRAIN_TIMEOUT_SECONDS_MIN, DRAIN_TIMEOUT_SECONDS_MAX = 60, 172_800
# PutLifecycleHook keeps what it is not given, and takes no empty metadata. No setting at all, and
# what stands for "there was none" on the way back; the old drainers read no metadata.
# https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_PutLifecycleHook.html
NO_SETTINGS, NO_METADATA = "{}", "none"
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
ROLE_NAME_CHARACTERS_MAX = 64
# What PutLifecycleHook takes, in the order in which it is shown.
PUT = (
    "AutoScalingGroupName",
    "LifecycleHookName",
    "LifecycleTransition",
    "NotificationTargetARN",
    "RoleARN",
    "NotificationMetadata",
    "HeartbeatTimeout",
    "DefaultResult",
)


class Kind(StrEnum):
    """What a terminating hook is to the drainer."""

    OLD = "old"
    UNKNOWN = "unknown"
    ADOPTED = "adopted"
    STILL_TOLD = "still-told"


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a change: a sentence, and the command that does it where there is one."""

    what: str
    command: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """
    How a hook passes to the drainer.

    Attributes:
        put: The parameters of the one `PutLifecycleHook` that changes it.
        back: Those of the one that restores it.
        steps: All that is to be done, in order; that call is one of them.
        blocked: Why it cannot be applied now; empty if it can.
    """

    put: Mapping[str, Any]
    back: Mapping[str, Any]
    steps: tuple[Step, ...]
    blocked: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """A terminating hook, what serves it, and the change that replaces that."""

    hook: HookFacts
    kind: Kind
    old: Recognised | None = None
    change: Change | None = None


def findings(facts: AccountFacts, cluster: str = "") -> list[Finding]:
    """Return what each terminating hook is, the old drainers' first."""
    found = [_finding(hook, facts.drainer, cluster) for hook in facts.hooks]
    order = [Kind.OLD, Kind.STILL_TOLD, Kind.UNKNOWN, Kind.ADOPTED]
    return sorted(found, key=lambda one: (order.index(one.kind), one.hook.key))


def _finding(hook: HookFacts, drainer: Drainer | Unread, cluster: str) -> Finding:
    if isinstance(drainer, Drainer) and hook.target == drainer.topic_arn:
        told = told_by_rules(hook)
        if not told:
            return Finding(hook, Kind.ADOPTED)
        change_ = Change({}, {}, tuple(_rule_steps(hook)), "The hook notifies the drainer already")
        return Finding(hook, Kind.STILL_TOLD, told[0], change_)
    old = recognise(hook)
    if old is None:
        return Finding(hook, Kind.UNKNOWN)
    return Finding(hook, Kind.OLD, old, change(hook, old, drainer, cluster))


def change(
    hook: HookFacts, old: Recognised, drainer: Drainer | Unread, cluster: str = ""
) -> Change:
    """Return the change that makes the drainer answer a hook in the place of an old one."""
    back = former(hook)
    if isinstance(drainer, Unread):
        why = f"The drainer was not found. {drainer.why}"
        return Change({}, back, (Step("Install the drainer first (README, Install)."),), why)
    metadata = _metadata(hook, old, cluster)
    put: dict[str, Any] = {
        "AutoScalingGroupName": hook.group,
        "LifecycleHookName": hook.name,
        "LifecycleTransition": TERMINATING,
        "NotificationTargetARN": drainer.topic_arn,
        "RoleARN": drainer.role_arn or role_arn(drainer),
        **({"NotificationMetadata": metadata} if metadata else {}),
        "HeartbeatTimeout": HEARTBEAT_TIMEOUT_SECONDS,
        "DefaultResult": DEFAULT_RESULT,
    }
    if metadata and "NotificationMetadata" not in back:
        back = {**back, "NotificationMetadata": NO_METADATA}
    blocked = drainer.role_unread
    if not drainer.role_arn and not blocked:
        blocked = "No role may notify the topic yet: run steps 1 and 2"
    return Change(put, back, tuple(_steps(hook, old, drainer, put)), blocked)


def former(hook: HookFacts) -> dict[str, Any]:
    """Return the parameters that restore a hook as it is now."""
    kept = {name: hook.settings[name] for name in PUT if hook.settings.get(name)}
    names = {"AutoScalingGroupName": hook.group, "LifecycleHookName": hook.name}
    # "If you specify an empty string, this overrides the current ARN."
    # https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_PutLifecycleHook.html
    return {"NotificationTargetARN": "", **kept, **names}


def _metadata(hook: HookFacts, old: Recognised, cluster: str) -> str:
    settings: dict[str, Any] = {}
    if cluster or old.function.cluster:
        settings["cluster"] = cluster or old.function.cluster
    given = old.function.draining_timeout
    if old.name == Name.WIDDIX and given.isdecimal():
        seconds = min(max(int(given), DRAIN_TIMEOUT_SECONDS_MIN), DRAIN_TIMEOUT_SECONDS_MAX)
        settings["drain_timeout_seconds"] = seconds
    if settings:
        return json.dumps(settings)
    return NO_SETTINGS if hook.settings.get("NotificationMetadata") else ""


def _steps(
    hook: HookFacts, old: Recognised, drainer: Drainer, put: Mapping[str, Any]
) -> Iterator[Step]:
    if not drainer.role_arn:
        yield from role_steps(drainer)
    yield Step(
        "Change the hook, in one call. Auto Scaling sends the new target a test message first and "
        "keeps the former hook if that fails. Or: "
        f"drainer adopt --apply {shlex.quote(hook.key)}",
        aws("autoscaling put-lifecycle-hook", put),
    )
    yield from _rule_steps(hook)
    yield Step(
        "Wait until no instance waits that began to leave before the change. The old function goes "
        "on with these. The drainer's sweep finds them too, within 5 minutes, and the first answer "
        "counts. This lists those that wait:",
        waiting_command(hook.group),
    )
    yield Step(_ownership(hook, old))


def _ownership(hook: HookFacts, old: Recognised) -> str:
    name = old.function.name
    if not hook.stack:
        return f"Then delete the function {name}, and the topic, queue or rule that told it."
    return (
        f"The stack {hook.stack} owns the hook. Make the same change in its template before its "
        "next update, which would undo this one. Deleting that stack deletes the hook, and each "
        "instance that waits is released: keep the hook with DeletionPolicy: Retain. Then remove "
        f"the function {name} from the template."
    )


def _rule_steps(hook: HookFacts) -> Iterator[Step]:
    rules = {one.listener.rule for one in told_by_rules(hook) if one.listener.rule is not None}
    for rule in sorted(rules, key=lambda one: one.name):
        said = (
            f"At once after that: rule {rule.name} tells the old function of every instance that "
            "leaves this group, whatever the hook's target is. That function releases early. "
        )
        name = {"Name": rule.name}
        if rule.groups == {hook.group}:
            said += "Disable the rule. The way back: aws events enable-rule"
            yield Step(said, aws("events disable-rule", name))
            continue
        described = {"Description": rule.description} if rule.description else {}
        before = {**name, "EventPattern": rule.pattern, **described}
        after = {**before, "EventPattern": json.dumps(without(rule, hook.group))}
        said += "Leave the group out of its pattern. Run drainer adopt again before you change "
        said += "another group: its pattern is another then."
        yield Step(said, aws("events put-rule", after))
        yield Step("The way back for the rule:", aws("events put-rule", before))


def without(rule: Rule, group: str) -> dict[str, Any]:
    """Return a rule's pattern that no longer matches a group."""
    left: list[Any] = sorted(rule.groups - {group})
    if not rule.groups:
        # https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern-operators.html
        left = [{"anything-but": sorted({*rule.without, group})}]
    pattern: dict[str, Any] = json.loads(rule.pattern)
    detail = {**pattern.get("detail", {}), "AutoScalingGroupName": left}
    return {**pattern, "detail": detail}


# -- the role with which Auto Scaling notifies


def role_name(drainer: Drainer) -> str:
    """Return the name of the role that the plan makes where no group is attached yet."""
    region = drainer.topic_arn.split(":")[3]
    return f"{drainer.stack}-hooks-{region}"[-ROLE_NAME_CHARACTERS_MAX:]


def role_arn(drainer: Drainer) -> str:
    """Return that role's ARN."""
    _, partition, _, _, account, *_ = drainer.topic_arn.split(":")
    return f"arn:{partition}:iam::{account}:role/{role_name(drainer)}"


def role_steps(drainer: Drainer) -> Iterator[Step]:
    """Yield what makes a role as that of infra/attach.yaml, which may notify the topic alone."""
    trust = _policy([{"Principal": {"Service": "autoscaling.amazonaws.com"}}], "sts:AssumeRole")
    allowed = [{"Resource": drainer.topic_arn}]
    policy = _policy(allowed, "sns:Publish")
    if drainer.kms_key.startswith("arn:"):
        # https://docs.aws.amazon.com/sns/latest/dg/sns-key-management.html
        key = {"Resource": drainer.kms_key}
        policy["Statement"] += _policy([key], ["kms:GenerateDataKey*", "kms:Decrypt"])["Statement"]
    name = {"RoleName": role_name(drainer)}
    yield Step(
        "Make a role that may notify the drainer's topic and do no more. Any group can use it.",
        aws("iam create-role", {**name, "AssumeRolePolicyDocument": json.dumps(trust)}),
    )
    document = {"PolicyName": "notify-the-drainer", "PolicyDocument": json.dumps(policy)}
    yield Step(
        "Let it, and run drainer adopt again.", aws("iam put-role-policy", {**name, **document})
    )


def _policy(statements: list[dict[str, Any]], action: str | list[str]) -> dict[str, Any]:
    allowed = [{"Effect": "Allow", "Action": action, **one} for one in statements]
    return {"Version": "2012-10-17", "Statement": allowed}


# -- commands that can be pasted

OPTIONS = {
    "AutoScalingGroupName": "auto-scaling-group-name",
    "LifecycleHookName": "lifecycle-hook-name",
    "LifecycleTransition": "lifecycle-transition",
    "NotificationTargetARN": "notification-target-arn",
    "RoleARN": "role-arn",
    "NotificationMetadata": "notification-metadata",
    "HeartbeatTimeout": "heartbeat-timeout",
    "DefaultResult": "default-result",
    "Name": "name",
    "EventPattern": "event-pattern",
    "Description": "description",
    "RoleName": "role-name",
    "PolicyName": "policy-name",
    "PolicyDocument": "policy-document",
    "AssumeRolePolicyDocument": "assume-role-policy-document",
}


def aws(words: str, parameters: Mapping[str, Any]) -> str:
    """Return a command of the AWS CLI, one option in each line."""
    options = [f"--{OPTIONS[name]} {shlex.quote(str(one))}" for name, one in parameters.items()]
    return " \\\n  ".join([f"aws {words}", *options])


def waiting_command(group: str) -> str:
    """Return the command that lists which instances of a group wait at a terminating hook."""
    query = "AutoScalingGroups[].Instances[?LifecycleState==`Terminating:Wait`].InstanceId"
    return aws("autoscaling describe-auto-scaling-groups", {}) + (
        f" \\\n  --auto-scaling-group-names {shlex.quote(group)} \\\n  --query {shlex.quote(query)}"
    )
