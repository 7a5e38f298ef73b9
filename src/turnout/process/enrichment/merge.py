"""Puts what a store has into an event, row by row (`processing.md` §6.4). Pure.

Where both have an array of objects, those with the same `id` belong together, else those with the same place. A value
never takes the place of one of another type, and no object is made on the way to a property.
"""

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from turnout.model.enrichment import Row

Object = dict[str, object]


class Warned(NamedTuple):
    """Why something was not done as asked: a code of §6.5, the path in the event, words."""

    code: str
    path: str
    message: str


class Target(NamedTuple):
    """Where a row's path ends: a property, which may not be there, of an object that is."""

    holder: Object
    name: str
    value: object
    """What is stored for it."""


def merge(base: Object, at: str, stored: Mapping[str, object], rows: Sequence[Row]) -> list[Warned]:
    """Change `base`, an object whose path in the event is `at` ("" for the event itself), by these rows in order.

    What is stored without a value changes nothing.
    """
    warnings: list[Warned] = []
    for row in rows:
        path = f"event.{at}.{row.property}" if at else f"event.{row.property}"
        for found in _targets(base, row.property.split("."), stored, row.stored.split(".")):
            warned = _put(found, row.override) if isinstance(found, Target) else found
            if warned is not None and (one := Warned(warned[0], path, warned[1])) not in warnings:
                warnings.append(one)
    return warnings


def _targets(
    target: Object, names: Sequence[str], stored: object, path: Sequence[str]
) -> Iterator[Target | tuple[str, str]]:
    """Where the row leads, or (code, message) where it can't go on; both sides are followed side by side."""
    if len(names) == 1:
        value = _collected(stored, path)
        if value is not None:
            yield Target(target, names[0], value)
        return
    inner = target.get(names[0])
    given = stored.get(path[0]) if len(path) > 1 and isinstance(stored, Mapping) else stored
    rest = path[1:] if len(path) > 1 else path
    if given is None:
        return
    if inner is None:
        yield "merge_error", "should merge object properties that do not exist in target"
    elif isinstance(inner, dict) and not isinstance(given, list):
        yield from _targets(inner, names[1:], given, rest)
    elif isinstance(inner, list) and isinstance(given, list):
        yield from _paired(inner, names[1:], given, rest)
    elif isinstance(inner, list):
        for one in inner:
            if isinstance(one, dict):
                yield from _targets(one, names[1:], given, rest)
    else:
        yield "type_error", _mismatch(given, inner)


def _paired(
    targets: list[object], names: Sequence[str], given: list[object], path: Sequence[str]
) -> Iterator[Target | tuple[str, str]]:
    known = {str(one["id"]): one for one in given if isinstance(one, dict) and one.get("id") is not None}
    told = False
    for number, one in enumerate(targets):
        if not isinstance(one, dict):
            continue
        if one.get("id") is not None and known:
            match: object = known.get(str(one["id"]))
        else:
            match = given[number] if number < len(given) else None
            if not told:
                told = True
                yield "index_merge", "No ID field found, falling back to index-based merge"
        if match is not None:
            yield from _targets(one, names, match, path)


def _collected(stored: object, path: Sequence[str]) -> object:
    """What is stored at a path: through arrays, the list of what its elements have there; None if there is nothing."""
    value = stored
    for at, name in enumerate(path):
        if isinstance(value, list) and not name.isdigit():
            inner = (_collected(one, path[at:]) for one in value)
            return [one for one in inner if one is not None] or None
        if isinstance(value, list):
            value = value[int(name)] if int(name) < len(value) else None
        elif isinstance(value, Mapping):
            value = value.get(name)
        else:
            return None
    return value


def _put(target: Target, override: bool) -> tuple[str, str] | None:
    before = target.holder.get(target.name)
    if before is not None and not override:
        return None
    if before is not None and _kind(before) != _kind(target.value):
        return "type_error", _mismatch(target.value, before)
    # Two elements may get the same value, and a later step change one of them.
    target.holder[target.name] = copy.deepcopy(target.value)
    return None


def _mismatch(stored: object, target: object) -> str:
    kind = _kind(target)
    return f"type error, {_kind(stored)} cannot replace {kind if kind in ('array', 'object') else f'a {kind}'}"


def _kind(value: object) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    return "string" if isinstance(value, str) else "array" if isinstance(value, list) else "object"
