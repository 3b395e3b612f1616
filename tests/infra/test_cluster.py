"""
examples/cluster.yaml: what rolls its group, who is routed where, and what it tells of failures.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import parliament
import pytest

from drainer.simulation.services.messaging.event_pattern import matches
from tests.infra.test_permissions import statements
from tests.loops import some

if TYPE_CHECKING:
    from drainer.simulation.template import DeployedStack
    from tests.infra.conftest import Render

CLUSTER = "examples/cluster.yaml"
CERTIFICATE_ARN = "arn:aws:acm:eu-west-1:111122223333:certificate/1234abcd"
SERVICES = {"WebService": "Web", "ApiService": "Api"}
PLACE = "eu-west-1:111122223333"
CLUSTER_ARN = f"arn:aws:ecs:{PLACE}:cluster/drainer-Cluster"
JOB_ARN = f"arn:aws:ecs:{PLACE}:task-definition/drainer-JobTaskDefinition:1"


@pytest.fixture
def cluster(render: Render) -> DeployedStack:
    return render(CLUSTER)


def only(stack: DeployedStack, kind: str) -> dict[str, Any]:
    ((_, properties),) = stack.resources(kind)
    return properties


def group(stack: DeployedStack) -> dict[str, Any]:
    return only(stack, "AWS::AutoScaling::AutoScalingGroup")


def refresh(stack: DeployedStack) -> dict[str, Any]:
    resource = stack.template["Resources"]["AutoScalingGroup"]
    found: dict[str, Any] = stack.resolve(resource["UpdatePolicy"])["AutoScalingInstanceRefresh"]
    return found


def test_a_newer_image_rolls_the_group(cluster: DeployedStack) -> None:
    # An update that changes only the launch template would leave every old instance as it is.
    resources = cluster.template["Resources"]

    assert resources["LaunchTemplate"]["Properties"]["LaunchTemplateData"]["ImageId"] == {
        "Ref": "ImageId"
    }
    assert resources["AutoScalingGroup"]["Properties"]["LaunchTemplate"] == {
        "LaunchTemplateId": {"Ref": "LaunchTemplate"},
        "Version": {"Fn::GetAtt": ["LaunchTemplate", "LatestVersionNumber"]},
    }
    assert refresh(cluster)["Strategy"] == "Rolling"
    # With both policies CloudFormation fails the update.
    assert set(resources["AutoScalingGroup"]["UpdatePolicy"]) == {"AutoScalingInstanceRefresh"}


def test_each_replacement_comes_before_the_instance_that_it_replaces(
    cluster: DeployedStack,
) -> None:
    # An instance that leaves first has tasks that find no place, and its drain waits for it.
    policy, preferences = (
        group(cluster)["InstanceMaintenancePolicy"],
        refresh(cluster)["Preferences"],
    )

    assert policy["MinHealthyPercentage"] == preferences["MinHealthyPercentage"] == 100
    # Left out, it is not the default of the account, and the old instance goes first.
    assert policy["MaxHealthyPercentage"] == preferences["MaxHealthyPercentage"] == "150"
    # By default a refresh waits for an hour for a protected instance, and then fails.
    assert preferences["ScaleInProtectedInstances"] == "Refresh"
    assert preferences["InstanceWarmup"] == group(cluster)["DefaultInstanceWarmup"]


def test_the_hook_is_inside_the_group(cluster: DeployedStack) -> None:
    # As a resource of its own it is deleted first, and the group's instances go undrained.
    (hook,) = group(cluster)["LifecycleHookSpecificationList"]

    assert list(cluster.resources("AWS::AutoScaling::LifecycleHook")) == []
    assert hook["LifecycleTransition"] == "autoscaling:EC2_INSTANCE_TERMINATING"


def test_a_host_name_chooses_the_service_and_an_unknown_one_reaches_none(
    cluster: DeployedStack,
) -> None:
    # A default action that forwards would let a service answer for every name there is.
    rules = dict(cluster.resources("AWS::ElasticLoadBalancingV2::ListenerRule"))
    listener = only(cluster, "AWS::ElasticLoadBalancingV2::Listener")
    routed = {
        rule["Conditions"][0]["HostHeaderConfig"]["Values"][0]: rule["Actions"][0]["TargetGroupArn"]
        for rule in rules.values()
    }

    assert routed == {
        "web.example.com": "drainer-WebTargetGroup",
        "api.example.com": "drainer-ApiTargetGroup",
    }
    assert [action["Type"] for action in listener["DefaultActions"]] == ["fixed-response"]
    assert (listener["Port"], listener["Protocol"]) == (80, "HTTP")
    for name, service in some(cluster.resources("AWS::ECS::Service")):
        if name in SERVICES:
            (balanced,) = service["LoadBalancers"]
            assert balanced["TargetGroupArn"] == f"drainer-{SERVICES[name]}TargetGroup"


def test_a_certificate_makes_it_https(render: Render) -> None:
    # A listener that stays open for HTTP would serve what was to be encrypted.
    stack = render(CLUSTER, CertificateArn=CERTIFICATE_ARN)
    listeners = dict(stack.resources("AWS::ElasticLoadBalancingV2::Listener"))

    assert (listeners["Listener"]["Port"], listeners["Listener"]["Protocol"]) == (443, "HTTPS")
    assert listeners["Listener"]["Certificates"] == [{"CertificateArn": CERTIFICATE_ARN}]
    assert listeners["Listener"]["SslPolicy"].startswith("ELBSecurityPolicy-TLS13-1-2")
    (redirect,) = listeners["RedirectListener"]["DefaultActions"]
    assert (listeners["RedirectListener"]["Port"], redirect["Type"]) == (80, "redirect")
    assert redirect["RedirectConfig"]["Protocol"] == "HTTPS"
    for _, rule in some(stack.resources("AWS::ElasticLoadBalancingV2::ListenerRule")):
        assert rule["ListenerArn"] == "drainer-Listener"


def test_by_default_there_is_no_capacity_provider_and_one_that_is_asked_for_drains_nothing(
    render: Render,
) -> None:
    # Two hooks would drain each instance; a protected instance is not drained, and a refresh that
    # meets one fails.
    assert list(render(CLUSTER).resources("AWS::ECS::CapacityProvider")) == []
    stack = render(CLUSTER, UseCapacityProvider="true")
    provider = only(stack, "AWS::ECS::CapacityProvider")["AutoScalingGroupProvider"]

    assert provider["ManagedDraining"] == provider["ManagedTerminationProtection"] == "DISABLED"
    assert provider["AutoScalingGroupArn"] == stack.physical_ids["AutoScalingGroup"]
    # Each update of the stack would set back what ECS has set.
    assert "DesiredCapacity" not in group(stack)
    assert group(render(CLUSTER))["DesiredCapacity"] == "2"
    for name, service in some(stack.resources("AWS::ECS::Service")):
        # Daemons take no strategy, and no service takes both.
        assert ("LaunchType" in service) is (name == "DaemonService")
        assert ("CapacityProviderStrategy" in service) is (name in SERVICES)


def test_services_scale_by_cpu_and_by_requests(cluster: DeployedStack) -> None:
    # CPU alone sees a flood of requests late; requests alone do not see what makes one expensive.
    targets = dict(cluster.resources("AWS::ApplicationAutoScaling::ScalableTarget"))
    found = {
        (policy["ScalingTargetId"], *measured["PredefinedMetricSpecification"].values())
        for _, policy in cluster.resources("AWS::ApplicationAutoScaling::ScalingPolicy")
        for measured in [policy["TargetTrackingScalingPolicyConfiguration"]]
    }

    for name, short in some(SERVICES.items()):
        labels = [
            f"drainer-{one}" for one in ("LoadBalancer.LoadBalancerFullName", f"{short}TargetGroup")
        ]
        label = f"{labels[0]}/{labels[1]}.TargetGroupFullName"
        target = f"drainer-{short}Scaling"
        assert (target, "ECSServiceAverageCPUUtilization") in found
        assert (target, "ALBRequestCountPerTarget", label) in found
        assert f"drainer-{name}.Name" in targets[f"{short}Scaling"]["ResourceId"]
    assert len(found) == 2 * len(SERVICES)


def test_services_fill_one_instance_before_the_next_and_go_back_from_a_bad_deployment(
    cluster: DeployedStack,
) -> None:
    # Spread over all instances, each scale-in moves tasks of every service.
    services = dict(cluster.resources("AWS::ECS::Service"))
    for name in some(SERVICES):
        places = services[name]["PlacementStrategies"]
        assert places[-1] == {"Type": "binpack", "Field": "memory"}
        breaker = services[name]["DeploymentConfiguration"]["DeploymentCircuitBreaker"]
        assert breaker == {"Enable": True, "Rollback": True}


def stopped(**detail: str) -> dict[str, Any]:
    """
    Return ECS's event of a task of the service web that was stopped.
    """
    return {
        "source": "aws.ecs",
        "detail-type": "ECS Task State Change",
        "detail": {
            "clusterArn": CLUSTER_ARN,
            "lastStatus": "STOPPED",
            "group": "service:drainer-WebService.Name",
            **detail,
        },
    }


@pytest.mark.parametrize(
    ("fails", "detail"),
    [
        (True, {"stopCode": "EssentialContainerExited"}),
        (True, {"stopCode": "TaskFailedToStart"}),
        (
            True,
            {
                "stopCode": "ServiceSchedulerInitiated",
                "stoppedReason": "Task failed ELB health checks in (target-group arn:aws:x)",
            },
        ),
        # What a drain and a deployment do is no failure.
        (
            False,
            {
                "stopCode": "ServiceSchedulerInitiated",
                "stoppedReason": "Scaling activity initiated by (deployment ecs-svc/1)",
            },
        ),
        (False, {"stopCode": "SpotInterruption"}),
        (False, {"stopCode": "EssentialContainerExited", "group": "family:drainer-job"}),
        (False, {"stopCode": "EssentialContainerExited", "lastStatus": "RUNNING"}),
        (False, {"stopCode": "EssentialContainerExited", "clusterArn": "another"}),
    ],
)
def test_a_task_that_fails_is_counted_and_one_that_is_moved_is_not(
    cluster: DeployedStack, *, fails: bool, detail: dict[str, str]
) -> None:
    # An alarm at each drain is switched off, and then there is none for a service that crashes.
    rules = dict(cluster.resources("AWS::Events::Rule"))

    assert matches(rules["FailedTasksRule"]["EventPattern"], stopped(**detail)) is fails


def test_each_service_has_an_alarm_for_its_own_failures(cluster: DeployedStack) -> None:
    # A dimension that no event carries never has a value, and its alarm is never heard.
    (transformation,) = only(cluster, "AWS::Logs::MetricFilter")["MetricTransformations"]
    alarms = dict(cluster.resources("AWS::CloudWatch::Alarm"))
    (dimension,) = transformation["Dimensions"]

    assert dimension == {"Key": "Service", "Value": "$.detail.group"}
    for name, short in some(SERVICES.items()):
        alarm = alarms[f"{short}RestartAlarm"]
        assert (alarm["Namespace"], alarm["MetricName"]) == (
            transformation["MetricNamespace"],
            transformation["MetricName"],
        )
        assert alarm["Dimensions"] == [
            {"Name": dimension["Key"], "Value": f"service:drainer-{name}.Name"}
        ]
        # A service that is well has no lines at all.
        assert alarm["TreatMissingData"] == "notBreaching"
        # Restarts are delayed by up to 27 minutes each: three of them fit in.
        assert alarm["Period"] * alarm["EvaluationPeriods"] >= 2 * 27 * 60


def test_event_bridge_may_write_the_failed_tasks_and_only_from_its_rule(
    cluster: DeployedStack,
) -> None:
    # A rule that may not write loses every line without a word.
    policy = json.loads(only(cluster, "AWS::Logs::ResourcePolicy")["PolicyDocument"])
    allowed = {one["Action"]: one for one in policy["Statement"]}
    (target,) = dict(cluster.resources("AWS::Events::Rule"))["FailedTasksRule"]["Targets"]

    assert set(allowed) == {"logs:CreateLogStream", "logs:PutLogEvents"}
    assert target["Arn"].endswith(":log-group:/aws/events/drainer-failed-tasks")
    for statement in allowed.values():
        assert "events.amazonaws.com" in statement["Principal"]["Service"]
        assert statement["Resource"].endswith("log-group:drainer-FailedTasks:*")
    condition = allowed["logs:PutLogEvents"]["Condition"]
    assert condition == {
        "ArnEquals": {"aws:SourceArn": f"arn:aws:events:{PLACE}:rule/drainer-FailedTasksRule"}
    }


def test_the_schedule_runs_the_job_with_a_command_of_its_own(cluster: DeployedStack) -> None:
    # Overrides that name no container of the definition are refused, each night.
    (target,) = dict(cluster.resources("AWS::Events::Rule"))["Schedule"]["Targets"]
    definition = dict(cluster.resources("AWS::ECS::TaskDefinition"))["JobTaskDefinition"]
    (override,) = json.loads(target["Input"])["containerOverrides"]

    assert target["EcsParameters"]["TaskDefinitionArn"] == JOB_ARN
    assert [override["name"]] == [one["Name"] for one in definition["ContainerDefinitions"]]
    assert override["command"] != definition["ContainerDefinitions"][0]["Command"]
    assert target["RoleArn"].endswith("drainer-ScheduleRole")


def test_event_bridge_may_run_that_job_in_that_cluster_and_nothing_else(
    cluster: DeployedStack,
) -> None:
    # A role that runs any task runs any image with any role that it may pass.
    (statement,) = statements(cluster, "ScheduleRole")

    assert (statement["Action"], statement["Resource"]) == ("ecs:RunTask", JOB_ARN)
    assert statement["Condition"] == {"ArnEquals": {"ecs:cluster": CLUSTER_ARN}}
    document = {"Version": "2012-10-17", "Statement": [statement]}
    findings = parliament.analyze_policy_string(json.dumps(document)).findings
    assert [str(finding) for finding in findings] == []


def test_visitors_reach_the_load_balancer_and_only_it_reaches_the_instances(
    cluster: DeployedStack,
) -> None:
    # The subnets are public: a group open to the world would open every container.
    groups = dict(cluster.resources("AWS::EC2::SecurityGroup"))
    (inside,) = groups["InstanceSecurityGroup"]["SecurityGroupIngress"]

    assert inside["SourceSecurityGroupId"] == "drainer-LoadBalancerSecurityGroup"
    assert "CidrIp" not in inside
    ports = {one["FromPort"] for one in groups["LoadBalancerSecurityGroup"]["SecurityGroupIngress"]}
    assert ports == {80, 443}
