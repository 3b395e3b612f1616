"""
One seed: five groups lose instances to their old drainers while `drainer adopt` changes each hook.

The command itself reads and changes the simulated account; the drainer in it is production's code,
under seeded faults. What it answers is judged by the checkers of all seeds.
"""

from __future__ import annotations

import io
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, cast

from rich.console import Console

from drainer import handler
from drainer.cli.account import reader as reading
from drainer.cli.adopt.functions import Functions
from drainer.cli.adopt.plan import without
from drainer.cli.adopt.run import Adopt
from drainer.simulation.aws import Aws
from drainer.simulation.checkers.safety import Safety
from drainer.simulation.faults import fault_plan, limits
from drainer.simulation.faults.fault_plan import TABLE_READS, WRITES
from drainer.simulation.faults.faults import READS
from drainer.simulation.production import FailedInvocationError
from drainer.simulation.protocol.quick_client import QuickClient
from drainer.simulation.runs.seed_world import SeedWorld
from drainer.simulation.scenario.installation import Settings, install
from drainer.simulation.scenario.promises import Promise, Workload
from drainer.simulation.scenario.trace import Trace
from drainer.simulation.services.auto_scaling.lifecycle import LifecycleHook
from drainer.simulation.services.ecs.definitions import TaskProfile
from drainer.simulation.services.messaging.call_time import KilledError
from drainer.simulation.services.messaging.delivery import SnsApi
from tests.adopt.old_functions import OldDrainers
from tests.adopt.planted import PLANTED, TOPIC, PlantedAccount

if TYPE_CHECKING:
    from drainer.simulation.services.auto_scaling.lifecycle import LifecycleAction

START = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
SWEEP_SECONDS = 300.0
INSTANCES = 4
# How often a job of up to 25 minutes runs on an instance that leaves.
JOB_SHARE = 0.3
# As in attach.yaml without a setting: as long as the hook allows.
TIMEOUT_SECONDS = 172_800
LEAVING_SECONDS, CHANGED_SECONDS = (10.0, 900.0), (60.0, 1_000.0)
# Between the change of the hook and that of the rule, a person pastes the next command.
RULE_SECONDS = (1.0, 60.0)
# From when nothing keeps an instance any more, faults have ceased and its hook is the drainer's:
# a sweep, three listings and passes, and a chain that is begun again after its record's silence.
ANSWERED_WITHIN_SECONDS = 1_500.0
LIMIT_SECONDS = 4 * 3_600.0


@dataclass
class Outcome:
    """
    What came of a seed.

    Attributes:
        counts: How drains ended, by who ended them and whether tasks were left.
        wrong: What the drainer did wrong, in sentences.
        faults: How often each kind of fault struck.
    """

    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)


