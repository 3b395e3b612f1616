"""
Which earlier looks at a drain still count.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from drainer.drain.earlier_looks import (
    SEARCHED_FOR,
    SOUGHT_WITHIN,
    begun_at,
    forgetting_old_searches,
)
from drainer.drain.model import Drain, LifecycleAction
from drainer.drain.record import DrainRecord, key_of, silent_after

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
INTERVAL = 15
SILENT = silent_after(INTERVAL)
SECOND = timedelta(seconds=1)
ACTION = LifecycleAction("group", "drainer", "i-0123456789abcdef0", "t" * 36)
LATELY = NOW - SILENT + SECOND
LONG_AGO = NOW - SILENT
# Both are younger than what counts for five minutes.
SEARCHED_AT = LONG_AGO - SECOND
DRAIN = Drain(
    action=ACTION,
    started_at=LONG_AGO - SECOND,
    last_heartbeat_at=LONG_AGO,
    hop=7,
    searched_at=SEARCHED_AT,
    absent_since=SEARCHED_AT,
    searched_to="payments-100",
    search_failed=True,
    sought_at=LATELY,
)


def record(written_at: datetime, hop: int = 7) -> DrainRecord:
    """
    Return the record of the drain, as a pass has written it.
    """
    return DrainRecord(
        key=key_of(ACTION),
        generation=1,
        hop=hop,
        pass_id="p",
        written_at=written_at,
        drain=replace(DRAIN, generation=1),
    )


# The table was throttled for twenty-five minutes. In these the agent registered again; the sweep
# went on from the record, of which the search was from before that, and one listing that lacked
# the new registration released six tasks (seed 6448).
@pytest.mark.parametrize(
    ("there", "sent_at", "counts"),
    [
        pytest.param(record(LATELY), None, True, id="the record's last look"),
        pytest.param(record(LONG_AGO), None, False, id="the record's, long ago"),
        pytest.param(record(LONG_AGO, hop=6), LATELY, True, id="the message's, as it is ahead"),
        pytest.param(record(LATELY, hop=6), LONG_AGO, False, id="the message's, held up"),
        pytest.param(None, LATELY, True, id="the table does not answer"),
        pytest.param(None, LONG_AGO, False, id="the table does not answer, and it was held up"),
        pytest.param(None, None, False, id="nothing says when"),
    ],
)
def test_what_was_searched_before_a_long_silence_is_searched_again(
    there: DrainRecord | None, sent_at: datetime | None, *, counts: bool
) -> None:
    found = forgetting_old_searches(replace(DRAIN, sent_at=sent_at), there, NOW, INTERVAL)

    expected = SEARCHED_AT if counts else None
    assert (found.searched_at, found.absent_since) == (expected, expected)
    # The rest of a search under way would count for a whole one.
    assert (found.searched_to, found.search_failed) == (
        ("payments-100", True) if counts else ("", False)
    )


def test_a_quiet_drain_is_looked_at_seldom_and_that_is_no_silence() -> None:
    # Its passes are 75 s apart: an instance without an agent would never leave.
    quiet = replace(DRAIN, quiet=True)

    assert forgetting_old_searches(quiet, record(LONG_AGO), NOW, INTERVAL) == quiet


# Auto Scaling or ECS did not answer for ten minutes. Each pass wrote its record and searched for
# nothing; the agent registered; and the rest of an old search released six tasks.
@pytest.mark.parametrize(
    ("sought_at", "counts"),
    [
        pytest.param(NOW - SOUGHT_WITHIN + SECOND, True, id="lately"),
        pytest.param(NOW - SOUGHT_WITHIN, False, id="long ago"),
        # As where the release before this one wrote, which did not say so.
        pytest.param(None, False, id="not known"),
    ],
)
def test_what_was_searched_does_not_count_once_nothing_was_sought_for_long(
    sought_at: datetime | None, *, counts: bool
) -> None:
    known = replace(DRAIN, sought_at=sought_at)

    found = forgetting_old_searches(known, record(LATELY), NOW, INTERVAL)

    assert found == (
        known
        if counts
        else replace(
            known, searched_at=None, absent_since=None, searched_to="", search_failed=False
        )
    )


@pytest.mark.parametrize(
    ("took", "age", "counts"),
    [
        (30, SEARCHED_FOR - SECOND, True),
        (30, SEARCHED_FOR, False),
        # Hundreds of instances without an agent would take all of ECS's 20 reads a second.
        (600, timedelta(seconds=1_799), True),
        (600, timedelta(seconds=1_800), False),
    ],
)
def test_while_no_agent_is_connected_all_clusters_are_searched_again_more_and_more_seldom(
    took: int, age: timedelta, *, counts: bool
) -> None:
    # The agent had registered in a cluster that nothing names. It stayed ACTIVE there, and ECS
    # placed tasks on it until the deadline.
    searched_at = NOW - age
    known = replace(
        DRAIN,
        searched_at=searched_at,
        started_at=searched_at - timedelta(seconds=took),
        settled=True,
    )

    found = forgetting_old_searches(known, record(LATELY), NOW, INTERVAL)

    assert (found.searched_at is not None, found.absent_since) == (counts, SEARCHED_AT)


def test_a_first_search_counts_until_the_second_has_ended() -> None:
    # In an account of 1,500 clusters a search takes longer than five minutes: none ever counted,
    # and an instance without an agent was kept to its deadline.
    known = replace(DRAIN, searched_at=NOW - timedelta(hours=1), settled=False)

    assert forgetting_old_searches(known, record(LATELY), NOW, INTERVAL) == known


@pytest.mark.parametrize("interval", [60, 150, 200, 300])
@pytest.mark.parametrize("settled", [False, True])
def test_a_search_counts_for_the_next_pass_however_far_apart_passes_are(
    interval: int, *, settled: bool
) -> None:
    # At the longest interval each pass forgot the search of the one before it: an instance without
    # an agent was kept to its deadline.
    before = NOW - timedelta(seconds=interval)
    known = replace(
        DRAIN,
        searched_at=before,
        started_at=before,
        sent_at=before,
        sought_at=before,
        settled=settled,
    )

    assert forgetting_old_searches(known, record(before), NOW, interval) == known


@pytest.mark.parametrize("heartbeat_timeout_seconds", [None, 300])
def test_what_only_the_sweep_has_found_has_drained_nothing(
    heartbeat_timeout_seconds: int | None,
) -> None:
    # Seed 11080: its hook was not read, and it counted as drained when it was over. So it stood for
    # all that had been registered, and what somebody had set DRAINING by hand was set ACTIVE.
    found = begun_at(NOW, replace(ACTION, lifecycle_action_token=""), heartbeat_timeout_seconds)

    assert not replace(record(NOW), drain=found).may_have_drained
