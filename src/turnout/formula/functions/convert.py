"""Conversion, encoding, hashing (`formulas.md` §6.2)."""

import base64
import binascii
import hashlib
from collections.abc import Sequence

import msgspec

from turnout.formula import limits
from turnout.formula.code import Built, Code
from turnout.formula.errors import LimitError
from turnout.formula.functions.registry import Function, Parameter, strict
from turnout.formula.functions.text import each, text_function
from turnout.formula.kinds import ANY, TEXT, shown, string, to_number
from turnout.formula.paths import split, steps, walk
from turnout.formula.run import Run
from turnout.formula.source import Source
from turnout.formula.values import copied, json_text


def _number(run: Run, value: object) -> object:
    if type(value) is list:
        run.spend(len(value))
        return [_number(run, one) for one in value]
    return to_number(run, value)


def _sha256(text: str) -> str | None:
    """Of nothing there is no digest, since one constant for everybody would join them."""
    return hashlib.sha256(_utf8(text)).hexdigest() if text else None


def _md5(text: str) -> str | None:
    return hashlib.md5(_utf8(text), usedforsecurity=False).hexdigest() if text else None


def _encode(run: Run, text: str) -> str:
    return run.bounded(base64.b64encode(_utf8(text)).decode())


def _decode(run: Run, text: str) -> str | None:
    standard = text.replace("-", "+").replace("_", "/").rstrip("=")
    try:
        return base64.b64decode(standard + "=" * (-len(standard) % 4), validate=True).decode()
    except (binascii.Error, ValueError):
        run.warn("not_base64", f"{shown(text)} is not Base64 of a text")
        return None


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "replace")


def _parse(run: Run, value: object) -> object:
    if type(value) is not str:
        return value
    run.spend(len(value) >> 2)
    try:
        if len(value) <= limits.RESULT_BYTES:
            return copied(msgspec.json.decode(value))
    except (msgspec.DecodeError, RecursionError, UnicodeError, LimitError) as error:
        run.warn("not_json", f"{shown(value)} is not JSON: {error}")
        return None
    run.warn("text_too_long", f"JSON texts have {limits.RESULT_BYTES} characters at most")
    return None


def _written(run: Run, value: object) -> object:
    return string(run, value) if isinstance(value, list | dict) else json_text(value)


def _stringify(arguments: Sequence[Code]) -> Built:
    def write(to: Source) -> str:
        value = arguments[0].write(to)
        result = to.let(f"None if {value} is None else {to.call(_written, 'run', value)}")
        for default in arguments[1:]:
            with to.block(f"if {value} is None:"):
                to.line(f"{result} = {default.write(to)}")
        return result

    return Built(write)


def _string(arguments: Sequence[Code]) -> Built:
    return Built(lambda to: to.let(to.call(string, "run", arguments[0].write(to))), str)


def _from_json(run: Run, value: object, path: str) -> object:
    return walk(run, _parse(run, value), steps(split(path)), 0)


_TEXT, _ANY = Parameter("text", ANY), Parameter("value", ANY)

FUNCTIONS: tuple[Function, ...] = (
    strict(
        "NUMBER", _number, [_ANY], "number", "The number that a text writes; null if it writes none.",
        ('NUMBER("38.97")', "38.97"),
    ),
    Function(
        "STRING", (_ANY,), "text", "The value as text; arrays and objects as JSON.",
        (("STRING(10.50)", '"10.5"'),), _string,
    ),
    text_function(
        "SHA256", _sha256, _TEXT,
        "The SHA-256 digest in hexadecimal; nothing is trimmed or lower-cased before. Of an empty text: null.",
        ('SHA256("test")', '"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"'),
    ),
    text_function(
        "MD5", _md5, _TEXT, "The MD5 digest, as SHA256.", ('MD5("test")', '"098f6bcd4621d373cade4e832627b4f6"'),
    ),
    strict(
        "ENCODE_BASE64", each(_encode), [_TEXT], "text", "The text in Base64.",
        ('ENCODE_BASE64("café")', '"Y2Fmw6k="'),
    ),
    strict(
        "DECODE_BASE64", each(_decode), [_TEXT], "text", "The text that is encoded in Base64.",
        ('DECODE_BASE64("Y2Fmw6k=")', '"café"'),
    ),
    strict(
        "JSON_PARSE", _parse, [_TEXT], "any", "The value that a JSON text writes; null if it is not JSON.",
        ("""JSON_PARSE('{"n":[1,2]}')""", '{"n":[1,2]}'),
    ),
    Function(
        "JSON_STRINGIFY", (_ANY, Parameter("default", optional=True)), "text",
        "The value as JSON; the default if there is none.",
        (("JSON_STRINGIFY({a: 1, b: sku})", r'"{\"a\":1,\"b\":[\"A\",\"B\",\"C\"]}"'),), _stringify,
    ),
    strict(
        "VALUE_FROM_JSON", _from_json, [_TEXT, Parameter("path", TEXT)], "any",
        "What a path leads to in a JSON text.", ('VALUE_FROM_JSON(payload, "a.b.1")', "8"),
    ),
)  # fmt: skip
