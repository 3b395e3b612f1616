"""
The calls of CloudFormation that make, change and delete a stack, each waited for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from drainer.cli.account.session import AWS_ERRORS, code_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

POLL_SECONDS = 3
# A role and a hook take less than a minute. CloudFormation goes on after this command has ended.
POLLS_MAX = 200
CAPABILITIES = ["CAPABILITY_IAM"]
# "The submitted information didn't contain changes. Submit different information to create a change
# set." and "No updates are to be performed." are the two sentences of a change set without changes.
UNCHANGED = ("didn't contain changes", "No updates are to be performed")
# What a stack is that only a change set has made.
IN_REVIEW = "REVIEW_IN_PROGRESS"
DONE = frozenset({"CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"})


class StackError(Exception):
    """CloudFormation has failed; the sentence says why."""


@dataclass(frozen=True, slots=True)
class ChangeSet:
    """A change set that can be executed: of which stack, and what it changes."""

    id: str
    stack: str
    is_new: bool
    changes: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Stacks:
    """
    CloudFormation's stacks.

    Attributes:
        client: Its client.
        sleep: Waits for so many seconds.
    """

    client: Any
    sleep: Callable[[float], None]

    def describe(self, name: str) -> Mapping[str, Any] | None:
        """Return a stack; None where there is none, or only one in review."""
        try:
            stack: dict[str, Any] = self.client.describe_stacks(StackName=name)["Stacks"][0]
        except AWS_ERRORS as error:
            # "If the stack doesn't exist, a ValidationError is returned."
            # https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_DescribeStacks.html
            if code_of(error) != "ValidationError":
                raise
            return None
        return None if stack["StackStatus"] == IN_REVIEW else stack

    def change_set(
        self, stack: str, name: str, body: str, parameters: list[dict[str, Any]], *, is_new: bool
    ) -> ChangeSet | None:
        """
        Make a change set and wait for it; None where there is nothing to change.

        Raises:
            StackError: CloudFormation has refused the template or a parameter.
        """
        made = self.client.create_change_set(
            StackName=stack,
            ChangeSetName=name,
            ChangeSetType="CREATE" if is_new else "UPDATE",
            TemplateBody=body,
            Parameters=parameters,
            Capabilities=CAPABILITIES,
        )
        found = self._settled(
            lambda: self.client.describe_change_set(ChangeSetName=made["Id"]),
            lambda one: str(one["Status"]).endswith("_COMPLETE") or one["Status"] == "FAILED",
        )
        change_set = ChangeSet(made["Id"], stack, is_new, tuple(found.get("Changes", ())))
        if found["Status"] == "FAILED":
            self.discard(change_set)
            reason = found.get("StatusReason", "")
            if any(sentence in reason for sentence in UNCHANGED):
                return None
            raise StackError(reason or "the change set failed")
        return change_set

    def discard(self, change_set: ChangeSet) -> None:
        """Delete a change set that is not executed, and the stack that it alone has made."""
        self.client.delete_change_set(ChangeSetName=change_set.id)
        if change_set.is_new:
            self.client.delete_stack(StackName=change_set.stack)

    def execute(self, change_set: ChangeSet) -> str:
        """
        Execute a change set and wait for the stack; return its status.

        Raises:
            StackError: The stack was rolled back.
        """
        self.client.execute_change_set(ChangeSetName=change_set.id)
        status = self._wait(change_set.stack)
        if status not in DONE:
            raise StackError(f"{status}: {self._reason(change_set.stack)}")
        return status

    def delete(self, name: str) -> None:
        """
        Delete a stack and wait until it is gone.

        Raises:
            StackError: A resource was not deleted.
        """
        # By its id a deleted stack can still be described.
        id_ = self.client.describe_stacks(StackName=name)["Stacks"][0]["StackId"]
        self.client.delete_stack(StackName=name)
        status = self._wait(id_)
        if status != "DELETE_COMPLETE":
            raise StackError(f"{status}: {self._reason(name)}")

    def _wait(self, name: str) -> str:
        stack = self._settled(
            lambda: self.client.describe_stacks(StackName=name)["Stacks"][0],
            lambda one: one["StackStatus"] in DONE or not one["StackStatus"].endswith("PROGRESS"),
        )
        return str(stack["StackStatus"])

    def _settled(
        self, read: Callable[[], dict[str, Any]], is_settled: Callable[[dict[str, Any]], bool]
    ) -> dict[str, Any]:
        for _ in range(POLLS_MAX):
            found = read()
            if is_settled(found):
                return found
            self.sleep(POLL_SECONDS)
        raise StackError(f"it did not end within {POLLS_MAX * POLL_SECONDS} s and goes on")

    def _reason(self, name: str) -> str:
        """Return why a stack has failed: the first failure of its last operation."""
        events = self.client.describe_stack_events(StackName=name)["StackEvents"]
        reasons = [
            f"{one['LogicalResourceId']}: {one.get('ResourceStatusReason', '')}"
            for one in events
            if one.get("ResourceStatus", "").endswith("_FAILED")
        ]
        # The newest comes first, and what failed first made the others fail.
        return reasons[-1] if reasons else "see its events"
