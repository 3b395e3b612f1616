"""
Two lifecycle actions of one instance, back to back, of which the first was never announced.

What the sweep knows of the first has no token. It is ended by hand, and the instance that its group
retains is let go at once: the next action begins, heard or in a silence of minutes. Nothing but its
token, or that silence, tells the two apart.
https://docs.aws.amazon.com/autoscaling/ec2/userguide/manage-retained-instances.html
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from drainer.simulation.faults.mishaps import (
    LONGEST_HEARTBEAT_SECONDS,
    answer_by_hand,
    publish_again,
)

if TYPE_CHECKING:
    from drainer.simulation.faults.faults import Faults
    from drainer.simulation.scenario.installation import Installation
    from drainer.simulation.scenario.promises import Workload
    from drainer.simulation.services.auto_scaling.lifecycle import LifecycleAction
    from drainer.simulation.services.auto_scaling.model import Instance

LOST_SHARE = 0.7
SILENCE_SHARE = 0.5
# The sweep has found it by then, and its tasks have been listed.
ENDED_AFTER_SECONDS = (300.0, 900.0)
# A task that outlasts the first action, or all of the second one's time.
JOB_SECONDS = (400.0, 4_000.0)
FREED_SECONDS = (2.0, 20.0)
# Long enough for a record to be silent, with any pass interval up to a minute.
SILENCE_SECONDS = (150.0, 400.0)
# When the first action's notification comes after all.
LATE_SECONDS_MAX = 120.0
# A notification is lost that is published at the instant at which its action begins.
INSTANT_SECONDS = 0.001


@dataclass(eq=False)
class Unheard:
    """What befalls the instances of an account, the first time that an action of ours begins."""

    faults: Faults
    workload: Workload
    installed: Installation

    def befall(self) -> None:
        """Begin, before the first instance leaves."""
        scaling = self.faults.account.auto_scaling
        for group in scaling.groups.values():
            for hook in group.hooks.values():
                if self.workload.promises[group.name, hook.name].ours:
                    # The hook's own timeout must not end an action before the function can know of
                    # it.
                    hook.heartbeat_timeout_seconds = LONGEST_HEARTBEAT_SECONDS
        scaling.on_action.append(self._begun)

    def _begun(self, action: LifecycleAction) -> None:
        random, account = self.faults.random, self.faults.account
        instance = account.auto_scaling.instances[action.ec2_instance_id]
        first = len(instance.past) == 1
        if not (self.faults.going_on and first and self.workload.promise(action).ours):
            return
        if random.random() < LOST_SHARE:
            self.faults.lose_notifications(0.0, INSTANT_SECONDS)
            self.faults.displaced.add(action.ec2_instance_id)
        instance.group.retain_on_abandon = True
        there = account.ecs.container_instance(action.ec2_instance_id)
        if there is not None:
            seconds = random.uniform(*JOB_SECONDS)
            account.ecs.run_standalone(there.cluster.name, action.ec2_instance_id, seconds=seconds)
        account.after(random.uniform(*ENDED_AFTER_SECONDS), partial(self._end, action, instance))

    def _end(self, action: LifecycleAction, instance: Instance) -> None:
        faults, account = self.faults, self.faults.account
        if not (action.is_open and faults.going_on):
            return
        faults.strike("action ended unheard", action.ec2_instance_id)
        if faults.random.random() < SILENCE_SHARE:
            silent_until = account.now + timedelta(seconds=faults.random.uniform(*SILENCE_SECONDS))
            # Some messages went out a moment ago; whatever follows them does not come through.
            faults.silences.append((account.now, min(silent_until, faults.ceased_at)))
            faults.strike("silence between two actions")
            seconds = faults.random.uniform(*FREED_SECONDS)
            account.after(seconds, partial(self._leave, action, instance))
        else:
            self._leave(action, instance)

    def _leave(self, action: LifecycleAction, instance: Instance) -> None:
        random, account = self.faults.random, self.faults.account
        answer_by_hand(self.faults, action, next_is_lost=False)
        account.after(random.uniform(*FREED_SECONDS), partial(_free, self.faults, instance))
        late_seconds = random.uniform(0.0, LATE_SECONDS_MAX)
        account.after(late_seconds, partial(publish_again, self.installed, action))


def _free(faults: Faults, instance: Instance) -> None:
    if instance.lifecycle_state.endswith(":Retained"):
        faults.account.auto_scaling.terminate(instance, decrement=False)
