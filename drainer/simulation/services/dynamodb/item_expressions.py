"""
DynamoDB's items and expressions, as far as the tables here are asked: what is not known is refused.

https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.OperatorsAndFunctions.html
"""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from drainer.simulation.records import ApiError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

Item = dict[str, dict[str, Any]]

EXISTS = re.compile(r"attribute_(not_)?exists\((#\w+)\)")
EQUALS = re.compile(r"(#\w+) = (:\w+)")
UNLESS_THERE = re.compile(r"(#\w+) = if_not_exists\((#\w+), (:\w+)\)")
# What a condition can ask of a name, beside equality with a value, whose key begins with a colon.
THERE, NOT_THERE = "there", "not there"
BRACKETS = re.compile(r"^\((.*)\)$")
UPDATE = re.compile(r"SET (.+?)(?: REMOVE (.+))?")
CLAUSES = re.compile(r", (?=#)")
# "Up to 4 KB" is the longest expression.
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html
EXPRESSION_BYTES_MAX = 4 * 1_024
# Which names are set and removed are a few hundred combinations.
EXPRESSIONS_KEPT_MAX = 10_000
# Each number of an item is read again whenever the item is.
NUMBERS_KEPT_MAX = 10_000


class Expressions:
    """The expressions of one request, with its names and values; each of them must be used."""

    def __init__(self, names: Mapping[str, str], values: Mapping[str, Any]) -> None:
        self._names = names
        self._values = copied(values)
        self._used: set[str] = set()

    def holds(self, condition: str | None, item: Item) -> bool:
        """Judge terms that all must hold; in brackets, terms of which one must."""
        if condition is None:
            return True
        # Every term is judged, so that every name is looked up.
        terms = [[self._atom(*atom, item) for atom in term] for term in _terms(condition)]
        return all(map(any, terms))

    def _atom(self, name: str, wanted: str, item: Item) -> bool:
        present = item.get(self._name(name))
        if wanted in (THERE, NOT_THERE):
            return (present is not None) == (wanted == THERE)
        value = self._value(wanted)
        return present is not None and plain(present) == plain(value)

    def updated(self, update: str, item: Item, *, fixed: Collection[str]) -> Item:
        """Return an item with the changes of an update that sets and removes."""
        sets, removes = _parsed(update)
        # Values are replaced and never changed, so that versions of an item may share them.
        changed, touched = dict(item), list[str]()
        for to, there, value_key in sets:
            touched.append(self._name(to))
            value = self._value(value_key)
            changed[touched[-1]] = item.get(self._name(there), value) if there else value
        for key in removes:
            touched.append(self._name(key))
            changed.pop(touched[-1], None)
        if len(set(touched)) < len(touched):
            raise invalid("Invalid UpdateExpression: Two document paths overlap with each other")
        if set(touched) & set(fixed):
            raise invalid("Cannot update attribute. This attribute is part of the key")
        return changed

    def equal_to(self, condition: str, name: str) -> dict[str, Any]:
        """Return the value that a key condition asks a partition key to have."""
        found = EQUALS.fullmatch(condition)
        if not found or self._name(found[1]) != name:
            raise invalid("Query condition missed key schema element")
        return self._value(found[2])

    def all_used(self) -> None:
        """Refuse names and values that no expression uses, as DynamoDB does."""
        if {*self._names, *self._values} - self._used:
            raise invalid("Value provided in ExpressionAttributeNames or Values unused")

    def _name(self, key: str) -> str:
        self._used.add(key)
        if key not in self._names:
            raise invalid(f"An expression attribute name used is not defined: {key}")
        return self._names[key]

    def _value(self, key: str) -> dict[str, Any]:
        self._used.add(key)
        if key not in self._values:
            raise invalid(f"An expression attribute value used is not defined: {key}")
        return self._values[key]


@lru_cache(EXPRESSIONS_KEPT_MAX)
def _terms(condition: str) -> tuple[tuple[tuple[str, str], ...], ...]:
    """
    Return the terms of a condition, all of which must hold, and of each the atoms, one of which.

    An atom is a name and the key of the value that it must have, or whether it must be there.
    """
    _bounded(condition)
    return tuple(
        tuple(map(_atom, BRACKETS.sub(r"\1", term).split(" OR ")))
        for term in condition.split(" AND ")
    )


def _atom(text: str) -> tuple[str, str]:
    if found := EXISTS.fullmatch(text):
        return found[2], NOT_THERE if found[1] else THERE
    if found := EQUALS.fullmatch(text):
        return found[1], found[2]
    raise invalid(f"Invalid ConditionExpression: {text}")


@lru_cache(EXPRESSIONS_KEPT_MAX)
def _parsed(update: str) -> tuple[tuple[tuple[str, str, str], ...], tuple[str, ...]]:
    """
    Return what an update sets, and what it removes.

    What it sets is a name, the name whose value goes before if it is there or nothing, and a value.
    """
    _bounded(update)
    found = UPDATE.fullmatch(update)
    if not found:
        raise invalid("Invalid UpdateExpression: it sets nothing")
    sets = []
    for clause in CLAUSES.split(found[1]):
        plainly, unless = EQUALS.fullmatch(clause), UNLESS_THERE.fullmatch(clause)
        if unless:
            sets.append((unless[1], unless[2], unless[3]))
        elif plainly:
            sets.append((plainly[1], "", plainly[2]))
        else:
            raise invalid(f"Invalid UpdateExpression: {clause}")
    return tuple(sets), tuple(CLAUSES.split(found[2])) if found[2] else ()


def copied(item: Mapping[str, Any]) -> Item:
    """Copy an item, whose values must be ones that are understood."""
    return {name: _copied(value) for name, value in item.items()}


def _copied(value: Mapping[str, Any]) -> dict[str, Any]:
    kind, inner = _kind(value)
    if kind == "M":
        return {kind: copied(inner)}
    if kind == "L":
        return {kind: [_copied(one) for one in inner]}
    if kind == "N":
        _number(inner)
    return {kind: inner}


def _kind(value: Mapping[str, Any]) -> tuple[str, Any]:
    if len(value) == 1:
        ((kind, inner),) = value.items()
        if kind in ("S", "N", "M", "L"):
            return kind, inner
    raise invalid("Supplied AttributeValue has more or other than S, N, M or L")


def plain(value: Mapping[str, Any]) -> Any:
    """Return a value to compare; numbers are sent as text, and compared as numbers."""
    kind, inner = _kind(value)
    if kind == "S":
        return inner
    if kind == "M":
        return {name: plain(one) for name, one in inner.items()}
    if kind == "L":
        return [plain(one) for one in inner]
    return _number(inner)


@lru_cache(NUMBERS_KEPT_MAX)
def _number(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        message = f"The parameter cannot be converted to a numeric value: {text}"
        raise invalid(message) from None


def size(item: Mapping[str, Any]) -> int:
    """Return about how many bytes an item has: its names, its texts and the digits of numbers."""
    return sum(len(name.encode()) + _size(value) for name, value in item.items())


def _size(value: Mapping[str, Any]) -> int:
    ((kind, inner),) = value.items()
    if kind == "M":
        return 3 + size(inner)
    if kind == "L":
        return 3 + sum(map(_size, inner))
    return len(str(inner).encode())


def _bounded(expression: str) -> None:
    if len(expression.encode()) > EXPRESSION_BYTES_MAX:
        raise invalid("Expression size has exceeded the maximum allowed size")


def invalid(message: str) -> ApiError:
    """Return the refusal of a request that is wrong in itself."""
    return ApiError("ValidationException", message)
