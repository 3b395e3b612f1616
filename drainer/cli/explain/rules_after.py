"""
Rules about an instance without tasks: what does it wait for now?
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from drainer.cli.explain.causes import Cause, Pace
from drainer.cli.explain.drainers import MANAGED_HOOK
from drainer.cli.explain.finding import Action, Evidence, Finding
from drainer.cli.explain.rules_host import is_waiting, last_write, own_hook

if TYPE_CHECKING:
    from drainer.cli.explain.facts import Facts


def after_tasks(facts: Facts) -> list[Finding]:
    """No task is left: what does the instance wait for?"""
    if facts.tasks is None or facts.remaining:
        return []
    empty = Evidence("0 tasks left", "DescribeTasks")
    if not is_waiting(facts):
        return [
            Finding(
                cause=Cause.FINISHED,
                pace=Pace.MOVES,
                clauses=(),
                brief="finished",
                evidence=(empty,),
                actions=(
                    Action(
                        "Terminate the instance, or set it ACTIVE again:",
                        (
                            "aws ecs update-container-instances-state --status ACTIVE \\",
                            f"  --cluster {facts.instance.cluster} --container-instances \\",
                            f"  {facts.instance.arn.rpartition('/')[2]}",
                        ),
                    ),
                ),
                how="ECS leaves a drained instance DRAINING until it is terminated or set ACTIVE.",
            )
        ]
    if own_hook(facts) and not (facts.drain and facts.drain.ended):
        return [_release(facts, empty)] if facts.drain and not facts.drain.silent else []
    return [_other_hook(facts, empty)]


def _release(facts: Facts, empty: Evidence) -> Finding:
    return Finding(
        cause=Cause.ON_COURSE,
        pace=Pace.MOVES,
        clauses=("the drainer's next look: 0 tasks are left",),
        brief="next look",
        until=facts.drain.next_look_at if facts.drain else None,
        evidence=(empty, last_write(facts)),
        actions=(Action("Nothing: the next look releases it."),),
        how="The last look + the pass interval.",
    )


def _other_hook(facts: Facts, empty: Evidence) -> Finding:
    group = facts.group
    hooks = [one for one in (group.hooks if group else ()) or () if one != own_hook(facts)]
    # ECS ends its own hook within a minute of the last task, so that another one is more likely.
    hooks.sort(key=lambda one: one.name == MANAGED_HOOK)
    evidence = (
        empty,
        Evidence(f"{group.lifecycle_state if group else 'waiting'}", "Auto Scaling"),
        *(
            Evidence(f"hook {one.name}: heartbeat {one.heartbeat_seconds} s", "hook")
            for one in hooks
        ),
    )
    since = group.terminating_since if group else None
    if not hooks or hooks[0].name == MANAGED_HOOK:
        managed = bool(hooks)
        clauses = (
            ("ECS managed draining: it ends its hook soon",) if managed else ("a lifecycle hook",)
        )
        return Finding(
            cause=Cause.MANAGED_DRAINING if managed else Cause.OTHER_HOOK,
            pace=Pace.WAITS,
            clauses=clauses,
            brief="ECS's hook" if managed else "a hook",
            until=since + timedelta(seconds=hooks[0].global_seconds) if since and managed else None,
            evidence=evidence,
            actions=(Action("Wait a minute. If it stays, look at the capacity provider."),),
            how="At the latest the hook's global timeout.",
        )
    hook = hooks[0]
    return Finding(
        cause=Cause.OTHER_HOOK,
        pace=Pace.WAITS,
        name=hook.name,
        clauses=("another hook, {name}: ECS is done", "another hook: {name}"),
        brief="other hook",
        until=since + timedelta(seconds=hook.global_seconds) if since else None,
        evidence=evidence,
        actions=(
            Action(
                "If nothing serves that hook, answer it:",
                (
                    "aws autoscaling complete-lifecycle-action \\",
                    f"  --auto-scaling-group-name {group.name if group else 'GROUP'} \\",
                    f"  --lifecycle-hook-name {hook.name} \\",
                    f"  --instance-id {facts.instance.ec2_instance_id} \\",
                    "  --lifecycle-action-result CONTINUE",
                ),
            ),
        ),
        how="At the latest the hook's global timeout. Its heartbeat timeout may end it sooner.",
    )
