"""
A group attached to the drainer, its role, its cluster and its services, as AWS describes them.
"""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from tests.doctor.border import REGION, GoneError
from tests.doctor.healthy_stack import Given, summary, there
from tests.doctor.names import (
    BALANCED,
    CLUSTER,
    GROUP,
    IMAGE,
    NOW,
    ROLE,
    ROLE_NAME,
    TEMPLATE,
    TOPIC,
    arn,
)

if TYPE_CHECKING:
    from collections.abc import Callable

INSTANCES = [f"i-0a1f4c8e2b7d9365{count}" for count in range(3)]


def hook(name: str = "drainer", target: str = TOPIC, **more: Any) -> Given:
    """
    Return a terminating hook as infra/attach.yaml makes it.
    """
    return {
        "LifecycleHookName": name,
        "AutoScalingGroupName": GROUP,
        "LifecycleTransition": "autoscaling:EC2_INSTANCE_TERMINATING",
        "NotificationTargetARN": target,
        "RoleARN": ROLE,
        "HeartbeatTimeout": 1_800,
        "GlobalTimeout": 172_800,
        "DefaultResult": "CONTINUE",
        **more,
    }


def group(name: str = GROUP, instances: list[str] | None = None, **more: Any) -> Given:
    """
    Return a group with instances in service.
    """
    ids = INSTANCES if instances is None else instances
    return {
        "AutoScalingGroupName": name,
        "MinSize": len(ids),
        "MaxSize": 6,
        "DesiredCapacity": len(ids),
        "DefaultCooldown": 300,
        "AvailabilityZones": [f"{REGION}a"],
        "HealthCheckType": "EC2",
        "CreatedTime": NOW,
        "Instances": [instance(one) for one in ids],
        "LaunchTemplate": {"LaunchTemplateId": TEMPLATE, "Version": "$Latest"},
        "InstanceMaintenancePolicy": {"MinHealthyPercentage": 100, "MaxHealthyPercentage": 110},
        **more,
    }


def instance(id_: str) -> Given:
    return {
        "InstanceId": id_,
        "AvailabilityZone": f"{REGION}a",
        "LifecycleState": "InService",
        "HealthStatus": "Healthy",
        "ProtectedFromScaleIn": False,
    }


def service(
    name: str, *, desired: int = 3, minimum: int = 100, maximum: int = 200, **more: Any
) -> Given:
    """
    Return a service whose tasks run on container instances.
    """
    return {
        "serviceName": name,
        "serviceArn": arn("ecs", f"service/{CLUSTER}/{name}"),
        "desiredCount": desired,
        "launchType": "EC2",
        "schedulingStrategy": "REPLICA",
        "taskDefinition": arn("ecs", f"task-definition/{name}:1"),
        "deploymentConfiguration": {"minimumHealthyPercent": minimum, "maximumPercent": maximum},
        **more,
    }


