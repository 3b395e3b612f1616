"""What Spot does to instances, tasks and requests in the simulated account."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from drainer.simulation.aws import Aws
from drainer.simulation.scenario.client_requests import Mix, Requests
from drainer.simulation.scenario.shipped import spot_patterns
from drainer.simulation.services.auto_scaling.lifecycle import LifecycleHook
from drainer.simulation.services.ecs.definitions import CapacityProvider, TaskProfile
from drainer.simulation.services.messaging.event_pattern import matches

if TYPE_CHECKING:
    from drainer.simulation.services.ecs.model import Service, Task
    from drainer.simulation.services.elb.target_groups import TargetGroup

START = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
ON_FARGATE = (CapacityProvider("FARGATE", base=2), CapacityProvider("FARGATE_SPOT"))
PROFILE = TaskProfile(network_mode="awsvpc", stop_seconds=60.0, stop_timeout_seconds=120.0)


@pytest.fixture
def account() -> Aws:
    return Aws(now=START)


def listen(account: Aws) -> list[dict[str, Any]]:
    heard: list[dict[str, Any]] = []
    account.on_event.append(heard.append)
    return heard


def seconds(account: Aws) -> float:
    return (account.now - START).total_seconds()


def fleet(account: Aws, count: int = 2) -> list[str]:
    ids = [f"i-{number:017x}" for number in range(count)]
    for one in ids:
        account.ecs.register("payments", one)
    return ids


def fargate(account: Aws, desired: int = 4, **more: Any) -> Service:
    return account.ecs.create_service(
        "payments",
        "web",
        desired=desired,
        capacity_providers=ON_FARGATE,
        **{"profile": PROFILE, **more},
    )


def on_spot(service: Service) -> Task:
    return next(one for one in service.tasks.values() if one.capacity_provider == "FARGATE_SPOT")


def only_group(service: Service) -> TargetGroup:
    (balanced,) = service.balanced
    return balanced.target_group


# -- EC2


def test_an_interrupted_instance_is_killed_with_its_tasks_after_two_minutes(
    account: Aws,
) -> None:
    first, _ = fleet(account)
    account.ecs.create_service("payments", "web", desired=2)
    account.spot.interrupt(first)

    account.run_for(119)
    assert account.facts("killed") == []
    account.run_for(1)
    assert [fact.about["owner"] for fact in account.facts("killed")] == ["service:web"]


def test_hibernation_leaves_no_time_at_all(account: Aws) -> None:
    first, _ = fleet(account)
    account.spot.interrupt(first, "hibernate")
    account.run_for(0)

    assert len(account.facts("taken_back", ec2_instance_id=first)) == 1


def test_the_warning_is_shaped_as_awss_is(account: Aws) -> None:
    # Its ARN names a zone for the Region and no account: who reads it as an ARN finds no instance.
    heard = listen(account)
    (first,) = fleet(account, 1)
    heard.clear()
    account.spot.interrupt(first, "stop")
    account.spot.recommend_rebalance(first)

    warning, recommendation = heard
    assert warning["source"] == "aws.ec2"
    assert warning["detail-type"] == "EC2 Spot Instance Interruption Warning"
    assert warning["resources"] == [f"arn:aws:ec2:us-east-1a:instance/{first}"]
    assert warning["detail"] == {"instance-id": first, "instance-action": "stop"}
    assert recommendation["detail-type"] == "EC2 Instance Rebalance Recommendation"
    assert recommendation["resources"] == [f"arn:aws:ec2:us-east-1:123456789012:instance/{first}"]
    assert recommendation["detail"] == {"instance-id": first}


def test_no_hook_holds_an_interrupted_instance_back_and_its_hook_still_runs(
    account: Aws,
) -> None:
    # Were the hook not to run, nobody would see that a later lifecycle action finds nothing to do.
    group = account.auto_scaling.create_group("asg", desired=1, cluster="payments")
    account.auto_scaling.put_hook(LifecycleHook("drainer", "asg"))
    (leaving,) = group.instances
    account.ecs.create_service("payments", "web", desired=1)
    account.spot.interrupt(leaving)
    account.run_for(120)

    assert len(account.facts("killed")) == 1
    account.run_for(30)
    assert group.instances[leaving].lifecycle_state == "Terminating:Wait"


def test_the_agent_drains_by_itself_where_it_is_told_to(account: Aws) -> None:
    first, second = fleet(account)
    account.spot.agents_drain = True
    account.spot.interrupt(first)
    account.run_for(1)

    statuses = [account.ecs.container_instance(one) for one in (first, second)]
    assert [one.status for one in statuses if one] == ["DRAINING", "ACTIVE"]


# -- Fargate


def test_the_base_runs_on_demand_and_the_weights_share_the_rest(account: Aws) -> None:
    service = fargate(account, desired=6)

    providers = sorted(str(task.capacity_provider) for task in service.tasks.values())
    assert providers == ["FARGATE"] * 4 + ["FARGATE_SPOT"] * 2


def test_a_base_without_a_weight_is_a_base_all_the_same(account: Aws) -> None:
    base = (CapacityProvider("FARGATE", base=2, weight=0), CapacityProvider("FARGATE_SPOT"))
    service = account.ecs.create_service(
        "payments", "web", desired=5, capacity_providers=base, profile=PROFILE
    )

    providers = sorted(str(task.capacity_provider) for task in service.tasks.values())
    assert providers == ["FARGATE"] * 2 + ["FARGATE_SPOT"] * 3


def test_a_fargate_task_has_an_address_and_no_container_instance(account: Aws) -> None:
    task = on_spot(fargate(account))
    answer = account.client("ecs").describe_tasks(cluster="payments", tasks=[task.arn])

    (described,) = answer["tasks"]
    assert "containerInstanceArn" not in described
    assert (described["launchType"], described["capacityProviderName"]) == (
        "FARGATE",
        "FARGATE_SPOT",
    )
    details = {one["name"]: one["value"] for one in described["attachments"][0]["details"]}
    (interface,) = described["containers"][0]["networkInterfaces"]
    assert details["privateIPv4Address"] == interface["privateIpv4Address"] == task.ip_address
    assert account.ecs.clusters["payments"].container_instances == {}


def test_an_interrupted_task_is_signalled_at_once_and_replaced(account: Aws) -> None:
    service = fargate(account)
    task = on_spot(service)
    account.spot.interrupt_fargate(task)
    account.run_for(0)

    assert (task.desired_status, task.last_status) == ("STOPPED", "STOPPING")
    wanted = [one for one in service.tasks.values() if one.desired_status == "RUNNING"]
    assert len(wanted) == 4
    account.run_for(60 + 5)
    assert task.last_status == "STOPPED"


def test_what_runs_on_after_the_two_minutes_is_killed(account: Aws) -> None:
    stubborn = TaskProfile(
        network_mode="awsvpc", stop_seconds=float("inf"), stop_timeout_seconds=float("inf")
    )
    task = on_spot(fargate(account, profile=stubborn))
    account.spot.interrupt_fargate(task)
    account.run_for(119)
    assert task.ended_at is None
    account.run_for(1)
    assert task.ended_at is not None


@pytest.mark.parametrize("code", ["SpotInterruption", "TerminationNotice", None])
def test_the_shipped_rule_takes_the_events_of_an_interruption_and_no_others(
    account: Aws, code: str | None
) -> None:
    # What the rule does not take never reaches the function, whatever the function could do.
    service = fargate(account)
    task = on_spot(service)
    heard = listen(account)
    account.spot.interrupt_fargate(task, code)
    account.run_for(300)

    pattern = spot_patterns()["FargateSpot"]
    taken = [event for event in heard if matches(pattern, event)]
    assert len(heard) > len(taken)
    assert {event["resources"][0] for event in taken} == {task.arn}
    assert [event["detail"]["lastStatus"] for event in taken] == ["RUNNING", "STOPPING"]
    assert {event["detail"].get("stopCode") for event in taken} == {code}
    assert all(
        event["detail"]["stoppedReason"] == "Your Spot Task was interrupted." for event in taken
    )


@pytest.mark.parametrize(
    ("after", "drains_at"),
    [(0.0, 0.0), (30.0, 30.0), (None, 65.0)],
    ids=["at once", "late", "not before STOPPED"],
)
def test_ecs_itself_deregisters_when_it_is_told_to(
    account: Aws, after: float | None, drains_at: float
) -> None:
    account.spot.deregister_after_seconds = after
    service = fargate(account)
    task = on_spot(service)
    account.spot.interrupt_fargate(task)
    account.run_for(200)

    states = account.facts("target", target_id=task.ip_address, state="draining")
    assert [(fact.at - START).total_seconds() for fact in states] == [drains_at]


# -- services and their target groups


def two_groups(account: Aws) -> list[TargetGroup]:
    create = account.load_balancing.create_target_group
    return [
        create("web-http", target_type="ip", deregistration_delay_seconds=90),
        create("web-tcp", target_type="ip", balancer="network", deregistration_delay_seconds=60),
    ]


def test_a_service_registers_with_every_target_group_it_has(account: Aws) -> None:
    groups = two_groups(account)
    service = fargate(account, target_groups=groups)
    addresses = {task.ip_address for task in service.tasks.values()}

    assert [{one for one, _ in group.targets} for group in groups] == [addresses] * 2
    (described,) = account.client("ecs").describe_services(cluster="payments", services=["web"])[
        "services"
    ]
    named = [(one["targetGroupArn"], one["containerPort"]) for one in described["loadBalancers"]]
    assert named == [(group.arn, 80) for group in groups]


def test_with_task_sets_the_target_groups_are_theirs(account: Aws) -> None:
    # A reader of the service's own list alone would find nothing to deregister.
    service = fargate(account)
    service.in_task_sets = True
    (described,) = account.client("ecs").describe_services(cluster="payments", services=["web"])[
        "services"
    ]

    assert described["loadBalancers"] == []
    (task_set,) = described["taskSets"]
    assert task_set["loadBalancers"][0]["targetGroupArn"] == only_group(service).arn


def test_a_task_in_bridge_mode_tells_the_port_of_its_host(account: Aws) -> None:
    fleet(account, 1)
    service = account.ecs.create_service("payments", "web", desired=2, container_port=8080)
    registered = {port for _, port in only_group(service).targets}

    described = account.client("ecs").describe_tasks(cluster="payments", tasks=[*service.tasks])
    bindings = [one["containers"][0]["networkBindings"][0] for one in described["tasks"]]
    assert {one["containerPort"] for one in bindings} == {8080}
    assert {one["hostPort"] for one in bindings} == registered
    assert len(registered) == 2


def test_a_target_taken_out_early_has_the_less_to_wait_for(account: Aws) -> None:
    # ECS waits for what is left of the delay, not for all of it again.
    fleet(account, 2)
    service = account.ecs.create_service(
        "payments", "web", desired=1, deregistration_delay_seconds=100, stop_seconds=10
    )
    (task,) = service.tasks.values()
    group = only_group(service)
    account.client("elbv2").deregister_targets(
        TargetGroupArn=group.arn,
        Targets=[{"Id": one, "Port": port} for one, port in group.targets],
    )
    account.run_for(40)
    account.client("ecs").stop_task(cluster="payments", task=task.arn)
    account.run_until(lambda: task.last_status == "STOPPED", timedelta(hours=1))

    assert seconds(account) == 100 + 10


def test_a_task_definition_tells_the_stop_timeout(account: Aws) -> None:
    fargate(account)
    ecs = account.client("ecs")
    (described,) = ecs.describe_services(cluster="payments", services=["web"])["services"]
    answer = ecs.describe_task_definition(taskDefinition=described["taskDefinition"])

    (container,) = answer["taskDefinition"]["containerDefinitions"]
    assert container["stopTimeout"] == 120
    assert answer["taskDefinition"]["taskDefinitionArn"] == described["taskDefinition"]


def test_an_address_of_the_other_family_is_refused(account: Aws) -> None:
    # Both families in one call cost the deregistration of both.
    group = account.load_balancing.create_target_group("web", target_type="ip")
    with pytest.raises(ClientError) as refused:
        account.client("elbv2").deregister_targets(
            TargetGroupArn=group.arn, Targets=[{"Id": "fd00::1", "Port": 80}]
        )

    assert refused.value.response["Error"]["Code"] == "ValidationError"


# -- requests


def stream(account: Aws, group: TargetGroup, **mix: Any) -> Requests:
    requests = Requests(account, group, Mix(**mix))
    requests.start()
    return requests


def test_without_an_interruption_every_request_is_served(account: Aws) -> None:
    group = only_group(fargate(account))
    requests = stream(account, group)
    account.run_for(300)
    requests.stop()
    account.run_for(60)

    assert requests.sent == requests.served == 601
    assert (requests.under_way, requests.unserved, requests.cut) == (0, 0, [])


def test_the_same_run_has_the_same_requests() -> None:
    def run() -> list[tuple[datetime, str | None]]:
        account = Aws(now=START)
        account.spot.deregister_after_seconds = None
        service = fargate(account)
        requests = stream(account, only_group(service))
        account.run_for(10)
        account.spot.interrupt_fargate(on_spot(service))
        account.run_for(200)
        return [(one.sent_at, one.why) for one in requests.cut]

    first = run()

    assert first
    assert run() == first


def test_what_a_container_has_under_way_at_its_end_is_cut(account: Aws) -> None:
    first, _ = fleet(account)
    service = account.ecs.create_service("payments", "web", desired=2, start_seconds=200)
    requests = stream(account, only_group(service), long_every=1_000)
    account.run_for(10)
    account.spot.interrupt(first)
    account.run_for(125)

    # Refused is what was sent in the moment until the load balancer knew.
    assert [one.why for one in requests.cut].count("ended") == 3
    assert {one.why for one in requests.cut} == {"ended", "refused"}
    warned_at = START + timedelta(seconds=10)
    assert requests.cut_needlessly(warned_at, warned_at + timedelta(seconds=120)) == requests.cut


def test_a_container_that_has_been_signalled_refuses_until_health_checks_see_it(
    account: Aws,
) -> None:
    account.spot.deregister_after_seconds = None
    service = fargate(account)
    requests = stream(account, only_group(service), long_every=1_000)
    account.run_for(10)
    account.spot.interrupt_fargate(on_spot(service))
    account.run_for(58)

    assert {one.why for one in requests.cut} == {"refused"}
    assert all(10 <= (one.sent_at - START).total_seconds() < 10 + 20 for one in requests.cut)


def test_a_container_may_go_on_serving_after_the_signal(account: Aws) -> None:
    patient = TaskProfile(
        network_mode="awsvpc",
        stop_seconds=110.0,
        stop_timeout_seconds=120.0,
        accepts_after_signal_seconds=90.0,
    )
    service = fargate(account, profile=patient)
    requests = stream(account, only_group(service), long_every=1_000)
    account.run_for(10)
    account.spot.interrupt_fargate(on_spot(service))
    account.run_for(200)

    assert requests.cut == []


@pytest.mark.parametrize(
    ("balancer", "terminates", "whys"),
    [
        ("application", False, {"closed"}),
        ("network", False, set()),
        ("network", True, {"closed"}),
    ],
)
def test_the_end_of_the_delay_closes_what_is_under_way_as_the_load_balancer_does(
    account: Aws, balancer: Any, terminates: bool, whys: set[str]
) -> None:
    group = account.load_balancing.create_target_group(
        "web", target_type="ip", balancer=balancer, deregistration_delay_seconds=20
    )
    group.connection_termination = terminates
    service = fargate(account, target_groups=[group])
    requests = stream(account, group, long_every=1, long_seconds=50)
    account.run_for(10)
    task = on_spot(service)
    account.load_balancing.deregister(group, task.ip_address, 80)
    account.run_for(100)

    assert {one.why for one in requests.cut} == whys


def test_requests_that_find_no_target_are_counted(account: Aws) -> None:
    group = only_group(fargate(account, desired=1))
    requests = stream(account, group, every_seconds=1.0)
    account.run_for(10)
    for target_id, port in [*group.targets]:
        account.load_balancing.deregister(group, target_id, port)
    account.run_for(10)

    assert requests.unserved == 10
