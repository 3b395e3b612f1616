"""
Find what Spot interrupts and set it DRAINING, a hundred instances with one search.

The cheapest reads come first. A registration whose agent is disconnected is set DRAINING like any
other, and ends no search: it may be left over from another cluster.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from drainer.drain.actions import TOGETHER_MAX
from drainer.errors import (
    ClusterMissingError,
    DrainerError,
    MisconfiguredError,
    RefusedError,
    UnavailableError,
)
from drainer.spot.events import Interruption
from drainer.spot.marks import may_return

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

    from drainer.config import Config
    from drainer.drain.actions import Ecs
    from drainer.drain.model import ContainerInstance, Hook
    from drainer.spot.marks import SpotMarks
    from drainer.spot.memory import Recollection
    from drainer.spot.patience import Patience
    from drainer.spot.report import InterruptionReport

# A search costs one read in each cluster, of which ECS grants the account 100 at once and 20 a
# second. More clusters take longer than an invocation, and the reads of everybody else.
# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/request-throttling.html
CLUSTERS_MAX = 300

# Each group costs one read of Auto Scaling, whose limit is not published. Interrupted instances
# of more groups than these at once are looked for in all clusters.
GROUPS_MAX = 10

# A call that is not answered may take 15 s (drainer.aws); a search of all clusters serves as well.
HOOKS_SECONDS = 5.0


class AutoScalingReads(Protocol):
    """What is asked of Auto Scaling; every method may raise a DrainerError."""

    def lifecycle_states(self, ec2_instance_ids: Sequence[str]) -> dict[str, tuple[str, str]]:
        """Return group name and lifecycle state of each instance that is in a group."""

    def lifecycle_hooks(self, auto_scaling_group_name: str) -> dict[str, Hook]:
        """Return the group's hooks by name."""


