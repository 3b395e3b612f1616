"""CloudFormation asks and waits an hour: what `Custom::ECSDrain` answers, once, and when."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from drainer.custom_resource.report import Step
from drainer.simulation.records import ApiError
from drainer.simulation.scenario.stack_operations import FLEET_TYPE, StackOperations
from drainer.simulation.services.cloudformation.stack_model import Row
from drainer.simulation.services.ecs.definitions import NEVER_STOPS, TaskProfile
from drainer.simulation.services.messaging.functions import Function
from drainer.simulation.services.quotas import Quotas
from tests.simulation.conftest import CLUSTER, GROUP

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from drainer.simulation.records import Call
    from drainer.simulation.services.cloudformation.custom_resource import CustomResourceRequest
    from drainer.simulation.services.ec2.spot_fleet_model import Fleet
    from drainer.simulation.services.messaging.delivery import Publication
    from tests.simulation.conftest import World

HOUR_SECONDS = 3_600
SWEEP_SECONDS = 300
# What stays between the deadline and CloudFormation's timeout.
MARGIN_SECONDS = 420
WRITES_TO_ECS = ("UpdateContainerInstancesState", "StopTask", "PutAttributes", "DeleteAttributes")
WAYS = ("topic", "function")


@dataclass
class Shop:
    """A stack with a Spot Fleet, its custom resource, and the drainer that serves it."""

    world: World
    fleet: Fleet

    def properties(self, fleet: Fleet | None = None, **more: Any) -> dict[str, Any]:
        return {"Cluster": CLUSTER, "SpotFleet": (fleet or self.fleet).fleet_id} | more

    def ask(
        self, kind: Any, properties: Mapping[str, Any], *, way: str = "topic", **more: Any
    ) -> CustomResourceRequest:
        request = self.world.account.stacks.request(kind, properties, **more)
        self.deliver(request, way)
        return request

    def deliver(self, request: CustomResourceRequest, way: str = "topic") -> None:
        if way == "topic":
            request.by_topic(self.world.installed.topic)
        else:
            request.by_function(self.world.installed.function)

    def delete(self, fleet: Fleet | None = None, **more: Any) -> CustomResourceRequest:
        delivery = {name: more.pop(name) for name in ("way", "timeout_seconds") if name in more}
        target = fleet or self.fleet
        properties = self.properties(target, **more)
        return self.ask("Delete", properties, physical_id=target.fleet_id, **delivery)

    def until_answered(self, request: CustomResourceRequest) -> dict[str, Any]:
        self.world.account.run_until(
            lambda: request.answer is not None, timedelta(seconds=HOUR_SECONDS)
        )
        assert request.faults == []
        assert request.answer is not None
        return request.answer

    def answered_seconds(self, request: CustomResourceRequest) -> float:
        return (request.answers[0][0] - request.sent_at).total_seconds()

    def statuses(self, fleet: Fleet | None = None) -> set[str]:
        ids = (fleet or self.fleet).ec2_instance_ids
        found = [self.world.account.ecs.container_instance(one) for one in ids]
        return {instance.status for instance in found if instance}

    def tasks_left(self, fleet: Fleet | None = None) -> int:
        ecs = self.world.account.ecs
        ids = (fleet or self.fleet).ec2_instance_ids
        return sum(len(ecs.remaining_tasks(one)) for one in ids)

    @property
    def steps(self) -> list[Step]:
        return [report.step for report in self.world.reports.requests]


@pytest.fixture
def make_shop(make_world: Callable[..., World]) -> Callable[..., Shop]:
    def make(count: int = 3, *, tasks: int | None = None, **settings: Any) -> Shop:
        world = make_world(
            custom_resources=True, **{"sweep_interval_seconds": SWEEP_SECONDS, **settings}
        )
        fleet = world.account.fleets.create(CLUSTER, count, already_running=True)
        world.service(count if tasks is None else tasks)
        world.run(60)
        return Shop(world, fleet)

    return make


def replacement(shop: Shop, count: int = 3) -> Fleet:
    """Let another fleet join, as CloudFormation does before it deletes the old one."""
    return shop.world.account.fleets.create(CLUSTER, count, already_running=True)


def job(shop: Shop, profile: TaskProfile) -> None:
    """Start a standalone task on the first instance of the fleet."""
    first = shop.fleet.ec2_instance_ids[0]
    shop.world.account.ecs.run_standalone(CLUSTER, first, family="report", profile=profile)


def refuse(shop: Shop, operation: str, code: str, status: int = 400) -> Callable[[], None]:
    """Let every call of an operation fail; return what ends that."""

    def intercept(call: Call) -> None:
        if call.operation == operation:
            raise ApiError(code, "for the test", status)

    interceptors = shop.world.account.interceptors
    interceptors.append(intercept)
    return lambda: interceptors.remove(intercept)


# -- what each request is answered with


@pytest.mark.parametrize("way", WAYS)
def test_create_is_answered_with_what_it_guards_and_changes_nothing(
    make_shop: Callable[..., Shop], way: str
) -> None:
    # A fleet that drains as its stack is created never serves.
    shop = make_shop()

    request = shop.ask("Create", shop.properties(), way=way)
    answer = shop.until_answered(request)

    assert (answer["Status"], answer["PhysicalResourceId"]) == ("SUCCESS", shop.fleet.fleet_id)
    assert shop.statuses() == {"ACTIVE"}


@pytest.mark.parametrize("way", WAYS)
def test_delete_is_answered_when_the_last_task_of_the_fleet_is_stopped(
    make_shop: Callable[..., Shop], way: str
) -> None:
    # CloudFormation deletes the fleet at once: what still serves then is cut.
    shop = make_shop()
    replacement(shop)

    request = shop.delete(way=way)
    answer = shop.until_answered(request)

    assert answer["Status"] == "SUCCESS"
    assert answer["PhysicalResourceId"] == shop.fleet.fleet_id
    assert shop.tasks_left() == 0
    assert shop.statuses() == {"DRAINING"}
    last = max(shop.world.last_stopped_seconds(one) for one in shop.fleet.ec2_instance_ids)
    # Two looks, a pass interval apart, and nothing else lies in between.
    assert 0 <= shop.world.seconds(request.answers[0][0]) - last <= 2 * 16


def test_update_is_answered_with_the_new_fleet_and_leaves_the_old_one_alone(
    make_shop: Callable[..., Shop],
) -> None:
    # The old one is what a rollback goes back to.
    shop = make_shop()
    new = replacement(shop)

    request = shop.ask(
        "Update",
        shop.properties(new),
        physical_id=shop.fleet.fleet_id,
        old_properties=shop.properties(),
    )
    answer = shop.until_answered(request)

    assert (answer["Status"], answer["PhysicalResourceId"]) == ("SUCCESS", new.fleet_id)
    assert shop.statuses() == {"ACTIVE"}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"Cluster": "no such cluster!"}, "Cluster"),
        ({"Cluster": "elsewhere"}, "Cluster"),
        ({"SpotFleet": "sfr-00000000-0000-0000-0000-000000000000"}, "SpotFleet"),
        ({"SpotFleet": "web"}, "SpotFleet"),
        ({"AutoScalingGroupName": GROUP}, "exactly one of"),
        ({"DrainTimeoutSeconds": "1 hour"}, "DrainTimeoutSeconds"),
        ({"OnTimeout": "IGNORE"}, "OnTimeout"),
        ({"StandaloneTasks": "kill"}, "StandaloneTasks"),
        ({"DrainTimeout": "60"}, "DrainTimeout"),
    ],
)
@pytest.mark.parametrize("kind", ["Create", "Update"])
def test_a_wrong_property_fails_the_stack_with_a_sentence_that_names_it(
    make_shop: Callable[..., Shop], change: dict[str, Any], named: str, kind: str
) -> None:
    # Else a typo shows when the fleet is deleted, and nothing drains it.
    shop = make_shop()
    more = {} if kind == "Create" else {"physical_id": "sfr-old"}

    answer = shop.until_answered(shop.ask(kind, shop.properties(**change), **more))

    assert answer["Status"] == "FAILED"
    assert named in answer["Reason"]
    # What CloudFormation goes back to is the old id, or one whose Delete drains nothing.
    assert kind == "Create" or answer["PhysicalResourceId"] == "sfr-old"
    assert shop.statuses() == {"ACTIVE"}


def test_the_delete_of_what_was_refused_drains_nothing(make_shop: Callable[..., Shop]) -> None:
    # A rollback would otherwise drain a fleet for a typo in another property.
    shop = make_shop()
    wrong = shop.properties(DrainTimeoutSeconds="soon")
    refused = shop.until_answered(shop.ask("Create", wrong))

    request = shop.ask("Delete", wrong, physical_id=refused["PhysicalResourceId"])
    answer = shop.until_answered(request)

    assert answer["Status"] == "SUCCESS"
    assert shop.answered_seconds(request) == 0
    assert shop.statuses() == {"ACTIVE"}


@pytest.mark.parametrize(
    "properties",
    [
        {},
        {"Cluster": CLUSTER},
        {"Cluster": "???", "SpotFleet": "sfr-1"},
        {"Cluster": CLUSTER, "SpotFleet": ""},
    ],
)
def test_delete_never_fails_for_bad_input(
    make_shop: Callable[..., Shop], properties: dict[str, Any]
) -> None:
    # A stack that cannot be deleted is what people remember of a custom resource.
    shop = make_shop()

    answer = shop.until_answered(shop.ask("Delete", properties, physical_id="whatever"))

    assert answer["Status"] == "SUCCESS"
    assert answer["PhysicalResourceId"] == "whatever"
    assert "Not drained" in answer["Reason"]


def test_a_wrong_setting_beside_a_right_target_is_replaced_on_delete(
    make_shop: Callable[..., Shop],
) -> None:
    # The fleet serves, whatever its template says of timeouts.
    shop = make_shop()
    replacement(shop)

    answer = shop.until_answered(shop.delete(OnTimeout="PERHAPS"))

    assert answer["Status"] == "SUCCESS"
    assert shop.tasks_left() == 0
    assert shop.statuses() == {"DRAINING"}


# -- what is guarded


def group_of(shop: Shop) -> list[str]:
    shop.world.account.auto_scaling.create_group(GROUP, cluster=CLUSTER, desired=2)
    return [*shop.world.account.auto_scaling.groups[GROUP].instances]


@pytest.mark.parametrize("kind", ["AutoScalingGroupName", "CapacityProvider"])
def test_a_group_and_a_capacity_provider_are_drained_like_a_fleet(
    make_shop: Callable[..., Shop], kind: str
) -> None:
    # Most clusters stand on Auto Scaling groups, which a change of their name replaces.
    shop = make_shop()
    members = group_of(shop)
    arn = shop.world.account.auto_scaling.groups[GROUP].arn
    shop.world.account.ecs.create_capacity_provider("spare", arn)
    value: Any = {"AutoScalingGroupName": GROUP, "CapacityProvider": "spare"}[kind]
    properties = {"Cluster": CLUSTER, kind: value}
    created = shop.until_answered(shop.ask("Create", properties))

    request = shop.ask("Delete", properties, physical_id=created["PhysicalResourceId"])
    answer = shop.until_answered(request)

    assert (created["Status"], answer["Status"]) == ("SUCCESS", "SUCCESS")
    account = shop.world.account
    assert sum(len(account.ecs.remaining_tasks(one)) for one in members) == 0
    found = [account.ecs.container_instance(one) for one in members]
    assert {instance.status for instance in found if instance} == {"DRAINING"}
    assert shop.statuses() == {"ACTIVE"}


def test_a_fleet_that_is_gone_is_drained(make_shop: Callable[..., Shop]) -> None:
    # Somebody has cancelled it by hand: the stack must be able to go, too.
    shop = make_shop()
    shop.world.account.fleets.fleets.clear()

    assert shop.until_answered(shop.delete())["Status"] == "SUCCESS"


def test_a_cluster_that_is_gone_is_drained(make_shop: Callable[..., Shop]) -> None:
    # The container instances went with it.
    shop = make_shop(tasks=0)
    del shop.world.account.ecs.clusters[CLUSTER]

    assert shop.until_answered(shop.delete())["Status"] == "SUCCESS"


def test_an_instance_that_is_taken_back_on_the_way_is_drained(
    make_shop: Callable[..., Shop],
) -> None:
    # Spot does not wait for CloudFormation; the others must not wait for what is gone.
    shop = make_shop()
    replacement(shop)
    request = shop.delete()
    shop.world.run(60)
    shop.world.account.spot.interrupt(shop.fleet.ec2_instance_ids[0])

    assert shop.until_answered(request)["Status"] == "SUCCESS"
    assert shop.tasks_left() == 0


def test_an_instance_that_joins_on_the_way_is_drained_too(make_shop: Callable[..., Shop]) -> None:
    # A maintain fleet replaces what Spot takes back, and the cluster places tasks there.
    shop = make_shop()
    replacement(shop)
    request = shop.delete()
    shop.world.run(30)
    shop.world.account.fleets.terminate(shop.fleet.ec2_instance_ids[0])
    shop.world.run(200)
    assert len(shop.fleet.ec2_instance_ids) == 3

    shop.until_answered(request)

    assert shop.statuses() == {"DRAINING"}
    assert shop.tasks_left() == 0


def test_one_answer_that_knows_no_instance_of_the_fleet_ends_nothing(
    make_shop: Callable[..., Shop],
) -> None:
    # "refreshed periodically and might be out of date": a fleet that serves seemed empty.
    shop = make_shop()
    replacement(shop)
    fleets = shop.world.account.fleets
    fleets.describe_lag_seconds = 1e9
    request = shop.delete()
    shop.world.run(5)
    fleets.describe_lag_seconds = 0

    shop.until_answered(request)

    assert shop.statuses() == {"DRAINING"}
    assert shop.tasks_left() == 0


def test_an_instance_that_an_answer_lacks_is_not_forgotten(make_shop: Callable[..., Shop]) -> None:
    # The same, later: the notes know it, and its task still serves.
    shop = make_shop()
    replacement(shop)
    request = shop.delete()
    shop.world.run(100)
    shop.world.account.fleets.describe_lag_seconds = 1e9

    shop.until_answered(request)

    assert shop.tasks_left() == 0


def test_instances_that_are_in_no_cluster_yet_are_sought_twice(
    make_shop: Callable[..., Shop],
) -> None:
    # One stale search must not let an instance go that serves.
    shop = make_shop(tasks=0)
    starting = shop.world.account.fleets.create(CLUSTER, 2, boot_seconds=HOUR_SECONDS)

    request = shop.delete(starting)
    answer = shop.until_answered(request)

    assert answer["Status"] == "SUCCESS"
    assert shop.answered_seconds(request) >= 15


# -- time


def test_a_drain_of_fifty_minutes_takes_many_invocations_and_is_answered_once(
    make_shop: Callable[..., Shop],
) -> None:
    # One invocation ends after a quarter of an hour at most; polling in it would give up there.
    shop = make_shop()
    replacement(shop)
    job(shop, TaskProfile(run_seconds=50 * 60 - 60))
    before = shop.world.installed.function.invocations

    request = shop.delete()
    answer = shop.until_answered(request)
    shop.world.run(HOUR_SECONDS)

    assert answer["Status"] == "SUCCESS"
    assert 48 * 60 <= shop.answered_seconds(request) < 50 * 60
    assert len(request.attempts) == 1
    assert shop.world.installed.function.invocations - before > 100


@pytest.mark.parametrize("on_timeout", ["SUCCESS", "FAILED"])
def test_a_drain_that_cannot_end_is_answered_by_policy_before_the_hour(
    make_shop: Callable[..., Shop], on_timeout: str
) -> None:
    # Without an answer CloudFormation waits for the hour, and then fails whatever the policy is.
    shop = make_shop()
    replacement(shop)
    job(shop, NEVER_STOPS)

    request = shop.delete(OnTimeout=on_timeout)
    answer = shop.until_answered(request)

    assert answer["Status"] == on_timeout
    assert "standalone RUNNING family:report" in answer["Reason"]
    assert "1 of 3" in answer["Reason"]
    assert shop.answered_seconds(request) <= HOUR_SECONDS - MARGIN_SECONDS + 2 * 16


def test_the_drain_timeout_ends_it_earlier(make_shop: Callable[..., Shop]) -> None:
    # Whoever says ten minutes does not want to wait for fifty-three.
    shop = make_shop()
    job(shop, NEVER_STOPS)

    request = shop.delete(DrainTimeoutSeconds="600")
    shop.until_answered(request)

    assert 600 <= shop.answered_seconds(request) <= 600 + 2 * 16


def test_a_short_service_timeout_is_kept(make_shop: Callable[..., Shop]) -> None:
    # CloudFormation gives up after it, and leaves what it was about half done.
    shop = make_shop()
    job(shop, NEVER_STOPS)

    request = shop.delete(ServiceTimeout="300", timeout_seconds=300)

    assert shop.until_answered(request)["Status"] == "FAILED"
    assert shop.answered_seconds(request) <= 200 + 2 * 16


def test_standalone_tasks_are_stopped_where_the_template_says_so(
    make_shop: Callable[..., Shop],
) -> None:
    # Else a job of a day holds the update up until it fails.
    shop = make_shop()
    replacement(shop)
    job(shop, TaskProfile(run_seconds=None))

    answer = shop.until_answered(shop.delete(StandaloneTasks="stop", StandaloneGraceSeconds="60"))

    assert answer["Status"] == "SUCCESS"
    assert shop.tasks_left() == 0


def test_standalone_tasks_are_left_behind_where_the_template_says_so(
    make_shop: Callable[..., Shop],
) -> None:
    shop = make_shop()
    replacement(shop)
    job(shop, NEVER_STOPS)

    answer = shop.until_answered(shop.delete(StandaloneTasks="ignore"))

    assert answer["Status"] == "SUCCESS"
    assert shop.tasks_left() == 1


# -- rollbacks


def test_what_was_set_draining_is_active_again_when_the_update_goes_back(
    make_shop: Callable[..., Shop],
) -> None:
    # A fleet that stays and is DRAINING takes no task ever again.
    shop = make_shop(tasks=0)
    job(shop, NEVER_STOPS)
    failed = shop.until_answered(shop.delete(DrainTimeoutSeconds="60"))
    assert (failed["Status"], shop.statuses()) == ("FAILED", {"DRAINING"})

    back = shop.ask("Update", shop.properties(), physical_id="sfr-new")
    answer = shop.until_answered(back)

    assert (answer["Status"], answer["PhysicalResourceId"]) == ("SUCCESS", shop.fleet.fleet_id)
    assert shop.statuses() == {"ACTIVE"}


def test_what_somebody_else_has_set_draining_stays_so(make_shop: Callable[..., Shop]) -> None:
    # An operator, or the agent of an instance that Spot takes back, has its reasons.
    shop = make_shop()
    instance = shop.world.account.ecs.container_instance(shop.fleet.ec2_instance_ids[0])
    assert instance is not None
    shop.world.account.ecs.set_status(instance, "DRAINING")

    shop.until_answered(shop.ask("Update", shop.properties(), physical_id="sfr-new"))

    assert instance.status == "DRAINING"


def test_what_another_stack_drains_stays_draining(make_shop: Callable[..., Shop]) -> None:
    # Two stacks that guard one group: the one that keeps it must not undo the other's drain.
    shop = make_shop()
    job(shop, NEVER_STOPS)
    shop.delete()
    shop.world.run(60)

    shop.until_answered(shop.ask("Create", shop.properties(), stack="another"))

    assert shop.statuses() == {"DRAINING"}


def test_an_update_and_its_rollback_end_where_they_began(make_shop: Callable[..., Shop]) -> None:
    # Old fleet, new fleet, back again: the new one is drained, the old one serves.
    shop = make_shop()
    old, new = shop.fleet, replacement(shop)
    there = shop.ask("Update", shop.properties(new), physical_id=old.fleet_id)
    shop.until_answered(there)
    back = shop.ask("Update", shop.properties(old), physical_id=new.fleet_id)
    assert shop.until_answered(back)["PhysicalResourceId"] == old.fleet_id

    shop.until_answered(shop.delete(new))

    assert (shop.statuses(old), shop.statuses(new)) == ({"ACTIVE"}, {"DRAINING"})
    assert shop.tasks_left(new) == 0


# -- messages that come twice, late, or never


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", ["Create", "Update", "Delete"])
@pytest.mark.parametrize("gaps", [(0.0,), (1.0, 70.0), (200.0, 900.0), (3_000.0,)])
def test_a_request_that_comes_several_times_is_answered_once(
    make_shop: Callable[..., Shop], way: str, kind: str, gaps: tuple[float, ...]
) -> None:
    # SNS and SQS deliver at least once; Lambda tries again. A second answer may be another one.
    shop = make_shop()
    replacement(shop)
    more = {} if kind == "Create" else {"physical_id": shop.fleet.fleet_id}

    request = shop.ask(kind, shop.properties(), way=way, **more)
    for seconds in gaps:
        shop.world.account.after(seconds, lambda: shop.deliver(request, way))
    shop.until_answered(request)
    shop.world.run(2 * HOUR_SECONDS)

    assert len(request.attempts) == 1


def test_doubled_re_invocations_do_not_fork_the_chain(make_shop: Callable[..., Shop]) -> None:
    # Each fork would double what the account is asked, for an hour.
    shop = make_shop()
    replacement(shop)
    for subscription in shop.world.installed.topic.subscriptions:
        subscription.channel.faults.append(lambda _: (0.0, 7.0, 40.0))

    request = shop.delete()
    shop.until_answered(request)

    served = [step for step in shop.steps if step != Step.DUPLICATE]
    assert len(served) <= shop.answered_seconds(request) / 15 + 2
    assert len(request.attempts) == 1


def test_a_delete_that_comes_after_its_answer_drains_nothing(
    make_shop: Callable[..., Shop],
) -> None:
    # The fleet may be guarded again: what is over must not touch it.
    shop = make_shop(tasks=0)
    late = shop.delete()
    shop.until_answered(late)
    shop.until_answered(shop.ask("Update", shop.properties(), physical_id="sfr-new"))

    shop.deliver(late)
    shop.world.run(120)

    assert shop.statuses() == {"ACTIVE"}


def test_a_delete_that_comes_after_the_hour_drains_nothing(make_shop: Callable[..., Shop]) -> None:
    # It lay in a dead-letter queue; CloudFormation has given it up, and the fleet serves.
    shop = make_shop()
    request = shop.world.account.stacks.request(
        "Delete", shop.properties(), physical_id=shop.fleet.fleet_id
    )
    for subscription in shop.world.installed.topic.subscriptions:
        subscription.channel.faults.append(lambda _: (HOUR_SECONDS + 60.0,))
    shop.deliver(request)
    shop.world.run(2 * HOUR_SECONDS)

    assert shop.statuses() == {"ACTIVE"}
    assert request.attempts == []


@pytest.mark.parametrize("lost_after_seconds", [20, 200, 3_100])
def test_a_chain_that_is_lost_is_found_by_the_sweep(
    make_shop: Callable[..., Shop], lost_after_seconds: int
) -> None:
    # Nobody else knows that CloudFormation waits.
    shop = make_shop()
    replacement(shop)
    job(shop, NEVER_STOPS)
    request = shop.delete()
    shop.world.run(lost_after_seconds)
    lost = shop.world.account.now

    def once(_: object) -> tuple[float, ...]:
        return () if shop.world.account.now < lost + timedelta(seconds=30) else (0.0,)

    for subscription in shop.world.installed.topic.subscriptions:
        subscription.channel.faults.append(once)

    assert shop.until_answered(request)["Status"] == "FAILED"
    assert shop.answered_seconds(request) <= HOUR_SECONDS - 60


@pytest.mark.parametrize("way", WAYS)
def test_an_invocation_that_is_cut_short_is_taken_up_again(
    make_shop: Callable[..., Shop], way: str
) -> None:
    # Killed before it has done anything, before its record, after it, and later: each is taken up.
    shop = make_shop()
    replacement(shop)
    cuts = iter(["UpdateContainerInstancesState", "UpdateItem", "PublishBatch", "DescribeTasks"])
    cut = next(cuts)

    def intercept(call: Call) -> None:
        nonlocal cut
        if call.operation == cut:
            cut = next(cuts, "")
            raise RuntimeError("the function is no more")

    shop.world.account.interceptors.append(intercept)
    request = shop.delete(way=way)

    assert shop.until_answered(request)["Status"] == "SUCCESS"
    assert shop.tasks_left() == 0
    assert cut == ""
    assert len(request.attempts) == 1


# -- the response URL


def test_a_response_url_that_refuses_twice_is_answered_the_third_time(
    make_shop: Callable[..., Shop],
) -> None:
    # S3 says 503 now and then; without the answer the stack fails.
    shop = make_shop()
    request = shop.world.account.stacks.request("Create", shop.properties())
    request.refusals = [503, 503]
    shop.deliver(request)

    shop.until_answered(request)
    shop.world.run(HOUR_SECONDS)

    assert [attempt.status for attempt in request.attempts] == [503, 503, 200]
    assert len({attempt.body for attempt in request.attempts}) == 1


def test_an_answer_that_could_not_be_given_stays_the_same(make_shop: Callable[..., Shop]) -> None:
    # What was FAILED at the deadline must not be SUCCESS a minute later: CloudFormation may have
    # taken the first, though it did not say so.
    shop = make_shop()
    replacement(shop)
    job(shop, TaskProfile(run_seconds=630))
    request = shop.world.account.stacks.request(
        "Delete", shop.properties(DrainTimeoutSeconds="600"), physical_id=shop.fleet.fleet_id
    )
    request.refusals = [500] * 8
    shop.deliver(request)

    assert shop.until_answered(request)["Status"] == "FAILED"
    assert shop.tasks_left() == 0
    assert len({attempt.body for attempt in request.attempts}) == 1


def test_a_response_url_that_never_answers_ends_with_the_hour(
    make_shop: Callable[..., Shop],
) -> None:
    # Nothing may be re-invoked for ever, and somebody must be told.
    shop = make_shop()
    request = shop.world.account.stacks.request("Create", shop.properties())
    request.deaf = True
    shop.deliver(request)
    shop.world.run(HOUR_SECONDS + SWEEP_SECONDS)
    attempts, published = len(request.attempts), shop.world.installed.topic.published

    shop.world.run(HOUR_SECONDS)

    assert len(request.attempts) == attempts <= HOUR_SECONDS / 15 + 1
    assert shop.world.installed.topic.published == published
    assert any(report.unanswered for report in shop.world.reports.requests)


def test_a_response_url_that_has_expired_is_tried_once(make_shop: Callable[..., Shop]) -> None:
    # A 403 stays one; the alarm tells that CloudFormation waits in vain.
    shop = make_shop()
    request = shop.world.account.stacks.request("Create", shop.properties())
    request.refusals = [403]
    shop.deliver(request)
    shop.world.run(HOUR_SECONDS)

    assert len(request.attempts) == 1
    assert any(report.unanswered for report in shop.world.reports.requests)


# -- looks that fail


@pytest.mark.parametrize(
    ("operation", "code"),
    [
        ("DescribeSpotFleetInstances", "RequestLimitExceeded"),
        ("DescribeSpotFleetInstances", "UnauthorizedOperation"),
        ("ListContainerInstances", "AccessDeniedException"),
        ("DescribeContainerInstances", "ThrottlingException"),
        ("ListTasks", "ThrottlingException"),
        ("UpdateContainerInstancesState", "ThrottlingException"),
    ],
)
def test_a_call_that_fails_for_ever_is_answered_by_policy_and_never_early(
    make_shop: Callable[..., Shop], operation: str, code: str
) -> None:
    # Any error that led to SUCCESS would delete a fleet that serves.
    shop = make_shop()
    refuse(shop, operation, code)

    request = shop.delete()
    answer = shop.until_answered(request)

    assert answer["Status"] == "FAILED"
    assert shop.answered_seconds(request) >= HOUR_SECONDS - MARGIN_SECONDS
    assert answer["Reason"]


@pytest.mark.parametrize(
    "operation",
    ["DescribeSpotFleetInstances", "ListContainerInstances", "UpdateItem", "DescribeStacks"],
)
def test_a_call_that_fails_for_a_while_delays_and_loses_nothing(
    make_shop: Callable[..., Shop], operation: str
) -> None:
    shop = make_shop()
    replacement(shop)
    end = refuse(shop, operation, "ThrottlingException")
    shop.world.account.after(240, end)

    request = shop.delete()

    assert shop.until_answered(request)["Status"] == "SUCCESS"
    assert shop.tasks_left() == 0
    assert len(request.attempts) == 1


def test_a_denied_look_fails_the_create_and_says_which(make_shop: Callable[..., Shop]) -> None:
    # Better now than when the fleet is about to be deleted.
    shop = make_shop()
    refuse(shop, "DescribeSpotFleetInstances", "UnauthorizedOperation", 403)

    answer = shop.until_answered(shop.ask("Create", shop.properties()))

    assert answer["Status"] == "FAILED"
    assert "DescribeSpotFleetInstances" in answer["Reason"]


def test_one_instance_that_ecs_refuses_does_not_hold_up_the_others(
    make_shop: Callable[..., Shop],
) -> None:
    # Ten go into one call, and one that is deregistering spoils it.
    shop = make_shop(4)
    replacement(shop, 4)
    account = shop.world.account
    bad = account.ecs.container_instance(shop.fleet.ec2_instance_ids[0])
    assert bad is not None

    def intercept(call: Call) -> None:
        if bad.arn in call.parameters.get("containerInstances", ()) and "status" in call.parameters:
            raise ApiError("InvalidParameterException", "for the test")

    account.interceptors.append(intercept)
    shop.delete()
    shop.world.run(60)

    others = [account.ecs.container_instance(one) for one in shop.fleet.ec2_instance_ids[1:]]
    assert {instance.status for instance in others if instance} == {"DRAINING"}


# -- who may ask


def test_a_request_of_a_stack_that_is_at_rest_changes_nothing(
    make_shop: Callable[..., Shop],
) -> None:
    # Whoever may publish to some topics of the account could drain any cluster.
    shop = make_shop()
    forged = {
        **shop.world.account.stacks.request("Create", shop.properties()).event,
        "RequestType": "Delete",
        "PhysicalResourceId": shop.fleet.fleet_id,
        "RequestId": "forged",
        "StackId": shop.world.account.arn("cloudformation", "stack/no-such/stack"),
    }

    shop.world.say(forged)
    shop.world.run(120)

    assert shop.statuses() == {"ACTIVE"}
    assert not any(shop.world.calls(operation) for operation in WRITES_TO_ECS)


def test_a_re_invocation_that_nobody_published_changes_nothing(
    make_shop: Callable[..., Shop],
) -> None:
    shop = make_shop()

    shop.world.say({"drainer": "re-invocation", "version": 1, "request": "made|up", "hop": 3})
    shop.world.run(60)

    assert shop.steps == [Step.REFUSED]
    assert shop.statuses() == {"ACTIVE"}


# -- crowds


def weigh(shop: Shop) -> list[int]:
    """Note the size of every message, with its quotes escaped as in what surrounds it in SQS."""
    sizes: list[int] = []

    def look(publication: Publication) -> tuple[float, ...]:
        sizes.append(len(json.dumps(publication.message)))
        return (0.0,)

    for subscription in shop.world.installed.topic.subscriptions:
        subscription.channel.faults.append(look)
    return sizes


def test_a_fleet_of_a_thousand_drains_within_the_quotas(make_shop: Callable[..., Shop]) -> None:
    # ECS grants the account 20 reads a second; who uses them up blinds everybody else.
    shop = make_shop(1_000)
    account = shop.world.account
    replacement(shop, 1_000)
    quotas = Quotas(account.clock)
    account.interceptors.append(quotas)
    sizes = weigh(shop)
    begins = len(account.calls)

    request = shop.delete()
    answer = shop.until_answered(request)

    throttled = [call for call in list(account.calls)[begins:] if call.error]
    assert answer["Status"] == "SUCCESS"
    assert "1000 instances" in answer["Reason"]
    assert shop.tasks_left() == 0
    assert throttled == []
    assert max(sizes) < 10_000


def test_the_record_of_a_thousand_instances_fits_into_an_item(
    make_world: Callable[..., World],
) -> None:
    # "The maximum item size in DynamoDB is 400 KB": a write that is refused for its length is
    # refused each time, and CloudFormation waits for its hour.
    world = make_world(custom_resources=True)
    shop = Shop(world, world.account.fleets.create(CLUSTER, 1_000, already_running=True))
    world.service(1_000)
    replacement(shop, 1_000)
    world.run(60)
    sizes = weigh(shop)

    shop.delete()
    world.run(180)  # every task is on its way out, and is a witness

    [item] = world.account.record_tables.tables[world.installed.records].items
    assert {report.step for report in world.reports.requests} == {Step.RE_INVOKE}
    assert 50_000 < len(item["drain"]["S"]) < 200_000
    assert max(sizes) < 10_000


def test_without_a_former_table_duplicates_are_answered_once(
    make_world: Callable[..., World],
) -> None:
    # The release after this one has none.
    world = make_world({"DRAINER_REQUESTS_TABLE": ""}, custom_resources=True)
    shop = Shop(world, world.account.fleets.create(CLUSTER, 2, already_running=True))
    request = shop.delete()
    for seconds in (0, 3, 100, 1_000):
        world.account.after(seconds, lambda: shop.deliver(request))

    shop.until_answered(request)
    world.run(HOUR_SECONDS)

    assert len(request.attempts) == 1


def test_several_stacks_drain_side_by_side(make_shop: Callable[..., Shop]) -> None:
    # One batch has them all, and one that cannot end must not hold up the others.
    shop = make_shop()
    fleets = [replacement(shop) for _ in range(5)]
    replacement(shop, 20)
    job(shop, NEVER_STOPS)
    stuck = shop.delete(OnTimeout="SUCCESS")
    requests = [shop.delete(fleet) for fleet in fleets]
    shop.world.run(1_800)

    assert [request.answer is not None for request in requests] == [True] * 5
    assert stuck.answer is None
    assert all(shop.tasks_left(fleet) == 0 for fleet in fleets)
    assert isinstance(shop.world.installed.function, Function)


# -- what is guarded still


def test_a_resource_that_is_renamed_drains_nothing(make_shop: Callable[..., Shop]) -> None:
    # CloudFormation creates the new name first and then deletes the old one: the fleet serves.
    shop = make_shop()
    shop.until_answered(shop.ask("Create", shop.properties(), logical_id="Drain"))
    shop.until_answered(shop.ask("Create", shop.properties(), logical_id="Guard"))

    renamed = shop.ask("Delete", shop.properties(), physical_id=shop.fleet.fleet_id)
    answer = shop.until_answered(renamed)

    assert answer["Status"] == "SUCCESS"
    assert "Guard of this stack guards" in answer["Reason"]
    assert shop.statuses() == {"ACTIVE"}

    # When the stack goes, the last one drains.
    last = shop.ask(
        "Delete", shop.properties(), physical_id=shop.fleet.fleet_id, logical_id="Guard"
    )
    replacement(shop)
    shop.until_answered(last)
    assert shop.tasks_left() == 0


def update(shop: Shop, old: dict[str, Any], new: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    created = shop.until_answered(shop.ask("Create", {"Cluster": CLUSTER, **old}))
    request = shop.ask(
        "Update",
        {"Cluster": CLUSTER, **new},
        physical_id=created["PhysicalResourceId"],
        old_properties={"Cluster": CLUSTER, **old},
    )
    return created["PhysicalResourceId"], shop.until_answered(request)


def test_an_update_that_names_a_group_by_its_capacity_provider_keeps_the_id(
    make_shop: Callable[..., Shop],
) -> None:
    # With another id, CloudFormation would delete the old one: instances that serve were drained.
    shop = make_shop()
    group_of(shop)
    arn = shop.world.account.auto_scaling.groups[GROUP].arn
    shop.world.account.ecs.create_capacity_provider("spare", arn)
    old: dict[str, Any] = {"AutoScalingGroupName": GROUP}
    new: dict[str, Any] = {"CapacityProvider": "spare"}

    before, answer = update(shop, old, new)

    assert (answer["Status"], answer["PhysicalResourceId"]) == ("SUCCESS", before)

    # Nor does the next update, which changes nothing but a number; nor the way back.
    for there, back in (({**new, "DrainTimeoutSeconds": 600}, new), (old, new)):
        request = shop.ask(
            "Update",
            {"Cluster": CLUSTER, **there},
            physical_id=before,
            old_properties={"Cluster": CLUSTER, **back},
        )
        assert shop.until_answered(request)["PhysicalResourceId"] == before


def test_a_young_fleet_whose_listing_is_out_of_date_is_not_let_go(
    make_shop: Callable[..., Shop],
) -> None:
    # An update that goes back deletes a fleet some seconds old: two listings in a row were empty.
    shop = make_shop()
    shop.world.account.fleets.describe_lag_seconds = 90.0
    young = shop.world.account.fleets.create(CLUSTER, 3, boot_seconds=2.0)
    shop.world.run(8)
    shop.world.account.ecs.run_standalone(CLUSTER, young.ec2_instance_ids[0], seconds=300)

    answer = shop.until_answered(shop.delete(young))

    assert answer["Status"] == "SUCCESS"
    assert shop.statuses(young) == {"DRAINING"}
    assert shop.tasks_left(young) == 0


def test_an_instance_that_is_gone_is_drained_however_many_clusters_there_are(
    make_shop: Callable[..., Shop],
) -> None:
    # It was in the named cluster; that the others cannot all be searched is no reason to wait.
    shop = make_shop()
    replacement(shop)
    for number in range(101):
        shop.world.account.ecs.create_cluster(f"another-{number}")
    ecs, first = shop.world.account.ecs, shop.fleet.ec2_instance_ids[0]
    instance = ecs.container_instance(first)
    assert instance is not None
    request = shop.delete()
    shop.world.run(60)
    shop.world.account.fleets.terminate(first)
    ecs.deregister(instance)

    assert shop.until_answered(request)["Status"] == "SUCCESS"


# -- little time, and late


@pytest.mark.parametrize(
    ("service_timeout", "interval", "lost"),
    [(30, 15, False), (60, 60, False), (600, 300, False), (3_600, 300, True), (3_600, 15, True)],
)
def test_there_is_an_answer_however_short_the_time_and_however_long_the_interval(
    make_shop: Callable[..., Shop], service_timeout: int, interval: int, lost: bool
) -> None:
    # CloudFormation without an answer leaves the stack in a state that nobody wants.
    shop = make_shop(pass_interval_seconds=interval)
    job(shop, NEVER_STOPS)
    request = shop.delete(ServiceTimeout=str(service_timeout), timeout_seconds=service_timeout)
    if lost:
        shop.world.run(3_000)
        for subscription in shop.world.installed.topic.subscriptions:
            subscription.channel.faults.append(lambda _: ())

    assert shop.until_answered(request)["Status"] == "FAILED"


@pytest.mark.parametrize(("late_seconds", "answered"), [(600, True), (7_200, False)])
def test_an_invocation_that_lambda_has_kept_counts_from_when_the_url_was_signed(
    make_shop: Callable[..., Shop], late_seconds: float, answered: bool
) -> None:
    # Lambda keeps an event for up to six hours, and does not say so.
    shop = make_shop()
    replacement(shop)
    job(shop, NEVER_STOPS)
    request = shop.world.account.stacks.request(
        "Delete", shop.properties(), physical_id=shop.fleet.fleet_id
    )
    shop.world.account.after(late_seconds, lambda: shop.deliver(request, "function"))
    shop.world.run(late_seconds + 1)
    assert (shop.statuses() == {"DRAINING"}) == answered

    shop.world.run(HOUR_SECONDS)

    assert (request.answer is not None) == answered
    assert answered or request.attempts == []


def test_a_stack_that_cannot_be_looked_at_for_a_while_delays_a_direct_request(
    make_shop: Callable[..., Shop],
) -> None:
    # Lambda tries again twice, within three minutes; then nobody would know of it.
    shop = make_shop()
    replacement(shop)
    end = refuse(shop, "DescribeStacks", "Throttling")
    shop.world.account.after(400, end)

    answer = shop.until_answered(shop.delete(way="function"))

    assert answer["Status"] == "SUCCESS"
    assert shop.tasks_left() == 0


def test_a_request_that_was_lost_for_good_is_reported_once(make_shop: Callable[..., Shop]) -> None:
    # The stack has failed for want of an answer: somebody must learn why.
    shop = make_shop()
    request = shop.delete()
    shop.world.run(30)

    def lose(_: object) -> tuple[float, ...]:
        return () if request.is_open else (0.0,)

    for subscription in shop.world.installed.topic.subscriptions:
        subscription.channel.faults.append(lose)
    shop.world.installed.schedule.faults.append(lose)
    shop.world.run(HOUR_SECONDS + 2 * SWEEP_SECONDS)

    assert request.timed_out
    assert sum(report.unanswered for report in shop.world.reports.requests) == 1


# -- rollbacks, when a call fails


def go_back(shop: Shop) -> dict[str, Any]:
    return shop.until_answered(shop.ask("Update", shop.properties(), physical_id="sfr-new"))


@pytest.mark.parametrize("code", ["ThrottlingException", "TargetNotFoundException"])
def test_a_note_that_could_not_be_taken_at_once_is_taken_later(
    make_shop: Callable[..., Shop], code: str
) -> None:
    # What is DRAINING without a note stays so when the update goes back.
    shop = make_shop(tasks=0)
    job(shop, NEVER_STOPS)
    tens: list[int] = []

    def intercept(call: Call) -> None:
        if call.operation == "PutAttributes":
            tens.append(len(call.parameters["attributes"]))
            if len(tens) == 1:
                raise ApiError(code, "for the test")

    shop.world.account.interceptors.append(intercept)
    shop.until_answered(shop.delete(DrainTimeoutSeconds="60"))

    assert go_back(shop)["Status"] == "SUCCESS"
    assert shop.statuses() == {"ACTIVE"}


@pytest.mark.parametrize("operation", ["UpdateContainerInstancesState", "DeleteAttributes"])
def test_one_instance_that_cannot_be_set_active_leaves_the_others_no_worse(
    make_shop: Callable[..., Shop], operation: str
) -> None:
    # One that Spot takes back in between made the whole rollback fail.
    shop = make_shop(tasks=0)
    job(shop, NEVER_STOPS)
    shop.until_answered(shop.delete(DrainTimeoutSeconds="60"))
    account = shop.world.account
    bad = account.ecs.container_instance(shop.fleet.ec2_instance_ids[0])
    assert bad is not None

    def intercept(call: Call) -> None:
        if call.operation == operation and bad.arn.rpartition("/")[2] in str(call.parameters):
            raise ApiError("InvalidParameterException", "for the test")

    account.interceptors.append(intercept)
    answer = go_back(shop)

    assert answer["Status"] == "SUCCESS"
    assert bad.ec2_instance_id in answer["Reason"]
    others = [account.ecs.container_instance(one) for one in shop.fleet.ec2_instance_ids[1:]]
    assert {instance.status for instance in others if instance} == {"ACTIVE"}

    # The next update tries that one again.
    account.interceptors.remove(intercept)
    go_back(shop)
    assert shop.statuses() == {"ACTIVE"}


# -- operations of CloudFormation that go back


def operations(shop: Shop, **more: Any) -> StackOperations:
    return StackOperations(shop.world.account, "shop-2", shop.properties, shop.deliver, **more)


def finished(shop: Shop, stack: StackOperations) -> str:
    """Let a story come to its end; return the stack's status."""
    shop.world.run(3 * HOUR_SECONDS)
    assert [one.request.event["RequestType"] for one in stack.asked if one.request.is_open] == []
    return shop.world.account.stacks.stacks[stack.name].status


