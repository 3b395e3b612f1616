"""
A second witness: the simulated account, which was written to judge the drainer, not this command.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from statistics import median
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.config import Config

from drainer.cli.demo.stuck.planted_aws import PlantedAws
from drainer.cli.explain.causes import Cause
from drainer.cli.explain.reader import explainable
from drainer.cli.explain.reads import Reads
from drainer.cli.explain.show import explained
from drainer.cli.explain.summary import Clock
from drainer.cli.status.reader import look
from drainer.simulation.aws import Aws
from drainer.simulation.protocol.server import Server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from drainer.cli.explain.screen import Explanation

START = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
STEP = timedelta(seconds=25)
SIMULATED = {"autoscaling", "ecs", "elbv2"}


class Drained:
    """
    A simulated drain, looked at from outside.
    """

    def __init__(self, account: Aws, server: Server) -> None:
        self.account = account
        self._server = server
        self._absent = PlantedAws(START)
        self._clients: dict[str, Any] = {}
        self.instance = next(iter(account.auto_scaling.instances))

    def client(self, service: str) -> Any:
        if service not in SIMULATED:
            return self._absent.client(service)
        if service not in self._clients:
            self._clients[service] = boto3.client(
                service,
                endpoint_url=self._server.url,
                region_name="us-east-1",
                aws_access_key_id="local",
                aws_secret_access_key="local",
                config=Config(retries={"total_max_attempts": 1}),
            )
        return self._clients[service]

    def start(self) -> None:
        ecs = self.client("ecs")
        arns = ecs.list_container_instances(
            cluster="payments", filter=f"ec2InstanceId == {self.instance}"
        )["containerInstanceArns"]
        ecs.update_container_instances_state(
            cluster="payments", containerInstances=arns, status="DRAINING"
        )

    def remaining(self) -> list[str]:
        (one,) = [
            one
            for one in self.account.ecs.clusters["payments"].container_instances.values()
            if one.ec2_instance_id == self.instance
        ]
        return [task.last_status for task in one.remaining_tasks()]

    def ended_at(self) -> datetime:
        return max(
            task.stopped_at
            for task in self.account.ecs.clusters["payments"].tasks.values()
            if task.stopped_at and task.container_instance.ec2_instance_id == self.instance
        )

    def explanation(self) -> Explanation:
        now = self.account.now
        reads = Reads(self.client)
        return explained(explainable(reads, self.instance, None, "drainer", now), UTC)

    def until_drained(self) -> Iterator[tuple[Explanation, list[str]]]:
        """
        Yield each explanation with the truth, until no task is left.
        """
        for _ in range(60):
            self.account.advance_to(self.account.now + STEP)
            truth = self.remaining()
            yield self.explanation(), truth
            if not truth:
                return
        pytest.fail("the simulated drain does not end")


@pytest.fixture
def simulated() -> Iterator[Callable[..., Drained]]:
    servers: list[Server] = []

    def made(**service: Any) -> Drained:
        account = Aws(now=START)
        account.auto_scaling.create_group("payments-asg", cluster="payments", desired=3)
        account.ecs.create_service("payments", "web", **({"desired": 3} | service))
        servers.append(Server(account).__enter__())
        return Drained(account, servers[-1])

    yield made
    for server in servers:
        server.__exit__(None, None, None)
        assert server.failures == []


def test_a_simulated_drain_is_explained_at_each_moment(
    simulated: Callable[..., Drained],
) -> None:
    # To call a drain finished before its last task has STOPPED makes somebody terminate it.
    drain = simulated()
    drain.start()
    causes: list[Cause] = []
    for one, truth in drain.until_drained():
        found = one.verdict.main.cause
        assert (found == Cause.FINISHED) == (not truth), (found, truth)
        if set(truth) == {"DEACTIVATING"}:
            assert found == Cause.TARGET_DRAINING
        if set(truth) == {"STOPPING"}:
            assert found == Cause.STOP_TIMEOUT
        causes.append(found)

    assert Cause.TARGET_DRAINING in causes
    assert Cause.STOP_TIMEOUT in causes
    assert causes[-1] == Cause.FINISHED


@pytest.mark.parametrize(
    "service",
    [
        {"desired": 6},
        {"maximum_percent": 134, "desired": 9},
        {"minimum_healthy_percent": 50, "maximum_percent": 100},
        {"stop_seconds": 100.0},
        {"start_seconds": 40.0},
    ],
    ids=str,
)
def test_the_end_of_a_simulated_drain_is_estimated(
    simulated: Callable[..., Drained], service: dict[str, Any]
) -> None:
    # An estimate that is wrong by half is worse than none: people plan their night by it.
    drain = simulated(**service)
    drain.start()
    seen = list(drain.until_drained())
    end = drain.ended_at()
    errors = []
    for one, _ in seen[:-1]:
        assert one.estimate.at is not None
        left = (end - one.clock.now).total_seconds()
        errors.append(abs((one.estimate.at - end).total_seconds()) / left)

    assert len(errors) > 8
    assert median(errors) <= 0.05
    assert max(errors) <= 0.2


def test_a_simulated_service_that_cannot_move_is_explained(
    simulated: Callable[..., Drained],
) -> None:
    drain = simulated(minimum_healthy_percent=100, maximum_percent=100)
    drain.start()
    drain.account.advance_to(START + timedelta(minutes=10))

    assert drain.explanation().verdict.main.cause == Cause.MINIMUM_EQUALS_MAXIMUM


def test_status_sees_the_simulated_drain_as_explain_does(
    simulated: Callable[..., Drained],
) -> None:
    drain = simulated()
    drain.start()
    drain.account.advance_to(START + timedelta(minutes=3))
    one = drain.explanation()
    status = look(
        drain.client, cluster=None, group=None, stack="drainer", clock=Clock(drain.account.now, UTC)
    )

    assert [row.cause for row in status.rows] == [one.verdict.main.cause]
    assert [row.tasks for row in status.rows] == [len(drain.remaining())]
