"""From the bytes of a request body to a JSON value, strictly (`collect.md` §3, §4)."""

import json
import re
import zlib

import msgspec

from turnout.collect.limits import NESTING

_decode = msgspec.json.Decoder().decode
_BOM = b"\xef\xbb\xbf"
_ESCAPE = re.compile(rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u([0-9a-fA-F]{4})|\\.", re.DOTALL)


class TooLargeError(Exception):
    """The decoded body is over its limit; the argument is the number of bytes seen."""


class InvalidJsonError(Exception):
    """The body can't be read as JSON; the text says why and where."""


class RefusedValueError(Exception):
    """Valid JSON that we do not take: the arguments are a reason code and a message."""


def inflate(body: bytes, encoding: bytes | None, limit: int) -> bytes:
    """Undo the `Content-Encoding`, never holding more than `limit` bytes.

    Raises `TooLargeError`, or `InvalidJsonError` for an encoding that is unknown or corrupt.
    """
    word = (encoding or b"").strip().lower()
    if word in (b"", b"identity"):
        return body
    if word not in (b"gzip", b"x-gzip"):
        raise InvalidJsonError("the Content-Encoding is not supported; send gzip or none")
    parts: list[bytes] = []
    size = 0
    while body:
        member = zlib.decompressobj(wbits=31)
        try:
            part = member.decompress(body, limit - size + 1)
        except zlib.error as error:
            raise InvalidJsonError(f"the gzip data is corrupt: {error}") from error
        size += len(part)
        if size > limit:
            raise TooLargeError(size)
        if not member.eof:
            raise InvalidJsonError("the gzip data is cut off")
        parts.append(part)
        body = member.unused_data
    return b"".join(parts)


def parse(body: bytes) -> tuple[object, bool]:
    """The JSON value of a body, and whether text in it had to be repaired.

    Raises `InvalidJsonError`, or `RefusedValueError` (`number_out_of_range`, `too_deep`).
    """
    if body.startswith(_BOM):
        body = body[3:]
    repaired = False
    if b"\\u" in body:
        fixed = _ESCAPE.sub(_repair, body)
        repaired = fixed != body
        body = fixed
    try:
        value: object = _decode(body)
        if body.count(b"{") + body.count(b"[") > NESTING and _depth(value) > NESTING:
            raise RefusedValueError("too_deep", f"more than {NESTING} levels of nesting")
    except msgspec.ValidationError as error:
        _only_numbers_wrong(body)
        raise RefusedValueError("number_out_of_range", "a number is too large to be kept") from error
    except msgspec.DecodeError as error:
        raise InvalidJsonError(str(error)) from error
    except UnicodeDecodeError as error:
        raise InvalidJsonError(f"the text is not valid UTF-8: {error.reason}") from error
    except RecursionError as error:
        raise InvalidJsonError("nested too deeply to be read") from error
    return value, repaired


def _repair(match: re.Match[bytes]) -> bytes:
    digits = match[1]
    if digits is None:
        return match[0]
    code = int(digits, 16)
    return b"\\ufffd" if code == 0 or 0xD800 <= code <= 0xDFFF else match[0]


def _depth(value: object) -> int:
    """Levels of nesting; an object or array is one level."""
    deepest, level = 0, [value]
    while True:
        inner: list[object] = []
        containers = False
        for item in level:
            if isinstance(item, dict):
                containers = True
                inner.extend(item.values())
            elif isinstance(item, list):
                containers = True
                inner.extend(item)
        if not containers:
            return deepest
        deepest += 1
        level = inner


def _only_numbers_wrong(body: bytes) -> None:
    """The fast parser stops at the first large number: is the rest valid? Raises `InvalidJsonError` if not."""

    def no_constant(word: str) -> object:
        raise ValueError(f"{word} is not JSON")

    try:
        json.loads(
            body.decode(),
            parse_int=lambda _: 0,
            parse_float=lambda _: 0.0,
            parse_constant=no_constant,
        )
    except (ValueError, RecursionError) as error:
        raise InvalidJsonError(str(error)) from error
