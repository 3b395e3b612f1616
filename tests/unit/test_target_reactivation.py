"""What a stack has set DRAINING and what stays serves again, and nothing else is touched."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from drainer.custom_resource.progress import Member, RequestProgress
from drainer.custom_resource.properties import DrainTarget, Status, TargetKind
from drainer.custom_resource.reactivation import Restored, TargetReactivation, settled_id
from drainer.custom_resource.request import NO_TARGET, Request, RequestType
from drainer.drain.actions import UNIT_SECONDS
from drainer.drain.attributes import DRAINED_FOR, checksum
from drainer.drain.ecs_reads import ACTING_SECONDS
from drainer.drain.model import ContainerInstance, LifecycleActionResult, Policy, StandaloneTasks
from drainer.errors import DrainerError, MisconfiguredError, UnavailableError
from drainer.invocation import InvocationClock
from tests.unit.ecs import container_instance

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
POLICY = Policy(None, 3000, LifecycleActionResult.CONTINUE, StandaloneTasks.WAIT, 0)
TARGET = DrainTarget("payments", TargetKind.AUTO_SCALING_GROUP, "g", POLICY, Status.FAILED)
FLEET = replace(TARGET, kind=TargetKind.SPOT_FLEET, name="sfr-1")
PROVIDER = replace(TARGET, kind=TargetKind.CAPACITY_PROVIDER, name="p")
REQUEST = Request(
    request_type=RequestType.UPDATE,
    stack_id="stack",
    request_id="request",
    logical_id="Drain",
    physical_id="g",
    response_url="http://localhost:1/",
    properties={},
    started_at=NOW,
)
PROGRESS = RequestProgress(REQUEST)
OURS = checksum("stack")
THROTTLED, DENIED = UnavailableError("Rate exceeded"), MisconfiguredError("AccessDenied")
COMPLETE = Restored(PROGRESS)


def drained(number: int = 1, **changes: Any) -> ContainerInstance:
    """A container instance that the stack has set DRAINING."""
    one = container_instance(f"arn-{number}", f"i-{number}", drained_for=OURS)
    return replace(one, **changes)


@dataclass
class World:
    """
    The target, ECS, and the time that calls take.

    Attributes:
        members: The EC2 instances of the target; None where there is no such target.
        fails: What a call fails with, by its name and what it is about.
        refused: What ECS refuses to set ACTIVE, in its answer.
        active: What was set ACTIVE together.
        forgotten: What lost the note of its stack together.
    """

    where: dict[str, list[ContainerInstance]] = field(default_factory=dict)
    members: list[str] | None = field(default_factory=lambda: ["i-1"])
    groups_of: dict[str, str] = field(default_factory=lambda: {"p": "g", "g": "g"})
    fails: dict[str, DrainerError] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    seconds_left: float = 100.0
    search_seconds: float = 0.0
    searched: list[str] = field(default_factory=list)
    active: list[list[str]] = field(default_factory=list)
    forgotten: list[list[str]] = field(default_factory=list)

    def _call(self, what: str) -> None:
        if what in self.fails:
            raise self.fails[what]

    def instances(self, target: DrainTarget) -> list[str] | None:
        return self.members

    def cluster_exists(self, cluster: str) -> bool:
        return cluster in self.where

    def group(self, target: DrainTarget) -> str:
        self._call("group")
        return self.groups_of.get(target.name, "")

    def clusters(self) -> list[str]:
        return list(self.where)

    def find(self, cluster: str, ec2_instance_ids: Sequence[str]) -> list[str]:
        self.searched.append(cluster)
        self._call(f"find {cluster}")
        return [one.arn for one in self.where[cluster] if one.ec2_instance_id in ec2_instance_ids]

    def describe(self, cluster: str, arns: Sequence[str]) -> list[ContainerInstance]:
        self.seconds_left -= self.search_seconds
        return [replace(o, cluster=cluster) for o in self.where[cluster] if o.arn in arns]

    def set_active(self, cluster: str, arns: Sequence[str]) -> dict[str, str]:
        for arn in arns:
            self._call(f"set {arn}")
        self.active.append([f"{cluster} {arn}" for arn in arns])
        return {arn: self.refused[arn] for arn in arns if arn in self.refused}

    def delete_attribute(self, cluster: str, arns: Sequence[str], name: str) -> None:
        assert name == DRAINED_FOR
        self.forgotten.append([f"{cluster} {arn}" for arn in arns])
        self.where[cluster] = [
            replace(one, drained_for="") if one.arn in arns else one for one in self.where[cluster]
        ]

    def restore(self, progress: RequestProgress = PROGRESS, **changes: Any) -> Restored:
        anything: Any = self
        time = InvocationClock(NOW, lambda: self.seconds_left)
        target = replace(TARGET, **changes)
        return TargetReactivation(anything, anything).restore(progress, target, time)

    def named(self, request: Request, target: DrainTarget, old: DrainTarget | None) -> str:
        anything: Any = self
        one = TargetReactivation(anything, anything)
        return one.physical_id(request, target, old, back=False)


# -- what is looked at


def test_a_target_or_cluster_that_is_not_there_is_no_target_that_stays() -> None:
    # A Create with a typo in a name would succeed, and its Delete drain nothing.
    for world, clusters, sentence in (
        (World({"payments": []}, members=None), ("payments",), "AutoScalingGroupName 'g' was not"),
        (World({}), ("payments", "search"), "Cluster 'payments, search' was not found"),
    ):
        with pytest.raises(MisconfiguredError, match=sentence):
            world.restore(cluster=None, configured=clusters)


def test_one_cluster_of_several_that_is_not_there_hides_none_of_the_others() -> None:
    # One deleted cluster in the settings would leave every rollback's instances DRAINING.
    world = World({"search": [drained()]})

    assert world.restore(cluster=None, configured=("payments", "search")) == COMPLETE
    assert world.active == [["search arn-1"]]


def test_a_target_without_instances_costs_no_search() -> None:
    world = World({"payments": [drained()], "search": []}, members=[])

    assert world.restore() == COMPLETE
    assert (world.searched, world.active) == ([], [])


# -- what is set ACTIVE


@pytest.mark.parametrize(
    ("there", "active", "forgotten"),
    [
        pytest.param(drained(), True, True, id="ours"),
        pytest.param(drained(status="ACTIVE"), False, True, id="ours, ACTIVE again already"),
        pytest.param(drained(drained_for="0badcafe"), False, False, id="another stack's"),
        pytest.param(drained(drained_for=""), False, False, id="somebody's by hand"),
        pytest.param(drained(2), False, False, id="another target's"),
    ],
)
def test_only_what_this_stack_has_set_draining_is_set_active(
    there: ContainerInstance, *, active: bool, forgotten: bool
) -> None:
    # What is DRAINING for somebody else would get tasks that are cut soon; and with the note still
    # on it, the next rollback would undo what somebody does by hand.
    world = World({"payments": [there]})

    assert world.restore() == COMPLETE
    assert (bool(world.active), bool(world.forgotten)) == (active, forgotten)


@pytest.mark.parametrize(("count", "units"), [(9, [9]), (10, [10]), (11, [10, 1]), (20, [10, 10])])
def test_a_call_has_no_more_than_ecs_takes(count: int, units: list[int]) -> None:
    # ECS refuses a call with eleven, and each would be tried alone.
    world = World(
        {"payments": [drained(n) for n in range(count)]}, [f"i-{n}" for n in range(count)]
    )

    assert world.restore() == COMPLETE
    assert [len(unit) for unit in world.active] == units
    assert world.forgotten == world.active
    assert len({one for unit in world.active for one in unit}) == count


@pytest.mark.parametrize(("seconds", "done"), [(UNIT_SECONDS, True), (UNIT_SECONDS - 0.1, False)])
def test_no_unit_is_begun_that_may_be_cut_in_half(seconds: float, *, done: bool) -> None:
    # Set ACTIVE and its note left, what somebody sets DRAINING later would be ACTIVE again.
    world = World({"payments": [drained()]}, seconds_left=seconds)

    if done:
        world.restore()
    else:
        with pytest.raises(UnavailableError, match="No time was left"):
            world.restore()
    assert bool(world.active) is done


def test_what_is_refused_keeps_its_note_and_is_said() -> None:
    # Without the note no later pass would know that it is this stack's to undo.
    world = World(
        {"payments": [drained(), drained(2)]}, ["i-1", "i-2"], refused={"arn-2": "MISSING"}
    )

    restored = world.restore()

    assert world.forgotten == [["payments arn-1"]]
    assert restored.errors == ("arn-2 was not set ACTIVE: MISSING",)
    assert restored.complete


def test_where_all_are_refused_no_empty_call_follows() -> None:
    # ECS refuses a call about nothing, which would be told as the failure of the whole.
    world = World({"payments": [drained()]}, refused={"arn-1": "MISSING"})

    assert world.restore().errors == ("arn-1 was not set ACTIVE: MISSING",)
    assert world.forgotten == []


def test_one_that_spoils_the_call_holds_up_no_other() -> None:
    # One instance that is on its way out would keep nine others DRAINING after a rollback.
    world = World(
        {"payments": [drained(1), drained(2), drained(3)]},
        ["i-1", "i-2", "i-3"],
        fails={"set arn-2": DENIED},
    )

    restored = world.restore()

    assert world.forgotten == [["payments arn-1"], ["payments arn-3"]]
    assert restored.errors == ("i-2 was not set ACTIVE: AccessDenied",)


def test_of_two_one_that_spoils_the_call_holds_up_the_other_no_more_than_of_ten() -> None:
    world = World(
        {"payments": [drained(1), drained(2)]}, ["i-1", "i-2"], fails={"set arn-1": DENIED}
    )

    assert world.restore().errors == ("i-1 was not set ACTIVE: AccessDenied",)
    assert world.forgotten == [["payments arn-2"]]


def test_a_throttle_ends_the_pass_and_is_not_taken_for_an_answer() -> None:
    # Answered SUCCESS over it, the stack would be back with its instances DRAINING.
    with pytest.raises(UnavailableError):
        World({"payments": [drained()]}, fails={"set arn-1": THROTTLED}).restore()


# -- in other clusters


def test_what_was_drained_in_another_cluster_is_brought_back_there() -> None:
    # A drain goes where its instances are: so must what undoes it.
    world = World({"payments": [], "search": [drained()]}, refused={"arn-1": "MISSING"})

    restored = world.restore()

    assert world.active == [["search arn-1"]]
    assert restored == replace(COMPLETE, errors=("arn-1 was not set ACTIVE: MISSING",))


def test_what_an_agent_left_in_the_named_cluster_does_not_stand_for_it() -> None:
    # It has registered in another cluster since, where the stack has set it DRAINING.
    left = drained(agent_connected=False)
    world = World({"payments": [left], "search": [drained(arn="arn-2")]})

    assert world.restore() == COMPLETE
    assert world.active == [["payments arn-1"], ["search arn-2"]]


def test_what_was_found_connected_is_searched_for_nowhere_else() -> None:
    # An account of hundreds of clusters would be searched by every Update of every stack.
    world = World({"payments": [drained()], "search": [drained(2)]}, ["i-1"])

    world.restore()
    assert world.searched == ["payments"]
    world.members = ["i-1", "i-2"]
    world.restore()
    assert world.active[-1] == ["search arn-2"]


def test_errors_of_both_searches_are_said() -> None:
    refused = {"arn-1": "MISSING", "arn-2": "INACTIVE"}
    world = World(
        {"payments": [drained()], "search": [drained(2)]}, ["i-1", "i-2"], refused=refused
    )

    assert [one.split(": ")[1] for one in world.restore().errors] == ["MISSING", "INACTIVE"]


MANY: Mapping[str, list[ContainerInstance]] = {"a": [], "b": [], "c": [drained()], "payments": []}


def test_a_search_that_a_throttle_has_cut_goes_on_after_the_last_cluster_it_read() -> None:
    # Begun again in each pass, it would come to no end; ended, it would leave what is in "c".
    world = World({**MANY}, fails={"find b": THROTTLED})

    cut = world.restore()
    world.fails, world.searched = {}, []
    rest = world.restore(cut.progress)

    assert (cut.complete, cut.errors) == (False, ("Rate exceeded",))
    assert cut.progress == replace(PROGRESS, history={"i-1": Member(searched_to="a")})
    assert (rest.complete, rest.errors) == (True, ())
    assert world.searched == ["payments", "b", "c"]
    assert world.active == [["c arn-1"]]


def test_a_search_without_time_for_all_clusters_is_not_complete() -> None:
    world = World({**MANY}, seconds_left=ACTING_SECONDS + 2.5, search_seconds=1.0)

    cut = world.restore()

    assert (cut.complete, cut.errors) == (False, ("4 clusters are searched in turns",))
    assert cut.progress.history == {"i-1": Member(searched_to="b")}


def test_one_that_was_found_does_not_end_the_search_for_the_others() -> None:
    # What is in the clusters that are left would stay DRAINING permanently.
    world = World({**MANY, "a": [drained(2)]}, ["i-2", "i-1", "i-3"])
    world.seconds_left, world.search_seconds = ACTING_SECONDS + 2.5, 1.0

    cut = world.restore()

    assert (cut.complete, cut.errors) == (False, ("4 clusters are searched in turns",))
    assert cut.progress.history == {"i-2": Member(searched_to="b")}


def test_a_throttle_before_the_first_cluster_is_told_as_what_it_is() -> None:
    with pytest.raises(UnavailableError, match="Rate exceeded"):
        World({**MANY}, fails={"find a": THROTTLED}).restore()


def test_where_a_drain_had_come_to_is_another_search() -> None:
    # It had looked for instances to drain: what is DRAINING in the clusters before would stay so.
    before = replace(PROGRESS, believed=True, history={"i-1": Member(searched_to="c")})
    world = World({**MANY})

    assert world.restore(before) == Restored(before)
    assert world.active == [["c arn-1"]]
    again = World({**MANY}, fails={"find b": THROTTLED}).restore(before)
    assert (again.progress.believed, again.complete) == (False, False)


def test_a_cluster_that_may_not_be_read_is_said_once_and_hides_no_other() -> None:
    # Nobody would know of what may still be DRAINING there; a fleet of 1,000 fills the reason.
    world = World({**MANY}, ["i-1", "i-2"], fails={"find b": DENIED})

    restored = world.restore()

    assert (restored.complete, restored.errors) == (True, ("AccessDenied",))
    assert world.active == [["c arn-1"]]


# -- what the resource is called

SAME, OTHER = replace(TARGET, cluster="search"), replace(TARGET, name="h")
CREATE = replace(REQUEST, request_type=RequestType.CREATE, physical_id="")
REFUSED = replace(REQUEST, physical_id=f"{NO_TARGET}1")


@pytest.mark.parametrize(
    ("request_", "target", "old", "back", "name"),
    [
        pytest.param(CREATE, TARGET, None, False, "g", id="a Create"),
        pytest.param(REFUSED, TARGET, TARGET, False, "g", id="what was never guarded is now"),
        pytest.param(REQUEST, OTHER, TARGET, False, "h", id="another target"),
        pytest.param(replace(REQUEST, physical_id="p"), TARGET, SAME, False, "p", id="kept before"),
        pytest.param(REQUEST, replace(FLEET, name="g"), TARGET, False, "g", id="another kind"),
        pytest.param(REQUEST, OTHER, None, True, "g", id="back from what was refused"),
        pytest.param(REQUEST, OTHER, None, False, "h", id="forth from what was refused"),
    ],
)
def test_what_guards_the_same_is_called_the_same(
    request_: Request, target: DrainTarget, old: DrainTarget | None, *, back: bool, name: str
) -> None:
    # By another name CloudFormation deletes what was before, and its Delete drains the target.
    assert settled_id(request_, target, old, back=back) == name


@pytest.mark.parametrize(
    ("physical_id", "target", "old", "name"),
    [
        pytest.param("g", PROVIDER, TARGET, "g", id="its group has the name"),
        pytest.param("p", TARGET, PROVIDER, "p", id="another name of the same group"),
        pytest.param("g", OTHER, TARGET, "h", id="another group"),
        pytest.param("p", replace(PROVIDER, name="q"), PROVIDER, "q", id="no group is known"),
        pytest.param("x", replace(PROVIDER, name="q"), replace(OTHER, name="r"), "q", id="of none"),
    ],
)
def test_a_group_and_its_capacity_provider_are_the_same_target(
    physical_id: str, target: DrainTarget, old: DrainTarget, name: str
) -> None:
    # Named again by a change of the property alone, the whole group would be drained.
    world = World(groups_of={"g": "g", "p": "g", "h": "h"})

    assert world.named(replace(REQUEST, physical_id=physical_id), target, old) == name


@pytest.mark.parametrize(
    ("target", "old"), [(TARGET, None), (TARGET, SAME), (FLEET, TARGET), (OTHER, FLEET)]
)
def test_who_has_no_question_asks_none(target: DrainTarget, old: DrainTarget | None) -> None:
    # A denied read of groups would fail the Update of a stack that has none.
    world = World(fails={"group": DENIED})

    assert world.named(REQUEST, target, old) == target.name
