"""
CloudFormation's operations as AWS performs them: who is asked what, under which status.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from drainer.simulation.aws import Aws
from drainer.simulation.scenario.stack_operations import DRAIN, StackOperations

if TYPE_CHECKING:
    from drainer.simulation.services.cloudformation.custom_resource import CustomResourceRequest
    from drainer.simulation.services.ec2.spot_fleet_model import Fleet

START = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
CLEANING_BACK = "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS"


class Provider:
    """Answers each request as it is told to, with the fleet's id; silence is an empty word."""

    def __init__(self, *answers: str) -> None:
        self.account = Aws(now=START)
        self.old, self.new = self.fleet(), self.fleet()
        self.answers = [*answers]
        self.seen: list[tuple[str, str, str]] = []
        self.events: list[dict[str, Any]] = []
        self.stack = StackOperations(
            self.account, "shop", lambda fleet: {"SpotFleet": fleet.fleet_id}, self.answer
        )

    def fleet(self) -> Fleet:
        return self.account.fleets.create("payments", 1, already_running=True)

    def answer(self, request: CustomResourceRequest) -> None:
        event = request.event
        described = self.account.stacks.seen(self.account.stacks.stacks["shop"])
        self.seen.append((event["RequestType"], described.status, described.rows[DRAIN].status))
        self.events.append(event)
        status = self.answers.pop(0)
        if not status:
            return
        known = event.get("PhysicalResourceId", "")
        named = event["ResourceProperties"]["SpotFleet"]
        keeps = status == "FAILED" or event["RequestType"] == "Delete"
        copied = {name: event[name] for name in ("StackId", "RequestId", "LogicalResourceId")}
        body = {"Status": status, "Reason": "so", "PhysicalResourceId": known if keeps else named}
        url, text = event["ResponseURL"], json.dumps({**copied, **body}).encode()
        self.account.after(1, lambda: self.account.stacks.respond(url, text))

    def status(self) -> str:
        self.account.run_for(4 * 3_600)
        return self.account.stacks.stacks["shop"].status


def test_a_rollback_sends_a_second_update_with_the_properties_exchanged() -> None:
    # aws-facts: the stack is UPDATE_ROLLBACK_IN_PROGRESS then, and cleans up what it had made.
    provider = Provider("SUCCESS", "SUCCESS", "SUCCESS")
    provider.stack.run(provider.stack.replace(provider.old, lambda: provider.new, fails=True))

    assert provider.status() == "UPDATE_ROLLBACK_COMPLETE"
    assert provider.seen == [
        ("Update", "UPDATE_IN_PROGRESS", "UPDATE_IN_PROGRESS"),
        ("Update", "UPDATE_ROLLBACK_IN_PROGRESS", "UPDATE_IN_PROGRESS"),
        ("Delete", CLEANING_BACK, "UPDATE_COMPLETE"),
    ]
    there, back, deleted = provider.events
    assert there["ResourceProperties"] == back["OldResourceProperties"]
    assert back["ResourceProperties"] == there["OldResourceProperties"]
    assert back["PhysicalResourceId"] == deleted["PhysicalResourceId"] == provider.new.fleet_id


@pytest.mark.parametrize("first", ["FAILED", ""])
def test_an_update_that_failed_itself_is_sent_back_and_may_not_fail_again(first: str) -> None:
    provider = Provider(first, "FAILED")
    provider.stack.run(provider.stack.replace(provider.old, lambda: provider.new, fails=False))

    assert provider.status() == "UPDATE_ROLLBACK_FAILED"
    assert provider.events[1]["PhysicalResourceId"] == provider.old.fleet_id


def test_a_create_that_was_cancelled_is_deleted_by_an_id_that_was_made_up() -> None:
    # The Create may still run then.
    provider = Provider("", "SUCCESS")
    provider.stack.run(provider.stack.cancel(provider.old, 0.0))

    assert provider.status() == "UPDATE_ROLLBACK_COMPLETE"
    assert provider.seen[1] == ("Delete", CLEANING_BACK, "DELETE_IN_PROGRESS")
    assert provider.events[1]["PhysicalResourceId"].startswith("shop-Drain-")


def test_a_resource_that_was_added_is_deleted_in_the_clean_up() -> None:
    provider = Provider("SUCCESS", "SUCCESS")
    provider.stack.run(provider.stack.adopt(provider.old))

    assert provider.status() == "UPDATE_ROLLBACK_COMPLETE"
    assert [kind for kind, *_ in provider.seen] == ["Create", "Delete"]
    assert provider.seen[1][1] == CLEANING_BACK


def test_a_clean_up_asks_three_times_and_goes_on_without() -> None:
    provider = Provider("SUCCESS", "FAILED", "FAILED", "FAILED")
    provider.stack.run(provider.stack.replace(provider.old, lambda: provider.new, fails=False))

    assert provider.status() == "UPDATE_COMPLETE"
    assert [kind for kind, *_ in provider.seen] == ["Update", "Delete", "Delete", "Delete"]
    assert {event["PhysicalResourceId"] for event in provider.events} == {provider.old.fleet_id}


def test_answers_about_a_stack_may_be_out_of_date() -> None:
    account = Aws(now=START)
    account.stacks.phase("shop", "UPDATE_IN_PROGRESS", changed_at=START)
    account.run_for(10)
    account.stacks.phase("shop", "UPDATE_COMPLETE")
    account.run_for(10)

    def told() -> str:
        stacks = account.call("cloudformation", "DescribeStacks", {"StackName": "shop"})["Stacks"]
        return str(stacks[0]["StackStatus"])

    assert told() == "UPDATE_COMPLETE"
    account.stacks.lag_seconds = 15.0
    assert told() == "UPDATE_IN_PROGRESS"
