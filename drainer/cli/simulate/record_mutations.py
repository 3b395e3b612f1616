"""
Deliberate bugs in the protocol of the drain's record, each public function one.

Most are the worse protocols of which an exhaustive model has counterexamples (tests/model). A bug
lives in the memory of one process, which does nothing else; no file is changed.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from drainer.aws import records
from drainer.cli.simulate.swap import swap
from drainer.drain import admission, envelope
from drainer.drain.admission import Admission, Admitted
from drainer.drain.conditional_write import Demand, Outcome, Write, Written
from drainer.drain.may_leave import Phase
from drainer.drain.model import Origin
from drainer.drain.record import DrainRecord, End
from drainer.errors import DrainerError
from drainer.lifecycle import acting, controller, drained_by_us, record_writes, recorder
from drainer.lifecycle.rules import Step

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

FOLLOWING = frozenset({Admission.DUE, Admission.TAKEOVER})
FREE = frozenset({Phase.DRAINED, Phase.UNREGISTERED})


def publish_before_the_hop_is_claimed() -> None:
    """Publish what is next, and write the record then, so that two passes of a hop both do."""

    def re_invoking(self: Any, unit: Sequence[Any]) -> None:
        first = [one for one in unit if one.decision.republish and _follows(one)]
        self._publish(first, self._time.now())
        self._recorder.claim(first)
        right(self, [one for one in unit if one not in first])

    right = swap(acting.HookActions, "_re_invoke", re_invoking)


def _follows(outcome: Any) -> bool:
    return outcome.admitted.admission in FOLLOWING


def claim_whatever_the_hop() -> None:
    """Write a pass without the condition that no other pass has written its hop."""

    def updating(write: Write, item: Any) -> Any:
        if write.condition.demand == Demand.FOLLOWS:
            write = replace(write, condition=replace(write.condition, hop=None))
        return right(write, item)

    right = swap(records, "update", updating)


def publish_what_a_duplicate_finds_next() -> None:
    """Let a duplicate publish what the record says is next, beside who was first."""

    def passing(self: Any, drains: Any, *, time: Any, **more: Any) -> Any:
        report = right(self, drains, time=time, **more)
        for one in report.not_admitted:
            if one.admission == Admission.DUPLICATE and one.drain.origin == Origin.CHAIN:
                with suppress(DrainerError):
                    following = replace(one.record.drain, sent_at=time.now())
                    self._topic.publish([envelope.encode(following)])
        return report

    right = swap(controller.Controller, "run_pass", passing)


def never_take_over_what_is_silent() -> None:
    """Take a message that comes again for a duplicate, though no pass has gone on."""

    def admitting(drain: Any, *of: Any) -> Admitted:
        admitted = right(drain, *of)
        if drain.origin == Origin.CHAIN and admitted.admission == Admission.TAKEOVER:
            return replace(admitted, admission=Admission.DUPLICATE)
        return admitted

    right: Callable[..., Admitted] = swap(recorder, "admit", admitting)


def take_over_what_is_not_silent() -> None:
    """Let each duplicate go on as if the chain were lost."""

    def admitting(drain: Any, *of: Any) -> Admitted:
        admitted = right(drain, *of)
        if drain.origin != Origin.CHAIN or admitted.admission != Admission.DUPLICATE:
            return admitted
        record: Any = admitted.record
        return Admitted(Admission.TAKEOVER, replace(record.drain, sent_at=drain.sent_at), record)

    right: Callable[..., Admitted] = swap(recorder, "admit", admitting)


def forget_the_pass_id() -> None:
    """Take a repetition of its own write, which the write refuses, for another pass's."""
    swap(records, "refused", lambda _, there: Written(Outcome.REFUSED, there))


def create_after_the_heartbeat() -> None:
    """Keep alive what the sweep has found before its record, with the deadline, is there."""
    swap(recorder.Recorder, "create", lambda *_: None)


def replace_a_record_unproven() -> None:
    """Believe a token that is not the record's before Auto Scaling has confirmed it."""

    def acting_on(self: Any, unit: Sequence[Any]) -> None:
        for outcome in unit:
            admitted, drain = outcome.admitted, outcome.drain
            named = drain.action.lifecycle_action_token
            if admitted.admission == Admission.NEW and admitted.record is not None and named:
                first = replace(drain, hop=0)
                recorder = self._recorder
                write = record_writes.first(outcome, first, Demand.REPLACES, recorder._stamp())  # noqa: SLF001
                recorder._write(outcome, write)  # noqa: SLF001
        right(self, unit)

    right = swap(acting.HookActions, "_act_on", acting_on)


def end_the_record_of_another_token() -> None:
    """Take a token that Auto Scaling refuses for the end of the action that has the record."""

    def end(outcome: Any, stamp: Any) -> Write | None:
        admitted = outcome.admitted
        if outcome.over and admitted.admission in {Admission.NEW, Admission.JOIN}:
            there: DrainRecord | None = admitted.record
            if there is not None:
                return record_writes.ending(outcome, there, End.OVER, stamp)
        return right(outcome, stamp)  # type: ignore[no-any-return]

    right = swap(record_writes, "end", end)


def join_whenever_the_action_began() -> None:
    """Add the token of a later action to the record that the sweep made for an earlier one."""

    def of_message(drain: Any, record: Any, *more: Any, **silent: Any) -> Admission:
        if record is not None:
            drain = replace(drain, started_at=min(drain.started_at, record.drain.started_at))
        return right(drain, record, *more, **silent)  # type: ignore[no-any-return]

    right = swap(admission, "_of_message", of_message)


def fail_while_the_table_is_down() -> None:
    """Have a message delivered again whose record cannot be read, and do nothing for it."""

    def act(self: Any, outcomes: Sequence[Any]) -> None:
        for one in outcomes:
            if one.admitted.admission == Admission.UNREAD:
                one.retry_reason = "the drain's record cannot be read"
        right(self, [one for one in outcomes if not one.retry_reason])

    right = swap(acting.HookActions, "act", act)


def answer_nothing_while_the_table_is_down() -> None:
    """Wait for the deadline where no record can be read."""

    def withheld(decision: Any, admitted: Admitted, view: Any) -> Any:
        found = right(decision, admitted, view)
        if admitted.admission == Admission.UNREAD and found.phase in FREE:
            return replace(found, step=Step.RE_INVOKE, result=None)
        return found

    right = swap(controller, "_withheld", withheld)


def forget_to_write_the_end() -> None:
    """Leave a record open whose action has been answered."""
    swap(recorder.Recorder, "end", lambda *_: None)


def follow_nothing() -> None:
    """Forget with a drain's end that its instance may come back into service."""

    def recorded(*of: Any, **more: Any) -> DrainRecord:
        return replace(right(*of, **more), followed=False)

    right: Callable[..., DrainRecord] = swap(record_writes, "_record", recorded)


def follow_what_was_never_drained() -> None:
    """Set ACTIVE later on what no drain of ours has set DRAINING."""
    swap(DrainRecord, "may_have_drained", value=True)
    swap(drained_by_us, "_is_newer", lambda *_: False)


def hurry_with_the_next_hop() -> None:
    """Publish a quiet drain's next hop at an event, so that its own message is not first."""

    def following(self: Any) -> Any:
        return replace(right(self), hop=self.hop + 1)

    right: Callable[..., Any] = swap(DrainRecord, "next_message", following)
