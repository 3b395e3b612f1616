"""
The modules applied in the embedded account, beside the stacks that they are written from.

What AWS's own calls say of the resources is the same for both, a second plan finds no change, and
an instance is drained by what Terraform has made.
"""

from __future__ import annotations

import json
import re
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from drainer.cli.terraform.kinds import KINDS
from drainer.cli.terraform.words import snake
from drainer.simulation.embedded.account import REGION, EmbeddedAccount
from drainer.simulation.template import DeployedStack, read_template
from tests.infra.conftest import INFRA
from tests.loops import some
from tests.terraform.account import READERS, Described
from tests.terraform.conftest import Terraform, initialized

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
SERVICES = (
    *("autoscaling", "cloudwatch", "dynamodb", "events", "iam"),
    *("lambda", "logs", "sns", "sqs", "sts"),
)
STACKS = {"drainer.yaml": "cloud", "attach.yaml": "cloud-attach", "spot.yaml": "cloud-spot"}
METADATA = {"Cluster": "shop", "DrainTimeoutSeconds": "3600"}
REAL_SECONDS_MAX = 120.0
# The hook's default result would apply after half an hour; without tasks one pass is enough.
DRAINED_SECONDS_MAX = 600.0
# What is read with another resource: a queue with its policy, a function with its sources.
PARTS = {
    *("AWS::IAM::Policy", "AWS::Lambda::EventInvokeConfig", "AWS::Lambda::EventSourceMapping"),
    *("AWS::Lambda::Permission", "AWS::SNS::Subscription", "AWS::SNS::TopicPolicy"),
    *("AWS::SQS::QueuePolicy", "AWS::AutoScaling::LifecycleHook"),
}


@dataclass(frozen=True)
class Resource:
    """
    One resource of a template: what it is, and its names in the stack and in the module.
    """

    type: str
    logical_id: str
    in_stack: str
    in_module: str


@dataclass(frozen=True)
class Applied:
    """
    An account with the stacks and the modules.
    """

    account: EmbeddedAccount
    terraform: Terraform
    stacks: dict[str, DeployedStack]

    def resources(self) -> Iterator[Resource]:
        """
        Yield each resource that both have.
        """
        state = json.loads(self.terraform.run("show", "-json"))["values"]["root_module"]
        made = {
            (module["address"], one["type"], one["name"]): one["values"]
            for module in state["child_modules"]
            for one in module["resources"]
        }
        for template, stack in self.stacks.items():
            for name, resource in stack.template["Resources"].items():
                kind = KINDS[resource["Type"]]
                place = f"module.{template.removesuffix('.yaml')}"
                values = made.get((place, kind.type, snake(name)))
                exists = "Condition" not in resource or stack.condition(resource["Condition"])
                assert (values is not None) == exists, name
                if values is not None and resource["Type"] not in PARTS:
                    named = values[kind.attributes.get("Ref", "alarm_name")]
                    yield Resource(resource["Type"], name, stack.physical_ids[name], named)


@pytest.fixture(scope="module")
def applied(program: str, plugins: Path, sources: Path, drainer_zip: Path) -> Iterator[Applied]:
    """
    Create the stacks, and apply the modules for a group of their own.
    """
    folder = sources / "examples" / "applied"
    folder.mkdir()
    shutil.copy(HERE / "modules.tf", folder)
    shutil.copy(drainer_zip, folder / "drainer.zip")
    with EmbeddedAccount() as account:
        (folder / "provider.tf.json").write_text(json.dumps(provider(account)))
        with account.catching_up() as simulated:
            simulated.auto_scaling.create_group("web", desired=1, cluster="shop")
        stacks = dict(deployed(account, drainer_zip))
        terraform = initialized(program, plugins, folder)
        settings = {"cluster": METADATA["Cluster"], "drain_timeout_seconds": "3600"}
        (folder / "terraform.tfvars.json").write_text(json.dumps({"metadata": settings}))
        terraform.run("apply", "-auto-approve")
        yield Applied(account, terraform, stacks)
        assert account.failures == []


def provider(account: EmbeddedAccount) -> dict[str, Any]:
    """
    Return the provider's settings for an account on loopback.
    """
    endpoints = {name: account.client(name).meta.endpoint_url for name in SERVICES}
    return {
        "provider": {
            "aws": {
                "region": REGION,
                "access_key": "embedded",
                "secret_key": "embedded",
                "skip_credentials_validation": True,
                "skip_metadata_api_check": True,
                "endpoints": [endpoints],
            }
        }
    }


def deployed(account: EmbeddedAccount, drainer_zip: Path) -> Iterator[tuple[str, DeployedStack]]:
    deployment = account.deployment()
    deployment.upload(drainer_zip)
    others = {"DrainerStack": STACKS["drainer.yaml"]}
    parameters = {
        "drainer.yaml": {},
        "attach.yaml": {**others, **METADATA, "AutoScalingGroupName": "web"},
        "spot.yaml": others,
    }
    for template, name in STACKS.items():
        text = read_template(INFRA / template)
        yield template, deployment.create_stack(name, text, parameters[template])


