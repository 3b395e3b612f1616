"""
A model of the sample style, written from its description: sleep, publish again, count what runs.

The hook's message comes by a topic. The function looks for the instance among all container
instances, sets it DRAINING, and publishes the message again after a sleep, until no task of it has
the desired status RUNNING. It sends no heartbeat, and its hook has 900 s.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from drainer.cli.bench.drains import CLUSTER
from drainer.cli.bench.sleeping import SleepingFunction, drain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from drainer.cli.bench.drains import Scene
    from drainer.cli.bench.outcome import Bill

HEARTBEAT_SECONDS = 900
TIMEOUT_SECONDS = 60.0
SLEEP_SECONDS = 5.0


def handler(client: Callable[[str], Any], sleep: Callable[[float], None]) -> Any:
    """Return the function."""
    ecs, sns, auto_scaling = client("ecs"), client("sns"), client("autoscaling")

    def instances() -> Iterator[dict[str, Any]]:
        following: dict[str, Any] = {}
        while True:
            page = ecs.list_container_instances(cluster=CLUSTER, **following)
            arns = page["containerInstanceArns"]
            yield from ecs.describe_container_instances(cluster=CLUSTER, containerInstances=arns)[
                "containerInstances"
            ]
            if not page.get("nextToken"):
                return
            following = {"nextToken": page["nextToken"]}

    def handle(event: Any, _: Any) -> None:
        [record] = event["Records"]
        message = json.loads(record["Sns"]["Message"])
        wanted = message.get("EC2InstanceId")
        if wanted is None:
            return  # the test notification
        found = next((one for one in instances() if one["ec2InstanceId"] == wanted), None)
        running = found["runningTasksCount"] if found else 0
        if found and found["status"] != "DRAINING":
            arns = [found["containerInstanceArn"]]
            ecs.update_container_instances_state(
                cluster=CLUSTER, containerInstances=arns, status="DRAINING"
            )
        if running > 0:
            sleep(SLEEP_SECONDS)
            sns.publish(TopicArn=record["Sns"]["TopicArn"], Message=record["Sns"]["Message"])
            return
        auto_scaling.complete_lifecycle_action(
            LifecycleHookName=message["LifecycleHookName"],
            AutoScalingGroupName=message["AutoScalingGroupName"],
            InstanceId=wanted,
            LifecycleActionResult="CONTINUE",
        )

    return handle


def run(scene: Scene, *, loops: bool) -> tuple[Bill, int]:
    """Drain a scene; Lambda ends chains of about 16 invocations unless loops are allowed."""
    function = SleepingFunction(
        scene.account,
        "sample",
        handler,
        meter=scene.meter,
        random=scene.random,
        timeout_seconds=TIMEOUT_SECONDS,
        loops=loops,
    )
    return drain(scene, function, heartbeat_seconds=HEARTBEAT_SECONDS, default_result="ABANDON")
