"""
The account's request quotas: token buckets that refuse what exceeds them.

Install them with `account.interceptors.append(Quotas(account.clock))`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from drainer.simulation.records import ApiError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from drainer.simulation.records import Call


@dataclass(frozen=True, slots=True)
class Rate:
    """A bucket's size and how many tokens a second it gets back."""

    burst: float
    sustained_per_second: float


# The published buckets, for each account and Region.
# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/request-throttling.html
ECS_RATES = {
    "capacity provider read": Rate(50, 20),
    "cluster read": Rate(50, 20),
    "cluster resource read": Rate(100, 20),
    "cluster resource modify": Rate(100, 40),
    "service read": Rate(100, 20),
    "service modify": Rate(50, 5),
}
ECS_BUCKETS = {
    "DescribeCapacityProviders": "capacity provider read",
    "DescribeClusters": "cluster read",
    "ListClusters": "cluster read",
    "ListContainerInstances": "cluster resource read",
    "DescribeContainerInstances": "cluster resource read",
    "ListTasks": "cluster resource read",
    "DescribeTasks": "cluster resource read",
    "ListAttributes": "cluster resource read",
    "UpdateContainerInstancesState": "cluster resource modify",
    "DeregisterContainerInstance": "cluster resource modify",
    "PutAttributes": "cluster resource modify",
    "DeleteAttributes": "cluster resource modify",
    "RunTask": "cluster resource modify",
    "StopTask": "cluster resource modify",
    "DescribeServices": "service read",
    "ListServices": "service read",
    "UpdateService": "service modify",
}
# EC2 has a bucket for each of its operations; this is the size of those that only read.
# https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-throttling.html
EC2_RATE = Rate(100, 20)
EC2_READS = ("DescribeSpotFleetInstances", "DescribeSpotFleetRequests")
# Messages a second in the Regions with the lowest quota.
# https://docs.aws.amazon.com/general/latest/gr/sns.html
SNS_RATE = Rate(300, 300)
# Auto Scaling shares one bucket among all its operations and publishes no figure: "Rate exceeded"
# is all there is. This one is ours, and meant to be harsh: a group of forty instances that leaves
# at once empties it.
# https://docs.aws.amazon.com/autoscaling/ec2/APIReference/Welcome.html
AUTO_SCALING_HARSH_RATE = Rate(40, 8)
# The codes differ by service: ECS's JSON names the exception, EC2 speaks of a limit, and the query
# services say "Throttling".
# https://docs.aws.amazon.com/autoscaling/ec2/APIReference/CommonErrors.html
THROTTLED = {"ec2": "RequestLimitExceeded", "ecs": "ThrottlingException"}


class Bucket:
    """One token bucket in virtual time."""

    def __init__(self, rate: Rate, at: datetime) -> None:
        self._rate = rate
        self._tokens = rate.burst
        self._at = at

    def take(self, tokens: float, at: datetime) -> bool:
        """Take so many tokens, or none."""
        # Invocations overlap: one that is told of later may have called earlier.
        gained = max(0.0, (at - self._at).total_seconds()) * self._rate.sustained_per_second
        self._tokens = min(self._rate.burst, self._tokens + gained)
        self._at = max(self._at, at)
        if self._tokens < tokens:
            return False
        self._tokens -= tokens
        return True


class Quotas:
    """
    An interceptor that throttles as the account's quotas say.

    Auto Scaling has one bucket for all its operations, and Elastic Load Balancing has its own, of
    unpublished size: without a rate given here they are not limited. DynamoDB has none, for a table
    on demand takes what comes here.

    Attributes:
        clock: tells when a call is made.
        taken: how many tokens each bucket has given out.
        throttled: how many calls each bucket has refused.
    """

    def __init__(
        self,
        clock: Callable[[], datetime],
        *,
        ecs: Mapping[str, Rate] = ECS_RATES,
        sns: Rate | None = SNS_RATE,
        auto_scaling: Rate | None = None,
        elbv2: Rate | None = None,
        ec2: Rate = EC2_RATE,
    ) -> None:
        self.clock = clock
        at = clock()
        self._ecs = {name: Bucket(rate, at) for name, rate in ecs.items()}
        self._ec2 = {name: Bucket(ec2, at) for name in EC2_READS}
        self._sns = Bucket(sns, at) if sns is not None else None
        self._auto_scaling = Bucket(auto_scaling, at) if auto_scaling is not None else None
        self._elbv2 = Bucket(elbv2, at) if elbv2 is not None else None
        self.taken: Counter[str] = Counter()
        self.throttled: Counter[str] = Counter()

    def __call__(self, call: Call) -> None:
        """Let a call pass, or refuse it."""
        name, bucket, tokens = self._bucket(call)
        if bucket is None:
            return
        if bucket.take(tokens, self.clock()):
            self.taken[name] += tokens
            return
        self.throttled[name] += 1
        raise ApiError(THROTTLED.get(call.service, "Throttling"), "Rate exceeded")

    def _bucket(self, call: Call) -> tuple[str, Bucket | None, int]:
        if call.service == "ecs":
            name = ECS_BUCKETS.get(call.operation, "")
            return name, self._ecs.get(name), 1
        if call.service == "ec2":
            return call.operation, self._ec2.get(call.operation), 1
        if call.service == "sns":
            # The quota counts messages, not calls.
            entries = call.parameters.get("PublishBatchRequestEntries") or [None]
            return "sns messages", self._sns, len(entries)
        if call.service == "autoscaling":
            return "auto scaling", self._auto_scaling, 1
        if call.service == "elbv2":
            return "load balancing", self._elbv2, 1
        return "", None, 0
