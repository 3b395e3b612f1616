"""
What `release`, `extend` and `retained free` are about to do. Pure.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, timedelta
from typing import TYPE_CHECKING, Any

from drainer.aws.record_expressions import attributes, update
from drainer.cli.account.screen import counted, duration, time_of
from drainer.cli.operate import durations
from drainer.cli.operate.plan import EXIT_NOT_FOUND, Call, Item, Plan, Refusal, Step
from drainer.drain import record_codec
from drainer.drain.conditional_write import Condition, Demand, Write
from drainer.drain.earlier_looks import extended
from drainer.lifecycle.look import GLOBAL_TIMEOUT_MARGIN_SECONDS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from drainer.cli.operate.facts import Machine, SeenTask, Table
    from drainer.drain.model import Hook
    from drainer.drain.record import DrainRecord

TASKS_SHOWN_MAX = 40
TASK_CHARACTERS = 8
# An extension must be written before the deadline by the clock of the function.
CLOCKS_DIFFER = timedelta(seconds=30)
# The last characters of the instance's id, which are typed to release it.
TYPED_CHARACTERS = 4
# These writes keep every other field, `expires_at` too, so that none is used.
NO_RETENTION = timedelta(0)


def release(
    machine: Machine, hook_name: str, now: datetime, table: str = "", who: str = ""
) -> Plan | Refusal:
    """
    Plan to answer CONTINUE at a terminating hook, whatever still runs.

    Args:
        machine: The instance.
        hook_name: The hook; empty: the only one.
        now: The present instant.
        table: The drainer's table, where the record says who has released it; empty for none.
        who: The caller's ARN.
    """
    hook = _hook_of(machine, hook_name)
    if isinstance(hook, Refusal):
        return hook
    tasks = machine.remaining
    leaves = "Auto Scaling then terminates it" if machine.state == "Terminating:Wait" else (
        f"it leaves {machine.state}"
    )  # fmt: skip
    others = [one.name for one in machine.hooks if one.name != hook.name]
    if others:
        leaves += f" once {', '.join(others)} is answered too"
    cuts = f"cuts {_number(tasks)}" if tasks else "cuts no task"
    title = f"Releasing {machine.id} ({machine.group}) now {cuts}{':' if tasks else '.'}"
    unread = [f"? Not read: {one}. It may have more tasks." for one in machine.unread]
    about = (
        title,
        *_table(tasks, now),
        *unread,
        f"Sends CONTINUE to hook {hook.name}; {leaves}. No undo.",
    )
    records = _records(machine, hook)
    call = Call("autoscaling", "CompleteLifecycleAction", _answer(machine, hook, records))
    data = {
        "instance": machine.id,
        "group": machine.group,
        "hook": hook.name,
        "result": "CONTINUE",
        "tasks_cut": [{"task": one.id, "owner": one.group, "status": one.status} for one in tasks],
    }
    done = f"Released {machine.id}: {_number(tasks)} cut."
    step = Step(call, (Item(machine.id, done, machine.id, data),))
    # After the answer: Auto Scaling may refuse that.
    notes = [_note(one, table, who, machine.id) for one in records if table and who]
    typed = machine.id[-TYPED_CHARACTERS:]
    asks = bool(tasks or unread)
    question = f"Type the last {TYPED_CHARACTERS} characters of the instance id to go on"
    return Plan(about, (step, *notes), question if asks else "", typed)


def _hook_of(machine: Machine, name: str) -> Hook | Refusal:
    if not machine.group:
        return Refusal(f"{machine.id} is in no Auto Scaling group", "check the id and --region",
                       EXIT_NOT_FOUND)  # fmt: skip
    if not machine.waits:
        return Refusal(
            f"{machine.id} is {machine.state} in {machine.group} and waits at no hook",
            "only an instance that waits can be released. drainer status lists drains",
            EXIT_NOT_FOUND,
        )
    names = ", ".join(one.name for one in machine.hooks)
    found = [one for one in machine.hooks if name in ("", one.name)]
    if not found:
        why = f"{machine.group} has no terminating hook {name!r}" if name else (
            f"{machine.group} has no terminating hook"
        )  # fmt: skip
        return Refusal(why, f"it has {names}" if names else "", EXIT_NOT_FOUND)
    if len(found) > 1:
        return Refusal(f"{machine.group} has several terminating hooks: {names}", "add --hook NAME")
    return found[0]


def _records(machine: Machine, hook: Hook) -> list[DrainRecord]:
    """Return the open record of the action that is answered, if there is one."""
    subject = f"{machine.group}:{hook.name}"
    return [one for one in machine.records if one.is_open and one.key.subject == subject]


def _answer(machine: Machine, hook: Hook, records: Sequence[DrainRecord]) -> dict[str, Any]:
    """Return the parameters of the answer, with the action's token if a record has it."""
    tokens = [one.token for one in records]
    return {
        "AutoScalingGroupName": machine.group,
        "LifecycleHookName": hook.name,
        "InstanceId": machine.id,
        "LifecycleActionResult": "CONTINUE",
        **({"LifecycleActionToken": tokens[0]} if tokens and tokens[0] else {}),
    }


def _note(record: DrainRecord, table: str, who: str, after: str) -> Step:
    """Return the write that says in a record who has released its instance."""
    new, condition = replace(record, released_by=who), Condition(Demand.RELEASES, record.generation)
    return Step(
        Call("dynamodb", "UpdateItem", _update(new, condition, table)),
        failed="It is released, but its record does not say by whom",
        after=after,
    )


def _update(record: DrainRecord, condition: Condition, table: str) -> dict[str, Any]:
    """Return the parameters of a conditional write."""
    key = {"instance": record.key.instance, "subject": record.key.subject}
    item = record_codec.encode(record, NO_RETENTION)
    return {"TableName": table, "Key": attributes(key), **update(Write(record, condition), item)}


