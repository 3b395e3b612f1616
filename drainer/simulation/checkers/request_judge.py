"""
Judge what CloudFormation was answered by what was so in the account.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from drainer.simulation.checkers.violation import Violation

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from datetime import datetime

    from drainer.simulation.records import Fact
    from drainer.simulation.scenario.stack_operations import Asked, StackOperations
    from drainer.simulation.services.cloudformation.custom_resource import CustomResourceRequest
    from drainer.simulation.services.ec2.spot_fleet_model import Fleet

# The latest deadline: what CloudFormation allows, less what is kept for answering.
DEADLINE_SECONDS_MAX = 3_600 - 420
ENDED = "STOPPED"
TAKEN = 200
# After these the function cannot know that the answer was taken, and gives it once more.
MAY_HIDE_AN_ANSWER = {
    "call denied",
    "call failing",
    "call performed, answer lost",
    "call throttled",
    "function killed between two calls",
}

# One chain publishes once in a pass interval. What takes over a chain that is lost, and past the
# deadline one that is not, adds a few.
TAKEN_OVER_MAX = 5
# Messages come without the delay then.
PASSING_THE_DELAY = "filter policies late"

# The account's clock stands still while the function works, and the function's own goes on.
WORKING = timedelta(seconds=30)
# For how long what is denied is looked for again: permissions of a new role "can take several
# minutes". https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot.html
LOOKED_FOR = timedelta(seconds=300)


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    What a seed has come to.

    Attributes:
        started_at: when it began.
        asked: every request.
        operations: what CloudFormation did to its stacks.
        history: what happened in the account.
        stack_statuses: what each stack is at, by name.
        statuses: of the container instances, by EC2 instance id.
        dead_letters: the messages that were given up.
        faults: the kinds of faults that struck.
        crashes: of the function.
        published: when re-invocations of each request were published.
        delay_seconds: of the queue that delays them.
        deleted_at: when the table of records was deleted; None if it was not.
        writable: whether there is a table of records, and it may be written.
    """

    started_at: datetime
    asked: Sequence[Asked]
    operations: Sequence[StackOperations]
    history: Collection[Fact]
    stack_statuses: Mapping[str, str]
    statuses: Mapping[str, str]
    dead_letters: Sequence[str]
    faults: Collection[str]
    crashes: Sequence[str]
    published: Mapping[str, Sequence[datetime]]
    delay_seconds: float
    deleted_at: datetime | None
    writable: bool


def judge(outcome: Outcome) -> Iterator[Violation]:
    """Yield each broken promise."""
    for crash in outcome.crashes:
        yield Violation(0.0, "crash", crash)
    yield from _judge_chains(outcome)
    # A request whose message was given up before it could be written has raised an alarm instead.
    buried = " ".join(outcome.dead_letters)
    given_up = any(fact.kind == "dead_letter" for fact in outcome.history)
    for one in outcome.asked:
        request = one.request
        seconds = (request.sent_at - outcome.started_at).total_seconds()
        for sentence in request.faults:
            yield Violation(seconds, "answer", sentence)
        if request.answer is None:
            excused = (
                one.cancelled or request.is_open or given_up or _is_forgotten(outcome, request)
            )
            if not excused and request.event["RequestId"] not in buried:
                yield Violation(seconds, "liveness", f"{_name(request)} was not answered in time")
            continue
        yield from _judge_answer(outcome, one, seconds)
    yield from _judge_stacks(outcome, silent=given_up or bool(buried))


def _judge_chains(outcome: Outcome) -> Iterator[Violation]:
    """Yield each request that is re-invoked faster than one chain can."""
    if PASSING_THE_DELAY in outcome.faults:
        return
    for key, times in outcome.published.items():
        seconds = (times[-1] - times[0]).total_seconds()
        most = seconds / outcome.delay_seconds + TAKEN_OVER_MAX
        if len(times) > most:
            sentence = f"{len(times)} re-invocations of {key[-8:]} in {seconds:.0f} s"
            yield Violation(seconds, "fork", sentence)


