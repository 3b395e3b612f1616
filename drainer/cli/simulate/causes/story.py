"""
A seed's account: a cluster whose instances leave, and one to three causes that hold them.

The durations of each task differ from what its definition says and from those of its neighbours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import TYPE_CHECKING, Any, Literal

from drainer.simulation.aws import Aws
from drainer.simulation.production import FailedInvocationError
from drainer.simulation.protocol.quick_client import QuickClient
from drainer.simulation.scenario.installation import Settings, install
from drainer.simulation.services.auto_scaling.lifecycle import LifecycleHook
from drainer.simulation.services.ecs.definitions import TaskProfile

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from drainer.simulation.scenario.installation import Build, Installation
    from drainer.simulation.services.auto_scaling.lifecycle import LifecycleAction
    from drainer.simulation.services.auto_scaling.model import Group, Instance
    from drainer.simulation.services.ecs.model import Service, Task

START = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
CLUSTER, GROUP, OWN_HOOK, FOREIGN_HOOK = "payments", "payments-asg", "drainer", "backup-logs"
# Of ECS. https://docs.aws.amazon.com/AmazonECS/latest/developerguide/managed-instance-draining.html
MANAGED_HOOK = "ecs-managed-draining-termination-hook"
MANAGED_LOOK_SECONDS = 60.0
SWEEP_SECONDS, FUNCTION_SECONDS = 300.0, 0.3
DRAIN_TIMEOUT_SECONDS = 7_200
# A pass that is later than this is missed, and a few seconds for its own time.
PASS_LATE = timedelta(seconds=75 + 5)
# How long a task's part of life may differ from its service's mean.
NOISE = (0.6, 1.6)
DRAWN_EVERY_SECONDS = 5.0
PERCENTS = [(100, 200), (100, 200), (50, 200), (50, 100), (0, 100), (100, 150), (75, 150)]
DEADLOCKS = [(100, 100), (100, 125)]
DELAYS = [None, 0.0, 30.0, 60.0, 120.0, 300.0]
FULL = 8
# How often there is a service that nothing holds, a second drain, a container that exits soon after
# its stop signal, and something wrong with the drainer itself.
PLAIN, TWO_DRAINS, QUICK, DRAINERS_OWN = 0.7, 0.35, 0.7, 0.5

By = Literal["drainer", "managed", "hand"]
Broken = Literal["", "failing", "throttled", "disabled"]


@dataclass(eq=False)
class Life:
    """The means of a service's durations, from which each task's own are drawn."""

    mean: TaskProfile
    crashes: bool = False

    def draw(self, random: Random) -> TaskProfile:
        """Draw the durations of the next task."""

        def noisy(seconds: float) -> float:
            return seconds * random.uniform(*NOISE)

        drawn = replace(
            self.mean,
            start_seconds=noisy(self.mean.start_seconds),
            healthy_after_seconds=noisy(self.mean.healthy_after_seconds),
            stop_seconds=noisy(self.mean.stop_seconds),
            interface_seconds=noisy(self.mean.interface_seconds),
        )
        if self.crashes:
            return replace(drawn, run_seconds=random.uniform(1, 6), healthy_after_seconds=20.0)
        return drawn


@dataclass(eq=False)
class Drain:
    """One instance that drains; `began_at` is when it was told to."""

    instance: Instance
    began_at: datetime

    @property
    def id(self) -> str:
        """The EC2 instance's id."""
        return self.instance.ec2_instance_id

    def action(self, hook: str) -> LifecycleAction | None:
        """Return its lifecycle action of a hook."""
        return next((one for one in self.instance.past if one.hook.name == hook), None)


