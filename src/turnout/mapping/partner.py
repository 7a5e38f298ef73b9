"""A destination's mapping, compiled (`processing.md` §8): its own copy of an event in, what it wants out.

What must stay true: mapping never raises and never touches what others see. What a formula cannot compute costs that
value and leaves a warning in the run; only an event that has no name for the partner, or that cannot be written as
JSON, is rejected.
"""

from collections.abc import Callable
from typing import NamedTuple, cast

import msgspec

from turnout.formula import FAILED, Formula, Run, Template, compile_formula, compile_template
from turnout.formula.source import Source
from turnout.mapping.changes import Event, setter, writer
from turnout.mapping.copies import branches_of, copier
from turnout.model.outcome import Result
from turnout.model.partner import PartnerMapping

_encode = msgspec.json.Encoder().encode
_NAME_CHARACTERS = 256
_UNSUPPORTED = Result("filtered", "unsupported_event", asked=False)


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
        self.copy = copier(branches_of(mapping.changes, mapping.custom))
        """An event that `map` may change; it shares with the original what no mapping touches."""
        self.map = _mapping(mapping)
        """What the destination gets of an event, or why it gets nothing.

        Takes what `copy` gave, or what is nobody else's at all, and its run; the event is changed in place.
        """


def _mapping(mapping: PartnerMapping) -> Callable[[Event, Run], Mapped | Result]:
    names = {ours: compile_template(theirs) for ours, theirs in mapping.events.items()}
    to = Source("def mapped(event, run):")
    for change in mapping.changes:
        writer(change)(to, "event")
    to.line(f"name = event.get({to.name('event_name')})")
    with to.block("if type(name) is not str:"):
        to.line(f"name = {to.name('')}")
    to.line(f"theirs = {to.name(names)}.get(name)")
    with to.block("if theirs is not None:"):
        to.line(f"made = {to.call(_name, 'theirs', 'run')}")
        with to.block("if made is None:"):
            to.line(f"return {to.call(_unnamed, 'name', 'theirs')}")
        to.line(f"event[{to.name('event_name')}] = name = made")
    if mapping.others == "drop":
        with to.block("else:"):
            to.line(f"return {to.name(_UNSUPPORTED)}")
    to.line("sent = event")
    if mapping.parameters is not None:
        parameters = [(name, compile_formula(text)) for name, text in mapping.parameters.items()]
        to.line(f"sent = {to.call(_picked, to.name(parameters), 'run')}")
    for name, text in mapping.custom.items():
        setter(name, text, nulls=False)(to, "sent")
    to.line(f"return {to.call(_written, 'name', 'event', 'sent')}")
    return cast("Callable[[Event, Run], Mapped | Result]", to.function())


def _written(name: str, event: Event, sent: Event) -> Mapped | Result:
    try:
        return Mapped(name, event, _encode(sent))
    except (UnicodeEncodeError, RecursionError) as error:
        return _rejected(f"what is left cannot be written as JSON: {error}")


def _unnamed(name: str, template: Template) -> Result:
    return _rejected(f"the mapping of {name} gives no name for the partner: {template.text}")


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
