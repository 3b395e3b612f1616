"""ECS's operations on the protection of tasks from scale-in, in AWS's shapes."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from drainer.simulation.services.ecs.operations import (
    PAGE_MAX,
    EcsOperations,
    check_count,
    find,
    find_cluster,
    invalid_parameter,
    missing,
)

if TYPE_CHECKING:
    from drainer.simulation.account import Account
    from drainer.simulation.services.ecs.clusters import Ecs
    from drainer.simulation.services.ecs.model import Task

# "A list of up to 10 task IDs or full ARN entries." "Task-protection, by default, expires after 2
# hours"; "from 1 minute to up to 2,880 minutes (48 hours)" can be asked for.
# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_UpdateTaskProtection.html
UPDATE_MAX = 10
MINUTES_DEFAULT = 120
MINUTES_MAX = 2_880


class ProtectionApi(EcsOperations):
    """The part of ECS's operations that concerns the protection of tasks."""

    def __init__(self, account: Account, ecs: Ecs) -> None:
        super().__init__(account, ecs)
        self._clock = account.clock

    def update_task_protection(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """Protect up to ten tasks of services, or protect them no longer."""
        check_count("Tasks", parameters["tasks"], UPDATE_MAX)
        minutes = parameters.get("expiresInMinutes") or MINUTES_DEFAULT
        if not 1 <= minutes <= MINUTES_MAX:
            raise invalid_parameter(f"expiresInMinutes must be from 1 to {MINUTES_MAX}")
        until = None
        if parameters["protectionEnabled"]:
            until = self._clock() + timedelta(minutes=minutes)
        tasks, failures = self._found(parameters, parameters["tasks"])
        for task in tasks:
            self._ecs.protect(task, until)
        return {"protectedTasks": [self._describe(task) for task in tasks], "failures": failures}

    def get_task_protection(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """Say of up to 100 tasks of services whether they are protected."""
        check_count("Tasks", parameters.get("tasks", ()), PAGE_MAX)
        tasks, failures = self._found(parameters, parameters["tasks"])
        return {"protectedTasks": [self._describe(task) for task in tasks], "failures": failures}

    def _found(
        self, parameters: dict[str, Any], references: list[str]
    ) -> tuple[list[Task], list[dict[str, Any]]]:
        cluster = find_cluster(self._ecs, parameters.get("cluster"))
        tasks: list[Task] = []
        failures: list[dict[str, Any]] = []
        for reference in references:
            task = find(cluster.tasks, reference, "task")
            if task is None:
                arn = self._arn("ecs", f"task/{cluster.name}/{reference.rpartition('/')[2]}")
                failures.append(missing(arn))
            elif task.service is None or task.is_daemon or not task.remains:
                # https://docs.aws.amazon.com/AmazonECS/latest/developerguide/api_failures_messages.html
                failures.append({"arn": task.arn, "reason": "TASK_NOT_VALID"})
            else:
                tasks.append(task)
        return tasks, failures

    def _describe(self, task: Task) -> dict[str, Any]:
        answer: dict[str, Any] = {"taskArn": task.arn}
        answer["protectionEnabled"] = task.is_protected(self._clock())
        if answer["protectionEnabled"]:
            answer["expirationDate"] = task.protected_until
        return answer
