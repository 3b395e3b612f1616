"""
CloudFormation as the one who asks a custom resource, and waits at a URL for the answer.

https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref.html
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

from drainer.simulation.custom_resource import Attempt, CustomResourceRequest, as_text
from drainer.simulation.records import ApiError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from drainer.simulation.account import Account

RequestType = Literal["Create", "Update", "Delete"]
RESOURCE_TYPE = "Custom::ECSDrain"
# "The default value is 3600 seconds (1 hour)", which is also the most.
# https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref.html
TIMEOUT_SECONDS = 3_600
# What a presigned URL carries for a role's session; seen in requests, not documented.
TOKEN_CHARACTERS = 1_000


class ResponseUnavailableError(Exception):
    """The response URL did not answer, or said that it could not now."""


class ResponseRefusedError(Exception):
    """The response URL refused for good."""


@dataclass(frozen=True, slots=True)
class Stack:
    """A stack, as far as anybody asks about it."""

    name: str
    stack_id: str
    created_at: datetime


class Stacks:
    """
    The account's stacks, and the end where answers arrive.

    Attributes:
        stacks: by name.
        requests: every request, by its response URL.
        unavailable: what `respond` raises where another attempt may succeed.
        refused: what `respond` raises where none will.
    """

    def __init__(self, account: Account) -> None:
        self._account = account
        self.stacks: dict[str, Stack] = {}
        self.requests: dict[str, CustomResourceRequest] = {}
        self.unavailable: type[Exception] = ResponseUnavailableError
        self.refused: type[Exception] = ResponseRefusedError

    def request(
        self,
        kind: RequestType,
        properties: Mapping[str, Any],
        *,
        physical_id: str | None = None,
        old_properties: Mapping[str, Any] | None = None,
        logical_id: str = "Drain",
        stack: str = "shop",
        timeout_seconds: int = TIMEOUT_SECONDS,
        request_id: str | None = None,
    ) -> CustomResourceRequest:
        """
        Make a request; who makes it also delivers it.

        Args:
            kind: what is being done to the resource.
            properties: of the resource; they are sent as text.
            physical_id: what the resource is known by, unless it is being created.
            old_properties: what they were before an update.
            logical_id: its name in the template.
            stack: its stack's name.
            timeout_seconds: how long the stack waits; the property ServiceTimeout may shorten it.
            request_id: names the request within the stack.
        """
        account = self._account
        request_id = request_id or account.uuid()
        event: dict[str, Any] = {
            "RequestType": kind,
            "ResponseURL": self._url(stack, logical_id, request_id),
            "StackId": self.stack_id(stack),
            "RequestId": request_id,
            "LogicalResourceId": logical_id,
            "ResourceType": RESOURCE_TYPE,
            "ResourceProperties": as_text(properties),
        }
        if kind != "Create":
            if not physical_id:
                raise ValueError(f"{kind} needs the physical id")
            event["PhysicalResourceId"] = physical_id
        if kind == "Update":
            event["OldResourceProperties"] = as_text(old_properties or {})
        seconds = min(timeout_seconds, _service_timeout(event["ResourceProperties"]))
        request = CustomResourceRequest(
            account, event, account.now, account.now + timedelta(seconds=seconds)
        )
        self.requests[event["ResponseURL"]] = request
        account.record("request_sent", request_id=request_id, request_type=kind)
        account.at(request.times_out_at, lambda: self._time_out(request))
        return request

    def stack_id(self, name: str) -> str:
        """Return a stack's ARN; the stack is made where there is none."""
        account = self._account
        if name not in self.stacks:
            stack_id = account.arn("cloudformation", f"stack/{name}/{account.uuid()}")
            self.stacks[name] = Stack(name, stack_id, account.now)
        return self.stacks[name].stack_id

    def status(self, stack_id: str) -> str:
        """Return a stack's status: in progress as long as one of its requests is open."""
        is_open = any(
            one.is_open for one in self.requests.values() if one.event["StackId"] == stack_id
        )
        return "UPDATE_IN_PROGRESS" if is_open else "UPDATE_COMPLETE"

    def resources(self, stack_id: str) -> dict[str, tuple[str, str]]:
        """Return physical id and status of each custom resource of a stack, by its logical id."""
        found: dict[str, tuple[str, str]] = {}
        for request in self.requests.values():
            kind, logical_id = request.event["RequestType"], request.event["LogicalResourceId"]
            if request.event["StackId"] != stack_id:
                continue
            answer = request.answer or {}
            if kind != "Delete" and answer.get("Status") == "SUCCESS":
                found[logical_id] = (answer["PhysicalResourceId"], f"{kind.upper()}_COMPLETE")
            physical_id = request.event.get("PhysicalResourceId")
            if kind == "Delete" and found.get(logical_id, ("",))[0] == physical_id:
                found[logical_id] = (physical_id or "", "DELETE_IN_PROGRESS")
                if answer.get("Status") == "SUCCESS":
                    del found[logical_id]
        return found

    def respond(self, url: str, body: bytes) -> None:
        """
        Take an answer, as the response URL does.

        Raises:
            Exception: `unavailable` or `refused`, as the status or the silence says.
        """
        request = self.requests.get(url)
        if request is None:
            raise self.refused("403: there is no such URL")
        attempt = Attempt(self._account.now, body, request.next_status())
        request.attempts.append(attempt)
        if attempt.status is None:
            raise self.unavailable("no answer")
        if attempt.status >= 500:
            raise self.unavailable(f"{attempt.status}")
        if attempt.status >= 400:
            raise self.refused(f"{attempt.status}")
        request.take(attempt)

    def _time_out(self, request: CustomResourceRequest) -> None:
        if request.answer is None:
            self._account.record("request_timed_out", request_id=request.event["RequestId"])

    def _url(self, stack: str, logical_id: str, request_id: str) -> str:
        account = self._account
        place = quote(f"{self.stack_id(stack)}|{logical_id}|{request_id}", safe="")
        host = f"cloudformation-custom-resource-response-{account.region.replace('-', '')}"
        return (
            f"https://{host}.s3.{account.region}.amazonaws.com/{place}"
            f"?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Date={account.now:%Y%m%dT%H%M%SZ}"
            f"&X-Amz-SignedHeaders=host&X-Amz-Expires=7200"
            f"&X-Amz-Security-Token={account.hexadecimal(TOKEN_CHARACTERS)}"
            f"&X-Amz-Signature={account.hexadecimal(64)}"
        )


