"""
What came of a drain: what was released early, how late the answers were, and what it took.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from drainer.cli.bench.drains import Scene
from drainer.cli.bench.meter import MODIFY, READ
from drainer.cli.bench.prices import money

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from drainer.cli.bench.drains import Drain
    from drainer.cli.bench.prices import Item


@dataclass(frozen=True, slots=True)
class Bill:
    """
    What a subject is billed for one run.

    Attributes:
        counts: by what is paid for.
        gigabyte_seconds: of its function.
    """

    counts: dict[Item, float]
    gigabyte_seconds: float


@dataclass(frozen=True, slots=True)
class Subject:
    """
    Something that drains.

    Attributes:
        name: what it is called on the command line and in the table.
        run: drains a scene, and says what is billed and how many throttles reached the program.
    """

    name: str
    run: Callable[[Scene], tuple[Bill, int]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    Figures of one or more runs of the same drain.

    Attributes:
        alive: tasks that still ran on instances when these were released, of all runs.
        early: instances released with such tasks, of all runs.
        timed_out: instances whose hook got no answer before its timeout, of all runs.
        lags: seconds from an instance's last task to its answer, where it was not released early.
        last_seconds: from the last task of all to the last answer; the worst run's.
        seconds: from the beginning to the last answer.
        reads: of ECS's bucket for reads, for each drain.
        modifies: the same of its bucket for changes.
        others: calls of other services, for each drain.
        reads_per_second: the most in one second.
        throttles: refused calls of all runs; `reached` of them ended a call of the program.
        dollars: for one thousand drains.
        metrics: how many custom metrics were sent.
    """

    subject: str
    drain: Drain
    runs: int
    alive: int
    early: int
    timed_out: int
    lags: tuple[float, ...]
    last_seconds: float | None
    seconds: float
    reads: float
    modifies: float
    others: float
    reads_per_second: int
    modifies_per_second: int
    throttles: int
    reached: int
    invocations: float
    concurrency: int
    gigabyte_seconds: float
    messages: float
    dollars: dict[Item, float] = field(default_factory=dict)
    metrics: int = 0
    cpu_seconds: float = 0.0

    @property
    def ecs_calls(self) -> float:
        """All of ECS's, for each drain."""
        return self.reads + self.modifies

    def lag(self, share: float) -> float | None:
        """Return a quantile of the lags; None if every instance was released early."""
        if not self.lags:
            return None
        return sorted(self.lags)[min(len(self.lags) - 1, int(share * len(self.lags)))]


def measure(subject: Subject, drain: Drain, runs: int) -> Outcome:
    """Run a drain with a subject, and sum up."""
    began = time.process_time()
    results = [_run(subject, Scene(drain, seed)) for seed in range(runs)]
    drains = runs * drain.instances
    lasts = [one.last for one in results if one.last is not None]
    meters = [one.scene.meter for one in results]
    counts: dict[Item, float] = {}
    for one in results:
        for item, count in one.bill.counts.items():
            counts[item] = counts.get(item, 0.0) + count * 1_000 / drains
    return Outcome(
        subject=subject.name,
        drain=drain,
        runs=runs,
        alive=sum(one.alive for one in results),
        early=sum(one.early for one in results),
        timed_out=sum(one.timed_out for one in results),
        lags=tuple(lag for one in results for lag in one.lags),
        last_seconds=max(lasts, default=None),
        seconds=max(one.seconds for one in results),
        reads=sum(meter.ecs[READ] for meter in meters) / drains,
        modifies=sum(meter.ecs.total() - meter.ecs[READ] for meter in meters) / drains,
        others=sum(meter.others.total() for meter in meters) / drains,
        reads_per_second=max(meter.worst_second(READ) for meter in meters),
        modifies_per_second=max(meter.worst_second(MODIFY) for meter in meters),
        throttles=sum(one.scene.quotas.throttled.total() for one in results),
        reached=sum(one.reached for one in results),
        invocations=sum(len(meter.invocations) for meter in meters) / drains,
        concurrency=max(meter.concurrency() for meter in meters),
        gigabyte_seconds=sum(one.bill.gigabyte_seconds for one in results) / drains,
        messages=sum(meter.published for meter in meters) / drains,
        dollars=money(counts),
        metrics=len(set().union(*(meter.metrics for meter in meters))),
        cpu_seconds=time.process_time() - began,
    )


@dataclass(frozen=True, slots=True)
class _Result:
    scene: Scene
    bill: Bill
    reached: int
    alive: int
    early: int
    timed_out: int
    lags: Sequence[float]
    last: float | None
    seconds: float


def _run(subject: Subject, scene: Scene) -> _Result:
    bill, reached = subject.run(scene)
    account = scene.account
    ended: dict[str, datetime] = {}
    for fact in account.facts("task", last_status="STOPPED"):
        ended[fact.about["ec2_instance_id"]] = fact.at
    remaining = {
        fact.about["ec2_instance_id"]: len(fact.about["remaining"])
        for fact in account.facts("released")
    }
    answers = {
        fact.about["ec2_instance_id"]: scene.meter.answered_at.get(
            fact.about["ec2_instance_id"], fact.at
        )
        for fact in account.facts("answered")
    }
    answers = {one: at for one, at in answers.items() if not remaining.get(one) and one in ended}
    lags = [(at - ended[one]).total_seconds() for one, at in answers.items()]
    last = None
    if answers:
        last_task = max(ended[one] for one in answers)
        last = (max(answers.values()) - last_task).total_seconds()
    began_at = min(fact.at for fact in account.facts("hook_opened"))
    return _Result(
        scene,
        bill,
        reached,
        alive=sum(remaining.values()),
        timed_out=len(account.facts("answered", ended_by="timeout")),
        early=sum(count > 0 for count in remaining.values()),
        lags=lags,
        last=last,
        seconds=(account.now - began_at).total_seconds(),
    )
