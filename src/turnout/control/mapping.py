"""Reads `mapping` of a destination: plain values of the configuration in, the model's out (`processing.md` §8).

What can never work is refused here, with the place in its formula.
"""

from collections.abc import Iterator, Mapping
from typing import Literal

import msgspec

from turnout.control.changes import Findings, expression, is_consent, is_path, read_changes
from turnout.control.yamlfile import join
from turnout.formula import FormulaError, compile_template
from turnout.formula.errors import did_you_mean
from turnout.mapping.standard import STANDARD
from turnout.model.partner import PartnerMapping

_NOT_SENT = (None, "")


class MappingFields(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A mapping as it is written."""

    properties: list[object] = []
    events: dict[str, object] = {}
    other_events: Literal["keep", "drop"] = "keep"
    parameters: dict[str, object] | None = None
    custom: dict[str, object] = {}


def mapping_of(value: object, path: str, found: Findings) -> PartnerMapping | None:
    """The mapping that a destination asks for; None for none. What is wrong or doubtful is noted."""
    if value is None or not found.of_type(path, value, MappingFields):
        return None
    fields = msgspec.convert(value, MappingFields)
    mapping = PartnerMapping(
        changes=tuple(read_changes(fields.properties, f"{path}.properties", found, own_copy=True)),
        events=dict(_events(fields.events, f"{path}.events", found)),
        others=fields.other_events,
        parameters=_parameters(fields.parameters, f"{path}.parameters", found),
        custom=dict(_custom(fields.custom, f"{path}.custom", found)),
    )
    if mapping.others == "drop" and not fields.events:
        found.doubtful(f"{path}.other_events", "drops every event: there is none in events")
    return mapping if mapping != PartnerMapping() else None


def _events(events: Mapping[str, object], path: str, found: Findings) -> Iterator[tuple[str, str]]:
    for ours, theirs in events.items():
        where = join(path, ours)
        if not ours.strip():
            found.wrong(where, "is no name of an event")
        elif not isinstance(theirs, str) or not theirs.strip():
            found.wrong(where, "must be the partner's name for it", "such as Purchase, or {{event_name}}_v2")
        else:
            try:
                compile_template(theirs)
            except FormulaError as error:
                found.wrong(where, f"line {error.line}, column {error.column}: {error.message}", error.fix)
            yield ours, theirs


def _parameters(given: Mapping[str, object] | None, path: str, found: Findings) -> dict[str, str] | None:
    if given is None:
        return None
    for name in given:
        if name not in STANDARD:
            fix = did_you_mean(name, STANDARD) or "put it under custom"
            found.wrong(join(path, name), "is no standard parameter", fix)
    return {
        name: _formula(given.get(name, standard), join(path, name), found)
        for name, standard in STANDARD.items()
        if given.get(name, standard) not in _NOT_SENT
    }


def _custom(given: Mapping[str, object], path: str, found: Findings) -> Iterator[tuple[str, str]]:
    for name, value in given.items():
        where = join(path, name)
        if value in _NOT_SENT:
            found.wrong(where, "has no value", "a formula, such as user.id, or leave it out")
        elif is_consent(name):
            found.wrong(where, "changes user.consent_categories", "only a row of properties may, with confirm: true")
        elif is_path(name, where, found):
            yield name, _formula(value, where, found)


def _formula(value: object, path: str, found: Findings) -> str:
    if isinstance(value, dict | list):
        found.wrong(path, "must be a formula", "such as user.id")
        return ""
    if isinstance(value, str) and value.lstrip().startswith("{{"):
        found.wrong(path, "is a formula already", "write it without {{ }}")
        return ""
    assert value is None or isinstance(value, str | int | float)
    return expression(value, path, found)