class HealthyGroup:
    """
    What AWS answers about groups, roles and clusters; a test changes one value of it.
    """

    def __init__(self) -> None:
        self.groups = [group()]
        metadata = json.dumps({"cluster": CLUSTER})
        self.hooks: dict[str, list[Given]] = {GROUP: [hook(NotificationMetadata=metadata)]}
        self.policies = [{"PolicyName": "cpu", "PolicyType": "TargetTrackingScaling"}]
        self.launch: Given = {"ImageId": IMAGE}
        self.images = {IMAGE: NOW - timedelta(days=19)}
        allow = {"Effect": "Allow", "Action": "sts:AssumeRole"}
        self.trust = {
            "Statement": [{**allow, "Principal": {"Service": "autoscaling.amazonaws.com"}}]
        }
        self.roles = {ROLE_NAME}
        self.denied_actions: set[str] = set()
        allow = {"Effect": "Allow", "Action": "sns:Publish", "Resource": TOPIC}
        self.inline: dict[str, Given] = {"notify-the-drainer": {"Statement": [allow]}}
        self.managed: dict[str, Given] = {}
        self.own_stacks: dict[str, list[Given]] = {}
        self.clusters: dict[str, dict[str, str]] = {CLUSTER: dict.fromkeys(INSTANCES, "ACTIVE")}
        self.providers: list[Given] = []
        self.services = [
            service("api", loadBalancers=[{"targetGroupArn": BALANCED}]),
            service("log-router", schedulingStrategy="DAEMON", minimum=0, maximum=100),
            service("front", minimum=100, maximum=100, launchType="FARGATE"),
        ]
        self.tasks: dict[str, Given] = {}
        self.delays = {BALANCED: "300"}

    def owned(self, *resources: tuple[str, str]) -> None:
        """
        Let the group be made by a stack with these resources: type and physical id.
        """
        id_ = arn("cloudformation", "stack/payments/1")
        tag = {"Key": "aws:cloudformation:stack-id", "Value": id_, "ResourceId": GROUP}
        self.groups[0]["Tags"] = [tag]
        self.own_stacks[id_] = [summary(f"R{n}", *one) for n, one in enumerate(resources)]

    def answers(self) -> dict[str, Callable[[Given], Given]]:
        """
        Return what answers each call about groups, roles and clusters.
        """
        return {
            "autoscaling.describe_auto_scaling_groups": self._groups,
            "autoscaling.describe_lifecycle_hooks": lambda given: {
                "LifecycleHooks": self.hooks.get(given["AutoScalingGroupName"], [])
            },
            "autoscaling.describe_policies": lambda _: {"ScalingPolicies": self.policies},
            "autoscaling.describe_launch_configurations": lambda given: {
                "LaunchConfigurations": [
                    {
                        "LaunchConfigurationName": given["LaunchConfigurationNames"][0],
                        "InstanceType": "m7g.large",
                        "CreatedTime": NOW,
                        **self.launch,
                    }
                ]
            },
            "ec2.describe_launch_template_versions": lambda _: {
                "LaunchTemplateVersions": [{"LaunchTemplateData": self.launch}]
            },
            "ec2.describe_images": self._images,
            **self._iam(),
            **self._ecs(),
        }

    def _iam(self) -> dict[str, Callable[[Given], Given]]:
        return {
            "iam.get_role": self._role,
            "iam.simulate_principal_policy": self._simulated,
            "iam.list_role_policies": lambda _: {"PolicyNames": [*self.inline]},
            "iam.get_role_policy": lambda given: {
                "RoleName": given["RoleName"],
                "PolicyName": given["PolicyName"],
                "PolicyDocument": json.dumps(self.inline[given["PolicyName"]]),
            },
            "iam.list_attached_role_policies": lambda _: {
                "AttachedPolicies": [{"PolicyArn": one} for one in self.managed]
            },
            "iam.get_policy": lambda given: {
                "Policy": {"Arn": given["PolicyArn"], "DefaultVersionId": "v7"}
            },
            "iam.get_policy_version": lambda given: {
                "PolicyVersion": {"Document": json.dumps(self.managed[given["PolicyArn"]])}
            },
        }

    def _ecs(self) -> dict[str, Callable[[Given], Given]]:
        return {
            "ecs.list_clusters": lambda _: {
                "clusterArns": [arn("ecs", f"cluster/{name}") for name in self.clusters]
            },
            "ecs.describe_clusters": self._clusters,
            "ecs.list_container_instances": lambda given: {
                "containerInstanceArns": [
                    arn("ecs", f"container-instance/{given['cluster']}/{id_}")
                    for id_ in there(self.clusters, given["cluster"], "ClusterNotFoundException")
                ]
            },
            "ecs.describe_container_instances": self._container_instances,
            "ecs.describe_capacity_providers": lambda given: {
                "capacityProviders": [
                    one for one in self.providers if one["name"] in given["capacityProviders"]
                ]
            },
            "ecs.list_services": lambda given: {
                "serviceArns": [
                    one["serviceArn"] for one in self.services if given["cluster"] == CLUSTER
                ]
            },
            "ecs.describe_services": lambda given: {
                "services": [one for one in self.services if one["serviceArn"] in given["services"]]
            },
            "ecs.describe_task_definition": self._task,
            "elbv2.describe_target_group_attributes": lambda given: {
                "Attributes": [
                    {
                        "Key": "deregistration_delay.timeout_seconds",
                        "Value": self.delays[given["TargetGroupArn"]],
                    }
                ]
            },
        }

    def _groups(self, given: Given) -> Given:
        names = given.get("AutoScalingGroupNames")
        chosen = [
            one for one in self.groups if names is None or one["AutoScalingGroupName"] in names
        ]
        return {"AutoScalingGroups": chosen}

    def _images(self, given: Given) -> Given:
        if given["ImageIds"][0] not in self.images:
            raise GoneError("InvalidAMIID.NotFound")
        made = self.images[given["ImageIds"][0]].strftime("%Y-%m-%dT%H:%M:%S.000Z")
        return {"Images": [{"ImageId": given["ImageIds"][0], "CreationDate": made}]}

    def _role(self, given: Given) -> Given:
        if given["RoleName"] not in self.roles:
            raise GoneError("NoSuchEntity")
        return {
            "Role": {
                "Path": "/",
                "RoleName": given["RoleName"],
                "RoleId": "AROA0123456789ABCDEF",
                "Arn": ROLE,
                "CreateDate": NOW,
                "AssumeRolePolicyDocument": json.dumps(self.trust),
            }
        }

    def _simulated(self, given: Given) -> Given:
        action = given["ActionNames"][0]
        decision = "implicitDeny" if action in self.denied_actions else "allowed"
        return {"EvaluationResults": [{"EvalActionName": action, "EvalDecision": decision}]}

    def _clusters(self, given: Given) -> Given:
        names = [one.rpartition("/")[2] for one in given["clusters"]]
        return {
            "clusters": [
                {
                    "clusterName": name,
                    "status": "ACTIVE",
                    "capacityProviders": [one["name"] for one in self.providers],
                }
                for name in names
                if name in self.clusters
            ]
        }

    def _container_instances(self, given: Given) -> Given:
        statuses = self.clusters[given["cluster"]]
        ids = [one.rpartition("/")[2] for one in given["containerInstances"]]
        return {
            "containerInstances": [{"ec2InstanceId": id_, "status": statuses[id_]} for id_ in ids]
        }

    def _task(self, given: Given) -> Given:
        name = given["taskDefinition"].rpartition("/")[2].partition(":")[0]
        plain = {"networkMode": "bridge", "containerDefinitions": [{"name": name}]}
        return {"taskDefinition": self.tasks.get(name, plain)}
