"""From the bytes of a request body to a JSON value, strictly (`collect.md` §3, §4)."""

import json
import re
import zlib
from math import isinf

import msgspec

from turnout.collect.limits import NESTING
from turnout.model.event import Reason

_decode = msgspec.json.Decoder().decode
encode = msgspec.json.Encoder().encode
"""A JSON value as compact text."""
_BOM = b"\xef\xbb\xbf"
_MEMBERS = 64
_ESCAPE = re.compile(rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u([0-9a-fA-F]{4})|\\.", re.DOTALL)


class TooLargeError(Exception):
    """The decoded body is over its limit; the argument is the number of bytes seen."""


class InvalidJsonError(Exception):
    """The body can't be read as JSON; the text says why and where."""


class Parsed(msgspec.Struct, frozen=True, gc=False):
    """A JSON value. `text` is its JSON, without byte order mark and after repairs; empty if it can't be written."""

    value: object
    text: bytes
    repaired: bool = False
    """Text in it could not be kept as it was (lone surrogates, U+0000)."""
    infinite: bool = False
    """Some number in or around it is too large to be kept; it stands there as infinity."""
    elements: "list[Parsed] | None" = None
    """The elements of a batch in the usual form; its `value` is not built then."""


class _UsualBatch(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    batch: list[msgspec.Raw]


_decode_batch = msgspec.json.Decoder(_UsualBatch).decode


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
        if len(parts) == _MEMBERS:
            # Each costs a copy of what follows it: thousands of empty ones would be an attack.
            raise InvalidJsonError(f"the gzip data has more than {_MEMBERS} members")
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


def parse(body: bytes) -> Parsed:
    """The JSON value of a body. Raises `InvalidJsonError`; what is valid but can't be taken is for `flaw` to find."""
    if body.startswith(_BOM):
        body = body[3:]
    repaired = False
    if _has_escapes(body):
        fixed = _ESCAPE.sub(_repair, body)
        repaired = fixed != body
        body = fixed
    infinite = False
    try:
        value: object = _decode(body)
    except msgspec.ValidationError:
        value, infinite = _decode_any_number(body), True
    except msgspec.DecodeError as error:
        text = str(error)
        raise InvalidJsonError(text if "byte" in text else f"{text} (byte {len(body)})") from error
    except UnicodeDecodeError as error:
        raise InvalidJsonError(_where_not_utf8(body)) from error
    except RecursionError as error:
        raise InvalidJsonError("nested too deeply to be read") from error
    return Parsed(value, body, repaired, infinite)


def parse_batch(body: bytes) -> Parsed:
    """As `parse`, for a batch: in the usual form its elements keep the text they came in, and are decoded at once."""
    if not _has_escapes(body):
        try:
            elements = [Parsed(_decode(raw), bytes(raw)) for raw in _decode_batch(body).batch]
            return Parsed(None, body, elements=elements)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            # Not usual; `parse` finds out what it is.
            return parse(body)
    return parse(body)


def split(elements: list[object], infinite: bool) -> list[Parsed]:
    """Elements of a batch that is not in the usual form, each with a text of its own."""
    return [Parsed(element, _text(element), infinite=infinite) for element in elements]


def flaw(parsed: Parsed) -> Reason | None:
    """Why a value can't be taken although it is valid JSON: `too_deep` or `number_out_of_range`."""
    value, text = parsed.value, parsed.text
    brackets = text.count(b"{") + text.count(b"[")
    if (brackets > NESTING or not text) and _depth(value) > NESTING:
        return Reason("too_deep", "", f"more than {NESTING} levels of nesting")
    if parsed.infinite and _has_infinity(value):
        return Reason("number_out_of_range", "", "a number is too large to be kept")
    return None


def _text(value: object) -> bytes:
    try:
        return encode(value)
    except RecursionError:
        return b""


def _has_escapes(body: bytes) -> bool:
    # One byte is found much faster than two.
    return b"\\" in body and b"\\u" in body


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


def _has_infinity(value: object) -> bool:
    if isinstance(value, dict):
        return any(map(_has_infinity, value.values()))
    if isinstance(value, list):
        return any(map(_has_infinity, value))
    return isinstance(value, float) and isinf(value)


def _decode_any_number(body: bytes) -> object:
    """For what the fast parser refuses: numbers that can't be kept become infinity, everything else stays strict."""
    try:
        value: object = json.loads(body.decode(), parse_int=_whole, parse_constant=_no_constant)
    except UnicodeDecodeError as error:
        raise InvalidJsonError(_where_not_utf8(body)) from error
    except (ValueError, RecursionError) as error:
        raise InvalidJsonError(str(error)) from error
    return value


def _whole(digits: str) -> int | float:
    try:
        return int(digits)
    except ValueError:
        # More digits than Python converts: what it would cost grows with their square.
        return float("inf")


def _no_constant(word: str) -> object:
    raise ValueError(f"{word} is not JSON")


def _where_not_utf8(body: bytes) -> str:
    try:
        body.decode()
    except UnicodeDecodeError as error:
        return f"the text is not valid UTF-8: {error.reason} (byte {error.start})"
    return "the text is not valid UTF-8"
