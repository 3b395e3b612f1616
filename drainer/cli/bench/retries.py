"""
What boto3 does with a throttled call before the program hears of it, in virtual time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from drainer.simulation.records import ApiError

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from drainer.simulation.account import Performs

THROTTLES = frozenset({"ThrottlingException", "Throttling", "RequestLimitExceeded"})
# "Legacy mode is the default mode ... Default value of 5 for maximum call attempts"; "any retry
# attempt will include an exponential backoff by a base factor of 2".
# https://docs.aws.amazon.com/boto3/latest/guide/retries.html
DEFAULT_ATTEMPTS = 5


@dataclass(eq=False)
class Retries:
    """
    Performs calls, and again those that were throttled.

    Attributes:
        perform: makes one attempt.
        wait: lets seconds pass for the program.
        random: chooses the back-off between zero and its most.
        attempts_max: in all.
        reached: how many throttles reached the program, after the last attempt.
    """

    perform: Performs
    wait: Callable[[float], None]
    random: Random
    attempts_max: int = DEFAULT_ATTEMPTS
    reached: int = field(default=0)

    def __call__(self, service: str, operation: str, parameters: dict[str, Any]) -> dict[str, Any]:
        """Perform an operation."""
        for attempt in range(1, self.attempts_max):
            try:
                return self.perform(service, operation, parameters)
            except ApiError as error:
                if error.code not in THROTTLES:
                    raise
            self.wait(self.random.random() * 2.0 ** (attempt - 1))
        try:
            return self.perform(service, operation, parameters)
        except ApiError as error:
            self.reached += error.code in THROTTLES
            raise
