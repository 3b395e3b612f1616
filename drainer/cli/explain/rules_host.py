"""
Rules about the instance as a whole: the drainer, the agent, and what waits after the last task.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from drainer.cli.account.screen import counted
from drainer.cli.explain.causes import Cause, Pace
from drainer.cli.explain.drainers import WAITING, Hook, Stack
from drainer.cli.explain.finding import Action, Evidence, Finding

if TYPE_CHECKING:
    from datetime import datetime

    from drainer.cli.explain.facts import Facts

STACK = "drainer's stack"
# "The agent disconnects and reconnects several times an hour as part of its normal operation".
# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs_container_instance_events.html
BLINK = timedelta(minutes=5)


def next_sweep(facts: Facts) -> datetime | None:
    """Return when the sweep comes that takes a lost drain up again."""
    stack = facts.stack
    if stack is None or stack.last_sweep is None:
        return None
    interval = timedelta(minutes=stack.sweep_minutes)
    missed = max(0, (facts.now - stack.last_sweep) // interval)
    return stack.last_sweep + (missed + 1) * interval


def own_hook(facts: Facts) -> Hook | None:
    """Return the hook that notifies the drainer's topic."""
    if facts.stack is None or facts.group is None:
        return None
    for hook in facts.group.hooks or ():
        if hook.target_arn and hook.target_arn == facts.stack.topic_arn:
            return hook
        if facts.drain and hook.name == facts.drain.hook:
            return hook
    return None


def is_waiting(facts: Facts) -> bool:
    """Whether Auto Scaling waits for a hook of the instance."""
    return facts.group is not None and facts.group.lifecycle_state in WAITING


class Symptom(NamedTuple):
    """Why the drainer does not go on with a drain, as far as its stack shows."""

    cause: Cause
    clause: str
    brief: str
    why: str
    action: Action
    evidence: Evidence | None = None


def drainer(facts: Facts) -> list[Finding]:
    """The drainer itself does not work on this drain."""
    stack, drain = facts.stack, facts.drain
    if stack is None or not (drain or (own_hook(facts) and is_waiting(facts))):
        return []
    if drain and drain.ended:
        return []
    if stack.disabled:
        return [_disabled(facts, stack.disabled)]
    if not (drain.silent if drain else facts.is_record_read):
        return []
    at = next_sweep(facts)
    found = _symptom(stack, "the sweep at {until}" if at else "the sweep")
    swept = at is not None and found.cause in {Cause.CHAIN_LOST, Cause.DEAD_LETTERS}
    return [
        Finding(
            cause=found.cause,
            pace=Pace.WAITS if swept else Pace.STUCK,
            clauses=(found.clause,),
            brief=found.brief,
            until=at,
            evidence=(*([found.evidence] if found.evidence else []), last_write(facts)),
            actions=(found.action,),
            how=f"{found.why}. The sweep comes every {counted(stack.sweep_minutes, 'minute')}.",
        )
    ]


def _symptom(stack: Stack, sweep: str) -> Symptom:
    if stack.throttles:
        return Symptom(
            Cause.FUNCTION_THROTTLED,
            "the drainer's function: Lambda throttles it",
            "throttled",
            "Lambda's concurrency is used up",
            Action("Raise the account's or the function's concurrency."),
            Evidence(f"{counted(stack.throttles, 'throttle')} in 15m", "CloudWatch"),
        )
    if stack.errors:
        return Symptom(
            Cause.FUNCTION_FAILING,
            "the drainer's function: its invocations fail",
            "function fails",
            "The function fails",
            Action(
                "Read its log:",
                (f"make log STACK={stack.name} FIND='?ERROR ?errorType ?timeout'",),
            ),
            Evidence(f"{counted(stack.errors, 'failed invocation')} in 15m", "CloudWatch"),
        )
    if stack.dead_letters:
        letters = counted(stack.dead_letters, "dead letter")
        return Symptom(
            Cause.DEAD_LETTERS,
            f"{sweep}: {letters}",
            "dead letters",
            "The message failed 5 times",
            Action("Show them, then send them again:", (f"drainer redrive --stack {stack.name}",)),
            Evidence(letters, "SQS"),
        )
    return Symptom(
        Cause.CHAIN_LOST,
        f"{sweep}: the drainer's chain is lost",
        "chain lost",
        "A message was lost",
        Action("Wait for the sweep: it takes the drain up again."),
    )


def last_write(facts: Facts) -> Evidence:
    """Return when the drainer last wrote the record as evidence."""
    if facts.drain is None:
        return Evidence("no record of this drain: no notification has been handled", "record")
    return Evidence(f"last pass (hop {facts.drain.hop})", "record", facts.drain.written_at)


def _disabled(facts: Facts, what: tuple[str, ...]) -> Finding:
    hook = own_hook(facts)
    result = hook.default_result if hook else "its default result"
    return Finding(
        cause=Cause.FUNCTION_DISABLED,
        pace=Pace.STUCK,
        clauses=("the drainer's function: it is disabled", "the drainer: it is disabled"),
        brief="function disabled",
        evidence=(*(Evidence(one, STACK) for one in what), last_write(facts)),
        actions=(Action("Enable it again, or update the stack."),),
        how=f"Without a heartbeat the hook applies {result} after its heartbeat timeout.",
    )


def agent(facts: Facts) -> list[Finding]:
    """The ECS agent is not connected, so that orders to stop do not arrive."""
    instance = facts.instance
    if instance.agent_connected or not facts.remaining:
        return []
    if instance.heard_at and facts.now - instance.heard_at < BLINK:
        return []
    heard = ": disconnected since {since} ({ago})" if instance.heard_at else ": it is disconnected"
    orders = [task for task in facts.remaining if not task.wanted]
    return [
        Finding(
            cause=Cause.AGENT_DISCONNECTED,
            pace=Pace.STUCK,
            clauses=(f"its ECS agent{heard}", "its ECS agent: disconnected"),
            brief="agent",
            since=instance.heard_at,
            evidence=(
                Evidence(
                    f"agentConnected false, version {instance.agent_version or 'unknown'}",
                    "ECS instances",
                    instance.heard_at,
                ),
                Evidence(
                    f"{counted(len(orders), 'task')} told to stop, not stopped", "DescribeTasks"
                ),
            ),
            actions=(
                Action(
                    "Restart the agent. It reports its tasks then:",
                    (
                        "aws ssm send-command --document-name AWS-RunShellScript \\",
                        f"  --instance-ids {instance.ec2_instance_id} \\",
                        "  --parameters 'commands=[\"systemctl restart ecs\"]'",
                    ),
                ),
                Action("If the instance is lost, end it: its tasks end with it."),
            ),
            how="A disconnected agent reports nothing.",
        )
    ]


def unread(facts: Facts) -> list[Finding]:
    """The tasks could not be read, so that only the rest can be explained."""
    if facts.tasks is not None:
        return []
    why = next((one for one in facts.unread if one.what in {"ListTasks", "DescribeTasks"}), None)
    said = f"{why.what}: {why.why}" if why else "no answer"
    return [
        Finding(
            cause=Cause.UNREAD,
            pace=Pace.STUCK,
            clauses=("something that was not read: its tasks", "what was not read"),
            brief="not read",
            evidence=(Evidence(said, "ECS"),),
            actions=(Action("Allow the reads of docs/causes.md, or try again."),),
            how="Without the tasks it cannot be said.",
        )
    ]
