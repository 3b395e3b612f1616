"""
Spot takes back what it has lent: EC2 instances and Fargate tasks, two minutes after it says so.

Neither lifecycle hooks nor scale-in protection hold an instance back then.
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-instance-termination-notices.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from drainer.simulation.services.ecs.tasks import WARNING_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from drainer.simulation.account import Account
    from drainer.simulation.services.ecs.clusters import Ecs
    from drainer.simulation.services.ecs.model import Task

Action = Literal["terminate", "stop", "hibernate"]
# The agent asks the instance metadata service once a second, with
# ECS_ENABLE_SPOT_INSTANCE_DRAINING=true. Read in the agent's source at v1.105.1.
# https://github.com/aws/amazon-ecs-agent
AGENT_POLL_SECONDS = 1.0


class Spot:
    """
    The account's Spot capacity.

    Attributes:
        agents_drain: whether the agents set their container instances DRAINING themselves.
        deregister_after_seconds: when ECS itself deregisters an interrupted Fargate task's
            targets: at once since 2023, later in some reports, None for not before it is STOPPED.
    """

    def __init__(
        self, account: Account, ecs: Ecs, on_loss: Sequence[Callable[[str], None]]
    ) -> None:
        self._account = account
        self._ecs = ecs
        # Told of each EC2 instance that is gone: what has launched it.
        self._on_loss = on_loss
        self.agents_drain = False
        self.deregister_after_seconds: float | None = 0.0

    def interrupt(self, ec2_instance_id: str, action: Action = "terminate") -> None:
        """
        Warn of an EC2 instance's interruption, and take it back when the time has come.

        The notification of a hibernation comes without the two minutes, for it begins at once.
        https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-instance-termination-notices.html
        """
        account = self._account
        self._warn(
            "EC2 Spot Instance Interruption Warning",
            # The zone is where an EC2 ARN has the Region, and no account is named (same page).
            f"arn:aws:ec2:{account.region}a:instance/{ec2_instance_id}",
            {"instance-id": ec2_instance_id, "instance-action": action},
        )
        account.record("interrupted", ec2_instance_id=ec2_instance_id, action=action)
        if self.agents_drain:
            account.after(AGENT_POLL_SECONDS, lambda: self._drain_by_agent(ec2_instance_id))
        seconds = 0.0 if action == "hibernate" else WARNING_SECONDS
        account.after(seconds, lambda: self._take_back(ec2_instance_id, action))

    def give_back(self, ec2_instance_id: str) -> None:
        """
        Start an EC2 instance again that was stopped or hibernated; its agent connects.

        Its container instance is the one it was, with its status and its attributes: the agent
        finds its registration on the volume.
        https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/interruption-behavior.html
        """
        self._account.record("given_back", ec2_instance_id=ec2_instance_id)
        self._ecs.connect_agent(ec2_instance_id, connected=True)

    def recommend_rebalance(self, ec2_instance_id: str) -> None:
        """
        Say that an EC2 instance is at elevated risk; nothing has to come of it.

        https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/rebalance-recommendations.html
        """
        self._warn(
            "EC2 Instance Rebalance Recommendation",
            self._account.arn("ec2", f"instance/{ec2_instance_id}"),
            {"instance-id": ec2_instance_id},
        )

    def interrupt_fargate(self, task: Task, code: str | None = "SpotInterruption") -> None:
        """Take a task on Fargate Spot back; `code` is its stop code, which some events lacked."""
        self._account.record("interrupted", task_id=task.task_id, owner=task.owner)
        self._ecs.life.interrupt(task, code, deregister_after=self.deregister_after_seconds)

    def _warn(self, detail_type: str, resource: str, detail: dict[str, str]) -> None:
        if self._account.on_event:
            self._account.emit("aws.ec2", detail_type, [resource], dict(detail))

    def _drain_by_agent(self, ec2_instance_id: str) -> None:
        instance = self._ecs.container_instance(ec2_instance_id)
        if instance is not None and instance.status == "ACTIVE":
            self._ecs.set_status(instance, "DRAINING")

    def _take_back(self, ec2_instance_id: str, action: Action) -> None:
        self._account.record("taken_back", ec2_instance_id=ec2_instance_id)
        if action == "terminate":
            self._ecs.lose_ec2_instance(ec2_instance_id)
        else:
            self._ecs.halt(ec2_instance_id, "stopped")
        for lose in self._on_loss:
            lose(ec2_instance_id)
