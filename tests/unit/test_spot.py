from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from drainer.config import Config
from drainer.drain.model import (
    ContainerInstance,
    Drain,
    Hook,
    InterruptedTargets,
    LifecycleAction,
)
from drainer.drain.record import DrainRecord, End, key_of
from drainer.errors import (
    MalformedEventError,
    MisconfiguredError,
    NotForUsError,
    QuietError,
    UnavailableError,
)
from drainer.invocation import InvocationClock
from drainer.spot.comeback_events import Comeback
from drainer.spot.controller import InterruptionController
from drainer.spot.events import (
    Interruption,
    LoadBalancer,
    Placed,
    Target,
    TaskInterruption,
    addresses_of,
    read,
    targets_of,
)
from drainer.spot.report import InterruptionReport, Service

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from drainer.errors import DrainerError

NOW = datetime(2026, 11, 20, 12, 0, 5, tzinfo=UTC)
EVENTS = Path(__file__).parents[1] / "events"
TOPIC = "arn:aws:sns:us-east-1:123456789012:drainer"
CLUSTER = "arn:aws:ecs:us-east-1:123456789012:cluster/shop"


def ec2(kind: str = "EC2 Spot Instance Interruption Warning", **detail: Any) -> dict[str, Any]:
    of = {"instance-id": "i-1234567890abcdef0", "instance-action": "terminate", **detail}
    return {
        "detail-type": kind,
        "source": "aws.ec2",
        "time": "2026-11-20T12:00:00Z",
        "resources": ["arn:aws:ec2:us-east-2a:instance/i-1234567890abcdef0"],
        "detail": of,
    }


def fargate(**detail: Any) -> dict[str, Any]:
    of = {
        "clusterArn": CLUSTER,
        "taskArn": f"{CLUSTER.replace('cluster', 'task')}/0123456789abcdef",
        "group": "service:web",
        "desiredStatus": "STOPPED",
        "lastStatus": "RUNNING",
        "stopCode": "SpotInterruption",
        "stoppedReason": "Your Spot Task was interrupted.",
        "attachments": [{"details": [{"name": "privateIPv4Address", "value": "10.0.1.37"}]}],
        "containers": [{"networkInterfaces": [{"privateIpv4Address": "10.0.1.37"}]}],
        **detail,
    }
    return {
        "detail-type": "ECS Task State Change",
        "source": "aws.ecs",
        "time": "2026-11-20T12:00:00Z",
        "detail": {key: value for key, value in of.items() if value is not None},
    }


@pytest.mark.parametrize("action", ["terminate", "stop", "hibernate"])
def test_an_interruption_names_the_instance_and_when_its_time_is_over(action: str) -> None:
    # The ARN beside it has the zone where the Region goes and no account: it is not an EC2 ARN.
    gone = read(ec2(**{"instance-action": action}), NOW)

    ends_at = datetime(2026, 11, 20, 12, 2, tzinfo=UTC)
    assert gone == Interruption("i-1234567890abcdef0", action, ends_at)
    assert isinstance(gone, Interruption)
    assert gone.hasty


def test_a_rebalance_recommendation_has_no_urgency() -> None:
    gone = read(ec2("EC2 Instance Rebalance Recommendation"), NOW)

    assert isinstance(gone, Interruption)
    assert not gone.hasty


@pytest.mark.parametrize(
    "event",
    [
        pytest.param(fargate(), id="today's stop code"),
        pytest.param(fargate(stopCode="TerminationNotice", stoppedReason=None), id="until 2023"),
        pytest.param(fargate(stopCode=None), id="no stop code, which happens"),
        pytest.param(fargate(lastStatus="DEACTIVATING"), id="ECS deregisters it already"),
        pytest.param(fargate(containers=[]), id="address in the attachment alone"),
        pytest.param(fargate(attachments=[]), id="address in the container alone"),
    ],
)
def test_an_interrupted_fargate_task_of_a_service_is_read(event: dict[str, Any]) -> None:
    ends_at = datetime(2026, 11, 20, 12, 2, tzinfo=UTC)

    # Its later changes are the same interruption, which counts once.
    warns = event["detail"]["lastStatus"] == "RUNNING"
    assert read(event, NOW) == TaskInterruption(
        CLUSTER, "web", "0123456789abcdef", ("10.0.1.37",), ends_at, warns
    )


