"""
Read an account's terminating hooks and all that listens to them. It changes nothing.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from drainer import clock
from drainer.cli.account import reader as reading
from drainer.cli.account import stack as stacks
from drainer.cli.account.reader import Unread, attempt, is_gone
from drainer.cli.adopt.facts import AccountFacts, Drainer, HookFacts, Listener, Route, Rule
from drainer.cli.adopt.functions import Functions, unread
from drainer.cli.adopt.plan import TERMINATING, role_name
from drainer.fields import ECS_OWN_HOOK
from drainer.lifecycle.hooks import is_waiting

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


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
        self._reader = reading.Reader(client, clock.sleep)
        self._functions = Functions(self._reader, fetch)
        self._stack = stack
        self._role_arn = role_arn

    def read(self) -> AccountFacts:
        """
        Return the account's facts.

        Raises:
            UnreadError: The groups were not listed; without them there is nothing to say.
        """
        groups = self._groups()
        drainer = self._drainer()
        rules, rules_unread = self._functions.rules()
        problems = [*rules_unread]
        hooks, ecs_own = list[HookFacts](), 0
        for group, waiting in groups.items():
            raws = attempt(self._terminating, group)
            if isinstance(raws, Unread):
                problems.append(unread(f"The hooks of {group}", raws).why)
                continue
            own = [raw for raw in raws if raw["LifecycleHookName"] == ECS_OWN_HOOK]
            ecs_own += len(own)
            hooks += [
                self._hook(group, raw, rules, waiting, drainer) for raw in raws if raw not in own
            ]
        if isinstance(drainer, Drainer):
            drainer = self._with_role(drainer)
            problems += [drainer.role_unread] if drainer.role_unread else []
        return AccountFacts(
            drainer, tuple(hooks), ecs_own, len(groups), tuple(problems), rules_unread
        )

    def _groups(self) -> dict[str, tuple[str, ...]]:
        """Return each group's name, and its instances that wait at a terminating hook."""
        groups = self._reader.pages(
            "autoscaling", "describe_auto_scaling_groups", "AutoScalingGroups"
        )
        return {
            group["AutoScalingGroupName"]: tuple(
                one["InstanceId"]
                for one in group.get("Instances", [])
                if is_waiting(one["LifecycleState"])
            )
            for group in groups
        }

    def _terminating(self, group: str) -> list[dict[str, Any]]:
        answer = self._reader.ask(
            "autoscaling", "describe_lifecycle_hooks", AutoScalingGroupName=group
        )
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
        asked = "cloudformation", "describe_stack_resources"
        answer = attempt(self._reader.ask, *asked, PhysicalResourceId=hook)
        if isinstance(answer, Unread):
            if not is_gone(answer):
                problems.append(unread(f"The stack that owns {hook}", answer).why)
            return ""
        named = [
            one["StackName"]
            for one in answer["StackResources"]
            if one.get("PhysicalResourceId") == hook
            and one["ResourceType"] == "AWS::AutoScaling::LifecycleHook"
        ]
        return named[0] if named else ""

    def _drainer(self) -> Drainer | Unread:
        found = attempt(stacks.described, self._reader, self._stack)
        advice = "Name it with --stack, or install it"
        if isinstance(found, Unread):
            if is_gone(found):
                return Unread(f"Stack {self._stack} does not exist here. {advice}")
            return Unread(f"Stack {self._stack} was not read: {found.code}. {advice}", found.code)
        outputs = stacks.outputs(found)
        if not {"TopicArn", "FunctionArn"} <= set(outputs):
            return Unread(f"Stack {self._stack} is not the drainer's. Name it with --stack")
        topic_arn = outputs["TopicArn"]
        topic = attempt(self._reader.ask, "sns", "get_topic_attributes", TopicArn=topic_arn)
        if isinstance(topic, Unread):
            said = unread(f"The topic of stack {self._stack}", topic)
            return replace(said, code=topic.code)
        key = topic["Attributes"].get("KmsMasterKeyId", "")
        return Drainer(self._stack, topic_arn, outputs["FunctionArn"], kms_key=key)

    def _with_role(self, drainer: Drainer) -> Drainer:
        """
        Return the drainer with the role that is named, or with the one of the plan.

        Never that of another group: it goes with that group's stack, and then each instance here
        would go undrained at once.
        """
        if self._role_arn:
            return replace(drainer, role_arn=self._role_arn)
        name = role_name(drainer)
        answer = attempt(self._reader.ask, "iam", "get_role", RoleName=name)
        if not isinstance(answer, Unread):
            return replace(drainer, role_arn=str(answer["Role"]["Arn"]))
        if is_gone(answer):
            return drainer  # the plan makes it
        why = f"{unread(f'The role {name}', answer).why}. Name a role with --role"
        return replace(drainer, role_unread=why)


def _is_of(drainer: Drainer | Unread, arn: str) -> bool:
    """Whether an ARN is that of the drainer's function, of any version or alias."""
    if isinstance(drainer, Unread):
        return False
    return arn == drainer.function_arn or arn.startswith(f"{drainer.function_arn}:")
