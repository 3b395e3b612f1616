"""
The checks of a group's hook: whether its notification arrives, and how long it holds an instance.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from drainer.cli.account.reader import Unread
from drainer.cli.account.screen import short
from drainer.cli.doctor.facts import known
from drainer.cli.doctor.stack_checks import config
from drainer.cli.doctor.verdicts import warning, wrong
from drainer.config import Config, is_own_metadata
from drainer.drain.model import DRAIN_TIMEOUT_SECONDS_MAX, LifecycleActionResult
from drainer.lifecycle.look import GLOBAL_TIMEOUT_MARGIN_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from drainer.cli.doctor.facts import Group, Hook
    from drainer.cli.doctor.stack_facts import Stack
    from drainer.cli.doctor.verdicts import Finding
    from drainer.drain.model import Policy

# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/managed-instance-draining.html
MANAGED = "ecs-managed-draining-termination-hook"
# The default of HookName in infra/attach.yaml.
HOOK_NAME = "drainer"
# aws-cdk's InstanceDrainHook names its hook "...LifecycleHookDrainHook...", the AWS sample
# ecs-cid-sample "ASGTerminateHook", and their topics alike. Other drainers say what they do.
OTHER_DRAINERS = re.compile(r"drain|ASGTerminateHook|ASGSNSTopic", re.IGNORECASE)

# The answer comes so many passes before the global timeout, and a margin (lifecycle/look.py).
PASSES_BEFORE_THE_END = 4
# A heartbeat is sent when half of the timeout has passed, by a pass of a chain.
PASSES_IN_A_TIMEOUT = 3
# The longest time until a sweep goes on with a chain that was lost (SweepIntervalMinutes <= 5),
# while half of the timeout has passed already.
SWEEP_SECONDS = 300
UNDRAINED = "Auto Scaling applies the default result at once: instances go undrained."
HEARTBEAT = "--heartbeat-timeout-seconds 1800"
TIMES_OUT = "Instances wait until the hook times out, and go undrained."


@dataclass(frozen=True, slots=True)
class OwnHook:
    """A hook of the drainer, with its group and the drainer's stack."""

    hook: Hook
    group: Group
    stack: Stack | Unread

    @property
    def config(self) -> Config:
        """The function's settings; the defaults where they were not read."""
        if isinstance(self.stack, Unread):
            return Config(topic_arn=self.hook.target)
        return config(self.stack)

    @property
    def policy(self) -> Policy:
        """What the drains of this hook follow, read as the function reads it."""
        return self.config.policy(self.hook.metadata)[0]

    @property
    def limit_seconds(self) -> int:
        """How long a drain may last before it must be answered."""
        passes = PASSES_BEFORE_THE_END * self.config.pass_interval_seconds
        return self.hook.global_seconds - GLOBAL_TIMEOUT_MARGIN_SECONDS - passes


def is_own(hook: Hook, topic_arn: str) -> bool:
    """Whether a hook is the drainer's: by its target, its metadata or its name."""
    named = hook.name == HOOK_NAME or is_own_metadata(hook.metadata)
    return hook.target == topic_arn or (named and (":sns:" in hook.target or not hook.target))


def own_hooks(group: Group, stack: Stack | Unread) -> list[OwnHook]:
    """Return the drainer's hooks of a group; none where its hooks were not read."""
    if isinstance(group.hooks, Unread):
        return []
    topic_arn = "" if isinstance(stack, Unread) else stack.topic_arn
    return [OwnHook(one, group, stack) for one in group.hooks if is_own(one, topic_arn)]


def attach(own: OwnHook, options: str = "") -> str:
    """Return the command that changes the hook, where a stack of infra/attach.yaml made it."""
    if not _is_attached(own):
        return f"Change the hook {own.hook.name} where it was made: {options or 'its template'}"
    return f"drainer attach {own.group.name} {options}".rstrip()


def again(own: OwnHook) -> str:
    """Return the commands that make hook and role again: CloudFormation updates no drift."""
    name = own.group.name
    if not _is_attached(own):
        return attach(own)
    return f"drainer detach {name}, then drainer attach {name}"


