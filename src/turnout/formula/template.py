"""Text with `{{ formula }}` islands (`formulas.md` §9): the default form of every text setting of a destination."""

from collections.abc import Iterator

from turnout.formula import limits
from turnout.formula.errors import FormulaError
from turnout.formula.formula import Formula, compile_formula
from turnout.formula.run import FAILED, Run
from turnout.formula.values import json_text, scalar_text

_PAIRS = {"{": "}", "[": "]", "(": ")"}


class Template:
    """A compiled text setting: `parts` are its texts and islands as they stand."""

    __slots__ = ("parts", "text")

    def __init__(self, text: str, parts: list[str | Formula]) -> None:
        self.text, self.parts = text, parts

    @property
    def constant(self) -> bool:
        """Whether it has no island: its value is the same for every event."""
        return not any(isinstance(part, Formula) for part in self.parts)

    def value(self, run: Run, element: object = None, index: int = 0) -> object:
        """What to send: the value itself where the whole text is one island, else text, with nothing for null.

        None where the only island gives null: the field is not sent. `FAILED` where a bound was exceeded. Never
        raises. `element` and `index` as for `Formula.value`.
        """
        if len(self.parts) == 1:
            (only,) = self.parts
            return only if isinstance(only, str) else only.value(run, element, index)
        made, length = [], 0
        for part in self.parts:
            value = part if isinstance(part, str) else part.value(run, element, index)
            if value is FAILED:
                return FAILED
            text = text_of(value)
            length += len(text)
            if length > limits.RESULT_BYTES:
                run.warn("limit", f"a text longer than {limits.RESULT_BYTES} characters")
                return FAILED
            made.append(text)
        return "".join(made)


def compile_template(text: str, within: str | None = None) -> Template:
    r"""The template that a text writes; `\{{` stands for two braces. `within` as for `compile_formula`.

    Raises `FormulaError` with the position in the whole text.
    """
    if len(text) > limits.TEXT_CHARACTERS:
        raise FormulaError(f"a template has {limits.TEXT_CHARACTERS} characters at most", text, 0)
    parts: list[str | Formula] = []
    for part, at, island in _pieces(text):
        if island:
            try:
                parts.append(compile_formula(part, within))
            except FormulaError as error:
                raise FormulaError(error.message, text, at + error.offset, error.fix) from None
        elif part:
            parts.append(part)
    return Template(text, _joined(parts))


def _pieces(text: str) -> Iterator[tuple[str, int, bool]]:
    """Literal texts and islands (True), each with its offset."""
    at = 0
    while (start := text.find("{{", at)) >= 0:
        if start > at and text[start - 1] == "\\":
            yield text[at : start - 1] + "{{", at, False
            at = start + 2
            continue
        yield text[at:start], at, False
        end = _end(text, start + 2)
        yield text[start + 2 : end], start + 2, True
        at = end + 2
    yield text[at:], at, False


def _end(text: str, at: int) -> int:
    """Where the island that begins here ends: at the first `}}` outside texts and other brackets."""
    start, closing = at, list[str]()
    while at < len(text):
        sign = text[at]
        if sign in "\"'":
            at += 1
            while at < len(text) and text[at] != sign:
                at += 2 if text[at] == "\\" else 1
        elif not closing and text.startswith("}}", at):
            return at
        elif sign in _PAIRS:
            closing.append(_PAIRS[sign])
        elif closing and sign == closing[-1]:
            closing.pop()
        at += 1
    raise FormulaError("this `{{` is not closed", text, start - 2, r"close it with }}, or write \{{ for two braces")


def _joined(parts: list[str | Formula]) -> list[str | Formula]:
    """Neighbouring texts as one; a template of nothing is the empty text."""
    made: list[str | Formula] = []
    for part in parts:
        if isinstance(part, str) and made and isinstance(made[-1], str):
            made[-1] += part
        else:
            made.append(part)
    return made or [""]


def text_of(value: object) -> str:
    """What an island writes for a value: nothing for null, JSON for arrays and objects."""
    written = scalar_text(value)
    return json_text(value) if written is None else written
