"""
What ECS answers at odds with its other answers: some descriptions are refused, some listings short.

Container instances and listings are answered while the tasks are refused; what one listing lacks is
described all the same; and of two registrations of an EC2 instance one is described and one is not.
The random numbers are drawn apart from those of the other faults, which stay as they are in each
seed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from drainer.simulation.records import ApiError
from drainer.simulation.services.ecs.answer_lag import ANSWER_LAG_SECONDS_MAX
from drainer.simulation.services.ecs.operations import known_cluster

if TYPE_CHECKING:
    from datetime import datetime
    from random import Random

    from drainer.simulation.faults.faults import Faults

# AWS documents that the call may be refused so, and not when.
# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeTasks.html
REFUSALS = ("ClientException", "InvalidParameterException", "ClusterNotFoundException")
# How often that begins soon after a lifecycle action, and how soon.
REFUSED_SHARES = (0.0, 0.0, 0.2, 0.6)
REFUSED_WITHIN_SECONDS = 300.0
# Longer, too, than a task may be MISSING until it counts as STOPPED: five minutes.
REFUSED_SECONDS = (60.0, 600.0)
# How many of the calls are refused meanwhile: all of them, or each by chance.
REFUSED_CALLS = (1.0, 1.0, 0.5)
# How many of the listings lack a container instance. None lacks the same one again soon.
UNLISTED_SHARES = (0.0, 0.0, 0.1, 0.5)
# How many descriptions of what an agent was registered as before fail: the call about it is
# throttled, or its answer lacks it. An answer lacks the same one only once in a while.
EARLIER_SHARES = (0.0, 0.0, 0.1, 0.3)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A while during which no task is described, or some are by chance."""

    code: str
    begins_at: datetime
    ends_at: datetime
    probability: float


@dataclass(eq=False)
class OddAnswers:
    """
    The answers of one seed that others contradict.

    Attributes:
        refused: after how many lifecycle actions tasks are not described for a while.
        unlisted: how many listings lack a container instance.
        earlier: how many descriptions of an earlier registration fail.
        earlier_random: what is drawn for these.
    """

    faults: Faults
    random: Random
    earlier_random: Random
    refused: float = 0.0
    unlisted: float = 0.0
    earlier: float = 0.0
    refusals: list[Refusal] = field(default_factory=list)

    def install(self) -> None:
        """Choose how often a description is refused, and how often a listing lacks something."""
        if not self.faults.going_on:
            return
        self.refused = self.random.choice(REFUSED_SHARES)
        self.unlisted = self.random.choice(UNLISTED_SHARES)
        self.earlier = self.earlier_random.choice(EARLIER_SHARES)
        if self.refused:
            self.faults.account.auto_scaling.on_action.append(self._begun)

    def _begun(self, action: object) -> None:
        del action
        random, ceased_at = self.random, self.faults.ceased_at
        if self.faults.going_on and random.random() < self.refused:
            within = random.uniform(0.0, REFUSED_WITHIN_SECONDS)
            begins_at = self.faults.account.now + timedelta(seconds=within)
            ends_at = begins_at + timedelta(seconds=random.uniform(*REFUSED_SECONDS))
            code, probability = random.choice(REFUSALS), random.choice(REFUSED_CALLS)
            self.refusals.append(Refusal(code, begins_at, min(ends_at, ceased_at), probability))

    def before_call(self, operation: str, parameters: dict[str, Any]) -> None:
        """
        Refuse to describe tasks, where it is time for that, or an earlier registration.

        Raises:
            ApiError: the call is refused.
        """
        if operation == "DescribeContainerInstances" and self.faults.going_on and self.earlier:
            self._earlier(parameters["containerInstances"])
        if operation != "DescribeTasks":
            return
        for one in self.refusals:
            inside = one.begins_at <= self.faults.account.now < one.ends_at
            if inside and self.random.random() < one.probability:
                self.faults.strike("tasks not described", one.code)
                raise ApiError(one.code, "injected: refused")

    def _earlier(self, arns: list[str]) -> None:
        """Throttle a description of earlier registrations, or let it lack one, by chance."""
        ecs = self.faults.account.ecs
        known = [one for one in map(ecs.find, arns) if one is not None]
        left = [one.arn for one in known if len(ecs.registrations(one.ec2_instance_id)) > 1]
        if not left or self.earlier_random.random() >= self.earlier:
            return
        self.faults.strike("earlier registration not described", left[0])
        if self.earlier_random.random() < 0.5:
            self.faults.may_miss(self.earlier_random.choice(left))
        else:
            raise ApiError("ThrottlingException", "injected: Rate exceeded")

    def without_one(
        self, operation: str, parameters: dict[str, Any], answer: dict[str, Any]
    ) -> dict[str, Any]:
        """Leave one container instance out of a listing, now and then."""
        if operation != "ListContainerInstances" or not self.faults.going_on:
            return answer
        arns = answer["containerInstanceArns"]
        if self.unlisted:
            self._late(parameters, arns)
        if not arns:
            return answer
        if self.random.random() < self.unlisted:
            self.faults.may_miss(self.random.choice(arns), operation)
        listed = [arn for arn in arns if not self.faults.misses(arn, operation)]
        if len(listed) < len(arns):
            self.faults.strike("container instance not listed", f"{set(arns) - set(listed)}")
        return {**answer, "containerInstanceArns": listed}

    def _late(self, parameters: dict[str, Any], arns: list[str]) -> None:
        """
        Let no listing soon lack what this one lacks because it is late.

        Both together would be wrong twice in a row, which is no eventual consistency.
        """
        account = self.faults.account
        cluster = known_cluster(account.ecs, parameters.get("cluster"))
        instances = parameters.get("filter", "")
        since = account.now - timedelta(seconds=ANSWER_LAG_SECONDS_MAX)
        for one in cluster.container_instances.values() if cluster else ():
            asked_about = not instances or one.ec2_instance_id in instances
            if one.registered_at > since and asked_about and one.arn not in arns:
                self.faults.may_miss(one.arn, "late")
