"""
EventBridge's event patterns, with those operators that our templates use; others are refused.

https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern-operators.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from drainer.simulation.template import TemplateError

if TYPE_CHECKING:
    from collections.abc import Mapping

ABSENT = object()


def matches(pattern: Mapping[str, Any], event: Any) -> bool:
    """Say whether an event, or a part of one, agrees with a pattern in each of its fields."""
    if not isinstance(event, dict):
        return False
    return all(_field_matches(name, wanted, event) for name, wanted in pattern.items())


def _field_matches(name: str, wanted: Any, event: Mapping[str, Any]) -> bool:
    if name == "$or":
        return any(matches(alternative, event) for alternative in wanted)
    if isinstance(wanted, dict):
        return matches(wanted, event.get(name))
    return any(_value_matches(one, event.get(name, ABSENT)) for one in wanted)


def _value_matches(wanted: Any, value: Any) -> bool:
    match wanted:
        case {"exists": bool() as there}:
            return there == (value is not ABSENT)
        case {"prefix": str() as prefix}:
            return isinstance(value, str) and value.startswith(prefix)
        case dict():
            raise TemplateError(f"an event pattern says what is not understood: {wanted}")
    return bool(wanted == value)
