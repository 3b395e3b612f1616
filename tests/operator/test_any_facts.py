"""
Whatever the facts are, there is one sentence, it fits, and it is never wrong about an end.
"""

from __future__ import annotations

import json
from datetime import UTC, timedelta
from random import Random
from typing import Any

import pytest

from drainer.cli.demo.stuck.planted import HERE, NOW
from drainer.cli.explain.causes import Cause
from drainer.cli.explain.drainers import DrainState, Group, Hook, Stack
from drainer.cli.explain.facts import (
    Container,
    ContainerInstance,
    Deployment,
    Facts,
    Resources,
    Service,
    ServiceEvent,
    Target,
    TargetGroup,
    Task,
    TaskDefinition,
)
from drainer.cli.explain.screen import as_json, lines
from drainer.cli.explain.show import explained
from drainer.cli.explain.summary import Clock
from drainer.cli.status.rows import Mark, row_of
from drainer.cli.status.screen import row_line
from tests.loops import some
from tests.operator.test_messages import EVENTS

SEEDS = range(400)
COLUMNS = 80
STATUSES = (
    *("PROVISIONING", "PENDING", "ACTIVATING", "RUNNING", "DEACTIVATING", "STOPPING"),
    *("DEPROVISIONING", "STOPPED", "DELETED", "SOMETHING_NEW"),
)
REASONS = ("", "CannotPullContainerError: x", "RESOURCE:ENI", "Task failed ELB health checks in x")


class Chance:
    """
    Chooses facts by chance, with a seed.
    """

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)  # noqa: S311 (a test's)
        self.names = [self.name() for _ in range(3)]

    def one(self, *of: Any) -> Any:
        return self.random.choice(of)

    def either(self) -> bool:
        return self.random.random() < 1 / 2

    def mostly(self) -> bool:
        return self.random.random() < 2 / 3

    def name(self) -> str:
        return "n" * int(self.one(1, 3, 12, 40, 255)) + str(self.random.randrange(1_000))

    def instant(self) -> Any:
        seconds = self.one(1, 60, 600, 7_200, 100_000, -600)
        return self.one(None, NOW - timedelta(seconds=seconds))

    def task(self, **more: Any) -> Task:
        number = self.random.randrange(16**8)
        group = self.one(*(f"service:{name}" for name in self.names), "family:job", "")
        given: dict[str, Any] = {
            "arn": f"arn:aws:ecs:r:1:task/c/{number:032x}",
            "group": group,
            "desired": self.one("RUNNING", "STOPPED"),
            "last": self.one(*STATUSES),
            "definition": self.one("", "d"),
            "started_by": self.one("", "ecs-svc/1"),
            "stop_code": self.one("", "TaskFailedToStart", "EssentialContainerExited"),
            "stopped_reason": self.one(*REASONS),
            "containers": (Container(name="app", exit_code=self.one(None, 0, 1)),),
            "health": self.one("", "HEALTHY", "UNHEALTHY"),
        }
        times = (
            *("created_at", "started_at", "stopping_at", "stopped_at"),
            *("pull_started_at", "pull_stopped_at"),
        )
        return Task(**(given | {one: self.instant() for one in times} | more))

    def service(self, name: str) -> Service:
        return Service(
            name=name,
            status=self.one("ACTIVE", "DRAINING"),
            desired=self.one(0, 1, 2, 50),
            running=self.one(0, 1, 2, 50),
            minimum_percent=self.one(0, 50, 100),
            maximum_percent=self.one(100, 125, 200),
            scheduling=self.one("REPLICA", "REPLICA", "DAEMON"),
            strategy=self.one("ROLLING", "BLUE_GREEN"),
            grace_seconds=self.one(0, 60, 100_000),
            definition=self.one("", "d"),
            constraints=self.one((), (("distinctInstance", ""),), (("memberOf", "x == y"),)),
            target_groups=self.one((), ("t",)),
            deployments=tuple(
                Deployment(id="d", status=status, rollout=self.one("", "FAILED", "IN_PROGRESS"))
                for status in ("PRIMARY", "ACTIVE")
            ),
            events=tuple(
                ServiceEvent(NOW - timedelta(minutes=self.random.randrange(600)), text)
                for _, text in self.random.sample(EVENTS, self.one(0, 1, 5))
            ),
        )

    def instance(self, number: int) -> ContainerInstance:
        return ContainerInstance(
            arn=f"arn:aws:ecs:r:1:container-instance/c/{number}",
            ec2_instance_id=HERE,
            cluster=self.name(),
            status="DRAINING",
            agent_connected=self.mostly(),
            heard_at=self.instant(),
            remaining=Resources(self.one(0, 9_999), self.one(0, 9_999), 0, self.one(*PORTS)),
        )

    def facts(self) -> Facts:
        tasks = tuple(self.task() for _ in range(self.one(0, 1, 3, 12)))
        stack = Stack(
            name="drainer",
            topic_arn="topic",
            dead_letters=self.one(None, 0, 3),
            disabled=self.one(None, (), ("x",)),
            errors=self.one(None, 0, 3),
            throttles=self.one(None, 0, 3),
            last_sweep=self.instant(),
        )
        drain = DrainState(
            hook="drainer",
            began_at=NOW,
            written_at=NOW,
            deadline_at=self.instant(),
            deadline_result=self.one("CONTINUE", "ABANDON"),
            draining_since=self.instant(),
            last_heartbeat_at=NOW,
            hop=1,
            phase="draining",
            reason="",
            silent=self.either(),
            ended=self.one("", "answered CONTINUE"),
        )
        hooks = self.one(None, (), (Hook(name=self.name()), Hook(name="drainer")))
        group = Group(
            name=self.name(),
            lifecycle_state=self.one("InService", "Terminating:Wait"),
            desired=self.one(None, 3),
            maximum=self.one(None, 3, 9),
            suspended=self.one((), ("Launch",)),
            hooks=hooks,
            retains=self.either(),
            simple_policies=self.one(None, (), ("p",)),
            terminating_since=self.instant(),
        )
        needs = Resources(256, 512, self.one(0, 1), self.one(*PORTS))
        state = self.one("healthy", "unhealthy", "initial", "draining")
        return Facts(
            now=NOW,
            instance=self.instance(1),
            tasks=self.one(None, tasks, tasks, tasks, tasks),
            services={name: self.service(name) for name in self.names[: self.one(2, 3)]},
            definitions=self.one({}, {"d": TaskDefinition(arn="d", needs=needs)}),
            elsewhere={
                name: tuple(self.task(group=f"service:{name}") for _ in range(self.one(0, 3)))
                for name in self.names
            },
            others=self.one(None, (), tuple(self.instance(number) for number in range(2, 5))),
            target_groups={
                "t": TargetGroup(
                    arn="t",
                    targets=self.one(None, (Target("i", 1, state),)),
                    delay_seconds=self.one(None, 0, 300),
                    exists=self.mostly(),
                )
            },
            protected=self.one(None, {}, {task.id: self.instant() for task in tasks[:2]}),
            group=self.one(None, group),
            stack=self.one(None, stack),
            drain=self.one(None, drain),
        )


