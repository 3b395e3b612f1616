"""
Read functions, and what notifies them: topics, queues and EventBridge rules. It changes nothing.

A call that fails becomes an `Unread` in the place of what it would have said.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from drainer.cli.account.session import AWS_ERRORS, code_of
from drainer.cli.adopt.facts import Function, Listener, Route, Rule, Unread
from drainer.cli.adopt.source import ZIP_BYTES_MAX, signs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from drainer.cli.adopt.facts import Sign

SOURCE, DETAIL_TYPE = "aws.autoscaling", "EC2 Instance-terminate Lifecycle Action"
STACK_TAG = "aws:cloudformation:stack-name"


def unread(what: str, error: Exception) -> Unread:
    """Return why something was not read, in one sentence."""
    return Unread(f"{what}: {code_of(error)}")


class Functions:
    """
    The account's functions, each read once.

    Args:
        client: Makes a service's client.
        fetch: Gets the content behind the address that Lambda gives for a function's zip.
    """

    def __init__(self, client: Callable[[str], Any], fetch: Callable[[str], bytes]) -> None:
        self._client = client
        self._fetch = fetch
        self._functions: dict[str, Function | Unread] = {}
        self._targets: dict[str, tuple[tuple[Listener, ...], tuple[str, ...]]] = {}

    def of_target(self, arn: str) -> tuple[tuple[Listener, ...], tuple[str, ...]]:
        """Return what is told through a hook's target, and what was not read."""
        if arn not in self._targets:
            try:
                self._targets[arn] = (tuple(self._of_target(arn)), ())
            except AWS_ERRORS as error:
                self._targets[arn] = ((), (unread(f"What listens to {arn}", error).why,))
        return self._targets[arn]

    def rules(self) -> Iterator[Rule]:
        """
        Yield the enabled rules of the default bus that match terminating lifecycle actions.

        Raises:
            one of AWS_ERRORS: The rules were not listed.
        """
        events = self._client("events")
        for page in events.get_paginator("list_rules").paginate():
            for raw in page["Rules"]:
                rule = rule_of(raw)
                if rule is None:
                    continue
                targets = events.get_paginator("list_targets_by_rule").paginate(Rule=rule.name)
                arns = [one["Arn"] for each in targets for one in each["Targets"]]
                functions = tuple(one for one in arns if ":lambda:" in one)
                yield Rule(
                    rule.name, rule.pattern, rule.groups, rule.without, rule.description, functions
                )

    def function(self, arn: str) -> Function | Unread:
        """Return a function, by its ARN with or without a version or an alias."""
        if arn not in self._functions:
            try:
                self._functions[arn] = self._read(arn)
            except AWS_ERRORS as error:
                self._functions[arn] = unread(f"Function {arn}", error)
        return self._functions[arn]

    def _of_target(self, arn: str) -> Iterator[Listener]:
        service = arn.split(":")[2] if arn.startswith("arn:") else ""
        if service == "sns":
            pages = self._client("sns").get_paginator("list_subscriptions_by_topic")
            for page in pages.paginate(TopicArn=arn):
                for one in page["Subscriptions"]:
                    if one["Protocol"] == "lambda":
                        yield Listener(Route.TOPIC, arn, self.function(one["Endpoint"]))
                    elif one["Protocol"] == "sqs":
                        yield from self._of_queue(one["Endpoint"])
        elif service == "sqs":
            yield from self._of_queue(arn)
        elif service == "lambda":
            yield Listener(Route.DIRECT, arn, self.function(arn))

    def _of_queue(self, arn: str) -> Iterator[Listener]:
        pages = self._client("lambda").get_paginator("list_event_source_mappings")
        for page in pages.paginate(EventSourceArn=arn):
            for one in page["EventSourceMappings"]:
                yield Listener(Route.QUEUE, arn, self.function(one["FunctionArn"]))

    def _read(self, arn: str) -> Function:
        found = self._client("lambda").get_function(FunctionName=arn)
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
            actions=self._actions(configuration["Role"].rpartition("/")[2]),
            signs=self._signs(configuration, found.get("Code", {})),
            recursive_loop=self._recursive_loop(configuration["FunctionName"]),
            stack=found.get("Tags", {}).get(STACK_TAG, ""),
        )

    def _actions(self, role: str) -> frozenset[str] | Unread:
        iam, found = self._client("iam"), set[str]()
        try:
            for page in iam.get_paginator("list_role_policies").paginate(RoleName=role):
                for name in page["PolicyNames"]:
                    policy = iam.get_role_policy(RoleName=role, PolicyName=name)
                    found |= allowed(policy["PolicyDocument"])
        except AWS_ERRORS as error:
            return unread(f"The policies of role {role}", error)
        return frozenset(found)

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
        try:
            answer = self._client("lambda").get_function_recursion_config(FunctionName=name)
        except AWS_ERRORS as error:
            return unread(f"RecursiveLoop of {name}", error)
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
