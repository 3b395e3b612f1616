"""
Registrations that ECS lists and does not describe, for minutes: one answer is wrong all the while.

One is the ARN of a container instance that is not there, or an earlier registration of a living
EC2 instance: its description lacks it, is refused, or is denied in a cluster of its own. All else
is described. The random numbers are drawn apart from those of the other faults, which stay as they
are in each seed.
https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeContainerInstances.html
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from drainer.simulation.faults.mishaps import GONE_SECONDS, register_again
from drainer.simulation.records import ApiError
from drainer.simulation.services.ecs.operations import known_cluster

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from random import Random

    from drainer.simulation.faults.faults import Faults
    from drainer.simulation.scenario.promises import Workload
    from drainer.simulation.services.auto_scaling.lifecycle import LifecycleAction
    from drainer.simulation.services.auto_scaling.model import Instance
    from drainer.simulation.services.ecs.model import ContainerInstance

# At how many of our actions it begins: in a fifth of the seeds, at most of them.
SHARES = (0.0, 0.0, 0.0, 0.0, 0.8)
# More in one listing are a failure of ECS, and hold up the instances that are listed beside them.
AT_ONCE_MAX = 2
# When it begins in a drain, and how long it lasts: longer than the five minutes for which what is
# left behind is waited for. It may last longer than the other faults, so that it is seen alone.
BEGINS_SECONDS = (0.0, 300.0)
LASTS_SECONDS = (600.0, 5_400.0)
# How soon what an agent has been before is described no longer.
SOON_SECONDS_MAX = 120.0
# How often, and when, all other faults cease sooner in these seeds: most drains are answered at
# their deadline or before while other faults go on, which may be to blame for that.
ALONE_PROBABILITY = 0.6
ALONE_AFTER_SECONDS = (400.0, 900.0)
# How old the container instances of some of these seeds are at first: what is younger than an hour
# is listed again in each pass.
YOUNG_PROBABILITY = 0.5
YOUNG_SECONDS = (60.0, 1_500.0)
# A cluster of which earlier registrations are left, and in which descriptions are denied.
FORMER_CLUSTER = "former"
NEVER, REFUSED, DENIED = "never described", "refused", "denied"
CODES = {REFUSED: "InvalidParameterException", DENIED: "AccessDeniedException"}


@dataclass(frozen=True, slots=True)
class Undescribed:
    """
    A registration that is not described until an instant.

    Attributes:
        arn: the container instance, which need not be there.
        cluster: the name of its cluster.
        ec2_instance_id: the EC2 instance that it is listed for.
        kind: how it is not described.
        ends_at: until when.
    """

    arn: str
    cluster: str
    ec2_instance_id: str
    kind: str
    ends_at: datetime


@dataclass(eq=False)
class UndescribedRegistrations:
    """
    Those of one seed.

    Attributes:
        share: at how many of our actions one begins.
        known: what has begun.
    """

    faults: Faults
    random: Random
    workload: Workload
    share: float = 0.0
    known: list[Undescribed] = field(default_factory=list)

    def choose(self) -> None:
        """Choose how often it begins in this seed, before the other faults are chosen."""
        faults, random = self.faults, self.random
        self.share = random.choice(SHARES) if faults.going_on else 0.0
        if self.share and random.random() < ALONE_PROBABILITY:
            seconds = random.uniform(*ALONE_AFTER_SECONDS)
            sooner = faults.account.now + timedelta(seconds=seconds)
            faults.ceased_at = min(faults.ceased_at, sooner)

    def install(self) -> None:
        """Put it into an account that is built, before the first instance leaves."""
        account, random = self.faults.account, self.random
        if not self.share:
            return
        account.auto_scaling.on_action.append(self.begun)
        if random.random() < YOUNG_PROBABILITY:
            for one in account.ecs.container_instances:
                if not one.agent_gone:
                    one.registered_at = account.now - timedelta(
                        seconds=random.uniform(*YOUNG_SECONDS)
                    )

    def held_until(self, ec2_instance_id: str) -> datetime | None:
        """Return until when a registration of an EC2 instance is not described; None for never."""
        ends = [one.ends_at for one in self.known if one.ec2_instance_id == ec2_instance_id]
        return max(ends, default=None)

    def _now(self) -> list[Undescribed]:
        return [one for one in self.known if self.faults.account.now < one.ends_at]

    # How it begins

    def begun(self, action: LifecycleAction) -> None:
        """Let a registration of an instance that begins to leave not be described, by chance."""
        random, account = self.random, self.faults.account
        if not self.workload.promise(action).ours or self.held_until(action.ec2_instance_id):
            return
        if not self.faults.going_on or random.random() >= self.share:
            return
        instance = account.auto_scaling.instances[action.ec2_instance_id]
        begin = random.choice([self._ghost, self._again, self._former])
        after = random.uniform(*BEGINS_SECONDS)
        account.after(after, partial(self._begin, begin, instance))

    def _begin(self, begin: Callable[[Instance], None], instance: Instance) -> None:
        if self.faults.going_on and instance.waits_to_leave:
            begin(instance)

    def _ghost(self, instance: Instance) -> None:
        """List what is not there, beside what is."""
        account = self.faults.account
        cluster = self.random.choice(sorted(account.ecs.clusters))
        name = f"container-instance/{cluster}/{self.random.getrandbits(128):032x}"
        self._add(account.arn("ecs", name), cluster, instance, NEVER)

    def _again(self, instance: Instance) -> None:
        """Let an agent lose its state, and ECS describe no longer what it was before."""
        there = self.faults.account.ecs.container_instance(instance.ec2_instance_id)
        if there is not None and instance.group.cluster is not None:
            self._disconnect(instance, partial(self._come_back, instance, there))

    def _former(self, instance: Instance) -> None:
        """Leave an earlier registration in a cluster that is found while the agent is away."""
        ecs = self.faults.account.ecs
        left_over = ecs.register(FORMER_CLUSTER, instance.ec2_instance_id, agent_gone=True)
        connect = partial(ecs.connect_agent, instance.ec2_instance_id, connected=True)
        self._disconnect(instance, connect)
        seconds = self.random.uniform(*GONE_SECONDS)
        add = partial(self._add, left_over.arn, FORMER_CLUSTER, instance, DENIED)
        self.faults.account.after(seconds, add)

    def _disconnect(self, instance: Instance, come_back: Callable[[], None]) -> None:
        self.faults.account.ecs.connect_agent(instance.ec2_instance_id, connected=False)
        self.faults.account.after(self.random.uniform(*GONE_SECONDS), come_back)

    def _come_back(self, instance: Instance, earlier: ContainerInstance) -> None:
        if not (self.faults.going_on and instance.waits_to_leave):
            self.faults.account.ecs.connect_agent(instance.ec2_instance_id, connected=True)
            return
        register_again(self.faults, instance, self.random)
        kind = self.random.choice([NEVER, REFUSED])
        add = partial(self._add, earlier.arn, earlier.cluster.name, instance, kind)
        self.faults.account.after(self.random.uniform(0.0, SOON_SECONDS_MAX), add)

    def _add(self, arn: str, cluster: str, instance: Instance, kind: str) -> None:
        waits = self.faults.going_on and instance.waits_to_leave
        if not waits or len(self._now()) >= AT_ONCE_MAX:
            return
        ends_at = self.faults.account.now + timedelta(seconds=self.random.uniform(*LASTS_SECONDS))
        self.known.append(Undescribed(arn, cluster, instance.ec2_instance_id, kind, ends_at))

    # What becomes of calls

    def before_call(self, operation: str, parameters: dict[str, Any]) -> None:
        """
        Refuse a description of what is refused or denied.

        Raises:
            ApiError: the call is refused.
        """
        if operation != "DescribeContainerInstances":
            return
        for one in self._now():
            if one.kind in CODES and one.arn in parameters["containerInstances"]:
                self.faults.strike(f"registration {one.kind}", one.arn)
                raise ApiError(CODES[one.kind], "injected: not described")

    def instead(
        self, operation: str, parameters: dict[str, Any], answer: dict[str, Any]
    ) -> dict[str, Any]:
        """List what is not there, and leave out of a description what is never described."""
        never = [one for one in self._now() if one.kind == NEVER]
        if never and operation == "ListContainerInstances":
            return {**answer, **self._listed(never, parameters, answer)}
        if never and operation == "DescribeContainerInstances":
            return {**answer, **self._without(never, parameters, answer)}
        return answer

    def _listed(
        self, never: list[Undescribed], parameters: dict[str, Any], answer: dict[str, Any]
    ) -> dict[str, Any]:
        cluster = known_cluster(self.faults.account.ecs, parameters.get("cluster"))
        asked, arns = parameters.get("filter", ""), answer["containerInstanceArns"]
        more = [
            one.arn
            for one in never
            if cluster is not None
            and one.cluster == cluster.name
            and one.ec2_instance_id in asked
            and one.arn not in arns
        ]
        return {"containerInstanceArns": [*arns, *more]}

    def _without(
        self, never: list[Undescribed], parameters: dict[str, Any], answer: dict[str, Any]
    ) -> dict[str, Any]:
        lacked = [one.arn for one in never if one.arn in parameters["containerInstances"]]
        if not lacked:
            return {}
        self.faults.strike(f"registration {NEVER}", lacked[0])
        failed = {row["arn"] for row in answer["failures"]}
        rows = answer["containerInstances"]
        return {
            "containerInstances": [r for r in rows if r["containerInstanceArn"] not in lacked],
            "failures": [
                *answer["failures"],
                *({"arn": arn, "reason": "MISSING"} for arn in lacked if arn not in failed),
            ],
        }
