"""
Reads of a CloudFormation stack, which all commands begin with.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from drainer.cli.account.reader import Unread, is_gone

if TYPE_CHECKING:
    from collections.abc import Mapping

    from drainer.cli.account.reader import Reader


def described(reader: Reader, name: str) -> Mapping[str, Any] | Unread:
    """Return a stack as CloudFormation describes it."""
    answer = reader.ask("cloudformation", "describe_stacks", StackName=name)
    if isinstance(answer, Unread):
        return _no_stack(name, answer)
    stack: Mapping[str, Any] = answer["Stacks"][0]
    return stack


def resources(reader: Reader, name: str) -> dict[str, str] | Unread:
    """Return the physical ids of a stack's resources by logical id."""
    listed = reader.pages(
        "cloudformation", "list_stack_resources", "StackResourceSummaries", StackName=name
    )
    if isinstance(listed, Unread):
        return _no_stack(name, listed)
    return {
        one["LogicalResourceId"]: one["PhysicalResourceId"]
        for one in listed
        if one.get("PhysicalResourceId") and one["ResourceStatus"] != "DELETE_COMPLETE"
    }


def outputs(stack: Mapping[str, Any]) -> dict[str, str]:
    """Return a stack's outputs."""
    return {one["OutputKey"]: one["OutputValue"] for one in stack.get("Outputs", ())}


def parameters(stack: Mapping[str, Any]) -> dict[str, str]:
    """Return a stack's parameters."""
    given = stack.get("Parameters", ())
    return {one["ParameterKey"]: one.get("ParameterValue", "") for one in given}


def _no_stack(name: str, answer: Unread) -> Unread:
    # "If the stack doesn't exist, a ValidationError is returned."
    # https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_DescribeStacks.html
    return Unread(f"no stack {name}", answer.code, answer.error) if is_gone(answer) else answer
