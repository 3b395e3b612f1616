"""
From facts to the lines of `drainer status`: what each drain waits for, and whether it needs help.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from drainer.cli.account.screen import counted
from drainer.cli.explain.causes import Cause, Pace
from drainer.cli.explain.drainers import MANAGED_HOOK, WAITING
from drainer.cli.explain.estimate import deadline_of, estimate_of
from drainer.cli.explain.judge import judge
from drainer.cli.explain.rules_host import own_hook
from drainer.cli.explain.summary import waits_for
from drainer.cli.operate.facts import DRAINED_WHY
from drainer.drain.attributes import DRAINED_BY, DRAINED_FOR, INTERRUPTED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from drainer.cli.explain.drainers import Stack
    from drainer.cli.explain.facts import Facts, Unread
    from drainer.cli.explain.summary import Clock

WAITS_COLUMNS = 29
# Below this a person has hardly the time to read what explain says.
DEADLINE_NEAR = timedelta(minutes=15)
# A replacement that starts, becomes healthy and lets the old one go takes less.
REPLACED_WITHIN = timedelta(minutes=15)
SEE = ", see explain"
# What the drainer leaves on an instance that no hook holds.
# The heading of a group has a line.
BY_CHARACTERS_MAX = 24
ATTRIBUTES = {
    DRAINED_FOR: "by drainer, for CloudFormation",
    INTERRUPTED: "by drainer, for Spot",
}


class Mark(StrEnum):
    """The first character of a line: what it says is said in words as well."""

    FINE = " "
    ATTENTION = "!"
    UNREAD = "?"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """
    One draining container instance.

    Attributes:
        instance: The EC2 instance.
        cluster: Its cluster.
        group: Its Auto Scaling group; empty for none.
        by: What drains it, and whether a hook waits.
        phase: draining, closing, drained, unseen, or gone.
        since: Since when it drains; None where nothing says so.
        deadline_at: When the hook ends it; None where none is known.
        cause: The most important cause.
        waits_for: The same in a few words.
        mark: Whether it needs help.
        tasks: How many tasks are left; None where they were not listed.
        record: What the drainer's record says, for programs.
        expected_at: When it is expected to be released.
    """

    instance: str
    cluster: str
    group: str
    by: str
    phase: str
    since: datetime | None
    deadline_at: datetime | None
    cause: Cause
    waits_for: str
    mark: Mark = Mark.FINE
    tasks: int | None = None
    record: str = ""
    expected_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """
    What a look at an account has found.

    Attributes:
        now: When it was.
        region: Where.
        rows: The drains, by group and deadline.
        clusters: How many clusters were asked.
        sizes: How many instances each group is to have.
        stack: The drainer's stack; None where there is none, or it was not read.
        error: Why ECS could not be read at all; None where it could.
        unread: What was not read.
        reads: How many reads were made of each service.
    """

    now: datetime
    region: str
    rows: tuple[Row, ...]
    clusters: int
    sizes: dict[str, int]
    stack: Stack | None
    error: Exception | None = None
    unread: tuple[Unread, ...]
    reads: dict[str, int]

    @property
    def missing(self) -> tuple[Unread, ...]:
        """What was not read and may hide a drain."""
        hiding = ("cluster ", "group ", "ListClusters")
        return tuple(one for one in self.unread if one.what.startswith(hiding))

    @property
    def attention(self) -> tuple[Row, ...]:
        """The drains that need attention, those first that are cut first."""
        return tuple(row for row in sorted(self.rows, key=_urgency) if row.mark != Mark.FINE)


def _urgency(row: Row) -> tuple[bool, float, str]:
    return (
        row.mark == Mark.UNREAD,
        row.deadline_at.timestamp() if row.deadline_at else float("inf"),
        row.instance,
    )


def row_of(facts: Facts, clock: Clock, *, listed: bool) -> Row:
    """
    Return a drain's line.

    Args:
        facts: What was read of it, which is less than explain reads.
        clock: The present instant.
        listed: Whether its tasks were listed.
    """
    deadline = deadline_of(facts)
    if listed:
        verdict = judge(facts)
        main, estimate = verdict.main, estimate_of(facts, verdict)
        more = f" +{len(verdict.findings) - 1}" if len(verdict.findings) > 1 else ""
        says = waits_for(main, clock, WAITS_COLUMNS - len(more)) + more
        cause, pace, expected = main.cause, main.pace, estimate.at
        if cause == Cause.FINISHED:
            says = "0 tasks left"
        elif cause == Cause.UNKNOWN:
            # Explain reads the replacements as well, and may know.
            says = f"{main.name[: WAITS_COLUMNS - len(SEE)]}{SEE}"
            began = facts.draining_since
            is_long = began is None or facts.now - began > REPLACED_WITHIN
            pace = Pace.STUCK if is_long else Pace.WAITS
    else:
        cause, pace, expected, says = Cause.UNREAD, Pace.MOVES, None, _unlisted(facts)
    mark = Mark.FINE
    near = deadline is not None and deadline.at - facts.now < DEADLINE_NEAR
    late = deadline is not None and expected is not None and expected > deadline.at
    if listed and facts.tasks is None:
        mark, says = Mark.UNREAD, _unread(facts)
    elif pace == Pace.STUCK or ((near or late) and cause != Cause.FINISHED):
        mark = Mark.ATTENTION
    group = facts.group
    return Row(
        instance=facts.instance.ec2_instance_id,
        cluster=facts.instance.cluster,
        group=group.name if group else "",
        by=drained_by(facts),
        phase=_phase(facts, listed=listed),
        since=facts.draining_since,
        deadline_at=deadline.at if deadline else None,
        cause=cause,
        waits_for=says,
        mark=mark,
        tasks=len(facts.remaining) if listed and facts.tasks is not None else None,
        record=f"{facts.drain.phase}: {facts.drain.reason}" if facts.drain else "",
        expected_at=expected,
    )


def _unlisted(facts: Facts) -> str:
    """Return what is known without listing the tasks."""
    if facts.drain and not facts.drain.silent:
        number = facts.drain.running + facts.drain.pending
    else:
        number = facts.instance.counted_tasks
    return f"{counted(number, 'task')} to move" if number else "tasks that stop"


def _unread(facts: Facts) -> str:
    reads = {"ListTasks", "DescribeTasks"}
    why = next((one for one in facts.unread if one.what in reads), None)
    if why is None:
        return "tasks not read, see explain"
    denied = "denied" if "Denied" in why.why else "throttled" if "Thrott" in why.why else "failed"
    return f"{why.what} {denied}"


def _phase(facts: Facts, *, listed: bool) -> str:
    if not listed:
        if facts.drain and not facts.drain.silent:
            return facts.drain.phase
        return "draining" if facts.instance.counted_tasks else "closing"
    if facts.tasks is None:
        return "unseen"
    if not facts.remaining:
        return "drained"
    return "draining" if any(task.wanted for task in facts.remaining) else "closing"


def drained_by(facts: Facts) -> str:
    """Return what drains an instance."""
    group = facts.group
    if facts.drain and not facts.drain.ended:
        return "by drainer"
    if group is None or group.lifecycle_state not in WAITING:
        for attribute, by in ATTRIBUTES.items():
            if attribute in facts.instance.attributes:
                return by
        return _by_operator(facts.instance.attributes) or "by hand, no hook waits"
    if own_hook(facts):
        return "by drainer, no record"
    names = [hook.name for hook in group.hooks or ()]
    if MANAGED_HOOK in names:
        return "by ECS managed draining"
    return f"hook {names[0]}" if names else "a hook waits"


def _by_operator(attributes: Mapping[str, str]) -> str:
    """Return who has set it DRAINING by `drainer drain`, and why; empty where none has."""
    who, why = attributes.get(DRAINED_BY, "").partition(" ")[2], attributes.get(DRAINED_WHY, "")
    if not who:
        return ""
    return f"by {who.rpartition('/')[2]}{f': {why}' if why else ''}"[:BY_CHARACTERS_MAX]


def arranged(rows: Sequence[Row]) -> tuple[Row, ...]:
    """Return the rows by group, and in a group those first whose deadline is first."""
    return tuple(
        sorted(
            rows,
            key=lambda row: (
                row.group,
                row.cluster,
                row.deadline_at.timestamp() if row.deadline_at else float("inf"),
                row.instance,
            ),
        )
    )
