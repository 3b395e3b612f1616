"""What the checkers allow of calls and of time: as much as an account's own doings ask for."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from random import Random
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from drainer.simulation.aws import Aws
from drainer.simulation.checkers.chains import Chains
from drainer.simulation.checkers.liveness import Liveness
from drainer.simulation.checkers.safety import (
    ASKED_AFTER_THE_END_MAX,
    CALLS_IN_COMMON,
    CALLS_PER_DRAIN,
    Safety,
)
from drainer.simulation.scenario.promises import Promise, Workload
from drainer.simulation.services.auto_scaling.lifecycle import LifecycleAction, LifecycleHook
from drainer.simulation.services.dynamodb.record_table import Version

if TYPE_CHECKING:
    from drainer.simulation.scenario.installation import Installation

START = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
GROUP, HOOK, INSTANCE = "group-0", "drainer", "i-0"
TIMEOUT_SECONDS = 3_600
INTERVAL_SECONDS = 15


@pytest.fixture
def account() -> Aws:
    return Aws(now=START)


@pytest.fixture
def workload(account: Aws) -> Workload:
    promise = Promise(ours=True, drain_timeout_seconds=TIMEOUT_SECONDS)
    random = Random(1)  # noqa: S311
    return Workload(account, random, INTERVAL_SECONDS, {}, promise, {(GROUP, HOOK): promise})


@pytest.fixture
def chains(account: Aws, workload: Workload) -> Chains:
    return Chains(account, workload)


@pytest.fixture
def safety(account: Aws, workload: Workload) -> Safety:
    return Safety(account, workload, "arn", START)


def spends(safety: Safety, calls: int, *, listed: int) -> list[str]:
    """Let an invocation without records make calls, after an index has listed some records."""
    safety.invocation_begins()
    items = [{"instance": {"S": f"i-{number}"}} for number in range(listed)]
    for _ in range(2):  # a page that is listed again lists nothing more
        safety.told("Query", {"IndexName": "open"}, {"Items": items})
    for _ in range(calls):
        safety.before("Query", {})
    safety.invocation_ends(0)
    return [one.rule for one in safety.violations]


# A sweep that forgets forty drained instances reads and writes each: it is no endless loop.
def test_a_sweep_may_read_and_write_each_record_that_an_index_lists(safety: Safety) -> None:
    assert spends(safety, CALLS_IN_COMMON + 2 * 40, listed=40) == []


# A loop that never ends would cost an invocation, and the quotas of the whole account.
def test_a_sweep_makes_no_more_calls_than_its_records_need(safety: Safety) -> None:
    assert spends(safety, CALLS_IN_COMMON + 2 * 40 + 1, listed=40) == ["bounds"]


def test_what_no_index_has_listed_costs_no_calls(safety: Safety) -> None:
    assert spends(safety, CALLS_IN_COMMON + CALLS_PER_DRAIN, listed=0) == ["bounds"]


def message(instance: str = INSTANCE, proof: str = "of its own") -> str:
    action = {
        "ec2_instance_id": instance,
        "lifecycle_hook_name": HOOK,
        "lifecycle_action_token": proof,
    }
    return json.dumps({"Message": json.dumps({"action": action})})


def waiting(*bodies: str) -> Installation:
    messages = [SimpleNamespace(body=body) for body in bodies]
    return SimpleNamespace(waiting=messages)  # type: ignore[return-value]


def test_the_chains_of_an_instance_at_a_hook_are_counted(chains: Chains) -> None:
    # Those of an earlier action, too: the record names another token, and they hear it themselves.
    installed = waiting(message(), message(), message("i-1"), message(proof="of before"))

    assert chains.alive(installed, INSTANCE, HOOK) == 3
    assert chains.alive(installed, INSTANCE, "another") == 0


def test_a_notification_among_the_envelopes_is_counted_as_well(chains: Chains) -> None:
    # A late filter policy brings it there. The checker broke off at it, which the function took for
    # an answer of Auto Scaling's that it did not expect: no heartbeat came through.
    about = {"EC2InstanceId": INSTANCE, "LifecycleHookName": HOOK}
    installed = waiting(message(), json.dumps({"Message": json.dumps(about)}))

    assert chains.alive(installed, INSTANCE, HOOK) == 2
    assert list(chains.too_many(installed, START)) == []


def asks(safety: Safety, times: int) -> list[str]:
    """Let the function ask about an action that is over, again and again."""
    named = {"AutoScalingGroupName": GROUP, "LifecycleHookName": HOOK, "InstanceId": INSTANCE}
    for _ in range(times):
        safety.before("RecordLifecycleActionHeartbeat", named)
    return [one.rule for one in safety.violations]


# Twenty chains that an outage has left each hear by themselves that their action is over.
def test_each_chain_may_ask_about_the_end(safety: Safety) -> None:
    safety.chains = lambda *about: 20 * (about == (INSTANCE, HOOK))

    assert asks(safety, ASKED_AFTER_THE_END_MAX + 2 * 20) == []


@pytest.mark.parametrize("chains", [0, 20])
def test_a_chain_that_does_not_end_is_seen_by_what_it_asks(safety: Safety, chains: int) -> None:
    # It would be re-invoked, and ask, for as long as its queue keeps messages.
    safety.chains = lambda *_: chains

    assert asks(safety, ASKED_AFTER_THE_END_MAX + 2 * chains + 1) == ["bounds"]


def action(began_seconds: float, ended_seconds: float | None, ended_by: str) -> LifecycleAction:
    began_at = START + timedelta(seconds=began_seconds)
    hook = LifecycleHook(HOOK, GROUP, heartbeat_timeout_seconds=7_200)
    return LifecycleAction(
        token=str(began_seconds),
        hook=hook,
        ec2_instance_id=INSTANCE,
        started_at=began_at,
        timeout_at=began_at + timedelta(seconds=7_200),
        global_timeout_at=began_at + timedelta(hours=48),
        ended_at=None if ended_seconds is None else START + timedelta(seconds=ended_seconds),
        ended_by=ended_by if ended_seconds is not None else None,
    )


def liveness(
    workload: Workload,
    chains: Chains,
    *actions: LifecycleAction,
    displaced: frozenset[str] = frozenset({INSTANCE}),
    writable: bool = True,
) -> Liveness:
    account: Any = SimpleNamespace(
        auto_scaling=SimpleNamespace(actions=actions),
        record_tables=SimpleNamespace(is_writable=writable),
        ecs=SimpleNamespace(clusters={}),
        history=[],
    )
    ceased_at = START + timedelta(seconds=900)
    read = {GROUP: [START + timedelta(seconds=3 * TIMEOUT_SECONDS)]}
    return Liveness(account, workload, ceased_at, {*displaced}, chains, 300.0, START, 0.0, read)


# The drainer goes on with the token that it knows, until a heartbeat or an answer is refused.
@pytest.mark.parametrize(
    ("ended_by", "gap_seconds", "later"),
    [("operator", 10, True), ("completed", 10, False), ("operator", 120, False)],
)
def test_an_action_that_begins_unheard_after_another_is_seen_by_the_refused_token(
    workload: Workload, chains: Chains, ended_by: str, gap_seconds: float, later: bool
) -> None:
    first = action(0, 600, ended_by)
    second = action(600 + gap_seconds, None, "")
    judge = liveness(workload, chains, first, second)
    alone = liveness(workload, chains, second)

    # Half of the hook's timeout after the first began is its deadline, too.
    seen_at = START + timedelta(seconds=TIMEOUT_SECONDS if later else 900)
    span = timedelta(seconds=TIMEOUT_SECONDS)
    assert judge.latest(second) == judge.within(judge.within(seen_at) + span)
    assert (judge.latest(second) > alone.latest(second)) is later


def records(chains: Chains, token: str) -> None:
    """Let the function write the record of the action that has a token."""
    tables = chains.account.record_tables
    tables.create("drainer-Records")
    key = {"instance": {"S": INSTANCE}, "subject": {"S": f"{GROUP}:{HOOK}"}}
    tables.tables["drainer-Records"].rows[INSTANCE, f"{GROUP}:{HOOK}"] = Version(
        {**key, "token": {"S": token}}, {}, START
    )
    chains.recorded(key)


# Seed 17093: in an outage of the table an operator answered the first action, the next one began at
# once, and its message was lost. The sweep had the first one's record: it could not know since when
# the second had waited, and gave it a deadline of its own.
@pytest.mark.parametrize("recorded", ["first", "second before", "second after"])
def test_the_record_of_one_action_does_not_say_when_the_next_began(
    workload: Workload, chains: Chains, recorded: str
) -> None:
    first, second = action(0, 100, "operator"), action(110, None, "")
    lost = {"ec2_instance_id": INSTANCE, "lifecycle_hook_name": HOOK}
    records(chains, first.token)
    if recorded == "second before":
        records(chains, second.token)
    chains.went_astray(
        json.dumps({"action": {**lost, "lifecycle_action_token": second.token}, "hop": 1})
    )
    if recorded == "second after":
        records(chains, second.token)
    judge = liveness(workload, chains, first, second, displaced=frozenset())

    assert chains.is_unknown(second) is (recorded == "first")
    assert not chains.is_unknown(first)
    from_the_first = judge.within(second.started_at + timedelta(seconds=TIMEOUT_SECONDS))
    later = judge.latest(second) > from_the_first + timedelta(seconds=TIMEOUT_SECONDS / 2)
    assert later is (recorded == "first")


# Metadata of the hook says the deadline: until it can be read, only heartbeats keep the instance.
@pytest.mark.parametrize(("seconds", "sentence"), [(1, ""), (1_000, "was kept waiting past its")])
def test_heartbeats_may_come_until_the_hook_that_says_the_deadline_is_read(
    workload: Workload, chains: Chains, seconds: float, sentence: str
) -> None:
    kept = action(0, 4 * TIMEOUT_SECONDS, "skipped")
    kept.heartbeats.append(START + timedelta(seconds=3 * TIMEOUT_SECONDS + seconds))
    judge = liveness(workload, chains, kept, displaced=frozenset())

    told = [one.sentence for one in judge.violations()]

    assert len(told) == bool(sentence)
    assert all(sentence in one for one in told)


def re_invokes(chains: Chains, token: str, *, table_fails: bool) -> None:
    """Let an invocation publish a drain's re-invocation."""
    named = {"ec2_instance_id": INSTANCE, "lifecycle_hook_name": HOOK}
    body = {"action": {**named, "lifecycle_action_token": token}, "hop": 1}
    chains.invocation_begins()
    if table_fails:
        chains.table_failed("dynamodb", "InternalServerError")
    assert [*chains.published([{"Message": json.dumps(body)}], calls_fail=True)] == []


