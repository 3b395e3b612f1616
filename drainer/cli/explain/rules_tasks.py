"""
Rules about tasks on the instance that no service holds back: jobs, protected and ending tasks.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from drainer.cli.account.screen import counted
from drainer.cli.explain.causes import Cause, Pace
from drainer.cli.explain.finding import Action, Evidence, Finding
from drainer.cli.explain.messages import Kind, matched

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from drainer.cli.explain.facts import Facts, Service, Task

TASKS = "DescribeTasks"
# The agent waits two minutes longer than the stop timeout, and tries five times.
# https://github.com/aws/amazon-ecs-agent/blob/master/agent/engine/docker_task_engine.go
STOP_TRIES, STOP_BUFFER_SECONDS = 5, 120
STOP_SECONDS_DEFAULT = 30
# ECS's scheduler looks every ten seconds.
SAME_MOMENT = timedelta(seconds=15)
# An order to stop reaches a connected agent within seconds.
ORDER_LATE = timedelta(minutes=10)


def standalone(facts: Facts) -> list[Finding]:
    """Tasks that no service owns: draining never stops them."""
    jobs = [task for task in facts.remaining if not task.service and task.wanted]
    if not jobs:
        return []
    first = jobs[0]
    one = f"a standalone job: {{name}}, task {first.short_id}"
    many = f"{len(jobs)} standalone jobs, one is {{name}}"
    cluster = facts.instance.cluster
    return [
        Finding(
            cause=Cause.STANDALONE_TASK,
            pace=Pace.WAITS,
            name=first.family,
            clauses=(one, "a standalone job: {name}", "job {name}")
            if len(jobs) == 1
            else (many, f"{len(jobs)} standalone jobs"),
            brief="job" if len(jobs) == 1 else counted(len(jobs), "job"),
            since=first.started_at,
            evidence=tuple(
                Evidence(
                    f"task {job.short_id} of {job.family}, startedBy "
                    f"{_quoted(job.started_by)}, {job.last}",
                    TASKS,
                    job.started_at or job.created_at,
                )
                for job in jobs
            ),
            actions=(
                _time(facts),
                Action(
                    "Stop it, if it may be cut:",
                    (
                        f"aws ecs stop-task --cluster {cluster} \\",
                        f"  --task {first.id}",
                    ),
                ),
            ),
            how="A standalone job ends by itself. Draining never stops it.",
        )
    ]


def _time(facts: Facts) -> Action:
    if facts.drain is None or facts.drain.ended:
        return Action("Give it time: let the job end.")
    command = f"drainer extend {facts.instance.ec2_instance_id} 1h"
    return Action("Give it time, by a later deadline:", (command,))


def _quoted(started_by: str) -> str:
    return f'"{started_by}"' if started_by else "empty (run by hand)"


def protected(facts: Facts) -> list[Finding]:
    """Tasks with scale-in protection that ECS still wants to run."""
    until = facts.protected or {}
    held = [task for task in facts.remaining if task.wanted and task.id in until]
    found = []
    for service, tasks in by_service(held):
        ends = [at for task in tasks if (at := until[task.id]) is not None]
        last = max(ends) if len(ends) == len(tasks) else None
        what = "1 task is" if len(tasks) == 1 else f"{len(tasks)} tasks are"
        end = " until {until}" if last else ""
        found.append(
            Finding(
                cause=Cause.TASK_PROTECTED,
                pace=Pace.WAITS,
                name=service,
                clauses=(f"{{name}}: {what} protected{end}",),
                brief=f"{len(tasks)} protected",
                until=last,
                evidence=tuple(
                    Evidence(f"{service} {task.short_id} is protected", "GetTaskProtection")
                    for task in tasks
                ),
                actions=(
                    Action(
                        "End the protection, if the task may be stopped:",
                        (
                            f"aws ecs update-task-protection --cluster {facts.instance.cluster} \\",
                            f"  --no-protection-enabled --tasks {tasks[0].id}",
                        ),
                    ),
                ),
                how="The protection's own end. The task can renew it.",
            )
        )
    return found


def closing(facts: Facts) -> list[Finding]:
    """Tasks that ECS no longer wants: deregistering, stopping, or their network is removed."""
    found = []
    for service, tasks in by_service(task for task in facts.remaining if not task.wanted):
        by_status: dict[str, list[Task]] = {}
        for task in tasks:
            by_status.setdefault(task.last, []).append(task)
        for status, some in by_status.items():
            found.append(_closing(facts, service, status, some))
    return found


def _closing(facts: Facts, service: str, status: str, tasks: Sequence[Task]) -> Finding:
    name = service or tasks[0].family
    if status == "DEACTIVATING":
        return _deregistering(facts, name, tasks)
    if status == "STOPPING":
        return _stopping(facts, name, tasks)
    if status == "DEPROVISIONING":
        return Finding(
            cause=Cause.DEPROVISIONING,
            pace=Pace.MOVES,
            name=name,
            clauses=("{name}: its network interface is being removed", "{name}: network removal"),
            brief="network removal",
            evidence=_seen(name, tasks),
            how="Removing a network interface takes up to 2 minutes.",
        )
    return _ordered(facts, name, tasks)


def _deregistering(facts: Facts, name: str, tasks: Sequence[Task]) -> Finding:
    service = facts.services.get(name)
    arns = service.target_groups if service else ()
    groups = [one for arn in arns if (one := facts.target_groups.get(arn))]
    delays = [one.delay_seconds for one in groups if one.delay_seconds is not None]
    began = began_deregistering(service) or tasks[0].stopping_at
    until = began + timedelta(seconds=max(delays)) if began and delays else None
    what = "1 target is" if len(tasks) == 1 else f"{len(tasks)} targets are"
    left = ", {left} left" if until else ""
    evidence = [*_seen(name, tasks)]
    if delays and began:
        text = f"deregistration begun, delay {max(delays)} s"
        evidence.append(Evidence(text, "target group", began))
    draining = sum(one.state == "draining" for group in groups for one in group.targets or ())
    if draining:
        evidence.append(Evidence(f"{counted(draining, 'target')} draining", "target health"))
    return Finding(
        cause=Cause.TARGET_DRAINING,
        pace=Pace.MOVES,
        name=name,
        clauses=(f"{{name}}: {what} draining{left}", "{name}: targets drain"),
        brief="target drains" if len(tasks) == 1 else f"{len(tasks)} targets drain",
        until=until,
        since=began,
        evidence=tuple(evidence),
        actions=(Action("For the next time: a shorter deregistration delay."),),
        how="Beginning of the deregistration + deregistration delay.",
    )


def began_deregistering(service: Service | None) -> datetime | None:
    """Return when ECS last began to deregister targets of a service."""
    for event in service.events if service else ():
        if matched(event.message).kind in {Kind.CONNECTIONS, Kind.DEREGISTERED}:
            return event.at
    return None


def _stopping(facts: Facts, name: str, tasks: Sequence[Task]) -> Finding:
    def allowed(task: Task) -> timedelta:
        definition = facts.definitions.get(task.definition)
        return timedelta(seconds=definition.stop_seconds if definition else STOP_SECONDS_DEFAULT)

    begun = [(began_stop(facts, task), allowed(task)) for task in tasks]
    ends = [at + allowed for at, allowed in begun if at]
    until = max(ends) if ends else None
    worst = max(allowed for _, allowed in begun)
    tries = STOP_TRIES * (worst + timedelta(seconds=STOP_BUFFER_SECONDS))
    if until and facts.now > until - worst + tries:
        return _stuck(facts, name, tasks)
    what = "1 task" if len(tasks) == 1 else f"{len(tasks)} tasks"
    return Finding(
        cause=Cause.STOP_TIMEOUT,
        pace=Pace.MOVES,
        name=name,
        clauses=(
            f"{{name}}: {what} in the stop timeout{', {left} left' if until else ''}",
            "{name}: stop timeout",
        ),
        brief="stop timeout",
        until=until,
        since=tasks[0].stopping_at,
        evidence=(
            *_seen(name, tasks),
            Evidence(f"stop timeout {worst.seconds} s", "task definition"),
        ),
        actions=(Action("For the next time: end at SIGTERM, or set a shorter stopTimeout."),),
        how="Beginning of STOPPING + the task definition's stop timeouts.",
    )


def began_stop(facts: Facts, task: Task) -> datetime | None:
    """
    Return since when the containers of a task are told to stop.

    AWS does not say whether stoppingAt is set before the targets are deregistered. If it is, the
    stop begins after the deregistration delay at the latest.
    """
    service = facts.services.get(task.service)
    if task.stopping_at is None or service is None:
        return task.stopping_at
    groups = [facts.target_groups.get(arn) for arn in service.target_groups]
    delay = max((one.delay_seconds or 0 for one in groups if one), default=0)
    deregistered = began_deregistering(service) or task.stopping_at
    if not delay or task.stopping_at > deregistered + SAME_MOMENT:
        return task.stopping_at
    return min(facts.now, deregistered + timedelta(seconds=delay))


def _ordered(facts: Facts, name: str, tasks: Sequence[Task]) -> Finding:
    """Judge tasks that ECS no longer wants and whose agent has not begun to stop them."""
    service = facts.services.get(name)
    ordered = began_stopping(service) or tasks[0].stopping_at
    if facts.instance.agent_connected and ordered and facts.now - ordered > ORDER_LATE:
        return _stuck(facts, name, tasks)
    return Finding(
        cause=Cause.STOP_TIMEOUT,
        pace=Pace.MOVES,
        name=name,
        clauses=(f"{{name}}: {counted(len(tasks), 'task')} told to stop", "{name}: told to stop"),
        brief="told to stop",
        since=ordered,
        evidence=_seen(name, tasks),
        how="The agent begins within seconds, if it is connected.",
    )


def began_stopping(service: Service | None) -> datetime | None:
    """Return when ECS last told tasks of a service to stop."""
    for event in service.events if service else ():
        if matched(event.message).kind == Kind.STOPPED:
            return event.at
    return None


def _stuck(facts: Facts, name: str, tasks: Sequence[Task]) -> Finding:
    return Finding(
        cause=Cause.STUCK_STOPPING,
        pace=Pace.STUCK,
        name=name,
        clauses=("{name}: the agent cannot stop its containers", "{name}: it cannot be stopped"),
        brief="cannot stop",
        since=tasks[0].stopping_at,
        evidence=_seen(name, tasks),
        actions=(
            Action(
                "Restart Docker and the agent on the instance:",
                (
                    "aws ssm send-command --document-name AWS-RunShellScript \\",
                    f"  --instance-ids {facts.instance.ec2_instance_id} \\",
                    "  --parameters 'commands=[\"systemctl restart docker ecs\"]'",
                ),
            ),
        ),
        how="The agent's five tries to stop it are over.",
    )


def _seen(name: str, tasks: Sequence[Task]) -> tuple[Evidence, ...]:
    return tuple(
        Evidence(f"{name} {task.short_id} {task.last}", TASKS, task.stopping_at) for task in tasks
    )


def by_service(tasks: Iterable[Task]) -> list[tuple[str, list[Task]]]:
    """Return the tasks of each service; those of none are one group."""
    found: dict[str, list[Task]] = {}
    for task in tasks:
        found.setdefault(task.service, []).append(task)
    return list(found.items())
