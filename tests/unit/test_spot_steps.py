"""The small parts of a rescue: patience, memory, and what is read of services, tasks and events."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from drainer import events
from drainer.aws.spot import SpotGateway
from drainer.drain.attributes import INTERRUPTED
from drainer.errors import MisconfiguredError, UnavailableError
from drainer.invocation import InvocationClock
from drainer.spot.comeback_events import Comeback
from drainer.spot.controller import collapse
from drainer.spot.events import (
    Interruption,
    LoadBalancer,
    Target,
    TaskInterruption,
    targets_of,
)
from drainer.spot.memory import ABSENT_FOR, CLUSTERS_MAX, ENTRIES_MAX, Recollection
from drainer.spot.patience import RESERVE_SECONDS, Patience

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
EVENTS = Path(__file__).parents[1] / "events"


class Clock:
    """An invocation of thirty seconds, and what it waited for."""

    def __init__(self) -> None:
        self.left = 30.0
        self.waits: list[float] = []

    def seconds_left(self) -> float:
        return self.left

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.left -= seconds


class Throttled:
    """A call that is throttled so many times."""

    def __init__(self, times: float) -> None:
        self.times = times
        self.asked = 0

    def __call__(self) -> str:
        self.asked += 1
        if self.asked <= self.times:
            raise UnavailableError("Rate exceeded")
        return "done"


@pytest.mark.parametrize("patient", [False, True])
def test_a_throttled_call_is_made_again_in_the_same_invocation(patient: bool) -> None:
    # A delivery later is half a minute later, of two minutes.
    clock, call = Clock(), Throttled(3)
    patience = Patience(InvocationClock(NOW, clock.seconds_left), clock.sleep, "i-1")

    assert patience.again(call, patient=patient) == "done"
    assert (call.asked, len(clock.waits)) == (4, 3)
    assert patience.was_needed
    assert patience.now() == NOW + timedelta(seconds=sum(clock.waits))


@pytest.mark.parametrize("patient", [False, True])
def test_tries_end_while_there_is_time_to_say_what_failed(patient: bool) -> None:
    # A function that Lambda ends says nothing, and its whole batch comes again.
    clock, call = Clock(), Throttled(float("inf"))

    with pytest.raises(UnavailableError, match="Rate exceeded"):
        Patience(InvocationClock(NOW, clock.seconds_left), clock.sleep).again(call, patient=patient)
    assert RESERVE_SECONDS - 4 <= clock.left < RESERVE_SECONDS
    asked = call.asked
    with pytest.raises(UnavailableError, match="No time"):
        Patience(InvocationClock(NOW, clock.seconds_left), clock.sleep).again(call)
    assert call.asked == asked


def test_invocations_that_are_throttled_together_come_back_apart() -> None:
    waits = []
    for seed in ("i-1", "i-2", "i-3"):
        clock = Clock()
        Patience(InvocationClock(NOW, clock.seconds_left), clock.sleep, seed).again(Throttled(3))
        waits.append(tuple(clock.waits))

    assert len(set(waits)) == 3
    assert all(0 < wait <= 1 for one in waits for wait in one)


def test_what_is_denied_is_asked_once() -> None:
    def denied() -> None:
        raise MisconfiguredError("denied")

    clock = Clock()
    with pytest.raises(MisconfiguredError):
        Patience(InvocationClock(NOW, clock.seconds_left), clock.sleep).again(denied)
    assert clock.waits == []


def test_the_memory_of_a_warm_function_has_bounds() -> None:
    memory = Recollection()
    for number in range(ENTRIES_MAX + 10):
        memory.remember_absent(f"i-{number}", "stop", NOW)
        memory.remember_cluster(f"cluster-{number}", NOW)

    assert not memory.is_absent("i-0", "stop", NOW)
    assert memory.is_absent(f"i-{ENTRIES_MAX}", "stop", NOW)
    assert not memory.is_absent(f"i-{ENTRIES_MAX}", "stop", NOW + ABSENT_FOR)
    assert memory.clusters(NOW)[0] == f"cluster-{ENTRIES_MAX + 9}"
    assert len(memory.clusters(NOW)) == CLUSTERS_MAX


# -- what ECS says of services and tasks


class Describes:
    """ECS, as far as it describes one service and one task."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers

    def describe_services(self, **_: Any) -> dict[str, Any]:
        return {"services": [self.answers], "failures": []}

    def describe_tasks(self, **_: Any) -> dict[str, Any]:
        return {"tasks": [self.answers], "failures": []}


