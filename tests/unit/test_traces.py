"""
What a pass does, as scripts to be read from top to bottom: one row for each pass.

    clock    since Auto Scaling sent the notification
    message  what the pass is about: the notification, the re-invocation of a hop, a wake-up, the
             sweep; `backup:` before it says that it is of the group's second hook, `!publish` after
             it that this call fails
    state    of the EC2 instance in its group: Wait is Terminating:Wait, - is in no group
    status   of the container instance
    tasks    by their last status
    record   of the drain as the pass finds it; `down` lets the table answer nothing in this pass
    calls    what the pass does, in this order, but for reads other than the listing of tasks
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

from drainer.drain.model import Hook
from drainer.drain.record import key_of
from drainer.errors import UnavailableError
from tests.unit.account import (
    HOOK,
    LOOKS,
    START,
    TOKEN,
    TOPIC_ARN,
    WAIT,
    Account,
    action,
    instance_id,
    notification,
    task,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from drainer.drain.model import Drain, Task

DOWN = UnavailableError("the table is down")
STATES = {"Wait": WAIT, "Proceed": "Terminating:Proceed", "InService": "InService"}

# -- the ten traces of a pass

FIRST = """
 clock | message      | state | status   | tasks                      | record | calls
 +0:00 | notification | Wait  | ACTIVE   | 2 RUNNING                  | -      | heartbeat
       |              |       |          |                            |        | set DRAINING
       |              |       |          |                            |        | create 1
       |              |       |          |                            |        | publish 1
"""
RUNNING = """
 clock | message      | state | status   | tasks                      | record | calls
 +0:15 | hop 1        | Wait  | DRAINING | 2 RUNNING                  | hop 1  | write 2
       |              |       |          |                            |        | publish 2
 +0:30 | hop 2        | Wait  | DRAINING | 1 DEACTIVATING 1 RUNNING   | hop 2  | list tasks
       |              |       |          |                            |        | write 3
       |              |       |          |                            |        | publish 3
"""
CLOSING = """
 clock | message      | state | status   | tasks                      | record | calls
 +0:45 | hop 3        | Wait  | DRAINING | 2 DEACTIVATING             | hop 3  | write 4
       |              |       |          |                            |        | publish 4
 +1:00 | hop 4        | Wait  | DRAINING | 1 STOPPED 1 DEPROVISIONING | hop 4  | list tasks
       |              |       |          |                            |        | write 5
       |              |       |          |                            |        | publish 5
 +1:15 | hop 5        | Wait  | DRAINING | 1 STOPPED 1 DEPROVISIONING | hop 5  | write 6
       |              |       |          |                            |        | publish 6
"""
DRAINED = """
 clock | message      | state | status   | tasks                      | record | calls
 +1:30 | hop 6        | Wait  | DRAINING | 2 STOPPED                  | hop 6  | complete CONTINUE
       |              |       |          |                            |        | end CONTINUE
 +1:35 | hop 6        | Proceed | -      | -                          | ended  | -
 +4:00 | notification | -     | -        | -                          | ended  | -
"""


def test_the_first_notification_is_proven_drained_recorded_and_passed_on() -> None:
    # A notification that nobody sent changes nothing: Auto Scaling takes its heartbeat first. What
    # is published before its record is written is published twice where a message comes twice.
    play(FIRST)


def test_while_tasks_run_each_pass_writes_its_hop_and_publishes_the_next() -> None:
    # Tasks are first listed 20 s after DRAINING was set: before, ECS may not show the latest.
    play(FIRST, RUNNING)


def test_a_heartbeat_is_sent_once_half_of_the_hooks_timeout_is_gone() -> None:
    # HeartbeatTimeout is 1800 s: the last pass before half of it sends one. Each pass, ten drains
    # would cost Auto Scaling's quota; later, one lost pass would end the hook.
    play(
        FIRST,
        """
 clock  | message | state | status   | tasks     | record       | calls
 +14:30 | hop 1   | Wait  | DRAINING | 2 RUNNING | hop 1 silent | list tasks · write 2 · publish 2
 +14:45 | hop 2   | Wait  | DRAINING | 2 RUNNING | hop 2        | heartbeat · write 3 · publish 3
 +15:00 | hop 3   | Wait  | DRAINING | 2 RUNNING | hop 3        | list tasks · write 4 · publish 4
