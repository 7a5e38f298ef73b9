"""A request body becomes a JSON value strictly, or is refused for the right reason (`collect.md` §3, §4)."""

import gzip
import json
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnout.collect.body import InvalidJsonError, TooLargeError, flaw, inflate, parse

LIMIT = 1000


def nested(levels: int) -> bytes:
    return b'{"a":' * (levels - 1) + b"[]" + b"}" * (levels - 1)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"{",
        b'{"a":1',
        b'{"a" 1}',
        b'{"a":1 "b":2}',
        b"{'a':1}",
        b'{"a":1,}',
        b"[1,]",
        b"{} {}",
        b"{}x",
        b"NaN",
        b'{"a":NaN}',
        b"Infinity",
        b"[-Infinity]",
        b"// x\n{}",
        b"{/**/}",
        b"01",
        b"+1",
        b".5",
        b"1.",
        b"0x1",
        b"True",
        b"tru",
        b'"\n"',
        b'"\x00"',
        b'"\\x"',
        b'"\\u12"',
        b'"abc',
        b"{1:2}",
        b"{a:1}",
        b"\x00",
        b"{}\x00",
        b"a=1&b=2",
        b'"\xff"',
        b'"\xc0\x80"',
        b'"\xed\xa0\x80"',
        b'{"\xff":1}',
        b"\xef\xbb\xbf",
        b"\xef\xbb\xbf\xef\xbb\xbf{}",
        '{"a":1}'.encode("utf-16"),
        '{"a":1}'.encode("utf-16-le"),
        '{"a":1}'.encode("utf-32"),
        b"\xc2\xa0{}",
        b"\x0c{}",
        b'{"a":1e400',
        b'{"a":1e400,}',
        b"[1e400,NaN]",
        b'[1e400,"\xff"]',
        b"[" * 100_000,
        b'{"a":' * 50_000,
    ],
)
def test_what_is_not_json_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidJsonError):
        parse(body)


@pytest.mark.parametrize(
    ("body", "where"),
    [(b'{"a" 1}', 5), (b'{"a":1', 6), (b'{"a":"\xff"}', 6), (b"", 0), (b'["\xc3\xa9", "\xff"]', 8)],
)
def test_the_message_says_where(body: bytes, where: int) -> None:
    with pytest.raises(InvalidJsonError, match=rf"\(byte {where}\)"):
        parse(body)


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b"{}", {}),
        (b" \t\r\n[1, 2] ", [1, 2]),
        (b"\xef\xbb\xbf{}", {}),
        (b'{"a":1,"a":2}', {"a": 2}),
        (b'"\xf0\x9f\x98\x80\\ud83d\\ude00"', "😀😀"),
        (b"null", None),
        (b"-0.5e3", -500.0),
        (b"1e-400", 0.0),
        (b"18446744073709551616", 2**64),
        (b'"\\\\ud800"', "\\ud800"),
    ],
)
def test_what_is_json_is_read(body: bytes, value: object) -> None:
    parsed = parse(body)
    assert parsed.value == value
    assert not parsed.repaired
    assert not parsed.infinite
    assert json.loads(parsed.text) == value


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (rb'"a\u0000b"', "a�b"),
        (rb'"\ud800"', "�"),
        (rb'"\udc00\ud800"', "��"),
        (rb'"\uD83d\uDe00\ud83d"', "😀�"),
        (rb'"\\\u0000"', "\\�"),
    ],
)
def test_text_that_cannot_be_kept_is_repaired_and_said(body: bytes, text: str) -> None:
    parsed = parse(body)
    assert parsed.value == text
    assert parsed.repaired
    assert json.loads(parsed.text) == text
    assert parse(b'{"k' + body[1:-1] + b'":1}').value == {"k" + text: 1}


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (nested(32), None),
        (nested(33), "too_deep"),
        (b"[" * 400 + b"]" * 400, "too_deep"),
        (b"[" + b"{}," * 99 + b"{}]", None),
        (b'{"a":[1e400]}', "number_out_of_range"),
        (b"-1e400", "number_out_of_range"),
        (b"9" * 4300, None),
        (b"9" * 5000, "number_out_of_range"),
        (b'{"a":1e308}', None),
        (b'{"a":"1e400"}', None),
    ],
    ids=lambda value: value[:12] if isinstance(value, bytes) else str(value),
)
def test_valid_json_that_cannot_be_taken_is_named(body: bytes, code: str | None) -> None:
    found = flaw(parse(body))
    assert (found and found.code) == code


