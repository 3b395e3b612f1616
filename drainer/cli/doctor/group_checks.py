"""
The checks of a group: its hook, what launches its instances, and what keeps them from leaving.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from drainer.cli.doctor.facts import known
from drainer.cli.doctor.hook_checks import MANAGED, own_hooks
from drainer.cli.doctor.verdicts import warning, wrong

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from drainer.cli.account.reader import Unread
    from drainer.cli.doctor.facts import Group
    from drainer.cli.doctor.stack_facts import Stack
    from drainer.cli.doctor.verdicts import Finding

# A new ECS-optimized image comes about every two weeks. After three months an agent lacks fixes.
# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs-optimized_AMI.html
IMAGE_DAYS_MAX = 90
# What stops instances from leaving, and their successors from coming.
PROCESSES = {"Terminate": "No instance leaves.", "Launch": "No instance comes for one that leaves."}
RETAINED = "Terminating:Retained"
NAMED_MAX = 5


@dataclass(frozen=True, slots=True)
class Checked:
    """A group to be checked, with the stack and the instant."""

    group: Group
    stack: Stack | Unread
    now: datetime

    @property
    def name(self) -> str:
        """The group's name."""
        return self.group.name


def hook(one: Checked) -> Iterator[Finding]:
    """Find a group without a hook of the drainer."""
    hooks = known(one.group.hooks)
    if own_hooks(one.group, one.stack) or any(hook.name == MANAGED for hook in hooks):
        return
    yield wrong(
        f"{one.name} has no hook of the drainer.",
        "Its instances are terminated with their tasks.",
        f"drainer attach {one.name}",
    )


def cluster(one: Checked) -> Iterator[Finding]:
    """Find instances in service that no cluster knows."""
    serving = {each.id for each in one.group.instances if each.state == "InService"}
    registered = {id_ for each in known(one.group.clusters) for id_ in each.registered}
    if lost := sorted(serving - registered):
        judged = wrong if lost == sorted(serving) else warning
        yield judged(
            f"{len(lost)} of {len(serving)} instances are in no cluster: {_few(lost)}.",
            "They are released about half a minute after the notification, with what they run.",
            "Start their ECS agents, with ECS_CLUSTER set in /etc/ecs/ecs.config.",
        )


def policies(one: Checked) -> Iterator[Finding]:
    """Find simple scaling, which waits for each hook."""
    for name, kind in known(one.group.policies):
        if kind == "SimpleScaling":
            yield warning(
                f"The scaling policy {name} is of type SimpleScaling.",
                "Its cooldown begins after the drain: one drain holds all scaling.",
                "Use target tracking or step scaling: aws autoscaling put-scaling-policy "
                f"--auto-scaling-group-name {one.name} --policy-type TargetTrackingScaling ...",
            )


def protection(one: Checked) -> Iterator[Finding]:
    """Find scale-in protection that no capacity provider manages."""
    group = one.group
    protected = [each.id for each in group.instances if each.protected]
    if not protected and not group.new_protected:
        return
    if any(each.managed_protection for each in known(group.providers)):
        return
    what = f"{_few(protected)}" if protected else "new instances"
    yield warning(
        f"Scale-in protection is on for {what}.",
        "Scaling in passes them by, and an instance refresh waits for them and fails.",
        f"aws autoscaling set-instance-protection --auto-scaling-group-name {one.name} "
        f"--no-protected-from-scale-in --instance-ids {' '.join(protected[:NAMED_MAX])}".rstrip()
        if protected
        else f"aws autoscaling update-auto-scaling-group --auto-scaling-group-name {one.name} "
        "--no-new-instances-protected-from-scale-in",
    )


def launch_first(one: Checked) -> Iterator[Finding]:
    """Find a group that terminates an instance before its successor is in service."""
    maintenance = one.group.maintenance
    if maintenance is not None and min(maintenance) >= 100:  # noqa: PLR2004 (percent)
        return
    shown = "no instance maintenance policy"
    if maintenance is not None:
        shown = f"a maintenance policy of {maintenance[0]} to {maintenance[1]} %"
    yield warning(
        f"{one.name} has {shown}: it does not launch before it terminates.",
        "During a refresh or a replacement, tasks have one instance less to move to.",
        f"aws autoscaling update-auto-scaling-group --auto-scaling-group-name {one.name} "
        "--instance-maintenance-policy MinHealthyPercentage=100,MaxHealthyPercentage=110",
    )


def processes(one: Checked) -> Iterator[Finding]:
    """Find suspended processes without which no instance is replaced."""
    for name in one.group.suspended:
        if name in PROCESSES:
            yield warning(
                f"The process {name} of {one.name} is suspended.",
                PROCESSES[name],
                f"aws autoscaling resume-processes --auto-scaling-group-name {one.name} "
                f"--scaling-processes {name}",
            )


def retained(one: Checked) -> Iterator[Finding]:
    """Find instances that a hook has abandoned and that are billed since."""
    if found := [each.id for each in one.group.instances if each.state == RETAINED]:
        yield warning(
            f"{RETAINED}: {_few(found)}.",
            "Retained instances are billed until someone terminates them.",
            "aws autoscaling terminate-instance-in-auto-scaling-group "
            f"--no-should-decrement-desired-capacity --instance-id {found[0]}",
        )


def image(one: Checked) -> Iterator[Finding]:
    """Find an image that is gone or old."""
    found = known(one.group.image)
    if found is None:
        return
    if found.made_at is None:
        yield wrong(
            f"The image {found.id} does not exist.",
            "No new instance can be launched, so that tasks find no place to move to.",
            "aws ssm get-parameter --name "
            "/aws/service/ecs/optimized-ami/amazon-linux-2023/recommended/image_id",
        )
    elif (days := (one.now - found.made_at).days) > IMAGE_DAYS_MAX:
        yield warning(
            f"The image {found.id} is {days} days old, over {IMAGE_DAYS_MAX}.",
            "Its agent and kernel lack fixes, also of draining.",
            "aws ssm get-parameter --name "
            "/aws/service/ecs/optimized-ami/amazon-linux-2023/recommended/image_id",
        )


def _few(names: list[str]) -> str:
    more = f" and {len(names) - NAMED_MAX} more" if len(names) > NAMED_MAX else ""
    return ", ".join(names[:NAMED_MAX]) + more
