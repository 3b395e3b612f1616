"""
Serve the requests of CloudFormation: look, answer once, or go round.

A pass first writes into the book that it has begun. Who finds that written by another, and not long
ago, is a copy and does nothing; so that one pass at a time serves a request, and one answer is
given, however often its messages come. (A function that dies between its answer and the line that
says so gives the same answer again, which CloudFormation ignores.)
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

from drainer.custom_resource.belief import Belief, Seen
from drainer.custom_resource.progress import Continuation, RequestProgress, decode, encode, message
from drainer.custom_resource.properties import Status, guard_of
from drainer.custom_resource.reactivation import Restored, TargetReactivation, settled_id
from drainer.custom_resource.report import Report, Step
from drainer.custom_resource.request import RESOURCE_TYPE, Answer, Request, RequestType, response
from drainer.custom_resource.stack import OUR_TYPES
from drainer.custom_resource.store import Entry
from drainer.drain.actions import UNIT_SECONDS
from drainer.errors import (
    DrainerError,
    MalformedEventError,
    MisconfiguredError,
    NotForUsError,
    UnavailableError,
)
from drainer.fields import quoted

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from drainer.codec import Topic
    from drainer.config import Config
    from drainer.custom_resource.properties import DrainTarget
    from drainer.custom_resource.store import Book
    from drainer.custom_resource.target_drain import TargetDrain
    from drainer.invocation import InvocationClock

Asked = Request | Continuation

# Longer than an invocation can take (30 s in infra/drainer.yaml), shorter than it takes until a
# message that failed comes back (60 s for an asynchronous invocation, 180 s from a queue).
PASS_SECONDS_MAX = 45

# A message that failed comes back after three minutes (the queue's visibility timeout in
# infra/drainer.yaml), and another invocation may take half a minute.
RETRY_SECONDS = 270

# Answering makes up to three attempts of three seconds, and waits in between.
ANSWERING_SECONDS = 11.0

GIVEN_UP = "CloudFormation no longer waits"

# What a sweep sees through; the next one sees to others.
SWEPT_MAX = 20


@dataclass(frozen=True, slots=True)
class Pass:
    """One pass over one request: what was written of its beginning, and where it is reported."""

    entry: Entry
    report: Report
    now: datetime
    time: InvocationClock


class Respond(Protocol):
    """Puts an answer where CloudFormation waits for it."""

    def __call__(self, url: str, body: bytes, /) -> None:
        """
        Put it.

        Raises:
            UnavailableError: It may be taken later.
            MisconfiguredError: It will never be.
        """


class RequestController:
    """
    Passes over requests of CloudFormation.

    Args:
        fleet: Drains what is guarded.
        keeper: Looks at what stays.
        belief: Says whether CloudFormation waits, and whether the target goes.
        book: Where requests are written down.
        topic: Where re-invocations go.
        respond: Puts answers.
        config: The function's settings.
    """

    def __init__(
        self,
        *,
        fleet: TargetDrain,
        keeper: TargetReactivation,
        belief: Belief,
        book: Book,
        topic: Topic,
        respond: Respond,
        config: Config,
    ) -> None:
        self._fleet = fleet
        self._keeper = keeper
        self._belief = belief
        self._book = book
        self._topic = topic
        self._respond = respond
        self._config = config

    def lost(self, now: datetime) -> list[Continuation]:
        """
        Return what goes on with the requests whose chain is lost, the most urgent first.

        Raises:
            DrainerError: The book could not be read.
        """
        entries = [entry for entry in self._book.unanswered() if self._is_lost(entry, now)]
        entries.sort(key=lambda entry: entry.deadline_at)
        # One hop further than the pass that was begun last: what that has published is a copy.
        return [Continuation(entry.key, entry.hop + 1) for entry in entries[:SWEPT_MAX]]

    def _is_lost(self, entry: Entry, now: datetime) -> bool:
        # Past the deadline there is nothing to wait for but the answer, whose chain it may be.
        silent = timedelta(seconds=PASS_SECONDS_MAX)
        if now < entry.deadline_at:
            silent = _lost_after(self._config.pass_interval_seconds)
        return now >= entry.at + silent

    def run_pass(self, one: Asked, time: InvocationClock) -> Report:
        """Serve one request; what failed is in the report."""
        report, now = Report(one.key, hop_of(one)), time.now()
        try:
            entry = self._begin(one, report, now)
            if entry is None:
                return report
            progress = decode(entry.state)
            report.request = progress.request
            this = Pass(entry, report, now, time)
            if time.seconds_left() < ANSWERING_SECONDS + UNIT_SECONDS:
                report.reason = "No time was left in the invocation"
                self._go_round(progress, this, postponed=True)
            else:
                self._pass(progress, this)
        except (MalformedEventError, NotForUsError) as refusal:
            report.step, report.reason = Step.REFUSED, str(refusal)
        except DrainerError as error:
            report.step, report.reason = Step.UNDONE, str(error)
        return report

    def _begin(self, one: Asked, report: Report, now: datetime) -> Entry | None:
        """Write down that this pass begins; None where it must not."""
        known = self._book.look(one.key)
        if known is None:
            known = self._first_entry(self._first_seen(one), now)
        elif isinstance(one, Continuation) and one.progress is not None and not self._book.durable:
            # Without a table, the message knows better than a process that was elsewhere.
            known = replace(known, state=encode(one.progress))
        if known.answered or now >= known.timeout_at:
            report.step, report.reason = Step.OVER, known.answered or GIVEN_UP
            report.unanswered = not known.answered and self._book.save(
                replace(known, version=known.version + 1, state="", answered=GIVEN_UP)
            )
            return None
        lately = now < known.at + timedelta(seconds=PASS_SECONDS_MAX)
        taken_up = report.hop == known.hop and (lately or known.served)
        begun = replace(known, version=known.version + 1, hop=report.hop, at=now, served=False)
        # One message of the chain follows the other: what is further ahead is nobody's of ours.
        ahead = self._book.durable and report.hop > known.hop + 1
        if report.hop < known.hop or taken_up or ahead or not self._book.save(begun):
            report.step = Step.COPY
            return None
        return begun

    def _first_seen(self, one: Asked) -> RequestProgress:
        """
        Return the progress of a request that the book does not know.

        Raises:
            NotForUsError: Nobody has made it.
        """
        if isinstance(one, Continuation):
            if one.progress is None or self._book.durable:
                raise NotForUsError("A re-invocation for a request that the table does not have")
            return one.progress
        return RequestProgress(
            one
        )  # written down before it is believed, so that later passes can ask

    def _first_entry(self, progress: RequestProgress, now: datetime) -> Entry:
        guard, _ = guard_of(progress.request.properties, self._config)
        return Entry(
            key=progress.request.key,
            version=0,
            hop=-1,
            at=now,
            deadline_at=progress.request.deadline_at(guard),
            timeout_at=progress.request.timeout_at,
            state=encode(progress),
        )

    def _pass(self, progress: RequestProgress, this: Pass) -> None:
        request, report = progress.request, this.report
        seen, missing = Seen(progress), False
        if progress.answer is not None:
            report.answer = progress.answer  # decided by a pass that could not give it
        else:
            try:
                seen = self._belief.look(progress, this.now)
                progress, report.reason = seen.progress, seen.doubt
                if not seen.doubt:
                    progress, report.answer = self._serve(seen, this)
            except NotForUsError:
                self._close(this.entry, "not confirmed", report)
                raise
            except (MisconfiguredError, UnavailableError) as error:
                report.trouble("The stack or the target was not read", error)
                missing = isinstance(error, MisconfiguredError)
        late = self._is_late(this) or (missing and this.now >= request.looked_for_until)
        if report.answer is None and not seen.doubt and late:
            report.overdue = True
            report.answer = self._overdue(request, seen, report)
        if report.answer is None:
            self._go_round(progress, this)
        else:
            self._answer(replace(progress, answer=report.answer), report.answer, this)

    def _is_late(self, this: Pass) -> bool:
        """Whether the deadline has passed, or the next pass would come too late to answer."""
        seconds = self._config.pass_interval_seconds + ANSWERING_SECONDS
        next_at = this.now + timedelta(seconds=seconds)
        return this.now >= this.entry.deadline_at or next_at >= this.entry.timeout_at

    def _guard(self, request: Request) -> tuple[DrainTarget | None, tuple[str, ...]]:
        if request.resource_type not in OUR_TYPES:
            kind = quoted(request.resource_type)
            return None, (f"the resource's type is {kind}: it must be {RESOURCE_TYPE}",)
        return guard_of(request.properties, self._config)

    def _serve(self, seen: Seen, this: Pass) -> tuple[RequestProgress, Answer | None]:
        progress, request = seen.progress, seen.progress.request
        guard, problems = self._guard(request)
        if request.request_type != RequestType.DELETE:
            return self._keep(seen, guard, problems, this)
        if guard is None or request.stays_refused:
            reason = ". ".join(problems) if guard is None else "the resource guarded no target"
            return progress, Answer(Status.SUCCESS, request.refused_id, f"Not drained: {reason}")
        if foreign := self._belief.foreign(seen, guard, this.now):
            return progress, Answer(Status.SUCCESS, request.refused_id, f"Not drained: {foreign}")
        if stays := self._belief.stays(seen, guard):
            restored = self._restore(progress, guard, this)
            answer = Answer(Status.SUCCESS, request.physical_id, f"Not drained: {stays}")
            return restored.progress, answer if restored.complete else None
        return self._drain(replace(progress, believed=True), guard, this)

    def _restore(self, progress: RequestProgress, guard: DrainTarget, this: Pass) -> Restored:
        """Set ACTIVE what this stack has set DRAINING and what stays; that may be nothing."""
        try:
            restored = self._keeper.restore(progress, guard, this.time)
        except MisconfiguredError as error:
            this.report.trouble("Instances that stay were not set ACTIVE", error)
            return Restored(progress)
        this.report.troubles = (*this.report.troubles, *restored.troubles)
        return restored

    def _keep(
        self, seen: Seen, guard: DrainTarget | None, problems: Sequence[str], this: Pass
    ) -> tuple[RequestProgress, Answer | None]:
        """
        Answer a Create or an Update: the target is there, and none of it is DRAINING for us.

        What CloudFormation goes back to it had accepted once, so that nothing of it is refused now:
        it would end in UPDATE_ROLLBACK_FAILED.
        """
        request, report, back = seen.progress.request, this.report, _goes_back(seen)
        if guard is None or (problems and not back):
            status = Status.SUCCESS if back else Status.FAILED
            return seen.progress, Answer(status, request.refused_id, ". ".join(problems))
        old, _ = guard_of(request.old_properties, self._config)
        physical_id = self._keeper.physical_id(request, guard, old, back=back)
        restored = self._keeper.restore(seen.progress, guard, this.time)
        report.troubles = (*report.troubles, *restored.troubles)
        if not restored.complete:
            return restored.progress, None
        reason = ". ".join((f"{guard} is guarded", *restored.troubles))
        return restored.progress, Answer(Status.SUCCESS, physical_id, reason)

    def _drain(
        self, progress: RequestProgress, guard: DrainTarget, this: Pass
    ) -> tuple[RequestProgress, Answer | None]:
        """Answer a Delete once nothing of the target has a task left."""
        report, request = this.report, progress.request
        muster = self._fleet.drain(progress, guard, report.hop, this.time)
        report.muster, report.troubles = muster, (*report.troubles, *muster.troubles)
        if not muster.complete:
            return muster.progress, None
        what = "it no longer exists"
        if not muster.gone:
            what = f"{muster.total} instances are drained" if muster.total else "it has no instance"
        return muster.progress, Answer(Status.SUCCESS, request.physical_id, f"{guard}: {what}")

    def _overdue(self, request: Request, seen: Seen, report: Report) -> Answer:
        """Return the answer that was decided upon beforehand; what was left is its reason."""
        guard, _ = self._guard(request)
        left = report.muster.remaining() if report.muster else ". ".join(report.troubles)
        if request.request_type == RequestType.DELETE and guard is not None:
            return _at_the_deadline(request, guard, report, left)
        update = request.request_type == RequestType.UPDATE
        if guard is not None and update and (seen.stack is None or seen.stack.rolls_back):
            # A stack that cannot go back is worse than one whose target is not seen.
            old, _ = guard_of(request.old_properties, self._config)
            physical_id = settled_id(request, guard, old, back=_goes_back(seen))
            return Answer(Status.SUCCESS, physical_id, f"{guard} could not be read: {left}")
        return Answer(Status.FAILED, request.refused_id, f"The deadline has passed: {left}")

    def _answer(self, progress: RequestProgress, answer: Answer, this: Pass) -> None:
        """Write down what is going to be answered, so that it stays the same; then answer."""
        request, report = progress.request, this.report
        decided = replace(this.entry, version=this.entry.version + 1, state=encode(progress))
        if not self._book.save(decided):
            report.step, report.answer = Step.COPY, None
            return
        try:
            self._respond(request.response_url, response(request, answer))
        except UnavailableError as error:
            report.trouble("The response was not accepted", error)
            self._go_round(progress, replace(this, entry=decided))
            return
        except MisconfiguredError as error:
            # Nobody will ever take it; CloudFormation waits for its timeout.
            report.step, report.reason = Step.REFUSED, f"The response was refused: {error}"
            report.unanswered = True
        else:
            report.step, report.reason = Step.ANSWERED, answer.reason
        self._close(decided, f"{report.step} {answer.status}", report)

    def _close(self, entry: Entry, answered: str, report: Report) -> None:
        """Write down that nothing of the request goes round any more; its URL is forgotten."""
        closed = replace(entry, version=entry.version + 1, state="", answered=answered)
        try:
            self._book.save(closed)
        except DrainerError as error:
            report.trouble("The end of the request was not written", error)

    def _go_round(self, progress: RequestProgress, this: Pass, *, postponed: bool = False) -> None:
        """
        Publish the re-invocation, then write down that this was done, and what was seen.

        Raises:
            UnavailableError: It was not published; the message must be delivered again.
            MalformedEventError: There are more instances than a message holds.
        """
        report, entry = this.report, this.entry
        state = encode(progress)
        carried = None if self._book.durable else state
        text = message(report.key, report.hop + 1, carried, postponed=postponed)
        refusals = self._topic.publish([text])
        if refusals:
            raise UnavailableError(f"The re-invocation was not published: {refusals[0]}")
        report.step = Step.GOES_ROUND
        if report.muster is not None and report.answer is None:
            report.reason = report.muster.remaining()
        try:
            self._book.save(replace(entry, version=entry.version + 1, state=state, served=True))
        except DrainerError as error:
            report.trouble("The progress of the request was not written", error)


def _lost_after(pass_interval_seconds: float) -> timedelta:
    """Return how long a chain may be silent before it is taken for lost: every pass says a word."""
    return timedelta(seconds=RETRY_SECONDS + 2 * pass_interval_seconds)


def hop_of(one: Asked) -> int:
    """Return how many re-invocations led here; none to the request itself."""
    return one.hop if isinstance(one, Continuation) else 0


def furthest(asked: Iterable[Asked]) -> list[Asked]:
    """Return one message for each request, the one that has come furthest."""
    found: dict[str, Asked] = {}
    for one in asked:
        if one.key not in found or hop_of(one) > hop_of(found[one.key]):
            found[one.key] = one
    return list(found.values())


def _goes_back(seen: Seen) -> bool:
    """Whether this is the Update of a stack that rolls back."""
    update = seen.progress.request.request_type == RequestType.UPDATE
    return update and seen.stack is not None and seen.stack.rolls_back


def _at_the_deadline(request: Request, guard: DrainTarget, report: Report, left: str) -> Answer:
    """Answer a Delete by its policy, unless all that is known of its target may go."""
    if report.muster is not None and report.muster.as_far_as_known:
        reason = f"{guard}: {report.muster.total} instances are drained, as far as is known"
        return Answer(Status.SUCCESS, request.physical_id, reason)
    reason = f"{left}. The deadline has passed and OnTimeout is {guard.on_timeout}"
    return Answer(guard.on_timeout, request.physical_id, reason)
