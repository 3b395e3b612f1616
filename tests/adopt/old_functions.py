"""
The five old drainers at work in a simulated account: models, written from what theirs do.

Each makes the calls of its original, in its order, with its sleeps, and counts what that counts.
"""

from __future__ import annotations

import json
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from drainer.cli.bench import cdk
from drainer.cli.bench.meter import Meter
from drainer.cli.bench.sleeping import CHAIN_MAX, SleepingFunction
from drainer.simulation.protocol.quick_client import QuickClient
from drainer.simulation.services.messaging.functions import EventSourceMapping, Function
from drainer.simulation.services.messaging.queues import Queue
from tests.adopt.planted import PLANTED, RULE_PATTERN

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from random import Random

    from drainer.simulation.aws import Aws
    from drainer.simulation.records import Notification
    from drainer.simulation.services.messaging.delivery import SnsApi

    Client = Callable[[str], Any]
    Sleep = Callable[[float], None]
    Handler = Callable[[Any, Any], None]

# What a notification takes to its receiver: AWS publishes no figure.
NOTIFIED_SECONDS = (0.1, 1.0)
WIDDIX_SECONDS = 60.0
DRAINING_TIMEOUT_SECONDS = 7_200.0


@dataclass(slots=True)
class RulePattern:
    """The pattern of the one rule of EventBridge, as it is now."""

    pattern: Mapping[str, Any]

    def matches(self, event: Mapping[str, Any]) -> bool:
        """Whether an event reaches the rule's target."""
        if event["source"] not in self.pattern["source"]:
            return False
        if event["detail-type"] not in self.pattern["detail-type"]:
            return False
        named = self.pattern.get("detail", {}).get("AutoScalingGroupName")
        group = event["detail"]["AutoScalingGroupName"]
        return named is None or any(
            group == one if isinstance(one, str) else group not in one["anything-but"]
            for one in named
        )


def all_instances(ecs: Any, cluster: str, *, pages: bool) -> list[dict[str, Any]]:
    """Describe the container instances of a cluster: of all pages, or of the first."""
    found, following = [], dict[str, Any]()
    while True:
        page = ecs.list_container_instances(cluster=cluster, **following)
        arns = page["containerInstanceArns"]
        answer = ecs.describe_container_instances(cluster=cluster, containerInstances=arns)
        found += answer["containerInstances"]
        if not pages or not page.get("nextToken"):
            return found
        following = {"nextToken": page["nextToken"]}


def set_draining(ecs: Any, cluster: str, found: Mapping[str, Any]) -> None:
    """Set a container instance DRAINING."""
    arns = [found["containerInstanceArn"]]
    ecs.update_container_instances_state(
        cluster=cluster, containerInstances=arns, status="DRAINING"
    )


def answer(auto_scaling: Any, message: Mapping[str, Any], *names: str) -> None:
    """Answer CONTINUE, naming of the message what the original names."""
    named = {name: message[name] for name in ("LifecycleHookName", "AutoScalingGroupName")}
    if "LifecycleActionToken" in names:
        named["LifecycleActionToken"] = message["LifecycleActionToken"]
    if "InstanceId" in names:
        named["InstanceId"] = message["EC2InstanceId"]
    auto_scaling.complete_lifecycle_action(**named, LifecycleActionResult="CONTINUE")


def sample(client: Client, sleep: Sleep, *, cluster: str, refarch: bool) -> Handler:
    """Return aws-samples' function: ecs-cid-sample's, or the reference architecture's."""
    ecs, sns, auto_scaling = client("ecs"), client("sns"), client("autoscaling")

    def handle(event: Any, _: Any) -> None:
        [record] = event["Records"]
        message = json.loads(record["Sns"]["Message"])
        wanted = message.get("EC2InstanceId")
        if wanted is None:
            return  # the test notification
        instances = all_instances(ecs, cluster, pages=not refarch)
        found = next((one for one in instances if one["ec2InstanceId"] == wanted), None)
        again = False
        if found is not None:
            again = found["runningTasksCount"] > 0
            if found["status"] == "ACTIVE":
                set_draining(ecs, cluster, found)
                again |= refarch
            again |= refarch and found["pendingTasksCount"] > 0
        elif refarch:
            return
        if again:
            sleep(5.0)
            sns.publish(TopicArn=record["Sns"]["TopicArn"], Message=record["Sns"]["Message"])
            return
        answer(auto_scaling, message, "LifecycleActionToken" if refarch else "InstanceId")

    return handle


