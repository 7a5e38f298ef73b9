"""What can be wrong with a formula, said where it is wrong."""

import difflib
from collections.abc import Iterable

from turnout.model.errors import TurnoutError


class FormulaError(TurnoutError):
    """A formula that cannot work: `message` says what is wrong, `fix` what to do ("" if unknown).

    `offset` counts characters from 0, `line` and `column` from 1.
    """

    def __init__(self, message: str, text: str, offset: int, fix: str = "") -> None:
        before = text[:offset]
        self.message, self.fix, self.text, self.offset = message, fix, text, offset
        self.line = before.count("\n") + 1
        self.column = offset - (before.rfind("\n") + 1) + 1
        where = f"line {self.line}, column {self.column}"
        super().__init__(f"{where}: {message}" + (f" ({fix})" if fix else ""))

    def pointer(self, width: int = 100) -> str:
        """The line in question and a caret under the place, cut to about `width` characters around it."""
        line = self.text.split("\n")[self.line - 1].replace("\t", " ")
        start = max(0, self.column - 1 - width // 2)
        shown = line[start : start + width]
        return f"{shown}\n{' ' * (self.column - 1 - start)}^"


class TreeError(TurnoutError):
    """Something in a syntax tree that cannot work, at `offset` of the text it came from."""

    def __init__(self, message: str, offset: int, fix: str = "") -> None:
        super().__init__(message)
        self.message, self.offset, self.fix = message, offset, fix


class LimitError(TurnoutError):
    """An evaluation that would exceed a bound; the message says which."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """ "did you mean …?" if there is something close, else ""."""
    close = difflib.get_close_matches(word, list(known), 1, 0.6)
    return f"did you mean {close[0]}?" if close else ""
