"""
Parameters of a template as variables of a module.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from drainer.cli.terraform import hcl
from drainer.cli.terraform.expressions import UnknownError
from drainer.cli.terraform.words import comment, snake, spoken

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from drainer.cli.terraform.source import Fields

KNOWN = {
    *("Type", "Default", "Description", "ConstraintDescription"),
    *("AllowedPattern", "AllowedValues", "MinLength", "MaxLength", "MinValue", "MaxValue"),
}
BOOLEAN = ["true", "false"]


def type_of(parameter: Mapping[str, Any]) -> str:
    """Return the type of the variable that a parameter becomes."""
    if not parameter.keys() <= KNOWN:
        raise UnknownError(f"{sorted(parameter.keys() - KNOWN)} of a parameter")
    match parameter:
        case {"Type": "Number"}:
            return "number"
        case {"Type": "String", "AllowedValues": values} if list(values) == BOOLEAN:
            return "bool"
        case {"Type": "String"}:
            return "string"
    raise UnknownError(f"a parameter of type {parameter['Type']}")


def variable(
    name: str,
    description: str,
    *,
    kind: str,
    default: str = "",
    checks: Sequence[tuple[str, str]] = (),
    comments: Sequence[str] = (),
) -> str:
    """
    Return a variable that takes its default for null.

    Args:
        name: its name.
        description: what it sets.
        kind: its type.
        default: its default, as HCL; empty if a value has to be given.
        checks: conditions of valid values, each with what a valid value is.
        comments: lines to stand in it.
    """
    body = [*comments, hcl.assignment("description", hcl.literal(description))]
    body.append(hcl.assignment("type", kind))
    if default:
        body.append(hcl.assignment("default", default))
    body.append(hcl.assignment("nullable", "false"))
    for condition, text in checks:
        check = [
            hcl.assignment("condition", condition),
            hcl.assignment("error_message", hcl.literal(text)),
        ]
        body += ["", hcl.block("validation", check)]
    return hcl.block(f'variable "{name}"', ["\n".join(body)])


def variable_of(name: str, parameter: Fields, above: Sequence[str], names: Iterable[str]) -> str:
    """Return the variable that a parameter becomes, with its default and its bounds."""
    kind = type_of(parameter)
    default = ""
    if "Default" in parameter:
        value = parameter["Default"]
        default = value if kind == "bool" else hcl.literal(value)
    inside = [line for key in parameter for line in parameter.above[key]]
    return variable(
        snake(name),
        spoken(parameter["Description"], names),
        kind=kind,
        default=default,
        checks=[] if kind == "bool" else [*_checks(f"var.{snake(name)}", parameter)],
        comments=comment([*above, *inside], names),
    )


def _checks(place: str, parameter: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    match parameter:
        case {"MinValue": least, "MaxValue": most}:
            yield f"{place} >= {least} && {place} <= {most}", f"{least} to {most}."
        case {"AllowedValues": values}:
            written = hcl.sequence([(hcl.literal(one), ()) for one in values])
            named = ", ".join(str(one) or "empty" for one in values)
            yield f"contains({written}, {place})", f"One of: {named}."
    if "AllowedPattern" in parameter:
        pattern = parameter["AllowedPattern"]
        text = parameter.get("ConstraintDescription", f"It must match {pattern}")
        yield f"can(regex({hcl.literal(pattern)}, {place}))", text
    if "MinLength" in parameter:
        least, most = parameter["MinLength"], parameter["MaxLength"]
        bounds = f"length({place}) >= {least} && length({place}) <= {most}"
        yield bounds, f"{least} to {most} characters."
    elif "MaxLength" in parameter:
        most = parameter["MaxLength"]
        yield f"length({place}) <= {most}", f"At most {most} characters."
