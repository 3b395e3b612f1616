"""
Read functions, and what notifies them: topics, queues and EventBridge rules. It changes nothing.

A call that fails becomes an `Unread` in the place of what it would have said.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from drainer.cli.account.reader import Unread, attempt
from drainer.cli.adopt.facts import Function, Listener, Route, Rule
from drainer.cli.adopt.source import ZIP_BYTES_MAX, signs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from drainer.cli.account.reader import Reader
    from drainer.cli.adopt.facts import Sign

    # Functions, and what was not read of them.
    Told = tuple[tuple[Listener, ...], tuple[str, ...]]

SOURCE, DETAIL_TYPE = "aws.autoscaling", "EC2 Instance-terminate Lifecycle Action"
STACK_TAG = "aws:cloudformation:stack-name"


def unread(what: str, answer: Unread) -> Unread:
    """Return why something was not read, in one sentence."""
    return Unread(f"{what}: {answer.code or answer.why}")


class Functions:
    """
    The account's functions, each read once.

    Args:
        reader: Makes the reads.
        fetch: Gets the content behind the address that Lambda gives for a function's zip.
    """

    def __init__(self, reader: Reader, fetch: Callable[[str], bytes]) -> None:
        self._reader = reader
        self._fetch = fetch
        self._functions: dict[str, Function | Unread] = {}
        self._targets: dict[str, Told] = {}

    def of_target(self, arn: str) -> Told:
        """Return what is told through a hook's target, and what was not read."""
        if arn not in self._targets:
            self._targets[arn] = self._of_target(arn)
        return self._targets[arn]

    def rules(self) -> tuple[tuple[Rule, ...], tuple[str, ...]]:
        """
        Return the enabled rules of the default bus that match terminating lifecycle actions.

        What was not read of them is the second value.
        """
        raws = attempt(self._reader.pages, "events", "list_rules", "Rules")
        if isinstance(raws, Unread):
            return (), (unread("The rules of EventBridge", raws).why,)
        found, problems = list[Rule](), list[str]()
        for rule in filter(None, map(rule_of, raws)):
            listed = "events", "list_targets_by_rule", "Targets"
            targets = attempt(self._reader.pages, *listed, Rule=rule.name)
            if isinstance(targets, Unread):
                problems.append(unread(f"The targets of rule {rule.name}", targets).why)
                continue
            arns = tuple(one["Arn"] for one in targets if ":lambda:" in one["Arn"])
            found.append(replace(rule, functions=arns))
        return tuple(found), tuple(problems)

    def function(self, arn: str) -> Function | Unread:
        """Return a function, by its ARN with or without a version or an alias."""
        if arn not in self._functions:
            self._functions[arn] = self._read(arn)
        return self._functions[arn]

    def _of_target(self, arn: str) -> Told:
        service = arn.split(":")[2] if arn.startswith("arn:") else ""
        if service == "lambda":
            return (Listener(Route.DIRECT, arn, self.function(arn)),), ()
        if service == "sqs":
            return self._of_queue(arn)
        if service != "sns":
            return (), ()
        listed = "sns", "list_subscriptions_by_topic", "Subscriptions"
        subscriptions = attempt(self._reader.pages, *listed, TopicArn=arn)
        if isinstance(subscriptions, Unread):
            return (), (unread(f"What listens to {arn}", subscriptions).why,)
        found, problems = list[Listener](), list[str]()
        for one in subscriptions:
            if one["Protocol"] == "lambda":
                found.append(Listener(Route.TOPIC, arn, self.function(one["Endpoint"])))
            elif one["Protocol"] == "sqs":
                listeners, unreadable = self._of_queue(one["Endpoint"])
                found += listeners
                problems += unreadable
        return tuple(found), tuple(problems)

    def _of_queue(self, arn: str) -> Told:
        listed = "lambda", "list_event_source_mappings", "EventSourceMappings"
        mappings = attempt(self._reader.pages, *listed, EventSourceArn=arn)
        if isinstance(mappings, Unread):
            return (), (unread(f"What listens to {arn}", mappings).why,)
        arns = [one["FunctionArn"] for one in mappings]
        return tuple(Listener(Route.QUEUE, arn, self.function(one)) for one in arns), ()

    def _read(self, arn: str) -> Function | Unread:
        found = attempt(self._reader.ask, "lambda", "get_function", FunctionName=arn)
        if isinstance(found, Unread):
            return unread(f"Function {arn}", found)
        configuration = found["Configuration"]
        variables = configuration.get("Environment", {}).get("Variables", {})
        return Function(
            name=configuration["FunctionName"],
            arn=arn,
            handler=configuration.get("Handler", ""),
            runtime=configuration.get("Runtime", ""),
            timeout_seconds=configuration.get("Timeout", 0),
            variables=frozenset(variables),
            cluster=variables.get("CLUSTER", ""),
            draining_timeout=variables.get("DRAINING_TIMEOUT", ""),
            actions=self._allowed(configuration["Role"].rpartition("/")[2]),
            signs=self._signs(configuration, found.get("Code", {})),
            recursive_loop=self._recursive_loop(configuration["FunctionName"]),
            stack=found.get("Tags", {}).get(STACK_TAG, ""),
        )

    def _allowed(self, role: str) -> frozenset[str] | Unread:
        found = attempt(self._actions, role)
        if isinstance(found, Unread):
            return unread(f"The policies of role {role}", found)
        return found

    def _actions(self, role: str) -> frozenset[str]:
        names = self._reader.pages("iam", "list_role_policies", "PolicyNames", RoleName=role)
        policies = (
            self._reader.ask("iam", "get_role_policy", RoleName=role, PolicyName=name)
            for name in names
        )
        return frozenset(one for policy in policies for one in allowed(policy["PolicyDocument"]))

    def _signs(
        self, configuration: Mapping[str, Any], code: Mapping[str, Any]
    ) -> frozenset[Sign] | Unread:
        if "Location" not in code or configuration.get("CodeSize", 0) > ZIP_BYTES_MAX:
            return Unread(f"Its code is not read: {configuration.get('CodeSize', 0):,} bytes")
        try:
            return signs(self._fetch(code["Location"]))
        except OSError as error:
            return Unread(f"Its code was not read: {type(error).__name__}")

    def _recursive_loop(self, name: str) -> str | Unread:
        asked = "lambda", "get_function_recursion_config"
        answer = attempt(self._reader.ask, *asked, FunctionName=name)
        if isinstance(answer, Unread):
            return unread(f"RecursiveLoop of {name}", answer)
        return str(answer["RecursiveLoop"])


