"""A specification, interpreted from its words for each value anew: slow, and another way to the same verdicts.

For specifications without the standard events, whose properties have a type where they are used.
"""

from collections.abc import Mapping

import msgspec

from turnout.formula.pattern import Pattern
from turnout.model.specification import Actions, Property, Specification
from turnout.process import values
from turnout.process.formats import FORMATS

Told = set[tuple[str, str]]
_GONE = object()
_CONVERT = {
    "string": values.string, "number": values.number, "integer": values.integer, "boolean": values.boolean,
}  # fmt: skip


def judge(specification: Specification, actions: Actions, event: dict[str, object]) -> tuple[str, Told, object]:
    """Status, violations as (path, rule) and what is left of the event's own properties, which are all but
    those that every event has."""
    name = event["event_name"]
    body = {key: value for key, value in event.items() if key not in ("event_name", "user", "context")}
    declared = specification.events.get(str(name))
    if declared is None:
        if actions.events in ("accept", "reject"):
            status = "invalid_rejected" if actions.events == "reject" else "invalid_accepted"
            return status, {("event_name", "unspecified_event")}, body
        return "valid", set(), body
    told: Told = set()
    left = _members(declared.properties, "", "", body, actions, told)
    rejects = {"missing_required": actions.missing, "format": actions.format}
    if any(rejects.get(rule) == "reject" for _, rule in told):
        return "invalid_rejected", told, left
    return ("invalid_accepted" if told else "valid"), told, left


def _members(
    listed: Mapping[str, Property], inside: str, at: str, value: dict[str, object], actions: Actions, told: Told
) -> dict[str, object]:
    """`inside` is the path of the object as declared, `at` as it is in the event; "" for the event."""
    known = {path[len(inside) :].split(".")[0] for path in listed if path.startswith(inside)}
    left: dict[str, object] = {}
    for name, item in value.items():
        path, place = inside + name, at + name
        if name not in known:
            if not known and inside:
                left[name] = item
                continue
            if item is None or actions.properties in ("ignore", "accept"):
                left[name] = item
            if item is not None and actions.properties in ("omit", "accept"):
                told.add((place, "unspecified_property"))
            continue
        entry = listed.get(path, Property(type="object"))
        result = item if item is None else _value(listed, entry, path, place, item, actions, told)
        if result is not _GONE:
            left[name] = result
    for name in known:
        entry = listed.get(inside + name, Property())
        absent = left.get(name) is None and not (entry.nullable and name in left)
        if entry.required and absent and actions.missing != "ignore":
            told.add((at + name, "missing_required"))
    return left


def _value(
    listed: Mapping[str, Property],
    entry: Property,
    path: str,
    place: str,
    value: object,
    actions: Actions,
    told: Told,
) -> object:
    """What stands for the value, by the first type that takes it: its own before those that convert."""
    kinds = sorted(entry.kinds, key=lambda kind: not _is_own(kind, value)) if len(entry.kinds) > 1 else entry.kinds
    for kind in kinds:
        mine: Told = set()
        result = _kind(listed, entry, kind, path, place, value, actions, mine)
        if not mine or len(kinds) == 1 or (_is_own(kind, value)):
            told |= mine
            return result
    told.add((place, "format"))
    return _GONE if actions.format == "omit" else value


def _is_own(kind: str, value: object) -> bool:
    own = {"string": (str,), "number": (int, float), "integer": (int,), "boolean": (bool,), "object": (dict,)}
    return type(value) in own.get(kind, (list,) if "<" in kind else ())


def _kind(
    listed: Mapping[str, Property],
    entry: Property,
    kind: str,
    path: str,
    place: str,
    value: object,
    actions: Actions,
    told: Told,
) -> object:
    def wrong() -> object:
        told.add((place, "format"))
        return _GONE if actions.format == "omit" else value

    if kind == "any":
        return value
    if kind == "object":
        return _members(listed, f"{path}.", f"{place}.", value, actions, told) if isinstance(value, dict) else wrong()
    if "<" in kind:
        structure, _, inner = kind.rstrip(">").partition("<")
        if not isinstance(value, list):
            if isinstance(value, dict) or inner == "object":
                return wrong()
            value = [value]
        each = [
            _kind(listed, entry, inner, path, f"{place}.{index}", item, actions, told)
            for index, item in enumerate(value)
        ]
        value = [item for item in each if item is not _GONE]
        if structure == "set":
            value = [
                item
                for index, item in enumerate(value)
                if msgspec.json.encode(item) not in map(msgspec.json.encode, value[:index])
            ]
        fits = len(value) >= (entry.min_items or 0) and (entry.max_items is None or len(value) <= entry.max_items)
        return value if fits else wrong()
    converted = _CONVERT[kind](value)
    return converted if converted is not values.IMPOSSIBLE and _fits(entry, converted) else wrong()


def _fits(entry: Property, value: object) -> bool:
    if isinstance(value, str):
        return (
            (entry.min_length is None or len(value) >= entry.min_length)
            and (entry.max_length is None or len(value) <= entry.max_length)
            and (entry.pattern is None or Pattern(entry.pattern).test(value))
            and (entry.format is None or bool(FORMATS[entry.format].test(value)))
            and (not entry.enum or value in entry.enum)
        )
    if isinstance(value, int | float) and not isinstance(value, bool):
        return (
            (entry.minimum is None or value >= entry.minimum)
            and (entry.maximum is None or value <= entry.maximum)
            and (not entry.enum or value in entry.enum)
        )
    return True
