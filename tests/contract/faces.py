"""
The faces of an account on which the gateways are tried, and builders for what a test needs there.

Each builder makes the same world on every face; what a face cannot have, its test is marked with.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from botocore import xform_name

from drainer.aws.auto_scaling import AutoScalingGateway
from drainer.aws.ecs import EcsGateway
from drainer.aws.topic import OperatorTopicGateway, TopicGateway
from drainer.drain import model
from drainer.simulation.protocol.client import service_model
from drainer.simulation.records import ApiError
from drainer.simulation.services.auto_scaling.lifecycle import LifecycleHook
from drainer.simulation.services.ecs.definitions import TaskProfile
from drainer.simulation.services.messaging.delivery import SnsApi

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from drainer.simulation.aws import Aws
    from drainer.simulation.records import Call

START = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
REGION = "us-east-1"
IMAGE = "ami-12345678"
# What StartTask takes at a time.
# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_StartTask.html
START_TASK_MAX = 10


@dataclass(frozen=True, slots=True)
class Asked:
    """
    One request as a gateway made it.
    """

    service: str
    operation: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Registered:
    """
    A container instance, by the names that both sides know it by.
    """

    ec2_instance_id: str
    arn: str


@cache
def operation_names(service: str) -> dict[str, str]:
    """
    Map boto3's method names to the operations they call.
    """
    return {xform_name(name): name for name in service_model(service).operation_names}


class Recording:
    """
    A client that notes what it is asked, and asks on.
    """

    def __init__(self, service: str, client: Any, asked: list[Asked]) -> None:
        self._service = service
        self._client = client
        self._asked = asked

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._client, name)

        def ask(**parameters: Any) -> Any:
            operation = operation_names(self._service)[name]
            self._asked.append(Asked(self._service, operation, parameters))
            return method(**parameters)

        return ask


class Face(ABC):
    """
    One way to an account.

    Attributes:
        asked: every request of the gateways, in order; what builders do is not in it.
    """

    def __init__(self) -> None:
        self.asked: list[Asked] = []

    @property
    def ecs(self) -> EcsGateway:
        return EcsGateway(Recording("ecs", self.client("ecs"), self.asked))

    @property
    def auto_scaling(self) -> AutoScalingGateway:
        return AutoScalingGateway(Recording("autoscaling", self.client("autoscaling"), self.asked))

    def our_topic(self, arn: str) -> TopicGateway:
        return TopicGateway(Recording("sns", self.client("sns"), self.asked), arn)

    def operator_topic(self, arn: str) -> OperatorTopicGateway:
        return OperatorTopicGateway(Recording("sns", self.client("sns"), self.asked), arn)

    def operations(self) -> list[str]:
        """
        The names of the operations asked for, in order.
        """
        return [one.operation for one in self.asked]

    @abstractmethod
    def client(self, service: str) -> Any:
        """
        The client that a gateway is given, unrecorded.
        """

    @abstractmethod
    def cluster(self, name: str) -> str:
        """
        Make a cluster; return its ARN.
        """

    @abstractmethod
    def register(self, cluster: str, count: int = 1) -> list[Registered]:
        """
        Make ACTIVE container instances without tasks.
        """

    @abstractmethod
    def tasks(
        self,
        cluster: str,
        on: Registered,
        count: int = 1,
        *,
        desired_status: str = "RUNNING",
        last_status: str = "RUNNING",
        group: str = "service:web",
        started_by: str = "ecs-svc/1234567890123456789",
    ) -> list[str]:
        """
        Make tasks on a container instance; return their ids.
        """

    @abstractmethod
    def group(self, name: str, count: int = 1) -> list[str]:
        """
        Make an Auto Scaling group whose instances are in service; return their ids.
        """

    @abstractmethod
    def hook(
        self,
        group: str,
        name: str,
        *,
        heartbeat_timeout_seconds: int = 1800,
        metadata: str | None = None,
        target: str | None = None,
    ) -> None:
        """
        Put a terminating lifecycle hook on a group.
        """

    @abstractmethod
    def fleet(self, cluster: str, count: int = 1) -> str:
        """
        Make a Spot Fleet that has all its instances; return its id.
        """

    @abstractmethod
    def capacity_provider(self, name: str, group: str) -> str:
        """
        Make a capacity provider of an Auto Scaling group; return its ARN.
        """

    @abstractmethod
    def table(self, name: str, *, key: str) -> None:
        """
        Make a DynamoDB table whose items are known by one text.
        """

    @abstractmethod
    def put(self, table: str, item: dict[str, Any]) -> None:
        """
        Write an item into a table that the program only reads.
        """

    @abstractmethod
    def record_table(self, name: str) -> None:
        """
        Make the table of drain records, as infra/drainer.yaml does.
        """

    @abstractmethod
    def topic(self, name: str) -> str:
        """
        Make a topic; return its ARN.
        """

    @abstractmethod
    def published(self, arn: str) -> int:
        """
        How many messages a topic has been given.
        """


class SimulationFace(Face):
    """
    The simulated account, by whatever clients lead to it.
    """

    def __init__(self, account: Aws, make_client: Callable[[str], Any]) -> None:
        super().__init__()
        self.account = account
        self._make_client = make_client
        self._sns = SnsApi(account)

    def client(self, service: str) -> Any:
        return self._make_client(service)

    def cluster(self, name: str) -> str:
        return self.account.ecs.create_cluster(name).arn

    def register(self, cluster: str, count: int = 1) -> list[Registered]:
        known = len(self.account.ecs.clusters[cluster].container_instances)
        ids = [f"i-{number:017x}" for number in range(known, known + count)]
        return [Registered(one, self.account.ecs.register(cluster, one).arn) for one in ids]

    def tasks(
        self,
        cluster: str,
        on: Registered,
        count: int = 1,
        *,
        desired_status: str = "RUNNING",
        last_status: str = "RUNNING",
        group: str = "service:web",
        started_by: str = "ecs-svc/1234567890123456789",
    ) -> list[str]:
        instance = self.account.ecs.clusters[cluster].container_instances[on.arn]
        made = []
        for _ in range(count):
            task = self.account.ecs.make_task(
                instance, "web", TaskProfile(), group=group, started_by=started_by
            )
            task.desired_status = desired_status  # type: ignore[assignment]
            task.last_status = last_status  # type: ignore[assignment]
            made.append(task.task_id)
        return made

    def group(self, name: str, count: int = 1) -> list[str]:
        return list(self.account.auto_scaling.create_group(name, desired=count).instances)

    def hook(
        self,
        group: str,
        name: str,
        *,
        heartbeat_timeout_seconds: int = 1800,
        metadata: str | None = None,
        target: str | None = None,
    ) -> None:
        self.account.auto_scaling.put_hook(
            LifecycleHook(
                name,
                group,
                heartbeat_timeout_seconds=heartbeat_timeout_seconds,
                notification_metadata=metadata,
                notification_target_arn=target,
            )
        )

    def fleet(self, cluster: str, count: int = 1) -> str:
        return self.account.fleets.create(cluster, count, already_running=True).fleet_id

    def capacity_provider(self, name: str, group: str) -> str:
        arn = self.account.auto_scaling.groups[group].arn
        return self.account.ecs.create_capacity_provider(name, arn).arn

    def table(self, name: str, *, key: str) -> None:
        self.account.tables.create(name, key=key)

    def put(self, table: str, item: dict[str, Any]) -> None:
        self.account.tables.tables[table].put(item)

    def record_table(self, name: str) -> None:
        self.account.record_tables.create(name)

    def topic(self, name: str) -> str:
        return self._sns.create_topic_named(name).arn

    def published(self, arn: str) -> int:
        return self._sns.topics[arn].published

    # What only the simulation can have

    def scale_in(self, group: str) -> model.LifecycleAction:
        """
        Let the oldest instance of a group go; return the action of its first hook.
        """
        (instance,) = self.account.auto_scaling.scale_in(group)
        action = instance.actions[0]
        return model.LifecycleAction(
            auto_scaling_group_name=group,
            lifecycle_hook_name=action.hook.name,
            ec2_instance_id=instance.ec2_instance_id,
            lifecycle_action_token=action.token,
        )

    def heartbeats(self) -> list[str]:
        """
        The tokens of the actions that a heartbeat was recorded for.
        """
        return [fact.about["lifecycle_action_token"] for fact in self.account.facts("heartbeat")]

    def refuse(self, operation: str, code: str, *, message: str = "", status: int = 400) -> None:
        """
        Let an operation fail from now on.
        """

        def intercept(call: Call) -> None:
            if call.operation == operation:
                raise ApiError(code, message or f"{code} for {operation}", status)

        self.account.interceptors.append(intercept)


class MotoFace(Face):
    """
    The account that moto makes inside boto3; it exists while `mock_aws` does.
    """

    def __init__(self, make_client: Callable[[str], Any]) -> None:
        super().__init__()
        self._make_client = make_client

    def client(self, service: str) -> Any:
        return self._make_client(service)

    def cluster(self, name: str) -> str:
        arn: str = self.client("ecs").create_cluster(clusterName=name)["cluster"]["clusterArn"]
        return arn

    def register(self, cluster: str, count: int = 1) -> list[Registered]:
        made = self.client("ec2").run_instances(ImageId=IMAGE, MinCount=count, MaxCount=count)
        registered = []
        for one in made["Instances"]:
            answer = self.client("ecs").register_container_instance(
                cluster=cluster,
                instanceIdentityDocument=json.dumps({"instanceId": one["InstanceId"]}),
            )
            arn = answer["containerInstance"]["containerInstanceArn"]
            registered.append(Registered(one["InstanceId"], arn))
        return registered

    def tasks(
        self,
        cluster: str,
        on: Registered,
        count: int = 1,
        *,
        desired_status: str = "RUNNING",
        last_status: str = "RUNNING",
        group: str = "service:web",
        started_by: str = "ecs-svc/1234567890123456789",
    ) -> list[str]:
        assert desired_status == last_status, "moto's tasks are RUNNING or STOPPED, all of them"
        ecs = self.client("ecs")
        container = {"name": "web", "image": "web", "memory": 1}
        ecs.register_task_definition(family="web", containerDefinitions=[container])
        made: list[str] = []
        for start in range(0, count, START_TASK_MAX):
            answer = ecs.start_task(
                cluster=cluster,
                taskDefinition="web",
                containerInstances=[on.arn] * min(START_TASK_MAX, count - start),
                group=group,
                startedBy=started_by,
            )
            made += [task["taskArn"].rpartition("/")[2] for task in answer["tasks"]]
        if desired_status == "STOPPED":
            for task_id in made:
                ecs.stop_task(cluster=cluster, task=task_id)
        return made

    def group(self, name: str, count: int = 1) -> list[str]:
        self.client("ec2").create_launch_template(
            LaunchTemplateName=name,
            LaunchTemplateData={"ImageId": IMAGE, "InstanceType": "m7g.large"},
        )
        scaling = self.client("autoscaling")
        scaling.create_auto_scaling_group(
            AutoScalingGroupName=name,
            LaunchTemplate={"LaunchTemplateName": name},
            AvailabilityZones=[f"{REGION}a"],
            MinSize=0,
            MaxSize=count,
            DesiredCapacity=count,
        )
        answer = scaling.describe_auto_scaling_groups(AutoScalingGroupNames=[name])
        return [one["InstanceId"] for one in answer["AutoScalingGroups"][0]["Instances"]]

    def hook(
        self,
        group: str,
        name: str,
        *,
        heartbeat_timeout_seconds: int = 1800,
        metadata: str | None = None,
        target: str | None = None,
    ) -> None:
        optional = {"NotificationMetadata": metadata, "NotificationTargetARN": target}
        self.client("autoscaling").put_lifecycle_hook(
            AutoScalingGroupName=group,
            LifecycleHookName=name,
            LifecycleTransition="autoscaling:EC2_INSTANCE_TERMINATING",
            HeartbeatTimeout=heartbeat_timeout_seconds,
            **{key: value for key, value in optional.items() if value is not None},
        )

    def fleet(self, cluster: str, count: int = 1) -> str:
        fleet_id: str = self.client("ec2").request_spot_fleet(
            SpotFleetRequestConfig={
                "AllocationStrategy": "lowestPrice",
                "IamFleetRole": "arn:aws:iam::123456789012:role/fleet",
                "LaunchSpecifications": [
                    {"ImageId": IMAGE, "InstanceType": "m7g.large", "WeightedCapacity": 1.0}
                ],
                "TargetCapacity": count,
            }
        )["SpotFleetRequestId"]
        return fleet_id

    def capacity_provider(self, name: str, group: str) -> str:
        groups = self.client("autoscaling").describe_auto_scaling_groups(
            AutoScalingGroupNames=[group]
        )["AutoScalingGroups"]
        arn: str = self.client("ecs").create_capacity_provider(
            name=name,
            autoScalingGroupProvider={"autoScalingGroupArn": groups[0]["AutoScalingGroupARN"]},
        )["capacityProvider"]["capacityProviderArn"]
        return arn

    def table(self, name: str, *, key: str) -> None:
        self.client("dynamodb").create_table(
            TableName=name,
            AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"}],
            KeySchema=[{"AttributeName": key, "KeyType": "HASH"}],
            BillingMode="PAY_PER_REQUEST",
        )

    def put(self, table: str, item: dict[str, Any]) -> None:
        self.client("dynamodb").put_item(TableName=table, Item=item)

    def record_table(self, name: str) -> None:
        def schema(partition: str, sort: str) -> list[dict[str, str]]:
            return [
                {"AttributeName": partition, "KeyType": "HASH"},
                {"AttributeName": sort, "KeyType": "RANGE"},
            ]

        self.client("dynamodb").create_table(
            TableName=name,
            AttributeDefinitions=[
                {"AttributeName": one, "AttributeType": "S"}
                for one in ("instance", "subject", "open")
            ],
            KeySchema=schema("instance", "subject"),
            GlobalSecondaryIndexes=[
                {
                    "IndexName": "open",
                    "KeySchema": schema("open", "instance"),
                    "Projection": {"ProjectionType": "KEYS_ONLY"},
                }
            ],
            BillingMode="PAY_PER_REQUEST",
        )

    def topic(self, name: str) -> str:
        arn: str = self.client("sns").create_topic(Name=name)["TopicArn"]
        return arn

    def published(self, arn: str) -> int:
        from moto.sns.models import sns_backends

        account_id = arn.split(":")[4]
        return len(sns_backends[account_id][REGION].topics[arn].sent_notifications)
