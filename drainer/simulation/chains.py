"""
Follow the messages of each drain: none may be forgotten, and they may not multiply.

A drain's chain is its notice or re-invocation on its way; each pass puts another in its place.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict, deque
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime

    from drainer.simulation.account import Account
    from drainer.simulation.installation import Installation
    from drainer.simulation.lifecycle import LifecycleAction
    from drainer.simulation.promises import Workload

# The EC2 instance and the hook that a message is about.
Subject = tuple[str, str]

# A copy that takes the place of a chain whose mark is old may find it alive after all.
CHAINS_MAX = 2
# So many publications of one drain in so many pass intervals are several times those of two chains:
# something goes round without a delay.
RACE = 60
RACE_INTERVALS = 10
# How long a notification takes at most that nothing holds up; AWS says no figure.
NOTICE_SECONDS_MAX = 20.0
# What an invocation publishes is on its way for as long as the invocation takes: the account's
# clock stands still meanwhile, and other invocations see its marks.
UNDER_WAY_SECONDS = 31.0


@dataclass(eq=False)
class Chains:
    """
    Watches what becomes of the messages of an installation.

    Attributes:
        astray: what a fault has lost or holds up; a copy may rightly wait for that.
        unknown: what of it had left no mark, so that nobody can know when it began.
    """

    account: Account
    workload: Workload
    astray: set[Subject] = field(default_factory=set)
    unknown: set[Subject] = field(default_factory=set)
    _marked: set[str] = field(default_factory=set)
    _lately: dict[Subject, deque[datetime]] = field(
        default_factory=lambda: defaultdict(lambda: deque(maxlen=RACE))
    )
    _published: dict[Subject, datetime] = field(default_factory=dict)

    def invocation_begins(self) -> None:
        """Forget what earlier invocations have published, once that is in a queue."""
        since = self.account.now - timedelta(seconds=UNDER_WAY_SECONDS)
        self._published = {one: at for one, at in self._published.items() if at > since}

    def published(self, entries: Iterable[Mapping[str, Any]], *, blind: bool) -> Iterator[str]:
        """
        Note what the function has published; yield a sentence for each drain that races.

        Args:
            entries: the messages.
            blind: whether calls go wrong at present.
        """
        now, interval = self.account.now, self.workload.pass_interval_seconds
        for subject in [*subjects(entry["Message"] for entry in entries)]:
            self._published[subject] = now
            lately = self._lately[subject]
            if blind or self.has_been_full(subject[0]):
                lately.clear()  # without a mark that can be seen, a copy is not known
            lately.append(now)
            span = now - lately[0]
            if len(lately) == RACE and span < timedelta(seconds=RACE_INTERVALS * interval):
                lately.clear()
                seconds = span.total_seconds()
                yield f"{' at '.join(subject)} goes round {RACE} times in {seconds:.0f} s"

    def marked(self, attributes: Iterable[Mapping[str, Any]]) -> None:
        """Note that the function has left a mark on container instances."""
        self._marked.update(attribute["targetId"] for attribute in attributes)

    def went_astray(self, message: str) -> None:
        """Note what a channel has lost or holds up."""
        for ec2_instance_id, hook in subjects([message]):
            self.astray.add((ec2_instance_id, hook))
            instance = self.account.ecs.container_instance(ec2_instance_id)
            if instance is None or instance.container_instance_id not in self._marked:
                self.unknown.add((ec2_instance_id, hook))

    def buried(self, installed: Installation) -> None:
        """Note what lies in the dead-letter queues as astray."""
        found = set(self._about(installed.dead_letters))
        self.astray |= found
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
        if not suspects:
            return
        others = [
            message.body
            for queue in (
                installed.wait_queue,
                installed.notice_queue,
                installed.wait_dead_letters,
                installed.notice_dead_letters,
            )
            for message in queue.messages
            if message.message_id not in served
        ]
        for ec2_instance_id, hook in suspects - set(self._about(others)):
            if self._is_open(ec2_instance_id, hook):
                yield f"{ec2_instance_id} waits at {hook}, and its last message is deleted"

    def too_many(self, installed: Installation) -> Iterator[str]:
        """Yield a sentence for each open action that has more chains than may be."""
        actions = [
            json.loads(json.loads(message.body)["Message"])["action"]
            for message in installed.wait_queue.messages
        ]
        # A forged notice has a token of its own; its chain ends at the first answer.
        names = ("ec2_instance_id", "lifecycle_hook_name", "lifecycle_action_token")
        about = (tuple(action[name] for name in names) for action in actions)
        for (ec2_instance_id, hook, _), number in Counter(about).items():
            if number > CHAINS_MAX and self.is_markable(ec2_instance_id):
                yield f"{number} chains of {ec2_instance_id} at {hook}"

    def is_markable(self, ec2_instance_id: str) -> bool:
        """Whether a mark can be left now: without one, neither a copy nor a lost chain is known."""
        known = self.account.ecs.container_instance(ec2_instance_id) is not None
        return known and not self.has_been_full(ec2_instance_id)

    def has_been_full(self, ec2_instance_id: str) -> bool:
        """Whether a mark was refused because ten attributes of its owner's are there already."""
        return bool(self.account.facts("attributes_full", ec2_instance_id=ec2_instance_id))

    def _about(self, bodies: Iterable[str]) -> Iterator[Subject]:
        messages = (json.loads(body).get("Message", "") for body in bodies)
        return subjects(messages)

    def _is_open(self, ec2_instance_id: str, hook: str) -> bool:
        instance = self.account.auto_scaling.instances.get(ec2_instance_id)
        # The notification of an action that has just begun is on its way.
        told_at = self.account.now - timedelta(seconds=NOTICE_SECONDS_MAX)
        return instance is not None and any(
            action.is_open
            and action.started_at < told_at
            and action.hook.name == hook
            and self.workload.promise(action).ours
            for action in instance.actions
        )


def is_followed(installed: Installation, action: LifecycleAction) -> bool:
    """Whether a message is on its way that has an action's token."""
    return any(action.token in message.body for message in installed.wait_queue.messages)


def subjects(messages: Iterable[str]) -> Iterator[Subject]:
    """Yield what each message of the topic is about, if it is about a lifecycle action."""
    for message in messages:
        if not message:
            continue
        body = json.loads(message)
        if "action" in body:
            action = body["action"]
            yield action["ec2_instance_id"], action["lifecycle_hook_name"]
        elif "EC2InstanceId" in body:
            yield body["EC2InstanceId"], body["LifecycleHookName"]
