"""What the parser stumbled over, in words, with a way out for the mistakes that people make."""

import re

import lark

from turnout.formula.errors import FormulaError

_VALUE = {"PATH", "KEY"}
"""Tokens that may come where a value, or the name of an entry, is expected: everywhere else an operator is."""
_RELATION = re.compile(r"[=<>~]|!=|!~|(?:!?in|startswith|endswith|contains|between)(?![\w$])", re.IGNORECASE)
_LOOKS = {
    "]": "`]` closes no `[`",
    "}": "`}` closes no `{`",
    ")": "`)` closes no `(`",
    "%": "there is no `%` operator",
    "^": "there is no `^` operator",
    "?": "there is no `?` operator: write IF(condition, then, else)",
    ";": "a formula is one expression, without `;`",
    "!": "`!` alone is no operator: write NOT, `!=`, `!~` or `!IN`",
    "&": "write `&&` or AND",
    "|": "write `||` or OR",
    "`": "text stands in straight quotes, \"…\" or '…'",
}


def explained(error: lark.UnexpectedInput, text: str) -> FormulaError:
    """lark's exception as one for the person who wrote the formula."""
    expected = _expected(error)
    token = error.token if isinstance(error, lark.UnexpectedToken) else None
    if token is not None and token.type == "$END":
        return _end(text, expected)
    at = error.pos_in_stream or 0
    rest = text[at:]
    operator = not expected & _VALUE
    before = text[:at].rstrip()
    if rest[:1] in ('"', "'", "“", "‘") and not _whole(rest):
        return FormulaError("this text is not closed", text, at, f"close it with {_closing(rest[0])}")
    if rest[:1] == "," and re.search(r"\d$", text[:at]) and re.match(r",\s*\d", rest):
        return FormulaError("the decimal separator is a dot", text, at, f"write {_decimal(text, at)}")
    if reserved := re.match(r"(?i:true|false|null|not)(?:\s*\.[\w$.]*)?", rest) if not operator else None:
        return FormulaError(
            f"`{reserved[0]}` cannot name a property: it is a word of the language",
            text, at, f'read the property with GET("{reserved[0]}")',
        )  # fmt: skip
    if operator and _RELATION.match(rest) and "COMPARE" not in expected and "_AND" in expected:
        return FormulaError("comparisons cannot be chained", text, at, "join two with AND")
    if rest[:1] == "(" and (word := re.search(r"[\w$.]+$", before)):
        return FormulaError(f"`{word[0]}` is not a function", text, at, "function names have no dot")
    shown = f"`{_word(rest)}`"
    if operator:
        closes = _LOOKS.get(rest[0], "")
        return FormulaError(f"{shown} cannot follow here", text, at, closes or _between(before, expected))
    looks = _LOOKS.get(rest[0], "") if rest[0] not in ")]}" else ""
    return FormulaError(f"a value is missing before {shown}", text, at, looks)


def _expected(error: lark.UnexpectedInput) -> set[str]:
    if isinstance(error, lark.UnexpectedToken):
        return set(error.accepts or ()) or set(error.expected)
    return set(error.allowed or ()) if isinstance(error, lark.UnexpectedCharacters) else set()


def _end(text: str, expected: set[str]) -> FormulaError:
    if not text.strip():
        return FormulaError("the formula is empty", text, 0, "write null for no value")
    for token, sign in (("RPAR", ")"), ("RSQB", "]"), ("RBRACE", "}")):
        if token in expected:
            return FormulaError(f"`{sign}` is missing", text, len(text))
    return FormulaError("a value is missing at the end", text, len(text))


def _between(before: str, expected: set[str]) -> str:
    if before.endswith(('"', "'")):
        return r"a quote within text is written \""
    return "an operator is missing, or a comma" if "COMMA" in expected else "an operator is missing"


def _whole(rest: str) -> bool:
    closing = _closing(rest[0])
    return re.match(rf"{rest[0]}(?:\\.|[^{closing}\\])*{closing}", rest, re.DOTALL) is not None


def _closing(quote: str) -> str:
    return {"“": "”", "‘": "’"}.get(quote, quote)


def _decimal(text: str, at: int) -> str:
    before, after = re.search(r"\d+$", text[:at]), re.match(r",\s*(\d+)", text[at:])
    return f"{before[0]}.{after[1]}" if before and after else "1.5"


def _word(rest: str) -> str:
    match = re.match(r"[\w$.]{1,40}|&&|\|\||[<>=!]=?|.", rest, re.DOTALL)
    return match[0] if match else ""
