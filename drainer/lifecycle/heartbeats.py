"""
When a hook's heartbeat is due, and when its timeout runs out. Pure.

`early_heartbeats.py` sends those that cannot wait for the look at ECS, `acting.py` the others.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from drainer.drain.model import Origin
from drainer.drain.record import interval_of
from drainer.lifecycle.look import Waiting

if TYPE_CHECKING:
    from datetime import datetime

    from drainer.drain.model import Drain
    from drainer.lifecycle.look import HookLook

# "HeartbeatTimeout ... The range is from 30 to 7200 seconds": until the hook has been looked up,
# assume the shortest, so that no heartbeat can come too late.
# https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_PutLifecycleHook.html
HEARTBEAT_TIMEOUT_SECONDS_MIN = 30


def is_due(look: HookLook) -> bool:
    """
    Whether waiting for the next pass would leave less than half of the heartbeat timeout.

    A heartbeat restarts the whole timeout ("if the timeout is 1 h and you call after 30 min, the
    instance remains for an additional hour"), so half leaves room for a pass that is lost.
    https://docs.aws.amazon.com/autoscaling/ec2/userguide/completing-lifecycle-hooks.html
    """
    drain = look.drain
    if look.waiting not in {Waiting.YES, Waiting.UNSEEN} or look.is_late:
        return False
    if look.waiting == Waiting.UNSEEN and drain.by_event_bridge and not drain.policy:
        return False  # no look has seen the hook's owner, and EventBridge tells of all
    if not look.proven or is_unproven(look):
        return True
    if drain.origin == Origin.SWEEP:
        return True  # no message comes again if it cannot be published: the next look may be far
    return half_is_over(drain, look.now, interval_of(drain, look.pass_interval_seconds))


def runs_out_at(drain: Drain) -> datetime:
    """Return when the hook's timeout ends the action, as far as is known."""
    return drain.last_heartbeat_at + timedelta(seconds=drain.heartbeat_timeout_seconds or 0)


def half_is_over(drain: Drain, now: datetime, pass_interval_seconds: int) -> bool:
    """Whether the next pass would find less than half of the heartbeat timeout left."""
    timeout_seconds = drain.heartbeat_timeout_seconds or HEARTBEAT_TIMEOUT_SECONDS_MIN
    next_pass_at = now + timedelta(seconds=pass_interval_seconds)
    return next_pass_at >= drain.last_heartbeat_at + timedelta(seconds=timeout_seconds / 2)


def is_unproven(look: HookLook) -> bool:
    """
    Whether Auto Scaling has yet to confirm the action, which it does by taking a heartbeat.

    Until then nothing is changed, so that a notification that Auto Scaling never sent changes
    nothing. An instance that was found without a token was seen to wait, but perhaps at another
    hook, as one that is launched into a warm pool.
    """
    known = look.proven and look.drain.draining_since is not None
    return look.waiting == Waiting.YES and bool(look.status) and not known