""",
    )


def test_a_set_of_tasks_is_closed_by_a_second_listing_and_not_listed_again() -> None:
    # A task that has just been told to stop is in neither counter, and perhaps in no listing.
    play(FIRST, RUNNING, CLOSING)


def test_what_is_drained_is_answered_once_and_later_messages_are_acknowledged() -> None:
    play(FIRST, RUNNING, CLOSING, DRAINED)


def test_past_its_deadline_a_drain_is_answered_as_its_hook_says() -> None:
    # A standalone task that never ends must not keep the instance, and its group, for 48 hours.
    hook = replace(
        HOOK, notification_metadata='{"drain_timeout_seconds": 600, "deadline_result": "ABANDON"}'
    )
    play(
        FIRST,
        """
 clock  | message | state | status   | tasks               | record       | calls
 +9:45  | hop 1   | Wait  | DRAINING | 1 STOPPED 1 RUNNING | hop 1 silent | list tasks · write 2
        |         |       |          |                     |              | publish 2
 +10:00 | hop 2   | Wait  | DRAINING | 1 STOPPED 1 RUNNING | hop 2        | list tasks
        |         |       |          |                     |              | complete ABANDON
        |         |       |          |                     |              | end ABANDON
""",
        hooks=(hook,),
    )


def test_a_duplicate_asks_for_nothing() -> None:
    # SNS and SQS deliver at least once: a duplicate that goes on makes two chains, and then four.
    play(
        FIRST,
        """
 clock | message      | state | status   | tasks     | record | calls
 +0:01 | notification | Wait  | DRAINING | 2 RUNNING | hop 1  | -
 +0:15 | hop 1        | Wait  | DRAINING | 2 RUNNING | hop 1  | write 2 · publish 2
 +0:16 | hop 1        | Wait  | DRAINING | 2 RUNNING | hop 2  | -
 +0:30 | hop 2        | Wait  | DRAINING | 2 RUNNING | hop 2  | list tasks · write 3 · publish 3
 +0:31 | hop 1        | Wait  | DRAINING | 2 RUNNING | hop 3  | -
""",
    )


def test_a_lost_chain_is_taken_over_by_its_message_or_by_the_sweep() -> None:
    # Written, and not published: the message comes again after 180 s, and finds the record silent.
    # If no message comes, the sweep goes on, with the token and the deadline that there were.
    play(
        FIRST,
        """
 clock | message        | state | status   | tasks     | record       | calls
 +0:15 | hop 1 !publish | Wait  | DRAINING | 2 RUNNING | hop 1        | write 2 · publish fails
 +1:30 | hop 1          | Wait  | DRAINING | 2 RUNNING | hop 2        | -
 +3:15 | hop 1          | Wait  | DRAINING | 2 RUNNING | hop 2 silent | list tasks
       |                |       |          |           |              | write 3 · publish 3
 +3:20 | sweep          | Wait  | DRAINING | 2 RUNNING | hop 3        | -
 +8:20 | sweep          | Wait  | DRAINING | 2 RUNNING | hop 3 silent | list tasks · heartbeat
       |                |       |          |           |              | write 4 · publish 4
 +8:35 | hop 4          | Wait  | DRAINING | 2 STOPPED | hop 4        | complete CONTINUE
       |                |       |          |           |              | end CONTINUE
""",
    )


def test_the_sweep_finds_what_waits_and_has_no_record() -> None:
    # Its record comes before its first heartbeat: what is kept waiting has a deadline. A late
    # notification brings the token, and leaves the chain to the sweep's.
    play(
        """
 clock | message      | state | status   | tasks     | record | calls
 +5:00 | sweep        | Wait  | ACTIVE   | 1 RUNNING | -      | create 0 · heartbeat
       |              |       |          |           |        | set DRAINING · write 1 · publish 1
 +5:15 | hop 1        | Wait  | DRAINING | 1 RUNNING | hop 1  | write 2 · publish 2
 +5:20 | notification | Wait  | DRAINING | 1 RUNNING | hop 2  | heartbeat · join
 +5:30 | hop 2        | Wait  | DRAINING | 1 STOPPED | hop 2  | list tasks · write 3 · publish 3
 +6:00 | hop 3        | Wait  | DRAINING | 1 STOPPED | hop 3  | list tasks · complete CONTINUE
       |              |       |          |           |        | end CONTINUE
 +9:00 | sweep        | -     | -        | -         | ended  | -
