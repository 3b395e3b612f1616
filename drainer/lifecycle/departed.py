"""
Tell what has left its group from what one answer of Auto Scaling's has left out.

It changes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from drainer.drain.ecs_reads import ACTING_SECONDS
from drainer.drain.look import turn
from drainer.lifecycle.sweep import GROUPS_TOGETHER

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from drainer.drain.record import DrainRecord
    from drainer.invocation import InvocationClock
    from drainer.lifecycle.hooks import AutoScalingReads


def departed(
    auto_scaling: AutoScalingReads,
    missing: Mapping[str, Sequence[DrainRecord]],
    time: InvocationClock,
) -> set[str]:
    """
    Return which EC2 instances their groups do not list either, nor the groups' warm pools.

    Instances whose groups could not be read in time are not among them.

    Args:
        auto_scaling: Lists what groups have.
        missing: Instances that `DescribeAutoScalingInstances` does not name, with their records.
        time: The invocation's.

    Raises:
        DrainerError: The groups could not be read.
    """
    if not missing or time.seconds_left() < ACTING_SECONDS:
        return set()
    groups_of = {
        one: {record.drain.action.auto_scaling_group_name for record in records}
        for one, records in missing.items()
    }
    # In an order that differs each time, so that none is always the last.
    groups = sorted(set[str]().union(*groups_of.values()), key=lambda one: turn(one, time.now()))
    asked = set(groups[:GROUPS_TOGETHER])
    states, pools = auto_scaling.states_in_groups(sorted(asked))
    listed = {*states}
    for group in pools:
        if time.seconds_left() < ACTING_SECONDS:
            asked.discard(group)
        else:
            listed |= {*auto_scaling.states_in_warm_pool(group)}
    return {one for one, its_groups in groups_of.items() if its_groups <= asked} - listed