def cdk_model(client: Client, sleep: Sleep, *, cluster: str) -> Handler:
    """Return what InstanceDrainHook's function does, where its own is not at hand."""
    ecs, auto_scaling = client("ecs"), client("autoscaling")

    def busy(arn: str, tasks: list[str]) -> bool:
        described = ecs.describe_container_instances(cluster=cluster, containerInstances=[arn])
        [found] = described["containerInstances"]
        if found["status"] == "ACTIVE":
            set_draining(ecs, cluster, found)
            return True
        count = 0
        if tasks:
            known = ecs.describe_tasks(cluster=cluster, tasks=tasks)["tasks"]
            count = sum(one["lastStatus"] != "STOPPED" for one in known)
            count += found["pendingTasksCount"]
        return bool(count or found["runningTasksCount"] + found["pendingTasksCount"])

    def handle(event: Any, _: Any) -> None:
        message = json.loads(event["Records"][0]["Sns"]["Message"])
        wanted = message.get("EC2InstanceId")
        if wanted is None:
            return
        named = f"ec2InstanceId=={wanted}"
        arns = ecs.list_container_instances(cluster=cluster, filter=named)["containerInstanceArns"]
        if not arns:
            return
        tasks = ecs.list_tasks(cluster=cluster, containerInstance=arns[0])["taskArns"]
        while busy(arns[0], tasks):
            sleep(10.0)
        with suppress(Exception):  # so does the original
            answer(auto_scaling, message, "LifecycleActionToken")

    return handle


def getsocial(client: Client, sleep: Sleep, *, cluster_of: Callable[[str], str]) -> Handler:
    """Return the function of getsocial-rnd and nabeken, which EventBridge tells."""
    ecs, auto_scaling = client("ecs"), client("autoscaling")

    def handle(event: Any, _: Any) -> None:
        detail = event["detail"]
        cluster = cluster_of(detail["AutoScalingGroupName"])
        instances = all_instances(ecs, cluster, pages=False)
        wanted = detail["EC2InstanceId"]
        found = next((one for one in instances if one["ec2InstanceId"] == wanted), None)
        if found is None:
            raise LookupError("not found in the cluster")
        while found["runningTasksCount"] > 0:
            if found["status"] != "DRAINING":
                set_draining(ecs, cluster, found)
            arns = [found["containerInstanceArn"]]
            described = ecs.describe_container_instances(cluster=cluster, containerInstances=arns)
            [found] = described["containerInstances"]
            sleep(10.0)
        answer(auto_scaling, detail, "LifecycleActionToken", "InstanceId")

    return handle


def widdix(client: Client, send: Callable[[dict[str, Any]], None], *, cluster: str) -> Handler:
    """Return widdix's function, which waits in a queue."""
    ecs, auto_scaling = client("ecs"), client("autoscaling")

    def handle(event: Any, context: Any) -> None:
        body = json.loads(event["Records"][0]["body"])
        if body.get("LifecycleTransition") == "autoscaling:EC2_INSTANCE_TERMINATING":
            named = f"ec2InstanceId == {body['EC2InstanceId']}"
            found = ecs.list_container_instances(cluster=cluster, filter=named)
            arn = found["containerInstanceArns"][0]
            set_draining(ecs, cluster, {"containerInstanceArn": arn})
            send({**body, "Event": "wait", "Arn": arn, "LifecycleTransition": ""})
        elif body.get("Event") == "wait":
            tasks = ecs.list_tasks(cluster=cluster, containerInstance=body["Arn"])["taskArns"]
            began = body.setdefault("Began", context.clock().timestamp())
            if not tasks or context.clock().timestamp() - began > DRAINING_TIMEOUT_SECONDS:
                answer(auto_scaling, body, "LifecycleActionToken")
                return
            auto_scaling.record_lifecycle_action_heartbeat(
                LifecycleHookName=body["LifecycleHookName"],
                AutoScalingGroupName=body["AutoScalingGroupName"],
                LifecycleActionToken=body["LifecycleActionToken"],
            )
            send(body)

    return handle