@pytest.mark.parametrize(
    "event",
    [
        pytest.param(
            fargate(stopCode="ServiceSchedulerInitiated", stoppedReason="Scaling"), id="scale-in"
        ),
        pytest.param(fargate(desiredStatus="RUNNING"), id="still wanted"),
        pytest.param(fargate(lastStatus="STOPPED"), id="gone already"),
        pytest.param(fargate(group="family:job"), id="of no service"),
    ],
)
def test_other_changes_of_tasks_cost_nothing(event: dict[str, Any]) -> None:
    with pytest.raises(QuietError):
        read(event, NOW)


@pytest.mark.parametrize(
    ("event", "says"),
    [
        ({**ec2(), "detail": {}}, "instance-id"),
        (ec2(**{"instance-id": "i-1 or true"}), "instance-id"),
        ({**ec2(), "source": "my.app"}, "my.app"),
        ({**ec2(), "detail": None}, "source"),
        ({**fargate(), "source": "aws.ec2"}, "source"),
        (fargate(clusterArn="x y"), "clusterArn"),
        (fargate(group="service:a b"), "group"),
        (fargate(containers=[], attachments=[]), "no address"),
        (fargate(containers="x", attachments=[{"details": [{"name": 1}]}]), "no address"),
    ],
)
def test_a_strange_event_is_refused_with_the_field_that_is_wrong(
    event: dict[str, Any], says: str
) -> None:
    with pytest.raises(MalformedEventError, match=says):
        read(event, NOW)


def test_both_families_of_addresses_count() -> None:
    task = {
        "attachments": [
            {
                "details": [
                    {"name": "privateIPv4Address", "value": "10.0.1.37"},
                    {"name": "macAddress", "value": "0e:d5"},
                ]
            }
        ],
        "containers": [
            {
                "networkInterfaces": [
                    {"privateIpv4Address": "10.0.1.37", "ipv6Address": "2001:db8::7"},
                    {"privateIpv4Address": "not an address"},
                ]
            }
        ],
    }

    assert addresses_of(task) == ["10.0.1.37", "2001:db8::7"]


@pytest.mark.parametrize(
    ("kind", "age", "over"),
    [
        ("EC2 Spot Instance Interruption Warning", 119.5, False),
        ("EC2 Spot Instance Interruption Warning", 120, True),
        # A quarter of an hour: the instance is there, and may be for hours.
        ("EC2 Instance Rebalance Recommendation", 899.5, False),
        ("EC2 Instance Rebalance Recommendation", 900, True),
    ],
)
def test_each_kind_of_event_is_over_to_the_second(kind: str, age: float, over: bool) -> None:
    now = datetime(2026, 11, 20, 12, 0, tzinfo=UTC) + timedelta(seconds=age)
    told: object
    try:
        told = read(ec2(kind), now)
    except NotForUsError as refusal:
        told = refusal

    assert isinstance(told, NotForUsError) is over


def test_an_event_without_its_time_counts_from_now() -> None:
    event = ec2()
    del event["time"]

    assert read(event, NOW) == Interruption(
        "i-1234567890abcdef0", "terminate", NOW + timedelta(seconds=120)
    )


def test_what_a_task_says_is_taken_up_to_a_bound_and_what_is_strange_in_it_left_out() -> None:
    # An event's sender has no say in how many calls it costs, or how long a log line becomes.
    details = [None, *({"name": "privateIPv4Address", "value": f"10.0.1.{n}"} for n in range(11))]
    found = read(
        fargate(taskArn="task/" + "a" * 65, containers=[], attachments=[{"details": details}]), NOW
    )

    assert isinstance(found, TaskInterruption)
    assert found.addresses == tuple(f"10.0.1.{number}" for number in range(10))
    assert found.task_id == "a" * 64


BALANCER = LoadBalancer("arn:group", "web", 80)


@pytest.mark.parametrize(
    ("placed", "target"),
    [
        (Placed("t", "web", ("10.0.0.1",), {}), Target("10.0.0.1", 80)),
        (Placed("t", "web", (), {("web", 80): (32768,)}), Target("i-1", 32768)),
        (Placed("t", "web", (), {("sidecar", 80): (32768,)}), Target("i-1", 80)),
    ],
)
def test_the_target_is_what_ecs_registered(placed: Placed, target: Target) -> None:
    # A target without its port, or with another's, is a success that deregisters nothing.
    assert targets_of(placed, BALANCER, "i-1") == [target]


