"""
Resources of a template as resources of a module.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from drainer.cli.terraform import hcl
from drainer.cli.terraform.expressions import Reference, Scope, UnknownError, local, only_key
from drainer.cli.terraform.kinds import (
    KINDS,
    Apart,
    Block,
    Json,
    Keys,
    Only,
    Pairs,
    Place,
    Places,
    Zip,
)
from drainer.cli.terraform.words import commanded, comment, snake

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from drainer.cli.terraform.source import Fields

# What has no place in a module. Terraform deletes a table that it replaces.
LEFT_OUT = {"DeletionPolicy", "UpdateReplacePolicy", "Metadata"}
KNOWN = {"Type", "Condition", "DependsOn", "Properties", *LEFT_OUT}
ROLE = "AWS::IAM::Role"


def reference(name: str, resource: Mapping[str, Any]) -> Reference:
    """Return what a resource of a template is in a module."""
    if resource["Type"] not in KINDS or not resource.keys() <= KNOWN:
        raise UnknownError(f"{name}: {resource['Type']} with {sorted(resource)}")
    kind = KINDS[resource["Type"]]
    condition = local(resource["Condition"]) if "Condition" in resource else ""
    return Reference(f"{kind.type}.{snake(name)}", condition, kind.attributes, kind.suffixes)


class Resources:
    """
    The resources of one template.
    """

    def __init__(self, template: Fields, scope: Scope) -> None:
        self._all: Fields = template["Resources"]
        self._scope = scope

    def written(self) -> Iterator[str]:
        """Yield each resource with the comments above it, and what is a resource of its own."""
        for name, resource in self._all.items():
            yield from self._resource(name, resource)

    def _resource(self, name: str, resource: Fields) -> Iterator[str]:
        kind = KINDS[resource["Type"]]
        properties: Fields = resource["Properties"]
        body = _Body()
        if "Condition" in resource:
            body.attribute("count", f"{local(resource['Condition'])} ? 1 : 0")
            body.gap()
        if kind.named:
            attribute, text = kind.named
            body.attribute(attribute, text.replace("{logical_id}", name))
        self._fill(body, properties, kind.places)
        self._depend(body, resource, properties)
        above = [*self._all.above[name], *resource.above.get("DependsOn", ())]
        yield self._whole(kind.type, name, body, above)
        for key, value in properties.items():
            place = kind.places.get(key)
            if isinstance(place, Apart):
                yield self._apart(name, place, value, properties.above[key])

    def _whole(self, kind: str, name: str, body: _Body, above: Sequence[str]) -> str:
        text = hcl.block(f'resource "{kind}" "{snake(name)}"', [body.text()])
        return "\n".join([*comment(above, self._scope.names), text])

    def _apart(self, name: str, place: Apart, value: Any, above: Sequence[str]) -> str:
        """Return what is a property in a template and a resource in a module."""
        own = self._scope.resources[name]
        condition = own.condition
        if only_key(value) == "Fn::If":
            test, value, _ = value["Fn::If"]
            condition = local(test)
        body = _Body()
        if condition:
            body.attribute("count", f"{condition} ? 1 : 0")
            body.gap()
        body.attribute(place.link, self._scope.ref(name))
        if isinstance(value, list):
            (value,) = value
            self._fill(body, value, place.places)
        else:
            body.attribute(str(place.places[""]), self._scope.value(value))
        return self._whole(place.type, name, body, above)

    def _depend(self, body: _Body, resource: Mapping[str, Any], properties: Fields) -> None:
        needs = resource.get("DependsOn", [])
        addresses = [
            self._scope.resources[one].address
            for one in ([needs] if isinstance(needs, str) else needs)
        ]
        # In a template a role has its policies from the beginning.
        addresses += [
            f"aws_iam_role_policy.{snake(role)}"
            for role, one in self._all.items()
            if one["Type"] == ROLE and {"Fn::GetAtt": [role, "Arn"]} in properties.values()
        ]
        if addresses:
            body.gap()
            body.attribute("depends_on", hcl.sequence([(one, ()) for one in addresses]))

    # -- properties

    def _fill(self, body: _Body, properties: Mapping[str, Any], places: Places) -> None:
        above = getattr(properties, "above", {})
        for name, value in properties.items():
            lines = comment(above.get(name, ()), self._scope.names)
            place = places.get(name)
            if place is not None:
                self._put(body, place, value, lines)
                continue
            inside = value.items() if isinstance(value, dict) else ()
            inner = {f"{name}.{key}": one for key, one in inside}
            if not inner or not inner.keys() <= places.keys():
                raise UnknownError(f"the property {name}")
            self._fill(body, inner, places)

    def _put(self, body: _Body, place: Place, value: Any, lines: Sequence[str]) -> None:
        match place:
            case Apart():
                pass  # written beside it
            case Block():
                self._blocks(body, place, value, lines)
            case Keys():
                for one in value:
                    name = {"HASH": "hash_key", "RANGE": "range_key"}[one["KeyType"]]
                    body.attribute(name, self._scope.value(one["AttributeName"]))
            case Zip():
                body.attribute("filename", "var.zip_file")
                body.attribute("source_code_hash", "filebase64sha256(var.zip_file)")
            case _:
                body.attribute(*self._attribute(place, value), lines)

    def _attribute(self, place: str | Json | Only | Pairs, value: Any) -> tuple[str, str]:
        match place:
            case Json(attribute):
                return attribute, self._scope.json(value)
            case Only(attribute):
                (item,) = value
                return attribute, self._scope.value(item)
            case Pairs(attribute):
                return attribute, self._scope.value({one["Name"]: one["Value"] for one in value})
        if only_key(value) == "Fn::Sub" and isinstance(value["Fn::Sub"], str):
            value = {"Fn::Sub": commanded(value["Fn::Sub"])}
        return place, self._scope.value(value)

    def _blocks(self, body: _Body, place: Block, value: Any, lines: Sequence[str]) -> None:
        above = getattr(value, "above", {}) if isinstance(value, list) else {}
        for number, one in enumerate(value if isinstance(value, list) else [value]):
            inner = _Body()
            self._fill(inner, one, place.places)
            own = comment(above.get(number, ()), self._scope.names)
            body.block(place.name, inner, [*(lines if number == 0 else ()), *own])


class _Body:
    """
    What stands between the braces of a block: attributes, and blocks with a blank line around.
    """

    def __init__(self) -> None:
        self._parts: list[str] = []

    def attribute(self, name: str, value: str, comments: Sequence[str] = ()) -> None:
        self._parts.append(hcl.assignment(name, value, comments))

    def block(self, name: str, body: _Body, comments: Sequence[str]) -> None:
        self.gap()
        self._parts += ["\n".join([*comments, hcl.block(name, [body.text()])]), ""]

    def gap(self) -> None:
        if self._parts and self._parts[-1]:
            self._parts.append("")

    def text(self) -> str:
        return "\n".join(self._parts).strip("\n")