@pytest.mark.parametrize(
    ("story", "foreign"),
    [
        ("answered", False),
        ("answered", True),
        ("cancelled", False),
        ("cancelled", True),
        ("never answered", False),
        ("never answered", True),
        # What the stack itself has made goes with it.
        ("stack's creation", True),
    ],
)
def test_a_guard_that_is_added_and_taken_back_leaves_the_fleet_serving(
    make_shop: Callable[..., Shop], story: str, foreign: bool
) -> None:
    # The whole group was DRAINING permanently, because something else in the update had failed.
    shop = make_shop()
    stack = operations(shop, foreign=foreign)
    if story == "never answered":

        def lose(publication: Publication) -> tuple[float, ...]:
            return () if '"Create"' in publication.message else (0.0,)

        for subscription in shop.world.installed.topic.subscriptions:
            subscription.channel.faults.append(lose)
    stories = {
        "cancelled": lambda: stack.cancel(shop.fleet, 0.0),
        "stack's creation": lambda: stack.fail_to_create(shop.fleet),
    }
    stack.run(stories.get(story, lambda: stack.adopt(shop.fleet))())

    status = finished(shop, stack)

    assert status in ("UPDATE_ROLLBACK_COMPLETE", "ROLLBACK_COMPLETE")
    assert shop.statuses() == {"ACTIVE"}
    assert shop.tasks_left() == 3
    *_, last = (one.request for one in stack.asked)
    assert last.answer is not None
    assert "Not drained" in last.answer["Reason"]


