"""
Task scale-in protection: what `unprotect` reads and is about to do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from drainer.aws.calls import chunks
from drainer.cli.account.screen import counted, time_of
from drainer.cli.operate.plan import EXIT_NOT_FOUND, EXIT_UNREAD, Call, Item, Plan, Refusal, Step
from drainer.errors import DrainerError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from drainer.cli.operate.reader import Reader

# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_UpdateTaskProtection.html
UPDATE_PROTECTION_MAX = 10


@dataclass(frozen=True, slots=True)
class Protection:
    """
    The protection of one task.

    Attributes:
        cluster: Where the task is.
        arn: The task's.
        enabled: Whether it is protected.
        until: Until when; None if it is not.
        refusal: Why ECS did not say; a task of no service cannot be protected.
    """

    cluster: str
    arn: str
    enabled: bool = False
    until: datetime | None = None
    refusal: str = ""

    @property
    def id(self) -> str:
        """The task's id."""
        return self.arn.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class Found:
    """The protections that were read, tasks in no cluster, and clusters that were not read."""

    protections: tuple[Protection, ...] = ()
    missing: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()


def read(reader: Reader, tasks: Sequence[str], service: str) -> Found:
    """
    Return the protection of tasks, or of all tasks of a service.

    Raises:
        DrainerError: The clusters, or the service's tasks, could not be read.
    """
    protections: list[Protection] = []
    missing, unread = list(tasks), list[str]()
    for cluster in reader.clusters():
        try:
            ids = reader.tasks_of_service(cluster, service) if service else [
                one.id for one in reader.tasks(cluster, _of_cluster(missing, cluster))
            ]  # fmt: skip
            protections += [_of(cluster, one) for one in reader.protections(cluster, ids)]
        except DrainerError as error:
            unread.append(f"cluster {cluster.rpartition('/')[2]}: {error}")
            continue
        missing = [one for one in missing if one.rpartition("/")[2] not in ids]
        if tasks and not missing:
            break
    return Found(tuple(protections), tuple(missing), tuple(unread))


def _of_cluster(tasks: Sequence[str], cluster: str) -> list[str]:
    """Return the ids of tasks that may be in a cluster: an ARN names its own."""
    name = cluster.rpartition("/")[2]
    return [
        one.rpartition("/")[2]
        for one in tasks
        if not one.startswith("arn:") or one.split("/")[1:-1] in ([name], [])
    ]


def _of(cluster: str, row: Mapping[str, Any]) -> Protection:
    if "taskArn" not in row:
        return Protection(cluster, row.get("arn", ""), refusal=row.get("reason", "no reason given"))
    return Protection(cluster, row["taskArn"], row["protectionEnabled"], row.get("expirationDate"))


def plan(found: Found, service: str, now: datetime) -> Plan | Refusal:
    """Plan to end the protection of tasks."""
    if found.missing and found.unread:
        return Refusal(
            f"task {found.missing[0]} was not found, and not all was read: {found.unread[0]}",
            "no changes made",
            EXIT_UNREAD,
        )
    if found.missing:
        return Refusal(f"task {found.missing[0]} is in no cluster that was read",
                       "check the id, --cluster and --region", EXIT_NOT_FOUND)  # fmt: skip
    if found.unread and not found.protections:
        return Refusal(f"not all was read: {found.unread[0]}", "no changes made", EXIT_UNREAD)
    if service and not found.protections:
        return Refusal(f"service {service!r} has no running task", "check --cluster and --region",
                       EXIT_NOT_FOUND)  # fmt: skip
    refused = [one for one in found.protections if one.refusal]
    if refused and not service:
        return Refusal(f"task {refused[0].id} cannot be protected: {refused[0].refusal}",
                       "only tasks of services that are no daemons are protected")  # fmt: skip
    protected = [one for one in found.protections if one.enabled]
    if not protected:
        return Plan(("nothing to do: no task is protected.",))
    about = [
        f"{one.id} ({one.cluster.rpartition('/')[2]}): protected"
        + (f" until {time_of(one.until, now)}" if one.until else "")
        for one in protected
    ]
    about.append("Afterwards a deployment, a scale-in or a drain may stop them at once.")
    steps = [
        step
        for cluster in dict.fromkeys(one.cluster for one in protected)
        for step in _steps(cluster, [one for one in protected if one.cluster == cluster])
    ]
    question = f"End the protection of {counted(len(protected), 'task')}?"
    return Plan(tuple(about), tuple(steps), question)


def _steps(cluster: str, protected: Sequence[Protection]) -> list[Step]:
    return [
        Step(
            Call(
                "ecs",
                "UpdateTaskProtection",
                {
                    "cluster": cluster,
                    "tasks": [one.id for one in some],
                    "protectionEnabled": False,
                },
            ),
            tuple(
                Item(
                    one.id,
                    f"{one.id} is protected no longer.",
                    one.arn,
                    {"task": one.id, "cluster": cluster.rpartition("/")[2], "protected": False},
                )
                for one in some
            ),
        )
        for some in chunks(protected, UPDATE_PROTECTION_MAX)
    ]
