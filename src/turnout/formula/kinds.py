"""Kinds of arguments: how a value becomes one, and what a literal must be to be one.

`first` and `other` make the value at evaluation time, for a first argument and for the others: None stands for null,
and each surprise leaves a warning. `check` judges a literal when the formula is saved: it says what is wrong, or "".
"""

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from turnout.formula import dates
from turnout.formula.pattern import Pattern, PatternError, compiled
from turnout.formula.run import Run
from turnout.formula.values import json_text, number, scalar_text

Accept: TypeAlias = Callable[[Run, object], object]

SHORT_TEXT = "type({0}) is str and len({0}) <= 256"
"""The condition, in Python, under which a value is a text that costs nothing beyond the node that handles it."""


class Kind(NamedTuple):
    """`name` is for people. `ready` is the condition, in Python, under which a value `{0}` is one as it stands."""

    name: str
    first: Accept | None = None
    other: Accept | None = None
    check: Callable[[object], "Wrong | None"] = lambda value: None
    early: bool = True
    """Whether a literal is the same value for every event; a date without an offset depends on the zone."""
    ready: str = ""


class Wrong(NamedTuple):
    """What is wrong with a literal, and what to do."""

    message: str
    fix: str = ""


def text(run: Run, value: object) -> str | None:
    """To string, of a first argument: null stays null."""
    return None if value is None else string(run, value)


def string(run: Run, value: object) -> str:
    """To string: null is `""`, arrays and objects are compact JSON."""
    if type(value) is str:
        run.pay_for(value)
        return value
    made = scalar_text(value)
    if made is None:
        made = json_text(value)
        run.spend(len(made) >> 2)
        return made
    run.pay_for(made)
    return made


def integer(run: Run, value: object) -> int | None:
    """To number, without its fraction."""
    made = to_number(run, value)
    return None if made is None else int(made)


def to_number(run: Run, value: object) -> int | float | None:
    """To number; what is neither null nor a number leaves a warning."""
    made = number(value)
    if made is None and value is not None:
        run.warn("not_a_number", f"{shown(value)} is not a number")
    return made


def date(run: Run, value: object) -> dates.Moment | None:
    """A date, from ISO text or milliseconds."""
    if value is None:
        return None
    found = dates.read(value, run.zone)
    if found is None:
        run.warn("not_a_date", f"{shown(value)} is not a date")
    elif dates.looks_like_seconds(value):
        run.warn("seconds", f"{shown(value)} is read as milliseconds; it looks like seconds")
    return found


def pattern(run: Run, value: object) -> Pattern | None:
    """A pattern that is known only now."""
    try:
        return compiled(string(run, value))
    except PatternError as error:
        run.warn("bad_pattern", f"{shown(value)} is no pattern: {error}")
        return None


def unit(run: Run, value: object) -> str | None:
    """A unit of time, in the plural."""
    found = dates.unit_of(value)
    if found is None and value is not None:
        run.warn("unknown_unit", f"{shown(value)} is not a unit of time")
    return found


def shown(value: object) -> str:
    """A value as a warning shows it: the kind of what is long or nested, so that no warning carries much data."""
    if isinstance(value, list):
        return "an array"
    if isinstance(value, dict):
        return "an object"
    written = scalar_text(value) or ""
    return f'"{written[:40]}{"…" if len(written) > 40 else ""}"' if isinstance(value, str) else written


def _check_pattern(value: object) -> Wrong | None:
    try:
        compiled(scalar_text(value) or "")
    except PatternError as error:
        return Wrong(f"invalid pattern: {error}")
    return None


def _check_unit(value: object) -> Wrong | None:
    if value is None or dates.unit_of(value) is not None:
        return None
    return Wrong(f"{shown(value)} is not a unit of time", f"one of {', '.join(dates.UNITS)}")


ANY = Kind("any value")
TEXT = Kind("text", text, string, ready=SHORT_TEXT)
INTEGER = Kind("number", integer, integer, ready="type({0}) is int")
DATE = Kind("date", date, date, early=False)
PATTERN = Kind("pattern", pattern, pattern, _check_pattern)
UNIT = Kind("unit", unit, unit, _check_unit)
ARRAY = Kind("array")
ELEMENT = Kind("expression per element")
PATH = Kind("property")