class CloudFormationApi:
    """One method for each operation; each takes and returns what AWS would."""

    def __init__(self, account: Account) -> None:
        self._stacks = account.stacks

    def describe_stacks(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """
        Describe stacks, all or one by its name or id.

        "If the stack doesn't exist, a ValidationError is returned."
        https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_DescribeStacks.html
        """
        wanted = parameters.get("StackName")
        found = [
            one for one in self._stacks.stacks.values() if wanted in (None, one.name, one.stack_id)
        ]
        if wanted is not None and not found:
            raise ApiError("ValidationError", f"Stack with id {wanted} does not exist")
        return {
            "Stacks": [
                {
                    "StackName": one.name,
                    "StackId": one.stack_id,
                    "StackStatus": self._stacks.status(one.stack_id),
                    "CreationTime": one.created_at,
                }
                for one in found
            ]
        }

    def list_stack_resources(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """
        List the resources of a stack; one that an update replaces shows what it is from now on.

        https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_ListStackResources.html
        """
        wanted = parameters["StackName"]
        (stack,) = self.describe_stacks({"StackName": wanted})["Stacks"]
        return {
            "StackResourceSummaries": [
                {
                    "LogicalResourceId": logical_id,
                    "PhysicalResourceId": physical_id,
                    "ResourceType": RESOURCE_TYPE,
                    "ResourceStatus": status,
                    "LastUpdatedTimestamp": stack["CreationTime"],
                }
                for logical_id, (physical_id, status) in self._stacks.resources(
                    stack["StackId"]
                ).items()
            ]
        }


def _service_timeout(properties: Mapping[str, Any]) -> int:
    # "The value must be an integer from 1 to 3600" (crpg-ref.html); CloudFormation refuses others
    # before it asks anybody.
    text = str(properties.get("ServiceTimeout", ""))
    return int(text) if text.isdigit() and 1 <= int(text) <= TIMEOUT_SECONDS else TIMEOUT_SECONDS
