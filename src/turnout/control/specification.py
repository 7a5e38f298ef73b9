"""`sites.SITE.specification` of `turnout.yaml`: what events must look like, or all that is wrong with it.

A specification that cannot work is refused here: rules that never fit a type, properties inside of what is no object.
"""

import math
from collections.abc import Iterator, Mapping
from typing import TypeVar, get_args

import msgspec

from turnout.control.changes import Findings
from turnout.control.yamlfile import join
from turnout.formula.errors import did_you_mean
from turnout.formula.pattern import Pattern, PatternError
from turnout.model.config import Environment
from turnout.model.specification import TYPES, Actions, EventSpecification, Label, Property, Specification
from turnout.specification.catalogue import STANDARD
from turnout.specification.shape import ShapeError, Shapes

_NAME_CHARACTERS = 255
_SEGMENTS = 32
_RULES: Mapping[str, tuple[str, ...]] = {
    "format": ("string",),
    "enum": ("string", "number", "integer"),
    "pattern": ("string",),
    "min_length": ("string",),
    "max_length": ("string",),
    "minimum": ("number", "integer"),
    "maximum": ("number", "integer"),
    "min_items": ("array",),
    "max_items": ("array",),
}
"""By rule: the types of values that it can hold for."""
_BOUNDS = (("min_length", "max_length"), ("minimum", "maximum"), ("min_items", "max_items"))

T = TypeVar("T", bound=msgspec.Struct)


