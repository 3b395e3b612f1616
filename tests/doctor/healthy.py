"""
A healthy account: no check finds anything in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from drainer.cli.account.reader import Reader, Unread, attempt
from drainer.cli.doctor import judge, table
from drainer.cli.doctor.read_account import Wanted, read_account
from drainer.cli.doctor.verdicts import Verdict
from tests.doctor.border import REGION, Border
from tests.doctor.healthy_group import HealthyGroup
from tests.doctor.healthy_stack import HealthyStack
from tests.doctor.names import NOW, STACK

if TYPE_CHECKING:
    from drainer.cli.doctor.facts import Account
    from drainer.cli.doctor.verdicts import Result

FAULTS = {Verdict.WRONG, Verdict.WARNING}


class Healthy(HealthyStack, HealthyGroup):
    """
    The stack, a group that it drains, and the border that answers for both.
    """

    def __init__(self) -> None:
        HealthyStack.__init__(self)
        HealthyGroup.__init__(self)
        self.border = Border(
            {
                **HealthyStack.answers(self),
                **HealthyGroup.answers(self),
                "cloudformation.list_stack_resources": self._resources,
            }
        )
        self.pauses: list[float] = []

    def _resources(self, given: dict[str, Any]) -> dict[str, Any]:
        if given["StackName"] == STACK:
            return {"StackResourceSummaries": self.summaries()}
        return {"StackResourceSummaries": self.own_stacks[given["StackName"]]}

    def read(self, *groups: str) -> Account | Unread:
        """
        Return the facts as the command reads them.
        """
        reader = Reader(self.border.client, self.pauses.append)
        return attempt(read_account, reader, Wanted(STACK, REGION, groups), NOW)

    def results(self, *groups: str) -> list[Result]:
        """
        Return what all checks say.
        """
        account = self.read(*groups)
        assert not isinstance(account, Unread), account
        return judge.run(account, frozenset(table.NAMES))

    def found(self, *groups: str) -> set[str]:
        """
        Return the names of the checks that find a fault.
        """
        return {one.check for one in self.results(*groups) if one.finding.verdict in FAULTS}
