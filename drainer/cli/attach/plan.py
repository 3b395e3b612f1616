"""
What a stack of infra/attach.yaml is called and is given, and how its changes are shown. Pure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

# https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_CreateStack.html
STACK_NAME_MAX = 128
GROUP_PARAMETER = "AutoScalingGroupName"
ACTIONS = {"Add": "+", "Modify": "~", "Remove": "-"}


@dataclass(frozen=True, slots=True)
class Wanted:
    """
    What is to be attached.

    Attributes:
        group: The Auto Scaling group.
        drainer: Name of the drainer's stack.
        stack: Name of the stack to make; empty for one by the group's name.
        settings: Values of the template's parameters that were given.
    """

    group: str
    drainer: str
    stack: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)


def stack_name(group: str) -> str:
    """Return the name of the stack for a group: only letters, digits and hyphens."""
    return f"drainer-{re.sub(r'[^A-Za-z0-9-]+', '-', group).strip('-')}"[:STACK_NAME_MAX]


def parameters(
    wanted: Wanted, kms_key: str, before: Mapping[str, str] | None
) -> list[dict[str, Any]]:
    """
    Return the parameters of a change set.

    Args:
        wanted: What is asked for.
        kms_key: The key of the drainer's topic; empty for none.
        before: The parameters of the stack that exists; None where none does. It keeps the values
            that are not given.
    """
    given = {
        GROUP_PARAMETER: wanted.group,
        "DrainerStack": wanted.drainer,
        **wanted.settings,
    }
    # The hook's role must be able to use the key, or Auto Scaling cannot notify.
    if kms_key and "TopicKmsKeyArn" not in (before or {}):
        given.setdefault("TopicKmsKeyArn", kms_key)
    kept = [name for name in before or () if name not in given]
    return [
        *({"ParameterKey": name, "ParameterValue": value} for name, value in given.items()),
        *({"ParameterKey": name, "UsePreviousValue": True} for name in kept),
    ]


def settings_lines(
    given: Iterable[Mapping[str, Any]], before: Mapping[str, str] | None
) -> Iterator[str]:
    """Yield a line for each parameter that the change sets."""
    for one in given:
        if one.get("UsePreviousValue"):
            continue
        name, value = one["ParameterKey"], one["ParameterValue"]
        old = (before or {}).get(name, "")
        if before is None:
            yield f"  + {name} = {value}"
        elif old != value:
            yield f"  ~ {name} = {old or '(empty)'} -> {value or '(empty)'}"


def change_lines(changes: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Yield a line for each resource that a change set changes."""
    for change in changes:
        one = change.get("ResourceChange", {})
        replaced = ", replaced" if one.get("Replacement") == "True" else ""
        kind = one.get("ResourceType", "")
        sign = ACTIONS.get(one.get("Action", ""), "?")
        yield f"  {sign} {one.get('LogicalResourceId', '')} ({kind}{replaced})"
