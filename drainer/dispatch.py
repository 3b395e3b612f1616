"""
Dispatch the records of one invocation to the controllers. A record that fails is retried alone.

Messages that must be delivered again are returned by key, with the reason.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from drainer import events
from drainer.custom_resource.re_invocation import Continuation, furthest
from drainer.custom_resource.report import Report, Step
from drainer.custom_resource.request import Request
from drainer.drain.actions import CALL_SECONDS
from drainer.drain.model import Drain, StoppedTask, Sweep, WakeUp
from drainer.errors import DrainerError
from drainer.lifecycle.followed import comes_first
from drainer.spot.comeback_events import Comeback
from drainer.spot.events import Interruption, TaskInterruption

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime

    from drainer.custom_resource.controller import RequestController
    from drainer.custom_resource.re_invocation import Asked
    from drainer.invocation import InvocationClock
    from drainer.lifecycle.controller import Controller, PassReport
    from drainer.lifecycle.reactivation import Reactivation
    from drainer.spot.controller import InterruptionController
    from drainer.telemetry import Telemetry

    # A lifecycle action's, a request's, or an interruption's.
    Key = events.Key | str


@dataclass(frozen=True, slots=True)
class Work:
    """The work in the records of one invocation, without interruptions."""

    drains: list[Drain]
    wake_ups: list[WakeUp]
    stopped: list[StoppedTask]
    requests: list[Asked]
    sweep: bool

    @classmethod
    def of(cls, contents: Iterable[events.Content]) -> Work:
        """Sort what the records ask for. Duplicates become one."""
        known = list(contents)
        return cls(
            drains=events.collapse([one for one in known if isinstance(one, Drain)]),
            wake_ups=list(dict.fromkeys(one for one in known if isinstance(one, WakeUp))),
            stopped=list(dict.fromkeys(one for one in known if isinstance(one, StoppedTask))),
            requests=furthest(one for one in known if isinstance(one, Request | Continuation)),
            sweep=any(isinstance(one, Sweep) for one in known),
        )


@dataclass(frozen=True, slots=True)
class Controllers:
    """
    The controllers that a batch is dispatched to.

    Attributes:
        controller: Passes over drains.
        reactivation: Brings back what was drained and stays.
        requests: Makes what passes over requests; asked where there is one, or may be.
        telemetry: Where to report to.
        waiting: Returns how many notifications Lambda has not received; asked by each sweep.
        tell: Tell operators of single drains, after a pass: by messages, by traces.
    """

    controller: Controller
    reactivation: Reactivation
    requests: Callable[[], RequestController]
    telemetry: Telemetry
    waiting: Callable[[], int] = int
    tell: Sequence[Callable[[PassReport, InvocationClock], None]] = ()


def serve_interruptions(
    contents: Iterable[events.Content],
    controller: Callable[[], InterruptionController],
    telemetry: Telemetry,
    time: InvocationClock,
) -> dict[Key, str]:
    """Act on interruptions and return what must come again: what it is about, and why."""
    told = [one for one in contents if isinstance(one, Interruption | TaskInterruption | Comeback)]
    if not told:
        return {}
    try:
        reports = controller().act(told, time)
    except Exception as error:  # noqa: BLE001 (whatever it is, it must not spoil the others)
        telemetry.crashed(error, [one.key for one in told])
        if len(told) == 1:
            return {told[0].key: f"{type(error).__name__}: {error}"}
        retries: dict[Key, str] = {}
        for one in told:
            retries.update(serve_interruptions([one], controller, telemetry, time))
        return retries
    telemetry.interrupted(reports)
    return {one.key: one.retry_reason for one in reports if one.retry_reason}


def serve(work: Work, by: Controllers, time: InvocationClock) -> dict[Key, str]:
    """Do the work and return what must be delivered again: what it is about, and why."""
    first = [one for one in work.requests if isinstance(one, Continuation) and one.postponed]
    others = [one for one in work.requests if one not in first]
    before_drains = work.sweep and comes_first(time.now())
    if before_drains:
        _bring_back(work, by, time)
    # Lifecycle actions come first, since theirs are the shorter timeouts; but not always.
    retries = serve_requests(first, by, time)
    retries.update(serve_drains(work, by, time))
    retries.update(serve_requests(others, by, time))
    if (work.sweep or work.wake_ups) and not before_drains:
        _bring_back(work, by, time)
    if work.sweep:
        lost = _lost(by, time.now())
        by.telemetry.impaired({"chains_lost": len(lost)})
        serve_requests(lost, by, time)
        _report_waiting(by, time)
    return retries


def _bring_back(work: Work, by: Controllers, time: InvocationClock) -> None:
    try:
        returned = by.reactivation.run(work.wake_ups, sweep=work.sweep, time=time)
    except Exception as error:  # noqa: BLE001 (whatever it is, it must not spoil the others)
        by.telemetry.crashed(error, [one.ec2_instance_id for one in work.wake_ups])
        return
    by.telemetry.returned(returned)


def serve_drains(work: Work, by: Controllers, time: InvocationClock) -> dict[Key, str]:
    """Run a pass; return what must be delivered again, and why."""
    if not (work.drains or work.stopped or work.sweep):
        return {}
    try:
        report = by.controller.run_pass(
            work.drains,
            time=time,
            stopped=[one.container_instance_arn for one in work.stopped],
            sweep=work.sweep,
        )
    except Exception as error:  # noqa: BLE001 (whatever it is, it must not spoil the others)
        by.telemetry.crashed(error, [drain.action.ec2_instance_id for drain in work.drains])
        if len(work.drains) <= 1 and not (work.stopped or work.sweep):
            said = f"{type(error).__name__}: {error}"
            return {events.key_of(drain.action): said for drain in work.drains}
        alone = [Work([drain], [], [], [], sweep=False) for drain in work.drains]
        served = [serve_drains(one, by, time) for one in alone]
        return {key: said for retries in served for key, said in retries.items()}
    by.telemetry.passed(report, time.now())
    for tell in by.tell:
        tell(report, time)
    # Wake-ups and sweeps are not delivered again: the chain and the next sweep come anyway.
    return {
        events.key_of(outcome.message): outcome.retry_reason
        for outcome in report.outcomes
        if outcome.retry_reason and outcome.message
    }


def serve_requests(
    asked: Iterable[Asked], by: Controllers, time: InvocationClock
) -> dict[Key, str]:
    """Serve requests of CloudFormation one by one."""
    retries: dict[Key, str] = {}
    for one in asked:
        try:
            report = by.requests().run_pass(one, time)
        except Exception as error:  # noqa: BLE001 (whatever it is, it must not spoil the others)
            by.telemetry.crashed(error, [])
            retries[one.key] = type(error).__name__
            continue
        by.telemetry.requested(report)
        if report.step == Step.RETRY:
            retries[one.key] = report.reason
    return retries


def _report_waiting(by: Controllers, time: InvocationClock) -> None:
    """
    Report notifications and requests of CloudFormation that Lambda has not received.

    In a crowd a sweep may find some. Three sweeps in a row find some if Lambda does not read the
    queue, and no other invocation would show that.
    """
    if time.seconds_left() < CALL_SECONDS:
        return  # the next sweep looks
    try:
        by.telemetry.impaired({"messages_waiting": by.waiting()})
    except DrainerError as error:
        by.telemetry.failed(f"The notification queue was not read: {error}")


def _lost(by: Controllers, now: datetime) -> list[Continuation]:
    recorder, found = by.requests().recorder, list[Continuation]()
    for former in (False, True):
        try:
            found += recorder.lost(now, former=former)
        except DrainerError as error:
            # The next sweep looks again.
            unread = Report("", 0, reason=f"Open requests could not be listed: {error}")
            by.telemetry.requested(unread)
    return found


def key_of(content: events.Content) -> Key | None:
    """Return what tells what a record asks for from other things; None for what is not retried."""
    if isinstance(content, Drain):
        return events.key_of(content.action)
    keyed = (Request, Continuation, Interruption, TaskInterruption, Comeback)
    return content.key if isinstance(content, keyed) else None