class Fields(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A specification as it is written."""

    actions: dict[str, object] = {}
    standard: bool = True
    properties: dict[str, object] = {}
    events: dict[str, object] = {}


class EventFields(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """An event as it is written."""

    label: Label = ""
    description: str = ""
    properties: dict[str, object] = {}


def read(members: Mapping[str, object], path: str, found: Findings) -> Specification | None:
    """The specification of a site, whose fields are `members`; None if it has none.

    What is wrong is left out, and noted.
    """
    raw, path = members.get("specification"), f"{path}.specification"
    if raw is None:
        return None
    fields = _read(raw, Fields, path, found)
    if fields is None:
        return None
    specification = Specification(
        actions=dict(_actions(fields.actions, f"{path}.actions", found)),
        standard=fields.standard,
        properties=dict(_properties(fields.properties, f"{path}.properties", found)),
        events=dict(_events(fields.events, f"{path}.events", found)),
    )
    return _fitting(specification, path, found)


def _read(value: object, kind: type[T], path: str, found: Findings) -> T | None:
    """The value as this type; nothing written is one with its defaults."""
    value = {} if value is None else value
    return msgspec.convert(value, kind) if found.of_type(path, value, kind) else None


def _actions(listed: Mapping[str, object], path: str, found: Findings) -> Iterator[tuple[str, Actions]]:
    known = get_args(Environment)
    for key, value in listed.items():
        environment = "production" if key == "prod" else key
        if environment not in known:
            found.wrong(join(path, key), "is no environment", did_you_mean(key, known) or f"one of {', '.join(known)}")
        elif (actions := _read(value, Actions, join(path, key), found)) is not None:
            yield environment, actions


def _events(listed: Mapping[str, object], path: str, found: Findings) -> Iterator[tuple[str, EventSpecification]]:
    for name, value in listed.items():
        where = join(path, name)
        if not name.strip() or len(name) > _NAME_CHARACTERS:
            found.wrong(where, "is no name for an event", f"1 to {_NAME_CHARACTERS} characters")
        if (fields := _read(value, EventFields, where, found)) is not None:
            properties = dict(_properties(fields.properties, f"{where}.properties", found))
            yield (
                name,
                EventSpecification(properties=properties, label=fields.label, description=fields.description),
            )


def _properties(listed: Mapping[str, object], path: str, found: Findings) -> Iterator[tuple[str, Property]]:
    for name, value in listed.items():
        where = join(path, name)
        entry = _read(value, Property, where, found)
        if _is_path(name, where, found) and entry is not None:
            before = len(found.problems)
            _types(entry, where, found)
            _rules(entry, where, found)
            if len(found.problems) == before:
                yield name, entry


def _is_path(name: str, where: str, found: Findings) -> bool:
    segments = name.split(".")
    if not all(segment.strip() for segment in segments):
        found.wrong(where, "is no path", "names with dots between, such as items.product.price")
    elif any(segment.isdecimal() for segment in segments):
        found.wrong(where, "has a number in it", "a path across a list means each element: items.product.price")
    elif len(segments) > _SEGMENTS:
        found.wrong(where, f"has more than {_SEGMENTS} segments", "no event is nested deeper")
    elif segments[0] == "event_name":
        found.wrong(where, "is the event's name, which is always text", "events are declared under events")
    else:
        return True
    return False


def _types(entry: Property, path: str, found: Findings) -> None:
    for kind in entry.kinds:
        if kind not in TYPES:
            known = f"one of {', '.join(TYPES[:6])}, or array<…> or set<…> of one"
            found.wrong(f"{path}.type", f"{kind!r} is no type", did_you_mean(kind, TYPES) or known)
    if sum("<" in kind for kind in entry.kinds) > 1:
        found.wrong(f"{path}.type", "has more than one kind of list", "array<any> takes every element")
    if len(entry.kinds) > 1 and "any" in entry.kinds:
        found.wrong(f"{path}.type", "has any beside others", "any alone takes every value")
    given = [name for name in ("nullable", "pii") if getattr(entry, name)] + _given(entry)
    if not entry.kinds and given:
        found.wrong(f"{path}.type", f"is missing: {', '.join(given)} would replace what is defined elsewhere", "add it")


def _given(entry: Property) -> list[str]:
    return [name for name in _RULES if getattr(entry, name) not in (None, ())]


def _rules(entry: Property, path: str, found: Findings) -> None:
    values = {kind.rpartition("<")[2].rstrip(">") for kind in entry.kinds}
    if any("<" in kind for kind in entry.kinds):
        values.add("array")
    for name in _given(entry) if entry.kinds else ():
        times = name == "format" and entry.format == "ms_timestamp" and values & {"number", "integer"}
        if not values & set(_RULES[name]) and not times:
            fix = f"it is for {', '.join(_RULES[name])}"
            found.wrong(f"{path}.{name}", f"has no effect with the type {' or '.join(entry.kinds)}", fix)
    for low, high in _BOUNDS:
        least, most = getattr(entry, low), getattr(entry, high)
        if least is not None and most is not None and least > most:
            found.wrong(f"{path}.{low}", f"is more than {high}", "no value could fit")
    for index, value in enumerate(entry.enum):
        text = isinstance(value, str)
        if values & set(_RULES["enum"]) and not values & ({"string"} if text else {"number", "integer"}):
            found.wrong(f"{path}.enum[{index}]", f"{value!r} is not of the type {' or '.join(entry.kinds)}")
        elif isinstance(value, bool) or (isinstance(value, float) and not math.isfinite(value)):
            found.wrong(f"{path}.enum[{index}]", f"{value!r} is no value to list", "texts or numbers")
    if entry.pattern is not None:
        try:
            Pattern(entry.pattern)
        except PatternError as error:
            found.wrong(f"{path}.pattern", f"column {error.at + 1}: {error}")


def _fitting(specification: Specification, path: str, found: Findings) -> Specification:
    """The specification without the properties that don't go together, which are noted."""
    while (misfit := _misfit(specification)) is not None:
        event, error = misfit
        owner = specification.events.get(event, _NONE)
        if name := _at(error.path, owner.properties):
            where = join(f"{path}.events", event)
            owner = msgspec.structs.replace(owner, properties=_without(owner.properties, name))
            events = {**specification.events, event: owner}
            specification = msgspec.structs.replace(specification, events=events)
        else:
            where, name = path, _at(error.path, specification.properties)
            properties = _without(specification.properties, name)
            specification = msgspec.structs.replace(specification, properties=properties)
        found.wrong(join(f"{where}.properties", name), error.message, error.fix)
    return specification


_NONE = EventSpecification()


def _misfit(specification: Specification) -> tuple[str, ShapeError] | None:
    """The first property that cannot be where it is, and the event in which it shows; "": in any."""
    event = ""
    try:
        shapes = Shapes(specification)
        for event in {**specification.events, **(STANDARD if specification.standard else {})}:
            shapes.of(event)
    except ShapeError as error:
        return event, error
    return None


def _at(path: str, listed: Mapping[str, Property]) -> str:
    """The property that is at this path, or leads on from it; "" if none does."""
    return next((name for name in listed if f"{name}.".startswith(f"{path}.")), "")


def _without(listed: Mapping[str, Property], name: str) -> dict[str, Property]:
    if name not in listed:
        raise KeyError(name)
    return {path: entry for path, entry in listed.items() if path != name}
