"""
The faults of the table of records, by seed: each strikes, and the gateway survives each.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest

from drainer.aws.records import RecordTable
from drainer.drain import record_codec
from drainer.drain.conditional_write import Condition, Demand, Outcome, Write
from drainer.drain.model import Drain, LifecycleAction
from drainer.drain.record import DrainRecord, key_of
from drainer.errors import DrainerError
from drainer.simulation.aws import Aws
from drainer.simulation.faults import record_faults
from drainer.simulation.faults.faults import Faults
from drainer.simulation.faults.intensity import INTENSITIES
from drainer.simulation.protocol.client import InProcessClient
from drainer.simulation.records import ApiError
from drainer.simulation.scenario.trace import Trace

START = datetime(2026, 11, 20, 12, tzinfo=UTC)
TABLE = "drainer-Records"
SEEDS = 40
STEP_SECONDS = 60
STEPS = 150


def record(number: int, at: datetime) -> DrainRecord:
    action = LifecycleAction("web", "drainer", f"i-{number}", "token")
    return DrainRecord(key_of(action), 1, 1, f"pass {number}", Drain(action, at, at), written_at=at)


def faults_of(seed: int, account: Aws) -> Faults:
    account.record_tables.create(TABLE)
    faults = Faults(
        account,
        Random(seed),  # noqa: S311 - seeded, not secret
        Trace(account, START),
        lambda _: None,
        INTENSITIES["rough"],
        START + timedelta(hours=1),
    )
    record_faults.install(faults, TABLE)
    return faults


def play(seed: int) -> tuple[Counter[str], Counter[str]]:
    """Write and read a record a minute; return which faults struck, and what was told."""
    account, told = Aws(now=START), Counter[str]()
    faults = faults_of(seed, account)

    def perform(service: str, operation: str, parameters: dict[str, Any], /) -> dict[str, Any]:
        kind = faults.before_call(service, operation)
        answer = account.call(service, operation, parameters)
        if kind == "performed, answer lost":
            faults.strike(kind)
            raise ApiError("InternalFailure", "injected: the answer is lost", 500)
        return answer

    client = InProcessClient("dynamodb", perform, account.region)
    table = RecordTable(lambda _service: client, TABLE, record_codec)
    for number in range(STEPS):
        account.run_for(STEP_SECONDS)
        one = record(number, account.now)
        (written,) = table.write([Write(one, Condition(Demand.ABSENT))])
        read = table.read([one.key])[one.key]
        told[written.outcome] += 1
        # A write that is done is read, unless the table does not answer or is a new one.
        if written.outcome == Outcome.DONE and not isinstance(read, DrainerError):
            assert read == one
        assert written.outcome != Outcome.REFUSED
        if not faults.going_on and account.record_tables.is_writable:
            assert written.outcome == Outcome.DONE
            told["after the faults"] += 1
    return faults.injected, told


@pytest.fixture(scope="module")
def played() -> list[tuple[Counter[str], Counter[str]]]:
    return [play(seed) for seed in range(SEEDS)]


@pytest.mark.parametrize(
    "kind",
    [
        "call throttled",
        "call failing",
        "call denied",
        "performed, answer lost",
        "key left unprocessed",
        "write repeated by the SDK",
        "table deleted",
        "table read-only",
    ],
)
def test_each_fault_of_the_table_strikes(
    played: list[tuple[Counter[str], Counter[str]]], kind: str
) -> None:
    # A fault that never strikes is one that no seed has shown to be harmless.
    assert sum(injected[kind] > 0 for injected, _ in played) >= 2


@pytest.mark.parametrize(("kind", "seconds"), [("failing", 3_600), ("denied", 60)])
def test_the_whole_table_is_down_or_denied_for_a_while(kind: str, seconds: int) -> None:
    # One call in three that fails is repeated; an hour without any is another thing.
    closed = 0
    for seed in range(100):
        windows = faults_of(seed, Aws(now=START)).windows
        closed += any(
            one.kind == kind
            and one.operations == record_faults.READS | record_faults.WRITES
            and one.probability == 1.0
            and (one.ends_at - one.begins_at).total_seconds() >= seconds
            for one in windows
        )

    # By chance alone, a window is like this in one seed of a hundred.
    assert closed >= 8


def test_a_fault_is_unknown_and_ceases(played: list[tuple[Counter[str], Counter[str]]]) -> None:
    # A refused claim ends a chain: a fault must never look like one.
    told = sum((told for _, told in played), Counter[str]())

    assert told[Outcome.UNKNOWN] > SEEDS
    assert told[Outcome.DONE] > told[Outcome.UNKNOWN]
    assert told["after the faults"] > SEEDS


def test_a_seed_has_the_same_faults_again(
    played: list[tuple[Counter[str], Counter[str]]],
) -> None:
    assert play(7) == played[7]


def test_a_calm_seed_leaves_the_table_alone() -> None:
    account = Aws(now=START)
    table = account.record_tables.create(TABLE)
    random = Random(1)  # noqa: S311 - seeded, not secret
    before = random.getstate()
    calm = INTENSITIES["calm"]

    faults = Faults(account, random, Trace(account, START), lambda _: None, calm, START)
    record_faults.install(faults, TABLE)

    assert (faults.windows, table.leaves_over(), table.repeats()) == ([], False, False)
    assert random.getstate() == before