def _judge_answer(outcome: Outcome, one: Asked, seconds: float) -> Iterator[Violation]:
    request, answer = one.request, one.request.answers[0][1]
    taken = [attempt for attempt in request.attempts if attempt.status == TAKEN]
    again = _is_forgotten(outcome, request)
    if len(taken) > 1 and MAY_HIDE_AN_ANSWER.isdisjoint(outcome.faults) and not again:
        yield Violation(seconds, "once", f"{_name(request)} was answered {len(taken)} times")
    if len({attempt.body for attempt in request.attempts}) > 1 and not again:
        yield Violation(seconds, "once", f"{_name(request)} was answered in two ways")
    if request.event["RequestType"] == "Delete":
        yield from _judge_delete(outcome, one)
    elif answer["Status"] != "SUCCESS" and not _excused(request, answer["Reason"]):
        yield Violation(seconds, "answer", f"{_name(request)}: {answer['Reason']}")


def _judge_stacks(outcome: Outcome, *, silent: bool) -> Iterator[Violation]:
    """Yield each stack that cannot go back, and each fleet that stays and does not serve."""
    for stack in outcome.operations:
        excused = silent or any(
            one.request.answer is None and _is_forgotten(outcome, one.request)
            for one in stack.asked
        )
        if outcome.stack_statuses.get(stack.name) == "UPDATE_ROLLBACK_FAILED" and not excused:
            yield Violation(0.0, "rollback", f"{stack.name} is at UPDATE_ROLLBACK_FAILED")
        for fleet in stack.stays:
            idle = [
                one
                for one in fleet.ec2_instance_ids
                if outcome.statuses.get(one, "ACTIVE") != "ACTIVE"
            ]
            if idle:
                yield Violation(0.0, "stays", f"{fleet.fleet_id} stays, and {idle} are not ACTIVE")


def _judge_delete(outcome: Outcome, one: Asked) -> Iterator[Violation]:
    request, fleet = one.request, one.fleet
    answered_at = request.answers[0][0]
    properties = request.event["ResourceProperties"]
    seconds = min(int(properties["DrainTimeoutSeconds"]), DEADLINE_SECONDS_MAX)
    # The answer that was decided upon at the deadline may be given a little later.
    early = answered_at + WORKING < request.sent_at + timedelta(seconds=seconds)
    after = (answered_at - request.sent_at).total_seconds()
    answer = request.answers[0][1]
    by_policy = "OnTimeout is" in answer["Reason"]
    if early and answer["Status"] != "SUCCESS":
        yield Violation(after, "early", f"{_name(request)} FAILED before its deadline")
    if by_policy and answer["Status"] != properties["OnTimeout"]:
        yield Violation(after, "policy", f"{_name(request)}: {answer['Status']}")
    if one.goes and not by_policy and answer["Status"] == "SUCCESS":
        for task in _left(outcome, fleet, answered_at):
            yield Violation(after, "early", f"{_name(request)} SUCCESS over task {task}")


def _left(outcome: Outcome, fleet: Fleet, at: datetime) -> Iterator[str]:
    """Yield the tasks on the fleet's instances of which something was left at an instant."""
    ids = set(fleet.ec2_instance_ids)
    latest: dict[str, str] = {}
    for fact in outcome.history:
        if fact.at > at or fact.about.get("ec2_instance_id") not in ids:
            continue
        if fact.kind == "task" and latest.get(fact.about["task_id"]) != ENDED:
            latest[fact.about["task_id"]] = fact.about["last_status"]
        elif fact.kind == "ended_unreported":
            latest[fact.about["task_id"]] = ENDED
    yield from (task for task, status in latest.items() if status != ENDED)


def _is_forgotten(outcome: Outcome, request: CustomResourceRequest) -> bool:
    """
    Whether its record went with the table, or none can be written any more.

    Its response URL is nowhere else: it cannot be answered, but for a message that comes again.
    """
    deleted = outcome.deleted_at is not None and request.sent_at <= outcome.deleted_at
    return deleted or not outcome.writable


def _excused(request: CustomResourceRequest, reason: str) -> bool:
    """
    Whether what should be SUCCESS may be FAILED: it was denied, or nothing could be seen.

    What is not authorized yet is looked for again. A second stack that is made in the meantime can
    deny something else, and a message can come late: then the time for it is over.
    """
    waited = request.answers[0][0] - request.sent_at
    spreads = "not authorized yet" in reason and waited >= LOOKED_FOR
    return spreads or "injected: denied" in reason or "No time was left" in reason


def _name(request: CustomResourceRequest) -> str:
    return f"{request.event['RequestType']} {request.event['RequestId'][:8]}"
