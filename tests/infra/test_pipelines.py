"""
The pipelines: their commands are run here, and each role may do what its step does.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import parliament
import pytest
import yaml
from parliament import iam_definition

from tests.infra.test_permissions import statements
from tests.loops import some

if TYPE_CHECKING:
    from collections.abc import Mapping

    from drainer.simulation.template import DeployedStack
    from tests.infra.conftest import Render

PROJECT = Path(__file__).resolve().parents[2]
SERVICE, DRAINER = "examples/pipeline.yaml", "pipeline.yaml"
BOUNDARY = "arn:aws:iam::111122223333:policy/boundary"
TASK_ROLE = "arn:aws:iam::111122223333:role/shop-task"
# Stands in for a program: it records its arguments and what it is given to read, and answers as
# the AWS CLI does, --query and --output included.
# Without the environment's start-up files (-S), which would take half of its time.
STAND_IN = f"""#!{sys.executable} -S
import json, os, sys
name, words = os.path.basename(sys.argv[0]), sys.argv[1:]
given = "" if sys.stdin.isatty() else sys.stdin.read()
with open(os.environ["CALLS"], "a") as calls:
    print(json.dumps([name, words, given]), file=calls)
answers = json.loads(os.environ["ANSWERS"])
answer = answers.get(" ".join([name, *words[:2]]), answers.get(name, ""))
if isinstance(answer, int):
    sys.exit(answer)
option = dict(zip(words, words[1:]))
if "--query" in option:
    sys.path.append({str(Path(parliament.__file__).parent.parent)!r})
    import jmespath
    answer = jmespath.search(option["--query"], answer)
if not isinstance(answer, str):
    text = option.get("--output") == "text"
    answer = str(answer) if text else json.dumps(answer)