def _is_attached(own: OwnHook) -> bool:
    """Whether a stack of infra/attach.yaml has made the hook, as far as was read."""
    if isinstance(own.stack, Unread) or isinstance(own.stack.attached, Unread):
        return True
    return any(one.group == own.group.name for one in own.stack.attached)


def target(own: OwnHook) -> Iterator[Finding]:
    """Find a hook that notifies a topic that is gone, or another one."""
    hook = own.hook
    if not hook.target:
        # EventBridge has its notifications, which a rule of the stack may serve.
        if "EventBridgeNotices" not in known(own.stack).resources:
            yield wrong(f"{hook.name} has no notification target.", TIMES_OUT, again(own))
        return
    if not known(own.group.targets.get(hook.target, Unread("the target was not read"))):
        yield wrong(
            f"{hook.name} notifies {hook.target}, which does not exist.", UNDRAINED, again(own)
        )
        return
    stack = known(own.stack)
    if hook.target != stack.topic_arn:
        yield wrong(
            f"{hook.name} notifies {hook.target}, not the topic of the stack {stack.name}.",
            TIMES_OUT,
            f"{again(own)}. Or name the other stack: drainer doctor --stack ...",
        )


def role(own: OwnHook) -> Iterator[Finding]:
    """Find a role with which Auto Scaling cannot publish the notification."""
    hook = own.hook
    if not hook.target:
        return
    found = known(own.group.roles.get(hook.role, Unread("the role was not read")))
    name = hook.role.rpartition("/")[2] or "(none)"
    if found is None:
        yield wrong(f"The role {name} of {hook.name} does not exist.", UNDRAINED, again(own))
        return
    if not found.trusted:
        sentence = f"Auto Scaling may not assume the role {name}."
        yield wrong(sentence, UNDRAINED, again(own))
    if denied := known(found.denied):
        evaluated = "by IAM's simulation" if found.simulated else "by its policies"
        yield wrong(
            f"The role {name} may not call {', '.join(denied)} ({evaluated}).",
            UNDRAINED,
            again(own),
        )


def metadata(own: OwnHook) -> Iterator[Finding]:
    """Find metadata that the function would not follow, or that names a wrong cluster."""
    policy, problems = own.config.policy(own.hook.metadata)
    for problem in problems:
        yield wrong(
            f"NotificationMetadata of {own.hook.name}: {problem}.",
            "The function follows the stack's setting instead.",
            attach(own),
        )
    if policy.cluster is None:
        return
    cluster = policy.cluster.rpartition("/")[2]
    exists = own.group.named_clusters.get(policy.cluster, Unread("the cluster was not read"))
    if not known(exists):
        yield wrong(
            f"The metadata names the cluster {cluster}, which does not exist.",
            "Each drain searches all clusters first, and the log says misconfigured.",
            attach(own, "--cluster ..."),
        )
        return
    there = [one.name for one in known(own.group.clusters)]
    if there and cluster not in there:
        yield warning(
            f"The metadata names the cluster {cluster}, the instances are in {there[0]}.",
            "Each drain searches all clusters first, and the log says misconfigured.",
            attach(own, f"--cluster {there[0]}"),
        )


def heartbeat(own: OwnHook) -> Iterator[Finding]:
    """Find a heartbeat timeout that ends drains before they are done."""
    hook, seconds = own.hook, own.hook.heartbeat_seconds
    fix = attach(own, HEARTBEAT)
    interval = own.config.pass_interval_seconds
    if seconds < PASSES_IN_A_TIMEOUT * interval:
        yield wrong(
            f"{hook.name}: heartbeat timeout {seconds} s, passes every {interval} s.",
            "The default result applies between two passes: instances go undrained.",
            fix,
        )
    elif seconds <= 2 * SWEEP_SECONDS:
        yield warning(
            f"{hook.name}: heartbeat timeout {seconds} s, two sweeps are {2 * SWEEP_SECONDS} s.",
            "If a message is lost, the hook times out before a sweep goes on.",
            fix,
        )
    if (timeout := own.policy.drain_timeout_seconds) > own.limit_seconds and _is_set(own):
        yield warning(
            f"The deadline of {short(timeout)} is above the hook's limit, "
            f"{short(own.limit_seconds)} (100 heartbeats).",
            "The hook's limit is the deadline.",
            fix,
        )
    if longest := max(known(own.group.drain_seconds), default=0):
        until = min(own.limit_seconds, own.policy.drain_timeout_seconds)
        if longest >= until:
            longer = min(DRAIN_TIMEOUT_SECONDS_MAX, round(2 * longest))
            yield wrong(
                f"A drain here lasted {short(longest)}, and at most {short(until)} is allowed.",
                "The deadline passes while tasks run, and they are killed.",
                attach(own, f"{HEARTBEAT} --drain-timeout-seconds {longer}"),
            )