def allowed(document: Mapping[str, Any]) -> set[str]:
    """Return the actions that a policy allows somewhere."""
    statements = document.get("Statement", [])
    found: set[str] = set()
    for one in statements if isinstance(statements, list) else [statements]:
        actions = one.get("Action", []) if one.get("Effect") == "Allow" else []
        found.update([actions] if isinstance(actions, str) else actions)
    return found


def rule_of(raw: Mapping[str, Any]) -> Rule | None:
    """Return a rule that matches lifecycle actions of terminating instances; None for others."""
    try:
        pattern = json.loads(raw.get("EventPattern") or "")
    except ValueError:
        return None
    if raw.get("State") != "ENABLED" or not isinstance(pattern, dict):
        return None
    if SOURCE not in pattern.get("source", [SOURCE]):
        return None
    # A rule for everything that Auto Scaling tells matches these as well.
    if DETAIL_TYPE not in pattern.get("detail-type", [DETAIL_TYPE]):
        return None
    if "source" not in pattern and "detail-type" not in pattern:
        return None
    named = pattern.get("detail", {}).get("AutoScalingGroupName", [])
    groups = frozenset(one for one in named if isinstance(one, str))
    left_out: set[str] = set()
    for one in named:
        but = one.get("anything-but", []) if isinstance(one, dict) else []
        left_out.update([but] if isinstance(but, str) else but if isinstance(but, list) else [])
    description = raw.get("Description", "")
    return Rule(raw["Name"], raw["EventPattern"], groups, frozenset(left_out), description)
