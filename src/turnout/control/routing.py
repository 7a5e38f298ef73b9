"""Reads `consent` and `filter` of a destination: plain values of the configuration in, the model's out.

Both are strict, because a mistake here sends data where it must not go: what is not understood is a problem, never
"no restriction". Only leaving them out, `null` or an empty list means that.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, cast

from turnout.control.yamlfile import join
from turnout.formula import FormulaError, Row, compile_formula, compile_tree, condition
from turnout.formula.errors import did_you_mean
from turnout.formula.rows import OPERATORS
from turnout.formula.tree import Scalar
from turnout.model.errors import Problem
from turnout.model.requirement import Consent

_CONSENT = ("must be categories", 'for example "3", ["3", "4"] or {categories: ["3", "4"], mode: any}')
_CATEGORY = ("must be text", 'put the category in quotes: "3"')
_EMPTY_CATEGORY = ("is empty", "name a category, or leave consent out to send without it")
_FILTER = ("must be a formula or a list of rows", "for example 'value > 0', or [{property: value, operator: exists}]")
_EMPTY_FILTER = ("is empty", "write a formula, or leave filter out to let everything pass")
_MODES = ("all", "any")
_ROW_FIELDS = ("property", "operator", "value", "values")
_PLAIN = {
    "isn't": "is not", "doesn't contain": "does not contain", "doesn't start with": "does not start with",
    "doesn't end with": "does not end with", "doesn't exist": "does not exist",
    "match regex": "matches", "matches regex": "matches",
    **dict.fromkeys(("doesn't match", "doesn't match regex", "doesn't match the regex"), "does not match"),
}  # fmt: skip
"""Other words for the operators of `OPERATORS`, as the interface of `processing.md` §7.3 has them."""


def consent_of(value: object, path: str, problems: list[Problem]) -> Consent | None:
    """One category, a list of them, or `{categories, mode}`; None means that no consent is required.

    Adds what is wrong to `problems`.
    """
    mode: object = "all"
    if isinstance(value, dict):
        for key in value:
            if key not in ("categories", "mode"):
                known = "known: categories, mode"
                problems.append(
                    Problem(join(path, key), "is not known", did_you_mean(str(key), ("categories", "mode")) or known)
                )
        if "categories" not in value:
            problems.append(Problem(f"{path}.categories", "is missing", 'for example ["3", "4"]'))
        mode = value.get("mode", "all")
        if mode not in _MODES:
            problems.append(Problem(f"{path}.mode", f"{mode!r} is not one of {', '.join(_MODES)}"))
            mode = "all"
        value, path = value.get("categories"), f"{path}.categories"
    categories = _categories(value, path, problems)
    return Consent(categories=categories, mode=cast("Literal['all', 'any']", mode)) if categories else None


def _categories(value: object, path: str, problems: list[Problem]) -> tuple[str, ...]:
    if value is None:
        return ()
    if isinstance(value, list):
        found = [_category(one, f"{path}[{index}]", problems) for index, one in enumerate(value)]
    elif isinstance(value, str | int | float):
        found = [_category(value, path, problems)]
    else:
        problems.append(Problem(path, *_CONSENT))
        return ()
    return tuple(dict.fromkeys(found))


def _category(value: object, path: str, problems: list[Problem]) -> str:
    if not isinstance(value, str):
        problems.append(Problem(path, *_CATEGORY))
    elif not value.strip():
        problems.append(Problem(path, *_EMPTY_CATEGORY))
    return str(value)


def filter_of(value: object, path: str, problems: list[Problem]) -> str:
    """The formula that a filter is, given as its text or as rows that all must hold; "" lets everything pass.

    Adds what is wrong to `problems`: for a formula with line and column.
    """
    if isinstance(value, str):
        if not value.strip():
            problems.append(Problem(path, *_EMPTY_FILTER))
            return ""
        try:
            compile_formula(value)
        except FormulaError as error:
            where = f"line {error.line}, column {error.column}"
            problems.append(Problem(path, f"{where}: {error.message}", error.fix))
        return value
    if not isinstance(value, list):
        if value is not None:
            problems.append(Problem(path, *_FILTER))
        return ""
    before = len(problems)
    rows = [row for index, one in enumerate(value) for row in _row(one, f"{path}[{index}]", problems)]
    if not rows or len(problems) > before:
        return ""
    try:
        return compile_tree(condition(rows)).text
    except FormulaError as error:
        problems.append(Problem(path, f"too much for one filter: {error.message}", error.fix))
        return ""


def _row(value: object, path: str, problems: list[Problem]) -> Iterator[Row]:
    """The row, if it is one that can work."""
    if not isinstance(value, dict):
        problems.append(Problem(path, "must be a row", "for example {property: value, operator: exists}"))
        return
    before = len(problems)
    for key in value:
        if key not in _ROW_FIELDS:
            fix = did_you_mean(str(key), _ROW_FIELDS) or f"known: {', '.join(_ROW_FIELDS)}"
            problems.append(Problem(join(path, key), "is not known", fix))
    name, operator = _text(value, "property", path, problems), _text(value, "operator", path, problems)
    operator = _PLAIN.get(operator, operator)
    if operator and operator not in OPERATORS:
        fix = did_you_mean(operator, OPERATORS) or f"known: {', '.join(OPERATORS)}"
        problems.append(Problem(f"{path}.operator", f"{operator!r} is no operator", fix))
    values = tuple(_values(value, path, problems))
    if len(problems) > before:
        return
    row = Row(name, operator, values)
    try:
        compile_tree(condition([row]))
    except FormulaError as error:
        problems.append(Problem(path, error.message, error.fix))
    except ValueError as error:
        problems.append(Problem(path, str(error), "value: … for one, values: […] for several of which one must fit"))
    else:
        yield row


def _text(row: Mapping[object, object], name: str, path: str, problems: list[Problem]) -> str:
    value = row.get(name)
    if isinstance(value, str) and value:
        return value
    wrong = "is missing" if value is None else "must be text"
    fix = "such as user.id" if name == "property" else f"one of {', '.join(OPERATORS)}"
    problems.append(Problem(f"{path}.{name}", wrong, fix))
    return ""


def _values(row: Mapping[object, object], path: str, problems: list[Problem]) -> Iterator[Scalar]:
    if "value" in row and "values" in row:
        problems.append(Problem(f"{path}.values", "stands beside value", "keep one of them"))
        return
    given: Sequence[tuple[str, object]] = [("value", row["value"])] if "value" in row else []
    if "values" in row:
        several = row["values"]
        if not isinstance(several, list) or not several:
            problems.append(Problem(f"{path}.values", "must be a list", "for example [one, two]"))
            return
        given = [(f"values[{index}]", one) for index, one in enumerate(several)]
    for where, value in given:
        if isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value)):
            yield value
        else:
            problems.append(
                Problem(f"{path}.{where}", "must be text, a number, true or false", 'put it in quotes: "…"')
            )
