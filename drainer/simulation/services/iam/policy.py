"""
IAM, as far as our templates use it: what a policy document allows.

Deny statements, NotAction and the like are refused rather than ignored, for a policy that is read
wrongly shows nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from drainer.simulation.template import TemplateError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


STATEMENT_KEYS = frozenset({"Sid", "Effect", "Principal", "Action", "Resource", "Condition"})
# "ArnEquals and ArnLike behave identically": both know wildcards.
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html
CONDITION_OPERATORS = frozenset({"ArnEquals", "ArnLike"})
ANYBODY = "*"


@dataclass(frozen=True, slots=True)
class Request:
    """
    What somebody asks for.

    Attributes:
        action: `service:Operation`, by IAM's name.
        resource: The ARN that the action is checked against; `*` where it has no resource type.
        principal: A role's ARN, a service's name, or empty if unknown; only policies of resources
            ask.
        context: The condition keys that the request carries.
    """

    action: str
    resource: str
    principal: str = ""
    context: Mapping[str, str] = field(default_factory=dict)


class Policy:
    """Statements that allow, as one policy document or several."""

    def __init__(self, statements: Iterable[Mapping[str, Any]]) -> None:
        self.statements = tuple(statements)
        self._of_action = cache(self._find_of_action)
        for statement in self.statements:
            unknown = set(statement) - STATEMENT_KEYS
            operators = set(statement.get("Condition", ())) - CONDITION_OPERATORS
            if unknown or operators or statement["Effect"] != "Allow":
                name = statement.get("Sid", "a statement")
                raise TemplateError(f"{name} says what is not understood: {unknown or operators}")

    def allowing(self, request: Request) -> tuple[str, ...]:
        """Return the Sids of the statements that allow the request."""
        return tuple(
            statement["Sid"]
            for statement in self._of_action(request.action)
            if _allows(statement, request)
        )

    def _find_of_action(self, action: str) -> Sequence[Mapping[str, Any]]:
        # "The prefix and the action name are case insensitive."
        # https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_action.html
        return [
            statement
            for statement in self.statements
            if any(_matches(one.lower(), action.lower()) for one in _list(statement["Action"]))
        ]

    @property
    def actions(self) -> set[str]:
        """The actions that are allowed on anything at all."""
        return {action for one in self.statements for action in _list(one["Action"])}


def _allows(statement: Mapping[str, Any], request: Request) -> bool:
    """Judge a statement on the request's action by everything else."""
    return (
        any(_matches(one, request.resource) for one in _list(statement["Resource"]))
        and _admits(statement.get("Principal"), request.principal)
        and all(
            any(_matches(one, request.context.get(key, "")) for one in _list(wanted))
            for keys in statement.get("Condition", {}).values()
            for key, wanted in keys.items()
        )
    )


def _admits(principals: Any, asking: str) -> bool:
    """
    Judge a resource policy's principal; a role's own policy has none and admits its role.

    "When you specify an AWS account, you can use the account ARN (arn:aws:iam::account-ID:root)
    ...": it stands for every identity of that account whose own policy says so as well.
    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html
    """
    if principals in (None, ANYBODY):
        return True
    return any(
        named in (ANYBODY, asking)
        or (named.endswith(":root") and asking.startswith(named.removesuffix("root")))
        for kind in principals.values()
        for named in _list(kind)
    )


@cache
def _pattern(text: str) -> re.Pattern[str]:
    escaped = re.escape(text).replace(r"\*", ".*").replace(r"\?", ".")
    return re.compile(escaped, re.DOTALL)


def _matches(pattern: str, value: str) -> bool:
    return bool(_pattern(pattern).fullmatch(value))


def _list(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else [value]
