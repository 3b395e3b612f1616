"""
How many attributes of its own a container instance may carry.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from drainer.simulation.records import ApiError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from drainer.simulation.services.ecs.model import ContainerInstance

# "You can apply up to 10 custom attributes for each resource."
# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_PutAttributes.html
CUSTOM_ATTRIBUTES_MAX = 10
# What ECS and its agent set themselves does not count.
# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-placement-constraints.html
OWN_PREFIXES = ("ecs.", "com.amazonaws.")


def overfull(changes: Iterable[tuple[ContainerInstance, Mapping[str, Any]]]) -> bool:
    """Whether changes would give a container instance more than it may have."""
    names: dict[str, set[str]] = {}
    for instance, attribute in changes:
        names.setdefault(instance.arn, set(instance.attributes)).add(attribute["name"])
    return any(
        sum(not name.startswith(OWN_PREFIXES) for name in known) > CUSTOM_ATTRIBUTES_MAX
        for known in names.values()
    )


def refusal() -> ApiError:
    """
    Return what a call that would exceed the limit is refused with, as a whole.

    Whether AWS would write those of the other targets is not documented, and a caller that counts
    on it would lose them.
    """
    return ApiError(
        "AttributeLimitExceededException",
        f"A container instance can have at most {CUSTOM_ATTRIBUTES_MAX} attributes",
    )


def taken(count: int) -> dict[str, str]:
    """Return so many attributes as a user's agents set them (`ECS_INSTANCE_ATTRIBUTES`)."""
    return {f"team.attribute-{number}": "taken" for number in range(count)}