def test_a_fleet_that_is_made_by_a_stack_that_fails_is_drained_with_it(
    make_shop: Callable[..., Shop],
) -> None:
    # It took tasks while the rest of the stack was made; they are cut when it is cancelled.
    shop = make_shop()
    stack = operations(shop)
    stack.run(stack.fail_to_create(shop.fleet))
    replacement(shop)

    finished(shop, stack)

    killed = [one for one in shop.world.killed if one.get("ec2_instance_id")]
    assert killed == []
    assert len(stack.asked) == 2


@pytest.mark.parametrize("gone", ["there", "expired"])
@pytest.mark.parametrize("fails", ["the update", "something else"])
def test_an_update_that_goes_back_never_fails_and_drains_only_the_new_fleet(
    make_shop: Callable[..., Shop], fails: str, gone: str
) -> None:
    # FAILED there is UPDATE_ROLLBACK_FAILED, and somebody has to skip resources by hand.
    shop = make_shop()
    new = replacement(shop)
    stack = operations(shop)
    if fails == "the update":
        stack.properties = lambda fleet: shop.properties(
            fleet, **({"OnTimeout": "PERHAPS"} if fleet is new else {})
        )
    if gone == "expired":
        shop.world.account.fleets.fleets.pop(shop.fleet.fleet_id)
    stack.run(stack.replace(shop.fleet, lambda: new, fails=True))

    status = finished(shop, stack)

    assert status == "UPDATE_ROLLBACK_COMPLETE"
    assert shop.statuses() == {"ACTIVE"}
    back = stack.asked[1].request
    assert back.answer is not None
    assert (back.answer["Status"], back.answer["PhysicalResourceId"]) == (
        "SUCCESS",
        shop.fleet.fleet_id,
    )
    assert ("was not found" in back.answer["Reason"]) == (gone == "expired")


