"""
How soon the next pass of a drain comes. Pure.

While no task ends, a pass in QUIET_SECONDS is enough: ECS sends an event for each task that stops.
Such a drain is *quiet*: its messages take the queue with the longer delay (infra/drainer.yaml).
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from drainer.drain import task_set
from drainer.drain.holding_tasks import is_standalone
from drainer.drain.may_leave import Phase
from drainer.drain.model import StandaloneTasks
from drainer.drain.record import QUIET_SECONDS
from drainer.lifecycle import heartbeats

if TYPE_CHECKING:
    from enum import StrEnum

    from drainer.lifecycle.look import HookLook

# Half of it, a pass that fails and is delivered again after three minutes, and the next pass have
# to fit.
HEARTBEAT_TIMEOUT_SECONDS_LEAST = 600

# From so many on, the listing before the answer of each quiet drain would hold up the answers of
# all: ECS grants the account 20 reads a second. Tasks of services that drain together also end
# together, after the deregistration delay (5 minutes by default) and the stop timeout. What takes
# longer waits for jobs, each of which ends at its own time.
# https://docs.aws.amazon.com/elasticloadbalancing/latest/application/edit-target-group-attributes.html
CROWD_MIN = 20
CROWD_ENDS_WITHIN = timedelta(minutes=15)

WAITING = {Phase.DRAINING, Phase.CLOSING}


def is_quiet(look: HookLook, phase: StrEnum) -> bool:
    """
    Whether the next pass may come later: an event would tell of what it could find.

    Without a token only the record tells of an action, so that what looks at it stays frequent.
    """
    before, drain = look.before, look.drain
    if before is None or not look.has_events or look.pass_interval_seconds >= QUIET_SECONDS:
        return False
    known = task_set.is_closed(look) and look.described
    if not (drain.action.lifecycle_action_token and known):
        return False
    if look.missing or look.left_behind or look.lacking or not look.connected:
        return False
    if task_set.must_list_behind(look):
        return False
    since = drain.draining_since
    if look.together >= CROWD_MIN and (since is None or look.now < since + CROWD_ENDS_WITHIN):
        return False
    # Where one task has ended, others often follow.
    if phase not in WAITING or set(task_set.unfinished(look)) != set(before.drain.unfinished):
        return False
    timeout_seconds = drain.heartbeat_timeout_seconds or 0
    lasts = timeout_seconds >= HEARTBEAT_TIMEOUT_SECONDS_LEAST and not _is_due_first(look)
    ends_at = look.now + timedelta(seconds=QUIET_SECONDS + look.pass_interval_seconds)
    return lasts and ends_at < look.deadline_at and not _has_tasks_to_stop(look)


def _is_due_first(look: HookLook) -> bool:
    """Whether a heartbeat falls due before the next pass, which this one does not send."""
    drain = look.drain
    return not drain.quiet and heartbeats.half_is_over(drain, look.now, QUIET_SECONDS)


def _has_tasks_to_stop(look: HookLook) -> bool:
    policy = look.drain.policy
    stops = policy is not None and policy.standalone_tasks == StandaloneTasks.STOP
    pending = stops and not look.drain.standalone_stopped
    return pending and any(is_standalone(task) for task in look.remaining)
