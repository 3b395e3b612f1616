"""
The controller for requests of CloudFormation on its gateways.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from drainer.aws.custom_resource import TargetGateway
from drainer.aws.former_requests import RequestTable
from drainer.aws.response_url_client import ResponseUrlClient
from drainer.custom_resource.answers import Answers
from drainer.custom_resource.belief import Belief
from drainer.custom_resource.controller import RequestController
from drainer.custom_resource.reactivation import TargetReactivation
from drainer.custom_resource.recorder import RequestRecorder
from drainer.custom_resource.target_drain import TargetDrain

if TYPE_CHECKING:
    from collections.abc import Callable

    from drainer.aws.ecs import EcsGateway
    from drainer.aws.topic import TopicGateway
    from drainer.config import Config
    from drainer.custom_resource.controller import Respond


def controller(
    client: Callable[[str], Any],
    *,
    dynamodb: Any,
    ecs: EcsGateway,
    topic: TopicGateway,
    config: Config,
    respond: Respond | None,
) -> RequestController:
    """Return the controller."""
    targets = TargetGateway(cache(client))
    belief = Belief(targets, config)
    back = TargetReactivation(ecs, targets)
    drains = TargetDrain(ecs, targets, config.pass_interval_seconds)
    table, days = config.records_table, config.record_retention_days
    return RequestController(
        answers=Answers(drains, back, belief, config),
        belief=belief,
        recorder=RequestRecorder(
            RequestTable(lambda _: dynamodb, table, days, config.requests_table), config
        ),
        topic=topic,
        respond=respond or ResponseUrlClient(),
        config=config,
    )
