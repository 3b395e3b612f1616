"""
Values of a template as expressions of HCL.

It covers the intrinsic functions that the templates use; another one is an error.
"""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from drainer.cli.terraform import hcl
from drainer.cli.terraform.words import comment, snake

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PSEUDO = {
    "AWS::AccountId": "local.account_id",
    "AWS::Partition": "local.partition",
    "AWS::Region": "local.region",
    "AWS::StackName": "var.name",
}
NO_VALUE = {"Ref": "AWS::NoValue"}
SUB_VARIABLE = re.compile(r"\$\{([^!}][^}]*)\}")
# Longer texts are joined from lines.
TEXT_COLUMNS_MAX = 88


class UnknownError(RuntimeError):
    """A template says something that has no place in a module yet."""


@dataclass(frozen=True, slots=True)
class Reference:
    """
    What a resource of a template is in a module.

    Attributes:
        address: its type and name.
        condition: the local value that decides whether it exists; empty if it always does.
        attributes: the attribute that each GetAtt stands for, and "Ref".
        suffixes: what CloudFormation's value ends with and the attribute does not.
    """

    address: str
    condition: str
    attributes: Mapping[str, str]
    suffixes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Scope:
    """
    What names stand for.

    Attributes:
        names: all names of the template's parameters and resources.
        parameters: the type of each parameter, as HCL.
        resources: its resources.
        imported: the names of what is imported from the drainer's stack, filled on the way.
        settings: texts that became local values on the way.
    """

    names: frozenset[str]
    parameters: Mapping[str, str]
    resources: Mapping[str, Reference]
    imported: set[str] = field(default_factory=set)
    settings: dict[str, str] = field(default_factory=dict)

    # -- whole values

    def value(self, value: Any) -> str:
        """Return any value as an expression."""
        if isinstance(value, list):
            return self._list(value)
        if not isinstance(value, dict):
            return hcl.literal(value)
        function = only_key(value)
        if function is not None:
            return self._function(function, value[function])
        return self._object(value)

    def json(self, value: Any) -> str:
        """Return a value as an expression for the text of its JSON."""
        if only_key(value) == "Fn::If":
            # Both branches of a conditional have one type, which objects of different keys do not.
            test, then, otherwise = value["Fn::If"]
            lines = [local(test), f"? {self.json(then)}", f": {self.json(otherwise)}"]
            return "\n".join(["(", *map(hcl.indented, lines), ")"])
        return f"jsonencode({self.value(value)})"

    def condition(self, value: Any) -> str:
        """Return a condition as an expression."""
        function = only_key(value)
        match function, value.get(function):
            case "Condition", name:
                return local(name)
            case "Fn::Equals", [{"Ref": name}, "true"] if self.parameters.get(name) == "bool":
                return self.ref(name)
            case "Fn::Equals", [left, right]:
                return f"{self.value(left)} == {self.value(right)}"
            case "Fn::Not", [{"Fn::Equals": [left, right]}]:
                return f"{self.value(left)} != {self.value(right)}"
            case "Fn::Or", conditions:
                return " || ".join(self.condition(one) for one in conditions)
        raise UnknownError(f"the condition {value}")

    # -- names

    def ref(self, name: str) -> str:
        """Return what Ref stands for."""
        if name in PSEUDO:
            return PSEUDO[name]
        if name in self.parameters:
            return f"var.{snake(name)}"
        return self.attribute(name, "Ref")

    def attribute(self, name: str, attribute: str, index: str = "[0]") -> str:
        """Return what GetAtt stands for."""
        resource = self.resources.get(name)
        if resource is None or attribute not in resource.attributes:
            raise UnknownError(f"{attribute} of {name}")
        place = resource.address + (index if resource.condition else "")
        found = f"{place}.{resource.attributes[attribute]}"
        suffix = resource.suffixes.get(attribute)
        return f'"${{{found}}}{suffix}"' if suffix else found

    # -- functions

    def _function(self, name: str, argument: Any) -> str:
        match name:
            case "Ref":
                return self.ref(argument)
            case "Fn::GetAtt":
                return self.attribute(*argument)
            case "Fn::Sub":
                return self._sub(argument)
            case "Fn::If":
                test, then, otherwise = argument
                return f"{local(test)} ? {self._branch(then)} : {self._branch(otherwise)}"
            case "Fn::Join":
                separator, items = argument
                return f"join({hcl.literal(separator)}, {self.value(items)})"
            case "Fn::ImportValue":
                found = re.fullmatch(r"\$\{DrainerStack\}-(\w+)", str(argument.get("Fn::Sub")))
                if found:
                    self.imported.add(found[1])
                    return f"var.{snake(found[1])}"
        raise UnknownError(f"{name} of {argument}")

    def _branch(self, value: Any) -> str:
        return "null" if value == NO_VALUE else self.value(value)

    def _sub(self, argument: Any) -> str:
        text, inner = (argument, {}) if isinstance(argument, str) else argument
        for name, value in inner.items():
            self.settings[snake(name)] = self.value(value)
        lines = [text]
        if len(text) > TEXT_COLUMNS_MAX and " " in text:
            lines = textwrap.wrap(
                text, TEXT_COLUMNS_MAX, break_long_words=False, break_on_hyphens=False
            )
        written = [f'"{self._filled(line, inner)}"' for line in lines]
        if len(written) == 1:
            return written[0]
        return f'join(" ", {hcl.sequence([(line, ()) for line in written])})'

    def _filled(self, text: str, inner: Mapping[str, Any]) -> str:
        filled, end = "", 0
        for found in SUB_VARIABLE.finditer(text):
            name = found[1]
            if name in inner:
                value = f"local.{snake(name)}"
            elif "." in name:
                value = self.attribute(*name.split(".", 1))
            else:
                value = self.ref(name)
            filled += f"{hcl.escaped(text[end : found.start()])}${{{value}}}"
            end = found.end()
        return filled + hcl.escaped(text[end:])

    # -- objects and lists

    def _object(self, value: Mapping[str, Any]) -> str:
        above = getattr(value, "above", {})
        return hcl.mapping(
            [
                (name, self.value(one), comment(above.get(name, ()), self.names))
                for name, one in value.items()
            ]
        )

    def _list(self, items: Sequence[Any]) -> str:
        above = getattr(items, "above", {})
        parts: list[list[tuple[str, Sequence[str]]] | str] = []
        for number, item in enumerate(items):
            if only_key(item) == "Fn::If" and item["Fn::If"][2] == NO_VALUE:
                parts.append(self._optional(item["Fn::If"]))
                continue
            if not parts or isinstance(parts[-1], str):
                parts.append([])
            written = (self.value(item), comment(above.get(number, ()), self.names))
            parts[-1].append(written)  # type: ignore[union-attr] # a list, by the line above
        texts = [part if isinstance(part, str) else hcl.sequence(part) for part in parts]
        if not any(isinstance(part, str) for part in parts):
            return texts[0] if texts else "[]"
        lines = [f"{text}," for text in texts]
        return "\n".join(["concat(", *map(hcl.indented, lines), ")"])

    def _optional(self, argument: Any) -> str:
        """Return a list of what an item is if its condition holds, and an empty list if not."""
        test, item, _ = argument
        if only_key(item) == "Fn::GetAtt":
            name, attribute = item["Fn::GetAtt"]
            if self.resources[name].condition == local(test):
                return self.attribute(name, attribute, "[*]")
        above = comment(getattr(argument, "above", {}).get(1, ()), self.names)
        return f"{local(test)} ? {hcl.sequence([(self.value(item), above)])} : []"


def local(condition: str) -> str:
    """Return the local value that a condition is."""
    return f"local.{snake(condition)}"


def only_key(value: Any) -> str | None:
    """Return the function that a value is, or None."""
    if isinstance(value, dict) and len(value) == 1:
        (name,) = value
        if name in ("Ref", "Condition") or str(name).startswith("Fn::"):
            # A statement's "Condition" holds operators, a condition's the name of another.
            return None if name == "Condition" and not isinstance(value[name], str) else str(name)
    return None
