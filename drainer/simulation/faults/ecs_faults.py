"""
What makes ECS as unkind in a seed as AWS is: answers that are old, agents that blink, and more.

It lasts for the whole seed: none of it is a fault that ceases, and a drain has to bear it.
"""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from random import Random
from typing import TYPE_CHECKING

from drainer.simulation.scenario.stopped_crowd import add_stopped_tasks
from drainer.simulation.services.ecs.answer_lag import ANSWER_LAG_SECONDS_MAX, AnswerKind

if TYPE_CHECKING:
    from drainer.simulation.faults.faults import Faults
    from drainer.simulation.services.ecs.model import ContainerInstance

# How often answers are old as chance has it, and how often all answers about tasks are so
# permanently, and by as much as any, while container instances are up to date.
ANSWERS_BEHIND_SHARE = 0.75
TASKS_BEHIND_SHARE = 0.15
TASK_ANSWERS: tuple[AnswerKind, ...] = (
    "ListTasks RUNNING",
    "ListTasks STOPPED",
    "DescribeContainerInstances counts",
)
# "As a part of its normal operation the Amazon ECS Agent disconnects and reconnects several times
# per hour." https://aws.amazon.com/blogs/containers/monitoring-the-amazon-ecs-agent/
BLINKING_SHARE = 0.6
BLINKS_PER_HOUR = 4
BLINK_SECONDS = (1.0, 30.0)
LEFT_OVER_SHARE = 0.12
CROWD_SHARE = 0.03
CROWD = (300, 1_500)
PROTECTED_SHARE = 0.06
# "Task-protection, by default, expires after 2 hours".
# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_UpdateTaskProtection.html
PROTECTED_SECONDS = (300.0, 7_200.0)
# Whether a task is in ECS's counters from its placement on, or once it runs: AWS's own words can be
# read either way.
# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ContainerInstance.html
UNCOUNTED_SHARE = 0.25
# The cluster that an agent registers with where none is named.
DEFAULT_CLUSTER = "default"
SECONDS_PER_HOUR = 3_600.0


def install(faults: Faults, chance: Random) -> None:
    """
    Put what the seed chooses into an account that is built already.

    Args:
        faults: the seed's faults; without any, answers are up to date and agents do not blink.
        chance: the seed; what is drawn here takes one number of it, whatever is chosen.
    """
    random = Random(chance.random())
    ecs = faults.account.ecs
    ecs.life.instance_event_at_end = random.random() < 0.5
    if not faults.going_on:
        return
    behind = random.random()
    if behind < ANSWERS_BEHIND_SHARE:
        ecs.lags.vary(random, partial(_tell, faults))
    elif behind < ANSWERS_BEHIND_SHARE + TASKS_BEHIND_SHARE:
        ecs.lags.set(dict.fromkeys(TASK_ANSWERS, ANSWER_LAG_SECONDS_MAX))
        for kind in TASK_ANSWERS:
            _tell(faults, kind, ANSWER_LAG_SECONDS_MAX)
    if random.random() < LEFT_OVER_SHARE:
        _leave_over(faults, random)
    if random.random() < CROWD_SHARE:
        _crowd(faults, random)
    if random.random() < PROTECTED_SHARE:
        _protect(faults, random)
    if random.random() < BLINKING_SHARE:
        _blink_later(faults, random)
    if random.random() < UNCOUNTED_SHARE:
        ecs.counts_starting = False
        faults.strike("starting tasks uncounted")


def _tell(faults: Faults, kind: AnswerKind, seconds: float) -> None:
    faults.strike("ECS view behind", f"{kind} by {seconds:.1f} s")


def _instances(faults: Faults) -> list[ContainerInstance]:
    return [one for one in faults.account.ecs.container_instances if one.agent_connected]


def _leave_over(faults: Faults, random: Random) -> None:
    """Register some EC2 instances once more, with an agent that has long been gone."""
    ecs = faults.account.ecs
    for instance in _instances(faults):
        if random.random() < 0.5:
            names = [*ecs.clusters, DEFAULT_CLUSTER]
            status = random.choice(["ACTIVE", "ACTIVE", "DRAINING"])
            left_over = ecs.register(
                random.choice(names),
                instance.ec2_instance_id,
                status=status,  # type: ignore[arg-type]
                agent_gone=True,
            )
            # Older than the live one, it is also found before it.
            if random.random() < 0.5:
                known = left_over.cluster.by_ec2_instance_id[instance.ec2_instance_id]
                known.insert(0, known.pop())
            faults.strike("registration left over", f"{left_over.arn} {status}")


def _crowd(faults: Faults, random: Random) -> None:
    """Let many tasks have stopped within the hour, on some container instances."""
    for instance in _instances(faults)[:3]:
        count = random.randint(*CROWD)
        faults.strike("crowd of stopped tasks", f"{instance.ec2_instance_id} {count}")
        add_stopped_tasks(faults.account, instance, count)


def _protect(faults: Faults, random: Random) -> None:
    """Protect some service tasks from scale-in."""
    account = faults.account
    for cluster in account.ecs.clusters.values():
        for service in cluster.services.values():
            for task in service.tasks.values():
                if service.strategy == "REPLICA" and random.random() < 0.3:
                    until = account.now + timedelta(seconds=random.uniform(*PROTECTED_SECONDS))
                    faults.strike("task protected from scale-in", task.task_id)
                    account.ecs.protect(task, until)


def _blink_later(faults: Faults, random: Random) -> None:
    rate = BLINKS_PER_HOUR * max(1, len(_instances(faults))) / SECONDS_PER_HOUR
    faults.account.after(random.expovariate(rate), partial(_blink, faults, random))


def _blink(faults: Faults, random: Random) -> None:
    """Disconnect an agent for some seconds."""
    connected = _instances(faults)
    if connected:
        ec2_instance_id = random.choice(connected).ec2_instance_id
        faults.strike("agent blinked", ec2_instance_id)
        connect = partial(faults.account.ecs.connect_agent, ec2_instance_id)
        connect(connected=False)
        faults.account.after(random.uniform(*BLINK_SECONDS), partial(connect, connected=True))
    _blink_later(faults, random)
