"""
The rule about what ECS's own events say of a service that cannot start tasks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from drainer.cli.explain.causes import Cause, Pace
from drainer.cli.explain.finding import Action, Finding
from drainer.cli.explain.messages import PLACED, Kind

if TYPE_CHECKING:
    from drainer.cli.explain.case import Case

# What ECS says of a service that cannot start tasks, wherever.
SAYS = {
    Kind.SERVICE_ROLE: (
        Cause.SERVICE_ROLE,
        "{name}: ECS may not assume its role",
        "role",
        "Fix the role's trust policy and permissions.",
    ),
    Kind.QUOTA: (
        Cause.QUOTA,
        "{name}: a quota of the account is reached",
        "quota",
        "Raise the quota that the event names.",
    ),
    Kind.THROTTLED: (
        Cause.SERVICE_THROTTLED,
        "{name}: AWS throttles the service's operations",
        "throttled",
        "Change fewer services at once. ECS tries again by itself.",
    ),
    Kind.LAUNCH_ERROR: (
        Cause.START_ERROR,
        "{name}: ECS cannot launch its task",
        "start error",
        "Fix what the event names.",
    ),
    Kind.IMAGE_PULL: (
        Cause.IMAGE_PULL,
        "{name}: its image cannot be pulled",
        "image pull",
        "Fix the image, the registry's permissions or the network.",
    ),
    Kind.START_ERROR: (
        Cause.START_ERROR,
        "{name}: its task fails before it starts",
        "start error",
        "Fix the secret, the log group or the volume that the event names.",
    ),
    Kind.IMPAIRED: (
        Cause.CRASH_LOOP,
        "{name}: new tasks cannot be started consistently",
        "crash loop",
        "Read the tasks' logs. Roll back to a task definition that works.",
    ),
    Kind.TARGET_GROUP_MISSING: (
        Cause.TARGET_GROUP_MISSING,
        "{name}: its target group was not found",
        "no target group",
        "Restore the target group, or update the service.",
    ),
}


def said_by_ecs(case: Case) -> Finding | None:
    """ECS's events name the cause."""
    found = case.newest(SAYS, PLACED)
    if found is None:
        return None
    event, kind = found[0], found[1].kind
    cause, clause, brief, advice = SAYS[kind]
    return Finding(
        cause=cause,
        pace=Pace.STUCK,
        name=case.service.name,
        clauses=(clause,),
        brief=brief,
        evidence=(case.said(event), case.counts()),
        actions=(Action(advice),),
        how="ECS tries again, with up to 27 minutes between two tries.",
    )
