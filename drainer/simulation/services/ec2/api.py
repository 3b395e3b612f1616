"""EC2's operations on Spot Fleets, in AWS's shapes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, TypeVar

from drainer.simulation.paging import page
from drainer.simulation.records import ApiError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from drainer.simulation.services.ec2.spot_fleet import SpotFleets
    from drainer.simulation.services.ec2.spot_fleet_model import Fleet, FleetInstance

    Item = TypeVar("Item")

# "Valid Range: Minimum value of 1. Maximum value of 1000."
# https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeSpotFleetInstances.html
PAGE_MAX = 1_000
# "You can cancel up to 100 fleets in a single request. If you exceed the specified number, no
# fleets are canceled."
# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/cancel-spot-fleet.html
CANCEL_MAX = 100
# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/fleet-quotas.html
TARGET_CAPACITY_MAX = 10_000
FLEET_ID = re.compile(r"sfr-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Ec2Api:
    """One method for each operation; each takes and returns what AWS would."""

    def __init__(self, fleets: SpotFleets) -> None:
        self._fleets = fleets

    def request_spot_fleet(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """Request a fleet; what is launched is not looked at, it is only kept."""
        config = parameters["SpotFleetRequestConfig"]
        capacity = config["TargetCapacity"]
        # "Default: maintain. instant is listed but is not used by Spot Fleet."
        # https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_SpotFleetRequestConfigData.html
        kind = config.get("Type", "maintain")
        if kind not in ("request", "maintain") or not 0 <= capacity <= TARGET_CAPACITY_MAX:
            raise ApiError("InvalidSpotFleetRequestConfig", f"A {kind} fleet of {capacity}")
        fleet = self._fleets.create(
            self._fleets.cluster_of_request(config),
            capacity,
            type=kind,
            boot_seconds=self._fleets.boot_seconds,
            config=config,
        )
        return {"SpotFleetRequestId": fleet.fleet_id}

    def describe_spot_fleet_instances(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """Describe the instances of a fleet, a page at a time."""
        fleet = self._fleet(parameters["SpotFleetRequestId"])
        found, token = _page(self._fleets.listed(fleet), parameters)
        return {
            "SpotFleetRequestId": fleet.fleet_id,
            "ActiveInstances": [_describe_instance(one) for one in found],
            **token,
        }

    def describe_spot_fleet_requests(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """Describe fleets, all or by id."""
        known = [one for one in self._fleets.fleets if self._fleets.find(one)]
        wanted = [self._fleet(one) for one in parameters.get("SpotFleetRequestIds") or known]
        found, token = _page(wanted, parameters)
        return {"SpotFleetRequestConfigs": [_describe_fleet(one) for one in found], **token}

    def cancel_spot_fleet_requests(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """Cancel fleets, each for itself, with their instances or without."""
        ids = parameters["SpotFleetRequestIds"]
        if len(ids) > CANCEL_MAX:
            raise ApiError("InvalidParameterValue", f"At most {CANCEL_MAX} fleets at a time")
        answer: dict[str, Any] = {"SuccessfulFleetRequests": [], "UnsuccessfulFleetRequests": []}
        for one in ids:
            fleet = self._fleets.find(one)
            if fleet is None or fleet.state != "active":
                failure = {"Code": _why_not(one, fleet), "Message": f"{one} cannot be cancelled"}
                answer["UnsuccessfulFleetRequests"].append(
                    {"SpotFleetRequestId": one, "Error": failure}
                )
                continue
            terminate = parameters["TerminateInstances"]
            entered = self._fleets.cancel(fleet, terminate_instances=terminate)
            answer["SuccessfulFleetRequests"].append(
                {
                    "SpotFleetRequestId": one,
                    "CurrentSpotFleetRequestState": entered,
                    "PreviousSpotFleetRequestState": "active",
                }
            )
        return answer

    def _fleet(self, fleet_id: str) -> Fleet:
        # https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html
        if not FLEET_ID.fullmatch(fleet_id):
            message = f"The spot fleet request ID '{fleet_id}' is malformed"
            raise ApiError("InvalidSpotFleetRequestId.Malformed", message)
        fleet = self._fleets.find(fleet_id)
        if fleet is None:
            message = f"The spot fleet request ID '{fleet_id}' does not exist"
            raise ApiError("InvalidSpotFleetRequestId.NotFound", message)
        return fleet


def _why_not(fleet_id: str, fleet: Fleet | None) -> str:
    # https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CancelSpotFleetRequestsError.html
    if fleet is not None:
        return "fleetRequestNotInCancellableState"
    known = FLEET_ID.fullmatch(fleet_id)
    return "fleetRequestIdDoesNotExist" if known else "fleetRequestIdMalformed"


def _page(wanted: Sequence[Item], parameters: dict[str, Any]) -> tuple[list[Item], dict[str, str]]:
    size = parameters.get("MaxResults", PAGE_MAX)
    if not 1 <= size <= PAGE_MAX:
        raise ApiError("InvalidParameterValue", f"MaxResults must be from 1 to {PAGE_MAX}")
    found, token = page(
        wanted,
        token=parameters.get("NextToken"),
        size=size,
        invalid=ApiError("InvalidNextToken", "The specified NextToken is corrupted or expired"),
    )
    return found, {"NextToken": token} if token else {}


def _describe_instance(instance: FleetInstance) -> dict[str, Any]:
    return {
        "InstanceId": instance.ec2_instance_id,
        "InstanceType": instance.instance_type,
        "SpotInstanceRequestId": instance.spot_instance_request_id,
        "InstanceHealth": "healthy",
    }


def _describe_fleet(fleet: Fleet) -> dict[str, Any]:
    return {
        "SpotFleetRequestId": fleet.fleet_id,
        "SpotFleetRequestState": fleet.state,
        "ActivityStatus": "fulfilled",
        "CreateTime": fleet.created_at,
        "SpotFleetRequestConfig": fleet.config,
        "Tags": [
            tag for one in fleet.config.get("TagSpecifications", ()) for tag in one.get("Tags", ())
        ],
    }