# -- what is done, in which order


@dataclass
class Fake:
    """ECS, Auto Scaling and the load balancers, as far as an interruption meets them."""

    in_cluster: str = "shop"
    delay: int = 300
    stop: int = 30
    hooks: dict[str, Hook] = field(default_factory=dict)
    status: str = "ACTIVE"
    interrupted: str = ""
    records: list[DrainRecord | DrainerError] = field(default_factory=list)
    fails: dict[str, Exception] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def record(self, what: str) -> None:
        self.asked.append(what)
        if what in self.fails:
            raise self.fails[what]

    def clusters(self) -> list[str]:
        self.record("clusters")
        return ["default", "shop"]

    def lifecycle_states(self, ids: Sequence[str]) -> dict[str, tuple[str, str]]:
        self.record("lifecycle_states")
        return dict.fromkeys(ids, ("shop-asg", "InService")) if self.hooks else {}

    def lifecycle_hooks(self, group: str) -> dict[str, Hook]:
        self.record("lifecycle_hooks")
        return self.hooks

    def find(self, cluster: str, ids: Sequence[str]) -> list[str]:
        self.record("find")
        return ["arn:instance"] if cluster == self.in_cluster and ids else []

    def set_draining(self, cluster: str, arns: Sequence[str]) -> dict[str, str]:
        self.record("set_draining")
        return {}

    def describe(self, cluster: str, arns: Sequence[str]) -> list[ContainerInstance]:
        self.record("describe")
        return [
            ContainerInstance(
                arn,
                "i-1",
                self.status,
                agent_connected=True,
                running_tasks=2,
                pending_tasks=0,
                interrupted=self.interrupted,
            )
            for arn in arns
        ]

    def put_attributes(self, cluster: str, values: Sequence[tuple[str, str, str]]) -> None:
        self.record("put_attributes")

    def of_instance(self, instances: Iterable[str]) -> dict[str, list[DrainRecord | DrainerError]]:
        self.record("of_instance")
        return dict.fromkeys(instances, self.records)

    def set_active(self, cluster: str, arns: Sequence[str]) -> dict[str, str]:
        self.record("set_active")
        return {}

    def delete_attribute(self, cluster: str, arns: Sequence[str], name: str) -> None:
        self.record("delete_attribute")

    def healthy(self, group: str) -> set[Target]:
        self.record("healthy")
        return {Target("i-2", 32768)}

    def task_ids(self, cluster: str, arn: str, *, desired_status: str) -> list[str]:
        self.record("task_ids")
        return ["t1", "t2"]

    def placed(self, cluster: str, ids: Sequence[str]) -> list[Placed]:
        self.record("placed")
        return [Placed(i, "web", (), {("web", 80): (32768 + n,)}) for n, i in enumerate(ids)]

    def services(self, cluster: str, names: Sequence[str]) -> dict[str, Service]:
        self.record("services")
        two = (BALANCER, LoadBalancer("arn:nlb", "web", 80))
        return {name: Service(name, "web:1", two) for name in names}

    def deregister(self, group: str, targets: Sequence[Target]) -> None:
        self.record(f"deregister {group} {len(targets)}")

    def deregistration_seconds(self, group: str) -> int:
        self.record("deregistration_seconds")
        return self.delay

    def stop_seconds(self, task_definition: str) -> int:
        self.record("stop_seconds")
        return self.stop


def report(
    fake: Fake, gone: Interruption | TaskInterruption, **config: Any
) -> tuple[InterruptionReport, list[str]]:
    settings = Config(TOPIC, **{"clusters": ("shop",), **config})
    controller = InterruptionController(fake, fake, fake, fake, settings, drains=fake)  # type: ignore[arg-type]
    [done] = controller.act([gone], InvocationClock(NOW, lambda: 30.0))
    return done, fake.asked


GONE = Interruption("i-1", "terminate", NOW + timedelta(seconds=110))
TASK = TaskInterruption(CLUSTER, "web", "t", ("10.0.0.1",), NOW + timedelta(seconds=110))


def test_one_read_before_draining_where_the_cluster_is_configured() -> None:
    done, asked = report(Fake(), GONE)

    assert asked[:2] == ["find", "set_draining"]
    assert (done.drained, done.deregistered) == (True, (4, 2))


