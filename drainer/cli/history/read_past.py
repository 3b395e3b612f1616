"""
Reads the drains of a stack: its records, and the lines that its function has logged of them.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from drainer.cli.account import stack as stacks
from drainer.cli.account.reader import Unread, UnreadError, attempt
from drainer.cli.history.past import Pass, Past, past_of
from drainer.cli.history.read_records import read_records

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from drainer.cli.account.reader import Reader
    from drainer.drain.record import DrainRecord

PASSES = '{ $.message = "pass" }'
RETENTION = "RecordRetentionDays"


@dataclass(frozen=True, slots=True)
class Drains:
    """
    What was read.

    Attributes:
        drains: The oldest first, and those that are open last.
        malformed: How many records could not be understood.
        log: Why the log was not read; empty where it was.
        older: Why older drains may be missing; empty where the records of all are kept.
    """

    drains: tuple[Past, ...]
    malformed: int = 0
    log: str = ""
    older: str = ""


def read_past(
    reader: Reader, stack: str, since: datetime, now: datetime, *, with_log: bool = True
) -> Drains:
    """
    Return the drains that are open or have ended since an instant.

    Raises:
        UnreadError: There is no such stack, or its records were not read.
    """
    resources = stacks.resources(reader, stack)
    if not resources.get("Records"):
        raise UnreadError(Unread(f"the stack {stack} has no table of records", "NotFound"))
    found = read_records(reader, resources["Records"], since)
    passes: Mapping[str, list[Pass]] | Unread = Unread("it was not asked for")
    if with_log and found.records:
        begun = min(record.drain.started_at for record in found.records)
        passes = attempt(_passes, reader, resources.get("LogGroup", ""), begun, now)
    read = {} if isinstance(passes, Unread) else passes
    drains = sorted(
        (past_of(record, read.get(_id(record), ()), now) for record in found.records),
        key=lambda one: (one.is_open, one.ended_at or one.began_at),
    )
    why = ""
    if with_log and drains and isinstance(passes, Unread):
        why = passes.why
    elif with_log and drains and not any(one.is_measured for one in drains):
        why = "it has no line of these drains"
    return Drains(tuple(drains), found.malformed, why, _older(reader, stack, now - since))


def _older(reader: Reader, stack: str, ago: timedelta) -> str:
    """Return why drains that ended so long ago may be missing: DynamoDB deletes their records."""
    described = attempt(stacks.described, reader, stack)
    if isinstance(described, Unread):
        return f"How long records are kept was not read: {described.why}."
    days = stacks.parameters(described).get(RETENTION, "")
    if not days.isdigit() or ago <= timedelta(days=int(days)):
        return ""
    return f"Records are kept for {days} days ({RETENTION}): older drains may be missing."


def _id(record: DrainRecord) -> str:
    return record.drain.action.ec2_instance_id


def _passes(
    reader: Reader, log_group: str, since: datetime, now: datetime
) -> Mapping[str, list[Pass]]:
    """Return the passes in the log by EC2 instance."""
    events = reader.pages(
        "logs",
        "filter_log_events",
        "events",
        logGroupName=log_group,
        filterPattern=PASSES,
        startTime=int(since.timestamp() * 1_000),
        endTime=int(now.timestamp() * 1_000),
    )
    return passes_in(events)


def passes_in(events: Iterable[Mapping[str, Any]]) -> Mapping[str, list[Pass]]:
    """Return the passes in log events; a line that is not one of a pass is left out."""
    found: defaultdict[str, list[Pass]] = defaultdict(list)
    for event in events:
        try:
            line = json.loads(event["message"])
            at = datetime.fromtimestamp(event["timestamp"] / 1_000, UTC)
            # "service DEACTIVATING service:web 9f2e07b1" (drainer/drain/model.py)
            owners = frozenset(str(one).split()[2] for one in line.get("remaining", ()))
            found[str(line["ec2_instance_id"])].append(Pass(at, str(line["phase"]), owners))
        except (AttributeError, IndexError, KeyError, TypeError, ValueError):
            continue
    return found
