"""
Accounts that are large in one respect, as a few seeds have them: what a pass has no time for.

Clusters by the hundred, of which none is named; scores of groups that leave at one instant, with
hooks that are slow to read; hosts of short jobs with thousands of tasks that stopped lately.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Literal

from drainer.simulation.scenario.promises import put_hooks
from drainer.simulation.scenario.stopped_crowd import add_stopped_tasks
from drainer.simulation.services.messaging.call_time import SeededSeconds

if TYPE_CHECKING:
    from drainer.simulation.aws import Aws
    from drainer.simulation.faults.faults import Faults
    from drainer.simulation.scenario.promises import Workload
    from drainer.simulation.services.auto_scaling.model import Group
    from drainer.simulation.services.messaging.call_time import CallTime

Kind = Literal["", "clusters", "groups", "tasks"]
KINDS: tuple[Kind, ...] = ("", "clusters", "groups", "tasks")
WEIGHTS = (88.5, 7.0, 2.5, 2.0)
# More than one pass searches, with a token or without.
CLUSTERS = (405, 460)
GROUPS = (36, 46)
HOSTS = (5, 6)
STOPPED_TASKS = (2_000, 3_000)
# Calls that take so long that those of one pass, for all of them, take longer than an invocation.
STEADY: dict[Kind, dict[str, float]] = {
    "groups": {"DescribeLifecycleHooks": 0.9},
    "tasks": {"ListTasks": 0.35, "DescribeTasks": 0.35},
}
# A hook of so many is not read in each pass.
HEARTBEAT_TIMEOUT_SECONDS = 7_200
# In how many of the seeds with many groups no notification comes through, so that only sweeps find
# them.
UNHEARD_PROBABILITY = 0.8
UNHEARD_SECONDS = 60.0
# How much more than the usual time it takes until all have had their turn.
TURNS_SECONDS: dict[Kind, float] = {"": 0.0, "clusters": 300.0, "groups": 3_000.0, "tasks": 1_200.0}
# Where a pass comes every few minutes, a crowd takes more of them than a seed should.
INTERVAL_SECONDS_MAX = 30


def kind_of(seed: int, workload: Workload) -> Kind:
    """Say in which respect a seed's account is large; in none, most often."""
    (kind,) = Random(f"large {seed}").choices(KINDS, WEIGHTS)
    if workload.pass_interval_seconds > INTERVAL_SECONDS_MAX:
        return ""
    if kind == "clusters":
        workload.environ["DRAINER_CLUSTERS"] = ""
        workload.hooks_name_clusters = False
    return kind


def enlarge(
    kind: Kind, workload: Workload, faults: Faults, topic_arn: str, call_time: CallTime
) -> None:
    """Build what makes the account large."""
    if not kind:
        return
    account, random = workload.account, Random(f"large {kind} {workload.random.random()}")
    faults.strike(f"account of many {kind}")
    if kind == "clusters":
        for number in range(random.randint(*CLUSTERS)):
            # Before those that are used, in the order of their names.
            account.ecs.create_cluster(f"archive-{number:03}")
        return
    if isinstance(call_time.seconds, SeededSeconds):
        call_time.seconds.steady.update(STEADY[kind])
    many = random.randint(*(GROUPS if kind == "groups" else HOSTS))
    groups = [_group(workload, number, topic_arn) for number in range(many)]
    for ec2_instance_id in [one for group in groups for one in group.instances]:
        _occupy(workload, random, ec2_instance_id, crowd=kind == "tasks")
    leaves_after = random.uniform(10, 600)
    account.after(leaves_after, lambda: _leave(account, groups))
    if kind == "groups":
        _be_patient(account)
        if random.random() < UNHEARD_PROBABILITY:
            faults.lose_notifications(leaves_after - 1, leaves_after + UNHEARD_SECONDS)


def _be_patient(account: Aws) -> None:
    hooks = [hook for one in account.auto_scaling.groups.values() for hook in one.hooks.values()]
    for hook in hooks:
        hook.heartbeat_timeout_seconds = HEARTBEAT_TIMEOUT_SECONDS


def _leave(account: Aws, groups: list[Group]) -> None:
    for group in groups:
        if group.name in account.auto_scaling.groups:
            account.auto_scaling.scale_in(group.name)


def _group(workload: Workload, number: int, topic_arn: str) -> Group:
    cluster = workload.clusters[0]
    group = workload.account.auto_scaling.create_group(
        f"one-of-many-{number}", desired=1, cluster=cluster
    )
    put_hooks(workload, group, cluster, topic_arn)
    return group


def _occupy(workload: Workload, random: Random, ec2_instance_id: str, *, crowd: bool) -> None:
    account = workload.account
    seconds = random.uniform(300, 900)
    account.ecs.run_standalone(workload.clusters[0], ec2_instance_id, seconds=seconds)
    instance = account.ecs.container_instance(ec2_instance_id)
    if crowd and instance is not None:
        add_stopped_tasks(account, instance, random.randint(*STOPPED_TASKS))
