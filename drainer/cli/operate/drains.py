"""
What `drain` and `undrain` are about to do. Pure.
"""

from __future__ import annotations

import re
from itertools import groupby
from typing import TYPE_CHECKING

from drainer.aws.calls import chunks
from drainer.aws.ecs import UPDATE_STATE_MAX
from drainer.cli.account.screen import counted
from drainer.cli.operate.facts import BY_HAND, DRAINED_WHY
from drainer.cli.operate.plan import (
    EXIT_NOT_FOUND,
    EXIT_UNREAD,
    Call,
    Item,
    Plan,
    Refusal,
    Step,
    tasks_in,
)
from drainer.drain.attributes import DRAINED_BY

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from drainer.cli.operate.facts import Machine, Registration

ACTIVE, DRAINING = "ACTIVE", "DRAINING"
# "The value of the attribute. The value must contain between 1 and 128 characters. It can contain
# letters (uppercase and lowercase), numbers, hyphens (-), underscores (_), periods (.), at signs
# (@), forward slashes (/), back slashes (\), colons (:), or spaces. The value can't start or end
# with a space." https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Attribute.html
VALUE_CHARACTERS_MAX = 128
NOT_IN_A_VALUE = re.compile(r"[^A-Za-z0-9\-_.@/\\: ]")

Pair = tuple["Machine", "Registration"]


def drain(machines: Sequence[Machine], who: str, why: str, now: datetime) -> Plan | Refusal:
    """Plan to set container instances DRAINING, and to keep who has done it and why."""
    if refusal := not_to_be_changed(machines):
        return refusal
    pairs = [(one, registration) for one in machines for registration in one.registrations]
    active = [pair for pair in pairs if pair[1].status == ACTIVE]
    # Without the attribute the drainer could set ACTIVE what is back from a drain of its own.
    unmarked = [pair for pair in pairs if pair in active or DRAINED_BY not in pair[1].attributes]
    about = [_about_draining(one, registration) for one, registration in pairs]
    if not unmarked:
        return Plan(tuple(about))
    note = f"{now:%Y-%m-%dT%H:%M:%SZ} {short_name(who)}"
    values = {DRAINED_BY: value(note), DRAINED_WHY: value(why)}
    notes = [_note(pair, {name: one for name, one in values.items() if one}) for pair in unmarked]
    ids = " ".join(dict.fromkeys(one.id for one, _ in unmarked))
    if active:
        about.append("Sets DRAINING, does not terminate.")
    return Plan(
        tuple(about),
        (*_set_status(active, DRAINING), *notes),
        next_step=f"Undo: drainer undrain {ids}",
    )


def undrain(machines: Sequence[Machine]) -> Plan | Refusal:
    """Plan to set container instances ACTIVE again."""
    if refusal := not_to_be_changed(machines):
        return refusal
    for one in machines:
        if refusal := _stays_draining(one):
            return refusal
    pairs = [(one, registration) for one in machines for registration in one.registrations]
    draining = [pair for pair in pairs if pair[1].status == DRAINING]
    about = [_about_activating(one, registration) for one, registration in pairs]
    # Those of an ACTIVE one are left over: ACTIVE was set in another way, or they were not deleted.
    notes = [_unnote(pair) for pair in pairs if set(pair[1].attributes) & set(BY_HAND)]
    return Plan(tuple(about), (*_set_status(draining, ACTIVE), *notes))


def not_to_be_changed(machines: Sequence[Machine]) -> Refusal | None:
    """Return why instances are not changed: all of them must have been found."""
    for one in machines:
        if not one.registrations and one.unread:
            return Refusal(
                f"{one.id} was not found, and not all was read: {one.unread[0]}",
                "no changes made",
                EXIT_UNREAD,
            )
        if not one.registrations:
            return Refusal(
                f"{one.id} is in none of {counted(one.clusters, 'cluster')}",
                "check the id, --cluster and --region",
                EXIT_NOT_FOUND,
            )
        for registration in one.registrations:
            if registration.status not in (ACTIVE, DRAINING):
                return Refusal(
                    f"{one.id} is {registration.status} in cluster {registration.cluster_name}",
                    "ECS changes ACTIVE and DRAINING container instances only",
                )
    return None


