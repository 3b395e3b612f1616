"""
What a seed lets CloudFormation ask for: fleets that are guarded, and stacks that change.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from drainer.simulation.scenario.stack_operations import Asked, StackOperations
from drainer.simulation.services.ecs.definitions import NEVER_STOPS, TaskProfile

if TYPE_CHECKING:
    from datetime import datetime
    from random import Random

    from drainer.simulation.aws import Aws
    from drainer.simulation.scenario.installation import Installation
    from drainer.simulation.scenario.stack_operations import Story
    from drainer.simulation.services.cloudformation.custom_resource import CustomResourceRequest
    from drainer.simulation.services.ec2.spot_fleet_model import Fleet

CLUSTER = "payments"
# Faults may last until then, and a request may be sent until then; what remains of the hour is
# enough for a deadline, a lost chain and a sweep.
CEASED_SECONDS = 1_500.0
# What a request cannot do without: denied while the permissions of a new role spread.
# "... can take several minutes": https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot.html
SPREADING = (
    "DescribeClusters",
    "DescribeSpotFleetInstances",
    "DescribeSpotFleetInstances",
    "DescribeStacks",
    "ListContainerInstances",
    "ListStackResources",
)
SPREADING_SECONDS_MAX = 200.0
# How long what was made is not found: shorter than what production waits before it takes it for
# true.
YOUTHS = (0.0, 0.0, 1.0, 30.0, 100.0)


@dataclass(eq=False)
class RequestStories:
    """
    What is there, and what is asked.

    Attributes:
        alone: the requests of no stack operation.
        operations: what CloudFormation does to stacks.
        visible_at: since when a fleet is found, by its id.
        denied_until: until when an operation is denied.
    """

    account: Aws
    random: Random
    installed: Installation
    alone: list[Asked] = field(default_factory=list)
    operations: list[StackOperations] = field(default_factory=list)
    visible_at: dict[str, datetime] = field(default_factory=dict)
    denied_until: dict[str, datetime] = field(default_factory=dict)

    @property
    def asked(self) -> list[Asked]:
        """Every request."""
        return [*self.alone, *(one for stack in self.operations for one in stack.asked)]

    def begin(self) -> None:
        """Let there be fleets, tasks and requests."""
        account, random = self.account, self.random
        fleets = [
            account.fleets.create(
                CLUSTER, random.randint(0, 4), type="request", already_running=True
            )
            for _ in range(random.randint(1, 3))
        ]
        account.fleets.create(CLUSTER, 3, type="request", already_running=True)
        account.ecs.create_service(CLUSTER, "web", desired=random.randint(0, 8))
        for fleet in fleets:
            for ec2_instance_id in fleet.ec2_instance_ids:
                if random.random() < 0.3:
                    self._start_job(ec2_instance_id)
            at = random.uniform(0, CEASED_SECONDS)
            begin = self._ask if random.random() < 0.5 else self._operate
            account.after(at, lambda begin=begin, fleet=fleet: begin(fleet))  # type: ignore[misc]

    def _start_job(self, ec2_instance_id: str) -> None:
        seconds = self.random.choice([60.0, 900.0, 2_700.0, None])
        profile = TaskProfile(run_seconds=seconds) if seconds else NEVER_STOPS
        self.account.ecs.run_standalone(CLUSTER, ec2_instance_id, profile=profile)

    def _ask(self, fleet: Fleet) -> None:
        kind: Any = self.random.choice(["Create", "Update", "Delete", "Delete", "Delete"])
        request = self.account.stacks.request(
            kind,
            self._properties(fleet),
            physical_id=fleet.fleet_id,
            stack=f"stack-{fleet.fleet_id[-4:]}",
        )
        self.alone.append(Asked(request, fleet, goes=kind == "Delete"))
        self._spread()
        self.deliver(request)

    def _operate(self, fleet: Fleet) -> None:
        """Let CloudFormation do something to a stack that guards a fleet."""
        random = self.random
        properties = self._properties(fleet)
        stack = StackOperations(
            self.account,
            f"stack-{fleet.fleet_id[-4:]}",
            lambda one: {**properties, "SpotFleet": one.fleet_id},
            self.deliver,
            foreign=random.random() < 0.3,
            expires=random.random() < 0.2,
        )
        self.operations.append(stack)
        self._spread()
        stack.run(self._story(stack, fleet))

    def _spread(self) -> None:
        """Deny something for some minutes, as if the function's role were new."""
        if self.random.random() < 0.5:
            seconds = self.random.uniform(0, SPREADING_SECONDS_MAX)
            until = self.account.now + timedelta(seconds=seconds)
            self.denied_until[self.random.choice(SPREADING)] = until

    def _story(self, stack: StackOperations, fleet: Fleet) -> Story:
        kind = self.random.choice(
            ["adopt", "cancel", "change", "fail", "replace", "replace", "delete"]
        )
        fails = self.random.random() < 0.6
        if kind == "replace":
            stack.foreign = False
            return stack.replace(fleet, self._another, fails=fails)
        if kind == "change":
            return stack.change(fleet, fails=fails)
        if kind == "cancel":
            return stack.cancel(fleet, self.random.choice([0.0, 1.0, 20.0, 300.0]))
        return {"adopt": stack.adopt, "fail": stack.fail_to_create, "delete": stack.delete}[kind](
            fleet
        )

    def _another(self) -> Fleet:
        """Make a fleet that is not found at first."""
        boot_seconds = self.random.choice([2.0, 60.0])
        fleet = self.account.fleets.create(
            CLUSTER, self.random.randint(0, 4), type="request", boot_seconds=boot_seconds
        )
        youth = timedelta(seconds=self.random.choice(YOUTHS))
        self.visible_at[fleet.fleet_id] = self.account.now + youth
        return fleet

    def _properties(self, fleet: Fleet) -> dict[str, Any]:
        random = self.random
        return {
            "Cluster": CLUSTER,
            "SpotFleet": fleet.fleet_id,
            "OnTimeout": random.choice(["SUCCESS", "FAILED"]),
            "DrainTimeoutSeconds": random.choice([300, 900, 3_000]),
            "StandaloneTasks": random.choice(["wait", "stop"]),
            "StandaloneGraceSeconds": 60,
            # Among the properties that arrive, seen in a log: github.com/aws/aws-cdk/issues/30911
            **random.choice([{}, {"ServiceTimeout": 3_600}]),
        }

    def deliver(self, request: CustomResourceRequest) -> None:
        """Send a request by the topic, or to the function; its answer may be refused at first."""
        random = self.random
        if random.random() < 0.2:
            request.refusals = [random.choice([500, 503])] * random.randint(1, 5)
        if random.random() < 0.5:
            request.by_topic(self.installed.topic)
        else:
            request.by_function(self.installed.function)
