"""
Agents that lose their state while their EC2 instance leaves, and register in another cluster.

The earlier registration stays, and no agent is connected to it any more; nothing but a person
deregisters it. Tasks are placed on the new one. The new cluster may be one that neither the hook
nor the settings name. The random numbers are drawn apart from those of the other faults, which
stay as they are in each seed.
https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs-agent-config.html
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from drainer.simulation.faults.mishaps import GONE_SECONDS, place

if TYPE_CHECKING:
    from random import Random

    from drainer.simulation.faults.faults import Faults
    from drainer.simulation.scenario.promises import Workload
    from drainer.simulation.services.auto_scaling.lifecycle import LifecycleAction
    from drainer.simulation.services.auto_scaling.model import Instance

# At how many of our actions agents move: in a fifth of the seeds, at half of them.
SHARES = (0.0, 0.0, 0.0, 0.0, 0.5)
# When in its drain an agent vanishes: the first look has set its container instance DRAINING.
VANISHES_SECONDS = (20.0, 400.0)
# A job that outlasts this, so that the drain waits while its agent is away.
JOB_SECONDS = (600.0, 3_000.0)
# How often ECS learns that what ran before has stopped, and how much later: sooner and later than
# all clusters are searched again and tasks on an earlier registration are waited for.
REPORTED_PROBABILITY = 0.6
REPORTED_SECONDS = (60.0, 1_200.0)
# A cluster that nothing names, beside those of the account.
UNNAMED_CLUSTER = "experiments"
UNNAMED_PROBABILITY = 0.6


@dataclass(eq=False)
class MovedAgents:
    """
    The agents of one seed that register in another cluster, each once.

    Attributes:
        share: at how many of our actions the agent moves.
        moved: the EC2 instances whose agents do.
    """

    faults: Faults
    random: Random
    workload: Workload
    share: float = 0.0
    moved: set[str] = field(default_factory=set)

    def install(self) -> None:
        """Choose how often agents move in this seed, before the first instance leaves."""
        self.share = self.random.choice(SHARES) if self.faults.going_on else 0.0
        if self.share:
            self.faults.account.auto_scaling.on_action.append(self.begun)

    def begun(self, action: LifecycleAction) -> None:
        """Let the agent move of an instance that begins to leave, by chance."""
        random, account = self.random, self.faults.account
        if not self.workload.promise(action).ours or action.ec2_instance_id in self.moved:
            return
        if not self.faults.going_on or random.random() >= self.share:
            return
        self.moved.add(action.ec2_instance_id)
        instance = account.auto_scaling.instances[action.ec2_instance_id]
        there = account.ecs.container_instance(action.ec2_instance_id)
        if there is not None and there.agent_connected:
            seconds = random.uniform(*JOB_SECONDS)
            account.ecs.run_standalone(there.cluster.name, action.ec2_instance_id, seconds=seconds)
            account.after(random.uniform(*VANISHES_SECONDS), partial(self._vanish, instance))

    def _vanish(self, instance: Instance) -> None:
        if self.faults.going_on and instance.waits_to_leave:
            self.faults.account.ecs.connect_agent(instance.ec2_instance_id, connected=False)
            seconds = self.random.uniform(*GONE_SECONDS)
            self.faults.account.after(seconds, partial(self._come_back, instance))

    def _come_back(self, instance: Instance) -> None:
        ecs = self.faults.account.ecs
        earlier = ecs.registrations(instance.ec2_instance_id)
        moves = self.faults.going_on and instance.waits_to_leave
        if not earlier or not moves or ecs.container_instance(instance.ec2_instance_id) is None:
            ecs.connect_agent(instance.ec2_instance_id, connected=True)
            return
        cluster = self._another({one.cluster.name for one in earlier})
        self.faults.strike("agent moved to another cluster", f"{earlier[0].arn} to {cluster}")
        ecs.connect_agent(instance.ec2_instance_id, connected=False)
        for one in earlier:
            one.agent_gone = True
        ecs.register(
            cluster,
            instance.ec2_instance_id,
            availability_zone=instance.availability_zone,
            tasks_max=instance.group.tasks_max,
            attributes=instance.group.attributes,
        )
        place(self.faults, instance, self.random)
        if self.random.random() < REPORTED_PROBABILITY:
            seconds = self.random.uniform(*REPORTED_SECONDS)
            for task in [task for one in earlier for task in one.remaining_tasks()]:
                kill = partial(ecs.life.kill, task, "The agent lost its state")
                self.faults.account.after(seconds, kill)

    def _another(self, known: set[str]) -> str:
        others = sorted(set(self.faults.account.ecs.clusters) - known - {UNNAMED_CLUSTER})
        if not others or self.random.random() < UNNAMED_PROBABILITY:
            return UNNAMED_CLUSTER
        return self.random.choice(others)
