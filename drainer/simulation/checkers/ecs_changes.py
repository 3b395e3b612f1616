"""
Judge what the function changes in ECS: what it may set DRAINING or ACTIVE, deregister and relieve.
"""

from __future__ import annotations

import math
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from drainer.simulation.checkers.memory import drained_at
from drainer.simulation.services.ecs.answer_lag import ANSWER_LAG_SECONDS_MAX

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from drainer.simulation.aws import Aws
    from drainer.simulation.scenario.promises import Workload
    from drainer.simulation.services.auto_scaling.lifecycle import LifecycleAction
    from drainer.simulation.services.auto_scaling.model import Instance
    from drainer.simulation.services.ecs.model import Task

# A notification's time is written in whole milliseconds.
STAMP_SECONDS = 0.001
# An answer may be as old as this, and an invocation as long: for that long after an action's end
# the function may still act on what it saw.
TAIL_SECONDS = 75.0


class EcsChanges:
    """Judges each change by the account's true state before it."""

    def __init__(
        self,
        account: Aws,
        workload: Workload,
        violated: Callable[[str, str], None],
        seen_back: Mapping[str, list[datetime]],
        drained: set[str],
    ) -> None:
        """
        Begin to judge.

        Args:
            account: where.
            workload: what was promised.
            violated: is told of each broken promise.
            seen_back: when which EC2 instance was seen in service.
            drained: the container instances that the function has set DRAINING; added to.
        """
        self._account = account
        self._workload = workload
        self._violated = violated
        self._seen_back = seen_back
        self._drained = drained
        # Those that it found DRAINING in a drain of its own, and recorded; its own call whose
        # answer was lost cannot be told from another's.
        self._taken_over: set[str] = set()

    def update(self, parameters: Mapping[str, Any]) -> None:
        """Judge who is set DRAINING or ACTIVE."""
        for arn in parameters["containerInstances"]:
            if parameters["status"] == "DRAINING":
                self._drained.add(self._full(arn))
                self._must_leave(arn, "set DRAINING")
            else:
                self._must_be_back(arn)

    def _must_be_back(self, reference: str) -> None:
        """Demand that what is set ACTIVE was drained by us, and is in service again."""
        instance = self._instance(reference)
        ours = self._full(reference) in self._drained | self._taken_over
        unseen = instance is not None and self._was_drained_unseen(instance)
        if not (ours or (unseen and not self._is_newer(reference))):
            self._violated("safety", f"{reference} is set ACTIVE, and was not drained by us")
        elif instance is not None and instance.lifecycle_state != "InService":
            self._violated("safety", f"{instance.ec2_instance_id} is set ACTIVE while it leaves")
        elif instance is not None and self._is_set_aside(instance, self._full(reference)):
            who = "somebody has set it DRAINING since it came back"
            self._violated("safety", f"{instance.ec2_instance_id} is set ACTIVE, and {who}")

    def _is_set_aside(self, instance: Instance, arn: str) -> bool:
        """
        Whether somebody has set it DRAINING once the drainer must have known that it serves.

        What was DRAINING by hand before a drain began is set ACTIVE after it: a known limit.
        """
        facts = self._account.facts("set_aside", container_instance_arn=arn)
        if not facts or facts[-1].at < drained_at(self._account, arn):
            return False
        return all(action.started_at <= facts[-1].at for action in instance.past)

    def _was_drained_unseen(self, instance: Instance) -> bool:
        """
        Whether somebody has set an instance DRAINING before a look could see that it was back.

        A known limit: a drain of ours is over by then, and the record says no more than that.
        """
        ended_at = [one.ended_at for one in instance.past if one.ended_at is not None]
        by_hand = self._account.facts("drained_by_hand", ec2_instance_id=instance.ec2_instance_id)
        if not (by_hand and ended_at and self._ours(instance)):
            return False
        looks = self._seen_back[instance.ec2_instance_id]
        return not any(max(ended_at) <= at <= by_hand[-1].at for at in looks)

    def _is_newer(self, reference: str) -> bool:
        """
        Whether a registration was made after all drains of ours had ended, by their records.

        ECS says when it was made: no drain has set it DRAINING.
        """
        found = self._account.ecs.find(reference)
        if found is None:
            return False
        ended_at = [
            float(item["ended_at"]["N"])
            for table in self._account.record_tables.tables.values()
            for (instance, _), row in table.rows.items()
            if instance == found.ec2_instance_id and (item := row.item) and "ended_at" in item
        ]
        last_at = max(ended_at, default=math.inf)
        return found.registered_at.timestamp() > last_at + ANSWER_LAG_SECONDS_MAX

    def deregister(self, parameters: Mapping[str, Any]) -> None:
        """Judge who is deregistered."""
        arn = self._full(parameters["containerInstance"])
        registered, ours = self._account.ecs.find(arn), arn in self._drained | self._taken_over
        if registered is not None and (registered.agent_connected or not ours):
            self._violated("safety", f"{registered.ec2_instance_id} is deregistered, and alive")

    def _full(self, reference: str) -> str:
        """Return the ARN of a container instance by its ARN or id."""
        found = self._account.ecs.find(reference)
        return found.arn if found else reference

    def stop(self, parameters: Mapping[str, Any]) -> None:
        """Judge which task is stopped."""
        for cluster in self._account.ecs.clusters.values():
            for task in cluster.tasks.values():
                if task.task_id == parameters["task"].rpartition("/")[2]:
                    self._may_be_stopped(task)

    def _may_be_stopped(self, task: Task) -> None:
        self._must_leave(task.container_instance.arn, "relieved of a task")
        if task.service is not None:
            self._violated("safety", f"{task.owner} is stopped; only standalone tasks may be")
            return
        promised = [
            self._workload.promise(action)
            for action in self._actions(task.container_instance.ec2_instance_id)
        ]
        grace = [
            promise.standalone_grace_seconds
            for promise in promised
            if promise.ours and promise.standalone_tasks == "stop"
        ]
        if not grace:
            self._violated("safety", f"{task.owner} is stopped; nobody asked for it")
        elif self._left_alone(task) < timedelta(seconds=min(grace) - STAMP_SECONDS):
            self._violated("safety", f"{task.owner} is stopped before its grace period is over")

    def _left_alone(self, task: Task) -> timedelta:
        """Return how long ago the task's container instance was first set DRAINING."""
        arn = task.container_instance.arn
        changes = self._account.facts("container_instance", container_instance_arn=arn)
        drained = [change.at for change in changes if change.about["status"] == "DRAINING"]
        return self._account.now - drained[0] if drained else timedelta(0)

    def recorded(self, ec2_instance_id: str) -> None:
        """
        Take what has been DRAINING in a drain of ours that gets a record for drained by us.

        The record may be no earlier than the drain's end: a write before it may have failed.
        """
        instance = self._account.auto_scaling.instances.get(ec2_instance_id)
        if instance is None or not self._ours(instance):
            return  # it is gone, or has waited at somebody else's hook: that changes nothing
        for one in self._account.ecs.registrations(instance.ec2_instance_id):
            if one.status == "DRAINING" and self._was_leaving(
                instance, drained_at(self._account, one.arn)
            ):
                self._taken_over.add(one.arn)

    def _was_leaving(self, instance: Instance, at: datetime) -> bool:
        """Whether an instance waits to leave, or has waited for us since an instant."""
        return any(
            one.ended_at is None or (one.ended_at >= at and self._workload.promise(one).ours)
            for one in instance.past
        )

    def _must_leave(self, reference: str, what: str) -> None:
        """Demand that a container instance waits at a hook of ours, or did a moment ago."""
        instance = self._instance(reference)
        if instance is None:
            return
        for action in instance.past:
            ended_at = action.ended_at or self._account.now
            recent = self._account.now - ended_at <= timedelta(seconds=TAIL_SECONDS)
            if self._workload.promise(action).ours and recent:
                return
        # The instance may still wait, at somebody else's hook, for what is drained already.
        if not (instance.waits_to_leave and self._ours(instance)):
            self._violated("safety", f"{instance.ec2_instance_id} is {what}, and does not wait")

    def _ours(self, instance: Instance) -> bool:
        return any(self._workload.promise(action).ours for action in instance.past)

    def _instance(self, reference: str) -> Instance | None:
        found = self._account.ecs.find(reference)
        return self._account.auto_scaling.instances.get(found.ec2_instance_id) if found else None

    def _actions(self, ec2_instance_id: str) -> list[LifecycleAction]:
        instance = self._account.auto_scaling.instances.get(ec2_instance_id)
        return instance.past if instance else []
