"""What a pass does, in which order, and what it leaves when it has no time or no place left."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from drainer.config import Config
from drainer.drain import mark as marks
from drainer.drain.actions import STOPS_MAX
from drainer.drain.model import (
    ContainerInstance,
    Drain,
    Hook,
    LifecycleAction,
    LifecycleActionResult,
    Mark,
    Owner,
    Task,
)
from drainer.errors import LifecycleActionOverError, MisconfiguredError, UnavailableError
from drainer.invocation import InvocationClock
from drainer.lifecycle import envelope
from drainer.lifecycle.controller import NO_TIME, Controller, PassReport

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from drainer.drain.actions import Outcome
    from drainer.errors import DrainerError

START = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
NOW = START + timedelta(seconds=60)
TOPIC_ARN = "arn:aws:sns:us-east-1:123456789012:drainer"
CONFIG = Config(TOPIC_ARN)
TOKEN = "87654321-4321-4321-4321-210987654321"
WAIT = "Terminating:Wait"
HOOK = Hook("drainer", 1800, 172_800, TOPIC_ARN, None)


def instance_id(number: int) -> str:
    return f"i-{number:017x}"


def action(number: int = 0, token: str = TOKEN) -> LifecycleAction:
    return LifecycleAction("payments-asg", "drainer", instance_id(number), token)


@dataclass
class World:
    """Auto Scaling, ECS and a topic in one, which note each call and the time that it takes."""

    states: dict[str, str] = field(default_factory=dict)
    instances: dict[str, ContainerInstance] = field(default_factory=dict)
    running: dict[str, list[Task]] = field(default_factory=dict)
    hook: Hook = HOOK
    fails: dict[str, DrainerError] = field(default_factory=dict)
    seconds_left: float = 100.0
    call_seconds: float = 0.0
    log: list[str] = field(default_factory=list)
    attributes: list[tuple[str, str, str]] = field(default_factory=list)
    published: list[Drain] = field(default_factory=list)
    answered: list[tuple[str, str]] = field(default_factory=list)
    refused_arns: set[str] = field(default_factory=set)
    late: list[str] = field(default_factory=list)

    def has(
        self,
        number: int = 0,
        status: str = "DRAINING",
        *tasks: Task,
        mark: Mark | None = None,
        cluster: str = "payments",
    ) -> None:
        arn = f"arn-{number}"
        wanted = sum(one.wanted for one in tasks)
        self.states[instance_id(number)] = WAIT
        self.running[arn] = list(tasks)
        self.instances[arn] = ContainerInstance(
            arn, instance_id(number), status, agent_connected=True, running_tasks=wanted,
            pending_tasks=0, cluster=cluster,
            marks={marks.checksum("drainer"): mark} if mark else {},
        )  # fmt: skip

    def _call(self, name: str, about: str = "") -> None:
        if self.seconds_left <= 0:
            self.late.append(name)
        self.log.append(name)
        self.seconds_left -= self.call_seconds
        for key in (name, f"{name} {about}"):
            if key in self.fails:
                raise self.fails[key]

    # Auto Scaling

    def lifecycle_states(self, ec2_instance_ids: Sequence[str]) -> dict[str, tuple[str, str]]:
        self._call("states")
        return {i: ("payments-asg", self.states[i]) for i in ec2_instance_ids if i in self.states}

    def group_names(self) -> list[str]:
        return ["payments-asg"]

    def states_in_groups(
        self, auto_scaling_group_names: Sequence[str]
    ) -> tuple[dict[str, tuple[str, str]], list[str]]:
        return {one: ("payments-asg", state) for one, state in self.states.items()}, []

    def states_in_warm_pool(self, auto_scaling_group_name: str) -> dict[str, tuple[str, str]]:
        return {}

    def lifecycle_hooks(self, auto_scaling_group_name: str) -> dict[str, Hook]:
        return {self.hook.name: self.hook}

    def record_heartbeat(self, action: LifecycleAction) -> None:
        self._call("heartbeat", action.ec2_instance_id)

    def complete(self, action: LifecycleAction, result: LifecycleActionResult) -> None:
        self._call("complete", action.ec2_instance_id)
        self.answered.append((action.ec2_instance_id, result))

    # ECS

    def clusters(self) -> list[str]:
        return sorted({one.cluster for one in self.instances.values()})

    def find(self, cluster: str, ec2_instance_ids: Sequence[str]) -> list[str]:
        return [
            one.arn
            for one in self.instances.values()
            if one.cluster == cluster and one.ec2_instance_id in ec2_instance_ids
        ]

    def describe(self, cluster: str, arns: Sequence[str]) -> list[ContainerInstance]:
        self._call("describe")
        return [self.instances[one] for one in arns if one in self.instances]

    def task_ids(
        self,
        cluster: str,
        container_instance_arn: str,
        *,
        desired_status: str,
        go_on: Callable[[], bool] | None = None,
    ) -> list[str]:
        return [
            one.id
            for one in self.running.get(container_instance_arn, ())
            if one.desired_status == desired_status
        ]

    def tasks(self, cluster: str, task_ids: Sequence[str]) -> dict[str, Task]:
        known = {one.id: one for tasks in self.running.values() for one in tasks}
        return {one: known[one] for one in task_ids if one in known}

    def set_draining(self, cluster: str, arns: Sequence[str]) -> dict[str, str]:
        self._call("set draining")
        return {one: "refused" for one in arns if one in self.refused_arns}

    def put_attributes(self, cluster: str, values: Sequence[tuple[str, str, str]]) -> None:
        self._call("mark", values[0][0] if len(values) == 1 else "")
        gone = [arn for arn, _, _ in values if arn in self.refused_arns]
        if gone:
            raise MisconfiguredError(f"TargetNotFoundException: {gone}")
        self.attributes += values

    def stop_task(self, cluster: str, task_id: str, reason: str) -> None:
        self._call("stop")

    # The topic

    def publish(self, messages: Sequence[str]) -> dict[int, str]:
        self._call("publish")
        self.published += [envelope.decode(json.loads(text)) for text in messages]
        return {}

    def left(self) -> float:
        return self.seconds_left

    def run(self, *drains: Drain, **more: Any) -> PassReport:
        controller = Controller(self, self, self, CONFIG)
        return controller.run_pass(drains, time=InvocationClock(NOW, self.left), **more)


def drain(number: int = 0, **changes: Any) -> Drain:
    """A chain in the middle of its way, all of whose tasks are known."""
    known = Drain(
        action(number),
        START,
        START,
        hop=3,
        cluster="payments",
        container_instance_arn=f"arn-{number}",
        draining_since=START,
        settled=True,
        closed=True,
    )
    return replace(known, **changes)


def notice(number: int = 0) -> Drain:
    return Drain(action(number), NOW, NOW)


def mark(**changes: Any) -> Mark:
    known = Mark(
        marks.checksum(TOKEN), 2, NOW - timedelta(seconds=15), START, START + timedelta(hours=1),
        START, START,
    )  # fmt: skip
    return replace(known, **changes)


def task(number: int = 1, last: str = "RUNNING", owner: Owner = Owner.SERVICE) -> Task:
    wanted = "RUNNING" if last == "RUNNING" else "STOPPED"
    return Task(f"{number:032x}", owner, "service:web", wanted, last)


def ended(world: World) -> dict[str, str]:
    return {arn: value for arn, _, value in world.attributes if value.startswith("ended")}


def only(report: PassReport) -> Outcome:
    [outcome] = report.outcomes
    return outcome


# -- the order of calls


def test_a_notice_is_proven_before_anything_is_changed_and_marked_last() -> None:
    # A notice that Auto Scaling never sent must change nothing; and a mark that is ahead of its
    # re-invocation makes the retry of the message a copy, so that the chain dies.
    world = World()
    world.has(0, "ACTIVE", task())

    world.run(notice())

    order = [one for one in world.log if one not in {"states", "describe"}]
    assert order == ["heartbeat", "set draining", "publish", "mark"]
    [sent] = world.published
    assert (sent.hop, sent.draining_since, sent.sent_at) == (1, NOW, NOW)


def test_a_notice_that_auto_scaling_does_not_confirm_changes_nothing() -> None:
    world = World(fails={"heartbeat": LifecycleActionOverError("No active Lifecycle Action found")})
    world.has(0, "ACTIVE", task())

    outcome = only(world.run(notice()))

    assert outcome.over
    assert {"set draining", "publish", "mark", "stop"} & set(world.log) == set()


@pytest.mark.parametrize("error", [UnavailableError("x"), MisconfiguredError("x")])
def test_a_heartbeat_that_fails_proves_nothing_but_ends_no_chain(error: DrainerError) -> None:
    world = World(fails={"heartbeat": error})
    world.has(0, "ACTIVE", task())

    outcome = only(world.run(notice()))

    assert "set draining" not in world.log
    assert "mark" not in world.log
    assert outcome.published
    assert outcome.troubles


def test_draining_is_since_the_end_of_the_call_that_set_it() -> None:
    # Dated back to the pass's beginning, the first listing comes before its time.
    world = World(call_seconds=2)
    world.has(0, "ACTIVE", task())

    world.run(notice())

    [sent] = world.published
    spent = world.log.index("set draining") + 1
    assert sent.draining_since is not None
    assert sent.draining_since >= NOW + timedelta(seconds=2 * spent)


# Somebody else sets it DRAINING while a slow look goes on: dated by the pass's beginning, the first
# listing would come too early to show a task that was placed just before.
def test_what_others_set_draining_is_draining_since_the_look_has_ended() -> None:
    world = World(call_seconds=2)
    world.has(0, "DRAINING", task(), mark=mark(draining_since=None))

    world.run(drain(draining_since=None))

    [following] = world.published
    looked = world.log.index("describe") + 1
    assert following.draining_since is not None
    assert following.draining_since >= NOW + timedelta(seconds=2 * looked)


# The same for two searches, which must be further apart than answers may be late.
def test_an_absence_is_dated_by_the_end_of_its_search() -> None:
    world = World(call_seconds=2)
    world.states[instance_id(0)] = WAIT

    world.run(drain(container_instance_arn=None, cluster=None, draining_since=None))

    [following] = world.published
    assert following.absent_since is not None
    assert following.absent_since > NOW


def test_a_container_instance_that_refuses_draining_is_not_draining() -> None:
    world = World(refused_arns={"arn-0"})
    world.has(0, "ACTIVE", task())

    outcome = only(world.run(notice()))

    assert not outcome.drained_now
    assert world.published[0].draining_since is None


def test_what_is_drained_is_answered_before_others_get_their_heartbeats() -> None:
    world = World()
    world.has(0)
    world.has(1, "DRAINING", task())

    world.run(drain(1), drain(0))

    assert world.answered == [(instance_id(0), "CONTINUE")]
    assert world.log.index("complete") < world.log.index("heartbeat")


def test_an_answer_that_fails_goes_round_so_that_it_is_given_again() -> None:
    world = World(fails={"complete": UnavailableError("Rate exceeded")})
    world.has(0)

    outcome = only(world.run(drain()))

    assert (outcome.answered, outcome.published) == (None, True)
    assert ended(world) == {}


# -- marks of what is over


def test_the_mark_of_what_was_answered_is_written_off() -> None:
    # The same instance's next action would inherit its deadline: cut 600 s in.
    world = World()
    world.has(0, mark=mark())

    world.run(drain())

    assert ended(world) == {"arn-0": marks.ended(NOW)}


def test_a_mark_whose_action_somebody_else_has_ended_is_written_off() -> None:
    # A hand-given ABANDON is not seen by us, but the next pass sees nothing waiting.
    world = World()
    world.has(0, mark=mark())
    world.states[instance_id(0)] = "Terminating:Proceed"

    world.run(drain())

    assert ended(world) == {"arn-0": marks.ended(NOW)}


@pytest.mark.parametrize(
    ("mark_there", "ec2_instance_id", "token"),
    [
        pytest.param(mark(token_checksum="0badcafe"), instance_id(0), TOKEN, id="another action's"),
        pytest.param(mark(token_checksum=""), instance_id(0), TOKEN, id="a sweep's"),
        pytest.param(mark(), instance_id(9), TOKEN, id="another instance's"),
        pytest.param(None, instance_id(0), TOKEN, id="none"),
        pytest.param(mark(), instance_id(0), "", id="no token to compare"),
    ],
)
def test_a_mark_that_is_not_of_the_action_that_is_over_stays(
    mark_there: Mark | None, ec2_instance_id: str, token: str
) -> None:
    # Who has an old message, or makes one up, could else end the drain that is under way; and an
    # instance that carries an ended mark may be set ACTIVE.
    world = World()
    world.has(0, mark=mark_there)
    there = world.instances["arn-0"]
    world.instances["arn-0"] = replace(there, ec2_instance_id=ec2_instance_id)
    world.states[instance_id(0)] = "Terminating:Proceed"

    world.run(drain(action=action(0, token)))

    assert world.attributes == []


def test_a_mark_that_one_stale_look_has_written_off_is_left_again_by_the_chains_next_pass() -> None:
    # One stale answer must cost the chain neither its way round nor, for long, its mark: without
    # it the next sweep would begin another chain beside it.
    world = World()
    world.has(0, "DRAINING", task(), mark=mark())
    world.states[instance_id(0)] = "InService"
    world.run(drain())
    [following] = world.published
    world.has(0, "DRAINING", task(), mark=None)
    world.attributes.clear()

    outcome = only(world.run(following))

    assert outcome.heartbeat
    assert [arn for arn, _, value in world.attributes if not value.startswith("ended")] == ["arn-0"]


def test_what_is_published_late_in_a_pass_is_not_sent_at_its_beginning() -> None:
    # The copy that comes past the queue that delays is told by how soon after it was sent it comes:
    # dated back to the beginning of a pass that took ten seconds, it would go round without delay.
    world = World(call_seconds=2)
    world.has(0, "ACTIVE", task())

    world.run(notice())

    [sent] = world.published
    before = world.log.index("publish")
    assert sent.sent_at is not None
    assert sent.sent_at >= NOW + timedelta(seconds=2 * before)


def test_a_mark_that_cannot_be_written_off_costs_the_answer_nothing_and_no_other_its_mark() -> None:
    world = World(refused_arns={"arn-0"})
    world.has(0)
    world.has(1)

    report = world.run(drain(0), drain(1))

    assert [outcome.answered for outcome in report.outcomes] == ["CONTINUE", "CONTINUE"]
    assert set(ended(world)) == {"arn-1"}
    assert [bool(outcome.troubles) for outcome in report.outcomes] == [True, False]


# The chain has ended: nobody else comes to write it off, and the next action of the same instance
# would inherit its deadline.
@pytest.mark.parametrize("state", [WAIT, "Terminating:Proceed"])
@pytest.mark.parametrize(
    ("error", "again"),
    [
        (UnavailableError("ThrottlingException"), True),
        (MisconfiguredError("AccessDenied"), False),
        (None, False),
    ],
)
def test_a_mark_that_may_be_written_off_later_has_its_message_delivered_again(
    state: str, error: DrainerError | None, again: bool
) -> None:
    world = World(fails={"mark": error} if error else {})
    world.has(0, mark=mark())
    world.states[instance_id(0)] = state

    [outcome] = world.run(drain()).outcomes

    assert bool(outcome.undone) == again
    assert bool(outcome.answered) == (state == WAIT)


# What has no token cannot tell whose mark it is; but nothing waits, so that it is of what is over.
@pytest.mark.parametrize(
    ("state", "looks", "written_off"),
    [
        ("Terminating:Retained", 1, False),
        ("Terminating:Retained", 2, True),
        ("Terminating:Proceed", 2, False),  # it ends, and no action follows
        (WAIT, 2, False),
    ],
)
def test_what_has_no_token_writes_off_a_mark_once_two_looks_have_seen_no_wait(
    state: str, looks: int, written_off: bool
) -> None:
    world = World()
    world.has(0, "DRAINING", task(), mark=mark())
    world.states[instance_id(0)] = state
    nameless = replace(action(0), lifecycle_action_token="")
    since = NOW - timedelta(seconds=60) if looks == 2 else None

    world.run(drain(action=nameless, not_waiting_since=since))

    assert bool(ended(world)) == written_off


@pytest.mark.parametrize(
    ("mark_there", "written"),
    [
        (mark(), marks.ended(NOW)),
        (mark(draining_since=None), marks.ended(NOW)),
        (mark(draining_since=None, token_checksum=""), marks.VOID),
    ],
)
def test_what_has_no_token_writes_off_what_was_proven_as_drained(
    mark_there: Mark, written: str
) -> None:
    # Written off as never drained, it would come back from a warm pool DRAINING, for good.
    world = World()
    world.has(0, "DRAINING", task(), mark=mark_there)
    world.states[instance_id(0)] = "InService"
    nameless = replace(action(0), lifecycle_action_token="")

    world.run(
        drain(action=nameless, draining_since=None, not_waiting_since=NOW - timedelta(seconds=60))
    )

    assert [value for _, _, value in world.attributes] == [written]


def test_the_mark_of_what_is_answered_unseen_at_its_deadline_is_written_off() -> None:
    world = World(fails={"states": UnavailableError("ThrottlingException")})
    world.has(0, mark=mark())

    world.run(drain(deadline_at=NOW))

    assert world.answered
    assert ended(world) == {"arn-0": marks.ended(NOW)}


@pytest.mark.parametrize("seconds_left", [9.0, 100.0])
def test_what_is_over_is_delivered_again_where_no_time_was_left_to_look_for_its_mark(
    seconds_left: float,
) -> None:
    world = World(seconds_left=seconds_left, call_seconds=2.0)
    world.has(0, mark=mark())
    world.states[instance_id(0)] = "Terminating:Proceed"

    [outcome] = world.run(drain()).outcomes

    assert bool(outcome.undone) == (seconds_left < 10)


# -- what the sweep finds


def test_the_sweep_leaves_its_mark_before_it_keeps_the_hook_waiting() -> None:
    # Who dies in between must not leave a hook that waits, and nobody who counts its time.
    world = World()
    world.has(0, "ACTIVE", task())

    outcome = only(world.run(sweep=True))

    order = [one for one in world.log if one not in {"states", "describe"}]
    assert order[:3] == ["mark", "heartbeat", "set draining"]
    assert outcome.published


@pytest.mark.parametrize("error", [UnavailableError("x"), MisconfiguredError("attribute limit")])
def test_nothing_heartbeats_that_can_leave_no_mark(error: DrainerError) -> None:
    # Nobody would remember its deadline: it was kept waiting for 48 hours.
    world = World(fails={"mark": error})
    world.has(0, "DRAINING", task())

    outcome = only(world.run(sweep=True))

    assert {"heartbeat", "set draining", "publish"} & set(world.log) == set()
    assert outcome.troubles


def test_the_sweep_does_not_keep_what_no_cluster_has() -> None:
    # In no cluster there is nothing to mark: the hook's own timeout must be able to end it.
    world = World(states={instance_id(0): WAIT})

    outcome = only(world.run(sweep=True))

    assert "heartbeat" not in world.log
    assert not outcome.heartbeat


def test_a_hint_keeps_nothing_waiting_without_a_mark() -> None:
    world = World()
    world.has(0, "DRAINING", task())

    world.run(hints=[instance_id(0)])

    assert {"heartbeat", "publish", "mark"} & set(world.log) == set()


def test_a_mark_that_was_there_bounds_the_sweeps_heartbeats() -> None:
    world = World()
    lost = mark(at=START - timedelta(hours=1), last_heartbeat_at=START - timedelta(minutes=20))
    world.has(0, "DRAINING", task(), mark=lost)

    outcome = only(world.run(sweep=True))

    assert outcome.heartbeat
    assert outcome.drain.deadline_at == lost.deadline_at


def test_the_sweep_leaves_alone_what_a_message_in_the_same_batch_is_about() -> None:
    # Two chains for one action double the calls for the rest of the drain.
    world = World()
    world.has(0, "DRAINING", task())

    report = world.run(drain(), sweep=True)

    assert len(report.outcomes) == 1


# -- time


def test_heartbeats_stop_where_no_time_is_left_for_the_way_round_and_all_go_round() -> None:
    # The invocation is killed in its middle: nothing of the batch is published, and each message is
    # delivered again after three minutes, whatever was done. So is what is given back to SQS, at
    # the same place of the same batch: its hook ran out before it ever got a heartbeat.
    world = World(call_seconds=1.5, seconds_left=22)
    for number in range(10):
        world.has(number, "DRAINING", task(number))

    report = world.run(*(drain(number) for number in range(10)))

    kept = [outcome for outcome in report.outcomes if outcome.heartbeat]
    assert world.late == []
    assert 0 < len(kept) < 10
    assert all(outcome.published and not outcome.undone for outcome in report.outcomes)
    # What got no heartbeat does not say that it got one.
    assert sum(sent.last_heartbeat_at == NOW for sent in world.published) == len(kept)


def test_what_has_no_time_to_be_acted_upon_goes_round() -> None:
    world = World(seconds_left=4.9)
    world.has(0)

    outcome = only(world.run(drain()))

    assert (outcome.undone, outcome.answered, outcome.published) == ("", None, True)
    assert {"complete", "heartbeat", "set draining"} & set(world.log) == set()


def test_what_has_no_time_at_all_is_delivered_again_and_what_is_undone_is_said() -> None:
    world = World(seconds_left=0.9)
    world.has(0)

    outcome = only(world.run(drain()))

    assert (outcome.undone, outcome.answered) == (NO_TIME, None)
    assert {"complete", "heartbeat", "publish"} & set(world.log) == set()


def test_stops_leave_time_for_the_way_round() -> None:
    # A hundred standalone tasks that are stopped one by one use up the invocation.
    hook = replace(HOOK, notification_metadata='{"standalone_tasks": "stop", '
                   '"standalone_grace_seconds": 0}')  # fmt: skip
    world = World(hook=hook, call_seconds=1, seconds_left=25)
    jobs = [task(number, owner=Owner.STANDALONE) for number in range(50)]
    world.has(0, "DRAINING", *jobs, mark=mark())

    outcome = only(world.run(drain(unfinished=tuple(one.id for one in jobs))))

    assert 0 < world.log.count("stop") < STOPS_MAX
    assert outcome.published
    assert not outcome.stopped
    assert not world.published[0].standalone_stopped
    assert world.late == []


def test_one_pass_stops_no_more_tasks_than_it_may_and_the_next_stops_the_others() -> None:
    hook = replace(HOOK, notification_metadata='{"standalone_tasks": "stop", '
                   '"standalone_grace_seconds": 0}')  # fmt: skip
    world = World(hook=hook)
    jobs = [task(number, owner=Owner.STANDALONE) for number in range(STOPS_MAX + 5)]
    world.has(0, "DRAINING", *jobs, mark=mark())

    world.run(drain(unfinished=tuple(one.id for one in jobs)))

    assert world.log.count("stop") == STOPS_MAX
    assert not world.published[0].standalone_stopped


@pytest.mark.parametrize("put", ["taken", "denied"])
@pytest.mark.parametrize("clusters", [1, 60])
def test_writing_off_marks_never_runs_past_the_invocations_time(clusters: int, put: str) -> None:
    # Sixty instances are clear at once; each answer, and each attribute, takes 0.3 s. Killed while
    # it tidies up, the function reports nothing, and all sixty messages are delivered again.
    world = World(call_seconds=0.3, seconds_left=30)
    if put == "denied":
        world.fails["mark"] = MisconfiguredError("AccessDenied")
    for number in range(60):
        world.has(number, cluster=f"cluster-{number % clusters}")

    world.run(*(drain(n, cluster=f"cluster-{n % clusters}") for n in range(60)))

    assert world.answered
    assert world.late == []


def test_a_pass_of_a_hundred_with_refused_calls_never_runs_past_its_time() -> None:
    # What is refused together is asked one by one, which takes ten times as long.
    world = World(call_seconds=0.3, seconds_left=30)
    world.fails["mark"] = MisconfiguredError("AccessDenied")
    for number in range(100):
        world.has(number, "ACTIVE", task(number))

    report = world.run(*(notice(number) for number in range(100)))

    assert world.late == []
    assert all(bool(outcome.undone) != outcome.published for outcome in report.outcomes)


# -- chains


def test_what_comes_before_its_delay_acts_and_does_not_go_round() -> None:
    # The subscription without delay gets a copy while its filter is not in force.
    world = World()
    world.has(0, "ACTIVE", task())

    outcome = only(world.run(drain(sent_at=NOW - timedelta(seconds=1), draining_since=None)))

    assert outcome.drained_now
    assert world.published == []
    assert outcome.undone == ""


def test_a_message_with_a_token_goes_on_and_the_chain_of_a_sweep_beside_it_does_not() -> None:
    world = World()
    world.has(0, "DRAINING", task(), mark=mark())

    world.run(drain(action=action(0, "")), drain())

    assert [one.action.lifecycle_action_token for one in world.published] == [TOKEN]


# A mark that is read late may speak for the token that is over: the true one's chain would end.
def test_of_two_tokens_both_go_round_until_auto_scaling_refuses_one() -> None:
    world = World()
    world.has(0, "DRAINING", task(), mark=mark())
    other = replace(action(0), lifecycle_action_token="0f0e0d0c-0000-4000-8000-000000000000")

    world.run(drain(), drain(action=other, draining_since=None, hop=0))

    tokens = {one.action.lifecycle_action_token for one in world.published}
    assert tokens == {TOKEN, other.lifecycle_action_token}


def test_an_envelope_that_is_too_long_is_delivered_again_and_costs_no_other() -> None:
    world = World()
    world.has(0, "DRAINING", task(0))
    world.has(1, "DRAINING", task(1))
    long = tuple("x" * 512 for _ in range(60))

    report = world.run(drain(0, unfinished=long), drain(1))

    assert [bool(outcome.undone) for outcome in report.outcomes] == [True, False]
    assert [one.action.ec2_instance_id for one in world.published] == [instance_id(1)]