""",
    )


def test_while_the_table_is_down_a_drain_goes_on_by_its_message_and_is_answered() -> None:
    # Down for an hour, denied or deleted: no hook runs out, and no instance waits for the table.
    play(
        """
 clock | message      | state | status   | tasks     | record | calls
 +0:00 | notification | Wait  | ACTIVE   | 1 RUNNING | down   | heartbeat · set DRAINING
       |              |       |          |           |        | publish 1
 +0:15 | hop 1        | Wait  | DRAINING | 1 RUNNING | down   | publish 2
 +0:20 | sweep        | Wait  | DRAINING | 1 RUNNING | down   | -
 +0:30 | hop 2        | Wait  | DRAINING | 1 RUNNING | down   | list tasks · publish 3
 +1:00 | hop 3        | Wait  | DRAINING | 1 STOPPED | down   | list tasks · complete CONTINUE
""",
    )


def test_when_the_table_is_back_the_message_writes_what_it_carries() -> None:
    play(
        FIRST,
        """
 clock | message | state | status   | tasks     | record | calls
 +0:15 | hop 1   | Wait  | DRAINING | 2 RUNNING | down   | publish 2
 +0:30 | hop 2   | Wait  | DRAINING | 2 RUNNING | down   | list tasks · publish 3
 +0:45 | hop 3   | Wait  | DRAINING | 2 RUNNING | hop 1  | write 4 · publish 4
 +1:00 | hop 4   | Wait  | DRAINING | 2 STOPPED | hop 4  | list tasks · complete CONTINUE
       |         |       |          |           |        | end CONTINUE
""",
    )


def test_a_second_hook_learns_that_the_instance_was_active_again() -> None:
    # Somebody sets it ACTIVE at +0:32, and a task is placed. The first hook's pass sees it; the
    # second's sees DRAINING each time: by its listings from before, it would answer at +0:47.
    backup = Hook("backup", 1800, 172_800, TOPIC_ARN, None)
    play(
        """
 clock | message              | state | status   | tasks     | record | calls
 +0:00 | notification         | Wait  | ACTIVE   | 1 RUNNING | -      | heartbeat · set DRAINING
       |                      |       |          |           |        | create 1 · publish 1
 +0:02 | backup: notification | Wait  | DRAINING | 1 RUNNING | -      | heartbeat · create 1
       |                      |       |          |           |        | publish 1
 +0:22 | backup: hop 1        | Wait  | DRAINING | 1 STOPPED | hop 1  | list tasks · write 2
       |                      |       |          |           |        | publish 2
 +0:32 | hop 1                | Wait  | ACTIVE   | 1 STOPPED | hop 1  | write 2 · publish 2
       |                      |       |          |           |        | set DRAINING
 +0:47 | backup: hop 2        | Wait  | DRAINING | 1 STOPPED | hop 2  | write 3 · publish 3
 +0:55 | backup: hop 3        | Wait  | DRAINING | 1 STOPPED | hop 3  | list tasks · write 4
       |                      |       |          |           |        | publish 4
 +1:15 | backup: hop 4        | Wait  | DRAINING | 1 STOPPED | hop 4  | list tasks
       |                      |       |          |           |        | complete CONTINUE
       |                      |       |          |           |        | end CONTINUE
""",
        hooks=(HOOK, backup),
    )


def test_a_wake_up_on_the_last_task_answers_before_the_next_pass() -> None:
    # It answers, or it does nothing: what an event leads to is re-invoked nowhere.
    play(
        FIRST,
        RUNNING,
        CLOSING,
        """
 clock | message | state | status   | tasks                      | record | calls
 +1:20 | wake-up | Wait  | DRAINING | 1 STOPPED 1 DEPROVISIONING | hop 6  | -
 +1:24 | wake-up | Wait  | DRAINING | 2 STOPPED                  | hop 6  | complete CONTINUE
       |         |       |          |                            |        | end CONTINUE
 +1:30 | hop 6   | Wait  | DRAINING | 2 STOPPED                  | ended  | -
""",
    )


def test_what_somebody_else_has_answered_is_over() -> None:
    play(
        FIRST,
        """
 clock | message | state   | status   | tasks     | record | calls
 +0:15 | hop 1   | Proceed | DRAINING | 2 RUNNING | hop 1  | end over
