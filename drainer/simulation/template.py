"""
CloudFormation templates as data: reading them, packaging them, and resolving a deployed one.

Resolving covers the intrinsic functions that our own templates use; an unknown one is an error, so
that nothing of a template is silently left out of what is built from it.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

import yaml

try:
    from yaml import CSafeLoader as SafeLoader
except ImportError:  # PyYAML was built without libyaml: nine times slower, and the same otherwise
    from yaml import SafeLoader  # type: ignore[assignment]

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

# "A string that contains the template body with a minimum size of 1 byte and a maximum size of
# 51,200 bytes."
# https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_CreateStack.html
TEMPLATE_BODY_BYTES_MAX = 51_200

# Properties whose text ministack computes with.
NUMERIC_PROPERTIES = frozenset(
    {
        "Base",
        "DesiredCount",
        "HeartbeatTimeout",
        "MaximumConcurrency",
        "MemorySize",
        "StopTimeout",
    }
)

# What GetAtt gives for "Arn" where Ref gives the name that the ARN ends with.
ARNS_BY_NAME = {
    "AWS::DynamoDB::Table": "arn:{0}:dynamodb:{1}:{2}:table/{3}",
    "AWS::ECS::Cluster": "arn:{0}:ecs:{1}:{2}:cluster/{3}",
    "AWS::ECR::Repository": "arn:{0}:ecr:{1}:{2}:repository/{3}",
    "AWS::IAM::Role": "arn:{0}:iam::{2}:role/{3}",
    "AWS::CodeBuild::Project": "arn:{0}:codebuild:{1}:{2}:project/{3}",
    "AWS::S3::Bucket": "arn:{0}:s3:::{3}",
}

SUB_VARIABLE = re.compile(r"\$\{([^!}][^}]*)\}")


# The intrinsic functions whose value depends on their resolved argument alone.
FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "Fn::Equals": lambda pair: str(pair[0]) == str(pair[1]),
    "Fn::Not": lambda conditions: not conditions[0],
    "Fn::And": all,
    "Fn::Or": any,
    "Fn::Join": lambda pair: str(pair[0]).join(map(str, pair[1])),
    "Fn::Split": lambda pair: str(pair[1]).split(pair[0]),
    "Fn::Select": lambda pair: pair[1][int(pair[0])],
    "Fn::Base64": str,
}


class TemplateError(RuntimeError):
    """A template says something that this reader does not understand."""


class _Loader(SafeLoader):
    """YAML with CloudFormation's short forms spelled out."""


def _short_form(loader: SafeLoader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    elif isinstance(node, yaml.MappingNode):
        value = loader.construct_mapping(node, deep=True)
    else:
        raise TemplateError(f"!{suffix} holds neither a scalar, a list nor a mapping")
    if suffix == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _short_form)


def read_template(path: Path) -> dict[str, Any]:
    """Return the template in the file, with short forms spelled out."""
    template: dict[str, Any] = json.loads(_as_json(path.read_text()))
    return template


@cache
def _as_json(text: str) -> str:
    """Return a template as JSON, which is read in a fiftieth of the time that YAML takes."""
    template = yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader
    if "AWSTemplateFormatVersion" in template:
        # Unquoted, YAML takes the version for a date.
        template["AWSTemplateFormatVersion"] = str(template["AWSTemplateFormatVersion"])
    return json.dumps(template)


def package(template: Mapping[str, Any], bucket: str, key: str) -> dict[str, Any]:
    """
    Return the template with the local path of each function's code replaced by its place in S3.

    `aws cloudformation package` does the same.
    https://docs.aws.amazon.com/cli/latest/reference/cloudformation/package.html
    """
    packaged: dict[str, Any] = json.loads(json.dumps(template))
    for resource in packaged["Resources"].values():
        if resource["Type"] == "AWS::Lambda::Function":
            resource["Properties"]["Code"] = {"S3Bucket": bucket, "S3Key": key}
    return packaged


def with_numbers(template: Mapping[str, Any], parameters: Mapping[str, str]) -> dict[str, Any]:
    """
    Return the template with the numbers in place of references, where ministack computes.

    "CloudFormation validates the parameter value as a number, but when you use the parameter
    elsewhere ... the parameter value becomes a string", which CloudFormation converts again for a
    resource that wants a number and ministack does not.
    https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/parameters-section-structure.html
    """
    numbers = {
        name: parameters.get(name, parameter.get("Default"))
        for name, parameter in template.get("Parameters", {}).items()
        if parameter["Type"] == "Number"
    }

    def converted(value: Any, key: str = "") -> Any:
        if isinstance(value, list):
            return [converted(item) for item in value]
        if not isinstance(value, dict):
            return value
        if key in NUMERIC_PROPERTIES and value.get("Ref") in numbers:
            return int(str(numbers[value["Ref"]]))
        return {name: converted(item, name) for name, item in value.items()}

    resources = {name: converted(item) for name, item in template["Resources"].items()}
    return {**template, "Resources": resources}


