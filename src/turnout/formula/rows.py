"""Rows of a simple filter → a formula's tree (`formulas.md` §9), so that simple filters can be shown as formulas."""

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from turnout.formula.grammar import NAME, RESERVED
from turnout.formula.tree import Among, And, Call, Comparison, Constant, Node, Not, Or, Path, Scalar

_IS_PATH = re.compile(rf"{NAME}(?:\.(?:{NAME}|[0-9]+))*").fullmatch


class Row(NamedTuple):
    """A property, an operator (one of `OPERATORS`), and values, of which one must fit."""

    property: str
    operator: str
    values: tuple[Scalar, ...] = ()


def condition(rows: Sequence[Row]) -> Node:
    """All rows must hold; without rows everything passes.

    Raises ValueError for an operator that is none, and for values where there must be some, or none.
    """
    nodes = tuple(_node(row) for row in rows)
    return nodes[0] if len(nodes) == 1 else And(nodes) if nodes else Constant(True)


def property_node(name: str) -> Node:
    """How a formula reads this property: a path, or `GET` where the name has other characters."""
    parts = tuple(name.split("."))
    if _IS_PATH(name) and parts[0].lower() not in RESERVED:
        return Path(parts)
    return Call("GET", (Constant(name),))


def _node(row: Row) -> Node:
    if row.operator not in OPERATORS:
        raise ValueError(f"there is no operator {row.operator!r}; there are {', '.join(OPERATORS)}")
    build = OPERATORS[row.operator]
    if (build in _WITHOUT_VALUES) != (not row.values):
        raise ValueError(f"{row.operator!r} takes {'no values' if row.values else 'a value'}")
    return build(property_node(row.property), tuple(Constant(value) for value in row.values))


_Build = Callable[[Node, tuple[Constant, ...]], Node]


def _equality(one: str, several: str) -> _Build:
    return lambda left, values: Comparison(one, left, values[0]) if len(values) == 1 else Among(several, left, values)


def _pattern(operator: str, join: type[And] | type[Or]) -> _Build:
    def build(left: Node, values: tuple[Constant, ...]) -> Node:
        tests = tuple(Comparison(operator, left, value) for value in values)
        return tests[0] if len(tests) == 1 else join(tests)

    return build


def _text(operator: str) -> _Build:
    return lambda left, values: Among(operator, left, values)


def _call(name: str) -> _Build:
    return lambda left, values: Call(name, (left,))


def _negated(build: _Build) -> _Build:
    return lambda left, values: Not(build(left, values))


_exists, _missing, _empty = _call("EXISTS"), _negated(_call("EXISTS")), _call("ISEMPTY")
_WITHOUT_VALUES = (_exists, _missing, _empty)

OPERATORS: dict[str, _Build] = {
    "is": _equality("=", "IN"),
    "is not": _equality("!=", "!IN"),
    "matches": _pattern("~", Or),
    "does not match": _pattern("!~", And),
    "contains": _text("CONTAINS"),
    "does not contain": _negated(_text("CONTAINS")),
    "starts with": _text("STARTSWITH"),
    "does not start with": _negated(_text("STARTSWITH")),
    "ends with": _text("ENDSWITH"),
    "does not end with": _negated(_text("ENDSWITH")),
    "exists": _exists,
    "does not exist": _missing,
    "is empty": _empty,
}
