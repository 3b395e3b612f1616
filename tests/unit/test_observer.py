"""The look at Auto Scaling: who waits, at whose hook, and what the sweep finds within its time."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from drainer.config import Config
from drainer.drain.admission import Admission, Admitted
from drainer.drain.listings import Listings
from drainer.drain.model import (
    ContainerInstance,
    Drain,
    Hook,
    LifecycleAction,
    Origin,
    Task,
)
from drainer.drain.record import DrainRecord, key_of
from drainer.drain.task_reads import StoppedTasks
from drainer.errors import MisconfiguredError, RefusedError, UnavailableError
from drainer.invocation import InvocationClock
from drainer.lifecycle.hooks import LATER_STATES, Hooks, is_waiting
from drainer.lifecycle.look import Waiting
from drainer.lifecycle.observer import Observer
from drainer.lifecycle.sweep import GROUPS_TOGETHER, WaitingInstances
from drainer.simulation.protocol.client import service_model
from tests.unit.ecs import container_instance

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from drainer.drain.record import Key
    from drainer.errors import DrainerError
    from drainer.lifecycle.look import HookLook

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
TOPIC_ARN = "arn:aws:sns:us-east-1:123456789012:drainer"
CONFIG = Config(TOPIC_ARN, ("payments",))
HOOK = Hook("drainer", 1800, 172_800, TOPIC_ARN, '{"cluster": "payments"}')
WAIT = "Terminating:Wait"


@dataclass
class AutoScaling:
    """Groups with instances and hooks, of which every call takes its time."""

    states: dict[str, tuple[str, str]] = field(default_factory=dict)
    pools: dict[str, dict[str, str]] = field(default_factory=dict)
    hooks: dict[str, list[Hook]] = field(default_factory=dict)
    fails: dict[str, DrainerError] = field(default_factory=dict)
    call_seconds: float = 0.0
    seconds_left: float = 100.0
    asked: list[tuple[str, Any]] = field(default_factory=list)
    # What the records of other drains say, and about which it was asked.
    again: dict[Key, datetime] = field(default_factory=dict)
    beside: list[Key] = field(default_factory=list)

    def _ask(self, what: str, about: Any) -> None:
        self.asked.append((what, about))
        self.seconds_left -= self.call_seconds
        for name in (what, *(about if isinstance(about, list) else [about])):
            if name in self.fails:
                raise self.fails[name]

    def lifecycle_states(self, ec2_instance_ids: Sequence[str]) -> dict[str, tuple[str, str]]:
        self._ask("states", list(ec2_instance_ids))
        return {one: self.states[one] for one in ec2_instance_ids if one in self.states}

    def group_names(self) -> list[str]:
        self._ask("names", "")
        return sorted({*self.hooks, *(group for group, _ in self.states.values())})

    def states_in_groups(
        self, auto_scaling_group_names: Sequence[str]
    ) -> tuple[dict[str, tuple[str, str]], list[str]]:
        names = list(auto_scaling_group_names)
        self._ask("groups", names)
        found = {one: state for one, state in self.states.items() if state[0] in names}
        return found, [name for name in names if name in self.pools]

    def states_in_warm_pool(self, auto_scaling_group_name: str) -> dict[str, tuple[str, str]]:
        self._ask("pool", auto_scaling_group_name)
        pool = self.pools[auto_scaling_group_name]
        return {one: (auto_scaling_group_name, state) for one, state in pool.items()}

    def lifecycle_hooks(self, auto_scaling_group_name: str) -> dict[str, Hook]:
        self._ask("hooks", auto_scaling_group_name)
        return {one.name: one for one in self.hooks.get(auto_scaling_group_name, ())}

    def left(self) -> float:
        return self.seconds_left


@dataclass
class Ecs:
    """An account without a container instance, or with one on which a task is stopping."""

    instance: ContainerInstance | None = None
    listed: list[str] = field(default_factory=list)

    def clusters(self) -> list[str]:
        return ["payments"]

    def find(self, cluster: str, ec2_instance_ids: Sequence[str]) -> list[str]:
        return []

    def describe(self, cluster: str, arns: Sequence[str]) -> list[ContainerInstance]:
        return [self.instance] if self.instance else []

    def task_ids(
        self,
        cluster: str,
        container_instance_arn: str,
        *,
        desired_status: str,
        go_on: Callable[[], bool] | None = None,
    ) -> list[str]:
        self.listed.append(desired_status)
        return []

    def tasks(self, cluster: str, task_ids: Sequence[str]) -> dict[str, Task]:
        return {}


def observer(
    scaling: AutoScaling,
    now: datetime = NOW,
    ecs: Ecs | None = None,
    hooks: Hooks | None = None,
    config: Config = CONFIG,
) -> Observer:
    def draining_again(keys: Sequence[Key]) -> dict[Key, datetime]:
        scaling.beside += keys
        return {key: scaling.again[key] for key in keys if key in scaling.again}

    return Observer(
        scaling,
        ecs or Ecs(),
        hooks or Hooks(scaling, TOPIC_ARN),
        config,
        InvocationClock(now, scaling.left),
        stopped=StoppedTasks(),
        listings=Listings(),
        draining_again=draining_again,
    )


def drain(number: int = 0, group: str = "g", hook: str = "drainer", **changes: Any) -> Drain:
    action = LifecycleAction(group, hook, f"i-{number}", "t" * 36)
    return replace(Drain(action, NOW, NOW), **changes)


def due(drain: Drain, admission: Admission = Admission.DUE) -> Admitted:
    return Admitted(admission, drain, None)


def looked(scaling: AutoScaling, *drains: Drain) -> list[HookLook]:
    return observer(scaling).look([due(one) for one in drains])


def swept(scaling: AutoScaling, now: datetime = NOW) -> list[Drain]:
    return sweep(scaling, now).find()


def sweep(
    scaling: AutoScaling, now: datetime = NOW, hooks: Hooks | None = None
) -> WaitingInstances:
    own = hooks or Hooks(scaling, TOPIC_ARN)
    return WaitingInstances(scaling, own, InvocationClock(now, scaling.left), now)


# -- lifecycle states

# What a terminating hook may wait in, by AWS's own list of states; all others are no wait of ours.
WAITS = {
    "Terminating:Wait",
    "Warmed:Terminating:Wait",
    "Warmed:Pending:Wait",
    "ReplacingRootVolume:Wait",
}
KNOWN: list[str] = service_model("autoscaling").shape_for("LifecycleState").enum


@pytest.mark.parametrize("state", KNOWN)
def test_every_state_of_the_service_model_is_a_wait_of_ours_or_is_none(state: str) -> None:
    # A wait that is none to us ends the chain: the hook times out over tasks that run. A launch
    # that is a wait to us drains what is about to serve.
    assert is_waiting(state) == (state in WAITS)


def test_a_wait_that_auto_scaling_adds_is_one() -> None:
    assert is_waiting("Hibernating:Wait")
    assert not is_waiting("Hibernating:Proceed")
    assert not is_waiting("")


# After ReplacingRootVolume:Proceed or Warmed:Pending:Proceed the instance may wait at the same hook
# again: with one stale answer of the first wait, the second one's notification would be dropped.
def test_only_what_comes_to_no_wait_any_more_is_over() -> None:
    assert {
        "Terminating:Proceed",
        "Terminated",
        "Warmed:Terminating:Proceed",
        "Warmed:Terminated",
    } == LATER_STATES
    assert set(LATER_STATES) <= {*KNOWN}


@pytest.mark.parametrize("state", KNOWN)
def test_only_what_has_gone_on_is_over_at_the_first_look(state: str) -> None:
    scaling = AutoScaling({"i-0": ("g", state)}, hooks={"g": [HOOK]})

    [look] = looked(scaling, drain())

    later = Waiting.OVER if state in LATER_STATES else Waiting.NO
    assert look.waiting == (Waiting.YES if state in WAITS else later)


def test_what_waits_in_another_state_is_another_action_unless_a_token_tells() -> None:
    # A drain without a token would answer the next action at the deadline of the one before.
    before = drain(waits_in="ReplacingRootVolume:Wait")
    unnamed = replace(before, action=replace(before.action, lifecycle_action_token=""))
    scaling = AutoScaling({"i-0": ("g", WAIT)}, hooks={"g": [HOOK]})

    [named] = looked(scaling, before)
    [another] = looked(scaling, unnamed)
    [same] = looked(scaling, replace(unnamed, waits_in=WAIT))

    assert named.waiting == same.waiting == Waiting.YES
    assert another.waiting == Waiting.OVER
    assert another.reason == (
        "The instance was ReplacingRootVolume:Wait and is Terminating:Wait: that is another action"
    )


def test_the_state_in_which_it_was_first_seen_to_wait_is_remembered() -> None:
    scaling = AutoScaling({"i-0": ("g", WAIT)}, hooks={"g": [HOOK]})

    one = drain()
    unnamed = replace(one, action=replace(one.action, lifecycle_action_token=""))
    [named, found] = looked(scaling, one, unnamed)

    # With a token it tells nothing, and a version before this one cannot read it.
    assert (named.drain.waits_in, found.drain.waits_in) == (None, WAIT)
    # Once its token is known, it tells actions apart, and the state of the sweep's look does not:
    # the sweep would take the instance for another action's right after the answer.
    [joined] = looked(scaling, drain(waits_in="Warmed:Pending:Wait"))
    assert joined.drain.waits_in is None


def test_an_instance_of_another_group_is_never_ours_to_answer() -> None:
    [look] = looked(AutoScaling({"i-0": ("other", WAIT)}, hooks={"g": [HOOK]}), drain())

    assert look.waiting == Waiting.OVER
    assert look.reason == "The instance is in group 'other', not in 'g'"


@pytest.mark.parametrize(
    ("states", "reason"),
    [
        ({"i-0": ("g", "InService")}, "The instance is InService, not waiting"),
        ({}, "The instance is in no group, not waiting"),
    ],
)
def test_what_is_not_waited_for_says_why(states: dict[str, Any], reason: str) -> None:
    # The one line of the log that tells why an instance was not drained.
    [look] = looked(AutoScaling(states, hooks={"g": [HOOK]}), drain())

    assert (look.waiting, look.reason) == (Waiting.NO, reason)


@pytest.mark.parametrize("error", [UnavailableError("x"), MisconfiguredError("x")])
def test_states_that_cannot_be_read_are_unseen(error: DrainerError) -> None:
    scaling = AutoScaling({"i-0": ("g", WAIT)}, hooks={"g": [HOOK]}, fails={"states": error})

    [look] = looked(scaling, drain())

    assert (look.waiting, look.reason) == (Waiting.UNSEEN, "x")
    assert look.in_doubt


def test_an_id_that_auto_scaling_refuses_does_not_blind_the_others() -> None:
    states = {f"i-{n}": ("g", WAIT) for n in range(5)}
    scaling = AutoScaling(states, hooks={"g": [HOOK]}, fails={"i-3": RefusedError("x")})

    looks = looked(scaling, *(drain(n) for n in range(5)))

    assert [one.waiting == Waiting.YES for one in looks] == [True, True, True, False, True]
    assert [one.reason for one in looks] == ["", "", "", "x", ""]


# -- hooks


@pytest.mark.parametrize(
    ("hook", "by_event_bridge", "waiting", "reason"),
    [
        pytest.param(HOOK, False, Waiting.YES, "", id="ours by its target"),
        pytest.param(
            replace(HOOK, notification_target_arn=f"{TOPIC_ARN}-2"),
            True,
            Waiting.OVER,
            f"Hook 'drainer' notifies {TOPIC_ARN}-2, not this drainer",
            id="other",
        ),
        pytest.param(
            replace(HOOK, notification_target_arn=None),
            True,
            Waiting.YES,
            "",
            id="EventBridge alone",
        ),
        pytest.param(
            replace(HOOK, notification_target_arn=None),
            False,
            Waiting.OVER,
            "Hook 'drainer' has no target and no metadata for the drainer",
            id="said by SNS",
        ),
        pytest.param(
            replace(HOOK, notification_target_arn=None, notification_metadata=None),
            True,
            Waiting.OVER,
            "Hook 'drainer' has no target and no metadata for the drainer",
            id="nobody's",
        ),
        pytest.param(
            replace(HOOK, name="other"),
            False,
            Waiting.NO,
            "The group has no lifecycle hook 'drainer'",
            id="no such hook",
        ),
    ],
)
def test_only_our_hooks_are_answered(
    hook: Hook, by_event_bridge: bool, waiting: Waiting, reason: str
) -> None:
    # To answer another's hook is to cut what it protects.
    scaling = AutoScaling({"i-0": ("g", WAIT)}, hooks={"g": [hook]})

    [look] = looked(scaling, drain(by_event_bridge=by_event_bridge))

    assert look.waiting == waiting
    assert look.reason.startswith(reason)


@pytest.mark.parametrize("error", [UnavailableError("x"), MisconfiguredError("x")])
def test_a_drain_whose_hook_cannot_be_read_is_a_look_that_failed(error: DrainerError) -> None:
    # Nothing may be changed for it: whose hook it is cannot be told.
    scaling = AutoScaling({"i-0": ("g", WAIT)}, hooks={"g": [HOOK]}, fails={"hooks": error})

    [look] = looked(scaling, drain())

    assert (look.waiting, look.failed, look.reason) == (Waiting.UNSEEN, True, "x")


def test_with_exactly_the_time_that_acting_needs_a_hook_is_read() -> None:
    scaling = AutoScaling({"i-0": ("g", WAIT)}, hooks={"g": [HOOK]}, seconds_left=12.0)

    assert [one.waiting for one in looked(scaling, drain())] == [Waiting.YES]


# Seeds 6003 and 9221: thirteen groups of slow hooks came together in each pass, and hooks took the
# time of each. Their tasks were listed in none, and empty instances waited for their deadlines.
def test_the_hooks_of_a_crowd_leave_time_to_look_at_those_whose_hooks_were_read() -> None:
    scaling = crowd(40, call_seconds=0.9, seconds_left=30)

    looks = looked(scaling, *(drain(n, f"g{n:04}") for n in range(40)))

    read = [one for one in looks if one.waiting == Waiting.YES]
    late = {one.reason for one in looks if one.waiting != Waiting.YES}
    assert len(read) == 11
    assert late == {"No time was left to read the hook: the next pass does"}
    assert scaling.seconds_left >= 20 - 0.9


def test_one_groups_hooks_are_read_without_time_to_look() -> None:
    # An answer or a heartbeat may be due that needs no look.
    looks = looked(crowd(3, seconds_left=12.0), *(drain(n, f"g{n:04}") for n in range(3)))

    assert [one.waiting for one in looks].count(Waiting.YES) == 1


def test_hooks_that_the_sweep_has_read_take_no_time_of_the_look() -> None:
    scaling = crowd(3, seconds_left=20.0)
    hooks = Hooks(scaling, TOPIC_ARN)
    found = sweep(scaling, hooks=hooks).find()
    scaling.seconds_left = 12.0

    looks = observer(scaling, hooks=hooks).look([due(one) for one in found])

    assert [one.waiting for one in looks] == [Waiting.YES] * 3


def test_a_groups_hooks_are_read_once_in_a_pass() -> None:
    # The sweep has read them, and looks at what it has found.
    scaling = AutoScaling({"i-0": ("g", WAIT), "i-1": ("g", WAIT)}, hooks={"g": [HOOK]})
    hooks = Hooks(scaling, TOPIC_ARN)

    found = sweep(scaling, hooks=hooks).find()
    observer(scaling, hooks=hooks).look([due(one) for one in found])

    assert [what for what, _ in scaling.asked].count("hooks") == 1


def test_tasks_are_listed_while_ecs_still_counts_some() -> None:
    # Listed only once none is counted, a set is closed forty seconds after the last task's end.
    instance = container_instance(running_tasks=1)
    ecs, scaling = Ecs(instance), AutoScaling({"i-0": ("g", WAIT)}, hooks={"g": [HOOK]})
    known = drain(
        started_at=NOW - timedelta(seconds=60),
        draining_since=NOW - timedelta(seconds=60),
        cluster="payments",
        container_instance_arn="arn",
        settled=True,
    )

    observer(scaling, ecs=ecs).look([due(known)])

    assert ecs.listed == ["RUNNING"]


@pytest.mark.parametrize("state", ["InService", "Terminating:Proceed"])
def test_what_nobody_waits_for_is_neither_searched_for_nor_listed(state: str) -> None:
    # Each read is one of twenty a second of the account.
    class Unread(Ecs):
        def find(self, cluster: str, ec2_instance_ids: Sequence[str]) -> list[str]:
            raise AssertionError("it is searched for")

        def describe(self, cluster: str, arns: Sequence[str]) -> list[ContainerInstance]:
            raise AssertionError("it is described")

    scaling = AutoScaling({"i-0": ("g", state)}, hooks={"g": [HOOK]})
    late = drain(deadline_at=NOW, cluster="payments", container_instance_arn="arn")

    [look] = observer(scaling, ecs=Unread()).look([due(late)])

    assert look.waiting != Waiting.YES


UNREADABLE, WRONG = '{"cluster": ["payments"]}', '{"cluster": "payments", "deadline_result": "x"}'


@pytest.mark.parametrize(
    ("written_ago", "admission", "counts"),
    [
        (timedelta(seconds=60), Admission.DUE, True),
        (timedelta(seconds=1_500), Admission.TAKEOVER, False),
        # The record is another drain's, and the message was sent long ago.
        (timedelta(seconds=60), Admission.NEW, False),
    ],
)
def test_searches_from_before_a_long_silence_do_not_count(
    written_ago: timedelta, admission: Admission, *, counts: bool
) -> None:
    # Its agent may have registered again meanwhile: one listing that lacked that released it.
    before = NOW - timedelta(seconds=1_500)
    one = drain(
        searched_at=NOW - timedelta(seconds=60),
        absent_since=before,
        sent_at=before,
        sought_at=NOW - timedelta(seconds=60),
    )
    key = key_of(one.action)
    record = DrainRecord(
        key=key, generation=1, hop=one.hop, pass_id="p", written_at=NOW - written_ago, drain=one
    )

    [look] = observer(AutoScaling()).look([Admitted(admission, one, record)])

    assert (look.drain.absent_since == before) is counts


def test_metadata_of_which_no_cluster_can_be_read_makes_no_search_sound() -> None:
    # The cluster that is meant may be one in which the instance serves.
    scaling = AutoScaling(
        {"i-0": ("g", WAIT)}, hooks={"g": [replace(HOOK, notification_metadata=UNREADABLE)]}
    )

    [look] = looked(scaling, drain())

    assert not look.sound
    assert look.reason.startswith("No cluster can be read from hook 'drainer': cluster is ")


def test_another_wrong_key_leaves_the_search_sound() -> None:
    # Held to its deadline for a wrong key, each drain of the hook takes an hour.
    scaling = AutoScaling(
        {"i-0": ("g", WAIT)}, hooks={"g": [replace(HOOK, notification_metadata=WRONG)]}
    )

    [look] = looked(scaling, drain())

    assert (look.sound, look.reason.startswith("no cluster")) == (True, False)


def test_wrong_metadata_is_said_once_for_each_drain() -> None:
    # Said at each pass, it is one line every fifteen seconds.
    scaling = AutoScaling(
        {"i-0": ("g", WAIT)}, hooks={"g": [replace(HOOK, notification_metadata=WRONG)]}
    )
    first, later = observer(scaling), observer(scaling)
    policy, _ = CONFIG.policy(HOOK.notification_metadata)

    first.look([due(drain())])
    later.look([due(drain(policy=policy))])

    [problem] = first.problems
    assert problem.startswith("Notification metadata of hook 'drainer': deadline_result is 'x'")
    assert later.problems == []


@pytest.mark.parametrize(
    "typo",
    ['{"drain_timeout_seconds": 7200,}', WRONG, '{"drain_timeout": 7200}', '{"cluster": 1}'],
)
@pytest.mark.parametrize("admission", [Admission.DUE, Admission.JOIN])
def test_metadata_that_turns_wrong_changes_no_drain_under_way(
    typo: str, admission: Admission
) -> None:
    # The default timeout of 600 s was taken for the hook's 7200 s: a deadline is never put off
    # again, so that the instance was released over its running tasks.
    scaling = AutoScaling(
        {"i-0": ("g", WAIT)}, hooks={"g": [replace(HOOK, notification_metadata=typo)]}
    )
    policy, _ = CONFIG.policy('{"drain_timeout_seconds": 7200, "standalone_tasks": "stop"}')
    known = drain(policy=policy, generation=1)
    record = DrainRecord(key_of(known.action), 1, 3, "an-earlier-pass", known, written_at=NOW)
    told = drain() if admission == Admission.JOIN else known
    one = observer(scaling, config=replace(CONFIG, drain_timeout_seconds=600))

    [look] = one.look([Admitted(admission, told, record)])

    assert look.drain.policy == policy
    assert look.drain.deadline_at == look.drain.started_at + timedelta(seconds=7200)
    [problem, *_] = one.problems
    assert problem.startswith("Notification metadata of hook 'drainer': ")


def test_hooks_that_cannot_be_read_leave_their_drains_unseen_and_no_others() -> None:
    scaling = AutoScaling(
        {"i-0": ("g", WAIT), "i-1": ("h", WAIT)},
        hooks={"g": [HOOK], "h": [HOOK]},
        fails={"g": UnavailableError("x")},
    )

    bad, good = looked(scaling, drain(0), drain(1, "h"))

    assert (bad.waiting, good.waiting) == (Waiting.UNSEEN, Waiting.YES)


def test_hooks_of_a_hundred_groups_are_read_within_the_time() -> None:
    # At 0.3 s each the invocation was killed every time, and all hundred hooks timed out.
    names = [f"g{n}" for n in range(100)]
    scaling = AutoScaling(
        {f"i-{n}": (name, WAIT) for n, name in enumerate(names)},
        hooks={name: [HOOK] for name in names},
        call_seconds=0.3,
        seconds_left=30,
    )

    looks = looked(scaling, *(drain(n, name) for n, name in enumerate(names)))

    read = sum(one.waiting == Waiting.YES for one in looks)
    assert scaling.seconds_left >= 12 - 0.3
    assert 0 < read < 100
    assert sum(one.waiting == Waiting.UNSEEN for one in looks) == 100 - read


def test_no_group_is_always_the_one_for_which_there_is_no_time() -> None:
    # The last in the same order each time, its hook would never get a heartbeat.
    names = [f"g{n}" for n in range(100)]
    read: set[str] = set()
    for minute in range(20):
        scaling = AutoScaling(
            {f"i-{n}": (name, WAIT) for n, name in enumerate(names)},
            hooks={name: [HOOK] for name in names},
            call_seconds=0.3,
            seconds_left=30,
        )
        one = observer(scaling, NOW + timedelta(minutes=minute))
        looks = one.look([due(drain(n, name)) for n, name in enumerate(names)])
        read |= {look.ec2_instance_id for look in looks if look.waiting == Waiting.YES}

    assert len(read) == 100


# -- the sweep


def test_the_sweep_finds_what_waits_at_a_hook_of_ours() -> None:
    scaling = AutoScaling(
        {"i-0": ("g", WAIT), "i-1": ("g", "InService"), "i-2": ("h", "ReplacingRootVolume:Wait")},
        hooks={"g": [HOOK], "h": [HOOK]},
    )

    found = swept(scaling)

    assert {one.action.ec2_instance_id for one in found} == {"i-0", "i-2"}
    assert {(one.origin, one.action.lifecycle_action_token) for one in found} == {
        (Origin.SWEEP, "")
    }
    # Until a record says else: since now, and nobody has kept the hook waiting.
    assert all(one.started_at == NOW for one in found)
    assert all(one.last_heartbeat_at == NOW - timedelta(seconds=1800) for one in found)
    # A hook by EventBridge alone would be taken for another's in the next look.
    assert all(one.by_event_bridge for one in found)


def test_the_sweep_finds_what_waits_in_a_warm_pool() -> None:
    # DescribeAutoScalingGroups leaves a warm pool's instances out: with its notification lost, an
    # instance that returns to the pool would go there with its tasks.
    scaling = AutoScaling(
        pools={"g": {"i-7": "Warmed:Pending:Wait", "i-8": "Warmed:Stopped"}}, hooks={"g": [HOOK]}
    )

    assert [one.action.ec2_instance_id for one in swept(scaling)] == ["i-7"]


EVENT_BRIDGE = replace(HOOK, notification_target_arn=None)


@pytest.mark.parametrize(
    ("hook", "found"),
    [
        pytest.param(EVENT_BRIDGE, True, id="our keys alone"),
        pytest.param(
            replace(EVENT_BRIDGE, notification_metadata='{"cluster": "p", "team": "x"}'),
            False,
            id="another key",
        ),
        pytest.param(replace(EVENT_BRIDGE, notification_metadata="{}"), False, id="no key"),
        pytest.param(replace(EVENT_BRIDGE, notification_metadata="payments"), False, id="a word"),
        pytest.param(replace(EVENT_BRIDGE, notification_metadata="[1]"), False, id="a list"),
        pytest.param(replace(EVENT_BRIDGE, notification_metadata="[" * 9_999), False, id="deep"),
        pytest.param(replace(EVENT_BRIDGE, notification_metadata=None), False, id="nothing"),
        pytest.param(
            replace(EVENT_BRIDGE, terminating=False), False, id="launching, ours by words"
        ),
        pytest.param(replace(HOOK, terminating=False), False, id="launching, with our topic"),
        pytest.param(
            replace(EVENT_BRIDGE, name="ecs-managed-draining-termination-hook"),
            False,
            id="ECS's own",
        ),
        pytest.param(
            replace(HOOK, notification_target_arn=f"{TOPIC_ARN}-2"), False, id="another's topic"
        ),
    ],
)
def test_the_sweep_finds_our_hooks_and_no_other(hook: Hook, found: bool) -> None:
    # One lost re-invocation of a hook by EventBridge alone was silence until it timed out; and a
    # heartbeat at another's hook holds an instance that nobody drains.
    scaling = AutoScaling({"i-0": ("g", WAIT)}, hooks={"g": [hook]})

    assert bool(swept(scaling)) is found


def crowd(groups: int, **of: Any) -> AutoScaling:
    names = [f"g{n:04}" for n in range(groups)]
    return AutoScaling(
        {f"i-{n}": (name, WAIT) for n, name in enumerate(names)},
        hooks={name: [HOOK] for name in names},
        **of,
    )


def test_the_sweep_describes_many_groups_in_one_call() -> None:
    # Fifty instances a page, the sweep of 6,000 instances went blind.
    scaling = crowd(120)

    swept(scaling)

    sizes = [len(about) for what, about in scaling.asked if what == "groups"]
    assert sizes == [GROUPS_TOGETHER, GROUPS_TOGETHER, 20]


def test_the_sweep_stops_in_time_for_looking_and_acting() -> None:
    # Killed in its search, it sees nothing through, and so every five minutes.
    scaling = crowd(1_000, call_seconds=0.3, seconds_left=30)

    found = swept(scaling)

    assert found
    assert scaling.seconds_left >= 20 - 0.3


def test_a_sweep_of_more_groups_than_can_be_read_stops_in_time() -> None:
    scaling = crowd(2_000, call_seconds=1, seconds_left=30)

    swept(scaling)

    assert scaling.seconds_left >= 20 - 1


def test_a_sweep_of_many_groups_over_slow_calls_finds_some_each_time() -> None:
    # Where reading states uses up all of its time, no hook is read: it finds nothing, and so every
    # five minutes, for as long as the calls are slow.
    scaling = crowd(1_000, call_seconds=0.5, seconds_left=30)

    assert swept(scaling)
    assert scaling.seconds_left >= 20 - 0.5


def test_every_group_has_its_turn_in_the_sweeps() -> None:
    found: set[str] = set()
    for number in range(60):
        scaling = crowd(200, call_seconds=0.5, seconds_left=30)
        drains = swept(scaling, NOW + timedelta(minutes=5 * number))
        found |= {one.action.ec2_instance_id for one in drains}

    assert len(found) == 200


def test_a_call_that_fails_in_the_sweep_costs_what_it_would_have_found_and_no_more() -> None:
    # Groups that were read before a throttle are looked after all the same.
    scaling = AutoScaling(
        {"i-0": ("g", WAIT), "i-1": ("h", WAIT)},
        hooks={"g": [HOOK], "h": [HOOK]},
        pools={"h": {}},
        fails={"pool": UnavailableError("Rate exceeded")},
    )
    one = sweep(scaling)

    found = one.find()

    assert {drain.action.ec2_instance_id for drain in found} == {"i-0", "i-1"}
    assert any("Rate exceeded" in problem for problem in one.problems)


def test_a_group_whose_hooks_cannot_be_read_costs_the_sweep_no_other() -> None:
    class Unreadable(AutoScaling):
        def lifecycle_hooks(self, auto_scaling_group_name: str) -> dict[str, Hook]:
            if auto_scaling_group_name == "g":
                raise MisconfiguredError("AccessDenied")
            return super().lifecycle_hooks(auto_scaling_group_name)

    scaling = Unreadable({"i-0": ("g", WAIT), "i-1": ("h", WAIT)}, hooks={"g": [HOOK], "h": [HOOK]})
    one = sweep(scaling)

    assert [drain.action.ec2_instance_id for drain in one.find()] == ["i-1"]
    assert any("'g'" in problem for problem in one.problems)


# -- two hooks of ours at one group, and what Auto Scaling has confirmed


@pytest.mark.parametrize(("seconds_left", "found"), [(20.0, 1), (19.9, 0)])
def test_a_group_is_looked_into_while_there_is_time_to_look_and_to_act(
    seconds_left: float, found: int
) -> None:
    # Twelve seconds for acting, and eight for looking at what is found.
    scaling = AutoScaling({"i-0": ("g", WAIT)}, hooks={"g": [HOOK]}, seconds_left=seconds_left)

    assert len(swept(scaling)) == found


def test_warm_pools_are_read_only_while_there_is_time() -> None:
    # One call each: fifty groups with a pool use up the invocation.
    names = [f"g{n:02}" for n in range(50)]
    scaling = AutoScaling(
        hooks={name: [HOOK] for name in names},
        pools={name: {} for name in names},
        call_seconds=1,
        seconds_left=30,
    )

    swept(scaling)

    assert scaling.seconds_left >= 20 - 1


def test_a_list_of_groups_that_cannot_be_read_is_told() -> None:
    # A sweep that finds nothing without a word looks like one with nothing to find.
    one = sweep(AutoScaling(fails={"names": UnavailableError("Rate exceeded")}))

    assert one.find() == []
    assert one.problems == ["Waiting instances were not listed: Rate exceeded"]


def beginning(number: int) -> int:
    """The group from which a sweep goes on, of a thousand of which it has time for fifty."""
    scaling = crowd(1_000, call_seconds=1, seconds_left=21.5)
    swept(scaling, NOW + timedelta(minutes=5 * number))
    [first, *_] = (about[0] for what, about in scaling.asked if what == "groups")
    return int(first[1:])


@pytest.mark.parametrize(("sweeps", "gap_max"), [(8, 150), (13, 95), (21, 60), (34, 39)])
def test_the_sweeps_beginnings_leave_no_large_part_of_the_groups_out(
    sweeps: int, gap_max: int
) -> None:
    # A step that comes back to where it was leaves the same groups out for hours.
    begun = sorted(beginning(number) for number in range(sweeps))
    gaps = [
        after - before for before, after in zip(begun, [*begun[1:], begun[0] + 1_000], strict=True)
    ]

    assert max(gaps) <= gap_max


TWO = {"g": [HOOK, replace(HOOK, name="second")]}


def test_where_a_group_has_two_hooks_of_ours_the_other_drain_is_asked_since_when_it_drains() -> (
    None
):
    # The first has set it ACTIVE again and DRAINING once more: a listing from before lacks what ECS
    # has placed in between.
    action = replace(drain().action, lifecycle_hook_name="second")
    later = NOW + timedelta(seconds=5)
    scaling = AutoScaling({"i-0": ("g", WAIT)}, hooks=TWO, again={key_of(action): later})

    [look] = looked(scaling, drain())

    assert scaling.beside == [key_of(action)]
    assert look.draining_again == later


def test_the_latest_instant_of_all_other_hooks_counts() -> None:
    hooks = [HOOK, *(replace(HOOK, name=name) for name in ("late", "later"))]
    keys = [key_of(replace(drain().action, lifecycle_hook_name=one.name)) for one in hooks[1:]]
    for instants in ((1, 9), (9, 1)):
        found = [NOW + timedelta(seconds=seconds) for seconds in instants]
        again = dict(zip(keys, found, strict=True))
        scaling = AutoScaling({"i-0": ("g", WAIT)}, hooks={"g": hooks}, again=again)

        [look] = looked(scaling, drain())

        assert look.draining_again == NOW + timedelta(seconds=9)


@pytest.mark.parametrize(
    "hooks",
    [
        pytest.param([HOOK], id="one hook"),
        pytest.param(
            [HOOK, replace(HOOK, name="a", notification_target_arn="x")], id="another's hook"
        ),
    ],
)
def test_no_record_is_read_for_a_hook_that_cannot_hold_the_instance(
    hooks: list[Hook],
) -> None:
    # Most groups have one hook of ours: to read twice for each pass doubles what reading costs.
    scaling = AutoScaling({"i-0": ("g", WAIT)}, hooks={"g": hooks})

    [look] = looked(scaling, drain())

    assert scaling.beside == []
    assert look.draining_again is None


def test_no_record_is_read_for_an_instance_that_does_not_wait() -> None:
    states = {"i-0": ("g", WAIT), "i-1": ("g", "InService")}
    scaling = AutoScaling(states, hooks=TWO)

    looked(scaling, drain(0), drain(1))

    assert [key.instance for key in scaling.beside] == ["i-0"]


@pytest.mark.parametrize(
    ("admission", "changes", "proven"),
    [
        (Admission.NEW, {}, False),
        (Admission.JOIN, {}, False),
        (Admission.DUE, {}, True),
        (Admission.TAKEOVER, {}, True),
        (Admission.LOOK, {}, True),
        # While the table does not answer, the message says what was written or set.
        (Admission.UNREAD, {}, False),
        (Admission.UNREAD, {"generation": 1}, True),
        (Admission.UNREAD, {"draining_since": NOW}, True),
    ],
)
def test_an_action_is_proven_once_auto_scaling_has_confirmed_it_to_a_pass(
    admission: Admission, changes: dict[str, Any], proven: bool
) -> None:
    # Taken for proven, a notification that Auto Scaling never sent sets an instance DRAINING.
    scaling = AutoScaling({"i-0": ("g", WAIT)}, hooks={"g": [HOOK]})

    [look] = observer(scaling).look([due(drain(**changes), admission)])

    assert look.proven is proven
