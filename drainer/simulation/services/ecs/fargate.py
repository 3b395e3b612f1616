"""
Where Fargate runs tasks: each on a machine of its own, by the service's capacity providers.

https://docs.aws.amazon.com/AmazonECS/latest/developerguide/fargate-capacity-providers.html
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from drainer.simulation.services.ecs.model import ContainerInstance

if TYPE_CHECKING:
    from drainer.simulation.account import Account
    from drainer.simulation.services.ecs.model import Cluster, Service


def machine(account: Account, cluster: Cluster) -> ContainerInstance:
    """Make the machine of one task; it is no container instance of the cluster's."""
    zone = f"{account.region}a"
    return ContainerInstance("", "", "", cluster, zone, account.now, tasks_max=1)


def capacity_provider_of_next(service: Service) -> str:
    """
    Choose where the next task of a service runs.

    "The base value designates how many tasks, at a minimum, to run on the specified capacity
    provider." "The weight value designates the relative percentage of the total number of tasks
    launched ... [it] is taken into consideration after the base value, if defined, is satisfied."
    https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_CapacityProviderStrategyItem.html
    """
    wanted = [task for task in service.tasks.values() if task.desired_status == "RUNNING"]
    running = Counter(task.capacity_provider for task in wanted)
    for one in service.capacity_providers:
        if running[one.name] < one.base:
            return one.name
    weighted = [one for one in service.capacity_providers if one.weight > 0]
    return min(weighted, key=lambda one: (running[one.name] - one.base + 1) / one.weight).name