@pytest.mark.parametrize(
    "former",
    [{"InstanceIds": ["i-00000001"]}, {"AutoScalingGroupName": GROUP, "Colour": "red"}],
    ids=["a target that is no longer known", "a property that is no longer known"],
)
def test_what_another_version_had_accepted_is_accepted_when_an_update_goes_back(
    make_shop: Callable[..., Shop], former: dict[str, Any]
) -> None:
    # The stack is to be where it was, however wrong that is by now.
    shop = make_shop()
    group_of(shop)
    shop.world.account.stacks.phase("shop", "UPDATE_ROLLBACK_IN_PROGRESS")

    back = shop.ask(
        "Update",
        {"Cluster": CLUSTER, **former},
        physical_id=shop.fleet.fleet_id,
        old_properties=shop.properties(),
    )

    assert shop.until_answered(back)["Status"] == "SUCCESS"
    assert shop.statuses() == {"ACTIVE"}


@pytest.mark.parametrize("made_here", [True, False])
def test_a_group_that_an_update_had_named_goes_back_with_it_if_the_stack_has_made_it(
    make_shop: Callable[..., Shop], made_here: bool
) -> None:
    # Both groups may be another stack's: then both were there before, and both serve on.
    shop = make_shop()
    members = group_of(shop)
    account = shop.world.account
    account.stacks.phase("shop", "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS")
    account.stacks.stacks["shop"].changed_at = account.now
    if made_here:
        stack_id = account.stacks.stack_id("shop")
        account.auto_scaling.groups[GROUP].tags = {"aws:cloudformation:stack-id": stack_id}
    account.stacks.put_row("shop", "Drain", Row("another-group", "UPDATE_COMPLETE", account.now))

    properties = {"Cluster": CLUSTER, "AutoScalingGroupName": GROUP}
    answer = shop.until_answered(shop.ask("Delete", properties, physical_id=GROUP))

    found = [account.ecs.container_instance(one) for one in members]
    expected = "DRAINING" if made_here else "ACTIVE"
    assert {instance.status for instance in found if instance} == {expected}
    assert ("Not drained" in answer["Reason"]) == (not made_here)


