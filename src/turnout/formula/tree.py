"""The syntax tree of a formula: frozen, typed, one class per construct of the grammar (`formulas.md` §3).

`at` is the offset in the text; it takes no part in comparisons, so that trees are equal if they say the same.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

Scalar: TypeAlias = bool | int | float | str | None


@dataclass(frozen=True, slots=True)
class Constant:
    """A literal. Numbers are not negative: `-2` is the negation of 2."""

    value: Scalar
    at: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Path:
    """`items.0.product`: the names and digits between the dots."""

    parts: tuple[str, ...]
    at: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Call:
    """A function, its name in upper case, and its arguments."""

    name: str
    arguments: tuple["Node", ...]
    at: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Array:
    """`[a, b]`."""

    items: tuple["Node", ...]
    at: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Object:
    """`{a: x, "b c": y}`."""

    entries: tuple[tuple[str, "Node"], ...]
    at: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Negative:
    """`-a`."""

    operand: "Node"
    at: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Not:
    """`NOT a`."""

    operand: "Node"
    at: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """A chain of `+` and `-`, or one of `*` and `/`, from left to right: two operands at least."""

    first: "Node"
    rest: tuple[tuple[str, "Node"], ...]
    at: int = field(default=0, compare=False)

    @property
    def additive(self) -> bool:
        """Whether it is a chain of `+` and `-`."""
        return self.rest[0][0] in "+-"


@dataclass(frozen=True, slots=True)
class Comparison:
    """`=`, `!=`, `<`, `>`, `<=`, `>=`, `~` or `!~` between two values."""

    operator: str
    left: "Node"
    right: "Node"
    at: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Among:
    """`IN`, `!IN`, `STARTSWITH`, `ENDSWITH` or `CONTAINS` with one value or more on the right."""

    operator: str
    left: "Node"
    values: tuple["Node", ...]
    at: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Between:
    """`x BETWEEN(low, high)`."""

    operand: "Node"
    low: "Node"
    high: "Node"
    at: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class And:
    """Two operands at least."""

    operands: tuple["Node", ...]
    at: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Or:
    """Two operands at least."""

    operands: tuple["Node", ...]
    at: int = field(default=0, compare=False)


Node: TypeAlias = (
    Constant | Path | Call | Array | Object | Negative | Not | Arithmetic | Comparison | Among | Between | And | Or
)


def children(node: Node) -> tuple[Node, ...]:
    """The nodes directly below, in the order they are written."""
    match node:
        case Constant() | Path():
            return ()
        case Call(_, below) | Array(below) | And(below) | Or(below):
            return below
        case Object(entries):
            return tuple(value for _, value in entries)
        case Negative(operand) | Not(operand):
            return (operand,)
        case Arithmetic(first, rest):
            return (first, *(operand for _, operand in rest))
        case Comparison(_, left, right):
            return (left, right)
        case Among(_, left, values):
            return (left, *values)
        case Between(operand, low, high):
            return (operand, low, high)


def walk(node: Node) -> Iterator[Node]:
    """The node and all below it, in the order they are written; for trees of any depth."""
    waiting = [node]
    while waiting:
        one = waiting.pop()
        yield one
        waiting += reversed(children(one))
