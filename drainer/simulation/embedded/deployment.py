"""
What `make deploy` does with the AWS CLI, done by boto3: the zip to S3, the templates to stacks.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from drainer.simulation.template import DeployedStack, body, package, with_numbers

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

BUCKET = "drainer-artifacts"
KEY = "drainer.zip"
# CloudFormation of the embedded account takes well under a second for each of our stacks.
DEPLOYED_WITHIN_SECONDS = 30.0
POLL_SECONDS = 0.05
# A stack of ours has some thirty resources, each with two events or three in an operation.
EVENTS_MAX = 1_000


class DeploymentError(RuntimeError):
    """A stack did not reach CREATE_COMPLETE; the message names the resources that failed."""


class Deployment:
    """
    Deploys templates into an account.

    Args:
        client: gives a boto3 client for a service's name.
        region: the account's Region.
        account_id: the account's id.

    """

    def __init__(self, client: Callable[[str], Any], *, region: str, account_id: str) -> None:
        self._cloudformation = client("cloudformation")
        self._s3 = client("s3")
        self._region = region
        self._account_id = account_id

    def upload(self, zip_file: Path) -> None:
        """Put the function's zip where packaged templates look for it."""
        self._s3.create_bucket(Bucket=BUCKET)
        self._s3.put_object(Bucket=BUCKET, Key=KEY, Body=zip_file.read_bytes())

    def create_stack(
        self, name: str, template: Mapping[str, Any], parameters: Mapping[str, str]
    ) -> DeployedStack:
        """
        Create the stack and wait until it is complete.

        Raises:
            DeploymentError: if it is not complete in time, or rolled back.

        """
        self._cloudformation.create_stack(StackName=name, **_request(template, parameters))
        self._wait(name)
        return self.deployed(name, template)

    def update_stack(
        self, name: str, template: Mapping[str, Any], parameters: Mapping[str, str]
    ) -> None:
        """Begin an update; every parameter that is not given takes its default."""
        self._cloudformation.update_stack(StackName=name, **_request(template, parameters))

    def delete_stack(self, name: str) -> None:
        """Begin a deletion."""
        self._cloudformation.delete_stack(StackName=name)

    def status(self, name: str) -> str:
        """Return a stack's status by its name, or by its id once it is deleted."""
        return str(self._describe(name)["StackStatus"])

    def events(self, name: str) -> list[dict[str, Any]]:
        """Return a stack's events by its name or id, the oldest first."""
        pages = self._cloudformation.get_paginator("describe_stack_events")
        found = pages.paginate(StackName=name, PaginationConfig={"MaxItems": EVENTS_MAX})
        return [event for page in found for event in page["StackEvents"]][::-1]

    def deployed(self, name: str, template: Mapping[str, Any]) -> DeployedStack:
        """Return what a stack that is complete has come to."""
        stack = self._describe(name)
        return DeployedStack(
            template=template,
            parameters=_parameters(template, stack),
            physical_ids=self._physical_ids(name),
            outputs={item["OutputKey"]: item["OutputValue"] for item in stack.get("Outputs", [])},
            pseudo={
                "AWS::Region": self._region,
                "AWS::AccountId": self._account_id,
                "AWS::Partition": "aws",
                "AWS::URLSuffix": "amazonaws.com",
                "AWS::StackName": name,
                "AWS::StackId": stack["StackId"],
            },
            exports=self._exports(),
        )

    def _describe(self, name: str) -> dict[str, Any]:
        stack: dict[str, Any] = self._cloudformation.describe_stacks(StackName=name)["Stacks"][0]
        return stack

    def _wait(self, name: str) -> None:
        deadline = time.monotonic() + DEPLOYED_WITHIN_SECONDS
        status = "unknown"
        while time.monotonic() < deadline:
            status = self.status(name)
            if status == "CREATE_COMPLETE":
                return
            if status != "CREATE_IN_PROGRESS":
                break
            time.sleep(POLL_SECONDS)
        raise DeploymentError(f"stack {name} is {status}\n{self._failures(name)}")

    def _failures(self, name: str) -> str:
        return "\n".join(
            f"{event['LogicalResourceId']}: {event.get('ResourceStatusReason', 'no reason given')}"
            for event in self.events(name)
            if event["ResourceStatus"].endswith("FAILED")
        )

    def _exports(self) -> dict[str, str]:
        pages = self._cloudformation.get_paginator("list_exports").paginate()
        return {one["Name"]: one["Value"] for page in pages for one in page["Exports"]}

    def _physical_ids(self, name: str) -> dict[str, str]:
        answer = self._cloudformation.describe_stack_resources(StackName=name)
        return {
            item["LogicalResourceId"]: item["PhysicalResourceId"]
            for item in answer["StackResources"]
            if item.get("PhysicalResourceId")
        }


def _request(template: Mapping[str, Any], parameters: Mapping[str, str]) -> dict[str, Any]:
    return {
        "TemplateBody": body(with_numbers(package(template, BUCKET, KEY), parameters)),
        "Parameters": [
            {"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()
        ],
        "Capabilities": ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"],
    }


def _parameters(template: Mapping[str, Any], stack: Mapping[str, Any]) -> dict[str, str]:
    defaults = {
        name: str(parameter["Default"])
        for name, parameter in template.get("Parameters", {}).items()
        if "Default" in parameter
    }
    given = {
        item["ParameterKey"]: item.get("ResolvedValue") or item["ParameterValue"]
        for item in stack.get("Parameters", [])
    }
    return {**defaults, **given}
