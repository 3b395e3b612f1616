"""A person at a terminal: the commands on a simulated account, in its virtual time."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from drainer.cli.operate.perform import Perform
from drainer.cli.operate.reader import Reader
from drainer.cli.operate.run import Operate
from drainer.simulation.records import ApiError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from drainer.simulation.aws import Aws
    from drainer.simulation.records import Call

WHO = "arn:aws:sts::123456789012:assumed-role/ops+/anna=b"
READS = ("Describe", "List", "Get", "BatchGet", "Query")


class Sts:
    """Says who calls."""

    def get_caller_identity(self) -> dict[str, str]:
        return {"Arn": WHO}


@dataclass
class Stack:
    """The drainer's stack, as CloudFormation describes it; without a table there is none."""

    table: str = ""

    def describe_stack_resource(self, **_: Any) -> dict[str, Any]:
        self._refuse()
        return {"StackResourceDetail": {"PhysicalResourceId": self.table}}

    def describe_stacks(self, **_: Any) -> dict[str, Any]:
        self._refuse()
        interval = {"ParameterKey": "PassIntervalSeconds", "ParameterValue": "15"}
        return {"Stacks": [{"Parameters": [interval]}]}

    def _refuse(self) -> None:
        if not self.table:
            error = {"Code": "ValidationError", "Message": "Stack drainer does not exist"}
            raise ClientError({"Error": error}, "DescribeStackResource")


@dataclass
class Shell:
    """
    A terminal.

    Attributes:
        account: Where the commands act.
        typed: What is typed when a command asks; None without a terminal.
        table: The drainer's table; empty for none.
        asked: What the commands have asked.
        writes: The calls that would change something, as the account got them.
        slept: Called before each wait; it may raise KeyboardInterrupt.
        aside: What intercepts calls of the function only.
    """

    account: Aws
    typed: str | None = "y"
    table: str = ""
    asked: list[str] = field(default_factory=list)
    writes: list[Call] = field(default_factory=list)
    slept: Callable[[], None] = lambda: None
    aside: Sequence[Any] = ()

    def run(
        self,
        act: Callable[[Operate], int],
        *,
        yes: bool = False,
        dry_run: bool = False,
        as_json: bool = False,
        cluster: str = "",
    ) -> int:
        """Type a command; return its exit code."""
        answer = None if self.typed is None else self._answer
        perform = Perform(self.client, answer, yes=yes, dry_run=dry_run, as_json=as_json)
        reader = Reader(self.client, [cluster] if cluster else [], "drainer")
        operate = Operate(reader, perform, lambda: self.account.now, self._sleep)
        interceptors = self.account.interceptors
        for one in self.aside:
            interceptors.remove(one)
        before = len(self.account.calls)
        try:
            return act(operate)
        finally:
            calls = [*self.account.calls][before:]
            self.writes += [call for call in calls if not call.operation.startswith(READS)]
            interceptors += self.aside

    def client(self, service: str) -> Any:
        if service == "sts":
            return Sts()
        return Stack(self.table) if service == "cloudformation" else self.account.client(service)

    def refuse(self, operation: str, code: str = "ThrottlingException") -> None:
        """Let each call of an operation fail."""

        def intercept(call: Call) -> None:
            if call.operation == operation:
                raise ApiError(code, "refused by the test", 400)

        self.account.interceptors.append(intercept)

    @property
    def operations(self) -> list[str]:
        """The writes by their names."""
        return [call.operation for call in self.writes]

    def _answer(self, question: str) -> str:
        self.asked.append(question)
        return self.typed or ""

    def _sleep(self, seconds: float) -> None:
        self.slept()
        self.account.advance_to(self.account.now + timedelta(seconds=seconds))
