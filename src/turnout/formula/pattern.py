"""Patterns that users write: JavaScript's dialect, on an engine whose time is linear in the text (RE2).

What JavaScript and RE2 write alike but mean differently is rewritten; what RE2 cannot do in linear time (look-around,
back-references) is refused with its position. See `docs/decisions/0005-patterns.md`.
"""

import functools
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeAlias, cast

import re2

from turnout.formula import limits

_SPACE = r"\t\n\v\f\r \x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}\x{feff}"
_NOT_SPACE = r"\x{0}-\x{8}\x{e}-\x{1f}\x{21}-\x{9f}\x{a1}-\x{167f}\x{1681}-\x{1fff}\x{200b}-\x{2027}\x{202a}-\x{202e}" \
    r"\x{2030}-\x{205e}\x{2060}-\x{2fff}\x{3001}-\x{fefe}\x{ff00}-\x{10ffff}"  # fmt: skip
_DOT = r"[^\n\r\x{2028}\x{2029}]"
_ESCAPE = (
    r"\\(?:c[A-Za-z]|u[dD][89abAB]\w\w\\u[dD][c-fC-F]\w\w|u[0-9A-Fa-f]{4}|x[0-9A-Fa-f]{2}"
    r"|k<\w*>|[pP]\{\w+\}|[0-9]+|.|$)"
)
_TOKEN = re.compile(_ESCAPE + r"|\(\?(?:<[=!]|<\w+>|[=!:]|)|\[\^?\]?|\{[0-9]+(?:,[0-9]*)?\}|.", re.DOTALL)
_IN_CLASS = re.compile(_ESCAPE + r"|.", re.DOTALL)
_MATCH_UNITS = 12
_ENGINE_BYTES = 1 << 20
"""What a pattern may take with its automaton, which grows while it searches."""
_ANYWHERE = re2._Anchor.UNANCHORED
_LITERAL = re.compile(r"[^\\^$.|?*+()\[\]{}]+").fullmatch
_KEPT = set("dDwWbBfnrtv")
_GROUP = re.compile(r"\$(?:(\$)|(&)|<(\w+)>|([0-9]{1,2}))")


class PatternError(Exception):
    """A pattern that cannot be used; `at` is the offset in it."""

    def __init__(self, message: str, at: int = 0) -> None:
        super().__init__(message)
        self.at = at


_Span: TypeAlias = tuple[int, int]
_Search: TypeAlias = Callable[[object, bytes, int, int], Sequence[_Span]]
"""Anchor, text, from, to → where the match and its groups are, (-1, -1) for what does not match."""


class _Engine(Protocol):
    groups: int
    programsize: int
    groupindex: dict[bytes, int]


class Pattern:
    """A compiled pattern. Searching is case-sensitive, unanchored, and linear in the text."""

    __slots__ = ("_literal", "_names", "_search", "_size", "groups", "source")

    def __init__(self, source: str) -> None:
        """Raises `PatternError` for what is no pattern, or cannot run in linear time."""
        if len(source) > limits.PATTERN_CHARACTERS:
            raise PatternError(f"a pattern has {limits.PATTERN_CHARACTERS} characters at most")
        self.source = source
        self._literal = source if _LITERAL(source) else None
        engine = _engine(translated(source))
        self.groups, self._names, self._size = engine.groups, engine.groupindex, engine.programsize
        # What the package puts around this search costs three times as much as the search.
        self._search = cast(_Search, engine._regexp.Match)  # type: ignore[attr-defined]

    def test(self, text: str) -> bool:
        """Whether it is found anywhere in the text."""
        if self._literal is not None:
            return self._literal in text
        return self._spans(_bytes(text), 0)[0][0] >= 0

    def select(self, text: str, group: int = 0) -> str | None:
        """The first match, or that group of it; None if there is none."""
        if not 0 <= group <= self.groups:
            return None
        data = _bytes(text)
        start, end = self._spans(data, 0)[group]
        return data[start:end].decode("utf-8", "replace") if start >= 0 else None

    def cost(self, length: int) -> int:
        """Units of work (`limits.WORK`) that a search through that many characters takes at worst."""
        return length * self._size >> 9

    def replace(self, text: str, replacement: str, longest: int, spend: Callable[[int], None]) -> str | None:
        """Every match replaced; `$1`–`$99`, `$<name>`, `$&` and `$$` as in JavaScript.

        None if the result would have more than `longest` bytes. `spend` is told the units of work of each search:
        there is one per match, and each may look at all that is left.
        """
        parts = self._template(replacement)
        data = _bytes(text)
        made, size, copied = [], 0, 0
        for spans in self._matches(data):
            start, end = spans[0]
            spend(_MATCH_UNITS + self.cost(len(data) - start))
            piece = data[copied:start] + b"".join(
                one if isinstance(one, bytes) else data[slice(*spans[one])] if spans[one][0] >= 0 else b""
                for one in parts
            )
            made.append(piece)
            size += len(piece)
            if size > longest:
                return None
            copied = end
        return b"".join([*made, data[copied:]]).decode() if size + len(data) - copied <= longest else None

    def _matches(self, data: bytes) -> Iterator[Sequence[_Span]]:
        at = 0
        while at <= len(data) and (spans := self._spans(data, at))[0][0] >= 0:
            yield spans
            start, at = spans[0]
            if start == at:
                at += 1
                while at < len(data) and data[at] & 0xC0 == 0x80:  # not into the middle of a character
                    at += 1

    def _spans(self, data: bytes, at: int) -> Sequence[_Span]:
        """Where the first match from `at` on is, then its groups; negative if there is none."""
        return self._search(_ANYWHERE, data, at, len(data))

    def _template(self, replacement: str) -> list[bytes | int]:
        """A replacement as texts and the numbers of groups. What names no group stands for itself."""
        parts: list[bytes | int] = []
        end = 0
        for match in _GROUP.finditer(replacement):
            dollar, whole, name, digits = match.groups()
            parts.append(_bytes(replacement[end : match.start()]))
            end = match.end()
            if dollar:
                parts.append(b"$")
            elif whole:
                parts.append(0)
            elif name and self._names:
                parts.append(self._names.get(_bytes(name), b""))
            elif digits and 0 < int(digits) <= self.groups:
                parts.append(int(digits))
            elif digits and 0 < int(digits[0]) <= self.groups:
                parts += [int(digits[0]), _bytes(digits[1:])]
            else:
                parts.append(_bytes(match[0]))
        return [*parts, _bytes(replacement[end:])]


