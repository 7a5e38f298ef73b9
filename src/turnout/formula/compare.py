"""Comparisons (`formulas.md` §5): lenient between types, and "at least one" for arrays."""

from collections.abc import Callable

from turnout.formula.run import Run
from turnout.formula.values import numeric

_NUMBERS = frozenset((int, float))

Test = Callable[[Run, object, object], bool]


def equal(run: Run, left: object, right: object) -> bool:
    """`=`: by value within a type; numbers and booleans also equal the texts that write them."""
    kind, other = type(left), type(right)
    if kind is list or other is list:
        if type(left) is list and other is str and right in left:
            run.spend(len(left))
            return True
        return _any_pair(run, equal, left, right)
    if kind is str:
        if other is str:
            return left == right
        return _spells(left, right)
    if other is str:
        return _spells(right, left)
    if kind is bool or other is bool or left is None or right is None:
        return left is right
    if kind is dict and other is dict:
        return same(run, left, right)
    return kind is not dict and other is not dict and left == right


def same(run: Run, left: object, right: object) -> bool:
    """Deep equality of JSON values: no conversions, order of an object's keys aside. 1 and 1.0 are the same."""
    run.spend(1)
    if isinstance(left, dict) and isinstance(right, dict):
        return len(left) == len(right) and all(
            name in right and same(run, value, right[name]) for name, value in left.items()
        )
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(same(run, one, other) for one, other in zip(left, right, strict=True))
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    return left == right


def _ordered(numbers: Callable[[float, float], bool], texts: Callable[[str, str], bool]) -> Test:
    """`<` and its kin: two numbers, or texts that write them, by value; other texts by code points; else false."""

    def test(run: Run, left: object, right: object) -> bool:
        if type(left) in _NUMBERS and type(right) in _NUMBERS:
            return numbers(left, right)  # type: ignore[arg-type] # the line above
        if isinstance(left, list) or isinstance(right, list):
            return _any_pair(run, test, left, right)
        a, b = numeric(left), numeric(right)
        if a is not None and b is not None:
            return numbers(a, b)
        return isinstance(left, str) and isinstance(right, str) and texts(left, right)

    return test


ORDER: dict[str, Test] = {
    "<": _ordered(lambda a, b: a < b, lambda a, b: a < b),
    ">": _ordered(lambda a, b: a > b, lambda a, b: a > b),
    "<=": _ordered(lambda a, b: a <= b, lambda a, b: a <= b),
    ">=": _ordered(lambda a, b: a >= b, lambda a, b: a >= b),
}


def between(run: Run, value: object, low: object, high: object) -> bool:
    """`BETWEEN`: bounds included; of an array one element lies between them."""
    if type(value) is list:
        run.spend(len(value))
        return any(between(run, each, low, high) for each in value)
    return ORDER[">="](run, value, low) and ORDER["<="](run, value, high)


def among(run: Run, value: object, texts: frozenset[str]) -> bool:
    """`IN` with nothing but constant texts."""
    if type(value) is str:
        return value in texts
    if type(value) is list and all(type(one) is str for one in value):
        run.spend(len(value) * len(texts))
        return not texts.isdisjoint(value)
    return any(equal(run, value, text) for text in texts)


def _any_pair(run: Run, test: Test, left: object, right: object) -> bool:
    lefts: list[object] = left if isinstance(left, list) else [left]
    rights: list[object] = right if isinstance(right, list) else [right]
    run.spend(len(lefts) * len(rights))
    return any(test(run, a, b) for a in lefts for b in rights)


def _spells(text: object, value: object) -> bool:
    """Whether a text writes this value, which is no text."""
    if value is True or value is False:
        return text == ("true" if value else "false")
    if type(value) is int or type(value) is float:
        return numeric(text) == value
    return False
