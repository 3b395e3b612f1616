"""
`AWS::EC2::SpotFleet`, as a custom resource, where CloudFormation does not know the type.

A function of the embedded account: it runs there from this file alone, and asks the EC2 that
AWS_ENDPOINT_URL_EC2 names. Each update makes another fleet, as CloudFormation does for a change of
nearly any property; which fleet goes, and when, is left to CloudFormation.
https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-properties-ec2-spotfleet-spotfleetrequestconfigdata.html
"""

from __future__ import annotations

import json
import urllib.request
from typing import Any

import boto3

# What a Create that failed is known by.
NO_FLEET = "no-fleet"
ANSWERED_WITHIN_SECONDS = 10


def handler(event: dict[str, Any], _: object) -> None:
    """Serve one request of CloudFormation and answer it."""
    answer = {name: event[name] for name in ("StackId", "RequestId", "LogicalResourceId")}
    known = event.get("PhysicalResourceId", NO_FLEET)
    try:
        answer |= {"Status": "SUCCESS", "PhysicalResourceId": serve(event, boto3.client("ec2"))}
    except Exception as error:  # noqa: BLE001 (whatever it is, CloudFormation waits for an answer)
        answer |= {"Status": "FAILED", "PhysicalResourceId": known, "Reason": repr(error)}
    request = urllib.request.Request(  # noqa: S310 - the embedded account on loopback
        event["ResponseURL"],
        data=json.dumps(answer).encode(),
        headers={"Content-Type": ""},
        method="PUT",
    )
    urllib.request.urlopen(request, timeout=ANSWERED_WITHIN_SECONDS).close()  # noqa: S310 - as above


def serve(event: dict[str, Any], ec2: Any) -> str:
    """Do what CloudFormation asks and return the id of the fleet that it is about."""
    if event["RequestType"] == "Delete":
        known: str = event["PhysicalResourceId"]
        cancel(known, ec2)
        return known
    shape = ec2.meta.service_model.operation_model("RequestSpotFleet").input_shape
    config = typed(
        shape.members["SpotFleetRequestConfig"],
        event["ResourceProperties"]["SpotFleetRequestConfigData"],
    )
    fleet_id: str = ec2.request_spot_fleet(SpotFleetRequestConfig=config)["SpotFleetRequestId"]
    return fleet_id


def cancel(fleet_id: str, ec2: Any) -> None:
    """Cancel a fleet together with its instances; nothing holds them back."""
    answer = ec2.cancel_spot_fleet_requests(SpotFleetRequestIds=[fleet_id], TerminateInstances=True)
    if answer.get("UnsuccessfulFleetRequests"):
        raise RuntimeError(str(answer["UnsuccessfulFleetRequests"]))


def typed(shape: Any, value: Any) -> Any:
    """Return a property with numbers and booleans again for the texts that they arrive as."""
    match shape.type_name:
        case "structure":
            return {name: typed(shape.members[name], item) for name, item in value.items()}
        case "list":
            return [typed(shape.member, item) for item in value]
        case "integer":
            return int(value)
        case "boolean":
            return value == "true"
    return value