def test_both_target_groups_of_a_blue_green_deployment_are_known_in_service_and_task_set() -> None:
    def balancer(name: str) -> dict[str, Any]:
        return {
            "targetGroupArn": f"arn:{name}-blue",
            "containerName": "web",
            "containerPort": 80,
            "advancedConfiguration": {"alternateTargetGroupArn": f"arn:{name}-green"},
        }

    plain = {"targetGroupArn": "arn:plain", "containerName": "web", "containerPort": 80}
    ecs = Describes(
        serviceName="web",
        runningCount=7,
        loadBalancers=[balancer("service"), plain],
        taskSets=[{"loadBalancers": [balancer("set")]}],
    )
    service = SpotGateway(ecs, None).services("shop", ["web"])["web"]

    assert service.running == 7
    assert [one.target_group_arn for one in service.load_balancers] == [
        "arn:service-blue",
        "arn:service-green",
        "arn:plain",
        "arn:set-blue",
        "arn:set-green",
    ]


@pytest.mark.parametrize("first", ["tcp", "udp"])
def test_tcp_and_udp_on_one_container_port_both_leave(first: str) -> None:
    # DNS listens to both; the one that was described first stayed in, and was sent requests.
    second = "udp" if first == "tcp" else "tcp"
    ports = {"tcp": 32_768, "udp": 32_769}
    ecs = Describes(
        taskArn="arn:task/shop/t1",
        group="service:dns",
        containers=[
            {
                "name": "dns",
                "networkBindings": [
                    {"containerPort": 53, "hostPort": ports[one], "protocol": one}
                    for one in (first, second)
                ],
            }
        ],
    )
    [placed] = SpotGateway(ecs, None).placed("shop", ["t1"])

    assert targets_of(placed, LoadBalancer("arn:nlb", "dns", 53), "i-1") == [
        Target("i-1", 32_768),
        Target("i-1", 32_769),
    ]


# -- events


def test_the_events_of_one_batch_are_one_for_each_instance_and_task() -> None:
    advice = Interruption("i-1", "recommend", NOW)
    gone = Interruption("i-1", "terminate", NOW)
    late = TaskInterruption("shop", "web", "t", ("10.0.0.1",), NOW, warns=False)
    warning = TaskInterruption("shop", "web", "t", ("10.0.0.1",), NOW)

    assert collapse([advice, gone, advice, late, warning]) == [gone, warning]


def test_of_two_events_of_one_kind_the_first_counts() -> None:
    # A duplicate that is dated later would promise time that there is not.
    first = Interruption("i-1", "terminate", NOW)
    back_again = Comeback("shop", "arn:instance", "i-1", NOW)
    again = [replace(one, ends_at=NOW + timedelta(seconds=9)) for one in (first, back_again)]

    assert collapse([first, back_again, *again]) == [first, back_again]


def back(**changes: Any) -> dict[str, Any]:
    event = json.loads((EVENTS / "eventbridge_container_instance_draining.json").read_text())
    mark = {"name": INTERRUPTED, "value": f"stop/{int(NOW.timestamp())}"}
    event["detail"]["attributes"] = [{"name": "ecs.os-type", "value": "linux"}, mark]
    event["detail"] |= {"agentConnected": True, **changes}
    return dict(event)


def receive(event: dict[str, Any], now: datetime) -> Any:
    [received] = events.receive(event, now=now)
    return received.content


def test_the_event_of_an_agent_that_is_back_is_a_comeback() -> None:
    found = receive(back(), NOW)

    assert isinstance(found, Comeback)
    assert found.ends_at == NOW
    assert found.names()["action"] == "return"


@pytest.mark.parametrize(
    "event",
    [
        back(agentConnected=False),
        back(attributes=[]),
        back(attributes="none"),
        back(attributes=[None, {"name": INTERRUPTED, "value": "stop/soon"}]),
        back(clusterArn="not a cluster"),
        back(containerInstanceArn=None),
        {**back(), "source": "my.app"},
    ],
)
def test_other_events_of_container_instances_are_no_comeback(event: dict[str, Any]) -> None:
    # Whatever they are, nothing becomes ACTIVE by them.
    assert not isinstance(receive(event, NOW), Comeback)


def test_an_event_within_the_two_minutes_is_no_comeback() -> None:
    assert not isinstance(receive(back(), NOW - timedelta(seconds=1)), Comeback)
