"""`sites.SITE.cleansing` of `turnout.yaml`: rules, or everything that is wrong with them (`processing.md` §4).

A rule that can never work is refused here, with the place in its formula.
"""

from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from turnout.control.changes import Findings, belonging, read_changes
from turnout.control.routing import filter_of
from turnout.formula import compile_formula
from turnout.model.cleansing import DeriveEvent, FilterEvent, ModifyProperties, Operation, RenameEvent, Rule, Timing
from turnout.model.config import Environment, Source

_NAME_CHARACTERS = 256
_FIELDS: dict[str, tuple[str, ...]] = {
    "rename_event": ("to",),
    "modify_properties": ("properties",),
    "filter_event": (),
    "derive_event": ("name", "properties"),
}


class RuleFields(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """One rule as it is written. Which of `to`, `name` and `properties` it has depends on the operation."""

    label: Annotated[str, Meta(min_length=1, max_length=100, pattern=r"\A[^\n]*\S[^\n]*\Z", examples=["Old orders"])]
    operation: Literal["rename_event", "modify_properties", "filter_event", "derive_event"]
    to: str | UnsetType = UNSET
    name: str | UnsetType = UNSET
    properties: list[object] | UnsetType = UNSET
    when: object = None
    environment: Environment = "production"
    sources: list[str] = []
    timing: Timing = "reception"
    order: int = 0
    status: Literal["active", "inactive"] = "active"
    description: str = ""


def read(
    site: str, members: Mapping[str, object], path: str, sources: Mapping[str, Source], found: Findings
) -> list[Rule]:
    """The rules of a site, whose fields are `members`, in their order; `sources` are all there are, by reference.

    Wrong ones are left out, with every problem noted.
    """
    rules: list[tuple[int, Rule]] = []
    labels: set[str] = set()
    listed = members.get("cleansing", [])
    assert isinstance(listed, list)
    for index, raw in enumerate(listed):
        one, where = raw, f"{path}.cleansing[{index}]"
        if isinstance(raw, dict) and raw.get("environment") == "prod":
            one = {**raw, "environment": "production"}
        if not found.of_type(where, one, RuleFields):
            continue
        fields = msgspec.convert(one, RuleFields)
        if fields.label in labels:
            found.wrong(f"{where}.label", f"{fields.label!r} is another rule's label too", "every rule has its own")
        labels.add(fields.label)
        if (rule := _rule(site, fields, where, sources, found)) is not None:
            rules.append((fields.order, rule))
    return [rule for _, rule in sorted(rules, key=lambda pair: pair[0])]


def _rule(site: str, fields: RuleFields, path: str, sources: Mapping[str, Source], found: Findings) -> Rule | None:
    given = {"to": fields.to, "name": fields.name, "properties": fields.properties}
    optional = "properties" if fields.operation == "derive_event" else ""
    belonging(given, _FIELDS[fields.operation], f"operation: {fields.operation}", path, found, optional)
    operation = _operation(fields, path, found)
    when = _when(fields.when, f"{path}.when", found)
    concerned = _scope(site, fields, path, sources, found)
    if fields.operation == "filter_event" and not when:
        found.doubtful(f"{path}.when", "is missing: every event of these sources is dropped")
    if operation is None:
        return None
    return Rule(
        site=site,
        label=fields.label,
        operation=operation,
        sources=concerned,
        when=when,
        description=fields.description,
        environment=fields.environment,
        status=fields.status,
        timing=fields.timing,
    )


def _scope(site: str, fields: RuleFields, path: str, sources: Mapping[str, Source], found: Findings) -> frozenset[str]:
    known = {source.name: source for source in sources.values() if source.site == site}
    for index, name in enumerate(fields.sources):
        source = known.get(name)
        if source is None:
            fix = f"this site has {', '.join(known) or 'none'}"
            found.wrong(f"{path}.sources[{index}]", f"there is no source {name!r}", fix)
        elif source.environment != fields.environment:
            fix = f"set environment: {source.environment} for this rule, or leave the source out"
            message = f"{name!r} is of the environment {source.environment}, the rule of {fields.environment}"
            found.wrong(f"{path}.sources[{index}]", message, fix)
    names = fields.sources or [name for name, one in known.items() if one.environment == fields.environment]
    if not names:
        found.doubtful(path, f"concerns no source: none is of the environment {fields.environment}")
    return frozenset(f"{site}/{name}" for name in names)


def _operation(fields: RuleFields, path: str, found: Findings) -> Operation | None:
    changes = tuple(read_changes(fields.properties or (), f"{path}.properties", found))
    match fields.operation:
        case "rename_event":
            name = _event_name(fields.to, f"{path}.to", found)
            return None if name is None else RenameEvent(name)
        case "modify_properties":
            if fields.properties == []:
                found.wrong(f"{path}.properties", "is empty", "a list of rows {action: …, property: …}")
            return ModifyProperties(changes)
        case "filter_event":
            return FilterEvent()
        case "derive_event":
            name = _event_name(fields.name, f"{path}.name", found)
            return None if name is None else DeriveEvent(name, changes)


def _event_name(value: str | UnsetType, path: str, found: Findings) -> str | None:
    if value is UNSET:
        return None
    if not value.strip() or len(value) > _NAME_CHARACTERS:
        found.wrong(path, "is no name for an event", f"1 to {_NAME_CHARACTERS} characters")
        return None
    return value


def _when(value: object, path: str, found: Findings) -> str:
    """The formula of a condition; "" always holds."""
    if isinstance(value, str) and not value.strip():
        found.wrong(path, "is empty", "write a formula, or leave when out to take every event")
        return ""
    before = len(found.problems)
    text = filter_of(value, path, found.problems)
    if text and len(found.problems) == before:
        found.noted(path, compile_formula(text))
    return text
