"""
The checks of the stack's function: whether it runs, and who hears of it if it does not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from drainer.cli.doctor.facts import known
from drainer.cli.doctor.stack_checks import deploy, existing
from drainer.cli.doctor.verdicts import warning, wrong
from drainer.config import Config
from drainer.errors import MisconfiguredError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from drainer.cli.doctor.stack_facts import Stack
    from drainer.cli.doctor.verdicts import Finding

# Two batches of each of four queues, a sweep and an event: with less, Lambda throttles batches.
RESERVED_MIN = 10


def function_state(stack: Stack) -> Iterator[Finding]:
    """Find a function that is gone, not active, or may not run."""
    function = known(stack.function)
    if function is None:
        effect = "No instance is drained: each hook times out."
        yield wrong("The function does not exist.", effect, deploy(stack))
        return
    if function.state not in {"Active", "Inactive"} or function.update_status == "Failed":
        yield wrong(
            f"The function is {function.state}, its last update {function.update_status}.",
            "It may not run, or runs an older version.",
            f"aws lambda get-function-configuration --function-name {function.name}",
        )
    reserved = known(function.reserved)
    if reserved == 0:
        yield wrong(
            "The function's reserved concurrency is 0.",
            "Lambda throttles every invocation: no instance is drained.",
            f"aws lambda delete-function-concurrency --function-name {function.name}",
        )
    elif reserved is not None and reserved < RESERVED_MIN:
        yield warning(
            f"The function's reserved concurrency is {reserved}, under {RESERVED_MIN}.",
            "In a crowd Lambda throttles batches, and messages can become dead letters.",
            f"aws lambda put-function-concurrency --function-name {function.name} "
            f"--reserved-concurrent-executions {RESERVED_MIN}",
        )


def settings(stack: Stack) -> Iterator[Finding]:
    """Find settings that the function rejects, or that name another topic or table."""
    function = existing(stack)
    effect = "The function fails at its start, or its messages go elsewhere."
    try:
        given = Config.from_environment(function.environment)
    except MisconfiguredError as error:
        yield wrong(str(error), effect, deploy(stack))
        return
    for name, there, own in (
        ("DRAINER_TOPIC_ARN", given.topic_arn, stack.topic_arn),
        ("DRAINER_RECORDS_TABLE", given.records_table, stack.resources.get("Records", "")),
    ):
        if there != own:
            yield wrong(f"{name} is {there or 'empty'}, not {own}.", effect, deploy(stack))


def recursion(stack: Stack) -> Iterator[Finding]:
    """Find recursive-loop detection, which ends every chain of re-invocations."""
    if not stack.topic_arn.startswith("arn:aws:"):
        return  # Lambda detects loops in the commercial Regions only (infra/drainer.yaml).
    function = existing(stack)
    if known(function.recursive_loop) != "Allow":
        yield wrong(
            f"RecursiveLoop is {function.recursive_loop}, not Allow.",
            "Lambda ends a drain's chain after about 16 passes, without an error.",
            f"aws lambda put-function-recursion-config --function-name {function.name} "
            "--recursive-loop Allow",
        )


def errors(stack: Stack) -> Iterator[Finding]:
    """Find invocations that failed or were throttled in the last 24 hours."""
    day = known(stack.day)
    log = f"make log STACK={stack.name} FIND='?ERROR ?errorType ?timeout'"
    if day.errors:
        effect = "Their messages are delivered again in 3 minutes: drains take longer."
        yield warning(f"{day.errors} invocations failed in 24 hours.", effect, log)
    if day.throttles:
        yield warning(
            f"Lambda throttled {day.throttles} invocations in 24 hours.",
            "Notifications wait, and a hook without a heartbeat applies its default result.",
            "aws lambda get-account-settings --query AccountLimit",
        )


def sweep(stack: Stack) -> Iterator[Finding]:
    """Find rules of EventBridge that do not run, and a function that no sweep has invoked."""
    for name, value in stack.rules.items():
        rule = known(value)
        if rule is None or rule.state != "ENABLED":
            shown = rule.name if rule else stack.resources.get(name, name)
            judged = wrong if name == "Sweep" else warning
            yield judged(
                f"The rule {name} is {rule.state if rule else 'missing'}.",
                "Lost messages are not found again."
                if name == "Sweep"
                else "Answers come up to 75 s after the last task has stopped.",
                f"aws events enable-rule --name {shown}",
            )
    if not known(stack.day).invocations:
        yield wrong(
            "The function was not invoked in 24 hours.",
            "Sweeps do not run, so that lost messages are not found again.",
            f"aws lambda get-policy --function-name {existing(stack).name}",
        )


def table(stack: Stack) -> Iterator[Finding]:
    """Find a table of records that the function cannot use."""
    status = known(stack.table)
    if status not in {"ACTIVE", "UPDATING"}:
        yield wrong(
            f"The table of records is {status or 'missing'}.",
            "Lost messages are not found again, and duplicates fork chains.",
            deploy(stack),
        )


def alarms(stack: Stack) -> Iterator[Finding]:
    """Find alarms that are missing, notify no one, or ring now."""
    expected = {name for name in stack.resources if name.endswith("Alarm")}
    found = {one.name: one for one in known(stack.alarms)}
    silent: list[str] = []
    for logical_id in sorted(expected):
        alarm = found.get(stack.resources[logical_id])
        if alarm is None:
            effect = "Its fault is not reported."
            yield warning(f"The alarm {logical_id} does not exist.", effect, deploy(stack))
        elif not alarm.enabled or not any(_is_heard(stack, one) for one in alarm.actions):
            silent.append(logical_id)
        elif alarm.state == "ALARM":
            yield warning(
                f"{logical_id} is in state ALARM.",
                "Its description says the harm and the command to run.",
                f"aws cloudwatch describe-alarms --alarm-names {alarm.name}",
            )
    if silent:
        yield warning(
            f"No one is notified by {len(silent)} alarms: {', '.join(silent)}.",
            "A fault shows in the console only.",
            f"{deploy(stack)} PARAMETERS=AlarmTopicArn=..., and confirm a subscription of it.",
        )


def _is_heard(stack: Stack, action: str) -> bool:
    """Whether an action reaches a listener; what is no topic is one."""
    return action not in stack.listeners or bool(known(stack.listeners[action]))


def attached(stack: Stack) -> Iterator[Finding]:
    """Find stacks that attach a group that no longer exists."""
    there = known(stack.attached_groups)
    for one in known(stack.attached):
        if one.group and one.group not in there:
            yield warning(
                f"The stack {one.stack} attaches {one.group}, which does not exist.",
                "Its hook and role outlive the group. A new group of that name has no hook.",
                f"aws cloudformation delete-stack --stack-name {one.stack}",
            )
