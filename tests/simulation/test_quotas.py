"""Quotas throttle what exceeds the published buckets, and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import ClientError

from drainer.simulation.aws import Aws
from drainer.simulation.runs.world import Options, World
from drainer.simulation.services.messaging.delivery import SnsApi
from drainer.simulation.services.quotas import Bucket, Quotas, Rate

if TYPE_CHECKING:
    from collections.abc import Callable

START = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


@pytest.fixture
def account() -> Aws:
    account = Aws(now=START)
    account.auto_scaling.create_group("payments-asg", cluster="payments", desired=1)
    return account


def passes(call: Callable[[], object], attempts: int) -> int:
    refusals = []
    for _ in range(attempts):
        try:
            call()
        except ClientError as error:
            refusals.append(error.response)
    for refusal in refusals:
        assert refusal["Error"]["Code"] in ("ThrottlingException", "Throttling")
        assert refusal["Error"]["Message"] == "Rate exceeded"
        assert refusal["ResponseMetadata"]["HTTPStatusCode"] == 400
    return attempts - len(refusals)


# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/request-throttling.html
def test_the_read_bucket_has_100_tokens_and_gains_20_a_second(account: Aws) -> None:
    quotas = Quotas(account.clock)
    account.interceptors.append(quotas)
    ecs = account.client("ecs")

    assert passes(lambda: ecs.list_tasks(cluster="payments"), 150) == 100
    account.run_for(1)
    assert passes(lambda: ecs.list_container_instances(cluster="payments"), 150) == 20
    account.run_for(3_600)
    assert passes(lambda: ecs.list_tasks(cluster="payments"), 150) == 100
    assert quotas.throttled["cluster resource read"] == 50 + 130 + 50


def test_the_modify_bucket_is_another_one_and_gains_40_a_second(account: Aws) -> None:
    account.interceptors.append(Quotas(account.clock))
    ecs = account.client("ecs")
    (arn,) = ecs.list_container_instances(cluster="payments")["containerInstanceArns"]
    attribute = {"name": "a", "value": "b", "targetId": arn}

    def put() -> None:
        ecs.put_attributes(cluster="payments", attributes=[attribute])

    assert passes(put, 150) == 100
    account.run_for(1)
    assert passes(put, 150) == 40
    assert passes(lambda: ecs.list_tasks(cluster="payments"), 99) == 99


# A throttled call that had its effect all the same would be another world.
def test_a_throttled_call_has_no_effect_and_is_on_record(account: Aws) -> None:
    account.interceptors.append(Quotas(account.clock, ecs={"cluster resource modify": Rate(0, 0)}))
    ecs = account.client("ecs")
    (arn,) = ecs.list_container_instances(cluster="payments")["containerInstanceArns"]

    with pytest.raises(ClientError, match="Rate exceeded"):
        ecs.update_container_instances_state(
            cluster="payments", containerInstances=[arn], status="DRAINING"
        )

    assert account.ecs.clusters["payments"].container_instances[arn].status == "ACTIVE"
    assert account.calls[-1].error == "ThrottlingException"
    assert account.calls[-2].error is None


def test_sns_counts_messages_and_not_calls(account: Aws) -> None:
    topic = SnsApi(account).create_topic_named("drainer")
    quotas = Quotas(account.clock)
    account.interceptors.append(quotas)
    sns = account.client("sns")
    entries = [{"Id": str(number), "Message": "{}"} for number in range(10)]

    def publish() -> None:
        sns.publish_batch(TopicArn=topic.arn, PublishBatchRequestEntries=entries)

    assert passes(publish, 40) == 30
    assert topic.published == 300


def test_auto_scaling_is_limited_only_where_a_rate_is_given(account: Aws) -> None:
    scaling = account.client("autoscaling")
    account.interceptors.append(Quotas(account.clock))
    assert passes(scaling.describe_auto_scaling_groups, 500) == 500

    account.interceptors.append(Quotas(account.clock, auto_scaling=Rate(10, 1)))

    assert passes(scaling.describe_auto_scaling_groups, 50) == 10


# Auto Scaling throttles all its operations by one bucket: a sweep that reads can cost an answer.
def test_every_seed_s_auto_scaling_operations_share_one_harsh_bucket() -> None:
    account = World(0, Options()).account
    account.auto_scaling.create_group("g", desired=1)
    scaling = account.client("autoscaling")

    assert passes(lambda: scaling.describe_lifecycle_hooks(AutoScalingGroupName="g"), 30) == 30
    assert passes(scaling.describe_auto_scaling_instances, 30) == 10
    account.run_for(1)
    assert passes(scaling.describe_auto_scaling_groups, 30) == 8


# Invocations overlap: what is told of later may have been called before.
def test_a_bucket_loses_nothing_by_a_call_that_was_made_earlier() -> None:
    bucket = Bucket(Rate(1, 1), START)

    assert bucket.take(1, START + timedelta(seconds=10))
    assert not bucket.take(1, START)
    assert not bucket.take(1, START + timedelta(seconds=10))
    assert bucket.take(1, START + timedelta(seconds=11))
