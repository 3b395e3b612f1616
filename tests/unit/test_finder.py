"""The search for the registrations of EC2 instances, over passes, clusters and failures."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from drainer.drain import may_leave
from drainer.drain.ecs_reads import ACTING_SECONDS
from drainer.drain.finder import (
    CLUSTERS_SEARCHED_AGAIN_MAX,
    CLUSTERS_SEARCHED_MAX,
    UNDESCRIBED_MAX,
    Finder,
)
from drainer.drain.look import LEFT_BEHIND_FOR, Look
from drainer.drain.model import (
    REGISTRATIONS_MAX,
    ContainerInstance,
    Drain,
    InstanceProgress,
    LifecycleAction,
    LifecycleActionResult,
    Place,
    Policy,
    StandaloneTasks,
)
from drainer.errors import ClusterMissingError, MisconfiguredError, RefusedError, UnavailableError
from drainer.invocation import InvocationClock
from tests.unit.ecs import UnaskedEcs, container_instance

if TYPE_CHECKING:
    from collections.abc import Sequence
    from enum import StrEnum

    from drainer.errors import DrainerError

START = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
ID = "i-0123456789abcdef0"
ACTION = LifecycleAction("payments-asg", "drainer", ID, "t" * 36)
FOUND, ABSENT, UNSEEN = "found", "absent", "unseen"
THROTTLED, DENIED = UnavailableError("Rate exceeded"), MisconfiguredError("AccessDenied")
PASS_SECONDS = 15


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def registration(
    arn: str = "arn-1", status: str = "ACTIVE", *, connected: bool = True, tasks: int = 0
) -> ContainerInstance:
    return container_instance(arn, ID, status, agent_connected=connected, running_tasks=tasks)


@dataclass
class Ecs(UnaskedEcs):
    """Clusters with container instances; a cluster fails as it is told to."""

    where: dict[str, list[ContainerInstance]] = field(default_factory=dict)
    fails: dict[str, DrainerError] = field(default_factory=dict)
    listing_fails: DrainerError | None = None
    seconds_left: float = 1_000.0
    call_seconds: float = 0.0
    hides: frozenset[str] = frozenset()  # the ARNs that are listed, and MISSING where described
    refuses: frozenset[str] = frozenset()  # the ARNs over which a whole call is refused
    describing_fails: DrainerError | None = None
    searched: list[str] = field(default_factory=list)
    described: list[list[str]] = field(default_factory=list)
    listings: int = 0

    def clusters(self) -> list[str]:
        self.listings += 1
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
        self.described.append(list(arns))
        if arns:
            self._ask(cluster)
        if self.describing_fails:
            raise self.describing_fails
        if self.refuses & set(arns):
            raise RefusedError("InvalidParameterException: not a container instance")
        return [one for one in self.where.get(cluster, ()) if one.arn in {*arns} - self.hides]

    def left(self) -> float:
        return self.seconds_left


def drain(cluster: str | None = "payments", **changes: Any) -> Drain:
    policy = Policy(cluster, 3600, LifecycleActionResult.CONTINUE, StandaloneTasks.WAIT, 300)
    new = Drain(ACTION, START, START, deadline_at=at(3600), policy=policy)
    return replace(new, **changes)


def look_at(drain: Drain, now: datetime) -> Look:
    named = bool(drain.action.lifecycle_action_token)
    return Look(drain.action.ec2_instance_id, drain, now, in_turns=named)


def carried_on(look: Look, drain: Drain) -> Drain:
    known = may_leave.carry_on(look, look.drain, drained_at=None, stopped=False)
    names = [one.name for one in fields(InstanceProgress)]
    return replace(drain, **{name: getattr(known, name) for name in names})


def seen(look: Look) -> str:
    return FOUND if look.registrations else ABSENT if look.absent else UNSEEN


@dataclass
class Search:
    """Passes over one drain, each of which begins with what the one before has carried on."""

    ecs: Ecs
    drain: Drain
    clusters: Sequence[str] = ()
    seconds: float = 0
    problems: list[str] = field(default_factory=list)

    def pass_over(self, seconds: float = PASS_SECONDS) -> Look:
        look = look_at(self.drain, at(self.seconds))
        finder = Finder(self.ecs, self.clusters, InvocationClock(at(self.seconds), self.ecs.left))
        finder.find([look])
        self.problems += finder.problems
        self.drain = carried_on(look, self.drain)
        self.seconds += seconds
        return look

    def until_settled(self, passes: int) -> list[bool]:
        return [self.pass_over().settled for _ in range(passes)]


def many(count: int) -> dict[str, list[ContainerInstance]]:
    return {f"cluster-{number:04}": [] for number in range(count)}


def phase(look: Look) -> StrEnum:
    return may_leave.decide(look).phase


# -- more clusters than a pass may search


def test_an_instance_in_the_last_of_many_clusters_is_found_in_a_later_pass() -> None:
    # In cluster number 101 and beyond it was never set DRAINING, and cut at the deadline.
    ecs = Ecs(many(250))
    ecs.where["cluster-0249"] = [registration()]
    search = Search(ecs, drain(None))

    found = [seen(search.pass_over()) for _ in range(3)]

    assert found == [UNSEEN, UNSEEN, FOUND]
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


def test_what_does_not_say_that_its_search_may_be_spread_is_searched_for_at_once() -> None:
    # A stack's deletion would wait a pass for each hundred clusters of the account.
    ecs, one = Ecs(many(250)), Look("i-1", InstanceProgress(), START)

    Finder(ecs, (), InvocationClock(START, ecs.left)).find([one])

    assert len(ecs.searched) == 250
    assert one.absent


def test_absence_is_only_said_at_the_end_of_a_search_over_all_clusters() -> None:
    # "In none of the first hundred" released what served in the next one.
    search = Search(Ecs(many(101)), drain(None))

    first, last = search.pass_over(), search.pass_over()

    assert (seen(first), first.searched) == (UNSEEN, False)
    assert (seen(last), last.searched) == (ABSENT, True)
    assert phase(last) == may_leave.Phase.UNSEEN
    assert "searched in turns" in first.reason


def test_absence_is_believed_after_two_searches_that_are_far_enough_apart() -> None:
    search = Search(Ecs({"payments": []}), drain())

    phases = [phase(search.pass_over()) for _ in range(3)]

    assert phases == [may_leave.Phase.UNSEEN, may_leave.Phase.UNSEEN, may_leave.Phase.UNREGISTERED]


def test_a_throttle_in_the_middle_keeps_what_was_searched_and_misses_no_cluster() -> None:
    # Beginning again after each throttle, a search of many clusters never ends; going on behind the
    # cluster that was not read, it releases what serves there.
    ecs = Ecs(many(10), {"cluster-0004": THROTTLED})
    ecs.where["cluster-0004"] = [registration()]
    search = Search(ecs, drain(None))

    first = search.pass_over()
    assert search.drain.searched_to == "cluster-0003"
    assert seen(first) == UNSEEN
    ecs.fails.clear()
    ecs.searched.clear()

    assert seen(search.pass_over()) == FOUND
    assert ecs.searched[0] == "cluster-0004"


def test_a_denied_cluster_makes_no_search_sound_over_however_many_passes() -> None:
    # The instance may serve in exactly the cluster that must not be read.
    ecs = Ecs(many(150), {"cluster-0004": DENIED})
    search = Search(ecs, drain(None))

    looks = [search.pass_over() for _ in range(12)]

    assert {seen(one) for one in looks} == {UNSEEN}
    assert not any(one.searched or one.settled for one in looks)
    assert {phase(one) for one in looks} == {may_leave.Phase.UNSEEN}


def test_a_denied_cluster_that_may_be_read_again_ends_the_doubt() -> None:
    ecs = Ecs(many(3), {"cluster-0001": DENIED})
    search = Search(ecs, drain(None))
    search.pass_over()
    ecs.fails.clear()

    assert seen(search.pass_over()) == ABSENT


def test_a_list_of_clusters_that_cannot_be_read_finds_nothing_absent() -> None:
    for error in (THROTTLED, DENIED):
        look = Search(Ecs({"payments": []}, listing_fails=error), drain()).pass_over()

        assert seen(look) == UNSEEN
        assert not look.searched


def test_a_search_leaves_the_time_that_acting_needs() -> None:
    # Heartbeats of every drain in the batch are missed where a search uses up the invocation.
    ecs = Ecs(many(90), seconds_left=20, call_seconds=0.3)
    search = Search(ecs, drain(None))

    look = search.pass_over()

    assert ecs.seconds_left >= ACTING_SECONDS - 0.3
    assert seen(look) == UNSEEN
    assert search.drain.searched_to > ""
    assert look.searched_on


def test_a_cluster_that_was_deleted_while_it_was_searched_has_nothing_any_more() -> None:
    ecs = Ecs({"a": [], "b": []}, {"a": ClusterMissingError("Cluster not found.")})

    assert seen(Search(ecs, drain(None)).pass_over()) == ABSENT


# -- left-over registrations


LEFT_OVER = registration("arn-old", "ACTIVE", connected=False)
LIVE = registration("arn-live", tasks=3)


def test_a_cluster_is_asked_once_by_its_name_and_by_its_arn() -> None:
    # Of two calls one can fail alone: the drain then knew of one registration of two.
    arn = "arn:aws:ecs:us-east-1:123456789012:cluster/payments"
    known = drain(arn, container_instance_arn="arn-live", others=(Place("payments", "arn-old"),))
    ecs = Ecs({"payments": [LEFT_OVER, LIVE], arn: [LEFT_OVER, LIVE]})

    look = Search(ecs, replace(known, cluster=arn)).pass_over()

    assert ecs.described == [["arn-live", "arn-old"]]
    assert {*look.registrations} == {"arn-live", "arn-old"}
    assert look.lacking == ()


LATELY = START - timedelta(minutes=59)


@pytest.mark.parametrize(
    ("registered_at", "changes", "again"),
    [
        pytest.param(LATELY, {}, True, id="it may have lost its state"),
        pytest.param(START - timedelta(hours=2), {}, False, id="it is there for long"),
        pytest.param(None, {}, False, id="ECS does not say since when"),
        pytest.param(LATELY, {"draining_since": None}, False, id="not DRAINING yet"),
        pytest.param(LATELY, {"closed": True}, False, id="all tasks are known"),
        pytest.param(
            LATELY, {"draining_since": START - LEFT_BEHIND_FOR}, False, id="waited for no longer"
        ),
    ],
)
def test_what_was_registered_lately_is_sought_twice(
    registered_at: datetime | None, changes: dict[str, Any], again: bool
) -> None:
    # Seed 761: the listing that found it lacked what its agent was before it lost its state, and
    # the hook was answered over three running tasks.
    live = replace(LIVE, status="DRAINING", registered_at=registered_at)
    known = replace(drain(), cluster="payments", container_instance_arn="arn-live", settled=True)
    known = replace(known, **{"draining_since": START, **changes})
    ecs = Ecs({"payments": [LEFT_OVER, live]})

    look = Search(ecs, known).pass_over()

    assert ecs.searched == ["payments"] * again
    assert ("arn-old" in look.registrations) is again
    assert (look.drain.draining_since is None) is (again or not known.draining_since)


def test_a_second_search_that_fails_leaves_the_look_in_doubt() -> None:
    # Taken for one that found nothing, a throttle would release the instance.
    live = replace(LIVE, status="DRAINING", registered_at=LATELY)
    known = replace(drain(), cluster="payments", container_instance_arn="arn-live", settled=True)
    ecs = Searchless({"payments": [LEFT_OVER, live]})

    look = Search(ecs, replace(known, draining_since=START)).pass_over()

    assert look.in_doubt
    assert "arn-live" in look.registrations


def test_it_is_sought_again_where_it_is_and_not_where_its_hook_says() -> None:
    # The hook names a cluster that may not be read: each pass of an hour was in doubt.
    live = replace(LIVE, status="DRAINING", registered_at=LATELY)
    known = replace(drain("typo"), cluster="payments", container_instance_arn="arn-live")
    known = replace(known, draining_since=START, settled=True)
    ecs = Ecs({"payments": [live]}, {"typo": DENIED})

    look = Search(ecs, known, clusters=("one", "two")).pass_over()

    assert (ecs.searched, look.in_doubt) == (["payments"], False)


def test_the_own_registration_that_one_answer_lacks_is_sought_again_while_no_agent_is_there() -> (
    None
):
    # It was forgotten for the other one, and the instance left over its running job.
    own, other = (registration(arn, connected=False) for arn in ("arn-own", "arn-other"))
    known = drain(None, container_instance_arn="arn-own", others=(Place("web", "arn-other"),))
    known = replace(known, cluster="payments", settled=True, searched_at=START)
    ecs = Hiding({"payments": [own], "web": [other]}, hidden={"arn-own"})
    search = Search(ecs, known)

    assert not search.pass_over().settled
    ecs.hidden.clear()

    assert {*search.pass_over().registrations} == {"arn-own", "arn-other"}


@dataclass
class Hiding(Ecs):
    """Clusters of which answers lack what is hidden."""

    hidden: set[str] = field(default_factory=set)

    def describe(self, cluster: str, arns: Sequence[str]) -> list[ContainerInstance]:
        return [one for one in super().describe(cluster, arns) if one.arn not in self.hidden]

    def find(self, cluster: str, ec2_instance_ids: Sequence[str]) -> list[str]:
        return [one for one in super().find(cluster, ec2_instance_ids) if one not in self.hidden]


def test_the_own_registration_that_one_answer_lacks_begins_nothing_again() -> None:
    # Found again by the listing, it counted as new: the drain began from its first look.
    live = replace(LIVE, status="DRAINING", registered_at=LATELY)
    known = replace(drain(), cluster="payments", container_instance_arn="arn-live", settled=True)
    known = replace(known, draining_since=START, others=(Place("payments", "arn-old"),))
    ecs = Once({"payments": [live, LEFT_OVER]}, hides=frozenset({"arn-live"}))

    look = Search(ecs, known).pass_over()

    assert {*look.registrations} == {"arn-live", "arn-old"}
    assert look.drain.draining_since == START


@dataclass
class Once(Ecs):
    """Clusters of which the first description alone lacks what is hidden."""

    def describe(self, cluster: str, arns: Sequence[str]) -> list[ContainerInstance]:
        answer = super().describe(cluster, arns)
        self.hides = frozenset()
        return answer


@pytest.mark.parametrize(
    ("registered_at", "begins_again"), [(at(90), True), (at(30), False), (None, False)]
)
def test_a_registration_that_is_later_than_draining_begins_a_drain_that_stores_none_again(
    registered_at: datetime | None, begins_again: bool
) -> None:
    # A stack's drain asks by the instance: it was drained at once, five minutes after a
    # registration that is no more was set DRAINING.
    live = replace(LIVE, status="DRAINING", registered_at=registered_at)
    look = look_at(drain(None, draining_since=at(60), closed=True), at(120))
    look.remembers = False

    look.found("payments", live)

    assert (look.drain.draining_since, look.drain.closed) == (
        (None, False) if begins_again else (at(60), True)
    )


def test_a_claimed_cluster_of_the_same_name_is_asked_about_its_own_drain_alone() -> None:
    # One message with the ARN of another account's cluster left all drains of its pass in doubt.
    claimed = "arn:aws:ecs:us-east-1:999999999999:cluster/payments"
    looks = []
    for number, cluster in enumerate([claimed, "payments", "payments"]):
        own = drain(None, container_instance_arn=f"arn-{number}")
        looks.append(Look(f"i-{number}", replace(own, cluster=cluster), START))
    ecs = Ecs({"payments": [of(0), of(1), of(2)]}, {claimed: DENIED})

    found(ecs, *looks)

    assert [look.in_doubt for look in looks] == [True, False, False]


def test_of_too_many_left_overs_those_stay_that_are_known() -> None:
    # A new one in the place of an equal one began the drain again in each pass.
    look = look_at(drain(None, draining_since=START), START)
    for one in (of(9), *crowd()[: REGISTRATIONS_MAX - 1]):
        look.found("payments", one)
    known = {*look.registrations}
    look.drain = replace(look.drain, draining_since=START)

    look.found("payments", of(1, arn="arn-new", agent_connected=False))

    assert {*look.registrations} == known
    assert look.drain.draining_since == START


def test_a_hook_that_names_another_accounts_cluster_does_not_hide_the_own_one() -> None:
    # The agent had registered again in its own cluster, and only the foreign one was searched: the
    # instance was released over what ran there.
    foreign = "arn:aws:ecs:us-east-1:999999999999:cluster/payments"
    one = known(1, **SETTLED)
    one.drain = replace(one.drain, policy=drain(foreign).policy)
    new = replace(of(1), arn="arn-new", running_tasks=3)

    found(Ecs({"payments": [of(1, agent_connected=False), new]}, {foreign: DENIED}), one)

    assert "arn-new" in one.registrations


@pytest.mark.parametrize("ghosts", [1, 2, 3])
def test_what_is_listed_and_not_described_holds_up_its_own_instance_alone(ghosts: int) -> None:
    # One registration that ECS listed and did not describe held up each young neighbour, for as
    # long as it did.
    since = {"settled": True, "draining_since": START}
    looks = [known(number, **since) for number in range(100)]
    live = [of(number, status="DRAINING", registered_at=LATELY) for number in range(100)]
    gone = [of(number, arn=f"arn-ghost-{number}") for number in range(ghosts)]
    ecs = Ecs({"payments": [*live, *gone]}, hides=frozenset(one.arn for one in gone))

    found(ecs, *looks)

    doubted = [look.ec2_instance_id for look in looks if look.in_doubt]
    assert (len(doubted) == ghosts) == (ghosts <= UNDESCRIBED_MAX)
    assert {one.ec2_instance_id for one in gone} <= {*doubted}
    # Each ghost is found with two listings for each halving of a hundred.
    assert len(ecs.searched) <= 1 + 2 * 7 * UNDESCRIBED_MAX


@pytest.mark.parametrize("refused", [1, 2, 3])
def test_what_is_listed_and_refused_is_waited_for_by_its_own_instance_alone(refused: int) -> None:
    # Seed 1060: a job ran on an earlier registration of which ECS refused each description. The
    # instance, whose agent was connected to another one, was released two minutes later.
    since = {"settled": True, "draining_since": START}
    looks = [known(number, **since) for number in range(100)]
    live = [of(number, status="DRAINING", registered_at=LATELY) for number in range(100)]
    earlier = [of(50 * number % 99, arn=f"arn-earlier-{number}") for number in range(refused)]
    ecs = Ecs({"payments": [*live, *earlier]}, refuses=frozenset(one.arn for one in earlier))

    found(ecs, *looks)

    doubted = [look.ec2_instance_id for look in looks if look.in_doubt]
    assert (len(doubted) == refused) == (refused <= UNDESCRIBED_MAX)
    assert {one.ec2_instance_id for one in earlier} <= {*doubted}
    assert len(ecs.searched) <= 1 + 8 * UNDESCRIBED_MAX


@pytest.mark.parametrize("listings", [2, 3, 5])
def test_where_listings_contradict_each_other_what_is_refused_may_be_of_each_instance(
    listings: int,
) -> None:
    # The instance that it belongs to would be released by one listing that lacks it.
    since = {"settled": True, "draining_since": START}
    looks = [known(number, **since) for number in range(8)]
    live = [of(number, status="DRAINING", registered_at=LATELY) for number in range(8)]
    earlier = of(0, arn="arn-earlier")
    ecs = Forgetful({"payments": [*live, earlier]}, refuses=frozenset({earlier.arn}))
    ecs.forgets, ecs.forgets_at = earlier.arn, listings

    found(ecs, *looks)

    assert looks[0].in_doubt


@dataclass
class Forgetful(Ecs):
    """Clusters of which one listing lacks a container instance."""

    forgets: str = ""
    forgets_at: int = 0

    def find(self, cluster: str, ec2_instance_ids: Sequence[str]) -> list[str]:
        arns = super().find(cluster, ec2_instance_ids)
        lacks = self.forgets if len(self.searched) == self.forgets_at else ""
        return [arn for arn in arns if arn != lacks]


class Searchless(Ecs):
    """Clusters that are described, and not searched."""

    def find(self, cluster: str, ec2_instance_ids: Sequence[str]) -> list[str]:
        raise THROTTLED


def test_what_is_described_as_inactive_is_not_lacking() -> None:
    # It has been deregistered: to wait for it would take five minutes of each such drain.
    others = (Place("payments", "arn-old"), Place("payments", "arn-unseen"))
    inactive = registration("arn-old", "INACTIVE", connected=False)
    known = replace(drain(), cluster="payments", container_instance_arn="arn-live", others=others)

    look = Search(Ecs({"payments": [inactive, LIVE]}), known).pass_over()

    assert look.lacking == (Place("payments", "arn-unseen"),)


@pytest.mark.parametrize("connected", [True, False])
def test_a_registration_that_failed_counts_as_draining(connected: bool) -> None:
    # It is in no other status until its instance is terminated, which waited for it.
    failed = registration("arn-1", "REGISTRATION_FAILED", connected=connected)

    look = Search(Ecs({"payments": [failed]}), drain()).pass_over()

    assert look.status == "DRAINING"


@pytest.mark.parametrize("order", [[LEFT_OVER, LIVE], [LIVE, LEFT_OVER]])
def test_a_left_over_registration_beside_the_live_one_is_not_the_one(
    order: list[ContainerInstance],
) -> None:
    # Settled on, it is clear at once: CONTINUE after 31 seconds, with serving tasks.
    look = Search(Ecs({"payments": order}), drain()).pass_over()

    assert look.settled
    assert [one.arn for one in look.candidates] == ["arn-live"]
    assert look.drain.container_instance_arn == "arn-live"
    assert look.counted == 3


def test_a_left_over_registration_in_the_named_cluster_does_not_end_the_search() -> None:
    look = Search(Ecs({"payments": [LEFT_OVER], "search": [LIVE]}), drain()).pass_over()

    assert look.settled
    assert look.drain.cluster == "search"
    assert look.counted == 3


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
    # The instance may be broken permanently; it is released once each of them is clear.
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

    look = Search(ecs, known).pass_over()

    assert (look.drain.closed, look.drain.listed_at) == (False, None)


def test_a_registration_that_was_known_and_is_gone_is_looked_for_again() -> None:
    # The agent has registered again, in another cluster: there its tasks are.
    known = drain(cluster="payments", container_instance_arn="arn-gone", settled=True, closed=True)
    ecs = Ecs({"payments": [], "search": [LIVE]})

    look = Search(ecs, known).pass_over()

    assert look.drain.container_instance_arn == "arn-live"
    assert not look.drain.closed


def test_a_known_one_that_cannot_be_described_is_neither_absent_nor_settled() -> None:
    known = drain(cluster="payments", container_instance_arn="arn-live", settled=True)
    for error in (THROTTLED, DENIED):
        look = Search(Ecs({"payments": [LIVE]}, {"payments": error}), known).pass_over()

        assert seen(look) == UNSEEN
        assert not look.settled
        assert phase(look) == may_leave.Phase.UNSEEN


def test_a_deregistered_registration_is_none() -> None:
    # "INACTIVE" ones are described for a while, without tasks: they are clear at once.
    ecs = Ecs({"payments": [registration(status="INACTIVE")]})

    assert seen(Search(ecs, drain()).pass_over()) == ABSENT


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

    assert may_leave.Phase.UNREGISTERED not in phases


# -- one look at several drains


def look(number: int, now: datetime = START, **changes: Any) -> Look:
    action = replace(ACTION, ec2_instance_id=f"i-{number}", lifecycle_action_token=f"{number}" * 36)
    return look_at(drain(**{"action": action, **changes}), now)


def of(number: int, **changes: Any) -> ContainerInstance:
    known = replace(registration(f"arn-{number}"), ec2_instance_id=f"i-{number}")
    return replace(known, **changes)


def found(ecs: Ecs, *looks: Look, clusters: Sequence[str] = ()) -> list[str]:
    """Search for them; what somebody is told."""
    finder = Finder(ecs, clusters, InvocationClock(START, ecs.left))
    finder.find(looks)
    return finder.problems


def known(number: int, **changes: Any) -> Look:
    one = look(number, container_instance_arn=f"arn-{number}", **changes)
    one.drain = replace(one.drain, cluster="payments")
    return one


def test_a_claimed_arn_that_ecs_refuses_does_not_blind_the_drains_beside_it() -> None:
    # ARNs travel in messages: one false envelope could else hold up a hundred drains.
    ecs = Ecs({"payments": [of(1), of(2), of(4), of(5)]}, refuses=frozenset({"arn-3"}))
    looks = [known(number) for number in range(1, 6)]

    found(ecs, *looks)

    states = [seen(one) for one in looks]
    assert states == [*[FOUND] * 2, UNSEEN, *[FOUND] * 2]
    assert [one.denied for one in looks] == [False, False, True, False, False]
    assert "not a container instance" in looks[2].reason
    # Halved each time: one by one, the hundred would take a hundred reads.
    assert [len(arns) for arns in ecs.described[:5]] == [5, 2, 3, 1, 2]


# Two hooks of a group, or a notification beside a re-invocation: the drain that does not know the
# registration yet was released as registered nowhere, with every task still running.
@pytest.mark.parametrize("agent_connected", [True, False])
def test_what_one_drain_of_an_instance_knows_is_not_hidden_from_another(
    agent_connected: bool,
) -> None:
    ecs = Ecs({"payments": [of(0, agent_connected=agent_connected)]})
    knows, other = known(0), look(0)

    found(ecs, knows, other, look(1), clusters=["payments"])

    assert knows.registrations == other.registrations != {}
    assert not other.absent


def test_a_refusal_of_what_nobody_claims_is_told_to_those_that_are_not_found() -> None:
    # Taken for absent, an instance whose registration ECS does not describe is released.
    ecs = Ecs({"payments": [of(1), of(2)]}, refuses=frozenset({"arn-2"}))
    first, second = look(1), look(2)

    found(ecs, first, second)

    assert (seen(first), first.denied) == (FOUND, False)
    assert (seen(second), second.denied) == (UNSEEN, True)


def test_a_refused_description_that_nobody_claims_spoils_nothing_that_was_found() -> None:
    ecs = Ecs({"payments": [of(1)], "search": [of(9)]}, refuses=frozenset({"arn-9"}))
    mine, stranger = known(1, others=(Place("search", "arn-9"),)), look(2)

    found(ecs, mine, stranger)

    # It claimed the one that ECS refuses, so that it is told.
    assert (seen(mine), mine.denied) == (FOUND, True)
    assert not stranger.denied


def test_a_listed_one_that_is_refused_hides_no_instance_behind_a_message_that_claims_it() -> None:
    # The other drain of the instance took it for registered nowhere, and answered CONTINUE.
    ecs = Ecs({"payments": [of(1)]}, refuses=frozenset({"arn-1"}))
    claims, other = known(1), look(1)

    found(ecs, claims, other, clusters=["payments"])

    assert (claims.denied, other.denied) == (True, True)
    assert (claims.absent, other.absent) == (False, False)


def test_a_throttled_description_is_not_followed_by_a_search() -> None:
    # A search that finds nothing after it would call an instance absent that was not looked at.
    ecs = Ecs({"payments": [of(1)]}, describing_fails=THROTTLED)
    one = known(1)

    found(ecs, one)

    assert (one.failed, one.reason) == (True, "Rate exceeded")
    assert (ecs.searched, ecs.listings) == ([], 0)


def test_what_is_found_in_one_named_cluster_is_not_searched_for_in_the_next() -> None:
    ecs, one = Ecs({"a": [of(1)], "b": []}), look(1, policy=None)

    found(ecs, one, clusters=("a", "b"))

    assert (ecs.searched, ecs.listings) == (["a"], 0)
    assert one.reason == ""


def test_a_search_everywhere_ends_where_it_has_found() -> None:
    ecs, one = Ecs(many(10)), look(1, policy=None)
    ecs.where["cluster-0002"] = [of(1)]

    found(ecs, one)

    assert ecs.searched == ["cluster-0000", "cluster-0001", "cluster-0002"]
    # A search that was given up is not taken for one that has come to its end.
    assert (one.drain.searched_to, one.drain.search_failed) == ("", False)
    assert (one.settled, one.reason) == (True, "")


def test_what_has_come_furthest_is_searched_for_first_and_newcomers_miss_no_cluster() -> None:
    # Held up by newcomers, a search of many clusters never ends in a crowd.
    ecs = Ecs(many(250))
    ahead = look(1, policy=None, searched_to="cluster-0149")
    newcomer = look(2, policy=None)

    found(ecs, newcomer, ahead)

    assert ecs.searched == [f"cluster-{number:04}" for number in range(150, 250)]
    assert (seen(ahead), seen(newcomer)) == (
        ABSENT,
        UNSEEN,
    )
    assert newcomer.drain.searched_to == ""


def test_what_has_no_token_is_searched_for_in_four_hundred_clusters_at_once() -> None:
    # It remembers nothing of where a search has come to, and would begin again for ever.
    action = replace(ACTION, lifecycle_action_token="")
    ecs = Ecs(many(450))

    found(ecs, look_at(drain(None, action=action), START))

    assert len(ecs.searched) == 400


def test_with_exactly_the_time_that_acting_needs_a_look_is_begun() -> None:
    one, other = known(1), look(2)

    found(Ecs({"payments": [of(1)], "search": [of(2)]}, seconds_left=12.0), one, other)

    assert seen(one) == seen(other) == FOUND


def test_with_less_time_than_acting_needs_no_read_is_begun() -> None:
    # Heartbeats of the whole batch are missed over one read that hangs.
    ecs = Ecs({"payments": [of(1)], "search": [of(2)]}, seconds_left=11.9)
    one, named, anywhere = known(1), look(2), look(3, policy=None)

    found(ecs, one, named, anywhere)

    assert (ecs.searched, ecs.described, ecs.listings) == ([], [], 0)
    assert all(of.failed and "No time was left" in of.reason for of in (one, named, anywhere))
    assert not any(of.searched_on for of in (one, named, anywhere))


def test_a_known_registration_whose_cluster_was_deleted_does_not_make_a_search_unsound() -> None:
    # It would be held to its deadline, though every cluster was searched.
    one = known(1)
    one.drain = replace(one.drain, cluster="deleted")

    found(Ecs({"payments": []}), one)

    assert seen(one) == ABSENT


SETTLED: dict[str, Any] = {"settled": True, "searched_at": START}


def test_where_one_of_several_known_ones_is_gone_its_agents_new_one_is_looked_for() -> None:
    # The tasks are on the new one: without a search, the two that were known are clear.
    new = replace(of(1), arn="arn-new", running_tasks=3)
    one = known(1, others=(Place("payments", "arn-gone"),), **SETTLED)

    found(Ecs({"payments": [of(1, agent_connected=False), new]}), one)

    assert (one.drain.container_instance_arn, one.counted) == ("arn-new", 3)


def test_where_one_of_two_known_ones_is_gone_clusters_that_nobody_names_are_searched() -> None:
    # Its agent has registered in a third cluster: what is left of the first must not settle it.
    new = replace(of(1), arn="arn-new", running_tasks=3)
    one = known(1, others=(Place("search", "arn-gone"),), closed=True, **SETTLED)

    found(Ecs({"payments": [of(1, agent_connected=False)], "search": [], "orders": [new]}), one)

    assert (one.drain.container_instance_arn, one.drain.closed) == ("arn-new", False)


def test_what_is_settled_and_connected_is_not_searched_for_again() -> None:
    # A hundred reads in each pass, for as long as the drain lasts.
    ecs = Ecs({"payments": [of(1)]})
    one = known(1, others=(Place("payments", "arn-gone"),), **SETTLED)

    found(ecs, one)

    assert one.settled
    assert (ecs.searched, ecs.listings) == ([], 0)


def test_an_agent_that_registers_anew_after_all_were_known_is_found() -> None:
    # Tasks were placed on the new registration for the rest of the drain, and killed at its end.
    new = replace(of(1), arn="arn-new", running_tasks=3)
    one = known(1, closed=True, listed_at=START, draining_since=START, **SETTLED)

    found(Ecs({"payments": [of(1, agent_connected=False), new]}), one)

    drain = one.drain
    assert (drain.container_instance_arn, one.status, one.counted) == ("arn-new", "ACTIVE", 3)
    assert (drain.closed, drain.listed_at, drain.draining_since) == (False, None, None)


def test_a_further_registration_that_is_not_connected_yet_begins_the_search_anew() -> None:
    # Which one runs the tasks cannot be told, and there may be more of them.
    new = replace(of(1), arn="arn-new", agent_connected=False)
    one = known(1, **SETTLED)

    found(Ecs({"payments": [of(1, agent_connected=False), new]}), one)

    assert (one.settled, one.drain.settled, len(one.candidates)) == (False, False, 2)


def test_while_no_agent_is_connected_few_clusters_are_searched_again() -> None:
    # A hundred reads in each pass, for as long as an agent is broken.
    ecs = Ecs({**many(150), "payments": [of(1, agent_connected=False)]})
    one, named = known(1, policy=None, **SETTLED), known(1, **SETTLED)
    arn = "arn:aws:ecs:us-east-1:123456789012:cluster/payments"
    named.drain = replace(named.drain, cluster=arn)
    ecs.where[arn] = ecs.where["payments"]

    found(ecs, one, clusters=[*many(100)])
    first, ecs.searched = ecs.searched, []
    found(ecs, named)

    assert first == ["payments", *[*many(100)][: CLUSTERS_SEARCHED_AGAIN_MAX - 1]]
    assert ecs.searched == [arn]
    assert (ecs.listings, one.settled, named.settled) == (0, True, True)
    # What is known is not described twice.
    assert [arns for arns in ecs.described if arns] == [["arn-1"], ["arn-1"]]


def test_a_search_that_fails_while_no_agent_is_connected_leaves_the_look_in_doubt() -> None:
    # Released although it may have registered again, with tasks.
    one = known(1, **SETTLED)
    one.drain = replace(one.drain, cluster="search")

    where = {"search": [of(1, agent_connected=False)], "payments": []}
    found(Ecs(where, {"payments": DENIED}), one)

    assert one.in_doubt


def crowd(tasks: int = 0) -> list[ContainerInstance]:
    return [
        of(1, arn=f"arn-{number}", agent_connected=False, running_tasks=tasks)
        for number in range(REGISTRATIONS_MAX)
    ]


@pytest.mark.parametrize("place", [0, 3, REGISTRATIONS_MAX + 1])
@pytest.mark.parametrize("apart", [False, True])
def test_a_connected_registration_beside_many_left_overs_is_the_one(
    place: int, *, apart: bool
) -> None:
    # Refused as the sixth, it stayed ACTIVE, and its tasks were killed at the deadline.
    live = of(1, arn="arn-live", running_tasks=3)
    left_over = [*crowd(), of(1, arn="arn-5", agent_connected=False)]
    rows = [*left_over[:place], live, *left_over[place:]]
    where = {"payments": left_over[:REGISTRATIONS_MAX], "search": [live]} if apart else None
    one = look(1)

    found(Ecs(where or {"payments": rows}), one)

    assert (one.drain.container_instance_arn, one.counted) == ("arn-live", 3)
    assert (one.settled, one.in_doubt) == (True, False)
    assert len(one.registrations) <= REGISTRATIONS_MAX


def test_of_many_left_overs_one_without_tasks_is_dropped_first() -> None:
    # Those on which ECS counts tasks are the ones to say something about.
    live, busy = of(1, arn="arn-live"), of(1, arn="arn-0", agent_connected=False, running_tasks=2)
    one = look(1)

    found(Ecs({"payments": [busy, *crowd()[1:], live]}), one)

    assert {"arn-live", "arn-0"} < set(one.registrations)


def test_of_more_connected_ones_than_are_looked_at_none_is_dropped() -> None:
    # Each may run tasks; what is dropped is never drained.
    many_live = [of(1, arn=f"arn-{number}") for number in range(REGISTRATIONS_MAX + 1)]
    one = look(1)

    found(Ecs({"payments": many_live}), one)

    assert one.in_doubt
    assert "more than 5 registrations" in one.reason


def test_what_was_listed_of_the_connected_one_alone_is_void_once_all_count() -> None:
    # The earlier registration was known and its tasks were in no listing: they were cut.
    old = of(1, arn="arn-old", agent_connected=False)
    where = {"payments": [of(1, agent_connected=False), old]}
    changes: dict[str, Any] = {"others": (Place("payments", "arn-old"),), "settled": True}
    changes |= {"closed": True, "listed_at": START}
    lost, searched = known(1, **changes), known(1, **changes, searched_at=START)
    throttled = known(1, **changes)

    found(Ecs(where), lost, searched)
    found(Ecs(where, describing_fails=THROTTLED), throttled)

    assert (lost.settled, lost.drain.closed, lost.drain.listed_at) == (False, False, None)
    # That was established of all of them; and a read that failed says nothing.
    assert (searched.settled, searched.drain.closed, throttled.drain.closed) == (True, True, True)


@pytest.mark.parametrize("old", [[of(1, agent_connected=False)], []])
def test_what_was_listed_of_one_registration_is_void_once_its_agent_is_at_another(
    old: list[ContainerInstance],
) -> None:
    # That was left over while the set was closed: what runs there now is in no listing.
    new = of(1, arn="arn-new")
    changes: dict[str, Any] = {"others": (Place("payments", "arn-new"),), "settled": True}
    changes |= {"closed": True, "listed_at": START}
    moved, stays = known(1, **changes), known(1, **changes)

    found(Ecs({"payments": [*old, new]}), moved)
    found(Ecs({"payments": [of(1), replace(new, agent_connected=False)]}), stays)

    assert (moved.drain.closed, moved.drain.listed_at) == (False, None)
    assert (stays.drain.closed, stays.drain.listed_at) == (True, START)


def test_a_cluster_that_does_not_exist_and_no_other_that_has_it_is_nowhere() -> None:
    # An operator reads that a name is wrong, and not that a read failed.
    typo, denied, left_over = (look(number, policy=drain("typo").policy) for number in (1, 2, 3))

    found(Ecs({"payments": []}), typo)
    found(Ecs({"payments": []}, {"payments": DENIED}), denied)
    found(Ecs({"payments": [of(3, agent_connected=False)]}), left_over)

    assert typo.nowhere is True
    assert denied.nowhere is False
    assert left_over.nowhere is False
    assert {seen(one) for one in (typo, denied)} == {UNSEEN}


def test_a_second_search_just_far_enough_from_the_first_settles_what_is_not_connected() -> None:
    ecs = Ecs({"payments": [of(1, agent_connected=False)]})
    early, late = (
        known(1, now=at(seconds), searched_at=START) for seconds in (19.9, 20)
    )  # fmt: skip

    found(ecs, early)
    found(ecs, late)

    assert (early.settled, late.settled) == (False, True)


def test_somebody_is_told_of_a_wrong_name_only_where_the_instance_is_found_elsewhere() -> None:
    # An ERROR for every drain of a right installation: nobody reads the next one.
    left_over = of(1, agent_connected=False)

    assert found(Ecs({"payments": []}), look(1), clusters=("payments",)) == []
    assert found(Ecs({"payments": [left_over], "b": []}), known(1)) == []
    [problem] = found(Ecs({"b": [of(1)]}), look(1, policy=None), clusters=("payments",))
    assert "is in cluster b" in problem
    assert "name payments" in problem


def test_a_list_of_clusters_that_cannot_be_read_is_a_look_that_failed() -> None:
    one = look(1, policy=None)

    found(Ecs({"payments": []}, listing_fails=THROTTLED), one)

    assert (one.failed, one.reason) == (True, "Rate exceeded")


@pytest.mark.parametrize("known", [False, True])
def test_what_is_listed_and_cannot_be_described_is_not_absent(*, known: bool) -> None:
    # With ECS's two answers at odds for longer than two searches, what serves was released.
    there = container_instance("arn", ID)
    ecs = Ecs({"payments": [there], "other": []}, hides=frozenset({"arn"}))
    of: dict[str, Any] = {"container_instance_arn": "arn", "settled": True} if known else {}
    search = Search(ecs, drain(**of))

    looks = [search.pass_over() for _ in range(5)]

    assert not any(look.absent for look in looks)
    assert all(look.in_doubt for look in looks)
    search.ecs = replace(ecs, hides=frozenset())
    assert seen(search.pass_over()) == FOUND
