"""
What a seed lets happen in an account: clusters, groups, hooks, services, and instances that leave.

It makes no faults; what each hook was promised is noted, for the checkers judge by it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from drainer.simulation.scenario import group_life
from drainer.simulation.scenario.promises import (
    DRAIN_TIMEOUT_SECONDS_MAX,
    DRAIN_TIMEOUT_SECONDS_MIN,
    Promise,
    Workload,
    log_uniform,
    put_hooks,
    result,
    standalone,
)
from drainer.simulation.services.ecs.attributes import taken
from drainer.simulation.services.ecs.definitions import DEAF, NEVER_STOPS, TaskProfile

if TYPE_CHECKING:
    from random import Random

    from drainer.simulation.aws import Aws
    from drainer.simulation.services.auto_scaling.lifecycle import LifecycleAction
    from drainer.simulation.services.auto_scaling.model import Group

# Leaving begins within this time; later drains would only repeat the earlier ones.
LEAVING_SECONDS = 900.0
# The passes of one drain that a seed may take, on average: what keeps thousands of seeds cheap.
PASSES_OF_A_DRAIN = 60
# Custom attributes that a group's agents set; a container instance can have ten.
ATTRIBUTES_TAKEN = (0, 0, 0, 0, 0, 0, 3, 8, 9, 10)
# How often a job is placed on an instance that begins to leave, before it is DRAINING: queues and
# schedules place them all the time, and nowhere more than where nothing else runs.
LATE_JOB_SHARE = 0.2
LATE_JOB_SECONDS = (30.0, 900.0)
RUNS_JOBS_SHARE = 0.15
OFTEN = 0.8
SHORT_DRAIN_TIMEOUT_SECONDS = 600
PASS_INTERVALS = (5, 10, 15, 15, 15, 30, 60, 120, 240)
PERCENTS = ((100, 200), (100, 200), (50, 100), (0, 100), (50, 150), (100, 150), (100, 100))


def choose(account: Aws, random: Random) -> Workload:
    """Choose what must be known before the drainer is installed."""
    runs_jobs = random.random() < RUNS_JOBS_SHARE
    timeout_max = SHORT_DRAIN_TIMEOUT_SECONDS if runs_jobs else DRAIN_TIMEOUT_SECONDS_MAX
    timeout_seconds = log_uniform(random, DRAIN_TIMEOUT_SECONDS_MIN, timeout_max)
    least = timeout_seconds / PASSES_OF_A_DRAIN / 2
    intervals = PASS_INTERVALS[:1] if runs_jobs else PASS_INTERVALS
    interval = random.choice([i for i in intervals if i >= least] or [PASS_INTERVALS[-1]])
    clusters = ["payments", "orders"][: 1 + (random.random() < 0.3)]
    defaults = Promise(
        ours=True,
        drain_timeout_seconds=log_uniform(random, 120, timeout_seconds),
        deadline_result=result(random),
        standalone_tasks=standalone(random),
        standalone_grace_seconds=random.choice([0, 60, 300]),
    )
    named = random.choices([",".join(clusters), "", "no-such-cluster"], weights=[70, 20, 10])[0]
    environ = {
        "DRAINER_CLUSTERS": named,
        "DRAINER_DRAIN_TIMEOUT_SECONDS": str(defaults.drain_timeout_seconds),
        "DRAINER_DEADLINE_RESULT": defaults.deadline_result,
        "DRAINER_STANDALONE_TASKS": defaults.standalone_tasks,
        "DRAINER_STANDALONE_GRACE_SECONDS": str(defaults.standalone_grace_seconds),
    }
    return Workload(
        account, random, interval, environ, defaults, clusters=clusters, runs_jobs=runs_jobs
    )


def begin(workload: Workload, topic_arn: str) -> None:
    """Build the account and enter what will leave in its timetable."""
    random, account = workload.random, workload.account
    for cluster in workload.clusters:
        account.ecs.create_cluster(cluster)
    group_life.attend(workload)
    groups = [_group(workload, 0, workload.clusters[0], topic_arn)]
    if len(workload.clusters) > 1 or random.random() < 0.15:
        groups.append(_group(workload, 1, workload.clusters[-1], topic_arn))
    for cluster in workload.clusters:
        _tasks(workload, cluster)
    for group in groups:
        for _ in range(random.choice([1, 1, 1, 2])):
            count = random.randint(1, max(1, min(4, len(group.instances))))
            account.after(
                random.uniform(1, LEAVING_SECONDS) ** random.choice([1.0, 0.6]),
                lambda group=group, count=count: _leave(workload, group, count),  # type: ignore[misc]
            )


def _group(workload: Workload, number: int, cluster: str, topic_arn: str) -> Group:
    random, account = workload.random, workload.account
    group = account.auto_scaling.create_group(
        f"group-{number}",
        desired=random.choice([1, 1, 2, 2, 3, 4, random.randint(5, 12)]),
        cluster=cluster if random.random() < 0.97 else None,
        maximum=40,
        launch_seconds=random.uniform(30, 240),
        retain_on_abandon=random.random() < 0.2,
        tasks_max=random.choice([None, None, 3, 6]),
        attributes=taken(random.choice(ATTRIBUTES_TAKEN)),
    )
    put_hooks(workload, group, cluster, topic_arn)
    group_life.enrich(workload, group, topic_arn)
    return group


def _tasks(workload: Workload, cluster: str) -> None:
    random, ecs = workload.random, workload.account.ecs
    if workload.runs_jobs:
        return  # they are placed when instances leave
    instances = [*ecs.clusters[cluster].by_ec2_instance_id]
    for number in range(random.choice([0, 1, 1, 1, 2])):
        minimum, maximum = random.choice(PERCENTS)
        ecs.create_service(
            cluster,
            f"web-{number}",
            desired=random.randint(1, max(2, min(8, 2 * len(instances)))),
            minimum_healthy_percent=minimum,
            maximum_percent=maximum,
            deregistration_delay_seconds=random.choice([None, 0.0, 30.0, 120.0, 300.0, 600.0]),
            profile=_profile(random),
        )
    if random.random() < 0.3:
        ecs.create_daemon(cluster, "agent")
    lasting = [random.choice(instances) for _ in range(random.choice([0, 0, 0, 1, 2])) if instances]
    for instance in lasting:
        seconds = random.choice([None, random.uniform(60, 4_000)])
        ecs.run_standalone(cluster, instance, seconds=seconds)
    if random.random() < 0.1:
        # Every drain here lasts until its deadline.
        for instance in instances:
            ecs.run_standalone(cluster, instance, family="report", seconds=None)


def _profile(random: Random) -> TaskProfile:
    if random.random() < 0.02:
        return NEVER_STOPS
    if random.random() < 0.08:
        return replace(DEAF, start_seconds=random.uniform(2, 60))
    return TaskProfile(
        start_seconds=random.uniform(2, 60),
        activate_seconds=random.choice([0.0, 0.0, 20.0]),
        healthy_after_seconds=random.choice([0.0, 50.0, 50.0, random.uniform(60, 900)]),
        stop_seconds=random.uniform(1, 90),
        stop_timeout_seconds=random.choice([30.0, 120.0]),
        network_mode=random.choice(["bridge", "awsvpc"]),
    )


def _leave(workload: Workload, group: Group, count: int) -> None:
    random, scaling = workload.random, workload.account.auto_scaling
    serving = [one for one in group.instances.values() if one.lifecycle_state == "InService"]
    if group.name not in scaling.groups or not serving:
        return
    if random.random() < 0.5:
        leaving = scaling.scale_in(group.name, min(count, len(serving)))
    else:
        leaving = serving[:count]
        for instance in leaving:
            scaling.terminate(instance, decrement=False)
    for instance in leaving:
        if random.random() < (OFTEN if workload.runs_jobs else LATE_JOB_SHARE):
            _run_late_job(workload, instance.ec2_instance_id)
        for action in instance.actions:
            if not workload.promise(action).ours:
                _owner_answers(workload, action)


def _run_late_job(workload: Workload, ec2_instance_id: str) -> None:
    """Run a job on an instance that leaves and is ACTIVE still; answers may show it late."""
    ecs, random = workload.account.ecs, workload.random
    container_instance = ecs.container_instance(ec2_instance_id)
    if container_instance is not None and container_instance.status == "ACTIVE":
        seconds = random.uniform(*LATE_JOB_SECONDS)
        cluster = container_instance.cluster.name
        ecs.run_standalone(cluster, ec2_instance_id, seconds=seconds, already_running=False)


def _owner_answers(workload: Workload, action: LifecycleAction) -> None:
    """Let the owner of a foreign hook answer it, sooner or later."""
    lifecycle = workload.account.auto_scaling.lifecycle
    workload.account.after(
        workload.random.uniform(5, 1_200),
        lambda: lifecycle.end(action, "CONTINUE", "owner"),
    )