# -- answers that are not true yet


def test_a_target_that_is_not_found_at_first_is_guarded(make_shop: Callable[..., Shop]) -> None:
    # One stale NotFound failed the stack 0.2 s after its fleet was made.
    shop = make_shop()
    end = refuse(shop, "DescribeSpotFleetInstances", "InvalidSpotFleetRequestId.NotFound")
    shop.world.account.after(100, end)

    assert shop.until_answered(shop.ask("Create", shop.properties()))["Status"] == "SUCCESS"


@pytest.mark.parametrize("kind", ["Create", "Update"])
@pytest.mark.parametrize(
    "operation",
    ["DescribeSpotFleetInstances", "DescribeStacks", "ListStackResources", "DescribeClusters"],
)
def test_permissions_that_take_minutes_to_spread_fail_no_stack(
    make_shop: Callable[..., Shop], kind: str, operation: str
) -> None:
    shop = make_shop()
    end = refuse(shop, operation, "AccessDeniedException", 403)
    shop.world.account.after(240, end)
    more = {} if kind == "Create" else {"physical_id": shop.fleet.fleet_id}

    assert shop.until_answered(shop.ask(kind, shop.properties(), **more))["Status"] == "SUCCESS"


def test_a_target_that_is_nowhere_fails_the_create_after_five_minutes(
    make_shop: Callable[..., Shop],
) -> None:
    # A typo should not take the hour that CloudFormation would wait.
    shop = make_shop()
    typo = shop.properties(SpotFleet="sfr-00000000-0000-0000-0000-000000000000")

    request = shop.ask("Create", typo)

    assert shop.until_answered(request)["Status"] == "FAILED"
    assert 300 <= shop.answered_seconds(request) <= 300 + 2 * 16