PORTS = (frozenset[int](), frozenset({80}), frozenset({80, 443}))


@pytest.mark.parametrize("seed", SEEDS)
def test_any_facts_have_one_sentence_that_fits(seed: int) -> None:
    # A rule that fails on an odd answer shows a traceback at the worst moment.
    facts = Chance(seed).facts()
    one = explained(facts, UTC)
    shown = some(lines(one))
    first = shown[0].text

    assert first.startswith(HERE)
    assert first.endswith(".")
    assert "{" not in first
    wide = [line.text for line in shown if len(line.text) > COLUMNS and line.colour != "cyan"]
    assert wide == []
    assert json.loads(json.dumps(as_json(one)))["cause"] == one.verdict.main.cause
    left = facts.tasks is None or bool(facts.remaining)
    assert not (left and Cause.FINISHED in {found.cause for found in one.verdict.findings})
    assert one.estimate.at is None or one.estimate.at > NOW


@pytest.mark.parametrize("seed", SEEDS)
def test_any_facts_have_one_line_that_fits(seed: int) -> None:
    facts = Chance(seed).facts()
    for listed in (True, False):
        row = row_of(facts, Clock(NOW, UTC), listed=listed)
        line = row_line(row, NOW)

        assert len(line.text) <= COLUMNS
        assert row.waits_for != ""
        assert (facts.tasks is None and listed) == (row.mark == Mark.UNREAD)
        assert not (row.phase == "drained" and (facts.tasks is None or facts.remaining))
