"""Whether an event's content lets it pass: consent first, then the filter (`processing.md` §7.2, §7.3)."""

from collections.abc import Mapping
from datetime import UTC, tzinfo
from typing import NamedTuple

from turnout.formula import FAILED, Formula, Run, compile_formula
from turnout.formula.values import truthy
from turnout.model.outcome import Code
from turnout.model.requirement import Requirement, granted


class Verdict(NamedTuple):
    """`code` says why the event is stopped, None that it passes; `failure` why its filter could not be evaluated."""

    code: Code | None
    failure: str = ""


PASSES = Verdict(None)
_NOT_CONSENTED = Verdict(Code.FILTERED_CONSENT)
_NOT_MET = Verdict(Code.FILTERED_CONDITION)


class Gate:
    """A requirement, compiled. What cannot be judged does not pass."""

    def __init__(self, requirement: Requirement, zone: tzinfo = UTC) -> None:
        """`zone` is the site's. Raises `FormulaError` if the filter is no formula."""
        self._zone = zone
        self._consent = requirement.consent
        self._filter: Formula | None = compile_formula(requirement.filter) if requirement.filter else None

    @property
    def open(self) -> bool:
        """Whether everything passes, whatever it contains."""
        return self._consent is None and self._filter is None

    def judge(self, event: Mapping[str, object] | None, now_ms: int) -> Verdict:
        """The verdict on an event; None is one that can't be read. An event that both would stop is not consented.

        `now_ms` is the time for formulas. Never raises.
        """
        if self._consent is not None and not self._consent.met_by(granted(event or {})):
            return _NOT_CONSENTED
        if self._filter is None:
            return PASSES
        if event is None:
            return Verdict(Code.FILTERED_CONDITION, "the event can't be read")
        run = Run(event, now_ms, self._zone)
        value = self._filter.value(run)
        if value is FAILED:
            return Verdict(Code.FILTERED_CONDITION, next(iter(run.warnings.values())).message)
        return PASSES if truthy(value) else _NOT_MET
