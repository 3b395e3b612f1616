"""
The life of a task, from placement to STOPPED.

https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-lifecycle-explanation.html
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from drainer.simulation.services.ecs.answer_lag import remember
from drainer.simulation.services.ecs.events import emit_container_instance_event, emit_task_event
from drainer.simulation.services.ecs.model import LONG_AGO

if TYPE_CHECKING:
    from collections.abc import Callable

    from drainer.simulation.account import Account
    from drainer.simulation.services.ecs.model import Cluster, ContainerInstance, LastStatus, Task
    from drainer.simulation.services.elb.target_groups import LoadBalancing, TargetGroup

# "Stopped tasks only appear in the returned results for at least one hour."
# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeTasks.html
STOPPED_VISIBLE_SECONDS = 3_600.0
# A task that has not started has no container to signal; its agent only drops it.
DROP_PENDING_SECONDS = 2.0
# How long the warning comes before the end, and what the event gives as the reason.
# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/fargate-capacity-providers.html
WARNING_SECONDS = 120.0
BY_ITSELF = "EssentialContainerExited"
SPOT_REASON = "Your Spot Task was interrupted."


class TaskLife:
    """
    Moves tasks from one last status to the next as time passes.

    What a container does and what ECS shows of it are two things: an agent that is disconnected is
    told nothing and reports nothing, while containers go on and end. "The Amazon ECS container
    agent monitors the state of tasks on your container instances, and it reports any state
    changes."
    https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs_container_instance_events.html

    Attributes:
        instance_event_at_end: whether the end of a task whose stop was requested before sends one
            more container instance event.
    """

    def __init__(
        self, account: Account, balancing: LoadBalancing, disturb: Callable[[Cluster], None]
    ) -> None:
        self._account = account
        self._balancing = balancing
        self._disturb = disturb
        self.instance_event_at_end = False
        # Told of each container that is no more, whatever ended it.
        self.on_end: list[Callable[[Task], None]] = []

    def start(self, task: Task) -> None:
        """Begin with a task that has just been placed."""
        if task.profile.network_mode == "awsvpc":
            self._move(task, "PROVISIONING")
            self._up_after(task, task.profile.interface_seconds, self._pend)
        else:
            self._pend(task)

    def settle(self, task: Task) -> None:
        """Put a task where it is after a long while: running, healthy and receiving requests."""
        task.started_at = self._account.now
        task.healthy = True
        self._join_target_groups(task, healthy_after_seconds=0.0)
        self._move(task, "RUNNING")
        task.past[:] = [(LONG_AGO, ("RUNNING", "RUNNING"))]
        self._end_by_itself(task)

    def stop(self, task: Task, code: str, reason: str) -> None:
        """Set the desired status STOPPED; what follows takes its time."""
        if task.desired_status == "STOPPED":
            return
        self._want_stopped(task, code, reason)
        if task.last_status in ("PROVISIONING", "PENDING"):
            self._remember(task)
            self._down_after(task, DROP_PENDING_SECONDS, self._by_agent(self._deprovision))
        else:
            self._deactivate(task)
        self._emit_of_instance(task)

    def kill(self, task: Task, reason: str) -> None:
        """End a task at once, because its EC2 instance is gone."""
        if not task.remains:
            return
        self._want_stopped(task, "TerminationNotice", reason)
        self._end_container(task)
        self._leave_target_groups(task)
        self._finish(task)

    def perish(self, task: Task) -> None:
        """End a task's container, because its EC2 instance is gone, without a word to ECS."""
        self._end_container(task)

    def orphan(self, task: Task, reason: str) -> None:
        """
        Let ECS take a task for STOPPED, whatever its container does.

        "These tasks remain running until you terminate the instance or the tasks stop through some
        other means, but they're orphaned (no longer monitored or accounted for by Amazon ECS)."
        https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DeregisterContainerInstance.html
        """
        self._want_stopped(task, "UserInitiated", reason)
        self._leave_target_groups(task)
        self._finish(task)

    def report(self, instance: ContainerInstance) -> None:
        """Let an agent that is connected again do and tell what it could not meanwhile."""
        waiting, instance.unreported = instance.unreported, []
        for task, then in waiting:
            if task.remains:
                then(task)

    def interrupt(self, task: Task, code: str | None, *, deregister_after: float | None) -> None:
        """
        Let Fargate Spot take a task back: two minutes, and the stop signal at their beginning.

        The warning is both an event and the signal; what runs on after the two minutes is killed.
        https://docs.aws.amazon.com/AmazonECS/latest/developerguide/fargate-capacity-providers.html

        Args:
            task: the task.
            code: its stop code; None for an event without one.
            deregister_after: when ECS itself deregisters its targets; None for not before the end.
        """
        if task.last_status not in ("ACTIVATING", "RUNNING"):
            self.stop(task, code or "SpotInterruption", SPOT_REASON)
            return
        if task.desired_status == "STOPPED":
            return
        self._want_stopped(task, code, SPOT_REASON)
        self._remember(task)
        if deregister_after is not None:
            self._down_after(task, deregister_after, self._leave_target_groups)
        self._down_after(task, WARNING_SECONDS, self._end)
        self._signal(task)

    # On the way up; each step is dropped if ECS has changed its mind.

    def _pend(self, task: Task) -> None:
        self._move(task, "PENDING")
        self._up_after(task, task.profile.start_seconds, self._by_agent(self._activate))

    def _activate(self, task: Task) -> None:
        if task.desired_status == "STOPPED":
            return
        if task.balanced:
            self._move(task, "ACTIVATING")
            if task.profile.activate_seconds > 0:
                seconds = task.profile.activate_seconds
                self._up_after(task, seconds, self._by_agent(self._run))
                return
        self._run(task)

    def _run(self, task: Task) -> None:
        if task.desired_status == "STOPPED":
            return
        task.started_at = self._account.now
        healthy_after_seconds = task.profile.healthy_after_seconds
        self._join_target_groups(task, healthy_after_seconds=healthy_after_seconds)
        self._move(task, "RUNNING")
        if task.service is not None:
            self._up_after(task, healthy_after_seconds, self._become_healthy)
        self._end_by_itself(task)

    def _end_by_itself(self, task: Task) -> None:
        if task.profile.run_seconds is not None:
            self._account.after(task.profile.run_seconds, lambda: self._exit(task))

    def _become_healthy(self, task: Task) -> None:
        if not task.healthy:
            task.healthy = True
            self._disturb(task.cluster)

    # On the way down

    def _exit(self, task: Task) -> None:
        if task.ended_at is None:
            self._end_container(task)
            if task.remains:
                self._by_agent(self._report_exit)(task)

    def _report_exit(self, task: Task) -> None:
        self._want_stopped(task, BY_ITSELF, "Essential container in task exited")
        self._leave_target_groups(task)
        self._deprovision(task)

    def _deactivate(self, task: Task) -> None:
        if not task.balanced:
            if not task.container_instance.agent_connected:
                self._remember(task)
            self._by_agent(self._signal)(task)
            return
        # The target drains before the container is signalled; one that somebody else has taken
        # out before has the less to wait for.
        # https://docs.aws.amazon.com/AmazonECS/latest/developerguide/load-balancer-connection-draining.html
        self._move(task, "DEACTIVATING")
        self._leave_target_groups(task)
        seconds = max(
            self._balancing.seconds_until_unused(group, *target) for group, target in _targets(task)
        )
        self._down_after(task, seconds, self._by_agent(self._signal))

    def _signal(self, task: Task) -> None:
        if task.ended_at is not None:
            self._deprovision(task)
            return
        task.signalled_at = self._account.now
        self._move(task, "STOPPING")
        if task.profile.leaving_seconds != math.inf:
            self._account.after(task.profile.leaving_seconds, lambda: self._end(task))

    def _end(self, task: Task) -> None:
        # What the two minutes have cut off may have ended by itself before.
        if task.ended_at is None:
            self._end_container(task)
            if task.remains:
                self._by_agent(self._deprovision)(task)

    def _end_container(self, task: Task) -> None:
        if task.ended_at is None:
            task.ended_at = self._account.now
            if task.remains and not task.container_instance.agent_connected:
                self._account.record(
                    "ended_unreported",
                    ec2_instance_id=task.container_instance.ec2_instance_id,
                    task_id=task.task_id,
                )
            for listen in self.on_end:
                listen(task)

    def _deprovision(self, task: Task) -> None:
        if task.last_status in ("DEPROVISIONING", "STOPPED"):
            return
        self._end_container(task)
        if task.profile.network_mode == "awsvpc":
            self._move(task, "DEPROVISIONING")
            self._down_after(task, task.profile.interface_seconds, self._finish)
        else:
            self._finish(task)

    def _finish(self, task: Task) -> None:
        task.stopped_at = self._account.now
        if task.capacity_provider is not None:
            # At the latest now, where ECS has not done it before; late enough to have been
            # reported as a fault (aws/containers-roadmap #2673).
            self._leave_target_groups(task)
        self._move(task, "STOPPED")
        if task.service is not None:
            task.service.tasks.pop(task.arn, None)
        self._account.after(STOPPED_VISIBLE_SECONDS, lambda: self._forget(task))
        self._disturb(task.cluster)

    def _forget(self, task: Task) -> None:
        task.cluster.tasks.pop(task.arn, None)
        task.container_instance.tasks.pop(task.arn, None)

    # Shared

    def _want_stopped(self, task: Task, code: str | None, reason: str) -> None:
        if task.desired_status == "RUNNING":
            task.desired_status = "STOPPED"
            task.stopping_at = self._account.now
            task.stop_code = code
            task.stopped_reason = reason
            task.healthy = False
            self._disturb(task.cluster)

    def _join_target_groups(self, task: Task, *, healthy_after_seconds: float) -> None:
        for group, target in _targets(task):
            self._balancing.register(
                group, *target, healthy_after_seconds=healthy_after_seconds, behind=task
            )

    def _leave_target_groups(self, task: Task) -> None:
        for group, target in _targets(task):
            self._balancing.deregister(group, *target)

    def _move(self, task: Task, status: LastStatus) -> None:
        task.last_status = status
        self._remember(task)

    def _remember(self, task: Task) -> None:
        task.version += 1
        now = self._account.now
        remember(task.past, now, (task.desired_status, task.last_status))
        task.container_instance.changed_at = now
        self._account.record(
            "task",
            task_id=task.task_id,
            owner=task.owner,
            ec2_instance_id=task.container_instance.ec2_instance_id,
            container_instance_arn=task.container_instance.arn,
            desired_status=task.desired_status,
            last_status=task.last_status,
        )
        emit_task_event(self._account, task)
        by_itself = task.stop_code == BY_ITSELF
        if task.last_status == "STOPPED" and (by_itself or self.instance_event_at_end):
            self._emit_of_instance(task)

    def _emit_of_instance(self, task: Task) -> None:
        """
        Tell of a container instance on account of a task.

        ECS sends such an event when a stop is requested, and when "the Amazon ECS container agent
        calls the SubmitTaskStateChange API operation with a STOPPED status for a task with a
        desired status of RUNNING". Nothing says that the end of a task whose stop was requested
        before sends one more; whether it does is a setting of the account.
        https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs_container_instance_events.html
        """
        if task.capacity_provider is None:
            task.container_instance.version += 1
            emit_container_instance_event(self._account, task.container_instance)

    def _by_agent(self, then: Callable[[Task], None]) -> Callable[[Task], None]:
        """Let an agent do something, once it is connected."""

        def step(task: Task) -> None:
            if task.container_instance.agent_connected:
                then(task)
            else:
                task.container_instance.unreported.append((task, then))

        return step

    def _up_after(self, task: Task, seconds: float, then: Callable[[Task], None]) -> None:
        def step() -> None:
            if task.desired_status == "RUNNING":
                then(task)

        self._account.after(seconds, step)

    def _down_after(self, task: Task, seconds: float, then: Callable[[Task], None]) -> None:
        def step() -> None:
            # Its EC2 instance may have been terminated meanwhile.
            if task.remains:
                then(task)

        self._account.after(seconds, step)


def _targets(task: Task) -> list[tuple[TargetGroup, tuple[str, int]]]:
    """Return the target group and the target, for each that the task's service has."""
    return [
        (one.target_group, task.target_in(one.target_group, one.container_port))
        for one in task.balanced
    ]
