"""Lossless conversions to the types of the catalogue (`processing.md` §5.4).

Each function gives the value itself when it has the type, the converted value when nothing is lost by
converting, and `IMPOSSIBLE` otherwise. Values are what the JSON decoder gives, so exact types suffice.
"""

import math
import re
from collections.abc import Callable
from typing import Final

IMPOSSIBLE: Final = object()
"""Stands for "no conversion without loss". Not `None`, which is a JSON value."""

Convert = Callable[[object], object]

_NUMERIC = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?").fullmatch
_BOOLEANS: dict[object, bool] = {"true": True, "1": True, "false": False, "0": False}

_EXACT = 2**53
"""Below this a float holds every whole number."""
_INTEGER_DIGITS = 19
"""Longer whole numbers do not fit the 64 bits that receivers have."""


def number(value: object) -> object:
    """`"16.00"` is 16, `"12.5"` is 12.5; booleans, `"12,30"` and what overflows are not numbers."""
    if type(value) is float or type(value) is int:
        return value
    if type(value) is not str or not _NUMERIC(value):
        return IMPOSSIBLE
    if value.lstrip("-").isdigit():
        return int(value) if len(value) <= _INTEGER_DIGITS else IMPOSSIBLE
    converted = float(value)
    if not math.isfinite(converted):
        return IMPOSSIBLE
    return _whole(converted)


def integer(value: object) -> object:
    """As `number`, without a fraction: 12.0 and `"12"` are 12."""
    converted = number(value)
    if type(converted) is float:
        return _whole(converted) if converted.is_integer() else IMPOSSIBLE
    return converted


def boolean(value: object) -> object:
    """Also takes `"true"`, `"false"`, `"1"`, `"0"`, 1 and 0, and no other spelling."""
    if type(value) is bool:
        return value
    if type(value) is int:
        return value == 1 if value in (0, 1) else IMPOSSIBLE
    return _BOOLEANS.get(value, IMPOSSIBLE) if type(value) is str else IMPOSSIBLE


def string(value: object) -> object:
    """Also takes numbers, in their JSON spelling."""
    if type(value) is str:
        return value
    return str(value) if type(value) is int or type(value) is float else IMPOSSIBLE


def identifier(value: object) -> object:
    """As `string`, but fractions are no ids: a consent that is malformed must not become one that grants."""
    return string(value) if type(value) is not float else IMPOSSIBLE


def _whole(value: float) -> float | int:
    return int(value) if value.is_integer() and abs(value) < _EXACT else value