class EventFunction(SleepingFunction):
    """A sleeping function that EventBridge invokes: no chain of topics leads to it."""

    def invoke_asynchronously(self, event: dict[str, Any], attempt: int = 0) -> None:
        """Run the code in a thread of its own."""
        self._try(event, attempt, 1.0)


class OldDrainers:
    """
    All five in one account, each behind what its hook notifies.

    Args:
        sns: Where their topics are.
        loops: Whether Lambda lets their loops go on.
        cdk_source: The published source of InstanceDrainHook's function; empty for its model.

    Attributes:
        rule: The rule that tells getsocial's function of all groups.
    """

    def __init__(
        self, account: Aws, sns: SnsApi, random: Random, *, loops: bool, cdk_source: str = ""
    ) -> None:
        self._account, self._sns, self._random, self._loops = account, sns, random, loops
        self._meter = Meter(account)
        self._sleeping: list[SleepingFunction] = []
        self.rule = RulePattern(RULE_PATTERN)
        self._behind_topic("alpha", partial(sample, cluster="alpha", refarch=False))
        self._behind_topic("beta", partial(sample, cluster="beta", refarch=True))
        self._behind_topic("gamma", partial(self._cdk, cdk_source))
        self._behind_rule()
        self._behind_queue()

    def end(self) -> None:
        """End what still sleeps."""
        for function in self._sleeping:
            function.end()

    @staticmethod
    def _cdk(source: str, client: Client, sleep: Sleep) -> Handler:
        if not source:
            return cdk_model(client, sleep, cluster="gamma")
        return cdk.load(source, client, sleep, {"CLUSTER": "gamma"}, lambda *_: None)

    def _function(self, kind: type[SleepingFunction], name: str, make: Any) -> SleepingFunction:
        function = kind(
            self._account,
            name,
            make,
            meter=self._meter,
            random=self._random,
            timeout_seconds=float(PLANTED[name].timeout_seconds),
            loops=self._loops,
        )
        self._sleeping.append(function)
        return function

    def _late(self, _: object) -> tuple[float, ...]:
        return (self._random.uniform(*NOTIFIED_SECONDS),)

    def _behind_topic(self, name: str, make: Any) -> None:
        topic = self._sns.create_topic_named(name)
        assert topic.arn == PLANTED[name].target_arn
        subscription = topic.subscribe(self._function(SleepingFunction, name, make))
        subscription.channel.faults.append(self._late)

    def _behind_rule(self) -> None:
        make = partial(getsocial, cluster_of=lambda group: group.removesuffix("-asg"))
        function = self._function(EventFunction, "delta", make)

        def told(event: dict[str, Any]) -> None:
            if self.rule.matches(event):
                [seconds] = self._late(event)
                self._account.after(seconds, lambda: function.invoke_asynchronously(event))

        self._account.on_event.append(told)

    def _behind_queue(self) -> None:
        queue = Queue(self._account, "epsilon", visibility_timeout_seconds=60.0)
        hops: Counter[str] = Counter()

        def again(body: dict[str, Any]) -> None:
            queue.send(json.dumps(body))

        def send(body: dict[str, Any]) -> None:
            hops[body["LifecycleActionToken"]] += 1
            if self._loops or hops[body["LifecycleActionToken"]] < CHAIN_MAX:
                self._account.after(WIDDIX_SECONDS, lambda: again(body))

        def told(notification: Notification) -> None:
            if notification.target_arn == PLANTED["epsilon"].target_arn:
                queue.send(json.dumps(notification.message))

        def client(service: str) -> Any:
            return QuickClient(service, self._account.call)

        handler = widdix(client, send, cluster="epsilon")
        function = Function(self._account, "epsilon", handler)
        EventSourceMapping(self._account, queue, function, batch_size=1)
        self._account.on_notification.append(told)
