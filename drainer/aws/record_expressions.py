"""
A conditional write in DynamoDB's words: its condition, what it sets, and the values of both.

The meaning of a condition and of a write is defined in drainer/drain/conditional_write.py.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from drainer.drain.conditional_write import Demand
from drainer.drain.record import End
from drainer.drain.record_fields import KEY_NAMES, NAMES, seconds

if TYPE_CHECKING:
    from collections.abc import Mapping

    from drainer.drain.conditional_write import Write

OF_AN_EXTENSION = ("extended_to", "extended_by")
OF_A_RELEASE = ("released_by",)
OF_AN_OPERATOR = (*OF_AN_EXTENSION, *OF_A_RELEASE)
# Not the pass: its own write, should the SDK repeat it, must still be known by its id.
OF_A_JOIN = ("token", "began_at", "deadline_at")
# What a pass sets beside what is its own: the token and when the action began are the join's to
# set, and what names the generation is its creator's. An extension and a release are the
# operator's.
OF_A_PASS = tuple(
    one
    for one in NAMES
    if one not in {*KEY_NAMES, "generation", "previous", *OF_A_JOIN, *OF_AN_OPERATOR}
)
OF_AN_END = tuple(one for one in OF_A_PASS if one != "hop")
OF_A_CREATION = tuple(one for one in NAMES if one not in KEY_NAMES)

IS_OPEN = "attribute_not_exists(#end)"
HAS_ENDED = "attribute_exists(#end)"
DEMANDS = {
    Demand.ABSENT: ("attribute_not_exists(#instance)",),
    Demand.REPLACES: (),
    Demand.OVERTAKES: (IS_OPEN, "attribute_not_exists(#token)"),
    Demand.SUCCEEDS: (HAS_ENDED,),
    Demand.FOLLOWS: (IS_OPEN,),
    Demand.JOINS: (IS_OPEN, "attribute_not_exists(#token)"),
    Demand.ENDS_FIRST: (IS_OPEN, "attribute_not_exists(#token)"),
    Demand.REOPENS: (HAS_ENDED, "attribute_not_exists(#token)"),
    Demand.ENDS: (f"({IS_OPEN} OR #end = :over)",),
    Demand.OVER: (IS_OPEN,),
    Demand.FORGETS: (HAS_ENDED,),
    Demand.SERVES: (HAS_ENDED,),
    Demand.EXTENDS: (IS_OPEN,),
    Demand.RELEASES: (),
}
SETS = {
    Demand.ABSENT: OF_A_CREATION,
    Demand.REPLACES: OF_A_CREATION,
    Demand.OVERTAKES: OF_A_CREATION,
    Demand.SUCCEEDS: OF_A_CREATION,
    Demand.FOLLOWS: OF_A_PASS,
    Demand.JOINS: OF_A_JOIN,
    Demand.ENDS_FIRST: OF_AN_END,
    Demand.REOPENS: OF_AN_END,
    Demand.ENDS: OF_AN_END,
    Demand.OVER: OF_AN_END,
    Demand.FORGETS: ("open", "expires_at", "pass_id"),
    Demand.SERVES: ("served", "pass_id"),
    Demand.EXTENDS: OF_AN_EXTENSION,
    Demand.RELEASES: OF_A_RELEASE,
}
# Set the deadline only where there is none: a join may have lowered it since it was read.
PASSES = (Demand.FOLLOWS, Demand.ENDS_FIRST, Demand.REOPENS, Demand.ENDS, Demand.OVER)


def update(write: Write, item: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of the update, as `conditional_write.stored` says."""
    demand, condition = write.condition.demand, write.condition
    terms, values = list(DEMANDS[demand]), dict[str, Any]()
    if demand != Demand.ABSENT:
        terms.insert(0, "#generation = :was_generation")
        values[":was_generation"] = condition.generation
    if condition.hop is not None:
        terms.append("#hop = :was_hop")
        values[":was_hop"] = condition.hop
    if demand == Demand.EXTENDS and condition.extended_to is None:
        terms.append("attribute_not_exists(#extended_to)")
    elif demand == Demand.EXTENDS:
        terms.append("#extended_to = :was_extended_to")
        values[":was_extended_to"] = seconds(condition.extended_to)
    if demand == Demand.ENDS:
        values[":over"] = str(End.OVER)
    names = SETS[demand]
    if demand == Demand.JOINS and condition.hop is not None:
        names = tuple(dict.fromkeys((*OF_A_PASS, *OF_A_JOIN)))
    gone = [one for one in names if one not in item or (demand, one) == (Demand.FORGETS, "open")]
    kept = [one for one in names if one not in gone]
    clauses = [f"#{one} = :{one}" for one in kept]
    if demand in PASSES and "deadline_at" in item:
        clauses.append("#deadline_at = if_not_exists(#deadline_at, :deadline_at)")
        kept.append("deadline_at")
    expression = "SET " + ", ".join(clauses)
    if gone:
        expression += " REMOVE " + ", ".join(f"#{one}" for one in gone)
    text = " AND ".join(terms)
    values |= {f":{one}": item[one] for one in kept}
    used = {*kept, *gone, *re.findall(r"#(\w+)", text)}
    return {
        "UpdateExpression": expression,
        "ConditionExpression": text,
        "ExpressionAttributeNames": {f"#{one}": one for one in sorted(used)},
        "ExpressionAttributeValues": attributes(values),
    }


def attributes(values: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return plain values as DynamoDB takes them, by their names."""
    return {name: _attribute(value) for name, value in values.items()}


def _attribute(value: Any) -> dict[str, Any]:
    # Numbers are sent as text.
    # https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_AttributeValue.html
    if isinstance(value, str):
        return {"S": value}
    if isinstance(value, dict):
        return {"M": attributes(value)}
    if isinstance(value, list):
        return {"L": [_attribute(one) for one in value]}
    return {"N": str(value)}


def plain(attribute: Mapping[str, Any]) -> Any:
    """Return the plain value in one of DynamoDB's."""
    ((kind, value),) = attribute.items()
    if kind == "N":
        return int(value) if value.lstrip("-").isdecimal() else float(value)
    if kind == "M":
        return {name: plain(one) for name, one in value.items()}
    if kind == "L":
        return [plain(one) for one in value]
    return value
