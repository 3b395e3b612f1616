"""
Rules about what a service or its deployment does not allow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from drainer.cli.account.screen import counted
from drainer.cli.explain.causes import Cause, Pace
from drainer.cli.explain.facts import DAEMON
from drainer.cli.explain.finding import Action, Evidence, Finding
from drainer.cli.explain.messages import Kind
from drainer.cli.explain.scheduler import is_deadlocked, limits

if TYPE_CHECKING:
    from drainer.cli.explain.case import Case

SERVICES = "DescribeServices"
HOLDS = frozenset({"AWAITING_ACTION", "IN_PROGRESS"})


def daemon(case: Case) -> Finding | None:
    """Daemon tasks stop last."""
    if case.service.scheduling != DAEMON:
        return None
    return Finding(
        cause=Cause.DAEMON,
        pace=Pace.MOVES,
        name=case.service.name,
        clauses=("daemon {name}: its task stops last", "daemon {name}"),
        brief="daemon",
        evidence=(Evidence(f"{case.service.name}: {DAEMON}, {len(case.tasks)} here", SERVICES),),
        actions=(Action("Nothing: ECS stops a daemon's task after the others."),),
        how="After the last task of the other services.",
    )


def deleting(case: Case) -> Finding | None:
    """A service that is being deleted replaces no tasks, it stops them."""
    if case.service.status != "DRAINING":
        return None
    return Finding(
        cause=Cause.SERVICE_DELETING,
        pace=Pace.MOVES,
        name=case.service.name,
        clauses=("{name}: the service is deleted, its tasks stop", "{name}: it is being deleted"),
        brief="deleted",
        evidence=(Evidence(f"{case.service.name}: status DRAINING", SERVICES),),
        how="Deregistration delay + stop timeout of its tasks.",
    )


def minimum_equals_maximum(case: Case) -> Finding | None:
    """Neither fewer nor more tasks may run than do."""
    if not is_deadlocked(case.service):
        return None
    service, (lowest, highest) = case.service, limits(case.service)
    if service.minimum_percent == service.maximum_percent:
        percents = f"minimum = maximum = {service.maximum_percent} %"
    else:
        percents = f"minimum {lowest} = maximum {highest} tasks"
    return Finding(
        cause=Cause.MINIMUM_EQUALS_MAXIMUM,
        pace=Pace.STUCK,
        name=service.name,
        clauses=(
            f"{{name}}: {percents}, none can move",
            f"{{name}}: {percents}",
            "{name}: min = max",
        ),
        brief="min = max",
        evidence=(
            case.counts(),
            Evidence(f"at least {lowest} and at most {highest} tasks may run (rounded)", SERVICES),
        ),
        actions=(
            Action(
                "Let one more task run:",
                (
                    f"aws ecs update-service --cluster {case.facts.instance.cluster} \\",
                    f"  --service {service.name} --deployment-configuration \\",
                    "  minimumHealthyPercent=100,maximumPercent=200",
                ),
            ),
            Action("Or let one fewer run: a lower minimumHealthyPercent."),
        ),
        how="ECS can neither stop nor start a task.",
    )


def circuit_breaker(case: Case) -> Finding | None:
    """A failed deployment starts no tasks, so that none is replaced."""
    failed = [
        one
        for one in case.service.deployments
        if one.rollout == "FAILED" and one.status == "PRIMARY"
    ]
    if not failed:
        return None
    event = case.newest({Kind.DEPLOYMENT_FAILED})
    return Finding(
        cause=Cause.CIRCUIT_BREAKER,
        pace=Pace.STUCK,
        name=case.service.name,
        clauses=("{name}: its deployment failed and starts no tasks", "{name}: deployment failed"),
        brief="failed deployment",
        evidence=(
            Evidence(f"deployment {failed[0].id}: FAILED {failed[0].reason}".strip(), SERVICES),
            *([case.said(event[0])] if event else []),
            case.counts(),
        ),
        actions=(
            Action(
                "Deploy a task definition that works, or the former one:",
                (
                    f"aws ecs update-service --cluster {case.facts.instance.cluster} \\",
                    f"  --service {case.service.name} --task-definition FAMILY:REVISION",
                ),
            ),
        ),
        how="A failed deployment starts no tasks.",
    )


def blue_green(case: Case) -> Finding | None:
    """A blue/green, linear or canary deployment waits at a stage."""
    deployment = case.facts.service_deployments.get(case.service.name)
    if deployment is None or deployment.status != "IN_PROGRESS":
        return None
    hooks = [hook for hook in deployment.hooks if hook.status in HOLDS]
    if case.service.strategy == "ROLLING" or not (hooks or deployment.stage == "BAKE_TIME"):
        return None
    hook = hooks[0] if hooks else None
    stage = deployment.stage.lower().replace("_", " ")
    how = (
        "The bake time's end."
        if hook is None
        else f"The hook's own end, then {hook.timeout_action}."
    )
    said = [f"stage {deployment.stage}"]
    if hook:
        said.append(f"hook {hook.id} {hook.status}")
    return Finding(
        cause=Cause.BLUE_GREEN_HOLD,
        pace=Pace.WAITS,
        name=case.service.name,
        clauses=(
            f"{{name}}: its deployment holds at {stage}",
            f"{{name}}: holds at {stage}",
            "{name}: its deployment holds",
        ),
        brief="deployment holds",
        until=hook.expires_at if hook else None,
        evidence=(
            *(Evidence(text, "deployment") for text in said),
            case.counts(),
        ),
        actions=(
            Action(
                "Continue the deployment, or roll it back:",
                (
                    "aws ecs continue-service-deployment \\",
                    f"  --service-deployment-arn {case.service.service_deployment}",
                )
                if hook
                else (),
            ),
        ),
        how=how,
    )


def deployment_in_progress(case: Case) -> Finding | None:
    """A deployment shares the limits with the drain."""
    running = [one for one in case.service.deployments if one.rollout == "IN_PROGRESS"]
    if len(case.service.deployments) < 2 or not running:  # noqa: PLR2004 (the old and the new one)
        return None
    return Finding(
        cause=Cause.DEPLOYMENT_IN_PROGRESS,
        pace=Pace.WAITS,
        name=case.service.name,
        clauses=("{name}: a deployment is in progress", "{name}: deployment"),
        brief="deployment",
        evidence=(Evidence(f"deployment {running[0].id}: IN_PROGRESS", SERVICES), case.counts()),
        actions=(Action("Wait: the deployment and the drain share the service's limits."),),
        how="The deployment's end.",
    )


def desired_one(case: Case) -> Finding | None:
    """The service's only task stays until another one is healthy."""
    if case.service.desired != 1 or limits(case.service).lowest != 1:
        return None
    return Finding(
        cause=Cause.DESIRED_ONE,
        pace=Pace.WAITS,
        name=case.service.name,
        clauses=("{name}: its only task stays until one is healthy", "{name}: its only task"),
        brief="desired 1",
        evidence=(case.counts(),),
        actions=(
            Action("Wait: ECS starts a second task and stops this one when that is healthy."),
            Action("For the next time: desired count 2, so that one task can leave."),
        ),
        how="Start of the replacement + its health check + deregistration delay + stop timeout.",
    )