@pytest.mark.parametrize("lag_seconds", [0.06, 20.0, 100.0])
def test_stacks_whose_answers_are_out_of_date_are_answered(
    make_shop: Callable[..., Shop], lag_seconds: float
) -> None:
    # Two answers 60 ms apart were both too old, and CloudFormation waited its hour.
    shop = make_shop()
    replacement(shop)
    shop.world.account.stacks.lag_seconds = lag_seconds

    answer = shop.until_answered(shop.delete())

    assert answer["Status"] == "SUCCESS"
    assert shop.tasks_left() == 0


# -- who is believed


def test_a_stack_that_is_at_work_on_something_else_makes_no_forged_delete_true(
    make_shop: Callable[..., Shop],
) -> None:
    # sns:Publish was enough to drain any fleet while any stack was at work: three of three.
    shop = make_shop()
    account = shop.world.account
    account.stacks.phase("busy", "UPDATE_IN_PROGRESS", changed_at=account.now)
    row = Row(shop.fleet.fleet_id, "UPDATE_IN_PROGRESS", account.now, resource_type=FLEET_TYPE)
    account.stacks.put_row("busy", "Fleet", row)
    account.stacks.put_row(
        "busy", "Drain", Row(shop.fleet.fleet_id, "CREATE_COMPLETE", account.now)
    )
    true = account.stacks.request("Delete", shop.properties(), physical_id=shop.fleet.fleet_id)
    true.times_out_at = account.now
    for logical_id in ("Fleet", "Drain", "Nothing"):
        forged = {
            **true.event,
            "StackId": account.stacks.stack_id("busy"),
            "LogicalResourceId": logical_id,
            "RequestId": f"forged-{logical_id}",
        }
        shop.world.say(forged)
    shop.world.run(HOUR_SECONDS)

    assert shop.statuses() == {"ACTIVE"}
    assert true.attempts == []


