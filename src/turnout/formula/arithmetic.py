"""`+`, `-`, `*` and `/` at evaluation time (`formulas.md` §5)."""

from collections.abc import Callable

from turnout.formula.kinds import shown, string
from turnout.formula.run import Run
from turnout.formula.values import number, settled

_SHORT = 256


def add(run: Run, left: object, right: object) -> object:
    """The sum; the joined text if either is a text."""
    if type(left) is str or type(right) is str:
        if type(left) is str and type(right) is str and len(left) + len(right) <= _SHORT:
            return left + right
        return run.bounded(string(run, left) + string(run, right))
    a, b = _operand(run, left), _operand(run, right)
    return None if a is None or b is None else settled(a + b)


def subtract(run: Run, left: object, right: object) -> object:
    """The difference."""
    a, b = _operand(run, left), _operand(run, right)
    return None if a is None or b is None else settled(a - b)


def multiply(run: Run, left: object, right: object) -> object:
    """The product."""
    a, b = _operand(run, left), _operand(run, right)
    return None if a is None or b is None else settled(a * b)


def divide(run: Run, left: object, right: object) -> object:
    """The quotient; null, with a warning, where it is by zero."""
    a, b = _operand(run, left), _operand(run, right)
    if b == 0:
        run.warn("division_by_zero", "a division by zero")
        return None
    return None if a is None or b is None else settled(a / b)


def _operand(run: Run, value: object) -> int | float | None:
    if type(value) is int or type(value) is float:
        return value
    made = number(value)
    if made is None and value is not None:
        if type(value) is list:
            run.warn("array_operand", "an array in arithmetic: use FOR_EACH or SUM")
        else:
            run.warn("not_a_number", f"{shown(value)} is not a number")
    return made


ARITHMETIC: dict[str, Callable[[Run, object, object], object]] = {
    "+": add,
    "-": subtract,
    "*": multiply,
    "/": divide,
}
