"""What ECS's operations have in common: references, pages, and how they refuse."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from drainer.simulation.paging import page
from drainer.simulation.records import ApiError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from drainer.simulation.account import Account
    from drainer.simulation.services.ecs.clusters import Ecs
    from drainer.simulation.services.ecs.model import Cluster

# "... up to 100 ..." in the Describe operations and for maxResults in the List operations.
# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeTasks.html
PAGE_MAX = 100

Thing = TypeVar("Thing")


class EcsOperations:
    """What each part of ECS's operations works on."""

    def __init__(self, account: Account, ecs: Ecs) -> None:
        self._ecs = ecs
        self._arn = account.arn


def known_cluster(ecs: Ecs, reference: str | None) -> Cluster | None:
    """
    Look a cluster up by name or ARN, whatever its status.

    "If you do not specify a cluster, the default cluster is assumed."
    https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ListTasks.html
    """
    name = (reference or "default").rpartition("/")[2]
    cluster = ecs.clusters.get(name)
    # An ARN names a Region and an account as well.
    foreign = "arn:" in (reference or "") and cluster is not None and reference != cluster.arn
    return None if foreign else cluster


def find_cluster(ecs: Ecs, reference: str | None) -> Cluster:
    """
    Find a cluster that can be worked on.

    "Clusters with an INACTIVE status may remain discoverable in your account for a period of time."
    https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Cluster.html
    """
    cluster = known_cluster(ecs, reference)
    if cluster is None or cluster.status == "INACTIVE":
        raise ApiError("ClusterNotFoundException", "Cluster not found.")
    return cluster


def find(things: Mapping[str, Thing], reference: str, kind: str) -> Thing | None:
    """Find a thing of a cluster by its ARN, or by the last part of it."""
    if reference.startswith("arn:"):
        return things.get(reference)
    # Every ARN of a mapping differs in its last part only.
    some = next(iter(things), "")
    prefix = some.rpartition("/")[0]
    if f":{kind}/" not in prefix:
        return None
    return things.get(f"{prefix}/{reference}")


def invalid_parameter(message: str) -> ApiError:
    """Make the error of a request that makes no sense to ECS."""
    return ApiError("InvalidParameterException", message)


def missing(arn: str) -> dict[str, Any]:
    """
    Make the failure row of a thing that is not there.

    https://docs.aws.amazon.com/AmazonECS/latest/developerguide/api_failures_messages.html
    """
    return {"arn": arn, "reason": "MISSING"}


def check_count(what: str, items: Sequence[Any], most: int) -> None:
    """Refuse an empty list and one that is too long."""
    if not items:
        raise invalid_parameter(f"{what} cannot be empty.")
    if len(items) > most:
        raise invalid_parameter(f"{what} cannot have more than {most} elements.")


def list_page(
    arns: Sequence[str], parameters: Mapping[str, Any]
) -> tuple[list[str], dict[str, str]]:
    """Return one page of ARNs, and the member that carries the next page's token."""
    size = parameters.get("maxResults") or PAGE_MAX
    if not 1 <= size <= PAGE_MAX:
        raise invalid_parameter(f"maxResults must be from 1 to {PAGE_MAX}")
    found, token = page(
        arns,
        token=parameters.get("nextToken"),
        size=size,
        invalid=invalid_parameter("Invalid token."),
    )
    return found, {"nextToken": token} if token else {}
