"""What was drained and stays is brought back, and nothing else is touched."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from drainer.config import Config
from drainer.drain.model import (
    ContainerInstance,
    Drain,
    Hook,
    LifecycleAction,
    Place,
    Policy,
    WakeUp,
)
from drainer.drain.record import SETTLE, DrainRecord, End, Previous, key_of
from drainer.errors import (
    ClusterMissingError,
    DrainerError,
    MisconfiguredError,
    RefusedError,
    UnavailableError,
)
from drainer.invocation import InvocationClock
from drainer.lifecycle.bringing_back import Returned
from drainer.lifecycle.followed import FOLLOWED_MAX
from drainer.lifecycle.reactivation import Reactivation
from drainer.lifecycle.sweep import GROUPS_TOGETHER
from tests.unit.ecs import UnaskedEcs, container_instance
from tests.unit.records import Records

if TYPE_CHECKING:
    from collections.abc import Sequence

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
ENDED_AT = NOW - SETTLE
ID = "i-0123456789abcdef0"


def instance(arn: str = "arn-1", ec2_instance_id: str = ID, **changes: Any) -> ContainerInstance:
    """A container instance that a drain of ours has left DRAINING."""
    return container_instance(arn, ec2_instance_id, **changes)


def record(
    ec2_instance_id: str = ID,
    hook: str = "drainer",
    cluster: str | None = "payments",
    policy: Policy | None = None,
    **changes: Any,
) -> DrainRecord:
    """The record of a drain that has ended two minutes ago."""
    action = LifecycleAction("g", hook, ec2_instance_id, "t" * 36)
    began = NOW - timedelta(hours=1)
    drain = Drain(action, began, began, cluster=cluster, policy=policy, generation=2)
    known = DrainRecord(
        key_of(action), 2, 9, "an-earlier-pass", drain,
        written_at=ENDED_AT, end=End.CONTINUE, ended_at=ENDED_AT, followed=True,
    )  # fmt: skip
    return replace(known, **changes)


OPEN: dict[str, Any] = {"end": End.OPEN, "ended_at": None, "followed": False}


@dataclass
class World(UnaskedEcs):
    """Auto Scaling, ECS and the records in one; each call is noted, and fails as it is told to."""

    where: dict[str, list[ContainerInstance]] = field(default_factory=dict)
    states: dict[str, str] = field(default_factory=lambda: {ID: "InService"})
    records: Records = field(default_factory=Records)
    fails: dict[str, DrainerError] = field(default_factory=dict)
    refusals: dict[str, str] = field(default_factory=dict)
    seconds_left: float = 100.0
    call_seconds: float = 0.0
    log: list[str] = field(default_factory=list)
    active: list[str] = field(default_factory=list)
    deregistered: list[str] = field(default_factory=list)
    hidden: set[str] = field(default_factory=set)  # the ARNs that are listed and not described
    unlisted: set[str] = field(default_factory=set)  # the ARNs that are described and not listed
    refused: set[str] = field(default_factory=set)  # the ARNs over which a whole call is refused
    asked_about: list[str] = field(default_factory=list)
    # What the groups list that the answer about single instances lacks, and their warm pools.
    listed: list[str] = field(default_factory=list)
    pools: dict[str, list[str]] = field(default_factory=dict)
    groups_read: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.records.call = self._call
        if not self.records.rows:
            self.records.put(record())

    def _call(self, name: str) -> None:
        self.log.append(name)
        self.seconds_left -= self.call_seconds
        if name in self.fails:
            raise self.fails[name]

    def lifecycle_states(self, ec2_instance_ids: Sequence[str]) -> dict[str, tuple[str, str]]:
        self._call("states")
        self.asked_about += ec2_instance_ids
        return {one: ("g", self.states[one]) for one in ec2_instance_ids if one in self.states}

    def group_names(self) -> list[str]:
        raise AssertionError("only the groups of what is followed are read")

    def lifecycle_hooks(self, auto_scaling_group_name: str) -> dict[str, Hook]:
        raise AssertionError("hooks are not read")

    def states_in_groups(
        self, auto_scaling_group_names: Sequence[str]
    ) -> tuple[dict[str, tuple[str, str]], list[str]]:
        self._call("groups")
        self.groups_read += auto_scaling_group_names
        pools = [one for one in auto_scaling_group_names if one in self.pools]
        return dict.fromkeys(self.listed, ("g", "InService")), pools

    def states_in_warm_pool(self, auto_scaling_group_name: str) -> dict[str, tuple[str, str]]:
        self._call("pool")
        pool = self.pools[auto_scaling_group_name]
        return dict.fromkeys(pool, (auto_scaling_group_name, "Warmed:Stopped"))

    def clusters(self) -> list[str]:
        raise AssertionError("clusters are not listed")

    def find(self, cluster: str, ec2_instance_ids: Sequence[str]) -> list[str]:
        self._call(f"find {cluster}")
        here = [one for one in self.where.get(cluster, ()) if one.arn not in self.unlisted]
        return [one.arn for one in here if one.ec2_instance_id in ec2_instance_ids]

    def describe(self, cluster: str, arns: Sequence[str]) -> list[ContainerInstance]:
        self._call("describe")
        if self.refused & {*arns}:
            raise RefusedError("InvalidParameterException: not a container instance")
        return [one for one in self.where.get(cluster, ()) if one.arn in {*arns} - self.hidden]

    def set_active(self, cluster: str, arns: Sequence[str]) -> dict[str, str]:
        self._call("set ACTIVE")
        assert 0 < len(arns) <= 10
        if len(arns) > 1 and self.refusals:
            raise RefusedError(str(self.refusals))
        done = [one for one in arns if one not in self.refusals]
        self.active += done
        self.where[cluster] = [
            replace(one, status="ACTIVE") if one.arn in done else one for one in self.where[cluster]
        ]
        return {one: self.refusals[one] for one in arns if one in self.refusals}

    def deregister(self, cluster: str, arn: str) -> None:
        self._call("deregister")
        self.deregistered.append(arn)

    def left(self) -> float:
        return self.seconds_left

    def drains_again(self, arn: str = "arn-1", cluster: str = "payments") -> None:
        """Let somebody set a container instance DRAINING."""
        self.where[cluster] = [
            replace(one, status="DRAINING") if one.arn == arn else one
            for one in self.where[cluster]
        ]
        self.active.clear()

    @property
    def followed(self) -> list[str]:
        return [key.instance for key in self.records.followed_keys()]

    def run(
        self,
        *wake_ups: WakeUp,
        sweep: bool = True,
        clusters: tuple[str, ...] = ("payments",),
        now: datetime = NOW,
    ) -> list[Returned]:
        one = Reactivation(self, self, self.records, clusters)
        return one.run(wake_ups, sweep=sweep, time=InvocationClock(now, self.left))


def followed(*records: DrainRecord) -> Records:
    there = Records()
    there.put(*records)
    return there


def test_what_was_drained_and_is_in_service_again_serves_again() -> None:
    # An instance that returns from a warm pool, or has its new volume, gets no tasks otherwise.
    world = World({"payments": [instance()]})

    assert world.run() == [Returned(ID, "payments", "arn-1", done="active")]
    assert world.active == ["arn-1"]
    assert world.followed == []


def test_what_was_brought_back_is_not_brought_back_again() -> None:
    # Somebody who sets it DRAINING by hand a week later would find it ACTIVE in five minutes.
    world = World({"payments": [instance()]})
    world.run()
    world.drains_again()

    assert world.run() == []
    assert world.run(WakeUp(ID), sweep=False) == []
    assert world.active == []


@pytest.mark.parametrize("error", [MisconfiguredError("AccessDenied"), UnavailableError("Rate")])
def test_what_could_not_be_set_active_is_tried_again_until_it_is(error: DrainerError) -> None:
    world = World({"payments": [instance()]}, fails={"set ACTIVE": error})

    [said] = world.run()
    assert (said.done, str(error) in said.error, world.followed) == ("", True, [ID])

    world.fails.clear()
    assert [one.done for one in world.run()] == ["active"]
    assert world.followed == []


def test_what_spot_takes_a_stack_drains_or_an_operator_has_drained_is_left_to_them() -> None:
    # Who has set it DRAINING wants its tasks to leave: ACTIVE again, ECS places others on it.
    for there in (
        instance(interrupted="recommend/0"),
        instance(drained_for="0badcafe"),
        instance(drained_by="2026-11-20T12:02:00Z assumed-role/ops/anna"),
    ):
        world = World({"payments": [there]})

        assert world.run() == []
        assert world.active == []


# Set ACTIVE in the console, it keeps the attribute. Back from its warm pool it would get no task
# for ever. What was DRAINING by hand when our drain began stays so, and so does what is since.
@pytest.mark.parametrize(
    ("by_hand_at", "was_active", "is_back"),
    [
        (-timedelta(days=30), True, True),
        (-timedelta(days=30), False, False),
        # ECS may have said ACTIVE out of date.
        (-timedelta(seconds=20), True, False),
        (-timedelta(seconds=21), True, True),
        (timedelta(seconds=30), True, False),
        (None, True, False),
    ],
)
def test_what_an_operator_has_drained_and_set_active_since_comes_back_from_our_drain(
    by_hand_at: timedelta | None, *, was_active: bool, is_back: bool
) -> None:
    known = record()
    known = replace(known, drain=replace(known.drain, was_active=was_active))
    at = f"{known.drain.started_at + by_hand_at:%Y-%m-%dT%H:%M:%SZ}" if by_hand_at else "lately"
    there = instance(drained_by=f"{at} assumed-role/ops/anna")

    world = World({"payments": [there]}, records=followed(known))
    world.run()

    assert world.active == (["arn-1"] if is_back else [])


# A record is forgotten after it was set ACTIVE. One that could not be is looked at again once more;
# what is ACTIVE by then is forgotten before anybody else sets it DRAINING.
@pytest.mark.parametrize("made", [True, False])
def test_a_record_that_could_not_be_forgotten_does_not_undo_what_others_do_later(
    *, made: bool
) -> None:
    world = World({"payments": [instance()]})
    world.records.unanswered = UnavailableError("Rate exceeded") if made else None
    world.records.unmade = None if made else UnavailableError("Rate exceeded")
    world.run()
    world.records.unanswered = world.records.unmade = None
    world.run(now=NOW + timedelta(minutes=5))
    world.drains_again()

    world.run(now=NOW + timedelta(days=7))

    assert world.active == []


@pytest.mark.parametrize("status", ["ACTIVE", "DEREGISTERING", "INACTIVE"])
def test_what_is_not_draining_stays_as_it_is(status: str) -> None:
    world = World({"payments": [instance(status=status)]})

    world.run()

    assert (world.active, world.deregistered, world.followed) == ([], [], [])


@pytest.mark.parametrize(
    "there",
    [
        pytest.param([], id="no drain of ours"),
        pytest.param([record(followed=False)], id="one for which nothing was drained"),
        pytest.param([record(**OPEN)], id="one that is under way"),
        pytest.param([record("i-9")], id="another instance's"),
    ],
)
def test_what_no_drain_of_ours_has_left_stays_as_it_is(there: list[DrainRecord]) -> None:
    # Who has set it DRAINING wants its tasks to leave: ACTIVE again, ECS places others on it.
    world = World({"payments": [instance()]})
    world.records.rows.clear()
    world.records.put(*there)

    world.run()
    world.run(WakeUp(ID), sweep=False)

    assert (world.active, world.deregistered) == ([], [])


@pytest.mark.parametrize(
    "state",
    [
        "Terminating",
        "Terminating:Wait",
        "Terminating:Proceed",
        "Terminating:Retained",
        "ReplacingRootVolume:Wait",
        "Warmed:Pending",
        "Warmed:Running",
        "Warmed:Stopped",
        "Pending",
        "Pending:Wait",
        "Standby",
        "Quarantined",
    ],
)
def test_only_what_is_in_service_is_brought_back(state: str) -> None:
    # In the warm pool or on its way out, it would be given tasks that are cut again.
    world = World({"payments": [instance()]}, {ID: state})

    assert world.run() == []
    assert (world.active, world.followed) == ([], [ID])


def test_an_instance_that_is_in_no_group_any_more_is_forgotten() -> None:
    # Each terminated instance would be asked about by every sweep for 90 days.
    world = World({"payments": [instance(agent_connected=False)]}, {})

    assert world.run() == []
    assert (world.active, world.followed) == ([], [])


def test_one_answer_that_lacks_an_instance_forgets_nothing_while_its_agent_is_at_work() -> None:
    # Auto Scaling may answer late: the instance would stay DRAINING permanently once it is back.
    world = World({"payments": [instance()]}, {})

    assert world.run() == []
    assert (world.active, world.followed) == ([], [ID])


def stopped(**there: Any) -> World:
    """Return a world whose instance is off, and in no group by the answer about it alone."""
    return World({"payments": [instance(agent_connected=False)]}, {}, **there)


@pytest.mark.parametrize(
    "there",
    [
        pytest.param({"listed": [ID]}, id="in its group"),
        pytest.param({"pools": {"g": [ID]}}, id="in the warm pool"),
    ],
)
def test_one_answer_that_lacks_a_stopped_instance_of_a_warm_pool_forgets_nothing(
    there: dict[str, Any],
) -> None:
    # No agent is at work on it that would tell: it would come back DRAINING, and stay so
    # permanently.
    world = stopped(**there)

    assert world.run() == []
    assert world.followed == [ID]
    # It is back.
    world.states[ID] = "InService"
    world.where["payments"] = [instance()]
    assert [one.done for one in world.run()] == ["active"]


@pytest.mark.parametrize("failing", ["groups", "pool"])
def test_groups_that_cannot_be_read_forget_nothing_and_spoil_nothing(failing: str) -> None:
    back = "i-1"
    world = World(
        {"payments": [instance("arn-2", back)]}, {back: "InService"},
        followed(record(), record(back)), {failing: UnavailableError("Rate exceeded")},
        pools={"g": []},
    )  # fmt: skip

    said = [one.done or one.error for one in world.run()]

    assert said == ["active", "Reactivation failed: Rate exceeded"]
    assert world.followed == [ID]


def test_no_group_is_read_where_auto_scaling_names_every_instance() -> None:
    # Each sweep would describe groups of thousands for a warm pool that only waits.
    world = World({"payments": [instance()]}, {ID: "Warmed:Stopped"})

    world.run()

    assert "groups" not in world.log


def test_an_instance_that_two_groups_have_had_is_sought_in_both() -> None:
    elsewhere = replace(
        record(hook="other").drain,
        action=LifecycleAction("h", "other", ID, "t" * 36),
    )
    beside = replace(record(), key=key_of(elsewhere.action), drain=elsewhere)
    world = stopped(records=followed(record(), beside))

    world.run()

    assert (world.groups_read, world.followed) == (["g", "h"], [])


def test_of_more_groups_than_one_call_takes_each_has_its_turn() -> None:
    # What was never asked about would be followed for 90 days.
    there = Records()
    names = [f"i-{number:02}" for number in range(GROUPS_TOGETHER + 10)]
    for name in names:
        gone = replace(record(name).drain, action=LifecycleAction(f"g-{name}", "drainer", name, ""))
        there.put(replace(record(name), key=key_of(gone.action), drain=gone))
    world = World({}, {}, there, listed=names[:GROUPS_TOGETHER])
    asked: set[str] = set()

    for number in range(8):
        world.groups_read.clear()
        world.run(now=NOW + timedelta(minutes=5 * number))
        assert len(world.groups_read) <= GROUPS_TOGETHER
        asked |= set(world.groups_read)

    assert asked == {f"g-{name}" for name in names}
    assert world.followed == names[:GROUPS_TOGETHER]


@pytest.mark.parametrize(("call_seconds", "read"), [(2.5, True), (3.0, False), (4.0, False)])
def test_a_warm_pool_for_which_no_time_is_left_forgets_nothing_of_its_group(
    call_seconds: float, *, read: bool
) -> None:
    # The instance may be in it.
    world = stopped(pools={"g": []}, seconds_left=28 + call_seconds, call_seconds=call_seconds)

    assert world.run() == []
    assert ("groups" in world.log, "pool" in world.log) == (call_seconds < 4, read)
    assert world.followed == ([] if read else [ID])


@pytest.mark.parametrize(("seconds", "brought_back"), [(0, False), (119, False), (120, True)])
def test_in_service_right_after_the_answer_is_a_stale_word(
    seconds: int, *, brought_back: bool
) -> None:
    # Right after an answer Auto Scaling may still say what was before: ACTIVE, the instance that
    # is about to be terminated would get tasks in its last seconds.
    there = followed(record(ended_at=NOW - timedelta(seconds=seconds)))
    world = World({"payments": [instance()]}, records=there)

    world.run()

    assert bool(world.active) is brought_back
    assert bool(world.followed) is not brought_back


@pytest.mark.parametrize(
    ("arn", "others", "brought_back"),
    [
        pytest.param("arn-1", (), True, id="the one that was drained"),
        pytest.param("arn-old", (Place("payments", "arn-1"),), True, id="one of several"),
        pytest.param(None, (), True, id="nobody could say which"),
        pytest.param("arn-old", (), False, id="the agent has registered anew"),
    ],
)
def test_what_somebody_drains_after_the_agent_has_registered_anew_stays_as_it_is(
    arn: str | None, others: tuple[Place, ...], *, brought_back: bool
) -> None:
    # With its new root volume the instance is ACTIVE by another registration: who sets that
    # DRAINING by hand would find it ACTIVE again.
    ended = record()
    drained = replace(ended.drain, container_instance_arn=arn, others=others)
    world = World({"payments": [instance()]}, records=followed(replace(ended, drain=drained)))

    world.run()

    assert bool(world.active) is brought_back


@pytest.mark.parametrize("hours", [0, 100])
def test_a_drain_under_way_is_not_reverted(hours: int) -> None:
    # Of two hooks one has ended and the other drains, or its chain is lost and the sweep goes on:
    # ACTIVE, ECS would place tasks again.
    beside = record(hook="other", written_at=NOW - timedelta(hours=hours), **OPEN)
    world = World({"payments": [instance()]}, records=followed(record(), beside))

    assert world.run() == []
    assert (world.active, world.followed) == ([], [ID])


@pytest.mark.parametrize("ahead", ["unread", "settling"])
def test_one_record_that_is_not_clear_holds_up_its_instance_and_no_other(ahead: str) -> None:
    beside, second = record(hook="other"), "i-2"
    world = World(
        {"payments": [instance(), instance("arn-2", second)]},
        {ID: "InService", second: "InService"},
        followed(record(), beside, record(second)),
    )
    if ahead == "unread":
        world.records.unread[beside.key] = MisconfiguredError("not a record of ours")
    else:
        world.records.put(replace(beside, ended_at=NOW - timedelta(seconds=9)))

    world.run()

    assert world.active == ["arn-2"]


@pytest.mark.parametrize("name", ["find payments", "describe", "states", "query"])
@pytest.mark.parametrize("error", [UnavailableError("x"), MisconfiguredError("x")])
def test_a_read_that_fails_brings_nothing_back_and_is_said(name: str, error: DrainerError) -> None:
    world = World({"payments": [instance()]}, fails={name: error})

    [said] = world.run()
    world.fails.clear()

    assert (said.done, bool(said.error)) == ("", True)
    assert (world.active, world.deregistered, world.followed) == ([], [], [ID])


def test_an_index_that_cannot_be_read_brings_nothing_back_and_is_said() -> None:
    world = World({"payments": [instance()]})
    world.records.unindexed = UnavailableError("x")

    [said] = world.run()

    assert (said.done, bool(said.error)) == ("", True)
    assert world.active == []


def test_one_cluster_that_cannot_be_read_spoils_no_other() -> None:
    world = World(
        {"payments": [instance()], "search": [instance("arn-2", "i-2")]},
        {ID: "InService", "i-2": "InService"},
        followed(record(), record("i-2", cluster="search")),
        fails={"find payments": ClusterMissingError("payments")},
    )

    said = world.run()

    assert world.active == ["arn-2"]
    assert sorted(bool(one.error) for one in said) == [False, True]
    assert world.followed == [ID]


def test_a_missing_instance_whose_cluster_is_missing_too_is_forgotten() -> None:
    # Each sweep would say for 90 days that a cluster is missing that somebody has deleted.
    world = World({}, {}, fails={"find payments": ClusterMissingError("payments")})

    assert world.run() == []
    assert world.followed == []


def test_a_denied_cluster_of_a_missing_instance_is_said_and_spoils_no_other() -> None:
    # One terminated instance whose cluster the function may not read kept all others DRAINING.
    world = World(
        {"payments": [instance()]},
        records=followed(record(), record("i-2", cluster="denied")),
        fails={"find denied": MisconfiguredError("AccessDenied")},
    )

    said = world.run()

    assert world.active == ["arn-1"]
    assert [one.cluster for one in said if "AccessDenied" in one.error] == ["denied"]
    assert world.followed == ["i-2"]


def test_what_was_seen_active_is_followed_no_more_though_its_agent_is_off() -> None:
    # An operator sets it ACTIVE by hand, and drains it again a week later: their DRAINING stays.
    world = World({"payments": [instance(status="ACTIVE", agent_connected=False)]})
    world.run()
    world.where["payments"] = [instance()]

    assert world.followed == []
    assert world.run() == []
    assert world.active == []


def test_another_registration_that_is_active_does_not_end_the_following() -> None:
    # An answer that lacks the drained registration would leave it in the cluster permanently.
    world = World({"payments": [replace(NEW, agent_connected=False)]})
    drained = replace(record().drain, container_instance_arn="arn-old")
    world.records.put(replace(record(), drain=drained))

    world.run()

    assert world.followed == [ID]


def test_a_refused_one_is_said_spoils_no_other_and_is_tried_again_by_the_next_sweep() -> None:
    world = World(
        {"payments": [instance(), instance("arn-2", "i-2")]},
        {ID: "InService", "i-2": "InService"},
        followed(record(), record("i-2")),
        refusals={"arn-1": "MISSING"},
    )

    said = {one.container_instance_arn: one for one in world.run()}

    assert (said["arn-1"].done, said["arn-2"].done) == ("", "active")
    assert "MISSING" in said["arn-1"].error
    assert world.followed == [ID]


def test_two_hooks_have_left_two_records_and_both_are_forgotten() -> None:
    world = World({"payments": [instance()]}, records=followed(record(), record(hook="other")))

    world.run()

    assert world.active == ["arn-1"]
    assert world.followed == []


def test_a_record_that_has_been_replaced_meanwhile_is_not_forgotten() -> None:
    # Another drain of the instance has begun, and ended, since it was read.
    world = World({"payments": [instance()]})
    world.records.meanwhile[record().key] = record(generation=3)

    world.run()

    assert world.followed == [ID]


def test_a_crowd_is_brought_back_ten_at_a_time() -> None:
    # UpdateContainerInstancesState takes ten.
    names = [f"i-{number}" for number in range(25)]
    world = World(
        {"payments": [instance(f"arn-{one}", one) for one in names]},
        dict.fromkeys(names, "InService"),
        followed(*(record(one) for one in names)),
    )

    world.run()

    assert len(world.active) == 25
    assert world.log.count("set ACTIVE") == 3
    assert world.followed == []


# -- left-over registrations

LEFT_OVER = instance("arn-old", agent_connected=False)
NEW = instance("arn-new", status="ACTIVE")


def test_what_is_left_of_the_earlier_registration_is_deregistered() -> None:
    # With its new root volume the agent registers again; the old one stays listed for ever, and the
    # next drain has to wait for it.
    world = World({"payments": [LEFT_OVER, NEW]})

    assert world.run() == [Returned(ID, "payments", "arn-old", done="deregistered")]
    assert world.deregistered == ["arn-old"]
    # An answer of ECS's that is out of date may lack one more: the next sweep looks again.
    assert (world.active, world.followed) == ([], [ID])
    world.where["payments"] = [NEW]
    world.run()
    assert world.followed == []


@pytest.mark.parametrize("states", [{ID: "InService"}, {}])
def test_what_is_listed_and_cannot_be_described_is_looked_at_again(states: dict[str, str]) -> None:
    # Seed 1228: with one answer that lacked it, the earlier registration was left over for ever.
    world = World({"payments": [LEFT_OVER, NEW]}, states, hidden={"arn-old"})
    if not states:
        world.hidden.add("arn-new")

    assert world.run() == []
    assert world.followed == [ID]

    world.states, world.hidden = {ID: "InService"}, set()
    world.run()
    assert world.deregistered == ["arn-old"]


def arn_in(cluster: str, name: str) -> str:
    return f"arn:aws:ecs:us-east-1:123456789012:container-instance/{cluster}/{name}"


def drained(*arns: str) -> Records:
    known = record()
    first, *others = arns
    places = tuple(Place("payments", one) for one in others)
    drain = replace(known.drain, container_instance_arn=first, others=places)
    return followed(replace(known, drain=drain))


def test_what_a_drain_has_found_and_one_listing_lacks_is_deregistered() -> None:
    # Seed 326: one listing lacked the earlier registration, which then was left over for ever.
    old = arn_in("payments", "old")
    world = World({"payments": [replace(LEFT_OVER, arn=old), NEW]}, records=drained(old))
    world.unlisted.add(old)

    world.run()
    assert world.deregistered == [old]
    assert world.followed == [ID]


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(arn_in("search", "old"), id="of another cluster, for which ECS refuses all"),
        pytest.param(arn_in("payments", "old"), id="deregistered, and shown for a while as such"),
    ],
)
def test_what_is_not_in_the_cluster_any_more_keeps_no_record(other: str) -> None:
    # Each sweep would look at it for as long as records are kept.
    gone = replace(LEFT_OVER, arn=other, status="INACTIVE")
    world = World({"payments": [gone, NEW]}, records=drained("arn-new", other), unlisted={other})

    assert world.run() == []
    assert (world.deregistered, world.followed) == ([], [])
    assert world.log.count("describe") == 1 + (other == arn_in("payments", "old"))


def test_a_claimed_registration_that_ecs_refuses_does_not_keep_the_others() -> None:
    # One record with an ARN that is none would keep all of a cluster's instances DRAINING.
    odd = arn_in("payments", "?")
    world = World({"payments": [instance()]}, records=drained("arn-1", odd), refused={odd})

    assert world.run() == [Returned(ID, "payments", "arn-1", done="active")]
    assert world.followed == []


@pytest.mark.parametrize(
    "there",
    [
        pytest.param([LEFT_OVER], id="the agent has not registered anew"),
        pytest.param([LEFT_OVER, replace(NEW, agent_connected=False)], id="nor is it connected"),
        pytest.param([LEFT_OVER, replace(NEW, ec2_instance_id="i-1")], id="another instance's"),
        pytest.param([replace(LEFT_OVER, running_tasks=1), NEW], id="a task runs on it"),
        pytest.param([replace(LEFT_OVER, pending_tasks=1), NEW], id="a task is to run on it"),
        pytest.param([], id="no registration at all"),
    ],
)
def test_a_registration_that_may_be_the_true_one_is_not_deregistered(
    there: list[ContainerInstance],
) -> None:
    # A deregistered container instance does not come back by itself; its tasks are lost to ECS.
    # It is looked at again, until its agent is connected or its tasks have ended.
    world = World({"payments": there})

    world.run()

    assert (world.deregistered, world.active, world.followed) == ([], [], [ID])


def test_a_deregistration_that_fails_is_said_tried_again_and_spoils_no_other() -> None:
    world = World(
        {"payments": [LEFT_OVER, NEW, instance("arn-2", "i-2")]},
        {ID: "InService", "i-2": "InService"},
        followed(record(), record("i-2")),
        fails={"deregister": MisconfiguredError("tasks")},
    )

    said = {one.container_instance_arn: one for one in world.run()}

    assert "not removed" in said["arn-old"].error
    assert said["arn-2"].done == "active"
    assert world.followed == [ID]


def in_two_clusters(*here: str) -> World:
    """An instance that has an earlier registration in one cluster, and serves in another."""
    known = record(cluster="web")
    places = (Place("payments", "arn-old"),)
    drain = replace(known.drain, container_instance_arn="arn-1", others=places)
    world = World(records=followed(replace(known, drain=drain)))
    world.where = {"payments": [LEFT_OVER] if "payments" in here else [], "web": [instance()]}
    return world


def test_what_is_left_in_one_cluster_is_deregistered_once_its_instance_serves_in_another() -> None:
    # It was listed for ever, and each later drain of the instance had to wait for it.
    world = in_two_clusters("payments")

    assert [one.done for one in world.run()] == ["active", "deregistered"]
    assert (world.active, world.deregistered) == (["arn-1"], ["arn-old"])
    world.where["payments"] = []
    world.run()
    assert world.followed == []


def test_what_is_away_from_one_cluster_is_not_deregistered_while_none_is_connected_in_another() -> (
    None
):
    # A deregistered container instance does not come back by itself.
    world = in_two_clusters("payments")
    world.where["web"] = [instance(agent_connected=False)]

    assert world.run() == []
    assert (world.deregistered, world.followed) == ([], [ID])


def test_a_cluster_that_two_records_name_in_two_ways_is_read_once() -> None:
    # Read before anything is done, one container instance would be deregistered twice.
    named = "arn:aws:ecs:us-east-1:123456789012:cluster/payments"
    there = followed(record(), record(hook="other", cluster=named))
    world = World({"payments": [LEFT_OVER, NEW], named: [LEFT_OVER, NEW]}, records=there)

    world.run()

    assert world.deregistered == ["arn-old"]


# -- what has served since

TASK = replace(LEFT_OVER, running_tasks=1)
STAYS: dict[str, tuple[list[ContainerInstance], dict[str, DrainerError]]] = {
    "it counts a task for ever": ([TASK], {}),
    "it may not be deregistered": ([LEFT_OVER], {"deregister": MisconfiguredError("Denied")}),
    "its deregistration is refused": ([LEFT_OVER], {"deregister": RefusedError("has tasks")}),
    "it is listed and not described": ([LEFT_OVER], {}),
}


# While anything of it was left, each sweep made ACTIVE what an operator was taking out, for years,
# and ECS placed tasks on it.
@pytest.mark.parametrize("made", [True, False], ids=["it was made ACTIVE", "it was ACTIVE"])
@pytest.mark.parametrize("why", STAYS)
def test_what_has_served_is_set_draining_by_hand_and_stays_so_while_anything_of_it_is_left(
    why: str, *, made: bool
) -> None:
    left, fails = STAYS[why]
    serving = instance() if made else instance(status="ACTIVE")
    world = World({"payments": [serving, *left]}, fails=dict(fails))
    world.hidden = {"arn-old"} if "described" in why else set()
    world.run()
    assert (world.active, world.followed) == (["arn-1"] if made else [], [ID])

    world.drains_again()
    for minutes in (5, 10, 60 * 24 * 365):
        world.run(now=NOW + timedelta(minutes=minutes))
        world.run(WakeUp(ID), sweep=False, now=NOW + timedelta(minutes=minutes))
    assert (world.active, world.followed) == ([], [ID])

    # What is left is deregistered all the same, once it can be, and then the record is forgotten.
    world.fails.clear()
    world.hidden, there = set(), [*world.where["payments"]]
    world.where["payments"] = [replace(one, running_tasks=0) for one in there]
    world.run()
    assert world.deregistered == ["arn-old"]
    world.where["payments"] = there[:1]
    world.run()
    assert (world.active, world.followed) == ([], [])


@pytest.mark.parametrize("error", [MisconfiguredError("Denied"), UnavailableError("Rate exceeded")])
def test_what_serves_in_one_cluster_and_cannot_be_read_in_another_is_brought_back_once(
    error: DrainerError,
) -> None:
    # For as long as the other cluster was denied, an operator's DRAINING was undone.
    world = in_two_clusters()
    world.fails["find payments"] = error

    world.run()
    assert (world.active, world.followed) == (["arn-1"], [ID])
    world.drains_again(cluster="web")
    world.run()
    assert (world.active, world.followed) == ([], [ID])

    world.fails.clear()
    world.run()
    assert (world.active, world.followed) == ([], [])


def test_that_an_instance_has_served_is_written_once() -> None:
    # Each sweep would write to the table for what is left, for years.
    world = World({"payments": [instance(), TASK]})

    for minutes in range(0, 60, 5):
        world.run(now=NOW + timedelta(minutes=minutes))

    assert world.log.count("serve") == 1
    assert "forget" not in world.log


@pytest.mark.parametrize("made", [True, False])
def test_that_an_instance_has_served_and_could_not_be_written_is_written_by_the_next_sweep(
    *, made: bool
) -> None:
    # Lost with one throttle, it would leave each later DRAINING of an operator's undone.
    world = World({"payments": [instance(), TASK]})
    world.records.unanswered = UnavailableError("Rate exceeded") if made else None
    world.records.unmade = None if made else UnavailableError("Rate exceeded")
    world.run()
    world.records.unanswered = world.records.unmade = None
    world.run()
    world.drains_again()

    world.run()

    assert (world.active, world.log.count("serve")) == ([], 1 if made else 2)


@pytest.mark.parametrize(
    "again",
    [
        pytest.param(record(generation=3), id="for the same hook"),
        pytest.param(record(hook="other"), id="for another one"),
    ],
)
def test_what_has_served_and_was_drained_again_is_brought_back_again(again: DrainRecord) -> None:
    # It would stay DRAINING permanently.
    world = World({"payments": [instance(), TASK]})
    world.run()
    world.drains_again()
    world.records.put(again)

    world.run()

    assert world.active == ["arn-1"]


def test_a_drain_that_begins_before_it_is_written_that_the_last_one_has_served_is_its_own() -> None:
    # What the new drain sets DRAINING would stay so permanently.
    world = World({"payments": [instance(), TASK]})
    world.records.meanwhile[record().key] = record(generation=3)

    world.run()

    assert not world.records.rows[record().key].served


def test_what_is_refused_is_brought_back_though_the_instance_serves_as_another_one() -> None:
    # ECS may say for a while that an agent is connected to the earlier one too: what it comes back
    # as would stay DRAINING permanently.
    world = World({"payments": [instance(), instance("arn-2")]}, refusals={"arn-2": "MISSING"})
    world.run()
    world.refusals.clear()

    world.run()

    assert (world.active, world.followed) == (["arn-1", "arn-2"], [])


def test_what_was_active_without_its_agent_has_not_served() -> None:
    # It is not the one as which the instance comes back, which would stay DRAINING permanently.
    early = instance("arn-0", status="ACTIVE", agent_connected=False)
    world = World({"payments": [early, instance(agent_connected=False)]})
    world.run()
    world.where["payments"] = [early, instance()]

    world.run()

    assert world.active == ["arn-1"]


def test_a_registration_that_no_drain_has_found_says_nothing_of_what_has_served() -> None:
    # What a drain has found would stay DRAINING permanently, once its agent is connected.
    world = World({"payments": [NEW, TASK]}, records=drained("arn-old"))

    world.run()

    assert "serve" not in world.log


def test_what_has_served_and_is_in_no_group_any_more_is_forgotten() -> None:
    # Each sweep would look at it for ten years.
    world = World({"payments": [LEFT_OVER]}, {}, followed(record(served=True)))

    world.run()

    assert world.followed == []


# -- what a drain of ours cannot have set DRAINING

BY_HAND = replace(NEW, status="DRAINING")
ABOUT_OLD: dict[str, Any] = {"container_instance_arn": "arn-old"}


def replaced(*drained: str, **changes: Any) -> DrainRecord:
    """A record of the sweep, of what has never waited, in the place of one that is followed."""
    known = record(end=End.OVER, **changes)
    drain = known.drain
    nameless = replace(drain.action, lifecycle_action_token="")
    early = drain.started_at - timedelta(hours=1)
    before = Previous("", early, None, End.OPEN, followed=True, drained=drained)
    return replace(
        known, drain=replace(drain, action=nameless, last_heartbeat_at=early), previous=before
    )


@pytest.mark.parametrize(("seconds", "is_back"), [(20, True), (21, False)])
def test_what_is_registered_after_its_drain_is_not_ours_though_the_record_names_nothing(
    seconds: int, *, is_back: bool
) -> None:
    # Seed 17435: what somebody was draining got tasks again, though we had never set it DRAINING.
    registered_at = ENDED_AT + timedelta(seconds=seconds)
    world = World({"payments": [replace(BY_HAND, registered_at=registered_at)]})

    world.run()

    assert world.active == (["arn-new"] if is_back else [])
    assert world.followed == []


def test_a_record_that_names_nothing_stands_for_what_it_has_replaced() -> None:
    # Seed 4233: the table was denied, and a sweep took up the record by another one, which has
    # found nothing. Somebody had set the instance's next registration DRAINING by then.
    world = World({"payments": [LEFT_OVER, BY_HAND]}, records=followed(replaced("arn-old")))

    world.run()

    assert (world.active, world.deregistered) == ([], ["arn-old"])
    world.where["payments"] = [BY_HAND]
    world.run()
    assert (world.active, world.followed) == ([], [])


@pytest.mark.parametrize(
    "known",
    [
        pytest.param(replaced("arn-old"), id="by the record before"),
        pytest.param(replaced(), id="by one that does not say"),
    ],
)
def test_what_a_replaced_record_has_drained_comes_back(known: DrainRecord) -> None:
    # It would stay DRAINING permanently.
    there = instance("arn-old", registered_at=NOW - timedelta(days=1))
    world = World({"payments": [there]}, records=followed(known))

    world.run()

    assert (world.active, world.followed) == (["arn-old"], [])


def test_what_was_found_by_a_drain_that_was_answered_comes_back_though_it_took_no_heartbeat() -> (
    None
):
    # An answer shows as well as a heartbeat that the action was a true one.
    known = replace(replaced("arn-old"), end=End.CONTINUE)
    known = replace(known, drain=replace(known.drain, container_instance_arn="arn-1"))
    world = World({"payments": [instance()]}, records=followed(known))

    world.run()

    assert world.active == ["arn-1"]


def test_where_two_drains_have_each_found_another_one_both_come_back() -> None:
    known = record()
    own = replace(known.drain, **{**ABOUT_OLD, "others": (Place("payments", "arn-2"),)})
    before = replaced("arn-1").previous
    world = World(
        {"payments": [instance(), instance("arn-2"), instance("arn-3")]},
        records=followed(replace(known, drain=own, previous=before)),
    )

    world.run()

    assert world.active == ["arn-1", "arn-2"]


# -- where is looked, and when


@pytest.mark.parametrize(
    ("cluster", "policy", "looked_in"),
    [
        pytest.param("payments", "search", ["payments"], id="where it was found"),
        pytest.param(None, "search", ["search"], id="which its hook names"),
        pytest.param(None, None, ["batch", "web"], id="which are configured"),
    ],
)
def test_it_is_sought_where_its_drain_has_found_it_or_was_to_look(
    cluster: str | None, policy: str | None, looked_in: list[str]
) -> None:
    # Answered at its deadline while ECS could not be read, a drain never learned its cluster.
    named = None if policy is None else policy_of(policy)
    world = World(records=followed(record(cluster=cluster, policy=named)))
    for one in looked_in:
        world.where[one] = [instance(f"arn-{one}")]

    world.run(clusters=("batch", "web"))

    assert [one for one in world.log if one.startswith("find")] == [f"find {c}" for c in looked_in]
    assert world.active == [f"arn-{one}" for one in looked_in]


def test_it_is_sought_in_each_cluster_in_which_its_drain_has_found_one() -> None:
    # Its agent was connected again in the second of two clusters, and it stayed DRAINING there.
    known = record()
    places = (Place("arn:aws:ecs:us-east-1:1:cluster/payments", "arn-1"), Place("web", "arn-2"))
    known = replace(known, drain=replace(known.drain, others=places))
    world = World(records=followed(known))
    world.where = {"payments": [], "web": [instance("arn-2")]}

    world.run()

    assert sorted(one for one in world.log if one.startswith("find")) == [
        "find payments",
        "find web",
    ]
    assert world.active == ["arn-2"]


@pytest.mark.parametrize("fails", [{}, {"set ACTIVE": UnavailableError("Rate exceeded")}])
def test_what_serves_in_one_of_two_clusters_does_not_end_what_waits_in_the_other(
    fails: dict[str, DrainerError],
) -> None:
    # An ACTIVE one without an agent was enough: the other stayed DRAINING permanently.
    known = record(cluster="web")
    places = (Place("payments", "arn-1"),)
    known = replace(
        known, drain=replace(known.drain, others=places, container_instance_arn="arn-2")
    )
    world = World(records=followed(known), fails=dict(fails))
    active = instance("arn-1", status="ACTIVE", agent_connected=False)
    world.where = {"payments": [active], "web": [instance("arn-2", agent_connected=bool(fails))]}

    world.run()
    assert (world.active, len(world.followed)) == ([], 1)
    world.fails.clear()
    world.where["web"] = [instance("arn-2")]
    world.run()

    assert (world.active, world.followed) == (["arn-2"], [])


def policy_of(cluster: str) -> Policy:
    policy, _ = Config("").policy(None)
    return replace(policy, cluster=cluster)


def test_what_is_sought_in_several_clusters_is_forgotten_once_it_serves() -> None:
    world = World(records=followed(record(cluster=None)))
    world.where = {"batch": [], "web": [instance()]}

    world.run(clusters=("batch", "web"))

    assert (world.active, world.followed) == (["arn-1"], [])


def test_a_wake_up_asks_about_its_instance_and_no_other() -> None:
    world = World(
        {"payments": [instance(), instance("arn-2", "i-2")]},
        {ID: "InService", "i-2": "InService"},
        followed(record(), record("i-2")),
    )

    world.run(WakeUp(ID), WakeUp(ID), sweep=False)

    assert world.active == ["arn-1"]
    assert world.asked_about == [ID]


def test_a_wake_up_about_what_has_no_followed_record_costs_one_read() -> None:
    world = World({"payments": [instance()]}, records=followed(record(followed=False)))

    assert world.run(WakeUp(ID), sweep=False) == []
    assert world.log == ["query"]


def test_a_sweep_asks_about_some_of_a_large_warm_pool_and_the_next_about_others() -> None:
    # Each takes a read, which drains need; but none must be left out each time.
    names = [f"i-{number:04}" for number in range(FOLLOWED_MAX + 50)]
    there = followed(*(record(one) for one in names))
    asked: set[str] = set()
    for number in range(8):
        world = World({}, dict.fromkeys(names, "Warmed:Stopped"), there)
        world.run(now=NOW + timedelta(minutes=5 * number))
        assert len(world.asked_about) == FOLLOWED_MAX
        asked |= set(world.asked_about)

    assert asked == set(names)


def test_nothing_is_begun_without_the_time_for_it() -> None:
    world = World({"payments": [instance()]}, seconds_left=11)

    assert world.run() == []
    assert world.log == []


@pytest.mark.parametrize("call_seconds", [0.5, 2.0, 4.0])
@pytest.mark.parametrize("left_over", [True, False])
def test_time_that_runs_out_on_the_way_ends_it_and_the_next_sweep_goes_on(
    call_seconds: float, *, left_over: bool
) -> None:
    # Killed in its middle, a sweep reports nothing of what it has done; and one that uses up its
    # time by reading never does anything.
    names = [f"i-{number:02}" for number in range(40)]
    there = [instance(f"arn-{one}", one, agent_connected=not left_over) for one in names]
    anew = [instance(f"new-{one}", one, status="ACTIVE") for one in names if left_over]
    world = World(
        {"payments": [*there, *anew]},
        dict.fromkeys(names, "InService"),
        followed(*(record(one) for one in names)),
        call_seconds=call_seconds,
        seconds_left=28,
    )

    said = world.run()

    assert world.seconds_left >= 0
    assert len(said) == len(world.active) + len(world.deregistered)
    assert set(names) >= set(world.followed)
    assert world.followed != []
    assert bool(said) == (call_seconds < 4)


def test_records_of_many_instances_are_not_read_past_the_time() -> None:
    # Hundreds that come back at once, each of which takes a query of its own.
    names = [f"i-{number:03}" for number in range(200)]
    world = World(
        {"payments": []}, dict.fromkeys(names, "InService"),
        followed(*(record(one) for one in names)), call_seconds=0.2, seconds_left=28,
    )  # fmt: skip

    world.run()

    assert world.seconds_left >= 5
    assert 1 < world.log.count("query") < 200


def test_a_sweep_with_little_time_looks_first_at_what_is_in_service() -> None:
    # ECS places no task on it. In seed 5408 a sweep had time for one to ten of twelve, in an order
    # of its own, and most were only to be forgotten: an instance stayed DRAINING for 70 minutes.
    gone = [f"i-gone-{number}" for number in range(10)]
    for number in range(10):
        world = World(
            {"payments": [instance()]}, {ID: "InService"},
            followed(record(), *(record(one) for one in gone)), call_seconds=1.0, seconds_left=20.5,
        )  # fmt: skip

        world.run(now=NOW + timedelta(minutes=5 * number))

        assert world.active == ["arn-1"]
        assert world.log.count("query") < len(gone)


def test_what_stays_in_a_warm_pool_costs_a_sweep_one_call_for_fifty() -> None:
    # A query for each would take the time that what is back needs.
    names = [f"i-{number:03}" for number in range(101)]
    world = World({}, dict.fromkeys(names, "Warmed:Stopped"), followed(*(record(n) for n in names)))

    world.run()

    assert world.log == ["query", "states", "states", "states"]


def test_a_warm_pool_of_any_size_costs_a_sweep_ten_calls() -> None:
    # Auto Scaling's calls are shared by the account, and drains wait for theirs.
    names = [f"i-{number:03}" for number in range(600)]
    world = World({}, dict.fromkeys(names, "Warmed:Stopped"), followed(*(record(n) for n in names)))

    world.run()

    assert (world.log.count("states"), len(world.asked_about)) == (10, 500)


def test_the_states_of_a_large_warm_pool_are_not_asked_for_past_the_time() -> None:
    # Killed in its middle, a sweep reports nothing of what it has done.
    names = [f"i-{number:03}" for number in range(300)]
    world = World(
        {}, dict.fromkeys(names, "InService"), followed(*(record(one) for one in names)),
        call_seconds=3.0, seconds_left=28,
    )  # fmt: skip

    world.run()

    assert world.seconds_left >= 12
    assert len(world.asked_about) == 150