def reference(body: bytes) -> tuple[bool, object]:
    """What the standard library makes of it, made strict."""

    def refuse(word: str) -> object:
        raise ValueError(word)

    try:
        value: object = json.loads(body.decode(), parse_constant=refuse)
    except (ValueError, RecursionError):
        return False, None
    return True, value


MUTATIONS = [
    b"",
    b'"',
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"\\",
    b"\\u",
    b"0",
    b"e",
    b"-",
    b"\x00",
    b"\xff",
    b"NaN",
    b" ",
    b"\xef\xbb\xbf",
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


@given(JSON, st.integers(0, 200), st.integers(0, 2), st.sampled_from(MUTATIONS))
def test_agrees_with_the_standard_library_about_mutated_json(value: object, at: int, cut: int, piece: bytes) -> None:
    body = json.dumps(value).encode()
    at %= len(body) + 1
    body = body[:at] + piece + body[at + cut :]
    valid, expected = reference(body.removeprefix(b"\xef\xbb\xbf"))
    if not valid:
        with pytest.raises(InvalidJsonError):
            parse(body)
    else:
        parsed = parse(body)
        assert parsed.repaired or parsed.infinite or parsed.value == expected


class Encoded(NamedTuple):
    name: str
    body: bytes
    encoding: bytes | None
    gives: bytes | type[Exception]


FULL, OVER = b"x" * LIMIT, b"x" * (LIMIT + 1)


@pytest.mark.parametrize(
    "row",
    [
        Encoded("none", b"{}", None, b"{}"),
        Encoded("identity", b"{}", b" Identity ", b"{}"),
        Encoded("gzip", gzip.compress(b"{}"), b"gzip", b"{}"),
        Encoded("x-gzip", gzip.compress(b"{}"), b"X-GZIP", b"{}"),
        Encoded("two members", gzip.compress(b"{") + gzip.compress(b"}"), b"gzip", b"{}"),
        Encoded("exactly the limit", gzip.compress(FULL), b"gzip", FULL),
        Encoded("one over", gzip.compress(OVER), b"gzip", TooLargeError),
        Encoded("one over in two members", gzip.compress(FULL) + gzip.compress(b"x"), b"gzip", TooLargeError),
        Encoded("a bomb", gzip.compress(b"x" * 50_000_000), b"gzip", TooLargeError),
        Encoded("cut off", gzip.compress(FULL)[:-1], b"gzip", InvalidJsonError),
        Encoded("corrupt", gzip.compress(FULL)[:-8] + b"\0" * 8, b"gzip", InvalidJsonError),
        Encoded("not gzip", b"{}", b"gzip", InvalidJsonError),
        Encoded("bytes behind it", gzip.compress(b"{}") + b"{}", b"gzip", InvalidJsonError),
        Encoded("empty", b"", b"gzip", b""),
        Encoded("thousands of empty members", gzip.compress(b"") * 5000, b"gzip", InvalidJsonError),
        Encoded("another", b"{}", b"br", InvalidJsonError),
        Encoded("two encodings", b"{}", b"gzip, gzip", InvalidJsonError),
    ],
    ids=lambda row: row.name,
)
def test_content_encoding(row: Encoded) -> None:
    if isinstance(row.gives, bytes):
        assert inflate(row.body, row.encoding, LIMIT) == row.gives
    else:
        with pytest.raises(row.gives):
            inflate(row.body, row.encoding, LIMIT)
