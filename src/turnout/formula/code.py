"""What a part of a formula compiles to."""

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from turnout.formula.errors import LimitError
from turnout.formula.run import Run
from turnout.formula.tree import Node

Evaluate: TypeAlias = Callable[[Run], object]


class Code(NamedTuple):
    """A closure, the node it came from, and its value if it is the same for every event (`constant`)."""

    evaluate: Evaluate
    node: Node
    constant: bool = False
    value: object = None
    present: Evaluate | None = None
    """For paths: whether the property is there, be it null."""
    size: int = 1
    """How many nodes are evaluated, at most: what one turn of a loop costs."""


def constant(value: object, node: Node) -> Code:
    """Code that gives this value."""
    return Code(lambda run: value, node, True, value)


def folded(code: Code) -> Code:
    """Code whose operands are constants, evaluated now; left as it is where that needs a warning or fails."""
    run = Run({}, 0)
    try:
        value = code.evaluate(run)
    except LimitError:
        return code
    return code if run.warnings else constant(value, code.node)
