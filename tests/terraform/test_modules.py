"""
The Terraform modules are what the templates say, where no Terraform is installed.

`make terraform` writes them. What it writes is read here by a parser of its own, and compared with
the templates without its help: names, defaults, bounds, and every word and number of a resource.
"""

from __future__ import annotations

import json
import re
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from drainer.cli.terraform.__main__ import MODULES, modules
from drainer.cli.terraform.expressions import UnknownError
from drainer.cli.terraform.hcl import aligned
from drainer.cli.terraform.kinds import KINDS
from drainer.cli.terraform.modules import NAMES, Module
from drainer.cli.terraform.source import Source
from drainer.cli.terraform.words import COMMANDS, PHRASES, snake
from drainer.simulation.template import read_template
from tests.infra.conftest import INFRA
from tests.loops import some
from tests.test_prose import plain, unwanted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

HCL = INFRA / "terraform"
FILES = ("main.tf", "outputs.tf", "variables.tf", "versions.tf")
# Variables that stand for what a template has by itself: the stack's name, the zip's place, and
# what is imported from the drainer's stack.
OWN = {
    "drainer.yaml": {"name", "zip_file"},
    "attach.yaml": {"name", "topic_arn"},
    "spot.yaml": {"name", "function_arn", "role_name"},
}
# The program itself is at a path that the user gives; commands of alarms are other ones.
ELSEWHERE = {"Code", "AlarmDescription"}
PSEUDO = {
    "AWS::AccountId": "local.account_id",
    "AWS::Partition": "local.partition",
    "AWS::Region": "local.region",
    "AWS::StackName": "var.name",
}


# Literals that HCL or the provider spells in another way.
SPELLED = {"True": "true", "False": "false", "HASH": "hash_key", "RANGE": "range_key"}


@cache
def current() -> dict[Path, str]:
    """
    Return what `make terraform` would write.
    """
    return modules()


@cache
def parsed(template: str, file: str) -> dict[str, Any]:
    """
    Return a file of the module of a template, as python-hcl2 reads it.
    """
    # Imported here, so that no worker that only collects the tests waits for it.
    import hcl2

    text = (MODULES / template.removesuffix(".yaml") / file).read_text(encoding="utf-8")
    found: dict[str, Any] = hcl2.loads(text)
    return found


def blocks(template: str, file: str, kind: str) -> dict[str, Any]:
    """
    Return the bodies of a file's blocks with one label by it.
    """
    return {
        label.strip('"'): body
        for one in parsed(template, file)[kind]
        for label, body in one.items()
    }


def resources(template: str) -> dict[str, dict[str, Any]]:
    """
    Return the resources of a module by their names; those of one name are parts of one.
    """
    found: dict[str, dict[str, Any]] = {}
    for one in parsed(template, "main.tf")["resource"]:
        for kind, bodies in one.items():
            for name, body in bodies.items():
                found.setdefault(name.strip('"'), {})[kind.strip('"')] = body
    return found


def written(body: Any) -> str:
    """
    Return a parsed body as text in which every literal and every reference of it stands.
    """
    return json.dumps(body, ensure_ascii=False).replace('\\\\\\"', '"').replace('\\"', '"')


def leaves(value: Any) -> Iterator[str]:
    """
    Yield what must stand in a module for a value: its texts, numbers and references.
    """
    if isinstance(value, dict):
        for name, one in value.items():
            yield from LEAVES.get(name, leaves)(one)
    elif isinstance(value, list):
        for one in value:
            yield from leaves(one)
    else:
        yield SPELLED.get(str(value), str(value))


def reference(name: str) -> Iterator[str]:
    if name != "AWS::NoValue":
        yield PSEUDO.get(name, snake(name))


def filled(argument: Any) -> Iterator[str]:
    text, values = (argument, {}) if isinstance(argument, str) else argument
    yield from leaves(values)
    for part in re.split(r"(\$\{[^}]*\})", text):
        if part.startswith("${"):
            yield from reference(part[2:-1].partition(".")[0])
        else:
            yield from part.split()


def either(argument: Any) -> Iterator[str]:
    condition, then, otherwise = argument
    if "Fn::GetAtt" in then and otherwise == {"Ref": "AWS::NoValue"}:
        # Where the resource has the same condition, all of them is one or none.
        yield f"{snake(then['Fn::GetAtt'][0])}[*]"
        return
    yield f"local.{snake(condition)}"
    yield from leaves([then, otherwise])


LEAVES: dict[str, Callable[[Any], Iterator[str]]] = {
    "Ref": reference,
    "Fn::GetAtt": lambda argument: reference(argument[0]),
    "Fn::If": either,
    "Fn::ImportValue": lambda argument: iter([snake(argument["Fn::Sub"].partition("-")[2])]),
    "Fn::Sub": filled,
}


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("template", NAMES)
def test_a_module_is_what_its_template_says(template: str, file: str) -> None:
    # A permission of the next release would be in the stack only. Run: make terraform
    path = MODULES / template.removesuffix(".yaml") / file

    assert path.read_text(encoding="utf-8") == current()[path]


