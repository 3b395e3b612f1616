"""
Judge what CloudFormation was answered by what was so in the account.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from drainer.simulation.checkers.violation import Violation

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from drainer.simulation.runs.request_world import RequestWorld
    from drainer.simulation.scenario.stack_operations import Asked
    from drainer.simulation.services.cloudformation.custom_resource import CustomResourceRequest
    from drainer.simulation.services.ec2.spot_fleet_model import Fleet

# The latest deadline: what CloudFormation allows, less what is kept for answering.
DEADLINE_SECONDS_MAX = 3_600 - 420
ENDED = "STOPPED"
TAKEN = 200
# After these nobody can know that the answer was taken, and it is given once more.
MAY_HIDE_AN_ANSWER = {
    "call denied",
    "call failing",
    "call performed, answer lost",
    "call throttled",
    "function killed between two calls",
}

# The account's clock stands still while the function works, and the function's own goes on.
WORKING = timedelta(seconds=30)


def judge(world: RequestWorld) -> Iterator[Violation]:
    """Yield each broken promise."""
    for crash in world.crashes:
        yield Violation(0.0, "crash", crash)
    # Whose message was given up before it could be written down has raised an alarm instead.
    buried = " ".join(world.installed.dead_letters)
    given_up = len(world.account.facts("dead_letter"))
    for one in world.asked:
        request = one.request
        seconds = (request.sent_at - world.trace.started_at).total_seconds()
        for sentence in request.faults:
            yield Violation(seconds, "answer", sentence)
        if request.answer is None:
            excused = one.cancelled or request.is_open or given_up
            if not excused and request.event["RequestId"] not in buried:
                yield Violation(seconds, "liveness", f"{_name(request)} was not answered in time")
            continue
        yield from _judge_answer(world, one, seconds)
    yield from _judge_stacks(world, silent=bool(given_up or buried))


def _judge_answer(world: RequestWorld, one: Asked, seconds: float) -> Iterator[Violation]:
    request, answer = one.request, one.request.answers[0][1]
    taken = [attempt for attempt in request.attempts if attempt.status == TAKEN]
    if len(taken) > 1 and not set(world.faults.injected) & MAY_HIDE_AN_ANSWER:
        yield Violation(seconds, "once", f"{_name(request)} was answered {len(taken)} times")
    if len({attempt.body for attempt in request.attempts}) > 1:
        yield Violation(seconds, "once", f"{_name(request)} was answered in two ways")
    if request.event["RequestType"] == "Delete":
        yield from _judge_delete(world, one)
    elif answer["Status"] != "SUCCESS" and not _excused(answer["Reason"]):
        yield Violation(seconds, "answer", f"{_name(request)}: {answer['Reason']}")


def _judge_stacks(world: RequestWorld, *, silent: bool) -> Iterator[Violation]:
    """Yield each stack that cannot go back, and each fleet that stays and does not serve."""
    for stack in world.operations:
        known = world.account.stacks.stacks.get(stack.name)
        if known is not None and known.status == "UPDATE_ROLLBACK_FAILED" and not silent:
            yield Violation(0.0, "rollback", f"{stack.name} is at UPDATE_ROLLBACK_FAILED")
        for fleet in stack.stays:
            found = [world.account.ecs.container_instance(one) for one in fleet.ec2_instance_ids]
            idle = [one.ec2_instance_id for one in found if one and one.status != "ACTIVE"]
            if idle:
                yield Violation(0.0, "stays", f"{fleet.fleet_id} stays, and {idle} are not ACTIVE")


def _judge_delete(world: RequestWorld, one: Asked) -> Iterator[Violation]:
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
        for task in _left(world, fleet, answered_at):
            yield Violation(after, "early", f"{_name(request)} SUCCESS over task {task}")


def _left(world: RequestWorld, fleet: Fleet, at: datetime) -> Iterator[str]:
    """Yield the tasks on the fleet's instances of which something was left at an instant."""
    ids = set(fleet.ec2_instance_ids)
    latest: dict[str, str] = {}
    for fact in world.account.history:
        if fact.at > at or fact.about.get("ec2_instance_id") not in ids:
            continue
        if fact.kind == "task" and latest.get(fact.about["task_id"]) != ENDED:
            latest[fact.about["task_id"]] = fact.about["last_status"]
        elif fact.kind == "ended_unreported":
            latest[fact.about["task_id"]] = ENDED
    yield from (task for task, status in latest.items() if status != ENDED)


def _excused(reason: str) -> bool:
    """Whether what should be SUCCESS may be FAILED: it was denied, or nothing could be seen."""
    return "injected: denied" in reason or "no time was left" in reason


def _name(request: CustomResourceRequest) -> str:
    return f"{request.event['RequestType']} {request.event['RequestId'][:8]}"
