"""
What a test of the function reads of its account, and the calls that it makes fail there.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from drainer.simulation.records import ApiError

if TYPE_CHECKING:
    from drainer.simulation.aws import Aws
    from drainer.simulation.records import Call


class ServedAccount:
    """The account that the function is at work in."""

    account: Aws

    def calls(self, operation: str) -> int:
        return sum(call.operation == operation for call in self.account.calls)

    def published(self) -> list[dict[str, Any]]:
        return [
            json.loads(entry["Message"])
            for call in self.account.calls
            if call.operation == "PublishBatch" and call.error is None
            for entry in call.parameters["PublishBatchRequestEntries"]
        ]

    def refuse(self, operation: str, code: str, times: int = 10**9) -> None:
        """Make so many calls fail, from now on."""
        left = [times]

        def intercept(call: Call) -> None:
            if call.operation == operation and left[0] > 0:
                left[0] -= 1
                raise ApiError(code, "refused by the test")

        self.account.interceptors.append(intercept)