class SpotDraining:
    """
    The search of one invocation.

    Args:
        auto_scaling: To learn the clusters from the hooks of the instances' groups.
        ecs: To find container instances and set them DRAINING.
        config: The function's settings.
        marks: Writes attributes on what may return.
        memory: What the warm function remembers.
        patience: The time of this invocation.
        now: When it began.
    """

    def __init__(
        self,
        auto_scaling: AutoScalingReads,
        ecs: Ecs,
        config: Config,
        *,
        marks: SpotMarks,
        memory: Recollection,
        patience: Patience,
        now: datetime,
    ) -> None:
        self._auto_scaling = auto_scaling
        self._ecs = ecs
        self._config = config
        self._marks = marks
        self._memory = memory
        self._patience = patience
        self._now = now
        self._asked: set[str] = set()
        # What could not be searched and why, by cluster.
        self._failures: dict[str, DrainerError] = {}

    def run(self, reports: Sequence[InterruptionReport]) -> None:
        """Search for each instance until a registration with a connected agent is found."""
        sought = {}
        for report in reports:
            if not self._memory.is_absent(report.key, _action(report), self._now):
                sought[report.key] = report
        configured = list(self._config.clusters)
        alone = configured if len(configured) == 1 else []
        self._look_in(alone, sought, named=True)
        self._look_in(self._memory.clusters(self._now), sought, named=False)
        of_hooks, unknown = self._of_hooks(sought)
        self._look_in(of_hooks, sought, named=True)
        self._look_in(configured, sought, named=True)
        # An instance with a hook of the drainer, or perhaps with one, is in some cluster. So may be
        # one whose cluster's name is wrong, and the connected registration of one that was found
        # disconnected.
        mistaken = any(isinstance(e, ClusterMissingError) for e in self._failures.values())
        stale = any(report.places for report in sought.values())
        if not configured or of_hooks or unknown or mistaken or stale:
            self._look_everywhere(sought)
        for ec2_instance_id, report in sought.items():
            self._give_up(ec2_instance_id, report)

    def _give_up(self, ec2_instance_id: str, report: InterruptionReport) -> None:
        for cluster, error in self._failures.items():
            # For an instance that was found disconnected, only a search that may yet succeed is
            # reported.
            if not report.places or isinstance(error, UnavailableError):
                report.add_error(f"The search of {cluster} failed", error)
        if not self._failures and not report.places:
            # An instance that was not found at a recommendation may be registered when Spot takes
            # it, soon after.
            self._memory.remember_absent(ec2_instance_id, _action(report), self._now)

    def _look_everywhere(self, sought: dict[str, InterruptionReport]) -> None:
        if not sought:
            return
        try:
            clusters = self._patience.again(self._ecs.clusters)
        except DrainerError as error:
            self._failures["all clusters"] = error
            return
        self._look_in(clusters[:CLUSTERS_MAX], sought, named=False)
        if sought and len(clusters) > CLUSTERS_MAX:
            message = f"{len(clusters)} clusters exist, {CLUSTERS_MAX} are searched"
            self._failures["all clusters"] = MisconfiguredError(message)

    def _look_in(
        self, clusters: Iterable[str], sought: dict[str, InterruptionReport], *, named: bool
    ) -> None:
        for cluster in clusters:
            short = cluster.rpartition("/")[2]
            if not sought or short in self._asked:
                continue
            self._asked.add(short)
            try:
                self._look(cluster, sought)
            except UnavailableError as error:
                self._failures[cluster] = error
            except DrainerError as error:
                # A role that may not see a cluster which is not named is meant not to.
                if named:
                    self._failures[cluster] = error

    def _look(self, cluster: str, sought: dict[str, InterruptionReport]) -> None:
        """Search one cluster, set DRAINING what is found, and only then see what it is."""
        ids = list(sought)
        arns = self._patience.again(lambda: self._ecs.find(cluster, ids))
        if not arns:
            return
        described: list[ContainerInstance] = []
        if any(map(may_return, sought.values())):
            described = self._describe(cluster, arns)
            self._marks.record(cluster, described, sought)
        results = self._set_draining(cluster, arns)
        described = described or self._describe(cluster, arns)
        self._memory.remember_cluster(cluster, self._now)
        for instance in described:
            report = sought.get(instance.ec2_instance_id)
            if report is None or instance.status == "INACTIVE":
                continue
            report.places.append((cluster, instance.arn, instance.running_tasks))
            report.cluster = cluster if instance.agent_connected else report.cluster or cluster
            failure = results.get(instance.arn)
            if failure is None:
                report.drained = True
            else:
                report.add_error("DRAINING was not set", failure)
        for instance in described:
            if instance.agent_connected and instance.status != "INACTIVE":
                sought.pop(instance.ec2_instance_id, None)

    def _describe(self, cluster: str, arns: Sequence[str]) -> list[ContainerInstance]:
        return self._patience.again(lambda: self._ecs.describe(cluster, arns))

    def _set_draining(self, cluster: str, arns: Sequence[str]) -> dict[str, DrainerError | str]:
        """Set container instances DRAINING; return what failed by ARN."""
        failed: dict[str, DrainerError | str] = {}
        for start in range(0, len(arns), TOGETHER_MAX):
            failed.update(self._set_ten(cluster, arns[start : start + TOGETHER_MAX]))
        return failed

    def _set_ten(self, cluster: str, unit: Sequence[str]) -> dict[str, DrainerError | str]:
        try:
            refused = self._patience.again(lambda: self._ecs.set_draining(cluster, unit))
        except RefusedError as error:
            if len(unit) == 1:
                return {unit[0]: error}
            # One that is being deregistered must not keep nine others ACTIVE.
            alone = [self._set_ten(cluster, [arn]) for arn in unit]
            return {arn: failure for one in alone for arn, failure in one.items()}
        except DrainerError as error:
            return dict.fromkeys(unit, error)
        return dict(refused)

    def _of_hooks(self, sought: dict[str, InterruptionReport]) -> tuple[list[str], bool]:
        """Return what the hooks of the instances' groups name, and whether some were not read."""
        if not sought:
            return [], False
        try:
            # One try: a search of all clusters serves as well, and sooner.
            until = self._patience.spent + HOOKS_SECONDS
            states = self._auto_scaling.lifecycle_states(list(sought))
            groups = sorted({group for group, _ in states.values()})
            asked, named = 0, set[str]()
            for group in groups[:GROUPS_MAX]:
                if self._patience.spent < until:
                    asked += 1
                    named.update(self._named_by(group))
        except DrainerError:
            # Not reported: all clusters are searched instead, and other passes name the error.
            return [], True
        return sorted(named), len(groups) > asked

    def _named_by(self, auto_scaling_group_name: str) -> Iterator[str]:
        for hook in self._auto_scaling.lifecycle_hooks(auto_scaling_group_name).values():
            policy, _ = self._config.policy(hook.notification_metadata)
            if hook.notification_target_arn == self._config.topic_arn and policy.cluster:
                yield policy.cluster


def _action(report: InterruptionReport) -> str:
    """Return what Spot does with the instance; empty for an event of another kind."""
    return report.interruption.action if isinstance(report.interruption, Interruption) else ""