""",
    )


# -- how a script is played


@dataclass(frozen=True)
class Row:
    """One pass of a script, by the columns of its table."""

    clock: str
    message: str
    state: str
    status: str
    tasks: str
    record: str
    calls: tuple[str, ...]

    @property
    def at(self) -> timedelta:
        minutes, seconds = self.clock.lstrip("+").split(":")
        return timedelta(minutes=int(minutes), seconds=int(seconds))

    @property
    def hook(self) -> str:
        return self.message.partition(": ")[0] if ": " in self.message else HOOK.name

    @property
    def what(self) -> str:
        """The message without its hook and its fault."""
        return self.message.rpartition(": ")[2].partition(" !")[0]

    @property
    def fault(self) -> str:
        return self.message.partition(" !")[2]


def rows(script: str) -> Iterator[Row]:
    """Read the rows of a script; one without a clock goes on with the calls of the one before."""
    lines = [[cell.strip() for cell in line.split("|")] for line in script.strip().splitlines()]
    merged: list[list[str]] = []
    for cells in lines[1:]:
        if cells[0]:
            merged.append(cells)
        else:
            merged[-1][-1] += f" · {cells[-1]}"
    for clock, message, state, status, tasks, record, calls in merged:
        told = () if calls == "-" else tuple(calls.split(" · "))
        yield Row(clock, message, state, status, tasks, record, told)


def play(*scripts: str, hooks: tuple[Hook, ...] = (HOOK,)) -> None:
    """Play scripts one after the other on one account, and compare the records and the calls."""
    account = Account(hooks=hooks)
    played = [row for script in scripts for row in rows(script)]

    expected = [(row.clock, row.message, row.record, row.calls) for row in played]
    assert [told for row in played for told in [told_by(account, row)]] == expected


def told_by(account: Account, row: Row) -> tuple[str, str, str, tuple[str, ...]]:
    """Let one pass happen; return what its record was and what it did."""
    now = START + row.at
    account.states = {} if row.state == "-" else {instance_id(): STATES[row.state]}
    account.instances.clear()
    if row.status != "-":
        account.has(0, row.status, *tasks(row.tasks))
    account.records.down = DOWN if row.record == "down" else None
    account.fails = {row.fault: UnavailableError("Rate exceeded")} if row.fault else {}
    there = account.records.rows.get(key_of(action(hook=row.hook)))
    found = "-"
    if row.record == "down":
        found = "down"
    elif there:
        silent = " silent" if there.is_silent(now, 15) else ""
        found = f"hop {there.hop}{silent}" if there.is_open else "ended"
    before = len(account.log), len(account.published), len(account.answered)

    account.run(
        *messages(account, row),
        now=now,
        sweep=row.what == "sweep",
        stopped=["arn-0"] if row.what == "wake-up" else [],
    )

    return row.clock, row.message, found, tuple(calls(account, *before))


def tasks(cell: str) -> list[Task]:
    """Return the tasks of a cell such as `1 STOPPED 1 RUNNING`."""
    words = [] if cell == "-" else cell.split()
    statuses = [
        status
        for number, status in zip(words[::2], words[1::2], strict=True)
        for _ in range(int(number))
    ]
    return [task(number, status) for number, status in enumerate(statuses)]


def messages(account: Account, row: Row) -> list[Drain]:
    """Return the message of a row; a re-invocation is the latest that was published of its hop."""
    if row.what == "notification":
        return [replace(notification(at=START), action=action(0, TOKEN, row.hook))]
    if not row.what.startswith("hop "):
        return []
    hop = int(row.what.removeprefix("hop "))
    known = [one for one in account.published if one.action.lifecycle_hook_name == row.hook]
    return [[one for one in known if one.hop == hop][-1]]


def calls(account: Account, logged: int, published: int, answered: int) -> Iterator[str]:
    """Yield the calls since then, in the words of the scripts."""
    sent, answers = iter(account.published[published:]), iter(account.answered[answered:])
    for before, name in pairwise(["", *account.log[logged:]]):
        if name.startswith("list ") and not before.startswith("list "):
            yield "list tasks"  # of either desired status, or of both
        elif name == "publish":
            following = next(sent, None)
            yield f"publish {following.hop}" if following else "publish fails"
        elif name == "complete":
            answer = next(answers, None)
            yield f"complete {answer[1]}" if answer else "complete fails"
        elif name.startswith("join"):
            yield "join"
        elif name.startswith("end: "):
            yield f"end {name.split()[-1]}"
        elif name not in LOOKS and not name.startswith("list"):
            yield name.replace("hop=", "")
