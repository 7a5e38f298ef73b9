"""The rules on single values: a test each, and how the violation words it.

Tests are lenient where clients in the field differ and nobody is hurt: they find values that a destination
could not use, they do not teach spelling.
"""

import re
from collections.abc import Callable, Iterator
from datetime import date, datetime
from typing import Any, NamedTuple

from turnout.model.specification import Property

Test = Callable[[Any], object]
"""Truthy when a value has the format. It is given values of the property's own type only, so it asserts none;
the patterns below are the C functions themselves, because most of the checking time is spent in them."""


class Format(NamedTuple):
    """`test` finds the format, `message` completes "should match"."""

    test: Test
    message: str


def _pattern(expression: str) -> Test:
    return re.compile(expression).fullmatch


def _parsed(parse: Callable[[str], object]) -> Test:
    def test(value: str) -> bool:
        try:
            parse(value)
        except ValueError:
            return False
        return True

    return test


def _ms_timestamp(value: int | str) -> object:
    """Milliseconds as `collect.md` §6 bounds them; 0 is how mobile clients say "never"."""
    if isinstance(value, str):
        return _MS_DIGITS(value)
    return value == 0 or 10**11 <= value < 10**14


_MS_DIGITS = _pattern(r"\s*[1-9][0-9]{11,13}\s*")
_DAY = _pattern(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_IS_A_DAY = _parsed(date.fromisoformat)

FORMATS: dict[str, Format] = {
    "date": Format(lambda value: _DAY(value) and _IS_A_DAY(value), "the date pattern YYYY-MM-DD"),
    "e164": Format(_pattern(r"\+[1-9][0-9]{1,14}"), "the E.164 phone pattern (+, country code, digits only)"),
    "email": Format(_pattern(r"[^@\s]+@[^@\s.]+(\.[^@\s.]+)+"), "the e-mail address pattern"),
    "iana_tz": Format(_pattern(r"[A-Za-z][A-Za-z0-9_+:/-]*"), "a time zone name such as Europe/Paris"),
    "iso3166-1": Format(_pattern(r"[A-Za-z]{2,3}"), "the standard country code pattern (2 or 3 letters)"),
    "iso4217": Format(_pattern(r"[A-Z]{3}"), "the standard currency pattern (3 characters max, Uppercase)"),
    "iso8601": Format(_parsed(datetime.fromisoformat), "an ISO 8601 date or date-time"),
    "lang": Format(_pattern(r"[A-Za-z]{2,8}([-_][A-Za-z0-9]{1,8})*"), "a language code such as fr or en-US"),
    "md5_hex": Format(_pattern(r"[0-9a-f]{32}"), "an MD5 in 32 lower-case hexadecimal characters"),
    "ms_timestamp": Format(_ms_timestamp, "a Unix time in milliseconds"),
    "sha256_hex": Format(_pattern(r"[0-9a-f]{64}"), "a SHA-256 in 64 lower-case hexadecimal characters"),
    "url": Format(_pattern(r"[A-Za-z][A-Za-z0-9+.-]*:\S+"), "an absolute URL"),
    "uuid": Format(_pattern(r"[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}"), "a UUID"),
}
"""By the name in a specification."""


TEXTS, NUMBERS = ("string", "id"), ("number", "integer")
TIME = "ms_timestamp"
"""The one format that numbers have too."""


def of(property: Property, kind: str) -> Format | None:
    """All rules on a value of this property and this kind as one, or None if it has none. Raises `PatternError`."""
    rules = [*_rules(property, kind)]
    if len(rules) < 2:
        return rules[0] if rules else None
    tests = [rule.test for rule in rules]
    return Format(lambda value: all(test(value) for test in tests), " and ".join(rule.message for rule in rules))


def _rules(property: Property, kind: str) -> Iterator[Format]:
    if property.format is not None and (kind in TEXTS or (kind in NUMBERS and property.format == TIME)):
        yield FORMATS[property.format]
    if property.enum and kind in (*TEXTS, *NUMBERS):
        yield _one_of(property.enum)
    yield from _on_texts(property) if kind in TEXTS else _on_numbers(property) if kind in NUMBERS else ()


def _on_texts(property: Property) -> Iterator[Format]:
    if property.pattern is not None:
        yield _found(property.pattern)
    if property.min_length is not None:
        yield _longer(property.min_length)
    if property.max_length is not None:
        yield _shorter(property.max_length)


def _on_numbers(property: Property) -> Iterator[Format]:
    low, high = property.minimum, property.maximum
    if low is not None and high is not None:
        yield Format(lambda value: low <= value <= high, f"a value from {low} to {high}")
    elif low is not None:
        yield Format(lambda value: value >= low, f"a minimum of {low}")
    elif high is not None:
        yield Format(lambda value: value <= high, f"a maximum of {high}")


def _one_of(values: tuple[str | int | float, ...]) -> Format:
    return Format(frozenset(values).__contains__, "one of " + ", ".join(map(str, values)))


def _found(pattern: str) -> Format:
    from turnout.formula.pattern import Pattern  # noqa: PLC0415 - its engine, and only for this

    return Format(Pattern(pattern).test, f"the pattern {pattern}")


def _longer(least: int) -> Format:
    return Format(lambda value: len(value) >= least, f"at least {least} characters")


def _shorter(most: int) -> Format:
    return Format(lambda value: len(value) <= most, f"at most {most} characters")
