"""What the checkers make of an open action whose last message is acknowledged."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from random import Random
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from drainer import handler
from drainer.simulation.aws import Aws
from drainer.simulation.checkers.chains import Chains
from drainer.simulation.records import ApiError
from drainer.simulation.runs.world import Options, World
from drainer.simulation.scenario.promises import Promise, Workload
from drainer.simulation.services.auto_scaling.lifecycle import LifecycleHook

if TYPE_CHECKING:
    from drainer.simulation.services.auto_scaling.lifecycle import LifecycleAction

START = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
GROUP, HOOK = "payments-asg", "drainer"
DRAIN_TIMEOUT_SECONDS = 600


@pytest.fixture
def chains() -> Chains:
    """The messages of an account in which one action has waited for a minute."""
    account = Aws(now=START)
    account.ecs.create_cluster("payments")
    account.auto_scaling.create_group(GROUP, cluster="payments", desired=1)
    account.auto_scaling.put_hook(LifecycleHook(HOOK, GROUP, heartbeat_timeout_seconds=3_600))
    account.auto_scaling.scale_in(GROUP, 1)
    account.run_for(60)
    promise = Promise(ours=True, drain_timeout_seconds=DRAIN_TIMEOUT_SECONDS)
    workload = Workload(account, Random(1), 15, {}, promise, {(GROUP, HOOK): promise})  # noqa: S311
    return Chains(account, workload)


def acknowledged(chains: Chains, action: LifecycleAction, token: str) -> list[str]:
    """Return what is said of the last message, which has a token or none."""
    named = {
        "ec2_instance_id": action.ec2_instance_id,
        "lifecycle_hook_name": HOOK,
        "lifecycle_action_token": token,
    }
    body = json.dumps({"Message": json.dumps({"action": named, "hop": 3})})
    queue = SimpleNamespace(messages=[])
    names = ("wait_queue", "quiet_queue", "notification_queue")
    dead = ("wait_dead_letters", "dead_notifications")
    installed: Any = SimpleNamespace(**dict.fromkeys((*names, *dead), queue))
    event = {"Records": [{"messageId": "1", "body": body}]}
    return list(chains.forgotten(installed, event, None))


# What no message is about and no pass looks at waits for the sweep, or for its hook's timeout.
@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("seconds", [60, DRAIN_TIMEOUT_SECONDS + 60])
@pytest.mark.parametrize("named", [False, True])
def test_an_open_action_has_a_message_but_where_the_sweep_alone_can_answer(
    chains: Chains, seconds: int, *, named: bool, fails: bool
) -> None:
    [action] = chains.account.auto_scaling.lifecycle.open.values()
    chains.account.run_for(seconds)
    chains.invocation_begins()
    if fails:
        chains.table_failed("dynamodb", "InternalServerError")

    said = acknowledged(chains, action, action.token if named else "")

    # Without a token and without its record it may be another action, and its time is over.
    left = fails and not named and seconds > DRAIN_TIMEOUT_SECONDS
    sentence = f"{action.ec2_instance_id} waits at drainer, and its last message is deleted"
    assert said == ([] if left else [sentence])


# The sweep's claim holds, whatever the SDK hears when it sends the write once more. Where it was
# not noted, the sweep was taken to have done nothing, and the message that it overtook was missed.
def test_a_write_that_the_sdk_repeats_claims_its_hop() -> None:
    world = World(3, Options())
    world.install(handler.build)
    name, table = next(iter(world.account.record_tables.tables.items()))
    table.repeats = lambda: True
    key = {"instance": {"S": "i-0"}, "subject": {"S": f"{GROUP}:{HOOK}"}}
    write = {
        "TableName": name,
        "Key": key,
        "UpdateExpression": "SET #hop = :hop",
        "ConditionExpression": "attribute_not_exists(#hop)",
        "ExpressionAttributeNames": {"#hop": "hop"},
        "ExpressionAttributeValues": {":hop": {"N": "1"}},
    }
    world.chains.invocation_begins()

    with pytest.raises(ApiError, match="ConditionalCheckFailed"):
        world.answer("dynamodb", "UpdateItem", write)
    world.chains.claims_are_left()

    assert world.chains.astray == {("i-0", HOOK)}