def _stays_draining(one: Machine) -> Refusal | None:
    if one.waits:
        return Refusal(
            f"{one.id} waits in {one.state}: the drainer would set it DRAINING again",
            f"it leaves its group. Let it go: drainer release {one.id}",
        )
    if one.state.startswith(("Terminating", "Warmed:Terminating", "Detaching")):
        return Refusal(f"{one.id} is {one.state}", "an instance that leaves cannot be kept")
    if any(registration.is_interrupted for registration in one.registrations):
        return Refusal(f"{one.id} is taken back by Spot", "its tasks have to leave it")
    return None


def _about_draining(one: Machine, registration: Registration) -> str:
    text = f"{one.id} ({one.where}): {tasks_in(registration.remaining)}."
    if registration.status == DRAINING and DRAINED_BY in registration.attributes:
        return f"nothing to do: {text[:-1]}. It is DRAINING already."
    if registration.status == DRAINING:
        return f"{text} It is DRAINING already, and stays so: who and why are kept."
    if not registration.agent_connected:
        text += " Its ECS agent is disconnected: its tasks stop once it is back."
    return text


def _about_activating(one: Machine, registration: Registration) -> str:
    text = f"{one.id} ({one.where})"
    if registration.status == ACTIVE and set(registration.attributes) & set(BY_HAND):
        return f"{text} is ACTIVE: the attributes of an earlier drain are deleted."
    if registration.status == ACTIVE:
        return f"nothing to do: {text} is ACTIVE."
    if registration.is_for_a_stack:
        text += " is drained for a stack, whose request sets it DRAINING again until it has ended"
    return f"{text}: ECS places tasks on it again. Tasks that have moved stay where they are."


def _set_status(pairs: Sequence[Pair], status: str) -> list[Step]:
    """Return the calls, each for one cluster and as many as ECS takes."""
    steps = []
    by_cluster = groupby(sorted(pairs, key=_cluster), key=_cluster)
    for cluster, members in by_cluster:
        for some in chunks(list(members), UPDATE_STATE_MAX):
            parameters = {
                "cluster": cluster,
                "containerInstances": [registration.arn for _, registration in some],
                "status": status,
            }
            call = Call("ecs", "UpdateContainerInstancesState", parameters)
            steps.append(Step(call, tuple(_item(pair, status) for pair in some)))
    return steps


def _item(pair: Pair, status: str) -> Item:
    one, registration = pair
    data = {
        "instance": one.id,
        "cluster": registration.cluster_name,
        "group": one.group or None,
        "status": status,
        "tasks": len(registration.remaining),
    }
    return Item(one.id, f"{one.id} is {status}.", registration.arn, data)


def _note(pair: Pair, values: dict[str, str]) -> Step:
    one, registration = pair
    attributes = [
        {"name": name, "value": text, **_target(registration)} for name, text in values.items()
    ]
    call = Call("ecs", "PutAttributes", {"cluster": registration.cluster, "attributes": attributes})
    failed = f"{one.id} is DRAINING, but who and why were not kept"
    return Step(call, failed=failed, after=_if_changed(registration, ACTIVE))


def _unnote(pair: Pair) -> Step:
    one, registration = pair
    attributes = [
        {"name": name, **_target(registration)}
        for name in BY_HAND
        if name in registration.attributes
    ]
    parameters = {"cluster": registration.cluster, "attributes": attributes}
    failed = f"{one.id} is ACTIVE, but its attributes {', '.join(BY_HAND)} stay"
    call = Call("ecs", "DeleteAttributes", parameters)
    return Step(call, failed=failed, after=_if_changed(registration, DRAINING))


def _if_changed(registration: Registration, status: str) -> str:
    """Return what must have been changed before, where it has the status that is changed."""
    return registration.arn if registration.status == status else ""


def _target(registration: Registration) -> dict[str, str]:
    return {"targetType": "container-instance", "targetId": registration.arn.rpartition("/")[2]}


def _cluster(pair: Pair) -> str:
    return pair[1].cluster


def short_name(arn: str) -> str:
    """Return a caller without account: `assumed-role/ops/anna` of an ARN of STS."""
    return arn.split(":", 5)[-1]


def value(text: str) -> str:
    """Return what ECS takes as an attribute's value: other characters become a `_`."""
    return NOT_IN_A_VALUE.sub("_", text).strip()[:VALUE_CHARACTERS_MAX].strip()
