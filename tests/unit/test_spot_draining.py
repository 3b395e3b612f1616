"""Where an interrupted instance is sought, when the search ends, and what it could not see."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from drainer.config import Config
from drainer.drain.model import ContainerInstance, Hook
from drainer.errors import (
    ClusterMissingError,
    DrainerError,
    MisconfiguredError,
    RefusedError,
    UnavailableError,
)
from drainer.invocation import InvocationClock
from drainer.spot.draining import SpotDraining
from drainer.spot.events import Interruption
from drainer.spot.marks import SpotMarks
from drainer.spot.memory import Recollection
from drainer.spot.patience import Patience
from drainer.spot.report import InterruptionReport
from tests.unit.ecs import container_instance

if TYPE_CHECKING:
    from collections.abc import Sequence

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
TOPIC = "arn:aws:sns:us-east-1:123456789012:drainer"
DENIED = MisconfiguredError("denied")
THROTTLED = UnavailableError("Rate exceeded")
MISSING = ClusterMissingError("no such cluster")


def at(cluster: str, name: str = "i-1", **changes: Any) -> ContainerInstance:
    values = {"running_tasks": 1, "cluster": cluster, "status": "ACTIVE", **changes}
    return container_instance(f"arn:{cluster}/{name}", name, **values)


def lost(cluster: str, **changes: Any) -> ContainerInstance:
    """A registration whose agent is disconnected."""
    return at(cluster, agent_connected=False, **changes)


def hook(cluster: str = "", topic: str = TOPIC) -> Hook:
    return Hook("drainer", 1800, 172_800, topic, cluster or None)


@dataclass
class World:
    """ECS and Auto Scaling: `fails` says which call fails, by its words."""

    instances: Sequence[ContainerInstance] = ()
    exist: Sequence[str] = ("default", "shop", "other")
    hooks: dict[str, Hook] = field(default_factory=dict)
    fails: dict[str, DrainerError] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    bad: str = ""
    asking: float = 0.0
    left: float = 30.0
    memory: Recollection = field(default_factory=Recollection)
    asked: list[str] = field(default_factory=list)

    def record(self, *words: str) -> None:
        self.asked.append(" ".join(words))
        if error := self.fails.get(self.asked[-1]):
            raise error

    def lifecycle_states(self, ids: Sequence[str]) -> dict[str, tuple[str, str]]:
        # By its number, an instance is in the group of that number.
        self.record("groups")
        return {one: (g, "InService") for one, g in zip(ids, self.hooks, strict=False)}

    def lifecycle_hooks(self, group: str) -> dict[str, Hook]:
        self.left -= self.asking
        self.record("hooks")
        return {"drainer": self.hooks[group]}

    def clusters(self) -> Sequence[str]:
        self.record("clusters")
        return self.exist

    def find(self, cluster: str, ids: Sequence[str]) -> list[str]:
        self.record(cluster)
        return [
            one.arn
            for one in self.instances
            if one.cluster == cluster and {one.ec2_instance_id, "any"} & {*ids, one.drained_for}
        ]

    def describe(self, _: str, arns: Sequence[str]) -> list[ContainerInstance]:
        return [one for one in self.instances if one.arn in arns]

    def set_draining(self, _: str, arns: Sequence[str]) -> dict[str, str]:
        self.asked.append(f"drain {len(arns)}")
        if error := self.fails.get("drain"):
            raise error
        if self.bad in arns:
            message = "it is being deregistered"
            raise RefusedError(message)
        return {arn: why for arn, why in self.refused.items() if arn in arns}

    def search(
        self, *clusters: str, count: int = 1, action: str = "terminate"
    ) -> list[InterruptionReport]:
        """Search for so many instances, from i-1 on, where these clusters are configured."""
        reports = [
            InterruptionReport(Interruption(f"i-{n}", action, NOW)) for n in range(1, count + 1)
        ]
        aws: Any = self
        patience = Patience(InvocationClock(NOW, lambda: self.left))
        SpotDraining(
            aws,
            aws,
            Config(TOPIC, clusters=clusters),
            marks=SpotMarks(aws, patience),
            memory=self.memory,
            patience=patience,
            now=NOW,
        ).run(reports)
        return reports


@pytest.mark.parametrize(
    ("world", "clusters", "asked"),
    [
        # An account's other Spot instances are in these events too: they cost one search.
        (World(), ("shop",), "shop groups"),
        # A hook of another topic is nobody's word, and one without a cluster names none.
        (World(hooks={"g": hook("other", "arn:theirs")}), ("shop",), "shop groups hooks"),
        (World(hooks={"g": hook()}), ("shop",), "shop groups hooks"),
        # What a hook of ours leads to, or may, is in some cluster.
        (World(hooks={"g": hook("x")}), ("shop",), "shop groups hooks x clusters default other"),
        (World(fails={"groups": DENIED}), ("shop",), "shop groups clusters default other"),
        (World(fails={"shop": MISSING}), ("shop",), "shop groups clusters default other"),
        # A registration that is left over from another cluster ends no search.
        (World([lost("shop")]), ("shop",), "shop drain 1 groups clusters default other"),
        (World([at("shop", status="INACTIVE")]), ("shop", "a"), "groups shop drain 1 a"),
        (World([at("other")]), (), "groups clusters default shop other drain 1"),
        # An ARN and a name are one cluster, which is asked once.
        (World(), ("arn:cluster/shop",), "arn:cluster/shop groups"),
        (World(exist=("arn:a/x", "arn:a/y", "x")), (), "groups clusters arn:a/x arn:a/y"),
    ],
)
def test_the_search_goes_on_until_a_live_registration_is_found(
    world: World, clusters: tuple[str, ...], asked: str
) -> None:
    world.search(*clusters)

    assert " ".join(world.asked) == asked


def test_where_instances_were_interrupted_lately_is_looked_first() -> None:
    # An interruption of fifty instances comes in fifty events within seconds.
    world = World([at("shop"), at("other", "i-2")])
    world.search()
    world.asked.clear()
    world.search()

    assert world.asked == ["shop", "drain 1"]


@pytest.mark.parametrize(("groups", "hooks", "all_asked"), [(10, 10, False), (11, 10, True)])
def test_hooks_of_ten_groups_are_asked_for_or_else_all_clusters(
    groups: int, hooks: int, all_asked: bool
) -> None:
    # Each group costs a read of a limit that is not published.
    world = World(hooks={f"g-{n}": hook() for n in range(groups)})
    world.search("shop", count=groups)

    assert world.asked.count("hooks") == hooks
    assert ("clusters" in world.asked) is all_asked


@pytest.mark.parametrize(("groups", "all_asked"), [(5, False), (7, True)])
def test_hooks_that_answer_slowly_are_left_after_five_seconds(groups: int, all_asked: bool) -> None:
    world = World(hooks={f"g-{n}": hook() for n in range(groups)}, asking=1.0)
    world.search("shop", count=groups)

    assert world.asked.count("hooks") == 5
    assert ("clusters" in world.asked) is all_asked


@pytest.mark.parametrize("error", [DENIED, THROTTLED])
@pytest.mark.parametrize(
    ("world", "clusters", "named"),
    [
        (World(), ("shop",), True),
        (World(), ("a", "shop"), True),
        (World(hooks={"g": hook("shop")}), (), True),
        # A role that may not see a cluster which nobody names is meant not to.
        (World(), (), False),
    ],
)
def test_a_search_that_failed_is_told_where_it_may_have_hidden_the_instance(
    world: World, clusters: tuple[str, ...], named: bool, error: DrainerError
) -> None:
    told = named or error is THROTTLED
    world = replace(world, fails={"shop": error}, memory=Recollection(), asked=[])
    [report] = world.search(*clusters)

    assert report.errors == ((f"The search of shop failed: {error}",) if told else ())
    assert bool(report.retry_reason) is (error is THROTTLED)
    # Remembered as absent, the event that comes again would not be looked at.
    assert world.memory.is_absent("i-1", "terminate", NOW) is not told


def test_a_remembered_cluster_that_is_denied_is_no_error() -> None:
    world = World(fails={"shop": DENIED})
    world.memory.remember_cluster("shop", NOW)
    [report] = world.search()

    assert report.errors == ()


def test_clusters_that_cannot_be_listed_let_the_event_come_again() -> None:
    [report] = World(fails={"clusters": THROTTLED}).search()

    assert report.retry_reason == "The search of all clusters failed: Rate exceeded"


@pytest.mark.parametrize(
    ("exist", "where", "error"),
    [
        (300, "nowhere", ""),
        (301, "nowhere", "301 clusters exist, 300 are searched"),
        (301, "c-299", ""),
    ],
)
def test_three_hundred_clusters_are_searched_and_more_are_told(
    exist: int, where: str, error: str
) -> None:
    # More would take longer than an invocation, and everybody else's reads.
    world = World([at(where)], exist=[f"c-{number}" for number in range(exist)])
    [report] = world.search()

    assert sum(one.startswith("c-") for one in world.asked) == 300
    assert [one.partition("failed: ")[2] for one in report.errors] == ([error] * bool(error))


@pytest.mark.parametrize(("error", "told"), [(DENIED, False), (THROTTLED, True)])
def test_of_what_is_found_disconnected_only_a_throttled_search_is_told(
    error: DrainerError, told: bool
) -> None:
    world = World([lost("a")], fails={"shop": error})
    [report] = world.search("a", "shop")

    assert bool(report.errors) is told
    assert not world.memory.is_absent("i-1", "terminate", NOW)


def test_what_is_found_disconnected_is_not_remembered_as_absent() -> None:
    world = World([lost("shop")])
    world.search("shop")

    assert not world.memory.is_absent("i-1", "terminate", NOW)


def test_what_was_nowhere_is_sought_again_only_for_another_kind_of_event() -> None:
    # A recommendation that found nothing must not hide the interruption that follows it.
    world = World()
    for action, asked in (("recommend", True), ("recommend", False), ("terminate", True)):
        world.asked.clear()
        world.search("shop", action=action)
        assert bool(world.asked) is asked


@pytest.mark.parametrize(
    ("instances", "cluster", "places"),
    [
        ([lost("a"), at("b")], "b", ["a", "b"]),
        ([lost("a"), lost("b")], "a", ["a", "b"]),
        ([at("a"), lost("b")], "a", ["a"]),
        # Nothing runs on what is deregistered.
        ([at("a", status="INACTIVE"), at("b")], "b", ["b"]),
        # ECS says more than was asked: it is nobody's.
        ([at("a", "i-9", drained_for="any")], "", []),
    ],
)
def test_the_cluster_is_that_of_the_live_registration(
    instances: list[ContainerInstance], cluster: str, places: list[str]
) -> None:
    # Its targets are told to leave in each place, and the metric counts in the live one.
    [report] = World(instances, exist=("a", "b")).search()

    assert report.cluster == cluster
    assert [place for place, _, _ in report.places] == places
    assert report.drained is bool(places)


def test_instances_are_set_draining_by_tens() -> None:
    world = World([at("shop", f"i-{n}") for n in range(1, 12)])
    reports = world.search("shop", count=11)

    assert world.asked == ["shop", "drain 10", "drain 1"]
    assert all(one.drained for one in reports)


def test_one_instance_that_is_refused_does_not_keep_the_others_active() -> None:
    world = World([at("shop", f"i-{n}") for n in range(1, 4)], bad="arn:shop/i-2")
    reports = world.search("shop", count=3)

    assert world.asked == ["shop", "drain 3", "drain 1", "drain 1", "drain 1"]
    assert [one.drained for one in reports] == [True, False, True]
    assert reports[1].errors == ("DRAINING was not set: it is being deregistered",)


def test_each_failure_to_drain_is_told_to_its_own_instance() -> None:
    two = [at("shop", "i-1"), at("shop", "i-2")]
    one = World(two, refused={"arn:shop/i-2": "MISSING"}).search("shop", count=2)
    all_of_them = World(two, fails={"drain": THROTTLED}).search("shop", count=2)

    assert [report.errors for report in one] == [(), ("DRAINING was not set: MISSING",)]
    assert all(report.retry_reason for report in all_of_them)
