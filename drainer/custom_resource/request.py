"""
Read CloudFormation's request to a custom resource, and word the one answer to it: pure.

Where the answer goes is a signed URL, and so a secret: nothing here quotes it.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from hashlib import sha256
from itertools import accumulate
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from drainer.custom_resource.properties import SERVICE_TIMEOUT_SECONDS_MAX, SETTINGS, Status
from drainer.custom_resource.response_url import response_url
from drainer.errors import MalformedEventError, NotForUsError
from drainer.fields import instant, quoted
from drainer.settings import read as read_settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from drainer.custom_resource.properties import DrainTarget

# The answer must be there before CloudFormation gives up: one failed invocation (its message comes
# back after three minutes), or a lost chain (the sweep finds it within five), fits in between.
RESPONSE_MARGIN_SECONDS = 420
# Where little time is given at all, a third of it is kept for that.
RESPONSE_MARGIN_SHARE = 3
# For how long a Create or an Update looks again for what is not there, or may not be read: what was
# made seconds ago, and permissions, "can take several minutes" to be seen everywhere.
# https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot.html
LOOKED_FOR = timedelta(seconds=300)

# "The total size of the response body can't exceed 4096 bytes."
# https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/crpg-ref-responses.html
RESPONSE_BYTES_MAX = 4_096
# Texts from the request are bounded too, to leave room for the reason. None has a bar, which
# separates the names in a re-invocation.
NAME = re.compile(r"[\x20-\x7b\x7d\x7e]{1,512}")
PHYSICAL_ID_BYTES_MAX = 1_024

RESOURCE_TYPE = "Custom::ECSDrain"
# What is answered as physical id by a Create that was refused: its Delete drains nothing.
# "You can't use a colon" in the name of a group, nor in any other target's.
# https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_CreateAutoScalingGroup.html
NO_TARGET = "nothing-guarded:"


class RequestType(StrEnum):
    """What CloudFormation asks for."""

    CREATE = "Create"
    UPDATE = "Update"
    DELETE = "Delete"


@dataclass(frozen=True, slots=True)
class Request:
    """
    A request of CloudFormation; its fields are called as CloudFormation calls them.

    Attributes:
        physical_id: What an earlier answer called the resource; empty on Create.
        response_url: Where the answer goes; signed, and so a secret.
        started_at: When CloudFormation began to wait.
        old_properties: What they were before an Update.
    """

    request_type: RequestType
    stack_id: str
    request_id: str
    logical_id: str
    physical_id: str
    response_url: str = field(repr=False)
    properties: Mapping[str, Any]
    started_at: datetime
    old_properties: Mapping[str, Any] = field(default_factory=dict)
    resource_type: str = RESOURCE_TYPE

    @property
    def key(self) -> str:
        """
        What tells this request from every other.

        "StackId ... combined with the RequestId, ... uniquely identify a request."
        https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/crpg-ref-requests.html
        """
        return f"{self.stack_id}|{self.request_id}"

    @property
    def timeout_at(self) -> datetime:
        """When CloudFormation gives up."""
        return self.started_at + timedelta(seconds=self._service_timeout())

    @property
    def margin(self) -> timedelta:
        """How long before that the answer is to be given."""
        share = self._service_timeout() / RESPONSE_MARGIN_SHARE
        return timedelta(seconds=min(RESPONSE_MARGIN_SECONDS, share))

    def deadline_at(self, target: DrainTarget | None) -> datetime:
        """Return when the request must be answered, whatever is left then."""
        latest = self.timeout_at - self.margin
        if target is None or self.request_type != RequestType.DELETE:
            return latest
        wanted = self.started_at + timedelta(seconds=target.policy.drain_timeout_seconds)
        return min(latest, wanted)

    @property
    def looked_for_until(self) -> datetime:
        """Until when what is missing, or may not be read, is looked for again."""
        if self.request_type == RequestType.DELETE:
            return self.timeout_at
        return self.started_at + LOOKED_FOR

    @property
    def stays_refused(self) -> bool:
        """Whether this is the Delete of what was never guarded."""
        return self.physical_id.startswith(NO_TARGET)

    @property
    def refused_id(self) -> str:
        """The physical id to answer a refusal with: the old one, or one that guards nothing."""
        if self.physical_id:
            return self.physical_id
        return NO_TARGET + sha256(self.key.encode()).hexdigest()[:16]

    def _service_timeout(self) -> int:
        # Create and Update say what is wrong about it; a Delete has the longest.
        found = read_settings(SETTINGS, self.properties, [])
        return int(found.get("ServiceTimeout", SERVICE_TIMEOUT_SECONDS_MAX))


def is_request(body: Mapping[str, Any]) -> bool:
    """Whether a message is a request of CloudFormation, be it right or wrong."""
    return "RequestType" in body and "ResponseURL" in body


def read(body: Mapping[str, Any], told_at: datetime | None, now: datetime) -> Request:
    """
    Read a request.

    Args:
        body: The request, as JSON.
        told_at: When it was published; None where the function was invoked with it.
        now: The present instant, which no claimed time may lie after.

    Raises:
        MalformedEventError: It cannot be answered; names what is missing. No URL is quoted.
        NotForUsError: CloudFormation no longer waits for an answer.
    """
    kind = body.get("RequestType")
    if kind not in list(RequestType):
        raise MalformedEventError(f"RequestType is {quoted(kind)}: it is not known")
    properties = body.get("ResourceProperties")
    old, url = body.get("OldResourceProperties"), response_url(body.get("ResponseURL"))
    request = Request(
        request_type=RequestType(kind),
        stack_id=_name(body, "StackId"),
        request_id=_name(body, "RequestId"),
        logical_id=_name(body, "LogicalResourceId"),
        physical_id=_physical_id(body),
        response_url=url,
        properties=properties if isinstance(properties, dict) else {},
        old_properties=old if isinstance(old, dict) else {},
        resource_type=_name({"ResourceType": RESOURCE_TYPE, **body}, "ResourceType"),
        started_at=min(now, told_at or _signed_at(url) or now),
    )
    if now >= request.timeout_at:
        raise NotForUsError(
            f"CloudFormation no longer waits for the {kind} of {quoted(request.logical_id)}"
        )
    return request


def _name(body: Mapping[str, Any], key: str) -> str:
    value = body.get(key)
    if not isinstance(value, str) or not NAME.fullmatch(value):
        raise MalformedEventError(f"{key} is {quoted(value)}: the request cannot be answered")
    return value


def _physical_id(body: Mapping[str, Any]) -> str:
    if body.get("PhysicalResourceId") is None:
        return ""
    value = body["PhysicalResourceId"]
    # "... up to 1 KB": ours are shorter, and one that CloudFormation made up is too. A character
    # that is not printable may be half of one, which cannot be sent back.
    readable = isinstance(value, str) and value.isprintable()
    if not readable or len(str(value).encode()) > PHYSICAL_ID_BYTES_MAX:
        raise MalformedEventError(f"PhysicalResourceId is {quoted(value)}")
    return str(value)


def _signed_at(url: str) -> datetime | None:
    """
    Return when the URL was signed, which is when CloudFormation asked.

    Lambda keeps an asynchronous event for up to six hours, and says not since when.
    https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
    """
    stamps = parse_qs(urlsplit(url).query).get("X-Amz-Date", [])
    signed_at = instant(stamps[0]) if stamps else None
    # The stamp has whole seconds; its end counts, so that no deadline comes early.
    return signed_at + timedelta(seconds=1) if signed_at else None


@dataclass(frozen=True, slots=True)
class Answer:
    """The response to CloudFormation. Its reason is shown in the stack's events."""

    status: Status
    physical_id: str
    reason: str


def response(request: Request, answer: Answer) -> bytes:
    """Return the answer's body: the reason is cut where the rest leaves too little room."""
    body = {
        "Status": answer.status.value,
        "PhysicalResourceId": answer.physical_id,
        "StackId": request.stack_id,
        "RequestId": request.request_id,
        "LogicalResourceId": request.logical_id,
    }
    # ASCII throughout: a character has as many bytes as its escape sequence.
    room = RESPONSE_BYTES_MAX - len(json.dumps({**body, "Reason": ""}))
    ends = list(accumulate(len(json.dumps(one)) - len('""') for one in answer.reason))
    reason = answer.reason
    if ends and ends[-1] > room:
        reason = reason[: bisect_right(ends, room - len("..."))] + "..."
    return json.dumps({**body, "Reason": reason}).encode()
