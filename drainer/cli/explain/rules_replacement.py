"""
Rules about replacements that exist: they fail to start, are unhealthy, or have just begun.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING

from drainer.cli.account.screen import counted
from drainer.cli.explain.causes import Cause, Pace
from drainer.cli.explain.finding import Action, Evidence, Finding
from drainer.cli.explain.messages import Failure, Kind

if TYPE_CHECKING:
    from datetime import datetime

    from drainer.cli.explain.case import Case
    from drainer.cli.explain.facts import Task

TASKS = "DescribeTasks"
# A pull of some gigabytes takes a minute or two; the agent gives one two hours.
# https://github.com/aws/amazon-ecs-agent/blob/master/README.md
PULL_LONG = timedelta(minutes=5)
# "Task without health checks and load balancers: healthy 40 s after RUNNING".
# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DeploymentConfiguration.html
HEALTHY_AFTER = timedelta(seconds=40)
# One failed check heals by itself: captures of 22 services had 27 such events, and each healed.
UNHEALTHY_SIGNS = 2
CRASHES = 2


def image_pull(case: Case) -> Finding | None:
    """The image cannot be pulled, or is being pulled for long."""
    if is_running(case):
        return None
    failed = [task for task, failure in case.failed if failure == Failure.IMAGE_PULL]
    pulling = [
        task
        for task in case.live
        if task.pull_started_at
        and task.pull_stopped_at is None
        and case.now - task.pull_started_at > PULL_LONG
    ]
    if not failed and not pulling:
        return None
    image = _image(case)
    clause = "its image cannot be pulled" if failed else "its image is still being pulled"
    return Finding(
        cause=Cause.IMAGE_PULL,
        pace=Pace.STUCK,
        name=case.service.name,
        clauses=(f"{{name}}: {clause}", "{name}: image pull"),
        brief="image pull",
        evidence=(
            *(_why(task) for task in failed[:1]),
            *(Evidence(f"{task.short_id} pulls", TASKS, task.pull_started_at) for task in pulling),
            *([Evidence(f"image {image}", "task definition")] if image else []),
            case.counts(),
        ),
        actions=(
            Action("Check that the image and its tag exist in the registry."),
            Action(
                "Check the execution role, the route to the registry and the disk's free space."
            ),
        ),
        how="ECS tries again, with up to 27 minutes between two tries.",
    )


def start_error(case: Case) -> Finding | None:
    """The replacement fails before its containers run."""
    failed = [task for task, failure in case.failed if failure == Failure.START_ERROR]
    if not failed or is_running(case):
        return None
    return Finding(
        cause=Cause.START_ERROR,
        pace=Pace.STUCK,
        name=case.service.name,
        clauses=("{name}: its replacement fails before it starts", "{name}: start error"),
        brief="start error",
        evidence=(_why(failed[0]), case.counts()),
        actions=(Action("Fix the secret, log group, volume or disk that the reason names."),),
        how="ECS tries again, with up to 27 minutes between two tries.",
    )


def unhealthy(case: Case) -> Finding | None:
    """Replacements start and fail their health checks."""
    failed = [task for task, failure in case.failed if failure == Failure.UNHEALTHY]
    events = case.since_drain({Kind.UNHEALTHY_TARGET, Kind.CONTAINER_UNHEALTHY})
    states = case.target_states()
    ill = [
        task
        for task in case.live
        if task.health == "UNHEALTHY"
        or ("unhealthy" in states and task.started_at and not _in_grace(case, task))
    ]
    if len(failed) + len(events) + len(ill) < UNHEALTHY_SIGNS or not (failed or ill):
        return None
    why = next((found.names["why"] for _, found in events if "why" in found.names), "")
    return Finding(
        cause=Cause.UNHEALTHY_REPLACEMENT,
        pace=Pace.STUCK,
        name=case.service.name,
        clauses=("{name}: its replacements fail health checks", "{name}: health checks fail"),
        brief="unhealthy",
        evidence=(
            *(case.said(event) for event, _ in events[:2]),
            *(_why(task) for task in failed[:2]),
            *(Evidence(f"{task.short_id} is unhealthy", "target health") for task in ill[:2]),
            case.counts(),
        ),
        actions=(
            Action(f"Look at why checks fail{f': {why}' if why else ''}."),
            Action("Check the health check's path and port, the security group, the thresholds."),
        ),
        how="ECS keeps the old tasks until a replacement is healthy.",
    )


def crash_loop(case: Case) -> Finding | None:
    """Replacements end by themselves, again and again."""
    failed = [task for task, failure in case.failed if failure == Failure.EXITED]
    impaired = case.since_drain({Kind.IMPAIRED})
    if len(failed) < CRASHES and not (failed and impaired):
        return None
    codes = {
        one.exit_code for task in failed for one in task.containers if one.exit_code is not None
    }
    code = f" with code {min(codes)}" if len(codes) == 1 else ""
    return Finding(
        cause=Cause.CRASH_LOOP,
        pace=Pace.STUCK,
        name=case.service.name,
        clauses=(f"{{name}}: its replacements exit{code}", "{name}: its replacements exit"),
        brief="crash loop",
        evidence=(
            *(_why(task) for task in failed[:2]),
            *(case.said(event) for event, _ in impaired[:1]),
            case.counts(),
        ),
        actions=(Action("Read the tasks' logs. Roll back to a task definition that works."),),
        how="ECS tries again, with up to 27 minutes between two tries.",
    )


def target_group_missing(case: Case) -> Finding | None:
    """The service's target group is gone."""
    gone = [one for one in case.target_groups if not one.exists]
    if not gone:
        return None
    return Finding(
        cause=Cause.TARGET_GROUP_MISSING,
        pace=Pace.STUCK,
        name=case.service.name,
        clauses=("{name}: its target group was not found", "{name}: no target group"),
        brief="no target group",
        evidence=(Evidence(f"{gone[0].arn} was not found", "target health"), case.counts()),
        actions=(Action("Restore the target group, or update the service."),),
        how="No task can become healthy in a target group that does not exist.",
    )


