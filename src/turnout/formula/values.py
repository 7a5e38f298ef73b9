"""JSON values: what is empty, true, numeric, and how they become numbers and text (`formulas.md` §1).

Values are what the JSON decoder gives, so exact types suffice; missing is None here.
"""

import math
import re

import msgspec

from turnout.formula import limits
from turnout.formula.errors import LimitError

_NUMERIC = re.compile(r"[ \t\r\n]*([+-]?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)[ \t\r\n]*").fullmatch
_NUMERIC_CHARACTERS = 400
"""No double needs more; longer texts are no numbers, so that comparing them costs nothing."""
_EXACT = 2**53
_DEPTH = 100


def empty(value: object) -> bool:
    """null, missing, `""`, `[]`, `{}`; not 0, not false."""
    return value is None or (type(value) in (str, list, dict) and not value)


def truthy(value: object) -> bool:
    """As in JavaScript: `[]`, `{}` and `"false"` are true."""
    return bool(value) or type(value) is list or type(value) is dict


def settled(value: float) -> int | float | None:
    """A number as it leaves an expression: whole ones as integers, None for what JSON cannot carry."""
    if type(value) is int:
        return value if -_EXACT <= value <= _EXACT else settled(float(value))
    if not math.isfinite(value):
        return None
    return int(value) if value.is_integer() and abs(value) <= _EXACT else value


def numeric(value: object) -> int | float | None:
    """A number, or a text that writes one; None for all else, booleans included."""
    if type(value) is int or type(value) is float:
        return value
    if isinstance(value, str) and len(value) <= _NUMERIC_CHARACTERS and (match := _NUMERIC(value)):
        return settled(float(match[1]))
    return None


def number(value: object) -> int | float | None:
    """To number: as `numeric`, and true is 1, false is 0."""
    return int(value) if value is True or value is False else numeric(value)


def number_text(value: float) -> str:
    """The shortest text that reads back as this number, as JavaScript writes it: `123.456`, `10`, `1e-7`."""
    if isinstance(value, int):
        return str(value)
    text = repr(value)
    if "e" not in text:
        return text.removesuffix(".0")
    digits, _, power = text.partition("e")
    exponent = int(power)
    if exponent >= 21 or exponent < -6:
        return f"{digits}e{exponent:+d}"
    return f"{value:.0f}" if exponent > 0 else f"{value:.{len(digits.lstrip('-').replace('.', '')) - 1 - exponent}f}"


def scalar_text(value: object) -> str | None:
    """To string for scalars: null is `""`. None for arrays and objects."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return number_text(value)
    return None


def json_text(value: object) -> str:
    """Compact JSON. Raises `LimitError` if it is longer than a result may be."""
    text = msgspec.json.encode(copied(value)).decode()
    if len(text) > limits.RESULT_BYTES:
        raise LimitError(f"a result larger than {limits.RESULT_BYTES} bytes")
    return text


def copied(value: object) -> object:
    """A deep copy with settled numbers, so that a result shares nothing with the event.

    Raises `LimitError` for what would be larger than `limits.RESULT_BYTES` as JSON, without building all of it.
    """
    return _copied(value, [limits.RESULT_BYTES], _DEPTH)


def _copied(value: object, left: list[int], depth: int) -> object:
    if isinstance(value, str):
        left[0] -= len(value.encode("utf-8", "replace")) + 2
    elif isinstance(value, list | dict):
        if depth == 0:
            raise LimitError(f"a value nested deeper than {_DEPTH} levels")
        left[0] -= 2
        if isinstance(value, list):
            return [_copied(one, left, depth - 1) for one in value]
        copy = {}
        for name, one in value.items():
            left[0] -= len(name) + 3
            copy[name] = _copied(one, left, depth - 1)
        return copy
    else:
        left[0] -= 1
        value = settled(value) if isinstance(value, float) else value
    if left[0] < 0:
        raise LimitError(f"a result larger than {limits.RESULT_BYTES} bytes")
    return value
