"""
Take the tasks of interrupted container instances out of their target groups, all but the last.

Tasks are listed by instance, in waves: what the first wave has found leaves before the next wave
is looked at, since listing hundreds of instances takes half a minute of ECS's reads.
"""

from __future__ import annotations

from collections import defaultdict, deque
from datetime import timedelta
from typing import TYPE_CHECKING
from zlib import crc32

from drainer.drain.model import InterruptedTargets
from drainer.errors import DrainerError
from drainer.spot.departures import Departures
from drainer.spot.events import Interruption, targets_of, targets_of_task
from drainer.spot.freshness import still_there

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from drainer.config import Config
    from drainer.drain.actions import Ecs
    from drainer.spot.events import Placed, Target, TaskInterruption
    from drainer.spot.patience import Patience
    from drainer.spot.report import InterruptionReport, Service, SpotReads

    # The targets that leave, by target group.
    Leaving = dict[str, list[tuple[InterruptionReport, Target]]]

# A few of these fill one DescribeTasks, which takes a hundred tasks.
# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeTasks.html
WAVE = 25
# Where a listing takes a second and more, what was found does not wait for all of a wave.
WAVE_SECONDS = 5.0
# No listing is begun with less: to act on what was found takes some calls of a second each.
LISTING_RESERVE_SECONDS = 10.0

# A last healthy target answers requests until a replacement does; this much before the end, it
# leaves all the same, for what is under way needs the time.
LAST_LEAVES = timedelta(seconds=60)

# Where calls are throttled, the health of a service with twenty times as many tasks as leave is not
# looked at: the calls that take targets out need what is granted.
SPARED_FROM = 20


