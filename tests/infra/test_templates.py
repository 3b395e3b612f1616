"""
What holds for every template: valid, described, bounded, small, and free of program text.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from drainer.simulation.template import TemplateError, read_template
from tests.loops import some

if TYPE_CHECKING:
    from tests.infra.conftest import Render

INFRA = Path(__file__).resolve().parents[2] / "infra"
# "A maximum size of 51,200 bytes" for a template that is not uploaded first.
# https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_CreateStack.html
TEMPLATE_BYTES_MAX = 51_200
UNITS = ("Seconds", "Minutes", "Days", "Megabytes", "Count", "CountMax", "Percent")
# Only these know no default: the stack is about them.
REQUIRED_PARAMETERS = {
    "AutoScalingGroupName",
    "ClusterName",
    "ConnectionArn",
    "DrainerServiceToken",
    "LaunchTemplateId",
    "LaunchTemplateVersion",
    "ServiceName",
    "SourceRepository",
    "SubnetIds",
    "TaskFamily",
    "VpcId",
}


def test_cfn_lint_finds_nothing(template_name: str) -> None:
    # A typo in a property is otherwise seen by CloudFormation only, half-way into a deployment.
    from cfnlint.api import lint_file  # takes most of a second

    matches = [str(match) for match in lint_file(INFRA / template_name)]

    assert matches == []


def test_every_switched_off_rule_says_why(template_name: str) -> None:
    # A rule without a reason is switched off for ever.
    lines = (INFRA / template_name).read_text().splitlines()

    unexplained = [
        rule
        for number, line in enumerate(lines)
        for rule in re.findall(r"\b[EWI][0-9]{4}\b", line.partition("ignore_checks")[2])
        if f"# {rule}" not in "\n".join(lines[max(0, number - 4) : number])
    ]

    assert unexplained == []


def test_every_parameter_has_a_default_bounds_and_two_sentences_at_most(template_name: str) -> None:
    # A deployment by defaults must work, and a typing error must be refused at once.
    for name, parameter in some(read_template(INFRA / template_name)["Parameters"].items()):
        description = parameter["Description"]

        assert description.endswith("."), name
        assert description.count(". ") <= 1, name
        assert ("Default" in parameter) is (name not in REQUIRED_PARAMETERS), name
        if parameter["Type"] == "Number":
            assert "AllowedValues" in parameter or {"MinValue", "MaxValue"} <= set(parameter), name
        else:
            bounds = {"AllowedValues", "AllowedPattern", "MaxLength"}
            assert bounds & set(parameter), name


def test_every_number_names_its_unit(template_name: str) -> None:
    # Minutes taken for seconds make a drain sixty times too short.
    parameters = read_template(INFRA / template_name)["Parameters"]
    numbers = [name for name, parameter in parameters.items() if parameter["Type"] == "Number"]

    assert [name for name in numbers if not name.endswith(UNITS)] == []


def test_a_setting_is_called_and_bounded_alike_in_every_template() -> None:
    # Two spellings of one setting are two settings to whoever reads the README.
    templates = ("drainer.yaml", "attach.yaml", "examples/cluster.yaml")
    parameters = [read_template(INFRA / name)["Parameters"] for name in templates]

    for name in ("DeadlineResult", "StandaloneTasks", "DrainTimeoutSeconds"):
        assert all(name in each for each in parameters), name
    shared = ("HookName", "DrainerStack", "HeartbeatTimeoutSeconds", "DefaultResult")
    for name in (*shared, "TopicKmsKeyArn", "PermissionsBoundaryArn"):
        values = [
            {key: value for key, value in each[name].items() if key != "Description"}
            for each in parameters
            if name in each
        ]
        assert all(value == values[0] for value in values), name


def test_a_template_can_be_deployed_without_a_bucket_for_itself(template_name: str) -> None:
    # Beyond this size `aws cloudformation deploy` fails unless it is given a bucket, which
    # `make deploy` does for the one template that needs a bucket anyway, for the zip.
    size = (INFRA / template_name).stat().st_size

    assert size <= TEMPLATE_BYTES_MAX or template_name == "drainer.yaml"


def test_defect_29_no_program_text_is_in_a_template(template_name: str) -> None:
    # Text in a template is seen by no linter, no type checker and no test.
    assert "ZipFile" not in (INFRA / template_name).read_text()


def test_event_bridge_may_invoke_by_the_rules_arn_alone(template_name: str) -> None:
    # "A SourceAccount setting prevents EventBridge from being able to invoke the function": no
    # sweep would ever come, and no interruption.
    # https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-troubleshooting.html
    template = read_template(INFRA / template_name)
    permissions = [
        one["Properties"]
        for one in template["Resources"].values()
        if one["Type"] == "AWS::Lambda::Permission"
    ]

    assert bool(permissions) is (template_name == "drainer.yaml")
    for permission in permissions:
        assert permission["Principal"] == "events.amazonaws.com"
        assert "SourceAccount" not in permission
        # Without a source, a rule of any account could invoke the function.
        rule, attribute = permission["SourceArn"]["Fn::GetAtt"]
        assert (template["Resources"][rule]["Type"], attribute) == ("AWS::Events::Rule", "Arn")


def test_a_role_takes_the_permissions_boundary_that_is_given(
    render: Render, template_name: str
) -> None:
    # Accounts that demand a boundary refuse a role without one, and with it the whole stack.
    boundary = "arn:aws:iam::111122223333:policy/boundary"
    if not dict(render(template_name).resources("AWS::IAM::Role")):
        return
    bounded = render(template_name, PermissionsBoundaryArn=boundary)

    for _, role in some(render(template_name).resources("AWS::IAM::Role")):
        assert "PermissionsBoundary" not in role
    for _, role in some(bounded.resources("AWS::IAM::Role")):
        assert role["PermissionsBoundary"] == boundary


def test_every_template_with_a_role_takes_a_boundary() -> None:
    # The test above passes over templates without a role.
    with_role = {
        path.name
        for path in INFRA.rglob("*.yaml")
        if "AWS::IAM::Role" in path.read_text() and "PermissionsBoundaryArn:" in path.read_text()
    }

    assert with_role == {
        "attach.yaml",
        "cluster.yaml",
        "drainer.yaml",
        "fargate-spot.yaml",
        "group-with-hook.yaml",
        "hybrid.yaml",
        "pipeline.yaml",
        "spot-fleet.yaml",
    }


@pytest.mark.parametrize(
    "name",
    [
        "attach.yaml",
        "spot.yaml",
        "examples/cluster.yaml",
        "examples/group-with-hook.yaml",
        "examples/hybrid.yaml",
    ],
)
def test_the_drainer_is_imported_and_never_named_by_an_arn(name: str) -> None:
    # CloudFormation refuses to delete a stack whose exports another one imports. Without that, the
    # hooks would publish to nothing, and every instance would go at once, undrained.
    text = (INFRA / name).read_text()
    exported = {
        output["Export"]["Name"]["Fn::Sub"].replace("${AWS::StackName}", "${DrainerStack}")
        for output in read_template(INFRA / "drainer.yaml")["Outputs"].values()
        if "Export" in output
    }
    imported = set(re.findall(r'Fn::ImportValue: !Sub "([^"]+)"', text))

    assert imported
    assert imported <= exported
    assert "DrainerTopicArn" not in text


def test_a_name_that_no_stack_exports_is_refused(render: Render) -> None:
    # CloudFormation would stop there, too: "No export named ... found".
    with pytest.raises(TemplateError, match="no stack exports absent-TopicArn"):
        dict(render("attach.yaml", DrainerStack="absent").resources("AWS::IAM::Role"))


def test_every_example_has_its_section_and_says_how_to_remove_it() -> None:
    # What a newcomer cannot remove goes on costing.
    text = (INFRA.parent / "docs" / "examples.md").read_text()
    sections = dict(
        re.findall(r"^## (\S+\.yaml)\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    )
    examples = {path.name for path in (INFRA / "examples").glob("*.yaml")}

    assert set(sections) == examples | {"infra/pipeline.yaml"}
    for name, section in some(sections.items()):
        assert "**What it makes.**" in section, name
        assert "**How to remove it.**" in section, name