def test_three_reads_before_draining_where_only_a_hook_names_the_cluster() -> None:
    hook = Hook("drainer", 1800, 172_800, TOPIC, '{"cluster": "shop"}')
    done, asked = report(Fake(hooks={"drainer": hook}), GONE, clusters=())

    assert asked[:4] == ["lifecycle_states", "lifecycle_hooks", "find", "set_draining"]
    assert done.cluster == "shop"


def test_the_hooks_say_where_several_clusters_are_configured() -> None:
    # A configured cluster that is not this instance's must not hide the one that its hook names.
    hook = Hook("drainer", 1800, 172_800, TOPIC, '{"cluster": "shop"}')
    done, asked = report(Fake(hooks={"drainer": hook}), GONE, clusters=("a", "b", "c", "d"))

    assert asked[:4] == ["lifecycle_states", "lifecycle_hooks", "find", "set_draining"]
    assert done.cluster == "shop"


def test_a_cluster_that_cannot_be_asked_does_not_hide_the_others() -> None:
    class OneMissing(Fake):
        def find(self, cluster: str, ids: Sequence[str]) -> list[str]:
            if cluster == "typo":
                raise MisconfiguredError("there is no such cluster")
            return super().find(cluster, ids)

    done, _ = report(OneMissing(), GONE, clusters=("typo", "shop"))

    assert (done.cluster, done.drained, done.errors) == ("shop", True, ())


def test_without_any_name_all_clusters_are_asked() -> None:
    done, asked = report(Fake(), GONE, clusters=())

    assert asked[:4] == ["lifecycle_states", "clusters", "find", "find"]
    assert done.drained


@pytest.mark.parametrize("event", [ec2(), fargate()])
def test_an_interruption_that_is_over_touches_nobody(event: dict[str, Any]) -> None:
    # Redriven hours later, its address may be another task's, and its instance may run again.
    with pytest.raises(NotForUsError, match="over"):
        read(event, NOW + timedelta(seconds=120))


def test_every_target_group_of_the_service_is_told_and_what_is_late_is_reported() -> None:
    done, asked = report(Fake(), GONE)

    assert [what for what in asked if what.startswith("deregister ")] == [
        "deregister arn:group 2",
        "deregister arn:nlb 2",
    ]
    assert done.late == ("web: deregistration delay 300 s and stop timeout 30 s, 110 s are left",)


def test_without_urgency_the_targets_are_left_to_ecs() -> None:
    done, asked = report(Fake(), Interruption("i-1", "recommend", NOW))

    assert done.drained
    assert asked == ["find", "describe", "put_attributes", "set_draining"]


def test_targets_are_left_on_demand_and_what_is_late_is_reported_all_the_same() -> None:
    done, asked = report(Fake(), GONE, interrupted_targets=InterruptedTargets.LEAVE)

    assert (done.drained, done.deregistered) == (True, (0, 0))
    assert [what for what in asked if what.startswith("deregister ")] == []
    assert len(done.late) == 1


@pytest.mark.parametrize(("delay", "stop", "late"), [(90, 120, 0), (90, 30, 1), (115, 120, 1)])
def test_a_fargate_task_is_late_where_it_is_killed_while_its_target_drains(
    delay: int, stop: int, late: int
) -> None:
    # Fargate stops the container at once, not after the target has drained.
    done, _ = report(Fake(delay=delay, stop=stop), TASK)

    assert len(done.late) == late


def test_a_fargate_tasks_targets_are_left_on_demand() -> None:
    done, asked = report(Fake(), TASK, interrupted_targets=InterruptedTargets.LEAVE)

    assert done.deregistered == (0, 0)
    assert [what for what in asked if what.startswith("deregister ")] == []
    assert len(done.late) == 1


@pytest.mark.parametrize("clusters", [("shop",), ()])
def test_an_instance_of_no_cluster_is_left_alone(clusters: tuple[str, ...]) -> None:
    # Every Spot instance of the account is in these events.
    done, asked = report(Fake(in_cluster="another"), GONE, clusters=clusters)

    assert (done.cluster, done.drained, done.errors) == ("", False, ())
    assert "set_draining" not in asked


def test_a_fargate_task_costs_one_read_before_its_targets_go() -> None:
    done, asked = report(Fake(), TASK)

    assert asked[:3] == ["services", "deregister arn:group 1", "deregister arn:nlb 1"]
    assert done.deregistered == (2, 2)
    assert len(done.late) == 1


