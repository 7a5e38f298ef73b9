"""What a part of a formula compiles to: lines of a Python function, and what is known of their value."""

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from turnout.formula.errors import LimitError
from turnout.formula.run import Run
from turnout.formula.source import Source
from turnout.formula.tree import Node
from turnout.formula.values import truthy

Write: TypeAlias = Callable[[Source], str]
"""Writes the lines that compute a value; gives its atom. Each time it is called it writes them anew."""
Evaluate: TypeAlias = Callable[[Run], object]

HEAD = "def formula(run, element=None, index=0):"
"""In the source of a formula `run`, `event`, `element` and `index` are what they are called."""


class Code(NamedTuple):
    """How to write a part, the node it came from, and its value if it is the same for every event (`constant`)."""

    write: Write
    node: Node
    constant: bool = False
    value: object = None
    kind: type | None = None
    """The exact type of its value, if it is the same for every event."""
    present: Write | None = None
    """For paths: whether the property is there, be it null."""
    size: int = 1
    """How many nodes are evaluated, at most: what one turn of a loop costs."""


class Built(NamedTuple):
    """How to write an operator or function, and the exact type of what it gives, if that is known."""

    write: Write
    kind: type | None = None


def constant(value: object, node: Node) -> Code:
    """Code that gives this value."""
    return Code(lambda to: to.name(value), node, True, value, type(value))


def folded(code: Code) -> Code:
    """Code whose operands are constants, evaluated now; left as it is where that needs a warning or fails."""
    to = Source(HEAD)
    to.line("event = run.event")
    to.line(f"return {code.write(to)}")
    run = Run({}, 0)
    try:
        value = to.function()(run)
    except LimitError:
        return code
    return code if run.warnings else constant(value, code.node)


def truth(to: Source, code: Code) -> str:
    """Write a part as a condition; gives an expression that is True or False."""
    atom = code.write(to)
    return atom if code.kind is bool else f"({atom} is True or {to.call(truthy, atom)})"
