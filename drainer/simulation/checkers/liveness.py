"""
Judge a run that has ended: is every lifecycle action answered by us, and in time?

Precisely, with S the sweep's interval, R that and five pass intervals with their windows and twice
the most that an answer of ECS is late (and, in an account that is large, what its turns take), and
C the instant at which faults ceased: an action of ours that was not taken from us (its hook, group
or instance gone, another hook's ABANDON) is answered by the function, and before its deadline or C,
whichever is later, and R more; and, if nothing kept it any more at an earlier instant, within R of
that instant or of C. The exceptions:

* Its deadline counts from where the drainer first sees the instance (C and R at the latest) where
  its notification was lost, late or wrongly stamped, or a message of it before any record of it:
  the record of an earlier action of its instance and hook tells nothing. Where it began right after
  another one, which somebody else had ended, it is taken for that one until that one's token is
  refused: at its next heartbeat or at its deadline.
* Its hook's timeout may answer it until C and R; and where that timeout is no longer than S, until
  a chain that was lost is begun again: C and R and the time until its record is silent.
* The global timeout, which no heartbeat gets past, may answer it where a message about it was lost
  or faults had hardly ceased: between its deadline and that timeout there is no time for a sweep.
* Where the table of records is gone permanently, duplicates cannot be told apart, and take the
  reads of ECS from each other: what nothing keeps any more may be answered later.
* Where the table of records was deleted permanently, nothing remembers what a lost message was
  about: it is left to its hook's timeout.
* Among more than 400 clusters of which none is named, an instance is found by a chain only: it is
  left to its hook's timeout where a message about it was lost.
* Where the table of records is gone permanently, or it may not be written, a drain whose message
  was lost has no deadline that could be kept: it is left to its hook's timeout. So is one that the
  sweep began, if the table alone knew its token: no message without a token answers its hook.
* Where its group's hooks cannot be read, its deadline is not known: heartbeats keep it until then.
* An instance that is in no cluster: where besides a cluster is named that does not exist, and a
  message about it was lost, it is left to its hook's timeout, which is not restarted.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING

from drainer.simulation.checkers.earlier_registrations import (
    LEFT_BEHIND,
    SEARCHED_AGAIN,
    SEARCHED_AGAIN_TIMES,
)
from drainer.simulation.checkers.violation import Violation, deadline
from drainer.simulation.services.ecs.answer_lag import ANSWER_LAG_SECONDS_MAX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from drainer.simulation.aws import Aws
    from drainer.simulation.checkers.chains import Chains
    from drainer.simulation.records import Fact
    from drainer.simulation.scenario.promises import Workload
    from drainer.simulation.services.auto_scaling.lifecycle import LifecycleAction

# The event source mapping's window, and the longest that an invocation takes: its calls take up to
# 0.3 s each, slow ones and throttled ones have ceased with the faults, and Lambda ends it then.
WINDOW_SECONDS = 1.0
INVOCATION_SECONDS = 30.0
# What is on a container instance is known once all its tasks have been listed twice, each time
# longer after it began to drain, and after the other time, than any answer of ECS lies. Each
# listing, and the look after them, comes with a pass.
LISTINGS_SECONDS = 2 * ANSWER_LAG_SECONDS_MAX
LISTING_PASSES = 3
# A chain whose record is silent for this long is begun again, with much to spare.
SILENT_SECONDS = 300.0
# What has no token is searched for in so many clusters, one pass begins where each other does.
CLUSTERS_WITHOUT_TOKEN_MAX = 400


@dataclass(frozen=True)
class Liveness:
    """Judges the actions of an account whose run has ended."""

    account: Aws
    workload: Workload
    ceased_at: datetime
    displaced: set[str]
    chains: Chains
    sweep_interval_seconds: float
    started_at: datetime
    turns_seconds: float
    hooks_read: Mapping[str, Sequence[datetime]]
    held_until: Callable[[str], datetime | None] = lambda _: None

    def violations(self) -> Iterator[Violation]:
        """Yield what was not answered, or not in time."""
        for action in self.account.auto_scaling.actions:
            if self.workload.promise(action).ours:
                sentence = self._judge(action)
                if sentence:
                    at = action.ended_at or self.account.now
                    seconds = (at - self.started_at).total_seconds()
                    yield Violation(seconds, "liveness", f"{action.ec2_instance_id} {sentence}")

    def within(self, at: datetime) -> datetime:
        """Return until when what is possible from an instant on must have been done."""
        return at + self._reaction

    def latest(self, action: LifecycleAction) -> datetime:
        """Return the latest instant at which an action may be answered."""
        deadline_at = deadline(action, self.workload)
        if self.chains.is_unknown(action) or action.ec2_instance_id in self.displaced:
            deadline_at = self._seen_at(action) + (deadline_at - action.started_at)
        latest = self.within(max(deadline_at, self.ceased_at)) + self._begun_again(action)
        return max(latest, self.within(action.timeout_at)) if self._is_left(action) else latest

    def _seen_at(self, action: LifecycleAction) -> datetime:
        """Return when a sweep sees at the latest an action of which no message tells."""
        taken_until = (self._told_apart_at(one) for one in self._taken_for(action))
        return max(action.started_at, *map(self.within, (self.ceased_at, *taken_until)))

    def _taken_for(self, action: LifecycleAction) -> list[LifecycleAction]:
        """Return the actions for one of which another one is taken: no look came in between."""
        gap = timedelta(seconds=self.workload.pass_interval_seconds + INVOCATION_SECONDS)
        return [
            one
            for one in self.account.auto_scaling.actions
            if (one.ec2_instance_id, one.hook.name) == (action.ec2_instance_id, action.hook.name)
            and one.ended_at is not None
            and one.ended_by != "completed"
            and one.ended_at <= action.started_at <= one.ended_at + gap
        ]

    def _told_apart_at(self, ended: LifecycleAction) -> datetime:
        """Return when the token of an action that has ended is sent again at the latest."""
        heard_at = max(ended.heartbeats, default=ended.started_at)
        half = timedelta(seconds=ended.hook.heartbeat_timeout_seconds / 2)
        return min(deadline(ended, self.workload), heard_at + half)

    def _begun_again(self, action: LifecycleAction) -> timedelta:
        """Return how much longer a lost chain takes: until its record is silent for a sweep."""
        if (action.ec2_instance_id, action.hook.name) not in self.chains.astray:
            return timedelta(0)
        return timedelta(seconds=SILENT_SECONDS + 2 * self.workload.pass_interval_seconds)

    def _is_left(self, action: LifecycleAction) -> bool:
        """Whether nothing but its hook's timeout may be left to an action."""
        lost = (action.ec2_instance_id, action.hook.name) in self.chains.astray
        unheard = (action.ec2_instance_id, action.hook.name) in self.chains.lost
        unheard |= self.chains.only_the_table_knew(action)
        if unheard and not self.account.record_tables.is_writable:
            return True
        if lost and len(self.account.ecs.clusters) > CLUSTERS_WITHOUT_TOKEN_MAX:
            return True
        named = set(self.workload.promise(action).clusters)
        if not lost or named <= set(self.account.ecs.clusters):
            return False
        return self._is_nowhere(action)

    def _is_nowhere(self, action: LifecycleAction) -> bool:
        """Whether an instance is in no cluster at the end of an action, or now."""
        ended_at = action.ended_at or self.account.now
        # Asked while the account still lives on, so that these facts are not kept.
        facts = self.account.facts("container_instance", ec2_instance_id=action.ec2_instance_id)
        known = {
            fact.about["container_instance_arn"]: fact.about["status"]
            for fact in facts
            if fact.at <= ended_at
        }
        return set(known.values()) <= {"INACTIVE"}

    def _was_disturbed(self, action: LifecycleAction) -> bool:
        """Whether faults may have kept the chain from answering just before the global timeout."""
        subject = action.ec2_instance_id, action.hook.name
        back_at = self.within(self.ceased_at) + timedelta(seconds=SILENT_SECONDS)
        astray = subject in self.chains.astray or action.ec2_instance_id in self.displaced
        return astray or back_at >= deadline(action, self.workload)

    def _kept_from(self, action: LifecycleAction) -> datetime:
        """Return from when on heartbeats must keep an action from its hook's timeout."""
        again_at = self.within(self.ceased_at)
        if action.hook.heartbeat_timeout_seconds > self.sweep_interval_seconds:
            return again_at
        stale_seconds = SILENT_SECONDS + action.hook.heartbeat_timeout_seconds
        return again_at + timedelta(seconds=stale_seconds)

    @cached_property
    def _reaction(self) -> timedelta:
        passes = 2 + LISTING_PASSES
        seconds = passes * (self.workload.pass_interval_seconds + WINDOW_SECONDS)
        seconds += self.sweep_interval_seconds + LISTINGS_SECONDS + INVOCATION_SECONDS
        seconds += self.turns_seconds
        return timedelta(seconds=seconds)

    def _kept_too_long(self, action: LifecycleAction) -> bool:
        """Whether heartbeats have kept an action waiting past every deadline that it may have."""
        subject = action.ec2_instance_id, action.hook.name
        deadline_at = deadline(action, self.workload)
        if subject in self.chains.unknown | self.chains.astray or subject[0] in self.displaced:
            # The deadline counts from when a sweep has found it.
            deadline_at = self._seen_at(action) + (deadline_at - action.started_at)
        known_at = self._deadline_known_at(action)
        if known_at is None:
            return False
        return any(at > self.within(max(deadline_at, known_at)) for at in action.heartbeats)

    def _deadline_known_at(self, action: LifecycleAction) -> datetime | None:
        """Return when the hooks that say it were read first since; None for never."""
        read_at = self.hooks_read.get(action.hook.auto_scaling_group_name, ())
        return next((at for at in read_at if at >= action.started_at), None)

    def _was_never_drained(self, action: LifecycleAction) -> bool:
        """Whether one of its container instances was never set DRAINING, though it was there."""
        by_arn: dict[str, list[Fact]] = defaultdict(list)
        ended_at = action.ended_at or self.account.now
        for fact in self._facts.get(action.ec2_instance_id, ()):
            if fact.kind == "container_instance" and fact.at <= ended_at:
                by_arn[fact.about["container_instance_arn"]].append(fact)
        if self._is_left(action):
            return False
        return any(self._stayed_active(action, facts, ended_at) for facts in by_arn.values())

    def _stayed_active(
        self, action: LifecycleAction, facts: Sequence[Fact], ended_at: datetime
    ) -> bool:
        """Whether a container instance with an agent stayed ACTIVE until its action had ended."""
        # Where nothing leads to its cluster, an agent that has registered again is found later, and
        # the later the longer nothing was found.
        registered_at = facts[0].at
        lasted = SEARCHED_AGAIN_TIMES * (registered_at - action.started_at)
        again = max(SEARCHED_AGAIN, lasted) if lasted > timedelta(0) else timedelta(0)
        since = max(action.started_at, self.ceased_at, registered_at + again)
        there = facts[-1].about["status"] == "ACTIVE"
        connected = all(fact.about["agent_connected"] for fact in facts[-2:])
        return there and connected and ended_at >= self.within(self.within(since))

    def _judge(self, action: LifecycleAction) -> str:
        if self._kept_too_long(action):
            return "was kept waiting past its deadline"
        if self._was_never_drained(action):
            return "was never drained"
        latest = self.latest(action)
        if action.ended_at is None:
            late = self.account.now > latest
            return "was never answered" if late else ""
        if action.ended_by == "timeout":
            if action.ended_at <= self._kept_from(action) or self._is_left(action):
                return ""
            if action.ended_at >= action.global_timeout_at and self._was_disturbed(action):
                return ""
            return "was answered by its hook's timeout"
        if action.ended_by != "completed":
            return ""
        if action.ended_at > latest:
            late_seconds = (action.ended_at - latest).total_seconds()
            return f"was answered {late_seconds:.0f} s later than it may be"
        if self._is_left(action) or not self.account.record_tables.is_writable:
            return ""
        return self._judge_idle(action, action.ended_at)

    def _judge_idle(self, action: LifecycleAction, ended_at: datetime) -> str:
        idle_at = self._idle_at(action)
        held_until = self.held_until(action.ec2_instance_id)
        if idle_at is not None and held_until is not None:
            # What is listed and not described holds its instance, but no longer than tasks there.
            idle_at = max(idle_at, min(held_until, self._idle_at(action, held=True) or held_until))
        # An instance that meets its hook a second time may have been idle since the first.
        free_at = max(idle_at or action.started_at, action.started_at, self.ceased_at)
        again = self._begun_again(action)
        if idle_at is not None and ended_at > self.within(free_at) + again:
            idle_seconds = (ended_at - idle_at).total_seconds()
            return f"was answered {idle_seconds:.0f} s after nothing kept it any more"
        return ""

    def _idle_at(self, action: LifecycleAction, *, held: bool = False) -> datetime | None:
        """
        Return since when nothing has kept an action that was answered; None if something did.

        Args:
            action: the action.
            held: whether what is left of an earlier registration may be there at any time.
        """
        keeping: dict[str, set[str]] = defaultdict(set, {"": {"held"}} if held else {})
        registered: dict[str, Fact] = {}
        draining_at: dict[str, datetime] = {}
        idle_at = None if held else self._unregistered_since(action)
        ignored = self.workload.promise(action).standalone_tasks == "ignore"
        for fact in self._facts.get(action.ec2_instance_id, ()):
            if action.ended_at is not None and fact.at > action.ended_at:
                break
            arn = fact.about["container_instance_arn"]
            if fact.kind == "container_instance":
                if not (fact.about["agent_connected"] or arn in registered):
                    # What was left over with no agent from the first is no container instance to
                    # wait for.
                    continue
                # While its agent is disconnected the function cannot know what it will report.
                drains = fact.about["status"] == "DRAINING" and fact.about["agent_connected"]
                _keep(keeping[arn], arn, keeps=not drains)
                registered[arn] = fact
                if fact.about["status"] == "DRAINING":
                    draining_at.setdefault(arn, fact.at)
                else:
                    draining_at.pop(arn, None)
            elif not (ignored and fact.about["owner"].startswith("standalone:")):
                stopped = fact.about["last_status"] == "STOPPED"
                _keep(keeping[arn], fact.about["task_id"], keeps=not stopped)
            free_at = _free_at(keeping, registered, draining_at, fact.at)
            idle_at = None if free_at is None else idle_at or free_at
        return idle_at

    def _unregistered_since(self, action: LifecycleAction) -> datetime | None:
        """Return when an action began whose instance was never registered; None if it was."""
        # Where a name may be misspelled, the instance may be in another cluster.
        named = set(self.workload.promise(action).clusters)
        misnamed = not named <= set(self.account.ecs.clusters)
        return None if misnamed or action.ec2_instance_id in self._facts else action.started_at

    @cached_property
    def _facts(self) -> dict[str, list[Fact]]:
        """The facts about tasks and container instances, by EC2 instance."""
        found: dict[str, list[Fact]] = defaultdict(list)
        for fact in self.account.history:
            if fact.kind in {"task", "container_instance"}:
                found[fact.about["ec2_instance_id"]].append(fact)
        return found


def _keep(keeping: set[str], what: str, *, keeps: bool) -> None:
    """Note whether a container instance or a task keeps an action now."""
    (keeping.add if keeps else keeping.discard)(what)


def _free_at(
    keeping: Mapping[str, set[str]],
    registered: Mapping[str, Fact],
    draining_at: Mapping[str, datetime],
    at: datetime,
) -> datetime | None:
    """
    Return from when on nothing keeps an action, by what is so now; None if something does.

    What is left of an earlier registration is waited for until the one that has an agent has been
    DRAINING for minutes.
    """
    kept = {arn for arn, what in keeping.items() if what}
    connected = {arn for arn, fact in registered.items() if fact.about["agent_connected"]}
    if not kept:
        return at
    if not connected or kept & connected:
        return None
    return max([at, *(draining_at[arn] + LEFT_BEHIND for arn in connected)])