@functools.lru_cache(maxsize=64)
def compiled(source: str) -> Pattern:
    """The pattern, from a bounded cache; for patterns that are known only at run time."""
    return Pattern(source)


def translated(source: str) -> str:
    """A JavaScript pattern in RE2's writing. Raises `PatternError` at what has no meaning or no linear time."""
    made = ["(?i)"] if source.startswith("(?i)") else []
    at = 4 if made else 0
    opened: int | None = None
    while at < len(source):
        match = (_TOKEN if opened is None else _IN_CLASS).match(source, at)
        token = match[0] if match else ""
        if token.startswith("\\"):
            made.append(_escape(token, opened is not None, at))
        elif opened is not None:
            made.append(r"\[" if token == "[" else token)
            opened = None if token == "]" else opened
        else:
            made.append(_outside(token, at))
            opened = at if token in ("[", "[^") else None
        at += len(token)
    if opened is not None:
        raise PatternError("this `[` is not closed", opened)
    return "".join(made)


def _outside(token: str, at: int) -> str:
    match token:
        case "(?=" | "(?!" | "(?<=" | "(?<!":
            raise PatternError("look-ahead and look-behind are not supported: they can take forever", at)
        case "(?":
            raise PatternError("`(?` must be followed by `:` or `<name>`; only a leading `(?i)` sets an option", at)
        case ".":
            return _DOT
        case "[^]":
            return r"[\x{0}-\x{10ffff}]"
        case "[]":
            return r"[^\x{0}-\x{10ffff}]"
        case "{":
            return r"\{"
    return token.replace("(?<", "(?P<") if token.startswith("(?<") else token


def _escape(token: str, inside: bool, at: int) -> str:
    letter = token[1:2]
    if letter == "s":
        return _SPACE if inside else f"[{_SPACE}]"
    if letter == "S":
        return _NOT_SPACE if inside else f"[^{_SPACE}]"
    if letter == "b" and inside:
        return r"\x08"
    if letter == "c" and len(token) == 3:
        return rf"\x{{{ord(token[2]) % 32:x}}}"
    if letter == "u" and len(token) == 12:
        return re.escape(bytes.fromhex(token[2:6] + token[8:]).decode("utf-16-be"))
    if letter in "ux" and len(token) > 2:
        return rf"\x{{{token[2:]}}}"
    if token == r"\0":
        return r"\x00"
    if letter == "k" or (letter.isdigit() and letter.isascii()):
        raise PatternError(f"back-references such as `{token}` are not supported: they can take forever", at)
    if letter in _KEPT or (letter in "pP" and len(token) > 2):
        return token
    if not letter:
        raise PatternError("a pattern cannot end with a backslash", at)
    if letter.isalnum() and letter.isascii():
        raise PatternError(f"`{token}` has no meaning in a pattern", at)
    return re.escape(letter) if letter.isascii() else letter


def _engine(source: str) -> _Engine:
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _ENGINE_BYTES
    options.encoding = re2.Options.Encoding.UTF8
    try:
        engine = cast(_Engine, re2.compile(_bytes(source), options))
    except re2.error as error:
        raise PatternError(_said(error)) from None
    if engine.programsize > limits.PATTERN_PROGRAM:
        raise PatternError("this pattern is too large: its repetitions multiply")
    return engine


def _said(error: Exception) -> str:
    reason = error.args[0]
    return reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "replace")
