"""
What each command does: read, plan, perform.
"""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, ParamSpec

from drainer import clock
from drainer.cli.account import terminal
from drainer.cli.account.refusals import DENIED, OF_THE_CALLER, refused
from drainer.cli.account.screen import counted
from drainer.cli.account.session import (
    AWS_ERRORS,
    EXIT_INTERRUPTED,
    EXIT_OK,
    EXIT_USAGE,
    clients,
    code_of,
    fail,
)
from drainer.cli.operate import drains, durations, endings, protection
from drainer.cli.operate.durations import TypedWronglyError
from drainer.cli.operate.facts import RETAINED_SUFFIX
from drainer.cli.operate.follow import Follow
from drainer.cli.operate.perform import Perform
from drainer.cli.operate.plan import EXIT_NOT_FOUND, EXIT_UNREAD
from drainer.cli.operate.reader import Reader
from drainer.errors import DrainerError, ThrottledError
from drainer.fields import PATTERNS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from drainer.cli.account.options import Options

Given = ParamSpec("Given")

# AWS did not answer: a script may try again later.
EXIT_THROTTLED = 5
# An id, or an ARN with the cluster's name in it or without.
TASK = re.compile(r"(?:arn:[^\s/]{1,100}:task/(?:[A-Za-z0-9_-]{1,255}/)?)?[A-Za-z0-9-]{8,64}")


def told(command: Callable[Given, int]) -> Callable[Given, int]:
    """Return a command that says what was typed wrongly or not read, and exits with its code."""

    @wraps(command)
    def telling(*args: Given.args, **given: Given.kwargs) -> int:
        try:
            return command(*args, **given)
        except TypedWronglyError as error:
            return fail(str(error), code=EXIT_USAGE)
        except DrainerError as error:
            return unread(error)

    return telling


@dataclass(frozen=True, slots=True)
class Operate:
    """
    One command on the user's account.

    Attributes:
        reader: Reads the account.
        perform: Shows, asks and writes.
        now: Returns the present instant.
        sleep: Waits.
    """

    reader: Reader
    perform: Perform
    now: Callable[[], datetime] = clock.now
    sleep: Callable[[float], None] = clock.sleep

    @told
    def drain(self, ids: Sequence[str], why: str, *, wait: bool, timeout: str) -> int:
        """Set container instances DRAINING, and wait until no task is left if asked to."""
        ids = _checked(ids)
        limit = durations.parse(timeout) if timeout else None
        machines, who = self.reader.machines(ids), self.reader.caller()
        code = self.perform.run(drains.drain(machines, who, why, self.now()))
        if code != EXIT_OK or not wait or self.perform.dry_run:
            return code
        clusters = [row.cluster for one in machines for row in one.registrations]
        follow = Follow(self.reader.within(clusters), self.now, self.sleep, self.perform.as_json)
        try:
            return follow.until_drained(ids, limit)
        except KeyboardInterrupt:
            undo = f"Undo: drainer undrain {' '.join(ids)}"
            print(
                "\nStill draining: this command only watched. Follow: drainer status --watch\n"
                + undo,
                file=sys.stderr,
            )
            return EXIT_INTERRUPTED

    @told
    def undrain(self, ids: Sequence[str]) -> int:
        """Set container instances ACTIVE."""
        return self.perform.run(drains.undrain(self.reader.machines(_checked(ids), tasks=False)))

    @told
    def release(self, id_: str, hook: str) -> int:
        """Answer CONTINUE at a terminating hook."""
        _checked([id_])
        machine = self.reader.with_hooks(self.reader.machine(id_))
        table = who = ""
        try:
            machine = self.reader.with_records(machine)
            if machine.records:
                table, who = self.reader.table_name(), self.reader.caller()
        except (LookupError, DrainerError) as error:
            # Auto Scaling takes the answer by the instance's id too.
            print(f"? The action's token was not read: {error}", file=sys.stderr)
        return self.perform.run(endings.release(machine, hook, self.now(), table, who))

    @told
    def extend(self, id_: str, length: str) -> int:
        """Put off the deadline of a drain."""
        more, reader = durations.parse(length), self.reader
        try:
            [machine] = reader.states(_checked([id_]))
            machine = reader.with_records(reader.with_hooks(machine))
            table, who = reader.table(), reader.caller()
        except LookupError as error:
            advice = "name it with --stack. Only the drainer's own drains can be extended"
            return fail(str(error.args[0]), advice, code=EXIT_NOT_FOUND)
        return self.perform.run(endings.extend(machine, more, who, self.now(), table))

    @told
    def retained(self) -> int:
        """List the instances that are retained."""
        states, problems = self.reader.retained_candidates()
        found = sorted(
            (group, one, state)
            for one, (group, state) in states.items()
            if state.endswith(RETAINED_SUFFIX)
        )
        if self.perform.as_json:
            for group, one, state in found:
                print(json.dumps({"instance": one, "group": group, "state": state}))
        elif found:
            number = counted(len(found), "instance")
            print(f"{number} retained: billed, and not counted by their groups.")
            for group, one, state in found:
                print(f"  {one:<19}  {group}  {state}")
            print(f"Let one go: drainer retained free {found[0][1]}", file=sys.stderr)
        else:
            print("No instance is retained.")
        for problem in problems:
            print(f"? Not read: {problem}", file=sys.stderr)
        return EXIT_UNREAD if problems else EXIT_OK

    @told
    def free(self, id_: str) -> int:
        """Terminate a retained instance."""
        machine = self.reader.machine(*_checked([id_]))
        return self.perform.run(endings.free(machine, self.now()))

    @told
    def unprotect(self, tasks: Sequence[str], service: str) -> int:
        """End the protection of tasks."""
        if bool(tasks) == bool(service):
            return fail("name tasks or --service, one of the two", code=EXIT_USAGE)
        if service and not self.reader.has_cluster:
            return fail("--service needs --cluster", "clusters may have services of one name",
                        code=EXIT_USAGE)  # fmt: skip
        tasks = list(dict.fromkeys(tasks))
        if odd := [one for one in tasks if not TASK.fullmatch(one)]:
            return fail(f"{odd[0]!r} is no task", "write its id or ARN", code=EXIT_USAGE)
        found = protection.read(self.reader, tasks, service)
        return self.perform.run(protection.plan(found, service, self.now()))


def operate(at: Options) -> Operate:
    """Return a command on the user's account that asks at the terminal, if there is one."""
    client = clients(at.region, at.profile)
    perform = Perform(client, terminal.asking(), yes=at.yes, dry_run=at.dry_run, as_json=at.as_json)
    return Operate(Reader(client, [at.cluster] if at.cluster else [], at.stack), perform)


def _checked(ids: Sequence[str]) -> list[str]:
    """Return the ids, each once; raises a TypedWronglyError, as they end up in a filter."""
    for one in ids:
        if not PATTERNS["EC2InstanceId"].fullmatch(one):
            raise TypedWronglyError(f"{one!r} is no EC2 instance id: write i-...")
    return list(dict.fromkeys(ids))


def unread(error: DrainerError) -> int:
    """Say what could not be read: nothing is changed then."""
    cause = error.__cause__
    if isinstance(cause, AWS_ERRORS) and code_of(cause) in OF_THE_CALLER:
        return refused(cause)
    if isinstance(error, ThrottledError):
        return fail(f"{error}", "try again later. No changes made", code=EXIT_THROTTLED)
    is_denied = isinstance(cause, AWS_ERRORS) and code_of(cause) in DENIED
    advice = "check your permissions" if is_denied else "try again later"
    return fail(f"{error}", f"{advice}. No changes made", code=EXIT_UNREAD)
