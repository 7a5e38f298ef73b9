"""The pairs of a query string, decoded (`collect.md` §9, rules 1 and 2). Pure."""

import re
from binascii import a2b_qp
from typing import NamedTuple

_INVALID = re.compile(rb"%(?![0-9A-Fa-f]{2})")


class Pairs(NamedTuple):
    """The pairs of a query string in their order: keys and values beside each other."""

    keys: tuple[str, ...]
    values: tuple[str, ...]
    repaired: bool = False
    """Whether there was a U+0000, which no text that is passed on may hold; it is U+FFFD now."""


def pairs(query: str) -> Pairs:
    """Split on `&` only, skip empty pairs, split on the first `=` (without one the value is ""), then decode once.

    `+` is a space, an invalid escape stays as it is, invalid UTF-8 becomes U+FFFD. Never raises; linear in the
    length of the query.
    """
    # The separators become characters that hardly any key or value holds, so that all can be decoded in one call.
    whole = unquoted(query.replace("&", "\0").replace("=", "\1"))
    count = query.count("=")
    if whole.count("\0") == query.count("&") and whole.count("\1") == count:
        keys, marks, values = _columns([pair.partition("\1") for pair in whole.split("\0") if pair])
        if count > len(marks) or not all(marks):
            values = tuple([value.replace("\1", "=") for value in values])
        return Pairs(keys, values)
    keys, _, values = _columns([pair.partition("=") for pair in query.split("&") if pair])
    columns = [[unquoted(text) for text in column] for column in (keys, values)]
    clean_keys, clean_values = (tuple([text.replace("\0", "\ufffd") for text in column]) for column in columns)
    return Pairs(clean_keys, clean_values, any("\0" in text for column in columns for text in column))


def unquoted(text: str) -> str:
    """One key or value, decoded once."""
    text = text.replace("+", " ")
    if "%" not in text:
        return text
    if "\n" in text or "\r" in text:
        text = text.replace("\n", "%0A").replace("\r", "%0D")
    # Percent-encoding is quoted-printable with another sign, and the decoder of that is the only one in the standard
    # library that is written in C: ten times as fast. It is exact where there are no line breaks and every escape is
    # valid; of one that it can't read it leaves more than one byte, so the length of its answer tells.
    raw = text.encode("utf-8", "replace")
    decoded = _decoded(raw)
    if len(decoded) + 2 * raw.count(b"%") != len(raw):
        decoded = _decoded(_INVALID.sub(b"%25", raw))
    return decoded.decode("utf-8", "replace")


def _decoded(raw: bytes) -> bytes:
    return a2b_qp(raw.replace(b"=", b"=3D").replace(b"%", b"="))


def _columns(rows: list[tuple[str, str, str]]) -> tuple[tuple[str, ...], ...]:
    return tuple(zip(*rows, strict=True)) or ((), (), ())
