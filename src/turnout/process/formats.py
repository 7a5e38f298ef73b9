"""The formats that the catalogue names: a test each, and how the violation words it.

Tests are lenient where clients in the field differ and nobody is hurt: they find values that a destination
could not use, they do not teach spelling.
"""

import re
from collections.abc import Callable
from datetime import date, datetime
from typing import Any, NamedTuple

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
"""By the catalogue's name."""


def one_of(values: tuple[str, ...]) -> Format:
    """One of these texts, as they are spelled."""
    return Format(frozenset(values).__contains__, "one of " + ", ".join(values))


def at_least(low: int) -> Format:
    """A number from here up."""
    return Format(lambda value: value >= low, f"a minimum of {low}")


def between(low: int, high: int) -> Format:
    """A number in this range, both ends included."""
    return Format(lambda value: low <= value <= high, f"a value from {low} to {high}")