def test_a_module_has_no_other_file() -> None:
    # A file that is written by hand beside them is not compared with anything.
    # What Terraform itself writes beside them is in folders of its own.
    assert {*MODULES.glob("*/*.tf"), *MODULES.glob("*/*.json")} == set(current())


@pytest.mark.parametrize("template", NAMES)
def test_the_variables_are_the_parameters_with_their_defaults_and_bounds(template: str) -> None:
    # A user who comes from the templates gets another timeout by the same name.
    parameters = dict(read_template(INFRA / template)["Parameters"])
    parameters.pop("DrainerStack", None)
    variables = blocks(template, "variables.tf", "variable")

    assert set(variables) - OWN[template] == {snake(name) for name in parameters}
    for name, parameter in some(parameters.items()):
        variable = variables[snake(name)]
        checks = " ".join(one["condition"] for one in variable.get("validation", ()))
        default = json.dumps(variable.get("default")).strip('"\\')

        assert default == str(parameter.get("Default", "null")), name
        for bound in ("MinValue", "MaxValue", "MinLength", "MaxLength", "AllowedPattern"):
            assert str(parameter.get(bound, "")) in checks.replace("\\\\", "\\"), (name, bound)
        for value in parameter.get("AllowedValues", ()):
            assert variable["type"] == "bool" or str(value) in checks, (name, value)


@pytest.mark.parametrize("template", NAMES)
def test_each_resource_has_every_word_number_and_reference_of_its_template(template: str) -> None:
    # A queue whose visibility timeout was forgotten delivers each batch twice.
    made = resources(template)
    wanted = read_template(INFRA / template)["Resources"]

    assert set(made) == {snake(name) for name in wanted}
    for name, resource in some(wanted.items()):
        text = written(made[snake(name)])
        if "local.settings" in text:
            text += written(parsed(template, "main.tf")["locals"])
        properties = {
            key: value for key, value in resource["Properties"].items() if key not in ELSEWHERE
        }
        assert [leaf for leaf in leaves(properties) if leaf not in text] == [], name
        condition = resource.get("Condition")
        kind = KINDS[resource["Type"]].type
        count = made[snake(name)][kind].get("count")
        assert count == (f"${{local.{snake(condition)} ? 1 : 0}}" if condition else None), name


@pytest.mark.parametrize("template", NAMES)
def test_each_statement_has_the_actions_and_the_resources_of_its_template(template: str) -> None:
    # Found anywhere in the role, the words of one statement could stand in another.
    made = {name: statements(written(one)) for name, one in resources(template).items()}
    wanted = {
        (snake(name), sid): statement
        for name, resource in read_template(INFRA / template)["Resources"].items()
        for sid, statement in sids(resource["Properties"])
    }

    assert {(name, sid) for name, found in made.items() for sid in found} == set(wanted)
    for (name, sid), statement in some(wanted.items()):
        text = made[name][sid]
        assert [leaf for leaf in leaves(statement) if leaf not in text] == [], sid
        # Not more than these either: no wildcard of another statement has moved here.
        # "[*]" is all of a resource, and "*" is in the ARN of a log group in CloudFormation.
        text = text.replace("[*]", "").replace("arn}:*", "arn}")
        assert text.count("*") == json.dumps(statement).count("*"), sid


def statements(text: str) -> dict[str, str]:
    """
    Return the text of each statement by its Sid.
    """
    parts = re.split(r'Sid = "(\w+)"', text)
    return {sid: f'Sid = "{sid}"{rest}' for sid, rest in zip(parts[1::2], parts[2::2], strict=True)}


def sids(value: Any) -> Iterator[tuple[str, Any]]:
    """
    Yield the statements in a value of a template with their Sids.
    """
    if isinstance(value, dict):
        if "Sid" in value:
            yield value["Sid"], value
        value = [*value.values()]
    if isinstance(value, list):
        for one in value:
            yield from sids(one)


@pytest.mark.parametrize("template", NAMES)
def test_a_log_groups_arn_covers_its_streams(template: str) -> None:
    # CloudFormation's ARN ends with ":*" and the provider's does not: the function could not log.
    text = (MODULES / template.removesuffix(".yaml") / "main.tf").read_text(encoding="utf-8")

    assert not re.search(r"= aws_cloudwatch_log_group\.\w+\.arn", text)
    if template == "drainer.yaml":
        assert text.count('"${aws_cloudwatch_log_group.log_group.arn}:*"') == 2


@pytest.mark.parametrize("template", ["drainer.yaml", "attach.yaml"])
def test_a_role_has_its_policies_before_it_is_used(template: str) -> None:
    # Auto Scaling tries the role when a hook is made, and Lambda when a queue is mapped.
    users = {"drainer.yaml": "function", "attach.yaml": "terminating_hook"}
    role = {"drainer.yaml": "role", "attach.yaml": "notification_role"}[template]
    user = resources(template)[users[template]]

    needs = [need for body in user.values() for need in body.get("depends_on", ())]
    assert needs == [f"${{aws_iam_role_policy.{role}}}"]


