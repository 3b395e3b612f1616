"""
Rules about replacements that have no place on the other instances.

An event of ECS names one instance and one reason. So the room on all ACTIVE instances is computed
as well, and a reason that all of them share wins.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from drainer.cli.account.screen import counted
from drainer.cli.explain.causes import IMPORTANCE, Cause, Pace
from drainer.cli.explain.finding import Action, Evidence, Finding
from drainer.cli.explain.messages import PLACED, Failure, Kind
from drainer.cli.explain.scheduler import DISTINCT, lacks

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from drainer.cli.explain.case import Case
    from drainer.cli.explain.facts import Task

OTHERS = "ECS instances"
ZONE_ATTRIBUTE = "ecs.availability-zone"

OF_EVENTS = {
    Kind.PLACE_MEMORY: Cause.NO_MEMORY,
    Kind.PLACE_CPU: Cause.NO_CPU,
    Kind.PLACE_GPU: Cause.NO_GPU,
    Kind.PLACE_PORT: Cause.PORT_TAKEN,
    Kind.PLACE_ENI: Cause.NO_ENI,
    Kind.PLACE_ZONE: Cause.ZONE,
    Kind.PLACE_CONSTRAINT: Cause.PLACEMENT_CONSTRAINT,
    Kind.PLACE_DISTINCT: Cause.DISTINCT_INSTANCE,
    Kind.PLACE_ATTRIBUTE: Cause.MISSING_ATTRIBUTE,
    Kind.PLACE_EMPTY: Cause.NO_INSTANCES,
    Kind.PLACE_AGENT: Cause.NO_PLACE,
    Kind.PLACE_BARE: Cause.NO_PLACE,
    Kind.CAPACITY: Cause.CAPACITY_WAIT,
}
OF_FAILURES = {
    Failure.NO_ENI: Cause.NO_ENI,
    Failure.NO_MEMORY: Cause.NO_MEMORY,
    Failure.NO_CPU: Cause.NO_CPU,
    Failure.NO_GPU: Cause.NO_GPU,
    Failure.PORT_TAKEN: Cause.PORT_TAKEN,
    Failure.CONSTRAINT: Cause.PLACEMENT_CONSTRAINT,
    Failure.ATTRIBUTE: Cause.MISSING_ATTRIBUTE,
    Failure.NO_INSTANCES: Cause.NO_INSTANCES,
}


class Words(NamedTuple):
    """How a cause is said: clauses with the place's fields, a brief form, and what to do."""

    clauses: tuple[str, ...]
    brief: str
    actions: tuple[str, ...]


ADD = "Add an instance to the group."
STOP_FIRST = "Or a minimumHealthyPercent below 100, so that ECS stops a task first."
WORDS = {
    Cause.NO_MEMORY: Words(
        ("no other instance has {memory} MiB free", "no memory elsewhere"),
        "memory",
        (ADD, "Or less memory in the task definition.", STOP_FIRST),
    ),
    Cause.NO_CPU: Words(
        ("no other instance has {cpu} CPU units free", "no CPU elsewhere"),
        "CPU",
        (ADD, "Or fewer CPU units in the task definition.", STOP_FIRST),
    ),
    Cause.NO_GPU: Words(
        ("no other instance has {gpus} GPUs free", "no GPU elsewhere"),
        "GPU",
        (ADD, STOP_FIRST),
    ),
    Cause.PORT_TAKEN: Words(
        ("port {port} is taken on {where}", "port {port} is taken"),
        "port {port}",
        (ADD, STOP_FIRST, "For the next release: host port 0, so that ECS chooses a free one."),
    ),
    Cause.NO_ENI: Words(
        ("no other instance has a free network interface", "no other instance has a free ENI"),
        "ENI",
        (ADD, "Or larger instances, or the account setting awsvpcTrunking."),
    ),
    Cause.ZONE: Words(
        ("no other instance in {zone} has room", "no instance in its zone"),
        "zone",
        ("Add an instance in that zone.", "Or let the service use more zones."),
    ),
    Cause.PLACEMENT_CONSTRAINT: Words(
        ("no other instance fits its placement rule", "its placement rule"),
        "constraint",
        ("Add an instance that fits the constraint.", "Or change the constraint."),
    ),
    Cause.DISTINCT_INSTANCE: Words(
        ("each other instance runs one of its tasks", "one task per instance"),
        "distinct",
        (ADD, STOP_FIRST),
    ),
    Cause.MISSING_ATTRIBUTE: Words(
        ("no other instance has {attribute}", "an attribute is missing elsewhere"),
        "attribute",
        ("Use a newer agent or AMI, or an instance type that offers the attribute.",),
    ),
    Cause.NO_INSTANCES: Words(
        ("the cluster has no other active instance", "no other active instance"),
        "no instances",
        (ADD, "Or set a DRAINING instance ACTIVE again."),
    ),
    Cause.NO_PLACE: Words(
        ("its replacement has no place on any other instance", "no place elsewhere"),
        "no place",
        (ADD, STOP_FIRST),
    ),
    Cause.CAPACITY_WAIT: Words(
        ("AWS has no capacity for its replacement", "no capacity"),
        "capacity",
        ("Use another zone or instance type.",),
    ),
}


def no_room(case: Case) -> Finding | None:
    """The replacement has no place now, by the resources of all other instances."""
    if not case.may_start:
        return None  # each task has a replacement, or ECS has to stop one first
    cause = _shared(case, _told(case))
    return _finding(case, cause) if cause else None


def place(case: Case) -> Finding | None:
    """The replacement has no place, by what ECS says."""
    if not case.may_start:
        return None
    told, others, definition = _told(case), case.facts.others, case.definition
    if told is None and others and definition and all(lacks(definition, one) for one in others):
        told = Cause.NO_PLACE
    return _finding(case, told) if told else None


