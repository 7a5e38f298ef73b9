"""Operators as lines of Python (`formulas.md` §5), with short cuts for what filters are mostly made of.

The short cut for the kinds of operands that are usual stands in the line itself; all else is left to the helper that
knows every case (`compare.py`, `matching.py`, `arithmetic.py`).
"""

from collections.abc import Sequence

from turnout.formula import compare
from turnout.formula.arithmetic import ARITHMETIC, subtract
from turnout.formula.code import Built, Code, truth
from turnout.formula.compare import ORDER, equal
from turnout.formula.kinds import PATTERN, SHORT_TEXT
from turnout.formula.kinds import pattern as read_pattern
from turnout.formula.matching import TEXT_TESTS, found, matches_written
from turnout.formula.run import Run
from turnout.formula.source import Source

_NUMBER = "type({0}) is int or type({0}) is float"
_INLINE = {"STARTSWITH": "{0}.startswith({1})", "ENDSWITH": "{0}.endswith({1})", "CONTAINS": "{1} in {0}"}


def array(items: Sequence[Code]) -> Built:
    """`[a, b]`."""
    return Built(lambda to: to.let(f"[{', '.join([one.write(to) for one in items])}]"), list)


def object_of(entries: Sequence[tuple[str, Code]]) -> Built:
    """`{a: x}`."""

    def write(to: Source) -> str:
        return to.let(f"{{{', '.join([f'{to.name(name)}: {value.write(to)}' for name, value in entries])}}}")

    return Built(write, dict)


def negation(operand: Code) -> Built:
    """`NOT a`."""
    return Built(lambda to: to.let(f"not {truth(to, operand)}"), bool)


def junction(operands: Sequence[Code], ends: bool) -> Built:
    """`OR` (`ends` is true) and `AND`: the first operand that is `ends` is the last to be evaluated."""

    def write(to: Source) -> str:
        result = to.let(truth(to, operands[0]))
        for one in operands[1:]:
            with to.block(f"if {'not ' if ends else ''}{result}:"):
                to.line(f"{result} = {truth(to, one)}")
        return result

    return Built(write, bool)


def comparison(operator: str, left: Code, right: Code) -> Built:
    """`=`, `!=`, `<`, `>`, `<=`, `>=`."""

    def write(to: Source) -> str:
        a, b = left.write(to), right.write(to)
        sign = "==" if operator == "=" else operator
        helper = to.call(equal if operator in ("=", "!=") else ORDER[operator], "run", a, b)
        if operator == "!=":
            helper = f"not {helper}"
        if right.kind is str and operator in ("=", "!="):
            return to.let(f"{a} {sign} {b} if type({a}) is str else {helper}")
        if right.kind in (int, float):
            return to.let(f"{a} {sign} {b} if {_NUMBER.format(a)} else {helper}")
        return to.let(helper)

    return Built(write, bool)


def match(left: Code, right: Code, wanted: bool) -> Built:
    """`~` (`wanted`) and `!~`."""
    if not right.constant or right.value is None:
        return Built(
            lambda to: to.let(to.call(matches_written, "run", left.write(to), right.write(to), to.name(wanted)))
        )
    pattern = read_pattern(Run({}, 0), right.value)
    assert pattern is not None, f"the compiler has judged it by {PATTERN.name}"

    def write(to: Source) -> str:
        value, fixed = left.write(to), to.name(pattern)
        test = f"{fixed}.test({value}) if {SHORT_TEXT.format(value)} else {to.call(found, 'run', value, fixed)}"
        return to.let(test if wanted else f"not ({test})")

    return Built(write, bool)


def among(operator: str, left: Code, values: Sequence[Code]) -> Built:
    """`IN`, `!IN`, `STARTSWITH`, `ENDSWITH`, `CONTAINS`: at least one of the values does."""
    if operator in TEXT_TESTS:
        return _any(left, values, operator)
    wanted = operator == "IN"
    if all(code.kind is str and code.constant for code in values):
        texts = frozenset(code.value for code in values)

        def write(to: Source) -> str:
            value, listed = left.write(to), to.name(texts)
            other = to.call(compare.among, "run", value, listed)
            test = f"{value} in {listed} if type({value}) is str else {other}"
            return to.let(test if wanted else f"not ({test})")

        return Built(write, bool)
    any_equal = _any(left, values)
    return any_equal if wanted else Built(lambda to: to.let(f"not {any_equal.write(to)}"), bool)


def _any(left: Code, values: Sequence[Code], operator: str = "=") -> Built:
    """One of the values passes; those behind it are not evaluated."""

    def test(to: Source, value: str, other: Code) -> str:
        atom = other.write(to)
        if operator not in TEXT_TESTS:
            return to.call(equal, "run", value, atom)
        helper = to.call(TEXT_TESTS[operator], "run", value, atom)
        if other.kind is not str:
            return helper
        return f"{_INLINE[operator].format(value, atom)} if {SHORT_TEXT.format(value)} else {helper}"

    def write(to: Source) -> str:
        value = left.write(to)
        result = to.let(test(to, value, values[0]))
        for other in values[1:]:
            with to.block(f"if not {result}:"):
                to.line(f"{result} = {test(to, value, other)}")
        return result

    return Built(write, bool)


def between(operand: Code, low: Code, high: Code) -> Built:
    """`x BETWEEN(a, b)`."""

    def write(to: Source) -> str:
        value, least, most = operand.write(to), low.write(to), high.write(to)
        helper = to.call(compare.between, "run", value, least, most)
        if low.kind in (int, float) and high.kind in (int, float):
            return to.let(f"{least} <= {value} <= {most} if {_NUMBER.format(value)} else {helper}")
        return to.let(helper)

    return Built(write, bool)


def arithmetic(first: Code, rest: Sequence[tuple[str, Code]]) -> Built:
    """A chain from left to right."""

    def write(to: Source) -> str:
        value = first.write(to)
        for sign, code in rest:
            value = to.let(to.call(ARITHMETIC[sign], "run", value, code.write(to)))
        return value

    return Built(write)


def negative(operand: Code) -> Built:
    """`-a`."""
    return Built(lambda to: to.let(to.call(subtract, "run", to.name(0), operand.write(to))))