class Story(SeedWorld):
    """A seed's account; `run` lets it come to its end."""

    long_drain_minutes = 60

    def __init__(self, seed: int, cdk_source: str = "") -> None:
        self.random = Random(f"adopt {seed}")  # noqa: S311 - seeded, not secret
        self.account = Aws(now=START, seed=seed)
        self.trace = Trace(self.account, START)
        defaults = Promise(ours=True, drain_timeout_seconds=TIMEOUT_SECONDS)
        self.workload = Workload(self.account, self.random, 15, {}, defaults)
        random = Random(f"adopt faults {seed}")  # noqa: S311 - seeded, not secret
        self.faults = fault_plan.choose(self.account, random, self.trace, lambda _: None)
        self.call_time = limits.impose(self.account, seed, self.faults)
        self.outcome = Outcome()
        self._answered: set[str] = set()
        self._changed_at: dict[str, datetime] = {}
        self._left_out_at: dict[str, datetime] = {}
        self._install()
        self._plant(cdk_source)
        self._planted = PlantedAccount(may_write=True)
        self._planted.auto_scaling = lambda operation, parameters: self.account.call(
            "autoscaling", operation, parameters
        )

    def run(self) -> Outcome:
        """Let instances leave, change each hook meanwhile, and see all drains to their end."""
        account, random = self.account, self.random
        changes = sorted((random.uniform(*CHANGED_SECONDS), name) for name in PLANTED)
        for name in PLANTED:
            for _ in range(random.choice([2, 2, 3])):
                seconds = random.uniform(*LEAVING_SECONDS)
                account.after(seconds, lambda name=name: self._leave(name))  # type: ignore[misc]
        with TemporaryDirectory() as folder:
            for seconds, name in changes:
                account.advance_to(START + timedelta(seconds=seconds))
                self._change(name, Path(folder))
        limit = max(self.faults.ceased_at, account.now) + timedelta(seconds=LIMIT_SECONDS)
        while account.now < limit and (
            account.auto_scaling.lifecycle.open or len(self._left_out_at) < len(PLANTED)
        ):
            account.advance_to(account.next_event_at() or limit)
        self.old.end()
        self._judge()
        return self.outcome

    # What there is

    def _install(self) -> None:
        account = self.account

        def built(environ: Any, client: Any, clock: Any, /) -> Any:
            return self._guarded(lambda: handler.build(environ, client, clock, cast("Any", self)))

        self.installed = install(
            account,
            build=built,
            settings=Settings(
                fast_path=self.random.random() < 0.8, sweep_interval_seconds=SWEEP_SECONDS
            ),
            client=lambda service: QuickClient(service, self._perform),
            call_time=self.call_time,
        )
        assert self.installed.topic.arn == TOPIC
        self.safety = Safety(account, self.workload, TOPIC, START)
        self.safety.ceased_at = self.faults.ceased_at
        if self.faults.going_on:
            notifications, envelopes, *_ = self.installed.topic.subscriptions
            self.faults.disturb("notification", notifications.channel)
            self.faults.disturb("re-invocation", envelopes.channel)
            self.faults.disturb("rule", self.installed.rule)
            self.faults.disturb("schedule", self.installed.schedule)
            reads = READS | TABLE_READS
            for _ in range(self.random.randint(0, self.faults.intensity.windows)):
                fault_plan.open_window(self.faults, reads, WRITES)
            fault_plan.burden(self.faults, self.installed, reads | WRITES)

    def _plant(self, cdk_source: str) -> None:
        account, random, spent = self.account, self.random, self.account.spent
        sns = account.apis["sns"]
        assert isinstance(sns, SnsApi)
        loops = random.random() < 0.5
        self.old = OldDrainers(account, sns, random, loops=loops, cdk_source=cdk_source)
        account.spent = spent  # the drainer's: each function that is made takes it
        for one in PLANTED.values():
            account.auto_scaling.create_group(one.group, cluster=one.name, desired=INSTANCES)
            account.auto_scaling.put_hook(
                LifecycleHook(
                    one.hook,
                    one.group,
                    heartbeat_timeout_seconds=one.heartbeat_seconds,
                    default_result="ABANDON" if one.default_result == "ABANDON" else "CONTINUE",
                    notification_target_arn=one.target_arn or None,
                )
            )
            self.workload.promises[one.group, one.hook] = Promise(ours=False)
            account.ecs.create_service(
                one.name,
                "web",
                desired=INSTANCES,
                deregistration_delay_seconds=random.choice([None, 30.0, 120.0, 300.0]),
                profile=TaskProfile(
                    healthy_after_seconds=random.uniform(20, 400),
                    stop_seconds=random.uniform(1, 60),
                ),
            )

    # What happens

    def _leave(self, name: str) -> None:
        account, random = self.account, self.random
        for leaving in account.auto_scaling.scale_in(PLANTED[name].group, 1):
            if random.random() < JOB_SHARE:
                seconds = random.uniform(30, 1_500)
                account.ecs.run_standalone(name, leaving.ec2_instance_id, seconds=seconds)

    def _change(self, name: str, folder: Path) -> None:
        """Change one hook, as a person who types `drainer adopt --apply` and what it prints."""
        account, one = self.account, PLANTED[name]
        planted = self._planted
        planted.patterns = {"delta": self.old.rule.pattern}
        run = Adopt(
            planted.client,
            planted.fetch,
            lambda _: False,
            Console(file=io.StringIO()),
            account.now,
            folder,
        )
        # From now on it is the drainer's, as soon as the call has been made.
        self.workload.promises[one.group, one.hook] = self.workload.defaults
        code = run.apply(f"{one.group}/{one.hook}", yes=True, dry_run=False)
        assert code == 0, f"{one.hook} was not changed"
        self._changed_at[name] = account.now
        if self.random.random() < 0.5:
            # What AWS does with actions that wait is not documented: they may keep the hook's
            # former timeout, as they do here otherwise, or take the new one with a heartbeat.
            group = account.auto_scaling.groups[one.group]
            for action in account.auto_scaling.lifecycle.open.values():
                if action.hook.name == one.hook:
                    action.hook = group.hooks[one.hook]
        account.after(self.random.uniform(*RULE_SECONDS), lambda: self._leave_out(name))

    def _leave_out(self, name: str) -> None:
        """Change the rule as the command's further step says."""
        self._planted.patterns = {"delta": self.old.rule.pattern}
        (rule,), _ = Functions(reading.Reader(self._planted.client), self._planted.fetch).rules()
        self.old.rule.pattern = without(rule, PLANTED[name].group)
        self._left_out_at[name] = self.account.now

    # The function and its calls

    def _guarded(self, build: Any) -> Any:
        function = build()

        def guarded(event: Any, context: Any) -> Any:
            nonlocal function
            self.faults.invocation_begins()
            self.safety.invocation_begins()
            try:
                result = function(event, context)
            except KilledError:
                function = build()
                raise
            if self.faults.result_is_lost():
                raise FailedInvocationError
            return result

        return guarded

    def _perform(
        self, service: str, operation: str, parameters: dict[str, Any], /
    ) -> dict[str, Any]:
        return self.call_time.perform(self._told, service, operation, parameters)

    def _told(self, service: str, operation: str, parameters: dict[str, Any], /) -> dict[str, Any]:
        result = self.ask(service, operation, parameters)
        self.safety.told(operation, parameters, result)
        return result

    def answer(self, service: str, operation: str, parameters: dict[str, Any]) -> dict[str, Any]:
        """Let the account answer the drainer, under the checker's eyes."""
        waiting = {*self.account.auto_scaling.lifecycle.open}
        self.safety.before(operation, parameters)
        result = super().answer(service, operation, parameters)
        if operation == "UpdateItem":
            self.safety.recorded(parameters["Key"])
        if operation == "CompleteLifecycleAction":
            self._answered |= waiting - {*self.account.auto_scaling.lifecycle.open}
        return result

    def crashed(self, error: Exception, ec2_instance_ids: list[str]) -> None:
        """Take a crash for what it is."""
        self.outcome.wrong.append(f"crash {type(error).__name__}: {error} {ec2_instance_ids}")

    # What came of it

    def _judge(self) -> None:
        self.outcome.faults = self.faults.injected
        self.outcome.wrong += [str(one) for one in self.safety.violations]
        left = {
            fact.about["ec2_instance_id"]: len(fact.about["remaining"])
            for fact in self.account.facts("released")
        }
        for action in self.account.auto_scaling.actions:
            name = action.hook.auto_scaling_group_name.removesuffix("-asg")
            by = self._ended_by(action)
            early = "early" if left.get(action.ec2_instance_id) else "drained"
            begun = "before" if action.started_at < self._changed_at[name] else "after"
            self.outcome.counts[f"begun {begun} the change, ended by {by}, {early}"] += 1
            sentence = self._late(action, name, by)
            if sentence:
                self.outcome.wrong.append(f"{name} {action.ec2_instance_id} {sentence}")

    def _ended_by(self, action: LifecycleAction) -> str:
        if action.token in self._answered:
            return "the drainer"
        return "the old function" if action.ended_by == "completed" else "the hook's timeout"

    def _late(self, action: LifecycleAction, name: str, by: str) -> str:
        if action.is_open:
            return "was never answered"
        assert action.ended_at is not None
        changed_at = self._changed_at[name]
        if by == "the old function" and action.started_at > self._left_out_at[name]:
            return "was answered by an old function that is told of its group no more"
        if by == "the hook's timeout" and action.started_at >= changed_at:
            return "was answered by its hook's timeout"
        stopped = [
            fact.at
            for fact in self.account.history
            if fact.kind == "task"
            and fact.about.get("ec2_instance_id") == action.ec2_instance_id
            and fact.about.get("last_status") == "STOPPED"
        ]
        free_at = max([changed_at, action.started_at, self.faults.ceased_at, *stopped])
        seconds = (action.ended_at - free_at).total_seconds()
        return f"was answered {seconds:.0f} s late" if seconds > ANSWERED_WITHIN_SECONDS else ""
