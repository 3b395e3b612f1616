"""
The code of docs/cdk.md attaches a group as attach.yaml does; compiled by aws-cdk-lib from npm.

`make cdk-test` fetches the package. Nothing here does.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.infra.conftest import rendered

PROJECT = Path(__file__).resolve().parents[2]
PACKAGES = PROJECT / "build" / "cdk" / "node_modules"
PROGRAM = Path(__file__).with_name("cdk_stack.js")
SECONDS_MAX = 120
BLOCK = re.compile(r"```ts\n(.*?)```", re.DOTALL)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """
    The stack that CDK makes of the documented code.
    """
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    if not (PACKAGES / "aws-cdk-lib").is_dir():
        pytest.skip("aws-cdk-lib is not here: make cdk-test")
    code = BLOCK.search((PROJECT / "docs" / "cdk.md").read_text(encoding="utf-8"))
    assert code is not None
    done = subprocess.run(  # noqa: S603 - our own program
        [node, str(PROGRAM)],
        cwd=tmp_path_factory.mktemp("cdk"),
        env={"PATH": os.environ["PATH"], "NODE_PATH": str(PACKAGES), "DOCUMENTED": code[1]},
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4_000:]
    made: dict[str, Any] = json.loads(done.stdout)
    return made


def only(template: dict[str, Any], resource_type: str) -> tuple[str, dict[str, Any]]:
    ((name, resource),) = (
        pair for pair in template["Resources"].items() if pair[1]["Type"] == resource_type
    )
    return name, resource


def test_the_documented_hook_is_that_of_attach_yaml(
    template: dict[str, Any],
) -> None:
    # A hook for launches, or one without metadata, compiles as well.
    _, hook = only(template, "AWS::AutoScaling::LifecycleHook")
    ((_, ours),) = rendered("attach.yaml").resources("AWS::AutoScaling::LifecycleHook")

    made = hook["Properties"]
    assert made["NotificationTargetARN"] == {"Fn::ImportValue": "drainer-TopicArn"}
    for key in ("LifecycleHookName", "LifecycleTransition", "HeartbeatTimeout", "DefaultResult"):
        assert str(made[key]) == str(ours[key]), key
    cluster, _ = only(template, "AWS::ECS::Cluster")
    group, _ = only(template, "AWS::AutoScaling::AutoScalingGroup")
    assert made["AutoScalingGroupName"] == {"Ref": group}
    assert made["NotificationMetadata"] == {
        "Fn::Join": ["", ['{"cluster":"', {"Ref": cluster}, '"}']]
    }


def test_the_hooks_role_may_notify_before_the_hook_is_made(template: dict[str, Any]) -> None:
    # Auto Scaling sends a test notification when the hook is made, and rejects it otherwise.
    _, hook = only(template, "AWS::AutoScaling::LifecycleHook")
    role, _ = hook["Properties"]["RoleARN"]["Fn::GetAtt"]
    policies = {
        name: resource["Properties"]["PolicyDocument"]["Statement"]
        for name, resource in template["Resources"].items()
        if resource["Type"] == "AWS::IAM::Policy"
        and {"Ref": role} in resource["Properties"]["Roles"]
    }

    ((name, statements),) = policies.items()
    assert statements == [
        {
            "Action": "sns:Publish",
            "Effect": "Allow",
            "Resource": {"Fn::ImportValue": "drainer-TopicArn"},
        }
    ]
    assert name in hook["DependsOn"]