def test_a_module_makes_what_its_stack_makes(applied: Applied) -> None:
    # A timeout, a permission or a filter that differs is found by the user whose drain it breaks.
    found = some(applied.resources())
    client = applied.account.client
    own = {"terra": "drainer", "cloud": "drainer"}
    stack = Described(client, own | names(found, "in_stack"))
    module = Described(client, own | names(found, "in_module"))

    assert {one.type for one in found} == set(READERS)
    for one in some(found):
        expected = stack.of(one.type, one.in_stack)
        assert module.of(one.type, one.in_module) == expected, one.logical_id


def test_what_the_emulators_cloudformation_leaves_out_is_made(applied: Applied) -> None:
    # Lambda drops a chain of re-invocations after 16 hops; a record that stays is a secret kept.
    client = applied.account.client
    function = client("lambda").get_function_recursion_config(FunctionName="terra-Function")

    assert function["RecursiveLoop"] == "Allow"
    for name in ("terra-Records", "terra-RequestsTable"):
        kept = client("dynamodb").describe_time_to_live(TableName=name)["TimeToLiveDescription"]
        assert kept == {"TimeToLiveStatus": "ENABLED", "AttributeName": "expires_at"}


def names(found: list[Resource], where: str) -> dict[str, str]:
    """
    Return what stands for each name: of a queue both its URL and its name in the URL and the ARN.
    """
    full = {getattr(one, where): one.logical_id for one in found}
    return {**full, **{re.split("[/:]", name)[-1]: instead for name, instead in full.items()}}


def test_a_hook_is_what_the_stacks_hook_is(applied: Applied) -> None:
    # The emulators alone forget whom a hook notifies, and with which role.
    answer = applied.account.client("autoscaling").describe_lifecycle_hooks(
        AutoScalingGroupName="web"
    )
    (module,) = answer["LifecycleHooks"]
    ((_, stack),) = applied.stacks["attach.yaml"].resources("AWS::AutoScaling::LifecycleHook")

    (topic,) = [one for one in applied.resources() if one.type == "AWS::SNS::Topic"]
    assert (stack["NotificationTargetARN"], module["NotificationTargetARN"]) == (
        topic.in_stack,
        topic.in_module,
    )
    assert "terra-attach-" in module["RoleARN"]
    assert json.loads(module["NotificationMetadata"]) == json.loads(stack["NotificationMetadata"])
    for key in ("LifecycleHookName", "LifecycleTransition", "HeartbeatTimeout", "DefaultResult"):
        assert str(module[key]) == str(stack[key]), key


def test_a_second_plan_finds_no_change(applied: Applied) -> None:
    # Who sees a change in each plan does not see the one that matters.
    applied.terraform.run("plan", "-out=again")
    plan = json.loads(applied.terraform.run("show", "-json", "again"))
    changed = {
        one["address"]
        for one in plan["resource_changes"]
        # ministack's DescribeAlarms lacks five fields in XML, which is the provider's protocol. It
        # has them for boto3, which reads them in the test above.
        if one["change"]["actions"] != ["no-op"] and one["type"] != "aws_cloudwatch_metric_alarm"
    }

    assert len(plan["resource_changes"]) > 50
    assert changed == set()


def test_an_instance_is_drained_by_what_terraform_has_made(applied: Applied) -> None:
    # Resources that are all there and do not fit together let the instance wait for 30 minutes.
    scaling = applied.account.client("autoscaling")
    # A sweep would find the instance although its notification is lost.
    for rule in ("terra-Sweep", applied.stacks["drainer.yaml"].physical_ids["Sweep"]):
        applied.account.client("events").disable_rule(Name=rule)
    begun = applied.account.time.now()
    scaling.set_desired_capacity(AutoScalingGroupName="web", DesiredCapacity=0)

    def instances() -> Any:
        answer = scaling.describe_auto_scaling_groups(AutoScalingGroupNames=["web"])
        return answer["AutoScalingGroups"][0]["Instances"]

    deadline = time.monotonic() + REAL_SECONDS_MAX
    while instances():
        assert time.monotonic() < deadline, applied.account.log_tail()
        time.sleep(0.1)
    lasted = (applied.account.time.now() - begun).total_seconds()
    assert lasted < DRAINED_SECONDS_MAX


def test_destroying_leaves_nothing(applied: Applied) -> None:
    # The last test of the file. What is left behind has its price, and blocks the next apply.
    applied.terraform.run("destroy", "-auto-approve")

    queues = applied.account.client("sqs").list_queues(QueueNamePrefix="terra").get("QueueUrls", [])
    assert queues == []
    hooks = applied.account.client("autoscaling").describe_lifecycle_hooks(
        AutoScalingGroupName="web"
    )
    assert hooks["LifecycleHooks"] == []