print(answer)
"""
CONTAINERS = [
    {
        "name": "web",
        "image": "old",
        "memory": 64,
        "secrets": [{"name": "PASSWORD", "valueFrom": "arn:secret"}],
        "portMappings": [{"containerPort": 80, "hostPort": 80}],
    },
    {"name": "sidecar", "image": "other", "memory": 16},
]
ANSWERS: dict[str, Any] = {
    "aws ecr get-login-password": "secret",
    "aws ecs describe-services": {"services": [{"taskDefinition": "arn:shop:7"}]},
    "aws ecs describe-task-definition": {"taskDefinition": {"containerDefinitions": CONTAINERS}},
    "aws ecs register-task-definition": {"taskDefinition": {"taskDefinitionArn": "arn:m:1"}},
    "aws ecs run-task": {"tasks": [{"taskArn": "arn:task"}]},
    "aws ecs describe-tasks": {"tasks": [{"containers": [{"name": "web", "exitCode": 0}]}]},
}


@dataclass
class Run:
    """
    One execution of a pipeline.

    Attributes:
        done: the actions that were begun, in order; the last one failed unless `succeeded`.
        calls: the program, the arguments and the input of each call.
    """

    succeeded: bool = True
    done: list[str] = field(default_factory=list)
    calls: list[tuple[str, list[str], str]] = field(default_factory=list)

    def call(self, *words: str) -> dict[str, str]:
        """
        Return the options of the one call that begins with these words.
        """
        program, *beginning = words
        (found,) = (
            given
            for name, given, _ in self.calls
            if name == program and given[: len(beginning)] == beginning
        )
        return dict(pairwise(found))


def buildspec(stack: DeployedStack, project: str) -> dict[str, Any]:
    source = dict(stack.resources("AWS::CodeBuild::Project"))[project]["Source"]
    found: dict[str, Any] = yaml.safe_load(source["BuildSpec"])
    return found


def commands(stack: DeployedStack, project: str) -> list[str]:
    """
    Return the commands of a project in the order in which CodeBuild runs them.
    """
    phases = buildspec(stack, project)["phases"]
    assert set(phases) <= {"install", "pre_build", "build"}
    return [
        command
        for phase in ("install", "pre_build", "build")
        for command in phases.get(phase, {}).get("commands", [])
    ]


def run(stack: DeployedStack, folder: Path, **answers: Any) -> Run:
    """
    Run each stage in turn, as CodePipeline does: a stage only after the one before has succeeded.

    CodeBuild runs all commands in one shell, and ends at the first that fails.
    https://docs.aws.amazon.com/codebuild/latest/userguide/build-spec-ref.html
    """
    programs, calls = folder / "programs", folder / "calls"
    programs.mkdir()
    calls.touch()
    for name in ("aws", "docker", "make"):
        (programs / name).write_text(STAND_IN)
        (programs / name).chmod(0o755)
    execution = Run()
    projects = dict(stack.resources("AWS::CodeBuild::Project"))
    ((_, pipeline),) = stack.resources("AWS::CodePipeline::Pipeline")
    for stage in pipeline["Stages"]:
        (action,) = stage["Actions"]
        execution.done.append(action["Name"])
        if action["ActionTypeId"]["Provider"] != "CodeBuild":
            continue
        name = action["Configuration"]["ProjectName"].removeprefix("drainer-")
        variables = {
            one["Name"]: str(one["Value"])
            for one in projects[name]["Environment"].get("EnvironmentVariables", [])
        }
        environment = {
            "PATH": f"{programs}{os.pathsep}{os.defpath}",
            "CALLS": str(calls),
            "ANSWERS": json.dumps({**ANSWERS, **answers}),
            "CODEBUILD_RESOLVED_SOURCE_VERSION": "c0ffee",
            "CODEBUILD_BUILD_NUMBER": "7",
            **variables,
        }
        script = "\n".join(f"{one}\n(($? == 0)) || exit 1" for one in commands(stack, name))
        ended = subprocess.run(  # noqa: S603 - the commands of our own template
            ["bash", "-c", script],  # noqa: S607 - whichever bash there is
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=60,
            check=False,
        )
        if ended.returncode:
            execution.succeeded = False
            break
    execution.calls = [json.loads(line) for line in calls.read_text().splitlines()]
    return execution


@pytest.fixture
def service(render: Render) -> DeployedStack:
    return render(SERVICE, TaskRoleArn=TASK_ROLE)


@pytest.fixture
def drainer(render: Render) -> DeployedStack:
    return render(DRAINER)


def test_the_image_is_pushed_migrated_and_only_then_deployed(
    service: DeployedStack, tmp_path: Path
) -> None:
    execution = run(service, tmp_path)

    assert execution.succeeded
    assert execution.done == ["Source", "Image", "Migration", "Service"]
    (image,) = json.loads((tmp_path / "imagedefinitions.json").read_text())
    # The commit, and a number that lets the same commit be built again.
    assert image["name"] == "web"
    assert image["imageUri"].endswith(":c0ffee-7")
    assert ("docker", ["push", image["imageUri"]], "") in [
        (name, words, "") for name, words, _ in execution.calls
    ]
    # A password among the arguments would be in every list of processes.
    ((_, _, given),) = (one for one in execution.calls if one[1][:1] == ["login"])
    assert given == "secret\n"


def test_the_migration_is_the_services_own_container_with_the_new_image(
    service: DeployedStack, tmp_path: Path
) -> None:
    # Without its secrets it reaches no database; with its port it would find no place to run.
    execution = run(service, tmp_path)
    registered = execution.call("aws", "ecs", "register-task-definition")
    (container,) = json.loads(registered["--container-definitions"])
    started = execution.call("aws", "ecs", "run-task")
    (override,) = json.loads(started["--overrides"])["containerOverrides"]

    assert execution.call("aws", "ecs", "describe-task-definition")["--task-definition"] == (
        "arn:shop:7"
    )
    assert container["image"].endswith(":c0ffee-7")
    assert container["secrets"] == CONTAINERS[0]["secrets"]
    assert container["portMappings"] == []
    assert registered["--task-role-arn"] == TASK_ROLE
    assert "--execution-role-arn" not in registered
    assert started["--task-definition"] == "arn:m:1"
    assert override == {"name": "web", "command": ["sh", "-c", "./migrate"]}


def test_the_migration_is_awaited_before_its_exit_code_is_read(
    service: DeployedStack, tmp_path: Path
) -> None:
    # Read at once, there is no exit code yet, and a long migration could never pass.
    words = [given[:3] for name, given, _ in run(service, tmp_path).calls if name == "aws"]

    wait = words.index(["ecs", "wait", "tasks-stopped"])
    assert words.index(["ecs", "run-task", "--cluster"]) < wait
    assert wait < words.index(["ecs", "describe-tasks", "--cluster"])


@pytest.mark.parametrize(
    ("what", "answers"),
    [
        (
            "the migration fails",
            {
                "aws ecs describe-tasks": {
                    "tasks": [{"containers": [{"name": "web", "exitCode": 1}]}]
                }
            },
        ),
        (
            "the container does not start",
            {"aws ecs describe-tasks": {"tasks": [{"containers": [{"name": "web"}]}]}},
        ),
        ("the cluster has no room", {"aws ecs run-task": {"tasks": [], "failures": [{}]}}),
        ("the role may not run the task", {"aws ecs run-task": 254}),
        ("the service is not found", {"aws ecs describe-services": 254}),
        ("the definition is refused", {"aws ecs register-task-definition": 254}),
    ],
)
def test_a_migration_that_has_not_succeeded_stops_the_deployment(
    service: DeployedStack, tmp_path: Path, what: str, answers: dict[str, Any]
) -> None:
    # New code on an old schema fails for every visitor.
    execution = run(service, tmp_path, **answers)

    assert not execution.succeeded, what
    assert execution.done == ["Source", "Image", "Migration"]


@pytest.mark.parametrize(
    "answers",
    [{"docker": 1}, {"aws ecr get-login-password": 254}],
    ids=["docker fails", "no password"],
)
def test_an_image_that_is_not_there_is_not_deployed(
    service: DeployedStack, tmp_path: Path, answers: dict[str, Any]
) -> None:
    # Without pipefail a login without a password passes unseen.
    execution = run(service, tmp_path, **answers)

    assert not execution.succeeded
    assert execution.done == ["Source", "Image"]


def test_the_deployment_takes_the_file_that_the_build_writes(service: DeployedStack) -> None:
    # Another name, and the last stage fails after everything has been done.
    ((_, pipeline),) = service.resources("AWS::CodePipeline::Pipeline")
    actions = {one["Actions"][0]["Name"]: one["Actions"][0] for one in pipeline["Stages"]}
    written = buildspec(service, "BuildProject")["artifacts"]["files"]

    assert written == [actions["Service"]["Configuration"]["FileName"]]
    assert actions["Image"]["OutputArtifacts"] == actions["Service"]["InputArtifacts"]
    assert actions["Image"]["OutputArtifacts"] == actions["Migration"]["InputArtifacts"]


def test_the_drainer_is_tested_packaged_and_deployed(
    drainer: DeployedStack, tmp_path: Path
) -> None:
    execution = run(drainer, tmp_path)
    made = [words for name, words, _ in execution.calls if name == "make"]
    packaged = execution.call("aws", "cloudformation", "package")
    ((_, pipeline),) = drainer.resources("AWS::CodePipeline::Pipeline")
    deploy = pipeline["Stages"][-1]["Actions"][0]["Configuration"]
    artifacts = buildspec(drainer, "BuildProject")["artifacts"]

    assert execution.done == ["Source", "TestAndPackage", "Stack"]
    assert made == [["lint"], ["test"], ["package"]]
    assert packaged["--template-file"] == "infra/drainer.yaml"
    assert packaged["--s3-bucket"] == drainer.physical_ids["Artifacts"]
    assert [packaged["--output-template-file"]] == artifacts["files"]
    assert deploy["TemplatePath"].partition("::")[2] == Path(artifacts["files"][0]).name
    # Targets that the Makefile has.
    targets = re.findall(r"^([a-z-]+):", (PROJECT / "Makefile").read_text(), re.MULTILINE)
    assert {words[0] for words in made} <= set(targets)
    assert (PROJECT / packaged["--template-file"]).is_file()


def test_a_drainer_whose_tests_fail_is_not_packaged(drainer: DeployedStack, tmp_path: Path) -> None:
    # A build that goes on would deploy what its own tests reject.
    execution = run(drainer, tmp_path, **{"make test": 2, "make": 2})

    assert not execution.succeeded
    assert execution.done == ["Source", "TestAndPackage"]
    assert [name for name, _, _ in execution.calls] == ["make"]


# -- roles


def roles(render: Render, name: str) -> list[tuple[str, list[dict[str, Any]]]]:
    stack = render(
        name,
        PermissionsBoundaryArn=BOUNDARY,
        **({"TaskRoleArn": TASK_ROLE} if name == SERVICE else {}),
    )
    return [(role, statements(stack, role)) for role, _ in stack.resources("AWS::IAM::Role")]


@pytest.mark.parametrize("name", [SERVICE, DRAINER])
def test_parliament_finds_nothing_in_the_roles(render: Render, name: str) -> None:
    # An ARN of the wrong kind for an action denies it, half-way through a deployment.
    for role, found in some(roles(render, name)):
        document = json.dumps({"Version": "2012-10-17", "Statement": found})
        findings = parliament.analyze_policy_string(document).findings
        # A listing of a service's tasks names no container instance. Its cluster is a condition.
        listing = [one for one in findings if one.detail == ["ecs:ListTasks"]]
        assert [str(one) for one in findings if one not in listing] == [], role
        for statement in found if listing else []:
            if statement["Action"] == "ecs:ListTasks":
                assert statement["Condition"]["ArnEquals"]["ecs:cluster"].endswith("/payments")


def listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def bounded_actions() -> Mapping[str, bool]:
    """
    Return each action of IAM, and whether it is about a resource of a type that it requires.
    """
    return {
        f"{service['prefix']}:{one['privilege']}": any(
            kind["resource_type"].endswith("*") for kind in one["resource_types"]
        )
        for service in iam_definition
        for one in service["privileges"]
    }


@pytest.mark.parametrize("name", [SERVICE, DRAINER])
def test_only_an_action_without_a_resource_is_granted_on_everything(
    render: Render, name: str
) -> None:
    # Each principal that can push a commit can do what these roles can.
    bounded = bounded_actions()
    free = [
        action
        for _, found in roles(render, name)
        for statement in found
        if statement["Resource"] == "*" and "Condition" not in statement
        for action in listed(statement["Action"])
    ]

    assert free != []
    assert [action for action in free if bounded[action]] == []


@pytest.mark.parametrize("name", [SERVICE, DRAINER])
def test_roles_are_passed_by_name_and_to_one_service(render: Render, name: str) -> None:
    # A role that may be passed to anything is as good as owned.
    passed = [
        statement
        for _, found in roles(render, name)
        for statement in found
        if statement["Action"] == "iam:PassRole"
    ]

    for statement in some(passed):
        assert all(":role/" in one for one in listed(statement["Resource"]))
        assert "iam:PassedToService" in statement["Condition"]["StringEquals"]


def test_without_roles_of_the_task_none_is_passed(render: Render) -> None:
    # A statement without a resource is refused, and the stack with it.
    for role in ("MigrateRole", "PipelineRole"):
        actions = [one["Action"] for one in statements(render(SERVICE), role)]
        assert "iam:PassRole" not in actions


def test_the_deployment_makes_roles_only_with_the_boundary(render: Render) -> None:
    # A role that may make others without a bound may make one that may do everything.
    stack = render(DRAINER, PermissionsBoundaryArn=BOUNDARY)
    making = [one for one in statements(stack, "DeployRole") if "iam:CreateRole" in one["Action"]]

    (statement,) = making
    assert statement["Condition"] == {"ArnEquals": {"iam:PermissionsBoundary": BOUNDARY}}


def test_the_deployment_touches_what_its_stack_has_made_and_nothing_else(
    render: Render,
) -> None:
    # Its pipeline would else be a way into every queue and table of the account.
    found = statements(render(DRAINER, StackName="mine"), "DeployRole")
    free = {
        # Bounded by a condition, which names the function.
        "ConnectTheQueues",
        "KeepTheQueuesConnected",
        # Without a resource type.
        "FindTheLog",
        "KeepItsSubscriptions",
        # In the bucket of the pipeline.
        "ReadTheZip",
    }

    for statement in some(one for one in found if one["Sid"] not in free):
        assert re.search(r"[:/]mine-\*$", statement["Resource"]), statement["Sid"]


def test_the_deployment_may_do_what_the_resources_of_the_drainer_need(render: Render) -> None:
    # CloudFormation says for each type which calls it makes; what is none of them is a gift.
    from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER  # takes most of a second

    granted: set[str] = set()
    for statement in statements(render(DRAINER), "DeployRole"):
        granted |= set(listed(statement["Action"]))
    called: set[str] = set()
    for kind in some(
        {one["Type"] for one in render("drainer.yaml").template["Resources"].values()}
    ):
        schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", kind).schema
        for operation in ("create", "update", "delete"):
            permissions = set(schema["handlers"].get(operation, {}).get("permissions", ()))
            # The drainer's template uses a part of each type, but makes and deletes all of them.
            assert permissions & granted or not permissions, (kind, operation)
            called |= permissions
        called |= set(schema["handlers"].get("read", {}).get("permissions", ()))

    assert granted <= called
    # What would take a role out of its bounds.
    assert not granted & {"iam:AttachRolePolicy", "iam:DeleteRolePermissionsBoundary"}
