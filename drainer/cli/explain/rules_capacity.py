"""
Rules about replacements that wait for an instance which a capacity provider has to add.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from drainer.cli.explain.causes import Cause, Pace
from drainer.cli.explain.finding import Action, Evidence, Finding
from drainer.cli.explain.rules_replacement import is_running

if TYPE_CHECKING:
    from drainer.cli.explain.case import Case

TASKS = "DescribeTasks"


def provisioning(case: Case) -> Finding | None:
    """A replacement waits for an instance that the capacity provider has to add."""
    # One that is on an instance already gets its network interface there.
    waiting = [task for task in case.live if task.last == "PROVISIONING" and not task.instance_arn]
    if not waiting or case.definition is None or is_running(case):
        return None
    provider = waiting[0].capacity_provider or "a capacity provider"
    seen = Evidence(f"{waiting[0].short_id} PROVISIONING, {provider}", TASKS, waiting[0].created_at)
    return blocked_group(case, seen) or Finding(
        cause=Cause.CAPACITY_WAIT,
        pace=Pace.WAITS,
        name=case.service.name,
        clauses=(f"{{name}}: a new instance of {provider}", "{name}: a new instance"),
        brief="new instance",
        evidence=(seen, case.counts()),
        actions=(Action("Wait: a new instance takes 2 to 5 minutes. Look at the group if not."),),
        how="A launch takes 2 to 5 minutes. After 10 to 30 minutes ECS gives the task up.",
    )


def blocked_group(case: Case, seen: Evidence) -> Finding | None:
    """Return why the group adds no instance; None where nothing is in its way."""
    group = case.facts.group
    if group is None:
        return None
    where = f"group {group.name}"
    if group.simple_policies and group.lifecycle_state.endswith(":Wait"):
        text = f"policy {group.simple_policies[0]} is SimpleScaling"
        return Finding(
            cause=Cause.SIMPLE_SCALING,
            pace=Pace.STUCK,
            name=case.service.name,
            clauses=(
                "{name}: simple scaling adds no instance meanwhile",
                "{name}: simple scaling",
            ),
            brief="simple scaling",
            evidence=(Evidence(text, "DescribePolicies"), seen),
            actions=(
                Action("Add an instance by hand: raise the group's desired capacity."),
                Action("For the next time: target tracking or step scaling."),
            ),
            how="Its cooldown begins only after the instance has left Terminating:Wait.",
        )
    what = ""
    if group.desired is not None and group.maximum is not None and group.desired >= group.maximum:
        what, brief, advice = "is at its maximum", "group full", "Raise the group's maximum size."
    elif "Launch" in group.suspended:
        what, brief = "may not launch", "no launches"
        advice = "Resume the group's process Launch."
    elif group.failed_launch:
        what, brief, advice = "cannot launch", "launch fails", "Fix what the activity names."
    if not what:
        return None
    size = f"{group.desired} of at most {group.maximum} instances"
    return Finding(
        cause=Cause.GROUP_CANNOT_GROW,
        pace=Pace.STUCK,
        name=case.service.name,
        clauses=(f"{{name}}: an instance, and its group {what}", f"{{name}}: its group {what}"),
        brief=brief,
        evidence=(Evidence(f"{where}: {group.failed_launch or size}", "Auto Scaling"), seen),
        actions=(Action(advice),),
        how="The group adds no instance without that.",
    )
