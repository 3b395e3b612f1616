"""
Leave marks on container instances, and write them off: ten in one call, or one by one.

What fails is noted at its drain, and spoils no other; no call begins that there is no time for.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Protocol

from drainer.drain import machine
from drainer.drain import mark as marks
from drainer.drain.actions import CALL_SECONDS, TOGETHER_MAX
from drainer.drain.machine import Step
from drainer.drain.model import Mark, Waiting
from drainer.errors import DrainerError, MisconfiguredError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from drainer.drain.actions import Outcome
    from drainer.drain.model import ContainerInstance
    from drainer.invocation import InvocationClock


class Ecs(Protocol):
    """What is asked of ECS; every method may raise a DrainerError."""

    def describe(self, cluster: str, arns: Sequence[str]) -> list[ContainerInstance]:
        """Return the container instances that still are."""

    def put_attributes(self, cluster: str, values: Sequence[tuple[str, str, str]]) -> None:
        """Put up to TOGETHER_MAX attributes: the container instance's ARN, name and value."""


MARKING = "marking the container instance"


class Marker:
    """
    Marks for one pass.

    Args:
        ecs: ECS.
        time: The invocation's.
    """

    def __init__(self, ecs: Ecs, time: InvocationClock) -> None:
        self._ecs = ecs
        self._time = time

    def leave(self, outcomes: Sequence[Outcome], *, confirmed: bool = False) -> None:
        """Leave a mark for each, where the look allows it."""
        allowed = [
            outcome
            for outcome in outcomes
            if machine.may_mark(outcome.view, confirmed=confirmed or outcome.heartbeat)
        ]
        self._put([(outcome, marks.write(_mark_of(outcome))) for outcome in allowed])

    def write_off(self, outcomes: Sequence[Outcome]) -> None:
        """
        Write off the marks of actions that are over.

        The next action of the same EC2 instance must not take the mark for its own, with a deadline
        that is another's; and what comes back from a warm pool is known by it. So a message whose
        mark could not be written off is delivered again.
        """
        ended = [o for o in outcomes if _may_write_off(o, o.view.seen.container_instance)]
        now = marks.ended(self._time.now())
        self._write_off([(o, now if _was_drained(o) else marks.VOID) for o in ended])

    def write_off_unseen(self, outcomes: Sequence[Outcome]) -> None:
        """Do the same where the look found nothing waiting, and so saw no container instance."""
        by_cluster: dict[str, list[Outcome]] = defaultdict(list)
        for outcome in outcomes:
            known = outcome.drain.action.lifecycle_action_token or _waits_no_more(outcome)
            if outcome.container_instance_arn and known:
                by_cluster[outcome.cluster].append(outcome)
        for cluster, members in by_cluster.items():
            if self._time.seconds_left() < 2 * CALL_SECONDS:
                _deliver_again(members, "no time was left")
                continue
            try:
                arns = list(dict.fromkeys(o.container_instance_arn for o in members))
                found = {one.arn: one for one in self._ecs.describe(cluster, arns)}
            except DrainerError as error:
                for outcome in members:
                    outcome.trouble("looking for the mark", error)
                if isinstance(error, UnavailableError):
                    _deliver_again(members, error)
                continue
            ended = [o for o in members if _may_write_off(o, found.get(o.container_instance_arn))]
            now = marks.ended(self._time.now())
            drained = [_had_been_drained(o, found[o.container_instance_arn]) for o in ended]
            rows = zip(ended, drained, strict=True)
            self._write_off([(outcome, now if yes else marks.VOID) for outcome, yes in rows])

    def _write_off(self, values: Sequence[tuple[Outcome, str]]) -> None:
        for outcome in self._put(values):
            _deliver_again([outcome], outcome.troubles[-1])
        for outcome, _ in values:
            outcome.written_off = True

    def _put(self, values: Sequence[tuple[Outcome, str]]) -> list[Outcome]:
        """Put marks; return whose mark may yet be put, another time."""
        late: list[Outcome] = []
        by_cluster: dict[str, list[tuple[Outcome, str]]] = defaultdict(list)
        for outcome, value in values:
            by_cluster[outcome.cluster].append((outcome, value))
        for cluster, rows in by_cluster.items():
            for start in range(0, len(rows), TOGETHER_MAX):
                late += self._put_together(cluster, rows[start : start + TOGETHER_MAX])
        return late

    def _put_together(self, cluster: str, rows: Sequence[tuple[Outcome, str]]) -> list[Outcome]:
        outcomes = [outcome for outcome, _ in rows]
        if self._time.seconds_left() < CALL_SECONDS:
            for outcome in outcomes:
                outcome.trouble(MARKING, "no time was left")
            return outcomes
        values = [(o.container_instance_arn, marks.name(o.drain.action), text) for o, text in rows]
        try:
            self._ecs.put_attributes(cluster, values)
        except MisconfiguredError as error:
            if len(rows) > 1:
                # One container instance that is gone must not cost the others their marks.
                return [late for row in rows for late in self._put_together(cluster, [row])]
            outcomes[0].trouble(MARKING, error)
            return []
        except DrainerError as error:
            for outcome in outcomes:
                outcome.trouble(MARKING, error)
            return outcomes
        for outcome in outcomes:
            outcome.marked = True
        return []


