"""The search for the registrations of EC2 instances, over passes, clusters and failures."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from drainer.config import Config
from drainer.drain import machine
from drainer.drain.finder import ACTING_SECONDS, CLUSTERS_SEARCHED_MAX, Finder
from drainer.drain.model import (
    REGISTRATIONS_MAX,
    ContainerInstance,
    Drain,
    LifecycleAction,
    LifecycleActionResult,
    Policy,
    Registration,
    StandaloneTasks,
    Task,
    Waiting,
)
from drainer.drain.sight import Sight
from drainer.errors import ClusterMissingError, MisconfiguredError, UnavailableError
from drainer.invocation import InvocationClock

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from drainer.errors import DrainerError

START = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
ID = "i-0123456789abcdef0"
ACTION = LifecycleAction("payments-asg", "drainer", ID, "t" * 36)
CONFIG = Config("arn:aws:sns:us-east-1:123456789012:drainer")
THROTTLED, DENIED = UnavailableError("Rate exceeded"), MisconfiguredError("AccessDenied")
PASS_SECONDS = 15


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def registration(
    arn: str = "arn-1", status: str = "ACTIVE", *, connected: bool = True, tasks: int = 0
) -> ContainerInstance:
    return ContainerInstance(
        arn, ID, status, agent_connected=connected, running_tasks=tasks, pending_tasks=0
    )


@dataclass
class Ecs:
    """Clusters with container instances; a cluster fails as it is told to."""

    where: dict[str, list[ContainerInstance]] = field(default_factory=dict)
    fails: dict[str, DrainerError] = field(default_factory=dict)
    listing_fails: DrainerError | None = None
    seconds_left: float = 1_000.0
    call_seconds: float = 0.0
    searched: list[str] = field(default_factory=list)

    def clusters(self) -> list[str]:
        if self.listing_fails:
            raise self.listing_fails
        return list(self.where)

    def _ask(self, cluster: str) -> None:
        self.seconds_left -= self.call_seconds
        if cluster in self.fails:
            raise self.fails[cluster]
        if cluster not in self.where:
            raise ClusterMissingError("Cluster not found.")

    def find(self, cluster: str, ec2_instance_ids: Sequence[str]) -> list[str]:
        self.searched.append(cluster)
        self._ask(cluster)
        return [one.arn for one in self.where[cluster] if one.ec2_instance_id in ec2_instance_ids]

    def describe(self, cluster: str, arns: Sequence[str]) -> list[ContainerInstance]:
        if arns:
            self._ask(cluster)
        return [one for one in self.where.get(cluster, ()) if one.arn in arns]

    def task_ids(
        self,
        cluster: str,
        container_instance_arn: str,
        *,
        desired_status: str,
        go_on: Callable[[], bool] | None = None,
    ) -> list[str]:
        raise AssertionError("tasks are not the finder's business")

    def tasks(self, cluster: str, task_ids: Sequence[str]) -> dict[str, Task]:
        raise AssertionError("tasks are not the finder's business")

    def left(self) -> float:
        return self.seconds_left


def drain(cluster: str | None = "payments", **changes: Any) -> Drain:
    policy = Policy(cluster, 3600, LifecycleActionResult.CONTINUE, StandaloneTasks.WAIT, 300)
    new = Drain(ACTION, START, START, deadline_at=at(3600), policy=policy)
    return replace(new, **changes)


@dataclass
class Search:
    """Passes over one drain, each of which begins with what the one before has carried on."""

    ecs: Ecs
    drain: Drain
    clusters: Sequence[str] = ()
    seconds: float = 0
    problems: list[str] = field(default_factory=list)

    def pass_over(self, seconds: float = PASS_SECONDS) -> Sight:
        sight = Sight(self.drain, at(self.seconds), Waiting.YES)
        finder = Finder(self.ecs, self.clusters, InvocationClock(at(self.seconds), self.ecs.left))
        finder.find([sight])
        self.problems += finder.problems
        self.drain = machine.carry_on(
            sight.view(CONFIG), drained_at=None, heartbeat=False, stopped=False
        )
        self.seconds += seconds
        return sight

    def until_settled(self, passes: int) -> list[bool]:
        return [self.pass_over().settled for _ in range(passes)]


def many(count: int) -> dict[str, list[ContainerInstance]]:
    return {f"cluster-{number:04}": [] for number in range(count)}


def phase(sight: Sight) -> machine.Phase:
    return machine.decide(sight.view(CONFIG)).phase


# -- more clusters than a pass may search


def test_an_instance_in_the_last_of_many_clusters_is_found_in_a_later_pass() -> None:
    # In cluster number 101 and beyond it was never set DRAINING, and cut at the deadline.
    ecs = Ecs(many(250))
    ecs.where["cluster-0249"] = [registration()]
    search = Search(ecs, drain(None))

    found = [search.pass_over().registration for _ in range(3)]

    assert found == [Registration.UNSEEN, Registration.UNSEEN, Registration.FOUND]
    assert search.drain.cluster == "cluster-0249"


def test_no_pass_searches_more_clusters_than_it_may_and_none_is_searched_twice() -> None:
    # Each is one read, of which ECS grants the account a hundred at once.
    search = Search(Ecs(many(250)), drain(None))
    counts = []
    for _ in range(3):
        before = len(search.ecs.searched)
        search.pass_over()
        counts.append(len(search.ecs.searched) - before)

    assert counts == [CLUSTERS_SEARCHED_MAX, CLUSTERS_SEARCHED_MAX, 50]
    assert sorted(search.ecs.searched) == sorted(search.ecs.where)


def test_absence_is_only_said_at_the_end_of_a_search_over_all_clusters() -> None:
    # "In none of the first hundred" released what served in the next one.
    search = Search(Ecs(many(101)), drain(None))

    first, last = search.pass_over(), search.pass_over()

    assert (first.registration, first.searched) == (Registration.UNSEEN, False)
    assert (last.registration, last.searched) == (Registration.ABSENT, True)
    assert phase(last) == machine.Phase.BLIND
    assert "searched in turns" in first.reason


def test_absence_is_believed_after_two_searches_that_are_far_enough_apart() -> None:
    search = Search(Ecs({"payments": []}), drain())

    phases = [phase(search.pass_over()) for _ in range(3)]

    assert phases == [machine.Phase.BLIND, machine.Phase.BLIND, machine.Phase.UNREGISTERED]


def test_a_throttle_in_the_middle_keeps_what_was_searched_and_misses_no_cluster() -> None:
    # Beginning anew after each throttle, a search of many clusters never ends; going on behind the
    # cluster that was not read, it releases what serves there.
    ecs = Ecs(many(10), {"cluster-0004": THROTTLED})
    ecs.where["cluster-0004"] = [registration()]
    search = Search(ecs, drain(None))

    first = search.pass_over()
    assert search.drain.searched_to == "cluster-0003"
    assert first.registration == Registration.UNSEEN
    ecs.fails.clear()
    ecs.searched.clear()

    assert search.pass_over().registration == Registration.FOUND
    assert ecs.searched[0] == "cluster-0004"


def test_a_denied_cluster_makes_no_search_sound_over_however_many_passes() -> None:
    # The instance may serve in exactly the cluster that must not be read.
    ecs = Ecs(many(150), {"cluster-0004": DENIED})
    search = Search(ecs, drain(None))

    sights = [search.pass_over() for _ in range(12)]

    assert {one.registration for one in sights} == {Registration.UNSEEN}
    assert not any(one.searched or one.settled for one in sights)
    assert {phase(one) for one in sights} == {machine.Phase.BLIND}


def test_a_denied_cluster_that_may_be_read_again_ends_the_doubt() -> None:
    ecs = Ecs(many(3), {"cluster-0001": DENIED})
    search = Search(ecs, drain(None))
    search.pass_over()
    ecs.fails.clear()

    assert search.pass_over().registration == Registration.ABSENT


def test_a_list_of_clusters_that_cannot_be_read_finds_nothing_absent() -> None:
    for error in (THROTTLED, DENIED):
        sight = Search(Ecs({"payments": []}, listing_fails=error), drain()).pass_over()

        assert sight.registration == Registration.UNSEEN
        assert not sight.searched


def test_a_search_leaves_the_time_that_acting_needs() -> None:
    # Heartbeats of every drain in the batch are missed where a search uses up the invocation.
    ecs = Ecs(many(90), seconds_left=20, call_seconds=0.3)
    search = Search(ecs, drain(None))

    sight = search.pass_over()

    assert ecs.seconds_left >= ACTING_SECONDS - 0.3
    assert sight.registration == Registration.UNSEEN
    assert search.drain.searched_to > ""


def test_a_cluster_that_was_deleted_while_it_was_searched_has_nothing_any_more() -> None:
    ecs = Ecs({"a": [], "b": []}, {"a": ClusterMissingError("Cluster not found.")})

    assert Search(ecs, drain(None)).pass_over().registration == Registration.ABSENT


# -- left-over registrations


LEFT_OVER = registration("arn-old", "ACTIVE", connected=False)
LIVE = registration("arn-live", tasks=3)


@pytest.mark.parametrize("order", [[LEFT_OVER, LIVE], [LIVE, LEFT_OVER]])
def test_a_left_over_registration_beside_the_live_one_is_not_the_one(
    order: list[ContainerInstance],
) -> None:
    # Settled on, it is clear at once: CONTINUE after 31 seconds, with serving tasks.
    sight = Search(Ecs({"payments": order}), drain()).pass_over()

    assert sight.settled
    assert [one.arn for one in sight.candidates] == ["arn-live"]
    assert sight.drain.container_instance_arn == "arn-live"
    assert sight.counted == 3


def test_a_left_over_registration_in_the_named_cluster_does_not_end_the_search() -> None:
    sight = Search(Ecs({"payments": [LEFT_OVER], "search": [LIVE]}), drain()).pass_over()

    assert sight.settled
    assert sight.drain.cluster == "search"
    assert sight.counted == 3


def test_a_left_over_registration_is_not_settled_on_while_one_cluster_could_not_be_read() -> None:
    # One throttled search, and the tasks in the other cluster were cut.
    ecs = Ecs({"payments": [LEFT_OVER], "search": [LIVE]}, {"search": THROTTLED})
    search = Search(ecs, drain())

    assert search.until_settled(10) == [False] * 10
    ecs.fails["search"] = DENIED
    assert search.until_settled(10) == [False] * 10
    ecs.fails.clear()
    assert search.pass_over().drain.cluster == "search"


def test_with_no_agent_connected_anywhere_all_registrations_count_after_two_searches() -> None:
    # The instance may be broken for good; it is released once each of them is clear.
    ecs = Ecs({"payments": [LEFT_OVER], "search": [replace(LIVE, agent_connected=False)]})
    search = Search(ecs, drain())

    settled = search.until_settled(3)
    last = search.pass_over()

    assert settled == [False, False, True]
    assert {one.arn for one in last.candidates} == {"arn-old", "arn-live"}
    assert last.counted == 3
    assert last.settled


def test_an_agent_that_blinks_in_the_first_look_is_not_taken_for_a_left_over() -> None:
    # Agents reconnect several times an hour, for seconds.
    blinking = replace(LIVE, agent_connected=False)
    ecs = Ecs({"payments": [LEFT_OVER, blinking]})
    search = Search(ecs, drain())

    first = search.pass_over()
    ecs.where["payments"] = [LEFT_OVER, LIVE]
    second = search.pass_over()

    assert not first.settled
    assert {one.arn for one in first.candidates} == {"arn-old", "arn-live"}
    assert second.settled
    assert second.drain.container_instance_arn == "arn-live"


def test_what_was_established_of_the_tasks_is_void_once_another_registration_is_found() -> None:
    # A closed set is of the registrations that were known: the new one's tasks are not in it.
    known = drain(
        cluster="payments", container_instance_arn="arn-old", closed=True, listed_at=START,
        searched_at=START, draining_since=START,
    )  # fmt: skip
    ecs = Ecs({"payments": [replace(LEFT_OVER, status="DRAINING")], "search": [LIVE]})

    sight = Search(ecs, known).pass_over()

    assert (sight.drain.closed, sight.drain.listed_at) == (False, None)


def test_a_registration_that_was_known_and_is_gone_is_looked_for_again() -> None:
    # The agent has registered anew, in another cluster: there its tasks are.
    known = drain(cluster="payments", container_instance_arn="arn-gone", settled=True, closed=True)
    ecs = Ecs({"payments": [], "search": [LIVE]})

    sight = Search(ecs, known).pass_over()

    assert sight.drain.container_instance_arn == "arn-live"
    assert not sight.drain.closed


def test_a_known_one_that_cannot_be_described_is_neither_absent_nor_settled() -> None:
    known = drain(cluster="payments", container_instance_arn="arn-live", settled=True)
    for error in (THROTTLED, DENIED):
        sight = Search(Ecs({"payments": [LIVE]}, {"payments": error}), known).pass_over()

        assert sight.registration == Registration.UNSEEN
        assert not sight.settled
        assert phase(sight) == machine.Phase.BLIND


def test_a_deregistered_registration_is_none() -> None:
    # "INACTIVE" ones are described for a while, without tasks: they are clear at once.
    ecs = Ecs({"payments": [registration(status="INACTIVE")]})

    assert Search(ecs, drain()).pass_over().registration == Registration.ABSENT


def test_an_instance_with_more_registrations_than_are_looked_at_is_not_released() -> None:
    crowd = [registration(f"arn-{n:02}", connected=False) for n in range(REGISTRATIONS_MAX + 1)]
    search = Search(Ecs({"payments": crowd}), drain())

    assert search.until_settled(5) == [False] * 5


# -- clusters that are named wrongly


def test_an_instance_that_is_elsewhere_is_drained_there_and_somebody_is_told() -> None:
    search = Search(Ecs({"payments": [], "search": [LIVE]}), drain())
    search.pass_over()

    assert len(search.problems) == 1
    assert "is in cluster search" in search.problems[0]
    assert "name payments" in search.problems[0]


def test_nobody_is_told_of_a_wrong_name_where_none_is_named() -> None:
    # "empty means every cluster": an alarm at ERROR for each drain of a right installation.
    search = Search(Ecs({"payments": [], "search": [LIVE]}), drain(None))
    search.pass_over()

    assert search.problems == []


def test_a_typo_in_a_clusters_name_never_releases() -> None:
    # The cluster that is meant may be one that cannot be told from the typo.
    search = Search(Ecs({"payments": []}), drain("paymnets"))

    phases = {phase(search.pass_over()) for _ in range(5)}

    assert machine.Phase.UNREGISTERED not in phases
