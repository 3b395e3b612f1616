"""
What a policy document of IAM allows, where IAM itself may not be asked: pure, and careful.

A statement with a condition, `NotAction` or `NotResource` is not judged: then the answer is None.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

UNJUDGED = ("Condition", "NotAction", "NotResource")


def allows(documents: Iterable[Mapping[str, Any]], action: str, resource: str) -> bool | None:
    """Return whether the documents together allow an action; None where that is not certain."""
    effects: set[str] = set()
    uncertain = False
    for document in documents:
        for statement in _list(document.get("Statement", [])):
            if any(key in statement for key in UNJUDGED):
                uncertain = True
            elif _matches(statement, action, resource):
                effects.add(statement["Effect"])
    if "Deny" in effects:
        return False
    if uncertain:
        return None
    return "Allow" in effects


def trusts(document: Mapping[str, Any], service: str) -> bool:
    """Return whether a role's trust policy names a service."""
    return any(
        statement.get("Effect") == "Allow"
        and isinstance(statement.get("Principal"), dict)
        and service in _list(statement["Principal"].get("Service", []))
        for statement in _list(document.get("Statement", []))
    )


def _matches(statement: Mapping[str, Any], action: str, resource: str) -> bool:
    # Actions are compared without regard to case.
    actions = [one.lower() for one in _list(statement.get("Action", []))]
    named = any(fnmatchcase(action.lower(), one) for one in actions)
    return named and any(fnmatchcase(resource, one) for one in _list(statement.get("Resource", [])))


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
