"""
A request of CloudFormation under way, with what has been seen of each instance, as JSON and back.

A text that this file did not write is refused. It makes no call.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import timedelta
from math import ceil
from typing import TYPE_CHECKING, Any

from drainer.codec import count, instant
from drainer.config import CLUSTER
from drainer.custom_resource.properties import INSTANCES_MAX, Status
from drainer.custom_resource.request import Answer, Request, RequestType
from drainer.custom_resource.response_url import response_url
from drainer.errors import MalformedEventError
from drainer.fields import PATTERNS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

# "The maximum item size in DynamoDB is 400 KB": a fleet of a thousand takes about a third of it,
# MEMBERS_MAX instances about two thirds, and the request's own properties the rest.
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html
STATE_BYTES_MAX = 380_000

# More than are looked at: a fleet whose instances come and go is remembered for a while.
MEMBERS_MAX = 2 * INSTANCES_MAX
ID_CHARACTERS_MAX = 64

# As many unfinished tasks of an instance as are remembered: a fleet has a thousand of them. With
# more, its set of tasks is not closed yet (drainer/drain/task_set.py).
UNFINISHED_MAX = 2


@dataclass(frozen=True, slots=True)
class Member:
    """
    What earlier passes have seen of one EC2 instance.

    Attributes:
        draining_since: Since when its container instance has been DRAINING.
        unfinished: Ids of its tasks that were seen and not seen STOPPED, UNFINISHED_MAX at most.
        listed_at: When its tasks were first listed.
        closed: Whether `unfinished` has all of them.
        searched_at: When a search of all clusters first ended without a connected registration.
        absent_since: When one first ended without any.
        settled: Whether its registrations are all known.
        cluster: Where it was found, if not in the cluster that the resource names.
        searched_to: The last cluster that a search under way has searched; empty for none.
        search_failed: Whether a cluster could not be searched in the search under way.
        stopped: Whether its standalone tasks have been told to stop.
        done: Whether the rules have said that it may go.
    """

    draining_since: datetime | None = None
    unfinished: tuple[str, ...] = ()
    listed_at: datetime | None = None
    closed: bool = False
    searched_at: datetime | None = None
    absent_since: datetime | None = None
    settled: bool = False
    cluster: str = ""
    searched_to: str = ""
    search_failed: bool = False
    stopped: bool = False
    done: bool = False


# What the look and `may_leave.py` call the same.
OF_A_DRAIN = (
    "draining_since",
    "unfinished",
    "listed_at",
    "closed",
    "searched_at",
    "absent_since",
    "searched_to",
    "search_failed",
    "settled",
)
FLAGS = ("closed", "settled", "stopped", "done", "search_failed")
INSTANTS = ("draining_since", "listed_at", "searched_at", "absent_since")
TIMES = ("looked_at", "grown_at", "doubted_at")


@dataclass(frozen=True, slots=True)
class RequestProgress:
    """
    A request, and what earlier passes have seen.

    Attributes:
        request: What CloudFormation asks.
        history: What was seen of each instance, by EC2 instance id.
        looks: How many passes have seen which instances the target has.
        looked_at: When the last of them looked; None before, or if not known.
        grown_at: When one of them saw an instance for the first time; None before.
        believed: Whether a row of the stack has confirmed it, and a target is to be drained.
        doubted_at: When a look at the stack first did not confirm it; None since one has.
        answer: What is to be answered, once that is decided: it stays, whatever is seen later.
    """

    request: Request
    history: Mapping[str, Member] = field(default_factory=dict)
    looks: int = 0
    looked_at: datetime | None = None
    grown_at: datetime | None = None
    believed: bool = False
    doubted_at: datetime | None = None
    answer: Answer | None = None


def encode(progress: RequestProgress) -> str:
    """
    Return the progress of a request as JSON.

    Where there is no room for what was seen of its instances it is without that: the instances are
    looked at again from the beginning.

    Raises:
        MalformedEventError: The request alone is longer than STATE_BYTES_MAX.
    """
    for one in (progress, replace(progress, history={})):
        text = json.dumps(_plain(one), separators=(",", ":"))
        if len(text) <= STATE_BYTES_MAX:
            return text
    raise MalformedEventError(f"The progress has {len(text)} bytes, the limit is {STATE_BYTES_MAX}")


def _plain(progress: RequestProgress) -> dict[str, Any]:
    request, history = progress.request, progress.history
    # Each once: the ARN of a cluster is ten times as long as all else that is stored.
    named = {
        name: None for member in history.values() for name in (member.cluster, member.searched_to)
    }
    clusters = {name: number for number, name in enumerate(named)}
    return {
        "request": {**asdict(request), "started_at": request.started_at.timestamp()},
        "looks": progress.looks,
        **{name: at.timestamp() if (at := getattr(progress, name)) else None for name in TIMES},
        "believed": progress.believed,
        "answer": asdict(progress.answer) if progress.answer else None,
        "clusters": [*clusters],
        "notes": {
            one: _row(member, request.started_at, clusters) for one, member in history.items()
        },
    }


def _row(member: Member, started_at: datetime, clusters: Mapping[str, int]) -> list[Any]:
    # Whole seconds after the beginning; later rather than earlier.
    instants = [getattr(member, name) for name in INSTANTS]
    return [
        sum(getattr(member, flag) << bit for bit, flag in enumerate(FLAGS)),
        *[ceil((one - started_at).total_seconds()) if one else None for one in instants],
        ",".join(member.unfinished),
        clusters[member.cluster],
        clusters[member.searched_to],
    ]


def decode(text: str) -> RequestProgress:
    """
    Return the progress in JSON that `encode` has written.

    Raises:
        MalformedEventError: It has not; says what is wrong.
    """
    try:
        body = json.loads(text)
        request = _request(body)
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        # Python's error may quote the wrong field, and one of the fields is a secret.
        raise MalformedEventError(f"progress: {type(error).__name__}") from error
    try:
        return _progress(request, body)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, OverflowError):
        # Written by another version of the program: the instances are looked at again.
        return RequestProgress(request)


def _request(body: dict[str, Any]) -> Request:
    row = dict(body["request"])
    typed: dict[str, Any] = {
        "request_type": RequestType(row.pop("request_type")),
        "started_at": instant(row.pop("started_at")),
    }
    if {*row, *typed} != {one.name for one in fields(Request)}:
        raise TypeError("fields too few or too many")
    for name, value in row.items():
        if not isinstance(value, dict if name.endswith("properties") else str):
            raise TypeError("a field of the wrong kind")
    response_url(row["response_url"])
    return Request(**row, **typed)


def _progress(request: Request, body: dict[str, Any]) -> RequestProgress:
    if not isinstance(body["believed"], bool):
        raise TypeError("not a flag")
    if len(body["notes"]) > MEMBERS_MAX:
        raise ValueError("too many instances")
    clusters = body["clusters"]
    if not all(name == "" or CLUSTER.fullmatch(name) for name in clusters):
        raise ValueError("not a cluster's name")
    return RequestProgress(
        request=request,
        looks=count(body["looks"]),
        **{name: instant(body[name]) for name in TIMES if body.get(name) is not None},
        believed=body["believed"],
        answer=_answer(body["answer"]) if body["answer"] is not None else None,
        history={
            ec2_instance_id: _member(ec2_instance_id, row, request.started_at, clusters)
            for ec2_instance_id, row in body["notes"].items()
        },
    )


def _answer(row: dict[str, Any]) -> Answer:
    physical_id, reason = row["physical_id"], row["reason"]
    if not isinstance(physical_id, str) or not isinstance(reason, str):
        raise TypeError("an answer of the wrong kind")
    return Answer(Status(row["status"]), physical_id, reason)


def _member(
    ec2_instance_id: str, row: list[Any], started_at: datetime, clusters: list[str]
) -> Member:
    flags, *instants, unfinished, in_cluster, to_cluster = row
    # No number of ours is negative, which Python would count from the end.
    cluster, searched_to = clusters[count(in_cluster)], clusters[count(to_cluster)]
    if not PATTERNS["EC2InstanceId"].fullmatch(ec2_instance_id):
        raise ValueError("progress without an instance id")
    ids = tuple(one for one in unfinished.split(",") if one)
    if len(ids) > UNFINISHED_MAX or any(len(one) > ID_CHARACTERS_MAX for one in ids):
        raise ValueError("too many tasks")
    if len(instants) != len(INSTANTS):
        raise ValueError("progress in another form")
    set_flags: dict[str, Any] = {
        flag: bool(count(flags) >> bit & 1) for bit, flag in enumerate(FLAGS)
    }
    known: dict[str, Any] = {
        name: None if seconds is None else started_at + timedelta(seconds=count(seconds))
        for name, seconds in zip(INSTANTS, instants, strict=True)
    }
    return Member(unfinished=ids, cluster=cluster, searched_to=searched_to, **known, **set_flags)
