"""
A stack update of `infra/examples/cluster.yaml` that rolls its group, and the requests meanwhile.

ministack's CloudFormation makes the new version of the launch template and gives it to its own
group. It knows no `UpdatePolicy`: the instance refresh that CloudFormation would begin then is
begun here, with the strategy and the preferences of the template.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from drainer.simulation.embedded.installation import CLUSTER_STACK, DRAINER_STACK
from drainer.simulation.embedded.watch import DrainTrack, RequestCounts, counts_of
from drainer.simulation.scenario.client_requests import Mix, Requests

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from drainer.simulation.aws import Aws
    from drainer.simulation.embedded.account import EmbeddedAccount
    from drainer.simulation.embedded.installation import Installation

NEXT_IMAGE_PARAMETER = "/embedded/rolled-image-id"
NEXT_IMAGE_VALUE = "/embedded/rolled-image"
UPDATED_WITHIN_SECONDS = 30.0
POLL_SECONDS = 0.05
# "SkipMatching ... true" is the default of an UpdatePolicy, where the API's is false.
# https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-attribute-updatepolicy.html
UPDATE_POLICY_DEFAULTS = {"SkipMatching": True}


class NotUpdatedError(RuntimeError):
    """The update of the stack has not given the group another launch template."""


@dataclass(frozen=True, kw_only=True)
class StreamCounts(RequestCounts):
    """The requests to one service."""

    name: str


@dataclass(frozen=True)
class InstanceRow:
    """
    One instance of the group.

    Attributes:
        launch_template: what it runs, as `id:version`.
        status: of its container instance; empty before it has joined.
        tasks: how many it has.
    """

    ec2_instance_id: str
    launch_template: str
    lifecycle_state: str
    status: str
    tasks: int


@dataclass(frozen=True)
class RollSnapshot:
    """
    The refresh, the group and the requests, as of one look.

    Attributes:
        refresh: as DescribeInstanceRefreshes tells of it; empty before.
        wanted: the launch template that every instance is to run.
        drains: the drains of the group's instances.
    """

    now: datetime
    stack_status: str
    refresh: Mapping[str, Any]
    wanted: str
    instances: tuple[InstanceRow, ...]
    streams: tuple[StreamCounts, ...]
    drains: tuple[DrainTrack, ...]


class RollStage:
    """
    The example cluster, its services under requests.

    Args:
        embedded: where it is deployed.
        installation: what is deployed.
        parameters: what the cluster was deployed with.
        mix: the requests to each service.
    """

    def __init__(
        self,
        embedded: EmbeddedAccount,
        installation: Installation,
        parameters: Mapping[str, str],
        mix: Mix,
    ) -> None:
        self.embedded = embedded
        self.installation = installation
        self._deployment = embedded.deployment()
        self._parameters = {**parameters, "DrainerStack": DRAINER_STACK}
        self._group_name = installation.shape.group.name
        embedded.client("ssm").put_parameter(
            Name=NEXT_IMAGE_PARAMETER, Value=NEXT_IMAGE_VALUE, Type="String"
        )
        self.wanted = self._launch_template()
        with embedded.catching_up() as account:
            group = account.auto_scaling.groups[self._group_name]
            group.launch_template = self.wanted
            for instance in group.instances.values():
                instance.launch_template = self.wanted
            services = account.ecs.clusters[installation.shape.name].services.values()
            self.streams = tuple(
                Requests(account, balanced.target_group, mix)
                for service in services
                for balanced in service.balanced
            )
            for stream in self.streams:
                stream.start()

    def update(self) -> None:
        """
        Update the stack with a newer image, and begin the refresh that its UpdatePolicy describes.

        Raises:
            NotUpdatedError: the group has the launch template that it had.
        """
        before = self.wanted
        self._deployment.update_stack(
            CLUSTER_STACK,
            self.installation.cluster.template,
            {**self._parameters, "ImageId": NEXT_IMAGE_PARAMETER},
        )
        deadline = time.monotonic() + UPDATED_WITHIN_SECONDS
        while "IN_PROGRESS" in self.status and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
        self.wanted = self._launch_template()
        if self.wanted == before:
            raise NotUpdatedError(f"the stack is {self.status}, the group still has {before}")
        template_id, _, version = self.wanted.partition(":")
        policy = self.update_policy()
        self.embedded.client("autoscaling").start_instance_refresh(
            AutoScalingGroupName=self._group_name,
            Strategy=policy["Strategy"],
            Preferences={**UPDATE_POLICY_DEFAULTS, **policy["Preferences"]},
            DesiredConfiguration={
                "LaunchTemplate": {"LaunchTemplateId": template_id, "Version": version}
            },
        )

    def update_policy(self) -> dict[str, Any]:
        """Return the group's UpdatePolicy, its numbers as numbers."""
        stack = self.installation.cluster
        ((name, _),) = stack.resources("AWS::AutoScaling::AutoScalingGroup")
        policy = stack.resolve(stack.template["Resources"][name]["UpdatePolicy"])
        found: dict[str, Any] = policy["AutoScalingInstanceRefresh"]
        numbers = {
            key: int(value) if str(value).isdigit() else value
            for key, value in found["Preferences"].items()
        }
        return {**found, "Preferences": numbers}

    @property
    def status(self) -> str:
        """The status of the stack."""
        return self._deployment.status(CLUSTER_STACK)

    def look(self) -> RollSnapshot:
        """Return everything as it is now."""
        status = self.status
        tracks = self.installation.watch.look()
        refreshes = self.embedded.client("autoscaling").describe_instance_refreshes(
            AutoScalingGroupName=self._group_name
        )["InstanceRefreshes"]
        with self.embedded.catching_up() as account:
            return RollSnapshot(
                now=account.now,
                stack_status=status,
                refresh=refreshes[0] if refreshes else {},
                wanted=self.wanted,
                instances=tuple(_rows(account, self._group_name)),
                streams=tuple(
                    StreamCounts(name=one.group.name, **counts_of(one)) for one in self.streams
                ),
                drains=tuple(
                    one
                    for one in tracks
                    if one.action.hook.auto_scaling_group_name == self._group_name
                ),
            )

    def stop(self) -> None:
        """End the requests."""
        with self.embedded.lock:
            for stream in self.streams:
                stream.stop()

    def _launch_template(self) -> str:
        """Return what ministack's group launches from, as `id:version`."""
        (group,) = self.embedded.emulated("autoscaling").describe_auto_scaling_groups(
            AutoScalingGroupNames=[self._group_name]
        )["AutoScalingGroups"]
        return f"{group['LaunchTemplate']['LaunchTemplateId']}:{group['LaunchTemplate']['Version']}"


def over(snapshot: RollSnapshot) -> bool:
    """Say whether the refresh has ended, and each drain that it has begun."""
    ended = "EndTime" in snapshot.refresh
    gone = all(one.instance.terminated or not one.action.is_open for one in snapshot.drains)
    settled = all(one.lifecycle_state == "InService" for one in snapshot.instances)
    return ended and gone and settled


def _rows(account: Aws, group_name: str) -> Sequence[InstanceRow]:
    rows = []
    for instance in account.auto_scaling.groups[group_name].instances.values():
        found = account.ecs.container_instance(instance.ec2_instance_id)
        rows.append(
            InstanceRow(
                instance.ec2_instance_id,
                instance.launch_template,
                instance.lifecycle_state,
                found.status if found else "",
                len(account.ecs.remaining_tasks(instance.ec2_instance_id)),
            )
        )
    return rows
