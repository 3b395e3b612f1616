"""
Reads all that the checks look at: the stack, the groups that it drains, and their clusters.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from drainer.cli.account.reader import Unread, UnreadError, attempt, each, existing
from drainer.cli.doctor import read_clusters, read_groups
from drainer.cli.doctor.facts import Account, Group
from drainer.cli.doctor.hook_checks import MANAGED, OwnHook, own_hooks
from drainer.cli.doctor.read_roles import read_role
from drainer.cli.doctor.read_stack import read_stack, topic
from drainer.cli.doctor.stack_facts import Topic
from drainer.cli.history.read_records import read_records, seconds_by_group

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from drainer.cli.account.reader import Reader
    from drainer.cli.doctor.facts import Role
    from drainer.cli.doctor.read_clusters import Found
    from drainer.cli.doctor.stack_facts import Stack

# How far back drains are compared with the hook's timeouts.
PAST = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked for: groups by name, none for all that the stack drains."""

    stack: str
    region: str
    groups: tuple[str, ...] = ()


def read_account(reader: Reader, wanted: Wanted, now: datetime) -> Account:
    """
    Return the account's facts.

    Raises:
        UnreadError: The groups could not be listed.
    """
    stack = attempt(read_stack, reader, wanted.stack, wanted.region, now)
    bodies = read_groups.listed(reader, wanted.groups)
    there = {body["AutoScalingGroupName"] for body in bodies}
    if missing := sorted(set(wanted.groups) - there):
        raise UnreadError(Unread(f"no group {missing[0]} in {wanted.region}", "NotFound"))
    found = read_clusters.read_clusters(reader)
    chosen, unhooked = _chosen(reader, wanted, bodies, stack, found)
    whole = [_with_clusters(reader, one, found) for one in chosen]
    past = _past(reader, stack, now)
    return Account(now, stack, tuple(_rest(reader, one, stack, past) for one in whole), unhooked)


def _chosen(
    reader: Reader,
    wanted: Wanted,
    bodies: Sequence[dict[str, Any]],
    stack: Stack | Unread,
    found: Found,
) -> tuple[list[Group], tuple[str, ...] | Unread]:
    """Return the groups to check, and the names of others that run tasks without any hook."""
    chosen: list[Group] = []
    unhooked: list[str] = []
    for body in bodies:
        name = body["AutoScalingGroupName"]
        hooks = attempt(read_groups.hooks, reader, name)
        bare = Group(name, hooks)
        # A group whose hooks were not read may be drained: it is shown.
        if wanted.groups or isinstance(hooks, Unread) or own_hooks(bare, stack):
            chosen.append(read_groups.group_of(reader, body, hooks))
        elif not any(hook.name == MANAGED for hook in hooks):
            clusters = found.of(one["InstanceId"] for one in body.get("Instances", ()))
            if not isinstance(clusters, Unread) and clusters:
                unhooked.append(name)
    if found.unread and not wanted.groups:
        return chosen, found.unread
    return chosen, tuple(unhooked)


def _with_clusters(reader: Reader, group: Group, found: Found) -> Group:
    clusters = found.of(one.id for one in group.instances)
    if isinstance(clusters, Unread):
        return replace(group, clusters=clusters, providers=found.providers_of(group.name))
    with_delays = group.uses_spot is True
    whole = tuple(
        replace(
            one,
            services=attempt(read_clusters.services, reader, one.name, with_delays=with_delays),
        )
        for one in clusters
    )
    return replace(group, clusters=whole, providers=found.providers_of(group.name))


def _rest(
    reader: Reader,
    group: Group,
    stack: Stack | Unread,
    past: Mapping[str, tuple[float, ...]] | Unread,
) -> Group:
    """Return a group with what its hooks point at, and how long its drains took."""
    hooks = () if isinstance(group.hooks, Unread) else group.hooks
    own = own_hooks(group, stack)
    targets = each(
        (hook.target for hook in hooks if ":sns:" in hook.target),
        lambda arn: _exists(reader, arn),
    )
    named = [one.policy.cluster for one in own]
    return replace(
        group,
        targets=targets,
        roles={one.hook.role: existing(_role, reader, one, stack) for one in own if one.hook.role},
        named_clusters=each(
            (name for name in named if name),
            lambda name: read_clusters.cluster_exists(reader, name),
        ),
        drain_seconds=past if isinstance(past, Unread) else past.get(group.name, ()),
    )


def _exists(reader: Reader, arn: str) -> bool | Unread:
    found = existing(topic, reader, arn)
    return found if isinstance(found, Unread) else found is not None


def _role(reader: Reader, own: OwnHook, stack: Stack | Unread) -> Role:
    """Return what the hook's role may do at the hook's own target."""
    target = Topic(own.hook.target)
    if not isinstance(stack, Unread) and isinstance(stack.topic, Topic):
        target = stack.topic if stack.topic.arn == own.hook.target else target
    return read_role(reader, own.hook.role, target)


def _past(
    reader: Reader, stack: Stack | Unread, now: datetime
) -> Mapping[str, tuple[float, ...]] | Unread:
    if isinstance(stack, Unread):
        return stack
    found = existing(read_records, reader, stack.resources.get("Records", ""), now - PAST)
    # The check of the table says that it is gone.
    if found is None or isinstance(found, Unread):
        return found or {}
    return seconds_by_group(found.records)
