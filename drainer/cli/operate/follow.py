"""
`drain --wait`: watch container instances until no task is left. It only reads.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from drainer.cli.account.screen import duration
from drainer.cli.account.session import EXIT_FAILED, EXIT_OK, fail
from drainer.errors import DrainerError, MisconfiguredError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime, timedelta

    from drainer.cli.operate.facts import Machine, Registration
    from drainer.cli.operate.reader import Reader

# A look takes five reads of each instance: a description, two listings, the description of its
# tasks, and one to find it. Looks are so far apart that they stay below one read a second.
LOOK_SECONDS_MIN, READS_EACH = 10, 5
# ECS may answer a moment late: two looks have to agree that no task is left.
LOOKS_MIN = 2


@dataclass(slots=True)
class Follow:
    """
    Watches the container instances of a drain.

    Attributes:
        reader: Reads ECS.
        now: Returns the present instant.
        sleep: Waits.
        as_json: Whether each line is JSON.
    """

    reader: Reader
    now: Callable[[], datetime]
    sleep: Callable[[float], None]
    as_json: bool = False
    _shown: dict[tuple[str, str], str] = field(default_factory=dict)

    def until_drained(self, ids: Sequence[str], limit: timedelta | None) -> int:
        """Watch until no task is left, or the time is over; return the exit code."""
        began, agreed = self.now(), dict.fromkeys(ids, 0)
        while True:
            try:
                machines = self.reader.machines([one for one in ids if agreed[one] < LOOKS_MIN])
            except MisconfiguredError as error:
                # A denied call, or a login that has ended: each further look would fail as well.
                return fail(f"{error}", "the drain goes on. Follow: drainer status --watch")
            except DrainerError as error:
                print(f"? {error}: the next look is in {LOOK_SECONDS_MIN} s", file=sys.stderr)
                machines = []
            for one in machines:
                if active := _was_activated(one):
                    return fail(f"{one.id} is {active} again", "somebody has ended its drain")
                self._tell(one)
                empty = not one.remaining and not one.unread
                agreed[one.id] = agreed[one.id] + 1 if empty else 0
            took = self.now() - began
            if all(count >= LOOKS_MIN for count in agreed.values()):
                self._say(f"drained in {duration(took.total_seconds())}.", phase="drained")
                return EXIT_OK
            if limit is not None and took >= limit:
                left = [one for one, count in agreed.items() if count < LOOKS_MIN]
                waited = duration(took.total_seconds())
                fail(f"{', '.join(left)}: not drained after {waited}", "the drain goes on")
                return EXIT_FAILED
            self.sleep(max(LOOK_SECONDS_MIN, READS_EACH * len(machines)))

    def _tell(self, one: Machine) -> None:
        """Say how the tasks of each owner have changed since the last look."""
        by_owner: dict[str, Counter[str]] = {}
        for registration in one.registrations:
            for task in registration.tasks:
                by_owner.setdefault(task.owner, Counter())[task.status] += 1
        for owner, statuses in sorted(by_owner.items()):
            text = ", ".join(f"{count} {status}" for status, count in sorted(statuses.items()))
            if self._shown.get((one.id, owner)) != text:
                self._shown[one.id, owner] = text
                self._say(f"{one.id}  {owner}: {text}", instance=one.id, owner=owner, tasks=text)
        for unread in one.unread:
            print(f"? {one.id}: not read: {unread}", file=sys.stderr)

    def _say(self, text: str, **data: str) -> None:
        now = self.now()
        if self.as_json:
            print(json.dumps({"at": now.isoformat(), **data}), flush=True)
        else:
            print(f"{now.astimezone():%H:%M:%S}  {text}", flush=True)


def _was_activated(one: Machine) -> str:
    """Return the status of an instance that somebody has set ACTIVE; empty if none has."""
    statuses: Sequence[Registration] = one.registrations
    return "ACTIVE" if statuses and all(row.status == "ACTIVE" for row in statuses) else ""
