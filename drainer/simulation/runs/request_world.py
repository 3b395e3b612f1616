"""
A seed's account in which CloudFormation replaces what is guarded, and things go wrong.

It is judged by what is so in the account: never SUCCESS over a task before the deadline, never no
answer, never two of them.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import TYPE_CHECKING, Any, cast

from drainer.simulation.aws import Aws
from drainer.simulation.checkers.request_judge import Outcome, judge
from drainer.simulation.faults import fault_plan, limits
from drainer.simulation.faults.request_faults import RequestFaults
from drainer.simulation.production import FailedInvocationError
from drainer.simulation.protocol.quick_client import QuickClient
from drainer.simulation.records import ApiError
from drainer.simulation.runs.run import Result
from drainer.simulation.runs.seed_world import SeedWorld
from drainer.simulation.scenario.installation import Settings, install
from drainer.simulation.scenario.request_stories import CEASED_SECONDS, RequestStories
from drainer.simulation.scenario.trace import Trace, told
from drainer.simulation.services.messaging.call_time import KilledError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from drainer.simulation.faults.faults import Faults
    from drainer.simulation.scenario.installation import Build, Installation
    from drainer.simulation.services.cloudformation.custom_resource import CustomResourceRequest
    from drainer.simulation.services.messaging.call_time import CallTime

STARTED_AT = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
# A story that goes back takes three requests, of which each may take its hour.
ENDED_SECONDS = 4 * 3_600.0


@dataclass(eq=False)
class RequestWorld(SeedWorld):
    """A seed's account, its stacks, and what they ask."""

    seed: int
    steps: bool = False
    account: Aws = field(init=False)
    random: Random = field(init=False)
    trace: Trace = field(init=False)
    faults: Faults = field(init=False)
    call_time: CallTime = field(init=False)
    installed: Installation = field(init=False)
    stories: RequestStories = field(init=False)
    crashes: list[str] = field(default_factory=list)
    published: dict[str, list[datetime]] = field(default_factory=lambda: defaultdict(list))

    def __post_init__(self) -> None:
        """Build the account."""
        account = self.account = Aws(now=STARTED_AT, seed=self.seed)
        self.random = Random(f"requests {self.seed}")
        self.trace = Trace(account, STARTED_AT, on=self.steps)
        self.faults = fault_plan.choose(
            account, Random(f"faults {self.seed}"), self.trace, lambda _: None
        )
        most = STARTED_AT + timedelta(seconds=CEASED_SECONDS)
        self.faults.ceased_at = min(self.faults.ceased_at, most)
        self.call_time = limits.impose(account, self.seed, self.faults)

    def run(self, build: Callable[..., Any], errors: Sequence[type[Exception]]) -> Result:
        """
        Run the seed.

        Args:
            build: makes the function.
            errors: what production calls an answer that may be given later, and one that may not.
        """
        account, random = self.account, self.random
        account.stacks.unavailable, account.stacks.refused = errors

        def built(
            environ: Any, client: Any, clock: Any, /, respond: Callable[[str, bytes], None]
        ) -> Any:
            return self._guarded(build(environ, client, clock, self, respond))

        self.installed = install(
            account,
            build=cast("Build", built),
            settings=Settings(
                pass_interval_seconds=random.choice([5, 15, 60]),
                function_duration_seconds=random.choice([0.0, 0.5, 4.0]),
                sweep_interval_seconds=300.0,
                custom_resources=True,
                filters_late_seconds=self.faults.filters_late_seconds(),
            ),
            client=lambda service: QuickClient(service, self._perform),
            call_time=self.call_time,
        )
        self.stories = RequestStories(account, random, self.installed)
        self.stories.begin()
        RequestFaults(self.faults, self.installed).install(random)
        account.run_for(CEASED_SECONDS + ENDED_SECONDS)
        self.trace.finish()
        return Result(
            self.seed,
            tuple(judge(self._outcome())),
            self.faults.injected,
            sum(one.request.answer is not None for one in self.stories.asked),
            sum(self._seconds(one.request) for one in self.stories.asked),
            self.installed.function.invocations,
            tuple(self.trace.lines),
        )

    def _outcome(self) -> Outcome:
        account = self.account
        return Outcome(
            started_at=self.trace.started_at,
            asked=self.stories.asked,
            operations=self.stories.operations,
            history=account.history,
            stack_statuses={one.name: one.status for one in account.stacks.stacks.values()},
            statuses={
                ec2_instance_id: there.status
                for stack in self.stories.operations
                for fleet in stack.stays
                for ec2_instance_id in fleet.ec2_instance_ids
                if (there := account.ecs.container_instance(ec2_instance_id)) is not None
            },
            dead_letters=self.installed.dead_letters,
            faults=self.faults.injected,
            crashes=self.crashes,
            published=self.published,
            delay_seconds=self.installed.wait_queue.delay_seconds,
            deleted_at=account.record_tables.deleted_at,
            writable=account.record_tables.is_writable,
        )

    def _seconds(self, request: CustomResourceRequest) -> float:
        end = request.answers[0][0] if request.answers else request.times_out_at
        return (end - request.sent_at).total_seconds()

    # What the function reports to

    def requested(self, report: Any) -> None:
        """Tell of a pass."""
        if self.trace.on:
            self.trace.say(
                "pass",
                f"{report.key[-8:]} hop {report.hop}: {report.step} {report.answer or ''} "
                f"{report.reason} {'; '.join(report.errors)}",
            )

    def crashed(self, error: Exception, ec2_instance_ids: list[str]) -> None:
        """Take a crash for what it is."""
        self.crashes.append(f"{type(error).__name__}: {error} ({ec2_instance_ids})")

    # The function and its way into the account

    def _guarded(self, function: Any) -> Any:
        def guarded(event: Any, context: Any) -> Any:
            self.faults.invocation_begins()
            try:
                answer = function(event, context)
            except KilledError:
                raise FailedInvocationError from None
            if self.faults.result_is_lost():
                raise FailedInvocationError
            return answer

        return guarded

    def _perform(
        self, service: str, operation: str, parameters: dict[str, Any], /
    ) -> dict[str, Any]:
        return self.call_time.perform(self._told, service, operation, parameters)

    def _told(self, service: str, operation: str, parameters: dict[str, Any], /) -> dict[str, Any]:
        try:
            answer = self.ask(service, operation, parameters)
        except ApiError as error:
            self.trace.call(operation, parameters, str(error))
            raise
        if self.trace.on:
            self.trace.call(operation, parameters, told(answer))
        return answer

    def answer(self, service: str, operation: str, parameters: dict[str, Any]) -> dict[str, Any]:
        """Let the account answer, and remember what was published."""
        answer = super().answer(service, operation, parameters)
        if operation == "PublishBatch":
            self._remember(parameters)
        return answer

    def _remember(self, parameters: dict[str, Any]) -> None:
        """Note when a re-invocation was published, by its request."""
        for one in parameters["PublishBatchRequestEntries"]:
            self.published[json.loads(one["Message"])["request"]].append(self.account.now)

    def admit(self, operation: str, parameters: dict[str, Any]) -> None:
        """Refuse what is denied still, and what is not found yet."""
        now = self.account.now
        if now < self.stories.denied_until.get(operation, now):
            self.faults.strike("permission not spread yet", operation)
            code = "UnauthorizedOperation" if "Spot" in operation else "AccessDeniedException"
            raise ApiError(code, "not authorized yet", 403)
        if now < self.stories.visible_at.get(parameters.get("SpotFleetRequestId", ""), now):
            self.faults.strike("not found yet", operation)
            raise ApiError("InvalidSpotFleetRequestId.NotFound", "there is no such fleet yet")


def run_request_seed(
    seed: int, build: Callable[..., Any], errors: Sequence[type[Exception]], *, steps: bool = False
) -> Result:
    """Run one seed."""
    return RequestWorld(seed, steps).run(build, errors)