def _table(tasks: Sequence[SeenTask], now: datetime) -> list[str]:
    if not tasks:
        return []
    rows = [
        (
            one.id[:TASK_CHARACTERS],
            one.owner,
            one.status,
            duration((now - one.started_at).total_seconds()) if one.started_at else "-",
        )
        for one in sorted(tasks, key=lambda one: (one.owner, one.id))
    ]
    width = max(5, *(len(row[1]) for row in rows))
    lines = [f"  {task:<8}  {owner:<{width}}  {status:<14}  {age:>6}"
             for task, owner, status, age in rows[:TASKS_SHOWN_MAX]]  # fmt: skip
    more = len(rows) - TASKS_SHOWN_MAX
    head = f"  {'TASK':<8}  {'OWNER':<{width}}  {'STATUS':<14}  {'FOR':>6}"
    return [head, *lines, *([f"  and {more} more"] if more > 0 else [])]


def _number(tasks: Sequence[SeenTask]) -> str:
    return counted(len(tasks), "task")


def extend(
    machine: Machine, more: timedelta, who: str, now: datetime, table: Table
) -> Plan | Refusal:
    """Plan to put off the deadline of an instance's open drains."""
    open_ones = [one for one in machine.records if one.is_open]
    if not open_ones:
        return Refusal(
            f"the drainer has no open drain of {machine.id}",
            "drainer status lists drains. Only the drainer's own drains can be extended",
            EXIT_NOT_FOUND,
        )
    if not machine.waits:
        state = f"is {machine.state}" if machine.state else "is in no group"
        return Refusal(f"{machine.id} {state} and waits at no hook", "no deadline to extend",
                       EXIT_NOT_FOUND)  # fmt: skip
    about, steps = list[str](), list[Step]()
    for record in open_ones:
        to = _later(machine, record, more, now, table)
        if isinstance(to, Refusal):
            return to
        hook = record.key.subject.partition(":")[2]
        before = record.drain.deadline_at
        assert before is not None  # noqa: S101 - `_later` refuses what has none
        about.append(
            f"{machine.id} ({machine.group}, hook {hook}): deadline {time_of(before, now)} -> "
            f"{time_of(to, now)}, in {duration((to - now).total_seconds())}."
        )
        steps.append(_extension(machine, record, to, who, table.name))
    return Plan(tuple(about), tuple(steps))


def _later(
    machine: Machine, record: DrainRecord, more: timedelta, now: datetime, table: Table
) -> datetime | Refusal:
    """Return the new deadline: in whole seconds, and no later than the hook waits."""
    before = record.drain.deadline_at
    if before is None:
        return Refusal(f"the drain of {machine.id} has no deadline yet", "try again in a minute")
    if before - now < CLOCKS_DIFFER:
        return Refusal(
            f"the deadline of {machine.id} has passed, or passes within {CLOCKS_DIFFER.seconds} s",
            "it is too late to extend it",
        )
    name = record.key.subject.partition(":")[2]
    hooks = [one for one in machine.hooks if one.name == name]
    if not hooks:
        return Refusal(f"{machine.group} has no terminating hook {name!r}", code=EXIT_NOT_FOUND)
    margin = GLOBAL_TIMEOUT_MARGIN_SECONDS + 4 * table.pass_interval_seconds
    longest = timedelta(seconds=hooks[0].global_timeout_seconds - margin)
    limit = record.drain.started_at + longest
    if before + more > limit:
        left = durations.typed(limit - before)
        advice = f"at most: drainer extend {machine.id} {left}" if left else "it cannot be extended"
        return Refusal(f"hook {name} waits until {time_of(limit, now)} at the longest", advice)
    return (before + more).replace(microsecond=0)


def _extension(machine: Machine, record: DrainRecord, to: datetime, who: str, table: str) -> Step:
    new = replace(record, drain=extended(record.drain, to), extended_by=who)
    condition = Condition(Demand.EXTENDS, record.generation, extended_to=record.drain.extended_to)
    data = {
        "instance": machine.id,
        "group": machine.group,
        "hook": record.key.subject.partition(":")[2],
        "deadline": to.astimezone(UTC).isoformat(),
    }
    done = f"Extended {machine.id}. Its next pass goes by the new deadline."
    call = Call("dynamodb", "UpdateItem", _update(new, condition, table))
    return Step(call, (Item(machine.id, done, data=data),))


def free(machine: Machine, now: datetime) -> Plan | Refusal:
    """Plan to let a retained instance go: its terminating hooks run once more."""
    if not machine.is_retained:
        state = f"is {machine.state} in {machine.group}" if machine.group else "is in no group"
        return Refusal(
            f"{machine.id} {state} and not retained", "drainer retained lists them", EXIT_NOT_FOUND
        )
    tasks = machine.remaining
    about = (
        f"Freeing {machine.id} ({machine.where}): it has {_number(tasks)}.",
        *_table(tasks, now),
        *(f"? Not read: {one}. It may have more tasks." for one in machine.unread),
        "Auto Scaling terminates it; its hooks run again, and the drainer drains it again.",
        "The group's desired capacity stays.",
    )
    parameters = {"InstanceId": machine.id, "ShouldDecrementDesiredCapacity": False}
    call = Call("autoscaling", "TerminateInstanceInAutoScalingGroup", parameters)
    data = {"instance": machine.id, "group": machine.group, "tasks": len(tasks)}
    step = Step(call, (Item(machine.id, f"Freed {machine.id}.", data=data),))
    return Plan(about, (step,), f"Terminate {machine.id}?", next_step="Follow: drainer status")
