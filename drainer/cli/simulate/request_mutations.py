"""
Deliberate bugs in what serves CloudFormation's requests, each public function one.

A bug lives in the memory of one process, which does nothing else; no file is changed.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

from drainer.aws.custom_resource import TargetGateway
from drainer.aws.records import RecordTable
from drainer.aws.topic import TopicGateway
from drainer.cli.simulate.swap import swap
from drainer.custom_resource import answers, belief, reactivation, recorder, stack, target_status
from drainer.custom_resource import controller as requests
from drainer.custom_resource import target_drain as fleet
from drainer.custom_resource.progress import Member, RequestProgress
from drainer.custom_resource.properties import Status
from drainer.custom_resource.request import RequestType
from drainer.drain import may_leave
from drainer.drain.admission import Admission
from drainer.drain.conditional_write import Condition, Demand, Outcome, Written
from drainer.drain.may_leave import RULES, Act, Phase
from drainer.errors import DrainerError, UnavailableError


def take_an_error_for_a_fleet_that_is_gone() -> None:
    """Take a listing that failed for a fleet that there is no more (defect 10)."""

    def instances(self: Any, target: Any) -> Any:
        with suppress(DrainerError):
            return right(self, target)
        return None

    right = swap(TargetGateway, "instances", instances)


def believe_one_listing() -> None:
    """Answer as soon as one listing of the fleet has shown nothing."""
    swap(target_status.TargetStatus, "complete", property(lambda self: self.done == self.total))


def forget_what_a_listing_lacks() -> None:
    """Look only at what the latest listing has."""

    def draining(self: Any, progress: RequestProgress, target: Any, *more: Any) -> Any:
        listed: Any = progress.history
        with suppress(DrainerError):
            listed = self._targets.instances(target) or ()
        known = {
            one: member if one in listed else replace(member, done=True)
            for one, member in progress.history.items()
        }
        return right(self, replace(progress, history=known), target, *more)

    right = swap(fleet.TargetDrain, "drain", draining)


def take_draining_for_drained() -> None:
    """Let an instance go as soon as ECS wants nothing on it to run (defect 1)."""
    rules = (replace(one, act=Act.LEAVE) if one.phase == Phase.CLOSING else one for one in RULES)
    swap(may_leave, "RULES", tuple(rules))


def never_look_again_at_what_may_go() -> None:
    """Forget that an instance was not seen to be free when it is said to be."""
    swap(fleet, "_member", lambda *_: Member(done=True))


def wait_for_ever() -> None:
    """Re-invoke past the deadline (defect 12)."""

    def passing(self: Any, progress: Any, this: Any) -> None:
        never = this.record.deadline_at.replace(year=this.record.deadline_at.year + 1)
        right(self, progress, replace(this, record=replace(this.record, deadline_at=never)))

    right = swap(requests.RequestController, "_pass", passing)


def always_succeed_at_the_deadline() -> None:
    """Answer SUCCESS at the deadline, whatever OnTimeout says (defect 26)."""

    def overdue(*of: Any) -> Any:
        return replace(right(*of), status=Status.SUCCESS)

    right = swap(answers, "_at_the_deadline", overdue)


def leave_lost_chains_alone() -> None:
    """Find nothing in the sweep."""
    swap(recorder.RequestRecorder, "lost", lambda *_, **__: [])


def write_nothing_down() -> None:
    """Take for written what is not (defect 15)."""
    swap(RecordTable, "write", lambda _, writes: [Written(Outcome.DONE) for _ in writes])


def answer_whatever_the_hop() -> None:
    """Claim the hop though another pass has had it."""

    def condition(demand: Demand, generation: int = 0, _hop: int | None = None) -> Condition:
        return Condition(demand, generation)

    swap(recorder, "Condition", condition)
    swap(requests, "admit", lambda *_: Admission.DUE)


def forget_to_write_the_end_of_a_request() -> None:
    """Leave open what was answered, so that each sweep answers it once more."""
    swap(recorder.RequestRecorder, "end", lambda *_: True)


def decide_anew_each_time() -> None:
    """Look again before an answer is given once more, and say what is so then."""

    def passing(self: Any, progress: Any, this: Any) -> None:
        right(self, replace(progress, answer=None), this)

    right = swap(requests.RequestController, "_pass", passing)


def take_a_refused_put_for_an_answer() -> None:
    """Take an answer that the response URL refused for one that it took (defect 8)."""

    def answering(self: Any, *of: Any) -> None:
        respond = self._respond

        def careless(url: str, body: bytes) -> None:
            with suppress(UnavailableError):
                respond(url, body)

        self._respond = careless
        right(self, *of)
        self._respond = respond

    right = swap(requests.RequestController, "_answer", answering)


def drop_the_re_invocation() -> None:
    """Take a re-invocation that was not published for one that was (defect 8)."""

    def publishing(self: Any, messages: Any) -> Any:
        with suppress(DrainerError):
            right(self, messages)
        return {}

    right = swap(TopicGateway, "publish", publishing)
    leave_lost_chains_alone()


def fail_what_cannot_be_done_in_a_rollback() -> None:
    """Answer an Update of a rollback as any other (UPDATE_ROLLBACK_FAILED)."""
    swap(answers, "_goes_back", lambda _: False)

    def overdue(self: Any, request: Any, seen: Any, report: Any) -> Any:
        answer = late(self, request, seen, report)
        update = request.request_type == RequestType.UPDATE
        return replace(answer, status=Status.FAILED) if update else answer

    late = swap(answers.Answers, "overdue", overdue)


def rename_what_stays_at_every_update() -> None:
    """Give a target that stays another physical id, so that CloudFormation deletes the old one."""

    def physical_id(self: Any, request: Any, target: Any, *_: Any, **__: Any) -> str:
        del self
        return f"{target.physical_id}-{request.request_id[:4]}"

    swap(reactivation.TargetReactivation, "physical_id", physical_id)


def drain_whatever_is_deleted() -> None:
    """Drain the target of every Delete, though it stays."""
    swap(belief.Belief, "stays", lambda *_: "")


def take_all_of_a_stack_for_new() -> None:
    """Take what was there before an update for what it has added."""
    swap(stack, "_is_new", lambda *_: True)


def drop_a_request_at_the_first_doubt() -> None:
    """Believe the first answer about a stack, however old it is."""
    swap(belief, "DOUBTED", timedelta(0))
