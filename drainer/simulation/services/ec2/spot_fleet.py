"""
Spot Fleets: what they launch, what they launch again, and what goes when they are cancelled.

Nothing holds an instance of a fleet back: Spot Fleets know no lifecycle hooks.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from drainer.simulation.services.ec2.spot_fleet_model import Fleet, FleetInstance

if TYPE_CHECKING:
    from collections.abc import Callable

    from drainer.simulation.account import Account
    from drainer.simulation.services.ec2.spot_fleet_model import FleetState, FleetType
    from drainer.simulation.services.ecs.clusters import Ecs

# "Spot Fleet checks the health status of the Spot Instances in the fleet every two minutes."
# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/work-with-spot-fleets.html
HEALTH_CHECK_SECONDS = 120.0
# "Spot Fleet requests are deleted 48 hours after they are canceled and their instances are
# terminated."
# https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeSpotFleetRequests.html
KEPT = timedelta(days=2)
# For how long an instance that has been running for long has been running.
RUNNING_SINCE = timedelta(days=1)
# Several types, as a fleet has them, so that no test relies on one.
INSTANCE_TYPES = ("m7g.large", "m6g.large", "c7g.large")
# The cluster that an agent joins which is told of none.
# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs-agent-config.html
CLUSTER_DEFAULT = "default"
CLUSTER_TAG = "cluster"


def cluster_in_tags(config: dict[str, Any]) -> str:
    """Read the cluster out of a request's own tags: the one that is called `cluster`."""
    for specification in config.get("TagSpecifications") or ():
        for tag in specification.get("Tags") or ():
            if tag.get("Key") == CLUSTER_TAG:
                return str(tag["Value"])
    return CLUSTER_DEFAULT