def _is_set(own: OwnHook) -> bool:
    """Whether a deadline was chosen: the default is as long as the hook allows."""
    return own.policy.drain_timeout_seconds != Config(topic_arn="").drain_timeout_seconds


def default_result(own: OwnHook) -> Iterator[Finding]:
    """Find an ABANDON that ends other hooks, or that retains no instance."""
    others = [one.name for one in known(own.group.hooks) if one != own.hook]
    if own.hook.default_result == LifecycleActionResult.ABANDON and others:
        yield warning(
            f"The default result of {own.hook.name} is ABANDON, beside {', '.join(others)}.",
            "If this hook times out, Auto Scaling skips the other hooks.",
            attach(own, "--default-result CONTINUE"),
        )
    if own.policy.deadline_result == LifecycleActionResult.ABANDON and not own.group.retains:
        yield warning(
            "DeadlineResult is ABANDON, and the group retains no instance.",
            "At the deadline the instance is terminated, as with CONTINUE.",
            f"aws autoscaling update-auto-scaling-group --auto-scaling-group-name {own.group.name}"
            " --instance-lifecycle-policy RetentionTriggers={TerminateHookAbandon=retain}",
        )


def lifetime(own: OwnHook) -> Iterator[Finding]:
    """Find a hook that is deleted before its group."""
    resources = known(own.group.own_stack) or ()
    kinds = {one.type for one in resources if one.physical_id == own.hook.name}
    if "AWS::AutoScaling::LifecycleHook" in kinds:
        yield warning(
            f"{own.hook.name} is a resource of its own in the stack of its group.",
            "CloudFormation deletes it before the group, whose instances then go undrained.",
            "Put it into the group's LifecycleHookSpecificationList "
            "(infra/examples/group-with-hook.yaml).",
        )


def managed_draining(own: OwnHook) -> Iterator[Finding]:
    """Find ECS managed instance draining on the same group."""
    if any(one.name == MANAGED for one in known(own.group.hooks)):
        yield warning(
            "ECS managed instance draining holds this group's instances too.",
            "Auto Scaling waits for both: at the drainer's deadline the instance stays.",
            "aws ecs update-capacity-provider --name ... --auto-scaling-group-provider "
            "managedDraining=DISABLED, or remove the drainer's hook.",
        )


def second_drainer(own: OwnHook) -> Iterator[Finding]:
    """Find hooks of other drainers, and hooks whose target is gone."""
    for one in known(own.group.hooks):
        if one == own.hook or one.name == MANAGED:
            continue
        if not known(own.group.targets.get(one.target, True)):
            yield warning(
                f"The hook {one.name} notifies {one.target}, which does not exist.",
                f"Its default result, {one.default_result}, applies at once.",
                _delete(own, one),
            )
        elif OTHER_DRAINERS.search(f"{one.name} {one.target}"):
            yield warning(
                f"The hook {one.name} looks like a second drainer.",
                "Auto Scaling waits for both, and both set instances DRAINING.",
                _delete(own, one),
            )


def _delete(own: OwnHook, hook: Hook) -> str:
    return (
        f"aws autoscaling delete-lifecycle-hook --lifecycle-hook-name {hook.name} "
        f"--auto-scaling-group-name {own.group.name}"
    )
