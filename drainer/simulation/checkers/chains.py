"""
Follow the messages of each drain: none may be forgotten, and they may not multiply.

A drain's chain is its notification or re-invocation on its way; each pass puts another in its
place.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict, deque
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from drainer.simulation.checkers.violation import deadline
from drainer.simulation.records import parsed
from drainer.simulation.scenario.installation import NOTIFICATION_SECONDS_MAX

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Iterator, Mapping
    from datetime import datetime

    from drainer.simulation.aws import Aws
    from drainer.simulation.scenario.installation import Installation
    from drainer.simulation.scenario.promises import Workload
    from drainer.simulation.services.auto_scaling.lifecycle import LifecycleAction
    from drainer.simulation.services.dynamodb.item_expressions import Item

# The EC2 instance and the hook that a message is about.
Subject = tuple[str, str]

# A duplicate that takes the place of a chain whose record is silent may find it alive after all.
CHAINS_MAX = 2
# So many publications of one drain in so many pass intervals are several times those of two chains:
# something is re-invoked without a delay.
RACE = 60
RACE_INTERVALS = 10
# With a longer pass interval a record is silent only after its message was delivered again: then
# the sweep alone takes its drain over.
TAKEN_OVER_INTERVAL_MAX = 75
# What an invocation publishes is on its way for as long as the invocation takes: the account's
# clock stands still meanwhile, and other invocations see its records.
UNDER_WAY_SECONDS = 31.0


@dataclass(eq=False)
class Chains:
    """
    Watches what becomes of the messages of an installation.

    Attributes:
        astray: what a fault has lost or holds up; a duplicate may rightly wait for that.
        unknown: what of it had no record, so that the function cannot know when it began.
        lost: what no message of need come again, without the function's doing.
        out_of_time: what slow calls have left no time for, so that its message had to come again.
        table_failed_at: when a call of the table of records last failed.
        tokens: the tokens that re-invocations have had.
        without_token: what an invocation that could not read the table has re-invoked without.
        unrecorded: the container instances that were last set DRAINING by an invocation of which a
            call of the table failed.
    """

    account: Aws
    workload: Workload
    astray: set[Subject] = field(default_factory=set)
    unknown: set[Subject] = field(default_factory=set)
    lost: set[Subject] = field(default_factory=set)
    out_of_time: set[Subject] = field(default_factory=set)
    table_failed_at: datetime | None = None
    tokens: set[str] = field(default_factory=set)
    without_token: set[Subject] = field(default_factory=set)
    unrecorded: set[str] = field(default_factory=set)
    _recorded: set[Subject] = field(default_factory=set)
    _recorded_tokens: set[str] = field(default_factory=set)
    _lost_tokens: set[str] = field(default_factory=set)
    _lately: dict[Subject, deque[datetime]] = field(
        default_factory=lambda: defaultdict(lambda: deque(maxlen=RACE))
    )
    _published: dict[Subject, datetime] = field(default_factory=dict)
    _hops: set[tuple[Any, ...]] = field(default_factory=set)
    _quiet: set[tuple[Any, ...]] = field(default_factory=set)
    _doubtful: bool = False
    _claimed: set[Subject] = field(default_factory=set)
    _passed_on: set[Subject] = field(default_factory=set)
    _drained: set[str] = field(default_factory=set)

    def invocation_begins(self) -> None:
        """Forget what earlier invocations have published, once that is in a queue."""
        since = self.account.now - timedelta(seconds=UNDER_WAY_SECONDS)
        self._published = {one: at for one, at in self._published.items() if at > since}
        self._doubtful = False
        self._claimed, self._passed_on, self._drained = set(), set(), set()

    def claims_are_left(self) -> None:
        """Note what the function has claimed and not published: it waits until it is silent."""
        self.astray |= self._claimed - self._passed_on

    @contextmanager
    def another_invocation(self) -> Iterator[None]:
        """Judge an invocation that runs while another one is under way, for itself."""
        outer = self._doubtful, self._claimed, self._passed_on, self._drained
        try:
            yield
        finally:
            self._doubtful, self._claimed, self._passed_on, self._drained = outer

    def table_failed(self, service: str, code: str) -> None:
        """Note that the invocation cannot know what the table of records holds."""
        if service == "dynamodb" and code != "ConditionalCheckFailedException":
            self._doubtful, self.table_failed_at = True, self.account.now
            self.unrecorded |= self._drained
        if service == "dynamodb" and code == "ResourceNotFoundException":
            # The records are gone with it, and what they knew.
            self._recorded.clear()
            self._recorded_tokens.clear()
            self.unknown |= self.astray

    def set_draining(self, arns: Iterable[str]) -> None:
        """Note that the invocation has set container instances DRAINING."""
        self._drained |= {*arns}
        self.unrecorded -= self._drained
        if self._doubtful:
            self.unrecorded |= self._drained

    def published(self, batch: Iterable[Mapping[str, Any]], *, calls_fail: bool) -> Iterator[str]:
        """
        Note what the function has published; yield a sentence for each drain that races.

        Args:
            batch: the messages.
            calls_fail: whether calls fail at present.
        """
        yield from self._claimed_twice(batch)
        self._note_tokens(batch)
        now, interval = self.account.now, self.workload.pass_interval_seconds
        for subject in [*subjects(entry["Message"] for entry in batch)]:
            self._published[subject] = now
            self._passed_on.add(subject)
            lately = self._lately[subject]
            if calls_fail:
                lately.clear()  # without a record that can be read, a duplicate is not known
            lately.append(now)
            span = now - lately[0]
            if len(lately) == RACE and span < timedelta(seconds=RACE_INTERVALS * interval):
                lately.clear()
                seconds = span.total_seconds()
                yield f"{' at '.join(subject)} goes round {RACE} times in {seconds:.0f} s"

    def _note_tokens(self, batch: Iterable[Mapping[str, Any]]) -> None:
        for action in filter(None, (parsed(one["Message"]).get("action") for one in batch)):
            token = action.get("lifecycle_action_token")
            if token:
                self.tokens.add(token)
            elif self._doubtful:
                self.without_token.add((action["ec2_instance_id"], action["lifecycle_hook_name"]))

    def is_unknown(self, action: LifecycleAction) -> bool:
        """
        Whether the function cannot know when an action began: what could tell was lost.

        The record of an earlier action of its instance and hook does not tell.
        """
        lost = action.token in self._lost_tokens - self._recorded_tokens
        return lost or (action.ec2_instance_id, action.hook.name) in self.unknown

    def only_the_table_knew(self, action: LifecycleAction) -> bool:
        """
        Whether an action's token joined the record of a sweep, and no message could learn it since.
        """
        subject = action.ec2_instance_id, action.hook.name
        return subject in self.without_token and action.token not in self.tokens

    def _claimed_twice(self, batch: Iterable[Mapping[str, Any]]) -> Iterator[str]:
        """
        Yield a sentence for each hop that two passes have published, of which both know the record.

        A record takes one write for each hop; two messages of one hop are two chains.
        """
        if self._doubtful:
            return
        for entry in batch:
            body = parsed(entry["Message"])
            if body.get("generation") is None:
                continue  # nothing was written yet
            hop = self._hop(body)
            quiet = body.get("quiet", False)
            # What waits for a minute may be published again to come sooner: a duplicate. So may
            # what a pass has written as quiet, and was ended before it could publish.
            if hop in self._hops and (quiet or not (hop in self._quiet or self._is_quiet(body))):
                yield f"hop {hop[3]} of {hop[0]} at {hop[1]} is published by two passes"
            self._hops.add(hop)
            if quiet:
                self._quiet.add(hop)

    def _is_quiet(self, body: Mapping[str, Any]) -> bool:
        """Whether the record of a message waits for that very message, quietly."""
        action = body["action"]
        group, hook = action["auto_scaling_group_name"], action["lifecycle_hook_name"]
        return any(
            item["hop"]["N"] == str(body["hop"]) and json.loads(item["drain"]["S"]).get("quiet")
            for item in self._items(action["ec2_instance_id"], f"{group}:{hook}")
        )

    def _items(self, instance: str, subject: str) -> list[Item]:
        """Return the record of a key, as each table has it."""
        rows = (
            one.rows.get((instance, subject)) for one in self.account.record_tables.tables.values()
        )
        return [row.item for row in rows if row is not None]

    def _hop(self, body: Mapping[str, Any]) -> tuple[Any, ...]:
        action, tables = body["action"], self.account.record_tables.tables.values()
        names = action["ec2_instance_id"], action["lifecycle_hook_name"]
        return (*names, body["generation"], body["hop"], *tables)

    def recorded(self, key: Mapping[str, Any]) -> None:
        """Note that the function has written the record of a drain."""
        instance, group_and_hook = key["instance"]["S"], key["subject"]["S"]
        subject = instance, group_and_hook.rpartition(":")[2]
        self._recorded.add(subject)
        self._claimed.add(subject)
        items = self._items(instance, group_and_hook)
        self._recorded_tokens |= {item["token"]["S"] for item in items if "token" in item}

    def went_astray(self, message: str) -> None:
        """Note what a channel has lost or holds up."""
        for ec2_instance_id, hook, token in _actions([message]):
            self.astray.add((ec2_instance_id, hook))
            self.lost.add((ec2_instance_id, hook))
            if (ec2_instance_id, hook) not in self._recorded:
                self.unknown.add((ec2_instance_id, hook))
            self._lost_tokens.add(token)

    def not_published(self, batch: Iterable[Mapping[str, Any]]) -> None:
        """Note what the topic has not taken: its message may be given up before it does."""
        self.lost |= set(subjects(entry["Message"] for entry in batch))
        for body in (parsed(entry["Message"]) for entry in batch):
            if body.get("quiet") and body.get("generation") is not None:
                self._quiet.add(self._hop(body))  # an event publishes it all the same

    def buried(self, installed: Installation) -> None:
        """Note what lies in the dead-letter queues as astray."""
        found = set(self._about(installed.dead_letters))
        self.astray |= found
        self.lost |= found & self.out_of_time
        self.unknown |= found

    def forgotten(
        self, installed: Installation, event: Any, answer: Mapping[str, Any] | None
    ) -> Iterator[str]:
        """Yield a sentence for each open action whose last message is done with."""
        records = event.get("Records", ()) if isinstance(event, dict) else ()
        failed = {one["itemIdentifier"] for one in (answer or {}).get("batchItemFailures", ())}
        served = {
            one["messageId"]: one["body"] for one in records if one["messageId"] not in failed
        }
        suspects = set(self._about(served.values())) - {*self._published} - self.astray
        if not suspects or self.workload.pass_interval_seconds > TAKEN_OVER_INTERVAL_MAX:
            return
        others = [
            message.body
            for queue in (
                installed.wait_queue,
                installed.quiet_queue,
                installed.notification_queue,
                installed.wait_dead_letters,
                installed.dead_notifications,
            )
            for message in queue.messages
            if message.message_id not in served
        ]
        tokens = {token for *_, token in _actions(_messages(served.values()))}
        for ec2_instance_id, hook in suspects - set(self._about(others)):
            waiting = self._open(ec2_instance_id, hook)
            if not all(self._is_left_to_the_sweep(action, tokens) for action in waiting):
                yield f"{ec2_instance_id} waits at {hook}, and its last message is deleted"

    def too_many(self, installed: Installation, since: datetime) -> Iterator[str]:
        """
        Yield a sentence for each open action that has more chains than may be.

        Args:
            installed: where their messages are.
            since: when faults ceased, long ago. A chain that is alive has published since then.
                What was published before, while nothing could be recorded, and was held up by a
                channel is a duplicate, however many there are: each ends where it is read.
        """
        if not self.account.record_tables.is_writable:
            return  # without a table nothing tells a duplicate from the original
        found = _chains(installed, since.timestamp(), self._is_behind)
        for (ec2_instance_id, hook, _), number in found.items():
            if number > CHAINS_MAX:
                yield f"{number} chains of {ec2_instance_id} at {hook}"

    def alive(self, installed: Installation, ec2_instance_id: str, hook: str) -> int:
        """
        Count the messages about an instance at a hook that be re-invoked, whatever their token.
        """
        about = ec2_instance_id, hook
        return sum(number for key, number in _chains(installed).items() if key[:2] == about)

    def _is_behind(self, body: Mapping[str, Any]) -> bool:
        """Whether the record has gone on from a message, so that it ends where it is read."""
        action = body.get("action")
        if action is None:
            return False  # a notification
        group, hook = action["auto_scaling_group_name"], action["lifecycle_hook_name"]
        return any(
            int(item["generation"]["N"]) == body.get("generation")
            and int(item["hop"]["N"]) > body.get("hop", 0)
            for item in self._items(action["ec2_instance_id"], f"{group}:{hook}")
        )

    def _about(self, bodies: Iterable[str]) -> Iterator[Subject]:
        return subjects(_messages(bodies))

    def _is_left_to_the_sweep(self, action: LifecycleAction, tokens: Container[str]) -> bool:
        """
        Whether an open action may be left without a message, given the tokens of those served.

        Past its deadline no heartbeat may be sent, and while the table cannot be read no answer may
        be given without the token: another action may wait by then. Its record is open, and the
        sweep takes it over once the table can be read.
        """
        late = self.account.now >= deadline(action, self.workload)
        return late and self._doubtful and action.token not in tokens

    def _open(self, ec2_instance_id: str, hook: str) -> list[LifecycleAction]:
        instance = self.account.auto_scaling.instances.get(ec2_instance_id)
        # The notification of an action that has just begun is on its way.
        told_at = self.account.now - timedelta(seconds=NOTIFICATION_SECONDS_MAX)
        return [
            action
            for action in (instance.actions if instance else ())
            if action.is_open
            and action.started_at < told_at
            and action.hook.name == hook
            and self.workload.promise(action).ours
        ]


def _chains(
    installed: Installation,
    since: float = 0.0,
    is_behind: Callable[[Mapping[str, Any]], bool] = lambda _: False,
) -> Counter[tuple[str, str, str]]:
    """Count the messages published since an instant, by instance, hook and token."""
    found: dict[tuple[Any, ...], list[bool]] = defaultdict(list)
    for message in installed.waiting:
        text = parsed(message.body)["Message"]
        body = parsed(text)
        if body.get("sent_at", since) < since or is_behind(body):
            continue
        # While filter policies are late a notification lies here, too.
        for names in _actions([text]):
            # A forged notification has a token of its own; its chain ends at the first answer.
            hop = body.get("generation"), body.get("hop")
            found[(*names, *hop)].append(body.get("quiet", False))
    chains: Counter[tuple[str, str, str]] = Counter()
    for (instance, hook, token, *_), are_quiet in found.items():
        # What is quiet and was published again, to come sooner, is one chain.
        chains[instance, hook, token] += 1 if any(are_quiet) else len(are_quiet)
    return chains


def _messages(bodies: Iterable[str]) -> Iterator[str]:
    return (parsed(body).get("Message", "") for body in bodies)


def subjects(messages: Iterable[str]) -> Iterator[Subject]:
    """Yield what each message of the topic is about, if it is about a lifecycle action."""
    for ec2_instance_id, hook, _ in _actions(messages):
        yield ec2_instance_id, hook


def _actions(messages: Iterable[str]) -> Iterator[tuple[str, str, str]]:
    """Yield instance, hook and token of each message that is about a lifecycle action."""
    for message in filter(None, messages):
        body = parsed(message)
        if "action" in body:
            action = body["action"]
            token = action.get("lifecycle_action_token", "")
            yield action["ec2_instance_id"], action["lifecycle_hook_name"], token
        elif "EC2InstanceId" in body:
            token = body.get("LifecycleActionToken", "")
            yield body["EC2InstanceId"], body["LifecycleHookName"], token
