"""
A seed's account in which CloudFormation replaces what is guarded, and things go wrong.

It is judged by what is so in the account: never SUCCESS over a task before the deadline, never no
answer, never two of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import TYPE_CHECKING, Any, cast

from drainer.simulation.aws import Aws
from drainer.simulation.checkers.request_judge import Outcome, judge
from drainer.simulation.faults import ecs_faults, fault_plan, limits
from drainer.simulation.faults.faults import READS
from drainer.simulation.production import FailedInvocationError
from drainer.simulation.protocol.quick_client import QuickClient
from drainer.simulation.records import ApiError
from drainer.simulation.runs.run import Result
from drainer.simulation.scenario.installation import Settings, install
from drainer.simulation.scenario.stack_operations import Asked, StackOperations
from drainer.simulation.scenario.trace import Trace, told
from drainer.simulation.services.ecs.definitions import NEVER_STOPS, TaskProfile
from drainer.simulation.services.messaging.call_time import KilledError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from drainer.simulation.faults.faults import Faults
    from drainer.simulation.scenario.installation import Build, Installation
    from drainer.simulation.scenario.stack_operations import Story
    from drainer.simulation.services.cloudformation.custom_resource import CustomResourceRequest
    from drainer.simulation.services.ec2.spot_fleet_model import Fleet
    from drainer.simulation.services.messaging.call_time import CallTime

STARTED_AT = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
CLUSTER = "payments"
# Faults may last until then, and a request may be sent until then; what remains of the hour is
# enough for a deadline, a lost chain and a sweep.
CEASED_SECONDS = 1_500.0
# A request is delivered at least once, and not later than this.
LATE_SECONDS_MAX = 900.0
LONG_AGO_SECONDS = 1e9
READS_OF_REQUESTS = READS | {
    "DescribeClusters",
    "DescribeSpotFleetInstances",
    "DescribeStacks",
    "GetItem",
    "ListStackResources",
    "Scan",
}
# What a request cannot do without: denied while the permissions of a new role spread.
# "... can take several minutes": https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot.html
SPREADING = (
    "DescribeClusters",
    "DescribeSpotFleetInstances",
    "DescribeSpotFleetInstances",
    "DescribeStacks",
    "ListContainerInstances",
    "ListStackResources",
)
SPREADING_SECONDS_MAX = 200.0
# How old an answer about a stack may be, and how long what was made is not found: both shorter than
# what production waits before it takes them for true.
LAGS = (0.0, 0.0, 0.06, 5.0, 45.0, 90.0)
YOUTHS = (0.0, 0.0, 1.0, 30.0, 100.0)
# A story that goes back takes three requests, of which each may take its hour.
ENDED_SECONDS = 4 * 3_600.0
WRITES_OF_REQUESTS = frozenset(
    {"UpdateContainerInstancesState", "StopTask", "PutAttributes", "PublishBatch", "PutItem"}
)


@dataclass(eq=False)
class RequestWorld:
    """A seed's account, its stacks, and what they ask."""

    seed: int
    steps: bool = False
    account: Aws = field(init=False)
    random: Random = field(init=False)
    trace: Trace = field(init=False)
    faults: Faults = field(init=False)
    call_time: CallTime = field(init=False)
    installed: Installation = field(init=False)
    alone: list[Asked] = field(default_factory=list)
    operations: list[StackOperations] = field(default_factory=list)
    visible_at: dict[str, datetime] = field(default_factory=dict)
    denied_until: dict[str, datetime] = field(default_factory=dict)
    crashes: list[str] = field(default_factory=list)

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
        self._populate()
        self._disturb()
        account.run_for(CEASED_SECONDS + ENDED_SECONDS)
        self.trace.finish()
        return Result(
            self.seed,
            tuple(judge(self._outcome())),
            self.faults.injected,
            sum(one.request.answer is not None for one in self.asked),
            sum(self._seconds(one.request) for one in self.asked),
            self.installed.function.invocations,
            tuple(self.trace.lines),
        )

    def _outcome(self) -> Outcome:
        account = self.account
        return Outcome(
            started_at=self.trace.started_at,
            asked=self.asked,
            operations=self.operations,
            history=account.history,
            stack_statuses={one.name: one.status for one in account.stacks.stacks.values()},
            statuses={
                ec2_instance_id: there.status
                for stack in self.operations
                for fleet in stack.stays
                for ec2_instance_id in fleet.ec2_instance_ids
                if (there := account.ecs.container_instance(ec2_instance_id)) is not None
            },
            dead_letters=self.installed.dead_letters,
            faults=self.faults.injected,
            crashes=self.crashes,
        )

    @property
    def asked(self) -> list[Asked]:
        """Every request."""
        return [*self.alone, *(one for stack in self.operations for one in stack.asked)]

    def _seconds(self, request: CustomResourceRequest) -> float:
        end = request.answers[0][0] if request.answers else request.times_out_at
        return (end - request.sent_at).total_seconds()

    # What is there, and what is asked

    def _populate(self) -> None:
        account, random = self.account, self.random
        fleets = [
            account.fleets.create(
                CLUSTER, random.randint(0, 4), type="request", already_running=True
            )
            for _ in range(random.randint(1, 3))
        ]
        account.fleets.create(CLUSTER, 3, type="request", already_running=True)
        account.ecs.create_service(CLUSTER, "web", desired=random.randint(0, 8))
        for fleet in fleets:
            for ec2_instance_id in fleet.ec2_instance_ids:
                if random.random() < 0.3:
                    self._start_job(ec2_instance_id)
            at = random.uniform(0, CEASED_SECONDS)
            begin = self._ask if random.random() < 0.5 else self._operate
            account.after(at, lambda begin=begin, fleet=fleet: begin(fleet))  # type: ignore[misc]

    def _start_job(self, ec2_instance_id: str) -> None:
        seconds = self.random.choice([60.0, 900.0, 2_700.0, None])
        profile = TaskProfile(run_seconds=seconds) if seconds else NEVER_STOPS
        self.account.ecs.run_standalone(CLUSTER, ec2_instance_id, profile=profile)

    def _ask(self, fleet: Fleet) -> None:
        kind: Any = self.random.choice(["Create", "Update", "Delete", "Delete", "Delete"])
        request = self.account.stacks.request(
            kind,
            self._properties(fleet),
            physical_id=fleet.fleet_id,
            stack=f"stack-{fleet.fleet_id[-4:]}",
        )
        self.alone.append(Asked(request, fleet, goes=kind == "Delete"))
        self._spread()
        self._deliver(request)

    def _operate(self, fleet: Fleet) -> None:
        """Let CloudFormation do something to a stack that guards a fleet."""
        random = self.random
        properties = self._properties(fleet)
        stack = StackOperations(
            self.account,
            f"stack-{fleet.fleet_id[-4:]}",
            lambda one: {**properties, "SpotFleet": one.fleet_id},
            self._deliver,
            foreign=random.random() < 0.3,
            expires=random.random() < 0.2,
        )
        self.operations.append(stack)
        self._spread()
        stack.run(self._story(stack, fleet))

    def _spread(self) -> None:
        """Deny something for some minutes, as if the function's role were new."""
        if self.random.random() < 0.5:
            seconds = self.random.uniform(0, SPREADING_SECONDS_MAX)
            until = self.account.now + timedelta(seconds=seconds)
            self.denied_until[self.random.choice(SPREADING)] = until

    def _story(self, stack: StackOperations, fleet: Fleet) -> Story:
        kind = self.random.choice(
            ["adopt", "cancel", "change", "fail", "replace", "replace", "delete"]
        )
        fails = self.random.random() < 0.6
        if kind == "replace":
            stack.foreign = False
            return stack.replace(fleet, self._another, fails=fails)
        if kind == "change":
            return stack.change(fleet, fails=fails)
        if kind == "cancel":
            return stack.cancel(fleet, self.random.choice([0.0, 1.0, 20.0, 300.0]))
        return {"adopt": stack.adopt, "fail": stack.fail_to_create, "delete": stack.delete}[kind](
            fleet
        )

    def _another(self) -> Fleet:
        """Make a fleet that nobody finds at first."""
        boot_seconds = self.random.choice([2.0, 60.0])
        fleet = self.account.fleets.create(
            CLUSTER, self.random.randint(0, 4), type="request", boot_seconds=boot_seconds
        )
        youth = timedelta(seconds=self.random.choice(YOUTHS))
        self.visible_at[fleet.fleet_id] = self.account.now + youth
        return fleet

    def _properties(self, fleet: Fleet) -> dict[str, Any]:
        random = self.random
        return {
            "Cluster": CLUSTER,
            "SpotFleet": fleet.fleet_id,
            "OnTimeout": random.choice(["SUCCESS", "FAILED"]),
            "DrainTimeoutSeconds": random.choice([300, 900, 3_000]),
            "StandaloneTasks": random.choice(["wait", "stop"]),
            "StandaloneGraceSeconds": 60,
            # Among the properties that arrive, seen in a log: github.com/aws/aws-cdk/issues/30911
            **random.choice([{}, {"ServiceTimeout": 3_600}]),
        }

    def _deliver(self, request: CustomResourceRequest) -> None:
        random = self.random
        if random.random() < 0.2:
            request.refusals = [random.choice([500, 503])] * random.randint(1, 5)
        if random.random() < 0.5:
            request.by_topic(self.installed.topic)
        else:
            request.by_function(self.installed.function)

    # What goes wrong

    def _disturb(self) -> None:
        faults, installed = self.faults, self.installed
        ecs_faults.install(faults, self.random)
        if not faults.going_on:
            return
        self.account.stacks.lag_seconds = faults.random.choice(LAGS)
        faults.stale_seconds = min(faults.stale_seconds, installed.wait_queue.delay_seconds)
        _, envelopes, requests = installed.topic.subscriptions
        faults.disturb("re-invocation", envelopes.channel)
        faults.disturb("schedule", installed.schedule)
        requests.channel.faults.append(self._delivered_at_least_once)
        for _ in range(faults.random.randint(0, faults.intensity.windows)):
            fault_plan.open_window(faults, READS_OF_REQUESTS, WRITES_OF_REQUESTS)
        operations = READS_OF_REQUESTS | WRITES_OF_REQUESTS
        fault_plan.burden(faults, installed, operations)
        # An answer that is wrong twice in a row, minutes apart, is not merely out of date.
        for third in range(3):
            at = third * CEASED_SECONDS / 3 + faults.random.uniform(0, CEASED_SECONDS / 4)
            self.account.after(at, self._list_nothing)

    def _list_nothing(self) -> None:
        """Let a fleet's listing be out of date, for less than what lies between two looks."""
        fleets, faults = self.account.fleets, self.faults
        if faults.going_on:
            faults.strike("fleet listed out of date")
            fleets.describe_lag_seconds = LONG_AGO_SECONDS
            seconds = self.installed.wait_queue.delay_seconds
            self.account.after(seconds, self._list_all)

    def _list_all(self) -> None:
        self.account.fleets.describe_lag_seconds = 0.0

    def _delivered_at_least_once(self, _: object) -> Sequence[float]:
        random, faults = self.faults.random, self.faults
        if random.random() >= faults.intensity.message:
            return (0.0,)
        late = random.uniform(0, LATE_SECONDS_MAX)
        faults.strike("request late or doubled", f"{late:.0f} s")
        return random.choice([(late,), (0.0, late), (late, 0.0, 3 * 3_600.0)])

    # What the function reports to

    def passed(self, report: Any) -> None:
        """Tell of nothing: no group is here."""

    def refused(self, record_id: str, refusal: Any) -> None:
        """Tell of a refusal."""
        self.trace.say("refused", f"{record_id}: {refusal}")

    def rescued(self, rescues: Any) -> None:
        """Tell of nothing: no instance is interrupted here."""

    def requested(self, report: Any) -> None:
        """Tell of a pass."""
        if self.trace.on:
            self.trace.say(
                "pass",
                f"{report.key[-8:]} hop {report.hop}: {report.step} {report.answer or ''} "
                f"{report.reason} {'; '.join(report.troubles)}",
            )

    def returned(self, returned: Any) -> None:
        """Tell of instances that are in service again."""
        for one in returned:
            self.trace.say("returned", f"{one.ec2_instance_id} {one.done} {one.trouble}")

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
            answer = self._ask_account(service, operation, parameters)
        except ApiError as error:
            self.trace.call(operation, parameters, str(error))
            raise
        if self.trace.on:
            self.trace.call(operation, parameters, told(answer))
        return answer

    def _ask_account(
        self, service: str, operation: str, parameters: dict[str, Any]
    ) -> dict[str, Any]:
        kind = self.faults.before_call(service, operation)
        self._is_known(operation, parameters)
        if kind == "stale" and operation in READS:
            past = self.faults.stale(operation, parameters)
            if past is not None:
                return past
        answer = self.account.call(service, operation, parameters)
        if kind == "performed, answer lost":
            self.faults.strike("call performed, answer lost", operation)
            raise ApiError("InternalFailure", "injected: the answer is lost", 500)
        return self.faults.with_failures(operation, answer, kind)

    def _is_known(self, operation: str, parameters: dict[str, Any]) -> None:
        """Refuse what is denied still, and what is not found yet."""
        now = self.account.now
        if now < self.denied_until.get(operation, now):
            self.faults.strike("permission not spread yet", operation)
            code = "UnauthorizedOperation" if "Spot" in operation else "AccessDeniedException"
            raise ApiError(code, "not authorized yet", 403)
        if now < self.visible_at.get(parameters.get("SpotFleetRequestId", ""), now):
            self.faults.strike("not found yet", operation)
            raise ApiError("InvalidSpotFleetRequestId.NotFound", "there is no such fleet yet")


def run_request_seed(
    seed: int, build: Callable[..., Any], errors: Sequence[type[Exception]], *, steps: bool = False
) -> Result:
    """Run one seed."""
    return RequestWorld(seed, steps).run(build, errors)