def on_course(case: Case) -> Finding | None:
    """ECS has begun to replace the tasks, or had no time to."""
    since = case.facts.draining_since
    is_young = since is not None and (case.now - since).total_seconds() < YOUNG_SECONDS
    started = case.since_drain({Kind.STARTED, Kind.STOPPED})
    if not (is_young or started or case.live):
        return None
    here = counted(len(case.tasks), "task")
    return Finding(
        cause=Cause.ON_COURSE,
        pace=Pace.MOVES,
        name=case.service.name,
        clauses=(f"{{name}}: {here} to be replaced, on course", f"{{name}}: {here}, on course"),
        brief="on course",
        evidence=(case.counts(), *(case.said(event) for event, _ in started[:2])),
        how="Start and health check of the replacements + deregistration delay + stop timeout.",
    )


# ECS's scheduler looks every ten seconds, and a start takes a minute.
YOUNG_SECONDS = 120


def unexplained(case: Case) -> Finding | None:
    """ECS gives no reason."""
    last = case.service.events[:1]
    return Finding(
        cause=Cause.UNKNOWN,
        pace=Pace.STUCK,
        name=case.service.name,
        clauses=("{name}: ECS gives no reason", "{name}: no reason given"),
        brief="no reason",
        evidence=(case.counts(), *(case.said(event) for event in last)),
        actions=(Action("Look at the service's events and newest tasks, and run this again."),),
        how="No rule of this program applies.",
    )