# -- little time, and few properties


@pytest.mark.parametrize("seconds", [60, 119])
def test_a_spot_fleet_with_a_short_deadline_is_answered_with_success_where_it_is_drained(
    make_shop: Callable[..., Shop], seconds: int
) -> None:
    # The list of a fleet's instances may be out of date for 120 s: it always FAILED before.
    shop = make_shop(tasks=0)

    request = shop.delete(DrainTimeoutSeconds=str(seconds))

    assert shop.until_answered(request)["Status"] == "SUCCESS"
    assert shop.answered_seconds(request) <= seconds + 2 * 16
    assert shop.statuses() == {"DRAINING"}


@pytest.mark.parametrize("clusters", [CLUSTER, f"search,{CLUSTER}"])
def test_a_template_that_names_no_cluster_has_those_of_the_function(
    make_world: Callable[..., World], clusters: str
) -> None:
    # It was refused when it was created, and ignored when it was deleted.
    world = make_world({"DRAINER_CLUSTERS": clusters}, custom_resources=True)
    shop = Shop(world, world.account.fleets.create(CLUSTER, 2, already_running=True))
    world.service(2)
    world.account.ecs.create_cluster("search")
    world.run(60)
    replacement(shop)
    properties = {"SpotFleet": shop.fleet.fleet_id}

    created = shop.until_answered(shop.ask("Create", properties))
    deleted = shop.ask("Delete", properties, physical_id=shop.fleet.fleet_id)

    assert created["Status"] == "SUCCESS"
    assert shop.until_answered(deleted)["Status"] == "SUCCESS"
    assert (shop.tasks_left(), shop.statuses()) == (0, {"DRAINING"})


def test_a_resource_of_another_type_is_refused_and_drains_nothing(
    make_shop: Callable[..., Shop],
) -> None:
    # The row of anybody's custom resource could else make a forged Delete true.
    shop = make_shop()
    created = shop.world.account.stacks.request("Create", shop.properties())
    created.event["ResourceType"] = "Custom::Other"
    account = shop.world.account
    row = Row("", "CREATE_IN_PROGRESS", account.now, resource_type="Custom::Other")
    account.stacks.put_row("shop", "Drain", row)
    shop.deliver(created)

    answer = shop.until_answered(created)

    assert answer["Status"] == "FAILED"
    assert "Custom::ECSDrain" in answer["Reason"]


def test_a_fleet_in_another_cluster_than_the_named_one_is_not_let_go_over_its_tasks(
    make_shop: Callable[..., Shop],
) -> None:
    # Found by the search of all clusters, set DRAINING there, then sought in the named one only:
    # SUCCESS at +128 s over three tasks.
    shop = make_shop()
    shop.world.account.ecs.create_cluster("elsewhere")
    replacement(shop)
    job(shop, TaskProfile(run_seconds=1_500))
    properties = shop.properties() | {"Cluster": "elsewhere"}

    shop.until_answered(shop.ask("Delete", properties, physical_id=shop.fleet.fleet_id))

    assert shop.tasks_left() == 0


def at_work(shop: Shop, status: str, *rows: tuple[str, str, str, str]) -> None:
    """Say what the stack is at, and which resources (name, id, type, status) it lists."""
    account = shop.world.account
    account.stacks.phase("shop", status, changed_at=account.now)
    for logical_id, physical_id, resource_type, state in rows:
        row = Row(physical_id, state, account.now, resource_type=resource_type)
        account.stacks.put_row("shop", logical_id, row)


def statuses_of(shop: Shop, ec2_instance_ids: list[str]) -> set[str]:
    found = [shop.world.account.ecs.container_instance(one) for one in ec2_instance_ids]
    return {instance.status for instance in found if instance}


OURS, OTHER_TYPE = "Custom::ECSDrain", "AWS::CloudFormation::CustomResource"
GROUP_TYPE = "AWS::AutoScaling::AutoScalingGroup"


@pytest.mark.parametrize(
    ("old_type", "new_id"),
    [(OURS, "spare"), (OTHER_TYPE, GROUP), (OTHER_TYPE, "spare")],
    ids=["by its provider", "of the other type", "both"],
)
def test_a_guard_that_is_renamed_and_changed_otherwise_drains_nothing_that_serves(
    make_shop: Callable[..., Shop], old_type: str, new_id: str
) -> None:
    # The Delete of the old name drained the whole group that the new name guards.
    shop = make_shop()
    members = group_of(shop)
    arn = shop.world.account.auto_scaling.groups[GROUP].arn
    shop.world.account.ecs.create_capacity_provider("spare", arn)
    at_work(
        shop,
        "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS",
        ("Drain", GROUP, old_type, "DELETE_IN_PROGRESS"),
        ("Guard", new_id, OURS, "CREATE_COMPLETE"),
        ("Group", GROUP, GROUP_TYPE, "UPDATE_COMPLETE"),
    )
    properties = {"Cluster": CLUSTER, "AutoScalingGroupName": GROUP}
    request = shop.world.account.stacks.request("Delete", properties, physical_id=GROUP)
    request.event["ResourceType"] = old_type
    shop.deliver(request)

    answer = shop.until_answered(request)

    assert (answer["Status"], "Guard of this stack guards" in answer["Reason"]) == ("SUCCESS", True)
    assert statuses_of(shop, members) == {"ACTIVE"}


