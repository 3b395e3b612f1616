"""
A template as data that remembers its comments, so that they can stand in the module as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from pathlib import Path


class Fields(dict[str, Any]):
    """
    A mapping of a template.

    Attributes:
        above: the comment lines above each key, without a `#`.
    """

    above: dict[str, list[str]]


class Items(list[Any]):
    """
    A sequence of a template.

    Attributes:
        above: the comment lines above each item, without a `#`.
    """

    above: dict[int, list[str]]


class Source:
    """
    The text of a template. A comment belongs to the outermost value that begins below it.
    """

    def __init__(self, text: str) -> None:
        self._lines = text.splitlines()
        self._used: set[int] = set()
        self._scalars = yaml.SafeLoader("")

    def read(self, node: yaml.Node) -> Any:
        """Return a node as data, with short forms spelled out."""
        if node.tag.startswith("!"):
            name = node.tag[1:]
            value = self._untagged(node)
            if name == "GetAtt":
                value = value.split(".", 1)
            return Fields({name if name in ("Ref", "Condition") else f"Fn::{name}": value})
        return self._untagged(node)

    def _untagged(self, node: yaml.Node) -> Any:
        if isinstance(node, yaml.MappingNode):
            fields = Fields()
            fields.above = {}
            for key, value in node.value:
                fields.above[key.value] = self._above(key)
                fields[key.value] = self.read(value)
            return fields
        if isinstance(node, yaml.SequenceNode):
            items = Items()
            items.above = {}
            for number, item in enumerate(node.value):
                items.above[number] = self._above(item)
                items.append(self.read(item))
            return items
        if node.tag.startswith("!"):
            return node.value
        return self._scalars.construct_object(node)

    def _above(self, node: yaml.Node) -> list[str]:
        found: list[str] = []
        number = node.start_mark.line
        for line in reversed(self._lines[:number]):
            number -= 1
            if not line.strip().startswith("#") or number in self._used:
                break
            self._used.add(number)
            found.append(line.strip().removeprefix("#").strip())
        return found[::-1]


def read(path: Path) -> Fields:
    """Return the template in a file, with its comments."""
    text = path.read_text(encoding="utf-8")
    node = yaml.compose(text, yaml.SafeLoader)
    if node is None:
        raise ValueError(f"{path.name} is empty")
    template: Fields = Source(text).read(node)
    return template


def header(path: Path) -> list[str]:
    """Return the comment between a template's description and its parameters."""
    text = path.read_text(encoding="utf-8").partition("\nParameters:")[0]
    lines = [line for line in text.splitlines() if line.startswith("#")]
    return [line.removeprefix("#").strip() for line in lines]
