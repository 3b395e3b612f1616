"""
What can be said of a mutant.
"""

from __future__ import annotations

from tests.mutation.forks import TIMED_OUT

SURVIVED, KILLED, UNTESTED, AGAIN = "survived", "killed by", "no test runs it", "again"


def detected(verdict: str) -> bool:
    """
    Whether a test fails, or does not end.
    """
    return verdict.startswith((KILLED, TIMED_OUT))