def grace_period(case: Case) -> Finding | None:
    """A replacement is in its grace period."""
    young = [task for task in running(case) if _in_grace(case, task)]
    if not young or _all_healthy(case):
        return None
    ends = max(_grace_end(case, task) for task in young)
    return Finding(
        cause=Cause.GRACE_PERIOD,
        pace=Pace.WAITS,
        name=case.service.name,
        clauses=(
            f"{{name}}: {counted(len(young), 'replacement')} in the grace period, {{left}} left",
            "{name}: grace period, {left} left",
        ),
        brief="grace period",
        until=ends,
        evidence=(
            *(Evidence(f"{task.short_id} RUNNING", TASKS, task.started_at) for task in young),
            Evidence(f"grace period {case.service.grace_seconds} s", "DescribeServices"),
            case.counts(),
        ),
        actions=(Action("Wait. A grace period as short as the start allows ends sooner."),),
        how="Start of the replacement + health check grace period. It may be healthy sooner.",
    )


def starting(case: Case) -> Finding | None:
    """A replacement starts up."""
    states = case.target_states()
    pending = [task for task in case.live if task.last in {"PROVISIONING", "PENDING", "ACTIVATING"}]
    new = [
        task
        for task in running(case)
        if task.started_at and (case.now - task.started_at < HEALTHY_AFTER or "initial" in states)
    ]
    if not pending and not new:
        return None
    number = counted(len(pending) + len(new), "replacement")
    return Finding(
        cause=Cause.STARTING,
        pace=Pace.MOVES,
        name=case.service.name,
        clauses=(f"{{name}}: {number} starting", "{name}: starting"),
        brief="starting",
        evidence=(
            *(Evidence(f"{task.short_id} {task.last}", TASKS) for task in (*pending, *new)[:3]),
            *(Evidence(f"target {state}: {why}", "target health") for state, why in states.items()),
            case.counts(),
        ),
        actions=(Action("Wait: ECS stops the old task when the new one is healthy."),),
        how="Start + first health check, or 40 s without one.",
    )


def running(case: Case) -> list[Task]:
    """Return the replacements that run."""
    return [task for task in case.live if task.last == "RUNNING" and task.started_at]


def is_running(case: Case) -> bool:
    """Whether any replacement runs."""
    return bool(running(case))


def _all_healthy(case: Case) -> bool:
    states = case.target_states()
    if states:
        return set(states) <= {"healthy", "draining"}
    return all(task.health == "HEALTHY" for task in running(case))


def _grace_end(case: Case, task: Task) -> datetime:
    return (task.started_at or case.now) + timedelta(seconds=case.service.grace_seconds)


def _in_grace(case: Case, task: Task) -> bool:
    return case.now < _grace_end(case, task)


def _image(case: Case) -> str:
    for task, failure in case.failed:
        for one in task.containers:
            if failure == Failure.IMAGE_PULL and one.reason and one.image:
                return one.image
    return case.definition.images[0] if case.definition and case.definition.images else ""


def _why(task: Task) -> Evidence:
    """Return why a task has ended: the container's own reason says more than the task's."""
    reasons = [one.reason for one in task.containers if one.reason]
    codes = [f"exit code {one.exit_code}" for one in task.containers if one.exit_code]
    said = reasons[0] if reasons else task.stopped_reason
    # Reasons of registries have hundreds of characters; --json has them whole.
    said = re.sub(r"\s+", " ", said)
    return Evidence(
        f"{task.short_id} STOPPED: {', '.join([said, *codes[:1]])}", TASKS, task.stopped_at
    )
