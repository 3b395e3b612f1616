"""
From facts to causes: the rules in one ordered table.

A rule about the instance returns what it finds. Of the rules about one service the first that
applies wins: the cheapest and surest proofs come first, guesses last.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from drainer.cli.explain import (
    rules_after,
    rules_capacity,
    rules_host,
    rules_place,
    rules_replacement,
    rules_said,
    rules_service,
    rules_tasks,
)
from drainer.cli.explain.case import Case
from drainer.cli.explain.causes import Cause, Pace
from drainer.cli.explain.finding import Action, Evidence, Finding, by_importance

if TYPE_CHECKING:
    from collections.abc import Callable

    from drainer.cli.explain.facts import Facts

INSTANCE_RULES: tuple[Callable[[Facts], list[Finding]], ...] = (
    rules_host.unread,
    rules_host.drainer,
    rules_host.agent,
    rules_after.after_tasks,
    rules_tasks.standalone,
    rules_tasks.protected,
    rules_tasks.closing,
)
SERVICE_RULES: tuple[Callable[[Case], Finding | None], ...] = (
    rules_service.daemon,
    rules_service.deleting,
    rules_service.minimum_equals_maximum,
    rules_service.circuit_breaker,
    rules_service.blue_green,
    rules_place.no_room,
    rules_replacement.image_pull,
    rules_replacement.start_error,
    rules_replacement.target_group_missing,
    rules_replacement.grace_period,
    rules_replacement.unhealthy,
    rules_replacement.crash_loop,
    rules_capacity.provisioning,
    rules_place.place,
    rules_said.said_by_ecs,
    rules_replacement.starting,
    rules_service.deployment_in_progress,
    rules_service.desired_one,
    rules_service.on_course,
    rules_service.unexplained,
)
# What is no news while anything else holds the instance.
BACKGROUND = frozenset({Cause.DAEMON, Cause.ON_COURSE})
# A disconnected agent gets no order to stop, so that these wait for it.
BEHIND_THE_AGENT = frozenset({Cause.STOP_TIMEOUT, Cause.STUCK_STOPPING})


DRAINING = "DRAINING"


@dataclass(frozen=True, slots=True)
class Verdict:
    """
    Why an instance is still draining.

    Attributes:
        findings: The causes that hold it, the most important first; never empty.
        background: What waits for those: daemons and services on course.
    """

    findings: tuple[Finding, ...]
    background: tuple[Finding, ...] = ()

    @property
    def main(self) -> Finding:
        """The most important cause."""
        return self.findings[0]


def judge(facts: Facts) -> Verdict:
    """Return all causes that hold an instance."""
    found = [finding for rule in INSTANCE_RULES for finding in rule(facts)]
    found += [
        finding for name in _wanted(facts) for finding in [_of_service(facts, name)] if finding
    ]
    behind_it = BACKGROUND
    if any(one.cause == Cause.AGENT_DISCONNECTED for one in found):
        behind_it |= BEHIND_THE_AGENT
    front = [one for one in found if one.cause not in behind_it]
    behind = [one for one in found if one.cause in behind_it]
    if front:
        return Verdict(tuple(by_importance(front)), tuple(by_importance(behind)))
    return Verdict(tuple(by_importance(behind)) or (_silent(facts),))


def _wanted(facts: Facts) -> list[str]:
    """Return the services whose tasks here ECS wants, those that are only protected left out."""
    if facts.instance.status != DRAINING:
        return []  # ECS was not told to move them
    held = facts.protected or {}
    wanted = [
        task.service
        for task in facts.remaining
        if task.service and task.wanted and task.id not in held
    ]
    return list(dict.fromkeys(wanted))


def _of_service(facts: Facts, name: str) -> Finding | None:
    held = facts.protected or {}
    tasks = [
        task
        for task in facts.remaining
        if task.service == name and task.wanted and task.id not in held
    ]
    service = facts.services.get(name)
    if service is None:
        return Finding(
            cause=Cause.UNREAD,
            pace=Pace.STUCK,
            name=name,
            clauses=("{name}: the service was not read", "{name}: not read"),
            brief="not read",
            evidence=(Evidence(f"{name}: {len(tasks)} here", "DescribeTasks"),),
            actions=(Action("Allow ecs:DescribeServices, or try again."),),
            how="Without the service it cannot be said.",
        )
    case = Case(facts, service, tasks)
    return next((finding for rule in SERVICE_RULES if (finding := rule(case))), None)


def _silent(facts: Facts) -> Finding:
    """Return what is said where no rule applies: never silence."""
    clause = "an unknown cause: no rule applies"
    if facts.instance.status != DRAINING:
        clause = f"its drain to begin: it is {facts.instance.status}, not {DRAINING}"
    return Finding(
        cause=Cause.UNKNOWN,
        pace=Pace.STUCK,
        clauses=(clause,),
        brief="unknown",
        evidence=(Evidence(f"{len(facts.remaining)} tasks left", "DescribeTasks"),),
        actions=(Action("Run this again in a minute."),),
        how="No rule of this program applies.",
    )
