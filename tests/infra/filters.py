"""
Filter policies of subscriptions, judged by moto.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from moto.sns.utils import FilterPolicyMatcher

if TYPE_CHECKING:
    from collections.abc import Mapping


def wants(subscription: Mapping[str, Any], message: str) -> bool:
    """
    Whether a subscription takes a message.

    moto 5.2 reads the alternatives of an "$or" as message attributes, so it is given one at a time.
    """
    policy = dict(subscription["FilterPolicy"])
    alternatives = policy.pop("$or", [{}])
    return any(
        FilterPolicyMatcher({**policy, **one}, subscription["FilterPolicyScope"]).matches(
            None, message
        )
        for one in alternatives
    )