def test_a_later_event_of_the_same_task_does_not_count() -> None:
    # ECS tells of it three times, and each time another warm function may hear it.
    warning, _ = report(Fake(), TASK)
    later, _ = report(Fake(), replace(TASK, warns=False))

    assert (warning.first, later.first) == (True, False)
    assert later.deregistered == (2, 2)


def test_one_target_group_that_fails_does_not_keep_the_others() -> None:
    fake = Fake(fails={"deregister arn:group 1": MisconfiguredError("denied")})
    done, _ = report(fake, TASK)

    assert done.deregistered == (1, 1)
    # What is denied now is denied in a minute; a metric tells of it.
    assert (done.denied, done.retry_reason) == (1, "")


def test_targets_go_even_where_draining_fails() -> None:
    # The agent may have set it DRAINING; the load balancer has yet to know.
    fake = Fake(fails={"set_draining": UnavailableError("Rate exceeded")})
    done, asked = report(fake, GONE)

    assert "deregister arn:group 2" in asked
    assert done.errors == ("DRAINING was not set: Rate exceeded",)


def test_a_report_that_fails_is_no_error() -> None:
    done, _ = report(Fake(fails={"stop_seconds": UnavailableError("no")}), GONE)

    assert (done.late, done.errors) == ((), ())


def spot_payloads() -> list[Path]:
    return sorted([*EVENTS.glob("spot_*.json"), *EVENTS.glob("fargate_spot_*.json")])


@pytest.mark.parametrize("path", spot_payloads(), ids=lambda path: path.stem)
def test_every_payload_on_file_is_read_or_left_in_one_way(path: Path) -> None:
    event = json.loads(path.read_text())
    try:
        told_at = event.get("time", "").replace("Z", "+00:00")
        found: object = read(event, datetime.fromisoformat(told_at) + timedelta(seconds=1))
    except (NotForUsError, MalformedEventError) as refusal:
        found = refusal

    assert isinstance(found, Interruption | TaskInterruption | QuietError), found


# -- what Spot has given back

BACK = Comeback("shop", "arn:instance", "i-1", NOW)
LEAVING = LifecycleAction("shop-asg", "drainer", "i-1", "t" * 36)
OPEN = DrainRecord(key_of(LEAVING), 1, 3, "p", Drain(LEAVING, NOW, NOW), NOW)
ENDED = replace(OPEN, end=End.CONTINUE, ended_at=NOW)


def welcome(*records: DrainRecord | DrainerError) -> tuple[InterruptionReport, list[str]]:
    fake = Fake(status="DRAINING", interrupted=f"stop/{int(NOW.timestamp())}", records=[*records])
    controller = InterruptionController(fake, fake, fake, fake, Config(TOPIC), drains=fake)  # type: ignore[arg-type]
    [done] = controller.act([BACK], InvocationClock(NOW, lambda: 30.0))
    return done, fake.asked


@pytest.mark.parametrize("records", [(), (ENDED,)])
def test_what_spot_gives_back_is_set_active(records: Sequence[DrainRecord]) -> None:
    done, asked = welcome(*records)

    assert done.active
    assert asked == ["describe", "of_instance", "set_active", "delete_attribute"]


@pytest.mark.parametrize(
    "changes",
    [
        {"agent_connected": False},
        {"interrupted": ""},
        {"interrupted": f"stop/{int(NOW.timestamp()) + 1}"},
    ],
)
def test_what_ecs_does_not_say_is_back_is_left_alone(changes: dict[str, Any]) -> None:
    # An event tells of what was; set ACTIVE, tasks were placed on what is about to go.
    class Other(Fake):
        def describe(self, cluster: str, arns: Sequence[str]) -> list[ContainerInstance]:
            return [replace(one, **changes) for one in super().describe(cluster, arns)]

    aws: Any = Other(status="DRAINING", interrupted=f"stop/{int(NOW.timestamp())}")
    controller = InterruptionController(aws, aws, aws, aws, Config(TOPIC), drains=aws)
    [done] = controller.act([BACK], InvocationClock(NOW, lambda: 30.0))

    assert (done.active, aws.asked) == (False, ["describe"])