@dataclass(eq=False)
class Story:
    """
    A seed's account.

    Attributes:
        by: what drains its instances.
        unit: what a place on an instance is made of, as ECS shows it: `memory`, `cpu` or neither.
        plants: what was planted.
        begins_at: when the first instance leaves.
        lives: the durations of each service.
        on_drain: told of each drain that begins.
        on_loss: told of each drain whose message is lost.
        broken: how the function fails, from `broken_at` until `repaired_at`.
        failed_at: when invocations failed.
        lost_at: when a drain's message was lost, by its lifecycle action's token.
        missed_at: when its pass is so late that it is missed.
        disconnected_at: when an instance's agent disconnected.
        crashed: when new tasks of which service exited by themselves.
    """

    seed: int
    build: Build
    account: Aws = field(init=False)
    random: Random = field(init=False)
    by: By = field(init=False)
    unit: str = field(init=False)
    plants: list[str] = field(init=False)
    begins_at: datetime = field(init=False)
    group: Group = field(init=False)
    installed: Installation | None = None
    lives: dict[str, Life] = field(default_factory=dict)
    drains: list[Drain] = field(default_factory=list)
    on_loss: list[Callable[[Drain], None]] = field(default_factory=list)
    on_drain: list[Callable[[Drain], None]] = field(default_factory=list)
    broken: Broken = ""
    broken_at: datetime | None = None
    repaired_at: datetime | None = None
    failed_at: list[datetime] = field(default_factory=list)
    lost_at: dict[str, datetime] = field(default_factory=dict)
    missed_at: dict[str, datetime] = field(default_factory=dict)
    disconnected_at: dict[str, datetime] = field(default_factory=dict)
    crashed: list[tuple[datetime, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Build the account, and let an instance or two leave."""
        random = self.random = Random(f"explain {self.seed}")  # noqa: S311 (has a seed)
        account = self.account = Aws(now=START, seed=self.seed)
        self.by = random.choices(["drainer", "managed", "hand"], weights=[50, 35, 15])[0]  # type: ignore[assignment]
        self.unit = random.choice(["memory", "cpu", ""])
        possible = [*PLANTS, *(OF_HOOKS if self.by != "hand" else {})]
        self.plants = random.sample(possible, random.randint(1, 3))
        if self.by == "drainer" and random.random() < DRAINERS_OWN:
            self.plants[0] = random.choice([*OF_DRAINER])
        account.ecs.life.on_end.append(self._ended)
        if self.by == "drainer":
            self._install()
        self.group = account.auto_scaling.create_group(
            GROUP,
            cluster=CLUSTER,
            desired=random.randint(2, 6),
            maximum=12,
            launch_seconds=random.uniform(40, 240),
            tasks_max=FULL,
        )
        self._put_hooks()
        if random.random() < PLAIN:
            self._service("web")
        for plant in self.plants:
            EVERY[plant][0](self)
        self._draw()
        self.begins_at = self.now + timedelta(seconds=random.uniform(1, SWEEP_SECONDS))
        account.at(self.begins_at, self._leave)
        if random.random() < TWO_DRAINS:
            account.after(
                random.choice([0.0, random.uniform(60, 900)]) + SWEEP_SECONDS, self._leave
            )

    @property
    def now(self) -> datetime:
        """The present instant."""
        return self.account.now

    @property
    def fails(self) -> bool:
        """Whether the function fails now."""
        return self.broken_at is not None and self.repaired_at is None

    def later(self, low: float, high: float, do: Callable[[], None]) -> None:
        """Let something happen between so many and so many seconds from now."""
        self.account.after(self.random.uniform(low, high), do)

    # The account

    def _ended(self, task: Task) -> None:
        if task.service is not None and task.profile.run_seconds is not None:
            self.crashed.append((self.now, task.service.name))

    def _install(self) -> None:
        account = self.account
        self.installed = install(
            account,
            build=self.build,
            environ={
                "DRAINER_CLUSTERS": CLUSTER,
                "DRAINER_DRAIN_TIMEOUT_SECONDS": str(DRAIN_TIMEOUT_SECONDS),
            },
            settings=Settings(
                function_duration_seconds=FUNCTION_SECONDS,
                fast_path=True,
                sweep_interval_seconds=SWEEP_SECONDS,
            ),
            client=lambda service: QuickClient(service, account.call),
        )
        self.installed.function.faults.append(self._fail)

    def _fail(self, _event: Mapping[str, Any]) -> None:
        if self.fails:
            self.failed_at.append(self.now)
            raise FailedInvocationError

    def _put_hooks(self) -> None:
        put = self.account.auto_scaling.put_hook
        if self.installed is not None:
            topic = self.installed.topic.arn
            put(
                LifecycleHook(
                    OWN_HOOK, GROUP, heartbeat_timeout_seconds=1_800, notification_target_arn=topic
                )
            )
        if self.by == "managed":
            put(LifecycleHook(MANAGED_HOOK, GROUP, default_result="CONTINUE"))

    def _service(self, name: str, percents: tuple[int, int] | None = None, **more: Any) -> Service:
        random, ecs = self.random, self.account.ecs
        minimum, maximum = percents or random.choice(PERCENTS)
        timeout = random.choice([30.0, 30.0, 60.0, 120.0])
        quick = random.random() < QUICK
        given: dict[str, Any] = {
            "start_seconds": random.uniform(5, 60),
            "healthy_after_seconds": random.uniform(10, 120),
            "stop_seconds": random.uniform(1, 10) if quick else random.uniform(10, 1.5 * timeout),
            "stop_timeout_seconds": timeout,
            "network_mode": random.choice(["bridge", "bridge", "bridge", "awsvpc"]),
        }
        delay = more.pop("delay", random.choice(DELAYS))
        desired = more.pop("desired", self.group.desired * random.choice([1, 1, 2]))
        life = self.lives[name] = Life(TaskProfile(**(given | more)))
        service = ecs.create_service(
            CLUSTER,
            name,
            desired=desired,
            minimum_healthy_percent=minimum,
            maximum_percent=maximum,
            deregistration_delay_seconds=delay,
            profile=life.mean,
        )
        for task in service.tasks.values():
            task.profile = replace(life.draw(random), run_seconds=None)
        return service

    def _draw(self) -> None:
        services = self.account.ecs.clusters[CLUSTER].services
        for name, life in self.lives.items():
            services[name].profile = life.draw(self.random)
        self.account.after(DRAWN_EVERY_SECONDS, self._draw)

    def _leave(self) -> None:
        serving = [
            one
            for one in self.group.instances.values()
            if one.lifecycle_state == "InService" and not self.drained(one)
        ]
        if not serving:
            return
        instance = serving[0]
        drain = Drain(instance, self.now)
        self.drains.append(drain)
        for listen in self.on_drain:
            listen(drain)
        if self.by != "drainer":
            self._set_draining(instance)
        if self.by != "hand":
            self.account.auto_scaling.scale_in(GROUP, ec2_instance_ids=[drain.id])
        if self.by == "managed":
            self.later(1, MANAGED_LOOK_SECONDS, lambda: self._managed_look(drain))
        for plant in self.plants:
            EVERY[plant][1](self, drain)

    def drained(self, instance: Instance) -> bool:
        """Whether an instance has been told to drain."""
        return any(one.instance is instance for one in self.drains)

    def _set_draining(self, instance: Instance) -> None:
        ecs = self.account.ecs
        found = ecs.container_instance(instance.ec2_instance_id)
        if found is not None:
            ecs.set_status(found, "DRAINING")

    def _managed_look(self, drain: Drain) -> None:
        """Let ECS look whether an instance is empty, as it does about once a minute."""
        action = drain.action(MANAGED_HOOK)
        if action is None or not action.is_open:
            return
        found = self.account.ecs.container_instance(drain.id)
        if found is None or not found.remaining_tasks():
            self.account.auto_scaling.lifecycle.end(action, "CONTINUE", "ecs")
            return
        self.account.auto_scaling.lifecycle.heartbeat(action)
        self.account.after(MANAGED_LOOK_SECONDS, lambda: self._managed_look(drain))

    # What is planted: before the drain, and when it begins

    def slow_targets(self) -> None:
        """Plant a service whose targets drain for minutes."""
        delay = self.random.choice([120.0, 300.0, 600.0])
        self._service("targets", self.random.choice([(50, 100), (0, 100), (50, 200)]), delay=delay)

    def slow_stop(self) -> None:
        """Plant a service whose containers ignore the stop signal."""
        timeout = self.random.choice([60.0, 120.0, 300.0])
        self._service(
            "deaf", (50, 200), delay=None, stop_seconds=9 * timeout, stop_timeout_seconds=timeout
        )

    def never_stops(self) -> None:
        """Plant a service whose containers cannot be stopped."""
        self._service(
            "stuck", (50, 200), delay=None, stop_seconds=math.inf, stop_timeout_seconds=math.inf
        )

    def job(self, drain: Drain) -> None:
        """Plant a standalone job."""
        seconds = self.random.uniform(60, 5_000)
        self.account.ecs.run_standalone(CLUSTER, drain.id, seconds=seconds)

    def protected_service(self) -> None:
        """Plant a service that protects tasks."""
        self._service("queue")

    def protect(self, drain: Drain) -> None:
        """Protect the service's tasks that are on the instance."""
        until = self.now + timedelta(minutes=self.random.randint(3, 80))
        for task in self.account.ecs.clusters[CLUSTER].services["queue"].tasks.values():
            if task.container_instance.ec2_instance_id == drain.id:
                self.account.ecs.protect(task, until)

    def deadlocked(self) -> None:
        """Plant a service none of whose tasks may be stopped or started."""
        percents = self.random.choice(DEADLOCKS)
        self._service("ledger", percents, desired=min(3, self.group.desired))
        self.later(900, 5_000, self._allow)

    def _allow(self) -> None:
        cluster = self.account.ecs.clusters[CLUSTER]
        cluster.services["ledger"].maximum_percent = 200
        self.account.ecs.disturb(cluster)

    def needs_room(self) -> None:
        """Plant a service that starts replacements first."""
        self._service("api", (100, 200))

    def fill(self, drain: Drain) -> None:
        """Fill the other instances with jobs, and free them again some time later."""
        ecs, jobs = self.account.ecs, []
        for one in ecs.clusters[CLUSTER].container_instances.values():
            if one.ec2_instance_id == drain.id or one.status != "ACTIVE":
                continue
            while len(one.wanted_tasks()) < FULL:
                jobs.append(ecs.run_standalone(CLUSTER, one.ec2_instance_id, family="filler"))

        def free() -> None:
            for job in jobs:
                ecs.life.stop(job, "UserInitiated", "Task stopped by user")

        self.later(600, 5_000, free)

    def crashing(self) -> None:
        """Plant a service whose new tasks exit at once."""
        self._service("cart", (100, 200))
        life = self.lives["cart"]
        life.crashes = True

        def repair() -> None:
            life.crashes = False

        self.later(1_200, 5_000, repair)

    def daemon(self) -> None:
        """Plant a daemon."""
        self.account.ecs.create_daemon(CLUSTER, "log-router")

    def disconnect(self, drain: Drain) -> None:
        """Let the agent of the instance disconnect, and come back later."""
        ecs = self.account.ecs

        def away() -> None:
            self.disconnected_at[drain.id] = self.now
            ecs.connect_agent(drain.id, connected=False)
            self.later(400, 4_000, lambda: ecs.connect_agent(drain.id, connected=True))

        self.later(0, 200, away)

    def foreign_hook(self) -> None:
        """Plant another hook."""
        self.account.auto_scaling.put_hook(
            LifecycleHook(FOREIGN_HOOK, GROUP, default_result="CONTINUE")
        )

    def foreign_answer(self, drain: Drain) -> None:
        """Let the other hook be answered."""
        action = drain.action(FOREIGN_HOOK)
        if action is not None:
            end = self.account.auto_scaling.lifecycle.end
            self.later(60, 3_500, lambda: end(action, "CONTINUE", "owner"))

    def break_function(self, how: Broken) -> None:
        """Let the function fail for a while."""

        def fail() -> None:
            self.broken, self.broken_at = how, self.now
            self.later(600, 3_000, repair)

        def repair() -> None:
            self.repaired_at = self.now

        if self.broken_at is None:
            self.later(10, 300, fail)

    def lose(self, drain: Drain, *, is_buried: bool) -> None:
        """Lose the message to the drain's next pass, or let it become a dead letter."""
        installed, action = self.installed, drain.action(OWN_HOOK)
        if installed is None or action is None:
            return

        def lose() -> None:
            for queue in (installed.wait_queue, installed.quiet_queue):
                late = timedelta(seconds=queue.delay_seconds) + PASS_LATE
                messages = [one for one in queue.messages if action.token in one.body]
                queue.delete(messages)
                if messages:
                    self.lost_at[action.token] = self.now
                    self.missed_at[action.token] = self.now + late
                    for listen in self.on_loss:
                        listen(drain)
                if is_buried:
                    for one in messages:
                        installed.wait_dead_letters.send(one.body)

        self.later(20, 200, lose)


def _before(_story: Story) -> None:
    """Plant this when an instance leaves."""


def _then(_story: Story, _drain: Drain) -> None:
    """Plant this before."""


PLANTS: dict[str, Any] = {
    "target draining": (Story.slow_targets, _then),
    "stop timeout": (Story.slow_stop, _then),
    "container that never stops": (Story.never_stops, _then),
    "standalone job": (_before, Story.job),
    "protected task": (Story.protected_service, Story.protect),
    "minimum = maximum": (Story.deadlocked, _then),
    "no place": (Story.needs_room, Story.fill),
    "crash loop": (Story.crashing, _then),
    "daemon": (Story.daemon, _then),
    "agent disconnected": (_before, Story.disconnect),
}
OF_HOOKS: dict[str, Any] = {"other hook": (Story.foreign_hook, Story.foreign_answer)}
OF_DRAINER: dict[str, Any] = {
    "chain lost": (_before, lambda story, drain: story.lose(drain, is_buried=False)),
    "dead letter": (_before, lambda story, drain: story.lose(drain, is_buried=True)),
    "function failing": (_before, lambda story, _: story.break_function("failing")),
    "function throttled": (_before, lambda story, _: story.break_function("throttled")),
    "function disabled": (_before, lambda story, _: story.break_function("disabled")),
}
EVERY = {**PLANTS, **OF_HOOKS, **OF_DRAINER}