def _told(case: Case) -> Cause | None:
    """Return what ECS says, by its newest event or by the newest failure of a replacement."""
    if found := case.newest(OF_EVENTS, PLACED):
        return OF_EVENTS[found[1].kind]
    failed = _failed(case)
    return OF_FAILURES[failed[0][1]] if failed else None


def _failed(case: Case) -> list[tuple[Task, Failure]]:
    return [one for one in case.failed if one[1] in OF_FAILURES]


def _finding(case: Case, cause: Cause) -> Finding:
    found, failed = case.newest(OF_EVENTS, PLACED), _failed(case)
    words, fields = WORDS[cause], _fields(case, found[1].names if found else {})
    if cause == Cause.PLACEMENT_CONSTRAINT and (zone := _zone(case)):
        cause, words, fields["zone"] = Cause.ZONE, WORDS[Cause.ZONE], zone
    events = [one for one in case.events if found and one[1].kind == found[1].kind]
    return Finding(
        cause=cause,
        pace=Pace.STUCK,
        name=case.service.name,
        clauses=tuple("{name}: " + one for one in _filled(words.clauses, fields)),
        brief=_filled((words.brief,), fields, otherwise="port")[0],
        evidence=(
            *([case.said(events[0][0], len(events))] if events else []),
            *(
                Evidence(f"task {task.short_id}: {task.stopped_reason}", "DescribeTasks")
                for task, _ in failed[:1]
            ),
            case.counts(),
            *_room(case),
        ),
        actions=tuple(_adding(case) if text == ADD else Action(text) for text in words.actions),
        how="No place becomes free without one of these.",
    )


def _shared(case: Case, told: Cause | None) -> Cause | None:
    """Return the cause that all other instances share; None where one of them has room."""
    others, definition = case.facts.others, case.definition
    if others is None:
        return None
    if not others:
        return Cause.NO_INSTANCES
    occupied = {task.instance_arn for task in _elsewhere(case)}
    if _is_distinct(case) and all(one.arn in occupied for one in others):
        return Cause.DISTINCT_INSTANCE
    if definition is None:
        return None
    shared = frozenset.intersection(*(lacks(definition, one) for one in others))
    return told if told in shared else min(shared, key=IMPORTANCE.__getitem__, default=None)


def _elsewhere(case: Case) -> Sequence[Task]:
    return [task for task in case.facts.elsewhere.get(case.service.name, ()) if task.remains]


def _is_distinct(case: Case) -> bool:
    return any(kind == DISTINCT for kind, _ in case.service.constraints)


def _expressions(case: Case) -> list[str]:
    own = [expression for _, expression in case.service.constraints if expression]
    return [*own, *(case.definition.constraints if case.definition else ())]


def _zone(case: Case) -> str:
    """Return the zone that a constraint names; empty for none."""
    for expression in _expressions(case):
        if ZONE_ATTRIBUTE in expression:
            zones = re.findall(r"\b[a-z]{2}(?:-[a-z]+)+-\d[a-z]\b", expression)
            return " or ".join(zones) or "its zone"
    return ""


def _fields(case: Case, named: Mapping[str, str]) -> dict[str, str]:
    """Return what the words may name; a field that is not known is left out."""
    fields = dict(named)
    definition, others = case.definition, case.facts.others
    if definition is None:
        return fields
    needs = definition.needs
    fields |= {"memory": str(needs.memory), "cpu": str(needs.cpu), "gpus": str(needs.gpus)}
    if others:
        taken = Counter(port for one in others for port in needs.ports & one.remaining.ports)
        if taken:
            port, count = max(taken.items(), key=lambda one: (one[1], one[0]))
            fields["port"] = str(port)
            every = (
                f"all {len(others)} other instances" if len(others) > 1 else "the other instance"
            )
            fields["where"] = every if count == len(others) else f"{count} of {len(others)} others"
        missing = [
            name
            for name in definition.attributes
            if all(name not in one.attributes for one in others)
        ]
        if missing:
            fields["attribute"] = missing[0].rpartition("ecs.capability.")[2]
    if "port" not in fields and len(needs.ports) == 1:
        fields["port"] = str(*needs.ports)
    return fields


def _filled(forms: Sequence[str], fields: dict[str, str], otherwise: str = "") -> list[str]:
    """Return the forms whose fields are all known; the last one without its fields if none is."""
    found = []
    for form in forms:
        try:
            found.append(form.format(**fields))
        except KeyError:
            continue
    return found or [otherwise or re.sub(r" ?\{\w+\}", "", forms[-1])]


def _room(case: Case) -> list[Evidence]:
    """Return how many of the other instances lack what."""
    definition, others = case.definition, case.facts.others
    found = [
        Evidence(f"placement constraint {one}", "DescribeServices") for one in _expressions(case)
    ]
    if definition is None or not others:
        return found
    lacking = Counter(cause for one in others for cause in lacks(definition, one))
    return found + [
        Evidence(f"{cause} on {count} of {counted(len(others), 'other')}", OTHERS)
        for cause, count in lacking.most_common()
    ]


def _adding(case: Case) -> Action:
    """Return how to add an instance to the group."""
    group = case.facts.group
    if group is None or group.desired is None or group.maximum is None:
        return Action(ADD)
    if group.desired >= group.maximum:
        return Action(f"{ADD} Raise its maximum first: it is at {group.desired} of it.")
    return Action(
        f"{ADD} It is at {group.desired} of at most {group.maximum}.",
        (
            f"aws autoscaling set-desired-capacity --desired-capacity {group.desired + 1} \\",
            f"  --auto-scaling-group-name {group.name}",
        ),
    )
