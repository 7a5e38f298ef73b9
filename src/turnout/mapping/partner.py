"""A destination's mapping, compiled (`processing.md` §8): its own copy of an event in, what it wants out.

What must stay true: mapping never raises and never touches what others see. What a formula cannot compute costs that
value and leaves a warning in the run; only an event that has no name for the partner, or that cannot be written as
JSON, is rejected.
"""

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from turnout.formula import FAILED, Formula, Run, Template, compile_formula, compile_template
from turnout.mapping.changes import Apply, Event, compiled, setter
from turnout.mapping.copies import branches_of, copy_of
from turnout.model.outcome import Result
from turnout.model.partner import PartnerMapping

_encode = msgspec.json.Encoder().encode
_NAME_CHARACTERS = 256


class Mapped(NamedTuple):
    """An event as a destination gets it.

    `payload` is what is sent; `event` what the templates of settings read: the same, but whole where only
    parameters are sent.
    """

    name: str
    event: Event
    payload: bytes


class Mapper:
    """See the module. Compiled once per configuration, for any number of events."""

    def __init__(self, mapping: PartnerMapping) -> None:
        """Raises `FormulaError` for a formula that cannot work."""
        self._branches = branches_of(mapping.changes, mapping.custom)
        self._changes = [compiled(change) for change in mapping.changes]
        self._names = {ours: compile_template(theirs) for ours, theirs in mapping.events.items()}
        self._drops = mapping.others == "drop"
        self._parameters: list[tuple[str, Formula]] | None = None
        if mapping.parameters is not None:
            self._parameters = [(name, compile_formula(text)) for name, text in mapping.parameters.items()]
        self._custom: list[Apply] = [setter(name, text, nulls=False) for name, text in mapping.custom.items()]

    def copy(self, event: Mapping[str, object]) -> Event:
        """An event that `map` may change; it shares with the original what no mapping touches."""
        return copy_of(event, self._branches)

    def map(self, event: Event, run: Run) -> Mapped | Result:
        """What the destination gets of an event, or why it gets nothing.

        `event` is what `copy` gave, or nobody else's at all; it is what `run` reads, and is changed in place.
        """
        for change in self._changes:
            change(event, run)
        ours = event.get("event_name")
        name = ours if isinstance(ours, str) else ""
        if (template := self._names.get(name)) is not None:
            theirs = _name(template, run)
            if theirs is None:
                return _rejected(f"the mapping of {name} gives no name for the partner: {template.text}")
            event["event_name"] = name = theirs
        elif self._drops:
            return Result("filtered", "unsupported_event", asked=False)
        sent = event if self._parameters is None else _picked(self._parameters, run)
        for add in self._custom:
            add(sent, run)
        try:
            return Mapped(name, event, _encode(sent))
        except (UnicodeEncodeError, RecursionError) as error:
            return _rejected(f"what is left cannot be written as JSON: {error}")


def _name(template: Template, run: Run) -> str | None:
    value = template.value(run)
    return value if isinstance(value, str) and 0 < len(value) <= _NAME_CHARACTERS else None


def _picked(parameters: list[tuple[str, Formula]], run: Run) -> Event:
    """The parameters that have a value: null is not sent."""
    sent: Event = {}
    for name, formula in parameters:
        value = formula.value(run)
        if value is not None and value is not FAILED:
            sent[name] = value
    return sent


def _rejected(detail: str) -> Result:
    return Result("rejected", "mapping_error", detail, asked=False)
