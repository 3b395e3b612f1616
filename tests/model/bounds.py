"""
The bounds within which everything is tried, and how many faults of each kind may happen.
"""

from __future__ import annotations

from tests.model.values import UNTIMED, State

FAULTS = (
    "duplicate", "loss", "crash", "unwritten", "unanswered", "outage", "slow", "aws", "stale",
    "hand", "wake_up", "active", "forged",
)  # fmt: skip
PERIODS = 10  # of being DRAINING in one action


class Bounds:
    """
    The bounds within which everything is tried, and which rule is taken away.

    Args:
        work: How many ticks the tasks need to stop once the instance is DRAINING.
        hook: The hook's heartbeat timeout.
        deadline: Of the drain, in ticks; none by default.
        outage: How long the table may be down at most.
        refuses_writes: Whether it takes no writes then, but can be read.
        forever: Whether it never comes back.
        actions: How many actions of the instance follow each other.
        gap: How long after one the next may begin.
        discover: Whether the sweep finds what waits by Auto Scaling's listing.
        sweeps: Whether there is a sweep.
        expires: Whether the hook's own timeout may end the action.
        moves: How often what keeps the hook waiting may move its deadline.
        variant: Which rule is taken away.
        budget: How many faults of each kind may happen.
    """

    def __init__(
        self,
        *,
        work: int = 1,
        hook: int = UNTIMED,
        deadline: int = UNTIMED,
        outage: int = 0,
        refuses_writes: bool = False,
        forever: bool = False,
        actions: int = 1,
        gap: int = 0,
        discover: bool = True,
        sweeps: bool = True,
        expires: bool = False,
        moves: int = 1,
        variant: str = "",
        **budget: int,
    ) -> None:
        self.work, self.hook, self.deadline, self.outage = work, hook, deadline, outage
        self.down, self.forever = 2 if refuses_writes else 1, forever
        self.actions, self.gap, self.discover, self.sweeps = actions, gap, discover, sweeps
        self.expires, self.moves, self.variant = expires, moves, variant
        self.timed, self.endless = deadline < UNTIMED, work == UNTIMED
        budget["outage"] = int(outage > 0)
        assert set(budget) <= set(FAULTS), set(budget) - set(FAULTS)
        self.budget = tuple(budget.get(one, 0) for one in FAULTS)

    def owner(self, period: int) -> int:
        """Return the action in which a period of being DRAINING began."""
        return period // PERIODS

    def has(self, s: State, fault: str) -> bool:
        return s.budget[FAULTS.index(fault)] > 0

    def spend(self, s: State, fault: str) -> State:
        i = FAULTS.index(fault)
        return s._replace(budget=(*s.budget[:i], s.budget[i] - 1, *s.budget[i + 1 :]))
