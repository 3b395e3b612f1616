"""
Standby: an instance out of service for a while; no hook is called on either way.

https://docs.aws.amazon.com/autoscaling/ec2/userguide/as-enter-exit-standby.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from drainer.simulation.services.auto_scaling.groups import AutoScaling
    from drainer.simulation.services.auto_scaling.model import Instance


def enter(scaling: AutoScaling, instance: Instance) -> None:
    """Put an instance in service into standby; the desired capacity is lower by one meanwhile."""
    if instance.lifecycle_state == "InService":
        instance.group.desired -= 1
        scaling.set_state(instance, "EnteringStandby")
        scaling.set_state(instance, "Standby")


def leave(scaling: AutoScaling, instance: Instance) -> None:
    """Put an instance back into service; "the instance enters the Pending state" first."""
    if instance.lifecycle_state == "Standby":
        instance.group.desired += 1
        scaling.set_state(instance, "Pending")
        scaling.set_state(instance, "InService")
