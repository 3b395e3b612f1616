"""
Instance refresh by the strategy ReplaceRootVolume: the same EC2 instance from a new volume.

https://docs.aws.amazon.com/autoscaling/ec2/userguide/replace-root-volume.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from drainer.simulation.services.auto_scaling import agents
from drainer.simulation.services.auto_scaling.lifecycle import TERMINATING, Route

if TYPE_CHECKING:
    from drainer.simulation.account import Account
    from drainer.simulation.services.auto_scaling.lifecycle import Result
    from drainer.simulation.services.auto_scaling.model import Instance
    from drainer.simulation.services.auto_scaling.transitions import Transitions

REPLACE_SECONDS = 90.0


class RootVolumes:
    """The instances whose root volume is replaced."""

    def __init__(self, account: Account, transitions: Transitions) -> None:
        self._account = account
        self._transitions = transitions

    def replace(
        self,
        instance: Instance,
        *,
        forgets_agent: bool = True,
        fails: bool = False,
        told: bool = True,
        seconds: float = REPLACE_SECONDS,
    ) -> None:
        """
        Replace the root volume of an instance in service, with the pause of the terminating hooks.

        Origin and destination of its events are both AutoScalingGroup, and they say
        `"Action": "ReplaceRootVolume"`.
        https://docs.aws.amazon.com/autoscaling/ec2/userguide/instance-refresh-eventbridge-events.html

        Args:
            instance: the instance.
            forgets_agent: whether the agent's state goes with the volume, so that it registers as
                a new container instance; inferred, AWS does not say.
            fails: whether the replacement fails.
            told: whether the notification says the action too; only the event is documented to.
            seconds: what it takes.
        """
        if instance.lifecycle_state != "InService":
            return
        self._transitions.set_state(instance, "ReplacingRootVolume")
        route = Route(
            TERMINATING, "AutoScalingGroup", "AutoScalingGroup", "ReplaceRootVolume", told=told
        )

        def go_on(instance: Instance, _: Result) -> None:
            # What an ABANDON does is not documented; here it replaces like CONTINUE, for both let
            # an instance go on that terminates.
            self._proceed(instance)
            self._account.after(
                seconds, lambda: self._fail(instance) if fails else self._end(instance)
            )

        instance.forgets_agent = forgets_agent and not fails
        self._transitions.pause(instance, "ReplacingRootVolume:Wait", route, go_on)

    def _proceed(self, instance: Instance) -> None:
        self._transitions.release(instance, "AutoScalingGroup")
        self._transitions.set_state(instance, "ReplacingRootVolume:Proceed")
        agents.stop(self._transitions.ecs, instance, "got a new root volume")

    def _end(self, instance: Instance) -> None:
        if instance.lifecycle_state != "ReplacingRootVolume:Proceed":
            return
        instance.launch_template = instance.group.launch_template
        self._transitions.set_state(instance, "RootVolumeReplaced")
        self._transitions.set_state(instance, "Pending")
        self._transitions.boot_after(instance, 0.0, "AutoScalingGroup")

    def _fail(self, instance: Instance) -> None:
        """
        Terminate an instance: a second action of each hook, with a token of its own.

        "If root volume replacement fails for an instance, Auto Scaling marks that instance for
        termination and replaces it with a new instance." (page above)
        """
        if instance.lifecycle_state == "ReplacingRootVolume:Proceed":
            # Still on its old volume, its agent is back.
            agents.boot(self._transitions.ecs, instance)
            self._transitions.replace(instance)
