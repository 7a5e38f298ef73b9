"""Every conversion of `processing.md` §5.4, as a table."""

import pytest

from turnout.process import values
from turnout.process.values import IMPOSSIBLE, Convert

NUMBERS = [
    (12, 12),
    (12.5, 12.5),
    ("12", 12),
    ("-3", -3),
    ("16.00", 16),
    ("12.5", 12.5),
    ("1e3", 1000),
    ("1.5E-1", 0.15),
    ("007", 7),
    ("9223372036854775807", 9223372036854775807),
    ("99999999999999999999", IMPOSSIBLE),
    ("9" * 5000, IMPOSSIBLE),
    ("1e400", IMPOSSIBLE),
    ("abc", IMPOSSIBLE),
    ("12,30", IMPOSSIBLE),
    ("", IMPOSSIBLE),
    (" 12", IMPOSSIBLE),
    ("12\n", IMPOSSIBLE),
    ("١٢", IMPOSSIBLE),
    ("0x10", IMPOSSIBLE),
    ("+5", IMPOSSIBLE),
    (".5", IMPOSSIBLE),
    ("NaN", IMPOSSIBLE),
    (True, IMPOSSIBLE),
    (None, IMPOSSIBLE),
    ([1], IMPOSSIBLE),
    ({}, IMPOSSIBLE),
]
INTEGERS = [
    (12, 12),
    (12.0, 12),
    ("12", 12),
    ("12.0", 12),
    (1e300, 1e300),
    (12.5, IMPOSSIBLE),
    ("12.5", IMPOSSIBLE),
    (False, IMPOSSIBLE),
]
BOOLEANS = [
    (True, True),
    (False, False),
    (1, True),
    (0, False),
    ("true", True),
    ("false", False),
    ("1", True),
    ("0", False),
    ("True", IMPOSSIBLE),
    ("yes", IMPOSSIBLE),
    ("", IMPOSSIBLE),
    (2, IMPOSSIBLE),
    (1.0, IMPOSSIBLE),
    ([], IMPOSSIBLE),
]
STRINGS = [
    ("", ""),
    ("a", "a"),
    (67892, "67892"),
    (12.5, "12.5"),
    (True, IMPOSSIBLE),
    ({}, IMPOSSIBLE),
    ([], IMPOSSIBLE),
]


@pytest.mark.parametrize(
    ("convert", "value", "expected"),
    [
        (convert, value, expected)
        for convert, rows in (
            (values.number, NUMBERS),
            (values.integer, INTEGERS),
            (values.boolean, BOOLEANS),
            (values.string, STRINGS),
        )
        for value, expected in rows
    ],
)
def test_conversion(convert: Convert, value: object, expected: object) -> None:
    converted = convert(value)
    assert converted == expected
    assert type(converted) is type(expected)