def test_what_refuses_to_be_active_is_told_and_a_comeback_does_not_count_as_an_interruption() -> (
    None
):
    class Refuses(Fake):
        def set_active(self, cluster: str, arns: Sequence[str]) -> dict[str, str]:
            return dict.fromkeys(arns, "MISSING")

    aws: Any = Refuses(status="DRAINING", interrupted=f"stop/{int(NOW.timestamp())}")
    controller = InterruptionController(aws, aws, aws, aws, Config(TOPIC), drains=aws)
    [done] = controller.act([BACK], InvocationClock(NOW, lambda: 30.0))

    assert (done.active, done.first) == (False, False)
    assert done.errors == ("ACTIVE was not set: MISSING",)


def test_a_recommendation_and_the_interruption_after_it_count_once_each() -> None:
    # Counted as one, an interruption that was foreseen would be in no metric.
    aws: Any = Fake()
    controller = InterruptionController(
        aws, aws, aws, aws, Config(TOPIC, clusters=("shop",)), drains=aws
    )
    events = [replace(GONE, action="recommend"), GONE, GONE]
    counted = [
        one.first
        for event in events
        for one in controller.act([event], InvocationClock(NOW, lambda: 30.0))
    ]

    assert counted == [True, True, False]
    assert controller.act([], InvocationClock(NOW, lambda: 30.0)) == []


@pytest.mark.parametrize("other", [ENDED, UnavailableError("Rate exceeded")])
def test_what_spot_gives_back_while_it_leaves_stays_draining(
    other: DrainRecord | DrainerError,
) -> None:
    # ECS would place tasks on what a hook of ours lets go a moment later.
    done, asked = welcome(other, OPEN)

    assert not done.active
    assert asked == ["describe", "of_instance", "delete_attribute"]


def test_what_spot_gives_back_while_no_record_can_be_read_is_looked_at_again() -> None:
    # Taken for a drain, it lost its mark, and stayed DRAINING permanently.
    done, asked = welcome(UnavailableError("Rate exceeded"))

    assert asked == ["describe", "of_instance"]
    assert done.retry_reason


def test_a_mark_that_is_throttled_is_tried_again_when_the_targets_have_left() -> None:
    # One try: the instance came back from its stop, and stayed DRAINING permanently.
    class Throttled(Fake):
        def put_attributes(self, cluster: str, values: Sequence[tuple[str, str, str]]) -> None:
            self.record("put_attributes")
            if self.asked.count("put_attributes") < 4:
                message = "Rate exceeded"
                raise UnavailableError(message)

    fake = Throttled()
    settings = Config(TOPIC, clusters=("shop",))
    aws: Any = fake
    controller = InterruptionController(
        aws, aws, aws, aws, settings, drains=fake, sleep=lambda _: None
    )
    [done] = controller.act([replace(GONE, action="stop")], InvocationClock(NOW, lambda: 30.0))

    marked = [at for at, what in enumerate(fake.asked) if what == "put_attributes"]
    assert len(marked) == 4
    assert marked[0] < fake.asked.index("set_draining")
    assert marked[1] > fake.asked.index("deregister arn:nlb 2")
    assert done.errors == ()


def test_a_late_event_whose_task_cannot_be_looked_at_takes_nothing_out_and_comes_again() -> None:
    # The address may be another task's by now.
    fake = Fake(fails={"placed": UnavailableError("Rate exceeded")})
    done, asked = report(fake, replace(TASK, ends_at=NOW + timedelta(seconds=60)))

    assert not any(what.startswith("deregister arn") for what in asked)
    assert done.retry_reason == "The task was not read: Rate exceeded"


def test_the_only_healthy_target_of_a_large_service_stays() -> None:
    # A hundred tasks run and one is healthy, as where a deployment goes wrong. It left at once:
    # where twenty times as many run as leave, health was not looked at.
    class Large(Fake):
        def services(self, cluster: str, names: Sequence[str]) -> dict[str, Service]:
            return {name: Service(name, "web:1", (BALANCER,), running=100) for name in names}

        def healthy(self, group: str) -> set[Target]:
            self.record("healthy")
            return {Target("i-1", 32_768)}

    done, asked = report(Large(), GONE)

    assert done.kept == (BALANCER.target_group_arn,)
    assert [what for what in asked if what.startswith("deregister arn")] == [
        f"deregister {BALANCER.target_group_arn} 1"
    ]
