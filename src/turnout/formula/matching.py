"""Patterns and text tests at evaluation time (`formulas.md` §5): of an array, one element must pass."""

from collections.abc import Callable
from typing import TypeAlias

from turnout.formula import limits
from turnout.formula.kinds import pattern as read_pattern
from turnout.formula.kinds import string
from turnout.formula.pattern import Pattern
from turnout.formula.run import Run

_SHORT = 256

Test: TypeAlias = Callable[[Run, object, object], bool]


def found(run: Run, value: object, pattern: Pattern) -> bool:
    """`~`: the pattern is found in the text, or in one of an array. Null matches nothing."""
    if type(value) is list:
        run.spend(len(value))
        return any(found(run, one, pattern) for one in value)
    if value is None:
        return False
    text = string(run, value)
    return searchable(run, text, pattern) and pattern.test(text)


def matches(run: Run, value: object, pattern: Pattern) -> bool:
    """As `found`, with a short cut for short texts."""
    return pattern.test(value) if type(value) is str and len(value) <= _SHORT else found(run, value, pattern)


def matches_written(run: Run, value: object, written: object, wanted: bool) -> bool | None:
    """`~` (`wanted`) and `!~` with a pattern that is known only now; null where it is none."""
    if written is None:
        return not wanted
    pattern = read_pattern(run, written)
    return None if pattern is None else found(run, value, pattern) is wanted


def searchable(run: Run, text: str, pattern: Pattern) -> bool:
    """Whether a pattern may run on this text, which is then paid for; a warning where it is too long."""
    if len(text) > _SHORT:
        if len(text) > limits.RESULT_BYTES:
            run.warn("text_too_long", f"patterns search texts of {limits.RESULT_BYTES} characters at most")
            return False
        run.spend(pattern.cost(len(text)))
    return True


def _text_test(holds: Callable[[str, str], bool]) -> Test:
    def test(run: Run, value: object, other: object) -> bool:
        if type(value) is str and type(other) is str:
            run.pay_for(value)
            return holds(value, other)
        if value is None or other is None:
            return False
        if type(value) is list:
            run.spend(len(value))
            return any(test(run, one, other) for one in value)
        if type(other) is list:
            run.spend(len(other))
            return any(test(run, value, one) for one in other)
        return holds(string(run, value), string(run, other))

    return test


TEXT_TESTS: dict[str, Test] = {
    "STARTSWITH": _text_test(str.startswith),
    "ENDSWITH": _text_test(str.endswith),
    "CONTAINS": _text_test(str.__contains__),
}
