"""
What becomes of a container instance when its EC2 instance stops, boots, or boots from a new volume.

An agent that finds its state on the volume reconnects as what it was, DRAINING included; one that
finds none registers again, and the old registration stays until somebody deregisters it.
https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs-agent-config.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from drainer.simulation.services.auto_scaling.model import Instance
    from drainer.simulation.services.ecs.clusters import Ecs


def boot(ecs: Ecs, instance: Instance) -> None:
    """Let the agent of an EC2 instance come up: as what it was, or as a new container instance."""
    group = instance.group
    if group.cluster is None:
        return
    ecs.stopped_hosts.discard(instance.ec2_instance_id)
    known = ecs.container_instance(instance.ec2_instance_id)
    if known is not None and not instance.forgets_agent:
        # Its event is "ECS Container Instance State Change", with the status that it had.
        ecs.connect_agent(instance.ec2_instance_id, connected=True)
        return
    instance.forgets_agent = False
    for left_over in ecs.registrations(instance.ec2_instance_id):
        left_over.agent_gone = True
    ecs.register(
        group.cluster,
        instance.ec2_instance_id,
        availability_zone=instance.availability_zone,
        tasks_max=group.tasks_max,
        attributes=group.attributes,
    )


def stop(ecs: Ecs, instance: Instance, why: str) -> None:
    """Let an EC2 instance stop: its agent disconnects, and what runs on it is killed."""
    ecs.stopped_hosts.add(instance.ec2_instance_id)
    ecs.halt(instance.ec2_instance_id, why)
