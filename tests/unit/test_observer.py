"""The look at Auto Scaling: who waits, at whose hook, and what the sweep finds within its time."""

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
    Origin,
    Task,
    Waiting,
)
from drainer.drain.task_look import StoppedTasks
from drainer.errors import MisconfiguredError, RefusedError, UnavailableError
from drainer.invocation import InvocationClock
from drainer.lifecycle.observer import (
    DISCOVERED_MAX,
    GROUPS_TOGETHER,
    LATER_STATES,
    Observer,
    is_waiting,
)
from drainer.simulation.client import service_model

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from drainer.drain.sight import Sight
    from drainer.errors import DrainerError

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


class Ecs:
    """An account without a container instance."""

    def clusters(self) -> list[str]:
        return ["payments"]

    def find(self, cluster: str, ec2_instance_ids: Sequence[str]) -> list[str]:
        return []

    def describe(self, cluster: str, arns: Sequence[str]) -> list[ContainerInstance]:
        return []

    def task_ids(
        self,
        cluster: str,
        container_instance_arn: str,
        *,
        desired_status: str,
        go_on: Callable[[], bool] | None = None,
    ) -> list[str]:
        return []

    def tasks(self, cluster: str, task_ids: Sequence[str]) -> dict[str, Task]:
        return {}


def observer(scaling: AutoScaling, now: datetime = NOW) -> Observer:
    return Observer(
        scaling, Ecs(), CONFIG, InvocationClock(now, scaling.left), stopped=StoppedTasks()
    )


def drain(number: int = 0, group: str = "g", hook: str = "drainer", **changes: Any) -> Drain:
    action = LifecycleAction(group, hook, f"i-{number}", "t" * 36)
    return replace(Drain(action, NOW, NOW), **changes)


def looked(scaling: AutoScaling, *drains: Drain) -> list[Sight]:
    return observer(scaling).look(drains)


def swept(scaling: AutoScaling, now: datetime = NOW) -> list[Drain]:
    return observer(scaling, now).discover((), sweep=True)


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
# again: with one stale answer of the first wait, the second one's notice would be dropped.
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

    [sight] = looked(scaling, drain())

    later = Waiting.OVER if state in LATER_STATES else Waiting.NO
    assert sight.waiting == (Waiting.YES if state in WAITS else later)


def test_an_instance_of_another_group_is_never_ours_to_answer() -> None:
    [sight] = looked(AutoScaling({"i-0": ("other", WAIT)}, hooks={"g": [HOOK]}), drain())

    assert sight.waiting == Waiting.OVER


@pytest.mark.parametrize("error", [UnavailableError("x"), MisconfiguredError("x")])
def test_states_that_cannot_be_read_are_unseen(error: DrainerError) -> None:
    scaling = AutoScaling({"i-0": ("g", WAIT)}, hooks={"g": [HOOK]}, fails={"states": error})

    [sight] = looked(scaling, drain())

    assert sight.waiting == Waiting.UNSEEN


def test_an_id_that_auto_scaling_refuses_does_not_blind_the_others() -> None:
    states = {f"i-{n}": ("g", WAIT) for n in range(5)}
    scaling = AutoScaling(states, hooks={"g": [HOOK]}, fails={"i-3": RefusedError("x")})

    sights = looked(scaling, *(drain(n) for n in range(5)))

    assert [one.waiting == Waiting.YES for one in sights] == [True, True, True, False, True]


# -- hooks


