"""
CloudFormation as the one who asks a custom resource, and waits at a URL for the answer.

https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref.html
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from drainer.simulation.records import ApiError
from drainer.simulation.services.cloudformation.custom_resource import (
    Attempt,
    CustomResourceRequest,
    as_text,
)
from drainer.simulation.services.cloudformation.stack_model import RESOURCE_TYPE, Stack, seen_at

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from drainer.simulation.account import Account
    from drainer.simulation.services.cloudformation.stack_model import RequestType, Row, Snapshot

# "The default value is 3600 seconds (1 hour)", which is also the most.
# https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref.html
TIMEOUT_SECONDS = 3_600
# What a presigned URL carries for a role's session; seen in requests, not documented.
TOKEN_CHARACTERS = 1_000


class ResponseUnavailableError(Exception):
    """The response URL did not answer, or said that it could not now."""


class ResponseRefusedError(Exception):
    """The response URL refused permanently."""


class Stacks:
    """
    The account's stacks, and the end where answers arrive.

    Attributes:
        stacks: by name.
        requests: every request, by its response URL.
        unavailable: what `respond` raises where another attempt may succeed.
        refused: what `respond` raises where none will.
        lag_seconds: how old the answers about stacks and their resources are; no page says how old
            they may be.
    """

    def __init__(self, account: Account) -> None:
        self._account = account
        self.stacks: dict[str, Stack] = {}
        self.requests: dict[str, CustomResourceRequest] = {}
        self.lag_seconds = 0.0
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
        Make a request; the caller delivers it.

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
            self.stacks[name].write(account.now)
        return self.stacks[name].stack_id

    def phase(self, name: str, status: str, *, changed_at: datetime | None = None) -> None:
        """Say what a stack is at; until then its requests tell."""
        self.stack_id(name)
        stack = self.stacks[name]
        stack.changed_at = changed_at or stack.changed_at
        stack.status = status
        stack.write(self._account.now)

    def put_row(self, name: str, logical_id: str, row: Row | None) -> None:
        """Let a stack list a resource, or list it no more."""
        self.stack_id(name)
        stack = self.stacks[name]
        stack.rows.pop(logical_id, None)
        if row is not None:
            stack.rows[logical_id] = row
        stack.write(self._account.now)

    def seen(self, stack: Stack) -> Snapshot:
        """Return what is told of a stack, which may be out of date."""
        at = self._account.now - timedelta(seconds=self.lag_seconds)
        mine = [one for one in self.requests.values() if one.event["StackId"] == stack.stack_id]
        return seen_at(at, stack, mine)

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

    def __init__(self, stacks: Stacks) -> None:
        self._stacks = stacks

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
        return {"Stacks": [self._describe(one) for one in found]}

    def _describe(self, stack: Stack) -> dict[str, Any]:
        snapshot = self._stacks.seen(stack)
        changed_at = snapshot.changed_at
        return {
            "StackName": stack.name,
            "StackId": stack.stack_id,
            "StackStatus": snapshot.status,
            "CreationTime": stack.created_at,
            **({"LastUpdatedTime": changed_at} if changed_at else {}),
        }

    def list_stack_resources(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """
        List the resources of a stack; one that an update replaces shows what it is from now on.

        https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_ListStackResources.html
        """
        wanted = parameters["StackName"]
        self.describe_stacks({"StackName": wanted})
        (stack,) = (
            one for one in self._stacks.stacks.values() if wanted in (one.name, one.stack_id)
        )
        return {
            "StackResourceSummaries": [
                {
                    "LogicalResourceId": logical_id,
                    **({"PhysicalResourceId": row.physical_id} if row.physical_id else {}),
                    "ResourceType": row.resource_type,
                    "ResourceStatus": row.status,
                    "LastUpdatedTimestamp": row.changed_at,
                }
                for logical_id, row in self._stacks.seen(stack).rows.items()
            ]
        }


def _service_timeout(properties: Mapping[str, Any]) -> int:
    # "The value must be an integer from 1 to 3600" (crpg-ref.html); CloudFormation refuses others
    # before it asks anybody.
    text = str(properties.get("ServiceTimeout", ""))
    return int(text) if text.isdigit() and 1 <= int(text) <= TIMEOUT_SECONDS else TIMEOUT_SECONDS