def _deliver_again(outcomes: Iterable[Outcome], why: object) -> None:
    """Have the messages delivered again of those that no further pass follows upon."""
    for outcome in outcomes:
        if outcome.ended:
            outcome.undone = outcome.undone or f"writing off the mark: {why}"


def _was_drained(outcome: Outcome) -> bool:
    """
    Whether it was drained for this action, so that it is to be brought back.

    An answer that says ACTIVE may be older than the call that set it DRAINING.
    """
    mark, view = outcome.view.mark, outcome.view
    known = outcome.drain.draining_since or (mark and mark.draining_since)
    return view.status != "ACTIVE" or bool(known)


def _had_been_drained(outcome: Outcome, instance: ContainerInstance) -> bool:
    """
    Whether it was drained for this action, as far as can be told.

    What has a token has proven its action, and drained it, whatever a late answer said of its
    status, and so has what wrote the mark, if it had one; what has none may have been mistaken
    about whose wait it was.
    """
    mark = instance.marks.get(marks.checksum(outcome.drain.action.lifecycle_hook_name))
    proven = outcome.drain.action.lifecycle_action_token or outcome.drain.draining_since
    return bool(proven) or (mark is not None and marks.is_drained(mark))


def _may_write_off(outcome: Outcome, instance: ContainerInstance | None) -> bool:
    """Whether the mark on a container instance is of this action, and not of one that followed."""
    action = outcome.drain.action
    if instance is None or instance.ec2_instance_id != action.ec2_instance_id:
        return False  # the message merely claims that it is this one
    if outcome.written_off:
        return False  # another action's may have taken its place since
    if outcome.answered is not None or outcome.marked:
        return True
    mark = instance.marks.get(marks.checksum(action.lifecycle_hook_name))
    if not action.lifecycle_action_token and _waits_no_more(outcome):
        return mark is not None
    own = marks.checksum(action.lifecycle_action_token)
    return mark is not None and mark.token_checksum == own


def _waits_no_more(outcome: Outcome) -> bool:
    """Whether two looks have agreed that Auto Scaling waits for no action of it at all."""
    return outcome.decision.step == Step.STOP and outcome.view.seen.waiting == Waiting.NO


def _mark_of(outcome: Outcome) -> Mark:
    following, view = outcome.following(), outcome.view
    # What has published nothing leaves the chain's footprint as it was; where there is none, one
    # that counts for nothing.
    hop, at = following.hop - 1, machine.stale_before(view)
    if outcome.published:
        at = view.now
    elif view.mark:
        hop, at = view.mark.hop, view.mark.at
    listed = following.closed or following.listed_at is not None
    return Mark(
        token_checksum=marks.checksum(following.action.lifecycle_action_token)
        or (view.mark.token_checksum if view.mark else ""),
        hop=hop,
        at=at,
        started_at=following.started_at,
        deadline_at=view.deadline_at,
        last_heartbeat_at=following.last_heartbeat_at,
        draining_since=following.draining_since,
        listed_at=None if following.closed else following.listed_at,
        unfinished=marks.prefixes(following.unfinished) if listed else None,
    )