@pytest.mark.parametrize(
    ("hook", "by_event_bridge", "waiting"),
    [
        pytest.param(HOOK, False, Waiting.YES, id="ours by its target"),
        pytest.param(
            replace(HOOK, notification_target_arn=f"{TOPIC_ARN}-2"), True, Waiting.OVER, id="other"
        ),
        pytest.param(
            replace(HOOK, notification_target_arn=None), True, Waiting.YES, id="EventBridge alone"
        ),
        pytest.param(
            replace(HOOK, notification_target_arn=None), False, Waiting.OVER, id="said by SNS"
        ),
        pytest.param(
            replace(HOOK, notification_target_arn=None, notification_metadata=None),
            True,
            Waiting.OVER,
            id="nobody's",
        ),
        pytest.param(replace(HOOK, name="other"), False, Waiting.NO, id="no such hook"),
    ],
)
def test_only_our_hooks_are_answered(hook: Hook, by_event_bridge: bool, waiting: Waiting) -> None:
    # To answer another's hook is to cut what it protects.
    scaling = AutoScaling({"i-0": ("g", WAIT)}, hooks={"g": [hook]})

    [sight] = looked(scaling, drain(by_event_bridge=by_event_bridge))

    assert sight.waiting == waiting


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

    sights = looked(scaling, *(drain(n, name) for n, name in enumerate(names)))

    read = sum(one.waiting == Waiting.YES for one in sights)
    assert scaling.seconds_left >= 12 - 0.3
    assert 0 < read < 100
    assert sum(one.waiting == Waiting.UNSEEN for one in sights) == 100 - read


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
        sights = one.look([drain(n, name) for n, name in enumerate(names)])
        read |= {sight.id for sight in sights if sight.waiting == Waiting.YES}

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
    # Until a mark says else: since now, and nobody has kept the hook waiting.
    assert all(one.started_at == NOW for one in found)
    assert all(one.last_heartbeat_at == NOW - timedelta(seconds=1800) for one in found)


def test_the_sweep_finds_what_waits_in_a_warm_pool() -> None:
    # DescribeAutoScalingGroups leaves a warm pool's instances out: with its notice lost, an
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


def test_no_sweep_sees_more_through_than_it_can() -> None:
    states = {f"i-{n}": ("g", WAIT) for n in range(DISCOVERED_MAX + 50)}

    assert len(swept(AutoScaling(states, hooks={"g": [HOOK]}))) == DISCOVERED_MAX


def test_a_call_that_fails_in_the_sweep_costs_what_it_would_have_found_and_no_more() -> None:
    # Groups that were read before a throttle are looked after all the same.
    scaling = AutoScaling(
        {"i-0": ("g", WAIT), "i-1": ("h", WAIT)},
        hooks={"g": [HOOK], "h": [HOOK]},
        pools={"h": {}},
        fails={"pool": UnavailableError("Rate exceeded")},
    )
    one = observer(scaling)

    found = one.discover((), sweep=True)

    assert {drain.action.ec2_instance_id for drain in found} == {"i-0", "i-1"}
    assert any("Rate exceeded" in problem for problem in one.problems)


def test_a_group_whose_hooks_cannot_be_read_costs_the_sweep_no_other() -> None:
    class Unreadable(AutoScaling):
        def lifecycle_hooks(self, auto_scaling_group_name: str) -> dict[str, Hook]:
            if auto_scaling_group_name == "g":
                raise MisconfiguredError("AccessDenied")
            return super().lifecycle_hooks(auto_scaling_group_name)

    scaling = Unreadable({"i-0": ("g", WAIT), "i-1": ("h", WAIT)}, hooks={"g": [HOOK], "h": [HOOK]})
    one = observer(scaling)

    assert [drain.action.ec2_instance_id for drain in one.discover((), sweep=True)] == ["i-1"]
    assert any("'g'" in problem for problem in one.problems)


def test_a_hint_asks_about_its_instances_and_no_other() -> None:
    scaling = AutoScaling({"i-0": ("g", WAIT), "i-1": ("g", WAIT)}, hooks={"g": [HOOK]})

    [found] = observer(scaling).discover(["i-1"], sweep=False)

    assert (found.action.ec2_instance_id, found.origin) == ("i-1", Origin.HINT)
    assert [what for what, _ in scaling.asked] == ["states", "hooks"]
    assert observer(scaling).discover((), sweep=False) == []
