"""
The checks of the services in a group's clusters: whether ECS can move their tasks, and how fast.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from drainer.cli.doctor.facts import known
from drainer.cli.doctor.verdicts import warning, wrong

if TYPE_CHECKING:
    from collections.abc import Iterator

    from drainer.cli.doctor.facts import Service
    from drainer.cli.doctor.group_checks import Checked
    from drainer.cli.doctor.verdicts import Finding

# "Amazon EC2 terminates ... two minutes after the notice".
# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-instance-termination-notices.html
SPOT_SECONDS = 120


def least(service: Service) -> int:
    """
    Return how many tasks ECS keeps running: minimumHealthyPercent of desired, rounded up.

    https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DeploymentConfiguration.html
    """
    return -(-service.desired * service.minimum // 100)


def most(service: Service) -> int:
    """Return how many tasks ECS lets run: maximumPercent of desired, rounded down."""
    return service.desired * service.maximum // 100


def _services(one: Checked) -> Iterator[Service]:
    """Yield the services whose tasks have to move, cluster by cluster."""
    for cluster in known(one.group.clusters):
        for service in known(cluster.services):
            if service.desired and not service.is_daemon:
                yield service


def cannot_drain(one: Checked) -> Iterator[Finding]:
    """
    Find services of which ECS may neither stop a task nor start another one.

    "If minimumHealthyPercent and maximumPercent are both 100 %, the service can't remove existing
    tasks, and also can't start replacement tasks." By the rounding it holds of more values.
    https://docs.aws.amazon.com/AmazonECS/latest/developerguide/container-instance-draining.html
    """
    for service in _services(one):
        if least(service) >= service.desired >= most(service):
            yield wrong(
                f"{service.name}: desired {service.desired}, minimum {service.minimum} %, "
                f"maximum {service.maximum} %: it can never leave an instance.",
                "Each drain of its instances waits for the deadline, and then cuts it.",
                f"aws ecs update-service --cluster {service.cluster} --service {service.name} "
                "--deployment-configuration maximumPercent=200,minimumHealthyPercent=100",
            )


def static_ports(one: Checked) -> Iterator[Finding]:
    """Find host ports that are taken on each instance that tasks could move to."""
    for cluster in known(one.group.clusters):
        takers: dict[int, list[Service]] = defaultdict(list)
        for service in known(cluster.services):
            if service.desired and not service.is_daemon:
                for port in known(service.ports):
                    takers[port].append(service)
        others = len(cluster.active) - 1
        for port, services in sorted(takers.items()):
            # ECS stops a task first only as far as its least number allows.
            needed = sum(least(service) for service in services)
            if needed > others:
                names = ", ".join(service.name for service in services)
                yield warning(
                    f"{names}: host port {port} on {needed} instances, {others} others are left.",
                    "A replacement finds no place until the group launches an instance.",
                    "Use hostPort 0 in the task definition, or one instance more: "
                    f"aws autoscaling set-desired-capacity --auto-scaling-group-name {one.name} "
                    "--desired-capacity ...",
                )


def stop_time(one: Checked) -> Iterator[Finding]:
    """Find services on Spot instances that take longer to stop than Spot gives."""
    if not known(one.group.uses_spot):
        return
    for service in _services(one):
        delay = max(known(service.delays), default=0)
        stop = known(service.stop_seconds)
        if delay + stop > SPOT_SECONDS:
            yield warning(
                f"{service.name}: {delay} s deregistration delay and {stop} s stop timeout are "
                f"over Spot's {SPOT_SECONDS} s.",
                "When Spot takes an instance back, its last requests are cut.",
                "aws elbv2 modify-target-group-attributes --target-group-arn ... --attributes "
                f"Key=deregistration_delay.timeout_seconds,Value={max(0, 90 - stop)}",
            )
