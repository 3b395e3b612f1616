"""
The examples with a Spot Fleet in the embedded account, and the requests to what runs on them.

ministack's CloudFormation really invokes the drainer for the Custom::ECSDrain of the example, and
orders what is replaced and deleted. It does not know Spot Fleets: a custom resource stands in for
the example's (`fleet_stand_in.py`), and the simulation's EC2 has the fleets.
"""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drainer.simulation.embedded import fleet_stand_in
from drainer.simulation.embedded.account import IMAGE_PARAMETER
from drainer.simulation.embedded.installation import deploy_drainer
from drainer.simulation.embedded.shape import build_group, build_service, groups_of, services_of
from drainer.simulation.embedded.unknown import without_unknown
from drainer.simulation.scenario.client_requests import Mix, Requests
from drainer.simulation.services.ec2.spot_fleet import CLUSTER_TAG
from drainer.simulation.template import read_template

if TYPE_CHECKING:
    from collections.abc import Mapping

    from drainer.simulation.embedded.account import EmbeddedAccount
    from drainer.simulation.embedded.deployment import Deployment
    from drainer.simulation.embedded.shape import Physics
    from drainer.simulation.embedded.watch import Watch
    from drainer.simulation.services.ecs.model import Service
    from drainer.simulation.template import DeployedStack

FLEET_STACK = "fleet"
STAND_IN = "spot-fleet-stand-in"
FLEET_TYPE = "AWS::EC2::SpotFleet"
STAND_IN_TYPE = "Custom::SpotFleetStandIn"
SERVICE_TYPE = "AWS::ECS::Service"
# Where the image is that the update brings.
NEXT_IMAGE_PARAMETER = "/embedded/next-image-id"
NEXT_IMAGE_VALUE = "/embedded/next-image"


@dataclass
class FleetStage:
    """
    What is deployed, and the requests to it.

    Attributes:
        drainer: the stack of `infra/drainer.yaml`.
        example: the stack of the example as it was created.
        parameters: what it was created with.
        cluster: the name of its cluster.
        service: its service, in the simulation.
        stream: the requests to the service.
        watch: follows the function's log.
        events: the example's stack events so far, the oldest first.
    """

    embedded: EmbeddedAccount
    deployment: Deployment
    drainer: DeployedStack
    example: DeployedStack
    parameters: Mapping[str, str]
    cluster: str
    service: Service
    stream: Requests
    watch: Watch
    events: list[dict[str, Any]] = field(default_factory=list)

    @property
    def stack_id(self) -> str:
        """The example's stack, also once it is deleted."""
        return self.example.pseudo["AWS::StackId"]

    @property
    def status(self) -> str:
        """The status of the example's stack."""
        return self.deployment.status(self.stack_id)

    @property
    def next_parameters(self) -> dict[str, str]:
        """What the example is updated with: another image, which takes another fleet."""
        return {**self.parameters, "ImageId": NEXT_IMAGE_PARAMETER}

    def change_image(self) -> None:
        """Begin the update of the example."""
        self.deployment.update_stack(FLEET_STACK, self.example.template, self.next_parameters)

    def delete(self) -> None:
        """Begin the deletion of the example."""
        self.deployment.delete_stack(FLEET_STACK)

    def physical_id(self, logical_id: str) -> str:
        """Return what a resource of the example is known by now."""
        return self.deployment.deployed(FLEET_STACK, self.example.template).physical_ids[logical_id]

    def look(self) -> None:
        """Take in what has happened; to be called again and again."""
        self.watch.read()
        self.events = self.deployment.events(self.stack_id)
        # The service that CloudFormation deletes is ministack's; its tasks are the simulation's.
        deleted = any(
            event["ResourceType"] == SERVICE_TYPE and event["ResourceStatus"] == "DELETE_COMPLETE"
            for event in self.events
        )
        if deleted and self.service.desired:
            self.stream.stop()
            self.embedded.client("ecs").update_service(
                cluster=self.cluster, service=self.service.name, desiredCount=0
            )


def fleet_stage(
    embedded: EmbeddedAccount,
    *,
    infra: Path,
    zip_file: Path,
    parameters: Mapping[str, str],
    physics: Physics,
    mix: Mix,
    example_name: str = "spot-fleet.yaml",
) -> FleetStage:
    """Deploy drainer.yaml and an example with a Spot Fleet, and send requests to the service."""
    drainer, watch = deploy_drainer(embedded, infra, zip_file)
    embedded.client("ssm").put_parameter(
        Name=NEXT_IMAGE_PARAMETER, Value=NEXT_IMAGE_VALUE, Type="String"
    )
    with embedded.lock:
        fleets = embedded.account.fleets
        # The first fleet's instances have been there for long when the requests begin.
        boot_seconds, fleets.boot_seconds = fleets.boot_seconds, 0.0
    template = with_stand_in(
        without_unknown(read_template(infra / "examples" / example_name)),
        deploy_stand_in(embedded),
    )
    # ministack's CloudFormation takes functions, no topics.
    token = {"DrainerServiceToken": drainer.outputs["FunctionArn"]}
    parameters = {
        **{name: value for name, value in token.items() if name in template["Parameters"]},
        **parameters,
        "ImageId": IMAGE_PARAMETER,
    }
    deployment = embedded.deployment()
    example = deployment.create_stack(FLEET_STACK, template, parameters)
    ((cluster_id, _),) = example.resources("AWS::ECS::Cluster")
    cluster = example.physical_ids[cluster_id]
    (shape,) = services_of(example)
    with embedded.catching_up() as account:
        account.fleets.boot_seconds = boot_seconds
        for group in groups_of(example):
            build_group(account, cluster, group)
        service = build_service(account, cluster, shape, physics)
        (balanced,) = service.balanced
        stream = Requests(account, balanced.target_group, mix)
        stream.start()
    return FleetStage(
        embedded, deployment, drainer, example, parameters, cluster, service, stream, watch
    )


def deploy_stand_in(embedded: EmbeddedAccount) -> str:
    """Create the function that stands in for Spot Fleets and return its ARN."""
    source = Path(fleet_stand_in.__file__)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.write(source, source.name)
    answer = embedded.client("lambda").create_function(
        FunctionName=STAND_IN,
        Runtime="python3.13",
        Role=f"arn:aws:iam::{embedded.account.account_id}:role/{STAND_IN}",
        Handler=f"{source.stem}.{fleet_stand_in.handler.__name__}",
        Code={"ZipFile": archive.getvalue()},
        Timeout=30,
    )
    arn: str = answer["FunctionArn"]
    return arn


def with_stand_in(template: Mapping[str, Any], function_arn: str) -> dict[str, Any]:
    """
    Return the template with the stand-in for its Spot Fleet, and all else as it is.

    What says in user data which cluster an instance joins is a tag of the fleet here.
    """
    copied: dict[str, Any] = json.loads(json.dumps(template))
    resources = copied["Resources"]
    (cluster,) = (name for name, one in resources.items() if one["Type"] == "AWS::ECS::Cluster")
    (fleet,) = (one for one in resources.values() if one["Type"] == FLEET_TYPE)
    fleet["Type"] = STAND_IN_TYPE
    fleet["Properties"]["ServiceToken"] = function_arn
    (specification,) = fleet["Properties"]["SpotFleetRequestConfigData"]["TagSpecifications"]
    specification["Tags"].append({"Key": CLUSTER_TAG, "Value": {"Ref": cluster}})
    return copied
