"""
A seed's account with the drainer in it and all that stands around: faults, checkers, a trace.

The drainer is production's code, handed in by the caller; nothing of it is replaced.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any

from drainer.simulation.aws import Aws
from drainer.simulation.checkers.chains import Chains
from drainer.simulation.checkers.liveness import Liveness
from drainer.simulation.checkers.memory import Memory
from drainer.simulation.checkers.returns import Returns
from drainer.simulation.checkers.safety import Safety
from drainer.simulation.faults import fault_plan, large, limits, record_faults
from drainer.simulation.faults.moved_agents import MovedAgents
from drainer.simulation.faults.odd_answers import OddAnswers
from drainer.simulation.faults.rivals import Rivals
from drainer.simulation.faults.set_aside import SetAside
from drainer.simulation.faults.undescribed import UndescribedRegistrations
from drainer.simulation.production import FailedInvocationError
from drainer.simulation.protocol.client import InProcessClient
from drainer.simulation.protocol.quick_client import QuickClient
from drainer.simulation.records import ApiError
from drainer.simulation.runs.seed_world import SeedWorld
from drainer.simulation.scenario import workload
from drainer.simulation.scenario.installation import Settings, install
from drainer.simulation.scenario.trace import Trace, told
from drainer.simulation.services.messaging.call_time import KilledError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from drainer.simulation.faults.faults import Faults
    from drainer.simulation.production import Build, Function
    from drainer.simulation.scenario.installation import Installation
    from drainer.simulation.scenario.promises import Workload
    from drainer.simulation.services.auto_scaling.lifecycle import LifecycleAction
    from drainer.simulation.services.messaging.call_time import CallTime


STARTED_AT = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
SWEEP_INTERVAL_SECONDS = 300.0
# Lambda scales out, and ends each environment after some hours to renew its runtime:
# often enough to be met in each seed.
# https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html
NEW_ENVIRONMENT_PROBABILITY = 0.02
# Scale-ins are over after this.
BEGUN_SECONDS = 1_000.0
# How often an account is seen through to the end of what is open, and of what that led to.
ROUNDS_MAX = 4
# After the last action's end: long enough for what was delivered late to come and do nothing.
AFTERMATH_SECONDS = 400.0
# Looks at how many chains are alive, once faults have ceased and records have been written. Each
# has published since: the longest pass interval is 240 s, and a delivery that failed comes again
# after three minutes.
SETTLED_SECONDS = 1_200.0


@dataclass(frozen=True, slots=True)
class Options:
    """
    How to run a seed.

    Attributes:
        steps: whether to keep a trace.
        judged: whether botocore's models judge every call; costs a third of the time.
        fast_path: whether the rule of the fast path is there.
        sweep: whether the sweep's schedule is there.
        first_only: whether only the first violation counts: after it no function runs any more.
    """

    steps: bool = False
    judged: bool = False
    fast_path: bool = True
    sweep: bool = True
    first_only: bool = False


@dataclass(eq=False)
class World(SeedWorld):
    """A seed's account with all that stands around it."""

    seed: int
    options: Options
    account: Aws = field(init=False)
    workload: Workload = field(init=False)
    large: large.Kind = field(init=False)
    trace: Trace = field(init=False)
    faults: Faults = field(init=False)
    call_time: CallTime = field(init=False)
    safety: Safety = field(init=False)
    chains: Chains = field(init=False)
    returns: Returns = field(init=False)
    installed: Installation = field(init=False)
    rivals: Rivals = field(init=False)
    odd_answers: OddAnswers = field(init=False)
    moved_agents: MovedAgents = field(init=False)
    undescribed: UndescribedRegistrations = field(init=False)
    _environments: Random = field(init=False)

    def __post_init__(self) -> None:
        """Build the account."""
        account = self.account = Aws(now=STARTED_AT, seed=self.seed)
        self._environments = Random(f"environments {self.seed}")
        self.trace = Trace(account, STARTED_AT, on=self.options.steps)
        self.workload = workload.choose(account, Random(f"workload {self.seed}"))
        self.large = large.kind_of(self.seed, self.workload)
        self.chains = Chains(account, self.workload)
        self.faults = fault_plan.choose(
            account, Random(f"faults {self.seed}"), self.trace, self.chains.went_astray
        )
        self.call_time = limits.impose(account, self.seed, self.faults)
        self.rivals = Rivals(self.faults, Random(f"rivals {self.seed}"))
        self.odd_answers = OddAnswers(
            self.faults,
            Random(f"odd answers {self.seed}"),
            Random(f"earlier registrations {self.seed}"),
        )
        random = Random(f"agents that register in another cluster {self.seed}")
        self.moved_agents = MovedAgents(self.faults, random, self.workload)
        random = Random(f"registrations that are never described {self.seed}")
        self.undescribed = UndescribedRegistrations(self.faults, random, self.workload)

    def install(self, build: Build) -> None:
        """Install the drainer, then build what it is for, then let things go wrong."""
        options, account = self.options, self.account

        def built(environ: Any, client: Any, clock: Any, /) -> Function:
            return self._guarded(lambda: build(environ, client, clock, self))

        self.installed = install(
            account,
            build=built,
            environ=self.workload.environ,
            settings=Settings(
                pass_interval_seconds=self.workload.pass_interval_seconds,
                function_duration_seconds=self.workload.random.choice([0.0, 0.5, 4.0]),
                fast_path=options.fast_path,
                sweep_interval_seconds=SWEEP_INTERVAL_SECONDS if options.sweep else None,
                filters_late_seconds=self.faults.filters_late_seconds(),
            ),
            client=self._client,
            call_time=self.call_time,
        )
        topic_arn = self.installed.topic.arn
        self.safety = Safety(
            account, self.workload, topic_arn, STARTED_AT, spent=lambda: self.call_time.spent
        )
        account.record_tables.wrote = self._wrote
        workload.begin(self.workload, topic_arn)
        large.enlarge(self.large, self.workload, self.faults, topic_arn, self.call_time)
        self.undescribed.choose()
        fault_plan.install(self.faults, self.workload, self.installed)
        record_faults.install(self.faults, self.installed.records)
        self.rivals.install(self.installed)
        self.odd_answers.install()
        self.moved_agents.install()
        self.undescribed.install()
        self.safety.ceased_at = self.faults.ceased_at
        self.safety.chains = partial(self.chains.alive, self.installed)
        self.returns = Returns(
            account,
            self.workload,
            lambda: self.faults.ceased_at,
            self.liveness().within,
            self.safety.drained,
            Memory(
                account,
                lambda: self.chains.table_failed_at,
                self.chains.unrecorded,
                [*filter(None, self.workload.environ["DRAINER_CLUSTERS"].split(","))],
            ).tells,
            self.safety.violated,
            self.undescribed.held_until,
            self.safety.registrations.was_described,
        )
        SetAside(
            self.faults,
            Random(f"instances that are set aside after their return {self.seed}"),
            self.workload,
            self.returns.due_at,
            self.returns.watch_until,
        ).install()
        account.at(self.faults.ceased_at + timedelta(seconds=SETTLED_SECONDS), self._count_chains)

    def run(self) -> None:
        """Let time pass until every action of ours has ended, or may no longer be open."""
        account, begun_at = self.account, STARTED_AT + timedelta(seconds=BEGUN_SECONDS)
        account.advance_to(max(begun_at, self.faults.ceased_at))
        self.chains.buried(self.installed)
        liveness = self.liveness()
        for _ in range(ROUNDS_MAX):
            self._until_answered(liveness)
            account.run_for(AFTERMATH_SECONDS)
            while account.now < self.returns.until:
                account.advance_to(self.returns.until)
            # What comes back, fails to or is freed may have met its hooks again meanwhile.
            if not self._open():
                break
        self.chains.buried(self.installed)
        self.safety.violations.extend(liveness.violations())
        self.trace.finish()

    def _until_answered(self, liveness: Liveness) -> None:
        account = self.account
        while waiting := self._open():
            due_at = account.next_event_at()
            # One that may wait until then is enough: the others need not be judged.
            if due_at and any(liveness.latest(action) >= due_at for action in waiting):
                account.advance_to(due_at)
                continue
            end_at = max(liveness.latest(action) for action in waiting) + timedelta(seconds=1)
            if account.now >= end_at:
                break
            account.advance_to(min(due_at, end_at) if due_at else end_at)

    def liveness(self) -> Liveness:
        """Return the judge of what has been answered."""
        return Liveness(
            self.account,
            self.workload,
            self.faults.ceased_at,
            self.faults.displaced,
            self.chains,
            SWEEP_INTERVAL_SECONDS,
            STARTED_AT,
            large.TURNS_SECONDS[self.large],
            self.safety.hooks_read,
            self.undescribed.held_until,
        )

    # What the function reports to

    def passed(self, report: Any, now: datetime) -> None:  # noqa: ARG002 (the report is dated)
        """Tell of a pass."""
        for outcome in report.outcomes:
            if outcome.retry_reason.startswith("No time was left"):
                action = outcome.drain.action
                self.chains.out_of_time.add((action.ec2_instance_id, action.lifecycle_hook_name))
        if self.trace.on:
            for outcome in report.outcomes:
                action = outcome.drain.action
                self.trace.say(
                    "pass",
                    f"{action.ec2_instance_id} {action.lifecycle_hook_name} "
                    f"hop {outcome.drain.hop}: {outcome.decision.phase} -> "
                    f"{outcome.decision.step} {outcome.decision.reason} {outcome.retry_reason}"
                    f"{'; '.join(outcome.errors)}",
                )

    def crashed(self, error: Exception, ec2_instance_ids: list[str]) -> None:
        """Take a crash for what it is."""
        self.safety.violated("crash", f"{type(error).__name__}: {error} ({ec2_instance_ids})")

    # The function and its way into the account

    def _guarded(self, build: Callable[[], Function]) -> Function:
        function = build()

        def guarded(event: Any, context: Any) -> dict[str, Any] | None:
            nonlocal function
            if self.options.first_only and self.safety.violations:
                return None
            if self.rivals.running:
                # An environment has one invocation at a time.
                with self.safety.another_invocation(), self.chains.another_invocation():
                    return self._watched(build(), event, context)
            if self._environments.random() < NEW_ENVIRONMENT_PROBABILITY:
                function = build()
            try:
                return self._watched(function, event, context)
            except KilledError:
                self.chains.claims_are_left()
                # Lambda resets the execution environment then: what it remembered is lost.
                # https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html
                function = build()
                raise

        return guarded

    def _watched(self, function: Function, event: Any, context: Any) -> dict[str, Any] | None:
        self.faults.invocation_begins()
        self.safety.invocation_begins()
        self.chains.invocation_begins()
        records = len(event.get("Records", ()))
        self.trace.say("invoked", f"with {records} records")
        try:
            answer = function(event, context)
        except KilledError:
            if not self.faults.going_on:
                # Each loop of a pass asks the clock.
                self.safety.violated("bounds", "the function timed out, and no call was slow")
            raise
        finally:
            # What a sweep has begun has no message that comes again.
            if not records:
                self.chains.claims_are_left()
        self.safety.invocation_ends(records)
        if self.faults.result_is_lost():
            raise FailedInvocationError
        for sentence in self.chains.forgotten(self.installed, event, answer):
            self.safety.violated("liveness", sentence)
        return answer

    def _client(self, service: str) -> Any:
        if self.options.judged:
            return InProcessClient(service, self._perform, self.account.region)
        return QuickClient(service, self._perform)

    def _perform(
        self, service: str, operation: str, parameters: dict[str, Any], /
    ) -> dict[str, Any]:
        self.rivals.before_a_call()
        try:
            return self.call_time.perform(self._told, service, operation, parameters)
        except ApiError:
            raise
        except Exception as error:
            # The function would take it for an answer that it did not expect, and go on.
            self.safety.violated("crash", f"crash: {operation}: {error!r}")
            raise

    def _told(self, service: str, operation: str, parameters: dict[str, Any], /) -> dict[str, Any]:
        try:
            answer = self.ask(service, operation, parameters)
        except ApiError as error:
            self.safety.hook_unread |= operation == "DescribeLifecycleHooks"
            if operation in ("DescribeLifecycleHooks", "DescribeAutoScalingInstances"):
                self.faults.blind_at = self.account.now
            self.chains.table_failed(service, error.code)
            if operation == "PublishBatch":
                self.chains.not_published(parameters["PublishBatchRequestEntries"])
            self.trace.call(operation, parameters, str(error))
            raise
        if answer.get("UnprocessedKeys"):
            self.chains.table_failed(service, "UnprocessedKeys")
        self.safety.told(operation, parameters, answer)
        if self.trace.on:
            self.trace.call(operation, parameters, told(answer))
        return answer

    def admit(self, operation: str, parameters: dict[str, Any]) -> None:
        """Refuse what ECS does not describe for a while."""
        self.odd_answers.before_call(operation, parameters)
        self.undescribed.before_call(operation, parameters)

    def answer(self, service: str, operation: str, parameters: dict[str, Any]) -> dict[str, Any]:
        """Let the account answer, under the checkers' eyes."""
        self.safety.before(operation, parameters)
        answer = super().answer(service, operation, parameters)
        if operation == "PublishBatch":
            entries, calls_fail = parameters["PublishBatchRequestEntries"], self.faults.goes_wrong()
            calls_fail |= not self.account.record_tables.is_writable
            for sentence in self.chains.published(entries, calls_fail=calls_fail):
                self.safety.violated("bounds", sentence)
        if parameters.get("status") == "DRAINING":
            self.chains.set_draining(parameters["containerInstances"])
        answer = self.odd_answers.without_one(operation, parameters, answer)
        return self.undescribed.instead(operation, parameters, answer)

    def _wrote(self, key: Mapping[str, Any]) -> None:
        """Note a write, also one whose repetition by the SDK is refused: it claims all the same."""
        self.chains.recorded(key)
        self.safety.recorded(key)

    def _open(self) -> list[LifecycleAction]:
        return [
            action
            for action in self.account.auto_scaling.lifecycle.open.values()
            if self.workload.promise(action).ours
        ]

    def _count_chains(self) -> None:
        settled_at = self.faults.ceased_at + timedelta(seconds=SETTLED_SECONDS)
        if self.account.now < settled_at:
            # A mishap has begun since that lasts longer.
            self.account.at(settled_at, self._count_chains)
            return
        for sentence in self.chains.too_many(self.installed, self.faults.ceased_at):
            self.safety.violated("bounds", sentence)
