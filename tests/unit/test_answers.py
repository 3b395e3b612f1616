"""What a request is answered, by what its stack says, what its target is at, and its deadline."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from drainer.config import Config
from drainer.custom_resource.answers import Answers
from drainer.custom_resource.belief import DOUBTED, Belief, Seen
from drainer.custom_resource.progress import RequestProgress
from drainer.custom_resource.properties import DrainTarget, TargetKind, target_of
from drainer.custom_resource.reactivation import Restored
from drainer.custom_resource.record import RequestRecord, key_of
from drainer.custom_resource.report import Pass, Report
from drainer.custom_resource.request import NO_TARGET, RESOURCE_TYPE, Request, RequestType
from drainer.custom_resource.stack import Row, Stack
from drainer.custom_resource.target_status import TargetStatus
from drainer.errors import DrainerError, MisconfiguredError, UnavailableError
from drainer.invocation import InvocationClock

if TYPE_CHECKING:
    from collections.abc import Sequence

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
CONFIG = Config("arn:aws:sns:us-east-1:123456789012:drainer", verify_stacks=True)
MADE_UP = "shop-Drain-1ABCDEFGH2J3"
PROPERTIES = {"Cluster": "payments", "AutoScalingGroupName": "g"}
DELETE = Request(
    request_type=RequestType.DELETE,
    stack_id="stack",
    request_id="request",
    logical_id="Drain",
    physical_id="g",
    response_url="http://localhost:1/",
    properties=PROPERTIES,
    started_at=NOW,
)
UPDATE = replace(DELETE, request_type=RequestType.UPDATE, old_properties=PROPERTIES)
CREATE = replace(DELETE, request_type=RequestType.CREATE, physical_id="")
WRONG = {**PROPERTIES, "OnTimeout": "maybe"}
NOTHING = {"Cluster": "payments"}
DELETING, FORTH = Stack("DELETE_IN_PROGRESS"), Stack("UPDATE_IN_PROGRESS")
CLEANING, BACK = Stack("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"), Stack("UPDATE_ROLLBACK_IN_PROGRESS")
FAILED = Stack("ROLLBACK_IN_PROGRESS")


def drain_target(kind: TargetKind = TargetKind.AUTO_SCALING_GROUP, name: str = "g") -> DrainTarget:
    found, _ = target_of({"Cluster": "payments", kind.value: name}, CONFIG)
    assert found
    return found


GROUP, PROVIDER = drain_target(), drain_target(TargetKind.CAPACITY_PROVIDER, "p")
FLEET = drain_target(TargetKind.SPOT_FLEET, "sfr-1")


def row(physical_id: str, logical_id: str = "Target", kind: str = "AWS::Any") -> Row:
    return Row(logical_id, physical_id, kind, "CREATE_COMPLETE", NOW - timedelta(days=1))


@dataclass
class World:
    """
    What a stack and its target say, and what a drain and a reactivation come to.

    Attributes:
        group_of: The group of each target, by the target's name.
        drained: What a drain comes to.
        restored: What setting ACTIVE comes to: what could not be, or an error.
        asked: What was asked about, in order.
    """

    group_of: dict[str, str] = field(default_factory=lambda: {"g": "g", "p": "g"})
    made_by_stack: str = ""
    drained: dict[str, Any] = field(default_factory=dict)
    restored: tuple[str, ...] | DrainerError = ()
    complete: bool = True
    asked: list[str] = field(default_factory=list)
    report: Report = field(default_factory=lambda: Report("stack|request", 3))

    def stack(self, stack_id: str) -> Stack:
        self.asked.append(stack_id)
        return DELETING

    def group(self, target: DrainTarget) -> str:
        self.asked.append(f"group of {target.name}")
        return self.group_of.get(target.name, "")

    def groups(self, capacity_providers: Sequence[str]) -> dict[str, str]:
        return {one: self.group_of[one] for one in capacity_providers if one in self.group_of}

    def made_by(self, auto_scaling_group_name: str) -> str:
        return self.made_by_stack if auto_scaling_group_name == "g" else ""

    def physical_id(self, *_: Any, back: bool) -> str:
        return "back" if back else "forth"

    def restore(self, progress: RequestProgress, *_: Any) -> Restored:
        self.asked.append("restore")
        if isinstance(self.restored, DrainerError):
            raise self.restored
        return Restored(replace(progress, looks=7), self.restored, complete=self.complete)

    def drain(self, progress: RequestProgress, _: DrainTarget, hop: int, __: Any) -> TargetStatus:
        assert (progress.believed, hop) == (True, 3)
        self.asked.append("drain")
        return TargetStatus(replace(progress, looks=2), **self.drained)

    @property
    def belief(self) -> Belief:
        anything: Any = self
        return Belief(anything, CONFIG)

    @property
    def answers(self) -> Answers:
        anything: Any = self
        return Answers(anything, anything, self.belief, CONFIG)

    def find(
        self, request: Request, stack: Stack | None = DELETING
    ) -> tuple[RequestProgress, tuple[str, str, str]]:
        progress = RequestProgress(request)
        record = RequestRecord(key_of(request.key), 1, 3, "pass", NOW, NOW, NOW, progress)
        this = Pass(record, self.report, NOW, InvocationClock(NOW, lambda: 100.0))
        following, answer = self.answers.find(Seen(progress, stack), this)
        if answer is None:
            return following, ("", "", "")
        return following, (str(answer.status), answer.physical_id, answer.reason)

    def stays(self, request: Request, target: DrainTarget, stack: Stack | None) -> str:
        return self.belief.stays(Seen(RequestProgress(request), stack), target)

    def overdue(self, request: Request, stack: Stack | None) -> tuple[str, str, str]:
        seen = Seen(RequestProgress(request), stack)
        answer = self.answers.overdue(request, seen, self.report)
        return str(answer.status), answer.physical_id, answer.reason


# -- a Delete


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        pytest.param({"properties": NOTHING}, "exactly one of", id="no target"),
        pytest.param({"resource_type": "Custom::Other"}, "must be Custom::ECSDrain", id="a type"),
        pytest.param({"physical_id": f"{NO_TARGET}1"}, "guarded no target", id="refused"),
    ],
)
def test_a_delete_of_what_guards_nothing_succeeds_and_drains_nothing(
    changes: dict[str, Any], reason: str
) -> None:
    # FAILED, the stack could not be deleted; and a group that a Create named wrongly serves.
    world, request = World(), replace(DELETE, **changes)

    _, (status, physical_id, said) = world.find(request)

    assert (status, physical_id) == ("SUCCESS", request.physical_id)
    assert said.startswith("Not drained: ")
    assert reason in said
    assert world.asked == []


def test_a_delete_with_a_wrong_setting_drains_by_the_default() -> None:
    # Refused for it, the stack could not be deleted; not drained, its tasks would be cut.
    world = World(drained={"total": 2, "done": 2})

    progress, answer = world.find(replace(DELETE, properties=WRONG))

    assert answer == ("SUCCESS", "g", "AutoScalingGroupName g: 2 instances are drained")
    assert (progress.believed, progress.looks) == (True, 2)


@pytest.mark.parametrize(
    ("drained", "reason"),
    [
        ({"total": 3, "done": 3}, "3 instances are drained"),
        ({"total": 0, "done": 0}, "it has no instance"),
        ({"total": 3, "done": 3, "gone": True}, "it no longer exists"),
        ({"total": 3, "done": 2}, ""),
        ({"total": 3, "done": 3, "unsure": "Rate exceeded"}, ""),
        ({"total": 3, "done": 3, "settled": False}, ""),
    ],
)
def test_a_delete_is_answered_once_nothing_of_its_target_has_a_task(
    drained: dict[str, Any], reason: str
) -> None:
    # CloudFormation takes the target down at SUCCESS, with whatever runs on it.
    world = World(drained={**drained, "errors": ("a trouble",)})

    _, answer = world.find(DELETE)

    expected = ("SUCCESS", "g", f"AutoScalingGroupName g: {reason}")
    assert answer == (expected if reason else ("", "", ""))
    assert world.report.errors == ("a trouble",)
    assert world.report.target_status is not None


def test_a_delete_that_names_another_target_than_its_id_drains_nothing() -> None:
    # Whoever may publish could have any group of the account drained.
    world, request = World(), replace(DELETE, physical_id="other", started_at=NOW - DOUBTED)

    _, answer = world.find(request)

    why = "AutoScalingGroupName g is not the target that the physical resource id names"
    assert answer == ("SUCCESS", "other", f"Not drained: {why}")
    assert "drain" not in world.asked


@pytest.mark.parametrize(
    ("restored", "complete", "errors"),
    [
        ((), True, ()),
        (("a trouble",), True, ("a trouble",)),
        (("a trouble",), False, ("a trouble",)),
        (MisconfiguredError("no"), True, ("Instances that stay were not set ACTIVE: no",)),
    ],
)
def test_a_delete_whose_target_stays_sets_it_active_again(
    restored: Any, errors: tuple[str, ...], *, complete: bool
) -> None:
    # An earlier pass may have believed that it goes: its instances would stay DRAINING permanently.
    world = World(restored=restored, complete=complete)
    world.report.errors = ("before",)

    progress, (status, physical_id, reason) = world.find(DELETE, FAILED)

    assert (status, physical_id) == (("SUCCESS", "g") if complete else ("", ""))
    assert not complete or reason.startswith("Not drained: AutoScalingGroupName g stays")
    assert world.report.errors == ("before", *errors)
    assert progress.looks == (0 if isinstance(restored, DrainerError) else 7)


def test_a_throttle_while_it_is_set_active_is_no_answer() -> None:
    with pytest.raises(UnavailableError):
        World(restored=UnavailableError("Rate exceeded")).find(DELETE, FAILED)


# -- a Create and an Update


@pytest.mark.parametrize(
    ("request_", "stack", "expected"),
    [
        pytest.param(CREATE, FORTH, ("SUCCESS", "forth", "is guarded"), id="a Create"),
        pytest.param(UPDATE, FORTH, ("SUCCESS", "forth", "is guarded"), id="an Update"),
        pytest.param(UPDATE, BACK, ("SUCCESS", "back", "is guarded"), id="back"),
        pytest.param(UPDATE, None, ("SUCCESS", "forth", "is guarded"), id="unasked"),
        pytest.param(
            replace(CREATE, properties=WRONG), BACK, ("FAILED", "", "OnTimeout"), id="no Create"
        ),
        pytest.param(
            replace(UPDATE, properties=WRONG), FORTH, ("FAILED", "g", "OnTimeout"), id="a setting"
        ),
        pytest.param(
            replace(UPDATE, properties=WRONG), BACK, ("SUCCESS", "back", "is guarded"), id="undone"
        ),
        pytest.param(
            replace(UPDATE, properties=NOTHING), FORTH, ("FAILED", "g", "exactly"), id="no target"
        ),
        pytest.param(
            replace(UPDATE, properties=NOTHING), BACK, ("SUCCESS", "g", "exactly"), id="none, back"
        ),
    ],
)
def test_what_is_wrong_is_refused_on_the_way_forth_and_never_on_the_way_back(
    request_: Request, stack: Stack | None, expected: tuple[str, str, str]
) -> None:
    # Refused on the way back, the stack ends in UPDATE_ROLLBACK_FAILED.
    _, (status, physical_id, reason) = World().find(request_, stack)

    assert (status, physical_id or NO_TARGET)[:1] == expected[:1]
    assert physical_id.startswith(expected[1] or NO_TARGET)
    assert expected[2] in reason


def test_what_could_not_be_set_active_is_said_in_the_answer() -> None:
    world = World(restored=("arn was not set ACTIVE",))

    _, (_, _, reason) = world.find(UPDATE, FORTH)

    assert reason == "AutoScalingGroupName g is guarded. arn was not set ACTIVE"
    assert world.report.errors == ("arn was not set ACTIVE",)


def test_a_search_that_goes_on_is_no_answer_yet() -> None:
    progress, answer = World(complete=False).find(UPDATE, FORTH)

    assert (answer, progress.looks) == (("", "", ""), 7)


# -- at the deadline


@pytest.mark.parametrize(
    ("request_", "stack", "status", "physical_id"),
    [
        pytest.param(CREATE, FORTH, "FAILED", NO_TARGET, id="a Create"),
        pytest.param(CREATE, None, "FAILED", NO_TARGET, id="a Create, unasked"),
        pytest.param(UPDATE, FORTH, "FAILED", "g", id="an Update"),
        pytest.param(UPDATE, BACK, "SUCCESS", "g", id="back"),
        pytest.param(UPDATE, None, "SUCCESS", "g", id="it may go back"),
        pytest.param(replace(UPDATE, properties=NOTHING), BACK, "FAILED", "g", id="no target"),
        pytest.param(DELETE, DELETING, "FAILED", "g", id="a Delete"),
        pytest.param(replace(DELETE, properties=NOTHING), DELETING, "FAILED", "g", id="of none"),
        pytest.param(
            replace(DELETE, properties={**PROPERTIES, "OnTimeout": "SUCCESS"}), DELETING,
            "SUCCESS", "g", id="by its policy",
        ),
    ],
)  # fmt: skip
def test_at_the_deadline_everything_has_an_answer(
    request_: Request, stack: Stack | None, status: str, physical_id: str
) -> None:
    # Unanswered, the stack waits for its hour; refused on its way back, it is stuck.
    world = World()
    world.report.errors = ("The target was not read", "twice")

    answer = world.overdue(request_, stack)

    assert answer[0] == status
    assert answer[1].startswith(physical_id)
    assert "The target was not read. twice" in answer[2]


def test_an_update_that_goes_back_at_its_deadline_keeps_its_name() -> None:
    # By another name CloudFormation deletes the one before, and drains its target.
    changed = replace(UPDATE, properties={**PROPERTIES, "AutoScalingGroupName": "h"})

    assert [World().overdue(changed, stack)[1] for stack in (BACK, None)] == ["h", "h"]
    unknown = replace(changed, old_properties={})
    assert [World().overdue(unknown, stack)[1] for stack in (BACK, None)] == ["g", "h"]


@pytest.mark.parametrize(
    ("looks", "changes", "status"),
    [
        pytest.param(2, {"total": 2, "done": 2, "settled": False}, "SUCCESS", id="all known go"),
        pytest.param(2, {"gone": True}, "SUCCESS", id="it is gone"),
        pytest.param(1, {"total": 2, "done": 2}, "FAILED", id="one look"),
        pytest.param(2, {"total": 2, "done": 1}, "FAILED", id="one is left"),
        pytest.param(2, {"total": 2, "done": 2, "unsure": "x"}, "FAILED", id="unsure"),
        pytest.param(2, {}, "FAILED", id="nothing is known"),
    ],
)
def test_a_delete_at_its_deadline_succeeds_where_all_that_is_known_may_go(
    looks: int, changes: dict[str, Any], status: str
) -> None:
    # FAILED, somebody has to delete the stack once more for nothing.
    world = World()
    world.report.target_status = TargetStatus(
        replace(RequestProgress(DELETE), looks=looks), **changes
    )

    answer = world.overdue(DELETE, DELETING)

    assert answer[:2] == (status, "g")
    assert ("OnTimeout is FAILED" in answer[2]) is (status == "FAILED")
    assert ("as far as is known" in answer[2]) is (status == "SUCCESS")
    left = world.report.target_status.remaining() if status == "FAILED" else "known"
    assert left in answer[2]


# -- what is believed


@pytest.mark.parametrize(
    ("verify", "believed", "asked"), [(True, False, 1), (True, True, 0), (False, False, 0)]
)
def test_a_stack_is_asked_about_until_its_target_is_being_drained(
    asked: int, *, verify: bool, believed: bool
) -> None:
    # Without the right to ask, every request would wait for its deadline.
    world, progress = World(), RequestProgress(DELETE, believed=believed)
    anything: Any = world
    config = replace(CONFIG, verify_stacks=verify)

    if asked:
        assert Belief(anything, config).look(progress, NOW).doubt
    else:
        assert Belief(anything, config).look(progress, NOW) == Seen(progress)
    assert len(world.asked) == asked


OWN = Stack(DELETING.status, NOW, (row("g"),))


@pytest.mark.parametrize(
    ("physical_id", "target", "stack", "same"),
    [
        pytest.param("g", GROUP, CLEANING, True, id="its name"),
        pytest.param("x", GROUP, None, True, id="nobody is asked"),
        pytest.param("x", GROUP, CLEANING, False, id="another name"),
        pytest.param("p", GROUP, CLEANING, True, id="its provider's"),
        pytest.param("q", GROUP, CLEANING, False, id="a provider's of another group"),
        pytest.param("g", PROVIDER, CLEANING, True, id="its group's"),
        pytest.param("sfr-1", FLEET, CLEANING, True, id="a fleet's"),
        pytest.param("g", FLEET, CLEANING, False, id="a fleet has no group"),
        pytest.param("", drain_target(name="no"), CLEANING, False, id="no group and no name"),
        pytest.param(MADE_UP, GROUP, CLEANING, True, id="made up"),
        pytest.param("x", GROUP, OWN, True, id="it goes along"),
        pytest.param("x", PROVIDER, OWN, True, id="its group goes along"),
        pytest.param(
            "x", drain_target(name="n"), replace(OWN, rows=(row("n"),)), True, id="no group"
        ),
    ],
)
def test_a_delete_is_of_what_its_physical_id_names(
    physical_id: str, target: DrainTarget, stack: Stack | None, *, same: bool
) -> None:
    # A row of the stack confirms the physical id alone: the properties could name any group.
    world = World({"g": "g", "p": "g", "q": "h", "sfr-1": "g"})
    seen = Seen(RequestProgress(replace(DELETE, physical_id=physical_id)), stack)

    assert bool(world.belief.foreign(seen, target, NOW + DOUBTED)) is not same


def test_another_target_than_its_physical_id_names_is_looked_at_for_two_minutes() -> None:
    # A group that was made seconds ago is not seen everywhere: its tasks would be cut.
    seen = Seen(RequestProgress(replace(DELETE, physical_id="x")), CLEANING)

    with pytest.raises(UnavailableError):
        World().belief.foreign(seen, GROUP, NOW + DOUBTED - timedelta(seconds=1))
    assert World().belief.foreign(seen, GROUP, NOW + DOUBTED)


def test_no_group_is_asked_about_where_the_stack_tells_enough() -> None:
    # A denied read of groups would hold up the Delete until its deadline.
    world = World()

    assert (world.stays(DELETE, GROUP, DELETING), world.asked) == ("", [])


def test_a_name_that_is_no_providers_is_not_asked_about() -> None:
    # ECS refuses the whole call over one name that no capacity provider can have.
    world, odd = World({"g": "g", "a/b": "g"}), replace(DELETE, physical_id="a/b")

    assert world.belief.foreign(Seen(RequestProgress(odd), CLEANING), GROUP, NOW + DOUBTED)


@pytest.mark.parametrize(
    ("physical_id", "group", "believed", "stays"),
    [
        pytest.param(MADE_UP, "g", False, True, id="made up"),
        pytest.param(MADE_UP, MADE_UP, False, False, id="its group is called so"),
        pytest.param(MADE_UP, "g", True, False, id="believed before"),
        pytest.param("g", "g", False, False, id="its name"),
    ],
)
def test_without_the_stack_only_what_was_made_up_tells_that_a_target_stays(
    physical_id: str, group: str, *, believed: bool, stays: bool
) -> None:
    # A Create that was cancelled drains a group that serves.
    request = replace(DELETE, physical_id=physical_id)
    seen = Seen(RequestProgress(request, believed=believed))

    assert bool(World({"p": group}).belief.stays(seen, PROVIDER)) is stays


@pytest.mark.parametrize(
    ("request_", "target", "stack", "stays"),
    [
        pytest.param(DELETE, GROUP, DELETING, False, id="the stack goes"),
        pytest.param(DELETE, GROUP, FAILED, True, id="not the failed stack's"),
        pytest.param(DELETE, GROUP, replace(FAILED, rows=(row("g"),)), False, id="its own"),
        pytest.param(DELETE, PROVIDER, replace(FAILED, rows=(row("g"),)), False, id="its group"),
        pytest.param(
            DELETE, drain_target(name="x"), replace(FAILED, rows=(row("x"),)), False, id="no group"
        ),
        pytest.param(
            replace(DELETE, physical_id=MADE_UP), PROVIDER, replace(DELETING, rows=(row("g"),)),
            False, id="made up, and its group goes",
        ),
        pytest.param(replace(DELETE, physical_id=MADE_UP), PROVIDER, DELETING, True, id="made up"),
    ],
)  # fmt: skip
def test_a_target_stays_or_goes_by_its_stack(
    request_: Request, target: DrainTarget, stack: Stack, *, stays: bool
) -> None:
    # What stays and is drained is DRAINING permanently; what goes and is not loses its tasks.
    assert bool(World().stays(request_, target, stack)) is stays


def test_what_is_not_known_yet_is_asked_again() -> None:
    with pytest.raises(UnavailableError, match="UPDATE_IN_PROGRESS"):
        World().stays(DELETE, GROUP, FORTH)


@pytest.mark.parametrize(("made_by", "stays"), [("stack", False), ("other", True), ("", True)])
def test_a_group_that_is_listed_no_more_goes_by_its_tag(made_by: str, *, stays: bool) -> None:
    # What an update that failed had made is taken down with its tasks; another stack's serves on.
    rows = (row("g-0", "Drain", RESOURCE_TYPE),)

    stack = replace(BACK, changed_at=NOW, rows=rows)

    assert bool(World(made_by_stack=made_by).stays(DELETE, PROVIDER, stack)) is stays


@pytest.mark.parametrize(
    ("target", "other", "stays"),
    [
        pytest.param(GROUP, "g", True, id="by its name"),
        pytest.param(GROUP, "p", True, id="by its provider"),
        pytest.param(PROVIDER, "g", True, id="by its group"),
        pytest.param(GROUP, "h", False, id="another group"),
        pytest.param(drain_target(name="x"), "x", True, id="no group"),
        pytest.param(FLEET, "sfr-1", False, id="a fleet's own name and another id"),
    ],
)
def test_what_another_resource_of_the_stack_guards_stays(
    target: DrainTarget, other: str, *, stays: bool
) -> None:
    # Of two guards of one group one is removed from the template: the group serves on.
    stack = replace(DELETING, rows=(row(other, "Other", RESOURCE_TYPE),))

    assert World().stays(DELETE, target, stack).startswith("Other of this stack") is stays
