"""ECS's operations on tasks, in AWS's shapes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from drainer.simulation.records import ApiError
from drainer.simulation.services.ecs.answer_lag import task_as_of, tasks_as_of
from drainer.simulation.services.ecs.definitions import TaskProfile
from drainer.simulation.services.ecs.operations import (
    PAGE_MAX,
    EcsOperations,
    check_count,
    find,
    find_cluster,
    invalid_parameter,
    list_page,
    missing,
)
from drainer.simulation.services.ecs.scheduler import accepts_tasks
from drainer.simulation.services.ecs.shapes import describe_task, describe_task_definition

if TYPE_CHECKING:
    from collections.abc import Iterable

    from drainer.simulation.services.ecs.answer_lag import AnswerKind
    from drainer.simulation.services.ecs.model import Cluster, ContainerInstance, Task

# "The number of instantiations of the specified task to place on your cluster. You can specify up
# to 10 tasks for each call." https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RunTask.html
RUN_MAX = 10


class TaskApi(EcsOperations):
    """The part of ECS's operations that concerns tasks."""

    def list_tasks(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """
        List the ARNs of tasks.

        "The default status filter is RUNNING, which shows tasks that Amazon ECS has set the
        desired status to RUNNING."
        https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ListTasks.html
        """
        cluster = find_cluster(self._ecs, parameters.get("cluster"))
        wanted = parameters.get("desiredStatus") or "RUNNING"
        if wanted not in ("RUNNING", "PENDING", "STOPPED"):
            raise invalid_parameter(f"Invalid desired status: {wanted}")
        candidates = self._candidates(cluster, parameters.get("containerInstance"))
        kind: AnswerKind = "ListTasks RUNNING" if wanted == "RUNNING" else "ListTasks STOPPED"
        arns = [
            task.arn
            for task in tasks_as_of(candidates, self._ecs.lags.at(kind))
            # "Although you can filter results based on a desired status of PENDING, this doesn't
            # return any results." (same page)
            if task.desired_status == wanted and _agrees(task, parameters)
        ]
        found, token = list_page(arns, parameters)
        return {"taskArns": found, **token}

    def describe_tasks(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """Describe up to 100 tasks; unknown ones are failures."""
        cluster = find_cluster(self._ecs, parameters.get("cluster"))
        check_count("Tasks", parameters["tasks"], PAGE_MAX)
        answer: dict[str, Any] = {"tasks": [], "failures": []}
        at = self._ecs.lags.at("DescribeTasks")
        for reference in parameters["tasks"]:
            task = find(cluster.tasks, reference, "task")
            if task is not None and at is not None:
                task = task_as_of(task, at)
            if task is None:
                arn = self._arn("ecs", f"task/{cluster.name}/{reference.rpartition('/')[2]}")
                answer["failures"].append(missing(arn))
            else:
                answer["tasks"].append(describe_task(task))
        return answer

    def describe_task_definition(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """Describe what tasks of a family are made from."""
        family = parameters["taskDefinition"].rpartition("/")[2].partition(":")[0]
        profile = self._ecs.task_profiles.get(family)
        if profile is None:
            raise ApiError("ClientException", "Unable to describe task definition.")
        arn = self._arn("ecs", f"task-definition/{family}:1")
        return {"taskDefinition": describe_task_definition(arn, family, profile)}

    def stop_task(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """Stop a task; one that is stopping or stopped already stays as it is."""
        cluster = find_cluster(self._ecs, parameters.get("cluster"))
        task = find(cluster.tasks, parameters["task"], "task")
        if task is None:
            raise invalid_parameter("The referenced task was not found.")
        reason = parameters.get("reason") or "Task stopped by user"
        self._ecs.life.stop(task, "UserInitiated", reason)
        return {"task": describe_task(task)}

    def run_task(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """Place standalone tasks on the container instances that have the fewest."""
        cluster = find_cluster(self._ecs, parameters.get("cluster"))
        count = parameters.get("count", 1)
        if not 1 <= count <= RUN_MAX:
            raise invalid_parameter(f"count must be from 1 to {RUN_MAX}")
        definition = parameters["taskDefinition"].rpartition("/")[2]
        family = definition.partition(":")[0]
        profile = self._ecs.task_profiles.get(family, TaskProfile())
        answer: dict[str, Any] = {"tasks": [], "failures": []}
        for _ in range(count):
            instance = _emptiest(cluster)
            if instance is None:
                answer["failures"].append({"arn": cluster.arn, "reason": "RESOURCE:CPU"})
                continue
            task = self._ecs.make_task(
                instance,
                family,
                profile,
                group=parameters.get("group") or f"family:{family}",
                started_by=parameters.get("startedBy"),
            )
            self._ecs.life.start(task)
            answer["tasks"].append(describe_task(task))
        return answer

    def _candidates(self, cluster: Cluster, reference: str | None) -> Iterable[Task]:
        if reference is None:
            return cluster.tasks.values()
        instance = find(cluster.container_instances, reference, "container-instance")
        if instance is None:
            raise invalid_parameter("Referenced container instance not found")
        return [*instance.long_stopped.values(), *instance.tasks.values()]


def _agrees(task: Task, parameters: dict[str, Any]) -> bool:
    service = parameters.get("serviceName")
    if service is not None:
        name = service.rpartition("/")[2]
        if task.service is None or task.service.name != name:
            return False
    return parameters.get("family") in (None, task.family) and parameters.get("startedBy") in (
        None,
        task.started_by,
    )


def _emptiest(cluster: Cluster) -> ContainerInstance | None:
    places = [
        (len(instance.wanted_tasks()), order, instance)
        for order, instance in enumerate(cluster.container_instances.values())
        if accepts_tasks(instance)
    ]
    places = [
        place for place in places if place[2].tasks_max is None or place[0] < place[2].tasks_max
    ]
    return min(places, key=lambda place: place[:2])[2] if places else None