class SpotFleets:
    """
    The account's Spot Fleets.

    Attributes:
        describe_lag_seconds: how old the list of a fleet's instances is. It is "refreshed
            periodically and might be out of date".
            https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeSpotFleetInstances.html
        cluster_of_request: says which cluster the instances of a request join, by what was asked
            for; their user data would on AWS.
        boot_seconds: what an instance takes from launch to registration, for requests by the API.
    """

    def __init__(self, account: Account, ecs: Ecs) -> None:
        self._account = account
        self._ecs = ecs
        self.describe_lag_seconds = 0.0
        self.cluster_of_request: Callable[[dict[str, Any]], str] = cluster_in_tags
        self.boot_seconds = 60.0
        self.fleets: dict[str, Fleet] = {}
        self._instances: dict[str, FleetInstance] = {}

    def create(
        self,
        cluster_name: str,
        count: int,
        *,
        type: FleetType = "maintain",  # noqa: A002 - AWS's word
        boot_seconds: float = 60.0,
        tasks_max: int | None = None,
        already_running: bool = False,
        config: dict[str, Any] | None = None,
    ) -> Fleet:
        """
        Create a fleet; its instances boot, or have been running for long.

        Args:
            cluster_name: the cluster that its instances register with.
            count: its target capacity.
            type: whether it launches again what it loses.
            boot_seconds: from launch to registration.
            tasks_max: the room for tasks on each instance.
            already_running: whether its instances are in the cluster already.
            config: what was asked for, if it came by the API.
        """
        account = self._account
        fleet = Fleet(
            f"sfr-{account.uuid()}",
            cluster_name,
            count,
            type,
            boot_seconds,
            tasks_max,
            account.now,
            {"TargetCapacity": count, "Type": type, "IamFleetRole": _role(account)}
            | (config or {}),
        )
        self.fleets[fleet.fleet_id] = fleet
        self._ecs.create_cluster(cluster_name)
        account.record("fleet_requested", fleet_id=fleet.fleet_id, count=count)
        for _ in range(count):
            instance = self._launch(fleet)
            if already_running:
                instance.launched_at -= RUNNING_SINCE
                self._join(instance)
            else:
                self._boot(instance)
        return fleet

    def find(self, fleet_id: str) -> Fleet | None:
        """Find a fleet; one that is over is known for a while."""
        fleet = self.fleets.get(fleet_id)
        if fleet is None or fleet.over_at is None:
            return fleet
        return fleet if self._account.now < fleet.over_at + KEPT else None

    def listed(self, fleet: Fleet) -> list[FleetInstance]:
        """Return the instances that AWS would list now, which may be those of a while ago."""
        at = self._account.now - timedelta(seconds=self.describe_lag_seconds)
        fleet.rows = {
            key: one for key, one in fleet.rows.items() if one.ended_at is None or one.ended_at > at
        }
        return [one for one in fleet.rows.values() if one.launched_at <= at]

    def cancel(self, fleet: Fleet, *, terminate_instances: bool) -> FleetState:
        """
        Cancel a fleet and return the state that it entered; what it takes with it is cut.

        "... the fleet request enters the cancelled_terminating state. Otherwise, it enters the
        cancelled_running state, and the instances continue to run"
        https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/cancel-spot-fleet.html
        """
        account = self._account
        entered: FleetState = (
            "cancelled_terminating" if terminate_instances else "cancelled_running"
        )
        fleet.state = entered
        remaining = [
            f"{task.owner} {task.last_status} {task.task_id}"
            for one in fleet.instances
            for task in self._ecs.remaining_tasks(one)
        ]
        account.record(
            "fleet_cancelled", fleet_id=fleet.fleet_id, state=entered, remaining=remaining
        )
        for one in fleet.ec2_instance_ids if terminate_instances else ():
            self.terminate(one)
        self._settle(fleet)
        return entered

    def terminate(self, ec2_instance_id: str) -> None:
        """Terminate one instance at once; a fleet that is maintained launches another."""
        instance = self._instances[ec2_instance_id]
        self._account.record(
            "terminated", ec2_instance_id=ec2_instance_id, fleet_id=instance.fleet.fleet_id
        )
        self._ecs.lose_ec2_instance(ec2_instance_id)
        self.handle_loss(ec2_instance_id)

    def handle_loss(self, ec2_instance_id: str) -> None:
        """Let a fleet see that an instance is gone; it replaces it at its health check."""
        instance = self._instances.pop(ec2_instance_id, None)
        if instance is None:
            return
        instance.ended_at = self._account.now
        self._settle(instance.fleet)
        if instance.fleet.type == "maintain":
            self._account.after(HEALTH_CHECK_SECONDS, lambda: self._fill(instance.fleet))

    # Private

    def _fill(self, fleet: Fleet) -> None:
        # Those that drain are there, and are counted.
        missing = fleet.target_capacity - len(fleet.instances)
        for _ in range(missing if fleet.state == "active" else 0):
            self._boot(self._launch(fleet))

    def _settle(self, fleet: Fleet) -> None:
        if fleet.state.startswith("cancelled_") and not fleet.instances:
            fleet.state, fleet.over_at = "cancelled", self._account.now

    def _launch(self, fleet: Fleet) -> FleetInstance:
        account, number = self._account, fleet.launched
        fleet.launched += 1
        instance = FleetInstance(
            f"i-{account.hexadecimal(17)}",
            fleet,
            INSTANCE_TYPES[number % len(INSTANCE_TYPES)],
            f"sir-{account.hexadecimal(8)}",
            f"{account.region}{'abc'[number % 3]}",
            account.now,
        )
        fleet.rows[instance.ec2_instance_id] = instance
        self._instances[instance.ec2_instance_id] = instance
        account.record(
            "launched", ec2_instance_id=instance.ec2_instance_id, fleet_id=fleet.fleet_id
        )
        return instance

    def _boot(self, instance: FleetInstance) -> None:
        self._account.after(instance.fleet.boot_seconds, lambda: self._join(instance))

    def _join(self, instance: FleetInstance) -> None:
        if instance.ended_at is None:
            self._ecs.register(
                instance.fleet.cluster,
                instance.ec2_instance_id,
                availability_zone=instance.availability_zone,
                tasks_max=instance.fleet.tasks_max,
            )


def _role(account: Account) -> str:
    return f"arn:aws:iam::{account.account_id}:role/fleet"