def body(template: Mapping[str, Any]) -> str:
    """Return the template as the text that CreateStack takes inline."""
    text = json.dumps(template, separators=(",", ":"))
    if len(text.encode()) > TEMPLATE_BODY_BYTES_MAX:
        raise TemplateError(f"the template is larger than {TEMPLATE_BODY_BYTES_MAX} bytes")
    return text


@dataclass(frozen=True)
class DeployedStack:
    """
    A template together with what its deployment gave to its parameters and resources.

    Attributes:
        template: as `read_template` returns it.
        parameters: parameter values by name, defaults included.
        physical_ids: what Ref gives for each resource that was created.
        outputs: the stack's outputs.
        pseudo: `AWS::Region` and its like.
        exports: what the stacks of the account and Region export, by the names of the exports.

    """

    template: Mapping[str, Any]
    parameters: Mapping[str, str]
    physical_ids: Mapping[str, str]
    outputs: Mapping[str, str]
    pseudo: Mapping[str, str]
    exports: Mapping[str, str] = field(default_factory=dict)

    def resources(self, resource_type: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the logical id and resolved properties of each resource of the type that exists."""
        for name, resource in self.template["Resources"].items():
            if resource["Type"] != resource_type or name not in self.physical_ids:
                continue
            if "Condition" in resource and not self.condition(resource["Condition"]):
                continue
            yield name, self.resolve(resource.get("Properties", {}))

    def condition(self, name: str) -> bool:
        """Return whether the template's condition of that name holds."""
        return bool(self.resolve(self.template["Conditions"][name]))

    def resolve(self, value: Any) -> Any:
        """Return the value with every intrinsic function in it replaced by what it stands for."""
        if isinstance(value, list):
            items = [self.resolve(item) for item in value]
            return [item for item in items if item is not NO_VALUE]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            ((name, argument),) = value.items()
            if name in ("Ref", "Condition") or name.startswith("Fn::"):
                return self._intrinsic(name, argument)
        resolved = {key: self.resolve(item) for key, item in value.items()}
        return {key: item for key, item in resolved.items() if item is not NO_VALUE}

    def _intrinsic(self, name: str, argument: Any) -> Any:
        match name:
            case "Ref":
                return self._ref(argument)
            case "Fn::GetAtt":
                return self._attribute(*argument)
            case "Fn::If":
                # Only the branch that applies: the other may name what was not created.
                test, then, otherwise = argument
                return self.resolve(then if self.condition(test) else otherwise)
            case "Fn::Sub":
                return self._sub(argument)
            case "Fn::FindInMap":
                name, first, second = self.resolve(argument)
                return self.template["Mappings"][name][str(first)][str(second)]
            case "Fn::GetAZs":
                return [f"{self.pseudo['AWS::Region']}{zone}" for zone in "abc"]
            case "Fn::ImportValue":
                return self._import(self.resolve(argument))
            case "Condition":
                return self.condition(argument)
        if name not in FUNCTIONS:
            raise TemplateError(f"cannot resolve {name}")
        return FUNCTIONS[name](self.resolve(argument))

    def _ref(self, name: str) -> Any:
        if name == "AWS::NoValue":
            return NO_VALUE
        for known in (self.parameters, self.pseudo, self.physical_ids):
            if name in known:
                return known[name]
        raise TemplateError(f"Ref names {name}, which is neither a parameter nor a resource")

    def _import(self, name: str) -> str:
        if name not in self.exports:
            raise TemplateError(f"no stack exports {name}")
        return self.exports[name]

    def _attribute(self, name: str, attribute: str) -> str:
        reference = str(self._ref(name))
        resource_type = self.template["Resources"].get(name, {}).get("Type")
        if attribute == "Arn" and resource_type in ARNS_BY_NAME:
            place = (self.pseudo[f"AWS::{key}"] for key in ("Partition", "Region", "AccountId"))
            return ARNS_BY_NAME[resource_type].format(*place, reference)
        # What Ref gives is the ARN itself for some resources, and the name for the others.
        if attribute.endswith("Arn") and reference.startswith("arn:"):
            return reference
        return f"{reference}.{attribute}"

    def _sub(self, argument: Any) -> str:
        text, local = (argument, {}) if isinstance(argument, str) else argument
        values = {key: self.resolve(item) for key, item in local.items()}

        def value(match: re.Match[str]) -> str:
            name = match.group(1).strip()
            if name in values:
                return str(values[name])
            if "." in name:
                return self._attribute(*name.split(".", 1))
            return str(self._ref(name))

        return SUB_VARIABLE.sub(value, text).replace("${!", "${")


class _NoValue:
    """What AWS::NoValue stands for: the property is left out."""


NO_VALUE = _NoValue()