def test_a_fleet_of_another_stack_serves_on_when_the_update_that_named_it_goes_back(
    make_shop: Callable[..., Shop],
) -> None:
    # Both fleets were parameters: the one that the failed update had named was DRAINING
    # permanently.
    shop = make_shop()
    new = replacement(shop)
    stack = operations(shop, foreign=True)
    stack.run(stack.replace(shop.fleet, lambda: new, fails=True))

    status = finished(shop, stack)

    assert status == "UPDATE_ROLLBACK_COMPLETE"
    assert (shop.statuses(), shop.statuses(new)) == ({"ACTIVE"}, {"ACTIVE"})


@pytest.mark.parametrize(
    ("status", "row", "physical_id"),
    [
        ("DELETE_IN_PROGRESS", "DELETE_IN_PROGRESS", "own"),
        ("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", "UPDATE_COMPLETE", "whatever"),
        ("UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS", "UPDATE_COMPLETE", "whatever"),
        ("UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS", "UPDATE_COMPLETE", "x-Drain-1ABCDEFGH2"),
    ],
)
@pytest.mark.parametrize("kind", ["AutoScalingGroupName", "CapacityProvider", "SpotFleet"])
def test_properties_that_name_another_target_than_the_physical_id_drain_nothing(
    make_shop: Callable[..., Shop], kind: str, status: str, row: str, physical_id: str
) -> None:
    # sns:Publish and any stack at its end were enough to drain a target that serves elsewhere.
    shop = make_shop()
    members = group_of(shop)
    arn = shop.world.account.auto_scaling.groups[GROUP].arn
    shop.world.account.ecs.create_capacity_provider("spare", arn)
    own = "sfr-00000000-0000-0000-0000-00000000000a"
    at_work(shop, status, ("Drain", own, OURS, row), ("Fleet", own, FLEET_TYPE, row))
    named = {"AutoScalingGroupName": GROUP, "CapacityProvider": "spare"}
    name = named.get(kind, shop.fleet.fleet_id)
    properties = {"Cluster": CLUSTER, kind: name}

    forged = shop.ask(
        "Delete", properties, physical_id=own if physical_id == "own" else physical_id
    )

    assert "Not drained" in shop.until_answered(forged)["Reason"]
    assert statuses_of(shop, members) == {"ACTIVE"}
    assert shop.statuses() == {"ACTIVE"}


@pytest.mark.parametrize("listed", [True, False])
def test_a_group_whose_provider_is_gone_is_drained_if_it_goes_with_its_stack(
    make_shop: Callable[..., Shop], listed: bool
) -> None:
    # An update kept the provider's name as physical id, and took the provider out of the template:
    # the Delete must drain the stack's own group, and be answered if the group is another's.
    shop = make_shop()
    members = group_of(shop)
    own = [("Group", GROUP, GROUP_TYPE, "CREATE_COMPLETE")] if listed else []
    at_work(shop, "DELETE_IN_PROGRESS", ("Drain", "spare", OURS, "DELETE_IN_PROGRESS"), *own)
    properties = {"Cluster": CLUSTER, "AutoScalingGroupName": GROUP}

    answer = shop.until_answered(shop.ask("Delete", properties, physical_id="spare"))

    assert answer["Status"] == "SUCCESS"
    assert statuses_of(shop, members) == {"DRAINING" if listed else "ACTIVE"}


def test_a_group_whose_name_looks_made_up_is_drained_before_its_guard_goes(
    make_shop: Callable[..., Shop],
) -> None:
    # CloudFormation names groups as it makes ids up, and the guard was called like the group is in
    # its own stack: SUCCESS, "not drained", over running tasks.
    shop = make_shop()
    name = "infra-Capacity-1ABCDEFGH2"
    auto_scaling = shop.world.account.auto_scaling
    auto_scaling.create_group(name, cluster=CLUSTER, desired=2)
    members = [*auto_scaling.groups[name].instances]
    properties = {"Cluster": CLUSTER, "AutoScalingGroupName": name}
    shop.world.run(300)

    request = shop.ask("Delete", properties, physical_id=name, logical_id="Capacity")
    at_work(shop, "DELETE_IN_PROGRESS", ("Capacity", name, OURS, "DELETE_IN_PROGRESS"))
    answer = shop.until_answered(request)

    assert "drained" in answer["Reason"]
    assert "Not drained" not in answer["Reason"]
    assert statuses_of(shop, members) == {"DRAINING"}


@pytest.mark.parametrize("clusters", [1, 450])
@pytest.mark.parametrize("back", ["Update", "Delete"])
def test_what_was_set_draining_in_another_cluster_than_the_named_one_is_active_again(
    make_shop: Callable[..., Shop], clusters: int, back: str
) -> None:
    # A drain finds it wherever it is; "is guarded" was said of what never took a task again.
    shop = make_shop(tasks=0)
    job(shop, NEVER_STOPS)
    for number in range(clusters):
        shop.world.account.ecs.create_cluster(f"elsewhere-{number:03}")
    properties = shop.properties(Cluster="elsewhere-000", DrainTimeoutSeconds="60")
    shop.until_answered(shop.ask("Delete", properties, physical_id=shop.fleet.fleet_id))
    shop.world.run(60)
    assert shop.statuses() == {"DRAINING"}

    properties = shop.properties(Cluster="elsewhere-000")
    if back == "Delete":
        # Only the guard goes: the fleet is another stack's.
        at_work(shop, "ROLLBACK_IN_PROGRESS", ("Drain", "", OURS, "DELETE_IN_PROGRESS"))
    own = shop.fleet.fleet_id if back == "Delete" else "sfr-new"
    answer = shop.until_answered(shop.ask(back, properties, physical_id=own))

    assert answer["Status"] == "SUCCESS"
    assert shop.statuses() == {"ACTIVE"}


def test_a_cluster_that_may_not_be_read_holds_up_no_create(make_shop: Callable[..., Shop]) -> None:
    # A role for one cluster lists them all: a fleet that boots still is looked for in each.
    shop = make_shop()
    account = shop.world.account
    account.ecs.create_cluster("elsewhere")
    account.ecs.create_cluster("secret")

    def intercept(call: Call) -> None:
        if "secret" in str(call.parameters.get("cluster", "")):
            raise ApiError("AccessDeniedException", "for the test", 403)

    account.interceptors.append(intercept)

    request = shop.ask("Create", shop.properties(Cluster="elsewhere"))

    assert shop.until_answered(request)["Status"] == "SUCCESS"
    assert shop.answered_seconds(request) <= 16


@pytest.mark.parametrize("kind", ["Create", "Update", "rollback"])
def test_a_throttle_of_any_length_is_waited_for_while_there_is_time(
    make_shop: Callable[..., Shop], kind: str
) -> None:
    # After five of sixty minutes a rollback was told SUCCESS over a fleet that nobody had seen, and
    # a Create FAILED.
    shop = make_shop()
    end = refuse(shop, "ListContainerInstances", "ThrottlingException")
    shop.world.account.after(1_200, end)
    if kind == "rollback":
        own = shop.fleet.fleet_id
        at_work(shop, "UPDATE_ROLLBACK_IN_PROGRESS", ("Drain", own, OURS, "UPDATE_IN_PROGRESS"))
    more = {} if kind == "Create" else {"physical_id": shop.fleet.fleet_id}

    request = shop.ask("Create" if kind == "Create" else "Update", shop.properties(), **more)
    answer = shop.until_answered(request)

    assert answer["Status"] == "SUCCESS"
    assert "is guarded" in answer["Reason"]
    assert 1_200 <= shop.answered_seconds(request) <= 1_200 + 2 * 16