class SpotTargets:
    """
    The targets that leave in one invocation.

    Args:
        ecs: To list tasks.
        spot: To find and deregister targets.
        config: The function's settings.
        patience: The time of this invocation.
        began_at: When it began.
    """

    def __init__(
        self,
        ecs: Ecs,
        spot: SpotReads,
        config: Config,
        patience: Patience,
        began_at: datetime,
    ) -> None:
        self._ecs = ecs
        self._spot = spot
        self._config = config
        self._patience = patience
        self._departures = Departures(spot, patience)
        self._began_at = began_at
        self._services: dict[str, dict[str, Service]] = defaultdict(dict)
        self._used: dict[str, set[str]] = defaultdict(set)
        self._running: dict[str, int] = {}
        self._healthy: dict[str, set[Target]] = {}
        self._times: dict[tuple[str, str], tuple[int, int] | None] = {}

    def take_out(self, reports: Sequence[InterruptionReport]) -> None:
        """Take out what runs on interrupted instances, and report what will be late."""
        by_cluster: dict[str, list[tuple[InterruptionReport, str, int]]] = defaultdict(list)
        for report in reports:
            for cluster, arn, running in report.places:
                by_cluster[cluster].append((report, arn, running))
        for cluster, members in by_cluster.items():
            # Elsewhere at each try: what is slow today must not keep the same ones to the last.
            first = crc32(self._began_at.isoformat().encode()) % len(members)
            waiting = deque([*members[first:], *members[:first]])
            for _ in members:
                if waiting:
                    self._act(cluster, self._listed(cluster, waiting))
        for report in reports:
            self._report(report)

    def take_tasks_out(
        self, gone: Sequence[tuple[InterruptionReport, TaskInterruption]], cluster: str
    ) -> None:
        """Take out interrupted tasks of Fargate, whose events say all but the target groups."""
        now = self._patience.now()
        gone = still_there(self._spot, self._patience, cluster, gone, now)
        try:
            self._describe(cluster, {task.service for _, task in gone})
        except DrainerError as error:
            for report, _ in gone:
                report.add_error("The targets were not read", error)
            return
        leaving: Leaving = defaultdict(list)
        for report, task in gone:
            service = self._services[cluster].get(task.service)
            self._used[report.key].add(task.service)
            for balancer in service.load_balancers if service else ():
                leaving[balancer.target_group_arn] += [
                    (report, target) for target in targets_of_task(task, balancer)
                ]
        self._deregister(leaving)
        for report, _ in gone:
            self._report(report)

    def _listed(
        self, cluster: str, waiting: deque[tuple[InterruptionReport, str, int]]
    ) -> dict[str, InterruptionReport]:
        """List the tasks of the next instances; return whose they are, by task."""
        owners: dict[str, InterruptionReport] = {}
        until = self._patience.spent + WAVE_SECONDS
        for _ in range(min(WAVE, len(waiting))):
            if owners and self._patience.spent >= until:
                break
            report, arn, running = waiting.popleft()
            try:
                ids = self._patience.again(
                    lambda arn=arn: self._ecs.task_ids(  # type: ignore[misc]
                        cluster, arn, desired_status="RUNNING"
                    ),
                    patient=True,
                    reserve=LISTING_RESERVE_SECONDS,
                )
            except DrainerError as error:
                report.add_error("The targets were not read", error)
                continue
            owners.update(dict.fromkeys(ids, report))
            # Listings and counts lag by themselves: the lower of the two has not seen a task.
            if len(ids) < running and self._has_another_look(report):
                report.comes_again(f"{len(ids)} tasks are listed, {running} are running")
        return owners

    def _act(self, cluster: str, owners: Mapping[str, InterruptionReport]) -> None:
        """Take out the targets of tasks."""
        try:
            placed = self._patience.again(lambda: self._spot.placed(cluster, list(owners)))
            self._describe(cluster, {task.service for task in placed})
        except DrainerError as error:
            for report in owners.values():
                report.add_error("The targets were not read", error)
            return
        self._deregister(self._leaving(cluster, placed, owners))

    def _has_another_look(self, report: InterruptionReport) -> bool:
        """Whether the event has time to come again, and may wait for that."""
        now = self._patience.now()
        return (
            isinstance(report.interruption, Interruption)
            and report.interruption.ends_at - now > LAST_LEAVES
        )

    def _describe(self, cluster: str, names: set[str]) -> None:
        """Describe the services that this invocation does not know yet."""
        unknown = sorted(names - set(self._services[cluster]))
        if unknown:
            found = self._patience.again(lambda: self._spot.services(cluster, unknown))
            self._services[cluster].update(found)

    def _leaving(
        self, cluster: str, placed: Iterable[Placed], owners: Mapping[str, InterruptionReport]
    ) -> Leaving:
        leaving: Leaving = defaultdict(list)
        for task in placed:
            report = owners[task.task_id]
            service = self._services[cluster].get(task.service)
            self._used[report.key].add(task.service)
            if service is None:
                continue
            for balancer in service.load_balancers:
                self._running[balancer.target_group_arn] = service.running
                leaving[balancer.target_group_arn] += [
                    (report, target) for target in targets_of(task, balancer, report.key)
                ]
        return leaving

    def _deregister(self, leaving: Leaving) -> None:
        if self._config.interrupted_targets == InterruptedTargets.LEAVE:
            return  # ECS does it, in its own time; what is late is reported all the same
        going = {arn: self._without_last(arn, members) for arn, members in leaving.items()}
        self._departures.deregister(going)

    def _without_last(
        self, target_group_arn: str, members: Sequence[tuple[InterruptionReport, Target]]
    ) -> list[tuple[InterruptionReport, Target]]:
        """
        Return the members without the last healthy target of the group, which has yet to stay.

        A task of Fargate is told to stop with its warning, so that it is of no use as the last.
        """
        may_stay = [one for one in members if self._has_another_look(one[0])]
        running = self._running.get(target_group_arn, 0)
        spared = self._patience.was_needed and running > SPARED_FROM * len(members)
        if not may_stay or spared:
            return list(members)
        healthy = self._healthy.get(target_group_arn)
        try:
            if healthy is None:
                healthy = self._patience.again(lambda: self._spot.healthy(target_group_arn))
        except DrainerError as error:
            for report, _ in may_stay:
                report.add_error(f"The target health of {target_group_arn} was not read", error)
            return list(members)
        last = [(report, target) for report, target in may_stay if target in healthy]
        # One look serves all waves: what leaves with this one is not there for the next.
        self._healthy[target_group_arn] = healthy - {target for _, target in members}
        if not last or self._healthy[target_group_arn]:
            return list(members)
        # The one that has the most time is the best to wait with.
        keeping, kept = max(last, key=lambda one: one[0].interruption.ends_at)
        keeping.keeps(target_group_arn)
        self._healthy[target_group_arn] = {kept}
        return [(report, target) for report, target in members if target != kept]

    def _report(self, report: InterruptionReport) -> None:
        """Report services that need longer than there is; a look that fails reports nothing."""
        if self._patience.was_needed or not self._patience.has_time(LISTING_RESERVE_SECONDS):
            return  # the calls are others' to take, and the time is the answer's
        gone = report.interruption
        left_seconds = int((gone.ends_at - self._began_at).total_seconds())
        for name in sorted(self._used[report.key]):
            service = self._services[report.cluster].get(name)
            if service and (report.cluster, name) not in self._times:
                self._times[report.cluster, name] = self._ask_times(service)
            times = self._times.get((report.cluster, name))
            if times is None:
                continue
            delay, stop = times
            if isinstance(gone, Interruption):
                # ECS lets a target drain first, and stops the container then.
                late = delay + stop > left_seconds
            else:
                # The container is told to stop at once, and is killed while its target drains.
                late = delay > min(stop, left_seconds)
            if late:
                report.is_late(name, delay, stop, left_seconds)

    def _ask_times(self, service: Service) -> tuple[int, int] | None:
        """Return a service's deregistration delay and stop timeout."""
        try:
            groups = {b.target_group_arn for b in service.load_balancers}
            delays = [self._spot.deregistration_seconds(group) for group in sorted(groups)]
            stop = self._spot.stop_seconds(service.task_definition)
        except DrainerError:
            return None
        return max(delays, default=0), stop
