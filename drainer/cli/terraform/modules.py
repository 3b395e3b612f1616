"""
The files of a module, from its template.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from drainer.cli.terraform import hcl
from drainer.cli.terraform.expressions import Scope
from drainer.cli.terraform.resources import Resources, reference
from drainer.cli.terraform.source import header, read
from drainer.cli.terraform.variables import type_of, variable, variable_of
from drainer.cli.terraform.words import comment, snake, spoken

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from drainer.cli.terraform.source import Fields

WRITTEN = "# Written by `make terraform` from infra/{0}: change that file, and not this one."
# What `make terraform-test` was run with is in docs/terraform.md.
VERSIONS = """\
terraform {
  required_version = ">= 1.5"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.100"
    }
  }
}
"""
# The stack whose outputs another template imports; a module is given them as variables.
IMPORTING = "DrainerStack"
NAMES = {"drainer.yaml": "drainer", "attach.yaml": "drainer-attach", "spot.yaml": "drainer-spot"}
NAME_CHECK = (
    'can(regex("^[A-Za-z][A-Za-z0-9-]{0,31}$", var.name))',
    "A letter, and then at most 31 letters, digits and hyphens.",
)
DATA = {
    "account_id": ("aws_caller_identity", "account_id"),
    "partition": ("aws_partition", "partition"),
    "region": ("aws_region", "id"),
}


def module_files(folder: Path) -> dict[str, dict[str, str]]:
    """Return the files of each module, by their names, from the templates in a folder."""
    templates = {name: read(folder / name) for name in NAMES}
    # One module's descriptions name variables of another.
    named = ("Parameters", "Outputs")
    names = {name for one in templates.values() for key in named for name in one[key]}
    return {
        name.removesuffix(".yaml"): Module(name, one, header(folder / name), names).files()
        for name, one in templates.items()
    }


class Module:
    """
    A template on its way to a module.
    """

    def __init__(
        self, name: str, template: Fields, heading: Sequence[str], names: Iterable[str] = ()
    ) -> None:
        self._name = name
        self._template = template
        self._parameters = {
            key: value for key, value in template["Parameters"].items() if key != IMPORTING
        }
        self._scope = Scope(
            names=frozenset({*names, *self._parameters, *template["Resources"]}),
            parameters={key: type_of(value) for key, value in self._parameters.items()},
            resources={key: reference(key, one) for key, one in template["Resources"].items()},
        )
        self._heading = comment(heading, self._scope.names)

    def files(self) -> dict[str, str]:
        """Return the texts by the names of the files."""
        # First the resources: they say what is imported, and which texts become local values.
        resources = [*Resources(self._template, self._scope).written()]
        outputs = [*self._outputs()]
        before = [*self._before("\n".join([*resources, *outputs]))]
        return {
            "main.tf": self._file([*before, *resources]),
            "outputs.tf": self._file(outputs),
            "variables.tf": self._file([*self._variables()]),
            "versions.tf": VERSIONS,
        }

    def _file(self, blocks: Sequence[str]) -> str:
        return hcl.aligned("\n\n".join([WRITTEN.format(self._name), *blocks]))

    def _before(self, resources: str) -> Iterator[str]:
        """Yield what the resources refer to: the place, the conditions, the texts."""
        if self._heading:
            yield "\n".join(self._heading)
        named = {name: one for name, one in DATA.items() if f"local.{name}" in resources}
        for kind, _ in named.values():
            yield f'data "{kind}" "current" {{}}'
        above = getattr(self._template["Conditions"], "above", {})
        values = [
            hcl.assignment(name, f"data.{kind}.current.{attribute}")
            for name, (kind, attribute) in named.items()
        ]
        conditions = [
            hcl.assignment(
                snake(name),
                self._scope.condition(value),
                comment(above[name], self._scope.names),
            )
            for name, value in self._template["Conditions"].items()
        ]
        texts = [hcl.assignment(*one) for one in self._scope.settings.items()]
        groups = ["\n".join(one) for one in (values, conditions, texts) if one]
        yield hcl.block("locals", ["\n\n".join(groups)])

    def _variables(self) -> Iterator[str]:
        yield variable(
            "name",
            "Name that the names of the resources begin with.",
            kind="string",
            default=hcl.literal(NAMES[self._name]),
            checks=[NAME_CHECK],
        )
        types = [one["Type"] for one in self._template["Resources"].values()]
        if "AWS::Lambda::Function" in types:
            text = "Path of the function's zip, which `make package` writes to build/drainer.zip."
            yield variable("zip_file", text, kind="string")
        for name in sorted(self._scope.imported):
            text = f"Output {snake(name)} of module drainer, or output {name} of a drainer's stack."
            yield variable(snake(name), text, kind="string")
        for name, parameter in self._parameters.items():
            above = self._template["Parameters"].above[name]
            yield variable_of(name, parameter, above, self._scope.names)

    def _outputs(self) -> Iterator[str]:
        for name, output in self._template["Outputs"].items():
            text = spoken(output["Description"], self._scope.names)
            body = [
                hcl.assignment("description", hcl.literal(text)),
                hcl.assignment("value", self._scope.value(output["Value"])),
            ]
            yield hcl.block(f'output "{snake(name)}"', body)
