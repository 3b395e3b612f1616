"""
Reads of a CloudFormation stack, which all commands begin with.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from drainer.cli.account.reader import UnreadError, is_gone

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from drainer.cli.account.reader import Reader


def described(reader: Reader, name: str) -> Mapping[str, Any]:
    """Return a stack as CloudFormation describes it; raises an UnreadError."""
    with _named(name):
        answer = reader.ask("cloudformation", "describe_stacks", StackName=name)
    stack: Mapping[str, Any] = answer["Stacks"][0]
    return stack


def resources(reader: Reader, name: str, region: str = "") -> dict[str, str]:
    """Return the physical ids of a stack's resources by logical id; raises an UnreadError."""
    with _named(f"{name} in {region}" if region else name):
        listed = reader.pages(
            "cloudformation", "list_stack_resources", "StackResourceSummaries", StackName=name
        )
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


@contextmanager
def _named(name: str) -> Iterator[None]:
    """Say of a stack that does not exist what its name is."""
    try:
        yield
    except UnreadError as error:
        # "If the stack doesn't exist, a ValidationError is returned."
        # https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_DescribeStacks.html
        if not is_gone(error.value):
            raise
        raise UnreadError(replace(error.value, why=f"no stack {name}")) from error
