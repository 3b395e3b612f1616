"""
The drainer as shipped, and a cluster to try it on, in the embedded account.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from drainer.simulation.embedded.account import IMAGE_PARAMETER
from drainer.simulation.embedded.bus import Bus
from drainer.simulation.embedded.shape import ClusterShape, Physics, build, shape_of
from drainer.simulation.embedded.unknown import without_unknown
from drainer.simulation.embedded.watch import Watch
from drainer.simulation.template import DeployedStack, read_template

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from drainer.simulation.embedded.account import EmbeddedAccount

DRAINER_STACK = "drainer"
CLUSTER_STACK = "shop"
# The rules by which ECS's events reach the function (infra/drainer.yaml); ministack has no ECS.
FAST_PATH = ("FastPath", "StoppedTasks")
# A cold start takes about a second of this machine, and many of one that is busy: this bounds what
# hangs, and says nothing about how fast it has to be.
WARM_WITHIN_SECONDS = 180.0
POLL_SECONDS = 0.05


class NotWarmError(RuntimeError):
    """The function did not take its first message."""


@dataclass(frozen=True)
class Installation:
    """
    What `install` has made.

    Attributes:
        drainer: the stack of `infra/drainer.yaml`.
        cluster: the stack of `infra/examples/cluster.yaml`.
        shape: what the simulation took from it.
        watch: follows the drains.

    """

    drainer: DeployedStack
    cluster: DeployedStack
    shape: ClusterShape
    watch: Watch


def deploy_drainer(
    embedded: EmbeddedAccount,
    infra: Path,
    zip_file: Path,
    parameters: Mapping[str, str] | None = None,
) -> tuple[DeployedStack, Watch]:
    """Deploy the zip and `drainer.yaml`, and return the stack and what follows its function."""
    deployment = embedded.deployment()
    deployment.upload(zip_file)
    template = read_template(infra / "drainer.yaml")
    drainer = deployment.create_stack(DRAINER_STACK, template, parameters or {})
    return drainer, Watch(embedded, drainer)


def install(
    embedded: EmbeddedAccount,
    *,
    infra: Path,
    zip_file: Path,
    cluster_parameters: Mapping[str, str],
    physics: Physics,
    drainer_parameters: Mapping[str, str] | None = None,
) -> Installation:
    """
    Deploy the templates and the zip, and let the simulation take its shape from them.

    Args:
        embedded: where to.
        infra: the folder of the templates.
        zip_file: what `make package` built.
        cluster_parameters: parameters of the example cluster.
        physics: what the templates do not say.
        drainer_parameters: the drainer's own, which keep their defaults where what is seen is to
            be what is shipped.

    """
    drainer, watch = deploy_drainer(embedded, infra, zip_file, drainer_parameters)
    return install_cluster(
        embedded,
        infra=infra,
        drainer=drainer,
        watch=watch,
        parameters=cluster_parameters,
        physics=physics,
    )


def install_cluster(
    embedded: EmbeddedAccount,
    *,
    infra: Path,
    drainer: DeployedStack,
    watch: Watch,
    parameters: Mapping[str, str],
    physics: Physics,
) -> Installation:
    """Deploy the example cluster beside a drainer that is there."""
    cluster = embedded.deployment().create_stack(
        CLUSTER_STACK,
        without_unknown(read_template(infra / "examples" / "cluster.yaml")),
        {**parameters, "DrainerStack": DRAINER_STACK, "ImageId": IMAGE_PARAMETER},
    )
    shape = shape_of(cluster)
    rules = [drainer.physical_ids[one] for one in FAST_PATH if one in drainer.physical_ids]
    bus = embedded.enter(Bus(embedded.client, rules, embedded.time)) if rules else None
    with embedded.catching_up() as account:
        build(account, shape, physics)
        if bus is not None:
            account.on_event.append(bus.listen)
    return Installation(drainer, cluster, shape, watch)


def warm_up(embedded: EmbeddedAccount, installation: Installation) -> None:
    """
    Let the function's first execution environment start before a drain needs it.

    A cold start takes a second of the account's time, and longer where this machine is busy. The
    message is one that the function understands and ignores.
    """
    sqs = embedded.client("sqs")
    queue_url = installation.drainer.outputs["NoticeQueueUrl"]
    test = {"Event": "autoscaling:TEST_NOTIFICATION", "Service": "AWS Auto Scaling"}
    body = {
        "Type": "Notification",
        "TopicArn": installation.drainer.outputs["TopicArn"],
        "Message": json.dumps(test),
    }
    sqs.send_message(QueueUrl=queue_url, MessageBody=json.dumps(body))
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]

    def is_taken() -> bool:
        answer = sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=names)
        return all(answer["Attributes"][name] == "0" for name in names)

    wait_until_warm(is_taken)


def wait_until_warm(is_warm: Callable[[], bool]) -> None:
    """
    Ask again and again whether the function has taken its first message.

    Raises:
        NotWarmError: it does not in time.
    """
    deadline = time.monotonic() + WARM_WITHIN_SECONDS
    while not is_warm():
        if time.monotonic() > deadline:
            raise NotWarmError("the function did not take its first message")
        time.sleep(POLL_SECONDS)
