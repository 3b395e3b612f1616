"""
The templates, rendered as CloudFormation would with given parameters.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import pytest

from drainer.simulation.template import DeployedStack, read_template

INFRA = Path(__file__).resolve().parents[2] / "infra"
REGION = "eu-west-1"
ACCOUNT_ID = "111122223333"
TOPIC_ARN = f"arn:aws:sns:{REGION}:{ACCOUNT_ID}:drainer-Topic"
PSEUDO = {
    "AWS::Region": REGION,
    "AWS::AccountId": ACCOUNT_ID,
    "AWS::Partition": "aws",
    "AWS::StackName": "drainer",
    "AWS::URLSuffix": "amazonaws.com",
}
# What the stack "drainer" exports.
EXPORTS = {
    "drainer-TopicArn": TOPIC_ARN,
    "drainer-FunctionArn": f"arn:aws:lambda:{REGION}:{ACCOUNT_ID}:function:drainer-Function",
    "drainer-RoleName": "drainer-Role",
    "drainer-LogGroupName": "drainer-LogGroup",
    "drainer-DeadLetterQueueArn": f"arn:aws:sqs:{REGION}:{ACCOUNT_ID}:drainer-DeadLetterQueue",
}
# What Ref gives where it is not a plain name; a queue's is its URL, but here only its ARN matters.
ARNS = {
    "AWS::SNS::Topic": "arn:aws:sns:{region}:{account}:{name}",
    "AWS::SQS::Queue": "arn:aws:sqs:{region}:{account}:{name}",
    "AWS::Logs::LogGroup": "arn:aws:logs:{region}:{account}:log-group:{name}:*",
    "AWS::Events::Rule": "arn:aws:events:{region}:{account}:rule/{name}",
    "AWS::EC2::SpotFleet": "sfr-{name}",
    "AWS::ECS::TaskDefinition": "arn:aws:ecs:{region}:{account}:task-definition/{name}:1",
}
# A connection and a repository that a pipeline reads.
SOURCE = {
    "ConnectionArn": f"arn:aws:codeconnections:{REGION}:{ACCOUNT_ID}:connection/1234abcd",
    "SourceRepository": "owner/name",
}
# Parameters without which a stack makes no sense, and which therefore have no default.
REQUIRED = {
    "drainer.yaml": {},
    "attach.yaml": {"AutoScalingGroupName": "web"},
    "dashboard.yaml": {},
    "examples/cluster.yaml": {},
    "examples/group-with-hook.yaml": {
        "ClusterName": "payments",
        "LaunchTemplateId": "lt-0123456789abcdef0",
        "LaunchTemplateVersion": "7",
        "SubnetIds": "subnet-0123456789abcdef0",
    },
    "examples/guarded-group.yaml": {
        "DrainerServiceToken": TOPIC_ARN,
        "ClusterName": "payments",
        "LaunchTemplateId": "lt-0123456789abcdef0",
        "LaunchTemplateVersion": "7",
        "SubnetIds": "subnet-0123456789abcdef0",
    },
    "examples/hybrid.yaml": {
        "VpcId": "vpc-0123456789abcdef0",
        "SubnetIds": "subnet-0123456789abcdef0",
    },
    "examples/pipeline.yaml": {
        **SOURCE,
        "ClusterName": "payments",
        "ServiceName": "web",
        "TaskFamily": "web",
    },
    "examples/spot-fleet.yaml": {"DrainerServiceToken": TOPIC_ARN},
    "pipeline.yaml": SOURCE,
    "spot.yaml": {},
}


class Render(Protocol):
    """
    Renders one of our templates with the given parameters.
    """

    def __call__(self, name: str, partition: str = "aws", **parameters: str) -> DeployedStack: ...


def rendered(name: str, partition: str = "aws", **parameters: str) -> DeployedStack:
    template = read_template(INFRA / name)
    defaults = {
        key: str(parameter["Default"])
        for key, parameter in template["Parameters"].items()
        if "Default" in parameter
    }
    return DeployedStack(
        template=template,
        parameters={**defaults, **REQUIRED[name], **parameters},
        physical_ids={
            key: ARNS.get(resource["Type"], "{name}").format(
                region=REGION, account=ACCOUNT_ID, name=f"drainer-{key}"
            )
            for key, resource in template["Resources"].items()
        },
        outputs={},
        pseudo={**PSEUDO, "AWS::Partition": partition},
        exports=EXPORTS,
    )


@pytest.fixture(scope="session")
def render() -> Render:
    return rendered


@pytest.fixture(scope="session")
def stack() -> DeployedStack:
    """
    infra/drainer.yaml with its defaults.
    """
    return rendered("drainer.yaml")


@pytest.fixture(params=sorted(REQUIRED))
def template_name(request: pytest.FixtureRequest) -> str:
    """
    Each of our templates in turn.
    """
    name: str = request.param
    return name
