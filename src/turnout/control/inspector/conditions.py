"""The operators of `filter[property]` (`config-api.md` C4): a condition and a document in, yes or no out. Pure.

A condition on a path across an array holds if one element meets it; `neq` and `not_contains` hold where `eq` and
`contains` do not, so also where there is nothing at the path.
"""

from collections.abc import Callable, Mapping
from typing import Literal, TypeVar, get_args

import msgspec

from turnout.control.inspector.terms import MORE_PROPERTIES, begins, path_term, value_term, words_of
from turnout.control.inspector.values import Scalar, equal, found, number_of, scalars, spellings, text_of, texts
from turnout.formula.pattern import PatternError, compiled

Operator = Literal[
    "eq", "neq", "gt", "gte", "lt", "lte", "in", "contains", "not_contains",
    "starts_with", "ends_with", "matches", "exists", "empty",
]  # fmt: skip
OPERATORS: tuple[str, ...] = get_args(Operator)
MOST_VALUES = 100

Test = Callable[[object], bool]
C = TypeVar("C", int, float, str)


class ConditionError(ValueError):
    """A condition that can't be: the text says why."""


class Condition(msgspec.Struct, frozen=True):
    """One of `values` must fit. `exists` and `empty` take `true` or `false`."""

    path: str
    operator: Operator
    values: tuple[str, ...]


def predicate(condition: Condition) -> Test:
    """What tells whether a document meets a condition. Raises `ConditionError`."""
    path, values = condition.path.split("."), condition.values
    if not 0 < len(values) <= MOST_VALUES:
        raise ConditionError(f"a condition has at most {MOST_VALUES} values")
    match condition.operator:
        case "exists":
            wanted = _truth(values)
            return lambda document: any(True for _ in found(document, path)) == wanted
        case "empty":
            wanted = _truth(values)
            return lambda document: all(one in (None, "", [], {}) for one in found(document, path)) == wanted
        case "neq" | "not_contains":
            meets = _scalar_test("eq" if condition.operator == "neq" else "contains", values)
            return lambda document: not _any(meets, document, path)
        case operator:
            meets = _scalar_test(operator, values)
            return lambda document: _any(meets, document, path)


def candidates(condition: Condition) -> list[str] | None:
    """Terms of which a record that meets the condition has at least one; None: any record may meet it."""
    path = condition.path
    match condition.operator:
        case "neq" | "not_contains" | "empty":
            return None
        case "exists":
            return None if condition.values == ("false",) else [path_term(path), MORE_PROPERTIES]
        case "eq" | "in":
            texts = {text for value in condition.values for text in spellings(value)}
            return [*(value_term(path, text) for text in sorted(texts)), MORE_PROPERTIES]
        case _:
            return [path_term(path), MORE_PROPERTIES]


def _any(meets: Callable[[Scalar], bool], document: object, path: list[str]) -> bool:
    return any(meets(one) for value in found(document, path) for one in scalars(value))


def _scalar_test(operator: str, values: tuple[str, ...]) -> Callable[[Scalar], bool]:
    tests = [_BUILD[operator](value) for value in values]
    return tests[0] if len(tests) == 1 else lambda value: any(test(value) for test in tests)


def _truth(values: tuple[str, ...]) -> bool:
    if values not in (("true",), ("false",)):
        raise ConditionError("takes true or false")
    return values == ("true",)


def _ordered(holds: Callable[[int], bool]) -> Callable[[str], Callable[[Scalar], bool]]:
    """A comparison: of numbers if the literal is one, else of texts, as which dates are in order too."""

    def build(literal: str) -> Callable[[Scalar], bool]:
        limit = number_of(literal)

        def meets(value: Scalar) -> bool:
            if isinstance(value, bool):
                return False
            if limit is None:
                return isinstance(value, str) and holds(_sign(value, literal))
            number = number_of(value) if isinstance(value, str) else value
            return number is not None and holds(_sign(number, limit))

        return meets

    return build


def _sign(one: C, other: C) -> int:
    return (one > other) - (one < other)


def _texts(holds: Callable[[str, str], bool]) -> Callable[[str], Callable[[Scalar], bool]]:
    return lambda literal: lambda value: holds(text_of(value), literal)


def _pattern(source: str) -> Callable[[Scalar], bool]:
    try:
        pattern = compiled(source)
    except PatternError as error:
        raise ConditionError(f"{error} (at character {error.at + 1})") from error
    return lambda value: pattern.test(text_of(value))


_BUILD: Mapping[str, Callable[[str], Callable[[Scalar], bool]]] = {
    "eq": lambda literal: lambda value: equal(value, literal),
    "in": lambda literal: lambda value: equal(value, literal),
    "gt": _ordered(lambda sign: sign > 0),
    "gte": _ordered(lambda sign: sign >= 0),
    "lt": _ordered(lambda sign: sign < 0),
    "lte": _ordered(lambda sign: sign <= 0),
    "contains": _texts(lambda text, literal: literal in text),
    "starts_with": _texts(str.startswith),
    "ends_with": _texts(str.endswith),
    "matches": _pattern,
}


def word_predicate(sought: str) -> Test:
    """What tells whether every word of a text begins some word in the searchable part of a document."""
    words = words_of(sought)
    if not words:
        raise ConditionError("needs a letter or digit")

    def meets(document: object) -> bool:
        left = set(words)
        for text in texts(document):
            there = words_of(text)
            left -= {word for word in left if any(begins(one, word) for one in there)}
            if not left:
                return True
        return False

    return meets
