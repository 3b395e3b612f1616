"""
What ministack's CloudFormation does not know, replaced by a resource that does nothing.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

# Types that our templates use and ministack rejects; Spot Fleets have a stand-in of their own.
UNKNOWN_TYPES = frozenset(
    {
        "AWS::ApplicationAutoScaling::ScalableTarget",
        "AWS::ApplicationAutoScaling::ScalingPolicy",
        "AWS::CodePipeline::Pipeline",
        "AWS::ECS::CapacityProvider",
        "AWS::ECS::ClusterCapacityProviderAssociations",
        "AWS::Logs::QueryDefinition",
    }
)
# It takes any properties and has no effect; what refers to it, or waits for it, stays as it is.
STAND_IN_TYPE = "AWS::CloudFormation::WaitConditionHandle"


def without_unknown(template: Mapping[str, Any]) -> dict[str, Any]:
    """Return the template with a stand-in for each resource of a type that ministack rejects."""
    copied: dict[str, Any] = json.loads(json.dumps(template))
    for one in copied["Resources"].values():
        if one["Type"] in UNKNOWN_TYPES:
            one["Type"] = STAND_IN_TYPE
    return copied