# Seed 8264: a sweep began the drain, the notification's token joined its record, and the table was
# never read again. A message without a token answers no hook: its timeout ends the wait. A drainer
# that drops a token that its messages had, or whose table answers, is not excused.
@pytest.mark.parametrize(
    ("before", "table_fails", "writable", "excused"),
    [
        ("", True, False, True),
        ("", True, True, False),
        ("", False, False, False),
        ("0", True, False, False),
        ("of an earlier action", True, False, True),
    ],
)
def test_a_token_that_the_table_alone_knew_is_lost_with_the_table(
    workload: Workload, chains: Chains, before: str, *, table_fails: bool, writable: bool,
    excused: bool,
) -> None:  # fmt: skip
    left = action(0, 5 * TIMEOUT_SECONDS, "timeout")
    judge = liveness(workload, chains, left, displaced=frozenset(), writable=writable)
    re_invokes(chains, before, table_fails=False)
    re_invokes(chains, "", table_fails=table_fails)

    told = [one.sentence for one in judge.violations()]

    assert told == ([] if excused else [f"{INSTANCE} was answered by its hook's timeout"])


# What the pass that set DRAINING could not write, no later record need say.
@pytest.mark.parametrize("fails", ["before", "after", "in another", "never"])
def test_what_is_set_draining_while_a_call_of_the_table_fails_is_unrecorded(
    chains: Chains, fails: str
) -> None:
    def fail(when: str) -> None:
        if when == fails:
            chains.table_failed("dynamodb", "AccessDeniedException")

    chains.invocation_begins()
    fail("before")
    with chains.another_invocation():
        chains.invocation_begins()
        fail("in another")
    chains.set_draining(["arn"])
    fail("after")

    assert chains.unrecorded == ({"arn"} if fails in {"before", "after"} else set())

    chains.invocation_begins()
    chains.set_draining(["arn"])
    assert chains.unrecorded == set()