@pytest.mark.parametrize("template", NAMES)
def test_the_outputs_are_those_of_the_template(template: str) -> None:
    outputs = blocks(template, "outputs.tf", "output")

    assert set(outputs) == {snake(name) for name in read_template(INFRA / template)["Outputs"]}


def test_the_documented_installation_gives_each_module_what_it_needs() -> None:
    # The first thing that a user copies.
    import hcl2

    text = (INFRA.parent / "docs" / "terraform.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```hcl\n(.*?)```", text, flags=re.DOTALL)
    modules_used = {
        name.strip('"'): body for one in hcl2.loads(code)["module"] for name, body in one.items()
    }

    assert {f"{name}.yaml" for name in modules_used} == set(NAMES)
    for name, body in some(modules_used.items()):
        variables = blocks(f"{name}.yaml", "variables.tf", "variable")
        given = {key for key in body if not key.startswith("__")} - {"source"}
        needed = {key for key, one in variables.items() if "default" not in one}
        assert needed <= given <= set(variables), name
        assert body["source"] == f'"./infra/terraform/modules/{name}"'


# -- what is written is read by people


def texts() -> Iterator[tuple[str, str]]:
    """
    Yield the comments and descriptions of all modules and examples.
    """
    for path in sorted(HCL.rglob("*.tf")):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            found = re.fullmatch(r"\s*(?:#|\w*description\s+=) (.*)", line)
            if found and "make terraform" not in line:
                yield f"{path.relative_to(HCL)}:{number}", plain(found[1])


def test_no_text_of_a_module_has_a_word_that_a_reader_would_have_to_look_up() -> None:
    assert [f"{where}: {word}" for where, text in some(texts()) for word in unwanted(text)] == []


def test_no_text_of_a_module_names_a_template_or_a_parameter() -> None:
    # Who has a module has no drainer.yaml, and writes drain_timeout_seconds.
    parameters = [name for one in NAMES for name in read_template(INFRA / one)["Parameters"]]
    names = "|".join(name for name in parameters if "_" in snake(name))

    strange = re.compile(rf"\.yaml|\b(?:{names})\b")
    assert [one for one in some(texts()) if strange.search(one[1])] == []


def test_every_phrase_that_is_replaced_occurs() -> None:
    # A phrase that the template has changed meanwhile would come through as it is.
    text = "\n".join((INFRA / name).read_text(encoding="utf-8") for name in NAMES)
    joined = re.sub(r"\s+", " ", text)

    assert [phrase for phrase in PHRASES if phrase not in text] == []
    assert [command for command in COMMANDS if not re.search(command, joined)] == []


# -- what is not understood


def module(resource: str) -> dict[str, str]:
    text = f"""
Parameters:
  Size: {{Type: Number, Default: 1, Description: Number of things.}}
Conditions: {{Large: !Not [!Equals [!Ref Size, ""]]}}
Resources:
  Queue: {resource}
Outputs: {{}}
"""
    node = yaml.compose(text, yaml.SafeLoader)
    assert node is not None
    return Module("drainer.yaml", Source(text).read(node), []).files()


def test_a_property_becomes_an_attribute() -> None:
    # The refusals below would be worth nothing if every resource were refused.
    files = module("{Type: AWS::SQS::Queue, Properties: {DelaySeconds: !Ref Size}}")

    assert "delay_seconds = var.size" in files["main.tf"]


@pytest.mark.parametrize(
    "resource",
    [
        pytest.param("{Type: AWS::SQS::Queue, Properties: {FifoQueue: true}}", id="a property"),
        pytest.param("{Type: AWS::EKS::Cluster, Properties: {}}", id="a type"),
        pytest.param("{Type: AWS::SQS::Queue, Properties: {}, CreationPolicy: {}}", id="a key"),
        pytest.param(
            "{Type: AWS::SQS::Queue, Properties: {DelaySeconds: !FindInMap [a, b, c]}}",
            id="a function",
        ),
        pytest.param(
            "{Type: AWS::SQS::Queue, Properties: {DelaySeconds: !GetAtt Queue.Other}}",
            id="an attribute",
        ),
    ],
)
def test_what_has_no_place_in_a_module_is_refused(resource: str) -> None:
    # Left out without a word, a permission or a timeout would be missing in the account.
    with pytest.raises(UnknownError):
        module(resource)


def test_neighbouring_equals_signs_stand_below_each_other() -> None:
    # `terraform fmt -check` would fail for who has Terraform, and not for who changed the template.
    text = 'a = 1\nlonger = "x = {"\nopen = {\n  b = 2\n}\n# c\nd = 3'

    assert aligned(text) == 'a      = 1\nlonger = "x = {"\nopen = {\n  b = 2\n}\n# c\nd = 3\n'
