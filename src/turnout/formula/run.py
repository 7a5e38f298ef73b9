"""One event's evaluation: what formulas read, what they may spend, and what they complain about."""

from collections.abc import Mapping
from datetime import UTC, tzinfo
from types import MappingProxyType
from typing import Final, NamedTuple, NoReturn

import msgspec

from turnout.formula import limits
from turnout.formula.errors import LimitError

FAILED: Final = object()
"""The result of an evaluation that exceeded a bound: the action is skipped, nothing is changed (§11)."""

_NO_HEADERS: Mapping[str, str] = MappingProxyType({})
_SMALL = 256
"""Texts up to this length cost nothing beyond the node that handles them."""


class Warned(NamedTuple):
    """Something that did not fit: `code` for counting, `message` for people."""

    code: str
    message: str


class Run(msgspec.Struct, gc=False):
    """An event under evaluation. One serves all formulas on that event; each begins with a full budget.

    Takes the event (a JSON object; never changed), the evaluation time in ms, the workspace's zone, and the headers
    of the request that carried the event, names in lower case. `warnings` collects one entry per code; who wants
    them per rule empties it between rules. `left` is what is left of the budget.
    """

    event: Mapping[str, object]
    now_ms: int
    zone: tzinfo = UTC
    headers: Mapping[str, str] = _NO_HEADERS
    warnings: dict[str, Warned] = {}
    left: int = limits.WORK

    def warn(self, code: str, message: str) -> None:
        """Note a surprise; the first of its code is kept."""
        if code not in self.warnings:
            self.warnings[code] = Warned(code, message)

    def spend(self, units: int) -> None:
        """Pay for work; raises `LimitError` when the budget is used up."""
        self.left -= units
        if self.left < 0:
            raise LimitError("too much work for one formula")

    def pay_for(self, text: str) -> None:
        """Pay for going through a text."""
        if len(text) > _SMALL:
            self.spend(len(text) >> 4)

    def too_long(self) -> NoReturn:
        """A text would exceed what a result may be."""
        raise LimitError(f"a text longer than {limits.RESULT_BYTES} characters")

    def bounded(self, text: str) -> str:
        """A text that was just made: paid for, and no longer than a result may be."""
        if len(text) > _SMALL:
            if len(text) > limits.RESULT_BYTES:
                self.too_long()
            self.spend(len(text) >> 4)
        return text
