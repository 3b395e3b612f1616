"""What operators write into a record: what counts for a pass, and what others write meanwhile."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from drainer.drain import record_codec
from drainer.drain.admission import Admission, admit
from drainer.drain.conditional_write import Condition, Demand, Outcome, Write, refused, stored
from drainer.drain.earlier_looks import extended
from drainer.drain.envelope import decode, encode
from drainer.drain.model import LifecycleActionResult, Policy, StandaloneTasks
from drainer.drain.record import DrainRecord, End
from drainer.errors import MisconfiguredError
from drainer.lifecycle.rules import deadline
from tests.unit.account import HOOK, NOW, OTHER_TOKEN, START, action, drain, notification, record
from tests.unit.records import RETENTION, Records

HOUR = timedelta(hours=1)
BEFORE = START + HOUR
TO = START + 2 * HOUR
WHO = "arn:aws:sts::123456789012:assumed-role/ops/anna"
MARGIN_SECONDS = 180


def policy(seconds: int = 3_600) -> Policy:
    return Policy(None, seconds, LifecycleActionResult.CONTINUE, StandaloneTasks.WAIT, 300)


def there(to: datetime | None = TO, **changes: Any) -> DrainRecord:
    """A record whose deadline an operator has extended."""
    return record(extended(drain(deadline_at=BEFORE, **changes), to), extended_by=WHO)


def written(write: Write, before: DrainRecord) -> DrainRecord:
    """What a write leaves in the table, read back."""
    item = record_codec.encode(stored(write, before), RETENTION)
    return record_codec.decode(item)


# -- what the deadline is


@pytest.mark.parametrize(
    ("before", "timeout", "to", "hours"),
    [
        (BEFORE, 3_600, None, 1.0),
        (BEFORE, 3_600, TO, 2.0),
        # An extension that is earlier than the deadline shortens nothing.
        (BEFORE, 3_600, START + HOUR / 2, 1.0),
        # The hook's owner tightens it meanwhile: the operator's word is the later one.
        (BEFORE, 60, TO, 2.0),
        # It is put off no further than it was asked for.
        (BEFORE, 36_000, TO, 2.0),
        (None, 3_600, TO, 2.0),
    ],
)
def test_an_extension_counts_instead_of_the_drain_timeout(
    before: datetime | None, timeout: int, to: datetime | None, hours: float
) -> None:
    # Answered at the former deadline, the tasks that were to have their time are cut.
    one = extended(replace(drain(), deadline_at=before), to)

    assert deadline(one, HOOK, policy(timeout), MARGIN_SECONDS) == START + hours * HOUR


def test_an_extension_reaches_no_further_than_the_hook_waits() -> None:
    # Past the global timeout Auto Scaling answers itself, with tasks on the instance.
    hook = replace(HOOK, global_timeout_seconds=5_000)
    one = extended(drain(deadline_at=BEFORE), START + 10 * HOUR)

    limit = START + timedelta(seconds=5_000 - MARGIN_SECONDS)
    assert deadline(one, hook, policy(), MARGIN_SECONDS) == limit


# -- messages and records


def test_an_envelope_carries_it_for_passes_that_cannot_read_the_table() -> None:
    one = there().drain

    read = decode(json.loads(encode(one)))

    assert (read.extended_to, read.deadline_at) == (TO, TO)


def test_the_records_extension_counts_where_the_message_has_none() -> None:
    # A message that was sent before the extension is the one that is on its way.
    message = drain(deadline_at=BEFORE)
    for one in (message, replace(message, hop=message.hop + 1)):
        admitted = admit(one, there(), NOW, 15)

        assert admitted.admission == Admission.DUE
        assert (admitted.drain.extended_to, admitted.drain.deadline_at) == (TO, TO)


def test_a_token_that_joins_goes_by_the_extension_of_the_record() -> None:
    # Its own pass would answer at the former deadline.
    swept = there(action=action(0, ""))
    message = replace(notification(at=START), deadline_at=BEFORE)

    admitted = admit(message, swept, NOW, 15)

    assert admitted.admission == Admission.JOIN
    assert (admitted.drain.extended_to, admitted.drain.deadline_at) == (TO, TO)


def test_the_next_action_does_not_inherit_an_extension() -> None:
    # The next drain of the instance would last longer than its hook's owner wants.
    message = notification(at=NOW, action=action(0, OTHER_TOKEN))
    admitted = admit(message, there(), NOW, 15)
    assert (admitted.admission, admitted.drain.extended_to) == (Admission.NEW, None)

    following = replace(record(message), generation=2)
    after = written(Write(following, Condition(Demand.REPLACES, 1)), there())

    assert (after.drain.extended_to, after.extended_by) == (None, "")


def test_an_item_of_an_earlier_version_has_no_extension() -> None:
    item = record_codec.encode(there(None), RETENTION)
    del item["extended_by"]

    assert record_codec.decode(item).drain.deadline_at == BEFORE


@pytest.mark.parametrize("odd", ["noon", {}, 10**12])
def test_an_odd_extension_is_an_error_and_no_deadline(odd: object) -> None:
    # Believed, it keeps an instance for ever or lets it go at once.
    item = {**record_codec.encode(there(), RETENTION), "extended_to": odd}

    with pytest.raises(MisconfiguredError):
        record_codec.decode(item)


# -- a pass, a join and another operator write at the same time


def extension(of: DrainRecord, to: datetime) -> Write:
    new = replace(of, drain=extended(of.drain, to), extended_by=WHO)
    return Write(new, Condition(Demand.EXTENDS, of.generation, extended_to=of.drain.extended_to))


PASS = Condition(Demand.FOLLOWS, 1, 3)


@pytest.mark.parametrize(
    ("condition", "token"),
    [
        (PASS, True),
        (Condition(Demand.ENDS, 1), True),
        (Condition(Demand.JOINS, 1), False),
        (Condition(Demand.JOINS, 1, 3), False),
    ],
)
def test_who_has_read_the_record_before_the_extension_does_not_take_it_back(
    condition: Condition, *, token: bool
) -> None:
    # The operator has been told the new deadline, and nothing would ever tell it again.
    read = there(None, **({} if token else {"action": action(0, "")}))
    late = Write(replace(read, hop=4, pass_id="late", drain=drain(deadline_at=BEFORE)), condition)

    after = written(late, stored(extension(read, TO), read))

    assert (after.drain.extended_to, after.drain.deadline_at) == (TO, TO)
    assert after.extended_by == WHO


@pytest.mark.parametrize("hop", [None, 3])
def test_what_the_sweep_has_found_late_is_extended_no_further_than_its_hook_waits(
    hop: int | None,
) -> None:
    # Counted from the sweep, an extension was allowed to end minutes after the global timeout.
    # There Auto Scaling gives its default result, whatever the hook's owner wants.
    swept = there(None, action=action(0, ""))
    began_at = START - timedelta(seconds=400)
    joins = replace(swept, hop=4, drain=drain(started_at=began_at, deadline_at=BEFORE))
    passed = Write(replace(swept, hop=5, pass_id="another"), PASS)

    joined = written(Write(joins, Condition(Demand.JOINS, 1, hop)), swept)

    assert joined.drain.started_at == began_at
    # The pass of another message may have read the record before.
    assert written(passed, joined).drain.started_at == began_at


def test_an_extension_leaves_alone_what_a_pass_has_written_meanwhile() -> None:
    # A hop that goes down is two chains.
    read = there(None)
    passed = replace(read, hop=9, pass_id="pass", phase="closing", drain=drain(deadline_at=BEFORE))

    after = written(extension(read, TO), passed)

    assert (after.hop, after.pass_id, after.phase) == (9, "pass", "closing")
    assert after == replace(passed, drain=extended(passed.drain, TO), extended_by=WHO)


@pytest.mark.parametrize(
    ("now", "outcome"),
    [
        (there(None), Outcome.DONE),
        (there(START + 3 * HOUR), Outcome.REFUSED),
        (replace(there(None), generation=2), Outcome.REFUSED),
        (replace(there(None), end=End.CONTINUE, ended_at=NOW), Outcome.REFUSED),
    ],
    ids=["as read", "another operator", "another action", "ended"],
)
def test_an_extension_is_refused_where_the_record_is_another_by_now(
    now: DrainRecord, outcome: Outcome
) -> None:
    # The second operator's would take back the first one's, or extend what has ended.
    records = Records()
    records.put(now)

    [made] = records.write([extension(there(None), TO)])

    assert made.outcome == outcome
    if outcome == Outcome.REFUSED:
        assert records.rows[now.key] == now


def test_an_extension_that_the_sdk_repeats_is_made_once_and_counts_as_done() -> None:
    write = extension(there(None), TO)

    assert refused(write, stored(write, there(None))).outcome == Outcome.DONE
    assert refused(write, there(START + 3 * HOUR)).outcome == Outcome.REFUSED


def test_a_drain_knows_of_one_deadline() -> None:
    assert extended(drain(deadline_at=BEFORE), TO).deadline_at == TO
    assert extended(drain(deadline_at=TO), BEFORE).deadline_at == TO
    assert extended(drain(deadline_at=None), TO).deadline_at is None


# -- an operator says who has released the instance


def release(of: DrainRecord, who: str = WHO) -> Write:
    return Write(replace(of, released_by=who), Condition(Demand.RELEASES, of.generation))


@pytest.mark.parametrize(
    ("condition", "token"),
    [
        (PASS, True),
        (Condition(Demand.ENDS, 1), True),
        (Condition(Demand.OVER, 1), True),
        (Condition(Demand.JOINS, 1), False),
        (Condition(Demand.JOINS, 1, 3), False),
        (Condition(Demand.ENDS_FIRST, 1), False),
        (Condition(Demand.FORGETS, 1), True),
        (Condition(Demand.SERVES, 1), True),
    ],
)
def test_no_pass_join_or_end_loses_who_has_released_the_instance(
    condition: Condition, *, token: bool
) -> None:
    # Tasks were cut, and nothing else says by whose decision.
    read = there(None, **({} if token else {"action": action(0, "")}))
    if condition.demand in (Demand.FORGETS, Demand.SERVES):
        read = replace(read, end=End.OVER, ended_at=NOW, followed=True)
    late = Write(replace(read, hop=4, pass_id="late"), condition)

    after = written(late, stored(release(read), read))

    assert after.released_by == WHO


def test_who_releases_leaves_alone_what_a_pass_has_written_meanwhile() -> None:
    # The pass has found that the action is over before the record said by whom.
    read = there()
    over = replace(read, hop=9, pass_id="pass", end=End.OVER, ended_at=NOW, followed=True)

    assert written(release(read), over) == replace(over, released_by=WHO)


def test_the_next_action_was_not_released_by_who_released_the_last_one() -> None:
    released = stored(release(there()), there())
    following = replace(record(notification(at=NOW)), generation=2)

    after = written(Write(following, Condition(Demand.REPLACES, 1)), released)

    assert after.released_by == ""


def test_the_record_of_another_action_does_not_take_the_name() -> None:
    # The instance waits again meanwhile, and nobody has released it.
    records = Records()
    records.put(replace(there(None), generation=2))

    [made] = records.write([release(there(None))])

    assert made.outcome == Outcome.REFUSED
