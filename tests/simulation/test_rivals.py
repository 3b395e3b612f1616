"""Invocations beside each other, and what the checkers make of two passes of one hop."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest

from drainer import handler
from drainer.simulation.aws import Aws
from drainer.simulation.checkers.chains import Chains
from drainer.simulation.checkers.evidence import Evidence
from drainer.simulation.runs.world import Options, World
from drainer.simulation.scenario.promises import Promise, Workload
from drainer.simulation.services.auto_scaling.lifecycle import LifecycleAction, LifecycleHook
from drainer.simulation.services.dynamodb.record_table import Version
from drainer.simulation.services.messaging.functions import EventSourceMapping, Function
from drainer.simulation.services.messaging.queues import Queue

START = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
INTERVAL_SECONDS = 15
INSTANCE = "i-0"
# A seed whose messages are handed out twice at once.
RIVALS_SEED = 5


@pytest.fixture
def account() -> Aws:
    return Aws(now=START)


@pytest.fixture
def chains(account: Aws) -> Chains:
    account.record_tables.create("drainer-Records")
    workload = Workload(account, Random(1), INTERVAL_SECONDS, {}, Promise(ours=True))  # noqa: S311
    return Chains(account, workload)


def entry(hop: int, generation: int | None = 1) -> dict[str, str]:
    action = {
        "ec2_instance_id": INSTANCE,
        "auto_scaling_group_name": "g",
        "lifecycle_hook_name": "drainer",
    }
    body: dict[str, Any] = {"action": action, "hop": hop}
    if generation is not None:
        body["generation"] = generation
    return {"Message": json.dumps(body)}


def published(chains: Chains, *entries: dict[str, str]) -> list[str]:
    chains.invocation_begins()
    return list(chains.published(entries, calls_fail=False))


# Bugs that need two passes at the same time were not to be seen at all.
def test_a_poller_beside_an_invocation_gets_what_is_left(account: Aws) -> None:
    queue = Queue(account, "queue", visibility_timeout_seconds=60)
    order: list[str] = []

    def serving(event: Any, _: Any) -> None:
        bodies = [record["body"] for record in event["Records"]]
        order.append(f"{bodies} begins")
        mapping.poll_beside()
        order.append(f"{bodies} ends")

    function = Function(account, "function", serving)
    mapping = EventSourceMapping(account, queue, function, batch_size=10, concurrency_max=2)
    mapping.takes = lambda _: 1
    for body in ("a", "b"):
        queue.send(body)
    account.run_for(1)

    assert order == ["['a'] begins", "['b'] begins", "['b'] ends", "['a'] ends"]
    assert queue.messages == []


# "The most invocations at a time" is what the function's callers are promised.
def test_no_more_pollers_than_may_be_run_beside_each_other(account: Aws) -> None:
    queue = Queue(account, "queue", visibility_timeout_seconds=60)
    running: list[int] = []

    def serving(*_: Any) -> None:
        running.append(mapping.running)
        mapping.poll_beside()

    function = Function(account, "function", serving)
    mapping = EventSourceMapping(account, queue, function, batch_size=1, concurrency_max=2)
    for body in "abcd":
        queue.send(body)
    account.run_for(1)

    assert max(running) == 2
    assert queue.messages == []


# Two messages of one hop are two chains, each with calls of its own at every pass.
def test_a_hop_that_two_passes_publish_is_a_violation(chains: Chains) -> None:
    assert published(chains, entry(3)) == []
    assert published(chains, entry(4)) == []

    [sentence] = published(chains, entry(3))
    assert sentence == "hop 3 of i-0 at drainer is published by two passes"


# A pass has written it as quiet, and was ended before it published. Each event publishes it then,
# as long as no pass has claimed the hop.
@pytest.mark.parametrize(("hop", "quiet", "told"), [(3, True, 0), (3, False, 1), (4, True, 1)])
def test_what_waits_quietly_may_be_published_by_each_event(
    account: Aws, chains: Chains, hop: int, told: int, *, quiet: bool
) -> None:
    [table] = account.record_tables.tables.values()
    drain = {"S": json.dumps({"quiet": quiet})}
    item = {"hop": {"N": str(hop)}, "drain": drain}
    table.rows[INSTANCE, "g:drainer"] = Version(item, {}, START)
    assert published(chains, entry(3)) == []

    assert len(published(chains, entry(3))) == told


# What no write has claimed, and another action's record, are no second pass of the hop.
def test_hops_of_another_generation_and_before_any_record_are_others(chains: Chains) -> None:
    assert published(chains, entry(3), entry(3, None)) == []
    assert published(chains, entry(3, None), entry(3, 2)) == []


# While the table does not answer, a duplicate cannot be told, and goes on.
def test_who_could_not_ask_the_table_is_not_blamed(chains: Chains) -> None:
    assert published(chains, entry(3)) == []

    chains.invocation_begins()
    chains.table_failed("dynamodb", "ThrottlingException")
    assert list(chains.published([entry(3)], calls_fail=False)) == []
    # A refused condition is an answer, and so is a failure of another service.
    chains.invocation_begins()
    chains.table_failed("dynamodb", "ConditionalCheckFailedException")
    chains.table_failed("ecs", "ThrottlingException")
    assert len(list(chains.published([entry(3)], calls_fail=False))) == 1


# One who could not ask must not be taken for one who could because another ran beside it.
def test_an_invocation_beside_another_is_judged_for_itself(chains: Chains) -> None:
    assert published(chains, entry(3)) == []

    chains.invocation_begins()
    chains.table_failed("dynamodb", "ThrottlingException")
    with chains.another_invocation():
        chains.invocation_begins()
    assert list(chains.published([entry(3)], calls_fail=False)) == []


def waiting(*sent_at: datetime) -> Any:
    """An installation with a message of the same drain from each of these instants."""
    named = json.loads(entry(3, None)["Message"])
    named["action"]["lifecycle_action_token"] = "token"
    bodies = [json.dumps({**named, "sent_at": at.timestamp()}) for at in sent_at]
    messages = [SimpleNamespace(body=json.dumps({"Message": body})) for body in bodies]
    return SimpleNamespace(waiting=messages)


# A fork that is alive publishes at each pass, for as long as its drain lasts.
def test_three_chains_that_have_published_since_faults_ceased_are_too_many(chains: Chains) -> None:
    sent_at = [START + timedelta(seconds=seconds) for seconds in (1, 2, 3)]

    assert [*chains.too_many(waiting(*sent_at), START)] == ["3 chains of i-0 at drainer"]
    assert [*chains.too_many(waiting(*sent_at[:2]), START)] == []


# Seed 5331: SNS had held up two of an outage of the table for 18 minutes, beside the chain that was
# alive. Nothing can keep such a message from coming, and the function had ended others like it.
def test_what_was_published_before_faults_ceased_and_comes_late_is_no_chain(
    chains: Chains,
) -> None:
    late = START - timedelta(seconds=114)

    assert [*chains.too_many(waiting(late, late, START), START)] == []


def action(started_at: datetime) -> LifecycleAction:
    hook = LifecycleHook("drainer", "web")
    return LifecycleAction("token", hook, INSTANCE, started_at, started_at, started_at)


# Between two actions an instance may have been in service, with new tasks on it.
def test_an_answer_rests_on_two_listings_since_its_action_began(account: Aws) -> None:
    account.ecs.create_cluster("payments")
    there = account.ecs.register("payments", INSTANCE)
    evidence = Evidence(account, INTERVAL_SECONDS)
    for _ in range(3):
        evidence.listed(there.arn)
        account.run_for(30)
    began_at = account.now

    assert evidence.is_of_before(action(began_at), named=True)
    evidence.listed(there.arn)
    evidence.listed(there.arn)
    assert evidence.is_of_before(action(began_at), named=True)
    account.run_for(30)
    evidence.listed(there.arn)
    assert not evidence.is_of_before(action(began_at), named=True)


# The one limit that is known: nothing but a token or a silence tells two actions apart.
def test_without_a_token_only_a_silence_tells_one_action_from_another(account: Aws) -> None:
    account.ecs.create_cluster("payments")
    account.ecs.register("payments", INSTANCE)
    evidence = Evidence(account, INTERVAL_SECONDS)
    evidence.recorded(INSTANCE)
    account.run_for(INTERVAL_SECONDS)
    began_at = account.now
    account.run_for(INTERVAL_SECONDS)

    assert not evidence.is_of_before(action(began_at), named=False)
    account.run_for(200)
    assert evidence.is_of_before(action(began_at), named=False)


# A run that differed from time to time could not be replayed.
def test_rivals_strike_by_seed_and_the_same_each_time() -> None:
    first, again = (World(RIVALS_SEED, Options(steps=True)) for _ in range(2))
    for world in (first, again):
        world.install(handler.build)
        world.run()

    assert first.faults.injected["invocation beside another"] > 0
    assert first.faults.injected["message handed out twice at once"] > 0
    # What a pass writes down as its own is random on purpose, and of no other consequence.
    assert first.faults.injected == again.faults.injected
    assert first.account.now == again.account.now
