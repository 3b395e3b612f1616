"""
What infra/ ships, as far as the simulation obeys it: policies and event patterns.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from drainer.simulation.services.iam.policy import Policy
from drainer.simulation.template import DeployedStack, read_template

INFRA = Path(__file__).resolve().parents[3] / "infra"
TEMPLATE = INFRA / "drainer.yaml"
SPOT_TEMPLATE = INFRA / "spot.yaml"
# What Ref gives where it is no plain name; of a queue only the ARN matters to a policy.
ARNS = {
    "AWS::Events::Rule": "arn:aws:events:{place}:rule/{name}",
    "AWS::Logs::LogGroup": "arn:aws:logs:{place}:log-group:{name}",
    "AWS::SNS::Topic": "arn:aws:sns:{place}:{name}",
    "AWS::SQS::Queue": "arn:aws:sqs:{place}:{name}",
}


@cache
def _template() -> dict[str, Any]:
    return read_template(TEMPLATE)


def shipped_stack(account_id: str, region: str, **parameters: str) -> DeployedStack:
    """Return infra/drainer.yaml as deployed under the name of `drainer`, with these parameters."""
    template, place = _template(), f"{region}:{account_id}"
    defaults = {
        name: str(parameter["Default"]) for name, parameter in template["Parameters"].items()
    }
    return DeployedStack(
        template=template,
        parameters={**defaults, **parameters},
        physical_ids={
            name: ARNS.get(one["Type"], "{name}").format(
                # The simulated installation calls the topic by the stack's own name.
                place=place,
                name="drainer" if name == "Topic" else f"drainer-{name}",
            )
            for name, one in template["Resources"].items()
        },
        outputs={},
        pseudo=_pseudo(account_id, region),
    )


def role_policy(stack: DeployedStack) -> Policy:
    """Return what the function's role may do."""
    role = dict(stack.resources("AWS::IAM::Role"))["Role"]
    documents = [one["PolicyDocument"] for one in role["Policies"]]
    return Policy(statement for document in documents for statement in document["Statement"])


def spot_patterns() -> dict[str, dict[str, Any]]:
    """Return the event patterns of infra/spot.yaml, by the logical names of their rules."""
    return {
        name: one["Properties"]["EventPattern"]
        for name, one in read_template(SPOT_TEMPLATE)["Resources"].items()
        if one["Type"] == "AWS::Events::Rule"
    }


def spot_policy(account_id: str, region: str) -> Policy:
    """Return what infra/spot.yaml adds to the role of the function, with its defaults."""
    template = read_template(SPOT_TEMPLATE)
    stack = DeployedStack(
        template=template,
        parameters={
            name: str(parameter.get("Default", "drainer"))
            for name, parameter in template["Parameters"].items()
        },
        physical_ids=dict.fromkeys(template["Resources"], "drainer-spot"),
        outputs={},
        pseudo=_pseudo(account_id, region),
        exports={
            "drainer-FunctionArn": f"arn:aws:lambda:{region}:{account_id}:function:drainer",
            "drainer-RoleName": "drainer",
        },
    )
    documents = [one["PolicyDocument"] for _, one in stack.resources("AWS::IAM::Policy")]
    return Policy(statement for document in documents for statement in document["Statement"])


def _pseudo(account_id: str, region: str) -> dict[str, str]:
    return {
        "AWS::Region": region,
        "AWS::AccountId": account_id,
        "AWS::Partition": "aws",
        "AWS::StackName": "drainer",
    }
