"""
What befalls interruptions, by a seed: throttles, stale listings, late and doubled events.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from drainer.simulation.records import ApiError

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from random import Random

    from drainer.simulation.aws import Aws
    from drainer.simulation.records import Call
    from drainer.simulation.scenario.spot_installation import SpotInstallation

# Within the first of the two minutes; what is throttled to their end cannot be helped.
WINDOW_SECONDS = 25.0
THROTTLED = (
    "ListContainerInstances",
    "DescribeContainerInstances",
    "UpdateContainerInstancesState",
    "PutAttributes",
    "ListTasks",
    "DescribeTasks",
    "DescribeServices",
    "DeregisterTargets",
    "DescribeTargetHealth",
    "DescribeAutoScalingInstances",
    "DescribeLifecycleHooks",
)
# No code but that of the documentation (ecs, query services).
CODES = ("ThrottlingException", "Throttling", "ServerException", "RequestTimeout")


class SpotFaults:
    """
    The faults of one seed.

    Attributes:
        struck: what befell, by name.
    """

    def __init__(self, account: Aws, random: Random) -> None:
        self._account = account
        self._random = random
        self._began_at: datetime | None = None
        self.throttles = {
            name: random.uniform(0.2, 1.0) for name in THROTTLED if random.random() < 0.3
        }
        self.stale = random.random() < 0.3
        self.struck: list[str] = []

    def begin(self) -> None:
        """Let the faults begin."""
        self._began_at = self._account.now

    @property
    def lasting(self) -> bool:
        """Whether the time of the faults is not over."""
        if self._began_at is None:
            return False
        return (self._account.now - self._began_at).total_seconds() < WINDOW_SECONDS

    def __call__(self, call: Call) -> None:
        """Refuse a call: an interceptor of the account."""
        share = self.throttles.get(call.operation, 0.0)
        if self.lasting and self._random.random() < share:
            self.struck.append(f"{call.operation} throttled")
            raise ApiError(self._random.choice(CODES), "Rate exceeded")

    def channel(self) -> Callable[[dict[str, Any]], tuple[float, ...]]:
        """Return a fault for a rule: an event late by up to 5 s, or twice."""

        def deliver(_: dict[str, Any]) -> tuple[float, ...]:
            late = self._random.uniform(0, 5)
            twice = self._random.random() < 0.3
            return (late, self._random.uniform(late, 40)) if twice else (late,)

        return deliver

    def install(self, spot: SpotInstallation) -> None:
        """Put the faults between the account and the function."""
        self._account.interceptors.append(self)
        for rule in spot.rules.values():
            rule.faults.append(self.channel())
        if self.stale:
            self._account.apis["ecs"] = _StaleListings(self._account.apis["ecs"], self)

    def drops(self, arns: list[str]) -> list[str]:
        """Return a listing as it was before the latest of its tasks."""
        if self.lasting and arns and self._random.random() < 0.5:
            self.struck.append("stale listing")
            return arns[:-1]
        return arns


class _StaleListings:
    """ECS, whose listings of tasks lag behind."""

    def __init__(self, api: object, faults: SpotFaults) -> None:
        self._api = api
        self._faults = faults

    def __getattr__(self, name: str) -> Any:
        return getattr(self._api, name)

    def list_tasks(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """List tasks, perhaps without the latest."""
        answer: dict[str, Any] = self._api.list_tasks(parameters)  # type: ignore[attr-defined]
        return {**answer, "taskArns": self._faults.drops(answer["taskArns"])}
