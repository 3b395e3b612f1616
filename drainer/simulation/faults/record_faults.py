"""
What a seed lets go wrong with the table of records, beside what befalls every call.

Nothing here strikes before `install` is called for a table.
"""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from drainer.simulation.faults.fault_plan import open_window
from drainer.simulation.faults.intensity import Window

if TYPE_CHECKING:
    from drainer.simulation.faults.faults import Faults
    from drainer.simulation.services.dynamodb.record_table import RecordTable

READS = frozenset({"BatchGetItem", "Query"})
WRITES = frozenset({"UpdateItem"})

# DynamoDB in us-east-1 failed for about three hours on 2025-10-20. An hour is longer than hooks
# commonly wait for a heartbeat, so that what an outage stops is seen.
# https://aws.amazon.com/message/101925/
DOWN_SECONDS = 3_600.0
DOWN_SHARE = 0.15
# Somebody changes the role, and back.
DENIED_SECONDS = (60.0, 1_800.0)
DENIED_SHARE = 0.15
# Somebody deletes the table, and half of the time makes it again: nothing is in it then.
DELETED_SHARE = 0.1
AGAIN_SECONDS = (60.0, 1_800.0)
# Somebody takes from the role what writes, and half of the time gives it back.
READ_ONLY_SHARE = 0.1
AT_ONCE_SHARE = 0.4
# How late an index may be: AWS gives no bound for "longer propagation delays".
INDEX_LAG_SECONDS_MAX = 60.0


def install(faults: Faults, name: str, seconds_max: float = DOWN_SECONDS) -> None:
    """Put a seed's faults of a table into its account; none but a deletion lasts longer."""
    if not faults.going_on:
        return
    random, table = faults.random, faults.account.record_tables.tables[name]
    table.index_lag_seconds = random.uniform(0.0, INDEX_LAG_SECONDS_MAX)
    table.leaves_over = partial(_strikes, faults, "key left unprocessed")
    table.repeats = partial(_strikes, faults, "write repeated by the SDK")
    for _ in range(random.randint(0, faults.intensity.windows)):
        open_window(faults, READS, WRITES)
    if random.random() < DOWN_SHARE:
        _close(faults, "failing", min(DOWN_SECONDS, seconds_max))
    if random.random() < DENIED_SHARE:
        _close(faults, "denied", min(random.uniform(*DENIED_SECONDS), seconds_max))
    if random.random() < DELETED_SHARE:
        faults.account.after(_some_time(faults), partial(_delete, faults, name, seconds_max))
    if random.random() < READ_ONLY_SHARE:
        faults.account.after(_some_time(faults), partial(_forbid_writes, faults, name, seconds_max))


def _strikes(faults: Faults, kind: str) -> bool:
    """Decide whether a fault strikes that may strike at any time."""
    # A key of a hundred is left over more often than one call of a hundred fails.
    strikes = faults.going_on and faults.random.random() < faults.intensity.background
    if strikes:
        faults.strike(kind)
    return strikes


def _close(faults: Faults, kind: str, seconds: float) -> None:
    """Let every call of the table go wrong for a while, of which faults go on until the end."""
    begins_at = faults.account.now + timedelta(seconds=faults.random.uniform(0.0, _lasting(faults)))
    ends_at = begins_at + timedelta(seconds=seconds)
    faults.windows.append(Window(kind, begins_at, ends_at, READS | WRITES, 1.0))
    faults.ceased_at = max(faults.ceased_at, ends_at)


def _delete(faults: Faults, name: str, seconds_max: float) -> None:
    faults.strike("table deleted", name)
    tables = faults.account.record_tables
    tables.delete(name)
    if faults.random.random() < 0.5:
        seconds = min(faults.random.uniform(*AGAIN_SECONDS), seconds_max)
        faults.ceased_at = max(faults.ceased_at, faults.account.now + timedelta(seconds=seconds))
        faults.account.after(seconds, partial(_create, faults, name))


def _create(faults: Faults, name: str) -> None:
    faults.account.record_tables.create(name)


def _forbid_writes(faults: Faults, name: str, seconds_max: float) -> None:
    table = faults.account.record_tables.tables.get(name)
    if table is None:
        return  # it is deleted
    faults.strike("table read-only", name)
    table.read_only = True
    if faults.random.random() < 0.5:
        seconds = min(faults.random.uniform(*AGAIN_SECONDS), seconds_max)
        faults.ceased_at = max(faults.ceased_at, faults.account.now + timedelta(seconds=seconds))
        faults.account.after(seconds, partial(_allow_writes, table))


def _allow_writes(table: RecordTable) -> None:
    table.read_only = False


def _some_time(faults: Faults) -> float:
    """Return when something befalls the table: often before the first notification comes."""
    if faults.random.random() < AT_ONCE_SHARE:
        return 0.0
    return faults.random.uniform(1.0, _lasting(faults))


def _lasting(faults: Faults) -> float:
    return max(1.0, (faults.ceased_at - faults.account.now).total_seconds())
