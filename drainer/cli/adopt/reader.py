"""
Read an account's terminating hooks and all that listens to them. It changes nothing.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from drainer.cli.account.session import AWS_ERRORS, code_of
from drainer.cli.adopt.facts import (
    AccountFacts,
    Drainer,
    HookFacts,
    Listener,
    Route,
    Rule,
    Unread,
)
from drainer.cli.adopt.functions import Functions, unread
from drainer.cli.adopt.plan import TERMINATING, role_name
from drainer.fields import ECS_OWN_HOOK

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

WAITING = "Terminating:Wait"


class Reader:
    """
    One reading of an account.

    Args:
        client: Makes a service's client.
        fetch: Gets the content behind the address that Lambda gives for a function's zip.
        stack: The name of the drainer's stack.
        role_arn: The role that the user names; empty for none.
    """

    def __init__(
        self,
        client: Callable[[str], Any],
        fetch: Callable[[str], bytes],
        stack: str,
        role_arn: str = "",
    ) -> None:
        self._client = client
        self._functions = Functions(client, fetch)
        self._stack = stack
        self._role_arn = role_arn

    def read(self) -> AccountFacts:
        """
        Return the account's facts.

        Raises:
            one of AWS_ERRORS: The groups were not listed; without them there is nothing to say.
        """
        groups = self._groups()
        drainer, rules, problems = self._drainer(), list[Rule](), list[str]()
        try:
            rules += self._functions.rules()
        except AWS_ERRORS as error:
            problems.append(unread("The rules of EventBridge", error).why)
        hooks, ecs_own = list[HookFacts](), 0
        for group, waiting in groups.items():
            try:
                raws = self._terminating(group)
            except AWS_ERRORS as error:
                problems.append(unread(f"The hooks of {group}", error).why)
                continue
            own = [raw for raw in raws if raw["LifecycleHookName"] == ECS_OWN_HOOK]
            ecs_own += len(own)
            hooks += [
                self._hook(group, raw, rules, waiting, drainer) for raw in raws if raw not in own
            ]
        if isinstance(drainer, Drainer):
            drainer = replace(drainer, role_arn=self._role(drainer))
        return AccountFacts(drainer, tuple(hooks), ecs_own, len(groups), tuple(problems))

    def _groups(self) -> dict[str, tuple[str, ...]]:
        """Return each group's name, and its instances that wait at a terminating hook."""
        pages = self._client("autoscaling").get_paginator("describe_auto_scaling_groups")
        return {
            group["AutoScalingGroupName"]: tuple(
                one["InstanceId"]
                for one in group.get("Instances", [])
                if one["LifecycleState"] == WAITING
            )
            for page in pages.paginate()
            for group in page["AutoScalingGroups"]
        }

    def _terminating(self, group: str) -> list[dict[str, Any]]:
        answer = self._client("autoscaling").describe_lifecycle_hooks(AutoScalingGroupName=group)
        return [
            one for one in answer["LifecycleHooks"] if one["LifecycleTransition"] == TERMINATING
        ]

    def _hook(
        self,
        group: str,
        raw: Mapping[str, Any],
        rules: Sequence[Rule],
        waiting: tuple[str, ...],
        drainer: Drainer | Unread,
    ) -> HookFacts:
        listeners, problems = list[Listener](), list[str]()
        target = raw.get("NotificationTargetARN", "")
        own = isinstance(drainer, Drainer) and target == drainer.topic_arn
        if target and not own:
            found, unreadable = self._functions.of_target(target)
            listeners += found
            problems += unreadable
        listeners += [
            Listener(Route.RULE, rule.name, self._functions.function(arn), rule)
            for rule in rules
            if rule.matches(group)
            for arn in rule.functions
            if not _is_of(drainer, arn)
        ]
        problems += [one.function.why for one in listeners if isinstance(one.function, Unread)]
        name = raw["LifecycleHookName"]
        stack = self._stack_of(name, problems) if listeners and not own else ""
        return HookFacts(group, name, raw, tuple(listeners), waiting, stack, tuple(problems))

    def _stack_of(self, hook: str, problems: list[str]) -> str:
        """Return the stack that owns a hook, whose physical id is the hook's name."""
        # https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-autoscaling-lifecyclehook.html
        cloudformation = self._client("cloudformation")
        try:
            answer = cloudformation.describe_stack_resources(PhysicalResourceId=hook)
        except AWS_ERRORS as error:
            if code_of(error) != "ValidationError":  # which says that no stack has it
                problems.append(unread(f"The stack that owns {hook}", error).why)
            return ""
        named = [
            one["StackName"]
            for one in answer["StackResources"]
            if one.get("PhysicalResourceId") == hook
            and one["ResourceType"] == "AWS::AutoScaling::LifecycleHook"
        ]
        return named[0] if named else ""

    def _drainer(self) -> Drainer | Unread:
        try:
            found = self._client("cloudformation").describe_stacks(StackName=self._stack)
        except AWS_ERRORS as error:
            # "If the stack doesn't exist, a ValidationError is returned."
            # https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_DescribeStacks.html
            missing = code_of(error) == "ValidationError"
            why = "does not exist here" if missing else f"was not read: {code_of(error)}"
            return Unread(f"Stack {self._stack} {why}. Name it with --stack, or install it")
        outputs = {
            one["OutputKey"]: one["OutputValue"] for one in found["Stacks"][0].get("Outputs", [])
        }
        if not {"TopicArn", "FunctionArn"} <= set(outputs):
            return Unread(f"Stack {self._stack} is not the drainer's. Name it with --stack")
        topic_arn = outputs["TopicArn"]
        try:
            attributes = self._client("sns").get_topic_attributes(TopicArn=topic_arn)["Attributes"]
        except AWS_ERRORS as error:
            return unread(f"The topic of stack {self._stack}", error)
        key = attributes.get("KmsMasterKeyId", "")
        return Drainer(self._stack, topic_arn, outputs["FunctionArn"], kms_key=key)

    def _role(self, drainer: Drainer) -> str:
        """
        Return the role that notifies the drainer: the one that is named, or the one of the plan.

        Never that of another group: it goes with that group's stack, and then each instance here
        would go undrained at once.
        """
        if self._role_arn:
            return self._role_arn
        try:
            answer = self._client("iam").get_role(RoleName=role_name(drainer))
        except AWS_ERRORS:
            return ""  # it is not there, or not to be seen: the plan makes it
        return str(answer["Role"]["Arn"])


def _is_of(drainer: Drainer | Unread, arn: str) -> bool:
    """Whether an ARN is that of the drainer's function, of any version or alias."""
    if isinstance(drainer, Unread):
        return False
    return arn == drainer.function_arn or arn.startswith(f"{drainer.function_arn}:")
